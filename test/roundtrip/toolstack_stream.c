/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A toolstack on a simulated host, in one process, over the library as it is installed: saves and
 * restores domains with xensr_toolstack.h. toolstack_stream.py runs it.
 *
 *   toolstack_stream save    HOST DOMID      STREAM [CHECKPOINTS] [emulator] [no-xenstore] [xl] [live]
 *   toolstack_stream restore HOST TYPE PAGES STREAM [remus] [xl]
 *
 * and `colo=FD` for either, with the back channel's descriptor.
 *
 * CHECKPOINTS: so many, by Remus or COLO; then the save ends as the toolstack wants it. The emulator is as
 * old as the domain has been suspended often; no-xenstore: it has no xenstore data. TYPE: pv, hvm or pvh. Prints what the callbacks were
 * given, a line each, and how it ended; exits with 0 if the call succeeded, with 1 if it failed, and
 * with 2 if it could not be made.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xensr_toolstack.h>

#include "guest.h"

#define CONFIG "{\"c_info\": {\"name\": \"simulated\"}}"

struct driver {
	struct sim_host *host;
	xc_interface *xch;
	int stream;
	int back; /* COLO's channel, or -1 */
	bool xl, remus, live, emulator, no_xenstore;
	/* save */
	uint32_t domid;
	unsigned checkpoints, suspends, done;
	/* restore */
	enum xensr_domain_type type;
	uint64_t pages;
	int restored;
	bool runs; /* COLO: the secondary does */
};

static bool has_word(int argc, char **argv, int from, const char *word)
{
	for (int i = from; i < argc; i++) {
		if (strcmp(argv[i], word) == 0)
			return true;
	}
	return false;
}

/* The number after `name` in one of the words, or -1. */
static int word_number(int argc, char **argv, const char *name)
{
	size_t n = strlen(name);

	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], name, n) == 0)
			return atoi(argv[i] + n);
	}
	return -1;
}

static enum xensr_stream_type stream_type(const struct driver *driver)
{
	if (driver->back >= 0)
		return XENSR_STREAM_COLO;
	return driver->remus ? XENSR_STREAM_REMUS : XENSR_STREAM_PLAIN;
}

static void on_log(void *data, enum xensr_level level, int errnum, const char *text)
{
	(void)data, (void)errnum;
	if (level >= XENSR_LOG_NOTICE && level < XENSR_LOG_ERROR)
		printf("notice: %s\n", text);
}

/* ---- save -------------------------------------------------------------------------------- */

static struct sim_domain *saved_domain(const struct driver *driver)
{
	return sim_domain_get(driver->host, driver->domid);
}

static int on_suspend(void *data)
{
	struct driver *driver = data;

	driver->suspends++;
	return sim_toolstack_suspend(saved_domain(driver)) == 0;
}

static int on_resume(void *data)
{
	return sim_toolstack_resume(saved_domain(data)) == 0;
}

static int on_checkpoint(void *data)
{
	struct driver *driver = data;

	return ++driver->done < driver->checkpoints;
}

static int on_wait_checkpoint(void *data)
{
	(void)data;
	return 1;
}

static int on_logdirty(uint32_t domid, unsigned enable, void *data)
{
	(void)domid, (void)enable, (void)data;
	return 0;
}

static int give_xenstore(struct xensr_xenstore_writer *writer, void *data)
{
	const struct driver *driver = data;
	char age[16];

	if (driver->no_xenstore)
		return 0;
	snprintf(age, sizeof(age), "%u", driver->suspends);
	return xensr_xenstore_pair(writer, "physmap/f0000000/name", "vga.vram") ||
	       xensr_xenstore_pair(writer, "age", age);
}

static int give_context(int *fd, void *data)
{
	const struct driver *driver = data;

	*fd = memfd_create("context", MFD_CLOEXEC);
	return dprintf(*fd, "QEVM %u", driver->suspends) < 0 || lseek(*fd, 0, SEEK_SET);
}

static int save(struct driver *driver)
{
	struct xensr_toolstack_save_params params = XENSR_TOOLSTACK_SAVE_PARAMS_INIT;
	struct xensr_save_params domain = XENSR_SAVE_PARAMS_INIT;
	struct xensr_save_results results;
	struct xensr_error err;
	int rc;

	domain.xch = driver->xch;
	domain.domid = driver->domid;
	domain.live = driver->live;
	domain.stream_type = stream_type(driver);
	domain.reports.log = on_log;
	domain.callbacks.suspend = on_suspend;
	domain.callbacks.postcopy = on_resume;
	domain.callbacks.checkpoint = on_checkpoint;
	domain.callbacks.wait_checkpoint = on_wait_checkpoint;
	domain.callbacks.switch_qemu_logdirty = on_logdirty;
	domain.recv_fd = driver->back;
	domain.callbacks.data = driver;
	params.io_fd = driver->stream;
	params.xl_config = driver->xl ? CONFIG : NULL;
	params.has_emulator = driver->emulator;
	params.emulator = XENSR_EMULATOR_QEMU;
	params.save = &domain;
	params.callbacks.emulator_xenstore = give_xenstore;
	params.callbacks.emulator_context = give_context;
	params.callbacks.data = driver;
	rc = xensr_toolstack_save(&params, &results, &err);
	if (rc)
		printf("failed: %s\n", err.text);
	printf("saved: %" PRIu64 " octets, %u checkpoints\n", results.octets, results.checkpoints);
	return rc ? 1 : 0;
}

/* ---- restore ----------------------------------------------------------------------------- */

static int create_domain(const char *config, bool config_is_json,
			 struct xensr_toolstack_domain *domain, void *data)
{
	struct driver *driver = data;
	const struct sim_domain_options options = {
		.type = driver->type == XENSR_DOMAIN_PV ? SIM_PV : SIM_HVM,
		.max_pages = driver->pages,
		.vcpus = 4,
	};

	if (config)
		printf("config: %zu octets, %s\n", strlen(config), config_is_json ? "JSON" : "xl");
	driver->restored = sim_domain_create(driver->host, &options);
	if (driver->restored < 0)
		return driver->restored;
	domain->domid = (uint32_t)driver->restored;
	domain->type = driver->type;
	domain->needs_emulator = driver->type == XENSR_DOMAIN_HVM;
	domain->store_evtchn = 11;
	domain->console_evtchn = 12;
	printf("domain: %d\n", driver->restored);
	return 0;
}

static int take_xenstore(enum xensr_emulator emulator, const char *key, const char *value,
			 void *data)
{
	(void)data;
	printf("xenstore: %d %s=%s\n", (int)emulator, key, value);
	return 0;
}

/* What of it can be read at its start. */
static int take_context(enum xensr_emulator emulator, const void *state, size_t octets, void *data)
{
	const char *text = state;
	size_t n = 0;

	(void)data;
	while (n < octets && n < 16 && isprint((unsigned char)text[n]))
		n++;
	printf("context: %d %zu octets, %.*s\n", (int)emulator, octets, (int)n, text);
	return 0;
}

static int take_static_data(unsigned missing, void *data)
{
	(void)missing, (void)data;
	return 0;
}

static struct sim_domain *restored_domain(const struct driver *driver)
{
	return sim_domain_get(driver->host, (uint32_t)driver->restored);
}

static int suspend_secondary(void *data)
{
	return sim_toolstack_suspend(restored_domain(data)) == 0;
}

static int run_secondary(void *data)
{
	struct driver *driver = data;
	struct sim_domain *domain = restored_domain(driver);
	bool first = !driver->runs;

	driver->runs = true;
	printf("secondary: %s\n", first ? "starts" : "goes on");
	if (!first)
		return sim_toolstack_resume(domain) == 0;
	return sim_toolstack_log_dirty(domain) == 0 && sim_toolstack_unpause(domain) == 0;
}

static int restore(struct driver *driver)
{
	struct xensr_toolstack_restore_params params = XENSR_TOOLSTACK_RESTORE_PARAMS_INIT;
	struct xensr_restore_params domain = XENSR_RESTORE_PARAMS_INIT;
	struct xensr_restore_results results;
	struct xensr_error err;

	domain.xch = driver->xch;
	domain.stream_type = stream_type(driver);
	domain.reports.log = on_log;
	domain.callbacks.static_data_done = take_static_data;
	domain.callbacks.suspend = suspend_secondary;
	domain.callbacks.postcopy = run_secondary;
	domain.callbacks.data = driver;
	domain.send_back_fd = driver->back;
	params.io_fd = driver->stream;
	params.xl_header = driver->xl;
	params.restore = &domain;
	params.callbacks.create_domain = create_domain;
	params.callbacks.emulator_xenstore = take_xenstore;
	params.callbacks.emulator_context = take_context;
	params.callbacks.data = driver;
	if (xensr_toolstack_restore(&params, &results, &err)) {
		printf("failed: %s\n", err.text);
		return 1;
	}
	printf("restored: %" PRIu64 " checkpoints%s", results.checkpoints,
	       results.failed_over ? ", failed over" : "");
	if (driver->back < 0)
		printf(", stream at %jd", (intmax_t)lseek(driver->stream, 0, SEEK_CUR));
	printf("\n");
	return 0;
}

/* ---- the whole --------------------------------------------------------------------------- */

static int type_of(const char *word, enum xensr_domain_type *type)
{
	static const struct {
		const char *word;
		enum xensr_domain_type type;
	} types[] = {{"pv", XENSR_DOMAIN_PV}, {"hvm", XENSR_DOMAIN_HVM}, {"pvh", XENSR_DOMAIN_PVH}};

	for (unsigned i = 0; i < 3; i++) {
		if (strcmp(word, types[i].word) == 0) {
			*type = types[i].type;
			return 0;
		}
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct driver driver = {0};
	bool saving = argc >= 5 && strcmp(argv[1], "save") == 0;
	int rc;

	signal(SIGPIPE, SIG_IGN);
	if (argc < (saving ? 5 : 6) || setenv("XENSIM_HOST", argv[2], 1))
		return 2;
	driver.host = sim_host_open(argv[2]);
	driver.xch = xc_interface_open(NULL, NULL, 0);
	driver.xl = has_word(argc, argv, 5, "xl");
	driver.back = word_number(argc, argv, "colo=");
	if (saving) {
		driver.domid = (uint32_t)strtoul(argv[3], NULL, 10);
		driver.stream = open(argv[4], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		driver.checkpoints = argc > 5 ? (unsigned)strtoul(argv[5], NULL, 10) : 0;
		driver.remus = driver.checkpoints != 0;
		driver.emulator = has_word(argc, argv, 5, "emulator");
		driver.no_xenstore = has_word(argc, argv, 5, "no-xenstore");
		driver.live = has_word(argc, argv, 5, "live");
	} else {
		if (type_of(argv[3], &driver.type))
			return 2;
		driver.pages = strtoull(argv[4], NULL, 10);
		driver.stream = open(argv[5], O_RDONLY | O_CLOEXEC);
		driver.remus = has_word(argc, argv, 6, "remus");
	}
	if (!driver.host || !driver.xch || driver.stream < 0)
		return 2;
	rc = saving ? save(&driver) : restore(&driver);
	xc_interface_close(driver.xch);
	return rc;
}
