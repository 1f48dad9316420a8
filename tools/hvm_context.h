/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The body of an HVM_CONTEXT record, as Xen makes it (xen/hvm/save.h): entries one after the
 * other, each a struct hvm_save_descriptor { u16 typecode, u16 instance, u32 length } and length
 * octets, up to one of type 0.
 */
#ifndef XENSR_TOOLS_HVM_CONTEXT_H
#define XENSR_TOOLS_HVM_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hvm_entry {
	uint16_t type;
	uint16_t instance;
	uint32_t octets;
	const uint8_t *data; /* lies in the context; not aligned */
};

/*
 * The next entry from *at on, which it advances. False at the END entry, or where there is no whole
 * one (which the reader of the domain stream has ruled out).
 */
bool hvm_context_next(const void *context, size_t octets, size_t *at, struct hvm_entry *entry);

/* As in Xen's headers, such as "LAPIC_REGS"; NULL for a type that they do not name. */
const char *hvm_context_type_name(uint16_t type);

#endif
