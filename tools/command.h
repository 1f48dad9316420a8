/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every subcommand of xensr has in common with main.c.
 */
#ifndef XENSR_TOOLS_COMMAND_H
#define XENSR_TOOLS_COMMAND_H

#include <jansson.h>
#include <stdint.h>

#include "error.h"

/* Exit codes, also documented in docs/man/xensr.1. The higher one wins. */
enum exit_code {
	EXIT_FINE = 0,
	EXIT_DIFFERENT = 1, /* differences, or findings that are no more than warnings */
	EXIT_DAMAGED = 2,   /* the input breaks the format or ends early */
	EXIT_USAGE = 3,     /* wrong usage */
	EXIT_TROUBLE = 4,   /* on our side: no such file, no memory, disk full */
};

/*
 * A subcommand: argv[0] is "xensr NAME", for what getopt says; the rest is its own. Returns an exit_code. Facts go to stdout,
 * errors to stderr as "xensr NAME: FILE: text".
 */
typedef int (*command_fn)(int argc, char **argv);

struct command {
	const char *name;
	const char *summary; /* one line for xensr --help */
	command_fn run;
};

int cmd_info(int argc, char **argv);
int cmd_ls(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_cat(int argc, char **argv);
int cmd_hexdump(int argc, char **argv);
int cmd_convert(int argc, char **argv);
int cmd_core(int argc, char **argv);
int cmd_checksum(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_pages(int argc, char **argv);

/* "xensr NAME: TEXT" to stderr. Returns EXIT_TROUBLE, so that `return command_error(...)` reads well. */
int command_error(const char *name, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The same, and where help is. getopt_long has said its own: then fmt is NULL. Returns EXIT_USAGE. */
int command_usage(const char *name, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The exit code for an error of this errno: the input's fault, or ours. */
enum exit_code command_exit(int errnum);

/* Everything printed must have arrived: returns code, or EXIT_TROUBLE, having told why. */
int command_finish(const char *name, int code);

/* Of two exit codes the one that wins. */
static inline int command_worse(int a, int b)
{
	return a > b ? a : b;
}

/* Print root to stdout, and drop the reference; NULL is out of memory. Returns as command_finish. */
int command_print_json(const char *name, json_t *root, int code);

/*
 * Text of which nobody knows that it is good UTF-8, or harmless on a terminal: octets that are no
 * printable ASCII become '?'. Returns text, cut to size.
 */
char *plain_text(char *plain, size_t size, const char *text);

/* A file's name, or other text that may be no good UTF-8 (then as plain_text). */
json_t *json_text(const char *text);

/* A value that may not fit JSON's numbers, or is better read so: "0x12". */
json_t *json_hex(uint64_t value);

/* "4096 octets", "4.0 KiB", "1.5 GiB": for people. Returns text. */
#define SIZE_TEXT 32
char *size_text(char text[SIZE_TEXT], uint64_t octets);

#endif
