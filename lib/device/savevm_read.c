/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "savevm.h"

const char *savevm_kind_name(unsigned kind)
{
	switch (kind) {
	case SAVEVM_EOF:
		return "EOF";
	case SAVEVM_SECTION_START:
		return "SECTION_START";
	case SAVEVM_SECTION_PART:
		return "SECTION_PART";
	case SAVEVM_SECTION_END:
		return "SECTION_END";
	case SAVEVM_SECTION_FULL:
		return "SECTION_FULL";
	case SAVEVM_SUBSECTION:
		return "SUBSECTION";
	case SAVEVM_VMDESCRIPTION:
		return "VMDESCRIPTION";
	case SAVEVM_CONFIGURATION:
		return "CONFIGURATION";
	case SAVEVM_COMMAND:
		return "COMMAND";
	case SAVEVM_SECTION_FOOTER:
		return "SECTION_FOOTER";
	default:
		return NULL;
	}
}

void savevm_reader_init(struct savevm_reader *reader, const void *data, size_t size,
			struct xensr_ctx *ctx)
{
	*reader = (struct savevm_reader){
		.in = cursor_over(data, size),
		.ctx = ctx,
		.first = true,
	};
}

void savevm_reader_release(struct savevm_reader *reader)
{
	free(reader->open);
	reader->open = NULL;
	reader->open_count = 0;
	if (reader->ctx && reader->ctx->what == reader->what)
		ctx_leave(reader->ctx);
}

int savevm_read_header(struct savevm_reader *reader)
{
	struct xensr_ctx *ctx = reader->ctx;
	uint32_t magic, version;

	ctx_enter(ctx, "device state", XENSR_NO_RECORD, reader->in.pos);
	if (!take_be32(&reader->in, &magic) || !take_be32(&reader->in, &version))
		return ctx_fail(ctx, EBADMSG, "ends within its header");
	if (magic != SAVEVM_MAGIC)
		return ctx_fail(ctx, EBADMSG, "magic is 0x%08" PRIx32 ", not 0x%08x (QEVM)", magic,
				SAVEVM_MAGIC);
	if (version == SAVEVM_VERSION_OBSOLETE)
		return ctx_fail(ctx, EPROTONOSUPPORT, "version 2 is obsolete");
	if (version != SAVEVM_VERSION)
		return ctx_fail(ctx, EPROTONOSUPPORT,
				"version %" PRIu32 " is not supported, only %u", version,
				SAVEVM_VERSION);
	ctx_leave(ctx);
	return 0;
}

/* ---- names --------------------------------------------------------------------------------- */

static bool name_is_plain(const uint8_t *at, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (at[i] < 0x20 || at[i] > 0x7e)
			return false;
	}
	return n > 0;
}

/* A length octet and that many printable octets. */
static int read_name(struct savevm_reader *reader, char *name)
{
	struct xensr_ctx *ctx = reader->ctx;
	const uint8_t *at;
	uint8_t length;

	if (!take_u8(&reader->in, &length) || !(at = cursor_take(&reader->in, length)))
		return ctx_fail(ctx, EBADMSG, "ends within its name");
	if (!name_is_plain(at, length))
		return ctx_fail(ctx, EBADMSG, "its name is not of printable characters");
	memcpy(name, at, length);
	name[length] = 0;
	return 0;
}

/* ---- open sections ------------------------------------------------------------------------- */

static struct savevm_section *find_open(const struct savevm_reader *reader, uint32_t id)
{
	for (size_t i = 0; i < reader->open_count; i++) {
		if (reader->open[i].id == id)
			return &reader->open[i];
	}
	return NULL;
}

static int open_section(struct savevm_reader *reader, const struct savevm_section *section)
{
	struct savevm_section *grown;

	if (find_open(reader, section->id))
		return ctx_fail(reader->ctx, EBADMSG, "section id %" PRIu32 " is open already",
				section->id);
	if (reader->open_count == SAVEVM_MAX_OPEN)
		return ctx_fail(reader->ctx, EBADMSG, "more than %u sections are open",
				SAVEVM_MAX_OPEN);
	grown = realloc(reader->open, (reader->open_count + 1) * sizeof(*grown));
	if (!grown)
		return ctx_fail(reader->ctx, ENOMEM, "no memory for its section");
	reader->open = grown;
	reader->open[reader->open_count++] = *section;
	return 0;
}

/* ---- elements ------------------------------------------------------------------------------ */

static void enter_section(struct savevm_reader *reader, const struct savevm_element *element)
{
	snprintf(reader->what, sizeof(reader->what), "section %s (instance %" PRIu32 ")",
		 element->section.idstr, element->section.instance_id);
	ctx_enter(reader->ctx, reader->what, XENSR_NO_RECORD, element->offset);
}

/* START and FULL: everything of the header behind the type. */
static int read_section_header(struct savevm_reader *reader, struct savevm_element *element)
{
	struct savevm_section *section = &element->section;

	if (!take_be32(&reader->in, &section->id))
		return ctx_fail(reader->ctx, EBADMSG, "ends within its header");
	if (read_name(reader, section->idstr) < 0)
		return -1;
	if (!take_be32(&reader->in, &section->instance_id) ||
	    !take_be32(&reader->in, &section->version_id))
		return ctx_fail(reader->ctx, EBADMSG, "ends within its header");
	enter_section(reader, element);
	return element->kind == SAVEVM_SECTION_START ? open_section(reader, section) : 0;
}

/* PART and END: an id that is open. */
static int read_section_id(struct savevm_reader *reader, struct savevm_element *element)
{
	struct savevm_section *open;
	uint32_t id;

	if (!take_be32(&reader->in, &id))
		return ctx_fail(reader->ctx, EBADMSG, "ends within its header");
	open = find_open(reader, id);
	if (!open)
		return ctx_fail(reader->ctx, EBADMSG,
				"section id %" PRIu32 " was not opened by a SECTION_START", id);
	element->section = *open;
	enter_section(reader, element);
	if (element->kind == SAVEVM_SECTION_END)
		*open = reader->open[--reader->open_count];
	return 0;
}

static int read_uuid(struct savevm_reader *reader)
{
	return cursor_take(&reader->in, 16) ? 0 : -1;
}

/* A count, then names with a length octet before each. */
static int read_capabilities(struct savevm_reader *reader)
{
	uint32_t count;
	uint8_t length;

	if (!take_be32(&reader->in, &count))
		return -1;
	/* Each takes an octet at least, so a count that lies ends with the data. */
	for (uint32_t i = 0; i < count; i++) {
		if (!take_u8(&reader->in, &length) || !cursor_take(&reader->in, length))
			return -1;
	}
	return 0;
}

/* The subsections of CONFIGURATION, of which there is no description in the stream. */
static int read_configuration_subsection(struct savevm_reader *reader,
					 struct savevm_element *element)
{
	struct xensr_ctx *ctx = reader->ctx;
	char name[SAVEVM_NAME_SIZE];
	uint32_t version;
	int rc;

	(void)cursor_take(&reader->in, 1);
	if (read_name(reader, name) < 0)
		return -1;
	if (!take_be32(&reader->in, &version))
		return ctx_fail(ctx, EBADMSG, "ends within subsection %s", name);
	if (!strcmp(name, "configuration/target-page-bits"))
		rc = take_be32(&reader->in, &element->page_bits) ? 0 : -1;
	else if (!strcmp(name, "configuration/capabilities"))
		rc = read_capabilities(reader);
	else if (!strcmp(name, "configuration/uuid"))
		rc = read_uuid(reader);
	else
		return ctx_fail(ctx, EBADMSG, "subsection %s is unknown", name);
	if (version != 1)
		return ctx_fail(ctx, EBADMSG, "subsection %s has version %" PRIu32 ", not 1", name,
				version);
	return rc < 0 ? ctx_fail(ctx, EBADMSG, "ends within subsection %s", name) : 0;
}

static int read_counted(struct savevm_reader *reader, struct savevm_element *element,
			uint32_t limit, const char *what)
{
	if (!take_be32(&reader->in, &element->length))
		return ctx_fail(reader->ctx, EBADMSG, "ends within the length of its %s", what);
	if (element->length > limit)
		return ctx_fail(reader->ctx, EBADMSG,
				"its %s is of %" PRIu32 " octets, more than %" PRIu32, what,
				element->length, limit);
	element->octets = cursor_take(&reader->in, element->length);
	if (!element->octets)
		return ctx_fail(reader->ctx, EBADMSG,
				"its %s is of %" PRIu32 " octets, %zu are there", what,
				element->length, cursor_left(&reader->in));
	return 0;
}

static int read_configuration(struct savevm_reader *reader, struct savevm_element *element)
{
	if (!reader->first)
		return ctx_fail(reader->ctx, EBADMSG, "comes after other elements");
	if (read_counted(reader, element, SAVEVM_MAX_MACHINE_NAME, "machine name") < 0)
		return -1;
	if (!name_is_plain(element->octets, element->length))
		return ctx_fail(reader->ctx, EBADMSG, "its name is not of printable characters");
	while (cursor_left(&reader->in) && reader->in.data[reader->in.pos] == SAVEVM_SUBSECTION) {
		if (read_configuration_subsection(reader, element) < 0)
			return -1;
	}
	return 0;
}

/* PACKAGED: its payload is the length of what follows. */
static int read_packaged(struct savevm_reader *reader, struct savevm_element *element)
{
	uint32_t length = (uint32_t)octets_be(element->octets, 4);

	if (reader->packaged)
		return ctx_fail(reader->ctx, EBADMSG, "PACKAGED within PACKAGED");
	if (length > SAVEVM_MAX_PACKAGED)
		return ctx_fail(reader->ctx, EBADMSG,
				"PACKAGED of %" PRIu32 " octets, more than %u", length,
				SAVEVM_MAX_PACKAGED);
	element->octets = cursor_take(&reader->in, length);
	element->length = length;
	if (!element->octets)
		return ctx_fail(reader->ctx, EBADMSG,
				"PACKAGED of %" PRIu32 " octets, %zu are there", length,
				cursor_left(&reader->in));
	return 0;
}

static int read_command(struct savevm_reader *reader, struct savevm_element *element)
{
	struct xensr_ctx *ctx = reader->ctx;
	struct savevm_discard discard;
	uint16_t length;
	int right;

	if (!take_be16(&reader->in, &element->command) || !take_be16(&reader->in, &length))
		return ctx_fail(ctx, EBADMSG, "ends within its header");
	right = savevm_command_length(element->command);
	if (right == -2)
		return ctx_fail(ctx, EBADMSG, "command %u is unknown", element->command);
	if (element->command == SAVEVM_COMMAND_INVALID)
		return ctx_fail(ctx, EBADMSG, "command 0 (INVALID)");
	if (right >= 0 && length != right)
		return ctx_fail(ctx, EBADMSG, "%s has %u octets of payload, not %d",
				savevm_command_name(element->command), length, right);
	element->length = length;
	element->octets = cursor_take(&reader->in, length);
	if (!element->octets)
		return ctx_fail(ctx, EBADMSG, "%s has %u octets of payload, %zu are there",
				savevm_command_name(element->command), length,
				cursor_left(&reader->in));
	if (element->command == SAVEVM_COMMAND_PACKAGED)
		return read_packaged(reader, element);
	if (element->command == SAVEVM_COMMAND_POSTCOPY_RAM_DISCARD)
		return savevm_discard_parse(ctx, element->octets, element->length, &discard);
	return 0;
}

static int read_vmdescription(struct savevm_reader *reader, struct savevm_element *element)
{
	if (read_counted(reader, element, SAVEVM_MAX_VMDESCRIPTION, "text") < 0)
		return -1;
	if (cursor_left(&reader->in))
		return ctx_fail(reader->ctx, EBADMSG, "%zu octets follow it",
				cursor_left(&reader->in));
	return 0;
}

/* What may come after EOF. Returns as savevm_read_element. */
static int read_after_end(struct savevm_reader *reader, struct savevm_element *element)
{
	if (!cursor_left(&reader->in)) {
		ctx_leave(reader->ctx);
		return 0;
	}
	element->offset = reader->in.pos;
	if (reader->in.data[reader->in.pos] != SAVEVM_VMDESCRIPTION)
		return ctx_fail(reader->ctx, EBADMSG, "%zu octets follow it",
				cursor_left(&reader->in));
	(void)cursor_take(&reader->in, 1);
	element->kind = SAVEVM_VMDESCRIPTION;
	ctx_enter(reader->ctx, "VMDESCRIPTION", XENSR_NO_RECORD, element->offset);
	return read_vmdescription(reader, element) < 0 ? -1 : 1;
}

int savevm_read_element(struct savevm_reader *reader, struct savevm_element *element)
{
	struct xensr_ctx *ctx = reader->ctx;
	const char *name;
	uint8_t type;
	int rc;

	*element = (struct savevm_element){.offset = reader->in.pos};
	if (reader->ended)
		return read_after_end(reader, element);
	if (!take_u8(&reader->in, &type)) {
		ctx_enter(ctx, "device state", XENSR_NO_RECORD, reader->in.pos);
		if (!reader->packaged)
			return ctx_fail(ctx, EBADMSG, "ends without EOF");
		ctx_leave(ctx);
		return 0;
	}
	element->kind = type;
	name = savevm_kind_name(type);
	ctx_enter(ctx, name ? name : "device state", XENSR_NO_RECORD, element->offset);

	switch (element->kind) {
	case SAVEVM_EOF:
		reader->ended = true;
		if (reader->open_count)
			return ctx_fail(ctx, EBADMSG, "section %s (instance %" PRIu32 ") is open",
					reader->open[0].idstr, reader->open[0].instance_id);
		rc = 0;
		break;
	case SAVEVM_SECTION_START:
	case SAVEVM_SECTION_FULL:
		rc = read_section_header(reader, element);
		break;
	case SAVEVM_SECTION_PART:
	case SAVEVM_SECTION_END:
		rc = read_section_id(reader, element);
		break;
	case SAVEVM_CONFIGURATION:
		rc = read_configuration(reader, element);
		break;
	case SAVEVM_COMMAND:
		rc = read_command(reader, element);
		break;
	case SAVEVM_VMDESCRIPTION:
	case SAVEVM_SUBSECTION:
	case SAVEVM_SECTION_FOOTER:
		return ctx_fail(ctx, EBADMSG, "cannot stand here");
	default:
		return ctx_fail(ctx, EBADMSG, "element type 0x%02x is unknown", type);
	}
	reader->first = false;
	return rc < 0 ? -1 : 1;
}

int savevm_read_footer(struct savevm_reader *reader, const struct savevm_section *section)
{
	struct cursor at = reader->in;
	uint32_t id;
	uint8_t type;

	if (!take_u8(&at, &type) || type != SAVEVM_SECTION_FOOTER)
		return ctx_fail(reader->ctx, EBADMSG, "no footer at offset %zu", reader->in.pos);
	if (!take_be32(&at, &id))
		return ctx_fail(reader->ctx, EBADMSG, "ends within its footer");
	if (id != section->id)
		return ctx_fail(reader->ctx, EBADMSG,
				"its footer is of section id %" PRIu32 ", not %" PRIu32, id,
				section->id);
	reader->in = at;
	return 0;
}
