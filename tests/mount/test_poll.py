#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""-o poll: what another client changes is seen although the ttl is an hour; what is written here costs nothing."""
import os
import time

from mountlib import Mount, need_fuse, need_own_server, read, run_tests, server, write

POLL_S = 1
OPTIONS = ["ttl=1h", "poll=%ds" % POLL_S]


def seen_after(condition, seconds=30):
    """Seconds until condition() holds; an assertion when it never does."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if condition():
            return time.monotonic() - began
        time.sleep(0.02)
    raise AssertionError("not seen within %d s" % seconds)


def polled(s, more):
    """Waits for so many more list requests: looks that are over."""
    before = s.counters()["list"]
    seen_after(lambda: s.counters()["list"] >= before + more)


def size(path):
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return None


def test_changed_file(s):
    with Mount(s, options=OPTIONS) as m:
        s.put("d/file", b"one", bucket=m.bucket)
        assert seen_after(lambda: size(m / "d/file") == 3) < 30
        with open(m / "d/file", "rb") as f:
            assert f.read() == b"one"
        s.put("d/file", b"longer", bucket=m.bucket)
        # Twice the interval, and what a busy machine takes.
        assert seen_after(lambda: size(m / "d/file") == 6) < 2 * POLL_S + 5
        assert read(m / "d/file") == b"longer"
        s.put("d/file", b"LONGER", bucket=m.bucket)  # no other size
        assert seen_after(lambda: read(m / "d/file") == b"LONGER") < 2 * POLL_S + 5


def test_other_mount(s):
    with Mount(s, options=OPTIONS) as a, Mount(s, bucket=a.bucket, options=OPTIONS) as b:
        write(a / "file", b"from a")
        seen_after(lambda: size(b / "file") == 6)
        assert read(b / "file") == b"from a"
        write(b / "file", b"from b, and more")
        seen_after(lambda: size(a / "file") == 16)
        assert read(a / "file") == b"from b, and more"
        os.rename(b / "file", b / "other name")
        seen_after(lambda: size(a / "other name") == 16)


def test_new_names(s):
    with Mount(s, options=OPTIONS) as m:
        os.mkdir(m / "d")
        assert os.listdir(m / "d") == [] and size(m / "d/new/deep/file") is None
        s.put("d/new/deep/file", b"here", bucket=m.bucket)
        seen_after(lambda: os.listdir(m / "d") == ["new"])
        assert os.listdir(m / "d/new") == ["deep"]
        assert read(m / "d/new/deep/file") == b"here"
        s.put("d/a b=c", b"2", bucket=m.bucket)
        seen_after(lambda: sorted(os.listdir(m / "d")) == ["a b=c", "new"])


def test_own_files_cost_nothing(s):
    need_own_server(s)
    with Mount(s, options=OPTIONS) as m:
        os.mkdir(m / "d")
        for i in range(100):
            write(m / ("d/%02d" % i), b"mine")
        os.listdir(m / "d")
        polled(s, 3)
        s.reset_counters()
        for i in range(100):
            assert size(m / ("d/%02d" % i)) == 4
        assert len(os.listdir(m / "d")) == 100
        counters = s.counters()
        # Only looks of the poll itself, a page each; nothing by name, nothing read again.
        assert counters["info"] == counters["get"] == counters["head"] == 0, counters
        assert counters["list"] <= 20, counters


def test_outage(s):
    """A server that is away for a while: no flood of lines, and changes are seen afterwards."""
    need_own_server(s)
    with Mount(s, options=OPTIONS + ["timeout=1s"]) as m:
        s.put("file", b"one", bucket=m.bucket)
        seen_after(lambda: size(m / "file") == 3)
        s.fault({"kind": "list"}, {"status": 503})
        seen_after(lambda: "looking for changes" in m.log())
        s.put("file", b"longer", bucket=m.bucket)
        s.clear_faults()
        seen_after(lambda: size(m / "file") == 6, 60)
        assert m.log().count("looking for changes") == 1, m.log()


if __name__ == "__main__":
    need_fuse()
    with server() as s:
        run_tests([test_changed_file, test_other_mount, test_new_names, test_own_files_cost_nothing,
                   test_outage], s)
