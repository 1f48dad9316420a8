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

/*
 * While a name comes to be: a signal then waits until it is known what is to be removed, and removes
 * nothing of somebody else's.
 */
static void hold_signals(sigset_t *before)
{
	sigset_t held;

	sigemptyset(&held);
	for (size_t i = 0; i < sizeof(fatal_signals) / sizeof(*fatal_signals); i++)
		sigaddset(&held, fatal_signals[i]);
	sigprocmask(SIG_BLOCK, &held, before);
}

/* The name is there, or (NULL) it could not be made. errno is kept. */
static void take_signals(const sigset_t *before, char *name)
{
	int errnum = errno;

	if (name) {
		unfinished = name;
		watch_signals();
	}
	sigprocmask(SIG_SETMASK, before, NULL);
	errno = errnum;
}

static int open_temporary(struct output_file *file)
{
	char *name;
	sigset_t before;

	if (asprintf(&name, "%s.XXXXXX", file->path) < 0) {
		errno = ENOMEM;
		return -1;
	}
	hold_signals(&before);
	file->fd = mkostemp(name, O_CLOEXEC); /* mode 0600 */
	take_signals(&before, file->fd >= 0 ? name : NULL);
	if (file->fd < 0) {
		int errnum = errno;

		free(name);
		errno = errnum;
		return -1;
	}
	file->temporary = name;
	return 0;
}

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
}

#define SELF_TEXT 64

/* Where the kernel shows the descriptor. */
static char *self_text(char self[SELF_TEXT], int fd)
{
	snprintf(self, SELF_TEXT, "/proc/self/fd/%d", fd);
	return self;
}

/*
 * Not all file systems can do it, and without /proc there would be no way to a name in the end: then
 * fd stays -1.
 */
static void open_unnamed(struct output_file *file)
{
	char self[SELF_TEXT];
	char *folder = folder_of(file->path);

	if (!folder)
		return;
	file->fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	free(folder);
	if (file->fd >= 0 && access(self_text(self, file->fd), F_OK)) {
		close(file->fd);
		file->fd = -1;
	}
	file->unnamed = file->fd >= 0;
}

/* Give the file without a name that of file->temporary, which nobody has yet. */
static int name_it(struct output_file *file)
{
	char self[SELF_TEXT];
	sigset_t before;

	self_text(self, file->fd);
	for (unsigned try = 0; try < 100; try++) {
		char *name;
		int rc;

		if (asprintf(&name, "%s.%d.%u", file->path, getpid(), try) < 0) {
			errno = ENOMEM;
			return -1;
		}
		hold_signals(&before);
		rc = linkat(AT_FDCWD, self, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
		take_signals(&before, rc == 0 ? name : NULL);
		if (rc == 0) {
			file->temporary = name;
			file->unnamed = false;
			return 0;
		}
		rc = errno;
		free(name);
		errno = rc;
		if (errno != EEXIST)
			break;
	}
	return -1;
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

int output_open_unnamed(struct output_file *file, const char *path)
{
	*file = (struct output_file){.fd = -1, .path = path};
	open_unnamed(file);
	return file->unnamed ? 0 : open_temporary(file);
}

/* So that a crash of the machine does not leave the name with nothing behind it. */
static int sync_folder(const char *path)
{
	char *folder = folder_of(path);
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
	if (!file->temporary && !file->unnamed)
		return close_fd(file);
	/* A full disk is known only now; and what was there is there until it is known. */
	if (fsync(file->fd) || (file->unnamed && name_it(file)) || close_fd(file) ||
	    rename(file->temporary, file->path))
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
	file->unnamed = false;
	errno = errnum;
}
