/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A stand-in for the parts of libxenctrl and libxenforeignmemory that the engine calls, inside
 * the test's own process: it defines their symbols, so the real libraries are not linked.
 *
 * A few domains with a sparse p2m over real frames, and what Xen keeps of each. It is strict:
 * a call that no correct engine makes (unknown operation, wrong handle, unmapping what is not
 * mapped, populating twice) fails the running test at once. What a correct engine can meet is
 * answered as Xen answers, and can be ordered with the knobs of struct fake_xen.
 */
#ifndef XENSR_TEST_ENGINE_FAKE_XEN_H
#define XENSR_TEST_ENGINE_FAKE_XEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <check.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>
#include <xen/grant_table.h>

#define FAKE_PAGE 4096u

/* Exported by libxenctrl, declared in none of its headers. */
void xc_report_error(xc_interface *xch, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
const char *xc_set_progress_prefix(xc_interface *xch, const char *doing);
void xc_report_progress_step(xc_interface *xch, unsigned long done, unsigned long total);

/* Every function that can fail, for counting and for failing. */
enum fake_fn {
	FN_NONE,
	FN_GETINFO,
	FN_TYPES,
	FN_POLICY_GET,
	FN_POLICY_SET,
	FN_POLICY_SIZES,
	FN_VERSION,
	FN_NR_GPFNS,
	FN_POPULATE,
	FN_PARAM_GET,
	FN_PARAM_SET,
	FN_CONTEXT_GET,
	FN_CONTEXT_SET,
	FN_TSC_GET,
	FN_TSC_SET,
	FN_CLEAR,
	FN_PHYSMAP_ADD,
	FN_PHYSMAP_REMOVE,
	FN_BUFFER_ALLOC,
	FN_MAP,
	FN_UNMAP,
	FN_MAP_RESOURCE,
	FN_UNMAP_RESOURCE,
	FN_SHADOW,
	FN_LOGDIRTY,
	FN_DECREASE,
	FN_COUNT,
	/* Only in the trace: */
	FN_CB_SUSPEND,
	FN_CB_STATIC_DATA_DONE,
	FN_CB_QEMU_LOGDIRTY,
	FN_CB_POLICY,
	FN_CB_POSTCOPY,
	FN_CB_CHECKPOINT,
	FN_CB_WAIT_CHECKPOINT,
	FN_CB_RESULTS,
	FN_END,
};

const char *fake_fn_name(enum fake_fn fn);

/*
 * Like ck_assert_msg, but does nothing at all when it holds: for what is checked for every page,
 * and while the process may not write files.
 */
#define MUST(condition, ...)                          \
	do {                                          \
		if (!(condition))                     \
			ck_abort_msg("" __VA_ARGS__); \
	} while (0)
#define HOLDS(condition) MUST(condition, "%s", #condition)

#define FAKE_PARAMS  64u
#define FAKE_LEAVES  8u
#define FAKE_MSRS    4u
#define FAKE_CONTEXT 512u

struct fake_slot {
	uint64_t gfn; /* plus 1; 0 = free */
	uint32_t frame;
	uint8_t type; /* 0 normal, 0xd broken, 0xe allocate only */
};
#define FAKE_SLOTS (1u << 16)

/* The log of dirty pages goes so far. */
#define FAKE_LOGGED (1u << 21)

struct fake_domain {
	uint32_t domid;
	uint32_t flags; /* XEN_DOMINF_* with the shutdown reason */
	uint64_t max_pages, tot_pages, nr_gpfns;
	uint8_t gpaddr_bits;

	uint64_t params[FAKE_PARAMS];
	uint8_t context[FAKE_CONTEXT];
	uint32_t context_octets;
	struct {
		uint32_t mode, khz, incarnation;
		uint64_t nsec;
	} tsc;
	xen_cpuid_leaf_t leaves[FAKE_LEAVES];
	xen_msr_entry_t msrs[FAKE_MSRS];
	uint32_t nr_leaves, nr_msrs;
	uint32_t grant_frame;

	bool log_dirty;
	bool vram_tracked; /* log-dirty mode is taken until somebody switches it off */
	uint64_t dirty[FAKE_LOGGED / 64];

	struct fake_slot slots[FAKE_SLOTS];
};

struct fake_xen {
	/* ---- what happened ---- */
	unsigned total;           /* calls of all functions */
	unsigned calls[FN_COUNT]; /* of each */
	unsigned last[FN_COUNT];  /* number, over all functions, of each one's last call */
	unsigned changes;         /* those that change a domain, writable mappings included */
	unsigned while_running;   /* memory asked for while the domain was not shut down */
	unsigned mappings, buffers;
	unsigned extents_2m;
	unsigned pages_mapped; /* sum over all mappings */
	uint8_t trace[16384];
	unsigned nr_trace;
	unsigned reported; /* xc_report_error */
	int reported_errno;
	char reported_text[600];
	char progress_prefix[64];
	bool progress_ended; /* the prefix is NULL now */
	unsigned enables;    /* log-dirty mode switched on, by whom it concerns */
	unsigned cleans;     /* looks at the log */
	unsigned finals;     /* of these, as the final ones */
	uint64_t last_pages; /* that the last one asked for */
	unsigned long progress_done, progress_total;

	/* ---- what to do ---- */
	/* Called at each call, before it does anything; nth counts those of fn, from 1. */
	void (*hook)(enum fake_fn fn, unsigned nth);
	uint64_t short_log; /* so many pages less are returned than asked for */
	unsigned fail_at;   /* the call of this number over all functions fails, 0 = none */
	enum fake_fn fail_fn;
	unsigned fail_fn_at; /* the call of this number of fail_fn fails */
	int fail_errno;
	enum fake_fn failed; /* the function that did; FN_NONE = none yet */
	unsigned failed_order;

	uint64_t map_error_gfn; /* this page of a mapping gets map_error */
	int map_error;          /* as it goes into err[] */
	unsigned extents_2m_allowed;
	uint64_t pages_allowed; /* free memory of the host */
	bool refuse_leaf, refuse_msr, refuse_silently;
	uint32_t refused_leaf, refused_subleaf, refused_msr;
};

extern struct fake_xen fake;

/* The handle to give to the engine. */
xc_interface *fake_xch(void);

/* A new host without domains. */
void fake_reset(void);

/* A new HVM domain, empty and paused, that may have max_pages pages. */
struct fake_domain *fake_domain_add(uint32_t domid, uint64_t max_pages);

/* Give it a page; its content is the frame's, zero. Returns the content. */
void *fake_page_add(struct fake_domain *dom, uint64_t gfn, uint8_t type);

/* Take a page away, as a guest's balloon driver gives it back. */
void fake_page_remove(struct fake_domain *dom, uint64_t gfn);

/* The guest writes to a page, if it may be logged. */
void fake_dirty(struct fake_domain *dom, uint64_t gfn);

/* Content of a populated gfn, or NULL. */
void *fake_page(struct fake_domain *dom, uint64_t gfn);

/* Number of populated gfns, the grant table's not counted. */
uint64_t fake_pages(const struct fake_domain *dom);

/* The first frame of the grant table. */
grant_entry_v1_t *fake_grants(struct fake_domain *dom);

void fake_trace(unsigned what);

/* Position of the nth (from 0) trace entry of this kind, or -1. */
int fake_trace_find(unsigned what, unsigned nth);

#endif
