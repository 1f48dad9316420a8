/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <config.h>
#include <xensr.h>

const char *xensr_version(void)
{
	return PACKAGE_VERSION;
}
