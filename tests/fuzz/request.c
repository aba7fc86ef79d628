/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A requester whose peer is written by the fuzzer: answers that nobody asked for, asked for twice
 * or long ago, requests beyond the limit, descriptors of any kind. Each context comes back once: by
 * the one answer that has its tag, or when all is given up.
 */

#include <pinion/request.h>

#include "channel.h"
#include "rings.h"
#include "stage.h"
#include "target.h"

#define DEPTH 2u      /* a may ask so much */
#define PEER_DEPTH 1u /* and b so much */
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
	uint32_t tag[PEER_DEPTH];         /* of b's request */
	uint64_t received, sent[BUFFERS]; /* the last is the handle under which a buffer went */
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
	assert_int_equal(pinion_channel_open(stage.a.pool, rings.fd_ab, rings.fd_ba,
					     pinion_pool_member(stage.b.pool), &stage.a.channel),
			 0);
	assert_int_equal(pinion_requester_open(stage.a.channel, DEPTH, PEER_DEPTH, &requester), 0);
}

/* --- b */

/* Publishes well: an answer to something that a asked, now or before, or anything. */
static void publish(struct script *script)
{
	struct pinion_desc desc = some_desc(script);
	const uint8_t how = script_byte(script);

	if (how < 192 && model.nr_asked)
		desc.tag = model.asked[how % model.nr_asked].tag | PINION_TAG_ANSWER;
	if (how < 128)
		desc.len = 1;
	slot_put(rings.ba.shared->slot, model.received + script_below(script, SLOTS), &desc);
}

/* Takes all that a sent, as it should. */
static void take_sent(void)
{
	for (uint32_t i = 0; i < SLOTS; i++) {
		const uint64_t head = rings.ab.shared->slot[i].head;
		struct pinion_buffer buffer = {head & ~PINION_SLOT_HEAD_LAP};
		const uint32_t id = pinion_buffer_id(buffer);

		if (id < BUFFERS && words()[id] == held(buffer, &stage.a))
			words()[id] = held(pinion_buffer_next(buffer), &stage.b);
	}
	rings.ab.shared->credit = channel_tx(stage.a.channel)->at;
}

/* --- a */

/* One that a has and has not sent; false: none. */
static bool find_ours(struct pinion_buffer *buffer)
{
	for (uint32_t id = 0; id < BUFFERS; id++) {
		*buffer = pinion_owner_buffer(words()[id], id);
		if (words()[id] == held(*buffer, &stage.a) && model.sent[id] != buffer->bits)
			return true;
	}
	return false;
}

static void note_sent(struct pinion_buffer buffer)
{
	model.sent[pinion_buffer_id(buffer)] = buffer.bits;
}

static void ask(void)
{
	struct pinion_desc desc = {.len = 1};
	void *context;
	int sent;

	if (!find_ours(&desc.buffer) || model.nr_asked == ASKED_MAX)
		return;
	context = &model.asked[model.nr_asked];
	sent = pinion_request_send(requester, &desc, &context, 1);
	oracle(sent == 1 || sent == -EAGAIN || sent == -EPIPE || sent == -EPROTO, "ask: %d", sent);
	oracle(sent != 1 || model.outstanding < DEPTH, "more are outstanding than may be");
	model.broken |= sent == -EPROTO;
	if (sent != 1)
		return;
	model.asked[model.nr_asked].tag =
		(uint32_t)(rings.ab.shared->slot[(channel_tx(stage.a.channel)->at - 1) % SLOTS]
				   .body >>
			   32);
	model.asked[model.nr_asked++].open = true;
	note_sent(desc.buffer);
	model.outstanding++;
}

/* The one request that this can be the answer to. */
static bool answers(const struct pinion_desc *desc, const void *context)
{
	for (uint32_t i = 0; i < model.nr_asked; i++)
		if (context == &model.asked[i]) {
			bool fits = model.asked[i].open &&
				    desc->tag == (model.asked[i].tag | PINION_TAG_ANSWER);

			model.asked[i].open = false;
			model.outstanding--;
			return fits;
		}
	return false;
}

static void check_received(const struct pinion_desc *desc, const void *context,
			   const uint64_t *before)
{
	const uint32_t id = pinion_buffer_id(desc->buffer);
	struct pinion_desc was = *desc;

	was.buffer.bits -= UINT64_C(1) << PINION_ID_BITS;
	oracle(good(&was, before, &stage.b), "what came was not the peer's: %u", id);
	oracle(words()[id] == held(desc->buffer, &stage.a), "what came is not ours: %u", id);
	if (pinion_desc_is_answer(desc)) {
		oracle(answers(desc, context), "an answer came to another request");
	} else {
		oracle(!context && model.unanswered < PEER_DEPTH, "the peer asks too much");
		model.tag[model.unanswered++] = desc->tag;
	}
}

static void hear(struct script *script)
{
	const uint32_t nr = 1 + script_below(script, DESCS);
	struct pinion_desc *desc = descs_new(nr);
	void *context[DESCS];
	uint64_t before[BUFFERS];
	int got;

	for (uint32_t id = 0; id < BUFFERS; id++)
		before[id] = words()[id];
	got = pinion_request_recv(requester, desc, context, nr);
	oracle(got && got <= (int)nr, "recv of %u: %d", nr, got);
	oracle(got > 0 || got == -EAGAIN || got == -EPIPE || got == -EPROTO, "recv: %d", got);
	oracle(!model.broken || got == -EPROTO, "a broken channel receives: %d", got);
	for (int i = 0; i < got; i++)
		check_received(&desc[i], context[i], before);
	model.received = channel_rx(stage.a.channel)->at;
	model.broken |= got == -EPROTO;
	free(desc);
}

static void give_answer(struct script *script)
{
	struct pinion_desc desc = {.len = 1, .tag = script_byte(script)};
	int sent;

	if (!find_ours(&desc.buffer))
		return;
	if (model.unanswered)
		desc.tag = model.tag[0];
	sent = pinion_request_answer(requester, &desc, 1);
	oracle(sent == 1 || sent == -EINVAL || sent == -EPIPE || sent == -EPROTO, "answer: %d",
	       sent);
	oracle(sent != 1 || model.unanswered, "answered what nobody asked");
	oracle(sent != -EINVAL || !model.unanswered, "what was asked cannot be answered");
	model.unanswered -= sent == 1;
	model.broken |= sent == -EPROTO;
	if (sent == 1)
		note_sent(desc.buffer);
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

/* Contexts that no answer brought come now, each once. */
void target_close(void)
{
	struct pinion_cache *cache = cache_make(stage.a.pool, BUFFER);
	void *context[DEPTH + 1];
	int nr = pinion_requester_abandon(requester, cache, context, DEPTH + 1);

	oracle(nr == (int)model.outstanding, "abandon gives %d, not %u", nr, model.outstanding);
	for (int i = 0; i < nr; i++) {
		const struct pinion_desc none = {0};

		(void)answers(&none, context[i]);
	}
	oracle(!model.outstanding, "a context does not come back, or another one twice");
	assert_int_equal(pinion_cache_close(cache), 0);
	assert_int_equal(pinion_requester_close(requester), 0);
	assert_int_equal(pinion_channel_close(stage.a.channel), 0);
}
