/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A PV vcpu's context: which page tables and descriptor tables it uses. */
#include "pv.h"

#include <errno.h>
#include <string.h>

#define GDT_FRAME_ENTRIES (SIM_PAGE_OCTETS / 8)
#define LDT_MOST_ENTRIES  8192u

size_t sim_pv_context_octets(const struct sim_domain *domain)
{
	return domain->state->width == 4 ? sizeof(vcpu_guest_context_x86_32_t)
					 : sizeof(vcpu_guest_context_t);
}

uint64_t sim_pv_cr3(const struct sim_domain *domain, uint64_t mfn)
{
	if (domain->state->width == 4)
		return (uint32_t)xen_pfn_to_cr3_x86_32(mfn);
	return mfn << SIM_PAGE_SHIFT;
}

uint64_t sim_pv_cr3_frame(const struct sim_domain *domain, uint64_t cr3)
{
	if (domain->state->width == 4)
		return (uint32_t)xen_cr3_to_pfn_x86_32(cr3);
	return cr3 >> SIM_PAGE_SHIFT;
}

/* A word of the context's array of them. */
static uint64_t context_word(uint32_t width, const union sim_pv_context *context,
			     struct sim_field array, unsigned index)
{
	const uint8_t *words = (const uint8_t *)context + sim_field_offset(width, array);
	uint64_t word = 0;

	memcpy(&word, words + (size_t)index * width, width);
	return word;
}

int sim_pv_roots(const struct sim_domain *domain, const union sim_pv_context *context,
		 struct sim_pv_roots *roots)
{
	const struct sim_field registers = SIM_FIELD(vcpu_guest_context, ctrlreg);
	const struct sim_field frames = SIM_FIELD(vcpu_guest_context, gdt_frames);
	uint32_t width = domain->state->width;
	uint64_t entries = sim_field_get(width, context, SIM_FIELD(vcpu_guest_context, gdt_ents));
	uint64_t user = width == 4 ? 0 : context_word(width, context, registers, 1);

	if (entries > SIM_GDT_FRAMES * GDT_FRAME_ENTRIES)
		return sim_refuse("a GDT of %llu entries", (unsigned long long)entries);
	roots->kernel = sim_pv_cr3_frame(domain, context_word(width, context, registers, 3));
	roots->user = user ? sim_pv_cr3_frame(domain, user) : SIM_NO_FRAME;
	roots->nr_gdt = (unsigned)((entries + GDT_FRAME_ENTRIES - 1) / GDT_FRAME_ENTRIES);
	for (unsigned i = 0; i < roots->nr_gdt; i++)
		roots->gdt[i] = context_word(width, context, frames, i);
	return 0;
}

static bool same_roots(const struct sim_pv_roots *a, const struct sim_pv_roots *b)
{
	return a->kernel == b->kernel && a->user == b->user && a->nr_gdt == b->nr_gdt &&
	       !memcmp(a->gdt, b->gdt, a->nr_gdt * sizeof(a->gdt[0]));
}

static void put_gdt(const struct sim_domain *domain, const struct sim_pv_roots *roots, unsigned end)
{
	for (unsigned i = 0; i < end; i++)
		sim_type_put(domain, roots->gdt[i]);
}

/* Use all that the context names, or nothing. */
static int take_roots(const struct sim_domain *domain, const struct sim_pv_roots *roots)
{
	enum sim_frame_type top = domain->state->width == 4 ? SIM_FRAME_L3 : SIM_FRAME_L4;
	unsigned gdt;
	int rc = 0;

	for (gdt = 0; gdt < roots->nr_gdt; gdt++) {
		rc = sim_type_get(domain, roots->gdt[gdt], SIM_FRAME_SEG_DESC);
		if (rc)
			goto out;
	}
	rc = sim_type_get(domain, roots->kernel, top);
	if (rc)
		goto out;
	if (roots->user != SIM_NO_FRAME)
		rc = sim_type_get(domain, roots->user, top);
	if (rc)
		sim_type_put(domain, roots->kernel);
out:
	if (rc)
		put_gdt(domain, roots, gdt);
	return rc;
}

static bool is_canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

static int check_native(const vcpu_guest_context_t *context)
{
	if (!is_canonical(context->user_regs.rip) || !is_canonical(context->event_callback_eip) ||
	    !is_canonical(context->failsafe_callback_eip) ||
	    !is_canonical(context->syscall_callback_eip) || !is_canonical(context->ldt_base) ||
	    !is_canonical(context->fs_base) || !is_canonical(context->gs_base_kernel) ||
	    !is_canonical(context->gs_base_user))
		return sim_refuse("a register holds no canonical address");
	for (unsigned i = 0; i < 256; i++) {
		if (!is_canonical(context->trap_ctxt[i].address))
			return sim_refuse("trap %u goes to no canonical address", i);
	}
	return 0;
}

static int check(const struct sim_domain *domain, const union sim_pv_context *context)
{
	uint32_t width = domain->state->width;
	uint64_t base = sim_field_get(width, context, SIM_FIELD(vcpu_guest_context, ldt_base));
	uint64_t entries = sim_field_get(width, context, SIM_FIELD(vcpu_guest_context, ldt_ents));

	if (base % SIM_PAGE_OCTETS || entries > LDT_MOST_ENTRIES)
		return sim_refuse("an LDT of %llu entries at %#llx", (unsigned long long)entries,
				  (unsigned long long)base);
	return width == 4 ? 0 : check_native(&context->native);
}

int sim_pv_vcpu_load(struct sim_domain *domain, unsigned vcpu, const union sim_pv_context *context)
{
	struct sim_pv_vcpu *v = &domain->state->vcpus[vcpu];
	struct sim_pv_roots roots, before;
	uint64_t flags =
		sim_field_get(domain->state->width, context, SIM_FIELD(vcpu_guest_context, flags));
	int rc = check(domain, context);

	if (rc == 0)
		rc = sim_pv_roots(domain, context, &roots);
	if (rc)
		return rc;
	if (v->initialised) {
		/* The toolstack cannot move a vcpu to other tables. */
		rc = sim_pv_roots(domain, &v->context, &before);
		if (rc == 0 && !same_roots(&before, &roots))
			rc = -EOPNOTSUPP;
	} else {
		if (vcpu == 0)
			domain->state->vm_assist =
				sim_field_get(domain->state->width, context,
					      SIM_FIELD(vcpu_guest_context, vm_assist));
		rc = take_roots(domain, &roots);
	}
	if (rc)
		return rc;
	memcpy(&v->context, context, sim_pv_context_octets(domain));
	v->initialised = true;
	if (flags & VGCF_online)
		v->online = true;
	return 0;
}
