/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One state of a checkpointed stream as a plain one: the last content of each page up to that
 * checkpoint, and the checkpoint's own records.
 */
#include "convert.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "toolstack/libxl_record.h"

/* What the input has to say of a record that is written. */
static void enter(struct convert *convert, const struct image_record *record)
{
	ctx_enter(&convert->in, record_title(record->type), record->type, record->offset);
}

static int copy_record(struct convert *convert, const struct image *image,
		       const struct image_record *record, struct image_error *err)
{
	const struct record_rule *rule = record_rule(record->type);
	void *body;
	int rc;

	/* Tolerated of old savers, and there is nothing in it. */
	if (rule->may_be_empty && record->length < rule->least)
		return 0;
	if (image_read_body(image, record, &body, err))
		return -1;
	enter(convert, record);
	rc = convert_record(convert, record->type, body, record->length);
	free(body);
	return rc;
}

/* The last of these types in the state. */
static int copy_last(struct convert *convert, const struct image *image, const uint32_t *types,
		     size_t n, struct image_error *err)
{
	for (size_t i = 0; i < n; i++) {
		const struct image_record *record =
			image_state_record(image, LAYER_DOMAIN, types[i]);

		if (record && copy_record(convert, image, record, err))
			return -1;
	}
	return 0;
}

/*
 * Each record of this type up to the selected checkpoint, in order: what it says adds to, and
 * replaces, what those before it said.
 */
static int copy_all(struct convert *convert, const struct image *image, uint32_t type,
		    struct image_error *err)
{
	for (size_t i = 0; i < image->record_count; i++) {
		const struct image_record *record = &image->records[i];

		if (record->layer != LAYER_DOMAIN || record->type != type ||
		    record->checkpoint > image->selected)
			continue;
		if (copy_record(convert, image, record, err))
			return -1;
	}
	return 0;
}

/* How many of the n pages from batch[0] on have data and stand side by side in the index. */
static uint32_t run_length(const struct image_page *const *batch, uint32_t n)
{
	uint32_t run = 0;

	while (run < n && page_type_has_data(batch[run]->type) && batch[run] == batch[0] + run)
		run++;
	return run;
}

static int copy_batch(struct convert *convert, const struct image *image,
		      const struct image_page *const *batch, uint32_t n, uint8_t *buffer,
		      struct image_error *err)
{
	uint64_t entries[PAGES_BATCH];
	uint32_t data = 0;

	for (uint32_t i = 0; i < n; i++)
		entries[i] = page_entry(batch[i]->pfn, batch[i]->type);
	for (uint32_t i = 0; i < n;) {
		uint32_t run = run_length(batch + i, n - i);

		if (run && image_read_pages(image, batch[i], run,
					    buffer + (size_t)data * PAGE_OCTETS, err))
			return -1;
		data += run;
		i += run ? run : 1;
	}
	ctx_leave(&convert->in);
	if (convert_page_data(convert, entries, n, data))
		return -1;
	return convert_pages(convert, buffer, data);
}

static int copy_memory(struct convert *convert, const struct image *image, uint8_t *buffer,
		       struct image_error *err)
{
	const struct image_page *batch[PAGES_BATCH];
	uint32_t n = 0;

	for (size_t i = 0; i < image->page_count; i++) {
		/* What left the guest, it has not. */
		if (image->pages[i].type == PAGE_INVALID)
			continue;
		batch[n++] = &image->pages[i];
		if (n < PAGES_BATCH)
			continue;
		if (copy_batch(convert, image, batch, n, buffer, err))
			return -1;
		n = 0;
	}
	return n ? copy_batch(convert, image, batch, n, buffer, err) : 0;
}

/* The records with the guest's state that the selected checkpoint brought, in their order. */
static int copy_state(struct convert *convert, const struct image *image, struct image_error *err)
{
	for (size_t i = 0; i < image->record_count; i++) {
		const struct image_record *record = &image->records[i];

		if (record->layer != LAYER_DOMAIN || record->checkpoint != image->selected)
			continue;
		switch (record->type) {
		case REC_X86_TSC_INFO:
		case REC_SHARED_INFO:
		case REC_HVM_CONTEXT:
		case REC_HVM_PARAMS:
		case REC_X86_PV_VCPU_BASIC:
		case REC_X86_PV_VCPU_EXTENDED:
		case REC_X86_PV_VCPU_XSAVE:
		case REC_X86_PV_VCPU_MSRS:
			if (copy_record(convert, image, record, err))
				return -1;
			break;
		default:
			break;
		}
	}
	ctx_leave(&convert->in);
	return convert_record(convert, REC_END, NULL, 0);
}

static int copy_emulator(struct convert *convert, const struct image *image,
			 enum libxl_record_type type, struct image_error *err)
{
	const struct image_record *record = image_state_record(image, LAYER_LIBXL, type);
	struct libxl_record emulator;
	void *body;
	int rc = -1;

	if (!record)
		return 0;
	if (image_read_body(image, record, &body, err))
		return -1;
	emulator = (struct libxl_record){.type = type, .length = record->length, .body = body};
	ctx_enter(&convert->in, libxl_title(type), type, record->offset);
	if (libxl_check_body(&convert->in, &emulator) == 0)
		rc = libxl_write_emulator(&convert->out, type, emulator.emulator.id, emulator.data,
					  emulator.octets);
	free(body);
	return rc;
}

static int copy_libxl_end(struct convert *convert, const struct image *image,
			  struct image_error *err)
{
	if (image->kind == IMAGE_DOMAIN)
		return 0;
	if (copy_emulator(convert, image, LIBXL_EMULATOR_XENSTORE_DATA, err) ||
	    copy_emulator(convert, image, LIBXL_EMULATOR_CONTEXT, err))
		return -1;
	return libxl_write_record(&convert->out, LIBXL_END);
}

int convert_checkpoint(struct convert *convert, const struct image *image, struct image_error *err)
{
	static const uint32_t constant[] = {REC_X86_PV_INFO, REC_X86_CPUID_POLICY,
					    REC_X86_MSR_POLICY};
	uint8_t *buffer = malloc((size_t)PAGES_BATCH * PAGE_OCTETS);
	int rc = -1;

	if (!buffer)
		return ctx_fail_errno(&convert->in, ENOMEM, "no room for a batch of pages");
	if (convert_begin(convert, image->headers.guest_type, image->headers.xen_major,
			  image->headers.xen_minor) ||
	    copy_last(convert, image, constant, sizeof(constant) / sizeof(*constant), err) ||
	    copy_all(convert, image, REC_X86_PV_P2M_FRAMES, err) ||
	    copy_memory(convert, image, buffer, err) || copy_state(convert, image, err) ||
	    copy_libxl_end(convert, image, err))
		goto out;
	rc = 0;
out:
	free(buffer);
	return rc;
}
