/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the two sides of COLO tell each other between checkpoints, in CHECKPOINT_STATE records:
 *
 *   primary                                      secondary
 *     … CHECKPOINT_END                             … CHECKPOINT_END, its domain is complete
 *                      <--- READY ----------       postcopy
 *     postcopy         <--- RESUMED --------       its domain runs
 *     wait_checkpoint
 *     suspend          ---- NEW -----------> (in the stream, behind CHECKPOINT_END)
 *                      <--- SUSPENDED ------       suspend
 *                      <--- list of dirty pages    (dirty_list.h)
 */
#ifndef XENSR_TOOLSTACK_CHECKPOINT_STATE_H
#define XENSR_TOOLSTACK_CHECKPOINT_STATE_H

#include "body.h"
#include "libxl_record.h"

/*
 * Read the next record of the stream, or of the back channel, and fail unless it is this state.
 * Returns 0, or -1 with the error set in ctx; ctx->peer_gone then tells a broken channel.
 */
int checkpoint_state_await(struct xensr_ctx *ctx, struct body *body,
			   enum checkpoint_state_id state) MUST_CHECK;
int checkpoint_state_await_back(struct xensr_ctx *ctx, int fd, struct body *body,
				enum checkpoint_state_id state) MUST_CHECK;

/* Write a state to the back channel. As above. */
int checkpoint_state_send_back(struct xensr_ctx *ctx, int fd,
			       enum checkpoint_state_id state) MUST_CHECK;

#endif
