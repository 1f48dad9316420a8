/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PAGE_DATA: entries, counts, and taking the pages off the descriptor.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pages.h"
#include "record.h"
#include "stream_build.h"
#include "unit_main.h"

static struct stream s;

static void setup(void)
{
	s = (struct stream){0};
}

static void teardown(void)
{
	stream_release(&s);
}

/* A complete stream of which the fourth (HVM) or sixth (PV) record is PAGE_DATA as given. */
static size_t stream_with_pages(uint32_t guest, const uint64_t *entries, uint32_t count)
{
	const uint32_t *good = guest == GUEST_X86_HVM ? good_hvm : good_pv;
	size_t n = guest == GUEST_X86_HVM ? 7 : 9, at = 0;

	stream_headers(&s, 3, guest, 4);
	for (size_t i = 0; i < n; i++) {
		if (good[i] == REC_PAGE_DATA) {
			at = s.len;
			stream_pages(&s, entries, count);
		} else {
			stream_good_record(&s, good[i]);
		}
	}
	stream_good_record(&s, REC_END);
	return at;
}

static void fails_at(size_t at, const char *why)
{
	char text[256];

	snprintf(text, sizeof(text), "PAGE_DATA record at offset %zu: %s", at, why);
	stream_fails(&s, EBADMSG, text);
}

/* Each type in each kind of guest. The page-table types exist in PV guests only. */
START_TEST(every_type)
{
	uint32_t guest = _i % 2 ? GUEST_X86_PV : GUEST_X86_HVM;
	uint64_t type = (uint64_t)_i / 2;
	const uint64_t entries[] = {1, type << 60 | 0x12, 2};
	bool table = (type >= 1 && type <= 4) || (type >= 9 && type <= 0xc);
	size_t at = stream_with_pages(guest, entries, 3);
	char why[128];

	if (type >= 5 && type <= 8)
		snprintf(why, sizeof(why), "type %#x of pfn 0x12 is unknown", (unsigned)type);
	else if (table && guest == GUEST_X86_HVM)
		snprintf(why, sizeof(why),
			 "type %#x of pfn 0x12 is a page table, which an x86 HVM guest has not",
			 (unsigned)type);
	else
		why[0] = '\0';
	if (why[0])
		fails_at(at, why);
	else
		stream_passes(&s);
}
END_TEST

START_TEST(counts_of_verify)
{
	const uint64_t entries[] = {1, 0xd000000000000002, 0xe000000000000003, 0xf000000000000004,
				    5};
	struct xensr_verify_results results;

	stream_with_pages(GUEST_X86_HVM, entries, 5);
	ck_assert_int_eq(stream_verify(&s, &results, NULL), 0);
	ck_assert_uint_eq(results.page_entries, 5);
	ck_assert_uint_eq(results.pages, 2);
	ck_assert_uint_eq(results.records, 8);
	ck_assert_uint_eq(results.version, 3);
	ck_assert_uint_eq(results.guest_type, GUEST_X86_HVM);
	ck_assert_uint_eq(results.xen_major, 4);
	ck_assert_uint_eq(results.xen_minor, 17);
	ck_assert_uint_eq(results.octets, s.len);
}
END_TEST

static const struct {
	uint64_t entry;  /* as on the wire */
	const char *why; /* NULL: good */
} pfns[] = {
	{0x000000ffffffffff, NULL},
	{0x0000010000000000, "pfn 0x10000000000 is beyond what x86 can address"},
	{0x000fffffffffffff, "pfn 0xfffffffffffff is beyond what x86 can address"},
	{0xf000010000000000, "pfn 0x10000000000 is beyond what x86 can address"},
	{0x0ff0000000000007, NULL}, /* bits 59..52 are reserved and ignored */
	{0x0800000000000000, NULL},
};

START_TEST(far_pfns)
{
	size_t at = stream_with_pages(GUEST_X86_HVM, &pfns[_i].entry, 1);

	if (pfns[_i].why)
		fails_at(at, pfns[_i].why);
	else
		stream_passes(&s);
}
END_TEST

static const struct {
	uint32_t count, length;
	const char *why;
} bad_counts[] = {
	/* two entries with a page each make 8 + 16 + 8192 */
	{0, 8216, "has no entries"},
	{1028, 8216, "claims 1028 entries, but its 8216 octets have room for 1026"},
	{0xffffffff, 8216, "claims 4294967295 entries, but its 8216 octets have room for 1026"},
	{1, 8216, "is 8216 octets long, but 1 entries with 1 pages make 4112"},
	{2, 8215, "is 8215 octets long, but 2 entries with 2 pages make 8216"},
	{2, 8224, "is 8224 octets long, but 2 entries with 2 pages make 8216"},
	{2, 4120, "is 4120 octets long, but 2 entries with 2 pages make 8216"},
	{2, 24, "is 24 octets long, but 2 entries with 2 pages make 8216"},
	{2, 16, "claims 2 entries, but its 16 octets have room for 1"},
};

START_TEST(bad_count)
{
	const uint64_t entries[] = {3, 4};
	size_t at = stream_with_pages(GUEST_X86_HVM, entries, 2);

	memcpy(s.octets + at + 4, &bad_counts[_i].length, 4);
	memcpy(s.octets + at + 8, &bad_counts[_i].count, 4);
	fails_at(at, bad_counts[_i].why);
}
END_TEST

/* ---- taking pages ---------------------------------------------------------------------------- */

static struct xensr_ctx ctx;
static struct reader reader;
static struct record rec;
static uint8_t page[8][PAGE_OCTETS];

/* A reader that has just returned a PAGE_DATA record of 6 entries with 4 pages. */
static void at_pages(void)
{
	static const uint64_t entries[] = {0x10, 0xf000000000000011, 0x12,
					   0x13, 0xe000000000000014, 0x15};
	const struct xensr_reports none = {0};

	stream_with_pages(GUEST_X86_HVM, entries, 6);
	ctx_init(&ctx, stream_file(&s), &none);
	reader_init(&reader, &ctx, false);
	ck_assert_int_eq(read_headers(&reader), 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(read_record(&reader, &rec), 0);
	ck_assert_uint_eq(rec.type, REC_PAGE_DATA);
	ck_assert_uint_eq(rec.count, 6);
	ck_assert_uint_eq(rec.data_pages, 4);
	ck_assert_uint_eq(page_entry_pfn(rec.entries[5]), 0x15);
	ck_assert_int_eq(page_entry_type(rec.entries[4]), PAGE_ALLOC_ONLY);
}

static int take(uint32_t first, uint32_t pages)
{
	struct iovec iov[2] = {{page[first], (size_t)pages * PAGE_OCTETS}};

	return read_pages(&reader, iov, 1, pages);
}

/* Pages arrive in order, in whatever portions; then the stream goes on. */
START_TEST(portions)
{
	static const uint32_t sizes[][4] = {{4}, {1, 3}, {2, 2}, {1, 1, 1, 1}, {3, 0, 1}};
	static const uint8_t value[] = {0, 2, 3, 5};
	uint32_t done = 0;

	at_pages();
	for (int i = 0; i < 4 && done < 4; i++) {
		ck_assert_int_eq(take(done, sizes[_i][i]), 0);
		done += sizes[_i][i];
	}
	for (int i = 0; i < 4; i++) {
		for (size_t o = 0; o < PAGE_OCTETS; o++)
			ck_assert_uint_eq(page[i][o], value[i]);
	}
	ck_assert_int_eq(read_record(&reader, &rec), 0);
	ck_assert_uint_eq(rec.type, REC_X86_TSC_INFO);
	reader_release(&reader);
}
END_TEST

START_TEST(more_than_there_are)
{
	at_pages();
	ck_assert_int_eq(take(0, 5), -1);
	ck_assert_int_eq(ctx.err.errnum, EINVAL);
	reader_release(&reader);
}
END_TEST

/* Entries are looked at several at a time: with one of another kind among them, wherever it is. */
START_TEST(one_among_many)
{
	static const uint64_t runs[] = {0, 0xdull << 60, 0xeull << 60, 0xfull << 60};
	static const uint64_t others[] = {0,          0xdull << 60, 0xeull << 60, 0xfull << 60,
					  5ull << 60, PFN_LIMIT_X86};
	const struct xensr_reports none = {0};
	uint64_t entries[70];
	uint32_t with_data, populated;

	ctx_init(&ctx, -1, &none);
	for (uint32_t at = 0; at < COUNT(entries); at++) {
		const uint64_t run = runs[at % COUNT(runs)], other = others[_i] | 0x123;

		for (uint32_t i = 0; i < COUNT(entries); i++)
			entries[i] = i == at ? other : run | i;
		/* Of each length that has it. */
		for (uint32_t count = at + 1; count <= COUNT(entries); count++) {
			uint32_t alike = count - 1;
			int rc = pages_check_entries(&ctx, GUEST_X86_HVM, entries, count,
						     &with_data, &populated);

			if (_i >= 4) {
				ck_assert_int_eq(rc, -1);
				ck_assert_ptr_nonnull(
					strstr(ctx.err.text, _i == 4 ? "pfn 0x123 is unknown"
								     : "pfn 0x10000000123"));
				error_init(&ctx.err);
				continue;
			}
			ck_assert_int_eq(rc, 0);
			ck_assert_uint_eq(with_data, alike * (run >> 60 == 0) + (other >> 60 == 0));
			ck_assert_uint_eq(populated,
					  alike * (run >> 60 == 0 || run >> 60 == 0xe) +
						  (other >> 60 == 0 || other >> 60 == 0xe));
		}
	}
}
END_TEST

START_TEST(left_behind)
{
	at_pages();
	ck_assert_int_eq(take(0, 3), 0);
	ck_assert_int_eq(read_record(&reader, &rec), -1);
	ck_assert_int_eq(ctx.err.errnum, EINVAL);
	reader_release(&reader);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stream pages");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, every_type, 0, 32);
	tcase_add_test(tc, counts_of_verify);
	tcase_add_loop_test(tc, far_pfns, 0, COUNT(pfns));
	tcase_add_loop_test(tc, bad_count, 0, COUNT(bad_counts));
	tcase_add_loop_test(tc, portions, 0, 5);
	tcase_add_test(tc, more_than_there_are);
	tcase_add_test(tc, left_behind);
	tcase_add_loop_test(tc, one_among_many, 0, 6);
	return unit_main(suite, tc);
}
