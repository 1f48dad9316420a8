/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "params.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

int params_copy(struct xensr_ctx *ctx, void *to, size_t known_size, const void *from)
{
	size_t size;

	memcpy(&size, from, sizeof(size));
	if (size < sizeof(size))
		return ctx_fail(ctx, EINVAL, "the size of the parameters is not set");
	for (size_t i = known_size; i < size; i++) {
		if (((const uint8_t *)from)[i])
			return ctx_fail(ctx, EINVAL,
					"parameter at octet %zu is unknown to this version", i);
	}
	memcpy(to, from, size < known_size ? size : known_size);
	return 0;
}
