/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file with holes that is written whole or not at all: it has no name, or a temporary one in the
 * same folder that a signal takes away, until sparse_file_commit gives it its own. Nobody but its owner may read it (0600):
 * the memory of a guest is secret.
 *
 *      sparse_file_open --> _write, _extend, … --> sparse_file_commit
 *                                              \-> sparse_file_abandon: nothing is left
 */
#ifndef XENSR_TOOLS_SPARSE_FILE_H
#define XENSR_TOOLS_SPARSE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "output_file.h"

struct sparse_file {
	struct output_file output; /* its path is the caller's and must outlive this */
	uint64_t end;              /* octets: the furthest that was written or extended to */
	char error[512];
};

/* Each returns 0, or -1 with errno and file->error: one line that names the file. */

/* A file that is there already is replaced at the commit; what is no regular file never is. */
int sparse_file_open(struct sparse_file *file, const char *path);

/* All of it, at that offset. What is never written between two writes is a hole of zeroes. */
int sparse_file_write(struct sparse_file *file, const void *octets, size_t count, uint64_t offset);

/* The file is to be at least so long. */
int sparse_file_extend(struct sparse_file *file, uint64_t octets);

/* To the disk, and to its name (output_file.h). After a failure, too, there is nothing left to abandon. */
int sparse_file_commit(struct sparse_file *file);

/* Idempotent, and nothing after sparse_file_commit. */
void sparse_file_abandon(struct sparse_file *file);

#endif
