/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Framing: what the writers put on the wire, octet by octet; headers and records that are too
 * short, too long, odd or unknown, each with its exact error.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
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

/* ---- writing ------------------------------------------------------------------------------- */

static struct xensr_ctx out;

static void begin_writing(void)
{
	const struct xensr_reports none = {0};

	ctx_init(&out, memfd_create("out", 0), &none);
}

/* The file holds exactly these octets, and the context counted them. */
static void written(const uint8_t *octets, size_t n)
{
	uint8_t *got = malloc(n + 1);

	ck_assert_int_eq(pread(out.io_fd, got, n + 1, 0), (ssize_t)n);
	ck_assert_mem_eq(got, octets, n);
	ck_assert_uint_eq(out.offset, n);
	free(got);
	close(out.io_fd);
}

START_TEST(headers_octets)
{
	static const uint8_t octets[] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* marker */
		0x58, 0x45, 0x4e, 0x46,                         /* "XENF", big-endian */
		0,    0,    0,    3,                            /* version, big-endian */
		0,    0,    0,    0,    0,    0,    0,    0,    /* options, reserved */
		2,    0,    0,    0,                            /* x86 HVM */
		12,   0,    0,    0,                            /* page shift, reserved */
		4,    0,    0,    0,    0x11, 0,    0,    0,    /* Xen 4.17 */
	};

	begin_writing();
	ck_assert_int_eq(write_headers(&out, GUEST_X86_HVM, 4, 17), 0);
	written(octets, sizeof(octets));
}
END_TEST

/* Bodies of 0 to 9 octets from two vectors, padded with zeroes to a multiple of 8. */
START_TEST(record_octets)
{
	uint8_t octets[8 + 16] = {0x34, 0x12, 0, 0x80, (uint8_t)_i};
	uint8_t body[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
	size_t n = (size_t)_i, half = n / 2;
	struct iovec iov[] = {{body, half}, {body + half, n - half}};

	memcpy(octets + 8, body, n);
	begin_writing();
	ck_assert_int_eq(write_record(&out, 0x80001234, iov, 2), 0);
	written(octets, 8 + (n + 7) / 8 * 8);
}
END_TEST

START_TEST(record_over_the_limit)
{
	size_t over = RECORD_LENGTH_MAX + 1ul;
	void *body =
		mmap(NULL, over, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	begin_writing();
	ck_assert_int_eq(write_record(&out, REC_HVM_CONTEXT, &(struct iovec){body, over}, 1), -1);
	ck_assert_int_eq(out.err.errnum, EMSGSIZE);
	ck_assert_str_eq(out.err.text, "HVM_CONTEXT record at offset 0: length 134217729 is over "
				       "the format's limit of 134217728");
	written((const uint8_t *)"", 0);
	munmap(body, over);
}
END_TEST

/* The pages lie in three vectors; entries without data carry none. */
START_TEST(pages_octets)
{
	static uint8_t pages[3][PAGE_OCTETS];
	uint64_t entries[] = {page_entry(0x12, PAGE_NORMAL), page_entry(0x13, PAGE_BROKEN),
			      page_entry(0x14, PAGE_L4_PINNED), page_entry(0x15, PAGE_ALLOC_ONLY),
			      page_entry(0xfffffffff, PAGE_L1)};
	struct iovec iov[PAGES_IOV_FIRST + 2];

	memset(pages[0], 1, PAGE_OCTETS);
	memset(pages[1], 2, PAGE_OCTETS);
	memset(pages[2], 3, PAGE_OCTETS);
	stream_claim(&s, REC_PAGE_DATA, 8 + 5 * 8 + 3 * PAGE_OCTETS);
	stream_raw(&s, (uint32_t[]){5, 0}, 8);
	stream_raw(&s,
		   (uint64_t[]){0x12, 0xd000000000000013, 0xc000000000000014, 0xe000000000000015,
				0x1000000fffffffff},
		   40);
	stream_raw(&s, pages, sizeof(pages));

	begin_writing();
	iov[PAGES_IOV_FIRST] = (struct iovec){pages[0], 2ul * PAGE_OCTETS};
	iov[PAGES_IOV_FIRST + 1] = (struct iovec){pages[2], PAGE_OCTETS};
	ck_assert_int_eq(pages_write(&out, entries, 5, iov, PAGES_IOV_FIRST + 2), 0);
	written(s.octets, s.len);
}
END_TEST

/* ---- headers ------------------------------------------------------------------------------- */

static const struct {
	size_t offset;
	uint8_t octet;
	int errnum;
	const char *text;
} bad_headers[] = {
	{3, 0, EBADMSG,
	 "image header at offset 0: no marker: this is not a domain stream of Xen 4.6 or later (an "
	 "older image must be converted first)"},
	{8, 'Y', EBADMSG, "image header at offset 0: id is 0x59454e46, not 0x58454e46 (\"XENF\")"},
	{15, 1, EBADMSG, "image header at offset 0: version 1 is unknown, 2 to 3 are known"},
	{15, 4, EBADMSG, "image header at offset 0: version 4 is unknown, 2 to 3 are known"},
	{12, 1, EBADMSG, "image header at offset 0: version 16777219 is unknown, 2 to 3 are known"},
	{17, 1, EBADMSG,
	 "image header at offset 0: the body is big-endian; x86 reads little-endian"},
	{24, 0, EBADMSG, "domain header at offset 24: guest type 0 is unknown"},
	{24, 3, EBADMSG, "domain header at offset 24: guest type 0x3 is unknown"},
	{28, 44, EBADMSG, "domain header at offset 24: page shift is 44, must be 12"},
	{29, 1, EBADMSG, "domain header at offset 24: page shift is 268, must be 12"},
};

START_TEST(bad_header)
{
	stream_of(&s, 3, GUEST_X86_HVM, good_hvm, 7);
	stream_good_record(&s, REC_END);
	s.octets[bad_headers[_i].offset] = bad_headers[_i].octet;
	stream_fails(&s, bad_headers[_i].errnum, bad_headers[_i].text);
}
END_TEST

/* Reserved octets say nothing: the format ignores them. */
START_TEST(reserved_octets)
{
	static const size_t offsets[] = {16, 18, 23, 30, 31};

	stream_of(&s, 3, GUEST_X86_HVM, good_hvm, 7);
	stream_good_record(&s, REC_END);
	s.octets[offsets[_i]] |= 0x80;
	stream_passes(&s);
}
END_TEST

/* ---- record lengths ------------------------------------------------------------------------ */

static const struct {
	uint32_t guest, type, length;
	const char *text; /* after "NAME record at offset N: " */
} bad_lengths[] = {
	{GUEST_X86_HVM, REC_END, 8, "is 8 octets long, at most 0 allowed"},
	{GUEST_X86_HVM, REC_PAGE_DATA, 0, "is 0 octets long, at least 16 needed"},
	{GUEST_X86_HVM, REC_PAGE_DATA, 15, "is 15 octets long, at least 16 needed"},
	{GUEST_X86_PV, REC_X86_PV_INFO, 7, "is 7 octets long, at least 8 needed"},
	{GUEST_X86_PV, REC_X86_PV_INFO, 16, "is 16 octets long, at most 8 allowed"},
	{GUEST_X86_PV, REC_X86_PV_P2M_FRAMES, 8, "is 8 octets long, at least 16 needed"},
	{GUEST_X86_PV, REC_X86_PV_P2M_FRAMES, 20, "20 octets are no multiple of an entry's 8"},
	{GUEST_X86_PV, REC_X86_PV_VCPU_BASIC, 8, "is 8 octets long, at least 9 needed"},
	{GUEST_X86_PV, REC_X86_PV_VCPU_BASIC, 5177, "is 5177 octets long, at most 5176 allowed"},
	{GUEST_X86_PV, REC_X86_PV_VCPU_EXTENDED, 137, "is 137 octets long, at most 136 allowed"},
	{GUEST_X86_PV, REC_X86_PV_VCPU_EXTENDED, 4, "is 4 octets long, at least 16 needed"},
	{GUEST_X86_PV, REC_X86_PV_VCPU_XSAVE, 1048585,
	 "is 1048585 octets long, at most 1048584 allowed"},
	{GUEST_X86_PV, REC_X86_PV_VCPU_MSRS, 8 + 20, "20 octets are no multiple of an entry's 16"},
	{GUEST_X86_PV, REC_SHARED_INFO, 4095, "is 4095 octets long, at least 4096 needed"},
	{GUEST_X86_PV, REC_SHARED_INFO, 4104, "is 4104 octets long, at most 4096 allowed"},
	{GUEST_X86_HVM, REC_X86_TSC_INFO, 23, "is 23 octets long, at least 24 needed"},
	{GUEST_X86_HVM, REC_X86_TSC_INFO, 25, "is 25 octets long, at most 24 allowed"},
	{GUEST_X86_HVM, REC_HVM_CONTEXT, 0, "is 0 octets long, at least 8 needed"},
	{GUEST_X86_HVM, REC_HVM_CONTEXT, (32u << 20) + 1,
	 "is 33554433 octets long, at most 33554432 allowed"},
	{GUEST_X86_HVM, REC_HVM_PARAMS, 7, "is 7 octets long, at least 24 needed"},
	{GUEST_X86_HVM, REC_HVM_PARAMS, 8 + 16 * 1025,
	 "is 16408 octets long, at most 16392 allowed"},
	{GUEST_X86_HVM, REC_VERIFY, 1, "is 1 octets long, at most 0 allowed"},
	{GUEST_X86_HVM, REC_CHECKPOINT, 1, "is 1 octets long, at most 0 allowed"},
	{GUEST_X86_HVM, REC_PAGE_DATA, 0x8000001,
	 "type 0x1: length 134217729 is over the format's limit of 134217728"},
	{GUEST_X86_HVM, REC_HVM_CONTEXT, 0xfffffff9,
	 "type 0x9: length 4294967289 is over the format's limit of 134217728"},
	{GUEST_X86_HVM, REC_END, 0xffffffff,
	 "type 0: length 4294967295 is over the format's limit of 134217728"},
	{GUEST_X86_HVM, 0x80000000u | 77, 0xfffffffc,
	 "type 0x8000004d: length 4294967292 is over the format's limit of 134217728"},
};

/* The record stands where a good one of its type could: after the memory, or after PV_INFO. */
START_TEST(bad_length)
{
	uint32_t guest = bad_lengths[_i].guest, type = bad_lengths[_i].type;
	char text[256];

	if (guest == GUEST_X86_HVM)
		stream_of(&s, 3, guest, good_hvm, 4);
	else if (type == REC_X86_PV_INFO)
		stream_headers(&s, 3, guest, 4);
	else
		stream_of(&s, 3, guest, good_pv, type == REC_X86_PV_P2M_FRAMES ? 4 : 6);
	snprintf(text, sizeof(text), "%s at offset %zu: %s", record_title(type), s.len,
		 bad_lengths[_i].text);
	stream_record(&s, type, NULL,
		      bad_lengths[_i].length > RECORD_LENGTH_MAX ? 0 : bad_lengths[_i].length);
	memcpy(s.octets + s.record[s.records - 1] + 4, &bad_lengths[_i].length, 4);
	stream_fails(&s, EBADMSG, text);
}
END_TEST

/* Static records, which stand at the beginning. */
static const struct {
	uint32_t type, length;
	const char *text;
} bad_static[] = {
	{REC_STATIC_DATA_END, 8,
	 "STATIC_DATA_END record at offset 40: is 8 octets long, at most 0 allowed"},
	{REC_X86_CPUID_POLICY, 0,
	 "X86_CPUID_POLICY record at offset 40: is 0 octets long, at least 24 needed"},
	{REC_X86_CPUID_POLICY, 40,
	 "X86_CPUID_POLICY record at offset 40: 40 octets are no multiple of an entry's 24"},
	{REC_X86_CPUID_POLICY, 24 * 16385,
	 "X86_CPUID_POLICY record at offset 40: is 393240 octets long, at most 393216 allowed"},
	{REC_X86_MSR_POLICY, 24,
	 "X86_MSR_POLICY record at offset 40: 24 octets are no multiple of an entry's 16"},
	{REC_X86_MSR_POLICY, 16 * 16385,
	 "X86_MSR_POLICY record at offset 40: is 262160 octets long, at most 262144 allowed"},
	{0x13, 8, "unknown record at offset 40: type 0x13 is unknown"},
	{0x7fffffff, 0, "unknown record at offset 40: type 0x7fffffff is unknown"},
};

START_TEST(bad_static_record)
{
	stream_headers(&s, 3, GUEST_X86_HVM, 4);
	stream_record(&s, bad_static[_i].type, NULL, bad_static[_i].length);
	stream_fails(&s, EBADMSG, bad_static[_i].text);
}
END_TEST

/* Optional records nobody knows are skipped anywhere, of any length, padding included. */
START_TEST(optional_records)
{
	struct xensr_verify_results results;

	stream_headers(&s, 3, GUEST_X86_HVM, 4);
	stream_record(&s, 0x80000001, "x", 1);
	for (size_t i = 0; i < 7; i++) {
		stream_good_record(&s, good_hvm[i]);
		stream_record(&s, 0xffffffff, NULL, 40000 + (uint32_t)i);
		stream_record(&s, 0x80000000, NULL, 0);
	}
	stream_good_record(&s, REC_END);
	stream_passes(&s);
	ck_assert_int_eq(stream_verify(&s, &results, NULL), 0);
	ck_assert_uint_eq(results.records, 8);
	ck_assert_uint_eq(results.pages, 4);
}
END_TEST

/* ---- bodies -------------------------------------------------------------------------------- */

static const struct {
	uint32_t guest, type;
	size_t at; /* octet of the body that is replaced */
	uint8_t octet;
	const char *text; /* NULL: no difference */
} bad_bodies[] = {
	{GUEST_X86_PV, REC_X86_PV_INFO, 0, 4,
	 "guest width 4 with 4 page-table levels; 8 with 4 and 4 with 3 exist"},
	{GUEST_X86_PV, REC_X86_PV_INFO, 1, 3,
	 "guest width 8 with 3 page-table levels; 8 with 4 and 4 with 3 exist"},
	{GUEST_X86_PV, REC_X86_PV_INFO, 7, 1, NULL},
	{GUEST_X86_PV, REC_X86_PV_P2M_FRAMES, 3, 1, "start pfn 0x1000000 is after end pfn 0x1ff"},
	{GUEST_X86_PV, REC_X86_PV_VCPU_BASIC, 1, 0x10, "vcpu 4096, at most 4095 exist"},
	{GUEST_X86_PV, REC_X86_PV_VCPU_BASIC, 5, 0x10, NULL},
	{GUEST_X86_HVM, REC_HVM_PARAMS, 0, 3, "is 40 octets long, but 3 parameters make 56"},
	{GUEST_X86_HVM, REC_HVM_PARAMS, 0, 1, "is 40 octets long, but 1 parameters make 24"},
	{GUEST_X86_HVM, REC_HVM_PARAMS, 3, 0x80,
	 "is 40 octets long, but 2147483650 parameters make 34359738408"},
	{GUEST_X86_HVM, REC_HVM_PARAMS, 4, 1, NULL},
	{GUEST_X86_HVM, REC_HVM_PARAMS, 8, 2, "parameter 0x2 is none that a saved guest has"},
	{GUEST_X86_HVM, REC_HVM_PARAMS, 15, 1,
	 "parameter 0x100000000000001 is none that a saved guest has"},
	{GUEST_X86_HVM, REC_HVM_PARAMS, 24, 1, "parameter 0x1 comes twice"},
	{GUEST_X86_HVM, REC_HVM_CONTEXT, 0, 2, "the hvm context does not begin with its header"},
	{GUEST_X86_HVM, REC_HVM_CONTEXT, 4, 23, "the hvm context does not begin with its header"},
	{GUEST_X86_HVM, REC_HVM_CONTEXT, 5, 1,
	 "hvm context, octet 0: 280 octets of type 1, only 32 left"},
	{GUEST_X86_HVM, REC_HVM_CONTEXT, 8, 0,
	 "the hvm context's magic is 0x54381200, not 0x54381286"},
	{GUEST_X86_HVM, REC_HVM_CONTEXT, 32, 5, "the hvm context has no END"},
};

START_TEST(bad_body)
{
	uint32_t guest = bad_bodies[_i].guest;
	const uint32_t *good = guest == GUEST_X86_HVM ? good_hvm : good_pv;
	size_t n = guest == GUEST_X86_HVM ? 7 : 9;
	char text[256];

	stream_of(&s, 3, guest, good, n);
	stream_good_record(&s, REC_END);
	for (size_t i = 0; i < n; i++) {
		if (good[i] != bad_bodies[_i].type)
			continue;
		s.octets[s.record[i] + 8 + bad_bodies[_i].at] = bad_bodies[_i].octet;
		snprintf(text, sizeof(text), "%s at offset %zu: %s", record_title(good[i]),
			 s.record[i], bad_bodies[_i].text ? bad_bodies[_i].text : "");
	}
	if (bad_bodies[_i].text)
		stream_fails(&s, EBADMSG, text);
	else
		stream_passes(&s);
}
END_TEST

/* ---- memory -------------------------------------------------------------------------------- */

static const struct {
	uint32_t guest, type, length;
	size_t records;
} claims[] = {
	{GUEST_X86_HVM, REC_HVM_CONTEXT, 32u << 20, 4},
	{GUEST_X86_PV, REC_X86_PV_P2M_FRAMES, RECORD_LENGTH_MAX, 4},
	{GUEST_X86_HVM, REC_PAGE_DATA, RECORD_LENGTH_MAX, 3},
};

static uint64_t peak_octets(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)usage.ru_maxrss * 1024;
}

/* A length alone makes nobody allocate it: the record ends after 100 octets. */
START_TEST(claimed_length)
{
	const uint32_t *good = claims[_i].guest == GUEST_X86_HVM ? good_hvm : good_pv;
	const uint32_t count = (RECORD_LENGTH_MAX - 8) / 8;
	struct xensr_error err;
	uint64_t before;

	stream_of(&s, 3, claims[_i].guest, good, claims[_i].records);
	stream_claim(&s, claims[_i].type, claims[_i].length);
	stream_raw(&s, (uint32_t[]){count, 0}, 8);
	stream_raw(&s, NULL, 92);
	before = peak_octets();
	ck_assert_int_eq(stream_verify(&s, NULL, &err), -1);
	ck_assert_int_eq(err.errnum, ENODATA);
	ck_assert_uint_lt(peak_octets() - before, 8u << 20);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stream records");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, headers_octets);
	tcase_add_loop_test(tc, record_octets, 0, 10);
	tcase_add_test(tc, record_over_the_limit);
	tcase_add_test(tc, pages_octets);
	tcase_add_loop_test(tc, bad_header, 0, COUNT(bad_headers));
	tcase_add_loop_test(tc, reserved_octets, 0, 5);
	tcase_add_loop_test(tc, bad_length, 0, COUNT(bad_lengths));
	tcase_add_loop_test(tc, bad_static_record, 0, COUNT(bad_static));
	tcase_add_test(tc, optional_records);
	tcase_add_loop_test(tc, bad_body, 0, COUNT(bad_bodies));
	tcase_add_loop_test(tc, claimed_length, 0, COUNT(claims));
	return unit_main(suite, tc);
}
