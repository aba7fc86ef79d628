/* SPDX-License-Identifier: BSD-3-Clause */
#include "parts.h"

#include <string.h>

size_t parts_nr(void)
{
	return nr_lending_parts + nr_lanes_parts;
}

const struct part *part_at(size_t i)
{
	return i < nr_lending_parts ? &lending_parts[i] : &lanes_parts[i - nr_lending_parts];
}

const struct part *part_find(const char *name)
{
	for (size_t i = 0; i < parts_nr(); i++)
		if (!strcmp(part_at(i)->name, name))
			return part_at(i);
	return NULL;
}
