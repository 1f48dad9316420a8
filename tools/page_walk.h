/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a vcpu's page tables map, read from the saved domain's memory.
 *
 * The tables are the guest's and may say anything: whatever lies outside its memory is left out. A
 * table is walked seven times at most for each level at which it serves, so there is an end to it,
 * whatever loops there are. What it maps in further places is left out: Linux has one such table,
 * of aliases by the thousand that nobody looks at (espfix). Tables of PV guests hold pfns in a saved domain, so one walk serves all guests.
 */
#ifndef XENSR_TOOLS_PAGE_WALK_H
#define XENSR_TOOLS_PAGE_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image.h"
#include "vcpu_state.h"

struct mapped_run {
	uint64_t virtual;  /* canonical */
	uint64_t physical; /* guest-physical; not all of it need be memory */
	uint64_t octets;
};

struct page_walk {
	struct mapped_run *run; /* ascending virtual addresses, as long as can be */
	size_t count;
	uint64_t missing; /* tables that are not in the image */
	bool cut;         /* the bound was reached: there is more */
};

/* No more runs than this; a Linux guest of many GiB has some thousand. */
#define PAGE_WALK_RUNS_MAX (1u << 17)

/*
 * Walk from the vcpu's cr3. Returns 0 (also when there is nothing to find), or -1 with errno and
 * *err (only of memory and reading).
 */
int page_walk_run(struct page_walk *walk, const struct image *image, const struct vcpu_state *vcpu,
		  struct image_error *err);

/* Idempotent. */
void page_walk_release(struct page_walk *walk);

#endif
