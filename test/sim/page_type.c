/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a PV domain's frames are used as. A frame has one type at a time, and keeps it while there
 * is a use: so no guest can write to its page tables.
 */
#include "pv.h"

#include <errno.h>
#include <stdarg.h>

/* Bits of a segment descriptor. */
#define DESCRIPTOR_NOT_SYSTEM (1ull << 44)
#define DESCRIPTOR_PRESENT    (1ull << 47)

int sim_refuse(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("xensim: refused: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	return -EINVAL;
}

unsigned sim_type_level(enum sim_frame_type type)
{
	switch (type) {
	case SIM_FRAME_L1:
		return 1;
	case SIM_FRAME_L2:
	case SIM_FRAME_L2_XEN:
		return 2;
	case SIM_FRAME_L3:
		return 3;
	case SIM_FRAME_L4:
		return 4;
	default:
		return 0;
	}
}

/* A guest must not reach Xen through a gate of its own. */
static int validate_descriptors(const struct sim_domain *domain, uint64_t mfn)
{
	const uint64_t *descriptors = (const void *)sim_frame_page(domain->host, mfn);

	for (unsigned i = 0; i < SIM_PAGE_OCTETS / sizeof(*descriptors); i++) {
		if (descriptors[i] & DESCRIPTOR_PRESENT &&
		    !(descriptors[i] & DESCRIPTOR_NOT_SYSTEM))
			return sim_refuse("descriptor %u of frame %#llx is a system segment", i,
					  (unsigned long long)mfn);
	}
	return 0;
}

static int validate(const struct sim_domain *domain, uint64_t mfn, enum sim_frame_type type)
{
	if (type == SIM_FRAME_SEG_DESC)
		return validate_descriptors(domain, mfn);
	return sim_type_level(type) ? sim_table_validate(domain, mfn, type) : 0;
}

int sim_type_get(const struct sim_domain *domain, uint64_t mfn, enum sim_frame_type type)
{
	struct sim_frame *frame;
	int rc;

	if (!sim_frame_owned(domain->host, mfn, (uint16_t)domain->state->domid))
		return sim_refuse("frame %#llx is not domain %u's", (unsigned long long)mfn,
				  domain->state->domid);
	frame = &domain->host->frames[mfn];
	if (frame->type == SIM_FRAME_XENHEAP && type == SIM_FRAME_WRITABLE)
		return 0; /* it never becomes anything else */
	if (frame->type == SIM_FRAME_XENHEAP || (frame->type_uses && frame->type != type))
		return sim_refuse("frame %#llx is in use as type %u and wanted as %u",
				  (unsigned long long)mfn, frame->type, type);
	/* Xen's entries in it belong to the one address space whose top slot it fills. */
	if (frame->type_uses && type == SIM_FRAME_L2_XEN)
		return sim_refuse("frame %#llx is the top L2 of two address spaces",
				  (unsigned long long)mfn);
	if (frame->type_uses == 0 && type != SIM_FRAME_WRITABLE &&
	    sim_frame_mapped_writable(domain->host, mfn))
		return sim_refuse("frame %#llx is mapped writable by the toolstack",
				  (unsigned long long)mfn);
	if (frame->type_uses == 0) {
		/* While it is being validated it cannot be used as anything else. */
		frame->type = type;
		frame->type_uses = 1;
		rc = validate(domain, mfn, type);
		frame->type_uses = 0;
		if (rc) {
			frame->type = SIM_FRAME_NONE;
			return rc;
		}
	}
	frame->type_uses++;
	return 0;
}

void sim_type_put(const struct sim_domain *domain, uint64_t mfn)
{
	struct sim_frame *frame = &domain->host->frames[mfn];
	enum sim_frame_type type = (enum sim_frame_type)frame->type;

	if (type == SIM_FRAME_XENHEAP)
		return;
	if (frame->type_uses == 0) {
		sim_violation(domain->host, "a use of frame %#llx ends that never began",
			      (unsigned long long)mfn);
		return;
	}
	if (--frame->type_uses)
		return;
	frame->type = SIM_FRAME_NONE;
	if (sim_type_level(type))
		sim_table_release(domain, mfn, type);
}

int sim_type_pin(const struct sim_domain *domain, uint64_t mfn, enum sim_frame_type type)
{
	int rc;

	if (domain->state->width == 4 && type == SIM_FRAME_L4)
		return sim_refuse("a 32-bit guest has no L4");
	rc = sim_type_get(domain, mfn, type);
	if (rc)
		return rc;
	if (domain->host->frames[mfn].pinned) {
		sim_type_put(domain, mfn);
		return sim_refuse("frame %#llx is pinned already", (unsigned long long)mfn);
	}
	domain->host->frames[mfn].pinned = 1;
	return 0;
}

int sim_type_unpin(const struct sim_domain *domain, uint64_t mfn)
{
	if (!sim_frame_owned(domain->host, mfn, (uint16_t)domain->state->domid) ||
	    !domain->host->frames[mfn].pinned)
		return sim_refuse("frame %#llx is not pinned", (unsigned long long)mfn);
	domain->host->frames[mfn].pinned = 0;
	sim_type_put(domain, mfn);
	return 0;
}

bool sim_type_mappable(const struct sim_domain *domain, uint64_t mfn, bool writable)
{
	enum sim_frame_type type;

	if (!sim_frame_owned(domain->host, mfn, (uint16_t)domain->state->domid))
		return false;
	type = (enum sim_frame_type)domain->host->frames[mfn].type;
	return !writable || (!sim_type_level(type) && type != SIM_FRAME_SEG_DESC);
}
