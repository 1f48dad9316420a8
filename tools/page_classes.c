/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "page_classes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "progress.h"

#define BATCH 256u

struct hashed {
	uint64_t hash;
	size_t page; /* of image->pages */
};

enum page_class page_class_of(const struct image_page *page, enum page_content content)
{
	if (page->type >= PAGE_L1 && page->type <= PAGE_L4)
		return CLASS_L1 + (page->type - PAGE_L1);
	if (page_type_is_table(page->type))
		return CLASS_PINNED;
	if (page->type == PAGE_ALLOC_ONLY)
		return CLASS_ALLOC_ONLY;
	if (page->type == PAGE_BROKEN)
		return CLASS_BROKEN;
	return content == CONTENT_ZERO        ? CLASS_ZERO
	       : content == CONTENT_DUPLICATE ? CLASS_DUPLICATE
					      : CLASS_DATA;
}

const char *page_class_name(enum page_class class)
{
	static const char *const names[PAGE_CLASSES] = {
		[CLASS_DATA] = "data",
		[CLASS_DUPLICATE] = "data in several pages",
		[CLASS_ZERO] = "zero",
		[CLASS_L1] = "L1 page table",
		[CLASS_L2] = "L2 page table",
		[CLASS_L3] = "L3 page table",
		[CLASS_L4] = "L4 page table",
		[CLASS_PINNED] = "pinned page table",
		[CLASS_ALLOC_ONLY] = "allocated only",
		[CLASS_BROKEN] = "broken",
	};

	return names[class];
}

const char *page_content_name(enum page_content content)
{
	static const char *const names[] = {
		[CONTENT_NONE] = "none",
		[CONTENT_ZERO] = "zero",
		[CONTENT_DUPLICATE] = "duplicate",
		[CONTENT_DATA] = "data",
	};

	return names[content];
}

static bool is_zero(const uint8_t *page)
{
	return page[0] == 0 && !memcmp(page, page + 1, PAGE_OCTETS - 1);
}

static int by_hash(const void *a, const void *b)
{
	const struct hashed *x = a, *y = b;

	return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static void mark_duplicates(struct page_classes *classes, struct hashed *hashed, size_t n)
{
	if (n)
		qsort(hashed, n, sizeof(*hashed), by_hash);
	for (size_t i = 1; i < n; i++) {
		if (hashed[i].hash != hashed[i - 1].hash)
			continue;
		classes->content[hashed[i - 1].page] = CONTENT_DUPLICATE;
		classes->content[hashed[i].page] = CONTENT_DUPLICATE;
	}
}

/* Zero or not, and the hashes of those that are not: how many, or -1. */
static ssize_t read_all(struct page_classes *classes, const struct image *image,
			struct hashed *hashed, uint8_t *contents, struct progress *progress,
			struct image_error *err)
{
	size_t count = 0;

	for (size_t i = 0, n; (n = image_next_run(image, &i, BATCH)); i += n) {
		if (image_read_pages(image, &image->pages[i], n, contents, err))
			return -1;
		for (size_t k = 0; k < n; k++) {
			const uint8_t *content = contents + k * PAGE_OCTETS;

			if (is_zero(content)) {
				classes->content[i + k] = CONTENT_ZERO;
				continue;
			}
			classes->content[i + k] = CONTENT_DATA;
			hashed[count++] = (struct hashed){XXH3_64bits(content, PAGE_OCTETS), i + k};
		}
		progress_show(progress, (i + n) * (uint64_t)PAGE_OCTETS,
			      image->page_count * (uint64_t)PAGE_OCTETS);
	}
	return (ssize_t)count;
}

int page_classes_find(struct page_classes *classes, const struct image *image, bool quiet,
		      struct image_error *err)
{
	struct hashed *hashed = reallocarray(NULL, image->page_count + 1, sizeof(*hashed));
	uint8_t *contents = malloc((size_t)BATCH * PAGE_OCTETS);
	struct progress progress;
	ssize_t count;
	int rc = -1;

	classes->content = calloc(image->page_count + 1, 1);
	if (!hashed || !contents || !classes->content) {
		snprintf(err->text, sizeof(err->text), "%s: no memory for what is in its pages",
			 image->path);
		err->offset = UINT64_MAX;
		errno = ENOMEM;
		goto out;
	}
	progress_begin(&progress, image->path, quiet);
	count = read_all(classes, image, hashed, contents, &progress, err);
	progress_end(&progress);
	if (count < 0)
		goto out;
	mark_duplicates(classes, hashed, (size_t)count);
	rc = 0;
out:;
	int errnum = errno;

	free(hashed);
	free(contents);
	if (rc)
		page_classes_release(classes);
	errno = errnum;
	return rc;
}

void page_classes_release(struct page_classes *classes)
{
	free(classes->content);
	classes->content = NULL;
}
