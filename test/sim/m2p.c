/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The machine-to-phys table as toolstacks find it: through frames of Xen's own, whose numbers
 * here lie beyond all memory. The compat table is only known by its number: nobody maps it.
 */
#include "pv.h"

#define CHUNK_FRAMES (SIM_M2P_CHUNK_OCTETS / SIM_PAGE_OCTETS)

uint64_t sim_m2p_first_frame(const struct sim_host *host)
{
	return (host->state->nr_frames + CHUNK_FRAMES - 1) / CHUNK_FRAMES * CHUNK_FRAMES;
}

uint64_t sim_m2p_compat_first_frame(const struct sim_host *host)
{
	return sim_m2p_first_frame(host) + sim_m2p_octets(host->state->nr_frames) / SIM_PAGE_OCTETS;
}

uint64_t sim_m2p_page(const struct sim_host *host, uint64_t mfn)
{
	uint64_t first = sim_m2p_first_frame(host);

	if (mfn < first || mfn >= sim_m2p_compat_first_frame(host))
		return SIM_NO_FRAME;
	return mfn - first;
}
