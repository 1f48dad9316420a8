/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The helper as a process, against a scripted libxl: command lines, callbacks, how it ends,
 * SIGTERM, a libxl that vanishes. Runs helper_with_fake_engine (helper/main.c over the engine
 * of helper_fake_engine.c), and the real helper where there is no Xen ($XENSR_HELPER).
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper_fake_engine.h"
#include "unit_main.h"

#define PATIENCE 30000 /* ms; only a hang takes that long */

enum {
	LOG = 1,
	PROGRESS = 2,
	SUSPEND = 3,
	RESULTS = 9,
	COMPLETE = 10
};

static struct {
	pid_t pid;
	int to, from, errors; /* its stdin, stdout, stderr */
	int stream[2];        /* io_fd is [1] of a save, [0] of a restore */
	char heard[65536];    /* texts of all log messages, a line each */
	unsigned progress;    /* progress messages */
} helper;

static const char *fake_path = "./helper_with_fake_engine";

/* ---- the scripted libxl -------------------------------------------------------------------- */

/* Start it; args is the command line after the descriptors' numbers are known. */
static void start(const char *path, const char *const args[])
{
	int in[2], out[2], errors[2];

	ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(errors, O_CLOEXEC), 0);
	helper.pid = fork();
	ck_assert_int_ge(helper.pid, 0);
	if (helper.pid == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		dup2(errors[1], STDERR_FILENO);
		close(helper.stream[strcmp(args[1], "--restore-domain") == 0]);
		execv(path, (char *const *)(uintptr_t)args);
		_exit(126);
	}
	close(in[0]);
	close(out[1]);
	close(errors[1]);
	helper.errors = errors[0];
	helper.to = in[1];
	helper.from = out[0];
}

static void open_stream(void)
{
	memset(&helper, 0, sizeof(helper));
	ck_assert_int_eq(pipe(helper.stream), 0);
	signal(SIGPIPE, SIG_IGN);
}

static void start_save(enum fake_domid domid, unsigned cbflags)
{
	char io[16], dom[16], flags[16];

	open_stream();
	snprintf(io, sizeof(io), "%d", helper.stream[1]);
	snprintf(dom, sizeof(dom), "%d", (int)domid);
	snprintf(flags, sizeof(flags), "%u", cbflags);
	start(fake_path,
	      (const char *[]){"helper", "--save-domain", io, "-1", dom, "3", flags, "0", NULL});
	close(helper.stream[1]);
}

static void start_restore(enum fake_domid domid, unsigned cbflags)
{
	char io[16], dom[16], flags[16];

	open_stream();
	snprintf(io, sizeof(io), "%d", helper.stream[0]);
	snprintf(dom, sizeof(dom), "%d", (int)domid);
	snprintf(flags, sizeof(flags), "%u", cbflags);
	start(fake_path, (const char *[]){"helper", "--restore-domain", io, "-1", dom, "11", "12",
					  "13", "14", flags, "2", NULL});
	close(helper.stream[0]);
}

/* Exactly n octets, or fewer at the end of file. */
static size_t take(void *buf, size_t n)
{
	size_t have = 0;

	while (have < n) {
		struct pollfd pfd = {.fd = helper.from, .events = POLLIN};
		ssize_t got;

		ck_assert_msg(poll(&pfd, 1, PATIENCE) == 1, "the helper is silent");
		got = read(helper.from, (char *)buf + have, n - have);
		ck_assert_int_ge(got, 0);
		if (got == 0)
			break;
		have += (size_t)got;
	}
	return have;
}

/* The text of the log message in body: after its number, level, errno and context. */
static void hear_log(const char *body)
{
	uint32_t context, text;
	size_t len = strlen(helper.heard);

	memcpy(&context, body + 10, sizeof(context));
	memcpy(&text, body + 14 + context, sizeof(text));
	snprintf(helper.heard + len, sizeof(helper.heard) - len, "%s: %s\n", body + 14,
		 body + 18 + context);
}

/*
 * The next message that is neither log nor progress, which are kept. Its arguments go to args.
 * Returns its number, 0 at the end of file.
 */
static int next_message(uint32_t args[4])
{
	static char body[65536];
	uint16_t length, number;

	for (;;) {
		if (take(&length, sizeof(length)) == 0)
			return 0;
		ck_assert_uint_eq(take(body, length), length);
		memcpy(&number, body, sizeof(number));
		if (number == LOG) {
			hear_log(body);
		} else if (number == PROGRESS) {
			helper.progress++;
		} else {
			ck_assert_uint_le(length, 2 + 4 * sizeof(uint32_t));
			memset(args, 0, 4 * sizeof(uint32_t));
			memcpy(args, body + 2, length - 2u);
			return number;
		}
	}
}

static void reply(int value)
{
	ck_assert_int_eq(write(helper.to, &value, sizeof(value)), sizeof(value));
}

/* The next message has this number and is answered. */
static void expect_and_reply(int number, int value)
{
	uint32_t args[4];

	ck_assert_int_eq(next_message(args), number);
	reply(value);
}

static void expect_results(uint64_t store, uint64_t console)
{
	uint32_t args[4];
	uint64_t gfns[2];

	ck_assert_int_eq(next_message(args), RESULTS);
	memcpy(gfns, args, sizeof(gfns));
	ck_assert_uint_eq(gfns[0], store);
	ck_assert_uint_eq(gfns[1], console);
}

static void expect_complete(int retval, int errnoval)
{
	uint32_t args[4];

	ck_assert_int_eq(next_message(args), COMPLETE);
	ck_assert_int_eq((int)args[0], retval);
	ck_assert_int_eq((int)args[1], errnoval);
}

static int exit_status(void)
{
	int status;

	ck_assert_int_eq(waitpid(helper.pid, &status, 0), helper.pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void heard(const char *text)
{
	ck_assert_msg(strstr(helper.heard, text) != NULL, "not heard: %s\nbut: %s", text,
		      helper.heard);
}

/* ---- callbacks ------------------------------------------------------------------------------ */

START_TEST(save_asks)
{
	start_save(FAKE_CALLBACKS, 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7);
	expect_and_reply(SUSPEND, 1);
	expect_and_reply(4, -4);
	expect_and_reply(5, 55);
	expect_and_reply(6, INT32_MIN);
	expect_and_reply(7, 0);
	expect_complete(0, 0);
	reply(0);
	ck_assert_int_eq(exit_status(), 0);
	heard("xensr: xensr 0.0-fake: saving domain 1\n");
	heard("xensr: live=1 verify=1 type=0 recv=-1\n");
	heard("suspend=1\n");
	heard("postcopy=-4\n");
	heard(" checkpoint=55\n");
	heard("wait_checkpoint=-2147483648\n");
	heard("switch_qemu_logdirty=0\n");
	/* libxenctrl's own messages come the same way, under their own name. */
	heard("xc: opened 1\n");
	ck_assert_uint_eq(helper.progress, 1);
}
END_TEST

START_TEST(restore_asks)
{
	start_restore(FAKE_CALLBACKS, 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 8 | 1u << 9);
	expect_and_reply(8, 0);
	expect_and_reply(SUSPEND, 2);
	expect_and_reply(4, 4);
	expect_and_reply(5, 5);
	expect_and_reply(6, 6);
	expect_results(1, 2);
	expect_results(0xfeffc, 0xfefff);
	expect_complete(0, 0);
	reply(0);
	ck_assert_int_eq(exit_status(), 0);
	heard("xensr 0.0-fake: restoring domain 1\n");
	heard("store=11,12 console=13,14 type=2 back=-1\n");
	heard("static_data_done=0\n");
}
END_TEST

/* What libxl does not offer, the engine must not see. */
START_TEST(nothing_offered)
{
	if (_i == 0)
		start_save(FAKE_CALLBACKS, 0);
	else
		start_restore(FAKE_CALLBACKS, 0);
	if (_i == 1)
		expect_results(0xfeffc, 0xfefff);
	expect_complete(0, 0);
	reply(0);
	ck_assert_int_eq(exit_status(), 0);
	heard("suspend absent\n");
	heard("postcopy absent\n");
	heard(" checkpoint absent\n");
	heard("wait_checkpoint absent\n");
	heard(_i == 0 ? "switch_qemu_logdirty absent\n" : "static_data_done absent\n");
}
END_TEST

/* ---- endings -------------------------------------------------------------------------------- */

START_TEST(failure_is_reported)
{
	if (_i == 0) {
		start_save(FAKE_FAILS, 0);
		expect_complete(-1, ENOTSUP);
	} else {
		start_restore(FAKE_FAILS, 0);
		expect_results(0, 0);
		expect_complete(-1, EBADMSG);
	}
	reply(0);
	ck_assert_int_eq(exit_status(), 0);
	heard(_i == 0 ? "xensr: not today\n" : "xensr: damaged\n");
}
END_TEST

START_TEST(stdout_is_the_protocol_only)
{
	uint32_t args[4];

	start_save(FAKE_NOISE, 0);
	expect_complete(0, 0);
	reply(0);
	ck_assert_int_eq(next_message(args), 0);
	ck_assert_int_eq(exit_status(), 0);
}
END_TEST

START_TEST(waits_for_the_last_reply)
{
	start_save(FAKE_FAILS, 0);
	expect_complete(-1, ENOTSUP);
	ck_assert_int_eq(waitpid(helper.pid, NULL, WNOHANG), 0);
	close(helper.to);
	ck_assert_int_gt(exit_status(), 0);
}
END_TEST

/* ---- SIGTERM -------------------------------------------------------------------------------- */

/* It has said its first word, so it is no longer this test's image with check's handlers. */
static void wait_until_up(void)
{
	struct pollfd pfd = {.fd = helper.from, .events = POLLIN};

	ck_assert_int_eq(poll(&pfd, 1, PATIENCE), 1);
}

/* It has begun to write; nobody reads, so it blocks or is about to. */
static void wait_until_writing(void)
{
	struct pollfd pfd = {.fd = helper.stream[0], .events = POLLIN};

	ck_assert_int_eq(poll(&pfd, 1, PATIENCE), 1);
}

START_TEST(terminated_while_writing)
{
	start_save(FAKE_STREAMS, 0);
	wait_until_writing();
	kill(helper.pid, SIGTERM);
	expect_complete(-1, ECANCELED);
	reply(0);
	ck_assert_int_eq(exit_status(), 0);
	heard("xensr: the stream stopped\n");
	heard("xensr: the save of domain 4 was cancelled (SIGTERM)\n");
}
END_TEST

START_TEST(terminated_while_asking)
{
	uint32_t args[4];

	start_save(FAKE_SUSPENDS, 1u << SUSPEND);
	ck_assert_int_eq(next_message(args), SUSPEND);
	kill(helper.pid, SIGTERM);
	expect_complete(-1, ECANCELED);
	reply(1); /* to the suspend, which libxl went on with */
	ck_assert_int_eq(waitpid(helper.pid, NULL, WNOHANG), 0);
	reply(0);
	ck_assert_int_eq(exit_status(), 0);
	heard("xensr: not suspended\n");
	heard("cancelled (SIGTERM)\n");
}
END_TEST

START_TEST(terminated_restore_dies)
{
	start_restore(FAKE_STREAMS, 0);
	wait_until_up();
	kill(helper.pid, SIGTERM);
	ck_assert_int_eq(exit_status(), -SIGTERM);
}
END_TEST

/* ---- libxl vanishes --------------------------------------------------------------------------- */

static void vanish(void)
{
	close(helper.to);
	close(helper.from);
}

START_TEST(vanished_while_asking)
{
	uint32_t args[4];

	start_save(FAKE_SUSPENDS, 1u << SUSPEND);
	ck_assert_int_eq(next_message(args), SUSPEND);
	vanish();
	ck_assert_int_gt(exit_status(), 0);
}
END_TEST

/* Blocked on a stream that nobody moves: the other end stays open. */
START_TEST(vanished_while_streaming)
{
	if (_i == 0) {
		start_save(FAKE_STREAMS, 0);
		wait_until_writing();
	} else {
		start_restore(FAKE_STREAMS, 0);
		wait_until_up();
	}
	vanish();
	ck_assert_int_gt(exit_status(), 0);
}
END_TEST

START_TEST(vanished_while_reporting)
{
	char octet;

	start_save(FAKE_REPORTS, 0);
	ck_assert_int_eq(read(helper.stream[0], &octet, 1), 1);
	vanish();
	ck_assert_int_gt(exit_status(), 0);
}
END_TEST

/* ---- command lines ---------------------------------------------------------------------------- */

/* %d stands for a descriptor that is open. */
static const struct {
	const char *line, *reason;
} bad_lines[] = {
	{"", "wrong arguments"},
	{"--save-domain", "wrong arguments"},
	{"--help", "wrong arguments"},
	{"--save-domain %d -1 1 0 8", "wrong arguments"},
	{"--save-domain %d -1 1 0 8 0 0", "wrong arguments"},
	{"--restore-domain %d -1 1 2 0 3 0 0", "wrong arguments"},
	{"--save-domain x -1 1 0 8 0", "an argument is no number or out of range"},
	{"--save-domain 99 -1 1 0 8 0", "a file descriptor is not open"},
	{"--save-domain 0 -1 1 0 8 0", "a file descriptor is not open"},
	{"--save-domain -1 -1 1 0 8 0", "a file descriptor is not open"},
	{"--save-domain %d 98 1 0 8 0", "a file descriptor is not open"},
	{"--save-domain %d -1 1x 0 8 0", "an argument is no number or out of range"},
	{"--save-domain %d -1 0x1 0 8 0", "an argument is no number or out of range"},
	{"--save-domain %d -1 -1 0 8 0", "no such domain id"},
	{"--save-domain %d -1 32752 0 8 0", "no such domain id"},
	{"--save-domain %d -1 99999999999999999999 0 8 0",
	 "an argument is no number or out of range"},
	{"--save-domain %d -1 1 4 8 0", "the flags have an unknown bit"},
	{"--save-domain %d -1 1 -1 8 0", "the flags have an unknown bit"},
	{"--save-domain %d -1 1 0 -1 0", "the callback flags are out of range"},
	{"--save-domain %d -1 1 0 4294967296 0", "an argument is no number or out of range"},
	{"--save-domain %d -1 1 0 8 3", "the stream type is unknown"},
	{"--save-domain %d -1 1 0 8 -1", "the stream type is unknown"},
	{"--restore-domain %d -1 1 -1 0 3 0 0 0", "an event channel or backend is out of range"},
	{"--restore-domain %d -1 1 2 0 3 -1 0 0", "an event channel or backend is out of range"},
	{"--restore-domain %d -1 1 2 0 3 0 0 9", "the stream type is unknown"},
};

START_TEST(bad_command_line)
{
	const char *args[16] = {"helper", ""};
	char line[128], said[1024];
	uint32_t ignored[4];
	size_t n = 1;
	ssize_t len;

	open_stream();
	snprintf(line, sizeof(line), bad_lines[_i].line,
		 helper.stream[strncmp(bad_lines[_i].line, "--restore", 9) != 0]);
	for (char *word = strtok(line, " "); word; word = strtok(NULL, " "))
		args[n++] = word;
	start(fake_path, args);
	ck_assert_int_eq(next_message(ignored), 0); /* nothing on stdout */
	ck_assert_int_eq(exit_status(), 2);
	len = read(helper.errors, said, sizeof(said) - 1);
	ck_assert_int_gt(len, 0);
	said[len] = '\0';
	ck_assert_msg(strstr(said, bad_lines[_i].reason) != NULL, "said: %s", said);
}
END_TEST

/* ---- the real helper, where there is no Xen ----------------------------------------------------- */

START_TEST(no_hypervisor)
{
	const char *path = getenv("XENSR_HELPER");
	char io[16];

	ck_assert_msg(path != NULL, "XENSR_HELPER is not set");
	if (access("/dev/xen/privcmd", F_OK) == 0 || access("/proc/xen/privcmd", F_OK) == 0)
		return; /* on a Xen host: the dom0 rig's business */
	open_stream();
	snprintf(io, sizeof(io), "%d", helper.stream[1]);
	start(path,
	      (const char *[]){"helper", "--save-domain", io, "-1", "1", "0", "8", "0", NULL});
	expect_complete(-1, ENOENT);
	reply(0);
	ck_assert_int_eq(exit_status(), 0);
	heard(": cannot talk to the hypervisor: No such file or directory\n");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("helper process");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, save_asks);
	tcase_add_test(tc, restore_asks);
	tcase_add_loop_test(tc, nothing_offered, 0, 2);
	tcase_add_loop_test(tc, failure_is_reported, 0, 2);
	tcase_add_test(tc, stdout_is_the_protocol_only);
	tcase_add_test(tc, waits_for_the_last_reply);
	tcase_add_loop_test(tc, terminated_while_writing, 0, 20);
	tcase_add_loop_test(tc, terminated_while_asking, 0, 20);
	tcase_add_test(tc, terminated_restore_dies);
	tcase_add_test(tc, vanished_while_asking);
	tcase_add_loop_test(tc, vanished_while_streaming, 0, 2);
	tcase_add_test(tc, vanished_while_reporting);
	tcase_add_loop_test(tc, bad_command_line, 0, sizeof(bad_lines) / sizeof(bad_lines[0]));
	tcase_add_test(tc, no_hypervisor);
	return unit_main(suite, tc);
}
