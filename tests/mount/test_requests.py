#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What operations cost: requests counted by the server, never time."""
import os
import shutil
import sys

from mountlib import Mount, Skipped, list_keys, need_fuse, read, run, run_tests, server, write

WRITES = ("put", "tus_create", "tus_patch")


class Cost:
    """with Cost(s) as c: …  then c["list"], c.total"""

    def __init__(self, s):
        self.s = s

    def __enter__(self):
        self.s.reset_counters()
        return self

    def __exit__(self, *_):
        self.counters = self.s.counters()
        self.total = self.counters["total"]

    def __getitem__(self, kind):
        return self.counters[kind]

    def at_most(self, **limits):
        """Every kind that is not named must be 0."""
        for kind, n in self.counters.items():
            if isinstance(n, int) and kind in KINDS:
                assert n <= limits.get(kind, 0), "%s: %d, at most %d; all: %s" % (
                    kind, n, limits.get(kind, 0), {k: v for k, v in self.counters.items() if v})


KINDS = ("list", "list1", "get", "head", "info", "put", "copy", "move", "delete_one", "delete_many", "bucket",
         "sign", "tus_create", "tus_patch", "tus_head", "tus_delete", "other")


def fill(s, bucket, prefix, n, size=10):
    conn = s.connect()
    for i in range(n):
        status, _, body = s.request("PUT", "/object/%s/%sf%04d" % (bucket, prefix, i), b"x" * size,
                                    {"content-type": "text/plain"}, conn=conn)
        assert status == 200, body
    conn.close()


# Long enough that no listing runs out while a test goes on; what expires is tested elsewhere.
LONG = ["ttl=10m"]


def test_idle(s):
    with Mount(s, options=LONG) as m:
        with Cost(s) as c:
            os.statvfs(m.path)
            os.stat(m.path)
        c.at_most()


def test_ls_2000(s):
    with Mount(s, options=LONG) as m:
        fill(s, m.bucket, "d/", 2000)
        with Cost(s) as c:
            out = run("ls", "-l", m / "d")
        assert out.count(b"\n") == 2001
        c.at_most(list=3 + 1)  # and the look-up of the folder itself
        with Cost(s) as c:
            assert len(os.listdir(m / "d")) == 2000
            os.stat(m / "d/f0100")
            assert not os.path.exists(m / "d/none")
        c.at_most()


def test_ls_2000_root(s):
    with Mount(s, options=LONG) as m:
        fill(s, m.bucket, "", 2000)
        with Cost(s) as c:
            run("ls", "-l", m.path)
        c.at_most(list=3)


def test_cat(s):
    with Mount(s, options=LONG) as m:
        s.put("f", b"y" * 10240, bucket=m.bucket)
        os.listdir(m.path)
        with Cost(s) as c:
            assert run("cat", m / "f") == b"y" * 10240
        c.at_most(get=1)
        with Cost(s) as c:
            assert read(m / "f") == b"y" * 10240
        c.at_most()


def test_create(s):
    with Mount(s, options=LONG) as m:
        with Cost(s) as c:
            write(m / "a", b"1" * 1000)
        c.at_most(put=1, list=1)
        assert c["put"] == 1
        os.listdir(m.path)
        with Cost(s) as c:
            write(m / "b", b"2")
            assert os.stat(m / "b").st_size == 1
            assert sorted(os.listdir(m.path)) == ["a", "b"]
        c.at_most(put=1)


def test_create_and_drop(s):
    """A file that is gone before it was sent costs nothing."""
    with Mount(s, options=LONG) as m:
        os.listdir(m.path)
        with Cost(s) as c:
            with open(m / "a", "wb") as f:
                f.write(b"1")
                os.unlink(m / "a")
        c.at_most()
        with Cost(s) as c:
            with open(m / ".data.Xy12Zz", "wb") as f:  # as rsync names what it writes
                f.write(b"1")
            os.rename(m / ".data.Xy12Zz", m / "data")
        c.at_most(put=1)
        assert s.get("data", bucket=m.bucket) == b"1"


def test_overwrite(s):
    with Mount(s, options=LONG) as m:
        s.put("f", b"x" * 100000, bucket=m.bucket)
        os.listdir(m.path)
        with Cost(s) as c:
            write(m / "f", b"new")
        c.at_most(put=1)


def test_small_change(s):
    """Bytes in the middle: the old content is fetched once and sent once."""
    with Mount(s, options=LONG) as m:
        s.put("f", b"x" * 100000, bucket=m.bucket)
        os.listdir(m.path)
        with Cost(s) as c:
            with open(m / "f", "r+b") as f:
                f.seek(50000)
                f.write(b"y")
        c.at_most(put=1, get=2)
        assert s.get("f", bucket=m.bucket)[49999:50002] == b"xyx"


def test_rm_2000(s):
    with Mount(s, options=LONG) as m:
        fill(s, m.bucket, "d/", 2000)
        with Cost(s) as c:
            run("rm", "-rf", m / "d")
        assert c["delete_one"] + c["delete_many"] <= 10, c.counters
        c.at_most(list=10, delete_one=10, delete_many=10, put=1)
        assert list_keys(s, m.bucket) == []


def test_copy(s):
    with Mount(s, options=LONG) as m:
        data = os.urandom(500000)
        s.put("a", data, bucket=m.bucket)
        os.listdir(m.path)
        with Cost(s) as c:
            run("cp", m / "a", m / "b")
        if c["get"]:
            raise Skipped("this cp does not use copy_file_range") if cp_is_old() else AssertionError(
                c.counters)
        c.at_most(copy=1)
        assert s.get("b", bucket=m.bucket) == data


def cp_is_old():
    words = run("cp", "--version").split(b"\n")[0].split()
    return b"coreutils)" not in words or float(words[-1].split(b"-")[0]) < 9.0


def test_move(s):
    with Mount(s, options=LONG) as m:
        s.put("a", b"1", bucket=m.bucket)
        os.listdir(m.path)
        with Cost(s) as c:
            run("mv", m / "a", m / "b")
        c.at_most(move=1)
        assert list_keys(s, m.bucket) == ["b"]


def test_find(s):
    with Mount(s, options=LONG) as m:
        for i in range(20):
            fill(s, m.bucket, "t/d%02d/" % i, 3)
        with Cost(s) as c:
            assert run("find", m.path, "-type", "f", "-size", "-1k").count(b"\n") == 0
        c.at_most(list=23)
        with Cost(s) as c:
            run("find", m.path, "-type", "f")
            run("du", "-s", m.path)
        c.at_most()


def test_second_rsync(s):
    if not shutil.which("rsync"):
        raise Skipped("rsync is absent: apt-get install rsync")
    with Mount(s, options=LONG) as m:
        tree = os.path.join(m.dir, "tree")
        os.mkdir(tree)
        for i in range(200):
            write(os.path.join(tree, "f%03d" % i), b"z" * i)
        with Cost(s) as c:
            run("rsync", "-a", tree + "/", m / "copy/")
        assert c["put"] <= 203 and c["get"] == 0, c.counters
        m.umount()
        m.start()
        with Cost(s) as c:
            out = run("rsync", "-a", "--stats", tree + "/", m / "copy/")
        assert b"regular files transferred: 0" in out, out
        c.at_most(list=4)


def test_probes(s):
    """What desktops and shells ask for on their own."""
    with Mount(s, options=LONG) as m:
        s.put("f", b"1", bucket=m.bucket)
        os.listdir(m.path)
        with Cost(s) as c:
            for name in (".git", ".hidden", "autorun.inf", ".Trash-1000", ".DS_Store"):
                assert not os.path.exists(m / name)
            for name in ("security.capability", "system.posix_acl_access", "user.mime_type"):
                try:
                    os.getxattr(m / "f", name)
                except OSError:
                    pass
            os.access(m / "f", os.R_OK)
            os.statvfs(m / "f")
        c.at_most(info=1)  # user.mime_type of another client's object


def test_mkdir_and_file(s):
    with Mount(s, options=LONG) as m:
        os.listdir(m.path)
        with Cost(s) as c:
            os.mkdir(m / "d")
            for i in range(5):
                write(m / ("d/f%d" % i), b"1")
        assert c["put"] <= 6 and c["list"] <= 1, c.counters
        c.at_most(put=6, list=1, delete_one=1)


def main():
    need_fuse()
    tests = [f for name, f in list(globals().items()) if name.startswith("test_")]
    only = sys.argv[1:]
    with server() as s:
        if s.foreign:
            print("1..0 # SKIP needs the counters of supafs-serve")
            sys.exit(0)
        run_tests([f for f in tests if not only or f.__name__[5:] in only], s)


if __name__ == "__main__":
    main()
