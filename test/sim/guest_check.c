/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest_pv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include <xen/grant_table.h>
#include <xen/hvm/params.h>

int sim_differs(struct sim_difference *difference, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(difference->text, sizeof(difference->text), format, args);
	va_end(args);
	return 1;
}

static size_t first_unlike(const uint8_t *a, const uint8_t *b, size_t octets)
{
	size_t i = 0;

	while (i < octets && a[i] == b[i])
		i++;
	return i;
}

int sim_compare_octets(struct sim_difference *difference, const char *what, uint64_t number,
		       const uint8_t *is, const uint8_t *should_be, size_t octets)
{
	if (memcmp(is, should_be, octets) == 0)
		return 0;
	return sim_differs(difference, "%s %#" PRIx64 " differs from octet %zu on", what, number,
			   first_unlike(is, should_be, octets));
}

static int compare_page(struct sim_difference *difference, uint64_t gfn, const uint8_t *is,
			const uint8_t *should_be)
{
	return sim_compare_octets(difference, "gfn", gfn, is, should_be, SIM_PAGE_OCTETS);
}

/* ---- as built -------------------------------------------------------------------------- */

static int check_memory(const struct sim_domain *domain, struct sim_difference *difference)
{
	const struct sim_guest *guest = &domain->state->guest;
	uint64_t end = domain->state->max_gfn + 1;
	uint8_t expected[SIM_PAGE_OCTETS];

	for (uint64_t gfn = 0; gfn < end; gfn++) {
		bool should = sim_guest_has_gfn(guest, gfn) && !sim_guest_ballooned(guest, gfn);
		uint64_t mfn = sim_p2m_frame(domain, gfn);

		if (sim_p2m_get(domain, gfn) & SIM_P2M_SPECIAL)
			should = true;
		if (should != (mfn != SIM_NO_FRAME))
			return sim_differs(difference, "gfn %#" PRIx64 " is %s", gfn,
					   should ? "missing" : "there and was not");
		if (!should)
			continue;
		sim_guest_page(guest, gfn, expected);
		if (compare_page(difference, gfn, sim_frame_page(domain->host, mfn), expected))
			return 1;
	}
	return 0;
}

int sim_guest_check(struct sim_domain *domain, struct sim_difference *difference)
{
	static uint8_t context[SIM_CONTEXT_OCTETS];
	const struct sim_domain_state *state = domain->state;
	uint32_t octets;

	if (state->guest.kind == SIM_GUEST_NONE)
		return -EINVAL;
	if (state->type == SIM_PV)
		return sim_guest_pv_check(domain, difference);
	octets = sim_guest_hvm_context(&state->guest, context, sizeof(context));
	if (octets != state->context_octets || memcmp(context, state->context, octets))
		return sim_differs(difference, "the HVM context differs");
	return check_memory(domain, difference);
}

/* ---- as saved -------------------------------------------------------------------------- */

static bool is_ring(const struct sim_domain_state *state, uint64_t gfn)
{
	return gfn && (gfn == state->params[HVM_PARAM_STORE_PFN] ||
		       gfn == state->params[HVM_PARAM_CONSOLE_PFN] ||
		       gfn == state->params[HVM_PARAM_IOREQ_PFN] ||
		       gfn == state->params[HVM_PARAM_BUFIOREQ_PFN]);
}

static int compare_memory(const struct sim_domain *saved, const struct sim_domain *restored,
			  struct sim_difference *difference)
{
	static const uint8_t cleared[SIM_PAGE_OCTETS];
	uint64_t a = sim_p2m_next(saved, 0), b = sim_p2m_next(restored, 0);

	while (a < SIM_GFN_LIMIT || b < SIM_GFN_LIMIT) {
		uint64_t gfn = a < b ? a : b;
		uint64_t from = sim_p2m_frame(saved, gfn), to = sim_p2m_frame(restored, gfn);
		const uint8_t *should_be;

		if ((from == SIM_NO_FRAME) != (to == SIM_NO_FRAME))
			return sim_differs(difference, "gfn %#" PRIx64 " is %s", gfn,
					   to == SIM_NO_FRAME ? "missing" : "there and was not");
		if (to != SIM_NO_FRAME) {
			should_be = is_ring(saved->state, gfn) ? cleared
							       : sim_frame_page(saved->host, from);
			if (compare_page(difference, gfn, sim_frame_page(restored->host, to),
					 should_be))
				return 1;
		}
		if (a == gfn)
			a = sim_p2m_next(saved, gfn + 1);
		if (b == gfn)
			b = sim_p2m_next(restored, gfn + 1);
	}
	return 0;
}

/* What a saver sends (shared facts: xen/hvm/params.h); the rest is the toolstack's to set. */
static const unsigned kept_params[] = {
	HVM_PARAM_STORE_PFN,
	HVM_PARAM_IOREQ_PFN,
	HVM_PARAM_BUFIOREQ_PFN,
	HVM_PARAM_VM86_TSS_SIZED,
	HVM_PARAM_CONSOLE_PFN,
	HVM_PARAM_ACPI_IOPORTS_LOCATION,
	HVM_PARAM_VIRIDIAN,
	HVM_PARAM_IDENT_PT,
	HVM_PARAM_VM_GENERATION_ID_ADDR,
	HVM_PARAM_IOREQ_SERVER_PFN,
	HVM_PARAM_NR_IOREQ_SERVER_PAGES,
	HVM_PARAM_X87_FIP_WIDTH,
	HVM_PARAM_MCA_CAP,
};

static int compare_params(const struct sim_domain_state *saved,
			  const struct sim_domain_state *restored,
			  struct sim_difference *difference)
{
	for (size_t i = 0; i < sizeof(kept_params) / sizeof(kept_params[0]); i++) {
		unsigned index = kept_params[i];

		if (saved->params[index] != restored->params[index])
			return sim_differs(difference,
					   "HVM parameter %u is %#" PRIx64 ", was %#" PRIx64, index,
					   restored->params[index], saved->params[index]);
	}
	return 0;
}

static int compare_policy(const struct sim_domain_state *saved,
			  const struct sim_domain_state *restored,
			  struct sim_difference *difference)
{
	if (saved->nr_leaves != restored->nr_leaves ||
	    memcmp(saved->leaves, restored->leaves, saved->nr_leaves * sizeof(saved->leaves[0])))
		return sim_differs(difference, "the CPUID policy differs");
	if (saved->nr_msrs != restored->nr_msrs ||
	    memcmp(saved->msrs, restored->msrs, saved->nr_msrs * sizeof(saved->msrs[0])))
		return sim_differs(difference, "the MSR policy differs");
	return 0;
}

int sim_check_grant(const struct sim_domain *restored, unsigned ref, uint64_t gfn,
		    struct sim_difference *difference)
{
	const grant_entry_v1_t *table = (const grant_entry_v1_t *)sim_frame_page(
		restored->host, restored->state->grant_frames[0]);

	if (table[ref].flags != GTF_permit_access || table[ref].frame != (uint32_t)gfn)
		return sim_differs(
			difference,
			"grant %u has flags %#x and frame %#x, not access to gfn %#" PRIx64, ref,
			table[ref].flags, table[ref].frame, gfn);
	return 0;
}

static int compare_tsc(const struct xen_domctl_tsc_info *from, const struct xen_domctl_tsc_info *to,
		       struct sim_difference *difference)
{
	if (from->tsc_mode == to->tsc_mode && from->gtsc_khz == to->gtsc_khz &&
	    from->elapsed_nsec == to->elapsed_nsec && from->incarnation == to->incarnation)
		return 0;
	return sim_differs(difference,
			   "the TSC is {%u, %u kHz, %" PRIu64 " ns, %u}, was {%u, %u kHz, %" PRIu64
			   " ns, %u}",
			   to->tsc_mode, to->gtsc_khz, to->elapsed_nsec, to->incarnation,
			   from->tsc_mode, from->gtsc_khz, from->elapsed_nsec, from->incarnation);
}

static int compare_hvm(struct sim_domain *saved, struct sim_domain *restored,
		       struct sim_difference *difference)
{
	const struct sim_domain_state *from = saved->state, *to = restored->state;

	if (compare_memory(saved, restored, difference) || compare_params(from, to, difference))
		return 1;
	if (from->context_octets != to->context_octets ||
	    memcmp(from->context, to->context, from->context_octets))
		return sim_differs(difference, "the HVM context differs");
	if (to->params[HVM_PARAM_STORE_EVTCHN] == 0 || to->params[HVM_PARAM_CONSOLE_EVTCHN] == 0)
		return sim_differs(difference, "an event channel is not set");
	return sim_check_grant(restored, GNTTAB_RESERVED_CONSOLE,
			       from->params[HVM_PARAM_CONSOLE_PFN], difference) ||
	       sim_check_grant(restored, GNTTAB_RESERVED_XENSTORE,
			       from->params[HVM_PARAM_STORE_PFN], difference);
}

int sim_guest_compare(struct sim_domain *saved, struct sim_domain *restored,
		      struct sim_difference *difference)
{
	const struct sim_domain_state *from = saved->state, *to = restored->state;
	int rc;

	if (from->type != to->type)
		return sim_differs(difference, "the domain has another type");
	rc = from->type == SIM_PV ? sim_guest_pv_compare(saved, restored, difference)
				  : compare_hvm(saved, restored, difference);
	return rc || compare_policy(from, to, difference) ||
	       compare_tsc(&from->tsc, &to->tsc, difference);
}
