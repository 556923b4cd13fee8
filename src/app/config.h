/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the server is and who we are there: from the environment, from the service manager's
 * credentials ($CREDENTIALS_DIRECTORY/supabase_service_role_key: a secret variable's name in lower
 * case), from --env-file, from a configuration NAME (~/.config/supafs/NAME.conf, else
 * /etc/supafs/NAME.conf). Each variable is taken from the first of these that has it, not empty.
 *
 * Secrets are wiped from the environment when they have been read, are kept in locked memory
 * (util/secret.h), are registered with the log so that they are never printed, and are wiped from
 * memory by supafs_config_forget() or supafs_config_fini().
 */
#pragma once

#include <stdbool.h>

#include "messages.h"

struct supafs_config {
	char *url;
	char *service_key; /* NULL: not set; so all here */
	char *anon_key;
	char *user_token;      /* the file's, if user_token_file is set */
	char *user_token_file; /* absolute */
	char *bucket;          /* BUCKET or BUCKET/PREFIX */
	char *mountpoint;      /* SUPAFS_MOUNTPOINT, for units */
	char *options;         /* SUPAFS_OPTIONS, as behind -o */
};

struct supafs_config_variable {
	const char *name;
	size_t offset;
	bool secret;
	const char *help;
};
/* The variables; ends with a NULL name. */
const struct supafs_config_variable *supafs_config_table(void);

/* `env_file`, `name`: NULL or as given. 0, -ENOMEM, or another error with *p set. `c` is to be
 * ended with supafs_config_fini() in any case. */
int supafs_config_load(
	struct supafs_config *c, const char *env_file, const char *name, struct supafs_problem *p);
void supafs_config_fini(struct supafs_config *c);
/* Wipes the secrets alone: the store has its own by now. */
void supafs_config_forget(struct supafs_config *c);
/* Locks them again, in a child of fork(). */
void supafs_config_lock(const struct supafs_config *c);
/* For a command that needs none of them: wipes the secrets from the environment. */
void supafs_config_wipe_environment(void);

/* URL, keys and how they fit. 0 or -EINVAL with *p set. */
int supafs_config_check(
	const struct supafs_config *c, bool insecure_http, struct supafs_problem *p);
/* The key that goes to the server: the service key, or the public one when there is none or when a
 * user's token is set. */
const char *supafs_config_key(const struct supafs_config *c);
bool supafs_config_is_public(const struct supafs_config *c);
/* The key passes row-level security: sb_secret_… or a JWT of role service_role. */
bool supafs_config_is_trusted(const struct supafs_config *c);
/* No bytes that could end a header line. */
bool supafs_config_legal_key(const char *key);
