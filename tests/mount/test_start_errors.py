#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A mount that cannot be made: exit code, one line, and that line says what to do."""
import base64
import contextlib
import hashlib
import hmac
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

from mountlib import (Mount, as_nobody, clean_env, copy_for_nobody, find_supafs, force_unmount, in_namespace, mounted,
                      need_fuse, need_own_server, new_bucket, run_tests, server, server_env, servelib)


class Box:
    """A folder with a mount point, and one try to mount."""

    def __init__(self, s):
        self.s = s
        self.dir = tempfile.mkdtemp(prefix="supafs-errors-")
        os.chmod(self.dir, 0o755)
        self.mnt = os.path.join(self.dir, "mnt")
        os.mkdir(self.mnt)
        self.cache = os.path.join(self.dir, "cache")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        force_unmount(self.mnt)
        shutil.rmtree(self.dir, ignore_errors=True)

    def env(self, **changes):
        env = clean_env(server_env(self.s))
        env["XDG_RUNTIME_DIR"] = os.path.join(self.dir, "run")
        for name, value in changes.items():
            env.pop(name, None)
            if value is not None:
                env[name] = value
        return env

    def run(self, *args, options=(), env=None, wrap=(), background=False):
        opts = ["cache=" + self.cache] + list(options)
        command = [*wrap, find_supafs(), "mount", *(() if background else ("-f",)), *args, "-o",
                   ",".join(opts)]
        return subprocess.run(command, env=env or self.env(), capture_output=True, text=True,
                              timeout=120, stdin=subprocess.DEVNULL)

    def refused(self, expect, *args, code=1, **kwargs):
        done = self.run(*args, **kwargs)
        lines = [line for line in done.stderr.splitlines() if line.startswith("supafs: ")]
        assert done.returncode == code, (done.returncode, done.stderr)
        assert len(lines) == 1, done.stderr
        assert expect in lines[0], done.stderr
        assert self.s.service_key not in done.stderr
        assert not mounted(self.mnt)
        return lines[0]


def jwt(key, **claims):
    """A token like `key` with other claims, signed with a secret of its own unless `secret`."""
    secret = claims.pop("secret", b"some other project")

    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    payload = json.loads(base64.urlsafe_b64decode(key.split(".")[1] + "=="))
    payload.update(claims)
    body = part({"alg": "HS256", "typ": "JWT"}) + b"." + part(payload)
    mac = hmac.new(secret, body, hashlib.sha256).digest()
    return (body + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# --- The command line and the configuration ----------------------------------------------------------


def test_usage(s):
    with Box(s) as b:
        b.refused("there is no option 'tll'", "b", b.mnt, options=["tll=1"], code=2)
        b.refused("outside of", "b", b.mnt, options=["timeout=2h"], code=2)
        b.refused("is not understood", "--wrong", "b", b.mnt, code=2)
        done = subprocess.run([find_supafs(), "mont"], capture_output=True, text=True)
        assert done.returncode == 2 and "there is no command 'mont'" in done.stderr


def test_help_and_version(s):
    for args in (["--help"], ["mount", "--help"], ["umount", "--help"], ["--version"]):
        done = subprocess.run([find_supafs(), *args], capture_output=True, text=True, env=clean_env())
        assert done.returncode == 0 and done.stdout and not done.stderr, (args, done.stderr)
    for word in ("supafs", "libfuse", "libcurl", "cJSON", "OpenSSL"):
        assert word.lower() in done.stdout.lower(), done.stdout


def test_no_url(s):
    with Box(s) as b:
        b.refused("SUPABASE_URL is not set", "b", b.mnt, env=b.env(SUPABASE_URL=None))


def test_bad_url(s):
    with Box(s) as b:
        for url in ("project", "ftp://x", "https://", "https://u:p@host"):
            b.refused("is not a URL", "b", b.mnt, env=b.env(SUPABASE_URL=url))


def test_plain_http(s):
    with Box(s) as b:
        b.refused("plain http to another machine", "b", b.mnt,
                  env=b.env(SUPABASE_URL="http://storage.example.com"))


def test_no_key(s):
    with Box(s) as b:
        b.refused("no key is set", "b", b.mnt, env=b.env(SUPABASE_SERVICE_ROLE_KEY=None))


def test_broken_key(s):
    with Box(s) as b:
        b.refused("has characters that no key has", "b", b.mnt,
                  env=b.env(SUPABASE_SERVICE_ROLE_KEY="abc def\nX-Evil: 1"))


def test_no_bucket(s):
    with Box(s) as b:
        b.refused("no bucket is named (one name alone is the mount point)", b.mnt)
        b.refused("cannot be a bucket", "/x", b.mnt)


def test_key_file(s):
    with Box(s) as b:
        path = os.path.join(b.dir, "env")
        with open(path, "w", encoding="utf-8") as f:
            f.write('export SUPABASE_SERVICE_ROLE_KEY="%s" # secret\r\n' % s.service_key)
        os.chmod(path, 0o644)
        env = b.env(SUPABASE_SERVICE_ROLE_KEY=None)
        said = b.refused("other users can read it", "b", b.mnt, "--env-file", path, env=env)
        assert "chmod 600 " + path in said
        os.chmod(path, 0o600)
        b.refused("there is no bucket", "no-such-bucket", b.mnt, "--env-file", path, env=env)
        b.refused("cannot read", "b", b.mnt, "--env-file", path + "x")
        with open(path, "a", encoding="utf-8") as f:
            f.write("X='\n")
        b.refused("line 2", "b", b.mnt, "--env-file", path, env=env)


def test_open_file_without_key(s):
    with Box(s) as b:
        path = os.path.join(b.dir, "env")
        with open(path, "w", encoding="utf-8") as f:
            f.write("SUPABASE_URL=%s\n" % s.url)
        os.chmod(path, 0o644)
        b.refused("there is no bucket", "no-such-bucket", b.mnt, "--env-file", path,
                  env=b.env(SUPABASE_URL=None))


def test_config(s):
    with Box(s) as b:
        env = b.env(XDG_CONFIG_HOME=b.dir, SUPABASE_URL=None)
        b.refused("there is no configuration 'course'", "b", b.mnt, "--config", "course", env=env)
        b.refused("cannot be the name of a configuration", "b", b.mnt, "--config", "../x", env=env)
        os.mkdir(os.path.join(b.dir, "supafs"))
        path = os.path.join(b.dir, "supafs", "course.conf")
        with open(path, "w", encoding="utf-8") as f:
            f.write("SUPABASE_URL=%s\nSUPABASE_BUCKET_NAME=no-such-bucket\nSUPAFS_MOUNTPOINT=%s\n"
                    "SUPAFS_OPTIONS=ttl=1s\n" % (s.url, b.mnt))
        os.chmod(path, 0o600)
        b.refused("there is no bucket 'no-such-bucket'", "--config", "course", env=env)


# --- The server ----------------------------------------------------------------------------------------


def test_wrong_url(s):
    with Box(s) as b:
        b.refused("not as Supabase Storage does", "b", b.mnt, env=b.env(SUPABASE_URL=s.url + "/elsewhere"))


def test_unreachable(s):
    with Box(s) as b:
        began = time.monotonic()
        b.refused("cannot reach", "b", b.mnt,
                  env=b.env(SUPABASE_URL="http://127.0.0.1:%d" % free_port()))
        b.refused("cannot reach", "b", b.mnt, env=b.env(SUPABASE_URL="https://nowhere.invalid"))
        assert time.monotonic() - began < 60


def test_silent(s):
    with Box(s) as b, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        b.refused("does not answer", "b", b.mnt, options=["timeout=2s"],
                  env=b.env(SUPABASE_URL="http://127.0.0.1:%d" % listener.getsockname()[1]))


def test_no_http(s):
    """Something that speaks another language listens there."""
    with Box(s) as b, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        stop = threading.Event()

        def answer():
            listener.settimeout(0.2)
            while not stop.is_set():
                with contextlib.suppress(socket.timeout):
                    c, _ = listener.accept()
                    c.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")
                    c.close()

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            done = b.run("b", b.mnt, options=["timeout=5s"],
                         env=b.env(SUPABASE_URL="http://127.0.0.1:%d" % listener.getsockname()[1]))
            assert done.returncode == 1 and done.stderr.count("supafs: ") == 1, done.stderr
        finally:
            stop.set()
            thread.join()


def test_wrong_key(s):
    with Box(s) as b:
        b.refused("refuses the key", "b", b.mnt, env=b.env(SUPABASE_SERVICE_ROLE_KEY=jwt(s.service_key)))
        b.refused("refuses the key", "b", b.mnt,
                  env=b.env(SUPABASE_SERVICE_ROLE_KEY="sb_secret_0123456789abcdefghij"))


def test_expired_key(s):
    need_own_server(s)
    with open(os.path.join(s.dir, "jwt-secret"), "rb") as f:
        secret = f.read().strip()
    old = jwt(s.service_key, secret=secret, exp=int(time.time()) - 3600)
    with Box(s) as b:
        b.refused("has expired", "b", b.mnt, env=b.env(SUPABASE_SERVICE_ROLE_KEY=old))


def test_missing_bucket(s):
    with Box(s) as b:
        said = b.refused("there is no bucket 'no-such-bucket'", "no-such-bucket", b.mnt)
        assert s.url in said


def test_public_key(s):
    with Box(s) as b:
        name = new_bucket(s)
        b.refused("with the public key no bucket", name, b.mnt,
                  env=b.env(SUPABASE_SERVICE_ROLE_KEY=None, SUPABASE_ANON_KEY=s.anon_key))


# --- This machine ----------------------------------------------------------------------------------------


def test_mountpoint(s):
    with Box(s) as b:
        b.refused("does not exist: mkdir -p", "b", b.mnt + "x")
        path = os.path.join(b.dir, "file")
        with open(path, "w", encoding="utf-8"):
            pass
        b.refused("is not a folder", "b", path)
        os.mkdir(os.path.join(b.mnt, "x"))
        b.refused("is not empty", "b", b.mnt)


def test_already_mounted(s):
    with Mount(s) as m, Box(s) as b:
        done = b.run(m.bucket, m.path)
        assert done.returncode == 1 and "is mounted at" in done.stderr, done.stderr
        assert "supafs umount " + m.path in done.stderr


def test_dead_mount(s):
    with Mount(s) as m, Box(s) as b:
        m.kill()
        done = b.run(m.bucket, m.path)
        assert done.returncode == 1 and "a dead mount was left" in done.stderr, done.stderr
        code, said = m.umount()
        assert code == 0 and "cleared" in said, said


def test_cache_folder(s):
    with Box(s) as b:
        os.mkdir(b.cache, 0o755)
        os.chmod(b.cache, 0o755)
        b.refused("is open to other users", "b", b.mnt)
        os.rmdir(b.cache)
        with open(b.cache, "w", encoding="utf-8"):
            pass
        b.refused("cache folder", "b", b.mnt)
        os.unlink(b.cache)
        b.cache = "/proc/no/such"
        b.refused("cannot be used", "b", b.mnt)


def test_cache_busy(s):
    """A second daemon for the same mount, while the first one still finishes: it is detached, not ended."""
    with Mount(s) as m:
        with open(m / "held", "w", encoding="utf-8"):
            force_unmount(m.path)
            assert not mounted(m.path)
            done = subprocess.run(m.command(), env=m.env(), capture_output=True, text=True, timeout=60)
            assert done.returncode == 1 and "is in use by another supafs" in done.stderr, done.stderr
        m.proc.wait(60)


def test_no_dev_fuse(s):
    with Box(s) as b:
        wrap = in_namespace("mount -t tmpfs none /dev", "mknod -m 666 /dev/null c 1 3",
                            "mknod -m 666 /dev/urandom c 1 9")
        b.refused("/dev/fuse is missing", "b", b.mnt, wrap=wrap)


def test_no_fusermount(s):
    with Box(s) as b:
        os.chown(b.mnt, 65534, 65534)
        b.cache = os.path.join(b.dir, "none", "cache")
        program = copy_for_nobody(b.dir)
        wrap = as_nobody(b.dir, "mount -t tmpfs -o mode=755 none /usr/local/bin",
                         "for f in /usr/bin/fusermount3 /bin/fusermount3; do "
                         "[ ! -e $f ] || mount --bind /dev/null $f; done")
        command = [*wrap, program, "mount", "-f", "b", b.mnt, "-o", "cache=" + b.cache]
        done = subprocess.run(command, env=b.env(), capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "fusermount3 is not installed" in done.stderr, done.stderr


def test_background(s):
    """The parent returns the child's failure and its one line."""
    with Box(s) as b:
        b.refused("there is no bucket", "no-such-bucket", b.mnt, background=True)


def test_fake_and_fstab(s):
    """mount(8)'s form: the same program under another name."""
    with Box(s) as b:
        link = os.path.join(b.dir, "mount.fuse.supafs")
        os.symlink(os.path.abspath(find_supafs()), link)
        options = ",".join(["rw", "_netdev", "cache=" + b.cache])
        done = subprocess.run([link, "no-such-bucket", b.mnt, "-o", options], env=b.env(),
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "there is no bucket" in done.stderr, done.stderr
        done = subprocess.run([link, "b", b.mnt, "-f", "-o", options], env=b.env(),
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


def test_without_prefix(s):
    """A storage server without a gateway before it: found out, not asked for."""
    with servelib.Server("--bucket", "b", base_path="") as bare, Mount(bare, bucket="b") as m:
        with open(m / "x", "wb") as f:
            f.write(b"1")
        assert bare.get("x") == b"1"
    with servelib.Server("--bucket", "b", base_path="") as bare, Box(bare) as b:
        env = b.env(SUPABASE_SERVICE_ROLE_KEY=jwt(bare.service_key))
        b.refused("refuses the key", "b", b.mnt, env=env)


def main():
    need_fuse()
    tests = [f for name, f in sorted(globals().items()) if name.startswith("test_")]
    with server() as s:
        run_tests(tests, s)


if __name__ == "__main__":
    sys.exit(main())
