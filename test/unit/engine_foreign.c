/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams that are not as ours: older ones, in another order, with what nobody knows.
 */
#include "engine_harness.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <xen/hvm/params.h>

#include "pages.h"

#define SMALL_RECORD 2u /* PAGE_DATA records of the small guest */

static void setup(void)
{
	harness_reset();
}

/* ---- static data ------------------------------------------------------------------------- */

/* The small guest's stream without the record types of `drop`, as version `version`. */
static int edited_stream(uint32_t version, uint32_t drop)
{
	struct stream_item items[STREAM_ITEMS];
	struct stream s = {0}, t = {0};
	int fd = memfd_new();
	unsigned n;

	harness_save_well(fd);
	stream_load(&s, fd);
	close(fd);
	n = stream_items(&s, items);
	stream_headers(&t, version, GUEST_X86_HVM);
	for (unsigned i = 0; i < n; i++) {
		if (!(drop >> items[i].type & 1))
			stream_put(&t, s.data + items[i].offset, items[i].end - items[i].offset);
	}
	fd = stream_fd(&t);
	stream_release(&s);
	stream_release(&t);
	harness_recount();
	return fd;
}

#define STATIC_RECORDS \
	(1u << REC_STATIC_DATA_END | 1u << REC_X86_CPUID_POLICY | 1u << REC_X86_MSR_POLICY)

/* A stream that lacks policy leaves the domain without: tell target_check(). */
static void forget_policy(bool leaves, bool msrs)
{
	if (leaves) {
		memset(h.source->leaves, 0, sizeof(h.source->leaves));
		h.source->nr_leaves = 0;
	}
	if (msrs) {
		memset(h.source->msrs, 0, sizeof(h.source->msrs));
		h.source->nr_msrs = 0;
	}
}

START_TEST(version_2)
{
	int fd;

	source_small();
	fd = edited_stream(2, STATIC_RECORDS);
	target_for_source();
	harness_restore_well(fd);
	ck_assert_uint_eq(h.static_calls, 1);
	ck_assert_uint_eq(h.missing, XENSR_MISSING_CPUID | XENSR_MISSING_MSR);
	ck_assert_uint_eq(fake.calls[FN_POLICY_SET], 0);
	ck_assert_int_lt(fake_trace_find(FN_CB_STATIC_DATA_DONE, 0),
			 fake_trace_find(FN_POPULATE, 0));
	ck_assert(harness_logged(XENSR_LOG_DETAIL,
				 "stream version 2 of an x86 HVM guest, saved by Xen 4.17"));
	forget_policy(true, true);
	target_check(SMALL_SPECIAL);
	close(fd);
}
END_TEST

START_TEST(version_2_refused)
{
	int fd;

	source_small();
	fd = edited_stream(2, STATIC_RECORDS);
	target_for_source();
	h.static_answer = -1;
	harness_restore(fd);
	harness_failed(ECANCELED, "PAGE_DATA record at offset 40: the toolstack refused the domain "
				  "after its static data");
	ck_assert_uint_eq(fake.changes, 0);
	close(fd);
}
END_TEST

START_TEST(version_2_with_policy)
{
	int fd;

	source_small();
	fd = edited_stream(2, 1u << REC_STATIC_DATA_END);
	target_for_source();
	harness_restore(fd);
	harness_failed(EBADMSG, "X86_CPUID_POLICY record at offset 40: does not exist in a version "
				"2 stream");
	ck_assert_uint_eq(fake.changes, 0);
	close(fd);
}
END_TEST

START_TEST(static_data_refused)
{
	int fd;

	source_small();
	fd = edited_stream(3, 0);
	target_for_source();
	h.static_answer = 1;
	harness_restore(fd);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, ECANCELED);
	ck_assert_uint_eq(h.err.record_type, REC_STATIC_DATA_END);
	ck_assert_uint_eq(fake.calls[FN_POPULATE], 0);
	ck_assert_uint_eq(fake.changes, 1); /* the policy */
	close(fd);
}
END_TEST

START_TEST(missing_policy)
{
	static const struct {
		uint32_t drop;
		unsigned missing;
		const char *text;
	} cases[] = {
		{1u << REC_X86_MSR_POLICY, XENSR_MISSING_MSR,
		 "the stream lacks MSR policy and the toolstack supplies none"},
		{1u << REC_X86_CPUID_POLICY, XENSR_MISSING_CPUID,
		 "the stream lacks CPUID policy and the toolstack supplies none"},
		{1u << REC_X86_MSR_POLICY | 1u << REC_X86_CPUID_POLICY,
		 XENSR_MISSING_CPUID | XENSR_MISSING_MSR,
		 "the stream lacks CPUID policy MSR policy and the toolstack supplies none"},
	};
	unsigned drop = cases[_i].drop;
	int fd;

	source_small();
	fd = edited_stream(3, drop);
	target_for_source();
	harness_restore_well(fd);
	ck_assert_uint_eq(h.missing, cases[_i].missing);
	ck_assert_uint_eq(h.nr_level[XENSR_LOG_WARN], 0);
	forget_policy(drop >> REC_X86_CPUID_POLICY & 1, drop >> REC_X86_MSR_POLICY & 1);
	target_check(SMALL_SPECIAL);

	/* Without the callback somebody must be told. */
	harness_rewind(fd);
	fake_reset();
	source_small();
	target_for_source();
	h.restore.callbacks.static_data_done = NULL;
	harness_restore_well(fd);
	ck_assert_msg(harness_logged(XENSR_LOG_WARN, cases[_i].text), "%s", h.logs[1].text);
	close(fd);
}
END_TEST

/* ---- streams of others ------------------------------------------------------------------- */

/* The three closing records in each order, before the pages and after. */
START_TEST(any_order)
{
	static const uint32_t orders[][3] = {
		{REC_X86_TSC_INFO, REC_HVM_CONTEXT, REC_HVM_PARAMS},
		{REC_X86_TSC_INFO, REC_HVM_PARAMS, REC_HVM_CONTEXT},
		{REC_HVM_CONTEXT, REC_X86_TSC_INFO, REC_HVM_PARAMS},
		{REC_HVM_CONTEXT, REC_HVM_PARAMS, REC_X86_TSC_INFO},
		{REC_HVM_PARAMS, REC_X86_TSC_INFO, REC_HVM_CONTEXT},
		{REC_HVM_PARAMS, REC_HVM_CONTEXT, REC_X86_TSC_INFO},
	};
	bool pages_last = _i & 1;
	uint32_t version = _i & 2 ? 2 : 3;
	struct stream_item items[STREAM_ITEMS];
	struct stream s = {0}, t = {0};
	int fd;
	unsigned n;

	source_small();
	fd = edited_stream(3, 0);
	stream_load(&s, fd);
	close(fd);
	n = stream_items(&s, items);
	stream_headers(&t, version, GUEST_X86_HVM);
	for (unsigned part = 0; part < 4; part++) {
		for (unsigned o = 0; o < 3; o++) {
			for (unsigned i = 0; i < n && part == (pages_last ? 1u : 2u); i++) {
				if (items[i].type == orders[_i / 4][o])
					stream_put(&t, s.data + items[i].offset,
						   items[i].end - items[i].offset);
			}
		}
		for (unsigned i = 0; i < n; i++) {
			bool is_static = STATIC_RECORDS >> items[i].type & 1;

			if ((part == 0 && is_static && version == 3) ||
			    (part == (pages_last ? 2u : 1u) && items[i].type == REC_PAGE_DATA) ||
			    (part == 3 && items[i].type == REC_END))
				stream_put(&t, s.data + items[i].offset,
					   items[i].end - items[i].offset);
		}
	}
	fd = stream_fd(&t);
	target_for_source();
	harness_restore_well(fd);
	if (version == 2)
		forget_policy(true, true);
	target_check(SMALL_SPECIAL);
	ck_assert_uint_eq(h.static_calls, 1);
	stream_release(&s);
	stream_release(&t);
	close(fd);
}
END_TEST

/* Stock savers name holes as invalid pages, 1024 pfns a record, to the end of the p2m. */
START_TEST(stock_holes)
{
	struct stream s = {0};
	uint64_t entries[1024];
	int fd;

	source_small();
	stream_headers(&s, 3, GUEST_X86_HVM);
	stream_cpuid(&s);
	stream_msrs(&s);
	stream_record(&s, REC_STATIC_DATA_END, NULL, 0);
	for (uint64_t first = 0x100000; first < 0x100000 + 200 * 1024; first += 1024) {
		for (uint32_t i = 0; i < 1024; i++)
			entries[i] = page_entry(first + i, PAGE_INVALID);
		stream_pages(&s, entries, 1024, 0);
	}
	for (uint64_t first = 0; first < h.source->nr_gpfns; first += 1024) {
		for (uint32_t i = 0; i < 1024; i++)
			entries[i] = page_entry(first + i, fake_page(h.source, first + i)
								   ? PAGE_NORMAL
								   : PAGE_INVALID);
		stream_pages(&s, entries, 1024, 0);
	}
	stream_tsc(&s);
	stream_context(&s);
	stream_usual_params(&s, SMALL_SPECIAL);
	stream_record(&s, REC_END, NULL, 0);
	fd = stream_fd(&s);
	target_for_source();
	h.target->max_pages = h.source->tot_pages; /* not one to spare */
	harness_restore_well(fd);
	target_check(SMALL_SPECIAL);
	ck_assert_uint_eq(h.target->tot_pages, h.source->tot_pages);
	ck_assert_uint_eq(fake.calls[FN_MAP], SMALL_RECORD);
	ck_assert_uint_eq(fake.extents_2m, 1);
	harness_check_progress();
	stream_release(&s);
	close(fd);
}
END_TEST

/* Optional records nobody knows, empty parameters and old parameters of Xen before 4.6. */
START_TEST(old_and_unknown)
{
	static const uint64_t params[][2] = {
		{HVM_PARAM_STORE_PFN, SMALL_SPECIAL},
		{HVM_PARAM_OLD_PAE_ENABLED, 1},
		{HVM_PARAM_VM86_TSS, 0xf0000},
	};
	struct stream s = {0};
	int fd;

	h.target = fake_domain_add(TARGET_DOMID, 0x1000);
	stream_headers(&s, 3, GUEST_X86_HVM);
	stream_record(&s, 0x80000123, "thirteen octs", 13);
	stream_record(&s, REC_STATIC_DATA_END, NULL, 0);
	stream_record(&s, 0x80000000, NULL, 0);
	stream_run(&s, SMALL_SPECIAL, 8, 0);
	stream_record(&s, 0xffffffff, "x", 1);
	stream_params(&s, 0, params);
	stream_tsc(&s);
	stream_context(&s);
	stream_params(&s, 3, params);
	stream_record(&s, REC_END, NULL, 0);
	fd = stream_fd(&s);
	harness_restore_well(fd);
	ck_assert(harness_logged(XENSR_LOG_DETAIL,
				 "skipped optional record of type 0x80000123 and 13 octets at "
				 "offset 40"));
	ck_assert_uint_eq(h.target->params[HVM_PARAM_VM86_TSS], 0xf0000);
	/* No console: its grant entry is left alone. */
	ck_assert_uint_eq(h.results.console_gfn, 0);
	ck_assert_uint_eq(h.results.store_gfn, SMALL_SPECIAL);
	ck_assert_uint_eq(fake_grants(h.target)[GNTTAB_RESERVED_CONSOLE].flags, 0);
	ck_assert_uint_eq(fake_grants(h.target)[GNTTAB_RESERVED_XENSTORE].frame, SMALL_SPECIAL);
	ck_assert_uint_eq(fake.calls[FN_CLEAR], 1);
	stream_release(&s);
	close(fd);
}
END_TEST

/* A stream may have any number of them; a toolstack's log has not. */
START_TEST(many_unknown)
{
	static const uint64_t params[][2] = {{HVM_PARAM_STORE_PFN, SMALL_SPECIAL}};
	struct stream s = {0};
	unsigned told = 0;
	int fd;

	h.target = fake_domain_add(TARGET_DOMID, 0x1000);
	stream_headers(&s, 3, GUEST_X86_HVM);
	for (unsigned i = 0; i < 1000; i++)
		stream_record(&s, 0x80000000 + i, NULL, 0);
	stream_record(&s, REC_STATIC_DATA_END, NULL, 0);
	stream_run(&s, SMALL_SPECIAL, 8, 0);
	stream_tsc(&s);
	stream_context(&s);
	stream_params(&s, 1, params);
	stream_record(&s, REC_END, NULL, 0);
	fd = stream_fd(&s);
	harness_restore_well(fd);
	for (unsigned i = 0; i < h.nr_logs; i++)
		told += strstr(h.logs[i].text, "skipped optional record") != NULL;
	ck_assert_uint_eq(told, 16);
	ck_assert(
		harness_logged(XENSR_LOG_DETAIL,
			       "skipped optional record of type 0x8000000f and 0 octets at offset "
			       "160; of any more nothing is said"));
	stream_release(&s);
	close(fd);
}
END_TEST

/* An empty record brings nothing, so it is no second one either. */
START_TEST(empty_params_after_full)
{
	struct stream s = {0};
	int fd;

	h.target = fake_domain_add(TARGET_DOMID, 0x1000);
	stream_begin(&s);
	stream_run(&s, SMALL_SPECIAL, 8, 0);
	stream_tsc(&s);
	stream_context(&s);
	stream_usual_params(&s, SMALL_SPECIAL);
	stream_params(&s, 0, NULL);
	stream_record(&s, REC_END, NULL, 0);
	fd = stream_fd(&s);
	harness_restore_well(fd);
	ck_assert_uint_eq(h.results.store_gfn, SMALL_SPECIAL);
	stream_release(&s);
	close(fd);
}
END_TEST
int main(void)
{
	Suite *suite = suite_create("engine and streams of others");
	TCase *tc;

	tc = harness_tcase(suite, "static data", setup, NULL);
	tcase_add_test(tc, version_2);
	tcase_add_test(tc, version_2_refused);
	tcase_add_test(tc, version_2_with_policy);
	tcase_add_test(tc, static_data_refused);
	tcase_add_loop_test(tc, missing_policy, 0, 3);

	tc = harness_tcase(suite, "streams of others", setup, NULL);
	tcase_add_loop_test(tc, any_order, 0, 6 * 4);
	tcase_add_test(tc, stock_holes);
	tcase_add_test(tc, old_and_unknown);
	tcase_add_test(tc, many_unknown);
	tcase_add_test(tc, empty_params_after_full);
	return harness_main(suite);
}
