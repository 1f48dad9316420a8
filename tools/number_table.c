/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "number_table.h"

#include <stdlib.h>
#include <time.h>
#include <sys/random.h>

#define XXH_INLINE_ALL /* the header is all that is needed */
#include <xxhash.h>

#define FIRST_ROOM 1024u

struct number_place {
	uint64_t key; /* that of the number, and 1 more; 0: the place is free */
	uint64_t number;
};

void number_table_release(struct number_table *table)
{
	free(table->places);
	*table = (struct number_table){0};
}

/* Where key is, or the free place where it belongs. There is always a free one. */
static struct number_place *place_of(const struct number_table *table, uint64_t key)
{
	size_t i = XXH3_64bits_withSeed(&key, sizeof(key), table->seed) & (table->room - 1);

	while (table->places[i].key && table->places[i].key != key + 1)
		i = (i + 1) & (table->room - 1);
	return &table->places[i];
}

static uint64_t random_seed(void)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) == sizeof(seed))
		return seed;
	return (uint64_t)time(NULL) ^ (uint64_t)(uintptr_t)&seed;
}

/* One more must leave a quarter of the places free. */
static int make_room(struct number_table *table)
{
	struct number_table more = *table;

	if (table->used < table->room / 4 * 3)
		return 0;
	if (table->room == 0)
		more.seed = random_seed();
	more.room = table->room ? 2 * table->room : FIRST_ROOM;
	more.places = calloc(more.room, sizeof(*more.places));
	if (!more.places)
		return -1;
	for (size_t i = 0; i < table->room; i++) {
		if (table->places[i].key)
			*place_of(&more, table->places[i].key - 1) = table->places[i];
	}
	free(table->places);
	*table = more;
	return 0;
}

/* As place_of(), where there is at least one key. */
static struct number_place *place_at_once(const struct number_table *table, uint64_t key)
{
	struct number_place *last = &table->places[table->last];

	return last->key == key + 1 ? last : place_of(table, key);
}

uint64_t *number_table_find(const struct number_table *table, uint64_t key)
{
	struct number_place *place;

	if (table->used == 0)
		return NULL;
	place = place_at_once(table, key);
	return place->key ? &place->number : NULL;
}

uint64_t *number_table_turn_to(struct number_table *table, uint64_t key)
{
	struct number_place *place;

	if (table->used == 0)
		return NULL;
	place = place_at_once(table, key);
	table->last = (size_t)(place - table->places);
	return place->key ? &place->number : NULL;
}

uint64_t *number_table_put(struct number_table *table, uint64_t key)
{
	uint64_t *number = number_table_turn_to(table, key);
	struct number_place *place;

	if (number)
		return number;
	if (make_room(table))
		return NULL;
	place = place_of(table, key);
	place->key = key + 1;
	table->used++;
	table->last = (size_t)(place - table->places);
	return &place->number;
}
