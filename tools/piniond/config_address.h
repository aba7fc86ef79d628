/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINIOND_CONFIG_ADDRESS_H
#define PINIOND_CONFIG_ADDRESS_H

/* "ADDRESS:PORT", and "[ADDRESS]:PORT" for IPv6: numbers, since names are not looked up. */

#include <netinet/in.h>
#include <stdbool.h>

union config_address {
	struct sockaddr any;
	struct sockaddr_in four;
	struct sockaddr_in6 six;
};

bool config_address_read(const char *text, union config_address *address);

/* Can only this machine connect to it? */
bool config_address_is_loopback(const union config_address *address);

#endif
