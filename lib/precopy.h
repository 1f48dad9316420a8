/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When a live save should stop sending rounds and pause the guest. Arithmetic only: knows no
 * hypervisor, no stream and no clock.
 */
#ifndef XENSR_LIB_PRECOPY_H
#define XENSR_LIB_PRECOPY_H

#include <stdbool.h>
#include <stdint.h>

#include <xensr.h>

struct precopy_policy {
	enum xensr_precopy kind;
	unsigned max_iterations;
	unsigned downtime_target_ms;
	bool abort_if_busy;
};

/* What is known after so many rounds. */
struct precopy_state {
	unsigned rounds;           /* sent so far */
	unsigned without_progress; /* rounds in a row that left about as much as they found */
	uint64_t dirty;            /* pages that the next round would send */
	uint64_t dirty_before;     /* that the last one sent */
	double pages_per_second;   /* as sent by the rounds so far; 0: unknown */
};

enum precopy_decision {
	PRECOPY_CONTINUE,
	PRECOPY_STOP,   /* pause the guest now */
	PRECOPY_GIVE_UP /* abort_if_busy: the pause would be longer than the target */
};

/* The members of the parameters with their defaults filled in. */
struct precopy_policy precopy_policy_of(const struct xensr_save_params *params);

/* A round has sent `pages` in `seconds`, and `dirty` pages are to be sent now. */
void precopy_round_done(struct precopy_state *state, uint64_t pages, double seconds,
			uint64_t dirty);

/* The pause it would take to send what is dirty, in milliseconds; 0 if nothing is known. */
double precopy_estimated_pause(const struct precopy_state *state);

/* *why (not NULL) is for people. */
enum precopy_decision precopy_decide(const struct precopy_policy *policy,
				     const struct precopy_state *state, const char **why);

#endif
