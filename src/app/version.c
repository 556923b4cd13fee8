/* SPDX-License-Identifier: Apache-2.0 */
/* Versions of the program and of the libraries that it runs with (not only was built with). */
#include <cjson/cJSON.h>
#include <openssl/crypto.h>
#include <stdio.h>

#include "supafs/fuse/fuse.h"
#include "supafs/http/http.h"

#include "commands.h"

void supafs_version(void)
{
	(void)printf("supafs %s\n", SUPAFS_VERSION);
	(void)printf("libfuse %s\n", supafs_fuse_library_version());
	(void)printf("%s\n", supafs_http_library_version());
	(void)printf("cJSON %s\n", cJSON_Version());
	(void)printf("%s\n", OpenSSL_version(OPENSSL_VERSION));
}
