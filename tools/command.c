/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int command_error(const char *name, const char *fmt, ...)
{
	va_list args;

	/* What was printed before comes before. */
	fflush(stdout);
	fprintf(stderr, "xensr %s: ", name);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	return EXIT_TROUBLE;
}

int command_usage(const char *name, const char *fmt, ...)
{
	va_list args;

	if (fmt) {
		fprintf(stderr, "xensr %s: ", name);
		va_start(args, fmt);
		vfprintf(stderr, fmt, args);
		va_end(args);
		fputc('\n', stderr);
	}
	fprintf(stderr, "`xensr %s --help' says more.\n", name);
	return EXIT_USAGE;
}

enum exit_code command_exit(int errnum)
{
	switch (errnum) {
	case EBADMSG:
	case ENODATA:
		return EXIT_DAMAGED;
	default:
		return EXIT_TROUBLE;
	}
}

int command_finish(const char *name, int code)
{
	if (!fflush(stdout) && !ferror(stdout))
		return code;
	return command_error(name, "cannot write: %s", strerror(errno));
}

int command_print_json(const char *name, json_t *root, int code)
{
	int rc;

	if (!root)
		return command_error(name, "no memory for what is to be printed");
	rc = json_dumpf(root, stdout, JSON_INDENT(2));
	json_decref(root);
	if (rc && !ferror(stdout))
		return command_error(name, "no memory for what is to be printed");
	putchar('\n');
	return command_finish(name, code);
}

char *plain_text(char *plain, size_t size, const char *text)
{
	size_t i = 0;

	for (; text[i] && i + 1 < size; i++)
		plain[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	plain[i] = '\0';
	return plain;
}

json_t *json_text(const char *text)
{
	json_t *good = json_string(text);
	char *plain;
	size_t size = strlen(text) + 1;

	if (good)
		return good;
	plain = malloc(size);
	if (!plain)
		return NULL;
	good = json_string(plain_text(plain, size, text));
	free(plain);
	return good;
}

json_t *json_hex(uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%#" PRIx64, value);
	return json_string(value ? text : "0x0");
}

char *size_text(char text[SIZE_TEXT], uint64_t octets)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double size = (double)octets;
	size_t unit = 0;

	if (octets < 1024) {
		snprintf(text, SIZE_TEXT, "%" PRIu64 " octets", octets);
		return text;
	}
	for (size /= 1024; size >= 1024 && unit + 1 < sizeof(units) / sizeof(*units); unit++)
		size /= 1024;
	snprintf(text, SIZE_TEXT, "%.1f %s", size, units[unit]);
	return text;
}
