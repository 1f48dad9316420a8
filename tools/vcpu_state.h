/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The vcpus of a saved domain: their registers, of whichever guest type.
 *
 * HVM: from the CPU entries of the HVM context (struct hvm_hw_cpu, xen/hvm/save.h). PV: from the
 * X86_PV_VCPU_BASIC records (struct vcpu_guest_context of the guest's width), in which frame
 * numbers are pfns. So cr3 is a guest-physical address in either case.
 */
#ifndef XENSR_TOOLS_VCPU_STATE_H
#define XENSR_TOOLS_VCPU_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image.h"

enum vcpu_gpr {
	GPR_RAX,
	GPR_RBX,
	GPR_RCX,
	GPR_RDX,
	GPR_RSI,
	GPR_RDI,
	GPR_RBP,
	GPR_RSP,
	GPR_R8,
	GPR_R9,
	GPR_R10,
	GPR_R11,
	GPR_R12,
	GPR_R13,
	GPR_R14,
	GPR_R15,
	GPRS
};

enum vcpu_segment_id {
	SEGMENT_CS,
	SEGMENT_DS,
	SEGMENT_ES,
	SEGMENT_FS,
	SEGMENT_GS,
	SEGMENT_SS,
	SEGMENT_LDT,
	SEGMENT_TR,
	SEGMENT_GDT,
	SEGMENT_IDT,
	SEGMENTS
};

struct vcpu_segment {
	uint32_t selector;
	uint32_t limit;      /* 0 where the record has none (PV) */
	uint32_t attributes; /* Xen's arbytes: octets 5 and 6 of the descriptor */
	uint64_t base;
};

enum vcpu_paging {
	PAGING_NONE,
	PAGING_2_LEVELS, /* 32-bit entries */
	PAGING_PAE,
	PAGING_4_LEVELS,
	PAGING_5_LEVELS,
};

struct vcpu_state {
	uint32_t id;
	bool long_mode;  /* it runs, or can run, 64-bit code */
	bool privileged; /* in the guest's kernel */
	enum vcpu_paging paging;
	uint64_t gpr[GPRS];
	uint64_t rip, rflags;
	struct vcpu_segment segment[SEGMENTS];
	uint64_t gs_base_other; /* the one that SWAPGS would bring */
	uint64_t cr[5];         /* cr[3] with the frame as an address, also of 32-bit PV guests */
	uint64_t dr[8];
	uint8_t fxsave[512];
	/* PV: its record's context as it is; HVM: NULL. Lies in the list. */
	const uint8_t *pv_context;
};

struct vcpu_list {
	struct vcpu_state *vcpu; /* ascending ids, each once */
	size_t count;
	void **bodies; /* what pv_context points into */
	size_t body_count;
};

/*
 * The vcpus of the selected state. Those whose record is not as long as it has to be, or that come
 * a second time, are left out and counted in *malformed. Returns 0, or -1 with errno and *err (only of memory and reading).
 */
int vcpu_list_load(struct vcpu_list *list, const struct image *image, unsigned *malformed,
		   struct image_error *err);

/* Idempotent. */
void vcpu_list_release(struct vcpu_list *list);

#endif
