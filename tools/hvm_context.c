/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hvm_context.h"

#include <string.h>

#include <xenctrl.h>
#include <xen/hvm/save.h>

bool hvm_context_next(const void *context, size_t octets, size_t *at, struct hvm_entry *entry)
{
	const uint8_t *from = context;
	struct hvm_save_descriptor head;

	if (octets - *at < sizeof(head))
		return false;
	memcpy(&head, from + *at, sizeof(head));
	if (head.length > octets - *at - sizeof(head))
		return false;
	if (head.typecode == 0)
		return false;
	*entry = (struct hvm_entry){
		.type = head.typecode,
		.instance = head.instance,
		.octets = head.length,
		.data = from + *at + sizeof(head),
	};
	*at += sizeof(head) + head.length;
	return true;
}

const char *hvm_context_type_name(uint16_t type)
{
	static const char *const names[] = {
		[1] = "HEADER",
		[2] = "CPU",
		[3] = "PIC",
		[4] = "IOAPIC",
		[5] = "LAPIC",
		[6] = "LAPIC_REGS",
		[7] = "PCI_IRQ",
		[8] = "ISA_IRQ",
		[9] = "PCI_LINK",
		[10] = "PIT",
		[11] = "RTC",
		[12] = "HPET",
		[13] = "PMTIMER",
		[14] = "MTRR",
		[15] = "VIRIDIAN_DOMAIN",
		[16] = "CPU_XSAVE",
		[17] = "VIRIDIAN_VCPU",
		[18] = "VMCE_VCPU",
		[19] = "TSC_ADJUST",
		[20] = "CPU_MSR",
	};

	return type < sizeof(names) / sizeof(names[0]) ? names[type] : NULL;
}
