/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "phase.h"

#include <errno.h>
#include <stdio.h>

#include "record.h"

#define BIT(type) (1u << (type))

/* What an image of each guest type must have brought before it can be called complete. */
static const uint32_t required[] = {
	[GUEST_X86_PV] = BIT(REC_X86_PV_INFO) | BIT(REC_X86_PV_P2M_FRAMES) | BIT(REC_PAGE_DATA) |
			 BIT(REC_X86_TSC_INFO) | BIT(REC_SHARED_INFO) | BIT(REC_X86_PV_VCPU_BASIC),
	[GUEST_X86_HVM] = BIT(REC_PAGE_DATA) | BIT(REC_X86_TSC_INFO) | BIT(REC_HVM_CONTEXT) |
			  BIT(REC_HVM_PARAMS),
};

/* Of these, the ones that every later checkpoint brings anew. */
#define REQUIRED_EVERY_TIME                                                          \
	(BIT(REC_X86_TSC_INFO) | BIT(REC_SHARED_INFO) | BIT(REC_X86_PV_VCPU_BASIC) | \
	 BIT(REC_HVM_CONTEXT) | BIT(REC_HVM_PARAMS))

void phase_start(struct phase *phase, const struct stream_headers *headers, bool checkpointed)
{
	*phase = (struct phase){
		.id = PHASE_STATIC,
		.headers = headers,
		.checkpointed = checkpointed,
	};
}

/* Fail with the names of the record types in `missing`. */
static int fail_missing(struct xensr_ctx *ctx, const char *intro, uint32_t missing)
{
	char names[256] = "";
	size_t len = 0;

	for (uint32_t type = 0; type < REC_TYPES && len < sizeof(names); type++) {
		if (missing & BIT(type))
			len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s",
						len ? ", " : "", record_rule(type)->name);
	}
	return ctx_fail(ctx, EBADMSG, "%s %s", intro, names);
}

/* The image that END or CHECKPOINT closes must be complete. */
static int check_complete(struct xensr_ctx *ctx, const struct phase *phase)
{
	uint32_t need = required[phase->headers->guest_type];
	uint32_t have = (phase->seen & ~REQUIRED_EVERY_TIME) | phase->seen_since;

	/* A remark of legacy images: they may leave the TSC to the target's defaults. */
	if (phase->headers->xen_major == 0)
		need &= ~BIT(REC_X86_TSC_INFO);
	if (need & ~have)
		return fail_missing(ctx, "the image is incomplete, there was no", need & ~have);
	return 0;
}

/*
 * Only a CHECKPOINT completes a checkpoint, because the toolstack has its part of it; after one,
 * END closes the stream and no image.
 */
static int check_end_of_checkpoints(struct xensr_ctx *ctx, struct phase *phase)
{
	if (phase->seen_since)
		return ctx_fail(ctx, EBADMSG, "comes within a checkpoint");
	phase->id = PHASE_ENDED;
	return 0;
}

/* Does this record end the static data of a stream that cannot say so? */
static bool ends_static_data(const struct phase *phase, uint32_t type)
{
	uint32_t first =
		phase->headers->guest_type == GUEST_X86_PV ? REC_X86_PV_P2M_FRAMES : REC_PAGE_DATA;

	return phase->headers->version == 2 && phase->id == PHASE_STATIC && type == first;
}

static int check_order(struct xensr_ctx *ctx, const struct phase *phase, uint32_t type,
		       bool has_content)
{
	const struct record_rule *rule = record_rule(type);
	unsigned phases = rule->phases;
	uint32_t needs = rule->needs;

	if (phase->id == PHASE_ENDED)
		return ctx_fail(ctx, EBADMSG, "comes after END");
	if (!phases)
		return ctx_fail(ctx, EBADMSG, "is never part of a stream");
	if (!(rule->guests & BIT(phase->headers->guest_type)))
		return ctx_fail(ctx, EBADMSG, "does not belong to an x86 %s guest",
				phase->headers->guest_type == GUEST_X86_PV ? "PV" : "HVM");
	if (rule->v3_only && phase->headers->version < 3)
		return ctx_fail(ctx, EBADMSG, "does not exist in a version %u stream",
				phase->headers->version);
	if (phase->headers->guest_type == GUEST_X86_PV)
		needs |= rule->pv_needs;
	/* Version 2 has no mark between the two phases. */
	if (phase->headers->version == 2 && (phases & PHASE_MEMORY))
		phases |= PHASE_STATIC;
	if (!(phases & phase->id))
		return ctx_fail(ctx, EBADMSG, "%s the end of the static data",
				phase->id == PHASE_STATIC ? "comes before" : "comes after");
	if (needs & ~phase->seen)
		return fail_missing(ctx, "comes before", needs & ~phase->seen);
	if (rule->once && has_content && (phase->seen_since & BIT(type)))
		return ctx_fail(ctx, EBADMSG, "comes a second time");
	if (type == REC_CHECKPOINT && !phase->checkpointed)
		return ctx_fail(ctx, EBADMSG, "comes in a stream that is not checkpointed");
	if (type == REC_VERIFY && phase->checkpointed)
		return ctx_fail(ctx, EBADMSG, "comes in a checkpointed stream");
	return 0;
}

int phase_accept(struct xensr_ctx *ctx, struct phase *phase, uint32_t type, uint32_t length,
		 bool *static_data_inferred)
{
	const struct record_rule *rule = record_rule(type);

	/* An empty record is tolerated for some types, but brings nothing. */
	bool has_content = length >= rule->least;

	*static_data_inferred = false;
	if (check_order(ctx, phase, type, has_content))
		return -1;

	if (type == REC_END && (phase->seen & BIT(REC_CHECKPOINT)))
		return check_end_of_checkpoints(ctx, phase);
	if ((type == REC_END || type == REC_CHECKPOINT) && check_complete(ctx, phase))
		return -1;

	if (has_content) {
		phase->seen |= BIT(type);
		phase->seen_since |= BIT(type);
	}

	if (type == REC_END) {
		phase->id = PHASE_ENDED;
	} else if (type == REC_CHECKPOINT) {
		phase->seen_since = 0;
	} else if (type == REC_STATIC_DATA_END) {
		phase->id = PHASE_MEMORY;
	} else if (ends_static_data(phase, type)) {
		phase->id = PHASE_MEMORY;
		*static_data_inferred = true;
	}
	return 0;
}
