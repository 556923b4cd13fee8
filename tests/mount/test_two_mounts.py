#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two mounts of one bucket on one machine: each sees the other's closed files within its ttl, at once with ttl=0.

The first mount of each test has -o writeback or not, the second one never."""
import errno
import os
import subprocess
import sys
import threading
import time

from mountlib import Mount, find_supafs, force_unmount, mounted, need_fuse, read, run, run_tests, server, write

TTL_S = 1
AGED = ["ttl=%ds" % TTL_S]
FRESH = ["ttl=0"]


def within(seconds, condition):
    """Becomes true within `seconds`? ESTALE means that another version is there, and the next open has it."""
    end = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return True
        except OSError as e:
            assert e.errno == errno.ESTALE, e
        if time.monotonic() > end:
            return False
        time.sleep(0.02)


class Two:
    """Mounts a and b; `settle` makes a's closed files be at the server."""

    def __init__(self, s, options, writeback=False):
        self.s, self.writeback = s, writeback
        self.a = Mount(s, options=options + (["writeback"] if writeback else []))
        self.options = options

    def __enter__(self):
        self.a.__enter__()
        try:
            self.b = Mount(self.s, bucket=self.a.bucket, options=self.options)
            self.b.__enter__()
        except BaseException:
            self.a.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *args):
        try:
            self.b.__exit__(*args)
        finally:
            self.a.__exit__(*args)

    def settle(self):
        if self.writeback:
            run(find_supafs(), "flush", self.a.path, env=self.a.env())


def each_way(two, wait):
    """Create, overwrite, append, rename, mkdir, unlink, rmdir by one; the other one looks, `wait` seconds at most."""
    for number, (here, there) in enumerate(((two.a, two.b), (two.b, two.a))):
        folder = "d%d" % number
        os.mkdir(here / folder)
        two.settle()
        assert within(wait, lambda: folder in os.listdir(there.path)), "mkdir"
        one, other = folder + "/one", folder + "/other"
        write(here / one, b"first")
        two.settle()
        assert within(wait, lambda: os.path.exists(there / one) and read(there / one) == b"first"), "create"
        write(here / one, b"12345")  # as long as before
        two.settle()
        assert within(wait, lambda: read(there / one) == b"12345"), "overwrite"
        with open(here / one, "ab") as f:
            f.write(b"678")
        two.settle()
        assert within(wait, lambda: os.stat(there / one).st_size == 8 and read(there / one) == b"12345678"), "append"
        os.rename(here / one, here / other)
        two.settle()
        assert within(wait, lambda: os.listdir(there / folder) == ["other"]), "rename"
        assert not os.path.exists(there / one) and read(there / other) == b"12345678"
        os.chmod(here / other, 0o600)
        with open(here / other, "rb") as f:
            os.fsync(f.fileno())
        two.settle()
        assert within(wait, lambda: os.stat(there / other).st_mode & 0o777 == 0o600), "chmod"
        os.unlink(here / other)
        two.settle()
        assert within(wait, lambda: os.listdir(there / folder) == []), "unlink"
        os.rmdir(here / folder)
        assert within(wait, lambda: folder not in os.listdir(there.path)), "rmdir"


def rename_folder(two, wait):
    for number in range(20):
        os.makedirs(two.a / "old/in", exist_ok=True)
        write(two.a / ("old/in/f%02d" % number), b"%d" % number)
    two.settle()
    assert within(wait, lambda: len(os.listdir(two.b / "old/in")) == 20)
    os.rename(two.a / "old", two.a / "new")
    two.settle()
    assert within(wait, lambda: os.listdir(two.b.path) == ["new"])
    assert within(wait, lambda: len(os.listdir(two.b / "new/in")) == 20)
    for number in range(20):
        assert read(two.b / ("new/in/f%02d" % number)) == b"%d" % number


def test_within_the_ttl(s):
    with Two(s, AGED) as two:
        each_way(two, 2 * TTL_S)
        rename_folder(two, 2 * TTL_S)


def test_at_once(s):
    with Two(s, FRESH) as two:
        each_way(two, 0)
        rename_folder(two, 0)


def test_writeback_within_the_ttl(s):
    with Two(s, AGED, writeback=True) as two:
        each_way(two, 2 * TTL_S)
        rename_folder(two, 2 * TTL_S)


def test_writeback_at_once(s):
    with Two(s, FRESH, writeback=True) as two:
        each_way(two, 0)
        rename_folder(two, 0)


def test_never_a_mix(s):
    """One mount overwrites a file again and again; each reading of the other one is one whole version."""
    versions = {bytes([65 + v]) * (100000 + 1000 * v) for v in range(8)}
    with Two(s, FRESH) as two:
        write(two.a / "f", min(versions))
        stop, errors = threading.Event(), []

        def overwrite():
            try:
                while not stop.is_set():
                    for data in sorted(versions):
                        write(two.a / "f", data)
            except OSError as e:
                errors.append(e)

        writer = threading.Thread(target=overwrite)
        writer.start()
        try:
            reads = stale = 0
            while reads < 100 and stale < 5000 and not errors:
                try:
                    assert read(two.b / "f") in versions
                    reads += 1
                except OSError as e:
                    assert e.errno == errno.ESTALE, e
                    stale += 1
        finally:
            stop.set()
            writer.join()
        assert not errors, errors
        assert reads == 100, "%d readings, %d times ESTALE" % (reads, stale)


def test_last_close_wins(s):
    """Both write the same name; the one that closes last has it, in both mounts."""
    with Two(s, FRESH) as two:
        for number in range(20):
            first, last = (two.a, two.b) if number % 2 else (two.b, two.a)
            f, g = open(first / "f", "wb"), open(last / "f", "wb")
            f.write(b"first %d" % number)
            g.write(b"last %d" % number)
            f.close()
            g.close()
            assert within(0, lambda: read(two.a / "f") == read(two.b / "f") == b"last %d" % number)


def refused(m, command):
    done = subprocess.run(command, env=m.env(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.stderr


def test_same_mountpoint_twice(s):
    with Mount(s) as m:
        write(m / "a", b"1")
        said = refused(m, m.command())
        assert m.path in said and "mounted" in said, said
        assert read(m / "a") == b"1" and mounted(m.path)


def test_one_cache_folder_for_all(s):
    """-o cache=DIR names a place for many mounts: each has a folder of its own there, its spool locked."""
    with Mount(s) as m:
        cache = os.path.join(m.dir, "shared")
        with Mount(s, bucket=m.bucket, options=["cache=" + cache]) as a, \
                Mount(s, bucket=m.bucket, options=["cache=" + cache]) as b:
            write(a / "x", b"a")
            write(b / "y", b"b")
            assert len(os.listdir(cache)) == 2


def test_same_cache_folder_twice(s):
    """Two daemons never share one: here the first one is detached and still has a file open."""
    with Mount(s) as m:
        with open(m / "held", "wb") as f:
            force_unmount(m.path)
            assert not mounted(m.path)
            said = refused(m, m.command())
            assert "in use by another supafs" in said, said
            f.write(b"until the end")
        m.proc.wait(60)
        assert s.get("held", bucket=m.bucket) == b"until the end"


def main():
    need_fuse()
    tests = [f for name, f in list(globals().items()) if name.startswith("test_")]
    only = sys.argv[1:]
    with server() as s:
        run_tests([f for f in tests if not only or f.__name__[5:] in only], s)


if __name__ == "__main__":
    main()
