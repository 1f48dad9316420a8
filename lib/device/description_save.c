/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>

#include "description.h"
#include "savevm.h"
#include "state_access.h"

static int save_level(const struct state_description *description, uint8_t *object, unsigned depth,
		      struct octet_buffer *out, struct xensr_ctx *ctx);

static void save_number(struct octet_buffer *out, const struct state_field *field,
			const uint8_t *object)
{
	uint64_t number = state_get(object, field->type);

	switch (state_field_octets(field)) {
	case 1:
		put_u8(out, (uint8_t)number);
		break;
	case 2:
		put_be16(out, (uint16_t)number);
		break;
	case 4:
		put_be32(out, (uint32_t)number);
		break;
	default:
		put_be64(out, number);
	}
}

static int save_element(const struct state_field *field, uint8_t *object, unsigned depth,
			struct octet_buffer *out, struct xensr_ctx *ctx)
{
	switch (field->type) {
	case STATE_STRUCT:
		return save_level(field->nested, object, depth + 1, out, ctx);
	case STATE_BUFFER:
		put_octets(out, object, field->size);
		return 0;
	case STATE_UNUSED:
		put_zeroes(out, field->size);
		return 0;
	default:
		save_number(out, field, object);
		return 0;
	}
}

static int save_field(const struct state_description *description, const struct state_field *field,
		      uint8_t *object, unsigned depth, struct octet_buffer *out,
		      struct xensr_ctx *ctx)
{
	uint64_t count = field->count ? field->count : 1;
	uint8_t *element = object + field->offset;

	if (field->exists && !field->exists(object, description->version))
		return 0;
	if (field->counted_by) {
		count = state_get(object + field->counted_by->offset, field->counted_by->type);
		if (count > field->count)
			return ctx_fail(ctx, ERANGE,
					"field %s of %s has %" PRIu64 " elements, at most %" PRIu32
					" are possible",
					field->name, description->name, count, field->count);
	}
	for (uint64_t i = 0; i < count; i++, element += state_stride(field)) {
		if (save_element(field, element, depth, out, ctx) < 0)
			return -1;
	}
	return 0;
}

static int save_contents(const struct state_description *description, uint8_t *object,
			 unsigned depth, struct octet_buffer *out, struct xensr_ctx *ctx)
{
	for (size_t i = 0; i < description->field_count; i++) {
		if (save_field(description, &description->fields[i], object, depth, out, ctx) < 0)
			return -1;
	}
	for (size_t i = 0; i < description->subsection_count; i++) {
		const struct state_description *subsection = description->subsections[i];

		if (subsection->needed && !subsection->needed(object))
			continue;
		savevm_write_subsection(out, subsection->name, subsection->version);
		if (save_level(subsection, object, depth + 1, out, ctx) < 0)
			return -1;
	}
	return 0;
}

static int save_level(const struct state_description *description, uint8_t *object, unsigned depth,
		      struct octet_buffer *out, struct xensr_ctx *ctx)
{
	int errnum, rc;

	if (depth == STATE_MAX_DEPTH)
		return ctx_fail(ctx, ERANGE, "%s: more than %u structures within each other",
				description->name, STATE_MAX_DEPTH);
	if (description->pre_save) {
		errnum = description->pre_save(object);
		if (errnum)
			return ctx_fail_errno(ctx, errnum, "%s cannot be saved", description->name);
	}
	rc = save_contents(description, object, depth, out, ctx);
	if (description->post_save)
		description->post_save(object);
	return rc;
}

int description_save(const struct state_description *description, void *object,
		     struct octet_buffer *out, struct xensr_ctx *ctx)
{
	return save_level(description, object, 0, out, ctx);
}
