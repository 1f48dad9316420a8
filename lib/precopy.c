/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "precopy.h"

#define DEFAULT_MAX_ITERATIONS     30u
#define DEFAULT_DOWNTIME_TARGET_MS 300u

/* What stock does (spec 2). */
#define STOCK_MAX_ITERATIONS 5u
#define STOCK_DIRTY          50u

/* Fewer than these are not worth another round. */
#define FEW_PAGES 50u

/* A round that leaves more than this of what it found has not helped. */
#define PROGRESS 0.85

/* So many of these in a row, and no further one will. */
#define WITHOUT_PROGRESS 2u

/* A round of fewer pages says nothing about throughput. */
#define PAGES_THAT_TELL 256u

struct precopy_policy precopy_policy_of(const struct xensr_save_params *params)
{
	return (struct precopy_policy){
		.kind = params->precopy,
		.max_iterations =
			params->max_iterations ? params->max_iterations : DEFAULT_MAX_ITERATIONS,
		.downtime_target_ms = params->downtime_target_ms ? params->downtime_target_ms
								 : DEFAULT_DOWNTIME_TARGET_MS,
		.abort_if_busy = params->abort_if_busy,
	};
}

void precopy_round_done(struct precopy_state *state, uint64_t pages, double seconds, uint64_t dirty)
{
	if (pages >= PAGES_THAT_TELL && seconds > 0)
		state->pages_per_second = (double)pages / seconds;
	/* The first round sends all there is, so it says nothing about progress. */
	if (state->rounds && (double)dirty > PROGRESS * (double)state->dirty)
		state->without_progress++;
	else
		state->without_progress = 0;
	state->rounds++;
	state->dirty_before = state->dirty;
	state->dirty = dirty;
}

double precopy_estimated_pause(const struct precopy_state *state)
{
	if (state->pages_per_second <= 0)
		return 0;
	return (double)state->dirty * 1000 / state->pages_per_second;
}

/*
 * Once the target is met, rounds go on for as long as each leaves half of what it found or less:
 * together they take no longer than two pauses of the target, and the pause gets far shorter.
 */
static bool is_halving(const struct precopy_state *state)
{
	return state->dirty >= FEW_PAGES && state->dirty <= state->dirty_before / 2;
}

static enum precopy_decision decide_as_stock(const struct precopy_state *state, const char **why)
{
	*why = "few pages are dirty";
	if (state->dirty < STOCK_DIRTY)
		return PRECOPY_STOP;
	*why = "this was the last of five rounds";
	return state->rounds >= STOCK_MAX_ITERATIONS ? PRECOPY_STOP : PRECOPY_CONTINUE;
}

enum precopy_decision precopy_decide(const struct precopy_policy *policy,
				     const struct precopy_state *state, const char **why)
{
	if (policy->kind == XENSR_PRECOPY_STOCK)
		return decide_as_stock(state, why);

	*why = "the pause meets the target";
	if (state->rounds && !(is_halving(state) && state->rounds < policy->max_iterations) &&
	    precopy_estimated_pause(state) <= policy->downtime_target_ms)
		return PRECOPY_STOP;
	if (state->rounds >= policy->max_iterations)
		*why = "this was the last round allowed";
	else if (state->without_progress >= WITHOUT_PROGRESS)
		*why = "the guest dirties pages as fast as they are sent";
	else
		return PRECOPY_CONTINUE;
	return policy->abort_if_busy ? PRECOPY_GIVE_UP : PRECOPY_STOP;
}
