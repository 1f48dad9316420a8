/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "savevm_search.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "savevm.h"

/* No device has come near it; a false header in data mostly is far beyond. */
#define MAX_PLAUSIBLE_VERSION 0xffffu

/* QEMU counts sections from 0 up. So a table does, which no choice of ids can make slow. */
#define MAX_PLAUSIBLE_ID 0xffffu

/* An end of data. Places of one id are a list from the lowest offset up. */
struct search_place {
	size_t offset;
	size_t next;  /* 1 + index of the next higher of the same id, or NO_PLACE */
	size_t count; /* how many there are from here up */
};
#define NO_PLACE 0u

/* Without footers all places are under id 0. */
struct search_id {
	size_t lowest; /* 1 + index of its lowest place, or NO_PLACE */
	bool started;  /* a SECTION_START has it */
};

/* ---- places -------------------------------------------------------------------------------- */

static const struct search_place *place_at(const struct savevm_search *search, size_t place)
{
	return &search->places[place - 1];
}

static int add_place(struct savevm_search *search, uint32_t id, size_t offset)
{
	struct search_id *slot = &search->ids[id];
	size_t room = search->place_room ? search->place_room * 2 : 64;
	struct search_place *grown;

	if (search->place_count == search->place_room) {
		grown = realloc(search->places, room * sizeof(*grown));
		if (!grown)
			return -1;
		search->places = grown;
		search->place_room = room;
	}
	search->places[search->place_count++] = (struct search_place){
		.offset = offset,
		.next = slot->lowest,
		.count = 1 + (slot->lowest == NO_PLACE ? 0 : place_at(search, slot->lowest)->count),
	};
	slot->lowest = search->place_count;
	return 0;
}

/* The lowest place of this id from offset on, or NO_PLACE. */
static size_t place_from(const struct savevm_search *search, uint32_t id, size_t offset)
{
	size_t place = search->ids[id].lowest;

	while (place != NO_PLACE && place_at(search, place)->offset < offset)
		place = place_at(search, place)->next;
	return place;
}

/* ---- what may stand where ------------------------------------------------------------------ */

static uint32_t place_id(const struct savevm_search *search, uint32_t section_id)
{
	return search->kind == SEARCH_FOOTERS ? section_id : 0;
}

/* The section id that stands behind a type octet; more than MAX_PLAUSIBLE_ID if there is none. */
static uint32_t id_behind(const struct savevm_search *search, size_t at)
{
	return search->end - at < 5 ? UINT32_MAX : (uint32_t)octets_be(search->data + at + 1, 4);
}

/* START and FULL: the offset of the data if the header may be one, else 0. */
static size_t plausible_header(const struct savevm_search *search, size_t at)
{
	size_t left = search->end - at;
	const uint8_t *header = search->data + at;
	size_t length;

	if (left < 6)
		return search->cut ? search->end : 0;
	length = header[5];
	if (!length || id_behind(search, at) > MAX_PLAUSIBLE_ID)
		return 0;
	for (size_t i = 0; i < length && i < left - 6; i++) {
		if (header[6 + i] < 0x20 || header[6 + i] > 0x7e)
			return 0;
	}
	if (left < 14 + length)
		return search->cut ? search->end : 0;
	if (octets_be(header + 10 + length, 4) > MAX_PLAUSIBLE_VERSION)
		return 0;
	return at + 14 + length;
}

/* Whether a section with data from `from` on has an end. */
static bool section_ends(const struct savevm_search *search, uint32_t id, size_t from)
{
	return search->cut || place_from(search, place_id(search, id), from) != NO_PLACE;
}

static bool is_end(const struct savevm_search *search, size_t at)
{
	const uint8_t *eof = search->data + at;
	size_t left = search->end - at;

	if (left == 1 || search->cut)
		return left == 1 || eof[1] == SAVEVM_VMDESCRIPTION;
	return left >= 6 && eof[1] == SAVEVM_VMDESCRIPTION && octets_be(eof + 2, 4) == left - 6;
}

/* Whether the element behind an element that ends at `at` is one that leads to the end. leads has
 * a bit per octet of what was searched. */
static bool leads_on(const struct savevm_search *search, const uint8_t *leads, size_t at)
{
	if (at >= search->end)
		return at == search->end && (search->packaged || search->cut);
	at -= search->start;
	return leads[at / 8] >> at % 8 & 1;
}

static bool command_leads(const struct savevm_search *search, const uint8_t *leads, size_t at)
{
	const uint8_t *header = search->data + at;
	size_t left = search->end - at, length;
	unsigned command;
	int right;

	if (left < 5)
		return search->cut;
	command = (unsigned)octets_be(header + 1, 2);
	length = octets_be(header + 3, 2);
	right = savevm_command_length(command);
	if (right == -2 || command == SAVEVM_COMMAND_INVALID ||
	    (right >= 0 && length != (size_t)right))
		return false;
	if (left < 5 + length)
		return search->cut;
	length += 5;
	if (command == SAVEVM_COMMAND_PACKAGED)
		length += octets_be(header + 5, 4);
	return leads_on(search, leads, at + length);
}

static bool element_leads(const struct savevm_search *search, const uint8_t *leads, size_t at)
{
	uint32_t id = id_behind(search, at);
	size_t data_start;

	switch (search->data[at]) {
	case SAVEVM_EOF:
		return is_end(search, at);
	case SAVEVM_SECTION_START:
	case SAVEVM_SECTION_FULL:
		data_start = plausible_header(search, at);
		return data_start && section_ends(search, id, data_start);
	case SAVEVM_SECTION_PART:
	case SAVEVM_SECTION_END:
		if (search->end - at < 5)
			return search->cut;
		return id <= MAX_PLAUSIBLE_ID && search->ids[id].started &&
		       section_ends(search, id, at + 5);
	case SAVEVM_COMMAND:
		return command_leads(search, leads, at);
	default:
		return false;
	}
}

/* ---- the search ---------------------------------------------------------------------------- */

/* The ids that PART and END may have. */
static void find_started(struct savevm_search *search)
{
	for (size_t at = search->start; at < search->end; at++) {
		if (search->data[at] == SAVEVM_SECTION_START && search->end - at >= 6 &&
		    plausible_header(search, at))
			search->ids[id_behind(search, at)].started = true;
	}
}

/* Backwards, so that all that an element leads to is known when it is looked at. */
static int find_places(struct savevm_search *search, uint8_t *leads)
{
	for (size_t at = search->end; at-- > search->start;) {
		size_t bit = at - search->start;
		bool leads_here = element_leads(search, leads, at);

		if (leads_here)
			leads[bit / 8] |= (uint8_t)(1u << bit % 8);
		if (search->kind == SEARCH_NO_FOOTERS) {
			if (leads_here && add_place(search, 0, at) < 0)
				return -1;
		} else if (search->data[at] == SAVEVM_SECTION_FOOTER &&
			   id_behind(search, at) <= MAX_PLAUSIBLE_ID &&
			   leads_on(search, leads, at + 5) &&
			   add_place(search, id_behind(search, at), at) < 0) {
			return -1;
		}
	}
	return 0;
}

int savevm_search(struct savevm_search *search, const uint8_t *data, size_t start, size_t end,
		  enum savevm_search_kind kind, bool packaged, bool cut, struct xensr_ctx *ctx)
{
	uint8_t *leads = NULL;
	int rc = -1;

	*search = (struct savevm_search){
		.data = data,
		.start = start,
		.end = end,
		.kind = kind,
		.packaged = packaged,
		.cut = cut,
	};
	search->ids = calloc(MAX_PLAUSIBLE_ID + 1, sizeof(*search->ids));
	leads = calloc((end - start) / 8 + 1, 1);
	if (!search->ids || !leads)
		goto out;
	/* Without footers the end of a package that has no EOF ends its last section. */
	if (kind == SEARCH_NO_FOOTERS && packaged && add_place(search, 0, end) < 0)
		goto out;
	find_started(search);
	if (find_places(search, leads) < 0)
		goto out;
	search->leads = leads_on(search, leads, start);
	rc = 0;
out:
	free(leads);
	if (rc < 0) {
		savevm_search_release(search);
		ctx_fail(ctx, ENOMEM, "no memory to search for the ends of sections");
	}
	return rc;
}

void savevm_search_release(struct savevm_search *search)
{
	free(search->ids);
	free(search->places);
	search->ids = NULL;
	search->places = NULL;
	search->place_count = search->place_room = 0;
}

size_t savevm_search_end(struct savevm_search *search, size_t data_start, uint32_t id,
			 size_t *candidates)
{
	size_t place;

	*candidates = 0;
	id = place_id(search, id);
	if (!search->ids || id > MAX_PLAUSIBLE_ID)
		return SEARCH_NO_END;
	place = place_from(search, id, data_start);
	if (place == NO_PLACE)
		return SEARCH_NO_END;
	search->ids[id].lowest = place;
	*candidates = place_at(search, place)->count;
	return place_at(search, place)->offset;
}

bool savevm_search_confirms(struct savevm_search *search, size_t at, uint32_t id)
{
	size_t place;

	id = place_id(search, id);
	if (!search->ids || id > MAX_PLAUSIBLE_ID)
		return false;
	place = place_from(search, id, at);
	if (place == NO_PLACE || place_at(search, place)->offset != at)
		return false;
	search->ids[id].lowest = place;
	return true;
}
