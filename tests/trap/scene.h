/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_TRAP_SCENE_H
#define PINION_TESTS_TRAP_SCENE_H

/*
 * Where a call is watched: member a of a pool, with a new channel to member b, or what else the
 * call is of. b has no library of its own: what it does is stored through second mappings. (As
 * producer of a broadcast it has one to begin with.)
 *
 *     scene_open()
 *       prepare: what was before the call
 *     scene_watch()    the call runs; each access is noted, one value may be changed
 *       judge: do result and memory follow from the values that were fetched?
 *     scene_close()
 *
 * Places that a peer can write: each access belongs to one.
 */

#include <pinion/fanin.h>
#include <pinion/request.h>

#include "broadcast_support.h"
#include "held_support.h"
#include "ready.h"
#include "watch.h"

enum where {
	PLACE_SLOT,
	PLACE_CREDIT,
	PLACE_CONSUMER_CLOSED,
	PLACE_PRODUCER_CLOSED,
	PLACE_BELL_STATE,
	PLACE_BELL_FENCED,
	PLACE_ENDED, /* these two in a seat */
	PLACE_CLOSED,
	PLACE_SIZE,    /* these in heads of files; a ring's slots, a ready set's lanes */
	PLACE_VERSION, /* the size behind it may come along with it */
	PLACE_MAGIC,
	PLACE_START,
	PLACE_BEGIN, /* these two in a seat */
	PLACE_RETURNED,
	PLACE_SUMMARY, /* these two in a ready set */
	PLACE_READY,
	PLACE_WORD,    /* an owner word */
	PLACE_CONTROL, /* these in a control area that is attached to, by words; here its head */
	PLACE_EPOCH,
	PLACE_SEGMENT, /* in segment slots */
	PLACE_MEMBER,  /* in member slots */
	PLACE_OTHER, /* the rest of the control area, and of files */
	PLACES,
};

extern const char *const place_name[PLACES];

/* One access, with what was there at that moment. */
struct fetch {
	enum where place;
	uint32_t index; /* of the slot, or the buffer's id; in a head: of which file */
	void *alias;
	bool load, store, whole;
	bool vector;       /* a word, together with its neighbours */
	uint64_t value[2]; /* the accessed 8 or 4 bytes; of a slot always both halves */
};

#define SLOTS 4u /* of a ring, unless a call says otherwise */
#define SLOTS_MAX 16u
#define BUFFERS 48u /* and ids up to 64, which name none */
#define HELD 16u    /* buffers that a and b each hold at the start: rows, by their ids */
#define FETCHES_MAX 256u

/* Whose head it is. */
enum file {
	FILE_AB,
	FILE_BA, /* and a broadcast's ring that nobody has opened */
	FILE_SEAT,
	FILE_READY,
	FILES,
};

/* What the peer changes, and when. */
struct flip {
	uint32_t nth; /* load of the call; UINT32_MAX: never */
	int halves;   /* of a slot: 1 head, 2 body, 3 both */
	uint64_t value[2];
	bool done;
};

enum kind {
	KIND_CHANNEL,
	KIND_ONE_WAY,  /* a channel on which a may only send */
	KIND_RAW,      /* a's ends of two rings */
	KIND_REQUEST,  /* a requester over the channel: a asks one thing, and may be asked one */
	KIND_FANIN,    /* a fan-in that has the channel */
	KIND_PRODUCER, /* a lends, b has a seat */
	KIND_CONSUMER, /* the other way round */
	/* The call is given files of b's, and maps them. */
	KIND_RINGS, /* of two rings */
	KIND_SEAT,  /* of a broadcast: its ring and a seat */
	KIND_READY, /* of a ready set; there is a channel */
	KIND_POOL,  /* of the pool, for one member more */
};

static inline bool kind_maps(enum kind kind)
{
	return kind >= KIND_RINGS;
}

struct scene {
	enum kind kind;
	struct side a, b;
	struct ring ab, ba;              /* b's mappings: a sends on ab, and receives from ba */
	struct ring_shared *tx, *rx;     /* a's, of the channel or of the raw ends */
	uint32_t slots;                  /* of all rings */
	uint64_t start;                  /* where they begin */
	struct pinion_ring *send, *recv; /* raw ends, instead of a channel */
	struct pinion_requester *requester;
	uint32_t tag; /* of what a asked */
	struct pinion_fanin *fanin;
	struct ready_shared *ready; /* b's mapping */
	struct pinion_broadcast *broadcast;
	struct pinion_seat *seat;
	struct seat_shared
		*chair; /* b's mapping of it; the ring's is ab or ba, as a lends or not */
	int file[FILES]; /* of a kind that maps: where to open it */
	int kept;        /* mappings that the call made and left */
	struct pinion_pool_fds fds;
	uint32_t member;          /* as which it is attached to */
	struct pinion_pool *pool; /* and the pool then */
	struct pinion_buffer ours[HELD], theirs[HELD];

	struct fetch fetch[FETCHES_MAX];
	uint32_t nr_fetches; /* noted; counted further */
	uint32_t nr_loads;
	struct flip flip;

	struct pinion_desc desc[SLOTS_MAX]; /* what the call was given, or gave */
	struct pinion_buffer buffer[SLOTS_MAX];
};

void scene_open(struct scene *scene, enum kind kind, uint32_t slots);
void scene_close(struct scene *scene);

/* Slot and lap of the @at-th position from there on. */
uint32_t scene_index(const struct scene *scene, uint32_t at);
uint64_t scene_odd(const struct scene *scene, uint32_t at);

/* b publishes @desc as the @nth descriptor, properly. */
void scene_publish(struct scene *scene, uint32_t nth, const struct pinion_desc *desc);
/* b takes what a sent in its first slots, and gives credit. */
void scene_take(struct scene *scene, uint32_t nr);
/* The word of @buffer says that @side holds it. */
void scene_hold(struct scene *scene, struct pinion_buffer buffer, const struct side *side);

uint64_t scene_word(const struct scene *scene, struct pinion_buffer buffer);

/* Runs @act with every access to shared memory watched. */
int scene_watch(struct scene *scene, int (*act)(struct scene *scene));

/* The @nth noted load from a place; NULL: there was none. */
const struct fetch *scene_load(const struct scene *scene, enum where place, uint32_t index,
			       uint32_t nth);

#endif
