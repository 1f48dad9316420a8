/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The p2m of an HVM domain: gfn to frame, in chunks, so that its cost follows what is mapped and
 * not the address space.
 */
#include "domain.h"

#include <errno.h>
#include <string.h>

uint64_t *sim_p2m_chunk(const struct sim_domain *domain, uint64_t gfn)
{
	uint32_t chunk = gfn < SIM_GFN_LIMIT ? domain->chunk_of[gfn / SIM_CHUNK_GFNS] : 0;

	return chunk ? &domain->chunks[(uint64_t)chunk * SIM_CHUNK_GFNS] : NULL;
}

static uint64_t *entry_of(const struct sim_domain *domain, uint64_t gfn)
{
	uint64_t *chunk = sim_p2m_chunk(domain, gfn);

	return chunk ? &chunk[gfn % SIM_CHUNK_GFNS] : NULL;
}

uint64_t sim_p2m_get(const struct sim_domain *domain, uint64_t gfn)
{
	const uint64_t *entry = entry_of(domain, gfn);

	return entry ? *entry : 0;
}

int sim_p2m_set(struct sim_domain *domain, uint64_t gfn, uint64_t entry)
{
	struct sim_domain_state *state = domain->state;
	uint64_t *place;

	if (gfn >= SIM_GFN_LIMIT)
		return -EINVAL;
	place = entry_of(domain, gfn);
	if (!place) {
		domain->chunk_of[gfn / SIM_CHUNK_GFNS] = (uint32_t)++domain->chunks[0];
		place = entry_of(domain, gfn);
	}
	*place = entry;
	if (entry && (!state->has_gfns || gfn > state->max_gfn)) {
		state->max_gfn = gfn;
		state->has_gfns = true;
	}
	return 0;
}

uint64_t sim_p2m_frame(const struct sim_domain *domain, uint64_t gfn)
{
	uint64_t entry = sim_p2m_get(domain, gfn);

	if (!(entry & SIM_P2M_VALID) || entry & (SIM_P2M_BROKEN | SIM_P2M_MMIO))
		return SIM_NO_FRAME;
	return entry & SIM_P2M_MFN_MASK;
}

uint64_t sim_p2m_next(const struct sim_domain *domain, uint64_t gfn)
{
	uint64_t end = domain->state->has_gfns ? domain->state->max_gfn + 1 : 0;

	while (gfn < end) {
		const uint64_t *entry = entry_of(domain, gfn);

		if (!entry)
			gfn = (gfn / SIM_CHUNK_GFNS + 1) * SIM_CHUNK_GFNS;
		else if (*entry == 0)
			gfn++;
		else
			return gfn;
	}
	return SIM_GFN_LIMIT;
}

int sim_p2m_populate(struct sim_domain *domain, uint64_t gfn, unsigned order)
{
	struct sim_domain_state *state = domain->state;
	uint64_t count = 1ull << order;
	uint64_t mfn;

	if (gfn >= SIM_GFN_LIMIT || count > SIM_GFN_LIMIT - gfn || gfn % count)
		return -EINVAL;
	if (state->tot_pages + count > state->max_pages)
		return -ENOMEM;
	mfn = sim_frames_alloc(domain->host, order, (uint16_t)state->domid);
	if (mfn == SIM_NO_FRAME)
		return -ENOMEM;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t old = sim_p2m_get(domain, gfn + i);

		if (old & (SIM_P2M_SPECIAL | SIM_P2M_MMIO)) {
			sim_violation(domain->host,
				      "populate_physmap replaces gfn %#llx, which is not RAM",
				      (unsigned long long)(gfn + i));
		} else if (old & SIM_P2M_VALID) {
			sim_violation(domain->host,
				      "populate_physmap replaces gfn %#llx, which had a page",
				      (unsigned long long)(gfn + i));
			sim_p2m_remove(domain, gfn + i);
		}
		sim_p2m_set(domain, gfn + i,
			    SIM_P2M_VALID | (uint64_t)order << SIM_P2M_ORDER_SHIFT | (mfn + i));
		domain->host->m2p[mfn + i] = gfn + i;
		sim_mark_new(domain, gfn + i);
	}
	state->tot_pages += count;
	return 0;
}

int sim_p2m_remove(struct sim_domain *domain, uint64_t gfn)
{
	uint64_t mfn = sim_p2m_frame(domain, gfn);

	if (mfn == SIM_NO_FRAME)
		return -EINVAL;
	sim_p2m_set(domain, gfn, 0);
	domain->state->tot_pages--;
	sim_frames_free(domain->host, mfn, 1);
	return 0;
}
