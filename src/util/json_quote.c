/* SPDX-License-Identifier: Apache-2.0 */
/* JSON strings (RFC 8259 §7) from bytes that may not be UTF-8. */
#include <stdint.h>

#include "supafs/util/parse.h"

#include "utf8_priv.h"

int supafs_json_quote(struct supafs_buf *b, struct supafs_str s)
{
	const unsigned char *p = (const unsigned char *)s.p;

	(void)supafs_buf_addc(b, '"');
	for (size_t i = 0; i < s.n;) {
		const size_t length = supafs_utf8_length(p + i, s.n - i);

		if (length == 0 || p[i] < 0x20 || p[i] == 0x7F) {
			(void)supafs_buf_addf(b, "\\u%04X", (unsigned)p[i]);
			i++;
			continue;
		}
		if (p[i] == '"' || p[i] == '\\')
			(void)supafs_buf_addc(b, '\\');
		(void)supafs_buf_add(b, p + i, length);
		i += length;
	}
	return supafs_buf_addc(b, '"');
}
