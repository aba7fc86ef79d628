/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINIOND_STORE_H
#define PINIOND_STORE_H

/*
 * Descriptors that outlive this process: systemd's fd store, sd_notify(3). What is put there comes
 * back, by name, to the next process of the same service, whatever became of this one.
 *
 *     ledger          see ledger.h
 *     p.POOL.control  control area
 *     p.POOL.SLOT     segment
 *     m.POOL.NUMBER   pidfd of a member
 *     d.POOL.NUMBER   container of a device process
 *     c.NUMBER.SIDE   ring of a pairing
 *     b.NUMBER        where its device process strikes to wake the client's loop
 *
 * POOL is the pool's index in the ledger. The store keeps no order: names tell.
 *
 * Without a manager that keeps a store, putting does nothing, and nothing comes back.
 */

#include <stdbool.h>
#include <stdint.h>

#define STORE_NAME_MAX 64

struct store_name {
	char text[STORE_NAME_MAX];
};

struct store_name store_name(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * What came, socket included: its descriptor, or -1. @max: how many the store takes (the unit's
 * FileDescriptorStoreMax=); beyond that it drops without a word, so that we count.
 */
int store_open(uint32_t max);

/* -ENOSPC: it is full; others: the manager was not told. @fd is not kept then. */
int store_put(struct store_name name, int fd);

/* No longer kept. One that is not there is no mistake: those that are, we know by name. */
void store_drop(struct store_name name);

/* One that came back, which is the caller's, and stays in the store; -1: none of that name.
 * @inode: only the one with this inode; 0: any. */
int store_take(struct store_name name, uint64_t inode);

/* Closes and drops what came back and nobody took. */
void store_drop_rest(void);

#endif
