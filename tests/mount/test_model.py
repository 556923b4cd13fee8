#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The same random operations on a mount and on a local folder: both end the same, errors too.

Each step is done in both; every 50 steps, and after each remount, the trees are compared: names, kinds, contents,
targets of links, modes, times and extended attributes of files. Modes and times of folders are not compared: what is
at the server decides those of a folder that other programs made (docs/architecture.md).

A failing run is made smaller by leaving steps out (delta debugging) and printed as a list that SUPAFS_MODEL_REPLAY
runs again.

SUPAFS_MODEL_STEPS    how many steps (300)
SUPAFS_MODEL_SEED     seeds, with commas between them (1,2)
SUPAFS_MODEL_SHRINK   seconds for making a failure smaller (120; 0: not at all)
SUPAFS_MODEL_REPLAY   a file with a list of steps, as a failure prints it
SUPAFS_MODEL_OPTIONS  options of the mount for that (with commas between them)"""
import ast
import ctypes
import errno
import os
import random
import stat
import sys
import tempfile
import time

from mountlib import Mount, need_fuse, run_tests, server

STEPS = int(os.environ.get("SUPAFS_MODEL_STEPS", "300"))
SEEDS = [int(x) for x in os.environ.get("SUPAFS_MODEL_SEED", "1,2").split(",")]
SHRINK_S = float(os.environ.get("SUPAFS_MODEL_SHRINK", "120"))
REPLAY = os.environ.get("SUPAFS_MODEL_REPLAY")
COMPARE_EVERY = 50
REMOUNT_EVERY = 150
MODES = (0o600, 0o640, 0o644, 0o664, 0o755)
NAMES = (b"a", b"b", b"a.txt", b"A", b"a-b", b"z=2F", b"=3D", b"x=C3", b"caf\xc3\xa9", b"\xff\x01", b" lead", b"trail ",
         b"new\nline", b"a#1", b"50%", b"\xe6\x97\xa5.txt", b"[x] {y}", b'q"\\', b".hidden", b"...", b"-rf", b"?*",
         b"n.emptyFolderPlaceholder", b".emptyFolderPlaceholder.x", b".emptyFolderPlaceholde", b"e\xcc\x81",
         b"b~", b".a.swp", b".a.txt.AbC123")  # temporary ones: sent when renamed, or at the end
# No name of another one plus "=2F": it finds a folder of that other name (docs/names.md).
LONG = (b"L" * 255, b"\xc3\xa9" * 42, b"%" * 85, b"l=AF" * 40)  # files in the root only: a key has 960 bytes
XATTRS = ("user.a", "user.Author", "user.x-y_z", "user.caf\xe9")
SAME_ERRORS = {errno.EEXIST: errno.ENOTEMPTY}  # a rename onto a folder that is not empty: POSIX allows both
RENAME_NOREPLACE = 1
AT_FDCWD = -100
LIBC = ctypes.CDLL(None, use_errno=True)


def rename_noreplace(old, new):
    if LIBC.renameat2(AT_FDCWD, old, AT_FDCWD, new, RENAME_NOREPLACE) != 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e), old)


def data_of(seed, n):
    return random.Random(seed).randbytes(n)


class Model:
    """`take` does one step, a tuple of a kind and plain values, so that a list of them can be run again."""

    def __init__(self, m, local):
        self.m = m
        self.roots = (os.fsencode(m.path), os.fsencode(local))
        self.done = []

    # --- both sides

    def both(self, kind, do):
        """do(root) in both; its error must be the same. Returns whether it was done."""
        ends = []
        for root in self.roots:
            try:
                do(root)
                ends.append(0)
            except OSError as e:
                ends.append(SAME_ERRORS.get(e.errno, e.errno) if kind.startswith("rename") else e.errno)
        assert ends[0] == ends[1], "%s: the mount says %s, the local folder %s" % (
            self.done[-1], *(errno.errorcode.get(e, e) for e in ends))
        return ends[0] == 0

    def same_time(self, path, before, old=None):
        """A write took the time of the moment: from here on the local file has the mount's. `old`: the time
        before, where what was done may keep it."""
        there, here = (os.path.join(root, path) for root in self.roots)
        ns = os.lstat(there).st_mtime_ns
        assert ns == old or before - 10**9 <= ns <= time.time_ns() + 10**9, (path, ns, old)
        os.utime(here, ns=(ns, ns), follow_symlinks=False)

    def here(self, path):
        try:
            return os.lstat(os.path.join(self.roots[1], path))
        except OSError:
            return None

    def time_of(self, path):
        """The mount's time of change; None when it has no such name."""
        try:
            return os.lstat(os.path.join(self.roots[0], path)).st_mtime_ns
        except OSError:
            return None

    # --- the steps

    def store(self, kind, path, flags, off, seed, n):
        before, data = time.time_ns(), data_of(seed, n)
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

        if self.both(kind, do):
            self.same_time(path, before, old)

    def do_create(self, path, seed, n):
        self.store("create", path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0, seed, n)

    def do_exclusive(self, path, seed, n):
        self.store("exclusive", path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0, seed, n)

    def do_write(self, path, seed, n, off):
        self.store("write", path, os.O_WRONLY, off, seed, n)

    def do_append(self, path, seed, n):
        self.store("append", path, os.O_WRONLY | os.O_APPEND, 0, seed, n)

    def do_truncate(self, path, size):
        before, old, now = time.time_ns(), self.time_of(path), self.here(path)
        if self.both("truncate", lambda root: os.truncate(os.path.join(root, path), size)):
            self.same_time(path, before, old if now and now.st_size == size else None)

    def do_rename(self, path, to):
        self.both("rename", lambda root: os.rename(os.path.join(root, path), os.path.join(root, to)))

    def do_rename_new(self, path, to):
        self.both("rename new", lambda root: rename_noreplace(os.path.join(root, path), os.path.join(root, to)))

    def do_open_while(self, path, to, seed, n):
        """A file is renamed, replaced or (`to` is None) removed while it is open and written to, on both sides of
        that."""
        first, second = data_of(seed, n), data_of(seed + 1, 100)
        before, seen = time.time_ns(), []

        def do(root):
            with open(os.path.join(root, path), "r+b", buffering=0) as f:
                f.write(first)
                if to is None:
                    os.unlink(os.path.join(root, path))
                else:
                    os.rename(os.path.join(root, path), os.path.join(root, to))
                f.write(second)
                f.seek(0)
                seen.append(f.read())

        done = self.both("rename open", do)
        assert len(seen) in (0, 2) and seen[:1] == seen[1:], "the open file reads otherwise"
        if done and to is not None:
            self.same_time(to, before)
        elif not done and self.here(path):
            self.same_time(path, before, self.time_of(path))  # the first write may be done all the same

    def do_unlink(self, path):
        self.both("unlink", lambda root: os.unlink(os.path.join(root, path)))

    def do_mkdir(self, path):
        self.both("mkdir", lambda root: os.mkdir(os.path.join(root, path)))

    def do_rmdir(self, path):
        self.both("rmdir", lambda root: os.rmdir(os.path.join(root, path)))

    def do_symlink(self, path, target):
        before = time.time_ns()
        if self.both("symlink", lambda root: os.symlink(target, os.path.join(root, path))):
            self.same_time(path, before)

    def do_chmod(self, path, mode):
        self.both("chmod", lambda root: os.chmod(os.path.join(root, path), mode))

    def do_utime(self, path, ns):
        self.both("utime", lambda root: os.utime(os.path.join(root, path), ns=(ns, ns), follow_symlinks=False))

    def do_setxattr(self, path, name, seed, n):
        self.both("setxattr", lambda root: os.setxattr(os.path.join(root, path), name, data_of(seed, n)))

    def do_removexattr(self, path, name):
        self.both("removexattr", lambda root: os.removexattr(os.path.join(root, path), name))

    def do_remount(self):
        code, said = self.m.umount()
        assert code == 0, said
        self.m.start()

    def do_compare(self):
        there, here = (self.look(root) for root in self.roots)
        wrong = ["%r: mount %s, local %s" % (k, there.get(k), here.get(k))
                 for k in sorted(there.keys() | here.keys()) if there.get(k) != here.get(k)]
        assert not wrong, "\n".join(wrong[:10])

    def take(self, step):
        self.done.append(step)
        getattr(self, "do_" + step[0])(*step[1:])

    # --- looking

    @staticmethod
    def xattrs(full):
        try:
            return sorted((name, os.getxattr(full, name)) for name in os.listxattr(full) if name.startswith("user."))
        except OSError as e:
            if e.errno != errno.ENOTSUP:
                raise
            return []

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
                found[inner] = ("file", oct(stat.S_IMODE(st.st_mode)), st.st_mtime_ns, len(data), hash(data),
                                self.xattrs(full))
        return found


class Chooser:
    """Draws steps that fit what is in the local folder."""

    def __init__(self, seed, model, xattrs):
        self.rng, self.model, self.with_xattrs = random.Random(seed), model, xattrs
        self.folders, self.others = [b""], []

    def look(self):
        """Everything below the local root, as relative paths: folders with b"" for the root, and others."""
        root = self.model.roots[1]
        self.folders, self.others = [b""], []
        for base, dirs, files in os.walk(root):
            inner = os.path.relpath(base, root)
            for names, into in (dirs, self.folders), (files, self.others):
                for name in names:
                    path = name if inner == b"." else inner + b"/" + name
                    link = os.path.islink(os.path.join(root, path))
                    (self.others if link else into).append(path)
        self.folders.sort()
        self.others.sort()

    def is_file(self, path):
        st = self.model.here(path)
        return st is not None and stat.S_ISREG(st.st_mode)

    def new_path(self):
        folder = self.rng.choice([f for f in self.folders if f.count(b"/") < 3])
        name = self.rng.choice(NAMES)
        return folder + b"/" + name if folder else name

    def a_file(self):
        files = [f for f in self.others if self.is_file(f)]
        return self.rng.choice(files) if files else None

    def data(self):
        return self.rng.randrange(1 << 30), self.rng.choice((0, 1, 100, 5000, 200000))

    def create(self):
        path = self.rng.choice(LONG) if self.rng.random() < 0.05 else self.new_path()
        return ("create", path, *self.data())

    def exclusive(self):
        return ("exclusive", self.new_path(), *self.data())

    def write(self):
        return self.others and ("write", self.rng.choice(self.others), *self.data(),
                                self.rng.choice((0, 10, 4096, 70000)))

    def append(self):
        return self.others and ("append", self.rng.choice(self.others), *self.data())

    def truncate(self):
        path = self.a_file()
        return path and ("truncate", path, self.rng.choice((0, 1, 50, 6000, 150000)))

    def rename(self):
        old = self.rng.choice(self.folders[1:] + self.others) if self.folders[1:] + self.others else b"a"
        new = self.rng.choice((self.new_path(), self.rng.choice(self.folders + self.others)))
        kind = "rename_new" if self.rng.random() < 0.2 else "rename"
        return old and new and (kind, old, new)

    def open_while(self):
        path = self.a_file()
        if not path:
            return None
        to = None if self.rng.random() < 0.4 else self.rng.choice((self.new_path(), self.a_file()))
        return ("open_while", path, to, self.rng.randrange(1 << 30), self.rng.choice((1, 3000, 150000)))

    def unlink(self):
        return ("unlink", self.rng.choice(self.others + self.folders[1:2] + [b"b"]))

    def mkdir(self):
        return ("mkdir", self.new_path())

    def rmdir(self):
        return ("rmdir", self.rng.choice(self.folders[1:] + self.others[:1] + [b"a"]))

    def symlink(self):
        return ("symlink", self.new_path(), self.rng.choice(NAMES))

    def chmod(self):
        path = self.a_file()
        return path and ("chmod", path, self.rng.choice(MODES))

    def utime(self):
        return self.others and ("utime", self.rng.choice(self.others), self.rng.randrange(10**18, 2 * 10**18))

    def xattr(self):
        path = self.a_file()
        if not path or not self.with_xattrs:
            return None
        name = self.rng.choice(XATTRS)
        if self.rng.random() < 0.3:
            return ("removexattr", path, name)
        return ("setxattr", path, name, self.rng.randrange(1 << 30), self.rng.choice((0, 3, 100)))

    def next(self):
        self.look()
        ways = {self.create: 6, self.exclusive: 3, self.write: 5, self.append: 4, self.truncate: 2, self.rename: 7,
                self.open_while: 4, self.unlink: 4, self.mkdir: 4, self.rmdir: 3, self.symlink: 2, self.chmod: 3,
                self.utime: 4, self.xattr: 3}
        if len(self.others) > 80:
            ways[self.unlink] = 30
        step = None
        while not step:
            step = self.rng.choices(list(ways), list(ways.values()))[0]()
        return step


# --- Runs ---------------------------------------------------------------------------------------------------------


class Pair:
    """A mount of a new bucket and a new local folder."""

    def __init__(self, s, options):
        self.m = Mount(s, options=options)

    def __enter__(self):
        self.m.__enter__()
        local = tempfile.mkdtemp(prefix="local-", dir=self.m.dir)
        return Model(self.m, local)

    def __exit__(self, *args):
        return self.m.__exit__(*args)


def has_xattrs(model):
    """On both sides?"""
    for root in model.roots:
        path = os.path.join(root, b"probe of xattrs")
        try:
            with open(path, "wb") as f:
                os.setxattr(f.fileno(), "user.a", b"1")
        except OSError:
            return False
        finally:
            os.unlink(path)
    return True


def fails(s, options, steps):
    """How these steps fail: (the kind of it, why), or None. Steps of one kind are of one kind of failure."""
    model = None
    try:
        with Pair(s, options) as model:
            for step in steps:
                model.take(step)
            model.take(("compare",))
    except (AssertionError, OSError, RuntimeError) as e:
        return ((type(e), model.done[-1][0] if model and model.done else ""), e)
    return None


def shrink(s, options, steps, kind):
    """Leaves out what the failure does not need."""
    end, size = time.monotonic() + SHRINK_S, max(1, len(steps) // 2)
    while time.monotonic() < end:
        at, shorter = 0, False
        while at < len(steps) and time.monotonic() < end:
            less = steps[:at] + steps[at + size:]
            found = fails(s, options, less)
            if found and found[0] == kind:
                steps, shorter = less, True
            else:
                at += size
        if size == 1 and not shorter:
            break
        size = max(1, size // 2)
    return steps


def report(s, options, seed, steps):
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)  # each try would print its daemon's log
        again = fails(s, options, steps) if SHRINK_S > 0 else None
        small = shrink(s, options, steps, again[0]) if again else steps
        why = again and fails(s, options, small)
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)
    print("# seed %s, options %r: %d steps, %d after shrinking%s" % (
        seed, ",".join(options), len(steps), len(small), "" if again or not SHRINK_S else " (does not fail again)"))
    if why:
        print("# " + str(why[1]).replace("\n", "\n# "))
    print("# SUPAFS_MODEL_REPLAY: [")
    for step in small[-200:]:
        print("#  %r," % (step,))
    print("# ]", flush=True)


def walk(s, seed, options=()):
    options = list(options)
    print("# seed %d, %d steps, options %r" % (seed, STEPS, ",".join(options)), flush=True)
    model = None
    try:
        with Pair(s, options) as model:
            chooser = Chooser(seed, model, has_xattrs(model))
            for number in range(1, STEPS + 1):
                model.take(chooser.next())
                if number % REMOUNT_EVERY == 0 or number == STEPS:
                    model.take(("remount",))
                if number % COMPARE_EVERY == 0 or number == STEPS:
                    model.take(("compare",))
            print("# %d entries at the end%s" % (
                len(model.look(model.roots[1])), "" if chooser.with_xattrs else ", without xattrs"))
    except (AssertionError, OSError, RuntimeError):
        if model:
            report(s, options, seed, model.done)
        raise


def test_first_seeds(s):
    for seed in SEEDS:
        walk(s, seed)


def test_without_ttl(s):
    walk(s, SEEDS[0] + 1000, ["ttl=0"])


def test_writeback(s):
    for seed in SEEDS:
        walk(s, seed + 2000, ["writeback"])


def test_writeback_little_memory(s):
    walk(s, SEEDS[0] + 3000, ["writeback", "memory=8M", "uploads=1"])


def test_replay(s):
    """A list of steps from a file; only where SUPAFS_MODEL_REPLAY names one."""
    with open(REPLAY, encoding="utf-8") as f:
        steps = ast.literal_eval("".join(line.lstrip("#") for line in f))
    options = os.environ.get("SUPAFS_MODEL_OPTIONS", "")
    why = fails(s, options.split(",") if options else [], steps)
    assert why is None, why[1]


def main():
    need_fuse()
    tests = [f for name, f in list(globals().items()) if name.startswith("test_") and (REPLAY or f is not test_replay)]
    only = sys.argv[1:]
    with server() as s:
        run_tests([f for f in tests if not only or f.__name__[5:] in only], s)


if __name__ == "__main__":
    main()
