/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records of a checkpoint that is not complete yet, in our memory until it is (spec 2).
 *
 * Bodies and pages lie in blocks that are kept from one checkpoint to the next, so that replicating
 * a guest for days allocates no more than its largest checkpoint needs. How much that may be is
 * limited: octets are counted before memory is asked for (the ends of blocks are not, a quarter of
 * the whole at worst).
 */
#ifndef XENSR_LIB_CHECKPOINT_BUFFER_H
#define XENSR_LIB_CHECKPOINT_BUFFER_H

#include "record.h"

/* A record, or a part of a PAGE_DATA record with at most PAGES_BATCH pages. */
struct kept_record {
	struct record rec;    /* body and entries are the buffer's */
	const uint8_t *pages; /* the data_pages pages of PAGE_DATA */
	/* For error texts. */
	uint64_t offset;
};

struct checkpoint_block;

struct checkpoint_buffer {
	uint64_t limit; /* octets */
	uint64_t used;
	struct kept_record *records;
	size_t nr_records, room;
	struct checkpoint_block *blocks; /* in order of use */
	struct checkpoint_block *at;     /* the one at work; NULL: none yet */
};

/*
 * Room for a copy of `octets` octets, 8-aligned, valid until the buffer is emptied. NULL with the
 * error set: ENOBUFS over the limit, ENOMEM.
 */
void *checkpoint_buffer_take(struct xensr_ctx *ctx, struct checkpoint_buffer *buffer,
			     size_t octets) MUST_CHECK;

/* Append a record whose body (copied here) or entries and pages (taken before) are given. */
int checkpoint_buffer_add(struct xensr_ctx *ctx, struct checkpoint_buffer *buffer,
			  const struct record *rec, const uint8_t *pages) MUST_CHECK;

/* Drop all records, keep the memory for the next checkpoint. */
void checkpoint_buffer_empty(struct checkpoint_buffer *buffer);

/* Idempotent. */
void checkpoint_buffer_release(struct checkpoint_buffer *buffer);

#endif
