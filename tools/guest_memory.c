/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest_memory.h"

#include <errno.h>
#include <stdlib.h>

#define XXH_INLINE_ALL /* the header is all that is needed */
#include <xxhash.h>

#include "pages.h"
#include "pv_guest.h"

#define FIRST_ROOM 1024u

/* Entries that are read again at once. */
#define ENTRIES_AT_ONCE 1024u

struct memory_place {
	uint64_t pfn;
	uint64_t offset; /* 0: the place in the table is free */
};

struct noted_record {
	uint64_t offset; /* of its entries */
	uint32_t count;
};

void guest_memory_release(struct guest_memory *memory)
{
	pfn_map_release(&memory->facts);
	free(memory->places);
	free(memory->noted);
	*memory = (struct guest_memory){0};
}

/* ---- facts ------------------------------------------------------------------------------------- */

static int change_facts(struct guest_memory *memory, uint64_t pfn, unsigned set, unsigned clear)
{
	unsigned facts = (pfn_map_get(&memory->facts, pfn) & ~clear) | set;

	return pfn_map_set(&memory->facts, pfn, facts) < 0 ? -1 : 0;
}

/* All of them get their memory before any is revoked. */
static int take_entry(struct guest_memory *memory, uint64_t pfn, enum page_type type)
{
	unsigned set = MEMORY_CAME, clear = 0;

	if (page_type_is_populated(type))
		set |= MEMORY_THERE;
	if (type != PAGE_INVALID)
		clear |= MEMORY_REVOKED;
	if (page_type_level(type))
		set |= MEMORY_TABLE;
	else if (page_type_has_data(type))
		clear |= MEMORY_TABLE;
	return change_facts(memory, pfn, set, clear);
}

/* In their order: one may be revoked and come again in the same record. */
static int take_revoked(struct guest_memory *memory, const uint64_t *entries, uint32_t count,
			uint64_t end)
{
	for (uint32_t i = 0; i < count; i++) {
		uint64_t pfn = page_entry_pfn(entries[i]);
		bool revoked = page_entry_type(entries[i]) == PAGE_INVALID;

		if (pfn >= end || !(pfn_map_get(&memory->facts, pfn) & MEMORY_THERE))
			continue;
		if (change_facts(memory, pfn, revoked ? MEMORY_REVOKED : 0,
				 revoked ? 0 : MEMORY_REVOKED))
			return -1;
	}
	return 0;
}

int guest_memory_take(struct guest_memory *memory, const uint64_t *entries, uint32_t count,
		      uint64_t end)
{
	bool any = false;

	for (uint32_t i = 0; i < count; i++) {
		enum page_type type = page_entry_type(entries[i]);
		uint64_t pfn = page_entry_pfn(entries[i]);

		any |= type == PAGE_INVALID;
		if (pfn < end && take_entry(memory, pfn, type))
			return -1;
	}
	return any ? take_revoked(memory, entries, count, end) : 0;
}

int guest_memory_name(struct guest_memory *memory, uint64_t pfn)
{
	unsigned before = pfn_map_get(&memory->facts, pfn);

	if (before & MEMORY_THERE)
		return (int)before;
	return pfn_map_set(&memory->facts, pfn, before | MEMORY_THERE);
}

/* ---- places ------------------------------------------------------------------------------------ */

/* Where the pfn's place is, or the free one where it belongs. There is always a free one. */
static struct memory_place *place_of(const struct guest_memory *memory, uint64_t pfn)
{
	size_t i = XXH3_64bits_withSeed(&pfn, sizeof(pfn), memory->seed) & (memory->room - 1);

	while (memory->places[i].offset && memory->places[i].pfn != pfn)
		i = (i + 1) & (memory->room - 1);
	return &memory->places[i];
}

/* One place more must leave a quarter of them free. */
static int make_room(struct guest_memory *memory)
{
	struct guest_memory more = *memory;

	if (memory->used < memory->room / 4 * 3)
		return 0;
	if (memory->room == 0)
		more.seed = pfn_map_seed();
	more.room = memory->room ? 2 * memory->room : FIRST_ROOM;
	more.places = calloc(more.room, sizeof(*more.places));
	if (!more.places)
		return -1;
	for (size_t i = 0; i < memory->room; i++) {
		if (memory->places[i].offset)
			*place_of(&more, memory->places[i].pfn) = memory->places[i];
	}
	free(memory->places);
	*memory = more;
	return 0;
}

static int set_place(struct guest_memory *memory, uint64_t pfn, uint64_t offset)
{
	struct memory_place *place;

	if (make_room(memory))
		return -1;
	place = place_of(memory, pfn);
	memory->used += place->offset == 0;
	*place = (struct memory_place){.pfn = pfn, .offset = offset};
	return 0;
}

int guest_memory_place(struct guest_memory *memory, const uint64_t *entries, uint32_t count,
		       uint64_t offset)
{
	for (uint32_t i = 0; i < count; i++) {
		if (!page_type_has_data(page_entry_type(entries[i])))
			continue;
		if (set_place(memory, page_entry_pfn(entries[i]), offset))
			return -1;
		offset += PAGE_OCTETS;
	}
	return 0;
}

uint64_t guest_memory_offset(const struct guest_memory *memory, uint64_t pfn)
{
	return memory->room ? place_of(memory, pfn)->offset : 0;
}

int guest_memory_note(struct guest_memory *memory, uint64_t offset, uint32_t count)
{
	if (memory->nr_noted == memory->noted_room) {
		size_t room = memory->noted_room ? 2 * memory->noted_room : FIRST_ROOM;
		struct noted_record *more = reallocarray(memory->noted, room, sizeof(*more));

		if (!more)
			return -1;
		memory->noted = more;
		memory->noted_room = room;
	}
	memory->noted[memory->nr_noted++] = (struct noted_record){.offset = offset, .count = count};
	return 0;
}

/* One of those that were noted, a part at a time. */
static int index_record(struct guest_memory *memory, struct source *source,
			const struct noted_record *record, bool take_too)
{
	uint64_t pages = record->offset + record->count * sizeof(uint64_t);
	uint64_t some[ENTRIES_AT_ONCE];

	for (uint32_t done = 0; done < record->count;) {
		uint32_t n = record->count - done;

		if (n > ENTRIES_AT_ONCE)
			n = ENTRIES_AT_ONCE;
		if (source_read_again(source, some, n * sizeof(*some),
				      record->offset + done * sizeof(*some)))
			return -1;
		if (guest_memory_place(memory, some, n, pages) ||
		    (take_too && guest_memory_take(memory, some, n, UINT64_MAX)))
			return ctx_fail_errno(&source->ctx, ENOMEM, "no room for where pages are");
		for (uint32_t i = 0; i < n; i++)
			pages += page_type_has_data(page_entry_type(some[i])) ? PAGE_OCTETS : 0;
		done += n;
	}
	return 0;
}

int guest_memory_index(struct guest_memory *memory, struct source *source, bool take_too)
{
	for (; memory->indexed < memory->nr_noted; memory->indexed++) {
		if (index_record(memory, source, &memory->noted[memory->indexed], take_too))
			return -1;
	}
	return 0;
}
