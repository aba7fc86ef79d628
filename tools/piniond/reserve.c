/* SPDX-License-Identifier: BSD-3-Clause */
#include "reserve.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "../hugepages_interrupt.h"
#include "../hugepages_plan.h"
#include "../hugepages_text.h"
#include "service.h"

/* For one page size: what each node has for us, and what is promised to others already. */
struct stock {
	int nodes[HP_MAX_NODES];
	uint64_t free[HP_MAX_NODES];
	int nr;
	uint64_t promised;
};

static uint64_t above(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static uint64_t sum_wishes(const struct reserve_wish *wish, uint32_t nr, uint64_t size, int node)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < nr; i++)
		if (wish[i].page_size == size && wish[i].node == node)
			sum += wish[i].pages;
	return sum;
}

static int take_stock(const struct hp_sys *sys, uint64_t size, struct stock *stock)
{
	int err = hp_global_get(sys, size, "resv_hugepages", &stock->promised);

	if (err)
		return err;
	stock->nr = hp_nodes_get(sys, stock->nodes);
	for (int i = 0; i < stock->nr; i++) {
		struct hp_counts counts;

		err = hp_counts_get(sys, stock->nodes[i], size, &counts);
		if (err)
			return err;
		stock->free[i] = counts.free;
	}
	return stock->nr < 0 ? stock->nr : 0;
}

/* Those of one size, into a plan that is empty: first what a node must have, then what any may. */
static int plan_size(struct hp_plan *plan, const struct stock *stock, uint64_t size,
		     const struct reserve_wish *wish, uint32_t nr)
{
	uint64_t left = 0, all = 0;

	for (int i = 0; i < stock->nr; i++) {
		const uint64_t want = sum_wishes(wish, nr, size, stock->nodes[i]);
		const uint64_t missing = want ? above(want, above(stock->free[i], stock->promised))
					      : 0;
		struct hp_target *target;
		int err = hp_plan_add(plan, stock->nodes[i], size, &target);

		if (err)
			return err;
		target->want += missing;
		left += stock->free[i] + missing - want;
		all += target->want;
	}
	all += above(sum_wishes(wish, nr, size, -1), above(left, stock->promised));
	hp_plan_level(plan, all, false);
	return 0;
}

/* What the machine does not have at all: -ENODEV, and a line. */

static int check_size(const struct hp_sys *sys, uint64_t size)
{
	uint64_t sizes[HP_MAX_SIZES];
	const int nr = hp_sizes_get(sys, sizes);
	char text[HP_SIZE_TEXT];

	for (int i = 0; i < nr; i++)
		if (sizes[i] == size)
			return 0;
	service_log(LOG_ERR, "this kernel has no pages of %s: `hugepages info` says which",
		    hp_size_format(size, text));
	return -ENODEV;
}

static int check_node(const struct stock *stock, int node)
{
	for (int i = 0; i < stock->nr; i++)
		if (stock->nodes[i] == node)
			return 0;
	if (node < 0)
		return 0;
	service_log(LOG_ERR, "this machine has no node %d with memory: `hugepages info` says which",
		    node);
	return -ENODEV;
}

static int add_size(struct hp_plan *all, struct hp_plan *one, struct stock *stock, uint64_t size,
		    const struct reserve_wish *wish, uint32_t nr)
{
	int err = check_size(all->sys, size);

	hp_plan_init(one, all->sys);
	if (!err)
		err = take_stock(all->sys, size, stock);
	for (uint32_t i = 0; !err && i < nr; i++)
		err = check_node(stock, wish[i].node);
	if (!err)
		err = plan_size(one, stock, size, wish, nr);
	if (!err && all->nr + one->nr > HP_MAX_NODES)
		err = -E2BIG;
	if (err)
		return err;
	memcpy(&all->targets[all->nr], one->targets, one->nr * sizeof(one->targets[0]));
	all->nr += one->nr;
	return 0;
}

/* All wishes, each size once. */
static int make_plan(struct hp_plan *plan, const struct reserve_wish *wish, uint32_t nr)
{
	struct hp_plan *one = malloc(sizeof(*one));
	struct stock *stock = malloc(sizeof(*stock));
	int err = one && stock ? 0 : -ENOMEM;

	for (uint32_t i = 0; !err && i < nr; i++) {
		bool done = false;

		for (uint32_t j = 0; j < i; j++)
			done |= wish[j].page_size == wish[i].page_size;
		if (!done)
			err = add_size(plan, one, stock, wish[i].page_size, wish, nr);
	}
	free(stock);
	free(one);
	return err;
}

static const char *remedy(const struct hp_target *target)
{
	if (target->size >= UINT64_C(1) << 30)
		return "pages so large are best reserved at boot, on the kernel's command line: "
		       "hugepagesz=1G hugepages=N";
	return "make the pools smaller or name other nodes, free memory there, or run "
	       "`hugepages reserve` soon after boot";
}

static void say_short(const struct hp_target *target)
{
	char size[HP_SIZE_TEXT];

	service_log(LOG_ERR, "node %d: %" PRIu64 " pages of %s reserved, %" PRIu64 " wanted, got %"
		    PRIu64 ": %s", target->node, target->before,
		    hp_size_format(target->size, size), target->want, target->got, remedy(target));
}

static void say(const struct hp_plan *plan, int err)
{
	char size[HP_SIZE_TEXT];

	for (size_t i = 0; i < plan->nr; i++) {
		const struct hp_target *target = &plan->targets[i];

		if (err && err != -EINTR && target->got != target->want)
			say_short(target);
		else if (!err && target->want != target->before)
			service_log(LOG_NOTICE, "node %d: %" PRIu64 " -> %" PRIu64 " pages of %s",
				    target->node, target->before, target->want,
				    hp_size_format(target->size, size));
	}
	if (err == -ENOSPC)
		service_log(LOG_ERR, "all nodes were put back to what they had");
	else if (err == -EINTR)
		service_log(LOG_NOTICE, "interrupted: all nodes were put back to what they had");
	else if (err == -ENOTRECOVERABLE)
		service_log(LOG_ERR, "the former numbers could NOT all be put back: see "
			    "`hugepages info`");
	else if (err)
		service_log(LOG_ERR, "hugepages cannot be reserved: %s: run piniond as root, with "
			    "a /sys that can be written; or without `reserve` in its "
			    "configuration, after `hugepages reserve`", strerror(-err));
}

static int carry_out(struct hp_plan *plan)
{
	const struct hp_target *excess = hp_plan_excess(plan);
	int err;

	if (excess) {
		char size[HP_SIZE_TEXT];

		service_log(LOG_ERR, "node %d: %" PRIu64 " pages of %s wanted, which is more than "
			    "all its memory, %" PRIu64 ": make the pools smaller, or name other "
			    "nodes", excess->node, excess->want,
			    hp_size_format(excess->size, size), excess->most);
		return -ENOSPC;
	}
	hp_interrupt_hold();
	err = hp_plan_apply(plan);
	say(plan, err);
	hp_interrupt_release();
	return err;
}

int reserve(const struct hp_sys *sys, const struct reserve_wish *wish, uint32_t nr)
{
	struct hp_plan *plan = malloc(sizeof(*plan));
	int lock, err;

	if (!plan)
		return -ENOMEM;
	hp_plan_init(plan, sys);
	lock = hp_lock(sys);
	err = lock < 0 ? lock : make_plan(plan, wish, nr);
	if (!err)
		err = carry_out(plan);
	else if (err != -ENODEV) /* that was said */
		service_log(LOG_ERR, "the counters of hugepages cannot be read: %s",
			    strerror(-err));
	if (lock >= 0)
		(void)close(lock);
	free(plan);
	return err;
}
