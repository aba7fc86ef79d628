/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_FUZZ_SCRIPT_H
#define PINION_TESTS_FUZZ_SCRIPT_H

/*
 * The fuzzer's input, read as a script: a byte chooses what happens next, those after it how.
 * Behind its end everything is 0. What does not hold ends the program, which is how the fuzzer
 * learns of it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct script {
	const uint8_t *at;
	size_t left;
};

static inline uint8_t script_byte(struct script *script)
{
	if (!script->left)
		return 0;
	script->left--;
	return *script->at++;
}

static inline uint32_t script_below(struct script *script, uint32_t bound)
{
	return script_byte(script) % bound;
}

static inline uint64_t script_word(struct script *script)
{
	uint64_t word = 0;

	for (int i = 0; i < 8; i++)
		word = word << 8 | script_byte(script);
	return word;
}

#define oracle(holds, ...)                                       \
	do {                                                     \
		if (!(holds)) {                                  \
			fprintf(stderr, "ORACLE: " __VA_ARGS__); \
			fputc('\n', stderr);                     \
			abort();                                 \
		}                                                \
	} while (0)

#endif
