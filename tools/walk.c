/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "walk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"

void walk_release(struct walk *walk)
{
	free(walk->body);
	walk->body = NULL;
	walk->body_size = 0;
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

	if (err->errnum != EBADMSG && err->errnum != ENODATA)
		return -1;
	tell_finding(walk, WALK_ERROR, err->errnum, err->text);
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

/* A read failed. The input's end is the file's fault and ends the walk. */
static int lost(struct walk *walk)
{
	if (walk_tell_error(walk))
		return -1;
	walk->stopped = true;
	return 0;
}

int walk_record_header(struct walk *walk, struct wire_record_header *header)
{
	struct xensr_ctx *ctx = &walk->source->ctx;

	ctx_enter(ctx, "record header", XENSR_NO_RECORD, ctx->offset);
	return source_read(walk->source, header, sizeof(*header)) ? lost(walk) : 1;
}

static int body_reserve(struct walk *walk, size_t octets)
{
	uint8_t *bigger;

	if (octets <= walk->body_size)
		return 0;
	bigger = realloc(walk->body, octets);
	if (!bigger)
		return ctx_fail_errno(&walk->source->ctx, ENOMEM, "no %zu octets for the body",
				      octets);
	walk->body = bigger;
	walk->body_size = octets;
	return 0;
}

int walk_body(struct walk *walk, uint32_t length)
{
	const size_t first = 65536;
	size_t whole = (size_t)length + record_padding(length);
	size_t have = 0;

	do {
		size_t now = whole - have;

		if (walk->body_size < whole && now > (have > first ? have : first))
			now = have > first ? have : first;
		if (body_reserve(walk, have + now))
			return -1;
		if (source_read(walk->source, walk->body + have, now))
			return lost(walk);
		have += now;
	} while (have < whole);
	walk_reserved(walk, "padding", walk->body + length, whole - length);
	return 1;
}

int walk_skip(struct walk *walk, uint64_t length)
{
	uint8_t padding[RECORD_ALIGN];
	size_t n = record_padding((uint32_t)length);

	if (source_skip(walk->source, length) || source_read(walk->source, padding, n))
		return lost(walk);
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

/* The C string with its terminating NUL is the magic. */
static const char xl_magic[32] = "Xen saved domain, xl format\n \0 \r";

struct wire_xl_header {
	char magic[32];
	uint32_t byteorder;
	uint32_t mandatory_flags;
	uint32_t optional_flags;
	uint32_t optional_length;
};

#define XL_BYTEORDER      0x01020304u
#define XL_FLAG_JSON      (1u << 0)
#define XL_FLAG_STREAM_V2 (1u << 1)
#define XL_FLAGS          (XL_FLAG_JSON | XL_FLAG_STREAM_V2)
/* Configurations are a few kilooctets. */
#define XL_OPTIONAL_MOST (64u << 20)

/* The optional data, now in walk->body: length and configuration, and a tail nobody knows. */
static int keep_config(struct walk *walk, uint32_t octets)
{
	struct xensr_ctx *ctx = &walk->source->ctx;
	uint32_t length;

	if (octets < sizeof(length)) {
		walk_find(walk, WALK_ERROR, "no configuration in %u octets of optional data",
			  octets);
		return 0;
	}
	memcpy(&length, walk->body, sizeof(length));
	if (length > octets - sizeof(length)) {
		walk_find(walk, WALK_ERROR,
			  "a configuration of %u octets in %u octets of optional data", length,
			  octets);
		return 0;
	}
	walk->image->config = strndup((const char *)walk->body + sizeof(length), length);
	if (!walk->image->config)
		return ctx_fail_errno(ctx, ENOMEM, "no room for the configuration");
	return 0;
}

/* Returns 1 to walk on, 0 if it cannot, -1 with the error set. */
static int walk_xl_header(struct walk *walk)
{
	struct xensr_ctx *ctx = &walk->source->ctx;
	struct wire_xl_header header;
	int rc;

	walk->image->kind = IMAGE_XL;
	ctx_enter(ctx, "xl header", XENSR_NO_RECORD, ctx->offset);
	if (source_read(walk->source, &header, sizeof(header)))
		return lost(walk);
	if (header.byteorder != XL_BYTEORDER) {
		walk_find(walk, WALK_ERROR, "byte order %#x, not this machine's", header.byteorder);
		return 0;
	}
	if (header.mandatory_flags & ~XL_FLAGS)
		walk_find(walk, WALK_ERROR, "mandatory flags %#x are unknown",
			  header.mandatory_flags & ~XL_FLAGS);
	if (header.optional_length > XL_OPTIONAL_MOST) {
		walk_find(walk, WALK_ERROR, "%u octets of optional data, at most %u allowed",
			  header.optional_length, XL_OPTIONAL_MOST);
		return 0;
	}
	walk->image->config_is_json = header.mandatory_flags & XL_FLAG_JSON;
	/* No padding follows here. */
	if (body_reserve(walk, header.optional_length + 1))
		return -1;
	if (source_read(walk->source, walk->body, header.optional_length))
		return lost(walk);
	rc = keep_config(walk, header.optional_length);
	if (rc)
		return rc;
	if (!(header.mandatory_flags & XL_FLAG_STREAM_V2)) {
		walk->image->kind = IMAGE_LEGACY;
		return 0;
	}
	return 1;
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
	if (looks_legacy(front, n)) {
		walk->image->kind = IMAGE_LEGACY;
		return 0;
	}
	ctx_leave(ctx);
	if (n == 0)
		walk_find(walk, WALK_ERROR, "it is empty");
	else if (n < 8 || memcmp(front, marker, sizeof(marker)))
		walk_find(walk, WALK_ERROR, "this is no saved domain");
	else
		return walk_domain(walk);
	walk->stopped = true;
	return 0;
}

static int walk_layers(struct walk *walk)
{
	uint8_t front[sizeof(xl_magic)];
	int n = source_peek(walk->source, front, sizeof(front));

	if (n < 0)
		return -1;
	walk->image->kind = IMAGE_DOMAIN;
	if (n == (int)sizeof(front) && !memcmp(front, xl_magic, sizeof(xl_magic))) {
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
