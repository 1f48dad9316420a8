/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest that runs while it is saved may turn memory into holes and holes into memory (a balloon
 * driver does). Xen's log of dirty pages does not tell: what is written to a new page before the
 * next look at the log is not in it.
 *
 * To look at each pfn again while the guest is suspended would make the pause follow the size of
 * the guest. Instead:
 *
 *   - before the log is switched on it is noted which pfns are memory. One that becomes memory later
 *     is sent when it is found, and once more in the pause;
 *   - all pfns are looked at after the first round, and again after each until they were once
 *     looked at without a change;
 *   - from then on the domain's number of pages must add up with the pages that the stream has.
 *     When it does not, all pfns are looked at: after a round if it can be, so that the pause only
 *     pays for what happened since;
 *   - at each pause, holes are looked at where the guest has memory within the same 128 MiB, and if
 *     the pages do not add up then, first the memory, then everything else.
 *
 * That leaves a guest which, after the last look at all, gives back just as many pages as it takes
 * elsewhere, 128 MiB or more from any memory of its own; and pages given back and taken again at the
 * same pfn, unless they are written to later.
 */
#include "save.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <xen/domctl.h>

#include "io.h"

/* Batches between two looks whether the stream can still be written. */
#define BATCHES_BETWEEN_LOOKS 64u

/* Which of n pfns from first on (first a multiple of 64, n at most PAGES_BATCH) are memory now. */
static int look(struct save_ctx *save, uint64_t first, uint32_t n,
		uint64_t memory[PAGES_BATCH / 64])
{
	uint64_t pfns[PAGES_BATCH] = {0};

	for (uint32_t i = 0; i < n; i++)
		pfns[i] = first + i;
	save->ops->pfns_to_gfns(save, pfns, n, save->gfns);
	memcpy(save->frames, save->gfns, n * sizeof(*save->frames));
	if (save_query_types(save, n))
		return -1;
	memset(memory, 0, PAGES_BATCH / 8);
	for (uint32_t i = 0; i < n; i++) {
		bool is_hole =
			(save->frames[i] & XEN_DOMCTL_PFINFO_LTAB_MASK) == XEN_DOMCTL_PFINFO_XTAB;

		memory[i / 64] |= (uint64_t)!is_hole << (i % 64);
	}
	return 0;
}

/* What of PAGES_BATCH pfns the stream has as memory. */
static const uint64_t *present_words(const struct save_ctx *save, uint64_t first)
{
	const uint64_t *leaf = pfn_set_leaf(&save->present, first / PFN_SET_LEAF * PFN_SET_LEAF);

	return leaf ? leaf + first % PFN_SET_LEAF / 64 : NULL;
}

/* Send those of the pfns from first on whose bit is set in `bits`. */
static int send_word(struct save_ctx *save, uint64_t first, uint64_t bits)
{
	for (; bits; bits &= bits - 1) {
		if (save_batch_add(save, first + (uint64_t)__builtin_ctzll(bits)))
			return -1;
	}
	return 0;
}

/*
 * Send what differs between now and the stream; of what is memory there only if `revoke`. *changes
 * grows by the number of pfns that do.
 */
static int follow_batch(struct save_ctx *save, uint64_t first, uint32_t n, bool revoke,
			uint64_t *changes)
{
	uint64_t memory[PAGES_BATCH / 64], changed[PAGES_BATCH / 64];
	const uint64_t *present = present_words(save, first);

	if (look(save, first, n, memory))
		return -1;
	for (unsigned i = 0; i < PAGES_BATCH / 64; i++) {
		uint64_t known = present ? present[i] : 0;

		changed[i] = revoke ? memory[i] ^ known : memory[i] & ~known;
		*changes += (uint64_t)__builtin_popcountll(changed[i]);
	}
	/* Sending changes what is present, so only now. */
	for (unsigned i = 0; i < PAGES_BATCH / 64; i++) {
		if (send_word(save, first + i * 64ull, changed[i]))
			return -1;
	}
	return save_batch_flush(save);
}

static uint32_t batch_at(const struct save_ctx *save, uint64_t first)
{
	uint64_t left = save->nr_pfns - first;

	return left < PAGES_BATCH ? (uint32_t)left : PAGES_BATCH;
}

/* Xen counts some pages that no pfn has, and not some that one has: always as many. */
static int64_t unaccounted(const struct save_ctx *save)
{
	return (int64_t)save->info.tot_pages - (int64_t)save->nr_present;
}

void save_p2m_settle(struct save_ctx *save)
{
	save->settled = true;
	save->unaccounted = unaccounted(save);
}

/* Look at the pfns first … end - 1, where PAGES_BATCH divides first. */
static int follow_range(struct save_ctx *save, uint64_t first, uint64_t end, uint64_t *changes)
{
	for (; first < end; first += PAGES_BATCH) {
		if (follow_batch(save, first, batch_at(save, first), true, changes))
			return -1;
		if (first / PAGES_BATCH % BATCHES_BETWEEN_LOOKS == 0 &&
		    io_check_writable(&save->ctx))
			return -1;
	}
	return 0;
}

static int follow_all(struct save_ctx *save)
{
	uint64_t changes = 0, tot_pages = save->info.tot_pages;

	ctx_log(&save->ctx, XENSR_LOG_DETAIL,
		"domain %u has %" PRIu64 " pages, the stream %" PRIu64 ": looking at all pfns",
		save->domid, tot_pages, save->nr_present);
	if (follow_range(save, 0, save->nr_pfns, &changes) || save_refresh_info(save))
		return -1;
	/* What changed behind the look is only sure not to have if nothing did. */
	save->settled = false;
	if (!save->running || (changes == 0 && save->info.tot_pages == tot_pages))
		save_p2m_settle(save);
	return 0;
}

/* Are all of n pfns memory in the stream? */
static bool is_full(const uint64_t *present, uint32_t n)
{
	uint64_t all = UINT64_MAX;

	for (uint32_t i = 0; i < n / 64; i++)
		all &= present[i];
	return all == UINT64_MAX && n % 64 == 0;
}

/*
 * Send what became memory near what is memory; and, if `revoke`, revoke what is none any more, which
 * can only be there.
 */
static int follow_near(struct save_ctx *save, bool revoke)
{
	uint64_t end = pfn_set_end(&save->present), changes = 0;

	if (end > save->nr_pfns)
		end = save->nr_pfns;
	for (uint64_t leaf = 0; leaf < end; leaf += PFN_SET_LEAF) {
		if (!pfn_set_leaf(&save->present, leaf))
			continue;
		for (uint64_t first = leaf; first < leaf + PFN_SET_LEAF && first < save->nr_pfns;
		     first += PAGES_BATCH) {
			uint32_t n = batch_at(save, first);

			if ((revoke || !is_full(present_words(save, first), n)) &&
			    follow_batch(save, first, n, revoke, &changes))
				return -1;
		}
	}
	return 0;
}

static bool adds_up(const struct save_ctx *save)
{
	return save->settled && unaccounted(save) == save->unaccounted;
}

int save_p2m_survey(struct save_ctx *save)
{
	for (uint64_t first = 0; first < save->nr_pfns; first += PAGES_BATCH) {
		uint64_t memory[PAGES_BATCH / 64];

		if (look(save, first, batch_at(save, first), memory))
			return -1;
		for (unsigned i = 0; i < PAGES_BATCH / 64; i++) {
			if (pfn_set_add_word(&save->present, first + i * 64ull, memory[i]))
				return ctx_fail_errno(&save->ctx, errno,
						      "cannot keep account of pfn %#" PRIx64,
						      first + i * (uint64_t)64);
			save->nr_present += (uint64_t)__builtin_popcountll(memory[i]);
		}
		if (first / PAGES_BATCH % BATCHES_BETWEEN_LOOKS == 0 &&
		    io_check_writable(&save->ctx))
			return -1;
	}
	return 0;
}

int save_p2m_follow(struct save_ctx *save)
{
	return adds_up(save) ? 0 : follow_all(save);
}

int save_p2m_follow_suspended(struct save_ctx *save, uint64_t old_nr_pfns)
{
	uint64_t changes = 0;

	if (follow_range(save, old_nr_pfns / PAGES_BATCH * PAGES_BATCH,
			 old_nr_pfns < save->nr_pfns ? save->nr_pfns : 0, &changes) ||
	    follow_near(save, false))
		return -1;
	if (!adds_up(save) && save->settled && follow_near(save, true))
		return -1;
	return adds_up(save) ? 0 : follow_all(save);
}
