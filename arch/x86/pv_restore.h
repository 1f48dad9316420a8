/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state of one restore of a PV guest, shared by the files that rebuild its parts. */
#ifndef XENSR_X86_PV_RESTORE_H
#define XENSR_X86_PV_RESTORE_H

#include "cpu_policy.h"
#include "pv_guest.h"
#include "pv_memory.h"
#include "restore.h"

/* A record's blob that is kept until the end. */
struct pv_blob {
	void *octets;
	uint32_t length;
};

enum {
	PV_VCPU_BASIC,
	PV_VCPU_EXTENDED,
	PV_VCPU_XSAVE,
	PV_VCPU_MSRS,
	PV_VCPU_BLOBS
};

struct pv_vcpu {
	struct pv_blob blobs[PV_VCPU_BLOBS];
};

struct pv_restore {
	struct pv_layout layout;
	struct cpu_policy policy;
	struct pv_memory memory;
	uint64_t *p2m_frames; /* pfns of the pages that hold the guest's p2m */
	uint64_t nr_p2m_frames;
	uint64_t p2m_size; /* pfns that they cover */
	struct wire_x86_tsc_info tsc;
	bool have_tsc; /* images converted from before Xen 4.6 may lack it */
	union {
		shared_info_any_t shared; /* as saved */
		uint8_t shared_page[PAGE_OCTETS];
	};
	struct pv_vcpu *vcpus;
	uint32_t nr_vcpus;
};

/*
 * The frame of a pfn that the image names, `what` and, if it is one, the vcpu's number say where.
 * It must have memory, and its page type be one of those in `types` (bit N: enum page_type N).
 * Returns 0, or -1 with the error set.
 */
int pv_frame_of(struct restore_ctx *restore, const char *what, uint64_t pfn, uint32_t types,
		uint64_t *mfn) MUST_CHECK;
#define PV_NORMAL_PAGES (1u << PAGE_NORMAL)

/* Keep a vcpu's record (pv_vcpu_restore.c). Returns 0, or -1 with the error set. */
int pv_vcpu_keep(struct restore_ctx *restore, const struct record *rec) MUST_CHECK;

/* Can the domain have the vcpu of this record? Returns 0, or -1 with the error set. */
int pv_vcpu_check(struct restore_ctx *restore, const struct record *rec) MUST_CHECK;

/* Drop what was kept. */
void pv_vcpus_forget(struct pv_restore *pv);

/* Must be there at the end: vcpu 0. Returns 0, or -1 with the error set. */
int pv_vcpus_check(struct restore_ctx *restore) MUST_CHECK;

/* The pfn of the start info, from vcpu 0. */
uint64_t pv_vcpus_start_info(const struct pv_restore *pv);

/* Give the vcpus that came their state. Returns 0, or -1 with the error set. */
int pv_vcpus_restore(struct restore_ctx *restore) MUST_CHECK;

/* Idempotent. */
void pv_vcpus_release(struct pv_restore *pv);

#endif
