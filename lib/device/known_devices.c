/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is here is in the state of a domain that Xen 4.17 saved, fits it octet for octet, and shows there
 * what the hardware's documents say: PCI headers with the ids of the parts (PCI Local Bus 3.0, 6.1), the
 * 24 redirection entries of an 82093AA, the timers of an HPET (IA-PC HPET 1.0a), the CMOS with the time in
 * BCD of an MC146818, port 92h. The octets around those are named as QEMU's own VMDESCRIPTION does it.
 */
#include "known_devices.h"

#include <string.h>

#define FIELDS(list) .fields = (list), .field_count = sizeof(list) / sizeof((list)[0])

#define HPET_MAX_TIMERS 32u /* IA-PC HPET 1.0a, 2.3.4 */
#define PCI_MAX_IRQS    4096u

static const struct state_field timer_fields[] = {
	{.name = "cpu_ticks_offset", .type = STATE_S64},
	{.name = "unused", .type = STATE_UNUSED, .size = 8},
	{.name = "cpu_clock_offset", .type = STATE_S64},
};

static const struct state_field cpu_common_fields[] = {
	{.name = "halted", .type = STATE_U32},
	{.name = "interrupt_request", .type = STATE_U32},
};

static const struct state_field ioapic_fields[] = {
	{.name = "id", .type = STATE_U8},
	{.name = "ioregsel", .type = STATE_U8},
	{.name = "unused", .type = STATE_UNUSED, .size = 8},
	{.name = "irr", .type = STATE_U32},
	{.name = "ioredtbl", .type = STATE_U64, .count = 24},
};

static const struct state_field hpet_timer_fields[] = {
	{.name = "number", .type = STATE_U8},      {.name = "config", .type = STATE_U64},
	{.name = "comparator", .type = STATE_U64}, {.name = "fsb_route", .type = STATE_U64},
	{.name = "period", .type = STATE_U64},     {.name = "wrap_flag", .type = STATE_U8},
	{.name = "fires_at", .type = STATE_TIMER},
};
static const struct state_description hpet_timer = {.name = "hpet_timer",
						    FIELDS(hpet_timer_fields)};
static const struct state_field hpet_fields[] = {
	{.name = "config", .type = STATE_U64},
	{.name = "interrupt_status", .type = STATE_U64},
	{.name = "counter", .type = STATE_U64},
	{.name = "num_timers", .type = STATE_U8},
	{.name = "timer",
	 .type = STATE_STRUCT,
	 .count = HPET_MAX_TIMERS,
	 .counted_by = &hpet_fields[3],
	 .nested = &hpet_timer},
};

static const struct state_field mc146818rtc_fields[] = {
	{.name = "cmos", .type = STATE_BUFFER, .size = 128},
	{.name = "cmos_index", .type = STATE_U8},
	{.name = "unused", .type = STATE_UNUSED, .size = 28},
	{.name = "periodic_timer", .type = STATE_TIMER},
	{.name = "next_periodic_time", .type = STATE_S64},
	{.name = "unused", .type = STATE_UNUSED, .size = 24},
	{.name = "irq_coalesced", .type = STATE_U32},
	{.name = "period", .type = STATE_U32},
	{.name = "base_rtc", .type = STATE_U64},
	{.name = "last_update", .type = STATE_U64},
	{.name = "offset", .type = STATE_S64},
	{.name = "update_timer", .type = STATE_TIMER},
	{.name = "next_alarm_time", .type = STATE_U64},
};

static const struct state_field one_octet[] = {
	{.name = "value", .type = STATE_U8},
};

static const struct state_field pci_bus_fields[] = {
	{.name = "nirq", .type = STATE_S32},
	{.name = "irq_count",
	 .type = STATE_S32,
	 .count = PCI_MAX_IRQS,
	 .counted_by = &pci_bus_fields[0]},
};

static const struct state_field pci_device_fields[] = {
	{.name = "version_id", .type = STATE_S32},
	{.name = "config", .type = STATE_BUFFER, .size = 256},
	{.name = "irq_state", .type = STATE_U32, .count = 4},
};
static const struct state_description pci_device = {.name = "PCIDevice", FIELDS(pci_device_fields)};

static const struct state_field i440fx_fields[] = {
	{.name = "pci", .type = STATE_STRUCT, .nested = &pci_device},
	{.name = "unused", .type = STATE_UNUSED, .size = 1},
};
static const struct state_field piix3_fields[] = {
	{.name = "pci", .type = STATE_STRUCT, .nested = &pci_device},
	{.name = "pci_irq_levels", .type = STATE_S32, .count = 4},
};
static const struct state_field platform_fields[] = {
	{.name = "pci", .type = STATE_STRUCT, .nested = &pci_device},
	{.name = "flags", .type = STATE_U8},
};

#define KNOWN(device, of_version, list)                                                     \
	{                                                                                   \
		.name = (device), .version = (of_version), .minimum_version = (of_version), \
		FIELDS(list)                                                                \
	}

static const struct state_description known[] = {
	KNOWN("timer", 2, timer_fields),       KNOWN("cpu_common", 1, cpu_common_fields),
	KNOWN("ioapic", 3, ioapic_fields),     KNOWN("hpet", 2, hpet_fields),
	KNOWN("port92", 1, one_octet),         KNOWN("mc146818rtc", 3, mc146818rtc_fields),
	KNOWN("i2c_bus", 1, one_octet),        KNOWN("PCIBUS", 1, pci_bus_fields),
	KNOWN("I440FX", 3, i440fx_fields),     KNOWN("PIIX3", 3, piix3_fields),
	KNOWN("platform", 4, platform_fields),
};

const struct state_description *known_device_find(const struct savevm_section *section)
{
	const char *slash = strrchr(section->idstr, '/'); /* "0000:00:02.0/platform" */
	const char *name = slash ? slash + 1 : section->idstr;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i].version == section->version_id && !strcmp(known[i].name, name))
			return &known[i];
	}
	return NULL;
}
