/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libxenforeignmemory's entry points. A mapping of n gfns is a reservation, and in it one
 * MAP_SHARED piece of the host's memory for each run of neighbouring frames; behind it lies a
 * page that faults. As the privcmd driver fills page tables at once, so does MAP_POPULATE here,
 * unless $XENSIM_LAZY is set.
 */
#include "hypercall.h"
#include "pv.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xenforeignmemory.h>
#include <xen/memory.h>

#define MAX_MAPPINGS 4096u

struct xenforeignmemory_handle {
	struct sim_host *host;
};

struct xenforeignmemory_resource_handle {
	void *address;
	size_t pages;
};

static struct mapping {
	uint8_t *start;
	size_t pages;    /* 0: free slot */
	xen_pfn_t *mfns; /* of a writable mapping of a PV domain */
} mappings[MAX_MAPPINGS];
static pthread_mutex_t mappings_lock = PTHREAD_MUTEX_INITIALIZER;

/* libxenctrl ends some mappings by munmap() alone, as is good enough for privcmd's. */
static void drop_unmapped(void)
{
	for (unsigned i = 0; i < MAX_MAPPINGS; i++) {
		struct mapping *mapping = &mappings[i];

		if (mapping->pages == 0 || msync(mapping->start, SIM_PAGE_OCTETS, MS_ASYNC) == 0)
			continue;
		munmap(mapping->start + mapping->pages * SIM_PAGE_OCTETS, SIM_PAGE_OCTETS);
		free(mapping->mfns);
		*mapping = (struct mapping){.pages = 0};
	}
}

static bool remember_in_slot(const struct mapping *mapping)
{
	for (unsigned i = 0; i < MAX_MAPPINGS; i++) {
		/* The same address again: the old mapping went by munmap(). */
		if (mappings[i].pages && mappings[i].start != mapping->start)
			continue;
		free(mappings[i].mfns);
		mappings[i] = *mapping;
		return true;
	}
	return false;
}

/* `mfns`, if not NULL, goes with the mapping. */
static int remember(struct sim_host *host, uint8_t *start, size_t pages, xen_pfn_t *mfns)
{
	const struct mapping mapping = {.start = start, .pages = pages, .mfns = mfns};
	int rc = 0;

	pthread_mutex_lock(&mappings_lock);
	if (!remember_in_slot(&mapping)) {
		drop_unmapped();
		rc = remember_in_slot(&mapping) ? 0 : -ENOMEM;
	}
	pthread_mutex_unlock(&mappings_lock);
	if (rc == 0) {
		__atomic_add_fetch(&host->state->counters.maps, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&host->state->counters.pages_mapped, pages, __ATOMIC_RELAXED);
	}
	return rc;
}

static int forget(struct sim_host *host, const uint8_t *start, size_t pages)
{
	int rc = -EINVAL;

	pthread_mutex_lock(&mappings_lock);
	for (unsigned i = 0; i < MAX_MAPPINGS && rc; i++) {
		if (mappings[i].pages != pages || mappings[i].start != start)
			continue;
		free(mappings[i].mfns);
		mappings[i] = (struct mapping){.pages = 0};
		rc = 0;
	}
	pthread_mutex_unlock(&mappings_lock);
	if (rc) {
		sim_violation(host, "unmapping %zu pages at %p, which is no mapping", pages,
			      (const void *)start);
		return rc;
	}
	__atomic_add_fetch(&host->state->counters.unmaps, 1, __ATOMIC_RELAXED);
	return 0;
}

/* A guarded reservation of so many pages, or NULL with errno. */
static uint8_t *reserve(size_t pages)
{
	void *start = mmap(NULL, (pages + 1) * SIM_PAGE_OCTETS, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return start == MAP_FAILED ? NULL : start;
}

static int map_run(const struct sim_host *host, uint8_t *address, uint64_t mfn, size_t pages,
		   int prot)
{
	static int populate = -1;

	if (populate < 0)
		populate = getenv("XENSIM_LAZY") ? 0 : MAP_POPULATE;
	if (mmap(address, pages * SIM_PAGE_OCTETS, prot, MAP_SHARED | MAP_FIXED | populate,
		 host->memory_fd, (off_t)(mfn * SIM_PAGE_OCTETS)) == MAP_FAILED)
		return -errno;
	return 0;
}

/* The frame behind what the caller names, or SIM_NO_FRAME. A PV domain's frames go by number. */
static uint64_t frame_of(struct sim_domain *domain, uint64_t gfn, int prot)
{
	if (domain->state->type == SIM_HVM)
		return sim_p2m_frame(domain, gfn);
	return sim_type_mappable(domain, gfn, prot & PROT_WRITE) ? gfn : SIM_NO_FRAME;
}

/*
 * Map the gfns into the reservation, setting err[] of each. Returns 0 or -errno of the map call
 * itself.
 */
static int map_gfns(struct sim_domain *domain, uint8_t *start, int prot, size_t pages,
		    const xen_pfn_t *gfns, int *err)
{
	uint64_t run_mfn = 0;
	size_t run = 0;

	for (size_t i = 0; i <= pages; i++) {
		uint64_t mfn = i < pages ? frame_of(domain, gfns[i], prot) : SIM_NO_FRAME;

		if (i < pages)
			err[i] = mfn == SIM_NO_FRAME ? -EINVAL : 0;
		if (run && mfn == run_mfn + run) {
			run++;
			continue;
		}
		if (run) {
			int rc = map_run(domain->host, start + (i - run) * SIM_PAGE_OCTETS, run_mfn,
					 run, prot);

			if (rc)
				return rc;
		}
		run_mfn = mfn;
		run = mfn == SIM_NO_FRAME ? 0 : 1;
	}
	return 0;
}

/* Of Xen's own memory only the M2P can be had, to read. It is large: no page before it is read. */
static int map_m2p(const struct sim_host *host, uint8_t *start, int prot, size_t pages,
		   const xen_pfn_t *frames, int *err)
{
	for (size_t i = 0; i < pages; i++) {
		uint64_t page = prot & PROT_WRITE ? SIM_NO_FRAME : sim_m2p_page(host, frames[i]);

		err[i] = page == SIM_NO_FRAME ? -EINVAL : 0;
		if (err[i] == 0 &&
		    mmap(start + i * SIM_PAGE_OCTETS, SIM_PAGE_OCTETS, prot, MAP_SHARED | MAP_FIXED,
			 host->m2p_fd, (off_t)(page * SIM_PAGE_OCTETS)) == MAP_FAILED)
			return -errno;
	}
	return 0;
}

static xen_pfn_t *copy_list(const xen_pfn_t *list, size_t count)
{
	xen_pfn_t *copy = malloc(count * sizeof(*copy));

	if (copy)
		memcpy(copy, list, count * sizeof(*copy));
	return copy;
}

static void *map_domain(struct sim_host *host, uint32_t domid, int prot, size_t pages,
			const xen_pfn_t *gfns, int *err)
{
	xen_pfn_t *mfns = NULL;
	struct sim_domain *domain;
	uint8_t *start = reserve(pages);
	int rc = -ESRCH;

	if (!start)
		return NULL;
	sim_lock(host);
	domain = sim_domain_get(host, domid);
	if (domid == DOMID_XEN)
		rc = map_m2p(host, start, prot, pages, gfns, err);
	else if (domain)
		rc = map_gfns(domain, start, prot, pages, gfns, err);
	sim_unlock(host);
	if (rc == 0 && domain && domain->state->type == SIM_PV && prot & PROT_WRITE) {
		mfns = copy_list(gfns, pages);
		rc = mfns ? 0 : -ENOMEM;
	}
	if (rc == 0)
		rc = remember(host, start, pages, mfns);
	if (rc == 0)
		return start;
	free(mfns);
	munmap(start, (pages + 1) * SIM_PAGE_OCTETS);
	errno = -rc;
	return NULL;
}

void *xenforeignmemory_map2(xenforeignmemory_handle *fmem, uint32_t dom, void *addr, int prot,
			    int flags, size_t pages, const xen_pfn_t arr[], int err[])
{
	int fault = sim_fault_due(fmem->host, SIM_FAULT_MAP);
	int *errors = err;
	void *start;
	int failed = 0;

	if (fault || addr || flags || pages == 0) {
		if (!fault)
			sim_violation(fmem->host, "a mapping of %zu pages with flags %d", pages,
				      flags);
		errno = fault ? fault : EINVAL;
		return NULL;
	}
	if (!errors) {
		errors = calloc(pages, sizeof(*errors));
		if (!errors)
			return NULL;
	}
	start = map_domain(fmem->host, dom, prot, pages, arr, errors);
	for (size_t i = 0; start && !err && i < pages && !failed; i++)
		failed = -errors[i];
	if (!err)
		free(errors);
	if (failed) {
		xenforeignmemory_unmap(fmem, start, pages);
		errno = failed;
		return NULL;
	}
	if (start)
		sim_hook_after(fmem->host, "map");
	return start;
}

void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom, int prot, size_t pages,
			   const xen_pfn_t arr[], int err[])
{
	return xenforeignmemory_map2(fmem, dom, NULL, prot, 0, pages, arr, err);
}

int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr, size_t pages)
{
	int rc = forget(fmem->host, addr, pages);

	if (rc) {
		errno = -rc;
		return -1;
	}
	return munmap(addr, (pages + 1) * SIM_PAGE_OCTETS);
}

/* The grant table is the one resource a save or restore maps. */
static int map_grant_table(struct sim_host *host, domid_t domid, uint8_t *start, size_t pages,
			   unsigned long first, int prot)
{
	struct sim_domain *domain = sim_domain_get(host, domid);

	if (!domain)
		return -ESRCH;
	if (first >= SIM_GRANT_FRAMES || pages > SIM_GRANT_FRAMES - first)
		return -EINVAL;
	for (size_t i = 0; i < pages; i++) {
		int rc = map_run(host, start + i * SIM_PAGE_OCTETS,
				 domain->state->grant_frames[first + i], 1, prot);

		if (rc)
			return rc;
	}
	return 0;
}

xenforeignmemory_resource_handle *xenforeignmemory_map_resource(
	xenforeignmemory_handle *fmem, domid_t domid, unsigned int type, unsigned int id,
	unsigned long frame, unsigned long nr_frames, void **paddr, int prot, int flags)
{
	struct sim_host *host = fmem->host;
	xenforeignmemory_resource_handle *resource;
	int rc = sim_fault_due(host, SIM_FAULT_MAP);

	if (host->state->no_resource)
		rc = EOPNOTSUPP;
	else if (!rc && (*paddr || flags || nr_frames == 0 || type != XENMEM_resource_grant_table ||
			 id != XENMEM_resource_grant_table_id_shared))
		rc = EINVAL;
	if (rc) {
		errno = rc;
		return NULL;
	}
	resource = calloc(1, sizeof(*resource));
	if (!resource)
		return NULL;
	resource->pages = nr_frames;
	resource->address = reserve(nr_frames);
	if (!resource->address)
		goto fail;
	sim_lock(host);
	rc = map_grant_table(host, domid, resource->address, nr_frames, frame, prot);
	sim_unlock(host);
	if (rc == 0)
		rc = remember(host, resource->address, nr_frames, NULL);
	if (rc == 0) {
		*paddr = resource->address;
		return resource;
	}
	munmap(resource->address, (nr_frames + 1) * SIM_PAGE_OCTETS);
	errno = -rc;
fail:
	free(resource);
	return NULL;
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *fmem,
				    xenforeignmemory_resource_handle *fres)
{
	int rc;

	if (!fres)
		return 0;
	rc = xenforeignmemory_unmap(fmem, fres->address, fres->pages);
	free(fres);
	return rc;
}

int xenforeignmemory_resource_size(xenforeignmemory_handle *fmem, domid_t domid, unsigned int type,
				   unsigned int id, size_t *size)
{
	(void)domid;
	if (fmem->host->state->no_resource || type != XENMEM_resource_grant_table ||
	    id != XENMEM_resource_grant_table_id_shared) {
		errno = EOPNOTSUPP;
		return -1;
	}
	*size = SIM_GRANT_FRAMES * SIM_PAGE_OCTETS;
	return 0;
}

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *logger,
					       unsigned open_flags)
{
	struct sim_host *host = sim_host_current();
	xenforeignmemory_handle *handle;

	(void)logger;
	(void)open_flags;
	if (!host)
		return NULL;
	handle = malloc(sizeof(*handle));
	if (handle)
		handle->host = host;
	return handle;
}

/*
 * Does a piece of the host's memory still lie at that address? libxenctrl's own short mappings go
 * by a plain munmap(), which is none of our entry points, and something else may be there now.
 */
static bool still_mapped(FILE *maps, const struct sim_host *host, const uint8_t *start)
{
	char line[SIM_HOST_NAME_OCTETS + 256];

	rewind(maps);
	while (fgets(line, sizeof(line), maps)) {
		char *first_end, *last_end;
		uintptr_t first = strtoull(line, &first_end, 16);
		uintptr_t end = strtoull(first_end + 1, &last_end, 16);
		const char *path = strstr(line, host->dir);

		if ((uintptr_t)start >= first && (uintptr_t)start < end)
			return path && (!strcmp(path + strlen(host->dir), "/memory\n") ||
					!strcmp(path + strlen(host->dir), "/m2p\n"));
	}
	return false;
}

/* Whatever is still mapped now was forgotten by its owner. */
int xenforeignmemory_close(xenforeignmemory_handle *fmem)
{
	FILE *maps;

	if (!fmem)
		return 0;
	maps = fopen("/proc/self/maps", "re");
	pthread_mutex_lock(&mappings_lock);
	for (unsigned i = 0; maps && i < MAX_MAPPINGS; i++) {
		if (mappings[i].pages && still_mapped(maps, fmem->host, mappings[i].start))
			__atomic_add_fetch(&fmem->host->state->counters.leaked_maps, 1,
					   __ATOMIC_RELAXED);
		free(mappings[i].mfns);
		mappings[i] = (struct mapping){.pages = 0};
	}
	pthread_mutex_unlock(&mappings_lock);
	if (maps)
		fclose(maps);
	free(fmem);
	return 0;
}

/* Is the frame among those of a mapping, and still there? */
static bool maps_frame(const struct sim_host *host, const struct mapping *mapping, uint64_t mfn)
{
	bool found = false;
	FILE *maps;

	for (size_t i = 0; mapping->pages && mapping->mfns && i < mapping->pages; i++) {
		if (mapping->mfns[i] != mfn)
			continue;
		maps = fopen("/proc/self/maps", "re");
		found = maps && still_mapped(maps, host, mapping->start + i * SIM_PAGE_OCTETS);
		if (maps)
			fclose(maps);
		break;
	}
	return found;
}

bool sim_frame_mapped_writable(const struct sim_host *host, uint64_t mfn)
{
	bool found = false;

	pthread_mutex_lock(&mappings_lock);
	for (unsigned i = 0; i < MAX_MAPPINGS && !found; i++)
		found = maps_frame(host, &mappings[i], mfn);
	pthread_mutex_unlock(&mappings_lock);
	return found;
}

int xenforeignmemory_restrict(xenforeignmemory_handle *fmem, domid_t domid)
{
	(void)fmem;
	(void)domid;
	errno = EOPNOTSUPP;
	return -1;
}
