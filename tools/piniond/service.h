/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINIOND_SERVICE_H
#define PINIOND_SERVICE_H

/*
 * piniond: who is there, what belongs to whom, and which file does what about it.
 *
 *     piniond.c    options, set-up in order, and back in the opposite order
 *     config*.c    what the administrator wants
 *     harden.c     as little privilege as the rest needs
 *     pools.c      pools from the configuration; their files and segments
 *     making.c     those that somebody asks for, and ended ones, by threads beside the loop
 *     reserve.c    hugepages for them
 *     peers.c      connections: who is it, what does it say, is it too slow
 *     turn.c       questions of each user one after the other, with time between them
 *     admit.c      ATTACH, ANNOUNCE, REJOIN: peers become members
 *     doorbell.c   sockets by which the ends of a channel wake each other's loops
 *     frames.c     FRAMES: where the pages lie, for device processes that may not see it
 *     tell.c       what members are owed: segments, JOINED, LEFT
 *     burial.c     members that left or died, until nothing of theirs is left
 *     store.c      files that outlive this process ...
 *     ledger.c     ... and what they mean
 *     resume.c     everything taken up again from these two
 *     former.c     who is in a pool that was adopted, of whom these two know nothing
 *     audit.c      pages that somebody punched out of a pool
 *     quiet.c      a dead device process's device: nothing is freed before it is quiet
 *     query.c      QUERY: what the command pinion(1) asks ...
 *     report.c     ... about everything there is
 *     order.c      ... and orders
 *     metrics*.c   the same numbers for Prometheus, on a port of its own
 *
 * One event loop, and one thread: another that makes or undoes a pool has nothing else. Nothing
 * waits for a peer: what does not fit into a peer's socket is owed, and derived from the state
 * below when the socket has room again.
 *
 *     service ─┬─ peers       connections; of them some are a member's
 *              └─ pools ─┬─ members ── device (if it is a device process)
 *                        └─ pairings: a channel between a client and a device process
 *
 * A member's life:
 *
 *     LIVE      -> QUIETING   a device process died: its device may still write
 *     LIVE      -> GONE       it said goodbye, or its pidfd tells of its death; or its goodbye
 *                             stands in its slot, while it has no connection
 *     QUIETING  -> GONE       bus mastering is off, the container closed
 *     GONE      -> RECOVERED  what it held is free again, but for what is in transit
 *     RECOVERED -> (freed)    every pairing of its is done: its number may be used again
 *
 * A pairing is done when each of its ends is gone or has SETTLED: drained, reclaimed, unmapped; and
 * was told what it must hear even so (tell.c).
 *
 * A former member is LIVE until it closes what it has, for it cannot join again, and GONE until the
 * last of the formers in its pool is: channels between them are known to nobody else.
 *
 * A client that may use a device but not the pool in which that is served gets a pool of its own
 * from a template, and the device process a second membership there, a branch of its first one: of
 * the same process, cookie and connection, and with a pairing of its own. It is LIVE until that
 * pairing has settled, and then GONE; or as long as its first one, and then goes the same way.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <bsd/sys/queue.h>
#include <systemd/sd-event.h>

#include <pinion/client.h>
#include <pinion/pool.h>

#include "audit.h"
#include "config.h"
#include "peer.h"
#include "pool.h"
#include "wire.h"

struct service;
struct ledger;
struct metrics;
struct making;

/* An end of a pairing, and an index into what it has two of. */
enum side { CLIENT, DEVICE };

static inline enum side other_side(enum side side)
{
	return side == CLIENT ? DEVICE : CLIENT;
}

struct pairing {
	LIST_ENTRY(pairing) of_pool;
	uint32_t number; /* never used twice */
	uint32_t slots;  /* of each ring */
	struct member *end[2];
	int ring[2];     /* by who sends on it */
	int woken_by[2]; /* of one in a loop, its socket, until it has it; -1: none */
	int strikes[2];  /* of one in a loop, where the other end strikes; -1: none */
	bool settled[2];
	uint32_t entry;     /* in the ledger */
	bool told_joined;   /* the device process was, on its present connection */
	bool told_left[2];  /* likewise */
	bool owes_left;     /* the device process has settled, and must hear of the end */
	bool told_table;    /* the client was, the newest, likewise */
};

struct device {
	char name[PINION_NAME_MAX];
	char bdf[PINION_NAME_MAX]; /* "-": none */
	uint32_t slots, slots_max;
	uint32_t pools; /* of clients' own: its branches, at most */
	int container; /* -1: none parked */
	int table;     /* of addresses; -1: not shared */
	bool ready;
	uint64_t dead_ns; /* since when it is waited for; 0: it lives */
	bool complained;
};

enum life { LIVE, QUIETING, GONE, RECOVERED };

struct member {
	LIST_ENTRY(member) of_pool;
	struct pool *pool;
	uint32_t number;
	enum life state;
	bool killed; /* rather than left in order */
	pid_t pid;
	uid_t uid;
	gid_t gid;
	int pidfd;
	sd_event_source *death; /* NULL: not LIVE */
	uint64_t cookie;        /* it and we alone know it; 0: of a former, which has another */
	uint64_t owed;          /* a bit for each slot whose file it has not been sent */
	uint64_t quota;         /* bytes; 0: none */
	bool addresses;         /* may see them */
	bool loop;              /* its channels are to wake its loop */
	bool spams;             /* sent more files than a message has */
	uint64_t again_ns;      /* not before that are its words tried again */
	bool complained;        /* we did, that what it held cannot come back for now */
	struct peer *peer;      /* its connection; NULL: none at the moment, or a branch */
	struct device *device;  /* NULL: a client */
	bool former;            /* of a service before this one, which left no ledger */
	bool branch;            /* a device process's, in a pool that is one client's */
	struct member *home;    /* of a branch: that which it is one of, which is LIVE; or NULL */
	LIST_ENTRY(member) of_home;
	LIST_HEAD(, member) branches;
};

/* Whose pidfd and connection count for @member. */
static inline struct member *speaker_of(struct member *member)
{
	return member->home ? member->home : member;
}

/* Member numbers that nobody is let in under. The next service has one of its own before it buries
 * this one, and the one after that, if it is killed meanwhile. */
#define POOL_SUCCESSORS 8

struct pool {
	LIST_ENTRY(pool) link;
	struct service *service;
	char name[PINION_NAME_MAX];
	struct pinion_pool *pool;
	struct courier courier; /* hears of new segments */
	uint64_t left_ns;       /* when somebody was buried last; 0: it was made whole since */
	uint32_t index;         /* in the ledger */
	uint64_t stored;        /* a bit for each slot whose file is in the store */
	const char *path;       /* on hugetlbfs; NULL: memory files */
	bool own;               /* one client's, made from a template, and gone with it */
	sd_event_source *retry; /* a burial goes on then; NULL: none waits */
	struct audit audit;
	LIST_HEAD(, member) members;
	LIST_HEAD(, pairing) pairings;
};

/*
 * A connection's life:
 *
 *     ARRIVED -> GREETED   HELLO: pidfd and credentials taken, COOKIE sent
 *     GREETED -> KNOWN     CONFIRM from the right process
 *     KNOWN   -> MEMBER    ATTACH, ANNOUNCE or REJOIN
 *     any     -> SPENT     before it was a member it sent files by the hundred
 */
enum peer_state { ARRIVED, GREETED, KNOWN, MEMBER, SPENT };

struct peer {
	LIST_ENTRY(peer) link;
	struct service *service;
	enum peer_state state;
	int socket;
	uid_t uid; /* whose it was when it was accepted */
	sd_event_source *io;
	sd_event_source *pause; /* NULL: it is not the next of those put off, and does not rest */
	bool put_off;           /* it is not heard until its turn has come */
	uint64_t asked_ns;      /* since when it wants to be heard; 0: it was not put off */
	uint64_t rest_ns;       /* until then its user rests, as far as this one knows */
	struct peer_identity identity;
	uint64_t cookie, deadline_ns; /* MEMBER has none */
	const struct config_rule *rule; /* NULL: may do nothing */
	struct wire question;           /* of one that is KNOWN, the last */
	struct making *making;          /* it waits for a pool; NULL: it does not */
	struct member *member;          /* of a MEMBER */
	bool said_goodbye;
};

struct counters {
	uint64_t attached, refused, deaths, left, returned, recoveries, protocol_errors, punched;
	uint64_t recovery_ns; /* that all recoveries took */
};

struct service {
	const struct config *config;
	sd_event *event;
	struct ledger *ledger;
	struct metrics *metrics; /* NULL: not wanted */
	struct making *making;   /* the pool that is being made; NULL: none */
	pthread_t undoing;       /* of one that ended, if is_undoing */
	bool is_undoing;         /* or was: the thread is to be joined */
	int listener;
	int pagemap; /* of this process, opened with privilege; -1: not wanted, or there was none */
	sd_event_source *door; /* whose turn it is when somebody connects */
	uint64_t started_ns;
	uint32_t nr_peers;
	uint32_t nr_passed_over; /* pools that are there, and not served */
	LIST_HEAD(, peer) peers;
	LIST_HEAD(, pool) pools;
	struct counters counters;
};

/* pools.c */
/* Hugepages for those that are not there yet, if the configuration says so. Takes privilege. pre:
 * the ledger is open. */
int pools_reserve(const struct service *service);
int pools_create(struct service *service);
void pools_destroy(struct service *service);
/* One without a pool in it, and its place among the others. NULL: no memory. */
struct pool *pools_new(struct service *service, const char *name);
void pools_insert(struct pool *pool);
/* Leaves a sentence (pinion_error_text()). -EUCLEAN: what lies at its path is damaged. */
int pools_add(struct service *service, const struct config_pool *config);
/* What is to be made for @config, which it points into. */
struct pinion_pool_config pools_wish(const struct config_pool *config);
/* @made after that wish: served from now on, @own: to one client. On failure it is the caller's. */
int pools_take_in(struct service *service, const struct config_pool *config, bool own,
		  struct pinion_pool *made);
/* That of a pool like @template: "NAME.N", the first number that is free. */
int pools_choose_name(const struct service *service, char name[PINION_NAME_MAX],
		      const char *template);
/* Processes that may be in it at once, this one included. */
uint32_t pools_members_max(const struct pool *pool);
/* Nothing of it is taken up again; its pages are back a little later. pre: it has no members. */
void pools_end(struct pool *pool);
struct pool *pools_find(const struct service *service, const char *name);

/* making.c */
/* The pool that @config tells of: it alone, or, @own, one like it for one client. NULL: @peer was
 * refused; or the pool is being made, and @peer is answered again (peers.c) when it is there. */
struct pool *making_pool(struct peer *peer, const struct config_pool *config, bool own);
/* Destroys @pool, which nobody has any more. */
void making_undo(struct service *service, struct pinion_pool *pool);
/* Until that is done: the pages are there again. Not if who has a pool made waits for them. */
void making_await_undone(struct service *service);
/* Waits for both, and gives up what was made. */
void making_close(struct service *service);

/* peers.c */
int peers_listen(struct service *service);
void peers_close(struct service *service);
/* Hangs up. Its member, if any, lives on without it. */
void peers_drop(struct peer *peer);
/* It speaks for @member from now on. */
void peers_become_member(struct peer *peer, struct member *member);
/* @member itself, or, of the client's own pool that came with @channel, its branch there; NULL:
 * there it is not, or not any more. */
struct member *peers_find_branch(struct member *member, uint32_t channel);
/* What a member said before it died: was it a goodbye? */
bool peers_last_words(struct peer *peer);
/* What it asked last: there is now what it waited for, or there cannot be. */
void peers_answer_again(struct peer *peer);
/* @err and a sentence for the peer. */
void peers_refuse(struct peer *peer, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* turn.c */
/* May @peer, which has something to ask, be heard now? Else it is put off until it may. */
bool turn_has_come(struct peer *peer);
/* Its question, begun with then, was answered. */
void turn_end(struct peer *peer, uint64_t began_ns);
/* It, a member, has said much since then, and is not heard for a while. */
void turn_rest(struct peer *peer, uint64_t began_ns);
/* One of that user's was heard: whose turn is it next? */
void turn_go_on(const struct service *service, uid_t uid);
/* Another of its user's knows what it knew, and is next if it was. pre: @peer is on no list. */
void turn_leave(const struct peer *peer);

/* admit.c */
void admit_attach(struct peer *peer, const struct wire *message);
void admit_announce(struct peer *peer, const struct wire *message);
/* The end of a pairing that is on no list: out of the ledger, its files closed. */
void admit_part(struct pairing *pairing);
/* From now on the death of @member is noticed, by its pidfd. */
int admit_watch(struct member *member);
void admit_rejoin(struct peer *peer, const struct wire *message);
/* The membership of that cookie, if @peer is a connection of the same process. */
struct member *admit_find_own(const struct peer *peer, uint64_t cookie);
/* Has @pool all its pages? Else @peer is refused. */
bool admit_is_whole(struct peer *peer, const struct pool *pool);
/* Which rule it is that shows no addresses to @peer. */
void admit_say_hidden(const struct peer *peer, char text[WIRE_TEXT_MAX]);
struct member *admit_find_device(const struct service *service, const char *name);
/* The one that lives and was let in with @cookie, not a branch of it. */
struct member *admit_find_cookie(const struct service *service, uint64_t cookie);

/* doorbell.c */
void doorbell_init(struct pairing *pairing);
/* For each end that asked for it. On failure some may be there. */
int doorbell_make(struct pairing *pairing);
void doorbell_close(struct pairing *pairing);
/* Is there what a device process must be told? */
bool doorbell_is_whole(const struct pairing *pairing);
/* What @side is given, and the bits for it in @which; returns how many. */
unsigned doorbell_files(const struct pairing *pairing, enum side side, int *files, int32_t *which);
/* @side has been. */
void doorbell_given(struct pairing *pairing, enum side side);
/* May the client be given its part, though perhaps the device process has not been? Until that is,
 * the client may try to put files there. */
bool doorbell_can_wait(const struct pairing *pairing);

/* frames.c */
/* Opens the pagemap if a rule wants it. Takes privilege; without, who asks is told. */
void frames_open(struct service *service);
void frames_close(struct service *service);
void frames_answer(struct peer *peer, const struct wire *message);

/* tell.c */
/* Sends @member what it is owed, as far as its socket has room. */
void tell(struct member *member);
/* A segment's file, or a note that it is owed. For the moment in which the pool is locked. */
void tell_segment(struct member *member, uint32_t slot, int fd);
/* A new connection of @member: what may have been lost with the old one is owed again. */
void tell_again(struct member *member);
/* @device has shared a new table: its clients are to have it. */
void tell_table(struct member *device);
/* Does the client of @pairing get a table, as far as there is one? */
bool tell_shows(const struct pairing *pairing);
/* May @side have something of @pairing, by what it said and was told? */
bool tell_has(const struct pairing *pairing, enum side side);
/* @member of @pairing has settled: the other end is to hear of it. */
void tell_settled(struct pairing *pairing, enum side side);

/* burial.c */
/* No longer a member: @killed, or it said goodbye. pre: its connection was dropped. */
void burial_begin(struct member *member, bool killed);
/* LIVE -> QUIETING or GONE, and no more than that. */
void burial_mark(struct member *member, bool killed);
/* Its slot says so, whoever heard it. A former's cookie is not known: any word is taken for one. */
bool burial_has_left(const struct member *member);
/* Goes on with everything in @pool that is not yet buried, as far as it can be. The pool itself is
 * gone afterwards if it was one client's and nobody is left in it. */
void burial_go_on(struct pool *pool);
/* The same; and who has left without being heard? Asked again for as long as there is a member
 * without a connection. */
void burial_look(struct pool *pool);

/* former.c */
/* Who is in @pool, which was just adopted, with nobody in it as yet. pre: the ledger has it
 * entered, and not published. */
int former_take_in(struct pool *pool);
/* Must the burial of those in @pool who were there before wait? */
bool former_waits(const struct pool *pool);

/* quiet.c */
/* Can it be seen whether the device there is quiet? "-", which is none, is. Or why not. */
int quiet_is_seen(const char *bdf);
/* Is the device of this dead process quiet? Then its container is closed. */
bool quiet_now(struct member *member);

/* query.c */
void query_answer(struct peer *peer, const struct wire *message);

/* piniond.c */
void service_log(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint64_t service_now_ns(void);

#endif
