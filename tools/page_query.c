/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "page_query.h"

#include <errno.h>
#include <stdlib.h>

#include "command.h"
#include "open_state.h"

int page_query_pfns(struct page_query *query, const char *text)
{
	query->range_count = pfn_ranges_parse(text, &query->ranges);
	if (query->range_count < 0)
		return command_error(query->name, "no memory for the pfns");
	if (query->range_count == 0)
		return command_usage(query->name, "`%s' is no list of pfns such as 7,0x10-0x1f",
				     text);
	return 0;
}

int page_query_open(struct page_query *query, const char *path)
{
	struct image_error err;

	if (image_open(&query->image, path, &err)) {
		int errnum = errno;

		query->code = command_exit(errnum);
		if (query->code == EXIT_DAMAGED && query->image.complete) {
			command_error(query->name, "%s; going by checkpoint %u, which is complete",
				      err.text,
				      query->checkpoint ? query->checkpoint
							: query->image.checkpoints);
			query->code = damaged_behind(errnum, query->checkpoint);
		} else {
			command_error(query->name, "%s", err.text);
		}
		if (query->code == EXIT_TROUBLE || query->image.record_count == 0)
			return query->code;
	}
	if (query->image.kind == IMAGE_LEGACY) {
		command_error(query->name,
			      "%s: a legacy image of Xen 4.5 or earlier, which must be converted "
			      "first",
			      path);
		return EXIT_DAMAGED;
	}
	if (query->checkpoint && image_select(&query->image, query->checkpoint, &err)) {
		command_error(query->name, "%s", err.text);
		return errno == ERANGE ? EXIT_USAGE : command_exit(errno);
	}
	return 0;
}

int page_query_code(const struct page_query *query, int code)
{
	if (code == EXIT_USAGE && query->code == EXIT_DAMAGED)
		return EXIT_DAMAGED;
	return command_worse(code, query->code);
}

void page_query_release(struct page_query *query)
{
	image_close(&query->image);
	free(query->ranges);
	query->ranges = NULL;
	query->range_count = 0;
}
