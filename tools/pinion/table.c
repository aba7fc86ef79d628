/* SPDX-License-Identifier: BSD-3-Clause */
#include "table.h"

#include <assert.h>
#include <err.h>
#include <stdlib.h>
#include <string.h>

void table_clean(char *cell, size_t room, const char *text)
{
	size_t len = 0;

	if (!text || !text[0])
		text = "-";
	for (; text[len] && len + 1 < room; len++)
		cell[len] = text[len] >= ' ' && text[len] <= '~' ? text[len] : '?';
	cell[len] = '\0';
}

void table_add(struct table *table, const char *const *cells, size_t nr)
{
	assert(nr == strlen(table->columns) && nr <= TABLE_COLUMNS_MAX);
	table->cells = reallocarray(table->cells, table->nr + 1, sizeof(*table->cells));
	if (!table->cells)
		err(1, "a table of %zu rows", table->nr + 1);
	for (size_t i = 0; i < nr; i++)
		table_clean(table->cells[table->nr][i], TABLE_CELL_MAX, cells[i]);
	table->nr++;
}

static int width_of(const struct table *table, size_t column)
{
	size_t widest = 0;

	for (size_t row = 0; row < table->nr; row++) {
		const size_t len = strlen(table->cells[row][column]);

		widest = len > widest ? len : widest;
	}
	return (int)widest;
}

static void row_print(const struct table *table, size_t row, const int *widths, FILE *out)
{
	for (size_t i = 0; table->columns[i]; i++) {
		const char *cell = table->cells[row][i];

		if (table->columns[i] == '>')
			fprintf(out, "%s%*s", i ? "  " : "", widths[i], cell);
		else if (table->columns[i + 1])
			fprintf(out, "%s%-*s", i ? "  " : "", widths[i], cell);
		else
			fprintf(out, "%s%s", i ? "  " : "", cell);
	}
	fputc('\n', out);
}

void table_print(struct table *table, FILE *out)
{
	int widths[TABLE_COLUMNS_MAX];

	for (size_t i = 0; table->columns[i]; i++)
		widths[i] = width_of(table, i);
	for (size_t row = 0; table->nr > 1 && row < table->nr; row++)
		row_print(table, row, widths, out);
	free(table->cells);
	table->cells = NULL;
	table->nr = 0;
}
