/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "checksum.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "io.h"
#include "record.h"

struct checksum {
	XXH3_state_t *state; /* aligned as it has to be */
	uint64_t octets;     /* in state */
	uint64_t written_at; /* `octets` when the last record was written */
	unsigned lag;
	size_t held_octets;
	uint8_t held[CHECKSUM_LAG_MAX]; /* the last octets added, not in state yet */
};

struct checksum *checksum_new(unsigned lag)
{
	struct checksum *sum = calloc(1, sizeof(*sum));

	if (!sum)
		return NULL;
	sum->lag = lag < CHECKSUM_LAG_MAX ? lag : CHECKSUM_LAG_MAX;
	sum->state = XXH3_createState();
	if (!sum->state) {
		free(sum);
		return NULL;
	}
	(void)XXH3_128bits_reset(sum->state);
	return sum;
}

void checksum_free(struct checksum *sum)
{
	if (!sum)
		return;
	(void)XXH3_freeState(sum->state);
	free(sum);
}

static void settle(struct checksum *sum, const void *octets, size_t n)
{
	(void)XXH3_128bits_update(sum->state, octets, n);
	sum->octets += n;
}

void checksum_add(struct checksum *sum, const void *octets, size_t n)
{
	const uint8_t *from = octets;
	size_t out, keep;

	if (n >= sum->lag) {
		settle(sum, sum->held, sum->held_octets);
		settle(sum, from, n - sum->lag);
		memcpy(sum->held, from + n - sum->lag, sum->lag);
		sum->held_octets = sum->lag;
		return;
	}
	out = sum->held_octets + n > sum->lag ? sum->held_octets + n - sum->lag : 0;
	keep = sum->held_octets - out;
	settle(sum, sum->held, out);
	memmove(sum->held, sum->held + out, keep);
	memcpy(sum->held + keep, from, n);
	sum->held_octets = keep + n;
}

void checksum_add_vectors(struct checksum *sum, const struct iovec *iov, size_t n)
{
	for (; n; iov++) {
		size_t now = n < iov->iov_len ? n : iov->iov_len;

		checksum_add(sum, iov->iov_base, now);
		n -= now;
	}
}

struct wire_checksum checksum_record(const struct checksum *sum, enum checksum_place place)
{
	struct wire_checksum record = {
		.algorithm = CHECKSUM_XXH3_128,
		.place = place,
		.covered = sum->octets,
	};
	XXH128_canonical_t digest;

	XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(sum->state));
	static_assert(sizeof(digest) == sizeof(record.digest), "an XXH3-128 digest");
	memcpy(record.digest, &digest, sizeof(digest));
	return record;
}

/* ---- writing --------------------------------------------------------------------------- */

static int write_checksum(struct xensr_ctx *ctx, enum checksum_place place)
{
	struct wire_checksum body = checksum_record(ctx->sum, place);
	struct wire_record_header header = {.type = REC_CHECKSUM, .length = sizeof(body)};
	struct iovec iov[] = {
		{.iov_base = &header, .iov_len = sizeof(header)},
		{.iov_base = &body, .iov_len = sizeof(body)},
	};

	ctx_enter(ctx, record_title(REC_CHECKSUM), REC_CHECKSUM, ctx->offset);
	ctx->sum->written_at = ctx->sum->octets;
	if (io_writev(ctx, iov, 2))
		return -1;
	ctx_leave(ctx);
	return 0;
}

int checksum_write_first(struct xensr_ctx *ctx)
{
	return write_checksum(ctx, CHECKSUM_FIRST);
}

int checksum_write_due(struct xensr_ctx *ctx, uint32_t type)
{
	if (!ctx->sum)
		return 0;
	if (type == REC_END)
		return write_checksum(ctx, CHECKSUM_LAST);
	if (ctx->sum->octets - ctx->sum->written_at < CHECKSUM_INTERVAL)
		return 0;
	return write_checksum(ctx, CHECKSUM_BETWEEN);
}

/* ---- reading --------------------------------------------------------------------------- */

int checksum_read_order(struct xensr_ctx *ctx, struct checksum_reader *sums, uint32_t type)
{
	if (sums->closed && type != REC_END)
		return ctx_fail(ctx, EBADMSG, "comes after the last checksum, where only END may");
	if (sums->state == CHECKSUM_CHECKED && type == REC_END && !sums->closed)
		return ctx_fail(ctx, EBADMSG,
				"the checksum that must come right before it is missing: there is "
				"damage after offset %" PRIu64,
				sums->good_to);
	return 0;
}

int checksum_read_length(struct xensr_ctx *ctx, uint32_t length)
{
	if (length < CHECKSUM_LEAST || length > CHECKSUM_MOST)
		return ctx_fail(ctx, EBADMSG, "is %u octets long, %u to %u are allowed", length,
				CHECKSUM_LEAST, CHECKSUM_MOST);
	return 0;
}

/* The body, if its algorithm is ours. */
static int parse_body(struct xensr_ctx *ctx, struct wire_checksum *record, const void *body,
		      uint32_t length)
{
	memset(record, 0, sizeof(*record));
	memcpy(record, body, length < sizeof(*record) ? length : sizeof(*record));
	if (record->algorithm != CHECKSUM_XXH3_128)
		return 0;
	if (length != sizeof(*record))
		return ctx_fail(ctx, EBADMSG, "is %u octets long, an XXH3-128 needs %zu", length,
				sizeof(*record));
	if (record->place < CHECKSUM_FIRST || record->place > CHECKSUM_LAST)
		return ctx_fail(ctx, EBADMSG, "place %u is unknown", record->place);
	return 0;
}

/* What was found against what was added up; now: NULL if nothing was. */
static int compare(struct xensr_ctx *ctx, struct checksum_reader *sums,
		   const struct wire_checksum *now, const struct wire_checksum *record)
{
	uint64_t covered = now ? now->covered : ctx->record_offset - sums->start;

	if (record->covered != covered)
		return ctx_fail(ctx, EBADMSG,
				"says that it covers %" PRIu64 " octets, %" PRIu64
				" came before it",
				record->covered, covered);
	if (!now)
		return 0;
	if (memcmp(record->digest, now->digest, sizeof(now->digest)) != 0)
		return ctx_fail(ctx, EBADMSG,
				"does not match: there is damage between offset %" PRIu64
				" and %" PRIu64,
				sums->good_to, ctx->offset);
	sums->good_to = ctx->record_offset;
	sums->records++;
	return 0;
}

int checksum_read_first(struct xensr_ctx *ctx, struct checksum_reader *sums, const void *front,
			size_t front_octets, const void *body, uint32_t length)
{
	struct wire_checksum record, now;

	if (parse_body(ctx, &record, body, length))
		return -1;
	sums->algorithm = record.algorithm;
	if (record.algorithm != CHECKSUM_XXH3_128) {
		ctx_log(ctx, XENSR_LOG_WARN,
			"the stream has checksums of algorithm %u, which is unknown: they are not "
			"checked",
			record.algorithm);
		sums->state = CHECKSUM_UNKNOWN;
		return 0;
	}
	if (record.place != CHECKSUM_FIRST)
		return ctx_fail(ctx, EBADMSG, "is the first, but says that it is not");
	ctx->sum = checksum_new(sizeof(struct wire_record_header));
	if (!ctx->sum)
		return ctx_fail_errno(ctx, ENOMEM, "no memory for a checksum");
	checksum_add(ctx->sum, front, front_octets);
	now = checksum_record(ctx->sum, CHECKSUM_FIRST);
	checksum_add(ctx->sum, body, length); /* a multiple of 8: no padding */
	sums->start = sums->good_to = ctx->record_offset - now.covered;
	sums->state = CHECKSUM_CHECKED;
	if (compare(ctx, sums, &now, &record))
		return -1;
	if (sums->frames_only) {
		sums->records = 0;
		checksum_free(ctx->sum);
		ctx->sum = NULL;
	}
	return 0;
}

int checksum_read_next(struct xensr_ctx *ctx, struct checksum_reader *sums,
		       const struct wire_checksum *now, const void *body, uint32_t length)
{
	struct wire_checksum record;

	if (parse_body(ctx, &record, body, length))
		return -1;
	if (sums->state == CHECKSUM_NONE)
		return ctx_fail(ctx, EBADMSG,
				"comes without one right after the headers: there is damage");
	if (record.algorithm != sums->algorithm)
		return ctx_fail(ctx, EBADMSG, "algorithm %u, the first one's is %u",
				record.algorithm, sums->algorithm);
	if (sums->state == CHECKSUM_UNKNOWN)
		return 0;
	if (record.place == CHECKSUM_FIRST)
		return ctx_fail(ctx, EBADMSG, "is not the first, but says that it is");
	sums->closed = record.place == CHECKSUM_LAST;
	return compare(ctx, sums, now, &record);
}
