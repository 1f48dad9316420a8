/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "legacy_walk.h"

#include <errno.h>
#include <string.h>

#include "convert.h"
#include "toolstack/libxl_record.h"

struct legacy_walk {
	struct walk *walk;
	struct convert convert;
};

/* Findings are to name the part of the image that is at work. */
static void enter(struct legacy_walk *work)
{
	const struct xensr_ctx *in = &work->convert.in;
	struct image *image = work->walk->image;

	ctx_enter(&work->walk->source->ctx, in->what, XENSR_NO_RECORD, in->record_offset);
	image->headers = work->convert.headers;
	image->guest_width = work->convert.guest_width;
	image->legacy = work->convert.legacy;
}

static int stopped(const struct legacy_walk *work)
{
	return work->walk->stopped ? -1 : 0;
}

static int take_record(void *data, enum image_layer layer, uint32_t type, const void *body,
		       uint32_t length)
{
	struct legacy_walk *work = data;
	struct walk_record record = {
		.place = {.offset = work->convert.in.record_offset,
			  .type = type,
			  .length = length,
			  .layer = layer},
		.known = true,
		.good = true,
		.body = body,
	};

	enter(work);
	if (layer == LAYER_LIBXL)
		work->walk->libxl_seen |= 1u << type;
	walk_tell_record(work->walk, &record);
	return stopped(work);
}

/* One by one, as `wanted` said. */
static void tell_pages(struct walk *walk, const struct walk_record *record, const uint8_t *pages)
{
	uint32_t types = walk->ops->wanted(walk->data, record);

	for (uint32_t i = 0; types && i < record->place.count && !walk->stopped; i++) {
		enum page_type type = page_entry_type(record->entries[i]);

		if (!page_type_has_data(type))
			continue;
		if ((types >> type & 1) && walk->ops->page(walk->data, record, i, pages))
			walk->stopped = true;
		pages += PAGE_OCTETS;
	}
	if (types && walk->ops->page(walk->data, record, record->place.count, NULL))
		walk->stopped = true;
}

static int take_batch(void *data, const uint64_t *entries, uint32_t count, const uint8_t *pages,
		      uint32_t data_pages)
{
	struct legacy_walk *work = data;
	struct walk *walk = work->walk;
	const struct xensr_ctx *in = &work->convert.in;
	struct walk_record record = {
		.place = {.offset = in->record_offset,
			  .type = REC_PAGE_DATA,
			  .length = (uint32_t)(in->offset - in->record_offset),
			  .layer = LAYER_DOMAIN,
			  .count = count,
			  .data_pages = data_pages},
		.known = true,
		.good = true,
		.entries = entries,
		.pages_offset = in->offset - (uint64_t)data_pages * PAGE_OCTETS,
	};

	enter(work);
	walk_tell_record(walk, &record);
	if (walk->ops->pages && data_pages && !walk->stopped &&
	    walk->ops->pages(walk->data, &record, 0, data_pages, pages))
		walk->stopped = true;
	if (walk->ops->wanted && !walk->stopped)
		tell_pages(walk, &record, pages);
	return stopped(work);
}

static ssize_t fetch(void *data, void *buf, size_t len)
{
	struct source *source = data;
	ssize_t got;

	ctx_leave(&source->ctx);
	got = source_read_some(source, buf, len);
	if (got < 0)
		errno = source->ctx.err.errnum;
	return got;
}

/* Tell why the conversion failed. Returns 0, or -1 with the error set. */
static int tell_failure(struct legacy_walk *work)
{
	struct walk *walk = work->walk;
	struct xensr_ctx *ctx = &walk->source->ctx;
	bool by_op = walk->stopped;

	walk->stopped = true;
	/* The source cannot be read or passed on, or an op has told. */
	if (error_is_set(&ctx->err))
		return by_op ? 0 : -1;
	if (!error_is_set(&work->convert.in.err))
		return 0;
	ctx->err = work->convert.in.err;
	if (ctx->err.errnum == EMSGSIZE)
		ctx->err.errnum = EBADMSG;
	return walk_tell_error(walk);
}

int legacy_walk(struct walk *walk)
{
	static const struct convert_taker taker = {.record = take_record, .batch = take_batch};
	const struct xensr_reports no_reports = {0};
	struct legacy_walk work = {
		.walk = walk,
		.convert =
			{
				.taker = &taker,
				.taker_data = &work,
				.kind = IMAGE_LEGACY,
				/* There is a place for the device model's state. */
				.wrapped = true,
			},
	};
	struct xensr_ctx *in = &work.convert.in;
	int rc = 0;

	ctx_init(in, -1, &no_reports);
	in->fetch = fetch;
	in->fetch_data = walk->source;
	in->offset = walk->source->ctx.offset;
	if (convert_legacy(&work.convert)) {
		enter(&work);
		rc = tell_failure(&work);
	} else {
		enter(&work);
		walk->ended = true;
		walk->image->complete = !walk->met_error;
	}
	body_release(&work.convert.raw);
	return rc;
}
