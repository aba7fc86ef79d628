/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SERVE_H
#define SERVE_H

/*
 * The device process: who its producers are, and what it does for them.
 *
 *     nvme_serve.c      options, set-up in order, and back in the opposite order
 *     serve_args.c      the options
 *     serve_own.c       the pool is ours, and so is the socket where producers come in ...
 *     serve_service.c   ... or both are piniond's, whose device process this is
 *     serve_loop.c      one round after the other: completions, requests, doorbells, events
 *     serve_member.c    one producer: its requests, its completions, its end
 *     serve_report.c    the JSON at the end
 *
 * One thread does everything. A buffer is in one of these places, and in no other:
 *
 *     ring to us  ->  request (in flight in the drive)  ->  outbox  ->  ring to the producer
 *                                                       \->  freed, when the producer is gone
 *
 * A member has at most SERVE_CREDIT commands and completions here; beyond that its requests wait
 * in its own ring. A producer that does not take its completions holds up nobody but itself.
 *
 * A member's life, and who moves it on:
 *
 *     PRESENT  -> GONE      it said goodbye, or its pidfd tells of its death
 *     PRESENT  -> REJECTED  it broke the protocol: its channel is closed, here and now
 *     REJECTED -> GONE      as above
 *     GONE     -> BURIED    its ring is drained, and the drive is done with its last buffer
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <bsd/sys/queue.h>

#include <pinion/cache.h>
#include <pinion/channel.h>
#include <pinion/device.h>
#include <pinion/domain.h>
#include <pinion/pool.h>
#include <pinion/rendezvous.h>

#include "nvme_ctrl.h"

#define SERVE_CREDIT 64     /* commands and completions of one member here at once */
#define SERVE_BATCH 8       /* requests taken from one member in one round */
#define SERVE_GONE_MAX 64   /* members of the past that the report names */
#define SERVE_ERRORS_MAX 32 /* different statuses that it names */

enum serve_state { SERVE_PRESENT, SERVE_REJECTED, SERVE_GONE, SERVE_BURIED };

/* One command, from its receipt to its completion. Free when its member is NULL. */
struct serve_request {
	struct serve_member *member;
	struct pinion_desc desc;
	uint64_t nr_bytes; /* to be transferred */
};

struct serve_counts {
	uint64_t commands, errors, bytes_read, bytes_written;
	uint64_t returned; /* buffers of a member that was gone that came back here */
};

struct serve_member {
	TAILQ_ENTRY(serve_member) link;
	enum serve_state state;
	bool drained, killed, rejected;
	uint32_t number;
	pid_t pid;
	uid_t uid;
	struct pinion_channel *channel;
	struct nvme_queue *queue;
	uint32_t in_flight, nr_outbox; /* together at most SERVE_CREDIT */
	struct serve_request request[SERVE_CREDIT];
	struct pinion_desc outbox[SERVE_CREDIT];
	struct serve_counts counts;
};

TAILQ_HEAD(serve_members, serve_member);

struct serve_error {
	uint16_t status;
	uint64_t nr;
};

struct serve;

/*
 * Where producers come in. The calls stand in the order in which they are made; leave() may follow
 * any of them, from enter() on.
 */
struct serve_door {
	int (*enter)(struct serve *serve);   /* before the drive is touched */
	int (*furnish)(struct serve *serve); /* the drive is open: serve->pool is there after it */
	int (*share)(struct serve *serve);   /* bus addresses are known, or more of them */
	int (*open)(struct serve *serve);    /* everything is set up: let them in */
	int (*fd)(const struct serve *serve);
	/* As of pinion_rendezvous_next(), or of pinion_device_next(). */
	int (*next)(struct serve *serve, struct pinion_event *event);
	/* How many buffers came back to be counted here, or an error. */
	int (*bury)(struct serve *serve, uint32_t member);
	void (*leave)(struct serve *serve);  /* the drive is closed, nothing is mapped for it */
};

extern const struct serve_door serve_own, serve_service;

struct serve_config {
	const char *bdf, *socket;   /* socket NULL: of the service, ... */
	const char *service, *pool; /* ... which listens there, and has that; NULL: as it says */
	const struct serve_door *door;
	/* Of a pool of our own: */
	unsigned mode;        /* of the socket */
	uint64_t buffer_size; /* bytes */
	uint32_t nr_buffers;
	bool node_given;
	int node;
	/* Always: */
	uint64_t page_size; /* of the kernel, in bytes; for queues, and for buffers of our own */
	uint32_t nr_queues;
	bool by_iommufd, msix, exit_when_idle;
	int ready_fd; /* -1: none */
};

struct serve {
	const struct serve_config *config;
	struct nvme_transport transport;
	struct pinion_pool *pool; /* the producers'; the driver has another, for its queues */
	struct pinion_domain *domain;
	struct pinion_cache *cache;
	struct nvme_ctrl ctrl;
	struct pinion_rendezvous *rendezvous; /* of serve_own */
	struct pinion_device *device;         /* of serve_service */
	int signal_fd;
	bool stopping;
	bool disowned; /* the service does not know us any more */
	struct serve_members members, gone;
	uint32_t nr_members, nr_joined, nr_gone;
	uint32_t nr_killed, nr_rejected;
	uint32_t in_flight; /* of all members */
	uint64_t interrupts;
	uint64_t last_progress_ns; /* something came back from the drive, or nothing was due */
	uint32_t idle_rounds;      /* in a row, with nothing to do */
	struct serve_counts counts;
	struct serve_error error[SERVE_ERRORS_MAX];
	uint32_t nr_errors;
	struct pinion_zone_stat at_start;
};

/* serve_args.c: exits with 2 when they are wrong. */
void serve_parse(int argc, char **argv, struct serve_config *config);

/* serve_member.c */

/* -ENOMEM: nobody more can be served. */
int serve_join(struct serve *serve, const struct pinion_event *event);
void serve_leave(struct serve *serve, const struct pinion_event *event);
/* One round for one member; true when there was something to do. It may be BURIED by this. */
bool serve_member_step(struct serve *serve, struct serve_member *member);
/* A command is back from the drive. */
void serve_complete(struct serve *serve, struct serve_request *request, uint16_t status);
/* pre: the drive is quiet. All that is in flight completes as "Command Aborted By Host". */
void serve_abort(struct serve *serve);

/* serve_loop.c */

/* Until a signal, or nobody is left (exit_when_idle): 0. Otherwise the drive failed. */
int serve_loop(struct serve *serve);

/* serve_report.c */

/* One JSON object on stdout. pre: the controller is closed, the pool is not. */
void serve_report(const struct serve *serve);

#endif
