/* SPDX-License-Identifier: BSD-3-Clause */
#include "company.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pinion/cache.h>
#include <pinion/error.h>

#include "channel.h"
#include "operations.h"
#include "pool_support.h"
#include "step.h"
#include "tap.h"

static const struct pinion_pool_config config = {
	.name = "company",
	.flags = PINION_POOL_SCRUB, /* so that fillers are written, and forgotten */
	.nr_members = PLAYERS + 1,
	.nr_caches = PLAYERS + 2, /* one each, and the keeper's while it checks */
	.magazine_size = MAGAZINE,
	.max_segments = 1,
	.nr_segments = 1,
	.segment = {{COMPANY_BUFFERS * SMALL, SMALL, 4096, PINION_NODE_ANY}},
};

void company_must(bool holds, const char *what)
{
	if (!holds)
		tap_bail("the scene is not as it should be: %s (%s)", what, pinion_error_text());
}

void company_open(struct company *company)
{
	uint32_t member;

	/* calloc() as in scene.c. */
	(void)mallopt(M_MMAP_THRESHOLD, 4096);
	*company = (struct company){0};
	company_must(!pinion_pool_create(&config, &company->pool), "no pool");
	pool_age(company->pool);
	for (uint32_t i = 0; i < PLAYERS; i++)
		company_must(!pinion_pool_admit(company->pool, getpid(), &member) &&
				     member == i + 1,
			     "a member was not admitted");
	snapshot_take(&company->base, company->pool);
}

/* Whatever the ends say now is put right by the reset. The fan-in first: it knows its channels. */
static void player_leave(struct player *player)
{
	if (!player->pool)
		return;
	if (player->fanin)
		(void)pinion_fanin_destroy(player->fanin);
	if (player->broadcast)
		(void)pinion_broadcast_close(player->broadcast);
	if (player->seat)
		(void)pinion_broadcast_leave(player->seat);
	for (int i = 0; i < PLAYERS; i++)
		if (player->channel[i])
			channel_abandon(player->channel[i]);
	(void)pinion_cache_close(player->cache);
	(void)pinion_pool_detach(player->pool);
}

static void player_enter(struct player *player, const struct company *company, uint32_t member)
{
	const struct pinion_cache_config wish = {.buffer_size = SMALL, .node = PINION_NODE_ANY};
	struct pinion_pool_fds fds;

	*player = (struct player){.member = member};
	player->peer = company_other((int)(player - company->player));
	pinion_pool_export(company->pool, &fds);
	fds.control = fcntl(fds.control, F_DUPFD_CLOEXEC, 3);
	fds.segment[0] = fcntl(fds.segment[0], F_DUPFD_CLOEXEC, 3);
	company_must(!pinion_pool_attach(&fds, member, &player->pool), "a member cannot attach");
	company_must(!pinion_cache_open(player->pool, &wish, &player->cache), "no cache");
}

static void forget_files(struct company *company)
{
	for (int i = 0; i < COMPANY_FILES; i++) {
		if (!company->file[i].addr)
			continue;
		(void)munmap(company->file[i].addr, COMPANY_BYTES);
		(void)close(company->file[i].fd);
		company->file[i].addr = NULL;
	}
}

static void leave_all(struct company *company)
{
	for (int i = 0; i < PLAYERS; i++)
		player_leave(&company->player[i]);
	forget_files(company);
}

void company_reset(struct company *company)
{
	leave_all(company);
	snapshot_load(&company->base, company->pool);
	for (uint32_t i = 0; i < PLAYERS; i++)
		player_enter(&company->player[i], company, i + 1);
}

void company_close(struct company *company)
{
	leave_all(company);
	(void)pinion_pool_destroy(company->pool);
	free(company->base.bytes);
}

void company_file(struct company *company, int i, int fd)
{
	company->file[i].fd = fd;
	company->file[i].addr =
		mmap(NULL, COMPANY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	company_must(company->file[i].addr != MAP_FAILED, "a file cannot be mapped");
}

void frame_take(struct frame *frame, const struct company *company)
{
	snapshot_take(&frame->control, company->pool);
	for (int i = 0; i < COMPANY_FILES; i++)
		if (company->file[i].addr)
			memcpy(frame->file[i], company->file[i].addr, COMPANY_BYTES);
}

void frame_load(const struct frame *frame, struct company *company)
{
	snapshot_load(&frame->control, company->pool);
	for (int i = 0; i < COMPANY_FILES; i++)
		if (company->file[i].addr)
			memcpy(company->file[i].addr, frame->file[i], COMPANY_BYTES);
}

bool frame_same(const struct frame *frame, const struct company *company)
{
	for (int i = 0; i < COMPANY_FILES; i++)
		if (company->file[i].addr &&
		    memcmp(company->file[i].addr, frame->file[i], COMPANY_BYTES))
			return false;
	return snapshot_same(&frame->control, company->pool);
}

void frame_close(struct frame *frame)
{
	free(frame->control.bytes);
	frame->control = (struct snapshot){0};
}

uint64_t company_word(const struct company *company, uint32_t id)
{
	return company->pool->view.owner[id];
}

void player_draw(struct player *player, uint32_t nr)
{
	player->nr = nr;
	for (uint32_t i = 0; i < nr; i++) {
		player->desc[i] = (struct pinion_desc){.len = SMALL, .tag = i};
		company_must(!pinion_buffer_alloc(player->cache, &player->desc[i].buffer),
			     "no buffer");
	}
}

pid_t player_sleep(struct player *player, int (*sleep)(struct player *player))
{
	const pid_t pid = _Fork();
	int status;

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(sleep(player) != 0);
	}
	company_must(pid > 0, "no process to sleep");
	while (!step_sleeps(pid))
		company_must(waitpid(pid, &status, WNOHANG) == 0, "it did not go to sleep");
	return pid;
}

void player_doze(struct player *player, int (*sleep)(struct player *player))
{
	const pid_t pid = player_sleep(player, sleep);
	int status;

	(void)kill(pid, SIGKILL);
	company_must(waitpid(pid, &status, 0) == pid, "it did not die");
}
