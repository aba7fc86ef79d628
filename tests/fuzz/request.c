/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A requester whose peer is written by the fuzzer: answers that nobody asked for, asked for twice,
 * long ago or not yet, requests beyond the limit, descriptors of any kind. What must come of each
 * call is worked out from the slots and from what was asked. Each context comes back once: by the
 * one answer that has its tag, or when all is given up; then what came with a lie is free, too.
 */

#include <pinion/request.h>

#include "channel.h"
#include "rings.h"
#include "stage.h"
#include "target.h"

#define DEPTH 3u      /* a may ask so much: what two bits say is not always a place */
#define PEER_DEPTH 1u /* and b so much */
#define NEXT 4u       /* from a tag to the next of its place */
#define ASKED_MAX 64u

static struct rings rings;
static struct pinion_requester *requester;

/* Of one run, by our own count. Contexts are the addresses of what was asked. */
static struct {
	struct {
		uint32_t tag;
		bool open;
	} asked[ASKED_MAX];
	uint32_t nr_asked, outstanding, unanswered;
	uint32_t tag;            /* of b's request */
	uint64_t received, next; /* next: behind what b published last */
	uint64_t hand[BUFFERS];  /* what a has, as handles; 0: not this one */
	bool stray[BUFFERS];     /* it came with a lie */
	bool broken;
} model;

void target_open(void)
{
	if (!stage.picture) {
		stage_open();
		stage_picture();
	}
	stage_put_back();
	rings_wipe(&rings);
	memset(&model, 0, sizeof(model));
	model.received = model.next = rings_start(&rings);
	for (uint32_t i = 0; i < OURS; i++)
		model.hand[pinion_buffer_id(stage.ours[i])] = stage.ours[i].bits;
	assert_int_equal(pinion_channel_open(stage.a.pool, rings.fd_ab, rings.fd_ba,
					     pinion_pool_member(stage.b.pool), &stage.a.channel),
			 0);
	assert_int_equal(pinion_requester_open(stage.a.channel, DEPTH, PEER_DEPTH, &requester), 0);
}

/* --- b */

/* The answer to what a asked, now or before, or will ask; or of no place; or a request. */
static uint32_t some_tag(struct script *script)
{
	const uint8_t how = script_byte(script);
	const uint32_t asked = model.nr_asked ? model.asked[how % model.nr_asked].tag : how % DEPTH;

	switch (how / 32) {
	case 0:
		return how;
	case 1:
		return (asked + NEXT) | PINION_TAG_ANSWER;
	case 2:
		return asked | (NEXT - 1) | PINION_TAG_ANSWER;
	default:
		return asked | PINION_TAG_ANSWER;
	}
}

/* Publishes well, behind what it published last or anywhere. */
static void publish(struct script *script)
{
	const uint8_t where = script_byte(script), what = script_byte(script);
	struct pinion_desc desc = {find_theirs(what), 1, some_tag(script)};

	if (what >= 192)
		desc = some_desc(script);
	if (model.next - model.received >= SLOTS)
		model.next = model.received;
	if (where < 64)
		model.next = model.received + where % SLOTS;
	slot_put(rings.ba.shared->slot, model.next++, &desc);
}

/* Takes all that a sent, as it should. */
static void take_sent(void)
{
	for (uint32_t i = 0; i < SLOTS; i++) {
		const uint64_t head = rings.ab.shared->slot[i].head;
		struct pinion_buffer buffer = {head & ~PINION_SLOT_HEAD_LAP};
		const uint32_t id = pinion_buffer_id(buffer);

		/* What its lies made of a slot may name what a did not send. */
		if (id < BUFFERS && !model.hand[id] && !model.stray[id] &&
		    words()[id] == held(buffer, &stage.a))
			words()[id] = held(pinion_buffer_next(buffer), &stage.b);
	}
	rings.ab.shared->credit = channel_tx(stage.a.channel)->at;
}

/* --- a */

/* One that a has; false: none. */
static bool find_ours(struct pinion_buffer *buffer)
{
	for (uint32_t id = 0; id < BUFFERS; id++)
		if (model.hand[id]) {
			buffer->bits = model.hand[id];
			return true;
		}
	return false;
}

/* After a call of a's, with @before lies: they are counted once, and the liar is told. What it
 * writes over that afterwards is its own loss. */
static void check_told(uint64_t before, bool broken)
{
	const bool found = broken && !model.broken;

	oracle(pinion_channel_lies() == before + found, "%ju lies are counted, not %d",
	       (uintmax_t)(pinion_channel_lies() - before), found);
	oracle(!found || rings.ab.shared->producer_closed, "a liar is not told");
	model.broken |= broken;
}

/* The tag under which the last went: of no other request before, and of no answer. */
static void note_asked(void)
{
	const struct pinion_slot *slot =
		&rings.ab.shared->slot[(channel_tx(stage.a.channel)->at - 1) % SLOTS];
	const uint32_t tag = (uint32_t)(slot->body >> 32);

	oracle(!(tag & PINION_TAG_ANSWER), "a request looks like an answer");
	for (uint32_t i = 0; i < model.nr_asked; i++)
		oracle(model.asked[i].tag != tag, "a tag comes again: %u", tag);
	model.asked[model.nr_asked].tag = tag;
	model.asked[model.nr_asked++].open = true;
	model.outstanding++;
}

static void ask(void)
{
	const uint64_t lies = pinion_channel_lies();
	struct pinion_desc desc = {.len = 1};
	void *context;
	int sent;

	if (!find_ours(&desc.buffer) || model.nr_asked == ASKED_MAX)
		return;
	context = &model.asked[model.nr_asked];
	sent = pinion_request_send(requester, &desc, &context, 1);
	oracle(sent == 1 || sent == -EAGAIN || sent == -EPIPE || sent == -EPROTO, "ask: %d", sent);
	oracle((sent == 1 || sent == -EPIPE) ? model.outstanding < DEPTH && !model.broken : true,
	       "asked what cannot be: %d", sent);
	check_told(lies, sent == -EPROTO);
	if (sent != 1)
		return;
	note_asked();
	model.hand[pinion_buffer_id(desc.buffer)] = 0;
}

/* The request that this answers, and none will again; NULL: none. */
static void *answered(const struct pinion_desc *desc)
{
	for (uint32_t i = 0; i < model.nr_asked; i++)
		if (model.asked[i].open && desc->tag == (model.asked[i].tag | PINION_TAG_ANSWER)) {
			model.asked[i].open = false;
			model.outstanding--;
			return &model.asked[i];
		}
	return NULL;
}

/* May b send that? */
static bool may_come(const struct pinion_desc *desc, void **context)
{
	*context = NULL;
	if (pinion_desc_is_answer(desc)) {
		*context = answered(desc);
		return *context;
	}
	if (model.unanswered == PEER_DEPTH)
		return false;
	model.unanswered++;
	model.tag = desc->tag;
	return true;
}

/* What must come. Behind the first that may not come all are strays. */
static int expect(struct pinion_desc *desc, void **context, uint32_t nr, uint64_t *word)
{
	uint32_t got, good = 0;

	if (model.broken)
		return -EPROTO;
	got = slots_say(rings.ba.shared->slot, model.received, desc, nr);
	if (!got)
		return rings.ba.shared->producer_closed ? -EPIPE : -EAGAIN;
	got = taken(desc, got, word);
	while (good < got && may_come(&desc[good], &context[good]))
		good++;
	for (uint32_t i = good; i < got; i++)
		model.stray[pinion_buffer_id(desc[i].buffer)] = true;
	model.received += got;
	return good ? (int)good : -EPROTO;
}

static void hear(struct script *script)
{
	const uint32_t nr = 1 + script_below(script, DESCS);
	const uint64_t lies = pinion_channel_lies(), from = model.received;
	struct pinion_desc want[DESCS], *desc = descs_new(nr);
	void *expected[DESCS], *context[DESCS];
	uint64_t word[BUFFERS];
	int must, got;

	words_look(word);
	must = expect(want, expected, nr, word);
	got = pinion_request_recv(requester, desc, context, nr);
	oracle(got == must, "recv of %u: %d, not %d", nr, got, must);
	for (int i = 0; i < got; i++) {
		oracle(same_desc(&desc[i], &want[i]), "descriptor %d is not the slot's", i);
		oracle(context[i] == expected[i], "an answer came to another request");
		model.hand[pinion_buffer_id(desc[i].buffer)] = desc[i].buffer.bits;
	}
	check_told(lies, got == -EPROTO || (got > 0 && model.received - from > (uint64_t)got));
	oracle(!model.broken || rings.ba.shared->consumer_closed, "a liar goes on");
	for (uint32_t id = 0; id < BUFFERS; id++)
		oracle(words()[id] == word[id], "the word of %u is another", id);
	free(desc);
}

static void give_answer(struct script *script)
{
	const uint64_t lies = pinion_channel_lies();
	struct pinion_desc desc = {.len = 1, .tag = script_byte(script)};
	int sent;

	if (!find_ours(&desc.buffer))
		return;
	if (model.unanswered)
		desc.tag = model.tag;
	sent = pinion_request_answer(requester, &desc, 1);
	oracle(sent == 1 || sent == -EINVAL || sent == -EPIPE || sent == -EPROTO, "answer: %d",
	       sent);
	oracle((sent == -EINVAL) == !model.unanswered, "answered what nobody asked, or not: %d",
	       sent);
	oracle(sent != 1 || !model.broken, "a broken channel answers");
	check_told(lies, sent == -EPROTO);
	if (sent != 1)
		return;
	model.unanswered--;
	model.hand[pinion_buffer_id(desc.buffer)] = 0;
}

void target_step(struct script *script)
{
	switch (script_below(script, 12)) {
	case 0:
	case 1:
		lie_store(script, rings.ba.shared);
		break;
	case 2:
		lie_store(script, rings.ab.shared);
		break;
	case 3:
	case 4:
	case 5:
		publish(script);
		break;
	case 6:
		take_sent();
		break;
	case 7:
	case 8:
		ask();
		break;
	case 9:
		give_answer(script);
		break;
	default:
		hear(script);
	}
	oracle(pinion_requester_outstanding(requester) == model.outstanding,
	       "outstanding: %u, not %u", pinion_requester_outstanding(requester),
	       model.outstanding);
}

/* Contexts that no answer brought come now, each once; two at a time. */
static void give_up(struct pinion_cache *cache)
{
	void *context[2];
	int nr;

	while ((nr = pinion_requester_abandon(requester, cache, context, 2)) != 0) {
		oracle(nr == (model.outstanding < 2 ? 1 : 2), "abandon gives %d of %u", nr,
		       model.outstanding);
		for (int k = 0; k < nr; k++) {
			uint32_t i = 0;

			while (i < model.nr_asked && context[k] != &model.asked[i])
				i++;
			oracle(i < model.nr_asked && model.asked[i].open, "a context comes twice");
			model.asked[i].open = false;
			model.outstanding--;
		}
	}
	oracle(!model.outstanding, "a context does not come back");
}

/* What came with a lie is free, nothing else changed. */
void target_close(void)
{
	struct pinion_cache *cache = cache_make(stage.a.pool, BUFFER);
	uint64_t word[BUFFERS];

	words_look(word);
	give_up(cache);
	assert_int_equal(pinion_cache_close(cache), 0);
	for (uint32_t id = 0; id < BUFFERS; id++)
		if (model.stray[id] || pinion_owner_holder(word[id]) & PINION_HOLDER_MAGAZINE)
			oracle(pinion_owner_holder(words()[id]) & PINION_HOLDER_MAGAZINE,
			       "%u is not free", id);
		else
			oracle(words()[id] == word[id], "the word of %u is another", id);
	assert_int_equal(pinion_requester_close(requester), 0);
	assert_int_equal(pinion_channel_close(stage.a.channel), 0);
}
