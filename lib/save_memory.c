/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which pages are sent when. A save that is not live sends everything once, of a suspended guest;
 * a live one goes in rounds:
 *
 *   everything -> what was dirtied meanwhile -> … -> [suspend] -> what is dirty or was deferred
 *
 * What a round costs follows the pages that are dirty, not the size of the guest: bitmaps are read
 * a word at a time, clean ones several words at a time.
 */
#include "save.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <xenguest.h>

#include "clock.h"
#include "dirty_list.h"
#include "io.h"
#include "precopy.h"
#include "xen_compat.h"

/* Holes write nothing, so that a stream which was stopped would not be noticed among them. */
#define HOLES_BETWEEN_LOOKS (64ull * PAGES_BATCH)

int save_refresh_info(struct save_ctx *save)
{
	if (xen_domain_info(save->xch, save->domid, &save->info))
		return ctx_fail_errno(&save->ctx, errno, "no information about domain %u",
				      save->domid);
	return 0;
}

/* ---- progress: pages that exist, never the size of the address space --------------------- */

static void progress_begin(struct save_ctx *save, const char *part, uint64_t total)
{
	snprintf(save->progress_text, sizeof(save->progress_text), "Saving memory%s (pages)", part);
	save->progress_done = 0;
	save->progress_total = total;
	ctx_progress(&save->ctx, save->progress_text, 0, total);
}

/* Pages Xen lends the guest (grant table, shared info) are not in tot_pages. */
static void progress_reach(struct save_ctx *save, uint64_t done)
{
	if (done == save->progress_done)
		return;
	if (done > save->progress_total)
		save->progress_total = done;
	save->progress_done = done;
	ctx_progress(&save->ctx, save->progress_text, done, save->progress_total);
}

static void progress_end(struct save_ctx *save)
{
	progress_reach(save, save->progress_total);
}

/* ---- everything -------------------------------------------------------------------------- */

/* Every pfn once, in batches aligned so that superpages stay whole in a record. */
static int send_all(struct save_ctx *save)
{
	uint64_t before = save->results.pages;

	for (uint64_t pfn = 0; pfn < save->nr_pfns; pfn += PAGES_BATCH) {
		uint64_t left = save->nr_pfns - pfn;

		save->batched = left < PAGES_BATCH ? (uint32_t)left : PAGES_BATCH;
		for (uint32_t i = 0; i < save->batched; i++)
			save->entries[i] = pfn + i;
		if (save_batch_flush(save) ||
		    (pfn % HOLES_BETWEEN_LOOKS == 0 && io_check_writable(&save->ctx)))
			return -1;
		progress_reach(save, save->results.pages - before);
	}
	if (save->results.pages == before)
		return ctx_fail(&save->ctx, EINVAL, "domain %u has no memory", save->domid);
	progress_end(save);
	return 0;
}

static int send_everything(struct save_ctx *save, const char *part)
{
	progress_begin(save, part, save->info.tot_pages);
	if (send_all(save))
		return -1;
	save->all_sent = true;
	if (!save->running)
		save_p2m_settle(save);
	return 0;
}

int save_all_memory(struct save_ctx *save)
{
	return send_everything(save, "");
}

int save_verify_data(struct save_ctx *save)
{
	return send_everything(save, ", for verification");
}

/* ---- what is dirty ------------------------------------------------------------------------- */

static int send_dirty(struct save_ctx *save, const char *part, uint64_t dirty)
{
	uint64_t bits, done = 0;

	progress_begin(save, part, dirty);
	if (io_check_writable(&save->ctx))
		return -1;
	for (uint64_t pfn = 0; (pfn = log_dirty_next(&save->dirty, pfn, &bits)) != UINT64_MAX;
	     pfn += 64) {
		done += (uint64_t)__builtin_popcountll(bits);
		for (; bits; bits &= bits - 1) {
			if (save_batch_add(save, pfn + (uint64_t)__builtin_ctzll(bits)))
				return -1;
		}
		progress_reach(save, done);
	}
	if (save_batch_flush(save))
		return -1;
	progress_end(save);
	return 0;
}

/* Add what was deferred to the bitmap. */
static void merge_deferred(struct save_ctx *save)
{
	for (uint64_t pfn = pfn_set_next(&save->deferred, 0); pfn < save->dirty.nr_pfns;
	     pfn = pfn_set_next(&save->deferred, pfn + 1))
		log_dirty_add(&save->dirty, pfn);
	pfn_set_release(&save->deferred);
}

/* What was fetched from Xen's log and will not be sent as a round. */
static int defer_dirty(struct save_ctx *save)
{
	uint64_t bits;

	for (uint64_t pfn = 0; (pfn = log_dirty_next(&save->dirty, pfn, &bits)) != UINT64_MAX;
	     pfn += 64) {
		if (pfn_set_add_word(&save->deferred, pfn, bits))
			return ctx_fail_errno(&save->ctx, errno,
					      "cannot keep account of pfn %#" PRIx64, pfn);
	}
	return 0;
}

/* ---- rounds -------------------------------------------------------------------------------- */

/* Ask the toolstack, if it wants to be asked. before: what the round to come would send. */
static int ask_policy(struct save_ctx *save, const struct precopy_state *state, uint64_t written,
		      bool before, enum precopy_decision *decision)
{
	const struct xensr_save_callbacks *cb = &save->params.callbacks;
	struct precopy_stats stats = {
		.iteration = state->rounds,
		.total_written = written,
		.dirty_count = before ? (long)state->dirty : -1,
	};

	*decision = PRECOPY_CONTINUE;
	if (!cb->precopy_policy)
		return 0;
	switch (cb->precopy_policy(stats, cb->data)) {
	case XGS_POLICY_CONTINUE_PRECOPY:
		return 0;
	case XGS_POLICY_STOP_AND_COPY:
		*decision = PRECOPY_STOP;
		return 0;
	default:
		return ctx_fail(&save->ctx, ECANCELED,
				"the toolstack gave the live save of domain %u up after %u rounds",
				save->domid, state->rounds);
	}
}

/* Before a round: shall there be one? */
static int decide(struct save_ctx *save, const struct precopy_state *state, uint64_t written,
		  bool *stop)
{
	const struct precopy_policy policy = precopy_policy_of(&save->params);
	enum precopy_decision decision;
	const char *why = "the toolstack's policy says so";

	if (save->params.callbacks.precopy_policy) {
		if (ask_policy(save, state, written, true, &decision))
			return -1;
	} else {
		decision = precopy_decide(&policy, state, &why);
	}
	*stop = decision != PRECOPY_CONTINUE;
	if (decision == PRECOPY_GIVE_UP)
		return ctx_fail(
			&save->ctx, EBUSY,
			"domain %u is too busy: after %u rounds %" PRIu64
			" pages are dirty, which would pause it for about %.0f ms; the target "
			"is %u ms",
			save->domid, state->rounds, state->dirty, precopy_estimated_pause(state),
			policy.downtime_target_ms);
	if (*stop)
		ctx_log(&save->ctx, XENSR_LOG_INFO,
			"pausing domain %u after %u rounds with %" PRIu64
			" dirty pages (about %.0f ms): %s",
			save->domid, state->rounds, state->dirty, precopy_estimated_pause(state),
			why);
	return 0;
}

/* One round, then what was dirtied meanwhile. */
static int send_round(struct save_ctx *save, struct precopy_state *state)
{
	uint64_t pages = save->results.pages, octets = save->ctx.offset, dirty;
	uint64_t start = clock_usecs();
	double seconds;
	char part[24];

	snprintf(part, sizeof(part), ", round %u", state->rounds + 1);
	if (state->rounds == 0 ? send_everything(save, part) : send_dirty(save, part, state->dirty))
		return -1;
	save->results.rounds++;
	seconds = (double)(clock_usecs() - start) / 1e6;
	if (log_dirty_clean(&save->ctx, save->xch, save->domid, &save->dirty, false, &dirty) ||
	    save_refresh_info(save) || save_p2m_follow(save))
		return -1;
	pages = save->results.pages - pages;
	precopy_round_done(state, pages, seconds, dirty);
	ctx_log(&save->ctx, XENSR_LOG_INFO,
		"round %u: %" PRIu64 " pages, %" PRIu64 " octets in %.3f s; %" PRIu64
		" pages dirtied meanwhile",
		state->rounds, pages, save->ctx.offset - octets, seconds, dirty);
	return 0;
}

int save_precopy(struct save_ctx *save)
{
	struct precopy_state state = {.dirty = save->info.tot_pages};
	uint64_t written = 0;
	bool stop = false;

	for (;;) {
		enum precopy_decision decision;

		if (decide(save, &state, written, &stop))
			return -1;
		if (stop)
			break;
		written += state.dirty;
		if (send_round(save, &state) || ask_policy(save, &state, written, false, &decision))
			return -1;
		if (decision != PRECOPY_CONTINUE)
			break;
	}
	return state.rounds ? defer_dirty(save) : 0;
}

/* ---- the guest is suspended ------------------------------------------------------------------ */

/* Room for pfns that the guest got since it was last looked at. */
static int follow_size(struct save_ctx *save)
{
	uint64_t size;

	if (save->ops->p2m_size(save, &size))
		return -1;
	if (size <= save->nr_pfns)
		return 0;
	save->nr_pfns = size;
	return log_dirty_reserve(&save->ctx, save->xch, &save->dirty, size);
}

/* Of which pause, for people. */
static void name_pause(const struct save_ctx *save, char *part, size_t room)
{
	if (save->params.stream_type == XENSR_STREAM_PLAIN)
		snprintf(part, room, ", paused");
	else
		snprintf(part, room, ", checkpoint %u", save->results.checkpoints + 1);
}

int save_rest(struct save_ctx *save)
{
	char part[32];
	bool first = save->results.checkpoints == 0;
	uint64_t old_nr_pfns = save->nr_pfns;
	uint64_t dirty;

	if (!save->tracking)
		return save_all_memory(save);
	name_pause(save, part, sizeof(part));
	if (follow_size(save) ||
	    log_dirty_clean(&save->ctx, save->xch, save->domid, &save->dirty, true, &dirty))
		return -1;
	if (!save->all_sent)
		return send_everything(save, part);
	if (!first && save->params.stream_type == XENSR_STREAM_COLO &&
	    dirty_list_receive(&save->ctx, save->params.recv_fd, &save->dirty))
		return -1;
	merge_deferred(save);
	if (send_dirty(save, part, log_dirty_count(&save->dirty)))
		return -1;
	return save_p2m_follow_suspended(save, old_nr_pfns);
}
