/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "checkpoint_buffer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The size of a block; what is larger gets one of its own. */
#define BLOCK_OCTETS ((size_t)16 << 20)

struct checkpoint_block {
	struct checkpoint_block *next;
	size_t size, used;
	uint64_t octets[];
};

/*
 * A block with room behind the one at work: an old one, or a new one in the place of an old one
 * that is too small, so that no run of checkpoints makes the list any longer than one needs.
 */
static struct checkpoint_block *next_block(struct checkpoint_buffer *buffer, size_t octets)
{
	struct checkpoint_block **link = buffer->at ? &buffer->at->next : &buffer->blocks;
	struct checkpoint_block *block = *link;
	size_t size = octets > BLOCK_OCTETS ? octets : BLOCK_OCTETS;

	if (block && block->size >= octets)
		return block;
	if (block) {
		*link = block->next;
		free(block);
	}
	block = malloc(sizeof(*block) + size);
	if (!block)
		return NULL;
	*block = (struct checkpoint_block){.next = *link, .size = size};
	*link = block;
	return block;
}

void *checkpoint_buffer_take(struct xensr_ctx *ctx, struct checkpoint_buffer *buffer, size_t octets)
{
	size_t rounded = (octets + 7) / 8 * 8;
	void *place;

	if (rounded > buffer->limit - buffer->used) {
		ctx_fail(ctx, ENOBUFS,
			 "the checkpoint takes up more than the limit of %" PRIu64 " octets",
			 buffer->limit);
		return NULL;
	}
	if (!buffer->at || buffer->at->size - buffer->at->used < rounded) {
		struct checkpoint_block *block = next_block(buffer, rounded);

		if (!block) {
			ctx_fail_errno(ctx, ENOMEM, "no %zu octets for the checkpoint", octets);
			return NULL;
		}
		buffer->at = block;
	}
	place = (uint8_t *)buffer->at->octets + buffer->at->used;
	buffer->at->used += rounded;
	buffer->used += rounded;
	return place;
}

/* The list of records counts too: many small ones are as good an attack as few large ones. */
static int make_room(struct xensr_ctx *ctx, struct checkpoint_buffer *buffer)
{
	size_t room = buffer->room ? buffer->room * 2 : 256;
	struct kept_record *records;

	if (sizeof(*records) > buffer->limit - buffer->used)
		return ctx_fail(ctx, ENOBUFS,
				"the checkpoint takes up more than the limit of %" PRIu64 " octets",
				buffer->limit);
	buffer->used += sizeof(*records);
	if (buffer->nr_records < buffer->room)
		return 0;
	records = realloc(buffer->records, room * sizeof(*records));
	if (!records)
		return ctx_fail_errno(ctx, ENOMEM, "no room for another record of the checkpoint");
	buffer->records = records;
	buffer->room = room;
	return 0;
}

int checkpoint_buffer_add(struct xensr_ctx *ctx, struct checkpoint_buffer *buffer,
			  const struct record *rec, const uint8_t *pages)
{
	struct kept_record kept = {.rec = *rec, .pages = pages, .offset = ctx->record_offset};

	if (make_room(ctx, buffer))
		return -1;
	if (rec->body && rec->length) {
		kept.rec.body = checkpoint_buffer_take(ctx, buffer, rec->length);
		if (!kept.rec.body)
			return -1;
		memcpy(kept.rec.body, rec->body, rec->length);
	}
	buffer->records[buffer->nr_records++] = kept;
	return 0;
}

void checkpoint_buffer_empty(struct checkpoint_buffer *buffer)
{
	for (struct checkpoint_block *block = buffer->blocks; block; block = block->next)
		block->used = 0;
	buffer->at = NULL;
	buffer->nr_records = 0;
	buffer->used = 0;
}

void checkpoint_buffer_release(struct checkpoint_buffer *buffer)
{
	while (buffer->blocks) {
		struct checkpoint_block *block = buffer->blocks;

		buffer->blocks = block->next;
		free(block);
	}
	free(buffer->records);
	*buffer = (struct checkpoint_buffer){.limit = buffer->limit};
}
