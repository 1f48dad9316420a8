/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xensr: looks into saved domains. This file picks the subcommand.
 */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "xensr.h"

/* In the order in which --help shows them. */
static const struct command commands[] = {
	{"info", "what is in a saved domain", cmd_info},
	{"ls", "list its records", cmd_ls},
	{"verify", "check all that a restore would check", cmd_verify},
	{"cat", "write pages or records of it as they are", cmd_cat},
	{"hexdump", "show pages of it in hexadecimal", cmd_hexdump},
	{"convert", "write a saved domain as a plain one of version 3", cmd_convert},
	{"core", "write memory and registers as a core for gdb, crash and others", cmd_core},
	{"checksum", "check the checksums of saved domains, or add them", cmd_checksum},
	{"diff", "say what differs between two saved domains", cmd_diff},
	{"pages", "show which pages there are and what is in them, or draw them", cmd_pages},
	{NULL, NULL, NULL},
};

static void print_help(FILE *out)
{
	fputs("usage: xensr COMMAND [OPTION...] [FILE...]\n\ncommands:\n", out);
	for (const struct command *c = commands; c->name; c++)
		fprintf(out, "  %-10s %s\n", c->name, c->summary);
	fputs("\n`xensr COMMAND --help' says more of each.\n", out);
}

int main(int argc, char **argv)
{
	static char title[32];

	if (argc >= 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		print_help(stdout);
		return EXIT_FINE;
	}
	if (argc >= 2 && (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))) {
		printf("xensr %s\n", xensr_version());
		return EXIT_FINE;
	}
	if (argc < 2) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	for (const struct command *c = commands; c->name; c++) {
		if (!strcmp(argv[1], c->name)) {
			snprintf(title, sizeof(title), "xensr %s", c->name);
			argv[1] = title;
			return c->run(argc - 1, argv + 1);
		}
	}
	fprintf(stderr, "xensr: there is no command `%s'; see xensr --help\n", argv[1]);
	return EXIT_USAGE;
}
