/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An HVM context with the records that Xen saves (xen/hvm/save.h), their contents from the seed. */
#include "guest.h"

#include <string.h>

#include <xen/hvm/save.h>

struct writer {
	uint8_t *context;
	size_t room, octets;
	uint64_t noise;
};

static void add(struct writer *w, uint16_t typecode, uint16_t instance, uint32_t length)
{
	struct hvm_save_descriptor head = {
		.typecode = typecode, .instance = instance, .length = length};

	if (w->room - w->octets < sizeof(head) + length)
		return;
	memcpy(w->context + w->octets, &head, sizeof(head));
	w->octets += sizeof(head);
	for (uint32_t i = 0; i < length; i++) {
		w->noise = w->noise * 6364136223846793005ull + 1442695040888963407ull;
		w->context[w->octets++] = (uint8_t)(w->noise >> 56);
	}
}

#undef PIC /* libtool defines it; here it is the interrupt controller */
#define ADD(w, name, instance) add(w, HVM_SAVE_CODE(name), instance, HVM_SAVE_LENGTH(name))

uint32_t sim_guest_hvm_context(const struct sim_guest *guest, uint8_t *context, size_t room)
{
	struct writer w = {.context = context, .room = room, .noise = guest->seed};
	struct hvm_save_header header = {
		.magic = HVM_FILE_MAGIC,
		.version = HVM_FILE_VERSION,
		.changeset = guest->seed,
		.cpuid = 0x800f12,
		.gtsc_khz = 2400000,
	};

	ADD(&w, HEADER, 0);
	memcpy(context + sizeof(struct hvm_save_descriptor), &header, sizeof(header));
	for (uint16_t vcpu = 0; vcpu < guest->vcpus; vcpu++) {
		ADD(&w, CPU, vcpu);
		ADD(&w, LAPIC, vcpu);
		ADD(&w, LAPIC_REGS, vcpu);
		ADD(&w, MTRR, vcpu);
		ADD(&w, VMCE_VCPU, vcpu);
		ADD(&w, TSC_ADJUST, vcpu);
	}
	if (guest->kind == SIM_GUEST_HVM) {
		ADD(&w, PIC, 0);
		ADD(&w, PIC, 1);
		ADD(&w, IOAPIC, 0);
		ADD(&w, PCI_IRQ, 0);
		ADD(&w, ISA_IRQ, 0);
		ADD(&w, PCI_LINK, 0);
		ADD(&w, PIT, 0);
		ADD(&w, RTC, 0);
		ADD(&w, HPET, 0);
		ADD(&w, PMTIMER, 0);
	}
	add(&w, 0, 0, 0); /* END */
	return (uint32_t)w.octets;
}
