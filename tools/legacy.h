/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An image as Xen 4.5 and earlier wrote them, on its way into a domain stream.
 *
 *   head | PV: extended info, p2m frames | chunks … | tail | HVM: device model's record
 *
 * Pages are passed on as they come. A guest's state comes in chunks and in the tail, and once more
 * with each checkpoint; it is kept until the image has ended. Little-endian; a "ulong" has the width
 * of the toolstack that wrote it.
 */
#ifndef XENSR_TOOLS_LEGACY_H
#define XENSR_TOOLS_LEGACY_H

#include "convert.h"
#include "toolstack/body.h"
#include "toolstack/xenstore_data.h"

#define LEGACY_BATCH_MAX 1024u
#define LEGACY_PARAMS    64u /* HVM_PARAM_* are below */
#define LEGACY_VCPUS     (VCPU_ID_MAX + 1)

struct legacy {
	struct convert *convert;
	struct xensr_ctx *in;
	unsigned ulong_octets; /* 4 or 8 */
	bool hvm;
	uint64_t p2m_size;

	/* Chunks. */
	bool verifying; /* pages are sent again, to be compared */
	bool last;      /* the tail that comes next is the last */
	uint64_t online[LEGACY_VCPUS / 64];
	bool have_tsc;
	uint64_t tsc_offset; /* in the input, as all of these */
	struct wire_x86_tsc_info tsc;
	uint64_t has_param; /* bit N: param[N] is set */
	uint64_t param[LEGACY_PARAMS];
	struct xenstore_data physmap; /* of the toolstack's chunk */
	bool have_toolstack;
	uint64_t toolstack_offset;

	/* PV. */
	unsigned guest_width;
	uint32_t vcpu_octets;  /* of a basic context */
	bool extended;         /* extended contexts follow these */
	uint32_t xsave_octets; /* and so much xsave state, without its header; 0: none */
	/* The tail: for each vcpu basic, extended and xsave state, one after the other. */
	struct body vcpus;
	size_t vcpus_octets;
	uint64_t vcpus_offset;
	uint8_t shared_info[PAGE_OCTETS];
	uint64_t shared_info_offset;

	/* HVM. */
	uint64_t params_offset; /* of those in the tail */
	struct body context;
	size_t context_octets;
	uint64_t context_offset;
	struct body model;
	size_t model_octets;
	uint64_t model_offset;
	bool have_model;

	struct body body;  /* of what is at work */
	uint64_t *entries; /* LEGACY_BATCH_MAX */
	uint8_t *pages;    /* as many */
};

/* All of these return 0, or -1 with the error set (legacy->in, or the output's). */

/* ---- legacy_pages.c ---------------------------------------------------------------------------- */

/* `count` pfns and the pages of those with data. */
int legacy_pages(struct legacy *legacy, uint32_t count) MUST_CHECK;

/* ---- legacy_pv.c ------------------------------------------------------------------------------- */

/* From the octets remaining after the ulong of all ones; writes X86_PV_INFO. */
int legacy_pv_extended_info(struct legacy *legacy) MUST_CHECK;

/* Writes X86_PV_P2M_FRAMES. */
int legacy_pv_p2m_frames(struct legacy *legacy) MUST_CHECK;

/* Kept until legacy_pv_write. */
int legacy_pv_tail(struct legacy *legacy) MUST_CHECK;
int legacy_pv_write(struct legacy *legacy) MUST_CHECK;

/* ---- legacy_hvm.c ------------------------------------------------------------------------------ */

/* The chunk that sets the parameter of this index. */
int legacy_hvm_param(struct legacy *legacy, uint32_t index) MUST_CHECK;

/* What libxl has the image carry for the device model. */
int legacy_hvm_toolstack(struct legacy *legacy) MUST_CHECK;

int legacy_hvm_tail(struct legacy *legacy) MUST_CHECK;

/* The device model's record, if that comes next. */
int legacy_hvm_model(struct legacy *legacy) MUST_CHECK;

/* The domain stream's records; then, after END, libxl's. */
int legacy_hvm_write(struct legacy *legacy) MUST_CHECK;
int legacy_hvm_write_emulator(struct legacy *legacy) MUST_CHECK;

#endif
