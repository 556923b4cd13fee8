/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: DIR/control, a Unix stream socket, mode 0600. One JSON object a line in, one
 * a line out (docs/serve.md):
 *
 *	{"op":"counters"}                     {"counters":{…}}
 *	{"op":"reset"}                        {"ok":true}            counters to zero
 *	{"op":"fault","match":{},"effect":{}} {"id":1}
 *	{"op":"faults"}                       {"faults":[…]}
 *	{"op":"clear"[,"id":1]}               {"ok":true}
 *	{"op":"policy","role":…,"bucket":…,"pattern":…,"ops":…}  {"ok":true}
 *	{"op":"policies"}                     {"policies":[…]}
 *	{"op":"token","role":…[,"sub":…][,"exp_s":3600]}         {"token":"…"}
 *
 * Bad input gets {"error":"…"} and changes nothing. Lines are at most 64 KiB, clients at most 16.
 *
 * Threads: one of its own; start and stop by the owner.
 */
#pragma once

#include "counters.h"
#include "faults.h"
#include "jwt.h"
#include "policy.h"

struct serve_control;

struct serve_control_config {
	const char *dir; /* of the server; all are borrowed and outlive the control socket */
	struct serve_counters *counters;
	struct serve_faults *faults;
	struct serve_policies *policies;
	const struct serve_jwt *jwt;
};

/* Binds the socket (an old one of a dead server is replaced) and starts the thread. 0 or -errno. */
int serve_control_start(const struct serve_control_config *cfg, struct serve_control **ret_control);
/* Ends the thread, closes clients, removes the socket. NULL is fine; returns NULL. */
struct serve_control *serve_control_stop(struct serve_control *c);
