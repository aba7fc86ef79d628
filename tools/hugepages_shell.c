/* SPDX-License-Identifier: BSD-3-Clause */
#include "hugepages_shell.h"

#include <stdio.h>
#include <string.h>

/* These mean nothing to a shell, wherever they stand in a word. */
static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ/._-+:,@%";

void hp_word_print(const char *word)
{
	if (*word && !word[strspn(word, plain)]) {
		fputs(word, stdout);
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
