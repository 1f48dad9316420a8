/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The checkpointed stream of a guest that ages: at each of three checkpoints it has other pages and
 * another state, and some of a fourth follows. For the tests that restore it, or what they make of it.
 */
#ifndef XENSR_TEST_ENGINE_AGED_H
#define XENSR_TEST_ENGINE_AGED_H

#include "engine_harness.h"

#define AGED_LAST    3u
#define AGED_SPECIAL 0x20ull
#define AGED_TOP     0x40u

/* The guest at one checkpoint. */
struct aged_image {
	uint8_t pages[AGED_TOP]; /* of each pfn: see engine_aged.c */
	uint64_t generation;     /* a parameter that changes; 0: it is not sent */
};

struct aged {
	struct stream stream;
	struct aged_image images[AGED_LAST + 1];
	/* Where in the stream each checkpoint is complete: behind its CHECKPOINT. [0]: the headers. */
	uint64_t complete_at[AGED_LAST + 1];
	/* The octets of pages: where there is little to be found by a cut, or by damage. */
	bool is_page[1u << 18];
	/* Another stream, as the test has made it. */
	struct stream edited;
	/* What aged_answer answers, and when; otherwise that all is well. */
	unsigned answered, answered_nth;
	int answer;
};
extern struct aged aged;

/* Before and after each test: a new fake host, and the stream. */
void aged_build(void);
void aged_release(void);

/* A domain to restore into, on a new fake host; h.script stays. */
void aged_target(enum xensr_stream_type type, int send_back_fd);

/* Restore the first len octets of a stream. */
void aged_restore(const struct stream *stream, size_t len);

/* Begin aged.edited with the first len octets of the stream; restore it as it has become, and drop it. */
void aged_edit(uint64_t len);
void aged_restore_edited(void);

/* The nth call of this callback gets another answer: makes aged_answer the h.script. */
void aged_answer_with(unsigned callback, unsigned nth, int what);
int aged_answer(unsigned callback, unsigned nth);

/* The last checkpoint that is complete in the first len octets; 0: none. */
unsigned aged_complete_before(uint64_t len);

/* Check that this pfn is as at checkpoint `age`. */
void aged_check_page(unsigned age, uint64_t pfn);

/* Check that the target is the guest of checkpoint `age`, and nothing else. */
void aged_check(unsigned age);

/* Check that the restore ended well with that. */
void aged_went_well(unsigned age, bool failed_over);

#endif
