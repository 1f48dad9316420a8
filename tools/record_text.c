/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "record_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/hvm/params.h>
#include <xen/hvm/save.h>

#include "command.h"
#include "pages.h"
#include "record.h"
#include "toolstack/libxl_record.h"
#include "toolstack/xenstore_data.h"

/* ---- names ------------------------------------------------------------------------------------- */

const char *record_name(enum image_layer layer, uint32_t type, char buffer[RECORD_NAME])
{
	if (layer == LAYER_DOMAIN && record_rule(type))
		return record_rule(type)->name;
	if (layer == LAYER_LIBXL && libxl_rule(type))
		return libxl_rule(type)->name;
	if (layer == LAYER_DOMAIN && type == REC_CHECKSUM)
		return "CHECKSUM";
	snprintf(buffer, RECORD_NAME, "%s %#x", type & RECORD_OPTIONAL ? "optional" : "unknown",
		 type);
	return buffer;
}

static const struct {
	const char *name, *key;
} page_types[16] = {
	[PAGE_NORMAL] = {"normal", "normal"},
	[0x1] = {"L1", "l1"},
	[0x2] = {"L2", "l2"},
	[0x3] = {"L3", "l3"},
	[0x4] = {"L4", "l4"},
	[0x9] = {"L1 pinned", "l1_pinned"},
	[0xa] = {"L2 pinned", "l2_pinned"},
	[0xb] = {"L3 pinned", "l3_pinned"},
	[0xc] = {"L4 pinned", "l4_pinned"},
	[PAGE_BROKEN] = {"broken", "broken"},
	[PAGE_ALLOC_ONLY] = {"allocate-only", "allocate_only"},
	[PAGE_INVALID] = {"invalid", "invalid"},
};

const char *page_type_name(enum page_type type)
{
	return type < 16 && page_types[type].name ? page_types[type].name : "unknown";
}

const char *page_type_key(enum page_type type)
{
	return type < 16 && page_types[type].key ? page_types[type].key : "unknown";
}

const char *hvm_param_name(uint64_t index)
{
	static const char *const names[] = {
		[HVM_PARAM_CALLBACK_IRQ] = "CALLBACK_IRQ",
		[HVM_PARAM_STORE_PFN] = "STORE_PFN",
		[HVM_PARAM_STORE_EVTCHN] = "STORE_EVTCHN",
		[HVM_PARAM_OLD_PAE_ENABLED] = "PAE_ENABLED",
		[HVM_PARAM_IOREQ_PFN] = "IOREQ_PFN",
		[HVM_PARAM_BUFIOREQ_PFN] = "BUFIOREQ_PFN",
		[HVM_PARAM_VIRIDIAN] = "VIRIDIAN",
		[HVM_PARAM_IDENT_PT] = "IDENT_PT",
		[HVM_PARAM_VM86_TSS] = "VM86_TSS",
		[HVM_PARAM_CONSOLE_PFN] = "CONSOLE_PFN",
		[HVM_PARAM_CONSOLE_EVTCHN] = "CONSOLE_EVTCHN",
		[HVM_PARAM_ACPI_IOPORTS_LOCATION] = "ACPI_IOPORTS_LOCATION",
		[HVM_PARAM_PAGING_RING_PFN] = "PAGING_RING_PFN",
		[HVM_PARAM_MONITOR_RING_PFN] = "MONITOR_RING_PFN",
		[HVM_PARAM_SHARING_RING_PFN] = "SHARING_RING_PFN",
		[HVM_PARAM_IOREQ_SERVER_PFN] = "IOREQ_SERVER_PFN",
		[HVM_PARAM_NR_IOREQ_SERVER_PAGES] = "NR_IOREQ_SERVER_PAGES",
		[HVM_PARAM_VM_GENERATION_ID_ADDR] = "VM_GENERATION_ID_ADDR",
		[HVM_PARAM_X87_FIP_WIDTH] = "X87_FIP_WIDTH",
		[HVM_PARAM_VM86_TSS_SIZED] = "VM86_TSS_SIZED",
		[HVM_PARAM_MCA_CAP] = "MCA_CAP",
	};

	return index < sizeof(names) / sizeof(*names) ? names[index] : NULL;
}

/* Entries of an HVM context, as in xen/hvm/save.h. */
static const char *hvm_entry_name(unsigned code)
{
	static const char *const names[] = {
		[0] = "END",        [1] = "HEADER",
		[2] = "CPU",        [3] = "PIC",
		[4] = "IOAPIC",     [5] = "LAPIC",
		[6] = "LAPIC_REGS", [7] = "PCI_IRQ",
		[8] = "ISA_IRQ",    [9] = "PCI_LINK",
		[10] = "PIT",       [11] = "RTC",
		[12] = "HPET",      [13] = "PMTIMER",
		[14] = "MTRR",      [15] = "VIRIDIAN_DOMAIN",
		[16] = "CPU_XSAVE", [17] = "VIRIDIAN_VCPU",
		[18] = "VMCE_VCPU", [19] = "TSC_ADJUST",
		[20] = "CPU_MSR",
	};

	return code < sizeof(names) / sizeof(*names) ? names[code] : "unknown";
}

/* ---- what they say ----------------------------------------------------------------------------- */

static int set_fact(struct record_text *text, const char *key, json_t *value)
{
	return json_object_set_new(text->facts, key, value);
}

int record_text_part(struct record_text *text, const char *name, const char *line, uint64_t offset,
		     uint64_t length)
{
	json_t *part;
	int rc;

	if (!text->part)
		return 0;
	part = json_pack("{s:o, s:o}", "name", json_text(name), "text", json_text(line));
	if (part && length != UINT64_MAX &&
	    (json_object_set_new(part, "offset", json_integer((json_int_t)offset)) ||
	     json_object_set_new(part, "length", json_integer((json_int_t)length)))) {
		json_decref(part);
		part = NULL;
	}
	if (!part)
		return -1;
	rc = text->part(text->data, part);
	json_decref(part);
	return rc;
}

static int add_hex_part(struct record_text *text, const char *name, uint64_t value)
{
	char line[24];

	snprintf(line, sizeof(line), "%#" PRIx64, value);
	return record_text_part(text, name, line, 0, UINT64_MAX);
}

static int page_data(struct record_text *text, const struct walk_record *record)
{
	uint32_t counts[16] = {0};
	uint64_t least = UINT64_MAX, most = 0;
	json_t *types = json_object();
	size_t at;

	for (uint32_t i = 0; i < record->place.count; i++) {
		uint64_t pfn = page_entry_pfn(record->entries[i]);

		counts[page_entry_type(record->entries[i])]++;
		least = pfn < least ? pfn : least;
		most = pfn > most ? pfn : most;
	}
	at = (size_t)snprintf(text->line, sizeof(text->line), "pfn %#" PRIx64 " to %#" PRIx64 ":",
			      least, most);
	for (unsigned t = 0; t < 16; t++) {
		if (!counts[t])
			continue;
		if (at < sizeof(text->line))
			at += (size_t)snprintf(text->line + at, sizeof(text->line) - at, " %u %s",
					       counts[t], page_type_name((enum page_type)t));
		if (json_object_set_new(types, page_type_key((enum page_type)t),
					json_integer(counts[t]))) {
			json_decref(types);
			return -1;
		}
	}
	if (set_fact(text, "types", types) || set_fact(text, "pfn_least", json_hex(least)) ||
	    set_fact(text, "pfn_most", json_hex(most)) ||
	    set_fact(text, "entries", json_integer(record->place.count)))
		return -1;
	return 0;
}

static int pv_info(struct record_text *text, const struct wire_x86_pv_info *info)
{
	snprintf(text->line, sizeof(text->line), "%u-bit guest, %u levels of page tables",
		 info->guest_width * 8, info->pt_levels);
	if (set_fact(text, "guest_width", json_integer(info->guest_width)) ||
	    set_fact(text, "pt_levels", json_integer(info->pt_levels)))
		return -1;
	return 0;
}

static int p2m_frames(struct record_text *text, const struct walk_record *record)
{
	const struct wire_x86_pv_p2m_frames *head = record->body;
	uint32_t frames = (record->place.length - (uint32_t)sizeof(*head)) / 8;

	snprintf(text->line, sizeof(text->line), "pfn %#x to %#x: %u frames", head->start_pfn,
		 head->end_pfn, frames);
	if (set_fact(text, "start_pfn", json_hex(head->start_pfn)) ||
	    set_fact(text, "end_pfn", json_hex(head->end_pfn)) ||
	    set_fact(text, "frames", json_integer(frames)))
		return -1;
	return 0;
}

static int vcpu(struct record_text *text, const struct walk_record *record)
{
	const struct wire_x86_pv_vcpu *head = record->body;
	uint32_t octets = record->place.length - (uint32_t)sizeof(*head);

	if (record->place.type == REC_X86_PV_VCPU_MSRS)
		snprintf(text->line, sizeof(text->line), "vcpu %u: %u MSRs", head->vcpu_id,
			 octets / 16);
	else
		snprintf(text->line, sizeof(text->line), "vcpu %u: %u octets", head->vcpu_id,
			 octets);
	return set_fact(text, "vcpu", json_integer(head->vcpu_id));
}

static int tsc_info(struct record_text *text, const struct wire_x86_tsc_info *tsc)
{
	static const char *const modes[] = {"default", "always emulate", "never emulate",
					    "PVRDTSCP"};

	snprintf(text->line, sizeof(text->line),
		 "mode %u (%s), %u kHz, %" PRIu64 " ns, incarnation %u", tsc->mode,
		 tsc->mode < 4 ? modes[tsc->mode] : "unknown", tsc->khz, tsc->nsec,
		 tsc->incarnation);
	if (set_fact(text, "mode", json_integer(tsc->mode)) ||
	    set_fact(text, "khz", json_integer(tsc->khz)) ||
	    set_fact(text, "nsec", json_integer((json_int_t)(tsc->nsec & INT64_MAX))) ||
	    set_fact(text, "incarnation", json_integer(tsc->incarnation)))
		return -1;
	return 0;
}

static int hvm_params(struct record_text *text, const struct walk_record *record)
{
	const struct wire_hvm_params *params = record->body;

	snprintf(text->line, sizeof(text->line), "%u parameters", params->count);
	for (uint32_t i = 0; i < params->count; i++) {
		const char *name = hvm_param_name(params->param[i].index);

		if (add_hex_part(text, name ? name : "unknown", params->param[i].value))
			return -1;
	}
	return set_fact(text, "count", json_integer(params->count));
}

/* The chain was checked by the walk. */
static int hvm_context(struct record_text *text, const struct walk_record *record)
{
	const uint8_t *body = record->body;
	uint64_t start = record->place.offset + sizeof(struct wire_record_header);
	struct hvm_save_descriptor desc;
	uint32_t at = 0, entries = 0, cpus = 0;

	do {
		char line[64];

		memcpy(&desc, body + at, sizeof(desc));
		snprintf(line, sizeof(line), "type %u, instance %u", desc.typecode, desc.instance);
		if (record_text_part(text, hvm_entry_name(desc.typecode), line, start + at,
				     desc.length))
			return -1;
		at += (uint32_t)sizeof(desc) + desc.length;
		entries++;
		cpus += desc.typecode == HVM_SAVE_CODE(CPU);
	} while (desc.typecode != HVM_SAVE_CODE(END));
	snprintf(text->line, sizeof(text->line), "%u entries, %u vcpus", entries, cpus);
	if (set_fact(text, "entries", json_integer(entries)) ||
	    set_fact(text, "vcpus", json_integer(cpus)))
		return -1;
	return 0;
}

static int policy(struct record_text *text, const struct walk_record *record)
{
	bool cpuid = record->place.type == REC_X86_CPUID_POLICY;
	uint32_t n = record->place.length /
		     (uint32_t)(cpuid ? sizeof(xen_cpuid_leaf_t) : sizeof(xen_msr_entry_t));

	snprintf(text->line, sizeof(text->line), cpuid ? "%u leaves" : "%u MSRs", n);
	return set_fact(text, cpuid ? "leaves" : "msrs", json_integer(n));
}

/* Keys and values of the device model's, which the walk has checked. */
static int xenstore_data(struct record_text *text, const uint8_t *data, uint32_t octets)
{
	struct cursor at = cursor_over(data, octets);
	const char *key, *value;
	unsigned keys = 0;

	for (; xenstore_data_next(&at, &key, &value); keys++) {
		if (record_text_part(text, key, value, 0, UINT64_MAX))
			return -1;
	}
	snprintf(text->line, sizeof(text->line), "%u keys", keys);
	return set_fact(text, "keys", json_integer(keys));
}

static int emulator(struct record_text *text, const struct walk_record *record)
{
	static const char *const emulators[] = {"unknown", "qemu-traditional", "qemu upstream"};
	struct wire_emulator head;
	uint32_t octets = record->place.length - (uint32_t)sizeof(head);
	char rest[sizeof(text->line)] = "";
	const char *name;

	memcpy(&head, record->body, sizeof(head));
	name = head.id < 3 ? emulators[head.id] : "unknown";
	if (record->place.type == LIBXL_EMULATOR_XENSTORE_DATA) {
		if (xenstore_data(text, (const uint8_t *)record->body + sizeof(head), octets))
			return -1;
		memcpy(rest, text->line, sizeof(rest));
	} else {
		snprintf(rest, sizeof(rest), "%u octets", octets);
	}
	snprintf(text->line, sizeof(text->line), "%s, index %u: %.200s", name, head.index, rest);
	if (set_fact(text, "emulator", json_string(name)) ||
	    set_fact(text, "index", json_integer(head.index)))
		return -1;
	return 0;
}

static int describe_domain(struct record_text *text, const struct walk_record *record)
{
	if (record->place.length < record_rule(record->place.type)->least)
		return 0; /* brings nothing */
	switch ((enum record_type)record->place.type) {
	case REC_PAGE_DATA:
		return page_data(text, record);
	case REC_X86_PV_INFO:
		return pv_info(text, record->body);
	case REC_X86_PV_P2M_FRAMES:
		return p2m_frames(text, record);
	case REC_X86_PV_VCPU_BASIC:
	case REC_X86_PV_VCPU_EXTENDED:
	case REC_X86_PV_VCPU_XSAVE:
	case REC_X86_PV_VCPU_MSRS:
		return vcpu(text, record);
	case REC_X86_TSC_INFO:
		return tsc_info(text, record->body);
	case REC_HVM_CONTEXT:
		return hvm_context(text, record);
	case REC_HVM_PARAMS:
		return hvm_params(text, record);
	case REC_X86_CPUID_POLICY:
	case REC_X86_MSR_POLICY:
		return policy(text, record);
	case REC_CHECKPOINT:
		snprintf(text->line, sizeof(text->line), "number %u", record->place.checkpoint + 1);
		return set_fact(text, "number", json_integer(record->place.checkpoint + 1));
	case REC_SHARED_INFO:
	case REC_END:
	case REC_TOOLSTACK:
	case REC_VERIFY:
	case REC_CHECKPOINT_DIRTY_PFN_LIST:
	case REC_STATIC_DATA_END:
	case REC_TYPES:
		break;
	}
	return 0;
}

static int describe_checksum(struct record_text *text, const struct walk_record *record)
{
	struct wire_checksum checksum;

	if (record->place.length < sizeof(checksum) || !record->good)
		return 0;
	memcpy(&checksum, record->body, sizeof(checksum));
	snprintf(text->line, sizeof(text->line), "algorithm %u, of %" PRIu64 " octets",
		 checksum.algorithm, checksum.covered);
	return set_fact(text, "algorithm", json_integer(checksum.algorithm)) ||
			       set_fact(text, "covered",
					json_integer((json_int_t)(checksum.covered & INT64_MAX)))
		       ? -1
		       : 0;
}

int record_text_make(struct record_text *text, const struct walk_record *record,
		     record_part_fn *part, void *data)
{
	*text = (struct record_text){.facts = json_object(), .part = part, .data = data};
	if (record->place.layer == LAYER_DOMAIN && record->place.type == REC_CHECKSUM &&
	    record->body)
		return describe_checksum(text, record);
	if (!record->known) {
		snprintf(text->line, sizeof(text->line), "not known, passed over");
		return 0;
	}
	/* What is damaged says nothing; the finding tells. */
	if (!record->good)
		return 0;
	if (record->place.layer == LAYER_DOMAIN)
		return describe_domain(text, record);
	return libxl_rule(record->place.type)->emulator ? emulator(text, record) : 0;
}

void record_text_release(struct record_text *text)
{
	json_decref(text->facts);
	text->facts = NULL;
}
