/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "state_check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <xenctrl.h>
#include <xen/hvm/params.h>

#include "pages.h"
#include "pv_guest.h"
#include "toolstack/libxl_record.h"

static_assert(HVM_PARAM_MCA_CAP < STATE_PARAMS, "room for each parameter");

enum vcpu_record {
	VCPU_BASIC = 1u << 0,
	VCPU_EXTENDED = 1u << 1,
	VCPU_XSAVE = 1u << 2,
	VCPU_MSRS = 1u << 3,
};

static void forget_vcpus(struct state_check *state)
{
	for (unsigned id = 0; id <= VCPU_ID_MAX; id++) {
		free(state->registers[id]);
		state->registers[id] = NULL;
	}
	memset(state->vcpu, 0, sizeof(state->vcpu));
}

void state_check_release(struct state_check *state)
{
	pfn_map_release(&state->types);
	guest_memory_release(&state->memory);
	pv_tables_release(&state->tables);
	verify_data_release(&state->verify);
	forget_vcpus(state);
	free(state->p2m);
	state->p2m = NULL;
	state->nr_p2m = state->p2m_room = 0;
}

/* ---- memory ------------------------------------------------------------------------------------- */

static bool is_pv(const struct walk *walk)
{
	return walk->image->headers.guest_type == GUEST_X86_PV;
}

/* A PV guest's pfns lie below; UINT64_MAX where that is not known. */
static uint64_t pfn_end(const struct state_check *state)
{
	return state->p2m_end ? state->p2m_end : UINT64_MAX;
}

/* Levels of page tables that the guest has; the most there are, until that is known. */
static unsigned levels(const struct walk *walk)
{
	return pv_layout_of(walk->image->guest_width == 4 ? 4 : 8).levels;
}

/* A restore has no place for these. Told once for a record. */
static void check_pfns(const struct state_check *state, struct walk *walk,
		       const struct walk_record *record)
{
	uint64_t end = pfn_end(state), first = 0, count = 0;
	bool populated = false;

	for (uint32_t i = 0; i < record->place.count; i++) {
		uint64_t pfn = page_entry_pfn(record->entries[i]);

		populated |= page_type_is_populated(page_entry_type(record->entries[i]));
		if (pfn >= end && count++ == 0)
			first = pfn;
	}
	/* Records of nothing but holes may name any. */
	if (populated && count)
		walk_find(walk, WALK_ERROR,
			  "pfn %#" PRIx64 " is beyond the p2m, whose last is %#" PRIx64 " (%" PRIu64
			  " such entries)",
			  first, end - 1, count);
}

/*
 * What is read again is the file's: in a legacy image entries have another form, so that their pages'
 * places are kept at once.
 */
static int remember_pages(struct state_check *state, struct walk *walk,
			  const struct walk_record *record)
{
	bool at_once = walk->image->kind == IMAGE_LEGACY;
	uint32_t count = record->place.count;

	if ((is_pv(walk) || at_once) &&
	    guest_memory_take(&state->memory, record->entries, count, pfn_end(state)))
		return -1;
	if (!walk->source->seekable)
		return 0;
	if (at_once)
		return guest_memory_place(&state->memory, record->entries, count,
					  record->pages_offset);
	return guest_memory_note(&state->memory, record->pages_offset - count * sizeof(uint64_t),
				 count);
}

/* Find out where all pages are. */
static int find_pages(struct state_check *state, struct walk *walk)
{
	return guest_memory_index(&state->memory, walk->source, !is_pv(walk));
}

/* Page tables of a level that the guest has not are told once for a record. */
static int take_types(struct state_check *state, struct walk *walk,
		      const struct walk_record *record)
{
	bool narrow = is_pv(walk) && walk->image->guest_width == 4;
	const uint64_t *entries = record->entries;
	uint32_t count = record->place.count;
	unsigned run;

	for (uint32_t i = 0; i < count; i += run) {
		enum page_type type = page_entry_type(entries[i]);
		uint64_t pfn = page_entry_pfn(entries[i]);
		uint32_t before = 0;

		run = pfn_map_run(entries + i, count - i);
		if (pfn_map_change(&state->types, pfn, run, 15,
				   page_type_is_populated(type) ? type + 1u : 0,
				   is_pv(walk) ? &before : NULL))
			return -1;
		state->p2m_is_new |= type != PAGE_NORMAL && before >> (PAGE_NORMAL + 1) & 1;
		if (!narrow || page_type_level(type) <= pv_layout_of(4).levels)
			continue;
		walk_find(walk, WALK_ERROR,
			  "pfn %#" PRIx64 " is a level-%u page table; the guest has %u levels", pfn,
			  page_type_level(type), pv_layout_of(4).levels);
		narrow = false;
	}
	return 0;
}

static int take_pages(struct state_check *state, struct walk *walk,
		      const struct walk_record *record)
{
	if (!record->entries)
		return 0;
	if (is_pv(walk))
		check_pfns(state, walk, record);
	if (!state->verify.begun)
		return take_types(state, walk, record) || remember_pages(state, walk, record) ? -1
											      : 0;
	state->verify.pages += record->place.data_pages;
	return walk->source->seekable ? verify_data_take(&state->verify, &state->memory, record)
				      : 0;
}

uint32_t state_check_wanted(const struct state_check *state, const struct walk *walk,
			    const struct walk_record *record)
{
	bool all = state->verify.begun && walk->source->seekable;
	uint32_t types = 0;

	(void)record;
	if (!all && !is_pv(walk))
		return 0;
	for (unsigned t = 0; t < 16; t++) {
		unsigned level = page_type_level((enum page_type)t);

		if (all || (level && level <= levels(walk)))
			types |= 1u << t;
	}
	return types;
}

int state_check_page(struct state_check *state, struct walk *walk, const struct walk_record *record,
		     uint32_t entry, const uint8_t *octets)
{
	unsigned level;

	if (!octets) {
		pv_tables_tell(&state->tables, walk, pfn_end(state));
		return 0;
	}
	level = page_type_level(page_entry_type(record->entries[entry]));
	if (is_pv(walk) && level && level <= levels(walk) &&
	    pv_tables_take(&state->tables, walk, &state->memory,
			   page_entry_pfn(record->entries[entry]), level, octets, pfn_end(state),
			   state->verify.begun))
		return -1;
	if (!state->verify.begun || !walk->source->seekable)
		return 0;
	return verify_data_compare(&state->verify, walk->source, &state->memory,
				   record->entries[entry], octets);
}

/* ---- state -------------------------------------------------------------------------------------- */

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

	if (state->p2m_end < head->end_pfn + 1ull)
		state->p2m_end = head->end_pfn + 1ull;
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
	state->p2m_is_new = true;
	return 0;
}

static int keep_registers(struct state_check *state, const struct wire_x86_pv_vcpu *vcpu,
			  size_t octets)
{
	void *copy = calloc(1, sizeof(vcpu_guest_context_any_t));

	if (!copy)
		return -1;
	memcpy(copy, vcpu + 1,
	       octets < sizeof(vcpu_guest_context_any_t) ? octets
							 : sizeof(vcpu_guest_context_any_t));
	free(state->registers[vcpu->vcpu_id]);
	state->registers[vcpu->vcpu_id] = copy;
	return 0;
}

static int take_vcpu(struct state_check *state, struct walk *walk, const struct walk_record *record,
		     uint8_t kind)
{
	const struct wire_x86_pv_vcpu *vcpu = record->body;

	/* One that brings nothing is ignored. */
	if (record->place.length <= sizeof(*vcpu))
		return 0;
	if (state->vcpu[vcpu->vcpu_id] & kind)
		walk_find(walk, WALK_ERROR, "comes a second time for vcpu %u", vcpu->vcpu_id);
	state->vcpu[vcpu->vcpu_id] |= kind;
	return kind == VCPU_BASIC
		       ? keep_registers(state, vcpu, record->place.length - sizeof(*vcpu))
		       : 0;
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
		if (!pfn_map_get(&state->types, pfn))
			walk_find(walk, WALK_ERROR,
				  "the %s page is pfn %#" PRIx64 ", which the stream did not bring",
				  needed[i].name, pfn);
	}
}

/* Is `what` a page of one of these types (a mask) that the stream brought? If not, that is told. */
static bool check_frame(const struct state_check *state, struct walk *walk, const char *what,
			uint64_t pfn, uint32_t types)
{
	unsigned type = pfn_map_get(&state->types, pfn);

	if (type == 0)
		walk_find(walk, WALK_ERROR,
			  "%s is pfn %#" PRIx64 ", which the stream did not bring", what, pfn);
	else if (!(types >> (type - 1) & 1))
		walk_find(walk, WALK_ERROR, "%s is pfn %#" PRIx64 ", which is a page of type %#x",
			  what, pfn, type - 1);
	else
		return true;
	return false;
}

static void check_gdt(const struct state_check *state, struct walk *walk,
		      const struct pv_layout *layout, const vcpu_guest_context_any_t *context)
{
	uint64_t entries = PV_GET(layout, context, gdt_ents);

	if (entries > GDT_FRAMES_MAX * GDT_ENTRIES_IN_PAGE) {
		walk_find(walk, WALK_ERROR, "a GDT has %" PRIu64 " entries", entries);
		return;
	}
	for (uint64_t i = 0; i * GDT_ENTRIES_IN_PAGE < entries; i++) {
		if (!check_frame(state, walk, "a GDT", PV_GET(layout, context, gdt_frames[i]),
				 1u << PAGE_NORMAL))
			break;
	}
}

static void check_roots(const struct state_check *state, struct walk *walk,
			const struct pv_layout *layout, const vcpu_guest_context_any_t *context)
{
	uint32_t root_types = 1u << layout->levels | 1u << (layout->levels + 8);
	uint64_t cr1 = PV_GET(layout, context, ctrlreg[1]);

	(void)check_frame(state, walk, "CR3",
			  cr3_frame(layout, PV_GET(layout, context, ctrlreg[3])), root_types);
	if (layout->width == 4 || cr1 == 0)
		return;
	if (cr1 & CR1_VALID)
		(void)check_frame(state, walk, "a user page table", cr3_frame(layout, cr1),
				  root_types);
	else
		walk_find(walk, WALK_ERROR,
			  "a user page table is %#" PRIx64 ", which is not marked as valid", cr1);
}

static void check_vcpus(const struct state_check *state, struct walk *walk)
{
	struct pv_layout layout = pv_layout_of(walk->image->guest_width);
	bool any = false;

	for (unsigned id = 0; id <= VCPU_ID_MAX; id++) {
		const vcpu_guest_context_any_t *context = state->registers[id];

		any |= state->vcpu[id];
		if (state->vcpu[id] && !context)
			walk_find(walk, WALK_ERROR,
				  "the stream brought state of vcpu %u, but not its registers", id);
		if (!context)
			continue;
		check_gdt(state, walk, &layout, context);
		check_roots(state, walk, &layout, context);
	}
	if (any && !state->registers[0])
		walk_find(walk, WALK_ERROR, "the stream did not bring vcpu 0");
}

/* A checkpoint brings vcpus anew, but most often no p2m, which is large. */
static void check_p2m(struct state_check *state, struct walk *walk)
{
	for (size_t i = 0; state->p2m_is_new && i < state->nr_p2m; i++) {
		if (!check_frame(state, walk, "a page of the p2m", state->p2m[i],
				 1u << PAGE_NORMAL))
			break;
	}
	state->p2m_is_new = false;
}

/*
 * The start info as it came, all zeroes if vcpu 0 names none. Returns 1; 0 if the file cannot be sought,
 * -1 with source->ctx's error set.
 */
static int read_start_info(struct state_check *state, struct walk *walk, start_info_any_t *info)
{
	struct pv_layout layout = pv_layout_of(walk->image->guest_width);
	uint64_t offset;

	memset(info, 0, sizeof(*info));
	if (!walk->source->seekable) {
		state->unchecked |= STATE_START_INFO;
		return 0;
	}
	if (guest_memory_seek(&state->memory, walk->source,
			      PV_GET(&layout, (const vcpu_guest_context_any_t *)state->registers[0],
				     user_regs.edx),
			      &offset))
		return -1;
	if (offset && source_read_again(walk->source, info, sizeof(*info), offset))
		return -1;
	return 1;
}

/* The pages that it names. */
static int check_start_info(struct state_check *state, struct walk *walk)
{
	struct pv_layout layout = pv_layout_of(walk->image->guest_width);
	const vcpu_guest_context_any_t *context = state->registers[0];
	start_info_any_t info;
	int rc;

	if (!context || !check_frame(state, walk, "the start info",
				     PV_GET(&layout, context, user_regs.edx), 1u << PAGE_NORMAL))
		return 0;
	rc = read_start_info(state, walk, &info);
	if (rc <= 0)
		return rc;
	(void)check_frame(state, walk, "the xenstore page", PV_GET(&layout, &info, store_mfn),
			  1u << PAGE_NORMAL);
	(void)check_frame(state, walk, "the console page", PV_GET(&layout, &info, console.domU.mfn),
			  1u << PAGE_NORMAL);
	return 0;
}

static int check_pv_state(struct state_check *state, struct walk *walk)
{
	pv_tables_tell_missing(&state->tables, walk, &state->memory);
	/* That has been told, and of its vcpus and p2m nothing was taken. */
	if (walk->image->guest_width != 4 && walk->image->guest_width != 8)
		return 0;
	if (check_start_info(state, walk))
		return -1;
	check_vcpus(state, walk);
	check_p2m(state, walk);
	return 0;
}

/* END or CHECKPOINT: the state must hold together. The next checkpoint brings some of it anew. */
static int check_state(struct state_check *state, struct walk *walk)
{
	int rc = 0;

	if (walk->image->headers.guest_type == GUEST_X86_HVM)
		check_hvm_state(state, walk);
	else
		rc = check_pv_state(state, walk);
	memset(state->have_param, 0, sizeof(state->have_param));
	forget_vcpus(state);
	return rc;
}

/* ---- verify data -------------------------------------------------------------------------------- */

static int begin_verify(struct state_check *state, struct walk *walk)
{
	state->verify.begun = true;
	if (walk->source->seekable)
		return find_pages(state, walk);
	state->unchecked |= STATE_VERIFY_DATA;
	return 0;
}

static int remade_hvm_pages(const struct state_check *state, uint64_t pfns[VERIFY_REMADE])
{
	static const unsigned rings[VERIFY_REMADE] = {HVM_PARAM_STORE_PFN, HVM_PARAM_IOREQ_PFN,
						      HVM_PARAM_BUFIOREQ_PFN,
						      HVM_PARAM_CONSOLE_PFN};
	int n = 0;

	for (unsigned i = 0; i < VERIFY_REMADE; i++) {
		if (state->have_param[rings[i]] && state->param[rings[i]])
			pfns[n++] = state->param[rings[i]];
	}
	return n;
}

static int remade_pv_pages(struct state_check *state, struct walk *walk,
			   uint64_t pfns[VERIFY_REMADE])
{
	struct pv_layout layout;
	start_info_any_t info;
	int rc;

	/* There are registers only of guests whose width is known. */
	if (!state->registers[0])
		return 0;
	layout = pv_layout_of(walk->image->guest_width);
	rc = read_start_info(state, walk, &info);
	if (rc <= 0)
		return rc;
	pfns[0] = PV_GET(&layout, &info, store_mfn);
	pfns[1] = PV_GET(&layout, &info, console.domU.mfn);
	return 2;
}

/* What the guest talks to its toolstack over is made anew, and may differ. */
static int end_verify(struct state_check *state, struct walk *walk)
{
	uint64_t remade[VERIFY_REMADE];
	int n;

	if (!state->verify.begun)
		return 0;
	n = is_pv(walk) ? remade_pv_pages(state, walk, remade) : remade_hvm_pages(state, remade);
	if (n < 0)
		return -1;
	verify_data_tell(&state->verify, walk, remade, (unsigned)n);
	return 0;
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
	if (record->place.type == REC_PAGE_DATA)
		return take_pages(state, walk, record);
	if (!record->good) {
		/* Where a p2m ends that was refused, nobody knows. */
		if (record->place.type == REC_X86_PV_P2M_FRAMES)
			state->p2m_end = UINT64_MAX;
		return 0;
	}
	switch (record->place.type) {
	case REC_HVM_PARAMS:
		take_params(state, record);
		return 0;
	case REC_X86_PV_P2M_FRAMES:
		return take_p2m(state, walk, record);
	case REC_X86_PV_VCPU_BASIC:
		return take_vcpu(state, walk, record, VCPU_BASIC);
	case REC_X86_PV_VCPU_EXTENDED:
		return take_vcpu(state, walk, record, VCPU_EXTENDED);
	case REC_X86_PV_VCPU_XSAVE:
		return take_vcpu(state, walk, record, VCPU_XSAVE);
	case REC_X86_PV_VCPU_MSRS:
		return take_vcpu(state, walk, record, VCPU_MSRS);
	case REC_VERIFY:
		return begin_verify(state, walk);
	case REC_END:
		if (end_verify(state, walk))
			return -1;
		/* After a checkpoint it closes the stream and no state. */
		return walk->checkpoints ? 0 : check_state(state, walk);
	case REC_CHECKPOINT:
		return check_state(state, walk);
	default:
		return 0;
	}
}
