/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "state_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <xenctrl.h>
#include <xen/hvm/save.h>

#include "command.h"
#include "hvm_context.h"
#include "record_text.h"

/* Registers, and the other entries by their types. */
static void put_hvm_context(struct state *state)
{
	const struct image_record *record = state_domain_record(state, REC_HVM_CONTEXT);
	void *body = state_body(state, record);
	struct hvm_entry entry;
	json_t *registers, *others;
	size_t at = 0, n = 0;

	if (!body)
		return;
	registers = state_put_object(state, state->root, "registers");
	others = state_put_object(state, state->root, "hvm_context");
	while (n < STATE_ENTRIES_MAX && hvm_context_next(body, record->length, &at, &entry)) {
		const char *name = hvm_context_type_name(entry.type);
		char number[16];

		n++;
		if (entry.type == HVM_SAVE_CODE(CPU) && entry.octets == registers_hvm.octets) {
			state_put(state, registers,
				  state_registers(state, &registers_hvm, entry.data), "vcpu %u",
				  entry.instance);
			continue;
		}
		snprintf(number, sizeof(number), "type %u", entry.type);
		state_put_another(state, others, state_octets(state, entry.data, entry.octets),
				  "%s %u", name ? name : number, entry.instance);
	}
	if (n == STATE_ENTRIES_MAX)
		state_put(state, others,
			  state_checksum(state, (uint8_t *)body + at, record->length - at),
			  "further entries");
	free(body);
}

static void put_hvm_params(struct state *state)
{
	const struct image_record *record = state_domain_record(state, REC_HVM_PARAMS);
	struct wire_hvm_params *params = state_body(state, record);
	json_t *object;

	if (!params)
		return;
	object = state_put_object(state, state->root, "hvm_params");
	for (uint32_t i = 0; i < params->count; i++) {
		const struct wire_hvm_param *param = &params->param[i];
		const char *name = hvm_param_name(param->index);

		if (name)
			state_put(state, object, json_hex(param->value), "%s", name);
		else
			state_put(state, object, json_hex(param->value), "%#" PRIx64, param->index);
	}
	free(params);
}

void state_put_hvm(struct state *state)
{
	put_hvm_context(state);
	put_hvm_params(state);
}
