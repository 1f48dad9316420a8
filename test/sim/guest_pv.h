/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PV guests: which page is what, and the contents of each as a function of the guest's
 * parameters and of the frames it was given. So a guest can be built, and checked later.
 *
 *   64-bit: the direct map in slot 272 of the L4, the p2m list in slot 402, user pages in slot 0;
 *           each address space has a second L4 for user mode
 *   32-bit: the direct map in slot 3 of the L3, the p2m list in slot 2, user pages in slot 0
 */
#ifndef SIM_GUEST_PV_H
#define SIM_GUEST_PV_H

#include "guest.h"
#include "pv.h"

#define PV_FIRST_SPECIAL  0x20u /* pages before it are plain */
#define PV_GDT_FRAMES     2u    /* of each vcpu */
#define PV_GDT_ENTRIES    600u
#define PV_MOST_SPACES    2u
#define PV_DIRECT_L4_SLOT 272u
#define PV_LIST_L4_SLOT   402u
#define PV_LIST_L3_SLOT   2u /* 32-bit */
#define PV_USER_L2_SLOT   2u
#define PV_LIST_L1_SLOT   3u /* where the p2m list begins in its first L1 */

enum sim_pv_role {
	PV_PLAIN,
	PV_START_INFO,
	PV_STORE,
	PV_CONSOLE,
	PV_GDT,
	PV_P2M_LEAF,
	PV_P2M_MISSING, /* stands for all leaves without any page */
	PV_P2M_MID,     /* of the tree: the leaves' frames */
	PV_P2M_MID_MISSING,
	PV_P2M_TOP, /* of the tree: the mid pages' frames */
	PV_DIRECT_L1,
	PV_DIRECT_L2, /* 64-bit */
	PV_DIRECT_L3, /* 64-bit */
	PV_LIST_MISSING_L1,
	PV_LIST_L1, /* maps the p2m leaves side by side */
	PV_LIST_L2,
	PV_LIST_L3,  /* 64-bit */
	PV_TOP,      /* of each address space: its L4 or L3 */
	PV_TOP_L2,   /* 32-bit: that of the top slot */
	PV_USER_TOP, /* 64-bit: the L4 of user mode */
	PV_USER_L3,  /* 64-bit */
	PV_USER_L2,
	PV_USER_L1,
	PV_ROLES
};

struct sim_pv_layout {
	const struct sim_guest *guest;
	uint32_t width;
	uint32_t entries; /* of the p2m in a page */
	uint32_t spaces;  /* address spaces */
	uint64_t leaves;  /* of the p2m, those that are missing too */
	uint64_t mapped;  /* pages from the start that the direct map covers */
	struct {
		uint64_t first, count;
	} regions[PV_ROLES];
};

/* -EINVAL when the guest is too small for what it needs. */
int sim_pv_layout(const struct sim_guest *guest, struct sim_pv_layout *layout);

/* What a page is, and which one of its kind. */
enum sim_pv_role sim_pv_role(const struct sim_pv_layout *layout, uint64_t pfn, uint64_t *index);

/* The nth page of a kind, SIM_NO_FRAME when there are fewer. */
uint64_t sim_pv_pfn(const struct sim_pv_layout *layout, enum sim_pv_role role, uint64_t index);

/* The same, but the page that stands for all that are missing instead of none. */
uint64_t sim_pv_p2m_leaf_pfn(const struct sim_pv_layout *layout, uint64_t leaf);

/* As which type a page of that role is used; NONE: no table. */
enum sim_frame_type sim_pv_role_type(const struct sim_pv_layout *layout, enum sim_pv_role role);

bool sim_pv_ballooned(const struct sim_pv_layout *layout, uint64_t pfn);
bool sim_pv_pinned(const struct sim_pv_layout *layout, uint64_t pfn);

/* Vcpus from here on were never brought up. */
uint32_t sim_pv_online_vcpus(const struct sim_guest *guest);

/* ---- contents ---- */

/* Those of any page, as they are while the guest runs. */
void sim_pv_page(const struct sim_domain *domain, const struct sim_pv_layout *layout, uint64_t pfn,
		 uint8_t page[SIM_PAGE_OCTETS]);

/* An entry of a page table (guest_pv_tables.c). */
uint64_t sim_pv_entry(const struct sim_domain *domain, const struct sim_pv_layout *layout,
		      enum sim_pv_role role, uint64_t index, unsigned slot);

/* Pages shared with Xen and the toolstack (guest_pv_shared.c). */
void sim_pv_start_info(const struct sim_domain *domain, const struct sim_pv_layout *layout,
		       uint8_t page[SIM_PAGE_OCTETS]);
void sim_pv_shared_info(const struct sim_domain *domain, const struct sim_pv_layout *layout,
			uint8_t page[SIM_PAGE_OCTETS]);

/* The state of a vcpu (guest_pv_vcpu.c). */
void sim_pv_vcpu(const struct sim_domain *domain, const struct sim_pv_layout *layout, unsigned vcpu,
		 struct sim_pv_vcpu *state);

/* ---- what can be found without knowing the guest (guest_pv_p2m.c) ---- */

/* Entries of the domain's p2m, by its shared info. */
uint64_t sim_pv_p2m_entries(const struct sim_domain *domain);

/* The frame of a page of its p2m, through the list or the tree; SIM_NO_FRAME when there is none. */
uint64_t sim_pv_p2m_leaf(const struct sim_domain *domain, uint64_t index);

/* The frame of its start info: the argument of the suspend hypercall, on vcpu 0. */
uint64_t sim_pv_start_info_frame(const struct sim_domain *domain);

/* A word of the domain's size. */
uint64_t sim_pv_word(const struct sim_domain *domain, const void *words, uint64_t index);
void sim_pv_set_word(uint32_t width, void *words, uint64_t index, uint64_t value);

/* ---- ballooning (guest_pv_balloon.c): see sim_balloon_out ---- */
int sim_guest_pv_balloon_out(struct sim_domain *domain, uint64_t pfn);
int sim_guest_pv_balloon_in(struct sim_domain *domain, uint64_t pfn);

/* ---- a guest as a whole ---- */
int sim_guest_pv_build(struct sim_host *host, const struct sim_guest *guest);
int sim_guest_pv_check(struct sim_domain *domain, struct sim_difference *difference);
int sim_guest_pv_compare(struct sim_domain *saved, struct sim_domain *restored,
			 struct sim_difference *difference);

/* Parts of the comparison (guest_pv_compare_state.c). */
int sim_pv_compare_vcpus(const struct sim_domain *saved, const struct sim_domain *restored,
			 struct sim_difference *difference);
int sim_pv_compare_start_info(const struct sim_domain *saved, const struct sim_domain *restored,
			      struct sim_difference *difference);
int sim_pv_compare_shared_info(const struct sim_domain *saved, const struct sim_domain *restored,
			       struct sim_difference *difference);

/*
 * Frame numbers in the start info are pfns from the guest's last act before it suspends until it
 * goes on: nobody can translate the frames of another host.
 */
void sim_guest_pv_suspend(struct sim_domain *domain);
void sim_guest_pv_resume(struct sim_domain *domain);

#endif
