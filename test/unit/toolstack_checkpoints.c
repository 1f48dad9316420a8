/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checkpointed streams with the toolstack's part: wherever the stream breaks off, domain and emulator
 * are those of the last complete checkpoint; damage is never taken for a dead primary. Remus and COLO
 * in both directions, with the octets on the back channel.
 */
#include "toolstack_harness.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine_alloc.h"
#include "record.h"

#define LAST 3u

static struct stream s;
static uint64_t part_at[LAST + 2];     /* where the toolstack's part of each checkpoint begins */
static uint64_t complete_at[LAST + 1]; /* behind its CHECKPOINT_END */

static void put_image(unsigned age)
{
	tiny_image(&s, age);
	part_at[age] = stream_record(&s, REC_CHECKPOINT, NULL, 0) + 8;
}

static void put_checkpoint(unsigned age)
{
	put_image(age);
	libxl_emulator_at(&s, age);
	complete_at[age] = libxl_record(&s, LIBXL_CHECKPOINT_END, NULL, 0) + 8;
}

static void put_start(void)
{
	libxl_head(&s);
	libxl_record(&s, LIBXL_LIBXC_CONTEXT, NULL, 0);
	tiny_headers(&s);
}

static void new_target(void)
{
	int (*script)(unsigned, unsigned) = h.script;

	toolstack_reset();
	h.script = script;
	tiny_target();
	harness_restore_type(XENSR_STREAM_REMUS, -1);
}

static void setup_empty(void)
{
	h.script = NULL;
	new_target();
}

static void setup(void)
{
	setup_empty();
	put_start();
	for (unsigned age = 1; age <= LAST; age++)
		put_checkpoint(age);
	/* Some of another, which never becomes complete. */
	put_image(LAST + 1);
	libxl_emulator(&s, LIBXL_EMULATOR_CONTEXT, 2, "QEVM never given", 16);
}

static void teardown(void)
{
	stream_release(&s);
}

static unsigned complete_before(uint64_t len)
{
	unsigned age = 0;

	while (age < LAST && len >= complete_at[age + 1])
		age++;
	return age;
}

/* The domain and its emulator are those of this checkpoint, by fail-over. */
static void check_failed_over(unsigned age)
{
	MUST(h.rc == 0, "%s", h.err.text);
	MUST(h.results.failed_over, "it did not fail over");
	MUST(h.results.checkpoints == age, "%llu checkpoints, not %u",
	     (unsigned long long)h.results.checkpoints, age);
	MUST(h.nr_level[XENSR_LOG_ERROR] == 0, "an error was logged");
	tiny_check(age);
	emulator_is(age, age);
}

/* ---- it breaks off ---------------------------------------------------------------------------- */

START_TEST(cut_anywhere)
{
	for (size_t len = 0; len <= s.len; len++) {
		unsigned age = complete_before(len);

		if (!tiny_worth(len))
			continue;
		new_target();
		toolstack_restore_stream(&s, len);
		if (age) {
			check_failed_over(age);
			continue;
		}
		harness_failed_somehow();
		MUST(h.errnum == ENODATA, "cut at %zu: %s", len, h.err.text);
		MUST(strstr(h.err.text, "the stream ends early, at offset "), "%s", h.err.text);
		MUST(fake.calls[FN_CONTEXT_SET] == 0, "half an image got its state");
		emulator_is(0, 0);
	}
}
END_TEST

START_TEST(cut_is_told)
{
	char text[200];

	toolstack_restore_stream(&s, part_at[2] + 5);
	check_failed_over(1);
	snprintf(text, sizeof(text),
		 "the primary is gone: libxl record header at offset %" PRIu64
		 ": the stream ends early, at offset %" PRIu64 ": 3 more octets expected",
		 part_at[2], part_at[2] + 5);
	ck_assert_msg(harness_logged(XENSR_LOG_NOTICE, text), "%s", text);
	ck_assert(harness_logged(XENSR_LOG_NOTICE, "failing over to checkpoint 1: "));
	/* Before the first there is nothing to go on from, and this is why. */
	new_target();
	toolstack_restore_stream(&s, part_at[1] + 5);
	harness_failed(ENODATA,
		       "libxl record header at offset %" PRIu64
		       ": the stream ends early, at offset %" PRIu64 ": 3 more octets expected",
		       part_at[1], part_at[1] + 5);
}
END_TEST

/* What fails after that is the error: the guest's state is refused. */
START_TEST(failing_over_fails)
{
	fake.fail_fn = FN_CONTEXT_SET;
	fake.fail_fn_at = 1;
	toolstack_restore_stream(&s, part_at[2] + 5);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, EIO);
	ck_assert_ptr_null(strstr(h.err.text, "the stream ends early"));
	ck_assert(harness_logged(XENSR_LOG_NOTICE, "the primary is gone: "));
}
END_TEST

START_TEST(reset_within_a_checkpoint)
{
	int fds[2], size = 1 << 20;
	size_t len = part_at[2] + 20;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_int_eq(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	/* What is unread when the other end closes makes a reset of it. */
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	ck_assert_int_eq(write(fds[0], s.data, len), (ssize_t)len);
	close(fds[0]);
	toolstack_restore(fds[1]);
	check_failed_over(1);
	ck_assert(harness_logged(XENSR_LOG_NOTICE, "Connection reset by peer"));
	close(fds[1]);
}
END_TEST

/* An END after a checkpoint ends the domain's part; libxl's must follow. */
START_TEST(end_after_checkpoint)
{
	struct stream whole = {0};

	stream_put(&whole, s.data, complete_at[2]);
	stream_record(&whole, REC_END, NULL, 0);
	libxl_emulator_at(&whole, 7);
	libxl_record(&whole, LIBXL_END, NULL, 0);
	ck_assert_msg(toolstack_restore_stream(&whole, whole.len) == 0, "%s", h.err.text);
	ck_assert(!h.results.failed_over);
	tiny_check(2);
	emulator_is(7, 3);
	new_target();
	toolstack_restore_stream(&whole, complete_at[2] + 8);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, ENODATA);
	stream_release(&whole);
}
END_TEST

/* ---- it is damaged ----------------------------------------------------------------------------- */

static const struct {
	uint32_t type;
	const char *body;
	size_t octets;
	const char *text;
} wrong[] = {
	{LIBXL_END, "", 0, "libxl END record %s: comes within a checkpoint"},
	{LIBXL_LIBXC_CONTEXT, "", 0, "libxl LIBXC_CONTEXT record %s: comes a second time"},
	{LIBXL_CHECKPOINT_STATE, "\0\0\0\0\0\0\0\0", 8,
	 "libxl CHECKPOINT_STATE record %s: comes where no state is awaited"},
	{LIBXL_CHECKPOINT_STATE, "", 0,
	 "libxl CHECKPOINT_STATE record %s: is 0 octets long, at least 8 needed"},
	{LIBXL_CHECKPOINT_END, "", 0,
	 "libxl CHECKPOINT_END record %s: the image is incomplete, there was no EMULATOR_CONTEXT"},
	{LIBXL_CHECKPOINT_END, "x", 1,
	 "libxl CHECKPOINT_END record %s: is 1 octets long, at most 0 allowed"},
	{0x10, "", 0, "unknown libxl record %s: type 0x10 is unknown"},
	{LIBXL_EMULATOR_CONTEXT, "\2\0\0", 3,
	 "libxl EMULATOR_CONTEXT record %s: is 3 octets long, at least 8 needed"},
	{LIBXL_EMULATOR_XENSTORE_DATA, "\2\0\0\0\0\0\0\0/a\0b", 13,
	 "libxl EMULATOR_XENSTORE_DATA record %s: key 0 is absolute"},
};

/* In the second checkpoint, with the first one there to go on from. */
START_TEST(damage_is_an_error)
{
	char at[48], text[200];

	s.len = part_at[2];
	stream_record(&s, wrong[_i].type, wrong[_i].body, wrong[_i].octets);
	libxl_emulator_at(&s, 2);
	toolstack_restore_stream(&s, s.len);
	snprintf(at, sizeof(at), "at offset %" PRIu64, part_at[2]);
	snprintf(text, sizeof(text), wrong[_i].text, at);
	harness_failed(EBADMSG, "%s", text);
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
	emulator_is(1, 1);
}
END_TEST

START_TEST(twice)
{
	uint64_t at;

	s.len = part_at[2];
	libxl_emulator_at(&s, 2);
	at = libxl_emulator(&s, _i ? LIBXL_EMULATOR_CONTEXT : LIBXL_EMULATOR_XENSTORE_DATA, 2, "",
			    0);
	libxl_record(&s, LIBXL_CHECKPOINT_END, NULL, 0);
	toolstack_restore_stream(&s, s.len);
	harness_failed(EBADMSG, "%s record at offset %" PRIu64 ": comes a second time",
		       _i ? "libxl EMULATOR_CONTEXT" : "libxl EMULATOR_XENSTORE_DATA", at);
	emulator_is(1, 1);
}
END_TEST

START_TEST(optional_is_skipped)
{
	s.len = part_at[2];
	stream_record(&s, 0x80000004, "optional", 8);
	libxl_emulator_at(&s, 2);
	stream_record(&s, 0x80000000, "optional", 3);
	libxl_record(&s, LIBXL_CHECKPOINT_END, NULL, 0);
	toolstack_restore_stream(&s, s.len);
	check_failed_over(2);
}
END_TEST

/* No bit of it crashes us; what is complete is consistent. */
START_TEST(every_bit)
{
	for (size_t at = part_at[1]; at < s.len; at++) {
		if (!tiny_worth(at))
			continue;
		s.data[at] ^= (uint8_t)(1u << _i);
		new_target();
		if (toolstack_restore_stream(&s, s.len))
			harness_failed_somehow();
		else
			MUST(h.results.failed_over, "bit %d of octet %zu ended it", _i, at);
		s.data[at] ^= (uint8_t)(1u << _i);
	}
}
END_TEST

/* ---- what the toolstack says ------------------------------------------------------------------- */

static unsigned refuse_at;
static int refuse_answer;

static int refuse_context(enum xensr_emulator emulator, const void *state, size_t octets,
			  void *data)
{
	(void)emulator, (void)state, (void)octets, (void)data;
	return ++t.contexts == refuse_at;
}

START_TEST(processing_fails)
{
	refuse_at = 2;
	t.restore.callbacks.emulator_context = refuse_context;
	toolstack_restore_stream(&s, s.len);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, ECANCELED);
	ck_assert_ptr_nonnull(strstr(h.err.text, "libxl EMULATOR_CONTEXT record at offset "));
	ck_assert_ptr_nonnull(strstr(
		h.err.text, ": the toolstack did not take the emulator's context (answered 1)"));
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
}
END_TEST

static int answer_second(unsigned callback, unsigned nth)
{
	return callback == FN_CB_CHECKPOINT && nth == 2 ? refuse_answer : 1;
}

START_TEST(toolstacks_word)
{
	h.script = answer_second;
	refuse_answer = _i ? XGR_CHECKPOINT_FAILOVER : XGR_CHECKPOINT_ERROR;
	new_target();
	toolstack_restore_stream(&s, s.len);
	if (_i == 0) {
		harness_failed(ECANCELED,
			       "CHECKPOINT record at offset %" PRIu64
			       ": the toolstack ended the replication after checkpoint 1 "
			       "(checkpoint answered 0)",
			       part_at[2] - 8);
		emulator_is(1, 1);
		return;
	}
	/* The emulator has not been given the second one's state either. */
	check_failed_over(1);
}
END_TEST

/* It need not say anything. */
START_TEST(without_checkpoint_callback)
{
	h.restore.callbacks.checkpoint = NULL;
	toolstack_restore_stream(&s, s.len);
	check_failed_over(LAST);
}
END_TEST

static int cancel_fd;

static int cancel_at_context(enum xensr_emulator emulator, const void *state, size_t octets,
			     void *data)
{
	const uint64_t one = 1;

	(void)emulator, (void)state, (void)octets, (void)data;
	if (++t.contexts == 2)
		HOLDS(write(cancel_fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
	return 0;
}

/* Whoever stops it wants no domain that runs. */
START_TEST(cancelling_is_no_failover)
{
	cancel_fd = eventfd(0, EFD_CLOEXEC);
	t.restore.cancel_fd = cancel_fd;
	t.restore.callbacks.emulator_context = cancel_at_context;
	toolstack_restore_stream(&s, s.len);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, ECANCELED);
	ck_assert_ptr_nonnull(strstr(h.err.text, "cancelled at offset "));
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
	close(cancel_fd);
}
END_TEST

/* ---- memory ------------------------------------------------------------------------------------- */

#define ALLOCATIONS 40

START_TEST(allocation_fails)
{
	int fd = stream_fd(&s);

	engine_alloc_arm((unsigned)_i);
	toolstack_restore(fd);
	engine_alloc_disarm();
	ck_assert_int_eq(engine_alloc.held, 0);
	ck_assert_uint_lt(engine_alloc.calls, ALLOCATIONS);
	if (engine_alloc.failed) {
		harness_failed_somehow();
		ck_assert_int_eq(h.errnum, ENOMEM);
	} else {
		check_failed_over(LAST);
		ck_assert_int_gt(_i, 8);
	}
	close(fd);
}
END_TEST

/* ---- Remus, saving ------------------------------------------------------------------------------ */

static unsigned end_nth;
static int back[2];

static void send_back(const struct stream *octets)
{
	HOLDS(write(back[1], octets->data, octets->len) == (ssize_t)octets->len);
}

static int live_on(unsigned callback, unsigned nth)
{
	if (callback == FN_CB_QEMU_LOGDIRTY || callback == FN_CB_POLICY)
		return 0;
	if (callback == FN_CB_SUSPEND)
		t.age = nth;
	if (callback == FN_CB_CHECKPOINT && nth == end_nth)
		return 0;
	if (callback == FN_CB_POSTCOPY && nth < LAST) {
		source_write(3, 10 + nth);
		h.source->tsc.nsec += 1000;
	}
	return 1;
}

static void setup_source(void)
{
	toolstack_reset();
	h.source = fake_domain_add(SOURCE_DOMID, 0x1000);
	source_fill(0, 0x1f);
	source_fill(SMALL_SPECIAL, SMALL_SPECIAL + 7);
	source_state(SMALL_SPECIAL);
	h.script = live_on;
	end_nth = LAST;
	HOLDS(pipe(back) == 0);
}

static void teardown_source(void)
{
	close(back[0]);
	close(back[1]);
}

static void check_ended(const char *name)
{
	harness_failed(ECANCELED,
		       "the toolstack ended the replication of domain 5 after checkpoint %u (%s "
		       "answered 0)",
		       LAST, name);
	ck_assert_uint_eq(h.saved.checkpoints, LAST);
	ck_assert_uint_eq(t.asked_contexts, LAST);
	ck_assert_uint_eq(fake.changes, 0);
}

/* The other side goes on as what it was at the last checkpoint. */
static void check_other_side(int fd)
{
	target_for_source();
	h.script = NULL;
	harness_restore_type(XENSR_STREAM_REMUS, -1);
	h.restore.callbacks.wait_checkpoint = NULL;
	HOLDS(lseek(fd, 0, SEEK_SET) == 0);
	ck_assert_msg(toolstack_restore(fd) == 0, "%s", h.err.text);
	ck_assert(h.results.failed_over);
	ck_assert_uint_eq(h.results.checkpoints, LAST);
	target_check(SMALL_SPECIAL);
	emulator_is(LAST, LAST);
}

START_TEST(remus)
{
	int fd = memfd_new();

	harness_save_type(XENSR_STREAM_REMUS, -1);
	toolstack_save(fd);
	check_ended("checkpoint");
	ck_assert_uint_eq(h.saved.octets, fd_octets(fd));
	check_other_side(fd);
	close(fd);
}
END_TEST

START_TEST(remus_emulator_fails)
{
	int fd = memfd_new();

	harness_save_type(XENSR_STREAM_REMUS, -1);
	t.save_context_answer = 4;
	toolstack_save(fd);
	harness_failed(ECANCELED, "the toolstack has no context of the emulator (answered 4)");
	ck_assert_uint_eq(h.saved.checkpoints, 1);
	close(fd);
}
END_TEST

START_TEST(remus_without_checkpoint_callback)
{
	int fd = memfd_new();

	harness_save_type(XENSR_STREAM_REMUS, -1);
	h.save.callbacks.checkpoint = NULL;
	h.suspend_answer = 1;
	t.context_octets = 0;
	t.save.cancel_fd = eventfd(1, EFD_CLOEXEC);
	toolstack_save(fd);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, ECANCELED);
	close(t.save.cancel_fd);
	close(fd);
}
END_TEST

/* ---- COLO, saving ------------------------------------------------------------------------------- */

static uint32_t states[3]; /* what the secondary says: ready, resumed, suspended */

static int colo_secondary(unsigned callback, unsigned nth)
{
	struct stream octets = {0};
	uint64_t pfn = 0x11;
	int answer = live_on(callback, nth);

	if (callback == FN_CB_CHECKPOINT) {
		libxl_state(&octets, states[0]);
		libxl_state(&octets, states[1]);
	}
	if (callback == FN_CB_WAIT_CHECKPOINT) {
		libxl_state(&octets, states[2]);
		stream_record(&octets, REC_CHECKPOINT_DIRTY_PFN_LIST, &pfn, sizeof(pfn));
	}
	if (octets.len)
		send_back(&octets);
	stream_release(&octets);
	return answer;
}

static void setup_colo(void)
{
	setup_source();
	h.script = colo_secondary;
	states[0] = CHECKPOINT_STATE_READY;
	states[1] = CHECKPOINT_STATE_RESUMED;
	states[2] = CHECKPOINT_STATE_SUSPENDED;
	harness_save_type(XENSR_STREAM_COLO, back[0]);
}

/* Where in the stream the nth CHECKPOINT_STATE, and the CHECKPOINT_END before it, are. */
static uint64_t find_state(const struct stream *stream, unsigned nth)
{
	struct stream both = {0};
	uint64_t at = 0;

	libxl_record(&both, LIBXL_CHECKPOINT_END, NULL, 0);
	libxl_state(&both, CHECKPOINT_STATE_NEW);
	for (; at + both.len <= stream->len; at += 8) {
		if (memcmp(stream->data + at, both.data, both.len) == 0 && nth-- == 0)
			break;
	}
	stream_release(&both);
	return at;
}

START_TEST(colo_save)
{
	struct stream whole = {0};
	int fd = memfd_new();

	toolstack_save(fd);
	check_ended("checkpoint");
	ck_assert_uint_eq(h.saved.octets, fd_octets(fd));
	stream_load(&whole, fd);
	for (unsigned nth = 0; nth < LAST - 1; nth++)
		ck_assert_uint_lt(find_state(&whole, nth), whole.len - 24);
	ck_assert_uint_ge(find_state(&whole, LAST - 1), whole.len - 16);
	stream_release(&whole);
	close(fd);
}
END_TEST

START_TEST(colo_wrong_states)
{
	static const char *const texts[] = {
		"back channel: libxl CHECKPOINT_STATE record at offset 0: says \"new checkpoint\" "
		"where \"secondary ready\" is awaited",
		"back channel: libxl CHECKPOINT_STATE record at offset 0: says \"new checkpoint\" "
		"where \"secondary resumed\" is awaited",
		"back channel: libxl CHECKPOINT_STATE record at offset 0: says \"new checkpoint\" "
		"where \"secondary suspended\" is awaited",
	};
	int fd = memfd_new();

	states[_i] = CHECKPOINT_STATE_NEW;
	toolstack_save(fd);
	harness_failed(EBADMSG, "%s", texts[_i]);
	ck_assert_uint_eq(h.saved.checkpoints, 1);
	close(fd);
}
END_TEST

static int secondary_dies(unsigned callback, unsigned nth)
{
	if (callback == FN_CB_CHECKPOINT) {
		close(back[1]);
		back[1] = -1;
	}
	return live_on(callback, nth);
}

START_TEST(colo_secondary_gone)
{
	int fd = memfd_new();

	h.script = secondary_dies;
	toolstack_save(fd);
	harness_failed(ENODATA, "back channel: libxl record header at offset 0: the stream ends "
				"early, at offset 0: 8 more octets expected");
	close(fd);
}
END_TEST

/* ---- COLO, restoring ---------------------------------------------------------------------------- */

static int colo_alive(unsigned callback, unsigned nth)
{
	(void)nth;
	return callback == FN_CB_RESULTS ? 0 : 1;
}

static void setup_secondary(void)
{
	setup_empty();
	HOLDS(pipe(back) == 0);
	h.script = colo_alive;
	harness_restore_type(XENSR_STREAM_COLO, back[1]);
	h.target->log_dirty = true; /* which is the toolstack's to do */
	h.restore.callbacks.wait_checkpoint = NULL;
	put_start();
	for (unsigned age = 1; age <= LAST; age++) {
		put_checkpoint(age);
		if (age < LAST)
			libxl_state(&s, CHECKPOINT_STATE_NEW);
	}
}

static void teardown_secondary(void)
{
	close(back[0]);
	close(back[1]);
	stream_release(&s);
}

START_TEST(colo_restore)
{
	struct stream expect = {0};
	uint8_t octets[1024];
	ssize_t got;

	toolstack_restore_stream(&s, s.len);
	ck_assert_msg(h.rc == 0, "%s", h.err.text);
	ck_assert(h.results.failed_over);
	ck_assert_uint_eq(h.results.checkpoints, LAST);
	emulator_is(LAST, LAST);
	ck_assert(page_is(fake_page(h.target, TINY_PFN), TINY_PFN, LAST));
	ck_assert_uint_eq(h.callbacks[FN_CB_POSTCOPY], LAST);
	ck_assert_uint_eq(h.callbacks[FN_CB_SUSPEND], LAST - 1);
	ck_assert_uint_eq(h.callbacks[FN_CB_RESULTS], LAST);
	/* No header, and exactly these records. */
	for (unsigned age = 1; age <= LAST; age++) {
		libxl_state(&expect, CHECKPOINT_STATE_READY);
		libxl_state(&expect, CHECKPOINT_STATE_RESUMED);
		if (age == LAST)
			break;
		libxl_state(&expect, CHECKPOINT_STATE_SUSPENDED);
		stream_record(&expect, REC_CHECKPOINT_DIRTY_PFN_LIST, NULL, 0);
	}
	got = read(back[0], octets, sizeof(octets));
	ck_assert_int_eq(got, (ssize_t)expect.len);
	ck_assert_mem_eq(octets, expect.data, expect.len);
	stream_release(&expect);
}
END_TEST

START_TEST(colo_wrong_announcement)
{
	static const char *const texts[] = {
		"says \"secondary ready\" where \"new checkpoint\" is awaited",
		"comes where the state \"new checkpoint\" is awaited",
		"is 4 octets long, at least 8 needed",
	};
	static const char *const titles[] = {"CHECKPOINT_STATE", "CHECKPOINT_END",
					     "CHECKPOINT_STATE"};

	s.len = complete_at[1];
	if (_i == 0)
		libxl_state(&s, CHECKPOINT_STATE_READY);
	else if (_i == 1)
		libxl_record(&s, LIBXL_CHECKPOINT_END, NULL, 0);
	else
		libxl_record(&s, LIBXL_CHECKPOINT_STATE, "\0\0\0\0", 4);
	toolstack_restore_stream(&s, s.len);
	harness_failed(EBADMSG, "libxl %s record at offset %" PRIu64 ": %s", titles[_i],
		       complete_at[1], texts[_i]);
}
END_TEST

/* The primary dies while it is awaited, and when it is told something. */
START_TEST(colo_primary_gone)
{
	if (_i == 0) {
		toolstack_restore_stream(&s, complete_at[2] + 3);
	} else {
		close(back[0]);
		back[0] = -1;
		toolstack_restore_stream(&s, s.len);
	}
	ck_assert_msg(h.rc == 0, "%s", h.err.text);
	ck_assert(h.results.failed_over);
	ck_assert_uint_eq(h.results.checkpoints, _i == 0 ? 2 : 1);
	ck_assert_uint_eq(h.callbacks[FN_CB_POSTCOPY], _i == 0 ? 2 : 0);
	ck_assert(harness_logged(XENSR_LOG_NOTICE, "the primary is gone: "));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("toolstack and checkpoints");
	TCase *tc;

	signal(SIGPIPE, SIG_IGN);
	tc = harness_tcase(suite, "breaking off", setup, teardown);
	tcase_add_test(tc, cut_anywhere);
	tcase_add_test(tc, cut_is_told);
	tcase_add_test(tc, failing_over_fails);
	tcase_add_test(tc, reset_within_a_checkpoint);
	tcase_add_test(tc, end_after_checkpoint);

	tc = harness_tcase(suite, "damage", setup, teardown);
	tcase_add_loop_test(tc, damage_is_an_error, 0, (int)(sizeof(wrong) / sizeof(wrong[0])));
	tcase_add_loop_test(tc, twice, 0, 2);
	tcase_add_test(tc, optional_is_skipped);
	tcase_add_loop_test(tc, every_bit, 0, 8);

	tc = harness_tcase(suite, "toolstack", setup, teardown);
	tcase_add_test(tc, processing_fails);
	tcase_add_loop_test(tc, toolstacks_word, 0, 2);
	tcase_add_test(tc, without_checkpoint_callback);
	tcase_add_test(tc, cancelling_is_no_failover);
	tcase_add_loop_test(tc, allocation_fails, 1, ALLOCATIONS);

	tc = harness_tcase(suite, "Remus", setup_source, teardown_source);
	tcase_add_test(tc, remus);
	tcase_add_test(tc, remus_emulator_fails);
	tcase_add_test(tc, remus_without_checkpoint_callback);

	tc = harness_tcase(suite, "COLO primary", setup_colo, teardown_source);
	tcase_add_test(tc, colo_save);
	tcase_add_loop_test(tc, colo_wrong_states, 0, 3);
	tcase_add_test(tc, colo_secondary_gone);

	tc = harness_tcase(suite, "COLO secondary", setup_secondary, teardown_secondary);
	tcase_add_test(tc, colo_restore);
	tcase_add_loop_test(tc, colo_wrong_announcement, 0, 3);
	tcase_add_loop_test(tc, colo_primary_gone, 0, 2);
	return harness_main(suite);
}
