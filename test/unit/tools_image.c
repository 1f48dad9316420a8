/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file that changes between the index and the use of what was indexed: what is used is what was
 * checked, or there is an error.
 */
#include <errno.h>
#include <stddef.h>
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

#define BODY sizeof(struct wire_record_header)

struct changing {
	struct stream s;
	struct image image;
	struct image_error err;
	char path[64];
	int fd;
};

static void open_good(struct changing *c, uint32_t guest_type, const uint32_t *types, size_t n)
{
	*c = (struct changing){0};
	stream_of(&c->s, 3, guest_type, types, n);
	stream_good_record(&c->s, REC_END);
	c->fd = stream_file(&c->s);
	snprintf(c->path, sizeof(c->path), "/proc/self/fd/%d", c->fd);
	ck_assert_msg(image_open(&c->image, c->path, &c->err) == 0, "%s", c->err.text);
}

static void close_all(struct changing *c)
{
	image_close(&c->image);
	close(c->fd);
	stream_release(&c->s);
}

static const struct image_record *the(const struct changing *c, uint32_t type)
{
	const struct image_record *record = image_state_record(&c->image, LAYER_DOMAIN, type);

	ck_assert_ptr_nonnull(record);
	return record;
}

/* Octets of the body of a record, from `at` on. */
static void put(struct changing *c, const struct image_record *record, size_t at,
		const void *octets, size_t n)
{
	ck_assert_int_eq(pwrite(c->fd, octets, n, (off_t)(record->offset + BODY + at)), (ssize_t)n);
}

static void check_text(const struct changing *c, const char *text)
{
	char whole[700];

	snprintf(whole, sizeof(whole), "%s: it has changed meanwhile: %s", c->path, text);
	ck_assert_int_eq(errno, EBADMSG);
	ck_assert_str_eq(c->err.text, whole);
}

/* Each body that the format says something of. */
START_TEST(bodies)
{
	struct changing c;

	open_good(&c, GUEST_X86_HVM, good_hvm, COUNT(good_hvm));
	for (size_t i = 0; i < c.image.record_count; i++) {
		void *body;

		if (c.image.records[i].type == REC_PAGE_DATA)
			continue;
		ck_assert_int_eq(image_read_body(&c.image, &c.image.records[i], &body, &c.err), 0);
		free(body);
	}
	for (size_t i = 0; i < 2; i++) {
		const struct image_record *record =
			the(&c, (uint32_t[]){REC_HVM_PARAMS, REC_HVM_CONTEXT}[i]);
		const uint32_t lie = 0x10000;
		void *body = &c;

		put(&c, record, 0, &lie, sizeof(lie));
		ck_assert_int_eq(image_read_body(&c.image, record, &body, &c.err), -1);
		ck_assert_ptr_null(body);
		ck_assert_int_eq(errno, EBADMSG);
		ck_assert_ptr_nonnull(strstr(c.err.text, ": it has changed meanwhile: HVM_"));
		ck_assert_uint_eq(c.err.offset, record->offset);
	}
	close_all(&c);
}
END_TEST

/* With the width that the guest had when it was indexed. */
START_TEST(pv_bodies)
{
	const uint32_t lie = 999999;
	struct changing c;
	void *body;

	open_good(&c, GUEST_X86_PV, good_pv, COUNT(good_pv));
	for (size_t i = 0; i < c.image.record_count; i++) {
		const struct image_record *record = &c.image.records[i];

		if (record->type == REC_PAGE_DATA)
			continue;
		ck_assert_int_eq(image_read_body(&c.image, record, &body, &c.err), 0);
		free(body);
	}
	put(&c, the(&c, REC_X86_PV_VCPU_BASIC), 0, &lie, sizeof(lie));
	ck_assert_int_eq(image_read_body(&c.image, the(&c, REC_X86_PV_VCPU_BASIC), &body, &c.err),
			 -1);
	ck_assert_ptr_nonnull(strstr(c.err.text, ": it has changed meanwhile: X86_PV_VCPU_BASIC "
						 "record at offset "));
	close_all(&c);
}
END_TEST

/* The entries of PAGE_DATA are read again by each image_select. */
START_TEST(entries)
{
	const uint64_t bad = page_entry(0, PAGE_BROKEN - 1), other = page_entry(1, PAGE_INVALID);
	struct changing c;
	char text[256];

	open_good(&c, GUEST_X86_HVM, good_hvm, COUNT(good_hvm));
	ck_assert_uint_eq(c.image.page_count, 4);
	put(&c, the(&c, REC_PAGE_DATA), sizeof(struct wire_page_data) + 8, &other, sizeof(other));
	ck_assert_int_eq(image_select(&c.image, 0, &c.err), -1);
	snprintf(text, sizeof(text), "record at offset %llu has 3 pages, not 4",
		 (unsigned long long)the(&c, REC_PAGE_DATA)->offset);
	check_text(&c, text);
	ck_assert_ptr_null(c.image.pages);
	ck_assert_uint_eq(c.image.page_count, 0);
	ck_assert_ptr_null(image_find(&c.image, 1));
	put(&c, the(&c, REC_PAGE_DATA), sizeof(struct wire_page_data) + 8, &bad, sizeof(bad));
	ck_assert_int_eq(image_select(&c.image, 0, &c.err), -1);
	ck_assert_int_eq(errno, EBADMSG);
	ck_assert_ptr_nonnull(
		strstr(c.err.text, ": it has changed meanwhile: PAGE_DATA record at offset "));
	close_all(&c);
}
END_TEST

/* All of one type; none of a type that there is not. */
START_TEST(many_records)
{
	const struct image_record *record = NULL;
	struct changing c = {0};
	size_t n = 0;

	stream_headers(&c.s, 3, GUEST_X86_HVM, 4);
	stream_good_record(&c.s, REC_STATIC_DATA_END);
	stream_good_record(&c.s, REC_PAGE_DATA);
	for (size_t i = 0; i < 3; i++)
		stream_good_record(&c.s, REC_HVM_PARAMS);
	for (size_t i = 0; i < 3; i++)
		stream_good_record(&c.s,
				   (uint32_t[]){REC_X86_TSC_INFO, REC_HVM_CONTEXT, REC_END}[i]);
	c.fd = stream_file(&c.s);
	snprintf(c.path, sizeof(c.path), "/proc/self/fd/%d", c.fd);
	ck_assert_int_eq(image_open(&c.image, c.path, &c.err), 0);
	while ((record = image_next_record(&c.image, record, LAYER_DOMAIN, REC_HVM_PARAMS)))
		n++;
	ck_assert_uint_eq(n, 3);
	ck_assert_ptr_null(image_next_record(&c.image, NULL, LAYER_DOMAIN, REC_SHARED_INFO));
	close_all(&c);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("image");

	tcase_add_test(tc, bodies);
	tcase_add_test(tc, pv_bodies);
	tcase_add_test(tc, entries);
	tcase_add_test(tc, many_records);
	return unit_main(suite_create("tools_image"), tc);
}
