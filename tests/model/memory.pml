/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Memory as C11 promises it, no stronger: what most of the models run on.
 *
 * Each location keeps every message ever stored in it, in order. Each thread has a view: by
 * location, the newest message that it must have seen. A load may return any message that is not
 * older than the loader's view of that location, so that two threads need not agree on "now".
 *
 *     store, relaxed    a new message; the writer's view of this location moves to it
 *     store, release    the same, and the message carries the writer's whole view
 *     load, relaxed     some message, and the loader's view of this location moves to it
 *     load, acquire     the same, and what the message carries is joined to the loader's view
 *     swap, cas         a load of the newest message and a store behind it, in one: the new message
 *                       carries what the one before it carried, too (a release sequence)
 *     fence, release    what is stored after it carries at least the writer's view of now (FENCES)
 *     fence, acquire    what was carried by all that was loaded before it is joined to the view
 *
 * A plain location (a payload) may be read only by who has the newest message in its view: anything
 * else is a data race. What was only read has no message, so a ghost location stands for it: a
 * count in the reader's view, carried like any other (mark, knows).
 *
 * That is all of C11 that the library uses here, but for one rule: a store may go before newer
 * messages of other threads in a location's order. Here each location has one writer at a time, or
 * what writes it is swap and cas, and a store goes to the end. Loads are not performed after later stores (as in RC11);
 * where that would do harm, it is a data race, and the ghosts see it.
 *
 * Before it includes this, a model defines LOCS, DEPTH (messages in a location, the first included)
 * and THREADS; FENCES, if it has any.
 */

#define RELAXED 0
#define ACQUIRE 1
#define RELEASE 2

byte value[LOCS * DEPTH];          /* of each message */
byte last[LOCS];                   /* the newest message */
byte seen[THREADS * LOCS];         /* views */
byte carried[LOCS * DEPTH * LOCS]; /* views in messages */
#ifdef FENCES
byte sealed[THREADS * LOCS];       /* views at the last release fence */
byte met[THREADS * LOCS];          /* what an acquire fence would join */
#define SEALED(me, loc) sealed[(me) * LOCS + (loc)]
#define MET(me, loc) met[(me) * LOCS + (loc)]
#else
#define SEALED(me, loc) 0
#endif

hidden byte scan; /* within one step only */
hidden byte pick;

#define MESSAGE(loc, t) ((loc) * DEPTH + (t))
#define VIEW(me, loc) seen[(me) * LOCS + (loc)]
#define CARRIED(loc, t, of) carried[MESSAGE(loc, t) * LOCS + (of)]
#define BEFORE(loc, of) CARRIED(loc, last[loc] - 1, of)

/* A poll that finds nothing changes nothing: a poller waits for the newest message to be what it is
 * polling for. What its next load returns may be an older one all the same. */
#define newest(loc) value[MESSAGE(loc, last[loc])]

inline store(me, loc, what, order)
{
	d_step {
		assert(last[loc] + 1 < DEPTH);
		last[loc]++;
		VIEW(me, loc) = last[loc];
		value[MESSAGE(loc, last[loc])] = what;
		for (scan : 0 .. LOCS - 1) {
			if
			:: order == RELEASE -> CARRIED(loc, last[loc], scan) = VIEW(me, scan)
			:: else -> CARRIED(loc, last[loc], scan) = SEALED(me, scan)
			fi
		}
		printf("%d stores: location %d := %d, order %d\n", me, loc, what, order)
	}
}

inline load(me, loc, into, order)
{
	atomic {
		pick = VIEW(me, loc);
		do
		:: pick < last[loc] -> pick++
		:: break
		od;
		skip; /* a d_step cannot be jumped into */
		d_step {
			VIEW(me, loc) = pick;
			into = value[MESSAGE(loc, pick)];
			for (scan : 0 .. LOCS - 1) {
				if
				:: order == ACQUIRE && CARRIED(loc, pick, scan) > VIEW(me, scan) ->
					VIEW(me, scan) = CARRIED(loc, pick, scan)
				:: else
				fi;
#ifdef FENCES
				if
				:: CARRIED(loc, pick, scan) > MET(me, scan) ->
					MET(me, scan) = CARRIED(loc, pick, scan)
				:: else
				fi
#endif
			}
			printf("%d loads: location %d is %d (newest %d), order %d\n", me, loc, into,
			       value[MESSAGE(loc, last[loc])], order)
		}
	}
}

/* @into := what was there, then @what, which may be made of @into, is stored. */
inline swap(me, loc, into, what, order)
{
	d_step {
		assert(last[loc] + 1 < DEPTH);
		into = newest(loc);
		last[loc]++;
		VIEW(me, loc) = last[loc];
		value[MESSAGE(loc, last[loc])] = what;
		for (scan : 0 .. LOCS - 1) {
			if
			:: order != RELEASE -> CARRIED(loc, last[loc], scan) = SEALED(me, scan)
			:: else -> CARRIED(loc, last[loc], scan) = VIEW(me, scan)
			fi;
			if
			:: order == ACQUIRE && BEFORE(loc, scan) > VIEW(me, scan) ->
				VIEW(me, scan) = BEFORE(loc, scan)
			:: else
			fi;
			if
			:: BEFORE(loc, scan) > CARRIED(loc, last[loc], scan) ->
				CARRIED(loc, last[loc], scan) = BEFORE(loc, scan)
			:: else
			fi
		}
		printf("%d swaps: location %d is %d, := %d, order %d\n", me, loc, into,
		       value[MESSAGE(loc, last[loc])], order)
	}
}

/* @done := was it @from? Then it is @to. One that fails reads nothing that anybody goes by. */
inline cas(me, loc, from, to, order, done)
{
	atomic {
		if
		:: newest(loc) == from -> swap(me, loc, pick, to, order); done = true
		:: else -> done = false
		fi
	}
}

#ifdef FENCES
inline fence(me, order)
{
	d_step {
		for (scan : 0 .. LOCS - 1) {
			if
			:: order == RELEASE -> SEALED(me, scan) = VIEW(me, scan)
			:: order == ACQUIRE && MET(me, scan) > VIEW(me, scan) ->
				VIEW(me, scan) = MET(me, scan)
			:: else
			fi
		}
		printf("%d fences: order %d\n", me, order)
	}
}
#endif

/* The kernel says that @who is dead: all that it saw is seen. */
inline heed(me, who)
{
	d_step {
		for (scan : 0 .. LOCS - 1) {
			if
			:: VIEW(who, scan) > VIEW(me, scan) -> VIEW(me, scan) = VIEW(who, scan)
			:: else
			fi
		}
		printf("%d hears that %d is dead\n", me, who)
	}
}

/* Plain locations. */
#define race_free(me, loc) (VIEW(me, loc) == last[loc])

/* Ghosts. */
#define mark(me, loc, count) VIEW(me, loc) = count
#define knows(me, loc) VIEW(me, loc)
