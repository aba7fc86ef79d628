/* SPDX-License-Identifier: BSD-3-Clause */
#include "config_address.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define HOST_MAX 64

static bool read_port(const char *text, in_port_t *port)
{
	unsigned long number;

	if (!*text || strlen(text) > 5 || text[strspn(text, "0123456789")])
		return false;
	number = strtoul(text, NULL, 10);
	*port = htons((uint16_t)number);
	return number >= 1 && number <= UINT16_MAX;
}

static bool read_four(const char *host, in_port_t port, union config_address *address)
{
	address->four = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
	return inet_pton(AF_INET, host, &address->four.sin_addr) == 1;
}

/* In brackets: @host begins behind the first. */
static bool read_six(char *host, in_port_t port, union config_address *address)
{
	char *end = strchr(host, ']');

	if (end == NULL || end[1])
		return false;
	*end = '\0';
	address->six = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port};
	return inet_pton(AF_INET6, host, &address->six.sin6_addr) == 1;
}

bool config_address_read(const char *text, union config_address *address)
{
	const char *colon = strrchr(text, ':');
	char host[HOST_MAX];
	in_port_t port;

	if (colon == NULL || colon - text >= HOST_MAX || !read_port(colon + 1, &port))
		return false;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	return host[0] == '[' ? read_six(host + 1, port, address) : read_four(host, port, address);
}

bool config_address_is_loopback(const union config_address *address)
{
	if (address->any.sa_family == AF_INET)
		return ntohl(address->four.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(&address->six.sin6_addr);
}
