/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "diff_memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"

#define BATCH 256u

struct work {
	struct diff_memory *diff;
	struct progress progress;
	struct image_error *err;
	uint8_t *contents_a, *contents_b; /* BATCH pages each */
};

static int no_memory(struct image_error *err)
{
	snprintf(err->text, sizeof(err->text), "no memory for what differs");
	err->offset = UINT64_MAX;
	errno = ENOMEM;
	return -1;
}

static int add(struct work *w, uint64_t pfn, enum memory_difference difference,
	       enum page_type type_a, enum page_type type_b)
{
	struct diff_memory *diff = w->diff;
	struct diff_run *last = diff->count ? &diff->run[diff->count - 1] : NULL;

	diff->pages[difference]++;
	if (last && last->last + 1 == pfn && last->difference == difference &&
	    last->type_a == type_a && last->type_b == type_b) {
		last->last = pfn;
		return 0;
	}
	if (diff->count == diff->room) {
		size_t room = diff->room ? 2 * diff->room : 64;
		struct diff_run *more = reallocarray(diff->run, room, sizeof(*more));

		if (!more)
			return no_memory(w->err);
		diff->run = more;
		diff->room = room;
	}
	diff->run[diff->count++] = (struct diff_run){
		.first = pfn,
		.last = pfn,
		.difference = difference,
		.type_a = type_a,
		.type_b = type_b,
	};
	return 0;
}

/* How many pairs from here on are of the same pfns and types, with contents. */
static size_t equal_pairs(const struct image *a, size_t i, const struct image *b, size_t k)
{
	size_t n = 0;

	while (n < BATCH && i + n < a->page_count && k + n < b->page_count &&
	       a->pages[i + n].pfn == b->pages[k + n].pfn &&
	       a->pages[i + n].type == b->pages[k + n].type &&
	       page_type_has_data(a->pages[i + n].type))
		n++;
	return n;
}

static int compare_contents(struct work *w, const struct image *a, const struct image_page *page_a,
			    const struct image *b, const struct image_page *page_b, size_t n)
{
	if (image_read_pages(a, page_a, n, w->contents_a, w->err) ||
	    image_read_pages(b, page_b, n, w->contents_b, w->err))
		return -1;
	if (!memcmp(w->contents_a, w->contents_b, n * PAGE_OCTETS)) {
		w->diff->same += n;
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		if (!memcmp(w->contents_a + i * PAGE_OCTETS, w->contents_b + i * PAGE_OCTETS,
			    PAGE_OCTETS))
			w->diff->same++;
		else if (add(w, page_a[i].pfn, CONTENT_DIFFERS, page_a[i].type, page_b[i].type))
			return -1;
	}
	return 0;
}

/* The type, that of no page behind the end or where the other's pfn comes first. */
static enum page_type type_at(const struct image *image, size_t i, uint64_t pfn)
{
	return i < image->page_count && image->pages[i].pfn == pfn ? image->pages[i].type
								   : PAGE_INVALID;
}

static uint64_t pfn_at(const struct image *image, size_t i)
{
	return i < image->page_count ? image->pages[i].pfn : UINT64_MAX;
}

static int compare(struct work *w, const struct image *a, const struct image *b)
{
	size_t i = 0, k = 0;

	while (i < a->page_count || k < b->page_count) {
		size_t n = equal_pairs(a, i, b, k);
		uint64_t pfn = pfn_at(a, i) < pfn_at(b, k) ? pfn_at(a, i) : pfn_at(b, k);
		enum page_type type_a = type_at(a, i, pfn), type_b = type_at(b, k, pfn);

		if (n) {
			if (compare_contents(w, a, &a->pages[i], b, &b->pages[k], n))
				return -1;
			i += n;
			k += n;
			progress_show(&w->progress, (i + k) * (uint64_t)PAGE_OCTETS,
				      (a->page_count + b->page_count) * (uint64_t)PAGE_OCTETS);
			continue;
		}
		if (type_a == type_b)
			w->diff->same += type_a != PAGE_INVALID;
		else if (add(w, pfn,
			     type_b == PAGE_INVALID   ? ONLY_IN_A
			     : type_a == PAGE_INVALID ? ONLY_IN_B
						      : TYPE_DIFFERS,
			     type_a, type_b))
			return -1;
		i += pfn_at(a, i) == pfn;
		k += pfn_at(b, k) == pfn;
	}
	return 0;
}

int diff_memory_compare(struct diff_memory *diff, const struct image *a, const struct image *b,
			bool quiet, struct image_error *err)
{
	struct work w = {.diff = diff, .err = err};
	int rc = -1;

	*diff = (struct diff_memory){0};
	w.contents_a = malloc((size_t)BATCH * PAGE_OCTETS);
	w.contents_b = malloc((size_t)BATCH * PAGE_OCTETS);
	if (!w.contents_a || !w.contents_b) {
		no_memory(err);
		goto out;
	}
	progress_begin(&w.progress, "diff", quiet);
	rc = compare(&w, a, b);
	progress_end(&w.progress);
out:;
	int errnum = errno;

	free(w.contents_a);
	free(w.contents_b);
	errno = errnum;
	return rc;
}

void diff_memory_release(struct diff_memory *diff)
{
	free(diff->run);
	diff->run = NULL;
	diff->count = diff->room = 0;
}
