/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "page_in.h"

#include <sys/mman.h>
#include <sys/sendfile.h>
#include <time.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14; older kernels answer EINVAL */
#endif

/* A trial is over after so many octets. */
#define TRIAL (16ull << 20)
/* The most that is mapped at once. */
#define WINDOW (64ull << 20)
/* The most that is sent at once, so that progress shows. */
#define SEND_MOST (64ull << 20)

/* The processor's time: what the medium takes is the same either way. */
static uint64_t nsecs_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static ssize_t send_away(int fd, int null_fd, uint64_t offset, uint64_t len)
{
	off_t at = (off_t)offset;

	return sendfile(null_fd, fd, &at, len < SEND_MOST ? (size_t)len : SEND_MOST);
}

/* Large folios are mapped at one stroke where the mapping is aligned like them. */
#define ALIGNMENT (2ull << 20)

/* Read window octets, from the aligned place on before offset. Returns where that ends, or 0. */
static uint64_t populate(int fd, uint64_t offset, uint64_t octets, uint64_t window)
{
	uint64_t start = offset & ~(ALIGNMENT - 1);
	uint64_t end = octets - start < window ? octets : start + window;
	size_t len = (size_t)(end - start);
	void *map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, (off_t)start);
	int rc;

	if (map == MAP_FAILED)
		return 0;
	rc = madvise(map, len, MADV_POPULATE_READ);
	munmap(map, len);
	return rc ? 0 : end;
}

/* Count what a trial did. True when it has done enough. */
static bool trial_over(struct page_in *state, uint64_t octets, uint64_t begun)
{
	state->tried += octets;
	state->nsecs += nsecs_now() - begun;
	return state->tried >= TRIAL;
}

static ssize_t by_sendfile(struct page_in *state, int fd, int null_fd, uint64_t offset,
			   uint64_t len)
{
	uint64_t begun = nsecs_now();
	ssize_t got = send_away(fd, null_fd, offset, len);

	if (got > 0 && state->way == PAGE_IN_TRY_SENDFILE &&
	    trial_over(state, (uint64_t)got, begun)) {
		state->sendfile_cost = (double)state->nsecs / (double)state->tried;
		state->tried = state->nsecs = 0;
		state->way = PAGE_IN_TRY_MAPPING;
	}
	return got;
}

/* What cannot be mapped or read is left to sendfile, which says what is wrong with it. */
static void by_mapping(struct page_in *state, int fd, uint64_t offset, uint64_t octets)
{
	bool trial = state->way == PAGE_IN_TRY_MAPPING;
	uint64_t begun = nsecs_now();
	uint64_t end = populate(fd, offset, octets, trial ? TRIAL : WINDOW);

	if (end <= offset) {
		state->way = PAGE_IN_SENDFILE;
		return;
	}
	state->done_to = end;
	if (trial) {
		(void)trial_over(state, end - offset, begun);
		state->way = (double)state->nsecs / (double)state->tried < state->sendfile_cost
				     ? PAGE_IN_MAPPING
				     : PAGE_IN_SENDFILE;
	}
}

ssize_t page_in(struct page_in *state, int fd, int null_fd, uint64_t offset, uint64_t octets,
		uint64_t len)
{
	if (offset >= state->done_to && offset < octets &&
	    (state->way == PAGE_IN_TRY_MAPPING || state->way == PAGE_IN_MAPPING))
		by_mapping(state, fd, offset, octets);
	if (offset < state->done_to) {
		uint64_t ready = state->done_to - offset;

		return (ssize_t)(len < ready ? len : ready);
	}
	return by_sendfile(state, fd, null_fd, offset, len);
}
