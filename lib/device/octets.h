/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Big-endian integers off a cursor, and a bounded buffer to write them to.
 */
#ifndef XENSR_LIB_DEVICE_OCTETS_H
#define XENSR_LIB_DEVICE_OCTETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cursor.h"
#include "error.h"

/* The big-endian integer in the first n octets (1 to 8). */
uint64_t octets_be(const uint8_t *at, size_t n);

/* Read one integer; false if fewer octets are left, and the cursor stays where it was. */
MUST_CHECK bool take_u8(struct cursor *in, uint8_t *value);
MUST_CHECK bool take_be16(struct cursor *in, uint16_t *value);
MUST_CHECK bool take_be32(struct cursor *in, uint32_t *value);
MUST_CHECK bool take_be64(struct cursor *in, uint64_t *value);

/*
 * What is being written. The first put that does not fit (EFBIG) or finds no memory (ENOMEM)
 * is kept in errnum, and every later one does nothing, so a writer looks once, at its end.
 */
struct octet_buffer {
	uint8_t *data; /* ours; NULL while len is 0 */
	size_t len, room, limit;
	int errnum; /* 0 = all that was put is in data */
};

/* An empty buffer that takes at most limit octets. */
struct octet_buffer octets_empty(size_t limit);

/* Idempotent. */
void octets_release(struct octet_buffer *out);

void put_octets(struct octet_buffer *out, const void *octets, size_t n);
void put_zeroes(struct octet_buffer *out, size_t n);
void put_u8(struct octet_buffer *out, uint8_t value);
void put_be16(struct octet_buffer *out, uint16_t value);
void put_be32(struct octet_buffer *out, uint32_t value);
void put_be64(struct octet_buffer *out, uint64_t value);

#endif
