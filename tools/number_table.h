/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A number for some numbers. Memory follows how many have one, wherever they lie: 32 to 64 octets each.
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
	size_t last;   /* the place that was put to last: mostly it is asked for again */
	uint64_t seed; /* so that no file can choose keys that all meet at one place */
};

/* An all-zero number_table is empty. Releases to that; idempotent. */
void number_table_release(struct number_table *table);

/* What key has, or NULL. To be used before the next call that puts. UINT64_MAX has none. */
uint64_t *number_table_find(const struct number_table *table, uint64_t key);

/* The same, of any other key; 0 if it had none so far. Returns NULL if it runs out of memory. */
uint64_t *number_table_put(struct number_table *table, uint64_t key) MUST_CHECK;

#endif
