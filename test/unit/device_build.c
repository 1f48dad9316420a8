/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device_build.h"

#include <stdlib.h>
#include <string.h>

void state_be(struct stream *s, uint64_t value, unsigned n)
{
	while (n--) {
		uint8_t octet = (uint8_t)(value >> 8 * n);

		stream_raw(s, &octet, 1);
	}
}

void state_header(struct stream *s)
{
	stream_raw(s, "QEVM", 4);
	state_be(s, 3, 4);
}

void state_name(struct stream *s, const char *name)
{
	state_be(s, strlen(name), 1);
	stream_raw(s, name, strlen(name));
}

void state_section(struct stream *s, unsigned type, uint32_t id, const char *idstr,
		   uint32_t instance, uint32_t version)
{
	state_section_goes_on(s, type, id);
	state_name(s, idstr);
	state_be(s, instance, 4);
	state_be(s, version, 4);
}

void state_section_goes_on(struct stream *s, unsigned type, uint32_t id)
{
	state_be(s, type, 1);
	state_be(s, id, 4);
}

void state_full(struct stream *s, uint32_t id, const char *idstr, uint32_t instance,
		uint32_t version, const void *data, size_t length, int footer)
{
	state_section(s, 4, id, idstr, instance, version);
	stream_raw(s, data, length);
	if (footer)
		state_footer(s, id);
}

void state_footer(struct stream *s, uint32_t id)
{
	state_section_goes_on(s, 0x7e, id);
}

void state_subsection(struct stream *s, const char *name, uint32_t version)
{
	state_be(s, 5, 1);
	state_name(s, name);
	state_be(s, version, 4);
}

void state_command(struct stream *s, unsigned command, const void *payload, uint16_t length)
{
	state_be(s, 8, 1);
	state_be(s, command, 2);
	state_be(s, length, 2);
	stream_raw(s, payload, length);
}

void state_vmdescription(struct stream *s, const char *text)
{
	state_be(s, 6, 1);
	state_be(s, strlen(text), 4);
	stream_raw(s, text, strlen(text));
}

void *state_exact(const struct stream *s, size_t length)
{
	void *copy = malloc(length ? length : 1);

	if (copy && length)
		memcpy(copy, s->octets, length);
	return copy;
}
