/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Verify data: all memory sent once more by a save and compared by the restore, which changes
 * nothing of the guest by it and names what differs.
 */
#include "engine_harness.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pages.h"

#define SPECIAL 0x800ull
#define FIRST   0x10ull
#define RUN     1300u /* more than a batch */
#define PAGES   (RUN + 4u)

static struct stream s;

static void setup(void)
{
	harness_reset();
	h.target = fake_domain_add(TARGET_DOMID, 0x2000);
	stream_headers(&s, 3, GUEST_X86_HVM);
	stream_record(&s, REC_STATIC_DATA_END, NULL, 0);
	stream_run(&s, FIRST, RUN, 1);
	stream_run(&s, SPECIAL, 4, 1);
	stream_record(&s, REC_VERIFY, NULL, 0);
}

static void teardown(void)
{
	stream_release(&s);
}

static void run(void)
{
	int fd;

	stream_tsc(&s);
	stream_context(&s);
	stream_usual_params(&s, SPECIAL);
	stream_record(&s, REC_END, NULL, 0);
	fd = stream_fd(&s);
	harness_restore(fd);
	close(fd);
}

/* What came before VERIFY is the guest's memory, and all of it. */
static void check_memory(void)
{
	ck_assert_uint_eq(fake_pages(h.target), PAGES);
	for (uint64_t pfn = FIRST; pfn < FIRST + RUN; pfn++)
		MUST(page_is(fake_page(h.target, pfn), pfn, 1), "pfn %#llx",
		     (unsigned long long)pfn);
}

static void check_same(unsigned pages)
{
	char text[64];

	ck_assert_msg(h.rc == 0, "%s", h.err.text);
	harness_nothing_left();
	ck_assert_uint_eq(h.results.differences, 0);
	snprintf(text, sizeof(text), "verify data: all %u pages are the same", pages);
	ck_assert_msg(harness_logged(XENSR_LOG_INFO, text), "%s", text);
	ck_assert_uint_eq(h.nr_level[XENSR_LOG_WARN], 0);
}

START_TEST(same)
{
	stream_run(&s, FIRST, RUN, 1);
	stream_run(&s, SPECIAL, 4, 1);
	run();
	check_same(PAGES);
	check_memory();
	ck_assert_uint_eq(h.progress_whats, 2);
	ck_assert_uint_eq(h.progress_falls, 0);
	ck_assert_str_eq(h.progress_what, "Comparing memory (pages)");
	ck_assert_uint_eq(h.progress_done, PAGES);
	ck_assert_uint_eq(h.progress_total, PAGES);
}
END_TEST

/* ---- differences ---------------------------------------------------------------------------- */

/* The first n of the run are other than they were. Returns the text that says so. */
static const char *differ(unsigned n)
{
	static char text[512];
	size_t len;

	if (n)
		stream_run(&s, FIRST, n, 2);
	if (n < RUN)
		stream_run(&s, FIRST + n, RUN - n, 1);
	stream_run(&s, SPECIAL, 4, 1);
	len = (size_t)snprintf(text, sizeof(text), "verify data: %u of %u pages differ: pfn ", n,
			       PAGES);
	for (unsigned i = 0; i < n && i < 12; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%#llx", i ? ", " : "",
					FIRST + i);
	if (n > 12)
		snprintf(text + len, sizeof(text) - len, ", …");
	return text;
}

static const unsigned amounts[] = {1, 2, 12, 13, 1024, RUN};

START_TEST(different)
{
	const char *text = differ(amounts[_i]);

	run();
	harness_failed(EBADMSG, "%s", text);
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
	check_memory();
}
END_TEST

START_TEST(tolerated)
{
	const char *text = differ(amounts[_i]);

	h.restore.tolerate_differences = true;
	run();
	ck_assert_msg(h.rc == 0, "%s", h.err.text);
	ck_assert_uint_eq(h.results.differences, amounts[_i]);
	ck_assert_msg(harness_logged(XENSR_LOG_WARN, text), "%s", text);
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 1);
	check_memory();
}
END_TEST

/* One octet is enough, wherever it is. */
START_TEST(one_octet)
{
	static const uint64_t at[] = {0, 1, 2047, 4088, 4095};
	uint64_t record;

	record = stream_run(&s, FIRST, 2, 1);
	s.data[record + 8 + 8 + 2 * 8 + PAGE_OCTETS + at[_i]] ^= 0x10;
	run();
	harness_failed(EBADMSG, "verify data: 1 of 2 pages differ: pfn 0x11");
}
END_TEST

/* A pfn that differs twice, in one record or two, is one that differs. */
START_TEST(counted_once)
{
	const uint64_t entries[] = {FIRST, FIRST, FIRST + 2, FIRST + 1, FIRST};

	stream_pages(&s, entries, 5, 2);
	stream_run(&s, FIRST, 1, 3);
	run();
	harness_failed(EBADMSG, "verify data: 3 of 6 pages differ: pfn 0x10, 0x11, 0x12");
}
END_TEST

/* The rings are made anew, so what came for them is of no consequence. */
START_TEST(rings)
{
	stream_run(&s, SPECIAL, 4, 2);
	run();
	check_same(4);
	check_memory();
}
END_TEST

START_TEST(ring_and_page)
{
	stream_run(&s, SPECIAL, 4, 2);
	stream_run(&s, FIRST + 5, 1, 2);
	run();
	harness_failed(EBADMSG, "verify data: 1 of 5 pages differ: pfn 0x15");
}
END_TEST

/* Pages that the guest was not given differ, and are not given now. */
START_TEST(missing)
{
	const uint64_t entries[] = {FIRST, 0x5, FIRST + 1, 0x7, 0x1fff, FIRST + 2};

	stream_pages(&s, entries, 6, 1);
	run();
	harness_failed(EBADMSG, "verify data: 3 of 3 pages differ: pfn 0x5, 0x7, 0x1fff");
	check_memory();
}
END_TEST

/* What has no data has nothing to compare, and takes or gives no memory. */
START_TEST(without_data)
{
	const uint64_t entries[] = {
		page_entry(0x5, PAGE_INVALID), /* has none here either */
		page_entry(FIRST + 1, PAGE_ALLOC_ONLY), page_entry(0x3, PAGE_ALLOC_ONLY),
		page_entry(FIRST + 2, PAGE_BROKEN),     FIRST + 3,
	};

	stream_pages(&s, entries, 5, 1);
	run();
	check_same(1);
	check_memory();
	ck_assert_uint_eq(fake.calls[FN_DECREASE], 0);
}
END_TEST

/* A hole where the guest was given memory; and a promise that is not kept. */
START_TEST(hole_in_memory)
{
	const uint64_t entries[] = {page_entry(FIRST, PAGE_INVALID), FIRST + 3};

	stream_pages(&s, entries, 2, 1);
	run();
	ck_assert_int_eq(h.rc, -1);
	ck_assert_ptr_nonnull(strstr(h.err.text, "1 of 1 pages differ: pfn 0x10"));
}
END_TEST

START_TEST(nothing_came)
{
	run();
	ck_assert_int_eq(h.rc, -1);
	ck_assert_ptr_nonnull(strstr(h.err.text, "verify data was promised, and none came"));
}
END_TEST

/* A page that the image itself had revoked. */
START_TEST(revoked)
{
	struct stream t = {0};
	uint64_t entry = page_entry(FIRST, PAGE_INVALID);

	stream_put(&t, s.data, s.len - 8);
	stream_pages(&t, &entry, 1, 0);
	stream_record(&t, REC_VERIFY, NULL, 0);
	stream_release(&s);
	s = t;
	stream_run(&s, FIRST + 1, RUN - 1, 1);
	run();
	check_same(RUN - 1);
	ck_assert_ptr_null(fake_page(h.target, FIRST));
	ck_assert_uint_eq(h.target->tot_pages, PAGES - 1);
}
END_TEST

START_TEST(twice)
{
	uint64_t at;

	stream_run(&s, FIRST, 1, 1);
	at = stream_record(&s, REC_VERIFY, NULL, 0);
	run();
	harness_failed(EBADMSG, "VERIFY record at offset %" PRIu64 ": comes a second time", at);
}
END_TEST

START_TEST(beyond_the_domain)
{
	const uint64_t entries[] = {FIRST, 0x100000000};

	stream_pages(&s, entries, 2, 1);
	run();
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, EBADMSG);
	ck_assert_ptr_nonnull(strstr(h.err.text, "pfn 0x100000000 is beyond what domain 7 can "
						 "have"));
}
END_TEST

START_TEST(cut)
{
	int fd;

	stream_run(&s, FIRST, 3, 1);
	fd = stream_fd_cut(&s, s.len - (size_t)_i * 1361);
	harness_restore(fd);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, ENODATA);
	check_memory();
	close(fd);
}
END_TEST

#define CALLS 60

START_TEST(call_fails)
{
	stream_run(&s, FIRST, RUN, 1);
	fake.fail_at = (unsigned)_i;
	run();
	ck_assert_uint_lt(fake.total, CALLS - 1);
	if (fake.failed == FN_NONE) {
		check_same(RUN);
		ck_assert_int_gt(_i, 20);
	} else if (fake.failed == FN_UNMAP || fake.failed == FN_UNMAP_RESOURCE) {
		ck_assert_msg(h.rc == 0, "%s", h.err.text);
		ck_assert(harness_logged(XENSR_LOG_WARN, "cannot unmap "));
	} else if (fake.failed == FN_POPULATE && fake.failed_order == 9) {
		ck_assert_msg(h.rc == 0, "%s", h.err.text);
	} else {
		harness_failed_somehow();
		ck_assert(h.errnum == EIO || fake.failed == FN_BUFFER_ALLOC);
	}
}
END_TEST

/* ---- both ends ------------------------------------------------------------------------------ */

/* The first ones that are written before each look are dirty. */
static void writes(enum fake_fn fn, unsigned nth)
{
	if (fn == FN_LOGDIRTY && nth == 1)
		source_write(3, 9);
}

START_TEST(saved_with_verify)
{
	bool live = _i;
	struct stream_item items[STREAM_ITEMS];
	struct xensr_verify_params params = XENSR_VERIFY_PARAMS_INIT;
	struct stream saved = {0};
	int fd = memfd_new();
	unsigned n, verifies = 0, after = 0;

	harness_reset();
	source_small();
	h.save.verify = true;
	if (live) {
		harness_live(false);
		fake.hook = writes;
	}
	ck_assert_msg(harness_save(fd) == 0, "%s", h.err.text);
	fake.hook = NULL;
	harness_nothing_left();
	ck_assert_uint_eq(h.progress_falls, 0);
	ck_assert_str_eq(h.progress_what, "Saving memory, for verification (pages)");
	stream_load(&saved, fd);
	n = stream_items(&saved, items);
	for (unsigned i = 0; i < n; i++) {
		uint32_t count;

		verifies += items[i].type == REC_VERIFY;
		if (items[i].type != REC_PAGE_DATA || !verifies)
			continue;
		memcpy(&count, items[i].body, 4);
		after += count;
	}
	ck_assert_uint_eq(verifies, 1);
	ck_assert_uint_eq(after, h.source->tot_pages);
	ck_assert_uint_eq(h.saved.pages, 2 * h.source->tot_pages + (live ? 1 : 0));

	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	params.io_fd = fd;
	ck_assert_msg(xensr_verify(&params, NULL, &h.err) == 0, "%s", h.err.text);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	target_for_source();
	harness_restore(fd);
	check_same((unsigned)h.source->tot_pages);
	target_check(SMALL_SPECIAL);
	stream_release(&saved);
	close(fd);
}
END_TEST

/* ---- the octets of a guest that changes after it was suspended ------------------------------- */

static void scribbles(enum fake_fn fn, unsigned nth)
{
	if (fn == FN_MAP && nth == 3) /* each pass maps twice */
		page_fill(fake_page(h.source, 0x213), 0x213, 66);
}

START_TEST(guest_changed)
{
	int fd = memfd_new();

	harness_reset();
	source_small();
	h.save.verify = true;
	fake.hook = scribbles;
	ck_assert_msg(harness_save(fd) == 0, "%s", h.err.text);
	fake.hook = NULL;
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	target_for_source();
	harness_restore(fd);
	harness_failed(EBADMSG, "verify data: 1 of %u pages differ: pfn 0x213",
		       (unsigned)h.source->tot_pages);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine comparing");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	suite_add_tcase(suite, tc);
	tcase_add_test(tc, same);
	tcase_add_loop_test(tc, different, 0, 6);
	tcase_add_loop_test(tc, tolerated, 0, 6);
	tcase_add_loop_test(tc, one_octet, 0, 5);
	tcase_add_test(tc, counted_once);
	tcase_add_test(tc, rings);
	tcase_add_test(tc, ring_and_page);
	tcase_add_test(tc, missing);
	tcase_add_test(tc, without_data);
	tcase_add_test(tc, hole_in_memory);
	tcase_add_test(tc, nothing_came);
	tcase_add_test(tc, revoked);
	tcase_add_test(tc, twice);
	tcase_add_test(tc, beyond_the_domain);
	tcase_add_loop_test(tc, cut, 0, 10);
	tcase_add_loop_test(tc, call_fails, 1, CALLS);
	tcase_add_loop_test(tc, saved_with_verify, 0, 2);
	tcase_add_test(tc, guest_changed);
	return harness_main(suite);
}
