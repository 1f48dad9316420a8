/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vcpu_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenctrl.h>
#include <xen/hvm/save.h>
#include <xen/foreign/x86_32.h>
#include <xen/foreign/x86_64.h>

#include "hvm_context.h"

#define CR0_PG        (1ull << 31)
#define CR4_PAE       (1ull << 5)
#define CR4_LA57      (1ull << 12)
#define EFER_LMA      (1ull << 10)
#define RFLAGS_VM     (1ull << 17)
#define CR1_VALID     1ull
#define SELECTOR_RING 3u

/* The cpu entry without msr_tsc_aux, as Xen before 4.1 wrote it. */
#define CPU_OCTETS_OLD sizeof(struct hvm_hw_cpu_compat)

static enum vcpu_paging hvm_paging(const struct hvm_hw_cpu *cpu)
{
	if (!(cpu->cr0 & CR0_PG))
		return PAGING_NONE;
	if (cpu->msr_efer & EFER_LMA)
		return cpu->cr4 & CR4_LA57 ? PAGING_5_LEVELS : PAGING_4_LEVELS;
	return cpu->cr4 & CR4_PAE ? PAGING_PAE : PAGING_2_LEVELS;
}

#define HVM_SEGMENT(c, name)                                                              \
	{                                                                                 \
		(c)->name##_sel, (c)->name##_limit, (c)->name##_arbytes, (c)->name##_base \
	}

static void from_hvm(struct vcpu_state *vcpu, const struct hvm_hw_cpu *c)
{
	const struct vcpu_segment segments[SEGMENTS] = {
		[SEGMENT_CS] = HVM_SEGMENT(c, cs),
		[SEGMENT_DS] = HVM_SEGMENT(c, ds),
		[SEGMENT_ES] = HVM_SEGMENT(c, es),
		[SEGMENT_FS] = HVM_SEGMENT(c, fs),
		[SEGMENT_GS] = HVM_SEGMENT(c, gs),
		[SEGMENT_SS] = HVM_SEGMENT(c, ss),
		[SEGMENT_LDT] = HVM_SEGMENT(c, ldtr),
		[SEGMENT_TR] = HVM_SEGMENT(c, tr),
		[SEGMENT_GDT] = {0, c->gdtr_limit, 0, c->gdtr_base},
		[SEGMENT_IDT] = {0, c->idtr_limit, 0, c->idtr_base},
	};
	const uint64_t gpr[GPRS] = {
		[GPR_RAX] = c->rax, [GPR_RBX] = c->rbx, [GPR_RCX] = c->rcx, [GPR_RDX] = c->rdx,
		[GPR_RSI] = c->rsi, [GPR_RDI] = c->rdi, [GPR_RBP] = c->rbp, [GPR_RSP] = c->rsp,
		[GPR_R8] = c->r8,   [GPR_R9] = c->r9,   [GPR_R10] = c->r10, [GPR_R11] = c->r11,
		[GPR_R12] = c->r12, [GPR_R13] = c->r13, [GPR_R14] = c->r14, [GPR_R15] = c->r15,
	};

	memcpy(vcpu->segment, segments, sizeof(segments));
	memcpy(vcpu->gpr, gpr, sizeof(gpr));
	memcpy(vcpu->fxsave, c->fpu_regs, sizeof(vcpu->fxsave));
	vcpu->rip = c->rip;
	vcpu->rflags = c->rflags;
	vcpu->long_mode = c->msr_efer & EFER_LMA;
	/* The ring is the stack segment's DPL, which is in bits 5 and 6 of its attributes. */
	vcpu->privileged = !(c->rflags & RFLAGS_VM) && !(c->ss_arbytes >> 5 & SELECTOR_RING);
	vcpu->paging = hvm_paging(c);
	vcpu->gs_base_other = c->shadow_gs;
	vcpu->cr[0] = c->cr0;
	vcpu->cr[2] = c->cr2;
	vcpu->cr[3] = c->cr3;
	vcpu->cr[4] = c->cr4;
	vcpu->dr[0] = c->dr0;
	vcpu->dr[1] = c->dr1;
	vcpu->dr[2] = c->dr2;
	vcpu->dr[3] = c->dr3;
	vcpu->dr[6] = c->dr6;
	vcpu->dr[7] = c->dr7;
}

static void from_pv64(struct vcpu_state *vcpu, const uint8_t *context)
{
	vcpu_guest_context_x86_64_t c;

	memcpy(&c, context, sizeof(c));
	const struct cpu_user_regs_x86_64 *r = &c.user_regs;
	const uint64_t gpr[GPRS] = {
		[GPR_RAX] = r->rax, [GPR_RBX] = r->rbx, [GPR_RCX] = r->rcx, [GPR_RDX] = r->rdx,
		[GPR_RSI] = r->rsi, [GPR_RDI] = r->rdi, [GPR_RBP] = r->rbp, [GPR_RSP] = r->rsp,
		[GPR_R8] = r->r8,   [GPR_R9] = r->r9,   [GPR_R10] = r->r10, [GPR_R11] = r->r11,
		[GPR_R12] = r->r12, [GPR_R13] = r->r13, [GPR_R14] = r->r14, [GPR_R15] = r->r15,
	};

	memcpy(vcpu->gpr, gpr, sizeof(gpr));
	memcpy(vcpu->fxsave, &c.fpu_ctxt, sizeof(vcpu->fxsave));
	vcpu->rip = r->rip;
	vcpu->rflags = r->rflags;
	vcpu->long_mode = true;
	vcpu->privileged = c.flags & VGCF_in_kernel;
	vcpu->paging = PAGING_4_LEVELS;
	vcpu->segment[SEGMENT_CS].selector = r->cs;
	vcpu->segment[SEGMENT_DS].selector = r->ds;
	vcpu->segment[SEGMENT_ES].selector = r->es;
	vcpu->segment[SEGMENT_FS] = (struct vcpu_segment){.selector = r->fs, .base = c.fs_base};
	vcpu->segment[SEGMENT_GS] = (struct vcpu_segment){
		.selector = r->gs,
		.base = vcpu->privileged ? c.gs_base_kernel : c.gs_base_user,
	};
	vcpu->segment[SEGMENT_SS].selector = r->ss;
	vcpu->segment[SEGMENT_LDT].base = c.ldt_base;
	vcpu->gs_base_other = vcpu->privileged ? c.gs_base_user : c.gs_base_kernel;
	memcpy(vcpu->cr, c.ctrlreg, sizeof(vcpu->cr));
	vcpu->cr[1] &= ~CR1_VALID;
	memcpy(vcpu->dr, c.debugreg, sizeof(vcpu->dr));
}

static void from_pv32(struct vcpu_state *vcpu, const uint8_t *context)
{
	vcpu_guest_context_x86_32_t c;

	memcpy(&c, context, sizeof(c));
	const struct cpu_user_regs_x86_32 *r = &c.user_regs;
	const uint64_t gpr[GPRS] = {
		[GPR_RAX] = r->eax, [GPR_RBX] = r->ebx, [GPR_RCX] = r->ecx, [GPR_RDX] = r->edx,
		[GPR_RSI] = r->esi, [GPR_RDI] = r->edi, [GPR_RBP] = r->ebp, [GPR_RSP] = r->esp,
	};

	memcpy(vcpu->gpr, gpr, sizeof(gpr));
	memcpy(vcpu->fxsave, &c.fpu_ctxt, sizeof(vcpu->fxsave));
	vcpu->rip = r->eip;
	vcpu->rflags = r->eflags;
	vcpu->privileged = c.flags & VGCF_in_kernel;
	vcpu->paging = PAGING_PAE;
	vcpu->segment[SEGMENT_CS].selector = r->cs;
	vcpu->segment[SEGMENT_DS].selector = r->ds;
	vcpu->segment[SEGMENT_ES].selector = r->es;
	vcpu->segment[SEGMENT_FS].selector = r->fs;
	vcpu->segment[SEGMENT_GS].selector = r->gs;
	vcpu->segment[SEGMENT_SS].selector = r->ss;
	vcpu->segment[SEGMENT_LDT].base = c.ldt_base;
	for (unsigned i = 0; i < 5; i++)
		vcpu->cr[i] = c.ctrlreg[i];
	/* The high bits of the frame are in the low ones of the register. */
	vcpu->cr[3] = (uint64_t)xen_cr3_to_pfn_x86_32(c.ctrlreg[3]) << PAGE_SHIFT_X86;
	for (unsigned i = 0; i < 8; i++)
		vcpu->dr[i] = c.debugreg[i];
}

static int no_memory(struct image_error *err, const struct image *image)
{
	snprintf(err->text, sizeof(err->text), "%s: no memory for its vcpus", image->path);
	err->offset = UINT64_MAX;
	errno = ENOMEM;
	return -1;
}

/* A new vcpu at the end of the list, NULL without memory. */
static struct vcpu_state *append(struct vcpu_list *list)
{
	struct vcpu_state *more = reallocarray(list->vcpu, list->count + 1, sizeof(*list->vcpu));

	if (!more)
		return NULL;
	list->vcpu = more;
	list->vcpu[list->count] = (struct vcpu_state){0};
	return &list->vcpu[list->count++];
}

/* An entry of the older length as one of today's. */
static bool read_cpu(const struct hvm_entry *entry, struct hvm_hw_cpu *cpu)
{
	struct hvm_hw_cpu_compat old;

	*cpu = (struct hvm_hw_cpu){0};
	if (entry->octets == sizeof(*cpu)) {
		memcpy(cpu, entry->data, sizeof(*cpu));
		return true;
	}
	if (entry->octets != CPU_OCTETS_OLD)
		return false;
	memcpy(&old, entry->data, sizeof(old));
	/* The same up to where it lacks a field. */
	memcpy(cpu, &old, offsetof(struct hvm_hw_cpu, msr_tsc_aux));
	cpu->tsc = old.tsc;
	return true;
}

static int load_hvm(struct vcpu_list *list, const struct image *image, unsigned *malformed,
		    struct image_error *err)
{
	const struct image_record *record =
		image_state_record(image, LAYER_DOMAIN, REC_HVM_CONTEXT);
	struct hvm_entry entry;
	size_t at = 0;
	void *context = NULL;
	int rc = -1;

	if (!record)
		return 0;
	if (image_read_body(image, record, &context, err))
		return -1;
	while (hvm_context_next(context, record->length, &at, &entry)) {
		struct hvm_hw_cpu cpu;
		struct vcpu_state *vcpu;

		if (entry.type != HVM_SAVE_CODE(CPU))
			continue;
		if (!read_cpu(&entry, &cpu)) {
			++*malformed;
			continue;
		}
		vcpu = append(list);
		if (!vcpu) {
			no_memory(err, image);
			goto out;
		}
		vcpu->id = entry.instance;
		from_hvm(vcpu, &cpu);
	}
	rc = 0;
out:
	free(context);
	return rc;
}

static int load_pv(struct vcpu_list *list, const struct image *image, unsigned *malformed,
		   struct image_error *err)
{
	const size_t octets = image->guest_width == 8 ? sizeof(vcpu_guest_context_x86_64_t)
						      : sizeof(vcpu_guest_context_x86_32_t);
	const struct image_record *record = NULL;

	while ((record = image_next_record(image, record, LAYER_DOMAIN, REC_X86_PV_VCPU_BASIC))) {
		const struct wire_x86_pv_vcpu *head;
		struct vcpu_state *vcpu;
		void *body, **more;

		if (record->length != sizeof(*head) + octets) {
			++*malformed;
			continue;
		}
		if (image_read_body(image, record, &body, err))
			return -1;
		more = reallocarray(list->bodies, list->body_count + 1, sizeof(*list->bodies));
		if (more) {
			list->bodies = more;
			list->bodies[list->body_count++] = body;
		} else {
			free(body);
		}
		vcpu = more ? append(list) : NULL;
		if (!vcpu)
			return no_memory(err, image);
		head = body;
		vcpu->id = head->vcpu_id;
		vcpu->pv_context = (const uint8_t *)body + sizeof(*head);
		if (image->guest_width == 8)
			from_pv64(vcpu, vcpu->pv_context);
		else
			from_pv32(vcpu, vcpu->pv_context);
	}
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct vcpu_state *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

/* Ascending; of several with one id only one, which a hostile stream alone has. */
static void arrange(struct vcpu_list *list, unsigned *malformed)
{
	size_t kept = 0;

	if (list->count)
		qsort(list->vcpu, list->count, sizeof(*list->vcpu), by_id);
	for (size_t i = 0; i < list->count; i++) {
		if (kept && list->vcpu[kept - 1].id == list->vcpu[i].id)
			++*malformed;
		else
			list->vcpu[kept++] = list->vcpu[i];
	}
	list->count = kept;
}

int vcpu_list_load(struct vcpu_list *list, const struct image *image, unsigned *malformed,
		   struct image_error *err)
{
	int rc;

	*list = (struct vcpu_list){0};
	*malformed = 0;
	rc = image->headers.guest_type == GUEST_X86_PV ? load_pv(list, image, malformed, err)
						       : load_hvm(list, image, malformed, err);
	if (rc) {
		int errnum = errno;

		vcpu_list_release(list);
		errno = errnum;
		return -1;
	}
	arrange(list, malformed);
	return 0;
}

void vcpu_list_release(struct vcpu_list *list)
{
	for (size_t i = 0; i < list->body_count; i++)
		free(list->bodies[i]);
	free(list->bodies);
	free(list->vcpu);
	*list = (struct vcpu_list){0};
}
