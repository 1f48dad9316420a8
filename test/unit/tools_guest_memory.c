/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the xensr command knows of a guest's memory, against plain arrays. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include <check.h>

#include "guest_memory.h"
#include "pages.h"
#include "unit_main.h"

#define PFNS    4096u
#define END     4001u /* those from here on a restore does not know */
#define RECORDS 300u
#define MOST    1500u /* entries of a record: more than are read at once */

static struct source source;
static int file;
static uint64_t last_offset[PFNS]; /* where the content of each pfn came last */
static unsigned facts[PFNS];

static void begin(void)
{
	char path[32];

	file = memfd_create("image", MFD_CLOEXEC);
	ck_assert_int_ge(file, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	ck_assert_int_eq(source_open(&source, path, SKIP_SEEK), 0);
	memset(last_offset, 0, sizeof(last_offset));
	memset(facts, 0, sizeof(facts));
}

static void end(void)
{
	source_close(&source);
	close(file);
}

static uint32_t next_random(uint32_t *random)
{
	*random = *random * 1664525 + 1013904223;
	return *random >> 8;
}

/* Some in a row, of one type; some anywhere. */
static uint32_t make_entries(uint32_t *random, uint64_t entries[MOST])
{
	static const enum page_type types[] = {PAGE_NORMAL, PAGE_L1, PAGE_INVALID, PAGE_ALLOC_ONLY,
					       PAGE_BROKEN};
	uint32_t count = 1 + next_random(random) % MOST, i = 0;

	while (i < count) {
		uint64_t type = types[next_random(random) % 5];
		uint64_t pfn = next_random(random) % PFNS;
		uint32_t run = next_random(random) % 3 ? 1 : 1 + next_random(random) % 600;

		if (run > 16)
			pfn &= ~15ull;
		for (; run && i < count && pfn < PFNS; run--)
			entries[i++] = type << PAGE_ENTRY_TYPE_SHIFT | pfn++;
	}
	return count;
}

/* By what guest_memory.h says of the facts, one entry after the other. */
static void model(const uint64_t *entries, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		unsigned *fact = &facts[page_entry_pfn(entries[i])];
		enum page_type type = page_entry_type(entries[i]);

		if (page_entry_pfn(entries[i]) >= END)
			continue;
		*fact |= MEMORY_CAME;
		if (page_type_is_populated(type))
			*fact |= MEMORY_THERE;
		if (type == PAGE_L1)
			*fact |= MEMORY_TABLE;
		else if (page_type_has_data(type))
			*fact &= ~(unsigned)MEMORY_TABLE;
	}
	/* Memory that is given once is kept: it is enough that it comes in the record at all. */
	for (uint32_t i = 0; i < count; i++) {
		unsigned *fact = &facts[page_entry_pfn(entries[i])];

		*fact &= ~(unsigned)MEMORY_REVOKED;
		if (page_entry_type(entries[i]) == PAGE_INVALID && *fact & MEMORY_THERE)
			*fact |= MEMORY_REVOKED;
	}
}

/* The entries of a record into the file, with gaps for what their pages would take. */
static uint64_t write_record(uint64_t at, const uint64_t *entries, uint32_t count)
{
	uint64_t pages = at + count * sizeof(*entries);

	ck_assert_int_eq(pwrite(file, entries, count * sizeof(*entries), (off_t)at),
			 count * sizeof(*entries));
	for (uint32_t i = 0; i < count; i++) {
		if (!page_type_has_data(page_entry_type(entries[i])))
			continue;
		last_offset[page_entry_pfn(entries[i])] = pages;
		pages += PAGE_OCTETS;
	}
	return pages;
}

/* Returns where the next one goes. */
static uint64_t add_record(struct guest_memory *memory, uint32_t *random, uint64_t at)
{
	uint64_t entries[MOST];
	uint32_t count = make_entries(random, entries);

	model(entries, count);
	ck_assert_int_eq(guest_memory_take(memory, entries, count, END), 0);
	ck_assert_int_eq(guest_memory_note(memory, at, count), 0);
	return write_record(at, entries, count);
}

START_TEST(facts_and_places)
{
	struct guest_memory memory = {0};
	uint64_t at = 24;
	uint32_t random = 5;

	begin();
	for (unsigned i = 0; i < RECORDS; i++) {
		at = add_record(&memory, &random, at);
		for (unsigned pfn = 0; pfn < PFNS; pfn++)
			ck_assert_uint_eq(guest_memory_facts(&memory, pfn), facts[pfn]);
		if (i % 7)
			continue;
		ck_assert_int_eq(guest_memory_index(&memory, &source, false), 0);
		for (unsigned pfn = 0; pfn < PFNS; pfn++)
			ck_assert_uint_eq(guest_memory_offset(&memory, pfn), last_offset[pfn]);
	}
	ck_assert_uint_eq(guest_memory_offset(&memory, PFNS), 0);
	ck_assert_uint_eq(guest_memory_offset(&memory, UINT64_MAX), 0);
	guest_memory_release(&memory);
	end();
}
END_TEST

/* Asked for after each record: the same as an index would say, and without one. */
START_TEST(one_pfn)
{
	static const uint64_t pfns[] = {0, 17, PFNS - 1, PFNS, UINT64_MAX};

	for (unsigned k = 0; k < sizeof(pfns) / sizeof(*pfns); k++) {
		struct guest_memory memory = {0};
		uint64_t at = 24, offset = 1;
		uint32_t random = 11;

		begin();
		ck_assert_int_eq(guest_memory_seek(&memory, &source, pfns[k], &offset), 0);
		ck_assert_uint_eq(offset, 0);
		for (unsigned i = 0; i < RECORDS; i++) {
			at = add_record(&memory, &random, at);
			if (i % 3 == 1)
				continue;
			ck_assert_int_eq(guest_memory_seek(&memory, &source, pfns[k], &offset), 0);
			ck_assert_uint_eq(offset, pfns[k] < PFNS ? last_offset[pfns[k]] : 0);
		}
		ck_assert_uint_eq(memory.indexed, 0);
		/* Another one: now it is worth it. */
		ck_assert_int_eq(guest_memory_seek(&memory, &source, 99, &offset), 0);
		ck_assert_uint_eq(offset, last_offset[99]);
		ck_assert_uint_eq(memory.indexed, RECORDS);
		/* And the first again. */
		at = add_record(&memory, &random, at);
		ck_assert_int_eq(guest_memory_seek(&memory, &source, pfns[k], &offset), 0);
		ck_assert_uint_eq(offset, pfns[k] < PFNS ? last_offset[pfns[k]] : 0);
		guest_memory_release(&memory);
		end();
	}
}
END_TEST

/* A file that was cut meanwhile is trouble, not a place. */
START_TEST(shorter_than_before)
{
	struct guest_memory memory = {0};
	uint32_t random = 3;
	uint64_t offset;

	begin();
	(void)add_record(&memory, &random, 24);
	ck_assert_int_eq(ftruncate(file, 25), 0);
	ck_assert_int_eq(guest_memory_seek(&memory, &source, 17, &offset), -1);
	ck_assert_str_eq(source.ctx.err.text, "it has become shorter: nothing at offset 25");
	ck_assert_int_eq(guest_memory_index(&memory, &source, false), -1);
	guest_memory_release(&memory);
	end();
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("guest_memory");

	tcase_add_test(tc, facts_and_places);
	tcase_add_test(tc, one_pfn);
	tcase_add_test(tc, shorter_than_before);
	return unit_main(suite_create("tools_guest_memory"), tc);
}
