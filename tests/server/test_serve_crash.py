#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Atomic overwrites under concurrent readers, kill -9 in the middle of uploads, many clients."""
import hashlib
import http.client
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from servelib import Server, run_tests  # noqa: E402


def body(n):
    """A body that tells whether it is whole: its number, again and again."""
    return (b"%08d" % n) * (1000 + n % 7 * 900)


def is_whole(data):
    return data == body(int(data[:8]))


def concurrent_overwrite(tap):
    with Server("--bucket", "b") as s:
        s.put("k", body(0))
        stop = threading.Event()
        problems, reads = [], [0]

        def reader():
            conn = s.connect()
            while not stop.is_set():
                status, headers, data = s.request("GET", "/object/authenticated/b/k", conn=conn)
                if status != 200 or not is_whole(data):
                    problems.append((status, data[:100]))
                elif headers["etag"].strip('"') != hashlib.md5(data).hexdigest():
                    problems.append("an ETag of another version")
                reads[0] += 1
            conn.close()

        def writer(first):
            conn = s.connect()
            for n in range(first, first + 100):
                if s.request("PUT", "/object/b/k", body(n), conn=conn)[0] != 200:
                    problems.append("PUT failed")
            conn.close()

        readers = [threading.Thread(target=reader) for _ in range(4)]
        writers = [threading.Thread(target=writer, args=(i * 1000,)) for i in range(3)]
        for t in readers + writers:
            t.start()
        for t in writers:
            t.join()
        stop.set()
        for t in readers:
            t.join()
        tap.equal(problems[:3], [], "every read is one whole version (%d reads)" % reads[0])
        files = [f for _, _, fs in os.walk(os.path.join(s.dir, "objects")) for f in fs]
        tap.equal(len(files), 1, "of 300 versions one file is left")


def stored(s):
    """Names -> whole? of everything in the bucket."""
    out = {}
    cursor = None
    while True:
        page = {"limit": 1000, **({"cursor": cursor} if cursor else {})}
        answer = s.json("POST", "/object/list-v2/b", page)[2]
        for o in answer["objects"]:
            out[o["name"]] = (o["metadata"]["size"], o["metadata"]["eTag"])
        cursor = answer.get("nextCursor")
        if not answer["hasNext"]:
            return out


def kill_during_uploads(tap):
    with Server("--bucket", "b") as s:
        for round in range(4):
            acknowledged = [set() for _ in range(6)]

            def writer(i):
                conn = s.connect()
                try:
                    for n in range(100000):
                        key = "r%d-w%d-%d" % (round, i, n % 40)
                        if s.request("PUT", "/object/b/" + key, body(n), conn=conn)[0] == 200:
                            acknowledged[i].add(key)
                except (OSError, http.client.HTTPException):
                    pass
                conn.close()

            threads = [threading.Thread(target=writer, args=(i,)) for i in range(6)]
            for t in threads:
                t.start()
            while sum(len(a) for a in acknowledged) < 30 * (round + 1):
                pass
            s.kill()
            for t in threads:
                t.join()
            s.start()
            found = stored(s)
            lost = [k for a in acknowledged for k in a if k not in found]
            tap.equal(lost, [], "round %d: nothing acknowledged is lost" % round)
            bad = []
            for key, (size, etag) in found.items():
                data = s.get(key)
                if len(data) != size or not is_whole(data) or \
                        hashlib.md5(data).hexdigest() != etag.strip('"'):
                    bad.append(key)
            tap.equal(bad, [], "round %d: all %d objects are whole" % (round, len(found)))
            files = [f for _, _, fs in os.walk(os.path.join(s.dir, "objects")) for f in fs]
            tap.equal((len(files), os.listdir(os.path.join(s.dir, "tmp"))), (len(found), []),
                      "round %d: no body without an object, none half" % round)


def many_clients(tap):
    with Server("--bucket", "b") as s:
        for i in range(64):
            s.put("k%d" % i, body(i))
        # One upload that never ends must hold up nobody.
        slow = s.connect()
        slow.putrequest("PUT", s.base_path + "/object/b/slow")
        for name, value in s.auth_header("service").items():
            slow.putheader(name, value)
        slow.putheader("content-length", "1000000")
        slow.endheaders()
        slow.send(b"x" * 1000)
        problems = []
        barrier = threading.Barrier(64)

        def client(i):
            conn = s.connect()
            conn.connect()
            barrier.wait()  # 64 connections are open at this moment
            for n in range(10):
                key = "k%d" % ((i + n) % 64)
                status, _, data = s.request("GET", "/object/authenticated/b/" + key, conn=conn)
                if status != 200 or data != body((i + n) % 64):
                    problems.append((key, status))
                if s.request("PUT", "/object/b/own%d" % i, body(n), conn=conn)[0] != 200:
                    problems.append("PUT")
            conn.close()

        threads = [threading.Thread(target=client, args=(i,)) for i in range(64)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        slow.close()
        tap.equal(problems[:3], [], "64 clients at once, beside an upload that hangs")
        tap.equal(len(stored(s)), 128, "and every object is there")


if __name__ == "__main__":
    run_tests([concurrent_overwrite, kill_during_uploads, many_clients])
