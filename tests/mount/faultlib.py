# SPDX-License-Identifier: Apache-2.0
"""Operations and faults of the matrix (test_fault_matrix.py). Standard library only.

An operation works in a folder of its own and says what the server has in it before and after. `kinds` are the requests
that do its work; what it asks before that is mostly a list. A fault is an effect of a rule of docs/serve.md, with the
errno that a program may see when it lasts."""
import errno
import os
import socket
import threading
import time

KEEPER = ".emptyFolderPlaceholder"
SMALL = bytes(range(200))
BIG = os.urandom(1 << 16) * 24  # 1.5 MiB
LARGE = os.urandom(1 << 16) * 128  # 8 MiB: by a resumable upload, where that is used
MIDDLE = 800_000


class Op:
    """One operation. run(path, step) does it; step(function, …) is one system call and is timed.
    `third`: what may also be at the server when it failed. `again`: run after a failure; None: run.
    `later`: a success may be a promise in the journal, kept when the server is back."""

    def __init__(self, name, kinds, before, after, run, want=None, third=(), again=None, later=False):
        self.later = later
        self.name, self.kinds, self.before, self.after = name, kinds, before, after
        self.run, self.want, self.third, self.again = run, want, third, again or run
        self.changes = before != after


def pread(path, step, n, off):
    fd = step(os.open, path, os.O_RDONLY)
    try:
        return step(os.pread, fd, n, off)
    finally:
        step(os.close, fd)


def write(path, step, flags, data, *more):
    """Opens, writes, and lets close tell; `more` are calls with the descriptor before that."""
    fd = step(os.open, path, os.O_WRONLY | flags, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[step(os.write, fd, view):]
        for call in more:
            step(call, fd)
    except BaseException:
        try:
            os.close(fd)
        except OSError:
            pass
        raise
    step(os.close, fd)


def append_rest(path, step):
    """After a failure: what was written is kept here, and the next close sends it; else it is written now."""
    if os.stat(path).st_size == len(SMALL):
        write(path, step, os.O_APPEND, b"more")
    else:
        write(path, step, 0, b"", os.fsync)


def absent(path, step):
    try:
        step(os.stat, path)
    except FileNotFoundError:
        return True
    return False


def copy(d, step):
    src = step(os.open, d + "/src", os.O_RDONLY)
    try:
        dst = step(os.open, d + "/dst", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            n = step(os.copy_file_range, src, dst, len(BIG))
        except BaseException:
            os.close(dst)
            raise
        step(os.close, dst)
        return n
    finally:
        os.close(src)


PAIR = {"a": SMALL, "keep": b"k"}
TREE = {"x/a": SMALL, "x/b": b"b", "x/sub/c": b"c"}

OPERATIONS = [
    Op("lookup", ("list",), PAIR, PAIR, lambda d, step: step(os.stat, d + "/a").st_size, len(SMALL)),
    Op("lookup of what is absent", ("list",), PAIR, PAIR, lambda d, step: absent(d + "/none", step), True),
    Op("readdir", ("list",), PAIR, PAIR, lambda d, step: sorted(step(os.listdir, d)), ["a", "keep"]),
    Op("read first", ("get",), PAIR, PAIR, lambda d, step: pread(d + "/a", step, 4096, 0), SMALL),
    Op("read middle", ("get",), {"big": BIG}, {"big": BIG},
       lambda d, step: pread(d + "/big", step, 65536, MIDDLE), BIG[MIDDLE:MIDDLE + 65536]),
    Op("write small", ("put",), {"keep": b"k"}, {"keep": b"k", "new": SMALL},
       lambda d, step: write(d + "/new", step, os.O_CREAT | os.O_TRUNC, SMALL)),
    Op("write large", ("put", "tus_create", "tus_patch"), {"f": SMALL}, {"f": LARGE},
       lambda d, step: write(d + "/f", step, os.O_TRUNC, LARGE)),
    Op("append", ("get", "put"), {"f": SMALL}, {"f": SMALL + b"more"},
       lambda d, step: write(d + "/f", step, os.O_APPEND, b"more"),
       again=lambda d, step: append_rest(d + "/f", step)),
    Op("create", ("put",), {"keep": b"k"}, {"keep": b"k", "new": b""},
       lambda d, step: write(d + "/new", step, os.O_CREAT | os.O_EXCL, b"", os.fsync),
       again=lambda d, step: write(d + "/new", step, os.O_CREAT, b"", os.fsync)),
    Op("unlink", ("delete_one", "delete_many"), PAIR, {"keep": b"k"}, lambda d, step: step(os.unlink, d + "/a")),
    Op("rename", ("move", "copy"), PAIR, {"b": SMALL, "keep": b"k"},
       lambda d, step: step(os.rename, d + "/a", d + "/b")),
    # Over an existing name it is a copy, then a delete: the target is never missing, so both may be there. A delete
    # that fails in a way that passes is left to a job.
    Op("rename over", ("copy", "delete_one"), {"a": SMALL, "b": b"b"}, {"b": SMALL},
       lambda d, step: step(os.rename, d + "/a", d + "/b"), third=({"a": SMALL, "b": SMALL},),
       later=True),
    Op("rename folder", ("move", "copy"), TREE, {"y" + k[1:]: v for k, v in TREE.items()},
       lambda d, step: step(os.rename, d + "/x", d + "/y"), later=True),
    Op("mkdir", ("put",), {"keep": b"k"}, {"keep": b"k", "sub/" + KEEPER: b""},
       lambda d, step: step(os.mkdir, d + "/sub")),
    Op("rmdir", ("delete_one", "delete_many"), {"keep": b"k", "sub/" + KEEPER: b""}, {"keep": b"k"},
       lambda d, step: step(os.rmdir, d + "/sub")),
    Op("statfs", (), PAIR, PAIR, lambda d, step: step(os.statvfs, d).f_blocks > 0, True),
    Op("copy", ("info", "copy"), {"src": BIG}, {"src": BIG, "dst": BIG}, copy, len(BIG)),
]

DENIED = ('{"statusCode":"403","error":"Unauthorized","message":"new row violates row-level security policy for table '
          '\\"objects\\"","code":"AccessDenied"}')
THROTTLED = '{"statusCode":"429","error":"too_many_requests","message":"Too Many Requests"}'
PAGE = "<!DOCTYPE html><html><head><title>Welcome</title></head><body>Please sign in.</body></html>"

BUSY = {errno.EIO, errno.ETIMEDOUT}
BROKEN = {errno.ECONNRESET, errno.EIO, errno.ETIMEDOUT}
LATE = {errno.ETIMEDOUT}


class Fault:
    """`burst`: so many in a row are invisible; 0: even one is told, at once. `slow`: each takes a second or more."""

    def __init__(self, name, effect, errnos, burst=2, slow=False):
        self.name, self.effect, self.errnos, self.burst, self.slow = name, effect, errnos, burst, slow


def groups(elsewhere):
    """The faults, in groups of about the same time. `elsewhere`: URL of a second server."""
    return {
        "500": [
            Fault("500", {"status": 500}, BUSY),
            Fault("500 of the service", {"status": 500, "body": '{"statusCode":"500","code":"InternalError","error":'
                                         '"Internal","message":"Internal Server Error"}'}, BUSY),
        ],
        "503": [
            Fault("503", {"status": 503, "body": "upstream gone", "content_type": "text/plain"}, BUSY),
            Fault("502 with a page", {"status": 502, "body": PAGE, "content_type": "text/html"}, BUSY),
        ],
        "52x": [
            Fault("520", {"status": 520, "body": "error code: 520", "content_type": "text/plain"}, BUSY),
            Fault("544", {"status": 544, "body": '{"statusCode":"544","code":"DatabaseTimeout","error":"Database",'
                          '"message":"The connection to the database timed out"}'}, BUSY),
        ],
        "429": [
            Fault("429", {"status": 429, "body": THROTTLED}, BUSY),
            Fault("429, come back in a second", {"status": 429, "body": THROTTLED, "header": "Retry-After: 1"}, BUSY,
                  burst=1, slow=True),
        ],
        "retry_after": [
            Fault("503, come back in a second", {"status": 503, "header": "Retry-After: 1"}, BUSY, burst=1, slow=True),
            # Later than the time-out: there is nothing to wait for.
            Fault("429, come back in a minute", {"status": 429, "body": THROTTLED, "header": "Retry-After: 60"}, BUSY,
                  burst=0),
        ],
        "reset": [
            Fault("reset before", {"reset": "before"}, BROKEN),
            Fault("reset inside the headers", {"reset": "inside"}, BROKEN),
        ],
        "lost": [
            Fault("lost answer", {"reset": "answer"}, BROKEN),
            Fault("cut upload", {"reset": "body", "reset_after": 100}, BROKEN),
        ],
        "short": [
            Fault("short body", {"cut_after": 20}, BROKEN),
            Fault("no body at all", {"cut_after": 0}, BROKEN),
        ],
        "garbage": [
            Fault("garbage", {"garbage": 300}, BROKEN),
            Fault("garbage as a good answer", {"status": 200, "body": "\x01\x7f{]{\u00e9", "content_type": "text/plain"},
                  BUSY),
        ],
        "page": [
            Fault("JSON of another kind", {"status": 200, "body": '{"hello":[1,2,{"x":null}]}'}, BUSY),
            Fault("page", {"status": 200, "body": PAGE, "content_type": "text/html"}, BUSY),
        ],
        "redirect": [
            Fault("redirect", {"status": 302, "header": "Location: " + elsewhere}, BUSY),
            Fault("redirect that keeps the method", {"status": 307, "header": "Location: " + elsewhere}, BUSY),
        ],
        "denied": [
            Fault("403", {"status": 400, "body": DENIED}, {errno.EACCES}, burst=0),
            Fault("bare 403", {"status": 403, "body": "Forbidden", "content_type": "text/plain"}, {errno.EACCES}, burst=0),
        ],
        "slow": [
            Fault("silence", {"silence": True}, LATE, burst=1, slow=True),
            Fault("drip", {"drip_ms": 200}, LATE, burst=1, slow=True),
        ],
    }


class Elsewhere:
    """A second server, which must never hear of us: keeps what comes. `.url`, `.heard`."""

    def __init__(self):
        self.heard = []
        self._socket = socket.create_server(("127.0.0.2", 0))
        self.url = "http://127.0.0.2:%d/" % self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                c, _ = self._socket.accept()
            except OSError:
                return
            with c:
                c.settimeout(2)
                try:
                    self.heard.append(c.recv(65536))
                    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
                except OSError as e:
                    self.heard.append(repr(e).encode())

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)


class Outcome:
    """What an operation came to: a result, or an errno and the call that said it; the slowest call."""

    def __init__(self, op, run, d):
        self.result = self.errno = self.call = None
        self.slowest = 0.0
        began = time.monotonic()
        try:
            self.result = run(d, self._step)
        except OSError as e:
            self.errno = e.errno
        self.seconds = time.monotonic() - began
        self.good = self.errno is None and self.result == op.want

    def _step(self, function, *args):
        began = time.monotonic()
        self.call = function.__name__
        try:
            return function(*args)
        finally:
            self.slowest = max(self.slowest, time.monotonic() - began)

    def __str__(self):
        if self.errno is None:
            return "%.60r in %.1f s" % (self.result, self.seconds)
        return "%s by %s in %.1f s" % (errno.errorcode.get(self.errno, self.errno), self.call, self.seconds)
