/* SPDX-License-Identifier: BSD-3-Clause */
/* wait.h in a main loop of glib: a GSource, whose prepare() is that of the channel. */

#include <glib-unix.h>

#include "guest.h"

struct watched {
	GSource source; /* first */
	gpointer fd;    /* glib's name for it */
	struct guest *guest;
};

static struct watched *watched_of(GSource *source)
{
	return (struct watched *)(void *)source;
}

/* Something is there, or it has ended: dispatch() finds out which. */
static gboolean prepare(GSource *source, gint *timeout)
{
	*timeout = -1;
	return guest_prepare(watched_of(source)->guest) != 0;
}

static gboolean check(GSource *source)
{
	return (g_source_query_unix_fd(source, watched_of(source)->fd) & G_IO_IN) != 0;
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
	struct guest *guest = watched_of(source)->guest;

	(void)callback;
	(void)data;
	if (check(source))
		guest_wake(guest);
	else
		guest_drain(guest);
	return guest->last == -EAGAIN ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

/* Until the channel has ended. */
static void run(struct guest *guest)
{
	static GSourceFuncs functions = {.prepare = prepare, .check = check, .dispatch = dispatch};
	GMainContext *context = g_main_context_new();
	GSource *source = g_source_new(&functions, sizeof(struct watched));

	watched_of(source)->guest = guest;
	watched_of(source)->fd =
		g_source_add_unix_fd(source, pinion_channel_fd(guest->channel), G_IO_IN);
	assert_true(g_source_attach(source, context) > 0);
	while (!g_source_is_destroyed(source))
		(void)g_main_context_iteration(context, TRUE);
	g_source_unref(source);
	g_main_context_unref(context);
}

static void a_loop_hears_messages_and_a_close(void **state)
{
	struct talk talk;

	(void)state;
	talk_open(&talk);
	run(&talk.guest);
	talk_close(&talk);
}

static void a_loop_hears_that_the_peer_was_killed(void **state)
{
	struct murder murder;

	(void)state;
	murder_open(&murder);
	run(&murder.guest);
	murder_close(&murder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(a_loop_hears_messages_and_a_close),
		pool_test(a_loop_hears_that_the_peer_was_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
