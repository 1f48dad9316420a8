/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "legacy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Before Xen's headers, whose macros have names of its members. */
#include "xensr_toolstack.h"

#include <xen/xen.h>
#include <xen/hvm/params.h>

#include "cursor.h"
#include "io.h"
#include "toolstack/libxl_record.h"

/* Of the device model's record. */
#define SIGNATURE        "DeviceModelRecord0002"
#define SIGNATURE_OCTETS (sizeof(SIGNATURE) - 1)

/* What a restore takes at most (lib/record.c). */
#define CONTEXT_MAX (32u << 20)

/* The toolstack's data have some hundred octets. */
#define TOOLSTACK_MAX     (1u << 20)
#define TOOLSTACK_VERSION 1u

/* What a 64-bit toolstack's structure has behind its last member. */
#define LEAKED_OCTETS 4u

static const char params_title[] = "magic pfns";
static const char context_title[] = "hvm context";
static const char model_title[] = "device model's record";

/* ---- chunks ------------------------------------------------------------------------------------ */

static void set_param(struct legacy *legacy, uint32_t index, uint64_t value)
{
	legacy->has_param |= 1ull << index;
	legacy->param[index] = value;
}

int legacy_hvm_param(struct legacy *legacy, uint32_t index)
{
	struct {
		uint32_t padding;
		uint64_t value;
	} __attribute__((packed)) body;

	if (io_read(legacy->in, &body, sizeof(body)))
		return -1;
	set_param(legacy, index, body.value);
	return 0;
}

struct physmap {
	uint64_t phys;
	uint64_t start;
	uint64_t octets;
	uint32_t name_octets; /* its NUL counts */
} __attribute__((packed));

static int add_key(struct legacy *legacy, uint64_t phys, const char *name, const char *value)
{
	char key[64];

	snprintf(key, sizeof(key), "physmap/%" PRIx64 "/%s", phys, name);
	return xenstore_data_add(legacy->in, &legacy->physmap, key, value, EMULATOR_XENSTORE_MAX);
}

static int add_physmap(struct legacy *legacy, const struct physmap *entry, const char *name)
{
	char start[24], octets[24];

	snprintf(start, sizeof(start), "%" PRIx64, entry->start);
	snprintf(octets, sizeof(octets), "%" PRIx64, entry->octets);
	if (add_key(legacy, entry->phys, "start_addr", start) ||
	    add_key(legacy, entry->phys, "size", octets))
		return -1;
	return entry->name_octets ? add_key(legacy, entry->phys, "name", name) : 0;
}

static int read_physmap(struct legacy *legacy, struct cursor *c)
{
	const void *raw = cursor_take(c, sizeof(struct physmap));
	struct physmap entry;
	const char *name;

	if (!raw)
		return ctx_fail(legacy->in, EBADMSG, "an entry needs %zu octets, %zu are left",
				sizeof(entry), cursor_left(c));
	memcpy(&entry, raw, sizeof(entry));
	name = cursor_take(c, entry.name_octets);
	if (!name)
		return ctx_fail(legacy->in, EBADMSG, "a name of %u octets, %zu are left",
				entry.name_octets, cursor_left(c));
	if (entry.name_octets &&
	    memchr(name, '\0', entry.name_octets) != name + entry.name_octets - 1)
		return ctx_fail(legacy->in, EBADMSG, "a name does not end with its only NUL");
	if (legacy->ulong_octets == 8 && !cursor_take(c, LEAKED_OCTETS))
		return ctx_fail(legacy->in, EBADMSG, "an entry ends too early");
	return add_physmap(legacy, &entry, name);
}

static int read_toolstack(struct legacy *legacy, struct cursor *c)
{
	const void *raw = cursor_take(c, 2 * sizeof(uint32_t));
	uint32_t head[2]; /* version, count */

	if (!raw)
		return ctx_fail(legacy->in, EBADMSG, "%zu octets, at least 8 are needed",
				cursor_left(c));
	memcpy(head, raw, sizeof(head));
	if (head[0] != TOOLSTACK_VERSION)
		return ctx_fail(legacy->in, EBADMSG, "version %u is unknown", head[0]);
	for (uint32_t i = 0; i < head[1]; i++) {
		if (read_physmap(legacy, c))
			return -1;
	}
	if (cursor_left(c))
		return ctx_fail(legacy->in, EBADMSG, "%zu octets are left after %u entries",
				cursor_left(c), head[1]);
	return 0;
}

int legacy_hvm_toolstack(struct legacy *legacy)
{
	struct cursor c;
	uint32_t octets;

	if (io_read(legacy->in, &octets, sizeof(octets)))
		return -1;
	if (octets > TOOLSTACK_MAX)
		return ctx_fail(legacy->in, EBADMSG, "%u octets, at most %u are allowed", octets,
				TOOLSTACK_MAX);
	if (body_read(legacy->in, &legacy->body, octets))
		return -1;
	legacy->have_toolstack = true;
	legacy->toolstack_offset = legacy->in->record_offset;
	legacy->physmap.octets = 0;
	c = cursor_over(legacy->body.octets, octets);
	return read_toolstack(legacy, &c);
}

/* ---- tail -------------------------------------------------------------------------------------- */

/* A guest without such a page has 0; a restore of stock's would clear pfn 0 for that. */
static void set_magic_pfn(struct legacy *legacy, uint32_t index, uint64_t pfn)
{
	legacy->has_param &= ~(1ull << index);
	if (pfn)
		set_param(legacy, index, pfn);
}

int legacy_hvm_tail(struct legacy *legacy)
{
	static const uint32_t indices[] = {HVM_PARAM_IOREQ_PFN, HVM_PARAM_BUFIOREQ_PFN,
					   HVM_PARAM_STORE_PFN};
	struct xensr_ctx *in = legacy->in;
	uint64_t pfns[3]; /* ioreq, bufioreq, store */
	uint32_t octets;

	legacy->params_offset = in->offset;
	ctx_enter(in, params_title, XENSR_NO_RECORD, legacy->params_offset);
	if (io_read(in, pfns, sizeof(pfns)))
		return -1;
	for (unsigned i = 0; i < 3; i++)
		set_magic_pfn(legacy, indices[i], pfns[i]);

	legacy->context_offset = in->offset;
	ctx_enter(in, context_title, XENSR_NO_RECORD, legacy->context_offset);
	if (io_read(in, &octets, sizeof(octets)))
		return -1;
	if (octets > CONTEXT_MAX)
		return ctx_fail(in, EBADMSG, "%u octets, at most %u are allowed", octets,
				CONTEXT_MAX);
	legacy->context_octets = octets;
	return body_read(in, &legacy->context, octets);
}

int legacy_hvm_model(struct legacy *legacy)
{
	struct xensr_ctx *in = legacy->in;
	const uint8_t *front;
	uint32_t octets;
	ssize_t n;

	legacy->model_offset = in->offset;
	ctx_enter(in, model_title, XENSR_NO_RECORD, legacy->model_offset);
	n = io_peek(in, SIGNATURE_OCTETS, &front);
	if (n < 0)
		return -1;
	if (n < (ssize_t)SIGNATURE_OCTETS || memcmp(front, SIGNATURE, SIGNATURE_OCTETS) != 0)
		return 0;
	if (io_skip(in, SIGNATURE_OCTETS) || io_read(in, &octets, sizeof(octets)))
		return -1;
	if (octets > EMULATOR_CONTEXT_MAX)
		return ctx_fail(in, EBADMSG, "%u octets, at most %zu are allowed", octets,
				EMULATOR_CONTEXT_MAX);
	legacy->model_octets = octets;
	legacy->have_model = true;
	return body_read(in, &legacy->model, octets);
}

/* ---- writing ----------------------------------------------------------------------------------- */

static int write_params(struct legacy *legacy)
{
	struct {
		struct wire_hvm_params head;
		struct wire_hvm_param param[LEGACY_PARAMS];
	} body = {0};
	uint32_t n = 0;

	for (uint32_t index = 0; index < LEGACY_PARAMS; index++) {
		if (legacy->has_param >> index & 1)
			body.param[n++] = (struct wire_hvm_param){.index = index,
								  .value = legacy->param[index]};
	}
	body.head.count = n;
	ctx_enter(legacy->in, params_title, XENSR_NO_RECORD, legacy->params_offset);
	return convert_record(legacy->convert, REC_HVM_PARAMS, &body,
			      (uint32_t)(sizeof(body.head) + n * sizeof(*body.param)));
}

int legacy_hvm_write(struct legacy *legacy)
{
	ctx_enter(legacy->in, context_title, XENSR_NO_RECORD, legacy->context_offset);
	if (convert_record(legacy->convert, REC_HVM_CONTEXT, legacy->context.octets,
			   (uint32_t)legacy->context_octets))
		return -1;
	return write_params(legacy);
}

int legacy_hvm_write_emulator(struct legacy *legacy)
{
	struct convert *convert = legacy->convert;

	if (legacy->have_toolstack && legacy->physmap.octets) {
		ctx_enter(legacy->in, "toolstack's data", XENSR_NO_RECORD,
			  legacy->toolstack_offset);
		if (convert_emulator(convert, LIBXL_EMULATOR_XENSTORE_DATA,
				     legacy->physmap.body.octets, legacy->physmap.octets))
			return -1;
	}
	if (!legacy->have_model)
		return 0;
	ctx_enter(legacy->in, model_title, XENSR_NO_RECORD, legacy->model_offset);
	return convert_emulator(convert, LIBXL_EMULATOR_CONTEXT, legacy->model.octets,
				legacy->model_octets);
}
