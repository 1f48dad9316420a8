/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A preloaded library that makes life hard for a helper: allocations that fail, and a stream
 * whose descriptor gives or takes little at a time, is interrupted, or ends. Told by variables:
 *
 *   XENFAULT_ALLOC=N     the Nth allocation of the process fails
 *   XENFAULT_FD=N        the descriptor that the following are about
 *   XENFAULT_CHUNK=N     a call moves at most N octets
 *   XENFAULT_EINTR=N     every Nth call is interrupted before it moves any
 *   XENFAULT_CUT=N       after N octets the stream is at its end: reads return 0, writes fail
 *   XENFAULT_ERRNO=N     or fail with this errno, both of them
 *   XENFAULT_SYNC=ERRNO  fsync fails
 *   XENFAULT_SYNC_SIGNAL=N, XENFAULT_RENAME_SIGNAL=N  the process gets this signal in fsync, in rename
 *   XENFAULT_NO_PROC=1   there are no links in /proc/self/fd
 *   XENFAULT_MARK=PATH   this file is made when a fault is delivered
 *   XENFAULT_COUNT=PATH  this file is to hold the number of allocations when the process ends
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define NEXT(function) ((__typeof__(&(function)))dlsym(RTLD_NEXT, #function))

static long setting(const char *name)
{
	const char *text = getenv(name);

	return text ? strtol(text, NULL, 10) : -1;
}

static void mark(void)
{
	const char *path = getenv("XENFAULT_MARK");
	int fd = path ? open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600) : -1;

	if (fd >= 0)
		close(fd);
}

/* ---- allocations ----------------------------------------------------------------------- */

static long allocations;

static bool allocation_fails(void)
{
	static long nth = -2;

	if (!environ) /* too early in the process to know */
		return false;
	if (nth == -2)
		nth = setting("XENFAULT_ALLOC");
	if (++allocations != nth)
		return false;
	mark();
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	static void *(*next)(size_t);

	if (!next)
		next = NEXT(malloc);
	return allocation_fails() ? NULL : next(size);
}

void *calloc(size_t count, size_t size)
{
	static void *(*next)(size_t, size_t);

	if (!next)
		next = NEXT(calloc);
	return allocation_fails() ? NULL : next(count, size);
}

void *realloc(void *old, size_t size)
{
	static void *(*next)(void *, size_t);

	if (!next)
		next = NEXT(realloc);
	return allocation_fails() ? NULL : next(old, size);
}

__attribute__((destructor)) static void tell_allocations(void)
{
	const char *path = getenv("XENFAULT_COUNT");
	int fd = path ? open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600) : -1;

	if (fd < 0)
		return;
	dprintf(fd, "%ld\n", allocations);
	close(fd);
}

/* ---- files that are put in their place ------------------------------------------------- */

static void signal_of(const char *name)
{
	if (setting(name) > 0)
		raise((int)setting(name));
}

int fsync(int fd)
{
	static int (*next)(int);

	if (!next)
		next = NEXT(fsync);
	signal_of("XENFAULT_SYNC_SIGNAL");
	if (setting("XENFAULT_SYNC") > 0) {
		errno = (int)setting("XENFAULT_SYNC");
		return -1;
	}
	return next(fd);
}

int rename(const char *from, const char *to)
{
	static int (*next)(const char *, const char *);

	if (!next)
		next = NEXT(rename);
	signal_of("XENFAULT_RENAME_SIGNAL");
	return next(from, to);
}

static bool is_gone(const char *path)
{
	if (setting("XENFAULT_NO_PROC") <= 0 || strstr(path, "/proc/self/fd/") != path)
		return false;
	errno = ENOENT;
	return true;
}

int access(const char *path, int mode)
{
	static int (*next)(const char *, int);

	if (!next)
		next = NEXT(access);
	return is_gone(path) ? -1 : next(path, mode);
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
	static int (*next)(int, const char *, int, const char *, int);

	if (!next)
		next = NEXT(linkat);
	return is_gone(from) ? -1 : next(from_fd, from, to_fd, to, flags);
}

/* ---- the stream's descriptor ----------------------------------------------------------- */

static struct {
	bool known;
	long fd, chunk, eintr, cut, error;
	long calls;
	int64_t moved;
} stream;

static bool is_stream(int fd)
{
	if (!stream.known) {
		stream.fd = setting("XENFAULT_FD");
		stream.chunk = setting("XENFAULT_CHUNK");
		stream.eintr = setting("XENFAULT_EINTR");
		stream.cut = setting("XENFAULT_CUT");
		stream.error = setting("XENFAULT_ERRNO");
		stream.known = true;
	}
	return stream.fd >= 0 && fd == stream.fd;
}

/*
 * How many of `wanted` octets this call may move; or what it returns at once: -1 with errno, or 0
 * at the end of a stream that is read.
 */
static bool call_returns(bool writing, size_t wanted, size_t *octets, ssize_t *result)
{
	*octets = wanted;
	if (stream.eintr > 0 && ++stream.calls % stream.eintr == 0) {
		errno = EINTR;
		*result = -1;
		return true;
	}
	if (stream.chunk > 0 && *octets > (size_t)stream.chunk)
		*octets = (size_t)stream.chunk;
	if (stream.cut < 0)
		return false;
	if (stream.moved >= stream.cut) {
		mark();
		errno = stream.error > 0 ? (int)stream.error : EPIPE;
		*result = writing || stream.error > 0 ? -1 : 0;
		return true;
	}
	if (*octets > (size_t)(stream.cut - stream.moved))
		*octets = (size_t)(stream.cut - stream.moved);
	return false;
}

static ssize_t account(ssize_t moved)
{
	if (moved > 0)
		stream.moved += moved;
	return moved;
}

ssize_t read(int fd, void *buffer, size_t count)
{
	static ssize_t (*next)(int, void *, size_t);
	ssize_t result;

	if (!next)
		next = NEXT(read);
	if (!is_stream(fd))
		return next(fd, buffer, count);
	return call_returns(false, count, &count, &result) ? result
							   : account(next(fd, buffer, count));
}

ssize_t write(int fd, const void *buffer, size_t count)
{
	static ssize_t (*next)(int, const void *, size_t);
	ssize_t result;

	if (!next)
		next = NEXT(write);
	if (!is_stream(fd))
		return next(fd, buffer, count);
	return call_returns(true, count, &count, &result) ? result
							  : account(next(fd, buffer, count));
}

/* The first `octets` of the vectors, in `some`. Returns how many vectors that are. */
static int shorten(const struct iovec *iov, int count, size_t octets, struct iovec *some)
{
	int n = 0;

	while (n < count && octets) {
		some[n] = iov[n];
		if (some[n].iov_len > octets)
			some[n].iov_len = octets;
		octets -= some[n].iov_len;
		n++;
	}
	return n;
}

static ssize_t move_vectors(int fd, const struct iovec *iov, int count, bool writing,
			    ssize_t (*next)(int, const struct iovec *, int))
{
	struct iovec some[IOV_MAX];
	size_t wanted = 0, octets;
	ssize_t result;

	if (!is_stream(fd) || count > IOV_MAX)
		return next(fd, iov, count);
	for (int i = 0; i < count; i++)
		wanted += iov[i].iov_len;
	if (call_returns(writing, wanted, &octets, &result))
		return result;
	return account(next(fd, some, shorten(iov, count, octets, some)));
}

ssize_t readv(int fd, const struct iovec *iov, int count)
{
	static ssize_t (*next)(int, const struct iovec *, int);

	if (!next)
		next = NEXT(readv);
	return move_vectors(fd, iov, count, false, next);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	static ssize_t (*next)(int, const struct iovec *, int);

	if (!next)
		next = NEXT(writev);
	return move_vectors(fd, iov, count, true, next);
}
