/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libxensr stands in for libxenguest: a program written for xenguest.h reaches our engine when
 * ours is linked first (stand_in_linked) or preloaded (stand_in_preloaded, run by preload.sh).
 * Needs no hypervisor: a save without a suspend callback is refused before anything else, with
 * a text of ours that must arrive at the caller's logger.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <xenctrl.h>
#include <xenguest.h>
#include <xentoollog.h>

static char logged[4096];

static void vmessage(xentoollog_logger *logger, xentoollog_level level, int errnoval,
		     const char *context, const char *format, va_list args)
	__attribute__((format(printf, 5, 0)));

static void vmessage(xentoollog_logger *logger, xentoollog_level level, int errnoval,
		     const char *context, const char *format, va_list args)
{
	size_t len = strlen(logged);

	(void)logger;
	(void)errnoval;
	(void)context;
	if (level >= XTL_ERROR)
		vsnprintf(logged + len, sizeof(logged) - len, format, args);
}

static void destroy(xentoollog_logger *logger)
{
	(void)logger;
}

static int check(const char *what, int rc, int errnum, const char *text)
{
	if (rc == -1 && errno == errnum && strstr(logged, text)) {
		logged[0] = '\0';
		return 0;
	}
	printf("%s: returned %d, errno %d (%s), logged: %s\nexpected -1, errno %d, \"%s\"\n", what,
	       rc, errno, strerror(errno), logged, errnum, text);
	return 1;
}

int main(void)
{
	xentoollog_logger logger = {.vmessage = vmessage, .destroy = destroy};
	struct save_callbacks no_suspend = {0};
	struct restore_callbacks none = {0};
	unsigned long store = 0, console = 0;
	xc_interface *xch = xc_interface_open(&logger, &logger, XC_OPENFLAG_DUMMY);
	int failed = 0, rc;

	if (!xch) {
		perror("xc_interface_open");
		return 99;
	}
	errno = 0;
	rc = xc_domain_save(xch, -1, 1, 0, &no_suspend, XC_STREAM_PLAIN, -1);
	failed |= check("xc_domain_save", rc, EINVAL, "there is no suspend callback");
	errno = 0;
	rc = xc_domain_restore(xch, -1, 1, 0, &store, 0, 0, &console, 0, XC_STREAM_COLO, &none, -1);
	failed |= check("xc_domain_restore", rc, EINVAL,
			"a checkpointed stream needs the callback checkpoint");
	xc_interface_close(xch);
	return failed;
}
