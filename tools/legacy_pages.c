/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "legacy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "io.h"

/* A pfn word: type in bits 31..28, pfn below. */
#define WORD_FILLER     0xf0000000u
#define WORD_PFN_MASK   0x0fffffffu
#define WORD_TYPE_SHIFT 28

static int by_pfn(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* A page twice in a batch: which of the two is the guest's, nobody can say. */
static int check_duplicates(struct legacy *legacy, uint32_t count)
{
	uint64_t pfns[LEGACY_BATCH_MAX];
	bool ascending = true;

	for (uint32_t i = 0; i < count; i++) {
		pfns[i] = page_entry_pfn(legacy->entries[i]);
		ascending &= i == 0 || pfns[i] > pfns[i - 1];
	}
	if (ascending)
		return 0;
	qsort(pfns, count, sizeof(*pfns), by_pfn);
	for (uint32_t i = 1; i < count; i++) {
		if (pfns[i] == pfns[i - 1])
			return ctx_fail(legacy->in, EBADMSG, "pfn %#" PRIx64 " is in it twice",
					pfns[i]);
	}
	return 0;
}

/* The words of the batch as entries of PAGE_DATA. Returns how many are left, or -1. */
static int64_t read_entries(struct legacy *legacy, uint32_t count, uint32_t *data_pages)
{
	const unsigned width = legacy->ulong_octets;
	uint32_t kept = 0;

	*data_pages = 0;
	if (body_read(legacy->in, &legacy->body, (size_t)count * width))
		return -1;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t word = 0;
		enum page_type type;

		memcpy(&word, legacy->body.octets + (size_t)i * width, width);
		if (word > UINT32_MAX)
			return ctx_fail(legacy->in, EBADMSG,
					"pfn word %#" PRIx64 " has bits beyond 31", word);
		if (word == WORD_FILLER)
			continue;
		type = (enum page_type)(word >> WORD_TYPE_SHIFT);
		legacy->entries[kept++] = page_entry(word & WORD_PFN_MASK, type);
		*data_pages += page_type_has_data(type);
	}
	return kept;
}

int legacy_pages(struct legacy *legacy, uint32_t count)
{
	struct convert *convert = legacy->convert;
	uint32_t data_pages, checked, populated;
	int64_t kept;

	if (count > LEGACY_BATCH_MAX)
		return ctx_fail(legacy->in, EBADMSG, "a batch of %u pages, at most %u are allowed",
				count, LEGACY_BATCH_MAX);
	kept = read_entries(legacy, count, &data_pages);
	if (kept < 0 ||
	    pages_check_entries(legacy->in, convert->headers.guest_type, legacy->entries,
				(uint32_t)kept, &checked, &populated) ||
	    check_duplicates(legacy, (uint32_t)kept) ||
	    io_read(legacy->in, legacy->pages, (size_t)data_pages * PAGE_OCTETS))
		return -1;
	if (kept == 0 || (legacy->verifying && convert->drop_verify))
		return 0;
	return convert_batch(convert, legacy->entries, (uint32_t)kept, legacy->pages, data_pages);
}
