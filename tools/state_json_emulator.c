/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "state_parts.h"

#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "savevm_list.h"
#include "toolstack/libxl_record.h"

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
		state_put(emulator->state, emulator->sections,
			  state_checksum(emulator->state, emulator->data + listed->element.offset,
					 emulator->octets - listed->element.offset),
			  "further sections");
		return 0;
	}
	object = json_object();
	state_put(emulator->state, object, json_integer(section->version_id), "version");
	if (listed->described)
		emulator->fields = state_put_object(emulator->state, object, "fields");
	else
		state_put(emulator->state, object,
			  state_octets(emulator->state, emulator->data + listed->data_offset,
				       listed->data_length),
			  "octets");
	state_put_another(emulator->state, emulator->sections, object, "%s %u", section->idstr,
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
		state_put(emulator->state, emulator->fields,
			  state_checksum(emulator->state, value->octets,
					 (size_t)(end - value->octets)),
			  "further fields");
		return 0;
	}
	if (value->kind == STATE_BUFFER || value->kind == STATE_UNUSED)
		shown = state_octets(emulator->state, value->octets, value->size);
	else
		shown = json_hex(value->number);
	state_put_another(emulator->state, emulator->fields, shown, "%s", value->path);
	return 0;
}

void state_put_emulator(struct state *state)
{
	const struct image_record *record =
		image_state_record(state->image, LAYER_LIBXL, LIBXL_EMULATOR_CONTEXT);
	uint8_t *body = state_body(state, record);
	struct emulator emulator = {.state = state};
	const struct savevm_list_callbacks callbacks = {emulator_element, emulator_value,
							&emulator};
	struct wire_emulator head;
	json_t *object;
	size_t octets;

	if (!body)
		return;
	object = state_put_object(state, state->root, "emulator");
	if (record->length >= sizeof(head)) {
		memcpy(&head, body, sizeof(head));
		octets = record->length - sizeof(head);
		emulator.data = body + sizeof(head);
		emulator.octets = octets;
		emulator.sections = json_object();
		state_put(state, object, json_integer(head.id), "id");
		state_put(state, object, json_integer(head.index), "index");
		/* Of an emulator that we do not know, or damaged: all of it as it is. */
		if (savevm_list(emulator.data, octets, &callbacks, NULL)) {
			json_decref(emulator.sections);
			state_put(state, object, state_octets(state, emulator.data, octets),
				  "octets");
		} else {
			state_put(state, object, emulator.sections, "sections");
		}
	}
	free(body);
}
