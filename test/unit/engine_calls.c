/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a caller may ask for: a save that cannot be, and what is left then; our parameters, and
 * libxenguest's.
 */
#include "engine_harness.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <xen/hvm/params.h>
#include <xen/sched.h>
#include <xenguest.h>

static void setup(void)
{
	harness_reset();
}

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
	harness_save_well(fd);
	target_for_source();
	harness_restore_well(fd);
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
	harness_save_well(fd);
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
	harness_save_well(other);
	stream_load(&s, fd);
	stream_load(&t, other);
	ck_assert_uint_eq(s.len, t.len);
	ck_assert_int_eq(memcmp(s.data, t.data, s.len), 0);

	harness_rewind(fd);
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
	harness_rewind(fd);
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
	harness_rewind(fd);
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
	harness_rewind(fd);
	target_for_source();
	h.restore.reports = (struct xensr_reports){0};
	restore.known = h.restore;
	restore.known.size = sizeof(restore);
	restore.known.io_fd = fd;
	ck_assert_int_eq(xensr_restore(&restore.known, &h.results, &err), 0);
	target_check(SMALL_SPECIAL);

	harness_recount();
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
int main(void)
{
	Suite *suite = suite_create("engine calls");
	TCase *tc;

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
	return harness_main(suite);
}
