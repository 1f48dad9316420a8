/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest_memory.h"

#include <errno.h>
#include <stdlib.h>

#include "pages.h"
#include "pv_guest.h"

#define FIRST_NOTED 1024u

/* Entries that are read again at once. */
#define ENTRIES_AT_ONCE 1024u

struct noted_record {
	uint64_t offset; /* of its entries */
	uint32_t count;
};

void guest_memory_release(struct guest_memory *memory)
{
	pfn_map_release(&memory->facts);
	number_table_release(&memory->places);
	free(memory->noted);
	*memory = (struct guest_memory){0};
}

/* ---- facts ------------------------------------------------------------------------------------- */

/* `count` of one type from pfn on, as pfn_map_change has it. */
static int take_run(struct guest_memory *memory, uint64_t pfn, unsigned count, enum page_type type)
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
	return pfn_map_change(&memory->facts, pfn, count, clear, set, NULL);
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
		if (pfn_map_change(&memory->facts, pfn, 1, MEMORY_REVOKED,
				   revoked ? MEMORY_REVOKED : 0, NULL))
			return -1;
	}
	return 0;
}

/* All of them get their memory before any is revoked. */
int guest_memory_take(struct guest_memory *memory, const uint64_t *entries, uint32_t count,
		      uint64_t end)
{
	bool any = false;
	unsigned run;

	for (uint32_t i = 0; i < count; i += run) {
		enum page_type type = page_entry_type(entries[i]);
		uint64_t pfn = page_entry_pfn(entries[i]);

		run = pfn_map_run(entries + i, count - i);
		if (run > 1 && pfn + run > end)
			run = 1;
		any |= type == PAGE_INVALID;
		if (pfn < end && take_run(memory, pfn, run, type))
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

int guest_memory_place(struct guest_memory *memory, const uint64_t *entries, uint32_t count,
		       uint64_t offset)
{
	for (uint32_t i = 0; i < count; i++) {
		uint64_t *place;

		if (!page_type_has_data(page_entry_type(entries[i])))
			continue;
		place = number_table_put(&memory->places, page_entry_pfn(entries[i]));
		if (!place)
			return -1;
		*place = offset;
		offset += PAGE_OCTETS;
	}
	return 0;
}

uint64_t guest_memory_offset(const struct guest_memory *memory, uint64_t pfn)
{
	const uint64_t *place = number_table_find(&memory->places, pfn);

	return place ? *place : 0;
}

int guest_memory_note(struct guest_memory *memory, uint64_t offset, uint32_t count)
{
	if (memory->nr_noted == memory->noted_room) {
		size_t room = memory->noted_room ? 2 * memory->noted_room : FIRST_NOTED;
		struct noted_record *more = reallocarray(memory->noted, room, sizeof(*more));

		if (!more)
			return -1;
		memory->noted = more;
		memory->noted_room = room;
	}
	memory->noted[memory->nr_noted++] = (struct noted_record){.offset = offset, .count = count};
	return 0;
}

/* Some entries of a noted record in a row, and where their contents begin. All zero before the first. */
struct record_part {
	uint32_t done, count; /* entries before these, and these */
	uint64_t pages;
	uint64_t entries[ENTRIES_AT_ONCE];
};

/* Go on to the next ones. Returns 1; 0 after the last, -1 with the error set. */
static int next_part(struct source *source, const struct noted_record *record,
		     struct record_part *part)
{
	if (part->done + part->count == 0)
		part->pages = record->offset + record->count * sizeof(uint64_t);
	for (uint32_t i = 0; i < part->count; i++)
		part->pages +=
			page_type_has_data(page_entry_type(part->entries[i])) ? PAGE_OCTETS : 0;
	part->done += part->count;
	part->count = record->count - part->done;
	if (part->count > ENTRIES_AT_ONCE)
		part->count = ENTRIES_AT_ONCE;
	if (part->count == 0)
		return 0;
	return source_read_again(source, part->entries, part->count * sizeof(uint64_t),
				 record->offset + part->done * sizeof(uint64_t))
		       ? -1
		       : 1;
}

static int index_record(struct guest_memory *memory, struct source *source,
			const struct noted_record *record, bool take_too)
{
	struct record_part part = {.count = 0};
	int rc;

	while ((rc = next_part(source, record, &part)) > 0) {
		if (guest_memory_place(memory, part.entries, part.count, part.pages) ||
		    (take_too && guest_memory_take(memory, part.entries, part.count, UINT64_MAX)))
			return ctx_fail_errno(&source->ctx, ENOMEM, "no room for where pages are");
	}
	return rc;
}

int guest_memory_index(struct guest_memory *memory, struct source *source, bool take_too)
{
	for (; memory->indexed < memory->nr_noted; memory->indexed++) {
		if (index_record(memory, source, &memory->noted[memory->indexed], take_too))
			return -1;
	}
	return 0;
}

/* *offset stays as it is if the pfn's content is not in the record. */
static int seek_in_record(struct source *source, const struct noted_record *record, uint64_t pfn,
			  uint64_t *offset)
{
	struct record_part part = {.count = 0};
	int rc;

	while ((rc = next_part(source, record, &part)) > 0) {
		uint64_t at = part.pages;

		for (uint32_t i = 0; i < part.count; i++) {
			if (!page_type_has_data(page_entry_type(part.entries[i])))
				continue;
			if (page_entry_pfn(part.entries[i]) == pfn)
				*offset = at;
			at += PAGE_OCTETS;
		}
	}
	return rc;
}

int guest_memory_seek(struct guest_memory *memory, struct source *source, uint64_t pfn,
		      uint64_t *offset)
{
	bool second = memory->sought_to && memory->sought != pfn;

	/* For a second pfn each record would be read again. Of a legacy image all places are known. */
	if (memory->indexed || memory->nr_noted == 0 || second) {
		if (guest_memory_index(memory, source, false))
			return -1;
		*offset = guest_memory_offset(memory, pfn);
		return 0;
	}
	*offset = 0;
	for (size_t i = memory->nr_noted; i > memory->sought_to && !*offset; i--) {
		if (seek_in_record(source, &memory->noted[i - 1], pfn, offset))
			return -1;
	}
	if (!*offset)
		*offset = memory->sought_offset;
	memory->sought = pfn;
	memory->sought_offset = *offset;
	memory->sought_to = memory->nr_noted;
	return 0;
}
