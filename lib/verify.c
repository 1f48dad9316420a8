/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading a domain stream without a domain: everything a restore checks before it acts.
 */
#include <errno.h>
#include <stdlib.h>

#include "context.h"
#include "io.h"
#include "pages.h"
#include "params.h"
#include "record.h"

/* Room for one batch of pages that nobody looks at. */
struct page_sink {
	uint8_t octets[PAGES_BATCH][PAGE_OCTETS];
};

static int drop_pages(struct reader *reader, struct page_sink *sink)
{
	while (reader->pages_left) {
		uint32_t n = reader->pages_left < PAGES_BATCH ? reader->pages_left : PAGES_BATCH;
		struct iovec iov[2] = {
			{.iov_base = sink->octets, .iov_len = (size_t)n * PAGE_OCTETS},
		};

		if (read_pages(reader, iov, 1, n))
			return -1;
	}
	return 0;
}

static int verify_stream(struct reader *reader, struct page_sink *sink,
			 struct xensr_verify_results *results)
{
	struct record rec;

	if (read_headers(reader))
		return -1;
	results->version = reader->headers.version;
	results->guest_type = reader->headers.guest_type;
	results->xen_major = reader->headers.xen_major;
	results->xen_minor = reader->headers.xen_minor;

	do {
		if (read_record(reader, &rec))
			return -1;
		results->records++;
		results->page_entries += rec.count;
		results->pages += rec.data_pages;
		if (drop_pages(reader, sink))
			return -1;
	} while (rec.type != REC_END);
	return 0;
}

int xensr_verify(const struct xensr_verify_params *params, struct xensr_verify_results *results,
		 struct xensr_error *err)
{
	struct xensr_verify_params known = XENSR_VERIFY_PARAMS_INIT;
	struct xensr_verify_results found = {0};
	struct page_sink *sink = NULL;
	struct xensr_ctx ctx;
	struct reader reader;
	int rc = -1;

	ctx_init(&ctx, -1, &known.reports);
	reader_init(&reader, &ctx, false);
	if (params_copy(&ctx, &known, sizeof(known), params))
		goto out;
	ctx_init(&ctx, known.io_fd, &known.reports);
	sink = malloc(sizeof(*sink));
	if (!sink) {
		ctx_fail_errno(&ctx, ENOMEM, "no room for a batch of pages");
		goto out;
	}
	rc = verify_stream(&reader, sink, &found);
	found.octets = ctx.offset;
	found.checksums = reader.sums.records;
out:
	free(sink);
	reader_release(&reader);
	if (results)
		*results = found;
	return ctx_finish(&ctx, rc, err);
}
