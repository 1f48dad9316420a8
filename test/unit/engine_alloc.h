/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counting and failing malloc, calloc and realloc of the engine. Programs that link this need
 * -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc -Wl,--wrap=free. Nothing happens until it is armed.
 */
#ifndef XENSR_TEST_ENGINE_ALLOC_H
#define XENSR_TEST_ENGINE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

struct engine_alloc {
	bool armed;
	unsigned calls;
	unsigned fail_at; /* the call of this number gets NULL; 0 = none */
	bool failed;
	size_t octets;  /* asked for in sum, nothing taken off for what was freed */
	long long held; /* what is allocated now, less what was when it was armed */
};
extern struct engine_alloc engine_alloc;

/* Start counting anew. */
void engine_alloc_arm(unsigned fail_at);
void engine_alloc_disarm(void);

#endif
