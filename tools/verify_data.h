/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Verify data: what comes behind a VERIFY record, against the guest's memory as it came before. That is
 * read again, so it takes a file that can be sought. What counts as a difference, and which pages may
 * differ, is what a restore thinks.
 */
#ifndef XENSR_TOOLS_VERIFY_DATA_H
#define XENSR_TOOLS_VERIFY_DATA_H

#include "guest_memory.h"
#include "walk.h"

/* Pages that differ, listed in the finding. */
#define VERIFY_LISTED 12u
/* Pages that a restore makes anew, so that they may differ, at most. */
#define VERIFY_REMADE 4u

struct verify_data {
	bool begun;
	uint64_t pages; /* that came */
	struct pfn_map different;
	uint64_t count; /* of these */
	uint64_t lowest[VERIFY_LISTED + VERIFY_REMADE];
	unsigned nr_lowest;
};

/* An all-zero verify_data has not begun. Idempotent. */
void verify_data_release(struct verify_data *verify);

/* The entries of a record. Returns 0, or -1 (out of memory). */
int verify_data_take(struct verify_data *verify, const struct guest_memory *memory,
		     const struct walk_record *record) MUST_CHECK;

/*
 * Compare the page of an entry with what is in the file at the place guest_memory knows. Returns 0, or
 * -1 with source->ctx's error set.
 */
int verify_data_compare(struct verify_data *verify, struct source *source,
			const struct guest_memory *memory, uint64_t entry,
			const uint8_t *octets) MUST_CHECK;

/* At the end: tell of differences in other pages than the n that are made anew. */
void verify_data_tell(const struct verify_data *verify, struct walk *walk, const uint64_t *remade,
		      unsigned n);

#endif
