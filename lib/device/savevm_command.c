/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "savevm.h"

/* -1: the length varies. */
static const struct {
	const char *name;
	int length;
} commands[] = {
	[SAVEVM_COMMAND_INVALID] = {"INVALID", -1},
	[SAVEVM_COMMAND_OPEN_RETURN_PATH] = {"OPEN_RETURN_PATH", 0},
	[SAVEVM_COMMAND_PING] = {"PING", 4},
	[SAVEVM_COMMAND_POSTCOPY_ADVISE] = {"POSTCOPY_ADVISE", 16},
	[SAVEVM_COMMAND_POSTCOPY_LISTEN] = {"POSTCOPY_LISTEN", 0},
	[SAVEVM_COMMAND_POSTCOPY_RUN] = {"POSTCOPY_RUN", 0},
	[SAVEVM_COMMAND_POSTCOPY_RAM_DISCARD] = {"POSTCOPY_RAM_DISCARD", -1},
	[SAVEVM_COMMAND_PACKAGED] = {"PACKAGED", 4},
};

int savevm_command_length(unsigned command)
{
	return command < sizeof(commands) / sizeof(commands[0]) ? commands[command].length : -2;
}

const char *savevm_command_name(unsigned command)
{
	return command < sizeof(commands) / sizeof(commands[0]) ? commands[command].name : NULL;
}

int savevm_discard_parse(struct xensr_ctx *ctx, const void *payload, size_t length,
			 struct savevm_discard *discard)
{
	struct cursor in = cursor_over(payload, length);
	uint8_t version, name_length, end;
	const void *name;

	*discard = (struct savevm_discard){.range_count = 0};
	if (!take_u8(&in, &version) || !take_u8(&in, &name_length) ||
	    !(name = cursor_take(&in, name_length)) || !take_u8(&in, &end))
		return ctx_fail(ctx, EBADMSG, "POSTCOPY_RAM_DISCARD ends within its name");
	if (version != 0)
		return ctx_fail(ctx, EBADMSG, "POSTCOPY_RAM_DISCARD has version %u, not 0",
				version);
	if (!name_length || end || memchr(name, 0, name_length))
		return ctx_fail(ctx, EBADMSG,
				"the name in POSTCOPY_RAM_DISCARD is not one of %u octets",
				name_length);
	if (cursor_left(&in) % 16)
		return ctx_fail(ctx, EBADMSG,
				"POSTCOPY_RAM_DISCARD ends within a range (%zu octets of ranges)",
				cursor_left(&in));
	memcpy(discard->block, name, name_length);
	discard->ranges = in.data + in.pos;
	discard->range_count = cursor_left(&in) / 16;
	return 0;
}

void savevm_discard_range(const struct savevm_discard *discard, size_t i, uint64_t *start,
			  uint64_t *length)
{
	*start = octets_be(discard->ranges + 16 * i, 8);
	*length = octets_be(discard->ranges + 16 * i + 8, 8);
}
