/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device_registry.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct device_registry device_registry_empty(void)
{
	return (struct device_registry){.count = 0};
}

void device_registry_release(struct device_registry *registry)
{
	free(registry->entries);
	*registry = device_registry_empty();
}

static const struct device_entry *find_exact(const struct device_registry *registry,
					     const char *idstr, uint32_t instance_id)
{
	for (size_t i = 0; i < registry->count; i++) {
		const struct device *device = &registry->entries[i].device;

		if (device->instance_id == instance_id && !strcmp(device->idstr, idstr))
			return &registry->entries[i];
	}
	return NULL;
}

static bool has_alias(const struct device *device, const char *idstr, uint32_t instance_id)
{
	return device->alias_idstr && device->alias_instance_id == instance_id &&
	       !strcmp(device->alias_idstr, idstr);
}

const struct device_entry *device_registry_find(const struct device_registry *registry,
						const char *idstr, uint32_t instance_id)
{
	const struct device_entry *exact = find_exact(registry, idstr, instance_id);

	if (exact)
		return exact;
	for (size_t i = 0; i < registry->count; i++) {
		if (has_alias(&registry->entries[i].device, idstr, instance_id))
			return &registry->entries[i];
	}
	return NULL;
}

/* Section data would be taken for another device's if this does not hold. */
static int check_device(const struct device *device, struct xensr_ctx *ctx)
{
	size_t length = device->idstr ? strnlen(device->idstr, SAVEVM_NAME_SIZE) : 0;

	if (!length || length >= SAVEVM_NAME_SIZE)
		return ctx_fail(ctx, EINVAL, "the name of a device is not of 1 to 255 octets");
	if (!device->description == !device->steps)
		return ctx_fail(ctx, EINVAL, "device %s needs a description or steps, not both",
				device->idstr);
	return 0;
}

static uint32_t next_instance(const struct device_registry *registry, const char *idstr)
{
	uint32_t next = 0;

	for (size_t i = 0; i < registry->count; i++) {
		const struct device *device = &registry->entries[i].device;

		if (!strcmp(device->idstr, idstr) && device->instance_id >= next)
			next = device->instance_id + 1;
	}
	return next;
}

int device_registry_add(struct device_registry *registry, const struct device *device,
			struct xensr_ctx *ctx)
{
	struct device_entry entry = {.device = *device, .section_id = registry->next_section_id};
	struct device_entry *grown;
	size_t at;

	if (check_device(device, ctx) < 0)
		return -1;
	if (device->instance_id == DEVICE_NEXT_INSTANCE)
		entry.device.instance_id = next_instance(registry, device->idstr);
	if (entry.device.instance_id == DEVICE_NEXT_INSTANCE || registry->count == DEVICE_MAX_COUNT)
		return ctx_fail(ctx, ENOSPC, "no room for device %s", device->idstr);
	if (find_exact(registry, device->idstr, entry.device.instance_id))
		return ctx_fail(ctx, EEXIST, "device %s (instance %" PRIu32 ") is there already",
				device->idstr, entry.device.instance_id);
	grown = realloc(registry->entries, (registry->count + 1) * sizeof(*grown));
	if (!grown)
		return ctx_fail(ctx, ENOMEM, "no memory for device %s", device->idstr);
	registry->entries = grown;
	for (at = registry->count; at > 0 && grown[at - 1].device.priority < device->priority; at--)
		grown[at] = grown[at - 1];
	grown[at] = entry;
	registry->count++;
	registry->next_section_id++;
	return 0;
}

void device_registry_remove(struct device_registry *registry, const void *object)
{
	size_t kept = 0;

	for (size_t i = 0; i < registry->count; i++) {
		if (registry->entries[i].device.object != object)
			registry->entries[kept++] = registry->entries[i];
	}
	registry->count = kept;
}
