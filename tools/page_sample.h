/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A sample of pages, spread evenly over however many come, and how well it compresses.
 *
 * The sample holds runs of pages that came one after the other. When it is full, every other run is
 * dropped and from then on only every other one taken: what is kept stays spread over all that
 * came, without knowing beforehand how much that will be.
 */
#ifndef XENSR_TOOLS_PAGE_SAMPLE_H
#define XENSR_TOOLS_PAGE_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define SAMPLE_RUN_PAGES 16u  /* 64 KiB: what a compressing writer would take at once */
#define SAMPLE_RUNS      256u /* 16 MiB in all */

struct page_sample {
	uint8_t *octets; /* SAMPLE_RUNS runs */
	uint32_t runs;   /* complete ones */
	uint64_t came;   /* runs that came so far, kept or not */
	uint64_t step;   /* of those that come, each step-th is kept */
	uint32_t filled; /* pages of the run at work */
};

/* An all-zero sample is empty. Returns 0, or -1 (out of memory). */
int page_sample_add(struct page_sample *sample, const uint8_t *octets, uint32_t pages) MUST_CHECK;

/*
 * Compress it run by run. *before and *after are octets, both 0 if too few pages came for a run.
 * Returns 0, or -1 (out of memory).
 */
int page_sample_compress(const struct page_sample *sample, int level, uint64_t *before,
			 uint64_t *after) MUST_CHECK;

/* Idempotent. */
void page_sample_release(struct page_sample *sample);

#endif
