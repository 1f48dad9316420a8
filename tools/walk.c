/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "walk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"
#include "toolstack/xl_file.h"

void walk_release(struct walk *walk)
{
	body_release(&walk->body);
	if (!walk->source)
		return;
	checksum_free(walk->source->ctx.sum);
	walk->source->ctx.sum = NULL;
}

static void tell_finding(struct walk *walk, enum walk_severity severity, int errnum,
			 const char *text)
{
	struct xensr_ctx *ctx = &walk->source->ctx;
	struct walk_finding finding = {
		.severity = severity,
		.errnum = errnum,
		.offset = ctx->what ? ctx->record_offset : ctx->offset,
		.text = text,
	};

	walk->met_error |= severity == WALK_ERROR;
	if (walk->ops->finding && walk->ops->finding(walk->data, &finding))
		walk->stopped = true;
}

int walk_tell_error(struct walk *walk)
{
	struct xensr_error *err = &walk->source->ctx.err;

	if (err->errnum != EBADMSG && err->errnum != ENODATA && err->errnum != ENOTSUP)
		return -1;
	tell_finding(walk, WALK_ERROR, err->errnum == ENODATA ? ENODATA : EBADMSG, err->text);
	error_init(err);
	return 0;
}

void walk_find(struct walk *walk, enum walk_severity severity, const char *fmt, ...)
{
	struct xensr_ctx *ctx = &walk->source->ctx;
	char text[sizeof(ctx->err.text)];
	char whole[sizeof(text) + 96];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (ctx->what)
		snprintf(whole, sizeof(whole), "%s at offset %" PRIu64 ": %s", ctx->what,
			 ctx->record_offset, text);
	else
		snprintf(whole, sizeof(whole), "%s", text);
	tell_finding(walk, severity, EBADMSG, whole);
}

int walk_lost(struct walk *walk)
{
	struct xensr_error *err = &walk->source->ctx.err;
	char text[sizeof(err->text) + 64];

	walk->stopped = true;
	if (err->errnum != ENODATA || !walk->image->checkpoints)
		return walk_tell_error(walk);
	/* Whoever saved is gone, which is what checkpoints are for. */
	snprintf(text, sizeof(text), "%s; a restore takes checkpoint %u", err->text,
		 walk->image->checkpoints);
	tell_finding(walk, WALK_WARNING, ENODATA, text);
	error_init(err);
	return 0;
}

int walk_record_header(struct walk *walk, struct wire_record_header *header)
{
	struct xensr_ctx *ctx = &walk->source->ctx;

	ctx_enter(ctx, "record header", XENSR_NO_RECORD, ctx->offset);
	return source_read(walk->source, header, sizeof(*header)) ? walk_lost(walk) : 1;
}

/* Returns as walk_record_header. */
static int read_body(struct walk *walk, struct body *body, size_t length)
{
	const size_t first = 65536;
	size_t have = 0;

	while (have < length) {
		size_t now = length - have;

		if (body->room < length && now > (have > first ? have : first))
			now = have > first ? have : first;
		if (body_reserve(&walk->source->ctx, body, have + now))
			return -1;
		if (source_read(walk->source, body->octets + have, now))
			return walk_lost(walk);
		have += now;
	}
	return 1;
}

int walk_body(struct walk *walk, uint32_t length)
{
	size_t padding = record_padding(length);
	int rc = read_body(walk, &walk->body, length + padding);

	if (rc > 0 && padding)
		walk_reserved(walk, "padding", walk->body.octets + length, padding);
	return rc;
}

int walk_skip(struct walk *walk, uint64_t length)
{
	uint8_t padding[RECORD_ALIGN];
	size_t n = record_padding((uint32_t)length);

	if (source_skip(walk->source, length) || source_read(walk->source, padding, n))
		return walk_lost(walk);
	walk_reserved(walk, "padding", padding, n);
	return 1;
}

void walk_tell_record(struct walk *walk, const struct walk_record *record)
{
	if (walk->ops->record && walk->ops->record(walk->data, record))
		walk->stopped = true;
}

void walk_reserved(struct walk *walk, const char *what, const void *octets, size_t n)
{
	const uint8_t *p = octets;

	for (size_t i = 0; i < n; i++) {
		if (p[i]) {
			walk_find(walk, WALK_WARNING, "%s is not zero", what);
			return;
		}
	}
}

/* ---- xl file header ---------------------------------------------------------------------------- */

/* The optional data: length and configuration, and a tail nobody knows. Returns 1, 0 or -1. */
static int walk_config(struct walk *walk, struct xl_file *file, uint32_t octets)
{
	struct xensr_ctx *ctx = &walk->source->ctx;
	uint32_t length;
	int rc;

	if (octets < sizeof(length)) {
		if (octets)
			walk_find(walk, WALK_ERROR,
				  "no configuration in %u octets of optional data", octets);
		return source_skip(walk->source, octets) ? walk_lost(walk) : 1;
	}
	octets -= (uint32_t)sizeof(length);
	if (source_read(walk->source, &length, sizeof(length)))
		return walk_lost(walk);
	if (xl_check_config_length(ctx, length, octets)) {
		if (walk_tell_error(walk))
			return -1;
		return source_skip(walk->source, octets) ? walk_lost(walk) : 1;
	}
	rc = read_body(walk, &file->body, length);
	if (rc <= 0)
		return rc;
	if (xl_file_take_config(ctx, file, length) && walk_tell_error(walk))
		return -1;
	walk->image->config = strdup(file->config);
	if (!walk->image->config)
		return ctx_fail_errno(ctx, ENOMEM, "no room for the configuration");
	return source_skip(walk->source, octets - length) ? walk_lost(walk) : 1;
}

/* A legacy image begins here. Returns 0, or -1 with the error set. */
static int walk_legacy(struct walk *walk)
{
	uint8_t front[8];
	int n = source_peek(walk->source, front, sizeof(front));

	if (n < 0)
		return -1;
	walk->image->kind = IMAGE_LEGACY;
	/* The first word is a ulong of the toolstack, too small to need its upper half. */
	walk->image->legacy_64bit =
		n == (int)sizeof(front) && !front[4] && !front[5] && !front[6] && !front[7];
	return walk->ops->legacy ? walk->ops->legacy(walk) : 0;
}

/* Returns 1 to walk on, 0 if it cannot, -1 with the error set. */
static int walk_xl_header(struct walk *walk)
{
	struct xensr_ctx *ctx = &walk->source->ctx;
	struct wire_xl_header header;
	struct xl_file file = {0};
	int rc;

	walk->image->kind = IMAGE_XL;
	ctx_enter(ctx, "xl header", XENSR_NO_RECORD, ctx->offset);
	if (source_read(walk->source, &header, sizeof(header)))
		return walk_lost(walk);
	if (xl_check_header(ctx, &header)) {
		if (walk_tell_error(walk))
			return -1;
		/* Only where the byte order is ours does the length say anything. */
		if (header.byteorder != XL_BYTEORDER) {
			walk->stopped = true;
			return 0;
		}
	}
	if (header.optional)
		walk_find(walk, WALK_WARNING, "optional flags %#x are unknown", header.optional);
	walk->image->config_is_json = header.mandatory & XL_MANDATORY_JSON;
	rc = walk_config(walk, &file, header.optional_octets);
	xl_file_release(&file);
	if (rc > 0 && !(header.mandatory & XL_MANDATORY_LIBXL_STREAM))
		return walk_legacy(walk);
	return rc;
}

/* ---- what it is -------------------------------------------------------------------------------- */

/*
 * A legacy image has no magic. It begins with its p2m's size, a ulong of the toolstack, and goes on
 * with all ones (PV: another ulong) or the first chunk's number.
 */
static bool looks_legacy(const uint8_t *octets, int n)
{
	const uint32_t largest = 1u << 30; /* pages: 4 TiB, which no such toolstack could save */
	uint32_t words[4];
	int32_t chunk;
	bool wide;

	if (n < (int)sizeof(words))
		return false;
	memcpy(words, octets, sizeof(words));
	wide = words[1] == 0;
	if (words[0] == 0 || words[0] > largest)
		return false;
	if (wide && words[2] == UINT32_MAX && words[3] == UINT32_MAX)
		return true;
	if (!wide && words[1] == UINT32_MAX)
		return true;
	memcpy(&chunk, &words[wide ? 2 : 1], sizeof(chunk));
	return chunk >= -20 && chunk <= 1024;
}

static const uint8_t libxl_ident[8] = {'L', 'i', 'b', 'x', 'l', 'F', 'm', 't'};

/* What follows after the xl header, if there was one. */
static int walk_stream(struct walk *walk)
{
	static const uint8_t marker[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	struct xensr_ctx *ctx = &walk->source->ctx;
	bool after_xl = walk->image->kind == IMAGE_XL;
	uint8_t front[16];
	int n;

	n = source_peek(walk->source, front, sizeof(front));
	if (n < 0)
		return -1;
	if (after_xl || (n >= 8 && !memcmp(front, libxl_ident, sizeof(libxl_ident)))) {
		if (!after_xl)
			walk->image->kind = IMAGE_LIBXL;
		walk->image->libxl_start = ctx->offset;
		walk->in_libxl = true;
		return walk_libxl(walk);
	}
	if (looks_legacy(front, n))
		return walk_legacy(walk);
	ctx_leave(ctx);
	if (n == 0)
		walk_find(walk, WALK_ERROR, "it is empty");
	else if (n < 8 || memcmp(front, marker, sizeof(marker)) != 0)
		walk_find(walk, WALK_ERROR, "this is no saved domain");
	else
		return walk_domain(walk);
	walk->stopped = true;
	return 0;
}

static int walk_layers(struct walk *walk)
{
	uint8_t front[XL_MAGIC_OCTETS];
	int n = source_peek(walk->source, front, sizeof(front));

	if (n < 0)
		return -1;
	walk->image->kind = IMAGE_DOMAIN;
	if (n == (int)sizeof(front) && !memcmp(front, XL_MAGIC, sizeof(front))) {
		int rc = walk_xl_header(walk);

		if (rc <= 0)
			return rc;
	}
	return walk_stream(walk);
}

int walk_run(struct walk *walk, struct source *source, struct image *image, bool checkpointed,
	     const struct walk_ops *ops, void *data)
{
	*walk = (struct walk){
		.source = source,
		.image = image,
		.ops = ops,
		.data = data,
		.phase.checkpointed = checkpointed,
	};
	return walk_layers(walk);
}
