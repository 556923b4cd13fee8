#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Extended attributes, times, modes and owners: what they cost, and what programs make of them."""
import base64
import errno
import json
import os
import sys
from urllib.parse import quote

from mountlib import Mount, need_fuse, need_own_server, need_tool, read, run, run_tests, server, write

LONG = ["ttl=10m"]
KINDS = ("list", "list1", "get", "head", "info", "put", "copy", "move", "delete_one", "delete_many", "bucket",
         "sign", "tus_create", "tus_patch", "tus_head", "tus_delete", "other")


class Cost:
    """with Cost(s) as c: …  then c.at_most(list=1)"""

    def __init__(self, s):
        need_own_server(s)
        self.s = s

    def __enter__(self):
        self.s.reset_counters()
        return self

    def __exit__(self, *_):
        self.counters = self.s.counters()

    def at_most(self, **limits):
        for kind in KINDS:
            n = self.counters.get(kind, 0)
            assert n <= limits.get(kind, 0), "%s: %d; all: %s" % (
                kind, n, {k: v for k, v in self.counters.items() if v})


def put(s, m, key, body=b"abc", metadata=None, **headers):
    """As another client does."""
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    if metadata is not None:
        headers["x-metadata"] = base64.b64encode(json.dumps(metadata).encode()).decode()
    status, _, answer = s.request("PUT", "/object/%s/%s" % (m.bucket, quote(key)), body, headers)
    assert status == 200, answer


def info(s, m, key):
    status, _, answer = s.json("GET", "/object/info/authenticated/%s/%s" % (m.bucket, quote(key)))
    assert status == 200, answer
    return answer


def sync(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def error_of(function, *args):
    try:
        function(*args)
    except OSError as e:
        return "EOPNOTSUPP" if e.errno == errno.EOPNOTSUPP else errno.errorcode[e.errno]
    return None


def test_round_trip(s):
    with Mount(s, options=LONG) as m:
        write(m / "f", b"abc")
        os.setxattr(m / "f", "user.color", b"blue")
        os.setxattr(m / "f", "user.bin", b"\0\xff\n")
        assert sorted(os.listxattr(m / "f")) == ["user.bin", "user.color"]
        sync(m / "f")
        assert info(s, m, "f")["metadata"]["color"] == "blue"
        m.umount()
        m.start()
        assert os.getxattr(m / "f", "user.color") == b"blue"
        assert os.getxattr(m / "f", "user.bin") == b"\0\xff\n"
        os.removexattr(m / "f", "user.bin")
        assert os.listxattr(m / "f") == ["user.color"]
        assert read(m / "f") == b"abc"


def test_errors(s):
    with Mount(s, options=LONG) as m:
        write(m / "f", b"abc")
        os.mkdir(m / "d")
        assert error_of(os.getxattr, m / "f", "user.none") == "ENODATA"
        assert error_of(os.getxattr, m / "f", "security.capability") == "EOPNOTSUPP"
        assert error_of(os.getxattr, m / "f", "system.posix_acl_access") == "EOPNOTSUPP"
        assert error_of(os.setxattr, m / "f", "user.supafs.etag", b"x") == "EPERM"
        assert error_of(os.setxattr, m / "f", "user.big", b"x" * 20000) == "ENOSPC"
        assert error_of(os.setxattr, m / "d", "user.a", b"x") == "EOPNOTSUPP"
        assert os.listxattr(m / "d") == []


def test_own_names(s):
    with Mount(s, options=LONG) as m:
        put(s, m, "a b.txt", b"abc", content_type="text/x-odd", cache_control="max-age=9")
        path = m / "a b.txt"
        told = info(s, m, "a b.txt")
        assert os.getxattr(path, "user.supafs.etag").decode() == told["etag"]
        assert os.getxattr(path, "user.supafs.version").decode() == told["version"]
        assert os.getxattr(path, "user.supafs.id").decode() == told["id"]
        assert os.getxattr(path, "user.supafs.mime") == b"text/x-odd"
        assert os.getxattr(path, "user.supafs.cache_control") == b"max-age=9"
        assert os.getxattr(path, "user.supafs.state") == b"clean"
        assert error_of(os.getxattr, path, "user.supafs.public_url") == "ENODATA"
        url = os.getxattr(path, "user.supafs.signed_url").decode()
        assert "token=" in url and url.split("token=")[1] not in m.log()
        assert os.listxattr(path) == []
        os.setxattr(path, "user.supafs.mime", b"text/html")
        sync(path)
        told = info(s, m, "a b.txt")
        assert told["content_type"] == "text/html" and "max-age=9" in told["cache_control"]


def test_listing_tells(s):
    """ls -l of 1000 files of ours without attributes asks for nothing but the listing."""
    with Mount(s, options=LONG) as m:
        os.mkdir(m / "d")
        for i in range(60):
            write(m / ("d/f%03d" % i), b"x")
        m.umount()
        m.start()
        with Cost(s) as c:
            run("ls", "-l", m / "d")
            for name in os.listdir(m / "d"):
                assert os.listxattr(m / "d/" + name) == []
        c.at_most(list=2)


def test_foreign_costs_one_info(s):
    with Mount(s, options=LONG) as m:
        put(s, m, "f", metadata={"color": "red"})
        os.listdir(m.path)
        with Cost(s) as c:
            assert os.listxattr(m / "f") == ["user.color"]
            assert os.getxattr(m / "f", "user.color") == b"red"
        c.at_most(info=1)
        with Cost(s) as c:
            assert os.listxattr(m / "f") == ["user.color"]
        c.at_most()


def test_changes_are_gathered(s):
    with Mount(s, options=LONG) as m:
        put(s, m, "f", metadata={"color": "red"}, content_type="text/x-odd", cache_control="max-age=9")
        os.listdir(m.path)
        with Cost(s) as c:
            os.chmod(m / "f", 0o600)
            os.chown(m / "f", os.getuid(), os.getgid())
            os.utime(m / "f", ns=(5, 1234567890123456789))
            os.setxattr(m / "f", "user.more", b"1")
            st = os.stat(m / "f")
            assert st.st_mode & 0o7777 == 0o600 and st.st_mtime_ns == 1234567890123456789
            sync(m / "f")
        c.at_most(info=1, copy=2)
        told = info(s, m, "f")
        assert told["metadata"]["color"] == "red" and told["metadata"]["more"] == "1", told
        assert told["content_type"] == "text/x-odd" and "max-age=9" in told["cache_control"], told
        assert told["metadata"]["mtime"] == "1234567890.123456789", told


def test_meta_info(s):
    """Times and modes as rclone and s3fs store them, in user metadata alone."""
    with Mount(s, options=LONG + ["meta=info"]) as m:
        for i in range(40):
            put(s, m, "d/r%02d" % i, metadata={"mtime": "1500000%03d.25" % i})
        put(s, m, "d/s", metadata={"mtime": "1600000000", "mode": "33152", "uid": "7", "gid": "8",
                                   "ctime": "1600000001"})
        with Cost(s) as c:
            found = {e.name: e.stat() for e in os.scandir(m / "d")}
        c.at_most(list=2, info=41 + 1)  # and the folder's placeholder
        assert found["r07"].st_mtime == 1500000007.25
        st = found["s"]
        assert (st.st_mtime, st.st_mode, st.st_uid, st.st_gid) == (1600000000, 0o100600, 7, 8)
        with Cost(s) as c:
            run("ls", "-l", m / "d")
        c.at_most()
    with Mount(s, options=LONG) as m:  # not asked for
        put(s, m, "f", metadata={"mtime": "1500000000"})
        with Cost(s) as c:
            assert os.stat(m / "f").st_mtime > 1600000000
        c.at_most(list=1)


def test_large_objects(s):
    """Listings cannot hold the times of what went up in parts: one info, kept by version."""
    with Mount(s, options=LONG + ["resumable=6M"]) as m:
        write(m / "big", os.urandom(7 << 20))
        os.utime(m / "big", ns=(0, 1234567890123456789))
        os.chmod(m / "big", 0o600)
        m.umount()
        m.start()
        with open(m / "huge", "wb") as f:
            f.write(os.urandom(7 << 20))
            os.fchmod(f.fileno(), 0o604)
        m.umount()
        m.start()
        with Cost(s) as c:
            found = {e.name: e.stat() for e in os.scandir(m.path)}
            os.stat(m / "huge")
        c.at_most(list=2, info=1)  # the copy that changed `big` put its times into the listing
        assert found["big"].st_mtime_ns == 1234567890123456789 and found["big"].st_mode & 0o777 == 0o600
        assert found["huge"].st_mode & 0o777 == 0o604


def make_tree(folder):
    os.makedirs(os.path.join(folder, "a/b"))
    os.makedirs(os.path.join(folder, "empty"))
    for i, sub in enumerate(("", "a", "a/b")):
        path = os.path.join(folder, sub, "f%d" % i)
        write(path, b"x" * i * 1000)
        os.chmod(path, 0o600 + i)
        os.utime(path, ns=(0, 1500000000123456789 + i))
        try:
            os.setxattr(path, "user.number", b"%d" % i)
        except OSError:
            pass
    for i, sub in enumerate(("a/b", "a", "empty", "")):
        os.chmod(os.path.join(folder, sub), 0o700 + i * 8)
        os.utime(os.path.join(folder, sub), ns=(0, 1400000000987654321 + i))


def attributes(folder):
    found = {}
    for base, folders, files in os.walk(folder):
        folders.sort()
        for name in ["."] + files if base != folder else files:
            path = os.path.join(base, name)
            st = os.lstat(path)
            found[os.path.relpath(path, folder)] = (oct(st.st_mode), st.st_mtime_ns)
    return found


def same_tree(a, b):
    """The second look is after the listings of the first."""
    attributes(b)
    want, got = attributes(a), attributes(b)
    assert want == got, "\n".join("%s: %s, not %s" % (k, got.get(k), want[k])
                                  for k in want if got.get(k) != want[k])


def copied(s, copy, second=None):
    with Mount(s, options=LONG) as m:
        source = os.path.join(m.dir, "source")
        make_tree(source)
        copy(source, m / "t", m)
        same_tree(source, m / "t")
        if second:
            second(source, m)
        m.umount()
        m.start()
        same_tree(source, m / "t")
        return m


def test_cp_a(s):
    copied(s, lambda source, to, m: run("cp", "-a", source, to))


def test_tar(s):
    need_tool("tar", "tar")

    def copy(source, to, m):
        os.mkdir(to)
        run("tar", "-C", source, "--xattrs", "-cf", os.path.join(m.dir, "t.tar"), ".")
        run("tar", "-C", to, "--xattrs", "-xpf", os.path.join(m.dir, "t.tar"))
        again = run("tar", "-C", to, "--xattrs", "-cf", "/dev/null", ".")
        assert b"changed" not in again

    copied(s, copy)


def test_rsync(s):
    need_tool("rsync", "rsync")

    def second(source, m):
        with Cost(s) as c:
            out = run("rsync", "-aXi", source + "/", m / "t/")
        assert out == b"", out
        c.at_most(list=8, info=3)  # one for each file that has attributes of its own

    copied(s, lambda source, to, m: run("rsync", "-aX", source + "/", to + "/"), second)


def test_rsync_after_a_remount(s):
    need_tool("rsync", "rsync")
    with Mount(s, options=LONG) as m:
        source = os.path.join(m.dir, "source")
        make_tree(source)
        run("rsync", "-aX", source + "/", m / "t/")
        m.umount()
        m.start()
        with Cost(s) as c:
            run("rsync", "-aX", source + "/", m / "t/")
            m.umount()
        c.at_most(list=12, info=8, bucket=8, other=8)  # no put, no copy
        m.start()
        same_tree(source, m / "t")


def test_getfattr_setfattr(s):
    need_tool("getfattr", "attr")
    with Mount(s, options=LONG) as m:
        write(m / "f", b"abc")
        run("setfattr", "-n", "user.color", "-v", "blue", m / "f")
        out = run("getfattr", "-d", "--absolute-names", m / "f")
        assert b'user.color="blue"' in out, out
        run("getfattr", "-m", "-", "-d", "--absolute-names", m / "f")
        run("cp", "-a", m / "f", m / "g")
        assert os.getxattr(m / "g", "user.color") == b"blue"
        run("setfattr", "-x", "user.color", m / "f")
        assert os.listxattr(m / "f") == []


def test_ls_tells_no_acl(s):
    with Mount(s, options=LONG) as m:
        write(m / "f", b"abc")
        out = run("ls", "-l", m.path).decode()
        assert "+" not in out.split("\n")[1].split(" ")[0], out


def main():
    need_fuse()
    tests = [f for name, f in list(globals().items()) if name.startswith("test_")]
    only = sys.argv[1:]
    with server() as s:
        run_tests([f for f in tests if not only or f.__name__[5:] in only], s)


if __name__ == "__main__":
    main()
