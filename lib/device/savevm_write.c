/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "savevm.h"

void savevm_write_header(struct octet_buffer *out)
{
	put_be32(out, SAVEVM_MAGIC);
	put_be32(out, SAVEVM_VERSION);
}

static void put_name(struct octet_buffer *out, const char *name)
{
	size_t length = strnlen(name, SAVEVM_NAME_SIZE - 1);

	put_u8(out, (uint8_t)length);
	put_octets(out, name, length);
}

void savevm_write_subsection(struct octet_buffer *out, const char *name, uint32_t version_id)
{
	put_u8(out, SAVEVM_SUBSECTION);
	put_name(out, name);
	put_be32(out, version_id);
}

void savevm_write_configuration(struct octet_buffer *out, const char *machine, uint32_t page_bits)
{
	size_t length = strnlen(machine, SAVEVM_MAX_MACHINE_NAME);

	put_u8(out, SAVEVM_CONFIGURATION);
	put_be32(out, (uint32_t)length);
	put_octets(out, machine, length);
	if (page_bits) {
		savevm_write_subsection(out, "configuration/target-page-bits", 1);
		put_be32(out, page_bits);
	}
}

void savevm_write_section(struct octet_buffer *out, enum savevm_kind kind,
			  const struct savevm_section *section)
{
	put_u8(out, (uint8_t)kind);
	put_be32(out, section->id);
	if (kind == SAVEVM_SECTION_PART || kind == SAVEVM_SECTION_END)
		return;
	put_name(out, section->idstr);
	put_be32(out, section->instance_id);
	put_be32(out, section->version_id);
}

void savevm_write_footer(struct octet_buffer *out, uint32_t section_id)
{
	put_u8(out, SAVEVM_SECTION_FOOTER);
	put_be32(out, section_id);
}

static void put_command(struct octet_buffer *out, enum savevm_command_type command,
			const void *payload, size_t length)
{
	put_u8(out, SAVEVM_COMMAND);
	put_be16(out, (uint16_t)command);
	put_be16(out, (uint16_t)length);
	put_octets(out, payload, length);
}

int savevm_write_command(struct octet_buffer *out, enum savevm_command_type command,
			 const void *payload, size_t length)
{
	int right = savevm_command_length(command);

	if (right == -2 || command == SAVEVM_COMMAND_INVALID ||
	    command == SAVEVM_COMMAND_PACKAGED || length > UINT16_MAX ||
	    (right >= 0 && length != (size_t)right)) {
		errno = EINVAL;
		return -1;
	}
	put_command(out, command, payload, length);
	return 0;
}

int savevm_write_packaged(struct octet_buffer *out, const void *octets, size_t length)
{
	if (length > SAVEVM_MAX_PACKAGED) {
		errno = EFBIG;
		return -1;
	}
	put_u8(out, SAVEVM_COMMAND);
	put_be16(out, SAVEVM_COMMAND_PACKAGED);
	put_be16(out, 4);
	put_be32(out, (uint32_t)length);
	put_octets(out, octets, length);
	return 0;
}

int savevm_write_discard(struct octet_buffer *out, const char *block, const uint64_t (*ranges)[2],
			 size_t range_count)
{
	size_t name = strnlen(block, SAVEVM_NAME_SIZE);

	if (!name || name >= SAVEVM_NAME_SIZE || range_count > (UINT16_MAX - 3 - name) / 16) {
		errno = EINVAL;
		return -1;
	}
	put_u8(out, SAVEVM_COMMAND);
	put_be16(out, SAVEVM_COMMAND_POSTCOPY_RAM_DISCARD);
	put_be16(out, (uint16_t)(3 + name + 16 * range_count));
	put_u8(out, 0);
	put_u8(out, (uint8_t)name);
	put_octets(out, block, name + 1);
	for (size_t i = 0; i < range_count; i++) {
		put_be64(out, ranges[i][0]);
		put_be64(out, ranges[i][1]);
	}
	return 0;
}

void savevm_write_eof(struct octet_buffer *out)
{
	put_u8(out, SAVEVM_EOF);
}

void savevm_write_vmdescription(struct octet_buffer *out, const char *text, uint32_t length)
{
	put_u8(out, SAVEVM_VMDESCRIPTION);
	put_be32(out, length);
	put_octets(out, text, length);
}
