# SPDX-License-Identifier: Apache-2.0
"""What may be true after a crash. Standard library only.

A worker writes each operation into its log before it begins (intent) and what came of it after it (outcome). Read
again after a crash, the log gives the set of worlds that the filesystem's promises allow:

    outcome 0              the operation is done in every world
    no outcome, or an      both: worlds in which it is done, and in which it was not begun
    error of the server's
    ENOENT, EEXIST, …      not done; and at least one world must be such that this was the right answer

A world is a dict: path -> FOLDER, or the content of a file. A content is a tuple of pieces (gen, start, n): the
bytes [start, start + n) of the stream of generation `gen`; generation 0 is zeros. Every stream begins with a line
that tells its generation, its first path and its length, so that a wrong content can say what it is made of.
"""
import errno
import functools
import hashlib
import json
import random
import re

FOLDER = "folder"
CERTAIN = {errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR}
DEAD = {errno.ENOTCONN, errno.ECONNABORTED, errno.ESHUTDOWN}
WORLDS_MAX = 64
HEAD = re.compile(rb"<gen (\d+) of (\d+) bytes for ([^>]*)>")


class Impossible(Exception):
    """An outcome that no world allows."""


# --- Contents ---------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=64)
def stream(gen, n, path):
    head = b"<gen %d of %d bytes for %s>\n" % (gen, n, path.encode())
    return (head + random.Random(gen).randbytes(n))[:n]


class Streams:
    """gen -> its bytes; what a log tells of them."""

    def __init__(self):
        self.made = {}  # gen -> (n, path)

    def make(self, gen, n, path):
        self.made[gen] = (n, path)

    def piece(self, gen, start, n):
        if gen == 0:
            return bytes(n)
        size, path = self.made[gen]
        return stream(gen, size, path)[start:start + n]

    def data(self, content):
        return b"".join(self.piece(*p) for p in content)


def size_of(content):
    return sum(n for _, _, n in content)


def cut(content, size):
    """The first `size` bytes; zeros where it is shorter."""
    out, left = [], size
    for gen, start, n in content:
        n = min(n, left)
        if n:
            out.append((gen, start, n))
        left -= n
    return tuple(out) + (((0, 0, left),) if left else ())


def put(content, off, gen, n):
    """The content with the first `n` bytes of a stream at `off`."""
    if n == 0:
        return content
    tail, skip = [], off + n
    for g, start, m in content:
        drop = min(m, skip)
        skip -= drop
        if m > drop:
            tail.append((g, start + drop, m - drop))
    return cut(content, off) + ((gen, 0, n),) + tuple(tail)


def tell(data):
    """What a content is made of, for people."""
    heads = ["gen %s (%s bytes, for %s) at %d" % (m[1].decode(), m[2].decode(), m[3].decode(), m.start())
             for m in HEAD.finditer(data)]
    return "%d bytes: %s" % (len(data), "; ".join(heads[:8]) or "no head of a generation")


# --- Operations -------------------------------------------------------------------------------------------------


def parent(path):
    return path.rpartition("/")[0]


def below(world, path):
    return [p for p in world if p.startswith(path + "/")]


def is_file(world, path):
    return world.get(path, FOLDER) != FOLDER


def can_create(world, path):
    return world.get(parent(path)) == FOLDER and world.get(path) != FOLDER


def with_file(world, path, content):
    return {**world, path: content}


def op_save(world, op):
    ok = can_create(world, op["path"])
    return with_file(world, op["path"], put((), 0, op["gen"], op["n"])) if ok else None


def op_sync(world, op):
    """The first `first` bytes are written and fsynced, then the rest is written and the file closed."""
    return op_save(world, op)


def op_append(world, op):
    old = world.get(op["path"], FOLDER)
    return None if old == FOLDER else with_file(world, op["path"], put(old, size_of(old), op["gen"], op["n"]))


def op_patch(world, op):
    old = world.get(op["path"], FOLDER)
    return None if old == FOLDER else with_file(world, op["path"], put(old, op["off"], op["gen"], op["n"]))


def op_cut(world, op):
    old = world.get(op["path"], FOLDER)
    return None if old == FOLDER else with_file(world, op["path"], cut(old, op["n"]))


def op_zero(world, op):
    """Zeros from `off` on, as far as the file goes."""
    old = world.get(op["path"], FOLDER)
    if old == FOLDER:
        return None
    n = min(op["n"], size_of(old) - op["off"])
    return with_file(world, op["path"], put(old, op["off"], 0, n) if n > 0 else old)


def op_rename(world, op):
    old, new = op["path"], op["to"]
    if old not in world or world.get(parent(new)) != FOLDER or (new + "/").startswith(old + "/"):
        return None
    kind, there = world[old] == FOLDER, world.get(new)
    if there is not None and ((there == FOLDER) != kind or below(world, new)):
        return None
    moved = {p: c for p, c in world.items() if p != new}
    for path in [old] + below(world, old):
        moved[new + path[len(old):]] = moved.pop(path)
    return moved


def op_unlink(world, op):
    return {p: c for p, c in world.items() if p != op["path"]} if is_file(world, op["path"]) else None


def op_mkdir(world, op):
    ok = op["path"] not in world and world.get(parent(op["path"])) == FOLDER
    return with_file(world, op["path"], FOLDER) if ok else None


def op_rmdir(world, op):
    ok = world.get(op["path"]) == FOLDER and not below(world, op["path"])
    return {p: c for p, c in world.items() if p != op["path"]} if ok else None


def op_attr(world, op):
    """chmod or utimens: contents stay."""
    return dict(world) if op["path"] in world else None


OPS = {"save": op_save, "sync": op_sync, "append": op_append, "patch": op_patch, "cut": op_cut, "zero": op_zero, "rename": op_rename,
       "unlink": op_unlink, "mkdir": op_mkdir, "rmdir": op_rmdir, "chmod": op_attr, "utime": op_attr}


def synced(op):
    return {**op, "op": "save", "n": op["first"]}


class Worlds:
    """The worlds of one worker. Its log is replayed by the same calls as the worker made."""

    def __init__(self, world, streams=None):
        self.worlds = [world]
        self.streams = streams or Streams()
        self.under_way = None
        self.did_sync = False

    def _done(self, op):
        return [w for w in (OPS[op["op"]](w, op) for w in self.worlds) if w is not None]

    def begin(self, op):
        self.under_way, self.did_sync = op, False
        if "gen" in op:
            self.streams.make(op["gen"], op["n"], op["path"])

    def sync(self):
        """fsync of the operation under way has returned 0."""
        self.did_sync = True
        self._set(self._done(synced(self.under_way)))

    def _set(self, worlds):
        seen, out = set(), []
        for w in worlds:
            key = frozenset(w.items())
            if key not in seen:
                seen.add(key)
                out.append(w)
        if not out:
            raise Impossible("no world allows %s" % (self.under_way,))
        self.worlds = out

    def end(self, result):
        """`result`: 0 or an errno."""
        op, self.under_way = self.under_way, None
        if result == 0:
            done = self._done(op)
            if not done:
                raise Impossible("%s was done, and could not be: %s" % (op, self.names(op)))
            self._set(done)
        elif result in CERTAIN:
            if all(OPS[op["op"]](w, op) is not None for w in self.worlds):
                raise Impossible("%s was refused with %s: %s" % (op, errno.errorcode[result], self.names(op)))
        else:
            self.cannot_tell(op)

    def cannot_tell(self, op):
        more = self._done(op)
        if op["op"] == "sync" and not self.did_sync:
            more += self._done(synced(op))
        self._set(self.worlds + more)

    def crash(self):
        if self.under_way:
            op, self.under_way = self.under_way, None
            self.cannot_tell(op)

    def names(self, op):
        paths = [op["path"]] + ([op["to"]] if "to" in op else [])
        return "; ".join("%s is %s" % (p, sorted({str(w.get(p))[:60] for w in self.worlds})) for p in paths)

    def may_read(self, path, data):
        return any(is_file(w, path) and size_of(w[path]) == len(data) and self.streams.data(w[path]) == data
                   for w in self.worlds)


def replay(lines, worlds):
    """The worlds after a log's lines. A torn last line is one that was not written."""
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if "bad" in row:
            raise Impossible(row["bad"])
        if "op" in row:
            worlds.begin(row)
        elif "sync" in row:
            worlds.sync()
        else:
            worlds.end(row["r"])
    worlds.crash()
    return worlds


# --- The verdict ------------------------------------------------------------------------------------------------


def mark(data):
    return (len(data), hashlib.sha256(data).hexdigest())


def seen_as(world, streams):
    """The world as look() of a client gives it: path -> FOLDER or (size, sha256)."""
    return {p: c if c == FOLDER else mark(streams.data(c)) for p, c in world.items()}


def differences(want, seen):
    return {p: (want.get(p), seen.get(p)) for p in want.keys() | seen.keys() if want.get(p) != seen.get(p)}


def judge(worlds, seen, read=None):
    """The worlds that `seen` (path -> FOLDER or (size, sha256)) can be. Raises Impossible with what is wrong in
    the nearest one; `read(path)` gives the bytes of a wrong file."""
    wrong = [differences(seen_as(w, worlds.streams), seen) for w in worlds.worlds]
    fits = [w for w, bad in zip(worlds.worlds, wrong) if not bad]
    if fits:
        return fits
    at = min(range(len(wrong)), key=lambda i: len(wrong[i]))
    lines = ["%d world(s) are allowed; the nearest differs:" % len(wrong)]
    for path, (want, got) in sorted(wrong[at].items())[:12]:
        lines.append("%r: wanted %s, there is %s" % (path, want and want[:2], got and got[:2]))
        content = worlds.worlds[at].get(path, FOLDER)
        if content != FOLDER:
            lines.append("    wanted: " + tell(worlds.streams.data(content)))
        if read and got and got != FOLDER:
            lines.append("    there is: " + tell(read(path)))
    raise Impossible("\n".join(lines))
