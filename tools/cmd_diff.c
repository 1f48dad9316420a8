/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xensr diff: what differs between two saved domains.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "diff_memory.h"
#include "open_state.h"
#include "options.h"
#include "record_text.h"
#include "state_json.h"

static const char name[] = "diff";

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

/* What is compared. */
struct states {
	json_t *a, *b;
};

/* The parts of state_json(), and how many differences each has. */
static const char *const part_names[] = {
	"headers", "records",     "registers",   "vcpus",  "hvm_params", "tsc",      "cpuid",
	"msrs",    "hvm_context", "shared_info", "config", "xenstore",   "emulator",
};
#define PARTS (sizeof(part_names) / sizeof(part_names[0]))

/* Of all differences outside memory so many are listed; octets of a path that are shown. */
#define LISTED_MOST 100000u
#define PATH_MOST   1024u

/*
 * A walk over two states, which ends at each difference. The path to the members that are compared
 * is the same text all the way: longer by a key on the way down, shorter by it on the way up.
 */
struct comparison {
	char path[PATH_MOST];
	size_t length; /* of the path; what goes beyond its room is not in it */
	uint64_t count;
	uint64_t part_count[PARTS]; /* differences, by part of the state */
	/* For the first LISTED_MOST differences; NULL: they are only counted. */
	void (*list)(struct comparison *c, json_t *a, json_t *b);
	bool failed; /* no memory to list one */
};

/* Where the path is to be cut back to. */
static size_t path_enter(struct comparison *c, const char *key)
{
	const char *between = c->length ? ": " : "";
	size_t before = c->length, left = sizeof(c->path) - before;
	int n = snprintf(c->path + before, left, "%s%.*s", between, (int)left, key);

	c->length += (size_t)n < left ? (size_t)n : left - 1;
	return before;
}

static void path_leave(struct comparison *c, size_t before)
{
	c->length = before;
	c->path[before] = '\0';
}

/* The part of the state that the path leads into is its first step. */
static size_t part_at(const char *path)
{
	size_t part = 0;

	while (part < PARTS) {
		size_t n = strlen(part_names[part]);

		if (!strncmp(path, part_names[part], n) && (path[n] == ':' || !path[n]))
			break;
		part++;
	}
	return part;
}

static void found(struct comparison *c, json_t *a, json_t *b)
{
	size_t part = part_at(c->path);

	if (c->list && c->count < LISTED_MOST)
		c->list(c, a, b);
	c->count++;
	if (part < PARTS)
		c->part_count[part]++;
}

static void compare_values(struct comparison *c, json_t *a, json_t *b);

static void compare_members(struct comparison *c, const char *key, json_t *a, json_t *b)
{
	size_t before = path_enter(c, key);

	compare_values(c, a, b);
	path_leave(c, before);
}

static void compare_objects(struct comparison *c, json_t *a, json_t *b)
{
	const char *key;
	json_t *value;

	json_object_foreach(a, key, value) compare_members(c, key, value, json_object_get(b, key));
	json_object_foreach(b, key, value)
	{
		if (!json_object_get(a, key))
			compare_members(c, key, NULL, value);
	}
}

static void compare_arrays(struct comparison *c, json_t *a, json_t *b)
{
	size_t n =
		json_array_size(a) > json_array_size(b) ? json_array_size(a) : json_array_size(b);

	for (size_t i = 0; i < n; i++) {
		char number[24];

		snprintf(number, sizeof(number), "[%zu]", i);
		compare_members(c, number, json_array_get(a, i), json_array_get(b, i));
	}
}

/* As deep as a parser of JSON lets objects be. */
static void compare_values(struct comparison *c, json_t *a, json_t *b)
{
	if (json_is_object(a) && json_is_object(b))
		compare_objects(c, a, b);
	else if (json_is_array(a) && json_is_array(b))
		compare_arrays(c, a, b);
	else if (!a || !b || !json_equal(a, b))
		found(c, a, b);
}

/* ---- printing ---------------------------------------------------------------------------------- */

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

static void list_text(struct comparison *c, json_t *a, json_t *b)
{
	print_safely(c->path);
	fputs(": ", stdout);
	print_value(a);
	fputs(" / ", stdout);
	print_value(b);
	putchar('\n');
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

/* What the list of differences leaves out. */
static uint64_t not_listed(const struct comparison *c)
{
	return c->count > LISTED_MOST ? c->count - LISTED_MOST : 0;
}

static void print_summary(const struct comparison *c, const struct diff_memory *memory)
{
	size_t i;

	for (i = 0; i < PARTS; i++) {
		if (c->part_count[i])
			printf("%-12s %" PRIu64 " differences\n", part_names[i], c->part_count[i]);
	}
	for (i = 0; i < MEMORY_DIFFERENCES; i++) {
		if (memory->pages[i])
			printf("%-12s %" PRIu64 " pages: %s\n", "memory", memory->pages[i],
			       difference_names[i]);
	}
	printf("%-12s %" PRIu64 " pages are the same\n", "memory", memory->same);
}

static void print_text(const struct states *states, const struct diff_memory *memory)
{
	struct comparison c = {.list = list_text};

	compare_values(&c, states->a, states->b);
	if (not_listed(&c))
		printf("… and %" PRIu64 " more\n", not_listed(&c));
	for (size_t i = 0; i < memory->count; i++)
		print_run(&memory->run[i]);
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

static void list_json(struct comparison *c, json_t *a, json_t *b)
{
	json_t *difference = json_object();

	if (json_object_set_new(difference, "what", json_text(c->path)) ||
	    json_object_set_new(difference, "a", a ? json_incref(a) : json_null()) ||
	    json_object_set_new(difference, "b", b ? json_incref(b) : json_null()))
		c->failed = true;
	fputs(c->count ? ",\n    " : "\n    ", stdout);
	if (json_dumpf(difference, stdout, 0) && !ferror(stdout))
		c->failed = true;
	json_decref(difference);
}

/* Returns 0, or -1 without memory. */
static int print_json(const struct comparison *counted, const struct states *states,
		      const struct diff_memory *memory, const struct options *options)
{
	struct comparison c = {.list = list_json};

	printf("{\n  \"same\": %s,\n  \"memory\": {\n    \"same\": %" PRIu64,
	       counted->count || memory->count ? "false" : "true", memory->same);
	for (size_t i = 0; i < MEMORY_DIFFERENCES; i++)
		printf(",\n    \"%s\": %" PRIu64, difference_keys[i], memory->pages[i]);
	if (!options->summary)
		print_runs_json(memory);
	fputs("\n  },\n  \"counts\": {", stdout);
	for (size_t i = 0; i < PARTS; i++)
		printf("%s\"%s\": %" PRIu64, i ? ", " : "", part_names[i], counted->part_count[i]);
	putchar('}');
	if (!options->summary) {
		fputs(",\n  \"state\": [", stdout);
		compare_values(&c, states->a, states->b);
		printf("%s],\n  \"not_listed\": %" PRIu64, c.count ? "\n  " : "", not_listed(&c));
	}
	fputs("\n}\n", stdout);
	return c.failed ? -1 : 0;
}

/* ---- the command ------------------------------------------------------------------------------- */

/* Returns an exit_code, or -1 to go on. */
static int parse_options(struct options *options, int argc, char **argv)
{
	const struct option_place places[] = {
		{"checkpoint-a", .checkpoint = &options->checkpoint_a},
		{"checkpoint-b", .checkpoint = &options->checkpoint_b},
		{"summary", 's', .flag = &options->summary},
		{"quiet", 'q', .flag = &options->quiet},
		{"json", .flag = &options->json},
		{.name = NULL},
	};
	int code = options_read(name, help, places, argc, argv);

	if (code >= 0)
		return code;
	if (argc - optind != 2)
		return command_usage(name, "it takes two images");
	options->a = argv[optind];
	options->b = argv[optind + 1];
	return -1;
}

static int compare(const struct image *a, const struct image *b, const struct options *options)
{
	struct comparison counted = {0};
	struct diff_memory memory = {0};
	struct states states = {0};
	struct image_error err;
	int status = EXIT_TROUBLE;

	states.a = state_json(a, &err);
	states.b = states.a ? state_json(b, &err) : NULL;
	if (!states.b ||
	    diff_memory_compare(&memory, a, b, options->quiet || options->json, &err)) {
		command_error(name, "%s", err.text);
		goto out;
	}
	/* Once to count them: whether there are any is said first. They are listed as they are found. */
	compare_values(&counted, states.a, states.b);
	if (options->json && !options->quiet && print_json(&counted, &states, &memory, options)) {
		command_error(name, "no memory for what differs");
		goto out;
	}
	if (options->summary && !options->json && !options->quiet)
		print_summary(&counted, &memory);
	else if (!options->json && !options->quiet)
		print_text(&states, &memory);
	status = command_finish(name, counted.count || memory.count ? EXIT_DIFFERENT : EXIT_FINE);
out:
	json_decref(states.a);
	json_decref(states.b);
	diff_memory_release(&memory);
	return status;
}

int cmd_diff(int argc, char **argv)
{
	struct options options = {0};
	struct image a, b = {.fd = -1};
	int status = parse_options(&options, argc, argv), code_a, code_b = EXIT_FINE;

	if (status >= 0)
		return status;
	status = open_state(&a, name, options.a, options.checkpoint_a, &code_a);
	if (status == EXIT_FINE)
		status = open_state(&b, name, options.b, options.checkpoint_b, &code_b);
	if (status == EXIT_FINE)
		status = command_worse(compare(&a, &b, &options), command_worse(code_a, code_b));
	image_close(&a);
	image_close(&b);
	return status;
}
