/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration of piniond: each mistake is told with its line, and with what would do; a good
 * file is read as it is meant; the first rule decides.
 */

#include "support.h"

#include <sys/mman.h>

#include "config.h"

#define TOLD_MAX 8192

static char dir[SUPPORT_PATH_LEN];

static int make_dir(void **state)
{
	(void)state;
	support_dir_create(dir);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	support_dir_destroy(dir);
	return 0;
}

/* config_read() with what it says caught in @told. */
static int read_caught(const char *file, struct config **config, char told[TOLD_MAX])
{
	const int caught = memfd_create("told", MFD_CLOEXEC), saved = dup(STDERR_FILENO);
	ssize_t len;
	int err;

	assert_true(caught >= 0 && saved >= 0);
	assert_int_equal(dup2(caught, STDERR_FILENO), STDERR_FILENO);
	err = config_read(file, config);
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	len = pread(caught, told, TOLD_MAX - 1, 0);
	assert_in_range(len, 0, TOLD_MAX - 2);
	told[len] = '\0';
	close(caught);
	close(saved);
	return err;
}

static struct config *read_good_file(const char *file)
{
	struct config *config = NULL;
	char told[TOLD_MAX];
	const int err = read_caught(file, &config, told);

	if (err)
		print_message("# %d: %s\n", err, told);
	assert_int_equal(err, 0);
	assert_string_equal(told, "");
	return config;
}

static struct config *read_good(const char *text)
{
	support_write_text(dir, "good.conf", text);
	return read_good_file(support_path(dir, "good.conf"));
}

/* What is told about @text is @expected, to the letter, with the file's name left out. */
static void assert_told(const char *text, const char *expected)
{
	struct config *config = NULL;
	char told[TOLD_MAX], bare[TOLD_MAX] = "", file[SUPPORT_PATH_LEN + 16];
	char *line, *rest = told;

	support_write_text(dir, "bad.conf", text);
	snprintf(file, sizeof(file), "%s", support_path(dir, "bad.conf"));
	assert_int_equal(read_caught(file, &config, told), -EINVAL);
	assert_null(config);
	while ((line = strsep(&rest, "\n")) != NULL && *line != '\0') {
		assert_int_equal(strncmp(line, file, strlen(file)), 0);
		assert_int_equal(line[strlen(file)], ':');
		snprintf(bare + strlen(bare), sizeof(bare) - strlen(bare), "%s\n",
			 line + strlen(file) + 1);
	}
	assert_string_equal(bare, expected);
}

/* A pool with @keys on line 2, and a segment with @segment on line 3. */
static const char *pool_with(const char *keys, const char *segment)
{
	static char text[TOLD_MAX];

	snprintf(text, sizeof(text), "pools = ( {\n%s\nsegments = ( { %s } ); } );\n", keys,
		 segment);
	return text;
}

#define NAMED "name = \"a\";"
#define SOUND "size = \"4M\"; buffer = \"64K\";"

static const char *rule_with(const char *keys)
{
	static char text[TOLD_MAX];

	snprintf(text, sizeof(text), "rules = (\n{ %s } );\n", keys);
	return text;
}

static void an_empty_file_has_the_defaults(void **state)
{
	struct config *config = read_good("");

	(void)state;
	assert_string_equal(config->socket, PINION_SOCKET_DEFAULT);
	assert_int_equal(config->socket_mode, 0666);
	assert_null(config->user);
	assert_null(config->metrics);
	assert_int_equal(config->peers_max, 1024);
	assert_false(config->reserve);
	assert_int_equal(config->nr_pools + config->nr_rules, 0);
	assert_null(config_find_pool(config, ""));
	assert_null(config_find_rule(config, 0, 0, NULL, 0));
	config_free(config);
	config_free(NULL);
}

static void the_top_is_read(void **state)
{
	struct config *config = read_good("socket = \"/tmp/s\"; socket_mode = \"0600\";\n"
					  "user = \"root\"; metrics = \"[::1]:9464\";\n"
					  "peers_max = 7;\nreserve = true;\n");

	(void)state;
	assert_string_equal(config->socket, "/tmp/s");
	assert_int_equal(config->socket_mode, 0600);
	assert_string_equal(config->user, "root");
	assert_string_equal(config->metrics, "[::1]:9464");
	assert_int_equal(config->peers_max, 7);
	assert_true(config->reserve);
	config_free(config);
}

static void a_pool_is_read(void **state)
{
	struct config *config = read_good(
		"pools = ( { name = \"first\"; " /* and its defaults */
		"segments = ( { " SOUND " } ); },\n"
		"{ name = \"nvme.buffers_2-x:y\"; path = \"/mnt/p\"; members = 4096;\n"
		"caches = 9; magazine = 8; scrub = true; debug = true; max_segments = 3;\n"
		"segments = ( { node = 1; size = \"2G\"; buffer = 64; page = \"1G\"; },\n"
		"{ node = \"any\"; size = 4294967296L; buffer = \"1G\"; page = 4096; } ); },\n"
		"{ name = \"each\"; template = true; segments = ( { " SOUND " } ); } );\n");
	const struct config_pool *pool = config_find_pool(config, "nvme.buffers_2-x:y");

	(void)state;
	assert_int_equal(config->nr_pools, 3);
	assert_ptr_equal(pool, &config->pool[1]);
	assert_string_equal(pool->path, "/mnt/p");
	assert_false(pool->template);
	assert_int_equal(pool->pool.nr_members, 4096);
	assert_int_equal(pool->pool.nr_caches, 9);
	assert_int_equal(pool->pool.magazine_size, 8);
	assert_int_equal(pool->pool.flags, PINION_POOL_SCRUB | PINION_POOL_DEBUG);
	assert_int_equal(pool->pool.max_segments, 3);
	assert_int_equal(pool->pool.nr_segments, 2);
	assert_int_equal(pool->pool.segment[0].node, 1);
	assert_int_equal(pool->pool.segment[0].len, (size_t)2 << 30);
	assert_int_equal(pool->pool.segment[0].buffer_size, 64);
	assert_int_equal(pool->pool.segment[0].page_size, (size_t)1 << 30);
	assert_int_equal(pool->pool.segment[1].node, PINION_NODE_ANY);
	assert_int_equal(pool->pool.segment[1].len, (size_t)4 << 30);
	assert_int_equal(pool->pool.segment[1].page_size, 4096);
	assert_int_equal(config->pool[0].pool.segment[0].page_size, (size_t)2 << 20);
	assert_int_equal(config->pool[0].pool.segment[0].node, PINION_NODE_ANY);
	assert_int_equal(config->pool[0].pool.flags + config->pool[0].pool.nr_members, 0);
	assert_true(config->pool[2].template);
	assert_null(config_find_pool(config, "firs"));
	config_free(config);
}

static void what_is_misspelt_is_told_with_what_was_meant(void **state)
{
	(void)state;
	assert_told("\nsockt = \"/s\";\n", "2: sockt: unknown key: did you mean \"socket\"?\n");
	assert_told("color = 1;\n", "1: color: unknown key: there are socket socket_mode user "
				    "metrics metrics_public peers_max reserve pools and rules\n");
	assert_told(pool_with(NAMED " membres = 3;", SOUND),
		    "2: pools[0].membres: unknown key: did you mean \"members\"?\n");
	assert_told(pool_with(NAMED, SOUND " bufer = 1;"), "3: pools[0].segments[0].bufer: unknown "
							   "key: did you mean \"buffer\"?\n");
	assert_told(rule_with("user = 0; device = \"x\";"),
		    "2: rules[0].device: unknown key: did you mean \"devices\"?\n");
}

static void a_wrong_type_is_told(void **state)
{
	(void)state;
	assert_told("socket = 3;\n", "1: socket: 3 is no text: put it in quotes\n");
	assert_told("socket = \"\";\n", "1: socket: empty\n");
	assert_told("peers_max = \"many\";\n",
		    "1: peers_max: \"many\" is no number from 1 to 65536\n");
	assert_told("reserve = 64;\n", "1: reserve: 64 is neither true nor false\n");
	assert_told("peers_max = 1.5;\n", "1: peers_max: 1.5 is no number from 1 to 65536\n");
	assert_told("pools = 1;\n",
		    "1: pools: 1 is no list of groups: ( { ... }, { ... } )\n");
	assert_told("pools = { };\n",
		    "1: pools: a group { } is no list of groups: ( { ... }, { ... } )\n");
	assert_told("rules = ( true,\n( ) );\n", "1: rules[0]: true is no group: { ... }\n"
						 "2: rules[1]: a list is no group: { ... }\n");
	assert_told(rule_with("user = 1; serve = 1;"),
		    "2: rules[0].serve: 1 is neither true nor false\n");
	assert_told(rule_with("user = 1; pools = [ 1, 2 ];"),
		    "2: rules[0].pools[0]: 1 is no text: put it in quotes\n"
		    "2: rules[0].pools[1]: 2 is no text: put it in quotes\n");
	assert_told(rule_with("user = true;"), "2: rules[0].user: true is no text: put it in "
					       "quotes\n");
}

static void a_number_out_of_range_is_told(void **state)
{
	(void)state;
	assert_told("peers_max = 0;\n", "1: peers_max: 0 is no number from 1 to 65536\n");
	assert_told(pool_with(NAMED " members = 4097; caches = -1; magazine = 7;", SOUND),
		    "2: pools[0].members: 4097 is no number from 1 to 4096\n"
		    "2: pools[0].caches: -1 is no number from 1 to 65536\n"
		    "2: pools[0].magazine: 7 is no number from 8 to 512\n");
	assert_told(pool_with(NAMED " max_segments = 65;", SOUND),
		    "2: pools[0].max_segments: 65 is no number from 1 to 64\n");
	assert_told(pool_with(NAMED " max_segments = 1;", SOUND " }, { " SOUND),
		    "2: pools[0].max_segments: 1 is less than the 2 segments that there are\n");
	assert_told(rule_with("user = 1; memberships = -1; channels = 4294967296L;"),
		    "2: rules[0].memberships: -1 is no number from 0 to 4294967295\n"
		    "2: rules[0].channels: 4294967296 is no number from 0 to 4294967295\n");
	assert_told(pool_with(NAMED, SOUND " node = 1024;"),
		    "3: pools[0].segments[0].node: 1024 is no number from 0 to 1023\n");
	assert_told(pool_with(NAMED, SOUND " node = \"one\";"),
		    "3: pools[0].segments[0].node: \"one\" is no number from 0 to 1023\n");
}

/* libconfig would take 68719476736 for 0, 4294967297 for 1 and 0666 for 666. */
static void a_number_that_would_be_cut_is_told(void **state)
{
	(void)state;
	assert_told("# 4294967297\n/* 4294967297\n*/ peers_max // 4294967297\n= 4294967297;\n"
		    "socket = \"/4294967297\\\"4294967297\";\n",
		    "4: 4294967297 would be cut to 32 bits: write an L behind it, or a size such "
		    "as \"64G\"\n");
	assert_told("peers_max = 0x100000001;\n",
		    "1: 0x100000001 would be cut to 32 bits: write an L behind it, or a size such "
		    "as \"64G\"\n");
	assert_told("peers_max = 010;\n", "1: 010: a leading zero means nothing here: leave it "
					  "out, or, if it is octal, put it in quotes\n");
	assert_told("peers_max = 99999999999999999999L;\n",
		    "1: peers_max: 9223372036854775807 is no number from 1 to 65536\n");
	config_free(read_good("peers_max = 1024L;\nsocket = \"/4294967297\";\n"));
}

static void a_size_that_cannot_be_is_told(void **state)
{
	(void)state;
	assert_told(pool_with(NAMED, "size = \"4M\"; buffer = \"60K\";"),
		    "3: pools[0].segments[0].buffer: \"60K\" is no power of two: 32K and 64K "
		    "are\n");
	assert_told(pool_with(NAMED, "size = \"4M\"; buffer = \"32\";"),
		    "3: pools[0].segments[0].buffer: \"32\" is not from 64B to 1G\n");
	assert_told(pool_with(NAMED, "size = \"4X\"; buffer = \"2G\";"),
		    "3: pools[0].segments[0].size: \"4X\" is no size: bytes, or \"64K\", \"256M\", "
		    "\"1G\"\n3: pools[0].segments[0].buffer: \"2G\" is not from 64B to 1G\n");
	assert_told(pool_with(NAMED, "size = -1; buffer = true;"),
		    "3: pools[0].segments[0].size: -1 is no size: bytes, or \"64K\", \"256M\", "
		    "\"1G\"\n3: pools[0].segments[0].buffer: true is no size: bytes, or \"64K\", "
		    "\"256M\", \"1G\"\n");
	assert_told(pool_with(NAMED, SOUND " page = \"3M\";"),
		    "3: pools[0].segments[0].page: \"3M\" is no power of two: 2M and 4M are\n");
	assert_told(pool_with(NAMED, SOUND " page = 2048;"),
		    "3: pools[0].segments[0].page: 2048 is not from 4K to 1T\n");
	assert_told(rule_with("user = 1; bytes = \"lots\";"), "2: rules[0].bytes: \"lots\" is no "
			      "size: bytes, or \"64K\", \"256M\", \"1G\"\n");
}

static void sizes_that_do_not_go_together_are_told(void **state)
{
	(void)state;
	assert_told(pool_with(NAMED, "size = \"3M\"; buffer = \"64K\";"),
		    "3: pools[0].segments[0].size: \"3M\" is not a multiple of the page size, "
		    "2097152 bytes\n");
	assert_told(pool_with(NAMED, "size = \"6M\"; buffer = \"4M\";"),
		    "3: pools[0].segments[0].size: \"6M\" is not a multiple of the buffer size, "
		    "4194304 bytes\n");
	assert_told(pool_with(NAMED, "size = \"32G\"; buffer = 64;"),
		    "3: pools[0].segments[0].size: \"32G\" is more than 2^28 buffers: make several "
		    "pools\n");
	config_free(read_good(pool_with(NAMED, "size = \"16G\"; buffer = 64;")));
}

static void what_is_missing_is_told(void **state)
{
	(void)state;
	assert_told(pool_with("", SOUND), "1: pools[0].name: missing: clients ask for a pool by "
					  "it\n");
	assert_told(pool_with(NAMED, ""),
		    "3: pools[0].segments[0].size: missing: how many bytes of memory\n"
		    "3: pools[0].segments[0].buffer: missing: how large each buffer is\n");
	assert_told("pools = (\n{ " NAMED " } );\n",
		    "2: pools[0].segments: missing: a pool has at least one\n");
	assert_told("pools = (\n{ " NAMED " segments = (); } );\n",
		    "2: pools[0].segments: missing: a pool has at least one\n");
	assert_told(rule_with(""), "2: rules[0].user: missing: or group: whom it is for\n");
}

static void a_name_that_cannot_be_is_told(void **state)
{
	char text[TOLD_MAX];

	(void)state;
	assert_told(pool_with("name = \"a b\";", SOUND), "2: pools[0].name: \"a b\" may have "
		    "letters, digits and \":._-\" only\n");
	assert_told(pool_with("name = \"0123456789012345678901234567890123456789012345678901234567"
			      "890123\";", SOUND),
		    "2: pools[0].name: \"01234567890123456789012345678901234567890123456789"
		    "01234567890123\" has more than 63 letters\n");
	snprintf(text, sizeof(text), "pools = (\n{ %s segments = ( { %s } ); },\n"
		 "{ %s segments = ( { %s } ); } );\n", NAMED, SOUND, NAMED, SOUND);
	assert_told(text, "3: pools[1].name: another pool is named \"a\"\n");
}

static void a_path_that_cannot_be_is_told(void **state)
{
	(void)state;
	assert_told("socket = \"s\";\n", "1: socket: \"s\" is no absolute path: it begins with a "
					 "/\n");
	assert_told(pool_with(NAMED " path = \"p\";", SOUND),
		    "2: pools[0].path: \"p\" is no absolute path: it begins with a /\n");
	assert_told(pool_with(NAMED " template = true; path = \"/p\";", SOUND),
		    "2: pools[0].path: pools of a template cannot all lie in one directory: leave "
		    "it out\n");
	assert_told("socket = \"/234567890123456789012345678901234567890123456789012345678901234567"
		    "890123456789012345678901234567890123456789\";\n",
		    "1: socket: the name of a socket has at most 107 letters\n");
}

static void a_mode_that_is_no_octal_text_is_told(void **state)
{
	(void)state;
	assert_told("socket_mode = 666;\n",
		    "1: socket_mode: put it in quotes, as an octal number: \"0666\"\n");
	assert_told("socket_mode = \"0888\";\n",
		    "1: socket_mode: \"0888\" is no octal number from 0 to 0777\n");
	assert_told("socket_mode = \"1777\";\n",
		    "1: socket_mode: \"1777\" is no octal number from 0 to 0777\n");
}

static void an_address_that_cannot_be_is_told(void **state)
{
	const char *bad[] = {"9464", "localhost:9464", "127.0.0.1:", "127.0.0.1:0",
			     "127.0.0.1:65536", "127.0.0.1:94x", "::1:9464", "[::1:9464",
			     "[127.0.0.1]:9464", ":9464"};
	char text[TOLD_MAX], told[TOLD_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "\nmetrics = \"%s\";\n", bad[i]);
		snprintf(told, sizeof(told), "2: metrics: \"%s\" is no address with a port: "
			 "\"127.0.0.1:9464\", \"[::1]:9464\"\n", bad[i]);
		assert_told(text, told);
	}
	config_free(read_good("metrics = \"127.1.2.3:65535\";\n"));
}

static void an_address_for_other_machines_must_be_meant(void **state)
{
	const char *open[] = {"0.0.0.0:1", "10.0.0.1:9464", "[::]:9464", "[fe80::1]:9464"};
	char text[TOLD_MAX], told[TOLD_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
		snprintf(text, sizeof(text), "metrics = \"%s\";\n", open[i]);
		snprintf(told, sizeof(told), "1: metrics: other machines can connect to \"%s\": "
			 "metrics_public = true if that is meant\n", open[i]);
		assert_told(text, told);
		strcat(text, "metrics_public = true;\n");
		config_free(read_good(text));
	}
}

static void somebody_whom_nobody_knows_is_told(void **state)
{
	(void)state;
	assert_told("user = \"no-such\";\n", "1: user: no user is named \"no-such\" here\n");
	assert_told(rule_with("user = \"no-such\";"),
		    "2: rules[0].user: no user is named \"no-such\" here\n");
	assert_told(rule_with("group = \"no-such\";"),
		    "2: rules[0].group: no group is named \"no-such\" here\n");
	assert_told(rule_with("group = \"*\";"), "2: rules[0].group: everybody is user = \"*\"\n");
	assert_told(rule_with("user = 4294967295L;"),
		    "2: rules[0].user: 4294967295 is no number from 0 to 4294967294\n");
	assert_told(rule_with("user = \"4294967295\";"),
		    "2: rules[0].user: no user is named \"4294967295\" here\n");
	assert_told(rule_with("user = \"root\"; group = \"root\";"),
		    "2: rules[0].group: there is a user as well: a rule has one of both\n");
}

static void a_rule_that_is_never_reached_is_told(void **state)
{
	(void)state;
	assert_told("rules = ( { user = \"*\"; },\n{ user = \"root\"; } );\n",
		    "2: rules[1]: never reached: rules[0] decides before it\n");
	assert_told("rules = ( { group = 7; }, { user = 7; },\n{ group = \"7\"; } );\n",
		    "2: rules[2]: never reached: rules[0] decides before it\n");
	config_free(read_good("rules = ( { group = 7; }, { user = 7; }, { user = \"*\"; } );\n"));
}

static void whom_a_rule_is_for_that_cannot_be_read_hides_nobody(void **state)
{
	(void)state;
	assert_told("rules = ( { user = \"no-such\"; },\n{ user = \"root\"; } );\n",
		    "1: rules[0].user: no user is named \"no-such\" here\n");
	assert_told("rules = ( { serve = true; },\n{ user = 0; } );\n",
		    "1: rules[0].user: missing: or group: whom it is for\n");
	assert_told("rules = ( { user = 0; colour = 1; },\n{ user = 0; } );\n",
		    "1: rules[0].colour: unknown key: there are user group pools devices bytes "
		    "memberships channels serve addresses and admin\n"
		    "2: rules[1]: never reached: rules[0] decides before it\n");
}

static void too_many_of_a_thing_are_told(void **state)
{
	char patterns[TOLD_MAX] = "user = 1; devices = [ \"d0\"";

	(void)state;
	for (int i = 1; i <= CONFIG_PATTERNS_MAX; i++)
		snprintf(patterns + strlen(patterns), sizeof(patterns) - strlen(patterns),
			 ", \"d%d\"", i);
	strcat(patterns, " ];");
	assert_told(rule_with(patterns),
		    "2: rules[0].devices: 17 of them are too many: 16 at most\n");
}

static void all_mistakes_are_told_at_once(void **state)
{
	(void)state;
	assert_told("peers_max = 0;\nsocket = 07;\ncolour = 1;\nuser = \"no-such\";\n"
		    "pools = ( {\nmembers = 0;\nsegments = ( { size = \"1M\";\nbuffer = 65; } );\n"
		    "} );\nrules = (\n{ serve = 1; } );\n",
		    "2: 07: a leading zero means nothing here: leave it out, or, if it is octal, "
		    "put it in quotes\n"
		    "3: colour: unknown key: there are socket socket_mode user metrics "
		    "metrics_public peers_max reserve pools and rules\n"
		    "2: socket: 7 is no text: put it in quotes\n"
		    "4: user: no user is named \"no-such\" here\n"
		    "1: peers_max: 0 is no number from 1 to 65536\n"
		    "5: pools[0].name: missing: clients ask for a pool by it\n"
		    "8: pools[0].segments[0].buffer: 65 is no power of two: 64B and 128B are\n"
		    "6: pools[0].members: 0 is no number from 1 to 4096\n"
		    "11: rules[0].user: missing: or group: whom it is for\n"
		    "11: rules[0].serve: 1 is neither true nor false\n");
}

static void a_text_without_form_is_told(void **state)
{
	(void)state;
	assert_told("socket = \"/s\"\nuser\n", "3: syntax error\n");
	assert_told("user = \"root\";\nuser = \"root\";\n", "2: duplicate setting name\n");
	assert_told("\n@include \"other.conf\"\n", "2: no @include: all is in one file\n");
	assert_told("\nsocket = \"/s\n;\n", "2: a text begins here that has no end\n");
	/* libconfig would pass over all that follows. */
	assert_told("\n/* never closed\nuser = 1;\n", "2: a comment begins here that has no end\n");
}

static void a_file_that_cannot_be_read_is_an_error_of_its_own(void **state)
{
	struct config *config = NULL;

	(void)state;
	assert_int_equal(config_read(support_path(dir, "none"), &config), -ENOENT);
	assert_int_equal(config_read(dir, &config), -EISDIR);
	support_write(dir, "nul", "user = \"root\";\0", 16);
	assert_int_equal(config_read(support_path(dir, "nul"), &config), -EILSEQ);
	assert_int_equal(config_read("/dev/zero", &config), -EFBIG);
	assert_null(config);
}

/* Known here? Users and groups of the example need not be. */
static bool names_somebody(const char *line)
{
	return strstr(line, "\"nvme-driver\"") != NULL || strstr(line, "\"storage\"") != NULL ||
	       strstr(line, "\"pinion\"") != NULL;
}

/* "#key" and "  #  key" are examples, "# word" is prose. */
static bool uncommented(const char *line, const char *hash)
{
	return hash[1] != ' ' ? hash[1] != '\n' : hash > line && hash[2] == ' ';
}

/* Without lines that name somebody; @all: with what it leaves out otherwise. */
static void read_example(char text[TOLD_MAX], bool all)
{
	FILE *from = fopen(PINIOND_EXAMPLE, "re");
	char line[512];

	assert_non_null(from);
	text[0] = '\0';
	while (fgets(line, sizeof(line), from) != NULL) {
		char *first = line + strspn(line, " ");

		if (names_somebody(first))
			*first = '#';
		else if (all && *first == '#' && uncommented(line, first))
			*first = ' ';
		strcat(text, line);
	}
	fclose(from);
}

static void the_example_is_good(void **state)
{
	char text[TOLD_MAX];
	struct config *config;

	(void)state;
	read_example(text, false);
	config = read_good(text);
	assert_int_equal(config->nr_pools, 1);
	assert_int_equal(config->nr_rules, 1);
	assert_non_null(config_find_rule(config, 0, 0, NULL, 0));
	assert_null(config_find_rule(config, SUPPORT_NOBODY, SUPPORT_NOBODY, NULL, 0));
	config_free(config);
}

static void what_the_example_leaves_out_is_good_too(void **state)
{
	char text[TOLD_MAX];
	struct config *config;

	(void)state;
	read_example(text, true);
	config = read_good(text);
	assert_string_equal(config->metrics, "127.0.0.1:9464");
	assert_int_equal(config->nr_pools, 3);
	assert_int_equal(config->nr_rules, 2);
	config_free(config);
}

static void the_first_rule_that_names_the_peer_decides(void **state)
{
	struct config *config = read_good("rules = ( { user = 5; }, { group = 7; admin = true; },\n"
					  "{ group = \"8\"; }, { user = \"root\"; },\n"
					  "{ group = \"root\"; }, { user = \"*\"; } );\n");
	const gid_t groups[] = {30, 8, 7};
	const struct config_rule *rule = config->rule;

	(void)state;
	assert_ptr_equal(config_find_rule(config, 5, 7, groups, 3), &rule[0]);
	assert_ptr_equal(config_find_rule(config, 6, 7, NULL, 0), &rule[1]);
	assert_ptr_equal(config_find_rule(config, 6, 9, groups, 3), &rule[1]);
	assert_ptr_equal(config_find_rule(config, 6, 9, groups, 2), &rule[2]);
	assert_ptr_equal(config_find_rule(config, 0, 9, groups, 1), &rule[3]);
	assert_ptr_equal(config_find_rule(config, 6, 0, groups, 1), &rule[4]);
	/* A group's number is no user's, nor the other way round. */
	assert_ptr_equal(config_find_rule(config, 7, 5, groups, 1), &rule[5]);
	assert_true(rule[5].everybody);
	config_free(config);
}

static void without_a_rule_nothing_is_allowed(void **state)
{
	struct config *config = read_good("rules = ( { user = 5; } );\n");

	(void)state;
	assert_null(config_find_rule(config, 6, 5, NULL, 0));
	assert_false(config_rule_allows_pool(&config->rule[0], "a"));
	assert_false(config_rule_allows_device(&config->rule[0], "a"));
	assert_false(config->rule[0].serve || config->rule[0].addresses || config->rule[0].admin);
	assert_int_equal(config->rule[0].bytes, 0);
	assert_int_equal(config->rule[0].memberships, 0);
	assert_int_equal(config->rule[0].channels, 0);
	config_free(config);
}

static void patterns_are_those_of_the_shell(void **state)
{
	struct config *config = read_good(
		"rules = ( { user = 5; pools = ( \"buf*\", \"x?\" ); devices = \"nvme:[0-9]*\";\n"
		"bytes = \"64M\"; memberships = 8; channels = 4; serve = true;\n"
		"addresses = true; } );\n");
	const struct config_rule *rule = &config->rule[0];

	(void)state;
	assert_true(config_rule_allows_pool(rule, "buf"));
	assert_true(config_rule_allows_pool(rule, "buffers"));
	assert_true(config_rule_allows_pool(rule, "x1"));
	assert_false(config_rule_allows_pool(rule, "x"));
	assert_false(config_rule_allows_pool(rule, "abuf"));
	assert_false(config_rule_allows_pool(rule, "nvme:0"));
	assert_true(config_rule_allows_device(rule, "nvme:0000:41:00.0"));
	assert_false(config_rule_allows_device(rule, "nvme:x"));
	assert_false(config_rule_allows_device(rule, "buffers"));
	assert_int_equal(rule->bytes, 64 << 20);
	assert_int_equal(rule->memberships, 8);
	assert_int_equal(rule->channels, 4);
	assert_true(rule->serve && rule->addresses && !rule->admin);
	config_free(config);
}

/* All sixteen, so that no NULL ends them. */
static void as_many_patterns_as_there_may_be_are_looked_at(void **state)
{
	char text[TOLD_MAX] = "user = 1; devices = [ \"d0\"";
	struct config *config;

	(void)state;
	for (int i = 1; i < CONFIG_PATTERNS_MAX; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), ", \"d%d\"", i);
	strcat(text, " ];");
	config = read_good(rule_with(text));
	assert_true(config_rule_allows_device(&config->rule[0], "d15"));
	assert_false(config_rule_allows_device(&config->rule[0], "d16"));
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(an_empty_file_has_the_defaults),
		support_test(the_top_is_read),
		support_test(a_pool_is_read),
		support_test(what_is_misspelt_is_told_with_what_was_meant),
		support_test(a_wrong_type_is_told),
		support_test(a_number_out_of_range_is_told),
		support_test(a_number_that_would_be_cut_is_told),
		support_test(a_size_that_cannot_be_is_told),
		support_test(sizes_that_do_not_go_together_are_told),
		support_test(what_is_missing_is_told),
		support_test(a_name_that_cannot_be_is_told),
		support_test(a_path_that_cannot_be_is_told),
		support_test(a_mode_that_is_no_octal_text_is_told),
		support_test(an_address_that_cannot_be_is_told),
		support_test(an_address_for_other_machines_must_be_meant),
		support_test(somebody_whom_nobody_knows_is_told),
		support_test(a_rule_that_is_never_reached_is_told),
		support_test(whom_a_rule_is_for_that_cannot_be_read_hides_nobody),
		support_test(too_many_of_a_thing_are_told),
		support_test(all_mistakes_are_told_at_once),
		support_test(a_text_without_form_is_told),
		support_test(a_file_that_cannot_be_read_is_an_error_of_its_own),
		support_test(the_example_is_good),
		support_test(what_the_example_leaves_out_is_good_too),
		support_test(the_first_rule_that_names_the_peer_decides),
		support_test(without_a_rule_nothing_is_allowed),
		support_test(patterns_are_those_of_the_shell),
		support_test(as_many_patterns_as_there_may_be_are_looked_at),
	};

	return cmocka_run_group_tests_name("config", tests, make_dir, remove_dir);
}
