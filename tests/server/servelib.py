# SPDX-License-Identifier: Apache-2.0
"""Starts and steers a supafs-serve for tests. Standard library only.

    from servelib import Server

    with Server("--bucket", "course") as s:
        status, headers, body = s.request("GET", "/bucket/course")
        s.fault({"kind": "get"}, {"status": 503})
        assert s.counters()["get"] == 0

Server(*args, dir=None, base_path="/storage/v1", port=0, env=None, log=None)
    *args        further options of supafs-serve (strings)
    dir          its folder; a new temporary one, removed at the end, when None
    base_path    "" or "/storage/v1"
    The executable is $SUPAFS_SERVE_BIN, else the one of the build folder that meson
    runs the test in, else supafs-serve in PATH.

    .url         SUPABASE_URL: scheme://host:port, no path (clients append /storage/v1)
    .base        .url + base path: what request paths are relative to
    .host .port  where it listens
    .service_key, .anon_key    the two JWTs
    .dir .pid .proc
    .start() .stop() .kill()   stop: SIGTERM and wait (raises if the exit code is not 0);
                               kill: SIGKILL and wait; start() after either goes on in
                               the same folder, with the same keys
    .request(method, path, body=None, headers=None, auth="service", conn=None)
                 -> (status, headers as dict with lower-case names, bytes)
                 auth: "service", "anon", "none", or a token. `path` is relative to .base
                 and sent as it is. `body`: bytes, str, dict/list (sent as JSON) or a
                 file object with a length given in headers.
    .json(...)   the same, body parsed: (status, headers, value)
    .connect()   an http.client connection, to keep alive and pass as conn=
    .put(key, data, bucket="b", **headers), .get(key, bucket="b")  short forms that
                 raise unless the server answers 200
    .control(message)   one request on the control socket, the answer as a dict;
                 raises ControlError when the server answers {"error": …}
    .counters() .reset_counters()
    .fault(match, effect) -> id      .faults()      .clear_faults(id=None)
    .policy(role, bucket, pattern, ops)             .policies()
    .token(role="authenticated", sub=None, exp_s=3600) -> a signed JWT

As a program: servelib.py DIR [options]  runs a server in DIR until a signal comes.
"""
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import urllib.parse

SKIP = 0  # the TAP line "1..0 # SKIP" tells; a non-zero code would be an error


class ControlError(Exception):
    """The control socket answered {"error": …}."""


def find_binary():
    """Path of supafs-serve; the test is skipped when there is none."""
    named = os.environ.get("SUPAFS_SERVE_BIN")
    if named:
        return named
    for folder in (os.getcwd(), os.environ.get("MESON_BUILD_ROOT", "")):
        path = os.path.join(folder, "src", "serve", "supafs-serve")
        if folder and os.access(path, os.X_OK):
            return path
    found = shutil.which("supafs-serve")
    if not found:
        print("1..0 # SKIP supafs-serve is not built (needs libmicrohttpd-dev, libsqlite3-dev)")
        sys.exit(SKIP)
    return found


class Server:
    def __init__(self, *args, dir=None, base_path="/storage/v1", port=0, env=None, log=None):
        self.args = list(args)
        self._own_dir = dir is None
        self.dir = dir or tempfile.mkdtemp(prefix="supafs-serve-")
        self.base_path = base_path
        self._port = port
        self._env = env
        self._log = log
        self.proc = None
        self.pid = None

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self._cleanup()
            raise

    def __exit__(self, kind, value, trace):
        try:
            if self.proc and self.proc.poll() is None:
                if kind is None:
                    self.stop()
                else:
                    self.kill()
        finally:
            self._cleanup()

    def _cleanup(self):
        if self.proc and self.proc.poll() is None:
            self.kill()
        if self._own_dir:
            shutil.rmtree(self.dir, ignore_errors=True)

    def start(self):
        command = [find_binary(), "--port", str(self._port), "--base-path", self.base_path]
        command += self.args + [self.dir]
        self.proc = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._log,
            env=self._env, text=True)
        self.pid = self.proc.pid
        lines = []
        for line in self.proc.stdout:
            lines.append(line)
            if line.strip() == "ready":
                break
        else:
            code = self.proc.wait()
            self.proc.stdout.close()
            raise RuntimeError("supafs-serve ended with %d before it was ready" % code)
        self.proc.stdout.close()
        with open(os.path.join(self.dir, "env"), encoding="utf-8") as f:
            values = dict(line.strip().split("=", 1) for line in f if "=" in line)
        self.url = values["SUPABASE_URL"]
        self.base = self.url + self.base_path
        self.service_key = values["SUPABASE_SERVICE_ROLE_KEY"]
        self.anon_key = values["SUPABASE_ANON_KEY"]
        parts = urllib.parse.urlsplit(self.url)
        self.host, self.port, self.tls = parts.hostname, parts.port, parts.scheme == "https"
        return self

    def stop(self, timeout=30):
        self.proc.send_signal(signal.SIGTERM)
        code = self.proc.wait(timeout)
        if code != 0:
            raise RuntimeError("supafs-serve ended with %d" % code)

    def kill(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()

    def connect(self, timeout=60):
        if self.tls:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return http.client.HTTPSConnection(self.host, self.port, timeout=timeout,
                                               context=context)
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def auth_header(self, auth):
        token = {"service": self.service_key, "anon": self.anon_key, "none": None}.get(auth, auth)
        return {"authorization": "Bearer " + token} if token else {}

    def request(self, method, path, body=None, headers=None, auth="service", conn=None):
        send = dict(self.auth_header(auth))
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            send["content-type"] = "application/json"
        if isinstance(body, str):
            body = body.encode()
        send.update(headers or {})
        if body is None and method in ("POST", "PUT", "PATCH"):
            body = b""
        own = conn is None
        conn = conn or self.connect()
        try:
            conn.request(method, self.base_path + path, body=body, headers=send)
            response = conn.getresponse()
            data = response.read()
            return (response.status, {k.lower(): v for k, v in response.getheaders()}, data)
        finally:
            if own:
                conn.close()

    def json(self, *args, **kwargs):
        status, headers, data = self.request(*args, **kwargs)
        return status, headers, json.loads(data) if data else None

    def _ok(self, answer):
        status, headers, data = answer
        if status not in (200, 201, 204, 206):
            raise RuntimeError("HTTP %d: %s" % (status, data[:300]))
        return data

    @staticmethod
    def quote(key):
        return urllib.parse.quote(key, safe="/")

    def put(self, key, data, bucket="b", **headers):
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        headers.setdefault("content-type", "application/octet-stream")
        return self._ok(self.request(
            "PUT", "/object/%s/%s" % (bucket, self.quote(key)), data, headers))

    def get(self, key, bucket="b", **headers):
        return self._ok(self.request(
            "GET", "/object/authenticated/%s/%s" % (bucket, self.quote(key)),
            headers={k.replace("_", "-"): v for k, v in headers.items()}))

    def control(self, message):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(30)
            # A socket's name is at most 107 bytes; the folder may be deeper than that.
            fd = os.open(self.dir, os.O_RDONLY | os.O_DIRECTORY)
            try:
                s.connect("/proc/self/fd/%d/control" % fd)
            finally:
                os.close(fd)
            s.sendall(json.dumps(message).encode() + b"\n")
            data = b""
            while not data.endswith(b"\n"):
                part = s.recv(65536)
                if not part:
                    break
                data += part
        answer = json.loads(data)
        if isinstance(answer, dict) and "error" in answer:
            raise ControlError(answer["error"])
        return answer

    def counters(self):
        answer = self.control({"op": "counters"})
        return answer.get("counters", answer)

    def reset_counters(self):
        self.control({"op": "reset"})

    def fault(self, match, effect):
        return self.control({"op": "fault", "match": match, "effect": effect})["id"]

    def faults(self):
        answer = self.control({"op": "faults"})
        return answer.get("faults", answer)

    def clear_faults(self, id=None):
        self.control({"op": "clear"} if id is None else {"op": "clear", "id": id})

    def policy(self, role, bucket, pattern, ops):
        return self.control({"op": "policy", "role": role, "bucket": bucket,
                             "pattern": pattern, "ops": ops})

    def policies(self):
        answer = self.control({"op": "policies"})
        return answer.get("policies", answer)

    def token(self, role="authenticated", sub=None, exp_s=3600):
        message = {"op": "token", "role": role, "exp_s": exp_s}
        if sub is not None:
            message["sub"] = sub
        return self.control(message)["token"]


class Tap:
    """Prints TAP. ok(condition, name) for each check; done() at the end exits 0 or 1."""

    def __init__(self, stream=None):
        self.stream = stream or sys.stdout
        self.count = 0
        self.failed = 0

    def ok(self, condition, name, detail=None):
        self.count += 1
        if not condition:
            self.failed += 1
        print("%sok %d - %s" % ("" if condition else "not ", self.count, name),
              file=self.stream)
        if not condition and detail is not None:
            for line in str(detail).splitlines():
                print("# " + line, file=self.stream)
        self.stream.flush()
        return bool(condition)

    def equal(self, got, want, name):
        return self.ok(got == want, name, "got %.500r\nwant %.500r" % (got, want))

    def done(self):
        print("1..%d" % self.count, file=self.stream)
        sys.exit(1 if self.failed else 0)


def run_tests(functions):
    """Runs each function(tap); an exception fails that test and the next one goes on."""
    tap = Tap()
    for function in functions:
        try:
            function(tap)
        except Exception as e:  # a test's failure, reported with its place
            import traceback
            tap.ok(False, function.__name__, "%r\n%s" % (e, traceback.format_exc()))
    tap.done()


def main():
    if len(sys.argv) < 2:
        print(__doc__)
        sys.exit(2)
    server = Server(*sys.argv[2:], dir=sys.argv[1])
    with server:
        print(server.url, flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    main()
