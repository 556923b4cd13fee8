#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server that means harm: a mount neither crashes nor hangs, keeps to its folder and its memory, and its log shows what
the server said without obeying it."""
import contextlib
import errno
import http.server
import itertools
import json
import os
import re
import sys
import threading
import time
import urllib.parse

from mountlib import Mount, need_fuse, resident_kib, run_tests

TIMEOUT_S = 4
SLACK_S = 15  # a machine under load is slow, a hang is for ever
OPTIONS = ["ttl=0", "timeout=%ds" % TIMEOUT_S, "stall_timeout=1s", "retries=2", "retry_base=1ms", "retry_cap=20ms",
           "meta_memory=1M", "memory=8M"]
ROOT = "home/"  # the mount's folder: what is asked for outside of it is a flaw
MIB = 1 << 20
TIME = "2026-01-02T03:04:05.678Z"


def row(name, size=3, etag='"e"', **more):
    return {"id": "00000000-0000-4000-8000-000000000001", "name": name, "updated_at": TIME, "created_at": TIME,
            "metadata": {"size": size, "eTag": etag, "mimetype": "text/plain", "cacheControl": "no-cache",
                         "lastModified": TIME}, **more}


def page(objects=(), folders=(), more=False, cursor=None):
    answer = {"hasNext": more, "folders": [{"name": f} for f in folders],
              "objects": [o if isinstance(o, dict) else row(o) for o in objects]}
    if cursor is not None:
        answer["nextCursor"] = cursor
    return answer


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def _body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def send(self, status, body, headers=()):
        """`body`: bytes, an iterator of them, or what becomes JSON. Whoever hangs up has heard enough."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        parts = [body] if isinstance(body, bytes) else body
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            if isinstance(body, bytes) and not any(n.lower() == "content-length" for n, _ in headers):
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            for part in parts:
                self.wfile.write(part)
            return
        self.close_connection = True

    def handle_any(self):
        s = self.server.owner
        path = self.path.split("?")[0]
        body = self._body()
        if path == "/storage/v1/bucket/b":
            return self.send(200, {"id": "b", "name": "b", "public": False})
        if path == "/storage/v1/version":
            return self.send(200, b"1.70.6")
        asked = json.loads(body) if body[:1] == b"{" else {}
        if path == "/storage/v1/object/list-v2/b":
            if asked.get("limit") == 1 and not asked["prefix"]:
                return self.send(200, page())
            s.note(asked["prefix"])
            return s.on_list(self, asked)
        for key in ("sourceKey", "destinationKey"):
            if key in asked:
                s.note(asked[key])
        for key in asked.get("prefixes", ()):
            s.note(key)
        match = re.match(r"/storage/v1/object/(?:info/)?(?:authenticated/)?b/(.*)", path)
        if match:
            s.note(urllib.parse.unquote(match.group(1)))
        return s.on_other(self, asked)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any


class Hostile:
    """Answers the start of a mount as it should be, and the rest by on_list(handler, asked), on_other(handler, asked)."""

    foreign = False
    proc = None
    service_key = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2lnbmF0dXJlLW9mLXRoZS10ZXN0cw"

    def __init__(self):
        self.asked, self.lock = [], threading.Lock()
        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.httpd.daemon_threads = True
        self.httpd.handle_error = lambda *_: None  # a client that hangs up
        self.httpd.owner = self
        self.url = "http://127.0.0.1:%d" % self.httpd.server_address[1]
        self.harmless()
        threading.Thread(target=self.httpd.serve_forever, daemon=True).start()

    def harmless(self):
        self.on_list = lambda h, asked: h.send(200, tree(asked))
        self.on_other = other

    def note(self, key):
        with self.lock:
            self.asked.append(key)

    def outside(self):
        """Keys that were asked for and are none of the mount's."""
        with self.lock:
            return [k for k in self.asked if not k.startswith(ROOT) and k != ROOT.rstrip("/")]

    def close(self):
        self.httpd.shutdown()
        self.httpd.server_close()


def tree(asked, name="good"):
    """One file."""
    return page([ROOT + name] if (ROOT + name).startswith(asked["prefix"]) else [])


def other(h, asked):
    if h.command == "GET" and h.path.split("?")[0].endswith("/good"):
        return h.send(206, b"yes", [("ETag", '"e"'), ("Content-Range", "bytes 0-2/3")])
    if h.command == "GET" and "/object/authenticated/" in h.path:
        return h.send(200, b"no!", [("ETag", '"e"')])
    return h.send(400, {"statusCode": "404", "error": "not_found", "message": "Object not found", "code": "NoSuchKey"})


@contextlib.contextmanager
def hostile(options=()):
    """Server and mount; at the end the mount must still work, and must have kept to its folder."""
    os.environ.setdefault("ASAN_OPTIONS", "quarantine_size_mb=2")
    s = Hostile()
    try:
        with Mount(s, bucket="b", prefix=ROOT.rstrip("/"), options=OPTIONS + list(options)) as m:
            yield s, m
            assert m.proc.poll() is None, "the daemon is gone"
            s.harmless()
            works(m)
            assert not s.outside(), s.outside()[:5]
    finally:
        s.close()


def works(m):
    with open(m / "good", "rb") as f:
        assert f.read() == b"yes"
    assert os.listdir(m.path) == ["good"]


def in_time(action, *args):
    """The result, or the errno; each within the time-out."""
    began = time.monotonic()
    try:
        result = action(*args)
    except OSError as e:
        result = e.errno
    took = time.monotonic() - began
    assert took < TIMEOUT_S + SLACK_S, "%s took %.1f s" % (action.__name__, took)
    return result


def touch_all(m, names):
    """Everything that a program may do with a name of a listing."""
    for name in names:
        path = os.path.join(m.path, name)
        in_time(os.stat, path)
        in_time(os.readlink, path)
        fd = in_time(os.open, path, os.O_RDONLY)
        if fd >= 100000:
            raise AssertionError("no descriptor")
        try:
            if os.path.isdir(fd):
                in_time(os.listdir, fd)
            else:
                in_time(os.pread, fd, 10, 0)
        except OSError:
            pass
        with contextlib.suppress(OSError):
            os.close(fd)
        in_time(os.rename, path, m / "elsewhere")
        in_time(os.unlink, path)
        in_time(os.rmdir, path)


ODD = ["..", ".", "../up", "a/../../b", "./x", "/", "//", "/etc/passwd", "a//b", "x\x00y", "l" * 256, "m" * 900, "n" * 3000,
       "c\x01d", "e\x1b[31mf", "g\nh", "i\x7fj", "\u202ek", "=00", "=2F", "=2E=2E", "=", "==", "%2e%2e", "%2F", "\\", "o\\..\\p",
       "", " ", "q\ufffd", ".emptyFolderPlaceholder", "\U0001f600", "r\u0000", "same", "same"]


def check_names(names):
    for name in names:
        raw = os.fsencode(name)
        assert name not in ("", ".", "..") and b"/" not in raw and b"\0" not in raw and len(raw) <= 255, name


def test_names():
    """Each kind of odd name alone, as a file, as a folder, as a folder without its slash; and all in one page."""
    with hostile() as (s, m):
        for name in ODD + [None]:
            for kind in "file", "folder", "bare folder":
                some = ODD if name is None else [name]
                if kind == "file":
                    answer = page([ROOT + n for n in some] + ["else/where", "home", "homeless"])
                else:
                    answer = page([], [ROOT + n + ("/" if kind == "folder" else "") for n in some] + ["else/", "/", ROOT])
                s.on_list = lambda h, asked, answer=answer: h.send(200, answer)
                names = in_time(os.listdir, m.path)
                if isinstance(names, int):
                    assert names == errno.EIO, (name, kind, names)
                    continue
                check_names(names)
                assert "where" not in names and "less" not in names, (name, kind, names)
                touch_all(m, names if name is not None else names[:5])
        assert not s.outside(), s.outside()[:5]


def test_any_unicode():
    """Lone surrogates and bytes that are not UTF-8."""
    with hostile() as (s, m):
        for text in (b'\\ud800', b'\\udfff\\ud800', b'\xff\xfe', b'\xc0\xaf', b'\xed\xa0\x80', b'\\u002e\\u002e', b'\\u002f'):
            reply = b'{"hasNext":false,"folders":[],"objects":[{"name":"home/%s","metadata":{"size":1}}]}' % text
            s.on_list = lambda h, asked, reply=reply: h.send(200, reply)
            names = in_time(os.listdir, m.path)
            if not isinstance(names, int):
                check_names(names)
                touch_all(m, names)


SIZES = [2**63, 2**63 - 1, 2**64, 2**53 + 2, -1, -2**63, 1.5, 1e308, -0.0, "text", "", "-1", "9" * 400, str(2**63), None, [], {},
         True, "0x10", " 5", "1e3"]


def test_sizes():
    with hostile() as (s, m):
        for size in SIZES:
            def on_list(h, asked, size=size):
                h.send(200, page([row(ROOT + "f", size)] if (ROOT + "f").startswith(asked["prefix"]) else []))
            s.on_list = on_list
            st = in_time(os.stat, m / "f")
            assert isinstance(st, os.stat_result) and st.st_size >= 0, (size, st)
            with contextlib.suppress(OSError):
                fd = os.open(m / "f", os.O_RDWR)
                try:
                    for off in (0, 1 << 20, 2**40, 2**62, 2**63 - 4096):
                        got = in_time(os.pread, fd, 4096, off)
                        assert isinstance(got, int) or len(got) <= 4096
                finally:
                    os.close(fd)
        # Infinity and numbers beyond all types are no JSON or no size.
        for text in (b"1e999", b"-1e999", b"NaN", b"Infinity", b"1" * 5000, b"0.1e-999"):
            reply = b'{"hasNext":false,"folders":[],"objects":[{"name":"home/f","metadata":{"size":%s}}]}' % text
            s.on_list = lambda h, asked, reply=reply: h.send(200, reply)
            st = in_time(os.stat, m / "f")
            assert isinstance(st, int) or st.st_size >= 0, (text, st)


def test_members():
    """Members of the wrong kind, or none at all."""
    wrong = [None, 1, "x", [], {}, [[]], [None], ["x"], [{}], [{"name": None}], [{"name": 5}], [{"name": {}}], True]
    with hostile() as (s, m):
        for member in ("objects", "folders", "hasNext", "nextCursor"):
            for value in wrong:
                answer = {**page([ROOT + "f"]), member: value}
                s.on_list = lambda h, asked, answer=answer: h.send(200, answer)
                names = in_time(os.listdir, m.path)
                if not isinstance(names, int):
                    check_names(names)
        for member in ("id", "updated_at", "created_at", "metadata", "name"):
            for value in [None, -1, 1e300, "x" * 5000, [], {"a": 1}, "\x01", "99999-99-99T99:99:99Z", "0000-00-00", "é" * 50]:
                answer = page([{**row(ROOT + "f"), member: value}])
                s.on_list = lambda h, asked, answer=answer: h.send(200, answer)
                in_time(os.listdir, m.path)
                in_time(os.stat, m / "f")
        for member in ("eTag", "mimetype", "cacheControl", "lastModified"):
            for value in [None, -1, "x" * 5000, [], '"' * 90, "\x01", "x-mtime=" + "9" * 300, "x-mode=07777777", "x-mode=-1",
                          "x-uid=99999999999, x-gid=-5", "x-mode=0120777", "x-mode=060644", "x-mtime=nan", "x-mtime=-9e99"]:
                answer = page([{**row(ROOT + "f"), "metadata": {**row("f")["metadata"], member: value}}])
                s.on_list = lambda h, asked, answer=answer: h.send(200, answer)
                in_time(os.listdir, m.path)
                in_time(os.stat, m / "f")
                in_time(os.readlink, m / "f")


def endless(step, mode="rise"):
    """Answers lists with pages that have always a next one."""
    count = itertools.count()

    def on_list(h, asked):
        i = next(count) if mode != "same" else 0
        if mode == "empty":
            return h.send(200, page([], more=True, cursor="c%d" % i))
        names = [ROOT + "k%012d%s" % (i * step + j, "x" * 200) for j in range(step)]
        if mode == "fall":
            names = [ROOT + "k%012d" % (10**11 - i * step - j) for j in range(step)]
        return h.send(200, page([{"name": n} for n in names], more=True, cursor="c%d" % (0 if mode == "cursor" else i)))
    return on_list


def test_pages_that_go_nowhere():
    """Repeated pages, repeated cursors, empty pages, falling keys: an error in time."""
    with hostile() as (s, m):
        for mode in ("same", "empty", "fall"):
            s.on_list = endless(20, mode)
            got = in_time(os.listdir, m.path)
            assert got in (errno.EIO, errno.ETIMEDOUT), (mode, got)
            for action in (lambda: os.stat(m / "k"), lambda: os.mkdir(m / "n"), lambda: os.rmdir(m / "n")):
                assert isinstance(in_time(action), int), mode


def test_endless_folder():
    """Rising keys without an end: every call ends, the memory has a bound, and the reader gets an error."""
    with hostile() as (s, m):
        before = resident_kib(m.pid)
        s.on_list = endless(999)
        seen, most, slowest = 0, 0, 0.0
        fd = os.open(m.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with os.scandir(fd) as it:
                while True:
                    began = time.monotonic()
                    try:
                        next(it)
                    except StopIteration:
                        raise AssertionError("it has an end")
                    except OSError as e:
                        assert e.errno == errno.ENOMEM, e
                        break
                    slowest = max(slowest, time.monotonic() - began)
                    seen += 1
                    if seen % 1000 == 0:
                        most = max(most, resident_kib(m.pid) - before)
        finally:
            os.close(fd)
        print("# %d entries, %.1f MiB more, the slowest call %.1f s" % (seen, most / 1024, slowest))
        assert 4000 < seen < 40000 and slowest < TIMEOUT_S + SLACK_S
        assert most < 64 * 1024, most
        assert "meta_memory" in m.log(), m.log()[-500:]


def test_endless_folder_for_others():
    """What walks it in other ways ends too: a rename of it, a look-up, rmdir, a recursive delete by hand."""
    with hostile() as (s, m):
        def on_list(h, asked, deep=endless(999)):
            if asked["prefix"] in (ROOT, ROOT + "d"):
                return h.send(200, page([], [ROOT + "d/"]))
            return deep(h, asked) if asked["prefix"].startswith(ROOT + "d/") else h.send(200, page())
        s.on_list = on_list
        for action in (lambda: os.rename(m / "d", m / "e"), lambda: os.rmdir(m / "d"), lambda: os.stat(m / "d/nothing")):
            in_time(action)


def test_depth():
    """Ten thousand levels, as JSON and as folders in folders."""
    with hostile() as (s, m):
        for n in (900, 10000, 1000000):
            reply = b'{"hasNext":false,"folders":[],"objects":' + b"[" * n + b"]" * n + b"}"
            s.on_list = lambda h, asked, reply=reply: h.send(200, reply)
            assert in_time(os.listdir, m.path) in (errno.EIO, errno.ETIMEDOUT, []), n
            reply = b'{"a":' * n + b"1" + b"}" * n
            assert in_time(os.listdir, m.path) in (errno.EIO, errno.ETIMEDOUT, []), n

        def on_list(h, asked):
            prefix = asked["prefix"]
            if prefix.endswith("/") or not prefix:
                return h.send(200, page([], [prefix + "d/"]))
            return h.send(200, page([], [prefix + "/"] if prefix.endswith("/d") else []))
        s.on_list = on_list
        fd, level = os.open(m.path, os.O_RDONLY | os.O_DIRECTORY), 0
        while level < 10000:
            try:
                deeper = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
            except OSError as e:
                assert e.errno in (errno.ENAMETOOLONG, errno.ENOENT), e
                break
            os.close(fd)
            fd, level = deeper, level + 1
        print("# %d levels" % level)
        in_time(os.listdir, fd)
        os.close(fd)
        assert 400 < level < 1000, level


def zeros(n, piece=b" " * MIB):
    return (piece for _ in range(n // len(piece)))


def test_large_replies():
    """100 MB of body, as a listing, as an error, as a file; 1 MB of headers: refused, and not kept."""
    with hostile() as (s, m):
        before = resident_kib(m.pid)
        most = 0

        def check(action, allowed):
            nonlocal most
            got = in_time(action)
            most = max(most, resident_kib(m.pid) - before)
            assert got in allowed, got

        n = 100 * MIB
        length = [("Content-Length", str(n))]
        errors = (errno.EIO, errno.ETIMEDOUT, errno.ECONNRESET)
        for headers in (length, [("Connection", "close")]):
            s.on_list = lambda h, asked, headers=headers: h.send(200, zeros(n), headers)
            check(lambda: os.listdir(m.path), errors)
            s.on_list = lambda h, asked, headers=headers: h.send(503, zeros(n), headers)
            check(lambda: os.listdir(m.path), errors)
            s.on_list = lambda h, asked, headers=headers: h.send(403, zeros(n), headers)
            check(lambda: os.listdir(m.path), (errno.EACCES,) + errors)
        for header in (("X-Long", "x" * MIB), ("ETag", '"' + "e" * MIB + '"')):
            s.on_list = lambda h, asked, header=header: h.send(200, page(), [header])
            check(lambda: os.listdir(m.path), errors)
        s.on_list = lambda h, asked: h.send(200, page(), [("X-%d" % i, "x" * 1000) for i in range(1000)])
        check(lambda: os.listdir(m.path), errors)
        s.on_list = lambda h, asked: h.send(200, tree(asked, "liar"))
        for headers in (length, [("Connection", "close")], [("Content-Range", "bytes 0-2/3"), ("Connection", "close")]):
            for status in (200, 206):
                s.on_other = lambda h, asked, headers=headers, status=status: h.send(
                    status, zeros(n), [("ETag", '"e"')] + headers)
                check(lambda: open(m / "liar", "rb").read(), errors + (errno.ESTALE, b"   "))
        print("# %.1f MiB more at most" % (most / 1024))
        assert most < 64 * 1024, most


def test_downloads():
    """Ranges, totals and ETags that lie: an error, or the bytes that were asked for, never others."""
    with hostile() as (s, m):
        s.on_list = lambda h, asked: h.send(200, tree(asked, "liar"))
        for headers in ([("Content-Range", "bytes 0-2/9223372036854775808")], [("Content-Range", "bytes 5-7/3")],
                        [("Content-Range", "bytes -1-2/3")], [("Content-Range", "bytes 0-2/*")], [("Content-Range", "bytes 1-2/3")],
                        [("Content-Range", "lines 0-2/3")], [("Content-Range", "bytes 0-18446744073709551615/3")],
                        [("Content-Range", "x" * 5000)], [], [("Content-Encoding", "gzip"), ("Content-Range", "bytes 0-2/3")],
                        [("Content-Range", "bytes 0-2/3"), ("Content-Length", "-3")],
                        [("Content-Range", "bytes 0-2/3"), ("Content-Length", "99999999999999999999999")],
                        [("Content-Range", "bytes 0-2/3"), ("Transfer-Encoding", "chunked")]):
            for etag in ('"e"', "e", 'W/"e"', "", '"other"', '"' + "e" * 300 + '"'):
                s.on_other = lambda h, asked, headers=headers, etag=etag: h.send(
                    206, b"bad", ([("ETag", etag)] if etag else []) + headers)
                got = in_time(lambda: open(m / "liar", "rb").read())
                assert isinstance(got, int) or got == b"bad", (headers, etag, got)


def test_log():
    """What a server or a program says is shown in the log and not obeyed: one line an event, no control bytes, no key."""
    with hostile() as (s, m):
        evil = "\x1b[2J\x1b]0;owned\x07\r\n2026-01-01T00:00:00.000Z error: all is lost\n\x7f\x9b31m" + s.service_key
        s.on_list = lambda h, asked: h.send(400, {"statusCode": "403", "error": evil, "message": evil, "code": evil},
                                            [("sb-request-id", "r\x1b[1m")])
        for name in ("a", "b\nc", "d\x1b[31m", "e\x7f", "f\u009b"):
            assert isinstance(in_time(os.stat, m / name), int)
        s.on_list = lambda h, asked: h.send(403, b"\0" + evil.encode("utf-8"), [("Content-Type", "text/plain")])
        in_time(os.listdir, m.path)
        names = ["x\x1b[7m", "y\nz"]
        s.on_list = lambda h, asked: h.send(200, page([ROOT + n for n in names if (ROOT + n).startswith(asked["prefix"])]))
        s.on_other = lambda h, asked: h.send(403, evil.encode("utf-8"))
        for name in in_time(os.listdir, m.path):
            in_time(lambda name=name: open(os.path.join(m.path, name), "rb").read())
            in_time(os.unlink, os.path.join(m.path, name))
        with open(os.path.join(m.dir, "log"), "rb") as f:
            log = f.read()
        lines = log.split(b"\n")
        assert len(lines) > 8, log
        for line in lines[:-1]:
            assert re.match(rb"\d{4}-\d\d-\d\dT[\d:.]+Z [a-z]+: ", line), line
            assert not line.startswith(b"2026-01-01"), line
            assert not re.search(rb"[\x00-\x1f\x7f]", line) and b"\xc2\x9b" not in line, line
        assert s.service_key.encode() not in log


def timed(test):
    def run():
        began = time.monotonic()
        test()
        print("# %.1f s" % (time.monotonic() - began))
    run.__name__ = test.__name__
    return run


def main():
    need_fuse()
    if os.environ.get("SUPAFS_TEST_URL"):
        print("1..0 # SKIP brings its own server")
        sys.exit(0)
    tests = [f for name, f in sorted(globals().items()) if name.startswith("test_")]
    only = sys.argv[1:]
    run_tests([timed(f) for f in tests if not only or f.__name__[5:] in only])


if __name__ == "__main__":
    main()
