/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Restoring a checkpointed stream: whatever happens to the stream, to a callback or to a call, the
 * domain is the last complete checkpoint to the octet, or the restore fails. Taken for a dead
 * primary is only a stream that breaks off.
 */
#include "engine_aged.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <xen/hvm/params.h>

#include "engine_alloc.h"
#include "pages.h"
#include "record.h"

/* ---- the stream breaks off ------------------------------------------------------------------ */

static void check_cut(size_t len)
{
	unsigned age = aged_complete_before(len);

	aged_target(XENSR_STREAM_REMUS, -1);
	aged_restore(&aged.stream, len);
	if (age) {
		aged_went_well(age, true);
		MUST(h.nr_level[XENSR_LOG_NOTICE] == 1, "nobody was told");
		return;
	}
	MUST(h.rc == -1 && h.errnum == ENODATA, "cut at %zu: %s", len, h.err.text);
	MUST(strstr(h.err.text, "the stream ends early, at offset "), "%s", h.err.text);
	MUST(fake.calls[FN_CONTEXT_SET] == 0, "half an image got its state");
	MUST(fake.mappings == 0 && fake.buffers == 0, "something is left");
}

/* At every octet, but for those in the middle of a page, of which there are some. */
START_TEST(cut_anywhere)
{
	for (size_t len = 0; len <= aged.stream.len; len++) {
		if (!aged.is_page[len] || !aged.is_page[len - 1] || !aged.is_page[len + 1] ||
		    len % 331 == 0)
			check_cut(len);
	}
}
END_TEST

START_TEST(cut_is_told)
{
	char text[160];

	aged_target(XENSR_STREAM_REMUS, -1);
	aged_restore(&aged.stream, aged.complete_at[2] + 5);
	aged_went_well(2, true);
	snprintf(text, sizeof(text),
		 "failing over to checkpoint 2: record header at offset %" PRIu64
		 ": the stream ends early, at offset %" PRIu64 ": 3 more octets expected",
		 aged.complete_at[2], aged.complete_at[2] + 5);
	ck_assert_msg(harness_logged(XENSR_LOG_NOTICE, text), "%s", text);
	ck_assert(harness_logged(XENSR_LOG_DETAIL, "checkpoint 1 is complete"));
	ck_assert(harness_logged(XENSR_LOG_DETAIL, "checkpoint 2 is complete"));
	ck_assert_uint_eq(h.callbacks[FN_CB_CHECKPOINT], 2);
	ck_assert_uint_eq(h.static_calls, 1);
}
END_TEST

/* A connection that is reset is a broken one; a descriptor that cannot be read is our trouble. */
START_TEST(reset_connection)
{
	int fds[2], size = 1 << 20;

	aged_target(XENSR_STREAM_REMUS, -1);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_int_eq(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	/* What is unread when the other end closes makes a reset of it. */
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	ck_assert_int_eq(write(fds[0], aged.stream.data, aged.complete_at[1] + 5),
			 (ssize_t)aged.complete_at[1] + 5);
	close(fds[0]);
	harness_restore(fds[1]);
	aged_went_well(1, true);
	ck_assert(harness_logged(XENSR_LOG_NOTICE, "Connection reset by peer"));
	close(fds[1]);
}
END_TEST

static int stream_of_script = -1;

/* The descriptor goes bad under the restore, by the toolstack's doing. */
static int script_bad_fd(unsigned callback, unsigned nth)
{
	if (callback == FN_CB_CHECKPOINT && nth == 2) {
		int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		HOLDS(dup2(dir, stream_of_script) == stream_of_script);
		close(dir);
	}
	return 1;
}

START_TEST(unreadable_is_an_error)
{
	h.script = script_bad_fd;
	aged_target(XENSR_STREAM_REMUS, -1);
	stream_of_script = stream_fd(&aged.stream);
	harness_restore(stream_of_script);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, EISDIR);
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
	close(stream_of_script);
}
END_TEST

/* ---- the stream ends ------------------------------------------------------------------------ */

START_TEST(end_after_checkpoint)
{
	unsigned age = (unsigned)_i;

	aged_target(XENSR_STREAM_REMUS, -1);
	aged_edit(aged.complete_at[age]);
	stream_record(&aged.edited, REC_END, NULL, 0);
	stream_record(&aged.edited, 0x80000001, "not ours", 8); /* is not read */
	aged_restore_edited();
	aged_went_well(age, false);
	ck_assert_uint_eq(h.nr_level[XENSR_LOG_NOTICE], 0);
}
END_TEST

/* Even with the number of our checksums, which have no place here. */
START_TEST(optional_record_between_checkpoints)
{
	aged_target(XENSR_STREAM_REMUS, -1);
	aged_edit(aged.complete_at[1]);
	stream_record(&aged.edited, _i ? REC_CHECKSUM : 0x80000001, NULL, 0);
	aged_restore_edited();
	aged_went_well(1, true);
}
END_TEST

/* An END closes the first image; later ones are complete with the toolstack's part alone. */
START_TEST(end_of_image)
{
	unsigned age = (unsigned)_i;

	aged_target(XENSR_STREAM_REMUS, -1);
	aged_edit(aged.complete_at[age] - 8);
	stream_record(&aged.edited, REC_END, NULL, 0);
	aged_restore_edited();
	if (age > 1) {
		harness_failed(EBADMSG,
			       "END record at offset %" PRIu64 ": comes within a checkpoint",
			       aged.complete_at[age] - 8);
		ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
		return;
	}
	MUST(h.rc == 0, "%s", h.err.text);
	ck_assert_uint_eq(h.results.checkpoints, age - 1);
	ck_assert(!h.results.failed_over);
	ck_assert_uint_eq(h.callbacks[FN_CB_CHECKPOINT], age - 1);
	aged_check(age);
}
END_TEST

START_TEST(end_of_half_an_image)
{
	aged_target(XENSR_STREAM_REMUS, -1);
	aged_edit(aged.complete_at[2] - 8 - (8 + 8 + 5 * 16)); /* no HVM_PARAMS */
	stream_record(&aged.edited, REC_END, NULL, 0);
	aged_restore_edited();
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, EBADMSG);
	ck_assert_ptr_nonnull(strstr(h.err.text, "comes within a checkpoint"));
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
}
END_TEST

/* A record that older savers wrote empty is none, and takes nothing back. */
START_TEST(end_after_an_empty_record)
{
	static const uint64_t nothing;

	aged_target(XENSR_STREAM_REMUS, -1);
	aged_edit(aged.complete_at[2]);
	stream_record(&aged.edited, REC_HVM_PARAMS, &nothing, sizeof(nothing));
	stream_record(&aged.edited, REC_END, NULL, 0);
	aged_restore_edited();
	aged_went_well(2, false);
}
END_TEST

START_TEST(checkpoint_of_half_an_image)
{
	aged_target(XENSR_STREAM_REMUS, -1);
	aged_edit(aged.complete_at[2]);
	stream_record(&aged.edited, REC_CHECKPOINT, NULL, 0);
	aged_restore_edited();
	harness_failed(EBADMSG,
		       "CHECKPOINT record at offset %" PRIu64
		       ": the image is incomplete, there was no X86_TSC_INFO, HVM_CONTEXT, "
		       "HVM_PARAMS",
		       aged.complete_at[2]);
	ck_assert_uint_eq(h.callbacks[FN_CB_CHECKPOINT], 2);
}
END_TEST

/* A checkpointed stream is no plain one, and the other way round. */
START_TEST(plain_restore)
{
	aged_target(XENSR_STREAM_PLAIN, -1);
	aged_restore(&aged.stream, aged.stream.len);
	harness_failed(EBADMSG,
		       "CHECKPOINT record at offset %" PRIu64
		       ": comes in a stream that is not checkpointed",
		       aged.complete_at[1] - 8);
}
END_TEST

START_TEST(verify_among_checkpoints)
{
	aged_target(XENSR_STREAM_REMUS, -1);
	aged_edit(aged.complete_at[_i]);
	stream_record(&aged.edited, REC_VERIFY, NULL, 0);
	aged_restore_edited();
	harness_failed(EBADMSG, "VERIFY record at offset %" PRIu64 ": %s", aged.complete_at[_i],
		       _i ? "comes in a checkpointed stream" : "comes before PAGE_DATA");
}
END_TEST

/* ---- damage --------------------------------------------------------------------------------- */

/* What is behind `at` belongs to a checkpoint that was complete before. */
static void check_damaged(uint64_t at, unsigned bit)
{
	uint64_t first = aged.complete_at[2];

	MUST(at >= first, "not of the third");
	stream_put(&aged.edited, aged.stream.data, aged.complete_at[AGED_LAST]);
	stream_record(&aged.edited, REC_END, NULL, 0);
	aged.edited.data[at] ^= (uint8_t)(1u << bit);
	aged_target(XENSR_STREAM_REMUS, -1);
	aged_restore_edited();
	MUST(fake.mappings == 0 && fake.buffers == 0, "something is left");
	if (h.rc)
		MUST(h.errnum != 0 && h.err.text[0], "no reason");
	/* A length that grew makes the stream end early, which nobody can tell from a cut. */
	if (h.rc == 0 && h.results.failed_over)
		MUST(h.nr_level[XENSR_LOG_NOTICE] == 1 &&
			     harness_logged(XENSR_LOG_NOTICE, "the stream ends early"),
		     "octet %llu, bit %u: failed over", (unsigned long long)at, bit);
	if (h.rc == 0 && h.results.failed_over)
		aged_check(2);
}

START_TEST(bit_flips)
{
	for (uint64_t at = aged.complete_at[2]; at < aged.complete_at[AGED_LAST]; at++) {
		for (unsigned bit = 0; bit < 8 && !aged.is_page[at]; bit++)
			check_damaged(at, bit);
	}
}
END_TEST

/* Damage that is none of a cut: an error with its place, and no failover. */
START_TEST(damage_is_no_failover)
{
	static const struct {
		uint64_t at; /* in the third checkpoint, which begins with PAGE_DATA */
		uint8_t octet;
		int errnum;
		const char *text;
	} cases[] = {
		{0, 0x55, EBADMSG, "unknown record at offset %" PRIu64 ": type 0x55 is unknown"},
		{3, 0x40, EBADMSG,
		 "unknown record at offset %" PRIu64 ": type 0x40000001 is unknown"},
		{7, 0x90, EBADMSG, NULL}, /* the length */
		{4, 0x00, EBADMSG, NULL},
		{8, 0x05, EBADMSG, NULL}, /* the count */
		{8, 0x00, EBADMSG, "PAGE_DATA record at offset %" PRIu64 ": has no entries"},
		{8 + 8 + 7, 0x50, EBADMSG,
		 "PAGE_DATA record at offset %" PRIu64 ": type 0x5 of pfn 0x11 is unknown"},
		{8 + 8 + 7, 0x10, EBADMSG,
		 "PAGE_DATA record at offset %" PRIu64
		 ": type 0x1 of pfn 0x11 is a page table, which an x86 HVM guest has not"},
		{8 + 8 + 5, 0x01, EBADMSG,
		 "PAGE_DATA record at offset %" PRIu64
		 ": pfn 0x10000000011 is beyond what x86 can address"},
		{8 + 8 + 4, 0x01, EBADMSG,
		 "PAGE_DATA record at offset %" PRIu64
		 ": pfn 0x100000011 is beyond what domain 7 can have"},
	};
	char text[256];

	aged_edit(aged.complete_at[AGED_LAST]);
	aged.edited.data[aged.complete_at[2] + cases[_i].at] = cases[_i].octet;
	aged_target(XENSR_STREAM_REMUS, -1);
	aged_restore_edited();
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, cases[_i].errnum);
	ck_assert_uint_eq(h.err.offset, aged.complete_at[2]);
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
	/* Nothing of the third has been done to the guest. */
	for (uint64_t pfn = 0x10; pfn < 0x12; pfn++)
		aged_check_page(2, pfn);
	if (!cases[_i].text)
		return;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof(text), cases[_i].text, aged.complete_at[2]);
#pragma GCC diagnostic pop
	ck_assert_str_eq(h.err.text, text);
}
END_TEST
#define DAMAGES 10

/* The inside of bodies is checked when they come, not when they are applied. */
START_TEST(bad_body)
{
	static const uint64_t strange[][2] = {{HVM_PARAM_CALLBACK_IRQ, 1}};
	uint64_t entry = page_entry(0x10, PAGE_NORMAL);
	uint8_t context[64] = {0};

	aged_edit(aged.complete_at[2]);
	stream_pages(&aged.edited, &entry, 1, 7);
	if (_i == 0)
		stream_params(&aged.edited, 1, strange);
	else if (_i == 1)
		stream_record(&aged.edited, REC_HVM_CONTEXT, context, sizeof(context));
	else
		stream_record(&aged.edited, REC_SHARED_INFO, NULL, 0);
	aged_target(XENSR_STREAM_REMUS, -1);
	aged_restore_edited();
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, EBADMSG);
	aged_check_page(2, 0x10);
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
}
END_TEST

/* ---- callbacks ------------------------------------------------------------------------------ */

/* The toolstack says that the primary is dead: the checkpoint at hand does not count. */
START_TEST(checkpoint_says_failover)
{
	unsigned nth = (unsigned)_i;

	aged_answer_with(FN_CB_CHECKPOINT, nth, XGR_CHECKPOINT_FAILOVER);
	aged_target(XENSR_STREAM_REMUS, -1);
	aged_restore(&aged.stream, aged.stream.len);
	if (nth == 1) {
		harness_failed_somehow();
		ck_assert_int_eq(h.errnum, ENODATA);
		ck_assert_ptr_nonnull(strstr(h.err.text, "there is no complete checkpoint to go on "
							 "from: at the toolstack's word"));
		ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
		return;
	}
	aged_went_well(nth - 1, true);
	ck_assert(harness_logged(XENSR_LOG_NOTICE, "at the toolstack's word"));
}
END_TEST

START_TEST(checkpoint_says_error)
{
	static const int answers[] = {XGR_CHECKPOINT_ERROR, -1, 3};
	unsigned nth = (unsigned)_i / 3 + 1;

	aged_answer_with(FN_CB_CHECKPOINT, nth, answers[_i % 3]);
	aged_target(XENSR_STREAM_REMUS, -1);
	aged_restore(&aged.stream, aged.stream.len);
	harness_failed(ECANCELED,
		       "CHECKPOINT record at offset %" PRIu64
		       ": the toolstack ended the replication after checkpoint %u (checkpoint "
		       "answered %d)",
		       aged.complete_at[nth] - 8, nth - 1, answers[_i % 3]);
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
}
END_TEST

/* At each CHECKPOINT the descriptor stands right behind it: the toolstack reads its own there. */
static int read_own(unsigned callback, unsigned nth)
{
	char own[5];

	if (callback != FN_CB_CHECKPOINT || nth > AGED_LAST)
		return 1;
	MUST(fd_octets(stream_of_script) == aged.complete_at[nth] + 5 * (nth - 1),
	     "the descriptor is at octet %llu at checkpoint %u",
	     (unsigned long long)fd_octets(stream_of_script), nth);
	HOLDS(read(stream_of_script, own, 5) == 5);
	HOLDS(memcmp(own, "libxl", 5) == 0);
	return 1;
}

START_TEST(descriptor_is_handed_up)
{
	for (unsigned age = 0; age < AGED_LAST; age++) {
		stream_put(&aged.edited, aged.stream.data + (age ? aged.complete_at[age] : 0),
			   aged.complete_at[age + 1] - (age ? aged.complete_at[age] : 0));
		stream_put(&aged.edited, "libxl", 5);
	}
	h.script = read_own;
	aged_target(XENSR_STREAM_REMUS, -1);
	stream_of_script = stream_fd(&aged.edited);
	harness_restore(stream_of_script);
	aged_went_well(AGED_LAST, true);
	close(stream_of_script);
	stream_release(&aged.edited);
}
END_TEST

START_TEST(missing_callbacks)
{
	enum xensr_stream_type type = _i ? XENSR_STREAM_COLO : XENSR_STREAM_REMUS;
	struct xensr_restore_callbacks *cb = &h.restore.callbacks;

	aged_target(type, 0);
	if (_i <= 1)
		cb->checkpoint = NULL;
	else if (_i == 2)
		cb->suspend = NULL;
	else if (_i == 3)
		cb->postcopy = NULL;
	else if (_i == 4)
		cb->wait_checkpoint = NULL;
	else
		h.restore.send_back_fd = -1;
	aged_restore(&aged.stream, aged.stream.len);
	harness_failed(EINVAL, _i == 5 ? "COLO needs a back channel"
				       : "a checkpointed stream needs the callback checkpoint and, "
					 "for COLO, suspend, postcopy and wait_checkpoint");
	ck_assert_uint_eq(fake.changes, 0);
}
END_TEST

/* ---- limits and faults ---------------------------------------------------------------------- */

START_TEST(over_the_limit)
{
	/* The second checkpoint has 3 pages, the third 2. */
	aged_target(XENSR_STREAM_REMUS, -1);
	h.restore.checkpoint_limit = 3 * PAGE_OCTETS;
	aged_restore(&aged.stream, aged.stream.len);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, ENOBUFS);
	ck_assert_ptr_nonnull(strstr(h.err.text, "the checkpoint takes up more than the limit of "
						 "12288 octets"));
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
	aged_check_page(1, 0x11);

	/* Each has the limit to itself; the image before the first waits for nothing. */
	aged_target(XENSR_STREAM_REMUS, -1);
	h.restore.checkpoint_limit = 4 * PAGE_OCTETS;
	aged_restore(&aged.stream, aged.stream.len);
	aged_went_well(AGED_LAST, true);
}
END_TEST

/* Endless records without an end in sight: the default limit follows what the domain may have. */
START_TEST(default_limit)
{
	uint64_t entry = page_entry(0x10, PAGE_NORMAL);
	struct stream page = {0};
	unsigned n = 0;

	stream_pages(&page, &entry, 1, 1);
	aged_edit(aged.complete_at[1]);
	for (; aged.edited.len < (80u << 20); n++)
		stream_put(&aged.edited, page.data, page.len);
	stream_release(&page);
	aged_target(XENSR_STREAM_REMUS, -1);
	aged_restore_edited();
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, ENOBUFS);
	ck_assert_uint_eq(h.target->max_pages, 0x100);
	ck_assert_ptr_nonnull(strstr(h.err.text, "more than the limit of 68161536 octets"));
	ck_assert_uint_gt(n, 0x100);
}
END_TEST

#define CALLS 60

/* A call that fails is an error at all times, and no reason to go on alone. */
START_TEST(call_fails)
{
	bool cut = _i & 1;

	aged_edit(aged.complete_at[AGED_LAST]);
	if (!cut)
		stream_record(&aged.edited, REC_END, NULL, 0);
	aged_target(XENSR_STREAM_REMUS, -1);
	fake.fail_at = (unsigned)_i / 2 + 1;
	aged_restore_edited();
	if (fake.failed == FN_NONE) {
		aged_went_well(AGED_LAST, cut);
		return;
	}
	if (fake.failed == FN_UNMAP || fake.failed == FN_UNMAP_RESOURCE) {
		ck_assert_msg(h.rc == 0, "%s", h.err.text);
		ck_assert(harness_logged(XENSR_LOG_WARN, "cannot unmap "));
		aged_check(AGED_LAST);
		return;
	}
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, EIO);
	/* Only what was true before the call failed. */
	ck_assert_uint_eq(h.nr_level[XENSR_LOG_NOTICE],
			  cut && h.callbacks[FN_CB_CHECKPOINT] == AGED_LAST &&
				  harness_logged(XENSR_LOG_DETAIL, "checkpoint 3 is complete"));
}
END_TEST

START_TEST(sweep_is_long_enough)
{
	aged_target(XENSR_STREAM_REMUS, -1);
	aged_restore(&aged.stream, aged.stream.len);
	ck_assert_uint_gt(fake.total, 20);
	ck_assert_uint_lt(fake.total, CALLS);
}
END_TEST

#define ALLOCATIONS 60

START_TEST(allocation_fails)
{
	int fd = stream_fd(&aged.stream);

	aged_target(XENSR_STREAM_REMUS, -1);
	engine_alloc_arm((unsigned)_i);
	harness_restore(fd);
	engine_alloc_disarm();
	close(fd);
	ck_assert_uint_lt(engine_alloc.calls, ALLOCATIONS - 1);
	if (!engine_alloc.failed) {
		aged_went_well(AGED_LAST, true);
		ck_assert_int_gt(_i, 10);
		return;
	}
	ck_assert_int_eq(h.rc, -1);
	ck_assert_int_eq(h.errnum, ENOMEM);
	harness_nothing_left();
	ck_assert(!harness_logged(XENSR_LOG_NOTICE, "failing over"));
}
END_TEST

/* Xen has no memory for what is new: the guest's pages are those of the checkpoint before. */
START_TEST(no_memory_for_checkpoint)
{
	aged_target(XENSR_STREAM_REMUS, -1);
	h.target->max_pages = 10; /* what the first checkpoint takes */
	aged_restore(&aged.stream, aged.stream.len);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, ENOMEM);
	ck_assert_uint_eq(h.callbacks[FN_CB_CHECKPOINT], 2);
	for (uint64_t pfn = 0x10; pfn < 0x16; pfn++)
		aged_check_page(1, pfn);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine with checkpoints");
	TCase *tc;

	signal(SIGPIPE, SIG_IGN);
	tc = harness_tcase(suite, "cut", aged_build, aged_release);
	tcase_add_test(tc, cut_anywhere);
	tcase_add_test(tc, cut_is_told);
	tcase_add_test(tc, reset_connection);
	tcase_add_test(tc, unreadable_is_an_error);

	tc = harness_tcase(suite, "end", aged_build, aged_release);
	tcase_add_loop_test(tc, end_after_checkpoint, 1, AGED_LAST + 1);
	tcase_add_loop_test(tc, optional_record_between_checkpoints, 0, 2);
	tcase_add_loop_test(tc, end_of_image, 1, AGED_LAST + 1);
	tcase_add_test(tc, end_of_half_an_image);
	tcase_add_test(tc, end_after_an_empty_record);
	tcase_add_test(tc, checkpoint_of_half_an_image);
	tcase_add_test(tc, plain_restore);
	tcase_add_loop_test(tc, verify_among_checkpoints, 1, AGED_LAST + 1);

	tc = harness_tcase(suite, "damage", aged_build, aged_release);
	tcase_add_test(tc, bit_flips);
	tcase_add_loop_test(tc, damage_is_no_failover, 0, DAMAGES);
	tcase_add_loop_test(tc, bad_body, 0, 3);

	tc = harness_tcase(suite, "callbacks", aged_build, aged_release);
	tcase_add_loop_test(tc, checkpoint_says_failover, 1, AGED_LAST + 1);
	tcase_add_loop_test(tc, checkpoint_says_error, 0, 3 * 3);
	tcase_add_test(tc, descriptor_is_handed_up);
	tcase_add_loop_test(tc, missing_callbacks, 0, 6);

	tc = harness_tcase(suite, "limits and faults", aged_build, aged_release);
	tcase_add_test(tc, over_the_limit);
	tcase_add_test(tc, default_limit);
	tcase_add_test(tc, sweep_is_long_enough);
	tcase_add_loop_test(tc, call_fails, 0, CALLS * 2);
	tcase_add_loop_test(tc, allocation_fails, 1, ALLOCATIONS);
	tcase_add_test(tc, no_memory_for_checkpoint);

	return harness_main(suite);
}
