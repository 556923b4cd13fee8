#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Listings: ls, stat, cat and rm agree on every name, nothing is missing, nothing is there twice."""
import errno
import json
import os
import stat
import subprocess
import sys

from mountlib import Mount, list_keys, need_fuse, read, run, run_tests, server, write

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "..", "golden", "rest-api.jsonl")


def check(m, folder, want):
    """`want`: name (bytes) → content, None for a folder. Every way to look must say the same."""
    path = os.path.join(os.fsencode(m.path), os.fsencode(folder))
    listed = os.listdir(path)
    assert len(listed) == len(set(listed)), "twice: %s" % [n for n in listed if listed.count(n) > 1][:5]
    assert set(listed) == set(want), "missing %s, too many %s" % (
        sorted(set(want) - set(listed))[:5], sorted(set(listed) - set(want))[:5])
    out = run("ls", "-A", "-U", "-N", "--zero", path) if ls_has_zero() else None
    if out is not None:
        assert set(out.split(b"\0")[:-1]) == set(want)
    for name, content in want.items():
        st = os.stat(os.path.join(path, name))
        assert stat.S_ISDIR(st.st_mode) == (content is None), name
        if content is not None:
            assert st.st_size == len(content), name


def ls_has_zero():
    return subprocess.run(["ls", "--zero", "/dev/null"], capture_output=True).returncode == 0


def read_and_remove(m, folder, want):
    path = os.path.join(os.fsencode(m.path), os.fsencode(folder))
    for name, content in want.items():
        if content is not None:
            assert read(os.path.join(path, name)) == content, name
    for name, content in want.items():
        full = os.path.join(path, name)
        if content is not None:
            os.unlink(full)
        assert content is None or not os.path.lexists(full), name
    left = {n for n, c in want.items() if c is None}
    assert set(os.listdir(path)) == left


def put_many(s, bucket, keys, content=b"1"):
    conn = s.connect()
    for key in keys:
        status, _, body = s.request("PUT", "/object/%s/%s" % (bucket, s.quote(key)), content,
                                    {"content-type": "text/plain"}, conn=conn)
        assert status == 200, (key, body)
    conn.close()


def fresh(m):
    """Forgets what the daemon knows: from now on the server is asked."""
    code, said = m.umount()
    assert code == 0, said
    m.start()


def test_below_the_slash(s):
    """Names that differ in bytes below '/': what breaks a naive delimiter listing."""
    with Mount(s) as m:
        files = ["zoo-a", "zoo.txt", "zoo (1)", "zoo!", "zo", "zoo/a", "zoo/b/c", "zoo-/x", "zoo0"]
        put_many(s, m.bucket, ["t/" + k for k in files])
        want = {b"zoo-a": b"1", b"zoo.txt": b"1", b"zoo (1)": b"1", b"zoo!": b"1", b"zo": b"1", b"zoo": None,
                b"zoo-": None, b"zoo0": b"1"}
        for name in (b"zoo", b"zoo-", b"zo", b"zoo.txt"):  # looked up before anything is listed
            assert os.path.exists(os.path.join(os.fsencode(m.path), b"t", name)), name
        check(m, "t", want)
        read_and_remove(m, "t", want)
        assert os.listdir(m / "t/zoo/b") == ["c"]


def test_file_beside_folder(s):
    """The keys `zoo` and `zoo/x` are both reached (docs/names.md)."""
    with Mount(s) as m:
        put_many(s, m.bucket, ["t/zoo", "t/zoo/x"], b"22")
        check(m, "t", {b"zoo": b"22", b"zoo=2F": None})
        assert read(m / "t/zoo=2F/x") == b"22"
        run("rm", "-r", m / "t")
        assert list_keys(s, m.bucket) == []


def listing_of(s, n):
    with Mount(s) as m:
        names = ["f%05d" % i for i in range(n)]
        put_many(s, m.bucket, ["d/" + name for name in names], b"content")
        want = {name.encode(): b"content" for name in names}
        check(m, "d", want)
        fresh(m)
        check(m, "d", want)
        for name in names[:: max(1, n // 20)]:
            assert read(m / ("d/" + name)) == b"content"
        run("rm", "-rf", m / "d")
        assert os.listdir(m.path) == [] and list_keys(s, m.bucket) == []


def test_2500(s):
    listing_of(s, 2500)


def test_998(s):
    listing_of(s, 998)


def test_999(s):
    listing_of(s, 999)


def test_1000(s):
    listing_of(s, 1000)


def test_1001(s):
    listing_of(s, 1001)


def test_folders_at_page_ends(s):
    """Folders and files in turn, more than one page of each."""
    with Mount(s) as m:
        keys = []
        want = {}
        for i in range(700):
            keys += ["d/n%04d/x" % i, "d/n%04d.txt" % i]
            want[b"n%04d" % i] = None
            want[b"n%04d.txt" % i] = b"1"
        put_many(s, m.bucket, keys)
        check(m, "d", want)


def test_case(s):
    with Mount(s) as m:
        names = ["Readme", "README", "readme", "a", "A", "Ab", "aB", "ab", "AB"]
        put_many(s, m.bucket, ["c/" + n for n in names] + ["c/Dir/x", "c/dir/y"])
        want = {n.encode(): b"1" for n in names}
        want.update({b"Dir": None, b"dir": None})
        check(m, "c", want)
        assert os.listdir(m / "c/Dir") == ["x"] and os.listdir(m / "c/dir") == ["y"]
        read_and_remove(m, "c", want)


def test_every_byte(s):
    """Every byte as a name, alone and inside one."""
    with Mount(s) as m:
        os.mkdir(m / "d")
        want = {}
        for b in range(1, 256):
            if b == 0x2F:
                continue
            for name in (bytes([b]), b"x" + bytes([b]) + b"y"):
                if name == b".":
                    continue
                write(os.path.join(os.fsencode(m.path), b"d", name), b"%d" % b)
                want[name] = b"%d" % b
        check(m, "d", want)
        fresh(m)
        check(m, "d", want)
        read_and_remove(m, "d", want)


def test_odd_names(s):
    with Mount(s) as m:
        os.mkdir(m / "d")
        names = ["grüße", "日本語.txt", "e\u0301", "é", "a=3Db", "=3D", "=2F", "a=2F", "a%20b", "a+b", "a b",
                 " lead", "trail ", "-rf", "--help", "new\nline", "tab\t", "'quote\"", "back\\slash", "...",
                 "..x", ".hidden", "x" * 255, "ä" * 40, ".emptyFolderPlaceholder", "x.emptyFolderPlaceholder",
                 "=emptyFolderPlaceholder", "~tilde", "#hash", "?q=1&r=2", "[x]", "{y}", "a|b", "<t>", "*"]
        want = {}
        for name in names:
            raw = os.fsencode(name)
            write(os.path.join(os.fsencode(m.path), b"d", raw), raw)
            want[raw] = raw
        check(m, "d", want)
        fresh(m)
        check(m, "d", want)
        read_and_remove(m, "d", want)


def golden_names():
    """The names of the recorded rows name/*: whether the real server took them or not, the mount does."""
    with open(GOLDEN, encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    keys = [row["key"] for row in rows if row["name"].startswith("name/") and row.get("key")]
    assert keys, "the recorded file has another shape"
    for key in keys:
        for name in key.split("/"):
            if name not in ("", ".", "..") and "\0" not in name and len(os.fsencode(name)) <= 255:
                yield os.fsencode(name)


def test_golden_names(s):
    with Mount(s) as m:
        want = {}
        for name in golden_names():
            full = os.path.join(os.fsencode(m.path), name)
            try:
                write(full, b"golden")
            except OSError as e:
                # Only a name that does not fit once it is escaped may be refused.
                assert e.errno == errno.ENAMETOOLONG and len(name) * 3 > 255, (name, e)
                continue
            want[name] = b"golden"
        check(m, "", want)
        fresh(m)
        check(m, "", want)
        read_and_remove(m, "", want)


def test_changes_during_a_walk(s):
    """Files made and removed while a folder is read: the rest is listed once, and only once."""
    with Mount(s) as m:
        put_many(s, m.bucket, ["d/f%04d" % i for i in range(1500)])
        with os.scandir(m / "d") as walk:
            seen = [next(walk).name for _ in range(10)]
            os.unlink(m / "d/f1400")
            write(m / "d/new", b"1")
            write(m / "d/a-new", b"1")
            seen += [e.name for e in walk]
        assert len(seen) == len(set(seen))
        gone, stay = {"f1400"}, {"f%04d" % i for i in range(1500)} - {"f1400"}
        assert stay <= set(seen) and not gone & set(seen) or "f1400" in seen[:1000]
        assert set(os.listdir(m / "d")) == stay | {"new", "a-new"}


def test_placeholders(s):
    with Mount(s) as m:
        put_many(s, m.bucket, ["e/.emptyFolderPlaceholder", "f/.emptyFolderPlaceholder"], b"")
        put_many(s, m.bucket, ["f/x"])
        assert sorted(os.listdir(m.path)) == ["e", "f"]
        assert os.listdir(m / "e") == [] and os.listdir(m / "f") == ["x"]
        os.rmdir(m / "e")
        run("rm", "-r", m / "f")
        assert list_keys(s, m.bucket) == []


def main():
    need_fuse()
    tests = [f for name, f in list(globals().items()) if name.startswith("test_")]
    only = sys.argv[1:]
    with server() as s:
        run_tests([f for f in tests if not only or f.__name__[5:] in only], s)


if __name__ == "__main__":
    main()
