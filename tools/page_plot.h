/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A picture of a saved domain's memory.
 *
 * Rows of cells from the lowest address to the highest; each cell stands for the same number of
 * pages, a power of two such that all of it is readable at a glance. A cell of several classes shows
 * their shares. Rows without a page are left out, with a break where there are more than one. So
 * time, memory and the size of the picture go by the pages that there are.
 */
#ifndef XENSR_TOOLS_PAGE_PLOT_H
#define XENSR_TOOLS_PAGE_PLOT_H

#include "page_classes.h"
#include "sparse_file.h"

enum plot_format {
	PLOT_PNG,
	PLOT_SVG,
};

/* title: the file's name; subtitle: what guest it is. Returns 0, or -1 with output->error. */
int page_plot_write(const struct image *image, const struct page_classes *classes,
		    enum plot_format format, const char *title, const char *subtitle,
		    struct sparse_file *output);

#endif
