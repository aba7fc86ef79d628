/* SPDX-License-Identifier: BSD-3-Clause */
#include "doctor.h"

#include <err.h>
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const grade_names[] = {
	[GRADE_OK] = "ok",
	[GRADE_WARN] = "warn",
	[GRADE_FAIL] = "fail",
};

void findings_add(struct findings *findings, enum grade grade, const char *topic, const char *mend,
		  const char *text, ...)
{
	struct finding *more =
		reallocarray(findings->finding, findings->nr + 1, sizeof(*more));
	struct finding finding = {.grade = grade, .topic = topic};
	va_list args;

	if (!more)
		err(1, "findings");
	va_start(args, text);
	if (vasprintf(&finding.text, text, args) < 0)
		err(1, "findings");
	va_end(args);
	if (mend && !(finding.mend = strdup(mend)))
		err(1, "findings");
	findings->finding = more;
	more[findings->nr++] = finding;
}

enum grade findings_worst(const struct findings *findings)
{
	enum grade worst = GRADE_OK;

	for (size_t i = 0; i < findings->nr; i++)
		if (findings->finding[i].grade > worst)
			worst = findings->finding[i].grade;
	return worst;
}

void findings_print(const struct findings *findings, FILE *out)
{
	for (size_t i = 0; i < findings->nr; i++) {
		const struct finding *finding = &findings->finding[i];

		fprintf(out, "%-4s  %-9s  %s\n", grade_names[finding->grade], finding->topic,
			finding->text);
		if (finding->mend)
			fprintf(out, "  what to do: %s\n", finding->mend);
	}
}

/* JSON takes UTF-8 alone: in text that is none, each byte beyond ASCII becomes a '?'. */
static json_t *text_json(const char *text)
{
	json_t *string = json_string(text);
	char *plain = string ? NULL : strdup(text);

	for (char *at = plain; at && *at; at++)
		if (*at & 0x80)
			*at = '?';
	if (plain)
		string = json_string(plain);
	free(plain);
	return string;
}

static json_t *finding_json(const struct finding *finding)
{
	return json_pack("{s:s, s:s, s:o, s:o}", "grade", grade_names[finding->grade], "topic",
			 finding->topic, "text", text_json(finding->text), "mend",
			 finding->mend ? text_json(finding->mend) : json_null());
}

int findings_print_json(const struct findings *findings, FILE *out)
{
	json_t *all = json_array();
	int err = all ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < findings->nr; i++)
		if (json_array_append_new(all, finding_json(&findings->finding[i])))
			err = -ENOMEM;
	json_t *object = err ? NULL : json_pack("{s:s, s:O}", "worst",
						grade_names[findings_worst(findings)], "findings",
						all);

	json_decref(all);
	if (!object || json_dumpf(object, out, JSON_INDENT(2)))
		err = -ENOMEM;
	json_decref(object);
	if (!err)
		fputc('\n', out);
	return err;
}

void findings_free(struct findings *findings)
{
	for (size_t i = 0; i < findings->nr; i++) {
		free(findings->finding[i].text);
		free(findings->finding[i].mend);
	}
	free(findings->finding);
	*findings = (struct findings){0};
}
