/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pfn_set.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"

#define LEAF_SHIFT 15 /* pfns in a leaf, log 2 */
static_assert(PFN_SET_LEAF == 1u << LEAF_SHIFT, "said in the header");
#define LEAF_WORDS      ((1u << LEAF_SHIFT) / 64)
#define DIRECTORY_SHIFT 9 /* leaves in a directory, log 2 */
#define DIRECTORY_SIZE  (1u << DIRECTORY_SHIFT)
#define TOP_SHIFT       (LEAF_SHIFT + DIRECTORY_SHIFT)

struct pfn_directory {
	uint64_t *leaves[DIRECTORY_SIZE];
};

void pfn_set_release(struct pfn_set *set)
{
	for (size_t d = 0; d < set->nr_directories; d++) {
		if (!set->directories[d])
			continue;
		for (size_t l = 0; l < DIRECTORY_SIZE; l++)
			free(set->directories[d]->leaves[l]);
		free(set->directories[d]);
	}
	free(set->directories);
	*set = (struct pfn_set){0};
}

static uint64_t *leaf_of(const struct pfn_set *set, uint64_t pfn)
{
	uint64_t d = pfn >> TOP_SHIFT;

	if (d >= set->nr_directories || !set->directories[d])
		return NULL;
	return set->directories[d]->leaves[(pfn >> LEAF_SHIFT) % DIRECTORY_SIZE];
}

static size_t word_of(uint64_t pfn)
{
	return (size_t)(pfn / 64 % LEAF_WORDS);
}

/* The leaf of pfn, made if need be; NULL with errno. */
static uint64_t *leaf_make(struct pfn_set *set, uint64_t pfn)
{
	size_t d = (size_t)(pfn >> TOP_SHIFT);
	uint64_t **leaf;

	if (pfn >= PFN_LIMIT_X86) {
		errno = ERANGE;
		return NULL;
	}
	if (d >= set->nr_directories) {
		struct pfn_directory **more =
			realloc(set->directories, (d + 1) * sizeof(struct pfn_directory *));

		if (!more)
			return NULL;
		memset(more + set->nr_directories, 0,
		       (d + 1 - set->nr_directories) * sizeof(struct pfn_directory *));
		set->directories = more;
		set->nr_directories = d + 1;
	}
	if (!set->directories[d])
		set->directories[d] = calloc(1, sizeof(struct pfn_directory));
	if (!set->directories[d])
		return NULL;
	leaf = &set->directories[d]->leaves[(pfn >> LEAF_SHIFT) % DIRECTORY_SIZE];
	if (!*leaf)
		*leaf = calloc(LEAF_WORDS, sizeof(uint64_t));
	return *leaf;
}

bool pfn_set_has(const struct pfn_set *set, uint64_t pfn)
{
	const uint64_t *leaf = leaf_of(set, pfn);

	return leaf && leaf[word_of(pfn)] >> (pfn % 64) & 1;
}

int pfn_set_add(struct pfn_set *set, uint64_t pfn)
{
	uint64_t bit = 1ull << (pfn % 64);
	uint64_t *leaf = leaf_make(set, pfn);

	if (!leaf)
		return -1;
	leaf[word_of(pfn)] |= bit;
	return 0;
}

int pfn_set_add_word(struct pfn_set *set, uint64_t first, uint64_t bits)
{
	uint64_t *leaf = bits ? leaf_make(set, first) : NULL;

	if (bits && !leaf)
		return -1;
	if (bits)
		leaf[word_of(first)] |= bits;
	return 0;
}

void pfn_set_remove(struct pfn_set *set, uint64_t pfn)
{
	uint64_t *leaf = leaf_of(set, pfn);

	if (leaf)
		leaf[word_of(pfn)] &= ~(1ull << (pfn % 64));
}

const uint64_t *pfn_set_leaf(const struct pfn_set *set, uint64_t first)
{
	return leaf_of(set, first);
}

uint64_t pfn_set_end(const struct pfn_set *set)
{
	return (uint64_t)set->nr_directories << TOP_SHIFT;
}

uint64_t pfn_set_next(const struct pfn_set *set, uint64_t pfn)
{
	uint64_t end = pfn_set_end(set);

	while (pfn < end) {
		const uint64_t *leaf = leaf_of(set, pfn);
		uint64_t bits;

		if (!leaf) {
			uint64_t d = pfn >> TOP_SHIFT;
			unsigned shift = set->directories[d] ? LEAF_SHIFT : TOP_SHIFT;

			pfn = ((pfn >> shift) + 1) << shift;
			continue;
		}
		bits = leaf[word_of(pfn)] >> (pfn % 64);
		if (bits)
			return pfn + (uint64_t)__builtin_ctzll(bits);
		pfn = (pfn / 64 + 1) * 64;
	}
	return UINT64_MAX;
}

int pfn_set_add_run(struct pfn_set *set, uint64_t first, uint64_t n)
{
	for (uint64_t pfn = first; pfn < first + n; pfn += 64) {
		uint64_t *leaf = leaf_make(set, pfn);

		if (!leaf)
			return -1;
		leaf[word_of(pfn)] = UINT64_MAX;
	}
	return 0;
}

bool pfn_set_has_any(const struct pfn_set *set, uint64_t first, uint64_t n)
{
	for (uint64_t pfn = first; pfn < first + n; pfn += 64) {
		const uint64_t *leaf = leaf_of(set, pfn);

		if (leaf && leaf[word_of(pfn)])
			return true;
	}
	return false;
}
