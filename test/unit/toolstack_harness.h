/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A toolstack for the tests of the toolstack stream: its callbacks, an emulator whose state says how
 * old it is, and builders for the records of a libxl stream. Stands on engine_harness, whose h.save
 * and h.restore are the parameters for the domain.
 */
#ifndef XENSR_TEST_TOOLSTACK_HARNESS_H
#define XENSR_TEST_TOOLSTACK_HARNESS_H

#include <xensr_toolstack.h>

#include "engine_harness.h"
#include "toolstack/libxl_record.h"

#define CONFIG "{\"c_info\": {\"name\": \"guest\"}}"

struct toolstack_harness {
	struct xensr_toolstack_save_params save;
	struct xensr_toolstack_restore_params restore;
	struct xensr_toolstack_domain domain; /* what create_domain says */

	/* What the callbacks answer. */
	int create_answer, restore_xenstore_answer, restore_context_answer;
	int save_xenstore_answer, save_context_answer;
	/* The emulator that is saved. */
	unsigned age;
	size_t context_octets; /* its context is filled up to so many; 0: as short as it is */
	const char *key;       /* one more pair with this key, if not NULL */
	size_t value_octets;   /* of its value */
	bool no_pairs, no_fd, bad_fd;
	int context_fd; /* read its context from here, if not 0 */

	/* What came of a restore. */
	unsigned created, pairs, contexts;
	bool config_is_json;
	char config[64]; /* "NULL" if there was none */
	char last_key[64], last_value[64], last_context[64];
	size_t last_octets;
	enum xensr_emulator emulator;
	/* And of a save. */
	unsigned asked_pairs, asked_contexts;
	int pair_rc, pair_errno; /* of the last xensr_xenstore_pair */
	struct xensr_xenstore_writer *writer;
};
extern struct toolstack_harness t;

/* harness_reset() and a toolstack in good order, for an HVM domain with an emulator. */
void toolstack_reset(void);

/* Run and keep what came of it in h and t. Return h.rc. */
int toolstack_save(int fd);
int toolstack_restore(int fd);

/* The same for the first len octets of a stream. */
int toolstack_restore_stream(const struct stream *s, size_t len);

/* What the emulator's state is at this age. */
void emulator_context_at(unsigned age, char text[64]);

/* The emulator was given the state of this age, whole, `times` times some state. */
void emulator_is(unsigned age, unsigned times);

/* ---- streams ------------------------------------------------------------------------------- */

void libxl_head(struct stream *s);
uint64_t libxl_record(struct stream *s, uint32_t type, const void *body, size_t len);
uint64_t libxl_emulator(struct stream *s, uint32_t type, uint32_t id, const void *data, size_t len);
/* Both records of an emulator of this age. */
void libxl_emulator_at(struct stream *s, unsigned age);
uint64_t libxl_state(struct stream *s, uint32_t state);

/*
 * A domain stream of a guest of some pages, as its checkpoint `age` (from 1, without headers and
 * without END or CHECKPOINT) leaves it; notes which octets are pages.
 */
#define TINY_SPECIAL 0x20ull
#define TINY_PFN     0x10ull /* one of its pages; its seed is the age */
void tiny_headers(struct stream *s);
void tiny_image(struct stream *s, unsigned age);
extern bool tiny_is_page[1u << 18];

/* Is it worth to cut here? */
bool tiny_worth(size_t at);

/* A domain for it, and what it must be then. */
void tiny_target(void);
void tiny_check(unsigned age);

#endif
