/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xensr cat: pages or records of a saved domain, as they are.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "options.h"
#include "page_query.h"
#include "record_text.h"

static const char name[] = "cat";

static const char help[] =
	"usage: xensr cat --pfn N[-M][,...] [OPTION...] FILE\n"
	"       xensr cat --record N|TYPE[:K] [OPTION...] FILE\n"
	"Write the content of pages, or the body of a record, to standard output as it is.\n"
	"\n"
	"      --pfn N[-M][,...]    these pages, in this order; decimal, or hexadecimal after 0x\n"
	"      --record N           record number N of those that ls lists, from 0 on\n"
	"      --record TYPE[:K]    the last record of this type, or the Kth from 0 on\n"
	"      --checkpoint N       of a checkpointed stream checkpoint N (from 1 on), not the "
	"last\n"
	"  -h, --help               print this\n";

/* Pages that are read at once. */
#define BATCH 256

/* ---- pages ------------------------------------------------------------------------------------- */

/* The pages of a range must all have content: else nothing of it is written. */
static int check_range(const struct image *image, const struct pfn_range *range)
{
	for (uint64_t pfn = range->first; pfn <= range->last; pfn++) {
		const struct image_page *page = image_find(image, pfn);

		if (!page)
			command_error(name, "%s: there is no pfn %#" PRIx64, image->path, pfn);
		else if (!page->offset)
			command_error(name, "%s: pfn %#" PRIx64 " has no content: its type is %s",
				      image->path, pfn, page_type_name(page->type));
		else
			continue;
		return EXIT_USAGE;
	}
	return 0;
}

/* They are all there, so they lie next to each other in the index. */
static int write_range(const struct image *image, const struct pfn_range *range)
{
	static uint8_t octets[BATCH][PAGE_OCTETS];
	const struct image_page *page = image_find(image, range->first);
	uint64_t left = range->last - range->first + 1;

	while (left) {
		size_t n = left < BATCH ? (size_t)left : BATCH;
		struct image_error err;

		if (image_read_pages(image, page, n, octets, &err)) {
			command_error(name, "%s", err.text);
			return command_exit(errno);
		}
		if (fwrite(octets, PAGE_OCTETS, n, stdout) != n)
			return command_finish(name, EXIT_TROUBLE);
		page += n;
		left -= n;
	}
	return 0;
}

static int write_pages(const struct page_query *query)
{
	int code = 0;

	for (int i = 0; !code && i < query->range_count; i++)
		code = check_range(&query->image, &query->ranges[i]);
	for (int i = 0; !code && i < query->range_count; i++)
		code = write_range(&query->image, &query->ranges[i]);
	return code;
}

/* ---- records ----------------------------------------------------------------------------------- */

static bool is_number(const char *text, unsigned long *number)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*number = strtoul(text, &end, 10);
	return !errno && *end == '\0';
}

/* The Kth record of the type whose name is the first n letters of type; -1: the last of the state. */
static const struct image_record *find_by_type(const struct image *image, const char *type,
					       size_t n, long k)
{
	const struct image_record *found = NULL;

	for (size_t i = 0; i < image->record_count; i++) {
		const struct image_record *record = &image->records[i];
		char buffer[RECORD_NAME];
		const char *title = record_name(record->layer, record->type, buffer);

		if (strlen(title) != n || strncmp(title, type, n) != 0)
			continue;
		if (k < 0 && record->checkpoint <= image->selected)
			found = record;
		if (k >= 0 && k-- == 0)
			return record;
	}
	return found;
}

static const struct image_record *find_record(const struct image *image, const char *which)
{
	const char *colon = strchr(which, ':');
	unsigned long number;

	if (is_number(which, &number))
		return number < image->record_count ? &image->records[number] : NULL;
	if (!colon)
		return find_by_type(image, which, strlen(which), -1);
	if (!is_number(colon + 1, &number) || number > INT32_MAX)
		return NULL;
	return find_by_type(image, which, (size_t)(colon - which), (long)number);
}

static int write_record_body(const struct page_query *query, const char *which)
{
	const struct image_record *record = find_record(&query->image, which);
	struct image_error err;
	void *body;

	if (!record) {
		command_error(name, "%s: there is no record `%s'", query->image.path, which);
		return EXIT_USAGE;
	}
	if (image_read_body(&query->image, record, &body, &err)) {
		command_error(name, "%s", err.text);
		return command_exit(errno);
	}
	fwrite(body, 1, record->length, stdout);
	free(body);
	return 0;
}

/* ------------------------------------------------------------------------------------------------ */

static int run(struct page_query *query, const char *which, const char *path)
{
	int code = page_query_open(query, path);

	if (!code)
		code = which ? write_record_body(query, which) : write_pages(query);
	code = page_query_code(query, code);
	page_query_release(query);
	return command_finish(name, code);
}

int cmd_cat(int argc, char **argv)
{
	struct page_query query = {.name = name, .image.fd = -1};
	const char *pfns = NULL, *which = NULL;
	const struct option_place places[] = {
		{"pfn", .text = &pfns},
		{"record", .text = &which},
		{"checkpoint", .checkpoint = &query.checkpoint},
		{.name = NULL},
	};
	int code = options_read(name, help, places, argc, argv);

	if (code >= 0)
		return code;
	if (optind + 1 != argc)
		return command_usage(name, "give one file");
	if (!which == !pfns)
		return command_usage(name, "give either --pfn or --record");
	code = pfns ? page_query_pfns(&query, pfns) : 0;
	return code ? code : run(&query, which, argv[optind]);
}
