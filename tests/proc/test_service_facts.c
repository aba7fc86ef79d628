/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a member without privilege can do to the files that piniond gives it, and what it cannot: on
 * the kernel that runs this, with pages of 4 KiB, and of 2 MiB where enough of them are free.
 */

#include <dirent.h>
#include <sys/socket.h>

#include <linux/falloc.h>

#include "service_support.h"

#define HUGE_FREE "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
#define HUGE_WANTED 14 /* pages: the pool's, and some for whoever touches a hole */
#define SECOND_NS UINT64_C(1000000000)

/* Device processes have one pool to serve in. */
static const char rules[] =
	"{ user = \"root\"; pools = [ \"" SERVICE_POOL "\" ]; devices = [ \"*\" ]; serve = true;"
	" admin = true; },"
	"{ user = \"*\"; pools = [ \"*\" ]; devices = [ \"*\" ]; }";

#define NR_OF(array) (sizeof(array) / sizeof((array)[0]))

/* The pool that it is about, in pages of that size; and another, which must go on. */
static void configure(struct service_process *service, const char *page)
{
	service_configure(service, rules);
	service_write(service,
		      "pools = ( { name = \"others\"; members = 4;\n"
		      "  segments = ( { size = \"1M\"; buffer = \"4K\"; page = \"4k\"; } ); },\n"
		      "  { name = \"" SERVICE_POOL "\"; members = 8; max_segments = 4;\n"
		      "  segments = ( { size = \"16M\"; buffer = \"4K\"; page = \"%s\"; } ); } );\n"
		      "rules = ( %s );\n", page, rules);
}

/* What it logs goes to a file beside its configuration. */
static void start(struct service_process *service, const char *page)
{
	char path[sizeof(service->config) + 8];
	const int ours = dup(STDERR_FILENO);
	int log;

	configure(service, page);
	(void)snprintf(path, sizeof(path), "%s.log", service->config);
	log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_true(ours >= 0 && log >= 0);
	assert_int_equal(dup2(log, STDERR_FILENO), STDERR_FILENO);
	close(log);
	service_run(service);
	assert_int_equal(dup2(ours, STDERR_FILENO), STDERR_FILENO);
	close(ours);
}

static unsigned count_in_log(const struct service_process *service, const char *what)
{
	char path[sizeof(service->config) + 8], line[512];
	unsigned nr = 0;
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s.log", service->config);
	file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		nr += strstr(line, what) != NULL;
	assert_int_equal(fclose(file), 0);
	return nr;
}

/* A member who does what it is told. */

typedef int (*deed)(struct pinion_pool *pool);

struct member_process {
	pid_t pid;
	int talk;
};

static int obey(deed act, const char *what, int talk)
{
	struct pinion_client *client;
	char byte = 'x';

	if (become_nobody() || pinion_client_open(what, NULL, &client)) {
		fprintf(stderr, "# %s\n", pinion_error_text());
		return 1;
	}
	while (write(talk, &byte, 1) == 1 && read(talk, &byte, 1) == 1) {
		const int result = act(pinion_client_pool(client));

		if (result) {
			fprintf(stderr, "# the deed: line %d\n", result);
			return 2;
		}
	}
	return pinion_client_close(client);
}

static void hear_done(const struct member_process *member)
{
	char byte;

	assert_int_equal(read(member->talk, &byte, 1), 1);
}

static struct member_process start_member(const char *what, deed act)
{
	struct member_process member;
	int end[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, end), 0);
	fflush(NULL);
	member.pid = fork();
	assert_true(member.pid >= 0);
	if (member.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(end[0]);
		_exit(obey(act, what, end[1]));
	}
	close(end[1]);
	member.talk = end[0];
	hear_done(&member);
	return member;
}

static void do_it(const struct member_process *member)
{
	assert_int_equal(write(member->talk, "d", 1), 1);
	hear_done(member);
}

static void end_member(const struct member_process *member)
{
	close(member->talk);
	assert_int_equal(member_end(member->pid), 0);
}

static void kill_member(const struct member_process *member)
{
	kill(member->pid, SIGKILL);
	close(member->talk);
	assert_int_equal(member_end(member->pid), 128 + SIGKILL);
}

/* Files: what the descriptors of a member allow. */

/* A line number: what did not hold. */
#define MUST(holds)                      \
	do {                             \
		if (!(holds))            \
			return __LINE__; \
	} while (0)

#define REFUSED(call, why) ((call) < 0 && errno == (why))

/* Calls f for each file of memory that this process has: control area, segments, rings. */
static int for_each_file(int (*f)(int fd))
{
	int result = 0, nr = 0;

	for (int fd = 3; !result && fd < 256; fd++) {
		struct stat status;

		if (fstat(fd, &status) || !S_ISREG(status.st_mode))
			continue;
		nr++;
		result = f(fd);
	}
	return result ? result : (nr < 2 ? __LINE__ : 0);
}

static int keeps_its_length(int fd)
{
	struct stat status;
	off_t len;

	MUST(!fstat(fd, &status));
	len = status.st_size;
	MUST(REFUSED(ftruncate(fd, 0), EPERM));
	MUST(REFUSED(ftruncate(fd, len / 2 & ~(off_t)0x1fffff), EPERM));
	MUST(REFUSED(ftruncate(fd, 2 * len), EPERM));
	MUST(REFUSED(fallocate(fd, 0, len, len), EPERM));
	MUST(!fstat(fd, &status) && status.st_size == len);
	return 0;
}

static int try_lengths(struct pinion_pool *pool)
{
	(void)pool;
	return for_each_file(keeps_its_length);
}

static int takes_no_seal(int fd)
{
	static const int seals[] = {F_SEAL_FUTURE_WRITE, F_SEAL_WRITE, F_SEAL_GROW, F_SEAL_SEAL};
	const int has = fcntl(fd, F_GET_SEALS);

	MUST(has >= 0);
	MUST(has & F_SEAL_SEAL && has & F_SEAL_SHRINK && has & F_SEAL_GROW);
	for (size_t i = 0; i < NR_OF(seals); i++)
		MUST(REFUSED(fcntl(fd, F_ADD_SEALS, seals[i]), EPERM));
	MUST(fcntl(fd, F_GET_SEALS) == has);
	return 0;
}

static int try_seals(struct pinion_pool *pool)
{
	(void)pool;
	return for_each_file(takes_no_seal);
}

static int is_not_reopened(int fd)
{
	static const int modes[] = {O_RDWR, O_WRONLY, O_RDONLY};
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (size_t i = 0; i < NR_OF(modes); i++)
		MUST(REFUSED(open(path, modes[i] | O_CLOEXEC), EACCES));
	return 0;
}

/* As a program that nobody started: of one that was root, /proc belongs to root. */
static int try_to_reopen(struct pinion_pool *pool)
{
	(void)pool;
	MUST(!prctl(PR_SET_DUMPABLE, 1));
	return for_each_file(is_not_reopened);
}

static void try_on_every_file(deed act, const char *page)
{
	struct service_process service;
	struct member_process member;
	pid_t device;

	start(&service, page);
	device = echo_start();
	/* With a channel: then there are rings among them. */
	member = start_member(SERVICE_DEVICE, act);
	do_it(&member);
	end_member(&member);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_stop(&service);
}

static void a_member_neither_shortens_nor_lengthens_a_file(void **state)
{
	try_on_every_file(try_lengths, *state);
}

static void a_member_adds_no_seal_before_others_have_mapped(void **state)
{
	try_on_every_file(try_seals, *state);
}

static void a_member_reopens_no_file_of_its_own_through_proc(void **state)
{
	try_on_every_file(try_to_reopen, *state);
}

/* Of others. */

static int show_yourself(struct pinion_pool *pool)
{
	(void)pool;
	return prctl(PR_SET_DUMPABLE, 1) ? __LINE__ : 0;
}

/* Links to memory in /proc/PID/fd that cannot be opened, in any mode. -1: one can. */
static int count_closed_links(pid_t pid)
{
	char path[64], link[64], target[256];
	const struct dirent *entry;
	int nr = 0, fd;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	while (dir && nr >= 0 && (entry = readdir(dir)) != NULL) {
		(void)snprintf(link, sizeof(link), "/proc/%d/fd/%.16s", (int)pid, entry->d_name);
		if (readlink(link, target, sizeof(target)) < 8 || strncmp(target, "/memfd:", 7))
			continue;
		fd = open(link, O_RDWR | O_CLOEXEC);
		nr = fd < 0 && errno == EACCES ? nr + 1 : -1;
		fd = open(link, O_RDONLY | O_CLOEXEC);
		nr = fd < 0 && errno == EACCES ? nr : -1;
	}
	if (dir)
		closedir(dir);
	return nr;
}

/* Another of the same user shows what it has; the service does not even that. */
static int look_around(void *arg)
{
	const pid_t *who = arg;
	char path[64];

	MUST(!become_nobody());
	MUST(count_closed_links(who[0]) >= 2);
	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)who[1]);
	MUST(opendir(path) == NULL && errno == EACCES);
	return 0;
}

static void nobody_reopens_files_of_others_through_proc(void **state)
{
	struct service_process service;
	struct member_process member;
	pid_t who[2];

	start(&service, *state);
	member = start_member("pool:" SERVICE_POOL, show_yourself);
	do_it(&member);
	who[0] = member.pid;
	who[1] = service.pid;
	assert_int_equal(member_end(part_start(look_around, who)), 0);
	end_member(&member);
	service_stop(&service);
}

/* Holes. */

struct mapped {
	int fd;
	size_t page_size;
	char *addr; /* of two pages */
};

/* A mapping of its own, such as any holder of the descriptor can make. */
static int map_two(struct pinion_pool *pool, struct mapped *mapped)
{
	struct pinion_pool_fds fds;

	pinion_pool_export(pool, &fds);
	mapped->fd = fds.segment[0];
	MUST(!pinion_hostmem_page_size(mapped->fd, &mapped->page_size));
	mapped->addr = mmap(NULL, 2 * mapped->page_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			    mapped->fd, 0);
	MUST(mapped->addr != MAP_FAILED);
	return 0;
}

static int remove_page(struct pinion_pool *pool)
{
	struct mapped mapped;

	MUST(!map_two(pool, &mapped));
	mapped.addr[mapped.page_size] = 1;
	/* It is allowed: the seals that forbid it would shut out who joins later. */
	MUST(!madvise(mapped.addr + mapped.page_size, mapped.page_size, MADV_REMOVE));
	return 0;
}

static int remove_page_and_touch(struct pinion_pool *pool)
{
	struct mapped mapped;

	MUST(!map_two(pool, &mapped));
	mapped.addr[mapped.page_size] = 1;
	MUST(!madvise(mapped.addr + mapped.page_size, mapped.page_size, MADV_REMOVE));
	MUST(mapped.addr[mapped.page_size] == 0);
	mapped.addr[mapped.page_size] = 1;
	return 0;
}

static int hold_one(struct pinion_pool *pool)
{
	const struct pinion_cache_config any = {.node = PINION_NODE_ANY};
	struct pinion_cache *cache;
	struct pinion_buffer buffer;

	MUST(!pinion_cache_open(pool, &any, &cache));
	MUST(!pinion_buffer_alloc(cache, &buffer));
	return 0;
}

/* Holds a buffer. When it is told to for the second time the hole is one no more, and what was
 * there is lost. */
static int remove_page_then_touch(struct pinion_pool *pool)
{
	static bool removed;
	struct mapped mapped;

	MUST(removed || !hold_one(pool));
	MUST(!map_two(pool, &mapped));
	mapped.addr[mapped.page_size] = 1;
	if (!removed)
		MUST(!madvise(mapped.addr + mapped.page_size, mapped.page_size, MADV_REMOVE));
	removed = true;
	return 0;
}

static int punch(int fd)
{
	size_t page_size;

	MUST(!pinion_hostmem_page_size(fd, &page_size));
	MUST(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)page_size));
	return 0;
}

static int punch_segment(struct pinion_pool *pool)
{
	struct pinion_pool_fds fds;

	pinion_pool_export(pool, &fds);
	return punch(fds.segment[0]);
}

static int punch_control(struct pinion_pool *pool)
{
	struct pinion_pool_fds fds;

	pinion_pool_export(pool, &fds);
	return punch(fds.control);
}

static bool is_damaged(void)
{
	json_t *pool = service_pool();
	const json_t *damaged = json_object_get(pool, "damaged");
	bool is;

	assert_string_equal(json_string_value(json_object_get(pool, "name")), SERVICE_POOL);
	assert_true(json_is_boolean(damaged));
	is = json_is_true(damaged);
	json_decref(pool);
	return is;
}

static json_int_t count_punched(void)
{
	int err;
	json_t *stat = service_ask("stat", "", &err);
	const json_int_t nr = json_integer_value(
		json_object_get(json_object_get(stat, "counters"), "punched"));

	assert_non_null(stat);
	json_decref(stat);
	return nr;
}

/* How long that took. */
static uint64_t await_damage(void)
{
	const uint64_t from = test_now_ns();

	while (!is_damaged()) {
		assert_true(test_now_ns() < from + PATIENCE_NS);
		usleep(1000);
	}
	return test_now_ns() - from;
}

static void expect_noticed(const struct service_process *service, const char *page)
{
	const char *told = strcmp(page, "2M") ? "pool " SERVICE_POOL ": 4 KiB at least"
					      : "pool " SERVICE_POOL ": 2048 KiB at least";

	/* Said once, and of this pool alone. */
	usleep(1200000);
	assert_int_equal(count_punched(), 1);
	assert_int_equal(count_in_log(service, "punched out of"), 1);
	assert_int_equal(count_in_log(service, told), 1);
}

/* How long it took, in ns. */
static uint64_t time_to_notice(deed act, const char *page)
{
	struct service_process service;
	struct member_process member;
	uint64_t took;

	start(&service, page);
	member = start_member("pool:" SERVICE_POOL, act);
	/* Nothing is wrong as long as nobody did anything. */
	usleep(1200000);
	assert_false(is_damaged());
	do_it(&member);
	took = await_damage();
	expect_noticed(&service, page);
	end_member(&member);
	service_stop(&service);
	return took;
}

/* A busy machine may be late; not each time. */
#define TRIES 3

static void notice(deed act, const char *page)
{
	int tries = 1;

	while (time_to_notice(act, page) >= SECOND_NS)
		assert_true(tries++ < TRIES);
}

static void pages_removed_through_a_mapping_are_noticed_within_a_second(void **state)
{
	notice(remove_page, *state);
}

static void pages_punched_out_of_a_file_are_noticed_within_a_second(void **state)
{
	notice(punch_segment, *state);
}

static void a_hugepage_that_was_replaced_at_once_is_noticed_too(void **state)
{
	notice(remove_page_and_touch, *state);
}

/* Not asked for anything, the service does not touch it. */
static void a_hole_in_a_control_area_is_noticed(void **state)
{
	struct service_process service;
	struct member_process member;
	uint64_t until;

	(void)state;
	start(&service, "4k");
	member = start_member("pool:" SERVICE_POOL, punch_control);
	usleep(600000);
	do_it(&member);
	until = test_now_ns() + PATIENCE_NS;
	while (!count_in_log(&service, "out of its control area"))
		assert_true(test_now_ns() < until);
	assert_true(is_damaged());
	kill_member(&member);
	service_stop(&service);
}

/* What becomes of a damaged pool. */

static int try_to_attach(void *arg)
{
	struct pinion_client *client;
	const int err = become_nobody() ? -99 : pinion_client_open(arg, NULL, &client);

	if (err == -EIO && !strstr(pinion_error_text(), "damaged"))
		return 98;
	return err ? -err : pinion_client_close(client);
}

static int try_to_serve(void *arg)
{
	struct pinion_device *device;
	const struct pinion_device_config config = {.pool = SERVICE_POOL};

	return -pinion_device_open(arg, &config, &device);
}

static void nobody_is_attached_to_a_damaged_pool_until_the_segment_went(void **state)
{
	static char pool[] = "pool:" SERVICE_POOL, others[] = "pool:others", device[] = "echo:0",
		    another[] = "echo:1";
	struct service_process service;
	struct member_process culprit, bystander;
	pid_t echo;
	int err;

	(void)state;
	start(&service, "4k");
	echo = echo_start();
	culprit = start_member(pool, remove_page);
	bystander = start_member(device, show_yourself);
	do_it(&culprit);
	(void)await_damage();
	assert_int_equal(member_end(part_start(try_to_attach, pool)), EIO);
	assert_int_equal(member_end(part_start(try_to_attach, device)), EIO);
	assert_int_equal(member_end(part_start(try_to_serve, another)), EIO);
	assert_int_equal(member_end(part_start(try_to_attach, others)), 0);
	/* Who is in stays in. */
	assert_int_equal(service_count("members"), 3);
	do_it(&bystander);
	end_member(&bystander);
	end_member(&culprit);
	assert_int_equal(process_end(echo, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	json_decref(service_ask("pool-grow", SERVICE_POOL " 4M", &err));
	assert_int_equal(err, 0);
	json_decref(service_ask("pool-retire", SERVICE_POOL " 0", &err));
	assert_int_equal(err, 0);
	usleep(1200000);
	assert_false(is_damaged());
	assert_int_equal(member_end(part_start(try_to_attach, pool)), 0);
	service_stop(&service);
}

static void a_service_that_comes_back_sees_the_hole_again(void **state)
{
	struct service_process service;
	struct member_process member;

	(void)state;
	configure(&service, "4k");
	service_run_managed(&service, "2048");
	member = start_member("pool:" SERVICE_POOL, remove_page);
	do_it(&member);
	(void)await_damage();
	service_kill(&service);
	(void)await_damage();
	end_member(&member);
	service_stop(&service);
}

static int pool_order(const char *what, const char *with)
{
	int err;

	json_decref(service_ask(what, with, &err));
	return err;
}

/* By the ledger: nobody can see it any more. Until the segment went: while it is going it is in use
 * yet. */
static void a_service_that_comes_back_knows_what_was_damaged(void **state)
{
	static char pool[] = "pool:" SERVICE_POOL, others[] = "pool:others";
	struct service_process service;
	struct member_process member;

	configure(&service, *state);
	service_run_managed(&service, "2048");
	member = start_member(pool, remove_page_then_touch);
	do_it(&member);
	(void)await_damage();
	do_it(&member);
	for (int i = 0; i < 2; i++) {
		service_kill(&service);
		assert_true(is_damaged());
		assert_int_equal(member_end(part_start(try_to_attach, pool)), EIO);
		assert_int_equal(member_end(part_start(try_to_attach, others)), 0);
		assert_int_equal(pool_order("pool-grow", SERVICE_POOL " 4M"), 0);
		assert_int_equal(pool_order("pool-retire", SERVICE_POOL " 0"), -EBUSY);
	}
	kill_member(&member);
	service_await_members(0);
	assert_int_equal(pool_order("pool-retire", SERVICE_POOL " 0"), 0);
	service_kill(&service);
	assert_false(is_damaged());
	assert_int_equal(member_end(part_start(try_to_attach, pool)), 0);
	service_stop(&service);
}

/* One that has the name, and in the ledger the place, of one that was ended is whole. */
static void a_hole_in_a_control_area_is_remembered_of_that_pool_alone(void **state)
{
	static char pool[] = "pool:" SERVICE_POOL;
	struct service_process service;
	struct member_process member;
	int err;

	(void)state;
	configure(&service, "4k");
	service_run_managed(&service, "2048");
	member = start_member(pool, punch_control);
	usleep(600000);
	do_it(&member);
	(void)await_damage();
	kill_member(&member);
	for (int i = 0; i < 2; i++) {
		service_kill(&service);
		assert_true(is_damaged());
		assert_int_equal(member_end(part_start(try_to_attach, pool)), EIO);
	}
	service_await_members(0);
	json_decref(service_ask("pool-destroy", SERVICE_POOL, &err));
	assert_int_equal(err, 0);
	service_kill(&service);
	assert_false(is_damaged());
	assert_int_equal(member_end(part_start(try_to_attach, pool)), 0);
	service_stop(&service);
}

/* Its page table was empty at first: that is no damage; and a hole is one once it is full. */
static void a_service_that_comes_back_knows_hugepages_by_its_own_table(void **state)
{
	struct service_process service;
	struct member_process member;

	configure(&service, *state);
	service_run_managed(&service, "2048");
	member = start_member("pool:" SERVICE_POOL, remove_page_and_touch);
	service_kill(&service);
	usleep(1200000);
	assert_false(is_damaged());
	do_it(&member);
	(void)await_damage();
	end_member(&member);
	service_stop(&service);
}

/* A test that is told its page size; of hugepages, where there are enough. */
#define in_pages(f, page)                                                               \
	{                                                                               \
		#f ", in pages of " page, f, pool_test_before, pool_test_after, page    \
	}
#define small_test(f) in_pages(f, "4k")
#define large_test(f) in_pages(f, "2M")
#define huge_test(f)                                                                    \
	support_where(support_read_long(HUGE_FREE) >= HUGE_WANTED,                      \
		      "too few hugepages of 2 MiB are free", large_test, f)

int main(void)
{
	const struct CMUnitTest tests[] = {
		small_test(a_member_neither_shortens_nor_lengthens_a_file),
		huge_test(a_member_neither_shortens_nor_lengthens_a_file),
		small_test(a_member_adds_no_seal_before_others_have_mapped),
		huge_test(a_member_adds_no_seal_before_others_have_mapped),
		small_test(a_member_reopens_no_file_of_its_own_through_proc),
		huge_test(a_member_reopens_no_file_of_its_own_through_proc),
		small_test(nobody_reopens_files_of_others_through_proc),
		huge_test(nobody_reopens_files_of_others_through_proc),
		small_test(pages_removed_through_a_mapping_are_noticed_within_a_second),
		huge_test(pages_removed_through_a_mapping_are_noticed_within_a_second),
		small_test(pages_punched_out_of_a_file_are_noticed_within_a_second),
		huge_test(pages_punched_out_of_a_file_are_noticed_within_a_second),
		huge_test(a_hugepage_that_was_replaced_at_once_is_noticed_too),
		pool_test(a_hole_in_a_control_area_is_noticed),
		pool_test(nobody_is_attached_to_a_damaged_pool_until_the_segment_went),
		pool_test(a_service_that_comes_back_sees_the_hole_again),
		small_test(a_service_that_comes_back_knows_what_was_damaged),
		huge_test(a_service_that_comes_back_knows_what_was_damaged),
		pool_test(a_hole_in_a_control_area_is_remembered_of_that_pool_alone),
		huge_test(a_service_that_comes_back_knows_hugepages_by_its_own_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
