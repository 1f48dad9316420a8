/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Containers of device state in memory, built octet by octet from the specification and not with
 * the writers of lib/device. On top of stream_build.h, which has the buffer.
 */
#ifndef XENSR_TEST_DEVICE_BUILD_H
#define XENSR_TEST_DEVICE_BUILD_H

#include "stream_build.h"

/* The last n octets of value, big-endian. */
void state_be(struct stream *s, uint64_t value, unsigned n);

/* Magic and version 3. */
void state_header(struct stream *s);

/* A length octet and the name. */
void state_name(struct stream *s, const char *name);

/* The header of a START (1) or FULL (4); of a PART (2) or END (3). */
void state_section(struct stream *s, unsigned type, uint32_t id, const char *idstr,
		   uint32_t instance, uint32_t version);
void state_section_goes_on(struct stream *s, unsigned type, uint32_t id);

/* A FULL with its data, and its footer if that is wanted. */
void state_full(struct stream *s, uint32_t id, const char *idstr, uint32_t instance,
		uint32_t version, const void *data, size_t length, int footer);

void state_footer(struct stream *s, uint32_t id);
void state_subsection(struct stream *s, const char *name, uint32_t version);
void state_command(struct stream *s, unsigned command, const void *payload, uint16_t length);
void state_vmdescription(struct stream *s, const char *text);

/* A copy with nothing readable behind its end. The caller frees it. */
void *state_exact(const struct stream *s, size_t length);

#endif
