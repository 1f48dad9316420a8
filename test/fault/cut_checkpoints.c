/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Restore a recorded checkpointed stream, cut at one octet after the other, in this one process on
 * a simulated host: hundreds of thousands of restores in a minute. cuts.py records the stream and
 * says after which octet each checkpoint is complete.
 *
 *   cut_checkpoints HOST hvm|pv PAGES STREAM FROM TO STEP END:SNAPSHOT:DOMID ...
 *
 * For each cut from FROM up to TO, every STEP octets: with no END at or before it the restore must
 * fail; else it must succeed, by fail-over, and the domain be exactly what the last such SNAPSHOT's
 * DOMID is. Prints each cut that goes wrong; exits with 1 if one did, with 2 if it could not test.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenguest.h>
#include <xensr.h>

#include "guest.h"

#define LIBXL_CHECKPOINT_END 4u
#define MAX_CHECKPOINTS      8u
#define WRONG_CUTS           10u /* then it is plain enough */

struct checkpoint {
	uint64_t end;
	struct sim_domain *snapshot;
};

struct cutter {
	struct sim_host *host;
	struct sim_domain_options domain;
	xc_interface *xch;
	int stream; /* a copy in memory, cut shorter and shorter */
	struct checkpoint checkpoints[MAX_CHECKPOINTS];
	unsigned nr_checkpoints;
};

/* xc_interface_open's own logger prints. */
static void drop_message(struct xentoollog_logger *logger, xentoollog_level level, int errnoval,
			 const char *context, const char *format, va_list args)
{
	(void)logger, (void)level, (void)errnoval, (void)context, (void)format, (void)args;
}

static void drop_progress(struct xentoollog_logger *logger, const char *context, const char *what,
			  int percent, unsigned long done, unsigned long total)
{
	(void)logger, (void)context, (void)what, (void)percent, (void)done, (void)total;
}

static void drop_logger(struct xentoollog_logger *logger)
{
	(void)logger;
}

static xentoollog_logger silence = {
	.vmessage = drop_message,
	.progress = drop_progress,
	.destroy = drop_logger,
};

/* As libxl: its own records up to CHECKPOINT_END, or they break off. */
static int read_libxl_part(void *data)
{
	const struct cutter *cutter = data;
	uint32_t head[2];

	do {
		uint8_t body[4096];
		size_t padded;

		if (read(cutter->stream, head, sizeof(head)) != sizeof(head))
			return XGR_CHECKPOINT_FAILOVER;
		padded = (head[1] + 7u) / 8 * 8;
		if (padded > sizeof(body) || read(cutter->stream, body, padded) != (ssize_t)padded)
			return XGR_CHECKPOINT_FAILOVER;
	} while (head[0] != LIBXL_CHECKPOINT_END);
	return XGR_CHECKPOINT_SUCCESS;
}

static int no_more_static_data(unsigned missing, void *data)
{
	(void)missing;
	(void)data;
	return 0;
}

static const struct checkpoint *last_complete(const struct cutter *cutter, uint64_t cut)
{
	const struct checkpoint *last = NULL;

	for (unsigned i = 0; i < cutter->nr_checkpoints; i++) {
		if (cutter->checkpoints[i].end <= cut)
			last = &cutter->checkpoints[i];
	}
	return last;
}

static int wrong(uint64_t cut, const char *text)
{
	printf("cut at octet %" PRIu64 ": %s\n", cut, text);
	return 1;
}

/* What the restore of this cut must have come to. Returns 0, or 1 if it did not. */
static int judge(const struct cutter *cutter, uint64_t cut, int rc,
		 const struct xensr_restore_results *results, const struct xensr_error *err,
		 struct sim_domain *restored)
{
	const struct checkpoint *expected = last_complete(cutter, cut);
	struct sim_difference difference = {""};

	if (!expected && rc == 0)
		return wrong(cut, "success without a complete checkpoint");
	if (!expected)
		return err->text[0] ? 0 : wrong(cut, "a failure without a reason");
	if (rc)
		return wrong(cut, err->text);
	if (!results->failed_over)
		return wrong(cut, "it does not say that it failed over");
	if (sim_guest_compare(expected->snapshot, restored, &difference))
		return wrong(cut, difference.text);
	return 0;
}

/* Returns 0, 1 if it went wrong, -1 if it could not be tried. */
static int try_cut(struct cutter *cutter, uint64_t cut)
{
	struct xensr_restore_params params = XENSR_RESTORE_PARAMS_INIT;
	struct xensr_restore_results results = {0};
	struct xensr_error err = {0};
	int domid = sim_domain_create(cutter->host, &cutter->domain);
	int rc;

	if (domid < 0 || ftruncate(cutter->stream, (off_t)cut) ||
	    lseek(cutter->stream, 0, SEEK_SET)) {
		fprintf(stderr, "cannot prepare the cut at %" PRIu64 "\n", cut);
		return -1;
	}
	params.xch = cutter->xch;
	params.domid = (uint32_t)domid;
	params.io_fd = cutter->stream;
	params.stream_type = XENSR_STREAM_REMUS;
	params.store_evtchn = 11;
	params.console_evtchn = 12;
	params.callbacks.static_data_done = no_more_static_data;
	params.callbacks.checkpoint = read_libxl_part;
	params.callbacks.data = cutter;
	rc = xensr_restore(&params, &results, &err);
	rc = judge(cutter, cut, rc, &results, &err, sim_domain_get(cutter->host, (uint32_t)domid));
	if (sim_domain_destroy(cutter->host, (uint32_t)domid))
		return -1;
	sim_domain_unmap(cutter->host, (uint32_t)domid);
	return rc;
}

static int parse_checkpoint(struct cutter *cutter, char *text)
{
	struct checkpoint *checkpoint = &cutter->checkpoints[cutter->nr_checkpoints];
	char *folder = strchr(text, ':');
	char *domid = folder ? strrchr(text, ':') : NULL;
	struct sim_host *host;

	if (!domid || domid == folder || cutter->nr_checkpoints == MAX_CHECKPOINTS)
		return -1;
	*folder++ = *domid++ = '\0';
	host = sim_host_open(folder);
	if (!host)
		return -1;
	checkpoint->end = strtoull(text, NULL, 10);
	checkpoint->snapshot = sim_domain_get(host, (uint32_t)strtoul(domid, NULL, 10));
	cutter->nr_checkpoints++;
	return checkpoint->snapshot ? 0 : -1;
}

static int load_stream(const char *path)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	int copy = memfd_create("stream", MFD_CLOEXEC);
	char block[65536];
	ssize_t got;

	if (file < 0 || copy < 0)
		return -1;
	while ((got = read(file, block, sizeof(block))) > 0) {
		if (write(copy, block, (size_t)got) != got)
			return -1;
	}
	close(file);
	return got ? -1 : copy;
}

int main(int argc, char **argv)
{
	static struct cutter cutter;
	uint64_t from, to, step;
	unsigned failures = 0;

	if (argc < 9 || setenv("XENSIM_HOST", argv[1], 1))
		return 2;
	cutter.host = sim_host_open(argv[1]);
	cutter.domain = (struct sim_domain_options){
		.type = strcmp(argv[2], "pv") == 0 ? SIM_PV : SIM_HVM,
		.max_pages = strtoull(argv[3], NULL, 10),
		.vcpus = 1,
	};
	cutter.stream = load_stream(argv[4]);
	from = strtoull(argv[5], NULL, 10);
	to = strtoull(argv[6], NULL, 10);
	step = strtoull(argv[7], NULL, 10);
	for (int i = 8; i < argc; i++) {
		if (parse_checkpoint(&cutter, argv[i]))
			return 2;
	}
	cutter.xch = xc_interface_open(&silence, &silence, 0);
	if (!cutter.host || cutter.stream < 0 || !cutter.xch || step == 0)
		return 2;
	/* From the longest on, as a file can be cut and not mended. */
	for (uint64_t n = (to - from) / step + 1; n-- && failures < WRONG_CUTS;) {
		int rc = try_cut(&cutter, from + n * step);

		if (rc < 0)
			return 2;
		failures += (unsigned)rc;
	}
	/* No xc_interface_close(): the simulated host would look for each mapping that libxenctrl
	   ended without its knowledge, one of each restore. */
	return failures ? 1 : 0;
}
