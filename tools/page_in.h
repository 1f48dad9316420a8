/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Have the kernel read a part of a file without handing it over, whichever way is faster here:
 *
 *   sendfile   to /dev/null; each page is passed along by itself
 *   mapping    and MADV_POPULATE_READ; large folios are done at one stroke, small ones are dearer
 *
 * Either way a page that cannot be read is an error. What is faster depends on the file system and
 * on how the file came into the page cache, so each is tried on a part of the file.
 */
#ifndef XENSR_TOOLS_PAGE_IN_H
#define XENSR_TOOLS_PAGE_IN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct page_in {
	enum page_in_way {
		PAGE_IN_TRY_SENDFILE,
		PAGE_IN_TRY_MAPPING,
		PAGE_IN_SENDFILE,
		PAGE_IN_MAPPING,
	} way;
	uint64_t tried;       /* octets of the trial at work */
	uint64_t nsecs;       /* that these took */
	double sendfile_cost; /* nanoseconds per octet */
	uint64_t done_to;     /* what lies before this offset has been read already */
};

/*
 * Read up to len octets from offset on; null_fd is /dev/null, octets the file's size. An all-zero
 * page_in has tried nothing. Returns how many, 0 at the end, or -1 with errno.
 */
ssize_t page_in(struct page_in *state, int fd, int null_fd, uint64_t offset, uint64_t octets,
		uint64_t len);

#endif
