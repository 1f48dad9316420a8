/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptions of our own, for streams without a VMDESCRIPTION such as those of Xen. A section that fits
 * none is shown as octets.
 *
 * Each of them fits, octet for octet, a section in the state of a domain that Xen 4.17 saved. What the
 * octets are was observed: they are named, and in the order, as in the VMDESCRIPTION that the same
 * version of QEMU writes for such a device when it runs without Xen, and they show in that domain what the
 * hardware's documents say: PCI headers with the ids of the parts (PCI Local Bus 3.0, 6.1), the 24
 * redirection entries of an 82093AA, the timers of an HPET (IA-PC HPET 1.0a), the CMOS with the time in BCD
 * of an MC146818, the reset state of a processor. QEMU 7.2 and 10.0, which Debian has for Xen 4.17 and
 * 4.20, describe machines of the age of Xen's alike.
 */
#ifndef XENSR_LIB_DEVICE_KNOWN_DEVICES_H
#define XENSR_LIB_DEVICE_KNOWN_DEVICES_H

#include "description.h"
#include "savevm.h"

/*
 * The description of such a section behind `after` in the list (NULL = the first), or NULL. A device
 * that comes in several layouts under one version has a description for each.
 */
const struct state_description *known_device_next(const struct savevm_section *section,
						  const struct state_description *after);

/* The parts of the list. */
struct known_devices {
	const struct state_description *list;
	size_t count;
};
extern const struct known_devices
	known_cpu_devices; /* known_cpu.c: processors, their clocks and APICs */
extern const struct known_devices
	known_isa_devices; /* known_isa.c: what hangs at the ISA bus, and fw_cfg */
extern const struct known_devices known_pci_devices; /* known_pci.c */

/* For the initialisers of those. */
#define KNOWN_FIELDS(of)      .fields = (of), .field_count = sizeof(of) / sizeof((of)[0])
#define KNOWN_SUBSECTIONS(of) .subsections = (of), .subsection_count = sizeof(of) / sizeof((of)[0])
#define KNOWN_VERSION(of)     .version = (of), .minimum_version = (of)
#define KNOWN(device, of_version, of)                                         \
	{                                                                     \
		.name = (device), KNOWN_VERSION(of_version), KNOWN_FIELDS(of) \
	}
#define KNOWN_LIST(of)                                              \
	{                                                           \
		.list = (of), .count = sizeof(of) / sizeof((of)[0]) \
	}

#endif
