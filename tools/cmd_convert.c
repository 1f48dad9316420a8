/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xensr convert: a saved domain of whatever kind as a plain one of version 3.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "convert.h"
#include "options.h"
#include "output_file.h"

static const char name[] = "convert";

static const char from_a_file[] = "a checkpointed stream is converted from a file, not a pipe";

static const char help[] =
	"usage: xensr convert [OPTION...] IN OUT\n"
	"\n"
	"Write the saved domain IN to OUT as a plain one, domain stream version 3.\n"
	"IN or OUT may be `-', unless IN is a checkpointed stream.\n"
	"\n"
	"  --checkpoint=N     of a checkpointed stream, the domain as of checkpoint N, from 1\n"
	"                     (default: the last that is complete)\n"
	"  --drop-verify      leave out what was sent a second time to be compared\n"
	"  --checksum         write OUT with checksums (see xensr-checksum(1))\n"
	"  --format=KIND      of a legacy image that xl has not wrapped: write a `domain'\n"
	"                     stream (the default) or a `libxl' stream\n"
	"  -q, --quiet        no progress bar\n"
	"  -h, --help         show this and exit\n";

struct options {
	struct convert convert;
	const char *out_path;
	uint32_t checkpoint; /* 0: not given */
	bool checksum, quiet;
	bool damaged_behind; /* the checkpoint that nobody has chosen */
};

static int parse_format(const char *text, enum convert_format *format)
{
	if (!strcmp(text, "domain"))
		*format = CONVERT_DOMAIN;
	else if (!strcmp(text, "libxl"))
		*format = CONVERT_LIBXL;
	else
		return -1;
	return 0;
}

/* Returns an exit_code, or -1 to go on. */
static int parse_options(struct options *options, int argc, char **argv)
{
	const char *format = NULL;
	const struct option_place places[] = {
		{"checkpoint", .checkpoint = &options->checkpoint},
		{"drop-verify", .flag = &options->convert.drop_verify},
		{"checksum", .flag = &options->checksum},
		{"format", .text = &format},
		{"quiet", 'q', .flag = &options->quiet},
		{.name = NULL},
	};
	int code = options_read(name, help, places, argc, argv);

	if (code >= 0)
		return code;
	if (format && parse_format(format, &options->convert.format))
		return command_usage(name, "--format takes `domain' or `libxl'");
	if (argc - optind != 2)
		return command_usage(name, "an input and an output are needed");
	options->convert.in_path = argv[optind];
	options->out_path = argv[optind + 1];
	return -1;
}

/* Whose fault it is when the input is the reason. */
static int input_exit_code(int errnum)
{
	switch (errnum) {
	case ENOTSUP: /* a legacy image's */
	case EMSGSIZE:
		return EXIT_DAMAGED;
	case ERANGE: /* of --checkpoint */
		return EXIT_USAGE;
	default:
		return command_exit(errnum);
	}
}

static int say(const char *path, const char *text, int code)
{
	command_error(name, "%s: %s", path, text);
	return code;
}

static int say_errno(const char *path, int errnum)
{
	return say(path, strerror(errnum), EXIT_TROUBLE);
}

/* image_error texts have the file's name. */
static int say_image_error(const struct image_error *err, int errnum)
{
	command_error(name, "%s", err->text);
	return input_exit_code(errnum);
}

/* Its checkpoints are found by an index, which needs a file. */
static bool is_checkpointed(const struct xensr_error *err)
{
	return err->errnum == EBADMSG && err->record_type == REC_CHECKPOINT;
}

/* After a conversion that failed: the reason is the output's, or the input's. */
static int say_failure(struct options *options, const struct image_error *err, int errnum)
{
	struct convert *convert = &options->convert;

	if (error_is_set(&convert->out.err))
		return say(options->out_path, convert->out.err.text, EXIT_TROUBLE);
	if (is_checkpointed(&convert->in.err))
		return say(convert->in_path, from_a_file, EXIT_USAGE);
	if (error_is_set(&convert->in.err))
		return say(convert->in_path, convert->in.err.text,
			   input_exit_code(convert->in.err.errnum));
	return say_image_error(err, errnum);
}

/* ---- the run ----------------------------------------------------------------------------------- */

static int run_conversion(struct convert *convert, const struct image *image,
			  struct image_error *err)
{
	if (wrapping_begin(convert))
		return -1;
	if (image && image->checkpoints)
		return convert_checkpoint(convert, image, err);
	return convert->kind == IMAGE_LEGACY ? convert_legacy(convert) : convert_stream(convert);
}

/* The input has been looked at as far as it can be: write the output. */
static int convert_to_file(struct options *options, const struct image *image)
{
	struct convert *convert = &options->convert;
	const struct xensr_reports no_reports = {0};
	struct image_error err = {.text = ""};
	struct output_file file;
	int code = options->damaged_behind ? EXIT_DIFFERENT : EXIT_FINE, failed, errnum;

	if (output_open(&file, options->out_path)) {
		code = say_errno(options->out_path, errno);
		goto out;
	}
	ctx_init(&convert->out, file.fd, &no_reports);
	if (options->checksum) {
		convert->sum = checksum_new(0);
		if (!convert->sum) {
			code = say_errno(options->out_path, ENOMEM);
			goto out;
		}
	}
	progress_begin(&convert->progress, "converting", options->quiet);
	failed = run_conversion(convert, image, &err);
	/* What went down a pipe, or to a device, cannot be had back. */
	if (!failed && file.temporary)
		failed = convert_check(convert, file.temporary);
	errnum = errno;
	progress_end(&convert->progress);
	if (failed) {
		code = say_failure(options, &err, errnum);
		goto out;
	}
	if (output_commit(&file))
		code = say_errno(options->out_path, errno);
out:
	checksum_free(convert->sum);
	body_release(&convert->raw);
	output_discard(&file);
	return code;
}

/* The index, too, opened the input by its name. */
static bool is_same_file(const struct convert *convert, const struct image *image)
{
	struct stat ours, indexed;

	return !fstat(convert->in.io_fd, &ours) && !fstat(image->fd, &indexed) &&
	       ours.st_dev == indexed.st_dev && ours.st_ino == indexed.st_ino;
}

/*
 * What is damaged behind the last complete checkpoint, a restore refuses as a whole: whoever has not
 * chosen a checkpoint is to notice that there was more.
 */
static void say_damaged_behind(struct options *options, const struct image *image,
			       const struct image_error *err)
{
	command_error(name, "warning: %s; going by checkpoint %u, which is complete", err->text,
		      options->checkpoint ? options->checkpoint : image->checkpoints);
	options->damaged_behind = !options->checkpoint;
}

/* A stream that ends there has ended as they do, when the sender dies. Nothing may have been lost. */
static void say_ends_behind(const struct image *image, const struct image_error *err)
{
	bool more = err->offset != image->octets ||
		    image->records[image->record_count - 1].checkpoint >= image->checkpoints;

	if (more)
		command_error(name, "%s; going by checkpoint %u, which is complete", err->text,
			      image->checkpoints);
}

/*
 * A file is indexed first: that tells whether it is checkpointed, and damage before anything is
 * written. Returns an exit_code, or -1 to go on.
 */
static int index_file(struct options *options, struct image *image)
{
	struct image_error err;
	int failed = image_open(image, options->convert.in_path, &err), errnum = errno;

	if (image->fd >= 0 && !is_same_file(&options->convert, image))
		return say(options->convert.in_path, "it has been replaced meanwhile",
			   EXIT_TROUBLE);
	if (failed) {
		bool cut = errnum == ENODATA || errnum == EBADMSG;

		/* Nothing is known of its memory, and no need to. */
		if (image->kind == IMAGE_LEGACY && cut)
			return -1;
		if (!(cut && image->checkpoints && image->complete))
			return say_image_error(&err, errnum);
		if (errnum == EBADMSG)
			say_damaged_behind(options, image, &err);
		else if (!options->checkpoint)
			say_ends_behind(image, &err);
	}
	if (options->checkpoint && image_select(image, options->checkpoint, &err))
		return say_image_error(&err, errno);
	return -1;
}

static int open_input(struct options *options, bool *seekable)
{
	const struct xensr_reports no_reports = {0};
	struct convert *convert = &options->convert;
	bool standard = !strcmp(convert->in_path, "-");
	struct stat st;
	int fd = standard ? STDIN_FILENO : open(convert->in_path, O_RDONLY | O_CLOEXEC);

	ctx_init(&convert->in, fd, &no_reports);
	if (fd < 0 || fstat(fd, &st))
		return say_errno(convert->in_path, errno);
	if (S_ISDIR(st.st_mode))
		return say_errno(convert->in_path, EISDIR);
	*seekable = !standard && S_ISREG(st.st_mode);
	convert->octets = *seekable ? (uint64_t)st.st_size : UINT64_MAX;
	return -1;
}

static int run(struct options *options)
{
	struct convert *convert = &options->convert;
	struct image image = {.fd = -1};
	bool seekable = false;
	int code = open_input(options, &seekable);

	if (code >= 0)
		goto out;
	if (wrapping_identify(convert)) {
		code = say(convert->in_path, convert->in.err.text,
			   input_exit_code(convert->in.err.errnum));
		goto out;
	}
	if (convert->format != CONVERT_SAME && convert->kind != IMAGE_LEGACY)
		code = command_usage(name, "--format is for legacy images that xl has not wrapped");
	else if (seekable)
		code = index_file(options, &image);
	else if (options->checkpoint)
		code = command_usage(name, "%s", from_a_file);
	if (code < 0)
		code = convert_to_file(options, seekable ? &image : NULL);
out:
	image_close(&image);
	if (convert->in.io_fd > STDIN_FILENO)
		close(convert->in.io_fd);
	return code;
}

int cmd_convert(int argc, char **argv)
{
	struct options options = {0};
	int code = parse_options(&options, argc, argv);

	return code >= 0 ? code : run(&options);
}
