/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Restoring a checkpointed stream: whatever happens to the stream, to a callback or to a call, the
 * domain is the last complete checkpoint to the octet, or the restore fails. Taken for a dead
 * primary is only a stream that breaks off.
 */
#include "engine_harness.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <xen/hvm/params.h>

#include "engine_alloc.h"
#include "pages.h"
#include "record.h"

/* ---- a guest that lives through three checkpoints ------------------------------------------ */

#define LAST    3u
#define SPECIAL 0x20ull
#define TOP     0x40u

/* What each pfn holds at each checkpoint: a seed, or one of these. */
#define HOLE 0
#define ZERO 0xfe /* as Xen gives it: allocate only, or a ring */

struct image {
	uint8_t pages[TOP];
	uint64_t generation; /* a parameter that changes; 0: it is not sent */
};

static struct image images[LAST + 1];

/* Where in the stream each checkpoint is complete: behind its CHECKPOINT. [0]: the headers. */
static uint64_t complete_at[LAST + 1];
/* Where it is worth to cut or to damage: all that is no page. */
static bool is_page[1u << 18];
static struct stream s;

/* A record of these entries, with the pages as `image` has them. */
static void put_pages(const struct image *image, const uint64_t *entries, uint32_t n)
{
	struct stream pages = {0};
	uint64_t at = s.len, body = 16 + n * 8ull;

	stream_pages(&pages, entries, n, 0);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t pfn = page_entry_pfn(entries[i]);

		if (!page_type_has_data(page_entry_type(entries[i])))
			continue;
		page_fill(pages.data + body, pfn,
			  image->pages[pfn] == ZERO ? 99 : image->pages[pfn]);
		memset(is_page + at + body, true, PAGE_OCTETS);
		body += PAGE_OCTETS;
	}
	stream_put(&s, pages.data, pages.len);
	stream_release(&pages);
}

static void put_params(const struct image *image)
{
	const uint64_t params[][2] = {
		{HVM_PARAM_STORE_PFN, SPECIAL + SPECIAL_STORE},
		{HVM_PARAM_IOREQ_PFN, SPECIAL + SPECIAL_IOREQ},
		{HVM_PARAM_BUFIOREQ_PFN, SPECIAL + SPECIAL_BUFIOREQ},
		{HVM_PARAM_CONSOLE_PFN, SPECIAL + SPECIAL_CONSOLE},
		{HVM_PARAM_VM_GENERATION_ID_ADDR, image->generation},
	};

	stream_params(&s, image->generation ? 5 : 4, params);
}

/* What closes image `age`. */
static void put_state(unsigned age)
{
	stream_tsc_aged(&s, 1000 + age);
	stream_context_aged(&s, (uint8_t)(0x30 + age));
	put_params(&images[age]);
}

static void put_checkpoint(unsigned age)
{
	put_state(age);
	stream_record(&s, REC_CHECKPOINT, NULL, 0);
	complete_at[age] = s.len;
}

static uint64_t change(struct image *image, uint64_t pfn, enum page_type type, uint8_t seed)
{
	image->pages[pfn] = type == PAGE_NORMAL ? seed : type == PAGE_ALLOC_ONLY ? ZERO : HOLE;
	return page_entry(pfn, type);
}

static void put_first(void)
{
	struct image *image = &images[1];
	uint64_t entries[12];
	uint32_t n = 0;

	for (uint64_t pfn = 0x10; pfn < 0x16; pfn++)
		entries[n++] = change(image, pfn, PAGE_NORMAL, 1);
	for (uint64_t i = 0; i < 4; i++)
		entries[n++] = change(image, SPECIAL + i, PAGE_NORMAL, 1);
	for (uint64_t i = 0; i < 4; i++)
		image->pages[SPECIAL + i] = ZERO;
	image->generation = 0x1111;
	put_pages(image, entries, n);
	put_checkpoint(1);
}

static void put_second(void)
{
	struct image *image = &images[2];
	uint64_t entries[8];

	*image = images[1];
	image->generation = 0x2222;
	stream_record(&s, 0x80000077, "optional", 8);
	entries[0] = change(image, 0x11, PAGE_NORMAL, 2);
	entries[1] = change(image, 0x13, PAGE_INVALID, 0);
	entries[2] = change(image, 0x14, PAGE_INVALID, 0);
	entries[3] = change(image, 0x30, PAGE_NORMAL, 2);
	put_pages(image, entries, 4);
	entries[0] = change(image, 0x14, PAGE_NORMAL, 2); /* it was deferred only */
	entries[1] = change(image, 0x31, PAGE_ALLOC_ONLY, 0);
	put_pages(image, entries, 2);
	put_checkpoint(2);
}

static void put_third(void)
{
	struct image *image = &images[3];
	uint64_t entries[8];

	*image = images[2];
	image->generation = 0;
	entries[0] = change(image, 0x11, PAGE_NORMAL, 3);
	entries[1] = change(image, 0x12, PAGE_INVALID, 0);
	entries[2] = change(image, 0x13, PAGE_NORMAL, 3); /* memory again */
	entries[3] = change(image, 0x30, PAGE_INVALID, 0);
	put_pages(image, entries, 4);
	put_checkpoint(3);
}

/* Some of a fourth, which never becomes complete. */
static void put_rest(void)
{
	struct image scratch = images[3];
	uint64_t entries[4];

	entries[0] = change(&scratch, 0x10, PAGE_NORMAL, 4);
	entries[1] = change(&scratch, 0x11, PAGE_INVALID, 0);
	entries[2] = change(&scratch, 0x32, PAGE_NORMAL, 4);
	put_pages(&scratch, entries, 3);
	stream_tsc_aged(&s, 1004);
	stream_context_aged(&s, 0x34);
}

static void setup(void)
{
	harness_reset();
	memset(images, 0, sizeof(images));
	memset(is_page, 0, sizeof(is_page));
	stream_headers(&s, 3, GUEST_X86_HVM);
	complete_at[0] = s.len;
	stream_record(&s, REC_STATIC_DATA_END, NULL, 0);
	put_first();
	put_second();
	put_third();
	put_rest();
	HOLDS(s.len < sizeof(is_page));
}

static void teardown(void)
{
	stream_release(&s);
}

/* ---- running it ----------------------------------------------------------------------------- */

static void new_target(enum xensr_stream_type type, int send_back_fd)
{
	int (*script)(unsigned, unsigned) = h.script;

	harness_reset();
	h.script = script;
	h.target = fake_domain_add(TARGET_DOMID, 0x100);
	harness_restore_type(type, send_back_fd);
}

/* Restore the first `len` octets. */
static void restore_cut(const struct stream *stream, size_t len)
{
	int fd = stream_fd_cut(stream, len);

	harness_restore(fd);
	close(fd);
}

static void check_page(unsigned age, uint64_t pfn)
{
	const void *page = fake_page(h.target, pfn);
	unsigned seed = images[age].pages[pfn];

	if (seed == HOLE)
		MUST(!page, "checkpoint %u: pfn %#llx was a hole", age, (unsigned long long)pfn);
	else if (seed == ZERO)
		MUST(page_is_zero(page), "checkpoint %u: pfn %#llx is not zero", age,
		     (unsigned long long)pfn);
	else
		MUST(page_is(page, pfn, seed), "checkpoint %u: pfn %#llx differs", age,
		     (unsigned long long)pfn);
}

/* The target is image `age`, and nothing else. */
static void check_image(unsigned age)
{
	uint8_t context[FAKE_CONTEXT];
	uint32_t octets = context_make_aged(context, (uint8_t)(0x30 + age));
	const struct fake_domain *dom = h.target;
	uint64_t pages = 0;

	for (uint64_t pfn = 0; pfn < TOP; pfn++) {
		check_page(age, pfn);
		pages += images[age].pages[pfn] != HOLE;
	}
	MUST(fake_pages(dom) == pages, "%llu pages", (unsigned long long)fake_pages(dom));
	MUST(dom->tot_pages == pages, "%llu pages", (unsigned long long)dom->tot_pages);
	MUST(dom->tsc.nsec == 1000 + age, "TSC of %llu", (unsigned long long)dom->tsc.nsec);
	MUST(dom->context_octets == octets && memcmp(dom->context, context, octets) == 0,
	     "another context than of checkpoint %u", age);
	MUST(dom->params[HVM_PARAM_VM_GENERATION_ID_ADDR] == images[age].generation,
	     "checkpoint %u: generation %#llx", age,
	     (unsigned long long)dom->params[HVM_PARAM_VM_GENERATION_ID_ADDR]);
	MUST(dom->params[HVM_PARAM_STORE_PFN] == SPECIAL, "no store");
	MUST(dom->params[HVM_PARAM_STORE_EVTCHN] == 21, "no event channel");
	MUST(h.results.store_gfn == SPECIAL + SPECIAL_STORE, "no store");
	MUST(h.results.console_gfn == SPECIAL + SPECIAL_CONSOLE, "no console");
	MUST(fake_grants(h.target)[GNTTAB_RESERVED_XENSTORE].frame == SPECIAL, "no grants");
	MUST(fake.calls[FN_CONTEXT_SET] == 1, "the state was given %u times",
	     fake.calls[FN_CONTEXT_SET]);
}

/* The restore ended well with this image. */
static void check_went_well(unsigned age, bool failed_over)
{
	MUST(h.rc == 0, "%s", h.err.text);
	MUST(h.results.checkpoints == age, "%llu checkpoints, not %u",
	     (unsigned long long)h.results.checkpoints, age);
	MUST(h.results.failed_over == failed_over, "failed over: %d", h.results.failed_over);
	MUST(h.nr_level[XENSR_LOG_ERROR] == 0, "an error was logged");
	MUST(fake.mappings == 0 && fake.buffers == 0, "something is left");
	check_image(age);
}

static unsigned complete_before(uint64_t len)
{
	unsigned age = 0;

	while (age < LAST && len >= complete_at[age + 1])
		age++;
	return age;
}

/* ---- the stream breaks off ------------------------------------------------------------------ */

static void check_cut(size_t len)
{
	unsigned age = complete_before(len);

	new_target(XENSR_STREAM_REMUS, -1);
	restore_cut(&s, len);
	if (age) {
		check_went_well(age, true);
		MUST(h.nr_level[XENSR_LOG_NOTICE] == 1, "nobody was told");
		return;
	}
	MUST(h.rc == -1 && h.errnum == ENODATA, "cut at %zu: %s", len, h.err.text);
	MUST(strstr(h.err.text, "the stream ends early, at offset "), "%s", h.err.text);
	MUST(fake.calls[FN_CONTEXT_SET] == 0, "half an image got its state");
	MUST(fake.mappings == 0 && fake.buffers == 0, "something is left");
}

/* At every octet, but for those in the middle of a page, of which there are some. */
START_TEST(cut_anywhere)
{
	for (size_t len = 0; len <= s.len; len++) {
		if (!is_page[len] || !is_page[len - 1] || !is_page[len + 1] || len % 331 == 0)
			check_cut(len);
	}
}
END_TEST

START_TEST(cut_is_told)
{
	char text[160];

	new_target(XENSR_STREAM_REMUS, -1);
	restore_cut(&s, complete_at[2] + 5);
	check_went_well(2, true);
	snprintf(text, sizeof(text),
		 "failing over to checkpoint 2: record header at offset %" PRIu64
		 ": the stream ends early, at offset %" PRIu64 ": 3 more octets expected",
		 complete_at[2], complete_at[2] + 5);
	ck_assert_msg(harness_logged(XENSR_LOG_NOTICE, text), "%s", text);
	ck_assert(harness_logged(XENSR_LOG_DETAIL, "checkpoint 1 is complete"));
	ck_assert(harness_logged(XENSR_LOG_DETAIL, "checkpoint 2 is complete"));
	ck_assert_uint_eq(h.callbacks[FN_CB_CHECKPOINT], 2);
	ck_assert_uint_eq(h.static_calls, 1);
}
END_TEST

/* A connection that is reset is a broken one; a descriptor that cannot be read is our trouble. */
START_TEST(reset_connection)
{
	int fds[2], size = 1 << 20;

	new_target(XENSR_STREAM_REMUS, -1);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_int_eq(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	/* What is unread when the other end closes makes a reset of it. */
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	ck_assert_int_eq(write(fds[0], s.data, complete_at[1] + 5), (ssize_t)complete_at[1] + 5);
	close(fds[0]);
	harness_restore(fds[1]);
	check_went_well(1, true);
	ck_assert(harness_logged(XENSR_LOG_NOTICE, "Connection reset by peer"));
	close(fds[1]);
}
END_TEST

static int stream_of_script = -1;

/* The descriptor goes bad under the restore, by the toolstack's doing. */
static int script_bad_fd(unsigned callback, unsigned nth)
{
	if (callback == FN_CB_CHECKPOINT && nth == 2) {
		int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		HOLDS(dup2(dir, stream_of_script) == stream_of_script);
		close(dir);
	}
	return 1;
}

START_TEST(unreadable_is_an_error)
{
	h.script = script_bad_fd;
	new_target(XENSR_STREAM_REMUS, -1);
	stream_of_script = stream_fd(&s);
	harness_restore(stream_of_script);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, EISDIR);
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
	close(stream_of_script);
}
END_TEST

/* ---- the stream ends ------------------------------------------------------------------------ */

static struct stream t; /* as the test has made it */

static void begin_edited(uint64_t len)
{
	stream_put(&t, s.data, len);
}

static void run_edited(void)
{
	restore_cut(&t, t.len);
	stream_release(&t);
}

START_TEST(end_after_checkpoint)
{
	unsigned age = (unsigned)_i;

	new_target(XENSR_STREAM_REMUS, -1);
	begin_edited(complete_at[age]);
	stream_record(&t, REC_END, NULL, 0);
	stream_record(&t, 0x80000001, "not ours", 8); /* is not read */
	run_edited();
	check_went_well(age, false);
	ck_assert_uint_eq(h.nr_level[XENSR_LOG_NOTICE], 0);
}
END_TEST

/* Even with the number of our checksums, which have no place here. */
START_TEST(optional_record_between_checkpoints)
{
	new_target(XENSR_STREAM_REMUS, -1);
	begin_edited(complete_at[1]);
	stream_record(&t, _i ? REC_CHECKSUM : 0x80000001, NULL, 0);
	run_edited();
	check_went_well(1, true);
}
END_TEST

/* An END closes the first image; later ones are complete with the toolstack's part alone. */
START_TEST(end_of_image)
{
	unsigned age = (unsigned)_i;

	new_target(XENSR_STREAM_REMUS, -1);
	begin_edited(complete_at[age] - 8);
	stream_record(&t, REC_END, NULL, 0);
	run_edited();
	if (age > 1) {
		harness_failed(EBADMSG,
			       "END record at offset %" PRIu64 ": comes within a checkpoint",
			       complete_at[age] - 8);
		ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
		return;
	}
	MUST(h.rc == 0, "%s", h.err.text);
	ck_assert_uint_eq(h.results.checkpoints, age - 1);
	ck_assert(!h.results.failed_over);
	ck_assert_uint_eq(h.callbacks[FN_CB_CHECKPOINT], age - 1);
	check_image(age);
}
END_TEST

START_TEST(end_of_half_an_image)
{
	new_target(XENSR_STREAM_REMUS, -1);
	begin_edited(complete_at[2] - 8 - (8 + 8 + 5 * 16)); /* no HVM_PARAMS */
	stream_record(&t, REC_END, NULL, 0);
	run_edited();
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, EBADMSG);
	ck_assert_ptr_nonnull(strstr(h.err.text, "comes within a checkpoint"));
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
}
END_TEST

/* A record that older savers wrote empty is none, and takes nothing back. */
START_TEST(end_after_an_empty_record)
{
	static const uint64_t nothing;

	new_target(XENSR_STREAM_REMUS, -1);
	begin_edited(complete_at[2]);
	stream_record(&t, REC_HVM_PARAMS, &nothing, sizeof(nothing));
	stream_record(&t, REC_END, NULL, 0);
	run_edited();
	check_went_well(2, false);
}
END_TEST

START_TEST(checkpoint_of_half_an_image)
{
	new_target(XENSR_STREAM_REMUS, -1);
	begin_edited(complete_at[2]);
	stream_record(&t, REC_CHECKPOINT, NULL, 0);
	run_edited();
	harness_failed(EBADMSG,
		       "CHECKPOINT record at offset %" PRIu64
		       ": the image is incomplete, there was no X86_TSC_INFO, HVM_CONTEXT, "
		       "HVM_PARAMS",
		       complete_at[2]);
	ck_assert_uint_eq(h.callbacks[FN_CB_CHECKPOINT], 2);
}
END_TEST

/* A checkpointed stream is no plain one, and the other way round. */
START_TEST(plain_restore)
{
	new_target(XENSR_STREAM_PLAIN, -1);
	restore_cut(&s, s.len);
	harness_failed(EBADMSG,
		       "CHECKPOINT record at offset %" PRIu64
		       ": comes in a stream that is not checkpointed",
		       complete_at[1] - 8);
}
END_TEST

START_TEST(verify_among_checkpoints)
{
	new_target(XENSR_STREAM_REMUS, -1);
	begin_edited(complete_at[_i]);
	stream_record(&t, REC_VERIFY, NULL, 0);
	run_edited();
	harness_failed(EBADMSG, "VERIFY record at offset %" PRIu64 ": %s", complete_at[_i],
		       _i ? "comes in a checkpointed stream" : "comes before PAGE_DATA");
}
END_TEST

/* ---- damage --------------------------------------------------------------------------------- */

/* What is behind `at` belongs to a checkpoint that was complete before. */
static void check_damaged(uint64_t at, unsigned bit)
{
	uint64_t first = complete_at[2];

	MUST(at >= first, "not of the third");
	stream_put(&t, s.data, complete_at[LAST]);
	stream_record(&t, REC_END, NULL, 0);
	t.data[at] ^= (uint8_t)(1u << bit);
	new_target(XENSR_STREAM_REMUS, -1);
	run_edited();
	MUST(fake.mappings == 0 && fake.buffers == 0, "something is left");
	if (h.rc)
		MUST(h.errnum != 0 && h.err.text[0], "no reason");
	/* A length that grew makes the stream end early, which nobody can tell from a cut. */
	if (h.rc == 0 && h.results.failed_over)
		MUST(h.nr_level[XENSR_LOG_NOTICE] == 1 &&
			     harness_logged(XENSR_LOG_NOTICE, "the stream ends early"),
		     "octet %llu, bit %u: failed over", (unsigned long long)at, bit);
	if (h.rc == 0 && h.results.failed_over)
		check_image(2);
}

START_TEST(bit_flips)
{
	for (uint64_t at = complete_at[2]; at < complete_at[LAST]; at++) {
		for (unsigned bit = 0; bit < 8 && !is_page[at]; bit++)
			check_damaged(at, bit);
	}
}
END_TEST

/* Damage that is none of a cut: an error with its place, and no failover. */
START_TEST(damage_is_no_failover)
{
	static const struct {
		uint64_t at; /* in the third checkpoint, which begins with PAGE_DATA */
		uint8_t octet;
		int errnum;
		const char *text;
	} cases[] = {
		{0, 0x55, EBADMSG, "unknown record at offset %" PRIu64 ": type 0x55 is unknown"},
		{3, 0x40, EBADMSG,
		 "unknown record at offset %" PRIu64 ": type 0x40000001 is unknown"},
		{7, 0x90, EBADMSG, NULL}, /* the length */
		{4, 0x00, EBADMSG, NULL},
		{8, 0x05, EBADMSG, NULL}, /* the count */
		{8, 0x00, EBADMSG, "PAGE_DATA record at offset %" PRIu64 ": has no entries"},
		{8 + 8 + 7, 0x50, EBADMSG,
		 "PAGE_DATA record at offset %" PRIu64 ": type 0x5 of pfn 0x11 is unknown"},
		{8 + 8 + 7, 0x10, EBADMSG,
		 "PAGE_DATA record at offset %" PRIu64
		 ": type 0x1 of pfn 0x11 is a page table, which an x86 HVM guest has not"},
		{8 + 8 + 5, 0x01, EBADMSG,
		 "PAGE_DATA record at offset %" PRIu64
		 ": pfn 0x10000000011 is beyond what x86 can address"},
		{8 + 8 + 4, 0x01, EBADMSG,
		 "PAGE_DATA record at offset %" PRIu64
		 ": pfn 0x100000011 is beyond what domain 7 can have"},
	};
	char text[256];

	begin_edited(complete_at[LAST]);
	t.data[complete_at[2] + cases[_i].at] = cases[_i].octet;
	new_target(XENSR_STREAM_REMUS, -1);
	run_edited();
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, cases[_i].errnum);
	ck_assert_uint_eq(h.err.offset, complete_at[2]);
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
	/* Nothing of the third has been done to the guest. */
	for (uint64_t pfn = 0x10; pfn < 0x12; pfn++)
		check_page(2, pfn);
	if (!cases[_i].text)
		return;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof(text), cases[_i].text, complete_at[2]);
#pragma GCC diagnostic pop
	ck_assert_str_eq(h.err.text, text);
}
END_TEST
#define DAMAGES 10

/* The inside of bodies is checked when they come, not when they are applied. */
START_TEST(bad_body)
{
	static const uint64_t strange[][2] = {{HVM_PARAM_CALLBACK_IRQ, 1}};
	struct image scratch = images[2];
	uint64_t entry = change(&scratch, 0x10, PAGE_NORMAL, 7);
	uint8_t context[64] = {0};

	begin_edited(complete_at[2]);
	stream_pages(&t, &entry, 1, 7);
	if (_i == 0)
		stream_params(&t, 1, strange);
	else if (_i == 1)
		stream_record(&t, REC_HVM_CONTEXT, context, sizeof(context));
	else
		stream_record(&t, REC_SHARED_INFO, NULL, 0);
	new_target(XENSR_STREAM_REMUS, -1);
	run_edited();
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, EBADMSG);
	check_page(2, 0x10);
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
}
END_TEST

/* ---- callbacks ------------------------------------------------------------------------------ */

static unsigned scripted, scripted_nth;
static int scripted_answer;

static int script(unsigned callback, unsigned nth)
{
	return callback == scripted && nth == scripted_nth ? scripted_answer : 1;
}

static void answer(unsigned callback, unsigned nth, int what)
{
	scripted = callback;
	scripted_nth = nth;
	scripted_answer = what;
	h.script = script;
}

/* The toolstack says that the primary is dead: the checkpoint at hand does not count. */
START_TEST(checkpoint_says_failover)
{
	unsigned nth = (unsigned)_i;

	answer(FN_CB_CHECKPOINT, nth, XGR_CHECKPOINT_FAILOVER);
	new_target(XENSR_STREAM_REMUS, -1);
	restore_cut(&s, s.len);
	if (nth == 1) {
		harness_failed_somehow();
		ck_assert_int_eq(h.errnum, ENODATA);
		ck_assert_ptr_nonnull(strstr(h.err.text, "there is no complete checkpoint to go on "
							 "from: at the toolstack's word"));
		ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
		return;
	}
	check_went_well(nth - 1, true);
	ck_assert(harness_logged(XENSR_LOG_NOTICE, "at the toolstack's word"));
}
END_TEST

START_TEST(checkpoint_says_error)
{
	static const int answers[] = {XGR_CHECKPOINT_ERROR, -1, 3};
	unsigned nth = (unsigned)_i / 3 + 1;

	answer(FN_CB_CHECKPOINT, nth, answers[_i % 3]);
	new_target(XENSR_STREAM_REMUS, -1);
	restore_cut(&s, s.len);
	harness_failed(ECANCELED,
		       "CHECKPOINT record at offset %" PRIu64
		       ": the toolstack ended the replication after checkpoint %u (checkpoint "
		       "answered %d)",
		       complete_at[nth] - 8, nth - 1, answers[_i % 3]);
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
}
END_TEST

/* At each CHECKPOINT the descriptor stands right behind it: the toolstack reads its own there. */
static int read_own(unsigned callback, unsigned nth)
{
	char own[5];

	if (callback != FN_CB_CHECKPOINT || nth > LAST)
		return 1;
	MUST(fd_octets(stream_of_script) == complete_at[nth] + 5 * (nth - 1),
	     "the descriptor is at octet %llu at checkpoint %u",
	     (unsigned long long)fd_octets(stream_of_script), nth);
	HOLDS(read(stream_of_script, own, 5) == 5);
	HOLDS(memcmp(own, "libxl", 5) == 0);
	return 1;
}

START_TEST(descriptor_is_handed_up)
{
	for (unsigned age = 0; age < LAST; age++) {
		stream_put(&t, s.data + (age ? complete_at[age] : 0),
			   complete_at[age + 1] - (age ? complete_at[age] : 0));
		stream_put(&t, "libxl", 5);
	}
	h.script = read_own;
	new_target(XENSR_STREAM_REMUS, -1);
	stream_of_script = stream_fd(&t);
	harness_restore(stream_of_script);
	check_went_well(LAST, true);
	close(stream_of_script);
	stream_release(&t);
}
END_TEST

START_TEST(missing_callbacks)
{
	enum xensr_stream_type type = _i ? XENSR_STREAM_COLO : XENSR_STREAM_REMUS;
	struct xensr_restore_callbacks *cb = &h.restore.callbacks;

	new_target(type, 0);
	if (_i <= 1)
		cb->checkpoint = NULL;
	else if (_i == 2)
		cb->suspend = NULL;
	else if (_i == 3)
		cb->postcopy = NULL;
	else if (_i == 4)
		cb->wait_checkpoint = NULL;
	else
		h.restore.send_back_fd = -1;
	restore_cut(&s, s.len);
	harness_failed(EINVAL, _i == 5 ? "COLO needs a back channel"
				       : "a checkpointed stream needs the callback checkpoint and, "
					 "for COLO, suspend, postcopy and wait_checkpoint");
	ck_assert_uint_eq(fake.changes, 0);
}
END_TEST

/* ---- limits and faults ---------------------------------------------------------------------- */

START_TEST(over_the_limit)
{
	/* The second checkpoint has 3 pages, the third 2. */
	new_target(XENSR_STREAM_REMUS, -1);
	h.restore.checkpoint_limit = 3 * PAGE_OCTETS;
	restore_cut(&s, s.len);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, ENOBUFS);
	ck_assert_ptr_nonnull(strstr(h.err.text, "the checkpoint takes up more than the limit of "
						 "12288 octets"));
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
	check_page(1, 0x11);

	/* Each has the limit to itself; the image before the first waits for nothing. */
	new_target(XENSR_STREAM_REMUS, -1);
	h.restore.checkpoint_limit = 4 * PAGE_OCTETS;
	restore_cut(&s, s.len);
	check_went_well(LAST, true);
}
END_TEST

/* Endless records without an end in sight: the default limit follows what the domain may have. */
START_TEST(default_limit)
{
	uint64_t entry = page_entry(0x10, PAGE_NORMAL);
	struct stream page = {0};
	unsigned n = 0;

	stream_pages(&page, &entry, 1, 1);
	begin_edited(complete_at[1]);
	for (; t.len < (80u << 20); n++)
		stream_put(&t, page.data, page.len);
	stream_release(&page);
	new_target(XENSR_STREAM_REMUS, -1);
	run_edited();
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, ENOBUFS);
	ck_assert_uint_eq(h.target->max_pages, 0x100);
	ck_assert_ptr_nonnull(strstr(h.err.text, "more than the limit of 68161536 octets"));
	ck_assert_uint_gt(n, 0x100);
}
END_TEST

#define CALLS 60

/* A call that fails is an error at all times, and no reason to go on alone. */
START_TEST(call_fails)
{
	bool cut = _i & 1;

	begin_edited(complete_at[LAST]);
	if (!cut)
		stream_record(&t, REC_END, NULL, 0);
	new_target(XENSR_STREAM_REMUS, -1);
	fake.fail_at = (unsigned)_i / 2 + 1;
	run_edited();
	if (fake.failed == FN_NONE) {
		check_went_well(LAST, cut);
		return;
	}
	if (fake.failed == FN_UNMAP || fake.failed == FN_UNMAP_RESOURCE) {
		ck_assert_msg(h.rc == 0, "%s", h.err.text);
		ck_assert(harness_logged(XENSR_LOG_WARN, "cannot unmap "));
		check_image(LAST);
		return;
	}
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, EIO);
	/* Only what was true before the call failed. */
	ck_assert_uint_eq(h.nr_level[XENSR_LOG_NOTICE],
			  cut && h.callbacks[FN_CB_CHECKPOINT] == LAST &&
				  harness_logged(XENSR_LOG_DETAIL, "checkpoint 3 is complete"));
}
END_TEST

START_TEST(sweep_is_long_enough)
{
	new_target(XENSR_STREAM_REMUS, -1);
	restore_cut(&s, s.len);
	ck_assert_uint_gt(fake.total, 20);
	ck_assert_uint_lt(fake.total, CALLS);
}
END_TEST

#define ALLOCATIONS 60

START_TEST(allocation_fails)
{
	int fd = stream_fd(&s);

	new_target(XENSR_STREAM_REMUS, -1);
	engine_alloc_arm((unsigned)_i);
	harness_restore(fd);
	engine_alloc_disarm();
	close(fd);
	ck_assert_uint_lt(engine_alloc.calls, ALLOCATIONS - 1);
	if (!engine_alloc.failed) {
		check_went_well(LAST, true);
		ck_assert_int_gt(_i, 10);
		return;
	}
	ck_assert_int_eq(h.rc, -1);
	ck_assert_int_eq(h.errnum, ENOMEM);
	harness_nothing_left();
	ck_assert(!harness_logged(XENSR_LOG_NOTICE, "failing over"));
}
END_TEST

/* Xen has no memory for what is new: the guest's pages are those of the checkpoint before. */
START_TEST(no_memory_for_checkpoint)
{
	new_target(XENSR_STREAM_REMUS, -1);
	h.target->max_pages = 10; /* what the first checkpoint takes */
	restore_cut(&s, s.len);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, ENOMEM);
	ck_assert_uint_eq(h.callbacks[FN_CB_CHECKPOINT], 2);
	for (uint64_t pfn = 0x10; pfn < 0x16; pfn++)
		check_page(1, pfn);
}
END_TEST

/* ---- COLO ----------------------------------------------------------------------------------- */

static int back[2];

static void open_back(void)
{
	HOLDS(pipe(back) == 0);
}

/* One list, as it comes back. Returns its pfns. */
static unsigned read_list(uint64_t pfns[16])
{
	struct wire_record_header header;

	MUST(read(back[0], &header, sizeof(header)) == (ssize_t)sizeof(header), "no list");
	HOLDS(header.type == REC_CHECKPOINT_DIRTY_PFN_LIST);
	HOLDS(header.length % 8 == 0);
	HOLDS(header.length <= 16 * 8);
	if (header.length)
		HOLDS(read(back[0], pfns, header.length) == (ssize_t)header.length);
	return header.length / 8;
}

/* What the secondary writes before it is suspended again: each time one page more. */
static const uint64_t written[LAST] = {0x10, 0x11, 0x15};

static int live_as_secondary(unsigned callback, unsigned nth)
{
	if (callback == FN_CB_CHECKPOINT && nth == 1)
		h.target->log_dirty = true; /* by the toolstack */
	if (callback == FN_CB_WAIT_CHECKPOINT) {
		for (unsigned i = 0; i < nth; i++) {
			page_fill(fake_page(h.target, written[i]), written[i], 50 + nth);
			fake_dirty(h.target, written[i]);
		}
	}
	return callback == scripted && nth == scripted_nth ? scripted_answer : 1;
}

static void new_secondary(void)
{
	open_back();
	h.script = live_as_secondary;
	new_target(XENSR_STREAM_COLO, back[1]);
}

static void colo_answer(unsigned callback, unsigned nth, int what)
{
	answer(callback, nth, what);
	h.script = live_as_secondary;
}

static void check_order(unsigned rounds)
{
	static const unsigned order[] = {FN_CB_CHECKPOINT, FN_CONTEXT_SET,        FN_CB_RESULTS,
					 FN_CB_POSTCOPY,   FN_CB_WAIT_CHECKPOINT, FN_CB_SUSPEND,
					 FN_LOGDIRTY};
	int last = -1;

	for (unsigned nth = 0; nth < rounds; nth++) {
		for (unsigned i = 0; i < 7; i++) {
			int at = fake_trace_find(order[i], nth);

			MUST(at > last, "round %u: step %u", nth, i);
			last = at;
		}
	}
	MUST(h.callbacks[FN_CB_RESULTS] == rounds, "%u results", h.callbacks[FN_CB_RESULTS]);
}

START_TEST(colo_rounds)
{
	uint64_t pfns[16];

	answer(FN_NONE, 0, 0);
	new_secondary();
	restore_cut(&s, s.len);
	ck_assert_msg(h.rc == 0, "%s", h.err.text);
	ck_assert_uint_eq(h.results.checkpoints, LAST);
	ck_assert(h.results.failed_over);
	check_order(LAST);
	ck_assert_uint_eq(fake.finals, LAST);
	for (unsigned nth = 1; nth <= LAST; nth++) {
		ck_assert_uint_eq(read_list(pfns), nth);
		for (unsigned i = 0; i < nth; i++)
			ck_assert_uint_eq(pfns[i], written[i]);
	}
	/* It goes on as it ran, not as the checkpoint was. */
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], LAST);
	ck_assert(page_is(fake_page(h.target, 0x10), 0x10, 50 + LAST));
	ck_assert_ptr_null(fake_page(h.target, 0x30));
	ck_assert_uint_eq(h.target->tsc.nsec, 1000 + LAST);
	ck_assert(harness_logged(XENSR_LOG_NOTICE,
				 "failing over to the guest as it runs since checkpoint 3"));
	/* Log-dirty mode is the toolstack's. */
	ck_assert_uint_eq(fake.calls[FN_SHADOW], 0);
}
END_TEST

START_TEST(colo_cuts)
{
	answer(FN_NONE, 0, 0);
	for (size_t len = 0; len <= s.len; len++) {
		unsigned age = complete_before(len);

		if (is_page[len] && len % 997)
			continue;
		new_secondary();
		restore_cut(&s, len);
		MUST((h.rc == 0) == (age != 0), "cut at %zu: %s", len, h.err.text);
		MUST(fake.calls[FN_CONTEXT_SET] == age, "state given %u times",
		     fake.calls[FN_CONTEXT_SET]);
		if (age) {
			HOLDS(h.results.failed_over);
			HOLDS(h.results.checkpoints == age);
			HOLDS(page_is(fake_page(h.target, 0x10), 0x10, 50 + age));
			HOLDS(h.target->tsc.nsec == 1000 + age);
		}
		close(back[0]);
		close(back[1]);
	}
}
END_TEST

/* A parameter that went back to 0 is 0 here too, though an earlier checkpoint had it set. */
START_TEST(colo_parameter_goes)
{
	answer(FN_NONE, 0, 0);
	new_secondary();
	restore_cut(&s, s.len);
	ck_assert_msg(h.rc == 0, "%s", h.err.text);
	ck_assert_uint_eq(images[LAST - 1].generation, 0x2222);
	ck_assert_uint_eq(h.target->params[HVM_PARAM_VM_GENERATION_ID_ADDR],
			  images[LAST].generation);
}
END_TEST

/* END takes nothing back of what the guest has done since the checkpoint. */
START_TEST(colo_end)
{
	answer(FN_NONE, 0, 0);
	begin_edited(complete_at[2]);
	stream_record(&t, REC_END, NULL, 0);
	new_secondary();
	run_edited();
	ck_assert_msg(h.rc == 0, "%s", h.err.text);
	ck_assert_uint_eq(h.results.checkpoints, 2);
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 2);
	ck_assert(page_is(fake_page(h.target, 0x10), 0x10, 52));
}
END_TEST

static const struct {
	unsigned callback;
	const char *name;
} colo_callbacks[] = {
	{FN_CB_CHECKPOINT, "checkpoint"},
	{FN_CB_POSTCOPY, "postcopy"},
	{FN_CB_WAIT_CHECKPOINT, "wait_checkpoint"},
	{FN_CB_SUSPEND, "suspend"},
};

START_TEST(colo_says_failover)
{
	unsigned callback = (unsigned)_i / 2, nth = (unsigned)_i % 2 + 1;
	unsigned age = callback ? nth : nth - 1;

	colo_answer(colo_callbacks[callback].callback, nth, XGR_CHECKPOINT_FAILOVER);
	new_secondary();
	restore_cut(&s, s.len);
	if (age == 0) {
		harness_failed_somehow();
		return;
	}
	ck_assert_msg(h.rc == 0, "%s", h.err.text);
	ck_assert(h.results.failed_over);
	ck_assert_uint_eq(h.results.checkpoints, age);
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], age);
	harness_nothing_left();
}
END_TEST

START_TEST(colo_says_error)
{
	unsigned callback = (unsigned)_i / 4, nth = (unsigned)_i / 2 % 2 + 1;
	int what = _i % 2 ? -1 : XGR_CHECKPOINT_ERROR;
	char text[128];

	colo_answer(colo_callbacks[callback].callback, nth, what);
	new_secondary();
	restore_cut(&s, s.len);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, ECANCELED);
	snprintf(text, sizeof(text),
		 "the toolstack ended the replication after checkpoint %u (%s answered %d)",
		 callback ? nth : nth - 1, colo_callbacks[callback].name, what);
	ck_assert_msg(strstr(h.err.text, text), "%s", h.err.text);
}
END_TEST

/* The primary does not read its list: it is gone. */
START_TEST(colo_back_channel_closed)
{
	answer(FN_NONE, 0, 0);
	new_secondary();
	close(back[0]);
	restore_cut(&s, s.len);
	ck_assert_msg(h.rc == 0, "%s", h.err.text);
	ck_assert(h.results.failed_over);
	ck_assert_uint_eq(h.results.checkpoints, 1);
	ck_assert(harness_logged(XENSR_LOG_NOTICE, "back channel: "));
	ck_assert(harness_logged(XENSR_LOG_NOTICE, "Broken pipe"));
}
END_TEST

START_TEST(colo_back_channel_bad)
{
	answer(FN_NONE, 0, 0);
	new_secondary();
	h.restore.send_back_fd = back[0]; /* cannot be written */
	restore_cut(&s, s.len);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, EBADF);
	ck_assert_ptr_nonnull(strstr(h.err.text, "back channel: "));
}
END_TEST

/* Xen's log cannot be had: an error, since the primary would miss pages. */
START_TEST(colo_without_log)
{
	answer(FN_NONE, 0, 0);
	new_secondary();
	if (_i)
		fake.short_log = 1;
	else
		h.script = script; /* nobody switches it on */
	restore_cut(&s, s.len);
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, _i ? EIO : EINVAL);
	ck_assert_ptr_nonnull(strstr(h.err.text, _i ? "the dirty bitmap of domain 7 has "
						    : "cannot get the dirty bitmap of domain 7"));
}
END_TEST

START_TEST(colo_call_fails)
{
	answer(FN_NONE, 0, 0);
	new_secondary();
	fake.fail_at = (unsigned)_i;
	restore_cut(&s, s.len);
	if (fake.failed == FN_NONE || fake.failed == FN_UNMAP || fake.failed == FN_UNMAP_RESOURCE) {
		ck_assert_msg(h.rc == 0, "%s", h.err.text);
		ck_assert_uint_eq(h.results.checkpoints, LAST);
		return;
	}
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, EIO);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine with checkpoints");
	TCase *tc;

	signal(SIGPIPE, SIG_IGN);
	tc = harness_tcase(suite, "cut", setup, teardown);
	tcase_add_test(tc, cut_anywhere);
	tcase_add_test(tc, cut_is_told);
	tcase_add_test(tc, reset_connection);
	tcase_add_test(tc, unreadable_is_an_error);

	tc = harness_tcase(suite, "end", setup, teardown);
	tcase_add_loop_test(tc, end_after_checkpoint, 1, LAST + 1);
	tcase_add_loop_test(tc, optional_record_between_checkpoints, 0, 2);
	tcase_add_loop_test(tc, end_of_image, 1, LAST + 1);
	tcase_add_test(tc, end_of_half_an_image);
	tcase_add_test(tc, end_after_an_empty_record);
	tcase_add_test(tc, checkpoint_of_half_an_image);
	tcase_add_test(tc, plain_restore);
	tcase_add_loop_test(tc, verify_among_checkpoints, 1, LAST + 1);

	tc = harness_tcase(suite, "damage", setup, teardown);
	tcase_add_test(tc, bit_flips);
	tcase_add_loop_test(tc, damage_is_no_failover, 0, DAMAGES);
	tcase_add_loop_test(tc, bad_body, 0, 3);

	tc = harness_tcase(suite, "callbacks", setup, teardown);
	tcase_add_loop_test(tc, checkpoint_says_failover, 1, LAST + 1);
	tcase_add_loop_test(tc, checkpoint_says_error, 0, 3 * 3);
	tcase_add_test(tc, descriptor_is_handed_up);
	tcase_add_loop_test(tc, missing_callbacks, 0, 6);

	tc = harness_tcase(suite, "limits and faults", setup, teardown);
	tcase_add_test(tc, over_the_limit);
	tcase_add_test(tc, default_limit);
	tcase_add_test(tc, sweep_is_long_enough);
	tcase_add_loop_test(tc, call_fails, 0, CALLS * 2);
	tcase_add_loop_test(tc, allocation_fails, 1, ALLOCATIONS);
	tcase_add_test(tc, no_memory_for_checkpoint);

	tc = harness_tcase(suite, "COLO", setup, teardown);
	tcase_add_test(tc, colo_rounds);
	tcase_add_test(tc, colo_cuts);
	tcase_add_test(tc, colo_parameter_goes);
	tcase_add_test(tc, colo_end);
	tcase_add_loop_test(tc, colo_says_failover, 0, 8);
	tcase_add_loop_test(tc, colo_says_error, 0, 16);
	tcase_add_test(tc, colo_back_channel_closed);
	tcase_add_test(tc, colo_back_channel_bad);
	tcase_add_loop_test(tc, colo_without_log, 0, 2);
	tcase_add_loop_test(tc, colo_call_fails, 1, 160);
	return harness_main(suite);
}
