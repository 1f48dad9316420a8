/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"

#define BATCH 256u

uint64_t core_data_pages(const struct image *image)
{
	uint64_t n = 0;

	for (size_t i = 0; i < image->page_count; i++)
		n += page_type_has_data(image->pages[i].type);
	return n;
}

int core_output_failed(struct core *core)
{
	snprintf(core->err->text, sizeof(core->err->text), "%s", core->output->error);
	return -1;
}

int core_no_memory(struct core *core)
{
	snprintf(core->err->text, sizeof(core->err->text), "%s: no memory", core->image->path);
	errno = ENOMEM;
	return -1;
}

void core_warn(const struct core *core, const char *fmt, ...)
{
	va_list args;

	if (core->quiet)
		return;
	fprintf(stderr, "xensr core: %s: ", core->image->path);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

static bool is_zero(const uint8_t *page)
{
	return page[0] == 0 && !memcmp(page, page + 1, PAGE_OCTETS - 1);
}

/* n pages that follow each other in the output from offset on: zero pages are passed over. */
static int write_run(struct core *core, const uint8_t *pages, size_t n, uint64_t offset)
{
	for (size_t i = 0; i < n;) {
		size_t run = 0;

		while (i + run < n && !is_zero(pages + (i + run) * PAGE_OCTETS))
			run++;
		if (run && sparse_file_write(core->output, pages + i * PAGE_OCTETS,
					     run * PAGE_OCTETS, offset + i * PAGE_OCTETS))
			return core_output_failed(core);
		i += run ? run : 1;
	}
	return sparse_file_extend(core->output, offset + n * PAGE_OCTETS) ? core_output_failed(core)
									  : 0;
}

static int write_batch(struct core *core, const struct core_place *place,
		       const struct image_page *page, size_t n, uint64_t done,
		       const uint8_t *contents)
{
	if (!place->by_address)
		return write_run(core, contents, n, place->base + done * PAGE_OCTETS);
	for (size_t i = 0; i < n;) {
		size_t run = 1;

		while (i + run < n && page[i + run].pfn == page[i].pfn + run)
			run++;
		if (write_run(core, contents + i * PAGE_OCTETS, run,
			      place->base + page[i].pfn * PAGE_OCTETS))
			return -1;
		i += run;
	}
	return 0;
}

int core_write_memory(struct core *core, const struct core_place *place, struct vmcoreinfo *info)
{
	const struct image *image = core->image;
	uint8_t *contents = malloc((size_t)BATCH * PAGE_OCTETS);
	struct progress progress;
	uint64_t done = 0;
	int rc = -1;

	if (!contents)
		return core_no_memory(core);
	progress_begin(&progress, image->path, core->quiet);
	for (size_t i = 0, n; (n = image_next_run(image, &i, BATCH)); i += n) {
		const struct image_page *page = &image->pages[i];

		if (image_read_pages(image, page, n, contents, core->err))
			goto out;
		for (size_t k = 0; info && k < n; k++) {
			if (vmcoreinfo_look(info, image, &page[k], contents + k * PAGE_OCTETS,
					    core->err))
				goto out;
		}
		if (write_batch(core, place, page, n, done, contents))
			goto out;
		done += n;
		progress_show(&progress, (i + n) * (uint64_t)PAGE_OCTETS,
			      image->page_count * (uint64_t)PAGE_OCTETS);
	}
	rc = 0;
out:
	progress_end(&progress);
	free(contents);
	return rc;
}
