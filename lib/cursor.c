/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cursor.h"

#include <endian.h>
#include <string.h>

const void *cursor_take(struct cursor *c, size_t n)
{
	const void *at;

	if (n > cursor_left(c))
		return NULL;
	at = c->data + c->pos;
	c->pos += n;
	return at;
}

bool cursor_u32(struct cursor *c, uint32_t *value)
{
	const void *at = cursor_take(c, sizeof(*value));

	if (!at)
		return false;
	memcpy(value, at, sizeof(*value));
	*value = le32toh(*value);
	return true;
}

bool cursor_u64(struct cursor *c, uint64_t *value)
{
	const void *at = cursor_take(c, sizeof(*value));

	if (!at)
		return false;
	memcpy(value, at, sizeof(*value));
	*value = le64toh(*value);
	return true;
}
