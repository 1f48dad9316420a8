/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state of one restore, and what a guest type has to provide for it.
 */
#ifndef XENSR_LIB_RESTORE_H
#define XENSR_LIB_RESTORE_H

#include <sys/uio.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>

#include "checkpoint_buffer.h"
#include "context.h"
#include "log_dirty.h"
#include "pages.h"
#include "pfn_set.h"
#include "record.h"

struct restore_ops;

struct restore_ctx {
	struct xensr_ctx ctx;
	struct xensr_ctx *around; /* see restore_domain() */
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
	struct pfn_set revoked;   /* pfns with memory of which the stream said last: invalid */

	/* One batch of pages on their way into the guest. */
	uint64_t pfns[PAGES_BATCH];
	xen_pfn_t gfns[PAGES_BATCH];
	enum page_type types[PAGES_BATCH];
	int errors[PAGES_BATCH]; /* of the mapping, a page each */

	uint64_t pages_received; /* with data */

	/* After VERIFY: what comes is compared. */
	bool verifying;
	uint8_t *verify_pages; /* PAGES_BATCH */
	struct pfn_set different;

	/* After a CHECKPOINT: what comes waits for the next. */
	bool buffering;
	struct checkpoint_buffer buffer;
	struct log_dirty dirty; /* COLO: the bitmap of what the guest wrote here */
	bool ran_on;            /* COLO: the guest has run since its last image was complete */
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
	bool pfn_is_gfn;     /* no page names frames: a pfn may lose its memory and get other */

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

	/*
	 * A record that will wait until its checkpoint is complete: refuse now what process_record
	 * would refuse then. What was processed so far stays as it is.
	 */
	int (*check_record)(struct restore_ctx *restore, const struct record *rec);

	/* The same for a page of it, of a type with data; pages of tables that came before it in
	   the checkpoint are not known yet. */
	int (*check_page)(struct restore_ctx *restore, uint64_t pfn, enum page_type type,
			  const void *page);

	/* A complete checkpoint is about to be processed: it brings all state but memory and static
	   data anew. */
	int (*image_starts)(struct restore_ctx *restore);

	/* May the domain have this pfn? Called before anything of its record is acted on. */
	bool (*pfn_is_valid)(const struct restore_ctx *restore, uint64_t pfn);

	/*
	 * See that each of `count` entries of a populated type has memory; `populated` is how
	 * many of them that are, and their pfns are valid. Entries may repeat. Also called for
	 * records of holes alone.
	 */
	int (*populate)(struct restore_ctx *restore, const uint64_t *entries, uint32_t count,
			uint32_t populated);

	/* Has it memory by our doing? Any pfn. */
	bool (*pfn_has_memory)(const struct restore_ctx *restore, uint64_t pfn);

	/* Give the memory of n (at most PAGES_BATCH) pfns back to Xen, where that is safe; the
	   guest was without it when it was saved. */
	int (*release)(struct restore_ctx *restore, const uint64_t *pfns, uint32_t n);

	/* The gfn of a populated pfn. Cannot fail. */
	xen_pfn_t (*pfn_to_gfn)(const struct restore_ctx *restore, uint64_t pfn);

	/* Turn the 4096 octets of pfn, as they came, into what the guest needs. In place. While
	   restore->verifying nothing of the guest may change by it. */
	int (*localise_page)(struct restore_ctx *restore, uint64_t pfn, enum page_type type,
			     void *page);

	/* Is this a page that stream_complete makes anew, whatever came for it? Called when
	   everything has come. */
	bool (*page_is_remade)(struct restore_ctx *restore, uint64_t pfn);

	/*
	 * Everything of one consistent image has come: check it, then give the domain its
	 * state and fill restore->results. COLO: again after each checkpoint.
	 */
	int (*stream_complete)(struct restore_ctx *restore);

	/* Always, also after setup failed half-way. Idempotent. */
	void (*cleanup)(struct restore_ctx *restore);
};

/* What of the parameters cannot work with any domain. Returns 0, or -1 with the error set (EINVAL). */
int restore_check_params(struct xensr_ctx *ctx,
			 const struct xensr_restore_params *params) MUST_CHECK;

/*
 * xensr_restore() with a copy of its parameters, as a part of a stream that goes on around it:
 * reads where `around` stands, whose descriptor, reports and cancel_fd are used. While a callback
 * runs, around->offset is where the stream stands; the callback may read on with it. Afterwards it
 * is where the domain stream has ended, and after a failure the error is around's, not logged yet.
 */
int restore_domain(struct xensr_ctx *around, const struct xensr_restore_params *params,
		   struct xensr_restore_results *results) MUST_CHECK;

/* ---- PAGE_DATA (restore_pages.c) ------------------------------------------------------- */

/* Before the first record: progress begins. */
void restore_pages_begin(struct restore_ctx *restore);

/*
 * Put the pages of a PAGE_DATA record into the guest, from the stream or, if `pages` is not NULL,
 * from there; after VERIFY compare them. Returns 0, or -1 with the error set.
 */
int restore_pages(struct restore_ctx *restore, const struct record *rec,
		  const uint8_t *pages) MUST_CHECK;

/* Read and check all of a PAGE_DATA record and append it to restore->buffer. */
int restore_pages_keep(struct restore_ctx *restore, const struct record *rec) MUST_CHECK;

/* Memory for all pages of a record that was kept. */
int restore_pages_populate(struct restore_ctx *restore, const struct record *rec) MUST_CHECK;

/* All has come: progress ends, and what the stream revoked goes back to Xen. */
int restore_pages_end(struct restore_ctx *restore) MUST_CHECK;

/* VERIFY has come. */
int restore_verify_start(struct restore_ctx *restore) MUST_CHECK;

/*
 * Everything has come: say what differed. Returns 0, or -1 with the error set if something did
 * and that is not tolerated.
 */
int restore_verify_finish(struct restore_ctx *restore) MUST_CHECK;

extern const struct restore_ops restore_ops_x86_hvm; /* arch/x86/hvm_restore.c */
extern const struct restore_ops restore_ops_x86_pv;  /* arch/x86/pv_restore.c */

#endif
