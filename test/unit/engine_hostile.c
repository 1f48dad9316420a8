/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams that are damaged, cut, too large or made to hurt, given to the restore of an HVM
 * domain: the exact error, nothing left mapped, and the domain touched no further than it must
 * have been by then.
 */
#include "engine_harness.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xen/hvm/params.h>

#include "engine_alloc.h"
#include "pages.h"
#include "record.h"

#define SPECIAL 0x800ull

static struct stream s;

static void setup(void)
{
	harness_reset();
	h.target = fake_domain_add(TARGET_DOMID, 0x2000);
}

static void teardown(void)
{
	stream_release(&s);
}

static void run(void)
{
	int fd = stream_fd(&s);

	engine_alloc_arm(0);
	harness_restore(fd);
	engine_alloc_disarm();
	close(fd);
}

static void run_well(void)
{
	run();
	ck_assert_msg(h.rc == 0, "%s", h.err.text);
	harness_nothing_left();
}

static void check_untouched(void)
{
	ck_assert_uint_eq(fake.changes, 0);
	ck_assert_uint_eq(fake_pages(h.target), 0);
}

/* ---- pfns -------------------------------------------------------------------------------- */

START_TEST(pfn_beyond_domain)
{
	static const enum page_type types[] = {PAGE_NORMAL, PAGE_ALLOC_ONLY};
	const uint64_t entries[] = {
		page_entry(0x10, PAGE_NORMAL),
		page_entry(0xfffff, PAGE_NORMAL),
		page_entry(0x100000, types[_i]),
		page_entry(0x11, PAGE_NORMAL),
	};
	uint64_t at;

	h.target->gpaddr_bits = 32;
	stream_begin(&s);
	at = stream_pages(&s, entries, 4, 0);
	stream_finish(&s, SPECIAL);
	run();
	harness_failed(EBADMSG,
		       "PAGE_DATA record at offset %" PRIu64
		       ": pfn 0x100000 is beyond what domain 7 can have",
		       at);
	ck_assert_uint_eq(h.err.record_type, REC_PAGE_DATA);
	ck_assert_uint_eq(h.err.offset, at);
	check_untouched();
}
END_TEST

START_TEST(pfn_last_of_domain)
{
	h.target->gpaddr_bits = 32;
	stream_begin(&s);
	stream_run(&s, 0xffffe, 2, 0);
	stream_finish(&s, SPECIAL);
	run_well();
	ck_assert(page_is(fake_page(h.target, 0xfffff), 0xfffff, 0));
}
END_TEST

START_TEST(pfn_beyond_x86)
{
	const uint64_t entry = page_entry(PFN_LIMIT_X86, PAGE_NORMAL);
	uint64_t at;

	h.target->gpaddr_bits = 0; /* not known */
	stream_begin(&s);
	at = stream_pages(&s, &entry, 1, 0);
	stream_finish(&s, SPECIAL);
	run();
	harness_failed(EBADMSG,
		       "PAGE_DATA record at offset %" PRIu64
		       ": pfn 0x10000000000 is beyond what x86 can address",
		       at);
	check_untouched();
}
END_TEST

/* Where stock makes a bitmap of 32 GiB. */
START_TEST(pfn_huge)
{
	const uint64_t pfn = 1ull << 38, entry = page_entry(pfn, PAGE_NORMAL);

	h.target->gpaddr_bits = 52;
	stream_begin(&s);
	stream_pages(&s, &entry, 1, 0);
	stream_finish(&s, SPECIAL);
	run_well();
	ck_assert(page_is(fake_page(h.target, pfn), pfn, 0));
	ck_assert_uint_lt(engine_alloc.octets, 1u << 20);
}
END_TEST

START_TEST(pfns_scattered)
{
	uint64_t entries[1000];

	for (uint32_t i = 0; i < 1000; i++)
		entries[i] = page_entry((1000ull - i) << 28 | i, PAGE_NORMAL);
	h.target->gpaddr_bits = 52;
	stream_begin(&s);
	stream_pages(&s, entries, 1000, 0);
	stream_finish(&s, SPECIAL);
	run_well();
	ck_assert_uint_eq(fake_pages(h.target), 1008);
	ck_assert_uint_lt(engine_alloc.octets, 1000u * 2 * 4096 + (1u << 20));
}
END_TEST

/* The last content wins, and nothing is allocated twice (the fake host would refuse). */
START_TEST(pfn_twice_in_record)
{
	uint64_t entries[2048];

	for (uint32_t i = 0; i < 2048; i++)
		entries[i] = page_entry(0x200 + i % 700, PAGE_NORMAL);
	stream_begin(&s);
	stream_pages(&s, entries, 2048, 1);
	/* The second content of the first page. */
	page_fill(s.data + s.len - PAGE_OCTETS * (2048 - 1400), 0x200, 77);
	stream_finish(&s, SPECIAL);
	run_well();
	ck_assert_uint_eq(fake_pages(h.target), 700 + 8);
	ck_assert(page_is(fake_page(h.target, 0x200), 0x200, 77));
	for (uint64_t pfn = 0x201; pfn < 0x200 + 700; pfn++)
		MUST(page_is(fake_page(h.target, pfn), pfn, 1), "pfn %#" PRIx64, pfn);
	ck_assert_uint_eq(fake.extents_2m, 1);
}
END_TEST

START_TEST(pfn_twice_in_batch)
{
	const uint64_t entries[] = {
		page_entry(0x30, PAGE_NORMAL),
		page_entry(0x31, PAGE_NORMAL),
		page_entry(0x30, PAGE_ALLOC_ONLY),
		page_entry(0x30, PAGE_NORMAL),
	};

	stream_begin(&s);
	stream_pages(&s, entries, 4, 1);
	page_fill(s.data + s.len - PAGE_OCTETS, 0x30, 2);
	stream_finish(&s, SPECIAL);
	run_well();
	ck_assert(page_is(fake_page(h.target, 0x30), 0x30, 2));
	ck_assert(page_is(fake_page(h.target, 0x31), 0x31, 1));
	ck_assert_uint_eq(fake_pages(h.target), 2 + 8);
}
END_TEST

START_TEST(pfn_twice_in_stream)
{
	const uint64_t only = page_entry(0x210, PAGE_ALLOC_ONLY);

	stream_begin(&s);
	stream_run(&s, 0x210, 1, 1); /* so the run is no new superpage */
	stream_run(&s, 0x200, 512, 2);
	stream_run(&s, 0x400, 512, 2); /* this one is */
	stream_run(&s, 0x400, 512, 3);
	stream_run(&s, 0x3ff, 2, 4);
	stream_pages(&s, &only, 1, 0);
	stream_finish(&s, SPECIAL);
	run_well();
	ck_assert_uint_eq(fake_pages(h.target), 1024 + 8);
	ck_assert_uint_eq(fake.extents_2m, 1);
	for (uint64_t pfn = 0x200; pfn < 0x600; pfn++) {
		uint64_t seed = pfn == 0x3ff || pfn == 0x400 ? 4 : pfn < 0x400 ? 2 : 3;

		MUST(page_is(fake_page(h.target, pfn), pfn, seed), "pfn %#" PRIx64, pfn);
	}
}
END_TEST

START_TEST(pfn_before_its_run)
{
	uint64_t entries[513] = {page_entry(0x3ff, PAGE_NORMAL)};

	for (uint32_t i = 0; i < 512; i++)
		entries[1 + i] = page_entry(0x200 + i, PAGE_NORMAL);
	stream_begin(&s);
	stream_pages(&s, entries, 513, 5);
	stream_finish(&s, SPECIAL);
	run_well();
	ck_assert_uint_eq(fake_pages(h.target), 512 + 8);
	ck_assert_uint_eq(fake.extents_2m, 0);
	ck_assert(page_is(fake_page(h.target, 0x3ff), 0x3ff, 5));
}
END_TEST

/* ---- lengths that are only claimed ------------------------------------------------------- */

START_TEST(claims_context)
{
	const struct wire_record_header header = {REC_HVM_CONTEXT, 32u << 20};

	stream_begin(&s);
	stream_run(&s, SPECIAL, 8, 0);
	stream_put(&s, &header, sizeof(header));
	stream_put(&s, "few", 3);
	run();
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, ENODATA);
	ck_assert_uint_lt(engine_alloc.octets, 1u << 20);
	harness_state_untouched();
}
END_TEST

START_TEST(claims_pages)
{
	const struct wire_record_header header = {REC_PAGE_DATA, RECORD_LENGTH_MAX};
	const struct wire_page_data head = {.count = (RECORD_LENGTH_MAX - 8) / 8};

	stream_begin(&s);
	stream_put(&s, &header, sizeof(header));
	stream_put(&s, &head, sizeof(head));
	run();
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, ENODATA);
	ck_assert_uint_lt(engine_alloc.octets, 1u << 20);
	check_untouched();
}
END_TEST

START_TEST(length_wraps)
{
	const struct wire_record_header header = {
		_i & 1 ? REC_HVM_CONTEXT : 0x80001234,
		0xfffffff9u + (uint32_t)_i / 2,
	};
	uint64_t at;

	stream_begin(&s);
	at = s.len;
	stream_put(&s, &header, sizeof(header));
	stream_finish(&s, SPECIAL);
	run();
	harness_failed(EBADMSG,
		       "%s record at offset %" PRIu64
		       ": type %#x: length %u is over the format's limit of 134217728",
		       _i & 1 ? "HVM_CONTEXT" : "optional", at, header.type, header.length);
	check_untouched();
}
END_TEST

/* ---- parameters -------------------------------------------------------------------------- */

/* An image whose parameters are these. Returns the offset of their record. */
static uint64_t with_params(uint32_t count, const uint64_t (*params)[2])
{
	uint64_t at;

	stream_begin(&s);
	stream_run(&s, SPECIAL, 8, 0);
	stream_tsc(&s);
	stream_context(&s);
	at = stream_params(&s, count, params);
	stream_record(&s, REC_END, NULL, 0);
	return at;
}

static const struct {
	unsigned index;
	const char *name;
} mandatory_rings[] = {{HVM_PARAM_STORE_PFN, "xenstore"}, {HVM_PARAM_CONSOLE_PFN, "console"}};

START_TEST(ring_not_brought)
{
	static const uint64_t pfns[] = {SPECIAL - 1, SPECIAL + 8, 1ull << 39,
					1ull << 40,  1ull << 52,  (1ull << 63) + SPECIAL,
					UINT64_MAX};
	unsigned ring = (unsigned)_i % 2;
	uint64_t pfn = pfns[_i / 2];
	const uint64_t params[][2] = {{mandatory_rings[ring].index, pfn}};

	with_params(1, params);
	run();
	harness_failed(EBADMSG, "the %s page is pfn %#" PRIx64 ", which the stream did not bring",
		       mandatory_rings[ring].name, pfn);
	harness_state_untouched();
}
END_TEST

/* Savers leave out what is 0: a ring at pfn 0 is none, and the guest's pfn 0 stays as it is. */
START_TEST(ring_at_zero)
{
	const uint64_t params[][2] = {{mandatory_rings[_i].index, 0}};

	with_params(1, params);
	run_well();
	ck_assert_uint_eq(fake.calls[FN_CLEAR], 0);
	ck_assert_uint_eq(_i == 0 ? h.results.store_gfn : h.results.console_gfn, 0);
}
END_TEST

START_TEST(ring_without_memory)
{
	static const enum page_type types[] = {PAGE_BROKEN, PAGE_INVALID};
	const uint64_t entry = page_entry(0x900, types[_i]);
	const uint64_t params[][2] = {{HVM_PARAM_STORE_PFN, 0x900}};

	stream_begin(&s);
	stream_run(&s, SPECIAL, 8, 0);
	stream_pages(&s, &entry, 1, 0);
	stream_tsc(&s);
	stream_context(&s);
	stream_params(&s, 1, params);
	stream_record(&s, REC_END, NULL, 0);
	run();
	harness_failed(EBADMSG, "the xenstore page is pfn 0x900, which the stream did not bring");
	harness_state_untouched();
}
END_TEST

/* The device model's own rings need not be memory of the guest; then they are not cleared. */
START_TEST(ioreq_not_brought)
{
	const uint64_t params[][2] = {
		{HVM_PARAM_STORE_PFN, SPECIAL},
		{HVM_PARAM_IOREQ_PFN, SPECIAL + 99},
		{HVM_PARAM_BUFIOREQ_PFN, UINT64_MAX},
	};

	with_params(3, params);
	run_well();
	ck_assert_uint_eq(fake.calls[FN_CLEAR], 1);
	ck_assert_uint_eq(h.target->params[HVM_PARAM_BUFIOREQ_PFN], UINT64_MAX);
}
END_TEST

START_TEST(unknown_param)
{
	static const uint64_t unknown[] = {HVM_PARAM_CALLBACK_IRQ,
					   HVM_PARAM_STORE_EVTCHN,
					   HVM_PARAM_CONSOLE_EVTCHN,
					   HVM_PARAM_ALTP2M,
					   HVM_PARAM_NESTEDHVM,
					   HVM_NR_PARAMS,
					   63,
					   64,
					   64 + HVM_PARAM_STORE_PFN,
					   0x100000001ull,
					   UINT64_MAX};
	const uint64_t params[][2] = {{HVM_PARAM_STORE_PFN, SPECIAL}, {unknown[_i], 1}};
	uint64_t at = with_params(2, params);

	run();
	harness_failed(EBADMSG,
		       "HVM_PARAMS record at offset %" PRIu64 ": parameter %#" PRIx64
		       " is none that a saved guest has",
		       at, unknown[_i]);
	harness_state_untouched();
}
END_TEST

START_TEST(param_twice)
{
	const uint64_t params[][2] = {{HVM_PARAM_STORE_PFN, SPECIAL},
				      {HVM_PARAM_STORE_PFN, SPECIAL + 1}};
	uint64_t at = with_params(2, params);

	run();
	harness_failed(EBADMSG,
		       "HVM_PARAMS record at offset %" PRIu64 ": parameter 0x1 comes twice", at);
	harness_state_untouched();
}
END_TEST

START_TEST(param_count_wrong)
{
	static const uint32_t counts[] = {0, 1, 3, 0x10000002, UINT32_MAX};
	const uint64_t params[][2] = {{HVM_PARAM_STORE_PFN, SPECIAL},
				      {HVM_PARAM_CONSOLE_PFN, SPECIAL + 1}};
	uint64_t at = with_params(2, params);

	memcpy(s.data + at + 8, &counts[_i], 4);
	run();
	harness_failed(EBADMSG,
		       "HVM_PARAMS record at offset %" PRIu64
		       ": is 40 octets long, but %u parameters make %" PRIu64,
		       at, counts[_i], 8 + 16 * (uint64_t)counts[_i]);
	harness_state_untouched();
}
END_TEST

/* ---- the wrong stream -------------------------------------------------------------------- */

START_TEST(pv_into_hvm)
{
	stream_headers(&s, 3, GUEST_X86_PV);
	run();
	harness_failed(EINVAL, "the stream holds an x86 PV guest, domain 7 is x86 HVM");
	check_untouched();
}
END_TEST

START_TEST(hvm_into_pv)
{
	h.target->flags &= ~XEN_DOMINF_hvm_guest;
	stream_begin(&s);
	stream_finish(&s, SPECIAL);
	run();
	harness_failed(EINVAL, "the stream holds an x86 HVM guest, domain 7 is x86 PV");
	check_untouched();
}
END_TEST

/* One octet of the headers is wrong. */
START_TEST(bad_headers)
{
	static const struct {
		unsigned octet;
		uint8_t value;
		const char *text;
	} cases[] = {
		{0, 0,
		 "image header at offset 0: no marker: this is not a domain stream of Xen 4.6 or "
		 "later (an older image must be converted first)"},
		{8, 0, "image header at offset 0: id is 0x454e46, not 0x58454e46 (\"XENF\")"},
		{15, 4, "image header at offset 0: version 4 is unknown, 2 to 3 are known"},
		{15, 1, "image header at offset 0: version 1 is unknown, 2 to 3 are known"},
		{17, 1,
		 "image header at offset 0: the body is big-endian; x86 reads little-endian"},
		{24, 3, "domain header at offset 24: guest type 0x3 is unknown"},
		{28, 44, "domain header at offset 24: page shift is 44, must be 12"},
		{28, 13, "domain header at offset 24: page shift is 13, must be 12"},
	};

	stream_begin(&s);
	stream_finish(&s, SPECIAL);
	s.data[cases[_i].octet] = cases[_i].value;
	run();
	harness_failed(EBADMSG, "%s", cases[_i].text);
	check_untouched();
}
END_TEST

/* ---- the wrong record -------------------------------------------------------------------- */

/* A record after the static data, whose body is a few zeroes. */
START_TEST(bad_record)
{
	static const struct {
		uint32_t type, length;
		int errnum;
		const char *text;
	} cases[] = {
		{0x13, 0, EBADMSG, "unknown record at offset 48: type 0x13 is unknown"},
		{0x7fffffff, 8, EBADMSG, "unknown record at offset 48: type 0x7fffffff is unknown"},
		{REC_END, 0, EBADMSG, "END record at offset 48: comes before PAGE_DATA"},
		{REC_STATIC_DATA_END, 0, EBADMSG,
		 "STATIC_DATA_END record at offset 48: comes after the end of the static data"},
		{REC_X86_CPUID_POLICY, 24, EBADMSG,
		 "X86_CPUID_POLICY record at offset 48: comes after the end of the static data"},
		{REC_X86_MSR_POLICY, 16, EBADMSG,
		 "X86_MSR_POLICY record at offset 48: comes after the end of the static data"},
		{REC_X86_PV_INFO, 8, EBADMSG,
		 "X86_PV_INFO record at offset 48: does not belong to an x86 HVM guest"},
		{REC_SHARED_INFO, 4096, EBADMSG,
		 "SHARED_INFO record at offset 48: does not belong to an x86 HVM guest"},
		{REC_X86_PV_P2M_FRAMES, 16, EBADMSG,
		 "X86_PV_P2M_FRAMES record at offset 48: does not belong to an x86 HVM guest"},
		{REC_VERIFY, 0, EBADMSG, "VERIFY record at offset 48: comes before PAGE_DATA"},
		{REC_CHECKPOINT, 0, EBADMSG,
		 "CHECKPOINT record at offset 48: comes before PAGE_DATA"},
		{REC_PAGE_DATA, 16, EBADMSG, "PAGE_DATA record at offset 48: has no entries"},
		{REC_PAGE_DATA, 8, EBADMSG,
		 "PAGE_DATA record at offset 48: is 8 octets long, at least 16 needed"},
		{REC_X86_TSC_INFO, 16, EBADMSG,
		 "X86_TSC_INFO record at offset 48: is 16 octets long, at least 24 needed"},
		{REC_X86_TSC_INFO, 32, EBADMSG,
		 "X86_TSC_INFO record at offset 48: is 32 octets long, at most 24 allowed"},
		{REC_HVM_CONTEXT, 16, EBADMSG,
		 "HVM_CONTEXT record at offset 48: the hvm context does not begin with its "
		 "header"},
		{REC_HVM_CONTEXT, 0, EBADMSG,
		 "HVM_CONTEXT record at offset 48: is 0 octets long, at least 8 needed"},
	};
	static const uint8_t zeroes[4096];
	uint64_t at;

	stream_begin(&s);
	at = stream_record(&s, cases[_i].type, zeroes, cases[_i].length);
	ck_assert_uint_eq(at, 48);
	stream_finish(&s, SPECIAL);
	run();
	harness_failed(cases[_i].errnum, "%s", cases[_i].text);
	ck_assert_uint_eq(h.err.offset, 48);
	ck_assert_uint_eq(h.err.record_type, cases[_i].type);
	check_untouched();
}
END_TEST
#define BAD_RECORDS 17

/* The same where memory has come already. */
START_TEST(bad_record_later)
{
	static const struct {
		uint32_t type;
		int errnum;
		const char *text;
	} cases[] = {
		{REC_CHECKPOINT, EBADMSG, "comes in a stream that is not checkpointed"},
		{REC_END, EBADMSG,
		 "the image is incomplete, there was no X86_TSC_INFO, HVM_CONTEXT, HVM_PARAMS"},
	};
	uint64_t at;

	stream_begin(&s);
	stream_run(&s, SPECIAL, 8, 0);
	at = stream_record(&s, cases[_i].type, NULL, 0);
	stream_finish(&s, SPECIAL);
	run();
	harness_failed(cases[_i].errnum, "%s at offset %" PRIu64 ": %s",
		       record_title(cases[_i].type), at, cases[_i].text);
	harness_state_untouched();
}
END_TEST

START_TEST(record_twice)
{
	static const char *const names[] = {"X86_TSC_INFO", "HVM_CONTEXT"};
	uint64_t at;

	stream_begin(&s);
	stream_run(&s, SPECIAL, 8, 0);
	stream_tsc(&s);
	stream_context(&s);
	stream_usual_params(&s, SPECIAL);
	at = _i == 0 ? stream_tsc(&s) : stream_context(&s);
	stream_record(&s, REC_END, NULL, 0);
	run();
	harness_failed(EBADMSG, "%s record at offset %" PRIu64 ": comes a second time", names[_i],
		       at);
	harness_state_untouched();
}
END_TEST

START_TEST(policy_twice)
{
	uint64_t at;

	stream_headers(&s, 3, GUEST_X86_HVM);
	stream_cpuid(&s);
	stream_msrs(&s);
	at = _i ? stream_cpuid(&s) : stream_msrs(&s);
	stream_record(&s, REC_STATIC_DATA_END, NULL, 0);
	stream_finish(&s, SPECIAL);
	run();
	harness_failed(EBADMSG, "%s record at offset %" PRIu64 ": comes a second time",
		       _i ? "X86_CPUID_POLICY" : "X86_MSR_POLICY", at);
	check_untouched();
}
END_TEST

/* An image without one of the records a guest cannot live without. */
START_TEST(image_incomplete)
{
	static const char *const names[] = {"X86_TSC_INFO", "HVM_CONTEXT", "HVM_PARAMS"};
	uint64_t at;

	stream_begin(&s);
	stream_run(&s, SPECIAL, 8, 0);
	if (_i != 0)
		stream_tsc(&s);
	if (_i != 1)
		stream_context(&s);
	if (_i != 2)
		stream_usual_params(&s, SPECIAL);
	else
		stream_params(&s, 0, NULL); /* empty is as good as none */
	at = stream_record(&s, REC_END, NULL, 0);
	run();
	harness_failed(EBADMSG,
		       "END record at offset %" PRIu64 ": the image is incomplete, there was no %s",
		       at, names[_i]);
	harness_state_untouched();
}
END_TEST

START_TEST(bad_page_type)
{
	static const unsigned types[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
	const uint64_t entries[] = {
		page_entry(0x10, PAGE_NORMAL),
		page_entry(0x11, (enum page_type)types[_i]),
	};
	bool table = types[_i] < 5 || types[_i] > 8;
	uint64_t at;

	stream_begin(&s);
	at = stream_pages(&s, entries, 2, 0);
	stream_finish(&s, SPECIAL);
	run();
	harness_failed(
		EBADMSG, "PAGE_DATA record at offset %" PRIu64 ": type %#x of pfn 0x11 is %s", at,
		types[_i], table ? "a page table, which an x86 HVM guest has not" : "unknown");
	check_untouched();
}
END_TEST

START_TEST(page_record_length_wrong)
{
	uint32_t length;
	uint64_t at;

	stream_begin(&s);
	at = stream_run(&s, 0x10, 2, 0);
	length = 8 + 16 + 2 * 4096 + (_i ? 8 : -8u);
	memcpy(s.data + at + 4, &length, 4);
	stream_finish(&s, SPECIAL);
	run();
	harness_failed(EBADMSG,
		       "PAGE_DATA record at offset %" PRIu64
		       ": is %u octets long, but 2 entries with 2 pages make 8216",
		       at, length);
	check_untouched();
}
END_TEST

START_TEST(page_record_count_wrong)
{
	static const uint32_t counts[] = {1026, 0x20000001, UINT32_MAX};
	uint64_t at;

	stream_begin(&s);
	at = stream_run(&s, 0x10, 2, 0);
	memcpy(s.data + at + 8, &counts[_i], 4);
	stream_finish(&s, SPECIAL);
	run();
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, EBADMSG);
	ck_assert_uint_eq(h.err.offset, at);
	if (counts[_i] > 1026)
		harness_failed(EBADMSG,
			       "PAGE_DATA record at offset %" PRIu64
			       ": claims %u entries, but its 8216 octets have room for 1026",
			       at, counts[_i]);
	check_untouched();
}
END_TEST

/* ---- cut --------------------------------------------------------------------------------- */

/* What a restore must say of a stream that ends after `cut` octets. */
static void expect_cut(const struct stream_item *items, unsigned n, uint64_t cut)
{
	char what[64] = "image header";
	uint64_t from = 0, to = sizeof(struct wire_image_header);

	if (cut >= 24) {
		snprintf(what, sizeof(what), "domain header");
		from = 24;
		to = 40;
	}
	for (unsigned i = 0; i < n && items[i].offset <= cut; i++) {
		bool pages = items[i].type == REC_PAGE_DATA;
		uint64_t body = items[i].offset + 8, front;
		uint32_t count = 0;

		if (cut < body && i && items[i - 1].type == REC_PAGE_DATA) {
			/* This header was to come with the last pages of the one before. */
			to = body;
			break;
		}
		from = items[i].offset;
		if (cut < body) {
			snprintf(what, sizeof(what), "record header");
			to = body;
			break;
		}
		snprintf(what, sizeof(what), "%s", record_title(items[i].type));
		to = items[i].end;
		if (!pages)
			continue;
		memcpy(&count, items[i].body, 4);
		front = items[i].end - body;
		if (front > 8 + 1024 * 8) /* what the entries usually take comes at once */
			front = 8 + 1024 * 8;
		if (front < items[i].end - body && cut < body + front)
			to = body + front;
		else if (front < items[i].end - body && cut < body + 8 + count * 8)
			to = body + 8 + count * 8;
		else
			to = items[i].end + 8;
	}
	harness_failed(ENODATA,
		       "%s at offset %" PRIu64 ": the stream ends early, at offset %" PRIu64
		       ": %" PRIu64 " more octets expected",
		       what, from, cut, to - cut);
}

static void cut_at(const struct stream_item *items, unsigned n, uint64_t cut)
{
	int fd = stream_fd_cut(&s, cut);

	harness_reset();
	h.target = fake_domain_add(TARGET_DOMID, 0x2000);
	harness_restore(fd);
	expect_cut(items, n, cut);
	harness_state_untouched();
	if (cut < items[3].offset + 8 + 8)
		ck_assert_uint_eq(fake_pages(h.target), 0);
	close(fd);
}

START_TEST(cut_everywhere)
{
	struct stream_item items[STREAM_ITEMS];
	unsigned n;

	stream_headers(&s, 3, GUEST_X86_HVM);
	stream_cpuid(&s);
	stream_msrs(&s);
	stream_record(&s, REC_STATIC_DATA_END, NULL, 0);
	stream_run(&s, 0x200, 600, 0);
	stream_finish(&s, SPECIAL);
	n = stream_items(&s, items);

	for (uint64_t cut = 0; cut < 41; cut++)
		cut_at(items, n, cut);
	for (unsigned i = 0; i < n; i++) {
		const uint64_t around[] = {items[i].offset, items[i].offset + 8,
					   items[i].offset + 16,
					   (items[i].offset + items[i].end) / 2, items[i].end};

		for (unsigned j = 0; j < sizeof(around) / sizeof(around[0]); j++) {
			for (uint64_t cut = around[j] - 1; cut <= around[j] + 1; cut++) {
				if (cut < s.len)
					cut_at(items, n, cut);
			}
		}
	}
	/* Uncut it is a good one. */
	harness_reset();
	h.target = fake_domain_add(TARGET_DOMID, 0x2000);
	run_well();
}
END_TEST

/* Each octet of everything but the pages damaged in turn: no crash, and either an honest
 * success or a failure that leaves nothing. */
START_TEST(damage_everywhere)
{
	struct stream_item items[STREAM_ITEMS];
	unsigned n, failures = 0;

	stream_headers(&s, 3, GUEST_X86_HVM);
	stream_cpuid(&s);
	stream_msrs(&s);
	stream_record(&s, REC_STATIC_DATA_END, NULL, 0);
	stream_finish(&s, SPECIAL);
	n = stream_items(&s, items);
	for (uint64_t at = 0; at < s.len; at++) {
		uint8_t was = s.data[at];

		if (at > items[3].offset + 16 + 8 * 8 && at < items[3].end)
			continue;
		ck_assert_uint_eq(items[3].type, REC_PAGE_DATA);
		s.data[at] ^= (uint8_t)(1u << _i);
		harness_reset();
		h.target = fake_domain_add(TARGET_DOMID, 0x2000);
		run();
		if (h.rc) {
			harness_failed_somehow();
			failures++;
		}
		harness_nothing_left();
		s.data[at] = was;
	}
	ck_assert_uint_gt(n, 7);
	ck_assert_uint_gt(failures, 24 + 16);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine against hostile streams");
	TCase *tc;

	tc = harness_tcase(suite, "pfns", setup, teardown);
	tcase_add_loop_test(tc, pfn_beyond_domain, 0, 2);
	tcase_add_test(tc, pfn_last_of_domain);
	tcase_add_test(tc, pfn_beyond_x86);
	tcase_add_test(tc, pfn_huge);
	tcase_add_test(tc, pfns_scattered);
	tcase_add_test(tc, pfn_twice_in_record);
	tcase_add_test(tc, pfn_twice_in_batch);
	tcase_add_test(tc, pfn_twice_in_stream);
	tcase_add_test(tc, pfn_before_its_run);

	tc = harness_tcase(suite, "claims", setup, teardown);
	tcase_add_test(tc, claims_context);
	tcase_add_test(tc, claims_pages);
	tcase_add_loop_test(tc, length_wraps, 0, 14);

	tc = harness_tcase(suite, "parameters", setup, teardown);
	tcase_add_loop_test(tc, ring_not_brought, 0, 14);
	tcase_add_loop_test(tc, ring_at_zero, 0, 2);
	tcase_add_loop_test(tc, ring_without_memory, 0, 2);
	tcase_add_test(tc, ioreq_not_brought);
	tcase_add_loop_test(tc, unknown_param, 0, 11);
	tcase_add_test(tc, param_twice);
	tcase_add_loop_test(tc, param_count_wrong, 0, 5);

	tc = harness_tcase(suite, "wrong stream", setup, teardown);
	tcase_add_test(tc, pv_into_hvm);
	tcase_add_test(tc, hvm_into_pv);
	tcase_add_loop_test(tc, bad_headers, 0, 8);

	tc = harness_tcase(suite, "wrong record", setup, teardown);
	tcase_add_loop_test(tc, bad_record, 0, BAD_RECORDS);
	tcase_add_loop_test(tc, bad_record_later, 0, 2);
	tcase_add_loop_test(tc, record_twice, 0, 2);
	tcase_add_loop_test(tc, policy_twice, 0, 2);
	tcase_add_loop_test(tc, image_incomplete, 0, 3);
	tcase_add_loop_test(tc, bad_page_type, 0, 12);
	tcase_add_loop_test(tc, page_record_length_wrong, 0, 2);
	tcase_add_loop_test(tc, page_record_count_wrong, 0, 3);

	tc = harness_tcase(suite, "cut and damaged", setup, teardown);
	tcase_add_test(tc, cut_everywhere);
	tcase_add_loop_test(tc, damage_everywhere, 0, 8);
	return harness_main(suite);
}
