/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices in a registry: their order and numbers; what one registry saves, another loads; and
 * everything that is refused, with the exact error.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "device_build.h"
#include "device_registry.h"
#include "engine_alloc.h"
#include "savevm_list.h"
#include "unit_main.h"

static struct stream s;
static struct octet_buffer out;
static struct xensr_ctx ctx;
static struct device_registry registry, other;

static void setup(void)
{
	const struct xensr_reports none = {0};

	s = (struct stream){0};
	out = octets_empty(1 << 16);
	ctx_init(&ctx, -1, &none);
	registry = device_registry_empty();
	other = device_registry_empty();
}

static void teardown(void)
{
	device_registry_release(&registry);
	device_registry_release(&other);
	octets_release(&out);
	stream_release(&s);
}

/* ---- devices ------------------------------------------------------------------------------- */

struct chip {
	uint32_t value;
	int answer; /* of pre_save */
};

static int chip_pre_save(void *object)
{
	return ((struct chip *)object)->answer;
}

static const struct state_field chip_fields[] = {
	{.name = "value", .type = STATE_U32, .offset = offsetof(struct chip, value)},
};
static const struct state_description chip_description = {
	.name = "chip",
	.version = 3,
	.minimum_version = 2,
	.fields = chip_fields,
	.field_count = 1,
	.pre_save = chip_pre_save,
};

/* A memory of up to 8 octets, saved octet by octet. */
struct memory {
	uint8_t octets[8];
	unsigned length, at;
	bool never_done;
	int fail_step; /* 1 setup, 2 iterate, 3 complete */
};

static int memory_setup(void *object, struct octet_buffer *to)
{
	struct memory *memory = object;

	memory->at = 0;
	put_be32(to, memory->length);
	return memory->fail_step == 1 ? EIO : 0;
}

static int memory_iterate(void *object, struct octet_buffer *to, bool *done)
{
	struct memory *memory = object;

	put_u8(to, memory->octets[memory->at++ % 8]);
	*done = memory->at == memory->length && !memory->never_done;
	return memory->fail_step == 2 ? EIO : 0;
}

static int memory_complete(void *object, struct octet_buffer *to)
{
	put_u8(to, 0xed);
	return ((struct memory *)object)->fail_step == 3 ? EIO : 0;
}

static int memory_load(void *object, enum savevm_kind kind, uint32_t version, struct cursor *in,
		       struct xensr_ctx *to)
{
	struct memory *memory = object;
	uint32_t length;
	uint8_t octet;

	if (version != 4)
		return ctx_fail(to, EBADMSG, "bad version");
	if (kind == SAVEVM_SECTION_START) {
		if (!take_be32(in, &length) || length > 8)
			return ctx_fail(to, EBADMSG, "bad length");
		memory->length = length;
		memory->at = 0;
		return 0;
	}
	if (!take_u8(in, &octet))
		return ctx_fail(to, EBADMSG, "no octet");
	if (kind == SAVEVM_SECTION_PART && memory->at < memory->length)
		memory->octets[memory->at++] = octet;
	else if (kind != SAVEVM_SECTION_END || octet != 0xed)
		return ctx_fail(to, EBADMSG, "bad octet");
	return 0;
}

static const struct device_steps memory_steps = {memory_setup, memory_iterate, memory_complete,
						 memory_load};

static int add_chip(struct device_registry *to, const char *idstr, uint32_t instance, int priority,
		    struct chip *chip)
{
	return device_registry_add(to,
				   &(struct device){.idstr = idstr,
						    .instance_id = instance,
						    .priority = priority,
						    .description = &chip_description,
						    .object = chip},
				   &ctx);
}

static int add_memory(struct device_registry *to, const char *idstr, bool is_memory,
		      struct memory *memory)
{
	return device_registry_add(to,
				   &(struct device){.idstr = idstr,
						    .steps = &memory_steps,
						    .version = 4,
						    .minimum_version = 4,
						    .is_memory = is_memory,
						    .object = memory},
				   &ctx);
}

static void error_is(int errnum, const char *text)
{
	ck_assert_str_eq(ctx.err.text, text);
	ck_assert_int_eq(ctx.err.errnum, errnum);
	error_init(&ctx.err);
}

/* ---- registration -------------------------------------------------------------------------- */

START_TEST(order_is_by_priority_and_then_by_age)
{
	static const char *const order[] = {"b", "d", "a", "c"};
	static const uint32_t ids[] = {1, 3, 0, 2};
	struct chip chip;

	ck_assert_int_eq(add_chip(&registry, "a", 0, 1, &chip), 0);
	ck_assert_int_eq(add_chip(&registry, "b", 0, 2, &chip), 0);
	ck_assert_int_eq(add_chip(&registry, "c", 0, 1, &chip), 0);
	ck_assert_int_eq(add_chip(&registry, "d", 0, 2, &chip), 0);
	for (int i = 0; i < 4; i++) {
		ck_assert_str_eq(registry.entries[i].device.idstr, order[i]);
		ck_assert_uint_eq(registry.entries[i].section_id, ids[i]);
	}
}
END_TEST

START_TEST(instances_are_numbered)
{
	static const struct {
		const char *idstr;
		uint32_t asked, got;
	} steps[] = {{"a", DEVICE_NEXT_INSTANCE, 0}, {"a", DEVICE_NEXT_INSTANCE, 1},
		     {"b", DEVICE_NEXT_INSTANCE, 0}, {"a", 7, 7},
		     {"a", DEVICE_NEXT_INSTANCE, 8}, {"a", 3, 3}};
	struct chip chip;

	for (int i = 0; i < COUNT(steps); i++) {
		ck_assert_int_eq(add_chip(&registry, steps[i].idstr, steps[i].asked, 0, &chip), 0);
		ck_assert_uint_eq(registry.entries[i].device.instance_id, steps[i].got);
	}
}
END_TEST

START_TEST(bad_devices_are_refused)
{
	struct chip chip;
	char name[300];

	memset(name, 'n', sizeof(name) - 1);
	name[299] = 0;
	ck_assert_int_eq(add_chip(&registry, "a", 5, 0, &chip), 0);
	ck_assert_int_eq(add_chip(&registry, "a", 5, 0, &chip), -1);
	error_is(EEXIST, "device a (instance 5) is there already");
	ck_assert_int_eq(add_chip(&registry, "", 0, 0, &chip), -1);
	error_is(EINVAL, "the name of a device is not of 1 to 255 octets");
	ck_assert_int_eq(add_chip(&registry, name, 0, 0, &chip), -1);
	error_is(EINVAL, "the name of a device is not of 1 to 255 octets");
	ck_assert_int_eq(add_chip(&registry, NULL, 0, 0, &chip), -1);
	error_is(EINVAL, "the name of a device is not of 1 to 255 octets");
	ck_assert_int_eq(device_registry_add(&registry, &(struct device){.idstr = "x"}, &ctx), -1);
	error_is(EINVAL, "device x needs a description or steps, not both");
	ck_assert_int_eq(add_chip(&registry, "a", UINT32_MAX - 1, 0, &chip), 0);
	ck_assert_int_eq(add_chip(&registry, "a", DEVICE_NEXT_INSTANCE, 0, &chip), -1);
	error_is(ENOSPC, "no room for device a");
	ck_assert_uint_eq(registry.count, 2);
}
END_TEST

START_TEST(removed_devices_are_gone)
{
	struct chip chip[2];

	ck_assert_int_eq(add_chip(&registry, "a", 0, 0, &chip[0]), 0);
	ck_assert_int_eq(add_chip(&registry, "b", 0, 0, &chip[1]), 0);
	ck_assert_int_eq(add_chip(&registry, "c", 0, 0, &chip[0]), 0);
	device_registry_remove(&registry, &chip[0]);
	ck_assert_uint_eq(registry.count, 1);
	ck_assert_ptr_nonnull(device_registry_find(&registry, "b", 0));
	ck_assert_ptr_null(device_registry_find(&registry, "a", 0));
	ck_assert_int_eq(add_chip(&registry, "d", 0, 0, &chip[0]), 0);
	ck_assert_uint_eq(device_registry_find(&registry, "d", 0)->section_id, 3);
}
END_TEST

START_TEST(exact_names_are_stronger_than_aliases)
{
	struct device device = {.idstr = "new",
				.instance_id = 1,
				.alias_idstr = "old",
				.alias_instance_id = 2,
				.description = &chip_description};
	struct chip chip;

	ck_assert_int_eq(device_registry_add(&registry, &device, &ctx), 0);
	ck_assert_str_eq(device_registry_find(&registry, "old", 2)->device.idstr, "new");
	ck_assert_ptr_null(device_registry_find(&registry, "old", 1));
	ck_assert_ptr_null(device_registry_find(&registry, "new", 2));
	ck_assert_ptr_null(device_registry_find(&registry, "new", 0));
	ck_assert_int_eq(add_chip(&registry, "old", 2, 0, &chip), 0);
	ck_assert_str_eq(device_registry_find(&registry, "old", 2)->device.idstr, "old");
}
END_TEST

/* ---- saving -------------------------------------------------------------------------------- */

static const struct device_state_options plain = {
	.footers = true, .machine = "pc", .page_bits = 12};
static const struct device_state_options for_xen = {.for_xen = true, .machine = "pc"};

START_TEST(a_save_has_steps_first_and_then_the_others)
{
	struct chip chip = {.value = 0x01020304};
	struct memory memory = {.octets = "ab", .length = 2}, small = {.octets = "c", .length = 1};

	ck_assert_int_eq(add_chip(&registry, "chip", 0, 1, &chip), 0);
	ck_assert_int_eq(add_memory(&registry, "ram", true, &memory), 0);
	ck_assert_int_eq(add_memory(&registry, "disk", false, &small), 0);
	ck_assert_int_eq(device_registry_save(&registry, &plain, &out, &ctx), 0);

	state_header(&s);
	state_be(&s, 7, 1);
	state_be(&s, 2, 4);
	stream_raw(&s, "pc", 2);
	state_subsection(&s, "configuration/target-page-bits", 1);
	state_be(&s, 12, 4);
	state_section(&s, 1, 1, "ram", 0, 4);
	stream_raw(&s, "\0\0\0\2\x7e\0\0\0\1", 9);
	state_section(&s, 1, 2, "disk", 0, 4);
	stream_raw(&s, "\0\0\0\1\x7e\0\0\0\2", 9);
	stream_raw(&s, "\2\0\0\0\1a\x7e\0\0\0\1", 11);
	stream_raw(&s, "\2\0\0\0\2c\x7e\0\0\0\2", 11);
	stream_raw(&s, "\2\0\0\0\1b\x7e\0\0\0\1", 11);
	stream_raw(&s, "\3\0\0\0\1\xed\x7e\0\0\0\1", 11);
	stream_raw(&s, "\3\0\0\0\2\xed\x7e\0\0\0\2", 11);
	state_full(&s, 0, "chip", 0, 3, "\1\2\3\4", 4, 1);
	state_be(&s, 0, 1);
	ck_assert_uint_eq(out.len, s.len);
	ck_assert_mem_eq(out.data, s.octets, s.len);
}
END_TEST

START_TEST(a_save_for_xen_has_neither_memory_nor_configuration)
{
	struct chip chip[2] = {{.value = 0x01020304}, {.value = 5}};
	struct memory memory = {.length = 2};

	ck_assert_int_eq(add_memory(&registry, "ram", true, &memory), 0);
	ck_assert_int_eq(add_chip(&registry, "chip", DEVICE_NEXT_INSTANCE, 0, &chip[0]), 0);
	ck_assert_int_eq(add_chip(&registry, "chip", DEVICE_NEXT_INSTANCE, 0, &chip[1]), 0);
	ck_assert_int_eq(device_registry_save(&registry, &for_xen, &out, &ctx), 0);
	state_header(&s);
	state_full(&s, 1, "chip", 0, 3, "\1\2\3\4", 4, 0);
	state_full(&s, 2, "chip", 1, 3, "\0\0\0\5", 4, 0);
	state_be(&s, 0, 1);
	ck_assert_uint_eq(out.len, s.len);
	ck_assert_mem_eq(out.data, s.octets, s.len);
}
END_TEST

START_TEST(what_hinders_a_save_is_named)
{
	struct memory memory = {.length = 2};
	struct device nic = {.idstr = "nic",
			     .instance_id = 4,
			     .description = &chip_description,
			     .unmigratable = "it is passed through"};

	ck_assert_int_eq(add_memory(&registry, "disk", false, &memory), 0);
	ck_assert_int_eq(device_registry_save(&registry, &for_xen, &out, &ctx), -1);
	error_is(ENOTSUP,
		 "device disk (instance 0) is saved in steps, which a save for Xen does not have");
	device_registry_remove(&registry, &memory);
	ck_assert_int_eq(device_registry_add(&registry, &nic, &ctx), 0);
	ck_assert_int_eq(device_registry_save(&registry, &plain, &out, &ctx), -1);
	error_is(EBUSY, "device nic (instance 4) cannot be saved: it is passed through");
	ck_assert_uint_eq(out.len, 0);
}
END_TEST

START_TEST(a_device_that_fails_is_named)
{
	static const char *const texts[] = {
		"section chip (instance 0) at offset 56: chip cannot be saved: Input/output error",
		"section ram (instance 0) at offset 8: cannot be saved: Input/output error",
		"section ram (instance 0) at offset 34: cannot be saved: Input/output error",
		"section ram (instance 0) at offset 45: cannot be saved: Input/output error",
	};
	struct device_state_options options = {.footers = true};
	struct memory memory = {.length = 1, .fail_step = _i};
	struct chip chip = {.answer = _i ? 0 : EIO};

	ck_assert_int_eq(add_memory(&registry, "ram", true, &memory), 0);
	ck_assert_int_eq(add_chip(&registry, "chip", 0, 0, &chip), 0);
	ck_assert_int_eq(device_registry_save(&registry, &options, &out, &ctx), -1);
	error_is(EIO, texts[_i]);
}
END_TEST

START_TEST(a_device_that_is_never_done_ends_with_the_buffer)
{
	struct memory memory = {.length = 1, .never_done = true};

	ck_assert_int_eq(add_memory(&registry, "ram", true, &memory), 0);
	ck_assert_int_eq(device_registry_save(&registry, &plain, &out, &ctx), -1);
	ck_assert_int_eq(ctx.err.errnum, EFBIG);
	ck_assert_ptr_nonnull(strstr(ctx.err.text, ": no room for it: File too large"));
}
END_TEST

START_TEST(there_must_be_room_for_eof)
{
	octets_release(&out);
	out = octets_empty(8);
	ck_assert_int_eq(device_registry_save(&registry, &for_xen, &out, &ctx), -1);
	error_is(EFBIG, "no room for the device state: File too large");
}
END_TEST

static int count_described(void *data, const struct savevm_listed *listed)
{
	*(unsigned *)data += listed->end == SAVEVM_END_VMDESCRIPTION;
	return 0;
}

static int sum_values(void *data, const struct savevm_listed *listed,
		      const struct state_value *value)
{
	*(unsigned *)data += listed->described ? (unsigned)value->number : 0;
	return 0;
}

/* Every section that is saved in one piece, and none other; not for Xen. */
START_TEST(a_save_describes_itself)
{
	struct device_state_options options = {.footers = _i & 1,
					       .for_xen = _i & 2,
					       .describe = true,
					       .machine = "pc",
					       .page_bits = 12};
	struct chip chip[2] = {{.value = 1000}, {.value = 2000}};
	struct memory memory = {.length = 1};
	unsigned found = 0;

	ck_assert_int_eq(add_memory(&registry, "ram", true, &memory), 0);
	ck_assert_int_eq(add_chip(&registry, "chip", 0, 0, &chip[0]), 0);
	ck_assert_int_eq(add_chip(&registry, "chip", 7, 0, &chip[1]), 0);
	ck_assert_int_eq(device_registry_save(&registry, &options, &out, &ctx), 0);
	ck_assert_int_eq(
		savevm_list(out.data, out.len,
			    &(struct savevm_list_callbacks){count_described, sum_values, &found},
			    NULL),
		0);
	ck_assert_uint_eq(found, options.for_xen ? 0 : 3002);
	ck_assert(!memmem(out.data, out.len, "\"page_size\": 4096", 17) == options.for_xen);
}
END_TEST

/* ---- loading ------------------------------------------------------------------------------- */

static int load(const struct device_state_options *options)
{
	void *octets = state_exact(&s, s.len);
	int rc = device_registry_load(&registry, octets, s.len, options, &ctx);

	free(octets);
	return rc;
}

START_TEST(what_one_registry_saves_another_loads)
{
	struct device_state_options options = {
		.footers = _i & 1, .for_xen = _i & 2, .machine = "pc"};
	struct chip chip[2] = {{.value = 11}, {.value = 12}}, loaded_chip[2] = {{.value = 0}};
	struct memory memory = {.octets = "memory", .length = 6}, loaded_memory = {.length = 0};

	/* In another order and with other section ids. */
	ck_assert_int_eq(add_memory(&registry, "ram", true, &memory), 0);
	ck_assert_int_eq(add_chip(&registry, "chip", DEVICE_NEXT_INSTANCE, 0, &chip[0]), 0);
	ck_assert_int_eq(add_chip(&registry, "chip", DEVICE_NEXT_INSTANCE, 0, &chip[1]), 0);
	ck_assert_int_eq(add_chip(&other, "chip", 1, 5, &loaded_chip[1]), 0);
	ck_assert_int_eq(add_chip(&other, "chip", 0, 6, &loaded_chip[0]), 0);
	ck_assert_int_eq(add_memory(&other, "ram", true, &loaded_memory), 0);
	ck_assert_int_eq(device_registry_save(&registry, &options, &out, &ctx), 0);
	ck_assert_int_eq(device_registry_load(&other, out.data, out.len, &options, &ctx), 0);
	ck_assert_uint_eq(loaded_chip[0].value, 11);
	ck_assert_uint_eq(loaded_chip[1].value, 12);
	if (!options.for_xen)
		ck_assert_str_eq((char *)loaded_memory.octets, "memory");

	/* And the listing finds the same ends. */
	ck_assert_int_eq(savevm_list(out.data, out.len,
				     &(struct savevm_list_callbacks){NULL, NULL, NULL}, NULL),
			 0);
}
END_TEST

static struct chip the_chip;
static struct memory the_memory;

static void begin_load(void)
{
	the_chip = (struct chip){.value = 0};
	the_memory = (struct memory){.length = 0};
	ck_assert_int_eq(device_registry_add(&registry,
					     &(struct device){.idstr = "chip",
							      .alias_idstr = "chip-old",
							      .alias_instance_id = 9,
							      .description = &chip_description,
							      .object = &the_chip},
					     &ctx),
			 0);
	ck_assert_int_eq(add_memory(&registry, "mem", true, &the_memory), 0);
	state_header(&s);
}

START_TEST(aliases_and_old_versions_are_loaded)
{
	begin_load();
	state_full(&s, 40, "chip-old", 9, 2, "\0\0\1\0", 4, 1);
	state_be(&s, 0, 1);
	state_vmdescription(&s, "{}");
	ck_assert_int_eq(load(&plain), 0);
	ck_assert_uint_eq(the_chip.value, 256);
}
END_TEST

START_TEST(embedded_streams_are_loaded)
{
	begin_load();
	state_command(&s, 7, "\0\0\0\x23", 4);
	state_header(&s);
	state_full(&s, 40, "chip", 0, 3, "\0\0\1\0", 4, 1);
	state_be(&s, 0, 1);
	ck_assert_int_eq(load(&plain), 0);
	ck_assert_uint_eq(the_chip.value, 256);
}
END_TEST

/* A stream of one section, and what is wrong with it. */
static const struct {
	unsigned type;
	const char *idstr;
	uint32_t instance, version;
	bool xen;
	int errnum;
	const char *text;
} bad[] = {
	{4, "chip", 0, 4, false, EPROTONOSUPPORT, "it has version 4, newer than 3"},
	{4, "chip", 0, 1, false, EPROTONOSUPPORT, "it has version 1, older than 2"},
	{1, "mem", 0, 5, false, EPROTONOSUPPORT, "it has version 5, newer than 4"},
	{1, "mem", 0, 3, false, EPROTONOSUPPORT, "it has version 3, older than 4"},
	{4, "chop", 0, 3, false, ENODEV, "there is no such device"},
	{4, "chip", 1, 3, false, ENODEV, "there is no such device"},
	{4, "chip-old", 0, 3, false, ENODEV, "there is no such device"},
	{4, "mem", 0, 4, false, EBADMSG, "SECTION_FULL of a device that is saved in steps"},
	{1, "chip", 0, 3, false, EBADMSG, "SECTION_START of a device that is not saved in steps"},
	{1, "mem", 0, 4, true, ENOTSUP, "it is memory, which Xen moves itself"},
	{1, "ram", 0, 4, true, ENOTSUP, "it is memory, which Xen moves itself"},
	{4, "chip", 0, 3, false, EBADMSG, "its footer is of section id 41, not 40"},
	{1, "mem", 0, 4, false, EBADMSG, "bad length"},
};

START_TEST(sections_refused)
{
	const struct device_state_options options = {.for_xen = bad[_i].xen, .footers = true};
	char expected[256];

	begin_load();
	state_section(&s, bad[_i].type, 40, bad[_i].idstr, bad[_i].instance, bad[_i].version);
	stream_raw(&s, "\0\0\1\0", 4);
	state_footer(&s, 41);
	state_be(&s, 0, 1);
	ck_assert_int_eq(load(&options), -1);
	snprintf(expected, sizeof(expected), "section %s (instance %u) at offset 8: %s",
		 bad[_i].idstr, bad[_i].instance, bad[_i].text);
	error_is(bad[_i].errnum, expected);
}
END_TEST

START_TEST(fields_that_are_cut_are_named)
{
	begin_load();
	state_section(&s, 4, 40, "chip", 0, 3);
	stream_raw(&s, "\0\0\1", 3);
	ck_assert_int_eq(load(&plain), -1);
	error_is(EBADMSG,
		 "section chip (instance 0) at offset 8: field value at offset 26 takes 4 octets, "
		 "3 are there");
}
END_TEST

static int on_command(void *data, const struct savevm_element *command)
{
	*(unsigned *)data = *(unsigned *)data * 10 + command->command;
	return command->command == SAVEVM_COMMAND_POSTCOPY_RUN ? EPERM : 0;
}

START_TEST(commands_are_given_on)
{
	unsigned seen = 0;
	const struct device_state_options options = {.command = on_command, .data = &seen};

	begin_load();
	state_command(&s, 1, NULL, 0);
	state_command(&s, 7, "\0\0\0\5", 4);
	state_command(&s, 4, NULL, 0);
	state_command(&s, 5, NULL, 0);
	state_be(&s, 0, 1);
	ck_assert_int_eq(load(&options), -1);
	error_is(EPERM, "COMMAND at offset 27: POSTCOPY_RUN was refused: Operation not permitted");
	ck_assert_uint_eq(seen, 145);
}
END_TEST

/* ---- damage and trouble -------------------------------------------------------------------- */

static void whole_machine(void)
{
	static struct chip chip = {.value = 77};
	static struct memory memory = {.octets = "xy", .length = 2};

	ck_assert_int_eq(add_memory(&other, "mem", true, &memory), 0);
	ck_assert_int_eq(add_chip(&other, "chip", 0, 0, &chip), 0);
	ck_assert_int_eq(device_registry_save(&other, &plain, &out, &ctx), 0);
	begin_load();
	s.len = 0;
	stream_raw(&s, out.data, out.len);
}

START_TEST(cut_at_every_octet)
{
	size_t length;

	whole_machine();
	ck_assert_int_eq(load(&plain), 0);
	ck_assert_uint_eq(the_chip.value, 77);
	length = s.len;
	for (s.len = 0; s.len < length; s.len++) {
		ck_assert_int_eq(load(&plain), -1);
		ck_assert_str_ne(ctx.err.text, "");
		error_init(&ctx.err);
	}
}
END_TEST

START_TEST(every_bit_flipped)
{
	whole_machine();
	for (size_t bit = 0; bit < 8 * s.len; bit++) {
		s.octets[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (load(&plain) < 0)
			ck_assert_str_ne(ctx.err.text, "");
		error_init(&ctx.err);
		s.octets[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}
END_TEST

/* All of it, with each allocation failing once. */
START_TEST(no_memory)
{
	struct chip chip = {.value = 1};
	struct memory memory = {.octets = "z", .length = 1};
	unsigned n;

	for (n = 1;; n++) {
		int rc;

		engine_alloc_arm(n);
		rc = add_memory(&registry, "mem", true, &memory);
		if (rc == 0)
			rc = add_chip(&registry, "chip", 0, 0, &chip);
		if (rc == 0)
			rc = device_registry_save(&registry, &plain, &out, &ctx);
		if (rc == 0)
			rc = device_registry_load(&registry, out.data, out.len, &plain, &ctx);
		device_registry_release(&registry);
		octets_release(&out);
		engine_alloc_disarm();
		ck_assert_int_eq(engine_alloc.held, 0);
		if (!engine_alloc.failed) {
			ck_assert_int_eq(rc, 0);
			break;
		}
		ck_assert_msg(rc == -1, "allocation %u failed and nobody noticed", n);
		ck_assert_int_eq(ctx.err.errnum, ENOMEM);
		error_init(&ctx.err);
	}
	ck_assert_uint_gt(n, 5);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("device registry");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, order_is_by_priority_and_then_by_age);
	tcase_add_test(tc, instances_are_numbered);
	tcase_add_test(tc, bad_devices_are_refused);
	tcase_add_test(tc, removed_devices_are_gone);
	tcase_add_test(tc, exact_names_are_stronger_than_aliases);
	tcase_add_test(tc, a_save_has_steps_first_and_then_the_others);
	tcase_add_test(tc, a_save_for_xen_has_neither_memory_nor_configuration);
	tcase_add_test(tc, what_hinders_a_save_is_named);
	tcase_add_loop_test(tc, a_save_describes_itself, 0, 4);
	tcase_add_loop_test(tc, a_device_that_fails_is_named, 0, 4);
	tcase_add_test(tc, a_device_that_is_never_done_ends_with_the_buffer);
	tcase_add_test(tc, there_must_be_room_for_eof);
	tcase_add_loop_test(tc, what_one_registry_saves_another_loads, 0, 4);
	tcase_add_test(tc, aliases_and_old_versions_are_loaded);
	tcase_add_test(tc, embedded_streams_are_loaded);
	tcase_add_loop_test(tc, sections_refused, 0, COUNT(bad));
	tcase_add_test(tc, fields_that_are_cut_are_named);
	tcase_add_test(tc, commands_are_given_on);
	tcase_add_test(tc, cut_at_every_octet);
	tcase_add_test(tc, every_bit_flipped);
	tcase_add_test(tc, no_memory);
	return unit_main(suite, tc);
}
