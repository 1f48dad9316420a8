/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device_registry.h"

struct save {
	const struct device_registry *registry;
	const struct device_state_options *options;
	struct octet_buffer *out;
	struct xensr_ctx *ctx;
	json_t *described; /* "devices" of the VMDESCRIPTION, or NULL */
	char what[SAVEVM_NAME_SIZE + 64];
};

static void begin_section(struct save *save, const struct device_entry *entry,
			  enum savevm_kind kind)
{
	const struct device *device = &entry->device;
	struct savevm_section section = {
		.id = entry->section_id,
		.instance_id = device->instance_id,
		.version_id = device->steps ? device->version : device->description->version,
	};

	memcpy(section.idstr, device->idstr, strlen(device->idstr));
	snprintf(save->what, sizeof(save->what), "section %s (instance %" PRIu32 ")", device->idstr,
		 device->instance_id);
	ctx_enter(save->ctx, save->what, XENSR_NO_RECORD, save->out->len);
	savevm_write_section(save->out, kind, &section);
}

/* errnum: what the device said, or 0. The buffer's trouble is noticed here, so rounds come to an end. */
static int end_section(struct save *save, const struct device_entry *entry, int errnum)
{
	if (errnum)
		return ctx_fail_errno(save->ctx, errnum, "cannot be saved");
	if (save->options->footers)
		savevm_write_footer(save->out, entry->section_id);
	if (save->out->errnum)
		return ctx_fail_errno(save->ctx, save->out->errnum, "no room for it");
	return 0;
}

/* Everything that can be told before anything is written. */
static int check_devices(struct save *save)
{
	for (size_t i = 0; i < save->registry->count; i++) {
		const struct device *device = &save->registry->entries[i].device;

		if (device->unmigratable)
			return ctx_fail(save->ctx, EBUSY,
					"device %s (instance %" PRIu32 ") cannot be saved: %s",
					device->idstr, device->instance_id, device->unmigratable);
		if (save->options->for_xen && device->steps && !device->is_memory)
			return ctx_fail(save->ctx, ENOTSUP,
					"device %s (instance %" PRIu32
					") is saved in steps, which a save for Xen does not have",
					device->idstr, device->instance_id);
	}
	return 0;
}

/* START or END of each device with steps. */
static int save_step(struct save *save, enum savevm_kind kind)
{
	for (size_t i = 0; i < save->registry->count; i++) {
		const struct device_entry *entry = &save->registry->entries[i];
		const struct device_steps *steps = entry->device.steps;
		int errnum;

		if (!steps)
			continue;
		begin_section(save, entry, kind);
		if (kind == SAVEVM_SECTION_START)
			errnum = steps->setup(entry->device.object, save->out);
		else
			errnum = steps->complete(entry->device.object, save->out);
		if (end_section(save, entry, errnum) < 0)
			return -1;
	}
	return 0;
}

/* Rounds of PARTs until each device with steps is done. Every PART takes room in the buffer, so a
 * device that is never done ends with EFBIG. */
static int save_parts(struct save *save, bool *done)
{
	bool all_done = false;

	while (!all_done) {
		all_done = true;
		for (size_t i = 0; i < save->registry->count; i++) {
			const struct device_entry *entry = &save->registry->entries[i];
			int errnum;

			if (!entry->device.steps || done[i])
				continue;
			begin_section(save, entry, SAVEVM_SECTION_PART);
			errnum = entry->device.steps->iterate(entry->device.object, save->out,
							      &done[i]);
			if (end_section(save, entry, errnum) < 0)
				return -1;
			all_done &= done[i];
		}
	}
	return 0;
}

static int save_steps(struct save *save)
{
	bool *done = calloc(save->registry->count + 1, sizeof(*done));
	int rc = -1;

	if (!done)
		return ctx_fail(save->ctx, ENOMEM, "no memory to save devices in steps");
	if (save_step(save, SAVEVM_SECTION_START) < 0 || save_parts(save, done) < 0 ||
	    save_step(save, SAVEVM_SECTION_END) < 0)
		goto out;
	rc = 0;
out:
	free(done);
	return rc;
}

/* What describes a device, for description_save to go on with; *described is NULL if nothing does. */
static int describe_device(struct save *save, const struct device *device, json_t **described)
{
	*described = NULL;
	if (!save->described)
		return 0;
	*described = json_pack("{s:s, s:I}", "name", device->idstr, "instance_id",
			       (json_int_t)device->instance_id);
	if (!*described || json_array_append_new(save->described, *described) < 0)
		return ctx_fail(save->ctx, ENOMEM, "no memory to describe it");
	return 0;
}

static int save_full(struct save *save)
{
	json_t *described;

	for (size_t i = 0; i < save->registry->count; i++) {
		const struct device_entry *entry = &save->registry->entries[i];
		const struct device *device = &entry->device;

		if (device->steps || (device->is_memory && save->options->for_xen))
			continue;
		begin_section(save, entry, SAVEVM_SECTION_FULL);
		if (describe_device(save, device, &described) < 0 ||
		    description_save(device->description, device->object, save->out, described,
				     save->ctx) < 0 ||
		    end_section(save, entry, 0) < 0)
			return -1;
	}
	return 0;
}

/* The VMDESCRIPTION of save->described. */
static int save_description(struct save *save)
{
	uint32_t page_bits = save->options->page_bits;
	json_t *root = json_pack("{s:O}", "devices", save->described);
	char *text = NULL;
	size_t length;
	int rc = -1;

	if (root &&
	    (!page_bits || page_bits > 62 ||
	     json_object_set_new(root, "page_size", json_integer((json_int_t)1 << page_bits)) == 0))
		text = json_dumps(root, 0);
	if (!text) {
		ctx_fail(save->ctx, ENOMEM, "no memory for the VMDESCRIPTION");
		goto out;
	}
	length = strlen(text);
	if (length > SAVEVM_MAX_VMDESCRIPTION) {
		ctx_fail(save->ctx, EFBIG, "a VMDESCRIPTION of %zu octets, more than %u", length,
			 SAVEVM_MAX_VMDESCRIPTION);
		goto out;
	}
	savevm_write_vmdescription(save->out, text, (uint32_t)length);
	rc = 0;
out:
	free(text);
	json_decref(root);
	return rc;
}

int device_registry_save(const struct device_registry *registry,
			 const struct device_state_options *options, struct octet_buffer *out,
			 struct xensr_ctx *ctx)
{
	struct save save = {.registry = registry, .options = options, .out = out, .ctx = ctx};
	int rc = -1;

	if (check_devices(&save) < 0)
		goto out;
	if (options->describe && !options->for_xen) {
		save.described = json_array();
		if (!save.described) {
			ctx_fail(ctx, ENOMEM, "no memory for the VMDESCRIPTION");
			goto out;
		}
	}
	savevm_write_header(out);
	if (options->machine && !options->for_xen)
		savevm_write_configuration(out, options->machine, options->page_bits);
	if (!options->for_xen && save_steps(&save) < 0)
		goto out;
	if (save_full(&save) < 0)
		goto out;
	ctx_leave(ctx);
	savevm_write_eof(out);
	if (save.described && save_description(&save) < 0)
		goto out;
	if (out->errnum) {
		ctx_fail_errno(ctx, out->errnum, "no room for the device state");
		goto out;
	}
	rc = 0;
out:
	json_decref(save.described);
	ctx_leave(ctx);
	return rc;
}
