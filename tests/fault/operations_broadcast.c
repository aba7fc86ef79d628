/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <unistd.h>

#include "scene.h"

/* broadcast.h. Member 0 lends to itself: it has the ring (fd), a seat (ring[0]), and both ends. */

#define SLOTS 16
#define SECOND_NS UINT64_C(1000000000)
#define SHORTLY_NS UINT64_C(1000000)
#define LOOKS 64 /* at an empty ring: the consumer lets the producer off its fences */

/* Each thing, made and undone where it has to be there. */

static void file_make(struct scene *scene)
{
	scene_must(!pinion_broadcast_create(SLOTS, &scene->fd), "a broadcast's ring");
}

static void file_close(struct scene *scene)
{
	(void)close(scene->fd);
}

static void seat_make(struct scene *scene)
{
	scene_must(!pinion_broadcast_create_seat(&scene->ring[0]), "a seat");
}

static void seat_close(struct scene *scene)
{
	(void)close(scene->ring[0]);
}

static int open_it(struct scene *scene)
{
	return pinion_broadcast_open(scene->pool, scene->fd, &scene->broadcast);
}

static void open_must(struct scene *scene)
{
	scene_must(!open_it(scene), "a producer");
}

static void close_must(struct scene *scene)
{
	if (scene->broadcast)
		scene_must(!pinion_broadcast_close(scene->broadcast), "no producer");
	scene->broadcast = NULL;
}

static int admit(struct scene *scene)
{
	return pinion_broadcast_admit(scene->broadcast, scene->ring[0], &scene->consumer);
}

static void admit_must(struct scene *scene)
{
	scene_must(!admit(scene), "a seat that is admitted");
}

static void sever_must(struct scene *scene)
{
	scene_must(!pinion_broadcast_sever(scene->broadcast, scene->consumer), "no consumer");
}

static int join(struct scene *scene)
{
	return pinion_broadcast_join(scene->pool, scene->fd, scene->ring[0], 0, &scene->seat);
}

static void join_must(struct scene *scene)
{
	scene_must(!join(scene), "a consumer");
}

static void leave_must(struct scene *scene)
{
	if (scene->seat)
		scene_must(!pinion_broadcast_leave(scene->seat), "no seat taken");
	scene->seat = NULL;
}

/* So far as each operation needs it. */

static void pool_setup(struct scene *scene)
{
	scene_pool_open(scene);
	scene_cache_open(scene, scene->pool);
	scene_must(!pinion_buffer_alloc(scene->cache, &scene->buffer), "a buffer");
}

static void pool_teardown(struct scene *scene)
{
	scene_must(!pinion_buffer_free(scene->cache, scene->buffer), "the buffer back");
	scene_cache_close(scene);
	scene_pool_close(scene);
}

static void file_setup(struct scene *scene)
{
	pool_setup(scene);
	file_make(scene);
}

static void file_teardown(struct scene *scene)
{
	file_close(scene);
	pool_teardown(scene);
}

static void producer_setup(struct scene *scene)
{
	file_setup(scene);
	open_must(scene);
}

static void producer_teardown(struct scene *scene)
{
	close_must(scene);
	file_teardown(scene);
}

static void seat_setup(struct scene *scene)
{
	producer_setup(scene);
	seat_make(scene);
}

static void seat_teardown(struct scene *scene)
{
	seat_close(scene);
	producer_teardown(scene);
}

static void admitted_setup(struct scene *scene)
{
	seat_setup(scene);
	admit_must(scene);
}

static void joined_setup(struct scene *scene)
{
	admitted_setup(scene);
	join_must(scene);
}

static void joined_teardown(struct scene *scene)
{
	leave_must(scene);
	seat_teardown(scene);
}

/* Do they work? */

static bool lend(struct scene *scene)
{
	const struct pinion_desc desc = {.buffer = scene->buffer, .len = 1};

	return pinion_broadcast_send(scene->broadcast, &desc, 1) == 1;
}

static const char *lending_works(struct scene *scene)
{
	struct pinion_buffer back;
	struct pinion_desc desc;

	if (!lend(scene))
		return "nothing can be lent";
	if (pinion_broadcast_wait(scene->seat, SECOND_NS) ||
	    pinion_broadcast_recv(scene->seat, &desc, 1) != 1)
		return "what was lent does not come";
	if (pinion_broadcast_return(scene->seat, 1) ||
	    pinion_broadcast_collect(scene->broadcast, &back, 1) != 1 ||
	    back.bits != scene->buffer.bits)
		return "what was returned is not back";
	return NULL;
}

static const char *seat_works(struct scene *scene)
{
	const char *problem;

	if (join(scene))
		return "the seat cannot be taken";
	problem = lending_works(scene);
	leave_must(scene);
	return problem;
}

static const char *producer_works(struct scene *scene)
{
	const char *problem;

	seat_make(scene);
	admit_must(scene);
	problem = seat_works(scene);
	sever_must(scene);
	seat_close(scene);
	return problem;
}

static const char *file_works(struct scene *scene)
{
	const char *problem;

	if (open_it(scene))
		return "the ring cannot be opened";
	problem = producer_works(scene);
	close_must(scene);
	return problem;
}

/* Files. */

static int create(struct scene *scene)
{
	return pinion_broadcast_create(SLOTS, &scene->fd);
}

static int create_seat(struct scene *scene)
{
	return pinion_broadcast_create_seat(&scene->ring[0]);
}

static const char *admits(struct scene *scene)
{
	const char *problem;

	if (admit(scene))
		return "the seat cannot be admitted";
	problem = seat_works(scene);
	sever_must(scene);
	return problem;
}

/* A ring that had a producer is used up. */
static void opening_undo(struct scene *scene)
{
	close_must(scene);
	file_close(scene);
	file_make(scene);
}

static int close_it(struct scene *scene)
{
	struct pinion_broadcast *broadcast = scene->broadcast;

	scene->broadcast = NULL;
	return pinion_broadcast_close(broadcast);
}

static void closing_undo(struct scene *scene)
{
	opening_undo(scene);
	open_must(scene);
	seat_close(scene);
	seat_make(scene);
	admit_must(scene);
}

/* Consumers. So is a seat that was admitted. */

static void admitting_undo(struct scene *scene)
{
	sever_must(scene);
	seat_close(scene);
	seat_make(scene);
}

static int sever(struct scene *scene)
{
	return pinion_broadcast_sever(scene->broadcast, scene->consumer);
}

static void joining_undo(struct scene *scene)
{
	leave_must(scene);
	admitting_undo(scene);
	admit_must(scene);
}

static int leave(struct scene *scene)
{
	struct pinion_seat *seat = scene->seat;

	scene->seat = NULL;
	return pinion_broadcast_leave(seat);
}

static void joined_renew(struct scene *scene)
{
	joining_undo(scene);
	join_must(scene);
}

static const char *is_told(struct scene *scene)
{
	struct pinion_desc desc;

	return pinion_broadcast_recv(scene->seat, &desc, 1) == -EPIPE
		       ? NULL : "the consumer is not told";
}

static void severing_undo(struct scene *scene)
{
	leave_must(scene);
	seat_close(scene);
	seat_make(scene);
	admit_must(scene);
	join_must(scene);
}

/* Sleep. */

static int wait_shortly(struct scene *scene)
{
	return operation_unless(pinion_broadcast_wait(scene->seat, SHORTLY_NS), -ETIMEDOUT);
}

static void look(struct scene *scene, int looks)
{
	struct pinion_desc desc;

	while (looks--)
		scene_must(pinion_broadcast_recv(scene->seat, &desc, 1) == -EAGAIN,
			   "an empty ring");
}

static void relax(struct scene *scene)
{
	look(scene, LOOKS);
}

static void relaxed_setup(struct scene *scene)
{
	joined_setup(scene);
	relax(scene);
}

static void almost_setup(struct scene *scene)
{
	joined_setup(scene);
	look(scene, LOOKS - 1);
}

static void almost_undo(struct scene *scene)
{
	joined_renew(scene);
	look(scene, LOOKS - 1);
}

static int recv_nothing(struct scene *scene)
{
	struct pinion_desc desc;

	return operation_unless(pinion_broadcast_recv(scene->seat, &desc, 1), -EAGAIN);
}

/* In a loop. */

static int seat_fd(struct scene *scene)
{
	int fd = pinion_broadcast_fd(scene->seat);

	return fd < 0 ? fd : 0;
}

static int seat_notify_fd(struct scene *scene)
{
	int fd = pinion_broadcast_notify_fd(scene->seat);

	return fd < 0 ? fd : 0;
}

static int set_notify(struct scene *scene)
{
	return pinion_broadcast_set_notify(scene->broadcast, scene->consumer,
					   pinion_broadcast_notify_fd(scene->seat));
}

static void notify(struct scene *scene)
{
	scene_must(!set_notify(scene), "a producer that tells");
}

static bool is_readable(struct scene *scene)
{
	struct pollfd want = {.fd = pinion_broadcast_fd(scene->seat), .events = POLLIN};

	return poll(&want, 1, 0) == 1;
}

/* Received, returned and collected. */
static bool back_again(struct scene *scene)
{
	struct pinion_buffer back;
	struct pinion_desc desc;

	return pinion_broadcast_recv(scene->seat, &desc, 1) == 1 &&
	       !pinion_broadcast_return(scene->seat, 1) &&
	       pinion_broadcast_collect(scene->broadcast, &back, 1) == 1;
}

/* The loop hears of a loan. */
static const char *loop_wakes(struct scene *scene)
{
	if (pinion_broadcast_prepare(scene->seat))
		return "the loop cannot be prepared for";
	if (!lend(scene))
		return "nothing can be lent";
	if (!is_readable(scene))
		return "the loop is not told";
	if (pinion_broadcast_done(scene->seat) || !back_again(scene))
		return "the loop gets nothing";
	return NULL;
}

static const char *fd_works(struct scene *scene)
{
	notify(scene);
	return loop_wakes(scene);
}

static void sleep_in_loop(struct scene *scene)
{
	scene_must(!pinion_broadcast_prepare(scene->seat), "a loop that sleeps");
}

/* Asleep, and something was lent already: the producer knew nobody to tell. */
static void lend_untold(struct scene *scene)
{
	scene_must(!seat_fd(scene), "a descriptor for the loop");
	sleep_in_loop(scene);
	scene_must(lend(scene), "a loan");
}

static void untold_setup(struct scene *scene)
{
	joined_setup(scene);
	lend_untold(scene);
}

/* What was lent to the one before is back, since it left. */
static void collect_all(struct scene *scene)
{
	struct pinion_buffer back;

	while (pinion_broadcast_collect(scene->broadcast, &back, 1) == 1)
		;
}

static void untold_undo(struct scene *scene)
{
	joined_renew(scene);
	collect_all(scene);
	lend_untold(scene);
}

/* A byte that could not be sent is sent when it is asked for, without another loan. */
static const char *loop_is_told(struct scene *scene)
{
	if (!is_readable(scene) &&
	    (pinion_broadcast_told(scene->broadcast) || !is_readable(scene)))
		return "the loop sleeps on, though it is told";
	if (pinion_broadcast_done(scene->seat))
		return "the loop cannot be done with";
	while (back_again(scene))
		;
	return loop_wakes(scene);
}

static void loop_setup(struct scene *scene)
{
	joined_setup(scene);
	notify(scene);
	sleep_in_loop(scene);
}

static void loop_undo(struct scene *scene)
{
	joined_renew(scene);
	notify(scene);
	sleep_in_loop(scene);
}

static int send_to_loop(struct scene *scene)
{
	const struct pinion_desc desc = {.buffer = scene->buffer, .len = 1};

	return operation_unless(pinion_broadcast_send(scene->broadcast, &desc, 1), 1);
}

static void severed_loop_undo(struct scene *scene)
{
	severing_undo(scene);
	notify(scene);
	sleep_in_loop(scene);
}

static int prepare(struct scene *scene)
{
	return pinion_broadcast_prepare(scene->seat);
}

static void relaxed_loop_setup(struct scene *scene)
{
	relaxed_setup(scene);
	notify(scene);
}

static void told_setup(struct scene *scene)
{
	loop_setup(scene);
	scene_must(lend(scene), "a loan");
}

static void told_undo(struct scene *scene)
{
	loop_undo(scene);
	scene_must(lend(scene), "a loan");
}

static int done(struct scene *scene)
{
	return pinion_broadcast_done(scene->seat);
}

/* A byte that could not be taken makes the descriptor readable for nothing, no more. */
static const char *done_works(struct scene *scene)
{
	if (!back_again(scene))
		return "what came is lost";
	return loop_wakes(scene);
}

/* What a keeper asks when the producer is dead. */

static int orphan(struct scene *scene)
{
	return pinion_broadcast_orphan(scene->ring[0]);
}

static void lent_setup(struct scene *scene)
{
	joined_setup(scene);
	scene_must(lend(scene), "a loan");
}

static int lent(struct scene *scene)
{
	struct pinion_buffer buffer = {0};
	int nr = pinion_broadcast_lent(scene->fd, scene->ring[0], &buffer, 1);

	return nr == 1 && buffer.bits != scene->buffer.bits ? nr : operation_unless(nr, 1);
}

const struct operation broadcast_operations[] = {
	{.name = "broadcast create", .setup = pool_setup, .run = create, .use = file_works,
	 .undo = file_close, .teardown = pool_teardown},
	{.name = "broadcast create seat", .setup = producer_setup, .run = create_seat,
	 .use = admits, .undo = seat_close, .teardown = producer_teardown},
	{.name = "broadcast open", .setup = file_setup, .run = open_it, .use = producer_works,
	 .undo = opening_undo, .teardown = file_teardown},
	{.name = "broadcast close", .setup = admitted_setup, .run = close_it,
	 .undo = closing_undo, .teardown = seat_teardown, .final = true},
	{.name = "broadcast admit", .setup = seat_setup, .run = admit, .use = seat_works,
	 .undo = admitting_undo, .teardown = seat_teardown},
	{.name = "broadcast sever", .setup = joined_setup, .run = sever, .use = is_told,
	 .undo = severing_undo, .teardown = joined_teardown, .final = true},
	{.name = "broadcast join", .setup = admitted_setup, .run = join, .use = lending_works,
	 .undo = joining_undo, .teardown = seat_teardown},
	{.name = "broadcast leave", .setup = joined_setup, .run = leave, .undo = joined_renew,
	 .teardown = joined_teardown, .final = true},
	{.name = "broadcast wait", .setup = joined_setup, .run = wait_shortly,
	 .use = lending_works, .teardown = joined_teardown, .terse = true},
	{.name = "broadcast wait, without fences", .setup = relaxed_setup, .run = wait_shortly,
	 .use = lending_works, .undo = relax, .teardown = joined_teardown, .terse = true},
	{.name = "broadcast recv, off the fences", .setup = almost_setup, .run = recv_nothing,
	 .use = lending_works, .undo = almost_undo, .teardown = joined_teardown, .terse = true},
	{.name = "broadcast fd", .setup = joined_setup, .run = seat_fd, .use = fd_works,
	 .undo = joined_renew, .teardown = joined_teardown},
	{.name = "broadcast notify fd", .setup = joined_setup, .run = seat_notify_fd,
	 .use = fd_works, .undo = joined_renew, .teardown = joined_teardown},
	{.name = "broadcast set notify", .setup = untold_setup, .run = set_notify,
	 .use = loop_is_told, .undo = untold_undo, .teardown = joined_teardown},
	{.name = "broadcast send, to a loop", .setup = loop_setup, .run = send_to_loop,
	 .use = loop_is_told, .undo = loop_undo, .teardown = joined_teardown, .terse = true},
	{.name = "broadcast sever, of a loop", .setup = loop_setup, .run = sever,
	 .use = is_told, .undo = severed_loop_undo, .teardown = joined_teardown, .final = true},
	{.name = "broadcast prepare, without fences", .setup = relaxed_loop_setup,
	 .run = prepare, .use = loop_wakes, .undo = relax, .teardown = joined_teardown,
	 .terse = true},
	{.name = "broadcast done", .setup = told_setup, .run = done, .use = done_works,
	 .undo = told_undo, .teardown = joined_teardown, .terse = true},
	{.name = "broadcast orphan", .setup = joined_setup, .run = orphan, .use = is_told,
	 .undo = joined_renew, .teardown = joined_teardown},
	{.name = "broadcast lent", .setup = lent_setup, .run = lent,
	 .teardown = joined_teardown},
	{0},
};
