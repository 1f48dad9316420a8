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
	double seconds;            /* at most */
};

/* Write until told to suspend, or the time is up. Returns pages written, or -errno. */
int64_t sim_guest_run(struct sim_domain *domain, const struct sim_run_options *options);

/* ---- what a toolstack does (toolstack.c) ---- */

/* Have the guest suspend: a running program stops first. 0 or -errno. */
int sim_toolstack_suspend(struct sim_domain *domain);
/* Let a suspended guest go on. */
int sim_toolstack_resume(struct sim_domain *domain);

/* The same by the host's folder, exported for sim.py. */
int xensim_suspend(const char *dir, uint32_t domid);
int xensim_resume(const char *dir, uint32_t domid);

#endif
