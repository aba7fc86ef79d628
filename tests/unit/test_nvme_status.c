/* SPDX-License-Identifier: BSD-3-Clause */
/* Statuses of examples/nvme by name, and where in a completion they stand. */
#include <nvme_spec.h>
#include <nvme_status.h>

#include "support.h"

static const char *text_of(uint16_t status)
{
	static char text[NVME_STATUS_TEXT];

	return nvme_status_format(status, text, sizeof(text));
}

static void a_status_has_type_name_and_numbers(void **state)
{
	(void)state;
	assert_string_equal(text_of(0x080), "Generic: LBA Out of Range (SCT 0, SC 0x80)");
	assert_string_equal(text_of(0x002), "Generic: Invalid Field in Command (SCT 0, SC 0x02)");
	assert_string_equal(text_of(0x101),
			    "Command Specific: Invalid Queue Identifier (SCT 1, SC 0x01)");
	assert_string_equal(text_of(0x281), "Media: Unrecovered Read Error (SCT 2, SC 0x81)");
	assert_string_equal(text_of(0x371), "Path: Command Aborted By Host (SCT 3, SC 0x71)");
}

static void an_unknown_status_still_has_its_numbers(void **state)
{
	(void)state;
	assert_null(nvme_status_name(0x0fe));
	assert_string_equal(text_of(0x0fe), "Generic: Unknown Status (SCT 0, SC 0xfe)");
	assert_string_equal(text_of(0x7c0), "Vendor Specific: Unknown Status (SCT 7, SC 0xc0)");
}

/* The same code means different things under different types. */
static void the_type_is_part_of_the_status(void **state)
{
	(void)state;
	assert_string_equal(nvme_status_name(0x080), "LBA Out of Range");
	assert_string_equal(nvme_status_name(0x180), "Conflicting Attributes");
	assert_string_equal(nvme_status_name(0x280), "Write Fault");
}

/* 2^11 statuses, and whatever else 16 bits hold: none overruns the text. */
static void every_text_fits(void **state)
{
	char text[NVME_STATUS_TEXT + 1];

	(void)state;
	for (uint32_t status = 0; status <= UINT16_MAX; ++status) {
		text[NVME_STATUS_TEXT] = 'x';
		nvme_status_format((uint16_t)status, text, NVME_STATUS_TEXT);
		assert_int_equal(text[NVME_STATUS_TEXT], 'x');
		assert_int_equal(text[strlen(text) - 1], ')');
	}
}

/* Base 3.3.3.2: CID 15:0, phase 16, SC 24:17, SCT 27:25, CRD 29:28, More 30, Do Not Retry 31. */
static void a_completion_is_taken_apart(void **state)
{
	const uint32_t dw3 = UINT32_C(1) << 31 | UINT32_C(3) << 28 | UINT32_C(2) << 25 |
			     UINT32_C(0x81) << 17 | UINT32_C(1) << 16 | 0x1234;

	(void)state;
	assert_int_equal(nvme_completion_cid(dw3), 0x1234);
	assert_int_equal(nvme_completion_phase(dw3), 1);
	assert_int_equal(nvme_completion_phase(dw3 ^ (1u << 16)), 0);
	assert_int_equal(nvme_completion_status(dw3), 0x281);
}

static void capabilities_are_taken_apart(void **state)
{
	/* MQES 2047, TO 15, DSTRD 1, MPSMIN 1 */
	const uint64_t cap = UINT64_C(1) << 48 | UINT64_C(1) << 32 | UINT64_C(15) << 24 | 2047;

	(void)state;
	assert_int_equal(nvme_cap_queue_entries(cap), 2048);
	assert_int_equal(nvme_cap_timeout_ns(cap), UINT64_C(8000000000));
	assert_int_equal(nvme_cap_doorbell_stride(cap), 8);
	assert_int_equal(nvme_cap_page_shift_min(cap), 13);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(a_status_has_type_name_and_numbers),
		support_test(an_unknown_status_still_has_its_numbers),
		support_test(the_type_is_part_of_the_status),
		support_test(every_text_fits),
		support_test(a_completion_is_taken_apart),
		support_test(capabilities_are_taken_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
