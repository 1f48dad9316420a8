/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The helper's messages, octet by octet against spec 3, and its waits for replies: short and
 * slow pipes, signals, cancelling, a libxl that is gone.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "../../helper/messages.h"
#include "unit_main.h"

static int to_libxl[2], from_libxl[2];
static struct messages m;
static volatile sig_atomic_t cancelled;

static void on_term(int signum)
{
	(void)signum;
	cancelled = 1;
}

static void on_alarm(int signum)
{
	(void)signum;
}

static void catch (int signum, void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler}; /* no SA_RESTART */

	sigemptyset(&action.sa_mask);
	ck_assert_int_eq(sigaction(signum, &action, NULL), 0);
}

static void setup(void)
{
	ck_assert_int_eq(pipe(to_libxl), 0);
	ck_assert_int_eq(pipe(from_libxl), 0);
	cancelled = 0;
	m = (struct messages){
		.out_fd = to_libxl[1],
		.in_fd = from_libxl[0],
		.cancelled = &cancelled,
		.cancel_signal = SIGTERM,
	};
	catch (SIGTERM, on_term);
	catch (SIGALRM, on_alarm);
	catch (SIGPIPE, SIG_IGN);
}

/* libxl answers before it is asked; the pipe keeps it. */
static void answer(int reply)
{
	ck_assert_int_eq(write(from_libxl[1], &reply, sizeof(reply)), sizeof(reply));
}

/* What was sent is exactly this. */
static void expect(const void *octets, size_t n)
{
	uint8_t got[70000];
	ssize_t have;

	close(to_libxl[1]);
	have = read(to_libxl[0], got, sizeof(got));
	ck_assert_int_eq(have, (ssize_t)n);
	ck_assert_mem_eq(got, octets, n);
}

/* ---- octets ------------------------------------------------------------------------------ */

START_TEST(log_octets)
{
	static const uint8_t octets[] = {
		23, 0,                               /* octets of body */
		1,  0,                               /* log */
		8,  0, 0, 0, 0xff, 0xff, 0xff, 0xff, /* level, errno value */
		2,  0, 0, 0, 'c',  0,                /* context */
		3,  0, 0, 0, 'n',  'o',  0,          /* text */
	};

	ck_assert_int_eq(messages_log(&m, 8, UINT32_MAX, "c", "no"), 0);
	expect(octets, sizeof(octets));
}
END_TEST

START_TEST(progress_octets)
{
	static const uint8_t octets[] = {
		30, 0, 2, 0,                    /* progress */
		1,  0, 0, 0, 0,                 /* context */
		3,  0, 0, 0, 'u', 'p', 0,       /* what */
		7,  0, 0, 0, 0,   0,   0, 0,    /* done */
		0,  1, 0, 0, 0,   0,   0, 0x80, /* total */
	};

	ck_assert_int_eq(messages_progress(&m, "", "up", 7, 0x8000000000000100), 0);
	expect(octets, sizeof(octets));
}
END_TEST

START_TEST(results_octets)
{
	static const uint8_t octets[] = {
		18,   0,    9,    0,             /* restore_results */
		0xfc, 0xef, 0x0f, 0, 0, 0, 0, 0, /* store gfn */
		0xff, 0xef, 0x0f, 0, 0, 0, 0, 0, /* console gfn */
	};

	ck_assert_int_eq(messages_restore_results(&m, 0xfeffc, 0xfefff), 0);
	expect(octets, sizeof(octets));
}
END_TEST

/* Messages that are answered: number and arguments. */
static const struct {
	enum message_number number;
	size_t n;
	uint8_t octets[12];
	size_t len;
} asked[] = {
	{MSG_SUSPEND, 0, {2, 0, 3, 0}, 4},
	{MSG_POSTCOPY, 0, {2, 0, 4, 0}, 4},
	{MSG_CHECKPOINT, 0, {2, 0, 5, 0}, 4},
	{MSG_WAIT_CHECKPOINT, 0, {2, 0, 6, 0}, 4},
	{MSG_SWITCH_QEMU_LOGDIRTY, 2, {10, 0, 7, 0, 5, 0, 0, 0, 1, 0, 0, 0}, 12},
	{MSG_STATIC_DATA_DONE, 1, {6, 0, 8, 0, 5, 0, 0, 0}, 8},
	{MSG_COMPLETE, 2, {10, 0, 10, 0, 5, 0, 0, 0, 1, 0, 0, 0}, 12},
};

START_TEST(asked_octets)
{
	static const uint32_t args[] = {5, 1};
	int reply = 0;

	answer(-7);
	ck_assert_int_eq(messages_ask(&m, asked[_i].number, args, asked[_i].n, &reply), 0);
	ck_assert_int_eq(reply, -7);
	expect(asked[_i].octets, asked[_i].len);
}
END_TEST

/* ---- text that is too long ------------------------------------------------------------------ */

START_TEST(long_text_is_cut)
{
	static const size_t lengths[] = {29998, 29999, 30000, 65535, 200000};
	char *text = malloc(lengths[_i] + 1);
	uint8_t head[2 + 2 + 8], got[70000];
	uint16_t body;
	uint32_t string;
	size_t kept = lengths[_i] < 29999 ? lengths[_i] : 29999;

	memset(text, 'x', lengths[_i]);
	text[lengths[_i]] = '\0';
	ck_assert_int_eq(messages_log(&m, 8, 1, text, text), 0);
	ck_assert_int_eq(read(to_libxl[0], head, sizeof(head)), sizeof(head));
	memcpy(&body, head, sizeof(body));
	ck_assert_uint_eq(body, 2 + 8 + 2 * (4 + kept + 1));
	for (int s = 0; s < 2; s++) {
		ck_assert_int_eq(read(to_libxl[0], &string, sizeof(string)), sizeof(string));
		ck_assert_uint_eq(string, kept + 1);
		ck_assert_int_eq(read(to_libxl[0], got, string), string);
		ck_assert_mem_eq(got, text, kept);
		ck_assert_uint_eq(got[kept], 0);
	}
	free(text);
}
END_TEST

/* ---- pipes at their worst ------------------------------------------------------------------- */

/* A libxl that takes one octet at a time and answers one octet at a time. */
static void *slow_libxl(void *arg)
{
	int reply = 0x01020304;
	uint8_t octet;

	for (size_t i = 0; i < *(size_t *)arg; i++)
		ck_assert_int_eq(read(to_libxl[0], &octet, 1), 1);
	for (size_t i = 0; i < sizeof(reply); i++)
		ck_assert_int_eq(write(from_libxl[1], (uint8_t *)&reply + i, 1), 1);
	return NULL;
}

/* The pipe to libxl is full and non-blocking; signals interrupt all the while. */
START_TEST(slow_peer)
{
	struct itimerval often = {.it_interval.tv_usec = 500, .it_value.tv_usec = 500}, never = {0};
	static uint8_t filler[65536];
	size_t expected = sizeof(filler) + 4;
	pthread_t peer;
	sigset_t alarm_only;
	int reply = 0;

	ck_assert_int_eq(fcntl(to_libxl[1], F_SETPIPE_SZ, sizeof(filler)), sizeof(filler));
	ck_assert_int_eq(write(to_libxl[1], filler, sizeof(filler)), sizeof(filler));
	ck_assert_int_eq(fcntl(to_libxl[1], F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_eq(fcntl(from_libxl[0], F_SETFL, O_NONBLOCK), 0);

	/* The signals are for the helper's thread alone. */
	sigemptyset(&alarm_only);
	sigaddset(&alarm_only, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm_only, NULL);
	ck_assert_int_eq(pthread_create(&peer, NULL, slow_libxl, &expected), 0);
	pthread_sigmask(SIG_UNBLOCK, &alarm_only, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	ck_assert_int_eq(messages_ask(&m, MSG_SUSPEND, NULL, 0, &reply), 0);
	setitimer(ITIMER_REAL, &never, NULL);
	ck_assert_int_eq(reply, 0x01020304);
	ck_assert(!m.broken);
	pthread_join(peer, NULL);
}
END_TEST

START_TEST(libxl_gone_before_the_reply)
{
	int reply;

	ck_assert_int_eq(write(from_libxl[1], "\1\2\3", 3), 3); /* part of one */
	close(from_libxl[1]);
	errno = 0;
	ck_assert_int_eq(messages_ask(&m, MSG_SUSPEND, NULL, 0, &reply), -1);
	ck_assert_int_eq(errno, EPIPE);
	ck_assert(m.broken);
}
END_TEST

START_TEST(libxl_gone_before_the_message)
{
	int reply;

	close(to_libxl[0]);
	errno = 0;
	ck_assert_int_eq(messages_log(&m, 5, 0, "c", "t"), -1);
	ck_assert_int_eq(errno, EPIPE);
	ck_assert(m.broken);
	/* From here on nothing is tried any more, not even where it would work. */
	answer(1);
	ck_assert_int_eq(messages_ask(&m, MSG_SUSPEND, NULL, 0, &reply), -1);
	ck_assert_int_eq(messages_progress(&m, "c", "w", 0, 1), -1);
	ck_assert_int_eq(messages_restore_results(&m, 1, 2), -1);
}
END_TEST

/* ---- cancelling ----------------------------------------------------------------------------- */

START_TEST(cancelled_before_waiting)
{
	int reply = 0;

	raise(SIGTERM);
	ck_assert_int_eq(messages_ask(&m, MSG_SUSPEND, NULL, 0, &reply), -1);
	ck_assert_int_eq(errno, ECANCELED);
	ck_assert(!m.broken);
	/* Its reply comes all the same, and is not taken for the next one's. */
	answer(1);
	answer(9);
	m.patience_seconds = 30;
	ck_assert_int_eq(messages_ask(&m, MSG_COMPLETE, NULL, 0, &reply), 0);
	ck_assert_int_eq(reply, 9);
	expect("\2\0\3\0\2\0\12\0", 8); /* both messages were sent whole */
}
END_TEST

/* libxl listens no more, and its pipes stay open: patience ends. */
START_TEST(cancelled_and_not_answered)
{
	int reply = 0;

	raise(SIGTERM);
	m.patience_seconds = 1;
	ck_assert_int_eq(messages_ask(&m, MSG_COMPLETE, NULL, 0, &reply), -1);
	ck_assert_int_eq(errno, ECANCELED);
}
END_TEST

/* Sends SIGTERM when the helper has asked, so at the earliest just before it waits. */
static void *canceller(void *helper)
{
	uint8_t message[4];

	ck_assert_int_eq(read(to_libxl[0], message, sizeof(message)), sizeof(message));
	pthread_kill(*(pthread_t *)helper, SIGTERM);
	return NULL;
}

START_TEST(cancelled_while_waiting)
{
	pthread_t self = pthread_self(), peer;
	int reply;

	ck_assert_int_eq(pthread_create(&peer, NULL, canceller, &self), 0);
	ck_assert_int_eq(messages_ask(&m, MSG_SUSPEND, NULL, 0, &reply), -1);
	ck_assert_int_eq(errno, ECANCELED);
	ck_assert(!m.broken);
	pthread_join(peer, NULL);
}
END_TEST

/* A signal that cancels nothing does not end the wait. */
START_TEST(not_cancellable)
{
	int reply = 0;

	m.cancelled = NULL;
	raise(SIGTERM);
	answer(3);
	ck_assert_int_eq(messages_ask(&m, MSG_STATIC_DATA_DONE, NULL, 0, &reply), 0);
	ck_assert_int_eq(reply, 3);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("helper messages");
	TCase *tc = tcase_create("messages");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, log_octets);
	tcase_add_test(tc, progress_octets);
	tcase_add_test(tc, results_octets);
	tcase_add_loop_test(tc, asked_octets, 0, sizeof(asked) / sizeof(asked[0]));
	tcase_add_loop_test(tc, long_text_is_cut, 0, 5);
	tcase_add_test(tc, slow_peer);
	tcase_add_test(tc, libxl_gone_before_the_reply);
	tcase_add_test(tc, libxl_gone_before_the_message);
	tcase_add_test(tc, cancelled_before_waiting);
	tcase_add_test(tc, cancelled_and_not_answered);
	tcase_add_loop_test(tc, cancelled_while_waiting, 0, 50);
	tcase_add_test(tc, not_cancellable);
	return unit_main(suite, tc);
}
