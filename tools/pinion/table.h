/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TABLE_H
#define PINION_TABLE_H

/*
 * A table for people: columns as wide as what stands in them.
 *
 *     table = {.columns = "<>>"}               left, right, right
 *     table_row(&table, "POOL", "FREE", "HELD")
 *     table_row(&table, name, free, held)      strings, as many as there are columns
 *     table_print(&table, stdout)              and it is empty again
 *
 * A cell may come from anybody (a process names itself), so what is no printable ASCII is shown
 * as '?': no cell moves a terminal's cursor.
 */

#include <stddef.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 10
#define TABLE_CELL_MAX 64

struct table {
	const char *columns; /* one character each: '<' or '>' */
	char (*cells)[TABLE_COLUMNS_MAX][TABLE_CELL_MAX];
	size_t nr;           /* rows */
};

#define table_row(table, ...)                                                                      \
	table_add(table, (const char *const[]){__VA_ARGS__},                                       \
		  sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

/* Ends the process when there is no memory. pre: @nr is the number of columns. */
void table_add(struct table *table, const char *const *cells, size_t nr);

/* Nothing if there is no row below the first, which names the columns. */
void table_print(struct table *table, FILE *out);

/* @text, cut to @room, with '?' for what is no printable ASCII; "-" for NULL and "". */
void table_clean(char *cell, size_t room, const char *text);

#endif
