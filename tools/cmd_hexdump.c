/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xensr hexdump: pages of a saved domain in hexadecimal, with the guest's addresses.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "options.h"
#include "page_query.h"
#include "record_text.h"

static const char name[] = "hexdump";

static const char help[] =
	"usage: xensr hexdump --pfn N[-M][,...] [OPTION...] FILE\n"
	"Show pages in hexadecimal and as text, with the guest's physical addresses. A line\n"
	"of * stands for lines that are all the same as the one before.\n"
	"\n"
	"      --pfn N[-M][,...]  these pages, in this order; decimal, or hexadecimal after 0x\n"
	"      --checkpoint N     of a checkpointed stream checkpoint N (from 1 on), not the last\n"
	"  -h, --help             print this\n";

#define LINE 16

/* Where the dump is. */
struct dump {
	uint8_t last[LINE]; /* the line before */
	bool have_last;
	bool starred; /* the * stands already */
	uint64_t next_pfn;
};

static void print_line(uint64_t address, const uint8_t *octets)
{
	/* 16 digits, two spaces, three per octet and one in the middle, a space, the text. */
	static const char digits[] = "0123456789abcdef";
	char hex[LINE * 3 + 2], text[LINE + 1];
	size_t at = 0;

	for (size_t i = 0; i < LINE; i++) {
		if (i == LINE / 2)
			hex[at++] = ' ';
		hex[at++] = digits[octets[i] >> 4];
		hex[at++] = digits[octets[i] & 15];
		hex[at++] = ' ';
		text[i] = isprint(octets[i]) && octets[i] < 0x80 ? (char)octets[i] : '.';
	}
	hex[at] = '\0';
	text[LINE] = '\0';
	printf("%016" PRIx64 "  %s |%s|\n", address, hex, text);
}

static void dump_page(struct dump *dump, uint64_t pfn, const uint8_t *octets)
{
	for (size_t at = 0; at < PAGE_OCTETS; at += LINE) {
		if (dump->have_last && !memcmp(dump->last, octets + at, LINE)) {
			if (!dump->starred)
				puts("*");
			dump->starred = true;
			continue;
		}
		print_line((pfn << PAGE_SHIFT_X86) + at, octets + at);
		memcpy(dump->last, octets + at, LINE);
		dump->have_last = true;
		dump->starred = false;
	}
	dump->next_pfn = pfn + 1;
}

/* Pages from dump->next_pfn to before pfn have no content. */
static void dump_gap(struct dump *dump, uint64_t pfn)
{
	if (dump->next_pfn == pfn)
		return;
	printf("%016" PRIx64 "  no content up to %016" PRIx64 "\n",
	       dump->next_pfn << PAGE_SHIFT_X86, (pfn << PAGE_SHIFT_X86) - 1);
	dump->next_pfn = pfn;
	dump->have_last = dump->starred = false;
}

/* Pages without content are told, too. Sets *any if there is one that has some. */
static int dump_range(const struct image *image, const struct pfn_range *range, bool *any)
{
	struct dump dump = {.next_pfn = range->first};
	uint8_t octets[PAGE_OCTETS];
	struct image_error err;

	for (size_t i = image_index_of(image, range->first);
	     i < image->page_count && image->pages[i].pfn <= range->last && !ferror(stdout); i++) {
		const struct image_page *page = &image->pages[i];

		if (!page->offset)
			continue;
		if (image_read_pages(image, page, 1, octets, &err)) {
			command_error(name, "%s", err.text);
			return command_exit(errno);
		}
		dump_gap(&dump, page->pfn);
		dump_page(&dump, page->pfn, octets);
		*any = true;
	}
	/* Where it ends, as hexdump -C says it. */
	if (dump.next_pfn > range->last)
		printf("%016" PRIx64 "\n", dump.next_pfn << PAGE_SHIFT_X86);
	else
		dump_gap(&dump, range->last + 1);
	return 0;
}

static int run(struct page_query *query, const char *path)
{
	int code = page_query_open(query, path);
	bool any = false;

	for (int i = 0; !code && i < query->range_count; i++)
		code = dump_range(&query->image, &query->ranges[i], &any);
	if (!code && !any) {
		command_error(name, "%s: none of these pages has content", path);
		code = EXIT_USAGE;
	}
	code = page_query_code(query, code);
	page_query_release(query);
	return command_finish(name, code);
}

int cmd_hexdump(int argc, char **argv)
{
	struct page_query query = {.name = name, .image.fd = -1};
	const char *pfns = NULL;
	const struct option_place places[] = {
		{"pfn", .text = &pfns},
		{"checkpoint", .checkpoint = &query.checkpoint},
		{.name = NULL},
	};
	int code = options_read(name, help, places, argc, argv);

	if (code >= 0)
		return code;
	if (optind + 1 != argc)
		return command_usage(name, "give one file");
	if (!pfns)
		return command_usage(name, "give --pfn");
	code = page_query_pfns(&query, pfns);
	return code ? code : run(&query, argv[optind]);
}
