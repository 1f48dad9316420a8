/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"

/* Options that a table may have. */
#define MOST 8

/* What getopt_long gives for an option of the table: where it stands, above all letters. */
#define FIRST 256

static int read_checkpoint(const char *command, const char *text, uint32_t *checkpoint)
{
	char *end;
	unsigned long number;

	errno = 0;
	number = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || number == 0 || number > UINT32_MAX)
		return command_usage(command, "`%s' is no number of a checkpoint (1, 2, …)", text);
	*checkpoint = (uint32_t)number;
	return -1;
}

static const struct option_place *find(const struct option_place *table, int option)
{
	for (int i = 0; table[i].name; i++) {
		if (option == FIRST + i || (option > 0 && option == table[i].letter))
			return &table[i];
	}
	return NULL;
}

/* Returns an exit_code, or -1 to go on. */
static int take(const char *command, const struct option_place *place)
{
	if (place->flag)
		*place->flag = true;
	else if (place->text)
		*place->text = optarg;
	else
		return read_checkpoint(command, optarg, place->checkpoint);
	return -1;
}

int options_read(const char *command, const char *help, const struct option_place *table, int argc,
		 char **argv)
{
	struct option longs[MOST + 2] = {{"help", no_argument, NULL, 'h'}};
	char letters[MOST + 2] = "h";
	int letter_count = 1, option, code = -1;

	for (int i = 0; i < MOST && table[i].name; i++) {
		longs[i + 1] = (struct option){
			table[i].name,
			table[i].flag ? no_argument : required_argument,
			NULL,
			FIRST + i,
		};
		if (table[i].letter)
			letters[letter_count++] = table[i].letter;
	}
	while (code < 0 && (option = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		const struct option_place *place = find(table, option);

		if (option == 'h') {
			fputs(help, stdout);
			return command_finish(command, EXIT_FINE);
		}
		/* getopt_long has said what is wrong. */
		code = place ? take(command, place) : command_usage(command, NULL);
	}
	return code;
}
