/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guests of the simulated host: built with known contents and a realistic layout, so that after a
 * restore every page and every blob can be checked. These functions take the host's lock
 * themselves; they return 0 or -errno.
 */
#ifndef SIM_GUEST_H
#define SIM_GUEST_H

#include "domain.h"

/* The first difference found, as text that stands alone. */
struct sim_difference {
	char text[256];
};

/* Where the guest keeps what Xen and the toolstack share with it (guest_layout.c). */
#define GUEST_VGA_FIRST     0xa0u
#define GUEST_VGA_END       0xc0u
#define GUEST_MMIO_FIRST    0xf0000u
#define GUEST_HIGH_FIRST    0x100000u
#define GUEST_ACPI_GFN      0xfc000u
#define GUEST_ACPI_PAGES    2u
#define GUEST_SPECIAL_FIRST 0xfeff8u
#define GUEST_SPECIAL_END   0xff000u
#define GUEST_GRANT_GFN     0xf1000u

/* Is gfn memory of a guest as it was built, before ballooning? */
bool sim_guest_has_gfn(const struct sim_guest *guest, uint64_t gfn);
/* Did the guest give it back to Xen? */
bool sim_guest_ballooned(const struct sim_guest *guest, uint64_t gfn);

/* The contents of a page as built. */
void sim_guest_page(const struct sim_guest *guest, uint64_t gfn, uint8_t page[SIM_PAGE_OCTETS]);

/* Another number for every number. */
uint64_t sim_guest_mix(uint64_t x);
/* Octets that depend on nothing but the seed. */
void sim_guest_noise(uint64_t seed, void *octets, size_t count);

/* A new domain with that guest in it, running. Returns its domid or -errno. */
int sim_guest_build(struct sim_host *host, const struct sim_guest *guest);

/* Is the domain still as it was built? 0, 1 with the first difference, or -errno. */
int sim_guest_check(struct sim_domain *domain, struct sim_difference *difference);

/*
 * Is `restored` what `saved` was, but for what a restore has to change (rings cleared, event
 * channels, grants for the console and xenstore)? 0, 1 with the first difference, or -errno.
 */
int sim_guest_compare(struct sim_domain *saved, struct sim_domain *restored,
		      struct sim_difference *difference);

/* Say what differs. Returns 1. */
int sim_differs(struct sim_difference *difference, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* 0, or 1 with "WHAT NUMBER differs from octet N on". */
int sim_compare_octets(struct sim_difference *difference, const char *what, uint64_t number,
		       const uint8_t *is, const uint8_t *should_be, size_t octets);

/* Does the restored domain grant access to that frame (PV) or gfn (HVM)? 0 or 1. */
int sim_check_grant(const struct sim_domain *restored, unsigned ref, uint64_t frame,
		    struct sim_difference *difference);

/* Registers and devices as the hypervisor saves them, of `octets`; made from the seed. */
uint32_t sim_guest_hvm_context(const struct sim_guest *guest, uint8_t *context, size_t room);

/* ---- a guest that runs (guest_run.c) ---- */
struct sim_run_options {
	uint64_t pages_per_second; /* 0: as fast as it can */
	uint64_t working_set;      /* pages it writes to, from the start of memory on */
	uint64_t stride;           /* from one page to the next, round and round in these */
	double seconds;            /* at most */
	bool through_suspends;     /* wait while the domain is suspended, then go on */
};

/*
 * Write until told to suspend (or, through suspends, until the domain is paused or destroyed), or
 * the time is up. Returns pages written. Each write stamps its page, at SIM_STAMP_OCTET, with the
 * number of pages the guest had written to then: with it the order of writes can be told.
 */
#define SIM_STAMP_OCTET 16u
int64_t sim_guest_run(struct sim_domain *domain, const struct sim_run_options *options);

/* The guest writes to one page, if there is one and it is data. The guest is held, or no other. */
void sim_guest_write(struct sim_domain *domain, uint64_t gfn);

/* Wait until no program of the guest's writes any more; -ETIMEDOUT when one does not end. */
int sim_guest_wait(const struct sim_domain *domain);

/*
 * Have its programs stop for a moment: what changes the guest's layout does it between hold and
 * release, or a write might go to a frame that is another's by then.
 */
int sim_guest_hold(struct sim_domain *domain);
void sim_guest_release(struct sim_domain *domain);

/* ---- a guest whose memory changes (balloon.c, guest_pv_balloon.c); the guest is held ---- */

/* The guest gives a page back to Xen, or gets one. 0 or -errno. */
int sim_balloon_out(struct sim_domain *domain, uint64_t gfn);
int sim_balloon_in(struct sim_domain *domain, uint64_t gfn);

/* ---- what a toolstack does (toolstack.c) ---- */

/* Have the guest suspend: a running program stops first. 0 or -errno. */
int sim_toolstack_suspend(struct sim_domain *domain);
/* Let a suspended guest go on. */
int sim_toolstack_resume(struct sim_domain *domain);
/* Stop the vcpus, and with them the guest's programs; let them run. */
int sim_toolstack_pause(struct sim_domain *domain);
int sim_toolstack_unpause(struct sim_domain *domain);
/* As COLO does it to the secondary's domain. */
int sim_toolstack_log_dirty(struct sim_domain *domain);

/* The same by the host's folder, exported for sim.py. */
int xensim_suspend(const char *dir, uint32_t domid);
int xensim_resume(const char *dir, uint32_t domid);
int xensim_pause(const char *dir, uint32_t domid);
int xensim_unpause(const char *dir, uint32_t domid);
int xensim_log_dirty(const char *dir, uint32_t domid);
/* The host's folder is going: nothing of it stays mapped. */
void xensim_forget(const char *dir);

#endif
