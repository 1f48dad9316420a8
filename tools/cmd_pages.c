/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xensr pages: which pages a saved domain has and what is in them, as a table or a picture.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "config.h"
#include "open_state.h"
#include "options.h"
#include "page_classes.h"
#include "page_plot.h"
#include "record_text.h"

static const char name[] = "pages";

static const char help[] =
	"usage: xensr pages [OPTION...] FILE\n"
	"Show which pages a saved domain has and what is in them.\n"
	"\n"
	"      --plot OUT        draw a map of its memory; OUT ends with .png or .svg\n"
	"      --json            print JSON\n"
	"      --checkpoint N    the state at the Nth checkpoint instead of the last one\n"
	"  -q, --quiet           no progress\n"
	"  -h, --help            print this\n";

struct options {
	const char *image, *plot;
	enum plot_format format;
	uint32_t checkpoint;
	bool json, quiet;
};

/* Pages that follow each other, of the same type and content. */
struct run {
	uint64_t first, last;
	enum page_type type;
	enum page_content content;
};

/* The run that begins at page *i, which moves behind it. False: there is none. */
static bool next_run(const struct image *image, const struct page_classes *classes, size_t *i,
		     struct run *run)
{
	while (*i < image->page_count && !page_is_there(&image->pages[*i]))
		++*i;
	if (*i == image->page_count)
		return false;
	*run = (struct run){
		.first = image->pages[*i].pfn,
		.last = image->pages[*i].pfn,
		.type = image->pages[*i].type,
		.content = classes->content[*i],
	};
	while (++*i < image->page_count && image->pages[*i].pfn == run->last + 1 &&
	       image->pages[*i].type == run->type && classes->content[*i] == run->content)
		run->last++;
	return true;
}

static void print_table(const struct image *image, const struct page_classes *classes)
{
	struct run run;
	size_t i = 0;

	printf("%-26s %10s  %-14s %s\n", "pfn", "pages", "type", "content");
	while (next_run(image, classes, &i, &run)) {
		char range[48];

		if (run.first == run.last)
			snprintf(range, sizeof(range), "%#" PRIx64, run.first);
		else
			snprintf(range, sizeof(range), "%#" PRIx64 "-%#" PRIx64, run.first,
				 run.last);
		printf("%-26s %10" PRIu64 "  %-14s %s\n", range, run.last - run.first + 1,
		       page_type_name(run.type), page_content_name(run.content));
	}
}

/* Runs are printed one by one: there may be as many as pages. */
static void print_json(const struct image *image, const struct page_classes *classes)
{
	uint64_t types[16] = {0}, contents[CONTENT_DATA + 1] = {0}, pages = 0;
	const char *comma = "";
	struct run run;
	size_t i = 0;

	fputs("{\n  \"runs\": [", stdout);
	while (next_run(image, classes, &i, &run)) {
		uint64_t n = run.last - run.first + 1;

		printf("%s\n    {\"first\": %" PRIu64 ", \"last\": %" PRIu64
		       ", \"type\": \"%s\", \"content\": \"%s\"}",
		       comma, run.first, run.last, page_type_key(run.type),
		       page_content_name(run.content));
		types[run.type] += n;
		contents[run.content] += n;
		pages += n;
		comma = ",";
	}
	printf("\n  ],\n  \"pages\": %" PRIu64 ",\n  \"types\": {", pages);
	comma = "";
	for (unsigned type = 0; type < 16; type++) {
		if (!types[type])
			continue;
		printf("%s\n    \"%s\": %" PRIu64, comma, page_type_key(type), types[type]);
		comma = ",";
	}
	fputs("\n  },\n  \"contents\": {", stdout);
	for (unsigned content = 0; content <= CONTENT_DATA; content++)
		printf("%s\n    \"%s\": %" PRIu64, content ? "," : "", page_content_name(content),
		       contents[content]);
	fputs("\n  }\n}\n", stdout);
}

#ifdef HAVE_CAIRO

/* Cairo stops at text that is no UTF-8: then its other octets are shown as "?". */
static char *title_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *title = strdup(slash ? slash + 1 : path);
	json_t *text = title ? json_string(title) : NULL;

	for (char *c = title; c && *c; c++) {
		if (iscntrl((unsigned char)*c) || (!text && !isascii((unsigned char)*c)))
			*c = '?';
	}
	json_decref(text);
	return title;
}

/* The configuration tells PVH and HVM apart, the stream does not. */
static const char *guest_kind(const struct image *image)
{
	json_t *config = image->config ? json_loads(image->config, 0, NULL) : NULL;
	const char *type =
		json_string_value(json_object_get(json_object_get(config, "c_info"), "type"));
	const char *kind = "HVM or PVH guest";

	if (image->headers.guest_type == GUEST_X86_PV)
		kind = image->guest_width == 8 ? "PV guest, 64-bit" : "PV guest, 32-bit";
	else if (type && !strcmp(type, "pvh"))
		kind = "PVH guest";
	else if (type && !strcmp(type, "hvm"))
		kind = "HVM guest";
	json_decref(config);
	return kind;
}

static int plot(const struct image *image, const struct page_classes *classes,
		const struct options *options)
{
	char *title = title_of(options->image);
	struct sparse_file output;
	int status = EXIT_TROUBLE;

	if (!title)
		return command_error(name, "%s: no memory", options->image);
	if (sparse_file_open(&output, options->plot) ||
	    page_plot_write(image, classes, options->format, title, guest_kind(image), &output) ||
	    sparse_file_commit(&output))
		command_error(name, "%s", output.error);
	else
		status = EXIT_FINE;
	sparse_file_abandon(&output);
	free(title);
	return status;
}

#else

static int plot(const struct image *image, const struct page_classes *classes,
		const struct options *options)
{
	(void)image;
	(void)classes;
	return command_error(name, "%s: this xensr was built without cairo and draws nothing",
			     options->plot);
}

#endif

/* By the end of its name. Returns 0, or -1. */
static int plot_format_of(const char *path, enum plot_format *format)
{
	const char *dot = strrchr(path, '.');

	if (!dot || (strcmp(dot, ".png") != 0 && strcmp(dot, ".svg") != 0))
		return -1;
	*format = strcmp(dot, ".png") == 0 ? PLOT_PNG : PLOT_SVG;
	return 0;
}

/* Returns an exit_code, or -1 to go on. */
static int parse_options(struct options *options, int argc, char **argv)
{
	const struct option_place places[] = {
		{"plot", .text = &options->plot},
		{"json", .flag = &options->json},
		{"checkpoint", .checkpoint = &options->checkpoint},
		{"quiet", 'q', .flag = &options->quiet},
		{.name = NULL},
	};
	int code = options_read(name, help, places, argc, argv);

	if (code >= 0)
		return code;
	if (argc - optind != 1)
		return command_usage(name, "it takes one image");
	if (options->plot && options->json)
		return command_usage(name, "--plot and --json exclude each other");
	if (options->plot && plot_format_of(options->plot, &options->format))
		return command_usage(name, "`%s' ends neither with .png nor with .svg",
				     options->plot);
	options->image = argv[optind];
	return -1;
}

static int show(const struct image *image, const struct options *options)
{
	struct page_classes classes;
	struct image_error err;
	int status;

	if (page_classes_find(&classes, image, options->quiet || options->json, &err))
		return command_error(name, "%s", err.text);
	if (options->plot) {
		status = plot(image, &classes, options);
	} else {
		if (options->json)
			print_json(image, &classes);
		else
			print_table(image, &classes);
		status = command_finish(name, EXIT_FINE);
	}
	page_classes_release(&classes);
	return status;
}

int cmd_pages(int argc, char **argv)
{
	struct options options = {0};
	struct image image;
	int status = parse_options(&options, argc, argv), code;

	if (status >= 0)
		return status;
	status = open_state(&image, name, options.image, options.checkpoint, &code);
	if (status == EXIT_FINE)
		status = command_worse(show(&image, &options), code);
	image_close(&image);
	return status;
}
