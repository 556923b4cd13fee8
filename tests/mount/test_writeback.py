#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""-o writeback and promises: what close() has said arrives, through SIGKILL, an outage, a full cache disk."""
import errno
import os
import re
import subprocess
import sys
import tempfile
import time

from mountlib import (Mount, Skipped, find_supafs, list_keys, need_fuse, need_own_server, need_tool, read,
                      run_tests, server, write)

PATIENCE_S = 60


def until(what, question):
    """Waits for a state of the server or the mount, which nobody announces."""
    end = time.monotonic() + PATIENCE_S
    while not question():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def pending(m, *args):
    done = subprocess.run([find_supafs(), "pending", *args, m.path], env=m.env(), capture_output=True,
                          text=True, timeout=60)
    return done.stdout + done.stderr


def flush(m):
    return subprocess.run([find_supafs(), "flush", m.path], env=m.env(), capture_output=True, text=True,
                          timeout=300)


def hold_uploads(s, ms):
    """No upload that comes now is answered for so long."""
    s.fault({"kind": "put"}, {"delay_ms": ms})


def test_close_costs_no_request(s):
    need_own_server(s)
    with Mount(s, options=["writeback"]) as m:
        os.listdir(m.path)
        hold_uploads(s, 3000)
        s.reset_counters()
        write(m / "a.txt", b"x" * 100000)
        write(m / "b.txt", b"")
        assert sum(n for k, n in s.counters().items() if k in ("list", "info", "get", "head")) <= 1
        assert read(m / "a.txt") == b"x" * 100000
        assert list_keys(s, m.bucket) == []
        said = pending(m)
        assert "a.txt" in said and "b.txt" in said, said
        s.clear_faults()
        done = flush(m)
        assert done.returncode == 0, done.stderr
        assert s.get("a.txt", bucket=m.bucket) == b"x" * 100000
        assert s.get("b.txt", bucket=m.bucket) == b""


def test_kill_and_remount(s):
    need_own_server(s)
    files = {"f%03d" % i: os.urandom(i * 997) for i in range(40)}
    with Mount(s, options=["writeback", "uploads=3"]) as m:
        s.put("d/old", b"0123456789" * 1000, bucket=m.bucket)
        assert len(read(m / "d/old")) == 10000
        hold_uploads(s, 600000)
        for name, data in files.items():
            with open(m / ("d/" + name), "wb") as f:
                f.write(data)
                f.flush()
                os.utime(f.fileno(), ns=(10**18, 10**18 + len(data)))
                os.fchmod(f.fileno(), 0o600 | (len(data) & 0o077))
        with open(m / "d/old", "r+b") as f:
            f.seek(5000)
            f.write(b"NEW")
        half = open(m / "d/f007", "r+b", buffering=0)
        half.write(b"half a write")
        write(m / "d/gone", b"deleted")
        os.unlink(m / "d/gone")
        write(m / "d/named", b"renamed")
        os.rename(m / "d/named", m / "d/name=20")
        m.kill()
        try:
            half.close()
        except OSError:
            pass
        s.clear_faults()
        m.options = ["ttl=0"]
        m.umount("--lazy")
        m.start()
        shown = set(os.listdir(m / "d"))
        assert set(files) | {"old", "name=20"} <= shown and "gone" not in shown and "named" not in shown, shown
        done = flush(m)
        assert done.returncode == 0, done.stderr + pending(m)
        for name, data in files.items():
            assert s.get("d/" + name, bucket=m.bucket) == data, name
            st = os.stat(m / ("d/" + name))
            assert st.st_mtime_ns == 10**18 + len(data), (name, st.st_mtime_ns)
            assert st.st_mode & 0o777 == 0o600 | (len(data) & 0o077), name
        assert read(m / "d/name=20") == b"renamed"
        assert s.get("d/old", bucket=m.bucket)[4999:5004] == b"9NEW3"
        keys = list_keys(s, m.bucket, "d/")
        assert "d/gone" not in keys and "d/named" not in keys, keys


def test_kill_in_the_middle(s):
    """Killed at moments that nobody chose; each close that returned is true afterwards."""
    need_own_server(s)
    closed = {}
    with Mount(s, options=["writeback", "uploads=4"]) as m:
        for round_ in range(6):
            end = time.monotonic() + 0.3 + 0.1 * round_
            number = 0
            while time.monotonic() < end:
                name = "f%d" % (number % 7)
                data = os.urandom(1 + (number * 7919) % 70000)
                write(m / name, data)
                closed[name] = data
                number += 1
            m.kill()
            m.umount("--lazy")
            m.options = [["writeback"], ["ttl=0"], ["writeback", "uploads=1"]][round_ % 3]
            m.start()
            for name, data in closed.items():
                assert read(m / name) == data, (round_, name)
        done = flush(m)
        assert done.returncode == 0, done.stderr
        for name, data in closed.items():
            assert s.get(name, bucket=m.bucket) == data, name


def test_outage(s):
    """The server fails, comes back, and nobody helps."""
    need_own_server(s)
    options = ["timeout=2s", "retry_cap=200ms"]
    with Mount(s, options=options + ["writeback"]) as m:
        os.listdir(m.path)
        s.fault({"kind": "put"}, {"status": 503})
        write(m / "a", b"waits")
        until("a failure", lambda: "failed" in pending(m))
        s.clear_faults()
        until("the upload", lambda: list_keys(s, m.bucket) == ["a"])
        assert s.get("a", bucket=m.bucket) == b"waits"
        until("an empty list", lambda: "is at the server" in pending(m))
        assert len(re.findall('upload of "a" failed', m.log())) == 1, m.log()
    with Mount(s, options=options) as m:
        os.listdir(m.path)
        s.fault({"kind": "put"}, {"status": 503})
        try:
            write(m / "b", b"is told")
            raise AssertionError("close() lied")
        except OSError:
            pass
        m.kill()
        m.umount("--lazy")
        s.clear_faults()
        m.start()
        until("the upload", lambda: list_keys(s, m.bucket) == ["b"])


def test_full_cache_disk(s):
    """No room for a record: close() waits for the server; no room for bytes: ENOSPC; nothing is lost silently."""
    need_own_server(s)
    if os.geteuid() != 0:
        raise Skipped("needs root to mount a small tmpfs")
    folder = tempfile.mkdtemp(prefix="supafs-small-")
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", folder],
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise Skipped("no tmpfs here: " + done.stderr.strip())
        with Mount(s, options=["writeback", "cache=" + folder]) as m:
            told = False
            for i in range(20):
                try:
                    write(m / ("f%02d" % i), b"x" * 200000)
                except OSError as e:
                    assert e.errno == errno.ENOSPC, e
                    told = True
                    continue
            done = flush(m)
            assert done.returncode == 0, done.stderr + pending(m)
            keys = list_keys(s, m.bucket)
            for key in keys:
                size = len(s.get(key, bucket=m.bucket))
                assert size == 200000 or told, (key, size)
            try:
                write(m / "large", b"x" * 3000000)
                raise AssertionError("3 MB on a disk of 1 MB")
            except OSError as e:
                assert e.errno == errno.ENOSPC, e
            said = m.log()  # where, and what to do
            assert "the disk of the cache folder " + folder in said and "-o cache=" in said, said
            write(m / "small", b"works again")
            assert flush(m).returncode in (0, 1)
            assert s.get("small", bucket=m.bucket) == b"works again"
    finally:
        subprocess.run(["umount", "-l", folder], capture_output=True)
        os.rmdir(folder)


class FewDescriptors(Mount):
    """A daemon that may not have more, neither by the soft limit nor by the hard one."""

    def command(self):
        return ["prlimit", "--nofile=256:256", *super().command()]


def test_more_files_than_descriptors(s):
    need_own_server(s)
    need_tool("prlimit", "util-linux")
    files = {"f%04d" % i: b"%d" % i * (20000 if i % 10 == 0 else 1) for i in range(2000)}
    with FewDescriptors(s, options=["writeback"]) as m:
        os.mkdir(m / "d")
        hold_uploads(s, 600000)
        for name, data in files.items():
            write(m / ("d/" + name), data)
        m.kill()
        m.umount("--lazy")
        s.clear_faults()
        m.start()
        assert sorted(os.listdir(m / "d")) == sorted(files)
        for name in ("f0000", "f0777", "f1990", "f1999"):
            assert read(m / ("d/" + name)) == files[name]
        done = flush(m)
        assert done.returncode == 0, done.stderr
        for name in ("f0000", "f0010", "f0777", "f1990", "f1999"):
            assert s.get("d/" + name, bucket=m.bucket) == files[name], name
        keys = [k for k in list_keys(s, m.bucket) if k.startswith("d/f")]
        assert len(keys) == len(files), len(keys)


def main():
    need_fuse()
    with server() as s:
        run_tests([test_close_costs_no_request, test_kill_and_remount, test_kill_in_the_middle, test_outage,
                   test_full_cache_disk, test_more_files_than_descriptors], s)


if __name__ == "__main__":
    sys.exit(main())
