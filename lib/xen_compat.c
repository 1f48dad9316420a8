/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xen_compat.h"

#include <errno.h>

#include <xen/sched.h>

/* Exported by every libxenctrl for its sister libraries. */
void xc_report_error(xc_interface *xch, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
const char *xc_set_progress_prefix(xc_interface *xch, const char *doing);
void xc_report_progress_step(xc_interface *xch, unsigned long done, unsigned long total);

int xen_domain_info(xc_interface *xch, uint32_t domid, xc_domaininfo_t *info)
{
	int found = xc_domain_getinfolist(xch, domid, 1, info);

	if (found < 0)
		return -1;
	/* The list starts at the first domain that is not below domid. */
	if (found == 0 || info->domain != domid) {
		errno = ESRCH;
		return -1;
	}
	return 0;
}

int xen_shutdown_reason(const xc_domaininfo_t *info)
{
	if (!(info->flags & XEN_DOMINF_shutdown))
		return -1;
	return (int)(info->flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask);
}

void xen_report_error(xc_interface *xch, const char *text)
{
	xc_report_error(xch, XC_INTERNAL_ERROR, "%s", text);
}

void xen_report_progress(xc_interface *xch, const char *what, unsigned long done,
			 unsigned long total)
{
	if (done == 0)
		xc_set_progress_prefix(xch, what);
	xc_report_progress_step(xch, done, total);
}

void xen_end_progress(xc_interface *xch)
{
	xc_set_progress_prefix(xch, NULL);
}
