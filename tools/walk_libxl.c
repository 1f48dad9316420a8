/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "record.h"
#include "toolstack/libxl_record.h"
#include "walk.h"

/* Returns 1 to walk on, 0 if it cannot, -1 with the error set. */
static int walk_header(struct walk *walk)
{
	struct xensr_ctx *ctx = &walk->source->ctx;
	struct wire_libxl_header header;

	ctx_enter(ctx, "libxl header", XENSR_NO_RECORD, ctx->offset);
	if (!source_read(walk->source, &header, sizeof(header)) &&
	    !libxl_check_header(ctx, &header, &walk->image->libxl_options))
		return 1;
	walk->stopped = true;
	return walk_tell_error(walk);
}

#define BIT(type) (1u << (type))

/* Is this the moment for it? */
static void check_order(struct walk *walk, uint32_t type)
{
	switch (type) {
	case LIBXL_END:
		if (walk->in_checkpoint)
			walk_find(walk, WALK_ERROR, "comes within a checkpoint");
		else if (!walk->domain_begun)
			walk_find(walk, WALK_ERROR, "comes before LIBXC_CONTEXT");
		break;
	case LIBXL_LIBXC_CONTEXT:
		if (walk->domain_begun)
			walk_find(walk, WALK_ERROR, "comes a second time");
		break;
	case LIBXL_EMULATOR_XENSTORE_DATA:
	case LIBXL_EMULATOR_CONTEXT:
		if (!walk->domain_begun)
			walk_find(walk, WALK_ERROR, "comes before LIBXC_CONTEXT");
		else if (walk->image->headers.guest_type == GUEST_X86_PV)
			walk_find(walk, WALK_ERROR, "does not belong to an x86 PV guest");
		else if (walk->libxl_seen & BIT(type))
			walk_find(walk, WALK_ERROR, "comes a second time");
		walk->libxl_seen |= BIT(type);
		break;
	case LIBXL_CHECKPOINT_END:
		if (!walk->in_checkpoint)
			walk_find(walk, WALK_ERROR, "comes outside a checkpoint");
		break;
	case LIBXL_CHECKPOINT_STATE:
		walk_find(walk, WALK_ERROR, "is never part of a saved domain");
		break;
	default:
		break;
	}
}

/* The body of a known type. Returns as walk_record_header. */
static int walk_known(struct walk *walk, struct walk_record *record)
{
	struct xensr_ctx *ctx = &walk->source->ctx;
	struct libxl_record rec = {.type = record->place.type, .length = record->place.length};
	int rc = walk_body(walk, rec.length);

	if (rc <= 0)
		return rc;
	rec.body = walk->body.octets;
	record->body = rec.body;
	if (libxl_check_body(ctx, &rec) && walk_tell_error(walk))
		return -1;
	if (rec.type == LIBXL_CHECKPOINT_STATE)
		walk_reserved(walk, "reserved field", rec.body + 4, 4);
	return 1;
}

static int walk_record(struct walk *walk, struct walk_record *record)
{
	struct xensr_ctx *ctx = &walk->source->ctx;
	struct wire_record_header header = {record->place.type, record->place.length};
	bool before = walk->met_error, framed;
	int rc;

	walk->met_error = false;
	record->known = libxl_rule(header.type);
	if (!record->known && !(header.type & RECORD_OPTIONAL))
		walk_find(walk, WALK_ERROR, "type %#x is unknown", header.type);
	if (record->known)
		check_order(walk, header.type);
	framed = libxl_check_length(ctx, &header) == 0;
	if (!framed && walk_tell_error(walk))
		return -1;
	rc = framed && record->known ? walk_known(walk, record) : walk_skip(walk, header.length);
	record->good = !walk->met_error;
	walk->met_error |= before;
	if (rc > 0)
		walk_tell_record(walk, record);
	return rc;
}

/* CHECKPOINT_END: the checkpoint is whole, if nothing in it is damaged. */
static void note_checkpoint_end(struct walk *walk)
{
	if (!walk->in_checkpoint)
		return;
	walk->libxl_seen = 0;
	walk->in_checkpoint = false;
	if (walk->met_error)
		return;
	walk->image->checkpoints = walk->checkpoints;
	walk->image->complete = true;
}

/* What follows after the record. */
static int walk_onward(struct walk *walk, const struct walk_record *record)
{
	bool first = record->place.type == LIBXL_LIBXC_CONTEXT && !walk->domain_begun;

	if (record->place.length)
		return 0;
	switch (record->place.type) {
	case LIBXL_CHECKPOINT_END:
		note_checkpoint_end(walk);
		return walk->domain_begun && !walk->domain_ended ? walk_domain(walk) : 0;
	case LIBXL_LIBXC_CONTEXT:
		return first ? walk_domain(walk) : 0;
	case LIBXL_END:
		walk->ended = true;
		if (walk->domain_ended && !walk->met_error)
			walk->image->complete = true;
		return 0;
	default:
		return 0;
	}
}

int walk_libxl(struct walk *walk)
{
	struct xensr_ctx *ctx = &walk->source->ctx;
	int rc = walk_header(walk);

	while (rc > 0 && !walk->stopped && !walk->ended) {
		struct wire_record_header header;
		struct walk_record record = {0};

		rc = walk_record_header(walk, &header);
		if (rc <= 0)
			break;
		ctx_enter(ctx, libxl_title(header.type), header.type, ctx->offset - sizeof(header));
		if (record_check_limit(ctx, &header)) {
			walk->stopped = true;
			rc = walk_tell_error(walk);
			break;
		}
		record.place = (struct image_record){
			.offset = ctx->record_offset,
			.type = header.type,
			.length = header.length,
			.layer = LAYER_LIBXL,
			/* Until CHECKPOINT_END they belong to the checkpoint before. */
			.checkpoint = walk->checkpoints - walk->in_checkpoint,
		};
		rc = walk_record(walk, &record);
		if (rc > 0 && walk_onward(walk, &record))
			rc = -1;
	}
	return rc < 0 ? -1 : 0;
}
