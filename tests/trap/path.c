/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls, instruction by instruction. Two claims, of bell.h and fanin.h:
 *
 *     while nobody sleeps, sending has no fence, no locked instruction and no system call: one that
 *     is fenced, and one that wakes, are seen to have them; one that could not register has a fence
 *     whatever it is told
 *
 *     what a message costs a fan-in does not grow with idle producers: with 1 of 4,096 it takes the
 *     very number of instructions that it takes with 1 of 1, and touches none of the others' rings
 */

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <pinion/fanin.h>

#include "broadcast_support.h"
#include "channel.h"
#include "channel_support.h"
#include "ring_end.h"
#include "tap.h"

#define TRAP_FLAG 0x100 /* EFLAGS.TF: SIGTRAP after the next instruction */
#define SLOTS 64u
#define BURST 32u

/* --- steps */

/* Of the call that was stepped last. */
static struct {
	uint32_t all, fences, locked, syscalls;
} steps;

static const uint8_t *skip_prefixes(const uint8_t *code)
{
	while (*code == 0x66 || *code == 0xf2 || *code == 0xf3)
		code++;
	return code + ((*code & 0xf0) == 0x40);
}

/* The instruction that is next. */
static void look_at(const uint8_t *code)
{
	steps.all++;
	if (code[0] == 0xf0) {
		steps.locked++;
		return;
	}
	code = skip_prefixes(code);
	/* xchg with memory is locked without saying so. */
	if ((code[0] & 0xfe) == 0x86 && code[1] < 0xc0)
		steps.locked++;
	if (code[0] == 0x0f && code[1] == 0x05)
		steps.syscalls++;
	/* lfence, mfence, sfence; and cpuid, which serves as one */
	if (code[0] == 0x0f && ((code[1] == 0xae && code[2] >= 0xe8) || code[1] == 0xa2))
		steps.fences++;
}

static void on_step(int signal, siginfo_t *info, void *context)
{
	const ucontext_t *user = context;

	(void)signal;
	(void)info;
	look_at((const uint8_t *)user->uc_mcontext.gregs[REG_RIP]);
}

static int step(int (*call)(void *), void *arg)
{
	int result;

	memset(&steps, 0, sizeof(steps));
	__asm__ volatile("pushfq; orq %0, (%%rsp); popfq" : : "i"(TRAP_FLAG) : "memory", "cc");
	result = call(arg);
	__asm__ volatile("pushfq; andq %0, (%%rsp); popfq" : : "i"(~TRAP_FLAG) : "memory", "cc");
	return result;
}

/* --- senders */

/* One that sends, and one that receives; who receives looks at an empty ring until it has let the
 * sender off its fence. */
struct scene {
	struct pair pair;
	struct pinion_ring *send, *recv;
	struct pinion_broadcast *broadcast;
	struct pinion_seat *seat;
	struct pinion_fanin *fanin;
	struct bell *bell;      /* that is struck */
	struct bell_hand *hand; /* that strikes it */
	struct pinion_desc desc[BURST];
	uint32_t nr;
};

static void open_channel(struct scene *scene)
{
	struct pinion_desc desc;

	scene->bell = &scene->pair.ab.shared->bell;
	scene->hand = &channel_tx(scene->pair.a.channel)->hand;
	for (uint32_t i = 0; i < 2 * BELL_AWAKE_MAX; i++)
		assert_int_equal(pinion_channel_recv(scene->pair.b.channel, &desc, 1), -EAGAIN);
}

static int send_on_channel(void *arg)
{
	struct scene *scene = arg;

	return pinion_channel_send(scene->pair.a.channel, scene->desc, scene->nr);
}

static void open_ring(struct scene *scene)
{
	struct pinion_desc desc;
	const int fd = ring_file(SLOTS);

	assert_int_equal(pinion_ring_open(fd, PINION_RING_SEND, &scene->send), 0);
	assert_int_equal(pinion_ring_open(fd, PINION_RING_RECV, &scene->recv), 0);
	ring_unmap(&scene->pair.ab);
	assert_int_equal(ring_map(fd, &scene->pair.ab), 0);
	scene->bell = &scene->pair.ab.shared->bell;
	scene->hand = &ring_end_of(scene->send, PINION_RING_SEND)->hand;
	close(fd);
	for (uint32_t i = 0; i < 2 * BELL_AWAKE_MAX; i++)
		assert_int_equal(pinion_ring_recv(scene->recv, &desc, 1), -EAGAIN);
}

static int send_on_ring(void *arg)
{
	struct scene *scene = arg;

	return pinion_ring_send(scene->send, scene->desc, scene->nr);
}

/* Those of @desc that lie in one piece. */
static int send_piece(struct pinion_ring *ring, const struct pinion_desc *desc, uint32_t nr)
{
	int room = pinion_ring_reserve(ring, nr);

	for (int i = 0; i < room; i++)
		(void)pinion_ring_put(ring, (uint32_t)i, &desc[i]);
	return room < 0 ? room : pinion_ring_commit(ring, (uint32_t)room);
}

static int send_in_place(void *arg)
{
	struct scene *scene = arg;
	int sent = send_piece(scene->send, scene->desc, scene->nr);

	/* The rest begins the ring anew. */
	if (sent > 0 && (uint32_t)sent < scene->nr)
		sent += send_piece(scene->send, &scene->desc[sent], scene->nr - (uint32_t)sent);
	return sent;
}

static void open_broadcast(struct scene *scene)
{
	struct pinion_desc desc;
	uint32_t consumer;
	int ring, seat;

	ring = broadcast_file(SLOTS);
	assert_int_equal(pinion_broadcast_create_seat(&seat), 0);
	assert_int_equal(pinion_broadcast_open(scene->pair.a.pool, ring, &scene->broadcast), 0);
	assert_int_equal(pinion_broadcast_admit(scene->broadcast, seat, &consumer), 0);
	assert_int_equal(pinion_broadcast_join(scene->pair.b.pool, ring, seat,
					       pinion_pool_member(scene->pair.a.pool),
					       &scene->seat),
			 0);
	close(ring);
	close(seat);
	scene->bell = &scene->seat->shared->bell;
	scene->hand = &scene->broadcast->place[consumer].hand;
	for (uint32_t i = 0; i < 2 * BELL_AWAKE_MAX; i++)
		assert_int_equal(pinion_broadcast_recv(scene->seat, &desc, 1), -EAGAIN);
}

static int send_broadcast(void *arg)
{
	struct scene *scene = arg;

	return pinion_broadcast_send(scene->broadcast, scene->desc, scene->nr);
}

/* A lane that is hot: its producer is let off once 256 looks in a row found something. */
static void open_fanin(struct scene *scene)
{
	struct pinion_channel *channel = scene->pair.b.channel;
	struct pinion_desc desc;
	uint32_t lane;

	scene->bell = &scene->pair.ab.shared->bell;
	scene->hand = &channel_tx(scene->pair.a.channel)->hand;
	assert_int_equal(pinion_fanin_create(&scene->fanin), 0);
	assert_int_equal(pinion_fanin_add(scene->fanin, channel, 1, &lane), 0);
	assert_int_equal(
		pinion_channel_join(scene->pair.a.channel, pinion_fanin_fd(scene->fanin), lane), 0);
	for (int i = 0; i < 300; i++) {
		desc = desc_new(&scene->pair.a, 1, 1);
		send_one(&scene->pair.a, &desc);
		assert_int_equal(pinion_fanin_recv(scene->fanin, &channel, &desc, 1), 1);
		give(scene->pair.b.cache, &desc.buffer, 1);
	}
}

static const struct sender {
	const char *name;
	void (*open)(struct scene *scene);
	int (*send)(void *scene);
} senders[] = {
	{"channel", open_channel, send_on_channel},
	{"ring", open_ring, send_on_ring},
	{"ring, in place", open_ring, send_in_place},
	{"broadcast", open_broadcast, send_broadcast},
	{"channel of a fan-in", open_fanin, send_on_channel},
};
#define NR_SENDERS (sizeof(senders) / sizeof(senders[0]))

static void scene_open(struct scene *scene, const struct sender *sender, uint32_t nr)
{
	*scene = (struct scene){.pair = pair_make(512, SLOTS), .nr = nr};
	sender->open(scene);
	for (uint32_t i = 0; i < BURST; i++)
		scene->desc[i] = desc_new(&scene->pair.a, 1, i);
}

static void scene_close(struct scene *scene)
{
	if (scene->fanin)
		assert_int_equal(pinion_fanin_destroy(scene->fanin), 0);
	if (scene->send) {
		assert_int_equal(pinion_ring_close(scene->send), 0);
		assert_int_equal(pinion_ring_close(scene->recv), 0);
	}
	if (scene->broadcast) {
		assert_int_equal(pinion_broadcast_leave(scene->seat), 0);
		assert_int_equal(pinion_broadcast_close(scene->broadcast), 0);
	}
	pair_close(&scene->pair);
}

static void tell(bool good, const struct sender *sender, const char *claim)
{
	tap_result(good, "%s, %s: %u instructions, of these %u fences, %u locked, %u system calls",
		   sender->name, claim, steps.all, steps.fences, steps.locked, steps.syscalls);
}

/* Nobody sleeps, and nobody wants a fence. */
static void nobody_sleeps(const struct sender *sender, uint32_t nr)
{
	struct scene scene;
	int sent;

	scene_open(&scene, sender, nr);
	assert_int_equal(scene.bell->fenced, 0);
	sent = step(sender->send, &scene);
	tell(sent == (int)nr && steps.all && !steps.fences && !steps.locked && !steps.syscalls,
	     sender, nr > 1 ? "a burst" : "one");
	scene_close(&scene);
}

/* As long as the receiver has not let the sender off: one fence, by whichever instruction. */
static void with_a_fence(const struct sender *sender)
{
	struct scene scene;

	scene_open(&scene, sender, 1);
	scene.bell->fenced = 1;
	(void)step(sender->send, &scene);
	tell(steps.fences + steps.locked == 1 && !steps.syscalls, sender, "with a fence");
	scene_close(&scene);
}

/* One whom the kernel refused to register goes by nobody's word: the barrier of a receiver that let
 * it off would pass it by. */
static void not_registered(const struct sender *sender, uint32_t fenced)
{
	struct scene scene;
	int sent;

	scene_open(&scene, sender, 1);
	assert_true(scene.hand->registered);
	scene.hand->registered = false;
	scene.bell->fenced = fenced;
	sent = step(sender->send, &scene);
	tell(sent == 1 && steps.fences + steps.locked == 1 && !steps.syscalls, sender,
	     fenced ? "not registered, with a fence" : "not registered, and let off");
	scene_close(&scene);
}

/* At the futex. */
static void with_a_sleeper(const struct sender *sender)
{
	struct scene scene;

	scene_open(&scene, sender, 1);
	scene.bell->state = BELL_ARMED;
	(void)step(sender->send, &scene);
	tell(steps.locked >= 1 && steps.syscalls == 1, sender, "to one that sleeps");
	scene_close(&scene);
}

/* --- a fan-in */

#define CALLS 32u /* two of which look at one cold lane as well */
#define PATROL 16u
#define PRODUCERS_MAX 4096u

struct crowd {
	struct side from, to;
	struct pinion_fanin *fanin;
	struct pinion_channel *tx, *rx[PRODUCERS_MAX]; /* tx: of the first, the only one to speak */
	uint32_t nr;
	struct pinion_desc desc;
};

/* The idle ones have no other end in this test. */
static void crowd_add(struct crowd *crowd)
{
	const int fd = ring_file(PINION_RING_SLOTS_MIN);
	uint32_t lane;

	assert_int_equal(pinion_channel_open(crowd->to.pool, -1, fd,
					     pinion_pool_member(crowd->from.pool),
					     &crowd->rx[crowd->nr]),
			 0);
	assert_int_equal(pinion_fanin_add(crowd->fanin, crowd->rx[crowd->nr], 1, &lane), 0);
	if (!crowd->nr) {
		assert_int_equal(pinion_channel_open(crowd->from.pool, fd, -1,
						     pinion_pool_member(crowd->to.pool),
						     &crowd->tx),
				 0);
		assert_int_equal(
			pinion_channel_join(crowd->tx, pinion_fanin_fd(crowd->fanin), lane), 0);
	}
	crowd->nr++;
	close(fd);
}

static void speak(struct crowd *crowd)
{
	crowd->desc = (struct pinion_desc){.len = 1};
	take(crowd->from.cache, &crowd->desc.buffer, 1);
	assert_int_equal(pinion_channel_send(crowd->tx, &crowd->desc, 1), 1);
}

static int hear(void *arg)
{
	struct crowd *crowd = arg;
	struct pinion_channel *channel;

	return pinion_fanin_recv(crowd->fanin, &channel, &crowd->desc, 1);
}

static void hear_and_free(struct crowd *crowd)
{
	assert_int_equal(hear(crowd), 1);
	give(crowd->to.cache, &crowd->desc.buffer, 1);
}

/* Until those that never speak are cold, and the one that does is let off its fence. The next call
 * but PATROL is one that looks at a cold lane. */
static void settle(struct crowd *crowd)
{
	for (uint32_t i = 0; i < 100 * PATROL; i++) {
		speak(crowd);
		hear_and_free(crowd);
	}
}

static struct crowd *crowd_make(uint32_t nr)
{
	struct crowd *crowd = calloc(1, sizeof(*crowd));

	assert_non_null(crowd);
	crowd->to.pool = pool_make(512);
	crowd->from.pool = pool_join(crowd->to.pool);
	crowd->to.cache = cache_make(crowd->to.pool, BUFFER);
	crowd->from.cache = cache_make(crowd->from.pool, BUFFER);
	assert_int_equal(pinion_fanin_create(&crowd->fanin), 0);
	while (crowd->nr < nr)
		crowd_add(crowd);
	settle(crowd);
	return crowd;
}

static void crowd_unmake(struct crowd *crowd)
{
	assert_int_equal(pinion_fanin_destroy(crowd->fanin), 0);
	assert_int_equal(pinion_channel_close(crowd->tx), 0);
	for (uint32_t i = 0; i < crowd->nr; i++)
		assert_int_equal(pinion_channel_close(crowd->rx[i]), 0);
	assert_int_equal(pinion_cache_close(crowd->from.cache), 0);
	assert_int_equal(pinion_cache_close(crowd->to.cache), 0);
	assert_int_equal(pinion_pool_detach(crowd->from.pool), 0);
	assert_int_equal(pinion_pool_destroy(crowd->to.pool), 0);
	free(crowd);
}

/* Who touches the ring of one that is idle dies of it. */
static void fence_off(const struct crowd *crowd, int protection)
{
	for (uint32_t i = 1; i < crowd->nr; i++) {
		const struct ring *ring = channel_rx(crowd->rx[i]);

		assert_int_equal(mprotect(ring->shared, ring->len, protection), 0);
	}
}

/* Instructions of so many calls, each of which takes one message; those that look at a cold lane
 * too, every 16th, are noted apart. */
static void count(struct crowd *crowd, uint32_t *usual, uint32_t *patrol)
{
	uint32_t nr[CALLS];

	*usual = *patrol = 0;
	for (uint32_t i = 0; i < CALLS; i++) {
		speak(crowd);
		if (i % PATROL)
			fence_off(crowd, PROT_NONE);
		assert_int_equal(step(hear, crowd), 1);
		fence_off(crowd, PROT_READ | PROT_WRITE);
		give(crowd->to.cache, &crowd->desc.buffer, 1);
		nr[i] = steps.all;
		if (i % PATROL == 0)
			*patrol = nr[i] > *patrol ? nr[i] : *patrol;
		else
			*usual = nr[i] > *usual ? nr[i] : *usual;
	}
}

static void idle_ones_cost_nothing(void)
{
	static const uint32_t crowds[] = {1, 2, 1000, PRODUCERS_MAX};
	uint32_t usual[4], patrol[4];

	for (int i = 0; i < 4; i++) {
		struct crowd *crowd = crowd_make(crowds[i]);

		count(crowd, &usual[i], &patrol[i]);
		crowd_unmake(crowd);
	}
	for (int i = 1; i < 4; i++)
		tap_result(usual[i] == usual[0],
			   "a message with 1 of %u producers: %u instructions, with 1 of 1 %u",
			   crowds[i], usual[i], usual[0]);
	/* With 1 of 1 there is none that is cold. */
	tap_result(patrol[3] > usual[3] && patrol[3] <= patrol[2] + 64,
		   "with a look at a cold lane, of %u: %u instructions, of 1000 %u", PRODUCERS_MAX,
		   patrol[3], patrol[2]);
}

int main(void)
{
	const struct sigaction action = {.sa_flags = SA_SIGINFO, .sa_sigaction = on_step};

	if (sigaction(SIGTRAP, &action, NULL))
		tap_bail("no signal handler");
	if (!bell_register())
		return tap_skip("this kernel has no membarrier(2): all senders fence");
	tap_plan(6 * NR_SENDERS + 4);
	for (size_t i = 0; i < NR_SENDERS; i++) {
		nobody_sleeps(&senders[i], 1);
		nobody_sleeps(&senders[i], BURST);
		with_a_fence(&senders[i]);
		not_registered(&senders[i], 0);
		not_registered(&senders[i], 1);
		with_a_sleeper(&senders[i]);
	}
	idle_ones_cost_nothing();
	return tap_status();
}
