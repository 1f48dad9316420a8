/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every call the engine makes fails once: those of Xen, of the allocator and of the stream's
 * descriptor. Each time the operation ends with -1, an errno, a text and nothing left behind.
 *
 * The sweeps are loop tests: the number that check prints after a failed test's name says
 * which call failed.
 */
#include "engine_harness.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine_alloc.h"
#include "pages.h"
#include "record.h"

static void setup(void)
{
	harness_reset();
	source_small();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

/* The small guest's stream in a memfd, at its start. What it cost is forgotten. */
static int small_stream(void)
{
	int fd = memfd_new();

	ck_assert_msg(harness_save(fd) == 0, "%s", h.err.text);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	target_for_source();
	fake.total = fake.changes = 0;
	memset(fake.calls, 0, sizeof(fake.calls));
	return fd;
}

/* ---- Xen --------------------------------------------------------------------------------- */

/* The index of a sweep over calls: (number of the call - 1) * NR_ERRNOS + errno's place. */
static const int errnos[] = {EIO, EPERM, ENOMEM};
#define NR_ERRNOS 3
/* More than either operation makes for the small guest: see sweeps_are_long_enough. */
#define CALLS 44

/* The run was good, except that a cleanup failed, which is logged. */
static void check_cleanup_logged(int errnum)
{
	ck_assert_msg(h.rc == 0, "%s", h.err.text);
	ck_assert_uint_eq(h.nr_level[XENSR_LOG_WARN], 1);
	ck_assert(harness_logged(XENSR_LOG_WARN, strerror(errnum)));
	ck_assert(harness_logged(XENSR_LOG_WARN, "cannot unmap "));
	ck_assert_uint_eq(fake.mappings, 1);
	ck_assert_uint_eq(fake.buffers, 0);
}

static void check_call_failed(int errnum)
{
	harness_failed_somehow();
	/* Out of buffers is out of memory, whatever the library says. A refused populate is
	 * engine_hostile's. */
	if ((fake.failed == FN_BUFFER_ALLOC || fake.failed == FN_POPULATE) && h.errnum == ENOMEM)
		return;
	ck_assert_msg(h.errnum == errnum, "%s failed with %s, errno is %s: %s",
		      fake_fn_name(fake.failed), strerror(errnum), strerror(h.errnum), h.err.text);
	ck_assert_msg(strstr(h.err.text, strerror(errnum)), "%s", h.err.text);
}

START_TEST(save_call_fails)
{
	int errnum = errnos[_i % NR_ERRNOS], fd = memfd_new();

	fake.fail_at = (unsigned)_i / NR_ERRNOS + 1;
	fake.fail_errno = errnum;
	harness_save(fd);
	ck_assert_uint_eq(fake.changes, 0);
	if (fake.failed == FN_NONE)
		ck_assert_msg(h.rc == 0, "%s", h.err.text);
	else if (fake.failed == FN_UNMAP)
		check_cleanup_logged(errnum);
	else
		check_call_failed(errnum);
	close(fd);
}
END_TEST

START_TEST(restore_call_fails)
{
	int errnum = errnos[_i % NR_ERRNOS], fd = small_stream();

	fake.fail_at = (unsigned)_i / NR_ERRNOS + 1;
	fake.fail_errno = errnum;
	harness_restore(fd);
	if (fake.failed == FN_UNMAP || fake.failed == FN_UNMAP_RESOURCE) {
		check_cleanup_logged(errnum);
	} else if (fake.failed == FN_NONE ||
		   (fake.failed == FN_POPULATE && fake.failed_order == 9)) {
		ck_assert_msg(h.rc == 0, "%s", h.err.text);
		harness_nothing_left();
		ck_assert_uint_eq(fake.extents_2m, fake.failed == FN_NONE);
	} else {
		check_call_failed(errnum);
		close(fd);
		return;
	}
	target_check(SMALL_SPECIAL);
	close(fd);
}
END_TEST

/* The way around an old privcmd driver: its calls fail too. */
START_TEST(grant_fallback_call_fails)
{
	static const enum fake_fn fns[] = {FN_NR_GPFNS, FN_PHYSMAP_ADD, FN_MAP, FN_UNMAP,
					   FN_PHYSMAP_REMOVE};
	int fd = small_stream();
	unsigned at;

	fake.fail_fn = FN_MAP_RESOURCE;
	fake.fail_fn_at = 1;
	fake.fail_errno = EOPNOTSUPP;
	harness_restore(fd);
	ck_assert_msg(h.rc == 0, "%s", h.err.text);
	ck_assert_uint_eq(fake.calls[FN_PHYSMAP_ADD], 1);
	at = fake.last[fns[_i]];
	ck_assert_uint_gt(at, fake.last[FN_MAP_RESOURCE]);

	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	harness_reset();
	source_small();
	target_for_source();
	fake.fail_fn = FN_MAP_RESOURCE;
	fake.fail_fn_at = 1;
	fake.fail_errno = EOPNOTSUPP;
	fake.fail_at = at;
	harness_restore(fd);
	ck_assert_int_eq(fake.failed, fns[_i]);
	if (fake.failed == FN_UNMAP)
		check_cleanup_logged(EOPNOTSUPP);
	else
		check_call_failed(EOPNOTSUPP);
	close(fd);
}
END_TEST

START_TEST(sweeps_are_long_enough)
{
	int fd = memfd_new();

	ck_assert_int_eq(harness_save(fd), 0);
	ck_assert_uint_ge(fake.total, 20);
	ck_assert_uint_lt(fake.total, CALLS);
	close(fd);
	harness_reset();
	source_small();
	fd = small_stream();
	ck_assert_int_eq(harness_restore(fd), 0);
	ck_assert_uint_ge(fake.total, 20);
	ck_assert_uint_lt(fake.total, CALLS);
	close(fd);
}
END_TEST

/* The first error is the one that is told; what fails while cleaning up after it is logged. */
START_TEST(cleanup_after_failure)
{
	bool restore = _i;
	int fd = restore ? small_stream() : memfd_new();

	fake.map_error_gfn = 0x210;
	fake.map_error = -ENOENT;
	fake.fail_fn = FN_UNMAP;
	fake.fail_fn_at = 1;
	fake.fail_errno = EFAULT;
	if (restore)
		harness_restore(fd);
	else
		harness_save(fd);
	ck_assert_int_eq(fake.failed, FN_UNMAP);
	ck_assert_int_eq(h.rc, -1);
	ck_assert_int_eq(h.errnum, ENOENT);
	ck_assert_ptr_nonnull(strstr(h.err.text, "0x210"));
	ck_assert(harness_logged(XENSR_LOG_WARN, "cannot unmap "));
	ck_assert(harness_logged(XENSR_LOG_WARN, "Bad address"));
	ck_assert_uint_eq(fake.buffers, 0);
	close(fd);
}
END_TEST

/* ---- memory ------------------------------------------------------------------------------ */

#define ALLOCATIONS 20

/* After the nth allocation failed. */
static void check_no_memory(void)
{
	ck_assert_int_eq(h.rc, -1);
	ck_assert_int_eq(h.errnum, ENOMEM);
	ck_assert_int_eq(h.err.errnum, ENOMEM);
	ck_assert_ptr_nonnull(strstr(h.err.text, "Cannot allocate memory"));
	harness_nothing_left();
}

START_TEST(save_allocation_fails)
{
	int fd = memfd_new();

	engine_alloc_arm((unsigned)_i);
	harness_save(fd);
	engine_alloc_disarm();
	ck_assert_uint_lt(engine_alloc.calls, ALLOCATIONS);
	ck_assert_uint_eq(fake.changes, 0);
	if (engine_alloc.failed)
		check_no_memory();
	else
		ck_assert_msg(h.rc == 0, "%s", h.err.text);
	ck_assert(engine_alloc.failed || _i > 1);
	close(fd);
}
END_TEST

START_TEST(restore_allocation_fails)
{
	int fd = small_stream();

	engine_alloc_arm((unsigned)_i);
	harness_restore(fd);
	engine_alloc_disarm();
	ck_assert_uint_lt(engine_alloc.calls, ALLOCATIONS);
	if (engine_alloc.failed)
		check_no_memory();
	else
		target_check(SMALL_SPECIAL);
	ck_assert(engine_alloc.failed || _i > 5);
	close(fd);
}
END_TEST

START_TEST(verify_allocation_fails)
{
	struct xensr_verify_params params = XENSR_VERIFY_PARAMS_INIT;
	int fd = small_stream();

	params.io_fd = fd;
	params.reports = h.save.reports;
	engine_alloc_arm((unsigned)_i);
	errno = 0;
	h.rc = xensr_verify(&params, NULL, &h.err);
	h.errnum = errno;
	engine_alloc_disarm();
	ck_assert_uint_lt(engine_alloc.calls, ALLOCATIONS);
	if (engine_alloc.failed)
		check_no_memory();
	else
		ck_assert_msg(h.rc == 0, "%s", h.err.text);
	ck_assert(engine_alloc.failed || _i > 1);
	close(fd);
}
END_TEST

/* The same with checksums, which save and restore each have memory of their own for. */
START_TEST(checksum_allocation_fails)
{
	int fd = memfd_new();

	h.save.checksum = true;
	engine_alloc_arm((unsigned)_i);
	harness_save(fd);
	engine_alloc_disarm();
	ck_assert_uint_lt(engine_alloc.calls, ALLOCATIONS);
	if (engine_alloc.failed) {
		check_no_memory();
		close(fd);
		return;
	}
	ck_assert_msg(h.rc == 0, "%s", h.err.text);
	ck_assert_int_gt(_i, 3);
	close(fd);
}
END_TEST

START_TEST(checksum_restore_allocation_fails)
{
	int fd;

	h.save.checksum = true;
	fd = small_stream();
	engine_alloc_arm((unsigned)_i);
	harness_restore(fd);
	engine_alloc_disarm();
	ck_assert_uint_lt(engine_alloc.calls, ALLOCATIONS);
	if (engine_alloc.failed)
		check_no_memory();
	else
		target_check(SMALL_SPECIAL);
	ck_assert(engine_alloc.failed || _i > 7);
	close(fd);
}
END_TEST

/* ---- the stream cannot be written -------------------------------------------------------- */

static struct stream whole;
static struct stream_item items[STREAM_ITEMS];
static unsigned nr_items;

/* What the stream looks like when nothing fails. */
static void setup_stream(void)
{
	int fd;

	setup();
	fd = memfd_new();
	ck_assert_int_eq(harness_save(fd), 0);
	stream_load(&whole, fd);
	nr_items = stream_items(&whole, items);
	close(fd);
}

static void teardown_stream(void)
{
	stream_release(&whole);
}

/* A save that can write `room` octets and not one more. */
static void save_within(uint64_t room)
{
	struct rlimit was, now;
	const char *what = "headers";
	uint64_t from = 0;
	int fd = memfd_new();

	harness_reset();
	source_small();
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &was), 0);
	now = was;
	now.rlim_cur = room;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &now), 0);
	harness_save(fd); /* no ck_assert in here: check writes a file */
	HOLDS(setrlimit(RLIMIT_FSIZE, &was) == 0);

	for (unsigned i = 0; i < nr_items && items[i].offset <= room; i++) {
		what = record_title(items[i].type);
		from = items[i].offset;
	}
	harness_failed(EFBIG,
		       "%s at offset %" PRIu64 ": cannot write the stream at offset %" PRIu64
		       ": File too large",
		       what, from, room);
	ck_assert_uint_eq(h.err.offset, from);
	ck_assert_uint_eq(fake.changes, 0);
	close(fd);
}

START_TEST(no_room)
{
	for (uint64_t room = 0; room < 42; room++)
		save_within(room);
	for (unsigned i = 0; i < nr_items; i++) {
		const uint64_t around[] = {items[i].offset, items[i].offset + 8,
					   (items[i].offset + items[i].end) / 2, items[i].end};

		for (unsigned j = 0; j < 4; j++) {
			for (uint64_t room = around[j] - 1; room <= around[j] + 1; room++) {
				if (room < whole.len)
					save_within(room);
			}
		}
	}
}
END_TEST

START_TEST(sealed)
{
	const uint64_t rooms[] = {0, 4096, whole.len / 2, whole.len - 1};

	for (unsigned i = 0; i < 4; i++) {
		int fd = memfd_new();

		harness_reset();
		source_small();
		ck_assert_int_eq(ftruncate(fd, (off_t)rooms[i]), 0);
		ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
		harness_save(fd);
		harness_failed_somehow();
		ck_assert_int_eq(h.errnum, EPERM);
		ck_assert_ptr_nonnull(strstr(h.err.text, "cannot write the stream at offset "));
		ck_assert_uint_le(fd_octets(fd), rooms[i]);
		close(fd);
	}
}
END_TEST

START_TEST(not_writable)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	harness_reset();
	source_small();
	harness_save(fd);
	harness_failed(EBADF, "headers at offset 0: cannot write the stream at offset 0: Bad file "
			      "descriptor");
	harness_save(-1);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, EBADF);
	ck_assert_uint_eq(h.suspends, 0);
	close(fd);
}
END_TEST

struct end {
	int fd;
	uint64_t octets; /* to move before it closes */
	struct stream got;
};

static void *reader(void *data)
{
	struct end *end = data;
	uint8_t octets[3333];

	while (end->octets) {
		size_t want = end->octets < sizeof(octets) ? (size_t)end->octets : sizeof(octets);
		ssize_t got = read(end->fd, octets, want);

		if (got <= 0)
			break;
		stream_put(&end->got, octets, (size_t)got);
		end->octets -= (uint64_t)got;
	}
	close(end->fd);
	return NULL;
}

static void *writer(void *data)
{
	struct end *end = data;

	for (uint64_t done = 0; done < end->octets;) {
		uint64_t now = end->octets - done < 3333 ? end->octets - done : 3333;
		ssize_t put = write(end->fd, whole.data + done, now);

		if (put <= 0)
			break;
		done += (uint64_t)put;
	}
	close(end->fd);
	return NULL;
}

/* A pipe with a thread at its other end. Returns our end. */
static int pipe_to(struct end *end, pthread_t *thread, bool save, int flags)
{
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	end->fd = fds[save ? 0 : 1];
	ck_assert_int_eq(fcntl(fds[save ? 1 : 0], F_SETFL, flags), 0);
	ck_assert_int_eq(pthread_create(thread, NULL, save ? reader : writer, end), 0);
	return fds[save ? 1 : 0];
}

START_TEST(pipe_save)
{
	struct end end = {.octets = UINT64_MAX};
	pthread_t thread;
	int fd = pipe_to(&end, &thread, true, _i ? O_NONBLOCK : 0);

	harness_reset();
	source_small();
	harness_save(fd);
	close(fd);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_msg(h.rc == 0, "%s", h.err.text);
	ck_assert_uint_eq(end.got.len, whole.len);
	ck_assert_int_eq(memcmp(end.got.data, whole.data, whole.len), 0);
	stream_release(&end.got);
}
END_TEST

/* The other side goes away in the middle: SIGPIPE is the caller's to ignore. */
START_TEST(pipe_closed)
{
	static const uint64_t octets[] = {0, 1, 100000, 1000000};
	struct end end = {.octets = octets[_i]};
	pthread_t thread;
	int fd = pipe_to(&end, &thread, true, 0);

	harness_reset();
	source_small();
	if (_i == 0)
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
	harness_save(fd);
	if (_i != 0)
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, EPIPE);
	ck_assert_ptr_nonnull(strstr(h.err.text, "cannot write the stream at offset "));
	stream_release(&end.got);
	close(fd);
}
END_TEST

/* ---- the stream cannot be read ----------------------------------------------------------- */

START_TEST(pipe_restore)
{
	struct end end = {.octets = whole.len};
	pthread_t thread;
	int fd = pipe_to(&end, &thread, false, _i ? O_NONBLOCK : 0);

	harness_reset();
	source_small();
	target_for_source();
	harness_restore(fd);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_msg(h.rc == 0, "%s", h.err.text);
	target_check(SMALL_SPECIAL);
	close(fd);
}
END_TEST

START_TEST(pipe_cut)
{
	struct end end = {.octets = whole.len * (uint64_t)_i / 16};
	pthread_t thread;
	int fd = pipe_to(&end, &thread, false, _i & 1 ? O_NONBLOCK : 0);
	char text[64];

	harness_reset();
	source_small();
	target_for_source();
	harness_restore(fd);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, ENODATA);
	snprintf(text, sizeof(text), "the stream ends early, at offset %" PRIu64 ": ", end.octets);
	ck_assert_msg(strstr(h.err.text, text), "%s", h.err.text);
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
	close(fd);
}
END_TEST

START_TEST(not_readable)
{
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	harness_reset();
	source_small();
	target_for_source();
	harness_restore(fd);
	harness_failed(EISDIR, "image header at offset 0: cannot read the stream at offset 0: Is a "
			       "directory");
	harness_restore(-1);
	harness_failed(EBADF, "image header at offset 0: cannot read the stream at offset 0: Bad "
			      "file descriptor");
	ck_assert_uint_eq(fake.changes, 0);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine with faults");
	TCase *tc;

	tc = tcase_create("Xen");
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_set_timeout(tc, 120);
	suite_add_tcase(suite, tc);
	tcase_add_test(tc, sweeps_are_long_enough);
	tcase_add_loop_test(tc, save_call_fails, 0, CALLS * NR_ERRNOS);
	tcase_add_loop_test(tc, restore_call_fails, 0, CALLS * NR_ERRNOS);
	tcase_add_loop_test(tc, grant_fallback_call_fails, 0, 5);
	tcase_add_loop_test(tc, cleanup_after_failure, 0, 2);

	tc = tcase_create("memory");
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_set_timeout(tc, 120);
	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, save_allocation_fails, 1, ALLOCATIONS);
	tcase_add_loop_test(tc, restore_allocation_fails, 1, ALLOCATIONS);
	tcase_add_loop_test(tc, verify_allocation_fails, 1, ALLOCATIONS);
	tcase_add_loop_test(tc, checksum_allocation_fails, 1, ALLOCATIONS);
	tcase_add_loop_test(tc, checksum_restore_allocation_fails, 1, ALLOCATIONS);

	tc = tcase_create("stream");
	tcase_add_checked_fixture(tc, setup_stream, teardown_stream);
	tcase_set_timeout(tc, 120);
	suite_add_tcase(suite, tc);
	tcase_add_test(tc, no_room);
	tcase_add_test(tc, sealed);
	tcase_add_test(tc, not_writable);
	tcase_add_loop_test(tc, pipe_save, 0, 2);
	tcase_add_loop_test(tc, pipe_closed, 0, 4);
	tcase_add_loop_test(tc, pipe_restore, 0, 2);
	tcase_add_loop_test(tc, pipe_cut, 0, 16);
	tcase_add_test(tc, not_readable);
	return harness_main(suite);
}
