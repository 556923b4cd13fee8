#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The same random operations on a mount and on a local folder: both end the same, errors too.

Each step is done in both; every 50 steps, and after each remount, the trees are compared: names, kinds, contents,
targets of links, modes and times of files. SUPAFS_MODEL_STEPS asks for more steps, SUPAFS_MODEL_SEED for another
seed. Modes and times of folders are not kept (docs/architecture.md), so they are not compared."""
import errno
import os
import random
import stat
import sys
import time

from mountlib import Mount, need_fuse, run_tests, server

STEPS = int(os.environ.get("SUPAFS_MODEL_STEPS", "300"))
SEEDS = [int(x) for x in os.environ.get("SUPAFS_MODEL_SEED", "1,2").split(",")]
COMPARE_EVERY = 50
REMOUNT_EVERY = 150
MODES = (0o600, 0o640, 0o644, 0o664, 0o755)
NAMES = (b"a", b"b", b"a.txt", b"A", b"a-b", b"z=2F", b"=3D", b"x=C3", b"caf\xc3\xa9", b"\xff\x01", b" lead", b"trail ",
         b"new\nline", b"a#1", b"50%", b"\xe6\x97\xa5.txt", b"[x] {y}", b'q"\\', b".hidden", b"...", b"-rf", b"?*",
         b"b~", b".a.swp", b".a.txt.AbC123")  # temporary ones: sent when renamed, or at the end
# No name of another one plus "=2F": it finds a folder of that other name (docs/names.md).
SAME_ERRORS = {errno.EEXIST: errno.ENOTEMPTY}  # a rename onto a folder that is not empty: POSIX allows both


def chance(rng):
    return rng.random() < 0.4


class Model:
    def __init__(self, seed, mounted, local):
        self.rng = random.Random(seed)
        self.roots = (os.fsencode(mounted), os.fsencode(local))
        self.done = []

    def paths(self):
        """Everything below the local root, as relative paths: (folders with b"" for the root, others)."""
        folders, others = [b""], []
        for base, dirs, files in os.walk(self.roots[1]):
            inner = os.path.relpath(base, self.roots[1])
            for names, into in (dirs, folders), (files, others):
                for name in sorted(names):
                    path = name if inner == b"." else inner + b"/" + name
                    link = os.path.islink(os.path.join(self.roots[1], path))
                    (others if link else into).append(path)
        return sorted(folders), sorted(others)

    def new_path(self, folders):
        folder = self.rng.choice([f for f in folders if f.count(b"/") < 3])
        name = self.rng.choice(NAMES)
        return folder + b"/" + name if folder else name

    def both(self, what, do):
        """do(root) in both; its error must be the same. Returns whether it was done."""
        ends = []
        self.done.append(what)
        for root in self.roots:
            try:
                do(root)
                ends.append(0)
            except OSError as e:
                ends.append(SAME_ERRORS.get(e.errno, e.errno) if what[0] == "rename" else e.errno)
        assert ends[0] == ends[1], "%s: the mount says %s, the local folder %s" % (
            what, *(errno.errorcode.get(e, e) for e in ends))
        return ends[0] == 0

    def same_time(self, path, before, old=None):
        """A write took the time of the moment: from here on the local file has the mount's. `old`: the time
        before, where what was done may keep it."""
        there, here = (os.path.join(root, path) for root in self.roots)
        ns = os.lstat(there).st_mtime_ns
        assert ns == old or before - 10**9 <= ns <= time.time_ns() + 10**9, (path, ns, old)
        os.utime(here, ns=(ns, ns), follow_symlinks=False)

    def time_of(self, path):
        """The mount's time of change; None when it has no such name."""
        try:
            return os.lstat(os.path.join(self.roots[0], path)).st_mtime_ns
        except OSError:
            return None

    def is_file(self, path):
        try:
            return stat.S_ISREG(os.lstat(os.path.join(self.roots[1], path)).st_mode)
        except OSError:
            return False

    def store(self, what, path, flags, off):
        data = self.rng.randbytes(self.rng.choice((0, 1, 100, 5000, 200000)))
        before = time.time_ns()
        old = None if data else self.time_of(path)

        def do(root):
            fd = os.open(os.path.join(root, path), flags | os.O_NOFOLLOW, 0o644)
            try:
                if flags & os.O_APPEND:
                    os.write(fd, data)
                else:
                    os.pwrite(fd, data, off)
            finally:
                os.close(fd)

        if self.both((what, path, off, len(data)), do):
            self.same_time(path, before, old)
            if self.rng.random() < 0.5:
                self.set_time(path)

    def set_time(self, path):
        ns = self.rng.randrange(10**18, 2 * 10**18)
        self.both(("utime", path, ns),
                  lambda root: os.utime(os.path.join(root, path), ns=(ns, ns), follow_symlinks=False))

    def create(self, folders, others):
        self.store("create", self.new_path(folders), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0)

    def exclusive(self, folders, others):
        self.store("exclusive", self.new_path(folders), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0)

    def write(self, folders, others):
        if others:
            self.store("write", self.rng.choice(others), os.O_WRONLY, self.rng.choice((0, 10, 4096, 70000)))

    def append(self, folders, others):
        if others:
            self.store("append", self.rng.choice(others), os.O_WRONLY | os.O_APPEND, 0)

    def truncate(self, folders, others):
        path = self.rng.choice(others) if others else None
        size = self.rng.choice((0, 1, 50, 6000))
        before = time.time_ns()
        if not path or not self.is_file(path):
            return
        st = os.stat(os.path.join(self.roots[0], path))
        if self.both(("truncate", path, size), lambda root: os.truncate(os.path.join(root, path), size)):
            self.same_time(path, before, st.st_mtime_ns if st.st_size == size else None)

    def rename(self, folders, others):
        old = self.rng.choice(folders[1:] + others) if folders[1:] + others else b"a"
        new = self.rng.choice((self.new_path(folders), self.rng.choice(folders + others)))
        if old and new:
            self.both(("rename", old, new),
                      lambda root: os.rename(os.path.join(root, old), os.path.join(root, new)))

    def open_while(self, folders, others):
        """A file is renamed, replaced or removed while it is open and written to, on both sides of that."""
        files = [f for f in others if self.is_file(f)]
        if not files:
            return
        path, new, gone = self.rng.choice(files), self.rng.choice((self.new_path(folders), *files)), chance(self.rng)
        first, second = self.rng.randbytes(self.rng.choice((1, 3000, 150000))), self.rng.randbytes(100)
        before, seen = time.time_ns(), []

        def do(root):
            with open(os.path.join(root, path), "r+b", buffering=0) as f:
                f.write(first)
                if gone:
                    os.unlink(os.path.join(root, path))
                else:
                    os.rename(os.path.join(root, path), os.path.join(root, new))
                f.write(second)
                f.seek(0)
                seen.append(f.read())

        done = self.both(("unlink open", path) if gone else ("rename open", path, new), do)
        assert len(seen) in (0, 2) and seen[:1] == seen[1:], "the open file reads otherwise"
        if done and not gone:
            self.same_time(new, before)
        elif not done:
            self.same_time(path, before)  # the first write is done all the same

    def unlink(self, folders, others):
        path = self.rng.choice(others + folders[1:2] + [b"b"])
        self.both(("unlink", path), lambda root: os.unlink(os.path.join(root, path)))

    def mkdir(self, folders, others):
        path = self.new_path(folders)
        self.both(("mkdir", path), lambda root: os.mkdir(os.path.join(root, path)))

    def rmdir(self, folders, others):
        path = self.rng.choice(folders[1:] + others[:1] + [b"a"])
        self.both(("rmdir", path), lambda root: os.rmdir(os.path.join(root, path)))

    def symlink(self, folders, others):
        path, target = self.new_path(folders), self.rng.choice(NAMES)
        before = time.time_ns()
        if self.both(("symlink", path), lambda root: os.symlink(target, os.path.join(root, path))):
            self.same_time(path, before)

    def chmod(self, folders, others):
        path, mode = self.rng.choice(others) if others else b"a", self.rng.choice(MODES)
        if self.is_file(path):
            self.both(("chmod", path, oct(mode)), lambda root: os.chmod(os.path.join(root, path), mode))

    def utime(self, folders, others):
        if others:
            self.set_time(self.rng.choice(others))

    def step(self):
        ways = {self.create: 6, self.exclusive: 3, self.write: 5, self.append: 4, self.truncate: 2, self.rename: 6, self.open_while: 4,
                self.unlink: 4, self.mkdir: 4, self.rmdir: 3, self.symlink: 2, self.chmod: 3, self.utime: 3}
        self.rng.choices(list(ways), list(ways.values()))[0](*self.paths())

    def look(self, root, path=b""):
        """The tree as a dict: path -> what is compared."""
        found = {}
        for name in sorted(os.listdir(os.path.join(root, path))):
            inner = os.path.join(path, name)
            full = os.path.join(root, inner)
            st = os.lstat(full)
            if stat.S_ISDIR(st.st_mode):
                found[inner] = ("folder",)
                found.update(self.look(root, inner))
            elif stat.S_ISLNK(st.st_mode):
                found[inner] = ("link", os.readlink(full), st.st_mtime_ns)
            else:
                with open(full, "rb") as f:
                    data = f.read()
                assert len(data) == st.st_size, (inner, len(data), st.st_size)
                found[inner] = ("file", oct(stat.S_IMODE(st.st_mode)), st.st_mtime_ns, len(data), hash(data))
        return found

    def compare(self):
        there, here = (self.look(root) for root in self.roots)
        wrong = ["%r: mount %s, local %s" % (k, there.get(k), here.get(k))
                 for k in sorted(there.keys() | here.keys()) if there.get(k) != here.get(k)]
        assert not wrong, "\n".join(wrong[:10])
        return len(here)


def walk(s, seed, options=()):
    print("# seed %d, %d steps" % (seed, STEPS), flush=True)
    with Mount(s, options=options) as m:
        local = os.path.join(m.dir, "local")
        os.mkdir(local)
        model = Model(seed, m.path, local)
        try:
            for number in range(1, STEPS + 1):
                model.step()
                if number % REMOUNT_EVERY == 0 or number == STEPS:
                    code, said = m.umount()
                    assert code == 0, said
                    m.start()
                if number % COMPARE_EVERY == 0 or number == STEPS:
                    model.compare()
            print("# %d entries at the end" % model.compare())
        except BaseException:
            print("# seed %d, the last steps:" % seed)
            for what in model.done[-30:]:
                print("#   %s" % (what,))
            raise


def test_first_seeds(s):
    for seed in SEEDS:
        walk(s, seed)


def test_without_ttl(s):
    walk(s, SEEDS[0] + 1000, ["ttl=0"])


def main():
    need_fuse()
    tests = [f for name, f in list(globals().items()) if name.startswith("test_")]
    only = sys.argv[1:]
    with server() as s:
        run_tests([f for f in tests if not only or f.__name__[5:] in only], s)


if __name__ == "__main__":
    main()
