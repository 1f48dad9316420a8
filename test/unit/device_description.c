/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The description engine: one description that saves an object, loads another, and shows the octets;
 * and everything that data can have against it, with the exact error.
 */
#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "description.h"
#include "device_build.h"
#include "unit_main.h"
#include "vmdescription.h"

static struct stream s;
static struct octet_buffer out;
static struct xensr_ctx ctx;

static void setup(void)
{
	const struct xensr_reports none = {0};

	s = (struct stream){0};
	out = octets_empty(1 << 16);
	ctx_init(&ctx, -1, &none);
}

static void teardown(void)
{
	octets_release(&out);
	stream_release(&s);
}

/* ---- a device with one of everything ------------------------------------------------------- */

struct channel {
	uint16_t count;
	int8_t bias;
	bool armed;
	uint32_t limit;
};

struct nic {
	uint8_t u8;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;
	int8_t s8;
	int16_t s16;
	int32_t s32;
	int64_t s64;
	bool on;
	uint64_t timer;
	uint8_t mac[6];
	uint32_t ring[3];
	uint8_t used;
	uint16_t queue[4];
	struct channel channel[2];
	uint32_t extra;  /* since version 2 */
	uint32_t hidden; /* if on */
	uint32_t mode;   /* the same on both sides */
	int32_t level;   /* not more than ours */
	uint64_t wake;   /* subsection */
	char log[16];    /* which hooks ran; not saved */
	int answer;      /* of the hooks */
};

static bool channel_limit_needed(const void *object)
{
	return ((const struct channel *)object)->limit != 0;
}

static const struct state_field limit_fields[] = {
	{.name = "limit", .type = STATE_U32, .offset = offsetof(struct channel, limit)},
};
static const struct state_description limit_description = {
	.name = "channel/limit",
	.version = 1,
	.fields = limit_fields,
	.field_count = 1,
	.needed = channel_limit_needed,
};
static const struct state_description *const channel_subsections[] = {&limit_description};
static const struct state_field channel_fields[] = {
	{.name = "count", .type = STATE_U16, .offset = offsetof(struct channel, count)},
	{.name = "bias", .type = STATE_S8, .offset = offsetof(struct channel, bias)},
	{.name = "armed", .type = STATE_BOOL, .offset = offsetof(struct channel, armed)},
};
static const struct state_description channel_description = {
	.name = "channel",
	.version = 1,
	.fields = channel_fields,
	.field_count = 3,
	.subsections = channel_subsections,
	.subsection_count = 1,
};

static bool is_on(const void *object, uint32_t version)
{
	return ((const struct nic *)object)->on && version >= 2;
}

static bool wake_needed(const void *object)
{
	return ((const struct nic *)object)->wake != 0;
}

static const struct state_field wake_fields[] = {
	{.name = "wake", .type = STATE_U64, .offset = offsetof(struct nic, wake)},
};
static const struct state_description wake_description = {
	.name = "nic/wake",
	.version = 5,
	.minimum_version = 4,
	.fields = wake_fields,
	.field_count = 1,
	.needed = wake_needed,
};
static const struct state_description *const nic_subsections[] = {&wake_description};

static void note(void *object, const char *hook)
{
	struct nic *nic = object;

	strncat(nic->log, hook, sizeof(nic->log) - strlen(nic->log) - 1);
}

static int pre_save(void *object)
{
	note(object, "s");
	return ((struct nic *)object)->answer;
}

static void post_save(void *object)
{
	note(object, "S");
}

static int pre_load(void *object)
{
	note(object, "l");
	return ((struct nic *)object)->answer == ENXIO ? ENXIO : 0;
}

static int post_load(void *object, uint32_t version)
{
	note(object, version == 2 ? "L" : "1");
	return ((struct nic *)object)->answer;
}

#define FIELD(member, wire, ...)                                                         \
	{                                                                                \
		.name = #member, .type = (wire), .offset = offsetof(struct nic, member), \
		__VA_ARGS__                                                              \
	}
static const struct state_field nic_fields[] = {
	FIELD(u8, STATE_U8),
	FIELD(u16, STATE_U16),
	FIELD(u32, STATE_U32),
	FIELD(u64, STATE_U64),
	FIELD(s8, STATE_S8),
	FIELD(s16, STATE_S16),
	FIELD(s32, STATE_S32),
	FIELD(s64, STATE_S64),
	FIELD(on, STATE_BOOL),
	FIELD(timer, STATE_TIMER),
	FIELD(mac, STATE_BUFFER, .size = 6),
	{.name = "unused", .type = STATE_UNUSED, .size = 2},
	FIELD(ring, STATE_U32, .count = 3),
	FIELD(used, STATE_U8),
	FIELD(queue, STATE_U16, .count = 4, .counted_by = &nic_fields[13]),
	FIELD(channel, STATE_STRUCT, .size = sizeof(struct channel), .count = 2,
	      .nested = &channel_description),
	FIELD(extra, STATE_U32, .since = 2),
	FIELD(hidden, STATE_U32, .exists = is_on),
	FIELD(mode, STATE_U32, .rule = STATE_EQUAL),
	FIELD(level, STATE_S32, .rule = STATE_AT_MOST, .type_name = "int32 le"),
};
static const struct state_description nic_description = {
	.name = "nic",
	.version = 2,
	.minimum_version = 1,
	.fields = nic_fields,
	.field_count = COUNT(nic_fields),
	.subsections = nic_subsections,
	.subsection_count = 1,
	.pre_save = pre_save,
	.post_save = post_save,
	.pre_load = pre_load,
	.post_load = post_load,
};

static const struct nic full = {
	.u8 = 0x12,
	.u16 = 0x3456,
	.u32 = 0x789abcde,
	.u64 = 0x0123456789abcdef,
	.s8 = -1,
	.s16 = -2,
	.s32 = -3,
	.s64 = -4,
	.on = true,
	.timer = UINT64_MAX,
	.mac = {1, 2, 3, 4, 5, 6},
	.ring = {7, 8, 9},
	.used = 2,
	.queue = {10, 11},
	.channel = {{.count = 20, .bias = -21, .armed = true}, {.count = 30, .limit = 31}},
	.extra = 40,
	.hidden = 41,
	.mode = 42,
	.level = -43,
	.wake = 44,
};

/* What `full` is on the wire. */
static void full_octets(struct stream *to)
{
	state_be(to, 0x12, 1);
	state_be(to, 0x3456, 2);
	state_be(to, 0x789abcde, 4);
	state_be(to, 0x0123456789abcdef, 8);
	state_be(to, 0xff, 1);
	state_be(to, 0xfffe, 2);
	state_be(to, 0xfffffffd, 4);
	state_be(to, 0xfffffffffffffffc, 8);
	state_be(to, 1, 1);
	state_be(to, UINT64_MAX, 8);
	stream_raw(to, "\1\2\3\4\5\6\0\0", 8);
	for (int i = 7; i <= 9; i++)
		state_be(to, i, 4);
	state_be(to, 2, 1);
	state_be(to, 10, 2);
	state_be(to, 11, 2);
	state_be(to, 20, 2);
	state_be(to, 0x100 - 21, 1);
	state_be(to, 1, 1);
	state_be(to, 30, 2);
	state_be(to, 0, 2);
	state_subsection(to, "channel/limit", 1);
	state_be(to, 31, 4);
	for (int i = 40; i <= 42; i++)
		state_be(to, i, 4);
	state_be(to, (uint32_t)-43, 4);
	state_subsection(to, "nic/wake", 5);
	state_be(to, 44, 8);
}

static int load_into(struct nic *nic, uint32_t version)
{
	struct cursor in;
	void *octets = state_exact(&s, s.len);
	int rc;

	in = cursor_over(octets, s.len);
	rc = description_load(&nic_description, nic, version, &in, NULL, NULL, &ctx);
	if (rc == 0)
		ck_assert_uint_eq(cursor_left(&in), 0);
	free(octets);
	return rc;
}

START_TEST(saves_what_it_describes)
{
	struct nic nic = full;

	ck_assert_int_eq(description_save(&nic_description, &nic, &out, NULL, &ctx), 0);
	full_octets(&s);
	ck_assert_uint_eq(out.len, s.len);
	ck_assert_mem_eq(out.data, s.octets, s.len);
	ck_assert_str_eq(nic.log, "sS");
}
END_TEST

START_TEST(loads_what_it_saved)
{
	struct nic nic = {.mode = 42, .level = 0}, expected = full;

	full_octets(&s);
	ck_assert_int_eq(load_into(&nic, 2), 0);
	ck_assert_str_eq(nic.log, "lL");
	memcpy(expected.log, nic.log, sizeof(nic.log));
	ck_assert_mem_eq(&nic, &expected, sizeof(nic));
}
END_TEST

/* Not on, no limit, no wake, version 1: what is left out is not touched. */
START_TEST(what_is_not_there_stays_as_it_was)
{
	struct nic nic = full, loaded = {.mode = 42, .extra = 99, .hidden = 98, .wake = 97};

	nic.on = false;
	nic.used = 0;
	nic.channel[1].limit = 0;
	nic.wake = 0;
	ck_assert_int_eq(description_save(&nic_description, &nic, &out, NULL, &ctx), 0);
	/* Version 1 has no `extra`: take it out of the octets. */
	stream_raw(&s, out.data, out.len - 12);
	stream_raw(&s, out.data + out.len - 8, 8);
	ck_assert_int_eq(load_into(&loaded, 1), 0);
	ck_assert_str_eq(loaded.log, "l1");
	ck_assert_uint_eq(loaded.extra, 99);
	ck_assert_uint_eq(loaded.hidden, 98);
	ck_assert_uint_eq(loaded.wake, 97);
	ck_assert_uint_eq(loaded.level, nic.level);
	ck_assert_uint_eq(loaded.queue[0], 0);
}
END_TEST

/* ---- shown without an object --------------------------------------------------------------- */

static char text[4096];

static int show(void *data, const struct state_value *value)
{
	size_t used = strlen(text);

	ck_assert_ptr_eq(data, &s);
	snprintf(text + used, sizeof(text) - used, "%s %s %zu+%zu %lld\n", value->path, value->type,
		 value->offset, value->size, (long long)value->number);
	return 0;
}

START_TEST(shows_fields_by_their_path)
{
	static const struct state_field fields[] = {
		{.name = "n", .type = STATE_U16},
		{.name = "bits", .type = STATE_S16, .count = 3, .counted_by = &fields[0]},
		{.name = "channel",
		 .type = STATE_STRUCT,
		 .size = 8,
		 .count = 1,
		 .nested = &channel_description},
		{.name = "level", .type = STATE_S32, .type_name = "int32 le", .rule = STATE_EQUAL},
	};
	static const struct state_description description = {.name = "d",
							     .fields = fields,
							     .field_count = 4,
							     .subsections = nic_subsections,
							     .subsection_count = 1};
	struct cursor in;

	memset(text, 0, sizeof(text));
	state_be(&s, 2, 2);
	state_be(&s, 0xffff8000, 4);
	state_be(&s, 0x00050301, 4);
	state_subsection(&s, "channel/limit", 1);
	state_be(&s, 9, 4);
	state_be(&s, 0xfffffff0, 4);
	state_subsection(&s, "nic/wake", 4);
	state_be(&s, 7, 8);
	in = cursor_over(s.octets, s.len);
	ck_assert_int_eq(description_load(&description, NULL, 0, &in, show, &s, &ctx), 0);
	ck_assert_str_eq(text, "n uint16 0+2 2\n"
			       "bits[0] int16 2+2 -1\n"
			       "bits[1] int16 4+2 -32768\n"
			       "channel[0].count uint16 6+2 5\n"
			       "channel[0].bias int8 8+1 3\n"
			       "channel[0].armed bool 9+1 1\n"
			       "channel[0].channel/limit.limit uint32 29+4 9\n"
			       "level int32 le 33+4 -16\n"
			       "nic/wake.wake uint64 51+8 7\n");
}
END_TEST

/* What describes a save describes its octets: made into a description again, it finds every field. */
START_TEST(what_describes_a_save_fits_its_octets)
{
	struct nic nic = full;
	json_t *root, *device = json_pack("{s:s, s:i}", "name", "nic", "instance_id", 0);
	struct vmdescription vmdescription;
	char *written;
	struct cursor in;

	memset(text, 0, sizeof(text));
	ck_assert_int_eq(description_save(&nic_description, &nic, &out, device, &ctx), 0);
	root = json_pack("{s:[o]}", "devices", device);
	written = json_dumps(root, JSON_COMPACT);
	ck_assert_ptr_nonnull(strstr(written, "{\"name\":\"ring\",\"type\":\"uint32\",\"size\":4,"
					      "\"array_len\":3}"));
	ck_assert_ptr_nonnull(strstr(written, "\"vmsd_name\":\"nic\""));
	ck_assert_int_eq(vmdescription_parse(&vmdescription, written, strlen(written), &ctx), 0);
	in = cursor_over(out.data, out.len);
	ck_assert_int_eq(description_load(vmdescription.devices[0].description, NULL, 2, &in, show,
					  &s, &ctx),
			 0);
	ck_assert_uint_eq(cursor_left(&in), 0);
	ck_assert_str_eq(text, "u8 uint8 0+1 18\n"
			       "u16 uint16 1+2 13398\n"
			       "u32 uint32 3+4 2023406814\n"
			       "u64 uint64 7+8 81985529216486895\n"
			       "s8 int8 15+1 -1\n"
			       "s16 int16 16+2 -2\n"
			       "s32 int32 18+4 -3\n"
			       "s64 int64 22+8 -4\n"
			       "on bool 30+1 1\n"
			       "timer timer 31+8 -1\n"
			       "mac buffer 39+6 0\n"
			       "unused unused_buffer 45+2 0\n"
			       "ring[0] uint32 47+4 7\n"
			       "ring[1] uint32 51+4 8\n"
			       "ring[2] uint32 55+4 9\n"
			       "used uint8 59+1 2\n"
			       "queue[0] uint16 60+2 10\n"
			       "queue[1] uint16 62+2 11\n"
			       "channel[0].count uint16 64+2 20\n"
			       "channel[0].bias int8 66+1 -21\n"
			       "channel[0].armed bool 67+1 1\n"
			       "channel[1].count uint16 68+2 30\n"
			       "channel[1].bias int8 70+1 0\n"
			       "channel[1].armed bool 71+1 0\n"
			       "channel[1].channel/limit.limit uint32 91+4 31\n"
			       "extra uint32 95+4 40\n"
			       "hidden uint32 99+4 41\n"
			       "mode uint32 103+4 42\n"
			       "level int32 le 107+4 -43\n"
			       "nic/wake.wake uint64 125+8 44\n");
	vmdescription_release(&vmdescription);
	free(written);
	json_decref(root);
}
END_TEST

/* ---- refused ------------------------------------------------------------------------------- */

static void load_fails(struct nic *nic, uint32_t version, int errnum, const char *expected)
{
	ck_assert_int_eq(load_into(nic, version), -1);
	ck_assert_str_eq(ctx.err.text, expected);
	ck_assert_int_eq(ctx.err.errnum, errnum);
}

START_TEST(versions_are_bounded)
{
	struct nic nic = {.mode = 42};

	full_octets(&s);
	if (_i)
		load_fails(&nic, 3, EPROTONOSUPPORT, "it has version 3, newer than 2");
	else
		load_fails(&nic, 0, EPROTONOSUPPORT, "it has version 0, older than 1");
	ck_assert_str_eq(nic.log, "");
}
END_TEST

START_TEST(rules_are_held)
{
	struct nic nic = {.mode = _i ? 42 : 41, .level = -44};

	full_octets(&s);
	load_fails(&nic, 2, EBADMSG,
		   _i ? "field level at offset 107 is -43, must be at most -44"
		      : "field mode at offset 103 is 42, must be 41");
}
END_TEST

START_TEST(hooks_can_refuse)
{
	struct nic nic = full;

	full_octets(&s);
	nic.answer = _i == 1 ? ENXIO : EPERM;
	switch (_i) {
	case 0:
		load_fails(&nic, 2, EPERM, "nic refuses what was loaded: Operation not permitted");
		ck_assert_str_eq(nic.log, "lL");
		break;
	case 1:
		load_fails(&nic, 2, ENXIO, "nic cannot be loaded: No such device or address");
		ck_assert_str_eq(nic.log, "l");
		break;
	default:
		ck_assert_int_eq(description_save(&nic_description, &nic, &out, NULL, &ctx), -1);
		ck_assert_str_eq(ctx.err.text, "nic cannot be saved: Operation not permitted");
		ck_assert_str_eq(nic.log, "s");
	}
}
END_TEST

START_TEST(counts_are_bounded)
{
	struct nic nic = full;

	if (_i) {
		full_octets(&s);
		s.octets[59] = 5;
		load_fails(&nic, 2, EBADMSG, "field queue has 5 elements, at most 4 are possible");
		return;
	}
	nic.used = 5;
	ck_assert_int_eq(description_save(&nic_description, &nic, &out, NULL, &ctx), -1);
	ck_assert_str_eq(ctx.err.text, "field queue of nic has 5 elements, at most 4 are possible");
	ck_assert_int_eq(ctx.err.errnum, ERANGE);
	ck_assert_str_eq(nic.log, "sS");
}
END_TEST

static const struct {
	const char *name;
	uint32_t version;
	int errnum;
	const char *text;
} bad_subsections[] = {
	{"nic/other", 1, EBADMSG, "subsection nic/other at offset 133 is unknown or comes twice"},
	{"nic/wake", 5, EBADMSG, "subsection nic/wake at offset 133 is unknown or comes twice"},
};

START_TEST(subsections_that_do_not_belong)
{
	struct nic nic = {.mode = 42};

	full_octets(&s);
	ck_assert_uint_eq(s.len, 133);
	state_subsection(&s, bad_subsections[_i].name, bad_subsections[_i].version);
	load_fails(&nic, 2, bad_subsections[_i].errnum, bad_subsections[_i].text);
}
END_TEST

START_TEST(subsections_have_versions)
{
	struct nic nic = {.mode = 42};

	full_octets(&s);
	s.octets[s.len - 9] = _i ? 6 : 3;
	load_fails(&nic, 2, EPROTONOSUPPORT,
		   _i ? "subsection nic/wake has version 6, newer than 5"
		      : "subsection nic/wake has version 3, older than 4");
}
END_TEST

/* A name that is not ours belongs to what comes after, and so does an octet 5 that is no subsection. */
START_TEST(other_octets_are_left_alone)
{
	struct nic nic = {.mode = 42};
	size_t length;
	struct cursor in;

	full_octets(&s);
	length = s.len;
	if (_i == 0)
		state_subsection(&s, "nicer/wake", 1);
	else
		stream_raw(&s, "\5\4nic/", _i == 1 ? 1 : 6);
	in = cursor_over(s.octets, s.len);
	ck_assert_int_eq(description_load(&nic_description, &nic, 2, &in, NULL, NULL, &ctx), 0);
	ck_assert_uint_eq(in.pos, length);
}
END_TEST

/* A structure that has itself. */
static const struct state_description loop;
static const struct state_field loop_fields[] = {
	{.name = "in", .type = STATE_STRUCT, .size = 1, .nested = &loop},
};
static const struct state_description loop = {
	.name = "loop", .fields = loop_fields, .field_count = 1};

START_TEST(descriptions_are_checked_too)
{
	static const struct state_field elsewhere = {.name = "n", .type = STATE_U8};
	static const struct state_field uncounted[] = {
		{.name = "a", .type = STATE_U8, .count = 2, .counted_by = &elsewhere}};
	static const struct state_description no_count = {
		.name = "c", .fields = uncounted, .field_count = 1};
	static const struct state_field conditional[] = {
		{.name = "if", .type = STATE_U8, .exists = is_on}};
	static const struct state_description unknowable = {
		.name = "u", .fields = conditional, .field_count = 1};
	static const struct state_description many = {.name = "m", .subsection_count = 257};
	static const struct {
		const struct state_description *description;
		const char *text;
	} cases[] = {
		{&loop,
		 "in.in.in.in.in.in.in.in.in.in.in.in.in.in.in.in: more than 16 structures within "
		 "each other"},
		{&no_count, "nothing says how many elements field a has"},
		{&unknowable, "only its device knows whether field if is there"},
		{&many, ": more than 256 subsections"},
	};
	struct cursor in = cursor_over("abcd", 4);
	uint8_t object = 0;

	ck_assert_int_eq(description_load(cases[_i].description, NULL, 0, &in, NULL, NULL, &ctx),
			 -1);
	ck_assert_str_eq(ctx.err.text, cases[_i].text);
	if (_i != 0)
		return;
	error_init(&ctx.err);
	ck_assert_int_eq(description_save(&loop, &object, &out, NULL, &ctx), -1);
	ck_assert_str_eq(ctx.err.text, "loop: more than 16 structures within each other");
}
END_TEST

/* Without its subsection it is whole, and octets that are no subsection are left alone. */
START_TEST(cut_at_every_octet)
{
	const size_t fields = 111, header = 14;

	full_octets(&s);
	for (size_t length = 0; length < s.len; length++) {
		void *octets = state_exact(&s, length);
		struct cursor in = cursor_over(octets, length);
		struct nic nic = {.mode = 42};
		bool whole = length >= fields && length < fields + header;

		error_init(&ctx.err);
		ck_assert_int_eq(description_load(&nic_description, &nic, 2, &in, NULL, NULL, &ctx),
				 whole ? 0 : -1);
		if (whole)
			ck_assert_uint_eq(in.pos, fields);
		else
			ck_assert_str_ne(ctx.err.text, "");
		free(octets);
	}
}
END_TEST

START_TEST(every_bit_flipped)
{
	struct nic nic;
	void *octets;
	struct cursor in;

	full_octets(&s);
	for (size_t bit = 0; bit < 8 * s.len; bit++) {
		s.octets[bit / 8] ^= (uint8_t)(1u << bit % 8);
		octets = state_exact(&s, s.len);
		in = cursor_over(octets, s.len);
		nic = (struct nic){.mode = 42};
		error_init(&ctx.err);
		if (description_load(&nic_description, &nic, 2, &in, NULL, NULL, &ctx) < 0)
			ck_assert_str_ne(ctx.err.text, "");
		free(octets);
		s.octets[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("device description");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, saves_what_it_describes);
	tcase_add_test(tc, loads_what_it_saved);
	tcase_add_test(tc, what_is_not_there_stays_as_it_was);
	tcase_add_test(tc, shows_fields_by_their_path);
	tcase_add_test(tc, what_describes_a_save_fits_its_octets);
	tcase_add_loop_test(tc, versions_are_bounded, 0, 2);
	tcase_add_loop_test(tc, rules_are_held, 0, 2);
	tcase_add_loop_test(tc, hooks_can_refuse, 0, 3);
	tcase_add_loop_test(tc, counts_are_bounded, 0, 2);
	tcase_add_loop_test(tc, subsections_that_do_not_belong, 0, COUNT(bad_subsections));
	tcase_add_loop_test(tc, subsections_have_versions, 0, 2);
	tcase_add_loop_test(tc, other_octets_are_left_alone, 0, 3);
	tcase_add_loop_test(tc, descriptions_are_checked_too, 0, 4);
	tcase_add_test(tc, cut_at_every_octet);
	tcase_add_test(tc, every_bit_flipped);
	return unit_main(suite, tc);
}
