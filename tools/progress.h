/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A progress bar on stderr for work that takes long, where a person looks at it.
 */
#ifndef XENSR_TOOLS_PROGRESS_H
#define XENSR_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct progress {
	const char *what;
	bool wanted; /* stderr is a terminal, and nobody said no */
	bool shown;
	struct timespec begun, last;
};

/* quiet: show none. what must outlive the progress. */
void progress_begin(struct progress *progress, const char *what, bool quiet);

/* done of total octets; total UINT64_MAX: not known. May be called often. */
void progress_show(struct progress *progress, uint64_t done, uint64_t total);

/* Wipe the bar. Idempotent; to be called before anything else is printed. */
void progress_end(struct progress *progress);

#endif
