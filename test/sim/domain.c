/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest.h"
#include "hypercall.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define DOMAIN_MAGIC 0x6e69616d6f64ull
#define APIC_GFN     0xfee00u /* Xen maps its APIC access page there when the domain is made */

/* The parts of a domain's file. */
static const size_t dirty = SIM_GFN_LIMIT / 8;
static const size_t chunk_of = SIM_CHUNKS * sizeof(uint32_t);
static const size_t chunks = (SIM_CHUNKS + 1) * SIM_CHUNK_GFNS * sizeof(uint64_t);

static int map_domain(struct sim_domain *domain, uint32_t domid, bool create)
{
	size_t state = sim_page_align(sizeof(struct sim_domain_state));
	char name[32];
	uint8_t *base;

	snprintf(name, sizeof(name), "dom-%u", domid);
	base = sim_file_map(domain->host, name, state + dirty + chunk_of + chunks, create, NULL);
	if (!base)
		return -errno;
	domain->state = (struct sim_domain_state *)base;
	domain->dirty = (uint64_t *)(base + state);
	domain->chunk_of = (uint32_t *)(base + state + dirty);
	domain->chunks = (uint64_t *)(base + state + dirty + chunk_of);
	return 0;
}

static uint64_t xen_frame(const struct sim_domain *domain, uint64_t mfn)
{
	if (mfn != SIM_NO_FRAME)
		domain->host->frames[mfn].type = SIM_FRAME_XENHEAP;
	return mfn;
}

/* Frames of Xen's own that the guest sees. An HVM guest's shared info is not followed. */
static int alloc_xen_frames(const struct sim_domain *domain)
{
	struct sim_domain_state *state = domain->state;
	uint16_t domid = (uint16_t)state->domid;

	for (unsigned i = 0; i < SIM_GRANT_FRAMES; i++) {
		state->grant_frames[i] =
			xen_frame(domain, sim_frames_alloc(domain->host, 0, domid));
		if (state->grant_frames[i] == SIM_NO_FRAME)
			return -ENOMEM;
	}
	state->shared_info_frame = SIM_NO_FRAME;
	if (state->type == SIM_HVM)
		return 0;
	state->shared_info_frame = xen_frame(domain, sim_frames_alloc_low(domain->host, domid));
	return state->shared_info_frame == SIM_NO_FRAME ? -ENOMEM : 0;
}

int sim_domain_create(struct sim_host *host, const struct sim_domain_options *options)
{
	struct sim_domain domain = {.host = host};
	struct sim_domain_state *state;
	uint32_t domid;
	int rc = -ENOSPC;

	if (options->vcpus < 1 || options->vcpus > SIM_MAX_VCPUS)
		return -EINVAL;
	sim_lock(host);
	domid = host->state->next_domid;
	if (domid < SIM_MAX_DOMAINS)
		rc = map_domain(&domain, domid, true);
	if (rc)
		goto out;
	host->state->next_domid++;
	state = domain.state;
	state->domid = domid;
	state->type = options->type;
	state->paused = true;
	state->max_pages = options->max_pages;
	state->nr_vcpus = options->vcpus;
	state->width = 8;
	state->tsc.tsc_mode = 0;
	state->tsc.gtsc_khz = 2400000;
	rc = alloc_xen_frames(&domain);
	if (rc)
		goto out;
	sim_policy_default(state);
	if (state->type == SIM_HVM)
		sim_p2m_set(&domain, APIC_GFN, SIM_P2M_VALID | SIM_P2M_MMIO);
	state->magic = DOMAIN_MAGIC;
	rc = (int)domid;
out:
	sim_unlock(host);
	return rc;
}

struct sim_domain *sim_domain_get(struct sim_host *host, uint32_t domid)
{
	struct sim_domain *domain;

	if (domid >= SIM_MAX_DOMAINS)
		return NULL;
	domain = host->domains[domid];
	if (!domain) {
		domain = calloc(1, sizeof(*domain));
		if (!domain)
			return NULL;
		domain->host = host;
		if (map_domain(domain, domid, false)) {
			free(domain);
			return NULL;
		}
		host->domains[domid] = domain;
	}
	return domain->state->magic == DOMAIN_MAGIC ? domain : NULL;
}

void sim_domain_unmap(struct sim_host *host, uint32_t domid)
{
	struct sim_domain *domain = host->domains[domid];

	if (!domain)
		return;
	munmap(domain->state,
	       sim_page_align(sizeof(struct sim_domain_state)) + dirty + chunk_of + chunks);
	free(domain);
	host->domains[domid] = NULL;
}

struct sim_domain *sim_domain_next(struct sim_host *host, uint32_t domid)
{
	for (; domid < host->state->next_domid; domid++) {
		struct sim_domain *domain = sim_domain_get(host, domid);

		if (domain)
			return domain;
	}
	return NULL;
}

/* Frames in runs: neighbours are given back in one go. */
struct run {
	struct sim_host *host;
	uint64_t first, count;
};

static void give_back(struct run *run, uint64_t mfn)
{
	if (run->count && mfn == run->first + run->count) {
		run->count++;
		return;
	}
	if (run->count)
		sim_frames_free(run->host, run->first, run->count);
	run->first = mfn;
	run->count = mfn == SIM_NO_FRAME ? 0 : 1;
}

int sim_domain_destroy(struct sim_host *host, uint32_t domid)
{
	struct sim_domain *domain = sim_domain_get(host, domid);
	struct run run = {.host = host};
	char path[SIM_HOST_NAME_OCTETS + 32];

	if (!domain)
		return -ESRCH;
	__atomic_store_n(&domain->state->dying, true, __ATOMIC_SEQ_CST);
	sim_guest_wait(domain);
	sim_lock(host);
	for (uint64_t mfn = sim_frames_next(host, 0, (uint16_t)domid); mfn != SIM_NO_FRAME;
	     mfn = sim_frames_next(host, mfn + 1, (uint16_t)domid))
		give_back(&run, mfn);
	give_back(&run, SIM_NO_FRAME);
	domain->state->magic = 0;
	sim_unlock(host);
	snprintf(path, sizeof(path), "%s/dom-%u", host->dir, domid);
	return unlink(path) ? -errno : 0;
}
