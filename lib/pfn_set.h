/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A sparse set of pfns. Memory follows the members: 4 KiB for each aligned run of 32768 pfns
 * that has one, and a directory of 4 KiB for each 2^24 pfns (64 GiB of guest memory) touched.
 */
#ifndef XENSR_LIB_PFN_SET_H
#define XENSR_LIB_PFN_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct pfn_directory;

struct pfn_set {
	struct pfn_directory **directories;
	size_t nr_directories;
};

/* An all-zero pfn_set is the empty set. Releases to that; idempotent. */
void pfn_set_release(struct pfn_set *set);

bool pfn_set_has(const struct pfn_set *set, uint64_t pfn);

/* Any pfn below PFN_LIMIT_X86. Returns 0, or -1 with errno ENOMEM or ERANGE, set unchanged. */
int pfn_set_add(struct pfn_set *set, uint64_t pfn) MUST_CHECK;

/* Add first … first + n - 1, where 64 divides both. Same answers; on failure some are in. */
int pfn_set_add_run(struct pfn_set *set, uint64_t first, uint64_t n) MUST_CHECK;

/* Remove a pfn; one that is no member is left alone. */
void pfn_set_remove(struct pfn_set *set, uint64_t pfn);

/* Add those of first … first + 63 whose bit is set, where 64 divides first. As pfn_set_add. */
int pfn_set_add_word(struct pfn_set *set, uint64_t first, uint64_t bits) MUST_CHECK;

/*
 * The members among the PFN_SET_LEAF pfns from first on, which PFN_SET_LEAF divides: a word for 64
 * pfns, valid until one is added or the set released. NULL: none was ever added there.
 */
#define PFN_SET_LEAF 32768u
const uint64_t *pfn_set_leaf(const struct pfn_set *set, uint64_t first);

/* The first pfn past all leaves there are. */
uint64_t pfn_set_end(const struct pfn_set *set);

/* The first member at or after pfn, or UINT64_MAX. */
uint64_t pfn_set_next(const struct pfn_set *set, uint64_t pfn);

/* Is any of first … first + n - 1 a member, where 64 divides both? */
bool pfn_set_has_any(const struct pfn_set *set, uint64_t first, uint64_t n);

#endif
