/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "context.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void ctx_init(struct xensr_ctx *ctx, int io_fd, const struct xensr_reports *reports)
{
	*ctx = (struct xensr_ctx){
		.reports = *reports,
		.io_fd = io_fd,
		.cancel_fd = -1,
		.record_type = XENSR_NO_RECORD,
		.record_offset = XENSR_NO_OFFSET,
	};
	error_init(&ctx->err);
}

void ctx_enter(struct xensr_ctx *ctx, const char *what, uint32_t record_type, uint64_t offset)
{
	ctx->what = what;
	ctx->record_type = record_type;
	ctx->record_offset = offset;
}

void ctx_leave(struct xensr_ctx *ctx)
{
	ctx->what = NULL;
	ctx->record_type = XENSR_NO_RECORD;
	ctx->record_offset = XENSR_NO_OFFSET;
}

static int fail(struct xensr_ctx *ctx, int errnum, const char *fmt, ...) PRINTF_LIKE(3, 4);

static int fail(struct xensr_ctx *ctx, int errnum, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	error_set(&ctx->err, errnum, ctx->record_type, ctx->record_offset, fmt, args);
	va_end(args);
	return -1;
}

static int fail_at_record(struct xensr_ctx *ctx, int errnum, const char *text, const char *reason)
{
	const char *colon = reason ? ": " : "";

	if (!reason)
		reason = "";
	if (!ctx->what)
		return fail(ctx, errnum, "%s%s%s", text, colon, reason);
	return fail(ctx, errnum, "%s at offset %" PRIu64 ": %s%s%s", ctx->what, ctx->record_offset,
		    text, colon, reason);
}

int ctx_fail(struct xensr_ctx *ctx, int errnum, const char *fmt, ...)
{
	char text[sizeof(ctx->err.text)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return fail_at_record(ctx, errnum, text, NULL);
}

int ctx_fail_errno(struct xensr_ctx *ctx, int errnum, const char *fmt, ...)
{
	char text[sizeof(ctx->err.text)];
	char reason[128];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return fail_at_record(ctx, errnum, text, strerror_r(errnum, reason, sizeof(reason)));
}

void ctx_log(struct xensr_ctx *ctx, enum xensr_level level, const char *fmt, ...)
{
	char text[512];
	va_list args;

	if (!ctx->reports.log)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	ctx->reports.log(ctx->reports.data, level, -1, text);
}

void ctx_log_skipped(struct xensr_ctx *ctx, uint32_t type, uint32_t octets)
{
	if (ctx->skipped++ >= CTX_SKIPPED_TOLD)
		return;
	ctx_log(ctx, XENSR_LOG_DETAIL,
		"skipped %s of type %#x and %u octets at offset %" PRIu64 "%s", ctx->what, type,
		octets, ctx->record_offset,
		ctx->skipped == CTX_SKIPPED_TOLD ? "; of any more nothing is said" : "");
}

void ctx_progress(struct xensr_ctx *ctx, const char *what, uint64_t done, uint64_t total)
{
	uint64_t step = total / 100;

	if (!ctx->reports.progress)
		return;
	if (done == 0)
		ctx->progress_full = false;
	else if (done < ctx->progress_shown + step && (done < total || ctx->progress_full))
		return;
	ctx->progress_full = done >= total;
	ctx->progress_shown = done;
	ctx->reports.progress(ctx->reports.data, what, done, total);
}

void ctx_take_over(struct xensr_ctx *ctx, const struct xensr_ctx *part)
{
	ctx->offset = part->offset;
	ctx->peer_gone |= part->peer_gone;
	ctx->skipped = part->skipped;
	if (!error_is_set(&ctx->err))
		ctx->err = part->err;
}

int ctx_finish(struct xensr_ctx *ctx, int rc, struct xensr_error *out)
{
	if (rc == 0)
		return 0;

	if (!error_is_set(&ctx->err))
		ctx_fail(ctx, EIO, "internal error: a failure without a reason");
	if (ctx->reports.log)
		ctx->reports.log(ctx->reports.data, XENSR_LOG_ERROR, ctx->err.errnum,
				 ctx->err.text);
	if (out)
		*out = ctx->err;
	errno = ctx->err.errnum;
	return rc;
}
