/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guests that write. A program counts among the domain's runners while it may write; whoever needs
 * it to stop says so first (suspend_requested, holds, paused, dying) and then waits for the
 * runners to be none. A program counts itself first and then looks: one of the two sees the other.
 */
#include "guest_pv.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define WAIT_SECONDS 10

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

#define IS_SET(flag) __atomic_load_n(&(flag), __ATOMIC_SEQ_CST)

static bool is_suspended(const struct sim_domain_state *state)
{
	return IS_SET(state->suspend_requested) || IS_SET(state->shutdown);
}

static bool must_end(const struct sim_domain_state *state, const struct sim_run_options *options)
{
	return IS_SET(state->dying) || IS_SET(state->paused) ||
	       (!options->through_suspends && is_suspended(state));
}

static bool must_wait(const struct sim_domain_state *state)
{
	return IS_SET(state->holds) || is_suspended(state);
}

int sim_guest_wait(const struct sim_domain *domain)
{
	double start = now();

	while (IS_SET(domain->state->runners)) {
		if (now() - start > WAIT_SECONDS)
			return -ETIMEDOUT;
		nap();
	}
	return 0;
}

int sim_guest_hold(struct sim_domain *domain)
{
	__atomic_add_fetch(&domain->state->holds, 1, __ATOMIC_SEQ_CST);
	return sim_guest_wait(domain);
}

void sim_guest_release(struct sim_domain *domain)
{
	__atomic_sub_fetch(&domain->state->holds, 1, __ATOMIC_SEQ_CST);
}

/* A PV guest keeps its hands off its page tables and what it shares with Xen. */
static bool is_data(const struct sim_domain *domain, uint64_t gfn)
{
	struct sim_pv_layout layout;
	uint64_t index;

	return domain->state->type == SIM_HVM ||
	       (sim_pv_layout(&domain->state->guest, &layout) == 0 &&
		sim_pv_role(&layout, gfn, &index) == PV_PLAIN);
}

/* A write of the guest's: the page first, then its mark (see sim_mark_dirty). */
void sim_guest_write(struct sim_domain *domain, uint64_t gfn)
{
	uint64_t mfn = sim_p2m_frame(domain, gfn);
	uint64_t number, *words;

	if (mfn == SIM_NO_FRAME || !is_data(domain, gfn))
		return;
	number = __atomic_add_fetch(&domain->state->writes, 1, __ATOMIC_SEQ_CST);
	words = (uint64_t *)(void *)sim_frame_page(domain->host, mfn);
	words[SIM_STAMP_OCTET / sizeof(*words)] = number;
	for (size_t i = 34; i < SIM_PAGE_OCTETS / sizeof(*words); i += 32)
		words[i] = words[i] * 3 + number;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	sim_mark_dirty(domain, gfn);
}

/* Not a runner any more until nobody wants it to wait. */
static void park(struct sim_domain_state *state, const struct sim_run_options *options, double end)
{
	__atomic_sub_fetch(&state->runners, 1, __ATOMIC_SEQ_CST);
	while (must_wait(state) && !must_end(state, options) && now() < end)
		nap();
	__atomic_add_fetch(&state->runners, 1, __ATOMIC_SEQ_CST);
}

int64_t sim_guest_run(struct sim_domain *domain, const struct sim_run_options *options)
{
	struct sim_domain_state *state = domain->state;
	double start = now(), end = start + options->seconds;
	int64_t turns = 0;
	uint64_t gfn = 0;

	__atomic_add_fetch(&state->runners, 1, __ATOMIC_SEQ_CST);
	while (!must_end(state, options) && now() < end) {
		if (must_wait(state)) {
			park(state, options, end);
			continue;
		}
		if (options->pages_per_second &&
		    (double)turns > (now() - start) * (double)options->pages_per_second) {
			nap();
			continue;
		}
		sim_guest_write(domain, gfn);
		turns++;
		gfn = (gfn + options->stride) % options->working_set;
	}
	__atomic_sub_fetch(&state->runners, 1, __ATOMIC_SEQ_CST);
	return turns;
}
