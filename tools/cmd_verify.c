/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xensr verify: everything that a restore would check, and all that it would find.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "emulator_state.h"
#include "legacy_walk.h"
#include "options.h"
#include "progress.h"
#include "state_check.h"
#include "toolstack/xl_file.h"
#include "walk.h"

static const char name[] = "verify";

/* In an xl file: after the header and the configuration's length. */
#define CONFIG_OFFSET (sizeof(struct wire_xl_header) + sizeof(uint32_t))

static const char help[] =
	"usage: xensr verify [OPTION...] FILE...\n"
	"Check everything that a restore would check, and tell all findings.\n"
	"A FILE that is - is standard input.\n"
	"\n"
	"      --checkpointed  a checkpointed stream is expected (else its first CHECKPOINT "
	"tells)\n"
	"      --quick         do not read what is not looked at: finds no unreadable sector,\n"
	"                      and compares no checksum but the first\n"
	"      --tee           pass standard input on to standard output, octet for octet;\n"
	"                      the findings go to standard error\n"
	"      --json          print the findings as JSON\n"
	"  -q, --quiet         print nothing but trouble; the exit code tells\n"
	"  -h, --help          print this\n"
	"\n"
	"Exit codes: 0 fine, 1 warnings only, 2 errors, 3 wrong usage, 4 trouble on our side.\n";

/* --json: findings of a file that are printed. A file can have one for every few octets. */
#define FINDINGS_MOST 10000

struct options {
	bool checkpointed, quick, tee, json, quiet;
};

struct verify {
	const struct options *options;
	const char *path;
	FILE *out; /* where findings go */
	struct image image;
	struct walk walk;
	struct state_check state;
	struct progress progress;
	json_t *findings; /* --json */
	uint64_t errors, warnings, records, pages;
	uint64_t more; /* findings that --json leaves out */
	bool no_memory;
};

static int take_record(void *data, const struct walk_record *record)
{
	struct verify *verify = data;

	verify->records++;
	verify->pages += record->place.data_pages;
	if (!state_check_record(&verify->state, &verify->walk, record) &&
	    (!emulator_state_is_known(record) || !emulator_state_check(&verify->walk, record)))
		return 0;
	verify->no_memory = true;
	return -1;
}

static uint32_t wanted(void *data, const struct walk_record *record)
{
	const struct verify *verify = data;

	return state_check_wanted(&verify->state, &verify->walk, record);
}

static int take_page(void *data, const struct walk_record *record, uint32_t entry,
		     const uint8_t *octets)
{
	struct verify *verify = data;

	if (!state_check_page(&verify->state, &verify->walk, record, entry, octets))
		return 0;
	verify->no_memory = true;
	return -1;
}

static int take_finding(void *data, const struct walk_finding *finding)
{
	struct verify *verify = data;
	bool error = finding->severity == WALK_ERROR;

	verify->errors += error;
	verify->warnings += !error;
	if (verify->options->json) {
		json_t *fact;

		if (json_array_size(verify->findings) >= FINDINGS_MOST) {
			verify->more++;
			return 0;
		}
		fact = json_pack("{s:s, s:I, s:s}", "severity", error ? "error" : "warning",
				 "offset", (json_int_t)finding->offset, "text", finding->text);

		if (fact && !json_array_append_new(verify->findings, fact))
			return 0;
		verify->no_memory = true;
		return -1;
	}
	if (verify->options->quiet)
		return 0;
	progress_end(&verify->progress);
	fprintf(verify->out, "%s: %s: %s\n", verify->path, error ? "error" : "warning",
		finding->text);
	return 0;
}

static const struct walk_ops ops = {
	.record = take_record,
	.wanted = wanted,
	.page = take_page,
	.finding = take_finding,
	.checksums = true,
	.legacy = legacy_walk,
};

static void moved(void *data, uint64_t fetched, uint64_t octets)
{
	progress_show(data, fetched, octets);
}

static int verdict(const struct verify *verify)
{
	if (verify->errors)
		return EXIT_DAMAGED;
	return verify->warnings ? EXIT_DIFFERENT : EXIT_FINE;
}

static const char *const verdicts[] = {
	[EXIT_FINE] = "fine",
	[EXIT_DIFFERENT] = "warnings",
	[EXIT_DAMAGED] = "damaged",
};

/* What could have been looked at, and was not. */
enum unchecked {
	UNCHECKED_START_INFO,
	UNCHECKED_VERIFY_DATA,
	UNCHECKED_CHECKSUMS,
	UNCHECKED_CONTENTS,
	UNCHECKED_END
};

static const struct {
	const char *key, *text;
} unchecked[UNCHECKED_END] = {
	[UNCHECKED_START_INFO] = {"start_info", "the pages that the start info names"},
	[UNCHECKED_VERIFY_DATA] = {"verify_data", "the verify data's contents"},
	[UNCHECKED_CHECKSUMS] = {"checksums", "whether the checksums match"},
	[UNCHECKED_CONTENTS] = {"contents", "whether all of it can be read"},
};

static bool is_unchecked(const struct verify *verify, const struct source *source,
			 enum unchecked what)
{
	switch (what) {
	case UNCHECKED_START_INFO:
		return verify->state.unchecked & STATE_START_INFO;
	case UNCHECKED_VERIFY_DATA:
		return verify->state.unchecked & STATE_VERIFY_DATA;
	case UNCHECKED_CHECKSUMS:
		return verify->walk.sums.state == CHECKSUM_CHECKED && verify->walk.sums.frames_only;
	case UNCHECKED_CONTENTS:
		return source->sought;
	default:
		return false;
	}
}

static void print_unchecked(const struct verify *verify, const struct source *source)
{
	const char *before = source->seekable ? "; not checked, being quick: "
					      : "; it cannot be read again, so not checked: ";

	for (unsigned i = 0; i < UNCHECKED_END; i++) {
		if (!is_unchecked(verify, source, i))
			continue;
		fprintf(verify->out, "%s%s", before, unchecked[i].text);
		before = ", ";
	}
}

/* NULL without memory. */
static json_t *json_unchecked(const struct verify *verify, const struct source *source)
{
	json_t *keys = json_array();

	for (unsigned i = 0; i < UNCHECKED_END; i++) {
		if (is_unchecked(verify, source, i) &&
		    json_array_append_new(keys, json_string(unchecked[i].key))) {
			json_decref(keys);
			return NULL;
		}
	}
	return keys;
}

static void print_summary(const struct verify *verify, const struct source *source)
{
	char size[SIZE_TEXT];

	fprintf(verify->out, "%s: %s: ", verify->path, verdicts[verdict(verify)]);
	if (verify->errors || verify->warnings)
		fprintf(verify->out, "%" PRIu64 " errors, %" PRIu64 " warnings; ", verify->errors,
			verify->warnings);
	fprintf(verify->out, "%" PRIu64 " records, %" PRIu64 " pages, %s", verify->records,
		verify->pages, size_text(size, source->ctx.offset));
	if (verify->image.checkpoints)
		fprintf(verify->out, ", %u complete checkpoints", verify->image.checkpoints);
	if (verify->walk.sums.records)
		fprintf(verify->out, ", %" PRIu64 " checksums match", verify->walk.sums.records);
	print_unchecked(verify, source);
	fputc('\n', verify->out);
}

static json_t *json_summary(struct verify *verify, const struct source *source)
{
	return json_pack("{s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:O, s:I, s:o}", "file",
			 json_text(verify->path), "verdict", verdicts[verdict(verify)], "errors",
			 (json_int_t)verify->errors, "warnings", (json_int_t)verify->warnings,
			 "records", (json_int_t)verify->records, "pages", (json_int_t)verify->pages,
			 "octets", (json_int_t)source->ctx.offset, "checkpoints",
			 (json_int_t)verify->image.checkpoints, "checksums",
			 (json_int_t)verify->walk.sums.records, "findings", verify->findings,
			 "more", (json_int_t)verify->more, "unchecked",
			 json_unchecked(verify, source));
}

/*
 * What follows the outermost END is none of the domain. After damage nobody knows what it is. In a
 * migration the two toolstacks still have a word for each other, and who goes first does not matter.
 */
static int drain(struct verify *verify, struct source *source)
{
	struct xensr_ctx *ctx = &source->ctx;
	bool talk = verify->options->tee && verify->walk.ended;
	uint64_t more;

	ctx_leave(ctx);
	ctx_enter(ctx, "data", XENSR_NO_RECORD, ctx->offset);
	if (source_drain(source, &more)) {
		if (!talk || !source->tee_failed || ctx->err.errnum != EPIPE)
			return -1;
		error_init(&ctx->err);
	}
	if (more && verify->walk.ended && !talk)
		walk_find(&verify->walk, WALK_WARNING, "%" PRIu64 " octets after the end", more);
	return 0;
}

/* xl cannot make a domain from a configuration that is no JSON. */
static void check_config(struct verify *verify, struct xensr_ctx *ctx)
{
	json_error_t err;
	json_t *config;

	if (!verify->image.config || !verify->image.config_is_json)
		return;
	config = json_loads(verify->image.config, 0, &err);
	json_decref(config);
	if (config)
		return;
	ctx_enter(ctx, "configuration", XENSR_NO_RECORD, CONFIG_OFFSET);
	walk_find(&verify->walk, WALK_ERROR, "line %d, column %d: %s", err.line, err.column,
		  err.text);
}

static int check_source(struct verify *verify, struct source *source)
{
	uint64_t rest;

	if (walk_run(&verify->walk, source, &verify->image, verify->options->checkpointed, &ops,
		     verify)) {
		/* Short of memory, it can be passed on all the same. */
		if (verify->options->tee && !source->tee_failed)
			(void)!source_drain(source, &rest);
		return -1;
	}
	check_config(verify, &source->ctx);
	ctx_leave(&source->ctx);
	if (verify->image.kind == IMAGE_LEGACY && !verify->errors)
		walk_find(&verify->walk, WALK_WARNING,
			  "a legacy image of Xen 4.5 or earlier: it has to be converted before it "
			  "can "
			  "be restored (xensr convert)");
	return drain(verify, source);
}

/* Returns an exit code. *fact is what --json is to print of the file. */
static int verify_file(const struct options *options, const char *path, json_t **fact)
{
	struct verify verify = {
		.options = options,
		.path = path,
		.out = options->tee ? stderr : stdout,
		.findings = json_array(),
	};
	struct source source;
	int code = EXIT_TROUBLE;

	progress_begin(&verify.progress, path, options->quiet || options->json || options->tee);
	if (source_open(&source, path, options->quick ? SKIP_SEEK : SKIP_READ))
		goto failed;
	/* What cannot be sought is read anyway. */
	if (!source.seekable)
		source.skip = SKIP_READ;
	source.moved = moved;
	source.moved_data = &verify.progress;
	if (options->tee)
		source_tee(&source, STDOUT_FILENO);
	if (check_source(&verify, &source))
		goto failed;
	if (verify.no_memory || !verify.findings) {
		ctx_leave(&source.ctx);
		ctx_fail_errno(&source.ctx, ENOMEM, "no room for what is known of it");
		goto failed;
	}
	progress_end(&verify.progress);
	code = verdict(&verify);
	if (options->json)
		*fact = json_summary(&verify, &source);
	else if (!options->quiet)
		print_summary(&verify, &source);
	goto out;
failed:
	progress_end(&verify.progress);
	command_error(name, "%s: %s", path, source.ctx.err.text);
	if (options->json)
		*fact = json_pack("{s:o, s:s, s:o}", "file", json_text(path), "verdict", "trouble",
				  "text", json_text(source.ctx.err.text));
out:
	json_decref(verify.findings);
	state_check_release(&verify.state);
	walk_release(&verify.walk);
	free(verify.image.config);
	source_close(&source);
	return code;
}

static int verify_files(const struct options *options, char **paths)
{
	json_t *facts = options->json ? json_array() : NULL;
	int code = EXIT_FINE;

	for (; *paths; paths++) {
		json_t *fact = NULL;
		int one = verify_file(options, *paths, &fact);

		code = command_worse(code, one);
		if (!options->json)
			continue;
		if (json_array_append_new(facts, fact)) {
			json_decref(facts);
			facts = NULL;
			break;
		}
	}
	if (!options->json)
		return command_finish(name, code);
	return command_print_json(name, facts, code);
}

int cmd_verify(int argc, char **argv)
{
	struct options options = {0};
	const struct option_place places[] = {
		{"checkpointed", .flag = &options.checkpointed},
		{"quick", .flag = &options.quick},
		{"tee", .flag = &options.tee},
		{"json", .flag = &options.json},
		{"quiet", 'q', .flag = &options.quiet},
		{.name = NULL},
	};
	int code = options_read(name, help, places, argc, argv);

	if (code >= 0)
		return code;
	if (optind == argc)
		return command_usage(name, "no file given");
	if (options.tee && (optind + 1 != argc || strcmp(argv[optind], "-") != 0))
		return command_usage(name, "--tee passes on standard input: give - alone");
	if (options.tee && options.json)
		return command_usage(name, "--tee needs standard output for itself: no --json");
	if (options.tee)
		signal(SIGPIPE, SIG_IGN);
	return verify_files(&options, argv + optind);
}
