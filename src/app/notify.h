/* SPDX-License-Identifier: Apache-2.0 */
/* Readiness for systemd (sd_notify's datagram); nothing happens when NOTIFY_SOCKET is not set. */
#pragma once

/* "READY=1", "STOPPING=1", "STATUS=…"; lines of it may be joined by '\n'. */
void supafs_notify(const char *state);
