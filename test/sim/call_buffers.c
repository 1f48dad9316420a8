/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libxencall's buffers: ordinary pages, each buffer with a page behind it that faults. Known by
 * address, so that a handle into anything else is noticed. As in the real library, a few freed
 * buffers of one page are kept for the next one who wants one.
 */
#include "hypercall.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#include <xencall.h>

#define MAX_BUFFERS 1024u
#define MAX_SPARE   4u

static struct buffer {
	uint8_t *start;
	size_t octets; /* whole pages; 0: free slot */
	bool spare;    /* freed, and kept */
} buffers[MAX_BUFFERS];
static unsigned buffers_end; /* no slot from here on was ever used */
static pthread_mutex_t buffers_lock = PTHREAD_MUTEX_INITIALIZER;

static unsigned spares;

/* A free slot, or a spare buffer when one page is wanted. */
static struct buffer *find_slot(size_t octets)
{
	struct buffer *slot = NULL;

	for (unsigned i = 0; i < buffers_end; i++) {
		if (octets == SIM_PAGE_OCTETS && buffers[i].spare)
			return &buffers[i];
		if (!slot && buffers[i].octets == 0)
			slot = &buffers[i];
	}
	if (!slot && buffers_end < MAX_BUFFERS)
		slot = &buffers[buffers_end++];
	return slot;
}

static uint8_t *map_buffer(size_t octets)
{
	uint8_t *start = mmap(NULL, octets + SIM_PAGE_OCTETS, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (start == MAP_FAILED)
		return NULL;
	mprotect(start + octets, SIM_PAGE_OCTETS, PROT_NONE);
	return start;
}

static void *buffer_alloc(size_t octets)
{
	struct buffer *slot;
	uint8_t *start = NULL;

	octets = sim_page_align(octets ? octets : 1);
	pthread_mutex_lock(&buffers_lock);
	slot = find_slot(octets);
	if (slot && slot->spare) {
		slot->spare = false;
		spares--;
		start = slot->start;
	} else if (slot) {
		start = map_buffer(octets);
		if (start)
			*slot = (struct buffer){.start = start, .octets = octets};
	}
	pthread_mutex_unlock(&buffers_lock);
	if (!start)
		errno = ENOMEM;
	return start;
}

static void release(struct buffer *buffer)
{
	if (buffer->octets == SIM_PAGE_OCTETS && spares < MAX_SPARE) {
		buffer->spare = true;
		spares++;
		return;
	}
	munmap(buffer->start, buffer->octets + SIM_PAGE_OCTETS);
	buffer->octets = 0;
}

static void buffer_free(void *start, size_t pages)
{
	struct buffer *found = NULL;

	if (!start)
		return;
	pthread_mutex_lock(&buffers_lock);
	for (unsigned i = 0; i < buffers_end && !found; i++) {
		if (buffers[i].octets && !buffers[i].spare && buffers[i].start == start)
			found = &buffers[i];
	}
	if (!found)
		sim_violation(sim_host_current(), "hypercall buffer %p is freed and is none",
			      start);
	else if (pages && pages * SIM_PAGE_OCTETS != found->octets)
		sim_violation(sim_host_current(),
			      "hypercall buffer of %zu octets freed as %zu pages", found->octets,
			      pages);
	if (found)
		release(found);
	pthread_mutex_unlock(&buffers_lock);
}

bool sim_buffer_covers(uint64_t address, size_t octets)
{
	bool covers = false;

	pthread_mutex_lock(&buffers_lock);
	for (unsigned i = 0; i < buffers_end && !covers; i++) {
		uint64_t start = (uint64_t)(uintptr_t)buffers[i].start;

		covers = buffers[i].octets && !buffers[i].spare && address >= start &&
			 octets <= buffers[i].octets &&
			 address - start <= buffers[i].octets - octets;
	}
	pthread_mutex_unlock(&buffers_lock);
	return covers;
}

size_t sim_buffers_live(void)
{
	size_t live = 0;

	for (unsigned i = 0; i < buffers_end; i++)
		live += buffers[i].octets && !buffers[i].spare;
	return live;
}

void *xencall_alloc_buffer_pages(xencall_handle *xcall, size_t nr_pages)
{
	(void)xcall;
	return buffer_alloc(nr_pages * SIM_PAGE_OCTETS);
}

void xencall_free_buffer_pages(xencall_handle *xcall, void *p, size_t nr_pages)
{
	(void)xcall;
	buffer_free(p, nr_pages);
}

void *xencall_alloc_buffer(xencall_handle *xcall, size_t size)
{
	(void)xcall;
	return buffer_alloc(size);
}

void xencall_free_buffer(xencall_handle *xcall, void *p)
{
	(void)xcall;
	buffer_free(p, 0);
}

int xencall_buffers_never_fault(xencall_handle *xcall)
{
	(void)xcall;
	return 1;
}
