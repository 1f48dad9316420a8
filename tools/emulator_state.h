/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The device model's own state in an EMULATOR_CONTEXT record: QEMU's savevm container.
 */
#ifndef XENSR_TOOLS_EMULATOR_STATE_H
#define XENSR_TOOLS_EMULATOR_STATE_H

#include "record_text.h"
#include "walk.h"

/* Is the record, which the walk found good, one that we can look into? */
bool emulator_state_is_known(const struct walk_record *record);

/* Check the container. Findings go to the walk. Returns 0, or -1 (out of memory). */
int emulator_state_check(struct walk *walk, const struct walk_record *record) MUST_CHECK;

/*
 * Add its elements to the parts, and the fields of its sections if asked for; what is damaged ends
 * the list with a part that says so. Returns 0, or -1 (out of memory).
 */
int emulator_state_describe(struct record_text *text, const struct walk_record *record,
			    bool fields) MUST_CHECK;

#endif
