/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory for the body of a header or record whose length the stream claims: it grows no faster
 * than octets arrive, so a claim alone never makes us allocate.
 */
#ifndef XENSR_TOOLSTACK_BODY_H
#define XENSR_TOOLSTACK_BODY_H

#include <stddef.h>
#include <stdint.h>

#include "context.h"

/* Zero-initialised: empty. May be used for one body after the other. */
struct body {
	uint8_t *octets;
	size_t room;
};

/*
 * Read exactly `length` octets to body->octets, over what was there. `length` is capped by the
 * caller. Returns 0, or -1 with the error set (ENODATA: the stream ends early; ENOMEM).
 */
int body_read(struct xensr_ctx *ctx, struct body *body, size_t length) MUST_CHECK;

/*
 * The same for all that is left on a descriptor of which the end is the end, into *length. More
 * than `most` octets are an error (EMSGSIZE) that names `what`. Its errors are the context's.
 */
int body_read_all(struct xensr_ctx *ctx, struct body *body, int fd, size_t most, const char *what,
		  size_t *length) MUST_CHECK;

/* Room for `length` octets, those that are there kept. Returns 0, or -1 with the error set. */
int body_reserve(struct xensr_ctx *ctx, struct body *body, size_t length) MUST_CHECK;

/* Idempotent. */
void body_release(struct body *body);

#endif
