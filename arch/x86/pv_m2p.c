/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pv_m2p.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xen/memory.h>

/* Each chunk is of neighbouring frames. */
#define CHUNK_FRAMES ((size_t)512)

/* The first frame of each chunk, spread to all frames of the table. */
static int list_frames(struct save_ctx *save, struct pv_m2p *m2p, size_t chunks, xen_pfn_t *mfns)
{
	xen_pfn_t *first = calloc(chunks, sizeof(*first));

	if (!first)
		return ctx_fail_errno(&save->ctx, ENOMEM, "no room for %zu chunks of the M2P",
				      chunks);
	if (xc_machphys_mfn_list(save->xch, chunks, first)) {
		ctx_fail_errno(&save->ctx, errno, "cannot get the frames of the M2P");
		free(first);
		return -1;
	}
	/* A hole begins at frame 0 (xen/memory.h); what is mapped there is never looked at. */
	for (size_t i = 0; i < chunks; i++)
		m2p->holes[i] = first[i] == 0;
	for (size_t i = 0; i < chunks * CHUNK_FRAMES; i++) {
		size_t chunk = i / CHUNK_FRAMES;

		mfns[i] = first[m2p->holes[chunk] ? 0 : chunk] + i % CHUNK_FRAMES;
	}
	free(first);
	return 0;
}

static int map_frames(struct save_ctx *save, struct pv_m2p *m2p, const xen_pfn_t *mfns)
{
	/* No array of errors: without one, any frame that fails fails all. */
	m2p->pfns =
		xenforeignmemory_map(save->fmem, DOMID_XEN, PROT_READ, m2p->nr_frames, mfns, NULL);
	if (!m2p->pfns)
		return ctx_fail_errno(&save->ctx, errno, "cannot map the %zu frames of the M2P",
				      m2p->nr_frames);
	return 0;
}

/* XENMEM_machphys_compat_mfn_list (xen/memory.h). */
static int find_compat(struct save_ctx *save, struct pv_m2p *m2p)
{
	DECLARE_HYPERCALL_BUFFER(xen_pfn_t, first);
	struct xen_machphys_mfn_list list = {.max_extents = 1};
	int rc = -1;

	first = xc_hypercall_buffer_alloc(save->xch, first, sizeof(*first));
	if (!first)
		return ctx_fail_errno(&save->ctx, ENOMEM, "no hypercall buffer");
	set_xen_guest_handle(list.extent_start, first);
	if (xc_memory_op(save->xch, XENMEM_machphys_compat_mfn_list, &list, sizeof(list)) < 0 ||
	    list.nr_extents != 1) {
		ctx_fail_errno(&save->ctx, errno, "cannot get the frames of the compat M2P");
		goto out;
	}
	m2p->compat_mfn0 = *first;
	rc = 0;
out:
	xc_hypercall_buffer_free(save->xch, first);
	return rc;
}

int pv_m2p_map(struct save_ctx *save, struct pv_m2p *m2p, bool compat)
{
	unsigned long max_mfn = 0;
	xen_pfn_t *mfns;
	size_t chunks;
	int rc = -1;

	if (xc_maximum_ram_page(save->xch, &max_mfn) < 0)
		return ctx_fail_errno(&save->ctx, errno, "cannot get the number of frames");
	/* Xen means the number of frames, and lists no chunk beyond it. */
	chunks = (max_mfn + PV_M2P_CHUNK_MFNS - 1) / PV_M2P_CHUNK_MFNS;
	if (chunks == 0)
		return ctx_fail(&save->ctx, EIO, "Xen says that the machine has no frames");
	m2p->nr_mfns = chunks * PV_M2P_CHUNK_MFNS;
	m2p->nr_frames = chunks * CHUNK_FRAMES;
	mfns = malloc(m2p->nr_frames * sizeof(*mfns));
	m2p->holes = calloc(chunks, sizeof(*m2p->holes));
	if (!mfns || !m2p->holes) {
		ctx_fail_errno(&save->ctx, ENOMEM, "no room for the %zu frames of the M2P",
			       m2p->nr_frames);
		goto out;
	}
	if (list_frames(save, m2p, chunks, mfns) || map_frames(save, m2p, mfns))
		goto out;
	rc = compat ? find_compat(save, m2p) : 0;
out:
	free(mfns);
	return rc;
}

void pv_m2p_unmap(struct save_ctx *save, struct pv_m2p *m2p)
{
	free(m2p->holes);
	m2p->holes = NULL;
	if (!m2p->pfns)
		return;
	if (xenforeignmemory_unmap(save->fmem, (void *)(uintptr_t)m2p->pfns, m2p->nr_frames))
		ctx_log(&save->ctx, XENSR_LOG_WARN, "cannot unmap the M2P: %s", strerror(errno));
	m2p->pfns = NULL;
}
