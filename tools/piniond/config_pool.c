/* SPDX-License-Identifier: BSD-3-Clause */
#include "config_parts.h"

#include <stdlib.h>
#include <string.h>

#include <pinion/buffer.h>

#include "config_value.h"
#include "wire.h"

#define NODE_MAX 1023 /* the kernel's MAX_NUMNODES is 1 << 10 at most */
#define BYTES_MAX (UINT64_C(1) << 58) /* as many buffers of the largest size as there are ids */
#define PAGE_MAX (UINT64_C(1) << 40)
#define PAGE_DEFAULT ((size_t)2 << 20)

static const char *const pool_keys[] = {"name", "template", "path", "members", "caches",
					"magazine", "scrub", "debug", "max_segments", "segments",
					NULL};
static const char *const segment_keys[] = {"node", "size", "buffer", "page", NULL};

/* A node's number, or "any". */
static void read_node(struct config_mistakes *mistakes, const struct config_setting_t *group,
		      int *node)
{
	const struct config_setting_t *setting = value_find(group, "node");
	uint32_t number;

	*node = PINION_NODE_ANY;
	if (setting == NULL || !strcmp(value_show(setting), "\"any\""))
		return;
	if (value_number(mistakes, group, "node", 0, NODE_MAX, &number))
		*node = (int)number;
}

/* How the sizes of a segment go together. pre: each is right by itself. */
static void check_sizes(struct config_mistakes *mistakes, const struct config_setting_t *group,
			const struct pinion_segment_config *segment)
{
	const struct config_setting_t *size = value_find(group, "size");

	if (segment->len % segment->page_size)
		mistake_in(mistakes, size, "%s is not a multiple of the page size, %zu bytes",
			   value_show(size), segment->page_size);
	else if (segment->len % segment->buffer_size)
		mistake_in(mistakes, size, "%s is not a multiple of the buffer size, %zu bytes",
			   value_show(size), segment->buffer_size);
	else if (segment->len / segment->buffer_size > PINION_ID_MAX + UINT64_C(1))
		mistake_in(mistakes, size, "%s is more than 2^%d buffers: make several pools",
			   value_show(size), PINION_ID_BITS);
}

static void read_segment(struct config_mistakes *mistakes, const struct config_setting_t *group,
			 struct pinion_segment_config *segment)
{
	uint64_t len = 0, buffer = 0, page = PAGE_DEFAULT;
	const unsigned before = mistakes->nr;

	mistake_unknown(mistakes, group, segment_keys);
	read_node(mistakes, group, &segment->node);
	(void)value_size(mistakes, group, "size", 1, BYTES_MAX, &len);
	(void)value_power(mistakes, group, "buffer", 64, UINT64_C(1) << 30, &buffer);
	(void)value_power(mistakes, group, "page", 4096, PAGE_MAX, &page);
	if (value_find(group, "size") == NULL)
		mistake_missing(mistakes, group, "size", "how many bytes of memory");
	if (value_find(group, "buffer") == NULL)
		mistake_missing(mistakes, group, "buffer", "how large each buffer is");
	segment->len = len;
	segment->buffer_size = buffer;
	segment->page_size = page;
	if (mistakes->nr == before)
		check_sizes(mistakes, group, segment);
}

static void read_segments(struct config_mistakes *mistakes, const struct config_setting_t *group,
			  struct pinion_pool_config *pool)
{
	const struct config_setting_t *list = value_find(group, "segments");
	const unsigned before = mistakes->nr;

	pool->nr_segments = value_groups(mistakes, group, "segments", PINION_SEGMENT_MAX);
	for (unsigned i = 0; i < pool->nr_segments; i++)
		read_segment(mistakes, value_element(list, i), &pool->segment[i]);
	if (pool->nr_segments == 0 && mistakes->nr == before)
		mistake_missing(mistakes, group, "segments", "a pool has at least one");
}

static void read_flags(struct config_mistakes *mistakes, const struct config_setting_t *group,
		       struct config_pool *pool)
{
	bool scrub = false, debug = false;

	(void)value_flag(mistakes, group, "template", &pool->template);
	(void)value_flag(mistakes, group, "scrub", &scrub);
	(void)value_flag(mistakes, group, "debug", &debug);
	pool->pool.flags = (scrub ? PINION_POOL_SCRUB : 0) | (debug ? PINION_POOL_DEBUG : 0);
	if (value_path(mistakes, group, "path", &pool->path) && pool->template)
		mistake_in(mistakes, value_find(group, "path"),
			   "pools of a template cannot all lie in one directory: leave it out");
}

static void read_numbers(struct config_mistakes *mistakes, const struct config_setting_t *group,
			 struct pinion_pool_config *pool)
{
	(void)value_number(mistakes, group, "members", 1, PINION_MEMBER_MAX, &pool->nr_members);
	(void)value_number(mistakes, group, "caches", 1, PINION_CACHE_MAX, &pool->nr_caches);
	(void)value_number(mistakes, group, "magazine", PINION_MAGAZINE_MIN, PINION_MAGAZINE_MAX,
			   &pool->magazine_size);
	if (value_number(mistakes, group, "max_segments", 1, PINION_SEGMENT_MAX,
			 &pool->max_segments) &&
	    pool->max_segments < pool->nr_segments)
		mistake_in(mistakes, value_find(group, "max_segments"),
			   "%u is less than the %u segments that there are", pool->max_segments,
			   pool->nr_segments);
}

static void check_name(struct config_mistakes *mistakes, const struct config_setting_t *setting,
		       const char *name, const struct config *config)
{
	if (strlen(name) >= PINION_NAME_MAX)
		mistake_in(mistakes, setting, "\"%s\" has more than %d letters", name,
			   PINION_NAME_MAX - 1);
	else if (name[strspn(name, WIRE_NAME_LETTERS)] != '\0')
		mistake_in(mistakes, setting, "\"%s\" may have letters, digits and \":._-\" only",
			   name);
	else if (config_find_pool(config, name) != NULL)
		mistake_in(mistakes, setting, "another pool is named \"%s\"", name);
}

/* pre: the pools before it are counted in @config, and it is not. */
static void read_name(struct config_mistakes *mistakes, const struct config_setting_t *group,
		      const struct config *config, struct config_pool *pool)
{
	const char *name;

	if (value_find(group, "name") == NULL)
		mistake_missing(mistakes, group, "name", "clients ask for a pool by it");
	if (!value_text(mistakes, group, "name", &name))
		return;
	check_name(mistakes, value_find(group, "name"), name, config);
	strncpy(pool->name, name, sizeof(pool->name) - 1);
}

static void read_pool(struct config_mistakes *mistakes, const struct config_setting_t *group,
		      struct config *config)
{
	struct config_pool *pool = &config->pool[config->nr_pools];

	mistake_unknown(mistakes, group, pool_keys);
	read_name(mistakes, group, config, pool);
	config->nr_pools++;
	read_flags(mistakes, group, pool);
	read_segments(mistakes, group, &pool->pool);
	read_numbers(mistakes, group, &pool->pool);
}

void config_read_pools(struct config_mistakes *mistakes, const struct config_setting_t *root,
		       struct config *config)
{
	const unsigned nr = value_groups(mistakes, root, "pools", CONFIG_POOLS_MAX);

	for (unsigned i = 0; i < nr; i++)
		read_pool(mistakes, value_element(value_find(root, "pools"), i), config);
}

void config_pool_clear(struct config_pool *pool)
{
	free(pool->path);
}

const struct config_pool *config_find_pool(const struct config *config, const char *name)
{
	for (uint32_t i = 0; i < config->nr_pools; i++)
		if (!strcmp(config->pool[i].name, name))
			return &config->pool[i];
	return NULL;
}
