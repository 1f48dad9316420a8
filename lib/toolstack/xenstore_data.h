/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Emulator xenstore data as it lies in a record: key, value, key, value …, each NUL-terminated,
 * keys relative to the device model's xenstore directory. No hypervisor, no xenstore.
 */
#ifndef XENSR_TOOLSTACK_XENSTORE_DATA_H
#define XENSR_TOOLSTACK_XENSTORE_DATA_H

#include "body.h"
#include "context.h"
#include "cursor.h"

/* XENSTORE_REL_PATH_MAX of xen/io/xs_wire.h. */
#define XENSTORE_KEY_MAX 2048u

/*
 * Check all of it: whole pairs, and keys that stay below the directory they are relative to (not
 * empty, not absolute, no empty component, no "." or "..", at most XENSTORE_KEY_MAX octets of
 * printable ASCII). Nothing at all is good. Returns 0, or -1 with the error set (EBADMSG).
 */
int xenstore_data_check(struct xensr_ctx *ctx, const void *data, size_t octets) MUST_CHECK;

/*
 * The next pair of data that was checked; both point into it. False: there is none. Begin with
 * cursor_over(data, octets).
 */
bool xenstore_data_next(struct cursor *at, const char **key, const char **value);

/* Pairs to be written. Zero-initialised: none. */
struct xenstore_data {
	struct body body;
	size_t octets;
};

/*
 * Append a pair; the key is checked as above, all together may have `most` octets. Returns 0, or
 * -1 with the error set (EINVAL, EMSGSIZE, ENOMEM).
 */
int xenstore_data_add(struct xensr_ctx *ctx, struct xenstore_data *data, const char *key,
		      const char *value, size_t most) MUST_CHECK;

/* Idempotent. */
void xenstore_data_release(struct xenstore_data *data);

#endif
