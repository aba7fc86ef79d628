/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef NVME_SPEC_H
#define NVME_SPEC_H

/*
 * What the drive's registers and queues look like, as far as this driver uses them.
 *
 * "Base" is the NVM Express Base Specification 2.0, "NVM" the NVM Command Set Specification 1.0,
 * "PCIe" the NVMe over PCIe Transport Specification 1.0. All of it is little-endian, and so must
 * the host be.
 */

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the drive's structures are");

/* This driver sets CC.MPS = 0: memory pages of 4 KiB, the one size that every drive has. */
#define NVME_PAGE_SHIFT 12
#define NVME_PAGE_SIZE (1u << NVME_PAGE_SHIFT)

/* Controller properties, byte offsets into BAR 0. Base 3.1.3 */
enum {
	NVME_REG_CAP = 0x00,  /* 64 bits, 3.1.3.1 */
	NVME_REG_CC = 0x14,   /* 3.1.3.5 */
	NVME_REG_CSTS = 0x1c, /* 3.1.3.6 */
	NVME_REG_AQA = 0x24,  /* 3.1.3.8 */
	NVME_REG_ASQ = 0x28,  /* 64 bits, 3.1.3.9 */
	NVME_REG_ACQ = 0x30,  /* 64 bits, 3.1.3.10 */
	NVME_REG_DOORBELL = 0x1000, /* PCIe 3.1.2: SQ 0 tail, CQ 0 head, SQ 1 tail, ... */
};

/* CAP. Base 3.1.3.1 */
static inline uint32_t nvme_cap_queue_entries(uint64_t cap)
{
	return (uint32_t)(cap & 0xffff) + 1; /* MQES counts from 0 */
}

static inline uint64_t nvme_cap_timeout_ns(uint64_t cap)
{
	return ((cap >> 24 & 0xff) + 1) * 500000000u; /* TO: units of 500 ms, rounded down */
}

static inline uint32_t nvme_cap_doorbell_stride(uint64_t cap)
{
	return 4u << (cap >> 32 & 0xf); /* bytes */
}

static inline uint32_t nvme_cap_page_shift_min(uint64_t cap)
{
	return 12 + (uint32_t)(cap >> 48 & 0xf);
}

#define NVME_CAP_CSS_NVM (UINT64_C(1) << 37) /* has the NVM command set */

/* CC. Base 3.1.3.5 */
#define NVME_CC_EN (1u << 0)
#define NVME_CC_SHN_MASK (3u << 14)
#define NVME_CC_SHN_NORMAL (1u << 14)
#define NVME_CC_IOSQES(shift) ((uint32_t)(shift) << 16)
#define NVME_CC_IOCQES(shift) ((uint32_t)(shift) << 20)

/* CSTS. Base 3.1.3.6 */
#define NVME_CSTS_RDY (1u << 0)
#define NVME_CSTS_CFS (1u << 1)
#define NVME_CSTS_SHST_MASK (3u << 2)
#define NVME_CSTS_SHST_COMPLETE (2u << 2)

/* Admin commands. Base 5 */
enum nvme_admin_opcode {
	NVME_ADMIN_CREATE_SQ = 0x01,    /* 5.5 */
	NVME_ADMIN_CREATE_CQ = 0x05,    /* 5.4 */
	NVME_ADMIN_IDENTIFY = 0x06,     /* 5.17 */
	NVME_ADMIN_SET_FEATURES = 0x09, /* 5.27 */
};

/* I/O commands. Base 7.1, NVM 3.2.6, NVM 3.2.4 */
enum nvme_io_opcode {
	NVME_IO_FLUSH = 0x00,
	NVME_IO_WRITE = 0x01,
	NVME_IO_READ = 0x02,
};

#define NVME_IDENTIFY_NAMESPACE 0x00  /* CNS, Base 5.17.1 */
#define NVME_IDENTIFY_CONTROLLER 0x01
#define NVME_FEATURE_QUEUES 0x07      /* Base 5.27.1.5 */
#define NVME_QUEUE_CONTIGUOUS (1u << 0)   /* CDW11 of create CQ and SQ: PC */
#define NVME_QUEUE_INTERRUPTS (1u << 1)   /* CDW11 of create CQ: IEN; the vector is above bit 16 */

/* A submission queue entry. Base 3.3.3.1 */
struct nvme_command {
	uint8_t opcode;
	uint8_t flags; /* FUSE and PSDT: 0, not fused, PRPs */
	uint16_t cid;
	uint32_t nsid;
	uint32_t cdw2, cdw3;
	uint64_t metadata;
	uint64_t prp[2]; /* 4.1.1 */
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};

static_assert(sizeof(struct nvme_command) == 64, "SQES is 2^6");
static_assert(offsetof(struct nvme_command, prp) == 24, "DPTR");
static_assert(offsetof(struct nvme_command, cdw10) == 40, "CDW10");

/*
 * A completion queue entry. Base 3.3.3.2. The drive writes it by DMA; its last dword holds the
 * phase bit, and is therefore the one to read first, once, atomically.
 */
struct nvme_completion {
	uint32_t result; /* command specific */
	uint32_t reserved;
	uint16_t sq_head;
	uint16_t sq_id;
	_Atomic uint32_t cid_status; /* cid, then phase (bit 16), then the status field */
};

static_assert(sizeof(struct nvme_completion) == 16, "CQES is 2^4");
static_assert(offsetof(struct nvme_completion, cid_status) == 12, "DW3");

static inline uint16_t nvme_completion_cid(uint32_t dw3)
{
	return (uint16_t)dw3;
}

static inline unsigned nvme_completion_phase(uint32_t dw3)
{
	return dw3 >> 16 & 1;
}

/* Status code type and code, as SCT << 8 | SC. 0 is success. Base 3.3.3.2.1 */
static inline uint16_t nvme_completion_status(uint32_t dw3)
{
	return dw3 >> 17 & 0x7ff;
}

/* Identify Controller. Base 5.17.2.1; only what is read here. */
struct nvme_identify_controller {
	uint16_t vendor, subsystem_vendor;
	char serial[20], model[40], firmware[8]; /* padded with blanks, no NUL */
	uint8_t rab, ieee[3], cmic;
	uint8_t mdts; /* largest transfer: 2^mdts memory pages; 0: no limit */
	uint8_t rest[4096 - 78];
};

static_assert(offsetof(struct nvme_identify_controller, mdts) == 77, "MDTS");
static_assert(sizeof(struct nvme_identify_controller) == NVME_PAGE_SIZE, "one page");

/* One LBA format. NVM 4.1.5.1 */
struct nvme_lba_format {
	uint16_t metadata_size;
	uint8_t block_shift; /* LBADS */
	uint8_t performance;
};

/* Identify Namespace. NVM 4.1.5.1 */
struct nvme_identify_namespace {
	uint64_t blocks; /* NSZE; 0: the namespace is not there */
	uint64_t capacity, used;
	uint8_t features;
	uint8_t nr_formats; /* NLBAF counts from 0 */
	uint8_t format;     /* FLBAS: index in bits 3:0, and bits 6:5 above those */
	uint8_t between[128 - 27];
	struct nvme_lba_format lba_format[64];
	uint8_t rest[4096 - 384];
};

static_assert(offsetof(struct nvme_identify_namespace, lba_format) == 128, "LBAF0");
static_assert(sizeof(struct nvme_identify_namespace) == NVME_PAGE_SIZE, "one page");

#endif
