/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PAGE_DATA on its way into the guest:
 *
 *   entries -> checked -> memory for them -> mapping -> pages read into it -> localised
 *
 * or, while a checkpoint is not complete, into our memory; or, after VERIFY, compared with what the
 * guest has.
 */
#include "restore.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Entries of a kept record; a record of holes alone has many. */
#define KEPT_ENTRIES 65536u

/* Pages that differ, listed in the error. */
#define LISTED 12u

static const char progress_text[] = "Restoring memory (pages)";
static const char verify_text[] = "Comparing memory (pages)";

/* The stream does not say how many pages it holds; the domain's limit is the best guess. */
static uint64_t pages_total(const struct restore_ctx *restore)
{
	return restore->info.max_pages > restore->pages_received ? restore->info.max_pages
								 : restore->pages_received;
}

void restore_pages_begin(struct restore_ctx *restore)
{
	ctx_progress(&restore->ctx, progress_text, 0, restore->info.max_pages);
}

static void count_received(struct restore_ctx *restore, uint32_t n)
{
	restore->pages_received += n;
	ctx_progress(&restore->ctx, restore->verifying ? verify_text : progress_text,
		     restore->pages_received, pages_total(restore));
}

/* ---- into the guest ---------------------------------------------------------------------- */

/* The next n pages of the record: from the stream, or from memory, which moves on. */
static int take_pages(struct restore_ctx *restore, uint8_t *to, uint32_t n, const uint8_t **pages)
{
	struct iovec iov[2] = {
		/* one more for the next record's header */
		{.iov_base = to, .iov_len = (size_t)n * PAGE_OCTETS},
	};

	if (!*pages)
		return read_pages(&restore->reader, iov, 1, n);
	memcpy(to, *pages, (size_t)n * PAGE_OCTETS);
	*pages += (size_t)n * PAGE_OCTETS;
	return 0;
}

static void unmap_batch(struct restore_ctx *restore, void *mapping, uint32_t n)
{
	if (xenforeignmemory_unmap(restore->fmem, mapping, n))
		ctx_log(&restore->ctx, XENSR_LOG_WARN, "cannot unmap %u pages: %s", n,
			strerror(errno));
}

static void *map_batch(struct restore_ctx *restore, int prot, uint32_t n)
{
	struct xensr_ctx *ctx = &restore->ctx;
	void *mapping = xenforeignmemory_map(restore->fmem, restore->domid, prot, n, restore->gfns,
					     restore->errors);

	if (!mapping) {
		ctx_fail_errno(ctx, errno, "cannot map %u pages from gfn %#" PRIx64, n,
			       (uint64_t)restore->gfns[0]);
		return NULL;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (!restore->errors[i])
			continue;
		ctx_fail_errno(ctx, abs(restore->errors[i]), "cannot map gfn %#" PRIx64,
			       (uint64_t)restore->gfns[i]);
		unmap_batch(restore, mapping, n);
		return NULL;
	}
	return mapping;
}

/* n pages, gathered in the batch, into the guest. */
static int receive_batch(struct restore_ctx *restore, uint32_t n, const uint8_t **pages)
{
	uint8_t *mapping = map_batch(restore, PROT_READ | PROT_WRITE, n);
	int rc = -1;

	if (!mapping)
		return -1;
	if (take_pages(restore, mapping, n, pages))
		goto out;
	for (uint32_t i = 0; i < n; i++) {
		if (restore->ops->localise_page(restore, restore->pfns[i], restore->types[i],
						mapping + (size_t)i * PAGE_OCTETS))
			goto out;
	}
	count_received(restore, n);
	rc = 0;
out:
	unmap_batch(restore, mapping, n);
	return rc;
}

/* ---- compared ------------------------------------------------------------------------------ */

int restore_verify_start(struct restore_ctx *restore)
{
	restore->verify_pages = malloc((size_t)PAGES_BATCH * PAGE_OCTETS);
	if (!restore->verify_pages)
		return ctx_fail_errno(&restore->ctx, ENOMEM, "no room for a batch of pages");
	ctx_progress(&restore->ctx, progress_text, restore->pages_received,
		     restore->pages_received);
	restore->verifying = true;
	restore->pages_received = 0;
	ctx_progress(&restore->ctx, verify_text, 0, pages_total(restore));
	return 0;
}

static int note_difference(struct restore_ctx *restore, uint64_t pfn)
{
	if (pfn_set_add(&restore->different, pfn))
		return ctx_fail_errno(&restore->ctx, errno, "cannot keep account of pfn %#" PRIx64,
				      pfn);
	return 0;
}

/* n pages, gathered in the batch, against the guest's. */
static int compare_batch(struct restore_ctx *restore, uint32_t n, const uint8_t **pages)
{
	uint8_t *came = restore->verify_pages;
	const uint8_t *mapping;
	int rc = -1;

	if (take_pages(restore, came, n, pages))
		return -1;
	mapping = map_batch(restore, PROT_READ, n);
	if (!mapping)
		return -1;
	for (uint32_t i = 0; i < n; i++) {
		size_t at = (size_t)i * PAGE_OCTETS;

		if (restore->ops->localise_page(restore, restore->pfns[i], restore->types[i],
						came + at))
			goto out;
		if (memcmp(mapping + at, came + at, PAGE_OCTETS) != 0 &&
		    note_difference(restore, restore->pfns[i]))
			goto out;
	}
	count_received(restore, n);
	rc = 0;
out:
	unmap_batch(restore, (void *)(uintptr_t)mapping, n);
	return rc;
}

/* Pages of a guest that was not given them differ without a look; their octets are dropped. */
static int compare_missing(struct restore_ctx *restore, uint64_t pfn, const uint8_t **pages)
{
	return take_pages(restore, restore->verify_pages, 1, pages) ? -1
								    : note_difference(restore, pfn);
}

/* A hole where the guest has memory. */
static int note_revoked(struct restore_ctx *restore, uint64_t pfn)
{
	if (!restore->ops->pfn_has_memory(restore, pfn) || pfn_set_has(&restore->revoked, pfn))
		return 0;
	return note_difference(restore, pfn);
}

int restore_verify_finish(struct restore_ctx *restore)
{
	struct xensr_ctx *ctx = &restore->ctx;
	char list[LISTED * 20] = "";
	uint64_t count = 0;
	size_t len = 0;

	if (!restore->verifying)
		return 0;
	for (uint64_t pfn = pfn_set_next(&restore->different, 0); pfn != UINT64_MAX;
	     pfn = pfn_set_next(&restore->different, pfn + 1)) {
		if (restore->ops->page_is_remade(restore, pfn))
			continue;
		if (count++ < LISTED)
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%#" PRIx64,
						len ? ", " : "", pfn);
	}
	restore->results.differences = count;
	if (count == 0 && restore->pages_received == 0)
		return ctx_fail(ctx, EBADMSG, "verify data was promised, and none came");
	if (count == 0) {
		ctx_log(ctx, XENSR_LOG_INFO, "verify data: all %" PRIu64 " pages are the same",
			restore->pages_received);
		return 0;
	}
	if (!restore->params.tolerate_differences)
		return ctx_fail(ctx, EBADMSG,
				"verify data: %" PRIu64 " of %" PRIu64 " pages differ: pfn %s%s",
				count, restore->pages_received, list, count > LISTED ? ", …" : "");
	ctx_log(ctx, XENSR_LOG_WARN,
		"verify data: %" PRIu64 " of %" PRIu64 " pages differ: pfn %s%s", count,
		restore->pages_received, list, count > LISTED ? ", …" : "");
	return 0;
}

/* ---- both ---------------------------------------------------------------------------------- */

/* May the domain have all these pfns? Holes, as stock sends them by the million, name no memory. */
static int check_pfns(struct restore_ctx *restore, const struct record *rec)
{
	for (uint32_t i = 0; rec->populated && i < rec->count; i++) {
		uint64_t pfn = page_entry_pfn(rec->entries[i]);

		if (!restore->ops->pfn_is_valid(restore, pfn))
			return ctx_fail(&restore->ctx, EBADMSG,
					"pfn %#" PRIx64 " is beyond what domain %u can have", pfn,
					restore->domid);
	}
	return 0;
}

/* Memory that became a hole, and holes that became memory again. */
static int follow_revoked(struct restore_ctx *restore, const struct record *rec)
{
	bool any = pfn_set_end(&restore->revoked) != 0;

	if (!any && rec->populated == rec->count)
		return 0;
	for (uint32_t i = 0; i < rec->count; i++) {
		uint64_t pfn = page_entry_pfn(rec->entries[i]);

		if (page_entry_type(rec->entries[i]) != PAGE_INVALID) {
			pfn_set_remove(&restore->revoked, pfn);
			continue;
		}
		if (restore->ops->pfn_has_memory(restore, pfn) &&
		    pfn_set_add(&restore->revoked, pfn))
			return ctx_fail_errno(&restore->ctx, errno,
					      "cannot keep account of pfn %#" PRIx64, pfn);
	}
	return 0;
}

/* What the stream revoked goes back to Xen. */
static int release_revoked(struct restore_ctx *restore)
{
	uint64_t pfns[PAGES_BATCH];
	uint32_t n = 0;

	for (uint64_t pfn = pfn_set_next(&restore->revoked, 0); pfn != UINT64_MAX;
	     pfn = pfn_set_next(&restore->revoked, pfn + 1)) {
		pfns[n++] = pfn;
		if (n < PAGES_BATCH)
			continue;
		if (restore->ops->release(restore, pfns, n))
			return -1;
		n = 0;
	}
	if (n && restore->ops->release(restore, pfns, n))
		return -1;
	pfn_set_release(&restore->revoked);
	return 0;
}

/*
 * A guest that gives pages back and takes as many elsewhere may have all it is allowed to: then what
 * it gave back has to go first.
 */
static int make_room(struct restore_ctx *restore, const struct record *rec)
{
	if (!restore->ops->pfn_is_gfn || pfn_set_end(&restore->revoked) == 0 ||
	    restore->pages_populated + rec->populated <= restore->info.max_pages)
		return 0;
	return release_revoked(restore);
}

int restore_pages_populate(struct restore_ctx *restore, const struct record *rec)
{
	if (make_room(restore, rec))
		return -1;
	return restore->ops->populate(restore, rec->entries, rec->count, rec->populated);
}

static int flush_batch(struct restore_ctx *restore, uint32_t n, const uint8_t **pages)
{
	if (n == 0)
		return 0;
	return restore->verifying ? compare_batch(restore, n, pages)
				  : receive_batch(restore, n, pages);
}

int restore_pages(struct restore_ctx *restore, const struct record *rec, const uint8_t *pages)
{
	const struct restore_ops *ops = restore->ops;
	uint32_t n = 0;

	if (check_pfns(restore, rec))
		return -1;
	if (!restore->verifying &&
	    (restore_pages_populate(restore, rec) || follow_revoked(restore, rec)))
		return -1;

	for (uint32_t i = 0; (rec->data_pages || restore->verifying) && i < rec->count; i++) {
		enum page_type type = page_entry_type(rec->entries[i]);
		uint64_t pfn = page_entry_pfn(rec->entries[i]);
		bool missing;

		if (restore->verifying && type == PAGE_INVALID && note_revoked(restore, pfn))
			return -1;
		if (!page_type_has_data(type))
			continue;
		missing = restore->verifying && !ops->pfn_has_memory(restore, pfn);
		/* A pfn twice in a batch would be read twice, then localised twice. Savers go
		   upwards, where that cannot be. */
		if (n == PAGES_BATCH || missing || (n && pfn <= restore->pfns[n - 1])) {
			if (flush_batch(restore, n, &pages))
				return -1;
			n = 0;
		}
		if (missing) {
			if (compare_missing(restore, pfn, &pages))
				return -1;
			continue;
		}
		restore->pfns[n] = pfn;
		restore->gfns[n] = ops->pfn_to_gfn(restore, pfn);
		restore->types[n++] = type;
	}
	return flush_batch(restore, n, &pages);
}

/* ---- kept ---------------------------------------------------------------------------------- */

/* The entries from `first` on that make the next part of a record: at most a batch of pages. */
static struct record next_part(const struct record *rec, uint32_t first)
{
	struct record part = {.type = rec->type, .entries = rec->entries + first};

	while (first + part.count < rec->count && part.count < KEPT_ENTRIES) {
		enum page_type type = page_entry_type(part.entries[part.count]);

		if (page_type_has_data(type)) {
			if (part.data_pages == PAGES_BATCH)
				break;
			part.data_pages++;
		}
		part.populated += page_type_is_populated(type);
		part.count++;
	}
	return part;
}

static int check_pages(struct restore_ctx *restore, const struct record *part, const uint8_t *page)
{
	for (uint32_t i = 0; part->data_pages && i < part->count; i++) {
		enum page_type type = page_entry_type(part->entries[i]);

		if (!page_type_has_data(type))
			continue;
		if (restore->ops->check_page(restore, page_entry_pfn(part->entries[i]), type, page))
			return -1;
		page += PAGE_OCTETS;
	}
	return 0;
}

static int keep_part(struct restore_ctx *restore, struct record *part)
{
	size_t octets = part->count * sizeof(*part->entries);
	uint64_t *entries = checkpoint_buffer_take(&restore->ctx, &restore->buffer, octets);
	uint8_t *pages = NULL;

	if (!entries)
		return -1;
	memcpy(entries, part->entries, octets);
	part->entries = entries;
	if (part->data_pages) {
		struct iovec iov[2] = {{.iov_len = (size_t)part->data_pages * PAGE_OCTETS}};

		pages = checkpoint_buffer_take(&restore->ctx, &restore->buffer, iov[0].iov_len);
		if (!pages)
			return -1;
		iov[0].iov_base = pages;
		if (read_pages(&restore->reader, iov, 1, part->data_pages) ||
		    check_pages(restore, part, pages))
			return -1;
	}
	return checkpoint_buffer_add(&restore->ctx, &restore->buffer, part, pages);
}

int restore_pages_keep(struct restore_ctx *restore, const struct record *rec)
{
	if (check_pfns(restore, rec))
		return -1;
	for (uint32_t first = 0; first < rec->count;) {
		struct record part = next_part(rec, first);

		first += part.count;
		if (keep_part(restore, &part))
			return -1;
	}
	return 0;
}

/* ---- at the end ---------------------------------------------------------------------------- */

int restore_pages_end(struct restore_ctx *restore)
{
	ctx_progress(&restore->ctx, restore->verifying ? verify_text : progress_text,
		     restore->pages_received, restore->pages_received);
	return release_revoked(restore);
}
