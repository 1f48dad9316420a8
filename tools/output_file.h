/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file that is there whole or not at all.
 *
 *      output_open -> write to fd -> output_commit       it replaces what was at its path
 *                                 -> output_discard      what was there stays as it is
 *
 * It is written under another name in the same folder, with mode 0600 (a saved domain holds all the
 * guest's secrets), and goes away with that name when the process is stopped by a signal. "-" is
 * standard output; that, and a path that is no regular file, is written as it is.
 */
#ifndef XENSR_TOOLS_OUTPUT_FILE_H
#define XENSR_TOOLS_OUTPUT_FILE_H

#include <stdbool.h>

#include "error.h"

struct output_file {
	int fd;
	const char *path; /* the caller's */
	char *temporary;  /* its name until then; NULL: written as it is, or unnamed */
	bool unnamed;     /* it has no name yet */
};

/* Returns 0, or -1 with errno. At most one at a time. To be discarded or committed in either case. */
int output_open(struct output_file *file, const char *path) MUST_CHECK;

/*
 * The same for a path where there is nothing or a regular file, with no name at all until the commit,
 * so that nothing can stay behind even if the process is killed. Where that cannot be, with a name as
 * output_open's.
 */
int output_open_unnamed(struct output_file *file, const char *path) MUST_CHECK;

/* To the disk, and to its name. Returns 0, or -1 with errno; then to be discarded. */
int output_commit(struct output_file *file) MUST_CHECK;

/* Idempotent; nothing after a commit. */
void output_discard(struct output_file *file);

#endif
