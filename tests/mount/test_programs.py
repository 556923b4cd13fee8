#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real programs in the mount, each with its result checked. An absent one is skipped with its package."""
import os
import shutil
import sys
import textwrap

from mountlib import (Mount, list_keys, need_fuse, need_tool, read, run, run_tests, server, write)


def tree(folder, files=40):
    """A local tree with sub-folders, odd names, empty and larger files, a link, modes and times."""
    os.makedirs(os.path.join(folder, "a/b c/deep"))
    os.makedirs(os.path.join(folder, "empty"))
    for i in range(files):
        sub = ("", "a", "a/b c", "a/b c/deep")[i % 4]
        path = os.path.join(folder, sub, "file %d.txt" % i)
        write(path, b"line %d\n" % i * (i * 7))
        os.utime(path, ns=(0, (1600000000 + i) * 10**9 + i))
    write(os.path.join(folder, "grüße.bin"), os.urandom(300000))
    write(os.path.join(folder, "none"), b"")
    write(os.path.join(folder, "run.sh"), b"#!/bin/sh\necho ran\n")
    os.chmod(os.path.join(folder, "run.sh"), 0o750)
    os.symlink("run.sh", os.path.join(folder, "link"))
    return folder


def same(a, b):
    run("diff", "-r", "--no-dereference", a, b)


def test_cp(s):
    with Mount(s) as m:
        src = tree(os.path.join(m.dir, "src"))
        run("cp", "-r", src, m / "copy")
        same(src, m / "copy")
        run("cp", "-a", src, m / "archive")
        same(src, m / "archive")
        st, want = os.stat(m / "archive/run.sh"), os.stat(os.path.join(src, "run.sh"))
        assert st.st_mode == want.st_mode and st.st_mtime_ns == want.st_mtime_ns
        run("cp", "-r", m / "copy", m / "inside")
        same(src, m / "inside")
        run("cp", "-r", m / "inside", os.path.join(m.dir, "back"))
        same(src, os.path.join(m.dir, "back"))


def test_rsync(s):
    need_tool("rsync", "rsync")
    with Mount(s) as m:
        src = tree(os.path.join(m.dir, "src"))
        run("rsync", "-a", src + "/", m / "r/")
        same(src, m / "r")
        out = run("rsync", "-a", "--stats", src + "/", m / "r/")
        assert b"regular files transferred: 0" in out, out
        write(os.path.join(src, "file 0.txt"), b"changed\n")
        os.unlink(os.path.join(src, "none"))
        out = run("rsync", "-a", "--delete", "--stats", src + "/", m / "r/")
        assert b"regular files transferred: 1" in out, out
        same(src, m / "r")
        out = run("rsync", "-rlcn", "--out-format=%n", src + "/", m / "r/")
        assert out.strip() == b"", out


def test_tar(s):
    need_tool("tar", "tar")
    with Mount(s) as m:
        src = tree(os.path.join(m.dir, "src"))
        run("tar", "cf", m / "t.tar", "-C", src, ".")
        os.mkdir(m / "x")
        run("tar", "xf", m / "t.tar", "-C", m / "x")
        same(src, m / "x")
        run("tar", "czf", m / "t.tgz", "-C", m / "x", ".")
        run("tar", "df", m / "t.tar", "-C", src)


def test_zip(s):
    need_tool("zip", "zip")
    need_tool("unzip", "unzip")
    with Mount(s) as m:
        src = tree(os.path.join(m.dir, "src"))
        run("zip", "-qry", m / "t.zip", ".", cwd=src)
        os.mkdir(m / "x")
        run("unzip", "-q", m / "t.zip", "-d", m / "x")
        same(src, m / "x")
        run("unzip", "-tq", m / "t.zip")


def git(*args, cwd):
    env = dict(os.environ, GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@example.org", GIT_COMMITTER_NAME="a",
               GIT_COMMITTER_EMAIL="a@example.org", GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null")
    return run("git", "-c", "safe.directory=*", "-c", "gc.auto=0", *args, cwd=cwd, env=env)


def test_git(s):
    need_tool("git", "git")
    with Mount(s) as m:
        src = tree(os.path.join(m.dir, "src"))
        git("init", "-q", ".", cwd=src)
        git("add", "-A", cwd=src)
        git("commit", "-qm", "first", cwd=src)
        git("clone", "-q", src, m / "clone", cwd=m.dir)
        assert git("status", "--porcelain", cwd=m / "clone") == b""
        write(m / "clone/new.txt", b"new\n")
        write(m / "clone/none", b"now with text\n")
        git("add", "-A", cwd=m / "clone")
        git("commit", "-qm", "second", cwd=m / "clone")
        assert git("log", "--oneline", cwd=m / "clone").count(b"\n") == 2
        git("fsck", "--full", "--strict", cwd=m / "clone")
        git("checkout", "-q", "HEAD~1", cwd=m / "clone")
        assert not os.path.exists(m / "clone/new.txt") and read(m / "clone/none") == b""
        git("checkout", "-q", "-", cwd=m / "clone")
        git("gc", "-q", cwd=m / "clone")
        git("fsck", cwd=m / "clone")
        git("clone", "-q", m / "clone", os.path.join(m.dir, "again"), cwd=m.dir)
        assert read(os.path.join(m.dir, "again/new.txt")) == b"new\n"


def test_vim(s):
    need_tool("vim", "vim")
    with Mount(s) as m:
        write(m / "text", b"one\ntwo\n")
        os.chmod(m / "text", 0o640)
        run("vim", "-es", "-u", "NONE", "-i", "NONE", "-c", "set backup writebackup backupcopy=auto",
            "-c", "%s/two/three/", "-c", "wq", m / "text")
        assert read(m / "text") == b"one\nthree\n"
        assert s.get("text", bucket=m.bucket) == b"one\nthree\n"
        assert set(os.listdir(m.path)) - {"text~"} == {"text"}, os.listdir(m.path)
        assert os.stat(m / "text").st_mode & 0o777 == 0o640


def test_sed(s):
    with Mount(s) as m:
        write(m / "text", b"one\ntwo\n")
        run("sed", "-i", "s/two/three/", m / "text")
        assert read(m / "text") == b"one\nthree\n" and list_keys(s, m.bucket) == ["text"]


PYTHON = """
import glob, json, mmap, os, pathlib, pickle, shutil, sys, tempfile
os.chdir(sys.argv[1])
json.dump({"a": [1, 2, "ü"]}, open("x.json", "w"))
assert json.load(open("x.json")) == {"a": [1, 2, "ü"]}
pathlib.Path("p/q/r").mkdir(parents=True)
for i in range(5):
    pathlib.Path("p/q/r/%d.txt" % i).write_text("text %d" % i)
assert len(glob.glob("**/*.txt", recursive=True)) == 5
assert sorted(p.name for p in pathlib.Path(".").rglob("*.txt")) == ["%d.txt" % i for i in range(5)]
with open("p/q/r/0.txt", "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as v:
    assert v[:] == b"text 0"
with open("new.tmp", "w") as f:
    f.write("whole")
os.replace("new.tmp", "x.json")
assert open("x.json").read() == "whole"
shutil.copytree("p", "copy")
shutil.copy2("x.json", "y.json")
shutil.move("y.json", "copy/z.json")
pickle.dump(list(range(10000)), open("big.pickle", "wb"))
assert pickle.load(open("big.pickle", "rb"))[-1] == 9999
with tempfile.NamedTemporaryFile(dir=".") as t:
    t.write(b"temporary")
shutil.rmtree("p")
assert not os.path.exists("p") and os.path.exists("copy/q/r/4.txt")
shutil.make_archive("archive", "zip", "copy")
shutil.unpack_archive("archive.zip", "out")
assert open("out/z.json").read() == "whole"
os.truncate("big.pickle", 10)
assert os.path.getsize("big.pickle") == 10
"""


def test_python(s):
    with Mount(s) as m:
        run(sys.executable, "-c", PYTHON, m.path)
        assert s.get("x.json", bucket=m.bucket) == b"whole"
        assert not any(k.startswith("p/") for k in list_keys(s, m.bucket))


def test_sqlite(s):
    need_tool("sqlite3", "sqlite3")
    with Mount(s) as m:
        db = m / "data.db"
        run("sqlite3", db, "create table t(a integer primary key, b text);"
            "insert into t(b) values('x'),('y'),('z');")
        run("sqlite3", db, "begin; insert into t(b) select b||b from t; commit; delete from t where b='y';")
        assert run("sqlite3", db, "select count(*), max(length(b)) from t").strip() == b"5|2"
        assert run("sqlite3", db, "pragma integrity_check").strip() == b"ok"
        m.umount()
        m.start()
        assert run("sqlite3", db, "select count(*) from t").strip() == b"5"


def test_dd(s):
    with Mount(s) as m:
        write(m / "d", b"0" * 5000)
        run("dd", "if=/dev/zero", "of=" + (m / "d"), "bs=100", "seek=10", "count=3", "conv=notrunc", "status=none")
        want = b"0" * 1000 + b"\0" * 300 + b"0" * 3700
        assert read(m / "d") == want and s.get("d", bucket=m.bucket) == want
        run("dd", "if=/dev/urandom", "of=" + (m / "r"), "bs=64k", "count=40", "conv=fsync", "status=none")
        assert len(s.get("r", bucket=m.bucket)) == 40 * 65536
        out = run("dd", "if=" + (m / "d"), "bs=100", "skip=9", "count=2", "status=none")
        assert out == b"0" * 100 + b"\0" * 100


def test_truncate(s):
    with Mount(s) as m:
        run("truncate", "-s", "1M", m / "t")
        assert os.stat(m / "t").st_size == 1 << 20 and s.get("t", bucket=m.bucket) == b"\0" * (1 << 20)
        run("truncate", "-s", "10", m / "t")
        run("truncate", "-s", "+5", m / "t")
        assert read(m / "t") == b"\0" * 15


def test_sort(s):
    with Mount(s) as m:
        lines = [b"%06d\n" % (i * 7919 % 100000) for i in range(20000)]
        write(m / "s", b"".join(lines))
        run("sort", "-o", m / "s", m / "s", env=dict(os.environ, LC_ALL="C"))
        assert read(m / "s") == b"".join(sorted(lines))


def test_gcc(s):
    need_tool("gcc", "gcc")
    need_tool("make", "make")
    with Mount(s) as m:
        write(m / "main.c", b'#include <stdio.h>\n#include "x.h"\nint main(void){printf("%d\\n", X);return 0;}\n')
        write(m / "x.h", b"#define X 42\n")
        write(m / "Makefile", textwrap.dedent("""\
            prog: main.o
            \tgcc -o prog main.o
            main.o: main.c x.h
            \tgcc -c main.c
            """).encode())
        run("make", "-s", cwd=m.path)
        assert run(m / "prog") == b"42\n"
        assert b"up to date" in run("make", cwd=m.path)
        m.umount()
        m.start()
        assert run(m / "prog") == b"42\n"


def test_find_du_grep(s):
    with Mount(s) as m:
        src = tree(os.path.join(m.dir, "src"))
        run("cp", "-a", src, m / "t")

        def both(*command):
            a = sorted(run(*command, cwd=src).splitlines())
            b = sorted(run(*command, cwd=m / "t").splitlines())
            assert a == b, (command, a[:5], b[:5])

        both("find", ".", "-printf", "%P %y\n")
        both("find", ".", "-type", "f", "-printf", "%P %s %T@ %m\n")
        both("find", ".", "-name", "*.txt", "-newermt", "2020-09-13 12:27:00 UTC")
        both("grep", "-r", "-c", "line 7", ".")
        both("du", "--apparent-size", "-ab", "--exclude=.", "a/b c/deep/file 3.txt")
        both("wc", "-c", "file 0.txt", "file 4.txt", "grüße.bin")
        both("md5sum", "grüße.bin", "none")


def test_editors_that_replace(s):
    """Write beside, rename over: what most editors and databases of settings do."""
    with Mount(s) as m:
        write(m / "conf", b"old")
        for temporary in (".conf.swp", "conf~", ".goutputstream-AB12CD", "#conf#", "conf.tmp", ".conf.Xy12Zz"):
            write(m / temporary, b"new " + temporary.encode())
            os.rename(m / temporary, m / "conf")
            assert read(m / "conf") == b"new " + temporary.encode()
            assert s.get("conf", bucket=m.bucket) == read(m / "conf")
        assert os.listdir(m.path) == ["conf"] and list_keys(s, m.bucket) == ["conf"]


def test_rm_and_mv(s):
    with Mount(s) as m:
        src = tree(os.path.join(m.dir, "src"))
        run("cp", "-a", src, m / "t")
        run("mv", m / "t", m / "moved")
        same(src, m / "moved")
        run("mv", m / "moved", os.path.join(m.dir, "out"))
        same(src, os.path.join(m.dir, "out"))
        assert os.listdir(m.path) == []
        run("mv", os.path.join(m.dir, "out"), m / "in")
        same(src, m / "in")
        run("rm", "-r", m / "in")
        assert os.listdir(m.path) == [] and list_keys(s, m.bucket) == []


def main():
    need_fuse()
    tests = [f for name, f in list(globals().items()) if name.startswith("test_")]
    only = sys.argv[1:]
    assert shutil.which("diff"), "diffutils"
    with server() as s:
        run_tests([f for f in tests if not only or f.__name__[5:] in only], s)


if __name__ == "__main__":
    main()
