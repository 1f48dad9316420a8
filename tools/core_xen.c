/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Xen's own layout of a core, as `xl dump-core' makes it: an ELF file with sections only.
 *
 *      .note.Xen         NONE, HEADER, XEN_VERSION, FORMAT_VERSION (xen/elfnote.h)
 *      .xen_prstatus     a vcpu_guest_context for each vcpu, in the room of the 64-bit one
 *      .xen_shared_info  PV
 *      .xen_p2m          PV: { pfn, gmfn } of each page; frame numbers are pfns here, so both same
 *      .xen_pfn          HVM: the pfn of each page
 *      .xen_pages        the pages, in that order
 */
#include "core.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xenctrl.h>
#include <xen/elfnote.h>
#include <xen/foreign/x86_64.h>

#define MAGIC_PV       0xf00febedull
#define MAGIC_HVM      0xf00febeeull
#define FORMAT_VERSION 1ull /* major 0 in the upper half, minor 1 */
#define VIRT_START     0xffff800000000000ull
#define NOTE_NAME      "Xen"

enum section_id {
	SECTION_NONE,
	SECTION_NAMES,
	SECTION_NOTE,
	SECTION_PRSTATUS,
	SECTION_SHARED_INFO, /* not of HVM guests */
	SECTION_TABLE,
	SECTION_PAGES,
	SECTIONS_MOST
};

struct xen_note_header {
	uint64_t magic, vcpus, pages, page_octets;
};

struct xen_note_version {
	uint64_t major, minor;
	char extra[16];
	char compile_info[144], capabilities[1024], changeset[64];
	uint64_t virt_start, page_octets;
};
_Static_assert(sizeof(struct xen_note_version) == 1280, "XEN_VERSION note");

struct note {
	Elf64_Nhdr head;
	char name[4];
};

/* All the notes, one behind the other: no octets between them need to be filled. */
struct notes {
	struct note none;
	struct note header_note;
	struct xen_note_header header;
	struct note version_note;
	struct xen_note_version version;
	struct note format_note;
	uint64_t format;
};
_Static_assert(sizeof(struct notes) == 4 * 16 + 32 + 1280 + 8, "the notes lie side by side");

static struct note note_of(uint32_t type, size_t octets)
{
	return (struct note){
		.head = {.n_namesz = sizeof(NOTE_NAME),
			 .n_descsz = (uint32_t)octets,
			 .n_type = type},
		.name = NOTE_NAME,
	};
}

static struct notes make_notes(const struct core *core, uint64_t pages)
{
	const struct image *image = core->image;

	return (struct notes){
		.none = note_of(XEN_ELFNOTE_DUMPCORE_NONE, 0),
		.header_note = note_of(XEN_ELFNOTE_DUMPCORE_HEADER, sizeof(struct xen_note_header)),
		.header = {image->headers.guest_type == GUEST_X86_PV ? MAGIC_PV : MAGIC_HVM,
			   core->vcpus->count, pages, PAGE_OCTETS},
		.version_note =
			note_of(XEN_ELFNOTE_DUMPCORE_XEN_VERSION, sizeof(struct xen_note_version)),
		.version = {.major = image->headers.xen_major,
			    .minor = image->headers.xen_minor,
			    .virt_start = VIRT_START,
			    .page_octets = PAGE_OCTETS},
		.format_note = note_of(XEN_ELFNOTE_DUMPCORE_FORMAT_VERSION, sizeof(uint64_t)),
		.format = FORMAT_VERSION,
	};
}

/* As Xen shows the state of an HVM guest's vcpu to a toolstack. */
static void context_of_hvm(const struct vcpu_state *v, vcpu_guest_context_x86_64_t *c)
{
	const uint64_t *g = v->gpr;
	const struct vcpu_segment *s = v->segment;
	struct cpu_user_regs_x86_64 *r = &c->user_regs;

	memcpy(&c->fpu_ctxt, v->fxsave, sizeof(v->fxsave));
	c->flags = VGCF_online | VGCF_i387_valid | (v->privileged ? VGCF_in_kernel : 0);
	r->rax = g[GPR_RAX];
	r->rbx = g[GPR_RBX];
	r->rcx = g[GPR_RCX];
	r->rdx = g[GPR_RDX];
	r->rsi = g[GPR_RSI];
	r->rdi = g[GPR_RDI];
	r->rbp = g[GPR_RBP];
	r->rsp = g[GPR_RSP];
	r->r8 = g[GPR_R8];
	r->r9 = g[GPR_R9];
	r->r10 = g[GPR_R10];
	r->r11 = g[GPR_R11];
	r->r12 = g[GPR_R12];
	r->r13 = g[GPR_R13];
	r->r14 = g[GPR_R14];
	r->r15 = g[GPR_R15];
	r->rip = v->rip;
	r->rflags = v->rflags;
	r->cs = (uint16_t)s[SEGMENT_CS].selector;
	r->ds = (uint16_t)s[SEGMENT_DS].selector;
	r->es = (uint16_t)s[SEGMENT_ES].selector;
	r->fs = (uint16_t)s[SEGMENT_FS].selector;
	r->gs = (uint16_t)s[SEGMENT_GS].selector;
	r->ss = (uint16_t)s[SEGMENT_SS].selector;
	memcpy(c->ctrlreg, v->cr, sizeof(v->cr));
	memcpy(c->debugreg, v->dr, sizeof(v->dr));
	c->fs_base = s[SEGMENT_FS].base;
	c->gs_base_kernel = v->privileged ? s[SEGMENT_GS].base : v->gs_base_other;
	c->gs_base_user = v->privileged ? v->gs_base_other : s[SEGMENT_GS].base;
}

static int write_contexts(struct core *core, uint64_t offset)
{
	const size_t pv_octets = core->image->guest_width == 8
					 ? sizeof(vcpu_guest_context_x86_64_t)
					 : sizeof(vcpu_guest_context_x86_32_t);

	for (size_t i = 0; i < core->vcpus->count; i++) {
		const struct vcpu_state *vcpu = &core->vcpus->vcpu[i];
		vcpu_guest_context_x86_64_t context;

		memset(&context, 0, sizeof(context));
		if (vcpu->pv_context)
			memcpy(&context, vcpu->pv_context, pv_octets);
		else
			context_of_hvm(vcpu, &context);
		if (sparse_file_write(core->output, &context, sizeof(context),
				      offset + i * sizeof(context)))
			return core_output_failed(core);
	}
	return 0;
}

static int write_shared_info(struct core *core, uint64_t offset)
{
	const struct image_record *record =
		image_state_record(core->image, LAYER_DOMAIN, REC_SHARED_INFO);
	void *body;
	int rc;

	if (!record)
		return 0;
	if (image_read_body(core->image, record, &body, core->err))
		return -1;
	rc = sparse_file_write(core->output, body, record->length, offset)
		     ? core_output_failed(core)
		     : 0;
	free(body);
	return rc;
}

/* .xen_p2m or .xen_pfn, some at a time. */
static int write_table(struct core *core, uint64_t offset, bool pairs)
{
	const struct image *image = core->image;
	uint64_t words[1024];
	size_t n = 0;

	for (size_t i = 0; i < image->page_count; i++) {
		if (!page_type_has_data(image->pages[i].type))
			continue;
		words[n++] = image->pages[i].pfn;
		if (pairs)
			words[n++] = image->pages[i].pfn;
		if (n < sizeof(words) / sizeof(words[0]))
			continue;
		if (sparse_file_write(core->output, words, sizeof(words), offset))
			return core_output_failed(core);
		offset += sizeof(words);
		n = 0;
	}
	return sparse_file_write(core->output, words, n * sizeof(words[0]), offset)
		       ? core_output_failed(core)
		       : 0;
}

static const char names[] = "\0.shstrtab\0.note.Xen\0.xen_prstatus\0.xen_shared_info\0.xen_p2m\0"
			    ".xen_pfn\0.xen_pages";

static uint32_t name_at(const char *name)
{
	return (uint32_t)((const char *)memmem(names, sizeof(names), name, strlen(name) + 1) -
			  names);
}

/* Where everything is to be. An entry of the array for a section that there is not has no type. */
static void lay_out(const struct core *core, uint64_t pages, Elf64_Shdr section[SECTIONS_MOST])
{
	const bool pv = core->image->headers.guest_type == GUEST_X86_PV;
	const bool shared = image_state_record(core->image, LAYER_DOMAIN, REC_SHARED_INFO);
	const size_t context = sizeof(vcpu_guest_context_x86_64_t);
	uint64_t at = sizeof(Elf64_Ehdr) + SECTIONS_MOST * sizeof(Elf64_Shdr);

	section[SECTION_NAMES] = (Elf64_Shdr){.sh_name = name_at(".shstrtab"),
					      .sh_type = SHT_STRTAB,
					      .sh_size = sizeof(names),
					      .sh_addralign = 1};
	section[SECTION_NOTE] = (Elf64_Shdr){.sh_name = name_at(".note.Xen"),
					     .sh_type = SHT_NOTE,
					     .sh_size = sizeof(struct notes),
					     .sh_addralign = 4};
	section[SECTION_PRSTATUS] = (Elf64_Shdr){.sh_name = name_at(".xen_prstatus"),
						 .sh_type = SHT_PROGBITS,
						 .sh_size = core->vcpus->count * context,
						 .sh_addralign = 8,
						 .sh_entsize = context};
	if (shared)
		section[SECTION_SHARED_INFO] = (Elf64_Shdr){.sh_name = name_at(".xen_shared_info"),
							    .sh_type = SHT_PROGBITS,
							    .sh_size = PAGE_OCTETS,
							    .sh_addralign = 8,
							    .sh_entsize = PAGE_OCTETS};
	section[SECTION_TABLE] = (Elf64_Shdr){
		.sh_name = name_at(pv ? ".xen_p2m" : ".xen_pfn"),
		.sh_type = SHT_PROGBITS,
		.sh_size = pages * (pv ? 2 : 1) * sizeof(uint64_t),
		.sh_addralign = 8,
		.sh_entsize = (pv ? 2 : 1) * sizeof(uint64_t),
	};
	section[SECTION_PAGES] = (Elf64_Shdr){.sh_name = name_at(".xen_pages"),
					      .sh_type = SHT_PROGBITS,
					      .sh_size = pages * PAGE_OCTETS,
					      .sh_addralign = PAGE_OCTETS,
					      .sh_entsize = PAGE_OCTETS};
	for (unsigned i = 1; i < SECTIONS_MOST; i++) {
		uint64_t align = section[i].sh_addralign;

		if (section[i].sh_type == SHT_NULL)
			continue;
		at = (at + align - 1) & ~(align - 1);
		section[i].sh_offset = at;
		at += section[i].sh_size;
	}
}

static int write_headers(struct core *core, const Elf64_Shdr section[SECTIONS_MOST])
{
	Elf64_Ehdr ehdr = {
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			    EV_CURRENT},
		.e_type = ET_CORE,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_shoff = sizeof(ehdr),
		.e_ehsize = sizeof(ehdr),
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shstrndx = SECTION_NAMES,
	};
	uint64_t at = sizeof(ehdr);

	for (unsigned i = 0; i < SECTIONS_MOST; i++) {
		if (i && section[i].sh_type == SHT_NULL)
			continue;
		if (sparse_file_write(core->output, &section[i], sizeof(section[i]), at))
			return core_output_failed(core);
		at += sizeof(section[i]);
		ehdr.e_shnum++;
	}
	if (sparse_file_write(core->output, names, sizeof(names),
			      section[SECTION_NAMES].sh_offset) ||
	    sparse_file_write(core->output, &ehdr, sizeof(ehdr), 0))
		return core_output_failed(core);
	return 0;
}

int core_xen_write(struct core *core)
{
	const bool pv = core->image->headers.guest_type == GUEST_X86_PV;
	const uint64_t pages = core_data_pages(core->image);
	const struct notes notes = make_notes(core, pages);
	Elf64_Shdr section[SECTIONS_MOST] = {0};

	lay_out(core, pages, section);
	if (write_headers(core, section))
		return -1;
	if (sparse_file_write(core->output, &notes, sizeof(notes), section[SECTION_NOTE].sh_offset))
		return core_output_failed(core);
	if (write_contexts(core, section[SECTION_PRSTATUS].sh_offset) ||
	    write_shared_info(core, section[SECTION_SHARED_INFO].sh_offset) ||
	    write_table(core, section[SECTION_TABLE].sh_offset, pv))
		return -1;
	return core_write_memory(
		core, &(struct core_place){.base = section[SECTION_PAGES].sh_offset}, NULL);
}
