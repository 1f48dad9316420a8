/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "known_devices.h"

#include <string.h>

const struct state_description *known_device_next(const struct savevm_section *section,
						  const struct state_description *after)
{
	const struct known_devices *const parts[] = {&known_cpu_devices, &known_isa_devices,
						     &known_pci_devices};
	const char *slash = strrchr(section->idstr, '/'); /* "0000:00:02.0/platform" */
	const char *name = slash ? slash + 1 : section->idstr;

	for (size_t part = 0; part < sizeof(parts) / sizeof(parts[0]); part++) {
		for (size_t i = 0; i < parts[part]->count; i++) {
			const struct state_description *device = &parts[part]->list[i];

			if (after) {
				if (device == after)
					after = NULL;
				continue;
			}
			if (device->version == section->version_id && !strcmp(device->name, name))
				return device;
		}
	}
	return NULL;
}
