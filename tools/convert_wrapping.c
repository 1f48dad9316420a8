/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xl file header and libxl stream around a domain stream, copied as they are once they have been
 * checked.
 */
#include "convert.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "io.h"
#include "toolstack/libxl_record.h"
#include "toolstack/xl_file.h"

/* xl's optional data: the configuration, and a tail that nobody knows. */
#define XL_OPTIONAL_MAX (XL_CONFIG_MAX + (64u << 10))

/* As far as people would have written it. */
#define XL_WORDS 27

/*
 * A legacy image has no magic; it begins with its p2m's size, a ulong of the toolstack, and has more
 * than 16 octets.
 */
static bool looks_legacy(const uint8_t *front, ssize_t n)
{
	uint32_t size;

	if (n < 16)
		return false;
	memcpy(&size, front, sizeof(size));
	return size > 0 && size <= LEGACY_P2M_SIZE_MAX;
}

int wrapping_identify(struct convert *convert)
{
	static const uint64_t marker = IMAGE_MARKER;
	const uint64_t libxl = htobe64(LIBXL_IDENT);
	const uint8_t *front;
	ssize_t n = io_peek(&convert->in, XL_MAGIC_OCTETS, &front);

	if (n < 0)
		return -1;
	convert->kind = IMAGE_LEGACY;
	if (n == 0)
		return ctx_fail(&convert->in, ENODATA, "it is empty");
	if (n >= (ssize_t)sizeof(marker) && !memcmp(front, &marker, sizeof(marker)))
		convert->kind = IMAGE_DOMAIN;
	else if (n >= (ssize_t)sizeof(libxl) && !memcmp(front, &libxl, sizeof(libxl)))
		convert->kind = IMAGE_LIBXL;
	else if (n >= 8 && !memcmp(front, XL_MAGIC, n < XL_WORDS ? (size_t)n : XL_WORDS))
		convert->kind = IMAGE_XL;
	else if (!looks_legacy(front, n))
		return ctx_fail(&convert->in, EBADMSG, "this is no saved domain");
	return 0;
}

static int write_raw(struct convert *convert, void *octets, size_t n)
{
	struct iovec iov = {.iov_base = octets, .iov_len = n};

	return io_writev(&convert->out, &iov, 1);
}

/* Have xl_file_read look at the header that is in convert->raw. */
static int check_xl_header(struct convert *convert, size_t octets, uint32_t *mandatory)
{
	struct xl_file file;
	int rc;

	io_unread(&convert->in, convert->raw.octets, octets);
	rc = xl_file_read(&convert->in, &file);
	*mandatory = file.mandatory;
	xl_file_release(&file);
	return rc;
}

/* All of the xl header goes into convert->raw first, so that it can be written as it came. */
static int copy_xl_header(struct convert *convert)
{
	struct xensr_ctx *in = &convert->in;
	struct wire_xl_header header;
	uint32_t mandatory;
	size_t octets;

	ctx_enter(in, "xl header", XENSR_NO_RECORD, in->offset);
	if (io_read(in, &header, sizeof(header)))
		return -1;
	if (header.optional_octets > XL_OPTIONAL_MAX && header.byteorder == XL_BYTEORDER)
		return ctx_fail(in, EBADMSG, "%u octets of optional data, at most %u allowed",
				header.optional_octets, XL_OPTIONAL_MAX);
	/* A header that is refused is refused before its length is used. */
	octets = sizeof(header);
	if (header.optional_octets <= XL_OPTIONAL_MAX) {
		if (body_read(in, &convert->raw, header.optional_octets) ||
		    body_reserve(in, &convert->raw, octets + header.optional_octets))
			return -1;
		memmove(convert->raw.octets + octets, convert->raw.octets, header.optional_octets);
		octets += header.optional_octets;
	} else if (body_reserve(in, &convert->raw, octets)) {
		return -1;
	}
	memcpy(convert->raw.octets, &header, sizeof(header));
	if (check_xl_header(convert, octets, &mandatory))
		return -1;
	convert->kind = mandatory & XL_MANDATORY_LIBXL_STREAM ? IMAGE_XL : IMAGE_LEGACY;
	header.mandatory |= XL_MANDATORY_LIBXL_STREAM;
	memcpy(convert->raw.octets, &header, sizeof(header));
	convert->wrapped = true;
	return write_raw(convert, convert->raw.octets, octets);
}

static int begin_libxl(struct convert *convert, uint32_t options)
{
	struct wire_libxl_header header = {
		.ident = htobe64(LIBXL_IDENT),
		.version = htobe32(LIBXL_VERSION),
		.options = htobe32(options),
	};

	convert->wrapped = true;
	if (write_raw(convert, &header, sizeof(header)))
		return -1;
	return libxl_write_record(&convert->out, LIBXL_LIBXC_CONTEXT);
}

/*
 * The next record of the libxl stream, checked, to the output unless it is LIBXC_CONTEXT or END,
 * which are left to the caller. Optional ones go along.
 */
static int copy_libxl_record(struct convert *convert, uint32_t *type)
{
	struct xensr_ctx *in = &convert->in;
	struct wire_record_header header;
	struct libxl_record rec;
	uint32_t padding;

	if (libxl_read_record_header(in, &header))
		return -1;
	*type = header.type;
	padding = record_padding(header.length);
	if (body_read(in, &convert->raw, (size_t)header.length + padding))
		return -1;
	rec = (struct libxl_record){
		.type = header.type, .length = header.length, .body = convert->raw.octets};
	if (libxl_rule(header.type) && libxl_check_body(in, &rec))
		return -1;
	if (header.type == LIBXL_LIBXC_CONTEXT || header.type == LIBXL_END)
		return 0;
	if (write_raw(convert, &header, sizeof(header)))
		return -1;
	return write_raw(convert, convert->raw.octets, (size_t)header.length + padding);
}

/* From the libxl header to LIBXC_CONTEXT. */
static int copy_libxl_front(struct convert *convert)
{
	struct xensr_ctx *in = &convert->in;
	uint32_t options, type;

	if (libxl_read_header(in, &options))
		return -1;
	do {
		if (copy_libxl_record(convert, &type))
			return -1;
		if (libxl_rule(type) && type != LIBXL_LIBXC_CONTEXT)
			return ctx_fail(in, EBADMSG, "comes before LIBXC_CONTEXT");
	} while (type != LIBXL_LIBXC_CONTEXT);
	return begin_libxl(convert, options);
}

int wrapping_begin(struct convert *convert)
{
	if (convert->kind == IMAGE_XL && copy_xl_header(convert))
		return -1;
	if (convert->kind == IMAGE_DOMAIN)
		return 0;
	if (convert->kind != IMAGE_LEGACY)
		return copy_libxl_front(convert);
	if (convert->wrapped || convert->format == CONVERT_LIBXL)
		return begin_libxl(convert, LIBXL_OPTION_FROM_LEGACY);
	return 0;
}

int wrapping_check_end(struct convert *convert)
{
	struct xensr_ctx *in = &convert->in;
	const uint8_t *octet;
	ssize_t n;

	ctx_leave(in);
	n = io_peek(in, 1, &octet);
	if (n < 0)
		return -1;
	if (n > 0)
		return ctx_fail(in, EBADMSG, "there is more after its end, at offset %" PRIu64,
				in->offset);
	return 0;
}

int wrapping_end(struct convert *convert)
{
	struct xensr_ctx *in = &convert->in;
	uint32_t type = LIBXL_LIBXC_CONTEXT;

	while (convert->wrapped && type != LIBXL_END) {
		if (copy_libxl_record(convert, &type))
			return -1;
		if (libxl_rule(type) && libxl_rule(type)->emulator &&
		    convert->headers.guest_type == GUEST_X86_PV)
			return ctx_fail(in, EBADMSG, "does not belong to an x86 PV guest");
		if (libxl_rule(type) && !libxl_rule(type)->emulator && type != LIBXL_END)
			return ctx_fail(in, EBADMSG, "comes after the domain stream");
	}
	if (convert->wrapped && libxl_write_record(&convert->out, LIBXL_END))
		return -1;
	return wrapping_check_end(convert);
}
