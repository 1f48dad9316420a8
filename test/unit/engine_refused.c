/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A good image of an HVM domain that Xen does not take: the exact error, and the domain touched no
 * further than it must have been by then.
 */
#include "engine_harness.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

	harness_restore(fd);
	close(fd);
}

/* A small image, and this call of the function is refused. */
static void run_refused(enum fake_fn fn, unsigned nth, int errnum)
{
	stream_begin(&s);
	stream_finish(&s, SPECIAL);
	fake.fail_fn = fn;
	fake.fail_fn_at = nth;
	fake.fail_errno = errnum;
	run();
}

/* ---- memory that does not exist ---------------------------------------------------------- */

START_TEST(more_than_max_pages)
{
	uint64_t at;

	h.target->max_pages = 150;
	stream_begin(&s);
	stream_run(&s, 0x10, 100, 0);
	at = stream_run(&s, 0x100, 100, 0);
	stream_finish(&s, SPECIAL);
	run();
	harness_failed(ENOMEM,
		       "PAGE_DATA record at offset %" PRIu64
		       ": Xen has no memory for 50 of the pages from pfn 0x132 on; domain 7 has "
		       "150 pages and may have 150",
		       at);
	ck_assert_uint_eq(h.target->tot_pages, 150);
	harness_state_untouched();
}
END_TEST

START_TEST(host_out_of_memory)
{
	uint64_t at;

	fake.pages_allowed = 0;
	stream_begin(&s);
	at = stream_run(&s, 0x10, 100, 0);
	stream_finish(&s, SPECIAL);
	run();
	harness_failed(ENOMEM,
		       "PAGE_DATA record at offset %" PRIu64
		       ": Xen has no memory for 100 of the pages from pfn 0x10 on; domain 7 has 0 "
		       "pages and may have 8192",
		       at);
	ck_assert_uint_eq(fake_pages(h.target), 0);
	harness_state_untouched();
}
END_TEST

/* One record with 8 superpages where Xen has 100 pages: the count of what the domain has is
 * that of what it got, not of what was still to be asked for. */
START_TEST(more_than_max_pages_at_once)
{
	char text[64];

	h.target->max_pages = (uint64_t)_i * 512 + 100;
	stream_begin(&s);
	stream_run(&s, 0x1000, 8 * 512, 0);
	stream_finish(&s, SPECIAL);
	run();
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, ENOMEM);
	ck_assert_uint_eq(h.target->tot_pages, h.target->max_pages);
	snprintf(text, sizeof(text), "domain 7 has %" PRIu64 " pages and may have %" PRIu64,
		 h.target->max_pages, h.target->max_pages);
	ck_assert_msg(strstr(h.err.text, text), "%s", h.err.text);
	harness_state_untouched();
}
END_TEST

/* A refusal that is not about memory must not be called one. */
START_TEST(populate_not_permitted)
{
	stream_begin(&s);
	stream_run(&s, 0x10, 100, 0);
	stream_finish(&s, SPECIAL);
	fake.fail_fn = FN_POPULATE;
	fake.fail_fn_at = 1;
	fake.fail_errno = EPERM;
	run();
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, EPERM);
	ck_assert_ptr_nonnull(strstr(h.err.text, "Operation not permitted"));
}
END_TEST

/* ---- what Xen refuses -------------------------------------------------------------------- */

static uint64_t with_policy(void)
{
	uint64_t at;

	stream_headers(&s, 3, GUEST_X86_HVM);
	stream_cpuid(&s);
	stream_msrs(&s);
	at = stream_record(&s, REC_STATIC_DATA_END, NULL, 0);
	stream_finish(&s, SPECIAL);
	return at;
}

static void check_policy_refused(uint64_t at, const char *text)
{
	harness_failed(EINVAL, "STATIC_DATA_END record at offset %" PRIu64 ": %s: Invalid argument",
		       at, text);
	ck_assert_uint_eq(h.static_calls, 0);
	ck_assert_uint_eq(fake.changes, 1);
	ck_assert_uint_eq(fake_pages(h.target), 0);
}

START_TEST(policy_refused_leaf)
{
	uint64_t at = with_policy();

	fake.refuse_leaf = true;
	fake.refused_leaf = 4;
	fake.refused_subleaf = 1;
	run();
	check_policy_refused(at, "Xen refused the CPU policy at CPUID leaf 0x4, subleaf 0x1");
}
END_TEST

START_TEST(policy_refused_msr)
{
	uint64_t at = with_policy();

	fake.refuse_msr = true;
	fake.refused_msr = 0x10a;
	run();
	check_policy_refused(at, "Xen refused the CPU policy at MSR 0x10a");
}
END_TEST

START_TEST(policy_refused)
{
	uint64_t at = with_policy();

	fake.refuse_silently = true;
	run();
	check_policy_refused(at, "Xen refused the CPU policy");
}
END_TEST

START_TEST(context_refused)
{
	uint8_t context[FAKE_CONTEXT];

	run_refused(FN_CONTEXT_SET, 1, EINVAL);
	harness_failed(EINVAL, "Xen refused the HVM context of %u octets: Invalid argument",
		       context_make(context));
	ck_assert_uint_eq(fake.calls[FN_MAP_RESOURCE], 0);
}
END_TEST

START_TEST(param_refused)
{
	run_refused(FN_PARAM_SET, 1, EEXIST);
	harness_failed(EEXIST, "cannot set HVM parameter 1 to 0x800: File exists");
	ck_assert_uint_eq(fake.calls[FN_PARAM_SET], 1);
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
}
END_TEST

START_TEST(tsc_refused)
{
	run_refused(FN_TSC_SET, 1, EOPNOTSUPP);
	harness_failed(EOPNOTSUPP,
		       "cannot set the TSC of domain 7 (mode 1, 2400000 kHz): Operation not "
		       "supported");
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
}
END_TEST

START_TEST(clear_refused)
{
	run_refused(FN_CLEAR, 2, EINVAL);
	harness_failed(EINVAL, "cannot clear the console page, pfn 0x801: Invalid argument");
	ck_assert_uint_eq(fake.calls[FN_PARAM_SET], 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine refused by Xen");
	TCase *tc;

	tc = harness_tcase(suite, "no memory", setup, teardown);
	tcase_add_test(tc, more_than_max_pages);
	tcase_add_test(tc, host_out_of_memory);
	tcase_add_loop_test(tc, more_than_max_pages_at_once, 0, 8);
	tcase_add_test(tc, populate_not_permitted);

	tc = harness_tcase(suite, "state", setup, teardown);
	tcase_add_test(tc, policy_refused_leaf);
	tcase_add_test(tc, policy_refused_msr);
	tcase_add_test(tc, policy_refused);
	tcase_add_test(tc, context_refused);
	tcase_add_test(tc, param_refused);
	tcase_add_test(tc, tsc_refused);
	tcase_add_test(tc, clear_refused);
	return harness_main(suite);
}
