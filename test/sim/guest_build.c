/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest_pv.h"

#include <errno.h>
#include <string.h>

#include <xen/hvm/params.h>

/* Populate [first, end) as a toolstack does: the largest aligned extents that fit. */
static int populate_range(struct sim_domain *domain, uint64_t first, uint64_t end)
{
	static const unsigned orders[] = {18, 9, 0};

	while (first < end) {
		int rc = -EINVAL;

		for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]) && rc; i++) {
			uint64_t count = 1ull << orders[i];

			if (first % count || count > end - first)
				continue;
			rc = sim_p2m_populate(domain, first, orders[i]);
			if (rc == 0)
				first += count;
		}
		if (rc)
			return rc;
	}
	return 0;
}

static int populate(struct sim_domain *domain, const struct sim_guest *guest)
{
	uint64_t low_end = guest->pages < GUEST_MMIO_FIRST ? guest->pages : GUEST_MMIO_FIRST;
	uint64_t high = guest->pages - low_end;
	bool vga = guest->kind == SIM_GUEST_HVM;
	int rc;

	rc = populate_range(domain, 0, vga ? GUEST_VGA_FIRST : low_end);
	if (rc == 0 && vga)
		rc = populate_range(domain, GUEST_VGA_END, low_end);
	if (rc == 0)
		rc = populate_range(domain, GUEST_HIGH_FIRST, GUEST_HIGH_FIRST + high);
	if (rc == 0)
		rc = populate_range(domain, GUEST_ACPI_GFN, GUEST_ACPI_GFN + GUEST_ACPI_PAGES);
	if (rc == 0)
		rc = populate_range(domain, GUEST_SPECIAL_FIRST, GUEST_SPECIAL_END);
	if (rc == 0 && guest->sparse_top)
		rc = populate_range(domain, guest->sparse_top, guest->sparse_top + 1);
	return rc;
}

/* Ballooning goes page by page and leaves holes. */
static void balloon_out(struct sim_domain *domain, const struct sim_guest *guest)
{
	for (uint64_t gfn = sim_p2m_next(domain, 0); gfn < SIM_GFN_LIMIT;
	     gfn = sim_p2m_next(domain, gfn + 1)) {
		if (sim_guest_ballooned(guest, gfn))
			sim_p2m_remove(domain, gfn);
	}
}

static void fill(struct sim_domain *domain, const struct sim_guest *guest)
{
	for (uint64_t gfn = sim_p2m_next(domain, 0); gfn < SIM_GFN_LIMIT;
	     gfn = sim_p2m_next(domain, gfn + 1)) {
		uint64_t mfn = sim_p2m_frame(domain, gfn);

		if (mfn != SIM_NO_FRAME)
			sim_guest_page(guest, gfn, sim_frame_page(domain->host, mfn));
	}
}

static void set_params(struct sim_domain_state *state, const struct sim_guest *guest)
{
	uint64_t *params = state->params;

	params[HVM_PARAM_STORE_PFN] = GUEST_SPECIAL_FIRST + 4;
	params[HVM_PARAM_CONSOLE_PFN] = GUEST_SPECIAL_FIRST + 7;
	params[HVM_PARAM_STORE_EVTCHN] = 1;
	params[HVM_PARAM_CONSOLE_EVTCHN] = 2;
	params[HVM_PARAM_VM86_TSS_SIZED] = 0x2000ull << 32 | 0xfc001000;
	params[HVM_PARAM_IDENT_PT] = (uint64_t)(GUEST_SPECIAL_FIRST + 6) << SIM_PAGE_SHIFT;
	params[HVM_PARAM_ACPI_IOPORTS_LOCATION] = 1;
	params[HVM_PARAM_CALLBACK_IRQ] = 2ull << 56 | 0xf3;
	params[HVM_PARAM_X87_FIP_WIDTH] = 8;
	if (guest->kind != SIM_GUEST_HVM)
		return;
	params[HVM_PARAM_IOREQ_PFN] = GUEST_SPECIAL_FIRST + 5;
	params[HVM_PARAM_BUFIOREQ_PFN] = GUEST_SPECIAL_FIRST + 3;
	params[HVM_PARAM_IOREQ_SERVER_PFN] = GUEST_SPECIAL_FIRST;
	params[HVM_PARAM_NR_IOREQ_SERVER_PAGES] = 2;
	params[HVM_PARAM_VM_GENERATION_ID_ADDR] = 0xfc000018;
	params[HVM_PARAM_VIRIDIAN] = 0x27;
}

static int equip(struct sim_domain *domain, const struct sim_guest *guest)
{
	struct sim_domain_state *state = domain->state;

	state->guest = *guest;
	state->context_octets =
		sim_guest_hvm_context(guest, state->context, sizeof(state->context));
	set_params(state, guest);
	state->tsc.elapsed_nsec = 0x123456789abull + guest->seed;
	state->tsc.incarnation = 3;
	/* The guest has mapped its grant table: a frame of Xen's in its address space. */
	return sim_p2m_set(domain, GUEST_GRANT_GFN,
			   SIM_P2M_VALID | SIM_P2M_SPECIAL | state->grant_frames[1]);
}

int sim_guest_build(struct sim_host *host, const struct sim_guest *guest)
{
	struct sim_domain_options options = {
		.type = SIM_HVM,
		.max_pages = guest->pages + 1024,
		.vcpus = guest->vcpus,
	};
	struct sim_domain *domain;
	int domid, rc;

	if (guest->kind == SIM_GUEST_PV64 || guest->kind == SIM_GUEST_PV32)
		return sim_guest_pv_build(host, guest);
	domid = sim_domain_create(host, &options);
	domain = domid < 0 ? NULL : sim_domain_get(host, (uint32_t)domid);
	if (!domain)
		return domid < 0 ? domid : -ESRCH;
	sim_lock(host);
	rc = populate(domain, guest);
	if (rc == 0)
		rc = equip(domain, guest);
	if (rc == 0) {
		balloon_out(domain, guest);
		fill(domain, guest);
		domain->state->paused = false;
	}
	sim_unlock(host);
	return rc ? rc : domid;
}
