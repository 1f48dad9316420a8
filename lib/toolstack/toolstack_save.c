/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing a libxl stream: what comes around the domain stream.
 *
 *   heads -> LIBXC_CONTEXT -> save_domain -> emulator records -> END
 *                               |     ^
 *                          CHECKPOINT |          (Remus, COLO; no END)
 *                               v     |
 *                emulator records -> CHECKPOINT_END
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenguest.h>
#include <xensr_toolstack.h>

#include "checkpoint_state.h"
#include "libxl_record.h"
#include "params.h"
#include "save.h"
#include "xen_compat.h"
#include "xenstore_data.h"
#include "xl_file.h"

static_assert(XENSR_EMULATOR_CONTEXT_MAX == EMULATOR_CONTEXT_MAX, "the public limit");
static_assert(XENSR_EMULATOR_XENSTORE_MAX == EMULATOR_XENSTORE_MAX, "the public limit");

struct xensr_xenstore_writer {
	struct xensr_ctx *ctx;
	struct xenstore_data data;
	bool open; /* the callback runs */
};

struct toolstack_save {
	struct xensr_ctx ctx;
	struct xensr_toolstack_save_params params;
	struct xensr_save_params save; /* what the engine gets */
	struct xensr_save_callbacks theirs;
	struct xensr_save_results results;
	struct xensr_xenstore_writer xenstore;
	struct body body;     /* the emulator's context; a state that came back */
	bool checkpoint_done; /* the first is complete: the secondary runs (COLO) */
};

/* ---- the emulator -------------------------------------------------------------------------- */

int xensr_xenstore_pair(struct xensr_xenstore_writer *writer, const char *key, const char *value)
{
	if (!writer || !writer->open) {
		errno = EINVAL;
		return -1;
	}
	if (xenstore_data_add(writer->ctx, &writer->data, key, value, EMULATOR_XENSTORE_MAX)) {
		errno = writer->ctx->err.errnum;
		return -1;
	}
	return 0;
}

/* Nothing to say makes no record. */
static int write_xenstore(struct toolstack_save *ts)
{
	const struct xensr_toolstack_save_callbacks *cb = &ts->params.callbacks;
	struct xensr_xenstore_writer *writer = &ts->xenstore;
	int answer;

	writer->ctx = &ts->ctx;
	writer->data.octets = 0;
	writer->open = true;
	answer = cb->emulator_xenstore(writer, cb->data);
	writer->open = false;
	if (error_is_set(&ts->ctx.err))
		return -1;
	if (answer)
		return ctx_fail(&ts->ctx, ECANCELED,
				"the toolstack has no xenstore data of the emulator (answered %d)",
				answer);
	if (writer->data.octets == 0)
		return 0;
	return libxl_write_emulator(&ts->ctx, LIBXL_EMULATOR_XENSTORE_DATA, ts->params.emulator,
				    writer->data.body.octets, writer->data.octets);
}

static int write_context(struct toolstack_save *ts)
{
	const struct xensr_toolstack_save_callbacks *cb = &ts->params.callbacks;
	int fd = -1, answer = cb->emulator_context(&fd, cb->data), rc;
	size_t octets;

	if (answer) {
		rc = ctx_fail(&ts->ctx, ECANCELED,
			      "the toolstack has no context of the emulator (answered %d)", answer);
		goto out;
	}
	rc = body_read_all(&ts->ctx, &ts->body, fd, EMULATOR_CONTEXT_MAX, "the emulator's context",
			   &octets);
	if (rc == 0 && octets == 0)
		rc = ctx_fail(&ts->ctx, EINVAL, "the emulator's context is empty");
	if (rc == 0)
		rc = libxl_write_emulator(&ts->ctx, LIBXL_EMULATOR_CONTEXT, ts->params.emulator,
					  ts->body.octets, octets);
out:
	if (fd >= 0)
		close(fd);
	return rc;
}

static int write_emulator(struct toolstack_save *ts)
{
	ctx_leave(&ts->ctx);
	if (!ts->params.has_emulator)
		return 0;
	return write_xenstore(ts) || write_context(ts) ? -1 : 0;
}

/* ---- callbacks of the engine --------------------------------------------------------------- */

/* They answer > 0 to go on. What failed in them is the operation's error, and the first. */
#define GO_ON   1
#define GIVE_UP 0

static bool is_colo(const struct toolstack_save *ts)
{
	return ts->save.stream_type == XENSR_STREAM_COLO;
}

static int await_back(struct toolstack_save *ts, enum checkpoint_state_id state)
{
	return checkpoint_state_await_back(&ts->ctx, ts->save.recv_fd, &ts->body, state);
}

/* COLO: both sides stop for a checkpoint. */
static int on_suspend(void *data)
{
	struct toolstack_save *ts = data;

	if (is_colo(ts) && ts->checkpoint_done &&
	    (libxl_write_checkpoint_state(&ts->ctx, CHECKPOINT_STATE_NEW) ||
	     await_back(ts, CHECKPOINT_STATE_SUSPENDED))) {
		errno = ts->ctx.err.errnum;
		return GIVE_UP;
	}
	return ts->theirs.suspend(ts->theirs.data);
}

static int on_checkpoint(void *data)
{
	struct toolstack_save *ts = data;

	if (write_emulator(ts) || libxl_write_record(&ts->ctx, LIBXL_CHECKPOINT_END))
		return GIVE_UP;
	ts->checkpoint_done = true;
	return ts->theirs.checkpoint ? ts->theirs.checkpoint(ts->theirs.data) : GO_ON;
}

static int on_postcopy(void *data)
{
	struct toolstack_save *ts = data;
	int answer;

	if (is_colo(ts) && await_back(ts, CHECKPOINT_STATE_READY))
		return GIVE_UP;
	answer = ts->theirs.postcopy(ts->theirs.data);
	if (answer > 0 && is_colo(ts) && await_back(ts, CHECKPOINT_STATE_RESUMED))
		return GIVE_UP;
	return answer;
}

static int on_wait_checkpoint(void *data)
{
	const struct toolstack_save *ts = data;

	return ts->theirs.wait_checkpoint(ts->theirs.data);
}

static int on_precopy_policy(struct precopy_stats stats, void *data)
{
	const struct toolstack_save *ts = data;

	return ts->theirs.precopy_policy(stats, ts->theirs.data);
}

static int on_switch_qemu_logdirty(uint32_t domid, unsigned enable, void *data)
{
	const struct toolstack_save *ts = data;

	return ts->theirs.switch_qemu_logdirty(domid, enable, ts->theirs.data);
}

static void wrap_callbacks(struct toolstack_save *ts)
{
	const struct xensr_save_callbacks *theirs = &ts->theirs;

	ts->save.callbacks = (struct xensr_save_callbacks){
		.suspend = theirs->suspend ? on_suspend : NULL,
		.precopy_policy = theirs->precopy_policy ? on_precopy_policy : NULL,
		.postcopy = theirs->postcopy ? on_postcopy : NULL,
		.checkpoint = on_checkpoint,
		.wait_checkpoint = theirs->wait_checkpoint ? on_wait_checkpoint : NULL,
		.switch_qemu_logdirty =
			theirs->switch_qemu_logdirty ? on_switch_qemu_logdirty : NULL,
		.data = ts,
	};
}

/* ---- the whole ----------------------------------------------------------------------------- */

static int check_emulator(struct toolstack_save *ts)
{
	const struct xensr_toolstack_save_callbacks *cb = &ts->params.callbacks;
	xc_domaininfo_t info;

	if (!ts->params.has_emulator)
		return 0;
	if (ts->params.emulator < XENSR_EMULATOR_UNKNOWN ||
	    ts->params.emulator > XENSR_EMULATOR_QEMU)
		return ctx_fail(&ts->ctx, EINVAL, "emulator %d is unknown",
				(int)ts->params.emulator);
	if (!cb->emulator_xenstore || !cb->emulator_context)
		return ctx_fail(&ts->ctx, EINVAL,
				"an emulator needs the callbacks emulator_xenstore and "
				"emulator_context");
	if (!ts->save.xch)
		return ctx_fail(&ts->ctx, EINVAL, "there is no hypervisor handle");
	if (xen_domain_info(ts->save.xch, ts->save.domid, &info))
		return ctx_fail_errno(&ts->ctx, errno, "no information about domain %u",
				      ts->save.domid);
	if (!(info.flags & XEN_DOMINF_hvm_guest))
		return ctx_fail(&ts->ctx, EINVAL, "domain %u is PV and cannot have an emulator",
				ts->save.domid);
	return 0;
}

/* What cannot work is refused before anything is written. */
static int toolstack_start(struct toolstack_save *ts)
{
	const struct xensr_toolstack_save_params *params = &ts->params;

	if (!params->save)
		return ctx_fail(&ts->ctx, EINVAL, "there are no parameters for the domain");
	if (params_copy(&ts->ctx, &ts->save, sizeof(ts->save), params->save))
		return -1;
	ctx_init(&ts->ctx, params->io_fd, &ts->save.reports);
	ts->ctx.cancel_fd = params->cancel_fd;
	if (check_emulator(ts))
		return -1;
	ts->theirs = ts->save.callbacks;
	wrap_callbacks(ts);
	return save_check_params(&ts->ctx, &ts->save);
}

static int toolstack_run(struct toolstack_save *ts)
{
	if (ts->params.xl_config && xl_file_write(&ts->ctx, ts->params.xl_config))
		return -1;
	if (libxl_write_header(&ts->ctx) || libxl_write_record(&ts->ctx, LIBXL_LIBXC_CONTEXT) ||
	    save_domain(&ts->ctx, &ts->save, &ts->results) || write_emulator(ts))
		return -1;
	return libxl_write_record(&ts->ctx, LIBXL_END);
}

int xensr_toolstack_save(const struct xensr_toolstack_save_params *params,
			 struct xensr_save_results *results, struct xensr_error *err)
{
	struct toolstack_save ts = {
		.params = XENSR_TOOLSTACK_SAVE_PARAMS_INIT,
		.save = XENSR_SAVE_PARAMS_INIT,
	};
	int rc = -1;

	ctx_init(&ts.ctx, -1, &ts.save.reports);
	if (params_copy(&ts.ctx, &ts.params, sizeof(ts.params), params) || toolstack_start(&ts) ||
	    toolstack_run(&ts))
		goto out;
	rc = 0;
out:
	xenstore_data_release(&ts.xenstore.data);
	body_release(&ts.body);
	ts.results.octets = ts.ctx.offset;
	if (results)
		*results = ts.results;
	return ctx_finish(&ts.ctx, rc, err);
}
