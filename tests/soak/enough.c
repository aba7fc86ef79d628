/* SPDX-License-Identifier: BSD-3-Clause */
#include "enough.h"

#define SOME 100  /* kills, by which there are some of what is common */
#define MANY 1000 /* kills, by which there are some of everything */

uint64_t enough_inside(const struct tally *tally)
{
	uint64_t nr = 0;

	for (int i = DOING_NOTHING + 1; i < DOING_NR; i++)
		nr += tally->killed_in[i];
	return nr;
}

const char *enough_lacks(const struct tally *tally, bool mortal)
{
	const struct {
		const char *what;
		uint64_t is, least;
		uint64_t from; /* so many kills */
	} table[] = {
		{"kills inside a call", enough_inside(tally), tally->killed / 4, SOME},
		{"members alive at a time", tally->crowded, tally->turns / 100 + 1, SOME},
		{"buffers handed over", tally->handed_over, 1, SOME},
		{"buffers in transit", tally->transit, 1, SOME},
		{"looks at the whole", tally->rests, 1, 1},
		{"segments grown", tally->grown, 1, MANY},
		{"segments retired", tally->retired, 1, MANY},
		{"keepers killed", tally->keepers, mortal, MANY},
		{"living members taken over", tally->adopted_living, mortal, MANY},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (tally->killed >= table[i].from && table[i].is < table[i].least)
			return table[i].what;
	return NULL;
}
