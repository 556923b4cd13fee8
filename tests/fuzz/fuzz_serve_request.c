/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to supafs-serve, over a socket. The first byte says where the rest goes:
 *
 *	R  Range           I  If-None-Match and If-Modified-Since
 *	J  Authorization   P  payload of a signed token
 *	L  body of list-v2 l  body of list     C  cursor of list-v2, before base64
 *	F  multipart body  X  x-metadata, before base64; then info is asked
 *	U  path of a GET   H  the whole request
 *
 * Every answer is HTTP; but for H and U every request gets one.
 */
#include <cjson/cJSON.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/parse.h"

#include "fuzz.h"
#include "serve_bench.h"

#define INPUT_MAX ((size_t)32 << 10)
#define COMMON    "Host: h\r\nConnection: close\r\n"

struct talk {
	struct serve_bench *b;
	struct supafs_buf request, answer;
};

static void send_request(struct talk *t, bool must_answer)
{
	struct supafs_str answer;

	FUZZ_CHECK(supafs_buf_error(&t->request) == 0);
	serve_bench_ask(t->b, supafs_buf_str(&t->request), !must_answer, &t->answer);
	answer = supafs_buf_str(&t->answer);
	FUZZ_CHECK(supafs_str_starts(answer, SUPAFS_STR("HTTP/1.")) ||
		   (answer.n == 0 && !must_answer));
	supafs_buf_reset(&t->request);
}

static void begin(struct talk *t, const char *line, bool with_token)
{
	(void)supafs_buf_addf(&t->request, "%s HTTP/1.1\r\n" COMMON, line);
	if (with_token)
		(void)supafs_buf_addf(
			&t->request, "Authorization: Bearer %s\r\n", supafs_buf_cstr(&t->b->token));
}

/* A header's value has no line ends; and without a NUL it arrives as it is. */
static bool is_value(struct supafs_str s)
{
	return s.n < 8000 && !memchr(s.p, '\r', s.n) && !memchr(s.p, '\n', s.n) &&
	       !memchr(s.p, 0, s.n);
}

static void ask_with_header(
	struct talk *t, const char *name, struct supafs_str value, bool with_token)
{
	if (!is_value(value))
		return;
	begin(t, "GET /object/authenticated/b/a.txt", with_token);
	(void)supafs_buf_addf(&t->request, "%s: %.*s\r\n\r\n", name, SUPAFS_STR_FMT(value));
	send_request(t, true);
}

static void ask_as(struct talk *t, struct supafs_str payload)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf token;

	supafs_buf_init(&token, INPUT_MAX);
	if (serve_jwt_sign(&t->b->app.jwt, payload, &token) < 0)
		return;
	ask_with_header(t, "Authorization", supafs_buf_str(&token), false);
}

static void post(struct talk *t, const char *route, const char *headers, struct supafs_str body)
{
	begin(t, route, true);
	(void)supafs_buf_addf(&t->request, "%sContent-Length: %zu\r\n\r\n", headers, body.n);
	if (body.n)
		(void)supafs_buf_addstr(&t->request, body);
	send_request(t, true);
}

/* The body of the answer, when it is a 200, is one JSON value. */
static void check_json(struct talk *t)
{
	struct supafs_str a = supafs_buf_str(&t->answer);
	const char *body = a.n ? memmem(a.p, a.n, "\r\n\r\n", 4) : NULL;
	const char *end = NULL;
	cJSON *j;

	if (!supafs_str_starts(a, SUPAFS_STR("HTTP/1.1 200")))
		return;
	FUZZ_CHECK(body);
	body += 4;
	j = cJSON_ParseWithLengthOpts(body, a.n - (size_t)(body - a.p), &end, 0);
	FUZZ_CHECK(j && end == a.p + a.n);
	cJSON_Delete(j);
}

static void ask_cursor(struct talk *t, struct supafs_str cursor)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf body;

	supafs_buf_init(&body, 4 * INPUT_MAX);
	(void)supafs_buf_adds(
		&body, "{\"prefix\":\"\",\"limit\":1,\"with_delimiter\":true,\"cursor\":\"");
	(void)supafs_b64_encode(&body, cursor.p, cursor.n);
	(void)supafs_buf_adds(&body, "\"}");
	post(t, "POST /object/list-v2/b", "Content-Type: application/json\r\n",
		supafs_buf_str(&body));
	check_json(t);
}

static void look_and_remove(struct talk *t)
{
	begin(t, "GET /object/info/authenticated/b/up", true);
	(void)supafs_buf_adds(&t->request, "\r\n");
	send_request(t, true);
	check_json(t);
	begin(t, "DELETE /object/b/up", true);
	(void)supafs_buf_adds(&t->request, "\r\n");
	send_request(t, true);
}

static void upload_with_metadata(struct talk *t, struct supafs_str meta)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf headers;

	supafs_buf_init(&headers, 4 * INPUT_MAX);
	(void)supafs_buf_adds(&headers, "Content-Type: text/plain\r\nx-metadata: ");
	(void)supafs_b64_encode(&headers, meta.p, meta.n);
	(void)supafs_buf_adds(&headers, "\r\n");
	post(t, "POST /object/b/up", supafs_buf_cstr(&headers), SUPAFS_STR("body"));
	look_and_remove(t);
}

static void upload_form(struct talk *t, struct supafs_str form)
{
	post(t, "POST /object/b/up", "Content-Type: multipart/form-data; boundary=xyz\r\n", form);
	look_and_remove(t);
}

static void get_path(struct talk *t, struct supafs_str path)
{
	if (!is_value(path) || memchr(path.p, ' ', path.n))
		return;
	(void)supafs_buf_addf(
		&t->request, "GET /%.*s HTTP/1.1\r\n" COMMON "\r\n", SUPAFS_STR_FMT(path));
	send_request(t, false);
}

static void run(struct talk *t, char kind, struct supafs_str s)
{
	static const char json[] = "Content-Type: application/json\r\n";

	if (kind == 'R')
		ask_with_header(t, "Range", s, true);
	else if (kind == 'I')
		ask_with_header(t, "If-Modified-Since", s, true);
	else if (kind == 'J')
		ask_with_header(t, "Authorization", s, false);
	else if (kind == 'P')
		ask_as(t, s);
	else if (kind == 'C')
		ask_cursor(t, s);
	else if (kind == 'F')
		upload_form(t, s);
	else if (kind == 'X')
		upload_with_metadata(t, s);
	else if (kind == 'U')
		get_path(t, s);
	if (kind == 'L' || kind == 'l') {
		post(t, kind == 'L' ? "POST /object/list-v2/b" : "POST /object/list/b", json, s);
		check_json(t);
	}
	if (kind == 'H') {
		(void)supafs_buf_addstr(&t->request, s);
		send_request(t, false);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct talk t = {.b = serve_bench_get()};

	if (size < 2 || size > INPUT_MAX)
		return 0;
	supafs_buf_init(&t.request, 8 * INPUT_MAX);
	supafs_buf_init(&t.answer, SERVE_BENCH_ANSWER_MAX);
	run(&t, (char)data[0], fuzz_str(data + 1, size - 1));
	supafs_buf_fini(&t.request);
	supafs_buf_fini(&t.answer);
	return 0;
}
