/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_PRP_H
#define PINION_PRP_H

/*
 * Physical Region Pages: how NVMe is told where data lies (Base Specification 2.0, 4.1.1).
 *
 *     struct pinion_prp prp;
 *     uint64_t entry;
 *
 *     nr = pinion_prp_count(domain, piece, nr_pieces, page_shift)      can it be told, and how long
 *     for (pinion_prp_begin(&prp, domain, piece, nr_pieces, page_shift);
 *          pinion_prp_next(&prp, &entry) > 0;)
 *             (PRP1, then PRP2 or the list)
 *
 * Each entry names one memory page of the controller, of 2^page_shift bytes: page_shift is
 * CC.MPS + 12. Only the first entry may point into a page, at a multiple of 4 bytes; all bytes
 * but the last must reach to their page's end. Pieces that leave a gap cannot be told by PRPs.
 *
 * Nothing is allocated, and a step costs no division. Threads and life of pieces as in sg.h.
 * Processes and deaths: as of the domain's look-ups (domain.h). Whether a buffer is still mapped,
 * an entry that was kept does not say.
 */

#include <errno.h>
#include <stdint.h>

#include <pinion/sg.h>

struct pinion_prp {
	struct pinion_sg sg;
	struct pinion_extent extent; /* what is left of the one begun */
	uint64_t page;               /* bytes of the controller's memory page */
	uint64_t must;               /* bits that the next entry must not have: 3, then page - 1 */
	uint64_t end;                /* where the last entry's bytes ended; a page's end at first */
};

/* Starts over @nr pieces. page_shift is CC.MPS + 12. Errors are told by pinion_prp_next(). */
static inline void pinion_prp_begin(struct pinion_prp *prp, const struct pinion_domain *domain,
				    const struct pinion_piece *piece, uint32_t nr,
				    uint8_t page_shift)
{
	pinion_sg_begin(&prp->sg, domain, piece, nr);
	prp->extent.bus = prp->extent.len = 0;
	prp->page = UINT64_C(1) << page_shift;
	prp->must = 3;
	prp->end = 0;
}

/*
 * pinion_prp_next() - the next entry: 1, or 0 at the end.
 *
 * -EINVAL  a gap: this entry does not start a page, or the one before did not reach the end of its
 *          own; or the first byte is not at a multiple of 4: copy, or use SGLs
 * -ENXIO   the domain does not know the buffer's segment: see pinion_domain_update()
 * Begin anew after an error.
 */
static inline int pinion_prp_next(struct pinion_prp *prp, uint64_t *entry)
{
	uint64_t step;

	if (!prp->extent.len) {
		int more = pinion_sg_next(&prp->sg, &prp->extent);

		if (more <= 0)
			return more;
	}
	if ((prp->extent.bus & prp->must) || (prp->end & (prp->page - 1)))
		return -EINVAL;
	step = prp->page - (prp->extent.bus & (prp->page - 1));
	step = step < prp->extent.len ? step : prp->extent.len;
	*entry = prp->extent.bus;
	prp->extent.bus += step;
	prp->extent.len -= step;
	prp->end = prp->extent.bus;
	prp->must = prp->page - 1;
	return 1;
}

/* How many entries there are, or the error that pinion_prp_next() would meet on the way. */
static inline int64_t pinion_prp_count(const struct pinion_domain *domain,
				       const struct pinion_piece *piece, uint32_t nr,
				       uint8_t page_shift)
{
	struct pinion_prp prp;
	uint64_t entry;
	int64_t count = 0;
	int more;

	pinion_prp_begin(&prp, domain, piece, nr, page_shift);
	while ((more = pinion_prp_next(&prp, &entry)) > 0)
		count++;
	return more < 0 ? more : count;
}

#endif
