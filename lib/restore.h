/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state of one restore, and what a guest type has to provide for it.
 */
#ifndef XENSR_LIB_RESTORE_H
#define XENSR_LIB_RESTORE_H

#include <sys/uio.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>

#include "context.h"
#include "pages.h"
#include "pfn_set.h"
#include "record.h"

struct restore_ops;

struct restore_ctx {
	struct xensr_ctx ctx;
	struct xensr_restore_params params;
	struct xensr_restore_results results;
	struct reader reader;
	xc_interface *xch;             /* the caller's */
	xenforeignmemory_handle *fmem; /* belongs to xch */
	uint32_t domid;
	xc_domaininfo_t info;
	const struct restore_ops *ops;
	void *arch; /* the ops' own; made by setup, freed by cleanup */

	struct pfn_set populated; /* pfns that have memory by our doing */
	uint64_t pages_populated; /* pages that Xen granted for them */

	/* One batch of pages on their way into the guest. */
	uint64_t pfns[PAGES_BATCH];
	xen_pfn_t gfns[PAGES_BATCH];
	enum page_type types[PAGES_BATCH];
	int errors[PAGES_BATCH]; /* of the mapping, a page each */

	uint64_t pages_received; /* with data */
};

/* process_record's answer for a record it leaves to the caller. */
#define RECORD_NOT_PROCESSED 1

/*
 * What the restore of one guest type does. All entries mandatory. Each returns 0, or -1 with
 * the error set, unless it says otherwise. After a failure only cleanup is called, and the
 * half-built domain is the toolstack's to destroy.
 */
struct restore_ops {
	uint32_t guest_type; /* GUEST_X86_* of the domain header */

	/* Once, after the headers. */
	int (*setup)(struct restore_ctx *restore);

	/*
	 * A record other than PAGE_DATA, END, CHECKPOINT, VERIFY and STATIC_DATA_END. Its body
	 * is checked as far as the format goes, and gone after the call: keep a copy. Returns
	 * RECORD_NOT_PROCESSED if the guest type knows nothing of it.
	 */
	int (*process_record)(struct restore_ctx *restore, const struct record *rec);

	/*
	 * Once, when the static data is complete: apply what came. *missing is XENSR_MISSING_*
	 * for what did not.
	 */
	int (*static_data_complete)(struct restore_ctx *restore, unsigned *missing);

	/* May the domain have this pfn? Called before anything of its record is acted on. */
	bool (*pfn_is_valid)(const struct restore_ctx *restore, uint64_t pfn);

	/*
	 * See that each of `count` entries of a populated type has memory; `populated` is how
	 * many of them that are, and their pfns are valid. Entries may repeat. Also called for
	 * records of holes alone.
	 */
	int (*populate)(struct restore_ctx *restore, const uint64_t *entries, uint32_t count,
			uint32_t populated);

	/* The gfn of a populated pfn. Cannot fail. */
	xen_pfn_t (*pfn_to_gfn)(const struct restore_ctx *restore, uint64_t pfn);

	/* Turn the 4096 octets of pfn, as they came, into what the guest needs. In place. */
	int (*localise_page)(struct restore_ctx *restore, uint64_t pfn, enum page_type type,
			     void *page);

	/*
	 * Everything of one consistent image has come: check it, then give the domain its
	 * state and fill restore->results.
	 */
	int (*stream_complete)(struct restore_ctx *restore);

	/* Always, also after setup failed half-way. Idempotent. */
	void (*cleanup)(struct restore_ctx *restore);
};

extern const struct restore_ops restore_ops_x86_hvm; /* arch/x86/hvm_restore.c */
extern const struct restore_ops restore_ops_x86_pv;  /* arch/x86/pv_restore.c */

#endif
