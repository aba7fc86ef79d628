/* SPDX-License-Identifier: BSD-3-Clause */
#include "shared.h"

#include <capstone/capstone.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "tap.h"

#define INSTRUCTION_MAX 15 /* bytes (Intel SDM 2, 2.3.11) */

void shared_look(struct shared *shared, pid_t pid)
{
	char line[512], may[5];
	FILE *maps;

	(void)snprintf(line, sizeof(line), "/proc/%d/maps", (int)pid);
	maps = fopen(line, "re");
	if (!maps)
		tap_bail("%s: cannot be read", line);
	shared->nr = 0;
	while (fgets(line, sizeof(line), maps)) {
		uint64_t start, end;

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &start, &end, may) != 3 ||
		    may[1] != 'w' || may[3] != 's')
			continue;
		if (shared->nr == SHARED_RANGES_MAX)
			tap_bail("more than %d shared mappings", SHARED_RANGES_MAX);
		shared->range[shared->nr].start = start;
		shared->range[shared->nr++].end = end;
	}
	(void)fclose(maps);
}

/* Bytes of @pid's memory at @addr, as many as there are of @len. */
static size_t peek(pid_t pid, uint64_t addr, void *to, size_t len)
{
	const struct iovec here = {to, len}, there = {(void *)(uintptr_t)addr, len};
	const ssize_t got = process_vm_readv(pid, &here, 1, &there, 1, 0);

	return got < 0 ? 0 : (size_t)got;
}

static uint64_t value_of(const struct user_regs_struct *regs, unsigned reg)
{
	static const struct {
		x86_reg reg;
		size_t at;
	} table[] = {
		{X86_REG_RAX, offsetof(struct user_regs_struct, rax)},
		{X86_REG_RBX, offsetof(struct user_regs_struct, rbx)},
		{X86_REG_RCX, offsetof(struct user_regs_struct, rcx)},
		{X86_REG_RDX, offsetof(struct user_regs_struct, rdx)},
		{X86_REG_RSI, offsetof(struct user_regs_struct, rsi)},
		{X86_REG_RDI, offsetof(struct user_regs_struct, rdi)},
		{X86_REG_RBP, offsetof(struct user_regs_struct, rbp)},
		{X86_REG_RSP, offsetof(struct user_regs_struct, rsp)},
		{X86_REG_R8, offsetof(struct user_regs_struct, r8)},
		{X86_REG_R9, offsetof(struct user_regs_struct, r9)},
		{X86_REG_R10, offsetof(struct user_regs_struct, r10)},
		{X86_REG_R11, offsetof(struct user_regs_struct, r11)},
		{X86_REG_R12, offsetof(struct user_regs_struct, r12)},
		{X86_REG_R13, offsetof(struct user_regs_struct, r13)},
		{X86_REG_R14, offsetof(struct user_regs_struct, r14)},
		{X86_REG_R15, offsetof(struct user_regs_struct, r15)},
		{X86_REG_RIP, offsetof(struct user_regs_struct, rip)},
	};
	uint64_t value;

	if (reg == X86_REG_INVALID)
		return 0;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].reg != reg)
			continue;
		memcpy(&value, (const char *)regs + table[i].at, sizeof(value));
		return value;
	}
	tap_bail("an address of an unknown kind at %#jx", (uintmax_t)regs->rip);
}

/* What is known of an instruction. */
struct known {
	pid_t pid;
	uint8_t size, nr;
	bool call, repeats;
	uint64_t rip;
	x86_op_mem mem[2];
};

static csh decoder(void)
{
	static csh handle;

	if (!handle && (cs_open(CS_ARCH_X86, CS_MODE_64, &handle) ||
			cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON)))
		tap_bail("no decoder of instructions");
	return handle;
}

/* Those that make up most of a program, and of which it is beyond doubt. */
static bool only_reads(const cs_insn *insn, uint8_t operand)
{
	return insn->id == X86_INS_CMP || insn->id == X86_INS_TEST ||
	       (insn->id == X86_INS_MOV && operand == 1);
}

/* Another segment is that of a thread's own variables. */
static bool may_be_shared(const cs_x86_op *op)
{
	return op->type == X86_OP_MEM && op->mem.segment != X86_REG_FS &&
	       op->mem.segment != X86_REG_GS;
}

/* Other instructions have that prefix too, and do something once. */
static bool is_repeated(const cs_x86 *insn)
{
	return insn->prefix[0] == X86_PREFIX_REP &&
	       (insn->opcode[0] == 0xa4 || insn->opcode[0] == 0xa5 || /* movs */
		insn->opcode[0] == 0xaa || insn->opcode[0] == 0xab);  /* stos */
}

static void decode(struct known *known, pid_t pid, uint64_t rip)
{
	uint8_t code[INSTRUCTION_MAX];
	cs_insn *insn;

	if (!cs_disasm(decoder(), code, peek(pid, rip, code, sizeof(code)), rip, 1, &insn))
		tap_bail("no instruction that is known at %#jx", (uintmax_t)rip);
	*known = (struct known){.pid = pid, .rip = rip, .size = (uint8_t)insn->size,
				.call = insn->id == X86_INS_SYSCALL,
				.repeats = is_repeated(&insn->detail->x86)};
	for (uint8_t i = 0; i < insn->detail->x86.op_count && known->nr < 2; i++)
		if (!only_reads(insn, i) && may_be_shared(&insn->detail->x86.operands[i]))
			known->mem[known->nr++] = insn->detail->x86.operands[i].mem;
	cs_free(insn, 1);
}

/* Decoded once: a program goes through the same ones again and again. */
static const struct known *know(pid_t pid, uint64_t rip)
{
	static struct known table[1 << 14];
	struct known *known = &table[rip % (sizeof(table) / sizeof(table[0]))];

	if (known->rip != rip || known->pid != pid)
		decode(known, pid, rip);
	return known;
}

static bool find(const struct shared *shared, uint64_t addr, struct aim *aim)
{
	for (uint32_t i = 0; i < shared->nr; i++) {
		const uint64_t left = shared->range[i].end - addr;

		if (addr < shared->range[i].start || addr >= shared->range[i].end)
			continue;
		aim->addr = addr;
		aim->len = left < SHARED_WIDTH ? (uint32_t)left : SHARED_WIDTH;
		return true;
	}
	return false;
}

static uint64_t addr_of(const struct user_regs_struct *regs, const struct known *known,
			const x86_op_mem *mem)
{
	return value_of(regs, mem->base) + (uint64_t)mem->disp +
	       value_of(regs, mem->index) * (uint64_t)mem->scale +
	       (mem->base == X86_REG_RIP ? known->size : 0);
}

/* In all its rounds, each of at most eight bytes. pre: rep; what it writes is at rdi, upwards. */
static bool is_private(const struct shared *shared, const struct user_regs_struct *regs)
{
	for (uint32_t i = 0; i < shared->nr; i++)
		if (regs->rdi < shared->range[i].end &&
		    regs->rdi + 8 * regs->rcx > shared->range[i].start)
			return false;
	return true;
}

void shared_aim(const struct shared *shared, pid_t pid, struct aim *aim)
{
	struct user_regs_struct regs;
	const struct known *known;

	if (ptrace(PTRACE_GETREGS, pid, NULL, &regs))
		tap_bail("no registers of process %d", (int)pid);
	known = know(pid, regs.rip);
	aim->addr = 0;
	aim->call = known->call;
	aim->past = known->repeats && is_private(shared, &regs) ? known->rip + known->size : 0;
	/* Of two in memory (movs) the first is the one that is written. */
	for (uint8_t i = 0; i < known->nr; i++)
		if (find(shared, addr_of(&regs, known, &known->mem[i]), aim))
			break;
	if (aim->addr && peek(pid, aim->addr, aim->before, aim->len) != aim->len)
		tap_bail("no memory at %#jx", (uintmax_t)aim->addr);
}

bool shared_changed(pid_t pid, const struct aim *aim)
{
	uint8_t now[SHARED_WIDTH];

	/* Another process may have written beside it: one moment too many does no harm. */
	return aim->addr && (peek(pid, aim->addr, now, aim->len) != aim->len ||
			     memcmp(now, aim->before, aim->len));
}
