/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "survey.h"

#include <stdlib.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/hvm/save.h>

#define XXH_INLINE_ALL /* the header is all that is needed */
#include <xxhash.h>

#include "pages.h"

void survey_release(struct survey *survey)
{
	pfn_map_release(&survey->pfns);
	free(survey->hashes);
	survey->hashes = NULL;
	survey->hash_count = survey->hash_room = 0;
	page_sample_release(&survey->sample);
}

static int count_entry(struct survey *survey, uint64_t pfn, enum page_type type)
{
	unsigned before = pfn_map_get(&survey->pfns, pfn);
	unsigned now = before & PFN_WITH_DATA;

	if (page_type_has_data(type))
		now |= PFN_WITH_DATA;
	if (page_type_is_populated(type))
		now |= PFN_POPULATED;
	survey->types[type]++;
	survey->distinct_pages += (now & ~before & PFN_WITH_DATA) != 0;
	survey->populated_pages += (now & PFN_POPULATED) != 0;
	survey->populated_pages -= (before & PFN_POPULATED) != 0;
	if ((now & PFN_POPULATED) && pfn > survey->highest_pfn)
		survey->highest_pfn = pfn;
	return pfn_map_set(&survey->pfns, pfn, now) < 0 ? -1 : 0;
}

static int count_entries(struct survey *survey, const struct walk_record *record)
{
	for (uint32_t i = 0; record->entries && i < record->place.count; i++) {
		uint64_t entry = record->entries[i];

		if (count_entry(survey, page_entry_pfn(entry), page_entry_type(entry)))
			return -1;
	}
	survey->pages += record->place.data_pages;
	return 0;
}

/* The chain was checked by the walk. */
static uint32_t count_cpus(const uint8_t *context)
{
	struct hvm_save_descriptor desc;
	uint32_t cpus = 0;

	do {
		memcpy(&desc, context, sizeof(desc));
		context += sizeof(desc) + desc.length;
		cpus += desc.typecode == HVM_SAVE_CODE(CPU);
	} while (desc.typecode != HVM_SAVE_CODE(END));
	return cpus;
}

static int look_inside(struct survey *survey, const struct walk_record *record)
{
	switch (record->place.type) {
	case REC_PAGE_DATA:
		return count_entries(survey, record);
	case REC_HVM_CONTEXT:
		survey->vcpus = count_cpus(record->body);
		return 0;
	case REC_X86_PV_VCPU_BASIC:
		/* Each checkpoint brings all of them anew. */
		if (record->place.checkpoint != survey->vcpu_checkpoint)
			survey->vcpus = 0;
		survey->vcpu_checkpoint = record->place.checkpoint;
		survey->vcpus++;
		return 0;
	default:
		return 0;
	}
}

static void count_record(struct survey_count *count, const struct walk_record *record)
{
	count->records++;
	count->octets += record->place.length;
}

int survey_record(struct survey *survey, const struct walk_record *record)
{
	bool libxl = record->place.layer == LAYER_LIBXL;
	struct wire_emulator head;

	if (!record->known) {
		count_record(&survey->others, record);
		return 0;
	}
	count_record(libxl ? &survey->libxl[record->place.type]
			   : &survey->domain[record->place.type],
		     record);
	if (!record->good)
		return 0;
	if (libxl && libxl_rule(record->place.type)->emulator) {
		memcpy(&head, record->body, sizeof(head));
		survey->have_emulator = true;
		survey->emulator = head.id;
	}
	if (libxl || !look_inside(survey, record))
		return 0;
	survey->no_memory = true;
	return -1;
}

static bool is_zero(const uint8_t *page)
{
	uint64_t any = 0;

	for (size_t i = 0; i < PAGE_OCTETS && !any; i += 64) {
		uint64_t words[8];

		memcpy(words, page + i, sizeof(words));
		for (size_t w = 0; w < 8; w++)
			any |= words[w];
	}
	return !any;
}

static int keep_hash(struct survey *survey, uint64_t hash)
{
	if (survey->hash_count == survey->hash_room) {
		size_t room = survey->hash_room ? 2 * survey->hash_room : 4096;
		uint64_t *more = reallocarray(survey->hashes, room, sizeof(*more));

		if (!more)
			return -1;
		survey->hashes = more;
		survey->hash_room = room;
	}
	survey->hashes[survey->hash_count++] = hash;
	return 0;
}

int survey_pages(struct survey *survey, uint32_t n, const uint8_t *octets)
{
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *page = octets + (size_t)i * PAGE_OCTETS;

		if (is_zero(page))
			survey->zero_pages++;
		else if (keep_hash(survey, XXH3_64bits(page, PAGE_OCTETS)))
			goto no_memory;
	}
	if (page_sample_add(&survey->sample, octets, n) == 0)
		return 0;
no_memory:
	survey->no_memory = true;
	return -1;
}

static int compare_hashes(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

uint64_t survey_same_content(struct survey *survey)
{
	uint64_t same = 0;

	if (survey->hash_count == 0)
		return 0;
	qsort(survey->hashes, survey->hash_count, sizeof(*survey->hashes), compare_hashes);
	for (size_t i = 1; i < survey->hash_count; i++)
		same += survey->hashes[i] == survey->hashes[i - 1];
	return same;
}
