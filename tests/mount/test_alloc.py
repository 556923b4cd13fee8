#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The n-th allocation of the daemon fails while it does something (tests/torture/preload.c): the operation ends with
an error or is truly done, the daemon lives, and afterwards the same works.

Whoever allocates is hit: supafs, libcurl, libfuse, OpenSSL. SUPAFS_TEST_ALLOC_STEP=1 tries every n (default: each up
to 40, then one in 25 of what is left)."""
import mmap
import os
import struct
import sys

from mountlib import Mount, find_supafs, need_fuse, need_own_server, read, run_tests, server, skip_all, write

DENSE = 40
STEP = int(os.environ.get("SUPAFS_TEST_ALLOC_STEP", "0"))
MOST = 20000


def find_preload():
    for folder in (os.getcwd(), os.environ.get("MESON_BUILD_ROOT", "")):
        path = os.path.join(folder, "tests", "torture", "libpreload.so")
        if folder and os.path.exists(path):
            return path
    return skip_all("tests/torture/libpreload.so is not built")


class Failing(Mount):
    """A mount whose daemon is told by a shared page which of its allocations fails."""

    def __init__(self, s, **more):
        super().__init__(s, **more)
        self.page_path = os.path.join(self.dir, "alloc")
        with open(self.page_path, "wb") as f:
            f.write(bytes(4096))
        with open(self.page_path, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), 4096)

    def env(self):
        env = super().env()
        env["LD_PRELOAD"] = find_preload()
        env["SUPAFS_TEST_ALLOC_FILE"] = self.page_path
        # The loader's own memory is taken for a leak then; leaks are looked for by tests/torture/test_alloc.
        env["ASAN_OPTIONS"] += ":verify_asan_link_order=0:detect_leaks=0"
        return env

    def arm(self, n):
        self.page[0:8] = struct.pack("II", n, 0)

    def disarm(self):
        """True when an allocation did fail."""
        self.page[0:4] = struct.pack("I", 0)
        return struct.unpack("I", self.page[4:8])[0] > 0


def numbers():
    n = 0
    while n < MOST:
        n += STEP or (n // 25 if n > DENSE else 1)
        yield n


def each(m, prepare, act, check):
    """prepare(tag), then act(tag) with the n-th allocation failing, until none fails; check(tag) after success."""
    errors = tried = 0
    for n in numbers():
        tag = "%s%d" % (act.__name__, n)
        prepare(tag)
        m.arm(n)
        try:
            act(tag)
            error = None
        except OSError as e:
            error = e
        failed = m.disarm()
        assert m.proc.poll() is None, "allocation %d: the daemon is gone: %s" % (n, m.log()[-3000:])
        if error:
            errors += 1
            assert failed, "an error without a failed allocation: %r" % error
            try:
                act(tag)
            except OSError as e:
                raise AssertionError("allocation %d: %r, and again: %r" % (n, error, e)) from e
        check(tag)
        tried += 1
        if not failed:
            print("# %s: %d of up to %d allocations, %d times an error" % (act.__name__, tried - 1, n, errors))
            return
    raise AssertionError("%s has more than %d allocations" % (act.__name__, MOST))


def none(tag):
    pass


def test_write(s):
    need_own_server(s)
    with Failing(s, options=["timeout=5s"]) as m:
        def put(tag):
            write(m / tag, tag.encode() * 1000)

        def check(tag):
            assert s.get(tag, bucket=m.bucket) == tag.encode() * 1000 == read(m / tag), tag

        each(m, none, put, check)


def test_read(s):
    need_own_server(s)
    with Failing(s, options=["timeout=5s", "ttl=0"]) as m:
        data = os.urandom(300000)

        def prepare(tag):
            s.put(tag + "/f", data, bucket=m.bucket)

        def get(tag):
            assert read(m / (tag + "/f")) == data, "wrong bytes"

        each(m, prepare, get, none)


def test_list(s):
    need_own_server(s)
    with Failing(s, options=["timeout=5s", "ttl=0"]) as m:
        names = ["f%02d" % i for i in range(25)]

        def prepare(tag):
            for name in names:
                s.put("%s/%s" % (tag, name), b"x", bucket=m.bucket)

        def look(tag):
            found = sorted(os.listdir(m / tag))
            assert found == names, found

        each(m, prepare, look, none)


def test_rename(s):
    need_own_server(s)
    with Failing(s, options=["timeout=5s", "ttl=0"]) as m:
        def prepare(tag):
            s.put(tag + "/old", tag.encode(), bucket=m.bucket)

        def move(tag):
            try:
                os.rename(m / (tag + "/old"), m / (tag + "/new"))
            except FileNotFoundError:  # done, and an error all the same: the second try finds it so
                if not os.path.exists(m / (tag + "/new")):
                    raise

        def check(tag):
            assert os.listdir(m / tag) == ["new"] and read(m / (tag + "/new")) == tag.encode()

        each(m, prepare, move, check)


def test_unlink(s):
    need_own_server(s)
    with Failing(s, options=["timeout=5s", "ttl=0"]) as m:
        def prepare(tag):
            for name in ("a", "b", "c", "d", "e"):
                s.put("%s/%s" % (tag, name), b"x", bucket=m.bucket)

        def remove(tag):
            try:
                for name in os.listdir(m / tag):
                    try:
                        os.unlink(m / ("%s/%s" % (tag, name)))
                    except FileNotFoundError:
                        pass
                os.rmdir(m / tag)
            except FileNotFoundError:
                pass

        def check(tag):
            assert tag not in os.listdir(m.path)

        each(m, prepare, remove, check)


def main():
    need_fuse()
    find_supafs()
    find_preload()
    tests = [f for name, f in list(globals().items()) if name.startswith("test_")]
    only = sys.argv[1:]
    with server() as s:
        run_tests([f for f in tests if not only or f.__name__[5:] in only], s)


if __name__ == "__main__":
    main()
