/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmdescription.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "savevm.h"

/* Everything that was allocated, as a list; strings stay in the JSON tree. */
struct block {
	struct block *next;
	max_align_t octets[];
};

struct vmdescription_store {
	json_t *root;
	struct block *blocks;
};

struct parse {
	struct vmdescription_store *store;
	struct xensr_ctx *ctx;
	const char *device; /* at work, for errors */
	unsigned depth;
};

/* Zeroed memory for n things of this size, or NULL with the error set. n is the length of a JSON
 * array, so it is bounded by the text. */
static void *store_alloc(struct parse *parse, size_t n, size_t size)
{
	struct block *block = calloc(1, sizeof(*block) + n * size);

	if (!block) {
		ctx_fail(parse->ctx, ENOMEM, "no memory for what it describes");
		return NULL;
	}
	block->next = parse->store->blocks;
	parse->store->blocks = block;
	return block->octets;
}

void vmdescription_release(struct vmdescription *vmdescription)
{
	struct vmdescription_store *store = vmdescription->store;

	while (store && store->blocks) {
		struct block *next = store->blocks->next;

		free(store->blocks);
		store->blocks = next;
	}
	if (store)
		json_decref(store->root);
	free(store);
	*vmdescription = (struct vmdescription){.page_size = 0};
}

/* ---- members ------------------------------------------------------------------------------- */

static int bad(struct parse *parse, const char *key, const char *what)
{
	if (!parse->device)
		return ctx_fail(parse->ctx, EBADMSG, "\"%s\" is %s", key, what);
	return ctx_fail(parse->ctx, EBADMSG, "device %s: \"%s\" is %s", parse->device, key, what);
}

static bool is_printable(const char *text)
{
	for (; *text; text++) {
		if (*text < 0x20 || *text > 0x7e)
			return false;
	}
	return true;
}

/* A string of 1 to 255 printable characters: names end up on terminals. */
static int get_name(struct parse *parse, const json_t *object, const char *key, const char **name)
{
	*name = json_string_value(json_object_get(object, key));
	if (!*name)
		return bad(parse, key, "missing or no string");
	if (!**name || strlen(*name) > 255 || !is_printable(*name))
		return bad(parse, key, "not of 1 to 255 printable characters");
	return 0;
}

/* An integer from 0 to most; fallback if it is missing and that is allowed (fallback >= 0). */
static int get_number(struct parse *parse, const json_t *object, const char *key, json_int_t most,
		      json_int_t fallback, uint64_t *number)
{
	const json_t *member = json_object_get(object, key);
	json_int_t value = fallback;

	if (member && !json_is_integer(member))
		return bad(parse, key, "no integer");
	if (member)
		value = json_integer_value(member);
	if (value < 0 || value > most)
		return bad(parse, key, member ? "out of range" : "missing");
	*number = (uint64_t)value;
	return 0;
}

/* An array; *array is NULL if there is none. */
static int get_array(struct parse *parse, const json_t *object, const char *key,
		     const json_t **array)
{
	*array = json_object_get(object, key);
	if (*array && !json_is_array(*array))
		return bad(parse, key, "no array");
	return 0;
}

/* ---- fields -------------------------------------------------------------------------------- */

static int parse_structure(struct parse *parse, const json_t *object,
			   struct state_description *description);

/* The types that we can show as numbers; an ending such as " equal" only says how one is loaded. */
static enum state_type type_of(const char *name, uint64_t size)
{
	static const enum state_type numbers[] = {STATE_U8,   STATE_U16,  STATE_U32, STATE_U64,
						  STATE_S8,   STATE_S16,  STATE_S32, STATE_S64,
						  STATE_BOOL, STATE_TIMER};
	size_t length = strcspn(name, " ");

	if (!strcmp(name, state_type_name(STATE_UNUSED)))
		return STATE_UNUSED;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		const char *ours = state_type_name(numbers[i]);
		const struct state_field field = {.type = numbers[i]};

		if (strlen(ours) == length && !strncmp(ours, name, length) &&
		    state_field_octets(&field) == size)
			return numbers[i];
	}
	return STATE_BUFFER;
}

/* "name", or "name[index]" for an element of an array that is described one by one. */
static int name_field(struct parse *parse, const json_t *object, struct state_field *field)
{
	uint64_t index;
	size_t size;
	char *name;

	if (get_name(parse, object, "name", &field->name) < 0)
		return -1;
	if (!json_object_get(object, "index"))
		return 0;
	if (get_number(parse, object, "index", UINT32_MAX, -1, &index) < 0)
		return -1;
	size = strlen(field->name) + sizeof("[4294967295]");
	name = store_alloc(parse, 1, size);
	if (!name)
		return -1;
	snprintf(name, size, "%s[%u]", field->name, (unsigned)index);
	field->name = name;
	return 0;
}

static int parse_nested(struct parse *parse, const json_t *members, struct state_field *field)
{
	struct state_description *nested = store_alloc(parse, 1, sizeof(*nested));

	if (!nested)
		return -1;
	field->type = STATE_STRUCT;
	field->wire_size = field->size;
	field->nested = nested;
	return parse_structure(parse, members, nested);
}

static int parse_field(struct parse *parse, const json_t *object, struct state_field *field)
{
	const json_t *members = json_object_get(object, "struct");
	uint64_t size, count;

	if (name_field(parse, object, field) < 0 ||
	    get_name(parse, object, "type", &field->type_name) < 0 ||
	    get_number(parse, object, "size", SAVEVM_MAX_OCTETS, -1, &size) < 0 ||
	    get_number(parse, object, "array_len", UINT32_MAX, 0, &count) < 0)
		return -1;
	field->size = size;
	field->count = (uint32_t)count;
	if (!members && json_object_get(object, "fields"))
		members = object;
	if (members)
		return parse_nested(parse, members, field);
	field->type = type_of(field->type_name, size);
	return 0;
}

static int parse_fields(struct parse *parse, const json_t *array,
			struct state_description *description)
{
	size_t n = json_array_size(array);
	struct state_field *fields = store_alloc(parse, n, sizeof(*fields));

	if (!fields)
		return -1;
	description->fields = fields;
	for (size_t i = 0; i < n; i++) {
		const json_t *object = json_array_get(array, i);
		struct state_field *field = &fields[description->field_count];

		if (parse_field(parse, object, field) < 0)
			return -1;
		/* An array of nothing is not there. Kept, it would cost time and have no octets. */
		if (field->count || !json_object_get(object, "array_len"))
			description->field_count++;
		else
			*field = (struct state_field){0};
	}
	return 0;
}

/* ---- structures ---------------------------------------------------------------------------- */

static int parse_subsections(struct parse *parse, const json_t *array,
			     struct state_description *description)
{
	size_t n = json_array_size(array);
	const struct state_description **list = store_alloc(parse, n, sizeof(void *));
	struct state_description *subsections = store_alloc(parse, n, sizeof(*subsections));

	if (!list || !subsections)
		return -1;
	description->subsections = list;
	description->subsection_count = n;
	for (size_t i = 0; i < n; i++) {
		list[i] = &subsections[i];
		subsections[i].must_come = true;
		if (parse_structure(parse, json_array_get(array, i), &subsections[i]) < 0)
			return -1;
	}
	return 0;
}

/* {"vmsd_name", "version", "fields", "subsections"}; the writer leaves out arrays that are empty. */
static int parse_structure(struct parse *parse, const json_t *object,
			   struct state_description *description)
{
	const json_t *fields, *subsections;
	uint64_t version;
	int rc = 0;

	if (parse->depth == STATE_MAX_DEPTH)
		return bad(parse, "struct", "nested too deep");
	if (!json_is_object(object))
		return bad(parse, "struct", "no object");
	if (get_name(parse, object, "vmsd_name", &description->name) < 0 ||
	    get_number(parse, object, "version", UINT32_MAX, -1, &version) < 0 ||
	    get_array(parse, object, "fields", &fields) < 0 ||
	    get_array(parse, object, "subsections", &subsections) < 0)
		return -1;
	description->version = (uint32_t)version;
	description->minimum_version = (uint32_t)version;
	parse->depth++;
	if (fields)
		rc = parse_fields(parse, fields, description);
	if (rc == 0 && subsections)
		rc = parse_subsections(parse, subsections, description);
	parse->depth--;
	return rc;
}

/* Without "vmsd_name": a device of which the writer has no description but the octets' size. */
static int parse_blob(struct parse *parse, const json_t *object,
		      struct state_description *description)
{
	const json_t *fields;

	description->name = parse->device;
	description->version = UINT32_MAX;
	if (get_array(parse, object, "fields", &fields) < 0)
		return -1;
	return fields ? parse_fields(parse, fields, description) : 0;
}

static int parse_device(struct parse *parse, const json_t *object,
			struct vmdescription_device *device)
{
	struct state_description *description;
	uint64_t instance;

	parse->device = NULL;
	if (get_name(parse, object, "name", &device->idstr) < 0)
		return -1;
	parse->device = device->idstr;
	if (get_number(parse, object, "instance_id", UINT32_MAX, -1, &instance) < 0)
		return -1;
	device->instance_id = (uint32_t)instance;
	description = store_alloc(parse, 1, sizeof(*description));
	if (!description)
		return -1;
	device->description = description;
	if (json_object_get(object, "vmsd_name"))
		return parse_structure(parse, object, description);
	return parse_blob(parse, object, description);
}

static int parse_root(struct parse *parse, const json_t *root, struct vmdescription *vmdescription)
{
	const json_t *devices;
	size_t n;

	if (!json_is_object(root))
		return ctx_fail(parse->ctx, EBADMSG, "its text is no JSON object");
	if (get_number(parse, root, "page_size", INT64_MAX, 0, &vmdescription->page_size) < 0 ||
	    get_array(parse, root, "devices", &devices) < 0)
		return -1;
	if (!devices)
		return bad(parse, "devices", "missing");
	n = json_array_size(devices);
	vmdescription->devices = store_alloc(parse, n, sizeof(*vmdescription->devices));
	if (!vmdescription->devices)
		return -1;
	vmdescription->device_count = n;
	for (size_t i = 0; i < n; i++) {
		if (parse_device(parse, json_array_get(devices, i), &vmdescription->devices[i]) < 0)
			return -1;
	}
	return 0;
}

int vmdescription_parse(struct vmdescription *vmdescription, const char *text, size_t length,
			struct xensr_ctx *ctx)
{
	struct parse parse = {.ctx = ctx};
	json_error_t error;
	int rc;

	*vmdescription = (struct vmdescription){.page_size = 0};
	if (length > SAVEVM_MAX_VMDESCRIPTION)
		return ctx_fail(ctx, EBADMSG, "its text is of %zu octets, more than %u", length,
				SAVEVM_MAX_VMDESCRIPTION);
	vmdescription->store = calloc(1, sizeof(*vmdescription->store));
	if (!vmdescription->store)
		return ctx_fail(ctx, ENOMEM, "no memory for what it describes");
	parse.store = vmdescription->store;
	parse.store->root = json_loadb(text, length, JSON_ALLOW_NUL, &error);
	if (parse.store->root)
		rc = parse_root(&parse, parse.store->root, vmdescription);
	else if (!*error.text || json_error_code(&error) == json_error_out_of_memory)
		rc = ctx_fail(ctx, ENOMEM, "no memory for its text");
	else
		rc = ctx_fail(ctx, EBADMSG, "its text is no JSON (octet %d)", error.position);
	if (rc < 0)
		vmdescription_release(vmdescription);
	return rc;
}
