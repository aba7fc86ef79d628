/* SPDX-License-Identifier: BSD-3-Clause */
/* Is the service there, and does it answer? */
#include "doctor.h"

#include <errno.h>
#include <string.h>

#include <pinion/error.h>

#include "query.h"

static const char *mend_of(int err)
{
	switch (err) {
	case -ENOENT:
	case -ECONNREFUSED:
		return "systemctl start piniond (or name its socket with --socket)";
	case -EACCES:
		return "socket_mode in piniond.conf, and the modes of the directories above it";
	case -ENAMETOOLONG:
		return "name a shorter path with --socket, or PINION_SOCKET";
	case -EPROTO:
		return "install pinion and piniond of one release";
	default:
		return "systemctl restart piniond (members go on meanwhile)";
	}
}

void doctor_service(const char *socket, struct findings *findings)
{
	const int err = query_greet(socket);

	if (err)
		findings_add(findings, GRADE_FAIL, "service", mend_of(err), "%s",
			     pinion_error_text());
	else
		findings_add(findings, GRADE_OK, "service", NULL, "%s answers",
			     query_socket(socket));
}
