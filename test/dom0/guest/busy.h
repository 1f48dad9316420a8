/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What busy has in each of its pages: the generation, the page's number, and words that follow from
 * the two. So a page tells by itself what it is, wherever it is found.
 */
#ifndef XENSR_RIG_BUSY_H
#define XENSR_RIG_BUSY_H

#include <stdint.h>

enum {
	BUSY_PAGE = 4096,
	BUSY_WORDS = BUSY_PAGE / 8,
};

/* What word 2 of a page is in a generation; each further word is larger by an odd number. */
#define BUSY_STEP 0x94d049bb133111ebu

static inline uint64_t busy_first_word(uint64_t generation, uint64_t page)
{
	uint64_t x = (generation << 32 | page) * 0x9e3779b97f4a7c15u;

	return (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
}

/* Returns the first word that is not as filled, or -1. */
static inline int busy_differs(const volatile uint64_t *words, uint64_t generation, uint64_t page)
{
	uint64_t value = busy_first_word(generation, page);

	if (words[0] != generation || words[1] != page)
		return words[0] == generation;
	for (int i = 2; i < BUSY_WORDS; i++, value += BUSY_STEP)
		if (words[i] != value)
			return i;
	return -1;
}

#endif
