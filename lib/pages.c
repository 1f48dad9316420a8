/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pages.h"

#include <errno.h>
#include <inttypes.h>

#include "checksum.h"
#include "io.h"
#include "record.h"

/* Say what is wrong with the entry. */
static int fail_entry(struct xensr_ctx *ctx, uint64_t entry)
{
	enum page_type type = page_entry_type(entry);
	uint64_t pfn = page_entry_pfn(entry);

	if (!page_type_known(type))
		return ctx_fail(ctx, EBADMSG, "type %#x of pfn %#" PRIx64 " is unknown", type, pfn);
	if (pfn >= PFN_LIMIT_X86)
		return ctx_fail(ctx, EBADMSG, "pfn %#" PRIx64 " is beyond what x86 can address",
				pfn);
	return ctx_fail(ctx, EBADMSG,
			"type %#x of pfn %#" PRIx64 " is a page table, which an x86 HVM guest has "
			"not",
			type, pfn);
}

/* A bit for each type of page. */
struct type_sets {
	uint32_t good, with_data, populated;
};

static struct type_sets type_sets(uint32_t guest_type)
{
	struct type_sets sets = {0};

	for (unsigned t = 0; t < 16; t++) {
		enum page_type type = (enum page_type)t;
		bool good = page_type_known(type) &&
			    !(guest_type == GUEST_X86_HVM && page_type_is_table(type));

		sets.good |= (uint32_t)good << t;
		sets.with_data |= (uint32_t)page_type_has_data(type) << t;
		sets.populated |= (uint32_t)page_type_is_populated(type) << t;
	}
	return sets;
}

/* Entries that are looked at together. */
#define AT_ONCE 16u

/* Do they share a type, and has none of them a pfn that is too large? A loop without a branch. */
static bool are_alike(const uint64_t *entries)
{
	uint64_t differ = 0, any = 0;

	static_assert((PFN_LIMIT_X86 & (PFN_LIMIT_X86 - 1)) == 0, "else `any` says too little");
	for (unsigned i = 0; i < AT_ONCE; i++) {
		differ |= entries[i] ^ entries[0];
		any |= entries[i];
	}
	return differ >> PAGE_ENTRY_TYPE_SHIFT == 0 && page_entry_pfn(any) < PFN_LIMIT_X86;
}

/* Holes come by the million, so this looks up rather than asks, and at many of them at once. */
int pages_check_entries(struct xensr_ctx *ctx, uint32_t guest_type, const uint64_t *entries,
			uint32_t count, uint32_t *data_pages, uint32_t *populated)
{
	const struct type_sets sets = type_sets(guest_type);
	uint32_t with_data = 0, wanted = 0;

	for (uint32_t i = 0, n; i < count; i += n) {
		enum page_type type = page_entry_type(entries[i]);

		n = 1;
		if (i % AT_ONCE == 0 && count - i >= AT_ONCE && are_alike(entries + i))
			n = AT_ONCE;
		if (!(sets.good >> type & 1) || page_entry_pfn(entries[i]) >= PFN_LIMIT_X86)
			return fail_entry(ctx, entries[i]);
		with_data += n * (sets.with_data >> type & 1);
		wanted += n * (sets.populated >> type & 1);
	}
	*data_pages = with_data;
	*populated = wanted;
	return 0;
}

int pages_write(struct xensr_ctx *ctx, uint64_t *entries, uint32_t count, struct iovec *iov,
		size_t n)
{
	struct {
		struct wire_record_header record;
		struct wire_page_data pages;
	} head = {
		.record.type = REC_PAGE_DATA,
		.pages.count = count,
	};
	static_assert(sizeof(head) == 16, "no hole between the headers");
	size_t length = sizeof(head.pages) + count * sizeof(*entries);

	if (checksum_write_due(ctx, REC_PAGE_DATA))
		return -1;
	ctx_enter(ctx, record_title(REC_PAGE_DATA), REC_PAGE_DATA, ctx->offset);
	if (count == 0 || count > PAGES_BATCH)
		return ctx_fail(ctx, EINVAL, "%u entries, 1 to %u make a record", count,
				PAGES_BATCH);
	for (size_t i = PAGES_IOV_FIRST; i < n; i++)
		length += iov[i].iov_len;
	head.record.length = (uint32_t)length;
	iov[0].iov_base = &head;
	iov[0].iov_len = sizeof(head);
	iov[1].iov_base = entries;
	iov[1].iov_len = count * sizeof(*entries);
	if (io_writev(ctx, iov, n))
		return -1;
	ctx_leave(ctx);
	return 0;
}
