/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * busy MIB STATUS - rewrites memory all the time, and notices any page that is not as it left it.
 *
 * Pass after pass over its pages, in order: before a page gets this pass's generation, every octet
 * of it must still be of the pass before. So a page that comes out of a migration or a checkpoint
 * older or newer than the others, or torn, is noticed the next time the writer comes by, and never
 * overwritten unseen. The file STATUS holds the generation, or "BAD" and why from then on.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "busy.h"

enum {
	BURST = 64, /* pages rewritten between two pauses, so that others get the cpu too */
	PAUSE_NS = 2 * 1000 * 1000,
};

static void fill(volatile uint64_t *words, uint64_t generation, uint64_t page)
{
	uint64_t value = busy_first_word(generation, page);

	words[0] = generation;
	words[1] = page;
	for (int i = 2; i < BUSY_WORDS; i++, value += BUSY_STEP)
		words[i] = value;
}

static void report(int fd, const char *text, int length)
{
	if (pwrite(fd, text, (size_t)length, 0) != length)
		perror("busy: status");
}

int main(int argc, char **argv)
{
	uint64_t pages = argc == 3 ? strtoull(argv[1], NULL, 10) * (1 << 20) / BUSY_PAGE : 0;
	volatile uint64_t *memory = mmap(NULL, pages * BUSY_PAGE, PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = pages ? open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0644) : -1;
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	char text[120];

	if (fd < 0 || memory == MAP_FAILED) {
		perror("busy");
		return 1;
	}
	for (uint64_t page = 0; page < pages; page++)
		fill(memory + page * BUSY_WORDS, 1, page);
	for (uint64_t generation = 2;; generation++) {
		report(fd, text,
		       snprintf(text, sizeof(text), "%llu\n", (unsigned long long)generation));
		for (uint64_t page = 0; page < pages; page++) {
			volatile uint64_t *words = memory + page * BUSY_WORDS;
			int word = busy_differs(words, generation - 1, page);

			if (word >= 0) {
				report(fd, text,
				       snprintf(text, sizeof(text),
						"BAD page %llu word %d: has generation %lld, not "
						"%llu\n",
						(unsigned long long)page, word, (long long)words[0],
						(unsigned long long)generation - 1));
				return 1;
			}
			fill(words, generation, page);
			if (page % BURST == 0)
				nanosleep(&pause, NULL);
		}
	}
}
