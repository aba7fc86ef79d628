/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINIOND_LEDGER_H
#define PINIOND_LEDGER_H

/*
 * What the service must know of itself after it was killed: a file format, in a sealed memfd that
 * nobody else ever gets, kept in the fd store (store.h). What members could have written to is not
 * asked: the pool's own record says what the pool is (resume.h), and this who is in it.
 *
 * One writer, this process. An entry counts when its first word is not 0: all else is written
 * before it, and it is the first to go. Killed at any instruction, an entry is there or not.
 *
 * The order between ledger, store and peers:
 *
 *     comes    files into the store, entry into the ledger, then the peer is told
 *     goes     entry out of the ledger, files out of the store, then the number is used again
 */

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include <pinion/resume.h>

#include "service.h"
#include "store.h"

#define LEDGER_PAIRINGS_MAX 16384
#define LEDGER_PATH_MAX (PATH_MAX - 16)

enum ledger_use {
	LEDGER_UNUSED = 0,
	LEDGER_IN_FILES = 1, /* in memfds, which are in the store */
	LEDGER_NAMED = 2,    /* on hugetlbfs, in the directory of that path */
};

struct ledger_pool {
	_Atomic uint32_t used; /* enum ledger_use */
	_Atomic uint32_t which; /* of the records is the one that counts */
	uint32_t own;           /* 1: one client's */
	char name[PINION_NAME_MAX];
	char path[LEDGER_PATH_MAX];
	/* Damage (audit.h). A release before these had nothing here, and leaves them as they are:
	 * they count for the pool of that random number alone, and for it wherever it is: one with
	 * a path that was ended may be adopted into another place. (A segment that such a release
	 * put in the place of a damaged one counts as damaged to the next that knows of these.) */
	_Atomic uint32_t control_punched;
	_Atomic uint64_t punched, punched_of;
	struct pinion_pool_record record[2];
};
_Static_assert(offsetof(struct ledger_pool, record) ==
		       3 * sizeof(uint32_t) + PINION_NAME_MAX + PATH_MAX + sizeof(uint32_t),
	       "where it always was");

enum ledger_role {
	LEDGER_FREE = 0,
	LEDGER_KEEPER = 1, /* this service, or one before it */
	LEDGER_CLIENT = 2,
	LEDGER_DEVICE = 3,
	LEDGER_FORMER = 4, /* found in a pool that was adopted, see former.c */
};

struct ledger_member {
	_Atomic uint32_t role;
	_Atomic uint32_t left;  /* 1: said goodbye; its process may live on */
	_Atomic uint32_t ready; /* of a device process */
	uint32_t uid, gid, pid;
	uint32_t addresses; /* 1: may see them */
	uint32_t slots, slots_max, pools;
	uint32_t branch; /* 1: of the membership with the same cookie */
	uint32_t loop;   /* 1: its channels wake its loop */
	uint64_t cookie;
	struct pinion_member_record record;
	char name[PINION_NAME_MAX], bdf[PINION_NAME_MAX]; /* of a device */
};

struct ledger_pairing {
	_Atomic uint32_t number;
	uint32_t pool, client, device; /* index; member numbers */
	uint32_t slots;
	_Atomic uint32_t settled[2];
};

struct ledger {
	uint64_t magic, stamp;
	_Atomic uint32_t next_pairing;
	_Atomic uint32_t restarts;
	struct ledger_pool pool[CONFIG_POOLS_MAX];
	struct ledger_pairing pairing[LEDGER_PAIRINGS_MAX];
	/* Sparse: of each pool as many are looked at as it has members, and the rest has no pages
	 * (a look at a hole would make one). */
	struct ledger_member member[CONFIG_POOLS_MAX][PINION_MEMBER_MAX];
};

/* The one that came back from the store, or a new one, which goes there. -EPROTO: of another
 * release; the store's files are of no use then. */
int ledger_open(struct ledger **ledger);

/* Names of files in the store, see store.h. */
struct store_name ledger_control_name(uint32_t pool);
struct store_name ledger_segment_name(uint32_t pool, uint32_t slot);
struct store_name ledger_pidfd_name(uint32_t pool, uint32_t member);
struct store_name ledger_container_name(uint32_t pool, uint32_t member);
struct store_name ledger_ring_name(uint32_t pairing, enum side side);
struct store_name ledger_doorbell_name(uint32_t pairing);

/* Pools. Entered, one is as good as not there; who is in it already is entered before it is
 * published, or the next service would give their numbers away. -ENAMETOOLONG: its path is. */
int ledger_enter_pool(struct ledger *ledger, struct pool *pool);
void ledger_publish_pool(struct ledger *ledger, const struct pool *pool);
void ledger_remove_pool(struct ledger *ledger, struct pool *pool);
/* One that is not there any more, with its members; its files go with the rest of the store. */
void ledger_forget_pool(struct ledger *ledger, uint32_t index);
/* Of one before: will it be taken up again? */
bool ledger_has_pool(const struct ledger *ledger, const char *name);
const struct pinion_pool_record *ledger_record(const struct ledger *ledger, uint32_t pool);
uint32_t ledger_nr_members(const struct ledger *ledger, uint32_t pool);
/* What the audit knows of damage; and what it knew of this pool before. */
void ledger_put_damage(struct ledger *ledger, const struct pool *pool);
void ledger_get_damage(const struct ledger *ledger, struct pool *pool);
/* For pinion_pool_watch(), with the pool as context. */
int ledger_watch(void *context, uint32_t slot, int fd, const struct pinion_pool_record *record);
/* This process's own number in the pool. */
int ledger_add_keeper(struct ledger *ledger, const struct pool *pool);

/* Members and pairings. -ENOSPC: ledger or store are full. */
int ledger_add_member(struct ledger *ledger, const struct member *member);
/* One that was there before this ledger. Its pidfd is not stored: who it is tells @started. */
void ledger_add_former(struct ledger *ledger, const struct member *member, uint64_t started);
void ledger_remove_member(struct ledger *ledger, const struct member *member);
struct ledger_member *ledger_member(struct ledger *ledger, const struct member *member);
int ledger_add_container(const struct member *member);
void ledger_remove_container(const struct member *member);
int ledger_add_pairing(struct ledger *ledger, struct pairing *pairing);
void ledger_remove_pairing(struct ledger *ledger, const struct pairing *pairing);

#endif
