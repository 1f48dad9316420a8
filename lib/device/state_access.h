/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How values lie in an object; for description_load and description_save only.
 */
#ifndef XENSR_LIB_DEVICE_STATE_ACCESS_H
#define XENSR_LIB_DEVICE_STATE_ACCESS_H

#include "description.h"

/* Integers, BOOL and TIMER have a value; the other types are octets or structures. */
bool state_is_number(enum state_type type);
bool state_is_signed(enum state_type type);

/* The value in the object, signed ones extended to 64 bits. */
uint64_t state_get(const void *at, enum state_type type);
void state_set(void *at, enum state_type type, uint64_t number);

/* The distance between elements of an array in the object. */
size_t state_stride(const struct state_field *field);

/* The path of an element: parent's, '.', name, and [index] in arrays. */
void state_path(char path[STATE_PATH_SIZE], const char *parent, const struct state_field *field,
		uint32_t index);

#endif
