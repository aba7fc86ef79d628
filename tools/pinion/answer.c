/* SPDX-License-Identifier: BSD-3-Clause */
#include "answer.h"

#include "../hugepages_text.h"

#include <bsd/string.h>

uint64_t answer_number(const json_t *object, const char *key)
{
	const json_int_t number = json_integer_value(json_object_get(object, key));

	return number < 0 ? 0 : (uint64_t)number;
}

bool answer_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

const char *answer_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

uint64_t answer_held(const json_t *pool, size_t zone, const json_t *member)
{
	const json_t *each = json_object_get(member, "held_by_zone");
	const json_int_t held = json_integer_value(json_array_get(each, zone));

	if (!each && json_array_size(json_object_get(pool, "zones")) == 1)
		return answer_number(member, "held");
	return held < 0 ? 0 : (uint64_t)held;
}

uint64_t answer_sum(const json_t *object, const char *array, const char *key)
{
	const json_t *all = json_object_get(object, array);
	uint64_t sum = 0;

	for (size_t i = 0; i < json_array_size(all); i++)
		sum += answer_number(json_array_get(all, i), key);
	return sum;
}

struct text answer_node(const json_t *object)
{
	if (json_integer_value(json_object_get(object, "node")) < 0)
		return (struct text){"-"};
	return text_number(answer_number(object, "node"));
}

struct text text_number(uint64_t number)
{
	struct text text;

	snprintf(text.text, sizeof(text.text), "%" PRIu64, number);
	return text;
}

struct text text_bytes(uint64_t bytes)
{
	char size[HP_SIZE_TEXT];
	struct text text;

	strlcpy(text.text, hp_size_format(bytes, size), sizeof(text.text));
	return text;
}

/* The two greatest units that it has. */
struct text text_time(uint64_t ns)
{
	const uint64_t s = ns / UINT64_C(1000000000), m = s / 60, h = m / 60, d = h / 24;
	struct text text;

	if (d)
		snprintf(text.text, sizeof(text.text), "%" PRIu64 "d %02" PRIu64 "h", d, h % 24);
	else if (h)
		snprintf(text.text, sizeof(text.text), "%" PRIu64 "h %02" PRIu64 "m", h, m % 60);
	else if (m)
		snprintf(text.text, sizeof(text.text), "%" PRIu64 "m %02" PRIu64 "s", m, s % 60);
	else
		snprintf(text.text, sizeof(text.text), "%" PRIu64 "s", s);
	return text;
}
