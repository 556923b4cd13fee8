#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every operation under every fault of the server (docs/reliability.md, "Faults"). The argument is a group of faults.

Of each pair three cases: a short burst is invisible; a lasting fault ends within `-o timeout` with an errno that fits, or
with a success that is true; and with the fault gone the same mount works on. Lasting ones hit all requests first, then
only those that do the operation's work, so that it gets as far as that. After each of them the server has what it had
before, or what it should have: never a third thing. And no redirect takes our key anywhere."""
import contextlib
import os
import sys
import threading
import time

import faultlib
from faultlib import KEEPER, Outcome
from mountlib import Mount, list_keys, need_fuse, run_tests, server

TIMEOUT_S = 3
PROMISE_S = 60  # what was promised is at the server so long after the end of the fault
SLACK_S = 12  # a machine under load is slow, a hang is for ever
QUICK = ["ttl=0", "connect_timeout=1s", "stall_timeout=1s", "retry_base=10ms", "retry_cap=200ms"]
BURST = QUICK + ["timeout=30s"]
LASTING = QUICK + ["timeout=%ds" % TIMEOUT_S]


def show(files):
    return {k: v if len(v) < 20 else "%d bytes" % len(v) for k, v in files.items()}


class Place:
    """A folder for one run of an operation, at the server and in the mount. It is opened before anything fails: an
    operation fails by what it asks itself, not by the way to its folder, on which others wait as well."""

    def __init__(self, s, m, op, number):
        self.s, self.m, self.op = s, m, op
        self.name = "%s-%d" % (op.name.replace(" ", "-"), number)
        for key, data in op.before.items():
            s.put(self.name + "/" + key, data, bucket=m.bucket)
        self.fd = os.open(m / self.name, os.O_RDONLY | os.O_DIRECTORY)
        self.path = "/proc/self/fd/%d" % self.fd

    def close(self):
        os.close(self.fd)

    def keys(self):
        return [k[len(self.name) + 1:] for k in list_keys(self.s, self.m.bucket, self.name + "/")]

    def files(self):
        """What the server has, asked past the mount."""
        found = {k: self.s.get(self.name + "/" + k, bucket=self.m.bucket) for k in self.keys()}
        found.pop(KEEPER, None)  # the folder's own
        return found

    def shown(self):
        """The same, as the mount shows it."""
        found = {}
        for top, folders, names in os.walk(self.path):
            rel = os.path.relpath(top, self.path)
            for name in names:
                with open(os.path.join(top, name), "rb") as f:
                    found[os.path.normpath(os.path.join(rel, name))] = f.read()
            if not folders and not names:
                found[os.path.normpath(os.path.join(rel, KEEPER))] = b""
        found.pop(KEEPER, None)
        return found

    def run(self, again=False):
        return Outcome(self.op, self.op.again if again else self.op.run, self.path)


class Case:
    """One fault against all operations."""

    def __init__(self, s, fault):
        self.s, self.fault = s, fault
        self.wrong, self.number = [], 0
        self.ops = faultlib.OPERATIONS

    def check(self, condition, op, text):
        if not condition:
            self.wrong.append("%s: %s" % (op.name, text))
        return condition

    def rules(self, kinds, count=0):
        """For the requests of these kinds, or for all."""
        self.s.clear_faults()
        for match in [{"kind": k} for k in kinds] if kinds else [{}]:
            self.s.fault({**match, **({"count": count} if count else {})}, self.fault.effect)

    # --- short bursts ---

    @contextlib.contextmanager
    def places(self, m, ops):
        """Places that are closed before the unmount."""
        with contextlib.ExitStack() as stack:
            places = []
            for op in ops:
                self.number += 1
                places.append(stack.enter_context(contextlib.closing(Place(self.s, m, op, self.number))))
            yield places

    def invisible(self, p, kinds, out):
        op = p.op
        where = "a burst on %s" % ("/".join(kinds) if kinds else "its first requests")
        self.check(out.good, op, "%s was seen: %s" % (where, out))
        files = p.files()
        self.check(files == op.after, op, "%s: the server has %s" % (where, show(files)))

    def burst_one_by_one(self, m):
        for op in self.ops:
            for kinds in [None] + [(k,) for k in op.kinds]:
                with self.places(m, [op]) as [p]:
                    self.rules(kinds, self.fault.burst)
                    out = p.run()
                    self.s.clear_faults()
                    self.invisible(p, kinds, out)

    def burst_at_once(self, m):
        """For faults that cost a second each: one for every operation, all of them together."""
        for deep in (False, True):
            with self.places(m, self.ops) as places:
                if deep:
                    for kind in sorted({k for op in self.ops for k in op.kinds}):
                        n = sum(kind in op.kinds for op in self.ops)
                        self.s.fault({"kind": kind, "count": n * self.fault.burst}, self.fault.effect)
                else:
                    self.s.fault({"count": len(self.ops) * self.fault.burst}, self.fault.effect)
                outs = self.together(places)
                self.s.clear_faults()
                for p, out in zip(places, outs):
                    self.invisible(p, p.op.kinds if deep else None, out)

    def told_at_once(self, m):
        """What no repetition mends is an error without a wait."""
        for op in self.ops:
            for kind in op.kinds:
                with self.places(m, [op]) as [p]:
                    self.rules((kind,))
                    out = p.run()
                    hit = any(f["hit"] for f in self.s.faults())
                    self.s.clear_faults()
                    if not hit:
                        continue
                    told = out.errno in self.fault.errnos or op.later and out.good
                    self.check(told, op, "%s refused: %s" % (kind, out))
                    self.check(out.slowest < SLACK_S, op, "%s refused: too late, %s" % (kind, out))
                    self.settled(p, out, kind + " refused")

    # --- lasting ---

    def together(self, places, again=False):
        outs = [None] * len(places)
        start = threading.Barrier(len(places))

        def one(i):
            start.wait()
            outs[i] = places[i].run(again)

        threads = [threading.Thread(target=one, args=(i,)) for i in range(len(places))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return outs

    def settled(self, p, out, where):
        """The fault is over: the server has one of two things, and the mount goes on."""
        op = p.op
        end = time.monotonic() + PROMISE_S
        while op.later and out.errno is None and set(p.keys()) - {KEEPER} != set(op.after) and time.monotonic() < end:
            pass
        files = p.files()
        allowed = [op.after] if out.errno is None else [op.before, op.after, *op.third]
        self.check(files in allowed, op, "%s: %s, but the server has %s" % (where, out, show(files)))
        if op.changes and files == op.after and out.errno is not None and not self.keeps(op):
            shown = p.shown()  # it was done, and the answer was lost
            self.check(shown == op.after, op, "%s: done, but the mount shows %s" % (where, show(shown)))
            return
        if out.errno is None and op.changes:
            return
        now = p.run(again=True)
        self.check(now.good, op, "%s: still failing after it: %s" % (where, now))
        files = p.files()
        self.check(files == op.after, op, "%s: afterwards the server has %s" % (where, show(files)))
        shown = p.shown()
        self.check(shown == op.after, op, "%s: afterwards the mount shows %s" % (where, show(shown)))

    @staticmethod
    def keeps(op):
        """Its bytes are kept here after a failure, to be sent by the next close."""
        return op.name in ("write small", "write large", "append", "create", "copy")

    def lasting(self, m, deep):
        ops = [op for op in self.ops if not deep or op.kinds and op.kinds != ("list",)]
        with self.places(m, ops) as places:
            self.rules(sorted({k for op in ops for k in op.kinds}) if deep else None)
            outs = self.together(places)
            hits = sum(f["hit"] for f in self.s.faults())
            self.s.clear_faults()
            assert hits >= 5, "the fault has met %d requests" % hits
            self.lasted(places, outs, "its requests fail" if deep else "all requests fail")

    def lasted(self, places, outs, where):
        for p, out in zip(places, outs):
            print("# %s, %s: %s: %s" % (self.fault.name, where, p.op.name, out), flush=True)
            if out.errno is None:
                self.check(out.good, p.op, "%s: a wrong result, %s" % (where, out))
            else:
                self.check(out.errno in self.fault.errnos, p.op, "%s: %s" % (where, out))
            self.check(out.slowest < TIMEOUT_S + SLACK_S, p.op, "%s: too late, %s" % (where, out))
            self.settled(p, out, where)

    def run(self):
        with Mount(self.s, options=BURST) as m:
            if self.fault.burst == 0:
                self.told_at_once(m)
            elif self.fault.slow:
                self.burst_at_once(m)
            else:
                self.burst_one_by_one(m)
        for deep in (False, True):  # each with a retry budget of its own
            with Mount(self.s, options=LASTING) as m:
                self.lasting(m, deep)
        assert not self.wrong, "\n" + "\n".join(self.wrong)


def plain_create(s):
    """An empty file that nobody wrote to may be sent after its close (docs/architecture.md): then it waits here, is
    shown, and comes to the server when that is back."""
    with Mount(s, options=LASTING) as m:
        os.mkdir(m / "d")
        s.fault({"kind": "put"}, {"status": 503})
        try:
            os.close(os.open(m / "d/new", os.O_CREAT | os.O_WRONLY))
        except OSError as e:
            assert e.errno in faultlib.BUSY, e
        assert os.listdir(m / "d") == ["new"]
        s.clear_faults()
        code, said = m.umount()
        assert code == 0, said
        assert "d/new" in list_keys(s, m.bucket)


def elsewhere_hears_nothing(elsewhere):
    assert not elsewhere.heard, elsewhere.heard


def main():
    need_fuse()
    group = sys.argv[1]
    elsewhere = faultlib.Elsewhere()
    with server() as s:
        if s.foreign:
            print("1..0 # SKIP needs the faults of supafs-serve")
            sys.exit(0)
        tests = []
        for fault in faultlib.groups(elsewhere.url)[group]:
            def test(fault=fault):
                Case(s, fault).run()
            test.__name__ = fault.name
            tests.append(test)
        if group == "503":
            tests.append(lambda: plain_create(s))
            tests[-1].__name__ = "a created file that is not sent yet"
        if group == "redirect":
            tests.append(lambda: elsewhere_hears_nothing(elsewhere))
            tests[-1].__name__ = "nothing came to the other host"
        try:
            run_tests([t for t in tests if len(sys.argv) < 3 or t.__name__ in sys.argv[2:]])
        finally:
            elsewhere.close()


if __name__ == "__main__":
    main()
