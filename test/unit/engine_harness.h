/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the engine's tests share: domains to save, streams to restore, one call to run each way,
 * and what was reported meanwhile. Stands on engine_fake_xen.
 */
#ifndef XENSR_TEST_ENGINE_HARNESS_H
#define XENSR_TEST_ENGINE_HARNESS_H

#include <check.h>

#include <xenctrl.h>
#include <xenguest.h>
#include <xensr.h>

#include "engine_fake_xen.h"
#include "format.h"
#include "log_dirty.h"

#define SOURCE_DOMID 5u
#define TARGET_DOMID 7u

/* ---- the two operations ------------------------------------------------------------------ */

#define HARNESS_LOGS  256u
#define HARNESS_ASKED 64u

/* Parameters are filled by harness_reset(); change them before the run. */
struct harness {
	struct fake_domain *source, *target;
	struct xensr_save_params save;
	struct xensr_restore_params restore;
	struct xensr_save_results saved;
	struct xensr_restore_results results;

	/* What the callbacks answer. */
	int suspend_answer;
	int suspend_errno;
	uint32_t suspend_flags; /* what the domain's flags become */
	int static_answer;
	/*
	 * Asked for the answers of all callbacks but those above; nth counts the calls of each,
	 * from 1. NULL: each says that all is well. May change the guest; for that alone it is
	 * also called when the source is about to be suspended.
	 */
	int (*script)(unsigned callback, unsigned nth);

	/* What happened. */
	int rc, errnum;
	struct xensr_error err;
	unsigned suspends, static_calls, missing;
	unsigned callbacks[FN_END];
	bool qemu_logging;
	unsigned nr_asked; /* by the precopy policy */
	struct precopy_stats asked[HARNESS_ASKED];
	unsigned nr_logs, nr_level[XENSR_LOG_ERROR + 1];
	struct {
		enum xensr_level level;
		int errnum;
		char text[560];
	} logs[HARNESS_LOGS];
	/* progress_starts: that say 0 pages; progress_whats: different lines in a row. */
	unsigned progress_calls, progress_falls, progress_starts, progress_whats;
	uint64_t progress_done, progress_total;
	char progress_what[64];
};
extern struct harness h;

/* A new fake host, no domains, parameters as a caller with everything in place has them. */
void harness_reset(void);

/* Run and keep what came of it in h. The fd is used from where it stands. Return h.rc. */
int harness_save(int fd);
int harness_restore(int fd);

/* Save the source and be sure it worked. Leaves fd at the start. Returns the octets. */
uint64_t harness_save_well(int fd);

/* Restore, and be sure it worked and left nothing mapped. */
void harness_restore_well(int fd);

void harness_rewind(int fd);

/* Forget what was counted of the calls of the run before. */
void harness_recount(void);

/* Progress went from nothing to all, without a fall. */
void harness_check_progress(void);

/* What was reported so far is of no interest: another operation begins. */
void harness_forget(void);

/* All callbacks that a stream of this type needs. */
void harness_save_type(enum xensr_stream_type type, int recv_fd);
void harness_restore_type(enum xensr_stream_type type, int send_back_fd);

/* A live save that asks the script before and after each round. */
void harness_live(bool asked);

/* Is there a line of this level that contains this text? */
bool harness_logged(enum xensr_level level, const char *text);

/* Check that the last run failed with this errno and exactly this text, and left nothing. */
void harness_failed(int errnum, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Check that the last run failed with some errno and text, and left nothing. */
void harness_failed_somehow(void);

/* Check that nothing of the target has been changed but its memory. */
void harness_state_untouched(void);

/* No mapping, no buffer; nothing logs what the source writes. */
void harness_nothing_left(void);

/* ---- guests ------------------------------------------------------------------------------ */

/* The content that a test gives to a pfn; seed tells one version of a page from another. */
void page_fill(void *page, uint64_t pfn, uint64_t seed);
bool page_is(const void *page, uint64_t pfn, uint64_t seed);
bool page_is_zero(const void *page);

/* The source writes to a page, which is logged if anything logs. */
void source_write(uint64_t pfn, uint64_t seed);

/* It goes on after a suspend. */
void source_resume(void);

/* Pages first … last of the source, filled with seed 0. */
void source_fill(uint64_t first, uint64_t last);

/* The rest of a domain: policy, TSC, context, parameters that name four special pages. */
void source_state(uint64_t special);

/*
 * A guest of 128 MiB's layout in small: low memory with the hole for VGA, 2 MiB runs of which
 * some are whole, one has a hole, one a broken and one an allocate-only page, and special
 * pages at the top of the address space.
 */
#define LARGE_TOP      0x1fffull
#define LARGE_HOLE     0x1234ull
#define LARGE_BROKEN   0x0a10ull
#define LARGE_ALLOC    0x0c77ull
#define LARGE_SPECIAL  0xfeff8ull
#define LARGE_WHOLE_2M 13u
void source_large(void);

/* The same within few pages: one whole run, one with a hole. */
#define SMALL_SPECIAL 0x5f8ull
void source_small(void);

/* A domain to restore it into. */
void target_for_source(void);

/* The four special pages by their place after `special`. */
#define SPECIAL_STORE    0
#define SPECIAL_CONSOLE  1
#define SPECIAL_IOREQ    2
#define SPECIAL_BUFIOREQ 3

/* Fail unless the target is what the source was. */
void target_check(uint64_t special);

/* ---- streams ----------------------------------------------------------------------------- */

int memfd_new(void);
uint64_t fd_octets(int fd);

struct stream {
	uint8_t *data;
	size_t len, room;
};

void stream_release(struct stream *s);
void stream_put(struct stream *s, const void *data, size_t len);
void stream_headers(struct stream *s, uint32_t version, uint32_t guest_type);
/* Returns the offset of the record. */
uint64_t stream_record(struct stream *s, uint32_t type, const void *body, size_t len);
/* Entries and the pages of those with data, filled with seed. */
uint64_t stream_pages(struct stream *s, const uint64_t *entries, uint32_t count, uint64_t seed);
/* Normal pages first … first + n - 1. */
uint64_t stream_run(struct stream *s, uint64_t first, uint32_t n, uint64_t seed);
uint64_t stream_tsc(struct stream *s);
uint64_t stream_context(struct stream *s);
/* Those of a guest that is `age` old: each age has others. */
uint64_t stream_tsc_aged(struct stream *s, uint64_t age);
uint64_t stream_context_aged(struct stream *s, uint8_t age);
uint64_t stream_params(struct stream *s, uint32_t count, const uint64_t (*params)[2]);
/* The parameters of source_state(). */
uint64_t stream_usual_params(struct stream *s, uint64_t special);
uint64_t stream_cpuid(struct stream *s);
uint64_t stream_msrs(struct stream *s);

/* An HVM guest's headers and static data without policy; its special pages and what closes the image. */
void stream_begin(struct stream *s);
void stream_finish(struct stream *s, uint64_t special);

/* A memfd with the first len octets, at its start. */
int stream_fd_cut(const struct stream *s, size_t len);
int stream_fd(const struct stream *s);
/* All of an fd. */
void stream_load(struct stream *s, int fd);

struct stream_item {
	uint64_t offset;
	uint32_t type, length;
	const uint8_t *body;
	uint64_t end; /* of the padding */
};
#define STREAM_ITEMS 256u
/* The records of a well-formed stream. Returns their number. */
unsigned stream_items(const struct stream *s, struct stream_item items[STREAM_ITEMS]);

/* A context blob with a well-formed chain. Returns its size, at most FAKE_CONTEXT. */
uint32_t context_make(uint8_t *to);
uint32_t context_make_aged(uint8_t *to, uint8_t age);

/* A log of dirty pages for that many pfns, all clean; release it. Mark one; is it marked? */
struct log_dirty harness_log(struct xensr_ctx *ctx, uint64_t nr_pfns);
void log_mark(struct log_dirty *log, uint64_t pfn);
bool log_marked(const struct log_dirty *log, uint64_t pfn);

/* A case of the suite; what goes before and after each of its tests may be NULL. */
TCase *harness_tcase(Suite *suite, const char *name, SFun set_up, SFun tear_down);

/* The runner of one program's suite. */
int harness_main(Suite *suite);

#endif
