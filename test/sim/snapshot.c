/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A copy of a host as it is at a moment, to compare restored domains with later. */
#include "domain.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

/* The pieces of a file that are there; the holes stay holes. */
static int copy_pieces(int from, int to, off_t size)
{
	off_t start = 0, end;

	while (start < size) {
		start = lseek(from, start, SEEK_DATA);
		if (start < 0)
			return errno == ENXIO ? 0 : -errno;
		end = lseek(from, start, SEEK_HOLE);
		if (end < 0 || lseek(to, start, SEEK_SET) < 0)
			return -errno;
		while (start < end) {
			/* Moves `start` on. */
			ssize_t moved = sendfile(to, from, &start, (size_t)(end - start));

			if (moved <= 0)
				return moved ? -errno : -EIO;
		}
	}
	return 0;
}

static int copy_file(int from_dir, int to_dir, const char *name)
{
	int from = openat(from_dir, name, O_RDONLY | O_CLOEXEC);
	int to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct stat status;
	int rc = 0;

	if (from < 0 || to < 0 || fstat(from, &status) || ftruncate(to, status.st_size))
		rc = -errno;
	if (rc == 0)
		rc = copy_pieces(from, to, status.st_size);
	if (from >= 0)
		close(from);
	if (to >= 0)
		close(to);
	return rc;
}

static int copy_files(const char *from, const char *to)
{
	DIR *dir = opendir(from);
	int to_dir = open(to, O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	int rc = dir && to_dir >= 0 ? 0 : -errno;

	while (rc == 0 && (entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			rc = copy_file(dirfd(dir), to_dir, entry->d_name);
	}
	if (dir)
		closedir(dir);
	if (to_dir >= 0)
		close(to_dir);
	return rc;
}

int sim_host_snapshot(const char *from, const char *to)
{
	struct sim_host *host = sim_host_open(from);
	struct sim_host *copy;
	int rc;

	if (!host)
		return -errno;
	sim_lock(host);
	rc = copy_files(from, to);
	sim_unlock(host);
	copy = rc ? NULL : sim_host_open(to);
	if (!copy)
		return rc ? rc : -errno;
	/* The copied lock is held by nobody that could give it back; nobody writes to the copy. */
	rc = sim_host_init_lock(copy);
	for (struct sim_domain *domain = sim_domain_next(copy, 0); domain;
	     domain = sim_domain_next(copy, domain->state->domid + 1)) {
		domain->state->runners = 0;
		domain->state->holds = 0;
		domain->state->suspend_requested = false;
	}
	return rc;
}
