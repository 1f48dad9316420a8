/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A plain domain stream, version 2 or 3, record by record.
 */
#include "convert.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* The pages of the record at work, to the output or to nowhere. */
static int move_pages(struct convert *convert, struct reader *reader, uint8_t *batch, bool drop)
{
	while (reader->pages_left) {
		uint32_t n = reader->pages_left < PAGES_BATCH ? reader->pages_left : PAGES_BATCH;
		struct iovec iov[2] = {{.iov_base = batch, .iov_len = (size_t)n * PAGE_OCTETS}};

		if (read_pages(reader, iov, 1, n) || (!drop && convert_pages(convert, batch, n)))
			return -1;
	}
	return 0;
}

/* dropping: verify data go nowhere. */
static int convert_one(struct convert *convert, struct reader *reader, const struct record *rec,
		       uint8_t *batch, bool dropping)
{
	const struct record_rule *rule = record_rule(rec->type);

	if (rec->type == REC_PAGE_DATA) {
		if (!dropping &&
		    convert_page_data(convert, rec->entries, rec->count, rec->data_pages))
			return -1;
		return move_pages(convert, reader, batch, dropping);
	}
	if (rule && rule->least && rec->length == 0)
		return convert->as_is ? convert_empty_record(convert, rec->type, rec->body) : 0;
	return convert_record(convert, rec->type, rec->body, rec->length);
}

static int convert_records(struct convert *convert, struct reader *reader, uint8_t *batch)
{
	bool dropping = false;
	struct record rec;

	if (read_headers(reader))
		return -1;
	if (convert->as_is ? convert_begin_as_is(convert, reader)
			   : convert_begin(convert, reader->headers.guest_type,
					   reader->headers.xen_major, reader->headers.xen_minor))
		return -1;
	do {
		if (read_record(reader, &rec))
			return -1;
		if (rec.type == REC_VERIFY && convert->drop_verify) {
			dropping = true;
			continue;
		}
		if (convert_one(convert, reader, &rec, batch, dropping))
			return -1;
	} while (rec.type != REC_END);
	return 0;
}

int convert_stream(struct convert *convert)
{
	uint8_t *batch = malloc((size_t)PAGES_BATCH * PAGE_OCTETS);
	struct reader reader;
	int rc = -1;

	reader_init(&reader, &convert->in, false);
	reader.keep_optional = true;
	if (!batch) {
		ctx_fail_errno(&convert->in, ENOMEM, "no room for a batch of pages");
		goto out;
	}
	if (convert_records(convert, &reader, batch) == 0)
		rc = wrapping_end(convert);
out:
	convert->sums = reader.sums;
	reader_release(&reader);
	free(batch);
	return rc;
}
