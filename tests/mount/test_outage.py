#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""No lies: with the server gone or failing every operation ends with an error, nothing is acknowledged that is
not there, and everything works again afterwards without a remount."""
import errno
import os
import sys
import threading
import time

from mountlib import Mount, list_keys, need_fuse, read, run_tests, server, write

TIMEOUT_S = 3
PATIENCE_S = 30  # far above the time-out: a machine under load is slow, a hang is for ever
OPTIONS = ["ttl=0", "timeout=%ds" % TIMEOUT_S, "connect_timeout=1s", "stall_timeout=2s"]


def ends_badly(action):
    """action() must raise OSError within the time-out, and not claim that something is absent."""
    began = time.monotonic()
    try:
        action()
    except OSError as e:
        assert e.errno not in (errno.ENOENT, errno.EEXIST, errno.ENOTDIR), e
        assert time.monotonic() - began < PATIENCE_S, "took too long"
        return e
    raise AssertionError("worked without a server")


def operations(m):
    yield "stat", lambda: os.stat(m / "d/f")
    yield "stat of what is absent", lambda: os.stat(m / "d/none")
    yield "listdir", lambda: os.listdir(m / "d")
    yield "read", lambda: read(m / "d/f")
    yield "write", lambda: write(m / "d/new", b"lost?")
    yield "overwrite", lambda: write(m / "d/f", b"lost?")
    yield "mkdir", lambda: os.mkdir(m / "d/sub")
    yield "unlink", lambda: os.unlink(m / "d/f")
    yield "rename", lambda: os.rename(m / "d/f", m / "d/g")
    yield "rmdir", lambda: os.rmdir(m / "d/e")
    yield "truncate", lambda: os.truncate(m / "d/f", 1)


def prepare(s, m):
    s.put("d/f", b"content" * 100, bucket=m.bucket)
    os.mkdir(m / "d/e")
    assert read(m / "d/f") == b"content" * 100


def all_well(s, m):
    """Nothing was changed by what failed, and the mount works."""
    assert read(m / "d/f") == b"content" * 100
    assert s.get("d/f", bucket=m.bucket) == b"content" * 100
    left = set(os.listdir(m / "d"))
    assert {"e", "f"} <= left and left <= {"e", "f", "new"}, left
    write(m / "d/again", b"works")
    assert s.get("d/again", bucket=m.bucket) == b"works"
    os.unlink(m / "d/again")


def test_server_stopped(s):
    with Mount(s, options=OPTIONS) as m:
        prepare(s, m)
        port = s.port
        s.stop()
        try:
            for name, action in operations(m):
                e = ends_badly(action)
                print("# %s: %s" % (name, e.strerror))
            began = time.monotonic()
            os.statvfs(m.path)
            os.stat(m.path)
            assert time.monotonic() - began < 2, "statfs and the root wait for nobody"
        finally:
            s._port = port
            s.start()
        all_well(s, m)
        m.umount()


def failing(s, effect, kinds=None):
    with Mount(s, options=OPTIONS) as m:
        prepare(s, m)
        for kind in kinds or [None]:
            s.fault({"kind": kind} if kind else {}, effect)
        for name, action in operations(m):
            e = ends_badly(action)
            print("# %s: %s" % (name, e.strerror))
        s.clear_faults()
        all_well(s, m)
        m.umount()


def test_503(s):
    failing(s, {"status": 503, "body": "upstream gone", "content_type": "text/plain"})


def test_500(s):
    failing(s, {"status": 500})


def test_html(s):
    failing(s, {"status": 502, "body": "<html><h1>Bad Gateway</h1></html>", "content_type": "text/html"})


def test_silence(s):
    failing(s, {"silence": True})


def test_reset(s):
    failing(s, {"reset": "before"})


def test_429(s):
    failing(s, {"status": 429, "header": "Retry-After: 1"})


def test_short_outage(s):
    """Three failures, then an answer: nobody notices."""
    with Mount(s, options=["ttl=0"]) as m:
        prepare(s, m)
        for kind in ("list", "get", "put", "delete_one", "delete_many", "move"):
            s.fault({"kind": kind, "count": 3}, {"status": 503})
        write(m / "d/x", b"y" * 1000)
        assert read(m / "d/x") == b"y" * 1000
        os.rename(m / "d/x", m / "d/z")
        os.unlink(m / "d/z")
        assert sorted(os.listdir(m / "d")) == ["e", "f"]
        s.clear_faults()


def test_lost_answers(s):
    """The server did it, but the answer was lost: the mount looks, and does not do it twice or deny it."""
    with Mount(s, options=["ttl=0"]) as m:
        prepare(s, m)
        for kind in ("put", "move", "copy", "delete_one"):
            s.fault({"kind": kind, "count": 1}, {"reset": "answer"})
        write(m / "d/x", b"once")
        assert s.get("d/x", bucket=m.bucket) == b"once"
        os.rename(m / "d/x", m / "d/y")
        assert s.get("d/y", bucket=m.bucket) == b"once"
        os.unlink(m / "d/y")
        s.clear_faults()
        assert sorted(os.listdir(m / "d")) == ["e", "f"]
        assert "d/x" not in list_keys(s, m.bucket) and "d/y" not in list_keys(s, m.bucket)


def test_failed_upload_is_told(s):
    """close() says it, the bytes stay readable, and the next close sends them."""
    with Mount(s, options=OPTIONS) as m:
        os.stat(m.path)
        rule = s.fault({"kind": "put"}, {"status": 503})
        f = os.open(m / "a", os.O_CREAT | os.O_RDWR)
        os.write(f, b"precious")
        try:
            os.fsync(f)
            raise AssertionError("fsync() said nothing")
        except OSError:
            pass
        try:
            os.close(f)
            raise AssertionError("close() said nothing")
        except OSError:
            pass
        assert read(m / "a") == b"precious"
        s.clear_faults(rule)
        with open(m / "a", "ab") as g:
            g.write(b"!")
        assert s.get("a", bucket=m.bucket) == b"precious!"


def test_cut_download(s):
    """A body that is cut goes on where it was; a body that stays cut is an error, never short data."""
    data = os.urandom(1 << 20)
    with Mount(s, options=["ttl=0", "timeout=5s"]) as m:
        s.put("big", data, bucket=m.bucket)
        s.fault({"kind": "get", "count": 3}, {"cut_after": 100000})
        assert read(m / "big") == data
        s.clear_faults()
        s.put("big2", data, bucket=m.bucket)
        s.fault({"kind": "get"}, {"cut_after": 0})
        ends_badly(lambda: read(m / "big2"))
        s.clear_faults()
        assert read(m / "big2") == data


def test_wrong_etag(s):
    """An answer of another version never reaches a reader."""
    with Mount(s, options=["ttl=0", "timeout=5s"]) as m:
        s.put("v", b"1" * 1000, bucket=m.bucket)
        os.stat(m / "v")
        s.fault({"kind": "get"}, {"wrong_etag": True})
        ends_badly(lambda: read(m / "v"))
        s.clear_faults()
        assert read(m / "v") == b"1" * 1000


def test_refused_by_policy(s):
    """A refusal is EACCES at once, not a time-out, and nothing seems to have happened."""
    with Mount(s, options=["timeout=60s"]) as m:
        prepare(s, m)
        denied = '{"statusCode":"403","error":"Unauthorized","message":"new row violates row-level security ' \
                 'policy","code":"AccessDenied"}'
        s.fault({"kind": "put"}, {"status": 400, "body": denied})
        began = time.monotonic()
        try:
            write(m / "d/new", b"1")
            raise AssertionError("worked")
        except OSError as e:
            assert e.errno == errno.EACCES, e
        assert time.monotonic() - began < 20
        s.clear_faults()
        os.unlink(m / "d/new") if os.path.exists(m / "d/new") else None
        assert sorted(os.listdir(m / "d")) == ["e", "f"]


def test_outage_under_load(s):
    """Readers and writers while the server goes and comes: every success is true."""
    with Mount(s, options=["ttl=0", "timeout=2s", "connect_timeout=1s"]) as m:
        base = os.urandom(200000)
        write(m / "base", base)
        stop = threading.Event()
        wrong, done = [], {}

        def writer(n):
            i = 0
            while not stop.is_set():
                name, data = "w%d-%d" % (n, i), b"%d" % i * 100
                i += 1
                try:
                    write(m / name, data)
                    done[name] = data
                except OSError:
                    pass

        def reader():
            while not stop.is_set():
                try:
                    if read(m / "base") != base:
                        wrong.append("other bytes")
                except OSError as e:
                    if e.errno == errno.ENOENT:
                        wrong.append("said to be absent")

        threads = [threading.Thread(target=writer, args=(n,)) for n in range(3)]
        threads += [threading.Thread(target=reader) for _ in range(2)]
        for t in threads:
            t.start()
        for _ in range(3):
            time.sleep(0.4)
            rule = s.fault({}, {"status": 503})
            time.sleep(0.8)
            s.clear_faults(rule)
        time.sleep(0.4)
        stop.set()
        for t in threads:
            t.join()
        assert not wrong, wrong[:3]
        assert done
        for name, data in done.items():
            assert s.get(name, bucket=m.bucket) == data, name
        m.umount()


def main():
    need_fuse()
    tests = [f for name, f in list(globals().items()) if name.startswith("test_")]
    only = sys.argv[1:]
    with server() as s:
        if s.foreign:
            print("1..0 # SKIP needs the faults of supafs-serve")
            sys.exit(0)
        run_tests([f for f in tests if not only or f.__name__[5:] in only], s)


if __name__ == "__main__":
    main()
