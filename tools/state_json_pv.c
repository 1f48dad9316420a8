/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "state_parts.h"

#include <stdlib.h>

#include <xenctrl.h>

#include "command.h"
#include "record_text.h"

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
		state_put(state, registers, state_registers(state, layout, data), "vcpu %u",
			  vcpu->vcpu_id);
		return;
	}
	if (type != REC_X86_PV_VCPU_MSRS) {
		object = state_octets(state, data, octets);
	} else {
		object = json_object();
		for (size_t i = 0; i < octets / sizeof(*msr) && i < STATE_ENTRIES_MAX; i++)
			state_put(state, object, json_hex(msr[i].value), "%#x", msr[i].index);
	}
	state_put(state, others, object, "vcpu %u %s", vcpu->vcpu_id,
		  record_name(LAYER_DOMAIN, type, buffer));
}

static void put_vcpus(struct state *state)
{
	static const uint32_t types[] = {REC_X86_PV_VCPU_BASIC, REC_X86_PV_VCPU_EXTENDED,
					 REC_X86_PV_VCPU_XSAVE, REC_X86_PV_VCPU_MSRS};
	json_t *registers = state_put_object(state, state->root, "registers");
	json_t *others = state_put_object(state, state->root, "vcpus");

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		const struct image_record *record = NULL;

		while ((record = image_next_record(state->image, record, LAYER_DOMAIN, types[i]))) {
			struct wire_x86_pv_vcpu *vcpu = state_body(state, record);

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
	const struct image_record *record = state_domain_record(state, REC_SHARED_INFO);
	void *body = state_body(state, record);

	if (body)
		state_put(state, state->root, state_octets(state, body, record->length),
			  "shared_info");
	free(body);
}

void state_put_pv(struct state *state)
{
	put_vcpus(state);
	put_shared_info(state);
}
