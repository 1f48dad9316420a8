/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * "N", "A-B", "0x10-0x1f,7": the pfns that a user asks for.
 */
#ifndef XENSR_TOOLS_PFN_RANGES_H
#define XENSR_TOOLS_PFN_RANGES_H

#include <stddef.h>
#include <stdint.h>

struct pfn_range {
	uint64_t first, last; /* both included */
};

/*
 * Ranges in the order given, in memory the caller frees. Returns how many, 0 if text is none of
 * that, or -1 (out of memory).
 */
int pfn_ranges_parse(const char *text, struct pfn_range **ranges);

#endif
