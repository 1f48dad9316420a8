/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The entry points of libxenguest (xenguest.h) over ours, so that this library can stand in
 * for it by link order or preload. Same prototypes, same answers: 0, or -1 with errno.
 */
#include <errno.h>
#include <string.h>

#include <xenctrl.h>
#include <xenguest.h>
#include <xensr.h>

#include "xen_compat.h"

/*
 * Errors, warnings and progress go to the logger of the caller's xc_interface, as they do with
 * stock. libxenctrl offers only its error level there.
 */
static void report_log(void *data, enum xensr_level level, int errnum, const char *text)
{
	if (level < XENSR_LOG_WARN)
		return;
	errno = errnum > 0 ? errnum : 0;
	xen_report_error(data, text);
}

static void report_progress(void *data, const char *what, uint64_t done, uint64_t total)
{
	xen_report_progress(data, what, done, total);
}

static struct xensr_reports reports_to(xc_interface *xch)
{
	return (struct xensr_reports){
		.log = report_log,
		.progress = report_progress,
		.data = xch,
	};
}

int xc_domain_save(xc_interface *xch, int io_fd, uint32_t dom, uint32_t flags,
		   struct save_callbacks *callbacks, xc_stream_type_t stream_type, int recv_fd)
{
	struct xensr_save_params params = XENSR_SAVE_PARAMS_INIT;
	int rc, errnum;

	params.xch = xch;
	params.domid = dom;
	params.io_fd = io_fd;
	params.stream_type = (enum xensr_stream_type)stream_type;
	params.live = flags & XCFLAGS_LIVE;
	params.verify = flags & XCFLAGS_DEBUG;
	params.recv_fd = recv_fd;
	params.callbacks = (struct xensr_save_callbacks){
		.suspend = callbacks->suspend,
		.precopy_policy = callbacks->precopy_policy,
		.postcopy = callbacks->postcopy,
		.checkpoint = callbacks->checkpoint,
		.wait_checkpoint = callbacks->wait_checkpoint,
		.switch_qemu_logdirty = callbacks->switch_qemu_logdirty,
		.data = callbacks->data,
	};
	params.reports = reports_to(xch);
	rc = xensr_save(&params, NULL, NULL);
	errnum = errno;
	xen_end_progress(xch);
	errno = errnum;
	return rc;
}

int xc_domain_restore(xc_interface *xch, int io_fd, uint32_t dom, unsigned int store_evtchn,
		      unsigned long *store_mfn, uint32_t store_domid, unsigned int console_evtchn,
		      unsigned long *console_mfn, uint32_t console_domid,
		      xc_stream_type_t stream_type, struct restore_callbacks *callbacks,
		      int send_back_fd)
{
	struct xensr_restore_params params = XENSR_RESTORE_PARAMS_INIT;
	struct xensr_restore_results results = {0};

	params.xch = xch;
	params.domid = dom;
	params.io_fd = io_fd;
	params.stream_type = (enum xensr_stream_type)stream_type;
	params.store_domid = store_domid;
	params.console_domid = console_domid;
	params.store_evtchn = store_evtchn;
	params.console_evtchn = console_evtchn;
	params.send_back_fd = send_back_fd;
	if (callbacks)
		params.callbacks = (struct xensr_restore_callbacks){
			.static_data_done = callbacks->static_data_done,
			.suspend = callbacks->suspend,
			.postcopy = callbacks->postcopy,
			.checkpoint = callbacks->checkpoint,
			.wait_checkpoint = callbacks->wait_checkpoint,
			.restore_results = callbacks->restore_results,
			.data = callbacks->data,
		};
	params.reports = reports_to(xch);
	if (xensr_restore(&params, &results, NULL))
		return -1;
	*store_mfn = results.store_gfn;
	*console_mfn = results.console_gfn;
	return 0;
}
