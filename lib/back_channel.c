/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "back_channel.h"

struct xensr_ctx back_channel_over(const struct xensr_ctx *ctx, int fd)
{
	struct xensr_ctx channel;

	ctx_init(&channel, fd, &ctx->reports);
	channel.cancel_fd = ctx->cancel_fd;
	return channel;
}

int back_channel_fail(struct xensr_ctx *ctx, const struct xensr_ctx *channel)
{
	ctx->peer_gone |= channel->peer_gone;
	return ctx_fail(ctx, channel->err.errnum, "back channel: %s", channel->err.text);
}
