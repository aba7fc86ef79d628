/* SPDX-License-Identifier: BSD-3-Clause */
#include "board.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

struct board *board_create(uint64_t seed)
{
	struct board *board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (board == MAP_FAILED)
		return NULL;
	board->seed = seed;
	return board;
}

void board_problem(struct board *board, const char *format, ...)
{
	uint32_t none = 0;
	va_list args;

	if (!atomic_compare_exchange_strong(&board->has_problem, &none, 1))
		return;
	va_start(args, format);
	vsnprintf(board->problem, sizeof(board->problem), format, args);
	va_end(args);
	atomic_store(&board->has_problem, 2);
}

bool board_has_problem(const struct board *board)
{
	return atomic_load(&board->has_problem) != 0;
}

const char *doing_name(enum doing doing)
{
	static const char *const names[DOING_NR] = {
		[DOING_NOTHING] = "outside",
		[DOING_BECOME] = "become",
		[DOING_OPEN] = "cache_open",
		[DOING_CLOSE] = "cache_close",
		[DOING_FLUSH] = "cache_flush",
		[DOING_ALLOC] = "alloc",
		[DOING_FREE] = "free",
		[DOING_ALLOC_BULK] = "alloc_bulk",
		[DOING_FREE_BULK] = "free_bulk",
		[DOING_BAD_FREE] = "bad_free",
		[DOING_SEND] = "send",
		[DOING_RECV] = "recv",
		[DOING_RECLAIM] = "reclaim",
		[DOING_LINK] = "channel",
		[DOING_CREATE] = "create",
		[DOING_ADOPT] = "adopt",
		[DOING_ADMIT] = "admit",
		[DOING_RECOVER] = "recover",
		[DOING_RELEASE] = "release",
		[DOING_GROW] = "grow",
		[DOING_RETIRE] = "retire",
		[DOING_UNLINK] = "unlink",
	};

	return names[doing];
}
