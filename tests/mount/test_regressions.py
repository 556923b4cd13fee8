# SPDX-License-Identifier: Apache-2.0
"""What went wrong once and must not again. Each test names the symptom."""
import errno
import os
import threading
import time

from mountlib import Mount, need_fuse, need_own_server, read, run_tests, server


def test_slow_upload_of_an_empty_file_does_not_undo_the_next(s):
    """`open(f, "w").close()`, then an append, while the server was still busy with the empty upload: that
    one was stopped, landed after the append's, and the file was empty."""
    need_own_server(s)
    with Mount(s, options=["ttl=0"]) as m:
        rule = s.fault({"kind": "put", "key": "f", "count": 1}, {"delay_ms": 1000})
        open(m / "f", "w").close()
        while not next(r for r in s.faults() if r["id"] == rule)["hit"]:
            os.stat(m.path)  # until the server has the empty upload in hand
        with open(m / "f", "ab") as f:
            f.write(b"x" * 1000)
        hit = time.monotonic()
        while time.monotonic() < hit + 1.5:  # the empty one has come in by then, if it was sent
            assert s.get("f", bucket=m.bucket) == b"x" * 1000
        with open(m / "f", "r+b") as f:
            f.seek(2000)
            f.write(b"y")
        assert read(m / "f") == b"x" * 1000 + bytes(1000) + b"y"


def test_one_wrong_etag_does_not_lock_a_changed_file(s):
    """A change of a few bytes needs the others from the server. One reply with another ETag (a cache on the way)
    failed that, and everything that came after, until the remount."""
    need_own_server(s)
    with Mount(s) as m:
        s.put("f", b"a" * 5000, bucket=m.bucket)
        s.fault({"kind": "get", "key": "f", "count": 1}, {"wrong_etag": True})
        try:
            with open(m / "f", "r+b") as f:
                f.seek(100)
                f.write(b"B")
            raise AssertionError("the close has told nothing")
        except OSError as e:
            assert e.errno == errno.ESTALE, e
        want = b"a" * 100 + b"B" + b"a" * 4899
        assert read(m / "f") == want
        with open(m / "f", "r+b") as f:
            f.write(b"C")
        assert s.get("f", bucket=m.bucket) == b"C" + want[1:]


def test_log_names_what_was_not_uploaded(s):
    """The end of a mount said "the log says why", and the log said nothing."""
    need_own_server(s)
    with Mount(s) as m:
        s.fault({"kind": "put", "key": "notes/lost.txt"}, {"status": 403, "body": "{}"})
        os.mkdir(m / "notes")
        try:
            with open(m / "notes/lost.txt", "wb") as f:
                f.write(b"dear")
        except OSError:
            pass
        code, said = m.umount()
        assert code != 0 and "1 file" in said, (code, said)
        assert any("notes/lost.txt" in x and "the next mount sends it" in x for x in m.log().splitlines()), m.log()
        s.clear_faults()
        m.start()
        assert m.umount()[0] == 0
        assert s.get("notes/lost.txt", bucket=m.bucket) == b"dear"


def test_timeout_is_for_what_makes_no_progress(s):
    """A file that took longer than the time-out to send failed, though its bytes were moving."""
    need_own_server(s)
    with Mount(s, options=["timeout=4s", "stall_timeout=2s"]) as m:
        s.fault({"kind": "put"}, {"rate_up": 4000000})
        data = os.urandom(8 << 20) * 4  # far more than what the sockets hold
        with open(m / "large", "wb") as f:
            f.write(data)
        s.clear_faults()
        assert s.get("large", bucket=m.bucket) == data


def test_refused_truncate_leaves_one_size(s):
    """A truncate that the server refuses is kept for later. stat() told the new size, and a read gave the old bytes."""
    need_own_server(s)
    with Mount(s, options=["ttl=1h"]) as m:
        for size in 200, 50:
            name = "f%d" % size
            s.put(name, b"a" * 100, bucket=m.bucket)
            s.fault({"kind": "put"}, {"status": 403, "body": "{}"})
            try:
                os.truncate(m / name, size)
                raise AssertionError("truncate has told nothing")
            except PermissionError:
                pass
            want = (b"a" * 100 + bytes(100))[:size]
            with open(m / name, "rb", buffering=0) as f:
                end = time.monotonic() + 20  # the kernel is told by a thread of its own
                while os.pread(f.fileno(), 300, 0) != want and time.monotonic() < end:
                    pass
                assert os.pread(f.fileno(), 300, 0) == want
                assert os.fstat(f.fileno()).st_size == size
            s.clear_faults()


def test_lookups_in_one_folder_do_not_wait_for_each_other(s):
    """The kernel sent the look-ups of one folder one after another, so with a slow server N programs waited N times."""
    need_own_server(s)
    with Mount(s, options=["ttl=0"]) as m:
        os.makedirs(m / "d")
        s.fault({"kind": "list"}, {"delay_ms": 1500})
        start = time.monotonic()
        threads = [threading.Thread(target=os.path.exists, args=(m / ("d/absent%d" % i),)) for i in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        took = time.monotonic() - start
        s.clear_faults()
        assert took < 6, "six look-ups of 1.5 s each took %.1f s" % took


if __name__ == "__main__":
    need_fuse()
    with server() as one:
        run_tests([f for name, f in sorted(globals().items()) if name.startswith("test_")], one)
