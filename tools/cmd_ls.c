/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xensr ls: every record of a saved domain.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "emulator_state.h"
#include "options.h"
#include "record_text.h"
#include "walk.h"

static const char name[] = "ls";

static const char help[] = "usage: xensr ls [OPTION...] FILE\n"
			   "List every record with its offset, its length and what it says.\n"
			   "A FILE that is - is standard input.\n"
			   "\n"
			   "      --fields  list the fields of the device model's sections, too\n"
			   "      --json    print JSON\n"
			   "  -h, --help    print this\n";

struct listing {
	const char *path;
	bool fields;
	bool json;
	uint64_t printed; /* --json: records */
	uint64_t parts;   /* --json: of the record at work, printed so far */
	int code;
	bool no_memory;
};

static int print_part(void *data, const json_t *part)
{
	const json_t *offset = json_object_get(part, "offset");
	const json_t *length = json_object_get(part, "length");
	const char *text = json_string_value(json_object_get(part, "text"));
	char plain[1024];

	(void)data;
	if (offset)
		printf("%14" JSON_INTEGER_FORMAT " %10" JSON_INTEGER_FORMAT "    ",
		       json_integer_value(offset), json_integer_value(length));
	else
		printf("%14s %10s    ", "", "");
	printf("%-24s ",
	       plain_text(plain, sizeof(plain), json_string_value(json_object_get(part, "name"))));
	puts(plain_text(plain, sizeof(plain), text));
	return 0;
}

static void print_record(const struct walk_record *record, const struct record_text *text)
{
	char buffer[RECORD_NAME];
	const char *title = record_name(record->place.layer, record->place.type, buffer);

	if (*text->line)
		printf("%14" PRIu64 " %10u  %-26s %s\n", record->place.offset, record->place.length,
		       title, text->line);
	else
		printf("%14" PRIu64 " %10u  %s\n", record->place.offset, record->place.length,
		       title);
}

/* That it cannot be written is told at the end. Returns 0, or -1 (out of memory). */
static int print_json_part(void *data, const json_t *part)
{
	struct listing *listing = data;

	fputs(listing->parts++ ? ",\n    " : "\n    ", stdout);
	return json_dumpf(part, stdout, 0) && !ferror(stdout) ? -1 : 0;
}

/* A record's object without its parts, and left open for them. As print_json_part. */
static int print_json(struct listing *listing, const struct walk_record *record,
		      const struct record_text *text)
{
	char buffer[RECORD_NAME];
	char *whole;
	json_t *fact = json_pack(
		"{s:I, s:I, s:s, s:s, s:I, s:I, s:b, s:s, s:O}", "offset",
		(json_int_t)record->place.offset, "length", (json_int_t)record->place.length,
		"layer", record->place.layer == LAYER_LIBXL ? "libxl" : "domain", "name",
		record_name(record->place.layer, record->place.type, buffer), "type",
		(json_int_t)record->place.type, "checkpoint", (json_int_t)record->place.checkpoint,
		"good", record->good, "text", text->line, "facts", text->facts);

	whole = fact ? json_dumps(fact, JSON_INDENT(2)) : NULL;
	json_decref(fact);
	if (!whole)
		return -1;
	/* It ends in a line feed and a brace. */
	printf("%s%.*s,\n  \"parts\": [", listing->printed++ ? ",\n" : "", (int)(strlen(whole) - 2),
	       whole);
	free(whole);
	listing->parts = 0;
	return 0;
}

/* Returns 0, or -1 (out of memory); text is to be released in either case. */
static int describe(const struct listing *listing, struct record_text *text,
		    const struct walk_record *record, record_part_fn *part, void *data)
{
	if (record_text_make(text, record, part, data))
		return -1;
	return emulator_state_is_known(record)
		       ? emulator_state_describe(text, record, listing->fields)
		       : 0;
}

/* Twice: the line above its parts is known only when all of them have been seen. */
static int list_record(void *data, const struct walk_record *record)
{
	struct listing *listing = data;
	struct record_text text;
	int rc = describe(listing, &text, record, NULL, NULL);

	if (rc == 0 && listing->json)
		rc = print_json(listing, record, &text);
	else if (rc == 0)
		print_record(record, &text);
	record_text_release(&text);
	if (rc == 0) {
		rc = describe(listing, &text, record, listing->json ? print_json_part : print_part,
			      listing);
		record_text_release(&text);
	}
	if (rc == 0 && listing->json)
		fputs(listing->parts ? "\n  ]\n}" : "]\n}", stdout);
	listing->no_memory = rc != 0;
	return rc;
}

static int list_finding(void *data, const struct walk_finding *finding)
{
	struct listing *listing = data;

	if (finding->severity != WALK_ERROR)
		return 0;
	command_error(name, "%s: %s", listing->path, finding->text);
	listing->code = EXIT_DAMAGED;
	return 0;
}

static const struct walk_ops ops = {
	.record = list_record,
	.finding = list_finding,
};

static int list_file(struct listing *listing)
{
	struct image image = {0};
	struct walk walk = {0};
	struct source source;

	if (source_open(&source, listing->path, SKIP_SEEK) ||
	    walk_run(&walk, &source, &image, false, &ops, listing)) {
		listing->code = command_error(name, "%s: %s", listing->path, source.ctx.err.text);
	} else if (listing->no_memory) {
		listing->code = command_error(name, "%s: no memory", listing->path);
	} else if (image.kind == IMAGE_LEGACY) {
		command_error(name,
			      "%s: a legacy image of Xen 4.5 or earlier, which has no records",
			      listing->path);
		listing->code = EXIT_DAMAGED;
	}
	walk_release(&walk);
	source_close(&source);
	free(image.config);
	return listing->code;
}

int cmd_ls(int argc, char **argv)
{
	struct listing listing = {.code = EXIT_FINE};
	const struct option_place places[] = {
		{"fields", .flag = &listing.fields},
		{"json", .flag = &listing.json},
		{.name = NULL},
	};
	int code = options_read(name, help, places, argc, argv);

	if (code >= 0)
		return code;
	if (optind + 1 != argc)
		return command_usage(name, "give one file");
	listing.path = argv[optind];
	fputs(listing.json ? "[\n" : "", stdout);
	list_file(&listing);
	fputs(listing.json ? "\n]\n" : "", stdout);
	return command_finish(name, listing.code);
}
