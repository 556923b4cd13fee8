/* SPDX-License-Identifier: Apache-2.0 */
/* Well-formed UTF-8 (Unicode 15, table 3-7). Pure, any thread. */
#pragma once

#include <stddef.h>

/* Length of the well-formed sequence at `p`, which has `n` (> 0) bytes; 0 if there is none. */
size_t supafs_utf8_length(const unsigned char *p, size_t n);
