/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC-32C (Castagnoli; RFC 3720 §B.4): finds torn and rotten files, and says nothing about who
 * wrote them. Its published check value: 0xe3069283 for "123456789".
 *
 * Pure, any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Over `n` bytes more; `crc` is 0 at first, then what the last call returned. */
uint32_t supafs_crc32c(uint32_t crc, const void *p, size_t n);
