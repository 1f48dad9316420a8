/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory for an HVM domain that is being rebuilt.
 *
 * Where a record brings a whole, aligned run of 512 new pfns it becomes one 2 MiB extent, so
 * that the guest gets its superpages back and Xen is asked once instead of 512 times. Where Xen
 * refuses one it becomes 4 KiB pages. 1 GiB extents are not built: no record can bring a run
 * that long (RECORD_LENGTH_MAX), and populating what has not arrived yet could replace p2m
 * entries that Xen made itself in a hole of the guest.
 */
#ifndef XENSR_X86_HVM_POPULATE_H
#define XENSR_X86_HVM_POPULATE_H

#include "restore.h"

/* restore_ops.populate */
int hvm_populate(struct restore_ctx *restore, const uint64_t *entries, uint32_t count,
		 uint32_t populated);

#endif
