/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * COLO's list of dirty pages by itself, there and back.
 */
#include "engine_harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "dirty_list.h"
#include "log_dirty.h"
#include "pages.h"

static struct xensr_ctx ctx;

static void setup(void)
{
	const struct xensr_reports none = {0};

	harness_reset();
	ctx_init(&ctx, -1, &none);
}

static int fds[2];

static void setup_list(void)
{
	setup();
	signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	ck_assert_int_eq(fcntl(fds[0], F_SETFL, 0), 0);
}

static void teardown_list(void)
{
	close(fds[0]);
	close(fds[1]);
}

static const unsigned lengths[] = {0, 1, 2, 63, 1023, 1024, 1025, 2048, 5000};
#define LENGTHS 9

START_TEST(list_there_and_back)
{
	unsigned n = lengths[_i];
	struct log_dirty from = harness_log(&ctx, 50000), to = harness_log(&ctx, 50000);
	struct wire_record_header header;
	uint64_t pfns[5000];

	for (unsigned i = 0; i < n; i++)
		log_mark(&from, 49999 - i * 9);
	ck_assert_int_eq(dirty_list_send(&ctx, fds[1], &from, n), 0);

	/* On the wire: a header of 8 octets, the pfns upwards, and nothing else. */
	ck_assert_int_eq(read(fds[0], &header, sizeof(header)), sizeof(header));
	ck_assert_uint_eq(header.type, 15);
	ck_assert_uint_eq(header.length, n * 8);
	if (n)
		ck_assert_int_eq(read(fds[0], pfns, sizeof(pfns)), n * 8);
	ck_assert_int_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_eq(read(fds[0], &header, 1), -1);
	for (unsigned i = 0; i < n; i++)
		MUST(pfns[i] == 49999 - (n - 1 - i) * 9, "pfn %u is %llu", i,
		     (unsigned long long)pfns[i]);

	/* What is in the bitmap already stays. */
	log_mark(&to, 3);
	log_mark(&to, 49999);
	header = (struct wire_record_header){15, n * 8};
	ck_assert_int_eq(write(fds[1], &header, 8), 8);
	ck_assert_int_eq(write(fds[1], pfns, n * 8), n * 8);
	ck_assert_int_eq(write(fds[1], "next", 4), 4);
	ck_assert_int_eq(dirty_list_receive(&ctx, fds[0], &to), 0);
	ck_assert_int_eq(read(fds[0], pfns, 8), 4); /* not an octet too many was read */
	log_mark(&from, 3);
	log_mark(&from, 49999);
	ck_assert_mem_eq(from.bitmap, to.bitmap, 50000 / 8);
	ck_assert_uint_eq(ctx.offset, 0);
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &from);
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &to);
}
END_TEST

START_TEST(list_refused)
{
	static const struct {
		struct wire_record_header header;
		uint64_t pfn;
		const char *text;
	} cases[] = {
		{{15, 8}, 1000, "back channel: pfn 0x3e8 is beyond the guest's last, 0x3e7"},
		{{15, 8},
		 UINT64_MAX,
		 "back channel: pfn 0xffffffffffffffff is beyond the guest's last, 0x3e7"},
		{{15, 8},
		 1ull << 40,
		 "back channel: pfn 0x10000000000 is beyond the guest's last, 0x3e7"},
		{{14, 0}, 0, "back channel: a record of type 0xe, not CHECKPOINT_DIRTY_PFN_LIST"},
		{{0x8000000f, 8},
		 0,
		 "back channel: a record of type 0x8000000f, not CHECKPOINT_DIRTY_PFN_LIST"},
		{{15, 4}, 0, "back channel: 4 octets are no length of a list of pfns"},
		{{15, 9}, 0, "back channel: 9 octets are no length of a list of pfns"},
		{{15, 0xfffffff8},
		 0,
		 "back channel: 4294967288 octets are no length of a list of pfns"},
		{{15, RECORD_LENGTH_MAX + 8}, 0, NULL},
	};
	struct log_dirty log = harness_log(&ctx, 1000);

	ck_assert_int_eq(write(fds[1], &cases[_i].header, 8), 8);
	ck_assert_int_eq(write(fds[1], &cases[_i].pfn, 8), 8);
	ck_assert_int_eq(dirty_list_receive(&ctx, fds[0], &log), -1);
	ck_assert_int_eq(ctx.err.errnum, EBADMSG);
	if (cases[_i].text)
		ck_assert_str_eq(ctx.err.text, cases[_i].text);
	ck_assert(!ctx.peer_gone);
	ck_assert_uint_eq(log_dirty_count(&log), 0);
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &log);
}
END_TEST

/* A bad pfn in the second slice. */
START_TEST(list_refused_later)
{
	struct log_dirty log = harness_log(&ctx, 5000);
	struct wire_record_header header = {15, 3000 * 8};
	uint64_t pfns[3000];

	for (unsigned i = 0; i < 3000; i++)
		pfns[i] = i;
	pfns[_i] = 5000;
	ck_assert_int_eq(write(fds[1], &header, 8), 8);
	ck_assert_int_eq(write(fds[1], pfns, sizeof(pfns)), sizeof(pfns));
	ck_assert_int_eq(dirty_list_receive(&ctx, fds[0], &log), -1);
	ck_assert_str_eq(ctx.err.text,
			 "back channel: pfn 0x1388 is beyond the guest's last, 0x1387");
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &log);
}
END_TEST

START_TEST(list_cut)
{
	struct log_dirty log = harness_log(&ctx, 100);
	struct {
		struct wire_record_header header;
		uint64_t pfns[3];
	} list = {{15, 24}, {5, 6, 99}};

	for (size_t len = 0; len < sizeof(list); len++) {
		const struct xensr_reports none = {0};

		teardown_list();
		ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
		ctx_init(&ctx, -1, &none);
		ck_assert_int_eq(write(fds[1], &list, len), (ssize_t)len);
		close(fds[1]);
		ck_assert_int_eq(dirty_list_receive(&ctx, fds[0], &log), -1);
		ck_assert_int_eq(ctx.err.errnum, ENODATA);
		ck_assert(ctx.peer_gone);
		ck_assert_ptr_nonnull(strstr(ctx.err.text, "back channel: the stream ends early"));
	}
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &log);
}
END_TEST

START_TEST(list_not_sent)
{
	struct log_dirty log = harness_log(&ctx, 100);

	log_mark(&log, 5);
	ck_assert_int_eq(dirty_list_send(&ctx, fds[1], &log, RECORD_LENGTH_MAX / 8 + 1), -1);
	ck_assert_int_eq(ctx.err.errnum, EMSGSIZE);
	ck_assert_ptr_nonnull(strstr(ctx.err.text, " dirty pages are more than a record holds"));
	ck_assert(!ctx.peer_gone);
	ck_assert_int_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_eq(read(fds[0], &(char){0}, 1), -1);
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &log);
}
END_TEST

START_TEST(list_nobody_reads)
{
	struct log_dirty log = harness_log(&ctx, 100);

	log_mark(&log, 5);
	close(fds[0]);
	ck_assert_int_eq(dirty_list_send(&ctx, _i ? -1 : fds[1], &log, 1), -1);
	ck_assert_int_eq(ctx.err.errnum, _i ? EBADF : EPIPE);
	ck_assert(ctx.peer_gone == !_i);
	ck_assert_ptr_nonnull(strstr(ctx.err.text, "back channel: cannot write the stream"));
	log_dirty_release(&ctx, fake_xch(), SOURCE_DOMID, &log);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine: list of dirty pages");
	TCase *tc;

	tc = harness_tcase(suite, "list", setup_list, teardown_list);
	tcase_add_loop_test(tc, list_there_and_back, 0, LENGTHS);
	tcase_add_loop_test(tc, list_refused, 0, 9);
	tcase_add_loop_test(tc, list_refused_later, 1023, 1026);
	tcase_add_test(tc, list_cut);
	tcase_add_test(tc, list_not_sent);
	tcase_add_loop_test(tc, list_nobody_reads, 0, 2);
	return harness_main(suite);
}
