/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The buffer of a checkpoint by itself.
 */
#include "engine_harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint_buffer.h"
#include "engine_alloc.h"

static struct xensr_ctx ctx;

static void setup(void)
{
	const struct xensr_reports none = {0};

	harness_reset();
	ctx_init(&ctx, -1, &none);
}

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

int main(void)
{
	Suite *suite = suite_create("engine: buffer of a checkpoint");
	TCase *tc;

	tc = harness_tcase(suite, "buffer", setup, NULL);
	tcase_add_test(tc, buffer_takes);
	tcase_add_test(tc, buffer_keeps);
	tcase_add_test(tc, buffer_limit);
	tcase_add_test(tc, buffer_limit_of_records);
	tcase_add_test(tc, buffer_does_not_grow);
	tcase_add_test(tc, buffer_holds_no_more_than_its_limit);
	tcase_add_test(tc, buffer_no_memory);
	return harness_main(suite);
}
