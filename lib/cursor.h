/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A bounded reader over octets in memory. Invariant: pos <= len. A read that does not fit
 * fails and leaves the cursor where it was.
 */
#ifndef XENSR_LIB_CURSOR_H
#define XENSR_LIB_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct cursor {
	const uint8_t *data; /* the caller's, must outlive the cursor */
	size_t len, pos;
};

static inline struct cursor cursor_over(const void *data, size_t len)
{
	return (struct cursor){.data = data, .len = len};
}

static inline size_t cursor_left(const struct cursor *c)
{
	return c->len - c->pos;
}

/* The next n octets, or NULL if fewer are left. */
const void *cursor_take(struct cursor *c, size_t n);

#endif
