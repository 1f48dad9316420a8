/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The walk of the xensr command over damaged streams: never a crash, and the same verdict as the
 * library's; and the index, which holds nothing that the file has not.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "image.h"
#include "pages.h"
#include "record.h"
#include "stream_build.h"
#include "unit_main.h"
#include "walk.h"

struct found {
	unsigned errors, warnings, records;
	char first[512];
	uint64_t first_offset;
};

static int take_record(void *data, const struct walk_record *record)
{
	struct found *found = data;

	(void)record;
	found->records++;
	return 0;
}

static int take_finding(void *data, const struct walk_finding *finding)
{
	struct found *found = data;

	if (finding->severity == WALK_ERROR && found->errors++ == 0) {
		snprintf(found->first, sizeof(found->first), "%s", finding->text);
		found->first_offset = finding->offset;
	}
	found->warnings += finding->severity == WALK_WARNING;
	return 0;
}

/* Walk over the file, as verify (SKIP_READ) or as the index (SKIP_SEEK) does. */
static struct found walk_file(const char *path, enum source_skip skip)
{
	static const struct walk_ops ops = {.record = take_record, .finding = take_finding};
	struct found found = {0};
	struct image image = {0};
	struct source source;
	struct walk walk;

	ck_assert_int_eq(source_open(&source, path, skip), 0);
	ck_assert_int_eq(walk_run(&walk, &source, &image, false, &ops, &found), 0);
	ck_assert_uint_le(source.ctx.offset, source.octets);
	walk_release(&walk);
	source_close(&source);
	free(image.config);
	return found;
}

/* The library's verdict on what is in fd. */
static int library_verdict(int fd, struct xensr_error *err)
{
	struct xensr_verify_params params = XENSR_VERIFY_PARAMS_INIT;

	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	params.io_fd = fd;
	return xensr_verify(&params, NULL, err);
}

/* The index of a file, damaged or not, must not point out of it. */
static void check_index(const char *path, bool damaged, off_t octets)
{
	struct image_error err;
	struct image image;
	int rc = image_open(&image, path, &err);

	ck_assert_int_eq(rc, damaged ? -1 : 0);
	ck_assert(!damaged || errno == EBADMSG || errno == ENODATA);
	ck_assert_int_eq(image.complete, !damaged);
	for (size_t i = 0; i < image.page_count; i++) {
		ck_assert(i == 0 || image.pages[i - 1].pfn < image.pages[i].pfn);
		ck_assert_uint_le(image.pages[i].offset + PAGE_OCTETS,
				  (uint64_t)octets + (image.pages[i].offset ? 0 : PAGE_OCTETS));
		ck_assert_ptr_eq(image_find(&image, image.pages[i].pfn), &image.pages[i]);
	}
	image_close(&image);
}

/* Both of the same mind on the file, and the walk's first error is the library's only one. */
static void compare_verdicts(int fd, const char *path, const char *what, size_t at)
{
	struct xensr_error err = {0};
	int rc = library_verdict(fd, &err);
	struct found found = walk_file(path, SKIP_READ);
	struct found seeking = walk_file(path, SKIP_SEEK);

	ck_assert_msg((rc != 0) == (found.errors != 0), "%s %zu: library %d (%s), walk %u (%s)",
		      what, at, rc, err.text, found.errors, found.first);
	ck_assert_msg(found.errors == seeking.errors && found.records == seeking.records,
		      "%s %zu: %u errors, %u when seeking (%s)", what, at, found.errors,
		      seeking.errors, found.first);
	if (rc && err.errnum == EBADMSG && !strstr(err.text, "no marker"))
		ck_assert_msg(!strcmp(err.text, found.first), "%s %zu: '%s', walk '%s'", what, at,
			      err.text, found.first);
	check_index(path, found.errors != 0, lseek(fd, 0, SEEK_END));
}

/* Is the octet in the middle of a page, where one is as good as another? */
static bool dull(const struct stream *s, size_t at)
{
	const uint8_t *o = s->octets + at;

	return at > 64 && at + 64 < s->len && !memcmp(o - 64, o - 63, 127) && at % 509;
}

static void flip_all(struct stream *s)
{
	int fd = stream_file(s);
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	compare_verdicts(fd, path, "whole", 0);
	ck_assert_uint_eq(walk_file(path, SKIP_READ).errors, 0);
	for (size_t at = 0; at < s->len; at++) {
		for (unsigned bit = 0; bit < 8 && !dull(s, at); bit++) {
			uint8_t octet = s->octets[at] ^ (uint8_t)(1u << bit);

			ck_assert_int_eq(pwrite(fd, &octet, 1, (off_t)at), 1);
			compare_verdicts(fd, path, "bit", at * 8 + bit);
		}
		ck_assert_int_eq(pwrite(fd, s->octets + at, 1, (off_t)at), 1);
	}
	close(fd);
}

static void cut_all(struct stream *s)
{
	int fd = stream_file(s);
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (size_t at = s->len; at-- > 0;) {
		if (dull(s, at))
			continue;
		ck_assert_int_eq(ftruncate(fd, (off_t)at), 0);
		compare_verdicts(fd, path, "cut", at);
		ck_assert_uint_ge(walk_file(path, SKIP_READ).errors, 1);
	}
	close(fd);
}

static void build(struct stream *s, uint32_t guest)
{
	if (guest == GUEST_X86_HVM)
		stream_of(s, 3, guest, good_hvm, COUNT(good_hvm));
	else
		stream_of(s, 3, guest, good_pv, COUNT(good_pv));
	stream_good_record(s, REC_END);
}

START_TEST(hvm_bits)
{
	struct stream s = {0};

	build(&s, GUEST_X86_HVM);
	flip_all(&s);
	stream_release(&s);
}
END_TEST

START_TEST(pv_bits)
{
	struct stream s = {0};

	build(&s, GUEST_X86_PV);
	flip_all(&s);
	stream_release(&s);
}
END_TEST

START_TEST(hvm_cuts)
{
	struct stream s = {0};

	build(&s, GUEST_X86_HVM);
	cut_all(&s);
	stream_release(&s);
}
END_TEST

START_TEST(pv_cuts)
{
	struct stream s = {0};

	build(&s, GUEST_X86_PV);
	cut_all(&s);
	stream_release(&s);
}
END_TEST

/* A finding does not end the walk: each of three damaged records is told. */
START_TEST(goes_on)
{
	static const uint8_t nothing[24];
	struct stream s = {0};
	struct found found;
	char path[64];
	int fd;

	stream_headers(&s, 3, GUEST_X86_HVM, 4);
	stream_good_record(&s, REC_STATIC_DATA_END);
	stream_record(&s, 0x77, nothing, 24);
	stream_good_record(&s, REC_PAGE_DATA);
	stream_record(&s, REC_X86_TSC_INFO, nothing, 16);
	stream_good_record(&s, REC_HVM_CONTEXT);
	stream_good_record(&s, REC_STATIC_DATA_END);
	stream_good_record(&s, REC_HVM_PARAMS);
	stream_good_record(&s, REC_END);
	fd = stream_file(&s);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	found = walk_file(path, SKIP_READ);
	ck_assert_uint_eq(found.errors, 3);
	ck_assert_uint_eq(found.records, 8);
	ck_assert_str_eq(found.first, "unknown record at offset 48: type 0x77 is unknown");
	ck_assert_uint_eq(found.first_offset, 48);
	close(fd);
	stream_release(&s);
}
END_TEST

/* A state counts as complete only if nothing before its end was found to be damaged. */
START_TEST(complete_without_errors)
{
	static const struct walk_ops ops = {0};

	for (int damaged = 0; damaged < 2; damaged++) {
		for (int checkpointed = 0; checkpointed < 2; checkpointed++) {
			struct stream s = {0};
			struct image image = {0};
			struct source source;
			struct walk walk;
			char path[64];
			int fd;

			stream_of(&s, 3, GUEST_X86_HVM, good_hvm, COUNT(good_hvm));
			if (damaged)
				stream_record(&s, 0x77, NULL, 0);
			stream_good_record(&s, checkpointed ? REC_CHECKPOINT : REC_END);
			fd = stream_file(&s);
			snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
			ck_assert_int_eq(source_open(&source, path, SKIP_SEEK), 0);
			ck_assert_int_eq(walk_run(&walk, &source, &image, false, &ops, NULL), 0);
			ck_assert_int_eq(image.complete, !damaged);
			ck_assert_uint_eq(image.checkpoints, checkpointed && !damaged);
			walk_release(&walk);
			source_close(&source);
			close(fd);
			stream_release(&s);
		}
	}
}
END_TEST

/* The last content of a pfn counts, a type without content takes it away. */
START_TEST(last_content_wins)
{
	const uint64_t first[] = {page_entry(9, PAGE_NORMAL), page_entry(3, PAGE_NORMAL),
				  page_entry(4, PAGE_NORMAL), page_entry(1ull << 33, PAGE_NORMAL)};
	const uint64_t again[] = {page_entry(3, PAGE_INVALID), page_entry(9, PAGE_NORMAL),
				  page_entry(9, PAGE_NORMAL), page_entry(4, PAGE_ALLOC_ONLY)};
	struct stream s = {0};
	struct image_error err;
	struct image image;
	uint8_t page[PAGE_OCTETS];
	char path[64];
	int fd;

	stream_headers(&s, 3, GUEST_X86_HVM, 4);
	stream_good_record(&s, REC_STATIC_DATA_END);
	stream_pages(&s, first, COUNT(first));
	stream_pages(&s, again, COUNT(again));
	for (size_t i = 0; i < 4; i++)
		stream_good_record(&s, (uint32_t[]){REC_X86_TSC_INFO, REC_HVM_CONTEXT,
						    REC_HVM_PARAMS, REC_END}[i]);
	fd = stream_file(&s);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ck_assert_int_eq(image_open(&image, path, &err), 0);
	ck_assert_uint_eq(image.page_count, 4);
	ck_assert_uint_eq(image_find(&image, 3)->offset, 0);
	ck_assert_int_eq(image_find(&image, 4)->type, PAGE_ALLOC_ONLY);
	ck_assert_ptr_null(image_find(&image, 5));
	ck_assert_ptr_nonnull(image_find(&image, 1ull << 33));
	ck_assert_int_eq(image_read_pages(&image, image_find(&image, 9), 1, page, &err), 0);
	ck_assert_uint_eq(page[0], 2); /* stream_pages fills with the entry's index */
	ck_assert_int_eq(image_read_pages(&image, image_find(&image, 3), 1, page, &err), -1);
	ck_assert_int_eq(errno, EINVAL);
	image_close(&image);
	image_close(&image);
	close(fd);
	stream_release(&s);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("walk");

	tcase_add_test(tc, hvm_bits);
	tcase_add_test(tc, pv_bits);
	tcase_add_test(tc, hvm_cuts);
	tcase_add_test(tc, pv_cuts);
	tcase_add_test(tc, goes_on);
	tcase_add_test(tc, complete_without_errors);
	tcase_add_test(tc, last_content_wins);
	return unit_main(suite_create("tools_walk"), tc);
}
