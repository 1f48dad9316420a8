/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The domctls that read and write the state of a PV domain's vcpus (xen/domctl.h). */
#include "hypercall.h"
#include "pv.h"

#include <errno.h>
#include <string.h>

/* What lies where in an xsave blob: two words of Xen's, then the processor's own format. */
#define XSAVE_WORDS_OCTETS  16u
#define XSAVE_LEGACY_OCTETS 576u
#define XSAVE_BITMAP_OFFSET (XSAVE_WORDS_OCTETS + 512u)
#define XSAVE_FEATURES      0x7ull /* x87, SSE, AVX */

#define EXT_SYSCALL_OCTETS offsetof(struct xen_domctl_ext_vcpucontext, mcg_cap)

static const uint32_t known_msrs[SIM_VCPU_MSRS] = {
	0x48, 0x140, 0xc0000103, 0xc0011027, 0xc0011019, 0xc001101a, 0xc001101b, 0xda0,
};

bool sim_pv_msr_known(uint32_t index)
{
	for (unsigned i = 0; i < SIM_VCPU_MSRS; i++) {
		if (known_msrs[i] == index)
			return true;
	}
	return false;
}

static long get_info(const struct sim_pv_vcpu *v, struct xen_domctl_getvcpuinfo *op)
{
	op->online = v->online;
	op->blocked = 0;
	op->running = 0;
	op->cpu_time = 0;
	op->cpu = 0;
	return 0;
}

static long get_context(struct sim_domain *domain, const struct sim_pv_vcpu *v,
			struct xen_domctl_vcpucontext *op)
{
	size_t octets = sim_pv_context_octets(domain);
	void *buffer;

	if (!v->initialised)
		return -ENODATA;
	buffer = sim_handle(domain->host, SIM_HANDLE_ADDRESS(op->ctxt), octets);
	if (!buffer)
		return -EFAULT;
	memcpy(buffer, &v->context, octets);
	return 0;
}

static long set_context(struct sim_domain *domain, struct xen_domctl_vcpucontext *op)
{
	union sim_pv_context context;
	size_t octets = sim_pv_context_octets(domain);
	const void *buffer = sim_handle(domain->host, SIM_HANDLE_ADDRESS(op->ctxt), octets);

	if (!buffer)
		return -EFAULT;
	memcpy(&context, buffer, octets);
	return sim_pv_vcpu_load(domain, op->vcpu, &context);
}

static long set_ext(struct sim_pv_vcpu *v, const struct xen_domctl_ext_vcpucontext *op)
{
	if (op->size < EXT_SYSCALL_OCTETS || op->size > 128)
		return sim_refuse("an extended context of %u octets", op->size);
	if (op->syscall32_callback_eip >> 47 && op->syscall32_callback_eip >> 47 != 0x1ffff)
		return sim_refuse("a callback at no canonical address");
	memcpy(&v->ext, op,
	       op->size < sizeof(v->ext) ? op->size : sizeof(v->ext)); /* the rest stays */
	return 0;
}

static long get_ext(const struct sim_pv_vcpu *v, struct xen_domctl_ext_vcpucontext *op)
{
	uint32_t vcpu = op->vcpu;

	*op = v->ext;
	op->vcpu = vcpu;
	op->size = sizeof(*op);
	return 0;
}

/* Without a buffer: how large it must be. */
static long get_xsave(struct sim_host *host, const struct sim_pv_vcpu *v,
		      struct xen_domctl_vcpuextstate *op)
{
	uint64_t address = SIM_HANDLE_ADDRESS(op->buffer);
	void *buffer;

	if (address == 0 || (op->size == 0 && op->xfeature_mask == 0)) {
		op->size = v->xsave_octets;
		op->xfeature_mask = XSAVE_FEATURES;
		return 0;
	}
	if (op->size != v->xsave_octets || op->xfeature_mask != XSAVE_FEATURES)
		return -EINVAL;
	buffer = sim_handle(host, address, op->size);
	if (!buffer)
		return -EFAULT;
	memcpy(buffer, v->xsave, v->xsave_octets);
	return 0;
}

static uint64_t word_at(const uint8_t *octets)
{
	uint64_t word;

	memcpy(&word, octets, sizeof(word));
	return word;
}

/* Features in use must have been enabled at some time, and x87 always is. */
static int check_xsave(const uint8_t *blob, uint64_t octets)
{
	uint64_t now = word_at(blob), ever = word_at(blob + sizeof(uint64_t));

	if (octets == XSAVE_WORDS_OCTETS)
		return 0;
	if (octets < XSAVE_WORDS_OCTETS + XSAVE_LEGACY_OCTETS || !(now & 1) || now & ~ever ||
	    ever & ~XSAVE_FEATURES || word_at(blob + XSAVE_BITMAP_OFFSET) & ~ever)
		return sim_refuse("xsave state of %llu octets for features %#llx of %#llx",
				  (unsigned long long)octets, (unsigned long long)now,
				  (unsigned long long)ever);
	return 0;
}

static long set_xsave(struct sim_host *host, struct sim_pv_vcpu *v,
		      const struct xen_domctl_vcpuextstate *op)
{
	const uint8_t *buffer;

	if (op->size < XSAVE_WORDS_OCTETS || op->size > SIM_XSAVE_OCTETS)
		return sim_refuse("xsave state of %llu octets", (unsigned long long)op->size);
	buffer = sim_handle(host, SIM_HANDLE_ADDRESS(op->buffer), op->size);
	if (!buffer)
		return -EFAULT;
	if (check_xsave(buffer, op->size))
		return -EINVAL;
	memcpy(v->xsave, buffer, op->size);
	v->xsave_octets = (uint32_t)op->size;
	return 0;
}

/* Without a buffer: how many there can be. */
static long get_msrs(struct sim_host *host, const struct sim_pv_vcpu *v,
		     struct xen_domctl_vcpu_msrs *op)
{
	uint64_t address = SIM_HANDLE_ADDRESS(op->msrs);
	uint32_t room = op->msr_count;
	void *buffer;

	if (address == 0) {
		op->msr_count = SIM_VCPU_MSRS;
		return 0;
	}
	op->msr_count = v->nr_msrs;
	if (room < v->nr_msrs)
		return -ENOBUFS;
	buffer = sim_handle(host, address, room * sizeof(v->msrs[0]));
	if (!buffer)
		return -EFAULT;
	memcpy(buffer, v->msrs, v->nr_msrs * sizeof(v->msrs[0]));
	return 0;
}

static long set_msrs(struct sim_host *host, struct sim_pv_vcpu *v, struct xen_domctl_vcpu_msrs *op)
{
	const xen_domctl_vcpu_msr_t *msrs;

	if (op->msr_count > SIM_VCPU_MSRS)
		return -EINVAL;
	msrs = sim_handle(host, SIM_HANDLE_ADDRESS(op->msrs), op->msr_count * sizeof(*msrs));
	if (!msrs)
		return -EFAULT;
	for (uint32_t i = 0; i < op->msr_count; i++) {
		if (sim_pv_msr_known(msrs[i].index) && msrs[i].reserved == 0)
			continue;
		op->msr_count = i;
		return sim_refuse("MSR %#x", msrs[i].index);
	}
	memcpy(v->msrs, msrs, op->msr_count * sizeof(*msrs));
	v->nr_msrs = op->msr_count;
	return 0;
}

/* A domain is made 64-bit, and can become 32-bit while it has no memory. */
static long set_address_size(struct sim_domain *domain, uint32_t bits)
{
	struct sim_domain_state *state = domain->state;

	if (bits == state->width * 8)
		return 0;
	if (bits != 32)
		return -EINVAL;
	if (state->tot_pages)
		return -EACCES;
	state->width = 4;
	return 0;
}

/* The vcpu that a domctl names, NULL when there is none. */
static struct sim_pv_vcpu *vcpu_of(struct sim_domain *domain, const struct xen_domctl *domctl)
{
	/* In all of them the vcpu's number comes first. */
	uint32_t vcpu = domctl->u.vcpucontext.vcpu;

	return vcpu < domain->state->nr_vcpus ? &domain->state->vcpus[vcpu] : NULL;
}

static long vcpu_op(struct sim_domain *domain, struct sim_pv_vcpu *v, struct xen_domctl *domctl)
{
	switch (domctl->cmd) {
	case XEN_DOMCTL_getvcpuinfo:
		return get_info(v, &domctl->u.getvcpuinfo);
	case XEN_DOMCTL_getvcpucontext:
		return get_context(domain, v, &domctl->u.vcpucontext);
	case XEN_DOMCTL_setvcpucontext:
		return set_context(domain, &domctl->u.vcpucontext);
	case XEN_DOMCTL_get_ext_vcpucontext:
		return get_ext(v, &domctl->u.ext_vcpucontext);
	case XEN_DOMCTL_set_ext_vcpucontext:
		return set_ext(v, &domctl->u.ext_vcpucontext);
	case XEN_DOMCTL_getvcpuextstate:
		return get_xsave(domain->host, v, &domctl->u.vcpuextstate);
	case XEN_DOMCTL_setvcpuextstate:
		return set_xsave(domain->host, v, &domctl->u.vcpuextstate);
	case XEN_DOMCTL_get_vcpu_msrs:
		return get_msrs(domain->host, v, &domctl->u.vcpu_msrs);
	case XEN_DOMCTL_set_vcpu_msrs:
		return set_msrs(domain->host, v, &domctl->u.vcpu_msrs);
	default:
		return -ENOSYS;
	}
}

long sim_pv_domctl(struct sim_domain *domain, struct xen_domctl *domctl)
{
	struct sim_pv_vcpu *v;

	switch (domctl->cmd) {
	case XEN_DOMCTL_get_address_size:
		domctl->u.address_size.size = domain->state->width * 8;
		return 0;
	case XEN_DOMCTL_set_address_size:
		return set_address_size(domain, domctl->u.address_size.size);
	case XEN_DOMCTL_getvcpuinfo:
	case XEN_DOMCTL_getvcpucontext:
	case XEN_DOMCTL_setvcpucontext:
	case XEN_DOMCTL_get_ext_vcpucontext:
	case XEN_DOMCTL_set_ext_vcpucontext:
	case XEN_DOMCTL_getvcpuextstate:
	case XEN_DOMCTL_setvcpuextstate:
	case XEN_DOMCTL_get_vcpu_msrs:
	case XEN_DOMCTL_set_vcpu_msrs:
		v = vcpu_of(domain, domctl);
		return v ? vcpu_op(domain, v, domctl) : -EINVAL;
	default:
		return -ENOSYS;
	}
}
