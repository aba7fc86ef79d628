/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINIOND_CONFIG_H
#define PINIOND_CONFIG_H

/*
 * What the administrator wants: pools, and rules that say who may do what with them. Read once at
 * start from a file in libconfig's format, piniond.conf(5), and constant from then on.
 *
 *     socket = "/run/pinion/piniond.sock";
 *     pools = (
 *       { name = "buffers"; members = 64;
 *         segments = ( { node = 0; size = "256M"; buffer = "64K"; } ); }
 *     );
 *     rules = (
 *       { user = "root"; pools = [ "*" ]; devices = [ "*" ]; serve = true; admin = true; },
 *       { group = "pinion"; pools = [ "buffers" ]; devices = [ "nvme:*" ]; bytes = "64M"; }
 *     );
 *
 * The first rule that names the peer's user, or one of its groups, decides alone. Who meets no
 * rule may do nothing.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <pinion/client.h>
#include <pinion/pool.h>

#define CONFIG_POOLS_MAX 64
#define CONFIG_RULES_MAX 256
#define CONFIG_PATTERNS_MAX 16 /* of pools, and of devices, in one rule */

struct config_pool {
	char name[PINION_NAME_MAX];
	bool template; /* each client that names it gets a pool of its own, made like this */
	char *path;    /* on a hugetlbfs mount (named.h), or NULL */
	struct pinion_pool_config pool; /* without name and path */
};

struct config_rule {
	bool by_group, everybody; /* everybody: user = "*" */
	bool known;               /* whom it is for could be read */
	uint32_t id;              /* of the user or the group */
	char *pools[CONFIG_PATTERNS_MAX];   /* fnmatch(3); NULL-terminated if shorter */
	char *devices[CONFIG_PATTERNS_MAX]; /* likewise: which it may ask for, or serve */
	uint64_t bytes;        /* quota of each membership; 0: none */
	uint32_t memberships;  /* at once, of one user; 0: no limit of its own */
	uint32_t channels;     /* likewise */
	bool serve;            /* may be a device process */
	bool addresses;        /* may see physical addresses */
	bool admin;            /* may give orders: kick, create, grow, ... */
};

struct config {
	char *socket;       /* when it is not inherited from systemd */
	mode_t socket_mode; /* 0666: rules decide, not the file */
	char *user;         /* whom to become after set-up; NULL: stay */
	char *metrics;      /* "ADDRESS:PORT" of the listener for Prometheus; NULL: none. Of this
	                     * machine alone, unless metrics_public says otherwise */
	uint32_t peers_max; /* connections at once */
	bool reserve;       /* hugepages that the pools lack, before they are made */
	uint32_t nr_pools, nr_rules;
	struct config_pool pool[CONFIG_POOLS_MAX];
	struct config_rule rule[CONFIG_RULES_MAX];
};

/*
 * 0, or -EINVAL after telling on stderr what is wrong: "FILE:LINE: KEY: what, and what would do".
 * All mistakes that can be told are told, not only the first. -ENOENT and others: no such file.
 */
int config_read(const char *file, struct config **config);
void config_free(struct config *config);

/* The pool of that name; NULL: none. */
const struct config_pool *config_find_pool(const struct config *config, const char *name);

/* The rule for a peer of @uid, @gid and its @nr supplementary @groups; NULL: none. */
const struct config_rule *config_find_rule(const struct config *config, uid_t uid, gid_t gid,
					   const gid_t *groups, unsigned nr);

bool config_rule_allows_pool(const struct config_rule *rule, const char *pool);
bool config_rule_allows_device(const struct config_rule *rule, const char *device);

#endif
