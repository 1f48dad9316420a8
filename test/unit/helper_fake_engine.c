/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An engine for the helper's own tests: linked with helper/main.c in place of libxensr and
 * libxenctrl. What it does is chosen by the domain id, see enum fake_domid.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xensr.h>

#include "helper_fake_engine.h"

const char *xensr_version(void)
{
	return "0.0-fake";
}

xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *dombuild_logger,
				unsigned open_flags)
{
	static int handle;

	(void)dombuild_logger;
	(void)open_flags;
	xtl_log(logger, XTL_DEBUG, -1, "xc", "opened %d", 1);
	xtl_progress(logger, "xc", "opening", 1, 2);
	return (xc_interface *)&handle;
}

int xc_interface_close(xc_interface *xch)
{
	(void)xch;
	return 0;
}

/* "name=answer" for the log, or "name absent". */
static void answered(const struct xensr_reports *reports, const char *name, bool offered,
		     int answer)
{
	char text[64];

	if (offered)
		snprintf(text, sizeof(text), "%s=%d", name, answer);
	else
		snprintf(text, sizeof(text), "%s absent", name);
	reports->log(reports->data, XENSR_LOG_INFO, -1, text);
}

#define ASK(params, callback)                                                     \
	answered(&(params)->reports, #callback, (params)->callbacks.callback,     \
		 (params)->callbacks.callback                                     \
			 ? (params)->callbacks.callback((params)->callbacks.data) \
			 : 0)

static int fail(const struct xensr_reports *reports, int errnum, const char *text)
{
	reports->log(reports->data, XENSR_LOG_ERROR, errnum, text);
	errno = errnum;
	return -1;
}

/* Move octets until it fails, reporting progress now and then if asked to. */
static int stream(int fd, bool writing, bool reporting, const struct xensr_reports *reports)
{
	static char buffer[4096];

	for (uint64_t n = 0;; n++) {
		ssize_t moved = writing ? write(fd, buffer, sizeof(buffer))
					: read(fd, buffer, sizeof(buffer));

		if (moved < 0 && errno == EINTR)
			continue;
		if (moved <= 0)
			return fail(reports, moved < 0 ? errno : ENODATA, "the stream stopped");
		if (reporting)
			reports->progress(reports->data, "streaming", n, n + 1);
	}
}

int xensr_save(const struct xensr_save_params *params, struct xensr_save_results *results,
	       struct xensr_error *err)
{
	const struct xensr_reports *reports = &params->reports;
	char text[128];

	(void)results;
	(void)err;
	switch (params->domid) {
	case FAKE_CALLBACKS:
		snprintf(text, sizeof(text), "live=%d verify=%d type=%d recv=%d", params->live,
			 params->verify, params->stream_type, params->recv_fd);
		reports->log(reports->data, XENSR_LOG_INFO, -1, text);
		ASK(params, suspend);
		ASK(params, postcopy);
		ASK(params, checkpoint);
		ASK(params, wait_checkpoint);
		answered(reports, "switch_qemu_logdirty", params->callbacks.switch_qemu_logdirty,
			 params->callbacks.switch_qemu_logdirty
				 ? params->callbacks.switch_qemu_logdirty(params->domid, 1,
									  params->callbacks.data)
				 : 0);
		return 0;
	case FAKE_FAILS:
		return fail(reports, ENOTSUP, "not today");
	case FAKE_NOISE:
		printf("a library that talks\n");
		fflush(stdout);
		return write(STDOUT_FILENO, "and talks\n", 10) == 10 ? 0 : -1;
	case FAKE_STREAMS:
		return stream(params->io_fd, true, false, reports);
	case FAKE_REPORTS:
		return stream(params->io_fd, true, true, reports);
	case FAKE_SUSPENDS:
		if (params->callbacks.suspend(params->callbacks.data) == 0)
			return fail(reports, ECANCELED, "not suspended");
		return 0;
	default:
		return fail(reports, EINVAL, "no such script");
	}
}

int xensr_restore(const struct xensr_restore_params *params, struct xensr_restore_results *results,
		  struct xensr_error *err)
{
	const struct xensr_reports *reports = &params->reports;
	char text[128];

	(void)err;
	switch (params->domid) {
	case FAKE_CALLBACKS:
		snprintf(text, sizeof(text), "store=%u,%u console=%u,%u type=%d back=%d",
			 params->store_evtchn, params->store_domid, params->console_evtchn,
			 params->console_domid, params->stream_type, params->send_back_fd);
		reports->log(reports->data, XENSR_LOG_INFO, -1, text);
		answered(reports, "static_data_done", params->callbacks.static_data_done,
			 params->callbacks.static_data_done
				 ? params->callbacks.static_data_done(XENSR_MISSING_MSR,
								      params->callbacks.data)
				 : 0);
		ASK(params, suspend);
		ASK(params, postcopy);
		ASK(params, checkpoint);
		ASK(params, wait_checkpoint);
		if (params->callbacks.restore_results)
			params->callbacks.restore_results(1, 2, params->callbacks.data);
		results->store_gfn = 0xfeffc;
		results->console_gfn = 0xfefff;
		return 0;
	case FAKE_FAILS:
		return fail(reports, EBADMSG, "damaged");
	case FAKE_STREAMS:
		return stream(params->io_fd, false, false, reports);
	default:
		return fail(reports, EINVAL, "no such script");
	}
}
