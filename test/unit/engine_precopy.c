/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When a live save pauses the guest: the policy by itself.
 */
#include "engine_harness.h"

#include <string.h>

#include "precopy.h"

static const struct precopy_policy usual = {
	.max_iterations = 30,
	.downtime_target_ms = 300,
};

/* After `rounds`: 1000 pages a second, so a millisecond a page. */
static struct precopy_state state_of(unsigned rounds, uint64_t before, uint64_t dirty)
{
	return (struct precopy_state){
		.rounds = rounds,
		.dirty = dirty,
		.dirty_before = before,
		.pages_per_second = rounds ? 1000 : 0,
	};
}

static void check_decision(const struct precopy_policy *policy, const struct precopy_state *state,
			   enum precopy_decision decision, const char *text)
{
	const char *why = "";

	ck_assert_int_eq(precopy_decide(policy, state, &why), decision);
	if (text)
		ck_assert_str_eq(why, text);
}

START_TEST(precopy_defaults)
{
	struct xensr_save_params params = XENSR_SAVE_PARAMS_INIT;
	struct precopy_policy policy = precopy_policy_of(&params);

	ck_assert_int_eq(policy.kind, XENSR_PRECOPY_TARGET);
	ck_assert_uint_eq(policy.max_iterations, 30);
	ck_assert_uint_eq(policy.downtime_target_ms, 300);
	ck_assert(!policy.abort_if_busy);
	params.precopy = XENSR_PRECOPY_STOCK;
	params.max_iterations = 7;
	params.downtime_target_ms = 1;
	params.abort_if_busy = true;
	policy = precopy_policy_of(&params);
	ck_assert_int_eq(policy.kind, XENSR_PRECOPY_STOCK);
	ck_assert_uint_eq(policy.max_iterations, 7);
	ck_assert_uint_eq(policy.downtime_target_ms, 1);
	ck_assert(policy.abort_if_busy);
}
END_TEST

START_TEST(precopy_decisions)
{
	static const char meets[] = "the pause meets the target";
	static const char last[] = "this was the last round allowed";
	static const char busy[] = "the guest dirties pages as fast as they are sent";
	static const struct {
		unsigned rounds, without_progress;
		uint64_t before, dirty;
		enum precopy_decision decision, if_busy;
		const char *why;
	} cases[] = {
		/* There is always a first. */
		{0, 0, 0, 0, PRECOPY_CONTINUE, PRECOPY_CONTINUE, NULL},
		{0, 0, 0, 1000000, PRECOPY_CONTINUE, PRECOPY_CONTINUE, NULL},
		/* The target, to the page. */
		{1, 0, 400, 300, PRECOPY_STOP, PRECOPY_STOP, meets},
		{1, 0, 400, 301, PRECOPY_CONTINUE, PRECOPY_CONTINUE, NULL},
		/* It is met, but the next round makes it half as long; or would be of few pages. */
		{1, 0, 600, 300, PRECOPY_CONTINUE, PRECOPY_CONTINUE, NULL},
		{1, 0, 599, 300, PRECOPY_STOP, PRECOPY_STOP, meets},
		{5, 0, 601, 300, PRECOPY_CONTINUE, PRECOPY_CONTINUE, NULL},
		{1, 0, 100000, 50, PRECOPY_CONTINUE, PRECOPY_CONTINUE, NULL},
		{1, 0, 100000, 49, PRECOPY_STOP, PRECOPY_STOP, meets},
		{1, 0, 100000, 0, PRECOPY_STOP, PRECOPY_STOP, meets},
		/* The last round. */
		{29, 0, 10000, 5000, PRECOPY_CONTINUE, PRECOPY_CONTINUE, NULL},
		{30, 0, 10000, 5000, PRECOPY_STOP, PRECOPY_GIVE_UP, last},
		{31, 0, 10000, 5000, PRECOPY_STOP, PRECOPY_GIVE_UP, last},
		{30, 0, 600, 300, PRECOPY_STOP, PRECOPY_STOP, meets},
		{30, 2, 600, 301, PRECOPY_STOP, PRECOPY_GIVE_UP, last},
		/* No progress. */
		{3, 1, 1000, 1000, PRECOPY_CONTINUE, PRECOPY_CONTINUE, NULL},
		{3, 2, 1000, 1000, PRECOPY_STOP, PRECOPY_GIVE_UP, busy},
		{4, 3, 1000, 2000, PRECOPY_STOP, PRECOPY_GIVE_UP, busy},
		{3, 2, 300, 300, PRECOPY_STOP, PRECOPY_STOP, meets},
	};
	struct precopy_policy policy = usual;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct precopy_state state =
			state_of(cases[i].rounds, cases[i].before, cases[i].dirty);

		state.without_progress = cases[i].without_progress;
		policy.abort_if_busy = false;
		check_decision(&policy, &state, cases[i].decision, cases[i].why);
		policy.abort_if_busy = true;
		check_decision(&policy, &state, cases[i].if_busy, cases[i].why);
	}
}
END_TEST

/* Without a measure there is nothing to wait for. */
START_TEST(precopy_unmeasured)
{
	struct precopy_state state = state_of(1, 200, 200);

	state.pages_per_second = 0;
	ck_assert(precopy_estimated_pause(&state) == 0);
	check_decision(&usual, &state, PRECOPY_STOP, "the pause meets the target");
}
END_TEST

START_TEST(precopy_as_stock)
{
	static const struct {
		unsigned rounds;
		uint64_t dirty;
		enum precopy_decision decision;
		const char *why;
	} cases[] = {
		{0, 1000, PRECOPY_CONTINUE, NULL},
		{0, 49, PRECOPY_STOP, "few pages are dirty"},
		{1, 49, PRECOPY_STOP, "few pages are dirty"},
		{1, 50, PRECOPY_CONTINUE, NULL},
		{4, 50, PRECOPY_CONTINUE, NULL},
		{5, 50, PRECOPY_STOP, "this was the last of five rounds"},
		{5, 49, PRECOPY_STOP, "few pages are dirty"},
		{6, 1000000, PRECOPY_STOP, "this was the last of five rounds"},
	};
	struct precopy_policy policy = {
		.kind = XENSR_PRECOPY_STOCK,
		.max_iterations = 2,
		.downtime_target_ms = 1,
		.abort_if_busy = true, /* stock knows no such thing */
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct precopy_state state = state_of(cases[i].rounds, 1000, cases[i].dirty);

		check_decision(&policy, &state, cases[i].decision, cases[i].why);
	}
}
END_TEST

START_TEST(precopy_rounds)
{
	struct precopy_state state = {.dirty = 10000};

	/* The first sends all there is: what it leaves is no lack of progress. */
	precopy_round_done(&state, 10000, 2, 12000);
	ck_assert_uint_eq(state.rounds, 1);
	ck_assert_uint_eq(state.dirty, 12000);
	ck_assert_uint_eq(state.dirty_before, 10000);
	ck_assert_uint_eq(state.without_progress, 0);
	ck_assert(state.pages_per_second == 5000);
	ck_assert(precopy_estimated_pause(&state) == 2400);

	/* 85 % is progress, more is none. */
	precopy_round_done(&state, 12000, 1, 10200);
	ck_assert_uint_eq(state.without_progress, 0);
	ck_assert(state.pages_per_second == 12000);
	ck_assert(precopy_estimated_pause(&state) == 850);
	precopy_round_done(&state, 10200, 1, 8671);
	ck_assert_uint_eq(state.without_progress, 1);
	precopy_round_done(&state, 8671, 1, 8671);
	ck_assert_uint_eq(state.without_progress, 2);
	precopy_round_done(&state, 8671, 1, 100);
	ck_assert_uint_eq(state.without_progress, 0);
	ck_assert_uint_eq(state.rounds, 5);

	/* A round of few pages, or of no time, says nothing about throughput. */
	precopy_round_done(&state, 255, 100, 50);
	ck_assert(state.pages_per_second == 8671);
	precopy_round_done(&state, 1000, 0, 50);
	ck_assert(state.pages_per_second == 8671);
	precopy_round_done(&state, 256, 2, 50);
	ck_assert(state.pages_per_second == 128);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine: precopy");
	TCase *tc;

	tc = harness_tcase(suite, "precopy", NULL, NULL);
	tcase_add_test(tc, precopy_defaults);
	tcase_add_test(tc, precopy_decisions);
	tcase_add_test(tc, precopy_unmeasured);
	tcase_add_test(tc, precopy_as_stock);
	tcase_add_test(tc, precopy_rounds);
	return harness_main(suite);
}
