/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What hangs at the ISA bus, as software sees it, and QEMU's fw_cfg. */
#include "known_devices.h"

#define HPET_MAX_TIMERS 32u /* IA-PC HPET 1.0a, 2.3.4 */

static const struct state_field ioapic_fields[] = {
	{.name = "id", .type = STATE_U8},
	{.name = "ioregsel", .type = STATE_U8},
	{.name = "unused", .type = STATE_UNUSED, .size = 8},
	{.name = "irr", .type = STATE_U32},
	{.name = "ioredtbl", .type = STATE_U64, .count = 24},
};

static const struct state_field hpet_timer_fields[] = {
	{.name = "tn", .type = STATE_U8},
	{.name = "config", .type = STATE_U64},
	{.name = "cmp", .type = STATE_U64},
	{.name = "fsb", .type = STATE_U64},
	{.name = "period", .type = STATE_U64},
	{.name = "wrap_flag", .type = STATE_U8},
	{.name = "qemu_timer", .type = STATE_TIMER},
};
static const struct state_description hpet_timer = {.name = "hpet_timer",
						    KNOWN_FIELDS(hpet_timer_fields)};
static const struct state_field hpet_fields[] = {
	{.name = "config", .type = STATE_U64},
	{.name = "isr", .type = STATE_U64},
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

static const struct state_field port92_fields[] = {
	{.name = "outport", .type = STATE_U8},
};

static const struct state_field dma_channel_fields[] = {
	{.name = "now", .type = STATE_S32, .count = 2},
	{.name = "base", .type = STATE_U16, .count = 2},
	{.name = "mode", .type = STATE_U8},
	{.name = "page", .type = STATE_U8},
	{.name = "pageh", .type = STATE_U8},
	{.name = "dack", .type = STATE_U8},
	{.name = "eop", .type = STATE_U8},
};
static const struct state_description dma_channel = {.name = "DMA channel",
						     KNOWN_FIELDS(dma_channel_fields)};
static const struct state_field dma_fields[] = {
	{.name = "command", .type = STATE_U8},
	{.name = "mask", .type = STATE_U8},
	{.name = "flip_flop", .type = STATE_U8},
	{.name = "dshift", .type = STATE_S32},
	{.name = "regs", .type = STATE_STRUCT, .count = 4, .nested = &dma_channel},
};

static const struct state_field fdrive_media_rate_fields[] = {
	{.name = "media_rate", .type = STATE_U8},
};
static const struct state_description fdrive_media_rate = {
	.name = "fdrive/media_rate", KNOWN_VERSION(1), KNOWN_FIELDS(fdrive_media_rate_fields)};
static const struct state_description *const fdrive_subsections[] = {&fdrive_media_rate};
static const struct state_field fdrive_fields[] = {
	{.name = "head", .type = STATE_U8},
	{.name = "track", .type = STATE_U8},
	{.name = "sect", .type = STATE_U8},
};
static const struct state_description fdrive = {
	.name = "fdrive", KNOWN_FIELDS(fdrive_fields), KNOWN_SUBSECTIONS(fdrive_subsections)};
static const struct state_field fdc_state_fields[] = {
	{.name = "sra", .type = STATE_U8},
	{.name = "srb", .type = STATE_U8},
	{.name = "dor_vmstate", .type = STATE_U8},
	{.name = "tdr", .type = STATE_U8},
	{.name = "dsr", .type = STATE_U8},
	{.name = "msr", .type = STATE_U8},
	{.name = "status0", .type = STATE_U8},
	{.name = "status1", .type = STATE_U8},
	{.name = "status2", .type = STATE_U8},
	{.name = "fifo", .type = STATE_BUFFER, .size = 512},
	{.name = "data_pos", .type = STATE_U32},
	{.name = "data_len", .type = STATE_U32},
	{.name = "data_state", .type = STATE_U8},
	{.name = "data_dir", .type = STATE_U8},
	{.name = "eot", .type = STATE_U8},
	{.name = "timer0", .type = STATE_U8},
	{.name = "timer1", .type = STATE_U8},
	{.name = "precomp_trk", .type = STATE_U8},
	{.name = "config", .type = STATE_U8},
	{.name = "lock", .type = STATE_U8},
	{.name = "pwrd", .type = STATE_U8},
	{.name = "num_floppies", .type = STATE_U8},
	{.name = "drives", .type = STATE_STRUCT, .count = 2, .nested = &fdrive},
};
static const struct state_description fdc_state = {.name = "fdc", KNOWN_FIELDS(fdc_state_fields)};
static const struct state_field fdc_fields[] = {
	{.name = "state", .type = STATE_STRUCT, .nested = &fdc_state},
};

static const struct state_field ps2_fields[] = {
	{.name = "write_cmd", .type = STATE_S32},
	{.name = "queue.rptr", .type = STATE_S32},
	{.name = "queue.wptr", .type = STATE_S32},
	{.name = "queue.count", .type = STATE_S32},
	{.name = "queue.data", .type = STATE_BUFFER, .size = 256},
};
static const struct state_description ps2 = {.name = "PS/2 device", KNOWN_FIELDS(ps2_fields)};
static const struct state_field ps2kbd_fields[] = {
	{.name = "parent_obj", .type = STATE_STRUCT, .nested = &ps2},
	{.name = "scan_enabled", .type = STATE_S32},
	{.name = "translate", .type = STATE_S32},
	{.name = "scancode_set", .type = STATE_S32},
};
static const struct state_field ps2mouse_fields[] = {
	{.name = "parent_obj", .type = STATE_STRUCT, .nested = &ps2},
	{.name = "mouse_status", .type = STATE_U8},
	{.name = "mouse_resolution", .type = STATE_U8},
	{.name = "mouse_sample_rate", .type = STATE_U8},
	{.name = "mouse_wrap", .type = STATE_U8},
	{.name = "mouse_type", .type = STATE_U8},
	{.name = "mouse_detect_state", .type = STATE_U8},
	{.name = "mouse_dx", .type = STATE_S32},
	{.name = "mouse_dy", .type = STATE_S32},
	{.name = "mouse_dz", .type = STATE_S32},
	{.name = "mouse_buttons", .type = STATE_U8},
};

static const struct state_field pckbd_extended_fields[] = {
	{.name = "migration_flags", .type = STATE_U32},
	{.name = "obsrc", .type = STATE_U32},
	{.name = "obdata", .type = STATE_U8},
	{.name = "cbdata", .type = STATE_U8},
};
static const struct state_description pckbd_extended = {
	.name = "pckbd/extended_state", KNOWN_VERSION(0), KNOWN_FIELDS(pckbd_extended_fields)};
static const struct state_description *const pckbd_subsections[] = {&pckbd_extended};
static const struct state_field pckbd_state_fields[] = {
	{.name = "write_cmd", .type = STATE_U8},
	{.name = "status", .type = STATE_U8},
	{.name = "mode", .type = STATE_U8},
	{.name = "pending_tmp", .type = STATE_U8},
};
static const struct state_description pckbd_state = {
	.name = "pckbd", KNOWN_FIELDS(pckbd_state_fields), KNOWN_SUBSECTIONS(pckbd_subsections)};
static const struct state_field pckbd_fields[] = {
	{.name = "kbd", .type = STATE_STRUCT, .nested = &pckbd_state},
};

static const struct state_field fw_cfg_dma_fields[] = {
	{.name = "dma_addr", .type = STATE_U64},
};
static const struct state_description fw_cfg_dma = {
	.name = "fw_cfg/dma", KNOWN_VERSION(0), KNOWN_FIELDS(fw_cfg_dma_fields)};
static const struct state_field fw_cfg_acpi_fields[] = {
	{.name = "table_mr_size", .type = STATE_U64},
	{.name = "linker_mr_size", .type = STATE_U64},
	{.name = "rsdp_mr_size", .type = STATE_U64},
};
static const struct state_description fw_cfg_acpi = {
	.name = "fw_cfg/acpi_mr", KNOWN_VERSION(1), KNOWN_FIELDS(fw_cfg_acpi_fields)};
static const struct state_description *const fw_cfg_subsections[] = {&fw_cfg_dma, &fw_cfg_acpi};
static const struct state_field fw_cfg_fields[] = {
	{.name = "cur_entry", .type = STATE_U16},
	{.name = "cur_offset", .type = STATE_U32},
};

static const struct state_description devices[] = {
	KNOWN("ioapic", 3, ioapic_fields),
	KNOWN("hpet", 2, hpet_fields),
	KNOWN("mc146818rtc", 3, mc146818rtc_fields),
	KNOWN("port92", 1, port92_fields),
	KNOWN("dma", 1, dma_fields),
	KNOWN("fdc", 2, fdc_fields),
	KNOWN("ps2kbd", 3, ps2kbd_fields),
	KNOWN("ps2mouse", 2, ps2mouse_fields),
	KNOWN("pckbd", 3, pckbd_fields),
	{.name = "fw_cfg",
	 KNOWN_VERSION(2),
	 KNOWN_FIELDS(fw_cfg_fields),
	 KNOWN_SUBSECTIONS(fw_cfg_subsections)},
};
const struct known_devices known_isa_devices = KNOWN_LIST(devices);
