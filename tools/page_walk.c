/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "page_walk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRY_PRESENT  1ull
#define ENTRY_LARGE    (1ull << 7)
#define ADDRESS_MASK   (((1ull << 52) - 1) & ~(uint64_t)(PAGE_OCTETS - 1))
#define LEVELS_MAX     5u
#define PAE_ROOT_SLOTS 4u
#define PAE_ROOT_MASK  0xffffffe0ull

/* Slots of a 64-bit PV guest's L4 that are Xen's (xen/arch-x86/xen-x86_64.h). */
#define PV_HOLE_FIRST 256u
#define PV_HOLE_END   272u

/* In work.walked. */
#define WALKED_BITS 3u
#define WALKED_MOST 7u

struct work {
	struct page_walk *walk;
	const struct image *image;
	struct image_error *err;
	enum vcpu_paging paging;
	size_t room;
	uint16_t
		*walked; /* for each of the image's pages, how often it was a table of each level */
	uint8_t table[LEVELS_MAX + 1][PAGE_OCTETS]; /* the one we are in, by level */
};

/*
 * The table at a guest-physical address, if there is one, and not too often at that level.
 * Returns whether; -1 on failure.
 */
static int read_table(struct work *w, unsigned level, uint64_t address)
{
	const struct image_page *page = image_find(w->image, address >> PAGE_SHIFT_X86);
	uint16_t *walked;
	unsigned shift;

	if (!page || !page_type_has_data(page->type)) {
		w->walk->missing++;
		return 0;
	}
	walked = &w->walked[page - w->image->pages];
	shift = (level - 1) * WALKED_BITS;
	if ((*walked >> shift & WALKED_MOST) == WALKED_MOST)
		return 0;
	*walked = (uint16_t)(*walked + (1u << shift));
	return image_read_pages(w->image, page, 1, w->table[level], w->err) ? -1 : 1;
}

static int add_run(struct work *w, uint64_t virtual, uint64_t physical, uint64_t octets)
{
	struct page_walk *walk = w->walk;
	struct mapped_run *last = walk->count ? &walk->run[walk->count - 1] : NULL;

	if (last && last->virtual + last->octets == virtual &&
	    last->physical + last->octets == physical) {
		last->octets += octets;
		return 0;
	}
	if (walk->count == PAGE_WALK_RUNS_MAX) {
		walk->cut = true;
		return 0;
	}
	if (walk->count == w->room) {
		size_t room = w->room ? 2 * w->room : 256;
		struct mapped_run *more = reallocarray(walk->run, room, sizeof(*more));

		if (!more) {
			snprintf(w->err->text, sizeof(w->err->text),
				 "%s: no memory for what its page tables map", w->image->path);
			w->err->offset = UINT64_MAX;
			errno = ENOMEM;
			return -1;
		}
		walk->run = more;
		w->room = room;
	}
	walk->run[walk->count++] =
		(struct mapped_run){.virtual = virtual, .physical = physical, .octets = octets};
	return 0;
}

/* Octets that an entry of a table of that level maps, as a shift. */
static unsigned level_shift(const struct work *w, unsigned level)
{
	return PAGE_SHIFT_X86 + (level - 1) * (w->paging == PAGING_2_LEVELS ? 10 : 9);
}

static uint64_t entry_at(const struct work *w, unsigned level, unsigned slot)
{
	uint64_t wide;
	uint32_t narrow;

	if (w->paging == PAGING_2_LEVELS) {
		memcpy(&narrow, w->table[level] + slot * sizeof(narrow), sizeof(narrow));
		return narrow;
	}
	memcpy(&wide, w->table[level] + slot * sizeof(wide), sizeof(wide));
	return wide;
}

/* Where a large page begins. */
static uint64_t large_address(const struct work *w, uint64_t entry, unsigned shift)
{
	/* PSE-36: bits 13 to 20 of a 4 MiB entry are bits 32 to 39 of the address. */
	if (w->paging == PAGING_2_LEVELS)
		return (entry & 0xffc00000ull) | (entry >> 13 & 0xff) << 32;
	return entry & ADDRESS_MASK & ~((1ull << shift) - 1);
}

static uint64_t canonical(const struct work *w, uint64_t virtual)
{
	unsigned bits = w->paging == PAGING_5_LEVELS ? 57 : 48;

	if (w->paging < PAGING_4_LEVELS || !(virtual >> (bits - 1) & 1))
		return virtual;
	return virtual | ~((1ull << bits) - 1);
}

static bool is_large(const struct work *w, unsigned level, uint64_t entry)
{
	unsigned highest = w->paging >= PAGING_4_LEVELS ? 3 : 2;

	return level > 1 && level <= highest && (entry & ENTRY_LARGE);
}

/* All that the table of that level maps, which is in w->table[level]. */
static int walk_table(struct work *w, unsigned level, uint64_t base, unsigned first_slot,
		      unsigned slots)
{
	const unsigned shift = level_shift(w, level);

	for (unsigned slot = first_slot; slot < first_slot + slots && !w->walk->cut; slot++) {
		uint64_t entry = entry_at(w, level, slot);
		uint64_t virtual = base + ((uint64_t)(slot - first_slot) << shift);
		int found;

		if (!(entry & ENTRY_PRESENT))
			continue;
		if (level == 4 && w->image->headers.guest_type == GUEST_X86_PV &&
		    slot >= PV_HOLE_FIRST && slot < PV_HOLE_END)
			continue;
		if (level == 1 || is_large(w, level, entry)) {
			uint64_t at =
				level == 1 ? entry & ADDRESS_MASK : large_address(w, entry, shift);

			if (add_run(w, canonical(w, virtual), at, 1ull << shift))
				return -1;
			continue;
		}
		found = read_table(w, level - 1, entry & ADDRESS_MASK);
		if (found < 0)
			return -1;
		if (found &&
		    walk_table(w, level - 1, virtual, 0, w->paging == PAGING_2_LEVELS ? 1024 : 512))
			return -1;
	}
	return 0;
}

static int walk_from(struct work *w, uint64_t cr3)
{
	static const unsigned levels[] = {
		[PAGING_2_LEVELS] = 2,
		[PAGING_PAE] = 3,
		[PAGING_4_LEVELS] = 4,
		[PAGING_5_LEVELS] = 5,
	};
	unsigned level = levels[w->paging], first = 0, slots = 512;
	int found = read_table(w, level, cr3 & ADDRESS_MASK);

	if (found <= 0)
		return found;
	if (w->paging == PAGING_2_LEVELS)
		slots = 1024;
	if (w->paging == PAGING_PAE) {
		first = (unsigned)((cr3 & PAE_ROOT_MASK & (PAGE_OCTETS - 1)) / sizeof(uint64_t));
		slots = PAE_ROOT_SLOTS;
	}
	return walk_table(w, level, 0, first, slots);
}

int page_walk_run(struct page_walk *walk, const struct image *image, const struct vcpu_state *vcpu,
		  struct image_error *err)
{
	struct work *w;
	int rc, errnum;

	*walk = (struct page_walk){0};
	if (vcpu->paging == PAGING_NONE)
		return 0;
	w = calloc(1, sizeof(*w));
	if (w)
		w->walked = calloc(image->page_count + 1, sizeof(*w->walked));
	if (!w || !w->walked) {
		free(w);
		snprintf(err->text, sizeof(err->text), "%s: no memory for a walk of page tables",
			 image->path);
		err->offset = UINT64_MAX;
		errno = ENOMEM;
		return -1;
	}
	w->walk = walk;
	w->image = image;
	w->err = err;
	w->paging = vcpu->paging;
	rc = walk_from(w, vcpu->cr[3]);
	errnum = errno;
	free(w->walked);
	free(w);
	if (rc)
		page_walk_release(walk);
	errno = errnum;
	return rc;
}

void page_walk_release(struct page_walk *walk)
{
	free(walk->run);
	*walk = (struct page_walk){0};
}
