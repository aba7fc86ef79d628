/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef COPY_H
#define COPY_H

/*
 * A producer: copies its part of a file to the drive, or compares it with what is there, through
 * the device process (nvme-serve), which it is matched with by piniond, or finds at a socket. It
 * has no privilege, sees no device, and knows no address but its own.
 *
 *     nvme_copy.c    the command: in order, and the JSON at the end
 *     copy_args.c    its options
 *     copy_attach.c  a pool, and a channel to the device process, until that leaves
 *     copy_drive.c   the device process: identify, buffers, requests, completions
 *     copy_file.c    the file: which part is ours, and whether all of it fits the drive
 *     copy_run.c     the window: up to depth requests under way at once
 *
 * Nothing is copied on the way: pread(2) puts the file's bytes where the drive takes them from.
 */

#include <stdbool.h>
#include <stdint.h>

#include <pinion/cache.h>
#include <pinion/client.h>
#include <pinion/session.h>

#include "nvme_wire.h"

#define COPY_DEPTH_MAX 256 /* below the slots of a ring: a send never finds it full */

enum copy_verb { COPY_WRITE, COPY_VERIFY, COPY_INFO };

/* Exit statuses. The functions below return them too: 0, or why it ends. */
enum copy_status {
	COPY_DONE = 0,
	COPY_FAILED = 1,  /* the drive refused a command, or holds something else */
	COPY_USAGE = 2,   /* wrong options */
	COPY_REFUSED = 3, /* this file cannot be read, or cannot go to this drive */
	COPY_LOST = 4,    /* the device process is not there, or went away */
	COPY_LEFT = 5,    /* it went away; what was under way is settled with the service */
};

struct copy_config {
	const char *socket;           /* of nvme-serve; NULL: it is the service's ... */
	const char *device, *service; /* ... under this name; service NULL: at the usual place */
	const char *path;
	enum copy_verb verb;
	uint32_t part, nr_parts; /* from 1 */
	uint32_t depth;
	uint32_t offset; /* LBA on the drive where the file's first byte is */
	bool progress;
};

/* A request under way: its buffer is the device process's. */
struct copy_op {
	bool busy;
	uint32_t id;  /* of the buffer */
	uint64_t off; /* bytes from the file's start */
	uint32_t len; /* 0: a flush */
};

struct copy {
	const struct copy_config *config;
	struct pinion_client *client;   /* one of these two, ... */
	struct pinion_session *session;
	struct pinion_pool *pool;       /* ... and what it has; channel NULL: settled */
	struct pinion_channel *channel;
	struct pinion_cache *cache;
	struct pinion_zone_stat zone; /* where the buffers come from */
	struct nvme_wire_info info;
	uint32_t chunk; /* bytes of one request */
	int file;
	uint64_t file_len;
	uint64_t begin, end; /* our part, bytes from the file's start */
	uint64_t next, done; /* asked for up to here; bytes finished */
	uint8_t *scratch;    /* the file's bytes, to compare with */
	struct copy_op op[COPY_DEPTH_MAX];
	uint32_t nr_busy;
	uint64_t commands, refused, allocated, freed;
	uint64_t elapsed_ns, progress_ns;
};

/* copy_args.c: exits with COPY_USAGE when they are wrong. */
void copy_parse(int argc, char **argv, struct copy_config *config);

/* copy_attach.c */

enum copy_status copy_attach(struct copy *copy);
/* Buffers still under way are not waited for: their keeper frees them. */
void copy_detach(struct copy *copy);
/* For messages: the device's name, or the socket. */
const char *copy_peer_name(const struct copy *copy);
/* The channel gave -EPIPE. True: because the device process left. Then what came back was freed,
 * what it had not taken too, the service recovers the rest, and nothing is under way any more. */
bool copy_settle(struct copy *copy);

/* copy_drive.c */

/* Connects, asks for the drive's geometry, and chooses the buffers on its node. */
enum copy_status copy_open(struct copy *copy);
void copy_close(struct copy *copy);

/* A free buffer on the drive's node, or -ENOMEM: none for now. */
int copy_alloc(struct copy *copy, struct pinion_buffer *buffer);
void copy_free(struct copy *copy, struct pinion_buffer buffer);
/* Hands a buffer over. Afterwards it is named by @op->id alone. */
enum copy_status copy_send(struct copy *copy, struct copy_op *op, struct pinion_buffer buffer,
			   enum nvme_wire_op wire_op, uint32_t lba);
/* Waits for one completion: which request, the buffer (ours again), and the NVMe status. */
enum copy_status copy_recv(struct copy *copy, struct copy_op **op, struct pinion_desc *desc);
/* What the drive answered; the first refusal is said by name, all are counted. */
enum copy_status copy_check(struct copy *copy, const struct copy_op *op,
			    const struct pinion_desc *desc);

/* copy_file.c */
enum copy_status copy_file_open(struct copy *copy);
void copy_file_close(struct copy *copy);
/* Reads exactly @len bytes. */
enum copy_status copy_file_read(const struct copy *copy, void *to, uint32_t len, uint64_t off);

/* copy_run.c */
enum copy_status copy_run(struct copy *copy);

#endif
