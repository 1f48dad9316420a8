/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A simulated Xen host: what all processes that use it share.
 *
 * A host is a folder on tmpfs. Its files are mapped whole (they are sparse) by every process:
 *
 *   host       struct sim_host_state, the bitmap of used frames, the frame table
 *   m2p        u64 pfn of each frame
 *   memory     the frames' contents, 4096 octets each
 *   dom-N      struct sim_domain_state, the log-dirty bitmap, the p2m (domain.h)
 *
 * All state is changed under one lock, which is robust: a killed process leaves it usable.
 * Functions return 0 or -errno, as Xen does, unless their comment says otherwise.
 */
#ifndef SIM_HOST_H
#define SIM_HOST_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define SIM_MAGIC            0x6d69736e6578ull
#define SIM_PAGE_OCTETS      4096u
#define SIM_PAGE_SHIFT       12
#define SIM_NO_FRAME         UINT64_MAX
#define SIM_NO_OWNER         0xffffu
#define SIM_MAX_ORDER        18u
#define SIM_HYPERCALLS       64u
#define SIM_MAX_LEAVES       96u
#define SIM_MAX_MSRS         64u
#define SIM_MAX_DOMAINS      8192u
#define SIM_NO_M2P           UINT64_MAX
#define SIM_HOST_NAME_OCTETS 4096u

/* What a frame is used as (PV): Xen lets a frame be one of these at a time. */
enum sim_frame_type {
	SIM_FRAME_NONE = 0,
	SIM_FRAME_L1,
	SIM_FRAME_L2,
	SIM_FRAME_L3,
	SIM_FRAME_L4,
	SIM_FRAME_WRITABLE,
	SIM_FRAME_XENHEAP,  /* Xen's own, shared with a guest: grant table, shared info */
	SIM_FRAME_SEG_DESC, /* descriptors of a GDT */
	SIM_FRAME_L2_XEN,   /* the L2 of a 32-bit guest's top slot, in which Xen has entries */
};

struct sim_frame {
	uint16_t owner; /* domid, or SIM_NO_OWNER */
	uint8_t type;   /* enum sim_frame_type */
	uint8_t pinned;
	uint32_t type_uses; /* of `type`: the pin, entries of page tables above, registers */
};

/* Counted since the host was made; `xensim stats` prints them, sim.py reads them. */
struct sim_counters {
	uint64_t hypercalls[SIM_HYPERCALLS]; /* by __HYPERVISOR_* number */
	uint64_t maps, pages_mapped, unmaps;
	uint64_t leaked_maps;      /* still there when their process closed the interface */
	uint64_t leaked_buffers;   /* likewise hypercall buffers */
	uint64_t violations;       /* what no correct caller does; each is also on stderr */
	uint64_t faults_delivered; /* by XENSIM_FAIL */
	uint64_t hooks_run;        /* by XENSIM_HOOK */
};

struct sim_host_state {
	uint64_t magic;
	pthread_mutex_t lock;
	uint32_t xen_major, xen_minor;
	uint32_t domctl_version, sysctl_version;
	uint64_t nr_frames;
	uint64_t free_frames;
	uint64_t next_free; /* where the search for a free frame begins */
	uint32_t next_domid;
	uint32_t scatter;            /* frames for single pages are not neighbours */
	uint32_t no_resource;        /* acquire_resource is unknown, as to an old privcmd driver */
	uint32_t resident;           /* frames are kept in memory, as a machine's are: for timing */
	uint32_t refuse_order_above; /* populate_physmap refuses larger extents */
	struct sim_counters counters;
};

struct sim_domain;

struct sim_host {
	struct sim_host *next;
	char dir[SIM_HOST_NAME_OCTETS];
	struct sim_host_state *state;
	uint64_t *used; /* a bit a frame */
	struct sim_frame *frames;
	uint64_t *m2p;
	uint8_t *memory;
	int memory_fd;
	int m2p_fd;
	struct sim_domain *domains[SIM_MAX_DOMAINS]; /* those this process has mapped */
};

struct sim_host_options {
	uint64_t frames;
	uint32_t xen_major, xen_minor;
	bool scatter, no_resource, resident;
	uint32_t refuse_order_above;
	uint64_t first_frame; /* from which on frames are given out, while there are any */
};

/* Make a host in the existing, empty folder `dir`. Returns 0 or -errno. */
int sim_host_create(const char *dir, const struct sim_host_options *options);

/* The host in `dir`; NULL with errno. Lives until the process ends. */
struct sim_host *sim_host_open(const char *dir);

/* Make its lock anew, held by nobody. */
int sim_host_init_lock(struct sim_host *host);

/* Unmap the host in `dir`, if it was opened, and all of its domains. */
void sim_host_close(const char *dir);

/*
 * Copy the host in `from` into the empty folder `to`, as it is now: quick, as far as its files are
 * sparse. A guest that is writing is not waited for. 0 or -errno.
 */
int sim_host_snapshot(const char *from, const char *to);

/* The host that $XENSIM_HOST names, opened at the first call; NULL with errno. */
struct sim_host *sim_host_current(void);

void sim_lock(struct sim_host *host);
void sim_unlock(struct sim_host *host);

/* Map the whole of a file of the host, shared and writable, made `octets` long. NULL with errno. */
void *sim_file_map(const struct sim_host *host, const char *name, size_t octets, bool create,
		   int *fd);

/*
 * What no correct caller of Xen does: said on stderr and counted, so that a test fails even when
 * the caller goes on.
 */
void sim_violation(struct sim_host *host, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Whole pages for so many octets. */
static inline size_t sim_page_align(size_t octets)
{
	return (octets + SIM_PAGE_OCTETS - 1) & ~(size_t)(SIM_PAGE_OCTETS - 1);
}

/* The M2P is seen in whole pieces of 2 MiB, as Xen maps it. */
#define SIM_M2P_CHUNK_OCTETS (2u << 20)

static inline size_t sim_m2p_octets(uint64_t frames)
{
	size_t octets = frames * sizeof(uint64_t);

	return (octets + SIM_M2P_CHUNK_OCTETS - 1) & ~(size_t)(SIM_M2P_CHUNK_OCTETS - 1);
}

/* ---- frames (frames.c); the lock is held ---- */

/*
 * 2^order neighbouring free frames for `owner`, aligned to their size, contents zero. Returns the
 * first, or SIM_NO_FRAME.
 */
uint64_t sim_frames_alloc(struct sim_host *host, unsigned order, uint16_t owner);

/* One frame below 4 GiB: the address of one that a 32-bit guest is told must fit. */
#define SIM_LOW_FRAMES (1u << 20)
uint64_t sim_frames_alloc_low(struct sim_host *host, uint16_t owner);

void sim_frames_free(struct sim_host *host, uint64_t mfn, uint64_t count);

/* Does the frame exist and belong to `owner`? */
bool sim_frame_owned(const struct sim_host *host, uint64_t mfn, uint16_t owner);

/* The next frame >= mfn that belongs to `owner`, or SIM_NO_FRAME. */
uint64_t sim_frames_next(const struct sim_host *host, uint64_t mfn, uint16_t owner);

static inline bool sim_frame_valid(const struct sim_host *host, uint64_t mfn)
{
	return mfn < host->state->nr_frames;
}

static inline uint8_t *sim_frame_page(const struct sim_host *host, uint64_t mfn)
{
	return host->memory + mfn * SIM_PAGE_OCTETS;
}

#endif
