/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every byte of both rings of a channel may be anything. b is the peer that can write them; a has
 * sent a ring full, of which b took two, and b has published three. One byte changes; then a
 * receives, receives again, waits and sends. What each of these must give is worked out from the
 * bytes as they lie there, by arithmetic of the test's own: most bytes change nothing, and those
 * that do end this channel at worst. The channel beside it goes on.
 */

#include <pinion/request.h>
#include <pinion/wait.h>

#include "held_support.h"
#include "scribble.h"

#define SLOTS 4u
#define BUFFERS 64u
#define TAKEN 2u     /* by b, of what a sent */
#define DEPTH 3u     /* of a's requests: of tags, not each names one */
#define PUBLISHED 3u /* by b */
#define FREE PINION_HOLDER_MAGAZINE /* a word of that kind, whichever */

/* Made once. What lies in shared memory is put back for each byte. */
static struct world {
	struct side a, b, c;            /* a's channel to b is opened anew each time */
	struct pinion_channel *honest;  /* a's to c */
	struct pinion_requester *asker; /* a's over its channel to b */
	struct ring ab, ba;             /* b's mappings */
	int fd_ab, fd_ba;
	void *control, *ring; /* pictures: of the control area, of a new ring */
	struct pinion_buffer ours[SLOTS + 1], theirs[PUBLISHED], theirs_too;
	uint32_t tag[TAKEN]; /* of a's requests */

	/* What the byte should come to. */
	uint64_t at; /* where a receives */
	bool broken;
	uint64_t words[BUFFERS], lies;
	uint8_t was_ab[4096], was_ba[4096];
} world;

static _Atomic uint64_t *words(void)
{
	return world.b.pool->view.owner;
}

static void *picture(const void *of, size_t len)
{
	void *copy = malloc(len);

	assert_non_null(copy);
	return memcpy(copy, of, len);
}

static void open_neighbour(void)
{
	struct pair pair = {.a.pool = world.a.pool, .b.pool = pool_join(world.a.pool)};

	pair_open_channels(&pair, SLOTS);
	ring_unmap(&pair.ab);
	ring_unmap(&pair.ba);
	world.honest = pair.a.channel;
	world.c = pair.b;
	hold(world.c.pool, &world.theirs_too, 1);
}

static int open_world(void **state)
{
	(void)state;
	world.a.pool = pool_make(BUFFERS);
	world.b.pool = pool_join(world.a.pool);
	hold(world.a.pool, world.ours, SLOTS + 1);
	hold(world.b.pool, world.theirs, PUBLISHED);
	open_neighbour();
	world.fd_ab = ring_file(SLOTS);
	world.fd_ba = ring_file(SLOTS);
	assert_int_equal(ring_map(world.fd_ab, &world.ab), 0);
	assert_int_equal(ring_map(world.fd_ba, &world.ba), 0);
	assert_int_equal(world.ab.len, sizeof(world.was_ab));
	world.ring = picture(world.ab.shared, world.ab.len);
	world.control = picture(world.b.pool->control.addr, world.b.pool->control.len);
	return 0;
}

static void close_channel(void)
{
	if (world.asker)
		assert_int_equal(pinion_requester_close(world.asker), 0);
	if (world.a.channel)
		assert_int_equal(pinion_channel_close(world.a.channel), 0);
	world.asker = NULL;
	world.a.channel = NULL;
}

static int close_world(void **state)
{
	(void)state;
	close_channel();
	assert_int_equal(pinion_channel_close(world.honest), 0);
	assert_int_equal(pinion_channel_close(world.c.channel), 0);
	ring_unmap(&world.ab);
	ring_unmap(&world.ba);
	close(world.fd_ab);
	close(world.fd_ba);
	free(world.ring);
	free(world.control);
	assert_int_equal(pinion_pool_detach(world.c.pool), 0);
	assert_int_equal(pinion_pool_detach(world.b.pool), 0);
	assert_int_equal(pinion_pool_destroy(world.a.pool), 0);
	return 0;
}

/* --- before */

static void put_back(void)
{
	close_channel();
	memcpy(world.b.pool->control.addr, world.control, world.b.pool->control.len);
	/* The neighbours go on where they were. */
	words()[pinion_buffer_id(world.theirs_too)] = held(world.theirs_too, &world.c);
	memcpy(world.ab.shared, world.ring, world.ab.len);
	memcpy(world.ba.shared, world.ring, world.ba.len);
	world.at = world.ba.at;
	world.broken = false;
	world.lies = pinion_channel_lies();
}

static int open_channel(void)
{
	const int err = pinion_channel_open(world.a.pool, world.fd_ab, world.fd_ba,
					    pinion_pool_member(world.b.pool), &world.a.channel);

	if (!err)
		pinion_channel_set_spin(world.a.channel, 0);
	return err;
}

static void publish(const struct pinion_desc *desc, uint32_t nr)
{
	struct ring ring = world.ba;

	assert_int_equal(ring_publish(&ring, desc, nr), nr);
}

/* b's, of what a sent. */
static void take_two(struct pinion_desc *desc)
{
	assert_int_equal(ring_copy(&world.ab, world.ab.at, desc, TAKEN), TAKEN);
	for (uint32_t i = 0; i < TAKEN; i++) {
		desc[i].buffer = pinion_buffer_next(desc[i].buffer);
		words()[pinion_buffer_id(desc[i].buffer)] = held(desc[i].buffer, &world.b);
	}
	world.ab.shared->credit = world.ab.at + TAKEN;
}

static void publish_three(void)
{
	struct pinion_desc desc[PUBLISHED];

	for (uint32_t i = 0; i < PUBLISHED; i++)
		desc[i] = (struct pinion_desc){world.theirs[i], BUFFER - i, 100 + i};
	publish(desc, PUBLISHED);
}

static void begin(void)
{
	struct pinion_desc desc[SLOTS], ignored[TAKEN];

	put_back();
	assert_int_equal(open_channel(), 0);
	for (uint32_t i = 0; i < SLOTS; i++)
		desc[i] = (struct pinion_desc){world.ours[i], i, i};
	assert_int_equal(pinion_channel_send(world.a.channel, desc, SLOTS), SLOTS);
	take_two(ignored);
	publish_three();
}

/* a asks twice, b answers both and asks something itself. */
static void begin_to_ask(void)
{
	void *const context[TAKEN] = {&world.tag[0], &world.tag[1]};
	struct pinion_desc desc[PUBLISHED] = {{.buffer = world.ours[0]}, {.buffer = world.ours[1]}};

	put_back();
	assert_int_equal(open_channel(), 0);
	assert_int_equal(pinion_requester_open(world.a.channel, DEPTH, 1, &world.asker), 0);
	assert_int_equal(pinion_request_send(world.asker, desc, context, TAKEN), TAKEN);
	take_two(desc);
	for (uint32_t i = 0; i < TAKEN; i++) {
		world.tag[i] = desc[i].tag;
		desc[i].tag |= PINION_TAG_ANSWER;
	}
	desc[TAKEN] = (struct pinion_desc){world.theirs[0], 1, 7};
	publish(desc, PUBLISHED);
}

/* --- what must come of it */

static void look_around(void)
{
	for (uint32_t id = 0; id < BUFFERS; id++)
		world.words[id] = words()[id];
	memcpy(world.was_ab, world.ab.shared, sizeof(world.was_ab));
	memcpy(world.was_ba, world.ba.shared, sizeof(world.was_ba));
}

static uint64_t odd(uint64_t at)
{
	return at / SLOTS % 2 ? 0 : 1;
}

/* The descriptor at position @at; false: it is not published. */
static bool published(uint64_t at, struct pinion_desc *desc)
{
	const struct pinion_slot *slot = &world.ba.shared->slot[at % SLOTS];
	const uint64_t head = slot->head, body = slot->body;

	desc->buffer.bits = head & ~(UINT64_C(1) << 63);
	desc->len = (uint32_t)body & 0x7fffffff;
	desc->tag = (uint32_t)(body >> 32);
	return head >> 63 == odd(at) && (body >> 31 & 1) == odd(at);
}

/* May a take that? Then it is a's from here on. */
static bool may_take(struct pinion_desc *desc)
{
	const uint32_t id = pinion_buffer_id(desc->buffer);

	if (id >= BUFFERS || desc->len > BUFFER || world.words[id] != held(desc->buffer, &world.b))
		return false;
	desc->buffer = pinion_buffer_next(desc->buffer);
	world.words[id] = held(desc->buffer, &world.a);
	return true;
}

static int to_receive(struct pinion_desc *desc)
{
	int there = 0, good = 0;

	if (world.broken)
		return -EPROTO;
	while (there < (int)SLOTS && published(world.at + (uint32_t)there, &desc[there]))
		there++;
	if (!there)
		return world.ba.shared->producer_closed ? -EPIPE : -EAGAIN;
	while (good < there && may_take(&desc[good]))
		good++;
	world.at += (uint32_t)good;
	world.broken = !good;
	return good ? good : -EPROTO;
}

static int to_wait(void)
{
	struct pinion_desc ignored;

	return world.broken || world.ba.shared->producer_closed || published(world.at, &ignored)
		       ? 0
		       : -ETIMEDOUT;
}

/* One more, into a ring that was full before b gave credit. */
static int to_send(void)
{
	const uint64_t given = world.ab.shared->credit - world.ab.at;

	if (world.broken)
		return -EPROTO;
	if (world.ab.shared->consumer_closed)
		return -EPIPE;
	world.broken = given > SLOTS;
	return world.broken ? -EPROTO : given ? 1 : -EAGAIN;
}

/* --- what came */

static const char *receive(void)
{
	struct pinion_desc want[SLOTS], got[SLOTS];
	const int must = to_receive(want);

	if (pinion_channel_recv(world.a.channel, got, SLOTS) != must)
		return "recv gives not what follows from the bytes";
	for (int i = 0; i < must; i++)
		if (got[i].buffer.bits != want[i].buffer.bits || got[i].len != want[i].len ||
		    got[i].tag != want[i].tag)
			return "a descriptor is not what its slot says";
	return NULL;
}

static const char *send_again(void)
{
	const struct pinion_desc desc = {world.ours[SLOTS], 1, 1};
	const int must = to_send();

	return pinion_channel_send(world.a.channel, &desc, 1) == must
		       ? NULL
		       : "send gives not what follows from the bytes";
}

static bool differs(const uint8_t *was, const void *now, size_t off, size_t len)
{
	return memcmp(was + off, (const uint8_t *)now + off, len) != 0;
}

/* All but the lines that a writes there: credit, closed flags and bells, and in its own ring the
 * oldest slot, which it may have sent anew. */
static const char *left_alone(void)
{
	const size_t slots = offsetof(struct ring_shared, slot);
	const size_t oldest = slots + world.ab.at % SLOTS * sizeof(struct pinion_slot);
	const size_t behind = oldest + sizeof(struct pinion_slot);

	if (differs(world.was_ab, world.ab.shared, 0, 128) ||
	    differs(world.was_ab, world.ab.shared, 320, oldest - 320) ||
	    differs(world.was_ab, world.ab.shared, behind, sizeof(world.was_ab) - behind))
		return "more of the ring was written that a sends on";
	if (differs(world.was_ba, world.ba.shared, 0, 64) ||
	    differs(world.was_ba, world.ba.shared, 320, sizeof(world.was_ba) - 320))
		return "more of the ring was written that a receives from";
	for (uint32_t id = 0; id < BUFFERS; id++)
		if (words()[id] != world.words[id])
			return "an owner word is not what it must be";
	return NULL;
}

/* That of a lie which the sending half met, the receiving half says with its next call: nobody
 * waits for it. */
static const char *told(void)
{
	struct pinion_desc ignored;

	if (world.broken && pinion_channel_wait(world.a.channel, 0) != 0)
		return "somebody waits at a broken channel";
	if (world.broken && pinion_channel_recv(world.a.channel, &ignored, 1) != -EPROTO)
		return "a broken channel goes on";
	if (pinion_channel_lies() != world.lies + world.broken)
		return "a lie is counted once, nothing else at all";
	if (world.broken &&
	    (!world.ab.shared->producer_closed || !world.ba.shared->consumer_closed))
		return "the liar is not told";
	return NULL;
}

/* There and back. */
static const char *neighbour(void)
{
	struct pinion_desc desc = {world.theirs_too, BUFFER, 1};

	if (pinion_channel_send(world.c.channel, &desc, 1) != 1 ||
	    pinion_channel_recv(world.honest, &desc, 1) != 1 ||
	    pinion_channel_send(world.honest, &desc, 1) != 1 ||
	    pinion_channel_recv(world.c.channel, &desc, 1) != 1)
		return "the channel beside it suffers";
	world.theirs_too = desc.buffer;
	return NULL;
}

static const char *outcome(void *ignored)
{
	const char *problem;

	(void)ignored;
	look_around();
	problem = receive();
	if (!problem)
		problem = receive();
	if (!problem && to_wait() != pinion_channel_wait(world.a.channel, 0))
		problem = "wait gives not what follows from the bytes";
	if (!problem)
		problem = send_again();
	if (!problem)
		problem = left_alone();
	if (!problem)
		problem = told();
	return problem ? problem : neighbour();
}

/* --- requests */

/* Is it the answer to a request, or the one that b may ask? @open: which of a's are not answered.
 */
static bool may_come(const struct pinion_desc *desc, bool *open, bool *asked, void **context)
{
	*context = NULL;
	if (!pinion_desc_is_answer(desc)) {
		const bool may = !*asked;

		*asked = true;
		return may;
	}
	for (uint32_t i = 0; i < TAKEN; i++)
		if (open[i] && desc->tag == (world.tag[i] | PINION_TAG_ANSWER)) {
			open[i] = false;
			*context = &world.tag[i];
			return true;
		}
	return false;
}

static const char *hear(bool *open, bool *asked)
{
	struct pinion_desc want[SLOTS], got[SLOTS];
	void *must[SLOTS], *context[SLOTS];
	int nr = to_receive(want), good = 0;

	while (good < nr && may_come(&want[good], open, asked, &must[good]))
		good++;
	for (int i = good; i < nr; i++) /* once all is given up */
		world.words[pinion_buffer_id(want[i].buffer)] = FREE;
	world.broken |= good < nr;
	if (nr > 0)
		nr = good ? good : -EPROTO;
	if (pinion_request_recv(world.asker, got, context, SLOTS) != nr)
		return "recv gives not what follows from the bytes";
	for (int i = 0; i < nr; i++)
		if (context[i] != must[i] || got[i].buffer.bits != want[i].buffer.bits)
			return "an answer comes to another request";
	return NULL;
}

/* Contexts that did not come by an answer come now, each once; buffers that came with a lie go. */
static const char *give_up(const bool *open)
{
	struct pinion_cache *cache = cache_make(world.a.pool, BUFFER);
	void *context[TAKEN + 1];
	int nr = pinion_requester_abandon(world.asker, cache, context, TAKEN + 1), must = 0;

	for (uint32_t i = 0; i < TAKEN; i++)
		if (open[i] && (must >= nr || context[must++] != &world.tag[i]))
			return "the context of what was not answered does not come back";
	assert_int_equal(pinion_cache_close(cache), 0);
	return nr == must ? NULL : "a context comes back that was given before";
}

/* What came is a's, but for what came with a lie; all others have what they had. */
static const char *held_by_whom(void)
{
	for (uint32_t id = 0; id < BUFFERS; id++) {
		const bool free = pinion_owner_holder(words()[id]) & PINION_HOLDER_MAGAZINE;

		if (pinion_owner_holder(world.words[id]) & PINION_HOLDER_MAGAZINE ? !free
			: words()[id] != world.words[id])
			return "an owner word is not what it must be";
	}
	return NULL;
}

static const char *outcome_of_asking(void *ignored)
{
	bool open[TAKEN] = {true, true}, asked = false;
	const char *problem;

	(void)ignored;
	look_around();
	problem = hear(open, &asked);
	if (!problem)
		problem = hear(open, &asked);
	if (!problem)
		problem = told();
	if (!problem)
		problem = give_up(open);
	if (!problem)
		problem = held_by_whom();
	return problem ? problem : neighbour();
}

/* --- before a opens it */

/* By the first line; a file of one page has room for 4 to 128 slots. */
static bool is_ring(const struct ring_shared *shared)
{
	const struct ring_shared *was = world.ring;
	const uint32_t slots = shared->slots;

	return shared->magic == was->magic && shared->version == was->version && slots >= 4 &&
	       slots <= 128 && !(slots & (slots - 1));
}

/* Wherever it begins by now, what a has received was b's. */
static const char *receive_something(void)
{
	struct pinion_desc got[SLOTS];
	int nr = pinion_channel_recv(world.a.channel, got, SLOTS);

	for (int i = 0; i < nr; i++) {
		struct pinion_desc was = got[i];

		was.buffer.bits -= UINT64_C(1) << PINION_ID_BITS;
		if (!may_take(&was))
			return "a buffer came that was not the peer's";
	}
	return nr > 0 || nr == -EAGAIN || nr == -EPIPE || nr == -EPROTO ? NULL : "another error";
}

static const char *use_what_was_opened(void)
{
	const struct pinion_desc desc = {world.ours[0], 1, 1};
	const char *problem = receive_something();
	int err;

	if (problem)
		return problem;
	err = pinion_channel_wait(world.a.channel, 0);
	if (err && err != -ETIMEDOUT)
		return "wait gives another error";
	err = pinion_channel_send(world.a.channel, &desc, 1);
	return err == 1 || err == -EAGAIN || err == -EPIPE || err == -EPROTO
		       ? NULL
		       : "send gives another error";
}

static const char *outcome_of_opening(void *ignored)
{
	const char *problem = NULL;
	int must, err;

	(void)ignored;
	look_around();
	must = is_ring(world.ab.shared) && is_ring(world.ba.shared) ? 0 : -EPROTO;
	err = open_channel();
	if (err != must)
		return "open gives not what follows from the bytes";
	if (!err)
		problem = use_what_was_opened();
	return problem ? problem : neighbour();
}

/* --- */

static uint8_t *begin_at_ab(void *ignored)
{
	(void)ignored;
	begin();
	return (uint8_t *)world.ab.shared;
}

static uint8_t *begin_at_ba(void *ignored)
{
	(void)ignored;
	begin();
	return (uint8_t *)world.ba.shared;
}

static uint8_t *ask_at_ab(void *ignored)
{
	(void)ignored;
	begin_to_ask();
	return (uint8_t *)world.ab.shared;
}

static uint8_t *ask_at_ba(void *ignored)
{
	(void)ignored;
	begin_to_ask();
	return (uint8_t *)world.ba.shared;
}

static uint8_t *unopened_ab(void *ignored)
{
	(void)ignored;
	put_back();
	publish_three();
	return (uint8_t *)world.ab.shared;
}

static uint8_t *unopened_ba(void *ignored)
{
	(void)ignored;
	put_back();
	publish_three();
	return (uint8_t *)world.ba.shared;
}

#define RING_USED (sizeof(struct ring_shared) + SLOTS * sizeof(struct pinion_slot))
#define RING_BYTES sizeof(world.was_ab)

static void each_byte_of_the_ring_that_we_send_on_may_be_anything(void **state)
{
	const struct scribble scribble = {"sent on", RING_USED, RING_BYTES, begin_at_ab, outcome};

	(void)state;
	scribble_everywhere(&scribble, NULL);
}

static void each_byte_of_the_ring_that_we_receive_from_may_be_anything(void **state)
{
	const struct scribble scribble = {"received from", RING_USED, RING_BYTES, begin_at_ba,
					  outcome};

	(void)state;
	scribble_everywhere(&scribble, NULL);
}

static void each_byte_below_requests_may_be_anything(void **state)
{
	const struct scribble ab = {"asked on", RING_USED, RING_BYTES, ask_at_ab,
				    outcome_of_asking};
	const struct scribble ba = {"answered on", RING_USED, RING_BYTES, ask_at_ba,
				    outcome_of_asking};

	(void)state;
	scribble_everywhere(&ab, NULL);
	scribble_everywhere(&ba, NULL);
}

static void each_byte_of_a_ring_may_be_anything_before_it_is_opened(void **state)
{
	const struct scribble ab = {"to send on", RING_USED, RING_BYTES, unopened_ab,
				    outcome_of_opening};
	const struct scribble ba = {"to receive from", RING_USED, RING_BYTES, unopened_ba,
				    outcome_of_opening};

	(void)state;
	scribble_everywhere(&ab, NULL);
	scribble_everywhere(&ba, NULL);
}

/* Of which only the file's length tells that they are too many. */
static void a_ring_of_any_number_of_slots_is_opened_if_the_file_has_them(void **state)
{
	(void)state;
	for (uint32_t slots = 1; slots; slots <<= 1) {
		const char *problem;

		put_back();
		world.ba.shared->slots = slots;
		problem = outcome_of_opening(NULL);
		if (problem)
			print_message("# %u slots: %s\n", slots, problem);
		assert_null(problem);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(each_byte_of_the_ring_that_we_send_on_may_be_anything),
		support_test(each_byte_of_the_ring_that_we_receive_from_may_be_anything),
		support_test(each_byte_below_requests_may_be_anything),
		support_test(each_byte_of_a_ring_may_be_anything_before_it_is_opened),
		support_test(a_ring_of_any_number_of_slots_is_opened_if_the_file_has_them),
	};

	return cmocka_run_group_tests(tests, open_world, close_world);
}
