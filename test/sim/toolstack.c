/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a toolstack does to a domain, for the driver that plays libxl (sim.py, through ctypes). */
#include "guest_pv.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include <xen/sched.h>

#define SUSPEND_SECONDS 10

int sim_toolstack_suspend(struct sim_domain *domain)
{
	struct sim_domain_state *state = domain->state;

	if (state->shutdown)
		return -EINVAL;
	__atomic_store_n(&state->suspend_requested, true, __ATOMIC_SEQ_CST);
	for (unsigned tries = 0; __atomic_load_n(&state->runners, __ATOMIC_SEQ_CST); tries++) {
		if (tries > SUSPEND_SECONDS * 10000)
			return -ETIMEDOUT;
		nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
	}
	sim_lock(domain->host);
	if (state->type == SIM_PV)
		sim_guest_pv_suspend(domain);
	state->shutdown = true;
	state->shutdown_reason = SHUTDOWN_suspend;
	state->suspend_requested = false;
	sim_unlock(domain->host);
	return 0;
}

int sim_toolstack_resume(struct sim_domain *domain)
{
	if (!domain->state->shutdown)
		return -EINVAL;
	sim_lock(domain->host);
	domain->state->shutdown = false;
	domain->state->shutdown_reason = 0;
	if (domain->state->type == SIM_PV)
		sim_guest_pv_resume(domain);
	sim_unlock(domain->host);
	return 0;
}

static struct sim_domain *find(const char *dir, uint32_t domid)
{
	struct sim_host *host = sim_host_open(dir);

	return host ? sim_domain_get(host, domid) : NULL;
}

int xensim_suspend(const char *dir, uint32_t domid)
{
	struct sim_domain *domain = find(dir, domid);

	return domain ? sim_toolstack_suspend(domain) : -ESRCH;
}

int xensim_resume(const char *dir, uint32_t domid)
{
	struct sim_domain *domain = find(dir, domid);

	return domain ? sim_toolstack_resume(domain) : -ESRCH;
}
