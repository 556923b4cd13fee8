/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every bound of the program in one place. A bound that a user may change is an
 * option (app/options.c) whose default and range stand there; these are fixed.
 */
#pragma once

#define SUPAFS_NAME_MAX      255  /* bytes of one POSIX name */
#define SUPAFS_SEG_MAX       255  /* bytes of one stored key segment (API §10) */
#define SUPAFS_KEY_MAX       960  /* bytes of a whole key (API §10) */
#define SUPAFS_BUCKET_MAX    100  /* bytes of a bucket name (API §2) */
#define SUPAFS_ETAG_MAX      80   /* bytes of an ETag, quotes included; longer ones are refused */
#define SUPAFS_MIME_MAX      127  /* bytes of a content type */
#define SUPAFS_CC_MAX        255  /* bytes of a Cache-Control value */
#define SUPAFS_CURSOR_MAX    4096 /* bytes of a list cursor */
#define SUPAFS_PAGE_LIMIT    999  /* entries asked for in one list page (API §4.3) */
#define SUPAFS_DELETE_BATCH  500  /* keys in one batch delete (API §7) */
#define SUPAFS_JSON_BODY_MAX (4U << 20)   /* bytes of a JSON reply; 999 entries of 1 KiB keys fit */
#define SUPAFS_ERR_BODY_MAX  (16U << 10)  /* bytes kept of an error reply */
#define SUPAFS_HEADERS_MAX   (64U << 10)  /* bytes of a reply's headers */
#define SUPAFS_URL_MAX       8192         /* bytes of a URL */
#define SUPAFS_SECRET_MAX    8192         /* bytes of a key or token */
#define SUPAFS_BLOCK_SIZE    (128U << 10) /* bytes of a block of the data cache */
