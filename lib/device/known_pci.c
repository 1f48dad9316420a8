/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The PCI bus and the devices at it. */
#include "known_devices.h"

#define PCI_MAX_IRQS 4096u

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
static const struct state_description pci_device = {.name = "PCIDevice",
						    KNOWN_FIELDS(pci_device_fields)};

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

static const struct state_field i2c_bus_fields[] = {
	{.name = "saved_address", .type = STATE_U8},
};

static const struct state_field bmdma_fields[] = {
	{.name = "cmd", .type = STATE_U8},
	{.name = "migration_compat_status", .type = STATE_U8},
	{.name = "addr", .type = STATE_U32},
	{.name = "migration_retry_sector_num", .type = STATE_S64},
	{.name = "migration_retry_nsector", .type = STATE_U32},
	{.name = "migration_retry_unit", .type = STATE_U8},
};
static const struct state_description bmdma = {.name = "bus master", KNOWN_FIELDS(bmdma_fields)};
static const struct state_field ide_bus_fields[] = {
	{.name = "cmd", .type = STATE_U8},
	{.name = "unit", .type = STATE_U8},
};
static const struct state_description ide_bus = {.name = "ide_bus", KNOWN_FIELDS(ide_bus_fields)};
static const struct state_field ide_drive_fields[] = {
	{.name = "mult_sectors", .type = STATE_S32}, {.name = "identify_set", .type = STATE_S32},
	{.name = "feature", .type = STATE_U8},       {.name = "error", .type = STATE_U8},
	{.name = "nsector", .type = STATE_U32},      {.name = "sector", .type = STATE_U8},
	{.name = "lcyl", .type = STATE_U8},          {.name = "hcyl", .type = STATE_U8},
	{.name = "hob_feature", .type = STATE_U8},   {.name = "hob_sector", .type = STATE_U8},
	{.name = "hob_nsector", .type = STATE_U8},   {.name = "hob_lcyl", .type = STATE_U8},
	{.name = "hob_hcyl", .type = STATE_U8},      {.name = "select", .type = STATE_U8},
	{.name = "status", .type = STATE_U8},        {.name = "lba48", .type = STATE_U8},
	{.name = "sense_key", .type = STATE_U8},     {.name = "asc", .type = STATE_U8},
	{.name = "cdrom_changed", .type = STATE_U8},
};
static const struct state_description ide_drive = {.name = "ide_drive",
						   KNOWN_FIELDS(ide_drive_fields)};
static const struct state_field ide_fields[] = {
	{.name = "parent_obj", .type = STATE_STRUCT, .nested = &pci_device},
	{.name = "bmdma", .type = STATE_STRUCT, .count = 2, .nested = &bmdma},
	{.name = "bus", .type = STATE_STRUCT, .count = 2, .nested = &ide_bus},
	{.name = "bus[0].ifs", .type = STATE_STRUCT, .count = 2, .nested = &ide_drive},
	{.name = "bus[1].ifs", .type = STATE_STRUCT, .count = 2, .nested = &ide_drive},
};

static const struct state_field apm_fields[] = {
	{.name = "apmc", .type = STATE_U8},
	{.name = "apms", .type = STATE_U8},
};
static const struct state_description apm = {.name = "apm", KNOWN_FIELDS(apm_fields)};
static const struct state_field smbus_fields[] = {
	{.name = "smb_stat", .type = STATE_U8},
	{.name = "smb_ctl", .type = STATE_U8},
	{.name = "smb_cmd", .type = STATE_U8},
	{.name = "smb_addr", .type = STATE_U8},
	{.name = "smb_data0", .type = STATE_U8},
	{.name = "smb_data1", .type = STATE_U8},
	{.name = "smb_index", .type = STATE_U32},
	{.name = "smb_data", .type = STATE_BUFFER, .size = 32},
	{.name = "smb_auxctl", .type = STATE_U8},
	{.name = "smb_blkdata", .type = STATE_U8},
	{.name = "i2c_enable", .type = STATE_BOOL},
	{.name = "op_done", .type = STATE_BOOL},
	{.name = "in_i2c_block_read", .type = STATE_BOOL},
	{.name = "start_transaction_on_status_read", .type = STATE_BOOL},
};
static const struct state_description smbus = {.name = "smbus", KNOWN_FIELDS(smbus_fields)};
static const struct state_field gpe_fields[] = {
	{.name = "sts", .type = STATE_U16},
	{.name = "en", .type = STATE_U16},
};
static const struct state_description gpe = {.name = "gpe", KNOWN_FIELDS(gpe_fields)};
static const struct state_field slots_fields[] = {
	{.name = "up", .type = STATE_U32},
	{.name = "down", .type = STATE_U32},
};
static const struct state_description slots = {.name = "hotplug slots", KNOWN_FIELDS(slots_fields)};
static const struct state_field memory_hotplug_fields[] = {
	{.name = "acpi_memory_hotplug.selector", .type = STATE_U32},
};
static const struct state_description memory_hotplug = {
	.name = "piix4_pm/memhp", KNOWN_VERSION(1), KNOWN_FIELDS(memory_hotplug_fields)};
static const struct state_description *const pm_subsections[] = {&memory_hotplug};

/* Of machines as old as Xen's (xenfv), and of those of today. */
static const struct state_field old_pm_fields[] = {
	{.name = "parent_obj", .type = STATE_STRUCT, .nested = &pci_device},
	{.name = "ar.pm1.evt.sts", .type = STATE_U16},
	{.name = "ar.pm1.evt.en", .type = STATE_U16},
	{.name = "ar.pm1.cnt.cnt", .type = STATE_U16},
	{.name = "apm", .type = STATE_STRUCT, .nested = &apm},
	{.name = "ar.tmr.timer", .type = STATE_TIMER},
	{.name = "ar.tmr.overflow_time", .type = STATE_S64},
	{.name = "ar.gpe", .type = STATE_STRUCT, .nested = &gpe},
	{.name = "acpi_pcihp_pci_status", .type = STATE_STRUCT, .nested = &slots},
};
static const struct state_field pm_fields[] = {
	{.name = "parent_obj", .type = STATE_STRUCT, .nested = &pci_device},
	{.name = "ar.pm1.evt.sts", .type = STATE_U16},
	{.name = "ar.pm1.evt.en", .type = STATE_U16},
	{.name = "ar.pm1.cnt.cnt", .type = STATE_U16},
	{.name = "apm", .type = STATE_STRUCT, .nested = &apm},
	{.name = "smb", .type = STATE_STRUCT, .nested = &smbus},
	{.name = "ar.tmr.timer", .type = STATE_TIMER},
	{.name = "ar.tmr.overflow_time", .type = STATE_S64},
	{.name = "ar.gpe", .type = STATE_STRUCT, .nested = &gpe},
	{.name = "hotplug_select", .type = STATE_U32},
	{.name = "acpi_pcihp_pci_status", .type = STATE_STRUCT, .count = 256, .nested = &slots},
	{.name = "acpi_index", .type = STATE_U32},
};

static const struct state_description devices[] = {
	KNOWN("PCIBUS", 1, pci_bus_fields),
	KNOWN("I440FX", 3, i440fx_fields),
	KNOWN("PIIX3", 3, piix3_fields),
	KNOWN("platform", 4, platform_fields),
	KNOWN("i2c_bus", 1, i2c_bus_fields),
	KNOWN("ide", 3, ide_fields),
	{.name = "piix4_pm",
	 KNOWN_VERSION(3),
	 KNOWN_FIELDS(old_pm_fields),
	 KNOWN_SUBSECTIONS(pm_subsections)},
	{.name = "piix4_pm",
	 KNOWN_VERSION(3),
	 KNOWN_FIELDS(pm_fields),
	 KNOWN_SUBSECTIONS(pm_subsections)},
};
const struct known_devices known_pci_devices = KNOWN_LIST(devices);
