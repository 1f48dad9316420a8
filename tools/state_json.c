/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "state_json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenctrl.h>

#include "command.h"
#include "record_text.h"
#include "state_parts.h"
#include "toolstack/libxl_record.h"
#include "toolstack/xenstore_data.h"

static void put_headers(struct state *state)
{
	const struct stream_headers *headers = &state->image->headers;
	json_t *object = state_put_object(state, state->root, "headers");

	state_put(state, object, json_string(headers->guest_type == GUEST_X86_PV ? "PV" : "HVM"),
		  "guest type");
	state_put(state, object, json_integer(headers->version), "version");
	state_put(state, object, json_sprintf("%u.%u", headers->xen_major, headers->xen_minor),
		  "Xen");
	if (headers->guest_type == GUEST_X86_PV)
		state_put(state, object, json_integer(state->image->guest_width), "guest width");
}

/* Which types of records there are; how often those of which each brings something of its own. */
static void put_records(struct state *state)
{
	const struct image *image = state->image;
	json_t *object = state_put_object(state, state->root, "records");

	for (size_t i = 0; i < image->record_count; i++) {
		const struct image_record *record = &image->records[i];
		char buffer[RECORD_NAME];

		if (record->checkpoint > image->selected || json_object_size(object) > 256)
			continue;
		state_put(state, object, json_true(), "%s",
			  record_name(record->layer, record->type, buffer));
	}
}

static void put_tsc(struct state *state)
{
	struct wire_x86_tsc_info *tsc =
		state_body(state, state_domain_record(state, REC_X86_TSC_INFO));
	json_t *object;

	if (!tsc)
		return;
	object = state_put_object(state, state->root, "tsc");
	state_put(state, object, json_integer(tsc->mode), "mode");
	state_put(state, object, json_integer(tsc->khz), "khz");
	state_put(state, object, json_hex(tsc->nsec), "nsec");
	state_put(state, object, json_integer(tsc->incarnation), "incarnation");
	free(tsc);
}

static void put_cpuid(struct state *state)
{
	const struct image_record *record = state_domain_record(state, REC_X86_CPUID_POLICY);
	xen_cpuid_leaf_t *leaf = state_body(state, record);
	json_t *object;
	size_t count;

	if (!leaf)
		return;
	object = state_put_object(state, state->root, "cpuid");
	count = record->length / sizeof(*leaf);
	for (size_t i = 0; i < count; i++) {
		char key[32];
		json_t *registers;

		snprintf(key, sizeof(key),
			 leaf[i].subleaf == XEN_CPUID_NO_SUBLEAF ? "%#x" : "%#x.%u", leaf[i].leaf,
			 leaf[i].subleaf);
		registers = state_put_object(state, object, key);
		state_put(state, registers, json_hex(leaf[i].a), "eax");
		state_put(state, registers, json_hex(leaf[i].b), "ebx");
		state_put(state, registers, json_hex(leaf[i].c), "ecx");
		state_put(state, registers, json_hex(leaf[i].d), "edx");
	}
	free(leaf);
}

static void put_msrs(struct state *state)
{
	const struct image_record *record = state_domain_record(state, REC_X86_MSR_POLICY);
	xen_msr_entry_t *msr = state_body(state, record);
	json_t *object;
	size_t count;

	if (!msr)
		return;
	object = state_put_object(state, state->root, "msrs");
	count = record->length / sizeof(*msr);
	for (size_t i = 0; i < count; i++)
		state_put(state, object, json_hex(msr[i].val), "%#x", msr[i].idx);
	free(msr);
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
		config = state_octets(state, text, strlen(text));
	state_put(state, state->root, config, "config");
}

static void put_xenstore(struct state *state)
{
	const struct image_record *record =
		image_state_record(state->image, LAYER_LIBXL, LIBXL_EMULATOR_XENSTORE_DATA);
	uint8_t *body = state_body(state, record);
	struct cursor at;
	const char *key, *value;
	json_t *object;
	size_t n = 0;

	if (!body)
		return;
	object = state_put_object(state, state->root, "xenstore");
	if (record->length > sizeof(struct wire_emulator)) {
		at = cursor_over(body + sizeof(struct wire_emulator),
				 record->length - sizeof(struct wire_emulator));
		while (n < STATE_ENTRIES_MAX && xenstore_data_next(&at, &key, &value)) {
			n++;
			/* Values are octets: what is no UTF-8 is shown as such. */
			json_t *text = json_string(value);

			state_put(state, object,
				  text ? text : state_octets(state, value, strlen(value)), "%s",
				  key);
		}
		if (n == STATE_ENTRIES_MAX && cursor_left(&at))
			state_put(state, object,
				  state_checksum(state, body + record->length - cursor_left(&at),
						 cursor_left(&at)),
				  "further entries");
	}
	free(body);
}

json_t *state_json(const struct image *image, struct image_error *err)
{
	struct state state = {.image = image, .err = err, .root = json_object()};

	put_headers(&state);
	put_records(&state);
	if (image->headers.guest_type == GUEST_X86_PV)
		state_put_pv(&state);
	else
		state_put_hvm(&state);
	put_tsc(&state);
	put_cpuid(&state);
	put_msrs(&state);
	put_config(&state);
	put_xenstore(&state);
	state_put_emulator(&state);
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
