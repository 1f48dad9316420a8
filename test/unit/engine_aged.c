/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine_aged.h"

#include <string.h>
#include <unistd.h>

#include <xen/hvm/params.h>

#include "pages.h"
#include "record.h"

struct aged aged;

/* ---- a guest that lives through three checkpoints ------------------------------------------ */

/* What each pfn holds at each checkpoint: a seed, or one of these. */
#define HOLE 0
#define ZERO 0xfe /* as Xen gives it: allocate only, or a ring */

/* A record of these entries, with the pages as `image` has them. */
static void put_pages(const struct aged_image *image, const uint64_t *entries, uint32_t n)
{
	struct stream pages = {0};
	uint64_t at = aged.stream.len, body = 16 + n * 8ull;

	stream_pages(&pages, entries, n, 0);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t pfn = page_entry_pfn(entries[i]);

		if (!page_type_has_data(page_entry_type(entries[i])))
			continue;
		page_fill(pages.data + body, pfn,
			  image->pages[pfn] == ZERO ? 99 : image->pages[pfn]);
		memset(aged.is_page + at + body, true, PAGE_OCTETS);
		body += PAGE_OCTETS;
	}
	stream_put(&aged.stream, pages.data, pages.len);
	stream_release(&pages);
}

static void put_params(const struct aged_image *image)
{
	const uint64_t params[][2] = {
		{HVM_PARAM_STORE_PFN, AGED_SPECIAL + SPECIAL_STORE},
		{HVM_PARAM_IOREQ_PFN, AGED_SPECIAL + SPECIAL_IOREQ},
		{HVM_PARAM_BUFIOREQ_PFN, AGED_SPECIAL + SPECIAL_BUFIOREQ},
		{HVM_PARAM_CONSOLE_PFN, AGED_SPECIAL + SPECIAL_CONSOLE},
		{HVM_PARAM_VM_GENERATION_ID_ADDR, image->generation},
	};

	stream_params(&aged.stream, image->generation ? 5 : 4, params);
}

/* What closes image `age`. */
static void put_state(unsigned age)
{
	stream_tsc_aged(&aged.stream, 1000 + age);
	stream_context_aged(&aged.stream, (uint8_t)(0x30 + age));
	put_params(&aged.images[age]);
}

static void put_checkpoint(unsigned age)
{
	put_state(age);
	stream_record(&aged.stream, REC_CHECKPOINT, NULL, 0);
	aged.complete_at[age] = aged.stream.len;
}

static uint64_t change(struct aged_image *image, uint64_t pfn, enum page_type type, uint8_t seed)
{
	image->pages[pfn] = type == PAGE_NORMAL ? seed : type == PAGE_ALLOC_ONLY ? ZERO : HOLE;
	return page_entry(pfn, type);
}

static void put_first(void)
{
	struct aged_image *image = &aged.images[1];
	uint64_t entries[12];
	uint32_t n = 0;

	for (uint64_t pfn = 0x10; pfn < 0x16; pfn++)
		entries[n++] = change(image, pfn, PAGE_NORMAL, 1);
	for (uint64_t i = 0; i < 4; i++)
		entries[n++] = change(image, AGED_SPECIAL + i, PAGE_NORMAL, 1);
	for (uint64_t i = 0; i < 4; i++)
		image->pages[AGED_SPECIAL + i] = ZERO;
	image->generation = 0x1111;
	put_pages(image, entries, n);
	put_checkpoint(1);
}

static void put_second(void)
{
	struct aged_image *image = &aged.images[2];
	uint64_t entries[8];

	*image = aged.images[1];
	image->generation = 0x2222;
	stream_record(&aged.stream, 0x80000077, "optional", 8);
	entries[0] = change(image, 0x11, PAGE_NORMAL, 2);
	entries[1] = change(image, 0x13, PAGE_INVALID, 0);
	entries[2] = change(image, 0x14, PAGE_INVALID, 0);
	entries[3] = change(image, 0x30, PAGE_NORMAL, 2);
	put_pages(image, entries, 4);
	entries[0] = change(image, 0x14, PAGE_NORMAL, 2); /* it was deferred only */
	entries[1] = change(image, 0x31, PAGE_ALLOC_ONLY, 0);
	put_pages(image, entries, 2);
	put_checkpoint(2);
}

static void put_third(void)
{
	struct aged_image *image = &aged.images[3];
	uint64_t entries[8];

	*image = aged.images[2];
	image->generation = 0;
	entries[0] = change(image, 0x11, PAGE_NORMAL, 3);
	entries[1] = change(image, 0x12, PAGE_INVALID, 0);
	entries[2] = change(image, 0x13, PAGE_NORMAL, 3); /* memory again */
	entries[3] = change(image, 0x30, PAGE_INVALID, 0);
	put_pages(image, entries, 4);
	put_checkpoint(3);
}

/* Some of a fourth, which never becomes complete. */
static void put_rest(void)
{
	struct aged_image scratch = aged.images[3];
	uint64_t entries[4];

	entries[0] = change(&scratch, 0x10, PAGE_NORMAL, 4);
	entries[1] = change(&scratch, 0x11, PAGE_INVALID, 0);
	entries[2] = change(&scratch, 0x32, PAGE_NORMAL, 4);
	put_pages(&scratch, entries, 3);
	stream_tsc_aged(&aged.stream, 1004);
	stream_context_aged(&aged.stream, 0x34);
}

void aged_build(void)
{
	harness_reset();
	memset(&aged, 0, sizeof(aged));
	stream_headers(&aged.stream, 3, GUEST_X86_HVM);
	aged.complete_at[0] = aged.stream.len;
	stream_record(&aged.stream, REC_STATIC_DATA_END, NULL, 0);
	put_first();
	put_second();
	put_third();
	put_rest();
	HOLDS(aged.stream.len < sizeof(aged.is_page));
}

void aged_release(void)
{
	stream_release(&aged.stream);
	stream_release(&aged.edited);
}

/* ---- running it ----------------------------------------------------------------------------- */

void aged_target(enum xensr_stream_type type, int send_back_fd)
{
	int (*script)(unsigned, unsigned) = h.script;

	harness_reset();
	h.script = script;
	h.target = fake_domain_add(TARGET_DOMID, 0x100);
	harness_restore_type(type, send_back_fd);
}

void aged_restore(const struct stream *stream, size_t len)
{
	int fd = stream_fd_cut(stream, len);

	harness_restore(fd);
	close(fd);
}

void aged_check_page(unsigned age, uint64_t pfn)
{
	const void *page = fake_page(h.target, pfn);
	unsigned seed = aged.images[age].pages[pfn];

	if (seed == HOLE)
		MUST(!page, "checkpoint %u: pfn %#llx was a hole", age, (unsigned long long)pfn);
	else if (seed == ZERO)
		MUST(page_is_zero(page), "checkpoint %u: pfn %#llx is not zero", age,
		     (unsigned long long)pfn);
	else
		MUST(page_is(page, pfn, seed), "checkpoint %u: pfn %#llx differs", age,
		     (unsigned long long)pfn);
}

void aged_check(unsigned age)
{
	uint8_t context[FAKE_CONTEXT];
	uint32_t octets = context_make_aged(context, (uint8_t)(0x30 + age));
	const struct fake_domain *dom = h.target;
	uint64_t pages = 0;

	for (uint64_t pfn = 0; pfn < AGED_TOP; pfn++) {
		aged_check_page(age, pfn);
		pages += aged.images[age].pages[pfn] != HOLE;
	}
	MUST(fake_pages(dom) == pages, "%llu pages", (unsigned long long)fake_pages(dom));
	MUST(dom->tot_pages == pages, "%llu pages", (unsigned long long)dom->tot_pages);
	MUST(dom->tsc.nsec == 1000 + age, "TSC of %llu", (unsigned long long)dom->tsc.nsec);
	MUST(dom->context_octets == octets && memcmp(dom->context, context, octets) == 0,
	     "another context than of checkpoint %u", age);
	MUST(dom->params[HVM_PARAM_VM_GENERATION_ID_ADDR] == aged.images[age].generation,
	     "checkpoint %u: generation %#llx", age,
	     (unsigned long long)dom->params[HVM_PARAM_VM_GENERATION_ID_ADDR]);
	MUST(dom->params[HVM_PARAM_STORE_PFN] == AGED_SPECIAL, "no store");
	MUST(dom->params[HVM_PARAM_STORE_EVTCHN] == 21, "no event channel");
	MUST(h.results.store_gfn == AGED_SPECIAL + SPECIAL_STORE, "no store");
	MUST(h.results.console_gfn == AGED_SPECIAL + SPECIAL_CONSOLE, "no console");
	MUST(fake_grants(h.target)[GNTTAB_RESERVED_XENSTORE].frame == AGED_SPECIAL, "no grants");
	MUST(fake.calls[FN_CONTEXT_SET] == 1, "the state was given %u times",
	     fake.calls[FN_CONTEXT_SET]);
}

void aged_went_well(unsigned age, bool failed_over)
{
	MUST(h.rc == 0, "%s", h.err.text);
	MUST(h.results.checkpoints == age, "%llu checkpoints, not %u",
	     (unsigned long long)h.results.checkpoints, age);
	MUST(h.results.failed_over == failed_over, "failed over: %d", h.results.failed_over);
	MUST(h.nr_level[XENSR_LOG_ERROR] == 0, "an error was logged");
	MUST(fake.mappings == 0 && fake.buffers == 0, "something is left");
	aged_check(age);
}

unsigned aged_complete_before(uint64_t len)
{
	unsigned age = 0;

	while (age < AGED_LAST && len >= aged.complete_at[age + 1])
		age++;
	return age;
}

/* ---- variations ----------------------------------------------------------------------------- */

void aged_edit(uint64_t len)
{
	stream_put(&aged.edited, aged.stream.data, len);
}

void aged_restore_edited(void)
{
	aged_restore(&aged.edited, aged.edited.len);
	stream_release(&aged.edited);
}

void aged_answer_with(unsigned callback, unsigned nth, int what)
{
	aged.answered = callback;
	aged.answered_nth = nth;
	aged.answer = what;
	h.script = aged_answer;
}

int aged_answer(unsigned callback, unsigned nth)
{
	return callback == aged.answered && nth == aged.answered_nth ? aged.answer : 1;
}
