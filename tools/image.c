/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "record.h"
#include "source.h"
#include "walk.h"

/* What a body of image_read_body can have: the largest that either layer allows. */
#define BODY_MOST RECORD_LENGTH_MAX

static int fail(struct image_error *err, const struct image *image, int errnum, uint64_t offset,
		const char *fmt, ...) PRINTF_LIKE(5, 6);

static int fail(struct image_error *err, const struct image *image, int errnum, uint64_t offset,
		const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	snprintf(err->text, sizeof(err->text), "%s: %s", image->path ? image->path : "(no name)",
		 text);
	err->offset = offset;
	errno = errnum;
	return -1;
}

/* ---- opening ----------------------------------------------------------------------------------- */

struct indexing {
	struct image *image;
	struct image_error *err;
	size_t room; /* records that image->records has room for */
	int errnum;  /* of the first error */
};

static int index_record(void *data, const struct walk_record *record)
{
	struct indexing *work = data;
	struct image *image = work->image;

	if (work->errnum)
		return -1;
	if (image->record_count == work->room) {
		size_t room = work->room ? 2 * work->room : 256;
		struct image_record *more =
			reallocarray(image->records, room, sizeof(*image->records));

		if (!more) {
			work->errnum = ENOMEM;
			return fail(work->err, image, ENOMEM, UINT64_MAX,
				    "no room for its records");
		}
		image->records = more;
		work->room = room;
	}
	image->records[image->record_count++] = record->place;
	return 0;
}

/* The first error ends the index: what a restore would not read is not looked at. */
static int index_finding(void *data, const struct walk_finding *finding)
{
	struct indexing *work = data;

	/* A cut behind a checkpoint is only a warning, but who looks at memory wants to know. */
	if (finding->severity != WALK_ERROR && finding->errnum != ENODATA)
		return 0;
	work->errnum = finding->errnum;
	return fail(work->err, work->image, finding->errnum, finding->offset, "%s", finding->text);
}

/* A PAGE_DATA record is told before its pages are passed over. If they are not all there, drop it. */
static void drop_cut_record(struct image *image)
{
	const struct image_record *last;

	if (!image->record_count)
		return;
	last = &image->records[image->record_count - 1];
	if (last->offset + sizeof(struct wire_record_header) + last->length > image->octets)
		image->record_count--;
}

static int index_records(struct image *image, struct image_error *err)
{
	static const struct walk_ops ops = {
		.record = index_record,
		.finding = index_finding,
	};
	struct indexing work = {.image = image, .err = err};
	struct source source;
	struct walk walk = {0};
	int rc = -1;

	if (source_open(&source, image->path, SKIP_SEEK)) {
		fail(err, image, source.ctx.err.errnum, UINT64_MAX, "%s", source.ctx.err.text);
		goto out;
	}
	if (!source.seekable) {
		fail(err, image, ESPIPE, UINT64_MAX,
		     "not a regular file: it must be possible to go back in it");
		goto out;
	}
	image->fd = dup(source.ctx.io_fd);
	image->octets = source.octets;
	if (image->fd < 0) {
		fail(err, image, errno, UINT64_MAX, "no descriptor: %m");
		goto out;
	}
	if (walk_run(&walk, &source, image, false, &ops, &work))
		fail(err, image, source.ctx.err.errnum, source.ctx.offset, "%s",
		     source.ctx.err.text);
	else
		rc = work.errnum ? -1 : 0;
	drop_cut_record(image);
	if (work.errnum)
		errno = work.errnum;
out:;
	int errnum = errno;

	walk_release(&walk);
	source_close(&source);
	errno = errnum;
	return rc;
}

int image_open(struct image *image, const char *path, struct image_error *err)
{
	int rc, errnum;
	struct image_error ignored;

	*image = (struct image){.fd = -1};
	*err = (struct image_error){.offset = UINT64_MAX};
	image->path = strdup(path);
	if (!image->path)
		return fail(err, image, ENOMEM, UINT64_MAX, "no room for its name");
	rc = index_records(image, err);
	errnum = errno;
	/* Damaged: what came before may be looked at all the same. */
	if (rc && errnum != EBADMSG && errnum != ENODATA)
		return -1;
	if (image_select(image, image->checkpoints, rc ? &ignored : err)) {
		image->complete = false;
		return -1;
	}
	errno = errnum;
	return rc;
}

void image_close(struct image *image)
{
	if (image->fd >= 0)
		close(image->fd);
	image->fd = -1;
	free(image->path);
	free(image->config);
	free(image->records);
	free(image->pages);
	image->path = NULL;
	image->config = NULL;
	image->records = NULL;
	image->pages = NULL;
	image->record_count = image->page_count = 0;
}

/* ---- reading ----------------------------------------------------------------------------------- */

static int read_at(const struct image *image, void *buffer, size_t len, uint64_t offset,
		   struct image_error *err)
{
	uint8_t *to = buffer;

	while (len) {
		ssize_t got = pread(image->fd, to, len, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail(err, image, errno, offset,
				    "cannot read at offset %" PRIu64 ": %m", offset);
		if (got == 0)
			return fail(err, image, ENODATA, offset,
				    "it has become shorter: nothing at offset %" PRIu64, offset);
		to += got;
		offset += (uint64_t)got;
		len -= (size_t)got;
	}
	return 0;
}

int image_read_pages(const struct image *image, const struct image_page *page, size_t n,
		     void *buffer, struct image_error *err)
{
	uint8_t *to = buffer;

	for (size_t i = 0; i < n;) {
		size_t run = 1;

		if (!page[i].offset)
			return fail(err, image, EINVAL, UINT64_MAX,
				    "pfn %#" PRIx64 " has no content", page[i].pfn);
		while (i + run < n &&
		       page[i + run].offset == page[i].offset + run * (uint64_t)PAGE_OCTETS)
			run++;
		if (read_at(image, to, run * PAGE_OCTETS, page[i].offset, err))
			return -1;
		to += run * PAGE_OCTETS;
		i += run;
	}
	return 0;
}

/* For checks of what is read a second time. */
static void enter(struct xensr_ctx *ctx, const struct image_record *record)
{
	ctx_init(ctx, -1, &(struct xensr_reports){0});
	ctx_enter(ctx, record_title(record->type), record->type, record->offset);
}

static int changed(const struct image *image, const struct xensr_ctx *ctx, uint64_t offset,
		   struct image_error *err)
{
	return fail(err, image, EBADMSG, offset, "it has changed meanwhile: %s", ctx->err.text);
}

/*
 * The index checked it as the file was then; who uses it relies on what is in memory now. A record
 * that the format does not know has nothing to be checked.
 */
static int check_body(const struct image *image, const struct image_record *record, void *body,
		      struct image_error *err)
{
	const struct record rec = {.type = record->type, .length = record->length, .body = body};
	struct xensr_ctx ctx;

	if (record->layer != LAYER_DOMAIN || !record_rule(record->type))
		return 0;
	enter(&ctx, record);
	if (record_check_body(&ctx, &rec, image->guest_width))
		return changed(image, &ctx, record->offset, err);
	return 0;
}

int image_read_body(const struct image *image, const struct image_record *record, void **body,
		    struct image_error *err)
{
	if (record->length > BODY_MOST)
		return fail(err, image, EMSGSIZE, record->offset,
			    "record at offset %" PRIu64 ": %u octets are too many", record->offset,
			    record->length);
	*body = malloc(record->length ? record->length : 1);
	if (!*body)
		return fail(err, image, ENOMEM, record->offset, "no room for %u octets",
			    record->length);
	if (read_at(image, *body, record->length,
		    record->offset + sizeof(struct wire_record_header), err) ||
	    check_body(image, record, *body, err)) {
		free(*body);
		*body = NULL;
		return -1;
	}
	return 0;
}

/* ---- states ------------------------------------------------------------------------------------ */

/* Is it one that a restore of the selected state acts on? */
static bool in_state(const struct image *image, const struct image_record *record)
{
	return record->checkpoint <= image->selected;
}

static bool is_pages(const struct image_record *record)
{
	return record->layer == LAYER_DOMAIN && record->type == REC_PAGE_DATA;
}

/* The entries of one record, each with its place, to pages. */
static int load_entries(const struct image *image, const struct image_record *record,
			struct image_page *pages, struct image_error *err)
{
	uint64_t at =
		record->offset + sizeof(struct wire_record_header) + sizeof(struct wire_page_data);
	uint64_t content =
		record->offset + sizeof(struct wire_record_header) + page_data_front(record->count);
	uint64_t some[1024];
	uint32_t data_pages = 0;
	struct xensr_ctx ctx;

	enter(&ctx, record);
	for (uint32_t done = 0; done < record->count;) {
		uint32_t n = record->count - done, some_data, populated;

		if (n > sizeof(some) / sizeof(*some))
			n = sizeof(some) / sizeof(*some);
		if (read_at(image, some, n * sizeof(*some), at, err))
			return -1;
		at += n * sizeof(*some);
		/* Offsets follow from the types: they are to lie where the index found pages. */
		if (pages_check_entries(&ctx, image->headers.guest_type, some, n, &some_data,
					&populated))
			return changed(image, &ctx, record->offset, err);
		data_pages += some_data;
		for (uint32_t i = 0; i < n; i++, done++) {
			enum page_type type = page_entry_type(some[i]);
			bool data = page_type_has_data(type);

			pages[done] = (struct image_page){
				.pfn = page_entry_pfn(some[i]),
				.type = type,
				.offset = data ? content : 0,
			};
			content += data ? PAGE_OCTETS : 0;
		}
	}
	if (data_pages != record->data_pages)
		return fail(err, image, EBADMSG, record->offset,
			    "it has changed meanwhile: record at offset %" PRIu64
			    " has %u pages, not %u",
			    record->offset, data_pages, record->data_pages);
	return 0;
}

#define DIGIT_BITS 11
#define DIGITS     (1u << DIGIT_BITS)

/* By pfn, keeping the order of those with the same; in linear time, with other for a copy. */
static struct image_page *sort_pages(struct image_page *pages, struct image_page *other, size_t n)
{
	uint64_t any = 0;

	for (size_t i = 0; i < n; i++)
		any |= pages[i].pfn;
	for (unsigned shift = 0; shift < 64 && any >> shift; shift += DIGIT_BITS) {
		size_t start[DIGITS] = {0};
		size_t sum = 0;
		struct image_page *swap = pages;

		for (size_t i = 0; i < n; i++)
			start[pages[i].pfn >> shift & (DIGITS - 1)]++;
		for (size_t d = 0; d < DIGITS; d++) {
			size_t count = start[d];

			start[d] = sum;
			sum += count;
		}
		for (size_t i = 0; i < n; i++)
			other[start[pages[i].pfn >> shift & (DIGITS - 1)]++] = pages[i];
		pages = other;
		other = swap;
	}
	return pages;
}

static bool ascending(const struct image_page *pages, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		if (pages[i - 1].pfn >= pages[i].pfn)
			return false;
	}
	return true;
}

/* Of sorted pages, the last of each pfn. Returns how many. */
static size_t keep_last(struct image_page *pages, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (i + 1 == n || pages[i + 1].pfn != pages[i].pfn)
			pages[kept++] = pages[i];
	}
	return kept;
}

/* Order the n pages of image->pages and leave one of each pfn. */
static int arrange_pages(struct image *image, size_t n, struct image_error *err)
{
	struct image_page *other, *sorted;

	image->page_count = n;
	if (ascending(image->pages, n))
		return 0;
	other = reallocarray(NULL, n, sizeof(*other));
	if (!other)
		return fail(err, image, ENOMEM, UINT64_MAX, "no room for its page index");
	sorted = sort_pages(image->pages, other, n);
	free(sorted == other ? image->pages : other);
	image->page_count = keep_last(sorted, n);
	image->pages = sorted;
	return 0;
}

int image_select(struct image *image, uint32_t checkpoint, struct image_error *err)
{
	size_t n = 0, at = 0;

	if (checkpoint > image->checkpoints || (checkpoint == 0 && image->checkpoints))
		return fail(err, image, ERANGE, UINT64_MAX,
			    "no checkpoint %u: it has %u that are complete", checkpoint,
			    image->checkpoints);
	image->selected = checkpoint ? checkpoint - 1 : 0;
	free(image->pages);
	image->pages = NULL;
	image->page_count = 0;
	for (size_t i = 0; i < image->record_count; i++) {
		if (is_pages(&image->records[i]) && in_state(image, &image->records[i]))
			n += image->records[i].count;
	}
	image->pages = reallocarray(NULL, n ? n : 1, sizeof(*image->pages));
	if (!image->pages)
		return fail(err, image, ENOMEM, UINT64_MAX, "no room for its page index");
	for (size_t i = 0; i < image->record_count; i++) {
		const struct image_record *record = &image->records[i];

		if (!is_pages(record) || !in_state(image, record))
			continue;
		if (load_entries(image, record, image->pages + at, err)) {
			free(image->pages);
			image->pages = NULL;
			return -1;
		}
		at += record->count;
	}
	return arrange_pages(image, n, err);
}

size_t image_index_of(const struct image *image, uint64_t pfn)
{
	size_t low = 0, high = image->page_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (image->pages[middle].pfn < pfn)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

size_t image_next_run(const struct image *image, size_t *at, size_t most)
{
	size_t n = 0;

	while (*at < image->page_count && !page_type_has_data(image->pages[*at].type))
		(*at)++;
	while (n < most && *at + n < image->page_count &&
	       page_type_has_data(image->pages[*at + n].type))
		n++;
	return n;
}

const struct image_page *image_find(const struct image *image, uint64_t pfn)
{
	size_t i = image_index_of(image, pfn);

	return i < image->page_count && image->pages[i].pfn == pfn ? &image->pages[i] : NULL;
}

const struct image_record *image_state_record(const struct image *image, enum image_layer layer,
					      uint32_t type)
{
	for (size_t i = image->record_count; i-- > 0;) {
		const struct image_record *record = &image->records[i];

		if (record->layer == layer && record->type == type && in_state(image, record))
			return record;
	}
	return NULL;
}

const struct image_record *image_next_record(const struct image *image,
					     const struct image_record *after,
					     enum image_layer layer, uint32_t type)
{
	/* It says which checkpoint it is that the state's last ones belong to, as each of them does. */
	const struct image_record *last = after ? after : image_state_record(image, layer, type);
	size_t i = after ? (size_t)(after - image->records) + 1 : 0;

	for (; last && i < image->record_count; i++) {
		const struct image_record *record = &image->records[i];

		if (record->layer == layer && record->type == type &&
		    record->checkpoint == last->checkpoint)
			return record;
	}
	return NULL;
}
