/* SPDX-License-Identifier: BSD-3-Clause */
#include "tracks.h"

#include <stdlib.h>

#include "tap.h"

void tracks_open(struct tracks *tracks)
{
	*tracks = (struct tracks){.passed = calloc(step_places(), sizeof(*tracks->passed))};
	if (!tracks->passed)
		tap_bail("no memory to count instructions");
}

void tracks_close(struct tracks *tracks)
{
	free(tracks->store);
	free(tracks->passed);
}

enum step tracks_step(struct tracks *tracks, struct tracee *tracee)
{
	tracks->place = tracee_place(tracee);
	tracks->passed[tracks->place]++;
	return tracee_step(tracee);
}

void tracks_add(struct tracks *tracks, const struct tracee *tracee)
{
	/* Room grows at powers of two. */
	if (!(tracks->nr & (tracks->nr - 1)))
		tracks->store =
			reallocarray(tracks->store, 2 * tracks->nr + 1, sizeof(*tracks->store));
	if (!tracks->store)
		tap_bail("no memory for %ju stores", (uintmax_t)tracks->nr);
	tracks->store[tracks->nr++] = (struct store){
		tracee->steps,
		tracks->place,
		tracks->passed[tracks->place],
	};
}
