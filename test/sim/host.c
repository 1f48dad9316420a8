/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t used_octets(uint64_t frames)
{
	return sim_page_align((frames + 63) / 64 * sizeof(uint64_t));
}

static size_t host_octets(uint64_t frames)
{
	return sim_page_align(sizeof(struct sim_host_state)) + used_octets(frames) +
	       frames * sizeof(struct sim_frame);
}

void *sim_file_map(const struct sim_host *host, const char *name, size_t octets, bool create,
		   int *fd)
{
	char path[SIM_HOST_NAME_OCTETS + 32];
	void *map;
	int file;

	snprintf(path, sizeof(path), "%s/%s", host->dir, name);
	file = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT | O_EXCL : 0), 0600);
	if (file < 0)
		return NULL;
	if (create && ftruncate(file, (off_t)octets)) {
		close(file);
		return NULL;
	}
	map = mmap(NULL, octets, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
	if (fd && map != MAP_FAILED)
		*fd = file;
	else
		close(file);
	return map == MAP_FAILED ? NULL : map;
}

int sim_host_init_lock(struct sim_host *host)
{
	pthread_mutexattr_t attr;
	int rc = pthread_mutexattr_init(&attr);

	if (rc)
		return -rc;
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	rc = pthread_mutex_init(&host->state->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	return -rc;
}

static int map_all(struct sim_host *host, uint64_t frames, bool create)
{
	size_t state_octets = sim_page_align(sizeof(struct sim_host_state));
	uint8_t *base = sim_file_map(host, "host", host_octets(frames), create, NULL);

	if (!base)
		return -errno;
	host->state = (struct sim_host_state *)base;
	host->used = (uint64_t *)(base + state_octets);
	host->frames = (struct sim_frame *)(base + state_octets + used_octets(frames));
	host->m2p = sim_file_map(host, "m2p", sim_m2p_octets(frames), create, &host->m2p_fd);
	host->memory = host->m2p ? sim_file_map(host, "memory", frames * SIM_PAGE_OCTETS, create,
						&host->memory_fd)
				 : NULL;
	return host->memory ? 0 : -errno;
}

int sim_host_create(const char *dir, const struct sim_host_options *options)
{
	struct sim_host host = {.memory_fd = -1, .m2p_fd = -1};
	struct sim_host_state *state;
	int rc;

	snprintf(host.dir, sizeof(host.dir), "%s", dir);
	rc = map_all(&host, options->frames, true);
	if (rc)
		return rc;
	state = host.state;
	state->xen_major = options->xen_major;
	state->xen_minor = options->xen_minor;
	/* xen/domctl.h and xen/sysctl.h of Debian's Xen 4.17 and 4.20 */
	state->domctl_version = options->xen_minor >= 19 ? 0x17 : 0x15;
	state->sysctl_version = 0x15;
	state->nr_frames = options->frames;
	state->free_frames = options->frames - 1;
	state->next_free = options->first_frame < options->frames ? options->first_frame : 0;
	state->next_domid = 1;
	state->scatter = options->scatter;
	state->no_resource = options->no_resource;
	state->resident = options->resident;
	if (state->resident)
		memset(host.memory, 0, options->frames * SIM_PAGE_OCTETS);
	state->refuse_order_above =
		options->refuse_order_above ? options->refuse_order_above : SIM_MAX_ORDER;
	host.used[0] = 1; /* frame 0 is nobody's, so that a forgotten 0 is noticed */
	host.frames[0].owner = SIM_NO_OWNER;
	rc = sim_host_init_lock(&host);
	state->magic = SIM_MAGIC;
	return rc;
}

static struct sim_host *opened; /* a process that uses two hosts uses them again */

struct sim_host *sim_host_open(const char *dir)
{
	struct sim_host *host = opened;
	struct sim_host_state *state;
	uint64_t frames;
	int rc;

	while (host && strcmp(host->dir, dir))
		host = host->next;
	if (host)
		return host;
	host = calloc(1, sizeof(*host));
	if (!host)
		return NULL;
	snprintf(host->dir, sizeof(host->dir), "%s", dir);
	state = sim_file_map(host, "host", sim_page_align(sizeof(*state)), false, NULL);
	if (!state)
		goto fail;
	frames = state->nr_frames;
	errno = EPROTO;
	if (state->magic != SIM_MAGIC)
		goto fail;
	munmap(state, sim_page_align(sizeof(*state)));
	rc = map_all(host, frames, false);
	if (rc == 0) {
		host->next = opened;
		opened = host;
		return host;
	}
	errno = -rc;
fail:
	free(host);
	return NULL;
}

void sim_host_close(const char *dir)
{
	struct sim_host **link = &opened;
	struct sim_host *host;
	uint64_t frames;

	while (*link && strcmp((*link)->dir, dir))
		link = &(*link)->next;
	host = *link;
	if (!host)
		return;
	*link = host->next;
	for (unsigned domid = 0; domid < SIM_MAX_DOMAINS; domid++)
		sim_domain_unmap(host, domid);
	frames = host->state->nr_frames;
	munmap(host->memory, frames * SIM_PAGE_OCTETS);
	munmap(host->m2p, sim_m2p_octets(frames));
	munmap(host->state, host_octets(frames));
	close(host->memory_fd);
	close(host->m2p_fd);
	free(host);
}

struct sim_host *sim_host_current(void)
{
	static struct sim_host *current;

	if (!current) {
		const char *dir = getenv("XENSIM_HOST");

		if (!dir) {
			fprintf(stderr, "xensim: XENSIM_HOST does not name a host's folder\n");
			errno = ENODEV;
			return NULL;
		}
		current = sim_host_open(dir);
	}
	return current;
}

void sim_lock(struct sim_host *host)
{
	if (pthread_mutex_lock(&host->state->lock) == EOWNERDEAD)
		pthread_mutex_consistent(&host->state->lock);
}

void sim_unlock(struct sim_host *host)
{
	pthread_mutex_unlock(&host->state->lock);
}

void sim_violation(struct sim_host *host, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "xensim: violation: %s\n", text);
	__atomic_add_fetch(&host->state->counters.violations, 1, __ATOMIC_RELAXED);
}
