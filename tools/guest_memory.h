/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a restore would know of each pfn while the stream comes, and where in the file its content is.
 *
 * Where content is, is found when it is first asked for, by reading the entries of the records noted so
 * far once more: for one pfn without keeping what the others say, for a second one by an index. Of most
 * images it never is. Memory follows what is in the file.
 */
#ifndef XENSR_TOOLS_GUEST_MEMORY_H
#define XENSR_TOOLS_GUEST_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#include "pfn_map.h"
#include "source.h"

/* A combination of these is known of each pfn. */
enum memory_fact {
	MEMORY_CAME = 1u << 0,    /* there was an entry for it, of whatever type */
	MEMORY_THERE = 1u << 1,   /* a restore has given it memory, which it keeps up to the end */
	MEMORY_REVOKED = 1u << 2, /* but it was "invalid" the last time */
	MEMORY_TABLE = 1u << 3,   /* its content, as it came last, is a page table's */
};

struct guest_memory {
	struct pfn_map facts;

	struct number_table places; /* the offset of each pfn's content */
	struct noted_record *noted; /* PAGE_DATA records; their places are known up to `indexed` */
	size_t nr_noted, noted_room, indexed;

	/* Of one pfn the place is known without that, among the first `sought_to` noted records. */
	uint64_t sought, sought_offset;
	size_t sought_to;
};

/* An all-zero guest_memory has no memory. Releases to that; idempotent. */
void guest_memory_release(struct guest_memory *memory);

/*
 * The entries of one record, or of a part of it, were taken by a restore for which pfns from `end` on
 * do not exist. Returns 0, or -1 (out of memory).
 */
int guest_memory_take(struct guest_memory *memory, const uint64_t *entries, uint32_t count,
		      uint64_t end) MUST_CHECK;

/* A page table names a pfn: a restore gives it memory. Returns what was known before, or -1. */
int guest_memory_name(struct guest_memory *memory, uint64_t pfn) MUST_CHECK;

static inline unsigned guest_memory_facts(const struct guest_memory *memory, uint64_t pfn)
{
	return pfn_map_get(&memory->facts, pfn);
}

/* The pages of these entries begin at offset in the file. Returns 0, or -1 (out of memory). */
int guest_memory_place(struct guest_memory *memory, const uint64_t *entries, uint32_t count,
		       uint64_t offset) MUST_CHECK;

/*
 * Note a PAGE_DATA record, whose entries begin at offset, for guest_memory_index. Returns 0, or -1
 * (out of memory).
 */
int guest_memory_note(struct guest_memory *memory, uint64_t offset, uint32_t count) MUST_CHECK;

/*
 * Find the places of what was noted since the last time; take_too: guest_memory_take is to be told of
 * it, too. Returns 0, or -1 with source->ctx's error set.
 */
int guest_memory_index(struct guest_memory *memory, struct source *source,
		       bool take_too) MUST_CHECK;

/* Offset in the file of a pfn's content as it came last, 0 if none ever came. Of what is indexed. */
uint64_t guest_memory_offset(const struct guest_memory *memory, uint64_t pfn);

/*
 * The same of all that was noted: mostly one pfn is asked for again and again, for which nothing has to be
 * indexed. Returns 0, or -1 with source->ctx's error set.
 */
int guest_memory_seek(struct guest_memory *memory, struct source *source, uint64_t pfn,
		      uint64_t *offset) MUST_CHECK;

#endif
