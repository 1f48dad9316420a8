/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptions of our own, for streams without a VMDESCRIPTION such as those of Xen. They are of parts
 * whose state the hardware's documents fix; a section that does not fit one is shown as octets.
 */
#ifndef XENSR_LIB_DEVICE_KNOWN_DEVICES_H
#define XENSR_LIB_DEVICE_KNOWN_DEVICES_H

#include "description.h"
#include "savevm.h"

/* The description of such a section, or NULL. */
const struct state_description *known_device_find(const struct savevm_section *section);

#endif
