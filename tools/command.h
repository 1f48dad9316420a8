/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every subcommand of xensr has in common with main.c.
 */
#ifndef XENSR_TOOLS_COMMAND_H
#define XENSR_TOOLS_COMMAND_H

/* Exit codes, also documented in docs/man/xensr.1. The higher one wins. */
enum exit_code {
	EXIT_FINE = 0,
	EXIT_DIFFERENT = 1, /* differences, or findings that are no more than warnings */
	EXIT_DAMAGED = 2,   /* the input breaks the format or ends early */
	EXIT_USAGE = 3,     /* wrong usage */
	EXIT_TROUBLE = 4,   /* on our side: no such file, no memory, disk full */
};

/*
 * A subcommand: argv[0] is its name, the rest its own. Returns an exit_code. Facts go to stdout,
 * errors to stderr as "xensr NAME: FILE: text".
 */
typedef int (*command_fn)(int argc, char **argv);

struct command {
	const char *name;
	const char *summary; /* one line for xensr --help */
	command_fn run;
};

#endif
