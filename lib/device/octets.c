/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "octets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

uint64_t octets_be(const uint8_t *at, size_t n)
{
	uint64_t value = 0;

	for (size_t i = 0; i < n; i++)
		value = value << 8 | at[i];
	return value;
}

static bool take(struct cursor *in, size_t n, uint64_t *value)
{
	const uint8_t *at = cursor_take(in, n);

	if (!at)
		return false;
	*value = octets_be(at, n);
	return true;
}

bool take_u8(struct cursor *in, uint8_t *value)
{
	uint64_t wide;

	if (!take(in, sizeof(*value), &wide))
		return false;
	*value = (uint8_t)wide;
	return true;
}

bool take_be16(struct cursor *in, uint16_t *value)
{
	uint64_t wide;

	if (!take(in, sizeof(*value), &wide))
		return false;
	*value = (uint16_t)wide;
	return true;
}

bool take_be32(struct cursor *in, uint32_t *value)
{
	uint64_t wide;

	if (!take(in, sizeof(*value), &wide))
		return false;
	*value = (uint32_t)wide;
	return true;
}

bool take_be64(struct cursor *in, uint64_t *value)
{
	return take(in, sizeof(*value), value);
}

struct octet_buffer octets_empty(size_t limit)
{
	return (struct octet_buffer){.limit = limit};
}

void octets_release(struct octet_buffer *out)
{
	free(out->data);
	*out = octets_empty(out->limit);
}

/* Room for n more octets, or NULL with errnum set. */
static uint8_t *extend(struct octet_buffer *out, size_t n)
{
	size_t room = out->room;
	uint8_t *data;

	if (out->errnum)
		return NULL;
	if (n > out->limit - out->len) {
		out->errnum = EFBIG;
		return NULL;
	}
	if (out->len + n > room) {
		room = out->len + n;
		room = room < out->limit / 2 ? room * 2 : out->limit;
		data = realloc(out->data, room);
		if (!data) {
			out->errnum = ENOMEM;
			return NULL;
		}
		out->data = data;
		out->room = room;
	}
	out->len += n;
	return out->data + out->len - n;
}

void put_octets(struct octet_buffer *out, const void *octets, size_t n)
{
	uint8_t *at = n ? extend(out, n) : NULL;

	if (at)
		memcpy(at, octets, n);
}

void put_zeroes(struct octet_buffer *out, size_t n)
{
	uint8_t *at = n ? extend(out, n) : NULL;

	if (at)
		memset(at, 0, n);
}

static void put(struct octet_buffer *out, uint64_t value, size_t n)
{
	uint8_t octets[8];

	for (size_t i = 0; i < n; i++)
		octets[i] = (uint8_t)(value >> 8 * (n - 1 - i));
	put_octets(out, octets, n);
}

void put_u8(struct octet_buffer *out, uint8_t value)
{
	put(out, value, sizeof(value));
}

void put_be16(struct octet_buffer *out, uint16_t value)
{
	put(out, value, sizeof(value));
}

void put_be32(struct octet_buffer *out, uint32_t value)
{
	put(out, value, sizeof(value));
}

void put_be64(struct octet_buffer *out, uint64_t value)
{
	put(out, value, sizeof(value));
}
