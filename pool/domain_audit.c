/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "domain.h"
#include "fail.h"

/*
 * Is the table still true? What a punched hole has let go of stays the device's as long as it is
 * pinned, but the processes get another page there: both write, and neither sees the other.
 */

#define STAT_BLOCK 512 /* bytes in a unit of st_blocks, whatever the file system (stat(2)) */

/* A hole that nobody has touched since shows in the size on disk, without any privilege. First:
 * looking at a page otherwise may be what touches it. */
static int audit_file(const struct domain *domain, uint32_t index, struct pinion_domain_move *move)
{
	const struct domain_segment *segment = &domain->segment[index];
	struct stat status;

	if (fstat(domain->pool->memory[index].fd, &status))
		return pinion_fail(-errno, "segment %u: cannot tell its size: %s", index,
				   strerror(errno));
	if ((uint64_t)status.st_blocks * STAT_BLOCK >= segment->len)
		return 0;
	*move = (struct pinion_domain_move){index, 0, domain_segment_bus(segment, 0), 0};
	return pinion_fail(-ESTALE, "segment %u: its file has %ju bytes of %ju left: pages were "
			   "punched out of it; stop the device", index,
			   (uintmax_t)status.st_blocks * STAT_BLOCK, (uintmax_t)segment->len);
}

static int audit(const struct domain *domain, uint32_t index, struct pinion_domain_move *move)
{
	int err;

	if (domain->head->kind == PINION_DOMAIN_PHYS && !domain->source.open)
		return domain_audit_phys(domain, index, move);
	/* The rest asks the maker's container, or the maker's page table. */
	err = domain->ops ? domain_check_own(domain) : 0;
	if (!err)
		err = audit_file(domain, index, move);
	if (err)
		return err;
	if (domain->source.open)
		return domain_audit_told(domain, index, move);
	err = domain_audit_vfio(domain, index, move);
	return err ? err : domain_audit_mapped(domain, index, move);
}

int pinion_domain_audit(const struct pinion_domain *pub, struct pinion_domain_move *out)
{
	KEEP_ERRNO;
	struct domain *domain = domain_of(pub);
	struct pinion_domain_move move = {0};
	int err = 0;

	pool_lock(domain->pool);
	/* Of a segment that this process does not have (any more), nothing can be told. */
	for (uint32_t i = 0; !err && i < PINION_SEGMENT_MAX; i++)
		if (domain_has(domain, i) &&
		    domain_pool_inode(domain->pool, i) == domain->segment[i].inode)
			err = audit(domain, i, &move);
	if (err == -ESTALE) {
		domain->segment[move.segment].moved = true;
		domain_lapse(domain);
	}
	pool_unlock(domain->pool);
	if (err == -ESTALE && out)
		*out = move;
	return err;
}
