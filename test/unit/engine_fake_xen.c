/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The stand-in for Xen's libraries: see engine_fake_xen.h. Allocates with aligned_alloc and
 * mmap only, so that a test that fails malloc fails the engine and not this.
 */
#include "engine_fake_xen.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xen/memory.h>
#include <xen/version.h>

#define NR_DOMAINS 2u
#define NR_FRAMES  (1u << 16)
#define NR_LIVE    64u

struct xc_interface_core {
	int unused;
};
struct xenforeignmemory_handle {
	int unused;
};
struct xenforeignmemory_resource_handle {
	void *addr;
};

struct fake_xen fake;

static struct xc_interface_core the_xch;
static struct xenforeignmemory_handle the_fmem;
static struct xenforeignmemory_resource_handle the_resource;
static struct fake_domain domains[NR_DOMAINS];
static unsigned nr_domains;

static int frames_fd = -1;
static uint8_t *frames; /* all of them */
static uint32_t nr_frames;

static struct {
	void *addr;
	size_t pages;
} mappings[NR_LIVE];
static void *buffers[NR_LIVE];
static size_t buffer_octets[NR_LIVE];

xc_hypercall_buffer_t XC__HYPERCALL_BUFFER_NAME(HYPERCALL_BUFFER_NULL) = {
	.hbuf = NULL,
	.param_shadow = NULL,
	HYPERCALL_BUFFER_INIT_NO_BOUNCE,
};

static const char *const fn_names[FN_COUNT] = {
	[FN_NONE] = "none",
	[FN_GETINFO] = "getinfolist",
	[FN_TYPES] = "getpageframeinfo3",
	[FN_POLICY_GET] = "get_cpu_policy",
	[FN_POLICY_SET] = "set_cpu_policy",
	[FN_POLICY_SIZES] = "sysctl get_cpu_policy",
	[FN_VERSION] = "version",
	[FN_NR_GPFNS] = "nr_gpfns",
	[FN_POPULATE] = "populate_physmap",
	[FN_PARAM_GET] = "param_get",
	[FN_PARAM_SET] = "param_set",
	[FN_CONTEXT_GET] = "getcontext",
	[FN_CONTEXT_SET] = "setcontext",
	[FN_TSC_GET] = "get_tsc_info",
	[FN_TSC_SET] = "set_tsc_info",
	[FN_CLEAR] = "clear_domain_pages",
	[FN_PHYSMAP_ADD] = "add_to_physmap",
	[FN_PHYSMAP_REMOVE] = "remove_from_physmap",
	[FN_BUFFER_ALLOC] = "hypercall_buffer_alloc",
	[FN_MAP] = "map",
	[FN_UNMAP] = "unmap",
	[FN_MAP_RESOURCE] = "map_resource",
	[FN_UNMAP_RESOURCE] = "unmap_resource",
	[FN_SHADOW] = "shadow_control",
	[FN_LOGDIRTY] = "logdirty_control",
	[FN_DECREASE] = "decrease_reservation",
};

/* ---- the host, as the tests see it ------------------------------------------------------ */

const char *fake_fn_name(enum fake_fn fn)
{
	return fn < FN_COUNT ? fn_names[fn] : "?";
}

xc_interface *fake_xch(void)
{
	return &the_xch;
}

void fake_reset(void)
{
	for (unsigned i = 0; i < NR_LIVE; i++) {
		if (mappings[i].addr)
			munmap(mappings[i].addr, mappings[i].pages * FAKE_PAGE);
		free(buffers[i]);
		buffers[i] = NULL;
	}
	memset(mappings, 0, sizeof(mappings));
	if (frames)
		munmap(frames, (size_t)NR_FRAMES * FAKE_PAGE);
	if (frames_fd >= 0)
		close(frames_fd);
	frames_fd = memfd_create("frames", MFD_CLOEXEC);
	HOLDS(frames_fd >= 0);
	HOLDS(ftruncate(frames_fd, (off_t)NR_FRAMES * FAKE_PAGE) == 0);
	frames = mmap(NULL, (size_t)NR_FRAMES * FAKE_PAGE, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_NORESERVE, frames_fd, 0);
	HOLDS(frames != MAP_FAILED);
	nr_frames = 0;
	nr_domains = 0;
	the_resource.addr = NULL;
	memset(&fake, 0, sizeof(fake));
	fake.extents_2m_allowed = UINT32_MAX;
	fake.pages_allowed = UINT64_MAX;
	fake.map_error_gfn = UINT64_MAX;
	fake.fail_errno = EIO;
}

static uint32_t frame_new(void)
{
	MUST(nr_frames < NR_FRAMES, "the fake host is out of frames");
	return nr_frames++;
}

struct fake_domain *fake_domain_add(uint32_t domid, uint64_t max_pages)
{
	struct fake_domain *dom = &domains[nr_domains++];

	HOLDS(nr_domains <= NR_DOMAINS);
	memset(dom, 0, sizeof(*dom));
	dom->domid = domid;
	dom->flags = XEN_DOMINF_hvm_guest | XEN_DOMINF_paused;
	dom->max_pages = max_pages;
	dom->gpaddr_bits = 40;
	dom->grant_frame = frame_new();
	return dom;
}

static struct fake_slot *slot_of(struct fake_domain *dom, uint64_t gfn)
{
	uint32_t i = (uint32_t)(gfn * 0x9e3779b97f4a7c15ull >> 48) % FAKE_SLOTS;

	while (dom->slots[i].gfn && dom->slots[i].gfn != gfn + 1)
		i = (i + 1) % FAKE_SLOTS;
	return &dom->slots[i];
}

static void slot_fill(struct fake_domain *dom, uint64_t gfn, uint32_t frame, uint8_t type)
{
	struct fake_slot *slot = slot_of(dom, gfn);

	MUST(!slot->gfn, "gfn %#llx of domain %u is populated already", (unsigned long long)gfn,
	     dom->domid);
	*slot = (struct fake_slot){.gfn = gfn + 1, .frame = frame, .type = type};
}

static void *frame_at(uint32_t frame)
{
	return frames + (size_t)frame * FAKE_PAGE;
}

void *fake_page_add(struct fake_domain *dom, uint64_t gfn, uint8_t type)
{
	uint32_t frame = frame_new();

	slot_fill(dom, gfn, frame, type);
	dom->tot_pages++;
	if (dom->nr_gpfns <= gfn)
		dom->nr_gpfns = gfn + 1;
	return frame_at(frame);
}

void fake_page_remove(struct fake_domain *dom, uint64_t gfn)
{
	struct fake_slot *slot = slot_of(dom, gfn);

	MUST(slot->gfn, "gfn %#llx of domain %u is not populated", (unsigned long long)gfn,
	     dom->domid);
	/* Taken, no gfn's, and counted as nobody's page. */
	*slot = (struct fake_slot){.gfn = UINT64_MAX, .frame = dom->grant_frame};
	dom->tot_pages--;
}

void fake_dirty(struct fake_domain *dom, uint64_t gfn)
{
	HOLDS(gfn < FAKE_LOGGED);
	if (dom->log_dirty)
		dom->dirty[gfn / 64] |= 1ull << (gfn % 64);
}

void *fake_page(struct fake_domain *dom, uint64_t gfn)
{
	const struct fake_slot *slot = slot_of(dom, gfn);

	return slot->gfn ? frame_at(slot->frame) : NULL;
}

uint64_t fake_pages(const struct fake_domain *dom)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < FAKE_SLOTS; i++)
		n += dom->slots[i].gfn && dom->slots[i].frame != dom->grant_frame;
	return n;
}

grant_entry_v1_t *fake_grants(struct fake_domain *dom)
{
	return frame_at(dom->grant_frame);
}

void fake_trace(unsigned what)
{
	if (fake.nr_trace < sizeof(fake.trace))
		fake.trace[fake.nr_trace++] = (uint8_t)what;
}

int fake_trace_find(unsigned what, unsigned nth)
{
	for (unsigned i = 0; i < fake.nr_trace; i++) {
		if (fake.trace[i] == what && nth-- == 0)
			return (int)i;
	}
	return -1;
}

/* ---- every call comes through here ------------------------------------------------------ */

/* Count the call; true = it is the one that has to fail, errno is set. */
static bool enter(enum fake_fn fn)
{
	fake.total++;
	fake.calls[fn]++;
	fake.last[fn] = fake.total;
	fake_trace(fn);
	if (fake.hook)
		fake.hook(fn, fake.calls[fn]);
	if (fake.total != fake.fail_at &&
	    !(fn == fake.fail_fn && fake.calls[fn] == fake.fail_fn_at))
		return false;
	fake.failed = fn;
	errno = fake.fail_errno;
	return true;
}

static struct fake_domain *domain_of(const xc_interface *xch, uint32_t domid)
{
	MUST(xch == &the_xch, "a foreign xc_interface");
	for (unsigned i = 0; i < nr_domains; i++) {
		if (domains[i].domid == domid)
			return &domains[i];
	}
	ck_abort_msg("call for domain %u, which does not exist", domid);
	return NULL;
}

static void note_memory_access(const struct fake_domain *dom)
{
	if (!(dom->flags & XEN_DOMINF_shutdown))
		fake.while_running++;
}

/* ---- libxenctrl ------------------------------------------------------------------------- */

struct xenforeignmemory_handle *xc_interface_fmem_handle(xc_interface *xch)
{
	HOLDS(xch == &the_xch);
	return &the_fmem;
}

static void *buffer_keep(xc_hypercall_buffer_t *b, size_t octets)
{
	if (enter(FN_BUFFER_ALLOC))
		return NULL;
	HOLDS(octets > 0);
	for (unsigned i = 0; i < NR_LIVE; i++) {
		if (buffers[i])
			continue;
		buffers[i] = aligned_alloc(8, (octets + 7) / 8 * 8);
		HOLDS(buffers[i]);
		memset(buffers[i], 0xa5, octets);
		buffer_octets[i] = octets;
		fake.buffers++;
		b->hbuf = buffers[i];
		return b->hbuf;
	}
	ck_abort_msg("too many hypercall buffers");
	return NULL;
}

static void buffer_drop(const xc_hypercall_buffer_t *b)
{
	if (!b->hbuf)
		return;
	for (unsigned i = 0; i < NR_LIVE; i++) {
		if (buffers[i] != b->hbuf)
			continue;
		free(buffers[i]);
		buffers[i] = NULL;
		fake.buffers--;
		return;
	}
	ck_abort_msg("freeing a hypercall buffer that is none");
}

/* A hypercall argument must lie in a buffer. */
static void *buffer_check(const void *p)
{
	for (unsigned i = 0; i < NR_LIVE; i++) {
		if (buffers[i] && buffers[i] == p)
			return buffers[i];
	}
	ck_abort_msg("a hypercall argument outside of all buffers");
	return NULL;
}

/* The same, and so many octets of it. */
static void *buffer_check_octets(const void *p, size_t octets)
{
	void *buffer = buffer_check(p);

	for (unsigned i = 0; i < NR_LIVE; i++) {
		if (buffers[i] == buffer)
			MUST(buffer_octets[i] >= octets, "%zu octets of a buffer of %zu", octets,
			     buffer_octets[i]);
	}
	return buffer;
}

void *xc__hypercall_buffer_alloc(xc_interface *xch, xc_hypercall_buffer_t *b, size_t size)
{
	HOLDS(xch == &the_xch);
	return buffer_keep(b, size);
}

void xc__hypercall_buffer_free(xc_interface *xch, xc_hypercall_buffer_t *b)
{
	HOLDS(xch == &the_xch);
	buffer_drop(b);
}

void *xc__hypercall_buffer_alloc_pages(xc_interface *xch, xc_hypercall_buffer_t *b, int nr_pages)
{
	HOLDS(xch == &the_xch);
	HOLDS(nr_pages > 0);
	return buffer_keep(b, (size_t)nr_pages * FAKE_PAGE);
}

void xc__hypercall_buffer_free_pages(xc_interface *xch, xc_hypercall_buffer_t *b, int nr_pages)
{
	HOLDS(xch == &the_xch);
	HOLDS(nr_pages > 0);
	buffer_drop(b);
}

int xc_domain_getinfolist(xc_interface *xch, uint32_t first_domain, unsigned int max_domains,
			  xc_domaininfo_t *info)
{
	const struct fake_domain *found = NULL;

	HOLDS(xch == &the_xch);
	HOLDS(max_domains == 1);
	if (enter(FN_GETINFO))
		return -1;
	for (unsigned i = 0; i < nr_domains; i++) {
		if (domains[i].domid >= first_domain && (!found || domains[i].domid < found->domid))
			found = &domains[i];
	}
	if (!found)
		return 0;
	memset(info, 0, sizeof(*info));
	info->domain = (domid_t)found->domid;
	info->flags = found->flags;
	info->tot_pages = found->tot_pages;
	info->max_pages = found->max_pages;
	info->gpaddr_bits = found->gpaddr_bits;
	return 1;
}

static int page_types(struct fake_domain *dom, struct xen_domctl_getpageframeinfo3 *op)
{
	xen_pfn_t *array;

	if (enter(FN_TYPES))
		return -1;
	MUST(op->num >= 1 && op->num <= 1024, "%llu types asked for", (unsigned long long)op->num);
	array = buffer_check(op->array.p);
	note_memory_access(dom);
	for (uint64_t i = 0; i < op->num; i++) {
		const struct fake_slot *slot = slot_of(dom, array[i]);

		array[i] = (xen_pfn_t)(slot->gfn ? slot->type : 0xfu) << 28;
	}
	return 0;
}

static int policy_get(const struct fake_domain *dom, struct xen_domctl_cpu_policy *op)
{
	if (enter(FN_POLICY_GET))
		return -1;
	if (op->nr_leaves < dom->nr_leaves || op->nr_msrs < dom->nr_msrs) {
		errno = ENOBUFS;
		return -1;
	}
	memcpy(buffer_check(op->leaves.p), dom->leaves, dom->nr_leaves * sizeof(dom->leaves[0]));
	memcpy(buffer_check(op->msrs.p), dom->msrs, dom->nr_msrs * sizeof(dom->msrs[0]));
	op->nr_leaves = dom->nr_leaves;
	op->nr_msrs = dom->nr_msrs;
	return 0;
}

static int policy_set(struct fake_domain *dom, struct xen_domctl_cpu_policy *op)
{
	const xen_cpuid_leaf_t *leaves;
	const xen_msr_entry_t *msrs;

	fake.changes++;
	if (enter(FN_POLICY_SET))
		return -1;
	HOLDS(op->nr_leaves <= FAKE_LEAVES);
	HOLDS(op->nr_msrs <= FAKE_MSRS);
	leaves = op->nr_leaves ? buffer_check(op->leaves.p) : NULL;
	msrs = op->nr_msrs ? buffer_check(op->msrs.p) : NULL;
	errno = EINVAL;
	if (fake.refuse_silently)
		return -1;
	for (uint32_t i = 0; i < op->nr_leaves; i++) {
		if (fake.refuse_leaf && leaves[i].leaf == fake.refused_leaf &&
		    leaves[i].subleaf == fake.refused_subleaf) {
			op->err_leaf = fake.refused_leaf;
			op->err_subleaf = fake.refused_subleaf;
			return -1;
		}
	}
	for (uint32_t i = 0; i < op->nr_msrs; i++) {
		if (fake.refuse_msr && msrs[i].idx == fake.refused_msr) {
			op->err_msr = fake.refused_msr;
			return -1;
		}
	}
	if (op->nr_leaves)
		memcpy(dom->leaves, leaves, op->nr_leaves * sizeof(dom->leaves[0]));
	if (op->nr_msrs)
		memcpy(dom->msrs, msrs, op->nr_msrs * sizeof(dom->msrs[0]));
	dom->nr_leaves = op->nr_leaves;
	dom->nr_msrs = op->nr_msrs;
	return 0;
}

int xc_domctl(xc_interface *xch, struct xen_domctl *domctl)
{
	struct fake_domain *dom = domain_of(xch, domctl->domain);

	HOLDS(domctl->interface_version == XEN_DOMCTL_INTERFACE_VERSION);
	switch (domctl->cmd) {
	case XEN_DOMCTL_getpageframeinfo3:
		return page_types(dom, &domctl->u.getpageframeinfo3);
	case XEN_DOMCTL_get_cpu_policy:
		return policy_get(dom, &domctl->u.cpu_policy);
	case XEN_DOMCTL_set_cpu_policy:
		return policy_set(dom, &domctl->u.cpu_policy);
	default:
		ck_abort_msg("domctl %u", domctl->cmd);
		return -1;
	}
}

int xc_sysctl(xc_interface *xch, struct xen_sysctl *sysctl)
{
	HOLDS(xch == &the_xch);
	HOLDS(sysctl->interface_version == XEN_SYSCTL_INTERFACE_VERSION);
	HOLDS(sysctl->cmd == XEN_SYSCTL_get_cpu_policy);
	HOLDS(!sysctl->u.cpu_policy.leaves.p);
	HOLDS(!sysctl->u.cpu_policy.msrs.p);
	if (enter(FN_POLICY_SIZES))
		return -1;
	sysctl->u.cpu_policy.nr_leaves = FAKE_LEAVES;
	sysctl->u.cpu_policy.nr_msrs = FAKE_MSRS;
	return 0;
}

int xc_version(xc_interface *xch, int cmd, void *arg)
{
	HOLDS(xch == &the_xch);
	HOLDS(cmd == XENVER_version);
	HOLDS(!arg);
	return enter(FN_VERSION) ? -1 : 4 << 16 | 17;
}

int xc_domain_nr_gpfns(xc_interface *xch, uint32_t domid, xen_pfn_t *gpfns)
{
	const struct fake_domain *dom = domain_of(xch, domid);

	if (enter(FN_NR_GPFNS))
		return -1;
	*gpfns = dom->nr_gpfns;
	return 0;
}

int xc_domain_populate_physmap(xc_interface *xch, uint32_t domid, unsigned long nr_extents,
			       unsigned int extent_order, unsigned int mem_flags,
			       xen_pfn_t *extent_start)
{
	struct fake_domain *dom = domain_of(xch, domid);
	uint64_t pages = 1ull << extent_order;
	unsigned long done;

	fake.changes++;
	if (enter(FN_POPULATE)) {
		fake.failed_order = extent_order;
		return -1;
	}
	MUST(extent_order == 0 || extent_order == 9, "order %u", extent_order);
	HOLDS(nr_extents >= 1);
	HOLDS(mem_flags == 0);
	for (done = 0; done < nr_extents; done++) {
		uint64_t gfn = extent_start[done];

		MUST(gfn % pages == 0, "gfn %#llx is not aligned", (unsigned long long)gfn);
		if (dom->tot_pages + pages > dom->max_pages || fake.pages_allowed < pages)
			break;
		if (extent_order && fake.extents_2m >= fake.extents_2m_allowed)
			break;
		for (uint64_t i = 0; i < pages; i++)
			fake_page_add(dom, gfn + i, 0);
		fake.pages_allowed -= pages;
		fake.extents_2m += extent_order != 0;
	}
	return (int)done;
}

int xc_hvm_param_get(xc_interface *xch, uint32_t domid, uint32_t param, uint64_t *value)
{
	const struct fake_domain *dom = domain_of(xch, domid);

	HOLDS(param < FAKE_PARAMS);
	if (enter(FN_PARAM_GET))
		return -1;
	*value = dom->params[param];
	return 0;
}

int xc_hvm_param_set(xc_interface *xch, uint32_t domid, uint32_t param, uint64_t value)
{
	struct fake_domain *dom = domain_of(xch, domid);

	HOLDS(param < FAKE_PARAMS);
	MUST(param != 4, "PAE_ENABLED must be dropped");
	fake.changes++;
	if (enter(FN_PARAM_SET))
		return -1;
	dom->params[param] = value;
	return 0;
}

int xc_domain_hvm_getcontext(xc_interface *xch, uint32_t domid, uint8_t *ctxt_buf, uint32_t size)
{
	const struct fake_domain *dom = domain_of(xch, domid);

	if (enter(FN_CONTEXT_GET))
		return -1;
	if (!ctxt_buf)
		return (int)dom->context_octets;
	if (size < dom->context_octets) {
		errno = ENOSPC;
		return -1;
	}
	memcpy(ctxt_buf, dom->context, dom->context_octets);
	return (int)dom->context_octets;
}

int xc_domain_hvm_setcontext(xc_interface *xch, uint32_t domid, uint8_t *hvm_ctxt, uint32_t size)
{
	struct fake_domain *dom = domain_of(xch, domid);

	fake.changes++;
	if (enter(FN_CONTEXT_SET))
		return -1;
	HOLDS(size <= FAKE_CONTEXT);
	memcpy(dom->context, hvm_ctxt, size);
	dom->context_octets = size;
	return 0;
}

int xc_domain_get_tsc_info(xc_interface *xch, uint32_t domid, uint32_t *tsc_mode,
			   uint64_t *elapsed_nsec, uint32_t *gtsc_khz, uint32_t *incarnation)
{
	const struct fake_domain *dom = domain_of(xch, domid);

	if (enter(FN_TSC_GET))
		return -1;
	*tsc_mode = dom->tsc.mode;
	*elapsed_nsec = dom->tsc.nsec;
	*gtsc_khz = dom->tsc.khz;
	*incarnation = dom->tsc.incarnation;
	return 0;
}

int xc_domain_set_tsc_info(xc_interface *xch, uint32_t domid, uint32_t tsc_mode,
			   uint64_t elapsed_nsec, uint32_t gtsc_khz, uint32_t incarnation)
{
	struct fake_domain *dom = domain_of(xch, domid);

	fake.changes++;
	if (enter(FN_TSC_SET))
		return -1;
	dom->tsc.mode = tsc_mode;
	dom->tsc.nsec = elapsed_nsec;
	dom->tsc.khz = gtsc_khz;
	dom->tsc.incarnation = incarnation;
	return 0;
}

int xc_clear_domain_pages(xc_interface *xch, uint32_t domid, unsigned long dst_pfn, int num)
{
	struct fake_domain *dom = domain_of(xch, domid);

	fake.changes++;
	if (enter(FN_CLEAR))
		return -1;
	for (int i = 0; i < num; i++) {
		void *page = fake_page(dom, dst_pfn + (unsigned)i);

		if (!page) {
			errno = EINVAL;
			return -1;
		}
		memset(page, 0, FAKE_PAGE);
	}
	return 0;
}

int xc_domain_add_to_physmap(xc_interface *xch, uint32_t domid, unsigned int space,
			     unsigned long idx, xen_pfn_t gpfn)
{
	struct fake_domain *dom = domain_of(xch, domid);

	HOLDS(space == XENMAPSPACE_grant_table);
	HOLDS(idx == 0);
	HOLDS(!fake_page(dom, gpfn));
	fake.changes++;
	if (enter(FN_PHYSMAP_ADD))
		return -1;
	slot_fill(dom, gpfn, dom->grant_frame, 0);
	return 0;
}

int xc_domain_remove_from_physmap(xc_interface *xch, uint32_t domid, xen_pfn_t gpfn)
{
	struct fake_domain *dom = domain_of(xch, domid);

	HOLDS(fake_page(dom, gpfn) == fake_grants(dom));
	fake.changes++;
	if (enter(FN_PHYSMAP_REMOVE))
		return -1;
	slot_of(dom, gpfn)->gfn = UINT64_MAX; /* taken, and no gfn's */
	return 0;
}

int xc_domain_decrease_reservation_exact(xc_interface *xch, uint32_t domid,
					 unsigned long nr_extents, unsigned int extent_order,
					 xen_pfn_t *extent_start)
{
	struct fake_domain *dom = domain_of(xch, domid);

	fake.changes++;
	if (enter(FN_DECREASE))
		return -1;
	HOLDS(nr_extents >= 1);
	HOLDS(extent_order == 0);
	for (unsigned long i = 0; i < nr_extents; i++)
		fake_page_remove(dom, extent_start[i]);
	return 0;
}

/* ---- log-dirty mode ----------------------------------------------------------------------- */

int xc_shadow_control(xc_interface *xch, uint32_t domid, unsigned int sop, unsigned int *mb,
		      unsigned int mode)
{
	struct fake_domain *dom = domain_of(xch, domid);

	HOLDS(!mb);
	HOLDS(mode == 0);
	MUST(sop == XEN_DOMCTL_SHADOW_OP_OFF || sop == XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY,
	     "shadow op %u", sop);
	if (enter(FN_SHADOW))
		return -1;
	if (sop == XEN_DOMCTL_SHADOW_OP_OFF) {
		dom->log_dirty = dom->vram_tracked = false;
		return 0;
	}
	if (dom->log_dirty || dom->vram_tracked) {
		errno = EINVAL;
		return -1;
	}
	memset(dom->dirty, 0, sizeof(dom->dirty));
	dom->log_dirty = true;
	fake.enables++;
	return 0;
}

/* Xen copies whole octets, so up to 7 pfns more than asked for may be in the bitmap. */
long long xc_logdirty_control(xc_interface *xch, uint32_t domid, unsigned int sop,
			      xc_hypercall_buffer_t *dirty_bitmap, unsigned long pages,
			      unsigned int mode, xc_shadow_op_stats_t *stats)
{
	struct fake_domain *dom = domain_of(xch, domid);
	size_t octets = (pages + 7) / 8;
	bool final = mode == XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL;

	HOLDS(sop == XEN_DOMCTL_SHADOW_OP_CLEAN);
	HOLDS(pages > 0);
	HOLDS(pages <= FAKE_LOGGED);
	HOLDS(mode == 0 || final);
	HOLDS(stats);
	if (enter(FN_LOGDIRTY))
		return -1;
	MUST(final == !!(dom->flags & XEN_DOMINF_shutdown), "the final look, at %s guest",
	     final ? "a running" : "a suspended");
	fake.cleans++;
	fake.finals += final;
	fake.last_pages = pages;
	if (!dom->log_dirty) {
		errno = EINVAL;
		return -1;
	}
	memset(stats, 0, sizeof(*stats));
	for (size_t i = 0; i < FAKE_LOGGED / 64; i++)
		stats->dirty_count += (uint32_t)__builtin_popcountll(dom->dirty[i]);
	memcpy(buffer_check_octets(dirty_bitmap->hbuf, octets), dom->dirty, octets);
	memset(dom->dirty, 0, sizeof(dom->dirty));
	return (long long)(pages - fake.short_log);
}

/* ---- what only PV guests need: this host has none ----------------------------------------- */

#define NOT_FOR_HVM() ck_abort_msg("%s is for PV guests", __func__)

int xc_domain_get_guest_width(xc_interface *xch, uint32_t domid, unsigned int *guest_width)
{
	(void)xch, (void)domid, (void)guest_width;
	NOT_FOR_HVM();
}

int xc_vcpu_getinfo(xc_interface *xch, uint32_t domid, uint32_t vcpu, xc_vcpuinfo_t *info)
{
	(void)xch, (void)domid, (void)vcpu, (void)info;
	NOT_FOR_HVM();
}

int xc_vcpu_getcontext(xc_interface *xch, uint32_t domid, uint32_t vcpu,
		       vcpu_guest_context_any_t *ctxt)
{
	(void)xch, (void)domid, (void)vcpu, (void)ctxt;
	NOT_FOR_HVM();
}

int xc_vcpu_setcontext(xc_interface *xch, uint32_t domid, uint32_t vcpu,
		       vcpu_guest_context_any_t *ctxt)
{
	(void)xch, (void)domid, (void)vcpu, (void)ctxt;
	NOT_FOR_HVM();
}

int xc_machphys_mfn_list(xc_interface *xch, unsigned long max_extents, xen_pfn_t *extent_start)
{
	(void)xch, (void)max_extents, (void)extent_start;
	NOT_FOR_HVM();
}

int xc_maximum_ram_page(xc_interface *xch, unsigned long *max_mfn)
{
	(void)xch, (void)max_mfn;
	NOT_FOR_HVM();
}

long xc_memory_op(xc_interface *xch, unsigned int cmd, void *arg, size_t len)
{
	(void)xch, (void)cmd, (void)arg, (void)len;
	NOT_FOR_HVM();
}

int xc_mmuext_op(xc_interface *xch, struct mmuext_op *op, unsigned int nr_ops, uint32_t dom)
{
	(void)xch, (void)op, (void)nr_ops, (void)dom;
	NOT_FOR_HVM();
}

int xc_gnttab_op(xc_interface *xch, int cmd, void *op, int op_size, int count)
{
	(void)xch, (void)cmd, (void)op, (void)op_size, (void)count;
	NOT_FOR_HVM();
}

void xc_report_error(xc_interface *xch, int code, const char *fmt, ...)
{
	int errnum = errno;
	va_list args;

	HOLDS(xch == &the_xch);
	HOLDS(code == XC_INTERNAL_ERROR);
	fake.reported++;
	fake.reported_errno = errnum;
	va_start(args, fmt);
	vsnprintf(fake.reported_text, sizeof(fake.reported_text), fmt, args);
	va_end(args);
}

const char *xc_set_progress_prefix(xc_interface *xch, const char *doing)
{
	HOLDS(xch == &the_xch);
	fake.progress_ended = !doing;
	if (doing)
		snprintf(fake.progress_prefix, sizeof(fake.progress_prefix), "%s", doing);
	return NULL;
}

void xc_report_progress_step(xc_interface *xch, unsigned long done, unsigned long total)
{
	HOLDS(xch == &the_xch);
	fake.progress_done = done;
	fake.progress_total = total;
}

/* ---- libxenforeignmemory ---------------------------------------------------------------- */

static void mapping_keep(void *addr, size_t pages)
{
	for (unsigned i = 0; i < NR_LIVE; i++) {
		if (mappings[i].addr)
			continue;
		mappings[i].addr = addr;
		mappings[i].pages = pages;
		fake.mappings++;
		return;
	}
	ck_abort_msg("too many mappings");
}

static void mapping_drop(const void *addr, size_t pages)
{
	for (unsigned i = 0; i < NR_LIVE; i++) {
		if (!mappings[i].addr || mappings[i].addr != addr)
			continue;
		HOLDS(mappings[i].pages == pages);
		HOLDS(munmap(mappings[i].addr, pages * FAKE_PAGE) == 0);
		mappings[i].addr = NULL;
		fake.mappings--;
		return;
	}
	ck_abort_msg("unmapping what is not mapped");
}

static void map_frame(void *at, int prot, uint32_t frame)
{
	MUST(mmap(at, FAKE_PAGE, prot, MAP_SHARED | MAP_FIXED, frames_fd,
		  (off_t)frame * FAKE_PAGE) == at,
	     "no mapping of a frame");
}

void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom, int prot, size_t pages,
			   const xen_pfn_t arr[], int err[])
{
	struct fake_domain *d = domain_of(&the_xch, dom);
	uint8_t *addr;

	HOLDS(fmem == &the_fmem);
	HOLDS(pages >= 1);
	HOLDS(err);
	if (prot & PROT_WRITE)
		fake.changes++;
	else
		note_memory_access(d);
	if (enter(FN_MAP))
		return NULL;
	addr = mmap(NULL, pages * FAKE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	HOLDS(addr != MAP_FAILED);
	for (size_t i = 0; i < pages; i++) {
		const struct fake_slot *slot = slot_of(d, arr[i]);

		err[i] = 0;
		if (arr[i] == fake.map_error_gfn)
			err[i] = fake.map_error;
		else if (!slot->gfn || slot->type)
			err[i] = -EINVAL;
		else
			map_frame(addr + i * FAKE_PAGE, prot, slot->frame);
	}
	mapping_keep(addr, pages);
	fake.pages_mapped += (unsigned)pages;
	return addr;
}

int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr, size_t pages)
{
	HOLDS(fmem == &the_fmem);
	if (enter(FN_UNMAP))
		return -1;
	mapping_drop(addr, pages);
	return 0;
}

xenforeignmemory_resource_handle *xenforeignmemory_map_resource(
	xenforeignmemory_handle *fmem, domid_t domid, unsigned int type, unsigned int id,
	unsigned long frame, unsigned long nr, void **paddr, int prot, int flags)
{
	struct fake_domain *dom = domain_of(&the_xch, domid);
	void *addr;

	HOLDS(fmem == &the_fmem);
	HOLDS(type == XENMEM_resource_grant_table);
	HOLDS(id == XENMEM_resource_grant_table_id_shared);
	HOLDS(frame == 0);
	HOLDS(nr == 1);
	HOLDS(flags == 0);
	HOLDS(!the_resource.addr);
	fake.changes++;
	if (enter(FN_MAP_RESOURCE))
		return NULL;
	addr = mmap(NULL, FAKE_PAGE, prot, MAP_SHARED, frames_fd,
		    (off_t)dom->grant_frame * FAKE_PAGE);
	HOLDS(addr != MAP_FAILED);
	mapping_keep(addr, 1);
	the_resource.addr = addr;
	*paddr = addr;
	return &the_resource;
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *fmem,
				    xenforeignmemory_resource_handle *fres)
{
	HOLDS(fmem == &the_fmem);
	HOLDS(fres == &the_resource);
	if (enter(FN_UNMAP_RESOURCE)) {
		fres->addr = NULL; /* another may be mapped */
		return -1;
	}
	mapping_drop(fres->addr, 1);
	fres->addr = NULL;
	return 0;
}
