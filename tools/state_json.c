/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "state_json.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <xenctrl.h>
#include <xen/hvm/save.h>

#include "command.h"
#include "hvm_context.h"
#include "record_text.h"
#include "register_fields.h"
#include "savevm_list.h"
#include "toolstack/libxl_record.h"
#include "toolstack/xenstore_data.h"

#define LINE_OCTETS 16u

/*
 * What is being made. json functions take NULL for an object that could not be made and fail, so
 * one look at the end of each function is enough; `failed` keeps it.
 */
struct state {
	const struct image *image;
	struct image_error *err;
	json_t *root;
	size_t shown; /* octets that became lines */
	bool failed;  /* no memory */
	bool cannot;  /* a record could not be read: *err */
};

#define KEY_SIZE (XENSTORE_KEY_MAX + 64)

static void key_text(char key[KEY_SIZE], const char *fmt, va_list args)
{
	vsnprintf(key, KEY_SIZE, fmt, args);
	for (char *c = key; *c; c++) {
		if (!isprint((unsigned char)*c))
			*c = '?';
	}
}

static void put(struct state *state, json_t *object, json_t *value, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

/* object[key] = value, whose reference is taken. Of several with one key the last is kept. */
static void put(struct state *state, json_t *object, json_t *value, const char *fmt, ...)
{
	char key[KEY_SIZE];
	va_list args;

	va_start(args, fmt);
	key_text(key, fmt, args);
	va_end(args);
	if (json_object_set_new_nocheck(object, key, value))
		state->failed = true;
}

/* Is there "KEY #number"? */
static bool is_numbered(json_t *object, const char *key, size_t number)
{
	char numbered[KEY_SIZE + 24];

	snprintf(numbered, sizeof(numbered), "%s #%zu", key, number);
	return json_object_get(object, numbered);
}

/*
 * The least number, or nearly (where keys look like numbered ones), that the key is free with: a search
 * that does not take longer for each.
 */
static size_t free_number(json_t *object, const char *key)
{
	size_t taken = 1, unused = 2;

	while (is_numbered(object, key, unused)) {
		taken = unused;
		unused *= 2;
	}
	while (unused - taken > 1) {
		size_t middle = taken + (unused - taken) / 2;

		if (is_numbered(object, key, middle))
			taken = middle;
		else
			unused = middle;
	}
	return unused;
}

static void put_another(struct state *state, json_t *object, json_t *value, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

/* The same, but all of several with one key are kept: as "KEY", "KEY #2", "KEY #3" … */
static void put_another(struct state *state, json_t *object, json_t *value, const char *fmt, ...)
{
	char key[KEY_SIZE];
	va_list args;

	va_start(args, fmt);
	key_text(key, fmt, args);
	va_end(args);
	if (!json_object_get(object, key))
		put(state, object, value, "%s", key);
	else
		put(state, object, value, "%.*s #%zu", KEY_SIZE - 32, key,
		    free_number(object, key));
}

/* A new object as a member of another. */
static json_t *put_object(struct state *state, json_t *object, const char *key)
{
	json_t *member = json_object();

	put(state, object, member, "%s", key);
	return member;
}

static json_t *checksum(struct state *state, const void *octets, size_t n)
{
	json_t *object = json_object();

	put(state, object, json_integer((json_int_t)n), "octets");
	put(state, object, json_hex(XXH3_64bits(octets, n)), "xxh3");
	return object;
}

/* Octets as lines by their offset, or as a checksum. */
static json_t *octets_json(struct state *state, const void *octets, size_t n)
{
	const uint8_t *from = octets;
	json_t *lines;

	if (n > STATE_OCTETS_MAX || n > STATE_SHOWN_MAX - state->shown)
		return checksum(state, octets, n);
	state->shown += n;
	lines = json_object();
	for (size_t at = 0; at < n; at += LINE_OCTETS) {
		size_t some = n - at < LINE_OCTETS ? n - at : LINE_OCTETS;
		char text[3 * LINE_OCTETS + 1];

		for (size_t i = 0; i < some; i++)
			snprintf(text + 3 * i, 4, "%02x ", from[at + i]);
		text[3 * some - 1] = '\0';
		put(state, lines, json_string(text), "0x%04zx", at);
	}
	return lines;
}

/* The body of a record, freed by the caller; NULL without one, or when it cannot be read. */
static void *body_of(struct state *state, const struct image_record *record)
{
	void *body;

	if (!record || state->cannot)
		return NULL;
	if (image_read_body(state->image, record, &body, state->err)) {
		state->cannot = true;
		return NULL;
	}
	return body;
}

static const struct image_record *domain_record(const struct state *state, uint32_t type)
{
	return image_state_record(state->image, LAYER_DOMAIN, type);
}

/* ---- parts --------------------------------------------------------------------------------------- */

static void put_headers(struct state *state)
{
	const struct stream_headers *headers = &state->image->headers;
	json_t *object = put_object(state, state->root, "headers");

	put(state, object, json_string(headers->guest_type == GUEST_X86_PV ? "PV" : "HVM"),
	    "guest type");
	put(state, object, json_integer(headers->version), "version");
	put(state, object, json_sprintf("%u.%u", headers->xen_major, headers->xen_minor), "Xen");
	if (headers->guest_type == GUEST_X86_PV)
		put(state, object, json_integer(state->image->guest_width), "guest width");
}

/* Which types of records there are; how often those of which each brings something of its own. */
static void put_records(struct state *state)
{
	const struct image *image = state->image;
	json_t *object = put_object(state, state->root, "records");

	for (size_t i = 0; i < image->record_count; i++) {
		const struct image_record *record = &image->records[i];
		char buffer[RECORD_NAME];

		if (record->checkpoint > image->selected || json_object_size(object) > 256)
			continue;
		put(state, object, json_true(), "%s",
		    record_name(record->layer, record->type, buffer));
	}
}

static json_t *number_of(const uint8_t *at, size_t octets)
{
	uint64_t value = 0;

	memcpy(&value, at, octets);
	return json_hex(value);
}

static json_t *registers_json(struct state *state, const struct register_layout *layout,
			      const uint8_t *registers)
{
	json_t *object = json_object();

	for (size_t i = 0; i < layout->count; i++) {
		const struct register_field *field = &layout->fields[i];
		const uint8_t *at = registers + field->offset;

		if (field->octets > sizeof(uint64_t)) {
			put(state, object, octets_json(state, at, field->octets), "%s",
			    field->name);
			continue;
		}
		if (field->count == 1)
			put(state, object, number_of(at, field->octets), "%s", field->name);
		for (uint32_t k = 0; field->count > 1 && k < field->count; k++)
			put(state, object, number_of(at + (size_t)k * field->octets, field->octets),
			    "%s[%u]", field->name, k);
	}
	return object;
}

/* Registers, and the other entries by their types. */
static void put_hvm_context(struct state *state)
{
	const struct image_record *record = domain_record(state, REC_HVM_CONTEXT);
	void *body = body_of(state, record);
	struct hvm_entry entry;
	json_t *registers, *others;
	size_t at = 0, n = 0;

	if (!body)
		return;
	registers = put_object(state, state->root, "registers");
	others = put_object(state, state->root, "hvm_context");
	while (n < STATE_ENTRIES_MAX && hvm_context_next(body, record->length, &at, &entry)) {
		const char *name = hvm_context_type_name(entry.type);
		char number[16];

		n++;
		if (entry.type == HVM_SAVE_CODE(CPU) && entry.octets == registers_hvm.octets) {
			put(state, registers, registers_json(state, &registers_hvm, entry.data),
			    "vcpu %u", entry.instance);
			continue;
		}
		snprintf(number, sizeof(number), "type %u", entry.type);
		put_another(state, others, octets_json(state, entry.data, entry.octets), "%s %u",
			    name ? name : number, entry.instance);
	}
	if (n == STATE_ENTRIES_MAX)
		put(state, others, checksum(state, (uint8_t *)body + at, record->length - at),
		    "further entries");
	free(body);
}

static void put_hvm_params(struct state *state)
{
	const struct image_record *record = domain_record(state, REC_HVM_PARAMS);
	struct wire_hvm_params *params = body_of(state, record);
	json_t *object;

	if (!params)
		return;
	object = put_object(state, state->root, "hvm_params");
	for (uint32_t i = 0; i < params->count; i++) {
		const struct wire_hvm_param *param = &params->param[i];
		const char *name = hvm_param_name(param->index);

		if (name)
			put(state, object, json_hex(param->value), "%s", name);
		else
			put(state, object, json_hex(param->value), "%#" PRIx64, param->index);
	}
	free(params);
}

static void put_tsc(struct state *state)
{
	struct wire_x86_tsc_info *tsc = body_of(state, domain_record(state, REC_X86_TSC_INFO));
	json_t *object;

	if (!tsc)
		return;
	object = put_object(state, state->root, "tsc");
	put(state, object, json_integer(tsc->mode), "mode");
	put(state, object, json_integer(tsc->khz), "khz");
	put(state, object, json_hex(tsc->nsec), "nsec");
	put(state, object, json_integer(tsc->incarnation), "incarnation");
	free(tsc);
}

static void put_cpuid(struct state *state)
{
	const struct image_record *record = domain_record(state, REC_X86_CPUID_POLICY);
	xen_cpuid_leaf_t *leaf = body_of(state, record);
	json_t *object;
	size_t count;

	if (!leaf)
		return;
	object = put_object(state, state->root, "cpuid");
	count = record->length / sizeof(*leaf);
	for (size_t i = 0; i < count; i++) {
		char key[32];
		json_t *registers;

		snprintf(key, sizeof(key),
			 leaf[i].subleaf == XEN_CPUID_NO_SUBLEAF ? "%#x" : "%#x.%u", leaf[i].leaf,
			 leaf[i].subleaf);
		registers = put_object(state, object, key);
		put(state, registers, json_hex(leaf[i].a), "eax");
		put(state, registers, json_hex(leaf[i].b), "ebx");
		put(state, registers, json_hex(leaf[i].c), "ecx");
		put(state, registers, json_hex(leaf[i].d), "edx");
	}
	free(leaf);
}

static void put_msrs(struct state *state)
{
	const struct image_record *record = domain_record(state, REC_X86_MSR_POLICY);
	xen_msr_entry_t *msr = body_of(state, record);
	json_t *object;
	size_t count;

	if (!msr)
		return;
	object = put_object(state, state->root, "msrs");
	count = record->length / sizeof(*msr);
	for (size_t i = 0; i < count; i++)
		put(state, object, json_hex(msr[i].val), "%#x", msr[i].idx);
	free(msr);
}

static void put_vcpu(struct state *state, json_t *registers, json_t *others, uint32_t type,
		     const struct wire_x86_pv_vcpu *vcpu, size_t octets)
{
	const struct register_layout *layout =
		state->image->guest_width == 8 ? &registers_pv64 : &registers_pv32;
	const uint8_t *data = (const uint8_t *)(vcpu + 1);
	const xen_domctl_vcpu_msr_t *msr = (const xen_domctl_vcpu_msr_t *)data;
	char buffer[RECORD_NAME];
	json_t *object;

	if (type == REC_X86_PV_VCPU_BASIC && octets == layout->octets) {
		put(state, registers, registers_json(state, layout, data), "vcpu %u",
		    vcpu->vcpu_id);
		return;
	}
	if (type != REC_X86_PV_VCPU_MSRS) {
		object = octets_json(state, data, octets);
	} else {
		object = json_object();
		for (size_t i = 0; i < octets / sizeof(*msr) && i < STATE_ENTRIES_MAX; i++)
			put(state, object, json_hex(msr[i].value), "%#x", msr[i].index);
	}
	put(state, others, object, "vcpu %u %s", vcpu->vcpu_id,
	    record_name(LAYER_DOMAIN, type, buffer));
}

static void put_pv_vcpus(struct state *state)
{
	static const uint32_t types[] = {REC_X86_PV_VCPU_BASIC, REC_X86_PV_VCPU_EXTENDED,
					 REC_X86_PV_VCPU_XSAVE, REC_X86_PV_VCPU_MSRS};
	json_t *registers = put_object(state, state->root, "registers");
	json_t *others = put_object(state, state->root, "vcpus");

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		const struct image_record *record = NULL;

		while ((record = image_next_record(state->image, record, LAYER_DOMAIN, types[i]))) {
			struct wire_x86_pv_vcpu *vcpu = body_of(state, record);

			if (!vcpu)
				return;
			if (record->length > sizeof(*vcpu))
				put_vcpu(state, registers, others, types[i], vcpu,
					 record->length - sizeof(*vcpu));
			free(vcpu);
		}
	}
}

static void put_shared_info(struct state *state)
{
	const struct image_record *record = domain_record(state, REC_SHARED_INFO);
	void *body = body_of(state, record);

	if (body)
		put(state, state->root, octets_json(state, body, record->length), "shared_info");
	free(body);
}

/* What is no JSON, or has more depth than a parser takes, is compared as text. */
static void put_config(struct state *state)
{
	const char *text = state->image->config;
	json_t *config;

	if (!text)
		return;
	config = json_loads(text, JSON_DECODE_ANY, NULL);
	if (!config)
		config = json_string(text);
	if (!config)
		config = octets_json(state, text, strlen(text));
	put(state, state->root, config, "config");
}

static void put_xenstore(struct state *state)
{
	const struct image_record *record =
		image_state_record(state->image, LAYER_LIBXL, LIBXL_EMULATOR_XENSTORE_DATA);
	uint8_t *body = body_of(state, record);
	struct cursor at;
	const char *key, *value;
	json_t *object;
	size_t n = 0;

	if (!body)
		return;
	object = put_object(state, state->root, "xenstore");
	if (record->length > sizeof(struct wire_emulator)) {
		at = cursor_over(body + sizeof(struct wire_emulator),
				 record->length - sizeof(struct wire_emulator));
		while (n < STATE_ENTRIES_MAX && xenstore_data_next(&at, &key, &value)) {
			n++;
			/* Values are octets: what is no UTF-8 is shown as such. */
			json_t *text = json_string(value);

			put(state, object, text ? text : octets_json(state, value, strlen(value)),
			    "%s", key);
		}
		if (n == STATE_ENTRIES_MAX && cursor_left(&at))
			put(state, object,
			    checksum(state, body + record->length - cursor_left(&at),
				     cursor_left(&at)),
			    "further entries");
	}
	free(body);
}

/* ---- the emulator -------------------------------------------------------------------------------- */

struct emulator {
	struct state *state;
	const uint8_t *data;
	size_t octets;
	json_t *sections, *fields; /* fields: of the section that was listed last */
	size_t count;
};

static bool is_section(enum savevm_kind kind)
{
	return kind == SAVEVM_SECTION_START || kind == SAVEVM_SECTION_FULL;
}

static int emulator_element(void *data, const struct savevm_listed *listed)
{
	struct emulator *emulator = data;
	const struct savevm_section *section = &listed->element.section;
	json_t *object;

	emulator->fields = NULL;
	if (!is_section(listed->element.kind) || emulator->count > STATE_ENTRIES_MAX)
		return 0;
	if (emulator->count++ == STATE_ENTRIES_MAX) {
		put(emulator->state, emulator->sections,
		    checksum(emulator->state, emulator->data + listed->element.offset,
			     emulator->octets - listed->element.offset),
		    "further sections");
		return 0;
	}
	object = json_object();
	put(emulator->state, object, json_integer(section->version_id), "version");
	if (listed->described)
		emulator->fields = put_object(emulator->state, object, "fields");
	else
		put(emulator->state, object,
		    octets_json(emulator->state, emulator->data + listed->data_offset,
				listed->data_length),
		    "octets");
	put_another(emulator->state, emulator->sections, object, "%s %u", section->idstr,
		    section->instance_id);
	return 0;
}

static int emulator_value(void *data, const struct savevm_listed *listed,
			  const struct state_value *value)
{
	struct emulator *emulator = data;
	const uint8_t *end = emulator->data + listed->data_offset + listed->data_length;
	json_t *shown;

	if (!emulator->fields || json_object_size(emulator->fields) > STATE_ENTRIES_MAX)
		return 0;
	if (json_object_size(emulator->fields) == STATE_ENTRIES_MAX) {
		put(emulator->state, emulator->fields,
		    checksum(emulator->state, value->octets, (size_t)(end - value->octets)),
		    "further fields");
		return 0;
	}
	if (value->kind == STATE_BUFFER || value->kind == STATE_UNUSED)
		shown = octets_json(emulator->state, value->octets, value->size);
	else
		shown = json_hex(value->number);
	put_another(emulator->state, emulator->fields, shown, "%s", value->path);
	return 0;
}

static void put_emulator(struct state *state)
{
	const struct image_record *record =
		image_state_record(state->image, LAYER_LIBXL, LIBXL_EMULATOR_CONTEXT);
	uint8_t *body = body_of(state, record);
	struct emulator emulator = {.state = state};
	const struct savevm_list_callbacks callbacks = {emulator_element, emulator_value,
							&emulator};
	struct wire_emulator head;
	json_t *object;
	size_t octets;

	if (!body)
		return;
	object = put_object(state, state->root, "emulator");
	if (record->length >= sizeof(head)) {
		memcpy(&head, body, sizeof(head));
		octets = record->length - sizeof(head);
		emulator.data = body + sizeof(head);
		emulator.octets = octets;
		emulator.sections = json_object();
		put(state, object, json_integer(head.id), "id");
		put(state, object, json_integer(head.index), "index");
		/* Of an emulator that we do not know, or damaged: all of it as it is. */
		if (savevm_list(emulator.data, octets, &callbacks, NULL)) {
			json_decref(emulator.sections);
			put(state, object, octets_json(state, emulator.data, octets), "octets");
		} else {
			put(state, object, emulator.sections, "sections");
		}
	}
	free(body);
}

json_t *state_json(const struct image *image, struct image_error *err)
{
	struct state state = {.image = image, .err = err, .root = json_object()};

	put_headers(&state);
	put_records(&state);
	if (image->headers.guest_type == GUEST_X86_PV) {
		put_pv_vcpus(&state);
		put_shared_info(&state);
	} else {
		put_hvm_context(&state);
		put_hvm_params(&state);
	}
	put_tsc(&state);
	put_cpuid(&state);
	put_msrs(&state);
	put_config(&state);
	put_xenstore(&state);
	put_emulator(&state);
	if (!state.failed && !state.cannot)
		return state.root;
	json_decref(state.root);
	if (!state.cannot) {
		snprintf(err->text, sizeof(err->text), "%s: no memory for what it says",
			 image->path);
		err->offset = UINT64_MAX;
		errno = ENOMEM;
	}
	return NULL;
}
