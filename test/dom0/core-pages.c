/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * core-pages elf|xen|raw MIB FILE - finds the memory of a busy guest (guest/busy.c) in a core.
 *
 * Prints a line "PAGE PFN" for each page of busy's, in their order: those of all layouts have to be
 * the same. All of the MIB must be there, but for the page that busy was just writing, as of one
 * moment: first pages of the last generation, then pages of the one before. Reads what the layout says of itself
 * (program headers; section headers and table of pfns), and shares no code with the library.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "busy.h"

struct found {
	uint64_t generation; /* 0: not found */
	uint64_t pfn;
};

static int fd;
static struct found *found;
static uint64_t pages;

static void die(const char *what)
{
	fprintf(stderr, "core-pages: %s\n", what);
	exit(1);
}

static void *get(uint64_t offset, uint64_t octets)
{
	char *into = octets < (1u << 30) ? malloc(octets + 1) : NULL;

	if (!into || pread(fd, into, octets, (off_t)offset) != (ssize_t)octets)
		die("it ends early, or lies about its size");
	into[octets] = 0;
	return into;
}

static void look_at(const uint64_t *words, uint64_t pfn)
{
	struct found *page = words[1] < pages ? &found[words[1]] : NULL;

	/* Older copies may be in memory that the guest has freed. */
	if (!page || words[0] <= page->generation || words[0] > UINT32_MAX ||
	    busy_differs(words, words[0], words[1]) >= 0)
		return;
	*page = (struct found){words[0], pfn};
}

/* A stretch of the file with consecutive pfns, or with those of a table. Holes are zeroes. */
static void look_through(uint64_t offset, uint64_t octets, uint64_t pfn, const uint64_t *table,
			 size_t stride)
{
	enum {
		AT_ONCE = 64
	};
	const uint64_t end = offset + octets, start = offset;

	while (offset < end) {
		off_t data = lseek(fd, (off_t)offset, SEEK_DATA);
		uint64_t skipped, most;
		uint64_t *words;

		if (data < 0 && errno == ENXIO)
			return;
		if (data < 0)
			die("cannot seek in it");
		skipped = ((uint64_t)data - offset) / BUSY_PAGE;
		offset += skipped * BUSY_PAGE;
		if (offset >= end)
			return;
		most = (end - offset) / BUSY_PAGE;
		if (most == 0)
			return;
		if (most > AT_ONCE)
			most = AT_ONCE;
		words = get(offset, most * BUSY_PAGE);
		for (uint64_t i = 0; i < most; i++) {
			uint64_t n = (offset - start) / BUSY_PAGE + i;

			look_at(words + i * BUSY_WORDS, table ? table[n * stride] : pfn + n);
		}
		free(words);
		offset += most * BUSY_PAGE;
	}
}

static const Elf64_Ehdr *elf_header(void)
{
	const Elf64_Ehdr *header = get(0, sizeof(*header));

	if (memcmp(header->e_ident, ELFMAG, SELFMAG) || header->e_ident[EI_CLASS] != ELFCLASS64 ||
	    header->e_type != ET_CORE || header->e_machine != EM_X86_64)
		die("no ELF core of an x86-64 machine");
	return header;
}

static void read_elf(void)
{
	const Elf64_Ehdr *header = elf_header();
	const Elf64_Shdr *first =
		header->e_phnum == PN_XNUM ? get(header->e_shoff, sizeof(*first)) : NULL;
	const uint64_t count = first ? first->sh_info : header->e_phnum;
	const Elf64_Phdr *program = get(header->e_phoff, count * sizeof(*program));
	unsigned notes = 0;

	if (header->e_phentsize != sizeof(*program))
		die("program headers of another size");
	for (uint64_t i = 0; i < count; i++) {
		notes += program[i].p_type == PT_NOTE && program[i].p_filesz;
		if (program[i].p_type != PT_LOAD)
			continue;
		if (program[i].p_filesz % BUSY_PAGE || program[i].p_paddr % BUSY_PAGE)
			die("a segment that does not consist of pages");
		look_through(program[i].p_offset, program[i].p_filesz,
			     program[i].p_paddr / BUSY_PAGE, NULL, 0);
	}
	if (notes == 0)
		die("no notes");
}

static void read_xen(void)
{
	const Elf64_Ehdr *header = elf_header();
	const Elf64_Shdr *section = get(header->e_shoff, header->e_shnum * sizeof(*section));
	const Elf64_Shdr *names = &section[header->e_shstrndx], *memory = NULL, *table = NULL;
	const char *text = get(names->sh_offset, names->sh_size);
	uint64_t count;

	for (unsigned i = 0; i < header->e_shnum; i++) {
		const char *name =
			section[i].sh_name < names->sh_size ? text + section[i].sh_name : "";

		if (!strcmp(name, ".xen_pages"))
			memory = &section[i];
		if (!strcmp(name, ".xen_pfn") || !strcmp(name, ".xen_p2m"))
			table = &section[i];
	}
	if (!memory || !table || !table->sh_entsize)
		die("no section .xen_pages, or no table to it");
	count = memory->sh_size / BUSY_PAGE;
	if (table->sh_size / table->sh_entsize != count)
		die("not as many pfns as pages");
	look_through(memory->sh_offset, memory->sh_size, 0, get(table->sh_offset, table->sh_size),
		     table->sh_entsize / sizeof(uint64_t));
}

static void read_raw(void)
{
	struct stat status;

	if (fstat(fd, &status) || status.st_size % BUSY_PAGE)
		die("its size is no number of pages");
	look_through(0, (uint64_t)status.st_size, 0, NULL, 0);
}

static void show(void)
{
	uint64_t last = 0, least = UINT64_MAX, missing = 0;

	for (uint64_t i = 0; i < pages; i++)
		if (found[i].generation > last)
			last = found[i].generation;
	for (uint64_t i = 0; i < pages; i++) {
		/* What is older than that is what the page being written left behind elsewhere. */
		if (found[i].generation + 1 < last || !found[i].generation) {
			if (missing++)
				die("a page of busy's is missing, or of an old generation");
			continue;
		}
		if (found[i].generation > least)
			die("pages of different moments");
		least = found[i].generation;
		printf("%" PRIu64 " 0x%" PRIx64 "\n", i, found[i].pfn);
	}
}

int main(int argc, char **argv)
{
	if (argc != 4)
		die("usage: core-pages elf|xen|raw MIB FILE");
	pages = strtoull(argv[2], NULL, 10) * (1 << 20) / BUSY_PAGE;
	found = calloc(pages + 1, sizeof(*found));
	fd = open(argv[3], O_RDONLY);
	if (!found || fd < 0)
		die("cannot open the core");
	if (!strcmp(argv[1], "elf"))
		read_elf();
	else if (!strcmp(argv[1], "xen"))
		read_xen();
	else
		read_raw();
	show();
	return 0;
}
