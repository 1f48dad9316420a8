/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dirty_list.h"

#include <errno.h>
#include <inttypes.h>

#include "back_channel.h"
#include "format.h"
#include "io.h"

/* pfns moved at once. */
#define SLICE 1024u

static int receive_pfns(struct xensr_ctx *ctx, struct xensr_ctx *channel, struct log_dirty *log,
			uint32_t count)
{
	uint64_t pfns[SLICE];

	while (count) {
		uint32_t n = count < SLICE ? count : SLICE;

		if (io_read(channel, pfns, n * sizeof(*pfns)))
			return back_channel_fail(ctx, channel);
		for (uint32_t i = 0; i < n; i++) {
			if (pfns[i] >= log->nr_pfns)
				return ctx_fail(ctx, EBADMSG,
						"back channel: pfn %#" PRIx64
						" is beyond the guest's last, %#" PRIx64,
						pfns[i], log->nr_pfns - 1);
			log_dirty_add(log, pfns[i]);
		}
		count -= n;
	}
	return 0;
}

int dirty_list_receive(struct xensr_ctx *ctx, int fd, struct log_dirty *log)
{
	struct xensr_ctx channel = back_channel_over(ctx, fd);
	struct wire_record_header header;

	if (io_read(&channel, &header, sizeof(header)))
		return back_channel_fail(ctx, &channel);
	if (header.type != REC_CHECKPOINT_DIRTY_PFN_LIST)
		return ctx_fail(ctx, EBADMSG,
				"back channel: a record of type %#x, not CHECKPOINT_DIRTY_PFN_LIST",
				header.type);
	if (header.length > RECORD_LENGTH_MAX || header.length % sizeof(uint64_t))
		return ctx_fail(ctx, EBADMSG,
				"back channel: %u octets are no length of a list of pfns",
				header.length);
	return receive_pfns(ctx, &channel, log, header.length / (uint32_t)sizeof(uint64_t));
}

static int send_slice(struct xensr_ctx *ctx, struct xensr_ctx *channel, uint64_t *pfns, size_t n)
{
	struct iovec iov = {.iov_base = pfns, .iov_len = n * sizeof(*pfns)};

	return io_writev(channel, &iov, 1) ? back_channel_fail(ctx, channel) : 0;
}

int dirty_list_send(struct xensr_ctx *ctx, int fd, const struct log_dirty *log, uint64_t dirty)
{
	struct xensr_ctx channel = back_channel_over(ctx, fd);
	struct wire_record_header header = {
		.type = REC_CHECKPOINT_DIRTY_PFN_LIST,
		.length = (uint32_t)(dirty * sizeof(uint64_t)),
	};
	struct iovec iov = {.iov_base = &header, .iov_len = sizeof(header)};
	uint64_t pfns[SLICE], bits;
	size_t n = 0;

	if (dirty > RECORD_LENGTH_MAX / sizeof(uint64_t))
		return ctx_fail(ctx, EMSGSIZE,
				"back channel: %" PRIu64
				" dirty pages are more than a record holds",
				dirty);
	if (io_writev(&channel, &iov, 1))
		return back_channel_fail(ctx, &channel);
	for (uint64_t pfn = 0; (pfn = log_dirty_next(log, pfn, &bits)) != UINT64_MAX; pfn += 64) {
		for (; bits; bits &= bits - 1) {
			pfns[n++] = pfn + (uint64_t)__builtin_ctzll(bits);
			if (n == SLICE && send_slice(ctx, &channel, pfns, n))
				return -1;
			n %= SLICE;
		}
	}
	return n ? send_slice(ctx, &channel, pfns, n) : 0;
}
