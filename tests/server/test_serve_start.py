#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Start and stop: files and their modes, every refused start, options, TLS, durability."""
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from servelib import Server, find_binary, run_tests  # noqa: E402


def run(*args):
    return subprocess.run([find_binary(), *args], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=30)


def mode(*path):
    return stat.S_IMODE(os.stat(os.path.join(*path)).st_mode)


def refused(tap, name, text, *args, code=1):
    p = run(*args)
    lines = p.stderr.splitlines()
    tap.ok(p.returncode == code and len(lines) == 1 and text in lines[0] and not p.stdout, name,
           (p.returncode, p.stdout, p.stderr))


def files(tap):
    with Server("--bucket", "b") as s:
        tap.equal((mode(s.dir, "env"), mode(s.dir, "jwt-secret"), mode(s.dir, "control")),
                  (0o600, 0o600, 0o600), "env, jwt-secret and control are for the owner alone")
        with open(os.path.join(s.dir, "env"), encoding="utf-8") as f:
            text = f.read()
        tap.ok(re.fullmatch(r"SUPABASE_URL=http://127\.0\.0\.1:\d+\nSUPABASE_SERVICE_ROLE_KEY=eyJ"
                            r"\S+\nSUPABASE_ANON_KEY=eyJ\S+\n", text), "env has the three names")
        tap.ok(s.service_key not in open("/proc/%d/cmdline" % s.pid).read(), "no key in argv")
        refused(tap, "a second server on the folder", "another supafs-serve is running",
                "--port", "0", s.dir)
        refused(tap, "a port in use", "another program has it", "--port", str(s.port),
                os.path.join(s.dir, "sub"))
        s.put("k", b"x")
        key = s.service_key
        s.stop()
        tap.ok(not os.path.exists(os.path.join(s.dir, "control")), "stop removes the socket")
        s.start()
        tap.equal(s.get("k", authorization="Bearer " + key), b"x", "old keys are good after a start")


def refusals(tap):
    d = tempfile.mkdtemp(prefix="supafs-serve-")
    try:
        for args, text in (([], "a folder is needed"), ([d, "x"], "unexpected argument"),
                           (["--nope", d], "unknown option"), (["--port"], "needs a value"),
                           (["--port", "70000", d], "--port"), (["--etag", "sha", d], "--etag"),
                           (["--size-limit", "0", d], "--size-limit"),
                           (["--base-path", "x/", d], "--base-path"),
                           (["--quiet=1", d], "takes no value"),
                           (["--tls-cert", "x", d], "belong together")):
            refused(tap, "usage: %s" % text, text, *args, code=2)
        refused(tap, "an address that is none", "not an IP address", "--listen", "nowhere", d)
        refused(tap, "an address of another machine", "no such address", "--listen", "192.0.2.1", d)
        refused(tap, "a bucket name", "not a valid bucket name", "--port", "0", "--bucket", "a/b", d)
        refused(tap, "a policy", "is not ROLE:BUCKET:PATTERN:OPS", "--port", "0", "--policy", "x", d)
        refused(tap, "a folder in nothing", "cannot make the folder", d + "/no/where")
        refused(tap, "no certificate", "--tls-cert", "--tls-cert", d + "/c", "--tls-key", d + "/k",
                d)
        with open(os.path.join(d, "secret"), "w", encoding="utf-8") as f:
            f.write("x")
        os.chmod(f.name, 0o644)
        refused(tap, "a secret that others can read", "chmod 600", "--jwt-secret-file", f.name, d)
        with open(os.path.join(d, "c"), "w", encoding="utf-8") as f:
            f.write("no certificate")
        refused(tap, "a certificate that is none", "certificate", "--tls-cert", f.name, "--tls-key",
                f.name, "--port", "0", d)
        for name in ("meta.db", "meta.db-wal", "meta.db-shm"):
            if os.path.exists(os.path.join(d, name)):
                os.unlink(os.path.join(d, name))
        with open(os.path.join(d, "meta.db"), "wb") as f:
            f.write(b"not a database, but long enough to be looked at" * 100)
        refused(tap, "a database that is none", "is not a database", "--port", "0", d)
        p = run("--help")
        tap.ok(p.returncode == 0 and "--policy" in p.stdout, "--help")
        p = run("--version")
        tap.ok(p.returncode == 0 and "libmicrohttpd" in p.stdout, "--version")
    finally:
        shutil.rmtree(d)


def options(tap):
    with Server("--durable", "--bucket", "b", "--bucket", "open:public", base_path="") as s:
        s.put("k", b"x")
        tap.equal(s.get("k"), b"x", "--durable, no base path")
        tap.equal(s.json("GET", "/bucket/open")[2]["public"], True, "--bucket NAME:public")
        tap.equal(s.request("GET", "/version", auth="none")[0], 200, "/version")
        s.stop()
        for folder in ("tmp", "objects/00"):
            with open(os.path.join(s.dir, folder, "left-over"), "w", encoding="utf-8") as f:
                f.write("x")
        s.start()
        tap.equal((os.listdir(os.path.join(s.dir, "tmp")),
                   os.path.exists(os.path.join(s.dir, "objects/00/left-over"))), ([], False),
                  "what a crash left is removed at start")
    if socket.has_ipv6:
        try:
            with Server("--listen", "::1", "--bucket", "b") as s:
                tap.equal(s.request("GET", "/status", auth="none")[0], 200, "IPv6 " + s.url)
        except RuntimeError:
            tap.ok(True, "IPv6 # SKIP no ::1 here")


def tls(tap):
    if not shutil.which("openssl"):
        tap.ok(True, "TLS # SKIP needs the openssl command (package openssl)")
        return
    d = tempfile.mkdtemp(prefix="supafs-serve-")
    try:
        cert, key = os.path.join(d, "cert.pem"), os.path.join(d, "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                        "/CN=localhost", "-keyout", key, "-out", cert], check=True,
                       capture_output=True)
        with Server("--tls-cert", cert, "--tls-key", key, "--bucket", "b") as s:
            tap.ok(s.url.startswith("https://"), "the URL is https", s.url)
            s.put("k", b"x" * 300000)
            tap.equal(s.get("k"), b"x" * 300000, "a body each way")
    finally:
        shutil.rmtree(d)


if __name__ == "__main__":
    run_tests([files, refusals, options, tls])
