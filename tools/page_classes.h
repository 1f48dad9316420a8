/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is in the pages of a saved domain.
 */
#ifndef XENSR_TOOLS_PAGE_CLASSES_H
#define XENSR_TOOLS_PAGE_CLASSES_H

#include "image.h"

enum page_content {
	CONTENT_NONE,      /* the type carries none */
	CONTENT_ZERO,      /* all octets are 0 */
	CONTENT_DUPLICATE, /* the same as another page's, by a hash of 64 bits */
	CONTENT_DATA,      /* no other page has the same */
};

/* Type and content in one, for a legend: each page of a state is of one of these. */
enum page_class {
	CLASS_DATA,
	CLASS_DUPLICATE,
	CLASS_ZERO,
	CLASS_L1,
	CLASS_L2,
	CLASS_L3,
	CLASS_L4,
	CLASS_PINNED, /* a page table of any level */
	CLASS_ALLOC_ONLY,
	CLASS_BROKEN,
	PAGE_CLASSES
};

/* By page of image->pages; those of PAGE_INVALID, which the guest no longer had, are CONTENT_NONE. */
struct page_classes {
	uint8_t *content; /* enum page_content */
};

/* Is it one that the guest has in the end? */
static inline bool page_is_there(const struct image_page *page)
{
	return page->type != PAGE_INVALID;
}

/* Of a page that is there. */
enum page_class page_class_of(const struct image_page *page, enum page_content content);

/* "data", "L1 table", …: for people. */
const char *page_class_name(enum page_class class);

/* "none", "zero", "duplicate", "data". */
const char *page_content_name(enum page_content content);

/*
 * Read all contents once. Takes 17 octets for each page. quiet: no progress on stderr. Returns 0, or
 * -1 with errno and *err.
 */
int page_classes_find(struct page_classes *classes, const struct image *image, bool quiet,
		      struct image_error *err);

/* Idempotent. */
void page_classes_release(struct page_classes *classes);

#endif
