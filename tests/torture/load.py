# SPDX-License-Identifier: Apache-2.0
"""One worker of the crash test: random operations below one folder of a mount, each in its log (worlds.py) before
it begins and after it has ended. Ends by itself when the mount is dead, when it is told to, or after `most`
operations."""
import ctypes
import errno
import json
import os
import random

import worlds

NAMES = ("a", "b.txt", "c d", "notes.md", "\u00e9t\u00e9.dat", "index.json", "x", "y=z")
SIZES = ((1, 200),) * 5 + ((0, 0), (4000, 9000), (4000, 9000), (60000, 300000), (60000, 300000), (1 << 20, 3 << 20))
KEEP_SIZE, ZERO_RANGE = 1, 16  # fallocate(2)
LIBC = ctypes.CDLL(None, use_errno=True)


class Stop(Exception):
    """The mount is gone, or enough is done."""


class Load:
    def __init__(self, root, folder, log, state, seed, gen):
        self.root, self.folder, self.state = root, folder, state
        self.rng = random.Random(seed)
        self.gen, self.last = gen, None
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    # --- the log

    def note(self, row):
        os.write(self.log, json.dumps(row).encode() + b"\n")

    def do(self, op, act):
        """0, or the errno."""
        self.last = op
        self.note(op)
        self.state.begin(op)
        try:
            act(os.path.join(self.root, op["path"]))
            result = 0
        except OSError as e:
            if e.errno in worlds.DEAD:
                raise Stop from e  # no outcome
            result = e.errno
        self.note({"r": result})
        self.state.end(result)
        if len(self.state.worlds) > worlds.WORLDS_MAX // 2:
            raise Stop
        return result

    # --- what to work on

    def world(self):
        return self.state.worlds[0]

    def files(self):
        return sorted(p for p, c in self.world().items() if c != worlds.FOLDER and p.startswith(self.folder + "/"))

    def folders(self):
        return sorted(p for p, c in self.world().items()
                      if c == worlds.FOLDER and (p + "/").startswith(self.folder + "/"))

    def a_file(self):
        files = self.files()
        return self.rng.choice(files) if files else None

    def new_path(self):
        folder = self.rng.choice([f for f in self.folders() if f.count("/") < 3])
        return folder + "/" + self.rng.choice(NAMES) + self.rng.choice(("", "", "1", "2"))

    def sizes(self):
        return self.rng.randint(*self.rng.choice(SIZES))

    def stream_op(self, kind, path, n, **more):
        self.gen += 1
        return {"op": kind, "path": path, "gen": self.gen, "n": n, **more}

    def bytes_of(self, op):
        return worlds.stream(op["gen"], op["n"], op["path"])

    # --- operations

    def write_all(self, fd, data):
        step = self.rng.choice((len(data) or 1, 70000, 8192))
        for at in range(0, len(data), step):
            os.write(fd, data[at:at + step])

    def save(self, path=None):
        op = self.stream_op("save", path or self.new_path(), self.sizes())

        def act(full):
            fd = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            with Closing(fd):
                self.write_all(fd, self.bytes_of(op))

        return self.do(op, act)

    def sync(self):
        n = self.sizes() + 300
        op = self.stream_op("sync", self.a_file() or self.new_path(), n, first=self.rng.randint(200, n))

        def act(full):
            fd = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            with Closing(fd):
                self.write_all(fd, self.bytes_of(op)[:op["first"]])
                os.fsync(fd)
                self.note({"sync": 0})
                self.state.sync()
                self.write_all(fd, self.bytes_of(op)[op["first"]:])

        return self.do(op, act)

    def into(self, op, flags):
        def act(full):
            fd = os.open(full, os.O_WRONLY | flags)
            with Closing(fd):
                if "off" in op:
                    os.lseek(fd, op["off"], os.SEEK_SET)
                self.write_all(fd, self.bytes_of(op))

        return self.do(op, act)

    def append(self):
        path = self.a_file()
        if path:
            self.into(self.stream_op("append", path, max(1, self.sizes() // 4)), os.O_APPEND)

    def patch(self):
        path = self.a_file()
        if path:
            off = self.rng.randint(0, worlds.size_of(self.world()[path]) + 500)
            self.into(self.stream_op("patch", path, max(1, self.sizes() // 4), off=off), 0)

    def cut(self):
        path = self.a_file()
        if path:
            n = self.rng.randint(0, worlds.size_of(self.world()[path]) + 3000)
            self.do({"op": "cut", "path": path, "n": n}, lambda full: os.truncate(full, n))

    def zero(self):
        path = self.a_file()
        if path:
            size = worlds.size_of(self.world()[path])
            off = self.rng.randint(0, size)
            n = self.rng.choice((1, 5000, size + 1))

            def act(full):
                fd = os.open(full, os.O_WRONLY)
                with Closing(fd):
                    if LIBC.fallocate(fd, ZERO_RANGE | KEEP_SIZE, ctypes.c_long(off), ctypes.c_long(n)) != 0:
                        e = ctypes.get_errno()
                        raise OSError(e, os.strerror(e))

            self.do({"op": "zero", "path": path, "off": off, "n": n}, act)

    def replace(self):
        """As editors and rsync do: a temporary name, then over the old one."""
        path = self.a_file() or self.new_path()
        folder, _, name = path.rpartition("/")
        form = self.rng.choice((".%s.AbC%03d" % (name, self.rng.randrange(1000)), name + "~", ".%s.swp" % name,
                                "tmp-" + name))
        if self.save(folder + "/" + form) == 0:
            self.rename(folder + "/" + form, path)

    def rename(self, path=None, to=None):
        path = path or self.a_file()
        to = to or self.rng.choice([self.new_path(), self.new_path(), self.a_file() or self.new_path()])
        if path and path != to:
            op = {"op": "rename", "path": path, "to": to}
            self.do(op, lambda full: os.rename(full, os.path.join(self.root, to)))

    def rename_folder(self):
        folders = self.folders()[1:]
        if folders:
            path, to = self.rng.choice(folders), self.new_path()
            if not (to + "/").startswith(path + "/"):
                self.rename(path, to)

    def unlink(self, path=None):
        path = path or self.a_file()
        if path:
            self.do({"op": "unlink", "path": path}, os.unlink)

    def mkdir(self):
        path = self.new_path()
        self.do({"op": "mkdir", "path": path}, os.mkdir)

    def rmdir(self, path=None):
        path = path or self.rng.choice(self.folders()[1:] or [self.folder + "/x"])
        self.do({"op": "rmdir", "path": path}, os.rmdir)

    def remove_tree(self):
        """rm -rf, as find -delete does it."""
        folders = self.folders()[1:]
        if folders:
            top = self.rng.choice(folders)
            inside = [p for p in self.world() if (p + "/").startswith(top + "/")]
            for path in sorted(inside, key=lambda p: (-p.count("/"), p)):
                (self.rmdir if self.world().get(path) == worlds.FOLDER else self.unlink)(path)

    def many(self):
        """A folder of small files, for the bursts."""
        path = self.new_path()
        if path not in self.world() and self.do({"op": "mkdir", "path": path}, os.mkdir) == 0:
            for number in range(self.rng.randint(3, 25)):
                self.save_small("%s/f%02d" % (path, number))

    def save_small(self, path):
        op = self.stream_op("save", path, self.rng.randint(1, 300))

        def act(full):
            fd = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            with Closing(fd):
                os.write(fd, self.bytes_of(op))

        self.do(op, act)

    def attributes(self):
        path = self.a_file()
        if path and self.rng.random() < 0.5:
            mode = self.rng.choice((0o600, 0o640, 0o644))
            self.do({"op": "chmod", "path": path}, lambda full: os.chmod(full, mode))
        elif path:
            ns = self.rng.randrange(10**18, 2 * 10**18)
            self.do({"op": "utime", "path": path}, lambda full: os.utime(full, ns=(ns, ns)))

    def read(self):
        path = self.a_file()
        if not path:
            return
        try:
            with open(os.path.join(self.root, path), "rb", buffering=0) as f:
                data = f.readall()
        except OSError as e:
            if e.errno in worlds.DEAD:
                raise Stop from e
            if e.errno == errno.ENOENT and all(path in w for w in self.state.worlds):
                self.bad("%r is not there" % path)
            return
        if not self.state.may_read(path, data):
            self.bad("%r reads as %s" % (path, worlds.tell(data)))

    def bad(self, text):
        self.note({"bad": text})
        raise Stop

    def step(self):
        ways = ((self.save, 10), (self.sync, 3), (self.append, 5), (self.patch, 4), (self.cut, 3), (self.zero, 2),
                (self.replace, 8),
                (self.rename, 6), (self.rename_folder, 3), (self.unlink, 4), (self.mkdir, 4), (self.rmdir, 2),
                (self.remove_tree, 1), (self.many, 2), (self.attributes, 3), (self.read, 6))
        if len(self.files()) > 60:
            ways += ((self.remove_tree, 10), (self.unlink, 10))
        self.rng.choices([w for w, _ in ways], [n for _, n in ways])[0]()

    def run(self, told_to_end, most):
        try:
            for _ in range(most):
                if told_to_end():
                    return
                self.step()
        except Stop:
            pass
        except worlds.Impossible as e:
            self.note({"bad": "%s; now: %s" % (e, self.chain())})

    def chain(self):
        """What the mount says of the last operation's path, folder by folder: for a wrong ENOENT."""
        said, path = [], self.last.get("to") or self.last["path"]
        while path:
            try:
                mode = os.lstat(os.path.join(self.root, path)).st_mode
                said.append("%r %o" % (path, mode))
            except OSError as e:
                said.append("%r %s" % (path, errno.errorcode.get(e.errno, e.errno)))
            path = worlds.parent(path)
        return ", ".join(said)


class Closing:
    """Closes, and its error counts, but never instead of an earlier one."""

    def __init__(self, fd):
        self.fd = fd

    def __enter__(self):
        return self.fd

    def __exit__(self, kind, value, trace):
        try:
            os.close(self.fd)
        except OSError:
            if kind is None:
                raise
