/* SPDX-License-Identifier: BSD-3-Clause */
#include "watch.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define TRAP_FLAG 0x100 /* EFLAGS.TF: SIGTRAP after the next instruction */
#define ERROR_WRITE 2   /* in the page fault's error code */

static struct range {
	char *addr, *alias;
	size_t len;
	int protection;
	bool open;
} ranges[WATCH_MAX];
static int nr_ranges;

static watch_meet *meet;
static void *meet_context;
static struct sigaction old_segv, old_trap;

static void protect(struct range *range, bool open)
{
	if (mprotect(range->addr, range->len, open ? range->protection : PROT_NONE))
		_exit(99); /* in a handler: nothing else can be said */
	range->open = open;
}

/* movdqa xmm, m128, as the processor has it: 66 [REX] 0F 6F, or VEX.128.66.0F 6F. */
static bool loads_whole(const uint8_t *code)
{
	if (code[0] == 0xc5)
		return (code[1] & 7) == 1 && code[2] == 0x6f;
	if (code[0] == 0xc4)
		return (code[1] & 31) == 1 && (code[2] & 7) == 1 && code[3] == 0x6f;
	if (code[0] != 0x66)
		return false;
	code += (code[1] & 0xf0) == 0x40;
	return code[1] == 0x0f && code[2] == 0x6f;
}

/* A locked instruction, or xchg, which needs no prefix: [REX] 86 or 87. */
static bool reads_and_writes(const uint8_t *code)
{
	if (code[0] == 0xf0)
		return true;
	code += (code[0] & 0xf0) == 0x40;
	return (code[0] & 0xfe) == 0x86;
}

static struct range *range_of(const char *addr)
{
	for (int i = 0; i < nr_ranges; i++)
		if (addr >= ranges[i].addr && addr < ranges[i].addr + ranges[i].len)
			return &ranges[i];
	return NULL;
}

/* One access begins. An instruction that touches two ranges comes here twice. */
static void on_fault(int signal, siginfo_t *info, void *context)
{
	ucontext_t *user = context;
	greg_t *regs = user->uc_mcontext.gregs;
	struct range *range = range_of(info->si_addr);
	struct watch_access access;
	int saved = errno;

	if (!range || range->open) { /* a fault of the code under test: dies of it */
		(void)sigaction(signal, &old_segv, NULL);
		return;
	}
	access.alias = range->alias + ((char *)info->si_addr - range->addr);
	access.store = regs[REG_ERR] & ERROR_WRITE;
	access.place = (uintptr_t)regs[REG_RIP];
	access.load = !access.store || reads_and_writes((const uint8_t *)access.place);
	access.whole = loads_whole((const uint8_t *)access.place);
	meet(meet_context, &access);
	protect(range, true);
	regs[REG_EFL] |= TRAP_FLAG;
	errno = saved;
}

/* It is over. */
static void on_trap(int signal, siginfo_t *info, void *context)
{
	ucontext_t *user = context;
	int saved = errno;

	(void)signal;
	(void)info;
	for (int i = 0; i < nr_ranges; i++)
		if (ranges[i].open)
			protect(&ranges[i], false);
	user->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
	errno = saved;
}

void watch_clear(void)
{
	nr_ranges = 0;
}

void watch_add(void *addr, size_t len, int protection, void *alias)
{
	ranges[nr_ranges++] =
		(struct range){.addr = addr, .alias = alias, .len = len, .protection = protection};
}

void watch_forget(const void *addr)
{
	for (int i = 0; i < nr_ranges; i++)
		if (ranges[i].addr == addr)
			ranges[i--] = ranges[--nr_ranges];
}

void watch_start(watch_meet *what, void *context)
{
	struct sigaction action = {.sa_flags = SA_SIGINFO, .sa_sigaction = on_fault};

	meet = what;
	meet_context = context;
	(void)sigaction(SIGSEGV, &action, &old_segv);
	action.sa_sigaction = on_trap;
	(void)sigaction(SIGTRAP, &action, &old_trap);
	for (int i = 0; i < nr_ranges; i++)
		protect(&ranges[i], false);
}

void watch_stop(void)
{
	for (int i = 0; i < nr_ranges; i++)
		protect(&ranges[i], true);
	(void)sigaction(SIGSEGV, &old_segv, NULL);
	(void)sigaction(SIGTRAP, &old_trap, NULL);
}
