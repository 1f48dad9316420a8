/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pfn_ranges.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "format.h"

/* A number in decimal, or in hexadecimal after 0x. Returns what follows it, or NULL. */
static const char *parse_pfn(const char *text, uint64_t *pfn)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return NULL;
	errno = 0;
	*pfn = strtoull(text, &end, text[0] == '0' && (text[1] | 0x20) == 'x' ? 16 : 10);
	return errno || *pfn >= PFN_LIMIT_X86 ? NULL : end;
}

static const char *parse_range(const char *text, struct pfn_range *range)
{
	text = parse_pfn(text, &range->first);
	if (!text)
		return NULL;
	range->last = range->first;
	if (*text != '-')
		return text;
	text = parse_pfn(text + 1, &range->last);
	return text && range->first <= range->last ? text : NULL;
}

int pfn_ranges_parse(const char *text, struct pfn_range **ranges)
{
	size_t n = 1, i = 0;

	for (const char *c = text; *c; c++)
		n += *c == ',';
	*ranges = reallocarray(NULL, n, sizeof(**ranges));
	if (!*ranges)
		return -1;
	while (text && i < n) {
		text = parse_range(text, &(*ranges)[i++]);
		if (text && *text == '\0')
			return (int)i;
		text = text && *text == ',' ? text + 1 : NULL;
	}
	free(*ranges);
	*ranges = NULL;
	return 0;
}
