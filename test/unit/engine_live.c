/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Saving a guest that runs: what each round sends, who decides how many there are, memory that
 * comes and goes meanwhile, and that after any failure nothing logs what the guest writes. What
 * was saved is restored and compared with what the guest was when it was suspended.
 */
#include "engine_harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xen/hvm/params.h>

#include "engine_alloc.h"
#include "pages.h"

/* ---- a guest of few pages ------------------------------------------------------------------- */

#define GUEST_PAGES (0x40u + 0x10u + 8u)

/* Where the stream was at each look at the log. */
static uint64_t looks[32];
static int stream_fd_now = -1;

/* What a test has the guest do at a call. */
static void (*at_call)(enum fake_fn fn, unsigned nth);

static void on_call(enum fake_fn fn, unsigned nth)
{
	/* No ck_assert here: check allocates. */
	if (fn == FN_LOGDIRTY && nth <= 32)
		looks[nth - 1] = (uint64_t)lseek(stream_fd_now, 0, SEEK_CUR);
	if (at_call)
		at_call(fn, nth);
}

static void source_tiny(void)
{
	h.source = fake_domain_add(SOURCE_DOMID, 0x1000);
	source_fill(0, 0x3f);
	source_fill(0x200, 0x20f);
	source_fill(SMALL_SPECIAL, SMALL_SPECIAL + 7);
	source_state(SMALL_SPECIAL);
}

static void setup(void)
{
	harness_reset();
	source_tiny();
	harness_live(true);
	at_call = NULL;
}

/* Save to a new descriptor, which stays in stream_fd_now. */
static void live_save(void)
{
	fake.hook = on_call;
	stream_fd_now = memfd_new();
	harness_save(stream_fd_now);
	fake.hook = NULL;
}

/* It went well, and what it wrote is what the guest was. */
static void check_saved(void)
{
	ck_assert_msg(h.rc == 0, "%s", h.err.text);
	harness_nothing_left();
	ck_assert_uint_eq(fake.changes, 0);
	ck_assert_uint_eq(h.saved.octets, fd_octets(stream_fd_now));
	ck_assert_uint_eq(h.progress_falls, 0);
	/* The last look is the final one, and the only one. */
	ck_assert_uint_eq(fake.finals, 1);
	ck_assert_uint_eq(fake.cleans, h.saved.rounds + 1);
	ck_assert_int_eq(lseek(stream_fd_now, 0, SEEK_SET), 0);
	target_for_source();
	h.source->log_dirty = false;
	harness_restore(stream_fd_now);
	ck_assert_msg(h.rc == 0, "%s", h.err.text);
	target_check(SMALL_SPECIAL);
	ck_assert_uint_eq(h.target->tot_pages, h.source->tot_pages);
	close(stream_fd_now);
}

static void check_failed(int errnum, const char *text)
{
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, errnum);
	ck_assert_msg(strstr(h.err.text, text), "%s", h.err.text);
	ck_assert_uint_eq(fake.changes, 0);
	close(stream_fd_now);
}

/* The entries of the PAGE_DATA records between two octets of the stream; data pages in *pages. */
static unsigned entries_between(uint64_t first, uint64_t end, uint64_t entries[64], unsigned *pages)
{
	struct stream_item items[STREAM_ITEMS];
	struct stream s = {0};
	unsigned n, found = 0;

	stream_load(&s, stream_fd_now);
	n = stream_items(&s, items);
	*pages = 0;
	for (unsigned i = 0; i < n; i++) {
		uint32_t count;

		if (items[i].type != REC_PAGE_DATA || items[i].offset < first ||
		    items[i].offset >= end)
			continue;
		memcpy(&count, items[i].body, 4);
		for (uint32_t e = 0; e < count; e++) {
			uint64_t entry;

			memcpy(&entry, items[i].body + 8 + e * 8, 8);
			*pages += page_type_has_data(page_entry_type(entry));
			if (found < 64)
				entries[found] = entry;
			found++;
		}
	}
	stream_release(&s);
	return found;
}

/* Exactly these entries, n of them, were sent between looks `from` and from + 1. */
static void check_sent(unsigned from, const uint64_t *expect, unsigned n)
{
	uint64_t end = from + 1 < fake.cleans ? looks[from + 1] : UINT64_MAX;
	uint64_t entries[64];
	unsigned pages;

	ck_assert_uint_eq(entries_between(looks[from], end, entries, &pages), n);
	for (unsigned i = 0; i < n; i++)
		ck_assert_msg(entries[i] == expect[i], "entry %u is %#llx", i,
			      (unsigned long long)entries[i]);
}

/* ---- rounds --------------------------------------------------------------------------------- */

/* Asked before (odd) and after (even) each round. */
static int three_rounds(unsigned callback, unsigned nth)
{
	if (callback == FN_CB_SUSPEND)
		source_write(7, 9);
	if (callback != FN_CB_POLICY)
		return 0;
	if (nth == 1) {
		source_write(3, 1);
		source_write(4, 1);
	} else if (nth == 2) {
		source_write(5, 2);
		source_write(0x20f, 2);
		source_write(3, 2);
	} else if (nth == 6) {
		source_write(6, 3);
		return XGS_POLICY_STOP_AND_COPY;
	}
	return XGS_POLICY_CONTINUE_PRECOPY;
}

START_TEST(rounds)
{
	static const struct precopy_stats asked[] = {
		{0, 0, GUEST_PAGES},      {1, GUEST_PAGES, -1},    {1, GUEST_PAGES, 2},
		{2, GUEST_PAGES + 2, -1}, {2, GUEST_PAGES + 2, 3}, {3, GUEST_PAGES + 5, -1},
	};
	uint64_t entries[64];
	unsigned pages;

	h.script = three_rounds;
	live_save();
	ck_assert_msg(h.rc == 0, "%s", h.err.text);
	ck_assert_uint_eq(entries_between(0, looks[0], entries, &pages), GUEST_PAGES);
	check_sent(0, (uint64_t[]){3, 4}, 2);
	check_sent(1, (uint64_t[]){3, 5, 0x20f}, 3);
	check_sent(2, NULL, 0);
	check_sent(3, (uint64_t[]){6, 7}, 2);
	ck_assert_uint_eq(h.nr_asked, 6);
	for (unsigned i = 0; i < 6; i++) {
		ck_assert_uint_eq(h.asked[i].iteration, asked[i].iteration);
		ck_assert_uint_eq(h.asked[i].total_written, asked[i].total_written);
		ck_assert_int_eq(h.asked[i].dirty_count, asked[i].dirty_count);
	}
	ck_assert_uint_eq(h.saved.rounds, 3);
	ck_assert_uint_eq(h.saved.pages, GUEST_PAGES + 7);
	ck_assert_uint_eq(h.saved.checkpoints, 0);
	ck_assert_uint_eq(h.progress_whats, 4);
	ck_assert_str_eq(h.progress_what, "Saving memory, paused (pages)");
	ck_assert(harness_logged(XENSR_LOG_INFO, "round 2: 2 pages, "));
	ck_assert(harness_logged(XENSR_LOG_INFO, "; 3 pages dirtied meanwhile"));
	ck_assert_uint_eq(h.suspends, 1);
	check_saved();
}
END_TEST

/* Nobody's writes are lost between what logs them and what stops doing so. */
START_TEST(order)
{
	h.script = three_rounds;
	live_save();
	ck_assert_int_lt(fake_trace_find(FN_CB_QEMU_LOGDIRTY, 0), fake_trace_find(FN_SHADOW, 0));
	ck_assert_int_lt(fake_trace_find(FN_SHADOW, 0), fake_trace_find(FN_MAP, 0));
	ck_assert_int_lt(fake_trace_find(FN_CB_SUSPEND, 0), fake_trace_find(FN_LOGDIRTY, 3));
	ck_assert_int_lt(fake_trace_find(FN_LOGDIRTY, 3), fake_trace_find(FN_SHADOW, 1));
	ck_assert_int_ge(fake_trace_find(FN_CB_QEMU_LOGDIRTY, 1), 0);
	ck_assert_int_lt(fake_trace_find(FN_CB_SUSPEND, 0), fake_trace_find(FN_CONTEXT_GET, 0));
	ck_assert_uint_eq(h.callbacks[FN_CB_QEMU_LOGDIRTY], 2);
	ck_assert_uint_eq(fake.calls[FN_SHADOW], 2);
	check_saved();
}
END_TEST

static unsigned stop_at;
static int stop_answer;

/* The guest writes one page more before each question. */
static int writes_until(unsigned callback, unsigned nth)
{
	if (callback != FN_CB_POLICY)
		return 0;
	source_write(nth, nth);
	source_write(0x200 + nth, nth);
	return nth == stop_at ? stop_answer : XGS_POLICY_CONTINUE_PRECOPY;
}

/* The toolstack stops it before a round, with what is dirty fetched already, or after one. */
START_TEST(stop)
{
	stop_at = (unsigned)_i;
	stop_answer = XGS_POLICY_STOP_AND_COPY;
	h.script = writes_until;
	live_save();
	ck_assert_uint_eq(h.nr_asked, stop_at);
	ck_assert_uint_eq(h.saved.rounds, stop_at / 2);
	if (stop_at == 1) {
		/* All of it, once, of a suspended guest. */
		ck_assert_uint_eq(h.saved.pages, GUEST_PAGES);
		ck_assert_int_lt(fake_trace_find(FN_CB_SUSPEND, 0), fake_trace_find(FN_MAP, 0));
	}
	check_saved();
}
END_TEST

START_TEST(policy_gives_up)
{
	static const int answers[] = {XGS_POLICY_ABORT, 2, -2};
	char text[128];

	stop_at = (unsigned)_i / 3 + 1;
	stop_answer = answers[_i % 3];
	h.script = writes_until;
	live_save();
	snprintf(text, sizeof(text),
		 "the toolstack gave the live save of domain 5 up after %u rounds", stop_at / 2);
	check_failed(ECANCELED, text);
	ck_assert_uint_eq(h.suspends, 0);
	ck_assert_uint_eq(fake.calls[FN_SHADOW], 2);
	ck_assert_uint_eq(h.callbacks[FN_CB_QEMU_LOGDIRTY], 2);
}
END_TEST

/* ---- without a toolstack's policy ----------------------------------------------------------- */

static unsigned busy_pages;

/* As many pages are dirty at each look. */
static void busy(enum fake_fn fn, unsigned nth)
{
	if (fn == FN_MAP)
		usleep(3000); /* so that a pause is no less than it is estimated */
	if (fn == FN_LOGDIRTY && !(h.source->flags & XEN_DOMINF_shutdown)) {
		for (uint64_t pfn = 0; pfn < busy_pages; pfn++)
			source_write(0x200 + pfn, nth);
	}
}

static void busy_guest(unsigned pages)
{
	harness_reset();
	source_small();
	harness_live(false);
	busy_pages = pages;
	at_call = busy;
}

START_TEST(as_stock)
{
	busy_guest(_i ? 50 : 49);
	h.save.precopy = XENSR_PRECOPY_STOCK;
	live_save();
	ck_assert_uint_eq(h.saved.rounds, _i ? 5 : 1);
	check_saved();
}
END_TEST

START_TEST(target_is_met)
{
	busy_guest(0);
	h.save.abort_if_busy = true;
	live_save();
	ck_assert_uint_eq(h.saved.rounds, 1);
	ck_assert(harness_logged(XENSR_LOG_INFO, "pausing domain 5 after 1 rounds with 0 dirty "
						 "pages (about 0 ms): the pause meets the target"));
	check_saved();
}
END_TEST

START_TEST(no_progress)
{
	busy_guest(400);
	h.save.downtime_target_ms = 1;
	if (_i)
		h.save.max_iterations = 2;
	live_save();
	ck_assert_uint_eq(h.saved.rounds, _i ? 2 : 3);
	ck_assert(harness_logged(XENSR_LOG_INFO,
				 _i ? "this was the last round allowed"
				    : "the guest dirties pages as fast as they are sent"));
	check_saved();
}
END_TEST

START_TEST(too_busy)
{
	char text[128];

	busy_guest(400);
	h.save.downtime_target_ms = 1;
	h.save.abort_if_busy = true;
	if (_i)
		h.save.max_iterations = 2;
	live_save();
	snprintf(text, sizeof(text),
		 "domain 5 is too busy: after %u rounds 400 pages are dirty, which would pause it "
		 "for about ",
		 _i ? 2 : 3);
	ck_assert(strstr(h.err.text, "; the target is 1 ms"));
	ck_assert_uint_eq(h.suspends, 0);
	ck_assert_uint_eq(h.saved.rounds, _i ? 2 : 3);
	check_failed(EBUSY, text);
}
END_TEST

/* ---- memory that comes and goes ------------------------------------------------------------- */

/* In the first round 0x10 is given back between the query of its type and the mapping. */
static void balloon_out_between(enum fake_fn fn, unsigned nth)
{
	if (fn == FN_MAP && nth == 1)
		fake_page_remove(h.source, 0x10);
}

/* And, before anybody looks at the number of pages, another is taken. */
static void balloon_out_and_back(enum fake_fn fn, unsigned nth)
{
	balloon_out_between(fn, nth);
	if (fn == FN_LOGDIRTY && nth == 1)
		page_fill(fake_page_add(h.source, 0x10, 0), 0x10, 77);
}

START_TEST(deferred)
{
	uint64_t entries[64];
	unsigned pages;

	at_call = _i ? balloon_out_and_back : balloon_out_between;
	stop_at = 2;
	stop_answer = XGS_POLICY_STOP_AND_COPY;
	h.script = writes_until;
	live_save();
	ck_assert_uint_eq(entries_between(0, looks[0], entries, &pages), GUEST_PAGES);
	ck_assert_uint_eq(pages, GUEST_PAGES - 1);
	ck_assert_uint_eq(entries[0x10], page_entry(0x10, PAGE_INVALID));
	check_saved();
}
END_TEST

/* A page that cannot be mapped is given the time until the pause, and no more. */
START_TEST(deferred_for_good)
{
	fake.map_error_gfn = 0x10;
	fake.map_error = -ENOENT;
	stop_at = 4;
	stop_answer = XGS_POLICY_STOP_AND_COPY;
	h.script = writes_until;
	live_save();
	ck_assert_uint_eq(h.suspends, 1);
	ck_assert_uint_eq(h.saved.rounds, 2);
	check_failed(ENOENT, "cannot map pfn 0x10: No such file or directory");
}
END_TEST

/* What happens to the p2m, and when. */
enum {
	OUT = 1,
	IN = 2,
	IN_FAR = 4,
	IN_TOP = 8,
	IN_NEXT = 16
};
static unsigned what_happens, when_asked; /* 0: while it is being suspended */

static void balloon(void)
{
	if (what_happens & OUT)
		fake_page_remove(h.source, 0x11);
	if (what_happens & IN)
		page_fill(fake_page_add(h.source, 0x44, 0), 0x44, 5);
	if (what_happens & IN_FAR)
		page_fill(fake_page_add(h.source, 0x20000, 0), 0x20000, 5);
	if (what_happens & IN_TOP)
		page_fill(fake_page_add(h.source, 0x700, 0), 0x700, 5);
	if (what_happens & IN_NEXT) {
		/* In the octet of the bitmap that is the last, behind the last pfn. */
		page_fill(fake_page_add(h.source, 0x601, 0), 0x601, 5);
		fake_dirty(h.source, 0x601);
	}
}

static int ballooning(unsigned callback, unsigned nth)
{
	if (callback == FN_CB_SUSPEND && when_asked == 0)
		balloon();
	if (callback == FN_CB_POLICY && nth == when_asked)
		balloon();
	return callback == FN_CB_POLICY && nth == 4 ? XGS_POLICY_STOP_AND_COPY : 0;
}

START_TEST(balloons)
{
	static const unsigned cases[] = {OUT,          IN,          IN_FAR,
					 IN_TOP,       IN_NEXT,     OUT | IN,
					 OUT | IN_TOP, IN | IN_TOP, IN_FAR | IN_NEXT};

	what_happens = cases[_i / 5];
	when_asked = (unsigned)_i % 5;
	if (what_happens & IN_NEXT)
		fake_page_add(h.source, 0x600, 0); /* an odd number of pfns */
	h.script = ballooning;
	live_save();
	if (what_happens & IN_FAR)
		ck_assert_uint_eq(fake.last_pages, 0x20001);
	else if (what_happens & IN_TOP)
		ck_assert_uint_eq(fake.last_pages, 0x701);
	check_saved();
}
END_TEST
#define BALLOONS (9 * 5)

/* Pages that Xen lends the guest are not in its number of pages. */
START_TEST(lent_pages)
{
	what_happens = _i & 1 ? OUT | IN : IN;
	when_asked = (unsigned)_i / 2;
	h.source->tot_pages -= 3;
	h.script = ballooning;
	live_save();
	h.source->tot_pages += 3;
	check_saved();
}
END_TEST

/*
 * In the first round, before 0x10005 and after 0x8800 were looked at, one is given for the other.
 * There is no other memory within 128 MiB of what is new, and its content is not logged.
 */
static void swap_far(enum fake_fn fn, unsigned nth)
{
	if (fn != FN_TYPES || nth != 0x10000 / 1024 + 1)
		return;
	fake_page_remove(h.source, 0x10005);
	page_fill(fake_page_add(h.source, 0x8800, 0), 0x8800, 5);
}

START_TEST(swapped_in_first_round)
{
	source_fill(0x10000, 0x1000f);
	at_call = swap_far;
	stop_at = 4;
	stop_answer = XGS_POLICY_STOP_AND_COPY;
	h.script = writes_until;
	live_save();
	ck_assert_uint_eq(h.saved.rounds, 2);
	check_saved();
}
END_TEST

/* ---- log-dirty mode ------------------------------------------------------------------------- */

START_TEST(video_memory_is_tracked)
{
	h.source->vram_tracked = true;
	h.script = three_rounds;
	live_save();
	ck_assert_uint_eq(fake.calls[FN_SHADOW], 4);
	ck_assert_uint_eq(fake.enables, 1);
	check_saved();
}
END_TEST

START_TEST(short_bitmap)
{
	fake.short_log = 8;
	live_save();
	check_failed(EIO, "the dirty bitmap of domain 5 has 1528 pfns of 1536");
}
END_TEST

static int qemu_refuses(unsigned callback, unsigned nth)
{
	if (callback == FN_CB_POLICY)
		return XGS_POLICY_STOP_AND_COPY;
	return callback == FN_CB_QEMU_LOGDIRTY && nth == stop_at;
}

/* It may have done half of it: it is switched off. */
START_TEST(device_model_refuses)
{
	stop_at = 1;
	h.script = qemu_refuses;
	live_save();
	ck_assert_uint_eq(h.callbacks[FN_CB_QEMU_LOGDIRTY], 2);
	ck_assert_uint_eq(fake.calls[FN_SHADOW], 0);
	check_failed(EIO, "the toolstack did not switch the device model's logging on");
}
END_TEST

START_TEST(device_model_goes_on)
{
	stop_at = 2;
	h.script = qemu_refuses;
	live_save();
	ck_assert_uint_eq(h.nr_level[XENSR_LOG_ERROR], 1);
	ck_assert(harness_logged(XENSR_LOG_ERROR,
				 "the device model of domain 5 may go on logging dirty pages"));
	check_saved();
}
END_TEST

/* ---- faults --------------------------------------------------------------------------------- */

START_TEST(suspend_fails)
{
	h.script = three_rounds;
	h.suspend_answer = 0;
	h.suspend_flags = h.source->flags;
	live_save();
	ck_assert_uint_eq(h.saved.rounds, 3);
	check_failed(ECANCELED, "the toolstack did not suspend domain 5");
}
END_TEST

/* A guest that gives all it can to the save: it writes, balloons, and grows. */
static int lively(unsigned callback, unsigned nth)
{
	if (callback == FN_CB_SUSPEND) {
		source_write(7, 9);
		page_fill(fake_page_add(h.source, 0x700, 0), 0x700, 5);
	}
	if (callback != FN_CB_POLICY)
		return 0;
	source_write(nth, nth);
	if (nth == 1)
		page_fill(fake_page_add(h.source, 0x300, 0), 0x300, 5);
	return nth == 4 ? XGS_POLICY_STOP_AND_COPY : XGS_POLICY_CONTINUE_PRECOPY;
}

#define CALLS 90

START_TEST(call_fails)
{
	h.script = lively;
	fake.fail_at = (unsigned)_i;
	live_save();
	ck_assert_uint_lt(fake.total, CALLS - 1);
	ck_assert_uint_eq(fake.changes, 0);
	ck_assert_uint_eq(fake.buffers, 0);
	ck_assert(!h.qemu_logging);
	fake.fail_at = 0;
	if (fake.failed == FN_NONE) {
		ck_assert_int_gt(_i, 40);
		check_saved();
		return;
	} else if (fake.failed == FN_UNMAP) {
		ck_assert_msg(h.rc == 0, "%s", h.err.text);
		ck_assert(harness_logged(XENSR_LOG_WARN, "cannot unmap "));
		ck_assert(!h.source->log_dirty);
	} else if (fake.failed == FN_SHADOW) {
		/* On: tried again. Off: all that can be done is to say so. */
		ck_assert_msg(h.rc == 0, "%s", h.err.text);
		ck_assert(h.source->log_dirty ==
			  harness_logged(XENSR_LOG_ERROR,
					 "cannot end the logging of dirty pages of domain 5: "
					 "Input/output error"));
	} else {
		harness_failed_somehow();
		if (fake.failed != FN_BUFFER_ALLOC)
			ck_assert_int_eq(h.errnum, EIO);
	}
	close(stream_fd_now);
}
END_TEST

/* Log-dirty mode cannot be had at all. */
static void no_log_dirty(enum fake_fn fn, unsigned nth)
{
	(void)nth;
	if (fn == FN_SHADOW)
		h.source->vram_tracked = true;
}

START_TEST(cannot_log)
{
	at_call = no_log_dirty;
	h.source->vram_tracked = true;
	live_save();
	ck_assert_uint_eq(fake.calls[FN_SHADOW], 3);
	ck_assert_uint_eq(h.callbacks[FN_CB_QEMU_LOGDIRTY], 2);
	check_failed(EINVAL, "Xen cannot log what domain 5 writes (log-dirty mode): Invalid "
			     "argument");
}
END_TEST

#define ALLOCATIONS 40

START_TEST(allocation_fails)
{
	at_call = balloon_out_between;
	h.script = lively;
	fake.hook = on_call;
	stream_fd_now = memfd_new();
	engine_alloc_arm((unsigned)_i);
	harness_save(stream_fd_now);
	engine_alloc_disarm();
	ck_assert_uint_lt(engine_alloc.calls, ALLOCATIONS - 1);
	ck_assert_uint_eq(fake.changes, 0);
	if (engine_alloc.failed) {
		harness_failed_somehow();
		ck_assert_int_eq(h.errnum, ENOMEM);
	} else {
		ck_assert_msg(h.rc == 0, "%s", h.err.text);
		ck_assert_int_gt(_i, 3);
	}
	close(stream_fd_now);
}
END_TEST

START_TEST(no_room)
{
	h.script = lively;
	fake.hook = on_call;
	stream_fd_now = memfd_new();
	ck_assert_int_eq(ftruncate(stream_fd_now, _i * 9000), 0);
	ck_assert_int_eq(fcntl(stream_fd_now, F_ADD_SEALS, F_SEAL_GROW), 0);
	harness_save(stream_fd_now);
	check_failed(EPERM, "cannot write the stream at offset ");
}
END_TEST

/* A stream that is stopped is noticed in a round of nothing but holes, too. */
static int turned_around(unsigned callback, unsigned nth)
{
	if (callback == FN_CB_POLICY && nth == 2) {
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		HOLDS(dup2(fd, stream_fd_now) == stream_fd_now);
		close(fd);
	}
	return 0;
}

START_TEST(stream_is_stopped)
{
	h.script = turned_around;
	live_save();
	check_failed(ECANCELED, "the stream cannot be written any more");
	ck_assert_uint_eq(h.suspends, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine live");
	TCase *tc;

	tc = harness_tcase(suite, "rounds", setup, NULL);
	tcase_add_test(tc, rounds);
	tcase_add_test(tc, order);
	tcase_add_loop_test(tc, stop, 1, 8);
	tcase_add_loop_test(tc, policy_gives_up, 0, 3 * 4);

	tc = harness_tcase(suite, "own policy", setup, NULL);
	tcase_add_loop_test(tc, as_stock, 0, 2);
	tcase_add_test(tc, target_is_met);
	tcase_add_loop_test(tc, no_progress, 0, 2);
	tcase_add_loop_test(tc, too_busy, 0, 2);

	tc = harness_tcase(suite, "memory that comes and goes", setup, NULL);
	tcase_add_loop_test(tc, deferred, 0, 2);
	tcase_add_test(tc, deferred_for_good);
	tcase_add_loop_test(tc, balloons, 0, BALLOONS);
	tcase_add_loop_test(tc, lent_pages, 0, 2 * 5);
	tcase_add_test(tc, swapped_in_first_round);

	tc = harness_tcase(suite, "log-dirty mode", setup, NULL);
	tcase_add_test(tc, video_memory_is_tracked);
	tcase_add_test(tc, short_bitmap);
	tcase_add_test(tc, device_model_refuses);
	tcase_add_test(tc, device_model_goes_on);
	tcase_add_test(tc, cannot_log);

	tc = harness_tcase(suite, "faults", setup, NULL);
	tcase_add_test(tc, suspend_fails);
	tcase_add_loop_test(tc, call_fails, 1, CALLS);
	tcase_add_loop_test(tc, allocation_fails, 1, ALLOCATIONS);
	tcase_add_loop_test(tc, no_room, 0, 40);
	tcase_add_test(tc, stream_is_stopped);
	return harness_main(suite);
}
