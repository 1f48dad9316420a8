/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "state_check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <xen/xen.h>
#include <xen/hvm/params.h>

#include "pages.h"
#include "toolstack/libxl_record.h"

static_assert(HVM_PARAM_MCA_CAP < STATE_PARAMS, "room for each parameter");

enum vcpu_record {
	VCPU_BASIC = 1u << 0,
	VCPU_EXTENDED = 1u << 1,
	VCPU_XSAVE = 1u << 2,
	VCPU_MSRS = 1u << 3,
};

void state_check_release(struct state_check *state)
{
	pfn_set_release(&state->populated);
	free(state->p2m);
	state->p2m = NULL;
	state->nr_p2m = state->p2m_room = 0;
}

/* The pfns first … first + 63: those of `gone` lose their memory, those of `come` get some. */
static int take_word(struct pfn_set *populated, uint64_t first, uint64_t come, uint64_t gone)
{
	if (gone && pfn_set_has_any(populated, first, 64)) {
		for (unsigned bit = 0; bit < 64; bit++) {
			if (gone >> bit & 1)
				pfn_set_remove(populated, first + bit);
		}
	}
	return come ? pfn_set_add_word(populated, first, come) : 0;
}

/* Entries come by the million, mostly in ascending order: a word at a time. */
static int take_pages(struct state_check *state, const struct walk_record *record)
{
	const uint64_t *entries = record->entries;
	uint32_t count = entries ? record->place.count : 0;

	for (uint32_t i = 0; i < count;) {
		uint64_t first = page_entry_pfn(entries[i]) & ~63ull;
		uint64_t come = 0, gone = 0;

		for (; i < count && (page_entry_pfn(entries[i]) & ~63ull) == first; i++) {
			uint64_t bit = 1ull << (page_entry_pfn(entries[i]) & 63);
			bool populated = page_type_is_populated(page_entry_type(entries[i]));

			come = populated ? come | bit : come & ~bit;
			gone = populated ? gone & ~bit : gone | bit;
		}
		if (take_word(&state->populated, first, come, gone))
			return -1;
	}
	return 0;
}

static void take_params(struct state_check *state, const struct walk_record *record)
{
	const struct wire_hvm_params *params = record->body;
	uint32_t count = record->place.length < sizeof(*params) ? 0 : params->count;

	for (uint32_t i = 0; i < count; i++) {
		if (params->param[i].index >= STATE_PARAMS)
			continue;
		state->have_param[params->param[i].index] = true;
		state->param[params->param[i].index] = params->param[i].value;
	}
	state->have_params |= count > 0;
}

/* The frames of start … end; a gap before them is told, and stays unknown. */
static int take_p2m(struct state_check *state, struct walk *walk, const struct walk_record *record)
{
	const struct wire_x86_pv_p2m_frames *head = record->body;
	uint64_t in_page = PAGE_OCTETS / walk->image->guest_width;
	size_t first = head->start_pfn / in_page;
	size_t end = head->end_pfn / in_page + 1;
	const uint64_t *frames = (const uint64_t *)(head + 1);

	if (first > 0 && state->nr_p2m == 0) {
		walk_find(walk, WALK_ERROR, "begins at pfn %#x, not at 0", head->start_pfn);
		return 0;
	}
	if (first > state->nr_p2m) {
		walk_find(walk, WALK_ERROR,
			  "begins at pfn %#x and leaves a gap behind pfn %#" PRIx64,
			  head->start_pfn, state->nr_p2m * in_page - 1);
		return 0;
	}
	/* There are end - first entries in the record, so this follows the file's size. */
	if (end > state->p2m_room) {
		uint64_t *more = reallocarray(state->p2m, end, sizeof(*more));

		if (!more)
			return -1;
		state->p2m = more;
		state->p2m_room = end;
	}
	memcpy(state->p2m + first, frames, (end - first) * sizeof(*frames));
	if (end > state->nr_p2m)
		state->nr_p2m = end;
	return 0;
}

static void take_vcpu(struct state_check *state, struct walk *walk,
		      const struct walk_record *record, uint8_t kind)
{
	const struct wire_x86_pv_vcpu *vcpu = record->body;

	/* One that brings nothing is ignored. */
	if (record->place.length <= sizeof(*vcpu))
		return;
	if (state->vcpu[vcpu->vcpu_id] & kind)
		walk_find(walk, WALK_ERROR, "comes a second time for vcpu %u", vcpu->vcpu_id);
	state->vcpu[vcpu->vcpu_id] |= kind;
}

static void check_hvm_state(const struct state_check *state, struct walk *walk)
{
	static const struct {
		unsigned index;
		const char *name;
	} needed[] = {
		{HVM_PARAM_STORE_PFN, "xenstore"},
		{HVM_PARAM_CONSOLE_PFN, "console"},
	};

	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++) {
		uint64_t pfn = state->param[needed[i].index];

		/* A saver leaves out parameters that are 0. */
		if (!state->have_param[needed[i].index] || pfn == 0)
			continue;
		if (pfn >= PFN_LIMIT_X86 || !pfn_set_has(&state->populated, pfn))
			walk_find(walk, WALK_ERROR,
				  "the %s page is pfn %#" PRIx64 ", which the stream did not bring",
				  needed[i].name, pfn);
	}
}

static void check_pv_state(const struct state_check *state, struct walk *walk)
{
	bool any = false;

	for (size_t i = 0; i < state->nr_p2m; i++) {
		if (state->p2m[i] >= PFN_LIMIT_X86 ||
		    !pfn_set_has(&state->populated, state->p2m[i])) {
			walk_find(walk, WALK_ERROR,
				  "a page of the p2m is pfn %#" PRIx64
				  ", which the stream did not bring",
				  state->p2m[i]);
			break;
		}
	}
	for (unsigned id = 0; id <= VCPU_ID_MAX; id++) {
		any |= state->vcpu[id];
		if (state->vcpu[id] && !(state->vcpu[id] & VCPU_BASIC))
			walk_find(walk, WALK_ERROR,
				  "the stream brought state of vcpu %u, but not its registers", id);
	}
	if (any && !(state->vcpu[0] & VCPU_BASIC))
		walk_find(walk, WALK_ERROR, "the stream did not bring vcpu 0");
}

/* END or CHECKPOINT: the state must hold together. The next checkpoint brings some of it anew. */
static void check_state(struct state_check *state, struct walk *walk)
{
	if (walk->image->headers.guest_type == GUEST_X86_HVM)
		check_hvm_state(state, walk);
	else
		check_pv_state(state, walk);
	memset(state->have_param, 0, sizeof(state->have_param));
	memset(state->vcpu, 0, sizeof(state->vcpu));
}

/* ---- the toolstack's part ----------------------------------------------------------------------- */

/*
 * As xl writes it: c_info.type is "pv", "hvm" or "pvh". Before Xen 4.10 a PVH domain was an "hvm" one
 * whose b_info.device_model_version is "none", or a "pv" one.
 */
static enum device_model config_device_model(const struct image *image)
{
	enum device_model answer = DEVICE_MODEL_UNKNOWN;
	const char *type, *version;
	json_t *config;

	if (!image->config || !image->config_is_json)
		return answer;
	config = json_loads(image->config, 0, NULL);
	type = json_string_value(json_object_get(json_object_get(config, "c_info"), "type"));
	version = json_string_value(
		json_object_get(json_object_get(config, "b_info"), "device_model_version"));
	if (type && !strcmp(type, "pvh"))
		answer = DEVICE_MODEL_NONE;
	else if (type && !strcmp(type, "hvm") && !(version && !strcmp(version, "none")))
		answer = DEVICE_MODEL_NEEDED;
	json_decref(config);
	return answer;
}

static void check_libxl(struct state_check *state, struct walk *walk, uint32_t type)
{
	if (!state->asked_device_model)
		state->device_model = config_device_model(walk->image);
	state->asked_device_model = true;
	switch (type) {
	case LIBXL_EMULATOR_XENSTORE_DATA:
	case LIBXL_EMULATOR_CONTEXT:
		if (state->device_model == DEVICE_MODEL_NONE)
			walk_find(walk, WALK_ERROR,
				  "does not belong to a PVH guest, which is what the configuration "
				  "says it is");
		break;
	case LIBXL_END:
	case LIBXL_CHECKPOINT_END:
		if (state->device_model == DEVICE_MODEL_NEEDED &&
		    walk->image->headers.guest_type == GUEST_X86_HVM &&
		    !(walk->libxl_seen >> LIBXL_EMULATOR_CONTEXT & 1))
			walk_find(walk, WALK_ERROR,
				  "the image is incomplete, there was no EMULATOR_CONTEXT");
		break;
	default:
		break;
	}
}

int state_check_record(struct state_check *state, struct walk *walk,
		       const struct walk_record *record)
{
	if (record->place.layer == LAYER_LIBXL) {
		if (record->known)
			check_libxl(state, walk, record->place.type);
		return 0;
	}
	/* Out of order or not, what it brought is there. */
	if (record->place.type == REC_PAGE_DATA && state->verifying) {
		state->verify_pages += record->place.data_pages;
		return 0;
	}
	if (record->place.type == REC_PAGE_DATA)
		return take_pages(state, record);
	if (!record->good)
		return 0;
	switch (record->place.type) {
	case REC_HVM_PARAMS:
		take_params(state, record);
		break;
	case REC_X86_PV_P2M_FRAMES:
		return take_p2m(state, walk, record);
	case REC_X86_PV_VCPU_BASIC:
		take_vcpu(state, walk, record, VCPU_BASIC);
		break;
	case REC_X86_PV_VCPU_EXTENDED:
		take_vcpu(state, walk, record, VCPU_EXTENDED);
		break;
	case REC_X86_PV_VCPU_XSAVE:
		take_vcpu(state, walk, record, VCPU_XSAVE);
		break;
	case REC_X86_PV_VCPU_MSRS:
		take_vcpu(state, walk, record, VCPU_MSRS);
		break;
	case REC_VERIFY:
		state->verifying = true;
		break;
	case REC_END:
		if (state->verifying && state->verify_pages == 0)
			walk_find(walk, WALK_ERROR, "verify data was promised, and none came");
		/* After a checkpoint it closes the stream and no state. */
		if (walk->checkpoints == 0)
			check_state(state, walk);
		break;
	case REC_CHECKPOINT:
		check_state(state, walk);
		break;
	default:
		break;
	}
	return 0;
}
