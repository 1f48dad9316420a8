/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tsc.h"

#include <errno.h>

int tsc_save(struct save_ctx *save)
{
	struct wire_x86_tsc_info tsc = {0};
	struct iovec body = {.iov_base = &tsc, .iov_len = sizeof(tsc)};

	if (xc_domain_get_tsc_info(save->xch, save->domid, &tsc.mode, &tsc.nsec, &tsc.khz,
				   &tsc.incarnation) < 0)
		return ctx_fail_errno(&save->ctx, errno, "cannot get the TSC of domain %u",
				      save->domid);
	return write_record(&save->ctx, REC_X86_TSC_INFO, &body, 1);
}

int tsc_restore(struct restore_ctx *restore, const struct wire_x86_tsc_info *tsc)
{
	if (xc_domain_set_tsc_info(restore->xch, restore->domid, tsc->mode, tsc->nsec, tsc->khz,
				   tsc->incarnation) < 0)
		return ctx_fail_errno(&restore->ctx, errno,
				      "cannot set the TSC of domain %u (mode %u, %u kHz)",
				      restore->domid, tsc->mode, tsc->khz);
	return 0;
}
