/*
 * damage-image FILE - spoils the header of the PAGE_DATA record nearest to the middle of an
 * xl save file, so that its type is one no reader knows, and prints where.
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

#define XL_MAGIC_SIZE 32
#define LIBXL_HEADER_SIZE 16
#define IMAGE_HEADER_SIZE 24
#define DOMAIN_HEADER_SIZE 16
#define RECORD_PAGE_DATA 1
#define RECORD_END 0
#define RECORD_UNKNOWN 0x5a /* mandatory: bit 31 is not set */

struct record {
	uint32_t type;
	uint32_t length;
};

static void die(const char *what)
{
	fprintf(stderr, "damage-image: %s\n", what);
	exit(1);
}

static void get(FILE *file, long offset, void *into, size_t size)
{
	if (fseek(file, offset, SEEK_SET) || fread(into, size, 1, file) != 1)
		die("image ends early");
}

int main(int argc, char **argv)
{
	char magic[XL_MAGIC_SIZE];
	uint32_t xl[4];
	struct record record;
	struct stat status;
	FILE *file;
	long offset;

	if (argc != 2 || !(file = fopen(argv[1], "r+b")) || fstat(fileno(file), &status))
		die("cannot open the image");
	get(file, 0, magic, sizeof(magic));
	if (memcmp(magic, "Xen saved domain", 16))
		die("not an xl save file");
	get(file, XL_MAGIC_SIZE, xl, sizeof(xl));
	offset = XL_MAGIC_SIZE + (long)sizeof(xl) + xl[3] + LIBXL_HEADER_SIZE;
	get(file, offset, &record, sizeof(record));
	if (record.type != 1 || record.length)
		die("no LIBXC_CONTEXT record where one is expected");
	offset += (long)sizeof(record) + IMAGE_HEADER_SIZE + DOMAIN_HEADER_SIZE;

	for (;;) {
		get(file, offset, &record, sizeof(record));
		if (record.type == RECORD_END)
			die("no PAGE_DATA record in the second half");
		if (record.type == RECORD_PAGE_DATA && offset >= status.st_size / 2)
			break;
		offset += (long)sizeof(record) + (((long)record.length + 7) & ~7L);
	}
	record.type = RECORD_UNKNOWN;
	if (fseek(file, offset, SEEK_SET) || fwrite(&record, sizeof(record), 1, file) != 1 ||
	    fclose(file))
		die("cannot write");
	printf("record at %ld of %ld: type 1 became 0x%x\n", offset, (long)status.st_size,
	       RECORD_UNKNOWN);
	return 0;
}
