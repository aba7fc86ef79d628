/* SPDX-License-Identifier: BSD-3-Clause */
#include "hugepages_text.h"
#include "hugepages_sysfs.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char digits[] = "0123456789";

/* A leading zero would mean octal to expand_number and strtonum's relatives. */
static bool plain_number(const char *text, size_t len)
{
	return len > 0 && (text[0] != '0' || len == 1);
}

int hp_bytes_parse(const char *text, uint64_t *bytes)
{
	const size_t len = strspn(text, digits);
	const char *suffix = text + len;

	if (!plain_number(text, len))
		return -EINVAL;
	if (suffix[0] != '\0' && (!strchr("kKmMgGtT", suffix[0]) || suffix[1] != '\0'))
		return -EINVAL;
	return expand_number(text, bytes) ? -errno : 0;
}

int hp_count_parse(const char *text, uint64_t *count)
{
	const char *complaint;

	if (!plain_number(text, strlen(text)) || text[strspn(text, digits)] != '\0')
		return -EINVAL;
	const long long number = strtonum(text, 0, LLONG_MAX, &complaint);

	if (complaint)
		return -ERANGE;
	*count = (uint64_t)number;
	return 0;
}

int hp_node_parse(const char *text, int *node, const char **amount)
{
	const char *colon = strchr(text, ':');
	char head[8]; /* four digits are the most a node has */
	uint64_t number;

	if (!colon || (size_t)(colon - text) >= sizeof(head))
		return -EINVAL;
	strlcpy(head, text, (size_t)(colon - text) + 1);
	if (hp_count_parse(head, &number) || number >= HP_MAX_NODES)
		return -EINVAL;
	*node = (int)number;
	*amount = colon + 1;
	return 0;
}

/* ASCII's, and in UTF-8 those from U+0080 to U+009F, in which terminals see them as well. */
static size_t control_len(const char *at)
{
	const unsigned char byte = (unsigned char)at[0], next = (unsigned char)at[1];

	if (byte == 0xc2 && next >= 0x80 && next <= 0x9f)
		return 2;
	return byte < 0x20 || byte == 0x7f || byte == '\\';
}

const char *hp_name_format(const char *name, char *text, size_t room)
{
	size_t len = 0, escaped = 0;

	text[0] = '\0';
	for (; *name && len + 4 < room; name++) {
		escaped = escaped ? escaped : control_len(name);
		len += (size_t)snprintf(text + len, room - len, escaped ? "\\%03o" : "%c",
					(unsigned char)*name);
		escaped -= escaped != 0;
	}
	return text;
}

const char *hp_size_format(uint64_t bytes, char text[HP_SIZE_TEXT])
{
	static const char units[] = "BKMGTPE";
	const int64_t number = bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes;
	size_t unit = 0;

	while (bytes && bytes % 1024 == 0 && units[unit + 1] != '\0') {
		bytes /= 1024;
		unit++;
	}
	/* What is whole in its unit is shown exactly; the rest in four characters, with a tenth. */
	if (bytes < 1024)
		snprintf(text, HP_SIZE_TEXT, "%" PRIu64 "%c", bytes, units[unit]);
	else
		humanize_number(text, 5, number, "", HN_AUTOSCALE, HN_NOSPACE | HN_DECIMAL);
	return text;
}
