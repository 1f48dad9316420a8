/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Saving a guest over and over (Remus, COLO): who is called when, what each checkpoint sends, how
 * it ends, and that nothing logs what the guest writes when it has. The stream is restored as the
 * other side would and compared with what the guest was at the last checkpoint.
 */
#include "engine_harness.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xen/hvm/params.h>

#include "pages.h"

#define GUEST_PAGES (0x40u + 8u)
#define ROUNDS      3u

static int stream_now = -1;
static uint64_t complete_at[ROUNDS + 2]; /* what was written when `checkpoint` was called */
static unsigned end_callback, end_nth;
static int end_answer;

/* COLO: the list for the nth checkpoint comes back. */
static int back[2];

static void send_list(const uint64_t *pfns, uint32_t n)
{
	struct wire_record_header header = {REC_CHECKPOINT_DIRTY_PFN_LIST, n * 8};

	HOLDS(write(back[1], &header, sizeof(header)) == (ssize_t)sizeof(header));
	if (n)
		HOLDS(write(back[1], pfns, n * 8) == (ssize_t)n * 8);
}

/* A guest that runs between two checkpoints. */
static void live_on(unsigned nth)
{
	source_write(nth, 10 + nth);
	source_write(0x20, 20 + nth);
	if (nth == 1) {
		fake_page_remove(h.source, 0x11);
		page_fill(fake_page_add(h.source, 0x100, 0), 0x100, 5);
		page_fill(fake_page_add(h.source, 0x101, 0), 0x101, 5);
		h.source->params[HVM_PARAM_VM_GENERATION_ID_ADDR] = 0x1234;
	} else if (nth == 2) {
		page_fill(fake_page_add(h.source, 0x700, 0), 0x700, 5);
		fake_page_remove(h.source, 0x100);
		h.source->params[HVM_PARAM_VM_GENERATION_ID_ADDR] = 0;
	}
	h.source->tsc.nsec += 1000;
}

static int script(unsigned callback, unsigned nth)
{
	if (callback == FN_CB_POLICY)
		return 0;
	if (callback == FN_CB_QEMU_LOGDIRTY)
		return 0;
	if (callback == FN_CB_CHECKPOINT) {
		MUST(nth <= ROUNDS + 1, "it does not end");
		complete_at[nth] = (uint64_t)lseek(stream_now, 0, SEEK_CUR);
	}
	if (callback == end_callback && nth == end_nth)
		return end_answer;
	if (callback == FN_CB_POSTCOPY)
		live_on(nth);
	if (callback == FN_CB_WAIT_CHECKPOINT)
		send_list((uint64_t[]){0x30, 0x3f}, 2);
	return 1;
}

static void setup(void)
{
	harness_reset();
	h.source = fake_domain_add(SOURCE_DOMID, 0x1000);
	source_fill(0, 0x3f);
	source_fill(SMALL_SPECIAL, SMALL_SPECIAL + 7);
	source_state(SMALL_SPECIAL);
	h.script = script;
	end_callback = FN_CB_CHECKPOINT;
	end_nth = ROUNDS;
	end_answer = 0;
	HOLDS(pipe(back) == 0);
}

static void teardown(void)
{
	close(back[0]);
	close(back[1]);
}

static void replicate(enum xensr_stream_type type)
{
	harness_save_type(type, back[0]);
	stream_now = memfd_new();
	harness_save(stream_now);
}

/* The other side fails over and is what the source is now. */
static void check_other_side(unsigned checkpoints)
{
	h.source->log_dirty = false;
	h.script = NULL;
	target_for_source();
	harness_restore_type(XENSR_STREAM_REMUS, -1);
	ck_assert_int_eq(lseek(stream_now, 0, SEEK_SET), 0);
	harness_restore(stream_now);
	ck_assert_msg(h.rc == 0, "%s", h.err.text);
	ck_assert_uint_eq(h.results.checkpoints, checkpoints);
	ck_assert(h.results.failed_over);
	target_check(SMALL_SPECIAL);
	ck_assert_uint_eq(h.target->tot_pages, h.source->tot_pages);
	close(stream_now);
}

/* Data pages sent in checkpoint nth. */
static unsigned pages_of(unsigned nth)
{
	struct stream_item items[STREAM_ITEMS];
	struct stream s = {0};
	unsigned n, pages = 0;

	stream_load(&s, stream_now);
	n = stream_items(&s, items);
	for (unsigned i = 0; i < n; i++) {
		uint32_t count;

		if (items[i].type != REC_PAGE_DATA || items[i].offset >= complete_at[nth] ||
		    (nth > 1 && items[i].offset < complete_at[nth - 1]))
			continue;
		memcpy(&count, items[i].body, 4);
		pages += (items[i].length - 8 - count * 8) / PAGE_OCTETS;
	}
	stream_release(&s);
	return pages;
}

static void check_ended(const char *name, unsigned after, int answered)
{
	ck_assert_uint_eq(h.saved.checkpoints, after);
	ck_assert_uint_eq(h.saved.octets, fd_octets(stream_now));
	ck_assert_uint_eq(fake.finals, after);
	ck_assert_uint_eq(fake.cleans, after + h.saved.rounds);
	ck_assert_uint_eq(fake.changes, 0);
	harness_failed(ECANCELED,
		       "the toolstack ended the replication of domain 5 after checkpoint %u (%s "
		       "answered %d)",
		       after, name, answered);
}

START_TEST(remus_rounds)
{
	bool live = _i;

	if (live)
		harness_live(false);
	end_callback = FN_CB_POSTCOPY; /* as it was suspended */
	replicate(XENSR_STREAM_REMUS);
	check_ended("postcopy", ROUNDS, 0);
	ck_assert_uint_eq(h.saved.rounds, live);
	ck_assert_uint_eq(h.suspends, ROUNDS);
	for (unsigned nth = 0; nth < ROUNDS - 1; nth++) {
		int suspend = fake_trace_find(FN_CB_SUSPEND, nth);
		int postcopy = fake_trace_find(FN_CB_POSTCOPY, nth);
		int checkpoint = fake_trace_find(FN_CB_CHECKPOINT, nth);

		ck_assert_int_lt(suspend, postcopy);
		ck_assert_int_lt(postcopy, checkpoint);
		ck_assert_int_lt(checkpoint, fake_trace_find(FN_CB_SUSPEND, nth + 1));
	}
	/* Only what changed: 1, 0x20, 0x100 and 0x101; then 2, 0x20 and 0x700. */
	ck_assert_uint_eq(pages_of(1), GUEST_PAGES);
	ck_assert_uint_eq(pages_of(2), 4);
	ck_assert_uint_eq(h.saved.pages, GUEST_PAGES + 4 + 3);
	ck_assert_uint_eq(fake.enables, 1);
	ck_assert_uint_eq(h.callbacks[FN_CB_QEMU_LOGDIRTY], 2);
	check_other_side(ROUNDS);
}
END_TEST

START_TEST(colo_rounds)
{
	/* It ends before the guest runs on: what is compared is what was sent. */
	replicate(XENSR_STREAM_COLO);
	check_ended("checkpoint", ROUNDS, 0);
	for (unsigned nth = 0; nth < ROUNDS - 1; nth++) {
		static const unsigned order[] = {FN_CB_SUSPEND, FN_CB_CHECKPOINT, FN_CB_POSTCOPY,
						 FN_CB_WAIT_CHECKPOINT};

		for (unsigned i = 1; i < 4; i++)
			ck_assert_int_lt(fake_trace_find(order[i - 1], nth),
					 fake_trace_find(order[i], nth));
		ck_assert_int_lt(fake_trace_find(FN_CB_WAIT_CHECKPOINT, nth),
				 fake_trace_find(FN_CB_SUSPEND, nth + 1));
	}
	/* And what the secondary says that it has written. */
	ck_assert_uint_eq(pages_of(1), GUEST_PAGES);
	ck_assert_uint_eq(pages_of(2), 4 + 2);
	ck_assert_uint_eq(pages_of(3), 3 + 2);
	check_other_side(ROUNDS);
}
END_TEST

/* `done` never falls within one `what`. */
START_TEST(progress)
{
	replicate(_i ? XENSR_STREAM_COLO : XENSR_STREAM_REMUS);
	ck_assert_uint_eq(h.saved.checkpoints, ROUNDS);
	ck_assert_uint_eq(h.progress_falls, 0);
	close(stream_now);
}
END_TEST

static const struct {
	enum xensr_stream_type type;
	unsigned callback;
	const char *name;
} ends[] = {
	{XENSR_STREAM_REMUS, FN_CB_POSTCOPY, "postcopy"},
	{XENSR_STREAM_REMUS, FN_CB_CHECKPOINT, "checkpoint"},
	{XENSR_STREAM_COLO, FN_CB_CHECKPOINT, "checkpoint"},
	{XENSR_STREAM_COLO, FN_CB_POSTCOPY, "postcopy"},
	{XENSR_STREAM_COLO, FN_CB_WAIT_CHECKPOINT, "wait_checkpoint"},
};

/* Whatever ends it, the answer is a failure. */
START_TEST(ends_at)
{
	end_callback = ends[_i / 6].callback;
	end_nth = (unsigned)_i / 2 % 3 + 1;
	end_answer = _i % 2 ? -1 : 0;
	replicate(ends[_i / 6].type);
	check_ended(ends[_i / 6].name, end_nth, end_answer);
	ck_assert_uint_eq(h.suspends, end_nth);
	close(stream_now);
}
END_TEST

START_TEST(missing_callbacks)
{
	struct xensr_save_callbacks *cb = &h.save.callbacks;
	bool colo = _i >= 2;
	int fd = memfd_new();

	harness_save_type(colo ? XENSR_STREAM_COLO : XENSR_STREAM_REMUS, back[0]);
	if (_i == 0 || _i == 2)
		cb->postcopy = NULL;
	else if (_i == 1 || _i == 3)
		cb->checkpoint = NULL;
	else if (_i == 4)
		cb->wait_checkpoint = NULL;
	else if (_i == 5)
		h.save.recv_fd = -1;
	else
		h.save.verify = true;
	harness_save(fd);
	harness_failed(EINVAL, "%s",
		       _i == 5   ? "COLO needs a back channel"
		       : _i == 6 ? "verify data has no place in a checkpointed stream"
				 : "a checkpointed stream needs the callbacks postcopy, checkpoint "
				   "and, for COLO, wait_checkpoint");
	ck_assert_uint_eq(fd_octets(fd), 0);
	ck_assert_uint_eq(h.suspends, 0);
	ck_assert_uint_eq(fake.calls[FN_SHADOW], 0);
	close(fd);
}
END_TEST

START_TEST(without_switch)
{
	h.save.callbacks.switch_qemu_logdirty = NULL;
	replicate(XENSR_STREAM_REMUS);
	harness_failed(EINVAL, "there is no switch_qemu_logdirty callback, without which what the "
			       "device model writes would be lost");
	ck_assert_uint_eq(h.suspends, 0);
	close(stream_now);
}
END_TEST

/* ---- the list from the secondary ------------------------------------------------------------ */

static int bad_list(unsigned callback, unsigned nth)
{
	struct wire_record_header header = {REC_CHECKPOINT_DIRTY_PFN_LIST, 8};
	uint64_t pfn = 0x600;

	if (callback == FN_CB_QEMU_LOGDIRTY)
		return 0;
	if (callback != FN_CB_WAIT_CHECKPOINT || nth != 1)
		return 1;
	switch (end_nth) {
	case 0: /* the first that the guest has not */
		break;
	case 1:
		header.type = REC_PAGE_DATA;
		break;
	case 2:
		header.length = 7;
		break;
	case 3:
		close(back[1]);
		back[1] = -1;
		return 1;
	default:
		HOLDS(write(back[1], &header, 7) == 7);
		close(back[1]);
		back[1] = -1;
		return 1;
	}
	HOLDS(write(back[1], &header, sizeof(header)) == (ssize_t)sizeof(header));
	HOLDS(write(back[1], &pfn, sizeof(pfn)) == (ssize_t)sizeof(pfn));
	return 1;
}

START_TEST(bad_lists)
{
	static const struct {
		int errnum;
		const char *text;
	} cases[] = {
		{EBADMSG, "back channel: pfn 0x600 is beyond the guest's last, 0x5ff"},
		{EBADMSG, "back channel: a record of type 0x1, not CHECKPOINT_DIRTY_PFN_LIST"},
		{EBADMSG, "back channel: 7 octets are no length of a list of pfns"},
		{ENODATA,
		 "back channel: the stream ends early, at offset 0: 8 more octets expected"},
		{ENODATA,
		 "back channel: the stream ends early, at offset 7: 1 more octets expected"},
	};

	h.script = bad_list;
	end_nth = (unsigned)_i;
	replicate(XENSR_STREAM_COLO);
	harness_failed(cases[_i].errnum, "%s", cases[_i].text);
	ck_assert_uint_eq(h.saved.checkpoints, 1);
	ck_assert_uint_eq(fake.changes, 0);
	close(stream_now);
}
END_TEST

/* ---- faults --------------------------------------------------------------------------------- */

#define CALLS 140

START_TEST(call_fails)
{
	fake.fail_at = (unsigned)_i;
	replicate(XENSR_STREAM_REMUS);
	ck_assert_uint_lt(fake.total, CALLS - 1);
	ck_assert_uint_eq(fake.changes, 0);
	ck_assert_uint_eq(fake.buffers, 0);
	ck_assert_int_eq(h.rc, -1);
	ck_assert(!h.qemu_logging);
	if (fake.failed == FN_NONE || fake.failed == FN_UNMAP || fake.failed == FN_SHADOW) {
		ck_assert_int_eq(h.errnum, ECANCELED);
		ck_assert_uint_eq(h.saved.checkpoints, ROUNDS);
	} else {
		harness_failed_somehow();
		if (fake.failed != FN_BUFFER_ALLOC)
			ck_assert_int_eq(h.errnum, EIO);
		ck_assert_uint_lt(h.saved.checkpoints, ROUNDS);
	}
	close(stream_now);
}
END_TEST

/* The second suspend fails: the guest is resumable, the first checkpoint stands. */
static int no_second_suspend(unsigned callback, unsigned nth)
{
	if (callback == FN_CB_SUSPEND && nth == 2)
		h.suspend_answer = 0;
	return script(callback, nth);
}

START_TEST(suspend_fails)
{
	h.script = no_second_suspend;
	replicate(XENSR_STREAM_REMUS);
	harness_failed(ECANCELED, "the toolstack did not suspend domain 5");
	ck_assert_uint_eq(h.saved.checkpoints, 1);
	close(stream_now);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine replicating");
	TCase *tc;

	signal(SIGPIPE, SIG_IGN);
	tc = harness_tcase(suite, "checkpoints", setup, teardown);
	tcase_add_loop_test(tc, remus_rounds, 0, 2);
	tcase_add_test(tc, colo_rounds);
	tcase_add_loop_test(tc, progress, 0, 2);
	tcase_add_loop_test(tc, ends_at, 0, 5 * 6);
	tcase_add_loop_test(tc, missing_callbacks, 0, 7);
	tcase_add_test(tc, without_switch);

	tc = harness_tcase(suite, "back channel", setup, teardown);
	tcase_add_loop_test(tc, bad_lists, 0, 5);

	tc = harness_tcase(suite, "faults", setup, teardown);
	tcase_add_loop_test(tc, call_fails, 1, CALLS);
	tcase_add_test(tc, suspend_fails);
	return harness_main(suite);
}
