/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_GUEST_H
#define PINION_TESTS_GUEST_H

/*
 * A channel in a loop that somebody else wrote (libuv, glib), and those who wake it: whatever
 * happens to the channel comes from another thread or process, at a time when the loop sleeps. So
 * nothing but the channel's descriptor can have told it.
 *
 *  - guest_prepare(): before the loop sleeps. Nothing happens before it has said 0 for once.
 *  - guest_drain(): what a loop does when the descriptor is readable, or prepare() says 1.
 *  - talk_open(), talk_close(): a peer that sends TALK messages, one by one, and closes.
 *  - murder_open(), murder_close(): a session whose keeper is killed.
 */

#include <pthread.h>

#include <pinion/wait.h>

#include "channel_support.h"
#include "doomed.h"

#define TALK 200u
#define PAUSE_US 500      /* between two messages: the loop sleeps again */
#define PATIENCE_S 60     /* then it sleeps for ever */
#define SENTENCE_US 50000 /* from then on to what wakes it first */

struct guest {
	struct pinion_channel *channel;
	struct pinion_cache *cache; /* where what came is freed */
	uint32_t next;              /* the tag that comes next */
	uint32_t wakes;             /* how often the descriptor was readable */
	int last;                   /* what receive said at last */
	_Atomic bool sleeps;        /* from now on the descriptor tells */
};

static inline int guest_prepare(struct guest *guest)
{
	const int what = pinion_channel_prepare(guest->channel);

	if (!what)
		guest->sleeps = true;
	return what;
}

/* Until the loop is about to sleep, and has probably come to it. alarm() ends what never does. */
static inline void guest_await_sleep(const struct guest *guest)
{
	while (!guest->sleeps)
		usleep(PAUSE_US);
	usleep(SENTENCE_US);
}

static inline void guest_drain(struct guest *guest)
{
	struct pinion_desc desc;

	while ((guest->last = pinion_channel_recv(guest->channel, &desc, 1)) == 1) {
		assert_int_equal(desc.tag, guest->next++);
		assert_int_equal(pinion_buffer_free(guest->cache, desc.buffer), 0);
	}
}

static inline void guest_wake(struct guest *guest)
{
	guest->wakes++;
	assert_int_equal(pinion_channel_done(guest->channel), 0);
	guest_drain(guest);
}

/* Another thread is the peer. */
struct talk {
	struct pair pair;
	struct guest guest;
	pthread_t thread;
};

static inline void *talk_speak(void *arg)
{
	struct talk *talk = arg;
	struct side *peer = &talk->pair.b;

	guest_await_sleep(&talk->guest);
	for (uint32_t i = 0; i < TALK; i++) {
		const struct pinion_desc desc = desc_new(peer, 1, i);

		usleep(PAUSE_US);
		assert_int_equal(pinion_channel_send(peer->channel, &desc, 1), 1);
	}
	usleep(PAUSE_US);
	assert_int_equal(pinion_channel_close(peer->channel), 0);
	peer->channel = NULL;
	return NULL;
}

static inline void talk_open(struct talk *talk)
{
	struct side *own = &talk->pair.a;
	int notify;

	alarm(PATIENCE_S);
	talk->pair = pair_make(512, 256);
	talk->guest = (struct guest){.channel = own->channel, .cache = own->cache};
	notify = pinion_channel_notify_fd(own->channel);
	assert_int_equal(pinion_channel_set_notify(talk->pair.b.channel, notify), 0);
	assert_int_equal(pthread_create(&talk->thread, NULL, talk_speak, talk), 0);
}

/* All was heard, and that it ended; and the loop slept in between. */
static inline void talk_close(struct talk *talk)
{
	assert_int_equal(pthread_join(talk->thread, NULL), 0);
	assert_int_equal(talk->guest.next, TALK);
	assert_int_equal(talk->guest.last, -EPIPE);
	assert_in_range(talk->guest.wakes, 1, TALK + 1);
	pair_close_whole(&talk->pair);
	alarm(0);
}

struct murder {
	struct doomed keeper;
	struct pinion_session *session;
	struct guest guest;
	pthread_t thread;
};

static inline void *murder_commit(void *arg)
{
	const struct murder *murder = arg;

	guest_await_sleep(&murder->guest);
	kill(murder->keeper.pid, SIGKILL);
	return NULL;
}

static inline void murder_open(struct murder *murder)
{
	alarm(PATIENCE_S);
	doomed_open(&murder->keeper);
	assert_int_equal(pinion_session_open(murder->keeper.path, &murder->session), 0);
	murder->guest = (struct guest){.channel = pinion_session_channel(murder->session)};
	assert_int_equal(pthread_create(&murder->thread, NULL, murder_commit, murder), 0);
}

static inline void murder_close(struct murder *murder)
{
	assert_int_equal(pthread_join(murder->thread, NULL), 0);
	assert_int_equal(murder->guest.last, -EPIPE);
	assert_int_equal(murder->guest.wakes, 1);
	assert_int_equal(pinion_session_close(murder->session), 0);
	doomed_close(&murder->keeper);
	alarm(0);
}

#endif
