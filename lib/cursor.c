/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cursor.h"

const void *cursor_take(struct cursor *c, size_t n)
{
	const void *at;

	if (n > cursor_left(c))
		return NULL;
	at = c->data + c->pos;
	c->pos += n;
	return at;
}
