/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The first error of an operation, with where it happened.
 *
 * Invariant: once error_is_set(), later calls of error_set() change nothing. A failing
 * function sets the error (or called one that did) and returns -1; the callers pass the -1 on.
 */
#ifndef XENSR_LIB_ERROR_H
#define XENSR_LIB_ERROR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include <xensr.h>

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define MUST_CHECK             __attribute__((warn_unused_result))

/* No error yet. */
void error_init(struct xensr_error *err);

bool error_is_set(const struct xensr_error *err);

/*
 * Keep the first error: errnum (0 is taken as EIO), the record and offset it concerns
 * (XENSR_NO_*), and a text that stands alone. Over-long text is cut.
 */
void error_set(struct xensr_error *err, int errnum, uint32_t record_type, uint64_t offset,
	       const char *fmt, va_list args) PRINTF_LIKE(5, 0);

#endif
