/* SPDX-License-Identifier: BSD-3-Clause */
#include "order.h"

#include <bsd/libutil.h>
#include <bsd/stdlib.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <pinion/domain.h>
#include <pinion/error.h>

#include "fail.h"

/* Words of an order's text; none is longer than the text. */
#define WORDS_MAX 4

struct words {
	uint32_t nr;
	char word[WORDS_MAX][WIRE_TEXT_MAX];
};

static struct words split(const char *text)
{
	struct words words = {0};
	int nr = sscanf(text, "%127s %127s %127s %127s", words.word[0], words.word[1],
			words.word[2], words.word[3]);

	words.nr = nr > 0 ? (uint32_t)nr : 0;
	return words;
}

static struct pool *find_pool(struct peer *peer, const char *name)
{
	struct pool *pool = pools_find(peer->service, name);

	if (!pool)
		peers_refuse(peer, -ENOENT, "there is no pool %s", name);
	return pool;
}

/* A number of at most @most; otherwise the peer is refused. */
static bool number(struct peer *peer, const char *word, long long most, int *out)
{
	const char *wrong;

	*out = (int)strtonum(word, 0, most, &wrong);
	if (wrong)
		peers_refuse(peer, -EINVAL, "%s: not a number from 0 to %lld", word, most);
	return !wrong;
}

/* The node in a word that may be missing. */
static bool node_of(struct peer *peer, const struct words *words, uint32_t index, int *node)
{
	*node = PINION_NODE_ANY;
	return words->nr <= index || number(peer, words->word[index], 1023, node);
}

static json_t *failed(struct peer *peer, int err)
{
	peers_refuse(peer, err, "%s", pinion_error_text());
	return NULL;
}

/* Who it is, its slot alone has told, where all members can write: it may be anybody. */
static bool is_hearsay(const struct member *member)
{
	return member->uid == (uid_t)-1;
}

/* The service may not kill. Who gives the order gets the pidfd, and can if its own rights allow it:
 * that pidfd can be nobody else's. */
static json_t *kick(struct peer *peer, const struct words *words, int *file)
{
	struct pool *pool = find_pool(peer, words->word[0]);
	struct member *member;
	int wanted;

	if (!pool || !number(peer, words->word[1], PINION_MEMBER_MAX, &wanted))
		return NULL;
	LIST_FOREACH(member, &pool->members, of_pool) {
		if (member->state != LIVE || member->number != (uint32_t)wanted)
			continue;
		if (is_hearsay(member)) {
			peers_refuse(peer, -EPERM, "pool %s had member %s before this service, "
				     "which does not know for sure that it is process %d: look at "
				     "that, and end it yourself", pool->name, words->word[1],
				     (int)member->pid);
			return NULL;
		}
		*file = speaker_of(member)->pidfd;
		return json_pack("{si}", "pid", (int)member->pid);
	}
	peers_refuse(peer, -ENOENT, "pool %s has no member %s", pool->name, words->word[1]);
	return NULL;
}

/* Of the segments that there are: the first ones may have been retired. */
static int first_segment(struct pinion_pool *pool, struct pinion_segment_stat *first)
{
	int err = -ENOENT;

	for (uint32_t i = 0; err && i < pinion_pool_slots(pool); i++)
		err = pinion_pool_segment(pool, i, first);
	return err;
}

/* "NAME SIZE [NODE]": like its first segment, but for size and node. */
static json_t *grow(struct peer *peer, const struct words *words, int *file)
{
	struct pool *pool = find_pool(peer, words->word[0]);
	struct pinion_segment_config config;
	struct pinion_segment_stat first;
	uint64_t len;
	uint32_t slot;
	int err, node;

	(void)file;
	if (!pool || !node_of(peer, words, 2, &node))
		return NULL;
	if (expand_number(words->word[1], &len) || first_segment(pool->pool, &first)) {
		peers_refuse(peer, -EINVAL, "%s: no size, or no segment to take the shape of",
			     words->word[1]);
		return NULL;
	}
	config = (struct pinion_segment_config){.len = len, .buffer_size = first.buffer_size,
						.page_size = first.page_size, .node = node};
	making_await_undone(peer->service);
	err = pinion_pool_grow(pool->pool, &config, &slot);
	return err ? failed(peer, err) : json_pack("{si}", "slot", (int)slot);
}

static json_t *retire(struct peer *peer, const struct words *words, int *file)
{
	struct pool *pool = find_pool(peer, words->word[0]);
	int err, slot;

	(void)file;
	if (!pool || !number(peer, words->word[1], PINION_SEGMENT_MAX - 1, &slot))
		return NULL;
	err = pinion_pool_retire(pool->pool, (uint32_t)slot);
	if (err)
		return failed(peer, err);
	audit_forget(pool, (uint32_t)slot);
	return json_object();
}

/* "NAME SIZE BUFFER [NODE]" */
static json_t *create(struct peer *peer, const struct words *words, int *file)
{
	struct config_pool config = {.pool = {.nr_segments = 1}};
	struct pinion_segment_config *segment = &config.pool.segment[0];
	const struct config_pool *configured;
	uint64_t len, size;
	int node;

	(void)file;
	if (!wire_name_valid(words->word[0]) || expand_number(words->word[1], &len) ||
	    expand_number(words->word[2], &size)) {
		peers_refuse(peer, -EINVAL, "not \"NAME SIZE BUFFER-SIZE [NODE]\"");
		return NULL;
	}
	if (pools_find(peer->service, words->word[0])) {
		peers_refuse(peer, -EEXIST, "there is a pool %s", words->word[0]);
		return NULL;
	}
	configured = config_find_pool(peer->service->config, words->word[0]);
	/* It was passed over, or ended: in memory it would be in the way of the next service. */
	if (configured && configured->path) {
		peers_refuse(peer, -EEXIST, "%s is configured, with a path: the service's log says "
			     "why it is not there", words->word[0]);
		return NULL;
	}
	if (!node_of(peer, words, 3, &node))
		return NULL;
	(void)snprintf(config.name, sizeof(config.name), "%.*s", (int)sizeof(config.name) - 1,
		       words->word[0]);
	*segment = (struct pinion_segment_config){
		.len = len, .buffer_size = size, .page_size = 2 << 20, .node = node};
	return making_pool(peer, &config, false) ? json_object() : NULL;
}

static json_t *destroy(struct peer *peer, const struct words *words, int *file)
{
	struct pool *pool = find_pool(peer, words->word[0]);

	(void)file;
	if (!pool)
		return NULL;
	if (!LIST_EMPTY(&pool->members)) {
		peers_refuse(peer, -EBUSY, "pool %s has members: see `pinion ls`", pool->name);
		return NULL;
	}
	pools_end(pool);
	making_await_undone(peer->service); /* who gave the order may want the pages */
	return json_object();
}

static json_t *address(const struct member *member, const struct pinion_domain *domain,
		       uint64_t bus)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "0x%" PRIx64, bus);
	return json_pack("{ss ss ss}", "domain", member->device->name, "kind",
			 pinion_domain_head(domain)->kind == PINION_DOMAIN_PHYS ? "phys" : "iova",
			 "address", text);
}

/* Where one device finds a buffer, into @list, if it does: a segment may be newer than what it has
 * said. pre: it has shared its addresses. */
static int add_address(json_t *list, const struct member *member, struct pinion_buffer buffer)
{
	int copy = fcntl(member->device->table, F_DUPFD_CLOEXEC, 3), err;
	struct pinion_domain *domain;
	uint64_t bus;

	if (copy < 0)
		return pinion_fail(-errno, "no descriptor for a device's addresses: %s",
				   strerror(errno));
	err = pinion_domain_attach(member->pool->pool, copy, &domain);
	if (err) {
		(void)close(copy);
		return err;
	}
	bus = pinion_buffer_bus(domain, buffer, 0);
	if (!(bus & PINION_BUS_UNKNOWN))
		(void)json_array_append_new(list, address(member, domain, bus));
	(void)pinion_domain_detach(domain);
	return 0;
}

/* "POOL BUFFER": its number, without a generation. */
static json_t *addr(struct peer *peer, const struct words *words, int *file)
{
	struct pool *pool = find_pool(peer, words->word[0]);
	struct member *member;
	json_t *list;
	int id, err = 0;

	(void)file;
	if (!pool || !number(peer, words->word[1], INT_MAX, &id))
		return NULL;
	if (!peer->rule->addresses || !config_rule_allows_pool(peer->rule, pool->name)) {
		peers_refuse(peer, -EACCES, "the rules do not show addresses to this user");
		return NULL;
	}
	if (!pinion_view_has(pinion_pool_view(pool->pool), (uint32_t)id)) {
		peers_refuse(peer, -ENOENT, "pool %s has no buffer %d", pool->name, id);
		return NULL;
	}
	list = json_array();
	LIST_FOREACH(member, &pool->members, of_pool)
		if (!err && member->device && member->device->table >= 0)
			err = add_address(list, member, (struct pinion_buffer){(uint64_t)id});
	if (!err)
		return json_pack("{so}", "addresses", list);
	json_decref(list);
	return failed(peer, err);
}

static const struct {
	const char *name;
	uint32_t words; /* at least */
	json_t *(*give)(struct peer *peer, const struct words *words, int *file);
} orders[] = {
	{"addr", 2, addr},
	{"kick", 2, kick},
	{"pool-create", 3, create},
	{"pool-destroy", 1, destroy},
	{"pool-grow", 2, grow},
	{"pool-retire", 2, retire},
};

json_t *order_give(struct peer *peer, const char *order, const char *text, int *file)
{
	const struct words words = split(text);

	if (!peer->rule->admin && strcmp(order, "addr")) {
		peers_refuse(peer, -EACCES, "the rules do not let this user give orders");
		return NULL;
	}
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		if (strcmp(orders[i].name, order) || words.nr < orders[i].words)
			continue;
		if (!peer->making) /* else it was told when it was begun */
			service_log(LOG_NOTICE, "pid %d, uid %u: %s %s", (int)peer->identity.pid,
				    (unsigned)peer->identity.uid, order, text);
		return orders[i].give(peer, &words, file);
	}
	peers_refuse(peer, -EINVAL, "no such order, or too few words: %s %s", order, text);
	return NULL;
}
