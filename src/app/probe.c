/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "supafs/util/cleanup.h"

#define PROBE_TRIES      3
#define PROBE_TIMEOUT_MS 15000
#define PROBE_PAUSE_NS   (300 * SUPAFS_NS_PER_MS)

/* The store's codes (store.h, struct supafs_fault). */
static const struct {
	const char *code;
	enum supafs_msg id;
} by_code[] = {
	{"TokenExpired", SUPAFS_MSG_KEY_EXPIRED},
	{"TokenMissing", SUPAFS_MSG_KEY_REFUSED},
	{"TokenSignature", SUPAFS_MSG_KEY_REFUSED},
	{"TokenInvalid", SUPAFS_MSG_KEY_REFUSED},
	{"TokenRole", SUPAFS_MSG_KEY_REFUSED},
	{"PublicKey", SUPAFS_MSG_BUCKET_HIDDEN},
	{"NoSuchBucket", SUPAFS_MSG_BUCKET_MISSING},
	{"NotStorage", SUPAFS_MSG_WRONG_URL},
	{"OldServer", SUPAFS_MSG_SERVER_OLD},
	{"ProjectPaused", SUPAFS_MSG_PROJECT_PAUSED},
	{"BadReply", SUPAFS_MSG_WRONG_URL},
	{"Unreachable", SUPAFS_MSG_UNREACHABLE},
	{"Timeout", SUPAFS_MSG_SERVER_SILENT},
	{"TLS", SUPAFS_MSG_TLS},
};

enum supafs_msg supafs_probe_message(int r, const struct supafs_fault *fault, bool public_key)
{
	enum supafs_msg id = SUPAFS_MSG_SERVER_ERROR;

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(by_code); i++) {
		if (strcmp(fault->code, by_code[i].code) == 0)
			id = by_code[i].id;
	}
	if (id == SUPAFS_MSG_SERVER_ERROR && fault->class == SUPAFS_FAULT_AUTH)
		id = SUPAFS_MSG_KEY_REFUSED;
	if (id == SUPAFS_MSG_SERVER_ERROR && (r == -ECONNREFUSED || r == -EHOSTUNREACH))
		id = SUPAFS_MSG_UNREACHABLE;
	if (id == SUPAFS_MSG_SERVER_ERROR && r == -ETIMEDOUT)
		id = SUPAFS_MSG_SERVER_SILENT;
	if (id == SUPAFS_MSG_BUCKET_MISSING && public_key)
		id = SUPAFS_MSG_BUCKET_HIDDEN;
	return id;
}

static bool worth_another(int r, const struct supafs_fault *fault)
{
	return r != -ETIMEDOUT && r != -EINTR && r != -ECONNABORTED &&
	       (fault->class == SUPAFS_FAULT_TRANSIENT || fault->class == SUPAFS_FAULT_THROTTLED);
}

int supafs_probe(struct supafs_store *store, const struct supafs_probe_args *args,
	struct supafs_bucket_info *ret_info, struct supafs_problem *p)
{
	struct supafs_fault fault;
	struct supafs_call call;
	char said[320];
	int r = -EIO;

	supafs_call_init(&call, args->clock,
		args->timeout_ms < PROBE_TIMEOUT_MS ? args->timeout_ms : PROBE_TIMEOUT_MS);
	for (int i = 0; i < PROBE_TRIES; i++) {
		if (i > 0 && supafs_call_sleep(&call, PROBE_PAUSE_NS) < 0)
			break;
		supafs_fault_clear(&fault);
		r = store->ops->probe(store, &call, ret_info, &fault);
		if (r == 0 || !worth_another(r, &fault))
			break;
	}
	supafs_call_fini(&call);
	if (r < 0) {
		if (fault.class == SUPAFS_FAULT_NONE)
			(void)snprintf(said, sizeof(said), "%s", strerrordesc_np(-r));
		else
			supafs_fault_format(&fault, said, sizeof(said));
		supafs_problem_set(p, supafs_probe_message(r, &fault, args->public_key), "url",
			args->url, "bucket", args->bucket, "server", said, NULL);
	}
	return r;
}
