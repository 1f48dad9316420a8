/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shared by the engine's tests: see engine_harness.h.
 */
#include "engine_harness.h"

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xen/hvm/params.h>
#include <xen/hvm/save.h>
#include <xen/sched.h>

#include "pages.h"

struct harness h;

/* ---- reports and callbacks --------------------------------------------------------------- */

static void on_log(void *data, enum xensr_level level, int errnum, const char *text)
{
	HOLDS(data == &h);
	HOLDS((int)level >= XENSR_LOG_DEBUG);
	HOLDS((int)level <= XENSR_LOG_ERROR);
	HOLDS(!strchr(text, '\n'));
	HOLDS(strcmp(text, "") != 0);
	h.nr_level[level]++;
	HOLDS(h.nr_logs < HARNESS_LOGS);
	h.logs[h.nr_logs].level = level;
	h.logs[h.nr_logs].errnum = errnum;
	snprintf(h.logs[h.nr_logs].text, sizeof(h.logs[0].text), "%s", text);
	h.nr_logs++;
	errno = ENOTTY; /* whoever needs errno has kept it */
}

static void on_progress(void *data, const char *what, uint64_t done, uint64_t total)
{
	HOLDS(data == &h);
	if (strcmp(what, h.progress_what) != 0) {
		HOLDS(done == 0);
		snprintf(h.progress_what, sizeof(h.progress_what), "%s", what);
		h.progress_whats++;
		h.progress_done = 0;
	}
	HOLDS(done <= total);
	h.progress_calls++;
	h.progress_starts += done == 0;
	h.progress_falls += done < h.progress_done;
	h.progress_done = done;
	h.progress_total = total;
	errno = ENOTTY;
}

static int on_suspend(void *data)
{
	HOLDS(data == &h);
	fake_trace(FN_CB_SUSPEND);
	h.suspends++;
	if (h.script)
		h.script(FN_CB_SUSPEND, h.suspends);
	if (h.source)
		h.source->flags = h.suspend_flags;
	errno = h.suspend_errno;
	return h.suspend_answer;
}

static int on_static_data_done(unsigned missing, void *data)
{
	HOLDS(data == &h);
	fake_trace(FN_CB_STATIC_DATA_DONE);
	h.static_calls++;
	h.missing = missing;
	return h.static_answer;
}

/* What the test says to one of the other callbacks. */
static int answer_of(unsigned callback, int otherwise)
{
	fake_trace(callback);
	h.callbacks[callback]++;
	return h.script ? h.script(callback, h.callbacks[callback]) : otherwise;
}

static int on_switch_qemu_logdirty(uint32_t domid, unsigned enable, void *data)
{
	HOLDS(data == &h);
	HOLDS(domid == SOURCE_DOMID);
	h.qemu_logging = enable;
	return answer_of(FN_CB_QEMU_LOGDIRTY, 0);
}

static int on_policy(struct precopy_stats stats, void *data)
{
	HOLDS(data == &h);
	HOLDS(h.nr_asked < HARNESS_ASKED);
	h.asked[h.nr_asked++] = stats;
	return answer_of(FN_CB_POLICY, XGS_POLICY_CONTINUE_PRECOPY);
}

static int on_save_postcopy(void *data)
{
	HOLDS(data == &h);
	source_resume();
	return answer_of(FN_CB_POSTCOPY, 1);
}

static int on_postcopy(void *data)
{
	HOLDS(data == &h);
	h.target->flags = XEN_DOMINF_hvm_guest | XEN_DOMINF_running;
	return answer_of(FN_CB_POSTCOPY, 1);
}

static int on_checkpoint(void *data)
{
	HOLDS(data == &h);
	return answer_of(FN_CB_CHECKPOINT, 1);
}

static int on_wait_checkpoint(void *data)
{
	HOLDS(data == &h);
	return answer_of(FN_CB_WAIT_CHECKPOINT, 1);
}

static int on_suspend_target(void *data)
{
	HOLDS(data == &h);
	h.target->flags = h.suspend_flags;
	return answer_of(FN_CB_SUSPEND, 1);
}

static void on_results(uint64_t store_gfn, uint64_t console_gfn, void *data)
{
	HOLDS(data == &h);
	h.results.store_gfn = store_gfn;
	h.results.console_gfn = console_gfn;
	answer_of(FN_CB_RESULTS, 0);
}

void harness_save_type(enum xensr_stream_type type, int recv_fd)
{
	h.save.stream_type = type;
	h.save.recv_fd = recv_fd;
	h.save.callbacks.postcopy = on_save_postcopy;
	h.save.callbacks.checkpoint = on_checkpoint;
	if (type == XENSR_STREAM_COLO)
		h.save.callbacks.wait_checkpoint = on_wait_checkpoint;
}

void harness_restore_type(enum xensr_stream_type type, int send_back_fd)
{
	struct xensr_restore_callbacks *cb = &h.restore.callbacks;

	h.restore.stream_type = type;
	h.restore.send_back_fd = send_back_fd;
	cb->checkpoint = on_checkpoint;
	if (type != XENSR_STREAM_COLO)
		return;
	cb->suspend = on_suspend_target;
	cb->postcopy = on_postcopy;
	cb->wait_checkpoint = on_wait_checkpoint;
	cb->restore_results = on_results;
}

void harness_live(bool asked)
{
	h.save.live = true;
	h.save.callbacks.precopy_policy = asked ? on_policy : NULL;
}

void harness_reset(void)
{
	fake_reset();
	memset(&h, 0, sizeof(h));
	h.suspend_answer = 1;
	h.suspend_flags = XEN_DOMINF_hvm_guest | XEN_DOMINF_shutdown | XEN_DOMINF_paused |
			  SHUTDOWN_suspend << XEN_DOMINF_shutdownshift;
	h.save = (struct xensr_save_params)XENSR_SAVE_PARAMS_INIT;
	h.save.xch = fake_xch();
	h.save.domid = SOURCE_DOMID;
	h.save.callbacks.suspend = on_suspend;
	h.save.callbacks.switch_qemu_logdirty = on_switch_qemu_logdirty;
	h.save.callbacks.data = &h;
	h.save.reports = (struct xensr_reports){
		.log = on_log,
		.progress = on_progress,
		.data = &h,
	};
	h.restore = (struct xensr_restore_params)XENSR_RESTORE_PARAMS_INIT;
	h.restore.xch = fake_xch();
	h.restore.domid = TARGET_DOMID;
	h.restore.store_domid = 11;
	h.restore.console_domid = 12;
	h.restore.store_evtchn = 21;
	h.restore.console_evtchn = 22;
	h.restore.callbacks.static_data_done = on_static_data_done;
	h.restore.callbacks.data = &h;
	h.restore.reports = h.save.reports;
}

void harness_forget(void)
{
	h.nr_logs = 0;
	memset(h.nr_level, 0, sizeof(h.nr_level));
	h.progress_calls = h.progress_falls = h.progress_starts = h.progress_whats = 0;
	h.progress_done = h.progress_total = 0;
	h.progress_what[0] = '\0';
	memset(&h.err, 0, sizeof(h.err));
}

int harness_save(int fd)
{
	harness_forget();
	h.save.io_fd = fd;
	memset(&h.saved, 0xa5, sizeof(h.saved));
	errno = 0;
	h.rc = xensr_save(&h.save, &h.saved, &h.err);
	h.errnum = errno;
	return h.rc;
}

int harness_restore(int fd)
{
	harness_forget();
	h.restore.io_fd = fd;
	errno = 0;
	h.rc = xensr_restore(&h.restore, &h.results, &h.err);
	h.errnum = errno;
	return h.rc;
}

bool harness_logged(enum xensr_level level, const char *text)
{
	for (unsigned i = 0; i < h.nr_logs; i++) {
		if (h.logs[i].level == level && strstr(h.logs[i].text, text))
			return true;
	}
	return false;
}

void harness_nothing_left(void)
{
	ck_assert_uint_eq(fake.mappings, 0);
	ck_assert_uint_eq(fake.buffers, 0);
	ck_assert(!h.source || !h.source->log_dirty);
	ck_assert(!h.qemu_logging);
}

void harness_rewind(int fd)
{
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
}

uint64_t harness_save_well(int fd)
{
	uint64_t octets;

	ck_assert_msg(harness_save(fd) == 0, "%s", h.err.text);
	octets = fd_octets(fd);
	harness_rewind(fd);
	return octets;
}

void harness_restore_well(int fd)
{
	ck_assert_msg(harness_restore(fd) == 0, "%s", h.err.text);
	harness_nothing_left();
}

void harness_recount(void)
{
	fake.total = fake.changes = fake.while_running = fake.nr_trace = fake.pages_mapped = 0;
	memset(fake.calls, 0, sizeof(fake.calls));
}

void harness_check_progress(void)
{
	ck_assert_uint_ge(h.progress_calls, 2);
	ck_assert_uint_le(h.progress_calls, 110);
	ck_assert_uint_eq(h.progress_falls, 0);
	ck_assert_uint_eq(h.progress_starts, 1);
	ck_assert_uint_gt(h.progress_done, 0);
	ck_assert_uint_eq(h.progress_done, h.progress_total);
}

void harness_state_untouched(void)
{
	ck_assert_uint_eq(fake.calls[FN_PARAM_SET], 0);
	ck_assert_uint_eq(fake.calls[FN_TSC_SET], 0);
	ck_assert_uint_eq(fake.calls[FN_CONTEXT_SET], 0);
	ck_assert_uint_eq(fake.calls[FN_CLEAR], 0);
	ck_assert_uint_eq(fake.calls[FN_PHYSMAP_ADD], 0);
	ck_assert_uint_eq(fake.calls[FN_MAP_RESOURCE], 0);
}

void harness_failed_somehow(void)
{
	ck_assert_int_eq(h.rc, -1);
	ck_assert_int_ne(h.errnum, 0);
	ck_assert_int_eq(h.err.errnum, h.errnum);
	ck_assert_str_ne(h.err.text, "");
	ck_assert_ptr_null(strstr(h.err.text, "internal error"));
	ck_assert_ptr_null(strchr(h.err.text, '\n'));
	/* Logged once, as the last line. */
	ck_assert_uint_eq(h.nr_level[XENSR_LOG_ERROR], 1);
	ck_assert_str_eq(h.logs[h.nr_logs - 1].text, h.err.text);
	ck_assert_int_eq(h.logs[h.nr_logs - 1].errnum, h.errnum);
	harness_nothing_left();
}

void harness_failed(int errnum, const char *fmt, ...)
{
	char text[sizeof(h.err.text)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	harness_failed_somehow();
	ck_assert_str_eq(h.err.text, text);
	ck_assert_int_eq(h.errnum, errnum);
}

/* ---- guests ------------------------------------------------------------------------------ */

static uint64_t word_for(uint64_t pfn, uint64_t seed, unsigned i)
{
	uint64_t x = (pfn + 1) * 0x9e3779b97f4a7c15ull ^ (seed << 32) ^ i;

	return (x ^ x >> 29) * 0xbf58476d1ce4e5b9ull | 1;
}

void page_fill(void *page, uint64_t pfn, uint64_t seed)
{
	uint64_t *word = page;

	for (unsigned i = 0; i < PAGE_OCTETS / 8; i++)
		word[i] = word_for(pfn, seed, i);
}

bool page_is(const void *page, uint64_t pfn, uint64_t seed)
{
	const uint64_t *word = page;

	if (!page)
		return false;
	for (unsigned i = 0; i < PAGE_OCTETS / 8; i++) {
		if (word[i] != word_for(pfn, seed, i))
			return false;
	}
	return true;
}

bool page_is_zero(const void *page)
{
	const uint64_t *word = page;

	if (!page)
		return false;
	for (unsigned i = 0; i < PAGE_OCTETS / 8; i++) {
		if (word[i])
			return false;
	}
	return true;
}

void source_write(uint64_t pfn, uint64_t seed)
{
	page_fill(fake_page(h.source, pfn), pfn, seed);
	fake_dirty(h.source, pfn);
}

void source_resume(void)
{
	h.source->flags = XEN_DOMINF_hvm_guest | XEN_DOMINF_running;
}

void source_fill(uint64_t first, uint64_t last)
{
	for (uint64_t pfn = first; pfn <= last; pfn++)
		page_fill(fake_page_add(h.source, pfn, 0), pfn, 0);
}

static void *chain_add(void *at, uint16_t type, uint16_t instance, const void *body, uint32_t len)
{
	struct hvm_save_descriptor desc = {
		.typecode = type,
		.instance = instance,
		.length = len,
	};

	memcpy(at, &desc, sizeof(desc));
	if (len)
		memcpy((uint8_t *)at + sizeof(desc), body, len);
	return (uint8_t *)at + sizeof(desc) + len;
}

uint32_t context_make(uint8_t *to)
{
	return context_make_aged(to, 0x5c);
}

uint32_t context_make_aged(uint8_t *to, uint8_t age)
{
	struct hvm_save_header header = {.magic = HVM_FILE_MAGIC, .version = HVM_FILE_VERSION};
	uint8_t cpu[101];
	uint8_t *at = to;

	memset(cpu, age, sizeof(cpu));
	at = chain_add(at, HVM_SAVE_CODE(HEADER), 0, &header, sizeof(header));
	at = chain_add(at, HVM_SAVE_CODE(CPU), 0, cpu, sizeof(cpu));
	at = chain_add(at, HVM_SAVE_CODE(CPU), 1, cpu, sizeof(cpu));
	at = chain_add(at, HVM_SAVE_CODE(END), 0, NULL, 0);
	return (uint32_t)(at - to);
}

static const xen_cpuid_leaf_t some_leaves[] = {
	{0, XEN_CPUID_NO_SUBLEAF, 4, 0x756e6547, 0x6c65746e, 0x49656e69},
	{1, XEN_CPUID_NO_SUBLEAF, 0x306c3, 0, 0x80202001, 0x78bfbff},
	{4, 1, 0x121, 0x2c0003f, 0x3f, 0},
	{7, 0, 0, 0x200, 0, 0},
};
static const xen_msr_entry_t some_msrs[] = {
	{0xce, 0, 0x80000000},
	{0x10a, 0, 0x2b},
};

void source_state(uint64_t special)
{
	struct fake_domain *dom = h.source;

	memcpy(dom->leaves, some_leaves, sizeof(some_leaves));
	dom->nr_leaves = sizeof(some_leaves) / sizeof(some_leaves[0]);
	memcpy(dom->msrs, some_msrs, sizeof(some_msrs));
	dom->nr_msrs = sizeof(some_msrs) / sizeof(some_msrs[0]);
	dom->tsc.mode = 1;
	dom->tsc.khz = 2400000;
	dom->tsc.nsec = 0x123456789abcull;
	dom->tsc.incarnation = 3;
	dom->context_octets = context_make(dom->context);
	dom->params[HVM_PARAM_STORE_PFN] = special + SPECIAL_STORE;
	dom->params[HVM_PARAM_CONSOLE_PFN] = special + SPECIAL_CONSOLE;
	dom->params[HVM_PARAM_IOREQ_PFN] = special + SPECIAL_IOREQ;
	dom->params[HVM_PARAM_BUFIOREQ_PFN] = special + SPECIAL_BUFIOREQ;
	dom->params[HVM_PARAM_IDENT_PT] = 0xfeffe000;
	dom->params[HVM_PARAM_ACPI_IOPORTS_LOCATION] = 1;
	/* A saver leaves these alone: the restorer's own, or of no use there. */
	dom->params[HVM_PARAM_STORE_EVTCHN] = 1001;
	dom->params[HVM_PARAM_CONSOLE_EVTCHN] = 1002;
	dom->params[HVM_PARAM_CALLBACK_IRQ] = 1003;
	dom->flags = XEN_DOMINF_hvm_guest | XEN_DOMINF_running;
}

void source_large(void)
{
	h.source = fake_domain_add(SOURCE_DOMID, 0x4000);
	source_fill(0, 0x9f);
	source_fill(0x100, LARGE_BROKEN - 1);
	fake_page_add(h.source, LARGE_BROKEN, PAGE_BROKEN);
	source_fill(LARGE_BROKEN + 1, LARGE_ALLOC - 1);
	fake_page_add(h.source, LARGE_ALLOC, PAGE_ALLOC_ONLY);
	source_fill(LARGE_ALLOC + 1, LARGE_HOLE - 1);
	source_fill(LARGE_HOLE + 1, LARGE_TOP);
	source_fill(LARGE_SPECIAL, LARGE_SPECIAL + 7);
	source_state(LARGE_SPECIAL);
}

void source_small(void)
{
	h.source = fake_domain_add(SOURCE_DOMID, 0x1000);
	source_fill(0, 0x1f);
	source_fill(0x200, 0x3ff);
	source_fill(0x400, 0x44f);
	source_fill(0x452, 0x4ff);
	source_fill(SMALL_SPECIAL, SMALL_SPECIAL + 7);
	source_state(SMALL_SPECIAL);
}

void target_for_source(void)
{
	h.target = fake_domain_add(TARGET_DOMID, h.source->max_pages);
}

static bool is_ring(uint64_t special, uint64_t pfn)
{
	return pfn >= special && pfn <= special + SPECIAL_BUFIOREQ;
}

static void check_memory(uint64_t special)
{
	uint64_t pages = 0;

	for (uint64_t pfn = 0; pfn < h.source->nr_gpfns; pfn++) {
		const void *was = fake_page(h.source, pfn);
		const void *is = fake_page(h.target, pfn);

		if (!was || pfn == LARGE_BROKEN) {
			MUST(!is, "pfn %#llx was a hole or broken", (unsigned long long)pfn);
			continue;
		}
		MUST(is, "pfn %#llx is missing", (unsigned long long)pfn);
		pages++;
		if (is_ring(special, pfn))
			MUST(page_is_zero(is), "ring %#llx", (unsigned long long)pfn);
		else
			MUST(memcmp(is, was, PAGE_OCTETS) == 0, "pfn %#llx differs",
			     (unsigned long long)pfn);
	}
	ck_assert_uint_eq(fake_pages(h.target), pages);
}

static void check_grants(uint64_t special)
{
	const grant_entry_v1_t *table = fake_grants(h.target);
	const grant_entry_v1_t *console = &table[GNTTAB_RESERVED_CONSOLE];
	const grant_entry_v1_t *store = &table[GNTTAB_RESERVED_XENSTORE];

	ck_assert_uint_eq(console->flags, GTF_permit_access);
	ck_assert_uint_eq(console->domid, 12);
	ck_assert_uint_eq(console->frame, special + SPECIAL_CONSOLE);
	ck_assert_uint_eq(store->flags, GTF_permit_access);
	ck_assert_uint_eq(store->domid, 11);
	ck_assert_uint_eq(store->frame, special + SPECIAL_STORE);
	for (unsigned i = 2; i < PAGE_OCTETS / sizeof(*table); i++)
		MUST(table[i].flags == 0, "grant %u is set", i);
}

static void check_params(void)
{
	uint64_t expect[FAKE_PARAMS];

	memcpy(expect, h.source->params, sizeof(expect));
	expect[HVM_PARAM_STORE_EVTCHN] = 21;
	expect[HVM_PARAM_CONSOLE_EVTCHN] = 22;
	expect[HVM_PARAM_CALLBACK_IRQ] = 0;
	for (unsigned i = 0; i < FAKE_PARAMS; i++)
		MUST(h.target->params[i] == expect[i], "parameter %u is %#llx", i,
		     (unsigned long long)h.target->params[i]);
}

void target_check(uint64_t special)
{
	const struct fake_domain *was = h.source, *is = h.target;

	check_memory(special);
	check_params();
	check_grants(special);
	ck_assert_mem_eq(&is->tsc, &was->tsc, sizeof(was->tsc));
	ck_assert_uint_eq(is->context_octets, was->context_octets);
	ck_assert_mem_eq(is->context, was->context, was->context_octets);
	ck_assert_uint_eq(is->nr_leaves, was->nr_leaves);
	ck_assert_mem_eq(is->leaves, was->leaves, sizeof(was->leaves));
	ck_assert_uint_eq(is->nr_msrs, was->nr_msrs);
	ck_assert_mem_eq(is->msrs, was->msrs, sizeof(was->msrs));
	ck_assert_uint_eq(h.results.store_gfn, special + SPECIAL_STORE);
	ck_assert_uint_eq(h.results.console_gfn, special + SPECIAL_CONSOLE);
}

/* ---- streams ----------------------------------------------------------------------------- */

int memfd_new(void)
{
	int fd = memfd_create("stream", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_ge(fd, 0);
	return fd;
}

uint64_t fd_octets(int fd)
{
	off_t at = lseek(fd, 0, SEEK_CUR);

	ck_assert_int_ge(at, 0);
	return (uint64_t)at;
}

void stream_release(struct stream *s)
{
	free(s->data);
	*s = (struct stream){0};
}

void stream_put(struct stream *s, const void *data, size_t len)
{
	if (s->len + len > s->room) {
		s->room = (s->len + len) * 2;
		s->data = realloc(s->data, s->room);
		ck_assert_ptr_nonnull(s->data);
	}
	if (len)
		memcpy(s->data + s->len, data, len);
	s->len += len;
}

void stream_headers(struct stream *s, uint32_t version, uint32_t guest_type)
{
	struct wire_image_header image = {
		.marker = IMAGE_MARKER,
		.id = htobe32(IMAGE_ID),
		.version = htobe32(version),
	};
	struct wire_domain_header domain = {
		.type = guest_type,
		.page_shift = PAGE_SHIFT_X86,
		.xen_major = 4,
		.xen_minor = 17,
	};

	stream_put(s, &image, sizeof(image));
	stream_put(s, &domain, sizeof(domain));
}

uint64_t stream_record(struct stream *s, uint32_t type, const void *body, size_t len)
{
	static const uint8_t zeroes[RECORD_ALIGN];
	struct wire_record_header header = {.type = type, .length = (uint32_t)len};
	uint64_t at = s->len;

	stream_put(s, &header, sizeof(header));
	stream_put(s, body, len);
	stream_put(s, zeroes, -len % RECORD_ALIGN);
	return at;
}

uint64_t stream_pages(struct stream *s, const uint64_t *entries, uint32_t count, uint64_t seed)
{
	struct wire_page_data head = {.count = count};
	struct wire_record_header header = {.type = REC_PAGE_DATA};
	uint8_t page[PAGE_OCTETS];
	uint64_t at = s->len;
	uint32_t n = 0;

	for (uint32_t i = 0; i < count; i++)
		n += page_type_has_data(page_entry_type(entries[i]));
	header.length = (uint32_t)sizeof(head) + count * 8 + n * PAGE_OCTETS;
	stream_put(s, &header, sizeof(header));
	stream_put(s, &head, sizeof(head));
	stream_put(s, entries, count * sizeof(*entries));
	for (uint32_t i = 0; i < count; i++) {
		if (!page_type_has_data(page_entry_type(entries[i])))
			continue;
		page_fill(page, page_entry_pfn(entries[i]), seed);
		stream_put(s, page, sizeof(page));
	}
	return at;
}

uint64_t stream_run(struct stream *s, uint64_t first, uint32_t n, uint64_t seed)
{
	uint64_t *entries = malloc(n * sizeof(*entries));
	uint64_t at;

	ck_assert_ptr_nonnull(entries);
	for (uint32_t i = 0; i < n; i++)
		entries[i] = page_entry(first + i, PAGE_NORMAL);
	at = stream_pages(s, entries, n, seed);
	free(entries);
	return at;
}

uint64_t stream_tsc(struct stream *s)
{
	return stream_tsc_aged(s, 0x123456789abcull);
}

uint64_t stream_tsc_aged(struct stream *s, uint64_t age)
{
	struct wire_x86_tsc_info tsc = {
		.mode = 1,
		.khz = 2400000,
		.nsec = age,
		.incarnation = 3,
	};

	return stream_record(s, REC_X86_TSC_INFO, &tsc, sizeof(tsc));
}

uint64_t stream_context(struct stream *s)
{
	return stream_context_aged(s, 0x5c);
}

uint64_t stream_context_aged(struct stream *s, uint8_t age)
{
	uint8_t context[FAKE_CONTEXT];
	uint32_t octets = context_make_aged(context, age);

	return stream_record(s, REC_HVM_CONTEXT, context, octets);
}

uint64_t stream_params(struct stream *s, uint32_t count, const uint64_t (*params)[2])
{
	uint64_t body[1 + 2 * 64] = {count};

	ck_assert_uint_le(count, 64);
	if (count)
		memcpy(body + 1, params, count * sizeof(*params));
	return stream_record(s, REC_HVM_PARAMS, body, 8 + count * sizeof(*params));
}

uint64_t stream_usual_params(struct stream *s, uint64_t special)
{
	const uint64_t params[][2] = {
		{HVM_PARAM_STORE_PFN, special + SPECIAL_STORE},
		{HVM_PARAM_IOREQ_PFN, special + SPECIAL_IOREQ},
		{HVM_PARAM_BUFIOREQ_PFN, special + SPECIAL_BUFIOREQ},
		{HVM_PARAM_CONSOLE_PFN, special + SPECIAL_CONSOLE},
		{HVM_PARAM_ACPI_IOPORTS_LOCATION, 1},
		{HVM_PARAM_IDENT_PT, 0xfeffe000},
	};

	return stream_params(s, 6, params);
}

uint64_t stream_cpuid(struct stream *s)
{
	return stream_record(s, REC_X86_CPUID_POLICY, some_leaves, sizeof(some_leaves));
}

uint64_t stream_msrs(struct stream *s)
{
	return stream_record(s, REC_X86_MSR_POLICY, some_msrs, sizeof(some_msrs));
}

void stream_begin(struct stream *s)
{
	stream_headers(s, 3, GUEST_X86_HVM);
	stream_record(s, REC_STATIC_DATA_END, NULL, 0);
}

void stream_finish(struct stream *s, uint64_t special)
{
	stream_run(s, special, 8, 0);
	stream_tsc(s);
	stream_context(s);
	stream_usual_params(s, special);
	stream_record(s, REC_END, NULL, 0);
}

int stream_fd_cut(const struct stream *s, size_t len)
{
	int fd = memfd_new();

	for (size_t done = 0; done < len;) {
		ssize_t put = write(fd, s->data + done, len - done);

		MUST(put > 0, "no stream in a memfd");
		done += (size_t)put;
	}
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

int stream_fd(const struct stream *s)
{
	return stream_fd_cut(s, s->len);
}

void stream_load(struct stream *s, int fd)
{
	uint8_t octets[65536];
	ssize_t got;

	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	while ((got = read(fd, octets, sizeof(octets))) > 0)
		stream_put(s, octets, (size_t)got);
	ck_assert_int_eq(got, 0);
}

unsigned stream_items(const struct stream *s, struct stream_item items[STREAM_ITEMS])
{
	uint64_t at = sizeof(struct wire_image_header) + sizeof(struct wire_domain_header);
	unsigned n = 0;

	while (at < s->len) {
		struct wire_record_header header;

		ck_assert_uint_lt(n, STREAM_ITEMS);
		ck_assert_uint_le(at + sizeof(header), s->len);
		memcpy(&header, s->data + at, sizeof(header));
		items[n] = (struct stream_item){
			.offset = at,
			.type = header.type,
			.length = header.length,
			.body = s->data + at + sizeof(header),
			.end = at + sizeof(header) + ((uint64_t)header.length + 7) / 8 * 8,
		};
		at = items[n++].end;
	}
	ck_assert_uint_eq(at, s->len);
	return n;
}

struct log_dirty harness_log(struct xensr_ctx *ctx, uint64_t nr_pfns)
{
	struct log_dirty log = {0};

	ck_assert_int_eq(log_dirty_reserve(ctx, fake_xch(), &log, nr_pfns), 0);
	ck_assert_uint_eq(log.nr_pfns, nr_pfns);
	return log;
}

void log_mark(struct log_dirty *log, uint64_t pfn)
{
	log->bitmap[pfn / 64] |= 1ull << (pfn % 64);
}

bool log_marked(const struct log_dirty *log, uint64_t pfn)
{
	return log->bitmap[pfn / 64] >> (pfn % 64) & 1;
}

TCase *harness_tcase(Suite *suite, const char *name, SFun set_up, SFun tear_down)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 120); /* only a hang takes that long */
	suite_add_tcase(suite, tc);
	return tc;
}

int harness_main(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
