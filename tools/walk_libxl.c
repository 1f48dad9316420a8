/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "libxl_format.h"
#include "record.h"
#include "walk.h"

/* Returns 1 to walk on, 0 if it cannot, -1 with the error set. */
static int walk_header(struct walk *walk)
{
	struct xensr_ctx *ctx = &walk->source->ctx;
	struct wire_libxl_header header;
	uint32_t version;

	ctx_enter(ctx, "libxl header", XENSR_NO_RECORD, ctx->offset);
	if (source_read(walk->source, &header, sizeof(header))) {
		walk->stopped = true;
		return walk_tell_error(walk);
	}
	version = be32toh(header.version);
	walk->image->libxl_options = be32toh(header.options);
	if (be64toh(header.ident) != LIBXL_IDENT) {
		walk_find(walk, WALK_ERROR,
			  "ident is %#" PRIx64 ", not %#" PRIx64 " (\"LibxlFmt\")",
			  be64toh(header.ident), LIBXL_IDENT);
	} else if (version != LIBXL_VERSION) {
		walk_find(walk, WALK_ERROR, "version %u is unknown, %u is known", version,
			  LIBXL_VERSION);
	} else if (walk->image->libxl_options & LIBXL_OPTION_BIG_ENDIAN) {
		walk_find(walk, WALK_ERROR, "the body is big-endian; x86 reads little-endian");
	} else {
		if (walk->image->libxl_options & ~LIBXL_OPTIONS)
			walk_find(walk, WALK_WARNING, "options %#x are unknown",
				  walk->image->libxl_options & ~LIBXL_OPTIONS);
		return 1;
	}
	walk->stopped = true;
	return 0;
}

/* Keys and values, each a NUL-terminated string. */
static void check_xenstore_data(struct walk *walk, const uint8_t *data, uint32_t length)
{
	uint32_t strings = 0;

	if (length && data[length - 1]) {
		walk_find(walk, WALK_ERROR, "the last string has no end");
		return;
	}
	for (uint32_t i = 0; i < length; i++)
		strings += data[i] == 0;
	if (strings % 2)
		walk_find(walk, WALK_ERROR, "the last key has no value");
}

/* An emulator's record, whose body is in walk->body. */
static void check_emulator(struct walk *walk, uint32_t type, uint32_t length)
{
	struct wire_libxl_emulator head;

	if (length < sizeof(head)) {
		walk_find(walk, WALK_ERROR, "is %u octets long, at least %zu needed", length,
			  sizeof(head));
		return;
	}
	if (walk->domain_begun && walk->image->headers.guest_type == GUEST_X86_PV)
		walk_find(walk, WALK_ERROR, "does not belong to an x86 PV guest");
	memcpy(&head, walk->body, sizeof(head));
	if (head.id > LIBXL_EMULATOR_QEMU_UPSTREAM)
		walk_find(walk, WALK_ERROR, "emulator %u is unknown", head.id);
	if (type == LIBXL_EMULATOR_XENSTORE_DATA)
		check_xenstore_data(walk, walk->body + sizeof(head), length - sizeof(head));
}

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

static int walk_record(struct walk *walk, struct walk_record *record)
{
	uint32_t type = record->place.type;
	uint32_t length = record->place.length;
	bool before = walk->met_error;
	int rc;

	walk->met_error = false;
	record->known = libxl_title(type) != NULL;
	if (!record->known && !(type & RECORD_OPTIONAL))
		walk_find(walk, WALK_ERROR, "type %#x is unknown", type);
	if (record->known)
		check_order(walk, type);
	if (type == LIBXL_EMULATOR_CONTEXT || type == LIBXL_EMULATOR_XENSTORE_DATA) {
		rc = walk_body(walk, length);
		record->body = walk->body;
		if (rc > 0)
			check_emulator(walk, type, length);
	} else {
		if (record->known && length)
			walk_find(walk, WALK_ERROR, "has a body of %u octets, none is expected",
				  length);
		rc = walk_skip(walk, length);
	}
	record->good = !walk->met_error;
	walk->met_error |= before;
	if (rc > 0)
		walk_tell_record(walk, record);
	return rc;
}

/* CHECKPOINT_END: the checkpoint is whole. */
static void note_checkpoint_end(struct walk *walk)
{
	if (!walk->in_checkpoint)
		return;
	walk->in_checkpoint = false;
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
		ctx_enter(ctx,
			  libxl_title(header.type) ? libxl_title(header.type)
						   : record_title(header.type | RECORD_OPTIONAL),
			  header.type, ctx->offset - sizeof(header));
		if (header.length > LIBXL_LENGTH_MAX) {
			walk_find(walk, WALK_ERROR, "length %u is over the limit of %u",
				  header.length, LIBXL_LENGTH_MAX);
			walk->stopped = true;
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
