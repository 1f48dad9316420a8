/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state of one save of a PV guest, shared by the files that write its parts. */
#ifndef XENSR_X86_PV_SAVE_H
#define XENSR_X86_PV_SAVE_H

#include "pv_guest.h"
#include "pv_m2p.h"
#include "pv_p2m.h"
#include "record.h"
#include "save.h"

struct pv_save {
	struct pv_layout layout;
	struct pv_m2p m2p;
	struct pv_p2m p2m;
	union {
		shared_info_any_t shared; /* a copy, of when the guest was suspended last */
		uint8_t shared_page[PAGE_OCTETS];
	};
	uint64_t (*tables)[PTES_IN_PAGE]; /* a normalised one for each slot of a batch */
};

/* Vcpu 0 must be online, or no restore would take the guest. 0, or -1 with the error set. */
int pv_vcpus_check_online(struct save_ctx *save) MUST_CHECK;

/*
 * Write the records of all online vcpus (pv_vcpu_save.c): BASIC, EXTENDED, XSAVE, MSRS. Returns
 * 0, or -1 with the error set.
 */
int pv_vcpus_save(struct save_ctx *save) MUST_CHECK;

#endif
