/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sparse_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
	snprintf(file->error, sizeof(file->error), "%s: %s", file->path, text);
	errno = errnum;
	return -1;
}

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

/* Named PATH.XXXXXX: in the same file system, so that it can be renamed. */
static int open_named(struct sparse_file *file)
{
	if (asprintf(&file->temporary, "%s.XXXXXX", file->path) < 0) {
		file->temporary = NULL;
		return fail(file, ENOMEM, "no memory");
	}
	file->fd = mkostemp(file->temporary, O_CLOEXEC);
	if (file->fd < 0) {
		int errnum = errno;

		free(file->temporary);
		file->temporary = NULL;
		return fail(file, errnum, "cannot create a file beside it: %m");
	}
	return 0;
}

int sparse_file_open(struct sparse_file *file, const char *path)
{
	struct stat st;
	char *folder;

	*file = (struct sparse_file){.path = path, .fd = -1};
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return fail(file, EINVAL, "not a regular file; it will not be replaced");
	folder = folder_of(path);
	if (!folder)
		return fail(file, ENOMEM, "no memory");
	/* Without a name it cannot stay behind, even if this program is killed. */
	file->fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	free(folder);
	return file->fd >= 0 ? 0 : open_named(file);
}

int sparse_file_write(struct sparse_file *file, const void *octets, size_t count, uint64_t offset)
{
	const uint8_t *from = octets;

	if (offset > INT64_MAX - count)
		return fail(file, EFBIG, "cannot write at %llu: no file is that long",
			    (unsigned long long)offset);
	while (count) {
		ssize_t put = pwrite(file->fd, from, count, (off_t)offset);

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
	if (octets > INT64_MAX || ftruncate(file->fd, (off_t)octets))
		return fail(file, octets > INT64_MAX ? EFBIG : errno,
			    "cannot make it %llu octets long: %m", (unsigned long long)octets);
	file->end = octets;
	return 0;
}

/* Give the file without a name that of file->temporary, which nobody has yet. */
static int name_it(struct sparse_file *file)
{
	char self[64];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", file->fd);
	for (unsigned try = 0; try < 100; try++) {
		char *name;

		if (asprintf(&name, "%s.%d.%u", file->path, getpid(), try) < 0)
			return fail(file, ENOMEM, "no memory");
		if (linkat(AT_FDCWD, self, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0) {
			file->temporary = name;
			return 0;
		}
		free(name);
		if (errno != EEXIST)
			break;
	}
	return fail(file, errno, "cannot give it a name: %m");
}

int sparse_file_commit(struct sparse_file *file)
{
	int rc = -1;

	if (!file->temporary && name_it(file))
		goto out;
	if (rename(file->temporary, file->path)) {
		fail(file, errno, "cannot rename it: %m");
		goto out;
	}
	free(file->temporary);
	file->temporary = NULL;
	rc = 0;
out:;
	int errnum = errno;

	/* Network file systems tell of a full disk only here. */
	if (file->fd >= 0 && close(file->fd) && rc == 0)
		rc = fail(file, errnum = errno, "cannot write: %m");
	file->fd = -1;
	sparse_file_abandon(file);
	errno = errnum;
	return rc;
}

void sparse_file_abandon(struct sparse_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
	if (file->temporary)
		unlink(file->temporary);
	free(file->temporary);
	file->temporary = NULL;
}
