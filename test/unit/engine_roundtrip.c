/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine on good days: save a sparse HVM domain, restore it, compare; what is called, in
 * which order and how often; what is refused and what is left then; older and foreign streams.
 */
#include "engine_harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xen/hvm/params.h>
#include <xen/sched.h>
#include <xenguest.h>

#include "pages.h"

#define LARGE_PAGES  (0xa0u + 0x1f00u - 1u + 8u)            /* populated */
#define LARGE_DATA   (LARGE_PAGES - 2u)                     /* with data */
#define LARGE_TYPES  ((LARGE_SPECIAL + 8u + 1023u) / 1024u) /* batches to ask for */
#define SMALL_RECORD 2u /* PAGE_DATA records of the small guest */

static void setup(void)
{
	harness_reset();
}

static void rewind_fd(int fd)
{
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
}

/* Save the source and be sure it worked. Leaves fd at the start. Returns the octets. */
static uint64_t save_well(int fd)
{
	uint64_t octets;

	ck_assert_msg(harness_save(fd) == 0, "%s", h.err.text);
	octets = fd_octets(fd);
	rewind_fd(fd);
	return octets;
}

static void restore_well(int fd)
{
	ck_assert_msg(harness_restore(fd) == 0, "%s", h.err.text);
	harness_nothing_left();
}

/* Forget the counts of the run before. */
static void recount(void)
{
	fake.total = fake.changes = fake.while_running = fake.nr_trace = fake.pages_mapped = 0;
	memset(fake.calls, 0, sizeof(fake.calls));
}

static void check_progress(void)
{
	ck_assert_uint_ge(h.progress_calls, 2);
	ck_assert_uint_le(h.progress_calls, 110);
	ck_assert_uint_eq(h.progress_falls, 0);
	ck_assert_uint_eq(h.progress_starts, 1);
	ck_assert_uint_gt(h.progress_done, 0);
	ck_assert_uint_eq(h.progress_done, h.progress_total);
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
	octets = save_well(fd);
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

	check_progress();
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
	octets = save_well(fd);
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
	octets = save_well(fd);
	target_for_source();
	recount();
	restore_well(fd);
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

	check_progress();
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
	rewind_fd(fd);
	target_for_source();
	restore_well(fd);
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
	rewind_fd(fd);
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
	save_well(fd);
	check_progress();
	close(fd);
}
END_TEST

START_TEST(progress_without_total)
{
	int fd = memfd_new();

	source_small();
	h.source->tot_pages = 0;
	save_well(fd);
	check_progress();
	close(fd);
}
END_TEST

/* More pages than the target may have according to max_pages cannot come; fewer can. */
START_TEST(progress_of_small_share)
{
	int fd = memfd_new();

	source_small();
	h.source->max_pages = 1u << 20;
	save_well(fd);
	target_for_source();
	restore_well(fd);
	check_progress();
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
	restore_well(fd);
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
	save_well(fd);
	target_for_source();
	fake.extents_2m_allowed = 5;
	restore_well(fd);
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
	save_well(fd);
	target_for_source();
	fake.fail_fn = FN_POPULATE;
	fake.fail_fn_at = 1;
	fake.fail_errno = ENOMEM;
	restore_well(fd);
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
	restore_well(fd);
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

/* ---- a save that cannot be --------------------------------------------------------------- */

START_TEST(suspend_refused)
{
	int fd = memfd_new();

	source_small();
	h.suspend_answer = 0;
	h.suspend_flags = h.source->flags;
	harness_save(fd);
	harness_failed(ECANCELED, "the toolstack did not suspend domain 5");
	ck_assert_uint_eq(h.suspends, 1);
	ck_assert_uint_eq(fake.changes, 0);
	ck_assert_uint_eq(fake.calls[FN_TYPES], 0);
	close(fd);
}
END_TEST

START_TEST(suspend_interrupted)
{
	int fd = memfd_new();

	source_small();
	h.suspend_answer = 0;
	h.suspend_errno = EINTR;
	harness_save(fd);
	harness_failed(EINTR, "the toolstack did not suspend domain 5");
	close(fd);
}
END_TEST

START_TEST(still_running)
{
	int fd = memfd_new();

	source_small();
	h.suspend_flags = h.source->flags;
	harness_save(fd);
	harness_failed(EINVAL, "domain 5 is still running after the suspend");
	ck_assert_uint_eq(fake.while_running, 0);
	close(fd);
}
END_TEST

START_TEST(other_shutdown)
{
	static const unsigned reasons[] = {SHUTDOWN_poweroff, SHUTDOWN_reboot, SHUTDOWN_crash,
					   SHUTDOWN_watchdog, SHUTDOWN_soft_reset};
	int fd = memfd_new();

	source_small();
	h.suspend_flags = XEN_DOMINF_hvm_guest | XEN_DOMINF_shutdown |
			  reasons[_i] << XEN_DOMINF_shutdownshift;
	harness_save(fd);
	harness_failed(EINVAL, "domain 5 has shut down for another reason than suspend");
	ck_assert_uint_eq(fake.calls[FN_TYPES], 0);
	close(fd);
}
END_TEST

/* At most one question has been asked of each domain. */
static void check_untouched(int fd)
{
	ck_assert_uint_eq(fd_octets(fd), 0);
	ck_assert_uint_eq(fake.changes, 0);
	ck_assert_uint_le(fake.total, 2);
	ck_assert_uint_eq(fake.calls[FN_GETINFO], fake.total);
	ck_assert_uint_eq(h.suspends, 0);
	close(fd);
}

/* Without it what the device model writes would be lost. */
START_TEST(live_without_switch)
{
	int fd = memfd_new();

	source_small();
	h.save.live = true;
	h.save.callbacks.switch_qemu_logdirty = NULL;
	harness_save(fd);
	harness_failed(EINVAL, "there is no switch_qemu_logdirty callback, without which what the "
			       "device model writes would be lost");
	ck_assert_uint_eq(fake.calls[FN_SHADOW], 0);
	ck_assert_uint_eq(fake.changes, 0);
	ck_assert_uint_eq(h.suspends, 0);
	close(fd);
}
END_TEST

START_TEST(no_such_domain)
{
	int fd = memfd_new();

	source_small();
	target_for_source();
	h.save.domid = 6; /* the list goes on with 7 */
	harness_save(fd);
	harness_failed(ESRCH, "no information about domain 6: No such process");
	h.restore.domid = 8; /* the list is empty */
	harness_restore(fd);
	harness_failed(ESRCH, "no information about domain 8: No such process");
	check_untouched(fd);
}
END_TEST

START_TEST(no_handle)
{
	int fd = memfd_new();

	source_small();
	h.save.xch = NULL;
	harness_save(fd);
	harness_failed(EINVAL, "there is no hypervisor handle");
	h.restore.xch = NULL;
	harness_restore(fd);
	harness_failed(EINVAL, "there is no hypervisor handle");
	check_untouched(fd);
}
END_TEST

START_TEST(no_suspend_callback)
{
	int fd = memfd_new();

	source_small();
	h.save.callbacks.suspend = NULL;
	harness_save(fd);
	harness_failed(EINVAL, "there is no suspend callback");
	check_untouched(fd);
}
END_TEST

START_TEST(nothing_to_save)
{
	int fd = memfd_new();

	h.source = fake_domain_add(SOURCE_DOMID, 0x1000);
	source_state(SMALL_SPECIAL);
	harness_save(fd);
	harness_failed(EINVAL, "domain 5 has no memory");
	fake_page_add(h.source, 0x12345, PAGE_BROKEN);
	harness_save(fd);
	harness_failed(EINVAL, "domain 5 has no memory");
	source_fill(0, 0);
	memset(h.source->params, 0, sizeof(h.source->params));
	harness_save(fd);
	harness_failed(EINVAL, "domain 5 has no HVM parameters");
	close(fd);
}
END_TEST

/* A batch of which no page carries data has nothing to map, but entries to send. */
START_TEST(batch_without_data)
{
	int fd = memfd_new();

	source_small();
	fake_page_add(h.source, 0x1000, PAGE_ALLOC_ONLY);
	save_well(fd);
	target_for_source();
	restore_well(fd);
	target_check(SMALL_SPECIAL);
	ck_assert(page_is_zero(fake_page(h.target, 0x1000)));
	close(fd);
}
END_TEST

START_TEST(strange_type)
{
	int fd = memfd_new();

	source_small();
	fake_page_add(h.source, 0x501, 5);
	harness_save(fd);
	harness_failed(EIO, "Xen says type 0x5 for pfn 0x501, which is unknown");
	close(fd);
}
END_TEST

/* The index in the error array is not the pfn: pfn 0x453 is the 626th page with data. */
START_TEST(page_not_mapped)
{
	int fd = memfd_new();

	source_small();
	fake.map_error_gfn = 0x453;
	fake.map_error = -ENOENT;
	harness_save(fd);
	harness_failed(ENOENT, "cannot map pfn 0x453: No such file or directory");
	fake.map_error = ENOENT;
	harness_save(fd);
	harness_failed(ENOENT, "cannot map pfn 0x453: No such file or directory");
	close(fd);
}
END_TEST

START_TEST(page_not_mapped_in_restore)
{
	int fd = memfd_new();

	source_small();
	save_well(fd);
	target_for_source();
	fake.map_error_gfn = 0x453;
	fake.map_error = -ENOENT;
	harness_restore(fd);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, ENOENT);
	ck_assert_ptr_nonnull(strstr(h.err.text, "cannot map gfn 0x453"));
	ck_assert_uint_eq(h.err.record_type, REC_PAGE_DATA);
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
	close(fd);
}
END_TEST

/* ---- xenguest.h -------------------------------------------------------------------------- */

static int guest_suspend(void *data)
{
	return h.save.callbacks.suspend(data);
}

static int guest_static_data_done(unsigned int missing, void *data)
{
	return h.restore.callbacks.static_data_done(missing, data);
}

static unsigned long guest_store, guest_console;

static int guest_save(int fd, uint32_t flags)
{
	struct save_callbacks cb = {.suspend = guest_suspend, .data = &h};

	errno = 0;
	return xc_domain_save(fake_xch(), fd, SOURCE_DOMID, flags, &cb, XC_STREAM_PLAIN, -1);
}

static int guest_restore(int fd, uint32_t domid)
{
	struct restore_callbacks cb = {.static_data_done = guest_static_data_done, .data = &h};

	errno = 0;
	guest_store = guest_console = 0xdead;
	return xc_domain_restore(fake_xch(), fd, domid, 21, &guest_store, 11, 22, &guest_console,
				 12, XC_STREAM_PLAIN, &cb, -1);
}

START_TEST(guest_round_trip)
{
	int fd = memfd_new(), other = memfd_new();
	struct stream s = {0}, t = {0};

	source_small();
	ck_assert_int_eq(guest_save(fd, 0), 0);
	ck_assert_uint_eq(h.suspends, 1);
	ck_assert_str_eq(fake.progress_prefix, "Saving memory (pages)");
	ck_assert(fake.progress_ended);
	ck_assert_uint_gt(fake.progress_total, 0);
	ck_assert_uint_eq(fake.progress_done, fake.progress_total);
	save_well(other);
	stream_load(&s, fd);
	stream_load(&t, other);
	ck_assert_uint_eq(s.len, t.len);
	ck_assert_int_eq(memcmp(s.data, t.data, s.len), 0);

	rewind_fd(fd);
	target_for_source();
	ck_assert_int_eq(guest_restore(fd, TARGET_DOMID), 0);
	h.results.store_gfn = guest_store;
	h.results.console_gfn = guest_console;
	target_check(SMALL_SPECIAL);
	ck_assert_uint_eq(h.static_calls, 1);
	ck_assert_uint_eq(h.missing, 0);
	ck_assert_str_eq(fake.progress_prefix, "Restoring memory (pages)");
	ck_assert_uint_eq(fake.progress_done, fake.progress_total);
	ck_assert_uint_eq(fake.reported, 0);
	harness_nothing_left();
	stream_release(&s);
	stream_release(&t);
	close(fd);
	close(other);
}
END_TEST

START_TEST(guest_save_fails)
{
	int fd = memfd_new();

	source_small();
	ck_assert_int_eq(guest_save(fd, XCFLAGS_LIVE), -1);
	ck_assert_int_eq(errno, EINVAL);
	/* And that there is no callback to switch it off again. */
	ck_assert_uint_ge(fake.reported, 1);
	ck_assert_int_eq(fake.reported_errno, EINVAL);
	ck_assert_str_eq(fake.reported_text,
			 "there is no switch_qemu_logdirty callback, without which what the "
			 "device model writes would be lost");
	ck_assert_uint_eq(fake.changes, 0);
	fake.reported = 0;
	h.suspend_answer = 0;
	ck_assert_int_eq(guest_save(fd, 0), -1);
	ck_assert_int_eq(errno, ECANCELED);
	ck_assert_str_eq(fake.reported_text, "the toolstack did not suspend domain 5");
	ck_assert_uint_eq(fake.reported, 1);
	harness_nothing_left();
	close(fd);
}
END_TEST

START_TEST(guest_restore_fails)
{
	int fd = memfd_new();

	source_small();
	ck_assert_int_eq(guest_save(fd, 0), 0);
	target_for_source();
	rewind_fd(fd);
	ck_assert_int_eq(guest_restore(fd, 9), -1);
	ck_assert_int_eq(errno, ESRCH);
	ck_assert_str_eq(fake.reported_text, "no information about domain 9: No such process");
	ck_assert_int_eq(fake.reported_errno, ESRCH);
	ck_assert_int_eq(lseek(fd, 0, SEEK_END) > 0, 1);
	ck_assert_int_eq(guest_restore(fd, TARGET_DOMID), -1);
	ck_assert_int_eq(errno, ENODATA);
	ck_assert_str_eq(fake.reported_text, "image header at offset 0: the stream ends early, at "
					     "offset 0: 24 more octets expected");
	ck_assert_uint_eq(guest_store, 0xdead);
	ck_assert_uint_eq(guest_console, 0xdead);
	harness_nothing_left();
	close(fd);
}
END_TEST

/* Stock reports warnings of its own to the same logger; ours must not be lost on the way. */
START_TEST(guest_warning)
{
	int fd = memfd_new();

	source_small();
	fake.fail_fn = FN_UNMAP;
	fake.fail_fn_at = 1;
	fake.fail_errno = EFAULT;
	ck_assert_int_eq(guest_save(fd, 0), 0);
	ck_assert_uint_eq(fake.mappings, 1);
	ck_assert_uint_eq(fake.reported, 1);
	ck_assert_ptr_nonnull(strstr(fake.reported_text, "cannot unmap"));
	close(fd);
}
END_TEST

/* What no restore would take is refused while the guest can still go on. */
START_TEST(ring_that_is_not_memory)
{
	static const struct {
		unsigned index;
		const char *name;
	} rings[] = {{HVM_PARAM_STORE_PFN, "xenstore"}, {HVM_PARAM_CONSOLE_PFN, "console"}};
	char text[96];
	int fd = memfd_new();

	source_small();
	h.source->params[rings[_i].index] = 0x777;
	snprintf(text, sizeof(text), "the guest's %s page, pfn 0x777, is not memory",
		 rings[_i].name);
	harness_save(fd);
	harness_failed(EINVAL, "%s", text);
	close(fd);
}
END_TEST

/* ---- parameters of another library version ----------------------------------------------- */

START_TEST(params_older)
{
	int fd = memfd_new();

	source_small();
	ck_assert_int_eq(harness_save(fd), 0);
	rewind_fd(fd);
	target_for_source();
	h.restore.size = offsetof(struct xensr_restore_params, callbacks);
	ck_assert_int_eq(harness_restore(fd), 0);
	ck_assert_uint_eq(h.static_calls, 0);
	target_check(SMALL_SPECIAL);
	/* So old that it has no callbacks: what is mandatory is missing. */
	h.save.size = offsetof(struct xensr_save_params, callbacks);
	harness_save(fd);
	ck_assert_int_eq(h.rc, -1);
	ck_assert_int_eq(h.errnum, EINVAL);
	ck_assert_str_eq(h.err.text, "there is no suspend callback");
	close(fd);
}
END_TEST

START_TEST(params_newer)
{
	struct {
		struct xensr_save_params known;
		uint64_t more[2];
	} save = {0};
	struct {
		struct xensr_restore_params known;
		uint64_t more[2];
	} restore = {0};
	struct xensr_error err;
	char text[128];
	int fd = memfd_new();

	source_small();
	save.known = h.save;
	save.known.size = sizeof(save);
	save.known.io_fd = fd;
	ck_assert_int_eq(xensr_save(&save.known, NULL, &err), 0);
	rewind_fd(fd);
	target_for_source();
	h.restore.reports = (struct xensr_reports){0};
	restore.known = h.restore;
	restore.known.size = sizeof(restore);
	restore.known.io_fd = fd;
	ck_assert_int_eq(xensr_restore(&restore.known, &h.results, &err), 0);
	target_check(SMALL_SPECIAL);

	recount();
	save.more[1] = 1;
	ck_assert_int_eq(xensr_save(&save.known, NULL, &err), -1);
	ck_assert_int_eq(errno, EINVAL);
	snprintf(text, sizeof(text), "parameter at octet %zu is unknown to this version",
		 sizeof(save.known) + 8);
	ck_assert_str_eq(err.text, text);
	restore.more[0] = 1ull << 63;
	ck_assert_int_eq(xensr_restore(&restore.known, NULL, &err), -1);
	ck_assert_int_eq(errno, EINVAL);
	snprintf(text, sizeof(text), "parameter at octet %zu is unknown to this version",
		 sizeof(restore.known) + 7);
	ck_assert_str_eq(err.text, text);
	ck_assert_uint_eq(fake.total, 0);
	close(fd);
}
END_TEST

START_TEST(params_without_size)
{
	int fd = memfd_new();

	source_small();
	h.save.size = 0;
	harness_save(fd);
	ck_assert_int_eq(h.rc, -1);
	ck_assert_int_eq(h.errnum, EINVAL);
	ck_assert_str_eq(h.err.text, "the size of the parameters is not set");
	h.restore.size = 0;
	harness_restore(fd);
	ck_assert_int_eq(h.rc, -1);
	ck_assert_int_eq(h.errnum, EINVAL);
	ck_assert_str_eq(h.err.text, "the size of the parameters is not set");
	check_untouched(fd);
}
END_TEST

/* ---- static data ------------------------------------------------------------------------- */

/* The small guest's stream without the record types of `drop`, as version `version`. */
static int edited_stream(uint32_t version, uint32_t drop)
{
	struct stream_item items[STREAM_ITEMS];
	struct stream s = {0}, t = {0};
	int fd = memfd_new();
	unsigned n;

	save_well(fd);
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
	recount();
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
	restore_well(fd);
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
	restore_well(fd);
	ck_assert_uint_eq(h.missing, cases[_i].missing);
	ck_assert_uint_eq(h.nr_level[XENSR_LOG_WARN], 0);
	forget_policy(drop >> REC_X86_CPUID_POLICY & 1, drop >> REC_X86_MSR_POLICY & 1);
	target_check(SMALL_SPECIAL);

	/* Without the callback somebody must be told. */
	rewind_fd(fd);
	fake_reset();
	source_small();
	target_for_source();
	h.restore.callbacks.static_data_done = NULL;
	restore_well(fd);
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
	restore_well(fd);
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
	restore_well(fd);
	target_check(SMALL_SPECIAL);
	ck_assert_uint_eq(h.target->tot_pages, h.source->tot_pages);
	ck_assert_uint_eq(fake.calls[FN_MAP], SMALL_RECORD);
	ck_assert_uint_eq(fake.extents_2m, 1);
	check_progress();
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
	restore_well(fd);
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
	restore_well(fd);
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
	restore_well(fd);
	ck_assert_uint_eq(h.results.store_gfn, SMALL_SPECIAL);
	stream_release(&s);
	close(fd);
}
END_TEST

/* ---- grant table ------------------------------------------------------------------------- */

START_TEST(grant_table_through_physmap)
{
	int fd = memfd_new();

	source_small();
	save_well(fd);
	target_for_source();
	fake.fail_fn = FN_MAP_RESOURCE;
	fake.fail_fn_at = 1;
	fake.fail_errno = EOPNOTSUPP;
	restore_well(fd);
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
	save_well(fd);
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
	save_well(fd);
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

	tc = harness_tcase(suite, "no save", setup, NULL);
	tcase_add_test(tc, suspend_refused);
	tcase_add_test(tc, suspend_interrupted);
	tcase_add_test(tc, still_running);
	tcase_add_loop_test(tc, other_shutdown, 0, 5);
	tcase_add_test(tc, live_without_switch);
	tcase_add_test(tc, no_such_domain);
	tcase_add_test(tc, no_handle);
	tcase_add_test(tc, no_suspend_callback);
	tcase_add_test(tc, nothing_to_save);
	tcase_add_test(tc, batch_without_data);
	tcase_add_test(tc, strange_type);
	tcase_add_test(tc, page_not_mapped);
	tcase_add_test(tc, page_not_mapped_in_restore);

	tc = harness_tcase(suite, "xenguest.h", setup, NULL);
	tcase_add_test(tc, guest_round_trip);
	tcase_add_test(tc, guest_save_fails);
	tcase_add_test(tc, guest_restore_fails);
	tcase_add_test(tc, guest_warning);

	tc = harness_tcase(suite, "parameters", setup, NULL);
	tcase_add_loop_test(tc, ring_that_is_not_memory, 0, 2);
	tcase_add_test(tc, params_older);
	tcase_add_test(tc, params_newer);
	tcase_add_test(tc, params_without_size);

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

	tc = harness_tcase(suite, "grant table", setup, NULL);
	tcase_add_test(tc, grant_table_through_physmap);
	tcase_add_test(tc, grant_table_through_physmap_fails);
	tcase_add_test(tc, grant_table_refused);
	return harness_main(suite);
}
