/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "pages.h"
#include "record.h"
#include "walk.h"

#define BIT(type) (1u << (type))

/* Pages that are handed to ops at once. */
#define PAGES_AT_ONCE 256u

/* Returns 1 to walk on, 0 if it cannot, -1 with the error set. */
static int walk_headers(struct walk *walk)
{
	struct xensr_ctx *ctx = &walk->source->ctx;
	struct stream_headers *headers = &walk->image->headers;
	struct wire_image_header image;
	struct wire_domain_header domain;

	walk->image->domain_start = ctx->offset;
	ctx_enter(ctx, "image header", XENSR_NO_RECORD, ctx->offset);
	if (source_read(walk->source, &image, sizeof(image)) ||
	    headers_check_image(ctx, &image, headers))
		goto bad;
	walk_reserved(walk, "reserved field", image.reserved, sizeof(image.reserved));
	if (image.options)
		walk_find(walk, WALK_WARNING, "options %#x are unknown",
			  __builtin_bswap16(image.options));

	ctx_enter(ctx, "domain header", XENSR_NO_RECORD, ctx->offset);
	if (source_read(walk->source, &domain, sizeof(domain)) ||
	    headers_check_domain(ctx, &domain, headers))
		goto bad;
	walk_reserved(walk, "reserved field", &domain.reserved, sizeof(domain.reserved));
	memcpy(walk->front, &image, sizeof(image));
	memcpy(walk->front + sizeof(image), &domain, sizeof(domain));
	phase_start(&walk->phase, headers, walk->phase.checkpointed);
	walk->domain_begun = true;
	return 1;
bad:
	walk->stopped = true;
	return walk_tell_error(walk);
}

/*
 * A record came where it may not: once told, walk on as if what it needs had come, or each of the
 * records that follow would be a finding, too.
 */
static void forgive(struct walk *walk, const struct record_rule *rule, uint32_t type)
{
	struct phase *phase = &walk->phase;

	phase->seen |= rule->needs | rule->pv_needs | BIT(type);
	if (type == REC_STATIC_DATA_END ||
	    (phase->id == PHASE_STATIC && !(rule->phases & PHASE_STATIC) && rule->phases))
		phase->id = PHASE_MEMORY;
	if (type == REC_CHECKPOINT)
		phase->seen_since = 0;
	else
		phase->seen_since |= BIT(type);
}

/* The reserved fields of the record in walk->body. */
static void check_reserved(struct walk *walk, uint32_t type, uint32_t length)
{
	const uint8_t *body = walk->body.octets;

	switch (type) {
	case REC_X86_PV_INFO:
		walk_reserved(walk, "reserved field", body + 2, 6);
		break;
	case REC_X86_PV_VCPU_BASIC:
	case REC_X86_PV_VCPU_EXTENDED:
	case REC_X86_PV_VCPU_XSAVE:
	case REC_X86_PV_VCPU_MSRS:
	case REC_HVM_PARAMS:
		walk_reserved(walk, "reserved field", body + 4, 4);
		break;
	case REC_X86_TSC_INFO:
		walk_reserved(walk, "reserved field", body + 20, 4);
		break;
	default:
		break;
	}
	if (length < record_rule(type)->least)
		walk_find(walk, WALK_WARNING, "brings nothing; a restore ignores it");
}

/* Any known record but PAGE_DATA. Returns as walk_record_header. */
static int walk_plain(struct walk *walk, struct walk_record *record, bool framed)
{
	struct xensr_ctx *ctx = &walk->source->ctx;
	struct record rec = {.type = record->place.type, .length = record->place.length};
	int rc = walk_body(walk, rec.length);

	if (rc <= 0)
		return rc;
	rec.body = walk->body.octets;
	record->body = walk->body.octets;
	if (!framed)
		return 1;
	if (rec.type == REC_X86_PV_INFO)
		walk->image->guest_width = walk->body.octets[0];
	/* Without it the inside of others cannot be checked; that it lacks has been told. */
	if (record_rule(rec.type)->guests == 1u << GUEST_X86_PV && rec.type != REC_X86_PV_INFO &&
	    walk->image->guest_width != 4 && walk->image->guest_width != 8) {
		record->good = false;
		return 1;
	}
	if (record_check_body(ctx, &rec, walk->image->guest_width)) {
		record->good = false;
		return walk_tell_error(walk) ? -1 : 1;
	}
	check_reserved(walk, rec.type, rec.length);
	return 1;
}

static void check_entries_reserved(struct walk *walk, const uint64_t *entries, uint32_t count)
{
	const uint64_t reserved = ~PAGE_ENTRY_PFN_MASK & ((1ull << PAGE_ENTRY_TYPE_SHIFT) - 1);
	uint64_t any = 0;

	for (uint32_t i = 0; i < count; i++)
		any |= entries[i];
	if (any & reserved)
		walk_find(walk, WALK_WARNING, "reserved bits of an entry are not zero");
}

/* Count and entries into walk->body. Returns 1; 0 if the input ended, -1 with the error set. */
static int walk_entries(struct walk *walk, struct walk_record *record, uint64_t *left)
{
	struct xensr_ctx *ctx = &walk->source->ctx;
	struct image_record *place = &record->place;
	struct wire_page_data head;
	uint32_t populated;
	int rc;

	if (source_read(walk->source, &head, sizeof(head)))
		goto lost;
	*left -= sizeof(head);
	walk_reserved(walk, "reserved field", &head.reserved, sizeof(head.reserved));
	if (page_data_check_count(ctx, head.count, place->length))
		goto bad;
	/* A multiple of eight: no padding. */
	rc = walk_body(walk, head.count * (uint32_t)sizeof(uint64_t));
	if (rc <= 0)
		return rc;
	*left -= (uint64_t)head.count * sizeof(uint64_t);
	place->count = head.count;
	record->entries = (const uint64_t *)(const void *)walk->body.octets;
	if (pages_check_entries(ctx, walk->image->headers.guest_type, record->entries, head.count,
				&place->data_pages, &populated) ||
	    page_data_check_length(ctx, head.count, place->data_pages, place->length))
		goto bad;
	check_entries_reserved(walk, record->entries, head.count);
	record->pages_offset = ctx->offset;
	return 1;
lost:
	return walk_lost(walk);
bad:
	record->entries = NULL;
	record->good = false;
	place->count = place->data_pages = 0;
	return walk_tell_error(walk) ? -1 : 1;
}

/* Hand the pages of the record to ops. They are read behind the entries, in walk->body. */
static int walk_pages(struct walk *walk, const struct walk_record *record)
{
	static uint8_t octets[PAGES_AT_ONCE * PAGE_OCTETS];
	uint32_t pages = record->place.data_pages;

	for (uint32_t first = 0; first < pages && !walk->stopped;) {
		uint32_t n = pages - first < PAGES_AT_ONCE ? pages - first : PAGES_AT_ONCE;

		if (source_read(walk->source, octets, (size_t)n * PAGE_OCTETS))
			return walk_lost(walk);
		if (walk->ops->pages(walk->data, record, first, n, octets))
			walk->stopped = true;
		first += n;
	}
	return 1;
}

/* Hand those pages to ops that are of one of these types. Returns as walk_record_header. */
static int walk_wanted_types(struct walk *walk, const struct walk_record *record, uint32_t types)
{
	static uint8_t octets[PAGE_OCTETS];
	uint64_t passed = 0;

	for (uint32_t i = 0; i < record->place.count && !walk->stopped; i++) {
		enum page_type type = page_entry_type(record->entries[i]);

		if (!page_type_has_data(type))
			continue;
		if (!(types >> type & 1)) {
			passed++;
			continue;
		}
		if (source_skip(walk->source, passed * PAGE_OCTETS) ||
		    source_read(walk->source, octets, sizeof(octets)))
			return walk_lost(walk);
		passed = 0;
		if (walk->ops->page(walk->data, record, i, octets))
			walk->stopped = true;
	}
	return source_skip(walk->source, passed * PAGE_OCTETS) ? walk_lost(walk) : 1;
}

static int walk_wanted(struct walk *walk, const struct walk_record *record, uint64_t octets)
{
	uint32_t types = walk->ops->wanted(walk->data, record);
	int rc;

	if (!types)
		return walk_skip(walk, octets);
	rc = walk_wanted_types(walk, record, types);
	if (walk->ops->page(walk->data, record, record->place.count, NULL))
		walk->stopped = true;
	return rc;
}

/* Returns as walk_record_header. */
static int walk_page_data(struct walk *walk, struct walk_record *record)
{
	uint64_t left = record->place.length;
	int rc = walk_entries(walk, record, &left);

	if (rc <= 0)
		return rc;
	walk_tell_record(walk, record);
	if (record->entries && walk->ops->pages)
		return walk_pages(walk, record);
	if (record->entries && walk->ops->wanted && !walk->stopped)
		return walk_wanted(walk, record, left);
	return walk_skip(walk, left);
}

/* Length and order of a record of a known type. Returns 0 with record->good and *framed, or -1. */
static int check_frame(struct walk *walk, struct walk_record *record, bool *framed)
{
	struct xensr_ctx *ctx = &walk->source->ctx;
	uint32_t type = record->place.type;
	const struct record_rule *rule = record_rule(type);
	bool inferred;

	record->good = *framed = true;
	if (record_check_length(ctx, rule, record->place.length)) {
		record->good = *framed = false;
		forgive(walk, rule, type);
		return walk_tell_error(walk);
	}
	/* The first CHECKPOINT tells that it is a checkpointed stream. */
	if (type == REC_CHECKPOINT && !(walk->phase.seen & BIT(REC_VERIFY)))
		walk->phase.checkpointed = true;
	if (phase_accept(ctx, &walk->phase, type, record->place.length, &inferred)) {
		record->good = false;
		forgive(walk, rule, type);
		if (walk_tell_error(walk))
			return -1;
	}
	return 0;
}

/*
 * What a CHECKSUM record says against what was read. After the first that does not match, or is out
 * of place, no more is said of those that follow.
 */
static int check_checksum(struct walk *walk, const struct wire_checksum *now, uint32_t length)
{
	struct xensr_ctx *ctx = &walk->source->ctx;
	bool first = !walk->sums.begun;
	int rc;

	walk->sums.frames_only = walk->source->skip == SKIP_SEEK;
	if (first)
		rc = checksum_read_first(ctx, &walk->sums, walk->front, sizeof(walk->front),
					 walk->body.octets, length);
	else
		rc = checksum_read_next(ctx, &walk->sums, now, walk->body.octets, length);
	if (rc) {
		walk->sums.state = CHECKSUM_UNKNOWN;
		walk->sums.closed = false;
		return -1;
	}
	if (first && walk->sums.state == CHECKSUM_UNKNOWN)
		walk_find(walk, WALK_WARNING, "algorithm %u is unknown: not checked",
			  walk->sums.algorithm);
	return 0;
}

/* No record of Xen's: record->known stays false. Returns as walk_record_header. */
static int walk_checksum(struct walk *walk, struct walk_record *record,
			 const struct wire_record_header *header)
{
	struct xensr_ctx *ctx = &walk->source->ctx;
	uint32_t length = record->place.length;
	struct wire_checksum now;
	int rc;

	record->good = true;
	if (checksum_read_length(ctx, length)) {
		record->good = false;
		return walk_tell_error(walk) ? -1 : walk_skip(walk, length);
	}
	memcpy(walk->front + STREAM_HEADERS, header, sizeof(*header));
	if (ctx->sum)
		now = checksum_record(ctx->sum, CHECKSUM_BETWEEN);
	rc = walk_body(walk, length);
	if (rc <= 0)
		return rc;
	record->body = walk->body.octets;
	if (walk->phase.checkpointed)
		walk_find(walk, WALK_WARNING, "is not looked at in a checkpointed stream");
	else if (walk->ops->checksums && check_checksum(walk, ctx->sum ? &now : NULL, length)) {
		record->good = false;
		if (walk_tell_error(walk))
			return -1;
	}
	walk_tell_record(walk, record);
	return 1;
}

/* Does a record come where the checksums let it? */
static int check_checksum_order(struct walk *walk, uint32_t type)
{
	if (checksum_read_order(&walk->source->ctx, &walk->sums, type) == 0)
		return 0;
	walk->sums.state = CHECKSUM_UNKNOWN;
	walk->sums.closed = false;
	return walk_tell_error(walk);
}

static int walk_record(struct walk *walk, struct walk_record *record)
{
	uint32_t type = record->place.type;
	bool framed;
	int rc;

	record->known = record_rule(type);
	if (!record->known) {
		if (!(type & RECORD_OPTIONAL))
			walk_find(walk, WALK_ERROR, "type %#x is unknown", type);
		record->good = type & RECORD_OPTIONAL;
		walk_tell_record(walk, record);
		return walk_skip(walk, record->place.length);
	}
	if (check_frame(walk, record, &framed))
		return -1;
	if (type == REC_PAGE_DATA && framed)
		return walk_page_data(walk, record);
	if (type == REC_PAGE_DATA) {
		walk_tell_record(walk, record);
		return walk_skip(walk, record->place.length);
	}
	rc = walk_plain(walk, record, framed);
	if (rc > 0)
		walk_tell_record(walk, record);
	return rc;
}

/*
 * A CHECKPOINT came. In a libxl stream CHECKPOINT_END completes it. After an error no restore gets
 * this far.
 */
static void note_checkpoint(struct walk *walk)
{
	walk->checkpoints++;
	if (walk->in_libxl) {
		walk->in_checkpoint = true;
		walk->libxl_seen = 0;
	} else if (!walk->met_error) {
		walk->image->checkpoints = walk->checkpoints;
		walk->image->complete = true;
	}
}

int walk_domain(struct walk *walk)
{
	struct xensr_ctx *ctx = &walk->source->ctx;

	if (!walk->domain_begun) {
		int rc = walk_headers(walk);

		if (rc <= 0)
			return rc;
	}
	while (!walk->stopped) {
		struct wire_record_header header;
		struct walk_record record = {0};
		int rc = walk_record_header(walk, &header);

		if (rc <= 0)
			return rc;
		ctx_enter(ctx, record_title(header.type), header.type,
			  ctx->offset - sizeof(header));
		if (record_check_limit(ctx, &header)) {
			walk->stopped = true;
			return walk_tell_error(walk);
		}
		record.place = (struct image_record){
			.offset = ctx->record_offset,
			.type = header.type,
			.length = header.length,
			.layer = LAYER_DOMAIN,
			.checkpoint = walk->checkpoints,
		};
		if (check_checksum_order(walk, header.type))
			return -1;
		rc = header.type == REC_CHECKSUM ? walk_checksum(walk, &record, &header)
						 : walk_record(walk, &record);
		walk->sums.begun = true;
		if (rc <= 0)
			return rc;
		if (header.type == REC_CHECKPOINT && header.length == 0) {
			note_checkpoint(walk);
			if (walk->in_libxl)
				return 0;
		}
		if (header.type == REC_END && header.length == 0) {
			walk->domain_ended = true;
			walk->ended = !walk->in_libxl;
			if (!walk->in_libxl && !walk->met_error)
				walk->image->complete = true;
			return 0;
		}
	}
	return 0;
}
