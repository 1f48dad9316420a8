/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xensr.h - save and restore of Xen domains.
 *
 * One call is one operation: it blocks until the domain has been written to, or rebuilt from,
 * a file descriptor, and leaves nothing behind. There is no global state; two threads may run
 * two operations at once as long as each has its own xc_interface. Signal dispositions are the
 * caller's: one that does not ignore SIGPIPE dies of a save into a pipe that nobody reads.
 *
 * Every function returns 0 on success and -1 on failure. On failure the error object says
 * what went wrong and where, and errno is its errnum.
 *
 * Parameter structures begin with `size`, which the caller sets to sizeof(the structure) it
 * was compiled with (the XENSR_*_INIT macros do), and grow at their end: callbacks come last. A
 * newer library gives the members that an older caller does not have their XENSR_*_INIT values;
 * an older library refuses a non-zero member it does not know. Structures that the library
 * fills have reserved members, which it sets to zero.
 *
 * Streams: a pipe's capacity may be raised. Pages are moved straight between the descriptor and
 * the guest's memory, which the kernel cannot pin: not with O_DIRECT (EFAULT).
 */
#ifndef XENSR_H
#define XENSR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct xc_interface_core; /* xc_interface of xenctrl.h */
struct precopy_stats;     /* xenguest.h */

/* The library's version as text, for example "0.1.0". Never NULL. */
const char *xensr_version(void);

/* ---- errors ---------------------------------------------------------------------------- */

#define XENSR_NO_RECORD UINT32_MAX
#define XENSR_NO_OFFSET UINT64_MAX

/*
 * The first thing that went wrong. `text` stands alone: it already names the record and the
 * offset where there are any.
 */
struct xensr_error {
	int errnum;           /* errno value, never 0 after a failure */
	uint32_t record_type; /* record being read or written, or XENSR_NO_RECORD */
	uint64_t offset;      /* octet of the domain stream where that record (or the
	                         failing header) starts, or XENSR_NO_OFFSET */
	char text[512];       /* NUL-terminated, one line */
	uint64_t reserved[4];
};

/* ---- reports --------------------------------------------------------------------------- */

/* Levels have the numbers of xentoollog.h. */
enum xensr_level {
	XENSR_LOG_DEBUG = 1,
	XENSR_LOG_VERBOSE = 2,
	XENSR_LOG_DETAIL = 3,
	XENSR_LOG_PROGRESS = 4,
	XENSR_LOG_INFO = 5,
	XENSR_LOG_NOTICE = 6,
	XENSR_LOG_WARN = 7,
	XENSR_LOG_ERROR = 8,
};

struct xensr_reports {
	/* One line of text without newline. errnum is an errno value or -1. May be NULL. */
	void (*log)(void *data, enum xensr_level level, int errnum, const char *text);
	/*
	 * done of total units (pages that exist, not address space) of `what`; done never
	 * falls within one `what`, and the first call for a `what` has done == 0. May be NULL.
	 */
	void (*progress)(void *data, const char *what, uint64_t done, uint64_t total);
	void *data;
	void (*reserved[2])(void); /* NULL */
};

/* Numbers of xc_stream_type_t. */
enum xensr_stream_type {
	XENSR_STREAM_PLAIN = 0,
	XENSR_STREAM_REMUS = 1,
	XENSR_STREAM_COLO = 2,
};

/* ---- save ------------------------------------------------------------------------------ */

/*
 * What the toolstack does for a save. Signatures and answers are those of struct
 * save_callbacks in xenguest.h; a NULL entry is a callback the toolstack does not offer.
 */
struct xensr_save_callbacks {
	int (*suspend)(void *data); /* mandatory; 0 = FAILED, else the domain is suspended */
	/* Asked before each round of a live save with the pages it would send as dirty_count
	   (the first time: all the domain has), and after each with -1. What a round that is
	   not sent would have sent is sent in the pause. NULL: see enum xensr_precopy. */
	int (*precopy_policy)(struct precopy_stats stats, void *data);
	int (*postcopy)(void *data);
	int (*checkpoint)(void *data);
	int (*wait_checkpoint)(void *data);
	/* Mandatory for live and checkpointed saves of HVM domains. 0 = done. */
	int (*switch_qemu_logdirty)(uint32_t domid, unsigned enable, void *data);
	void *data;
};

/* Who decides when a live save pauses the guest, if there is no precopy_policy callback. */
enum xensr_precopy {
	/*
	 * When the pause, estimated from what is dirty and how fast it was sent, meets
	 * downtime_target_ms and another round would not halve it; or when further rounds no
	 * longer help, or max_iterations are done.
	 */
	XENSR_PRECOPY_TARGET = 0,
	/* As stock: when fewer than 50 pages are dirty, or five rounds are done. */
	XENSR_PRECOPY_STOCK = 1,
};

struct xensr_save_params {
	size_t size;
	struct xc_interface_core *xch; /* open handle; stays the caller's */
	uint32_t domid;
	int io_fd; /* blocking or not; stays open */
	enum xensr_stream_type stream_type;
	bool live;   /* let the guest run while its memory is sent */
	bool verify; /* send all memory once more to be compared */
	int recv_fd; /* COLO's back channel, else -1 */
	enum xensr_precopy precopy;
	unsigned max_iterations;     /* of a live save; 0: 30 */
	unsigned downtime_target_ms; /* 0: 300 */
	bool abort_if_busy;          /* fail (EBUSY) rather than pause for longer than the target */
	bool checksum; /* write checksum records, which restore and verify check and stock skips;
			  plain streams only */
	struct xensr_reports reports;
	struct xensr_save_callbacks callbacks;
};
#define XENSR_SAVE_PARAMS_INIT                                                       \
	{                                                                            \
		.size = sizeof(struct xensr_save_params), .io_fd = -1, .recv_fd = -1 \
	}

struct xensr_save_results {
	uint64_t pages;         /* sent, repeats counted */
	uint64_t octets;        /* of the stream */
	uint32_t rounds;        /* sent while the guest ran */
	uint32_t checkpoints;   /* complete ones */
	uint64_t suspend_usecs; /* that the suspend callback took */
	uint64_t pause_usecs;   /* from there to the end of END, or of the last CHECKPOINT */
	uint64_t reserved[4];
};

/*
 * Save domain `domid` to `io_fd`, domain stream version 3: an x86 PV, HVM or PVH domain. On success
 * the domain is suspended (the toolstack destroys or resumes it). On failure it can be resumed:
 * log-dirty is off, no mapping of it is left, nothing of it was modified.
 *
 * A checkpointed stream (Remus; COLO for HVM) has no end of its own: callbacks.postcopy,
 * checkpoint and for COLO wait_checkpoint are called after each checkpoint as xenguest.h says, and
 * the call returns -1 when one of them ends it (ECANCELED) or something fails.
 *
 * results and err may be NULL; results are valid as far as the save came. Returns 0, or -1 with
 * errno (EBUSY: abort_if_busy; ECANCELED: at the toolstack's word).
 */
int xensr_save(const struct xensr_save_params *params, struct xensr_save_results *results,
	       struct xensr_error *err);

/* ---- restore --------------------------------------------------------------------------- */

/* What static_data_done is told; the numbers of xenguest.h. */
#define XENSR_MISSING_CPUID (1u << 0)
#define XENSR_MISSING_MSR   (1u << 1)

/* As struct restore_callbacks in xenguest.h; a NULL entry is a callback that is not offered. */
struct xensr_restore_callbacks {
	/* Static data is complete; `missing` is XENSR_MISSING_*. 0 = go on. */
	int (*static_data_done)(unsigned missing, void *data);
	int (*suspend)(void *data);
	int (*postcopy)(void *data);
	int (*checkpoint)(void *data);
	int (*wait_checkpoint)(void *data);
	void (*restore_results)(uint64_t store_gfn, uint64_t console_gfn, void *data);
	void *data;
};

struct xensr_restore_params {
	size_t size;
	struct xc_interface_core *xch; /* open handle; stays the caller's */
	uint32_t domid;                /* created, empty, paused */
	int io_fd;                     /* positioned at the image header; stays open */
	enum xensr_stream_type stream_type;
	uint32_t store_domid, console_domid;   /* backends */
	uint32_t store_evtchn, console_evtchn; /* the guest's ends */
	int send_back_fd;                      /* COLO's back channel, else -1 */
	/* Verify data that differs is a warning, not an error. */
	bool tolerate_differences;
	/* Octets that one checkpoint may take up in our memory; 0: each page the domain may
	   have once, and 64 MiB. */
	uint64_t checkpoint_limit;
	struct xensr_reports reports;
	struct xensr_restore_callbacks callbacks;
};
#define XENSR_RESTORE_PARAMS_INIT                                                            \
	{                                                                                    \
		.size = sizeof(struct xensr_restore_params), .io_fd = -1, .send_back_fd = -1 \
	}

struct xensr_restore_results {
	uint64_t store_gfn;   /* a PV guest's MFN; 0 if the stream named none */
	uint64_t console_gfn; /* likewise */
	uint64_t checkpoints; /* complete ones that came */
	uint64_t differences; /* pages that verify data found different */
	bool failed_over; /* a checkpointed stream broke off; the domain is its last checkpoint */
	uint64_t reserved[4];
};

/*
 * Rebuild domain `domid` from the domain stream on `io_fd`. Reads exactly up to the end of the
 * END record. On success the domain is complete and still paused. On failure it is half built
 * and for the toolstack to destroy.
 *
 * A checkpointed stream (Remus; COLO for HVM): callbacks.checkpoint is mandatory, for COLO also
 * suspend, postcopy, wait_checkpoint and send_back_fd. At each CHECKPOINT the descriptor stands
 * right behind that record, for the toolstack to read its own; what follows waits in memory until
 * the next checkpoint is complete, CHECKPOINT and callback. When the stream breaks off (its end, a
 * reset or timed-out connection) or the callback says so, the domain is left as the last complete
 * checkpoint has it, which is success; before the first one, and for any other trouble, it is
 * failure. With COLO the domain then goes on as it is.
 *
 * A plain stream that has checksums is checked against them: EBADMSG, and between which two offsets
 * the damage lies.
 *
 * results and err may be NULL. Returns 0, or -1 with errno.
 */
int xensr_restore(const struct xensr_restore_params *params, struct xensr_restore_results *results,
		  struct xensr_error *err);

/* ---- verify ---------------------------------------------------------------------------- */

struct xensr_verify_params {
	size_t size;
	int io_fd; /* positioned at the image header; stays open */
	struct xensr_reports reports;
};
#define XENSR_VERIFY_PARAMS_INIT                                        \
	{                                                               \
		.size = sizeof(struct xensr_verify_params), .io_fd = -1 \
	}

struct xensr_verify_results {
	uint32_t version;    /* of the stream: 2 or 3 */
	uint32_t guest_type; /* 1 = x86 PV, 2 = x86 HVM */
	uint32_t xen_major, xen_minor;
	uint64_t records;      /* END included */
	uint64_t page_entries; /* entries of all PAGE_DATA records */
	uint64_t pages;        /* those that carry data */
	uint64_t octets;       /* from the image header to the end of END */
	uint64_t checksums;    /* checksum records that were right; 0: the stream has none */
	uint64_t reserved[3];
};

/*
 * Read a plain domain stream from `io_fd` and check everything a restore would check before it
 * touches a domain, checksums too where there are any. Needs no hypervisor. Reads exactly up to the
 * end of END.
 *
 * results and err may be NULL; results are valid as far as the stream was read, also on
 * failure. Returns 0, or -1 with errno (EBADMSG: the stream breaks the format; ENODATA: it
 * ends too early; ENOTSUP: not for this version).
 */
int xensr_verify(const struct xensr_verify_params *params, struct xensr_verify_results *results,
		 struct xensr_error *err);

#ifdef __cplusplus
}
#endif

#endif /* XENSR_H */
