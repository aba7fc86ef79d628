/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FAULT_INJECT_H
#define TESTS_FAULT_INJECT_H

/*
 * A child in which one system call fails once.
 *
 *     this process                          child
 *     inject() ------------- fork -------->  body(arg)
 *                                              ... what is not to be disturbed
 *     counts its calls, in all threads  <---   inject_begin()
 *       the plan's call: fails                 ... the operation
 *     counts none of what it does       <---   inject_pause()
 *                                              ... what stands for the kernel, see kernel.h
 *     counts again                      <---   inject_resume()
 *     lets it go on by itself           <---   inject_end()
 *       its exit                               ... looks at what happened
 *
 * A call is made to fail by ptrace(2): at its entry its number becomes one that no call has, so
 * that the kernel does nothing; at its exit the result becomes the one planned. (x86-64.)
 */

#define INJECT_NO_CALL (~0u)

struct inject_plan {
	unsigned call;   /* counted from 0 between begin and end; INJECT_NO_CALL: none fails */
	unsigned choice; /* which of its values, see errnos.h */
};

struct inject_result {
	unsigned calls;  /* made between begin and end */
	long number;     /* of the planned call; -1: so many were not made */
	const char *name;
	unsigned long long len; /* its third argument: of read(2) and its kind, bytes asked for */
	int injected;    /* it had a value of that choice, and got it */
	long value;
	int status;      /* the child's end, as waitpid(2) tells it */
};

/* Runs @body(@arg) in a child. 0, or -errno when there can be no child, or it cannot be traced. */
int inject(const struct inject_plan *plan, void (*body)(void *arg), void *arg,
	   struct inject_result *result);

/* In the child, once each. */
void inject_begin(void);
void inject_end(void);

/* In the child, between the two, as often as needed. */
void inject_pause(void);
void inject_resume(void);

#endif
