/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_FUZZ_SERVICE_PEOPLE_H
#define PINION_TESTS_FUZZ_SERVICE_PEOPLE_H

/*
 * Processes that connect when they are told to, and die when they are killed. They share memory
 * and descriptors with the fuzzer (clone(2)), so that one costs no more than a thread: what they
 * connect is the fuzzer's to write to and to read from, but the kernel says that it is theirs.
 *
 * Messages have their senders' pids written in by the fuzzer, which takes CAP_SYS_ADMIN.
 */

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

struct person {
	pid_t pid;     /* 0: not there */
	int orders[2]; /* a byte each, and an answer */
	int last;      /* what it connected */
	char stack[16384] __attribute__((aligned(16)));
};

/* Where all of them connect to. */
void people_go_to(const struct sockaddr_un *address, socklen_t len);

/* @nobody: without privilege. False: there can be none. */
bool person_comes(struct person *person, bool nobody);

/* A connection, or -1. */
int person_connects(struct person *person);

void person_dies(struct person *person);

#endif
