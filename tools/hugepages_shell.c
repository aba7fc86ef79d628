/* SPDX-License-Identifier: BSD-3-Clause */
#include "hugepages_shell.h"
#include "hugepages_text.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* These mean nothing to a shell, wherever they stand in a word. */
static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ/._-+:,@%";

/* Of a name as hp_name_format has it: is more than backslashes and ends of lines escaped there? */
static bool steers(const char *text)
{
	for (const char *at = strchr(text, '\\'); at; at = strchr(at + 1, '\\'))
		if (strncmp(at, "\\134", 4) != 0 && strncmp(at, "\\012", 4) != 0)
			return true;
	return false;
}

/* Those escapes are what such a word has for them. */
static void dollar_print(const char *text)
{
	fputs("$'", stdout);
	for (; *text; text++) {
		if (*text == '\'')
			putchar('\\');
		putchar(*text);
	}
	putchar('\'');
}

void hp_word_print(const char *word)
{
	char text[4 * PATH_MAX];

	if (*word && !word[strspn(word, plain)]) {
		fputs(word, stdout);
		return;
	}
	hp_name_format(word, text, sizeof(text));
	if (steers(text)) {
		dollar_print(text);
		return;
	}
	putchar('\'');
	for (; *word; word++)
		if (*word == '\'')
			fputs("'\\''", stdout); /* out of the quotes, one, and in again */
		else
			putchar(*word);
	putchar('\'');
}
