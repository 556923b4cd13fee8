#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The end of a mount: waits for uploads, says what is left, clears what is dead; background, signals, secrets."""
import glob
import os
import signal
import subprocess
import sys
import time

from mountlib import (Mount, find_supafs, force_unmount, list_keys, mounted, need_fuse, need_own_server, read,
                      read_text, resident_kib, run_tests, server, write)


class Background(Mount):
    """A mount without -f: the parent returns when it answers."""

    def command(self):
        return [w for w in super().command() if w != "-f"]

    def start(self):
        done = subprocess.run(self.command(), env=self.env(), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert not done.stderr or "lost+found" in done.stderr, done.stderr
        assert mounted(self.path)
        self.proc = None
        self.pid = self.daemon()
        return self

    def daemon(self):
        for path in glob.glob(os.path.join(self.records(), "*.mount")):
            values = dict(line.strip().split("=", 1) for line in read_text(path).splitlines())
            if values["mountpoint"].strip('"') == self.path:
                return int(values["pid"])
        raise AssertionError("no record of the mount")

    def records(self):
        return "/run/supafs" if os.geteuid() == 0 else os.path.join(self.dir, "run", "supafs")

    def __exit__(self, kind, value, trace):
        try:
            if mounted(self.path):
                code, said = self.umount()
                assert kind is not None or code == 0, said
        finally:
            super().__exit__(kind, value, trace)

    def log(self):
        return "".join(read_text(p) for p in glob.glob(os.path.join(self.dir, "cache", "supafs", "*", "log")))


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_background(s):
    with Background(s) as m:
        write(m / "a", b"1")
        assert alive(m.pid) and os.getsid(m.pid) == m.pid
        assert os.readlink("/proc/%d/cwd" % m.pid) == "/"
        code, said = m.umount()
        assert code == 0 and said == "" and not mounted(m.path)
        assert not alive(m.pid), "umount came back before the daemon's end"
        assert s.get("a", bucket=m.bucket) == b"1"
        records = glob.glob(os.path.join(m.records(), "*"))
        assert not any(m.path in read_text(p) for p in records), records


def test_waits_for_uploads(s):
    """What a dead process left open is sent in the background; umount waits for it."""
    need_own_server(s)
    with Mount(s) as m:
        s.fault({"kind": "put"}, {"delay_ms": 1500})
        child = os.fork()
        if child == 0:
            f = os.open(m / "late", os.O_CREAT | os.O_WRONLY)
            os.write(f, b"late")
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        code, said = m.umount()
        assert code == 0, said
        s.clear_faults()
        assert s.get("late", bucket=m.bucket) == b"late"


def test_says_what_is_left(s):
    need_own_server(s)
    with Mount(s, options=["timeout=2s", "drain=3s"]) as m:
        s.fault({"kind": "put"}, {"status": 503})
        try:
            write(m / "lost", b"kept bytes")
            raise AssertionError("close() of a failed upload said nothing")
        except OSError:
            pass
        code, said = m.umount()
        assert code == 1 and "1 file(s) could not be uploaded" in said, said
        m.proc.wait(30)
        assert m.proc.returncode == 1
        kept = [p for p in glob.glob(os.path.join(m.dir, "cache", "supafs", "*", "**"), recursive=True)
                if os.path.isfile(p) and read(p) == b"kept bytes"]
        assert len(kept) == 1, kept
        assert os.path.dirname(os.path.dirname(kept[0])) in said, said
        s.clear_faults()


def test_what_is_left_is_sent_by_the_next_mount(s):
    """Until then the journal has it, and the log, which stays, says what went wrong."""
    need_own_server(s)
    with Background(s, options=["timeout=2s", "drain=3s"]) as m:
        s.fault({"kind": "put"}, {"status": 503})
        try:
            write(m / "lost", b"kept bytes")
            raise AssertionError("close() of a failed upload said nothing")
        except OSError:
            pass
        code, said = m.umount()
        assert code == 1 and "lost" in said, said
        s.clear_faults()
        before = m.log()
        assert before
        m.start()
        assert read(m / "lost") == b"kept bytes"
        code, said = m.umount()
        assert code == 0, said
        assert s.get("lost", bucket=m.bucket) == b"kept bytes"
        assert m.log().startswith(before), m.log()
        assert not glob.glob(os.path.join(m.dir, "cache", "supafs", "*", "lost+found", "*"))


def test_busy(s):
    with Mount(s) as m:
        with open(m / "open", "w", encoding="utf-8"):
            code, said = m.umount()
            assert code == 1 and "is in use" in said and mounted(m.path), said
        code, said = m.umount()
        assert code == 0 and not mounted(m.path), said


def test_lazy(s):
    with Mount(s) as m:
        with open(m / "open", "w", encoding="utf-8") as f:
            command = [find_supafs(), "umount", "--lazy", m.path]
            waiting = subprocess.Popen(command, env=m.env(), stderr=subprocess.PIPE, text=True)
            end = time.monotonic() + 30
            while mounted(m.path) and time.monotonic() < end:
                time.sleep(0.01)
            assert not mounted(m.path) and waiting.poll() is None
            f.write("until the end")
        assert waiting.wait(60) == 0, waiting.stderr.read()
        waiting.stderr.close()
        m.proc.wait(60)
        assert s.get("open", bucket=m.bucket) == b"until the end"


def test_not_mounted(s):
    with Mount(s) as m:
        m.umount()
        code, said = m.umount()
        assert code == 1 and "nothing is mounted" in said, said
    for path, words in (("/proc", "is not supafs but proc"), ("/no/such", "nothing is mounted")):
        done = subprocess.run([find_supafs(), "umount", path], capture_output=True, text=True)
        assert done.returncode == 1 and words in done.stderr, done.stderr


def test_killed(s):
    with Background(s) as m:
        write(m / "a", b"1")
        os.kill(m.pid, signal.SIGKILL)
        end = time.monotonic() + 30
        while alive(m.pid) and time.monotonic() < end:
            time.sleep(0.01)
        try:
            os.stat(m.path)
            raise AssertionError("a dead mount answers")
        except OSError:
            pass
        code, said = m.umount()
        assert code == 0 and "cleared" in said and not mounted(m.path), said
        m.start()
        assert read(m / "a") == b"1"


def test_sigterm(s):
    """As systemd stops it: even with a program inside the mount ends, and what was written is sent."""
    with Mount(s) as m:
        f = os.open(m / "a", os.O_CREAT | os.O_WRONLY)
        os.write(f, b"written before")
        m.proc.send_signal(signal.SIGTERM)
        m.proc.wait(60)
        assert m.proc.returncode == 0 and not mounted(m.path), m.log()
        try:
            os.close(f)
        except OSError:
            pass
        assert s.get("a", bucket=m.bucket) == b"written before"


def test_second_sigterm(s):
    """The second one does not wait for a server that is not there."""
    need_own_server(s)
    with Mount(s) as m:
        os.stat(m.path)
        s.fault({"kind": "put"}, {"silence": True})
        f = os.open(m / "a", os.O_CREAT | os.O_WRONLY)
        os.write(f, b"1")
        m.proc.send_signal(signal.SIGTERM)
        end = time.monotonic() + 30
        while mounted(m.path) and time.monotonic() < end:
            time.sleep(0.01)
        began = time.monotonic()
        while m.proc.poll() is None and time.monotonic() - began < 20:
            m.proc.send_signal(signal.SIGTERM)
            time.sleep(0.2)
        assert m.proc.returncode == 1, m.log()
        s.clear_faults()
        try:
            os.close(f)
        except OSError:
            pass


def test_plain_umount(s):
    """umount(8) and fusermount3 do as well: the daemon finishes by itself."""
    with Mount(s) as m:
        write(m / "a", b"1")
        os.mkdir(m / "d")
        force_unmount(m.path)
        m.proc.wait(60)
        assert m.proc.returncode == 0, m.log()
        assert "a" in list_keys(s, m.bucket)


def test_no_secret_shows(s):
    with Mount(s, options=["log_level=debug"], env={"SUPAFS_DEBUG": "all"}) as m:
        write(m / "a", b"1")
        read(m / "a")
        os.listdir(m.path)
        with open("/proc/%d/environ" % m.pid, "rb") as f:
            assert s.service_key.encode() not in f.read()
        with open("/proc/%d/cmdline" % m.pid, "rb") as f:
            assert s.service_key.encode() not in f.read()
        text = m.log()
        assert "debug" in text and s.service_key not in text
        assert s.service_key.split(".")[2] not in text
    for path in glob.glob(os.path.join(m.dir, "**"), recursive=True):
        assert not os.path.isfile(path) or s.service_key not in read_text(path)


def test_many_mounts(s):
    """The same bucket at two places: each has its own folder and its own end."""
    with Mount(s) as a, Mount(s, bucket=a.bucket, options=["ttl=0"]) as b:
        write(a / "x", b"1")
        assert read(b / "x") == b"1"
        a.umount()
        write(b / "y", b"2")
        a.start()
        assert sorted(os.listdir(a.path)) == ["x", "y"]


def test_memory_stays(s):
    """Operations in their thousands leave nothing behind."""
    with Mount(s, options=["ttl=1h"]) as m:
        os.mkdir(m / "d")
        write(m / "d/f", b"1" * 5000)

        def round_trip(n):
            for i in range(n):
                os.stat(m / "d/f")
                read(m / "d/f")
                os.listdir(m / "d")
                try:
                    os.stat(m / ("d/none%d" % (i % 50)))
                except OSError:
                    pass

        round_trip(500)
        before = resident_kib(m.pid)
        round_trip(5000)
        grown = resident_kib(m.pid) - before
        # A sanitizer keeps freed memory for a while.
        assert grown < (65536 if "asan" in read_text("/proc/%d/maps" % m.pid) else 4096), grown


def main():
    need_fuse()
    tests = [f for name, f in list(globals().items()) if name.startswith("test_")]
    only = sys.argv[1:]
    with server() as s:
        run_tests([f for f in tests if not only or f.__name__[5:] in only], s)


if __name__ == "__main__":
    main()
