/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xenstore_data.h"

#include <errno.h>
#include <string.h>

/* What is wrong with a component that ends before `end`, or NULL. */
static const char *component_fault(const char *at, const char *end)
{
	size_t n = (size_t)(end - at);

	if (n == 0)
		return "has an empty component";
	if ((n == 1 && at[0] == '.') || (n == 2 && at[0] == '.' && at[1] == '.'))
		return "leads out of its directory";
	return NULL;
}

/* What is wrong with a key, or NULL. The text follows "a key". */
static const char *key_fault(const char *key)
{
	size_t length = strlen(key);
	const char *end = key + length, *at = key, *slash;

	if (length == 0)
		return "is empty";
	if (length > XENSTORE_KEY_MAX)
		return "is longer than xenstore allows";
	if (key[0] == '/')
		return "is absolute";
	for (const char *c = key; c < end; c++) {
		if (*c <= ' ' || *c > '~')
			return "has an octet that is no printable ASCII";
	}
	for (; (slash = strchr(at, '/')); at = slash + 1) {
		const char *fault = component_fault(at, slash);

		if (fault)
			return fault;
	}
	return component_fault(at, end);
}

/* The next string, or NULL if no NUL ends it. */
static const char *take_string(struct cursor *at)
{
	const uint8_t *nul = memchr(at->data + at->pos, '\0', cursor_left(at));

	return nul ? cursor_take(at, (size_t)(nul + 1 - (at->data + at->pos))) : NULL;
}

bool xenstore_data_next(struct cursor *at, const char **key, const char **value)
{
	if (cursor_left(at) == 0)
		return false;
	*key = take_string(at);
	*value = take_string(at);
	return *key && *value;
}

int xenstore_data_check(struct xensr_ctx *ctx, const void *data, size_t octets)
{
	struct cursor at = cursor_over(data, octets);

	for (unsigned pair = 0; cursor_left(&at); pair++) {
		const char *key = take_string(&at), *fault;

		if (!key)
			return ctx_fail(ctx, EBADMSG, "key %u has no NUL at its end", pair);
		fault = key_fault(key);
		if (fault)
			return ctx_fail(ctx, EBADMSG, "key %u %s", pair, fault);
		if (cursor_left(&at) == 0)
			return ctx_fail(ctx, EBADMSG, "key %u has no value", pair);
		if (!take_string(&at))
			return ctx_fail(ctx, EBADMSG, "value %u has no NUL at its end", pair);
	}
	return 0;
}

int xenstore_data_add(struct xensr_ctx *ctx, struct xenstore_data *data, const char *key,
		      const char *value, size_t most)
{
	size_t key_octets = strlen(key) + 1, value_octets = strlen(value) + 1;
	const char *fault = key_fault(key);

	if (fault)
		return ctx_fail(ctx, EINVAL, "a key for the emulator's xenstore data %s", fault);
	if (value_octets > most || key_octets > most - value_octets ||
	    data->octets > most - value_octets - key_octets)
		return ctx_fail(ctx, EMSGSIZE,
				"the emulator's xenstore data are longer than %zu octets", most);
	if (body_reserve(ctx, &data->body, data->octets + key_octets + value_octets))
		return -1;
	memcpy(data->body.octets + data->octets, key, key_octets);
	memcpy(data->body.octets + data->octets + key_octets, value, value_octets);
	data->octets += key_octets + value_octets;
	return 0;
}

void xenstore_data_release(struct xenstore_data *data)
{
	body_release(&data->body);
	data->octets = 0;
}
