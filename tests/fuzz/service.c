/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The handlers of piniond, and peers whose every message is the fuzzer's: in this process, without
 * main(), one turn of the event loop after the other. The peers are processes of their own as far
 * as the kernel is concerned (service_people.h), so that pidfds, credentials and deaths are real.
 *
 * An honest member is there all the time, and must be one to the end. When all others are dead
 * nothing may be left of them: members, pairings, numbers, buffers, descriptors, ledger entries.
 */

#include "service.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bell.h"
#include "ledger.h"
#include "pool.h"
#include "pretend.h"
#include "service_people.h"
#include "target.h"

#define PEOPLE 3
#define LINKS 5 /* connections at once */
#define MEMBERS 6u
#define NUMBERS (MEMBERS + POOL_SUCCESSORS)
#define PEERS 5 /* that the service takes */
#define TURNS_MAX 5000

/* To send along: a table of addresses is the only one that is kept. */
enum file {
	EVENT,
	LOOSE,      /* memory without seals */
	EMPTY,      /* all seals, and no bytes */
	ENORMOUS,   /* all seals, and more bytes than can be mapped */
	WRITE_ONLY, /* all seals */
	PIPE,
	SOCKET,
	NOTHING, /* /dev/null */
	FOLDER,
	PATH,   /* no more than a place */
	CORPSE, /* the pidfd of one that ended */
	TABLE,  /* of this run's pool */
	NR_FILES,
	SPOILED = NR_FILES, /* such a table, written over */
};

#define TABLE_MAX 8192 /* bytes */

/* A connection, as its own end knows it. */
struct line {
	int fd;                /* -1: none */
	struct person *person; /* who made it */
	pid_t pid;             /* under this pid; somebody new may be in its place */
	bool confirmed, member, left;
	uint64_t cookie, membership;
};

static struct {
	struct service service;
	struct config config;
	struct person person[PEOPLE + 1]; /* the last is the honest one */
	struct line line[LINKS + 1];      /* likewise */
	int file[NR_FILES];
	unsigned files_before;
	uint64_t ahead_ns; /* of the real time */
} stage;

static struct person *const honest_person = &stage.person[PEOPLE];
static struct line *const honest = &stage.line[LINKS];

/* Of piniond.c. */

uint64_t service_now_ns(void)
{
	return bell_now_ns() + stage.ahead_ns;
}

void service_log(int priority, const char *format, ...)
{
	char text[1024];
	va_list arguments;

	(void)priority;
	va_start(arguments, format);
	(void)vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (getenv("PINION_FUZZ_TELL"))
		fprintf(stderr, "# %s\n", text);
}

/* --- the stage */

static unsigned count_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned nr = 0;

	oracle(dir, "no /proc");
	while (readdir(dir))
		nr++;
	(void)closedir(dir);
	return nr;
}

static void make_pool(struct config_pool *pool, const char *name, bool template)
{
	*pool = (struct config_pool){.template = template};
	(void)strcpy(pool->name, name);
	pool->pool.nr_members = MEMBERS;
	pool->pool.nr_caches = 8;
	pool->pool.nr_segments = 1;
	pool->pool.max_segments = 3;
	pool->pool.segment[0] = (struct pinion_segment_config){65536, 4096, 4096, PINION_NODE_ANY};
}

static char buffers[] = "buffers", own[] = "own";

static void make_config(void)
{
	static char any[] = "*", echo[] = "echo:*";
	struct config *config = &stage.config;

	config->peers_max = PEERS;
	config->nr_pools = 2;
	make_pool(&config->pool[0], "buffers", false);
	make_pool(&config->pool[1], "own", true);
	config->nr_rules = 2;
	config->rule[0] = (struct config_rule){.id = 0, .pools = {any}, .devices = {any},
					       .serve = true, .admin = true, .addresses = true};
	config->rule[1] = (struct config_rule){.everybody = true, .pools = {buffers, own},
					       .devices = {echo}, .memberships = 3,
					       .bytes = 16384, .serve = true};
}

static void open_door(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(address);
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	/* Any abstract name that is free. */
	oracle(fd >= 0 && !bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)) &&
		       !listen(fd, 64) && !getsockname(fd, (struct sockaddr *)&address, &len),
	       "no socket");
	people_go_to(&address, len);
	stage.service.listener = fd;
}

/* --- files to send along */

#define ALL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

static int sealed(off_t len, int seals)
{
	const int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	oracle(fd >= 0 && !ftruncate(fd, len) && !fcntl(fd, F_ADD_SEALS, seals), "no memory file");
	return fd;
}

static int write_only(void)
{
	const int fd = sealed(TABLE_MAX, ALL_SEALS & ~F_SEAL_WRITE & ~F_SEAL_SEAL);
	char path[32];
	int again;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_WRONLY | O_CLOEXEC);
	oracle(again >= 0 && !fcntl(again, F_ADD_SEALS, ALL_SEALS), "no file to write to");
	(void)close(fd);
	return again;
}

static int corpse(void)
{
	const pid_t pid = fork();
	int fd;

	if (pid == 0)
		_exit(0);
	fd = pidfd_open(pid, 0);
	(void)waitpid(pid, NULL, 0);
	return fd;
}

static void open_files(void)
{
	int *file = stage.file, ends[2];

	file[EVENT] = eventfd(0, EFD_CLOEXEC);
	file[LOOSE] = sealed(100, 0);
	file[EMPTY] = sealed(0, ALL_SEALS);
	file[ENORMOUS] = sealed(INT64_MAX & ~INT64_C(4095), ALL_SEALS);
	file[WRITE_ONLY] = write_only();
	oracle(!pipe2(ends, O_CLOEXEC), "no pipe");
	file[PIPE] = ends[0];
	oracle(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), "no socket");
	file[SOCKET] = ends[0];
	file[NOTHING] = open("/dev/null", O_RDWR | O_CLOEXEC);
	file[FOLDER] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	file[PATH] = open("/dev/null", O_PATH | O_CLOEXEC);
	file[CORPSE] = corpse();
	for (int i = 0; i < TABLE; i++)
		oracle(file[i] >= 0, "no file of kind %d", i);
}

static void open_table(void)
{
	struct pinion_domain *domain;

	oracle(!pretend(pools_find(&stage.service, "buffers")->pool, &domain), "no table");
	stage.file[TABLE] = fcntl(pinion_domain_fd(domain), F_DUPFD_CLOEXEC, 3);
	oracle(stage.file[TABLE] >= 0 && !pinion_domain_destroy(domain), "no table");
}

static uint64_t some_word(struct script *script)
{
	const uint8_t how = script_byte(script);

	return how < 128 ? how : how < 192 ? UINT64_C(1) << how % 64 : ~UINT64_C(0) >> how % 64;
}

/* A few words of a table are others, mostly of its header and its first segment; at times its kind
 * or its length is another, or a seal is missing. */
static int spoiled(struct script *script)
{
	static const int seals[] = {ALL_SEALS, ALL_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE,
				    F_SEAL_SHRINK};
	const int fd = sealed(0, 0);
	const uint8_t how = script_byte(script);
	uint64_t word[TABLE_MAX / 8] = {0};
	ssize_t len = pread(stage.file[TABLE], word, sizeof(word), 0);

	oracle(len > 0, "an empty table");
	for (int i = how & 3; i >= 0; i--) {
		const uint32_t at = script_below(script, how & 48 ? 16 : (uint32_t)len / 8);

		word[at] = some_word(script);
	}
	if (how & 32)
		word[1] ^= UINT64_C(3) << 32; /* its kind */
	if (how >= 192)
		len = script_below(script, 2) ? 2 * len : len / 2;
	oracle(len <= (ssize_t)sizeof(word) && write(fd, word, (size_t)len) == len &&
		       !fcntl(fd, F_ADD_SEALS, seals[how >> 2 & 3]), "no spoiled table");
	return fd;
}

static void open_stage(void)
{
	struct service *service = &stage.service;

	make_config();
	open_door();
	open_files();
	service->config = &stage.config;
	service->pagemap = -1;
	LIST_INIT(&service->peers);
	LIST_INIT(&service->pools);
	oracle(sd_event_new(&service->event) >= 0 && !ledger_open(&service->ledger), "no service");
	oracle(!peers_listen(service), "nobody listens");
	for (int i = 0; i <= LINKS; i++)
		stage.line[i].fd = -1;
}

/* What is made beside the loop is there with the turn that asked for it. */
static void turn(void)
{
	(void)sd_event_run(stage.service.event, 0);
	while (stage.service.making)
		(void)sd_event_run(stage.service.event, UINT64_MAX);
}

/* --- messages */

/* As if @pid had sent it. */
static int send_as(const struct line *line, pid_t pid, const void *data, size_t len,
		   const int *file, unsigned files)
{
	union {
		char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {(void *)(uintptr_t)data, len};
	struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
				.msg_controllen = sizeof(control)};
	struct ucred credentials = {.pid = pid};
	struct cmsghdr *c = CMSG_FIRSTHDR(&header);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_CREDENTIALS;
	c->cmsg_len = CMSG_LEN(sizeof(credentials));
	memcpy(CMSG_DATA(c), &credentials, sizeof(credentials));
	header.msg_controllen = CMSG_SPACE(sizeof(credentials));
	if (files) {
		header.msg_controllen += CMSG_SPACE(files * sizeof(int));
		c = CMSG_NXTHDR(&header, c);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(files * sizeof(int));
		memcpy(CMSG_DATA(c), file, files * sizeof(int));
	}
	return sendmsg(line->fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int say(struct line *line, const struct wire *message)
{
	int err = send_as(line, line->person->pid, message, sizeof(*message), NULL, 0);

	if (line->person->pid != line->pid)
		return err;
	if (!err && message->kind == WIRE_CONFIRM && message->cookie == line->cookie)
		line->confirmed = true;
	if (!err && message->kind == WIRE_BYE)
		line->left = true;
	return err;
}

/* What the service said, if anything. False: nothing. */
static bool hear(struct line *line, struct wire *message)
{
	int files[WIRE_FILES_MAX];
	unsigned nr = WIRE_FILES_MAX;
	struct mail_sender ignored;

	if (wire_recv(line->fd, message, files, &nr, &ignored))
		return false;
	mail_close_files(files, nr);
	if (message->kind == WIRE_COOKIE)
		line->cookie = message->cookie;
	else
		oracle(line->confirmed || message->kind == WIRE_REFUSED,
		       "kind %u to one who is not confirmed", message->kind);
	if (message->kind == WIRE_ATTACHED || message->kind == WIRE_ANNOUNCED) {
		line->member = true;
		line->membership = message->cookie;
	}
	return true;
}

static void hang_up(struct line *line)
{
	if (line->fd >= 0)
		(void)close(line->fd);
	*line = (struct line){.fd = -1};
}

/* The loop goes on until there is an answer, or for so many turns. */
static bool await(struct line *line, struct wire *message, int turns)
{
	for (int i = 0; i < turns; i++) {
		if (hear(line, message))
			return true;
		(void)sd_event_run(stage.service.event, turns > 10 ? 1000 : 0);
	}
	return hear(line, message);
}

/* As far as CONFIRM, as it should be. */
static void greet(struct line *line, int turns)
{
	struct wire message = wire_of(WIRE_HELLO);

	(void)say(line, &message);
	if (!await(line, &message, turns) || message.kind != WIRE_COOKIE)
		return;
	message = wire_of(WIRE_CONFIRM);
	message.cookie = line->cookie;
	(void)say(line, &message);
}

/* --- the honest one */

static void open_honest(void)
{
	struct wire message = wire_of(WIRE_ATTACH);

	oracle(person_comes(honest_person, false), "no process");
	*honest = (struct line){.fd = person_connects(honest_person), .person = honest_person,
				.pid = honest_person->pid};
	oracle(honest->fd >= 0, "no connection");
	greet(honest, TURNS_MAX);
	(void)strcpy(message.name, "pool:buffers");
	(void)say(honest, &message);
	oracle(await(honest, &message, TURNS_MAX) && message.kind == WIRE_ATTACHED,
	       "the first is not let in: kind %u, %s", message.kind, message.text);
}

static const struct member *find_member(uint64_t cookie)
{
	const struct member *member;
	const struct pool *pool;

	LIST_FOREACH(pool, &stage.service.pools, link)
		LIST_FOREACH(member, &pool->members, of_pool)
			if (member->cookie == cookie)
				return member;
	return NULL;
}

/* Who let its process live, and said no goodbye, is a member. */
static void check_lives(const struct line *line)
{
	const struct member *member = line->member ? find_member(line->membership) : NULL;

	if (line->fd < 0 || !line->member || line->left || line->person->pid != line->pid)
		return;
	oracle(member && member->state == LIVE, "a member that lives was buried");
	oracle(line != honest || member->peer, "the honest one was hung up on");
}

static void check_all(void)
{
	for (int i = 0; i <= LINKS; i++)
		check_lives(&stage.line[i]);
}

/* --- what the others do */

static struct line *some_line(struct script *script)
{
	return &stage.line[script_below(script, LINKS)];
}

/* Anybody's, but mostly its own. */
static uint64_t some_cookie(struct script *script, const struct line *line)
{
	const uint8_t how = script_byte(script);

	if (how < 96)
		return line->cookie;
	if (how < 160)
		return line->membership;
	if (how < 224)
		return stage.line[how % (LINKS + 1)].membership;
	return how < 240 ? stage.line[how % (LINKS + 1)].cookie : how - 240;
}

static struct wire some_message(struct script *script, const struct line *line)
{
	static const char *const names[] = {"pool:buffers", "echo:0", "pool:own", "echo:1", "stat",
					    "pool:", "kick", "pool-grow", "pool-retire", "", "own",
					    "pool-destroy", "pool:own.1", "pool-create", "top",
					    "addr"};
	static const char *const texts[] = {"buffers -", "- -", "", "buffers 0000:ff:1f.7",
					    "buffers 1", "buffers 64K", "buffers 0", "own -",
					    "own.1 -", "x", "buffers 4K 0", "own.1 64K",
					    "y 64K 4K", "buffers 2", "- x y", "buffers"};
	struct wire message = wire_of(script_byte(script) % (WIRE_KINDS + 2));

	message.cookie = some_cookie(script, line);
	(void)strcpy(message.name, names[script_below(script, 16)]);
	(void)strcpy(message.text, texts[script_below(script, 16)]);
	message.channel = script_below(script, 8);
	message.slots = UINT32_C(1) << script_below(script, 12);
	message.slot = script_byte(script);
	message.pools = message.slot % 4;
	message.value = message.slot & 1 ? WIRE_LOOP : (int)message.slot - 128;
	if (message.slot > 250)
		message.version = (uint16_t)message.slot;
	return message;
}

static void speak(struct script *script)
{
	struct line *line = some_line(script);
	const struct wire message = some_message(script, line);

	if (line->fd >= 0 && line->person->pid)
		(void)say(line, &message);
}

/* Another size, another sender, or with files. */
static void speak_oddly(struct script *script)
{
	static const size_t sizes[] = {256, 256, 256, 256, 256, 0, 255, 257};
	const struct line *line = some_line(script);
	const uint8_t how = script_byte(script);
	const struct person *sender = how & 4 ? line->person : &stage.person[how % PEOPLE];
	const size_t len = sizes[script_below(script, 8)];
	const unsigned files = script_below(script, 4);
	int file[3] = {0};
	char bytes[512] = {0};
	struct wire message;

	if (line->fd < 0 || !sender->pid)
		return;
	message = some_message(script, line);
	if (how >= 192)
		message.kind = how & 8 ? WIRE_PARK : WIRE_BYE;
	/* Its own goodbye with a file is one, but that is said without. */
	if (sender->pid == line->pid && (message.kind == WIRE_BYE || message.kind == WIRE_CONFIRM))
		return;
	memcpy(bytes, &message, sizeof(message));
	for (unsigned i = 0; i < files; i++)
		file[i] = stage.file[script_below(script, NR_FILES)];
	(void)send_as(line, sender->pid, bytes, len, file, files);
}

static void join_as(struct line *line, uint32_t how)
{
	struct wire message = wire_of(how < 5 || how == 7 ? WIRE_ATTACH : WIRE_ANNOUNCE);

	if (line->fd < 0 || !line->person->pid)
		return;
	greet(line, 4);
	(void)strcpy(message.name, how < 3 ? "echo:0" : how == 3 || how == 7 ? "pool:buffers"
				   : how == 4 ? "pool:own" : "echo:0");
	(void)strcpy(message.text, "buffers -");
	message.pools = 2;
	message.value = line - stage.line & 1 ? WIRE_LOOP : 0; /* of either end, both, or none */
	(void)say(line, &message);
	if (how == 7) { /* gone before it is heard */
		hang_up(line);
		return;
	}
	turn();
	turn();
	(void)hear(line, &message);
	if (how >= 5) {
		message = wire_of(WIRE_READY);
		(void)say(line, &message);
	}
}

static void join(struct script *script)
{
	const uint32_t how = script_below(script, 8);

	join_as(some_line(script), how);
}

static void come_as(uint32_t who, struct line *line)
{
	struct person *person = &stage.person[who];

	if (!person->pid && !person_comes(person, who % 2))
		return;
	hang_up(line);
	*line = (struct line){.fd = person_connects(person), .person = person, .pid = person->pid};
	turn();
}

/* An administrator, who is told what was handed over. */
static void ask_address(struct script *script)
{
	static const char *const texts[] = {"buffers 0", "buffers 15", "own.1 1", "buffers 99999"};
	struct line *line = &stage.line[2 + script_below(script, LINKS - 2)];
	struct wire message = wire_of(WIRE_QUERY);

	come_as(2 * script_below(script, 2), line);
	if (line->fd < 0)
		return;
	greet(line, 4);
	(void)strcpy(message.name, "addr");
	(void)strcpy(message.text, texts[script_below(script, 4)]);
	(void)say(line, &message);
	turn();
	(void)hear(line, &message);
}

/* What is to be kept for it, by the first device process as often as by anybody. */
static void hand_over(struct script *script)
{
	const uint8_t how = script_byte(script);
	const struct line *line = how & 1 ? &stage.line[1] : some_line(script);
	const uint32_t kind = script_below(script, SPOILED + 4);
	struct wire message = wire_of(how < 64 ? WIRE_PARK : WIRE_TABLE);
	int file;

	if (line->fd < 0 || !line->person->pid)
		return;
	message.channel = how & 2 ? script_below(script, 8) : 0;
	file = kind < SPOILED ? stage.file[kind] : spoiled(script);
	(void)send_as(line, line->person->pid, &message, sizeof(message), &file, 1);
	if (kind >= SPOILED)
		(void)close(file);
	turn();
	if (how & 32)
		ask_address(script);
}

static void come(struct script *script)
{
	const uint32_t who = script_below(script, PEOPLE);

	come_as(who, some_line(script));
}

static void die(struct script *script)
{
	person_dies(&stage.person[script_below(script, PEOPLE)]);
}

static void listen_to(struct script *script)
{
	struct line *line = some_line(script);
	struct wire ignored;

	if (line->fd >= 0)
		(void)hear(line, &ignored);
}

static void turn_some(struct script *script)
{
	for (uint32_t i = script_below(script, 8); i < 8; i++)
		turn();
}

static void wait_long(struct script *script)
{
	stage.ahead_ns += (uint64_t)script_byte(script) << 28;
}

/* Nobody may use the pool that devices are served in, or may not. */
static void change_rules(struct script *script)
{
	stage.config.rule[1].pools[0] = script_byte(script) & 1 ? own : buffers;
}

static void go(struct script *script)
{
	hang_up(some_line(script));
}

void target_step(struct script *script)
{
	static void (*const acts[])(struct script *) = {
		come, come, join,        join,      join, speak,     speak, speak,
		die,  go,   speak_oddly, turn_some, turn_some, listen_to, change_rules, wait_long,
		hand_over, hand_over,
	};

	acts[script_below(script, sizeof(acts) / sizeof(acts[0]))](script);
	check_all();
}

/* --- a run, from nothing to nothing */

void target_open(void)
{
	if (!stage.service.event)
		open_stage();
	stage.config.rule[1].pools[0] = buffers;
	stage.files_before = count_files();
	oracle(!pools_create(&stage.service), "no pools");
	open_table();
	open_honest();
	/* A device process and clients of it, to begin with. */
	come_as(0, &stage.line[1]);
	join_as(&stage.line[1], 5);
	come_as(1, &stage.line[0]);
	join_as(&stage.line[0], 0);
	come_as(2, &stage.line[3]);
	join_as(&stage.line[3], 0);
}

static uint32_t count_members(void)
{
	const struct member *member;
	const struct pool *pool;
	uint32_t nr = 0;

	LIST_FOREACH(pool, &stage.service.pools, link)
		LIST_FOREACH(member, &pool->members, of_pool)
			nr++;
	return nr;
}

/* All its numbers but the keeper's, once more. */
static void check_numbers(struct pinion_pool *pool)
{
	uint32_t number[NUMBERS], nr = 0;

	while (nr < NUMBERS && !pinion_pool_admit(pool, getpid(), &number[nr]))
		nr++;
	oracle(nr == NUMBERS - 1, "%u of %u numbers are free", nr, NUMBERS - 1);
	while (nr)
		pool_dismiss(pool, number[--nr]);
}

static void check_whole(struct pinion_pool *pool)
{
	for (uint32_t i = 0; i < pinion_pool_zones(pool); i++) {
		struct pinion_zone_stat stat;

		if (!pinion_pool_stat(pool, i, &stat))
			oracle(stat.free == stat.total, "%u of %u buffers are free",
			       (unsigned)stat.free, (unsigned)stat.total);
	}
}

static void check_ledger(void)
{
	const struct ledger *ledger = stage.service.ledger;

	for (uint32_t i = 0; i < 256; i++)
		oracle(!ledger->pairing[i].number, "a pairing is in the ledger still");
	for (uint32_t pool = 0; pool < 8; pool++)
		for (uint32_t i = 0; i < 8; i++)
			oracle(ledger->member[pool][i].role <= LEDGER_KEEPER,
			       "a member is in the ledger still");
}

static void bury_all(void)
{
	struct service *service = &stage.service;

	for (int i = 0; i <= LINKS; i++)
		hang_up(&stage.line[i]);
	for (int i = 0; i <= PEOPLE; i++)
		person_dies(&stage.person[i]);
	for (int i = 0; i < TURNS_MAX && (count_members() || service->nr_peers); i++)
		(void)sd_event_run(service->event, 1000);
	oracle(!count_members(), "%u members are left of nobody", count_members());
	oracle(!service->nr_peers && LIST_EMPTY(&service->peers), "peers are left of nobody");
	/* Who connected and was gone before it was accepted. */
	while (sd_event_run(service->event, 0) > 0)
		continue;
}

void target_close(void)
{
	struct pool *pool, *next;

	/* What was said last is heard, too. */
	for (int i = 0; i < 16; i++)
		turn();
	check_all();
	bury_all();
	LIST_FOREACH_SAFE(pool, &stage.service.pools, link, next) {
		oracle(!pool->own, "one client's pool is left");
		oracle(LIST_EMPTY(&pool->pairings), "pairings are left of nobody");
		if (!strcmp(pool->name, "buffers"))
			check_numbers(pool->pool);
		check_whole(pool->pool);
		pools_end(pool);
	}
	making_close(&stage.service);
	check_ledger();
	(void)close(stage.file[TABLE]);
	oracle(count_files() == stage.files_before, "%u descriptors, and %u before", count_files(),
	       stage.files_before);
}
