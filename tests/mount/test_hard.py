#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""-o hard: operations outlive an outage, however long, and end at once on a signal; what needs nobody waits for
nobody, in every mode."""
import os
import signal
import subprocess
import sys
import time

from mountlib import Mount, need_fuse, read, run_tests, server, write

HARD = ["hard", "timeout=1s", "ttl=0", "connect_timeout=1s", "stall_timeout=2s", "retry_cap=500ms"]
LONGER_S = 3.5  # than any time-out that would be an error without -o hard


def blocked(*command):
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def still_runs(processes, seconds=LONGER_S):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for p in processes:
            assert p.poll() is None, (p.args, p.returncode, p.stderr.read())
        time.sleep(0.05)


def waits_for_nobody(m):
    began = time.monotonic()
    os.statvfs(m.path)
    os.stat(m.path)
    assert os.access(m.path, os.R_OK | os.X_OK)
    assert time.monotonic() - began < 2, "statfs, root getattr, access"


def outage(s, options, end):
    """Readers, writers and look-ups begin in an outage; end(processes) brings it to its end."""
    with Mount(s, options=options) as m:
        data = os.urandom(300000)
        s.put("d/f", data, bucket=m.bucket)
        os.stat(m / "d/f")
        stop(s)
        try:
            waits_for_nobody(m)
            work = [blocked("cat", m / "d/f"), blocked("ls", m / "d"), blocked("mkdir", m / "new"),
                    blocked("cp", "/etc/hostname", m / "copy"), blocked("rm", m / "d/f2")]
            still_runs(work)
            waits_for_nobody(m)
            end(m, work, data)
        finally:
            for p in work:
                if p.poll() is None:
                    p.kill()
                p.wait()
                p.stdout.close()
                p.stderr.close()
            again(s)


def stop(s):
    s.kept_port = s.port
    s.stop()


def again(s):
    if s.proc.poll() is not None:
        s._port = s.kept_port
        s.start()


def test_comes_back(s):
    def end(m, work, data):
        again(s)
        out = [p.communicate(timeout=60) for p in work]
        assert out[0][0] == data and work[0].returncode == 0, out[0][1]
        assert out[1][0] == b"f\n" and work[2].returncode == 0 and work[3].returncode == 0, out
        assert work[4].returncode == 1 and b"No such file" in out[4][1], out[4]
        assert os.path.isdir(m / "new") and s.get("copy", bucket=m.bucket) == read("/etc/hostname")

    outage(s, HARD, end)


def test_signal_ends_it(s):
    def end(m, work, data):
        began = time.monotonic()
        for p in work:
            p.send_signal(signal.SIGINT)
        for p in work:
            p.wait(10)
        assert time.monotonic() - began < 5
        # Also a signal that cannot be handled.
        p = blocked("cat", m / "d/f")
        work.append(p)
        still_runs([p], 0.5)
        p.kill()
        p.wait(10)

    outage(s, HARD, end)


def test_silent_server(s):
    """Not refused, just never an answer."""
    with Mount(s, options=HARD) as m:
        s.put("f", b"content", bucket=m.bucket)
        os.stat(m / "f")
        s.fault({}, {"silence": True})
        waits_for_nobody(m)
        work = [blocked("cat", m / "f"), blocked("stat", m / "g")]
        still_runs(work)
        waits_for_nobody(m)
        s.clear_faults()
        assert work[0].communicate(timeout=60)[0] == b"content"
        work[1].communicate(timeout=60)
        assert work[1].returncode == 1


def test_refusal_is_an_error(s):
    """What the server refuses is not waited for."""
    with Mount(s, options=HARD) as m:
        os.stat(m.path)
        denied = '{"statusCode":"403","error":"Unauthorized","message":"new row violates row-level security ' \
                 'policy","code":"AccessDenied"}'
        s.fault({"kind": "put"}, {"status": 400, "body": denied})
        began = time.monotonic()
        try:
            write(m / "x", b"1")
            raise AssertionError("worked")
        except PermissionError:
            pass
        assert time.monotonic() - began < 20
        s.clear_faults()
        os.unlink(m / "x") if os.path.exists(m / "x") else None


def test_soft_mount(s):
    """The same without -o hard: nothing of these three waits either, and the rest ends with an error."""
    with Mount(s, options=[o for o in HARD if o != "hard"]) as m:
        s.put("f", b"content", bucket=m.bucket)
        os.stat(m / "f")
        stop(s)
        try:
            waits_for_nobody(m)
            p = blocked("cat", m / "f")
            p.communicate(timeout=30)
            assert p.returncode == 1
        finally:
            again(s)


def main():
    need_fuse()
    tests = [f for name, f in list(globals().items()) if name.startswith("test_")]
    only = sys.argv[1:]
    with server() as s:
        if s.foreign:
            print("1..0 # SKIP needs a server that can be stopped")
            sys.exit(0)
        run_tests([f for f in tests if not only or f.__name__[5:] in only], s)


if __name__ == "__main__":
    main()
