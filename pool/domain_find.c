/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>

#include "domain.h"
#include "fail.h"

/*
 * From bus addresses to buffers: extents, sorted by address. A segment is one extent through an
 * IOMMU; physically it is as many as its pages have runs.
 *
 * Two indexes take turns, so that searches go on while the next one is written: number n is in
 * index[n & 1]. A searcher that finds the number changed when it is done may have read an index
 * while it was overwritten, and searches again. It never waits for the writer, who could be
 * stopped: as long as the number stands, the index in force is not written to.
 *
 * A searcher may hold an index that was outgrown: those are kept until the domain ends. Each is
 * twice as large as the one before, so all together are no larger than the last.
 */

struct bus_extent {
	_Atomic uint64_t bus, last; /* first and last address */
	_Atomic uint64_t off;       /* of the first byte in its segment */
	_Atomic uint64_t what;      /* segment << 8 | log2 of the buffer size */
};

struct bus_index {
	struct bus_index *outgrown; /* list of those no longer in use */
	size_t size;                /* extents there is room for */
	_Atomic uint64_t nr;        /* at most size */
	struct bus_extent extent[];
};

#define FIRST_SIZE 64

/* Plain, for sorting. */
struct run {
	uint64_t bus, len, off, what;
};

struct runs {
	struct run *run; /* NULL: only count */
	size_t nr;
};

static void add_run(struct runs *runs, struct run run)
{
	struct run *last = runs->run && runs->nr ? &runs->run[runs->nr - 1] : NULL;

	if (last && last->what == run.what && last->bus + last->len == run.bus) {
		last->len += run.len;
		return;
	}
	if (runs->run)
		runs->run[runs->nr] = run;
	runs->nr++;
}

static void add_runs(struct runs *runs, const struct domain_segment *segment, uint32_t index)
{
	uint64_t step = segment->page ? UINT64_C(1) << segment->page_shift : segment->len;

	for (uint64_t off = 0; off < segment->len; off += step)
		add_run(runs, (struct run){
			.bus = domain_segment_bus(segment, off),
			.len = step,
			.off = off,
			.what = (uint64_t)index << 8 | segment->shift,
		});
}

static void collect(const struct domain *domain, struct runs *runs)
{
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		if (domain_has(domain, i))
			add_runs(runs, &domain->segment[i], i);
}

static int by_bus(const void *a, const void *b)
{
	const struct run *left = a, *right = b;

	return (left->bus > right->bus) - (left->bus < right->bus);
}

static uint64_t get(const _Atomic uint64_t *from)
{
	return atomic_load_explicit(from, memory_order_relaxed);
}

static void put(_Atomic uint64_t *to, uint64_t value)
{
	atomic_store_explicit(to, value, memory_order_relaxed);
}

/* The index that is not in force, with room for @nr extents. */
static struct bus_index *spare(struct domain *domain, size_t nr)
{
	uint64_t number = get(&domain->index_number) + 1;
	struct bus_index *old = atomic_load_explicit(&domain->index[number & 1],
						     memory_order_relaxed);
	struct bus_index *new;
	size_t size = old ? old->size : FIRST_SIZE;

	if (old && nr <= size)
		return old;
	while (size < nr)
		size *= 2;
	new = calloc(1, sizeof(*new) + size * sizeof(new->extent[0]));
	if (!new)
		return NULL;
	new->size = size;
	if (old) {
		old->outgrown = domain->outgrown;
		domain->outgrown = old;
	}
	atomic_store_explicit(&domain->index[number & 1], new, memory_order_release); /* R6 */
	return new;
}

static void write_index(struct bus_index *index, const struct runs *runs)
{
	put(&index->nr, runs->nr);
	for (size_t i = 0; i < runs->nr; i++) {
		const struct run *from = &runs->run[i];
		struct bus_extent *to = &index->extent[i];

		put(&to->bus, from->bus);
		put(&to->last, from->bus + from->len - 1);
		put(&to->off, from->off);
		put(&to->what, from->what);
	}
}

int index_prepare(struct domain *domain)
{
	struct runs runs = {0};
	struct bus_index *index;

	collect(domain, &runs);
	runs.run = calloc(runs.nr ? runs.nr : 1, sizeof(*runs.run));
	index = spare(domain, runs.nr);
	if (!runs.run || !index) {
		free(runs.run);
		return pinion_fail(-ENOMEM, "no memory for an index of %zu extents", runs.nr);
	}
	runs.nr = 0;
	collect(domain, &runs);
	qsort(runs.run, runs.nr, sizeof(*runs.run), by_bus);
	/* R6: whoever sees a word of what follows sees the number that was put in force before. */
	atomic_thread_fence(memory_order_release);
	write_index(index, &runs);
	free(runs.run);
	return 0;
}

void index_publish(struct domain *domain)
{
	atomic_store_explicit(&domain->index_number, get(&domain->index_number) + 1,
			      memory_order_release); /* R6 */
}

void index_destroy(struct domain *domain)
{
	struct bus_index *next;

	for (; domain->outgrown; domain->outgrown = next) {
		next = domain->outgrown->outgrown;
		free(domain->outgrown);
	}
	free(domain->index[0]);
	free(domain->index[1]);
}

/* The last extent that starts at or below @bus; NULL when all lie above. */
static const struct bus_extent *search(const struct bus_index *index, uint64_t bus)
{
	const struct bus_extent *from = index->extent;
	uint64_t nr = get(&index->nr);

	if (!nr || get(&from->bus) > bus)
		return NULL;
	while (nr > 1) {
		uint64_t half = nr / 2;

		from = get(&from[half].bus) <= bus ? from + half : from;
		nr -= half;
	}
	return from;
}

/* False when no extent has it. Of an index that changed meanwhile the answer is nonsense. */
static bool look(const struct domain *domain, const struct bus_index *index, uint64_t bus,
		 uint32_t *id, uint32_t *off)
{
	const struct bus_extent *extent = search(index, bus);
	uint64_t at, what;

	if (!extent || bus > get(&extent->last))
		return false;
	at = bus - get(&extent->bus) + get(&extent->off);
	what = get(&extent->what);
	*id = (uint32_t)((what >> 8) << domain->head->segment_shift | at >> (what & 63));
	*off = (uint32_t)(at & ((UINT64_C(1) << (what & 63)) - 1));
	return true;
}

/* A segment may be gone before the index of what is left is there: its entries are UNKNOWN then.
 * What comes in its place has entries only behind its index: who sees one sees another number, too.
 * Its page[] is not asked, which may be another's. Of an index that changed @id may be any. */
static bool is_known(const struct domain *domain, uint32_t id)
{
	return id >> domain->head->segment_shift < PINION_SEGMENT_MAX && id <= PINION_ID_MAX &&
	       get(&domain_pub(domain)->bus[id]) != PINION_BUS_UNKNOWN;
}

int pinion_domain_find(const struct pinion_domain *pub, uint64_t bus, uint32_t *id, uint32_t *off)
{
	const struct domain *domain = domain_of(pub);
	const struct bus_index *index;
	uint32_t found = 0, at = 0;
	uint64_t number;
	bool has;

	do {
		number = atomic_load_explicit(&domain->index_number, memory_order_acquire); /* A6 */
		index = atomic_load_explicit(&domain->index[number & 1],
					     memory_order_acquire); /* A6 */
		has = look(domain, index, bus, &found, &at) && is_known(domain, found);
		atomic_thread_fence(memory_order_acquire); /* A6 */
	} while (get(&domain->index_number) != number);
	if (!has)
		return -ENOENT;
	*id = found;
	*off = at;
	return 0;
}
