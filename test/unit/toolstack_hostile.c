/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Damaged and hostile streams around a plain domain stream: cut at every octet, every bit turned,
 * records where they may not come, memory refused. Nothing crashes or hangs, the text says what is
 * wrong and where, and a domain whose stream was not whole is never called complete.
 */
#include "toolstack_harness.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine_alloc.h"
#include "record.h"
#include "toolstack/xl_file.h"

static struct stream s;
static uint64_t domain_end; /* where libxl's records go on */
static size_t xl_octets;

static void put_xl(void)
{
	static const char config[] = CONFIG;
	const uint32_t fields[] = {XL_BYTEORDER, 3, 0, 4 + sizeof(config), sizeof(config)};

	stream_put(&s, XL_MAGIC, XL_MAGIC_OCTETS);
	stream_put(&s, fields, sizeof(fields));
	stream_put(&s, config, sizeof(config));
	xl_octets = s.len;
}

static void put_domain(void)
{
	libxl_head(&s);
	libxl_record(&s, LIBXL_LIBXC_CONTEXT, NULL, 0);
	tiny_headers(&s);
	tiny_image(&s, 1);
	domain_end = stream_record(&s, REC_END, NULL, 0) + 8;
}

static void put_rest(void)
{
	libxl_emulator_at(&s, 1);
	libxl_record(&s, LIBXL_END, NULL, 0);
}

static void new_target(void)
{
	toolstack_reset();
	tiny_target();
}

static void setup(void)
{
	new_target();
}

static void teardown(void)
{
	stream_release(&s);
}

static void setup_whole(void)
{
	setup();
	put_xl();
	put_domain();
	put_rest();
}

/* ---- cut and damaged ------------------------------------------------------------------------- */

START_TEST(cut_anywhere)
{
	for (size_t len = 0; len < s.len; len++) {
		char text[96];

		if (!tiny_worth(len))
			continue;
		new_target();
		t.restore.xl_header = true;
		toolstack_restore_stream(&s, len);
		harness_failed_somehow();
		snprintf(text, sizeof(text), "the stream ends early, at offset %zu: ", len);
		ck_assert_msg(strstr(h.err.text, text), "cut at %zu: %s", len, h.err.text);
		ck_assert_int_eq(h.errnum, ENODATA);
		ck_assert_uint_le(h.err.offset, len);
		ck_assert_uint_eq(t.created, len >= xl_octets + 16);
	}
	new_target();
	t.restore.xl_header = true;
	ck_assert_msg(toolstack_restore_stream(&s, s.len) == 0, "%s", h.err.text);
	tiny_check(1);
	emulator_is(1, 1);
}
END_TEST

/* The eighth of all bits that _i says. */
START_TEST(every_bit)
{
	unsigned good = 0;

	for (size_t at = 0; at < s.len; at++) {
		if (!tiny_worth(at))
			continue;
		s.data[at] ^= (uint8_t)(1u << _i);
		new_target();
		t.restore.xl_header = true;
		if (toolstack_restore_stream(&s, s.len))
			harness_failed_somehow();
		else
			good++;
		s.data[at] ^= (uint8_t)(1u << _i);
	}
	/* Contents are not checked, structure is. */
	ck_assert_uint_gt(good, 100);
	ck_assert_uint_lt(good, 4000);
}
END_TEST

/* ---- the wrong record ------------------------------------------------------------------------- */

/* Each is put where libxl's records begin after the domain stream, or before it. */
static const struct {
	uint32_t type;
	const char *body;
	size_t octets;
	bool before;
	enum xensr_domain_type domain;
	const char *text;
} wrong[] = {
	{LIBXL_END, "", 0, true, XENSR_DOMAIN_HVM,
	 "libxl END record %s: comes before LIBXC_CONTEXT"},
	{LIBXL_EMULATOR_CONTEXT, "\2\0\0\0\0\0\0\0QEVM", 12, true, XENSR_DOMAIN_HVM,
	 "libxl EMULATOR_CONTEXT record %s: comes before LIBXC_CONTEXT"},
	{LIBXL_EMULATOR_XENSTORE_DATA, "\2\0\0\0\0\0\0\0", 8, true, XENSR_DOMAIN_HVM,
	 "libxl EMULATOR_XENSTORE_DATA record %s: comes before LIBXC_CONTEXT"},
	{LIBXL_CHECKPOINT_END, "", 0, true, XENSR_DOMAIN_HVM,
	 "libxl CHECKPOINT_END record %s: comes outside of a checkpoint"},
	{LIBXL_CHECKPOINT_END, "", 0, false, XENSR_DOMAIN_HVM,
	 "libxl CHECKPOINT_END record %s: comes outside of a checkpoint"},
	{LIBXL_CHECKPOINT_STATE, "\0\0\0\0\0\0\0\0", 8, true, XENSR_DOMAIN_HVM,
	 "libxl CHECKPOINT_STATE record %s: comes where no state is awaited"},
	{LIBXL_CHECKPOINT_STATE, "\0\0\0\0\0\0\0\0", 8, false, XENSR_DOMAIN_HVM,
	 "libxl CHECKPOINT_STATE record %s: comes where no state is awaited"},
	{LIBXL_CHECKPOINT_STATE, "\0\0\0\0", 4, false, XENSR_DOMAIN_HVM,
	 "libxl CHECKPOINT_STATE record %s: is 4 octets long, at least 8 needed"},
	{LIBXL_CHECKPOINT_STATE, "", 0, false, XENSR_DOMAIN_HVM,
	 "libxl CHECKPOINT_STATE record %s: is 0 octets long, at least 8 needed"},
	{LIBXL_LIBXC_CONTEXT, "", 0, false, XENSR_DOMAIN_HVM,
	 "libxl LIBXC_CONTEXT record %s: comes a second time"},
	{LIBXL_END, "", 0, false, XENSR_DOMAIN_HVM,
	 "libxl END record %s: the image is incomplete, there was no EMULATOR_CONTEXT"},
	{6, "", 0, false, XENSR_DOMAIN_HVM, "unknown libxl record %s: type 0x6 is unknown"},
	{0x7fffffff, "", 0, true, XENSR_DOMAIN_HVM,
	 "unknown libxl record %s: type 0x7fffffff is unknown"},
	{LIBXL_EMULATOR_CONTEXT, "\2\0\0\0\0\0\0\0QEVM", 12, false, XENSR_DOMAIN_PV,
	 "libxl EMULATOR_CONTEXT record %s: does not belong to domain 7, which is no HVM domain"},
	{LIBXL_EMULATOR_XENSTORE_DATA, "\2\0\0\0\0\0\0\0", 8, false, XENSR_DOMAIN_PVH,
	 "libxl EMULATOR_XENSTORE_DATA record %s: does not belong to domain 7, which is no HVM "
	 "domain"},
	{LIBXL_EMULATOR_CONTEXT, "\2\0\0\0", 4, false, XENSR_DOMAIN_HVM,
	 "libxl EMULATOR_CONTEXT record %s: is 4 octets long, at least 8 needed"},
	{LIBXL_EMULATOR_CONTEXT, "\7\0\0\0\0\0\0\0", 8, false, XENSR_DOMAIN_HVM,
	 "libxl EMULATOR_CONTEXT record %s: emulator 7 is unknown"},
	{LIBXL_EMULATOR_XENSTORE_DATA, "\2\0\0\0\0\0\0\0../x\0", 14, false, XENSR_DOMAIN_HVM,
	 "libxl EMULATOR_XENSTORE_DATA record %s: key 0 leads out of its directory"},
	{LIBXL_EMULATOR_XENSTORE_DATA, "\2\0\0\0\0\0\0\0a\0", 10, false, XENSR_DOMAIN_HVM,
	 "libxl EMULATOR_XENSTORE_DATA record %s: key 0 has no value"},
};

START_TEST(wrong_record)
{
	char at[48], text[200];
	uint64_t offset;

	libxl_head(&s);
	offset = s.len;
	if (!wrong[_i].before) {
		s.len = 0;
		put_domain();
		offset = s.len;
	}
	stream_record(&s, wrong[_i].type, wrong[_i].body, wrong[_i].octets);
	put_rest();
	t.domain.type = wrong[_i].domain;
	t.domain.needs_emulator = wrong[_i].domain == XENSR_DOMAIN_HVM;
	toolstack_restore_stream(&s, s.len);
	snprintf(at, sizeof(at), "at offset %" PRIu64, offset);
	snprintf(text, sizeof(text), wrong[_i].text, at);
	harness_failed(EBADMSG, "%s", text);
	ck_assert_uint_eq(h.err.offset, offset);
	emulator_is(0, 0);
}
END_TEST

START_TEST(twice)
{
	uint64_t offset;

	put_domain();
	libxl_emulator_at(&s, 1);
	offset = s.len;
	if (_i)
		libxl_emulator(&s, LIBXL_EMULATOR_CONTEXT, 2, "QEVM", 4);
	else
		libxl_emulator(&s, LIBXL_EMULATOR_XENSTORE_DATA, 2, "", 0);
	libxl_record(&s, LIBXL_END, NULL, 0);
	toolstack_restore_stream(&s, s.len);
	harness_failed(EBADMSG, "%s record at offset %" PRIu64 ": comes a second time",
		       _i ? "libxl EMULATOR_CONTEXT" : "libxl EMULATOR_XENSTORE_DATA", offset);
}
END_TEST

/* An emulator cannot start from nothing. */
START_TEST(empty_context)
{
	uint64_t offset;

	put_domain();
	offset = s.len;
	libxl_emulator(&s, LIBXL_EMULATOR_CONTEXT, 2, "", 0);
	libxl_record(&s, LIBXL_END, NULL, 0);
	toolstack_restore_stream(&s, s.len);
	harness_failed(EBADMSG,
		       "libxl EMULATOR_CONTEXT record at offset %" PRIu64
		       ": is empty, and the emulator needs its context",
		       offset);
	emulator_is(0, 0);
}
END_TEST

/* Nothing of what was there stays in the way, and a record that nobody must know is no harm. */
START_TEST(optional_anywhere)
{
	libxl_head(&s);
	stream_record(&s, 0x80000001, "not LIBXC_CONTEXT", 17);
	libxl_record(&s, LIBXL_LIBXC_CONTEXT, NULL, 0);
	tiny_headers(&s);
	tiny_image(&s, 1);
	stream_record(&s, REC_END, NULL, 0);
	stream_record(&s, 0x80000000, "not END", 7);
	libxl_emulator_at(&s, 1);
	stream_record(&s, 0xffffffff, NULL, 0);
	libxl_record(&s, LIBXL_END, NULL, 0);
	stream_record(&s, 6, "not read", 8);
	ck_assert_msg(toolstack_restore_stream(&s, s.len) == 0, "%s", h.err.text);
	tiny_check(1);
	emulator_is(1, 1);
	ck_assert(harness_logged(XENSR_LOG_DETAIL, "skipped optional libxl record of type "
						   "0x80000001 and 17 octets at offset 16"));
}
END_TEST

/* ---- heads ------------------------------------------------------------------------------------ */

START_TEST(legacy_image)
{
	setup_whole();
	s.data[36] = XL_MANDATORY_JSON;
	t.restore.xl_header = true;
	toolstack_restore_stream(&s, s.len);
	harness_failed(ENOTSUP, "the file holds an image of Xen 4.5 or earlier, which must be "
				"converted first");
	ck_assert_uint_eq(t.created, 0);
}
END_TEST

START_TEST(header_not_announced)
{
	setup_whole();
	toolstack_restore_stream(&s, s.len);
	harness_failed(EBADMSG, "libxl header at offset 0: ident is 0x58656e2073617665, not "
				"0x4c6962786c466d74 (\"LibxlFmt\"): this is not a libxl stream");
}
END_TEST

START_TEST(converted)
{
	put_domain();
	put_rest();
	s.data[15] = LIBXL_OPTION_FROM_LEGACY;
	ck_assert_msg(toolstack_restore_stream(&s, s.len) == 0, "%s", h.err.text);
	ck_assert(harness_logged(XENSR_LOG_DETAIL, "was converted from an image of Xen 4.5"));
}
END_TEST

/* ---- memory ----------------------------------------------------------------------------------- */

#define ALLOCATIONS 40

/* After the nth allocation failed, or none did. */
static void check_memory(unsigned nth, unsigned least)
{
	MUST(engine_alloc.calls < ALLOCATIONS, "%u allocations", engine_alloc.calls);
	if (!engine_alloc.failed) {
		MUST(h.rc == 0, "%s", h.err.text);
		MUST(nth > least, "nothing was allocated");
		return;
	}
	ck_assert_int_eq(h.rc, -1);
	ck_assert_int_eq(h.errnum, ENOMEM);
	ck_assert_ptr_nonnull(strstr(h.err.text, "Cannot allocate memory"));
	harness_nothing_left();
}

START_TEST(restore_allocation_fails)
{
	int fd = stream_fd(&s);

	t.restore.xl_header = true;
	engine_alloc_arm((unsigned)_i);
	toolstack_restore(fd);
	engine_alloc_disarm();
	ck_assert_int_eq(engine_alloc.held, 0);
	check_memory((unsigned)_i, 6);
	close(fd);
}
END_TEST

START_TEST(save_allocation_fails)
{
	int fd = memfd_new();

	source_small();
	engine_alloc_arm((unsigned)_i);
	toolstack_save(fd);
	engine_alloc_disarm();
	ck_assert_uint_eq(fake.changes, 0);
	check_memory((unsigned)_i, 3);
	close(fd);
}
END_TEST

/* A length alone allocates nothing. */
START_TEST(claimed_length)
{
	const uint32_t claim[] = {LIBXL_EMULATOR_CONTEXT, 16 << 20};
	int fd;

	put_domain();
	stream_put(&s, claim, sizeof(claim));
	stream_put(&s, "QEVM....", 8);
	fd = stream_fd(&s);
	engine_alloc_arm(0);
	toolstack_restore(fd);
	engine_alloc_disarm();
	harness_failed_somehow();
	ck_assert_int_eq(h.errnum, ENODATA);
	ck_assert_uint_lt(engine_alloc.octets, 1 << 20);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("toolstack and hostile streams");
	TCase *tc;

	signal(SIGPIPE, SIG_IGN);
	tc = harness_tcase(suite, "damage", setup_whole, teardown);
	tcase_add_test(tc, cut_anywhere);
	tcase_add_loop_test(tc, every_bit, 0, 8);

	tc = harness_tcase(suite, "records", setup, teardown);
	tcase_add_loop_test(tc, wrong_record, 0, (int)(sizeof(wrong) / sizeof(wrong[0])));
	tcase_add_loop_test(tc, twice, 0, 2);
	tcase_add_test(tc, empty_context);
	tcase_add_test(tc, optional_anywhere);
	tcase_add_test(tc, legacy_image);
	tcase_add_test(tc, header_not_announced);
	tcase_add_test(tc, converted);
	tcase_add_test(tc, claimed_length);

	tc = harness_tcase(suite, "memory", setup_whole, teardown);
	tcase_add_loop_test(tc, restore_allocation_fails, 1, ALLOCATIONS);
	tcase_add_loop_test(tc, save_allocation_fails, 1, ALLOCATIONS);
	return harness_main(suite);
}
