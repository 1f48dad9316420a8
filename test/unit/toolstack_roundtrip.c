/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Saving and restoring with the toolstack's part of the stream: what goes in comes out, to the octet
 * on the wire; what the toolstack refuses, or asks for and cannot be, fails with the reason; it can
 * be stopped anywhere.
 */
#include "toolstack_harness.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "pages.h"
#include "record.h"

#define DOMAIN_AT (16 + 8) /* where the domain stream begins */

static void setup(void)
{
	toolstack_reset();
	source_small();
}

/* ---- round trips ----------------------------------------------------------------------------- */

/* Bit 0: with an xl header; bit 1: live; bit 2: with checksums. */
START_TEST(hvm)
{
	int fd = memfd_new();

	if (_i & 1)
		t.save.xl_config = CONFIG;
	if (_i & 2)
		harness_live(false);
	h.save.checksum = _i & 4;
	ck_assert_msg(toolstack_save(fd) == 0, "%s", h.err.text);
	harness_nothing_left();
	ck_assert_uint_eq(h.saved.octets, fd_octets(fd));
	ck_assert_uint_eq(t.asked_pairs, 1);
	ck_assert_uint_eq(t.asked_contexts, 1);
	ck_assert_int_eq(write(fd, "next", 4), 4);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);

	target_for_source();
	t.restore.xl_header = _i & 1;
	ck_assert_msg(toolstack_restore(fd) == 0, "%s", h.err.text);
	target_check(SMALL_SPECIAL);
	emulator_is(1, 1);
	ck_assert_uint_eq(t.created, 1);
	ck_assert_str_eq(t.config, _i & 1 ? CONFIG : "NULL");
	ck_assert_int_eq(t.config_is_json, _i & 1);
	ck_assert_uint_eq(h.static_calls, 1);
	ck_assert(!h.results.failed_over);
	/* Exactly up to the end of END. */
	ck_assert_uint_eq((uint64_t)lseek(fd, 0, SEEK_CUR), h.saved.octets);
	harness_nothing_left();
	close(fd);
}
END_TEST

/* The octets around the domain stream, from the specification. */
START_TEST(octets_on_the_wire)
{
	struct stream s = {0}, expect = {0};
	struct xensr_save_results alone;
	int fd = memfd_new(), bare = memfd_new();

	ck_assert_int_eq(toolstack_save(fd), 0);
	stream_load(&s, fd);
	toolstack_reset();
	source_small();
	ck_assert_int_eq(harness_save(bare), 0);
	alone = h.saved;

	libxl_head(&expect);
	libxl_record(&expect, LIBXL_LIBXC_CONTEXT, NULL, 0);
	ck_assert_uint_eq(expect.len, DOMAIN_AT);
	ck_assert_mem_eq(s.data, expect.data, expect.len);
	stream_load(&expect, bare); /* appends */
	ck_assert_uint_eq(expect.len, DOMAIN_AT + alone.octets);
	libxl_emulator_at(&expect, 1);
	libxl_record(&expect, LIBXL_END, NULL, 0);
	ck_assert_uint_eq(s.len, expect.len);
	ck_assert_int_eq(memcmp(s.data, expect.data, s.len), 0);
	stream_release(&s);
	stream_release(&expect);
	close(fd);
	close(bare);
}
END_TEST

START_TEST(without_emulator)
{
	int fd = memfd_new();

	t.save.has_emulator = false;
	t.save.callbacks.emulator_xenstore = NULL;
	t.save.callbacks.emulator_context = NULL;
	ck_assert_msg(toolstack_save(fd) == 0, "%s", h.err.text);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	target_for_source();
	t.domain.type = XENSR_DOMAIN_PVH;
	t.domain.needs_emulator = false;
	t.restore.callbacks.emulator_xenstore = NULL;
	t.restore.callbacks.emulator_context = NULL;
	ck_assert_msg(toolstack_restore(fd) == 0, "%s", h.err.text);
	target_check(SMALL_SPECIAL);
	emulator_is(0, 0);
	close(fd);
}
END_TEST

/* A context as long as may be, and no xenstore data at all. */
START_TEST(largest_context)
{
	struct stream s = {0};
	int fd = memfd_new();

	t.no_pairs = true;
	t.context_octets = XENSR_EMULATOR_CONTEXT_MAX;
	ck_assert_msg(toolstack_save(fd) == 0, "%s", h.err.text);
	stream_load(&s, fd);
	close(fd);
	target_for_source();
	ck_assert_msg(toolstack_restore_stream(&s, s.len) == 0, "%s", h.err.text);
	ck_assert_uint_eq(t.pairs, 0);
	ck_assert_uint_eq(t.contexts, 1);
	ck_assert_uint_eq(t.last_octets, XENSR_EMULATOR_CONTEXT_MAX);
	stream_release(&s);
}
END_TEST

/* ---- a save that fails ------------------------------------------------------------------------ */

static void save_fails(int errnum, const char *text)
{
	int fd = memfd_new();

	toolstack_save(fd);
	harness_failed(errnum, "%s", text);
	ck_assert_uint_eq(fake.changes, 0);
	ck_assert_uint_eq(h.saved.octets, fd_octets(fd));
	close(fd);
}

START_TEST(save_refused)
{
	static const struct {
		int errnum;
		const char *text;
	} cases[] = {
		{EINVAL, "there are no parameters for the domain"},
		{EINVAL, "an emulator needs the callbacks emulator_xenstore and emulator_context"},
		{EINVAL, "an emulator needs the callbacks emulator_xenstore and emulator_context"},
		{EINVAL, "emulator 3 is unknown"},
		{EINVAL, "domain 5 is PV and cannot have an emulator"},
		{ESRCH, "no information about domain 99: No such process"},
		{EINVAL, "there is no hypervisor handle"},
		{EINVAL, "there is no suspend callback"},
		{EINVAL, "checksums have no place in a checkpointed stream"},
	};
	int fd = memfd_new();

	switch (_i) {
	case 0:
		t.save.save = NULL;
		ck_assert_int_eq(xensr_toolstack_save(&t.save, NULL, &h.err), -1);
		ck_assert_str_eq(h.err.text, cases[0].text);
		ck_assert_int_eq(h.err.errnum, EINVAL);
		close(fd);
		return;
	case 1:
		t.save.callbacks.emulator_xenstore = NULL;
		break;
	case 2:
		t.save.callbacks.emulator_context = NULL;
		break;
	case 3:
		t.save.emulator = (enum xensr_emulator)3;
		break;
	case 4:
		h.source->flags &= ~XEN_DOMINF_hvm_guest;
		break;
	case 5:
		h.save.domid = 99;
		break;
	case 6:
		h.save.xch = NULL;
		break;
	case 7:
		h.save.callbacks.suspend = NULL;
		break;
	default:
		harness_save_type(XENSR_STREAM_REMUS, -1);
		h.save.checksum = true;
	}
	toolstack_save(fd);
	harness_failed(cases[_i].errnum, "%s", cases[_i].text);
	ck_assert_uint_eq(fd_octets(fd), 0);
	ck_assert_uint_eq(h.suspends, 0);
	close(fd);
}
END_TEST

START_TEST(emulator_state_fails)
{
	static const struct {
		int errnum;
		const char *text;
	} cases[] = {
		{ECANCELED, "the toolstack has no xenstore data of the emulator (answered 7)"},
		{ECANCELED, "the toolstack has no context of the emulator (answered -3)"},
		{ECANCELED, "the toolstack has no context of the emulator (answered -3)"},
		{EBADF, "cannot read the emulator's context: Bad file descriptor"},
		{EBADF, "cannot read the emulator's context: Bad file descriptor"},
		{EINVAL, "the emulator's context is empty"},
		{EMSGSIZE, "the emulator's context is longer than 16777216 octets"},
		{EINVAL, "a key for the emulator's xenstore data leads out of its directory"},
		{EMSGSIZE, "the emulator's xenstore data are longer than 1048576 octets"},
	};

	if (_i == 0)
		t.save_xenstore_answer = 7;
	if (_i == 1 || _i == 2)
		t.save_context_answer = -3;
	t.no_fd = _i == 2 || _i == 3;
	t.bad_fd = _i == 4;
	if (_i == 5)
		t.age = 0;
	if (_i == 6)
		t.context_octets = XENSR_EMULATOR_CONTEXT_MAX + 1;
	if (_i == 7)
		t.key = "../../7/data";
	if (_i == 8) {
		t.key = "k";
		t.value_octets = XENSR_EMULATOR_XENSTORE_MAX;
	}
	save_fails(cases[_i].errnum, cases[_i].text);
	ck_assert_uint_eq(h.suspends, 1);
	if (t.key) {
		ck_assert_int_eq(t.pair_rc, -1);
		ck_assert_int_eq(t.pair_errno, cases[_i].errnum);
	}
}
END_TEST

/* The writer is the callback's, and nobody's afterwards. */
START_TEST(pair_without_writer)
{
	errno = 0;
	ck_assert_int_eq(xensr_xenstore_pair(NULL, "a", "b"), -1);
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

static int no_suspend(unsigned callback, unsigned nth)
{
	(void)nth;
	if (callback == FN_CB_SUSPEND)
		h.suspend_answer = 0;
	return 0;
}

/* What fails in the domain's part is told as it is, and once. */
START_TEST(domain_fails)
{
	h.script = no_suspend;
	save_fails(ECANCELED, "the toolstack did not suspend domain 5");
}
END_TEST

START_TEST(write_fails)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	toolstack_save(fd);
	harness_failed(EBADF, "libxl header at offset 0: cannot write the stream at offset 0: Bad "
			      "file descriptor");
	ck_assert_uint_eq(h.suspends, 0);
	t.save.xl_config = CONFIG;
	toolstack_save(fd);
	harness_failed(EBADF,
		       "xl header at offset 0: cannot write the stream at offset 0: Bad file "
		       "descriptor");
	close(fd);
}
END_TEST

/* ---- a restore that the toolstack refuses ------------------------------------------------------ */

static struct stream tiny;
static uint64_t tiny_domain_end;

static void setup_tiny(void)
{
	toolstack_reset();
	tiny_target();
	libxl_head(&tiny);
	libxl_record(&tiny, LIBXL_LIBXC_CONTEXT, NULL, 0);
	tiny_headers(&tiny);
	tiny_image(&tiny, 1);
	tiny_domain_end = stream_record(&tiny, REC_END, NULL, 0) + 8;
	libxl_emulator_at(&tiny, 1);
	libxl_record(&tiny, LIBXL_END, NULL, 0);
}

static void teardown_tiny(void)
{
	stream_release(&tiny);
}

START_TEST(tiny_is_good)
{
	ck_assert_msg(toolstack_restore_stream(&tiny, tiny.len) == 0, "%s", h.err.text);
	tiny_check(1);
	emulator_is(1, 1);
}
END_TEST

START_TEST(restore_refused)
{
	static const struct {
		int errnum;
		const char *text;
		bool created;
	} cases[] = {
		{EINVAL, "there is no create_domain callback", false},
		{EINVAL, "the wait_checkpoint callback has no place in a libxl stream", false},
		{ECANCELED, "the toolstack did not create the domain (answered 5)", true},
		{EINVAL, "domain type 0 is unknown", true},
		{EINVAL, "domain type 4 is unknown", true},
		{EINVAL, "an HVM domain needs the callbacks emulator_xenstore and emulator_context",
		 true},
		{EINVAL, "an HVM domain needs the callbacks emulator_xenstore and emulator_context",
		 true},
		{EINVAL, "domain 7 cannot need an emulator, it is no HVM domain", true},
		{ESRCH, "no information about domain 98: No such process", true},
		{ECANCELED, "the toolstack refused the domain after its static data", true},
		{EINVAL,
		 "a checkpointed stream needs the callback checkpoint and, for COLO, "
		 "suspend, postcopy and wait_checkpoint",
		 false},
	};

	switch (_i) {
	case 0:
		t.restore.callbacks.create_domain = NULL;
		break;
	case 1:
		harness_restore_type(XENSR_STREAM_COLO, 1);
		break;
	case 2:
		t.create_answer = 5;
		break;
	case 3:
	case 4:
		t.domain.type = (enum xensr_domain_type)(_i == 3 ? 0 : 4);
		break;
	case 5:
		t.restore.callbacks.emulator_xenstore = NULL;
		break;
	case 6:
		t.restore.callbacks.emulator_context = NULL;
		break;
	case 7:
		t.domain.type = XENSR_DOMAIN_PVH;
		break;
	case 8:
		t.domain.domid = 98;
		break;
	case 9:
		h.static_answer = 1;
		break;
	default:
		h.restore.stream_type = XENSR_STREAM_COLO;
	}
	toolstack_restore_stream(&tiny, tiny.len);
	ck_assert_msg(strstr(h.err.text, cases[_i].text), "%s", h.err.text);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, cases[_i].errnum);
	ck_assert_uint_eq(t.created, cases[_i].created);
	ck_assert_uint_eq(t.contexts, 0);
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
}
END_TEST

START_TEST(no_domain_parameters)
{
	t.restore.restore = NULL;
	errno = 0;
	ck_assert_int_eq(xensr_toolstack_restore(&t.restore, NULL, &h.err), -1);
	ck_assert_str_eq(h.err.text, "there are no parameters for the domain");
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(emulator_refused)
{
	uint64_t at = tiny_domain_end;

	if (_i == 0) {
		t.restore_xenstore_answer = 9;
		toolstack_restore_stream(&tiny, tiny.len);
		harness_failed(ECANCELED,
			       "libxl EMULATOR_XENSTORE_DATA record at offset %" PRIu64
			       ": the toolstack did not take the emulator's xenstore key "
			       "physmap/f0000000/name (answered 9)",
			       at);
		ck_assert_uint_eq(t.pairs, 1);
		ck_assert_uint_eq(h.err.offset, at);
		ck_assert_uint_eq(h.err.record_type, XENSR_NO_RECORD);
		return;
	}
	t.restore_context_answer = -1;
	toolstack_restore_stream(&tiny, tiny.len);
	harness_failed_somehow();
	ck_assert_ptr_nonnull(strstr(h.err.text, "libxl EMULATOR_CONTEXT record at offset "));
	ck_assert_ptr_nonnull(strstr(
		h.err.text, ": the toolstack did not take the emulator's context (answered -1)"));
	ck_assert_int_eq(h.errnum, ECANCELED);
}
END_TEST

/* Offsets in the domain's errors are the whole stream's. */
START_TEST(offsets_are_the_streams)
{
	uint64_t at = tiny_domain_end - 8;

	tiny.data[at] = 0x6;
	toolstack_restore_stream(&tiny, tiny.len);
	harness_failed_somehow();
	ck_assert_uint_eq(h.err.offset, at);
	ck_assert_uint_eq(h.err.record_type, REC_X86_PV_VCPU_XSAVE);
}
END_TEST

/* ---- parameters of another age ------------------------------------------------------------------ */

START_TEST(sizes)
{
	struct {
		struct xensr_toolstack_restore_params params;
		uint64_t more;
	} newer = {.params = t.restore};
	int fd = stream_fd(&tiny);

	newer.params.size = sizeof(newer);
	newer.params.io_fd = fd;
	newer.more = _i;
	h.rc = xensr_toolstack_restore(&newer.params, NULL, &h.err);
	if (_i) {
		ck_assert_int_eq(h.rc, -1);
		ck_assert_int_eq(h.err.errnum, EINVAL);
		ck_assert_ptr_nonnull(strstr(h.err.text, "is unknown to this version"));
	} else {
		ck_assert_msg(h.rc == 0, "%s", h.err.text);
	}
	close(fd);
}
END_TEST

/* ---- stopping ------------------------------------------------------------------------------------ */

static int cancel_fd;
static unsigned cancel_at;

static void cancel(void)
{
	const uint64_t one = 1;

	HOLDS(write(cancel_fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
}

static void cancel_at_call(enum fake_fn fn, unsigned nth)
{
	(void)fn;
	(void)nth;
	if (fake.total == cancel_at)
		cancel();
}

static void make_cancellable(void)
{
	cancel_fd = eventfd(0, EFD_CLOEXEC);
	HOLDS(cancel_fd >= 0);
	t.save.cancel_fd = t.restore.cancel_fd = cancel_fd;
}

START_TEST(cancelled_before)
{
	int fd = memfd_new();

	make_cancellable();
	cancel();
	toolstack_restore_stream(&tiny, tiny.len);
	harness_failed(ECANCELED, "libxl header at offset 0: cancelled at offset 0");
	ck_assert_uint_eq(t.created, 0);
	source_small();
	toolstack_save(fd);
	harness_failed(ECANCELED, "libxl header at offset 0: cancelled at offset 0");
	ck_assert_uint_eq(fd_octets(fd), 0);
	close(fd);
	close(cancel_fd);
}
END_TEST

/* After any call of the hypervisor, it ends at the next octets; or it was too late. */
START_TEST(restore_cancelled_at)
{
	make_cancellable();
	fake.hook = cancel_at_call;
	cancel_at = (unsigned)_i;
	toolstack_restore_stream(&tiny, tiny.len);
	ck_assert_uint_lt(fake.total, 38);
	ck_assert(fake.total >= cancel_at || h.rc == 0);
	ck_assert(cancel_at > 5 || h.rc == -1);
	if (h.rc == 0) {
		tiny_check(1);
	} else {
		harness_failed_somehow();
		ck_assert_int_eq(h.errnum, ECANCELED);
		ck_assert_ptr_nonnull(strstr(h.err.text, "cancelled at offset "));
	}
	close(cancel_fd);
}
END_TEST

START_TEST(save_cancelled_at)
{
	int fd = memfd_new();

	source_small();
	make_cancellable();
	fake.hook = cancel_at_call;
	cancel_at = (unsigned)_i;
	toolstack_save(fd);
	if (fake.total < cancel_at)
		ck_assert_msg(h.rc == 0, "%s", h.err.text);
	else {
		harness_failed_somehow();
		ck_assert_int_eq(h.errnum, ECANCELED);
		ck_assert_ptr_nonnull(strstr(h.err.text, "cancelled at offset "));
	}
	ck_assert_uint_eq(fake.changes, 0);
	close(fd);
	close(cancel_fd);
}
END_TEST

/* In an address space without end and with nothing to write: long before its end. */
START_TEST(save_cancelled_among_holes)
{
	int fd = memfd_new();

	source_small();
	h.source->nr_gpfns = 1u << 30;
	if (_i)
		harness_live(false);
	make_cancellable();
	fake.hook = cancel_at_call;
	cancel_at = 300;
	toolstack_save(fd);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, ECANCELED);
	ck_assert_uint_lt(fake.total, cancel_at + 100);
	ck_assert_uint_eq(h.suspends, _i ? 0 : 1);
	close(fd);
	close(cancel_fd);
}
END_TEST

static void *cancel_soon(void *data)
{
	(void)data;
	usleep(20000);
	cancel();
	return NULL;
}

/* While it waits for octets that do not come: at the start, and within the domain's. */
START_TEST(cancelled_waiting)
{
	size_t len = _i & 1 ? tiny.len / 2 : 0;
	pthread_t thread;
	int fds[2];

	HOLDS(pipe2(fds, O_CLOEXEC | (_i & 2 ? O_NONBLOCK : 0)) == 0);
	HOLDS(fcntl(fds[1], F_SETPIPE_SZ, 1 << 20) >= 0);
	HOLDS(write(fds[1], tiny.data, len) == (ssize_t)len);
	make_cancellable();
	HOLDS(pthread_create(&thread, NULL, cancel_soon, NULL) == 0);
	toolstack_restore(fds[0]);
	HOLDS(pthread_join(thread, NULL) == 0);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, ECANCELED);
	ck_assert_ptr_nonnull(strstr(h.err.text, ": cancelled at offset "));
	close(fds[0]);
	close(fds[1]);
	close(cancel_fd);
}
END_TEST

/* And while nobody takes what it writes. */
START_TEST(cancelled_writing)
{
	pthread_t thread;
	int fds[2];

	source_small();
	HOLDS(pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0);
	make_cancellable();
	HOLDS(pthread_create(&thread, NULL, cancel_soon, NULL) == 0);
	toolstack_save(fds[1]);
	HOLDS(pthread_join(thread, NULL) == 0);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, ECANCELED);
	ck_assert_uint_eq(fake.changes, 0);
	close(fds[0]);
	close(fds[1]);
	close(cancel_fd);
}
END_TEST

/* And while the emulator's context does not come. */
START_TEST(cancelled_reading_the_context)
{
	int fd = memfd_new();
	pthread_t thread;
	int fds[2];

	source_small();
	HOLDS(pipe2(fds, O_CLOEXEC | (_i ? O_NONBLOCK : 0)) == 0);
	t.context_fd = fds[0];
	make_cancellable();
	HOLDS(pthread_create(&thread, NULL, cancel_soon, NULL) == 0);
	toolstack_save(fd);
	HOLDS(pthread_join(thread, NULL) == 0);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, ECANCELED);
	close(fds[1]);
	close(fd);
	close(cancel_fd);
}
END_TEST

/* A descriptor that is none ends it at once, rather than never. */
START_TEST(cancellable_without_stream)
{
	make_cancellable();
	toolstack_restore(-1);
	harness_failed(EBADF, "libxl header at offset 0: cannot read the stream at offset 0: Bad "
			      "file descriptor");
	close(cancel_fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("toolstack round trips");
	TCase *tc;

	signal(SIGPIPE, SIG_IGN);
	tc = harness_tcase(suite, "round trips", setup, NULL);
	tcase_add_loop_test(tc, hvm, 0, 8);
	tcase_add_test(tc, octets_on_the_wire);
	tcase_add_test(tc, without_emulator);
	tcase_add_test(tc, largest_context);

	tc = harness_tcase(suite, "save", setup, NULL);
	tcase_add_loop_test(tc, save_refused, 0, 9);
	tcase_add_loop_test(tc, emulator_state_fails, 0, 9);
	tcase_add_test(tc, pair_without_writer);
	tcase_add_test(tc, domain_fails);
	tcase_add_test(tc, write_fails);

	tc = harness_tcase(suite, "restore", setup_tiny, teardown_tiny);
	tcase_add_test(tc, tiny_is_good);
	tcase_add_loop_test(tc, restore_refused, 0, 11);
	tcase_add_test(tc, no_domain_parameters);
	tcase_add_loop_test(tc, emulator_refused, 0, 2);
	tcase_add_test(tc, offsets_are_the_streams);
	tcase_add_loop_test(tc, sizes, 0, 2);

	tc = harness_tcase(suite, "stopping", setup_tiny, teardown_tiny);
	tcase_add_test(tc, cancelled_before);
	tcase_add_loop_test(tc, restore_cancelled_at, 1, 40);
	tcase_add_loop_test(tc, save_cancelled_at, 1, 60);
	tcase_add_loop_test(tc, cancelled_waiting, 0, 4);
	tcase_add_test(tc, cancelled_writing);
	tcase_add_loop_test(tc, save_cancelled_among_holes, 0, 2);
	tcase_add_loop_test(tc, cancelled_reading_the_context, 0, 2);
	tcase_add_test(tc, cancellable_without_stream);
	return harness_main(suite);
}
