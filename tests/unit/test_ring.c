/* SPDX-License-Identifier: BSD-3-Clause */
/* The ring itself: its file, and slots that tell by their lap whether they were published. */

#include <pthread.h>
#include <sys/mman.h>

#include "bell.h"
#include "pool_support.h"
#include "ring_support.h"

static struct ring ring_open(uint32_t slots)
{
	struct ring ring = {0};
	const int fd = ring_file(slots);

	assert_int_equal(ring_map(fd, &ring), 0);
	assert_int_equal(close(fd), 0);
	return ring;
}

static bool ring_peek(const struct ring *ring, struct pinion_desc *desc)
{
	return ring_copy(ring, ring->at, desc, 1) == 1;
}

static void a_number_of_slots_that_cannot_be_is_einval(void **state)
{
	const uint32_t bad[] = {0, 1, 2, 3, 5, 6, 1023, (1u << 20) + 1, 1u << 21, UINT32_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char part[32];
		int fd = 4711;

		snprintf(part, sizeof(part), "not %u", bad[i]);
		assert_int_equal(pinion_ring_create(bad[i], &fd), -EINVAL);
		assert_int_equal(fd, 4711);
		assert_sentence(part);
	}
}

static void the_file_is_sealed_private_and_closed_on_exec(void **state)
{
	const int fd = ring_file(64);
	struct stat status;
	int seals = 0;

	(void)state;
	assert_int_equal(pinion_hostmem_seals(fd, &seals), 0);
	assert_int_equal(seals & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
			 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(fstat(fd, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
}

static void a_new_ring_has_nothing_published(void **state)
{
	const uint32_t sizes[] = {PINION_RING_SLOTS_MIN, 64, 4096, PINION_RING_SLOTS_MAX};
	struct pinion_desc desc;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct ring ring = ring_open(sizes[i]);

		assert_int_equal(ring.slots, sizes[i]);
		for (uint32_t at = 0; at < sizes[i]; at++, ring.at++)
			assert_false(ring_peek(&ring, &desc));
		ring_unmap(&ring);
	}
}

static void what_is_published_comes_back_in_order_over_many_laps(void **state)
{
	struct ring tx = ring_open(8), rx = tx;
	struct pinion_desc desc, want;

	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		/* 1 to 8 at a time, so that the laps begin everywhere in a batch. */
		const uint32_t batch = 1 + i % 8;

		for (uint32_t k = 0; k < batch; k++) {
			want = desc_of(i * 8 + k);
			ring_publish(&tx, &want, 1);
		}
		for (uint32_t k = 0; k < batch; k++, rx.at++) {
			want = desc_of(i * 8 + k);
			assert_true(ring_peek(&rx, &desc));
			assert_memory_equal(&desc, &want, sizeof(desc));
		}
		assert_false(ring_peek(&rx, &desc));
	}
	assert_true(tx.at == rx.at);
	ring_unmap(&tx);
}

static uint64_t body_at(const struct ring *ring, uint64_t at)
{
	return atomic_load_explicit(&ring_slot(ring, at)->body, memory_order_relaxed);
}

/* The slots that ring_write_back() stored to, as bits, when @nr were copied from position @at of a
 * ring of 8. */
static unsigned written_back(struct ring *ring, uint64_t at, uint32_t nr)
{
	struct pinion_desc desc[8];
	uint64_t was[8];
	unsigned slots = 0;

	for (uint32_t i = 0; i < nr; i++) {
		desc[i] = desc_of((uint32_t)at + i);
		pinion_slot_store(ring_slot(ring, at + i), &desc[i], ring_lap(ring, at + i));
	}
	for (uint32_t i = 0; i < 8; i++) {
		was[i] = body_at(ring, i);
		atomic_store_explicit(&ring_slot(ring, i)->body, ~was[i], memory_order_relaxed);
	}
	ring_write_back(ring, at, desc, nr);
	for (uint32_t i = 0; i < 8; i++) {
		slots |= (unsigned)(body_at(ring, i) == was[i]) << i;
		assert_true(body_at(ring, i) == was[i] || body_at(ring, i) == ~was[i]);
	}
	return slots;
}

static void of_each_line_copied_to_its_end_one_word_is_written_back(void **state)
{
	struct ring ring = ring_open(8);

	(void)state;
	assert_int_equal(written_back(&ring, 0, 8), 1 << 3 | 1 << 7);
	assert_int_equal(written_back(&ring, 8, 7), 1 << 3); /* the other lap; a line unfinished */
	assert_int_equal(written_back(&ring, 2, 4), 1 << 3); /* begun before, finished now */
	assert_int_equal(written_back(&ring, 6, 6), 1 << 7 | 1 << 3); /* over the wrap */
	assert_int_equal(written_back(&ring, 1, 3), 0);		      /* no line at once */
	ring_unmap(&ring);
}

/* A peer that does not mind the credit may publish ever more, to who asks for as much at once. */
static void what_is_written_back_stays_in_the_ring(void **state)
{
	struct ring ring = ring_open(8);
	struct pinion_desc desc[128];
	const char *behind = (const char *)ring_slot(&ring, 7) + sizeof(struct pinion_slot);

	(void)state;
	for (uint32_t i = 0; i < 128; i++)
		desc[i] = desc_of(i);
	for (uint32_t at = 0; at < 16; at++)
		for (uint32_t nr = 4; nr <= 128; nr++)
			ring_write_back(&ring, at, desc, nr);
	for (size_t i = 0; i < ring.len - offsetof(struct ring_shared, slot) - 8 * 16; i++)
		assert_int_equal(behind[i], 0);
	ring_unmap(&ring);
}

/* Positions far out: laps are a matter of one bit of the position, not of its size. */
static void laps_hold_when_positions_are_large(void **state)
{
	const struct pinion_desc nothing = {0};
	struct ring tx = ring_open(4), rx;
	struct pinion_desc desc, want;

	(void)state;
	tx.at = (UINT64_C(1) << 62) - 6;
	/* As if it had run until here: every slot has the lap of the round before. */
	for (uint64_t at = tx.at - 4; at < tx.at; at++)
		pinion_slot_store(ring_slot(&tx, at), &nothing, ring_lap(&tx, at));
	rx = tx;
	for (uint32_t i = 0; i < 20; i++, rx.at++) {
		assert_false(ring_peek(&rx, &desc));
		want = desc_of(i);
		ring_publish(&tx, &want, 1);
		assert_true(ring_peek(&rx, &desc));
		assert_memory_equal(&desc, &want, sizeof(desc));
	}
	ring_unmap(&tx);
}

/* Wherever in a lap, of either kind, and across the end of 64 bits. */
static void a_ring_may_begin_anywhere(void **state)
{
	const uint64_t starts[] = {0, 1, 7, 8, 9, 15, 16, UINT64_C(1) << 32, UINT64_C(1) << 63,
				   UINT64_MAX - 16, UINT64_MAX - 7, UINT64_MAX};
	struct pinion_desc desc, want;

	(void)state;
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		struct ring tx = {0}, rx = {0};
		int fd = -1;

		assert_int_equal(ring_make(8, starts[i], &fd), 0);
		assert_int_equal(ring_map(fd, &tx), 0);
		assert_int_equal(ring_map(fd, &rx), 0);
		assert_int_equal(close(fd), 0);
		assert_true(tx.at == starts[i]);
		for (; rx.at != tx.at + 8; rx.at++)
			assert_false(ring_peek(&rx, &desc));
		rx.at = starts[i];
		for (uint32_t k = 0; k < 40; k++) {
			want = desc_of(k);
			assert_int_equal(ring_room(&tx, 8), 8);
			ring_publish(&tx, &want, 1);
			assert_true(ring_peek(&rx, &desc));
			assert_desc(&desc, k);
			ring_take(&rx, 1);
			assert_false(ring_peek(&rx, &desc));
		}
		ring_unmap(&tx);
		ring_unmap(&rx);
	}
}

/* The ring's own bits must not come from a caller: they would publish under the wrong lap. */
static void a_reserved_bit_is_not_valid(void **state)
{
	struct pinion_desc desc = desc_of(1);

	(void)state;
	assert_true(pinion_desc_valid(&desc));
	desc.buffer.bits |= PINION_SLOT_HEAD_LAP;
	assert_false(pinion_desc_valid(&desc));
	desc = desc_of(1);
	desc.len = PINION_DESC_LEN_MAX;
	assert_true(pinion_desc_valid(&desc));
	desc.len++;
	assert_false(pinion_desc_valid(&desc));
	desc = desc_of(1);
	desc.tag = UINT32_MAX;
	assert_true(pinion_desc_valid(&desc));
}

/* Whichever half of a slot comes first: a descriptor is there when both have come. */
static void half_a_slot_is_not_published(void **state)
{
	struct ring ring = ring_open(4);
	const struct pinion_desc want = desc_of(7);
	struct pinion_slot *slot = ring_slot(&ring, ring.at), whole;
	const uint64_t before = slot->head;
	struct pinion_desc desc;

	(void)state;
	pinion_slot_store(&whole, &want, ring_lap(&ring, ring.at));
	slot->head = whole.head;
	assert_false(ring_peek(&ring, &desc));
	slot->head = before;
	slot->body = whole.body;
	assert_false(ring_peek(&ring, &desc));
	slot->head = whole.head;
	assert_true(ring_peek(&ring, &desc));
	assert_memory_equal(&desc, &want, sizeof(desc));
	ring_unmap(&ring);
}

/* Refused with -EPROTO, nothing mapped, the file the caller's. */
static void refused(int fd)
{
	struct ring ring = {0};
	const int maps = pool_maps();

	assert_int_equal(ring_map(fd, &ring), -EPROTO);
	assert_null(ring.shared);
	assert_int_equal(pool_maps(), maps);
	assert_int_equal(close(fd), 0);
}

static int file_of(size_t len, int seals, uint32_t slots)
{
	const int fd = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	const struct ring_shared head = {
		.magic = RING_MAGIC, .version = RING_VERSION, .slots = slots};

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &head, sizeof(head), 0), (ssize_t)sizeof(head));
	assert_int_equal(ftruncate(fd, (off_t)len), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void a_file_that_is_no_ring_is_eproto(void **state)
{
	const int shut = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	struct pinion_pool *pool = pool_make(64);
	struct pinion_pool_fds fds = pool_files(pool);

	(void)state;
	refused(fds.control);
	refused(fds.segment[0]);
	refused(memfd_create("empty", MFD_CLOEXEC));
	refused(open("/dev/null", O_RDWR | O_CLOEXEC));
	refused(file_of(4096, shut, 0));
	refused(file_of(4096, shut, 65536)); /* more slots than bytes */
	refused(file_of(4096, shut, 6));
	refused(file_of(4096, shut, UINT32_MAX));
	refused(file_of(8192, shut, 64)); /* fewer */
	refused(file_of(4095, shut, 64));
	refused(file_of((size_t)1 << 40, shut, 64));
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Its maker could shorten it, and each access would be a SIGBUS. */
static void a_ring_that_can_still_be_shortened_is_eproto(void **state)
{
	(void)state;
	refused(file_of(4096, 0, 64));
	refused(file_of(4096, F_SEAL_GROW, 64));
}

static void a_wrong_header_is_eproto(void **state)
{
	struct ring ring;
	int fd = ring_file(64);

	(void)state;
	assert_int_equal(ring_map(fd, &ring), 0);
	ring.shared->version++;
	refused(fd);
	ring.shared->version--;
	ring_unmap(&ring);
}

/* Two threads on one mapping, under ThreadSanitizer too: what the slot's release carries. */
#define STREAM 200000

struct stream {
	struct ring tx, rx;
	uint32_t payload[8]; /* plain: written before publication, read after */
	_Atomic uint64_t taken;
	int wrong;
};

static void *produce(void *arg)
{
	struct stream *stream = arg;

	for (uint32_t i = 0; i < STREAM; i++) {
		const struct pinion_desc desc = desc_of(i);

		while (i - atomic_load_explicit(&stream->taken, memory_order_acquire) >= 8)
			sched_yield();
		stream->payload[i % 8] = i;
		ring_publish(&stream->tx, &desc, 1);
	}
	return NULL;
}

static void *consume(void *arg)
{
	struct stream *stream = arg;
	struct pinion_desc desc, want;

	for (uint32_t i = 0; i < STREAM; i++) {
		want = desc_of(i);
		while (!ring_peek(&stream->rx, &desc))
			sched_yield();
		stream->rx.at++;
		stream->wrong += stream->payload[i % 8] != i;
		stream->wrong += memcmp(&desc, &want, sizeof(desc)) != 0;
		atomic_store_explicit(&stream->taken, i + 1, memory_order_release);
	}
	return NULL;
}

static void what_precedes_publication_is_seen_after_it(void **state)
{
	struct stream stream = {.tx = ring_open(8)};
	pthread_t thread[2];

	(void)state;
	stream.rx = stream.tx;
	assert_int_equal(pthread_create(&thread[0], NULL, produce, &stream), 0);
	assert_int_equal(pthread_create(&thread[1], NULL, consume, &stream), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(stream.wrong, 0);
	ring_unmap(&stream.tx);
}

/*
 * The fences F1 and F2, as a litmus: in each round one thread publishes and looks at the bell, the
 * other arms the bell and looks at the slot, both at once. If neither sees the other, a sleeper
 * would sleep on. Where both threads share one processor this shows nothing, and a meeting there
 * costs two switches: so the rounds end by the clock as well as by their number.
 */
#define ROUNDS 300000
#define MOST_NS UINT64_C(15000000000) /* or as many as this allows on a busy machine */

struct litmus {
	struct ring tx, rx;
	struct bell bell;
	struct bell_ear ear;
	struct bell_hand hand;
	_Atomic int arrived; /* counts up: 2 for each meeting */
	_Atomic bool over;   /* set before the last meeting, read after it */
	int missed;
};

static void meet(struct litmus *litmus, int meeting)
{
	atomic_fetch_add(&litmus->arrived, 1);
	for (int spins = 1; atomic_load(&litmus->arrived) < 2 * meeting; spins++)
		if (spins % 10000 == 0)
			sched_yield();
}

static void *publish_and_strike(void *arg)
{
	struct litmus *litmus = arg;
	const uint64_t end = test_now_ns() + MOST_NS;

	for (int i = 0; !atomic_load(&litmus->over); i++) {
		const struct pinion_desc desc = desc_of((uint32_t)i);

		meet(litmus, 2 * i + 1);
		ring_publish(&litmus->tx, &desc, 1);
		bell_strike(&litmus->bell, &litmus->hand);
		atomic_store(&litmus->over, i + 1 == ROUNDS || test_now_ns() >= end);
		meet(litmus, 2 * i + 2);
	}
	return NULL;
}

static void *arm_and_look(void *arg)
{
	struct litmus *litmus = arg;
	struct pinion_desc desc;

	for (int i = 0; !atomic_load(&litmus->over); i++) {
		bool seen;

		bell_disarm(&litmus->bell);
		/* In half of the rounds the sender leaves its fence out until it is armed. */
		if (i & 1)
			bell_relax(&litmus->bell, &litmus->ear);
		meet(litmus, 2 * i + 1);
		bell_arm(&litmus->bell, &litmus->ear, BELL_ARMED);
		seen = ring_peek(&litmus->rx, &desc);
		meet(litmus, 2 * i + 2);
		litmus->missed += !seen && atomic_load(&litmus->bell.state) == BELL_ARMED;
		litmus->rx.at++;
	}
	return NULL;
}

static void a_sender_and_a_sleeper_never_miss_each_other(void **state)
{
	struct litmus litmus = {.tx = ring_open(64)};
	pthread_t thread[2];

	(void)state;
	litmus.rx = litmus.tx;
	litmus.hand = litmus.tx.hand;
	assert_int_equal(pthread_create(&thread[0], NULL, publish_and_strike, &litmus), 0);
	assert_int_equal(pthread_create(&thread[1], NULL, arm_and_look, &litmus), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(litmus.missed, 0);
	ring_unmap(&litmus.tx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(a_number_of_slots_that_cannot_be_is_einval),
		pool_test(the_file_is_sealed_private_and_closed_on_exec),
		pool_test(a_new_ring_has_nothing_published),
		pool_test(what_is_published_comes_back_in_order_over_many_laps),
		pool_test(laps_hold_when_positions_are_large),
		pool_test(of_each_line_copied_to_its_end_one_word_is_written_back),
		pool_test(what_is_written_back_stays_in_the_ring),
		pool_test(a_ring_may_begin_anywhere),
		pool_test(a_reserved_bit_is_not_valid),
		pool_test(half_a_slot_is_not_published),
		pool_test(a_file_that_is_no_ring_is_eproto),
		pool_test(a_ring_that_can_still_be_shortened_is_eproto),
		pool_test(a_wrong_header_is_eproto),
		pool_test(what_precedes_publication_is_seen_after_it),
		pool_test(a_sender_and_a_sleeper_never_miss_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
