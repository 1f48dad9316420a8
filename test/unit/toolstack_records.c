/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The xl header and the records of a libxl stream, against octets built from the specification:
 * what is good is read and written to the octet, what is not is refused with exactly this text.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io.h"
#include "stream_build.h"
#include "toolstack/libxl_record.h"
#include "toolstack/xenstore_data.h"
#include "toolstack/xl_file.h"
#include "unit_main.h"

static struct stream s;
static struct xensr_ctx ctx;
static struct body body;
static struct xl_file file;
static struct libxl_record rec;

static void teardown(void)
{
	if (ctx.io_fd > 0)
		close(ctx.io_fd);
	ctx.io_fd = -1;
	xl_file_release(&file);
	body_release(&body);
	stream_release(&s);
}

/* A context at the start of the first len octets of the stream. */
static void open_cut(size_t len)
{
	static const struct xensr_reports silent;
	struct stream cut = {.octets = s.octets, .len = len};

	if (ctx.io_fd > 0)
		close(ctx.io_fd);
	ctx_init(&ctx, stream_file(&cut), &silent);
}

static void open_stream(void)
{
	open_cut(s.len);
}

static void refused(int rc, int errnum, const char *text)
{
	ck_assert_msg(rc == -1, "accepted; expected: %s", text);
	ck_assert_str_eq(ctx.err.text, text);
	ck_assert_int_eq(ctx.err.errnum, errnum);
}

static void u32(uint32_t value)
{
	stream_raw(&s, &value, sizeof(value));
}

/* ---- xl file ------------------------------------------------------------------------------- */

#define MAGIC "Xen saved domain, xl format\n \0 \r"

static const char config[] = "{\"c_info\": {\"name\": \"guest\"}}";

static void xl_head(uint32_t byteorder, uint32_t mandatory, uint32_t optional, uint32_t octets)
{
	stream_raw(&s, MAGIC, 32);
	u32(byteorder);
	u32(mandatory);
	u32(optional);
	u32(octets);
}

static void xl_good(uint32_t mandatory, uint32_t tail)
{
	xl_head(0x01020304, mandatory, 0, 4 + sizeof(config) + tail);
	u32(sizeof(config));
	stream_raw(&s, config, sizeof(config));
	stream_raw(&s, NULL, tail);
}

START_TEST(xl_is_read)
{
	static const uint32_t tails[] = {0, 1, 4096, 70000};

	xl_good((uint32_t)_i & 3, tails[_i / 4]);
	stream_raw(&s, "next", 4);
	open_stream();
	ck_assert_msg(xl_file_read(&ctx, &file) == 0, "%s", ctx.err.text);
	ck_assert_uint_eq(file.mandatory, (unsigned)_i & 3);
	ck_assert_uint_eq(file.optional, 0);
	ck_assert_str_eq(file.config, config);
	ck_assert_uint_eq(file.config_octets, strlen(config));
	/* And not an octet more. */
	ck_assert_uint_eq(ctx.offset, s.len - 4);
	ck_assert_int_eq(lseek(ctx.io_fd, 0, SEEK_CUR), (off_t)s.len - 4);
}
END_TEST

START_TEST(xl_without_config)
{
	xl_head(0x01020304, 2, 0x80, _i ? 4 : 0);
	if (_i)
		u32(0);
	open_stream();
	ck_assert_msg(xl_file_read(&ctx, &file) == 0, "%s", ctx.err.text);
	ck_assert_uint_eq(file.optional, 0x80);
	ck_assert_uint_eq(file.config_octets, 0);
	if (_i)
		ck_assert_str_eq(file.config, "");
	else
		ck_assert_ptr_null(file.config);
}
END_TEST

/* Without a NUL at its end, and with many. */
START_TEST(xl_config_ends)
{
	uint32_t octets = (uint32_t)strlen(config) + (uint32_t)_i;

	xl_head(0x01020304, 3, 0, 4 + octets);
	u32(octets);
	stream_raw(&s, config, strlen(config));
	stream_raw(&s, NULL, (size_t)_i);
	open_stream();
	ck_assert_msg(xl_file_read(&ctx, &file) == 0, "%s", ctx.err.text);
	ck_assert_str_eq(file.config, config);
}
END_TEST

START_TEST(xl_is_refused)
{
	static const struct {
		uint32_t byteorder, mandatory, optional_octets, config_octets;
		int errnum;
		const char *text;
	} cases[] = {
		{0x04030201, 3, 4, 0, EBADMSG, "written by a machine of the other byte order"},
		{0x01020300, 3, 4, 0, EBADMSG, "byte order mark is 0x1020300, not 0x1020304"},
		{0x01020304, 7, 4, 0, ENOTSUP, "mandatory flags 0x4 are unknown"},
		{0x01020304, 0x80000003, 4, 0, ENOTSUP, "mandatory flags 0x80000000 are unknown"},
		{0x01020304, 3, 3, 0, EBADMSG,
		 "3 octets of optional data have no room for the length of the configuration"},
		{0x01020304, 3, 4, 1, EBADMSG,
		 "a configuration of 1 octets, but 0 octets of optional data are left for it"},
		{0x01020304, 3, 104, UINT32_MAX, EBADMSG,
		 "a configuration of 4294967295 octets, but 100 octets of optional data are left "
		 "for it"},
		{0x01020304, 3, UINT32_MAX, (4 << 20) + 1, EBADMSG,
		 "a configuration of 4194305 octets, at most 4194304 allowed"},
	};
	char text[200];

	if (_i == COUNT(cases)) {
		xl_good(3, 0);
		s.octets[31] = '\n';
		open_stream();
		refused(xl_file_read(&ctx, &file), EBADMSG,
			"xl header at offset 0: no magic: this is not a saved domain of xl");
		return;
	}
	xl_head(cases[_i].byteorder, cases[_i].mandatory, 0, cases[_i].optional_octets);
	u32(cases[_i].config_octets);
	stream_raw(&s, NULL, 1000);
	open_stream();
	snprintf(text, sizeof(text), "xl header at offset 0: %s", cases[_i].text);
	refused(xl_file_read(&ctx, &file), cases[_i].errnum, text);
}
END_TEST

START_TEST(xl_nul_inside)
{
	xl_good(3, 0);
	s.octets[52 + 7] = '\0';
	open_stream();
	refused(xl_file_read(&ctx, &file), EBADMSG,
		"xl header at offset 0: the configuration has a NUL as its octet 7");
}
END_TEST

START_TEST(xl_cut)
{
	xl_good(3, 9);
	for (size_t len = 0; len < s.len; len++) {
		char text[64];

		open_cut(len);
		ck_assert_int_eq(xl_file_read(&ctx, &file), -1);
		ck_assert_int_eq(ctx.err.errnum, ENODATA);
		snprintf(text, sizeof(text), "the stream ends early, at offset %zu: ", len);
		ck_assert_msg(strstr(ctx.err.text, text), "%s", ctx.err.text);
		xl_file_release(&file);
	}
}
END_TEST

/* Lengths that no octets follow make us allocate next to nothing. */
START_TEST(xl_lying_length)
{
	xl_head(0x01020304, 3, 0, UINT32_MAX);
	u32(4 << 20);
	stream_raw(&s, NULL, 100);
	open_stream();
	refused(xl_file_read(&ctx, &file), ENODATA,
		"xl header at offset 0: the stream ends early, at offset 152: 65436 more octets "
		"expected");
	ck_assert_uint_le(file.body.room, 65536);
}
END_TEST

START_TEST(xl_is_written)
{
	uint8_t octets[256];

	open_stream();
	ck_assert_int_eq(xl_file_write(&ctx, config), 0);
	xl_good(3, 0);
	ck_assert_uint_eq(ctx.offset, s.len);
	ck_assert_int_eq(pread(ctx.io_fd, octets, sizeof(octets), 0), (ssize_t)s.len);
	ck_assert_mem_eq(octets, s.octets, s.len);
}
END_TEST

START_TEST(xl_long_config)
{
	char *text = malloc((4 << 20) + 1);

	ck_assert_ptr_nonnull(text);
	memset(text, 'x', 4 << 20);
	text[4 << 20] = '\0';
	open_stream();
	refused(xl_file_write(&ctx, text), EMSGSIZE,
		"xl header at offset 0: a configuration of 4194305 octets, at most 4194304 "
		"allowed");
	ck_assert_uint_eq(ctx.offset, 0);
	free(text);
}
END_TEST

/* ---- libxl stream -------------------------------------------------------------------------- */

static const uint8_t header[16] = {'L', 'i', 'b', 'x', 'l', 'F', 'm', 't', 0, 0, 0, 2};

START_TEST(header_is_read)
{
	uint32_t options = 77;

	stream_raw(&s, header, sizeof(header));
	s.octets[15] = _i ? 2 : 0;
	open_stream();
	ck_assert_msg(libxl_read_header(&ctx, &options) == 0, "%s", ctx.err.text);
	ck_assert_uint_eq(options, _i ? LIBXL_OPTION_FROM_LEGACY : 0);
	ck_assert_uint_eq(ctx.offset, 16);
}
END_TEST

START_TEST(header_is_refused)
{
	static const struct {
		unsigned at;
		uint8_t octet;
		int errnum;
		const char *text;
	} cases[] = {
		{0, 'l', EBADMSG,
		 "libxl header at offset 0: ident is 0x6c6962786c466d74, not 0x4c6962786c466d74 "
		 "(\"LibxlFmt\"): this is not a libxl stream"},
		{11, 1, EBADMSG, "libxl header at offset 0: version is 1, not 2"},
		{8, 1, EBADMSG, "libxl header at offset 0: version is 16777218, not 2"},
		{15, 1, EBADMSG,
		 "libxl header at offset 0: the body is big-endian; x86 reads little-endian"},
		{15, 6, ENOTSUP, "libxl header at offset 0: options 0x4 are unknown"},
	};
	uint32_t options;

	stream_raw(&s, header, sizeof(header));
	s.octets[cases[_i].at] = cases[_i].octet;
	open_stream();
	refused(libxl_read_header(&ctx, &options), cases[_i].errnum, cases[_i].text);
}
END_TEST

static void emulator_record(uint32_t type, uint32_t id, const char *data, uint32_t octets)
{
	uint8_t whole[512] = {(uint8_t)id};

	ck_assert_uint_le(octets, sizeof(whole) - 8);
	memcpy(whole + 8, data, octets);
	stream_record(&s, type, whole, 8 + octets);
}

static const char pairs[] = "physmap/f0000000/name\0vga\0empty\0";

START_TEST(records_are_read)
{
	static const uint32_t state[2] = {2};

	stream_record(&s, LIBXL_LIBXC_CONTEXT, NULL, 0);
	stream_record(&s, 0x80000000, "optional", 5);
	emulator_record(LIBXL_EMULATOR_XENSTORE_DATA, 2, pairs, sizeof(pairs));
	emulator_record(LIBXL_EMULATOR_CONTEXT, 1, "QEVM", 4);
	emulator_record(LIBXL_EMULATOR_CONTEXT, 0, "", 0);
	stream_record(&s, LIBXL_CHECKPOINT_STATE, state, 8);
	stream_record(&s, 0xffffffff, NULL, 70000);
	stream_record(&s, LIBXL_CHECKPOINT_END, NULL, 0);
	stream_record(&s, LIBXL_END, NULL, 0);
	open_stream();

	ck_assert_int_eq(libxl_read_record(&ctx, &body, &rec), 0);
	ck_assert_uint_eq(rec.type, LIBXL_LIBXC_CONTEXT);
	ck_assert_uint_eq(rec.offset, 0);
	ck_assert_int_eq(libxl_read_record(&ctx, &body, &rec), 0);
	ck_assert_uint_eq(rec.type, LIBXL_EMULATOR_XENSTORE_DATA);
	ck_assert_uint_eq(rec.offset, s.record[2]);
	ck_assert_uint_eq(rec.emulator.id, 2);
	ck_assert_uint_eq(rec.emulator.index, 0);
	ck_assert_uint_eq(rec.octets, sizeof(pairs));
	ck_assert_mem_eq(rec.data, pairs, sizeof(pairs));
	ck_assert_int_eq(libxl_read_record(&ctx, &body, &rec), 0);
	ck_assert_uint_eq(rec.type, LIBXL_EMULATOR_CONTEXT);
	ck_assert_uint_eq(rec.emulator.id, 1);
	ck_assert_uint_eq(rec.octets, 4);
	ck_assert_mem_eq(rec.data, "QEVM", 4);
	ck_assert_int_eq(libxl_read_record(&ctx, &body, &rec), 0);
	ck_assert_uint_eq(rec.octets, 0);
	ck_assert_int_eq(libxl_read_record(&ctx, &body, &rec), 0);
	ck_assert_uint_eq(rec.type, LIBXL_CHECKPOINT_STATE);
	ck_assert_uint_eq(rec.state, CHECKPOINT_STATE_READY);
	ck_assert_int_eq(libxl_read_record(&ctx, &body, &rec), 0);
	ck_assert_uint_eq(rec.type, LIBXL_CHECKPOINT_END);
	ck_assert_int_eq(libxl_read_record(&ctx, &body, &rec), 0);
	ck_assert_uint_eq(rec.type, LIBXL_END);
	ck_assert_uint_eq(ctx.offset, s.len);
}
END_TEST

START_TEST(lengths_are_refused)
{
	static const struct {
		uint32_t type, length;
		const char *text;
	} cases[] = {
		{LIBXL_END, 1, "libxl END record at offset 0: is 1 octets long, at most 0 allowed"},
		{LIBXL_LIBXC_CONTEXT, 8,
		 "libxl LIBXC_CONTEXT record at offset 0: is 8 octets long, at most 0 allowed"},
		{LIBXL_CHECKPOINT_END, UINT32_MAX,
		 "libxl CHECKPOINT_END record at offset 0: is 4294967295 octets long, at most 0 "
		 "allowed"},
		{LIBXL_CHECKPOINT_STATE, 0,
		 "libxl CHECKPOINT_STATE record at offset 0: is 0 octets long, at least 8 needed"},
		{LIBXL_CHECKPOINT_STATE, 4,
		 "libxl CHECKPOINT_STATE record at offset 0: is 4 octets long, at least 8 needed"},
		{LIBXL_CHECKPOINT_STATE, 9,
		 "libxl CHECKPOINT_STATE record at offset 0: is 9 octets long, at most 8 allowed"},
		{LIBXL_EMULATOR_XENSTORE_DATA, 7,
		 "libxl EMULATOR_XENSTORE_DATA record at offset 0: is 7 octets long, at least 8 "
		 "needed"},
		{LIBXL_EMULATOR_XENSTORE_DATA, 8 + (1 << 20) + 1,
		 "libxl EMULATOR_XENSTORE_DATA record at offset 0: is 1048585 octets long, at most "
		 "1048584 allowed"},
		{LIBXL_EMULATOR_CONTEXT, 0,
		 "libxl EMULATOR_CONTEXT record at offset 0: is 0 octets long, at least 8 needed"},
		{LIBXL_EMULATOR_CONTEXT, 8 + (16 << 20) + 1,
		 "libxl EMULATOR_CONTEXT record at offset 0: is 16777225 octets long, at most "
		 "16777224 allowed"},
		{LIBXL_EMULATOR_CONTEXT, UINT32_MAX,
		 "libxl EMULATOR_CONTEXT record at offset 0: is 4294967295 octets long, at most "
		 "16777224 allowed"},
		{6, 0, "unknown libxl record at offset 0: type 0x6 is unknown"},
		{0x7fffffff, 0, "unknown libxl record at offset 0: type 0x7fffffff is unknown"},
		{0x80000006, (128 << 20) + 1,
		 "optional libxl record at offset 0: type 0x80000006: length 134217729 is over the "
		 "limit of 134217728"},
		{0x80000006, 0xfffffff9,
		 "optional libxl record at offset 0: type 0x80000006: length 4294967289 is over "
		 "the "
		 "limit of 134217728"},
	};

	ck_assert_int_eq(COUNT(cases), 15);
	stream_claim(&s, cases[_i].type, cases[_i].length);
	stream_raw(&s, NULL, 64);
	open_stream();
	refused(libxl_read_record(&ctx, &body, &rec), EBADMSG, cases[_i].text);
	ck_assert_uint_eq(ctx.offset, 8);
}
END_TEST

/* The most that is allowed is allowed, and memory follows what arrives. */
START_TEST(largest_records)
{
	bool whole = _i % 2;
	uint32_t type = _i / 2 ? LIBXL_EMULATOR_CONTEXT : LIBXL_EMULATOR_XENSTORE_DATA;
	uint32_t length = _i / 2 ? 8 + (16 << 20) : 8 + (1 << 20);

	stream_claim(&s, type, length);
	stream_raw(&s, NULL, whole ? length : 1000);
	if (whole && type == LIBXL_EMULATOR_XENSTORE_DATA) {
		memset(s.octets + 16, 'x', length - 8);
		s.octets[16 + 1] = '\0';
		s.octets[16 + length - 9] = '\0';
	}
	open_stream();
	if (whole) {
		ck_assert_msg(libxl_read_record(&ctx, &body, &rec) == 0, "%s", ctx.err.text);
		ck_assert_uint_eq(rec.octets, length - 8);
		return;
	}
	ck_assert_int_eq(libxl_read_record(&ctx, &body, &rec), -1);
	ck_assert_int_eq(ctx.err.errnum, ENODATA);
	ck_assert_uint_le(body.room, 65536);
}
END_TEST

START_TEST(bodies_are_refused)
{
	static const struct {
		uint32_t type;
		const char *body;
		uint32_t octets;
		const char *text;
	} cases[] = {
		{LIBXL_CHECKPOINT_STATE, "\4\0\0\0\0\0\0\0", 8, "state 4 is unknown"},
		{LIBXL_CHECKPOINT_STATE, "\0\0\0\200\0\0\0\0", 8, "state 2147483648 is unknown"},
		{LIBXL_EMULATOR_CONTEXT, "\3\0\0\0\0\0\0\0QEVM", 12, "emulator 3 is unknown"},
		{LIBXL_EMULATOR_XENSTORE_DATA, "\377\377\377\377\0\0\0\0", 8,
		 "emulator 4294967295 is unknown"},
	};
	char text[160];

	stream_record(&s, cases[_i].type, cases[_i].body, cases[_i].octets);
	open_stream();
	snprintf(text, sizeof(text), "%s at offset 0: %s", libxl_title(cases[_i].type),
		 cases[_i].text);
	refused(libxl_read_record(&ctx, &body, &rec), EBADMSG, text);
}
END_TEST

/* Anything in the reserved fields is ignored, as the format says. */
START_TEST(reserved_is_ignored)
{
	static const uint32_t state[2] = {3, 0xffffffff};

	stream_record(&s, LIBXL_CHECKPOINT_STATE, state, 8);
	open_stream();
	ck_assert_int_eq(libxl_read_record(&ctx, &body, &rec), 0);
	ck_assert_uint_eq(rec.state, CHECKPOINT_STATE_RESUMED);
}
END_TEST

START_TEST(records_are_written)
{
	static const uint32_t state[2] = {1};
	uint8_t octets[512];

	open_stream();
	ck_assert_int_eq(libxl_write_header(&ctx), 0);
	ck_assert_int_eq(libxl_write_record(&ctx, LIBXL_LIBXC_CONTEXT), 0);
	ck_assert_int_eq(
		libxl_write_emulator(&ctx, LIBXL_EMULATOR_XENSTORE_DATA, 2, pairs, sizeof(pairs)),
		0);
	ck_assert_int_eq(libxl_write_emulator(&ctx, LIBXL_EMULATOR_CONTEXT, 1, "12345678", 8), 0);
	ck_assert_int_eq(libxl_write_checkpoint_state(&ctx, CHECKPOINT_STATE_SUSPENDED), 0);
	ck_assert_int_eq(libxl_write_record(&ctx, LIBXL_CHECKPOINT_END), 0);
	ck_assert_int_eq(libxl_write_record(&ctx, LIBXL_END), 0);

	stream_raw(&s, header, sizeof(header));
	stream_record(&s, 1, NULL, 0);
	emulator_record(2, 2, pairs, sizeof(pairs));
	emulator_record(3, 1, "12345678", 8);
	stream_record(&s, 5, state, 8);
	stream_record(&s, 4, NULL, 0);
	stream_record(&s, 0, NULL, 0);
	ck_assert_uint_eq(ctx.offset, s.len);
	ck_assert_int_eq(pread(ctx.io_fd, octets, sizeof(octets), 0), (ssize_t)s.len);
	ck_assert_mem_eq(octets, s.octets, s.len);
}
END_TEST

START_TEST(long_context_is_not_written)
{
	size_t octets = ((size_t)16 << 20) + 1;
	char *state = calloc(1, octets);

	ck_assert_ptr_nonnull(state);
	open_stream();
	refused(libxl_write_emulator(&ctx, LIBXL_EMULATOR_CONTEXT, 2, state, octets), EMSGSIZE,
		"libxl EMULATOR_CONTEXT record at offset 0: 16777217 octets, at most 16777216 "
		"allowed");
	ck_assert_uint_eq(ctx.offset, 0);
	free(state);
}
END_TEST

/* ---- xenstore data ------------------------------------------------------------------------- */

START_TEST(pairs_are_read)
{
	static const struct {
		const char *data;
		size_t octets;
		const char *pairs[3][2];
	} cases[] = {
		{"", 0, {{NULL}}},
		{"a\0", 3, {{"a", ""}}},
		{"physmap/f0000000/name\0vga.vram\0x-._@:y\0/abs/../value",
		 53,
		 {{"physmap/f0000000/name", "vga.vram"}, {"x-._@:y", "/abs/../value"}}},
		/* The same key twice is no harm: the last one stays in xenstore. */
		{"a\0001\0a\0\377", 8, {{"a", "1"}, {"a", "\377"}}},
	};
	const char *key, *value;
	struct cursor at = cursor_over(cases[_i].data, cases[_i].octets);

	open_stream();
	ck_assert_msg(xenstore_data_check(&ctx, cases[_i].data, cases[_i].octets) == 0, "%s",
		      ctx.err.text);
	for (unsigned i = 0; cases[_i].pairs[i][0]; i++) {
		ck_assert(xenstore_data_next(&at, &key, &value));
		ck_assert_str_eq(key, cases[_i].pairs[i][0]);
		ck_assert_str_eq(value, cases[_i].pairs[i][1]);
	}
	ck_assert(!xenstore_data_next(&at, &key, &value));
}
END_TEST

static const struct {
	const char *data;
	size_t octets;
	const char *text;
} bad_pairs[] = {
	{"a", 1, "key 0 has no NUL at its end"},
	{"a\0", 2, "key 0 has no value"},
	{"a\0b", 3, "value 0 has no NUL at its end"},
	{"a\0b\0c", 6, "key 1 has no value"},
	{"a\0b\0c", 5, "key 1 has no NUL at its end"},
	{"\0b", 3, "key 0 is empty"},
	{"/a\0b", 5, "key 0 is absolute"},
	{"a\0b\0/\0c", 8, "key 1 is absolute"},
	{"..\0b", 5, "key 0 leads out of its directory"},
	{"../a\0b", 7, "key 0 leads out of its directory"},
	{"a/../../b\0c", 12, "key 0 leads out of its directory"},
	{"a/..\0c", 7, "key 0 leads out of its directory"},
	{"a/./b\0c", 8, "key 0 leads out of its directory"},
	{"a//b\0c", 7, "key 0 has an empty component"},
	{"a/\0c", 5, "key 0 has an empty component"},
	{"a b\0c", 6, "key 0 has an octet that is no printable ASCII"},
	{"a\n\0c", 5, "key 0 has an octet that is no printable ASCII"},
	{"a\303\244\0c", 6, "key 0 has an octet that is no printable ASCII"},
};

START_TEST(pairs_are_refused)
{
	open_stream();
	refused(xenstore_data_check(&ctx, bad_pairs[_i].data, bad_pairs[_i].octets), EBADMSG,
		bad_pairs[_i].text);
}
END_TEST

START_TEST(long_keys)
{
	char data[2048 + 4];

	memset(data, 'k', sizeof(data));
	data[2048] = data[2049] = '\0';
	open_stream();
	ck_assert_int_eq(xenstore_data_check(&ctx, data, 2050), 0);
	data[2048] = 'k';
	data[2050] = '\0';
	refused(xenstore_data_check(&ctx, data, 2051), EBADMSG,
		"key 0 is longer than xenstore allows");
}
END_TEST

START_TEST(pairs_are_added)
{
	struct xenstore_data data = {0};

	open_stream();
	ck_assert_int_eq(xenstore_data_add(&ctx, &data, "physmap/f0000000/name", "vga", 100), 0);
	ck_assert_int_eq(xenstore_data_add(&ctx, &data, "empty", "", 100), 0);
	ck_assert_uint_eq(data.octets, sizeof(pairs));
	ck_assert_mem_eq(data.body.octets, pairs, sizeof(pairs));
	ck_assert_int_eq(xenstore_data_add(&ctx, &data, "a", "b", sizeof(pairs) + 4), 0);
	refused(xenstore_data_add(&ctx, &data, "a", "", sizeof(pairs) + 6), EMSGSIZE,
		"the emulator's xenstore data are longer than 39 octets");
	open_stream();
	refused(xenstore_data_add(&ctx, &data, "a/../b", "", 100), EINVAL,
		"a key for the emulator's xenstore data leads out of its directory");
	ck_assert_uint_eq(data.octets, sizeof(pairs) + 4);
	xenstore_data_release(&data);
	xenstore_data_release(&data);
}
END_TEST

/* ---- all of a descriptor ------------------------------------------------------------------- */

START_TEST(all_is_read)
{
	static const size_t sizes[] = {0, 1, 65536, 65537, 200000};
	size_t length = 77;

	if (sizes[_i])
		stream_raw(&s, NULL, sizes[_i]);
	for (size_t i = 0; i < s.len; i++)
		s.octets[i] = (uint8_t)(i * 7);
	open_stream();
	ck_assert_int_eq(body_read_all(&ctx, &body, ctx.io_fd, sizes[_i], "it", &length), 0);
	ck_assert_uint_eq(length, s.len);
	ck_assert_int_eq(s.len ? memcmp(body.octets, s.octets, s.len) : 0, 0);
	if (!sizes[_i])
		return;
	open_stream();
	ck_assert_int_eq(body_read_all(&ctx, &body, ctx.io_fd, sizes[_i] - 1, "it", &length), -1);
	ck_assert_int_eq(ctx.err.errnum, EMSGSIZE);
	ck_assert_msg(strstr(ctx.err.text, "it is longer than "), "%s", ctx.err.text);
}
END_TEST

START_TEST(unreadable)
{
	size_t length;

	open_stream();
	refused(body_read_all(&ctx, &body, -1, 10, "it", &length), EBADF,
		"cannot read it: Bad file descriptor");
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("records");

	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_loop_test(tc, xl_is_read, 0, 16);
	tcase_add_loop_test(tc, xl_without_config, 0, 2);
	tcase_add_loop_test(tc, xl_config_ends, 0, 4);
	tcase_add_loop_test(tc, xl_is_refused, 0, 9);
	tcase_add_test(tc, xl_nul_inside);
	tcase_add_test(tc, xl_cut);
	tcase_add_test(tc, xl_lying_length);
	tcase_add_test(tc, xl_is_written);
	tcase_add_test(tc, xl_long_config);
	tcase_add_loop_test(tc, header_is_read, 0, 2);
	tcase_add_loop_test(tc, header_is_refused, 0, 5);
	tcase_add_test(tc, records_are_read);
	tcase_add_loop_test(tc, lengths_are_refused, 0, 15);
	tcase_add_loop_test(tc, largest_records, 0, 4);
	tcase_add_loop_test(tc, bodies_are_refused, 0, 4);
	tcase_add_test(tc, reserved_is_ignored);
	tcase_add_test(tc, records_are_written);
	tcase_add_test(tc, long_context_is_not_written);
	tcase_add_loop_test(tc, pairs_are_read, 0, 4);
	tcase_add_loop_test(tc, pairs_are_refused, 0, COUNT(bad_pairs));
	tcase_add_test(tc, long_keys);
	tcase_add_test(tc, pairs_are_added);
	tcase_add_loop_test(tc, all_is_read, 0, 5);
	tcase_add_test(tc, unreadable);
	return unit_main(suite_create("toolstack records"), tc);
}
