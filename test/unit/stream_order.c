/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * In which order records may come, what an image must have, and how version 2 ends its static
 * data (spec 1, "Order" and "Version 2").
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "record.h"
#include "stream_build.h"
#include "unit_main.h"

#define HVM GUEST_X86_HVM
#define PV  GUEST_X86_PV

static struct stream s;

static void setup(void)
{
	s = (struct stream){0};
}

static void teardown(void)
{
	stream_release(&s);
}

/* Short names for the tables below. */
enum {
	END = REC_END,
	PAGES = REC_PAGE_DATA,
	INFO = REC_X86_PV_INFO,
	FRAMES = REC_X86_PV_P2M_FRAMES,
	BASIC = REC_X86_PV_VCPU_BASIC,
	EXTENDED = REC_X86_PV_VCPU_EXTENDED,
	XSAVE = REC_X86_PV_VCPU_XSAVE,
	SHARED = REC_SHARED_INFO,
	TSC = REC_X86_TSC_INFO,
	CONTEXT = REC_HVM_CONTEXT,
	PARAMS = REC_HVM_PARAMS,
	TOOLSTACK = REC_TOOLSTACK,
	MSRS = REC_X86_PV_VCPU_MSRS,
	VERIFY = REC_VERIFY,
	CHECKPOINT = REC_CHECKPOINT,
	DIRTY = REC_CHECKPOINT_DIRTY_PFN_LIST,
	STATIC = REC_STATIC_DATA_END,
	CPUID = REC_X86_CPUID_POLICY,
	MSR = REC_X86_MSR_POLICY,
	STOP = 0xff,
};

static const struct {
	uint32_t version, guest;
	uint32_t types[16];
} good[] = {
	{3, HVM, {CPUID, MSR, STATIC, PAGES, TSC, CONTEXT, PARAMS, END, STOP}},
	{3, HVM, {STATIC, PAGES, TSC, CONTEXT, PARAMS, END, STOP}},
	/* as stock's converter of images from before Xen 4.6 writes them */
	{2, HVM, {PAGES, PARAMS, CONTEXT, TSC, PARAMS, END, STOP}},
	{3, HVM, {MSR, CPUID, STATIC, PAGES, PARAMS, CONTEXT, TSC, END, STOP}},
	{3, HVM, {STATIC, PARAMS, TSC, PAGES, CONTEXT, PAGES, PAGES, END, STOP}},
	{3, HVM, {STATIC, PAGES, VERIFY, PAGES, TSC, CONTEXT, PARAMS, END, STOP}},
	{2, HVM, {PAGES, TSC, CONTEXT, PARAMS, END, STOP}},
	{2, HVM, {TSC, PAGES, PAGES, PARAMS, CONTEXT, END, STOP}},
	{3,
	 PV,
	 {INFO, CPUID, MSR, STATIC, FRAMES, PAGES, TSC, SHARED, BASIC, EXTENDED, XSAVE, MSRS, END,
	  STOP}},
	{3,
	 PV,
	 {CPUID, INFO, STATIC, FRAMES, PAGES, FRAMES, PAGES, BASIC, BASIC, SHARED, TSC, END, STOP}},
	{2, PV, {INFO, FRAMES, PAGES, TSC, SHARED, BASIC, END, STOP}},
};

static size_t count_types(const uint32_t *types)
{
	size_t n = 0;

	while (types[n] != STOP)
		n++;
	return n;
}

START_TEST(good_order)
{
	stream_of(&s, good[_i].version, good[_i].guest, good[_i].types,
		  count_types(good[_i].types));
	stream_passes(&s);
}
END_TEST

/* The last record but one of the list is the bad one; END is there so that only it can be. */
static const struct {
	uint32_t version, guest;
	uint32_t types[16];
	const char *text;
} bad[] = {
	/* static data */
	{3, HVM, {PAGES, STOP}, "comes before the end of the static data"},
	{3, HVM, {CPUID, TSC, STOP}, "comes before the end of the static data"},
	{3, HVM, {CPUID, PARAMS, STOP}, "comes before the end of the static data"},
	{3, HVM, {CPUID, END, STOP}, "comes before the end of the static data"},
	{3, HVM, {STATIC, STATIC, STOP}, "comes after the end of the static data"},
	{3, HVM, {STATIC, CPUID, STOP}, "comes after the end of the static data"},
	{3, HVM, {STATIC, PAGES, MSR, STOP}, "comes after the end of the static data"},
	{3, HVM, {CPUID, CPUID, STOP}, "comes a second time"},
	{3, HVM, {MSR, MSR, STOP}, "comes a second time"},
	{3, PV, {STATIC, INFO, STOP}, "comes after the end of the static data"},
	{3, PV, {INFO, INFO, STOP}, "comes a second time"},
	{3, PV, {INFO, FRAMES, STOP}, "comes before the end of the static data"},
	{2, HVM, {CPUID, STOP}, "does not exist in a version 2 stream"},
	{2, HVM, {STATIC, STOP}, "does not exist in a version 2 stream"},
	{2, PV, {MSR, STOP}, "does not exist in a version 2 stream"},
	{2, PV, {INFO, FRAMES, INFO, STOP}, "comes after the end of the static data"},
	/* what needs what */
	{3, PV, {STATIC, FRAMES, STOP}, "comes before X86_PV_INFO"},
	{2, PV, {FRAMES, STOP}, "comes before X86_PV_INFO"},
	{3, PV, {INFO, STATIC, PAGES, STOP}, "comes before X86_PV_P2M_FRAMES"},
	{2, PV, {INFO, PAGES, STOP}, "comes before X86_PV_P2M_FRAMES"},
	{3, PV, {INFO, STATIC, FRAMES, BASIC, STOP}, "comes before PAGE_DATA"},
	{3, PV, {STATIC, BASIC, STOP}, "comes before PAGE_DATA"},
	{3, PV, {INFO, STATIC, FRAMES, EXTENDED, STOP}, "comes before PAGE_DATA"},
	{3, PV, {INFO, STATIC, FRAMES, XSAVE, STOP}, "comes before PAGE_DATA"},
	{3, PV, {INFO, STATIC, FRAMES, MSRS, STOP}, "comes before PAGE_DATA"},
	{3, PV, {INFO, STATIC, FRAMES, SHARED, STOP}, "comes before PAGE_DATA"},
	{3, HVM, {STATIC, VERIFY, STOP}, "comes before PAGE_DATA"},
	{3, HVM, {STATIC, END, STOP}, "comes before PAGE_DATA"},
	/* twice */
	{3, HVM, {STATIC, PAGES, TSC, TSC, STOP}, "comes a second time"},
	{3, HVM, {STATIC, PAGES, CONTEXT, CONTEXT, STOP}, "comes a second time"},
	{3, HVM, {STATIC, PAGES, VERIFY, PAGES, VERIFY, STOP}, "comes a second time"},
	{3, PV, {INFO, STATIC, FRAMES, PAGES, SHARED, SHARED, STOP}, "comes a second time"},
	/* of another kind of guest or stream */
	{3, HVM, {INFO, STOP}, "does not belong to an x86 HVM guest"},
	{3, HVM, {STATIC, FRAMES, STOP}, "does not belong to an x86 HVM guest"},
	{3, HVM, {STATIC, PAGES, BASIC, STOP}, "does not belong to an x86 HVM guest"},
	{3, HVM, {STATIC, PAGES, SHARED, STOP}, "does not belong to an x86 HVM guest"},
	{3, PV, {INFO, STATIC, FRAMES, PAGES, CONTEXT, STOP}, "does not belong to an x86 PV guest"},
	{3, PV, {INFO, STATIC, FRAMES, PAGES, PARAMS, STOP}, "does not belong to an x86 PV guest"},
	{3, HVM, {STATIC, PAGES, CHECKPOINT, STOP}, "comes in a stream that is not checkpointed"},
	{3, HVM, {STATIC, PAGES, TOOLSTACK, STOP}, "is never part of a stream"},
	{3, HVM, {STATIC, PAGES, DIRTY, STOP}, "is never part of a stream"},
	/* incomplete */
	{3,
	 HVM,
	 {STATIC, PAGES, END, STOP},
	 "the image is incomplete, there was no X86_TSC_INFO, HVM_CONTEXT, HVM_PARAMS"},
	{3,
	 HVM,
	 {STATIC, PAGES, CONTEXT, PARAMS, END, STOP},
	 "the image is incomplete, there was no X86_TSC_INFO"},
	{3,
	 HVM,
	 {STATIC, PAGES, TSC, PARAMS, END, STOP},
	 "the image is incomplete, there was no HVM_CONTEXT"},
	{2,
	 HVM,
	 {PAGES, TSC, CONTEXT, END, STOP},
	 "the image is incomplete, there was no HVM_PARAMS"},
	{3,
	 PV,
	 {INFO, STATIC, FRAMES, PAGES, END, STOP},
	 "the image is incomplete, there was no X86_PV_VCPU_BASIC, SHARED_INFO, X86_TSC_INFO"},
	{3,
	 PV,
	 {INFO, STATIC, FRAMES, PAGES, BASIC, TSC, END, STOP},
	 "the image is incomplete, there was no SHARED_INFO"},
};

START_TEST(bad_order)
{
	size_t n = count_types(bad[_i].types);
	char text[256];

	stream_of(&s, bad[_i].version, bad[_i].guest, bad[_i].types, n);
	snprintf(text, sizeof(text), "%s at offset %zu: %s", record_title(bad[_i].types[n - 1]),
		 s.record[n - 1], bad[_i].text);
	stream_good_record(&s, REC_END);
	stream_fails(&s, EBADMSG, text);
}
END_TEST

/* Images converted from before Xen 4.6 say xen_major 0 and may lack the TSC. */
START_TEST(converted_without_tsc)
{
	stream_headers(&s, 3, HVM, 0);
	for (size_t i = 0; i < 7; i++) {
		if (good_hvm[i] != REC_X86_TSC_INFO)
			stream_good_record(&s, good_hvm[i]);
	}
	stream_good_record(&s, REC_END);
	stream_passes(&s);
}
END_TEST

/* Xen 4.6 to 4.8 wrote these empty: tolerated, before or after a full one, but no substitute. */
START_TEST(empty_records)
{
	static const uint32_t vcpu[] = {REC_X86_PV_VCPU_EXTENDED, REC_X86_PV_VCPU_XSAVE,
					REC_X86_PV_VCPU_MSRS};

	stream_of(&s, 3, HVM, good_hvm, 6);
	stream_record(&s, REC_HVM_PARAMS, NULL, 8);
	stream_good_record(&s, REC_HVM_PARAMS);
	stream_record(&s, REC_HVM_PARAMS, NULL, 8);
	stream_good_record(&s, REC_END);
	stream_passes(&s);
	stream_release(&s);

	stream_of(&s, 3, PV, good_pv, 9);
	for (int i = 0; i < COUNT(vcpu); i++)
		stream_record(&s, vcpu[i], NULL, 8);
	stream_good_record(&s, REC_END);
	stream_passes(&s);
}
END_TEST

START_TEST(empty_params_are_none)
{
	char text[128];

	stream_of(&s, 3, HVM, good_hvm, 6);
	stream_record(&s, REC_HVM_PARAMS, NULL, 8);
	snprintf(text, sizeof(text),
		 "END record at offset %zu: the image is incomplete, there was no HVM_PARAMS",
		 s.len);
	stream_good_record(&s, REC_END);
	stream_fails(&s, EBADMSG, text);
}
END_TEST

/* ---- with a reader of our own: inference and checkpoints ------------------------------------- */

static struct xensr_ctx ctx;
static struct reader reader;

static void begin_reading(bool checkpointed)
{
	const struct xensr_reports none = {0};

	ctx_init(&ctx, stream_file(&s), &none);
	reader_init(&reader, &ctx, checkpointed);
	ck_assert_int_eq(read_headers(&reader), 0);
}

/* Read the next record, its pages too. Returns its type, or -1. */
static int64_t next(struct record *rec)
{
	static uint8_t pages[4][PAGE_OCTETS];
	struct iovec iov[2] = {{pages, sizeof(pages)}};

	if (read_record(&reader, rec))
		return -1;
	if (rec->type == REC_PAGE_DATA)
		ck_assert_int_eq(read_pages(&reader, iov, 1, 4), 0);
	return rec->type;
}

static void end_reading(void)
{
	reader_release(&reader);
	close(ctx.io_fd);
}

/* In version 2 exactly the first PAGE_DATA (HVM) or P2M_FRAMES (PV) ends the static data. */
START_TEST(inferred_once)
{
	static const uint32_t hvm[] = {TSC, PAGES, PAGES, CONTEXT, PARAMS, END};
	static const uint32_t pv[] = {INFO, FRAMES, PAGES, FRAMES, PAGES, TSC, SHARED, BASIC, END};
	const uint32_t *types = _i == 0 ? hvm : pv;
	size_t n = _i == 0 ? COUNT(hvm) : COUNT(pv);
	struct record rec;

	stream_of(&s, 2, _i == 0 ? HVM : PV, types, n);
	begin_reading(false);
	for (size_t i = 0; i < n; i++) {
		ck_assert_int_eq(next(&rec), types[i]);
		ck_assert_int_eq(rec.static_data_inferred, i == 1);
	}
	end_reading();
}
END_TEST

/* What the guest lives by comes anew with each checkpoint; its memory need not. */
START_TEST(checkpoints)
{
	static const uint32_t types[] = {STATIC,     PAGES,  TSC,     CONTEXT,   PARAMS,
					 CHECKPOINT, TSC,    PAGES,   CONTEXT,   PARAMS,
					 CHECKPOINT, PARAMS, CONTEXT, TSC,       CHECKPOINT,
					 PAGES,      TSC,    CONTEXT, CHECKPOINT};
	struct record rec;

	stream_of(&s, 3, HVM, types, COUNT(types));
	begin_reading(true);
	for (int i = 0; i < COUNT(types) - 1; i++)
		ck_assert_int_eq(next(&rec), types[i]);
	ck_assert_int_eq(next(&rec), -1);
	ck_assert_str_eq(strchr(ctx.err.text, ':'),
			 ": the image is incomplete, there was no HVM_PARAMS");
	end_reading();
}
END_TEST

/* VERIFY is for plain streams. */
START_TEST(verify_in_checkpointed)
{
	static const uint32_t types[] = {STATIC, PAGES, VERIFY};
	struct record rec;

	stream_of(&s, 3, HVM, types, COUNT(types));
	begin_reading(true);
	ck_assert_int_eq(next(&rec), STATIC);
	ck_assert_int_eq(next(&rec), PAGES);
	ck_assert_int_eq(next(&rec), -1);
	ck_assert_str_eq(strchr(ctx.err.text, ':'), ": comes in a checkpointed stream");
	end_reading();
}
END_TEST

START_TEST(nothing_after_the_end)
{
	struct record rec;

	stream_of(&s, 3, HVM, good_hvm, 7);
	stream_good_record(&s, REC_END);
	stream_good_record(&s, REC_X86_TSC_INFO);
	begin_reading(false);
	for (int i = 0; i < 7; i++)
		ck_assert_int_eq(next(&rec), good_hvm[i]);
	ck_assert_int_eq(next(&rec), END);
	/* What follows belongs to the layer above: not one octet of it was taken. */
	ck_assert_int_eq(lseek(ctx.io_fd, 0, SEEK_CUR), (off_t)s.record[8]);
	ck_assert_int_eq(next(&rec), -1);
	ck_assert_str_eq(strchr(ctx.err.text, ':'), ": comes after END");
	end_reading();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stream order");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, good_order, 0, COUNT(good));
	tcase_add_loop_test(tc, bad_order, 0, COUNT(bad));
	tcase_add_test(tc, converted_without_tsc);
	tcase_add_test(tc, empty_records);
	tcase_add_test(tc, empty_params_are_none);
	tcase_add_loop_test(tc, inferred_once, 0, 2);
	tcase_add_test(tc, checkpoints);
	tcase_add_test(tc, verify_in_checkpointed);
	tcase_add_test(tc, nothing_after_the_end);
	return unit_main(suite, tc);
}
