/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xensr info: what is in a saved domain.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "convert.h"
#include "legacy_walk.h"
#include "options.h"
#include "progress.h"
#include "record.h"
#include "record_text.h"
#include "survey.h"

static const char name[] = "info";

static const char help[] =
	"usage: xensr info [OPTION...] FILE\n"
	"Say what is in a saved domain: the guest, its memory, the records and pages.\n"
	"A FILE that is - is standard input.\n"
	"\n"
	"      --json   print JSON\n"
	"  -q, --quiet  no progress bar\n"
	"  -h, --help   print this\n";

#define ZSTD_LEVEL 1

struct info {
	const char *path;
	struct image image;
	struct walk walk;
	struct survey survey;
	struct progress progress;
	json_t *config; /* the domain's configuration, or NULL */
	int code;
	uint64_t octets;

	/* What the survey led to. */
	uint64_t same_content;
	uint64_t sampled, compressed; /* octets */
};

static int take_record(void *data, const struct walk_record *record)
{
	struct info *info = data;

	return survey_record(&info->survey, record);
}

static int take_pages(void *data, const struct walk_record *record, uint32_t first, uint32_t n,
		      const uint8_t *octets)
{
	struct info *info = data;

	(void)record;
	(void)first;
	return survey_pages(&info->survey, n, octets);
}

static int take_finding(void *data, const struct walk_finding *finding)
{
	struct info *info = data;

	if (finding->severity != WALK_ERROR)
		return 0;
	progress_end(&info->progress);
	command_error(name, "%s: %s", info->path, finding->text);
	info->code = EXIT_DAMAGED;
	return 0;
}

static const struct walk_ops ops = {
	.record = take_record,
	.pages = take_pages,
	.finding = take_finding,
	.legacy = legacy_walk,
};

static void moved(void *data, uint64_t fetched, uint64_t octets)
{
	progress_show(data, fetched, octets);
}

/* ---- facts ------------------------------------------------------------------------------------- */

static const char *layers(const struct info *info)
{
	switch (info->image.kind) {
	case IMAGE_XL:
		return "xl file";
	case IMAGE_LIBXL:
		return "libxl stream";
	case IMAGE_LEGACY:
		if (info->image.config)
			return info->image.legacy_64bit
				       ? "xl file, legacy image of a 64-bit toolstack"
				       : "xl file, legacy image of a 32-bit toolstack";
		return info->image.legacy_64bit ? "legacy image of a 64-bit toolstack"
						: "legacy image of a 32-bit toolstack";
	case IMAGE_DOMAIN:
		break;
	}
	return "domain stream";
}

static json_t *config_at(const struct info *info, const char *part, const char *key)
{
	return json_object_get(json_object_get(info->config, part), key);
}

static const char *config_text(const struct info *info, const char *part, const char *key)
{
	return json_string_value(config_at(info, part, key));
}

/* HVM and PVH are the same to the stream; the configuration knows. */
static const char *guest_type(const struct info *info)
{
	const char *type = config_text(info, "c_info", "type");

	if (info->image.headers.guest_type == GUEST_X86_PV)
		return info->image.guest_width == 4 ? "x86 PV, 32-bit" : "x86 PV, 64-bit";
	if (type && !strcmp(type, "pvh"))
		return "x86 PVH";
	if (type || info->survey.have_emulator)
		return "x86 HVM";
	return "x86 HVM or PVH";
}

/* NULL: none, or not known. */
static const char *device_model(const struct info *info)
{
	static const char *const emulators[] = {"unknown", "qemu-traditional", "qemu upstream"};
	const char *model = config_text(info, "b_info", "device_model_version");

	if (info->survey.have_emulator)
		return info->survey.emulator < 3 ? emulators[info->survey.emulator] : "unknown";
	return model;
}

/* Those of a legacy image are what a conversion would write. */
static bool has_domain(const struct info *info)
{
	return info->image.headers.version != 0 && info->image.kind != IMAGE_LEGACY;
}

/* And so far into a legacy image that the guest is known. */
static bool has_legacy(const struct info *info)
{
	return info->image.headers.version != 0 && info->image.kind == IMAGE_LEGACY;
}

/* Of a legacy image: before the state of its guest has come, its chunks tell. */
static uint32_t vcpus(const struct info *info)
{
	return has_legacy(info) ? info->image.legacy.vcpus : info->survey.vcpus;
}

/* A domain stream in nothing is known by its header: without one it may be any file. */
static bool is_known(const struct info *info)
{
	return has_domain(info) || info->image.kind != IMAGE_DOMAIN;
}

/* ---- text -------------------------------------------------------------------------------------- */

static void print_fact(const char *what, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void print_fact(const char *what, const char *fmt, ...)
{
	va_list args;

	printf("%-16s ", what);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
}

static void print_counts(const struct info *info)
{
	const struct survey *survey = &info->survey;

	puts("\nrecords                              count       octets");
	for (unsigned t = 0; t < LIBXL_RECORD_TYPES; t++) {
		if (survey->libxl[t].records)
			printf("  libxl %-22s %11" PRIu64 " %12" PRIu64 "\n", libxl_rule(t)->name,
			       survey->libxl[t].records, survey->libxl[t].octets);
	}
	for (unsigned t = 0; t < REC_TYPES; t++) {
		if (survey->domain[t].records)
			printf("  %-28s %11" PRIu64 " %12" PRIu64 "\n", record_rule(t)->name,
			       survey->domain[t].records, survey->domain[t].octets);
	}
	if (survey->others.records)
		printf("  %-28s %11" PRIu64 " %12" PRIu64 "\n", "(unknown types)",
		       survey->others.records, survey->others.octets);
}

static void print_types(const struct info *info)
{
	const struct survey *survey = &info->survey;
	char size[SIZE_TEXT];

	puts("\npages                                count         size");
	for (unsigned t = 0; t < 16; t++) {
		enum page_type type = (enum page_type)t;

		if (!survey->types[t])
			continue;
		printf("  %-28s %11" PRIu64 " %12s\n", page_type_name(type), survey->types[t],
		       page_type_has_data(type) ? size_text(size, survey->types[t] * PAGE_OCTETS)
						: "-");
	}
}

static void print_pages(const struct info *info)
{
	const struct survey *survey = &info->survey;
	char size[SIZE_TEXT], total[SIZE_TEXT];

	putchar('\n');
	print_fact("sent again", "%" PRIu64 " pages, of %" PRIu64 " with content",
		   survey->pages - survey->distinct_pages, survey->pages);
	print_fact("all zero", "%" PRIu64 " pages", survey->zero_pages);
	print_fact("same content", "%" PRIu64 " more pages have what another one has",
		   info->same_content);
	if (!info->sampled)
		return;
	print_fact("compresses", "to %.0f %% (estimate: zstd level %d over a sample of %s of %s)",
		   100 * (double)info->compressed / (double)info->sampled, ZSTD_LEVEL,
		   size_text(size, info->sampled), size_text(total, survey->pages * PAGE_OCTETS));
}

static void print_guest(const struct info *info)
{
	const char *title = config_text(info, "c_info", "name");
	char size[SIZE_TEXT], plain[256];

	if (title)
		print_fact("name", "%s", plain_text(plain, sizeof(plain), title));
	print_fact("guest", "%s", guest_type(info));
	print_fact("memory", "%" PRIu64 " pages, %s; highest pfn %#" PRIx64,
		   info->survey.populated_pages,
		   size_text(size, info->survey.populated_pages * PAGE_OCTETS),
		   info->survey.highest_pfn);
	print_fact("vcpus", "%u", vcpus(info));
}

static void print_domain(const struct info *info)
{
	const struct stream_headers *headers = &info->image.headers;

	print_guest(info);
	if (headers->xen_major)
		print_fact("saved by", "Xen %u.%u", headers->xen_major, headers->xen_minor);
	else
		print_fact("saved by", "Xen 4.5 or earlier, and converted");
	if (device_model(info))
		print_fact("device model", "%s", device_model(info));
	if (info->survey.domain[REC_CHECKPOINT].records)
		print_fact("checkpoints", "%u complete", info->image.checkpoints);
	print_fact("complete", "%s", info->image.complete ? "yes" : "no");
	print_counts(info);
	print_types(info);
	print_pages(info);
}

static void print_legacy(const struct info *info)
{
	const struct legacy_facts *facts = &info->image.legacy;

	print_guest(info);
	print_fact("p2m", "%" PRIu64 " pages", facts->p2m_size);
	print_fact("saved by", "Xen 4.5 or earlier");
	if (device_model(info))
		print_fact("device model", "%s", device_model(info));
	if (facts->tails > 1)
		print_fact("checkpoints", "%u", facts->tails);
	print_fact("complete", "%s", info->image.complete ? "yes" : "no");
	if (info->image.complete)
		print_fact("to restore it", "xensr convert makes a domain stream version 3 of it");
	puts("\nchunks                               count");
	printf("  %-28s %11" PRIu64 "\n", "batches of pages", facts->batches);
	for (unsigned n = 1; n < LEGACY_CHUNKS; n++) {
		if (facts->chunks[n])
			printf("  %-28s %11" PRIu64 "\n", legacy_chunk_name(n), facts->chunks[n]);
	}
	print_types(info);
	print_pages(info);
}

static int print_text(const struct info *info)
{
	char size[SIZE_TEXT];

	print_fact("file", "%s", info->path);
	print_fact("size", "%s", size_text(size, info->octets));
	if (has_domain(info))
		print_fact("format", "%s, domain stream version %u%s", layers(info),
			   info->image.headers.version,
			   info->survey.domain[REC_CHECKPOINT].records ? ", checkpointed" : "");
	else
		print_fact("format", "%s", is_known(info) ? layers(info) : "unknown");
	if (has_domain(info))
		print_domain(info);
	if (has_legacy(info))
		print_legacy(info);
	return command_finish(name, info->code);
}

/* ---- JSON -------------------------------------------------------------------------------------- */

static json_t *json_count(const struct survey_count *count)
{
	return json_pack("{s:I, s:I}", "count", (json_int_t)count->records, "octets",
			 (json_int_t)count->octets);
}

static json_t *json_records(const struct survey *survey)
{
	json_t *domain = json_object(), *libxl = json_object();
	int bad = 0;

	for (unsigned t = 0; t < REC_TYPES; t++) {
		if (survey->domain[t].records)
			bad |= json_object_set_new(domain, record_rule(t)->name,
						   json_count(&survey->domain[t]));
	}
	for (unsigned t = 0; t < LIBXL_RECORD_TYPES; t++) {
		if (survey->libxl[t].records)
			bad |= json_object_set_new(libxl, libxl_rule(t)->name,
						   json_count(&survey->libxl[t]));
	}
	if (!bad)
		return json_pack("{s:o, s:o, s:o}", "domain", domain, "libxl", libxl, "unknown",
				 json_count(&survey->others));
	json_decref(domain);
	json_decref(libxl);
	return NULL;
}

static json_t *json_pages(const struct info *info)
{
	const struct survey *survey = &info->survey;
	json_t *types = json_object();
	int bad = 0;

	for (unsigned t = 0; t < 16; t++) {
		if (survey->types[t])
			bad |= json_object_set_new(types, page_type_key((enum page_type)t),
						   json_integer((json_int_t)survey->types[t]));
	}
	if (!bad)
		return json_pack("{s:o, s:I, s:I, s:I, s:I, s:{s:s, s:i, s:I, s:I}}", "types",
				 types, "with_content", (json_int_t)survey->pages, "sent_again",
				 (json_int_t)(survey->pages - survey->distinct_pages), "zero",
				 (json_int_t)survey->zero_pages, "same_content",
				 (json_int_t)info->same_content, "compression", "method", "zstd",
				 "level", ZSTD_LEVEL, "sampled_octets", (json_int_t)info->sampled,
				 "compressed_octets", (json_int_t)info->compressed);
	json_decref(types);
	return NULL;
}

static const char *const kinds[] = {
	[IMAGE_DOMAIN] = "domain",
	[IMAGE_LIBXL] = "libxl",
	[IMAGE_XL] = "xl",
	[IMAGE_LEGACY] = "legacy",
};

static json_t *json_domain(const struct info *info)
{
	const struct stream_headers *headers = &info->image.headers;
	bool pv = headers->guest_type == GUEST_X86_PV;
	uint64_t memory_octets = info->survey.populated_pages * PAGE_OCTETS;

	return json_pack(
		"{s:I, s:s, s:s, s:I, s:I, s:I, s:o, s:I, s:I, s:I, s:s*, s:s*, s:b, s:I, "
		"s:b, s:o, s:o}",
		"version", (json_int_t)headers->version, "guest_type", pv ? "pv" : "hvm", "guest",
		guest_type(info), "guest_width", (json_int_t)info->image.guest_width,
		"memory_pages", (json_int_t)info->survey.populated_pages, "memory_octets",
		(json_int_t)memory_octets, "highest_pfn", json_hex(info->survey.highest_pfn),
		"vcpus", (json_int_t)info->survey.vcpus, "xen_major",
		(json_int_t)headers->xen_major, "xen_minor", (json_int_t)headers->xen_minor, "name",
		config_text(info, "c_info", "name"), "device_model", device_model(info),
		"checkpointed", info->survey.domain[REC_CHECKPOINT].records != 0, "checkpoints",
		(json_int_t)info->image.checkpoints, "complete", info->image.complete, "records",
		json_records(&info->survey), "pages", json_pages(info));
}

static json_t *json_chunks(const struct legacy_facts *facts)
{
	json_t *chunks = json_object();
	int bad = 0;

	for (unsigned n = 1; n < LEGACY_CHUNKS; n++) {
		if (facts->chunks[n])
			bad |= json_object_set_new(chunks, legacy_chunk_name(n),
						   json_integer((json_int_t)facts->chunks[n]));
	}
	if (!bad)
		return chunks;
	json_decref(chunks);
	return NULL;
}

static json_t *json_legacy(const struct info *info)
{
	const struct legacy_facts *facts = &info->image.legacy;
	bool pv = info->image.headers.guest_type == GUEST_X86_PV;
	uint64_t memory_octets = info->survey.populated_pages * PAGE_OCTETS;

	return json_pack(
		"{s:s, s:s, s:I, s:I, s:I, s:I, s:o, s:I, s:s*, s:s*, s:I, s:b, s:b, s:I, "
		"s:o, s:o}",
		"guest_type", pv ? "pv" : "hvm", "guest", guest_type(info), "guest_width",
		(json_int_t)info->image.guest_width, "p2m_pages", (json_int_t)facts->p2m_size,
		"memory_pages", (json_int_t)info->survey.populated_pages, "memory_octets",
		(json_int_t)memory_octets, "highest_pfn", json_hex(info->survey.highest_pfn),
		"vcpus", (json_int_t)facts->vcpus, "name", config_text(info, "c_info", "name"),
		"device_model", device_model(info), "tails", (json_int_t)facts->tails,
		"verify_data", facts->verify, "complete", info->image.complete, "batches",
		(json_int_t)facts->batches, "chunks", json_chunks(facts), "pages",
		json_pages(info));
}

static int print_json(const struct info *info)
{
	json_t *root = json_pack("{s:o, s:I, s:s, s:b}", "file", json_text(info->path), "octets",
				 (json_int_t)info->octets, "kind",
				 is_known(info) ? kinds[info->image.kind] : "unknown", "damaged",
				 info->code == EXIT_DAMAGED);

	if (root && info->image.kind == IMAGE_LEGACY &&
	    json_object_set_new(root, "toolstack_bits",
				json_integer(info->image.legacy_64bit ? 64 : 32)))
		goto no_memory;
	if (root && has_domain(info) && json_object_set_new(root, "domain", json_domain(info)))
		goto no_memory;
	if (root && has_legacy(info) && json_object_set_new(root, "legacy", json_legacy(info)))
		goto no_memory;
	return command_print_json(name, root, info->code);
no_memory:
	json_decref(root);
	return command_print_json(name, NULL, info->code);
}

/* ------------------------------------------------------------------------------------------------ */

/* Walk over all of it. Returns 0, or -1, having told why. */
static int look(struct info *info, struct source *source)
{
	uint64_t rest;

	if (source_open(source, info->path, SKIP_SEEK)) {
		command_error(name, "%s: %s", info->path, source->ctx.err.text);
		return -1;
	}
	source->moved = moved;
	source->moved_data = &info->progress;
	if (walk_run(&info->walk, source, &info->image, false, &ops, info) ||
	    source_drain(source, &rest)) {
		command_error(name, "%s: %s", info->path, source->ctx.err.text);
		return -1;
	}
	info->octets = source->ctx.offset;
	if (info->survey.no_memory || page_sample_compress(&info->survey.sample, ZSTD_LEVEL,
							   &info->sampled, &info->compressed)) {
		command_error(name, "%s: no memory for what is known of it", info->path);
		return -1;
	}
	info->same_content = survey_same_content(&info->survey);
	return 0;
}

static int inform(const char *path, bool json, bool quiet)
{
	struct info info = {.path = path, .code = EXIT_FINE};
	struct source source;
	int code = EXIT_TROUBLE, rc;

	progress_begin(&info.progress, path, quiet || json);
	rc = look(&info, &source);
	progress_end(&info.progress);
	if (rc)
		goto out;
	if (info.image.config && info.image.config_is_json)
		info.config = json_loads(info.image.config, 0, NULL);
	code = json ? print_json(&info) : print_text(&info);
out:
	json_decref(info.config);
	survey_release(&info.survey);
	walk_release(&info.walk);
	source_close(&source);
	free(info.image.config);
	return code;
}

int cmd_info(int argc, char **argv)
{
	bool json = false, quiet = false;
	const struct option_place places[] = {
		{"json", .flag = &json},
		{"quiet", 'q', .flag = &quiet},
		{.name = NULL},
	};
	int code = options_read(name, help, places, argc, argv);

	if (code >= 0)
		return code;
	if (optind + 1 != argc)
		return command_usage(name, "give one file");
	return inform(argv[optind], json, quiet);
}
