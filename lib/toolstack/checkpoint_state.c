/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "checkpoint_state.h"

#include <errno.h>

#include "back_channel.h"

static const char *const names[CHECKPOINT_STATES] = {
	[CHECKPOINT_STATE_NEW] = "new checkpoint",
	[CHECKPOINT_STATE_SUSPENDED] = "secondary suspended",
	[CHECKPOINT_STATE_READY] = "secondary ready",
	[CHECKPOINT_STATE_RESUMED] = "secondary resumed",
};

int checkpoint_state_await(struct xensr_ctx *ctx, struct body *body, enum checkpoint_state_id state)
{
	struct libxl_record rec;

	if (libxl_read_record(ctx, body, &rec))
		return -1;
	if (rec.type != LIBXL_CHECKPOINT_STATE)
		return ctx_fail(ctx, EBADMSG, "comes where the state \"%s\" is awaited",
				names[state]);
	if (rec.state != state)
		return ctx_fail(ctx, EBADMSG, "says \"%s\" where \"%s\" is awaited",
				names[rec.state], names[state]);
	ctx_leave(ctx);
	return 0;
}

int checkpoint_state_await_back(struct xensr_ctx *ctx, int fd, struct body *body,
				enum checkpoint_state_id state)
{
	struct xensr_ctx channel = back_channel_over(ctx, fd);

	return checkpoint_state_await(&channel, body, state) ? back_channel_fail(ctx, &channel) : 0;
}

int checkpoint_state_send_back(struct xensr_ctx *ctx, int fd, enum checkpoint_state_id state)
{
	struct xensr_ctx channel = back_channel_over(ctx, fd);

	return libxl_write_checkpoint_state(&channel, state) ? back_channel_fail(ctx, &channel) : 0;
}
