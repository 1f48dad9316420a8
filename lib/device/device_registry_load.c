/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "device_registry.h"

/* What QEMU calls the section with the guest's memory. */
#define MEMORY_IDSTR "ram"

struct load {
	const struct device_registry *registry;
	const struct device_state_options *options;
	struct xensr_ctx *ctx;
};

static int check_version(struct load *load, const struct device *device, uint32_t version)
{
	uint32_t newest = device->version, oldest = device->minimum_version;

	if (version > newest)
		return ctx_fail(load->ctx, EPROTONOSUPPORT,
				"it has version %" PRIu32 ", newer than %" PRIu32, version, newest);
	if (version < oldest)
		return ctx_fail(load->ctx, EPROTONOSUPPORT,
				"it has version %" PRIu32 ", older than %" PRIu32, version, oldest);
	return 0;
}

static int load_section(struct load *load, struct savevm_reader *reader,
			const struct savevm_element *element)
{
	const struct savevm_section *section = &element->section;
	bool in_steps = element->kind != SAVEVM_SECTION_FULL;
	const struct device_entry *entry;
	const struct device *device;
	int rc;

	entry = device_registry_find(load->registry, section->idstr, section->instance_id);
	if (load->options->for_xen &&
	    (!strcmp(section->idstr, MEMORY_IDSTR) || (entry && entry->device.is_memory)))
		return ctx_fail(load->ctx, ENOTSUP, "it is memory, which Xen moves itself");
	if (!entry)
		return ctx_fail(load->ctx, ENODEV, "there is no such device");
	device = &entry->device;
	if (in_steps != (device->steps != NULL))
		return ctx_fail(load->ctx, EBADMSG, "%s of a device that is%s saved in steps",
				savevm_kind_name(element->kind), in_steps ? " not" : "");
	if (!in_steps) {
		rc = description_load(device->description, device->object, section->version_id,
				      &reader->in, NULL, NULL, load->ctx);
	} else {
		rc = check_version(load, device, section->version_id);
		if (rc == 0)
			rc = device->steps->load(device->object, element->kind, section->version_id,
						 &reader->in, load->ctx);
	}
	if (rc < 0)
		return -1;
	return load->options->footers ? savevm_read_footer(reader, section) : 0;
}

static int load_elements(struct load *load, struct savevm_reader *reader);

static int load_packaged(struct load *load, const struct savevm_reader *outer,
			 const struct savevm_element *packaged)
{
	struct savevm_reader reader;
	size_t start = (size_t)(packaged->octets - outer->in.data);
	int rc = 0;

	savevm_reader_init(&reader, outer->in.data, start + packaged->length, load->ctx);
	reader.in.pos = start;
	reader.packaged = true;
	if (packaged->length >= SAVEVM_HEADER_OCTETS &&
	    octets_be(packaged->octets, 4) == SAVEVM_MAGIC)
		rc = savevm_read_header(&reader);
	if (rc == 0)
		rc = load_elements(load, &reader);
	savevm_reader_release(&reader);
	return rc;
}

static int load_command(struct load *load, const struct savevm_reader *reader,
			const struct savevm_element *element)
{
	int errnum;

	if (element->command == SAVEVM_COMMAND_PACKAGED)
		return load_packaged(load, reader, element);
	if (!load->options->command)
		return 0;
	errnum = load->options->command(load->options->data, element);
	return errnum ? ctx_fail_errno(load->ctx, errnum, "%s was refused",
				       savevm_command_name(element->command))
		      : 0;
}

static int load_elements(struct load *load, struct savevm_reader *reader)
{
	struct savevm_element element;
	int rc;

	for (;;) {
		rc = savevm_read_element(reader, &element);
		if (rc <= 0)
			return rc;
		switch (element.kind) {
		case SAVEVM_SECTION_START:
		case SAVEVM_SECTION_PART:
		case SAVEVM_SECTION_END:
		case SAVEVM_SECTION_FULL:
			rc = load_section(load, reader, &element);
			break;
		case SAVEVM_COMMAND:
			rc = load_command(load, reader, &element);
			break;
		default: /* CONFIGURATION, EOF, VMDESCRIPTION: nothing to load */
			rc = 0;
		}
		if (rc < 0)
			return -1;
	}
}

int device_registry_load(const struct device_registry *registry, const void *data, size_t size,
			 const struct device_state_options *options, struct xensr_ctx *ctx)
{
	struct load load = {.registry = registry, .options = options, .ctx = ctx};
	struct savevm_reader reader;
	int rc;

	savevm_reader_init(&reader, data, size, ctx);
	rc = savevm_read_header(&reader);
	if (rc == 0)
		rc = load_elements(&load, &reader);
	savevm_reader_release(&reader);
	return rc;
}
