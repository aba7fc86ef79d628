/* SPDX-License-Identifier: BSD-3-Clause */
#include "scene.h"

#include <inttypes.h>

const char *const place_name[PLACES] = {
	"slot",       "credit", "consumer_closed", "producer_closed",
	"bell.state", "fenced", "owner word",      "other",
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

static void open_ends(struct scene *scene, int ab, int ba, bool raw)
{
	if (raw) {
		assert_int_equal(pinion_ring_open(ab, PINION_RING_SEND, &scene->send), 0);
		assert_int_equal(pinion_ring_open(ba, PINION_RING_RECV, &scene->recv), 0);
		return;
	}
	assert_int_equal(pinion_channel_open(scene->a.pool, ab, ba,
					     pinion_pool_member(scene->b.pool), &scene->a.channel),
			 0);
}

static void watch_all(const struct scene *scene)
{
	watch_clear();
	watch_add(scene->tx, scene->ab.len, scene->ab.shared);
	watch_add(scene->rx, scene->ba.len, scene->ba.shared);
	watch_add(scene->a.pool->control.addr, scene->a.pool->control.len,
		  scene->b.pool->control.addr);
}

/* The pool is made once, and lives until the program ends; its control area is put back as it was
 * before each run. */
static struct stage {
	struct pinion_pool *a, *b;
	struct pinion_buffer ours[HELD], theirs[HELD];
	void *picture;
} stage;

static void hold(struct pinion_pool *pool, struct pinion_buffer *buffer)
{
	struct pinion_cache *cache = cache_make(pool, BUFFER);

	take(cache, buffer, HELD);
	assert_int_equal(pinion_cache_close(cache), 0);
}

static void stage_open(void)
{
	const struct pinion_hostmem *control;

	stage.a = pool_make(BUFFERS);
	stage.b = pool_join(stage.a);
	hold(stage.a, stage.ours);
	hold(stage.b, stage.theirs);
	control = &stage.b->control;
	stage.picture = malloc(control->len);
	assert_non_null(stage.picture);
	memcpy(stage.picture, control->addr, control->len);
}

void scene_open(struct scene *scene, bool raw)
{
	int ab, ba;

	if (!stage.a)
		stage_open();
	memcpy(stage.b->control.addr, stage.picture, stage.b->control.len);
	*scene = (struct scene){.flip.nth = UINT32_MAX, .a.pool = stage.a, .b.pool = stage.b};
	memcpy(scene->ours, stage.ours, sizeof(stage.ours));
	memcpy(scene->theirs, stage.theirs, sizeof(stage.theirs));
	scene->a.cache = cache_make(scene->a.pool, BUFFER);
	assert_int_equal(pinion_ring_create(SLOTS, &ab), 0);
	assert_int_equal(pinion_ring_create(SLOTS, &ba), 0);
	assert_int_equal(ring_map(ab, &scene->ab), 0);
	assert_int_equal(ring_map(ba, &scene->ba), 0);
	open_ends(scene, ab, ba, raw);
	scene->tx = other_mapping(ab, scene->ab.shared);
	scene->rx = other_mapping(ba, scene->ba.shared);
	close(ab);
	close(ba);
	watch_all(scene);
}

void scene_close(struct scene *scene)
{
	ring_unmap(&scene->ab);
	ring_unmap(&scene->ba);
	if (scene->a.channel)
		assert_int_equal(pinion_channel_close(scene->a.channel), 0);
	if (scene->send)
		assert_int_equal(pinion_ring_close(scene->send), 0);
	if (scene->recv)
		assert_int_equal(pinion_ring_close(scene->recv), 0);
	assert_int_equal(pinion_cache_close(scene->a.cache), 0);
}

void scene_publish(struct scene *scene, uint64_t at, const struct pinion_desc *desc)
{
	pinion_slot_store(ring_slot(&scene->ba, at), desc, ring_lap(&scene->ba, at));
}

void scene_take(struct scene *scene, uint32_t nr)
{
	struct pinion_desc desc;

	for (uint32_t i = 0; i < nr; i++) {
		assert_int_equal(ring_copy(&scene->ab, i, &desc, 1), 1);
		desc.buffer = pinion_buffer_next(desc.buffer);
		scene->b.pool->view.owner[pinion_buffer_id(desc.buffer)] =
			pinion_owner_word(desc.buffer, scene->b.pool->view.self);
	}
	scene->ab.shared->credit = nr;
}

uint64_t scene_word(const struct scene *scene, struct pinion_buffer buffer)
{
	return scene->b.pool->view.owner[pinion_buffer_id(buffer)];
}

static void place_in_ring(struct fetch *fetch, const struct ring_shared *shared, size_t off)
{
	static const struct {
		size_t off;
		enum place place;
	} fields[] = {
		{offsetof(struct ring_shared, credit), PLACE_CREDIT},
		{offsetof(struct ring_shared, consumer_closed), PLACE_CONSUMER_CLOSED},
		{offsetof(struct ring_shared, producer_closed), PLACE_PRODUCER_CLOSED},
		{offsetof(struct ring_shared, bell.state), PLACE_BELL_STATE},
		{offsetof(struct ring_shared, bell.fenced), PLACE_BELL_FENCED},
	};

	if (off >= offsetof(struct ring_shared, slot)) {
		fetch->place = PLACE_SLOT;
		fetch->index = (uint32_t)((off - offsetof(struct ring_shared, slot)) /
					  sizeof(struct pinion_slot));
		fetch->alias = (void *)(uintptr_t)&shared->slot[fetch->index];
		return;
	}
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (off == fields[i].off)
			fetch->place = fields[i].place;
}

/* Which place is it? */
static struct fetch place_of(const struct scene *scene, const struct watch_access *access)
{
	const struct ring *ring[] = {&scene->ab, &scene->ba};
	const uintptr_t addr = (uintptr_t)access->alias;
	const uintptr_t owner = (uintptr_t)scene->b.pool->view.owner;
	struct fetch fetch = {.place = PLACE_OTHER,
			      .alias = access->alias,
			      .store = access->store,
			      .whole = access->whole};

	for (int i = 0; i < 2; i++)
		if (addr - (uintptr_t)ring[i]->shared < ring[i]->len)
			place_in_ring(&fetch, ring[i]->shared, addr - (uintptr_t)ring[i]->shared);
	if (addr - owner < scene->b.pool->view.nr_ids * sizeof(uint64_t)) {
		fetch.place = PLACE_WORD;
		fetch.index = (uint32_t)((addr - owner) / sizeof(uint64_t));
	}
	return fetch;
}

static bool is_small(const struct fetch *fetch)
{
	return fetch->place >= PLACE_CONSUMER_CLOSED && fetch->place <= PLACE_BELL_FENCED;
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

static void note(void *context, const struct watch_access *access)
{
	struct scene *scene = context;
	struct fetch fetch = place_of(scene, access);

	if (!fetch.store && scene->nr_loads++ == scene->flip.nth)
		change(&fetch, &scene->flip);
	if (fetch.place == PLACE_SLOT)
		memcpy(fetch.value, fetch.alias, 16);
	else
		memcpy(fetch.value, fetch.alias, is_small(&fetch) ? 4 : 8);
	if (scene->nr_fetches < FETCHES_MAX)
		scene->fetch[scene->nr_fetches] = fetch;
	scene->nr_fetches++;
}

int scene_watch(struct scene *scene, int (*act)(struct scene *scene))
{
	int result;

	watch_start(note, scene);
	result = act(scene);
	watch_stop();
	return result;
}

const struct fetch *scene_load(const struct scene *scene, enum place place, uint32_t index,
			       uint32_t nth)
{
	for (uint32_t i = 0; i < scene->nr_fetches && i < FETCHES_MAX; i++) {
		const struct fetch *fetch = &scene->fetch[i];

		if (!fetch->store && fetch->place == place && fetch->index == index && nth-- == 0)
			return fetch;
	}
	return NULL;
}
