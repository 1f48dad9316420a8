/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The devices of a machine, whose state makes up a savevm container (savevm.h).
 *
 *      save   [CONFIGURATION]  START of each that is saved in steps
 *             PART of each until it says that it is done, round by round    END of each
 *             FULL of each other      EOF
 *      save for Xen   FULL of each, memory left out      EOF
 *
 * A section is matched to the device that has its idstr and instance id, else to one of which they are
 * an older alias.
 */
#ifndef XENSR_LIB_DEVICE_DEVICE_REGISTRY_H
#define XENSR_LIB_DEVICE_DEVICE_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "description.h"
#include "savevm.h"

/* As instance_id: one more than the highest of the devices with this idstr, from 0 up. */
#define DEVICE_NEXT_INSTANCE UINT32_MAX

#define DEVICE_MAX_COUNT 65536u

/*
 * How a device is saved that takes several steps. All are mandatory. The first three put what belongs
 * into one section and return 0 or an errno value, which fails the save.
 */
struct device_steps {
	int (*setup)(void *object, struct octet_buffer *out); /* START; once, first */
	/* PART; called until *done, false before each call, is set. */
	int (*iterate)(void *object, struct octet_buffer *out, bool *done);
	int (*complete)(void *object, struct octet_buffer *out); /* END; once, last */
	/* The data of one START, PART or END from the cursor on. Returns 0 with the cursor behind it, or
	 * -1 with the context's error. */
	int (*load)(void *object, enum savevm_kind kind, uint32_t version, struct cursor *in,
		    struct xensr_ctx *ctx);
};

/* What it points to stays the caller's and must outlive the registry. */
struct device {
	const char *idstr; /* 1 to 255 octets */
	uint32_t instance_id;
	/* What it was called in older streams; NULL = nothing else. */
	const char *alias_idstr;
	uint32_t alias_instance_id;
	int priority; /* higher ones come first; among equal ones, those that were added first */

	/* Exactly one of these. */
	const struct state_description *description;
	const struct device_steps *steps;

	uint32_t version, minimum_version; /* with steps; else the description has them */
	void *object;
	bool is_memory; /* of the guest: Xen moves it */
	const char *
		unmigratable; /* why nothing can be saved while this device is there; NULL = it can */
};

struct device_entry {
	struct device device;
	uint32_t section_id;
};

struct device_registry {
	struct device_entry *entries; /* in the order of saving */
	size_t count;
	uint32_t next_section_id;
};

struct device_state_options {
	bool for_xen; /* no CONFIGURATION, no VMDESCRIPTION, no steps, no memory */
	bool footers;
	const char *machine; /* save: CONFIGURATION with this name; NULL = none */
	uint32_t page_bits;  /* save: see savevm_write_configuration */
	bool describe;       /* save: VMDESCRIPTION of all that is saved in one piece */

	/* Load: called for each command but PACKAGED; may be NULL. Returns 0 or an errno value. */
	int (*command)(void *data, const struct savevm_element *command);
	void *data;
};

struct device_registry device_registry_empty(void);

/* Idempotent. */
void device_registry_release(struct device_registry *registry);

/*
 * Add a device; it gets the next section id. Returns 0, or -1 with the context's error (EINVAL: the
 * device is not as it has to be; EEXIST: there is one with its idstr and instance id; ENOSPC: too many;
 * ENOMEM).
 */
MUST_CHECK int device_registry_add(struct device_registry *registry, const struct device *device,
				   struct xensr_ctx *ctx);

/* Take the devices of this object out again; section ids are not given anew. */
void device_registry_remove(struct device_registry *registry, const void *object);

/* The device that a section belongs to, or NULL. */
const struct device_entry *device_registry_find(const struct device_registry *registry,
						const char *idstr, uint32_t instance_id);

/*
 * Put the state of all devices. Returns 0, or -1 with the context's error (EBUSY: a device is
 * unmigratable; ENOTSUP: a device with steps that is no memory, for Xen; EFBIG, ENOMEM: of the buffer;
 * what a device returned).
 */
MUST_CHECK int device_registry_save(const struct device_registry *registry,
				    const struct device_state_options *options,
				    struct octet_buffer *out, struct xensr_ctx *ctx);

/*
 * Load a whole container. Returns 0, or -1 with the context's error (EBADMSG; EPROTONOSUPPORT: a
 * version; ENODEV: no such device; ENOTSUP: memory, under Xen; what a device or command returned). Then
 * the devices may be half loaded.
 */
MUST_CHECK int device_registry_load(const struct device_registry *registry, const void *data,
				    size_t size, const struct device_state_options *options,
				    struct xensr_ctx *ctx);

#endif
