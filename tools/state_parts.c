/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "state_parts.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "command.h"
#include "toolstack/xenstore_data.h"

#define LINE_OCTETS 16u
#define KEY_SIZE    (XENSTORE_KEY_MAX + 64)

static void key_text(char key[KEY_SIZE], const char *fmt, va_list args)
{
	vsnprintf(key, KEY_SIZE, fmt, args);
	for (char *c = key; *c; c++) {
		if (!isprint((unsigned char)*c))
			*c = '?';
	}
}

void state_put(struct state *state, json_t *object, json_t *value, const char *fmt, ...)
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

void state_put_another(struct state *state, json_t *object, json_t *value, const char *fmt, ...)
{
	char key[KEY_SIZE];
	va_list args;

	va_start(args, fmt);
	key_text(key, fmt, args);
	va_end(args);
	if (!json_object_get(object, key))
		state_put(state, object, value, "%s", key);
	else
		state_put(state, object, value, "%.*s #%zu", KEY_SIZE - 32, key,
			  free_number(object, key));
}

json_t *state_put_object(struct state *state, json_t *object, const char *key)
{
	json_t *member = json_object();

	state_put(state, object, member, "%s", key);
	return member;
}

json_t *state_checksum(struct state *state, const void *octets, size_t n)
{
	json_t *object = json_object();

	state_put(state, object, json_integer((json_int_t)n), "octets");
	state_put(state, object, json_hex(XXH3_64bits(octets, n)), "xxh3");
	return object;
}

json_t *state_octets(struct state *state, const void *octets, size_t n)
{
	const uint8_t *from = octets;
	json_t *lines;

	if (n > STATE_OCTETS_MAX || n > STATE_SHOWN_MAX - state->shown)
		return state_checksum(state, octets, n);
	state->shown += n;
	lines = json_object();
	for (size_t at = 0; at < n; at += LINE_OCTETS) {
		size_t some = n - at < LINE_OCTETS ? n - at : LINE_OCTETS;
		char text[3 * LINE_OCTETS + 1];

		for (size_t i = 0; i < some; i++)
			snprintf(text + 3 * i, 4, "%02x ", from[at + i]);
		text[3 * some - 1] = '\0';
		state_put(state, lines, json_string(text), "0x%04zx", at);
	}
	return lines;
}

void *state_body(struct state *state, const struct image_record *record)
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

const struct image_record *state_domain_record(const struct state *state, uint32_t type)
{
	return image_state_record(state->image, LAYER_DOMAIN, type);
}

static json_t *number_of(const uint8_t *at, size_t octets)
{
	uint64_t value = 0;

	memcpy(&value, at, octets);
	return json_hex(value);
}

json_t *state_registers(struct state *state, const struct register_layout *layout,
			const uint8_t *registers)
{
	json_t *object = json_object();

	for (size_t i = 0; i < layout->count; i++) {
		const struct register_field *field = &layout->fields[i];
		const uint8_t *at = registers + field->offset;

		if (field->octets > sizeof(uint64_t)) {
			state_put(state, object, state_octets(state, at, field->octets), "%s",
				  field->name);
			continue;
		}
		if (field->count == 1)
			state_put(state, object, number_of(at, field->octets), "%s", field->name);
		for (uint32_t k = 0; field->count > 1 && k < field->count; k++)
			state_put(state, object,
				  number_of(at + (size_t)k * field->octets, field->octets),
				  "%s[%u]", field->name, k);
	}
	return object;
}
