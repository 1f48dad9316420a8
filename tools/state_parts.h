/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts of state_json(), and what they are made with.
 */
#ifndef XENSR_TOOLS_STATE_PARTS_H
#define XENSR_TOOLS_STATE_PARTS_H

#include <jansson.h>
#include <stdbool.h>

#include "error.h"
#include "image.h"
#include "register_fields.h"
#include "state_json.h"

/*
 * What is being made. json functions take NULL for an object that could not be made and fail, so
 * one look at the end of each function is enough; `failed` keeps it.
 */
struct state {
	const struct image *image;
	struct image_error *err;
	json_t *root;
	size_t shown; /* octets that became lines */
	bool failed;  /* no memory */
	bool cannot;  /* a record could not be read: *err */
};

/* object[key] = value, whose reference is taken. Of several with one key the last is kept. */
void state_put(struct state *state, json_t *object, json_t *value, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

/* The same, but all of several with one key are kept: as "KEY", "KEY #2", "KEY #3" … */
void state_put_another(struct state *state, json_t *object, json_t *value, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

/* A new object as a member of another, which holds the reference. */
json_t *state_put_object(struct state *state, json_t *object, const char *key);

/* Octets as lines by their offset, or as a checksum if they are too many. */
json_t *state_octets(struct state *state, const void *octets, size_t n);

/* Their number and checksum. */
json_t *state_checksum(struct state *state, const void *octets, size_t n);

/* Registers by their names. */
json_t *state_registers(struct state *state, const struct register_layout *layout,
			const uint8_t *registers);

/* The body of a record, freed by the caller; NULL without one, or when it cannot be read. */
void *state_body(struct state *state, const struct image_record *record);

/* The domain's record of this type in the selected state, or NULL. */
const struct image_record *state_domain_record(const struct state *state, uint32_t type);

/* The members that only one type of guest has: registers, hvm_context, hvm_params. */
void state_put_hvm(struct state *state);
/* Registers, vcpus, shared_info. */
void state_put_pv(struct state *state);
/* The device model's. */
void state_put_emulator(struct state *state);

#endif
