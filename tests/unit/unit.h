/* SPDX-License-Identifier: Apache-2.0 */
/* cmocka.h behind the headers that it needs but does not include. */
#pragma once

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
