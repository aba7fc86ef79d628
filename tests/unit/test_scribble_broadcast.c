/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every byte of a broadcast's files may be anything. A consumer can write its seat; the producer
 * the ring and every seat; and whoever buries the producer reads what both left behind. One byte
 * changes, and the other side's calls run. What they must give is worked out from the bytes as they
 * lie there; the consumer beside the liar gets all that was sent.
 */

#include <sys/mman.h>

#include "broadcast_support.h"
#include "held_support.h"
#include "scribble.h"

#define SLOTS 4u
#define BUFFERS 64u
#define SENT 3u /* of which each consumer has one back, and one in hand */
#define ONES 2u /* received */
#define RING_USED (sizeof(struct ring_shared) + SLOTS * sizeof(struct pinion_slot))
#define RING_BYTES ((size_t)4096)

struct guest {
	struct pinion_pool *pool;
	struct pinion_seat *seat;
	struct seat_shared *raw;
	int fd;
	uint32_t number;
};

/* Made once. The broadcast goes on; seats are new for each byte, and the ring is put back. */
static struct world {
	struct pinion_pool *pool;
	struct pinion_buffer sent[SENT];
	struct pinion_broadcast *broadcast;
	struct ring ring; /* a mapping that was there before it was shut: the producer's lies */
	uint8_t was[RING_BYTES];
	struct seat_shared new_seat;
	int fd;
	struct guest liar, honest;
} world;

static void admit(struct guest *guest)
{
	*guest->raw = world.new_seat;
	assert_int_equal(pinion_broadcast_admit(world.broadcast, guest->fd, &guest->number), 0);
}

static void invite(struct guest *guest)
{
	guest->pool = pool_join(world.pool);
	assert_int_equal(pinion_broadcast_create_seat(&guest->fd), 0);
	assert_int_equal(broadcast_map_seat(guest->fd, &guest->raw), 0);
	world.new_seat = *guest->raw;
	admit(guest);
}

static void leave(struct guest *guest)
{
	if (guest->seat)
		assert_int_equal(pinion_broadcast_leave(guest->seat), 0);
	guest->seat = NULL;
}

static void dismiss(struct guest *guest)
{
	leave(guest);
	broadcast_unmap_seat(guest->raw);
	assert_int_equal(close(guest->fd), 0);
	assert_int_equal(pinion_pool_detach(guest->pool), 0);
}

static int open_world(void **state)
{
	(void)state;
	world.pool = pool_make(BUFFERS);
	hold(world.pool, world.sent, SENT);
	world.fd = broadcast_file(SLOTS);
	assert_int_equal(broadcast_map_ring(world.fd, PROT_READ | PROT_WRITE, &world.ring), 0);
	assert_int_equal(pinion_broadcast_open(world.pool, world.fd, &world.broadcast), 0);
	memcpy(world.was, world.ring.shared, RING_BYTES);
	invite(&world.liar);
	invite(&world.honest);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	dismiss(&world.honest);
	dismiss(&world.liar);
	assert_int_equal(pinion_broadcast_close(world.broadcast), 0);
	ring_unmap(&world.ring);
	assert_int_equal(close(world.fd), 0);
	assert_int_equal(pinion_pool_destroy(world.pool), 0);
	return 0;
}

/* --- before */

static int join(struct guest *guest)
{
	return pinion_broadcast_join(guest->pool, world.fd, guest->fd,
				     pinion_pool_member(world.pool), &guest->seat);
}

/* Out with the old one, and all buffers back. */
static void renew(struct guest *guest)
{
	leave(guest);
	(void)pinion_broadcast_sever(world.broadcast, guest->number);
}

static void begin(void)
{
	struct pinion_buffer back[SLOTS];
	struct pinion_desc desc[SENT];

	renew(&world.liar);
	renew(&world.honest);
	(void)pinion_broadcast_collect(world.broadcast, back, SLOTS);
	admit(&world.liar);
	admit(&world.honest);
	memcpy(world.ring.shared, world.was, RING_BYTES);
	for (uint32_t i = 0; i < SENT; i++)
		desc[i] = (struct pinion_desc){world.sent[i], BUFFER - i, 100 + i};
	assert_int_equal(pinion_broadcast_send(world.broadcast, desc, SENT), SENT);
	memcpy(world.was, world.ring.shared, RING_BYTES);
}

static void receive_and_return(struct guest *guest)
{
	struct pinion_desc desc[ONES];

	assert_int_equal(pinion_broadcast_recv(guest->seat, desc, ONES), ONES);
	assert_int_equal(pinion_broadcast_return(guest->seat, 1), 0);
}

static void begin_joined(void)
{
	begin();
	assert_int_equal(join(&world.liar), 0);
	assert_int_equal(join(&world.honest), 0);
	receive_and_return(&world.liar);
	receive_and_return(&world.honest);
	/* The producer has heard of it: it cannot be less any more. */
	assert_int_equal(pinion_broadcast_lag(world.broadcast, world.liar.number), SENT - 1);
}

/* --- a consumer lies */

static const char *hear_the_last(const struct guest *guest)
{
	struct pinion_desc desc;

	if (pinion_broadcast_recv(guest->seat, &desc, 1) != 1 ||
	    desc.buffer.bits != world.sent[SENT - 1].bits || desc.len != BUFFER - 2 ||
	    desc.tag != 102)
		return "the consumer beside it does not get what was sent";
	return pinion_broadcast_return(guest->seat, 2) ? "it may not return them" : NULL;
}

static bool are_sent(const struct pinion_buffer *buffer, int nr)
{
	for (int i = 0; i < nr; i++)
		if (buffer[i].bits != world.sent[i].bits)
			return false;
	return true;
}

/* What the producer must make of the liar's seat: how many it has of the liar's loans; -EPIPE,
 * -EPROTO. The honest one gave all back by then. */
static int must_lag(void)
{
	if (world.liar.raw->closed)
		return -EPIPE;
	if (world.liar.raw->returned < 1 || world.liar.raw->returned > SENT)
		return -EPROTO;
	return (int)(SENT - world.liar.raw->returned);
}

static const char *outcome_of_a_seat(void *ignored)
{
	const char *problem = hear_the_last(&world.honest);
	const int lag = must_lag(), back = lag > 0 ? (int)SENT - lag : (int)SENT;
	struct pinion_buffer buffer[SLOTS];
	int got;

	(void)ignored;
	if (problem)
		return problem;
	if (pinion_broadcast_lag(world.broadcast, world.liar.number) != lag)
		return "lag is not what follows from the bytes";
	if (lag == -EPROTO && world.liar.raw->ended <= SEAT_ENDED)
		return "a liar is not severed";
	got = pinion_broadcast_collect(world.broadcast, buffer, SLOTS);
	if (got != (back ? back : -EAGAIN) || !are_sent(buffer, got))
		return "what is collected does not follow from the bytes";
	if (pinion_broadcast_sever(world.broadcast, world.liar.number))
		return "the liar cannot be severed";
	got = pinion_broadcast_collect(world.broadcast, buffer, SLOTS);
	return got == (int)SENT - back ? NULL : "a buffer does not come back with the liar gone";
}

static uint8_t *at_a_seat(void *ignored)
{
	(void)ignored;
	begin_joined();
	return (uint8_t *)world.liar.raw;
}

static void each_byte_of_a_seat_may_be_anything_to_the_producer(void **state)
{
	const struct scribble scribble = {"seat", sizeof(struct seat_shared), SEAT_LEN, at_a_seat,
					  outcome_of_a_seat};

	(void)state;
	scribble_everywhere(&scribble, NULL);
}

/* --- the producer lies */

/* The descriptor at position @at; false: it is not published there. */
static bool published(uint64_t at, struct pinion_desc *desc)
{
	const struct pinion_slot *slot = &world.ring.shared->slot[at % SLOTS];
	const uint64_t odd = at / SLOTS % 2 ? 0 : 1;

	desc->buffer.bits = slot->head & ~(UINT64_C(1) << 63);
	desc->len = (uint32_t)slot->body & 0x7fffffff;
	desc->tag = (uint32_t)(slot->body >> 32);
	return slot->head >> 63 == odd && (slot->body >> 31 & 1) == odd;
}

static bool is_good(const struct pinion_desc *desc)
{
	const uint32_t id = pinion_buffer_id(desc->buffer);

	return id < BUFFERS && desc->len <= BUFFER &&
	       world.pool->view.owner[id] == pinion_owner_word(desc->buffer, world.pool->view.self);
}

/* The next that recv gives of a seat which is at @at. */
static int must_recv(uint64_t at, struct pinion_desc *desc)
{
	const uint32_t ended = world.liar.raw->ended;

	if (ended > SEAT_ENDED)
		return -EPIPE;
	if (!published(at, desc))
		return ended ? -EPIPE : -EAGAIN;
	return is_good(desc) ? 1 : -EPROTO;
}

/* From @at on, until there is nothing or a lie: each is what the bytes say. */
static const char *receive_all(uint64_t at, int *last)
{
	struct pinion_desc want, desc;

	for (uint32_t i = 0; i <= SLOTS; i++, at++) {
		*last = must_recv(at, &want);
		if (pinion_broadcast_recv(world.liar.seat, &desc, 1) != *last)
			return "recv gives not what follows from the bytes";
		if (*last < 0)
			return NULL;
		if (desc.buffer.bits != want.buffer.bits || desc.len != want.len ||
		    desc.tag != want.tag)
			return "what was received is not what lies there";
	}
	return "it never ends";
}

static const char *outcome_of_the_producer_at(uint64_t at, uint32_t loans)
{
	int last, returned, err;
	const char *problem = receive_all(at, &last);

	if (problem)
		return problem;
	err = pinion_broadcast_wait(world.liar.seat, 0);
	if (err != (last == -EAGAIN ? -ETIMEDOUT : 0))
		return "wait gives not what follows from the bytes";
	returned = pinion_broadcast_return(world.liar.seat, loans);
	if (returned != (last == -EPROTO ? -EPROTO : world.liar.raw->ended > 1 ? -EPIPE : 0))
		return "return gives not what follows from the bytes";
	return last != -EPROTO || world.liar.raw->closed ? NULL : "the liar is not told";
}

static const char *outcome_of_the_producer(void *ignored)
{
	const char *problem = outcome_of_the_producer_at(world.broadcast->ring.at - SENT + ONES, 1);

	(void)ignored;
	return problem;
}

/* The bytes of the ring are the same to both consumers; of the liar's seat the second must not
 * notice any. */
static const char *outcome_of_a_seat_ended(void *ignored)
{
	const char *problem = outcome_of_the_producer(ignored);

	return problem ? problem : hear_the_last(&world.honest);
}

static uint8_t *at_the_ring(void *ignored)
{
	(void)ignored;
	begin_joined();
	return (uint8_t *)world.ring.shared;
}

static void each_byte_that_the_producer_writes_may_be_anything(void **state)
{
	const struct scribble ring = {"ring", RING_USED, RING_BYTES, at_the_ring,
				      outcome_of_the_producer};
	const struct scribble seat = {"seat", sizeof(struct seat_shared), SEAT_LEN, at_a_seat,
				      outcome_of_a_seat_ended};

	(void)state;
	scribble_everywhere(&ring, NULL);
	scribble_everywhere(&seat, NULL);
}

/* --- before a consumer joins */

static bool is_ring(void)
{
	const struct ring_shared *shared = world.ring.shared;
	const uint32_t slots = shared->slots;

	return shared->magic == BROADCAST_MAGIC && shared->version == RING_VERSION && slots >= 4 &&
	       slots <= 128 && !(slots & (slots - 1));
}

static int must_join(void)
{
	if (!is_ring() || world.liar.raw->magic != SEAT_MAGIC ||
	    world.liar.raw->version != SEAT_VERSION)
		return -EPROTO;
	return world.liar.raw->begin ? 0 : -EAGAIN;
}

static const char *outcome_of_joining(void *ignored)
{
	const int must = must_join();

	(void)ignored;
	if (join(&world.liar) != must)
		return "join gives not what follows from the bytes";
	if (must)
		return NULL;
	/* With another number of slots, its laps are others: some are good, or none. */
	if (world.ring.shared->slots != SLOTS) {
		struct pinion_desc desc[SLOTS];
		const int got = pinion_broadcast_recv(world.liar.seat, desc, SLOTS);

		return got > 0 || got == -EAGAIN || got == -EPROTO ? NULL : "another error";
	}
	return outcome_of_the_producer_at(world.liar.raw->begin - 1, 0);
}

static uint8_t *unjoined_ring(void *ignored)
{
	(void)ignored;
	begin();
	return (uint8_t *)world.ring.shared;
}

static uint8_t *unjoined_seat(void *ignored)
{
	(void)ignored;
	begin();
	return (uint8_t *)world.liar.raw;
}

static void each_byte_may_be_anything_to_one_who_joins(void **state)
{
	const struct scribble ring = {"ring", RING_USED, RING_BYTES, unjoined_ring,
				      outcome_of_joining};
	const struct scribble seat = {"seat", sizeof(struct seat_shared), SEAT_LEN, unjoined_seat,
				      outcome_of_joining};

	(void)state;
	scribble_everywhere(&ring, NULL);
	scribble_everywhere(&seat, NULL);
}

/* --- the keeper, when the producer is dead */

/* As broadcast.h has it: by the heads, whose laps are those of the positions from the first loan
 * on. */
static int must_be_lent(struct pinion_buffer *buffer)
{
	const struct seat_shared *seat = world.liar.raw;
	const uint64_t first = seat->begin - 1 + seat->returned;
	int nr = 0;

	if (!seat->begin || seat->ended > SEAT_ENDED || seat->closed)
		return 0;
	for (uint64_t at = first; at != first + SLOTS; at++) {
		const uint64_t head = world.ring.shared->slot[at % SLOTS].head;

		if (head >> 63 == (at / SLOTS % 2 ? 0 : 1))
			buffer[nr++].bits = head & ~(UINT64_C(1) << 63);
	}
	return nr;
}

static const char *outcome_of_burying(void *ignored)
{
	const bool good = must_join() != -EPROTO, seat = world.liar.raw->magic == SEAT_MAGIC &&
							 world.liar.raw->version == SEAT_VERSION;
	struct pinion_buffer want[SLOTS], buffer[128];
	uint32_t ended;
	int must, nr;

	(void)ignored;
	ended = world.liar.raw->ended;
	if (pinion_broadcast_orphan(world.liar.fd) != (seat ? 0 : -EPROTO))
		return "orphan gives not what follows from the bytes";
	if (world.liar.raw->ended != (seat && ended == SEAT_OPEN ? SEAT_ENDED : ended))
		return "who was severed is let in again, or nobody is told of the end";
	nr = pinion_broadcast_lent(world.fd, world.liar.fd, buffer, 128);
	if (good && world.ring.shared->slots != SLOTS)
		return nr >= 0 && nr <= (int)world.ring.shared->slots ? NULL : "more than slots";
	must = good ? must_be_lent(want) : -EPROTO;
	if (nr != must)
		return "not as many are lent as follow from the bytes";
	for (int i = 0; i < nr; i++)
		if (buffer[i].bits != want[i].bits)
			return "a handle is not the one that lies there";
	return NULL;
}

static void each_byte_may_be_anything_to_who_buries_the_producer(void **state)
{
	const struct scribble ring = {"ring", RING_USED, RING_BYTES, at_the_ring,
				      outcome_of_burying};
	const struct scribble seat = {"seat", sizeof(struct seat_shared), SEAT_LEN, at_a_seat,
				      outcome_of_burying};

	(void)state;
	scribble_everywhere(&ring, NULL);
	scribble_everywhere(&seat, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(each_byte_of_a_seat_may_be_anything_to_the_producer),
		support_test(each_byte_that_the_producer_writes_may_be_anything),
		support_test(each_byte_may_be_anything_to_one_who_joins),
		support_test(each_byte_may_be_anything_to_who_buries_the_producer),
	};

	return cmocka_run_group_tests(tests, open_world, close_world);
}
