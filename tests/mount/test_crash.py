#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The daemon is killed (SIGKILL) at random moments of a mixed load; what it promised is there afterwards.

A round: mount with random flags, several workers (tests/torture/load.py), SIGKILL at a random moment, mount again
with other flags (sometimes killed again while it takes up what was left), look through the mount, unmount, look with
a second client. Both views must be one that the workers' logs allow (tests/torture/worlds.py). The tree lives on
from round to round.

SUPAFS_TEST_CRASHES   rounds of each mode (20: with those of a start about 50 kills)
SUPAFS_TEST_SEED      of all that is random but the scheduler (printed)
SUPAFS_TEST_KEEP      folder for what a failed round leaves: logs, the cache folder as the kill left it, the server's
                      folder, the daemon's log (default: a new one in the temporary folder, named in the message)"""
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse

from mountlib import Mount, find_supafs, force_unmount, list_keys, need_fuse, need_own_server, run_tests, server

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "torture"))

import load  # noqa: E402
import worlds  # noqa: E402

ROUNDS = int(os.environ.get("SUPAFS_TEST_CRASHES", "20"))
SEED = int(os.environ.get("SUPAFS_TEST_SEED", "0")) or int(time.time())
WORKERS = 3
GENS_A_ROUND = 100000
PLACEHOLDER = "/.emptyFolderPlaceholder"
PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_!.*'() &$=@;:+,?-")
FAULTS = (
    {"status": 503}, {"status": 429, "header": "Retry-After: 0"}, {"reset": "before"}, {"reset": "answer"},
    {"reset": "inside"}, {"reset": "body", "reset_after": 1000}, {"status": 500, "body": "{}"},
)


def key_of(path):
    """docs/names.md, for the names that load.py uses (none needs an escaped '=')."""
    return "".join(chr(b) if b in PLAIN or b == 0x2F else "=%02X" % b for b in path.encode())


def path_of(key):
    return urllib.parse.unquote(key.replace("%", "%25").replace("=C3", "%C3").replace("=A9", "%A9").replace("=7E", "%7E"))


class Client:
    """The second client: the API, and no mount."""

    def __init__(self, s, bucket):
        self.s, self.bucket = s, bucket

    def get(self, path, conn=None):
        where = "/object/authenticated/%s/%s" % (self.bucket, self.s.quote(key_of(path)))
        status, _, data = self.s.request("GET", where, conn=conn)
        assert status == 200, (path, status, data[:200])
        return data

    def look(self, top):
        with contextlib.closing(self.s.connect()) as conn:
            return self.look_by(conn, top)

    def look_by(self, conn, top):
        """path -> FOLDER or (size, sha256), below and with `top`."""
        seen = {}
        for key in list_keys(self.s, self.bucket, top + "/"):
            path = path_of(key)
            folder = worlds.parent(path)
            while folder and folder not in seen:
                seen[folder] = worlds.FOLDER
                folder = worlds.parent(folder)
            if not key.endswith(PLACEHOLDER):
                assert key_of(path) == key, "a key that nobody made: %r" % key
                seen[path] = worlds.mark(self.get(path, conn))
        return seen


def read_file(path):
    with open(path, "rb") as f:
        return f.read()


def look_through(root, top):
    seen = {top: worlds.FOLDER}
    for base, folders, files in os.walk(os.path.join(root, top)):
        inner = os.path.relpath(base, root)
        seen.update({os.path.join(inner, f): worlds.FOLDER for f in folders})
        seen.update({os.path.join(inner, f): worlds.mark(read_file(os.path.join(base, f))) for f in files})
    return seen


def sockets(pid):
    """How many sockets the process has open."""
    count = 0
    for name in os.listdir("/proc/%d/fd" % pid):
        try:
            count += os.readlink("/proc/%d/fd/%s" % (pid, name)).startswith("socket:")
        except FileNotFoundError:
            pass
    return count


def copy_tree(source, target):
    subprocess.run(["cp", "-a", "--reflink=auto", source, target], check=True)


class Torture:
    def __init__(self, s, m, seed, writeback):
        self.s, self.m, self.seed, self.writeback = s, m, seed, writeback
        self.client = Client(s, m.bucket)
        self.tops = ["w%d" % k for k in range(WORKERS)]
        self.streams = [worlds.Streams() for _ in self.tops]
        self.states = []
        self.pids = []
        self.number = 0
        self.met = {}  # what was under way at a kill -> how often
        self.operations = self.kills = 0
        for top in self.tops:
            os.mkdir(m / top)
            self.states.append({"": worlds.FOLDER, top: worlds.FOLDER})

    # --- one round

    def flags(self, writeback):
        flags = [self.rng.choice(("ttl=5s", "ttl=0", "ttl=100ms"))]
        flags += self.rng.choice(([], [], ["memory=8M"]))
        return flags + (["writeback"] if writeback else [])

    def mount(self, writeback):
        self.m.options = self.flags(writeback)
        self.said.append("mounted with " + ",".join(self.m.options))
        self.m.start()

    def trouble(self):
        """Sometimes the server is slow, or fails a few requests in a hundred."""
        kind = self.rng.random()
        if kind < 0.3:
            self.s.fault({}, {"delay_ms": self.rng.choice((2, 10, 40))})
        elif kind < 0.5:
            for effect in self.rng.sample(FAULTS, 3):
                self.s.fault({"probability": 0.01, "seed": self.rng.randrange(1000)}, effect)

    def log_of(self, k):
        return os.path.join(self.m.dir, "ops-%d" % k)

    def start_workers(self, most):
        for k, top in enumerate(self.tops):
            state = worlds.Worlds(dict(self.states[k]), self.streams[k])
            seed, first = self.rng.randrange(1 << 30), (self.number * WORKERS + k) * GENS_A_ROUND + 1
            pid = os.fork()
            if pid == 0:
                try:
                    signal.signal(signal.SIGTERM, signal.SIG_DFL)
                    load.Load(self.m.path, top, self.log_of(k), state, seed, first).run(lambda: False, most)
                    os._exit(0)
                except BaseException as e:  # pylint: disable=broad-except
                    os.write(2, b"# worker: %r\n" % e)
                    os._exit(1)
            self.pids.append(pid)

    def end_workers(self):
        """They end by themselves when the mount is dead."""
        end, codes = time.monotonic() + 60, []
        for pid in self.pids:
            done = (0, 0)
            while done[0] == 0 and time.monotonic() < end:
                done = os.waitpid(pid, os.WNOHANG)
                if done[0] == 0:
                    time.sleep(0.005)
            if done[0] == 0:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                codes.append("a worker hung in the dead mount")
            elif done[1] != 0:
                codes.append("a worker ended with %d" % done[1])
        self.pids = []
        assert not codes, codes

    def server_is_done(self):
        """What the dead daemon had under way ends at the server, before anything is looked at."""
        self.s.clear_faults()
        end = time.monotonic() + 20
        while sockets(self.s.pid) > self.idle_sockets:
            assert time.monotonic() < end, "the server is still at a dead daemon's requests"
            time.sleep(0.002)

    def kill(self):
        self.m.kill()
        self.kills += 1
        self.end_workers()  # before there is a folder again where the mount was
        force_unmount(self.m.path)
        self.server_is_done()

    def allowed(self):
        found = []
        for k, top in enumerate(self.tops):
            state = worlds.Worlds(dict(self.states[k]), self.streams[k])
            lines = read_file(self.log_of(k)).split(b"\n") if os.path.exists(self.log_of(k)) else []
            self.operations += sum(b'"op"' in line for line in lines)
            last = [line for line in lines if line][-1:]
            if last and b'"op"' in last[0]:
                what = last[0].split(b'"')[3].decode()
                self.met[what] = self.met.get(what, 0) + 1
            found.append(worlds.replay(lines, state))
        return found

    def judge(self, states, look, read, who):
        for k, top in enumerate(self.tops):
            try:
                seen = {"": worlds.FOLDER, top: worlds.FOLDER, **look(top)}
                states[k].worlds = worlds.judge(states[k], seen, read)
            except worlds.Impossible as e:
                raise AssertionError("%s, folder %s: %s" % (who, top, e)) from e

    def flush(self):
        done = subprocess.run([find_supafs(), "flush", self.m.path], env=self.m.env(), capture_output=True, text=True,
                              timeout=120)
        if "flush" in done.stderr and done.returncode == 2:
            return  # a program without that command
        assert done.returncode == 0, "flush ended with %d: %s%s" % (done.returncode, done.stdout, done.stderr)

    def umount_and_kill(self):
        """Killed while it waits for its uploads."""
        ending = subprocess.Popen([find_supafs(), "umount", self.m.path], env=self.m.env(),
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(self.rng.uniform(0, 0.2))
        self.kill()
        ending.wait(60)

    def load_and_kill(self):
        self.trouble()
        how = self.rng.random()
        self.start_workers(10**6 if how < 0.85 else self.rng.randint(5, 60))
        if how < 0.85:
            time.sleep(self.rng.choice((0.05, 0.2, 0.5, 1.2)) * self.rng.random() * 2)
            self.kill()
        else:
            self.end_workers()
            if how < 0.95:
                self.umount_and_kill()
            else:
                self.s.clear_faults()
                self.umount()

    def umount(self):
        code, said = self.m.umount()
        assert code == 0, "umount ended with %d: %s" % (code, said)

    def cache_folders(self):
        base = os.path.join(self.m.dir, "cache", "supafs")
        return [os.path.join(base, name) for name in os.listdir(base)] if os.path.isdir(base) else []

    def round(self):
        self.said = []
        self.rng = random.Random("%d %d %d" % (self.seed, self.writeback, self.number))
        for k in range(WORKERS):
            if os.path.exists(self.log_of(k)):
                os.unlink(self.log_of(k))
        if self.m.proc.poll() is None:
            self.umount()
        self.mount(self.writeback)
        self.load_and_kill()
        states = self.allowed()
        left = os.path.join(self.m.dir, "left")
        shutil.rmtree(left, ignore_errors=True)
        copy_tree(os.path.join(self.m.dir, "cache"), left)
        while self.rng.random() < 0.2:
            self.mount(self.rng.random() < 0.5)
            time.sleep(self.rng.random() * 0.3)
            self.kill()
        self.mount(self.rng.random() < 0.5)
        self.judge(states, lambda top: look_through(self.m.path, top),
                   lambda path: read_file(self.m / path), "the mount after the kill")
        if self.rng.random() < 0.5:
            self.flush()
        self.umount()
        self.judge(states, self.client.look, self.client.get, "the server after the unmount")
        self.states = [s.worlds[0] for s in states]
        for folder in self.cache_folders():
            shutil.rmtree(os.path.join(folder, "lost+found"), ignore_errors=True)
        self.number += 1

    def keep(self):
        """What shows the reason of a failure."""
        kept = os.environ.get("SUPAFS_TEST_KEEP") or tempfile.mkdtemp(prefix="supafs-crash-")
        kept = os.path.join(kept, "%d-%s-%d" % (self.seed, "writeback" if self.writeback else "plain", self.number))
        os.makedirs(kept)
        for name in ["left", "cache", "log"] + ["ops-%d" % k for k in range(WORKERS)]:
            if os.path.exists(os.path.join(self.m.dir, name)):
                copy_tree(os.path.join(self.m.dir, name), kept)
        copy_tree(self.s.dir, os.path.join(kept, "server"))
        return kept

    def stop(self):
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.pids = []


def torture(s, writeback):
    need_own_server(s)
    print("# seed %d (SUPAFS_TEST_SEED), %d rounds" % (SEED, ROUNDS), flush=True)
    idle = sockets(s.pid)
    with Mount(s) as m:
        t = Torture(s, m, SEED, writeback)
        t.idle_sockets = idle
        try:
            for _ in range(ROUNDS):
                t.round()
        except BaseException:
            t.stop()
            print("# round %d of seed %d; %s; kept: %s" % (t.number, SEED, "; ".join(t.said), t.keep()), flush=True)
            raise
        print("# %d kills in %d rounds, %d operations; under way at a kill: %s" % (
            t.kills, t.number, t.operations, ", ".join("%s %d" % x for x in sorted(t.met.items()))))


def test_close_waits(s):
    torture(s, False)


def test_writeback(s):
    torture(s, True)


# --- The judge itself: it must see what it is there for -----------------------------------------------------------


def allowed(*rows):
    state = worlds.Worlds({"": worlds.FOLDER, "d": worlds.FOLDER})
    return worlds.replay([load.json.dumps(row) for row in rows], state)


SAVE = ({"op": "save", "path": "d/a", "gen": 1, "n": 500}, {"r": 0})
AGAIN = ({"op": "save", "path": "d/a", "gen": 2, "n": 300}, {"r": 0})


def refused(state, files):
    seen = {"": worlds.FOLDER, "d": worlds.FOLDER, **files}
    try:
        worlds.judge(state, seen)
    except worlds.Impossible:
        return True
    return False


def file(gen, n, path="d/a", upto=None):
    return worlds.mark(worlds.stream(gen, n, path)[:upto])


def test_judge_sees_loss(s):
    state = allowed(*SAVE)
    assert refused(state, {}), "a file that is gone"
    assert refused(state, {"d/a": file(1, 500, upto=499)}), "a file that is torn"
    assert not refused(state, {"d/a": file(1, 500)})
    state = allowed(*SAVE, *AGAIN)
    assert refused(state, {"d/a": file(1, 500)}), "the older of two closes"
    state = allowed(*SAVE, AGAIN[0])
    assert not refused(state, {"d/a": file(1, 500)}) and not refused(state, {"d/a": file(2, 300)})
    assert refused(state, {}), "neither the old nor the new"


def test_judge_sees_returns(s):
    unlink = {"op": "unlink", "path": "d/a"}
    assert refused(allowed(*SAVE, unlink, {"r": 0}), {"d/a": file(1, 500)}), "a deleted file that is back"
    assert not refused(allowed(*SAVE, unlink), {"d/a": file(1, 500)})
    rename = {"op": "rename", "path": "d/a", "to": "d/b"}
    assert refused(allowed(*SAVE, rename), {"d/a": file(1, 500), "d/b": file(1, 500)}), "both names"
    assert not refused(allowed(*SAVE, rename), {"d/b": file(1, 500)})
    assert refused(allowed(*SAVE, rename, {"r": 0}), {"d/a": file(1, 500)}), "a rename that did not last"


def test_judge_sees_half_a_folder(s):
    folder = ({"op": "mkdir", "path": "d/x"}, {"r": 0}, {"op": "save", "path": "d/x/1", "gen": 1, "n": 9}, {"r": 0},
              {"op": "save", "path": "d/x/2", "gen": 2, "n": 9}, {"r": 0})
    state = allowed(*folder, {"op": "rename", "path": "d/x", "to": "d/y"})
    one, two = file(1, 9, "d/x/1"), file(2, 9, "d/x/2")
    half = {"d/x": worlds.FOLDER, "d/x/1": one, "d/y": worlds.FOLDER, "d/y/2": two}
    assert refused(state, half)
    assert not refused(state, {"d/y": worlds.FOLDER, "d/y/1": one, "d/y/2": two})


def main():
    need_fuse()
    tests = [f for name, f in list(globals().items()) if name.startswith("test_")]
    only = sys.argv[1:]
    with server() as s:
        run_tests([f for f in tests if not only or f.__name__[5:] in only], s)


if __name__ == "__main__":
    main()
