/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "description.h"
#include "savevm.h"
#include "state_access.h"

struct load {
	struct cursor *in;
	state_value_fn value_fn;
	void *value_data;
	struct xensr_ctx *ctx;
	unsigned free_left; /* elements of no octets, which nothing else would bound */
	unsigned depth;
};

/* A structure (or section, or subsection) that is being read. */
struct level {
	const struct state_description *description;
	uint8_t *object; /* or NULL */
	uint32_t version;
	const char *path;

	/* The last integers, for fields that are counted by one. */
	struct {
		const struct state_field *field;
		uint64_t number;
	} numbers[STATE_COUNT_REACH];
	size_t number_count;
};

static int load_level(struct load *load, struct level *level);

/* ---- one element --------------------------------------------------------------------------- */

static void remember_number(struct level *level, const struct state_field *field, uint64_t number)
{
	size_t slot = level->number_count++ % STATE_COUNT_REACH;

	level->numbers[slot].field = field;
	level->numbers[slot].number = number;
}

static int check_rule(struct load *load, const struct state_field *field, const char *path,
		      const uint8_t *object, uint64_t number, size_t offset)
{
	uint64_t ours = state_get(object, field->type);
	bool right, is_signed = state_is_signed(field->type);

	if (field->rule == STATE_ANY)
		return 0;
	if (field->rule == STATE_EQUAL)
		right = number == ours;
	else
		right = is_signed ? (int64_t)number <= (int64_t)ours : number <= ours;
	if (right)
		return 0;
	return ctx_fail(load->ctx, EBADMSG,
			is_signed ? "field %s at offset %zu is %" PRId64 ", must be %s%" PRId64
				  : "field %s at offset %zu is %" PRIu64 ", must be %s%" PRIu64,
			path, offset, number, field->rule == STATE_EQUAL ? "" : "at most ", ours);
}

static int load_number(struct load *load, struct level *level, const struct state_field *field,
		       const char *path, uint8_t *object, struct state_value *value)
{
	value->number = octets_be(value->octets, value->size);
	if (state_is_signed(field->type) && value->size < sizeof(value->number)) {
		unsigned unused_bits = 64 - 8 * (unsigned)value->size;

		value->number = (uint64_t)((int64_t)(value->number << unused_bits) >> unused_bits);
	}
	if (!field->count)
		remember_number(level, field, value->number);
	if (!object)
		return 0;
	if (check_rule(load, field, path, object, value->number, value->offset) < 0)
		return -1;
	state_set(object, field->type,
		  field->type == STATE_BOOL ? value->number != 0 : value->number);
	return 0;
}

static int load_octets(struct load *load, struct level *level, const struct state_field *field,
		       const char *path, uint8_t *object)
{
	struct state_value value = {
		.path = path,
		.type = field->type_name ? field->type_name : state_type_name(field->type),
		.kind = field->type,
		.offset = load->in->pos,
		.size = state_field_octets(field),
	};

	value.octets = cursor_take(load->in, value.size);
	if (!value.octets)
		return ctx_fail(load->ctx, EBADMSG,
				"field %s at offset %zu takes %zu octets, %zu are there", path,
				value.offset, value.size, cursor_left(load->in));
	if (state_is_number(field->type)) {
		if (load_number(load, level, field, path, object, &value) < 0)
			return -1;
	} else if (object && field->type == STATE_BUFFER) {
		memcpy(object, value.octets, value.size);
	}
	if (load->value_fn && load->value_fn(load->value_data, &value) != 0)
		return ctx_fail(load->ctx, ECANCELED, "reading was stopped at field %s", path);
	return 0;
}

static int load_nested(struct load *load, const struct state_field *field, const char *path,
		       uint8_t *object)
{
	struct level level = {
		.description = field->nested,
		.object = object,
		.version = field->nested->version,
		.path = path,
	};
	size_t start = load->in->pos;

	if (load_level(load, &level) < 0)
		return -1;
	if (field->wire_size && load->in->pos - start != field->wire_size)
		return ctx_fail(load->ctx, EBADMSG,
				"field %s at offset %zu is of %zu octets, not %" PRIu64, path,
				start, load->in->pos - start, field->wire_size);
	return 0;
}

/* ---- one field ----------------------------------------------------------------------------- */

/* How many elements the field has here. */
static int count_elements(struct load *load, const struct level *level,
			  const struct state_field *field, uint32_t *count)
{
	*count = field->count ? field->count : 1;
	if (!field->counted_by)
		return 0;
	for (size_t i = 0; i < STATE_COUNT_REACH; i++) {
		if (level->numbers[i].field != field->counted_by)
			continue;
		if (level->numbers[i].number > field->count)
			return ctx_fail(load->ctx, EBADMSG,
					"field %s has %" PRIu64 " elements, at most %" PRIu32
					" are possible",
					field->name, level->numbers[i].number, field->count);
		*count = (uint32_t)level->numbers[i].number;
		return 0;
	}
	return ctx_fail(load->ctx, EBADMSG, "nothing says how many elements field %s has",
			field->name);
}

static int load_field(struct load *load, struct level *level, const struct state_field *field)
{
	uint8_t *object = level->object ? level->object + field->offset : NULL;
	char path[STATE_PATH_SIZE];
	uint32_t count;
	size_t start;

	if (field->since > level->version)
		return 0;
	if (field->exists) {
		if (!level->object)
			return ctx_fail(load->ctx, EBADMSG,
					"only its device knows whether field %s is there",
					field->name);
		if (!field->exists(level->object, level->version))
			return 0;
	}
	if (count_elements(load, level, field, &count) < 0)
		return -1;
	for (uint32_t i = 0; i < count; i++) {
		start = load->in->pos;
		state_path(path, level->path, field, i);
		if (field->type == STATE_STRUCT) {
			if (load_nested(load, field, path, object) < 0)
				return -1;
		} else if (load_octets(load, level, field, path, object) < 0) {
			return -1;
		}
		if (load->in->pos == start && !load->free_left--)
			return ctx_fail(load->ctx, EBADMSG,
					"field %s at offset %zu: too many elements of no octets",
					path, start);
		if (object)
			object += state_stride(field);
	}
	return 0;
}

/* ---- subsections --------------------------------------------------------------------------- */

/* Look for the header of a subsection at the cursor; name and *version are those it has. */
static bool peek_subsection(struct cursor *at, char *name, uint32_t *version)
{
	const uint8_t *octets;
	uint8_t type, length;

	if (!take_u8(at, &type) || type != SAVEVM_SUBSECTION || !take_u8(at, &length) || !length)
		return false;
	octets = cursor_take(at, length);
	if (!octets || memchr(octets, 0, length) || !take_be32(at, version))
		return false;
	memcpy(name, octets, length);
	name[length] = 0;
	return true;
}

static bool is_below(const char *name, const char *parent)
{
	size_t length = strlen(parent);

	return !strncmp(name, parent, length) && name[length] == '/';
}

static int check_version(struct load *load, const char *what, const char *name,
			 const struct state_description *description, uint32_t version)
{
	if (version > description->version)
		return ctx_fail(load->ctx, EPROTONOSUPPORT,
				"%s%s has version %" PRIu32 ", newer than %" PRIu32, what, name,
				version, description->version);
	if (version < description->minimum_version)
		return ctx_fail(load->ctx, EPROTONOSUPPORT,
				"%s%s has version %" PRIu32 ", older than %" PRIu32, what, name,
				version, description->minimum_version);
	return 0;
}

static int load_subsection(struct load *load, const struct level *parent,
			   const struct state_description *description, uint32_t version)
{
	char path[STATE_PATH_SIZE];
	struct level level = {
		.description = description,
		.object = parent->object,
		.version = version,
		.path = path,
	};

	if (check_version(load, "subsection ", description->name, description, version) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s%s%s", parent->path, *parent->path ? "." : "",
		 description->name);
	return load_level(load, &level);
}

/*
 * Subsections follow the fields of what they belong to. One with a name that is not ours is left
 * alone: it belongs to a structure around this one.
 */
static int load_subsections(struct load *load, const struct level *level)
{
	const struct state_description *description = level->description;
	bool seen[STATE_MAX_SUBSECTIONS] = {false};
	char name[SAVEVM_NAME_SIZE];
	uint32_t version;
	size_t i;

	for (;;) {
		struct cursor at = *load->in;

		if (!peek_subsection(&at, name, &version))
			break;
		for (i = 0; i < description->subsection_count; i++) {
			if (!seen[i] && !strcmp(name, description->subsections[i]->name))
				break;
		}
		if (i == description->subsection_count) {
			if (!is_below(name, description->name))
				break;
			return ctx_fail(load->ctx, EBADMSG,
					"subsection %s at offset %zu is unknown or comes twice",
					name, load->in->pos);
		}
		seen[i] = true;
		*load->in = at;
		if (load_subsection(load, level, description->subsections[i], version) < 0)
			return -1;
	}
	for (i = 0; i < description->subsection_count; i++) {
		if (description->subsections[i]->must_come && !seen[i])
			return ctx_fail(load->ctx, EBADMSG, "subsection %s is not at offset %zu",
					description->subsections[i]->name, load->in->pos);
	}
	return 0;
}

/* ---- structures ---------------------------------------------------------------------------- */

static int load_contents(struct load *load, struct level *level)
{
	const struct state_description *description = level->description;
	int errnum;

	if (level->object && description->pre_load) {
		errnum = description->pre_load(level->object);
		if (errnum)
			return ctx_fail_errno(load->ctx, errnum, "%s cannot be loaded",
					      description->name);
	}
	for (size_t i = 0; i < description->field_count; i++) {
		if (load_field(load, level, &description->fields[i]) < 0)
			return -1;
	}
	if (load_subsections(load, level) < 0)
		return -1;
	if (level->object && description->post_load) {
		errnum = description->post_load(level->object, level->version);
		if (errnum)
			return ctx_fail_errno(load->ctx, errnum, "%s refuses what was loaded",
					      description->name);
	}
	return 0;
}

static int load_level(struct load *load, struct level *level)
{
	int rc;

	if (load->depth == STATE_MAX_DEPTH)
		return ctx_fail(load->ctx, EBADMSG, "%s: more than %u structures within each other",
				level->path, STATE_MAX_DEPTH);
	if (level->description->subsection_count > STATE_MAX_SUBSECTIONS)
		return ctx_fail(load->ctx, EBADMSG, "%s: more than %u subsections", level->path,
				STATE_MAX_SUBSECTIONS);
	load->depth++;
	rc = load_contents(load, level);
	load->depth--;
	return rc;
}

int description_load(const struct state_description *description, void *object, uint32_t version,
		     struct cursor *in, state_value_fn value_fn, void *value_data,
		     struct xensr_ctx *ctx)
{
	struct load load = {
		.in = in,
		.value_fn = value_fn,
		.value_data = value_data,
		.ctx = ctx,
		.free_left = STATE_FREE_ELEMENTS,
	};
	struct level level = {
		.description = description,
		.object = object,
		.version = version,
		.path = "",
	};

	if (check_version(&load, "it", "", description, version) < 0)
		return -1;
	return load_level(&load, &level);
}
