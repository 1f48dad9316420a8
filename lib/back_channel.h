/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * COLO's back channel, from the secondary to the primary: a descriptor beside the stream. It
 * carries records and no headers: lists of dirty pages (dirty_list.h) and the states of the two
 * sides (toolstack/checkpoint_state.h). Offsets in its errors count from the record at work.
 */
#ifndef XENSR_LIB_BACK_CHANNEL_H
#define XENSR_LIB_BACK_CHANNEL_H

#include "context.h"

/* A context for one record: the reports and the cancel_fd are the operation's. */
struct xensr_ctx back_channel_over(const struct xensr_ctx *ctx, int fd);

/* What failed on the channel is the operation's failure. Always returns -1. */
int back_channel_fail(struct xensr_ctx *ctx, const struct xensr_ctx *channel);

#endif
