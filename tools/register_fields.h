/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The members of the structures that Xen keeps a vcpu's registers in, by name.
 */
#ifndef XENSR_TOOLS_REGISTER_FIELDS_H
#define XENSR_TOOLS_REGISTER_FIELDS_H

#include <stddef.h>
#include <stdint.h>

struct register_field {
	const char *name; /* as in Xen's headers, without the "user_regs." */
	uint32_t offset;
	uint32_t octets; /* of one element: 1, 2, 4 or 8; others are no number */
	uint32_t count;  /* elements: more than 1 of an array */
};

struct register_layout {
	uint32_t octets; /* of the structure */
	const struct register_field *fields;
	size_t count;
};

extern const struct register_layout registers_hvm;  /* struct hvm_hw_cpu */
extern const struct register_layout registers_pv64; /* struct vcpu_guest_context_x86_64 */
extern const struct register_layout registers_pv32; /* struct vcpu_guest_context_x86_32 */

#endif
