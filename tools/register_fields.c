/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "register_fields.h"

#include <xenctrl.h>
#include <xen/hvm/save.h>
#include <xen/foreign/x86_32.h>
#include <xen/foreign/x86_64.h>

#define FIELDS(array)      (sizeof(array) / sizeof((array)[0]))
#define SIZE(type, member) sizeof(((type *)0)->member)

/* ---- struct hvm_hw_cpu ------------------------------------------------------------------------- */

#define HVM(member)                                                                              \
	{                                                                                        \
#member, offsetof(struct hvm_hw_cpu, member), SIZE(struct hvm_hw_cpu, member), 1 \
	}
#define HVM_SEGMENT(name) HVM(name##_sel), HVM(name##_limit), HVM(name##_base), HVM(name##_arbytes)

static const struct register_field hvm_fields[] = {
	HVM(rax),
	HVM(rbx),
	HVM(rcx),
	HVM(rdx),
	HVM(rbp),
	HVM(rsi),
	HVM(rdi),
	HVM(rsp),
	HVM(r8),
	HVM(r9),
	HVM(r10),
	HVM(r11),
	HVM(r12),
	HVM(r13),
	HVM(r14),
	HVM(r15),
	HVM(rip),
	HVM(rflags),
	HVM(cr0),
	HVM(cr2),
	HVM(cr3),
	HVM(cr4),
	HVM(dr0),
	HVM(dr1),
	HVM(dr2),
	HVM(dr3),
	HVM(dr6),
	HVM(dr7),
	HVM_SEGMENT(cs),
	HVM_SEGMENT(ds),
	HVM_SEGMENT(es),
	HVM_SEGMENT(fs),
	HVM_SEGMENT(gs),
	HVM_SEGMENT(ss),
	HVM_SEGMENT(tr),
	HVM_SEGMENT(ldtr),
	HVM(idtr_limit),
	HVM(idtr_base),
	HVM(gdtr_limit),
	HVM(gdtr_base),
	HVM(sysenter_cs),
	HVM(sysenter_esp),
	HVM(sysenter_eip),
	HVM(shadow_gs),
	HVM(msr_flags),
	HVM(msr_lstar),
	HVM(msr_star),
	HVM(msr_cstar),
	HVM(msr_syscall_mask),
	HVM(msr_efer),
	HVM(msr_tsc_aux),
	HVM(tsc),
	HVM(pending_event),
	HVM(error_code),
	HVM(flags),
	HVM(fpu_regs),
};

const struct register_layout registers_hvm = {sizeof(struct hvm_hw_cpu), hvm_fields,
					      FIELDS(hvm_fields)};

/* ---- struct vcpu_guest_context ------------------------------------------------------------------ */

#define MEMBER(type, member)                                           \
	{                                                              \
#member, offsetof(type, member), SIZE(type, member), 1 \
	}
#define USER(type, member)                                                                 \
	{                                                                                  \
#member, offsetof(type, user_regs.member), SIZE(type, user_regs.member), 1 \
	}
#define ARRAY(type, member, n)                                               \
	{                                                                    \
#member, offsetof(type, member), SIZE(type, member) / (n), n \
	}
#define COMMON(type)                                                                         \
	USER(type, cs), USER(type, ss), USER(type, ds), USER(type, es), USER(type, fs),      \
		USER(type, gs), USER(type, saved_upcall_mask), MEMBER(type, flags),          \
		ARRAY(type, ctrlreg, 8), ARRAY(type, debugreg, 8), MEMBER(type, ldt_base),   \
		MEMBER(type, ldt_ents), ARRAY(type, gdt_frames, 16), MEMBER(type, gdt_ents), \
		MEMBER(type, kernel_ss), MEMBER(type, kernel_sp),                            \
		MEMBER(type, event_callback_eip), MEMBER(type, failsafe_callback_eip),       \
		MEMBER(type, vm_assist), MEMBER(type, trap_ctxt), MEMBER(type, fpu_ctxt)

static const struct register_field pv64_fields[] = {
	USER(vcpu_guest_context_x86_64_t, rax),
	USER(vcpu_guest_context_x86_64_t, rbx),
	USER(vcpu_guest_context_x86_64_t, rcx),
	USER(vcpu_guest_context_x86_64_t, rdx),
	USER(vcpu_guest_context_x86_64_t, rbp),
	USER(vcpu_guest_context_x86_64_t, rsi),
	USER(vcpu_guest_context_x86_64_t, rdi),
	USER(vcpu_guest_context_x86_64_t, rsp),
	USER(vcpu_guest_context_x86_64_t, r8),
	USER(vcpu_guest_context_x86_64_t, r9),
	USER(vcpu_guest_context_x86_64_t, r10),
	USER(vcpu_guest_context_x86_64_t, r11),
	USER(vcpu_guest_context_x86_64_t, r12),
	USER(vcpu_guest_context_x86_64_t, r13),
	USER(vcpu_guest_context_x86_64_t, r14),
	USER(vcpu_guest_context_x86_64_t, r15),
	USER(vcpu_guest_context_x86_64_t, rip),
	USER(vcpu_guest_context_x86_64_t, rflags),
	COMMON(vcpu_guest_context_x86_64_t),
	MEMBER(vcpu_guest_context_x86_64_t, syscall_callback_eip),
	MEMBER(vcpu_guest_context_x86_64_t, fs_base),
	MEMBER(vcpu_guest_context_x86_64_t, gs_base_kernel),
	MEMBER(vcpu_guest_context_x86_64_t, gs_base_user),
};

const struct register_layout registers_pv64 = {sizeof(vcpu_guest_context_x86_64_t), pv64_fields,
					       FIELDS(pv64_fields)};

static const struct register_field pv32_fields[] = {
	USER(vcpu_guest_context_x86_32_t, eax),
	USER(vcpu_guest_context_x86_32_t, ebx),
	USER(vcpu_guest_context_x86_32_t, ecx),
	USER(vcpu_guest_context_x86_32_t, edx),
	USER(vcpu_guest_context_x86_32_t, ebp),
	USER(vcpu_guest_context_x86_32_t, esi),
	USER(vcpu_guest_context_x86_32_t, edi),
	USER(vcpu_guest_context_x86_32_t, esp),
	USER(vcpu_guest_context_x86_32_t, eip),
	USER(vcpu_guest_context_x86_32_t, eflags),
	COMMON(vcpu_guest_context_x86_32_t),
	MEMBER(vcpu_guest_context_x86_32_t, event_callback_cs),
	MEMBER(vcpu_guest_context_x86_32_t, failsafe_callback_cs),
};

const struct register_layout registers_pv32 = {sizeof(vcpu_guest_context_x86_32_t), pv32_fields,
					       FIELDS(pv32_fields)};
