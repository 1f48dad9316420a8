/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Seeding a restored domain's grant table, so that the backends of console and xenstore may
 * map the guest's rings.
 */
#ifndef XENSR_X86_GRANT_TABLE_H
#define XENSR_X86_GRANT_TABLE_H

#include "restore.h"

/*
 * Write the reserved entries for console and xenstore (GNTTAB_RESERVED_*): access for the
 * backends' domids of restore->params to these frames. A frame of 0 leaves its entry alone.
 */
int grant_table_seed(struct restore_ctx *restore, uint64_t console_gfn,
		     uint64_t store_gfn) MUST_CHECK;

#endif
