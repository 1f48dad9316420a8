/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * COLO's back channel: after each checkpoint the secondary tells the primary which pages it has
 * written itself, in one CHECKPOINT_DIRTY_PFN_LIST record (spec 1), so that the primary sends them
 * again.
 */
#ifndef XENSR_LIB_DIRTY_LIST_H
#define XENSR_LIB_DIRTY_LIST_H

#include "log_dirty.h"

/*
 * Read one list from fd and set its pfns in the bitmap. Returns 0, or -1 with the error set in
 * ctx: another record, or a pfn that the bitmap has no room for.
 */
int dirty_list_receive(struct xensr_ctx *ctx, int fd, struct log_dirty *log) MUST_CHECK;

/*
 * Write the pfns in the bitmap, `dirty` of them, to fd. Returns 0, or -1 with the error set in
 * ctx; EMSGSIZE if they are more than one record holds.
 */
int dirty_list_send(struct xensr_ctx *ctx, int fd, const struct log_dirty *log,
		    uint64_t dirty) MUST_CHECK;

#endif
