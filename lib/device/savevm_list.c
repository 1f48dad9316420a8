/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "savevm_list.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "known_devices.h"
#include "savevm_search.h"
#include "vmdescription.h"

/* So often may a VMDESCRIPTION not fit before it is taken for a lie: each time costs a pass over
 * what is left of the octets. */
#define MAX_MISFITS 16u

struct list {
	const uint8_t *data;
	size_t size;
	const struct savevm_list_callbacks *callbacks;
	struct xensr_ctx *ctx;

	struct vmdescription vmdescription; /* no devices if there is none */
	size_t next_device;                 /* of it; sections come in its order */
	unsigned misfits;
	char vmdescription_note[128];

	struct savevm_listed listed; /* at work */
	char note[256];
};

/* A stream: the container, or what a PACKAGED command has. */
struct stream {
	struct savevm_reader reader;
	struct savevm_search search;
	bool searched;
	unsigned depth;
};

const char *savevm_end_name(enum savevm_end end)
{
	static const char *const names[] = {
		[SAVEVM_END_FORMAT] = "length",
		[SAVEVM_END_VMDESCRIPTION] = "vmdescription",
		[SAVEVM_END_KNOWN_DEVICE] = "known device",
		[SAVEVM_END_FOOTER] = "footer",
		[SAVEVM_END_NEXT_ELEMENT] = "next element",
	};

	return names[end];
}

/* ---- the VMDESCRIPTION --------------------------------------------------------------------- */

/* Read it ahead of all others, if the octets end with one: EOF, type, length, JSON text. */
static int find_vmdescription(struct list *list)
{
	const struct xensr_reports none = {0};
	struct xensr_ctx trial;
	size_t least = SAVEVM_HEADER_OCTETS;
	size_t at;

	if (list->size > SAVEVM_MAX_VMDESCRIPTION + 6 + least)
		least = list->size - SAVEVM_MAX_VMDESCRIPTION - 6;
	for (at = list->size < 6 ? 0 : list->size - 5; at-- > least;) {
		const uint8_t *eof = list->data + at;
		size_t length = list->size - at - 6;

		if (eof[0] != SAVEVM_EOF || eof[1] != SAVEVM_VMDESCRIPTION ||
		    octets_be(eof + 2, 4) != length)
			continue;
		ctx_init(&trial, -1, &none);
		if (vmdescription_parse(&list->vmdescription, (const char *)eof + 6, length,
					&trial) == 0)
			return 0;
		if (trial.err.errnum == ENOMEM)
			return ctx_fail(list->ctx, ENOMEM, "no memory for its VMDESCRIPTION");
		snprintf(list->vmdescription_note, sizeof(list->vmdescription_note), "%.*s",
			 (int)sizeof(list->vmdescription_note) - 1, trial.err.text);
		return 0;
	}
	return 0;
}

static const struct vmdescription_device *next_described(struct list *list,
							 const struct savevm_section *section)
{
	const struct vmdescription *all = &list->vmdescription;

	for (size_t i = list->next_device; i < all->device_count; i++) {
		if (all->devices[i].instance_id == section->instance_id &&
		    !strcmp(all->devices[i].idstr, section->idstr)) {
			list->next_device = i + 1;
			return &all->devices[i];
		}
	}
	list->misfits++;
	return NULL;
}

/* ---- where a section ends ------------------------------------------------------------------ */

static int search(struct list *list, struct stream *stream, enum savevm_search_kind kind, bool cut)
{
	savevm_search_release(&stream->search);
	return savevm_search(&stream->search, list->data, list->listed.element.offset,
			     stream->reader.in.len, kind, stream->reader.packaged, cut, list->ctx);
}

/* Whether a footer closes the section at work. */
static bool has_footer(struct list *list, struct stream *stream)
{
	size_t candidates;

	return savevm_search_end(&stream->search, list->listed.data_offset,
				 list->listed.element.section.id, &candidates) != SEARCH_NO_END;
}

/*
 * Choose how to search from the first section on: with footers if that leads to the end. If it does not
 * and the section has one, the octets are cut or damaged; what is whole can still be told. Else there are
 * no footers; then, too, there may be no way to the end.
 */
static int begin_search(struct list *list, struct stream *stream)
{
	stream->searched = true;
	if (search(list, stream, SEARCH_FOOTERS, false) < 0)
		return -1;
	if (stream->search.leads)
		return 0;
	if (search(list, stream, SEARCH_FOOTERS, true) < 0)
		return -1;
	if (has_footer(list, stream))
		return 0;
	if (search(list, stream, SEARCH_NO_FOOTERS, false) < 0)
		return -1;
	if (stream->search.leads)
		return 0;
	return search(list, stream, SEARCH_NO_FOOTERS, true);
}

/* What is wrong with the container's own description matters more than what is with ours. Returns false. */
static bool does_not_fit(struct list *list, enum savevm_end how, const char *why)
{
	if (!list->listed.misdescribed) {
		snprintf(list->note, sizeof(list->note), "the %s does not fit: %.200s",
			 savevm_end_name(how), why);
		list->listed.note = list->note;
	}
	return false;
}

/* Whether the description fits the section's data; then its end is set. */
static bool fits(struct list *list, struct stream *stream,
		 const struct state_description *description, enum savevm_end how)
{
	const struct xensr_reports none = {0};
	struct savevm_listed *listed = &list->listed;
	const struct savevm_section *section = &listed->element.section;
	struct cursor in = stream->reader.in;
	struct xensr_ctx trial;
	char where[64];

	ctx_init(&trial, -1, &none);
	if (description_load(description, NULL, section->version_id, &in, NULL, NULL, &trial) < 0)
		return does_not_fit(list, how, trial.err.text);
	if (!savevm_search_confirms(&stream->search, in.pos, section->id)) {
		snprintf(where, sizeof(where), "no end of the section at offset %zu", in.pos);
		return does_not_fit(list, how, where);
	}
	if (!listed->misdescribed)
		listed->note = NULL; /* of a layout that the device has not */
	listed->end = how;
	listed->data_length = in.pos - listed->data_offset;
	return true;
}

static const struct state_description *described_by(struct list *list, struct stream *stream)
{
	const struct savevm_section *section = &list->listed.element.section;
	const struct vmdescription_device *device;
	const struct state_description *known = NULL;

	if (list->listed.element.kind != SAVEVM_SECTION_FULL)
		return NULL;
	if (list->vmdescription.device_count && list->misfits < MAX_MISFITS) {
		device = next_described(list, section);
		if (device && fits(list, stream, device->description, SAVEVM_END_VMDESCRIPTION))
			return device->description;
		list->listed.misdescribed = device != NULL;
		list->misfits += device != NULL;
	}
	while ((known = known_device_next(section, known))) {
		if (fits(list, stream, known, SAVEVM_END_KNOWN_DEVICE))
			break;
	}
	return known;
}

/* ---- elements ------------------------------------------------------------------------------ */

static int give_element(struct list *list)
{
	if (list->callbacks->element &&
	    list->callbacks->element(list->callbacks->data, &list->listed) != 0)
		return ctx_fail(list->ctx, ECANCELED, "listing was stopped");
	return 0;
}

static int give_value(void *data, const struct state_value *value)
{
	struct list *list = data;

	return list->callbacks->value(list->callbacks->data, &list->listed, value);
}

static int list_section(struct list *list, struct stream *stream)
{
	struct savevm_listed *listed = &list->listed;
	struct savevm_element *element = &listed->element;
	struct savevm_reader *reader = &stream->reader;
	const struct state_description *description;
	struct cursor fields = reader->in;
	size_t end;

	listed->data_offset = reader->in.pos;
	if (!stream->searched && begin_search(list, stream) < 0)
		return -1;
	description = described_by(list, stream);
	if (!description) {
		end = savevm_search_end(&stream->search, listed->data_offset, element->section.id,
					&listed->candidates);
		if (end == SEARCH_NO_END)
			return ctx_fail(list->ctx, EBADMSG, "its end cannot be found");
		listed->end = stream->search.kind == SEARCH_FOOTERS ? SAVEVM_END_FOOTER
								    : SAVEVM_END_NEXT_ELEMENT;
		listed->data_length = end - listed->data_offset;
	}
	listed->described = description != NULL;
	reader->in.pos = listed->data_offset + listed->data_length;
	if (stream->search.kind == SEARCH_FOOTERS &&
	    savevm_read_footer(reader, &element->section) < 0)
		return -1;
	listed->length = reader->in.pos - element->offset;
	if (give_element(list) < 0)
		return -1;
	if (!description || !list->callbacks->value)
		return 0;
	fields.len = listed->data_offset + listed->data_length;
	return description_load(description, NULL, element->section.version_id, &fields, give_value,
				list, list->ctx);
}

static int list_stream(struct list *list, struct stream *stream);

/* The stream that a PACKAGED command has; its offsets are the container's. */
static int list_packaged(struct list *list, const struct savevm_element *packaged)
{
	struct stream stream = {.depth = 1};
	size_t start = (size_t)(packaged->octets - list->data);
	int rc = 0;

	savevm_reader_init(&stream.reader, list->data, start + packaged->length, list->ctx);
	stream.reader.in.pos = start;
	stream.reader.packaged = true;
	if (packaged->length >= SAVEVM_HEADER_OCTETS &&
	    octets_be(packaged->octets, 4) == SAVEVM_MAGIC)
		rc = savevm_read_header(&stream.reader);
	if (rc == 0)
		rc = list_stream(list, &stream);
	savevm_search_release(&stream.search);
	savevm_reader_release(&stream.reader);
	return rc;
}

static int list_other(struct list *list, struct stream *stream)
{
	const struct savevm_element element = list->listed.element;

	if (element.kind == SAVEVM_VMDESCRIPTION && *list->vmdescription_note) {
		list->listed.note = list->vmdescription_note;
		list->listed.misdescribed = true;
	}
	list->listed.length = stream->reader.in.pos - element.offset;
	if (give_element(list) < 0)
		return -1;
	if (element.kind == SAVEVM_COMMAND && element.command == SAVEVM_COMMAND_PACKAGED)
		return list_packaged(list, &element);
	return 0;
}

static int list_stream(struct list *list, struct stream *stream)
{
	struct savevm_listed *listed = &list->listed;
	int rc;

	for (;;) {
		*listed = (struct savevm_listed){.depth = stream->depth};
		rc = savevm_read_element(&stream->reader, &listed->element);
		if (rc <= 0)
			return rc;
		switch (listed->element.kind) {
		case SAVEVM_SECTION_START:
		case SAVEVM_SECTION_PART:
		case SAVEVM_SECTION_END:
		case SAVEVM_SECTION_FULL:
			rc = list_section(list, stream);
			break;
		default:
			rc = list_other(list, stream);
		}
		if (rc < 0)
			return -1;
	}
}

int savevm_list(const void *data, size_t size, const struct savevm_list_callbacks *callbacks,
		struct xensr_error *err)
{
	const struct xensr_reports none = {0};
	struct xensr_ctx ctx;
	struct list list = {.data = data, .size = size, .callbacks = callbacks, .ctx = &ctx};
	struct stream stream = {.depth = 0};
	int rc = -1;

	ctx_init(&ctx, -1, &none);
	savevm_reader_init(&stream.reader, data, size, &ctx);
	if (size > SAVEVM_MAX_OCTETS) {
		ctx_fail(&ctx, EBADMSG, "device state of %zu octets, more than %zu", size,
			 SAVEVM_MAX_OCTETS);
		goto out;
	}
	if (savevm_read_header(&stream.reader) < 0 || find_vmdescription(&list) < 0)
		goto out;
	rc = list_stream(&list, &stream);
out:
	savevm_search_release(&stream.search);
	savevm_reader_release(&stream.reader);
	vmdescription_release(&list.vmdescription);
	return ctx_finish(&ctx, rc, err);
}
