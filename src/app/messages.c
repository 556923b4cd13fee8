/* SPDX-License-Identifier: Apache-2.0 */
#include "messages.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "supafs/util/buf.h"
#include "supafs/util/cleanup.h"
#include "supafs/util/log.h"

#define PAIRS_MAX 8

static const char *const texts[SUPAFS_MSG__COUNT] = {
	[SUPAFS_MSG_USAGE] = "{what}; 'supafs {command} --help' shows how",
	[SUPAFS_MSG_COMMAND] = "there is no command '{command}'; 'supafs --help' lists them",
	[SUPAFS_MSG_OPT_UNKNOWN] =
		"there is no option '{option}'; 'supafs mount --help' lists them",
	[SUPAFS_MSG_OPT_NO_VALUE] = "option '{option}' takes no value",
	[SUPAFS_MSG_OPT_NEEDS_VALUE] = "option '{option}' needs a value: -o {option}={form}",
	[SUPAFS_MSG_OPT_VALUE] = "option '{option}': '{value}' is not {form}",
	[SUPAFS_MSG_OPT_RANGE] = "option '{option}': '{value}' is outside of {range}",
	[SUPAFS_MSG_ALLOW_OTHER_PERMS] =
		"-o allow_other without default_permissions would let every user of this machine "
		"act with your rights: leave default_permissions=off away",
	[SUPAFS_MSG_ALLOW_OTHER_CONF] =
		"-o allow_other is for root only, unless /etc/fuse.conf has a line "
		"'user_allow_other': add it, or leave the option away",

	[SUPAFS_MSG_NO_URL] =
		"SUPABASE_URL is not set: put it into the environment, or into a file and name "
		"that with --env-file FILE",
	[SUPAFS_MSG_BAD_URL] =
		"SUPABASE_URL '{url}' is not a URL: it looks like https://REF.supabase.co",
	[SUPAFS_MSG_PLAIN_HTTP] =
		"{url} is plain http to another machine, so your key would cross the network "
		"readable: use https, or, knowing that, -o insecure_http",
	[SUPAFS_MSG_NO_KEY] =
		"no key is set: put SUPABASE_SERVICE_ROLE_KEY (or SUPABASE_ANON_KEY for what "
		"everybody may see) into the environment, or into a file and name that with "
		"--env-file FILE",
	[SUPAFS_MSG_BAD_KEY] =
		"{name} has characters that no key has: copy it again, in one line, without blanks",
	[SUPAFS_MSG_NO_ANON_KEY] =
		"SUPABASE_USER_TOKEN is set without SUPABASE_ANON_KEY: a user's token travels "
		"beside the public key, set both",
	[SUPAFS_MSG_NO_BUCKET] =
		"no bucket is named (one name alone is the mount point): supafs mount BUCKET MOUNTPOINT, or set SUPABASE_BUCKET_NAME",
	[SUPAFS_MSG_BAD_BUCKET] =
		"'{bucket}' cannot be a bucket: a name has 1 to 100 characters and no '/'; what "
		"follows a '/' is a folder in it",
	[SUPAFS_MSG_BAD_PREFIX] = "'{prefix}' cannot be a folder in a bucket: {err}",
	[SUPAFS_MSG_NO_MOUNTPOINT] =
		"no mount point is named: supafs mount BUCKET MOUNTPOINT, or set SUPAFS_MOUNTPOINT",
	[SUPAFS_MSG_FILE_READ] = "cannot read {file}: {err}",
	[SUPAFS_MSG_FILE_SYNTAX] = "{file}, line {line}: {what}; a line is NAME=value",
	[SUPAFS_MSG_FILE_OPEN_TO_OTHERS] =
		"{file} holds a key and other users can read it (mode {mode}): chmod 600 {file}",
	[SUPAFS_MSG_FILE_OWNER] =
		"{file} holds a key and belongs to somebody else: make it yours with chown, or run "
		"as its owner",
	[SUPAFS_MSG_CONFIG_MISSING] =
		"there is no configuration '{name}': neither {user} nor {system} exists",
	[SUPAFS_MSG_CONFIG_NAME] =
		"'{name}' cannot be the name of a configuration: letters, digits, '.', '_' and '-'",
	[SUPAFS_MSG_CACERT] =
		"cannot use {file} as a certificate authority: {err}; -o cacert= wants a PEM file",
	[SUPAFS_MSG_KEY_FILE] =
		"{file} should hold one key or token and nothing else: it is empty, or too long",
	[SUPAFS_MSG_TOKEN_OLD] =
		"the user's token has expired or is refused, and {file} holds no newer one: put a "
		"new token there; the mount then goes on by itself",

	[SUPAFS_MSG_MNT_MISSING] = "mount point {mnt} does not exist: mkdir -p {mnt}",
	[SUPAFS_MSG_MNT_NOT_DIR] =
		"mount point {mnt} is not a folder: name an empty folder instead",
	[SUPAFS_MSG_MNT_NOT_EMPTY] =
		"mount point {mnt} is not empty: its files would be hidden, name an empty folder "
		"instead",
	[SUPAFS_MSG_MNT_MOUNTED] =
		"something is mounted at {mnt} already ({what}): 'supafs umount {mnt}' ends it",
	[SUPAFS_MSG_MNT_DEAD] =
		"a dead mount was left at {mnt}, its daemon is gone: 'supafs umount {mnt}' clears "
		"it",
	[SUPAFS_MSG_MNT_DENIED] =
		"cannot mount at {mnt}: {err}; the folder must be yours and writable",
	[SUPAFS_MSG_NO_DEV_FUSE] =
		"/dev/fuse is missing: load the module with 'modprobe fuse'; in a container start "
		"it with --device /dev/fuse --cap-add SYS_ADMIN",
	[SUPAFS_MSG_DEV_FUSE_DENIED] =
		"/dev/fuse cannot be opened: {err}; it should have mode 0666 (chmod 666 /dev/fuse), "
		"in a container the device must be allowed (--device /dev/fuse)",
	[SUPAFS_MSG_NO_FUSERMOUNT] =
		"fusermount3 is not installed, and only root can mount without it: install the "
		"package fuse3",
	[SUPAFS_MSG_FUSE_REFUSED] =
		"mounting at {mnt} was refused; in a container add --cap-add SYS_ADMIN, else see "
		"the line above",

	[SUPAFS_MSG_CACHE_DENIED] =
		"cache folder {dir} cannot be used: {err}; choose one that you can write with "
		"-o cache=DIR",
	[SUPAFS_MSG_CACHE_OPEN_TO_OTHERS] =
		"cache folder {dir} is open to other users or belongs to one, and file contents go "
		"there: chmod 700 {dir}, or choose another with -o cache=DIR",
	[SUPAFS_MSG_CACHE_BUSY] =
		"cache folder {dir} is in use by another supafs: a mount of the same name is still "
		"running or finishing its uploads; wait for it, or choose another folder with -o "
		"cache=DIR",
	[SUPAFS_MSG_CACHE_NOWHERE] =
		"there is no place for the cache: HOME is not set; choose one with -o cache=DIR",
	[SUPAFS_MSG_LOG_FILE] = "cannot write the log {file}: {err}; choose another with -o "
				"log_file=FILE",

	[SUPAFS_MSG_UNREACHABLE] =
		"cannot reach {url} ({server}): check SUPABASE_URL, the network, and that the "
		"server runs",
	[SUPAFS_MSG_SERVER_SILENT] =
		"{url} does not answer ({server}): check the network and that the server runs; "
		"-o timeout= waits longer",
	[SUPAFS_MSG_TLS] =
		"the certificate of {url} is not trusted ({server}): for an authority of your own "
		"add -o cacert=FILE",
	[SUPAFS_MSG_WRONG_URL] =
		"{url} answers, but not as Supabase Storage does ({server}): check SUPABASE_URL",
	[SUPAFS_MSG_KEY_REFUSED] =
		"the server refuses the key ({server}): copy it again from the project's API keys, "
		"and see that it is of the same project as SUPABASE_URL",
	[SUPAFS_MSG_KEY_EXPIRED] =
		"the key or token has expired ({server}): take a new one from the project's API "
		"keys, or sign the user in again; also check this machine's clock",
	[SUPAFS_MSG_BUCKET_MISSING] =
		"there is no bucket '{bucket}' at {url}: check the name, or make it in the "
		"dashboard (Storage, New bucket)",
	[SUPAFS_MSG_BUCKET_HIDDEN] =
		"with the public key no bucket '{bucket}' can be seen at {url}: either it does not "
		"exist, or a service key is needed (SUPABASE_SERVICE_ROLE_KEY), or policies that "
		"let the public key see it",
	[SUPAFS_MSG_SERVER_OLD] =
		"the storage server at {url} is too old ({server}): supafs needs list-v2, which "
		"came with version 1.19; update the server",
	[SUPAFS_MSG_PROJECT_PAUSED] =
		"the project at {url} is paused ({server}): wake it in the dashboard",
	[SUPAFS_MSG_SERVER_ERROR] = "{url} answers with an error ({server}): try again later, and "
				    "look at the server's own log",

	[SUPAFS_MSG_LEFT] =
		"{count} file(s) could not be uploaded; what was written is kept in {dir} and sent "
		"by the next mount of the same bucket at the same place; the log {log} says why",
	[SUPAFS_MSG_UMOUNT_NOT_MOUNTED] = "nothing is mounted at {mnt}",
	[SUPAFS_MSG_UMOUNT_NOT_OURS] =
		"what is mounted at {mnt} is not supafs but {what}: use 'umount {mnt}'",
	[SUPAFS_MSG_UMOUNT_BUSY] =
		"{mnt} is in use: a program has a file or its working folder there ('fuser -vm "
		"{mnt}' shows which); end it and try again",
	[SUPAFS_MSG_UMOUNT_FAILED] = "cannot unmount {mnt}: {err}",
	[SUPAFS_MSG_UMOUNT_KILLED] =
		"{mnt} is unmounted, but its daemon ended before it was done: look into {log}; what "
		"it had promised is kept in {dir}, and the next mount sends it",
	[SUPAFS_MSG_UMOUNT_SLOW] =
		"{mnt} is unmounted, its daemon (process {pid}) is still uploading; it was not "
		"waited for any longer",
	[SUPAFS_MSG_UMOUNT_CLEARED] =
		"{mnt} was a dead mount, its daemon had been killed: cleared; files that were "
		"closed and not uploaded yet are kept in {dir}, and the next mount sends them",

	[SUPAFS_MSG_LEFT_FILE] = "'{name}' is not at the server: {err}",

	[SUPAFS_MSG_ASK_PATH] = "cannot look at {mnt}: {err}",
	[SUPAFS_MSG_ASK_OUTSIDE] = "{mnt} is not in a mount of supafs",
	[SUPAFS_MSG_ASK_DENIED] =
		"{mnt} was mounted by somebody else: ask as that user, or as root",
	[SUPAFS_MSG_ASK_NO_DAEMON] =
		"the daemon of {mnt} cannot be asked ({err}): it has ended, or is of an older "
		"version; 'supafs umount {mnt}' clears a dead mount",
	[SUPAFS_MSG_ASK_BROKEN] =
		"the daemon of {mnt} broke off its answer: it is ending; look into its log",
	[SUPAFS_MSG_ASK_FAILED] = "{what} failed: {err}",
	[SUPAFS_MSG_FLUSH_LEFT] =
		"{count} file(s) of {mnt} are not at the server; they are kept and tried again, "
		"'supafs pending {mnt}' lists them",
	[SUPAFS_MSG_NOT_PENDING] =
		"no file '{name}' waits for the server; 'supafs pending {mnt}' lists those that do, "
		"with the names to use",
	[SUPAFS_MSG_SAVE_DIR] = "cannot save into {dir}: {err}; name a folder of yours elsewhere",
	[SUPAFS_MSG_SAVE_FAILED] = "cannot save '{name}' to {dir}: {err}",
	[SUPAFS_MSG_URL_FILE] = "{name} is not a file: only files have a URL",
	[SUPAFS_MSG_URL_PRIVATE] =
		"{name} is in a private bucket: 'supafs url --signed 1h {name}' makes a URL that is "
		"valid for an hour",
	[SUPAFS_MSG_CONTROL] =
		"commands such as 'supafs status' and 'supafs flush' will not work for this mount: "
		"{err}",

	[SUPAFS_MSG_SERVE_MISSING] =
		"supafs-serve is not installed ({file}): build supafs with libmicrohttpd and SQLite",
	[SUPAFS_MSG_SYSTEM] = "{what}: {err}",
};

const char *supafs_msg_text(enum supafs_msg id)
{
	return texts[id];
}

struct pair {
	const char *name, *value;
};

static void add_value(struct supafs_buf *b, const char *value)
{
	char clean[SUPAFS_PROBLEM_MAX];

	(void)supafs_log_redact(value, strlen(value), clean, sizeof(clean));
	(void)supafs_buf_adds(b, clean);
}

static const char *value_of(const struct pair *pairs, size_t n, struct supafs_str name)
{
	for (size_t i = 0; i < n; i++) {
		if (supafs_str_eq(supafs_str_of(pairs[i].name), name))
			return pairs[i].value ? pairs[i].value : "";
	}
	return "?";
}

static void fill(struct supafs_buf *b, const char *text, const struct pair *pairs, size_t n)
{
	while (*text) {
		size_t plain = strcspn(text, "{");
		const char *end = strchr(text + plain, '}');

		(void)supafs_buf_add(b, text, plain);
		text += plain;
		if (!end)
			break;
		add_value(b, value_of(pairs, n,
				     (struct supafs_str){text + 1, (size_t)(end - text - 1)}));
		text = end + 1;
	}
	(void)supafs_buf_adds(b, text);
}

void supafs_problem_set(struct supafs_problem *p, enum supafs_msg id, ...)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	struct pair pairs[PAIRS_MAX];
	const char *name;
	size_t n = 0;
	va_list ap;

	va_start(ap, id);
	while (n < PAIRS_MAX && (name = va_arg(ap, const char *)) != NULL) {
		pairs[n].name = name;
		pairs[n++].value = va_arg(ap, const char *);
	}
	va_end(ap);
	supafs_buf_init(&b, (size_t)4 * SUPAFS_PROBLEM_MAX);
	fill(&b, texts[id], pairs, n);
	p->id = id;
	(void)snprintf(p->text, sizeof(p->text), "%s",
		supafs_buf_error(&b) < 0 ? texts[id] : supafs_buf_cstr(&b));
}

void supafs_problem_print(const struct supafs_problem *p)
{
	(void)fprintf(stderr, "supafs: %s\n", p->text);
}
