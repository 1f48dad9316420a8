/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shared by the toolstack's tests: see toolstack_harness.h.
 */
#include "toolstack_harness.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xen/hvm/params.h>

#include "pages.h"
#include "record.h"

struct toolstack_harness t;
bool tiny_is_page[1u << 18];

/* ---- a toolstack ---------------------------------------------------------------------------- */

static int on_create(const char *config, bool config_is_json, struct xensr_toolstack_domain *domain,
		     void *data)
{
	static const struct xensr_toolstack_domain none;

	HOLDS(data == &t);
	HOLDS(memcmp(domain, &none, sizeof(none)) == 0);
	t.created++;
	t.config_is_json = config_is_json;
	snprintf(t.config, sizeof(t.config), "%s", config ? config : "NULL");
	*domain = t.domain;
	return t.create_answer;
}

static int on_xenstore(enum xensr_emulator emulator, const char *key, const char *value, void *data)
{
	HOLDS(data == &t);
	t.pairs++;
	t.emulator = emulator;
	snprintf(t.last_key, sizeof(t.last_key), "%s", key);
	snprintf(t.last_value, sizeof(t.last_value), "%s", value);
	return t.restore_xenstore_answer;
}

static int on_context(enum xensr_emulator emulator, const void *state, size_t octets, void *data)
{
	HOLDS(data == &t);
	t.contexts++;
	t.emulator = emulator;
	t.last_octets = octets;
	snprintf(t.last_context, sizeof(t.last_context), "%.*s", octets < 60 ? (int)octets : 60,
		 (const char *)state);
	return t.restore_context_answer;
}

void emulator_context_at(unsigned age, char text[64])
{
	snprintf(text, 64, "QEVM of an emulator %u old", age);
}

static int save_xenstore(struct xensr_xenstore_writer *writer, void *data)
{
	char value[64];

	HOLDS(data == &t);
	t.asked_pairs++;
	t.writer = writer;
	if (!t.no_pairs) {
		snprintf(value, sizeof(value), "%u", t.age);
		/* That there is no memory for it is known to the save without our saying. */
		if (xensr_xenstore_pair(writer, "physmap/f0000000/name", "vga") ||
		    xensr_xenstore_pair(writer, "age", value)) {
			HOLDS(errno == ENOMEM);
			return 0;
		}
	}
	if (t.key) {
		char *filled = aligned_alloc(8, (t.value_octets + 8) / 8 * 8);

		HOLDS(filled);
		memset(filled, 'v', t.value_octets);
		filled[t.value_octets] = '\0';
		errno = 0;
		t.pair_rc = xensr_xenstore_pair(writer, t.key, filled);
		t.pair_errno = errno;
		free(filled);
	}
	return t.save_xenstore_answer;
}

static int save_context(int *fd, void *data)
{
	char text[64];

	HOLDS(data == &t);
	t.asked_contexts++;
	/* The writer was the other callback's only. */
	errno = 0;
	HOLDS(xensr_xenstore_pair(t.writer, "late", "") == -1 && errno == EINVAL);
	if (t.no_fd)
		return t.save_context_answer;
	if (t.context_fd) {
		*fd = t.context_fd;
		return 0;
	}
	*fd = memfd_create("context", MFD_CLOEXEC);
	HOLDS(*fd >= 0);
	if (t.bad_fd) {
		close(*fd);
		return 0;
	}
	emulator_context_at(t.age, text);
	if (t.age)
		HOLDS(write(*fd, text, strlen(text)) == (ssize_t)strlen(text));
	if (t.context_octets)
		HOLDS(ftruncate(*fd, (off_t)t.context_octets) == 0);
	HOLDS(lseek(*fd, 0, SEEK_SET) == 0);
	return t.save_context_answer;
}

void toolstack_reset(void)
{
	harness_reset();
	memset(&t, 0, sizeof(t));
	t.save = (struct xensr_toolstack_save_params)XENSR_TOOLSTACK_SAVE_PARAMS_INIT;
	t.save.has_emulator = true;
	t.save.emulator = XENSR_EMULATOR_QEMU;
	t.save.save = &h.save;
	t.save.callbacks.emulator_xenstore = save_xenstore;
	t.save.callbacks.emulator_context = save_context;
	t.save.callbacks.data = &t;
	t.restore = (struct xensr_toolstack_restore_params)XENSR_TOOLSTACK_RESTORE_PARAMS_INIT;
	t.restore.restore = &h.restore;
	t.restore.callbacks.create_domain = on_create;
	t.restore.callbacks.emulator_xenstore = on_xenstore;
	t.restore.callbacks.emulator_context = on_context;
	t.restore.callbacks.data = &t;
	t.domain.domid = TARGET_DOMID;
	t.domain.type = XENSR_DOMAIN_HVM;
	t.domain.needs_emulator = true;
	t.domain.store_domid = h.restore.store_domid;
	t.domain.console_domid = h.restore.console_domid;
	t.domain.store_evtchn = h.restore.store_evtchn;
	t.domain.console_evtchn = h.restore.console_evtchn;
	/* What the domain's parameters say of these is not looked at. */
	h.restore.domid = 4711;
	h.restore.store_domid = h.restore.console_domid = 4711;
	h.restore.store_evtchn = h.restore.console_evtchn = 4711;
	t.age = 1;
}

int toolstack_save(int fd)
{
	harness_forget();
	t.save.io_fd = fd;
	memset(&h.saved, 0xa5, sizeof(h.saved));
	errno = 0;
	h.rc = xensr_toolstack_save(&t.save, &h.saved, &h.err);
	h.errnum = errno;
	return h.rc;
}

int toolstack_restore(int fd)
{
	harness_forget();
	t.restore.io_fd = fd;
	errno = 0;
	h.rc = xensr_toolstack_restore(&t.restore, &h.results, &h.err);
	h.errnum = errno;
	return h.rc;
}

int toolstack_restore_stream(const struct stream *s, size_t len)
{
	int fd = stream_fd_cut(s, len);

	toolstack_restore(fd);
	close(fd);
	return h.rc;
}

void emulator_is(unsigned age, unsigned times)
{
	char text[64];

	emulator_context_at(age, text);
	MUST(t.contexts == times, "the emulator was given %u contexts, not %u", t.contexts, times);
	MUST(t.pairs == 2 * times, "the emulator was given %u pairs, not 2 * %u", t.pairs, times);
	if (times == 0)
		return;
	MUST(strcmp(t.last_context, text) == 0, "%s, not %s", t.last_context, text);
	MUST(t.last_octets == strlen(text), "%zu octets of context", t.last_octets);
	MUST(strcmp(t.last_key, "age") == 0, "key %s", t.last_key);
	MUST((unsigned)atoi(t.last_value) == age, "age %s", t.last_value);
	MUST(t.emulator == XENSR_EMULATOR_QEMU, "emulator %d", (int)t.emulator);
}

/* ---- streams -------------------------------------------------------------------------------- */

void libxl_head(struct stream *s)
{
	static const uint8_t header[16] = "LibxlFmt\0\0\0\2";

	stream_put(s, header, sizeof(header));
}

uint64_t libxl_record(struct stream *s, uint32_t type, const void *body, size_t len)
{
	return stream_record(s, type, body, len);
}

uint64_t libxl_emulator(struct stream *s, uint32_t type, uint32_t id, const void *data, size_t len)
{
	uint8_t body[256] = {(uint8_t)id};

	HOLDS(len <= sizeof(body) - 8);
	memcpy(body + 8, data, len);
	return stream_record(s, type, body, 8 + len);
}

void libxl_emulator_at(struct stream *s, unsigned age)
{
	char text[64];
	int n;

	n = snprintf(text, sizeof(text), "physmap/f0000000/name%cvga%cage%c%u", 0, 0, 0, age);
	libxl_emulator(s, LIBXL_EMULATOR_XENSTORE_DATA, 2, text, (size_t)n + 1);
	emulator_context_at(age, text);
	libxl_emulator(s, LIBXL_EMULATOR_CONTEXT, 2, text, strlen(text));
}

uint64_t libxl_state(struct stream *s, uint32_t state)
{
	const uint32_t body[2] = {state};

	return stream_record(s, LIBXL_CHECKPOINT_STATE, body, sizeof(body));
}

/* ---- a tiny guest --------------------------------------------------------------------------- */

void tiny_headers(struct stream *s)
{
	memset(tiny_is_page, 0, sizeof(tiny_is_page));
	stream_headers(s, 3, GUEST_X86_HVM);
	stream_record(s, REC_STATIC_DATA_END, NULL, 0);
}

void tiny_image(struct stream *s, unsigned age)
{
	static const uint64_t params[][2] = {
		{HVM_PARAM_STORE_PFN, TINY_SPECIAL + SPECIAL_STORE},
		{HVM_PARAM_CONSOLE_PFN, TINY_SPECIAL + SPECIAL_CONSOLE},
	};
	uint64_t entries[] = {
		page_entry(TINY_PFN, PAGE_NORMAL),
		page_entry(TINY_SPECIAL + SPECIAL_STORE, PAGE_NORMAL),
		page_entry(TINY_SPECIAL + SPECIAL_CONSOLE, PAGE_NORMAL),
	};
	uint32_t n = age == 1 ? 3 : 1;
	uint64_t pages = s->len + 16 + n * 8ull;

	HOLDS(pages + n * PAGE_OCTETS < sizeof(tiny_is_page));
	memset(tiny_is_page + pages, true, n * PAGE_OCTETS);
	stream_pages(s, entries, n, age);
	stream_tsc_aged(s, 1000 + age);
	stream_context_aged(s, (uint8_t)(0x30 + age));
	stream_params(s, 2, params);
}

bool tiny_worth(size_t at)
{
	return !at || !tiny_is_page[at] || !tiny_is_page[at - 1] || !tiny_is_page[at + 1] ||
	       at % 331 == 0;
}

void tiny_target(void)
{
	h.target = fake_domain_add(TARGET_DOMID, 0x100);
}

void tiny_check(unsigned age)
{
	uint8_t context[FAKE_CONTEXT];
	uint32_t octets = context_make_aged(context, (uint8_t)(0x30 + age));
	const struct fake_domain *dom = h.target;

	MUST(page_is(fake_page(h.target, TINY_PFN), TINY_PFN, age), "a page is not %u old", age);
	MUST(fake_pages(dom) == 3, "%llu pages", (unsigned long long)fake_pages(dom));
	MUST(dom->tsc.nsec == 1000 + age, "TSC of %llu", (unsigned long long)dom->tsc.nsec);
	MUST(dom->context_octets == octets && memcmp(dom->context, context, octets) == 0,
	     "the context is not %u old", age);
	MUST(dom->params[HVM_PARAM_STORE_EVTCHN] == 21, "no event channel of the store");
	MUST(dom->params[HVM_PARAM_CONSOLE_EVTCHN] == 22, "no event channel of the console");
	MUST(h.results.store_gfn == TINY_SPECIAL + SPECIAL_STORE, "no store");
	MUST(fake_grants(h.target)[GNTTAB_RESERVED_XENSTORE].domid == 11, "no grant");
	MUST(fake.mappings == 0 && fake.buffers == 0, "something is left");
}
