/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * $XENSIM_HOOK: a shell command that runs between two hypercalls of a helper, so that a test can
 * change the guest at an exact moment of a save. The kinds are those of kind_of_domctl() and
 * sim_hook_kind().
 */
#include "hypercall.h"

#include <stdlib.h>
#include <string.h>

#define MOST_HOOKS      8u
#define COMMAND_OCTETS  8192u
#define WITHOUT_PRELOAD "exec </dev/null >&2; unset LD_PRELOAD XENSIM_HOOK XENSIM_FAIL; "

static struct hook {
	char kind[32];
	uint64_t nth, seen;
	const char *command; /* up to the end of its line */
	size_t length;
} hooks[MOST_HOOKS];
static unsigned nr_hooks;

/* Once for all: what the variable says. */
static bool any_hooks(void)
{
	static bool parsed;
	const char *line = getenv("XENSIM_HOOK");

	if (parsed)
		return nr_hooks > 0;
	parsed = true;
	while (line && nr_hooks < MOST_HOOKS) {
		struct hook *hook = &hooks[nr_hooks];
		const char *end = strchr(line, '\n');
		int start = 0;
		unsigned long long nth;

		if (sscanf(line, "%31[a-z_0-9]:%llu:%n", hook->kind, &nth, &start) == 2 && start) {
			hook->nth = nth;
			hook->command = line + start;
			hook->length = end ? (size_t)(end - hook->command) : strlen(hook->command);
			nr_hooks++;
		} else {
			fprintf(stderr, "xensim: XENSIM_HOOK is not kind:N:command: %s\n", line);
		}
		line = end ? end + 1 : NULL;
	}
	return nr_hooks > 0;
}

static const char *kind_of_domctl(const struct xen_domctl *domctl)
{
	switch (domctl->cmd) {
	case XEN_DOMCTL_getpageframeinfo3:
		return "getpageframeinfo3";
	case XEN_DOMCTL_getdomaininfo:
		return "getdomaininfo";
	case XEN_DOMCTL_gethvmcontext:
		return "gethvmcontext";
	case XEN_DOMCTL_getvcpucontext:
		return "getvcpucontext";
	case XEN_DOMCTL_gettscinfo:
		return "gettscinfo";
	case XEN_DOMCTL_shadow_op:
		switch (domctl->u.shadow_op.op) {
		case XEN_DOMCTL_SHADOW_OP_CLEAN:
			return "clean";
		case XEN_DOMCTL_SHADOW_OP_OFF:
			return "off";
		default:
			return "enable";
		}
	default:
		return "domctl";
	}
}

const char *sim_hook_kind(unsigned number, const uint64_t args[5])
{
	if (!any_hooks())
		return NULL;
	switch (number) {
	case __HYPERVISOR_domctl:
		return sim_buffer_covers(args[0], sizeof(struct xen_domctl))
			       ? kind_of_domctl((const struct xen_domctl *)(uintptr_t)args[0])
			       : NULL;
	case __HYPERVISOR_memory_op:
		return "memory_op";
	case __HYPERVISOR_multicall:
		return "multicall"; /* libxenctrl asks for the highest gfn in one */
	case __HYPERVISOR_hvm_op:
		return "hvm_op";
	default:
		return NULL;
	}
}

static void run(struct sim_host *host, const struct hook *hook)
{
	char command[COMMAND_OCTETS];
	int rc;

	snprintf(command, sizeof(command), WITHOUT_PRELOAD "%.*s", (int)hook->length,
		 hook->command);
	rc = system(command);
	if (rc)
		sim_violation(host, "the hook %.*s ended with %#x", (int)hook->length,
			      hook->command, (unsigned)rc);
	__atomic_add_fetch(&host->state->counters.hooks_run, 1, __ATOMIC_RELAXED);
}

void sim_hook_after(struct sim_host *host, const char *kind)
{
	if (!kind || !any_hooks())
		return;
	for (unsigned i = 0; i < nr_hooks; i++) {
		if (!strcmp(hooks[i].kind, kind) && ++hooks[i].seen == hooks[i].nth)
			run(host, &hooks[i]);
	}
}
