/* SPDX-License-Identifier: BSD-3-Clause */
#include "config_mistake.h"

#include <libconfig.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define PATH_DEPTH 8    /* the deepest key of ours is at 4 */
#define WORD_MAX 32     /* longer keys are not compared */
#define TYPOS_MAX 2     /* letters wrong in a key that is still recognized */

static void tell_where(struct config_mistakes *mistakes, unsigned line)
{
	mistakes->nr++;
	fprintf(stderr, "%s:%u: ", mistakes->file, line);
}

/* "pools[0].segments[1].buffer"; the root has no name and no words. */
static void tell_key(const config_setting_t *setting)
{
	const config_setting_t *way[PATH_DEPTH];
	int depth = 0;

	for (; setting != NULL && !config_setting_is_root(setting) && depth < PATH_DEPTH;
	     setting = config_setting_parent(setting))
		way[depth++] = setting;
	for (int i = depth - 1; i >= 0; i--)
		if (config_setting_name(way[i]) == NULL)
			fprintf(stderr, "[%d]", config_setting_index(way[i]));
		else
			fprintf(stderr, "%s%s", i == depth - 1 ? "" : ".",
				config_setting_name(way[i]));
}

void mistake_in(struct config_mistakes *mistakes, const config_setting_t *setting,
		const char *format, ...)
{
	va_list words;

	tell_where(mistakes, config_setting_source_line(setting));
	tell_key(setting);
	fputs(": ", stderr);
	va_start(words, format);
	vfprintf(stderr, format, words);
	va_end(words);
	fputc('\n', stderr);
}

void mistake_missing(struct config_mistakes *mistakes, const config_setting_t *group,
		     const char *key, const char *why)
{
	/* The root has no line: it begins where the file does. */
	const unsigned line = config_setting_source_line(group);

	tell_where(mistakes, line > 0 ? line : 1);
	tell_key(group);
	fprintf(stderr, "%s%s: missing: %s\n", config_setting_is_root(group) ? "" : ".", key, why);
}

void mistake_at(struct config_mistakes *mistakes, unsigned line, const char *format, ...)
{
	va_list words;

	tell_where(mistakes, line);
	va_start(words, format);
	vfprintf(stderr, format, words);
	va_end(words);
	fputc('\n', stderr);
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Letters to put in, leave out or change to make @b of @a: Levenshtein's distance, by rows. */
static unsigned typos(const char *a, const char *b)
{
	unsigned row[WORD_MAX + 1];
	const size_t len = strlen(b);

	if (strlen(a) > WORD_MAX || len > WORD_MAX)
		return WORD_MAX;
	for (unsigned j = 0; j <= len; j++)
		row[j] = j;
	for (unsigned i = 1; a[i - 1] != '\0'; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= len; j++) {
			const unsigned change = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			row[j] = least(change, least(row[j], row[j - 1]) + 1);
		}
	}
	return row[len];
}

static const char *nearest(const char *word, const char *const *keys)
{
	const char *best = NULL;
	unsigned fewest = TYPOS_MAX + 1;

	for (; *keys != NULL; keys++)
		if (typos(word, *keys) < fewest) {
			fewest = typos(word, *keys);
			best = *keys;
		}
	return best;
}

static void tell_unknown(struct config_mistakes *mistakes, const config_setting_t *setting,
			 const char *const *keys)
{
	const char *meant = nearest(config_setting_name(setting), keys);

	tell_where(mistakes, config_setting_source_line(setting));
	tell_key(setting);
	if (meant != NULL) {
		fprintf(stderr, ": unknown key: did you mean \"%s\"?\n", meant);
		return;
	}
	fputs(": unknown key: there are", stderr);
	for (; *keys != NULL; keys++)
		fprintf(stderr, "%s %s", keys[1] == NULL ? " and" : "", *keys);
	fputc('\n', stderr);
}

void mistake_unknown(struct config_mistakes *mistakes, const config_setting_t *group,
		     const char *const *keys)
{
	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *setting = config_setting_get_elem(group, (unsigned)i);
		const char *const *key = keys;

		while (*key != NULL && strcmp(*key, config_setting_name(setting)) != 0)
			key++;
		if (*key == NULL)
			tell_unknown(mistakes, setting, keys);
	}
}
