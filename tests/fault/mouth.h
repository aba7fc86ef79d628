/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FAULT_MOUTH_H
#define TESTS_FAULT_MOUTH_H

/*
 * What is printed to standard error meanwhile. A library returns its errors; one that prints, or
 * uses another that does, spoils its caller's terminal or log.
 */

struct mouth {
	int saved; /* standard error as it was */
	int heard; /* a file in its place */
};

/* Neither is part of what is compared: descriptors are the same after closing as before opening. */
void mouth_open(struct mouth *mouth);
/* The first bytes of what came, as a string; "" when nothing did. */
void mouth_close(struct mouth *mouth, char *text, unsigned len);

#endif
