/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The domain's time stamp counter: record X86_TSC_INFO.
 */
#ifndef XENSR_X86_TSC_H
#define XENSR_X86_TSC_H

#include "restore.h"
#include "save.h"

/* Write the record (XEN_DOMCTL_gettscinfo). */
int tsc_save(struct save_ctx *save) MUST_CHECK;

/* Set the domain's from the body of a record. */
int tsc_restore(struct restore_ctx *restore, const struct wire_x86_tsc_info *tsc) MUST_CHECK;

#endif
