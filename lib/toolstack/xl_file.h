/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What xl writes before the libxl stream: the head of a saved domain's file, and of a migration.
 * Needs no hypervisor and no toolstack, only a context over a descriptor (context.h; reports may
 * be all zeroes).
 *
 *   magic | byte order, mandatory flags, optional flags, octets of optional data
 *         | optional data: u32 length of the configuration, configuration, tail | libxl stream
 */
#ifndef XENSR_TOOLSTACK_XL_FILE_H
#define XENSR_TOOLSTACK_XL_FILE_H

#include <assert.h>
#include <stdint.h>

#include "body.h"
#include "context.h"

/* 32 octets; the string's own NUL is not one of them. */
#define XL_MAGIC        "Xen saved domain, xl format\n \0 \r"
#define XL_MAGIC_OCTETS 32u

#define XL_BYTEORDER         0x01020304u
#define XL_BYTEORDER_FOREIGN 0x04030201u

#define XL_MANDATORY_JSON         (1u << 0) /* the configuration is JSON, not xl's own language */
#define XL_MANDATORY_LIBXL_STREAM (1u << 1) /* a libxl stream follows, else a legacy image */
#define XL_MANDATORY_KNOWN        (XL_MANDATORY_JSON | XL_MANDATORY_LIBXL_STREAM)

struct wire_xl_header { /* native endianness */
	char magic[XL_MAGIC_OCTETS];
	uint32_t byteorder;
	uint32_t mandatory;
	uint32_t optional;
	uint32_t optional_octets; /* that follow */
};
static_assert(sizeof(struct wire_xl_header) == 48, "xl header");

/* Longest configuration in octets. Real ones have 1 to 10 KiB; each device adds some hundred. */
#define XL_CONFIG_MAX (4u << 20)

struct xl_file {
	uint32_t mandatory; /* XL_MANDATORY_* */
	uint32_t optional;  /* none is known */
	char *config;       /* NUL-terminated, without NULs inside; NULL: there is none */
	size_t config_octets;
	struct body body; /* config lies in it */
};

/*
 * Read the head and check it; the descriptor then stands at the libxl stream (or legacy image),
 * at ctx->offset. Whether the configuration is good JSON is not looked at. Release the file in
 * either case. Returns 0, or -1 with the error set (EBADMSG: not such a file, or damaged; ENOTSUP:
 * flags that are not known; ENODATA; ENOMEM).
 */
int xl_file_read(struct xensr_ctx *ctx, struct xl_file *file) MUST_CHECK;

/*
 * The parts of that, for who does not read through a context: the header; the length of the
 * configuration, with `room` octets of optional data left; the `length` octets of configuration that
 * are in file->body.
 */
int xl_check_header(struct xensr_ctx *ctx, const struct wire_xl_header *header) MUST_CHECK;
int xl_check_config_length(struct xensr_ctx *ctx, uint32_t length, uint32_t room) MUST_CHECK;
int xl_file_take_config(struct xensr_ctx *ctx, struct xl_file *file, uint32_t length) MUST_CHECK;

/*
 * Write the head of a file with this configuration (JSON), before a libxl stream. A NUL is put
 * after it, as xl does. Returns 0, or -1 with the error set (EMSGSIZE: over XL_CONFIG_MAX).
 */
int xl_file_write(struct xensr_ctx *ctx, const char *config) MUST_CHECK;

/* Idempotent. */
void xl_file_release(struct xl_file *file);

#endif
