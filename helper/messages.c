/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "messages.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Of the body; the limit is its u16 length. */
#define BODY_MAX UINT16_MAX

/* Of one string in a message, its NUL counted: two of them and the numbers fit a body. */
#define STRING_MAX 30000u

struct message {
	size_t len; /* of the body */
	uint8_t octets[sizeof(uint16_t) + BODY_MAX];
};

/* ---- encoding: callers keep within STRING_MAX, so that no message can overflow ------------ */

static void put(struct message *msg, const void *value, size_t octets)
{
	memcpy(msg->octets + sizeof(uint16_t) + msg->len, value, octets);
	msg->len += octets;
}

static void put_u32(struct message *msg, uint32_t value)
{
	put(msg, &value, sizeof(value));
}

static void put_u64(struct message *msg, uint64_t value)
{
	put(msg, &value, sizeof(value));
}

static void put_string(struct message *msg, const char *text)
{
	uint32_t len = (uint32_t)strnlen(text, STRING_MAX - 1);

	put_u32(msg, len + 1);
	put(msg, text, len);
	put(msg, "", 1);
}

static void begin(struct message *msg, enum message_number number)
{
	uint16_t wire = (uint16_t)number;

	msg->len = 0;
	put(msg, &wire, sizeof(wire));
}

/* ---- moving octets ----------------------------------------------------------------------- */

static int fail_broken(struct messages *m, int errnum)
{
	m->broken = true;
	errno = errnum;
	return -1;
}

static bool is_cancelled(const struct messages *m)
{
	return m->cancelled && *m->cancelled;
}

/* Whole or not at all: a message that was begun is finished even when cancelled meanwhile. */
static int send_message(struct messages *m, struct message *msg)
{
	uint16_t length = (uint16_t)msg->len;
	size_t left = sizeof(length) + msg->len;
	const uint8_t *at = msg->octets;

	if (m->broken) {
		errno = EPIPE;
		return -1;
	}
	memcpy(msg->octets, &length, sizeof(length));
	while (left) {
		ssize_t put_now = write(m->out_fd, at, left);

		if (put_now < 0 && errno == EINTR)
			continue;
		if (put_now < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			struct pollfd pfd = {.fd = m->out_fd, .events = POLLOUT};

			poll(&pfd, 1, -1);
			continue;
		}
		if (put_now <= 0)
			return fail_broken(m, put_now < 0 ? errno : EPIPE);
		at += put_now;
		left -= (size_t)put_now;
	}
	return 0;
}

/*
 * Wait until in_fd has something (or its end). The cancelling signal is only let in while ppoll
 * sleeps, so it cannot slip in between the look at the flag and the sleep.
 */
static int wait_readable(struct messages *m)
{
	struct pollfd pfd = {.fd = m->in_fd, .events = POLLIN};
	sigset_t block, before;
	int ready = 0, errnum = 0;

	sigemptyset(&block);
	if (m->cancelled)
		sigaddset(&block, m->cancel_signal);
	if (sigprocmask(SIG_BLOCK, &block, &before))
		return fail_broken(m, errno);
	while (ready == 0 && !errnum) {
		const struct timespec patience = {.tv_sec = m->patience_seconds};
		bool last = is_cancelled(m);

		ready = ppoll(&pfd, 1, last ? &patience : NULL, &before);
		if (ready < 0 && errno == EINTR)
			ready = 0;
		else if (ready < 0)
			errnum = errno;
		else if (ready == 0 && last)
			break;
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (errnum)
		return fail_broken(m, errnum);
	if (ready > 0)
		return 0;
	errno = ECANCELED;
	return -1;
}

static int read_reply(struct messages *m, int *reply)
{
	uint8_t octets[sizeof(*reply)];
	size_t have = 0;

	while (have < sizeof(octets)) {
		ssize_t got;

		if (wait_readable(m))
			return -1;
		got = read(m->in_fd, octets + have, sizeof(octets) - have);
		if (got < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
			continue;
		if (got <= 0) /* end of file: libxl is gone */
			return fail_broken(m, got < 0 ? errno : EPIPE);
		have += (size_t)got;
	}
	memcpy(reply, octets, sizeof(octets));
	return 0;
}

/* ---- messages ---------------------------------------------------------------------------- */

int messages_log(struct messages *m, uint32_t level, uint32_t errnum, const char *context,
		 const char *text)
{
	struct message msg;

	begin(&msg, MSG_LOG);
	put_u32(&msg, level);
	put_u32(&msg, errnum);
	put_string(&msg, context);
	put_string(&msg, text);
	return send_message(m, &msg);
}

int messages_progress(struct messages *m, const char *context, const char *what, uint64_t done,
		      uint64_t total)
{
	struct message msg;

	begin(&msg, MSG_PROGRESS);
	put_string(&msg, context);
	put_string(&msg, what);
	put_u64(&msg, done);
	put_u64(&msg, total);
	return send_message(m, &msg);
}

int messages_restore_results(struct messages *m, uint64_t store_gfn, uint64_t console_gfn)
{
	struct message msg;

	begin(&msg, MSG_RESTORE_RESULTS);
	put_u64(&msg, store_gfn);
	put_u64(&msg, console_gfn);
	return send_message(m, &msg);
}

int messages_ask(struct messages *m, enum message_number number, const uint32_t *args, size_t n,
		 int *reply)
{
	struct message msg;

	begin(&msg, number);
	for (size_t i = 0; i < n; i++)
		put_u32(&msg, args[i]);
	if (send_message(m, &msg))
		return -1;
	m->owed++;
	while (m->owed) {
		if (read_reply(m, reply))
			return -1;
		m->owed--;
	}
	return 0;
}
