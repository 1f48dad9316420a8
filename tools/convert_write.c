/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert.h"

#include <errno.h>
#include <string.h>

#include "io.h"
#include "toolstack/libxl_record.h"
#include "xensr_toolstack.h"

int convert_begin(struct convert *convert, uint32_t guest_type, uint32_t xen_major,
		  uint32_t xen_minor)
{
	convert->headers = (struct stream_headers){
		.version = IMAGE_VERSION,
		.guest_type = guest_type,
		.xen_major = xen_major,
		.xen_minor = xen_minor,
	};
	phase_start(&convert->phase, &convert->headers, false);
	if (convert->taker)
		return 0;
	convert->out.sum = convert->sum;
	return write_headers(&convert->out, guest_type, xen_major, xen_minor);
}

int convert_begin_as_is(struct convert *convert, const struct reader *reader)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)reader->front,
			    .iov_len = STREAM_HEADERS};

	convert->headers = reader->headers;
	phase_start(&convert->phase, &convert->headers, false);
	convert->out.sum = convert->sum;
	if (io_writev(&convert->out, &iov, 1))
		return -1;
	return convert->sum ? checksum_write_first(&convert->out) : 0;
}

static int accept(struct convert *convert, uint32_t type, uint32_t length)
{
	bool inferred;

	return phase_accept(&convert->in, &convert->phase, type, length, &inferred);
}

/* To where it belongs. */
static int put_record(struct convert *convert, uint32_t type, const void *body, uint32_t length)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)body, .iov_len = length};

	if (convert->taker)
		return convert->taker->record(convert->taker_data, LAYER_DOMAIN, type, body,
					      length);
	return write_record(&convert->out, type, &iov, length ? 1 : 0);
}

/* Version 2 has no mark between static data and memory, legacy images neither. */
static int end_static_data(struct convert *convert, const struct record_rule *rule)
{
	if (convert->headers.version < IMAGE_VERSION || convert->phase.id != PHASE_STATIC ||
	    rule->phases & PHASE_STATIC)
		return 0;
	if (accept(convert, REC_STATIC_DATA_END, 0))
		return -1;
	return put_record(convert, REC_STATIC_DATA_END, NULL, 0);
}

int convert_empty_record(struct convert *convert, uint32_t type, const void *body)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)body, .iov_len = RECORD_EMPTY_BODY};

	return write_record(&convert->out, type, &iov, 1);
}

int convert_record(struct convert *convert, uint32_t type, const void *body, uint32_t length)
{
	const struct record_rule *rule = record_rule(type);
	struct record rec = {.type = type, .length = length, .body = (void *)(uintptr_t)body};

	if (rule) {
		if (end_static_data(convert, rule) ||
		    record_check_length(&convert->in, rule, length) ||
		    accept(convert, type, length))
			return -1;
		if (type == REC_X86_PV_INFO)
			convert->guest_width = *(const uint8_t *)body;
		if (record_check_body(&convert->in, &rec, convert->guest_width))
			return -1;
	}
	if (put_record(convert, type, body, length))
		return -1;
	/* What follows is none of the domain stream's. */
	if (type == REC_END)
		convert->out.sum = NULL;
	return 0;
}

/* May such a record come now? */
static int check_page_data(struct convert *convert, const uint64_t *entries, uint32_t count,
			   uint32_t length)
{
	uint32_t pages, populated;

	if (end_static_data(convert, record_rule(REC_PAGE_DATA)) ||
	    accept(convert, REC_PAGE_DATA, length))
		return -1;
	return pages_check_entries(&convert->in, convert->headers.guest_type, entries, count,
				   &pages, &populated);
}

static uint32_t page_data_length(uint32_t count, uint32_t data_pages)
{
	return (uint32_t)(page_data_front(count) + (uint64_t)data_pages * PAGE_OCTETS);
}

int convert_page_data(struct convert *convert, const uint64_t *entries, uint32_t count,
		      uint32_t data_pages)
{
	struct wire_page_data head = {.count = count};
	struct wire_record_header header = {
		.type = REC_PAGE_DATA,
		.length = page_data_length(count, data_pages),
	};
	struct iovec iov[] = {
		{.iov_base = &header, .iov_len = sizeof(header)},
		{.iov_base = &head, .iov_len = sizeof(head)},
		{.iov_base = (void *)(uintptr_t)entries, .iov_len = count * sizeof(*entries)},
	};

	if (check_page_data(convert, entries, count, header.length) ||
	    checksum_write_due(&convert->out, REC_PAGE_DATA))
		return -1;
	ctx_enter(&convert->out, record_title(REC_PAGE_DATA), REC_PAGE_DATA, convert->out.offset);
	return io_writev(&convert->out, iov, sizeof(iov) / sizeof(*iov));
}

int convert_pages(struct convert *convert, const void *pages, size_t count)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)pages, .iov_len = count * PAGE_OCTETS};

	progress_show(&convert->progress, convert->out.offset, convert->octets);
	return io_writev(&convert->out, &iov, 1);
}

int convert_batch(struct convert *convert, const uint64_t *entries, uint32_t count,
		  const uint8_t *pages, uint32_t data_pages)
{
	if (!convert->taker)
		return convert_page_data(convert, entries, count, data_pages) ||
				       convert_pages(convert, pages, data_pages)
			       ? -1
			       : 0;
	if (check_page_data(convert, entries, count, page_data_length(count, data_pages)))
		return -1;
	return convert->taker->batch(convert->taker_data, entries, count, pages, data_pages);
}

/* ---- the libxl stream --------------------------------------------------------------------------- */

/* As it lies in the file: the emulator's number before the data. */
static int take_emulator(struct convert *convert, uint32_t type, const void *data, size_t octets)
{
	struct wire_emulator head = {.id = XENSR_EMULATOR_QEMU};
	size_t length = sizeof(head) + octets;

	if (body_reserve(&convert->in, &convert->raw, length))
		return -1;
	memcpy(convert->raw.octets, &head, sizeof(head));
	if (octets)
		memcpy(convert->raw.octets + sizeof(head), data, octets);
	return convert->taker->record(convert->taker_data, LAYER_LIBXL, type, convert->raw.octets,
				      (uint32_t)length);
}

int convert_emulator(struct convert *convert, uint32_t type, const void *data, size_t octets)
{
	if (convert->taker)
		return take_emulator(convert, type, data, octets);
	return libxl_write_emulator(&convert->out, type, XENSR_EMULATOR_QEMU, data, octets);
}

int convert_libxl_end(struct convert *convert)
{
	if (convert->taker)
		return convert->taker->record(convert->taker_data, LAYER_LIBXL, LIBXL_END, NULL, 0);
	return libxl_write_record(&convert->out, LIBXL_END);
}
