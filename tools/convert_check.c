/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What was written, looked at as a restore would: each record has been checked before, but not that
 * they hold together.
 */
#include "convert.h"

#include <errno.h>
#include <stdlib.h>

#include "state_check.h"

struct check {
	struct convert *convert;
	struct walk walk;
	struct state_check state;
	bool no_memory;
};

static int take_record(void *data, const struct walk_record *record)
{
	struct check *check = data;

	check->no_memory = state_check_record(&check->state, &check->walk, record) != 0;
	return check->no_memory ? -1 : 0;
}

static uint32_t wanted(void *data, const struct walk_record *record)
{
	const struct check *check = data;

	return state_check_wanted(&check->state, &check->walk, record);
}

static int take_page(void *data, const struct walk_record *record, uint32_t entry,
		     const uint8_t *octets)
{
	struct check *check = data;

	check->no_memory =
		state_check_page(&check->state, &check->walk, record, entry, octets) != 0;
	return check->no_memory ? -1 : 0;
}

/* The first error is enough. */
static int take_finding(void *data, const struct walk_finding *finding)
{
	struct check *check = data;
	struct xensr_ctx *in = &check->convert->in;

	if (finding->severity != WALK_ERROR)
		return 0;
	ctx_leave(in);
	return ctx_fail(in, EBADMSG, "what comes of it cannot be restored: %s", finding->text);
}

int convert_check(struct convert *convert, const char *path)
{
	static const struct walk_ops ops = {
		.record = take_record,
		.wanted = wanted,
		.page = take_page,
		.finding = take_finding,
	};
	struct check check = {.convert = convert};
	struct xensr_ctx *out = &convert->out;
	struct image image = {.fd = -1};
	struct source source;
	int rc = -1;

	ctx_leave(out);
	if (source_open(&source, path, SKIP_SEEK) ||
	    walk_run(&check.walk, &source, &image, false, &ops, &check) ||
	    error_is_set(&source.ctx.err)) {
		ctx_fail_errno(out, source.ctx.err.errnum, "cannot read it again");
		goto out;
	}
	if (check.no_memory) {
		ctx_fail_errno(out, ENOMEM, "no room for what is known of it");
		goto out;
	}
	rc = error_is_set(&convert->in.err) ? -1 : 0;
out:
	state_check_release(&check.state);
	walk_release(&check.walk);
	free(image.config);
	source_close(&source);
	return rc;
}
