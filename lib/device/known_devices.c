/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "known_devices.h"

const struct state_description *known_device_find(const struct savevm_section *section)
{
	(void)section;
	return 0;
}
