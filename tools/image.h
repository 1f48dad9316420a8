/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One saved domain in a file that can be sought: an index of its records and of its memory.
 *
 * image_open reads record headers and PAGE_DATA entries, never page contents, and checks what
 * the domain stream's reader checks. What it holds in memory is bounded by the file's size
 * (each pfn entry of 8 octets in the file takes 24 here, 48 while it is sorted). Nothing of the file is trusted: every
 * offset lies within it.
 *
 *      IMAGE_XL       xl file header, then a libxl stream (or, IMAGE_LEGACY, a legacy image)
 *      IMAGE_LIBXL    libxl stream
 *      IMAGE_DOMAIN   domain stream, version 2 or 3
 *      IMAGE_LEGACY   image of Xen 4.5 or earlier: known as such; no records, no memory (but see
 *                     legacy_walk.h)
 */
#ifndef XENSR_TOOLS_IMAGE_H
#define XENSR_TOOLS_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format.h"
#include "pages.h"
#include "phase.h"

enum image_kind {
	IMAGE_DOMAIN,
	IMAGE_LIBXL,
	IMAGE_XL,
	IMAGE_LEGACY,
};

enum image_layer {
	LAYER_LIBXL,  /* type is a libxl record type (spec: toolstack stream) */
	LAYER_DOMAIN, /* type is a REC_* of format.h */
};

struct image_record {
	uint64_t offset; /* of its header, octets from the start of the file */
	uint32_t type;   /* as on the wire, with bit 31 */
	uint32_t length; /* octets of body; the body begins at offset + 8 */
	enum image_layer layer;
	/*
	 * The state it belongs to first: CHECKPOINT records before it. The libxl records between a
	 * CHECKPOINT and its CHECKPOINT_END belong to that CHECKPOINT.
	 */
	uint32_t checkpoint;
	uint32_t count;      /* PAGE_DATA: its entries */
	uint32_t data_pages; /* PAGE_DATA: those with a page */
};

/* Where the content of a pfn is. */
struct image_page {
	uint64_t pfn;
	enum page_type type;
	uint64_t offset; /* octets from the start of the file, 0 if the type carries no data */
};

/* Of a legacy image that was looked into (legacy_walk). */
#define LEGACY_CHUNKS 21
struct legacy_facts {
	uint64_t p2m_size;              /* pages; 0: it was not looked into */
	uint64_t batches;               /* of pages */
	uint64_t chunks[LEGACY_CHUNKS]; /* others, by their negated number; 0: ends of them */
	uint32_t tails;                 /* of a checkpointed one there are several */
	uint32_t vcpus;                 /* that are online */
	bool verify;                    /* it has verify data */
};

struct image {
	int fd;
	uint64_t octets; /* of the file; image_open only */
	char *path;
	enum image_kind kind;
	char *config; /* xl file: the domain's configuration (JSON text), NUL-terminated; or NULL */
	uint64_t libxl_start; /* offset of the libxl header, of the domain stream's image header */
	uint64_t domain_start;
	bool config_is_json; /* xl file */
	bool legacy_64bit;   /* IMAGE_LEGACY: of a 64-bit toolstack */
	struct legacy_facts legacy;
	uint32_t libxl_options;
	struct stream_headers headers; /* of the domain stream */
	unsigned guest_width;          /* PV: 4 or 8; else 0 */
	uint32_t checkpoints; /* complete ones: CHECKPOINTs, in a libxl stream with their END */
	bool complete;        /* an END came, or at least one checkpoint is complete */
	struct image_record *records; /* all layers, in the order of the file */
	size_t record_count;

	/* The memory of the state that image_select chose: ascending pfns, each once. */
	struct image_page *pages; /* before image_select, and after one that failed: NULL */
	size_t page_count;
	uint32_t selected; /* records of checkpoints 0 … selected make up the state */
};

/* What went wrong, for people: one line that names the file and, where there is one, the offset. */
struct image_error {
	char text[640];
	uint64_t offset; /* in the file, or UINT64_MAX */
};

/*
 * Open and index the file. Selects the last complete state. Returns 0, or -1 with errno and *err
 * (ESPIPE: not a file that can be sought; EBADMSG, ENODATA: damaged or cut. Then what came before
 * the damage is indexed and may be looked at; image->complete says whether that is a whole state).
 * The image is to be closed in either case.
 */
int image_open(struct image *image, const char *path, struct image_error *err);

/* Idempotent. */
void image_close(struct image *image);

/*
 * Choose the state as of CHECKPOINT number `checkpoint` (1 … image->checkpoints) of a checkpointed
 * stream. Returns 0, or -1 with errno (ERANGE: no such checkpoint).
 */
int image_select(struct image *image, uint32_t checkpoint, struct image_error *err);

/* Index of the first entry of image->pages at or after pfn; page_count if there is none. */
size_t image_index_of(const struct image *image, uint64_t pfn);

/*
 * The next entries of image->pages that all carry data and follow each other, at most `most`: *at is
 * moved on to the first of them. Returns how many, 0 at the end.
 */
size_t image_next_run(const struct image *image, size_t *at, size_t most);

/* The page, or NULL if the state has none at pfn. */
const struct image_page *image_find(const struct image *image, uint64_t pfn);

/*
 * The content of n consecutive entries of image->pages that all carry data, into buffer (4096
 * octets each); contents that lie next to each other in the file are read in one call. Returns 0, or
 * -1 with errno and *err.
 */
int image_read_pages(const struct image *image, const struct image_page *page, size_t n,
		     void *buffer, struct image_error *err);

/*
 * The body of a record (not PAGE_DATA or LIBXC_CONTEXT), in memory the caller frees; never NULL on
 * success. It has passed the format's checks as it is in memory (record_check_body; the length is that
 * of the index), whatever happened to the file since. Returns 0, or -1 with errno and *err (EBADMSG: it
 * has changed).
 */
int image_read_body(const struct image *image, const struct image_record *record, void **body,
		    struct image_error *err);

/*
 * The last record of that type which belongs to the selected state, or NULL. For the types of which
 * a state has several (vcpu records): image_next_record walks them, last state only.
 */
const struct image_record *image_state_record(const struct image *image, enum image_layer layer,
					      uint32_t type);
const struct image_record *image_next_record(const struct image *image,
					     const struct image_record *after,
					     enum image_layer layer, uint32_t type);

#endif
