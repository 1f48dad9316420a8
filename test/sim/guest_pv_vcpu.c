/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state of a PV guest's vcpus: noise, with what Xen would not accept put right. */
#include "guest_pv.h"

#include <string.h>

#define CANONICAL    0xffff800000000000ull
#define MXCSR_OFFSET 24u
#define FXSAVE       512u
#define XSAVE_WORDS  16u

static uint64_t canonical(uint64_t noise)
{
	return noise | CANONICAL;
}

static void set_mxcsr(uint8_t *fpu)
{
	memcpy(fpu + MXCSR_OFFSET, &(uint32_t){0x1f80}, sizeof(uint32_t));
}

static void put_native_right(vcpu_guest_context_t *c)
{
	c->user_regs.rip = canonical(c->user_regs.rip);
	c->user_regs.cs = FLAT_KERNEL_CS;
	c->user_regs.ss = FLAT_KERNEL_SS;
	c->event_callback_eip = canonical(c->event_callback_eip);
	c->failsafe_callback_eip = canonical(c->failsafe_callback_eip);
	c->syscall_callback_eip = canonical(c->syscall_callback_eip);
	c->ldt_base = canonical(c->ldt_base) & ~(SIM_PAGE_OCTETS - 1ull);
	c->fs_base = canonical(c->fs_base);
	c->gs_base_kernel = canonical(c->gs_base_kernel);
	c->gs_base_user = canonical(c->gs_base_user);
	c->vm_assist = 1u << VMASST_TYPE_4gb_segments_notify;
	for (unsigned i = 0; i < 256; i++)
		c->trap_ctxt[i].address = canonical(c->trap_ctxt[i].address);
}

static void put_compat_right(vcpu_guest_context_x86_32_t *c)
{
	c->user_regs.cs = FLAT_KERNEL_CS_X86_32;
	c->user_regs.ss = FLAT_KERNEL_SS_X86_32;
	c->ldt_base &= ~(SIM_PAGE_OCTETS - 1);
	c->vm_assist = 1u << VMASST_TYPE_pae_extended_cr3;
}

static void set_context_word(uint32_t width, union sim_pv_context *context, struct sim_field array,
			     unsigned index, uint64_t value)
{
	sim_pv_set_word(width, (uint8_t *)context + sim_field_offset(width, array), index, value);
}

/* What the context names in the guest's memory. */
static void set_roots(const struct sim_domain *domain, const struct sim_pv_layout *l, unsigned vcpu,
		      union sim_pv_context *context)
{
	const struct sim_field registers = SIM_FIELD(vcpu_guest_context, ctrlreg);
	const struct sim_field frames = SIM_FIELD(vcpu_guest_context, gdt_frames);
	uint64_t top = sim_pv_pfn(l, PV_TOP, vcpu % l->spaces);
	uint64_t user = sim_pv_pfn(l, PV_USER_TOP, vcpu % l->spaces);

	set_context_word(l->width, context, registers, 3,
			 sim_pv_cr3(domain, sim_p2m_frame(domain, top)));
	/* One vcpu runs nothing but the kernel. */
	set_context_word(
		l->width, context, registers, 1,
		l->width == 8 && vcpu != 1 ? sim_pv_cr3(domain, sim_p2m_frame(domain, user)) : 0);
	sim_field_set(l->width, context, SIM_FIELD(vcpu_guest_context, gdt_ents), PV_GDT_ENTRIES);
	for (unsigned i = 0; i < 16; i++) {
		uint64_t pfn = sim_pv_pfn(l, PV_GDT, (uint64_t)vcpu * PV_GDT_FRAMES + i);

		set_context_word(l->width, context, frames, i,
				 i < PV_GDT_FRAMES ? sim_p2m_frame(domain, pfn) : 0);
	}
	if (vcpu == 0)
		sim_field_set(l->width, context,
			      SIM_FIELD2(vcpu_guest_context, user_regs.rdx, user_regs.edx),
			      sim_p2m_frame(domain, sim_pv_pfn(l, PV_START_INFO, 0)));
}

static void make_context(const struct sim_domain *domain, const struct sim_pv_layout *l,
			 unsigned vcpu, union sim_pv_context *context)
{
	sim_guest_noise(l->guest->seed + 1000 * (vcpu + 1), context, sizeof(*context));
	if (l->width == 4)
		put_compat_right(&context->compat);
	else
		put_native_right(&context->native);
	set_mxcsr((uint8_t *)context +
		  sim_field_offset(l->width, SIM_FIELD(vcpu_guest_context, fpu_ctxt)));
	sim_field_set(l->width, context, SIM_FIELD(vcpu_guest_context, flags),
		      VGCF_i387_valid | VGCF_in_kernel | VGCF_online);
	sim_field_set(l->width, context, SIM_FIELD(vcpu_guest_context, ldt_ents), 8 * vcpu);
	set_roots(domain, l, vcpu, context);
}

static void make_ext(const struct sim_pv_layout *l, unsigned vcpu,
		     struct xen_domctl_ext_vcpucontext *ext)
{
	uint64_t noise = sim_guest_mix(l->guest->seed + 77 + vcpu);

	*ext = (struct xen_domctl_ext_vcpucontext){
		.vcpu = vcpu,
		.size = sizeof(*ext),
		.syscall32_callback_eip = canonical(noise),
		.sysenter_callback_eip = canonical(noise * 3),
		.syscall32_callback_cs = FLAT_KERNEL_CS,
		.sysenter_callback_cs = FLAT_KERNEL_CS,
		.syscall32_disables_events = noise & 1,
		.sysenter_disables_events = 1,
		.vmce = {.caps = noise >> 60, .mci_ctl2_bank1 = noise >> 33},
	};
}

/* The first vcpu has used AVX, the others have not. */
static void make_xsave(const struct sim_pv_layout *l, unsigned vcpu, struct sim_pv_vcpu *state)
{
	uint64_t features = vcpu ? 3 : 7;
	uint8_t *area = state->xsave + XSAVE_WORDS;

	state->xsave_octets = XSAVE_WORDS + FXSAVE + 64 + (vcpu ? 0 : 256);
	sim_guest_noise(l->guest->seed + 99 + vcpu, state->xsave, state->xsave_octets);
	memcpy(state->xsave, &features, sizeof(features));
	memcpy(state->xsave + sizeof(features), &features, sizeof(features));
	set_mxcsr(area);
	memset(area + FXSAVE, 0, 64);
	memcpy(area + FXSAVE, &features, sizeof(features));
}

/* Every other vcpu has none that differ from what a new one has. */
static void make_msrs(const struct sim_pv_layout *l, unsigned vcpu, struct sim_pv_vcpu *state)
{
	static const uint32_t msrs[] = {0xc0000103, 0xc0011027, 0xc0011019};

	state->nr_msrs = vcpu % 2 ? 0 : sizeof(msrs) / sizeof(msrs[0]);
	for (uint32_t i = 0; i < state->nr_msrs; i++)
		state->msrs[i] = (xen_domctl_vcpu_msr_t){
			.index = msrs[i],
			.value = (uint32_t)sim_guest_mix(l->guest->seed + vcpu + i),
		};
}

void sim_pv_vcpu(const struct sim_domain *domain, const struct sim_pv_layout *layout, unsigned vcpu,
		 struct sim_pv_vcpu *state)
{
	memset(state, 0, sizeof(*state));
	if (vcpu >= sim_pv_online_vcpus(layout->guest))
		return;
	state->initialised = true;
	state->online = true;
	make_context(domain, layout, vcpu, &state->context);
	make_ext(layout, vcpu, &state->ext);
	make_xsave(layout, vcpu, state);
	make_msrs(layout, vcpu, state);
}
