/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is in an x86 PV guest's page tables. In the stream their entries name pfns: a restore refuses
 * those that map a superpage, that name a pfn beyond the p2m, and, when it has all of the memory, those
 * of which the pfn never came. It does so for each page table that comes, whether or not a later one
 * replaces it.
 */
#ifndef XENSR_TOOLS_PV_TABLES_H
#define XENSR_TOOLS_PV_TABLES_H

#include "guest_memory.h"
#include "walk.h"

/* An entry, and of which page table. */
struct table_entry {
	uint64_t target : 40; /* the pfn that it names */
	uint64_t entry : 9;
	uint64_t level : 3;
	uint64_t table : 40; /* the pfn that it is in */
	uint64_t offset;     /* of the record that brought it */
};

/* Entries of one record with the same fault. */
struct table_fault {
	struct table_entry first;
	uint64_t count;
};

struct pv_tables {
	/* In the record at work. */
	struct table_fault superpages, beyond;
	/* The first to name each pfn that had not come by then, in the order of the file. */
	struct table_entry *named;
	size_t nr_named, named_room;
	const char *title; /* of the records they come in */
};

/* An all-zero pv_tables has none. Idempotent. */
void pv_tables_release(struct pv_tables *tables);

/*
 * A page table of this level came in the record at work. The guest has pfns below `end`. compared:
 * as verify data, which bring no memory. Returns 0, or -1 (out of memory).
 */
int pv_tables_take(struct pv_tables *tables, struct walk *walk, struct guest_memory *memory,
		   uint64_t pfn, unsigned level, const uint8_t *octets, uint64_t end,
		   bool compared) MUST_CHECK;

/* All of the record came: tell what is wrong with them, once for each kind of fault. */
void pv_tables_tell(struct pv_tables *tables, struct walk *walk, uint64_t end);

/*
 * All memory of a state came: tell of the pfns that were named and never came, once for each record.
 * Later states are not blamed for the same ones.
 */
void pv_tables_tell_missing(struct pv_tables *tables, struct walk *walk,
			    const struct guest_memory *memory);

/* Does the table have an entry that is present? A restore changes those. */
bool pv_table_has_entries(const uint8_t *octets);

#endif
