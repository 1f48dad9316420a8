/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "record.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "io.h"
#include "pages.h"

#define PV   (1u << GUEST_X86_PV)
#define HVM  (1u << GUEST_X86_HVM)
#define BOTH (PV | HVM)

#define NEED(type) (1u << (type))

/* A vcpu header and its blob. The limits of the blobs are those of Xen's structures. */
#define VCPU(octets) ((uint32_t)sizeof(struct wire_x86_pv_vcpu) + (octets))

/*
 * The format in one table (spec 1). Upper limits that the format does not fix are generous
 * multiples of what Xen's structures can hold and keep a damaged length from being believed.
 */
static const struct record_rule rules[REC_TYPES] = {
	[REC_END] = {"END", 0, 0, PHASE_MEMORY, BOTH, .needs = NEED(REC_PAGE_DATA)},
	[REC_PAGE_DATA] = {"PAGE_DATA", sizeof(struct wire_page_data) + 8, RECORD_LENGTH_MAX,
			   PHASE_MEMORY, BOTH, .pv_needs = NEED(REC_X86_PV_P2M_FRAMES)},
	[REC_X86_PV_INFO] = {"X86_PV_INFO", 8, 8, PHASE_STATIC, PV, .once = true},
	[REC_X86_PV_P2M_FRAMES] = {"X86_PV_P2M_FRAMES", 16, RECORD_LENGTH_MAX, PHASE_MEMORY, PV,
				   .needs = NEED(REC_X86_PV_INFO)},
	[REC_X86_PV_VCPU_BASIC] = {"X86_PV_VCPU_BASIC", VCPU(1), VCPU(0x1430), PHASE_MEMORY, PV,
				   .needs = NEED(REC_PAGE_DATA)},
	[REC_X86_PV_VCPU_EXTENDED] = {"X86_PV_VCPU_EXTENDED", VCPU(8), VCPU(128), PHASE_MEMORY, PV,
				      .needs = NEED(REC_PAGE_DATA), .may_be_empty = true},
	[REC_X86_PV_VCPU_XSAVE] = {"X86_PV_VCPU_XSAVE", VCPU(16), VCPU(1u << 20), PHASE_MEMORY, PV,
				   .needs = NEED(REC_PAGE_DATA), .may_be_empty = true},
	[REC_SHARED_INFO] = {"SHARED_INFO", PAGE_OCTETS, PAGE_OCTETS, PHASE_MEMORY, PV,
			     .needs = NEED(REC_PAGE_DATA), .once = true},
	[REC_X86_TSC_INFO] = {"X86_TSC_INFO", 24, 24, PHASE_MEMORY, BOTH, .once = true},
	[REC_HVM_CONTEXT] = {"HVM_CONTEXT", 8, 32u << 20, PHASE_MEMORY, HVM, .once = true},
	/* More than once in images that were converted from Xen 4.5 and earlier. */
	[REC_HVM_PARAMS] = {"HVM_PARAMS", 8 + 16, 8 + 16 * 1024, PHASE_MEMORY, HVM,
			    .may_be_empty = true},
	[REC_TOOLSTACK] = {"TOOLSTACK", 0, RECORD_LENGTH_MAX, 0, BOTH},
	[REC_X86_PV_VCPU_MSRS] = {"X86_PV_VCPU_MSRS", VCPU(16), VCPU(16 * 4096), PHASE_MEMORY, PV,
				  .needs = NEED(REC_PAGE_DATA), .may_be_empty = true},
	[REC_VERIFY] = {"VERIFY", 0, 0, PHASE_MEMORY, BOTH, .needs = NEED(REC_PAGE_DATA),
			.once = true},
	[REC_CHECKPOINT] = {"CHECKPOINT", 0, 0, PHASE_MEMORY, BOTH, .needs = NEED(REC_PAGE_DATA)},
	[REC_CHECKPOINT_DIRTY_PFN_LIST] = {"CHECKPOINT_DIRTY_PFN_LIST", 0, RECORD_LENGTH_MAX, 0,
					   BOTH},
	[REC_STATIC_DATA_END] = {"STATIC_DATA_END", 0, 0, PHASE_STATIC, BOTH, .v3_only = true,
				 .once = true},
	[REC_X86_CPUID_POLICY] = {"X86_CPUID_POLICY", 24, 24 * 16384, PHASE_STATIC, BOTH,
				  .v3_only = true, .once = true},
	[REC_X86_MSR_POLICY] = {"X86_MSR_POLICY", 16, 16 * 16384, PHASE_STATIC, BOTH,
				.v3_only = true, .once = true},
};

static const char *const titles[REC_TYPES] = {
	[REC_END] = "END record",
	[REC_PAGE_DATA] = "PAGE_DATA record",
	[REC_X86_PV_INFO] = "X86_PV_INFO record",
	[REC_X86_PV_P2M_FRAMES] = "X86_PV_P2M_FRAMES record",
	[REC_X86_PV_VCPU_BASIC] = "X86_PV_VCPU_BASIC record",
	[REC_X86_PV_VCPU_EXTENDED] = "X86_PV_VCPU_EXTENDED record",
	[REC_X86_PV_VCPU_XSAVE] = "X86_PV_VCPU_XSAVE record",
	[REC_SHARED_INFO] = "SHARED_INFO record",
	[REC_X86_TSC_INFO] = "X86_TSC_INFO record",
	[REC_HVM_CONTEXT] = "HVM_CONTEXT record",
	[REC_HVM_PARAMS] = "HVM_PARAMS record",
	[REC_TOOLSTACK] = "TOOLSTACK record",
	[REC_X86_PV_VCPU_MSRS] = "X86_PV_VCPU_MSRS record",
	[REC_VERIFY] = "VERIFY record",
	[REC_CHECKPOINT] = "CHECKPOINT record",
	[REC_CHECKPOINT_DIRTY_PFN_LIST] = "CHECKPOINT_DIRTY_PFN_LIST record",
	[REC_STATIC_DATA_END] = "STATIC_DATA_END record",
	[REC_X86_CPUID_POLICY] = "X86_CPUID_POLICY record",
	[REC_X86_MSR_POLICY] = "X86_MSR_POLICY record",
};

const struct record_rule *record_rule(uint32_t type)
{
	return type < REC_TYPES && rules[type].name ? &rules[type] : NULL;
}

const char *record_title(uint32_t type)
{
	if (type < REC_TYPES && titles[type])
		return titles[type];
	if (type == REC_CHECKSUM)
		return "CHECKSUM record";
	return type & RECORD_OPTIONAL ? "optional record" : "unknown record";
}

/* ---- reading --------------------------------------------------------------------------- */

void reader_init(struct reader *reader, struct xensr_ctx *ctx, bool checkpointed)
{
	*reader = (struct reader){.ctx = ctx, .checkpointed = checkpointed};
}

void reader_release(struct reader *reader)
{
	free(reader->buffer);
	reader->buffer = NULL;
	reader->buffer_size = 0;
	checksum_free(reader->ctx->sum);
	reader->ctx->sum = NULL;
}

int headers_check_image(struct xensr_ctx *ctx, const struct wire_image_header *wire,
			struct stream_headers *headers)
{
	uint32_t id = be32toh(wire->id);
	uint32_t version = be32toh(wire->version);

	if (wire->marker != IMAGE_MARKER)
		return ctx_fail(ctx, EBADMSG,
				"no marker: this is not a domain stream of Xen 4.6 or later (an "
				"older image must be converted first)");
	if (id != IMAGE_ID)
		return ctx_fail(ctx, EBADMSG, "id is %#x, not %#x (\"XENF\")", id, IMAGE_ID);
	if (version < IMAGE_VERSION_LEAST || version > IMAGE_VERSION)
		return ctx_fail(ctx, EBADMSG, "version %u is unknown, %u to %u are known", version,
				IMAGE_VERSION_LEAST, IMAGE_VERSION);
	if (be16toh(wire->options) & IMAGE_OPTION_BIG_ENDIAN)
		return ctx_fail(ctx, EBADMSG, "the body is big-endian; x86 reads little-endian");
	headers->version = version;
	return 0;
}

int headers_check_domain(struct xensr_ctx *ctx, const struct wire_domain_header *wire,
			 struct stream_headers *headers)
{
	if (wire->type != GUEST_X86_PV && wire->type != GUEST_X86_HVM)
		return ctx_fail(ctx, EBADMSG, "guest type %#x is unknown", wire->type);
	if (wire->page_shift != PAGE_SHIFT_X86)
		return ctx_fail(ctx, EBADMSG, "page shift is %u, must be %u", wire->page_shift,
				PAGE_SHIFT_X86);
	headers->guest_type = wire->type;
	headers->xen_major = wire->xen_major;
	headers->xen_minor = wire->xen_minor;
	return 0;
}

int read_headers(struct reader *reader)
{
	struct xensr_ctx *ctx = reader->ctx;
	struct wire_image_header image;
	struct wire_domain_header domain;

	ctx_enter(ctx, "image header", XENSR_NO_RECORD, ctx->offset);
	if (io_read(ctx, &image, sizeof(image)) ||
	    headers_check_image(ctx, &image, &reader->headers))
		return -1;

	ctx_enter(ctx, "domain header", XENSR_NO_RECORD, ctx->offset);
	if (io_read(ctx, &domain, sizeof(domain)) ||
	    headers_check_domain(ctx, &domain, &reader->headers))
		return -1;
	memcpy(reader->front, &image, sizeof(image));
	memcpy(reader->front + sizeof(image), &domain, sizeof(domain));
	phase_start(&reader->phase, &reader->headers, reader->checkpointed);
	ctx_leave(ctx);
	return 0;
}

/* Make room in the buffer, keeping what is in it. */
static int reader_reserve(struct reader *reader, size_t octets)
{
	uint8_t *bigger;

	if (octets <= reader->buffer_size)
		return 0;
	bigger = realloc(reader->buffer, octets);
	if (!bigger)
		return ctx_fail_errno(reader->ctx, ENOMEM, "no %zu octets for the body", octets);
	reader->buffer = bigger;
	reader->buffer_size = octets;
	return 0;
}

/*
 * Read `length` octets of body to buffer[have…]. The buffer grows no faster than octets
 * arrive, so a length alone never makes us allocate.
 */
static int read_body(struct reader *reader, size_t have, size_t length)
{
	const size_t first = 65536;
	size_t end = have + length;

	while (have < end) {
		size_t now = end - have;

		if (reader->buffer_size < end && now > (have > first ? have : first))
			now = have > first ? have : first;
		if (reader_reserve(reader, have + now) ||
		    io_read(reader->ctx, reader->buffer + have, now))
			return -1;
		have += now;
	}
	return 0;
}

/* What a saver's usual PAGE_DATA record has before its pages. */
#define PAGE_DATA_FRONT (sizeof(struct wire_page_data) + PAGES_BATCH * sizeof(uint64_t))

/*
 * Fetch the front of a PAGE_DATA record in one call: as much of the body as its entries usually
 * take, and the next record's header too if that is all of it. What of it turns out to be pages
 * is kept for read_pages. Returns the octets in the buffer, or -1.
 */
static int64_t read_page_data_front(struct reader *reader, uint32_t length)
{
	size_t front = length < PAGE_DATA_FRONT ? length : PAGE_DATA_FRONT;
	struct iovec iov[2] = {
		{.iov_len = front},
		{.iov_base = &reader->ahead},
	};

	if (reader_reserve(reader, PAGE_DATA_FRONT))
		return -1;
	iov[0].iov_base = reader->buffer;
	if (front == length) {
		iov[1].iov_len = sizeof(reader->ahead);
		reader->have_ahead = true;
	}
	return io_readv(reader->ctx, iov, 2) ? -1 : (int64_t)front;
}

int page_data_check_count(struct xensr_ctx *ctx, uint32_t count, uint32_t length)
{
	uint64_t room = (length - sizeof(struct wire_page_data)) / sizeof(uint64_t);

	if (count == 0)
		return ctx_fail(ctx, EBADMSG, "has no entries");
	if (count > room)
		return ctx_fail(ctx, EBADMSG,
				"claims %u entries, but its %u octets have room for %" PRIu64,
				count, length, room);
	return 0;
}

int page_data_check_length(struct xensr_ctx *ctx, uint32_t count, uint32_t data_pages,
			   uint32_t length)
{
	uint64_t expect = page_data_front(count) + (uint64_t)data_pages * PAGE_OCTETS;

	if (expect != length)
		return ctx_fail(ctx, EBADMSG,
				"is %u octets long, but %u entries with %u pages make %" PRIu64,
				length, count, data_pages, expect);
	return 0;
}

/* The count and entries of a PAGE_DATA record; its pages are left to read_pages. */
static int read_page_entries(struct reader *reader, struct record *rec)
{
	struct xensr_ctx *ctx = reader->ctx;
	struct wire_page_data head;
	int64_t have = read_page_data_front(reader, rec->length);
	uint64_t front;

	if (have < 0)
		return -1;
	memcpy(&head, reader->buffer, sizeof(head));
	if (page_data_check_count(ctx, head.count, rec->length))
		return -1;
	front = page_data_front(head.count);
	if (front > (uint64_t)have && read_body(reader, (size_t)have, front - (size_t)have))
		return -1;

	rec->entries = (const uint64_t *)(const void *)(reader->buffer + sizeof(head));
	rec->count = head.count;
	if (pages_check_entries(ctx, reader->headers.guest_type, rec->entries, rec->count,
				&rec->data_pages, &rec->populated))
		return -1;
	if (page_data_check_length(ctx, rec->count, rec->data_pages, rec->length))
		return -1;
	reader->pages_left = rec->data_pages;
	reader->early = reader->buffer + front;
	reader->early_octets = front < (uint64_t)have ? (size_t)((uint64_t)have - front) : 0;
	return 0;
}

int record_check_limit(struct xensr_ctx *ctx, const struct wire_record_header *header)
{
	if (header->length > RECORD_LENGTH_MAX)
		return ctx_fail(ctx, EBADMSG,
				"type %#x: length %u is over the format's limit of %u",
				header->type, header->length, RECORD_LENGTH_MAX);
	return 0;
}

static int read_record_header(struct reader *reader, struct wire_record_header *header)
{
	struct xensr_ctx *ctx = reader->ctx;

	if (reader->have_ahead) {
		*header = reader->ahead;
		reader->have_ahead = false;
	} else {
		ctx_enter(ctx, "record header", XENSR_NO_RECORD, ctx->offset);
		if (io_read(ctx, header, sizeof(*header)))
			return -1;
	}
	ctx_enter(ctx, record_title(header->type), header->type, ctx->offset - sizeof(*header));
	return record_check_limit(ctx, header);
}

int record_check_length(struct xensr_ctx *ctx, const struct record_rule *rule, uint32_t length)
{
	if (length < rule->least && !(rule->may_be_empty && length == RECORD_EMPTY_BODY))
		return ctx_fail(ctx, EBADMSG, "is %u octets long, at least %u needed", length,
				rule->least);
	if (length > rule->most)
		return ctx_fail(ctx, EBADMSG, "is %u octets long, at most %u allowed", length,
				rule->most);
	return 0;
}

/* The rest of a record of a known type whose header was good. */
static int read_known(struct reader *reader, struct record *rec)
{
	const struct record_rule *rule = record_rule(rec->type);

	if (record_check_length(reader->ctx, rule, rec->length) ||
	    phase_accept(reader->ctx, &reader->phase, rec->type, rec->length,
			 &rec->static_data_inferred))
		return -1;
	if (rec->type == REC_PAGE_DATA)
		return read_page_entries(reader, rec);
	if (read_body(reader, 0, (size_t)rec->length + record_padding(rec->length)))
		return -1;
	rec->body = reader->buffer;
	if (rec->type == REC_X86_PV_INFO)
		reader->guest_width = *(const uint8_t *)rec->body;
	if (record_check_body(reader->ctx, rec, reader->guest_width))
		return -1;
	if (rec->length < rule->least)
		rec->length = 0;
	return 0;
}

/* A CHECKSUM record whose header was read: checked, and that is all. */
static int read_checksum(struct reader *reader, const struct wire_record_header *header)
{
	struct xensr_ctx *ctx = reader->ctx;
	struct wire_checksum now;
	bool first = !reader->sums.begun;

	if (checksum_read_length(ctx, header->length))
		return -1;
	if (ctx->sum)
		now = checksum_record(ctx->sum, CHECKSUM_BETWEEN);
	if (read_body(reader, 0, (size_t)header->length + record_padding(header->length)))
		return -1;
	if (!first)
		return checksum_read_next(ctx, &reader->sums, ctx->sum ? &now : NULL,
					  reader->buffer, header->length);
	memcpy(reader->front + STREAM_HEADERS, header, sizeof(*header));
	return checksum_read_first(ctx, &reader->sums, reader->front, sizeof(reader->front),
				   reader->buffer, header->length);
}

/* An optional record of a type that we do not know, with its header read. */
static int read_optional(struct reader *reader, struct record *rec)
{
	struct xensr_ctx *ctx = reader->ctx;
	size_t octets = (size_t)rec->length + record_padding(rec->length);

	if (reader->keep_optional) {
		if (read_body(reader, 0, octets))
			return -1;
		rec->body = reader->buffer;
		return 0;
	}
	ctx_log_skipped(ctx, rec->type, rec->length);
	return io_skip(ctx, octets);
}

int read_record(struct reader *reader, struct record *rec)
{
	struct xensr_ctx *ctx = reader->ctx;

	if (reader->pages_left)
		return ctx_fail(ctx, EINVAL, "%u of its pages were not taken", reader->pages_left);

	for (;;) {
		struct wire_record_header header;

		if (read_record_header(reader, &header))
			return -1;
		if (checksum_read_order(ctx, &reader->sums, header.type))
			return -1;
		*rec = (struct record){.type = header.type, .length = header.length};
		/* Within checkpoints it is an optional record as any other. */
		if (header.type == REC_CHECKSUM && !reader->checkpointed) {
			if (read_checksum(reader, &header))
				return -1;
			reader->sums.begun = true;
			continue;
		}
		reader->sums.begun = true;
		if (record_rule(header.type))
			return read_known(reader, rec);
		if (!(header.type & RECORD_OPTIONAL))
			return ctx_fail(ctx, EBADMSG, "type %#x is unknown", header.type);
		if (read_optional(reader, rec))
			return -1;
		if (reader->keep_optional)
			return 0;
	}
}

/* Fill the vectors from what came early with the entries, as far as that goes. */
static void take_early(struct reader *reader, struct iovec **iov, size_t *n)
{
	while (reader->early_octets && *n) {
		size_t now = reader->early_octets < (*iov)->iov_len ? reader->early_octets
								    : (*iov)->iov_len;

		memcpy((*iov)->iov_base, reader->early, now);
		reader->early += now;
		reader->early_octets -= now;
		(*iov)->iov_base = (uint8_t *)(*iov)->iov_base + now;
		(*iov)->iov_len -= now;
		if ((*iov)->iov_len)
			break;
		(*iov)++;
		(*n)--;
	}
}

int read_pages(struct reader *reader, struct iovec *iov, size_t n, uint32_t pages)
{
	struct xensr_ctx *ctx = reader->ctx;
	bool ahead;

	if (pages > reader->pages_left)
		return ctx_fail(ctx, EINVAL, "%u pages asked for, %u are left", pages,
				reader->pages_left);
	if (pages == 0)
		return 0;

	take_early(reader, &iov, &n);
	reader->pages_left -= pages;
	ahead = reader->pages_left == 0 && !reader->have_ahead;
	if (ahead) {
		iov[n].iov_base = &reader->ahead;
		iov[n].iov_len = sizeof(reader->ahead);
		n++;
	}
	if (io_readv(ctx, iov, n))
		return -1;
	reader->have_ahead |= ahead;
	return 0;
}

/* ---- writing --------------------------------------------------------------------------- */

int write_headers(struct xensr_ctx *ctx, uint32_t guest_type, uint32_t xen_major,
		  uint32_t xen_minor)
{
	struct wire_image_header image = {
		.marker = IMAGE_MARKER,
		.id = htobe32(IMAGE_ID),
		.version = htobe32(IMAGE_VERSION),
	};
	struct wire_domain_header domain = {
		.type = guest_type,
		.page_shift = PAGE_SHIFT_X86,
		.xen_major = xen_major,
		.xen_minor = xen_minor,
	};
	struct iovec iov[] = {
		{.iov_base = &image, .iov_len = sizeof(image)},
		{.iov_base = &domain, .iov_len = sizeof(domain)},
	};

	ctx_enter(ctx, "headers", XENSR_NO_RECORD, ctx->offset);
	if (io_writev(ctx, iov, 2))
		return -1;
	ctx_leave(ctx);
	return ctx->sum ? checksum_write_first(ctx) : 0;
}

int write_record(struct xensr_ctx *ctx, uint32_t type, const struct iovec *body, size_t n)
{
	static const uint8_t zeroes[RECORD_ALIGN];
	struct wire_record_header header = {.type = type};
	struct iovec iov[RECORD_VECTORS + 2] = {
		{.iov_base = &header, .iov_len = sizeof(header)},
	};
	uint64_t length = 0;

	if (checksum_write_due(ctx, type))
		return -1;
	ctx_enter(ctx, record_title(type), type, ctx->offset);
	if (n > RECORD_VECTORS)
		return ctx_fail(ctx, EINVAL, "%zu vectors, at most %u", n, RECORD_VECTORS);
	for (size_t i = 0; i < n; i++) {
		iov[1 + i] = body[i];
		length += body[i].iov_len;
	}
	if (length > RECORD_LENGTH_MAX)
		return ctx_fail(ctx, EMSGSIZE,
				"length %" PRIu64 " is over the format's limit of %u", length,
				RECORD_LENGTH_MAX);
	header.length = (uint32_t)length;
	iov[1 + n].iov_base = (void *)(uintptr_t)zeroes;
	iov[1 + n].iov_len = record_padding(header.length);
	if (io_writev(ctx, iov, n + 2))
		return -1;
	ctx_leave(ctx);
	return 0;
}
