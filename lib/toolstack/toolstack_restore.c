/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading a libxl stream: the records around the domain stream, and what a toolstack does of them.
 *
 *               LIBXC_CONTEXT                         CHECKPOINT
 *      NORMAL ------------------> (restore_domain) ------------------> BUFFERING: read, check, keep
 *        |  ^                       |   ^    |                            |            |
 *        |  +------ its END --------+   |    | broke off, or FAILOVER     |  CHECKPOINT_END
 *       END                             |    v                            |            v
 *        v                              | failed over: done               |    UNBUFFERING: act on
 *      done                             +---------------------------------|---- what was kept
 *                                       +------- FAILOVER: broke off -----+
 *
 * NORMAL reads one record and acts on it, never two are waiting. on_checkpoint() makes all
 * transitions of the other two. Only a broken channel while BUFFERING is a reason to fail over: what
 * cannot be read as a record, comes out of order, or cannot be acted on, fails the restore.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <xenctrl.h>
#include <xenguest.h>
#include <xensr_toolstack.h>

#include "checkpoint_state.h"
#include "libxl_record.h"
#include "params.h"
#include "restore.h"
#include "xenstore_data.h"
#include "xl_file.h"

#define BIT(type) (1u << (type))

/* The records that wait until their checkpoint is complete: one of each of two types. */
#define KEPT_MOST 2u

enum toolstack_phase {
	NORMAL,
	BUFFERING,
	UNBUFFERING,
};

struct toolstack_restore {
	struct xensr_ctx ctx;
	struct xensr_toolstack_restore_params params;
	struct xensr_restore_params restore; /* what the engine gets */
	struct xensr_restore_callbacks theirs;
	struct xensr_restore_results results;
	struct xensr_toolstack_domain domain;

	enum toolstack_phase phase;
	bool had_domain;      /* LIBXC_CONTEXT has come */
	uint32_t seen;        /* emulator records since the last image, by type */
	uint64_t checkpoints; /* of which the toolstack's part is complete, and acted on */

	struct body body; /* of the record at work, but while BUFFERING */
	struct libxl_record kept[KEPT_MOST];
	struct body kept_bodies[KEPT_MOST];
	unsigned nr_kept;
};

/* ---- what a record does -------------------------------------------------------------------- */

static int give_xenstore(struct toolstack_restore *ts, const struct libxl_record *rec)
{
	const struct xensr_toolstack_restore_callbacks *cb = &ts->params.callbacks;
	struct cursor at = cursor_over(rec->data, rec->octets);
	const char *key, *value;

	while (xenstore_data_next(&at, &key, &value)) {
		int answer = cb->emulator_xenstore((enum xensr_emulator)rec->emulator.id, key,
						   value, cb->data);

		if (answer)
			return ctx_fail(&ts->ctx, ECANCELED,
					"the toolstack did not take the emulator's xenstore key %s "
					"(answered %d)",
					key, answer);
	}
	return 0;
}

static int give_context(struct toolstack_restore *ts, const struct libxl_record *rec)
{
	const struct xensr_toolstack_restore_callbacks *cb = &ts->params.callbacks;
	int answer = cb->emulator_context((enum xensr_emulator)rec->emulator.id, rec->data,
					  rec->octets, cb->data);

	if (answer)
		return ctx_fail(&ts->ctx, ECANCELED,
				"the toolstack did not take the emulator's context (answered %d)",
				answer);
	return 0;
}

static int process_emulator(struct toolstack_restore *ts, const struct libxl_record *rec)
{
	return rec->type == LIBXL_EMULATOR_CONTEXT ? give_context(ts, rec) : give_xenstore(ts, rec);
}

/* ---- which record may come ----------------------------------------------------------------- */

static int check_emulator(struct toolstack_restore *ts, const struct libxl_record *rec)
{
	if (!ts->had_domain)
		return ctx_fail(&ts->ctx, EBADMSG, "comes before LIBXC_CONTEXT");
	if (ts->domain.type != XENSR_DOMAIN_HVM)
		return ctx_fail(&ts->ctx, EBADMSG,
				"does not belong to domain %u, which is no HVM domain",
				ts->domain.domid);
	if (ts->seen & BIT(rec->type))
		return ctx_fail(&ts->ctx, EBADMSG, "comes a second time");
	if (rec->type == LIBXL_EMULATOR_CONTEXT && rec->octets == 0 && ts->domain.needs_emulator)
		return ctx_fail(&ts->ctx, EBADMSG, "is empty, and the emulator needs its context");
	ts->seen |= BIT(rec->type);
	return 0;
}

/* The end of the toolstack's part of an image, by END or CHECKPOINT_END. */
static int check_complete(struct toolstack_restore *ts)
{
	if (ts->domain.needs_emulator && !(ts->seen & BIT(LIBXL_EMULATOR_CONTEXT)))
		return ctx_fail(&ts->ctx, EBADMSG,
				"the image is incomplete, there was no EMULATOR_CONTEXT");
	ts->seen = 0;
	return 0;
}

/* May it come now? Takes note of it. */
static int check_order(struct toolstack_restore *ts, const struct libxl_record *rec)
{
	switch ((enum libxl_record_type)rec->type) {
	case LIBXL_END:
		if (ts->phase == BUFFERING)
			return ctx_fail(&ts->ctx, EBADMSG, "comes within a checkpoint");
		if (!ts->had_domain)
			return ctx_fail(&ts->ctx, EBADMSG, "comes before LIBXC_CONTEXT");
		return check_complete(ts);
	case LIBXL_LIBXC_CONTEXT:
		if (ts->had_domain)
			return ctx_fail(&ts->ctx, EBADMSG, "comes a second time");
		ts->had_domain = true;
		return 0;
	case LIBXL_EMULATOR_XENSTORE_DATA:
	case LIBXL_EMULATOR_CONTEXT:
		return check_emulator(ts, rec);
	case LIBXL_CHECKPOINT_END:
		if (ts->phase != BUFFERING)
			return ctx_fail(&ts->ctx, EBADMSG, "comes outside of a checkpoint");
		return check_complete(ts);
	case LIBXL_CHECKPOINT_STATE:
	case LIBXL_RECORD_TYPES:
		break;
	}
	return ctx_fail(&ts->ctx, EBADMSG, "comes where no state is awaited");
}

/* ---- checkpoints --------------------------------------------------------------------------- */

/*
 * Something cannot be read or told: if that is because the channel to the primary broke, go on
 * without it. Where there is nothing to go on from, the reason stays the operation's error; else it
 * is none, and what may go wrong from now on is told instead.
 */
static int lose_primary(struct toolstack_restore *ts)
{
	if (!ts->ctx.peer_gone)
		return XGR_CHECKPOINT_ERROR;
	if (ts->checkpoints) {
		ctx_log(&ts->ctx, XENSR_LOG_NOTICE, "the primary is gone: %s", ts->ctx.err.text);
		error_init(&ts->ctx.err);
	}
	return XGR_CHECKPOINT_FAILOVER;
}

static int read_checkpoint(struct toolstack_restore *ts)
{
	for (;;) {
		struct body *body = &ts->kept_bodies[ts->nr_kept % KEPT_MOST];
		struct libxl_record rec;

		if (libxl_read_record(&ts->ctx, body, &rec) || check_order(ts, &rec))
			return -1;
		if (rec.type == LIBXL_CHECKPOINT_END)
			return 0;
		/* An emulator's, and no more than one of each type: check_order() */
		ts->kept[ts->nr_kept++] = rec;
	}
}

static int process_checkpoint(struct toolstack_restore *ts)
{
	for (unsigned i = 0; i < ts->nr_kept; i++) {
		const struct libxl_record *rec = &ts->kept[i];

		ctx_enter(&ts->ctx, libxl_title(rec->type), XENSR_NO_RECORD, rec->offset);
		if (process_emulator(ts, rec))
			return -1;
	}
	return 0;
}

/* The domain's part of a checkpoint has come; what follows is the toolstack's. */
static int on_checkpoint(void *data)
{
	struct toolstack_restore *ts = data;
	int answer;

	ts->phase = BUFFERING;
	ts->nr_kept = 0;
	ts->seen = 0;
	if (read_checkpoint(ts))
		return lose_primary(ts);
	/* Asked before anything is given to the emulator: it must be as old as the domain. */
	answer = ts->theirs.checkpoint ? ts->theirs.checkpoint(ts->theirs.data)
				       : XGR_CHECKPOINT_SUCCESS;
	if (answer != XGR_CHECKPOINT_SUCCESS)
		return answer;
	ts->phase = UNBUFFERING;
	if (process_checkpoint(ts))
		return XGR_CHECKPOINT_ERROR;
	ctx_leave(&ts->ctx);
	ts->phase = NORMAL;
	ts->checkpoints++;
	return XGR_CHECKPOINT_SUCCESS;
}

/* ---- COLO ---------------------------------------------------------------------------------- */

static int on_postcopy(void *data)
{
	struct toolstack_restore *ts = data;
	int answer;

	if (checkpoint_state_send_back(&ts->ctx, ts->restore.send_back_fd, CHECKPOINT_STATE_READY))
		return lose_primary(ts);
	answer = ts->theirs.postcopy(ts->theirs.data);
	if (answer != XGR_CHECKPOINT_SUCCESS)
		return answer;
	if (checkpoint_state_send_back(&ts->ctx, ts->restore.send_back_fd,
				       CHECKPOINT_STATE_RESUMED))
		return lose_primary(ts);
	return XGR_CHECKPOINT_SUCCESS;
}

static int on_wait_checkpoint(void *data)
{
	struct toolstack_restore *ts = data;

	if (checkpoint_state_await(&ts->ctx, &ts->body, CHECKPOINT_STATE_NEW))
		return lose_primary(ts);
	return XGR_CHECKPOINT_SUCCESS;
}

static int on_suspend(void *data)
{
	struct toolstack_restore *ts = data;
	int answer = ts->theirs.suspend(ts->theirs.data);

	if (answer != XGR_CHECKPOINT_SUCCESS)
		return answer;
	if (checkpoint_state_send_back(&ts->ctx, ts->restore.send_back_fd,
				       CHECKPOINT_STATE_SUSPENDED))
		return lose_primary(ts);
	return XGR_CHECKPOINT_SUCCESS;
}

/* The two that are the toolstack's own keep working with its data through these. */
static int on_static_data_done(unsigned missing, void *data)
{
	const struct toolstack_restore *ts = data;

	return ts->theirs.static_data_done(missing, ts->theirs.data);
}

static void on_restore_results(uint64_t store_gfn, uint64_t console_gfn, void *data)
{
	const struct toolstack_restore *ts = data;

	ts->theirs.restore_results(store_gfn, console_gfn, ts->theirs.data);
}

static void wrap_callbacks(struct toolstack_restore *ts)
{
	const struct xensr_restore_callbacks *theirs = &ts->theirs;

	ts->restore.callbacks = (struct xensr_restore_callbacks){
		.static_data_done = theirs->static_data_done ? on_static_data_done : NULL,
		.restore_results = theirs->restore_results ? on_restore_results : NULL,
		.data = ts,
	};
	if (ts->restore.stream_type == XENSR_STREAM_PLAIN)
		return;
	ts->restore.callbacks.checkpoint = on_checkpoint;
	if (ts->restore.stream_type != XENSR_STREAM_COLO)
		return;
	ts->restore.callbacks.suspend = theirs->suspend ? on_suspend : NULL;
	ts->restore.callbacks.postcopy = theirs->postcopy ? on_postcopy : NULL;
	ts->restore.callbacks.wait_checkpoint = on_wait_checkpoint;
}

/* ---- the domain ---------------------------------------------------------------------------- */

static int check_domain(struct toolstack_restore *ts)
{
	const struct xensr_toolstack_domain *domain = &ts->domain;
	const struct xensr_toolstack_restore_callbacks *cb = &ts->params.callbacks;

	if (domain->type < XENSR_DOMAIN_PV || domain->type > XENSR_DOMAIN_PVH)
		return ctx_fail(&ts->ctx, EINVAL, "domain type %d is unknown", (int)domain->type);
	if (domain->type == XENSR_DOMAIN_HVM && (!cb->emulator_xenstore || !cb->emulator_context))
		return ctx_fail(&ts->ctx, EINVAL,
				"an HVM domain needs the callbacks emulator_xenstore and "
				"emulator_context");
	if (domain->type != XENSR_DOMAIN_HVM && domain->needs_emulator)
		return ctx_fail(&ts->ctx, EINVAL,
				"domain %u cannot need an emulator, it is no HVM domain",
				domain->domid);
	return 0;
}

static int create_domain(struct toolstack_restore *ts, const struct xl_file *file)
{
	const struct xensr_toolstack_restore_callbacks *cb = &ts->params.callbacks;
	int answer = cb->create_domain(file->config, file->mandatory & XL_MANDATORY_JSON,
				       &ts->domain, cb->data);

	if (answer)
		return ctx_fail(&ts->ctx, ECANCELED,
				"the toolstack did not create the domain (answered %d)", answer);
	if (check_domain(ts))
		return -1;
	ts->restore.domid = ts->domain.domid;
	ts->restore.store_domid = ts->domain.store_domid;
	ts->restore.console_domid = ts->domain.console_domid;
	ts->restore.store_evtchn = ts->domain.store_evtchn;
	ts->restore.console_evtchn = ts->domain.console_evtchn;
	return 0;
}

/* LIBXC_CONTEXT has come: the stream is the engine's until the end of the domain's, or to the end
   of all if that breaks off and the domain goes on from a checkpoint. */
static int process_domain(struct toolstack_restore *ts)
{
	ctx_leave(&ts->ctx);
	if (restore_domain(&ts->ctx, &ts->restore, &ts->results))
		return -1;
	ctx_leave(&ts->ctx);
	ts->phase = NORMAL;
	ts->seen = 0;
	return 0;
}

/* ---- the whole ----------------------------------------------------------------------------- */

/* Up to the first record. */
static int read_heads(struct toolstack_restore *ts)
{
	struct xl_file file = {0};
	uint32_t options;
	int rc = -1;

	if (ts->params.xl_header && xl_file_read(&ts->ctx, &file))
		goto out;
	if (ts->params.xl_header && !(file.mandatory & XL_MANDATORY_LIBXL_STREAM)) {
		ctx_fail(&ts->ctx, ENOTSUP,
			 "the file holds an image of Xen 4.5 or earlier, which must be converted "
			 "first");
		goto out;
	}
	if (libxl_read_header(&ts->ctx, &options) || create_domain(ts, &file))
		goto out;
	if (options & LIBXL_OPTION_FROM_LEGACY)
		ctx_log(&ts->ctx, XENSR_LOG_DETAIL,
			"the stream was converted from an image of Xen 4.5 or earlier");
	rc = 0;
out:
	xl_file_release(&file);
	return rc;
}

static int toolstack_run(struct toolstack_restore *ts)
{
	struct libxl_record rec;

	if (read_heads(ts))
		return -1;
	do {
		if (libxl_read_record(&ts->ctx, &ts->body, &rec) || check_order(ts, &rec))
			return -1;
		if (rec.type == LIBXL_LIBXC_CONTEXT) {
			if (process_domain(ts))
				return -1;
			if (ts->results.failed_over)
				return 0;
		} else if (libxl_rule(rec.type)->emulator && process_emulator(ts, &rec)) {
			return -1;
		}
	} while (rec.type != LIBXL_END);
	ctx_leave(&ts->ctx);
	return 0;
}

/* What cannot work is refused before anything is read. */
static int toolstack_start(struct toolstack_restore *ts)
{
	const struct xensr_toolstack_restore_params *params = &ts->params;

	if (!params->restore)
		return ctx_fail(&ts->ctx, EINVAL, "there are no parameters for the domain");
	if (params_copy(&ts->ctx, &ts->restore, sizeof(ts->restore), params->restore))
		return -1;
	ctx_init(&ts->ctx, params->io_fd, &ts->restore.reports);
	ts->ctx.cancel_fd = params->cancel_fd;
	if (!params->callbacks.create_domain)
		return ctx_fail(&ts->ctx, EINVAL, "there is no create_domain callback");
	ts->theirs = ts->restore.callbacks;
	if (ts->theirs.wait_checkpoint)
		return ctx_fail(&ts->ctx, EINVAL,
				"the wait_checkpoint callback has no place in a libxl stream");
	wrap_callbacks(ts);
	return restore_check_params(&ts->ctx, &ts->restore);
}

static void toolstack_release(struct toolstack_restore *ts)
{
	body_release(&ts->body);
	for (unsigned i = 0; i < KEPT_MOST; i++)
		body_release(&ts->kept_bodies[i]);
}

int xensr_toolstack_restore(const struct xensr_toolstack_restore_params *params,
			    struct xensr_restore_results *results, struct xensr_error *err)
{
	struct toolstack_restore ts = {
		.params = XENSR_TOOLSTACK_RESTORE_PARAMS_INIT,
		.restore = XENSR_RESTORE_PARAMS_INIT,
	};
	int rc = -1;

	ctx_init(&ts.ctx, -1, &ts.restore.reports);
	if (params_copy(&ts.ctx, &ts.params, sizeof(ts.params), params) || toolstack_start(&ts) ||
	    toolstack_run(&ts))
		goto out;
	if (results)
		*results = ts.results;
	rc = 0;
out:
	toolstack_release(&ts);
	return ctx_finish(&ts.ctx, rc, err);
}
