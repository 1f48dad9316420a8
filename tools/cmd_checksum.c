/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xensr checksum: checks the checksums of saved domains, or adds them (docs/checksum.md). Both are
 * a conversion that changes nothing else; to check is to write the result nowhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "command.h"
#include "convert.h"
#include "options.h"
#include "output_file.h"

static const char name[] = "checksum";

static const char help[] =
	"usage: xensr checksum [OPTION...] FILE...\n"
	"       xensr checksum --add [OPTION...] IN OUT\n"
	"Check saved domains against the checksums in them, or write a copy that has them.\n"
	"`-' is standard input or output.\n"
	"\n"
	"      --add      write IN to OUT with checksums; stock Xen restores that, too\n"
	"      --json     print what was found as JSON\n"
	"  -q, --quiet    no progress bar; print errors only\n"
	"  -h, --help     print this\n";

struct options {
	bool add, json, quiet;
	char **paths;
	int count;
};

/* What came of one file. */
struct verdict {
	int code;
	const char *word; /* "good", "damaged", "none", "unknown", "trouble" */
	char text[768];
};

/* ---- input -------------------------------------------------------------------------------------- */

/* Returns 0, or -1 with errno. */
static int open_input(struct convert *convert, const char *path)
{
	const struct xensr_reports no_reports = {0};
	bool standard = !strcmp(path, "-");
	struct stat st;
	int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);

	*convert = (struct convert){.in_path = path, .as_is = true, .octets = UINT64_MAX};
	ctx_init(&convert->in, fd, &no_reports);
	ctx_init(&convert->out, -1, &no_reports);
	if (fd < 0 || fstat(fd, &st))
		return -1;
	if (S_ISDIR(st.st_mode)) {
		errno = EISDIR;
		return -1;
	}
	if (S_ISREG(st.st_mode) && !standard)
		convert->octets = (uint64_t)st.st_size;
	return 0;
}

static void close_input(struct convert *convert)
{
	if (convert->in.io_fd > STDIN_FILENO)
		close(convert->in.io_fd);
	convert->in.io_fd = -1;
	body_release(&convert->raw);
}

/* Checksums are for plain streams of version 2 and 3. */
static bool is_checkpointed(const struct convert *convert)
{
	const struct xensr_error *err = &convert->in.err;

	return err->errnum == EBADMSG && err->record_type == REC_CHECKPOINT;
}

/* Read all of it, checking it and its checksums, and write it out again. */
static int pass(struct convert *convert, bool quiet)
{
	int rc = -1;

	progress_begin(&convert->progress, convert->sum ? "adding checksums" : "checking", quiet);
	if (wrapping_identify(convert) == 0 && wrapping_begin(convert) == 0) {
		if (convert->kind == IMAGE_LEGACY)
			ctx_fail(&convert->in, ENOTSUP,
				 "an image of Xen 4.5 or earlier, which cannot have checksums: see "
				 "xensr-convert(1)");
		else
			rc = convert_stream(convert);
	}
	progress_end(&convert->progress);
	if (rc && is_checkpointed(convert)) {
		error_init(&convert->in.err);
		ctx_leave(&convert->in);
		ctx_fail(&convert->in, ENOTSUP,
			 "a checkpointed stream, which cannot have checksums");
	}
	return rc;
}

/* ---- checking ------------------------------------------------------------------------------------ */

static void conclude(struct verdict *verdict, int code, const char *word, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

static void conclude(struct verdict *verdict, int code, const char *word, const char *fmt, ...)
{
	va_list args;

	verdict->code = code;
	verdict->word = word;
	va_start(args, fmt);
	vsnprintf(verdict->text, sizeof(verdict->text), fmt, args);
	va_end(args);
}

/* It could not be read to its end. */
static void conclude_failure(struct verdict *verdict, const struct convert *convert)
{
	const struct xensr_error *err = &convert->in.err;
	int code = command_exit(err->errnum);

	if (err->errnum == ENOTSUP)
		conclude(verdict, EXIT_DIFFERENT, "none", "%s", err->text);
	else if (code == EXIT_DAMAGED && convert->sums.state == CHECKSUM_CHECKED &&
		 err->record_type != REC_CHECKSUM)
		conclude(verdict, code, "damaged",
			 "%s (the last checksum that was right is at offset %" PRIu64 ")",
			 err->text, convert->sums.good_to);
	else
		conclude(verdict, code, code == EXIT_DAMAGED ? "damaged" : "trouble", "%s",
			 err->text);
}

static void check_stream(struct verdict *verdict, struct convert *convert, bool quiet)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	convert->out.io_fd = fd;
	if (fd < 0) {
		conclude(verdict, EXIT_TROUBLE, "trouble", "/dev/null: %s", strerror(errno));
		return;
	}
	if (pass(convert, quiet)) {
		conclude_failure(verdict, convert);
	} else {
		switch (convert->sums.state) {
		case CHECKSUM_NONE:
			conclude(verdict, EXIT_DIFFERENT, "none",
				 "has no checksums (xensr verify checks the rest)");
			break;
		case CHECKSUM_UNKNOWN:
			conclude(verdict, EXIT_DIFFERENT, "unknown",
				 "its checksums are of algorithm %u, which is unknown",
				 convert->sums.algorithm);
			break;
		case CHECKSUM_CHECKED:
			conclude(verdict, EXIT_FINE, "good", "%" PRIu64 " checksums are right",
				 convert->sums.records);
			break;
		}
	}
	close(fd);
}

static json_t *verdict_json(const struct verdict *verdict, const struct convert *convert)
{
	return json_pack("{s:o, s:s, s:o, s:I, s:I}", "file", json_text(convert->in_path),
			 "verdict", verdict->word, "text", json_text(verdict->text), "checksums",
			 (json_int_t)convert->sums.records, "good_to",
			 (json_int_t)convert->sums.good_to);
}

static void report(const struct verdict *verdict, const char *path, bool quiet)
{
	if (verdict->code != EXIT_FINE)
		command_error(name, "%s: %s", path, verdict->text);
	else if (!quiet)
		printf("%s: %s\n", path, verdict->text);
}

static int check_files(const struct options *options)
{
	json_t *list = options->json ? json_array() : NULL;
	int code = EXIT_FINE;

	for (int i = 0; i < options->count; i++) {
		struct verdict verdict;
		struct convert convert;

		if (open_input(&convert, options->paths[i]))
			conclude(&verdict, EXIT_TROUBLE, "trouble", "%s", strerror(errno));
		else
			check_stream(&verdict, &convert, options->quiet || options->json);
		/* An item that could not be made is missed by json_array_append_new. */
		if (options->json &&
		    json_array_append_new(list, verdict_json(&verdict, &convert))) {
			json_decref(list);
			list = NULL;
		}
		if (!options->json || verdict.code == EXIT_TROUBLE)
			report(&verdict, options->paths[i], options->quiet);
		close_input(&convert);
		code = command_worse(code, verdict.code);
		if (options->json && !list)
			break;
	}
	return options->json ? command_print_json(name, list, code) : command_finish(name, code);
}

/* ---- adding -------------------------------------------------------------------------------------- */

static int add_failure(const struct convert *convert, const char *out_path)
{
	if (error_is_set(&convert->out.err)) {
		command_error(name, "%s: %s", out_path, convert->out.err.text);
		return EXIT_TROUBLE;
	}
	command_error(name, "%s: %s", convert->in_path, convert->in.err.text);
	return convert->in.err.errnum == ENOTSUP ? EXIT_USAGE
						 : (int)command_exit(convert->in.err.errnum);
}

static int add_to_file(struct convert *convert, const char *out_path, bool quiet)
{
	struct output_file file;
	int code = EXIT_FINE;

	if (output_open(&file, out_path)) {
		code = command_error(name, "%s: %s", out_path, strerror(errno));
		goto out;
	}
	convert->out.io_fd = file.fd;
	if (pass(convert, quiet))
		code = add_failure(convert, out_path);
	else if (output_commit(&file))
		code = command_error(name, "%s: %s", out_path, strerror(errno));
out:
	output_discard(&file);
	return code;
}

static int add_checksums(const struct options *options)
{
	struct convert convert;
	int code;

	if (open_input(&convert, options->paths[0])) {
		code = command_error(name, "%s: %s", options->paths[0], strerror(errno));
		goto out;
	}
	convert.sum = checksum_new(0);
	if (!convert.sum) {
		code = command_error(name, "%s", strerror(ENOMEM));
		goto out;
	}
	code = add_to_file(&convert, options->paths[1], options->quiet);
out:
	checksum_free(convert.sum);
	close_input(&convert);
	return code;
}

int cmd_checksum(int argc, char **argv)
{
	struct options options = {0};
	const struct option_place places[] = {
		{"add", .flag = &options.add},
		{"json", .flag = &options.json},
		{"quiet", 'q', .flag = &options.quiet},
		{.name = NULL},
	};
	int code = options_read(name, help, places, argc, argv);

	if (code >= 0)
		return code;
	options.paths = argv + optind;
	options.count = argc - optind;
	if (options.add && options.json)
		return command_usage(name, "--json is for checking");
	if (options.add && options.count != 2)
		return command_usage(name, "--add needs an input and an output");
	if (options.count == 0)
		return command_usage(name, "which file?");
	return options.add ? add_checksums(&options) : check_files(&options);
}
