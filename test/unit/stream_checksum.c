/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checksums of a domain stream as the library writes and checks them, and looking at octets ahead,
 * which has to leave them as they would have been read.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checksum.h"
#include "io.h"
#include "record.h"
#include "stream_build.h"
#include "unit_main.h"

static struct stream s;
static const struct xensr_reports no_reports;

static void setup(void)
{
	s = (struct stream){0};
}

static void teardown(void)
{
	stream_release(&s);
}

/* A checksum record with what is right for this place of the stream. */
static void add_checksum(enum checksum_place place)
{
	struct checksum *sum = checksum_new(0);
	struct wire_checksum body;

	ck_assert_ptr_nonnull(sum);
	checksum_add(sum, s.octets, s.len);
	body = checksum_record(sum, place);
	checksum_free(sum);
	stream_record(&s, REC_CHECKSUM, &body, sizeof(body));
}

static void build(uint32_t version, uint32_t guest_type, const uint32_t *types, unsigned n)
{
	stream_headers(&s, version, guest_type, 4);
	add_checksum(CHECKSUM_FIRST);
	for (unsigned i = 0; i < n; i++) {
		stream_good_record(&s, types[i]);
		if (i % 3 == 1)
			add_checksum(CHECKSUM_BETWEEN);
	}
	add_checksum(CHECKSUM_LAST);
	stream_good_record(&s, REC_END);
}

/* ---- adding up --------------------------------------------------------------------------- */

/* However the octets come, the digest is that of all but the last few. */
START_TEST(digest_leaves_the_lag_out)
{
	static const size_t portions[] = {1, 3, 7, 8, 9, 64, 1000};
	uint8_t octets[1000];
	size_t portion = portions[_i];
	struct checksum *lagging = checksum_new(8);

	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (uint8_t)(i * 31 + i / 7);
	for (size_t at = 0; at < sizeof(octets);) {
		size_t left = sizeof(octets) - at, now = portion < left ? portion : left;
		struct checksum *plain = checksum_new(0);
		struct wire_checksum expected, got;

		checksum_add(lagging, octets + at, now);
		at += now;
		checksum_add(plain, octets, at > 8 ? at - 8 : 0);
		expected = checksum_record(plain, CHECKSUM_BETWEEN);
		got = checksum_record(lagging, CHECKSUM_BETWEEN);
		ck_assert_mem_eq(&got, &expected, sizeof(got));
		checksum_free(plain);
	}
	checksum_free(lagging);
}
END_TEST

START_TEST(digest_is_xxh3_128)
{
	/* Of nothing; of "abc": as xxhsum -H2 prints them. */
	static const uint8_t empty[16] = {0x99, 0xaa, 0x06, 0xd3, 0x01, 0x47, 0x98, 0xd8,
					  0x60, 0x01, 0xc3, 0x24, 0x46, 0x8d, 0x49, 0x7f};
	static const uint8_t abc[16] = {0x06, 0xb0, 0x5a, 0xb6, 0x73, 0x3a, 0x61, 0x85,
					0x78, 0xaf, 0x5f, 0x94, 0x89, 0x2f, 0x39, 0x50};
	struct checksum *sum = checksum_new(0);
	struct wire_checksum record = checksum_record(sum, CHECKSUM_FIRST);

	ck_assert_mem_eq(record.digest, empty, sizeof(empty));
	checksum_add(sum, "abc", 3);
	record = checksum_record(sum, CHECKSUM_FIRST);
	ck_assert_mem_eq(record.digest, abc, sizeof(abc));
	ck_assert_uint_eq(record.covered, 3);
	checksum_free(sum);
	checksum_free(NULL);
}
END_TEST

/* ---- reading ------------------------------------------------------------------------------- */

static void build_one(int which)
{
	if (which == 0)
		build(3, GUEST_X86_HVM, good_hvm, 7);
	else
		build(3, GUEST_X86_PV, good_pv, 9);
}

START_TEST(good_ones_pass)
{
	struct xensr_verify_results results;
	struct xensr_error err;

	build_one(_i);
	ck_assert_int_eq(stream_verify(&s, &results, &err), 0);
	ck_assert_uint_eq(results.checksums, _i == 0 ? 4 : 5);
}
END_TEST

START_TEST(none_are_counted_without_any)
{
	struct xensr_verify_results results = {.checksums = 77};
	struct xensr_error err;

	stream_of(&s, 3, GUEST_X86_HVM, good_hvm, 7);
	stream_good_record(&s, REC_END);
	ck_assert_int_eq(stream_verify(&s, &results, &err), 0);
	ck_assert_uint_eq(results.checksums, 0);
}
END_TEST

/* Every octet of it, an eighth of them in each run; of the larger one all bits of each 16th. */
START_TEST(every_flipped_bit_is_noticed)
{
	struct xensr_verify_results results;
	struct xensr_error err;

	build_one(_i / 8);
	for (size_t at = (size_t)_i % 8; at < s.len; at += 8) {
		for (unsigned bit = 0; bit < 8; bit++) {
			if (s.len > 8192 && at / 8 % 16 && bit != at / 8 % 8)
				continue;
			s.octets[at] ^= (uint8_t)(1u << bit);
			ck_assert_msg(stream_verify(&s, &results, &err) == -1,
				      "bit %u of octet %zu", bit, at);
			ck_assert(err.errnum == EBADMSG || err.errnum == ENODATA);
			s.octets[at] ^= (uint8_t)(1u << bit);
		}
	}
}
END_TEST

/* A checkpointed reader does not look at them. */
START_TEST(checkpointed_reader_skips_them)
{
	struct xensr_ctx ctx;
	struct reader reader;
	struct record rec;

	build(3, GUEST_X86_HVM, good_hvm, 7);
	s.octets[s.record[0] + 20] ^= 1;
	ctx_init(&ctx, stream_file(&s), &no_reports);
	reader_init(&reader, &ctx, true);
	ck_assert_int_eq(read_headers(&reader), 0);
	ck_assert_int_eq(read_record(&reader, &rec), 0);
	ck_assert_uint_eq(rec.type, good_hvm[0]);
	ck_assert_ptr_null(ctx.sum);
	reader_release(&reader);
	close(ctx.io_fd);
}
END_TEST

START_TEST(optional_records_may_be_kept)
{
	struct xensr_ctx ctx;
	struct reader reader;
	struct record rec;

	stream_headers(&s, 3, GUEST_X86_HVM, 4);
	stream_record(&s, RECORD_OPTIONAL | 0x77, "whatever", 8);
	ctx_init(&ctx, stream_file(&s), &no_reports);
	reader_init(&reader, &ctx, false);
	reader.keep_optional = true;
	ck_assert_int_eq(read_headers(&reader), 0);
	ck_assert_int_eq(read_record(&reader, &rec), 0);
	ck_assert_uint_eq(rec.type, RECORD_OPTIONAL | 0x77);
	ck_assert_uint_eq(rec.length, 8);
	ck_assert_mem_eq(rec.body, "whatever", 8);
	reader_release(&reader);
	close(ctx.io_fd);
}
END_TEST

/* ---- looking ahead ------------------------------------------------------------------------- */

START_TEST(peeked_octets_are_read_again)
{
	static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	const uint8_t *seen;
	struct xensr_ctx ctx;
	char got[sizeof(text)];

	stream_raw(&s, text, sizeof(text));
	ctx_init(&ctx, stream_file(&s), &no_reports);
	ck_assert_int_eq(io_peek(&ctx, 20, &seen), 20);
	ck_assert_mem_eq(seen, text, 20);
	ck_assert_int_eq(io_read(&ctx, got, 3), 0);
	ck_assert_uint_eq(ctx.offset, 3);
	/* Some of these wait already, some do not. */
	ck_assert_int_eq(io_peek(&ctx, 32, &seen), 32);
	ck_assert_mem_eq(seen, text + 3, 32);
	ck_assert_int_eq(io_peek(&ctx, 1, &seen), 1);
	ck_assert_int_eq(io_read(&ctx, got + 3, sizeof(got) - 3), 0);
	ck_assert_mem_eq(got, text, sizeof(text));
	ck_assert_uint_eq(ctx.offset, sizeof(text));
	ck_assert_int_eq(io_peek(&ctx, 1, &seen), 0);
	/* What was put back comes before what the descriptor has. */
	io_unread(&ctx, text + 30, sizeof(text) - 30);
	ck_assert_uint_eq(ctx.offset, 30);
	ck_assert_int_eq(io_read(&ctx, got, 4), 0);
	ck_assert_mem_eq(got, text + 30, 4);
	ck_assert_int_eq(io_peek(&ctx, 33, &seen), -1);
	ck_assert_int_eq(ctx.err.errnum, EINVAL);
	close(ctx.io_fd);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("checksum");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, digest_leaves_the_lag_out, 0, 7);
	tcase_add_test(tc, digest_is_xxh3_128);
	tcase_add_loop_test(tc, good_ones_pass, 0, 2);
	tcase_add_test(tc, none_are_counted_without_any);
	tcase_add_loop_test(tc, every_flipped_bit_is_noticed, 0, 16);
	tcase_add_test(tc, checkpointed_reader_skips_them);
	tcase_add_test(tc, optional_records_may_be_kept);
	tcase_add_test(tc, peeked_octets_are_read_again);
	return unit_main(suite_create("stream_checksum"), tc);
}
