/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors at their worst: one octet at a time, signals, non-blocking, cut anywhere, full,
 * closed; and every bit of a small stream flipped.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "io.h"
#include "record.h"
#include "stream_build.h"
#include "unit_main.h"

static struct stream s;

static void setup(void)
{
	s = (struct stream){0};
	stream_of(&s, 3, GUEST_X86_HVM, good_hvm, 7);
	stream_good_record(&s, REC_END);
	signal(SIGPIPE, SIG_IGN);
}

static void teardown(void)
{
	stream_release(&s);
}

/* ---- a peer in a thread of its own ------------------------------------------------------------ */

static struct {
	pthread_t thread;
	int fd;
	size_t portion; /* octets at a time */
	uint8_t *got;
	size_t len;
} peer;

/* The signals that disturb are for the thread under test alone. */
static void start_peer(void *(*run)(void *))
{
	sigset_t alarm_only;

	sigemptyset(&alarm_only);
	sigaddset(&alarm_only, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm_only, NULL);
	ck_assert_int_eq(pthread_create(&peer.thread, NULL, run, NULL), 0);
	pthread_sigmask(SIG_UNBLOCK, &alarm_only, NULL);
}

static void *feed(void *arg)
{
	for (size_t at = 0; at < s.len;) {
		size_t now = s.len - at < peer.portion ? s.len - at : peer.portion;

		ck_assert_int_eq(write(peer.fd, s.octets + at, now), (ssize_t)now);
		at += now;
	}
	close(peer.fd);
	return arg;
}

static void *drain(void *arg)
{
	ssize_t now;

	do {
		now = read(peer.fd, peer.got + peer.len, peer.portion);
		ck_assert_int_ge(now, 0);
		peer.len += (size_t)now;
	} while (now > 0);
	return arg;
}

static void on_alarm(int signum)
{
	(void)signum;
}

/* A signal every 200 microseconds, without SA_RESTART. */
static void disturb(bool on)
{
	struct sigaction action = {.sa_handler = on_alarm};
	struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};

	sigemptyset(&action.sa_mask);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, on ? &often : &never, NULL);
}

static const struct {
	size_t portion;
	bool nonblocking, signals;
} ways[] = {
	{1, false, false}, {1, true, false},   {1, false, true},     {1, true, true},
	{7, true, true},   {4097, true, true}, {100000, true, true},
};

START_TEST(reading)
{
	struct xensr_verify_params params = XENSR_VERIFY_PARAMS_INIT;
	struct xensr_verify_results results;
	struct xensr_error err;
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	params.io_fd = fds[0];
	if (ways[_i].nonblocking)
		ck_assert_int_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	peer.fd = fds[1];
	peer.portion = ways[_i].portion;
	start_peer(feed);
	disturb(ways[_i].signals);
	ck_assert_msg(xensr_verify(&params, &results, &err) == 0, "%s", err.text);
	disturb(false);
	ck_assert_uint_eq(results.octets, s.len);
	ck_assert_uint_eq(results.pages, 4);
	pthread_join(peer.thread, NULL);
}
END_TEST

/* Not one octet is lost or sent twice, however often a write is interrupted half-way. */
START_TEST(writing)
{
	const struct xensr_reports none = {0};
	size_t n = 300000;
	uint8_t *octets = malloc(n);
	struct iovec iov[1200];
	struct xensr_ctx ctx;
	int fds[2];

	for (size_t i = 0; i < n; i++)
		octets[i] = (uint8_t)(i * 31 + i / 256);
	/* 1200 vectors, over what one call takes, some of them empty */
	for (size_t i = 0; i < 1200; i++)
		iov[i] = (struct iovec){octets + i / 2 * 500, i % 2 ? 500 : 0};
	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(fcntl(fds[1], F_SETPIPE_SZ, 4096), 4096);
	if (ways[_i].nonblocking)
		ck_assert_int_eq(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	peer.fd = fds[0];
	peer.portion = ways[_i].portion;
	peer.got = malloc(n + 100000);
	start_peer(drain);
	ctx_init(&ctx, fds[1], &none);
	disturb(ways[_i].signals);
	ck_assert_msg(io_writev(&ctx, iov, 1200) == 0, "%s", ctx.err.text);
	disturb(false);
	ck_assert_uint_eq(ctx.offset, n);
	close(fds[1]);
	pthread_join(peer.thread, NULL);
	ck_assert_uint_eq(peer.len, n);
	ck_assert_mem_eq(peer.got, octets, n);
	free(peer.got);
	free(octets);
}
END_TEST

/* ---- ends --------------------------------------------------------------------------------------- */

/* Cut at every octet: never a success, and the error says where. */
START_TEST(cut_everywhere)
{
	size_t whole = s.len;

	for (s.len = 0; s.len < whole; s.len++) {
		struct xensr_error err;
		char where[64];

		snprintf(where, sizeof(where), "the stream ends early, at offset %zu: ", s.len);
		ck_assert_msg(stream_verify(&s, NULL, &err) == -1, "cut at %zu: accepted", s.len);
		ck_assert_msg(err.errnum == ENODATA && strstr(err.text, where), "cut at %zu: %s",
			      s.len, err.text);
	}
	stream_passes(&s);
}
END_TEST

START_TEST(unwritable)
{
	static const struct {
		int errnum;
		const char *text;
	} expect[] = {
		{ENOSPC, "END record at offset 0: cannot write the stream at offset 0: No space "
			 "left on device"},
		{EPIPE, "END record at offset 0: cannot write the stream at offset 0: Broken pipe"},
		{EBADF, "END record at offset 0: cannot write the stream at offset 0: Bad file "
			"descriptor"},
	};
	const struct xensr_reports none = {0};
	struct xensr_ctx ctx;
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	close(fds[0]);
	ctx_init(&ctx, _i == 0 ? open("/dev/full", O_WRONLY) : _i == 1 ? fds[1] : -1, &none);
	ck_assert_int_eq(write_record(&ctx, REC_END, NULL, 0), -1);
	ck_assert_int_eq(ctx.err.errnum, expect[_i].errnum);
	ck_assert_str_eq(ctx.err.text, expect[_i].text);
}
END_TEST

START_TEST(unreadable)
{
	struct xensr_verify_params params = XENSR_VERIFY_PARAMS_INIT;
	struct xensr_error err;

	params.io_fd = open("/", O_RDONLY);
	ck_assert_int_eq(xensr_verify(&params, NULL, &err), -1);
	ck_assert_int_eq(err.errnum, EISDIR);
	ck_assert_str_eq(err.text, "image header at offset 0: cannot read the stream at offset 0: "
				   "Is a directory");
}
END_TEST

/* ---- octets that come from a function ------------------------------------------------------------ */

struct giver {
	size_t at, portion;
	int errnum; /* at the end, instead of the end */
};

static ssize_t give(void *data, void *buf, size_t len)
{
	struct giver *giver = data;
	size_t now = s.len - giver->at;

	if (now == 0 && giver->errnum) {
		errno = giver->errnum;
		return -1;
	}
	if (now > giver->portion)
		now = giver->portion;
	if (now > len)
		now = len;
	memcpy(buf, s.octets + giver->at, now);
	giver->at += now;
	return (ssize_t)now;
}

static struct xensr_ctx fetching(struct giver *giver)
{
	const struct xensr_reports no_reports = {0};
	struct xensr_ctx ctx;

	ctx_init(&ctx, -1, &no_reports);
	ctx.fetch = give;
	ctx.fetch_data = giver;
	return ctx;
}

START_TEST(fetched)
{
	struct giver giver = {.portion = ways[_i].portion};
	struct xensr_ctx ctx = fetching(&giver);
	uint8_t *got = malloc(s.len + 1);
	const uint8_t *front;

	ck_assert_int_eq(io_peek(&ctx, 20, &front), 20);
	ck_assert_mem_eq(front, s.octets, 20);
	ck_assert_uint_eq(ctx.offset, 0);
	ck_assert_int_eq(io_read(&ctx, got, s.len - 5), 0);
	ck_assert_mem_eq(got, s.octets, s.len - 5);
	ck_assert_int_eq(io_skip(&ctx, 2), 0);
	ck_assert_uint_eq(ctx.offset, s.len - 3);
	ck_assert_int_eq(io_peek(&ctx, 20, &front), 3);
	ck_assert_int_eq(io_read(&ctx, got, 4), -1);
	ck_assert_int_eq(ctx.err.errnum, ENODATA);
	free(got);
}
END_TEST

START_TEST(fetched_in_vain)
{
	struct giver giver = {.portion = 99, .errnum = EIO};
	struct xensr_ctx ctx = fetching(&giver);

	ck_assert_int_eq(io_skip(&ctx, s.len), 0);
	ck_assert_int_eq(io_skip(&ctx, 1), -1);
	ck_assert_int_eq(ctx.err.errnum, EIO);
}
END_TEST

/* ---- damage -------------------------------------------------------------------------------------- */

/*
 * May this bit change without anybody noticing? Content of pages, policies, TSC and the
 * context's registers; values of parameters; reserved fields; what only names the saver.
 */
static bool bit_is_free(size_t at, size_t bit)
{
	size_t rec, body;
	unsigned i = 0;

	/* options but for their last bit, reserved; reserved, Xen's version */
	if ((at >= 16 && at < 24) || (at >= 30 && at < 40))
		return true;
	if (at < 40)
		return false;
	while (i + 1 < s.records && s.record[i + 1] <= at)
		i++;
	rec = s.record[i];
	if (at < rec + 8) /* bit 31 of the type makes a policy an optional record, skipped */
		return i <= 1 && at == rec + 3 && bit == 7;
	body = at - rec - 8;
	switch (i) {
	case 0: /* CPUID */
	case 1: /* MSR */
	case 4: /* TSC */
		return true;
	case 3: /* PAGE_DATA: count, reserved, entries (pfn, reserved, type), pages */
		return body >= 4;
	case 5: /* HVM_CONTEXT: instance numbers, what follows the magic, the END */
		return (body >= 2 && body < 8) || body >= 12;
	case 6: /* HVM_PARAMS: reserved, values, and an index may become another known one */
		return body >= 4;
	default:
		return false;
	}
}

/* How the helper stops a save: a read-only file takes the stream's place. */
START_TEST(stopped_stream_is_seen)
{
	const struct xensr_reports none = {0};
	struct xensr_ctx ctx;
	int fds[2], null = open("/dev/null", O_RDONLY);

	ck_assert_int_eq(pipe(fds), 0);
	ctx_init(&ctx, fds[1], &none);
	ck_assert_int_eq(io_check_writable(&ctx), 0);
	ck_assert_int_eq(dup2(null, fds[1]), fds[1]);
	ck_assert_int_eq(io_check_writable(&ctx), -1);
	ck_assert_int_eq(ctx.err.errnum, ECANCELED);
	close(null);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

/* A pipe gets room for a good part of a batch; anything else is left as it is. */
START_TEST(pipe_is_widened)
{
	const struct xensr_reports none = {0};
	struct xensr_ctx ctx;
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_lt(fcntl(fds[1], F_GETPIPE_SZ), 1 << 20);
	for (int end = 0; end < 2; end++) {
		ctx_init(&ctx, fds[end], &none);
		io_widen_pipe(&ctx);
		ck_assert_int_eq(fcntl(fds[1], F_GETPIPE_SZ), 1 << 20);
	}
	close(fds[0]);
	close(fds[1]);

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	ctx_init(&ctx, fds[0], &none);
	io_widen_pipe(&ctx);
	ck_assert(ctx.err.errnum == 0);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

/* Every bit of the stream, one at a time: never a crash, and noticed wherever it can be. */
START_TEST(every_bit)
{
	size_t unnoticed = 0;

	for (size_t bit = 0; bit < s.len * 8; bit++) {
		struct xensr_error err;

		/* of the pages' content, a bit an octet will do */
		if (bit / 8 > s.record[3] + 48 && bit / 8 < s.record[4] && bit % 8 != bit / 8 % 8)
			continue;
		s.octets[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (stream_verify(&s, NULL, &err) == 0) {
			ck_assert_msg(bit_is_free(bit / 8, bit % 8),
				      "bit %zu of octet %zu went unnoticed", bit % 8, bit / 8);
			unnoticed++;
		} else {
			ck_assert_str_ne(err.text, "");
		}
		s.octets[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	/* Not everything passes and not everything fails, or the test would prove nothing. */
	ck_assert_uint_gt(unnoticed, 16384);
	stream_passes(&s);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stream io");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, reading, 0, COUNT(ways));
	tcase_add_loop_test(tc, writing, 0, COUNT(ways));
	tcase_add_test(tc, cut_everywhere);
	tcase_add_loop_test(tc, unwritable, 0, 3);
	tcase_add_test(tc, unreadable);
	tcase_add_loop_test(tc, fetched, 0, COUNT(ways));
	tcase_add_test(tc, fetched_in_vain);
	tcase_add_test(tc, stopped_stream_is_seen);
	tcase_add_test(tc, pipe_is_widened);
	tcase_add_test(tc, every_bit);
	return unit_main(suite, tc);
}
