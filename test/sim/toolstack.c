/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a toolstack does to a domain, for the driver that plays libxl (sim.py, through ctypes). */
#include "guest_pv.h"

#include <errno.h>
#include <string.h>

#include <xen/sched.h>

int sim_toolstack_suspend(struct sim_domain *domain)
{
	struct sim_domain_state *state = domain->state;
	int rc;

	if (state->shutdown)
		return -EINVAL;
	__atomic_store_n(&state->suspend_requested, true, __ATOMIC_SEQ_CST);
	rc = sim_guest_wait(domain);
	if (rc)
		return rc;
	sim_lock(domain->host);
	if (state->type == SIM_PV)
		sim_guest_pv_suspend(domain);
	state->shutdown_reason = SHUTDOWN_suspend;
	/* In this order: a program that waits must not see a moment without either. */
	__atomic_store_n(&state->shutdown, true, __ATOMIC_SEQ_CST);
	__atomic_store_n(&state->suspend_requested, false, __ATOMIC_SEQ_CST);
	sim_unlock(domain->host);
	return 0;
}

int sim_toolstack_resume(struct sim_domain *domain)
{
	if (!domain->state->shutdown)
		return -EINVAL;
	sim_lock(domain->host);
	domain->state->shutdown_reason = 0;
	if (domain->state->type == SIM_PV)
		sim_guest_pv_resume(domain);
	__atomic_store_n(&domain->state->shutdown, false, __ATOMIC_SEQ_CST);
	sim_unlock(domain->host);
	return 0;
}

int sim_toolstack_pause(struct sim_domain *domain)
{
	__atomic_store_n(&domain->state->paused, true, __ATOMIC_SEQ_CST);
	return sim_guest_wait(domain);
}

int sim_toolstack_unpause(struct sim_domain *domain)
{
	__atomic_store_n(&domain->state->paused, false, __ATOMIC_SEQ_CST);
	return 0;
}

int sim_toolstack_log_dirty(struct sim_domain *domain)
{
	struct xen_domctl_shadow_op op = {.op = XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY};
	int rc;

	sim_lock(domain->host);
	rc = sim_log_dirty_op(domain, &op, NULL);
	sim_unlock(domain->host);
	return rc;
}

/* A driver has a thread for each side of a migration. */
static pthread_mutex_t finding = PTHREAD_MUTEX_INITIALIZER;

static struct sim_domain *find(const char *dir, uint32_t domid)
{
	struct sim_domain *domain;
	struct sim_host *host;

	pthread_mutex_lock(&finding);
	host = sim_host_open(dir);
	domain = host ? sim_domain_get(host, domid) : NULL;
	pthread_mutex_unlock(&finding);
	return domain;
}

static int act(const char *dir, uint32_t domid, int (*action)(struct sim_domain *domain))
{
	struct sim_domain *domain = find(dir, domid);

	return domain ? action(domain) : -ESRCH;
}

int xensim_suspend(const char *dir, uint32_t domid)
{
	return act(dir, domid, sim_toolstack_suspend);
}

int xensim_resume(const char *dir, uint32_t domid)
{
	return act(dir, domid, sim_toolstack_resume);
}

int xensim_pause(const char *dir, uint32_t domid)
{
	return act(dir, domid, sim_toolstack_pause);
}

int xensim_unpause(const char *dir, uint32_t domid)
{
	return act(dir, domid, sim_toolstack_unpause);
}

int xensim_log_dirty(const char *dir, uint32_t domid)
{
	return act(dir, domid, sim_toolstack_log_dirty);
}

void xensim_forget(const char *dir)
{
	pthread_mutex_lock(&finding);
	sim_host_close(dir);
	pthread_mutex_unlock(&finding);
}
