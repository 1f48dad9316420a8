/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * COLO's secondary: its guest runs between checkpoints, the primary learns what it wrote, and when the
 * primary is lost it goes on as it is.
 */
#include "engine_aged.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <xen/hvm/params.h>

#include "record.h"

static int back[2];

/* One list, as it comes back. Returns its pfns. */
static unsigned read_list(uint64_t pfns[16])
{
	struct wire_record_header header;

	MUST(read(back[0], &header, sizeof(header)) == (ssize_t)sizeof(header), "no list");
	HOLDS(header.type == REC_CHECKPOINT_DIRTY_PFN_LIST);
	HOLDS(header.length % 8 == 0);
	HOLDS(header.length <= 16 * 8);
	if (header.length)
		HOLDS(read(back[0], pfns, header.length) == (ssize_t)header.length);
	return header.length / 8;
}

/* What the secondary writes before it is suspended again: each time one page more. */
static const uint64_t written[AGED_LAST] = {0x10, 0x11, 0x15};

static int live_as_secondary(unsigned callback, unsigned nth)
{
	if (callback == FN_CB_CHECKPOINT && nth == 1)
		h.target->log_dirty = true; /* by the toolstack */
	if (callback == FN_CB_WAIT_CHECKPOINT) {
		for (unsigned i = 0; i < nth; i++) {
			page_fill(fake_page(h.target, written[i]), written[i], 50 + nth);
			fake_dirty(h.target, written[i]);
		}
	}
	return aged_answer(callback, nth);
}

static void new_secondary(void)
{
	HOLDS(pipe(back) == 0);
	h.script = live_as_secondary;
	aged_target(XENSR_STREAM_COLO, back[1]);
}

static void check_order(unsigned rounds)
{
	static const unsigned order[] = {FN_CB_CHECKPOINT, FN_CONTEXT_SET,        FN_CB_RESULTS,
					 FN_CB_POSTCOPY,   FN_CB_WAIT_CHECKPOINT, FN_CB_SUSPEND,
					 FN_LOGDIRTY};
	int last = -1;

	for (unsigned nth = 0; nth < rounds; nth++) {
		for (unsigned i = 0; i < 7; i++) {
			int at = fake_trace_find(order[i], nth);

			MUST(at > last, "round %u: step %u", nth, i);
			last = at;
		}
	}
	MUST(h.callbacks[FN_CB_RESULTS] == rounds, "%u results", h.callbacks[FN_CB_RESULTS]);
}

START_TEST(rounds)
{
	uint64_t pfns[16];

	new_secondary();
	aged_restore(&aged.stream, aged.stream.len);
	ck_assert_msg(h.rc == 0, "%s", h.err.text);
	ck_assert_uint_eq(h.results.checkpoints, AGED_LAST);
	ck_assert(h.results.failed_over);
	check_order(AGED_LAST);
	ck_assert_uint_eq(fake.finals, AGED_LAST);
	for (unsigned nth = 1; nth <= AGED_LAST; nth++) {
		ck_assert_uint_eq(read_list(pfns), nth);
		for (unsigned i = 0; i < nth; i++)
			ck_assert_uint_eq(pfns[i], written[i]);
	}
	/* It goes on as it ran, not as the checkpoint was. */
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], AGED_LAST);
	ck_assert(page_is(fake_page(h.target, 0x10), 0x10, 50 + AGED_LAST));
	ck_assert_ptr_null(fake_page(h.target, 0x30));
	ck_assert_uint_eq(h.target->tsc.nsec, 1000 + AGED_LAST);
	ck_assert(harness_logged(XENSR_LOG_NOTICE,
				 "failing over to the guest as it runs since checkpoint 3"));
	/* Log-dirty mode is the toolstack'aged.stream. */
	ck_assert_uint_eq(fake.calls[FN_SHADOW], 0);
}
END_TEST

START_TEST(cuts)
{
	for (size_t len = 0; len <= aged.stream.len; len++) {
		unsigned age = aged_complete_before(len);

		if (aged.is_page[len] && len % 997)
			continue;
		new_secondary();
		aged_restore(&aged.stream, len);
		MUST((h.rc == 0) == (age != 0), "cut at %zu: %s", len, h.err.text);
		MUST(fake.calls[FN_CONTEXT_SET] == age, "state given %u times",
		     fake.calls[FN_CONTEXT_SET]);
		if (age) {
			HOLDS(h.results.failed_over);
			HOLDS(h.results.checkpoints == age);
			HOLDS(page_is(fake_page(h.target, 0x10), 0x10, 50 + age));
			HOLDS(h.target->tsc.nsec == 1000 + age);
		}
		close(back[0]);
		close(back[1]);
	}
}
END_TEST

/* A parameter that went back to 0 is 0 here too, though an earlier checkpoint had it set. */
START_TEST(parameter_goes)
{
	new_secondary();
	aged_restore(&aged.stream, aged.stream.len);
	ck_assert_msg(h.rc == 0, "%s", h.err.text);
	ck_assert_uint_eq(aged.images[AGED_LAST - 1].generation, 0x2222);
	ck_assert_uint_eq(h.target->params[HVM_PARAM_VM_GENERATION_ID_ADDR],
			  aged.images[AGED_LAST].generation);
}
END_TEST

/* END takes nothing back of what the guest has done since the checkpoint. */
START_TEST(end)
{
	aged_edit(aged.complete_at[2]);
	stream_record(&aged.edited, REC_END, NULL, 0);
	new_secondary();
	aged_restore_edited();
	ck_assert_msg(h.rc == 0, "%s", h.err.text);
	ck_assert_uint_eq(h.results.checkpoints, 2);
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 2);
	ck_assert(page_is(fake_page(h.target, 0x10), 0x10, 52));
}
END_TEST

static const struct {
	unsigned callback;
	const char *name;
} callbacks[] = {
	{FN_CB_CHECKPOINT, "checkpoint"},
	{FN_CB_POSTCOPY, "postcopy"},
	{FN_CB_WAIT_CHECKPOINT, "wait_checkpoint"},
	{FN_CB_SUSPEND, "suspend"},
};

START_TEST(says_failover)
{
	unsigned callback = (unsigned)_i / 2, nth = (unsigned)_i % 2 + 1;
	unsigned age = callback ? nth : nth - 1;

	aged_answer_with(callbacks[callback].callback, nth, XGR_CHECKPOINT_FAILOVER);
	new_secondary();
	aged_restore(&aged.stream, aged.stream.len);
	if (age == 0) {
		harness_failed_somehow();
		return;
	}
	ck_assert_msg(h.rc == 0, "%s", h.err.text);
	ck_assert(h.results.failed_over);
	ck_assert_uint_eq(h.results.checkpoints, age);
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], age);
	harness_nothing_left();
}
END_TEST

START_TEST(says_error)
{
	unsigned callback = (unsigned)_i / 4, nth = (unsigned)_i / 2 % 2 + 1;
	int what = _i % 2 ? -1 : XGR_CHECKPOINT_ERROR;
	char text[128];

	aged_answer_with(callbacks[callback].callback, nth, what);
	new_secondary();
	aged_restore(&aged.stream, aged.stream.len);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, ECANCELED);
	snprintf(text, sizeof(text),
		 "the toolstack ended the replication after checkpoint %u (%s answered %d)",
		 callback ? nth : nth - 1, callbacks[callback].name, what);
	ck_assert_msg(strstr(h.err.text, text), "%s", h.err.text);
}
END_TEST

/* The primary does not read its list: it is gone. */
START_TEST(back_channel_closed)
{
	new_secondary();
	close(back[0]);
	aged_restore(&aged.stream, aged.stream.len);
	ck_assert_msg(h.rc == 0, "%s", h.err.text);
	ck_assert(h.results.failed_over);
	ck_assert_uint_eq(h.results.checkpoints, 1);
	ck_assert(harness_logged(XENSR_LOG_NOTICE, "back channel: "));
	ck_assert(harness_logged(XENSR_LOG_NOTICE, "Broken pipe"));
}
END_TEST

START_TEST(back_channel_bad)
{
	new_secondary();
	h.restore.send_back_fd = back[0]; /* cannot be written */
	aged_restore(&aged.stream, aged.stream.len);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, EBADF);
	ck_assert_ptr_nonnull(strstr(h.err.text, "back channel: "));
}
END_TEST

/* Xen's log cannot be had: an error, since the primary would miss pages. */
START_TEST(without_log)
{
	new_secondary();
	if (_i)
		fake.short_log = 1;
	else
		h.script = aged_answer; /* nobody switches it on */
	aged_restore(&aged.stream, aged.stream.len);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, _i ? EIO : EINVAL);
	ck_assert_ptr_nonnull(strstr(h.err.text, _i ? "the dirty bitmap of domain 7 has "
						    : "cannot get the dirty bitmap of domain 7"));
}
END_TEST

START_TEST(call_fails)
{
	new_secondary();
	fake.fail_at = (unsigned)_i;
	aged_restore(&aged.stream, aged.stream.len);
	if (fake.failed == FN_NONE || fake.failed == FN_UNMAP || fake.failed == FN_UNMAP_RESOURCE) {
		ck_assert_msg(h.rc == 0, "%s", h.err.text);
		ck_assert_uint_eq(h.results.checkpoints, AGED_LAST);
		return;
	}
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, EIO);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine as the secondary of COLO");
	TCase *tc;

	signal(SIGPIPE, SIG_IGN);
	tc = harness_tcase(suite, "COLO", aged_build, aged_release);
	tcase_add_test(tc, rounds);
	tcase_add_test(tc, cuts);
	tcase_add_test(tc, parameter_goes);
	tcase_add_test(tc, end);
	tcase_add_loop_test(tc, says_failover, 0, 8);
	tcase_add_loop_test(tc, says_error, 0, 16);
	tcase_add_test(tc, back_channel_closed);
	tcase_add_test(tc, back_channel_bad);
	tcase_add_loop_test(tc, without_log, 0, 2);
	tcase_add_loop_test(tc, call_fails, 1, 160);
	return harness_main(suite);
}
