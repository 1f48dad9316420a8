/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What differs between Xen releases 4.17 and 4.20, or is exported by libxenctrl in all of them
 * but declared in no installed header. Everything else includes Xen's headers directly.
 */
#ifndef XENSR_LIB_XEN_COMPAT_H
#define XENSR_LIB_XEN_COMPAT_H

#include <stdint.h>

#include <xenctrl.h>

/*
 * Domain information by exactly this domid. (4.17 has xc_domain_getinfo, 4.20 has
 * xc_domain_getinfo_single; xc_domain_getinfolist is in both.) Returns 0, or -1 with errno
 * (ESRCH: no such domain).
 */
int xen_domain_info(xc_interface *xch, uint32_t domid, xc_domaininfo_t *info);

/* The reason with which a domain shut down (SHUTDOWN_*), or -1 if it did not. */
int xen_shutdown_reason(const xc_domaininfo_t *info);

/* To the logger of xch, as an error; also xc_get_last_error's text. One line. */
void xen_report_error(xc_interface *xch, const char *text);

/*
 * To the logger of xch. done == 0 starts a new line of progress; what must stay valid until the
 * next, or until xen_end_progress.
 */
void xen_report_progress(xc_interface *xch, const char *what, unsigned long done,
			 unsigned long total);
void xen_end_progress(xc_interface *xch);

#endif
