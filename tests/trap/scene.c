/* SPDX-License-Identifier: BSD-3-Clause */
#include "scene.h"

#include <inttypes.h>
#include <sys/mman.h>

#include "mapping.h"

const char *const place_name[PLACES] = {
	"slot",       "credit",     "consumer_closed", "producer_closed", "bell.state",
	"fenced",     "ended",      "closed",          "size",            "version",
	"magic",      "start",      "begin",           "returned",        "ready summary",
	"ready word", "owner word", "control area",    "epoch",           "segment slot",
	"member slot", "other",
};

/* Where else than at @alias is the file mapped? The channel does not tell. */
static void *other_mapping(int fd, const void *alias)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	struct stat status;
	char line[512];
	void *found = NULL;

	assert_non_null(maps);
	assert_int_equal(fstat(fd, &status), 0);
	while (fgets(line, sizeof(line), maps) != NULL) {
		uintptr_t begin;
		uintmax_t inode;

		if (sscanf(line, "%" SCNxPTR "-%*x %*s %*x %*s %ju", &begin, &inode) == 2 &&
		    inode == status.st_ino && begin != (uintptr_t)alias)
			found = (void *)begin; /* NOLINT: that is what the kernel prints */
	}
	fclose(maps);
	assert_non_null(found);
	return found;
}

static void watch_file(void *addr, size_t len, void *alias)
{
	watch_add(addr, len, PROT_READ | PROT_WRITE, alias);
}

static void watch_rings(struct scene *scene, int ab, int ba)
{
	scene->tx = other_mapping(ab, scene->ab.shared);
	watch_file(scene->tx, scene->ab.len, scene->ab.shared);
	if (scene->kind == KIND_ONE_WAY)
		return;
	scene->rx = other_mapping(ba, scene->ba.shared);
	watch_file(scene->rx, scene->ba.len, scene->ba.shared);
}

static void open_channel(struct scene *scene, int ab, int ba)
{
	assert_int_equal(pinion_channel_open(scene->a.pool, ab, ba,
					     pinion_pool_member(scene->b.pool), &scene->a.channel),
			 0);
}

static void open_raw(struct scene *scene, int ab, int ba)
{
	assert_int_equal(pinion_ring_open(ab, PINION_RING_SEND, &scene->send), 0);
	assert_int_equal(pinion_ring_open(ba, PINION_RING_RECV, &scene->recv), 0);
}

static void open_fanin(struct scene *scene)
{
	uint32_t lane;
	int fd;

	assert_int_equal(pinion_fanin_create(&scene->fanin), 0);
	assert_int_equal(pinion_fanin_add(scene->fanin, scene->a.channel, 1, &lane), 0);
	fd = pinion_fanin_fd(scene->fanin);
	assert_int_equal(ready_map(fd, &scene->ready), 0);
	watch_file(other_mapping(fd, scene->ready), READY_LEN, scene->ready);
}

static void open_between(struct scene *scene)
{
	const int ab = ring_file(scene->slots), ba = ring_file(scene->slots);

	assert_int_equal(ring_map(ab, &scene->ab), 0);
	assert_int_equal(ring_map(ba, &scene->ba), 0);
	scene->start = scene->ab.at;
	if (scene->kind == KIND_RAW)
		open_raw(scene, ab, ba);
	else
		open_channel(scene, ab, scene->kind == KIND_ONE_WAY ? -1 : ba);
	watch_rings(scene, ab, ba);
	if (scene->kind == KIND_REQUEST)
		assert_int_equal(pinion_requester_open(scene->a.channel, 1, 1, &scene->requester),
				 0);
	if (scene->kind == KIND_FANIN)
		open_fanin(scene);
	close(ab);
	close(ba);
}

/* What a has mapped of its broadcast, or of its seat. */
static void watch_broadcast(struct scene *scene, uint32_t consumer)
{
	if (scene->kind == KIND_PRODUCER) {
		watch_file(scene->broadcast->ring.shared, scene->ab.len, scene->ab.shared);
		watch_file(scene->broadcast->place[consumer].seat, SEAT_LEN, scene->chair);
	} else {
		watch_add(scene->seat->ring.shared, scene->ba.len, PROT_READ, scene->ba.shared);
		watch_file(scene->seat->shared, SEAT_LEN, scene->chair);
	}
}

static void open_broadcast(struct scene *scene)
{
	const int ring = broadcast_file(scene->slots);
	const bool lends = scene->kind == KIND_PRODUCER;
	uint32_t consumer;
	int seat;

	assert_int_equal(pinion_broadcast_create_seat(&seat), 0);
	assert_int_equal(
		broadcast_map_ring(ring, PROT_READ | PROT_WRITE, lends ? &scene->ab : &scene->ba),
		0);
	assert_int_equal(broadcast_map_seat(seat, &scene->chair), 0);
	assert_int_equal(pinion_broadcast_open(lends ? scene->a.pool : scene->b.pool, ring,
					       &scene->broadcast),
			 0);
	scene->start = scene->broadcast->ring.at;
	assert_int_equal(pinion_broadcast_admit(scene->broadcast, seat, &consumer), 0);
	if (!lends)
		assert_int_equal(pinion_broadcast_join(scene->a.pool, ring, seat,
						       pinion_pool_member(scene->b.pool),
						       &scene->seat),
				 0);
	watch_broadcast(scene, consumer);
	close(ring);
	close(seat);
}

/* A file of b's that a is about to map. */
static void lay_out(struct scene *scene, enum file which, int fd, void *alias)
{
	scene->file[which] = fd;
	mapping_follow(fd, alias);
}

static void lay_out_rings(struct scene *scene)
{
	const int ab = ring_file(scene->slots), ba = ring_file(scene->slots);

	assert_int_equal(ring_map(ab, &scene->ab), 0);
	assert_int_equal(ring_map(ba, &scene->ba), 0);
	scene->start = scene->ab.at;
	lay_out(scene, FILE_AB, ab, scene->ab.shared);
	lay_out(scene, FILE_BA, ba, scene->ba.shared);
}

static void lay_out_seat(struct scene *scene)
{
	const int ring = broadcast_file(scene->slots);
	int seat;

	assert_int_equal(pinion_broadcast_create_seat(&seat), 0);
	assert_int_equal(broadcast_map_ring(ring, PROT_READ | PROT_WRITE, &scene->ba), 0);
	assert_int_equal(broadcast_map_seat(seat, &scene->chair), 0);
	lay_out(scene, FILE_BA, ring, scene->ba.shared);
	lay_out(scene, FILE_SEAT, seat, scene->chair);
}

static void lay_out_ready(struct scene *scene)
{
	int fd;

	open_between(scene);
	assert_int_equal(ready_create(&fd), 0);
	assert_int_equal(ready_map(fd, &scene->ready), 0);
	lay_out(scene, FILE_READY, fd, scene->ready);
}

/* The keeper made it, and any member may have written there since. */
static void lay_out_pool(struct scene *scene)
{
	assert_int_equal(pinion_pool_admit(scene->a.pool, getpid(), &scene->member), 0);
	scene->fds = pool_files(scene->a.pool);
	mapping_follow(scene->fds.control, scene->b.pool->control.addr);
}

static void open_kind(struct scene *scene)
{
	if (scene->kind == KIND_PRODUCER || scene->kind == KIND_CONSUMER)
		open_broadcast(scene);
	else if (scene->kind == KIND_RINGS)
		lay_out_rings(scene);
	else if (scene->kind == KIND_SEAT)
		lay_out_seat(scene);
	else if (scene->kind == KIND_READY)
		lay_out_ready(scene);
	else if (scene->kind == KIND_POOL)
		lay_out_pool(scene);
	else
		open_between(scene);
}

/* The pool is made once, and lives until the program ends; its control area is put back as it was
 * before each run. */
static struct stage {
	struct pinion_pool *a, *b;
	struct pinion_buffer ours[HELD], theirs[HELD];
	void *picture;
} stage;

static void hold_rows(struct pinion_pool *pool, struct pinion_buffer *buffer)
{
	hold(pool, buffer, HELD);
	qsort(buffer, HELD, sizeof(*buffer), by_id);
	assert_int_equal(buffer[HELD - 1].bits - buffer[0].bits, HELD - 1);
}

static void stage_open(void)
{
	const struct pinion_hostmem *control;

	struct pinion_pool_config config = pool_config(BUFFERS, BUFFER);

	config.max_segments = 2;
	stage.a = pool_make_from(&config);
	stage.b = pool_join(stage.a);
	hold_rows(stage.a, stage.ours);
	hold_rows(stage.b, stage.theirs);
	pool_lay_bait(stage.b);
	control = &stage.b->control;
	stage.picture = malloc(control->len);
	assert_non_null(stage.picture);
	memcpy(stage.picture, control->addr, control->len);
}

void scene_open(struct scene *scene, enum kind kind, uint32_t slots)
{
	if (!stage.a)
		stage_open();
	memcpy(stage.b->control.addr, stage.picture, stage.b->control.len);
	*scene = (struct scene){.kind = kind,
				.slots = slots,
				.flip.nth = UINT32_MAX,
				.a.pool = stage.a,
				.b.pool = stage.b};
	memcpy(scene->ours, stage.ours, sizeof(stage.ours));
	memcpy(scene->theirs, stage.theirs, sizeof(stage.theirs));
	scene->a.cache = cache_make(scene->a.pool, BUFFER);
	watch_clear();
	watch_file(stage.a->control.addr, stage.a->control.len, stage.b->control.addr);
	for (int i = 0; i < FILES; i++)
		scene->file[i] = -1;
	open_kind(scene);
}

static void close_broadcast(struct scene *scene)
{
	if (scene->seat)
		assert_int_equal(pinion_broadcast_leave(scene->seat), 0);
	if (scene->broadcast)
		assert_int_equal(pinion_broadcast_close(scene->broadcast), 0);
	broadcast_unmap_seat(scene->chair);
}

static void close_files(const struct scene *scene)
{
	mapping_clear();
	for (int i = 0; i < FILES; i++)
		if (scene->file[i] >= 0)
			close(scene->file[i]);
}

void scene_close(struct scene *scene)
{
	ring_unmap(&scene->ab);
	ring_unmap(&scene->ba);
	if (scene->fanin)
		assert_int_equal(pinion_fanin_destroy(scene->fanin), 0);
	ready_unmap(scene->ready);
	if (scene->requester)
		assert_int_equal(pinion_requester_close(scene->requester), 0);
	if (scene->a.channel)
		assert_int_equal(pinion_channel_close(scene->a.channel), 0);
	if (scene->send)
		assert_int_equal(pinion_ring_close(scene->send), 0);
	if (scene->recv)
		assert_int_equal(pinion_ring_close(scene->recv), 0);
	close_broadcast(scene);
	close_files(scene);
	if (scene->pool)
		assert_int_equal(pinion_pool_detach(scene->pool), 0);
	else if (scene->fds.nr_segments)
		pool_files_close(&scene->fds);
	assert_int_equal(pinion_cache_close(scene->a.cache), 0);
}

uint32_t scene_index(const struct scene *scene, uint32_t at)
{
	return (uint32_t)((scene->start + at) % scene->slots);
}

uint64_t scene_odd(const struct scene *scene, uint32_t at)
{
	return (scene->start + at) / scene->slots % 2 ? 0 : 1;
}

void scene_publish(struct scene *scene, uint32_t nth, const struct pinion_desc *desc)
{
	const uint64_t at = scene->start + nth;

	pinion_slot_store(ring_slot(&scene->ba, at), desc, ring_lap(&scene->ba, at));
}

void scene_take(struct scene *scene, uint32_t nr)
{
	struct pinion_desc desc;

	for (uint32_t i = 0; i < nr; i++) {
		assert_int_equal(ring_copy(&scene->ab, scene->start + i, &desc, 1), 1);
		desc.buffer = pinion_buffer_next(desc.buffer);
		scene_hold(scene, desc.buffer, &scene->b);
	}
	scene->ab.shared->credit = scene->start + nr;
}

void scene_hold(struct scene *scene, struct pinion_buffer buffer, const struct side *side)
{
	scene->b.pool->view.owner[pinion_buffer_id(buffer)] =
		pinion_owner_word(buffer, side->pool->view.self);
}

uint64_t scene_word(const struct scene *scene, struct pinion_buffer buffer)
{
	return scene->b.pool->view.owner[pinion_buffer_id(buffer)];
}

struct field {
	size_t off;
	enum where place;
};

static void place_in_head(struct fetch *fetch, const struct field *field, size_t off,
			  enum file file)
{
	for (; field->place != PLACE_OTHER; field++)
		if (off == field->off)
			fetch->place = field->place;
	if (fetch->place >= PLACE_SIZE && fetch->place <= PLACE_BEGIN)
		fetch->index = file;
}

static void place_in_ring(struct fetch *fetch, const struct ring_shared *shared, size_t off,
			  enum file file)
{
	static const struct field fields[] = {
		{offsetof(struct ring_shared, magic), PLACE_MAGIC},
		{offsetof(struct ring_shared, version), PLACE_VERSION},
		{offsetof(struct ring_shared, slots), PLACE_SIZE},
		{offsetof(struct ring_shared, start), PLACE_START},
		{offsetof(struct ring_shared, credit), PLACE_CREDIT},
		{offsetof(struct ring_shared, consumer_closed), PLACE_CONSUMER_CLOSED},
		{offsetof(struct ring_shared, producer_closed), PLACE_PRODUCER_CLOSED},
		{offsetof(struct ring_shared, bell.state), PLACE_BELL_STATE},
		{offsetof(struct ring_shared, bell.fenced), PLACE_BELL_FENCED},
		{0, PLACE_OTHER},
	};

	if (off < offsetof(struct ring_shared, slot)) {
		place_in_head(fetch, fields, off, file);
		return;
	}
	fetch->place = PLACE_SLOT;
	fetch->index =
		(uint32_t)((off - offsetof(struct ring_shared, slot)) / sizeof(struct pinion_slot));
	fetch->alias = (void *)(uintptr_t)&shared->slot[fetch->index];
}

static void place_in_seat(struct fetch *fetch, size_t off)
{
	static const struct field fields[] = {
		{offsetof(struct seat_shared, magic), PLACE_MAGIC},
		{offsetof(struct seat_shared, version), PLACE_VERSION},
		{offsetof(struct seat_shared, begin), PLACE_BEGIN},
		{offsetof(struct seat_shared, returned), PLACE_RETURNED},
		{offsetof(struct seat_shared, closed), PLACE_CLOSED},
		{offsetof(struct seat_shared, ended), PLACE_ENDED},
		{offsetof(struct seat_shared, bell.state), PLACE_BELL_STATE},
		{offsetof(struct seat_shared, bell.fenced), PLACE_BELL_FENCED},
		{0, PLACE_OTHER},
	};

	place_in_head(fetch, fields, off, FILE_SEAT);
}

static void place_in_ready(struct fetch *fetch, size_t off)
{
	static const struct field fields[] = {
		{offsetof(struct ready_shared, magic), PLACE_MAGIC},
		{offsetof(struct ready_shared, version), PLACE_VERSION},
		{offsetof(struct ready_shared, lanes), PLACE_SIZE},
		{offsetof(struct ready_shared, summary), PLACE_SUMMARY},
		{offsetof(struct ready_shared, bell.state), PLACE_BELL_STATE},
		{offsetof(struct ready_shared, bell.fenced), PLACE_BELL_FENCED},
		{0, PLACE_OTHER},
	};

	place_in_head(fetch, fields, off, FILE_READY);
	if (off < offsetof(struct ready_shared, word) || off >= sizeof(struct ready_shared))
		return;
	fetch->place = PLACE_READY;
	fetch->index = (uint32_t)((off - offsetof(struct ready_shared, word)) / sizeof(uint64_t));
}

/* Does it lie there? Then @off is where. */
static bool lies_in(const void *addr, const void *area, size_t len, size_t *off)
{
	*off = (uintptr_t)addr - (uintptr_t)area;
	return area && *off < len;
}

/* By words, whatever part of one it is. */
static void place_in_control(struct fetch *fetch, const struct pinion_pool *pool, size_t off)
{
	const size_t slot = off - offsetof(struct control, slot);
	const size_t member = off - pool->layout.member;

	fetch->alias = (char *)pool->shared + off / 8 * 8;
	if (off < offsetof(struct control, epoch)) {
		fetch->place = PLACE_CONTROL;
		fetch->index = (uint32_t)(off / 8);
	} else if (off < offsetof(struct control, slot)) {
		fetch->place = PLACE_EPOCH;
	} else if (off < sizeof(struct control)) {
		fetch->place = PLACE_SEGMENT;
		fetch->index = (uint32_t)(slot / 8);
	} else if (off >= pool->layout.member && off < pool->layout.seen) {
		fetch->place = PLACE_MEMBER;
		fetch->index = (uint32_t)(member / 8);
	}
}

/* Which place is it, @from bytes on in what is accessed? */
static struct fetch place_of(const struct scene *scene, const struct watch_access *access,
			     uint32_t from)
{
	const struct ring *ring[] = {&scene->ab, &scene->ba};
	const struct pinion_view *view = &scene->b.pool->view;
	void *const alias = (char *)access->alias + from;
	struct fetch fetch = {.place = PLACE_OTHER,
			      .alias = alias,
			      .load = access->load,
			      .store = access->store,
			      .whole = access->whole};
	size_t off;

	for (enum file i = FILE_AB; i <= FILE_BA; i++)
		if (lies_in(alias, ring[i]->shared, ring[i]->len, &off))
			place_in_ring(&fetch, ring[i]->shared, off, i);
	if (lies_in(alias, scene->chair, SEAT_LEN, &off))
		place_in_seat(&fetch, off);
	if (lies_in(alias, scene->ready, READY_LEN, &off))
		place_in_ready(&fetch, off);
	if (scene->kind == KIND_POOL &&
	    lies_in(alias, scene->b.pool->shared, scene->b.pool->control.len, &off)) {
		place_in_control(&fetch, scene->b.pool, off);
	} else if (lies_in(alias, view->owner, view->nr_ids * sizeof(uint64_t), &off)) {
		fetch.place = PLACE_WORD;
		fetch.index = (uint32_t)(off / sizeof(uint64_t));
	}
	return fetch;
}

static bool is_small(const struct fetch *fetch)
{
	return fetch->place >= PLACE_CONSUMER_CLOSED && fetch->place <= PLACE_SIZE;
}

/* The peer's change, just before the access. What is none of its own kind stays as it is. */
static void change(const struct fetch *fetch, struct flip *flip)
{
	uint64_t *word = fetch->alias;

	flip->done = true;
	if (fetch->place == PLACE_SLOT) {
		for (int half = 0; half < 2; half++)
			if (flip->halves >> half & 1)
				word[half] = flip->value[half];
	} else if (is_small(fetch)) {
		*(uint32_t *)fetch->alias = (uint32_t)flip->value[0];
	} else if (fetch->place != PLACE_OTHER) {
		*word = flip->value[0];
	}
}

static void note_one(struct scene *scene, struct fetch *fetch)
{
	if (fetch->load && scene->nr_loads++ == scene->flip.nth)
		change(fetch, &scene->flip);
	if (fetch->place == PLACE_SLOT)
		memcpy(fetch->value, fetch->alias, 16);
	else
		memcpy(fetch->value, fetch->alias, is_small(fetch) ? 4 : 8);
	if (scene->nr_fetches < FETCHES_MAX)
		scene->fetch[scene->nr_fetches] = *fetch;
	scene->nr_fetches++;
}

/* A vector of words is an access to each of them. */
static void note(void *context, const struct watch_access *access)
{
	struct scene *scene = context;
	struct fetch fetch = place_of(scene, access, 0);
	uint32_t at = 0;

	fetch.vector = access->vector && fetch.place >= PLACE_WORD && fetch.place != PLACE_OTHER;
	note_one(scene, &fetch);
	while (fetch.vector && (at += sizeof(uint64_t)) < access->vector) {
		fetch = place_of(scene, access, at);
		fetch.vector = true;
		note_one(scene, &fetch);
	}
}

int scene_watch(struct scene *scene, int (*act)(struct scene *scene))
{
	const int before = watch_ranges();
	int result;

	watch_start(note, scene);
	result = act(scene);
	watch_stop();
	scene->kept = watch_ranges() - before;
	return result;
}

const struct fetch *scene_load(const struct scene *scene, enum where place, uint32_t index,
			       uint32_t nth)
{
	for (uint32_t i = 0; i < scene->nr_fetches && i < FETCHES_MAX; i++) {
		const struct fetch *fetch = &scene->fetch[i];

		if (fetch->load && fetch->place == place && fetch->index == index && nth-- == 0)
			return fetch;
	}
	return NULL;
}
