/* SPDX-License-Identifier: BSD-3-Clause */
#include "trial.h"

/* So long, and it will not come: no machine is so slow. For service_support.h as well. */
#define PATIENCE_NS UINT64_C(10000000000)

#include "account.h"
#include "container.h"
#include "hunt.h"
#include "patience.h"
#include "restart_support.h"
#include "tap.h"

const char *const trial_kinds[] = {"call", "store", "step"};
struct trial_count trial_count;
char trial_reason[TRIAL_REASON_MAX];

static struct {
	struct service_process service;
	struct hunt hunt;
	int stored, fds;     /* descriptors of manager and service when nobody is there */
	int named;           /* files of the pool on hugetlbfs; -1: there is none */
	struct account first; /* at that time */
	bool container;       /* there is one to be parked */
} scene;

struct trial {
	const struct operation *operation;
	struct actor client, device, admin;
	bool over;   /* what the operation was for has happened, or been answered */
	int err;     /* what the operation said */
	bool killed; /* the service was, at least once, or ended and was started again */
	enum stop at; /* what it had come to by then */
	bool starved; /* a hugepage was there, and is not now */
	char problem[200];
};

__attribute__((format(printf, 2, 3)))
static bool wrong(struct trial *trial, const char *format, ...)
{
	va_list arguments;

	if (*trial->problem)
		return false;
	va_start(arguments, format);
	(void)vsnprintf(trial->problem, sizeof(trial->problem), format, arguments);
	va_end(arguments);
	return false;
}

static bool take_account(struct trial *trial, struct account *account)
{
	return account_take(account) ||
	       wrong(trial, "it does not answer: %s", pinion_error_text());
}

static int named_files(void)
{
	char path[2 * SUPPORT_PATH_LEN];

	(void)snprintf(path, sizeof(path), "%s/" CAST_NAMED, named_root);
	return account_entries(path);
}

/* Everybody has left, and time has passed. */
static bool check_rest(struct trial *trial)
{
	struct patience patience = patience_for(PATIENCE_NS);
	struct account account;
	int stored, fds;

	do {
		if (!take_account(trial, &account))
			return false;
		stored = account_files(scene.hunt.manager);
		fds = account_files(scene.hunt.service);
		if (account_is_rest(&account, &scene.first) && stored == scene.stored &&
		    fds <= scene.fds && named_files() == scene.named)
			return true;
		usleep(1000);
	} while (patience_left(&patience));
	if (stored != scene.stored)
		account_remark_files(scene.hunt.manager, "the manager");
	if (fds > scene.fds)
		account_remark_files(scene.hunt.service, "the service");
	return wrong(trial, "at rest: %jd members, %jd channels, %jd held, %jd of %jd free (%jd), "
		     "%jd pools, %d files in the store (%d), %d in the service (%d), %d on "
		     "hugetlbfs (%d)",
		     (intmax_t)account.members, (intmax_t)account.channels, (intmax_t)account.held,
		     (intmax_t)account.free, (intmax_t)account.total, (intmax_t)scene.first.total,
		     (intmax_t)account.pools, stored, scene.stored, fds, scene.fds, named_files(),
		     scene.named);
}

/* Set-up and end of a trial. */

static void must(struct trial *trial, const struct actor *actor, enum order order, const char *what)
{
	int err = actor_do(actor, order);

	if (err)
		wrong(trial, "%s: %s", what, strerror(-err));
}

/* That is said without an answer. A service that is killed before it heard it says of the device
 * that nobody drives it, until its process is back. */
static void make_ready(struct trial *trial)
{
	struct patience patience = patience_for(PATIENCE_NS);
	struct account account;

	must(trial, &trial->device, ORDER_READY, "a device process is not ready");
	do
		if (!take_account(trial, &account))
			return;
	while (!account.ready && patience_left(&patience));
	if (!account.ready)
		wrong(trial, "a device process is ready, and the service does not hear it");
}

/* Of one that lives: another may just be taken away. */
static void await_parked(struct trial *trial)
{
	struct patience patience = patience_for(PATIENCE_NS);
	struct account account;

	do
		if (!take_account(trial, &account))
			return;
	while (account.parked != 1 && patience_left(&patience));
	if (account.parked != 1)
		wrong(trial, "%jd containers are parked, not one", (intmax_t)account.parked);
}

/* The service has the addresses, and tells them. Such a thing is said without an answer, and of a
 * service that was killed before it heard it, said again to the next. */
static void await_shared(struct trial *trial)
{
	struct patience patience = patience_for(PATIENCE_NS);
	int err;

	do
		err = actor_do(&trial->admin, ORDER_ADDR);
	while (err == -ENODATA && patience_left(&patience));
	if (err)
		wrong(trial, "it has no addresses to tell: %s", strerror(-err));
}

static void start(struct trial *trial, struct actor *actor)
{
	actor_start(actor);
	if (trial->operation->named)
		must(trial, actor, ORDER_IN_NAMED, "an order");
	if (trial->operation->loop)
		must(trial, actor, ORDER_IN_LOOP, "an order");
}

static void start_device(struct trial *trial)
{
	start(trial, &trial->device);
	must(trial, &trial->device, ORDER_ANNOUNCE, "a device process is not let in");
	if (!*trial->problem && trial->operation->order != ORDER_READY)
		make_ready(trial);
}

static void start_client(struct trial *trial)
{
	const struct operation *operation = trial->operation;

	start(trial, &trial->client);
	if (operation->client)
		must(trial, &trial->client, operation->apart ? ORDER_ATTACH_APART
		     : ORDER_ATTACH_DEVICE, "a client is not let in");
	if (operation->pool_client)
		must(trial, &trial->client, ORDER_ATTACH_POOL, "a client is not let in");
	if (operation->client || operation->pool_client)
		must(trial, &trial->client, ORDER_HOLD, "a client gets no buffers");
}

/* What a device process gave the service. */
static void hand_over(struct trial *trial)
{
	const struct operation *operation = trial->operation;

	if (operation->parked) {
		must(trial, &trial->device, ORDER_PARK, "a device process cannot park");
		await_parked(trial);
	}
	if (operation->shared) {
		must(trial, &trial->device, operation->apart ? ORDER_SHARE_APART : ORDER_SHARE,
		     "a device process cannot share addresses");
		await_shared(trial);
	}
}

/* What an administrator did. */
static void administer(struct trial *trial)
{
	const struct operation *operation = trial->operation;

	if (operation->order == ORDER_KICK)
		must(trial, &trial->admin, ORDER_FIND, "a client has no number");
	if (operation->grown)
		must(trial, &trial->admin, ORDER_GROW, "the pool does not grow");
	if (operation->full)
		must(trial, &trial->client, ORDER_HOLD_ALL, "a client gets not all buffers");
	if (operation->extra)
		trial->starved = actor_do(&trial->admin, ORDER_CREATE) != 0;
}

static void begin(struct trial *trial)
{
	const struct operation *operation = trial->operation;

	start(trial, &trial->admin);
	if (operation->apart)
		must(trial, &trial->admin, ORDER_IN_APART, "an order");
	if (operation->device)
		start_device(trial);
	start_client(trial);
	hand_over(trial);
	administer(trial);
	if (operation->device_acts && !operation->device)
		start(trial, &trial->device);
	if (operation->lost) {
		actor_kill(&trial->device);
		must(trial, &trial->client, ORDER_LEFT, "a client does not hear of the death");
	}
}

static struct actor *who_acts(struct trial *trial)
{
	if (trial->operation->order >= ORDER_GROW)
		return &trial->admin;
	return trial->operation->device_acts ? &trial->device : &trial->client;
}

/* Is there an actor who does it, and says what came of it? */
static bool is_asked(const struct operation *operation)
{
	return !operation->dies && !operation->restarts;
}

/* A service that is told to end is idle no more. */
static bool is_over(void *arg)
{
	const struct trial *trial = arg;

	if (trial->operation->restarts)
		return trial->over;
	return trial->over || actor_has_answered(who_acts((struct trial *)(uintptr_t)trial));
}

/* The service is held meanwhile. */
static void act(struct trial *trial)
{
	struct actor *actor = who_acts(trial);

	trial->over = trial->operation->dies;
	if (trial->over)
		actor_kill(actor);
	else if (trial->operation->restarts && !hunt_tell_end(&scene.hunt))
		wrong(trial, "the manager does not tell it to end");
	else if (!trial->operation->restarts)
		actor_tell(actor, trial->operation->order);
}

static void leave(struct trial *trial, bool in_order)
{
	if (in_order && trial->client.pid)
		must(trial, &trial->client, ORDER_CLOSE, "a client cannot leave");
	if (in_order && trial->device.pid)
		must(trial, &trial->device, ORDER_CLOSE, "a device process cannot leave");
	actor_kill(&trial->client);
	actor_kill(&trial->device);
}

/* After the kills. */

static void come_back(struct trial *trial, struct actor *actor, const char *what)
{
	int err = actor->pid ? actor_do(actor, ORDER_REJOIN) : 0;

	if (err == -ESTALE || err == -ECHILD)
		wrong(trial, "%s was expelled", what);
	else if (err)
		wrong(trial, "%s does not come back: %s", what, strerror(-err));
}

/* Whoever asks hears the answer, or that nobody was there, or that the connection broke. */
static void check_answer(struct trial *trial)
{
	switch (trial->err) {
	case 0:
	case -ENODATA: /* the device process was not back */
	case -ECONNREFUSED:
	case -EPROTO:
	case -ETIMEDOUT: return;
	default: wrong(trial, "the answer to a question: %s", strerror(-trial->err));
	}
}

/* Or it was too early for one. When that is asked for again, it comes. */
static void check_frames(struct trial *trial)
{
	struct patience patience = patience_for(PATIENCE_NS);
	int err;

	if (trial->err != -EAGAIN)
		check_answer(trial);
	do
		err = actor_do(&trial->device, ORDER_FRAMES);
	while (err == -EAGAIN && patience_left(&patience));
	if (err)
		wrong(trial, "where pages lie is not told later: %s", strerror(-err));
}

/* Who was kicked is dead. Who was not lives, and is when that is asked for again. */
static void check_kick(struct trial *trial)
{
	check_answer(trial);
	if (trial->err && trial->killed)
		come_back(trial, &trial->client, "who was not kicked");
	if (!*trial->problem && trial->err) {
		must(trial, &trial->client, ORDER_WORK, "who was not kicked cannot work");
		must(trial, &trial->admin, ORDER_KICK, "who was not kicked is not later");
	}
	if (!*trial->problem && !actor_was_killed(&trial->client))
		wrong(trial, "who was kicked lives");
	actor_kill(&trial->client);
}

static void check_actor(struct trial *trial)
{
	switch (trial->operation->order) {
	case ORDER_ATTACH_POOL:
	case ORDER_ATTACH_OWN:
	case ORDER_ATTACH_DEVICE:
	case ORDER_ATTACH_APART:
	case ORDER_ANNOUNCE:
		if (trial->err)
			must(trial, who_acts(trial), trial->operation->order,
			     "who was refused is not let in later");
		else if (trial->killed)
			come_back(trial, who_acts(trial), "who was let in");
		break;
	case ORDER_LOSE:
		if (trial->err)
			wrong(trial, "a client does not come back: %s", strerror(-trial->err));
		break;
	case ORDER_PARK:
	case ORDER_SHARE:
	case ORDER_SHARE_APART:
		if (trial->err)
			wrong(trial, "it cannot be parked or shared: %s", strerror(-trial->err));
		break;
	case ORDER_FRAMES: check_frames(trial); break;
	case ORDER_FIND:
	case ORDER_ADDR: check_answer(trial); break;
	case ORDER_KICK: check_kick(trial); break;
	default: break;
	}
}

static bool is_entry(const struct operation *operation)
{
	return operation->order == ORDER_ATTACH_POOL || operation->order == ORDER_ATTACH_OWN ||
	       operation->order == ORDER_ATTACH_DEVICE ||
	       operation->order == ORDER_ATTACH_APART || operation->order == ORDER_ANNOUNCE;
}

/* Does whoever acts end by it? */
static bool is_end(const struct operation *operation)
{
	return operation->dies || operation->order == ORDER_CLOSE;
}

static bool has_client(const struct trial *trial)
{
	return trial->client.pid && (trial->operation->client || trial->operation->pool_client);
}

/* Is the client one by now? */
static bool is_member(const struct trial *trial)
{
	return has_client(trial) || (trial->over && is_entry(trial->operation) &&
				     !trial->operation->device_acts);
}

static void check_others(struct trial *trial)
{
	const struct operation *operation = trial->operation;

	if (trial->killed && has_client(trial) && operation->order != ORDER_LOSE)
		come_back(trial, &trial->client, "a client");
	if (!*trial->problem && has_client(trial) && operation->device_acts && is_end(operation)) {
		must(trial, &trial->client, ORDER_LEFT, "a client does not hear that it left");
		must(trial, &trial->client, ORDER_SETTLE, "a client cannot settle");
	}
}

static bool is_parked(const struct operation *operation)
{
	return (operation->parked && !is_end(operation)) || operation->order == ORDER_PARK;
}

/* Is it known where all lies? */
static bool is_shared(const struct operation *operation)
{
	return (operation->shared && !is_end(operation)) || operation->order == ORDER_SHARE ||
	       operation->order == ORDER_SHARE_APART;
}

/* It can do what it is there for. */
static void check_work(struct trial *trial)
{
	const struct operation *operation = trial->operation;

	if (!*trial->problem && operation->order == ORDER_ANNOUNCE)
		must(trial, &trial->device, ORDER_READY, "a device process cannot be ready");
	if (!*trial->problem && operation->device_acts && is_end(operation)) {
		actor_kill(&trial->device);
		start_device(trial);
	}
	if (!*trial->problem && trial->device.pid && actor_do(&trial->device, ORDER_REJOIN))
		wrong(trial, "a device process was expelled");
	if (!*trial->problem && is_member(trial) && !operation->full)
		must(trial, &trial->client, ORDER_WORK, "a client cannot work");
	if (!*trial->problem && is_parked(operation))
		await_parked(trial);
	if (!*trial->problem && is_shared(operation))
		await_shared(trial);
	if (!*trial->problem && is_shared(operation) && is_member(trial))
		must(trial, &trial->client, ORDER_SEE, "a client is not told addresses");
}

/* Kills. */

static bool restart(struct trial *trial)
{
	if (hunt_next(&scene.hunt))
		return true;
	return wrong(trial, "the manager does not start it again");
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

/* Killed in its first 160 or so system calls. */
static bool kill_again(struct trial *trial, uint64_t *random)
{
	uint32_t restarts = scene.hunt.ledger->restarts;
	uint32_t after = test_below(random, 160);
	enum stop at = STOP_HERE;

	while (at == STOP_HERE && scene.hunt.ledger->restarts == restarts)
		at = hunt_call(&scene.hunt, never, NULL);
	for (uint32_t i = 0; at == STOP_HERE && i < after; i++)
		at = hunt_call(&scene.hunt, is_over, trial);
	if (at == STOP_GONE)
		return wrong(trial, "it ended by itself while it took everything up again");
	for (uint32_t i = test_below(random, 300); at == STOP_HERE && after % 3 == 0 && i; i--)
		at = hunt_step(&scene.hunt, is_over, trial);
	hunt_kill(&scene.hunt);
	trial_count.deaths++;
	trial_count.nested++;
	return restart(trial);
}

/* Whoever waits for the service has patience for a minute (cast.c), and each step is dear: a moment
 * that does not come by then is out of reach. */
#define REACH_NS UINT64_C(45000000000)

/* One more of what the moment counts. */
static enum stop next_of(struct trial *trial, enum kind kind, uint64_t until)
{
	enum stop at;

	if (kind == STORE)
		return hunt_store(&scene.hunt, until);
	at = hunt_step(&scene.hunt, is_over, trial);
	return at == STOP_HERE && hunt_at_call(&scene.hunt) ? STOP_CALL : at;
}

/* To the moment; what it had come to by then. STOP_HERE: to the moment itself. */
static enum stop reach(struct trial *trial, const struct moment *moment)
{
	const uint64_t until = test_now_ns() + REACH_NS;
	enum stop at = STOP_HERE;

	for (uint32_t i = 0; at == STOP_HERE && i < moment->call; i++)
		at = hunt_call(&scene.hunt, is_over, trial);
	for (uint32_t i = 0; at == STOP_HERE && moment->kind != CALL && i < moment->nth; i++)
		at = test_now_ns() < until ? next_of(trial, moment->kind, until) : STOP_LATE;
	return at;
}

/* rejoin: the service is killed at first, and what is stepped is the next one. */
static bool enter(struct trial *trial)
{
	uint32_t restarts = scene.hunt.ledger->restarts;

	hunt_hold(&scene.hunt);
	if (trial->operation->order != ORDER_LOSE) {
		act(trial);
		return true;
	}
	hunt_kill(&scene.hunt);
	trial_count.deaths++;
	trial->killed = true;
	act(trial);
	if (!restart(trial))
		return false;
	while (scene.hunt.ledger->restarts == restarts)
		if (hunt_call(&scene.hunt, never, NULL) != STOP_HERE)
			return wrong(trial, "it ended by itself before it had its ledger");
	return true;
}

static bool kill_there(struct trial *trial, const struct moment *moment, uint64_t *random)
{
	uint32_t again = test_below(random, 8);

	if (!enter(trial))
		return false;
	trial->at = reach(trial, moment);
	if (trial->at == STOP_GONE && !trial->operation->restarts)
		return wrong(trial, "it ended by itself");
	if (trial->at != STOP_GONE) {
		hunt_kill(&scene.hunt);
		trial_count.deaths++;
	}
	trial->killed = true;
	if (!restart(trial))
		return false;
	for (uint32_t i = again < 2 ? 2 - again : 0; i; i--)
		if (!kill_again(trial, random))
			return false;
	hunt_go(&scene.hunt);
	return true;
}

static bool await_connected(struct trial *trial)
{
	struct patience patience = patience_for(PATIENCE_NS);
	struct account account;

	do
		if (!take_account(trial, &account))
			return false;
	while (account.connected != account.live && patience_left(&patience));
	return account.connected == account.live ||
	       wrong(trial, "%jd members live, of whom %jd come back", (intmax_t)account.live,
		     (intmax_t)account.connected);
}

/* Killed where it sleeps: whoever goes on is one that took everything up again. */
static bool renew(struct trial *trial)
{
	const struct operation *operation = trial->operation;

	hunt_hold(&scene.hunt);
	hunt_kill(&scene.hunt);
	trial_count.deaths++;
	if (!restart(trial))
		return false;
	hunt_go(&scene.hunt);
	if (is_member(trial))
		come_back(trial, &trial->client, "a client");
	if (!*trial->problem && await_connected(trial) && is_shared(operation) &&
	    (trial->over || operation->shared))
		await_shared(trial);
	if (!*trial->problem && is_parked(operation) && (trial->over || operation->parked))
		await_parked(trial);
	return !*trial->problem;
}

/* The store has let go of both its files, or still has them both; then the next makes it again. */
static bool put_spare_back(struct trial *trial)
{
	struct patience patience = patience_for(PATIENCE_NS);
	struct account account;
	int gone, missing;

	do {
		if (!take_account(trial, &account))
			return false;
		gone = account.pools < scene.first.pools ? 2 : 0;
		missing = scene.stored - account_files(scene.hunt.manager);
	} while (missing != gone && patience_left(&patience));
	if (missing != gone)
		return wrong(trial, "%d files of a pool left the store, not %d", missing, gone);
	return renew(trial);
}

/* The pool is as it was at first: whatever the operation came to. */
static bool put_back(struct trial *trial)
{
	struct patience patience = patience_for(PATIENCE_NS);
	int err = 0;

	if (trial->operation->order == ORDER_GROW || trial->operation->order == ORDER_RETIRE)
		do
			err = actor_do(&trial->admin, ORDER_RETIRE);
		while (err && err != -EINVAL && patience_left(&patience));
	if (err && err != -EINVAL)
		return wrong(trial, "the new segment does not go: %s", strerror(-err));
	if (trial->operation->order == ORDER_DESTROY_SPARE && !put_spare_back(trial))
		return false;
	if (trial->operation->order == ORDER_DESTROY_NAMED && !renew(trial))
		return false;
	if (trial->operation->pages) {
		err = actor_do(&trial->admin, ORDER_DESTROY);
		if (err && err != -ENOENT)
			return wrong(trial, "the other pool does not go: %s", strerror(-err));
	}
	return true;
}

static void finish(struct trial *trial, uint32_t how)
{
	struct account account;

	if (is_asked(trial->operation))
		trial->err = actor_answer(who_acts(trial));
	trial->over = true;
	(void)take_account(trial, &account);
	/* A goodbye that the service did not hear counts when the process ends. */
	if (trial->operation->order == ORDER_CLOSE)
		actor_kill(who_acts(trial));
	if (trial->err == -ETIMEDOUT && trial->operation->order == ORDER_LOSE)
		wrong(trial, "a client does not come back");
	if (*trial->problem)
		return;
	check_actor(trial);
	check_others(trial);
	check_work(trial);
	/* Who was refused may have been let in without hearing of it, and is in until he ends. */
	if (!*trial->problem && how & 2 && !(trial->err && is_entry(trial->operation)))
		(void)renew(trial);
	leave(trial, how & 1);
	if (!*trial->problem && put_back(trial))
		(void)check_rest(trial);
}

static void end(struct trial *trial)
{
	actor_kill(&trial->client);
	actor_kill(&trial->device);
	actor_kill(&trial->admin);
}

/* Where there are pages for one. */
static void write_named(FILE *file)
{
	if (named_root[0])
		(void)fprintf(file, ", { name = \"" CAST_NAMED "\"; path = \"%s/" CAST_NAMED "\";"
			      " members = 24; caches = 48; max_segments = 4; segments = ("
			      " { size = \"2M\"; buffer = \"16K\"; } ); }", named_root);
}

/* As service_rules_apart, and everybody sees addresses. */
static const char rules[] =
	"{ user = \"root\"; pools = [ \"*\" ]; devices = [ \"*\" ]; serve = true; admin = true;"
	" addresses = true; },"
	"{ user = \"*\"; pools = [ \"guest\" ]; devices = [ \"echo:*\" ]; addresses = true; }";

/* More pools; the rest about as service_configure() has it. */
static void configure(struct service_process *service)
{
	FILE *file;

	service_configure(service, rules);
	file = fopen(service->config, "w");
	if (!file)
		tap_bail("%s: %s", service->config, strerror(errno));
	(void)fprintf(file, "socket = \"%s\";\n"
		      "pools = ( { name = \"" SERVICE_POOL "\"; members = 24; caches = 48;"
		      " max_segments = 4; segments = ("
		      " { size = \"4M\"; buffer = \"4K\"; page = \"4k\"; } ); },"
		      " { name = \"guest\"; template = true; members = 3; segments = ("
		      " { size = \"1M\"; buffer = \"4K\"; page = \"4k\"; } ); },"
		      " { name = \"" CAST_SPARE "\"; segments = ("
		      " { size = \"1M\"; buffer = \"4K\"; page = \"4k\"; } ); }", service->socket);
	write_named(file);
	(void)fprintf(file, " );\nrules = ( %s );\n", rules);
	if (fclose(file))
		tap_bail("%s: %s", service->config, strerror(errno));
}

/* Hugepages: of the pool on hugetlbfs, as named_mount() takes them; and of others. */
#define PAGES_NAMED 8
#define PAGES_OTHER 4

static long read_pages(const char *what)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-2048kB/%s", what);
	return support_read_long(path);
}

static bool has_pages(long nr)
{
	return read_pages("free_hugepages") - read_pages("resv_hugepages") >= nr;
}

const char *trial_lack(const struct operation *operation)
{
	if (operation->pages && !has_pages(PAGES_OTHER))
		return "no hugepages";
	if (operation->named && scene.named < 0)
		return "no hugepages for a pool of that kind";
	if ((operation->parked || operation->order == ORDER_PARK) && !scene.container)
		return "no VFIO, nor a /dev of its own";
	return NULL;
}

void trial_open(void)
{
	struct trial trial = {0};
	struct account account;

	scene.container = container_make();
	if (has_pages(PAGES_NAMED + PAGES_OTHER))
		named_mount();
	configure(&scene.service);
	service_run_managed(&scene.service, "2048");
	hunt_open(&scene.hunt, scene.service.pid);
	if (!take_account(&trial, &account))
		tap_bail("%s", trial.problem);
	scene.first = account;
	/* One that was started again may have another number of them: by then all is settled. */
	hunt_hold(&scene.hunt);
	hunt_kill(&scene.hunt);
	if (!hunt_next(&scene.hunt))
		tap_bail("the manager does not start it again");
	hunt_go(&scene.hunt);
	if (!take_account(&trial, &account))
		tap_bail("%s", trial.problem);
	scene.stored = account_files(scene.hunt.manager);
	scene.fds = account_files(scene.hunt.service);
	scene.named = named_files();
}

void trial_close(void)
{
	(void)kill(scene.hunt.manager, SIGKILL);
	(void)kill(scene.hunt.service, SIGKILL);
	(void)waitpid(scene.hunt.service, NULL, __WALL);
	(void)waitpid(scene.hunt.manager, NULL, __WALL);
	(void)munmap((void *)(uintptr_t)scene.hunt.ledger, sizeof(*scene.hunt.ledger));
	support_dir_destroy(scene.service.dir);
	named_unmount(); /* the pool's pages go with it */
}

/* After something went wrong nobody relies on that service any more. */
static bool report(const struct trial *trial, const char *how)
{
	if (!*trial->problem)
		return true;
	(void)snprintf(trial_reason, sizeof(trial_reason), "%s (%s)", trial->problem, how);
	tap_remark("%s: %s", trial->operation->name, trial->problem);
	tap_remark("%s", how);
	trial_close();
	trial_open();
	return false;
}

bool trial_run(const struct operation *operation, const struct moment *moment, uint64_t seed,
	       enum stop *at)
{
	struct trial trial = {.operation = operation, .at = STOP_GONE};
	uint64_t random = seed;
	char how[128];

	begin(&trial);
	if (!*trial.problem && !trial.starved && test_below(&random, 2))
		(void)renew(&trial);
	if (!*trial.problem && !trial.starved && kill_there(&trial, moment, &random))
		finish(&trial, test_below(&random, 4));
	end(&trial);
	*at = trial.at;
	(void)snprintf(how, sizeof(how), "again: service %s %s %u %u %#jx", operation->name,
		       trial_kinds[moment->kind], moment->call, moment->nth, (uintmax_t)seed);
	return report(&trial, how);
}

/* Without a kill it goes on from where it is, or the next one comes. */
static void let_go(struct trial *trial, enum stop at)
{
	if (at == STOP_GONE && !trial->operation->restarts) {
		wrong(trial, "it ended by itself");
		return;
	}
	/* The manager cannot go on to the next without the tracer. */
	while (trial->operation->restarts && at != STOP_GONE)
		at = hunt_call(&scene.hunt, never, NULL);
	if (at == STOP_GONE) {
		trial->killed = true;
		if (!restart(trial))
			return;
	} else if (at == STOP_IDLE) {
		hunt_hold(&scene.hunt);
	}
	hunt_go(&scene.hunt);
}

static void follow(struct trial *trial, struct course *course)
{
	static struct glance glance;
	enum stop at = STOP_HERE;

	(void)hunt_glance(&scene.hunt, &glance);
	for (course->nr = 0; at == STOP_HERE && course->nr < COURSE_MAX; course->nr++) {
		at = hunt_call(&scene.hunt, is_over, trial);
		course->stored[course->nr] = hunt_glance(&scene.hunt, &glance);
	}
	let_go(trial, at);
}

bool trial_look(const struct operation *operation, struct course *course)
{
	struct trial trial = {.operation = operation};

	begin(&trial);
	if (!*trial.problem && enter(&trial)) {
		follow(&trial, course);
		finish(&trial, 1);
	}
	end(&trial);
	return report(&trial, "without a kill");
}

static void raise_to(uint32_t *most, uint32_t nr, bool *news)
{
	*news |= nr > *most;
	*most = nr > *most ? nr : *most;
}

/* All stores up to the next system call. */
static enum stop count(struct scan *scan, uint32_t call)
{
	const uint64_t until = test_now_ns() + REACH_NS;
	enum stop at = STOP_HERE;

	for (uint32_t nr = 0; at == STOP_HERE; nr++) {
		raise_to(&scan->stores[call], nr, &scan->news);
		at = hunt_store(&scene.hunt, until);
	}
	scan->through[call] |= at != STOP_LATE;
	return at == STOP_CALL || at == STOP_LATE ? STOP_HERE : at;
}

/* So long, and another trial goes on: what is slow meets more of a timer's turns than what is
 * killed. */
#define SLICE_NS UINT64_C(200000000)

static enum stop scan_on(struct trial *trial, struct scan *scan, uint32_t *call)
{
	const uint64_t until = test_now_ns() + SLICE_NS;
	enum stop at = STOP_HERE;

	while (at == STOP_HERE && *call < COURSE_MAX && test_now_ns() < until) {
		at = count(scan, *call);
		if (at == STOP_HERE)
			at = hunt_call(&scene.hunt, is_over, trial);
		raise_to(&scan->nr, ++*call, &scan->news);
	}
	return at;
}

bool trial_scan(const struct operation *operation, uint32_t call, bool renewed, struct scan *scan,
		uint32_t *next)
{
	struct trial trial = {.operation = operation};
	enum stop at;

	*next = 0;
	begin(&trial);
	if (trial.starved)
		wrong(&trial, "no hugepage");
	if (!*trial.problem && renewed)
		(void)renew(&trial);
	if (!*trial.problem && enter(&trial)) {
		at = reach(&trial, &(struct moment){.kind = CALL, .call = call});
		if (at == STOP_HERE)
			at = scan_on(&trial, scan, &call);
		if (at == STOP_HERE && call < COURSE_MAX)
			*next = call;
		let_go(&trial, at);
		finish(&trial, 1);
	}
	end(&trial);
	return report(&trial, "without a kill, stepped through");
}
