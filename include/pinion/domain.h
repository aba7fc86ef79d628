/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_DOMAIN_H
#define PINION_DOMAIN_H

/*
 * A domain: one device's view of a pool, and the table of bus addresses that goes with it.
 *
 *     device process                              a member that may see addresses
 *     --------------                              -------------------------------
 *     pinion_domain_create_vfio(), _iova()
 *     or _phys()
 *     pinion_domain_fd()          ------------->  pinion_domain_attach()
 *     pinion_buffer_iova() / _phys() / _bus()     the same
 *     pinion_domain_find(), pinion_sg_next()      the same
 *     pinion_domain_audit(), _is_current()        the same
 *       the pool has grown or shrunk:
 *     pinion_domain_update()
 *     pinion_domain_fd()          ------------->  pinion_domain_attach() again
 *     pinion_domain_destroy()                     pinion_domain_detach()
 *
 * A pool may have any number of domains, one for each address space that its devices live in.
 *
 * Two kinds. Through an IOMMU (VFIO) each segment is mapped linearly, by one map entry, whatever
 * the number of its pages. Without an IOMMU, devices take physical addresses, one per page, read
 * from /proc/self/pagemap after the pages were pinned.
 *
 * A device address is only ever computed from the table, never from anything a producer sent.
 * The table lives in a file of its own, written once and then sealed: nobody can change it any
 * more, not even its maker; holders of its fd can read it and nothing else. A pool that changes
 * gets a new file, of the next generation; who attached the old one keeps what that said.
 *
 * The file has one base for each segment, or one address for each page. Each process expands it
 * into a private array of one address for each buffer, which is what look-ups read: one load,
 * the same for both kinds. That costs 8 bytes per buffer, process and domain, 0.2 % of buffers of
 * 4 KiB (12.5 % of buffers of 64 bytes), and the array is mapped read-only.
 *
 * Addresses that a program keeps (a list for a device, made once and used often) go with the
 * generation that was read before they were looked up. pinion_domain_is_current() says whether they
 * are still what look-ups would give. Look-ups themselves need no such question: they read what is
 * known now.
 *
 * The types keep the kinds apart: an I/O virtual address where a physical one is wanted does not
 * compile. Drivers that serve both kinds use pinion_buffer_bus(), which gives what this domain's
 * device understands.
 *
 * Threads: create, update and destroy of a domain are for one thread at a time. Look-ups, find,
 * is_current and the iterators of sg.h and prp.h are for all, and go on while another thread
 * updates: addresses of segments that stay do not change. Audit is for all too, but waits until
 * that thread is done.
 *
 * Processes: in a forked child of its maker look-ups and find go on, and destroy frees the child's
 * copy alone; update is -ECHILD, and so is audit but where it reads physical addresses.
 *
 * Errors: as in pool.h. Listed are those that say something of the call, beside the limits of the
 * process (-ENOMEM, -EMFILE, -ENFILE).
 *
 * Death: a VFIO mapping lives as long as the container fd is open anywhere; pins of a physical
 * domain die with the process that made it. An attached table says nothing of either: whoever
 * uses it must know that its maker lives, or holds the container.
 *
 *     release                                           acquire
 *     R5  an entry of bus[], behind all else that is    A5  the entry, by a look-up
 *         said of its segment
 *     R6  the number of the index that is in force,     A6  that number, by find, before and
 *         between writing one index and the next            after it searches
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <pinion/buffer.h>
#include <pinion/pool.h>

typedef struct {
	uint64_t addr;
} pinion_iova;

typedef struct {
	uint64_t addr;
} pinion_phys;

enum pinion_domain_kind {
	PINION_DOMAIN_IOVA = 1,
	PINION_DOMAIN_PHYS = 2,
};

/* Public for the inline look-ups; private to this process. */
struct pinion_domain_segment {
	const uint64_t *_Atomic page; /* PHYS: address of each page; NULL: IOVA, or no segment */
	uint8_t shift;                /* log2 of the buffer size */
	uint8_t page_shift;           /* log2 of the page size */
};

/*
 * What a look-up gives for a buffer of a segment that the domain does not have (the pool changed
 * since, see pinion_domain_update()): an address with this bit set. No IOMMU translates and no
 * memory has such an address: a device that is told one reports an error and writes nowhere.
 */
#define PINION_BUS_UNKNOWN (UINT64_C(1) << 63)

/*
 * A domain is the array of its bus addresses, so that a look-up adds the id to the caller's
 * pointer and loads. There is room for every id that the pool can ever have; those without a buffer
 * have PINION_BUS_UNKNOWN, and next to no memory. What else is said of the domain stands before it.
 */
struct pinion_domain {
	_Atomic uint64_t bus[1]; /* by id, of the buffer's first byte; as many as there are ids */
};

struct pinion_domain_head {
	_Alignas(4096) struct domain *own; /* the library's part */
	enum pinion_domain_kind kind;
	uint32_t segment_shift; /* segment of an id: id >> segment_shift */
	/* The largest offset that certainly lies on the bus behind the buffer's first byte. Only
	 * buffers of several physical pages make it less than UINT32_MAX. */
	_Atomic uint32_t linear;
	_Atomic uint64_t generation;
	struct pinion_domain_segment segment[PINION_SEGMENT_MAX];
};

_Static_assert(sizeof(struct pinion_domain_head) == 4096, "the head is a page before bus[]");

/* What else is said of a domain: the page before it. For the inline look-ups. */
static inline const struct pinion_domain_head *
pinion_domain_head(const struct pinion_domain *domain)
{
	return (const struct pinion_domain_head *)(const void *)domain - 1;
}

/*
 * How I/O virtual addresses are chosen.
 *
 * LINEAR    by the library: from the ranges that the kernel reports, at @base or above, each
 *           segment aligned to its page size and its buffer size, whichever is larger.
 * IDENTITY  the address that the segment has in this process, so that a pointer is a bus address
 *           (not in any other process). Aligned to the page size, as the mapping is. Wants an
 *           IOMMU as wide as the processor's addresses: 39 bits are not enough.
 */
enum pinion_iova_policy {
	PINION_IOVA_LINEAR = 0,
	PINION_IOVA_IDENTITY = 1,
};

struct pinion_domain_config {
	int container; /* of VFIO, or an iommufd; borrowed until the domain is destroyed */
	enum pinion_iova_policy policy;
	uint64_t base; /* LINEAR: lowest address, in bytes; 0: 1 MiB, which is also the least */
	uint32_t ioas; /* iommufd: which of its address spaces; 0: @container is VFIO's */
};

/*
 * pinion_domain_create_iova() - map every segment into a VFIO container's IOMMU, or into an address
 * space of an iommufd.
 *
 * A container has its IOMMU type set (pinion_vfio_group_open() does it); an address space has its
 * devices (pinion_iommufd_device_attach()), or its ranges are not those of their IOMMU. Addresses
 * lie in the ranges that the kernel reports (apertures, without reserved windows), never at 0. Each
 * segment takes one of a container's map entries (65,535 by default). All segments are mapped or
 * none.
 *
 * -EINVAL  a policy that is none; or a container without a group, or without its IOMMU type
 * -EBADF, -ENOTTY  it is no container, or, with ioas, no iommufd
 * -ENOENT  the iommufd has no such address space
 * -ENOMEM  RLIMIT_MEMLOCK is too small for the pool (ulimit -l)
 * -ENOSPC  LINEAR: the IOMMU's ranges have no room for a segment. Or the container has fewer map
 *          entries left than the pool has segments, which is looked at before mapping
 * -ERANGE  IDENTITY: a segment lies where no range of the IOMMU reaches, or in a reserved window
 * -EEXIST  IDENTITY: something else is mapped there
 */
int pinion_domain_create_iova(struct pinion_pool *pool, const struct pinion_domain_config *config,
			      struct pinion_domain **domain);

/* The same with the LINEAR policy and its default base. */
int pinion_domain_create_vfio(struct pinion_pool *pool, int container,
			      struct pinion_domain **domain);

/*
 * pinion_domain_create_phys() - pin every page and read its physical address. In a device process
 * without that privilege: pinion_device_domain_create() (device.h).
 *
 * -EPERM   the kernel hides page frame numbers: CAP_SYS_ADMIN is needed. (An address of 0 is
 *          never handed out.)
 * -ENOTSUP pages of 4 KiB are not for DMA by physical address; or the kernel cannot pin
 *          (io_uring is disabled: sysctl kernel.io_uring_disabled)
 * -ENOMEM  RLIMIT_MEMLOCK is too small for the pool (ulimit -l)
 */
int pinion_domain_create_phys(struct pinion_pool *pool, struct pinion_domain **domain);

/* Unmaps (VFIO) or unpins (physical), and frees. pre: the device is quiet.
 * -EIO  the kernel unmapped less than asked: close the container, which unmaps the rest */
int pinion_domain_destroy(struct pinion_domain *domain);

/*
 * pinion_domain_update() - follow a pool that has grown or shrunk.
 *
 * Maps the segments that this process has, or whose files have come by now, and the domain does
 * not; unmaps those that are gone, and makes a new table if anything changed: 1, else 0. Errors as
 * of create, and -EINVAL for a domain that was attached. After an error no new segment is mapped,
 * and the table that pinion_domain_fd() gives is the old one; segments that are gone have been
 * dropped all the same.
 *
 * pre: the device is quiet in the segments that are gone. Nobody is left who would look up a
 * buffer there by an older table: the address may soon belong to another segment.
 */
int pinion_domain_update(struct pinion_domain *domain);

/* A read-only file with the newest table. It belongs to the domain and is closed by the next
 * update that changes anything: pass it, do not close it. */
int pinion_domain_fd(const struct pinion_domain *domain);

/*
 * pinion_domain_attach() - use a table made elsewhere. Takes @fd over on success.
 *
 * A table may name segments that this process has not mapped: it knows their addresses all the
 * same. Where pool and table have different files for a segment, one of them is older, and the
 * domain does not know that segment.
 *
 * -EPROTO  not a table of this pool or this layout, or not sealed: pass on what
 *          pinion_domain_fd() gives
 * -EBADF   @fd is no descriptor
 */
int pinion_domain_attach(const struct pinion_pool *pool, int fd, struct pinion_domain **domain);
/* Frees what attaching made; nothing is unmapped for the device. Does not fail. */
int pinion_domain_detach(struct pinion_domain *domain);

/* The generation of the table in use: 1, and one more with each update that changed anything. */
static inline uint64_t pinion_domain_generation(const struct pinion_domain *domain)
{
	return atomic_load_explicit(&pinion_domain_head(domain)->generation,
				    memory_order_relaxed);
}

/*
 * pinion_domain_is_current() - are addresses of that generation still true, as far as is known?
 *
 * @generation is what pinion_domain_generation() gave before they were looked up. False
 *
 * - after an update that changed anything: the table is of another generation. Look up again; of
 *   segments that stayed the addresses are the same;
 * - as soon as a segment is known to be gone, even if the domain's maker has not updated it yet: up
 *   to the update, or, of a domain that was attached, up to attaching the new table;
 * - after an audit of this domain, in this process, that was -ESTALE: for any generation, since the
 *   table itself is untrue, until an update has dropped the segment in question or the domain is
 *   made anew, which pins and reads again. Look-ups go on to give what the table says, so that
 *   completions of what the device still has can be found.
 *
 * A generation counts for the domain that it was read of. One made anew begins at 1 again: drop
 * with the old one what was kept of it, and so does who attached its table.
 *
 * Nothing is looked at here: what no audit has found yet is not known, nor what the maker's process
 * does or finds. What another thread changes meanwhile shows at the next call.
 */
bool pinion_domain_is_current(const struct pinion_domain *domain, uint64_t generation);

/*
 * pinion_domain_find() - which buffer a bus address lies in, and where: for completions.
 *
 * A binary search in a private index, of the segments for an IOVA, of the runs of adjacent pages
 * for a physical address. @id is a buffer's id without a generation: who holds it, the owner word
 * says. An @off beyond the buffer's size is in its red zone (PINION_POOL_DEBUG).
 *
 * -ENOENT  no segment of this domain has that address. Leaves no sentence
 */
int pinion_domain_find(const struct pinion_domain *domain, uint64_t bus, uint32_t *id,
		       uint32_t *off);

/* What pinion_domain_audit() found first. @is is 0 when nothing is there any more. */
struct pinion_domain_move {
	uint32_t segment;
	uint64_t page; /* which of the segment's */
	uint64_t was;  /* bus address in the table */
	uint64_t is;   /* bus address now */
};

/*
 * pinion_domain_audit() - is the table still true?
 *
 * Physical: reads the address of every page again. A pinned page does not move; but a pin dies with
 * its maker, and a member that punches a hole into a segment gets another page there.
 * Through an IOMMU, what can be seen from outside: that each segment is still mapped at its
 * address (the maker's container only), and that no page is missing in its file. One that was
 * punched out and touched again since is not missing: another stands there, and the device goes on
 * with the old one. This is seen by the maker, with CAP_SYS_ADMIN when the segment was mapped and
 * now, which compares where the pages lay (it keeps 8 bytes for each) and where they lie; and not
 * by others. (An iommufd pins nothing while no device is in the space, and what is not pinned may
 * move: attach the device, then make the domain, and make it anew when the last was detached.)
 *
 * -ESTALE  something moved; @move (if not NULL) and the sentence say what. Stop the device. From
 *          now on nothing of this domain is current
 * -EPERM   physical: CAP_SYS_ADMIN is needed, but for a domain of pinion_device_domain_create()
 * -EIO, -ENOMEM, ...  it could not be looked at, and nothing is known: ask again
 */
int pinion_domain_audit(const struct pinion_domain *domain, struct pinion_domain_move *move);

/* A byte of a buffer of several physical pages, beyond the first: by its own page. */
static inline uint64_t pinion_bus_by_page(const struct pinion_domain *domain, uint32_t id,
					  uint32_t off)
{
	const struct pinion_domain_head *head = pinion_domain_head(domain);
	const struct pinion_domain_segment *segment = &head->segment[id >> head->segment_shift];
	const uint64_t *page = atomic_load_explicit(&segment->page, memory_order_acquire); /* A5 */
	uint64_t in_segment = id & ((UINT32_C(1) << head->segment_shift) - 1);
	uint64_t at = (in_segment << segment->shift) + off;

	if (!page)
		return PINION_BUS_UNKNOWN;
	return page[at >> segment->page_shift] + (at & ((UINT64_C(1) << segment->page_shift) - 1));
}

/*
 * The bus address of byte @off of a buffer: what this domain's device is to be told, whatever the
 * kind. One load for the first byte; the second, of a constant, for the others.
 * pre: @buffer came from alloc or recv; @off < its size.
 */
static inline uint64_t pinion_buffer_bus(const struct pinion_domain *domain,
					 struct pinion_buffer buffer, uint32_t off)
{
	uint32_t id = pinion_buffer_id(buffer);
	uint64_t bus = atomic_load_explicit(domain->bus + id, memory_order_acquire); /* A5 */

	if (off && off > atomic_load_explicit(&pinion_domain_head(domain)->linear,
					      memory_order_relaxed))
		return pinion_bus_by_page(domain, id, off);
	return bus + off;
}

/* The same, as a type of its own. pre: the domain is of that kind. */
static inline pinion_iova pinion_buffer_iova(const struct pinion_domain *domain,
					     struct pinion_buffer buffer, uint32_t off)
{
	pinion_iova iova = {pinion_buffer_bus(domain, buffer, off)};

	return iova;
}

/* The same of a physical domain. */
static inline pinion_phys pinion_buffer_phys(const struct pinion_domain *domain,
					     struct pinion_buffer buffer, uint32_t off)
{
	pinion_phys phys = {pinion_buffer_bus(domain, buffer, off)};

	return phys;
}

#endif
