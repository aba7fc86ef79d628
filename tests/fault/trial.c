/* SPDX-License-Identifier: BSD-3-Clause */
#include "trial.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <pinion/error.h>

#include "fail.h"
#include "heap.h"
#include "leak.h"
#include "mouth.h"

/* No call gives this errno: if it is still there, it was left alone. */
#define ERRNO_BEFORE 3456

/* The shortest sentence that says what is wrong and where. */
#define SENTENCE_MIN 16

__attribute__((format(printf, 2, 3))) static void complain(struct trial *trial, const char *format,
							   ...)
{
	va_list args;

	if (trial->problem[0])
		return; /* the first one is the cause */
	va_start(args, format);
	(void)vsnprintf(trial->problem, sizeof(trial->problem), format, args);
	va_end(args);
}

static void call(void (*step)(struct scene *scene), struct scene *scene)
{
	if (step)
		step(scene);
}

static struct leak_scope scope_of(const struct trial *trial, const struct scene *scene)
{
	return (struct leak_scope){
		/* Of a header's machine the calls make no files: it is not listed each time. */
		.dir = scene->dir[0] && !trial->operation->bare ? scene->dir : NULL,
		.heap = trial->warm,
		.reserved = trial->operation->bare,
		.machine = trial->operation->huge != 0,
	};
}

static void compare(struct trial *trial, const struct scene *scene,
		    const struct leak_snapshot *before, const char *when)
{
	const struct leak_scope scope = scope_of(trial, scene);
	char what[512];

	if (trial->problem[0] || !leak_found(&scope, before, what, sizeof(what)))
		return;
	trial->machine = strstr(what, "HugePages_") != NULL;
	complain(trial, "%s: %s", when, what);
}

/* What no call returns of its own that puts its results there. */
#define OUT_BEFORE 0xa5

static bool out_is_as_before(const struct operation *operation)
{
	const unsigned char *out = operation->out;

	for (size_t i = 0; i < operation->out_len; i++)
		if (out[i] != OUT_BEFORE)
			return false;
	return true;
}

static void check_kept(struct trial *trial, struct scene *scene)
{
	const struct operation *operation = trial->operation;
	const char *changed = operation->kept ? operation->kept(scene) : NULL;

	if (changed)
		complain(trial, "returned %d, and changed %s", trial->returned, changed);
}

/* What the headers promise: a signal breaks nothing off, and a failed call changes nothing. */
static void check_bare_failure(struct trial *trial)
{
	if (trial->returned == -EINTR)
		complain(trial, "a signal broke it off");
	if (!out_is_as_before(trial->operation))
		complain(trial, "returned %d, and changed its results", trial->returned);
}

/* An errno as the library returns it, and a sentence that this call made. */
static void check_failure(struct trial *trial)
{
	if (trial->returned < -4095 || trial->returned == -ERRNO_BEFORE)
		complain(trial, "returned %d: that is no error, or the caller's own errno",
			 trial->returned);
	if (trial->operation->terse || trial->operation->bare)
		return;
	if (strlen(trial->sentence) < SENTENCE_MIN)
		complain(trial, "returned %d without a sentence: '%s'", trial->returned,
			 trial->sentence);
	if (trial->returned != -ENOMEM && strstr(trial->sentence, "no memory") &&
	    !strstr(trial->sentence, strerror(-trial->returned)))
		complain(trial, "the sentence blames memory for %d: '%s'", trial->returned,
			 trial->sentence);
	/* strerror(0): the sentence was made from an errno that was lost on the way. */
	if (strstr(trial->sentence, strerror(0)))
		complain(trial, "the sentence lost the error: '%s'", trial->sentence);
}

static int run_once(const struct trial *trial, struct scene *scene)
{
	const struct operation *operation = trial->operation;

	if (operation->out)
		memset(operation->out, OUT_BEFORE, operation->out_len);
	return operation->run(scene);
}

/* The operation, disturbed. */
static void run(struct trial *trial, struct scene *scene)
{
	struct mouth mouth;
	char printed[128];
	int seen;

	(void)pinion_fail(0, "%s", ""); /* what an earlier call said */
	mouth_open(&mouth);
	trial->begin();
	heap_fail_at(trial->allocation);
	errno = ERRNO_BEFORE;
	trial->returned = run_once(trial, scene);
	seen = errno;
	trial->refused = heap_failed();
	heap_fail_at(-1);
	trial->end();
	mouth_close(&mouth, printed, sizeof(printed));
	(void)snprintf(trial->sentence, sizeof(trial->sentence), "%s", pinion_error_text());
	if (printed[0])
		complain(trial, "it printed: '%.*s'", (int)strcspn(printed, "\n"), printed);
	if (seen != ERRNO_BEFORE && !trial->operation->bare)
		complain(trial, "errno became %d", seen);
	if (trial->returned > 0)
		complain(trial, "returned %d, neither 0 nor an error", trial->returned);
	if (trial->returned < 0)
		check_failure(trial);
	if (trial->returned < 0 && trial->operation->bare)
		check_bare_failure(trial);
	if (trial->returned < 0)
		check_kept(trial, scene);
}

static void use_and_undo(struct trial *trial, struct scene *scene)
{
	const struct operation *operation = trial->operation;
	const char *problem = operation->use ? operation->use(scene) : NULL;

	if (problem)
		complain(trial, "returned 0, but %s", problem);
	call(operation->undo, scene);
}

/* The same undisturbed, after which nothing may be missing either. */
static void run_again(struct trial *trial, struct scene *scene)
{
	int err = run_once(trial, scene);

	if (err && trial->operation->bare)
		complain(trial, "tried again, undisturbed, it failed: %d", err);
	else if (err)
		complain(trial, "tried again, undisturbed, it failed: %s", pinion_error_text());
	else
		use_and_undo(trial, scene);
}

static void rehearse(struct trial *trial)
{
	struct scene *scene = &trial->scene;

	*scene = (struct scene){0};
	call(trial->operation->setup, scene);
	run_again(trial, scene);
	call(trial->operation->teardown, scene);
}

void trial_run(struct trial *trial)
{
	const struct operation *operation = trial->operation;
	struct scene *scene = &trial->scene;
	struct leak_snapshot start, before;
	struct leak_scope scope;

	if (trial->warm)
		rehearse(trial);
	*scene = (struct scene){0};
	scope = scope_of(trial, scene);
	leak_snapshot(&scope, &start);
	call(operation->setup, scene);
	scope = scope_of(trial, scene);
	leak_snapshot(&scope, &before);
	run(trial, scene);
	if (trial->returned >= 0)
		use_and_undo(trial, scene);
	if (trial->returned >= 0 || !operation->final) {
		if (trial->returned >= 0 || !operation->keeps)
			compare(trial, scene, &before,
				trial->returned < 0 ? "the failed call left" : "undone, it left");
		if (!trial->problem[0])
			run_again(trial, scene);
		compare(trial, scene, &before, "the second time left");
	}
	call(operation->teardown, scene);
	compare(trial, scene, &start, "in the end");
	trial->finished = true;
}
