/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The savevm container: what the writers put, octet by octet; what the reader makes of it; and
 * everything that it refuses, with the exact error.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "device_build.h"
#include "savevm.h"
#include "unit_main.h"

static struct stream s;
static struct octet_buffer out;
static struct xensr_ctx ctx;
static struct savevm_reader reader;
static void *octets;

static void setup(void)
{
	const struct xensr_reports none = {0};

	s = (struct stream){0};
	out = octets_empty(1 << 20);
	ctx_init(&ctx, -1, &none);
}

static void teardown(void)
{
	savevm_reader_release(&reader);
	octets_release(&out);
	stream_release(&s);
	free(octets);
	octets = NULL;
}

/* A reader over what was built. */
static void begin(void)
{
	octets = state_exact(&s, s.len);
	savevm_reader_init(&reader, octets, s.len, &ctx);
}

/* Read all of it; each section has 4 octets of data and a footer. Returns as the reader. */
static int read_all(void)
{
	struct savevm_element e;
	int rc;

	begin();
	if (savevm_read_header(&reader) < 0)
		return -1;
	while ((rc = savevm_read_element(&reader, &e)) > 0) {
		switch (e.kind) {
		case SAVEVM_SECTION_START:
		case SAVEVM_SECTION_PART:
		case SAVEVM_SECTION_END:
		case SAVEVM_SECTION_FULL:
			ck_assert_ptr_nonnull(cursor_take(&reader.in, 4));
			if (savevm_read_footer(&reader, &e.section) < 0)
				return -1;
			break;
		default:
			break;
		}
	}
	return rc;
}

static void fails(int errnum, const char *text)
{
	ck_assert_int_eq(read_all(), -1);
	ck_assert_str_eq(ctx.err.text, text);
	ck_assert_int_eq(ctx.err.errnum, errnum);
}

/* What comes next in a container, and what is said of it. */
struct refusal {
	const char *octets;
	int n;
	const char *text;
};

static void refused(const struct refusal *next)
{
	stream_raw(&s, next->octets, next->n);
	fails(EBADMSG, next->text);
}

static void passes(void)
{
	int rc = read_all();

	ck_assert_str_eq(ctx.err.text, "");
	ck_assert_int_eq(rc, 0);
}

static void full(uint32_t id)
{
	state_full(&s, id, "dev", 0, 1, "data", 4, 1);
}

static void eof(void)
{
	state_be(&s, 0, 1);
}

/* ---- octets -------------------------------------------------------------------------------- */

START_TEST(writers_put_what_the_format_says)
{
	const struct savevm_section section = {
		.id = 7, .idstr = "timer", .instance_id = 1, .version_id = 2};
	static const uint64_t ranges[][2] = {{0x1000, 0x2000}};

	savevm_write_header(&out);
	savevm_write_configuration(&out, "pc", 12);
	savevm_write_section(&out, SAVEVM_SECTION_START, &section);
	savevm_write_footer(&out, 7);
	savevm_write_section(&out, SAVEVM_SECTION_PART, &section);
	savevm_write_footer(&out, 7);
	savevm_write_section(&out, SAVEVM_SECTION_END, &section);
	savevm_write_footer(&out, 7);
	ck_assert_int_eq(savevm_write_command(&out, SAVEVM_COMMAND_PING, "\1\2\3\4", 4), 0);
	ck_assert_int_eq(savevm_write_discard(&out, "ram", ranges, 1), 0);
	ck_assert_int_eq(savevm_write_packaged(&out, "pack", 4), 0);
	savevm_write_section(&out, SAVEVM_SECTION_FULL, &section);
	savevm_write_footer(&out, 7);
	savevm_write_eof(&out);
	savevm_write_vmdescription(&out, "{}", 2);

	state_header(&s);
	state_be(&s, 7, 1);
	state_be(&s, 2, 4);
	stream_raw(&s, "pc", 2);
	state_subsection(&s, "configuration/target-page-bits", 1);
	state_be(&s, 12, 4);
	state_section(&s, 1, 7, "timer", 1, 2);
	state_footer(&s, 7);
	state_section_goes_on(&s, 2, 7);
	state_footer(&s, 7);
	state_section_goes_on(&s, 3, 7);
	state_footer(&s, 7);
	state_command(&s, 2, "\1\2\3\4", 4);
	state_command(&s, 6, "\0\3ram\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\x20\0", 22);
	state_command(&s, 7, "\0\0\0\4", 4);
	stream_raw(&s, "pack", 4);
	state_section(&s, 4, 7, "timer", 1, 2);
	state_footer(&s, 7);
	eof();
	state_vmdescription(&s, "{}");

	ck_assert_int_eq(out.errnum, 0);
	ck_assert_uint_eq(out.len, s.len);
	ck_assert_mem_eq(out.data, s.octets, s.len);
}
END_TEST

START_TEST(configuration_without_page_bits_has_no_subsection)
{
	savevm_write_configuration(&out, "xenfv", 0);
	ck_assert_uint_eq(out.len, 10);
	ck_assert_mem_eq(out.data, "\7\0\0\0\5xenfv", 10);
}
END_TEST

START_TEST(a_full_buffer_keeps_what_it_has_and_says_so)
{
	out = octets_empty(10);
	put_be64(&out, 0x0102030405060708);
	put_be32(&out, 1);
	put_u8(&out, 9);
	put_octets(&out, "", 0);
	put_zeroes(&out, 1);
	ck_assert_int_eq(out.errnum, EFBIG);
	ck_assert_uint_eq(out.len, 8);
	ck_assert_mem_eq(out.data, "\1\2\3\4\5\6\7\x8", 8);
}
END_TEST

START_TEST(integers_are_big_endian_and_bounded)
{
	struct cursor in = cursor_over("\1\2\3\4\5\6\7\x8\x9\xa\xb\xc\xd\xe\xf", 15);
	uint8_t u8;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;

	ck_assert(take_be64(&in, &u64) && take_be32(&in, &u32) && take_be16(&in, &u16));
	ck_assert(!take_be16(&in, &u16));
	ck_assert_uint_eq(in.pos, 14);
	ck_assert(take_u8(&in, &u8));
	ck_assert(!take_u8(&in, &u8) && !take_be32(&in, &u32) && !take_be64(&in, &u64));
	ck_assert_uint_eq(u64, 0x0102030405060708);
	ck_assert_uint_eq(u32, 0x090a0b0c);
	ck_assert_uint_eq(u16, 0x0d0e);
	ck_assert_uint_eq(u8, 0x0f);
}
END_TEST

/* Each command with each length near its own: only its own is written. */
START_TEST(commands_are_written_with_their_length_only)
{
	static const int lengths[] = {-2, 0, 4, 16, 0, 0, -1, -2};
	static const uint8_t payload[20];

	for (int command = 0; command < 9; command++) {
		for (size_t n = 0; n <= 20; n++) {
			int right = command < COUNT(lengths) ? lengths[command] : -2;
			bool fits = right == -1 || right == (int)n;

			errno = 0;
			ck_assert_int_eq(savevm_write_command(&out, command, payload, n),
					 fits ? 0 : -1);
			ck_assert_int_eq(errno, fits ? 0 : EINVAL);
		}
	}
	ck_assert_int_eq(
		savevm_write_command(&out, SAVEVM_COMMAND_POSTCOPY_RAM_DISCARD, payload, 0x10000),
		-1);
}
END_TEST

START_TEST(packages_and_discards_have_limits)
{
	static const uint64_t ranges[4096][2];
	char name[300];

	memset(name, 'n', sizeof(name) - 1);
	name[299] = 0;
	ck_assert_int_eq(savevm_write_packaged(&out, NULL, (16u << 20) + 1), -1);
	ck_assert_int_eq(errno, EFBIG);
	ck_assert_int_eq(savevm_write_discard(&out, name, ranges, 1), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(savevm_write_discard(&out, "", ranges, 1), -1);
	ck_assert_int_eq(savevm_write_discard(&out, "ram", ranges, 4096), -1);
	ck_assert_int_eq(savevm_write_discard(&out, "ram", ranges, 4095), 0);
	ck_assert_uint_eq(out.len, 5 + 3 + 3 + 4095 * 16);
}
END_TEST

/* ---- reading ------------------------------------------------------------------------------- */

static int next(struct savevm_element *e)
{
	return savevm_read_element(&reader, e);
}

START_TEST(elements_come_out_as_they_were_put)
{
	struct savevm_element e;

	state_header(&s);
	state_be(&s, 7, 1);
	state_be(&s, 2, 4);
	stream_raw(&s, "pc", 2);
	state_subsection(&s, "configuration/target-page-bits", 1);
	state_be(&s, 12, 4);
	state_subsection(&s, "configuration/capabilities", 1);
	state_be(&s, 1, 4);
	state_name(&s, "x-ignore-shared");
	state_subsection(&s, "configuration/uuid", 1);
	stream_raw(&s, "0123456789abcdef", 16);
	state_section(&s, 1, 2, "ram", 0, 4);
	state_footer(&s, 2);
	state_section_goes_on(&s, 2, 2);
	state_footer(&s, 2);
	state_command(&s, 1, NULL, 0);
	state_section_goes_on(&s, 3, 2);
	state_footer(&s, 2);
	state_section(&s, 4, 9, "0000:00:02.0/platform", 5, 6);
	state_footer(&s, 9);
	state_command(&s, 7, "\0\0\0\1", 4);
	state_be(&s, 0, 1);
	eof();
	state_vmdescription(&s, "{ }");
	begin();

	ck_assert_int_eq(savevm_read_header(&reader), 0);
	ck_assert_int_eq(next(&e), 1);
	ck_assert_int_eq(e.kind, SAVEVM_CONFIGURATION);
	ck_assert_uint_eq(e.offset, 8);
	ck_assert_uint_eq(e.length, 2);
	ck_assert_mem_eq(e.octets, "pc", 2);
	ck_assert_uint_eq(e.page_bits, 12);
	for (int kind = SAVEVM_SECTION_START; kind <= SAVEVM_SECTION_END; kind++) {
		if (kind == SAVEVM_SECTION_END) {
			ck_assert_int_eq(next(&e), 1);
			ck_assert_int_eq(e.kind, SAVEVM_COMMAND);
			ck_assert_int_eq(e.command, SAVEVM_COMMAND_OPEN_RETURN_PATH);
			ck_assert_uint_eq(e.length, 0);
		}
		ck_assert_int_eq(next(&e), 1);
		ck_assert_int_eq(e.kind, kind);
		ck_assert_uint_eq(e.section.id, 2);
		ck_assert_str_eq(e.section.idstr, "ram");
		ck_assert_uint_eq(e.section.version_id, 4);
		ck_assert_int_eq(savevm_read_footer(&reader, &e.section), 0);
	}
	ck_assert_int_eq(next(&e), 1);
	ck_assert_int_eq(e.kind, SAVEVM_SECTION_FULL);
	ck_assert_str_eq(e.section.idstr, "0000:00:02.0/platform");
	ck_assert_uint_eq(e.section.instance_id, 5);
	ck_assert_uint_eq(e.section.version_id, 6);
	ck_assert_int_eq(savevm_read_footer(&reader, &e.section), 0);
	ck_assert_int_eq(next(&e), 1);
	ck_assert_int_eq(e.command, SAVEVM_COMMAND_PACKAGED);
	ck_assert_uint_eq(e.length, 1);
	ck_assert_ptr_eq(e.octets, (uint8_t *)octets + reader.in.pos - 1);
	ck_assert_int_eq(next(&e), 1);
	ck_assert_int_eq(e.kind, SAVEVM_EOF);
	ck_assert_int_eq(next(&e), 1);
	ck_assert_int_eq(e.kind, SAVEVM_VMDESCRIPTION);
	ck_assert_uint_eq(e.length, 3);
	ck_assert_mem_eq(e.octets, "{ }", 3);
	ck_assert_int_eq(next(&e), 0);
	ck_assert_int_eq(next(&e), 0);
}
END_TEST

START_TEST(a_section_id_is_free_again_after_its_end)
{
	state_header(&s);
	for (int i = 0; i < 2; i++) {
		state_section(&s, 1, 2, "ram", 0, 4);
		stream_raw(&s, "data", 4);
		state_footer(&s, 2);
		state_section_goes_on(&s, 3, 2);
		stream_raw(&s, "data", 4);
		state_footer(&s, 2);
	}
	eof();
	passes();
}
END_TEST

START_TEST(kinds_and_commands_have_names)
{
	static const char *const kinds[] = {"EOF",           "SECTION_START", "SECTION_PART",
					    "SECTION_END",   "SECTION_FULL",  "SUBSECTION",
					    "VMDESCRIPTION", "CONFIGURATION", "COMMAND"};
	static const char *const commands[] = {"INVALID",
					       "OPEN_RETURN_PATH",
					       "PING",
					       "POSTCOPY_ADVISE",
					       "POSTCOPY_LISTEN",
					       "POSTCOPY_RUN",
					       "POSTCOPY_RAM_DISCARD",
					       "PACKAGED"};

	for (int i = 0; i < COUNT(kinds); i++)
		ck_assert_str_eq(savevm_kind_name(i), kinds[i]);
	ck_assert_str_eq(savevm_kind_name(0x7e), "SECTION_FOOTER");
	ck_assert_ptr_null(savevm_kind_name(9));
	for (int i = 0; i < COUNT(commands); i++)
		ck_assert_str_eq(savevm_command_name(i), commands[i]);
	ck_assert_ptr_null(savevm_command_name(8));
}
END_TEST

/* ---- refused ------------------------------------------------------------------------------- */

START_TEST(header_refused)
{
	static const struct {
		const char *octets;
		int n, errnum;
		const char *text;
	} cases[] = {
		{"", 0, EBADMSG, "device state at offset 0: ends within its header"},
		{"QEVM\0\0\0", 7, EBADMSG, "device state at offset 0: ends within its header"},
		{"QEWM\0\0\0\3", 8, EBADMSG,
		 "device state at offset 0: magic is 0x5145574d, not 0x5145564d (QEVM)"},
		{"QEVM\0\0\0\2", 8, EPROTONOSUPPORT,
		 "device state at offset 0: version 2 is obsolete"},
		{"QEVM\0\0\0\4", 8, EPROTONOSUPPORT,
		 "device state at offset 0: version 4 is not supported, only 3"},
		{"QEVM\0\0\0\3", 8, EBADMSG, "device state at offset 8: ends without EOF"},
	};

	stream_raw(&s, cases[_i].octets, cases[_i].n);
	fails(cases[_i].errnum, cases[_i].text);
}
END_TEST

/* What follows the header and, if there is a text of its own, an open section "ram" of id 2. */
static const struct refusal bad[] = {
	{"\x09", 1, "device state at offset 39: element type 0x09 is unknown"},
	{"\xff", 1, "device state at offset 39: element type 0xff is unknown"},
	{"\x05", 1, "SUBSECTION at offset 39: cannot stand here"},
	{"\x06", 1, "VMDESCRIPTION at offset 39: cannot stand here"},
	{"\x7e", 1, "SECTION_FOOTER at offset 39: cannot stand here"},
	{"\x07", 1, "CONFIGURATION at offset 39: comes after other elements"},
	{"\0", 1, "EOF at offset 39: section ram (instance 0) is open"},
	{"\4\0\0\0", 4, "SECTION_FULL at offset 39: ends within its header"},
	{"\4\0\0\0\1", 5, "SECTION_FULL at offset 39: ends within its name"},
	{"\4\0\0\0\1\3ab", 8, "SECTION_FULL at offset 39: ends within its name"},
	{"\4\0\0\0\1\0", 6, "SECTION_FULL at offset 39: its name is not of printable characters"},
	{"\4\0\0\0\1\2a\x1b", 8,
	 "SECTION_FULL at offset 39: its name is not of printable characters"},
	{"\4\0\0\0\1\1a\0\0\0", 10, "SECTION_FULL at offset 39: ends within its header"},
	{"\4\0\0\0\1\1a\0\0\0\0\0\0\0", 14, "SECTION_FULL at offset 39: ends within its header"},
	{"\1\0\0\0\2\1a\0\0\0\0\0\0\0\0", 15,
	 "section a (instance 0) at offset 39: section id 2 is open already"},
	{"\2\0\0\0", 4, "SECTION_PART at offset 39: ends within its header"},
	{"\2\0\0\0\1", 5,
	 "SECTION_PART at offset 39: section id 1 was not opened by a SECTION_START"},
	{"\3\0\0\0\1", 5,
	 "SECTION_END at offset 39: section id 1 was not opened by a SECTION_START"},
	{"\2\0\0\0\2data\x7e\0\0\0\3", 14,
	 "section ram (instance 0) at offset 39: its footer is of section id 3, not 2"},
	{"\2\0\0\0\2data\x7e\0\0\0", 13,
	 "section ram (instance 0) at offset 39: ends within its footer"},
	{"\2\0\0\0\2data\x7d\0\0\0\2", 14,
	 "section ram (instance 0) at offset 39: no footer at offset 48"},
	{"\2\0\0\0\2data", 9, "section ram (instance 0) at offset 39: no footer at offset 48"},
	{"\x08\0\2\0", 4, "COMMAND at offset 39: ends within its header"},
	{"\x08\0\x08\0\0", 5, "COMMAND at offset 39: command 8 is unknown"},
	{"\x08\0\0\0\0", 5, "COMMAND at offset 39: command 0 (INVALID)"},
	{"\x08\0\1\0\1x", 6,
	 "COMMAND at offset 39: OPEN_RETURN_PATH has 1 octets of payload, not 0"},
	{"\x08\0\2\0\3abc", 8, "COMMAND at offset 39: PING has 3 octets of payload, not 4"},
	{"\x08\0\3\0\x08", 5,
	 "COMMAND at offset 39: POSTCOPY_ADVISE has 8 octets of payload, not 16"},
	{"\x08\0\4\0\1x", 6,
	 "COMMAND at offset 39: POSTCOPY_LISTEN has 1 octets of payload, not 0"},
	{"\x08\0\5\0\1x", 6, "COMMAND at offset 39: POSTCOPY_RUN has 1 octets of payload, not 0"},
	{"\x08\0\6\0\5abc", 8,
	 "COMMAND at offset 39: POSTCOPY_RAM_DISCARD has 5 octets of payload, 3 are there"},
	{"\x08\0\6\0\1\0", 6, "COMMAND at offset 39: POSTCOPY_RAM_DISCARD ends within its name"},
	{"\x08\0\6\0\4\1\1a\0", 9,
	 "COMMAND at offset 39: POSTCOPY_RAM_DISCARD has version 1, not 0"},
	{"\x08\0\6\0\x05\0\1a\0x", 10,
	 "COMMAND at offset 39: POSTCOPY_RAM_DISCARD ends within a range (1 octets of ranges)"},
	{"\x08\0\7\0\5\0\0\0\0\0", 10,
	 "COMMAND at offset 39: PACKAGED has 5 octets of payload, not 4"},
	{"\x08\0\7\0\4\1\0\0\1", 9,
	 "COMMAND at offset 39: PACKAGED of 16777217 octets, more than 16777216"},
	{"\x08\0\7\0\4\0\0\0\5abc", 12, "COMMAND at offset 39: PACKAGED of 5 octets, 3 are there"},
};

START_TEST(elements_refused)
{
	state_header(&s);
	state_section(&s, 1, 2, "ram", 0, 4);
	stream_raw(&s, "\0\0\0\0", 4);
	state_footer(&s, 2);
	state_command(&s, 4, NULL, 0);
	ck_assert_uint_eq(s.len, 39);
	refused(&bad[_i]);
}
END_TEST

/* What may be wrong with a CONFIGURATION; it starts at 8. */
static const struct refusal bad_configurations[] = {
	{"\7\0\0", 3, "CONFIGURATION at offset 8: ends within the length of its machine name"},
	{"\7\0\0\0\3pc", 7,
	 "CONFIGURATION at offset 8: its machine name is of 3 octets, 2 are there"},
	{"\7\0\0\4\1", 5,
	 "CONFIGURATION at offset 8: its machine name is of 1025 octets, more than 1024"},
	{"\7\0\0\0\2p\n", 7, "CONFIGURATION at offset 8: its name is not of printable characters"},
	{"\7\0\0\0\2pc\5", 8, "CONFIGURATION at offset 8: ends within its name"},
	{"\7\0\0\0\2pc\5\x0f"
	 "configuration/x\0\0\0\1",
	 28, "CONFIGURATION at offset 8: subsection configuration/x is unknown"},
	{"\7\0\0\0\2pc\5\x12"
	 "configuration/uuid\0\0\0",
	 30, "CONFIGURATION at offset 8: ends within subsection configuration/uuid"},
	{"\7\0\0\0\2pc\5\x12"
	 "configuration/uuid\0\0\0\1"
	 "0123456789abcde",
	 46, "CONFIGURATION at offset 8: ends within subsection configuration/uuid"},
	{"\7\0\0\0\2pc\5\x12"
	 "configuration/uuid\0\0\0\2"
	 "0123456789abcdef",
	 47, "CONFIGURATION at offset 8: subsection configuration/uuid has version 2, not 1"},
	{"\7\0\0\0\2pc\5\x1e"
	 "configuration/target-page-bits\0\0\0\1\0\0\0",
	 46, "CONFIGURATION at offset 8: ends within subsection configuration/target-page-bits"},
	{"\7\0\0\0\2pc\5\x1a"
	 "configuration/capabilities\0\0\0\1\xff\xff\xff\xff\1a",
	 45, "CONFIGURATION at offset 8: ends within subsection configuration/capabilities"},
};

START_TEST(configurations_refused)
{
	state_header(&s);
	refused(&bad_configurations[_i]);
}
END_TEST

static const struct refusal bad_ends[] = {
	{"\0", 1, "EOF at offset 8: 1 octets follow it"},
	{"\4\0", 2, "EOF at offset 8: 2 octets follow it"},
	{"\6\0\0\0", 4, "VMDESCRIPTION at offset 9: ends within the length of its text"},
	{"\6\0\0\0\3{}", 7, "VMDESCRIPTION at offset 9: its text is of 3 octets, 2 are there"},
	{"\6\0\0\0\2{} ", 8, "VMDESCRIPTION at offset 9: 1 octets follow it"},
	{"\6\0\x80\0\1", 5,
	 "VMDESCRIPTION at offset 9: its text is of 8388609 octets, more than 8388608"},
};

START_TEST(ends_refused)
{
	state_header(&s);
	eof();
	refused(&bad_ends[_i]);
}
END_TEST

START_TEST(open_sections_are_limited)
{
	state_header(&s);
	for (uint32_t id = 0; id < 1025; id++) {
		state_section(&s, 1, id, "ram", id, 4);
		stream_raw(&s, "data", 4);
		state_footer(&s, id);
	}
	fails(EBADMSG,
	      "section ram (instance 1024) at offset 26632: more than 1024 sections are open");
}
END_TEST

START_TEST(a_package_may_end_without_eof_but_have_none_within)
{
	struct savevm_element e;

	full(1);
	begin();
	reader.packaged = true;
	ck_assert_int_eq(savevm_read_element(&reader, &e), 1);
	reader.in.pos += 4;
	ck_assert_int_eq(savevm_read_footer(&reader, &e.section), 0);
	ck_assert_int_eq(savevm_read_element(&reader, &e), 0);
	free(octets);
	state_command(&s, 7, "\0\0\0\0", 4);
	begin();
	reader.packaged = true;
	reader.in.pos = s.len - 9;
	ck_assert_int_eq(savevm_read_element(&reader, &e), -1);
	ck_assert_str_eq(ctx.err.text, "COMMAND at offset 26: PACKAGED within PACKAGED");
}
END_TEST

/* ---- POSTCOPY_RAM_DISCARD ------------------------------------------------------------------ */

START_TEST(discards_come_out_as_they_were_put)
{
	static const uint64_t ranges[][2] = {{0, 4096}, {1ull << 40, UINT64_MAX}};
	struct savevm_discard discard;
	uint64_t start, length;

	ck_assert_int_eq(savevm_write_discard(&out, "pc.ram", ranges, 2), 0);
	ck_assert_int_eq(savevm_discard_parse(&ctx, out.data + 5, out.len - 5, &discard), 0);
	ck_assert_str_eq(discard.block, "pc.ram");
	ck_assert_uint_eq(discard.range_count, 2);
	for (size_t i = 0; i < 2; i++) {
		savevm_discard_range(&discard, i, &start, &length);
		ck_assert_uint_eq(start, ranges[i][0]);
		ck_assert_uint_eq(length, ranges[i][1]);
	}
}
END_TEST

static const struct refusal bad_discards[] = {
	{"", 0, "POSTCOPY_RAM_DISCARD ends within its name"},
	{"\0", 1, "POSTCOPY_RAM_DISCARD ends within its name"},
	{"\0\3ra", 4, "POSTCOPY_RAM_DISCARD ends within its name"},
	{"\0\3ram", 5, "POSTCOPY_RAM_DISCARD ends within its name"},
	{"\1\3ram", 6, "POSTCOPY_RAM_DISCARD has version 1, not 0"},
	{"\0\3ramx", 6, "the name in POSTCOPY_RAM_DISCARD is not one of 3 octets"},
	{"\0\3r\0m\0", 6, "the name in POSTCOPY_RAM_DISCARD is not one of 3 octets"},
	{"\0\0\0", 3, "the name in POSTCOPY_RAM_DISCARD is not one of 0 octets"},
	{"\0\1r\0abcdefgh", 12, "POSTCOPY_RAM_DISCARD ends within a range (8 octets of ranges)"},
};

START_TEST(discards_refused)
{
	struct savevm_discard discard;

	stream_raw(&s, bad_discards[_i].octets, bad_discards[_i].n);
	octets = state_exact(&s, s.len);
	ck_assert_int_eq(savevm_discard_parse(&ctx, octets, s.len, &discard), -1);
	ck_assert_str_eq(ctx.err.text, bad_discards[_i].text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("device container");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, writers_put_what_the_format_says);
	tcase_add_test(tc, configuration_without_page_bits_has_no_subsection);
	tcase_add_test(tc, a_full_buffer_keeps_what_it_has_and_says_so);
	tcase_add_test(tc, integers_are_big_endian_and_bounded);
	tcase_add_test(tc, commands_are_written_with_their_length_only);
	tcase_add_test(tc, packages_and_discards_have_limits);
	tcase_add_test(tc, elements_come_out_as_they_were_put);
	tcase_add_test(tc, a_section_id_is_free_again_after_its_end);
	tcase_add_test(tc, kinds_and_commands_have_names);
	tcase_add_loop_test(tc, header_refused, 0, 6);
	tcase_add_loop_test(tc, elements_refused, 0, COUNT(bad));
	tcase_add_loop_test(tc, configurations_refused, 0, COUNT(bad_configurations));
	tcase_add_loop_test(tc, ends_refused, 0, COUNT(bad_ends));
	tcase_add_test(tc, open_sections_are_limited);
	tcase_add_test(tc, a_package_may_end_without_eof_but_have_none_within);
	tcase_add_test(tc, discards_come_out_as_they_were_put);
	tcase_add_loop_test(tc, discards_refused, 0, COUNT(bad_discards));
	return unit_main(suite, tc);
}
