#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Mounts under row-level security: what the role may not do is EACCES and never a false success; a user's token that is
renewed in its file, and one that is not."""
import errno
import json
import os
import stat
import subprocess
import sys
import time

from mountlib import (Mount, find_supafs, list_keys, need_fuse, need_own_server, new_bucket, read, read_text,
                      remove_bucket, run_tests, server, write)


class Role(Mount):
    """A mount as anon, or as a user whose token is in a file."""

    def __init__(self, s, bucket, token=None, **kwargs):
        super().__init__(s, bucket=bucket, **kwargs)
        self.token_file = os.path.join(self.dir, "token")
        if token:
            self.renew(token)
            self._env["SUPABASE_USER_TOKEN_FILE"] = self.token_file
        self._env["SUPABASE_SERVICE_ROLE_KEY"] = ""
        self._env["SUPABASE_ANON_KEY"] = s.anon_key

    def renew(self, token):
        fresh = self.token_file + ".new"
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write(token + "\n")
        os.rename(fresh, self.token_file)

    def ask(self, *args):
        return subprocess.run([find_supafs(), *args], env=self.env(), capture_output=True, text=True, check=True).stdout

    def drop_all(self):
        """Gives up what was refused, so that the end has nothing to say."""
        for line in self.ask("pending", "--json", self.path).splitlines():
            self.ask("pending", self.path, "--drop", json.loads(line)["path"])


class Bucket:
    def __init__(self, s, *policies):
        self.s = s
        self.policies = policies

    def __enter__(self):
        self.name = new_bucket(self.s)
        for role, pattern, ops in self.policies:
            self.s.policy(role, self.name, pattern, ops)
        return self.name

    def __exit__(self, *_):
        for role, pattern, _ in self.policies:
            self.s.policy(role, self.name, pattern, "none")
        remove_bucket(self.s, self.name)


def denied(action):
    try:
        action()
    except OSError as e:
        assert e.errno == errno.EACCES, e
        return
    raise AssertionError("a false success")


def writable(path):
    return bool(stat.S_IMODE(os.lstat(path).st_mode) & 0o222)


def soon(condition, why):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, why
        time.sleep(0.05)


READ_ONLY = (("anon", "-", "select"), ("anon", "*", "select"))


def test_anon_reads_only(s):
    need_own_server(s)
    with Bucket(s, *READ_ONLY) as b:
        s.put("d/f", b"content", bucket=b)
        s.put("d/g", b"more", bucket=b)
        s.put("other/f", b"content", bucket=b)
        before = sorted(list_keys(s, b))
        with Role(s, b, options=["ttl=0"]) as m:
            assert read(m / "d/f") == b"content" and sorted(os.listdir(m / "d")) == ["f", "g"]
            assert writable(m / "d") and writable(m / "d/f"), "nothing is learnt yet"
            denied(lambda: os.unlink(m / "d/f"))
            denied(lambda: os.mkdir(m / "d/sub"))
            denied(lambda: os.mkdir(m / "top"))
            denied(lambda: write(m / "d/new", b"1"))
            denied(lambda: write(m / "d/f", b"over"))
            denied(lambda: os.rename(m / "d/f", m / "d/h"))
            denied(lambda: os.rename(m / "d/f", m / "d/g"))
            denied(lambda: os.truncate(m / "d/g", 1))
            denied(lambda: os.symlink("x", m / "d/link"))
            soon(lambda: not writable(m / "d"), "the folder's w bits")
            soon(lambda: not writable(m / "d/f"), "the file's w bits")
            assert writable(m / "other") and writable(m / "other/f"), "learnt of one folder only"
            assert sorted(list_keys(s, b)) == before
            assert s.get("d/f", bucket=b) == b"content"
            # What was refused is kept, listed, and can be given up.
            m.drop_all()


def test_no_deletion_is_believed(s):
    """The server answers a batch delete of what it hides with 200: nothing may be acknowledged on that ground."""
    need_own_server(s)
    with Bucket(s, *READ_ONLY) as b:
        names = ["f%02d" % i for i in range(12)]
        for name in names:
            s.put("d/" + name, b"x", bucket=b)
        with Role(s, b) as m:
            for name in os.listdir(m / "d"):
                denied(lambda name=name: os.unlink(os.path.join(m / "d", name)))
            assert sorted(os.listdir(m / "d")) == names
            try:
                os.rmdir(m / "d")
                raise AssertionError("rmdir of a full folder")
            except OSError as e:
                assert e.errno in (errno.ENOTEMPTY, errno.EACCES), e
        assert len(list_keys(s, b)) == 12


def test_partly_deletable(s):
    """A burst in which some may not be deleted: those are there again, and rmdir says so."""
    need_own_server(s)
    with Bucket(s, ("anon", "-", "select"), ("anon", "*", "select"), ("anon", "d/a*", "delete"),
                ("anon", "d/.empty*", "insert,update,delete")) as b:
        for i in range(6):
            s.put("d/a%d" % i, b"x", bucket=b)
        for i in range(3):
            s.put("d/z%d" % i, b"x", bucket=b)
        with Role(s, b, options=["ttl=0"]) as m:
            refused = 0
            for name in sorted(os.listdir(m / "d")):
                try:
                    os.unlink(os.path.join(m / "d", name))
                except PermissionError:
                    refused += 1
            try:
                os.rmdir(m / "d")
                raise AssertionError("rmdir of a full folder")
            except OSError as e:
                assert e.errno in (errno.ENOTEMPTY, errno.EACCES), e
            assert sorted(os.listdir(m / "d")) == ["z0", "z1", "z2"], os.listdir(m / "d")
            assert refused == 3 or "was not deleted: the server refused it" in m.log(), m.log()


def user_policies():
    return (("authenticated", "-", "select"), ("authenticated", "shared/*", "select"),
            ("authenticated", "{sub}/*", "all"))


def test_user_writes_own_folder(s):
    need_own_server(s)
    with Bucket(s, *user_policies()) as b:
        s.put("shared/s", b"for all", bucket=b)
        s.put("user-1/old", b"mine", bucket=b)
        s.put("user-2/theirs", b"secret", bucket=b)
        with Role(s, b, token=s.token(sub="user-1", exp_s=3600), options=["ttl=0"]) as m:
            assert sorted(os.listdir(m.path)) == ["shared", "user-1"], "others' folders are hidden"
            assert read(m / "shared/s") == b"for all"
            write(m / "user-1/new", b"1")
            os.mkdir(m / "user-1/sub")
            os.rename(m / "user-1/new", m / "user-1/sub/new")
            write(m / "user-1/old", b"changed")
            os.unlink(m / "user-1/sub/new")
            denied(lambda: write(m / "shared/s", b"no"))
            denied(lambda: os.unlink(m / "shared/s"))
            denied(lambda: os.mkdir(m / "user-2"))
            denied(lambda: os.rename(m / "user-1/old", m / "shared/old"))
            assert s.get("user-1/old", bucket=b) == b"changed" and s.get("shared/s", bucket=b) == b"for all"
            soon(lambda: not writable(m / "shared/s"), "learnt")
            assert writable(m / "user-1/old") and writable(m / "user-1")
            m.drop_all()


def test_learnt_is_unlearnt(s):
    """A write that succeeds shows the bits again."""
    need_own_server(s)
    with Bucket(s, *READ_ONLY) as b:
        s.put("d/f", b"x", bucket=b)
        with Role(s, b, options=["ttl=0"]) as m:
            denied(lambda: os.mkdir(m / "d/sub"))
            soon(lambda: not writable(m / "d"), "learnt")
            s.policy("anon", b, "d/*", "all")
            os.mkdir(m / "d/sub")  # root is not stopped by modes
            soon(lambda: writable(m / "d"), "unlearnt")
        s.policy("anon", b, "d/*", "none")


def test_token_is_renewed(s):
    need_own_server(s)
    with Bucket(s, *user_policies()) as b:
        with Role(s, b, token=s.token(sub="user-1", exp_s=4), options=["ttl=0", "log_level=info"]) as m:
            os.mkdir(m / "user-1")
            write(m / "user-1/a", b"1")
            m.renew(s.token(sub="user-1", exp_s=3600))
            time.sleep(4.5)  # the life of the first one
            write(m / "user-1/b", b"2")
            assert read(m / "user-1/a") == b"1" and sorted(os.listdir(m / "user-1")) == ["a", "b"]
            assert "read a new user's token" in m.log(), m.log()
            assert s.get("user-1/b", bucket=b) == b"2"


def test_token_is_not_renewed(s):
    """EACCES, a line in the log, and the mount stays for the day when the token comes."""
    need_own_server(s)
    with Bucket(s, *user_policies()) as b:
        with Role(s, b, token=s.token(sub="user-1", exp_s=3), options=["ttl=0"]) as m:
            os.mkdir(m / "user-1")
            write(m / "user-1/a", b"1")
            time.sleep(3.5)
            for i in range(5):
                denied(lambda: read(m / "user-1/a"))
                denied(lambda i=i: os.stat(m / ("user-1/none%d" % i)))
            denied(lambda: write(m / "user-1/b", b"2"))
            lines = [line for line in m.log().splitlines() if "expired" in line and m.token_file in line]
            assert len(lines) == 1, m.log()
            assert m.log().count("error:") <= 3, m.log()
            m.renew(s.token(sub="user-1", exp_s=3600))
            soon(lambda: os.path.exists(m / "user-1/a"), "the new token is not taken up")
            assert read(m / "user-1/a") == b"1"
            write(m / "user-1/c", b"3")
            assert s.get("user-1/c", bucket=b) == b"3"
            m.drop_all()


def test_another_users_token(s):
    """The file is read when it changes, long before the token's end: the next operation acts as the other."""
    need_own_server(s)
    with Bucket(s, *user_policies()) as b:
        first, second = (s.token(sub=sub, exp_s=3600) for sub in ("user-1", "user-2"))
        s.put("user-1/old", b"one", bucket=b)
        s.put("user-2/old", b"two", bucket=b)
        with Role(s, b, token=first, options=["ttl=0", "log_level=info"]) as m:
            assert os.listdir(m.path) == ["user-1"] and read(m / "user-1/old") == b"one"
            m.renew(second)
            assert os.listdir(m.path) == ["user-2"] and read(m / "user-2/old") == b"two"
            write(m / "user-2/new", b"2")
            assert not os.path.exists(m / "user-1/old")
            assert s.get("user-2/new", bucket=b) == b"2"
            with open(m.token_file, "w", encoding="utf-8") as f:  # in place
                f.write(first)
            assert os.listdir(m.path) == ["user-1"]
            denied(lambda: os.mkdir(m / "user-2"))
            m.drop_all()
            assert m.log().count("read a new user's token") == 2, m.log()
            # The same one again is nothing to speak of; one that others may read is, and is not taken.
            m.renew(first)
            assert os.listdir(m.path) == ["user-1"] and "expired" not in m.log(), m.log()
            m.renew(second)
            os.chmod(m.token_file, 0o644)
            for _ in range(3):
                assert os.listdir(m.path) == ["user-1"]
            assert m.log().count("chmod 600") == 1, m.log()
            os.chmod(m.token_file, 0o600)
            assert os.listdir(m.path) == ["user-2"]
            assert "eyJ" not in m.log()


def test_token_file_is_checked(s):
    need_own_server(s)
    with Bucket(s, *user_policies()) as b:
        m = Role(s, b, token=s.token(sub="user-1", exp_s=3600))
        try:
            os.mkdir(m.path)
            for mode, words in ((0o644, "chmod 600"), (0o640, "chmod 600")):
                os.chmod(m.token_file, mode)
                try:
                    m.start()
                    raise AssertionError("mounted with a token that all can read")
                except RuntimeError as e:
                    assert words in str(e) and m.token_file in str(e), e
            os.chmod(m.token_file, 0o600)
            m.renew("")
            try:
                m.start()
                raise AssertionError("mounted with an empty token")
            except RuntimeError as e:
                assert "one key or token" in str(e), e
            m.renew(s.token(sub="user-1", exp_s=-60))
            try:
                m.start()
                raise AssertionError("mounted with an expired token")
            except RuntimeError as e:
                assert "expired" in str(e) and m.token_file in str(e), e
        finally:
            m._cleanup()
        assert "eyJ" not in read_text(os.path.join(m.dir, "log"))


def main():
    need_fuse()
    tests = [f for name, f in list(globals().items()) if name.startswith("test_")]
    only = sys.argv[1:]
    with server() as s:
        run_tests([f for f in tests if not only or f.__name__[5:] in only], s)


if __name__ == "__main__":
    main()
