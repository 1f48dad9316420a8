/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "command.h"

/* Nothing is shown before, and no more often than. */
#define FIRST_MSECS 500
#define EACH_MSECS  100

#define BAR 40

void progress_begin(struct progress *progress, const char *what, bool quiet)
{
	*progress = (struct progress){.what = what, .wanted = !quiet && isatty(STDERR_FILENO)};
	if (progress->wanted)
		clock_gettime(CLOCK_MONOTONIC, &progress->begun);
}

static int64_t msecs_between(const struct timespec *from, const struct timespec *to)
{
	return (int64_t)(to->tv_sec - from->tv_sec) * 1000 +
	       (to->tv_nsec - from->tv_nsec) / 1000000;
}

static void show_bar(const char *what, uint64_t done, uint64_t total, double seconds)
{
	double part = total ? (double)done / (double)total : 1;
	int full = (int)(part * BAR);
	char bar[BAR + 1];

	for (int i = 0; i < BAR; i++)
		bar[i] = i < full ? '#' : '.';
	bar[BAR] = '\0';
	fprintf(stderr, "\r\033[K%s [%s] %3d%%  %.0f s left", what, bar, (int)(part * 100),
		part > 0 ? seconds / part - seconds : 0);
}

void progress_show(struct progress *progress, uint64_t done, uint64_t total)
{
	struct timespec now;
	char size[SIZE_TEXT];

	if (!progress->wanted)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (msecs_between(&progress->begun, &now) < FIRST_MSECS ||
	    (progress->shown && msecs_between(&progress->last, &now) < EACH_MSECS))
		return;
	progress->last = now;
	progress->shown = true;
	if (total == UINT64_MAX)
		fprintf(stderr, "\r\033[K%s %s", progress->what, size_text(size, done));
	else
		show_bar(progress->what, done < total ? done : total, total,
			 (double)msecs_between(&progress->begun, &now) / 1000);
}

void progress_end(struct progress *progress)
{
	if (progress->shown)
		fputs("\r\033[K", stderr);
	progress->shown = false;
}
