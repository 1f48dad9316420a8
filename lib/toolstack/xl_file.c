/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xl_file.h"

#include <errno.h>
#include <string.h>

#include "io.h"

int xl_check_header(struct xensr_ctx *ctx, const struct wire_xl_header *header)
{
	if (memcmp(header->magic, XL_MAGIC, XL_MAGIC_OCTETS) != 0)
		return ctx_fail(ctx, EBADMSG, "no magic: this is not a saved domain of xl");
	if (header->byteorder == XL_BYTEORDER_FOREIGN)
		return ctx_fail(ctx, EBADMSG, "written by a machine of the other byte order");
	if (header->byteorder != XL_BYTEORDER)
		return ctx_fail(ctx, EBADMSG, "byte order mark is %#x, not %#x", header->byteorder,
				XL_BYTEORDER);
	if (header->mandatory & ~XL_MANDATORY_KNOWN)
		return ctx_fail(ctx, ENOTSUP, "mandatory flags %#x are unknown",
				header->mandatory & ~XL_MANDATORY_KNOWN);
	return 0;
}

/* The length of the configuration, in what is left of the optional data. */
int xl_check_config_length(struct xensr_ctx *ctx, uint32_t length, uint32_t room)
{
	if (length > room)
		return ctx_fail(ctx, EBADMSG,
				"a configuration of %u octets, but %u octets of optional data are "
				"left for it",
				length, room);
	if (length > XL_CONFIG_MAX)
		return ctx_fail(ctx, EBADMSG, "a configuration of %u octets, at most %u allowed",
				length, XL_CONFIG_MAX);
	return 0;
}

int xl_file_take_config(struct xensr_ctx *ctx, struct xl_file *file, uint32_t length)
{
	const char *nul;

	if (body_reserve(ctx, &file->body, (size_t)length + 1))
		return -1;
	/* xl counts the NUL at its end, others may not. */
	while (length && file->body.octets[length - 1] == '\0')
		length--;
	file->body.octets[length] = '\0';
	file->config = (char *)file->body.octets;
	file->config_octets = length;
	nul = memchr(file->config, '\0', length);
	if (nul)
		return ctx_fail(ctx, EBADMSG, "the configuration has a NUL as its octet %td",
				nul - file->config);
	return 0;
}

static int read_optional_data(struct xensr_ctx *ctx, struct xl_file *file, uint32_t octets)
{
	uint32_t length;

	if (octets == 0)
		return 0;
	if (octets < sizeof(length))
		return ctx_fail(ctx, EBADMSG,
				"%u octets of optional data have no room for the length of the "
				"configuration",
				octets);
	octets -= (uint32_t)sizeof(length);
	if (io_read(ctx, &length, sizeof(length)) || xl_check_config_length(ctx, length, octets) ||
	    body_read(ctx, &file->body, length) || xl_file_take_config(ctx, file, length))
		return -1;
	return io_skip(ctx, octets - length);
}

int xl_file_read(struct xensr_ctx *ctx, struct xl_file *file)
{
	struct wire_xl_header header;

	*file = (struct xl_file){0};
	ctx_enter(ctx, "xl header", XENSR_NO_RECORD, ctx->offset);
	if (io_read(ctx, &header, sizeof(header)) || xl_check_header(ctx, &header))
		return -1;
	file->mandatory = header.mandatory;
	file->optional = header.optional;
	if (read_optional_data(ctx, file, header.optional_octets))
		return -1;
	ctx_leave(ctx);
	return 0;
}

int xl_file_write(struct xensr_ctx *ctx, const char *config)
{
	struct wire_xl_header header = {
		.byteorder = XL_BYTEORDER,
		.mandatory = XL_MANDATORY_KNOWN,
	};
	size_t octets = strlen(config) + 1;
	uint32_t length;
	struct iovec iov[3];

	ctx_enter(ctx, "xl header", XENSR_NO_RECORD, ctx->offset);
	if (octets > XL_CONFIG_MAX)
		return ctx_fail(ctx, EMSGSIZE, "a configuration of %zu octets, at most %u allowed",
				octets, XL_CONFIG_MAX);
	length = (uint32_t)octets;
	memcpy(header.magic, XL_MAGIC, XL_MAGIC_OCTETS);
	header.optional_octets = (uint32_t)sizeof(length) + length;
	iov[0] = (struct iovec){.iov_base = &header, .iov_len = sizeof(header)};
	iov[1] = (struct iovec){.iov_base = &length, .iov_len = sizeof(length)};
	iov[2] = (struct iovec){.iov_base = (void *)(uintptr_t)config, .iov_len = length};
	if (io_writev(ctx, iov, 3))
		return -1;
	ctx_leave(ctx);
	return 0;
}

void xl_file_release(struct xl_file *file)
{
	body_release(&file->body);
	file->config = NULL;
	file->config_octets = 0;
}
