/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processors as the device model keeps them, their clocks and APICs. */
#include "known_devices.h"

static const struct state_field timer_fields[] = {
	{.name = "cpu_ticks_offset", .type = STATE_S64},
	{.name = "unused", .type = STATE_UNUSED, .size = 8},
	{.name = "cpu_clock_offset", .type = STATE_S64},
};

static const struct state_field cpu_common_fields[] = {
	{.name = "halted", .type = STATE_U32},
	{.name = "interrupt_request", .type = STATE_U32},
};

static const struct state_field apic_fields[] = {
	{.name = "apicbase", .type = STATE_U32},
	{.name = "id", .type = STATE_U8},
	{.name = "arb_id", .type = STATE_U8},
	{.name = "tpr", .type = STATE_U8},
	{.name = "spurious_vec", .type = STATE_U32},
	{.name = "log_dest", .type = STATE_U8},
	{.name = "dest_mode", .type = STATE_U8},
	{.name = "isr", .type = STATE_U32, .count = 8},
	{.name = "tmr", .type = STATE_U32, .count = 8},
	{.name = "irr", .type = STATE_U32, .count = 8},
	{.name = "lvt", .type = STATE_U32, .count = 6},
	{.name = "esr", .type = STATE_U32},
	{.name = "icr", .type = STATE_U32, .count = 2},
	{.name = "divide_conf", .type = STATE_U32},
	{.name = "count_shift", .type = STATE_S32},
	{.name = "initial_count", .type = STATE_U32},
	{.name = "initial_count_load_time", .type = STATE_S64},
	{.name = "next_time", .type = STATE_S64},
	{.name = "timer_expiry", .type = STATE_S64},
};

static const struct state_field apic_sipi_fields[] = {
	{.name = "sipi_vector", .type = STATE_S32},
	{.name = "wait_for_sipi", .type = STATE_S32},
};
/* Of processors that wait for their start. */
static const struct state_description apic_sipi = {
	.name = "apic_sipi", KNOWN_VERSION(1), KNOWN_FIELDS(apic_sipi_fields)};
static const struct state_description *const apic_subsections[] = {&apic_sipi};

static const struct state_field cpu_half_ymm_fields[] = {
	{.name = "low", .type = STATE_U64},
	{.name = "high", .type = STATE_U64},
};
static const struct state_description cpu_half_ymm = {.name = "half a YMM register",
						      KNOWN_FIELDS(cpu_half_ymm_fields)};
static const struct state_field cpu_mtrr_fields[] = {
	{.name = "base", .type = STATE_U64},
	{.name = "mask", .type = STATE_U64},
};
static const struct state_description cpu_mtrr = {.name = "variable MTRR",
						  KNOWN_FIELDS(cpu_mtrr_fields)};

static const struct state_field cpu_poll_control_fields[] = {
	{.name = "env.poll_control_msr", .type = STATE_U64},
};
static const struct state_description cpu_poll_control = {
	.name = "cpu/poll_control_msr", KNOWN_VERSION(1), KNOWN_FIELDS(cpu_poll_control_fields)};
static const struct state_description *const cpu_subsections[] = {&cpu_poll_control};

/* Parts of it that lie within the width-dependent ones. */
static const struct state_field cpu_fpu_fields[] = {
	{.name = "hflags", .type = STATE_U32},
	{.name = "fpuc", .type = STATE_U16},
	{.name = "fpus_vmstate", .type = STATE_U16},
	{.name = "fptag_vmstate", .type = STATE_U16},
	{.name = "fpregs_format_vmstate", .type = STATE_U16},
	{.name = "fpregs", .type = STATE_BUFFER, .size = 10, .count = 8},
};
static const struct state_description cpu_fpu = {.name = "x87", KNOWN_FIELDS(cpu_fpu_fields)};
static const struct state_field cpu_modes_fields[] = {
	{.name = "a20_mask", .type = STATE_S32},
	{.name = "mxcsr", .type = STATE_U32},
};
static const struct state_description cpu_modes = {.name = "modes", KNOWN_FIELDS(cpu_modes_fields)};
static const struct state_field cpu_events_fields[] = {
	{.name = "smbase", .type = STATE_U32},
	{.name = "pat", .type = STATE_U64},
	{.name = "hflags2", .type = STATE_U32},
	{.name = "vm_hsave", .type = STATE_U64},
	{.name = "vm_vmcb", .type = STATE_U64},
	{.name = "tsc_offset", .type = STATE_U64},
	{.name = "intercept", .type = STATE_U64},
	{.name = "intercept_cr_read", .type = STATE_U16},
	{.name = "intercept_cr_write", .type = STATE_U16},
	{.name = "intercept_dr_read", .type = STATE_U16},
	{.name = "intercept_dr_write", .type = STATE_U16},
	{.name = "intercept_exceptions", .type = STATE_U32},
	{.name = "v_tpr", .type = STATE_U8},
	{.name = "mtrr_fixed", .type = STATE_U64, .count = 11},
	{.name = "mtrr_deftype", .type = STATE_U64},
	{.name = "mtrr_var", .type = STATE_STRUCT, .count = 8, .nested = &cpu_mtrr},
	{.name = "interrupt_injected", .type = STATE_S32},
	{.name = "mp_state", .type = STATE_U32},
	{.name = "tsc", .type = STATE_U64},
	{.name = "exception_nr", .type = STATE_S32},
	{.name = "soft_interrupt", .type = STATE_U8},
	{.name = "nmi_injected", .type = STATE_U8},
	{.name = "nmi_pending", .type = STATE_U8},
	{.name = "has_error_code", .type = STATE_U8},
	{.name = "sipi_vector", .type = STATE_U32},
	{.name = "mcg_cap", .type = STATE_U64},
	{.name = "mcg_status", .type = STATE_U64},
	{.name = "mcg_ctl", .type = STATE_U64},
	{.name = "mce_banks", .type = STATE_U64, .count = 40},
	{.name = "tsc_aux", .type = STATE_U64},
	{.name = "system_time_msr", .type = STATE_U64},
	{.name = "wall_clock_msr", .type = STATE_U64},
	{.name = "xcr0", .type = STATE_U64},
	{.name = "xstate_bv", .type = STATE_U64},
};
static const struct state_description cpu_events = {.name = "MSRs and events",
						    KNOWN_FIELDS(cpu_events_fields)};

static const struct state_field cpu32_segment_fields[] = {
	{.name = "selector", .type = STATE_U32},
	{.name = "base", .type = STATE_U32},
	{.name = "limit", .type = STATE_U32},
	{.name = "flags", .type = STATE_U32},
};
static const struct state_description cpu32_segment = {.name = "segment",
						       KNOWN_FIELDS(cpu32_segment_fields)};
static const struct state_field cpu64_segment_fields[] = {
	{.name = "selector", .type = STATE_U32},
	{.name = "base", .type = STATE_U64},
	{.name = "limit", .type = STATE_U32},
	{.name = "flags", .type = STATE_U32},
};
static const struct state_description cpu64_segment = {.name = "segment",
						       KNOWN_FIELDS(cpu64_segment_fields)};

/* Of two widths: registers, and how many. The parts between are the same. */
#define CPU_FIELDS(width, segment, registers, ...)                                              \
	{.name = "env.regs", .type = (width), .count = (registers)},                            \
		{.name = "env.eip", .type = (width)}, {.name = "env.eflags", .type = (width)},  \
		{.name = "env", .type = STATE_STRUCT, .nested = &cpu_fpu},                      \
		{.name = "env.segs", .type = STATE_STRUCT, .count = 6, .nested = &(segment)},   \
		{.name = "env.ldt", .type = STATE_STRUCT, .nested = &(segment)},                \
		{.name = "env.tr", .type = STATE_STRUCT, .nested = &(segment)},                 \
		{.name = "env.gdt", .type = STATE_STRUCT, .nested = &(segment)},                \
		{.name = "env.idt", .type = STATE_STRUCT, .nested = &(segment)},                \
		{.name = "env.sysenter_cs", .type = STATE_U32},                                 \
		{.name = "env.sysenter_esp", .type = (width)},                                  \
		{.name = "env.sysenter_eip", .type = (width)},                                  \
		{.name = "env.cr[0]", .type = (width)}, {.name = "env.cr[2]", .type = (width)}, \
		{.name = "env.cr[3]", .type = (width)}, {.name = "env.cr[4]", .type = (width)}, \
		{.name = "env.dr", .type = (width), .count = 8},                                \
		{.name = "env", .type = STATE_STRUCT, .nested = &cpu_modes},                    \
		{.name = "env.xmm_regs[0]",                                                     \
		 .type = STATE_STRUCT,                                                          \
		 .count = (registers),                                                          \
		 .nested = &cpu_half_ymm},                                                      \
		__VA_ARGS__{.name = "env", .type = STATE_STRUCT, .nested = &cpu_events},        \
	{                                                                                       \
		.name = "env.xmm_regs[1]", .type = STATE_STRUCT, .count = (registers),          \
		.nested = &cpu_half_ymm                                                         \
	}

/* What only long mode has. */
#define LONG_MODE_FIELDS                                                                  \
	{.name = "env.efer", .type = STATE_U64}, {.name = "env.star", .type = STATE_U64}, \
		{.name = "env.lstar", .type = STATE_U64},                                 \
		{.name = "env.cstar", .type = STATE_U64},                                 \
		{.name = "env.fmask", .type = STATE_U64},                                 \
		{.name = "env.kernelgsbase", .type = STATE_U64},

/* qemu-system-i386, the one that Xen runs, and qemu-system-x86_64. */
static const struct state_field cpu32_fields[] = {CPU_FIELDS(STATE_U32, cpu32_segment, 8)};
static const struct state_field cpu64_fields[] = {
	CPU_FIELDS(STATE_U64, cpu64_segment, 16, LONG_MODE_FIELDS)};

static const struct state_description devices[] = {
	KNOWN("timer", 2, timer_fields),
	KNOWN("cpu_common", 1, cpu_common_fields),
	{.name = "apic",
	 KNOWN_VERSION(3),
	 KNOWN_FIELDS(apic_fields),
	 KNOWN_SUBSECTIONS(apic_subsections)},
	{.name = "cpu",
	 KNOWN_VERSION(12),
	 KNOWN_FIELDS(cpu32_fields),
	 KNOWN_SUBSECTIONS(cpu_subsections)},
	{.name = "cpu",
	 KNOWN_VERSION(12),
	 KNOWN_FIELDS(cpu64_fields),
	 KNOWN_SUBSECTIONS(cpu_subsections)},
};
const struct known_devices known_cpu_devices = KNOWN_LIST(devices);
