/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The small parts the stream layer stands on: cursor, pfn_set, parameters that can grow, the
 * first error, progress.
 */
#include <check.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "cursor.h"
#include "format.h"
#include "params.h"
#include "pfn_set.h"
#include "unit_main.h"

/* A read that does not fit fails and leaves the cursor where it was. */
START_TEST(cursor_stays)
{
	const uint8_t octets[] = {1, 2, 3, 4, 5, 6, 7};
	struct cursor c = cursor_over(octets, sizeof(octets));

	ck_assert_ptr_null(cursor_take(&c, 8));
	ck_assert_uint_eq(cursor_left(&c), 7);
	ck_assert_ptr_eq(cursor_take(&c, 4), octets);
	ck_assert_ptr_null(cursor_take(&c, 4));
	ck_assert_ptr_null(cursor_take(&c, SIZE_MAX));
	ck_assert_ptr_eq(cursor_take(&c, 3), octets + 4);
	ck_assert_ptr_nonnull(cursor_take(&c, 0));
	ck_assert_uint_eq(cursor_left(&c), 0);
}
END_TEST

static const uint64_t members[] = {0,
				   1,
				   63,
				   64,
				   32767,
				   32768,
				   0xfffff,
				   (1ull << 24) - 1,
				   1ull << 24,
				   1ull << 39,
				   PFN_LIMIT_X86 - 1};

START_TEST(set_members)
{
	struct pfn_set set = {0};

	ck_assert(!pfn_set_has(&set, 0));
	for (int i = 0; i < COUNT(members); i++) {
		ck_assert_int_eq(pfn_set_add(&set, members[i]), 0);
		ck_assert_int_eq(pfn_set_add(&set, members[i]), 0); /* twice is once */
	}
	for (int i = 0; i < COUNT(members); i++) {
		ck_assert(pfn_set_has(&set, members[i]));
	}
	ck_assert(!pfn_set_has(&set, 2));
	ck_assert(!pfn_set_has(&set, (1ull << 24) + 1));
	ck_assert(!pfn_set_has(&set, UINT64_MAX));
	pfn_set_release(&set);
	ck_assert(!pfn_set_has(&set, 0));
	pfn_set_release(&set);
}
END_TEST

START_TEST(set_runs)
{
	struct pfn_set set = {0};

	ck_assert_int_eq(pfn_set_add(&set, 32768 + 5), 0);
	ck_assert(!pfn_set_has_any(&set, 32768 - 512, 512));
	ck_assert(pfn_set_has_any(&set, 32768, 512));
	ck_assert(!pfn_set_has_any(&set, 32768 + 64, 512));
	/* across two leaves */
	ck_assert_int_eq(pfn_set_add_run(&set, 32768 - 512, 1024), 0);
	ck_assert(!pfn_set_has(&set, 32768 - 513));
	ck_assert(pfn_set_has(&set, 32768 - 512));
	ck_assert(pfn_set_has(&set, 32768 + 511));
	ck_assert(!pfn_set_has(&set, 32768 + 512));
	pfn_set_release(&set);
}
END_TEST

START_TEST(set_range)
{
	struct pfn_set set = {0};

	errno = 0;
	ck_assert_int_eq(pfn_set_add(&set, PFN_LIMIT_X86), -1);
	ck_assert_int_eq(errno, ERANGE);
	ck_assert_int_eq(pfn_set_add(&set, UINT64_MAX), -1);
	pfn_set_release(&set);
}
END_TEST

START_TEST(set_remove)
{
	struct pfn_set set = {0};

	pfn_set_remove(&set, 5); /* of the empty set */
	for (int i = 0; i < COUNT(members); i++)
		ck_assert_int_eq(pfn_set_add(&set, members[i]), 0);
	pfn_set_remove(&set, 2);
	pfn_set_remove(&set, UINT64_MAX);
	for (int i = 0; i < COUNT(members); i++) {
		ck_assert(pfn_set_has(&set, members[i]));
		pfn_set_remove(&set, members[i]);
		ck_assert(!pfn_set_has(&set, members[i]));
		for (int k = i + 1; k < COUNT(members); k++)
			ck_assert(pfn_set_has(&set, members[k]));
		pfn_set_remove(&set, members[i]); /* no member any more */
	}
	ck_assert_int_eq(pfn_set_add(&set, 63), 0);
	ck_assert(pfn_set_has(&set, 63));
	ck_assert(!pfn_set_has(&set, 64));
	pfn_set_release(&set);
}
END_TEST

START_TEST(set_words)
{
	struct pfn_set set = {0};
	const uint64_t *leaf;

	ck_assert_int_eq(pfn_set_add_word(&set, 64, 0), 0);
	ck_assert_uint_eq(pfn_set_end(&set), 0); /* nothing was made for nothing */
	ck_assert_ptr_null(pfn_set_leaf(&set, 0));
	ck_assert_int_eq(pfn_set_add_word(&set, PFN_SET_LEAF + 128, 1ull << 63 | 2), 0);
	ck_assert_int_eq(pfn_set_add_word(&set, PFN_SET_LEAF + 128, 4), 0); /* added, not set */
	ck_assert(pfn_set_has(&set, PFN_SET_LEAF + 129));
	ck_assert(pfn_set_has(&set, PFN_SET_LEAF + 130));
	ck_assert(pfn_set_has(&set, PFN_SET_LEAF + 191));
	ck_assert(!pfn_set_has(&set, PFN_SET_LEAF + 128));
	ck_assert(!pfn_set_has(&set, PFN_SET_LEAF + 192));
	ck_assert(!pfn_set_has(&set, 129));

	ck_assert_ptr_null(pfn_set_leaf(&set, 0));
	leaf = pfn_set_leaf(&set, PFN_SET_LEAF);
	ck_assert_ptr_nonnull(leaf);
	for (unsigned i = 0; i < PFN_SET_LEAF / 64; i++)
		ck_assert_uint_eq(leaf[i], i == 2 ? 1ull << 63 | 6 : 0);
	ck_assert_ptr_null(pfn_set_leaf(&set, 2 * PFN_SET_LEAF));
	ck_assert_ptr_null(pfn_set_leaf(&set, 1ull << 39));

	errno = 0;
	ck_assert_int_eq(pfn_set_add_word(&set, PFN_LIMIT_X86, 1), -1);
	ck_assert_int_eq(errno, ERANGE);
	ck_assert_int_eq(pfn_set_add_word(&set, PFN_LIMIT_X86 - 64, 1ull << 63), 0);
	ck_assert(pfn_set_has(&set, PFN_LIMIT_X86 - 1));
	pfn_set_release(&set);
	ck_assert_uint_eq(pfn_set_end(&set), 0);
}
END_TEST

/* All members are found between 0 and the end, a leaf at a time. */
START_TEST(set_end)
{
	struct pfn_set set = {0};
	int found = 0;

	for (int i = 0; i < COUNT(members) && members[i] < 1ull << 30; i++) {
		ck_assert_int_eq(pfn_set_add(&set, members[i]), 0);
		ck_assert_uint_gt(pfn_set_end(&set), members[i]);
		ck_assert_uint_eq(pfn_set_end(&set) % PFN_SET_LEAF, 0);
	}
	for (uint64_t first = 0; first < pfn_set_end(&set); first += PFN_SET_LEAF) {
		const uint64_t *leaf = pfn_set_leaf(&set, first);

		for (unsigned i = 0; leaf && i < PFN_SET_LEAF / 64; i++)
			found += __builtin_popcountll(leaf[i]);
	}
	ck_assert_int_eq(found, 9);
	pfn_set_release(&set);
}
END_TEST

/* From member to member, upwards, and from between them. */
START_TEST(set_next)
{
	struct pfn_set set = {0};
	uint64_t pfn = 0;

	ck_assert_uint_eq(pfn_set_next(&set, 0), UINT64_MAX);
	for (int i = COUNT(members); i--;)
		ck_assert_int_eq(pfn_set_add(&set, members[i]), 0);
	for (int i = 0; i < COUNT(members); i++) {
		ck_assert_uint_eq(pfn_set_next(&set, pfn), members[i]);
		ck_assert_uint_eq(pfn_set_next(&set, members[i]), members[i]);
		pfn = members[i] + 1;
	}
	ck_assert_uint_eq(pfn_set_next(&set, pfn), UINT64_MAX);
	ck_assert_uint_eq(pfn_set_next(&set, UINT64_MAX), UINT64_MAX);
	pfn_set_remove(&set, members[0]);
	ck_assert_uint_eq(pfn_set_next(&set, 0), members[1]);
	pfn_set_release(&set);
}
END_TEST

/* The smallest structure of the API, as callers of three ages know it. */
struct grown {
	size_t size;
	int io_fd;
	int added;
};

START_TEST(params_of_all_ages)
{
	const struct xensr_reports none = {0};
	struct grown to = {.io_fd = -1, .added = 7}, from = {0, 5, 9};
	struct {
		struct grown known;
		uint8_t beyond[16];
	} newer = {.known = {sizeof(newer), 5, 9}};
	struct xensr_ctx ctx;

	ctx_init(&ctx, -1, &none);
	from.size = offsetof(struct grown, added); /* an older caller */
	ck_assert_int_eq(params_copy(&ctx, &to, sizeof(to), &from), 0);
	ck_assert_int_eq(to.io_fd, 5);
	ck_assert_int_eq(to.added, 7);
	ck_assert_int_eq(params_copy(&ctx, &to, sizeof(to), &newer), 0);
	ck_assert_int_eq(to.added, 9);
	newer.beyond[15] = 1; /* asks for what we do not know */
	ck_assert_int_eq(params_copy(&ctx, &to, sizeof(to), &newer), -1);
	ck_assert_int_eq(ctx.err.errnum, EINVAL);
	ctx_init(&ctx, -1, &none);
	from.size = 0;
	ck_assert_int_eq(params_copy(&ctx, &to, sizeof(to), &from), -1);
	ck_assert_str_eq(ctx.err.text, "the size of the parameters is not set");
}
END_TEST

static unsigned reports, falls;
static uint64_t shown;

static void count_progress(void *data, const char *what, uint64_t done, uint64_t total)
{
	(void)data;
	(void)what;
	(void)total;
	reports++;
	falls += done < shown;
	shown = done;
}

START_TEST(progress_is_sparse)
{
	const struct xensr_reports counting = {.progress = count_progress};
	struct xensr_ctx ctx;

	ctx_init(&ctx, -1, &counting);
	for (uint64_t done = 0; done <= 1000000; done++)
		ctx_progress(&ctx, "counting", done, 1000000);
	ck_assert_uint_ge(reports, 100);
	ck_assert_uint_le(reports, 102);
	ck_assert_uint_eq(falls, 0);
	ck_assert_uint_eq(shown, 1000000);
}
END_TEST

START_TEST(first_error_wins)
{
	const struct xensr_reports none = {0};
	struct xensr_error err;
	struct xensr_ctx ctx;
	char text[2000];

	ctx_init(&ctx, -1, &none);
	ctx_enter(&ctx, "PAGE_DATA record", 1, 81920);
	ck_assert_int_eq(ctx_fail(&ctx, EBADMSG, "type %#x of pfn %#x is unknown", 5, 0x12), -1);
	ctx_leave(&ctx);
	ck_assert_int_eq(ctx_fail_errno(&ctx, ENOSPC, "later"), -1);
	ck_assert_int_eq(ctx_finish(&ctx, -1, &err), -1);
	ck_assert_int_eq(errno, EBADMSG);
	ck_assert_int_eq(err.errnum, EBADMSG);
	ck_assert_uint_eq(err.record_type, 1);
	ck_assert_uint_eq(err.offset, 81920);
	ck_assert_str_eq(err.text,
			 "PAGE_DATA record at offset 81920: type 0x5 of pfn 0x12 is unknown");

	/* Text that is too long is cut, and stays a string. */
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	ctx_init(&ctx, -1, &none);
	ck_assert_int_eq(ctx_fail(&ctx, 0, "%s", text), -1);
	ck_assert_int_eq(ctx_finish(&ctx, -1, &err), -1);
	ck_assert_int_eq(err.errnum, EIO); /* never 0 after a failure */
	ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
	ck_assert_uint_eq(err.record_type, XENSR_NO_RECORD);
	ck_assert_uint_eq(err.offset, XENSR_NO_OFFSET);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stream sets");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, cursor_stays);
	tcase_add_test(tc, set_members);
	tcase_add_test(tc, set_runs);
	tcase_add_test(tc, set_range);
	tcase_add_test(tc, set_remove);
	tcase_add_test(tc, set_words);
	tcase_add_test(tc, set_end);
	tcase_add_test(tc, set_next);
	tcase_add_test(tc, params_of_all_ages);
	tcase_add_test(tc, progress_is_sparse);
	tcase_add_test(tc, first_error_wins);
	return unit_main(suite, tc);
}
