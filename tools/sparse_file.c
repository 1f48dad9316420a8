/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sparse_file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"

static int fail(struct sparse_file *file, int errnum, const char *fmt, ...) PRINTF_LIKE(3, 4);

static int fail(struct sparse_file *file, int errnum, const char *fmt, ...)
{
	char text[256];
	va_list args;

	errno = errnum; /* for %m */
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	snprintf(file->error, sizeof(file->error), "%s: %s", file->output.path, text);
	errno = errnum;
	return -1;
}

int sparse_file_open(struct sparse_file *file, const char *path)
{
	struct stat st;

	*file = (struct sparse_file){.output = {.fd = -1, .path = path}};
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return fail(file, EINVAL, "not a regular file; it will not be replaced");
	if (output_open_unnamed(&file->output, path))
		return fail(file, errno, "cannot create a file beside it: %m");
	return 0;
}

int sparse_file_write(struct sparse_file *file, const void *octets, size_t count, uint64_t offset)
{
	const uint8_t *from = octets;

	if (offset > INT64_MAX - count)
		return fail(file, EFBIG, "cannot write at %llu: no file is that long",
			    (unsigned long long)offset);
	while (count) {
		ssize_t put = pwrite(file->output.fd, from, count, (off_t)offset);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return fail(file, put ? errno : ENOSPC, "cannot write: %m");
		from += put;
		count -= (size_t)put;
		offset += (uint64_t)put;
	}
	if (file->end < offset)
		file->end = offset;
	return 0;
}

int sparse_file_extend(struct sparse_file *file, uint64_t octets)
{
	if (octets <= file->end)
		return 0;
	if (octets > INT64_MAX || ftruncate(file->output.fd, (off_t)octets))
		return fail(file, octets > INT64_MAX ? EFBIG : errno,
			    "cannot make it %llu octets long: %m", (unsigned long long)octets);
	file->end = octets;
	return 0;
}

int sparse_file_commit(struct sparse_file *file)
{
	int rc = 0;

	if (output_commit(&file->output))
		rc = fail(file, errno, "cannot write: %m");
	sparse_file_abandon(file);
	return rc;
}

void sparse_file_abandon(struct sparse_file *file)
{
	output_discard(&file->output);
}
