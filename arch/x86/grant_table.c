/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "grant_table.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <xen/grant_table.h>
#include <xen/memory.h>

/* Give `backend` access to `gfn` through one reserved entry. */
static void seed_entry(grant_entry_v1_t *table, unsigned ref, uint32_t backend, uint64_t gfn)
{
	if (!gfn)
		return;
	table[ref].domid = (domid_t)backend;
	table[ref].frame = (uint32_t)gfn;
	table[ref].flags = GTF_permit_access;
}

static void seed(struct restore_ctx *restore, grant_entry_v1_t *table, uint64_t console_gfn,
		 uint64_t store_gfn)
{
	seed_entry(table, GNTTAB_RESERVED_CONSOLE, restore->params.console_domid, console_gfn);
	seed_entry(table, GNTTAB_RESERVED_XENSTORE, restore->params.store_domid, store_gfn);
}

/* Map the gfn at which the table lies for the moment, and seed it. */
static int seed_at(struct restore_ctx *restore, xen_pfn_t gfn, uint64_t console_gfn,
		   uint64_t store_gfn)
{
	grant_entry_v1_t *table;
	int error = 0;

	table = xenforeignmemory_map(restore->fmem, restore->domid, PROT_READ | PROT_WRITE, 1, &gfn,
				     &error);
	if (!table)
		return ctx_fail_errno(&restore->ctx, errno, "cannot map the grant table");
	if (!error)
		seed(restore, table, console_gfn, store_gfn);
	if (xenforeignmemory_unmap(restore->fmem, table, 1))
		ctx_log(&restore->ctx, XENSR_LOG_WARN, "cannot unmap the grant table: %s",
			strerror(errno));
	if (error)
		return ctx_fail_errno(&restore->ctx, error < 0 ? -error : error,
				      "cannot map the grant table");
	return 0;
}

/*
 * For an older Xen or privcmd driver, which cannot map the table by itself: put its first frame
 * behind the guest's highest gfn for as long as it takes (XENMEM_add_to_physmap, xen/memory.h).
 */
static int seed_through_physmap(struct restore_ctx *restore, uint64_t console_gfn,
				uint64_t store_gfn)
{
	xen_pfn_t gfn = 0;
	int rc;

	if (xc_domain_nr_gpfns(restore->xch, restore->domid, &gfn) < 0)
		return ctx_fail_errno(&restore->ctx, errno,
				      "cannot get the highest pfn of domain %u", restore->domid);
	if (xc_domain_add_to_physmap(restore->xch, restore->domid, XENMAPSPACE_grant_table, 0, gfn))
		return ctx_fail_errno(&restore->ctx, errno,
				      "cannot put the grant table at gfn %#llx",
				      (unsigned long long)gfn);
	rc = seed_at(restore, gfn, console_gfn, store_gfn);
	if (xc_domain_remove_from_physmap(restore->xch, restore->domid, gfn))
		rc = ctx_fail_errno(&restore->ctx, errno,
				    "cannot take the grant table from gfn %#llx again",
				    (unsigned long long)gfn);
	return rc;
}

/*
 * The same for a PV guest: Xen names the frame (GNTTABOP_setup_table, xen/grant_table.h).
 */
static int seed_by_frame(struct restore_ctx *restore, uint64_t console_gfn, uint64_t store_gfn)
{
	DECLARE_HYPERCALL_BUFFER(xen_pfn_t, frame);
	struct gnttab_setup_table op = {.dom = (domid_t)restore->domid, .nr_frames = 1};
	int rc = -1;

	frame = xc_hypercall_buffer_alloc(restore->xch, frame, sizeof(*frame));
	if (!frame)
		return ctx_fail_errno(&restore->ctx, ENOMEM, "no hypercall buffer");
	set_xen_guest_handle(op.frame_list, frame);
	if (xc_gnttab_op(restore->xch, GNTTABOP_setup_table, &op, sizeof(op), 1))
		ctx_fail_errno(&restore->ctx, errno, "cannot set up the grant table");
	else if (op.status != GNTST_okay)
		ctx_fail(&restore->ctx, EIO, "cannot set up the grant table: status %d", op.status);
	else
		rc = seed_at(restore, *frame, console_gfn, store_gfn);
	xc_hypercall_buffer_free(restore->xch, frame);
	return rc;
}

static int seed_older_way(struct restore_ctx *restore, uint64_t console_gfn, uint64_t store_gfn)
{
	if (restore->info.flags & XEN_DOMINF_hvm_guest)
		return seed_through_physmap(restore, console_gfn, store_gfn);
	return seed_by_frame(restore, console_gfn, store_gfn);
}

int grant_table_seed(struct restore_ctx *restore, uint64_t console_gfn, uint64_t store_gfn)
{
	xenforeignmemory_resource_handle *resource;
	void *table = NULL;

	resource = xenforeignmemory_map_resource(
		restore->fmem, (domid_t)restore->domid, XENMEM_resource_grant_table,
		XENMEM_resource_grant_table_id_shared, 0, 1, &table, PROT_READ | PROT_WRITE, 0);
	if (!resource) {
		if (errno == EOPNOTSUPP)
			return seed_older_way(restore, console_gfn, store_gfn);
		return ctx_fail_errno(&restore->ctx, errno, "cannot map the grant table");
	}
	seed(restore, table, console_gfn, store_gfn);
	if (xenforeignmemory_unmap_resource(restore->fmem, resource))
		ctx_log(&restore->ctx, XENSR_LOG_WARN, "cannot unmap the grant table: %s",
			strerror(errno));
	return 0;
}
