/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libxl-save-helper: what libxl runs instead of calling a save/restore engine in its own
 * process (spec 3). Turns libxl's command line and messages into one call of libxensr.
 *
 *   start -> hello -> xensr_save ----------------------> complete -> exit
 *                 `-> xensr_restore -> restore_results -'
 *
 * Nothing but messages may ever reach libxl's pipe, so the pipe is moved away from fd 1 before
 * any library is called.
 *
 * Stopping early: SIGTERM during a save, or libxl gone at any time, makes the stream's
 * descriptor useless (stop_stream) and every callback fail at once, so that the engine leaves
 * by its own error path and tidies up. SIGTERM during a restore just kills. That libxl is gone
 * is seen at the next message, or by SIGIO from its pipe while blocked on the stream.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenguest.h>
#include <xensr.h>
#include <xentoollog.h>

#include "messages.h"

static const char context[] = "xensr";

/* After SIGTERM, for libxl's last word. */
#define PATIENCE_SECONDS 5

/* ---- stopping ------------------------------------------------------------------------------ */

/* Read by the signal handler, so they are globals. */
static volatile sig_atomic_t cancelled;
static int null_fd = -1; /* /dev/null: to be read by a save, to be written by a restore */
static int stream_fd = -1;
static int back_channel_fd = -1; /* COLO's */
static int parent_fd = -1;       /* the pipe on which libxl answers */

/*
 * The next or current write of a save fails, and the next or current read of a restore: with EBADF,
 * which is not taken for the other side's death. So does COLO's back channel, which goes the other
 * way, at its end.
 */
static void stop_stream(void)
{
	if (null_fd < 0)
		return;
	if (stream_fd >= 0)
		dup2(null_fd, stream_fd);
	if (back_channel_fd >= 0)
		dup2(null_fd, back_channel_fd);
}

static void on_sigterm(int signum)
{
	int errnum = errno;

	(void)signum;
	cancelled = 1;
	stop_stream();
	errno = errnum;
}

/* libxl's pipe changed: an answer is for whoever waits for it, a hang-up is for us. */
static void on_sigio(int signum)
{
	struct pollfd pfd = {.fd = parent_fd};
	int errnum = errno;

	(void)signum;
	if (poll(&pfd, 1, 0) == 1 && pfd.revents & (POLLHUP | POLLERR))
		stop_stream();
	errno = errnum;
}

/* ---- reports to libxl ---------------------------------------------------------------------- */

struct helper {
	xentoollog_logger logger; /* first: libxenctrl's messages come through it */
	struct messages messages;
	uint32_t domid;
	bool saving;
	struct xensr_restore_results results;
};

static void report_log(void *data, enum xensr_level level, int errnum, const char *text)
{
	struct helper *helper = data;

	/* The text says it all; with an errno value xl would say the reason a second time. */
	(void)errnum;
	if (messages_log(&helper->messages, level, UINT32_MAX, context, text))
		stop_stream();
}

static void report_progress(void *data, const char *what, uint64_t done, uint64_t total)
{
	struct helper *helper = data;

	if (messages_progress(&helper->messages, context, what, done, total))
		stop_stream();
}

static void logger_vmessage(xentoollog_logger *logger, xentoollog_level level, int errnoval,
			    const char *from, const char *format, va_list args)
	__attribute__((format(printf, 5, 0)));

static void logger_vmessage(xentoollog_logger *logger, xentoollog_level level, int errnoval,
			    const char *from, const char *format, va_list args)
{
	struct helper *helper = (struct helper *)logger;
	char text[1024];

	vsnprintf(text, sizeof(text), format, args);
	if (messages_log(&helper->messages, level, (uint32_t)errnoval, from ? from : context, text))
		stop_stream();
}

static void logger_progress(xentoollog_logger *logger, const char *from, const char *what,
			    int percent, unsigned long done, unsigned long total)
{
	(void)from;
	(void)percent;
	report_progress(logger, what, done, total);
}

static void logger_destroy(xentoollog_logger *logger)
{
	(void)logger;
}

static void say(struct helper *helper, enum xensr_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void say(struct helper *helper, enum xensr_level level, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	report_log(helper, level, -1, text);
}

/* ---- callbacks: asked of libxl ------------------------------------------------------------- */

/* libxl's answer, or `failed` if there is none. */
static int ask(struct helper *helper, enum message_number number, const uint32_t *args, size_t n,
	       int failed)
{
	int reply;

	if (messages_ask(&helper->messages, number, args, n, &reply)) {
		stop_stream();
		return failed;
	}
	return reply;
}

static int ask_suspend(void *data)
{
	return ask(data, MSG_SUSPEND, NULL, 0, 0);
}

static int ask_postcopy(void *data)
{
	return ask(data, MSG_POSTCOPY, NULL, 0, 0);
}

static int ask_checkpoint(void *data)
{
	return ask(data, MSG_CHECKPOINT, NULL, 0, 0);
}

static int ask_wait_checkpoint(void *data)
{
	return ask(data, MSG_WAIT_CHECKPOINT, NULL, 0, 0);
}

static int ask_switch_qemu_logdirty(uint32_t domid, unsigned enable, void *data)
{
	const uint32_t args[] = {domid, enable};

	return ask(data, MSG_SWITCH_QEMU_LOGDIRTY, args, 2, -1);
}

static int ask_static_data_done(unsigned missing, void *data)
{
	const uint32_t args[] = {missing};

	return ask(data, MSG_STATIC_DATA_DONE, args, 1, -1);
}

static void tell_restore_results(uint64_t store_gfn, uint64_t console_gfn, void *data)
{
	struct helper *helper = data;

	if (messages_restore_results(&helper->messages, store_gfn, console_gfn))
		stop_stream();
}

/* Bit N of cbflags: libxl offers the callback with message number N. */
static bool offered(uint32_t cbflags, enum message_number number)
{
	return cbflags >> number & 1;
}

/* ---- command line -------------------------------------------------------------------------- */

static int usage(const char *why)
{
	fprintf(stderr,
		"libxl-save-helper (xensr %s): %s\n"
		"This program is run by libxl, not by hand:\n"
		"  --save-domain IO_FD RECV_FD DOMID FLAGS CBFLAGS STREAM_TYPE\n"
		"  --restore-domain IO_FD SEND_BACK_FD DOMID STORE_EVTCHN STORE_DOMID\n"
		"                   CONSOLE_EVTCHN CONSOLE_DOMID CBFLAGS STREAM_TYPE\n",
		xensr_version(), why);
	return -1;
}

/* A decimal number from least to most, nothing else. */
static int parse_number(const char *text, int64_t least, int64_t most, int64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoll(text, &end, 10);
	if (errno || end == text || *end || *value < least || *value > most)
		return usage("an argument is no number or out of range");
	return 0;
}

static int parse_numbers(char **argv, size_t n, int64_t *values)
{
	for (size_t i = 0; i < n; i++) {
		if (parse_number(argv[i], -1, UINT32_MAX, &values[i]))
			return -1;
	}
	return 0;
}

/* Is it a descriptor we were given? -1 means none, where that is allowed. */
static int check_fd(int64_t fd, bool may_be_none)
{
	if (fd == -1 && may_be_none)
		return 0;
	if (fd < 3 || fd > INT32_MAX || fcntl((int)fd, F_GETFD) < 0)
		return usage("a file descriptor is not open");
	return 0;
}

static int check_common(int64_t io_fd, int64_t back_fd, int64_t domid, int64_t cbflags,
			int64_t stream_type)
{
	if (check_fd(io_fd, false) || check_fd(back_fd, true))
		return -1;
	if (domid < 0 || domid >= DOMID_FIRST_RESERVED)
		return usage("no such domain id");
	if (cbflags < 0)
		return usage("the callback flags are out of range");
	if (stream_type < XENSR_STREAM_PLAIN || stream_type > XENSR_STREAM_COLO)
		return usage("the stream type is unknown");
	return 0;
}

enum {
	SAVE_ARGS = 6,
	RESTORE_ARGS = 9
};

static int parse_save(struct helper *helper, char **argv, struct xensr_save_params *params)
{
	int64_t v[SAVE_ARGS];
	uint32_t cbflags;

	if (parse_numbers(argv, SAVE_ARGS, v) || check_common(v[0], v[1], v[2], v[4], v[5]))
		return -1;
	if (v[3] < 0 || v[3] & ~(int64_t)(XCFLAGS_LIVE | XCFLAGS_DEBUG))
		return usage("the flags have an unknown bit");
	cbflags = (uint32_t)v[4];

	params->io_fd = (int)v[0];
	params->recv_fd = (int)v[1];
	params->domid = (uint32_t)v[2];
	params->live = v[3] & XCFLAGS_LIVE;
	params->verify = v[3] & XCFLAGS_DEBUG;
	params->stream_type = (enum xensr_stream_type)v[5];
	params->callbacks.data = helper;
	if (offered(cbflags, MSG_SUSPEND))
		params->callbacks.suspend = ask_suspend;
	if (offered(cbflags, MSG_POSTCOPY))
		params->callbacks.postcopy = ask_postcopy;
	if (offered(cbflags, MSG_CHECKPOINT))
		params->callbacks.checkpoint = ask_checkpoint;
	if (offered(cbflags, MSG_WAIT_CHECKPOINT))
		params->callbacks.wait_checkpoint = ask_wait_checkpoint;
	if (offered(cbflags, MSG_SWITCH_QEMU_LOGDIRTY))
		params->callbacks.switch_qemu_logdirty = ask_switch_qemu_logdirty;
	return 0;
}

static int parse_restore(struct helper *helper, char **argv, struct xensr_restore_params *params)
{
	int64_t v[RESTORE_ARGS];
	uint32_t cbflags;

	if (parse_numbers(argv, RESTORE_ARGS, v) || check_common(v[0], v[1], v[2], v[7], v[8]))
		return -1;
	for (size_t i = 3; i < 7; i++) {
		if (v[i] < 0)
			return usage("an event channel or backend is out of range");
	}
	cbflags = (uint32_t)v[7];

	params->io_fd = (int)v[0];
	params->send_back_fd = (int)v[1];
	params->domid = (uint32_t)v[2];
	params->store_evtchn = (uint32_t)v[3];
	params->store_domid = (uint32_t)v[4];
	params->console_evtchn = (uint32_t)v[5];
	params->console_domid = (uint32_t)v[6];
	params->stream_type = (enum xensr_stream_type)v[8];
	params->callbacks.data = helper;
	if (offered(cbflags, MSG_SUSPEND))
		params->callbacks.suspend = ask_suspend;
	if (offered(cbflags, MSG_POSTCOPY))
		params->callbacks.postcopy = ask_postcopy;
	if (offered(cbflags, MSG_CHECKPOINT))
		params->callbacks.checkpoint = ask_checkpoint;
	if (offered(cbflags, MSG_WAIT_CHECKPOINT))
		params->callbacks.wait_checkpoint = ask_wait_checkpoint;
	if (offered(cbflags, MSG_STATIC_DATA_DONE))
		params->callbacks.static_data_done = ask_static_data_done;
	if (offered(cbflags, MSG_RESTORE_RESULTS))
		params->callbacks.restore_results = tell_restore_results;
	return 0;
}

/* ---- environment --------------------------------------------------------------------------- */

/*
 * What xl has no words for. A value that makes no sense is an error: who sets one relies on it.
 * Returns 0 and leaves *value alone if the variable is not set.
 */
static int environment_number(const char *name, int64_t most, int64_t *value)
{
	const char *text = getenv(name);

	if (!text || !*text)
		return 0;
	if (parse_number(text, 0, most, value) == 0)
		return 0;
	fprintf(stderr, "libxl-save-helper: %s=%s\n", name, text);
	return -1;
}

/* One of two words; the first is the default. */
static int environment_choice(const char *name, const char *usual, const char *other, bool *chosen)
{
	const char *text = getenv(name);

	*chosen = text && strcmp(text, other) == 0;
	if (!text || !*text || *chosen || strcmp(text, usual) == 0)
		return 0;
	fprintf(stderr, "libxl-save-helper: %s=%s, which is neither %s nor %s\n", name, text, usual,
		other);
	return -1;
}

static int environment_for_save(struct xensr_save_params *params)
{
	int64_t iterations = 0, target = 0, busy = 0, checksum = 0;
	bool stock;

	if (environment_number("XENSR_MAX_ITERATIONS", INT32_MAX, &iterations) ||
	    environment_number("XENSR_DOWNTIME_TARGET_MS", INT32_MAX, &target) ||
	    environment_number("XENSR_ABORT_IF_BUSY", 1, &busy) ||
	    environment_number("XENSR_CHECKSUM", 1, &checksum) ||
	    environment_choice("XENSR_PRECOPY", "target", "stock", &stock))
		return -1;
	params->max_iterations = (unsigned)iterations;
	params->downtime_target_ms = (unsigned)target;
	params->abort_if_busy = busy;
	/* Set for all that xl does, it must not be what makes replication fail. */
	params->checksum = checksum && params->stream_type == XENSR_STREAM_PLAIN;
	params->precopy = stock ? XENSR_PRECOPY_STOCK : XENSR_PRECOPY_TARGET;
	return 0;
}

static int environment_for_restore(struct xensr_restore_params *params)
{
	int64_t limit = 0;

	if (environment_number("XENSR_CHECKPOINT_LIMIT_MIB", INT64_MAX >> 20, &limit) ||
	    environment_choice("XENSR_VERIFY", "fail", "warn", &params->tolerate_differences))
		return -1;
	params->checkpoint_limit = (uint64_t)limit << 20;
	return 0;
}

/* ---- the run ------------------------------------------------------------------------------- */

/* Take the pipes to libxl away from fds 0 and 1, which any library may print to. */
static int take_pipes(struct helper *helper)
{
	helper->messages.in_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	helper->messages.out_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	null_fd = open("/dev/null", (helper->saving ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
	if (helper->messages.in_fd < 0 || helper->messages.out_fd < 0 || null_fd < 0 ||
	    dup2(null_fd, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
		perror("libxl-save-helper");
		return -1;
	}
	return 0;
}

/* Have SIGIO when libxl writes to or closes its end of the pipe. */
static int watch_parent(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	parent_fd = fd;
	if (flags < 0 || fcntl(fd, F_SETOWN, getpid()) < 0)
		return -1;
	return fcntl(fd, F_SETFL, flags | O_ASYNC);
}

static int catch_signals(struct helper *helper, bool saving)
{
	/* No SA_RESTART: a blocked write has to come back. */
	struct sigaction term = {.sa_handler = on_sigterm};
	struct sigaction io = {.sa_handler = on_sigio};
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	sigemptyset(&term.sa_mask);
	sigemptyset(&io.sa_mask);
	if (sigaction(SIGPIPE, &ignore, NULL) || sigaction(SIGIO, &io, NULL) ||
	    (saving && sigaction(SIGTERM, &term, NULL)) || watch_parent(helper->messages.in_fd)) {
		perror("libxl-save-helper");
		return -1;
	}
	if (saving) {
		helper->messages.cancelled = &cancelled;
		helper->messages.cancel_signal = SIGTERM;
	}
	return 0;
}

static int run_save(struct helper *helper, xc_interface *xch, struct xensr_save_params *params)
{
	say(helper, XENSR_LOG_INFO, "xensr %s: saving domain %u", xensr_version(), params->domid);
	params->xch = xch;
	params->reports = (struct xensr_reports){
		.log = report_log, .progress = report_progress, .data = helper};
	return xensr_save(params, NULL, NULL);
}

static int run_restore(struct helper *helper, xc_interface *xch,
		       struct xensr_restore_params *params)
{
	say(helper, XENSR_LOG_INFO, "xensr %s: restoring domain %u", xensr_version(),
	    params->domid);
	params->xch = xch;
	params->reports = (struct xensr_reports){
		.log = report_log, .progress = report_progress, .data = helper};
	return xensr_restore(params, &helper->results, NULL);
}

/*
 * Tell libxl how it went and wait until it knows. A restore's results come also after a failure:
 * without them libxl takes the helper for crashed and says so, instead of going by what
 * `complete` tells it. Returns the exit status: 0 if libxl knows, whatever it was told.
 */
static int complete(struct helper *helper, int rc, int errnum)
{
	uint32_t args[] = {(uint32_t)rc, (uint32_t)errnum};
	int reply;

	if (rc && cancelled) {
		say(helper, XENSR_LOG_ERROR, "the save of domain %u was cancelled (SIGTERM)",
		    helper->domid);
		args[1] = ECANCELED;
	}
	if (!helper->saving)
		tell_restore_results(helper->results.store_gfn, helper->results.console_gfn,
				     helper);
	helper->messages.patience_seconds = PATIENCE_SECONDS;
	if (messages_ask(&helper->messages, MSG_COMPLETE, args, 2, &reply))
		return EXIT_FAILURE;
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static struct helper helper = {
		.logger =
			{
				.vmessage = logger_vmessage,
				.progress = logger_progress,
				.destroy = logger_destroy,
			},
	};
	struct xensr_save_params save = XENSR_SAVE_PARAMS_INIT;
	struct xensr_restore_params restore = XENSR_RESTORE_PARAMS_INIT;
	xc_interface *xch;
	int rc, errnum;

	if (argc == 2 + SAVE_ARGS && strcmp(argv[1], "--save-domain") == 0) {
		helper.saving = true;
		rc = parse_save(&helper, argv + 2, &save) || environment_for_save(&save);
	} else if (argc == 2 + RESTORE_ARGS && strcmp(argv[1], "--restore-domain") == 0) {
		rc = parse_restore(&helper, argv + 2, &restore) ||
		     environment_for_restore(&restore);
	} else {
		usage("wrong arguments");
		return 2;
	}
	if (rc)
		return 2;
	helper.domid = helper.saving ? save.domid : restore.domid;
	stream_fd = helper.saving ? save.io_fd : restore.io_fd;
	back_channel_fd = helper.saving ? save.recv_fd : restore.send_back_fd;
	if (take_pipes(&helper) || catch_signals(&helper, helper.saving))
		return EXIT_FAILURE;

	xch = xc_interface_open(&helper.logger, &helper.logger, 0);
	if (xch) {
		rc = helper.saving ? run_save(&helper, xch, &save)
				   : run_restore(&helper, xch, &restore);
		errnum = rc ? errno : 0;
		xc_interface_close(xch);
	} else {
		rc = -1;
		errnum = errno ? errno : EIO;
		say(&helper, XENSR_LOG_ERROR, "xensr %s: cannot talk to the hypervisor: %s",
		    xensr_version(), strerror(errnum));
	}
	return complete(&helper, rc, errnum);
}
