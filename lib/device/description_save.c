/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>

#include "description.h"
#include "savevm.h"
#include "state_access.h"

struct save {
	struct octet_buffer *out;
	struct xensr_ctx *ctx;
	unsigned depth;
};

/*
 * Save a structure. What was saved is added to `described` as the members of a VMDESCRIPTION's
 * "struct", unless that is NULL.
 */
static int save_level(struct save *save, const struct state_description *description,
		      uint8_t *object, json_t *described);

static int no_memory(struct save *save)
{
	return ctx_fail(save->ctx, ENOMEM, "no memory to describe it");
}

/* ---- one element --------------------------------------------------------------------------- */

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

static void save_element(struct save *save, const struct state_field *field, const uint8_t *object)
{
	switch (field->type) {
	case STATE_BUFFER:
		put_octets(save->out, object, field->size);
		break;
	case STATE_UNUSED:
		put_zeroes(save->out, field->size);
		break;
	default:
		save_number(save->out, field, object);
	}
}

/* ---- one field ----------------------------------------------------------------------------- */

/* A new entry for a field in the list, or NULL. It is the list's. */
static json_t *add_entry(json_t *fields, const struct state_field *field)
{
	const char *type = field->type_name ? field->type_name : state_type_name(field->type);
	json_t *entry = json_pack("{s:s, s:s}", "name", field->name, "type", type);

	return entry && json_array_append_new(fields, entry) == 0 ? entry : NULL;
}

static int set_number(json_t *object, const char *key, uint64_t number)
{
	return json_object_set_new(object, key, json_integer((json_int_t)number));
}

/* Elements of one size are one entry. */
static int describe_elements(struct save *save, json_t *fields, const struct state_field *field,
			     uint64_t count)
{
	json_t *entry = add_entry(fields, field);

	if (!entry || set_number(entry, "size", state_field_octets(field)) < 0 ||
	    (field->count && set_number(entry, "array_len", count) < 0))
		return no_memory(save);
	return 0;
}

/* Structures may differ in their subsections, so each is an entry. */
static int save_structure(struct save *save, const struct state_field *field, uint8_t *object,
			  uint64_t index, json_t *fields)
{
	size_t start = save->out->len;
	json_t *entry, *nested;

	if (!fields)
		return save_level(save, field->nested, object, NULL);
	entry = add_entry(fields, field);
	nested = entry ? json_object() : NULL;
	if (json_object_set_new(entry, "struct", nested) < 0 ||
	    (field->count && set_number(entry, "index", index) < 0))
		return no_memory(save);
	if (save_level(save, field->nested, object, nested) < 0)
		return -1;
	return set_number(entry, "size", save->out->len - start) < 0 ? no_memory(save) : 0;
}

static int save_field(struct save *save, const struct state_description *description,
		      const struct state_field *field, uint8_t *object, json_t *fields)
{
	uint64_t count = field->count ? field->count : 1;
	uint8_t *element = object + field->offset;

	if (field->exists && !field->exists(object, description->version))
		return 0;
	if (field->counted_by) {
		count = state_get(object + field->counted_by->offset, field->counted_by->type);
		if (count > field->count)
			return ctx_fail(save->ctx, ERANGE,
					"field %s of %s has %" PRIu64 " elements, at most %" PRIu32
					" are possible",
					field->name, description->name, count, field->count);
	}
	/* No entry for no element: "array_len" 0 would be one element. */
	if (fields && count && field->type != STATE_STRUCT &&
	    describe_elements(save, fields, field, count) < 0)
		return -1;
	for (uint64_t i = 0; i < count; i++, element += state_stride(field)) {
		if (field->type != STATE_STRUCT)
			save_element(save, field, element);
		else if (save_structure(save, field, element, i, fields) < 0)
			return -1;
	}
	return 0;
}

/* ---- structures ---------------------------------------------------------------------------- */

static int save_subsection(struct save *save, const struct state_description *subsection,
			   uint8_t *object, json_t *list)
{
	json_t *described = NULL;

	if (list) {
		described = json_object();
		if (json_array_append_new(list, described) < 0)
			return no_memory(save);
	}
	savevm_write_subsection(save->out, subsection->name, subsection->version);
	return save_level(save, subsection, object, described);
}

/* A new list under this key, or NULL. It is the object's. */
static json_t *add_list(json_t *object, const char *key)
{
	json_t *list = json_array();

	return json_object_set_new(object, key, list) == 0 ? list : NULL;
}

static int save_contents(struct save *save, const struct state_description *description,
			 uint8_t *object, json_t *described)
{
	json_t *fields = NULL, *subsections = NULL;

	if (described) {
		fields = add_list(described, "fields");
		if (!fields || set_number(described, "version", description->version) < 0 ||
		    json_object_set_new(described, "vmsd_name", json_string(description->name)) < 0)
			return no_memory(save);
	}
	for (size_t i = 0; i < description->field_count; i++) {
		if (save_field(save, description, &description->fields[i], object, fields) < 0)
			return -1;
	}
	for (size_t i = 0; i < description->subsection_count; i++) {
		const struct state_description *subsection = description->subsections[i];

		if (subsection->needed && !subsection->needed(object))
			continue;
		if (described && !subsections) {
			subsections = add_list(described, "subsections");
			if (!subsections)
				return no_memory(save);
		}
		if (save_subsection(save, subsection, object, subsections) < 0)
			return -1;
	}
	return 0;
}

static int save_level(struct save *save, const struct state_description *description,
		      uint8_t *object, json_t *described)
{
	int errnum, rc;

	if (save->depth == STATE_MAX_DEPTH)
		return ctx_fail(save->ctx, ERANGE, "%s: more than %u structures within each other",
				description->name, STATE_MAX_DEPTH);
	if (description->pre_save) {
		errnum = description->pre_save(object);
		if (errnum)
			return ctx_fail_errno(save->ctx, errnum, "%s cannot be saved",
					      description->name);
	}
	save->depth++;
	rc = save_contents(save, description, object, described);
	save->depth--;
	if (description->post_save)
		description->post_save(object);
	return rc;
}

int description_save(const struct state_description *description, void *object,
		     struct octet_buffer *out, struct json_t *described, struct xensr_ctx *ctx)
{
	struct save save = {.out = out, .ctx = ctx};

	return save_level(&save, description, object, described);
}
