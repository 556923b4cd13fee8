#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The commands that ask a mount, and its control channel: check, status, pending, flush, invalidate, url, umount."""
import errno
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
import urllib.request

from mountlib import (Mount, Skipped, find_supafs, mounted, need_fuse, need_own_server, new_bucket, read, remove_bucket,
                      run_tests, server, server_env, write)

FAST = ["timeout=2s", "drain=3s"]


def command(m, *args, **kwargs):
    kwargs.setdefault("timeout", 120)
    done = subprocess.run([find_supafs(), *args], env=m.env(), capture_output=True, text=True, **kwargs)
    return done.returncode, done.stdout, done.stderr


def good(m, *args):
    code, out, err = command(m, *args)
    assert code == 0 and err == "", (args, code, out, err)
    return out


def fails_to_close(path, data):
    try:
        write(path, data)
    except OSError as e:
        return e
    raise AssertionError("close() said nothing")


def listed(m):
    return [json.loads(line) for line in good(m, "pending", "--json", m.path).splitlines()]


def channel(m, cache=None):
    """A connection to the control socket; its path may be too long for a name."""
    folder = os.open(cache or json.loads(good(m, "status", "--json", m.path))["cache"], os.O_RDONLY)
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    try:
        s.connect("/proc/self/fd/%d/control" % folder)
    finally:
        os.close(folder)
    return s


def test_help_and_mistakes(s):
    with Mount(s) as m:
        for name in ("check", "status", "pending", "flush", "invalidate", "url", "umount"):
            assert good(m, name, "--help").startswith("supafs " + name), name
            code, out, err = command(m, name, "--nonsense", m.path)
            assert code == 2 and "--nonsense" in err, (name, code, err)
        for words in (["status"], ["pending"], ["flush"], ["invalidate"], ["url"], ["umount"],
                      ["status", m.path, m.path], ["pending", "--retry", "--json", m.path],
                      ["pending", m.path, "--drop"], ["url", "--signed", "soon", m.path],
                      ["umount", m.path, "--config", "x"]):
            code, out, err = command(m, *words)
            assert code == 2 and err.startswith("supafs: "), (words, code, err)
        for name in ("status", "pending", "flush", "invalidate"):
            code, out, err = command(m, name, "/proc")
            assert code == 1 and "is not supafs but proc" in err, err
            code, out, err = command(m, name, m.dir)
            assert code == 1 and "nothing is mounted" in err, err
        code, out, err = command(m, "url", m.dir)
        assert code == 1 and "is not in a mount" in err, err


def test_status(s):
    with Mount(s) as m:
        write(m / "a", b"x" * 1000)
        read(m / "a")
        st = json.loads(good(m, "status", "--json", m.path))
        assert st["source"] == "supafs:" + m.bucket and st["mountpoint"] == m.path and st["pid"] == m.pid, st
        assert st["state"] == "mounted" and st["since"].endswith("Z") and st["ok"] is True
        assert st["requests"]["put"] == dict(st["requests"]["put"], count=1, errors=0, bytes=1000), st
        assert st["uploads"] == {"waiting": 0, "sending": 0, "failed": 0, "deletes": 0, "bytes": 0}, st
        assert st["memory"]["resident"] > 1 << 20 and st["memory"]["contents_limit"] == 256 << 20, st
        assert os.path.isdir(st["cache"]) and "last_error" not in st
        text = good(m, "status", m.path)
        for word in (m.bucket, m.path, str(m.pid), "put", "resident", "0 failed", "1000 bytes up"):
            assert word in text, (word, text)
        assert s.service_key not in text


def test_status_warns(s):
    need_own_server(s)
    with Mount(s, options=FAST) as m:
        os.stat(m.path)
        s.fault({"kind": "put"}, {"status": 503})
        fails_to_close(m / "bad", b"12345")
        text = good(m, "status", m.path)
        assert "1 failed" in text and "WARNING" in text and "last error" in text, text
        st = json.loads(good(m, "status", "--json", m.path))
        assert st["uploads"]["failed"] == 1 and st["uploads"]["bytes"] == 5, st
        assert "bad" in st["last_error"]["text"], st
        s.clear_faults()


def test_pending(s):
    need_own_server(s)
    with Mount(s, options=FAST) as m:
        assert "is at the server" in good(m, "pending", m.path) and listed(m) == []
        os.mkdir(m / "d")
        s.fault({"kind": "put"}, {"status": 503, "body": "busy\u001b[31m"})
        fails_to_close(m / "d/on\te", b"12345")
        fails_to_close(m / "two", b"1234567")
        both = {e["path"]: e for e in listed(m)}
        assert set(both) == {"d/on\te", "two"}, both
        assert both["two"]["size"] == 7 and both["two"]["state"] == "failed" and both["two"]["tries"] >= 1, both
        assert "503" in both["two"]["server"] and both["two"]["errno"] == errno.EIO, both
        text = good(m, "pending", m.path)
        assert "7 bytes" in text and "failed" in text and "d/on\\x09e" in text and "\x1b" not in text, text

        code, out, err = command(m, "pending", m.path, "--drop", "tw")
        assert code == 1 and "no file 'tw' waits" in err, err
        assert "7 bytes" in good(m, "pending", m.path, "--drop", m / "two")
        assert not os.path.exists(m / "two") and len(listed(m)) == 1
        good(m, "pending", "--drop", "d/on\te", m.path)
        assert listed(m) == []
        s.clear_faults()
        assert m.umount()[0] == 0


def test_save_to(s):
    need_own_server(s)
    with Mount(s, options=FAST) as m:
        os.mkdir(m / "d")
        s.fault({"kind": "put"}, {"status": 503})
        fails_to_close(m / "d/one", b"first")
        fails_to_close(m / "two", b"second")
        try:
            os.symlink("d/one", m / "link")
        except OSError:
            pass
        to = os.path.join(m.dir, "saved")
        out = good(m, "pending", m.path, "--save-to", to)
        assert "saved d/one\n" in out and "saved two\n" in out, out
        assert read(os.path.join(to, "d/one")) == b"first" and read(os.path.join(to, "two")) == b"second"
        assert os.stat(to).st_mode & 0o777 == 0o700 and os.stat(to + "/d").st_mode & 0o777 == 0o700
        assert os.stat(to + "/two").st_mode & 0o777 == 0o600
        write(os.path.join(to, "two"), b"not yours")
        code, out, err = command(m, "pending", m.path, "--save-to", to)
        assert code == 1 and "'two'" in err and read(os.path.join(to, "two")) == b"not yours", err

        trap = os.path.join(m.dir, "trap")
        outside = os.path.join(m.dir, "outside")
        os.mkdir(trap)
        os.mkdir(outside)
        os.symlink(outside, os.path.join(trap, "d"))
        os.symlink(os.path.join(outside, "two"), os.path.join(trap, "two"))
        code, out, err = command(m, "pending", m.path, "--save-to", trap)
        assert code == 1 and os.listdir(outside) == [], (out, err)
        code, out, err = command(m, "pending", m.path, "--save-to", m.path)
        assert code == 1 and "in the mount itself" in err, err
        code, out, err = command(m, "pending", m.path, "--save-to", m.path + "/new/")
        assert code == 1 and "in the mount itself" in err and not os.path.lexists(m / "new"), err
        s.clear_faults()
        good(m, "pending", "--retry", m.path)
        good(m, "flush", m.path)
        assert s.get("d/one", bucket=m.bucket) == b"first" and s.get("two", bucket=m.bucket) == b"second"


def test_retry_and_flush(s):
    need_own_server(s)
    with Mount(s, options=FAST) as m:
        os.stat(m.path)
        rule = s.fault({"kind": "put"}, {"status": 503})
        fails_to_close(m / "a", b"once more")
        code, out, err = command(m, "flush", m.path)
        assert code == 1 and "'a' is not at the server" in err and "503" in err and "1 file(s)" in err, err
        s.clear_faults(rule)
        assert "1 file(s) are tried again" in good(m, "pending", "--retry", m.path)
        good(m, "flush", m.path)
        assert s.get("a", bucket=m.bucket) == b"once more" and listed(m) == []


def test_flush_waits_and_shows(s):
    """On a terminal: one line, written over. What is waited for is there at the end."""
    need_own_server(s)
    with Mount(s, options=["writeback"]) as m:
        s.fault({"kind": "put"}, {"delay_ms": 1500})
        for i in range(4):
            write(m / ("f%d" % i), b"%d" % i * 1000)
        master, slave = pty.openpty()
        waiting = subprocess.Popen([find_supafs(), "flush", m.path], env=m.env(), stderr=slave, stdout=slave)
        os.close(slave)
        assert waiting.wait(60) == 0
        shown = read_terminal(master)
        assert b"\rsupafs: waiting" in shown.replace(b"\x1b[K", b"") and b"\n" not in shown, shown
        for i in range(4):
            assert s.get("f%d" % i, bucket=m.bucket) == b"%d" % i * 1000
        s.clear_faults()


def test_flush_interrupted(s):
    """Ctrl-C ends the waiting, not the upload."""
    need_own_server(s)
    with Mount(s, options=["writeback"]) as m:
        s.fault({"kind": "put", "count": 1}, {"delay_ms": 2000})
        write(m / "slow", b"arrives")
        waiting = subprocess.Popen([find_supafs(), "flush", m.path], env=m.env(), stderr=subprocess.DEVNULL)
        time.sleep(0.3)
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(10) == -signal.SIGINT
        good(m, "flush", m.path)
        assert s.get("slow", bucket=m.bucket) == b"arrives"
        s.clear_faults()


def test_invalidate(s):
    with Mount(s, options=["ttl=1h"]) as m:
        assert os.listdir(m.path) == []
        s.put("new", b"1", bucket=m.bucket)
        assert os.listdir(m.path) == []
        good(m, "invalidate", m.path)
        assert os.listdir(m.path) == ["new"] and read(m / "new") == b"1"
        s.put("new", b"22", bucket=m.bucket)
        good(m, "invalidate", m.path)
        end = time.monotonic() + 10
        while read(m / "new") != b"22" and time.monotonic() < end:
            time.sleep(0.05)  # the kernel is told from a thread
        assert read(m / "new") == b"22"


def fetch(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read()


def test_url(s):
    with Mount(s) as m:
        os.mkdir(m / "d")
        write(m / "d/é b.txt", b"hello")
        code, out, err = command(m, "url", m / "d/é b.txt")
        assert code == 1 and "--signed 1h" in err, err
        signed = good(m, "url", "--signed", "60s", m / "d/é b.txt").strip()
        assert fetch(signed) == b"hello"
        code, out, err = command(m, "url", m / "d")
        assert code == 1 and "not a file" in err, err
        assert signed.split("token=")[1] not in m.log()
    bucket = new_bucket(s, public=True)
    try:
        with Mount(s, bucket=bucket, prefix="p") as m:
            write(m / "x", b"for all")
            assert fetch(good(m, "url", m / "x").strip()) == b"for all"
    finally:
        remove_bucket(s, bucket)


def test_umount_names_what_is_left(s):
    need_own_server(s)
    with Mount(s, options=FAST) as m:
        os.stat(m.path)
        s.fault({"kind": "put"}, {"status": 503})
        fails_to_close(m / "left", b"1")
        code, said = m.umount()
        assert code == 1 and "left is not at the server" in said and "503" in said, said
        m.proc.wait(30)
        s.clear_faults()
        m.start()
        good(m, "flush", m.path)
        assert s.get("left", bucket=m.bucket) == b"1"


def test_umount_by_configuration(s):
    """As the unit's stop command does; the file may hold the key as well."""
    with Mount(s) as m:
        folder = os.path.join(m.dir, "config")
        m._env["XDG_CONFIG_HOME"] = folder
        os.makedirs(os.path.join(folder, "supafs"))
        path = os.path.join(folder, "supafs", "course.conf")
        write(path, ("SUPAFS_MOUNTPOINT=%s\nSUPABASE_SERVICE_ROLE_KEY=%s\n" % (m.path, s.service_key)).encode())
        os.chmod(path, 0o600)
        code, out, err = command(m, "umount", "--config", "other")
        assert code == 1 and "there is no configuration 'other'" in err, err
        assert mounted(m.path)
        assert good(m, "umount", "--config", "course") == "" and not mounted(m.path)
        m.proc.wait(60)


def test_umount_shows_progress(s):
    """On a terminal; the daemon is asked while it finishes."""
    need_own_server(s)
    with Mount(s, options=["writeback"]) as m:
        s.fault({"kind": "put"}, {"delay_ms": 2500})
        write(m / "slow", b"1" * 5000)
        master, slave = pty.openpty()
        waiting = subprocess.Popen([find_supafs(), "umount", m.path], env=m.env(), stderr=slave, stdout=slave)
        os.close(slave)
        assert waiting.wait(60) == 0
        shown = read_terminal(master)
        assert b"waiting for 1 file(s), 4.9 KiB" in shown, shown
        m.proc.wait(60)
        s.clear_faults()
        assert s.get("slow", bucket=m.bucket) == b"1" * 5000


def read_terminal(master):
    shown = b""
    try:
        while True:
            part = os.read(master, 4096)
            if not part:
                break
            shown += part
    except OSError:
        pass  # the other side is closed
    os.close(master)
    return shown


def test_check(s):
    with Mount(s) as m:
        assert m.umount()[0] == 0
        out = good(m, "check", m.bucket, m.path)
        for word in ("settings", "key", "role service_role", "name", "clock", "server", "bucket", "fuse", "mount",
                     "cache"):
            assert word in out, (word, out)
        assert "FAIL" not in out and s.service_key not in out, out
        code, out, err = command(m, "check", m.bucket + "-not-there")
        assert code == 1 and "FAIL  server" in out and "there is no bucket" in out, out
        m.start()
        out = good(m, "check", m.bucket)
        assert "in use by a running mount" in out, out

        env = dict(m.env(), SUPABASE_SERVICE_ROLE_KEY=s.service_key[:-6] + "AAAAAA")
        done = subprocess.run([find_supafs(), "check", m.bucket], env=env, capture_output=True, text=True)
        assert done.returncode == 1 and "refuses the key" in done.stdout, done.stdout
        env = dict(m.env(), SUPABASE_URL="http://no-such-host.invalid", SUPAFS_OPTIONS="insecure_http")
        done = subprocess.run([find_supafs(), "check", m.bucket], env=env, capture_output=True, text=True)
        assert done.returncode == 1 and "FAIL  name" in done.stdout, done.stdout
        env = {k: v for k, v in m.env().items() if k not in server_env(s)}
        done = subprocess.run([find_supafs(), "check"], env=env, capture_output=True, text=True)
        assert done.returncode == 1 and "SUPABASE_URL is not set" in done.stdout, done.stdout


def test_check_sees_what_is_left(s):
    need_own_server(s)
    with Mount(s, options=FAST) as m:
        os.stat(m.path)
        s.fault({"kind": "put"}, {"status": 503})
        fails_to_close(m / "left", b"1")
        m.umount()
        m.proc.wait(30)
        s.clear_faults()
        out = good(m, "check", m.bucket)
        assert "WARN  cache" in out and "not at the server" in out, out


def answers(sock, request):
    sock.sendall(request)
    return [json.loads(line) for line in sock.makefile("rb")]


def test_hostile_clients(s):
    """Nothing that a client sends disturbs the mount or the others."""
    with Mount(s) as m:
        for bad in (b"\n", b"nonsense\n", b"status \n", b"status now\n", b"drop\n", b"drop x\n", b"drop 1 2\n",
                    b"retry 99999999999999999999\n", b"url 1 ../../etc/passwd\n", b"url 1 a//b\n", b"url 1 %00\n",
                    b"url 1 %zz\n", b"url -1 a\n", b"\0\0\0\n", b"\xff" * 100 + b"\n"):
            with channel(m) as c:
                got = answers(c, bad)
                assert len(got) == 1 and "error" in got[0], (bad, got)
        with channel(m) as c:
            try:
                assert answers(c, b"x" * 20000) == []
            except OSError:
                pass  # cut off while we send
        with channel(m) as c:
            c.sendall(b"pend")  # and goes
        cache = json.loads(good(m, "status", "--json", m.path))["cache"]
        idle = [channel(m, cache) for _ in range(4)]
        code, out, err = command(m, "status", m.path)
        assert code == 1 and "too many" in err, err
        for c in idle:
            c.close()
        end = time.monotonic() + 30
        while command(m, "status", m.path)[0] != 0 and time.monotonic() < end:
            time.sleep(0.1)
        good(m, "status", m.path)
        with channel(m) as c:
            got = answers(c, b"drop 12345678\n")
            assert got[-1]["errno"] == errno.ENOENT, got
        write(m / "a", b"1")
        waiting = channel(m)  # a silent client does not hold up the end
        began = time.monotonic()
        assert m.umount()[0] == 0 and time.monotonic() - began < 4 + 20
        waiting.close()


def test_others_may_not_ask(s):
    if os.geteuid() != 0:
        raise Skipped("needs root, to be somebody else")
    with Mount(s) as m:
        cache = json.loads(good(m, "status", "--json", m.path))["cache"]
        assert os.stat(cache).st_mode & 0o777 == 0o700
        assert os.stat(os.path.join(cache, "control")).st_mode & 0o777 == 0o600
        # Even with the folder open, the daemon looks at who asks.
        os.chmod(os.path.join(cache, "control"), 0o666)
        sock = channel_from(cache, uid=65534)
        assert sock == ["only its owner and root may ask this mount"], sock
        os.chmod(os.path.join(cache, "control"), 0o600)


def channel_from(cache, uid):
    """What a client with another user id is told; the socket's folder is handed over open."""
    folder = os.open(cache, os.O_RDONLY)
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        said = "?"
        try:
            # the folder's descriptor counts, not its path
            os.chmod(cache, 0o711)
            os.setgid(uid)
            os.setuid(uid)
            os.fchdir(folder)
            with socket.socket(socket.AF_UNIX) as c:
                c.connect("control")
                said = json.loads(c.makefile().readline() or "{}").get("error", "answered")
        except OSError as e:
            said = e.strerror
        os.write(into, said.encode())
        os._exit(0)
    os.close(into)
    os.waitpid(child, 0)
    os.chmod(cache, 0o700)
    os.close(folder)
    with os.fdopen(out) as f:
        return [f.read()]


def test_dead_daemon(s):
    with Mount(s) as m:
        m.kill()
        code, out, err = command(m, "status", m.path)
        assert code == 1 and "cannot be asked" in err, err
        assert m.umount()[0] == 0 and not mounted(m.path)


def main():
    need_fuse()
    tests = [f for name, f in list(globals().items()) if name.startswith("test_")]
    only = sys.argv[1:]
    with server() as s:
        run_tests([f for f in tests if not only or f.__name__[5:] in only], s)


if __name__ == "__main__":
    main()
