/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "page_sample.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "format.h"

#define RUN_OCTETS ((size_t)SAMPLE_RUN_PAGES * PAGE_OCTETS)

static uint8_t *run_at(const struct page_sample *sample, uint32_t run)
{
	return sample->octets + run * RUN_OCTETS;
}

/* Is the run that comes now one of those that are kept? */
static bool wanted(const struct page_sample *sample)
{
	return sample->came % sample->step == 0;
}

static void end_run(struct page_sample *sample)
{
	if (wanted(sample))
		sample->runs++;
	sample->came++;
	sample->filled = 0;
	if (sample->runs < SAMPLE_RUNS)
		return;
	for (uint32_t run = 1; run < SAMPLE_RUNS / 2; run++)
		memcpy(run_at(sample, run), run_at(sample, 2 * run), RUN_OCTETS);
	sample->runs = SAMPLE_RUNS / 2;
	sample->step *= 2;
}

int page_sample_add(struct page_sample *sample, const uint8_t *octets, uint32_t pages)
{
	if (!sample->octets) {
		sample->octets = malloc(SAMPLE_RUNS * RUN_OCTETS);
		if (!sample->octets)
			return -1;
		sample->step = 1;
	}
	while (pages) {
		uint32_t room = SAMPLE_RUN_PAGES - sample->filled;
		uint32_t now = pages < room ? pages : room;
		size_t size = (size_t)now * PAGE_OCTETS;

		if (wanted(sample))
			memcpy(run_at(sample, sample->runs) + (size_t)sample->filled * PAGE_OCTETS,
			       octets, size);
		octets += size;
		pages -= now;
		sample->filled += now;
		if (sample->filled == SAMPLE_RUN_PAGES)
			end_run(sample);
	}
	return 0;
}

int page_sample_compress(const struct page_sample *sample, int level, uint64_t *before,
			 uint64_t *after)
{
	size_t room = ZSTD_compressBound(RUN_OCTETS);
	void *result = malloc(room);
	ZSTD_CCtx *zstd = ZSTD_createCCtx();
	int rc = -1;

	*before = *after = 0;
	if (!result || !zstd)
		goto out;
	for (uint32_t run = 0; run < sample->runs; run++) {
		size_t size = ZSTD_compressCCtx(zstd, result, room, run_at(sample, run), RUN_OCTETS,
						level);

		if (ZSTD_isError(size))
			goto out;
		*before += RUN_OCTETS;
		*after += size;
	}
	rc = 0;
out:
	ZSTD_freeCCtx(zstd);
	free(result);
	return rc;
}

void page_sample_release(struct page_sample *sample)
{
	free(sample->octets);
	sample->octets = NULL;
}
