/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libxl_record.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "io.h"
#include "xenstore_data.h"

#define EMULATOR(octets) ((uint32_t)(sizeof(struct wire_emulator) + (octets)))

static const struct libxl_rule rules[LIBXL_RECORD_TYPES] = {
	[LIBXL_END] = {"END", 0, 0, false},
	[LIBXL_LIBXC_CONTEXT] = {"LIBXC_CONTEXT", 0, 0, false},
	[LIBXL_EMULATOR_XENSTORE_DATA] = {"EMULATOR_XENSTORE_DATA", EMULATOR(0),
					  EMULATOR(EMULATOR_XENSTORE_MAX), true},
	[LIBXL_EMULATOR_CONTEXT] = {"EMULATOR_CONTEXT", EMULATOR(0), EMULATOR(EMULATOR_CONTEXT_MAX),
				    true},
	[LIBXL_CHECKPOINT_END] = {"CHECKPOINT_END", 0, 0, false},
	[LIBXL_CHECKPOINT_STATE] = {"CHECKPOINT_STATE", sizeof(struct wire_checkpoint_state),
				    sizeof(struct wire_checkpoint_state), false},
};

static const char *const titles[LIBXL_RECORD_TYPES] = {
	[LIBXL_END] = "libxl END record",
	[LIBXL_LIBXC_CONTEXT] = "libxl LIBXC_CONTEXT record",
	[LIBXL_EMULATOR_XENSTORE_DATA] = "libxl EMULATOR_XENSTORE_DATA record",
	[LIBXL_EMULATOR_CONTEXT] = "libxl EMULATOR_CONTEXT record",
	[LIBXL_CHECKPOINT_END] = "libxl CHECKPOINT_END record",
	[LIBXL_CHECKPOINT_STATE] = "libxl CHECKPOINT_STATE record",
};

const struct libxl_rule *libxl_rule(uint32_t type)
{
	return type < LIBXL_RECORD_TYPES ? &rules[type] : NULL;
}

const char *libxl_title(uint32_t type)
{
	if (type < LIBXL_RECORD_TYPES)
		return titles[type];
	return type & RECORD_OPTIONAL ? "optional libxl record" : "unknown libxl record";
}

/* Octets of padding after a body of this length. */
static uint32_t padding_after(uint32_t length)
{
	return -length & (RECORD_ALIGN - 1);
}

/* ---- reading ------------------------------------------------------------------------------ */

int libxl_check_header(struct xensr_ctx *ctx, const struct wire_libxl_header *wire,
		       uint32_t *options)
{
	uint64_t ident = be64toh(wire->ident);
	uint32_t version = be32toh(wire->version);

	*options = be32toh(wire->options);
	if (ident != LIBXL_IDENT)
		return ctx_fail(ctx, EBADMSG,
				"ident is %#018" PRIx64
				", not %#018llx (\"LibxlFmt\"): this is not "
				"a libxl stream",
				ident, LIBXL_IDENT);
	if (version != LIBXL_VERSION)
		return ctx_fail(ctx, EBADMSG, "version is %u, not %u", version, LIBXL_VERSION);
	if (*options & LIBXL_OPTION_BIG_ENDIAN)
		return ctx_fail(ctx, EBADMSG, "the body is big-endian; x86 reads little-endian");
	if (*options & ~LIBXL_OPTION_FROM_LEGACY)
		return ctx_fail(ctx, ENOTSUP, "options %#x are unknown",
				*options & ~LIBXL_OPTION_FROM_LEGACY);
	return 0;
}

int libxl_read_header(struct xensr_ctx *ctx, uint32_t *options)
{
	struct wire_libxl_header header;

	ctx_enter(ctx, "libxl header", XENSR_NO_RECORD, ctx->offset);
	if (io_read(ctx, &header, sizeof(header)) || libxl_check_header(ctx, &header, options))
		return -1;
	ctx_leave(ctx);
	return 0;
}

int libxl_check_length(struct xensr_ctx *ctx, const struct wire_record_header *header)
{
	const struct libxl_rule *rule = libxl_rule(header->type);

	if (!rule) {
		if (header->length > RECORD_LENGTH_MAX)
			return ctx_fail(ctx, EBADMSG, "type %#x: length %u is over the limit of %u",
					header->type, header->length, RECORD_LENGTH_MAX);
		return 0;
	}
	if (header->length < rule->least)
		return ctx_fail(ctx, EBADMSG, "is %u octets long, at least %u needed",
				header->length, rule->least);
	if (header->length > rule->most)
		return ctx_fail(ctx, EBADMSG, "is %u octets long, at most %u allowed",
				header->length, rule->most);
	return 0;
}

int libxl_read_record_header(struct xensr_ctx *ctx, struct wire_record_header *header)
{
	ctx_enter(ctx, "libxl record header", XENSR_NO_RECORD, ctx->offset);
	if (io_read(ctx, header, sizeof(*header)))
		return -1;
	ctx_enter(ctx, libxl_title(header->type), XENSR_NO_RECORD, ctx->offset - sizeof(*header));
	if (!libxl_rule(header->type) && !(header->type & RECORD_OPTIONAL))
		return ctx_fail(ctx, EBADMSG, "type %#x is unknown", header->type);
	return libxl_check_length(ctx, header);
}

int libxl_check_body(struct xensr_ctx *ctx, struct libxl_record *rec)
{
	struct wire_checkpoint_state state;

	if (rec->type == LIBXL_CHECKPOINT_STATE) {
		memcpy(&state, rec->body, sizeof(state));
		if (state.id >= CHECKPOINT_STATES)
			return ctx_fail(ctx, EBADMSG, "state %u is unknown", state.id);
		rec->state = state.id;
		return 0;
	}
	if (!libxl_rule(rec->type)->emulator)
		return 0;
	memcpy(&rec->emulator, rec->body, sizeof(rec->emulator));
	rec->data = rec->body + sizeof(rec->emulator);
	rec->octets = rec->length - sizeof(rec->emulator);
	if (rec->emulator.id > EMULATOR_ID_MAX)
		return ctx_fail(ctx, EBADMSG, "emulator %u is unknown", rec->emulator.id);
	if (rec->type == LIBXL_EMULATOR_XENSTORE_DATA)
		return xenstore_data_check(ctx, rec->data, rec->octets);
	return 0;
}

int libxl_read_record(struct xensr_ctx *ctx, struct body *body, struct libxl_record *rec)
{
	for (;;) {
		struct wire_record_header header;
		uint64_t octets;

		if (libxl_read_record_header(ctx, &header))
			return -1;
		octets = (uint64_t)header.length + padding_after(header.length);
		*rec = (struct libxl_record){
			.type = header.type,
			.length = header.length,
			.offset = ctx->record_offset,
		};
		if (libxl_rule(header.type)) {
			if (body_read(ctx, body, octets))
				return -1;
			rec->body = body->octets;
			return libxl_check_body(ctx, rec);
		}
		ctx_log_skipped(ctx, header.type, header.length);
		if (io_skip(ctx, octets))
			return -1;
	}
}

/* ---- writing ------------------------------------------------------------------------------ */

int libxl_write_header(struct xensr_ctx *ctx)
{
	struct wire_libxl_header header = {
		.ident = htobe64(LIBXL_IDENT),
		.version = htobe32(LIBXL_VERSION),
	};
	struct iovec iov = {.iov_base = &header, .iov_len = sizeof(header)};

	ctx_enter(ctx, "libxl header", XENSR_NO_RECORD, ctx->offset);
	if (io_writev(ctx, &iov, 1))
		return -1;
	ctx_leave(ctx);
	return 0;
}

/* A record whose body is a head and data. */
static int write_body(struct xensr_ctx *ctx, uint32_t type, const void *head, size_t head_octets,
		      const void *data, size_t octets)
{
	static const uint8_t zeroes[RECORD_ALIGN];
	struct wire_record_header header = {.type = type};
	struct iovec iov[] = {
		{.iov_base = &header, .iov_len = sizeof(header)},
		{.iov_base = (void *)(uintptr_t)head, .iov_len = head_octets},
		{.iov_base = (void *)(uintptr_t)data, .iov_len = octets},
		{.iov_base = (void *)(uintptr_t)zeroes},
	};

	ctx_enter(ctx, libxl_title(type), XENSR_NO_RECORD, ctx->offset);
	if (octets > libxl_rule(type)->most - head_octets)
		return ctx_fail(ctx, EMSGSIZE, "%zu octets, at most %zu allowed", octets,
				libxl_rule(type)->most - head_octets);
	header.length = (uint32_t)(head_octets + octets);
	iov[3].iov_len = padding_after(header.length);
	if (io_writev(ctx, iov, 4))
		return -1;
	ctx_leave(ctx);
	return 0;
}

int libxl_write_record(struct xensr_ctx *ctx, enum libxl_record_type type)
{
	return write_body(ctx, type, NULL, 0, NULL, 0);
}

int libxl_write_emulator(struct xensr_ctx *ctx, enum libxl_record_type type, uint32_t emulator_id,
			 const void *data, size_t octets)
{
	struct wire_emulator emulator = {.id = emulator_id};

	return write_body(ctx, type, &emulator, sizeof(emulator), data, octets);
}

int libxl_write_checkpoint_state(struct xensr_ctx *ctx, enum checkpoint_state_id state)
{
	struct wire_checkpoint_state body = {.id = state};

	return write_body(ctx, LIBXL_CHECKPOINT_STATE, &body, sizeof(body), NULL, 0);
}
