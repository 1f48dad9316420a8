/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Parameter structures of the public API that can grow (see xensr.h).
 */
#ifndef XENSR_LIB_PARAMS_H
#define XENSR_LIB_PARAMS_H

#include <stddef.h>

#include "context.h"

/*
 * Copy the caller's structure, which begins with its size_t size, over *to of known_size
 * octets. What the caller's lacks stays as it is in *to; what it has beyond ours must be zero.
 * Returns 0, or -1 with the error set to EINVAL.
 */
int params_copy(struct xensr_ctx *ctx, void *to, size_t known_size, const void *from) MUST_CHECK;

#endif
