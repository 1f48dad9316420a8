/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pv.h"

#include <string.h>

uint64_t sim_field_get(uint32_t width, const void *structure, struct sim_field field)
{
	uint64_t value = 0;

	memcpy(&value, (const uint8_t *)structure + sim_field_offset(width, field),
	       sim_field_octets(width, field));
	return value;
}

void sim_field_set(uint32_t width, void *structure, struct sim_field field, uint64_t value)
{
	memcpy((uint8_t *)structure + sim_field_offset(width, field), &value,
	       sim_field_octets(width, field));
}

uint64_t sim_shared_info_get(const struct sim_domain *domain, struct sim_field field)
{
	return sim_field_get(domain->state->width,
			     sim_frame_page(domain->host, domain->state->shared_info_frame), field);
}
