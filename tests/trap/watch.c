/* SPDX-License-Identifier: BSD-3-Clause */
#include "watch.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
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
static bool watching;

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

/* What moves or compares all of a vector: movups, movaps, movdqa or movdqu, pcmpeqd, pxor, ... */
static bool is_of_vectors(uint8_t opcode)
{
	static const uint8_t all[] = {0x10, 0x11, 0x28, 0x29, 0x6f, 0x76, 0x7f, 0xd4, 0xeb, 0xef};

	return memchr(all, opcode, sizeof(all)) != NULL;
}

/* ... and, two bytes behind 0F, pcmpeqq. Scalars of those opcodes have the prefix F2 or F3 (2, 3),
 * but for movdqu. */
static bool is_of_whole_vectors(uint8_t map, uint8_t opcode, uint8_t prefix)
{
	if (map == 2)
		return opcode == 0x29;
	return map == 1 && is_of_vectors(opcode) &&
	       (prefix < 2 || (prefix == 2 && (opcode == 0x6f || opcode == 0x7f)));
}

/* As VEX has it. */
static uint8_t prefix_of(uint8_t byte)
{
	return byte == 0x66 ? 1 : byte == 0xf3 ? 2 : byte == 0xf2 ? 3 : 0;
}

/* Bytes of a vector that it reaches; 0: none that is known. */
static uint32_t vector_of(const uint8_t *code)
{
	const uint8_t prefix = prefix_of(*code);

	if (code[0] == 0xc5)
		return is_of_whole_vectors(1, code[2], code[1] & 3) ? 16u << (code[1] >> 2 & 1) : 0;
	if (code[0] == 0xc4)
		return is_of_whole_vectors(code[1] & 31, code[3], code[2] & 3)
			       ? 16u << (code[2] >> 2 & 1)
			       : 0;
	code += prefix != 0;
	code += (code[0] & 0xf0) == 0x40;
	if (code[0] != 0x0f)
		return 0;
	if (code[1] == 0x38)
		return is_of_whole_vectors(2, code[2], prefix) ? 16 : 0;
	return is_of_whole_vectors(1, code[1], prefix) ? 16 : 0;
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
	access.vector = vector_of((const uint8_t *)access.place);
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
	ranges[nr_ranges] =
		(struct range){.addr = addr, .alias = alias, .len = len, .protection = protection};
	if (watching)
		protect(&ranges[nr_ranges], false);
	nr_ranges++;
}

void watch_forget(const void *addr)
{
	for (int i = 0; i < nr_ranges; i++)
		if (ranges[i].addr == addr)
			ranges[i--] = ranges[--nr_ranges];
}

int watch_ranges(void)
{
	return nr_ranges;
}

void watch_start(watch_meet *what, void *context)
{
	struct sigaction action = {.sa_flags = SA_SIGINFO, .sa_sigaction = on_fault};

	meet = what;
	meet_context = context;
	(void)sigaction(SIGSEGV, &action, &old_segv);
	action.sa_sigaction = on_trap;
	(void)sigaction(SIGTRAP, &action, &old_trap);
	watching = true;
	for (int i = 0; i < nr_ranges; i++)
		protect(&ranges[i], false);
}

void watch_stop(void)
{
	watching = false;
	for (int i = 0; i < nr_ranges; i++)
		protect(&ranges[i], true);
	(void)sigaction(SIGSEGV, &old_segv, NULL);
	(void)sigaction(SIGTRAP, &old_trap, NULL);
}
