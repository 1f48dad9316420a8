/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const int fatal_signals[] = {SIGHUP, SIGINT, SIGTERM, SIGPIPE, SIGXFSZ};

/* For the handler: what is to be removed when a signal ends the process. */
static char *volatile unfinished;

static void on_signal(int number)
{
	if (unfinished)
		unlink(unfinished);
	/* SA_RESETHAND: now it does what it usually does. */
	raise(number);
}

/* Who ignores a signal goes on ignoring it. */
static void watch_signals(void)
{
	struct sigaction remove = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

	sigemptyset(&remove.sa_mask);
	for (size_t i = 0; i < sizeof(fatal_signals) / sizeof(*fatal_signals); i++) {
		struct sigaction before;

		if (!sigaction(fatal_signals[i], NULL, &before) && before.sa_handler == SIG_DFL)
			sigaction(fatal_signals[i], &remove, NULL);
	}
}

static int open_temporary(struct output_file *file)
{
	if (asprintf(&file->temporary, "%s.XXXXXX", file->path) < 0) {
		file->temporary = NULL;
		errno = ENOMEM;
		return -1;
	}
	file->fd = mkostemp(file->temporary, O_CLOEXEC); /* mode 0600 */
	if (file->fd < 0)
		return -1;
	unfinished = file->temporary;
	watch_signals();
	return 0;
}

int output_open(struct output_file *file, const char *path)
{
	struct stat st;

	*file = (struct output_file){.fd = -1, .path = path};
	if (strcmp(path, "-") == 0) {
		file->fd = STDOUT_FILENO;
		return 0;
	}
	if (stat(path, &st) || S_ISREG(st.st_mode))
		return open_temporary(file);
	file->fd = open(path, O_WRONLY | O_CLOEXEC);
	return file->fd < 0 ? -1 : 0;
}

/* So that a crash of the machine does not leave the name with nothing behind it. */
static int sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	int fd, rc;

	if (!folder)
		return -1;
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(folder);
	if (fd < 0)
		return -1;
	rc = fsync(fd);
	close(fd);
	return rc;
}

static int close_fd(struct output_file *file)
{
	int fd = file->fd;

	file->fd = -1;
	return fd > STDERR_FILENO ? close(fd) : 0;
}

int output_commit(struct output_file *file)
{
	if (!file->temporary)
		return close_fd(file);
	if (fsync(file->fd) || close_fd(file) || rename(file->temporary, file->path))
		return -1;
	unfinished = NULL;
	free(file->temporary);
	file->temporary = NULL;
	return sync_folder(file->path);
}

void output_discard(struct output_file *file)
{
	int errnum = errno;

	close_fd(file);
	if (file->temporary)
		unlink(file->temporary);
	unfinished = NULL;
	free(file->temporary);
	file->temporary = NULL;
	errno = errnum;
}
