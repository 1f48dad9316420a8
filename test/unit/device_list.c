/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Listing a container: with a VMDESCRIPTION, by footers, without footers as Xen's are; false footers
 * and headers in data; embedded streams; and whatever damage there may be.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "device_build.h"
#include "engine_alloc.h"
#include "savevm_list.h"
#include "unit_main.h"

static struct stream s;
static struct xensr_error err;
static char text[1 << 16]; /* what was listed, a line each */
static int stop_after;     /* callbacks until one answers 1; -1 = never */

static void setup(void)
{
	s = (struct stream){0};
	stop_after = -1;
}

static void teardown(void)
{
	stream_release(&s);
}

/* ---- the listing as text ------------------------------------------------------------------- */

static void say(const char *fmt, ...) PRINTF_LIKE(1, 2);

static void say(const char *fmt, ...)
{
	size_t used = strlen(text);
	va_list args;

	va_start(args, fmt);
	vsnprintf(text + used, sizeof(text) - used, fmt, args);
	va_end(args);
}

static bool stop(void)
{
	return stop_after >= 0 && stop_after-- == 0;
}

static int on_element(void *data, const struct savevm_listed *listed)
{
	const struct savevm_element *e = &listed->element;

	ck_assert_ptr_eq(data, &s);
	say("%s%zu+%zu %s", listed->depth ? "  " : "", e->offset, listed->length,
	    savevm_kind_name(e->kind));
	switch (e->kind) {
	case SAVEVM_SECTION_START:
	case SAVEVM_SECTION_PART:
	case SAVEVM_SECTION_END:
	case SAVEVM_SECTION_FULL:
		say(" %" PRIu32 " %s/%" PRIu32 " v%" PRIu32 " %zu+%zu %s", e->section.id,
		    e->section.idstr, e->section.instance_id, e->section.version_id,
		    listed->data_offset, listed->data_length, savevm_end_name(listed->end));
		if (listed->candidates > 1 && listed->end == SAVEVM_END_FOOTER)
			say(" of %zu", listed->candidates);
		break;
	case SAVEVM_COMMAND:
		say(" %s", savevm_command_name(e->command));
		break;
	default:
		break;
	}
	if (listed->note)
		say(" (%s)", listed->note);
	say("\n");
	return stop();
}

static int on_value(void *data, const struct savevm_listed *listed, const struct state_value *value)
{
	ck_assert_ptr_eq(data, &s);
	ck_assert(listed->described);
	ck_assert_uint_ge(value->offset, listed->data_offset);
	ck_assert_uint_le(value->offset + value->size, listed->data_offset + listed->data_length);
	say("    %s %s %zu+%zu", value->path, value->type, value->offset, value->size);
	if (value->kind != STATE_BUFFER && value->kind != STATE_UNUSED)
		say(" = %" PRId64, (int64_t)value->number);
	say("\n");
	return stop();
}

static const struct savevm_list_callbacks callbacks = {on_element, on_value, &s};

/* List the first `length` octets. */
static int list(size_t length)
{
	void *octets = state_exact(&s, length);
	int rc;

	memset(text, 0, sizeof(text));
	err = (struct xensr_error){0};
	rc = savevm_list(octets, length, &callbacks, &err);
	free(octets);
	return rc;
}

static void lists(const char *expected)
{
	int rc = list(s.len);

	ck_assert_str_eq(err.text, "");
	ck_assert_str_eq(text, expected);
	ck_assert_int_eq(rc, 0);
}

static void lists_until(const char *expected, const char *error, uint64_t offset)
{
	ck_assert_int_eq(list(s.len), -1);
	ck_assert_str_eq(text, expected);
	ck_assert_str_eq(err.text, error);
	ck_assert_uint_eq(err.offset, offset);
}

static void eof(void)
{
	state_be(&s, 0, 1);
}

/* ---- without a description ----------------------------------------------------------------- */

START_TEST(nothing_but_eof)
{
	state_header(&s);
	eof();
	lists("8+1 EOF\n");
}
END_TEST

START_TEST(sections_by_their_footers)
{
	state_header(&s);
	state_full(&s, 0, "one", 0, 2, "data", 4, 1);
	state_full(&s, 1, "two", 3, 0, "", 0, 1);
	eof();
	lists("8+26 SECTION_FULL 0 one/0 v2 25+4 footer\n"
	      "34+22 SECTION_FULL 1 two/3 v0 51+0 footer\n"
	      "56+1 EOF\n");
}
END_TEST

START_TEST(sections_by_the_next_element)
{
	state_header(&s);
	state_full(&s, 0, "one", 0, 2, "data", 4, 0);
	state_full(&s, 3, "two", 3, 0, "", 0, 0);
	state_full(&s, 4, "three", 0, 4, "\0\0\0\0\0", 5, 0);
	eof();
	lists("8+21 SECTION_FULL 0 one/0 v2 25+4 next element\n"
	      "29+17 SECTION_FULL 3 two/3 v0 46+0 next element\n"
	      "46+24 SECTION_FULL 4 three/0 v4 65+5 next element\n"
	      "70+1 EOF\n");
}
END_TEST

START_TEST(iterative_sections_and_commands)
{
	state_header(&s);
	state_be(&s, 7, 1);
	state_be(&s, 2, 4);
	stream_raw(&s, "pc", 2);
	state_command(&s, 2, "\1\2\3\4", 4);
	state_section(&s, 1, 2, "ram", 0, 4);
	stream_raw(&s, "start", 5);
	state_footer(&s, 2);
	state_section_goes_on(&s, 2, 2);
	stream_raw(&s, "part", 4);
	state_footer(&s, 2);
	state_section_goes_on(&s, 3, 2);
	state_footer(&s, 2);
	eof();
	lists("8+7 CONFIGURATION\n"
	      "15+9 COMMAND PING\n"
	      "24+27 SECTION_START 2 ram/0 v4 41+5 footer of 3\n"
	      "51+14 SECTION_PART 2 ram/0 v4 56+4 footer of 2\n"
	      "65+10 SECTION_END 2 ram/0 v4 70+0 footer\n"
	      "75+1 EOF\n");
}
END_TEST

/* What looks like a footer, but does not lead to the end; a footer of another id; one at the end of
 * the data that does. */
START_TEST(footers_in_data_are_told_apart)
{
	state_header(&s);
	state_section(&s, 4, 5, "dev", 0, 1);
	state_footer(&s, 5);
	stream_raw(&s, "\4\0\0\0\7\3", 6); /* a header, of which the name is cut by a 0 */
	stream_raw(&s, "a\0b", 3);
	state_footer(&s, 6);
	state_footer(&s, 5);
	stream_raw(&s, "\0\0", 2); /* EOF, but not the last octet */
	state_footer(&s, 5);
	eof();
	lists("8+48 SECTION_FULL 5 dev/0 v1 25+26 footer\n"
	      "56+1 EOF\n");
}
END_TEST

/* Two footers of the same id lead to the end: the first one is taken, and the other one is said. */
START_TEST(ambiguity_is_said)
{
	state_header(&s);
	state_full(&s, 5, "dev", 0, 1, NULL, 0, 1);
	state_full(&s, 6, "in", 0, 1, NULL, 0, 1);
	state_full(&s, 5, "dev", 1, 1, NULL, 0, 1);
	eof();
	lists("8+22 SECTION_FULL 5 dev/0 v1 25+0 footer of 2\n"
	      "30+21 SECTION_FULL 6 in/0 v1 46+0 footer\n"
	      "51+22 SECTION_FULL 5 dev/1 v1 68+0 footer\n"
	      "73+1 EOF\n");
}
END_TEST

START_TEST(cut_in_a_section)
{
	state_header(&s);
	state_full(&s, 0, "one", 0, 2, "data", 4, 1);
	state_section(&s, 4, 1, "two", 3, 0);
	stream_raw(&s, "dat", 3);
	lists_until("8+26 SECTION_FULL 0 one/0 v2 25+4 footer\n",
		    "section two (instance 3) at offset 34: its end cannot be found", 34);
}
END_TEST

START_TEST(embedded_streams)
{
	state_header(&s);
	state_command(&s, 7, "\0\0\0\x24", 4);
	state_command(&s, 4, NULL, 0);
	state_full(&s, 1, "dev", 0, 1, "data", 4, 1);
	state_command(&s, 5, NULL, 0);
	state_command(&s, 7, "\0\0\0\x0e", 4);
	state_header(&s);
	state_command(&s, 5, NULL, 0);
	eof();
	eof();
	lists("8+45 COMMAND PACKAGED\n"
	      "  17+5 COMMAND POSTCOPY_LISTEN\n"
	      "  22+26 SECTION_FULL 1 dev/0 v1 39+4 footer\n"
	      "  48+5 COMMAND POSTCOPY_RUN\n"
	      "53+23 COMMAND PACKAGED\n"
	      "  70+5 COMMAND POSTCOPY_RUN\n"
	      "  75+1 EOF\n"
	      "76+1 EOF\n");
}
END_TEST

START_TEST(embedded_streams_are_no_deeper_than_one)
{
	state_header(&s);
	state_command(&s, 7, "\0\0\0\x09", 4);
	state_command(&s, 7, "\0\0\0\0", 4);
	eof();
	lists_until("8+18 COMMAND PACKAGED\n", "COMMAND at offset 17: PACKAGED within PACKAGED",
		    17);
}
END_TEST

/* ---- with a VMDESCRIPTION ------------------------------------------------------------------ */

static const char described[] =
	"{\"page_size\": 4096, \"devices\": ["
	"{\"name\": \"clock\", \"instance_id\": 0, \"vmsd_name\": \"clock\", \"version\": 2,"
	" \"fields\": ["
	"{\"name\": \"ticks\", \"type\": \"int64\", \"size\": 8},"
	"{\"name\": \"unused\", \"type\": \"unused_buffer\", \"size\": 2},"
	"{\"name\": \"irq\", \"array_len\": 2, \"type\": \"uint16 equal\", \"size\": 2},"
	"{\"name\": \"odd\", \"type\": \"fifo32\", \"size\": 3}]},"
	"{\"name\": \"0000:00:02.0/nic\", \"instance_id\": 7, \"vmsd_name\": \"nic\", \"version\": "
	"1,"
	" \"fields\": ["
	"{\"name\": \"mac\", \"type\": \"buffer\", \"size\": 6},"
	"{\"name\": \"ring\", \"index\": 0, \"type\": \"struct\", \"size\": 4, \"struct\":"
	"  {\"vmsd_name\": \"ring\", \"version\": 1, \"fields\": ["
	"   {\"name\": \"head\", \"type\": \"uint32\", \"size\": 4}]}},"
	"{\"name\": \"ring\", \"index\": 1, \"type\": \"struct\", \"size\": 18, \"struct\":"
	"  {\"vmsd_name\": \"ring\", \"version\": 1, \"fields\": ["
	"   {\"name\": \"head\", \"type\": \"uint32\", \"size\": 4}],"
	"   \"subsections\": [{\"vmsd_name\": \"ring/on\", \"version\": 3, \"fields\": ["
	"    {\"name\": \"on\", \"type\": \"bool\", \"size\": 1}]}]}},"
	"{\"name\": \"tmp\", \"type\": \"tmp\", \"vmsd_name\": \"nic-tmp\", \"version\": 0, "
	"\"size\": 1,"
	" \"fields\": [{\"name\": \"speed\", \"type\": \"int8\", \"size\": 1}]}],"
	" \"subsections\": [{\"vmsd_name\": \"nic/timer\", \"version\": 1, \"fields\": ["
	"{\"name\": \"at\", \"type\": \"timer\", \"size\": 8}]}]},"
	"{\"name\": \"old\", \"instance_id\": 0, \"fields\": ["
	"{\"name\": \"data\", \"size\": 3, \"type\": \"buffer\"}]}]}";

static void nic_data(void)
{
	stream_raw(&s, "\x52\x54\0\1\2\3", 6);
	state_be(&s, 17, 4);
	state_be(&s, 18, 4);
	state_subsection(&s, "ring/on", 3);
	state_be(&s, 1, 1);
	state_be(&s, 0x9c, 1);
	state_subsection(&s, "nic/timer", 1);
	state_be(&s, UINT64_MAX, 8);
}

/* The devices of a description, which is `described` or a lie about them. */
static void described_stream(int footers, const char *description)
{
	state_header(&s);
	state_section(&s, 4, 0, "clock", 0, 2);
	state_be(&s, (uint64_t)-5, 8);
	stream_raw(&s, "\0\0\0\1\0\2odd", 9);
	if (footers)
		state_footer(&s, 0);
	state_section(&s, 4, 3, "0000:00:02.0/nic", 7, 1);
	nic_data();
	if (footers)
		state_footer(&s, 3);
	state_full(&s, 4, "old", 0, 99, "abc", 3, footers);
	eof();
	state_vmdescription(&s, description);
}

#define CLOCK_FIELDS                         \
	"    ticks int64 27+8 = -5\n"        \
	"    unused unused_buffer 35+2\n"    \
	"    irq[0] uint16 equal 37+2 = 1\n" \
	"    irq[1] uint16 equal 39+2 = 2\n" \
	"    odd fifo32 41+3\n"

START_TEST(fields_of_described_sections)
{
	described_stream(1, described);
	lists("8+41 SECTION_FULL 0 clock/0 v2 27+17 vmdescription\n" CLOCK_FIELDS
	      "49+87 SECTION_FULL 3 0000:00:02.0/nic/7 v1 79+52 vmdescription\n"
	      "    mac buffer 79+6\n"
	      "    ring[0].head uint32 85+4 = 17\n"
	      "    ring[1].head uint32 89+4 = 18\n"
	      "    ring[1].ring/on.on bool 106+1 = 1\n"
	      "    tmp.speed int8 107+1 = -100\n"
	      "    nic/timer.at timer 123+8 = -1\n"
	      "136+25 SECTION_FULL 4 old/0 v99 153+3 vmdescription\n"
	      "    data buffer 153+3\n"
	      "161+1 EOF\n"
	      "162+1276 VMDESCRIPTION\n");
}
END_TEST

START_TEST(fields_of_described_sections_without_footers)
{
	described_stream(0, described);
	ck_assert_int_eq(list(s.len), 0);
	ck_assert_ptr_nonnull(
		strstr(text, "8+36 SECTION_FULL 0 clock/0 v2 27+17 vmdescription\n" CLOCK_FIELDS
			     "44+82 SECTION_FULL 3 0000:00:02.0/nic/7 v1 74+52 vmdescription\n"));
}
END_TEST

/* A description tells the end of a section although its data has what looks like one. */
START_TEST(a_description_is_stronger_than_a_footer)
{
	state_header(&s);
	state_section(&s, 4, 4, "old", 0, 1);
	state_footer(&s, 4);
	state_section(&s, 4, 5, "in", 0, 1);
	state_footer(&s, 5);
	state_full(&s, 4, "x", 0, 1, "", 0, 1);
	eof();
	state_vmdescription(&s,
			    "{\"devices\": [{\"name\": \"old\", \"instance_id\": 0, \"fields\": ["
			    "{\"name\": \"data\", \"size\": 41, \"type\": \"buffer\"}]}]}");
	lists("8+63 SECTION_FULL 4 old/0 v1 25+41 vmdescription\n"
	      "    data buffer 25+41\n"
	      "71+1 EOF\n"
	      "72+113 VMDESCRIPTION\n");
}
END_TEST

/* Descriptions of the first device that do not fit it. It is then found by its footer. */
#define LIE(members)   "{\"devices\": [{\"name\": \"clock\", \"instance_id\": 0, " members "}]}"
#define FIELDS(fields) LIE("\"vmsd_name\": \"clock\", \"version\": 2, \"fields\": [" fields "]")
#define FIELD(more)    FIELDS("{\"name\": \"f\", \"type\": \"buffer\", " more "}")
static const struct {
	const char *description, *note;
} lies[] = {
	{FIELD("\"size\": 16"),
	 "the vmdescription does not fit: no end of the section at offset 43"},
	{FIELD("\"size\": 17, \"array_len\": 0"),
	 "the vmdescription does not fit: no end of the section at offset 27"},
	{FIELD("\"size\": 18"),
	 "the vmdescription does not fit: no end of the section at offset 45"},
	{FIELD("\"size\": 268435456"), "the vmdescription does not fit: field f at offset 27 takes "
				       "268435456 octets, "},
	{FIELD("\"size\": 0, \"array_len\": 4294967295"),
	 "the vmdescription does not fit: field f[256] at offset 27: too many elements of no "
	 "octets"},
	{FIELD("\"size\": 268435456, \"array_len\": 4294967295"),
	 "the vmdescription does not fit: field f[0] at offset 27 takes 268435456 octets, "},
	{LIE("\"vmsd_name\": \"clock\", \"version\": 3"),
	 "the vmdescription does not fit: it has version 2, older than 3"},
	{LIE("\"vmsd_name\": \"clock\", \"version\": 1"),
	 "the vmdescription does not fit: it has version 2, newer than 1"},
	{LIE("\"vmsd_name\": \"clock\", \"version\": 2, \"subsections\": [{\"vmsd_name\": "
	     "\"clock/x\", "
	     "\"version\": 1}]"),
	 "the vmdescription does not fit: subsection clock/x is not at offset 27"},
	{FIELDS("{\"name\": \"a\", \"type\": \"struct\", \"size\": 0, \"array_len\": 4000000000, "
		"\"struct\": "
		"{\"vmsd_name\": \"b\", \"version\": 1, \"fields\": ["
		"{\"name\": \"a\", \"type\": \"struct\", \"size\": 0, \"array_len\": 4000000000, "
		"\"struct\": "
		"{\"vmsd_name\": \"b\", \"version\": 1}}]}}"),
	 "the vmdescription does not fit: field a[0].a[256] at offset 27: too many elements of no "
	 "octets"},
};

START_TEST(descriptions_that_lie_about_a_section)
{
	described_stream(1, lies[_i].description);
	ck_assert_int_eq(list(s.len), 0);
	ck_assert(!strncmp(text, "8+41 SECTION_FULL 0 clock/0 v2 27+17 footer (", 45));
	ck_assert_msg(!strncmp(text + 45, lies[_i].note, strlen(lies[_i].note)), "%s", text);
}
END_TEST

/* Descriptions that are none; what is wrong is said of the VMDESCRIPTION. */
#define NESTED(x)                                                                              \
	"[{\"name\": \"a\", \"type\": \"s\", \"size\": 1, \"struct\": {\"vmsd_name\": \"b\", " \
	"\"version\": 1, \"fields\": " x "}}]"
#define NESTED4(x) NESTED(NESTED(NESTED(NESTED(x))))
static const struct {
	const char *description, *note;
} no_descriptions[] = {
	{"", "its text is no JSON (octet 0)"},
	{"{\"devices\": [}", "its text is no JSON (octet 14)"},
	{"[]", "its text is no JSON object"},
	{"{}", "\"devices\" is missing"},
	{"{\"devices\": {}}", "\"devices\" is no array"},
	{"{\"devices\": [], \"page_size\": \"4096\"}", "\"page_size\" is no integer"},
	{"{\"devices\": [], \"page_size\": -1}", "\"page_size\" is out of range"},
	{"{\"devices\": [1]}", "\"name\" is missing or no string"},
	{"{\"devices\": [{\"name\": \"\"}]}", "\"name\" is not of 1 to 255 printable characters"},
	{"{\"devices\": [{\"name\": \"a\\u001b[2J\"}]}",
	 "\"name\" is not of 1 to 255 printable characters"},
	{"{\"devices\": [{\"name\": \"a\"}]}", "device a: \"instance_id\" is missing"},
	{"{\"devices\": [{\"name\": \"a\", \"instance_id\": 4294967296}]}",
	 "device a: \"instance_id\" is out of range"},
	{LIE("\"vmsd_name\": \"a\""), "device clock: \"version\" is missing"},
	{LIE("\"vmsd_name\": \"a\", \"version\": 1.5"), "device clock: \"version\" is no integer"},
	{LIE("\"vmsd_name\": \"a\", \"version\": 1, \"fields\": 1"),
	 "device clock: \"fields\" is no array"},
	{LIE("\"vmsd_name\": \"a\", \"version\": 1, \"subsections\": 1"),
	 "device clock: \"subsections\" is no array"},
	{LIE("\"vmsd_name\": \"a\", \"version\": 1, \"subsections\": [1]"),
	 "device clock: \"struct\" is no object"},
	{LIE("\"fields\": 1"), "device clock: \"fields\" is no array"},
	{FIELDS("{}"), "device clock: \"name\" is missing or no string"},
	{FIELDS("{\"name\": \"a\"}"), "device clock: \"type\" is missing or no string"},
	{FIELDS("{\"name\": \"a\", \"type\": \"t\"}"), "device clock: \"size\" is missing"},
	{FIELD("\"size\": 268435457"), "device clock: \"size\" is out of range"},
	{FIELD("\"size\": 1, \"array_len\": -1"), "device clock: \"array_len\" is out of range"},
	{FIELD("\"size\": 1, \"index\": 4294967296"), "device clock: \"index\" is out of range"},
	{FIELD("\"size\": 1, \"struct\": 1"), "device clock: \"struct\" is no object"},
	{LIE("\"vmsd_name\": \"a\", \"version\": 1, \"fields\": " NESTED4(
		 NESTED4(NESTED4(NESTED4("[]"))))),
	 "device clock: \"struct\" is nested too deep"},
};

START_TEST(descriptions_that_are_none)
{
	const char *last;

	described_stream(1, no_descriptions[_i].description);
	ck_assert_int_eq(list(s.len), 0);
	ck_assert(!strncmp(text, "8+41 SECTION_FULL 0 clock/0 v2 27+17 footer\n", 44));
	last = strstr(text, "VMDESCRIPTION (");
	ck_assert_ptr_nonnull(last);
	last += strlen("VMDESCRIPTION (");
	ck_assert_msg(!strncmp(last, no_descriptions[_i].note, strlen(no_descriptions[_i].note)) &&
			      !strcmp(last + strlen(no_descriptions[_i].note), ")\n"),
		      "%s", text);
}
END_TEST

/* ---- devices that we know ------------------------------------------------------------------ */

static void pci_device(uint32_t ids)
{
	state_be(&s, 2, 4);
	state_be(&s, ids, 4);
	stream_raw(&s, NULL, 252 + 16);
}

/* No footers, no configuration, no VMDESCRIPTION, data that has the start of a header in it. */
static void state_for_xen(void)
{
	state_header(&s);
	state_section(&s, 4, 0, "timer", 0, 2);
	state_be(&s, 1, 8);
	state_be(&s, 0x0400000003016100, 8); /* what could be a section "a" */
	state_be(&s, (uint64_t)-1, 8);
	state_section(&s, 4, 3, "vga", 0, 12);
	stream_raw(&s, "\4\4\4\0\0", 5);
	state_section(&s, 4, 8, "PCIBUS", 0, 1);
	state_be(&s, 2, 4);
	state_be(&s, 0, 4);
	state_be(&s, 1, 4);
	state_section(&s, 4, 14, "hpet", 0, 2);
	stream_raw(&s, NULL, 24);
	state_be(&s, 1, 1);
	state_be(&s, 0, 1);
	for (int i = 1; i <= 4; i++)
		state_be(&s, i, 8);
	state_be(&s, 0, 1);
	state_be(&s, UINT64_MAX, 8);
	state_section(&s, 4, 32, "0000:00:02.0/platform", 0, 4);
	pci_device(0x53580100);
	state_be(&s, 0, 1);
	eof();
}

START_TEST(known_devices_are_shown_by_field)
{
	state_for_xen();
	lists("8+43 SECTION_FULL 0 timer/0 v2 27+24 known device\n"
	      "    cpu_ticks_offset int64 27+8 = 1\n"
	      "    unused unused_buffer 35+8\n"
	      "    cpu_clock_offset int64 43+8 = -1\n"
	      "51+22 SECTION_FULL 3 vga/0 v12 68+5 next element\n"
	      "73+32 SECTION_FULL 8 PCIBUS/0 v1 93+12 known device\n"
	      "    nirq int32 93+4 = 2\n"
	      "    irq_count[0] int32 97+4 = 0\n"
	      "    irq_count[1] int32 101+4 = 1\n"
	      "105+85 SECTION_FULL 14 hpet/0 v2 123+67 known device\n"
	      "    config uint64 123+8 = 0\n"
	      "    isr uint64 131+8 = 0\n"
	      "    counter uint64 139+8 = 0\n"
	      "    num_timers uint8 147+1 = 1\n"
	      "    timer[0].tn uint8 148+1 = 0\n"
	      "    timer[0].config uint64 149+8 = 1\n"
	      "    timer[0].cmp uint64 157+8 = 2\n"
	      "    timer[0].fsb uint64 165+8 = 3\n"
	      "    timer[0].period uint64 173+8 = 4\n"
	      "    timer[0].wrap_flag uint8 181+1 = 0\n"
	      "    timer[0].qemu_timer timer 182+8 = -1\n"
	      "190+312 SECTION_FULL 32 0000:00:02.0/platform/0 v4 225+277 known device\n"
	      "    pci.version_id int32 225+4 = 2\n"
	      "    pci.config buffer 229+256\n"
	      "    pci.irq_state[0] uint32 485+4 = 0\n"
	      "    pci.irq_state[1] uint32 489+4 = 0\n"
	      "    pci.irq_state[2] uint32 493+4 = 0\n"
	      "    pci.irq_state[3] uint32 497+4 = 0\n"
	      "    flags uint8 501+1 = 0\n"
	      "502+1 EOF\n");
}
END_TEST

/* A device of the name, but with other data, or of another version. */
START_TEST(devices_that_are_not_those_we_know)
{
	state_header(&s);
	state_full(&s, 0, "port92", 0, 1, "ab", 2, 1);
	state_full(&s, 1, "i2c_bus", 0, 2, "a", 1, 1);
	state_full(&s, 2, "PCIBUS", 0, 1, "\xff\xff\xff\xff", 4, 1);
	state_full(&s, 3, "hpet", 0, 2, "", 0, 1);
	eof();
	lists("8+27 SECTION_FULL 0 port92/0 v1 28+2 footer (the known device does not fit: no end "
	      "of the "
	      "section at offset 29)\n"
	      "35+27 SECTION_FULL 1 i2c_bus/0 v2 56+1 footer\n"
	      "62+29 SECTION_FULL 2 PCIBUS/0 v1 82+4 footer (the known device does not fit: field "
	      "irq_count has 18446744073709551615 elements, at most 4096 are possible)\n"
	      "91+23 SECTION_FULL 3 hpet/0 v2 109+0 footer (the known device does not fit: field "
	      "config "
	      "at offset 109 takes 8 octets, 6 are there)\n"
	      "114+1 EOF\n");
}
END_TEST

/* ---- damage and trouble -------------------------------------------------------------------- */

START_TEST(a_callback_can_end_it)
{
	int calls = 0;

	described_stream(1, described);
	for (;; calls++) {
		stop_after = calls;
		if (list(s.len) == 0)
			break;
		ck_assert_int_eq(err.errnum, ECANCELED);
		ck_assert_ptr_nonnull(strstr(err.text, " stopped"));
	}
	ck_assert_int_eq(calls, 5 + 12);
}
END_TEST

/* Elements and fields are wanted or not. */
START_TEST(callbacks_may_be_missing)
{
	static const struct savevm_list_callbacks no_callbacks = {NULL, NULL, NULL};

	described_stream(1, described);
	ck_assert_int_eq(savevm_list(s.octets, s.len, &no_callbacks, NULL), 0);
}
END_TEST

START_TEST(too_many_octets_are_refused)
{
	uint8_t octet = 0;

	ck_assert_int_eq(savevm_list(&octet, SAVEVM_MAX_OCTETS + 1, &callbacks, &err), -1);
	ck_assert_str_eq(err.text, "device state of 268435457 octets, more than 268435456");
}
END_TEST

/*
 * Cut anywhere it is an error, but right behind EOF, where a stream without VMDESCRIPTION ends. An
 * octet 0 in a section's data cannot be told from EOF while no footer was seen.
 */
START_TEST(cut_at_every_octet)
{
	size_t whole, footers_from;

	described_stream(_i, described);
	whole = s.len - strlen(described) - 5;
	footers_from = _i ? 49 : s.len;
	for (size_t length = 0; length < s.len; length++) {
		int rc = list(length);

		if (length == whole)
			ck_assert_int_eq(rc, 0);
		else if (length >= footers_from || rc < 0)
			ck_assert_int_eq(err.errnum, EBADMSG);
		else
			ck_assert_int_eq(s.octets[length - 1], 0);
	}
}
END_TEST

/* Whatever bit is wrong, the listing comes to an end, within the octets, with a reason if it fails. */
START_TEST(every_bit_flipped)
{
	if (_i == 2)
		state_for_xen();
	else
		described_stream(_i, described);
	for (size_t bit = 0; bit < 8 * s.len; bit++) {
		s.octets[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (list(s.len) < 0)
			ck_assert_str_ne(err.text, "");
		s.octets[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}
END_TEST

/* A mebibyte of headers and footers each of which could belong to any other: time stays linear, or
 * the test runs into its limit. */
START_TEST(hostile_headers_and_footers)
{
	state_header(&s);
	while (s.len < 1 << 20)
		state_full(&s, 1, "~", 0, 1, "\1\0\0\0\1\1a\0\0\0\0\0\0\0\0\2\0\0\0\1", 20, _i);
	ck_assert_int_eq(list(s.len), -1);
	ck_assert_int_eq(err.errnum, EBADMSG);
	eof();
	ck_assert_int_eq(list(s.len), _i ? 0 : -1);
}
END_TEST

/* Without check's assertions, which allocate. */
static int count_element(void *data, const struct savevm_listed *listed)
{
	*(unsigned *)data += listed->length != 0;
	return 0;
}

static int count_value(void *data, const struct savevm_listed *listed,
		       const struct state_value *value)
{
	*(unsigned *)data += listed->described && value->path;
	return 0;
}

/*
 * 20,000 sections without footers, each of which a description fits that has as many elements of no
 * octets as it may, or one that never fits. Time stays linear, or the test runs into its limit.
 */
START_TEST(hostile_descriptions)
{
	static const char device[] = "{\"name\": \"a\", \"instance_id\": 0, \"fields\": "
				     "[{\"name\": \"f\", \"type\": \"t\","
				     " \"size\": %d, \"array_len\": %d}]},";
	char *json = calloc(20001, sizeof(device) + 16);
	size_t used;

	state_header(&s);
	used = (size_t)sprintf(json, "{\"devices\": [");
	for (int i = 0; i < 20000; i++) {
		state_full(&s, 1, "a", 0, 1, NULL, 0, 0);
		used += (size_t)sprintf(json + used, device, _i, _i ? 1 << 20 : 256);
	}
	eof();
	strcpy(json + used - 1, "]}");
	state_vmdescription(&s, json);
	ck_assert_int_eq(savevm_list(s.octets, s.len,
				     &(struct savevm_list_callbacks){NULL, NULL, NULL}, &err),
			 0);
	free(json);
}
END_TEST

/* An array of 400,000 structures, each of which has 40,000 fields of no elements: the same. */
START_TEST(absent_fields)
{
	static const char absent[] = "{\"name\":\"e\",\"type\":\"t\",\"size\":1,\"array_len\":0},";
	const unsigned elements = 400000, fields = 40000;
	uint8_t *data = calloc(elements, 1);
	char *json = calloc(fields + 10, sizeof(absent));
	size_t used;
	unsigned values = 0;

	used = (size_t)sprintf(json,
			       "{\"devices\":[{\"name\":\"a\",\"instance_id\":0,\"version\":1,"
			       "\"fields\":[{\"name\":\"f\",\"type\":\"s\",\"size\":1,"
			       "\"array_len\":%u,\"struct\":{\"vmsd_name\":\"b\",\"version\":1,"
			       "\"fields\":[",
			       elements);
	for (unsigned i = 0; i < fields; i++)
		used += (size_t)sprintf(json + used, "%s", absent);
	strcpy(json + used, "{\"name\":\"v\",\"type\":\"uint8\",\"size\":1}]}}]}]}");
	state_header(&s);
	state_full(&s, 1, "a", 0, 1, data, elements, 1);
	eof();
	state_vmdescription(&s, json);
	ck_assert_int_eq(savevm_list(s.octets, s.len,
				     &(struct savevm_list_callbacks){NULL, count_value, &values},
				     &err),
			 0);
	ck_assert_uint_ge(values, elements);
	free(json);
	free(data);
}
END_TEST

/* Our own allocations; Jansson's are its own. */
START_TEST(no_memory)
{
	unsigned given = 0;
	const struct savevm_list_callbacks counting = {count_element, count_value, &given};
	unsigned n = 1;

	described_stream(1, described);
	for (;; n++) {
		void *octets = state_exact(&s, s.len);
		int rc;

		given = 0;
		err = (struct xensr_error){0};
		engine_alloc_arm(n);
		rc = savevm_list(octets, s.len, &counting, &err);
		engine_alloc_disarm();
		free(octets);
		ck_assert_int_eq(engine_alloc.held, 0);
		if (!engine_alloc.failed) {
			ck_assert_int_eq(rc, 0);
			break;
		}
		ck_assert_msg(rc == -1, "allocation %u failed and nobody noticed", n);
		ck_assert_int_eq(err.errnum, ENOMEM);
	}
	ck_assert_uint_eq(given, 5 + 12);
	ck_assert_uint_gt(n, 20);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("device list");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, nothing_but_eof);
	tcase_add_test(tc, sections_by_their_footers);
	tcase_add_test(tc, sections_by_the_next_element);
	tcase_add_test(tc, iterative_sections_and_commands);
	tcase_add_test(tc, footers_in_data_are_told_apart);
	tcase_add_test(tc, ambiguity_is_said);
	tcase_add_test(tc, cut_in_a_section);
	tcase_add_test(tc, embedded_streams);
	tcase_add_test(tc, embedded_streams_are_no_deeper_than_one);
	tcase_add_test(tc, fields_of_described_sections);
	tcase_add_test(tc, fields_of_described_sections_without_footers);
	tcase_add_test(tc, a_description_is_stronger_than_a_footer);
	tcase_add_loop_test(tc, descriptions_that_lie_about_a_section, 0, COUNT(lies));
	tcase_add_loop_test(tc, descriptions_that_are_none, 0, COUNT(no_descriptions));
	tcase_add_test(tc, known_devices_are_shown_by_field);
	tcase_add_test(tc, devices_that_are_not_those_we_know);
	tcase_add_test(tc, a_callback_can_end_it);
	tcase_add_test(tc, callbacks_may_be_missing);
	tcase_add_test(tc, too_many_octets_are_refused);
	tcase_add_loop_test(tc, cut_at_every_octet, 0, 2);
	tcase_add_loop_test(tc, every_bit_flipped, 0, 3);
	tcase_add_loop_test(tc, hostile_headers_and_footers, 0, 2);
	tcase_add_loop_test(tc, hostile_descriptions, 0, 2);
	tcase_add_test(tc, absent_fields);
	tcase_add_test(tc, no_memory);
	return unit_main(suite, tc);
}
