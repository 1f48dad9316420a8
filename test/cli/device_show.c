/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * device_show FILE: what savevm_list finds in a container of device state, a line of tab-separated
 * words per element and per field:
 *
 *      element  offset  length  kind  [name  instance  version  data-octets  how-its-end-is-known]
 *      value    path  type  octets-in-hex
 *
 * Exit code 0; 1 if it is damaged, with the reason on stderr; 2 for trouble on our side.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "savevm_list.h"

static int on_element(void *data, const struct savevm_listed *listed)
{
	const struct savevm_element *e = &listed->element;

	(void)data;
	printf("element\t%zu\t%zu\t%s", e->offset, listed->length, savevm_kind_name(e->kind));
	if (*e->section.idstr)
		printf("\t%s\t%" PRIu32 "\t%" PRIu32 "\t%zu\t%s", e->section.idstr,
		       e->section.instance_id, e->section.version_id, listed->data_length,
		       savevm_end_name(listed->end));
	if (listed->note)
		printf("\t%s", listed->note);
	printf("\n");
	return 0;
}

static int on_value(void *data, const struct savevm_listed *listed, const struct state_value *value)
{
	(void)data;
	(void)listed;
	printf("value\t%s\t%s\t", value->path, value->type);
	for (size_t i = 0; i < value->size; i++)
		printf("%02x", value->octets[i]);
	printf("\n");
	return 0;
}

/* The whole file, in as much memory as it has octets. */
static void *read_file(const char *path, size_t *size)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	void *octets = NULL;

	if (!file)
		return NULL;
	if (fstat(fileno(file), &st) == 0) {
		*size = (size_t)st.st_size;
		octets = malloc(*size ? *size : 1);
		if (octets && fread(octets, 1, *size, file) != *size) {
			free(octets);
			octets = NULL;
		}
	}
	fclose(file);
	return octets;
}

int main(int argc, char **argv)
{
	static const struct savevm_list_callbacks callbacks = {on_element, on_value, NULL};
	struct xensr_error err;
	size_t size;
	void *octets;
	int rc;

	if (argc != 2) {
		fprintf(stderr, "usage: device_show FILE\n");
		return 2;
	}
	octets = read_file(argv[1], &size);
	if (!octets) {
		perror(argv[1]);
		return 2;
	}
	rc = savevm_list(octets, size, &callbacks, &err);
	if (rc < 0)
		fprintf(stderr, "%s\n", err.text);
	free(octets);
	return rc < 0;
}
