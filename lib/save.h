/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state of one save, and what a guest type has to provide for it.
 */
#ifndef XENSR_LIB_SAVE_H
#define XENSR_LIB_SAVE_H

#include <sys/uio.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>

#include "context.h"
#include "log_dirty.h"
#include "pages.h"
#include "pfn_set.h"

struct save_ops;

struct save_ctx {
	struct xensr_ctx ctx;
	struct xensr_ctx *around; /* see save_domain() */
	struct xensr_save_params params;
	struct xensr_save_results results;
	xc_interface *xch;             /* the caller's */
	xenforeignmemory_handle *fmem; /* belongs to xch */
	uint32_t domid;
	xc_domaininfo_t info; /* refreshed after each suspend */
	const struct save_ops *ops;
	void *arch;       /* the ops' own; made by setup, freed by cleanup */
	bool running;     /* the guest runs: what cannot be sent right now is deferred */
	uint64_t nr_pfns; /* to walk: the highest pfn the guest has, plus 1 */

	/* What a save needs to know of memory it has sent, when the guest runs on after it. */
	bool tracking;
	bool switched_logdirty; /* ops->switch_logdirty was called to switch it on */
	struct log_dirty dirty;
	struct pfn_set present;  /* pfns that are memory as far as is known */
	struct pfn_set deferred; /* pfns that the pause must send, dirty or not */
	uint64_t nr_present;
	bool all_sent;       /* every pfn has been looked at */
	bool settled;        /* and nothing changed while they were */
	int64_t unaccounted; /* pages the domain had beyond nr_present then */

	/*
	 * One batch, allocated once. frames is what the type query sees: gfns on the way in,
	 * page types on the way out.
	 */
	xen_pfn_t *frames; /* PAGES_BATCH, hypercall-safe */
	xc_hypercall_buffer_t frames_hbuf;
	uint32_t batched;              /* of entries, while a batch is put together */
	uint64_t entries[PAGES_BATCH]; /* pfns, then as they go into the record */
	uint64_t pfns[PAGES_BATCH];    /* those with data */
	xen_pfn_t gfns[PAGES_BATCH];   /* of all, then of those with data */
	int errors[PAGES_BATCH];       /* of the mapping, a page each */
	struct iovec iov[PAGES_IOV_FIRST + PAGES_BATCH];
	uint8_t *copies; /* PAGES_BATCH pages, if there are checksums; else NULL */

	/* Progress through the pages of one round. */
	char progress_text[64];
	uint64_t progress_done, progress_total;
};

/* normalise_page's answer for a page that cannot be sent while the guest runs. */
#define PAGE_DEFERRED 1

/*
 * What the save of one guest type does. All entries mandatory; they are called in the order in
 * which they stand, cleanup always and last. Each returns 0, or -1 with the error set, unless
 * it says otherwise; none writes to the guest's memory.
 */
struct save_ops {
	uint32_t guest_type; /* GUEST_X86_* of the domain header */

	/* Once, before anything is written: allocate what the others need. */
	int (*setup)(struct save_ctx *save);

	/* Once, after the headers: write the records that end with STATIC_DATA_END (which the
	   caller writes). */
	int (*write_static_data)(struct save_ctx *save);

	/* Before Xen logs what the guest writes (on) and when that has ended (off): the same for
	   whatever else writes to its memory. Off is called if on was, whether it succeeded or
	   not. */
	int (*switch_logdirty)(struct save_ctx *save, bool on);

	/* Once, after STATIC_DATA_END: write what must come before the first PAGE_DATA. The
	   guest may be running (save->running). */
	int (*start_of_stream)(struct save_ctx *save);

	/* The guest has been suspended, the first time or again, after start_of_stream saw it
	   running: see whether what was learnt there still holds. */
	int (*guest_suspended)(struct save_ctx *save);

	/* *size = number of pfns to walk: the highest pfn the guest has, plus 1. Called at the
	   start, and each time the guest has been suspended. */
	int (*p2m_size)(struct save_ctx *save, uint64_t *size);

	/* gfns[i] = the gfn by which Xen knows pfns[i], or INVALID_GFN for a hole, for n (at
	   most PAGES_BATCH) pfns below p2m_size. Once a batch. Cannot fail. */
	void (*pfns_to_gfns)(const struct save_ctx *save, const uint64_t *pfns, uint32_t n,
			     xen_pfn_t *gfns);

	/* *page points at the 4096 octets of pfn, mapped read-only: leave it, or point it at a
	   buffer of the ops' own, valid until the next batch, which holds the page as it goes
	   into the stream. slot < PAGES_BATCH counts the pages with data of the batch. Only
	   for page types that carry data. PAGE_DEFERRED: it cannot be sent now, which is no
	   error while save->running. */
	int (*normalise_page)(struct save_ctx *save, uint32_t slot, uint64_t pfn,
			      enum page_type type, const void **page);

	/* Each time the guest is suspended and its memory written: write what closes the image,
	   before END or CHECKPOINT. */
	int (*end_of_checkpoint)(struct save_ctx *save);

	/* Always; also after setup failed half-way. Idempotent. */
	void (*cleanup)(struct save_ctx *save);
};

/*
 * The page types of save->frames[0 … n), in place: Xen's XEN_DOMCTL_PFINFO_* (xen/domctl.h). At
 * most PAGES_BATCH. One hypercall, no allocation. Returns 0, or -1 with the error set.
 */
int save_query_types(struct save_ctx *save, uint32_t n) MUST_CHECK;

#define INVALID_GFN (~(xen_pfn_t)0)

/* What of the parameters cannot work with any domain. Returns 0, or -1 with the error set (EINVAL). */
int save_check_params(struct xensr_ctx *ctx, const struct xensr_save_params *params) MUST_CHECK;

/*
 * xensr_save() with a copy of its parameters, as a part of a stream that goes on around it: writes
 * where `around` stands, whose descriptor, reports and cancel_fd are used. While a callback runs,
 * around->offset is where the stream stands; the callback may write on with it. Afterwards it is
 * where the domain stream has ended, and after a failure the error is around's, not logged yet.
 */
int save_domain(struct xensr_ctx *around, const struct xensr_save_params *params,
		struct xensr_save_results *results) MUST_CHECK;

/* ---- batches (save_batch.c) ------------------------------------------------------------ */

/*
 * Add a pfn to the batch; a batch that is full is sent: types asked, pages mapped, normalised and
 * written as one PAGE_DATA record. Holes write nothing, unless the stream has them as memory. Pages
 * that cannot be sent while the guest runs are deferred. Returns 0, or -1 with the error set.
 */
int save_batch_add(struct save_ctx *save, uint64_t pfn) MUST_CHECK;

/* Send what is in the batch. */
int save_batch_flush(struct save_ctx *save) MUST_CHECK;

/* ---- memory (save_memory.c) ------------------------------------------------------------ */

/* Every pfn there is. The guest may run. */
int save_all_memory(struct save_ctx *save) MUST_CHECK;

/*
 * The guest runs: send all its memory, then again what it wrote meanwhile, until the policy says
 * that it should be suspended. What is dirty then is for save_rest.
 */
int save_precopy(struct save_ctx *save) MUST_CHECK;

/* The guest is suspended: send all that the stream does not have as it is. */
int save_rest(struct save_ctx *save) MUST_CHECK;

/* The guest is suspended: all its memory once more, to be compared. */
int save_verify_data(struct save_ctx *save) MUST_CHECK;

/* Refresh save->info. */
int save_refresh_info(struct save_ctx *save) MUST_CHECK;

/* ---- changes of the p2m (save_p2m.c) --------------------------------------------------- */

/* The guest runs, and its writes are not logged yet: note what is memory. */
int save_p2m_survey(struct save_ctx *save) MUST_CHECK;

/* The guest is suspended and all its pfns have been looked at. */
void save_p2m_settle(struct save_ctx *save);

/*
 * save->info is fresh. Unless the domain's pages add up with those the stream has, send or revoke
 * what has changed between memory and hole, among all pfns.
 */
int save_p2m_follow(struct save_ctx *save) MUST_CHECK;

/*
 * The guest is suspended: the same, after a look at the holes near what is memory, and at the pfns
 * from old_nr_pfns on, if the guest has more than that now.
 */
int save_p2m_follow_suspended(struct save_ctx *save, uint64_t old_nr_pfns) MUST_CHECK;

extern const struct save_ops save_ops_x86_hvm; /* arch/x86/hvm_save.c */
extern const struct save_ops save_ops_x86_pv;  /* arch/x86/pv_save.c */

#endif
