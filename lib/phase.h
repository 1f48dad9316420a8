/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * In which order records may come. One state machine for restore and verify:
 *
 *            phase_start            STATIC_DATA_END (v3)
 *   headers ------------> STATIC ----------------------------> MEMORY --END--> ENDED
 *                                  first P2M_FRAMES (PV) or      |  ^
 *                                  PAGE_DATA (HVM) in v2:        +--+ CHECKPOINT: a new image
 *                                  "inferred"                         starts to be complete
 *
 * All transitions are made by phase_accept(); nothing else changes the state.
 */
#ifndef XENSR_LIB_PHASE_H
#define XENSR_LIB_PHASE_H

#include "context.h"
#include "format.h"

enum phase_id {
	PHASE_STATIC = 1u << 0,
	PHASE_MEMORY = 1u << 1,
	PHASE_ENDED = 1u << 2,
};

/* What the headers said. */
struct stream_headers {
	uint32_t version;
	uint32_t guest_type; /* GUEST_X86_* */
	uint32_t xen_major, xen_minor;
};

struct phase {
	enum phase_id id;
	const struct stream_headers *headers;
	bool checkpointed;   /* CHECKPOINT is legal, VERIFY is not */
	uint32_t seen;       /* bit N: a record of type N came with content, ever */
	uint32_t seen_since; /* the same since the last CHECKPOINT */
};

/* headers must outlive the phase. */
void phase_start(struct phase *phase, const struct stream_headers *headers, bool checkpointed);

/*
 * A record of a known type with `length` octets of body comes next. Returns 0 and takes the
 * transition; or -1 with the error set if it may not come now, or is END or CHECKPOINT before
 * everything a domain of this type cannot live without. *static_data_inferred is set when this
 * record of a v2 stream implies STATIC_DATA_END.
 */
int phase_accept(struct xensr_ctx *ctx, struct phase *phase, uint32_t type, uint32_t length,
		 bool *static_data_inferred) MUST_CHECK;

#endif
