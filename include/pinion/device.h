/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_DEVICE_H
#define PINION_DEVICE_H

/*
 * The other side of client.h: a device process, which drives a device for the clients of piniond.
 * What pinion_rendezvous (rendezvous.h) is to a program that keeps its pool itself, this is to one
 * that leaves that to the service; the events are the same.
 *
 *     device process                                     service
 *     --------------                                     -------
 *     pinion_device_open("nvme:0000:41:00.0", ...)  ---> may this user drive devices? which pool?
 *     pinion_device_pool(): the pool, as a member
 *       (domain over it, see domain.h, or
 *       pinion_device_domain_create())          ---> where do its pages lie?
 *     pinion_device_park(device, container)         ---> holds the VFIO container, so that pins and
 *                                                        mappings outlive this process
 *     pinion_device_ready(device)                   ---> clients that ask for it get channels
 *     poll(pinion_device_fd(device))
 *     pinion_device_next()  JOINED                  <---
 *        serve event.channel
 *     pinion_device_next()  LEFT                    <--- from the client's pidfd, or its goodbye
 *        recv from event.channel until -EPIPE
 *     pinion_device_bury()                          ---> the service recovers what it held
 *     pinion_device_close()
 *
 * Death: killed with DMA in flight, nothing that it held is freed before the device is quiet: the
 * kernel turns bus mastering off when the last fd of the device is closed (so that fd, unlike the
 * container, is never passed to anybody); the service sees that it is off, closes the container,
 * which unmaps, and only then recovers. Clients get -EPIPE, reclaim what was not taken, and may
 * attach again when the next device process has announced the same name.
 *
 * Clients that do not trust each other have a pool each, made from a template (piniond.conf(5)). A
 * device process that says how many of these it can bear becomes a member of such a pool when its
 * client asks for the device, and is one until it has let go:
 *
 *     pinion_device_next()  JOINED                  <--- the client, and the files of its pool
 *        event.pool is not pinion_device_pool():
 *        a cache and a domain over event.pool,
 *        then serve event.channel
 *     pinion_device_next()  LEFT                    <---
 *        recv from event.channel until -EPIPE
 *        close the cache, destroy the domain
 *     pinion_device_detach(device, event.pool)      ---> the pool goes, and all that is in it
 *
 * What the client sent before this process has mapped its pool waits in the channel. One client
 * costs, at most, the mappings of a pool as large as the template says, two descriptors for each of
 * its segments (one, until the service was restarted) and two more, and a channel; all clients
 * together as many pools as were asked for.
 * Such a client can spoil its own pool, and no other: what it sends is checked as ever. But it is a
 * member of that pool (pool.h, "Trust"), and can make pages of it, or a segment, go away: a process
 * that touches them gets SIGBUS or SIGSEGV. Remedy: leave the data of such clients to the device,
 * behind an IOMMU, or serve them by a process of their own.
 *
 * In a loop (wait.h) each channel has four descriptors more, and one for a client in a loop of its
 * own. What wakes this process comes with the client, once: if there is no descriptor left for it,
 * the client hears that its channel has ended.
 *
 * The service restarts without this process having to care: next() connects again by itself.
 * Nothing else is done differently meanwhile; who joins and who leaves is told afterwards.
 *
 * Threads: one at a time. Nothing here waits except open() and domain_create(), with the updates of
 * what that made: at most two seconds for each answer of the service.
 */

#include <stdint.h>

#include <pinion/cache.h>
#include <pinion/client.h>
#include <pinion/domain.h>
#include <pinion/pool.h>
#include <pinion/rendezvous.h>

struct pinion_device;

struct pinion_device_config {
	const char *socket; /* NULL: PINION_SOCKET of the environment, or the default */
	const char *pool;   /* in which it serves; NULL: the only one that the rules give it */
	const char *bdf;    /* PCI address, to see when it is quiet; NULL: no PCI device, quiet as
	                     * soon as this process is dead */
	uint32_t slots;     /* descriptors in each ring of a channel; 0: 1024 */
	uint32_t slots_max; /* the most that a client gets by asking for it; 0: as slots */
	uint32_t pools;     /* of clients' own, at once, that it becomes a member of; 0: none, and
	                     * clients that may not use its own pool are refused */
	int loop;           /* not 0: clients wake the channels' pinion_channel_fd(), see wait.h */
};

/*
 * pinion_device_open() - announce @name: letters, digits and ":._-", such as "nvme:0000:41:00.0".
 *
 * -EACCES      the rules do not make this user a device process, or not for that name or pool
 * -EADDRINUSE  another living process drives a device of that name
 * -EBUSY       the one before is dead, and its device not yet quiet: try again
 * -EINVAL      @name is no name, bdf no PCI address, or slots or slots_max no number of slots that
 *              a ring may have (ring.h); or the rules give several pools, of which none was named
 * -ENODEV      the service sees no device at bdf (/sys/bus/pci/devices)
 * others as of pinion_client_open()
 */
int pinion_device_open(const char *name, const struct pinion_device_config *config,
		       struct pinion_device **device);

/* Clients lose their channels (what was sent to them stays theirs to take). The device must be
 * quiet: what this process holds is freed at once. It is gone whatever is returned. */
int pinion_device_close(struct pinion_device *device);

/* The pool that this process joined: good until the device is closed. */
struct pinion_pool *pinion_device_pool(const struct pinion_device *device);

/*
 * pinion_device_park() - the service keeps a duplicate of @container: a VFIO container, or an
 * iommufd. pre: nothing was mapped in it that is not this process's own or the pool's. The service
 * closes a file of another kind, and nobody says so.
 * -EBADF, -EMFILE  no such descriptor, or none left for a copy
 */
int pinion_device_park(struct pinion_device *device, int container);

/*
 * pinion_device_domain_create() - a domain of physical addresses over @pool, the device's own or
 * that of a client, in a process without privilege: for a device that no IOMMU stands before.
 *
 * As pinion_domain_create_phys(), for which this process would need CAP_SYS_ADMIN: it pins the
 * pages, the service, which piniond(8) lets see them, says where they are, and this process sees
 * for itself that no page left its file meanwhile. So does each pinion_domain_update() that finds
 * new segments. The pins end with this process. Destroy the domain before the device is closed, and
 * before its pool is detached.
 *
 * Both wait for the service, at most two seconds for each of four answers. Three of these come
 * before the pool is locked; for the last one, other threads of this process that need another
 * magazine wait as well. Once it is there nothing needs the service, which may be restarted.
 *
 * pinion_domain_audit() of such a domain takes no privilege, and sees pages that were punched out.
 *
 * -EACCES  the rules do not show addresses to this user
 * -EPERM   the service does not see them either: it was started without CAP_SYS_ADMIN
 * -EINVAL  @pool is none of these
 * -EAGAIN  the pool is changing just now, or the service came back a moment ago and has not looked
 *          at all pages as yet, or has as many connections as it takes: try again
 * -ESTALE  a member punched a page out of the pool, and nothing is mapped: do not use it. Or the
 *          service does not know this process any more: pinion_device_next() says so
 * -EIO     the service has seen that pages were punched out of the pool
 * others as of pinion_domain_create_phys(), and of pinion_device_open() where that talks to the
 * service
 */
int pinion_device_domain_create(struct pinion_device *device, struct pinion_pool *pool,
				struct pinion_domain **domain);

/*
 * pinion_device_share() - the service gets the table of @domain, over this device's pool or that of
 * a client, for those whom its rules show addresses: clients, by pinion_client_domain(), and
 * pinion(1), "addr". Again after each pinion_domain_update() that changed something.
 * -EINVAL  @domain was attached, and is another's to share; or it is over no pool of these
 */
int pinion_device_share(struct pinion_device *device, const struct pinion_domain *domain);

/* From now on clients that ask for it are let in. */
int pinion_device_ready(struct pinion_device *device);

/* For poll or epoll: readable when pinion_device_next() has something to do. One fd for life. */
int pinion_device_fd(const struct pinion_device *device);

/*
 * 1: @event is filled, see rendezvous.h. 0: nothing for now. Never waits; bounded work.
 * -ECONNRESET  the service came back and does not know this process: stop the device, close, and
 *              open again
 */
int pinion_device_next(struct pinion_device *device, struct pinion_event *event);

/*
 * pinion_device_bury() - the last act about a client that left; see pinion_rendezvous_bury(). Frees
 * what was sent to it and not taken, closes the channel, and lets the service recover the rest and
 * use the member number again.
 *
 * -EINVAL  that member of this process's own pool has not left
 * others: see pinion_channel_reclaim(): call again, nothing is lost
 */
int pinion_device_bury(struct pinion_device *device, uint32_t member, struct pinion_cache *cache);

/*
 * pinion_device_detach() - the last act about a client in a pool of its own, in place of bury():
 * closes the channel, unmaps the pool, and lets the service have it. What was sent and not taken
 * goes with the pool. pre: no cache and no domain is open over it, and the device is quiet there.
 *
 * Also of a client that has not left and cannot be served, such as for want of memory to pin: its
 * channel ends.
 *
 * -EINVAL  not the pool of such a client
 */
int pinion_device_detach(struct pinion_device *device, struct pinion_pool *pool);

#endif
