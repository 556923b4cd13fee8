#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the storage API writes is seen in the mount, and the other way round; two mounts of one bucket."""
import errno
import os
import sys
import time

from mountlib import Mount, Skipped, list_keys, need_fuse, need_own_server, read, run_tests, server, write

FRESH = ["ttl=0"]


def soon(condition, seconds=20):
    """Waits until condition() holds: after the ttl of the caches at the latest. Until then an open file may
    turn out to be another version: ESTALE, never its bytes."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():
                return True
        except OSError as e:
            assert e.errno == errno.ESTALE, e
        time.sleep(0.05)
    return False


def test_api_to_mount(s):
    with Mount(s, options=FRESH) as m:
        s.put("a/b.txt", b"one", bucket=m.bucket)
        assert read(m / "a/b.txt") == b"one"
        s.put("a/b.txt", b"twotwo", bucket=m.bucket)
        assert os.stat(m / "a/b.txt").st_size == 6 and read(m / "a/b.txt") == b"twotwo"
        s.put("a/b.txt", b"123456", bucket=m.bucket)  # the same length
        assert read(m / "a/b.txt") == b"123456"
        s.request("DELETE", "/object/%s" % m.bucket, {"prefixes": ["a/b.txt"]})
        assert not os.path.exists(m / "a/b.txt")


def test_mount_to_api(s):
    with Mount(s) as m:
        os.mkdir(m / "d")
        write(m / "d/x.json", b'{"a": 1}')
        status, headers, body = s.request("GET", "/object/authenticated/%s/d/x.json" % m.bucket)
        assert status == 200 and body == b'{"a": 1}'
        assert headers["content-type"].startswith("application/json"), headers
        status, _, info = s.json("GET", "/object/info/authenticated/%s/d/x.json" % m.bucket)
        assert status == 200 and int(info["size"]) == 8
        assert abs(float(info["metadata"]["mtime"]) - os.stat(m / "d/x.json").st_mtime) < 0.001, info
        os.unlink(m / "d/x.json")
        status, _, _ = s.request("GET", "/object/authenticated/%s/d/x.json" % m.bucket)
        assert status == 400


def test_ttl(s):
    """Within the ttl a listing is believed, afterwards not any longer."""
    with Mount(s, options=["ttl=1s"]) as m:
        s.put("a", b"1", bucket=m.bucket)
        assert os.listdir(m.path) == ["a"]
        s.put("b", b"2", bucket=m.bucket)
        assert soon(lambda: sorted(os.listdir(m.path)) == ["a", "b"])
        s.put("a", b"other", bucket=m.bucket)
        assert soon(lambda: read(m / "a") == b"other")
        s.request("DELETE", "/object/%s" % m.bucket, {"prefixes": ["b"]})
        assert soon(lambda: os.listdir(m.path) == ["a"])


def test_changed_while_open(s):
    """A handle never mixes two versions: the old bytes that are there, or an error, then the new ones."""
    with Mount(s, options=FRESH) as m:
        old, new = b"o" * (3 << 20), b"n" * (3 << 20)
        s.put("v", old, bucket=m.bucket)
        with open(m / "v", "rb", buffering=0) as f:
            first = f.read(4096)
            s.put("v", new, bucket=m.bucket)
            rest = b""
            try:
                while part := f.read(65536):
                    rest += part
            except OSError as e:
                assert e.errno == errno.ESTALE, e
            assert set(first + rest) == set(b"o"), "two versions in one handle"
        assert read(m / "v") == new


def test_two_mounts(s):
    """Close in one, open in the other."""
    with Mount(s, options=FRESH) as a, Mount(s, bucket=a.bucket, options=FRESH) as b:
        for i in range(10):
            data = os.urandom(1000 + i)
            write(a / "f", data)
            assert read(b / "f") == data
            write(b / "f", data[::-1])
            assert read(a / "f") == data[::-1]
        os.mkdir(a / "d")
        write(a / "d/x", b"1")
        assert os.listdir(b / "d") == ["x"]
        os.rename(b / "d/x", b / "d/y")
        assert os.listdir(a / "d") == ["y"] and read(a / "d/y") == b"1"
        os.unlink(a / "d/y")
        os.rmdir(b / "d")
        assert sorted(os.listdir(a.path)) == ["f"]


def test_new_file_is_never_hidden(s):
    """A listing that began before an upload was confirmed must not hide the new file."""
    need_own_server(s)
    import threading

    with Mount(s, options=FRESH) as m:
        for i in range(5):
            s.put("old%d" % i, b"1", bucket=m.bucket)
        s.fault({"kind": "list"}, {"delay_ms": 150})
        stop, missing, made = threading.Event(), [], []

        def walk():
            while not stop.is_set():
                must = list(made)
                names = os.listdir(m.path)
                missing.extend(set(must) - set(names))
                for name in must:
                    if not os.path.exists(m / name):
                        missing.append(name)

        threads = [threading.Thread(target=walk) for _ in range(3)]
        for t in threads:
            t.start()
        for i in range(20):
            write(m / ("new%d" % i), b"%d" % i)
            made.append("new%d" % i)
        stop.set()
        for t in threads:
            t.join()
        s.clear_faults()
        assert not missing, missing[:5]


def test_deleted_stays_deleted(s):
    need_own_server(s)
    import threading

    with Mount(s, options=FRESH) as m:
        names = ["f%d" % i for i in range(20)]
        for name in names:
            write(m / name, b"1")
        s.fault({"kind": "list"}, {"delay_ms": 150})
        stop, back, gone = threading.Event(), [], []

        def walk():
            while not stop.is_set():
                must_not = list(gone)
                back.extend(set(must_not) & set(os.listdir(m.path)))

        threads = [threading.Thread(target=walk) for _ in range(2)]
        for t in threads:
            t.start()
        for name in names:
            os.unlink(m / name)
            gone.append(name)
            time.sleep(0.02)
        stop.set()
        for t in threads:
            t.join()
        s.clear_faults()
        assert not back, back[:5]
        assert os.listdir(m.path) == [] and list_keys(s, m.bucket) == []


def test_foreign_objects(s):
    """Objects of other clients: times of the server, modes of the mount, any type."""
    with Mount(s, options=FRESH + ["fmode=0604", "dmode=0705"]) as m:
        s.put("p/q", b"x" * 7, bucket=m.bucket, cache_control="max-age=3600")
        st = os.stat(m / "p/q")
        assert st.st_mode & 0o777 == 0o604 and st.st_size == 7 and abs(st.st_mtime - time.time()) < 3600
        assert os.stat(m / "p").st_mode & 0o777 == 0o705
        os.utime(m / "p/q", (1e9, 1e9))
        assert os.stat(m / "p/q").st_mtime == 1e9
        with open(m / "p/q", "rb") as f:
            os.fsync(f.fileno())  # settles what waits
        status, headers, _ = s.request("GET", "/object/authenticated/%s/p/q" % m.bucket)
        assert status == 200 and "x-mtime=1000000000" in headers["cache-control"], headers


def test_application_helpers(s):
    """An application's helpers give the same through the client and through the path."""
    clients = os.environ.get("SUPAFS_TEST_CLIENTS", os.path.expanduser("~/.cache/supafs-test-clients"))
    program = os.path.join(clients, "venv", "bin", "python3")
    if not os.path.exists(program):
        raise Skipped("storage3 is not installed: tests/server/install_clients.sh")
    helpers = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server")
    with Mount(s, options=FRESH) as m:
        import subprocess

        environment = dict(os.environ, HELPERS=helpers, BASE=s.base, KEY=s.service_key, BUCKET=m.bucket,
                           MOUNT=m.path)
        done = subprocess.run([program, "-c", HELPERS], capture_output=True, text=True, env=environment,
                              timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr


def test_application_helpers_js(s):
    """The same with the JavaScript client on one side."""
    import json
    import shutil
    import subprocess

    clients = os.environ.get("SUPAFS_TEST_CLIENTS", os.path.expanduser("~/.cache/supafs-test-clients"))
    node = shutil.which("node")
    if not node or not os.path.isdir(os.path.join(clients, "node_modules")):
        raise Skipped("node or @supabase/storage-js is absent: scripts/setup --tests")
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server", "app_helpers.mjs")
    with Mount(s, options=FRESH) as m:
        env = dict(os.environ, BASE=s.base, KEY=s.service_key, BUCKET=m.bucket, CLIENTS=clients, ROOT=m.path)

        def call(side, method, *args):
            done = subprocess.run([node, program, side, method, *map(json.dumps, args)], env=env, timeout=60,
                                  capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout) if done.stdout.strip() else None

        value = {"slides": [1, 2, 3], "title": "Grüße"}
        call("client", "writeJson", "u/c/one.json", value)
        call("path", "writeJson", "u/c/two.json", value)
        for side in ("client", "path"):
            for name in ("u/c/one.json", "u/c/two.json"):
                assert call(side, "readJson", name) == value, (side, name)
            assert call(side, "listByExtension", "u", ".json") == ["u/c/one.json", "u/c/two.json"], side
        call("client", "deleteFolder", "u/c")
        assert call("path", "exists", "u/c/one.json") is False


HELPERS = """
import os, sys
sys.path.insert(0, os.environ["HELPERS"])
import app_helpers
import storage3
key = os.environ["KEY"]
client = storage3.create_client(os.environ["BASE"] + "/", {"apikey": key, "authorization": "Bearer " + key},
                                is_async=False)
a = app_helpers.ByClient(client, os.environ["BUCKET"])
b = app_helpers.ByPath(os.environ["MOUNT"])
value = {"slides": [1, 2, 3], "title": "Grüße"}
a.write_json("u/c/one.json", value)
b.write_json("u/c/two.json", value)
for name in ("u/c/one.json", "u/c/two.json"):
    assert a.read_json(name) == value and b.read_json(name) == value, name
for method in ("write_text", "write_bytes"):
    data = "text" if method == "write_text" else bytes(range(256))
    getattr(a, method)("u/c/by-client." + method, data)
    getattr(b, method)("u/c/by-path." + method, data)
    reader = method.replace("write", "read")
    for name in ("u/c/by-client." + method, "u/c/by-path." + method):
        assert getattr(a, reader)(name) == data and getattr(b, reader)(name) == data, name
assert sorted(a.list_by_extension("u/c", ".json")) == sorted(b.list_by_extension("u/c", ".json"))
a.delete_folder("u/c")
assert b.list_by_extension("u/c", ".json") == []
b.write_text("v/x.txt", "1")
b.delete_folder("v")
assert a.list_by_extension("v", ".txt") == []
"""


def main():
    need_fuse()
    tests = [f for name, f in list(globals().items()) if name.startswith("test_")]
    only = sys.argv[1:]
    with server() as s:
        run_tests([f for f in tests if not only or f.__name__[5:] in only], s)


if __name__ == "__main__":
    main()
