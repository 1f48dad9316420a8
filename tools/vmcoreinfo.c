/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmcoreinfo.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define TRIES_IN_PAGE 4u

static const char first_key[] = "OSRELEASE=";

/* Whole lines KEY=VALUE, of which there is a PAGESIZE. Returns octets, 0 if it is not that. */
static size_t measure(const char *text, size_t room)
{
	size_t at = 0;
	bool page_size = false;

	while (at < room && text[at] && text[at] != '\n') {
		const char *line = text + at, *end = memchr(line, '\n', room - at);
		const char *equals;

		if (!end)
			return 0;
		equals = memchr(line, '=', (size_t)(end - line));
		if (!equals || equals == line)
			return 0;
		for (const char *c = line; c < end; c++) {
			if (!isprint((unsigned char)*c))
				return 0;
		}
		page_size |= !strncmp(line, "PAGESIZE=", 9);
		at += (size_t)(end + 1 - line);
	}
	return page_size && at < room ? at : 0;
}

int vmcoreinfo_look(struct vmcoreinfo *info, const struct image *image,
		    const struct image_page *page, const uint8_t *content, struct image_error *err)
{
	const uint8_t *at = content;

	/* A kernel's page has it once; that a page is full of it must not make this slow. */
	for (unsigned tries = 0; tries < TRIES_IN_PAGE; tries++, at += sizeof(first_key) - 1) {
		at = memmem(at, (size_t)(content + PAGE_OCTETS - at), first_key,
			    sizeof(first_key) - 1);
		if (!at)
			break;

		char text[3 * PAGE_OCTETS];
		size_t room = (size_t)(content + PAGE_OCTETS - at), octets;
		const struct image_page *next = page + 1;

		memcpy(text, at, room);
		/* It may go on in the pages behind it. */
		for (unsigned i = 0; i < 2 && next < image->pages + image->page_count &&
				     next->pfn == page->pfn + 1 + i &&
				     page_type_has_data(next->type) && !memchr(text, 0, room);
		     i++, next++) {
			if (image_read_pages(image, next, 1, text + room, err))
				return -1;
			room += PAGE_OCTETS;
		}
		octets = measure(text, room);
		if (octets > info->octets && octets <= sizeof(info->text)) {
			memcpy(info->text, text, octets);
			info->octets = octets;
		}
	}
	return 0;
}
