/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All that a saved domain is, apart from its memory, as one JSON object, so that two can be compared
 * member by member. What has no structure that we know is shown as lines of 16 octets.
 *
 *      headers, records, registers, hvm_params, tsc, cpuid, msrs, hvm_context, vcpus, shared_info,
 *      config, xenstore, emulator
 *
 * A member that the domain does not have is missing. What is shown of one record is bounded: of more
 * entries than STATE_ENTRIES_MAX, or octets than STATE_OCTETS_MAX, there is a checksum.
 * Of several entries with one name the second is "NAME #2", and so on; of what a restore sets several
 * times (registers, parameters, xenstore keys) there is the last.
 * Members are in the order of the domain's own records.
 */
#ifndef XENSR_TOOLS_STATE_JSON_H
#define XENSR_TOOLS_STATE_JSON_H

#include <jansson.h>

#include "image.h"

#define STATE_ENTRIES_MAX 16384u
#define STATE_OCTETS_MAX  65536u
#define STATE_SHOWN_MAX   (4u << 20) /* of all records together */

/* The selected state, to be dropped by the caller; NULL with errno and *err. */
json_t *state_json(const struct image *image, struct image_error *err);

#endif
