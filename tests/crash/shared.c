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

/* What is shorter is stepped through. */
#define STRETCH_LEAST 3
#define STRETCH_MAX 64

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
	uint8_t size; /* 0: nothing */
	uint8_t nr, nr_next;
	bool call, repeats;
	uint64_t rip;
	uint64_t next[2]; /* where it goes on, if it writes to nothing that may be shared */
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
	switch (insn->id) {
	case X86_INS_CMP:
	case X86_INS_TEST:
	case X86_INS_LEA: return true;
	case X86_INS_MOV:
	case X86_INS_MOVZX:
	case X86_INS_MOVSX:
	case X86_INS_MOVSXD: return operand == 1;
	default: return false;
	}
}

/* Another segment is that of a thread's own variables; and the stack is its own. */
static bool may_be_shared(const cs_x86_op *op)
{
	return op->type == X86_OP_MEM && op->mem.segment != X86_REG_FS &&
	       op->mem.segment != X86_REG_GS &&
	       (op->mem.base != X86_REG_RSP || op->mem.index != X86_REG_INVALID);
}

/* Other instructions have that prefix too, and do something once. */
static bool is_repeated(const cs_x86 *insn)
{
	return insn->prefix[0] == X86_PREFIX_REP &&
	       (insn->opcode[0] == 0xa4 || insn->opcode[0] == 0xa5 || /* movs */
		insn->opcode[0] == 0xaa || insn->opcode[0] == 0xab);  /* stos */
}

static bool is_in(const cs_insn *insn, uint8_t group)
{
	return cs_insn_group(decoder(), insn, group);
}

static void set_next(struct known *known, const cs_insn *insn)
{
	const cs_x86_op *to = &insn->detail->x86.operands[0];
	const uint64_t behind = known->rip + known->size;
	bool jump = is_in(insn, CS_GRP_JUMP);

	if (known->nr || is_in(insn, CS_GRP_RET) || is_in(insn, CS_GRP_INT) || known->call)
		return;
	if (!jump && !is_in(insn, CS_GRP_CALL)) {
		known->next[known->nr_next++] = behind;
		return;
	}
	if (to->type != X86_OP_IMM)
		return;
	known->next[known->nr_next++] = (uint64_t)to->imm;
	if (jump && insn->id != X86_INS_JMP)
		known->next[known->nr_next++] = behind;
}

static void decode(struct known *known, pid_t pid, uint64_t rip)
{
	uint8_t code[INSTRUCTION_MAX];
	cs_insn *insn;

	*known = (struct known){.pid = pid, .rip = rip};
	if (!cs_disasm(decoder(), code, peek(pid, rip, code, sizeof(code)), rip, 1, &insn))
		return;
	known->size = (uint8_t)insn->size;
	known->call = insn->id == X86_INS_SYSCALL;
	known->repeats = is_repeated(&insn->detail->x86);
	for (uint8_t i = 0; i < insn->detail->x86.op_count && known->nr < 2; i++)
		if (!only_reads(insn, i) && may_be_shared(&insn->detail->x86.operands[i]))
			known->mem[known->nr++] = insn->detail->x86.operands[i].mem;
	set_next(known, insn);
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

/* Instructions of which none writes to what may be shared; and where one who goes through them
 * comes out, whichever way he takes. */
struct stretch {
	pid_t pid;
	uint8_t nr_in, nr_out;
	uint64_t rip, in[STRETCH_MAX], out[AIM_PAST_MAX];
};

static bool has(const uint64_t *list, uint8_t nr, uint64_t addr)
{
	while (nr && list[nr - 1] != addr)
		nr--;
	return nr;
}

/* The one that comes behind the stretch at @i becomes a part of it. False: it cannot. */
static bool take_in(struct stretch *stretch, uint8_t i)
{
	const struct known *known = know(stretch->pid, stretch->out[i]);
	struct stretch to = *stretch;

	if (!known->nr_next || to.nr_in == STRETCH_MAX)
		return false;
	to.in[to.nr_in++] = known->rip;
	to.out[i] = to.out[--to.nr_out];
	for (uint8_t next = 0; next < known->nr_next; next++) {
		if (has(to.in, to.nr_in, known->next[next]) ||
		    has(to.out, to.nr_out, known->next[next]))
			continue;
		if (to.nr_out == AIM_PAST_MAX)
			return false;
		to.out[to.nr_out++] = known->next[next];
	}
	*stretch = to;
	return true;
}

static const struct stretch *stretch_at(pid_t pid, uint64_t rip)
{
	static struct stretch table[1 << 12];
	struct stretch *stretch = &table[rip % (sizeof(table) / sizeof(table[0]))];

	if (stretch->rip == rip && stretch->pid == pid)
		return stretch;
	*stretch = (struct stretch){.pid = pid, .rip = rip, .nr_out = 1, .out = {rip}};
	for (uint8_t i = 0; i < stretch->nr_out;)
		i = take_in(stretch, i) ? 0 : i + 1;
	return stretch;
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

static void look_past(const struct shared *shared, const struct known *known,
		      const struct user_regs_struct *regs, struct aim *aim)
{
	const struct stretch *stretch = stretch_at(known->pid, known->rip);

	aim->nr_past = 0;
	if (known->repeats && is_private(shared, regs)) {
		aim->past[aim->nr_past++] = known->rip + known->size;
	} else if (stretch->nr_in >= STRETCH_LEAST) {
		aim->nr_past = stretch->nr_out;
		memcpy(aim->past, stretch->out, sizeof(aim->past));
	}
}

void shared_aim(const struct shared *shared, pid_t pid, struct aim *aim)
{
	struct user_regs_struct regs;
	struct known known;

	if (ptrace(PTRACE_GETREGS, pid, NULL, &regs))
		tap_bail("no registers of process %d", (int)pid);
	known = *know(pid, regs.rip);
	if (!known.size)
		tap_bail("no instruction that is known at %#jx", (uintmax_t)regs.rip);
	aim->addr = 0;
	aim->call = known.call;
	look_past(shared, &known, &regs, aim);
	/* Of two in memory (movs) the first is the one that is written. */
	for (uint8_t i = 0; i < known.nr; i++)
		if (find(shared, addr_of(&regs, &known, &known.mem[i]), aim))
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
