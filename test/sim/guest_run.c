/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest_pv.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static bool must_stop(const struct sim_domain_state *state)
{
	return __atomic_load_n(&state->suspend_requested, __ATOMIC_SEQ_CST) || state->dying ||
	       state->shutdown || state->paused;
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
static void write_page(struct sim_domain *domain, uint64_t gfn, uint64_t round)
{
	uint64_t mfn = sim_p2m_frame(domain, gfn);
	uint64_t *words;

	if (mfn == SIM_NO_FRAME || !is_data(domain, gfn))
		return;
	words = (uint64_t *)(void *)sim_frame_page(domain->host, mfn);
	for (size_t i = 2; i < SIM_PAGE_OCTETS / sizeof(*words); i += 32)
		words[i] = words[i] * 3 + round;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	sim_mark_dirty(domain, gfn);
}

int64_t sim_guest_run(struct sim_domain *domain, const struct sim_run_options *options)
{
	struct sim_domain_state *state = domain->state;
	double start = now();
	int64_t written = 0;
	uint64_t gfn = 0;

	__atomic_add_fetch(&state->runners, 1, __ATOMIC_SEQ_CST);
	while (!must_stop(state)) {
		double spent = now() - start;

		if (spent > options->seconds)
			break;
		if (options->pages_per_second &&
		    (double)written > spent * (double)options->pages_per_second) {
			nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
			continue;
		}
		write_page(domain, gfn, (uint64_t)written);
		written++;
		gfn = (gfn + 1) % options->working_set;
	}
	__atomic_sub_fetch(&state->runners, 1, __ATOMIC_SEQ_CST);
	return written;
}
