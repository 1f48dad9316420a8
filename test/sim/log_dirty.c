/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Log-dirty mode: XEN_DOMCTL_shadow_op (xen/domctl.h). */
#include "domain.h"

#include <errno.h>
#include <string.h>

static bool is_unlogged(const struct sim_domain_state *state, uint64_t gfn)
{
	uint32_t count = __atomic_load_n(&state->nr_unlogged, __ATOMIC_SEQ_CST);

	for (uint32_t i = 0; i < count; i++) {
		if (state->unlogged[i] == gfn)
			return true;
	}
	return false;
}

void sim_mark_dirty(struct sim_domain *domain, uint64_t gfn)
{
	if (gfn >= SIM_GFN_LIMIT || !__atomic_load_n(&domain->state->log_dirty, __ATOMIC_SEQ_CST) ||
	    is_unlogged(domain->state, gfn))
		return;
	__atomic_fetch_or(&domain->dirty[gfn / 64], 1ull << (gfn % 64), __ATOMIC_SEQ_CST);
}

/* A PV guest's writes go through Xen's shadow tables, which miss none. */
void sim_mark_new(struct sim_domain *domain, uint64_t gfn)
{
	struct sim_domain_state *state = domain->state;

	if (state->type != SIM_HVM || !state->log_dirty || state->nr_unlogged == SIM_MOST_UNLOGGED)
		return;
	state->unlogged[state->nr_unlogged] = gfn;
	__atomic_add_fetch(&state->nr_unlogged, 1, __ATOMIC_SEQ_CST);
}

static int enable(struct sim_domain *domain)
{
	struct sim_domain_state *state = domain->state;

	if (state->log_dirty)
		return -EINVAL;
	if (state->vram_tracked)
		return -EINVAL;
	memset(domain->dirty, 0, (state->max_gfn / 64 + 1) * sizeof(uint64_t));
	state->nr_unlogged = 0;
	state->log_dirty = true;
	state->logged_before = true;
	return 0;
}

static int disable(struct sim_domain *domain)
{
	domain->state->vram_tracked = false;
	domain->state->log_dirty = false;
	return 0;
}

/* Whole words, the last one too: the caller's buffer is a whole number of pages. */
static int copy_bitmap(struct sim_domain *domain, struct xen_domctl_shadow_op *op, uint8_t *bitmap,
		       bool clean)
{
	uint64_t end = domain->state->max_gfn + 1;
	uint64_t bits = op->pages < end ? op->pages : end;

	if (!domain->state->log_dirty)
		return -EINVAL;
	op->stats.fault_count = (uint32_t)domain->state->fault_count;
	op->stats.dirty_count = 0;
	if (bitmap)
		memset(bitmap, 0, (op->pages + 7) / 8);
	if (clean)
		__atomic_store_n(&domain->state->nr_unlogged, 0, __ATOMIC_SEQ_CST);
	for (uint64_t word = 0; word * 64 < bits; word++) {
		uint64_t left = bits - word * 64;
		uint64_t mask = left >= 64 ? UINT64_MAX : (1ull << left) - 1;
		uint64_t value;

		if (__atomic_load_n(&domain->dirty[word], __ATOMIC_SEQ_CST) == 0)
			continue;
		value = clean ? __atomic_fetch_and(&domain->dirty[word], ~mask, __ATOMIC_SEQ_CST)
			      : __atomic_load_n(&domain->dirty[word], __ATOMIC_SEQ_CST);
		value &= mask;
		op->stats.dirty_count += (uint32_t)__builtin_popcountll(value);
		if (bitmap)
			memcpy(bitmap + word * 8, &value, left >= 64 ? 8 : (left + 7) / 8);
	}
	op->pages = bits;
	return 0;
}

int sim_log_dirty_op(struct sim_domain *domain, struct xen_domctl_shadow_op *op, uint8_t *bitmap)
{
	switch (op->op) {
	case XEN_DOMCTL_SHADOW_OP_OFF:
		return disable(domain);
	case XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY:
		return enable(domain);
	case XEN_DOMCTL_SHADOW_OP_ENABLE:
		return op->mode == XEN_DOMCTL_SHADOW_ENABLE_LOG_DIRTY ? enable(domain) : -EINVAL;
	case XEN_DOMCTL_SHADOW_OP_CLEAN:
		return copy_bitmap(domain, op, bitmap, true);
	case XEN_DOMCTL_SHADOW_OP_PEEK:
		return copy_bitmap(domain, op, bitmap, false);
	default:
		return -EINVAL;
	}
}
