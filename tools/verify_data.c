/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "verify_data.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pages.h"
#include "pv_guest.h"
#include "pv_tables.h"

void verify_data_release(struct verify_data *verify)
{
	pfn_map_release(&verify->different);
	*verify = (struct verify_data){0};
}

/* Keep the lowest, in their order. */
static void keep_lowest(struct verify_data *verify, uint64_t pfn)
{
	const unsigned most = sizeof(verify->lowest) / sizeof(*verify->lowest);
	unsigned at = verify->nr_lowest;

	while (at > 0 && verify->lowest[at - 1] > pfn)
		at--;
	if (at == most)
		return;
	if (verify->nr_lowest < most)
		verify->nr_lowest++;
	memmove(&verify->lowest[at + 1], &verify->lowest[at],
		(verify->nr_lowest - 1 - at) * sizeof(*verify->lowest));
	verify->lowest[at] = pfn;
}

static int note_difference(struct verify_data *verify, uint64_t pfn)
{
	int before = pfn_map_set(&verify->different, pfn, 1);

	if (before < 0)
		return -1;
	if (before == 0) {
		verify->count++;
		keep_lowest(verify, pfn);
	}
	return 0;
}

/* A hole where the guest has memory. */
int verify_data_take(struct verify_data *verify, const struct guest_memory *memory,
		     const struct walk_record *record)
{
	for (uint32_t i = 0; record->entries && i < record->place.count; i++) {
		uint64_t pfn = page_entry_pfn(record->entries[i]);
		unsigned facts;

		if (page_entry_type(record->entries[i]) != PAGE_INVALID)
			continue;
		facts = guest_memory_facts(memory, pfn);
		if ((facts & MEMORY_THERE) && !(facts & MEMORY_REVOKED) &&
		    note_difference(verify, pfn))
			return -1;
	}
	return 0;
}

/*
 * Present entries of page tables have machine frames by the time a restore compares, so the same octets
 * are the same only if they came as page tables both times, or neither time.
 */
static bool is_same(const uint8_t *before, bool was_table, const uint8_t *now, bool is_table)
{
	if (was_table != is_table && pv_table_has_entries(was_table ? before : now))
		return false;
	return !memcmp(before, now, PAGE_OCTETS);
}

int verify_data_compare(struct verify_data *verify, struct source *source,
			const struct guest_memory *memory, uint64_t entry, const uint8_t *octets)
{
	uint64_t pfn = page_entry_pfn(entry), offset;
	unsigned facts = guest_memory_facts(memory, pfn);
	uint8_t before[PAGE_OCTETS] = {0}; /* what memory without content is */
	bool same = false;

	if (facts & MEMORY_THERE) {
		offset = guest_memory_offset(memory, pfn);
		if (offset && source_read_again(source, before, sizeof(before), offset))
			return -1;
		same = is_same(before, facts & MEMORY_TABLE, octets,
			       page_type_level(page_entry_type(entry)) != 0);
	}
	if (!same && note_difference(verify, pfn))
		return ctx_fail_errno(&source->ctx, ENOMEM, "no room for what differs");
	return 0;
}

static bool is_among(uint64_t pfn, const uint64_t *pfns, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (pfns[i] == pfn)
			return true;
	}
	return false;
}

void verify_data_tell(const struct verify_data *verify, struct walk *walk, const uint64_t *remade,
		      unsigned n)
{
	uint64_t count = verify->count;
	char list[VERIFY_LISTED * 20] = "";
	unsigned listed = 0;
	size_t len = 0;

	for (unsigned i = 0; i < n; i++) {
		if (!is_among(remade[i], remade, i))
			count -= pfn_map_get(&verify->different, remade[i]);
	}
	for (unsigned i = 0; i < verify->nr_lowest && listed < VERIFY_LISTED; i++) {
		if (is_among(verify->lowest[i], remade, n))
			continue;
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%#" PRIx64,
					listed++ ? ", " : "", verify->lowest[i]);
	}
	if (count == 0 && verify->pages == 0)
		walk_find(walk, WALK_ERROR, "verify data was promised, and none came");
	else if (count)
		walk_find(walk, WALK_ERROR,
			  "verify data: %" PRIu64 " of %" PRIu64 " pages differ: pfn %s%s", count,
			  verify->pages, list, count > listed ? ", …" : "");
}
