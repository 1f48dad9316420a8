/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts that live saves and checkpoints stand on, each by itself: the precopy policy, the log
 * of dirty pages, COLO's list of them, the buffer of a checkpoint.
 */
#include "engine_harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checkpoint_buffer.h"
#include "dirty_list.h"
#include "engine_alloc.h"
#include "log_dirty.h"
#include "pages.h"
#include "precopy.h"

static struct xensr_ctx ctx;

static void setup(void)
{
	const struct xensr_reports none = {0};

	harness_reset();
	ctx_init(&ctx, -1, &none);
}

/* ---- precopy -------------------------------------------------------------------------------- */

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

/* ---- the log of dirty pages ----------------------------------------------------------------- */

static const uint64_t sizes[] = {1,   7,   8,   9,   63,   64,    65,    511,   512,
				 513, 575, 576, 577, 4096, 32767, 32768, 32769, 100001};
#define SIZES 18

/* A bitmap as log_dirty_reserve makes it. */
static struct log_dirty log_of(uint64_t nr_pfns)
{
	struct log_dirty log = {0};

	ck_assert_int_eq(log_dirty_reserve(&ctx, fake_xch(), &log, nr_pfns), 0);
	ck_assert_uint_eq(log.nr_pfns, nr_pfns);
	return log;
}

static void set(struct log_dirty *log, uint64_t pfn)
{
	log->bitmap[pfn / 64] |= 1ull << (pfn % 64);
}

static bool is_set(const struct log_dirty *log, uint64_t pfn)
{
	return log->bitmap[pfn / 64] >> (pfn % 64) & 1;
}

/* log_dirty_next finds exactly the bits there are. */
static void check_walk(const struct log_dirty *log)
{
	uint64_t bits, at = 0, found = 0, expect = 0, last = 0;

	for (uint64_t pfn = 0; pfn < log->nr_pfns; pfn++)
		expect += is_set(log, pfn);
	while ((at = log_dirty_next(log, at, &bits)) != UINT64_MAX) {
		MUST(at % 64 == 0, "not a word");
		MUST(bits != 0, "an empty word");
		MUST(found == 0 || at > last, "back again");
		for (uint64_t i = 0; i < 64; i++)
			MUST((bits >> i & 1) == is_set(log, at + i), "pfn %llu",
			     (unsigned long long)(at + i));
		found += (uint64_t)__builtin_popcountll(bits);
		last = at;
		at += 64;
	}
	MUST(found == expect, "%llu bits found of %llu", (unsigned long long)found,
	     (unsigned long long)expect);
	MUST(log_dirty_count(log) == expect, "%llu counted",
	     (unsigned long long)log_dirty_count(log));
}

START_TEST(log_walk)
{
	struct log_dirty log = log_of(sizes[_i]);
	uint64_t n = sizes[_i], x = 88172645463325252ull;

	check_walk(&log);
	for (uint64_t pfn = 0; pfn < n; pfn = pfn * 2 + 1) {
		memset(log.bitmap, 0, log.hbuf_pages * PAGE_OCTETS);
		set(&log, pfn);
		check_walk(&log);
		set(&log, n - 1);
		check_walk(&log);
		set(&log, 0);
		check_walk(&log);
	}
	memset(log.bitmap, 0, log.hbuf_pages * PAGE_OCTETS);
	for (unsigned i = 0; i < 200; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		set(&log, x % n);
		if (i % 20 == 0)
			check_walk(&log);
	}
	for (uint64_t pfn = 0; pfn < n; pfn++)
		set(&log, pfn);
	check_walk(&log);
	ck_assert_uint_eq(log_dirty_count(&log), n);
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &log);
	harness_nothing_left();
}
END_TEST

/* Past the end there is nothing, whatever one asks for. */
START_TEST(log_past_the_end)
{
	struct log_dirty log = log_of(sizes[_i]);
	uint64_t bits;

	set(&log, 0);
	for (uint64_t pfn = (sizes[_i] + 63) / 64 * 64; pfn < 40 * 32768; pfn += 64)
		MUST(log_dirty_next(&log, pfn, &bits) == UINT64_MAX, "pfn %llu",
		     (unsigned long long)pfn);
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &log);
	ck_assert_uint_eq(log_dirty_next(&log, 0, &bits), UINT64_MAX);
	ck_assert_uint_eq(log_dirty_count(&log), 0);
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &log);
	harness_nothing_left();
}
END_TEST

START_TEST(log_reserve)
{
	struct log_dirty log = log_of(1000);
	const uint64_t *was = log.bitmap;

	set(&log, 7);
	ck_assert_int_eq(log_dirty_reserve(&ctx, fake_xch(), &log, 1000), 0);
	ck_assert_int_eq(log_dirty_reserve(&ctx, fake_xch(), &log, 3), 0);
	ck_assert_ptr_eq(log.bitmap, was);
	ck_assert_uint_eq(log.nr_pfns, 1000);
	ck_assert(is_set(&log, 7));

	/* More that is not to be had leaves what there is. */
	fake.fail_fn = FN_BUFFER_ALLOC;
	fake.fail_fn_at = 2;
	ck_assert_int_eq(log_dirty_reserve(&ctx, fake_xch(), &log, 40000), -1);
	ck_assert_str_eq(ctx.err.text,
			 "no room for a dirty bitmap of 40000 pfns: Input/output error");
	ck_assert_ptr_eq(log.bitmap, was);
	ck_assert_uint_eq(log.nr_pfns, 1000);
	ck_assert(is_set(&log, 7));

	ck_assert_int_eq(log_dirty_reserve(&ctx, fake_xch(), &log, 40000), 0);
	ck_assert_uint_eq(log.nr_pfns, 40000);
	ck_assert_uint_eq(log_dirty_count(&log), 0);
	ck_assert_uint_eq(fake.buffers, 1);
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &log);
	harness_nothing_left();
}
END_TEST

START_TEST(log_of_a_domain)
{
	struct log_dirty log = log_of(sizes[_i]);
	struct fake_domain *dom = fake_domain_add(SOURCE_DOMID, 10);
	uint64_t dirty = 99;

	h.source = dom;
	ck_assert_int_eq(log_dirty_enable(&ctx, fake_xch(), SOURCE_DOMID, &log), 0);
	ck_assert(log.on);
	fake_dirty(dom, 0);
	fake_dirty(dom, sizes[_i] - 1);
	ck_assert_int_eq(log_dirty_clean(&ctx, fake_xch(), SOURCE_DOMID, &log, false, &dirty), 0);
	ck_assert_uint_eq(dirty, sizes[_i] == 1 ? 1 : 2);
	ck_assert(is_set(&log, 0));
	ck_assert(is_set(&log, sizes[_i] - 1));
	ck_assert_int_eq(log_dirty_clean(&ctx, fake_xch(), SOURCE_DOMID, &log, false, &dirty), 0);
	ck_assert_uint_eq(dirty, 0);
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &log);
	ck_assert(!log.on);
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &log);
	ck_assert_uint_eq(fake.calls[FN_SHADOW], 2);
	harness_nothing_left();
}
END_TEST

/* Xen copies whole octets: what is behind the last pfn is not asked for, and no pfn of the log. */
START_TEST(log_behind_the_last)
{
	struct log_dirty log = log_of(577);
	struct fake_domain *dom = fake_domain_add(SOURCE_DOMID, 10);
	uint64_t dirty, bits;

	ck_assert_int_eq(log_dirty_enable(&ctx, fake_xch(), SOURCE_DOMID, &log), 0);
	fake_dirty(dom, 577);
	fake_dirty(dom, 583);
	ck_assert_int_eq(log_dirty_clean(&ctx, fake_xch(), SOURCE_DOMID, &log, false, &dirty), 0);
	ck_assert_uint_eq(dirty, 0);
	ck_assert_uint_eq(log_dirty_next(&log, 0, &bits), UINT64_MAX);
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &log);
}
END_TEST

/* ---- COLO's list ---------------------------------------------------------------------------- */

static int fds[2];

static void setup_list(void)
{
	setup();
	signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	ck_assert_int_eq(fcntl(fds[0], F_SETFL, 0), 0);
}

static void teardown_list(void)
{
	close(fds[0]);
	close(fds[1]);
}

static const unsigned lengths[] = {0, 1, 2, 63, 1023, 1024, 1025, 2048, 5000};
#define LENGTHS 9

START_TEST(list_there_and_back)
{
	unsigned n = lengths[_i];
	struct log_dirty from = log_of(50000), to = log_of(50000);
	struct wire_record_header header;
	uint64_t pfns[5000];

	for (unsigned i = 0; i < n; i++)
		set(&from, 49999 - i * 9);
	ck_assert_int_eq(dirty_list_send(&ctx, fds[1], &from, n), 0);

	/* On the wire: a header of 8 octets, the pfns upwards, and nothing else. */
	ck_assert_int_eq(read(fds[0], &header, sizeof(header)), sizeof(header));
	ck_assert_uint_eq(header.type, 15);
	ck_assert_uint_eq(header.length, n * 8);
	if (n)
		ck_assert_int_eq(read(fds[0], pfns, sizeof(pfns)), n * 8);
	ck_assert_int_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_eq(read(fds[0], &header, 1), -1);
	for (unsigned i = 0; i < n; i++)
		MUST(pfns[i] == 49999 - (n - 1 - i) * 9, "pfn %u is %llu", i,
		     (unsigned long long)pfns[i]);

	/* What is in the bitmap already stays. */
	set(&to, 3);
	set(&to, 49999);
	header = (struct wire_record_header){15, n * 8};
	ck_assert_int_eq(write(fds[1], &header, 8), 8);
	ck_assert_int_eq(write(fds[1], pfns, n * 8), n * 8);
	ck_assert_int_eq(write(fds[1], "next", 4), 4);
	ck_assert_int_eq(dirty_list_receive(&ctx, fds[0], &to), 0);
	ck_assert_int_eq(read(fds[0], pfns, 8), 4); /* not an octet too many was read */
	set(&from, 3);
	set(&from, 49999);
	ck_assert_mem_eq(from.bitmap, to.bitmap, 50000 / 8);
	ck_assert_uint_eq(ctx.offset, 0);
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &from);
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &to);
}
END_TEST

START_TEST(list_refused)
{
	static const struct {
		struct wire_record_header header;
		uint64_t pfn;
		const char *text;
	} cases[] = {
		{{15, 8}, 1000, "back channel: pfn 0x3e8 is beyond the guest's last, 0x3e7"},
		{{15, 8},
		 UINT64_MAX,
		 "back channel: pfn 0xffffffffffffffff is beyond the guest's last, 0x3e7"},
		{{15, 8},
		 1ull << 40,
		 "back channel: pfn 0x10000000000 is beyond the guest's last, 0x3e7"},
		{{14, 0}, 0, "back channel: a record of type 0xe, not CHECKPOINT_DIRTY_PFN_LIST"},
		{{0x8000000f, 8},
		 0,
		 "back channel: a record of type 0x8000000f, not CHECKPOINT_DIRTY_PFN_LIST"},
		{{15, 4}, 0, "back channel: 4 octets are no length of a list of pfns"},
		{{15, 9}, 0, "back channel: 9 octets are no length of a list of pfns"},
		{{15, 0xfffffff8},
		 0,
		 "back channel: 4294967288 octets are no length of a list of pfns"},
		{{15, RECORD_LENGTH_MAX + 8}, 0, NULL},
	};
	struct log_dirty log = log_of(1000);

	ck_assert_int_eq(write(fds[1], &cases[_i].header, 8), 8);
	ck_assert_int_eq(write(fds[1], &cases[_i].pfn, 8), 8);
	ck_assert_int_eq(dirty_list_receive(&ctx, fds[0], &log), -1);
	ck_assert_int_eq(ctx.err.errnum, EBADMSG);
	if (cases[_i].text)
		ck_assert_str_eq(ctx.err.text, cases[_i].text);
	ck_assert(!ctx.peer_gone);
	ck_assert_uint_eq(log_dirty_count(&log), 0);
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &log);
}
END_TEST

/* A bad pfn in the second slice. */
START_TEST(list_refused_later)
{
	struct log_dirty log = log_of(5000);
	struct wire_record_header header = {15, 3000 * 8};
	uint64_t pfns[3000];

	for (unsigned i = 0; i < 3000; i++)
		pfns[i] = i;
	pfns[_i] = 5000;
	ck_assert_int_eq(write(fds[1], &header, 8), 8);
	ck_assert_int_eq(write(fds[1], pfns, sizeof(pfns)), sizeof(pfns));
	ck_assert_int_eq(dirty_list_receive(&ctx, fds[0], &log), -1);
	ck_assert_str_eq(ctx.err.text,
			 "back channel: pfn 0x1388 is beyond the guest's last, 0x1387");
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &log);
}
END_TEST

START_TEST(list_cut)
{
	struct log_dirty log = log_of(100);
	struct {
		struct wire_record_header header;
		uint64_t pfns[3];
	} list = {{15, 24}, {5, 6, 99}};

	for (size_t len = 0; len < sizeof(list); len++) {
		const struct xensr_reports none = {0};

		teardown_list();
		ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
		ctx_init(&ctx, -1, &none);
		ck_assert_int_eq(write(fds[1], &list, len), (ssize_t)len);
		close(fds[1]);
		ck_assert_int_eq(dirty_list_receive(&ctx, fds[0], &log), -1);
		ck_assert_int_eq(ctx.err.errnum, ENODATA);
		ck_assert(ctx.peer_gone);
		ck_assert_ptr_nonnull(strstr(ctx.err.text, "back channel: the stream ends early"));
	}
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &log);
}
END_TEST

START_TEST(list_not_sent)
{
	struct log_dirty log = log_of(100);

	set(&log, 5);
	ck_assert_int_eq(dirty_list_send(&ctx, fds[1], &log, RECORD_LENGTH_MAX / 8 + 1), -1);
	ck_assert_int_eq(ctx.err.errnum, EMSGSIZE);
	ck_assert_ptr_nonnull(strstr(ctx.err.text, " dirty pages are more than a record holds"));
	ck_assert(!ctx.peer_gone);
	ck_assert_int_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_eq(read(fds[0], &(char){0}, 1), -1);
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &log);
}
END_TEST

START_TEST(list_nobody_reads)
{
	struct log_dirty log = log_of(100);

	set(&log, 5);
	close(fds[0]);
	ck_assert_int_eq(dirty_list_send(&ctx, _i ? -1 : fds[1], &log, 1), -1);
	ck_assert_int_eq(ctx.err.errnum, _i ? EBADF : EPIPE);
	ck_assert(ctx.peer_gone == !_i);
	ck_assert_ptr_nonnull(strstr(ctx.err.text, "back channel: cannot write the stream"));
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &log);
}
END_TEST

/* ---- the buffer of a checkpoint ------------------------------------------------------------- */

START_TEST(buffer_takes)
{
	struct checkpoint_buffer buffer = {.limit = 64u << 20};
	uint8_t *places[200];

	for (unsigned i = 0; i < 200; i++) {
		places[i] = checkpoint_buffer_take(&ctx, &buffer, i * 517 + 1);
		MUST(places[i] && (uintptr_t)places[i] % 8 == 0, "place %u", i);
		memset(places[i], (int)i, i * 517 + 1);
	}
	for (unsigned i = 0; i < 200; i++) {
		for (unsigned k = 0; k < i * 517 + 1; k++)
			MUST(places[i][k] == i, "place %u, octet %u", i, k);
	}
	checkpoint_buffer_release(&buffer);
	checkpoint_buffer_release(&buffer);
	ck_assert_uint_eq(buffer.limit, 64u << 20);
}
END_TEST

START_TEST(buffer_keeps)
{
	struct checkpoint_buffer buffer = {.limit = 1u << 20};
	char body[32] = "body";
	const struct record with = {.type = REC_X86_TSC_INFO, .length = 32, .body = body};
	const struct record without = {.type = REC_VERIFY};

	ctx_enter(&ctx, "record", 1, 4711);
	for (unsigned i = 0; i < 1000; i++) {
		body[31] = (char)i;
		ck_assert_int_eq(
			checkpoint_buffer_add(&ctx, &buffer, i % 2 ? &without : &with, NULL), 0);
	}
	memset(body, 0, sizeof(body));
	ck_assert_uint_eq(buffer.nr_records, 1000);
	for (unsigned i = 0; i < 1000; i++) {
		const struct kept_record *kept = &buffer.records[i];

		ck_assert_uint_eq(kept->offset, 4711);
		ck_assert_uint_eq(kept->rec.type, i % 2 ? REC_VERIFY : REC_X86_TSC_INFO);
		if (i % 2)
			continue;
		ck_assert_ptr_ne(kept->rec.body, body);
		ck_assert_str_eq(kept->rec.body, "body");
		ck_assert_int_eq(((char *)kept->rec.body)[31], (char)i);
	}
	checkpoint_buffer_empty(&buffer);
	ck_assert_uint_eq(buffer.nr_records, 0);
	ck_assert_uint_eq(buffer.used, 0);
	checkpoint_buffer_release(&buffer);
}
END_TEST

/* To the octet, and before memory is asked for. */
START_TEST(buffer_limit)
{
	struct checkpoint_buffer buffer = {.limit = 100000};

	ck_assert_ptr_nonnull(checkpoint_buffer_take(&ctx, &buffer, 99992));
	ck_assert_ptr_null(checkpoint_buffer_take(&ctx, &buffer, 9)); /* is rounded to 16 */
	ck_assert_int_eq(ctx.err.errnum, ENOBUFS);
	ck_assert_str_eq(ctx.err.text,
			 "the checkpoint takes up more than the limit of 100000 octets");
	ck_assert_ptr_nonnull(checkpoint_buffer_take(&ctx, &buffer, 8));
	ck_assert_ptr_null(checkpoint_buffer_take(&ctx, &buffer, 1));
	checkpoint_buffer_empty(&buffer);
	ck_assert_ptr_nonnull(checkpoint_buffer_take(&ctx, &buffer, 100000));
	checkpoint_buffer_empty(&buffer);
	engine_alloc_arm(0);
	ck_assert_ptr_null(checkpoint_buffer_take(&ctx, &buffer, 100001));
	ck_assert_ptr_null(checkpoint_buffer_take(&ctx, &buffer, 1u << 31));
	engine_alloc_disarm();
	ck_assert_uint_lt(engine_alloc.octets, 4096);
	checkpoint_buffer_release(&buffer);
}
END_TEST

/* Records without bodies count too. */
START_TEST(buffer_limit_of_records)
{
	struct checkpoint_buffer buffer = {.limit = 100 * sizeof(struct kept_record) + 7};
	const struct record rec = {.type = REC_PAGE_DATA};

	for (unsigned i = 0; i < 100; i++)
		ck_assert_int_eq(checkpoint_buffer_add(&ctx, &buffer, &rec, NULL), 0);
	ck_assert_int_eq(checkpoint_buffer_add(&ctx, &buffer, &rec, NULL), -1);
	ck_assert_int_eq(ctx.err.errnum, ENOBUFS);
	ck_assert_uint_eq(buffer.nr_records, 100);
	checkpoint_buffer_release(&buffer);
}
END_TEST

/* One checkpoint's worth of records; they are smaller and larger than a block. */
static void fill(struct checkpoint_buffer *buffer, size_t largest)
{
	const struct record rec = {.type = REC_PAGE_DATA};

	HOLDS(checkpoint_buffer_take(&ctx, buffer, 4u << 20));
	HOLDS(checkpoint_buffer_take(&ctx, buffer, largest));
	for (unsigned i = 0; i < 600; i++) {
		HOLDS(checkpoint_buffer_take(&ctx, buffer, 1 + i * 64));
		HOLDS(checkpoint_buffer_add(&ctx, buffer, &rec, NULL) == 0);
	}
}

START_TEST(buffer_does_not_grow)
{
	struct checkpoint_buffer buffer = {.limit = 64u << 20};

	fill(&buffer, 9u << 20);
	engine_alloc_arm(0);
	for (unsigned i = 0; i < 20; i++) {
		checkpoint_buffer_empty(&buffer);
		fill(&buffer, i % 2 ? 9u << 20 : 5u << 20);
	}
	engine_alloc_disarm();
	ck_assert_uint_eq(engine_alloc.calls, 0);
	checkpoint_buffer_release(&buffer);
}
END_TEST

/* Each checkpoint has a record that is a little larger than the last one's: what is held stays
   within reach of the limit. */
START_TEST(buffer_holds_no_more_than_its_limit)
{
	struct checkpoint_buffer buffer = {.limit = 32u << 20};

	engine_alloc_arm(0);
	for (unsigned i = 0; i < 200; i++) {
		checkpoint_buffer_empty(&buffer);
		fill(&buffer, (9u << 20) + i * 4096);
		MUST(engine_alloc.held < 4 * (32ll << 20), "%lld octets are held after %u",
		     engine_alloc.held, i);
	}
	checkpoint_buffer_release(&buffer);
	ck_assert_int_le(engine_alloc.held, 0);
	engine_alloc_disarm();
}
END_TEST

START_TEST(buffer_no_memory)
{
	struct checkpoint_buffer buffer = {.limit = 64u << 20};
	const struct record rec = {.type = REC_X86_TSC_INFO, .length = 4, .body = &(int){0}};
	void *place;
	int rc;

	engine_alloc_arm(1);
	place = checkpoint_buffer_take(&ctx, &buffer, 5);
	engine_alloc_disarm();
	ck_assert_ptr_null(place);
	ck_assert_int_eq(ctx.err.errnum, ENOMEM);
	ck_assert_str_eq(ctx.err.text, "no 5 octets for the checkpoint: Cannot allocate memory");
	for (unsigned i = 1; i <= 2; i++) {
		engine_alloc_arm(i);
		rc = checkpoint_buffer_add(&ctx, &buffer, &rec, NULL);
		engine_alloc_disarm();
		ck_assert_int_eq(rc, -1);
		ck_assert_uint_eq(buffer.nr_records, 0);
		checkpoint_buffer_release(&buffer);
	}
	ck_assert_int_eq(checkpoint_buffer_add(&ctx, &buffer, &rec, NULL), 0);
	checkpoint_buffer_release(&buffer);
}
END_TEST

static TCase *tcase(Suite *suite, const char *name, SFun set_up, SFun tear_down)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 120);
	suite_add_tcase(suite, tc);
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("engine parts");
	TCase *tc;

	tc = tcase(suite, "precopy", setup, NULL);
	tcase_add_test(tc, precopy_defaults);
	tcase_add_test(tc, precopy_decisions);
	tcase_add_test(tc, precopy_unmeasured);
	tcase_add_test(tc, precopy_as_stock);
	tcase_add_test(tc, precopy_rounds);

	tc = tcase(suite, "log", setup, NULL);
	tcase_add_loop_test(tc, log_walk, 0, SIZES);
	tcase_add_loop_test(tc, log_past_the_end, 0, SIZES);
	tcase_add_test(tc, log_reserve);
	tcase_add_loop_test(tc, log_of_a_domain, 0, SIZES);
	tcase_add_test(tc, log_behind_the_last);

	tc = tcase(suite, "list", setup_list, teardown_list);
	tcase_add_loop_test(tc, list_there_and_back, 0, LENGTHS);
	tcase_add_loop_test(tc, list_refused, 0, 9);
	tcase_add_loop_test(tc, list_refused_later, 1023, 1026);
	tcase_add_test(tc, list_cut);
	tcase_add_test(tc, list_not_sent);
	tcase_add_loop_test(tc, list_nobody_reads, 0, 2);

	tc = tcase(suite, "buffer", setup, NULL);
	tcase_add_test(tc, buffer_takes);
	tcase_add_test(tc, buffer_keeps);
	tcase_add_test(tc, buffer_limit);
	tcase_add_test(tc, buffer_limit_of_records);
	tcase_add_test(tc, buffer_does_not_grow);
	tcase_add_test(tc, buffer_holds_no_more_than_its_limit);
	tcase_add_test(tc, buffer_no_memory);
	return harness_main(suite);
}
