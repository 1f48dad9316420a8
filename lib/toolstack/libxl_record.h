/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Header and records of the libxl stream, version 2, in both directions. Needs no hypervisor and no
 * toolstack, only a context over a descriptor (reports may be all zeroes).
 *
 * Record headers are those of the domain stream (format.h). A record is checked for framing, size
 * and inner consistency before the caller sees it; which may come when is the caller's to know
 * (toolstack_restore.c).
 */
#ifndef XENSR_TOOLSTACK_LIBXL_RECORD_H
#define XENSR_TOOLSTACK_LIBXL_RECORD_H

#include "body.h"
#include "context.h"
#include "format.h"

/* ---- the wire ---------------------------------------------------------------------------- */

#define LIBXL_IDENT              0x4c6962786c466d74ull /* "LibxlFmt" */
#define LIBXL_VERSION            2u
#define LIBXL_OPTION_BIG_ENDIAN  (1u << 0)
#define LIBXL_OPTION_FROM_LEGACY (1u << 1) /* converted from an image of Xen 4.5 or earlier */

struct wire_libxl_header { /* big-endian */
	uint64_t ident;
	uint32_t version;
	uint32_t options;
};
static_assert(sizeof(struct wire_libxl_header) == 16, "libxl header");

enum libxl_record_type {
	LIBXL_END = 0,
	LIBXL_LIBXC_CONTEXT = 1, /* the domain stream follows, inline */
	LIBXL_EMULATOR_XENSTORE_DATA = 2,
	LIBXL_EMULATOR_CONTEXT = 3,
	LIBXL_CHECKPOINT_END = 4,
	LIBXL_CHECKPOINT_STATE = 5,
	LIBXL_RECORD_TYPES
};

struct wire_emulator { /* both emulator records begin so */
	uint32_t id;   /* enum xensr_emulator */
	uint32_t index;
};
static_assert(sizeof(struct wire_emulator) == 8, "emulator header");
#define EMULATOR_ID_MAX 2u

struct wire_checkpoint_state {
	uint32_t id; /* enum checkpoint_state_id */
	uint32_t reserved;
};
static_assert(sizeof(struct wire_checkpoint_state) == 8, "checkpoint state");

enum checkpoint_state_id {
	CHECKPOINT_STATE_NEW = 0,       /* primary to secondary */
	CHECKPOINT_STATE_SUSPENDED = 1, /* these three the other way */
	CHECKPOINT_STATE_READY = 2,
	CHECKPOINT_STATE_RESUMED = 3,
	CHECKPOINT_STATES
};

/*
 * Most octets that the two emulator records have after their header. Real xenstore data have some
 * hundred, real contexts 7 to 60 KiB (the memory of a video card is the guest's, and in the domain
 * stream).
 */
#define EMULATOR_XENSTORE_MAX ((size_t)1 << 20)
#define EMULATOR_CONTEXT_MAX  ((size_t)16 << 20)

/* ---- reading ------------------------------------------------------------------------------ */

/* What the format says of one record type. */
struct libxl_rule {
	const char *name;
	uint32_t least, most; /* octets of body */
	bool emulator;        /* begins with struct wire_emulator; HVM domains only */
};

/* The rule for a type without bit 31, or NULL if the format has no such type. */
const struct libxl_rule *libxl_rule(uint32_t type);

/* "libxl END record", "optional libxl record", "unknown libxl record": for people. Never NULL. */
const char *libxl_title(uint32_t type);

struct libxl_record {
	uint32_t type;   /* enum libxl_record_type */
	uint32_t length; /* octets of body on the wire */
	uint64_t offset; /* of its header, as ctx->offset counts */
	uint8_t *body;   /* lies in the reader's struct body */
	/* Emulator records: */
	struct wire_emulator emulator;
	const uint8_t *data; /* what follows the emulator header */
	size_t octets;
	/* CHECKPOINT_STATE: */
	enum checkpoint_state_id state;
};

/*
 * Read and check the header. *options is LIBXL_OPTION_*. Returns 0, or -1 with the error set
 * (EBADMSG, ENOTSUP for options that are not known, ENODATA).
 */
int libxl_read_header(struct xensr_ctx *ctx, uint32_t *options) MUST_CHECK;

/*
 * The next record of a known type, whole; optional ones of unknown types are skipped. Its body lies
 * in *body until that is used again. Leaves the context in the record, so that what the caller has
 * to say of it names it too. Returns 0, or -1 with the error set (EBADMSG, ENODATA, ENOMEM).
 */
int libxl_read_record(struct xensr_ctx *ctx, struct body *body,
		      struct libxl_record *rec) MUST_CHECK;

/*
 * The first half of that: a record header whose length the type allows, or that of an optional
 * record of unknown type. Enters the record.
 */
int libxl_read_record_header(struct xensr_ctx *ctx, struct wire_record_header *header) MUST_CHECK;

/* The checks of these two alone, for who does not read through a context. */
int libxl_check_header(struct xensr_ctx *ctx, const struct wire_libxl_header *wire,
		       uint32_t *options) MUST_CHECK;
int libxl_check_length(struct xensr_ctx *ctx, const struct wire_record_header *header) MUST_CHECK;

/*
 * Check the inside of a body of a known type and allowed length, wherever it comes from (rec->type,
 * length and body are set), and fill the rest of *rec.
 */
int libxl_check_body(struct xensr_ctx *ctx, struct libxl_record *rec) MUST_CHECK;

/* ---- writing ------------------------------------------------------------------------------ */

int libxl_write_header(struct xensr_ctx *ctx) MUST_CHECK;

/* A record without a body: END, LIBXC_CONTEXT, CHECKPOINT_END. */
int libxl_write_record(struct xensr_ctx *ctx, enum libxl_record_type type) MUST_CHECK;

/* One of the two emulator records. EMSGSIZE over its limit. */
int libxl_write_emulator(struct xensr_ctx *ctx, enum libxl_record_type type, uint32_t emulator_id,
			 const void *data, size_t octets) MUST_CHECK;

int libxl_write_checkpoint_state(struct xensr_ctx *ctx, enum checkpoint_state_id state) MUST_CHECK;

#endif
