/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who joins a pool gets a control area where every member may write: its geometry, from which all
 * offsets follow, the shape of its segments, and what its member slots say are copied once, and
 * the copy is what is held against the files. Which numbers can be those of a pool is a matter of
 * other tests: the judge asks the library, of what was fetched. So it goes on when a segment comes.
 */
#include "slot.h" /* before what has calls of another kind */

#include "call.h"
#include "judge.h"

static void nothing(struct scene *scene)
{
	(void)scene;
}

static int attach(struct scene *scene)
{
	return pinion_pool_attach(&scene->fds, scene->member, &scene->pool);
}

/* The judge goes the way of the call: what the judge needs the call must have looked at. */
static bool overlooked;

/* As the @nth look found it. */
static uint64_t word(const struct scene *scene, enum where place, uint32_t index, uint32_t nth)
{
	const struct fetch *fetch = scene_load(scene, place, index, nth);

	overlooked = overlooked || !fetch;
	return fetch ? fetch->value[0] : 0;
}

/* @pool: what the call must have made of what it fetched. */
static int find_head(const struct scene *scene, struct pinion_pool *pool)
{
	uint64_t head[offsetof(struct control, epoch) / 8];

	for (uint32_t i = 0; i < sizeof(head) / 8; i++)
		head[i] = word(scene, PLACE_CONTROL, i, 0);
	if (head[offsetof(struct control, magic) / 8] != CONTROL_MAGIC ||
	    head[offsetof(struct control, stamp) / 8] != CONTROL_STAMP)
		return -EPROTO;
	pool->id = head[offsetof(struct control, pool) / 8];
	memcpy(&pool->geometry, &head[offsetof(struct control, geometry) / 8],
	       sizeof(pool->geometry));
	if (control_geometry_check(&pool->geometry))
		return -EINVAL;
	layout_compute(&pool->geometry, &pool->layout);
	return pool->layout.len > scene->b.pool->control.len ? -EINVAL : 0;
}

/* By the copy that was made after so many. -EAGAIN: it changed meanwhile, and is as it was.
 * -EINVAL: so it is if nothing can be what was found. */
static int copy_segment(const struct scene *scene, struct pinion_pool *pool, uint32_t index,
			uint32_t after)
{
	const uint32_t first = index * (uint32_t)sizeof(struct control_slot) / 8;
	const uint64_t state = word(scene, PLACE_SEGMENT, first, 2 * after);
	struct control_segment segment = {0};
	uint64_t words[sizeof(segment) / 8];

	if (slot_state_of(state) == SLOT_LIVE || slot_state_of(state) == SLOT_RETIRING) {
		for (uint32_t i = 0; i < sizeof(words) / 8; i++)
			words[i] = word(scene, PLACE_SEGMENT, first + 1 + i, after);
		memcpy(&segment, words, sizeof(words));
		if (word(scene, PLACE_SEGMENT, first, 2 * after + 1) != state)
			return -EAGAIN;
		if (slot_check(pool, &segment))
			return -EINVAL;
	}
	pool->state[index] = state;
	pool->segment[index] = segment;
	return 0;
}

/* Is it of the file that was made so? */
static int match(const struct control_segment *segment, const struct control_segment *made)
{
	return segment->inode == made->inode && segment->len == made->len &&
			       segment->page_shift == made->page_shift
		       ? 0
		       : -EINVAL;
}

static int find_segment(const struct scene *scene, struct pinion_pool *pool, uint32_t index)
{
	int err = copy_segment(scene, pool, index, 0);

	if (err == -EAGAIN) /* it changes once at most here */
		err = copy_segment(scene, pool, index, 1);
	if (err)
		return err;
	if (!pool->segment[index].nr || scene->fds.segment[index] < 0)
		return 0;
	return match(&pool->segment[index], &scene->a.pool->segment[index]);
}

static int find_member(const struct scene *scene, const struct pinion_pool *pool)
{
	const uint32_t first = scene->member * (uint32_t)sizeof(struct control_member) / 8;
	const uint32_t at = first + (uint32_t)offsetof(struct control_member, joined) / 8;

	if (scene->member >= pool->geometry.nr_members ||
	    (uint32_t)word(scene, PLACE_MEMBER, first, 0) != MEMBER_LIVE)
		return -EINVAL;
	switch ((uint32_t)word(scene, PLACE_MEMBER, at, 0)) {
	case MEMBER_INVITED:
	case MEMBER_JOINED:
		return 0;
	case MEMBER_TOO_LATE:
		return -ESTALE;
	default:
		return -EINVAL;
	}
}

static int find(const struct scene *scene, struct pinion_pool *pool)
{
	int err = find_head(scene, pool);

	for (uint32_t i = 0; !err && i < pool->geometry.nr_segments; i++)
		err = find_segment(scene, pool, i);
	return err ? err : find_member(scene, pool);
}

/* But for the words that it loads it touches the one that says what it has seen. */
static bool strays(const struct scene *scene, const struct layout *layout)
{
	const char *const control = (const char *)scene->b.pool->shared;
	const char *const seen = control + layout->seen + scene->member * sizeof(uint64_t);

	for (uint32_t i = 0; i < scene->nr_fetches && i < FETCHES_MAX; i++)
		if (scene->fetch[i].place == PLACE_OTHER && scene->fetch[i].alias != seen)
			return true;
	return false;
}

/* Who joined is known: the next keeper takes a number without a pid for one that nobody has. It is
 * behind the state, in the same word, and looked at after it. */
static bool is_known_first(const struct scene *scene)
{
	const uint32_t first = scene->member * (uint32_t)sizeof(struct control_member) / 8;
	const uint32_t at = first + (uint32_t)offsetof(struct control_member, joined) / 8;
	uint32_t looks = 0;
	bool known = false;

	for (uint32_t i = 0; i < scene->nr_fetches && i < FETCHES_MAX; i++) {
		const struct fetch *fetch = &scene->fetch[i];

		if (fetch->place == PLACE_MEMBER && fetch->index == at)
			return known;
		if (fetch->place == PLACE_MEMBER && fetch->index == first)
			known |= fetch->store || (looks++ && fetch->value[0] >> 32);
	}
	return false;
}

/* To try a compare and swap is a store in any case. */
static bool writes(const struct scene *scene)
{
	for (uint32_t i = 0; i < scene->nr_fetches && i < FETCHES_MAX; i++)
		if (scene->fetch[i].store && scene->fetch[i].place != PLACE_MEMBER)
			return true;
	return false;
}

static const char *judge_pool(const struct scene *scene, const struct pinion_pool *pool)
{
	const struct pinion_pool *got = scene->pool;

	if (got->id != pool->id ||
	    memcmp(&got->geometry, &pool->geometry, sizeof(pool->geometry)) != 0 ||
	    memcmp(&got->layout, &pool->layout, sizeof(pool->layout)) != 0)
		return "a pool that does not follow from the head";
	if (memcmp(got->segment, pool->segment, sizeof(pool->segment)) != 0 ||
	    memcmp(got->state, pool->state, sizeof(pool->state)) != 0)
		return "segments that do not follow from their slots";
	if ((got->memory[0].addr != NULL) != (pool->segment[0].nr != 0))
		return "a segment is mapped that went, or not one that is there";
	if (got->view.segment[0].nr != (got->memory[0].addr ? pool->segment[0].nr : 0))
		return "a view of what is not mapped";
	return got->epoch == word(scene, PLACE_EPOCH, 0, 0) ? NULL : "an epoch that was not seen";
}

static const char *judge_attach(struct scene *scene, int result)
{
	static struct pinion_pool pool;

	memset(&pool, 0, sizeof(pool));
	overlooked = false;
	if (result != find(scene, &pool) || overlooked)
		return "not what follows from what it was given";
	if (scene->kept != !result)
		return "not the mapping that it needs";
	if (strays(scene, &pool.layout))
		return "it touches what it has no part in";
	if (result)
		return writes(scene) ? "it writes where it does not join" : NULL;
	if (!is_known_first(scene))
		return "it joins before it is known by its pid";
	return judge_pool(scene, &pool);
}

/* --- a segment that comes */

#define COMING 1u /* its slot */

/* As the member knows it before, its segment, and the file that it is given. */
static struct {
	struct pinion_pool pool;
	struct control_segment segment;
	struct pinion_hostmem memory;
	int fd;
} grown;

static void make_segment(void)
{
	struct stat status;

	if (grown.memory.addr)
		return;
	assert_int_equal(pinion_hostmem_create("grown", 4096, 4096, &grown.memory), 0);
	assert_int_equal(pinion_hostmem_seal(&grown.memory, F_SEAL_SHRINK), 0);
	assert_int_equal(fstat(grown.memory.fd, &status), 0);
	grown.segment = (struct control_segment){.len = 4096,
						 .inode = status.st_ino,
						 .nr = 4096 / BUFFER,
						 .buffer_shift = 8,
						 .stride_shift = 8,
						 .page_shift = 12};
}

/* The keeper adds it, or who lies in its name. */
static void add_segment(struct scene *scene)
{
	struct control *control = scene->b.pool->shared;
	struct control_slot *slot = &control->slot[COMING];

	make_segment();
	assert_int_equal(attach(scene), 0);
	memcpy(&grown.pool, scene->pool, sizeof(grown.pool));
	grown.fd = fcntl(grown.memory.fd, F_DUPFD_CLOEXEC, 3);
	slot->segment = grown.segment;
	slot->state = slot_word(control->epoch + 1, SLOT_LIVE);
	control->epoch++;
}

static int extend(struct scene *scene)
{
	const int err = pinion_pool_extend(scene->pool, COMING, grown.fd);

	if (err)
		close(grown.fd);
	return err;
}

/* Who does not see a new epoch looks at no slot; what is found there that cannot be leaves what was
 * known. */
static const char *judge_extend(struct scene *scene, int result)
{
	struct pinion_pool *known = &grown.pool;
	const struct pinion_pool *got = scene->pool;
	const uint64_t inode = known->segment[0].inode;

	overlooked = false;
	if (word(scene, PLACE_EPOCH, 0, 0) != known->epoch) {
		for (uint32_t i = 0; i < known->geometry.nr_segments; i++)
			(void)copy_segment(scene, known, i, 0);
		known->epoch = word(scene, PLACE_EPOCH, 0, 1);
	}
	if (result != match(&known->segment[COMING], &grown.segment) || overlooked)
		return "not what follows from the slot";
	if (strays(scene, &known->layout))
		return "it touches what it has no part in";
	if (memcmp(got->segment, known->segment, sizeof(known->segment)) != 0 ||
	    memcmp(got->state, known->state, sizeof(known->state)) != 0 ||
	    got->epoch != known->epoch)
		return "slots that are not known as they were fetched";
	if ((got->memory[0].addr != NULL) != (known->segment[0].inode == inode))
		return "a segment is mapped that went, or not one that is there";
	return got->view.segment[COMING].nr == (result ? 0 : known->segment[COMING].nr)
		       ? NULL
		       : "a view of what is not mapped";
}

const struct call attach_calls[] = {
	{.name = "pool_attach",
	 .kind = KIND_POOL,
	 .prepare = nothing,
	 .act = attach,
	 .judge = judge_attach,
	 .loads[PLACE_CONTROL] = 6,
	 .loads[PLACE_EPOCH] = 1,
	 .loads[PLACE_SEGMENT] = 7,
	 .loads[PLACE_MEMBER] = 3,
	 .loads[PLACE_OTHER] = ANY},
	{.name = "pool_extend",
	 .kind = KIND_POOL,
	 .prepare = add_segment,
	 .act = extend,
	 .judge = judge_extend,
	 .loads[PLACE_EPOCH] = 2,
	 .loads[PLACE_SEGMENT] = 12,
	 .loads[PLACE_OTHER] = ANY},
};
const size_t nr_attach_calls = sizeof(attach_calls) / sizeof(attach_calls[0]);
