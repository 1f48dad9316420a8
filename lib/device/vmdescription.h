/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The VMDESCRIPTION of a savevm stream: JSON text in which its writer describes every section that
 * it saved in one piece, field by field, with the sizes that they had.
 *
 *      {"page_size": N, "devices": [{"name", "instance_id", "vmsd_name", "version", "fields": [F …],
 *       "subsections": [S …]} …]}
 *      F: {"name", "type", "size", "array_len"?, "index"?, "struct"?: {"vmsd_name", "version",
 *          "fields", "subsections"?}}           (type "tmp" has the members of a struct in place)
 *      S: {"vmsd_name", "version", "fields", "subsections"?}
 *
 * Made into descriptions without an object. Nothing in it is trusted: what it says is held against
 * the octets of the stream when they are read.
 */
#ifndef XENSR_LIB_DEVICE_VMDESCRIPTION_H
#define XENSR_LIB_DEVICE_VMDESCRIPTION_H

#include <stddef.h>
#include <stdint.h>

#include "context.h"
#include "description.h"

struct vmdescription_device {
	const char *idstr;
	uint32_t instance_id;
	const struct state_description *description;
};

struct vmdescription {
	uint64_t page_size;                   /* 0 = not said */
	struct vmdescription_device *devices; /* in the order of the text */
	size_t device_count;
	struct vmdescription_store *store; /* all that the devices point to */
};

/*
 * Read the text (length <= SAVEVM_MAX_VMDESCRIPTION). Returns 0; or -1 with the context's error
 * (EBADMSG, ENOMEM), and what is there released.
 */
MUST_CHECK int vmdescription_parse(struct vmdescription *vmdescription, const char *text,
				   size_t length, struct xensr_ctx *ctx);

/* Idempotent. */
void vmdescription_release(struct vmdescription *vmdescription);

#endif
