/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The machine's frames: who owns which. */
#include "host.h"

#include <fcntl.h>
#include <string.h>

/* Frames that are given out one by one stay this far apart on a host that scatters. */
#define SCATTER_STEP 7u

static bool is_used(const struct sim_host *host, uint64_t mfn)
{
	return host->used[mfn / 64] >> (mfn % 64) & 1;
}

/* Are all frames of the aligned extent free? */
static bool extent_free(const struct sim_host *host, uint64_t mfn, unsigned order)
{
	uint64_t count = 1ull << order;

	if (order < 6)
		return !(host->used[mfn / 64] >> (mfn % 64) & ((1ull << count) - 1));
	for (uint64_t word = mfn / 64; word < (mfn + count) / 64; word++) {
		if (host->used[word])
			return false;
	}
	return true;
}

static void take(struct sim_host *host, uint64_t mfn, uint16_t owner)
{
	host->used[mfn / 64] |= 1ull << (mfn % 64);
	host->frames[mfn] = (struct sim_frame){.owner = owner};
	host->m2p[mfn] = SIM_NO_M2P;
}

/* The first free extent in [from, to), which are aligned. */
static uint64_t search(const struct sim_host *host, uint64_t from, uint64_t to, unsigned order)
{
	for (uint64_t mfn = from; mfn + (1ull << order) <= to; mfn += 1ull << order) {
		if (order == 0 && mfn % 64 == 0 && host->used[mfn / 64] == UINT64_MAX) {
			mfn += 63;
			continue;
		}
		if (extent_free(host, mfn, order))
			return mfn;
	}
	return SIM_NO_FRAME;
}

uint64_t sim_frames_alloc(struct sim_host *host, unsigned order, uint16_t owner)
{
	struct sim_host_state *state = host->state;
	uint64_t count = 1ull << order;
	uint64_t from = (state->next_free + count - 1) & ~(count - 1);
	uint64_t mfn;

	if (state->free_frames < count)
		return SIM_NO_FRAME;
	mfn = search(host, from, state->nr_frames, order);
	if (mfn == SIM_NO_FRAME)
		mfn = search(host, 0, state->nr_frames, order);
	if (mfn == SIM_NO_FRAME)
		return SIM_NO_FRAME;
	for (uint64_t i = 0; i < count; i++)
		take(host, mfn + i, owner);
	state->free_frames -= count;
	state->next_free = mfn + count;
	if (state->scatter && order == 0)
		state->next_free += SCATTER_STEP;
	if (state->next_free >= state->nr_frames)
		state->next_free = 0;
	return mfn;
}

uint64_t sim_frames_alloc_low(struct sim_host *host, uint16_t owner)
{
	uint64_t end =
		host->state->nr_frames < SIM_LOW_FRAMES ? host->state->nr_frames : SIM_LOW_FRAMES;
	uint64_t mfn = search(host, 0, end, 0);

	if (mfn == SIM_NO_FRAME)
		return SIM_NO_FRAME;
	take(host, mfn, owner);
	host->state->free_frames--;
	return mfn;
}

/* The contents go with them, as Xen scrubs what it gets back. */
void sim_frames_free(struct sim_host *host, uint64_t mfn, uint64_t count)
{
	for (uint64_t i = mfn; i < mfn + count; i++) {
		if (!sim_frame_valid(host, i) || !is_used(host, i)) {
			sim_violation(host, "frame %#llx is freed and was free",
				      (unsigned long long)i);
			return;
		}
		host->used[i / 64] &= ~(1ull << (i % 64));
		host->frames[i] = (struct sim_frame){.owner = SIM_NO_OWNER};
		host->m2p[i] = SIM_NO_M2P;
	}
	host->state->free_frames += count;
	if (host->state->resident ||
	    fallocate(host->memory_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)(mfn * SIM_PAGE_OCTETS), (off_t)(count * SIM_PAGE_OCTETS)))
		memset(sim_frame_page(host, mfn), 0, count * SIM_PAGE_OCTETS);
}

bool sim_frame_owned(const struct sim_host *host, uint64_t mfn, uint16_t owner)
{
	return sim_frame_valid(host, mfn) && is_used(host, mfn) && host->frames[mfn].owner == owner;
}

uint64_t sim_frames_next(const struct sim_host *host, uint64_t mfn, uint16_t owner)
{
	for (; sim_frame_valid(host, mfn); mfn++) {
		/* The frame table is sparse: not to be read where no frame is in use. */
		if (mfn % 64 == 0 && host->used[mfn / 64] == 0)
			mfn += 63;
		else if (sim_frame_owned(host, mfn, owner))
			return mfn;
	}
	return SIM_NO_FRAME;
}
