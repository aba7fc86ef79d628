/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plain member that meets ids of segments which it has not mapped: a is under test, and the pool
 * is k's, the keeper. Segments come and go, their files reach a sooner or later or never, or others
 * come in their place, and b, whose channel it is, names whatever ids it likes.
 *
 * What must come of a receive follows from what k knows, in memory of its own, and from the files
 * that were there; each buffer received is written through a's mapping and read through k's. b may
 * scribble on the control area's slots too: then a only has to survive, and to get good buffers.
 */

#include "rings.h"
#include "slot.h"
#include "target.h"

#define SEGMENTS 4u
#define IDS 64u   /* of a segment */
#define LEAST 64u /* bytes in a buffer; a segment is a page */

static struct rings rings;

/* All of one run: pools are made anew, since what a mapped cannot be put back. */
static struct {
	struct pinion_pool *k, *a;
	struct pinion_channel *channel;
	uint32_t b;        /* holder bits */
	uint64_t received; /* by our own count */
	int over;          /* 0, or what recv says from now on */
	bool scribbled;    /* on slots: k knows them, a may not */
	struct {
		int fd;  /* what waits for a; -1: nothing */
		int err; /* why it cannot be had, once; 0 */
	} post[SEGMENTS];
} run;

static int foreign = -1; /* a file that no pool has */

static int bring(void *context, uint32_t slot, int *fd)
{
	const int err = run.post[slot].err;

	(void)context;
	run.post[slot].err = 0;
	if (err || run.post[slot].fd < 0)
		return err ? err : -EAGAIN;
	*fd = run.post[slot].fd;
	run.post[slot].fd = -1;
	return 0;
}

void target_open(void)
{
	struct pinion_pool_config config = pool_config(IDS, LEAST);
	struct pinion_pool_fds files;
	uint32_t a = 0, b = 0;

	config.nr_members = 3;
	config.nr_caches = 1;
	config.magazine_size = IDS;
	config.max_segments = SEGMENTS;
	rings_wipe(&rings);
	memset(&run, 0, sizeof(run));
	run.received = rings_start(&rings);
	run.k = pool_make_from(&config);
	files = pool_files(run.k);
	assert_int_equal(pinion_pool_admit(run.k, getpid(), &a), 0);
	assert_int_equal(pinion_pool_admit(run.k, getpid(), &b), 0);
	assert_int_equal(pinion_pool_attach(&files, a, &run.a), 0);
	assert_int_equal(run.k->view.nr_ids, SEGMENTS * IDS);
	run.b = pinion_owner_held(b);
	run.a->fetch = bring;
	for (uint32_t i = 0; i < SEGMENTS; i++)
		run.post[i].fd = -1;
	assert_int_equal(pinion_channel_open(run.a, rings.fd_ab, rings.fd_ba, b, &run.channel), 0);
	if (foreign < 0)
		assert_int_equal(pinion_ring_create(SLOTS, &foreign), 0);
}

void target_close(void)
{
	assert_int_equal(pinion_channel_close(run.channel), 0);
	assert_int_equal(pinion_pool_detach(run.a), 0);
	assert_int_equal(pinion_pool_destroy(run.k), 0);
	for (uint32_t i = 0; i < SEGMENTS; i++)
		if (run.post[i].fd >= 0)
			close(run.post[i].fd);
}

static _Atomic uint64_t *words(void)
{
	return run.k->view.owner;
}

/* --- what the keeper does, and who brings files */

static void retire(struct script *script)
{
	(void)pinion_pool_retire(run.k, script_below(script, SEGMENTS));
}

/* The right one, or that of another slot, or a foreign one. -1: there is none. */
static int some_file(struct script *script, uint32_t slot)
{
	const uint8_t which = script_byte(script);
	struct pinion_pool_fds files;
	int fd;

	pinion_pool_export(run.k, &files);
	fd = files.segment[which < 192 ? slot : which % SEGMENTS];
	if (which >= 240)
		fd = foreign;
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

/* What waited there is lost. */
static void post(uint32_t slot, int fd)
{
	if (fd >= 0 && run.post[slot].fd >= 0)
		close(run.post[slot].fd);
	if (fd >= 0)
		run.post[slot].fd = fd;
}

static void send_file(struct script *script)
{
	static const int errors[] = {0, 0, 0, 0, 0, 0, -ENOMEM, -EMFILE};
	const uint32_t slot = script_below(script, SEGMENTS);

	post(slot, some_file(script, slot));
	run.post[slot].err = errors[script_below(script, 8)];
}

/* Whose file comes along, or not. */
static void add(struct script *script)
{
	static const size_t size[] = {LEAST, 2 * LEAST, IDS * LEAST};
	const uint8_t how = script_byte(script);
	const size_t one = size[how % 3];
	const struct pinion_segment_config config = segment_of(IDS * LEAST / one, one);
	uint32_t slot;
	const int err = pinion_pool_grow(run.k, &config, &slot);

	oracle(err == 0 || err == -ENOSPC, "grow: %d", err);
	if (!err && how < 128)
		post(slot, fcntl(run.k->memory[slot].fd, F_DUPFD_CLOEXEC, 3));
}

static ino_t inode_of(int fd)
{
	struct stat status;

	assert_int_equal(fstat(fd, &status), 0);
	return status.st_ino;
}

static bool keeper_has(uint32_t slot)
{
	return slot < SEGMENTS && run.k->memory[slot].addr;
}

/* Is that the file of the segment in @slot? */
static bool is_right(uint32_t slot, int fd)
{
	return fd >= 0 && keeper_has(slot) && inode_of(fd) == run.k->segment[slot].inode;
}

static void extend(struct script *script)
{
	const uint32_t slot = script_below(script, SEGMENTS);
	const int fd = some_file(script, slot);
	const bool right = is_right(slot, fd);
	int err;

	if (fd < 0)
		return;
	err = pinion_pool_extend(run.a, slot, fd);
	oracle(err || right || run.scribbled, "another file was taken for segment %u", slot);
	oracle(!err || err == -EEXIST || !right || run.scribbled,
	       "the file of segment %u is refused: %d", slot, err);
	if (err)
		close(fd);
}

/* --- what b does */

static uint32_t some_id(struct script *script)
{
	static const uint32_t none[] = {SEGMENTS * IDS, SEGMENTS * IDS + 1, 1u << 20,
					PINION_ID_MAX};
	const uint8_t slot = script_byte(script), which = script_byte(script);

	return slot < 240 ? slot % SEGMENTS * IDS + which % IDS : none[which % 4];
}

static uint32_t some_len(struct script *script)
{
	static const uint32_t len[] = {LEAST, 0, 1, 2 * LEAST, 2 * LEAST + 1, 4096, 4097};

	return len[script_below(script, 7)];
}

/* Any handle, as it stands. */
static void publish(struct script *script)
{
	const uint64_t at = run.received + script_below(script, SLOTS);
	const uint32_t id = some_id(script);
	struct pinion_desc desc = {.buffer = pinion_buffer_make(id, 1), .len = some_len(script)};

	if (id < run.k->view.nr_ids)
		desc.buffer = pinion_owner_buffer(words()[id], id);
	slot_put(rings.ba.shared->slot, at, &desc);
}

/* One that it has, or says that it has. */
static void offer(struct script *script)
{
	const uint32_t id = script_below(script, SEGMENTS) * IDS + script_below(script, 4);
	struct pinion_desc desc = {.len = some_len(script)};

	desc.buffer = pinion_buffer_make(id, 1 + script_below(script, 4));
	words()[id] = pinion_owner_word(desc.buffer, run.b);
	slot_put(rings.ba.shared->slot, run.received, &desc);
}

static void scribble(struct script *script)
{
	struct control_slot *slot = &run.k->shared->slot[script_below(script, SEGMENTS)];
	const uint8_t where = script_byte(script) % 7;
	uint64_t *word = (uint64_t *)(void *)slot + where;

	if (where == 6)
		run.k->shared->epoch = lie_value(script, run.k->shared->epoch);
	else if (where == 5)
		slot->state += 4; /* as if it were used again */
	else
		*word = lie_value(script, *word);
	run.k->shared->epoch++;
	run.scribbled = true;
}

/* --- what a receives */

/* What there was before a's look, of one id. */
struct before {
	uint64_t word;
	bool mapped; /* by a */
	bool waits;  /* the right file */
	int err;     /* why that could not be had */
	size_t size;
};

static struct before look(uint32_t id)
{
	const uint32_t slot = id / IDS;
	struct before before = {0};

	if (id >= run.k->view.nr_ids || slot >= SEGMENTS)
		return before;
	before.word = words()[id];
	before.mapped = pinion_view_has(&run.a->view, id);
	before.err = run.post[slot].err;
	before.waits = is_right(slot, run.post[slot].fd);
	if (before.mapped)
		before.size = run.a->view.segment[slot].size;
	else if (pinion_view_has(&run.k->view, id))
		before.size = run.k->view.segment[slot].size;
	return before;
}

/* May a have it, for all that k knows? */
static bool is_good(const struct pinion_desc *desc, const struct before *before)
{
	return before->size && desc->len <= before->size &&
	       before->word == pinion_owner_word(desc->buffer, run.b);
}

/* The same bytes for both, to the last. */
static void check_memory(const struct pinion_desc *desc)
{
	const uint32_t id = pinion_buffer_id(desc->buffer);
	char *ours = pinion_buffer_addr(run.a, desc->buffer);

	oracle(pinion_view_has(&run.a->view, id), "a buffer of a segment that is not mapped");
	memset(ours, (int)id + 1, desc->len);
	if (keeper_has(id / IDS) && !run.scribbled)
		oracle(!memcmp(pinion_buffer_addr(run.k, desc->buffer), ours, desc->len),
		       "buffer %u is in another place for the keeper", id);
}

static void check_taken(const struct pinion_desc *desc, const struct pinion_desc *was,
			const struct before *before)
{
	const uint32_t id = pinion_buffer_id(was->buffer);

	oracle(before->word == pinion_owner_word(was->buffer, run.b), "%u was not b's", id);
	oracle(run.scribbled || is_good(was, before), "%u cannot be received", id);
	oracle(desc->buffer.bits == pinion_buffer_next(was->buffer).bits && desc->len == was->len,
	       "what was received is not what was published");
	oracle(words()[id] == pinion_owner_word(desc->buffer, run.a->view.self), "%u is not a's",
	       id);
	check_memory(desc);
}

/* -EPIPE stands for -EAGAIN where the peer says that it is gone. */
static void check_refused(const struct pinion_desc *was, const struct before *before, bool closed,
			  int err)
{
	const uint32_t slot = pinion_buffer_id(was->buffer) / IDS;
	const int wait = closed ? -EPIPE : -EAGAIN;

	if (run.scribbled)
		oracle(err == -EPROTO || err == wait || err == before->err || err == -ENOMEM,
		       "recv: %d", err);
	else if (err == -EPROTO)
		oracle(!is_good(was, before), "a good buffer is called a lie");
	else if (err == wait)
		oracle(!before->mapped && !(before->waits && !before->err) && keeper_has(slot),
		       "segment %u is waited for", slot);
	else
		oracle(!before->mapped && before->err == err, "recv: %d", err);
	if (err == -EPROTO || err == -EPIPE)
		run.over = err;
}

/* One at a time: what one leads to changes what the next meets. */
static void receive(void)
{
	struct pinion_desc was, *desc = descs_new(1);
	const bool there = slot_says(rings.ba.shared->slot, run.received, &was);
	const struct before before = look(pinion_buffer_id(was.buffer));
	const bool closed = rings.ba.shared->producer_closed;
	const int got = pinion_channel_recv(run.channel, desc, 1);

	if (run.over)
		oracle(got == run.over, "a channel that is over receives: %d", got);
	else if (!there)
		oracle(got == (closed ? -EPIPE : -EAGAIN), "nothing there: %d", got);
	else if (got < 0)
		check_refused(&was, &before, closed, got);
	else
		check_taken(desc, &was, &before);
	run.received += got == 1;
	free(desc);
}

void target_step(struct script *script)
{
	switch (script_below(script, 16)) {
	case 0:
	case 1:
		add(script);
		break;
	case 2:
		retire(script);
		break;
	case 3:
	case 4:
		send_file(script);
		break;
	case 5:
		extend(script);
		break;
	case 6:
	case 7:
		offer(script);
		break;
	case 8:
	case 9:
	case 10:
		publish(script);
		break;
	case 11:
		lie_store(script, rings.ba.shared);
		break;
	case 12:
		if (script_byte(script) < 96)
			scribble(script);
		break;
	default:
		receive();
	}
}
