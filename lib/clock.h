/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Time as it passes, whatever the date is set to. */
#ifndef XENSR_LIB_CLOCK_H
#define XENSR_LIB_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Microseconds since some moment in the past. Cannot fail. */
static inline uint64_t clock_usecs(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

#endif
