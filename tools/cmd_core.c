/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xensr core: the memory and registers of a saved domain, for debuggers.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "core.h"
#include "open_state.h"

enum core_format {
	CORE_ELF,
	CORE_XEN,
	CORE_RAW,
};

struct options {
	enum core_format format;
	uint32_t checkpoint;
	bool quiet;
	const char *image, *output;
};

static const char usage[] =
	"usage: xensr core [OPTION...] FILE OUT\n"
	"\n"
	"Writes the memory and registers of a saved domain to OUT, for gdb, crash and others.\n"
	"\n"
	"  --format elf      an ELF core with virtual addresses (the default)\n"
	"  --format xen      Xen's own layout, as of `xl dump-core'\n"
	"  --raw             memory alone, each page at its address\n"
	"  --checkpoint N    the state at the Nth checkpoint instead of the last one\n"
	"  -q, --quiet       no warnings, no progress\n"
	"  -h, --help        this text\n";

/* Returns EXIT_FINE, or -1 when all is said and done, with *status. */
static int parse(int argc, char **argv, struct options *options, int *status)
{
	static const struct option longs[] = {
		{"format", required_argument, NULL, 'f'},
		{"raw", no_argument, NULL, 'r'},
		{"checkpoint", required_argument, NULL, 'c'},
		{"quiet", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	const char *format = NULL;
	bool raw = false;
	int c;

	*status = EXIT_USAGE;
	while ((c = getopt_long(argc, argv, "qh", longs, NULL)) != -1) {
		switch (c) {
		case 'f':
			format = optarg;
			break;
		case 'r':
			raw = true;
			break;
		case 'c':
			if (parse_checkpoint("core", optarg, &options->checkpoint))
				return -1;
			break;
		case 'q':
			options->quiet = true;
			break;
		case 'h':
			fputs(usage, stdout);
			*status = EXIT_FINE;
			return -1;
		default:
			command_usage("core", NULL);
			return -1;
		}
	}
	if (argc - optind != 2) {
		command_usage("core", "it takes an image and the name of the core to write");
		return -1;
	}
	if (!strcmp(argv[optind + 1], "-")) {
		command_usage("core", "a core cannot be written to standard output: it has holes");
		return -1;
	}
	if (raw && format) {
		command_usage("core", "--raw and --format exclude each other");
		return -1;
	}
	if (format && strcmp(format, "elf") != 0 && strcmp(format, "xen") != 0) {
		command_usage("core", "no format `%s': elf or xen", format);
		return -1;
	}
	options->format = raw ? CORE_RAW : format && !strcmp(format, "xen") ? CORE_XEN : CORE_ELF;
	options->image = argv[optind];
	options->output = argv[optind + 1];
	return EXIT_FINE;
}

static int write_core(struct core *core, enum core_format format)
{
	switch (format) {
	case CORE_ELF:
		return core_elf_write(core);
	case CORE_XEN:
		return core_xen_write(core);
	default:
		return core_write_memory(core, &(struct core_place){.by_address = true}, NULL);
	}
}

static int make_core(const struct image *image, const struct options *options)
{
	struct image_error err = {.offset = UINT64_MAX};
	struct vcpu_list vcpus;
	struct sparse_file output;
	struct core core = {
		.image = image,
		.vcpus = &vcpus,
		.output = &output,
		.err = &err,
		.quiet = options->quiet,
	};
	unsigned malformed;
	int status = EXIT_TROUBLE;

	if (vcpu_list_load(&vcpus, image, &malformed, &err)) {
		command_error("core", "%s", err.text);
		return EXIT_TROUBLE;
	}
	if (malformed && options->format != CORE_RAW)
		core_warn(&core, "%u vcpus are not as they should be: they are left out",
			  malformed);
	if (!vcpus.count && options->format != CORE_RAW)
		core_warn(&core, "there are no registers in it: a core of memory alone");
	if (sparse_file_open(&output, options->output)) {
		command_error("core", "%s", output.error);
		goto out;
	}
	if (write_core(&core, options->format)) {
		command_error("core", "%s", err.text);
		goto out;
	}
	if (sparse_file_commit(&output)) {
		command_error("core", "%s", output.error);
		goto out;
	}
	status = EXIT_FINE;
out:
	sparse_file_abandon(&output);
	vcpu_list_release(&vcpus);
	return status;
}

int cmd_core(int argc, char **argv)
{
	struct options options = {.format = CORE_ELF};
	struct image image;
	int status, code;

	if (parse(argc, argv, &options, &status))
		return status;
	status = open_state(&image, "core", options.image, options.checkpoint, &code);
	if (status == EXIT_FINE)
		status = command_worse(make_core(&image, &options), code);
	image_close(&image);
	return status;
}
