/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "error.h"

#include <errno.h>
#include <stdio.h>

void error_init(struct xensr_error *err)
{
	*err = (struct xensr_error){
		.record_type = XENSR_NO_RECORD,
		.offset = XENSR_NO_OFFSET,
	};
}

bool error_is_set(const struct xensr_error *err)
{
	return err->errnum != 0;
}

void error_set(struct xensr_error *err, int errnum, uint32_t record_type, uint64_t offset,
	       const char *fmt, va_list args)
{
	if (error_is_set(err))
		return;

	err->errnum = errnum ? errnum : EIO;
	err->record_type = record_type;
	err->offset = offset;
	vsnprintf(err->text, sizeof(err->text), fmt, args);
}
