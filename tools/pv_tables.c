/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pv_tables.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pv_guest.h"

#define FIRST_ROOM 1024u

void pv_tables_release(struct pv_tables *tables)
{
	free(tables->named);
	*tables = (struct pv_tables){0};
}

static uint64_t read_entry(const uint8_t *octets, unsigned entry)
{
	uint64_t pte;

	memcpy(&pte, octets + entry * sizeof(pte), sizeof(pte));
	return pte;
}

bool pv_table_has_entries(const uint8_t *octets)
{
	for (unsigned i = 0; i < PTES_IN_PAGE; i++) {
		if (read_entry(octets, i) & PTE_PRESENT)
			return true;
	}
	return false;
}

/* ---- faults of one entry ----------------------------------------------------------------------- */

static void note_fault(struct table_fault *fault, const struct table_entry *entry)
{
	if (fault->count++ == 0)
		fault->first = *entry;
}

#define ENTRY_TEXT 96

static const char *entry_text(char text[ENTRY_TEXT], const struct table_entry *entry)
{
	snprintf(text, ENTRY_TEXT, "entry %u of the level-%u page table pfn %#" PRIx64,
		 (unsigned)entry->entry, (unsigned)entry->level, (uint64_t)entry->table);
	return text;
}

#define MORE_TEXT 64

/* "; 3 more … in this record", or nothing. */
static const char *more_text(char text[MORE_TEXT], uint64_t more, const char *what)
{
	text[0] = '\0';
	if (more)
		snprintf(text, MORE_TEXT, "; %" PRIu64 " more such %s in this record", more, what);
	return text;
}

void pv_tables_tell(struct pv_tables *tables, struct walk *walk, uint64_t end)
{
	const struct table_fault *superpages = &tables->superpages, *beyond = &tables->beyond;
	char entry[ENTRY_TEXT], more[MORE_TEXT];

	if (superpages->count)
		walk_find(walk, WALK_ERROR, "%s maps a superpage%s",
			  entry_text(entry, &superpages->first),
			  more_text(more, superpages->count - 1, "entries"));
	if (beyond->count)
		walk_find(walk, WALK_ERROR,
			  "%s names pfn %#" PRIx64 ", the guest's last is %#" PRIx64 "%s",
			  entry_text(entry, &beyond->first), (uint64_t)beyond->first.target,
			  end - 1, more_text(more, beyond->count - 1, "entries"));
	tables->superpages = tables->beyond = (struct table_fault){0};
}

/* ---- pfns that did not come -------------------------------------------------------------------- */

/* Forget those that have come meanwhile. */
static void drop_those_that_came(struct pv_tables *tables, const struct guest_memory *memory)
{
	size_t kept = 0;

	for (size_t i = 0; i < tables->nr_named; i++) {
		if (!(guest_memory_facts(memory, tables->named[i].target) & MEMORY_CAME))
			tables->named[kept++] = tables->named[i];
	}
	tables->nr_named = kept;
}

static int keep_named(struct pv_tables *tables, const struct guest_memory *memory,
		      const struct table_entry *entry)
{
	bool full = tables->nr_named == tables->named_room;

	if (full)
		drop_those_that_came(tables, memory);
	/* Half of it free, or each further one might go through all of them. */
	if (full && tables->nr_named >= tables->named_room / 2) {
		size_t room = tables->named_room ? 2 * tables->named_room : FIRST_ROOM;
		struct table_entry *more = reallocarray(tables->named, room, sizeof(*more));

		if (!more)
			return -1;
		tables->named = more;
		tables->named_room = room;
	}
	tables->named[tables->nr_named++] = *entry;
	return 0;
}

static int take_target(struct pv_tables *tables, struct guest_memory *memory,
		       const struct table_entry *entry)
{
	int before = guest_memory_name(memory, entry->target);

	if (before < 0)
		return -1;
	if (before & (MEMORY_CAME | MEMORY_THERE))
		return 0;
	return keep_named(tables, memory, entry);
}

int pv_tables_take(struct pv_tables *tables, struct walk *walk, struct guest_memory *memory,
		   uint64_t pfn, unsigned level, const uint8_t *octets, uint64_t end, bool compared)
{
	struct table_entry entry = {
		.level = level & 7,
		.table = pfn,
		.offset = walk->source->ctx.record_offset,
	};

	tables->title = walk->source->ctx.what;
	for (unsigned i = 0; i < PTES_IN_PAGE; i++) {
		uint64_t pte = read_entry(octets, i);

		if (!(pte & PTE_PRESENT))
			continue;
		entry.entry = i & (PTES_IN_PAGE - 1);
		entry.target = pte_frame(pte);
		if (level > 1 && (pte & PTE_PSE))
			note_fault(&tables->superpages, &entry);
		else if (pte_frame(pte) >= end)
			note_fault(&tables->beyond, &entry);
		else if (!compared && take_target(tables, memory, &entry))
			return -1;
	}
	return 0;
}

/* Entry first is of a record, of which `count` more follow it. */
static void tell_missing(const struct pv_tables *tables, struct walk *walk,
			 const struct table_entry *first, uint64_t count)
{
	char entry[ENTRY_TEXT], more[MORE_TEXT];

	ctx_enter(&walk->source->ctx, tables->title, XENSR_NO_RECORD, first->offset);
	walk_find(walk, WALK_ERROR, "%s names pfn %#" PRIx64 ", which the stream did not bring%s",
		  entry_text(entry, first), (uint64_t)first->target,
		  more_text(more, count, "pfns"));
}

void pv_tables_tell_missing(struct pv_tables *tables, struct walk *walk,
			    const struct guest_memory *memory)
{
	struct xensr_ctx *ctx = &walk->source->ctx;
	const char *what = ctx->what;
	uint32_t type = ctx->record_type;
	uint64_t offset = ctx->record_offset;

	drop_those_that_came(tables, memory);
	for (size_t i = 0; i < tables->nr_named;) {
		const struct table_entry *first = &tables->named[i];
		size_t n = 1;

		while (i + n < tables->nr_named && first[n].offset == first->offset)
			n++;
		tell_missing(tables, walk, first, n - 1);
		i += n;
	}
	tables->nr_named = 0;
	ctx_enter(ctx, what, type, offset);
}
