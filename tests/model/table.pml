/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Tables of bus addresses (include/pinion/domain.h, pool/domain_view.c, domain_find.c): one thread lets a domain follow
 * its pool, while another looks up and finds, up to three times. Segment S stays, A goes, and C comes in A's place.
 *
 *     forget: A is gone                         look-up of a buffer of C, whose id has come
 *     -----------------                         -------------------------------------------
 *     A: entry := UNKNOWN,     view_remove()    entry (A5)                   pinion_buffer_bus()
 *        page := none                           offset > linear?
 *     (C's id can be met from here on)             page (A5); none: UNKNOWN
 *                                                  shifts, page[]            pinion_bus_by_page()
 *     an update, or none before C is there
 *     ------------------------------------      find, of an address in S or in A
 *     fence (R6)               index_prepare()  --------------------------------
 *     index 1 := {S}                            number (A6), its index (A6)  pinion_domain_find()
 *     number := 1 (R6)         index_publish()  first extent, second          look()
 *                                               entry UNKNOWN?                is_known()
 *     an update: C is there                     fence (A6); the same number?
 *     ---------------------                        no: again
 *     outgrown? the index :=   spare()
 *        another (R6)
 *     fence (R6)               index_prepare()
 *     the other index := {S, C}
 *     number, next (R6)        index_publish()
 *     C: shifts, page[]        view_add()
 *        page := it (R5)
 *        linear := less
 *        entry := address (R5)
 *
 * Of the table of a segment there is the entry of one buffer that has several pages, and an offset
 * beyond the first. Linear is small already, for the sake of another segment, or becomes it with C.
 * Who has an id of C knows that the slot was forgotten: that came before the slot was used again
 * (segment.pml). An index is two extents, and what lies where an extent is found by is its value;
 * S is the second in {A, S}, or the first. Shifts and page[] are plain. memory.pml has the memory.
 *
 * Weakenings, and what each breaks (check reads these lines, README.md tells how it comes about):
 *
 *     -DWITHOUT_R5_OF_THE_ENTRY        an_address_is_its_buffers_or_none
 *     -DWITHOUT_A5_OF_THE_ENTRY        an_address_is_its_buffers_or_none
 *     -DTHE_ENTRY_BEFORE_THE_REST      an_address_is_its_buffers_or_none
 *     -DWITHOUT_R5_OF_THE_PAGE         what_a_page_needs_is_there
 *     -DWITHOUT_A5_OF_THE_PAGE         what_a_page_needs_is_there
 *     -DTHE_ID_BEFORE_IT_IS_FORGOTTEN  an_address_is_its_buffers_or_none
 *     -DWITHOUT_R6_OF_THE_NUMBER       what_stays_is_found
 *     -DWITHOUT_A6_OF_THE_NUMBER       what_stays_is_found
 *     -DWITHOUT_R6_OF_THE_INDEX        no_index_is_read_before_it_is_made
 *     -DWITHOUT_A6_OF_THE_INDEX        no_index_is_read_before_it_is_made
 *     -DWITHOUT_THE_FENCE_OF_R6        what_stays_is_found
 *     -DWITHOUT_THE_FENCE_OF_A6        what_stays_is_found
 *     -DWITHOUT_THE_SECOND_LOOK        what_stays_is_found
 *     -DTHE_ENTRY_IS_NOT_ASKED         what_is_gone_is_not_found
 *     -DTHE_ENTRIES_BEFORE_THE_INDEX   what_is_gone_is_not_found
 */

#define TURNS 3 /* of the reader */

#define ENTRY 0
#define PAGE 1
#define LINEAR 2
#define SHAPE 3 /* shifts and page[] */
#define ID 4    /* of C: it has come */
#define NUMBER 5
#define INDEX(n) (6 + (n)) /* which memory it is in */
#define EXTENT(memory, i) (8 + 2 * (memory) + (i))

#define LOCS 14
#define DEPTH 4
#define THREADS 2
#define WRITER 0
#define READER 1
#define FENCES

#include "claim.pml"
#include "memory.pml"

#ifdef WITHOUT_R5_OF_THE_ENTRY
#define R5_ENTRY RELAXED
#else
#define R5_ENTRY RELEASE
#endif
#ifdef WITHOUT_A5_OF_THE_ENTRY
#define A5_ENTRY RELAXED
#else
#define A5_ENTRY ACQUIRE
#endif
#ifdef WITHOUT_R5_OF_THE_PAGE
#define R5_PAGE RELAXED
#else
#define R5_PAGE RELEASE
#endif
#ifdef WITHOUT_A5_OF_THE_PAGE
#define A5_PAGE RELAXED
#else
#define A5_PAGE ACQUIRE
#endif
#ifdef WITHOUT_R6_OF_THE_NUMBER
#define R6_NUMBER RELAXED
#else
#define R6_NUMBER RELEASE
#endif
#ifdef WITHOUT_A6_OF_THE_NUMBER
#define A6_NUMBER RELAXED
#else
#define A6_NUMBER ACQUIRE
#endif
#ifdef WITHOUT_R6_OF_THE_INDEX
#define R6_INDEX RELAXED
#else
#define R6_INDEX RELEASE
#endif
#ifdef WITHOUT_A6_OF_THE_INDEX
#define A6_INDEX RELAXED
#else
#define A6_INDEX ACQUIRE
#endif

/* What an entry, a page and an extent tell of. NONE: UNKNOWN, no page[], no extent. */
#define NONE 0
#define A 1
#define S 2
#define C 3
#define NOT_MADE 4 /* memory as it was */

#define SMALL 0
#define LARGE 1

/* --- writer */

inline view_remove()
{
	store(WRITER, ENTRY, NONE, RELAXED);
	store(WRITER, PAGE, NONE, RELAXED)
}

inline view_add()
{
#ifdef THE_ENTRY_BEFORE_THE_REST
	store(WRITER, ENTRY, C, R5_ENTRY);
#endif
	store(WRITER, SHAPE, C, RELAXED);
	store(WRITER, PAGE, C, R5_PAGE);
	if
	:: newest(LINEAR) == LARGE -> store(WRITER, LINEAR, SMALL, RELAXED)
	:: else
	fi;
#ifndef THE_ENTRY_BEFORE_THE_REST
	store(WRITER, ENTRY, C, R5_ENTRY)
#endif
}

inline write_index(memory, first, second)
{
#ifndef WITHOUT_THE_FENCE_OF_R6
	fence(WRITER, RELEASE);
#endif
	store(WRITER, EXTENT(memory, 0), first, RELAXED);
	store(WRITER, EXTENT(memory, 1), second, RELAXED)
}

inline show_c(number)
{
#ifdef THE_ENTRIES_BEFORE_THE_INDEX
	view_add();
	store(WRITER, NUMBER, number, R6_NUMBER)
#else
	store(WRITER, NUMBER, number, R6_NUMBER);
	view_add()
#endif
}

/* The second in memory 0, or in memory 2, which is new. */
inline update_twice()
{
	write_index(1, S, NONE);
	store(WRITER, NUMBER, 1, R6_NUMBER);
	if
	:: write_index(0, S, C)
	:: store(WRITER, EXTENT(2, 0), NONE, RELAXED);
		store(WRITER, EXTENT(2, 1), NONE, RELAXED);
		store(WRITER, INDEX(0), 2, R6_INDEX);
		write_index(2, S, C)
	fi;
	show_c(2)
}

proctype writer()
{
#ifdef THE_ID_BEFORE_IT_IS_FORGOTTEN
	store(WRITER, ID, 1, RELEASE);
#endif
	view_remove();
#ifndef THE_ID_BEFORE_IT_IS_FORGOTTEN
	store(WRITER, ID, 1, RELEASE);
#endif
	if
	:: update_twice()
	:: write_index(1, S, C); show_c(1)
	fi
}

/* --- reader */

inline look_up_by_page()
{
	load(READER, PAGE, is, A5_PAGE);
	if
	:: is == C -> claim(what_a_page_needs_is_there, race_free(READER, SHAPE))
	:: else
	fi
}

inline look_up()
{
	load(READER, ENTRY, is, A5_ENTRY);
	load(READER, LINEAR, it, RELAXED);
	if
	:: it == SMALL -> look_up_by_page()
	:: it == LARGE && is == C -> is = NOT_MADE /* an address beyond the page's end */
	:: else
	fi;
	claim(an_address_is_its_buffers_or_none, is == C || is == NONE);
	d_step { is = 0; it = 0 }
}

inline look(at)
{
	load(READER, EXTENT(memory, at), it, RELAXED);
	claim(no_index_is_read_before_it_is_made, it != NOT_MADE);
	has = has || it == wanted
}

/* That of S is there all the time. */
inline ask_the_entry()
{
	if
	:: has && wanted == A -> load(READER, ENTRY, it, RELAXED); has = it != NONE
	:: else
	fi
}

inline search()
{
	do
	:: has = false;
		load(READER, NUMBER, number, A6_NUMBER);
		load(READER, INDEX(number % 2), memory, A6_INDEX);
		look(0);
		if
		:: !has -> look(1)
		:: else
		fi;
#ifndef THE_ENTRY_IS_NOT_ASKED
		ask_the_entry();
#endif
#ifndef WITHOUT_THE_FENCE_OF_A6
		fence(READER, ACQUIRE);
#endif
		load(READER, NUMBER, it, RELAXED);
#ifndef WITHOUT_THE_SECOND_LOOK
		if
		:: it == number -> break
		:: else
		fi
#else
		break
#endif
	od
}

inline find()
{
	search();
	if
	:: wanted == S -> claim(what_stays_is_found, has)
	:: wanted == A -> claim(what_is_gone_is_not_found, !has || !knows(READER, ENTRY))
	fi;
	d_step { is = 0; it = 0; has = false; number = 0; memory = 0; wanted = 0 }
}

inline receive()
{
	load(READER, ID, it, ACQUIRE);
	has_id = it;
	it = 0
}

proctype reader()
{
	byte it, is, number, memory, wanted, turns;
	bool has, has_id;

	do
	:: turns < TURNS ->
		turns++;
		if
		:: !has_id -> receive()
		:: has_id -> look_up()
		:: wanted = S
		:: wanted = A
		fi;
		if
		:: wanted -> find()
		:: else
		fi
	:: break
	od
}

init {
	atomic {
		value[MESSAGE(ENTRY, 0)] = A;
		value[MESSAGE(PAGE, 0)] = A;
		value[MESSAGE(SHAPE, 0)] = A;
		value[MESSAGE(INDEX(1), 0)] = 1;
		value[MESSAGE(EXTENT(0, 0), 0)] = A;
		value[MESSAGE(EXTENT(0, 1), 0)] = S;
		value[MESSAGE(EXTENT(2, 0), 0)] = NOT_MADE;
		value[MESSAGE(EXTENT(2, 1), 0)] = NOT_MADE;
		if
		:: value[MESSAGE(LINEAR, 0)] = LARGE
		:: skip
		fi;
		run writer();
		run reader()
	}
}
