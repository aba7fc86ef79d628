/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TOOLS_HUGEPAGES_SHELL_H
#define TOOLS_HUGEPAGES_SHELL_H

/* Words of commands for a shell, as --dry-run prints them: names are as their owners chose. */

/* So that sh(1) reads it back as one word, the same: plain, or in single quotes if need be. */
void hp_word_print(const char *word);

#endif
