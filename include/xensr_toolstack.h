/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xensr_toolstack.h - the stream that a toolstack puts around the domain's.
 *
 * xensr.h moves a domain's memory and vcpus. Around that lie, in the format of xl and libxl, the
 * domain's configuration (a file's or migration's xl header) and the state of its emulator. The two
 * calls here write and read the whole; what only a toolstack can do is done by callbacks.
 *
 *   [xl header] | libxl header | LIBXC_CONTEXT | domain stream | emulator records | END
 *
 * and checkpointed (Remus, COLO), without end:
 *
 *   … LIBXC_CONTEXT | domain stream up to CHECKPOINT | emulator records | CHECKPOINT_END |
 *                     domain stream goes on up to CHECKPOINT | emulator records | …
 *
 * Conventions are those of xensr.h: 0 or -1 with errno and the first error, parameter structures
 * that begin with their size, one call is one operation, no global state. Offsets count from where
 * the call begins to read or write; struct xensr_error's record_type is that of a domain stream's
 * record, and XENSR_NO_RECORD for what lies around it (the text names both).
 */
#ifndef XENSR_TOOLSTACK_H
#define XENSR_TOOLSTACK_H

#include <xensr.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Whose state the emulator records hold; the numbers of the format. */
enum xensr_emulator {
	XENSR_EMULATOR_UNKNOWN = 0,
	XENSR_EMULATOR_QEMU_TRADITIONAL = 1,
	XENSR_EMULATOR_QEMU = 2, /* upstream's */
};

/* Most octets of an emulator's context, and of its xenstore data, in either direction. */
#define XENSR_EMULATOR_CONTEXT_MAX  16777216u
#define XENSR_EMULATOR_XENSTORE_MAX 1048576u

/*
 * Stopping: each call takes a descriptor `cancel_fd` (an eventfd, or the reading end of a pipe).
 * Once it is readable, or its other end is closed, the operation fails with ECANCELED before its
 * next read or write, also while it waits for one. Writing to the other end is safe in any thread
 * and in a signal handler. A call of the hypervisor or of a callback is not interrupted, nor is a
 * write that has begun on a descriptor that blocks. What is on the descriptor is not read.
 */

/* ---- restore --------------------------------------------------------------------------- */

enum xensr_domain_type {
	XENSR_DOMAIN_PV = 1,
	XENSR_DOMAIN_HVM = 2,
	XENSR_DOMAIN_PVH = 3,
};

/* What the toolstack says of the domain that it has created for the stream. */
struct xensr_toolstack_domain {
	uint32_t domid; /* created, empty, paused */
	enum xensr_domain_type type;
	/* HVM: there is an emulator, which cannot start without its context: an image that has none
	   is refused. */
	bool needs_emulator;
	uint32_t store_domid, console_domid;   /* as in struct xensr_restore_params */
	uint32_t store_evtchn, console_evtchn; /* likewise */
	uint64_t reserved[4];
};

struct xensr_toolstack_restore_callbacks {
	/*
	 * Mandatory, called once, before anything of the domain is read. `config` is the xl
	 * header's configuration (NUL-terminated; JSON if config_is_json, else in xl's own
	 * language), or NULL if there is none; valid during the call. Create the domain and fill
	 * *domain, which is all zeroes. 0 = go on.
	 */
	int (*create_domain)(const char *config, bool config_is_json,
			     struct xensr_toolstack_domain *domain, void *data);
	/*
	 * Mandatory for HVM domains. A pair of the emulator's xenstore data: the key is relative to
	 * the device model's directory, has been checked not to lead out of it and is printable
	 * ASCII; the value may have any octets. Called in the stream's order. 0 = go on.
	 */
	int (*emulator_xenstore)(enum xensr_emulator emulator, const char *key, const char *value,
				 void *data);
	/*
	 * Mandatory for HVM domains. The emulator's own state, valid during the call. To be given
	 * to the emulator when it starts, as a file that only its owner can read (see
	 * xensr_emulator_context_write). 0 = go on.
	 */
	int (*emulator_context)(enum xensr_emulator emulator, const void *state, size_t octets,
				void *data);
	void *data;
};

struct xensr_toolstack_restore_params {
	size_t size;
	int io_fd;      /* positioned at the xl header or the libxl header; stays open */
	bool xl_header; /* the stream begins with an xl header */
	int cancel_fd;  /* see above; -1: cannot be cancelled */
	/*
	 * The rest, for the domain: xch, stream_type, send_back_fd, tolerate_differences,
	 * checkpoint_limit, reports (used for all) and callbacks. Its io_fd and what struct
	 * xensr_toolstack_domain says are ignored. Callbacks, with their own data:
	 *   static_data_done, restore_results   as in xensr.h
	 *   checkpoint        may be NULL; asked as in xensr.h when the toolstack's part of a
	 *                     checkpoint has come too, before the emulator callbacks are called
	 *   postcopy, suspend COLO: resume and suspend the domain; what the two sides have to tell
	 *                     each other about it is sent and awaited here
	 *   wait_checkpoint   must be NULL: the primary is awaited here
	 */
	const struct xensr_restore_params *restore;
	struct xensr_toolstack_restore_callbacks callbacks;
};
#define XENSR_TOOLSTACK_RESTORE_PARAMS_INIT                                         \
	{                                                                           \
		.size = sizeof(struct xensr_toolstack_restore_params), .io_fd = -1, \
		.cancel_fd = -1                                                     \
	}

/*
 * Create and rebuild a domain from the stream on io_fd. Reads exactly up to the end of libxl's END
 * record. On success the domain is complete and still paused; the emulator callbacks have been
 * called with its state. On failure it is half built and for the toolstack to destroy.
 *
 * Checkpointed: the toolstack's records of a checkpoint are kept until CHECKPOINT_END has come, and
 * only then given to the emulator callbacks, once for each checkpoint: the last call counts (COLO: is
 * for the emulator that runs). When the stream breaks off (its end, a reset or timed-out connection)
 * in the domain's part or in the toolstack's, what was kept is dropped and the domain is left as the
 * last complete checkpoint has it, which is success (results->failed_over); before the first, it is
 * failure. Damage, and anything that fails here, is always failure: the primary may be alive.
 *
 * results and err may be NULL; results are valid on success. Returns 0, or -1 with errno (as
 * xensr_restore; ECANCELED also: a callback said no, or cancel_fd did).
 */
int xensr_toolstack_restore(const struct xensr_toolstack_restore_params *params,
			    struct xensr_restore_results *results, struct xensr_error *err);

/*
 * Write an emulator's context to the file at `path`, whole or not at all, readable and writable by
 * its owner only: a new file takes the place of what is there (a symbolic link itself, too).
 * err may be NULL. Returns 0, or -1 with errno.
 */
int xensr_emulator_context_write(const char *path, const void *state, size_t octets,
				 struct xensr_error *err);

/* ---- save ------------------------------------------------------------------------------ */

/* Collects the emulator's xenstore data. */
struct xensr_xenstore_writer;

/*
 * Add a pair: a key relative to the device model's directory, and its value; both are copied. Only
 * during the emulator_xenstore callback. Returns 0, or -1 with errno (EINVAL: the key leads out of
 * the directory or is no xenstore key; EMSGSIZE: over XENSR_EMULATOR_XENSTORE_MAX in all; ENOMEM),
 * and then the save fails whatever the callback answers.
 */
int xensr_xenstore_pair(struct xensr_xenstore_writer *writer, const char *key, const char *value);

struct xensr_toolstack_save_callbacks {
	/*
	 * Mandatory if has_emulator: the emulator's xenstore data, by xensr_xenstore_pair(). Called
	 * for each image, when the domain's part of it is written. 0 = go on.
	 */
	int (*emulator_xenstore)(struct xensr_xenstore_writer *writer, void *data);
	/*
	 * Mandatory if has_emulator, called next: set *fd to a descriptor that stands at the
	 * beginning of the state the emulator had when the domain was last suspended (a file it has
	 * written to, say). It is read to its end and closed. 0 = go on.
	 */
	int (*emulator_context)(int *fd, void *data);
	void *data;
};

struct xensr_toolstack_save_params {
	size_t size;
	int io_fd;             /* blocking or not; stays open */
	const char *xl_config; /* JSON: an xl header with it comes first; NULL: no xl header */
	int cancel_fd;         /* see above; -1: cannot be cancelled */
	bool has_emulator;     /* HVM only */
	enum xensr_emulator emulator;
	/*
	 * The rest, for the domain: all of struct xensr_save_params but io_fd; reports are used for
	 * all. Callbacks, with their own data:
	 *   suspend, precopy_policy, switch_qemu_logdirty   as in xensr.h
	 *   postcopy          as in xensr.h: the domain runs on
	 *   checkpoint        may be NULL; asked when the toolstack's part of a checkpoint is
	 *                     written. Remus: wait here until the next is due. > 0 goes on
	 *   wait_checkpoint   COLO: as in xensr.h
	 * With COLO what the two sides have to tell each other is sent and awaited here.
	 */
	const struct xensr_save_params *save;
	struct xensr_toolstack_save_callbacks callbacks;
};
#define XENSR_TOOLSTACK_SAVE_PARAMS_INIT                                                         \
	{                                                                                        \
		.size = sizeof(struct xensr_toolstack_save_params), .io_fd = -1, .cancel_fd = -1 \
	}

/*
 * Save a domain with its emulator's state to io_fd, in libxl's format. On success the domain is
 * suspended (the toolstack destroys or resumes it), on failure it can be resumed. A checkpointed
 * save ends as xensr_save's does, with -1.
 *
 * results and err may be NULL; results are valid as far as the save came, octets are those of the
 * whole stream. Returns 0, or -1 with errno (as xensr_save; ECANCELED also: cancel_fd).
 */
int xensr_toolstack_save(const struct xensr_toolstack_save_params *params,
			 struct xensr_save_results *results, struct xensr_error *err);

#ifdef __cplusplus
}
#endif

#endif /* XENSR_TOOLSTACK_H */
