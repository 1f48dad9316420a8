/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a restore checks across the records of a state: that the pages it cannot do without came,
 * that each vcpu is whole, that there is state of a device model if the domain has one; what a PV
 * guest's page tables and start info name; and verify data. What is inside one record, the walk checks.
 */
#ifndef XENSR_TOOLS_STATE_CHECK_H
#define XENSR_TOOLS_STATE_CHECK_H

#include "format.h"
#include "guest_memory.h"
#include "pv_tables.h"
#include "verify_data.h"
#include "walk.h"

#define STATE_PARAMS 64 /* more than there are HVM_PARAM_* */

/* Does the domain of xl's configuration have one? */
enum device_model {
	DEVICE_MODEL_UNKNOWN,
	DEVICE_MODEL_NEEDED,
	DEVICE_MODEL_NONE,
};

/* What takes a file that can be sought, and this was none. */
enum state_unchecked {
	STATE_START_INFO = 1u << 0,
	STATE_VERIFY_DATA = 1u << 1,
};

struct state_check {
	unsigned unchecked; /* enum state_unchecked */

	struct pfn_map types; /* enum page_type + 1 of the pfns that have memory */

	/* xl's configuration, once asked for. */
	bool asked_device_model;
	enum device_model device_model;

	/* Since VERIFY pages come to be compared and change nothing. */
	struct verify_data verify;
	struct guest_memory memory;

	/* HVM: the parameters of this checkpoint. */
	bool have_param[STATE_PARAMS];
	uint64_t param[STATE_PARAMS];
	bool have_params;

	/* PV: a bit for each kind of record that a vcpu has had. */
	uint8_t vcpu[VCPU_ID_MAX + 1];
	/* PV: copies of the registers (vcpu_guest_context_any_t) of those that have had them. */
	void *registers[VCPU_ID_MAX + 1];
	/* PV: the p2m's frames, as the last record that named each said; frames 0 … nr_p2m - 1. */
	uint64_t *p2m;
	size_t nr_p2m, p2m_room;
	/* PV: pfns below exist; 0: not known, UINT64_MAX: never will be. */
	uint64_t p2m_end;
	struct pv_tables tables;
	/* PV: since they were last looked at, frames were named or a normal page became none. */
	bool p2m_is_new;
};

/* An all-zero state_check knows nothing. */
void state_check_release(struct state_check *state);

/*
 * Take a record that the walk has told. Findings go to the walk. Returns 0, or -1: out of memory, or,
 * with source->ctx's error set, the file could not be read again.
 */
int state_check_record(struct state_check *state, struct walk *walk,
		       const struct walk_record *record) MUST_CHECK;

/* For walk_ops: which contents are looked at, and one of them. As state_check_record. */
uint32_t state_check_wanted(const struct state_check *state, const struct walk *walk,
			    const struct walk_record *record);
int state_check_page(struct state_check *state, struct walk *walk, const struct walk_record *record,
		     uint32_t entry, const uint8_t *octets) MUST_CHECK;

#endif
