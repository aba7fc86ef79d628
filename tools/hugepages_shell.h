/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TOOLS_HUGEPAGES_SHELL_H
#define TOOLS_HUGEPAGES_SHELL_H

/* Words of commands for a shell, as --dry-run prints them: names are as their owners chose. */

/*
 * So that sh(1) reads it back as one word, the same: plain, or in single quotes if need be; with
 * what could steer a terminal, as $'\033', which bash and POSIX of 2024 know and dash does not.
 */
void hp_word_print(const char *word);

#endif
