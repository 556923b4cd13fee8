# SPDX-License-Identifier: Apache-2.0
"""What POSIX and Linux promise of files on one mount: places of writes, holes, mappings, locks, owners,
times, names that go while they are open. Each test names the promise."""
import ctypes
import errno
import fcntl
import mmap
import os
import stat
import struct
import time

from mountlib import Mount, Skipped, need_fuse, need_own_server, read, run_tests, server, write

LIBC = ctypes.CDLL(None, use_errno=True)
KEEP_SIZE, PUNCH_HOLE, COLLAPSE, ZERO, INSERT, UNSHARE = 1, 2, 8, 16, 32, 64
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
MIB = 1 << 20


def fallocate(fd, mode, off, n):
    done = LIBC.fallocate(fd, mode, ctypes.c_long(off), ctypes.c_long(n))
    return 0 if done == 0 else ctypes.get_errno()


def renameat2(a, b, flags):
    done = LIBC.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), flags)
    return 0 if done == 0 else ctypes.get_errno()


def error_of(function, *args):
    """The errno that it fails with; 0 when it does not."""
    try:
        function(*args)
    except OSError as e:
        return e.errno
    return 0


def in_child(function, *args):
    """What function(*args), an int, is in another process."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(function(*args))
        except BaseException:
            os._exit(255)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_appends_of_two_descriptors(s):
    with Mount(s) as m:
        write(m / "log", b"head\n")
        a = os.open(m / "log", os.O_WRONLY | os.O_APPEND)
        b = os.open(m / "log", os.O_WRONLY | os.O_APPEND)
        for i in range(50):
            os.write(a, b"a%d\n" % i)
            os.write(b, b"b%d\n" % i)
        os.close(a)
        os.close(b)
        want = b"head\n" + b"".join(b"a%d\nb%d\n" % (i, i) for i in range(50))
        assert read(m / "log") == want
        assert s.get("log", bucket=m.bucket) == want


def test_appending_descriptor_is_told_not_to(s):
    """F_SETFL takes O_APPEND away and gives it."""
    with Mount(s) as m:
        write(m / "f", b"abcdef")
        fd = os.open(m / "f", os.O_RDWR | os.O_APPEND)
        fcntl.fcntl(fd, fcntl.F_SETFL, 0)
        os.pwrite(fd, b"X", 1)
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
        os.write(fd, b"g")
        os.close(fd)
        assert s.get("f", bucket=m.bucket) == b"aXcdefg"


def test_mapping_through_an_appending_descriptor(s):
    """Its pages were appended to the file."""
    with Mount(s) as m:
        write(m / "f", b"a" * 10000)
        fd = os.open(m / "f", os.O_RDWR | os.O_APPEND)
        with mmap.mmap(fd, 10000) as view:
            view[5000:5003] = b"XYZ"
            view.flush()
        os.close(fd)
        assert s.get("f", bucket=m.bucket) == b"a" * 5000 + b"XYZ" + b"a" * 4997


def test_mapping_is_written_and_read(s):
    """msync sends nothing yet; another descriptor sees it at once; after close the server has it."""
    with Mount(s) as m:
        write(m / "f", bytes(3 * MIB))
        fd = os.open(m / "f", os.O_RDWR)
        view = mmap.mmap(fd, 3 * MIB)
        view[MIB:MIB + 5] = b"hello"
        view.flush()
        assert os.pread(fd, 5, MIB) == b"hello"
        os.pwrite(fd, b"there", 2 * MIB)
        assert view[2 * MIB:2 * MIB + 5] == b"there"
        view[7:9] = b"!!"
        view.close()
        os.close(fd)
        want = bytearray(3 * MIB)
        want[MIB:MIB + 5], want[2 * MIB:2 * MIB + 5], want[7:9] = b"hello", b"there", b"!!"
        assert read(m / "f") == want
        assert s.get("f", bucket=m.bucket) == want


def test_mapping_outlives_its_descriptor(s):
    """What is written to it after the last close is sent all the same."""
    with Mount(s) as m:
        write(m / "f", b"a" * 5000)
        fd = os.open(m / "f", os.O_RDWR)
        view = mmap.mmap(fd, 5000)
        os.close(fd)
        view[100:103] = b"XYZ"
        view.close()
        want = b"a" * 100 + b"XYZ" + b"a" * 4897
        end = time.monotonic() + 20
        while s.get("f", bucket=m.bucket) != want and time.monotonic() < end:
            time.sleep(0.02)  # the release has no answer that a program sees
        assert s.get("f", bucket=m.bucket) == want


def test_holes_are_told(s):
    with Mount(s) as m:
        fd = os.open(m / "f", os.O_RDWR | os.O_CREAT)
        os.pwrite(fd, b"x" * 4096, MIB)
        os.ftruncate(fd, 3 * MIB)
        assert os.lseek(fd, 0, os.SEEK_DATA) == MIB
        assert os.lseek(fd, 0, os.SEEK_HOLE) == 0
        assert os.lseek(fd, MIB, os.SEEK_HOLE) == MIB + 4096
        assert error_of(os.lseek, fd, 2 * MIB, os.SEEK_DATA) == errno.ENXIO
        assert error_of(os.lseek, fd, 3 * MIB, os.SEEK_HOLE) == errno.ENXIO
        os.close(fd)
        fd = os.open(m / "f", os.O_RDONLY)  # what the server has is data, up to the end
        assert os.lseek(fd, 5, os.SEEK_DATA) in (5, MIB)
        assert os.lseek(fd, 2 * MIB, os.SEEK_HOLE) in (2 * MIB, 3 * MIB)
        os.close(fd)


def test_fallocate_modes(s):
    with Mount(s) as m:
        write(m / "f", b"a" * 10000)
        fd = os.open(m / "f", os.O_RDWR)
        assert fallocate(fd, 0, 0, 12000) == 0
        assert os.fstat(fd).st_size == 12000
        assert fallocate(fd, KEEP_SIZE, 0, 20000) == 0
        assert os.fstat(fd).st_size == 12000
        assert fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 100, 200) == 0
        assert fallocate(fd, ZERO, 11000, 2000) == 0
        assert os.fstat(fd).st_size == 13000
        assert fallocate(fd, ZERO | KEEP_SIZE, 9000, 9000) == 0
        assert os.fstat(fd).st_size == 13000
        os.close(fd)
        want = b"a" * 100 + bytes(200) + b"a" * 8700 + bytes(4000)
        assert read(m / "f") == want
        assert s.get("f", bucket=m.bucket) == want


def test_refused_change_costs_nothing(s):
    """A refused fallocate, or a write that the limit refuses, left a clean file to be sent again."""
    need_own_server(s)
    with Mount(s) as m:
        write(m / "f", b"a" * 10000)
        before = s.counters()
        fd = os.open(m / "f", os.O_RDWR)
        for mode in (COLLAPSE, INSERT, UNSHARE, COLLAPSE | KEEP_SIZE, PUNCH_HOLE, 128):
            assert fallocate(fd, mode, 0, 4096) == errno.EOPNOTSUPP, mode
        assert fallocate(fd, 0, -1, 4096) == errno.EINVAL
        assert fallocate(fd, 0, 0, 0) == errno.EINVAL
        assert fallocate(fd, 0, 0, 1 << 60) == errno.EFBIG
        assert error_of(os.ftruncate, fd, 1 << 60) == errno.EFBIG
        os.close(fd)
        after = s.counters()
        assert after["put"] == before["put"] and after["get"] == before["get"]


def test_flock_between_processes(s):
    def try_lock(path, how):
        fd = os.open(path, os.O_RDWR)
        return error_of(fcntl.flock, fd, how | fcntl.LOCK_NB)

    with Mount(s) as m:
        write(m / "f", b"x")
        fd = os.open(m / "f", os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_SH)
        assert in_child(try_lock, m / "f", fcntl.LOCK_SH) == 0
        assert in_child(try_lock, m / "f", fcntl.LOCK_EX) == errno.EAGAIN
        fcntl.flock(fd, fcntl.LOCK_UN)
        assert in_child(try_lock, m / "f", fcntl.LOCK_EX) == 0
        os.close(fd)


def test_fcntl_locks_between_processes(s):
    def try_lock(path, off, n):
        fd = os.open(path, os.O_RDWR)
        return error_of(fcntl.lockf, fd, fcntl.LOCK_EX | fcntl.LOCK_NB, n, off)

    with Mount(s) as m:
        write(m / "f", b"x" * 100)
        fd = os.open(m / "f", os.O_RDWR)
        fcntl.lockf(fd, fcntl.LOCK_EX, 10, 20)
        assert in_child(try_lock, m / "f", 25, 1) == errno.EAGAIN
        assert in_child(try_lock, m / "f", 30, 10) == 0
        os.rename(m / "f", m / "g")  # the lock is the file's, not the name's
        assert in_child(try_lock, m / "g", 25, 1) == errno.EAGAIN
        fcntl.lockf(fd, fcntl.LOCK_UN, 10, 20)
        assert in_child(try_lock, m / "g", 25, 1) == 0
        # Open file description locks, which SQLite's kin use.
        lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 5, 0)
        fcntl.fcntl(fd, 37, lock)  # F_OFD_SETLK
        other = os.open(m / "g", os.O_RDWR)
        assert error_of(fcntl.fcntl, other, 37, lock) == errno.EAGAIN
        os.close(fd)
        fcntl.fcntl(other, 37, lock)
        os.close(other)


def test_unlinked_file_stays_readable(s):
    """Also one that is large, and that the server had before: its bytes are fetched before it goes."""
    with Mount(s) as m:
        big = os.urandom(MIB) * 40
        s.put("big", big, bucket=m.bucket)
        write(m / "small", b"abc")
        fds = [os.open(m / name, os.O_RDONLY) for name in ("big", "small")]
        assert os.pread(fds[0], 10, MIB) == big[MIB:MIB + 10]
        os.unlink(m / "big")
        os.unlink(m / "small")
        assert sorted(os.listdir(m.path)) == []
        assert os.fstat(fds[0]).st_nlink == 0 and os.fstat(fds[0]).st_size == len(big)
        assert b"".join(os.pread(fds[0], MIB, i * MIB) for i in range(40)) == big
        assert os.pread(fds[1], 10, 0) == b"abc"
        for fd in fds:
            os.close(fd)


def test_replaced_file_stays_readable(s):
    with Mount(s) as m:
        old = os.urandom(20 * MIB)
        write(m / "f", old)
        write(m / "new", b"new")
        fd = os.open(m / "f", os.O_RDONLY)
        os.rename(m / "new", m / "f")
        assert os.fstat(fd).st_size == len(old)
        assert b"".join(os.pread(fd, MIB, i * MIB) for i in range(20)) == old
        os.close(fd)
        assert read(m / "f") == b"new"


def test_unlinked_file_is_written_on(s):
    with Mount(s) as m:
        fd = os.open(m / "f", os.O_RDWR | os.O_CREAT)
        os.write(fd, b"one")
        os.unlink(m / "f")
        os.write(fd, b"two")
        os.fchmod(fd, 0o600)
        os.utime(fd, ns=(1, 2))
        assert os.pread(fd, 10, 0) == b"onetwo"
        assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o600
        os.fsync(fd)
        os.close(fd)
        assert os.listdir(m.path) == []


def test_rename_onto_itself(s):
    with Mount(s) as m:
        write(m / "f", b"abc")
        os.mkdir(m / "d")
        os.rename(m / "f", m / "f")
        os.rename(m / "d", m / "d")
        assert renameat2(m / "f", m / "f", NOREPLACE) == errno.EEXIST
        assert read(m / "f") == b"abc"
        assert error_of(os.rename, m / "d", m / "d/e") == errno.EINVAL


def test_rename_flags(s):
    with Mount(s) as m:
        write(m / "a", b"a")
        write(m / "b", b"bb")
        assert renameat2(m / "a", m / "b", NOREPLACE) == errno.EEXIST
        assert renameat2(m / "a", m / "c", NOREPLACE) == 0
        assert sorted(os.listdir(m.path)) == ["b", "c"]
        assert renameat2(m / "b", m / "c", WHITEOUT) == errno.EINVAL
        assert renameat2(m / "b", m / "c", EXCHANGE | NOREPLACE) == errno.EINVAL
        assert renameat2(m / "b", m / "none", EXCHANGE) == errno.ENOENT


def test_rename_exchanges_files(s):
    """An open descriptor follows its file."""
    with Mount(s) as m:
        write(m / "a", b"a")
        os.mkdir(m / "d")
        write(m / "d/b", b"bb")
        fd = os.open(m / "a", os.O_RDWR)
        assert renameat2(m / "a", m / "d/b", EXCHANGE) == 0
        assert (read(m / "a"), read(m / "d/b")) == (b"bb", b"a")
        os.pwrite(fd, b"A", 0)
        os.close(fd)
        assert s.get("a", bucket=m.bucket) == b"bb"
        assert s.get("d/b", bucket=m.bucket) == b"A"
        assert sorted(os.listdir(m.path)) == ["a", "d"] and os.listdir(m / "d") == ["b"]


def test_rename_exchanges_folders(s):
    with Mount(s) as m:
        os.makedirs(m / "d/x")
        write(m / "d/x/1", b"1")
        os.mkdir(m / "e")
        write(m / "f", b"f")
        assert renameat2(m / "d", m / "e", EXCHANGE) == 0
        assert os.listdir(m / "d") == [] and read(m / "e/x/1") == b"1"
        assert renameat2(m / "e", m / "f", EXCHANGE) == 0
        assert read(m / "e") == b"f" and read(m / "f/x/1") == b"1"
        assert renameat2(m / "f", m / "f/x", EXCHANGE) == errno.EINVAL
        assert sorted(os.listdir(m.path)) == ["d", "e", "f"]


def test_what_cannot_be_kept_is_refused_at_once(s):
    with Mount(s) as m:
        write(m / "f", b"x")
        assert error_of(os.link, m / "f", m / "g") == errno.EPERM
        assert error_of(os.mkfifo, m / "p") == errno.EPERM
        assert error_of(os.mknod, m / "s", stat.S_IFSOCK | 0o600) == errno.EPERM
        if os.geteuid() == 0:
            assert error_of(os.mknod, m / "c", stat.S_IFCHR | 0o600, os.makedev(1, 3)) == errno.EPERM
        assert error_of(os.open, m.path, os.O_TMPFILE | os.O_RDWR) in (errno.EOPNOTSUPP, errno.EISDIR)
        assert os.listdir(m.path) == ["f"]


def test_times_of_files(s):
    with Mount(s) as m:
        write(m / "f", b"x")
        os.utime(m / "f", ns=(1500000000123456789, 1600000000987654321))
        now = os.stat(m / "f")
        assert (now.st_atime_ns, now.st_mtime_ns) == (1500000000123456789, 1600000000987654321)
        assert now.st_ctime_ns > 1700000000 * 10**9
        os.chmod(m / "f", 0o604)
        later = os.stat(m / "f")
        assert later.st_ctime_ns > now.st_ctime_ns and later.st_mtime_ns == now.st_mtime_ns
        os.utime(m / "f", ns=(-5, -1500000000))
        assert os.stat(m / "f").st_mtime_ns == -1500000000
        os.utime(m / "f", (1 << 40, 1 << 40))  # beyond what 64 bits of nanoseconds can say
        assert os.stat(m / "f").st_mtime > 9 * 10**9
        os.symlink("f", m / "l")
        os.utime(m / "l", ns=(3, 4 * 10**9), follow_symlinks=False)
        assert os.lstat(m / "l").st_mtime_ns == 4 * 10**9


def test_folder_changes_with_its_entries(s):
    with Mount(s) as m:
        os.mkdir(m / "d")
        os.mkdir(m / "e")

        def moved(folder, what):
            before = os.stat(m / folder)
            what()
            after = os.stat(m / folder)
            return after.st_mtime_ns > before.st_mtime_ns and after.st_ctime_ns > before.st_ctime_ns

        assert moved("d", lambda: write(m / "d/f", b"x"))
        assert not moved("d", lambda: write(m / "d/f", b"y"))
        assert moved("d", lambda: os.mkdir(m / "d/sub"))
        assert moved("d", lambda: os.symlink("x", m / "d/l"))
        assert moved("d", lambda: os.rename(m / "d/f", m / "d/g"))
        assert moved("e", lambda: os.rename(m / "d/g", m / "e/g"))
        assert moved("d", lambda: os.rmdir(m / "d/sub"))
        assert moved("d", lambda: os.unlink(m / "d/l"))
        assert moved("", lambda: os.mkdir(m / "top"))


def test_new_things_belong_to_who_makes_them(s):
    if os.geteuid() != 0:
        raise Skipped("only root may be somebody else")
    with Mount(s, options=["allow_other"]) as m:
        os.chmod(m.dir, 0o755)
        os.mkdir(m / "pub")
        os.chmod(m / "pub", 0o1777)

        def make():
            os.setgroups([])
            os.setgid(65533)
            os.setuid(65534)
            write(m / "pub/f", b"x")
            os.mkdir(m / "pub/d", 0o700)
            os.symlink("x", m / "pub/l")
            return 0

        def intrude():
            os.setgroups([])
            os.setgid(65532)
            os.setuid(65532)
            assert error_of(open, m / "pub/f", "r+") == errno.EACCES
            assert error_of(os.unlink, m / "pub/f") == errno.EPERM  # sticky
            assert error_of(os.rename, m / "pub/f", m / "pub/g") == errno.EPERM
            assert error_of(os.listdir, m / "pub/d") == errno.EACCES
            return 0

        assert in_child(make) == 0
        for name in ("f", "d", "l"):
            st = os.lstat(m / ("pub/" + name))
            assert (st.st_uid, st.st_gid) == (65534, 65533), (name, st)
        assert stat.S_IMODE(os.stat(m / "pub/d").st_mode) == 0o700
        assert in_child(intrude) == 0


if __name__ == "__main__":
    need_fuse()
    with server() as one:
        run_tests([f for name, f in sorted(globals().items()) if name.startswith("test_")], one)
