/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that this project does not use. The build includes this file before every
 * source (-include), behind the system headers that declare them; a call becomes an
 * unknown name that says what to use. Macros with parentheses, and no poison: other
 * headers may call a parameter "rand". */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

/* NOLINTBEGIN(readability-identifier-naming): the names are libc's */
#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#undef strtok
#define strcpy(...)  strcpy_is_banned_use_supafs_buf_or_snprintf
#define strcat(...)  strcat_is_banned_use_supafs_buf_or_snprintf
#define strncpy(...) strncpy_is_banned_use_snprintf
#define strncat(...) strncat_is_banned_use_snprintf
#define strtok(...)  strtok_is_banned_use_a_view

#undef sprintf
#undef vsprintf
#define sprintf(...)  sprintf_is_banned_use_supafs_buf_addf_or_snprintf
#define vsprintf(...) vsprintf_is_banned_use_supafs_buf_vaddf_or_vsnprintf

#undef atoi
#undef atol
#undef atoll
#undef atof
#undef strtol
#undef strtoul
#undef strtoll
#undef strtoull
#define atoi(...)     atoi_is_banned_use_supafs_parse
#define atol(...)     atol_is_banned_use_supafs_parse
#define atoll(...)    atoll_is_banned_use_supafs_parse
#define atof(...)     atof_is_banned_use_supafs_parse
#define strtol(...)   strtol_is_banned_use_supafs_parse
#define strtoul(...)  strtoul_is_banned_use_supafs_parse
#define strtoll(...)  strtoll_is_banned_use_supafs_parse
#define strtoull(...) strtoull_is_banned_use_supafs_parse

#undef alloca
#define alloca(...) alloca_is_banned_use_an_array_or_malloc

#undef gmtime
#undef localtime
#undef asctime
#undef ctime
#define gmtime(...)    gmtime_is_banned_use_gmtime_r
#define localtime(...) localtime_is_banned_use_localtime_r
#define asctime(...)   asctime_is_banned_use_strftime
#define ctime(...)     ctime_is_banned_use_strftime

#undef mktemp
#undef tmpnam
#undef tempnam
#define mktemp(...)  mktemp_is_banned_use_mkostemp
#define tmpnam(...)  tmpnam_is_banned_use_mkostemp
#define tempnam(...) tempnam_is_banned_use_mkostemp

#undef rand
#undef srand
#undef random
#undef srandom
#undef drand48
#define rand(...)    rand_is_banned_use_supafs_rng
#define srand(...)   srand_is_banned_use_supafs_rng
#define random(...)  random_is_banned_use_supafs_rng
#define srandom(...) srandom_is_banned_use_supafs_rng
#define drand48(...) drand48_is_banned_use_supafs_rng

#undef usleep
#undef system
#undef popen
#define usleep(...) usleep_is_banned_use_a_condition
#define system(...) system_is_banned_use_posix_spawn
#define popen(...)  popen_is_banned_use_posix_spawn
/* NOLINTEND(readability-identifier-naming) */
