/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Domain streams in memory, built octet by octet from the specification and not with the
 * writers of lib/, so that the two can be held against each other.
 */
#ifndef XENSR_TEST_STREAM_BUILD_H
#define XENSR_TEST_STREAM_BUILD_H

#include <stddef.h>
#include <stdint.h>

#include <xensr.h>

struct stream {
	uint8_t *octets;
	size_t len, size;
	size_t record[64]; /* where each record starts */
	unsigned records;
};

void stream_release(struct stream *s);

void stream_raw(struct stream *s, const void *octets, size_t n);

/* Image and domain header; everything else as it should be. */
void stream_headers(struct stream *s, uint32_t version, uint32_t guest_type, uint32_t xen_major);

/* A record: header, body, padding. A NULL body is zeroes. */
void stream_record(struct stream *s, uint32_t type, const void *body, uint32_t length);

/* A record header that claims this length, and nothing after it. */
void stream_claim(struct stream *s, uint32_t type, uint32_t length);

/* PAGE_DATA with these entries and a page of 0xNN (N the entry's index) for each with data. */
void stream_pages(struct stream *s, const uint64_t *entries, uint32_t count);

/* One good record of this type, as small as can be; pages: pfns 0 to 3. */
void stream_good_record(struct stream *s, uint32_t type);

/* Headers and good records of these types, in this order. */
void stream_of(struct stream *s, uint32_t version, uint32_t guest_type, const uint32_t *types,
	       size_t n);

/* What a complete guest is made of, in the order in which savers write it. */
extern const uint32_t good_hvm[7], good_pv[9];

/* The stream as a file, positioned at its start. The caller closes it. */
int stream_file(const struct stream *s);

/* xensr_verify over a file of the stream. */
int stream_verify(const struct stream *s, struct xensr_verify_results *results,
		  struct xensr_error *err);

/* It fails with exactly this. */
void stream_fails(const struct stream *s, int errnum, const char *text);

/* It passes. */
void stream_passes(const struct stream *s);

#endif
