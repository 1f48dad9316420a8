/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "emulator_state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "savevm_list.h"
#include "toolstack/libxl_record.h"

#define EMULATOR_QEMU_UPSTREAM 2u

/* Octets of a field that is no number, shown in hexadecimal. */
#define SHOWN_OCTETS 16u

bool emulator_state_is_known(const struct walk_record *record)
{
	struct wire_emulator head;

	if (record->place.layer != LAYER_LIBXL || record->place.type != LIBXL_EMULATOR_CONTEXT ||
	    !record->good)
		return false;
	memcpy(&head, record->body, sizeof(head));
	return head.id == EMULATOR_QEMU_UPSTREAM;
}

static const uint8_t *container(const struct walk_record *record)
{
	return (const uint8_t *)record->body + sizeof(struct wire_emulator);
}

static size_t container_octets(const struct walk_record *record)
{
	return record->place.length - sizeof(struct wire_emulator);
}

/*
 * What the container says of its fields is for people; a restore does not read it. That it is no device
 * of those that we can describe is not the container's fault.
 */
static int check_element(void *data, const struct savevm_listed *listed)
{
	const struct savevm_element *element = &listed->element;
	const char *kind = savevm_kind_name(element->kind);

	if (listed->misdescribed)
		walk_find(data, WALK_WARNING, "in the device model's state, %s at offset %zu: %s",
			  kind ? kind : "unknown", element->offset, listed->note);
	return 0;
}

int emulator_state_check(struct walk *walk, const struct walk_record *record)
{
	const struct savevm_list_callbacks callbacks = {.element = check_element, .data = walk};
	struct xensr_error err;

	if (!savevm_list(container(record), container_octets(record), &callbacks, &err))
		return 0;
	if (errno == ENOMEM)
		return -1;
	walk_find(walk, WALK_ERROR, "in the device model's state, %s", err.text);
	return 0;
}

struct describing {
	struct record_text *text;
	uint64_t start; /* of the container, octets from the start of the file */
	bool fields;
	unsigned sections;
};

static const char *element_text(char *line, size_t size, const struct savevm_listed *listed)
{
	const struct savevm_element *element = &listed->element;
	const char *name;

	switch (element->kind) {
	case SAVEVM_SECTION_START:
	case SAVEVM_SECTION_PART:
	case SAVEVM_SECTION_END:
	case SAVEVM_SECTION_FULL:
		snprintf(line, size, "%s, instance %u, version %u, id %u; its end is known by: %s",
			 element->section.idstr, element->section.instance_id,
			 element->section.version_id, element->section.id,
			 savevm_end_name(listed->end));
		break;
	case SAVEVM_CONFIGURATION:
		snprintf(line, size, "machine %.*s", (int)element->length,
			 (const char *)element->octets);
		break;
	case SAVEVM_COMMAND:
		name = savevm_command_name(element->command);
		snprintf(line, size, "%s", name ? name : "unknown");
		break;
	default:
		*line = '\0';
		break;
	}
	return line;
}

static int describe_element(void *data, const struct savevm_listed *listed)
{
	struct describing *work = data;
	const char *name = savevm_kind_name(listed->element.kind);
	char line[SAVEVM_NAME_SIZE + SAVEVM_MAX_MACHINE_NAME + 512];
	size_t at;

	element_text(line, sizeof(line), listed);
	at = strlen(line);
	if (listed->note && !listed->described)
		snprintf(line + at, sizeof(line) - at, "%s%s", at ? "; " : "", listed->note);
	work->sections += listed->element.kind == SAVEVM_SECTION_FULL ||
			  listed->element.kind == SAVEVM_SECTION_START;
	return record_text_part(work->text, name ? name : "unknown", line,
				work->start + listed->element.offset, listed->length);
}

static const char *value_text(char *line, size_t size, const struct state_value *value)
{
	size_t at = 0;

	*line = 0;
	switch (value->kind) {
	case STATE_BUFFER:
	case STATE_UNUSED:
		for (size_t i = 0; i < value->size && i < SHOWN_OCTETS && at < size; i++)
			at += (size_t)snprintf(line + at, size - at, "%s%02x", i ? " " : "",
					       value->octets[i]);
		if (value->size > SHOWN_OCTETS && at < size)
			snprintf(line + at, size - at, " ...");
		break;
	case STATE_TIMER:
		if (value->number == UINT64_MAX)
			snprintf(line, size, "not armed");
		else
			snprintf(line, size, "%" PRIu64 " ns", value->number);
		break;
	case STATE_S8:
	case STATE_S16:
	case STATE_S32:
	case STATE_S64:
		snprintf(line, size, "%" PRId64, (int64_t)value->number);
		break;
	default:
		snprintf(line, size, "%#" PRIx64, value->number);
		break;
	}
	return line;
}

static int describe_value(void *data, const struct savevm_listed *listed,
			  const struct state_value *value)
{
	struct describing *work = data;
	char line[SHOWN_OCTETS * 3 + 16];

	(void)listed;
	if (!work->fields)
		return 0;
	return record_text_part(work->text, value->path, value_text(line, sizeof(line), value),
				work->start + value->offset, value->size);
}

int emulator_state_describe(struct record_text *text, const struct walk_record *record, bool fields)
{
	struct describing work = {
		.text = text,
		.start = record->place.offset + sizeof(struct wire_record_header) +
			 sizeof(struct wire_emulator),
		.fields = fields,
	};
	const struct savevm_list_callbacks callbacks = {
		.element = describe_element,
		.value = describe_value,
		.data = &work,
	};
	struct xensr_error err;
	size_t at = strlen(text->line);

	if (savevm_list(container(record), container_octets(record), &callbacks, &err)) {
		if (errno != EBADMSG && errno != EPROTONOSUPPORT)
			return -1;
		return record_text_part(text, "damaged", err.text, 0, UINT64_MAX);
	}
	snprintf(text->line + at, sizeof(text->line) - at, ", %u sections", work.sections);
	return 0;
}
