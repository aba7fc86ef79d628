/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ring_32_checked: ring_32 through a channel, where each buffer changes hands: the sender is
 * checked to hold it, the receiver checks id, length, owner and generation and takes it over.
 * ring_32_scattered: the same with ids in no order: neighbours share no line of owner words.
 * rtt_checked: rtt_poll through a channel.
 */

#include "link_pinion.h"
#include "ping.h"
#include "stream.h"

static void stream_scattered(struct bench *b)
{
	link_scatter = true;
	stream_4096(b);
}

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {
		{"ring_32_checked", "pinion", "ns", stream_4096, 32},
		{"ring_32_scattered", "pinion", "ns", stream_scattered, 32},
		{"rtt_checked", "pinion", "ns", ping_run, 1},
	};

	return bench_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
