/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xensr core: the memory and registers of a saved domain, for debuggers.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "core.h"
#include "open_state.h"
#include "options.h"

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

static const char name[] = "core";

static const char help[] =
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

/* Returns an exit_code, or -1 to go on. */
static int parse_options(struct options *options, int argc, char **argv)
{
	const char *format = NULL;
	bool raw = false;
	const struct option_place places[] = {
		{"format", .text = &format},
		{"raw", .flag = &raw},
		{"checkpoint", .checkpoint = &options->checkpoint},
		{"quiet", 'q', .flag = &options->quiet},
		{.name = NULL},
	};
	int code = options_read(name, help, places, argc, argv);

	if (code >= 0)
		return code;
	if (argc - optind != 2)
		return command_usage(name, "it takes an image and the name of the core to write");
	options->image = argv[optind];
	options->output = argv[optind + 1];
	if (!strcmp(options->output, "-"))
		return command_usage(name,
				     "a core cannot be written to standard output: it has holes");
	if (raw && format)
		return command_usage(name, "--raw and --format exclude each other");
	if (format && strcmp(format, "elf") != 0 && strcmp(format, "xen") != 0)
		return command_usage(name, "no format `%s': elf or xen", format);
	options->format = raw ? CORE_RAW : format && !strcmp(format, "xen") ? CORE_XEN : CORE_ELF;
	return -1;
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
		command_error(name, "%s", err.text);
		return EXIT_TROUBLE;
	}
	if (malformed && options->format != CORE_RAW)
		core_warn(&core, "%u vcpus are not as they should be: they are left out",
			  malformed);
	if (!vcpus.count && options->format != CORE_RAW)
		core_warn(&core, "there are no registers in it: a core of memory alone");
	if (sparse_file_open(&output, options->output)) {
		command_error(name, "%s", output.error);
		goto out;
	}
	if (write_core(&core, options->format)) {
		command_error(name, "%s", err.text);
		goto out;
	}
	if (sparse_file_commit(&output)) {
		command_error(name, "%s", output.error);
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
	int status = parse_options(&options, argc, argv), code;

	if (status >= 0)
		return status;
	status = open_state(&image, name, options.image, options.checkpoint, &code);
	if (status == EXIT_FINE)
		status = command_worse(make_core(&image, &options), code);
	image_close(&image);
	return status;
}
