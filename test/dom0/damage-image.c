/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * damage-image FILE [WHAT] - spoils an xl save file in one place, and prints where.
 *
 *   type     of the PAGE_DATA record nearest to the middle: one no reader knows (the default)
 *   length   a bit of that record's length
 *   count    a bit of how many entries it says it has
 *   entry    its first entry: a type of page that there is not
 *   end      the last record of the domain stream gets that record's unknown type
 *   magic libxl marker domain
 *            a bit of the xl header, of the first libxl record's type, of the domain stream's
 *            marker, of the type of guest
 *   cut      the file ends in the middle of the record nearest to the middle
 *
 * Walks the file as a reader does (xl header, libxl stream, domain stream) rather than
 * searching for a pattern, so it never hits page contents. Part of the dom0 rig only, and on
 * purpose shares no code with the library.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XL_MAGIC_SIZE      32
#define LIBXL_HEADER_SIZE  16
#define IMAGE_HEADER_SIZE  24
#define DOMAIN_HEADER_SIZE 16
#define RECORD_PAGE_DATA   1
#define RECORD_END         0
#define RECORD_UNKNOWN     0x5a /* mandatory: bit 31 is not set */
#define PAGE_DATA_HEADER   8
#define ENTRY_NO_TYPE      0x5000000000000000u

struct record {
	uint32_t type;
	uint32_t length;
};

static FILE *file;

static void die(const char *what)
{
	fprintf(stderr, "damage-image: %s\n", what);
	exit(1);
}

static void get(long offset, void *into, size_t size)
{
	if (fseek(file, offset, SEEK_SET) || fread(into, size, 1, file) != 1)
		die("image ends early");
}

static void put(long offset, const void *from, size_t size, const char *what)
{
	if (fseek(file, offset, SEEK_SET) || fwrite(from, size, 1, file) != 1 || fflush(file))
		die("cannot write");
	printf("%s at offset %ld was changed\n", what, offset);
}

static void turn_bit(long offset, unsigned bit, const char *what)
{
	uint8_t octet;

	get(offset, &octet, 1);
	octet = (uint8_t)(octet ^ 1u << bit);
	put(offset, &octet, 1, what);
}

/* Offset of the domain stream's first record; *libxl: of the libxl record that it follows. */
static long find_records(long *libxl)
{
	char magic[XL_MAGIC_SIZE];
	uint32_t xl[4];
	struct record record;

	get(0, magic, sizeof(magic));
	if (memcmp(magic, "Xen saved domain", 16))
		die("not an xl save file");
	get(XL_MAGIC_SIZE, xl, sizeof(xl));
	*libxl = XL_MAGIC_SIZE + (long)sizeof(xl) + xl[3] + LIBXL_HEADER_SIZE;
	get(*libxl, &record, sizeof(record));
	if (record.type != 1 || record.length)
		die("no LIBXC_CONTEXT record where one is expected");
	return *libxl + (long)sizeof(record) + IMAGE_HEADER_SIZE + DOMAIN_HEADER_SIZE;
}

/* Offset of the first PAGE_DATA record from there on, or of END. */
static long find_record(long offset, uint32_t type, long from)
{
	struct record record;

	for (;;) {
		get(offset, &record, sizeof(record));
		if (record.type == type && offset >= from)
			return offset;
		if (record.type == RECORD_END)
			die("no PAGE_DATA record in the second half");
		offset += (long)sizeof(record) + (((long)record.length + 7) & ~7L);
	}
}

static void damage(const char *what, long octets)
{
	const uint32_t unknown = RECORD_UNKNOWN;
	const uint64_t entry = ENTRY_NO_TYPE;
	long libxl, first = find_records(&libxl);
	long domain = first - DOMAIN_HEADER_SIZE, marker = domain - IMAGE_HEADER_SIZE;
	long middle = find_record(first, RECORD_PAGE_DATA, octets / 2);
	long content = middle + (long)sizeof(struct record);

	if (!strcmp(what, "type"))
		put(middle, &unknown, sizeof(unknown), "a record's type");
	else if (!strcmp(what, "length"))
		turn_bit(middle + 4, 3, "a record's length");
	else if (!strcmp(what, "count"))
		turn_bit(content, 0, "the number of entries");
	else if (!strcmp(what, "entry"))
		put(content + PAGE_DATA_HEADER, &entry, sizeof(entry), "an entry");
	else if (!strcmp(what, "end"))
		put(find_record(first, RECORD_END, 0), &unknown, sizeof(unknown),
		    "the last record");
	else if (!strcmp(what, "magic"))
		turn_bit(3, 5, "the xl header");
	else if (!strcmp(what, "libxl"))
		turn_bit(libxl, 6, "a libxl record's type");
	else if (!strcmp(what, "marker"))
		turn_bit(marker, 2, "the domain stream's marker");
	else if (!strcmp(what, "domain"))
		turn_bit(domain, 7, "the type of guest");
	else if (strcmp(what, "cut") || ftruncate(fileno(file), content + PAGE_DATA_HEADER + 3))
		die("what is to be damaged?");
}

int main(int argc, char **argv)
{
	struct stat status;

	if (argc < 2 || !(file = fopen(argv[1], "r+b")) || fstat(fileno(file), &status))
		die("cannot open the image");
	damage(argc > 2 ? argv[2] : "type", (long)status.st_size);
	return fclose(file) ? 1 : 0;
}
