/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine on good days: save a sparse HVM domain, restore it, compare; what is called, in
 * which order and how often.
 */
#include "engine_harness.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pages.h"

#define LARGE_PAGES (0xa0u + 0x1f00u - 1u + 8u)            /* populated */
#define LARGE_DATA  (LARGE_PAGES - 2u)                     /* with data */
#define LARGE_TYPES ((LARGE_SPECIAL + 8u + 1023u) / 1024u) /* batches to ask for */

static void setup(void)
{
	harness_reset();
}

/* ---- there and back ---------------------------------------------------------------------- */

/* What the saver wrote: the right records in order, each existing page once, holes never. */
static void check_stream(const struct stream *s)
{
	static const uint32_t before[] = {REC_X86_CPUID_POLICY, REC_X86_MSR_POLICY,
					  REC_STATIC_DATA_END};
	static const uint32_t after[] = {REC_X86_TSC_INFO, REC_HVM_CONTEXT, REC_HVM_PARAMS,
					 REC_END};
	struct stream_item items[STREAM_ITEMS];
	unsigned n = stream_items(s, items);
	uint64_t last = 0, entries = 0;
	unsigned i;

	ck_assert_uint_gt(n, 7);
	for (i = 0; i < 3; i++)
		ck_assert_uint_eq(items[i].type, before[i]);
	for (; items[i].type == REC_PAGE_DATA; i++) {
		struct wire_page_data head;

		memcpy(&head, items[i].body, sizeof(head));
		ck_assert_uint_eq(head.reserved, 0);
		for (uint32_t e = 0; e < head.count; e++) {
			uint64_t entry, pfn;
			enum page_type type;

			memcpy(&entry, items[i].body + sizeof(head) + e * 8, 8);
			pfn = page_entry_pfn(entry);
			type = page_entry_type(entry);
			MUST(entries == 0 || pfn > last, "pfns rise");
			MUST(fake_page(h.source, pfn), "pfn %#llx is a hole",
			     (unsigned long long)pfn);
			MUST(type == (pfn == LARGE_BROKEN  ? PAGE_BROKEN
				      : pfn == LARGE_ALLOC ? PAGE_ALLOC_ONLY
							   : PAGE_NORMAL),
			     "pfn %#llx has type %#x", (unsigned long long)pfn, type);
			last = pfn;
			entries++;
		}
	}
	ck_assert_uint_eq(entries, fake_pages(h.source));
	ck_assert_uint_eq(n - i, 4);
	for (unsigned j = 0; j < 4; j++)
		ck_assert_uint_eq(items[i + j].type, after[j]);
}

START_TEST(large_save)
{
	int fd = memfd_new();
	struct stream s = {0};
	uint64_t octets;
	char line[128];

	source_large();
	octets = harness_save_well(fd);
	harness_nothing_left();
	stream_load(&s, fd);
	ck_assert_uint_eq(s.len, octets);
	check_stream(&s);

	/* Suspended once, by the callback, before its memory was looked at; changed by nothing. */
	ck_assert_uint_eq(h.suspends, 1);
	ck_assert_uint_eq(fake.while_running, 0);
	ck_assert_uint_eq(fake.changes, 0);
	ck_assert_int_lt(fake_trace_find(FN_CB_SUSPEND, 0), fake_trace_find(FN_NR_GPFNS, 0));
	ck_assert_int_lt(fake_trace_find(FN_CB_SUSPEND, 0), fake_trace_find(FN_TYPES, 0));
	ck_assert_int_lt(fake_trace_find(FN_CB_SUSPEND, 0), fake_trace_find(FN_CONTEXT_GET, 0));

	/* Cheap: one question for 1024 pfns, one for the rings, one mapping where there are pages. */
	ck_assert_uint_eq(fake.calls[FN_TYPES], LARGE_TYPES + 1);
	ck_assert_uint_eq(fake.calls[FN_MAP], 9);
	ck_assert_uint_eq(fake.pages_mapped, LARGE_DATA);
	ck_assert_uint_le(fake.total, LARGE_TYPES + 18 + 40);

	harness_check_progress();
	ck_assert_uint_eq(h.progress_total, LARGE_PAGES);
	snprintf(line, sizeof(line), "saved domain 5: %u pages, %llu octets", LARGE_DATA,
		 (unsigned long long)octets);
	ck_assert(harness_logged(XENSR_LOG_DETAIL, line));
	ck_assert_uint_eq(h.nr_level[XENSR_LOG_WARN], 0);
	ck_assert_uint_eq(h.nr_level[XENSR_LOG_ERROR], 0);
	stream_release(&s);
	close(fd);
}
END_TEST

START_TEST(large_verify)
{
	int fd = memfd_new();
	struct xensr_verify_params params = XENSR_VERIFY_PARAMS_INIT;
	struct xensr_verify_results found;
	struct xensr_error err;
	uint64_t octets;

	source_large();
	octets = harness_save_well(fd);
	params.io_fd = fd;
	ck_assert_msg(xensr_verify(&params, &found, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(found.version, 3);
	ck_assert_uint_eq(found.guest_type, GUEST_X86_HVM);
	ck_assert_uint_eq(found.xen_major, 4);
	ck_assert_uint_eq(found.xen_minor, 17);
	ck_assert_uint_eq(found.page_entries, LARGE_PAGES);
	ck_assert_uint_eq(found.pages, LARGE_DATA);
	ck_assert_uint_eq(found.octets, octets);
	close(fd);
}
END_TEST

START_TEST(large_restore)
{
	int fd = memfd_new();
	uint64_t octets;
	char line[128];

	source_large();
	octets = harness_save_well(fd);
	target_for_source();
	harness_recount();
	harness_restore_well(fd);
	target_check(LARGE_SPECIAL);
	ck_assert_ptr_null(fake_page(h.target, LARGE_BROKEN));
	ck_assert(page_is_zero(fake_page(h.target, LARGE_ALLOC)));
	ck_assert_uint_eq(fake.extents_2m, LARGE_WHOLE_2M);
	ck_assert_uint_eq(fd_octets(fd), octets);

	ck_assert_uint_eq(fake.calls[FN_MAP], 9);
	ck_assert_uint_eq(fake.pages_mapped, LARGE_DATA);
	ck_assert_uint_le(fake.calls[FN_POPULATE], 2 * 9);
	ck_assert_uint_le(fake.total, 4 * 9 + 30);

	ck_assert_uint_eq(h.static_calls, 1);
	ck_assert_uint_eq(h.missing, 0);
	ck_assert_uint_eq(fake.calls[FN_POLICY_SET], 1);
	ck_assert_int_lt(fake_trace_find(FN_POLICY_SET, 0),
			 fake_trace_find(FN_CB_STATIC_DATA_DONE, 0));
	ck_assert_int_lt(fake_trace_find(FN_CB_STATIC_DATA_DONE, 0),
			 fake_trace_find(FN_POPULATE, 0));
	/* A ring is cleared after its content has come, and before Xen hears of it. */
	ck_assert_int_lt(fake_trace_find(FN_UNMAP, 8), fake_trace_find(FN_CLEAR, 0));
	ck_assert_int_lt(fake_trace_find(FN_CLEAR, 3), fake_trace_find(FN_PARAM_SET, 0));
	ck_assert_uint_eq(fake.calls[FN_CLEAR], 4);
	ck_assert_uint_eq(fake.calls[FN_PHYSMAP_ADD], 0);

	harness_check_progress();
	ck_assert_uint_eq(h.progress_total, LARGE_DATA);
	ck_assert(harness_logged(XENSR_LOG_DETAIL,
				 "stream version 3 of an x86 HVM guest, saved by Xen 4.17"));
	snprintf(line, sizeof(line), "restored domain 7: %u pages, %llu octets", LARGE_DATA,
		 (unsigned long long)octets);
	ck_assert(harness_logged(XENSR_LOG_DETAIL, line));
	ck_assert_uint_eq(h.nr_level[XENSR_LOG_WARN], 0);
	ck_assert_uint_eq(h.nr_level[XENSR_LOG_ERROR], 0);
	close(fd);
}
END_TEST

/* What is on the descriptor after END belongs to the caller. */
START_TEST(leaves_what_follows)
{
	int fd = memfd_new();
	uint64_t octets;

	source_small();
	ck_assert_int_eq(harness_save(fd), 0);
	octets = fd_octets(fd);
	ck_assert_int_eq(write(fd, "toolstack", 9), 9);
	harness_rewind(fd);
	target_for_source();
	harness_restore_well(fd);
	ck_assert_uint_eq(fd_octets(fd), octets);
	target_check(SMALL_SPECIAL);
	close(fd);
}
END_TEST

/* Nobody listens, and results and error are not wanted. */
START_TEST(without_reports)
{
	int fd = memfd_new();

	source_small();
	memset(&h.save.reports, 0, sizeof(h.save.reports));
	memset(&h.restore.reports, 0, sizeof(h.restore.reports));
	h.save.io_fd = h.restore.io_fd = fd;
	ck_assert_int_eq(xensr_save(&h.save, NULL, NULL), 0);
	harness_rewind(fd);
	target_for_source();
	ck_assert_int_eq(xensr_restore(&h.restore, NULL, NULL), 0);
	errno = 0;
	ck_assert_int_eq(xensr_restore(&h.restore, NULL, NULL), -1);
	ck_assert_int_eq(errno, ENODATA);
	close(fd);
}
END_TEST

/* ---- progress ---------------------------------------------------------------------------- */

/* Xen's total may not count pages that it lends the guest. */
START_TEST(progress_with_lent_pages)
{
	int fd = memfd_new();

	source_small();
	h.source->tot_pages -= 8;
	harness_save_well(fd);
	harness_check_progress();
	close(fd);
}
END_TEST

START_TEST(progress_without_total)
{
	int fd = memfd_new();

	source_small();
	h.source->tot_pages = 0;
	harness_save_well(fd);
	harness_check_progress();
	close(fd);
}
END_TEST

/* More pages than the target may have according to max_pages cannot come; fewer can. */
START_TEST(progress_of_small_share)
{
	int fd = memfd_new();

	source_small();
	h.source->max_pages = 1u << 20;
	harness_save_well(fd);
	target_for_source();
	harness_restore_well(fd);
	harness_check_progress();
	close(fd);
}
END_TEST

/* ---- superpages -------------------------------------------------------------------------- */

#define RUNS 8

/* One record with 8 whole runs, of which Xen gives `_i`. */
START_TEST(superpages_refused)
{
	struct stream s = {0};
	int fd;

	h.target = fake_domain_add(TARGET_DOMID, 0x4000);
	fake.extents_2m_allowed = (unsigned)_i;
	stream_begin(&s);
	stream_run(&s, 0x400, RUNS * 512, 9);
	stream_run(&s, SMALL_SPECIAL - 0x300, 8, 9);
	stream_tsc(&s);
	stream_context(&s);
	stream_usual_params(&s, SMALL_SPECIAL - 0x300);
	stream_record(&s, REC_END, NULL, 0);
	fd = stream_fd(&s);
	harness_restore_well(fd);
	ck_assert_uint_eq(fake.extents_2m, (unsigned)_i);
	ck_assert_uint_eq(fake_pages(h.target), RUNS * 512 + 8);
	for (uint64_t pfn = 0x400; pfn < 0x400 + RUNS * 512; pfn++)
		MUST(page_is(fake_page(h.target, pfn), pfn, 9), "pfn %#llx",
		     (unsigned long long)pfn);
	/* Refusing must not cost a call a page. */
	ck_assert_uint_le(fake.calls[FN_POPULATE], 2 + RUNS);
	stream_release(&s);
	close(fd);
}
END_TEST

START_TEST(large_without_superpages)
{
	int fd = memfd_new();

	source_large();
	harness_save_well(fd);
	target_for_source();
	fake.extents_2m_allowed = 5;
	harness_restore_well(fd);
	target_check(LARGE_SPECIAL);
	ck_assert_uint_eq(fake.extents_2m, 5);
	close(fd);
}
END_TEST

/* Order 9 fails outright (an errno, not a short count). */
START_TEST(superpage_call_fails)
{
	int fd = memfd_new();

	source_small();
	harness_save_well(fd);
	target_for_source();
	fake.fail_fn = FN_POPULATE;
	fake.fail_fn_at = 1;
	fake.fail_errno = ENOMEM;
	harness_restore_well(fd);
	ck_assert_int_eq(fake.failed, FN_POPULATE);
	ck_assert_uint_eq(fake.failed_order, 9);
	ck_assert_uint_eq(fake.extents_2m, 0);
	target_check(SMALL_SPECIAL);
	close(fd);
}
END_TEST

/* A run that is whole only over two records, or not aligned, or in falling order. */
START_TEST(no_superpage_from_parts)
{
	struct stream s = {0};
	uint64_t falling[512];
	int fd;

	for (uint32_t i = 0; i < 512; i++)
		falling[i] = page_entry(0xbff - i, PAGE_NORMAL);
	h.target = fake_domain_add(TARGET_DOMID, 0x4000);
	stream_begin(&s);
	stream_run(&s, 0x200, 256, 0);
	stream_run(&s, 0x300, 256, 0);
	stream_run(&s, 0x401, 512, 0);
	stream_pages(&s, falling, 512, 0);
	stream_finish(&s, SMALL_SPECIAL + 0x800);
	fd = stream_fd(&s);
	harness_restore_well(fd);
	ck_assert_uint_eq(fake.extents_2m, 0);
	ck_assert_uint_eq(fake_pages(h.target), 256 + 256 + 512 + 512 + 8);
	for (uint64_t pfn = 0x401; pfn < 0x601; pfn++)
		MUST(page_is(fake_page(h.target, pfn), pfn, 0), "pfn %#llx",
		     (unsigned long long)pfn);
	for (uint64_t pfn = 0xa00; pfn < 0xc00; pfn++)
		MUST(page_is(fake_page(h.target, pfn), pfn, 0), "pfn %#llx",
		     (unsigned long long)pfn);
	stream_release(&s);
	close(fd);
}
END_TEST
/* ---- grant table ------------------------------------------------------------------------- */

START_TEST(grant_table_through_physmap)
{
	int fd = memfd_new();

	source_small();
	harness_save_well(fd);
	target_for_source();
	fake.fail_fn = FN_MAP_RESOURCE;
	fake.fail_fn_at = 1;
	fake.fail_errno = EOPNOTSUPP;
	harness_restore_well(fd);
	ck_assert_uint_eq(fake.calls[FN_PHYSMAP_ADD], 1);
	ck_assert_uint_eq(fake.calls[FN_PHYSMAP_REMOVE], 1);
	target_check(SMALL_SPECIAL);
	ck_assert_uint_eq(h.nr_level[XENSR_LOG_ERROR], 0);
	close(fd);
}
END_TEST

START_TEST(grant_table_through_physmap_fails)
{
	int fd = memfd_new();

	source_small();
	harness_save_well(fd);
	target_for_source();
	fake.fail_fn = FN_MAP_RESOURCE;
	fake.fail_fn_at = 1;
	fake.fail_errno = EOPNOTSUPP;
	fake.map_error_gfn = SMALL_SPECIAL + 8; /* behind the last */
	fake.map_error = -EPERM;
	harness_restore(fd);
	harness_failed(EPERM, "cannot map the grant table: Operation not permitted");
	close(fd);
}
END_TEST

START_TEST(grant_table_refused)
{
	int fd = memfd_new();

	source_small();
	harness_save_well(fd);
	target_for_source();
	fake.fail_fn = FN_MAP_RESOURCE;
	fake.fail_fn_at = 1;
	fake.fail_errno = EPERM;
	harness_restore(fd);
	harness_failed(EPERM, "cannot map the grant table: Operation not permitted");
	ck_assert_uint_eq(fake.calls[FN_PHYSMAP_ADD], 0);
	close(fd);
}
END_TEST
int main(void)
{
	Suite *suite = suite_create("engine round trip");
	TCase *tc;

	tc = harness_tcase(suite, "there and back", setup, NULL);
	tcase_add_test(tc, large_save);
	tcase_add_test(tc, large_verify);
	tcase_add_test(tc, large_restore);
	tcase_add_test(tc, leaves_what_follows);
	tcase_add_test(tc, without_reports);

	tc = harness_tcase(suite, "progress", setup, NULL);
	tcase_add_test(tc, progress_with_lent_pages);
	tcase_add_test(tc, progress_without_total);
	tcase_add_test(tc, progress_of_small_share);

	tc = harness_tcase(suite, "superpages", setup, NULL);
	tcase_add_loop_test(tc, superpages_refused, 0, RUNS + 1);
	tcase_add_test(tc, large_without_superpages);
	tcase_add_test(tc, superpage_call_fails);
	tcase_add_test(tc, no_superpage_from_parts);

	tc = harness_tcase(suite, "grant table", setup, NULL);
	tcase_add_test(tc, grant_table_through_physmap);
	tcase_add_test(tc, grant_table_through_physmap_fails);
	tcase_add_test(tc, grant_table_refused);
	return harness_main(suite);
}
