/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "legacy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/foreign/x86_32.h>
#include <xen/foreign/x86_64.h>

#include "cursor.h"
#include "io.h"

#define EXTENDED_OCTETS 128u
#define XSAVE_HEADER    16u /* u64 mask, u64 octets that follow */

static const char shared_info_title[] = "shared info";

/* The blocks have some kilooctets. */
#define EXTENDED_INFO_MAX (1u << 20)

/* The state of Xen's 4096 vcpus with the largest that real CPUs have is about this. */
#define VCPUS_MAX (64u << 20)

/* What a restore takes at most (lib/record.c). */
#define XSAVE_MAX (1u << 20)

/* ---- head -------------------------------------------------------------------------------------- */

struct block {
	char name[4];
	uint32_t octets;
};

static bool is_named(const struct block *block, const char *name)
{
	return !memcmp(block->name, name, sizeof(block->name));
}

static int fail_block(struct legacy *legacy, const struct block *block)
{
	return ctx_fail(legacy->in, EBADMSG, "block \"%.4s\" has %u octets", block->name,
			block->octets);
}

/* The context's size tells which guest it is. */
static int read_vcpu_block(struct legacy *legacy, const struct block *block)
{
	if (block->octets == sizeof(vcpu_guest_context_x86_64_t))
		legacy->guest_width = 8;
	else if (block->octets == sizeof(vcpu_guest_context_x86_32_t))
		legacy->guest_width = 4;
	else
		return fail_block(legacy, block);
	legacy->vcpu_octets = block->octets;
	return 0;
}

static int read_xsave_block(struct legacy *legacy, const struct block *block, const void *data)
{
	uint32_t octets;

	if (block->octets != sizeof(octets))
		return fail_block(legacy, block);
	memcpy(&octets, data, sizeof(octets));
	if (octets <= XSAVE_HEADER || octets - XSAVE_HEADER > XSAVE_MAX)
		return ctx_fail(legacy->in, EBADMSG, "xsave state of %u octets a vcpu", octets);
	legacy->xsave_octets = octets - XSAVE_HEADER;
	return 0;
}

static int read_block(struct legacy *legacy, const struct block *block, const void *data)
{
	if (is_named(block, "vcpu"))
		return read_vcpu_block(legacy, block);
	if (is_named(block, "extv")) {
		legacy->extended = true;
		return block->octets ? fail_block(legacy, block) : 0;
	}
	if (is_named(block, "xcnt"))
		return read_xsave_block(legacy, block, data);
	return ctx_fail(legacy->in, EBADMSG, "block %02x %02x %02x %02x is unknown",
			(uint8_t)block->name[0], (uint8_t)block->name[1], (uint8_t)block->name[2],
			(uint8_t)block->name[3]);
}

static int read_blocks(struct legacy *legacy, struct cursor *c)
{
	while (cursor_left(c)) {
		const void *raw = cursor_take(c, sizeof(struct block));
		struct block block;
		const void *data;

		if (!raw)
			return ctx_fail(legacy->in, EBADMSG, "%zu octets are left, no block",
					cursor_left(c));
		memcpy(&block, raw, sizeof(block));
		data = cursor_take(c, block.octets);
		if (!data)
			return ctx_fail(legacy->in, EBADMSG,
					"its last block has %u octets, %zu are left", block.octets,
					cursor_left(c));
		if (read_block(legacy, &block, data))
			return -1;
	}
	if (!legacy->guest_width)
		return ctx_fail(legacy->in, EBADMSG, "there is no block \"vcpu\"");
	return 0;
}

int legacy_pv_extended_info(struct legacy *legacy)
{
	struct xensr_ctx *in = legacy->in;
	struct wire_x86_pv_info info = {0};
	struct cursor c;
	uint32_t octets;

	ctx_enter(in, "extended info", XENSR_NO_RECORD, in->offset);
	if (io_read(in, &octets, sizeof(octets)))
		return -1;
	if (octets > EXTENDED_INFO_MAX)
		return ctx_fail(in, EBADMSG, "%u octets, at most %u are allowed", octets,
				EXTENDED_INFO_MAX);
	if (body_read(in, &legacy->body, octets))
		return -1;
	c = cursor_over(legacy->body.octets, octets);
	if (read_blocks(legacy, &c))
		return -1;
	info.guest_width = (uint8_t)legacy->guest_width;
	info.pt_levels = legacy->guest_width == 8 ? 4 : 3;
	return convert_record(legacy->convert, REC_X86_PV_INFO, &info, sizeof(info));
}

int legacy_pv_p2m_frames(struct legacy *legacy)
{
	struct xensr_ctx *in = legacy->in;
	const unsigned width = legacy->ulong_octets;
	size_t frames = (size_t)((legacy->p2m_size - 1) / (PAGE_OCTETS / legacy->guest_width) + 1);
	struct wire_x86_pv_p2m_frames head = {.end_pfn = (uint32_t)(legacy->p2m_size - 1)};
	size_t octets = sizeof(head) + frames * sizeof(uint64_t);
	uint8_t *list, *record;

	ctx_enter(in, "p2m frame list", XENSR_NO_RECORD, in->offset);
	if (body_read(in, &legacy->body, frames * width) ||
	    body_reserve(in, &legacy->body, frames * width + octets))
		return -1;
	/* Behind the list, the record. */
	list = legacy->body.octets;
	record = list + frames * width;
	memcpy(record, &head, sizeof(head));
	for (size_t i = 0; i < frames; i++) {
		uint64_t pfn = 0;

		memcpy(&pfn, list + i * width, width);
		if (pfn >= legacy->p2m_size)
			return ctx_fail(in, EBADMSG,
					"frame %zu is pfn %#" PRIx64 ", of a guest of %" PRIu64, i,
					pfn, legacy->p2m_size);
		memcpy(record + sizeof(head) + i * sizeof(pfn), &pfn, sizeof(pfn));
	}
	return convert_record(legacy->convert, REC_X86_PV_P2M_FRAMES, record, (uint32_t)octets);
}

/* ---- tail -------------------------------------------------------------------------------------- */

/* The pfns that the guest has given back: nothing a restore needs to know. */
static int skip_unmapped(struct legacy *legacy)
{
	struct xensr_ctx *in = legacy->in;
	uint32_t count;

	ctx_enter(in, "list of unmapped pages", XENSR_NO_RECORD, in->offset);
	if (io_read(in, &count, sizeof(count)))
		return -1;
	if (count > legacy->p2m_size)
		return ctx_fail(in, EBADMSG, "has %u, of a guest of %" PRIu64, count,
				legacy->p2m_size);
	return io_skip(in, (uint64_t)count * legacy->ulong_octets);
}

/* Append to what is kept of the vcpus. */
static int keep(struct legacy *legacy, uint32_t octets)
{
	struct xensr_ctx *in = legacy->in;

	if (legacy->vcpus_octets + octets > VCPUS_MAX)
		return ctx_fail(in, EBADMSG, "the vcpus have more than %u octets of state",
				VCPUS_MAX);
	if (body_reserve(in, &legacy->vcpus, legacy->vcpus_octets + octets) ||
	    io_read(in, legacy->vcpus.octets + legacy->vcpus_octets, octets))
		return -1;
	legacy->vcpus_octets += octets;
	return 0;
}

static int read_xsave(struct legacy *legacy)
{
	struct {
		uint64_t mask;
		uint64_t octets;
	} header;

	if (io_read(legacy->in, &header, sizeof(header)))
		return -1;
	if (header.octets != legacy->xsave_octets)
		return ctx_fail(legacy->in, EBADMSG,
				"has %" PRIu64 " octets of xsave state, %u were announced",
				header.octets, legacy->xsave_octets);
	return keep(legacy, legacy->xsave_octets);
}

#define VCPU_TITLE 32

/* Errors are those of this vcpu, whose state begins at offset; until ctx_leave. */
static void enter_vcpu(struct legacy *legacy, char what[VCPU_TITLE], uint32_t vcpu, uint64_t offset)
{
	snprintf(what, VCPU_TITLE, "vcpu %u", vcpu);
	ctx_enter(legacy->in, what, XENSR_NO_RECORD, offset);
}

/* What each vcpu has in the input. */
static uint64_t vcpu_size(const struct legacy *legacy)
{
	uint64_t octets = legacy->vcpu_octets;

	if (legacy->extended)
		octets += EXTENDED_OCTETS;
	if (legacy->xsave_octets)
		octets += XSAVE_HEADER + legacy->xsave_octets;
	return octets;
}

static int read_vcpu(struct legacy *legacy, uint32_t vcpu)
{
	struct xensr_ctx *in = legacy->in;
	char what[VCPU_TITLE];
	int rc;

	enter_vcpu(legacy, what, vcpu, in->offset);
	rc = keep(legacy, legacy->vcpu_octets);
	if (rc == 0 && legacy->extended)
		rc = keep(legacy, EXTENDED_OCTETS);
	if (rc == 0 && legacy->xsave_octets)
		rc = read_xsave(legacy);
	ctx_leave(in); /* `what` ends here */
	return rc;
}

static bool is_online(const struct legacy *legacy, uint32_t vcpu)
{
	return legacy->online[vcpu / 64] >> vcpu % 64 & 1;
}

int legacy_pv_tail(struct legacy *legacy)
{
	struct xensr_ctx *in = legacy->in;

	if (skip_unmapped(legacy))
		return -1;
	legacy->vcpus_octets = 0;
	legacy->vcpus_offset = in->offset;
	for (uint32_t vcpu = 0; vcpu < LEGACY_VCPUS; vcpu++) {
		if (is_online(legacy, vcpu) && read_vcpu(legacy, vcpu))
			return -1;
	}
	legacy->shared_info_offset = in->offset;
	ctx_enter(in, shared_info_title, XENSR_NO_RECORD, legacy->shared_info_offset);
	return io_read(in, legacy->shared_info, sizeof(legacy->shared_info));
}

/* One record of a vcpu, with its part of what was kept. */
static int write_part(struct legacy *legacy, struct cursor *c, uint32_t type, uint32_t vcpu,
		      uint32_t octets)
{
	struct wire_x86_pv_vcpu head = {.vcpu_id = vcpu};
	uint32_t whole = (uint32_t)sizeof(head) + octets;

	if (body_reserve(legacy->in, &legacy->body, whole))
		return -1;
	memcpy(legacy->body.octets, &head, sizeof(head));
	memcpy(legacy->body.octets + sizeof(head), cursor_take(c, octets), octets);
	return convert_record(legacy->convert, type, legacy->body.octets, whole);
}

static int write_vcpu(struct legacy *legacy, struct cursor *c, uint32_t vcpu, uint64_t offset)
{
	char what[VCPU_TITLE];
	int rc;

	enter_vcpu(legacy, what, vcpu, offset);
	rc = write_part(legacy, c, REC_X86_PV_VCPU_BASIC, vcpu, legacy->vcpu_octets);
	if (rc == 0 && legacy->extended)
		rc = write_part(legacy, c, REC_X86_PV_VCPU_EXTENDED, vcpu, EXTENDED_OCTETS);
	if (rc == 0 && legacy->xsave_octets)
		rc = write_part(legacy, c, REC_X86_PV_VCPU_XSAVE, vcpu, legacy->xsave_octets);
	ctx_leave(legacy->in); /* `what` ends here */
	return rc;
}

int legacy_pv_write(struct legacy *legacy)
{
	struct cursor c = cursor_over(legacy->vcpus.octets, legacy->vcpus_octets);
	uint64_t offset = legacy->vcpus_offset;

	ctx_enter(legacy->in, shared_info_title, XENSR_NO_RECORD, legacy->shared_info_offset);
	if (convert_record(legacy->convert, REC_SHARED_INFO, legacy->shared_info,
			   sizeof(legacy->shared_info)))
		return -1;
	for (uint32_t vcpu = 0; vcpu < LEGACY_VCPUS; vcpu++) {
		if (!is_online(legacy, vcpu))
			continue;
		if (write_vcpu(legacy, &c, vcpu, offset))
			return -1;
		offset += vcpu_size(legacy);
	}
	return 0;
}
