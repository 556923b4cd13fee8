/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that this project does not use; included by the build before every source
 * (-include), after the system headers that declare them. What to use stands beside each. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#pragma GCC poison strcpy strcat strncpy strncat strtok /* supafs_buf, snprintf */
#pragma GCC poison sprintf vsprintf gets                /* supafs_buf_addf, snprintf */
#pragma GCC poison atoi atol atoll atof strtol strtoul  /* supafs_parse_* */
#pragma GCC poison strtoll strtoull                     /* supafs_parse_* */
#pragma GCC poison alloca                               /* a bounded array or malloc */
#pragma GCC poison gmtime localtime asctime ctime       /* the _r forms */
#pragma GCC poison mktemp tmpnam tempnam                /* mkstemp, O_TMPFILE */
#pragma GCC poison rand srand random srandom drand48    /* supafs_rng */
#pragma GCC poison usleep system popen                  /* conditions; posix_spawn */
