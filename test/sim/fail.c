/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hypercall.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {[SIM_FAULT_HYPERCALL] = "hypercall", [SIM_FAULT_MAP] = "map"};

int sim_fault_due(struct sim_host *host, enum sim_fault kind)
{
	static uint64_t seen[2];
	const char *order = getenv("XENSIM_FAIL");
	size_t length = strlen(kinds[kind]);
	char *end;
	uint64_t nth;
	int error;

	seen[kind]++;
	if (!order || strncmp(order, kinds[kind], length) || order[length] != ':')
		return 0;
	nth = strtoull(order + length + 1, &end, 10);
	if (nth != seen[kind])
		return 0;
	error = *end == ':' ? atoi(end + 1) : EIO;
	__atomic_add_fetch(&host->state->counters.faults_delivered, 1, __ATOMIC_RELAXED);
	return error ? error : EIO;
}
