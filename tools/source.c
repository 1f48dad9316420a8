/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checksum.h"
#include "format.h"
#include "pages.h"

/*
 * What one read fetches ahead: the headers and entries of a usual PAGE_DATA record, and nothing of
 * its pages, which had better not be copied. Without splicing it takes more.
 */
#define FETCH_FEW                                                            \
	(sizeof(struct wire_record_header) + sizeof(struct wire_page_data) + \
	 PAGES_BATCH * sizeof(uint64_t))
#define FETCH_MANY  (1u << 20)
#define BUFFER_SIZE FETCH_MANY

/* The most the kernel moves in one call, so that progress shows and sizes fit. */
#define MOVE_MOST (64u << 20)

static const struct xensr_reports no_reports;

int source_open(struct source *source, const char *path, enum source_skip skip)
{
	bool standard = !strcmp(path, "-");
	struct stat st;

	*source = (struct source){
		.octets = UINT64_MAX,
		.skip = skip,
		.tee_fd = -1,
		.null_fd = -1,
	};
	ctx_init(&source->ctx, -1, &no_reports);
	source->ctx.io_fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	if (source->ctx.io_fd < 0)
		return ctx_fail_errno(&source->ctx, errno, "cannot open it");
	if (fstat(source->ctx.io_fd, &st))
		return ctx_fail_errno(&source->ctx, errno, "cannot ask about it");
	if (S_ISDIR(st.st_mode))
		return ctx_fail_errno(&source->ctx, EISDIR, "cannot read it");
	if (S_ISREG(st.st_mode) && !standard) {
		source->seekable = true;
		source->octets = (uint64_t)st.st_size;
	}
	source->buffer = malloc(BUFFER_SIZE);
	if (!source->buffer)
		return ctx_fail_errno(&source->ctx, ENOMEM, "no room for a buffer");
	if (skip == SKIP_READ || !source->seekable)
		source->null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	return 0;
}

void source_close(struct source *source)
{
	free(source->buffer);
	source->buffer = NULL;
	if (source->null_fd >= 0)
		close(source->null_fd);
	source->null_fd = -1;
	if (source->ctx.io_fd > STDIN_FILENO)
		close(source->ctx.io_fd);
	source->ctx.io_fd = -1;
}

void source_tee(struct source *source, int fd)
{
	source->tee_fd = fd;
}

/* After a call that failed: 0 if it is to be made again. */
static int retry(int fd, short events)
{
	struct pollfd pfd = {.fd = fd, .events = events};

	if (errno == EINTR)
		return 0;
	if (errno != EAGAIN && errno != EWOULDBLOCK)
		return -1;
	return poll(&pfd, 1, -1) < 0 && errno != EINTR ? -1 : 0;
}

static int fail_read(struct source *source)
{
	return ctx_fail_errno(&source->ctx, errno, "cannot read at offset %" PRIu64,
			      source->fetched);
}

static int fail_tee(struct source *source)
{
	source->tee_failed = true;
	return ctx_fail_errno(&source->ctx, errno, "cannot pass on what is at offset %" PRIu64,
			      source->fetched);
}

static int fail_end(struct source *source, uint64_t missing)
{
	return ctx_fail(&source->ctx, ENODATA,
			"the input ends early, at offset %" PRIu64 ": %" PRIu64
			" more octets expected",
			source->fetched, missing);
}

static void note_moved(struct source *source, uint64_t octets)
{
	source->fetched += octets;
	if (source->moved)
		source->moved(source->moved_data, source->fetched, source->octets);
}

static int pass_on(struct source *source, const uint8_t *octets, size_t len)
{
	while (len) {
		ssize_t put = write(source->tee_fd, octets, len);

		if (put < 0) {
			if (retry(source->tee_fd, POLLOUT))
				return fail_tee(source);
			continue;
		}
		octets += put;
		len -= (size_t)put;
	}
	return 0;
}

/*
 * One read of at most len octets, as much as there is just now, passed on at once. Returns how
 * many, 0 at the end of input, or -1.
 */
static ssize_t fetch(struct source *source, void *buf, size_t len)
{
	int fd = source->ctx.io_fd;
	ssize_t got;

	if (source->at_end)
		return 0;
	do {
		got = source->seekable ? pread(fd, buf, len, (off_t)source->fetched)
				       : read(fd, buf, len);
	} while (got < 0 && retry(fd, POLLIN) == 0);
	if (got < 0)
		return fail_read(source);
	if (source->tee_fd >= 0 && pass_on(source, buf, (size_t)got))
		return -1;
	source->at_end = got == 0;
	note_moved(source, (uint64_t)got);
	return got;
}

/* Have at least `want` octets in the buffer, or all there are till the end. Returns how many. */
static int64_t fill(struct source *source, size_t want)
{
	size_t chunk = source->no_splice ? FETCH_MANY : FETCH_FEW;

	if (source->at) {
		memmove(source->buffer, source->buffer + source->at, source->have - source->at);
		source->have -= source->at;
		source->at = 0;
	}
	while (source->have < want) {
		size_t room = BUFFER_SIZE - source->have;
		ssize_t got =
			fetch(source, source->buffer + source->have, room < chunk ? room : chunk);

		if (got < 0)
			return -1;
		if (got == 0)
			break;
		source->have += (size_t)got;
	}
	return (int64_t)source->have;
}

/* Consume up to len octets of what is in the buffer. */
static size_t take(struct source *source, void *buf, uint64_t len)
{
	size_t ready = source->have - source->at;
	size_t now = len < ready ? (size_t)len : ready;

	if (buf)
		memcpy(buf, source->buffer + source->at, now);
	if (source->ctx.sum)
		checksum_add(source->ctx.sum, source->buffer + source->at, now);
	source->at += now;
	source->ctx.offset += now;
	if (source->at == source->have)
		source->at = source->have = 0;
	return now;
}

ssize_t source_read_some(struct source *source, void *buf, size_t len)
{
	size_t now = take(source, buf, len);
	ssize_t got;

	if (now || !len)
		return (ssize_t)now;
	if (len < FETCH_FEW) {
		int64_t have = fill(source, 1);

		return have <= 0 ? (ssize_t)have : (ssize_t)take(source, buf, len);
	}
	got = fetch(source, buf, len); /* nothing is in the buffer: straight to its place */
	if (got <= 0)
		return got;
	source->ctx.offset += (uint64_t)got;
	if (source->ctx.sum)
		checksum_add(source->ctx.sum, buf, (size_t)got);
	return got;
}

int source_read(struct source *source, void *buf, size_t len)
{
	uint8_t *to = buf;

	while (len) {
		ssize_t got = source_read_some(source, to, len);

		if (got <= 0)
			return got < 0 ? -1 : fail_end(source, len);
		to += got;
		len -= (size_t)got;
	}
	return 0;
}

int source_read_again(struct source *source, void *buf, size_t len, uint64_t offset)
{
	uint8_t *to = buf;

	while (len) {
		ssize_t got = pread(source->ctx.io_fd, to, len, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return ctx_fail_errno(&source->ctx, errno, "cannot read at offset %" PRIu64,
					      offset);
		if (got == 0)
			return ctx_fail(&source->ctx, EIO,
					"it has become shorter: nothing at offset %" PRIu64,
					offset);
		to += got;
		offset += (uint64_t)got;
		len -= (size_t)got;
	}
	return 0;
}

int source_peek(struct source *source, void *buf, size_t len)
{
	int64_t have = fill(source, len < SOURCE_PEEK_MOST ? len : SOURCE_PEEK_MOST);

	if (have < 0)
		return -1;
	if (len > (uint64_t)have)
		len = (size_t)have;
	memcpy(buf, source->buffer, len);
	return (int)len;
}

/*
 * Let the kernel move up to len octets from the input to the tee or to nowhere. Returns how many
 * (0: the end), -1 with the error set, or -2 if it cannot between these two.
 */
static ssize_t move(struct source *source, uint64_t len)
{
	int in = source->ctx.io_fd;
	int out = source->tee_fd >= 0 ? source->tee_fd : source->null_fd;
	size_t now = len < MOVE_MOST ? (size_t)len : MOVE_MOST;
	ssize_t got;

	for (;;) {
		if (source->seekable && source->tee_fd < 0)
			got = page_in(&source->page_in, in, out, source->fetched, source->octets,
				      len);
		else
			got = splice(in, NULL, out, NULL, now, SPLICE_F_MOVE);
		if (got >= 0)
			return got;
		if (errno == EINVAL || errno == ENOSYS || errno == EBADF)
			return -2;
		if (errno == EPIPE || errno == ENOSPC)
			return source->tee_fd >= 0 ? fail_tee(source) : fail_read(source);
		/* Which of the two would have to wait, it does not say. */
		if (errno == EAGAIN)
			return -2;
		if (errno != EINTR)
			return fail_read(source);
	}
}

/* Pass over what is not in the buffer: at most len octets in one step. As move(), never -2. */
static ssize_t pass_over(struct source *source, uint64_t len)
{
	ssize_t got;

	if (source->ctx.sum) {
		got = fetch(source, source->buffer, len < BUFFER_SIZE ? (size_t)len : BUFFER_SIZE);
		if (got > 0)
			checksum_add(source->ctx.sum, source->buffer, (size_t)got);
		return got;
	}
	if (source->skip == SKIP_SEEK && source->seekable) {
		uint64_t left =
			source->octets > source->fetched ? source->octets - source->fetched : 0;

		got = (ssize_t)(len < left ? len : left);
		source->sought |= got > 0;
		note_moved(source, (uint64_t)got);
		return got;
	}
	if (!source->no_splice && !source->at_end) {
		got = move(source, len);
		if (got >= 0) {
			note_moved(source, (uint64_t)got);
			source->at_end = got == 0;
		}
		if (got != -2)
			return got;
		source->no_splice = true;
	}
	return fetch(source, source->buffer, len < BUFFER_SIZE ? (size_t)len : BUFFER_SIZE);
}

int source_skip(struct source *source, uint64_t len)
{
	len -= take(source, NULL, len);
	while (len) {
		ssize_t got = pass_over(source, len);

		if (got <= 0)
			return got < 0 ? -1 : fail_end(source, len);
		source->ctx.offset += (uint64_t)got;
		len -= (uint64_t)got;
	}
	return 0;
}

int source_drain(struct source *source, uint64_t *octets)
{
	ssize_t got;

	*octets = take(source, NULL, UINT64_MAX);
	while ((got = pass_over(source, MOVE_MOST)) > 0) {
		source->ctx.offset += (uint64_t)got;
		*octets += (uint64_t)got;
	}
	return got < 0 ? -1 : 0;
}
