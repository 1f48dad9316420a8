/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The options of a subcommand, as a table.
 */
#ifndef XENSR_TOOLS_OPTIONS_H
#define XENSR_TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

/* What an option is called, and where it goes: one of flag, text and checkpoint is set. */
struct option_place {
	const char *name;     /* as in --NAME */
	char letter;          /* as in -L, or 0 */
	bool *flag;           /* it takes no argument: becomes true */
	const char **text;    /* its argument as it is */
	uint32_t *checkpoint; /* its argument is the number of a checkpoint, from 1 on */
};

/*
 * Read the options of the subcommand by the table, which ends with a name of NULL. --help and -h are
 * known without it. Returns -1 to go on with argv[optind], the first argument that is no option; or
 * the exit_code with which the command ends here, having printed the help or told what is wrong.
 */
int options_read(const char *command, const char *help, const struct option_place *table, int argc,
		 char **argv);

#endif
