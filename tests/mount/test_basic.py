#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every operation of the filesystem, once, through the kernel: result, errno, what the server has then."""
import contextlib
import ctypes
import errno
import mmap
import os
import signal
import stat
import sys
import threading
import time

from mountlib import (Mount, list_keys, need_fuse, need_own_server, new_bucket, read, remove_bucket,
                      run, run_tests, server, write)

libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def fails(*numbers):
    try:
        yield
    except OSError as e:
        assert e.errno in numbers, "%s instead of %s" % (
            errno.errorcode.get(e.errno), [errno.errorcode[n] for n in numbers])
    else:
        raise AssertionError("worked, but %s was expected" % [errno.errorcode[n] for n in numbers])


def rename_noreplace(a, b):
    if libc.renameat2(-100, a.encode(), -100, b.encode(), 1) != 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))


def on_server(m, key):
    return m.server.get(key, bucket=m.bucket)


def test_write_and_read(s):
    with Mount(s) as m:
        for size in (0, 1, 4096, 131071, 131072, 131073, 3 << 20):
            data = os.urandom(size)
            name = "f%d" % size
            write(m / name, data)
            assert read(m / name) == data
            assert on_server(m, name) == data if size else True
            assert os.stat(m / name).st_size == size
        assert sorted(os.listdir(m.path)) == sorted(list_keys(s, m.bucket))


def test_after_remount(s):
    """Contents, times and modes come from the server, not from the daemon's memory."""
    with Mount(s) as m:
        data = os.urandom(300000)
        write(m / "a", data)
        os.utime(m / "a", ns=(1, 1700000000123456789))
        os.chmod(m / "a", 0o640)
        os.makedirs(m / "d/e")
        assert m.umount() == (0, "")
        m.start()
        assert read(m / "a") == data
        st = os.stat(m / "a")
        assert st.st_mtime_ns == 1700000000123456789, st.st_mtime_ns
        assert stat.S_IMODE(st.st_mode) == 0o640, oct(st.st_mode)
        assert os.listdir(m / "d") == ["e"] and os.listdir(m / "d/e") == []


def test_attributes(s):
    with Mount(s, options=["uid=12", "gid=34", "umask=027"]) as m:
        s.put("x", b"12345", bucket=m.bucket)
        st = os.stat(m / "x")
        assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == (12, 34, 0o640)
        assert st.st_size == 5 and st.st_blocks == 1 and st.st_nlink == 1
        root = os.stat(m.path)
        assert stat.S_ISDIR(root.st_mode) and stat.S_IMODE(root.st_mode) == 0o750
        fs = os.statvfs(m.path)
        assert fs.f_blocks > 0 and fs.f_bavail > 0 and fs.f_namemax == 255
        assert abs(st.st_mtime - time.time()) < 3600


def test_partial_change(s):
    with Mount(s) as m:
        data = bytearray(os.urandom(1 << 20))
        s.put("big", bytes(data), bucket=m.bucket)
        with open(m / "big", "r+b") as f:
            f.seek(500000)
            f.write(b"changed")
            f.seek(10)
            assert f.read(10) == data[10:20]
        data[500000:500007] = b"changed"
        assert on_server(m, "big") == data and read(m / "big") == data


def test_append_and_truncate(s):
    with Mount(s) as m:
        s.put("t", b"0123456789", bucket=m.bucket)
        with open(m / "t", "ab") as f:
            f.write(b"abc")
        assert on_server(m, "t") == b"0123456789abc"
        os.truncate(m / "t", 4)
        assert read(m / "t") == b"0123" and on_server(m, "t") == b"0123"
        os.truncate(m / "t", 8)
        assert read(m / "t") == b"0123\0\0\0\0" and on_server(m, "t") == b"0123\0\0\0\0"
        with open(m / "t", "wb") as f:
            f.write(b"new")
        assert on_server(m, "t") == b"new"
        with open(m / "t", "r+b") as f:
            f.truncate(1)
            f.seek(5)
            f.write(b"z")
        assert on_server(m, "t") == b"n\0\0\0\0z"


def test_exclusive(s):
    with Mount(s) as m:
        os.close(os.open(m / "x", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with fails(errno.EEXIST):
            os.open(m / "x", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        s.put("y", b"1", bucket=m.bucket)
        with fails(errno.EEXIST):
            os.open(m / "y", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        with fails(errno.ENOENT):
            os.open(m / "none", os.O_RDONLY)


def test_holes_and_seek(s):
    with Mount(s) as m:
        with open(m / "h", "wb") as f:
            f.seek(1 << 20)
            f.write(b"end")
            f.flush()
            assert os.lseek(f.fileno(), 0, os.SEEK_HOLE) == 0
            assert os.lseek(f.fileno(), 0, os.SEEK_DATA) <= 1 << 20
        assert on_server(m, "h") == b"\0" * (1 << 20) + b"end"
        with open(m / "h", "r+b") as f:
            os.posix_fallocate(f.fileno(), 0, 2 << 20)
        assert os.stat(m / "h").st_size == 2 << 20


def test_mmap(s):
    with Mount(s) as m:
        data = os.urandom(400000)
        write(m / "m", data)
        with open(m / "m", "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as view:
            assert view[:] == data
        with open(m / "m", "r+b") as f, mmap.mmap(f.fileno(), 0) as view:
            view[1000:1003] = b"xyz"
            view.flush()
        assert on_server(m, "m") == data[:1000] + b"xyz" + data[1003:]


def test_folders(s):
    with Mount(s) as m:
        os.mkdir(m / "d")
        with fails(errno.EEXIST):
            os.mkdir(m / "d")
        with fails(errno.ENOENT):
            os.mkdir(m / "no/d")
        write(m / "d/f", b"1")
        with fails(errno.ENOTEMPTY):
            os.rmdir(m / "d")
        with fails(errno.ENOTDIR):
            os.rmdir(m / "d/f")
        with fails(errno.EISDIR, errno.EPERM):
            os.unlink(m / "d")
        os.unlink(m / "d/f")
        assert os.listdir(m / "d") == []
        os.rmdir(m / "d")
        with fails(errno.ENOENT):
            os.stat(m / "d")
        assert list_keys(s, m.bucket) == []


def test_folder_stays(s):
    """A folder does not vanish with its last file, as object stores have it."""
    with Mount(s) as m:
        s.put("d/only", b"1", bucket=m.bucket)
        assert os.listdir(m / "d") == ["only"]
        os.unlink(m / "d/only")
        assert os.listdir(m.path) == ["d"] and os.listdir(m / "d") == []
        m.umount()
        m.start()
        assert os.listdir(m.path) == ["d"]


def test_rename_files(s):
    with Mount(s) as m:
        write(m / "a", b"a")
        write(m / "b", b"b")
        os.mkdir(m / "d")
        os.rename(m / "a", m / "c")
        assert read(m / "c") == b"a" and not os.path.exists(m / "a")
        os.rename(m / "c", m / "b")
        assert read(m / "b") == b"a" and on_server(m, "b") == b"a"
        os.rename(m / "b", m / "d/b")
        assert os.listdir(m / "d") == ["b"] and sorted(os.listdir(m.path)) == ["d"]
        write(m / "e", b"e")
        with fails(errno.EEXIST):
            rename_noreplace(m / "e", m / "d/b")
        rename_noreplace(m / "e", m / "f")
        with fails(errno.EISDIR):
            os.rename(m / "f", m / "d")
        with fails(errno.ENOENT):
            os.rename(m / "none", m / "x")
        assert on_server(m, "d/b") == b"a" and on_server(m, "f") == b"e"


def test_rename_folders(s):
    with Mount(s) as m:
        os.makedirs(m / "a/b/c")
        for i in range(30):
            write(m / ("a/b/f%d" % i), b"%d" % i)
        os.mkdir(m / "empty")
        os.rename(m / "a", m / "z")
        assert sorted(os.listdir(m / "z/b")) == sorted(["c"] + ["f%d" % i for i in range(30)])
        assert read(m / "z/b/f7") == b"7"
        os.rename(m / "z", m / "empty")
        assert os.listdir(m.path) == ["empty"] and read(m / "empty/b/f29") == b"29"
        os.mkdir(m / "full")
        write(m / "full/x", b"")
        with fails(errno.ENOTEMPTY, errno.EEXIST):
            os.rename(m / "empty", m / "full")
        with fails(errno.EINVAL):
            os.rename(m / "empty", m / "empty/b/x")
        assert all(k.startswith(("empty/", "full/")) for k in list_keys(s, m.bucket))


def test_rename_folder_off(s):
    with Mount(s, options=["rename_dir=off"]) as m:
        os.mkdir(m / "a")
        with fails(errno.EXDEV):
            os.rename(m / "a", m / "b")
        write(m / "a/f", b"1")
        run("mv", m / "a", m / "b")
        assert read(m / "b/f") == b"1" and os.listdir(m.path) == ["b"]


def test_open_and_unlinked(s):
    with Mount(s) as m:
        write(m / "u", b"still here")
        with open(m / "u", "rb") as f:
            os.unlink(m / "u")
            assert f.read() == b"still here"
        with open(m / "v", "wb") as f:
            f.write(b"never sent")
            os.unlink(m / "v")
        assert list_keys(s, m.bucket) == [] and os.listdir(m.path) == []
        with open(m / "w", "wb") as f:
            f.write(b"1")
            os.rename(m / "w", m / "x")
            f.write(b"2")
        assert on_server(m, "x") == b"12" and list_keys(s, m.bucket) == ["x"]


def test_two_handles(s):
    with Mount(s) as m:
        with open(m / "f", "wb") as a:
            a.write(b"hello")
            a.flush()
            with open(m / "f", "rb") as b:
                assert b.read() == b"hello"
            with open(m / "f", "r+b") as c:
                c.write(b"J")
            a.write(b" world")
        assert read(m / "f") == b"Jello world" and on_server(m, "f") == b"Jello world"


def test_dup_and_fsync(s):
    with Mount(s) as m:
        f = os.open(m / "f", os.O_CREAT | os.O_WRONLY)
        os.write(f, b"1")
        os.fsync(f)
        assert on_server(m, "f") == b"1"
        g = os.dup(f)
        os.write(f, b"2")
        os.close(f)
        assert on_server(m, "f") == b"12"
        os.write(g, b"3")
        os.close(g)
        assert on_server(m, "f") == b"123"


def test_symlink(s):
    with Mount(s) as m:
        write(m / "a", b"target")
        os.symlink("a", m / "l")
        assert os.readlink(m / "l") == "a" and read(m / "l") == b"target"
        m.umount()
        m.start()
        assert os.path.islink(m / "l") and os.readlink(m / "l") == "a"
        assert read(m / "l") == b"target"


def test_what_is_refused(s):
    with Mount(s) as m:
        write(m / "a", b"1")
        with fails(errno.EPERM):
            os.link(m / "a", m / "b")
        with fails(errno.EPERM):
            os.mkfifo(m / "p")
        os.mknod(m / "r", 0o100644)
        assert read(m / "r") == b""
        with fails(errno.ENAMETOOLONG):
            write(m / ("x" * 256), b"")
        with fails(errno.ENOTSUP, errno.ENODATA):
            os.getxattr(m / "a", "user.x")


def test_read_only(s):
    with Mount(s, options=["ro"]) as m:
        s.put("a", b"1", bucket=m.bucket)
        assert read(m / "a") == b"1"
        for change in (lambda: write(m / "b", b""), lambda: os.mkdir(m / "d"), lambda: os.unlink(m / "a"),
                       lambda: os.rename(m / "a", m / "b"), lambda: os.truncate(m / "a", 0)):
            with fails(errno.EROFS):
                change()


def test_limits_of_the_bucket(s):
    name = new_bucket(s, file_size_limit=100000, allowed_mime_types=["text/plain"])
    try:
        with Mount(s, bucket=name) as m:
            write(m / "ok.txt", b"x" * 100000)
            with fails(errno.EFBIG):
                write(m / "big.txt", b"x" * 100001)
            with fails(errno.EPERM, errno.EACCES):
                write(m / "image.png", b"x")
            # As on a full disk: what could be written is there, and no more.
            assert on_server(m, "ok.txt") == b"x" * 100000
            assert os.stat(m / "big.txt").st_size == 0 and not os.path.exists(m / "image.png")
    finally:
        remove_bucket(s, name)


def test_prefix(s):
    with Mount(s) as m:
        os.makedirs(m / "p/ä")
        write(m / "p/ä/f", b"1")
        write(m / "outside", b"2")
        with Mount(s, bucket=m.bucket, prefix="p/ä") as inner:
            assert os.listdir(inner.path) == ["f"] and read(inner / "f") == b"1"
            write(inner / "g", b"3")
        assert sorted(list_keys(s, m.bucket, "p/"))[-1].endswith("/g")


def test_copy_range(s):
    with Mount(s) as m:
        data = os.urandom(700000)
        write(m / "a", data)
        with open(m / "a", "rb") as a, open(m / "b", "wb") as b:
            done = 0
            while done < len(data):
                done += os.copy_file_range(a.fileno(), b.fileno(), len(data) - done)
        assert read(m / "b") == data and on_server(m, "b") == data


def test_many_threads(s):
    """Sixteen threads, each on files of its own and on one in common."""
    with Mount(s) as m:
        shared = os.urandom(2 << 20)
        write(m / "shared", shared)
        errors = []

        def work(n):
            try:
                os.mkdir(m / ("d%d" % n))
                for i in range(10):
                    data = os.urandom(5000 + n * 100 + i)
                    write(m / ("d%d/f%d" % (n, i)), data)
                    assert read(m / ("d%d/f%d" % (n, i))) == data
                assert read(m / "shared") == shared
                assert len(os.listdir(m / ("d%d" % n))) == 10
            except BaseException as e:
                errors.append(e)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not errors, errors[:3]
        assert len(list_keys(s, m.bucket, "d")) >= 160


def child_waits(action):
    """Runs action() in a process of its own; its id once it sleeps in the kernel."""
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGUSR1, lambda *_: None)
            signal.signal(signal.SIGALRM, lambda *_: None)
            os.write(tell, b"1")
            action()
            code = 0
        except OSError as e:
            code = e.errno
        finally:
            os._exit(code)
    os.read(ready, 1)
    os.close(ready)
    os.close(tell)
    return child


def in_flight(s, kind):
    """Waits until the silent server has got a request of this kind."""
    end = time.monotonic() + 30
    while s.counters()[kind] == 0:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_interrupt(s):
    """A signal ends what waits for a silent server, at once."""
    need_own_server(s)
    with Mount(s, options=["ttl=0"]) as m:
        s.put("d/slow", b"x" * 1000, bucket=m.bucket)
        os.stat(m / "d/slow")
        for kind, action in (("list", lambda: os.stat(m / "d/none")), ("get", lambda: read(m / "d/slow")),
                             ("list", lambda: os.listdir(m / "d"))):
            s.reset_counters()
            rule = s.fault({"kind": kind}, {"silence": True})
            child = child_waits(action)
            in_flight(s, kind)
            began = time.monotonic()
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
            assert time.monotonic() - began < 5, kind
            s.clear_faults(rule)
        assert read(m / "d/slow") == b"x" * 1000


def test_signals_with_handlers(s):
    """A timer's signal is no reason to give up; one that the program wants to hear about is."""
    need_own_server(s)
    with Mount(s, options=["ttl=0"]) as m:
        os.stat(m.path)
        for sig, code in ((signal.SIGALRM, errno.ENOENT), (signal.SIGUSR1, None)):
            s.reset_counters()
            rule = s.fault({"kind": "list"}, {"delay_ms": 1500})
            # Python repeats a call that was interrupted: the number of requests tells.
            child = child_waits(lambda: os.stat(m / "none"))
            in_flight(s, "list")
            os.kill(child, sig)
            _, status = os.waitpid(child, 0)
            s.clear_faults(rule)
            if code is not None:
                assert os.waitstatus_to_exitcode(status) == code and s.counters()["list"] == 1


def test_timeout(s):
    need_own_server(s)
    with Mount(s, options=["timeout=4s"]) as m:
        s.put("slow", b"x" * 1000, bucket=m.bucket)
        os.stat(m / "slow")
        s.fault({"kind": "get"}, {"silence": True})
        began = time.monotonic()
        with fails(errno.ETIMEDOUT, errno.EIO):
            read(m / "slow")
        assert time.monotonic() - began < 20
        os.statvfs(m.path)
        os.stat(m.path)
        s.clear_faults()
        assert read(m / "slow") == b"x" * 1000


def main():
    need_fuse()
    tests = [f for name, f in list(globals().items()) if name.startswith("test_")]
    only = sys.argv[1:]
    with server() as s:
        run_tests([f for f in tests if not only or f.__name__[5:] in only], s)


if __name__ == "__main__":
    main()
