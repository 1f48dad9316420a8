/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The log of dirty pages by itself: its walk, its growth, its end.
 */
#include "engine_harness.h"

#include <stdlib.h>
#include <string.h>

#include "engine_alloc.h"
#include "log_dirty.h"

static struct xensr_ctx ctx;

static void setup(void)
{
	const struct xensr_reports none = {0};

	harness_reset();
	ctx_init(&ctx, -1, &none);
}

static const uint64_t sizes[] = {1,   7,   8,   9,   63,   64,    65,    511,   512,
				 513, 575, 576, 577, 4096, 32767, 32768, 32769, 100001};
#define SIZES 18

/* log_dirty_next finds exactly the bits there are. */
static void check_walk(const struct log_dirty *log)
{
	uint64_t bits, at = 0, found = 0, expect = 0, last = 0;

	for (uint64_t pfn = 0; pfn < log->nr_pfns; pfn++)
		expect += log_marked(log, pfn);
	while ((at = log_dirty_next(log, at, &bits)) != UINT64_MAX) {
		MUST(at % 64 == 0, "not a word");
		MUST(bits != 0, "an empty word");
		MUST(found == 0 || at > last, "back again");
		for (uint64_t i = 0; i < 64; i++)
			MUST((bits >> i & 1) == log_marked(log, at + i), "pfn %llu",
			     (unsigned long long)(at + i));
		found += (uint64_t)__builtin_popcountll(bits);
		last = at;
		at += 64;
	}
	MUST(found == expect, "%llu bits found of %llu", (unsigned long long)found,
	     (unsigned long long)expect);
	MUST(log_dirty_count(log) == expect, "%llu counted",
	     (unsigned long long)log_dirty_count(log));
}

START_TEST(log_walk)
{
	struct log_dirty log = harness_log(&ctx, sizes[_i]);
	uint64_t n = sizes[_i], x = 88172645463325252ull;

	check_walk(&log);
	for (uint64_t pfn = 0; pfn < n; pfn = pfn * 2 + 1) {
		memset(log.bitmap, 0, log.hbuf_pages * PAGE_OCTETS);
		log_mark(&log, pfn);
		check_walk(&log);
		log_mark(&log, n - 1);
		check_walk(&log);
		log_mark(&log, 0);
		check_walk(&log);
	}
	memset(log.bitmap, 0, log.hbuf_pages * PAGE_OCTETS);
	for (unsigned i = 0; i < 200; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		log_mark(&log, x % n);
		if (i % 20 == 0)
			check_walk(&log);
	}
	for (uint64_t pfn = 0; pfn < n; pfn++)
		log_mark(&log, pfn);
	check_walk(&log);
	ck_assert_uint_eq(log_dirty_count(&log), n);
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &log);
	harness_nothing_left();
}
END_TEST

/* Past the end there is nothing, whatever one asks for. */
START_TEST(log_past_the_end)
{
	struct log_dirty log = harness_log(&ctx, sizes[_i]);
	uint64_t bits;

	log_mark(&log, 0);
	for (uint64_t pfn = (sizes[_i] + 63) / 64 * 64; pfn < 40 * 32768; pfn += 64)
		MUST(log_dirty_next(&log, pfn, &bits) == UINT64_MAX, "pfn %llu",
		     (unsigned long long)pfn);
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &log);
	ck_assert_uint_eq(log_dirty_next(&log, 0, &bits), UINT64_MAX);
	ck_assert_uint_eq(log_dirty_count(&log), 0);
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &log);
	harness_nothing_left();
}
END_TEST

START_TEST(log_reserve)
{
	struct log_dirty log = harness_log(&ctx, 1000);
	const uint64_t *was = log.bitmap;

	log_mark(&log, 7);
	ck_assert_int_eq(log_dirty_reserve(&ctx, fake_xch(), &log, 1000), 0);
	ck_assert_int_eq(log_dirty_reserve(&ctx, fake_xch(), &log, 3), 0);
	ck_assert_ptr_eq(log.bitmap, was);
	ck_assert_uint_eq(log.nr_pfns, 1000);
	ck_assert(log_marked(&log, 7));

	/* More that is not to be had leaves what there is. */
	fake.fail_fn = FN_BUFFER_ALLOC;
	fake.fail_fn_at = 2;
	ck_assert_int_eq(log_dirty_reserve(&ctx, fake_xch(), &log, 40000), -1);
	ck_assert_str_eq(ctx.err.text,
			 "no room for a dirty bitmap of 40000 pfns: Input/output error");
	ck_assert_ptr_eq(log.bitmap, was);
	ck_assert_uint_eq(log.nr_pfns, 1000);
	ck_assert(log_marked(&log, 7));

	ck_assert_int_eq(log_dirty_reserve(&ctx, fake_xch(), &log, 40000), 0);
	ck_assert_uint_eq(log.nr_pfns, 40000);
	ck_assert_uint_eq(log_dirty_count(&log), 0);
	ck_assert_uint_eq(fake.buffers, 1);
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &log);
	harness_nothing_left();
}
END_TEST

START_TEST(log_of_a_domain)
{
	struct log_dirty log = harness_log(&ctx, sizes[_i]);
	struct fake_domain *dom = fake_domain_add(SOURCE_DOMID, 10);
	uint64_t dirty = 99;

	h.source = dom;
	ck_assert_int_eq(log_dirty_enable(&ctx, fake_xch(), SOURCE_DOMID, &log), 0);
	ck_assert(log.on);
	fake_dirty(dom, 0);
	fake_dirty(dom, sizes[_i] - 1);
	ck_assert_int_eq(log_dirty_clean(&ctx, fake_xch(), SOURCE_DOMID, &log, false, &dirty), 0);
	ck_assert_uint_eq(dirty, sizes[_i] == 1 ? 1 : 2);
	ck_assert(log_marked(&log, 0));
	ck_assert(log_marked(&log, sizes[_i] - 1));
	ck_assert_int_eq(log_dirty_clean(&ctx, fake_xch(), SOURCE_DOMID, &log, false, &dirty), 0);
	ck_assert_uint_eq(dirty, 0);
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &log);
	ck_assert(!log.on);
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &log);
	ck_assert_uint_eq(fake.calls[FN_SHADOW], 2);
	harness_nothing_left();
}
END_TEST

/* Xen copies whole octets: what is behind the last pfn is not asked for, and no pfn of the log. */
START_TEST(log_behind_the_last)
{
	struct log_dirty log = harness_log(&ctx, 577);
	struct fake_domain *dom = fake_domain_add(SOURCE_DOMID, 10);
	uint64_t dirty, bits;

	ck_assert_int_eq(log_dirty_enable(&ctx, fake_xch(), SOURCE_DOMID, &log), 0);
	fake_dirty(dom, 577);
	fake_dirty(dom, 583);
	ck_assert_int_eq(log_dirty_clean(&ctx, fake_xch(), SOURCE_DOMID, &log, false, &dirty), 0);
	ck_assert_uint_eq(dirty, 0);
	ck_assert_uint_eq(log_dirty_next(&log, 0, &bits), UINT64_MAX);
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &log);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine: log of dirty pages");
	TCase *tc;

	tc = harness_tcase(suite, "log", setup, NULL);
	tcase_add_loop_test(tc, log_walk, 0, SIZES);
	tcase_add_loop_test(tc, log_past_the_end, 0, SIZES);
	tcase_add_test(tc, log_reserve);
	tcase_add_loop_test(tc, log_of_a_domain, 0, SIZES);
	tcase_add_test(tc, log_behind_the_last);
	return harness_main(suite);
}
