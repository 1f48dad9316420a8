/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The conversation between the save helper and libxl (spec 3): the helper speaks, libxl
 * answers what asks for an answer.
 *
 *   message: u16 length of the body | body: u16 number, arguments     native endianness, packed
 *   string:  u32 size, terminating NUL counted | octets
 *   reply:   int
 *
 * Invariant: once `broken`, libxl is gone or does not understand us; nothing more is written
 * or read, and every call answers -1 at once.
 */
#ifndef XENSR_HELPER_MESSAGES_H
#define XENSR_HELPER_MESSAGES_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum message_number {
	MSG_LOG = 1,
	MSG_PROGRESS = 2,
	MSG_SUSPEND = 3,
	MSG_POSTCOPY = 4,
	MSG_CHECKPOINT = 5,
	MSG_WAIT_CHECKPOINT = 6,
	MSG_SWITCH_QEMU_LOGDIRTY = 7,
	MSG_STATIC_DATA_DONE = 8,
	MSG_RESTORE_RESULTS = 9,
	MSG_COMPLETE = 10,
};

struct messages {
	int out_fd; /* to libxl; blocking */
	int in_fd;  /* from libxl; blocking */
	/*
	 * Set by a signal handler of `cancel_signal` to end the wait for a reply; NULL if
	 * nothing cancels.
	 */
	const volatile sig_atomic_t *cancelled;
	int cancel_signal;
	/* How long to wait for a reply once cancelled: libxl may not be listening any more. */
	unsigned patience_seconds;
	unsigned owed; /* replies not waited for, which come before the next one's */
	bool broken;
};

/*
 * Each returns 0, or -1 with errno (and `broken` set unless errno is ECANCELED).
 * Strings are not NULL. Over-long text is cut so that the message fits its u16 length.
 */
int messages_log(struct messages *m, uint32_t level, uint32_t errnum, const char *context,
		 const char *text);
int messages_progress(struct messages *m, const char *context, const char *what, uint64_t done,
		      uint64_t total);
int messages_restore_results(struct messages *m, uint64_t store_gfn, uint64_t console_gfn);

/*
 * Send a message with n (0 to 2) 4-octet arguments and wait for *reply. ECANCELED: cancelled,
 * and the reply did not come in patience_seconds.
 */
int messages_ask(struct messages *m, enum message_number number, const uint32_t *args, size_t n,
		 int *reply);

#endif
