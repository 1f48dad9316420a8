/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * QEMU's savevm container: what the body of an EMULATOR_CONTEXT record is for upstream QEMU.
 * Reading and writing of its elements; what is inside a section is the business of others
 * (description.h, device_registry.h).
 *
 *      header   magic u32 "QEVM", version u32 3
 *      [CONFIGURATION]
 *      SECTION_FULL data [footer] | SECTION_START data [footer] | SECTION_PART ... | COMMAND ...
 *      EOF
 *      [VMDESCRIPTION]
 *
 * All integers are big-endian. A section's data carries no length. Footers are there or not for a
 * stream as a whole, which only the machine that wrote it knows (Xen's machine writes none).
 *
 * Offsets count from the first octet of the container.
 */
#ifndef XENSR_LIB_DEVICE_SAVEVM_H
#define XENSR_LIB_DEVICE_SAVEVM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "context.h"
#include "cursor.h"
#include "octets.h"

#define SAVEVM_MAGIC            0x5145564du /* "QEVM" */
#define SAVEVM_VERSION          3u
#define SAVEVM_VERSION_OBSOLETE 2u
#define SAVEVM_HEADER_OCTETS    8u

/* Limits of ours: QEMU's own state is some ten KiB, with a description 1 MiB. */
#define SAVEVM_MAX_OCTETS        ((size_t)256 << 20)
#define SAVEVM_MAX_OPEN          1024u /* sections that a START opened and no END closed */
#define SAVEVM_MAX_MACHINE_NAME  1024u
#define SAVEVM_MAX_VMDESCRIPTION (8u << 20)
/* The format's own. */
#define SAVEVM_MAX_PACKAGED (16u << 20)

enum savevm_kind {
	SAVEVM_EOF = 0x00,
	SAVEVM_SECTION_START = 0x01,
	SAVEVM_SECTION_PART = 0x02,
	SAVEVM_SECTION_END = 0x03,
	SAVEVM_SECTION_FULL = 0x04,
	SAVEVM_SUBSECTION = 0x05, /* inside section data only */
	SAVEVM_VMDESCRIPTION = 0x06,
	SAVEVM_CONFIGURATION = 0x07,
	SAVEVM_COMMAND = 0x08,
	SAVEVM_SECTION_FOOTER = 0x7e,
};

enum savevm_command_type {
	SAVEVM_COMMAND_INVALID = 0,
	SAVEVM_COMMAND_OPEN_RETURN_PATH = 1,
	SAVEVM_COMMAND_PING = 2,
	SAVEVM_COMMAND_POSTCOPY_ADVISE = 3,
	SAVEVM_COMMAND_POSTCOPY_LISTEN = 4,
	SAVEVM_COMMAND_POSTCOPY_RUN = 5,
	SAVEVM_COMMAND_POSTCOPY_RAM_DISCARD = 6,
	SAVEVM_COMMAND_PACKAGED = 7,
};

/* The longest idstr or subsection name: its length is one octet. */
#define SAVEVM_NAME_SIZE 256

struct savevm_section {
	uint32_t id; /* names it within the stream */
	uint32_t instance_id;
	uint32_t version_id;
	char idstr[SAVEVM_NAME_SIZE];
};

struct savevm_element {
	enum savevm_kind kind;
	size_t offset; /* of its type octet */

	struct savevm_section section; /* sections; of PART and END what their START said */

	/* CONFIGURATION: machine name (text, not terminated); VMDESCRIPTION: JSON text;
	 * COMMAND: payload; PACKAGED: the embedded stream. Points into the container. */
	const uint8_t *octets;
	uint32_t length;

	uint32_t page_bits; /* CONFIGURATION: target-page-bits, 0 = not said */
	uint16_t command;   /* COMMAND: enum savevm_command_type */
};

struct savevm_reader {
	struct cursor in;
	struct xensr_ctx *ctx; /* the caller's; errors name the element at work */
	bool packaged;         /* an embedded stream: has no header, its end may stand for EOF */
	bool first;            /* no element was read yet */
	bool ended;            /* EOF was read: only a VMDESCRIPTION may follow */
	struct savevm_section *open;
	size_t open_count;
	char what[SAVEVM_NAME_SIZE + 64];
};

/* Over octets that stay the caller's. Nothing is read yet. */
void savevm_reader_init(struct savevm_reader *reader, const void *data, size_t size,
			struct xensr_ctx *ctx);

/* Idempotent. */
void savevm_reader_release(struct savevm_reader *reader);

/*
 * Magic and version. Returns 0, or -1 with the context's error (EBADMSG; EPROTONOSUPPORT: a version
 * that we don't know).
 */
MUST_CHECK int savevm_read_header(struct savevm_reader *reader);

/*
 * The next element up to where a section's data starts; the cursor `in` is then at that data, and
 * the caller moves it to the end of it and calls savevm_read_footer if the stream has footers. Returns
 * 1; 0 where the stream ends (after EOF, and the VMDESCRIPTION if there is one, with nothing behind
 * it); or -1 with the context's error (EBADMSG; ENOMEM). PART and END name a section that is open.
 */
MUST_CHECK int savevm_read_element(struct savevm_reader *reader, struct savevm_element *element);

/* The footer that closes the section. Returns 0, or -1 with the context's error (EBADMSG). */
MUST_CHECK int savevm_read_footer(struct savevm_reader *reader,
				  const struct savevm_section *section);

/* "SECTION_FULL", … or NULL if there is no element of that type. */
const char *savevm_kind_name(unsigned kind);

/* "PING", … or NULL. */
const char *savevm_command_name(unsigned command);

/* ---- POSTCOPY_RAM_DISCARD ------------------------------------------------------------------ */

struct savevm_discard {
	char block[SAVEVM_NAME_SIZE]; /* name of the block of memory */
	const uint8_t *ranges;        /* savevm_discard_range reads them */
	size_t range_count;
};

/* The payload of the command. Returns 0, or -1 with the context's error (EBADMSG). */
MUST_CHECK int savevm_discard_parse(struct xensr_ctx *ctx, const void *payload, size_t length,
				    struct savevm_discard *discard);

/* Range i (< range_count): octets from the start of the block, length in octets. */
void savevm_discard_range(const struct savevm_discard *discard, size_t i, uint64_t *start,
			  uint64_t *length);

/* ---- writing ------------------------------------------------------------------------------- */
/* All of these put into a bounded buffer; see struct octet_buffer for how it says what failed. */

void savevm_write_header(struct octet_buffer *out);

/* machine: at most SAVEVM_MAX_MACHINE_NAME octets; page_bits 0 = leave the subsection out. */
void savevm_write_configuration(struct octet_buffer *out, const char *machine, uint32_t page_bits);

/* The header of a START, PART, END or FULL; the data is put after it. */
void savevm_write_section(struct octet_buffer *out, enum savevm_kind kind,
			  const struct savevm_section *section);

void savevm_write_footer(struct octet_buffer *out, uint32_t section_id);

/* The header of a subsection (name: at most 255 octets); its fields are put after it. */
void savevm_write_subsection(struct octet_buffer *out, const char *name, uint32_t version_id);

/*
 * A command with its payload. Returns 0, or -1 with errno EINVAL: no command of that type, or not
 * with that length; PACKAGED has savevm_write_packaged.
 */
MUST_CHECK int savevm_write_command(struct octet_buffer *out, enum savevm_command_type command,
				    const void *payload, size_t length);

/* An embedded stream. Returns 0, or -1 with errno EFBIG: over SAVEVM_MAX_PACKAGED. */
MUST_CHECK int savevm_write_packaged(struct octet_buffer *out, const void *octets, size_t length);

/* Ranges of a block to forget. Returns 0, or -1 with errno EINVAL: name or number too long. */
MUST_CHECK int savevm_write_discard(struct octet_buffer *out, const char *block,
				    const uint64_t (*ranges)[2], size_t range_count);

void savevm_write_eof(struct octet_buffer *out);

/* length: at most SAVEVM_MAX_VMDESCRIPTION. */
void savevm_write_vmdescription(struct octet_buffer *out, const char *text, uint32_t length);

/* The payload's length of a command, -1 if it varies, -2 if there is no such command. */
int savevm_command_length(unsigned command);

#endif
