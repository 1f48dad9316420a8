/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An ELF core (ET_CORE) of a saved domain.
 *
 *      ELF header, program headers, notes, room for VMCOREINFO, pages in order of their pfns
 *
 * Each PT_LOAD is a run of guest-physical memory (p_paddr) at a virtual address (p_vaddr), so one
 * page can be in several, all with the same place in the file:
 *
 *      1. memory as the kernel's direct map has it: the one distance between virtual and physical
 *         addresses that maps most of it
 *      2. whatever else the page tables map
 *      3. memory that is not in the direct map, beyond any address that a guest can use
 *         (WINDOW), or in a 32-bit core at its physical address
 *
 * A reader that looks for an address takes the first that has it.
 */
#include "core.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "page_walk.h"

/* Not canonical with 4 or 5 levels of page tables. */
#define WINDOW          0x1000000000000000ull
#define SEGMENTS_MAX    (1u << 18) /* of 2. */
#define MEMORY_LIMIT_32 (1ull << 32)

struct segment {
	uint64_t physical, virtual, octets, offset;
};

struct segment_list {
	struct segment *at;
	size_t count, room;
};

struct elf {
	struct core *core;
	bool wide;                     /* ELF64 */
	const struct vcpu_state *vcpu; /* whose page tables are walked, or NULL */
	struct page_walk walk;
	struct segment_list memory; /* runs of pfns; virtual not set */
	struct segment_list load;   /* 1., 2., 3. */
	uint8_t *note;
	size_t note_octets, note_room;
	uint64_t note_offset, memory_offset;
};

/* ---- segments -------------------------------------------------------------------------------- */

static int add_segment(struct elf *elf, struct segment_list *list, struct segment segment)
{
	if (list->count == list->room) {
		size_t room = list->room ? 2 * list->room : 64;
		struct segment *more = reallocarray(list->at, room, sizeof(*more));

		if (!more)
			return core_no_memory(elf->core);
		list->at = more;
		list->room = room;
	}
	list->at[list->count++] = segment;
	return 0;
}

/* The runs of pages with content. Their offsets count from the first page in the file. */
static int find_memory(struct elf *elf)
{
	const struct image *image = elf->core->image;
	struct segment run = {0};
	uint64_t offset = 0;

	for (size_t i = 0; i < image->page_count; i++) {
		uint64_t physical = image->pages[i].pfn << PAGE_SHIFT_X86;

		if (!page_type_has_data(image->pages[i].type))
			continue;
		if (run.octets && run.physical + run.octets == physical) {
			run.octets += PAGE_OCTETS;
		} else {
			if (run.octets && add_segment(elf, &elf->memory, run))
				return -1;
			run = (struct segment){
				.physical = physical, .octets = PAGE_OCTETS, .offset = offset};
		}
		offset += PAGE_OCTETS;
	}
	return run.octets ? add_segment(elf, &elf->memory, run) : 0;
}

static uint64_t distance(const struct mapped_run *run)
{
	return run->virtual - run->physical;
}

static bool in_upper_half(const struct elf *elf, uint64_t virtual)
{
	return virtual >> (elf->vcpu->paging >= PAGING_4_LEVELS ? 63 : 31) & 1;
}

struct share {
	uint64_t distance, octets;
};

static int by_distance(const void *a, const void *b)
{
	const struct share *x = a, *y = b;

	return x->distance < y->distance ? -1 : x->distance > y->distance;
}

/* Octets of the guest's memory among the physical addresses of a run. */
static uint64_t memory_in(const struct elf *elf, const struct mapped_run *run);

/*
 * The distance that maps most memory in the upper half, where kernels are. Returns whether there
 * is one; -1 on failure.
 */
static int find_direct_map(struct elf *elf, uint64_t *direct)
{
	struct share *share = calloc(elf->walk.count + 1, sizeof(*share));
	size_t n = 0;
	uint64_t sum = 0, most = 0;

	if (!share)
		return core_no_memory(elf->core);
	for (size_t i = 0; i < elf->walk.count; i++) {
		const struct mapped_run *run = &elf->walk.run[i];

		if (in_upper_half(elf, run->virtual))
			share[n++] = (struct share){distance(run), memory_in(elf, run)};
	}
	qsort(share, n, sizeof(*share), by_distance);
	for (size_t i = 0; i < n; i++) {
		sum = i && share[i].distance == share[i - 1].distance ? sum + share[i].octets
								      : share[i].octets;
		if (sum > most) {
			most = sum;
			*direct = share[i].distance;
		}
	}
	free(share);
	return most > 0;
}

/* The first run of memory that ends behind a physical address. */
static size_t first_memory(const struct elf *elf, uint64_t physical)
{
	size_t low = 0, high = elf->memory.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct segment *run = &elf->memory.at[middle];

		if (run->physical + run->octets <= physical)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* No more runs of memory than this are looked at for one of the page tables' runs. */
#define MEMORY_RUNS_MAX 4096u

static uint64_t memory_in(const struct elf *elf, const struct mapped_run *run)
{
	uint64_t end = run->physical + run->octets, sum = 0;
	size_t first = first_memory(elf, run->physical);

	for (size_t i = first; i < elf->memory.count && i - first < MEMORY_RUNS_MAX; i++) {
		const struct segment *memory = &elf->memory.at[i];
		uint64_t from = memory->physical, to = memory->physical + memory->octets;

		if (from >= end)
			break;
		if (from < run->physical)
			from = run->physical;
		sum += (to < end ? to : end) - from;
	}
	return sum;
}

/* A part of a run of memory, at a virtual address. */
static int add_load(struct elf *elf, const struct segment *memory, uint64_t from, uint64_t to,
		    uint64_t virtual)
{
	return add_segment(elf, &elf->load,
			   (struct segment){
				   .physical = from,
				   .virtual = virtual,
				   .octets = to - from,
				   .offset = memory->offset + (from - memory->physical),
			   });
}

/* 1., and what of memory is left for 3. */
static int add_direct_map(struct elf *elf, uint64_t direct, struct segment_list *rest)
{
	size_t next = 0;

	for (size_t i = 0; i < elf->memory.count; i++) {
		const struct segment *memory = &elf->memory.at[i];
		uint64_t at = memory->physical, end = memory->physical + memory->octets;

		while (at < end) {
			const struct mapped_run *run = NULL;
			uint64_t to = end;

			/* Runs with one distance ascend as physical addresses, too. */
			for (; next < elf->walk.count; next++) {
				run = &elf->walk.run[next];
				if (distance(run) == direct && in_upper_half(elf, run->virtual) &&
				    run->physical + run->octets > at)
					break;
			}
			if (next == elf->walk.count || run->physical >= end)
				run = NULL;
			if (run && run->physical > at)
				to = run->physical;
			else if (run && run->physical + run->octets < end)
				to = run->physical + run->octets;
			if (run && run->physical <= at) {
				if (add_load(elf, memory, at, to, at + direct))
					return -1;
			} else if (add_segment(elf, rest,
					       (struct segment){at, 0, to - at,
								memory->offset +
									(at - memory->physical)})) {
				return -1;
			}
			at = to;
		}
	}
	return 0;
}

/* 2. */
static int add_other_mappings(struct elf *elf, uint64_t direct, bool *cut)
{
	size_t before = elf->load.count;

	for (size_t i = 0; i < elf->walk.count; i++) {
		const struct mapped_run *run = &elf->walk.run[i];
		uint64_t end = run->physical + run->octets;

		if (distance(run) == direct && in_upper_half(elf, run->virtual))
			continue;
		for (size_t k = first_memory(elf, run->physical); k < elf->memory.count; k++) {
			const struct segment *memory = &elf->memory.at[k];
			uint64_t from = memory->physical, to = from + memory->octets;

			if (from >= end)
				break;
			if (from < run->physical)
				from = run->physical;
			if (to > end)
				to = end;
			if (elf->load.count - before == SEGMENTS_MAX) {
				*cut = true;
				return 0;
			}
			if (add_load(elf, memory, from, to, from + distance(run)))
				return -1;
		}
	}
	return 0;
}

/* Whose page tables say where the kernel is: the first vcpu that runs with paging. */
static const struct vcpu_state *walked_vcpu(const struct core *core)
{
	for (size_t i = 0; i < core->vcpus->count; i++) {
		if (core->vcpus->vcpu[i].paging != PAGING_NONE)
			return &core->vcpus->vcpu[i];
	}
	return NULL;
}

static int find_segments(struct elf *elf)
{
	struct segment_list rest = {0};
	uint64_t direct = 0;
	bool cut = false;
	int rc = -1, found;

	elf->vcpu = walked_vcpu(elf->core);
	if (elf->vcpu && page_walk_run(&elf->walk, elf->core->image, elf->vcpu, elf->core->err))
		goto out;
	if (elf->vcpu && !elf->walk.count)
		core_warn(elf->core,
			  "the page tables of vcpu %u (CR3 %#" PRIx64
			  ") map nothing that is there: no virtual addresses",
			  elf->vcpu->id, elf->vcpu->cr[3]);
	found = find_direct_map(elf, &direct);
	if (found < 0)
		goto out;
	if (found ? add_direct_map(elf, direct, &rest)
		  : add_direct_map(elf, UINT64_MAX, &rest)) /* no distance is odd */
		goto out;
	if (add_other_mappings(elf, found ? direct : UINT64_MAX, &cut))
		goto out;
	if (elf->walk.cut || cut)
		core_warn(elf->core,
			  "the page tables of vcpu %u map more than can be: not all virtual "
			  "addresses are there",
			  elf->vcpu->id);
	for (size_t i = 0; i < rest.count; i++) {
		struct segment *memory = &rest.at[i];

		memory->virtual = memory->physical + (elf->wide && elf->vcpu ? WINDOW : 0);
		if (add_segment(elf, &elf->load, *memory))
			goto out;
	}
	rc = 0;
out:
	free(rest.at);
	return rc;
}

/* ---- notes ----------------------------------------------------------------------------------- */

static int add_note(struct elf *elf, const char *name, uint32_t type, const void *desc,
		    size_t octets)
{
	const size_t name_octets = strlen(name) + 1;
	const size_t name_room = (name_octets + 3) & ~(size_t)3;
	const size_t all = sizeof(Elf64_Nhdr) + name_room + ((octets + 3) & ~(size_t)3);
	const Elf64_Nhdr head = {
		.n_namesz = (Elf64_Word)name_octets,
		.n_descsz = (Elf64_Word)octets,
		.n_type = type,
	};
	uint8_t *at;

	if (elf->note_room - elf->note_octets < all) {
		size_t room = 2 * elf->note_room + all;
		uint8_t *more = realloc(elf->note, room);

		if (!more)
			return core_no_memory(elf->core);
		elf->note = more;
		elf->note_room = room;
	}
	at = elf->note + elf->note_octets;
	memset(at, 0, all);
	memcpy(at, &head, sizeof(head));
	memcpy(at + sizeof(head), name, name_octets);
	memcpy(at + sizeof(head) + name_room, desc, octets);
	elf->note_octets += all;
	return 0;
}

/* struct elf_prstatus as Linux has it for x86-64 and i386; only what a debugger looks at. */
struct prstatus_64 {
	uint8_t signal[32];
	uint32_t pid;
	uint8_t times[76];
	uint64_t reg[27];
	uint32_t fpvalid, pad;
};
_Static_assert(sizeof(struct prstatus_64) == 336, "prstatus of x86-64");

struct prstatus_32 {
	uint8_t signal[24];
	uint32_t pid;
	uint8_t times[44];
	uint32_t reg[17];
	uint32_t fpvalid;
};
_Static_assert(sizeof(struct prstatus_32) == 144, "prstatus of i386");

#define NO_SYSTEM_CALL UINT64_MAX /* orig_rax */

/* The ids of a vcpu's thread: from 1 on, 0 is nobody's. */
static uint32_t thread_of(const struct vcpu_state *v)
{
	return v->id + 1;
}

static int add_prstatus_64(struct elf *elf, const struct vcpu_state *v)
{
	const uint64_t *g = v->gpr;
	const struct vcpu_segment *s = v->segment;
	const struct prstatus_64 status = {
		.pid = thread_of(v),
		.fpvalid = 1,
		.reg = {g[GPR_R15],
			g[GPR_R14],
			g[GPR_R13],
			g[GPR_R12],
			g[GPR_RBP],
			g[GPR_RBX],
			g[GPR_R11],
			g[GPR_R10],
			g[GPR_R9],
			g[GPR_R8],
			g[GPR_RAX],
			g[GPR_RCX],
			g[GPR_RDX],
			g[GPR_RSI],
			g[GPR_RDI],
			NO_SYSTEM_CALL,
			v->rip,
			s[SEGMENT_CS].selector,
			v->rflags,
			g[GPR_RSP],
			s[SEGMENT_SS].selector,
			s[SEGMENT_FS].base,
			s[SEGMENT_GS].base,
			s[SEGMENT_DS].selector,
			s[SEGMENT_ES].selector,
			s[SEGMENT_FS].selector,
			s[SEGMENT_GS].selector},
	};

	return add_note(elf, "CORE", NT_PRSTATUS, &status, sizeof(status)) ||
			       add_note(elf, "CORE", NT_FPREGSET, v->fxsave, sizeof(v->fxsave))
		       ? -1
		       : 0;
}

static int add_prstatus_32(struct elf *elf, const struct vcpu_state *v)
{
	const uint64_t *g = v->gpr;
	const struct vcpu_segment *s = v->segment;
	const uint64_t wide[17] = {g[GPR_RBX],
				   g[GPR_RCX],
				   g[GPR_RDX],
				   g[GPR_RSI],
				   g[GPR_RDI],
				   g[GPR_RBP],
				   g[GPR_RAX],
				   s[SEGMENT_DS].selector,
				   s[SEGMENT_ES].selector,
				   s[SEGMENT_FS].selector,
				   s[SEGMENT_GS].selector,
				   NO_SYSTEM_CALL,
				   v->rip,
				   s[SEGMENT_CS].selector,
				   v->rflags,
				   g[GPR_RSP],
				   s[SEGMENT_SS].selector};
	struct prstatus_32 status = {.pid = thread_of(v), .fpvalid = 1};

	for (unsigned i = 0; i < 17; i++)
		status.reg[i] = (uint32_t)wide[i];
	return add_note(elf, "CORE", NT_PRSTATUS, &status, sizeof(status)) ||
			       add_note(elf, "LINUX", NT_PRXFPREG, v->fxsave, sizeof(v->fxsave))
		       ? -1
		       : 0;
}

/*
 * The registers that a process does not have, as QEMU's dump-guest-memory notes them: `crash' takes
 * them from there.
 */
struct machine_note {
	uint32_t version, octets;
	uint64_t gpr[GPRS];
	uint64_t rip, rflags;
	struct {
		uint32_t selector, limit, flags, pad;
		uint64_t base;
	} segment[SEGMENTS];
	uint64_t cr[5];
	uint64_t kernel_gs_base;
};
_Static_assert(sizeof(struct machine_note) == 440, "QEMU note");

static int add_machine(struct elf *elf, const struct vcpu_state *v)
{
	static const enum vcpu_segment_id order[SEGMENTS] = {
		SEGMENT_CS, SEGMENT_DS,  SEGMENT_ES, SEGMENT_FS,  SEGMENT_GS,
		SEGMENT_SS, SEGMENT_LDT, SEGMENT_TR, SEGMENT_GDT, SEGMENT_IDT,
	};
	static const enum vcpu_gpr gprs[GPRS] = {
		GPR_RAX, GPR_RBX, GPR_RCX, GPR_RDX, GPR_RSI, GPR_RDI, GPR_RSP, GPR_RBP,
		GPR_R8,  GPR_R9,  GPR_R10, GPR_R11, GPR_R12, GPR_R13, GPR_R14, GPR_R15,
	};
	struct machine_note note = {
		.version = 1,
		.octets = sizeof(note),
		.rip = v->rip,
		.rflags = v->rflags,
		.kernel_gs_base = v->gs_base_other,
	};

	for (unsigned i = 0; i < GPRS; i++)
		note.gpr[i] = v->gpr[gprs[i]];
	for (unsigned i = 0; i < SEGMENTS; i++) {
		const struct vcpu_segment *s = &v->segment[order[i]];

		note.segment[i].selector = s->selector;
		note.segment[i].limit = s->limit;
		/* Bits 8 to 15 and 20 to 23 of a descriptor's second word. */
		note.segment[i].flags = (s->attributes & 0xff) << 8 | (s->attributes & 0xf00) << 12;
		note.segment[i].base = s->base;
	}
	memcpy(note.cr, v->cr, sizeof(note.cr));
	return add_note(elf, "QEMU", 0, &note, sizeof(note));
}

/* Those of the processors first: readers go by the order in which they find them. */
static int make_notes(struct elf *elf)
{
	const struct vcpu_list *vcpus = elf->core->vcpus;

	for (size_t i = 0; i < vcpus->count; i++) {
		if (elf->wide ? add_prstatus_64(elf, &vcpus->vcpu[i])
			      : add_prstatus_32(elf, &vcpus->vcpu[i]))
			return -1;
	}
	for (size_t i = 0; i < vcpus->count; i++) {
		if (add_machine(elf, &vcpus->vcpu[i]))
			return -1;
	}
	return 0;
}

/* ---- the file -------------------------------------------------------------------------------- */

static const unsigned char elf_ident[EI_NIDENT] = {
	ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, [EI_DATA] = ELFDATA2LSB, [EI_VERSION] = EV_CURRENT,
};

/* More program headers than the ELF header can count are counted in a section header. */
static bool is_counted_apart(uint64_t headers)
{
	return headers >= PN_XNUM;
}

static uint64_t header_octets(const struct elf *elf)
{
	const uint64_t headers = elf->load.count + 1;
	const uint64_t section = is_counted_apart(headers);

	return elf->wide ? sizeof(Elf64_Ehdr) + headers * sizeof(Elf64_Phdr) +
				   section * sizeof(Elf64_Shdr)
			 : sizeof(Elf32_Ehdr) + headers * sizeof(Elf32_Phdr) +
				   section * sizeof(Elf32_Shdr);
}

/*
 * The same code for both classes: their structures differ in width and in the order of members.
 * p_align stays 0, as in the kernel's own /proc/vmcore: `crash' tells by it what kind of core it is.
 */
#define MAKE_HEADERS(name, Ehdr, Phdr, Shdr, class, machine)                                       \
	static void name(const struct elf *elf, uint8_t *to)                                       \
	{                                                                                          \
		const size_t headers = elf->load.count + 1;                                        \
		const bool apart = is_counted_apart(headers);                                      \
		Ehdr ehdr = {                                                                      \
			.e_type = ET_CORE,                                                         \
			.e_machine = (machine),                                                    \
			.e_version = EV_CURRENT,                                                   \
			.e_phoff = sizeof(Ehdr),                                                   \
			.e_ehsize = sizeof(Ehdr),                                                  \
			.e_phentsize = sizeof(Phdr),                                               \
			.e_phnum = apart ? PN_XNUM : (uint16_t)headers,                            \
		};                                                                                 \
		Phdr phdr = {                                                                      \
			.p_type = PT_NOTE,                                                         \
			.p_offset = (__typeof__(phdr.p_offset))elf->note_offset,                   \
			.p_filesz = (__typeof__(phdr.p_filesz))elf->note_octets,                   \
		};                                                                                 \
                                                                                                   \
		memcpy(ehdr.e_ident, elf_ident, sizeof(elf_ident));                                \
		ehdr.e_ident[EI_CLASS] = (class);                                                  \
		memcpy(to + sizeof(ehdr), &phdr, sizeof(phdr));                                    \
		for (size_t i = 0; i < elf->load.count; i++) {                                     \
			const struct segment *s = &elf->load.at[i];                                \
                                                                                                   \
			phdr = (Phdr){                                                             \
				.p_type = PT_LOAD,                                                 \
				.p_flags = PF_R | PF_W | PF_X,                                     \
				.p_offset = (__typeof__(phdr.p_offset))(elf->memory_offset +       \
									s->offset),                \
				.p_vaddr = (__typeof__(phdr.p_vaddr))s->virtual,                   \
				.p_paddr = (__typeof__(phdr.p_paddr))s->physical,                  \
				.p_filesz = (__typeof__(phdr.p_filesz))s->octets,                  \
				.p_memsz = (__typeof__(phdr.p_memsz))s->octets,                    \
			};                                                                         \
			memcpy(to + sizeof(ehdr) + (i + 1) * sizeof(phdr), &phdr, sizeof(phdr));   \
		}                                                                                  \
		if (apart) {                                                                       \
			const Shdr count = {.sh_info = (uint32_t)headers};                         \
                                                                                                   \
			ehdr.e_shoff =                                                             \
				(__typeof__(ehdr.e_shoff))(sizeof(ehdr) + headers * sizeof(phdr)); \
			ehdr.e_shentsize = sizeof(count);                                          \
			ehdr.e_shnum = 1;                                                          \
			memcpy(to + ehdr.e_shoff, &count, sizeof(count));                          \
		}                                                                                  \
		memcpy(to, &ehdr, sizeof(ehdr));                                                   \
	}

MAKE_HEADERS(make_headers_64, Elf64_Ehdr, Elf64_Phdr, Elf64_Shdr, ELFCLASS64, EM_X86_64)
MAKE_HEADERS(make_headers_32, Elf32_Ehdr, Elf32_Phdr, Elf32_Shdr, ELFCLASS32, EM_386)

static int write_front(struct elf *elf)
{
	const uint64_t octets = header_octets(elf);
	uint8_t *headers = calloc(1, octets);
	int rc = -1;

	if (!headers)
		return core_no_memory(elf->core);
	if (elf->wide)
		make_headers_64(elf, headers);
	else
		make_headers_32(elf, headers);
	if (sparse_file_write(elf->core->output, headers, octets, 0) ||
	    sparse_file_write(elf->core->output, elf->note, elf->note_octets, elf->note_offset))
		core_output_failed(elf->core);
	else
		rc = 0;
	free(headers);
	return rc;
}

static uint64_t align_up(uint64_t value, uint64_t to)
{
	return (value + to - 1) & ~(to - 1);
}

/* 32 bits only for a guest that has no 64-bit code. */
static bool is_64_bit(const struct core *core)
{
	if (core->image->headers.guest_type == GUEST_X86_PV)
		return core->image->guest_width == 8;
	for (size_t i = 0; i < core->vcpus->count; i++) {
		if (core->vcpus->vcpu[i].long_mode)
			return true;
	}
	return core->vcpus->count == 0;
}

/* Everything before memory is laid out: offsets, and whether they fit. */
static int lay_out(struct elf *elf)
{
	if (find_segments(elf) || make_notes(elf))
		return -1;
	elf->note_offset = align_up(header_octets(elf), 8);
	elf->memory_offset =
		align_up(elf->note_offset + elf->note_octets + VMCOREINFO_MOST + 64, PAGE_OCTETS);
	return 0;
}

static void release_layout(struct elf *elf)
{
	page_walk_release(&elf->walk);
	free(elf->load.at);
	free(elf->note);
	elf->load = (struct segment_list){0};
	elf->note = NULL;
	elf->note_octets = elf->note_room = 0;
}

/* Does all of it have an address and a place in a 32-bit core? */
static bool fits_32_bits(const struct elf *elf)
{
	const struct segment *last =
		elf->memory.count ? &elf->memory.at[elf->memory.count - 1] : &(struct segment){0};

	return last->physical + last->octets <= MEMORY_LIMIT_32 &&
	       elf->memory_offset + last->offset + last->octets < MEMORY_LIMIT_32;
}

int core_elf_write(struct core *core)
{
	struct elf elf = {.core = core, .wide = is_64_bit(core)};
	struct vmcoreinfo *info = calloc(1, sizeof(*info));
	int rc = -1;

	if (!info) {
		core_no_memory(core);
		goto out;
	}
	if (find_memory(&elf) || lay_out(&elf))
		goto out;
	if (!elf.wide && !fits_32_bits(&elf)) {
		core_warn(core, "more memory than a 32-bit core can have: written as a 64-bit one");
		release_layout(&elf);
		elf.wide = true;
		if (lay_out(&elf))
			goto out;
	}
	if (core_write_memory(core, &(struct core_place){.base = elf.memory_offset}, info))
		goto out;
	if (info->octets && add_note(&elf, "VMCOREINFO", 0, info->text, info->octets))
		goto out;
	rc = write_front(&elf);
out:
	release_layout(&elf);
	free(elf.memory.at);
	free(info);
	return rc;
}
