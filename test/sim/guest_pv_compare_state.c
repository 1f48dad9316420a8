/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The comparison of vcpus, start info and shared info: see guest_pv_compare.c. */
#include "guest_pv.h"

#include <inttypes.h>
#include <string.h>

static uint64_t to_pfn(const struct sim_domain *domain, uint64_t mfn)
{
	return sim_type_mappable(domain, mfn, false) ? domain->host->m2p[mfn] : SIM_NO_FRAME;
}

static void clear(uint32_t width, void *structure, struct sim_field field)
{
	memset((uint8_t *)structure + sim_field_offset(width, field), 0,
	       sim_field_octets(width, field));
}

/* A context without frames, and they as pfns. */
static void take_apart(const struct sim_domain *domain, unsigned vcpu,
		       union sim_pv_context *context, struct sim_pv_roots *roots)
{
	const struct sim_field edx = SIM_FIELD2(vcpu_guest_context, user_regs.rdx, user_regs.edx);
	const struct sim_field registers = SIM_FIELD(vcpu_guest_context, ctrlreg);
	const struct sim_field frames = SIM_FIELD(vcpu_guest_context, gdt_frames);
	uint32_t width = domain->state->width;
	uint8_t *octets = (uint8_t *)context;

	*context = domain->state->vcpus[vcpu].context;
	memset(roots, 0, sizeof(*roots));
	if (sim_pv_roots(domain, context, roots))
		return;
	roots->kernel = to_pfn(domain, roots->kernel);
	roots->user = to_pfn(domain, roots->user);
	for (unsigned i = 0; i < roots->nr_gdt; i++)
		roots->gdt[i] = to_pfn(domain, roots->gdt[i]);
	memset(octets + sim_field_offset(width, frames), 0, (size_t)roots->nr_gdt * width);
	sim_pv_set_word(width, octets + sim_field_offset(width, registers), 3, 0);
	if (width == 8)
		sim_pv_set_word(width, octets + sim_field_offset(width, registers), 1, 0);
	if (vcpu == 0)
		sim_field_set(width, context, edx,
			      to_pfn(domain, sim_field_get(width, context, edx)));
}

static int compare_context(const struct sim_domain *saved, const struct sim_domain *restored,
			   unsigned vcpu, struct sim_difference *difference)
{
	union sim_pv_context was, is;
	struct sim_pv_roots roots_were, roots_are;

	take_apart(saved, vcpu, &was, &roots_were);
	take_apart(restored, vcpu, &is, &roots_are);
	if (roots_are.kernel != roots_were.kernel || roots_are.user != roots_were.user)
		return sim_differs(difference,
				   "vcpu %u has its page tables at pfn %#" PRIx64 " and %#" PRIx64
				   ", had them at %#" PRIx64 " and %#" PRIx64,
				   vcpu, roots_are.kernel, roots_are.user, roots_were.kernel,
				   roots_were.user);
	if (memcmp(&roots_are, &roots_were, sizeof(roots_are)))
		return sim_differs(difference, "vcpu %u has its GDT elsewhere", vcpu);
	return sim_compare_octets(difference, "the context of vcpu", vcpu, (const uint8_t *)&is,
				  (const uint8_t *)&was, sim_pv_context_octets(saved));
}

static int compare_vcpu(const struct sim_domain *saved, const struct sim_domain *restored,
			unsigned vcpu, struct sim_difference *difference)
{
	const struct sim_pv_vcpu *was = &saved->state->vcpus[vcpu];
	const struct sim_pv_vcpu *is = &restored->state->vcpus[vcpu];

	if (is->online != was->online || is->initialised != was->initialised)
		return sim_differs(difference, "vcpu %u is %s", vcpu,
				   is->online ? "online" : "offline");
	if (!was->initialised)
		return 0;
	if (is->xsave_octets != was->xsave_octets || is->nr_msrs != was->nr_msrs)
		return sim_differs(difference,
				   "vcpu %u has %u octets of xsave state and %u MSRs, had %u and "
				   "%u",
				   vcpu, is->xsave_octets, is->nr_msrs, was->xsave_octets,
				   was->nr_msrs);
	return compare_context(saved, restored, vcpu, difference) ||
	       sim_compare_octets(difference, "the extended context of vcpu", vcpu,
				  (const uint8_t *)&is->ext, (const uint8_t *)&was->ext,
				  sizeof(is->ext)) ||
	       sim_compare_octets(difference, "the xsave state of vcpu", vcpu, is->xsave,
				  was->xsave, was->xsave_octets) ||
	       sim_compare_octets(difference, "the MSRs of vcpu", vcpu, (const uint8_t *)is->msrs,
				  (const uint8_t *)was->msrs, was->nr_msrs * sizeof(was->msrs[0]));
}

int sim_pv_compare_vcpus(const struct sim_domain *saved, const struct sim_domain *restored,
			 struct sim_difference *difference)
{
	int rc = 0;

	for (unsigned i = 0; i < saved->state->nr_vcpus && rc == 0; i++)
		rc = compare_vcpu(saved, restored, i, difference);
	return rc;
}

/* ---- start info ------------------------------------------------------------------------ */

/* The fields that are filled in anew whenever a guest goes on. */
static void clear_rewritten(uint32_t width, uint8_t *page)
{
	clear(width, page, SIM_FIELD(start_info, nr_pages));
	clear(width, page, SIM_FIELD(start_info, shared_info));
	clear(width, page, SIM_FIELD(start_info, flags));
	clear(width, page, SIM_FIELD(start_info, store_mfn));
	clear(width, page, SIM_FIELD(start_info, store_evtchn));
	clear(width, page, SIM_FIELD(start_info, console.domU.mfn));
	clear(width, page, SIM_FIELD(start_info, console.domU.evtchn));
}

/* A ring's pfn in the saved guest, which may have gone on since. */
static uint64_t saved_ring(const struct sim_domain *saved, const uint8_t *page,
			   struct sim_field field)
{
	uint64_t number = sim_field_get(saved->state->width, page, field);

	return saved->state->shutdown ? number : to_pfn(saved, number);
}

static int expect(const char *name, uint64_t is, uint64_t should_be,
		  struct sim_difference *difference)
{
	if (is == should_be)
		return 0;
	return sim_differs(difference, "the start info's %s is %#" PRIx64 ", not %#" PRIx64, name,
			   is, should_be);
}

/* A saver may leave out entries at the end of the p2m that are all missing. */
static int check_nr_pages(const struct sim_domain *saved, uint64_t is,
			  struct sim_difference *difference)
{
	uint64_t most = sim_pv_p2m_entries(saved);

	if (is >= most - saved->state->guest.p2m_slack && is <= most)
		return 0;
	return expect("nr_pages", is, most, difference);
}

/* What a restore writes into the start info. */
static int check_rewritten(const struct sim_domain *saved, const struct sim_domain *restored,
			   const uint8_t *was, const uint8_t *is, struct sim_difference *difference)
{
	const struct sim_field store = SIM_FIELD(start_info, store_mfn);
	const struct sim_field console = SIM_FIELD(start_info, console.domU.mfn);
	uint32_t w = restored->state->width;

	if (sim_field_get(w, is, SIM_FIELD(start_info, store_evtchn)) == 0 ||
	    sim_field_get(w, is, SIM_FIELD(start_info, console.domU.evtchn)) == 0)
		return sim_differs(difference, "an event channel is not set");
	return check_nr_pages(saved, sim_field_get(w, is, SIM_FIELD(start_info, nr_pages)),
			      difference) ||
	       expect("shared_info", sim_field_get(w, is, SIM_FIELD(start_info, shared_info)),
		      restored->state->shared_info_frame << SIM_PAGE_SHIFT, difference) ||
	       expect("flags", sim_field_get(w, is, SIM_FIELD(start_info, flags)), 0, difference) ||
	       expect("store_mfn", sim_field_get(w, is, store),
		      sim_p2m_frame(restored, saved_ring(saved, was, store)), difference) ||
	       expect("console.mfn", sim_field_get(w, is, console),
		      sim_p2m_frame(restored, saved_ring(saved, was, console)), difference);
}

int sim_pv_compare_start_info(const struct sim_domain *saved, const struct sim_domain *restored,
			      struct sim_difference *difference)
{
	uint8_t was[SIM_PAGE_OCTETS], is[SIM_PAGE_OCTETS];
	uint64_t from = sim_pv_start_info_frame(saved);
	uint64_t to = sim_p2m_frame(restored, to_pfn(saved, from));

	memcpy(was, sim_frame_page(saved->host, from), SIM_PAGE_OCTETS);
	memcpy(is, sim_frame_page(restored->host, to), SIM_PAGE_OCTETS);
	if (check_rewritten(saved, restored, was, is, difference))
		return 1;
	clear_rewritten(saved->state->width, was);
	clear_rewritten(saved->state->width, is);
	return sim_compare_octets(difference, "the start info, pfn", to_pfn(saved, from), is, was,
				  SIM_PAGE_OCTETS);
}

/* ---- shared info ----------------------------------------------------------------------- */

/* What the saved guest's becomes by a restore on the host of `clock`, whose clock stays. */
static void as_restored(uint32_t width, uint8_t *page, const uint8_t *clock)
{
	const struct sim_field clocks[] = {SIM_FIELD(shared_info, wc_version),
					   SIM_FIELD(shared_info, wc_sec),
					   SIM_FIELD(shared_info, wc_nsec),
					   SIM_FIELD2(shared_info, wc_sec_hi, arch.wc_sec_hi)};
	const struct sim_field masks = SIM_FIELD(shared_info, evtchn_mask);

	for (unsigned i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
		size_t offset = sim_field_offset(width, clocks[i]);

		memcpy(page + offset, clock + offset, sim_field_octets(width, clocks[i]));
	}
	for (unsigned i = 0; i < XEN_LEGACY_MAX_VCPUS; i++)
		clear(width, page + i * sizeof(vcpu_info_t),
		      SIM_FIELD(vcpu_info, evtchn_pending_sel));
	clear(width, page, SIM_FIELD(shared_info, evtchn_pending));
	memset(page + sim_field_offset(width, masks), 0xff, sim_field_octets(width, masks));
	clear(width, page, SIM_FIELD(shared_info, arch.pfn_to_mfn_frame_list_list));
}

int sim_pv_compare_shared_info(const struct sim_domain *saved, const struct sim_domain *restored,
			       struct sim_difference *difference)
{
	const uint8_t *is = sim_frame_page(restored->host, restored->state->shared_info_frame);
	uint8_t should_be[SIM_PAGE_OCTETS];

	memcpy(should_be, sim_frame_page(saved->host, saved->state->shared_info_frame),
	       SIM_PAGE_OCTETS);
	as_restored(saved->state->width, should_be, is);
	return sim_compare_octets(difference, "the shared info, frame",
				  restored->state->shared_info_frame, is, should_be,
				  SIM_PAGE_OCTETS);
}
