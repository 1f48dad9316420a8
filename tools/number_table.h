/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A 64-bit number for some keys. Memory follows how many have one, wherever they lie: 21 to 43 octets for
 * each, and half as much again while it grows.
 */
#ifndef XENSR_TOOLS_NUMBER_TABLE_H
#define XENSR_TOOLS_NUMBER_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct number_place;

struct number_table {
	struct number_place *places; /* a hash table with open addressing, by key */
	size_t room, used;
	size_t last;   /* the place that was turned to or put to last: mostly it is wanted again */
	uint64_t seed; /* so that no file can choose keys that all meet at one place */
};

/* An all-zero number_table is empty. Releases to that; idempotent. */
void number_table_release(struct number_table *table);

/* What key has, or NULL; UINT64_MAX has none. Valid until the next number_table_put of this table. */
uint64_t *number_table_find(const struct number_table *table, uint64_t key);

/* The same; where it is will be known the next time. */
uint64_t *number_table_turn_to(struct number_table *table, uint64_t key);

/*
 * The same, of any key but UINT64_MAX; one that had no number so far has 0. Returns NULL if it runs out of
 * memory.
 */
uint64_t *number_table_put(struct number_table *table, uint64_t key) MUST_CHECK;

#endif
