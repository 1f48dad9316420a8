/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A domain of the simulated host: what Xen knows of it. The lock of the host is held by whoever
 * changes anything here.
 */
#ifndef SIM_DOMAIN_H
#define SIM_DOMAIN_H

#include "host.h"

#include <xenctrl.h>
#include <xen/arch-x86/xen.h>
#include <xen/domctl.h>
#include <xen/foreign/x86_32.h>

#define SIM_MAX_VCPUS      16u
#define SIM_CONTEXT_OCTETS (256u * 1024)
#define SIM_HVM_PARAMS     64u
#define SIM_GFN_LIMIT      (1ull << 28) /* 1 TiB */
#define SIM_CHUNK_GFNS     512u
#define SIM_CHUNKS         (SIM_GFN_LIMIT / SIM_CHUNK_GFNS)
#define SIM_GRANT_FRAMES   2u
#define SIM_XSAVE_OCTETS   4096u
#define SIM_VCPU_MSRS      8u
#define SIM_MOST_UNLOGGED  4096u

enum sim_domain_type {
	SIM_PV,
	SIM_HVM
};

/* An entry of an HVM domain's p2m; 0 is a hole. */
#define SIM_P2M_VALID       (1ull << 63)
#define SIM_P2M_BROKEN      (1ull << 62) /* memory that failed: no frame behind it any more */
#define SIM_P2M_SPECIAL     (1ull << 61) /* a frame of Xen's own that the guest has mapped there */
#define SIM_P2M_MMIO        (1ull << 60) /* Xen's own, not memory to anyone: the APIC access page */
#define SIM_P2M_ORDER_SHIFT 48
#define SIM_P2M_MFN_MASK    ((1ull << 40) - 1)

/* How guest.c built it, so that it can be checked; kind 0: not built, a restore's target. */
enum sim_guest_kind {
	SIM_GUEST_NONE,
	SIM_GUEST_HVM,
	SIM_GUEST_PVH,
	SIM_GUEST_PV64,
	SIM_GUEST_PV32
};

/* How a PV guest tells the toolstack where its p2m is. */
enum sim_guest_p2m {
	SIM_P2M_LINEAR, /* arch.p2m_cr3, p2m_vaddr */
	SIM_P2M_TREE    /* arch.pfn_to_mfn_frame_list_list */
};

struct sim_guest {
	uint32_t kind;
	uint32_t vcpus;
	uint64_t seed;
	uint64_t pages;            /* memory, before any is ballooned out */
	uint64_t sparse_top;       /* a page of an HVM guest far beyond them; 0: none */
	uint32_t ballooned_permil; /* pages out of 1000 that it gave back */
	uint32_t plain_permil;     /* pages out of 1000 that are zero or one of a few */
	uint32_t p2m;              /* enum sim_guest_p2m, of a PV guest */
	uint64_t p2m_slack;        /* entries that a PV guest's p2m has beyond its memory */
};

/* In the layout of the domain's address size. */
union sim_pv_context {
	vcpu_guest_context_t native;
	vcpu_guest_context_x86_32_t compat;
};

struct sim_pv_vcpu {
	bool initialised; /* it was given a context, whose page tables it now uses */
	bool online;
	union sim_pv_context context;
	struct xen_domctl_ext_vcpucontext ext;
	uint32_t xsave_octets;
	uint8_t xsave[SIM_XSAVE_OCTETS]; /* as XEN_DOMCTL_getvcpuextstate gives it */
	uint32_t nr_msrs;
	xen_domctl_vcpu_msr_t msrs[SIM_VCPU_MSRS];
};

struct sim_domain_state {
	uint64_t magic;
	uint32_t domid;
	uint32_t type; /* enum sim_domain_type */
	bool dying;
	bool paused;
	bool shutdown;
	uint32_t shutdown_reason;
	bool suspend_requested; /* by the toolstack; the guest's program answers it */
	uint32_t runners;       /* guest programs that are writing now */
	uint32_t holds;         /* who wants them to wait a moment */
	uint64_t writes; /* pages the guest has written to: each is stamped with its number */
	uint64_t tot_pages, max_pages;
	uint64_t max_gfn; /* the highest that was ever mapped; valid when has_gfns */
	bool has_gfns;
	uint32_t nr_vcpus;

	/* log-dirty mode */
	bool log_dirty;
	bool vram_tracked;  /* stands in the way of enabling it, until it is turned off */
	bool logged_before; /* it was on at some time: a save cleans up after itself */
	uint64_t fault_count, dirty_count;
	/*
	 * Pages that an HVM guest was given since the bitmap was last cleaned: Xen maps them
	 * writable, so that writes to them leave no mark until the next cleaning.
	 */
	uint32_t nr_unlogged;
	uint64_t unlogged[SIM_MOST_UNLOGGED];

	/* HVM */
	uint32_t context_octets;
	uint8_t context[SIM_CONTEXT_OCTETS];
	uint64_t params[SIM_HVM_PARAMS];
	uint64_t params_set; /* bit N: set by the toolstack */

	/* PV */
	uint32_t width;     /* octets of a word of the guest: 8, or 4 */
	uint64_t vm_assist; /* from the context of vcpu 0 */
	struct sim_pv_vcpu vcpus[SIM_MAX_VCPUS];

	struct xen_domctl_tsc_info tsc;

	uint32_t nr_leaves, nr_msrs;
	bool policy_set;
	xen_cpuid_leaf_t leaves[SIM_MAX_LEAVES];
	xen_msr_entry_t msrs[SIM_MAX_MSRS];

	struct sim_guest guest;

	uint64_t grant_frames[SIM_GRANT_FRAMES];
	uint64_t shared_info_frame;
};

struct sim_domain {
	struct sim_host *host;
	struct sim_domain_state *state;
	uint64_t *dirty;    /* a bit a gfn */
	uint32_t *chunk_of; /* by gfn / SIM_CHUNK_GFNS: number of its chunk, 0 for none */
	uint64_t *chunks;   /* of SIM_CHUNK_GFNS entries; number 0 counts those in use */
};

struct sim_domain_options {
	enum sim_domain_type type;
	uint64_t max_pages;
	uint32_t vcpus;
};

/* A new domain without memory, paused. Returns its domid or -errno. */
int sim_domain_create(struct sim_host *host, const struct sim_domain_options *options);

/* The domain, mapped at the first call; NULL when there is none (or it was destroyed). */
struct sim_domain *sim_domain_get(struct sim_host *host, uint32_t domid);

/* Unmap it, if this process has it mapped. */
void sim_domain_unmap(struct sim_host *host, uint32_t domid);

/* The first domain whose number is domid or above, or NULL. */
struct sim_domain *sim_domain_next(struct sim_host *host, uint32_t domid);

/* Give back its frames and forget it; its guest's programs end first. */
int sim_domain_destroy(struct sim_host *host, uint32_t domid);

/* ---- p2m of an HVM domain (p2m.c) ---- */

/* The SIM_CHUNK_GFNS entries among which is that of gfn; NULL when all of them are holes. */
uint64_t *sim_p2m_chunk(const struct sim_domain *domain, uint64_t gfn);

/* The entry of a gfn, 0 for a hole; beyond the limit likewise. */
uint64_t sim_p2m_get(const struct sim_domain *domain, uint64_t gfn);

/* Put an entry there: no mark in the log-dirty bitmap. -EINVAL beyond the limit. */
int sim_p2m_set(struct sim_domain *domain, uint64_t gfn, uint64_t entry);

/* The frame behind a gfn, or SIM_NO_FRAME. */
uint64_t sim_p2m_frame(const struct sim_domain *domain, uint64_t gfn);

/* The next gfn >= gfn that has an entry, or SIM_GFN_LIMIT. */
uint64_t sim_p2m_next(const struct sim_domain *domain, uint64_t gfn);

/*
 * Allocate an extent of 2^order pages at gfn and account for it. -ENOMEM when the machine or the
 * domain's limit has no room, -EINVAL for a gfn out of bounds. Pages already there are replaced,
 * their frames given back, as Xen does.
 */
int sim_p2m_populate(struct sim_domain *domain, uint64_t gfn, unsigned order);

/* Give the page at gfn back to Xen (ballooning). */
int sim_p2m_remove(struct sim_domain *domain, uint64_t gfn);

/* ---- log-dirty (log_dirty.c) ---- */

/* XEN_DOMCTL_shadow_op; 0 or -errno. `bitmap` holds op->pages bits. */
int sim_log_dirty_op(struct sim_domain *domain, struct xen_domctl_shadow_op *op, uint8_t *bitmap);

/* The guest wrote to gfn: to be called after the write, so that no cleaning can miss it. */
void sim_mark_dirty(struct sim_domain *domain, uint64_t gfn);

/* The guest was given a page while log-dirty mode is on. */
void sim_mark_new(struct sim_domain *domain, uint64_t gfn);

#endif
