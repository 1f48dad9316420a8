/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xensim: make a simulated host, build, run, check and compare guests on it.
 * Exit code 0: done, or as it should be; 1: a difference, named on stdout; 2: wrong use or an
 * error, named on stderr.
 */
#include "guest.h"
#include "pv.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xenforeignmemory.h>

#define MOVE_BATCH 1024u

static const char usage[] =
	"usage: xensim host DIR [--frames N] [--xen 4.17|4.20] [--scatter] [--no-resource]\n"
	"                       [--refuse-order N] [--resident] [--first-frame N]\n"
	"                                            make a host in an empty folder\n"
	"       xensim build DIR [--type pvh|hvm|pv64|pv32] [--memory MIB] [--pages N] [--seed N]\n"
	"                       [--vcpus N] [--ballooned PERMIL] [--plain PERMIL]\n"
	"                       [--p2m linear|tree] [--p2m-slack PAGES] [--vram-tracked]\n"
	"                       [--sparse-top GFN]   a page far beyond the others (hvm, pvh)\n"
	"                                            build a guest, print its domid\n"
	"       xensim new DIR [--type hvm|pv] [--memory MIB] [--pages N] [--vcpus N]\n"
	"                                            an empty domain to restore into\n"
	"       xensim check DIR DOMID               is the guest as it was built?\n"
	"       xensim compare DIR DOMID DIR DOMID   is the second what the first was?\n"
	"       xensim snapshot DIR DIR              copy a host as it is now into an empty "
	"folder\n"
	"       xensim run DIR DOMID [--rate N] [--working-set PAGES] [--stride PAGES]\n"
	"                       [--seconds S] [--through-suspends]\n"
	"                                            write to its pages, print how many\n"
	"       xensim write DIR DOMID PFNS          one write to each: 0x10,0x20-0x2f;\n"
	"                                            a suspended guest writes nothing\n"
	"       xensim balloon DIR DOMID out|in PFNS give pages back to Xen, or get some\n"
	"       xensim move DIR DOMID in|out         copy the guest's pages from stdin or to "
	"stdout\n"
	"                                            by a bare loop: what no engine can be faster "
	"than\n"
	"       xensim frame DIR DOMID PFN           what is at a pfn, as JSON\n"
	"       xensim peek DIR DOMID WHAT OFFSET    8 octets of a page, as poke names it\n"
	"       xensim poke DIR DOMID WHAT OFFSET WORD [--dirty]\n"
	"                                            change 8 octets of the page at a pfn, of "
	"\"shared\",\n"
	"                                            the shared info, or of \"vcpuN\", a PV "
	"context;\n"
	"                                            --dirty: as the guest, so that it is logged\n"
	"       xensim dirty DIR DOMID [--clean]     the gfns that the log-dirty bitmap has, as "
	"JSON\n"
	"       xensim pin DIR DOMID PFN LEVEL       pin a page table; level 0: unpin it\n"
	"       xensim show DIR DOMID                the domain's state, as JSON\n"
	"       xensim stats DIR                     what was counted so far, as JSON\n"
	"       xensim destroy DIR DOMID\n";

struct options {
	struct sim_host_options host;
	struct sim_guest guest;
	struct sim_run_options run;
	enum sim_domain_type type;
	bool vram_tracked, dirty, clean;
	uint64_t memory;
};

enum option_id {
	OPT_FRAMES = 1,
	OPT_XEN,
	OPT_SCATTER,
	OPT_NO_RESOURCE,
	OPT_RESIDENT,
	OPT_FIRST_FRAME,
	OPT_REFUSE_ORDER,
	OPT_TYPE,
	OPT_MEMORY,
	OPT_PAGES,
	OPT_SEED,
	OPT_VCPUS,
	OPT_BALLOONED,
	OPT_PLAIN,
	OPT_P2M,
	OPT_P2M_SLACK,
	OPT_VRAM_TRACKED,
	OPT_SPARSE_TOP,
	OPT_STRIDE,
	OPT_THROUGH_SUSPENDS,
	OPT_DIRTY,
	OPT_CLEAN,
	OPT_RATE,
	OPT_WORKING_SET,
	OPT_SECONDS,
};

static const struct option long_options[] = {
	{"frames", required_argument, NULL, OPT_FRAMES},
	{"xen", required_argument, NULL, OPT_XEN},
	{"scatter", no_argument, NULL, OPT_SCATTER},
	{"no-resource", no_argument, NULL, OPT_NO_RESOURCE},
	{"resident", no_argument, NULL, OPT_RESIDENT},
	{"first-frame", required_argument, NULL, OPT_FIRST_FRAME},
	{"refuse-order", required_argument, NULL, OPT_REFUSE_ORDER},
	{"type", required_argument, NULL, OPT_TYPE},
	{"memory", required_argument, NULL, OPT_MEMORY},
	{"pages", required_argument, NULL, OPT_PAGES},
	{"seed", required_argument, NULL, OPT_SEED},
	{"vcpus", required_argument, NULL, OPT_VCPUS},
	{"ballooned", required_argument, NULL, OPT_BALLOONED},
	{"plain", required_argument, NULL, OPT_PLAIN},
	{"p2m", required_argument, NULL, OPT_P2M},
	{"p2m-slack", required_argument, NULL, OPT_P2M_SLACK},
	{"vram-tracked", no_argument, NULL, OPT_VRAM_TRACKED},
	{"sparse-top", required_argument, NULL, OPT_SPARSE_TOP},
	{"stride", required_argument, NULL, OPT_STRIDE},
	{"through-suspends", no_argument, NULL, OPT_THROUGH_SUSPENDS},
	{"dirty", no_argument, NULL, OPT_DIRTY},
	{"clean", no_argument, NULL, OPT_CLEAN},
	{"rate", required_argument, NULL, OPT_RATE},
	{"working-set", required_argument, NULL, OPT_WORKING_SET},
	{"seconds", required_argument, NULL, OPT_SECONDS},
	{NULL, 0, NULL, 0},
};

static int fail(const char *what, int error)
{
	fprintf(stderr, "xensim: %s: %s\n", what, strerror(error < 0 ? -error : error));
	return 2;
}

static bool parse_type(struct options *o, const char *text)
{
	static const struct {
		const char *name;
		enum sim_domain_type type;
		enum sim_guest_kind kind;
	} types[] = {
		{"pvh", SIM_HVM, SIM_GUEST_PVH},  {"hvm", SIM_HVM, SIM_GUEST_HVM},
		{"pv64", SIM_PV, SIM_GUEST_PV64}, {"pv32", SIM_PV, SIM_GUEST_PV32},
		{"pv", SIM_PV, SIM_GUEST_NONE},
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcmp(types[i].name, text))
			continue;
		o->type = types[i].type;
		o->guest.kind = types[i].kind;
		return true;
	}
	return false;
}

static bool parse_p2m(struct options *o, const char *text)
{
	o->guest.p2m = strcmp(text, "tree") ? SIM_P2M_LINEAR : SIM_P2M_TREE;
	return o->guest.p2m == SIM_P2M_TREE || !strcmp(text, "linear");
}

static bool parse_option(struct options *o, int option)
{
	uint64_t number = optarg ? strtoull(optarg, NULL, 0) : 0;

	switch (option) {
	case OPT_FRAMES:
		o->host.frames = number;
		return number > 1;
	case OPT_XEN:
		return sscanf(optarg, "%u.%u", &o->host.xen_major, &o->host.xen_minor) == 2;
	case OPT_SCATTER:
		o->host.scatter = true;
		return true;
	case OPT_NO_RESOURCE:
		o->host.no_resource = true;
		return true;
	case OPT_RESIDENT:
		o->host.resident = true;
		return true;
	case OPT_FIRST_FRAME:
		o->host.first_frame = number;
		return true;
	case OPT_REFUSE_ORDER:
		o->host.refuse_order_above = (uint32_t)number;
		return true;
	case OPT_TYPE:
		return parse_type(o, optarg);
	case OPT_MEMORY:
		o->guest.pages = number << (20 - SIM_PAGE_SHIFT);
		return number > 0;
	case OPT_PAGES:
		o->guest.pages = number;
		return number > 0;
	case OPT_SEED:
		o->guest.seed = number;
		return true;
	case OPT_VCPUS:
		o->guest.vcpus = (uint32_t)number;
		return true;
	case OPT_BALLOONED:
		o->guest.ballooned_permil = (uint32_t)number;
		return number < 1000;
	case OPT_PLAIN:
		o->guest.plain_permil = (uint32_t)number;
		return number <= 1000;
	case OPT_P2M:
		return parse_p2m(o, optarg);
	case OPT_P2M_SLACK:
		o->guest.p2m_slack = number;
		return true;
	case OPT_VRAM_TRACKED:
		o->vram_tracked = true;
		return true;
	case OPT_SPARSE_TOP:
		o->guest.sparse_top = number;
		return number < SIM_GFN_LIMIT;
	case OPT_STRIDE:
		o->run.stride = number;
		return number > 0;
	case OPT_THROUGH_SUSPENDS:
		o->run.through_suspends = true;
		return true;
	case OPT_DIRTY:
		o->dirty = true;
		return true;
	case OPT_CLEAN:
		o->clean = true;
		return true;
	case OPT_RATE:
		o->run.pages_per_second = number;
		return true;
	case OPT_WORKING_SET:
		o->run.working_set = number;
		return number > 0;
	case OPT_SECONDS:
		o->run.seconds = strtod(optarg, NULL);
		return true;
	default:
		return false;
	}
}

/* DIR and DOMID at argv[0] and [1]. */
static struct sim_domain *find_domain(char **argv)
{
	struct sim_host *host = sim_host_open(argv[0]);
	struct sim_domain *domain = NULL;

	if (!host)
		fail(argv[0], errno);
	else
		domain = sim_domain_get(host, (uint32_t)strtoul(argv[1], NULL, 10));
	if (host && !domain)
		fail(argv[1], ESRCH);
	return domain;
}

static int command_host(const struct options *o, char **argv)
{
	int rc = sim_host_create(argv[0], &o->host);

	return rc ? fail(argv[0], rc) : 0;
}

static int command_build(const struct options *o, char **argv)
{
	struct sim_host *host = sim_host_open(argv[0]);
	int domid;

	if (!host)
		return fail(argv[0], errno);
	if (o->guest.kind == SIM_GUEST_NONE)
		return fail("build: pv64 or pv32", EINVAL);
	domid = sim_guest_build(host, &o->guest);
	if (domid < 0)
		return fail("build", domid);
	sim_domain_get(host, (uint32_t)domid)->state->vram_tracked = o->vram_tracked;
	printf("%d\n", domid);
	return 0;
}

static int command_new(const struct options *o, char **argv)
{
	struct sim_host *host = sim_host_open(argv[0]);
	struct sim_domain_options domain = {
		.type = o->type,
		.max_pages = o->guest.pages + 1024,
		.vcpus = o->guest.vcpus,
	};
	int domid;

	if (!host)
		return fail(argv[0], errno);
	domid = sim_domain_create(host, &domain);
	if (domid < 0)
		return fail("new", domid);
	printf("%d\n", domid);
	return 0;
}

static int verdict(int rc, const struct sim_difference *difference)
{
	if (rc < 0)
		return fail("check", rc);
	puts(rc ? difference->text : "same");
	return rc;
}

static int command_check(const struct options *o, char **argv)
{
	struct sim_difference difference = {""};
	struct sim_domain *domain = find_domain(argv);

	(void)o;
	return domain ? verdict(sim_guest_check(domain, &difference), &difference) : 2;
}

static int command_compare(const struct options *o, char **argv)
{
	struct sim_difference difference = {""};
	struct sim_domain *saved = find_domain(argv);
	struct sim_domain *restored = saved ? find_domain(argv + 2) : NULL;

	(void)o;
	if (!restored)
		return 2;
	return verdict(sim_guest_compare(saved, restored, &difference), &difference);
}

static int command_run(const struct options *o, char **argv)
{
	struct sim_domain *domain = find_domain(argv);
	struct sim_run_options run = o->run;
	int64_t written;

	if (!domain)
		return 2;
	if (run.working_set == 0)
		run.working_set = domain->state->guest.pages;
	if (run.working_set == 0)
		return fail("run", EINVAL);
	if (run.stride == 0)
		run.stride = 1;
	written = sim_guest_run(domain, &run);
	printf("%" PRId64 "\n", written);
	return 0;
}

static int command_snapshot(const struct options *o, char **argv)
{
	int rc = sim_host_snapshot(argv[0], argv[1]);

	(void)o;
	return rc ? fail("snapshot", rc) : 0;
}

/* Do something with each of a list of pfns, while the guest's own programs wait. */
static int for_each_pfn(struct sim_domain *domain, const char *list,
			int (*action)(struct sim_domain *domain, uint64_t pfn))
{
	int rc = sim_guest_hold(domain);
	uint64_t first, last;
	char *end;

	sim_lock(domain->host);
	for (; rc == 0 && *list; list = *end == ',' ? end + 1 : end) {
		first = last = strtoull(list, &end, 0);
		if (*end == '-')
			last = strtoull(end + 1, &end, 0);
		if (end == list || (*end && *end != ','))
			rc = -EINVAL;
		for (uint64_t pfn = first; rc == 0 && pfn <= last; pfn++)
			rc = action(domain, pfn);
	}
	sim_unlock(domain->host);
	sim_guest_release(domain);
	return rc;
}

static int write_to(struct sim_domain *domain, uint64_t pfn)
{
	if (!domain->state->shutdown)
		sim_guest_write(domain, pfn);
	return 0;
}

static int command_write(const struct options *o, char **argv)
{
	struct sim_domain *domain = find_domain(argv);
	int rc = domain ? for_each_pfn(domain, argv[2], write_to) : 0;

	(void)o;
	return rc || !domain ? fail("write", rc) : 0;
}

static int command_balloon(const struct options *o, char **argv)
{
	struct sim_domain *domain = find_domain(argv);
	bool in = !strcmp(argv[2], "in");
	int rc;

	(void)o;
	if (!domain || (!in && strcmp(argv[2], "out")))
		return fail("balloon", EINVAL);
	rc = for_each_pfn(domain, argv[3], in ? sim_balloon_in : sim_balloon_out);
	return rc ? fail("balloon", rc) : 0;
}

static uint64_t superpages(const struct sim_domain *domain)
{
	uint64_t found = 0;

	for (uint64_t gfn = sim_p2m_next(domain, 0); gfn < SIM_GFN_LIMIT;
	     gfn = sim_p2m_next(domain, gfn + 1))
		found += (sim_p2m_get(domain, gfn) >> SIM_P2M_ORDER_SHIFT & 0x1f) >= 9;
	return found;
}

static int command_show(const struct options *o, char **argv)
{
	struct sim_domain *domain = find_domain(argv);
	const struct sim_domain_state *state;

	(void)o;
	if (!domain)
		return 2;
	state = domain->state;
	printf("{\"domid\": %u, \"tot_pages\": %" PRIu64 ", \"max_pages\": %" PRIu64
	       ", \"max_gfn\": %" PRIu64 ", \"paused\": %d, \"shutdown\": %d, \"reason\": %u, "
	       "\"log_dirty\": %d, \"logged_before\": %d, \"in_superpages\": %" PRIu64
	       ", \"policy_set\": %d, \"params_set\": %" PRIu64 ", \"writes\": %" PRIu64 "}\n",
	       state->domid, state->tot_pages, state->max_pages, state->max_gfn, state->paused,
	       state->shutdown, state->shutdown_reason, state->log_dirty, state->logged_before,
	       superpages(domain), state->policy_set, state->params_set, state->writes);
	return 0;
}

static int command_stats(const struct options *o, char **argv)
{
	struct sim_host *host = sim_host_open(argv[0]);
	const struct sim_counters *c;
	uint64_t all = 0;

	(void)o;
	if (!host)
		return fail(argv[0], errno);
	c = &host->state->counters;
	for (unsigned i = 0; i < SIM_HYPERCALLS; i++)
		all += c->hypercalls[i];
	printf("{\"hypercalls\": %" PRIu64 ", \"maps\": %" PRIu64 ", \"pages_mapped\": %" PRIu64
	       ", \"unmaps\": %" PRIu64 ", \"leaked_maps\": %" PRIu64
	       ", \"leaked_buffers\": %" PRIu64 ", \"violations\": %" PRIu64
	       ", \"faults_delivered\": %" PRIu64 ", \"hooks_run\": %" PRIu64
	       ", \"free_frames\": %" PRIu64 "}\n",
	       all, c->maps, c->pages_mapped, c->unmaps, c->leaked_maps, c->leaked_buffers,
	       c->violations, c->faults_delivered, c->hooks_run, host->state->free_frames);
	return 0;
}

/* Copy n mapped pages; 0 when all of them went through. */
static int move_pages(bool in, uint8_t *pages, size_t octets)
{
	while (octets) {
		ssize_t moved = in ? read(STDIN_FILENO, pages, octets)
				   : write(STDOUT_FILENO, pages, octets);

		if (moved <= 0)
			return -1;
		pages += moved;
		octets -= (size_t)moved;
	}
	return 0;
}

static int move_batch(xenforeignmemory_handle *fmem, uint32_t domid, bool in, size_t n,
		      const xen_pfn_t *gfns)
{
	int errors[MOVE_BATCH];
	uint8_t *pages = xenforeignmemory_map(fmem, domid, PROT_READ | (in ? PROT_WRITE : 0), n,
					      gfns, errors);
	int rc;

	if (!pages)
		return -1;
	rc = move_pages(in, pages, n * SIM_PAGE_OCTETS);
	xenforeignmemory_unmap(fmem, pages, n);
	return rc;
}

static int command_move(const struct options *o, char **argv)
{
	xen_pfn_t gfns[MOVE_BATCH];
	struct sim_domain *domain = find_domain(argv);
	xenforeignmemory_handle *fmem;
	bool in = !strcmp(argv[2], "in");
	size_t n = 0;

	(void)o;
	if (!domain)
		return 2;
	setenv("XENSIM_HOST", argv[0], 1);
	fmem = xenforeignmemory_open(NULL, 0);
	if (!fmem)
		return fail("move", errno);
	for (uint64_t gfn = sim_p2m_next(domain, 0); gfn < SIM_GFN_LIMIT;
	     gfn = sim_p2m_next(domain, gfn + 1)) {
		if (sim_p2m_frame(domain, gfn) == SIM_NO_FRAME)
			continue;
		gfns[n++] = domain->state->type == SIM_PV ? sim_p2m_frame(domain, gfn) : gfn;
		if (n < MOVE_BATCH)
			continue;
		if (move_batch(fmem, domain->state->domid, in, n, gfns))
			return fail("move", errno);
		n = 0;
	}
	if (n && move_batch(fmem, domain->state->domid, in, n, gfns))
		return fail("move", errno);
	xenforeignmemory_close(fmem);
	return 0;
}

static int command_frame(const struct options *o, char **argv)
{
	struct sim_domain *domain = find_domain(argv);
	uint64_t mfn = domain ? sim_p2m_frame(domain, strtoull(argv[2], NULL, 0)) : SIM_NO_FRAME;
	const struct sim_frame *frame;

	(void)o;
	if (mfn == SIM_NO_FRAME)
		return fail("frame", ENOENT);
	frame = &domain->host->frames[mfn];
	printf("{\"mfn\": %" PRIu64 ", \"level\": %u, \"pinned\": %u, \"uses\": %u}\n", mfn,
	       sim_type_level((enum sim_frame_type)frame->type), frame->pinned, frame->type_uses);
	return 0;
}

/* What `poke` changes: its beginning, NULL when there is no such thing. */
static uint8_t *find_octets(const struct sim_domain *domain, const char *what, size_t *octets)
{
	uint64_t mfn = domain->state->shared_info_frame;
	unsigned vcpu;

	*octets = SIM_PAGE_OCTETS;
	if (sscanf(what, "vcpu%u", &vcpu) == 1) {
		*octets = sizeof(union sim_pv_context);
		return vcpu < domain->state->nr_vcpus
			       ? (uint8_t *)&domain->state->vcpus[vcpu].context
			       : NULL;
	}
	if (strcmp(what, "shared"))
		mfn = sim_p2m_frame(domain, strtoull(what, NULL, 0));
	return mfn == SIM_NO_FRAME ? NULL : sim_frame_page(domain->host, mfn);
}

static int command_poke(const struct options *o, char **argv)
{
	struct sim_domain *domain = find_domain(argv);
	uint64_t offset = strtoull(argv[3], NULL, 0), word = strtoull(argv[4], NULL, 0);
	size_t octets;
	uint8_t *place;

	if (!domain)
		return 2;
	place = find_octets(domain, argv[2], &octets);
	if (!place || offset > octets - sizeof(word))
		return fail(argv[2], EINVAL);
	memcpy(place + offset, &word, sizeof(word));
	if (o->dirty)
		sim_mark_dirty(domain, strtoull(argv[2], NULL, 0));
	return 0;
}

static int command_peek(const struct options *o, char **argv)
{
	struct sim_domain *domain = find_domain(argv);
	uint64_t offset = strtoull(argv[3], NULL, 0), word;
	size_t octets;
	const uint8_t *place;

	(void)o;
	if (!domain)
		return 2;
	place = find_octets(domain, argv[2], &octets);
	if (!place || offset > octets - sizeof(word))
		return fail(argv[2], EINVAL);
	memcpy(&word, place + offset, sizeof(word));
	printf("%" PRIu64 "\n", word);
	return 0;
}

static int command_dirty(const struct options *o, char **argv)
{
	struct xen_domctl_shadow_op op = {.op = o->clean ? XEN_DOMCTL_SHADOW_OP_CLEAN
							 : XEN_DOMCTL_SHADOW_OP_PEEK};
	struct sim_domain *domain = find_domain(argv);
	const char *comma = "";
	uint8_t *bitmap;
	int rc;

	if (!domain)
		return 2;
	op.pages = domain->state->max_gfn + 1;
	bitmap = calloc(op.pages / 64 + 1, sizeof(uint64_t));
	if (!bitmap)
		return fail("dirty", ENOMEM);
	sim_lock(domain->host);
	rc = sim_log_dirty_op(domain, &op, bitmap);
	sim_unlock(domain->host);
	putchar('[');
	for (uint64_t gfn = 0; rc == 0 && gfn < op.pages; gfn++) {
		if (!(bitmap[gfn / 8] >> gfn % 8 & 1))
			continue;
		printf("%s%" PRIu64, comma, gfn);
		comma = ", ";
	}
	puts("]");
	free(bitmap);
	return rc ? fail("dirty", rc) : 0;
}

/* Refused: exit code 1, and why on stderr. */
static int command_pin(const struct options *o, char **argv)
{
	static const enum sim_frame_type types[] = {SIM_FRAME_NONE, SIM_FRAME_L1, SIM_FRAME_L2,
						    SIM_FRAME_L3, SIM_FRAME_L4};
	struct sim_domain *domain = find_domain(argv);
	unsigned long level = strtoul(argv[3], NULL, 0);
	uint64_t mfn;
	int rc;

	(void)o;
	if (!domain)
		return 2;
	mfn = sim_p2m_frame(domain, strtoull(argv[2], NULL, 0));
	if (mfn == SIM_NO_FRAME || level > 4 || domain->state->type != SIM_PV)
		return fail("pin", EINVAL);
	sim_lock(domain->host);
	rc = level ? sim_type_pin(domain, mfn, types[level]) : sim_type_unpin(domain, mfn);
	sim_unlock(domain->host);
	return rc ? 1 : 0;
}

static int command_destroy(const struct options *o, char **argv)
{
	struct sim_domain *domain = find_domain(argv);
	int rc;

	(void)o;
	if (!domain)
		return 2;
	rc = sim_domain_destroy(domain->host, domain->state->domid);
	return rc ? fail("destroy", rc) : 0;
}

static const struct {
	const char *name;
	int arguments;
	int (*run)(const struct options *o, char **argv);
} commands[] = {
	{"host", 1, command_host},         {"build", 1, command_build},
	{"new", 1, command_new},           {"check", 2, command_check},
	{"run", 2, command_run},           {"show", 2, command_show},
	{"compare", 4, command_compare},   {"stats", 1, command_stats},
	{"destroy", 2, command_destroy},   {"move", 3, command_move},
	{"frame", 3, command_frame},       {"poke", 5, command_poke},
	{"pin", 4, command_pin},           {"peek", 4, command_peek},
	{"write", 3, command_write},       {"balloon", 4, command_balloon},
	{"snapshot", 2, command_snapshot}, {"dirty", 2, command_dirty},
};

int main(int argc, char **argv)
{
	struct options o = {
		.host = {.frames = 4u << 20, .xen_major = 4, .xen_minor = 17},
		.guest = {.kind = SIM_GUEST_PVH, .vcpus = 1, .seed = 1, .plain_permil = 100},
		.type = SIM_HVM,
		.run = {.seconds = 60},
	};
	int option;

	o.guest.pages = 128u << (20 - SIM_PAGE_SHIFT);
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (!parse_option(&o, option))
			goto wrong;
	}
	argc -= optind;
	argv += optind;
	for (size_t i = 0; argc > 0 && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!strcmp(argv[0], commands[i].name) && argc - 1 == commands[i].arguments)
			return commands[i].run(&o, argv + 1);
	}
wrong:
	fputs(usage, stderr);
	return 2;
}
