/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "state_access.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	size_t octets;
} types[] = {
	[STATE_U8] = {"uint8", 1},      [STATE_U16] = {"uint16", 2},
	[STATE_U32] = {"uint32", 4},    [STATE_U64] = {"uint64", 8},
	[STATE_S8] = {"int8", 1},       [STATE_S16] = {"int16", 2},
	[STATE_S32] = {"int32", 4},     [STATE_S64] = {"int64", 8},
	[STATE_BOOL] = {"bool", 1},     [STATE_TIMER] = {"timer", 8},
	[STATE_BUFFER] = {"buffer", 0}, [STATE_UNUSED] = {"unused_buffer", 0},
	[STATE_STRUCT] = {"struct", 0},
};

const char *state_type_name(enum state_type type)
{
	return types[type].name;
}

size_t state_field_octets(const struct state_field *field)
{
	if (field->type == STATE_BUFFER || field->type == STATE_UNUSED)
		return field->size;
	return types[field->type].octets;
}

bool state_is_number(enum state_type type)
{
	return types[type].octets != 0;
}

bool state_is_signed(enum state_type type)
{
	return type == STATE_S8 || type == STATE_S16 || type == STATE_S32 || type == STATE_S64;
}

/* Fields need not be aligned in the object: all access goes through memcpy. */
uint64_t state_get(const void *at, enum state_type type)
{
	uint8_t u8;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;

	switch (types[type].octets) {
	case sizeof(u8):
		memcpy(&u8, at, sizeof(u8));
		return type == STATE_S8 ? (uint64_t)(int8_t)u8 : u8;
	case sizeof(u16):
		memcpy(&u16, at, sizeof(u16));
		return type == STATE_S16 ? (uint64_t)(int16_t)u16 : u16;
	case sizeof(u32):
		memcpy(&u32, at, sizeof(u32));
		return type == STATE_S32 ? (uint64_t)(int32_t)u32 : u32;
	default:
		memcpy(&u64, at, sizeof(u64));
		return u64;
	}
}

void state_set(void *at, enum state_type type, uint64_t number)
{
	uint8_t u8 = (uint8_t)number;
	uint16_t u16 = (uint16_t)number;
	uint32_t u32 = (uint32_t)number;

	switch (types[type].octets) {
	case sizeof(u8):
		memcpy(at, &u8, sizeof(u8));
		break;
	case sizeof(u16):
		memcpy(at, &u16, sizeof(u16));
		break;
	case sizeof(u32):
		memcpy(at, &u32, sizeof(u32));
		break;
	default:
		memcpy(at, &number, sizeof(number));
	}
}

size_t state_stride(const struct state_field *field)
{
	return types[field->type].octets ? types[field->type].octets : field->size;
}

void state_path(char path[STATE_PATH_SIZE], const char *parent, const struct state_field *field,
		uint32_t index)
{
	const char *dot = *parent ? "." : "";

	if (field->count)
		snprintf(path, STATE_PATH_SIZE, "%s%s%s[%" PRIu32 "]", parent, dot, field->name,
			 index);
	else
		snprintf(path, STATE_PATH_SIZE, "%s%s%s", parent, dot, field->name);
}
