#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Large files by resumable upload: two requests, times that info tells, and a daemon that is killed half-way."""
import glob
import os
import subprocess
import time

from mountlib import (Mount, find_supafs, force_unmount, need_fuse, need_own_server, read, run_tests,
                      server, write)

MIB = 1 << 20
SIZE = 24 * MIB
OPTIONS = ["resumable=1M"]


def content(seed, size=SIZE):
    """Bytes of which no piece is like another."""
    block = b"".join(b"%08x%08x" % (seed, i) for i in range(65536))
    return b"".join(b"%08x" % i + block[8:] for i in range(size // len(block)))


def command(m, *words):
    done = subprocess.run([find_supafs(), *words], env=m.env(), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout


def arrived(s):
    """Bytes of the upload under way that the server has stored."""
    return sum(os.stat(p).st_size for p in glob.glob(os.path.join(s.dir, "uploads", "*")))


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not within %d s" % seconds
        time.sleep(0.01)


def test_whole_file(s):
    need_own_server(s)
    data = content(1)
    with Mount(s, options=OPTIONS) as m:
        s.reset_counters()
        write(m / "large", data)
        counters = s.counters()
        assert counters["tus_create"] == counters["tus_patch"] == 1, counters
        assert counters["put"] == counters["tus_head"] == 0, counters
        os.utime(m / "large", ns=(1700000000123456789, 1700000000123456789))
        os.chmod(m / "large", 0o640)
        write(m / "small", b"x" * (MIB - 1))
        assert s.counters()["put"] == 1
        assert s.get("large", bucket=m.bucket) == data
        assert m.umount()[0] == 0
        m.start()
        st = os.stat(m / "large")
        assert st.st_size == SIZE and st.st_mtime_ns == 1700000000123456789, st
        assert st.st_mode & 0o7777 == 0o640, st
        assert read(m / "large") == data


def test_times_of_upload(s):
    """They are in user metadata alone, and shown all the same."""
    need_own_server(s)
    with Mount(s, options=OPTIONS) as m:
        with open(m / "large", "wb") as f:
            f.write(content(2))
            os.utime(f.fileno(), ns=(1600000000000000001, 1600000000000000001))
        status, _, info = s.json("GET", "/object/info/authenticated/%s/large" % m.bucket)
        assert status == 200 and info["cache_control"] == "max-age=00", info
        assert info["metadata"]["mtime"] == "1600000000.000000001", info
        assert m.umount()[0] == 0
        m.start()
        assert os.stat(m / "large").st_mtime_ns == 1600000000000000001
        names = {e.name: e.stat().st_mtime_ns for e in os.scandir(m.path)}
        assert names == {"large": 1600000000000000001}, names


def test_off(s):
    need_own_server(s)
    with Mount(s, options=["resumable=0"]) as m:
        s.reset_counters()
        write(m / "large", content(3))
        assert s.counters()["put"] == 1 and s.counters()["tus_create"] == 0


def test_cut(s):
    """A connection that breaks half-way: the close succeeds, and what has arrived is not sent again."""
    need_own_server(s)
    data = content(4)
    with Mount(s, options=OPTIONS) as m:
        s.fault({"kind": "tus_patch", "count": 1}, {"reset": "body", "reset_after": SIZE * 6 // 10})
        s.reset_counters()
        write(m / "large", data)
        s.clear_faults()
        assert s.get("large", bucket=m.bucket) == data
        counters = s.counters()
        assert counters["tus_create"] == 1 and counters["tus_patch"] == 2, counters
        assert counters["bytes_in"] <= SIZE + MIB, counters


def killed_half_way(s, m, name, data):
    """Writes it with write-back, and ends the daemon when the server has a third of it."""
    s.fault({"kind": "tus_patch"}, {"rate_up": 6 * MIB})
    s.reset_counters()
    write(m / name, data)
    wait_for(lambda: arrived(s) > SIZE // 3)
    m.kill()
    force_unmount(m.path)
    s.clear_faults()
    wait_for(lambda: s.counters()["bytes_in"] >= SIZE // 3)  # its request is over


def test_killed(s):
    need_own_server(s)
    data = content(5)
    with Mount(s, options=OPTIONS + ["writeback"]) as m:
        killed_half_way(s, m, "large", data)
        kept = arrived(s)
        assert kept < SIZE
        s.reset_counters()
        m.start()
        command(m, "flush", m.path)
        assert s.get("large", bucket=m.bucket) == data
        counters = s.counters()
        assert counters["tus_create"] == 0 and counters["tus_patch"] == 1, counters
        assert counters["bytes_in"] <= SIZE - kept + MIB, (counters, kept)
        assert command(m, "pending", "--json", m.path).strip() == ""


def test_killed_and_expired(s):
    """The server has thrown it away meanwhile: all of it is sent again."""
    need_own_server(s)
    data = content(6)
    with Mount(s, options=OPTIONS + ["writeback"]) as m:
        killed_half_way(s, m, "large", data)
        s.fault({"kind": "tus_head", "count": 1}, {"status": 410})
        s.reset_counters()
        m.start()
        command(m, "flush", m.path)
        assert s.get("large", bucket=m.bucket) == data
        assert s.counters()["tus_create"] == 1, s.counters()


if __name__ == "__main__":
    need_fuse()
    with server() as s:
        run_tests([test_whole_file, test_times_of_upload, test_off, test_cut, test_killed,
                   test_killed_and_expired], s)
