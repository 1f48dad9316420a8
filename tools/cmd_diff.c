/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xensr diff: what differs between two saved domains.
 */
#include <ctype.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "diff_memory.h"
#include "open_state.h"
#include "record_text.h"
#include "state_json.h"

static const char help[] =
	"usage: xensr diff [OPTION...] A B\n"
	"Say what differs between two saved domains: memory, registers, devices, configuration.\n"
	"\n"
	"      --checkpoint-a N    of A, the state at its Nth checkpoint instead of the last one\n"
	"      --checkpoint-b N    the same of B\n"
	"  -s, --summary           how much differs, not what\n"
	"  -q, --quiet             print nothing: the exit status says it\n"
	"      --json              print JSON\n"
	"  -h, --help              print this\n";

struct options {
	uint32_t checkpoint_a, checkpoint_b;
	bool summary, quiet, json;
	const char *a, *b;
};

/* A place in the path to the member that is compared. */
struct path {
	const struct path *parent;
	const char *name; /* NULL: the root */
};

struct comparison {
	json_t *found;            /* objects { "what", "a", "b" }, in order */
	uint64_t *part_count;     /* differences, by part of the state */
	const char *const *parts; /* its members, NULL behind the last one */
	bool failed;              /* no memory */
};

#define PATH_TEXT 4096

static size_t path_text(const struct path *path, char text[PATH_TEXT])
{
	size_t at;

	if (!path->name) {
		text[0] = '\0';
		return 0;
	}
	at = path_text(path->parent, text);
	snprintf(text + at, PATH_TEXT - at, "%s%s", at ? ": " : "", path->name);
	return strlen(text);
}

/* The part of the state that a path leads into: its first step. */
static const char *part_of(const struct path *path)
{
	while (path->parent && path->parent->name)
		path = path->parent;
	return path->name;
}

static void found(struct comparison *c, const struct path *path, json_t *a, json_t *b)
{
	char text[PATH_TEXT];
	json_t *difference;

	path_text(path, text);
	difference = json_pack("{s:s, s:O?, s:O?}", "what", text, "a", a, "b", b);
	if (json_array_append_new(c->found, difference))
		c->failed = true;
	for (size_t i = 0; c->parts[i]; i++)
		c->part_count[i] += !strcmp(c->parts[i], part_of(path));
}

static void compare_values(struct comparison *c, const struct path *path, json_t *a, json_t *b);

static void compare_objects(struct comparison *c, const struct path *path, json_t *a, json_t *b)
{
	const char *key;
	json_t *value;

	json_object_foreach(a, key, value)
		compare_values(c, &(struct path){path, key}, value, json_object_get(b, key));
	json_object_foreach(b, key, value)
	{
		if (!json_object_get(a, key))
			compare_values(c, &(struct path){path, key}, NULL, value);
	}
}

static void compare_arrays(struct comparison *c, const struct path *path, json_t *a, json_t *b)
{
	size_t n =
		json_array_size(a) > json_array_size(b) ? json_array_size(a) : json_array_size(b);

	for (size_t i = 0; i < n; i++) {
		char number[24];

		snprintf(number, sizeof(number), "[%zu]", i);
		compare_values(c, &(struct path){path, number}, json_array_get(a, i),
			       json_array_get(b, i));
	}
}

/* As deep as a parser of JSON lets objects be. */
static void compare_values(struct comparison *c, const struct path *path, json_t *a, json_t *b)
{
	if (json_is_object(a) && json_is_object(b))
		compare_objects(c, path, a, b);
	else if (json_is_array(a) && json_is_array(b))
		compare_arrays(c, path, a, b);
	else if (!a || !b || !json_equal(a, b))
		found(c, path, a, b);
}

/* ---- printing ---------------------------------------------------------------------------------- */

/* The parts of state_json(), and how many differences each has. */
static const char *const part_names[] = {
	"headers", "records",     "registers",   "vcpus",  "hvm_params", "tsc",      "cpuid",
	"msrs",    "hvm_context", "shared_info", "config", "xenstore",   "emulator", NULL,
};
#define PARTS (sizeof(part_names) / sizeof(part_names[0]))

static const char *const difference_keys[MEMORY_DIFFERENCES] = {
	[ONLY_IN_A] = "only_in_a",
	[ONLY_IN_B] = "only_in_b",
	[TYPE_DIFFERS] = "type_differs",
	[CONTENT_DIFFERS] = "content_differs",
};

static const char *const difference_names[MEMORY_DIFFERENCES] = {
	[ONLY_IN_A] = "only in A",
	[ONLY_IN_B] = "only in B",
	[TYPE_DIFFERS] = "type differs",
	[CONTENT_DIFFERS] = "content differs",
};

/* What a guest or a file brings must not do anything to a terminal. */
static void print_safely(const char *text)
{
	for (; *text; text++)
		putchar(iscntrl((unsigned char)*text) ? '?' : *text);
}

static void print_value(const json_t *value)
{
	char *text;

	if (!value || json_is_null(value)) {
		fputs("(none)", stdout);
	} else if (json_is_string(value)) {
		print_safely(json_string_value(value));
	} else if (json_is_object(value) && json_object_size(value) > 8) {
		printf("(%zu members)", json_object_size(value));
	} else {
		text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
		fputs(text ? text : "(no memory)", stdout);
		free(text);
	}
}

static void print_run(const struct diff_run *run)
{
	char range[48];

	if (run->first == run->last)
		snprintf(range, sizeof(range), "%#" PRIx64, run->first);
	else
		snprintf(range, sizeof(range), "%#" PRIx64 "-%#" PRIx64, run->first, run->last);
	printf("memory: pfn %s: %s", range, difference_names[run->difference]);
	if (run->difference == TYPE_DIFFERS)
		printf(": %s / %s", page_type_name(run->type_a), page_type_name(run->type_b));
	else if (run->difference != ONLY_IN_B && run->type_a != PAGE_NORMAL)
		printf(" (%s)", page_type_name(run->type_a));
	else if (run->difference == ONLY_IN_B && run->type_b != PAGE_NORMAL)
		printf(" (%s)", page_type_name(run->type_b));
	putchar('\n');
}

static void print_text(const struct comparison *c, const struct diff_memory *memory,
		       const struct options *options)
{
	size_t i;
	json_t *difference;

	if (!options->summary) {
		json_array_foreach(c->found, i, difference)
		{
			print_safely(json_string_value(json_object_get(difference, "what")));
			fputs(": ", stdout);
			print_value(json_object_get(difference, "a"));
			fputs(" / ", stdout);
			print_value(json_object_get(difference, "b"));
			putchar('\n');
		}
		for (i = 0; i < memory->count; i++)
			print_run(&memory->run[i]);
		return;
	}
	for (i = 0; c->parts[i]; i++) {
		if (c->part_count[i])
			printf("%-12s %" PRIu64 " differences\n", c->parts[i], c->part_count[i]);
	}
	for (i = 0; i < MEMORY_DIFFERENCES; i++) {
		if (memory->pages[i])
			printf("%-12s %" PRIu64 " pages: %s\n", "memory", memory->pages[i],
			       difference_names[i]);
	}
	printf("%-12s %" PRIu64 " pages are the same\n", "memory", memory->same);
}

/* Runs are printed one by one: there may be as many as pages. */
static void print_runs_json(const struct diff_memory *memory)
{
	fputs(",\n    \"runs\": [", stdout);
	for (size_t i = 0; i < memory->count; i++) {
		const struct diff_run *run = &memory->run[i];

		printf("%s\n      {\"first\": %" PRIu64 ", \"last\": %" PRIu64
		       ", \"difference\": \"%s\"",
		       i ? "," : "", run->first, run->last, difference_keys[run->difference]);
		if (run->difference != ONLY_IN_B)
			printf(", \"type_a\": \"%s\"", page_type_key(run->type_a));
		if (run->difference != ONLY_IN_A)
			printf(", \"type_b\": \"%s\"", page_type_key(run->type_b));
		putchar('}');
	}
	fputs(memory->count ? "\n    ]" : "]", stdout);
}

static void print_json(const struct comparison *c, const struct diff_memory *memory, bool same,
		       const struct options *options)
{
	json_t *counts = json_object();

	printf("{\n  \"same\": %s,\n  \"memory\": {\n    \"same\": %" PRIu64,
	       same ? "true" : "false", memory->same);
	for (size_t i = 0; i < MEMORY_DIFFERENCES; i++)
		printf(",\n    \"%s\": %" PRIu64, difference_keys[i], memory->pages[i]);
	if (!options->summary)
		print_runs_json(memory);
	fputs("\n  },\n  \"counts\": ", stdout);
	for (size_t i = 0; c->parts[i]; i++)
		json_object_set_new(counts, c->parts[i],
				    json_integer((json_int_t)c->part_count[i]));
	json_dumpf(counts, stdout, JSON_COMPACT);
	json_decref(counts);
	if (!options->summary) {
		fputs(",\n  \"state\": ", stdout);
		json_dumpf(c->found, stdout, JSON_INDENT(2));
	}
	fputs("\n}\n", stdout);
}

/* ---- the command ------------------------------------------------------------------------------- */

/* Returns EXIT_FINE, or -1 when all is said and done, with *status. */
static int parse(int argc, char **argv, struct options *options, int *status)
{
	static const struct option longs[] = {
		{"checkpoint-a", required_argument, NULL, 'a'},
		{"checkpoint-b", required_argument, NULL, 'b'},
		{"summary", no_argument, NULL, 's'},
		{"quiet", no_argument, NULL, 'q'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c;

	*status = EXIT_USAGE;
	while ((c = getopt_long(argc, argv, "sqh", longs, NULL)) != -1) {
		switch (c) {
		case 'a':
		case 'b':
			if (parse_checkpoint("diff", optarg,
					     c == 'a' ? &options->checkpoint_a
						      : &options->checkpoint_b))
				return -1;
			break;
		case 's':
			options->summary = true;
			break;
		case 'q':
			options->quiet = true;
			break;
		case 'j':
			options->json = true;
			break;
		case 'h':
			fputs(help, stdout);
			*status = EXIT_FINE;
			return -1;
		default:
			command_usage("diff", NULL);
			return -1;
		}
	}
	if (argc - optind != 2) {
		command_usage("diff", "it takes two images");
		return -1;
	}
	options->a = argv[optind];
	options->b = argv[optind + 1];
	return EXIT_FINE;
}

static int compare(const struct image *a, const struct image *b, const struct options *options)
{
	uint64_t counts[PARTS] = {0};
	struct comparison c = {.part_count = counts, .parts = part_names};
	struct diff_memory memory = {0};
	struct image_error err;
	json_t *state_a = NULL, *state_b = NULL;
	int status = EXIT_TROUBLE;
	bool same;

	state_a = state_json(a, &err);
	state_b = state_a ? state_json(b, &err) : NULL;
	if (!state_b || diff_memory_compare(&memory, a, b, options->quiet || options->json, &err)) {
		command_error("diff", "%s", err.text);
		goto out;
	}
	c.found = json_array();
	compare_values(&c, &(struct path){0}, state_a, state_b);
	if (c.failed || !c.found) {
		command_error("diff", "no memory for what differs");
		goto out;
	}
	same = !json_array_size(c.found) && !memory.count;
	if (options->json && !options->quiet)
		print_json(&c, &memory, same, options);
	else if (!options->quiet)
		print_text(&c, &memory, options);
	status = command_finish("diff", same ? EXIT_FINE : EXIT_DIFFERENT);
out:
	json_decref(c.found);
	json_decref(state_a);
	json_decref(state_b);
	diff_memory_release(&memory);
	return status;
}

int cmd_diff(int argc, char **argv)
{
	struct options options = {0};
	struct image a, b = {.fd = -1};
	int status;

	if (parse(argc, argv, &options, &status))
		return status;
	status = open_state(&a, "diff", options.a, options.checkpoint_a);
	if (status == EXIT_FINE)
		status = open_state(&b, "diff", options.b, options.checkpoint_b);
	if (status == EXIT_FINE)
		status = compare(&a, &b, &options);
	image_close(&a);
	image_close(&b);
	return status;
}
