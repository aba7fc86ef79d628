/* SPDX-License-Identifier: BSD-3-Clause */
#include "headers.h"

#include <pinion/hostmem.h>

#include <string.h>

/*
 * hostmem.h, with real memory.
 */

static union {
	struct pinion_hostmem mem;
	size_t page_size;
	int seals, fd;
} out;

#define LEN ((size_t)2 << 20)
#define PAGES 100u /* more than one move_pages(2) asks for */

/* Not to be read after a failure. */
static uint64_t phys[PAGES];
static int node[PAGES];

static struct pinion_hostmem mem;

static void create_again(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_hostmem_create("fault", LEN, 4096, &mem), "a memory");
}

static void populate_again(struct scene *scene)
{
	create_again(scene);
	scene_must(!pinion_hostmem_populate(&mem, 0, LEN), "its pages");
}

static void teardown(struct scene *scene)
{
	(void)scene;
	if (mem.addr)
		scene_must(!pinion_hostmem_destroy(&mem), "no memory");
}

#define MEM_DEED(text, before, call, good) \
	.name = (text), .setup = (before), .run = (call), .use = (good), .teardown = teardown, \
	.bare = true

#define MEM_CALL(text, before, call, good) \
	MEM_DEED(text, before, call, good), .out = &out, .out_len = sizeof(out)

/* Life. */

static int create(struct scene *scene)
{
	(void)scene;
	return pinion_hostmem_create("fault", LEN, 4096, &out.mem);
}

static int create_huge(struct scene *scene)
{
	(void)scene;
	return pinion_hostmem_create("fault", SCENE_HUGE, SCENE_HUGE, &out.mem);
}

/* As a file, which a failed call takes away again. */
static int create_at(struct scene *scene)
{
	(void)scene;
	return pinion_hostmem_create_at(tree_path("memory"), LEN, 4096, &out.mem);
}

static const char *no_file_is_there(struct scene *scene)
{
	(void)scene;
	return access(tree_path("memory"), F_OK) ? NULL : "the directory";
}

static const char *memory_works(struct scene *scene)
{
	(void)scene;
	memset(out.mem.addr, 0x5a, out.mem.len);
	return NULL;
}

static void create_undo(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_hostmem_destroy(&out.mem), "no memory");
}

static void create_at_undo(struct scene *scene)
{
	create_undo(scene);
	scene_must(!unlink(tree_path("memory")), "a file");
}

static int destroy(struct scene *scene)
{
	(void)scene;
	return pinion_hostmem_destroy(&mem);
}

static const char *nothing_is_there(struct scene *scene)
{
	(void)scene;
	return mem.fd >= 0 || mem.addr ? "it looks alive" : NULL;
}

/* Another descriptor of the same memory, as a peer is sent one; a failed call leaves it open. */
static void attach_again(struct scene *scene)
{
	scene->fd = fcntl(mem.fd, F_DUPFD_CLOEXEC, 3);
	scene_must(scene->fd >= 0, "a descriptor");
}

static void attach_setup(struct scene *scene)
{
	create_again(scene);
	attach_again(scene);
}

static int attach(struct scene *scene)
{
	return pinion_hostmem_attach(scene->fd, LEN, 4096, &out.mem);
}

static void attach_undo(struct scene *scene)
{
	create_undo(scene);
	attach_again(scene);
}

static void attach_teardown(struct scene *scene)
{
	(void)close(scene->fd);
	teardown(scene);
}

/* Pages and seals. */

static int populate(struct scene *scene)
{
	(void)scene;
	return pinion_hostmem_populate(&mem, 0, LEN);
}

static const char *pages_are_there(struct scene *scene)
{
	(void)scene;
	return pinion_hostmem_node(mem.addr, 4096, node, PAGES) ? "a page is missing" : NULL;
}

static int seal(struct scene *scene)
{
	(void)scene;
	return pinion_hostmem_seal(&mem, F_SEAL_SHRINK | F_SEAL_GROW);
}

static const char *is_sealed(struct scene *scene)
{
	int seals = 0;

	(void)scene;
	if (pinion_hostmem_seals(mem.fd, &seals))
		return "its seals cannot be asked for";
	return (seals & F_SEAL_SHRINK) == 0 ? "it can shrink" : NULL;
}

static int seals(struct scene *scene)
{
	(void)scene;
	return pinion_hostmem_seals(mem.fd, &out.seals);
}

static int page_size(struct scene *scene)
{
	(void)scene;
	return pinion_hostmem_page_size(mem.fd, &out.page_size);
}

static const char *page_is_small(struct scene *scene)
{
	(void)scene;
	return out.page_size != 4096 ? "it is another size" : NULL;
}

/* How many there are; none where the directory is missing. */
static size_t sizes_of[8];
static int nr_sizes, reason;

static int sizes(struct scene *scene)
{
	(void)scene;
	nr_sizes = pinion_hostmem_sizes(sizes_of, 8);
	reason = errno;
	return nr_sizes < 0 ? nr_sizes : 0;
}

static const char *sizes_ascend(struct scene *scene)
{
	(void)scene;
	if (nr_sizes == 0 && reason == EIO)
		return "there are none because it could not read";
	for (int i = 1; i < nr_sizes && i < 8; i++)
		if (sizes_of[i] <= sizes_of[i - 1])
			return "they do not ascend";
	return NULL;
}

/* Where it lies. */

static int bind(struct scene *scene)
{
	(void)scene;
	return pinion_hostmem_bind(&mem, 0);
}

static const char *node_is_0(struct scene *scene)
{
	(void)scene;
	if (pinion_hostmem_populate(&mem, 0, 4096) || pinion_hostmem_node(mem.addr, 4096, node, 1))
		return "it has no page";
	return node[0] != 0 ? "its page is elsewhere" : NULL;
}

static int pagemap_open(struct scene *scene)
{
	(void)scene;
	return pinion_hostmem_pagemap_open(&out.fd);
}

static void pagemap_undo(struct scene *scene)
{
	(void)scene;
	(void)close(out.fd);
}

static void phys_setup(struct scene *scene)
{
	populate_again(scene);
	scene_must(!pinion_hostmem_pagemap_open(&scene->fd), "a table of pages");
}

static void phys_teardown(struct scene *scene)
{
	(void)close(scene->fd);
	teardown(scene);
}

static int phys_of(struct scene *scene)
{
	return pinion_hostmem_phys(scene->fd, mem.addr, 4096, phys, 2);
}

static const char *frames_differ(struct scene *scene)
{
	(void)scene;
	return phys[0] == phys[1] || phys[0] % 4096 ? "that are no two pages" : NULL;
}

static int node_of(struct scene *scene)
{
	(void)scene;
	return pinion_hostmem_node(mem.addr, 4096, node, PAGES);
}

static const char *node_is_told(struct scene *scene)
{
	(void)scene;
	return node[PAGES - 1] < 0 || node[PAGES - 1] >= 1024 ? "that is no node" : NULL;
}

const struct operation hostmem_operations[] = {
	{MEM_CALL("hostmem create", NULL, create, memory_works), .undo = create_undo},
	{MEM_CALL("hostmem create, hugepages", NULL, create_huge, memory_works),
	 .undo = create_undo, .huge = 1},
	{HEADER_CALL("hostmem create_at", create_at, memory_works), .undo = create_at_undo,
	 .kept = no_file_is_there},
	{MEM_DEED("hostmem destroy", populate_again, destroy, nothing_is_there),
	 .undo = create_again, .final = true},
	{.name = "hostmem attach", .setup = attach_setup, .run = attach, .use = memory_works,
	 .undo = attach_undo, .teardown = attach_teardown, .bare = true, .out = &out,
	 .out_len = sizeof(out)},
	/* The kernel says EFAULT where there is no page to be had. */
	{MEM_DEED("hostmem populate", create_again, populate, pages_are_there),
	 .may = (const int[]){-ENOMEM, 0}},
	{MEM_DEED("hostmem seal", create_again, seal, is_sealed)},
	{MEM_CALL("hostmem seals", create_again, seals, NULL)},
	{MEM_CALL("hostmem page_size", create_again, page_size, page_is_small)},
	{MEM_DEED("hostmem sizes", NULL, sizes, sizes_ascend)},
	{MEM_DEED("hostmem bind", create_again, bind, node_is_0)},
	{MEM_CALL("hostmem pagemap_open", NULL, pagemap_open, NULL), .undo = pagemap_undo},
	{.name = "hostmem phys", .setup = phys_setup, .run = phys_of, .use = frames_differ,
	 .teardown = phys_teardown, .bare = true, .phys = true},
	{MEM_DEED("hostmem node", populate_again, node_of, node_is_told)},
	{0},
};
