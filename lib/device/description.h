/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the data of a section is made of: named fields in an order, structures within structures,
 * and subsections behind them that are there when needed. One description serves for saving a
 * device's state out of an object, for loading it into one, and for showing the octets of a
 * section field by field without any object.
 *
 *      field, field, array of fields, structure { field, … [subsection …] }, …  [subsection …]
 *
 * A description that came out of a stream may lie; what it makes us do is bounded by the octets
 * that are there: STATE_MAX_DEPTH structures deep, and STATE_FREE_ELEMENTS elements of no octets.
 */
#ifndef XENSR_LIB_DEVICE_DESCRIPTION_H
#define XENSR_LIB_DEVICE_DESCRIPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "context.h"
#include "cursor.h"
#include "octets.h"

#define STATE_MAX_DEPTH       16u
#define STATE_FREE_ELEMENTS   256u
#define STATE_PATH_SIZE       512u /* longer paths are cut */
#define STATE_COUNT_REACH     8u
#define STATE_MAX_SUBSECTIONS 256u

/* On the wire integers are big-endian, in the object they are the host's. */
enum state_type {
	STATE_U8,
	STATE_U16,
	STATE_U32,
	STATE_U64,
	STATE_S8,
	STATE_S16,
	STATE_S32,
	STATE_S64,
	STATE_BOOL,   /* one octet, 0 or 1; a bool in the object */
	STATE_TIMER,  /* u64: when it fires, ns of its clock; all ones = not armed */
	STATE_BUFFER, /* `size` octets as they are */
	STATE_UNUSED, /* `size` octets that mean nothing: zero when saved, ignored when loaded */
	STATE_STRUCT, /* `nested`; `size` is that of one element in the object */
};

/* What must hold for a value that is loaded, against the one that the object has already. */
enum state_rule {
	STATE_ANY,
	STATE_EQUAL,   /* the same; it is not set up by the saved state */
	STATE_AT_MOST, /* not more; then it is loaded */
};

struct state_description;
struct json_t; /* of jansson.h */

struct state_field {
	const char *name;
	enum state_type type;
	const char *type_name; /* what its writer calls the type; NULL = state_type_name() */
	size_t offset;         /* in the object (of the structure that it is in) */
	size_t size;           /* BUFFER, UNUSED, STRUCT: see above; else ignored */

	/* An array has count > 0; the elements lie next to each other. With counted_by, an integer
	 * field of the same structure says how many there are (at most count): one of the
	 * STATE_COUNT_REACH before this one that are no arrays. */
	uint32_t count;
	const struct state_field *counted_by;

	uint32_t since;                                       /* first version that has it */
	bool (*exists)(const void *object, uint32_t version); /* NULL = always */
	enum state_rule rule;
	const struct state_description *nested;
	uint64_t wire_size; /* STRUCT: octets of one element if that is known; 0 = not */
};

struct state_description {
	const char *name;
	uint32_t version;         /* which is saved, and the newest that can be loaded */
	uint32_t minimum_version; /* the oldest that can be loaded */
	const struct state_field *fields;
	size_t field_count;
	const struct state_description *const *subsections;
	size_t subsection_count;

	/* A subsection is saved when this says so; NULL = always. */
	bool (*needed)(const void *object);
	bool must_come; /* a subsection whose absence is an error when loading */
	/* All may be NULL. Those with a result return 0, or an errno value: the operation fails.
	 * post_save is called whenever pre_save succeeded, whatever the save came to. */
	int (*pre_save)(void *object);
	void (*post_save)(void *object);
	int (*pre_load)(void *object);
	int (*post_load)(void *object, uint32_t version);
};

/* One element that was read; valid during the call. */
struct state_value {
	const char *path;      /* "parent.child[2].name"; in a subsection: "<its name>.child" */
	const char *type;      /* as its writer calls it */
	enum state_type kind;  /* never STATE_STRUCT */
	size_t offset;         /* in the container */
	const uint8_t *octets; /* as on the wire, in the container */
	size_t size;
	uint64_t number; /* integers, BOOL and TIMER: the value, signed ones extended to 64 bits */
};

/* Called per element in the order of the stream. Anything but 0 ends the load, which returns -1. */
typedef int (*state_value_fn)(void *data, const struct state_value *value);

/* "uint32", … */
const char *state_type_name(enum state_type type);

/* Octets of one element on the wire; 0 for STRUCT. */
size_t state_field_octets(const struct state_field *field);

/*
 * Read what the description says from the cursor on. Values go into object unless that is NULL, and
 * to value_fn unless that is NULL. version is that of the section. Without an object no hook is
 * called, rules are not checked, and a field with exists is an error. Returns 0 with the cursor behind
 * the data; or -1 with the context's error (EBADMSG: the data is not what the description says, or the
 * description lies; EPROTONOSUPPORT: version; ECANCELED: value_fn; what a hook returned). The object
 * may then be half loaded.
 */
MUST_CHECK int description_load(const struct state_description *description, void *object,
				uint32_t version, struct cursor *in, state_value_fn value_fn,
				void *value_data, struct xensr_ctx *ctx);

/*
 * Put the object's state. `described`, an object of Jansson's or NULL, gets the members that describe what
 * was put in a VMDESCRIPTION: "vmsd_name", "version", "fields", "subsections". Returns 0, or -1 with the
 * context's error (ERANGE: a count in the object is above its limit; ENOMEM; what a hook returned). What
 * the buffer met is in out->errnum.
 */
MUST_CHECK int description_save(const struct state_description *description, void *object,
				struct octet_buffer *out, struct json_t *described,
				struct xensr_ctx *ctx);

#endif
