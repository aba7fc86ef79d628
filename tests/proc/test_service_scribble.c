/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client writes over all that it can write, its pool's control area and the rings of its channel
 * as a whole, and piniond is killed and comes back to that: it comes back once, and knows its pools
 * as they were; who is in another pool works on; and when nobody is left in the one that was
 * written over, all of it can be had again. What piniond holds does not grow by any of it.
 *
 * The client is nobody's, in a pool of several, or in one of its own that a device process shares:
 * that one serves another client meanwhile. Byte by byte, and without the service: ../trap,
 * ../unit/test_scribble.c; pages that are punched out: test_service_facts.c.
 */

#include "pace_support.h"
#include "random_support.h"
#include "restart_support.h"

#define PREY "prey"
#define SEGMENT "segments = ( { size = \"1M\"; buffer = \"4K\"; page = \"4k\"; } );"
#define PREY_BUFFERS 256u
#define MOVES 3u /* of each neighbour, after each thing that was done to it */
#define LEFT_KIB 1024

/* What is written where @was stands. */
struct ink {
	const char *name;
	uint64_t (*word)(uint64_t was, uint64_t *random);
};

static uint64_t zero(uint64_t was, uint64_t *random)
{
	(void)was;
	(void)random;
	return 0;
}

static uint64_t ones(uint64_t was, uint64_t *random)
{
	(void)was;
	(void)random;
	return UINT64_MAX;
}

static uint64_t anything(uint64_t was, uint64_t *random)
{
	(void)was;
	return test_random(random);
}

/* Numbers that could be of members, slots or magazines, and lengths. */
static uint64_t small(uint64_t was, uint64_t *random)
{
	(void)was;
	return (uint64_t)test_below(random, 300) << 32 | test_below(random, 300);
}

/* Each buffer somebody's, and each magazine. */
static uint64_t holders(uint64_t was, uint64_t *random)
{
	const uint32_t number = test_below(random, 26);
	const uint32_t holder = test_below(random, 2) ? pinion_owner_held(number)
						      : pinion_owner_magazine(number);

	return (was & ~PINION_HOLDER_MASK) | holder;
}

static uint64_t one_bit_in_some(uint64_t was, uint64_t *random)
{
	return test_below(random, 16) ? was : was ^ UINT64_C(1) << test_below(random, 64);
}

static const struct ink inks[] = {
	{"zero", zero}, {"ones", ones}, {"anything", anything}, {"small", small},
	{"holders", holders}, {"one bit in some", one_bit_in_some},
};

#define INKS (sizeof(inks) / sizeof(inks[0]))

/* Of all processes of a test. */
static struct board {
	_Atomic bool over;
	_Atomic unsigned moves[2]; /* of the neighbours */
	uint64_t random;
	const struct ink *ink;
} *board;

/* Who writes. */

/* All shared memory that it may write, but for the board and where the test counts. */
static bool is_to_be_written_over(const char *line)
{
	return strstr(line, " rw-s ") && !strstr(line, "/dev/zero");
}

static size_t write_over_one(const char *line)
{
	void *from, *to;

	if (!is_to_be_written_over(line) || sscanf(line, "%p-%p", &from, &to) != 2)
		return 0;
	for (uint64_t *word = from; word < (uint64_t *)to; word++)
		*word = board->ink->word(*word, &board->random);
	return (size_t)((uint64_t *)to - (uint64_t *)from);
}

/* How many words. */
static size_t write_over_all(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	size_t nr = 0;

	while (maps && fgets(line, sizeof(line), maps))
		nr += write_over_one(line);
	if (maps)
		(void)fclose(maps);
	return nr;
}

/* In which pool; how long. */
struct attack {
	const char *target; /* what its client asks for */
	bool unseen;        /* the service stands still from before until it is killed */
	bool dies;          /* before the service is back */
	bool goes_on;       /* writing, until it is killed */
};

static const struct attack *now;

static int write_over(void *said)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct pinion_client *client;
	struct pinion_cache *cache;
	struct pinion_buffer kept[KEPT];

	if (become_nobody() || pinion_client_open(now->target, NULL, &client) ||
	    pinion_cache_open(pinion_client_pool(client), &any, &cache) ||
	    keep_some(client, cache, kept))
		return 1;
	if (pinion_client_channel(client) && bounce(client, cache, 20, 0))
		return 2;
	(void)raise(SIGSTOP);
	if (write_over_all() < pinion_client_pool(client)->control.len / sizeof(uint64_t))
		return 3;
	(void)write(*(const int *)said, "x", 1);
	while (now->goes_on) {
		(void)write_over_all();
		usleep(1000);
	}
	for (;;)
		pause();
}

/* Who works beside it. */

static int work_alone(struct pinion_cache *cache)
{
	struct pinion_buffer buffer[20];

	for (int i = 0; i < 20; i++)
		if (pinion_buffer_alloc(cache, &buffer[i]))
			return 11;
	for (int i = 0; i < 20; i++)
		if (pinion_buffer_free(cache, buffer[i]))
			return 12;
	return 0;
}

/* Of nothing but the service does it ever hear. */
static int hear_all(struct pinion_client *client)
{
	struct pinion_client_event event;
	int got;

	while ((got = pinion_client_next(client, &event)) == 1)
		if (event.kind != PINION_CLIENT_SERVICE_LOST &&
		    event.kind != PINION_CLIENT_SERVICE_BACK)
			return 13;
	return got ? 14 : 0;
}

static int move(struct pinion_client *client, struct pinion_cache *cache,
		const struct pinion_buffer kept[KEPT])
{
	int err = pinion_client_channel(client) ? bounce(client, cache, 20, 0) : work_alone(cache);

	if (!err)
		err = see_kept(client, kept);
	return err ? err : hear_all(client);
}

static const char *const neighbours[2] = {"pool:calm", SERVICE_DEVICE};

static int live_next_door(void *arg)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	const int which = *(const int *)arg;
	struct pinion_buffer kept[KEPT];
	struct pinion_client *client;
	struct pinion_cache *cache;
	int err;

	if (become_nobody() || pinion_client_open(neighbours[which], NULL, &client) ||
	    pinion_cache_open(pinion_client_pool(client), &any, &cache))
		return 1;
	err = keep_some(client, cache, kept);
	while (!err && !board->over) {
		err = move(client, cache, kept);
		board->moves[which]++;
		usleep(1000);
	}
	if (!err && pinion_cache_close(cache))
		err = 4;
	return err ? err : pinion_client_close(client);
}

/* The scene. */

struct scene {
	struct service_process service;
	pid_t device, neighbour[2];
};

static void configure(struct service_process *service)
{
	service_configure(service, "");
	service_write(service,
		      "pools = ( { name = \"" SERVICE_POOL "\"; members = 24; " SEGMENT " },\n"
		      "  { name = \"calm\"; members = 24; " SEGMENT " },\n"
		      "  { name = \"" PREY "\"; members = 24; caches = 48; max_segments = 4;\n"
		      "    " SEGMENT " },\n"
		      "  { name = \"guest\"; template = true; members = 3; " SEGMENT " } );\n"
		      "rules = ( { user = \"root\"; pools = [ \"*\" ]; devices = [ \"*\" ];\n"
		      "    serve = true; admin = true; },\n"
		      "  { user = \"*\"; pools = [ \"calm\", \"" PREY "\", \"guest\" ];\n"
		      "    devices = [ \"echo:*\" ]; } );\n");
}

static void await_moves(void)
{
	const uint64_t until = test_now_ns() + PATIENCE_NS;

	for (int i = 0; i < 2; i++) {
		const unsigned from = board->moves[i];

		while (board->moves[i] - from < MOVES) {
			assert_true(test_now_ns() < until);
			usleep(1000);
		}
	}
}

static void open_scene(struct scene *scene)
{
	static const int which[2] = {0, 1};

	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	assert_ptr_not_equal(board, MAP_FAILED);
	board->random = test_seed();
	configure(&scene->service);
	service_run_managed(&scene->service, "2048");
	scene->device = echo_start();
	for (int i = 0; i < 2; i++)
		scene->neighbour[i] = part_start(live_next_door, (void *)(uintptr_t)&which[i]);
	await_moves();
}

static void close_scene(struct scene *scene)
{
	board->over = true;
	for (int i = 0; i < 2; i++)
		assert_int_equal(member_end(scene->neighbour[i]), 0);
	assert_int_equal(process_end(scene->device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	service_stop(&scene->service);
	assert_int_equal(munmap(board, sizeof(*board)), 0);
}

/* What no member can say of it. */
static char *shape_of(const char *name)
{
	static const char *const says[] = {"slot", "page_size", "buffer_size", "len", "nr",
					   "retiring"};
	json_t *pool = service_pool_of(name), *segment, *shape = json_array();
	char *text;
	size_t i;

	assert_non_null(pool);
	json_array_foreach(json_object_get(pool, "segments"), i, segment)
		for (size_t k = 0; k < sizeof(says) / sizeof(says[0]); k++)
			json_array_append(shape, json_object_get(segment, says[k]));
	json_array_append(shape, json_object_get(pool, "bytes"));
	text = json_dumps(shape, JSON_COMPACT);
	json_decref(shape);
	json_decref(pool);
	return text;
}

/* Of the first pool that this process is in; the caller's. */
static char *pool_with(pid_t pid)
{
	int err;
	json_t *stat = service_ask("stat", "", &err), *pool, *member;
	char *name = NULL;
	size_t i, k;

	assert_non_null(stat);
	json_array_foreach(json_object_get(stat, "pools"), i, pool)
		json_array_foreach(json_object_get(pool, "members"), k, member)
			if (json_integer_value(json_object_get(member, "pid")) == pid && !name)
				name = strdup(json_string_value(json_object_get(pool, "name")));
	json_decref(stat);
	assert_non_null(name);
	return name;
}

static void await_stopped(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
}

/* Allocates until there is no more: it got all. */
static int have_all(void *arg)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct pinion_client *client;
	struct pinion_buffer buffer;
	struct pinion_cache *cache;
	uint32_t nr = 0;

	(void)arg;
	if (become_nobody() || pinion_client_open("pool:" PREY, NULL, &client) ||
	    pinion_cache_open(pinion_client_pool(client), &any, &cache))
		return 1;
	for (; !pinion_buffer_alloc(cache, &buffer); nr++)
		memset(pinion_buffer_addr(pinion_client_pool(client), buffer), 0, BUFFER);
	return nr == PREY_BUFFERS ? 0 : 2;
}

/* Whatever it gets, or what refuses it: an answer it is. */
static int try_some(void *arg)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct pinion_client *client;
	struct pinion_buffer buffer;
	struct pinion_cache *cache;
	int err;

	(void)arg;
	err = become_nobody() ? -EPERM : pinion_client_open("pool:" PREY, NULL, &client);
	if (!err)
		err = pinion_cache_open(pinion_client_pool(client), &any, &cache);
	for (int i = 0; !err && i < 20; i++)
		err = pinion_buffer_alloc(cache, &buffer);
	return err && !*pinion_error_text() ? 1 : 0;
}

static void await_nobody(void)
{
	const uint64_t until = test_now_ns() + PATIENCE_NS;

	while (service_count_of(PREY, "members")) {
		assert_true(test_now_ns() < until);
		usleep(1000);
	}
}

/* A pool of its own has ended with it; in the other all can be had: at once, where the service came
 * back to nobody in it, and else a moment after the last one went. */
static void see_it_whole(void)
{
	const uint64_t until = test_now_ns() + PATIENCE_NS;

	if (strcmp(now->target, "pool:" PREY)) {
		service_await_pools(4);
		return;
	}
	await_nobody();
	if (!now->dies)
		assert_int_equal(member_end(part_start(try_some, NULL)), 0);
	while (member_end(part_start(have_all, NULL))) {
		assert_true(!now->dies && test_now_ns() < until);
		await_nobody();
		usleep(300000);
	}
	await_nobody();
}

static void strike(const struct scene *scene)
{
	const json_int_t restarts = service_number("restarts");
	const pid_t keeper = (pid_t)service_number("pid");
	char *name, *before, *after, said;
	int written;
	const pid_t writer = run_with_pipe(write_over, &written);

	await_stopped(writer);
	name = pool_with(writer);
	before = shape_of(name);
	if (now->unseen)
		assert_int_equal(kill(keeper, SIGSTOP), 0);
	assert_int_equal(kill(writer, SIGCONT), 0);
	assert_int_equal(read(written, &said, 1), 1);
	close(written);
	if (!now->unseen)
		await_moves();
	if (now->dies)
		assert_int_equal(process_end(writer, SIGKILL), 128 + SIGKILL);
	assert_int_equal(kill(keeper, SIGKILL), 0);
	usleep(1000);
	service_await(&scene->service);
	if (!now->dies) {
		after = shape_of(name);
		assert_string_equal(before, after);
		free(after);
	}
	await_moves();
	assert_int_equal(service_number("restarts"), restarts + 1);
	if (!now->dies)
		assert_int_equal(process_end(writer, SIGKILL), 128 + SIGKILL);
	free(before);
	free(name);
	see_it_whole();
}

struct held {
	unsigned files, stored;
	uint64_t rss;
};

/* By the service, and by who keeps its descriptors. */
static struct held held_by(const struct scene *scene)
{
	struct service_process service = scene->service;
	const uint64_t until = test_now_ns() + PATIENCE_NS;
	struct held held;

	/* The device, the neighbours, and who asks. */
	while (service_number("peers") != 4) {
		assert_true(test_now_ns() < until);
		usleep(1000);
	}
	service.pid = (pid_t)service_number("pid");
	held.files = service_files_at_rest(&service);
	held.rss = rss_at_rest(service.pid);
	held.stored = service_files_at_rest(&scene->service);
	return held;
}

static void what_a_client_wrote_over_is_not_believed_by_the_next_service(void **state)
{
	struct held first, last;
	struct scene scene;

	now = *state;
	open_scene(&scene);
	board->ink = &inks[0];
	strike(&scene);
	first = held_by(&scene);
	for (size_t i = 0; i < 2 * INKS; i++) {
		board->ink = &inks[i % INKS];
		print_message("# %s\n", board->ink->name);
		strike(&scene);
	}
	last = held_by(&scene);
	print_message("# %u and %u files, %ju KiB; later %u and %u, %ju KiB\n", first.files,
		      first.stored, (uintmax_t)first.rss, last.files, last.stored,
		      (uintmax_t)last.rss);
	assert_int_equal(last.files, first.files);
	assert_int_equal(last.stored, first.stored);
	if (MEMORY_TELLS)
		assert_in_range(last.rss, 0, first.rss + LEFT_KIB);
	close_scene(&scene);
}

static const struct attack seen = {.target = "pool:" PREY},
	unseen = {.target = "pool:" PREY, .unseen = true},
	by_the_dead = {.target = "pool:" PREY, .unseen = true, .dies = true},
	without_end = {.target = "pool:" PREY, .goes_on = true},
	in_its_own = {.target = SERVICE_DEVICE},
	in_its_own_unseen = {.target = SERVICE_DEVICE, .unseen = true},
	in_its_own_without_end = {.target = SERVICE_DEVICE, .goes_on = true};

#define written(attack)                                                                            \
	{"what_a_client_wrote_over_is_not_believed_by_the_next_service_" #attack,                  \
	 what_a_client_wrote_over_is_not_believed_by_the_next_service, restart_before,             \
	 restart_after, (void *)(uintptr_t)&(attack)}
#define written_test(attack)                                                                       \
	support_where(!geteuid(), "only root may serve, and be nobody", written, attack)

int main(void)
{
	const struct CMUnitTest tests[] = {
		written_test(seen),
		written_test(unseen),
		written_test(by_the_dead),
		written_test(without_end),
		written_test(in_its_own),
		written_test(in_its_own_unseen),
		written_test(in_its_own_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
