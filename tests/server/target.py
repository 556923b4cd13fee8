# SPDX-License-Identifier: Apache-2.0
"""The server that a test talks to: ours, or a foreign one named by SUPAFS_TEST_URL.

    with target() as t:            # Server(*args) of servelib, or Foreign
        t.base                     # request paths are relative to it
        t.service_key, t.anon_key
        t.request(...), t.json(...) as in servelib
    t.foreign                      # True: no faults, no counters, no policies

A foreign server needs SUPAFS_TEST_URL, SUPAFS_TEST_SERVICE_KEY and SUPAFS_TEST_ANON_KEY. Its URL may be a project's
(/storage/v1 is appended when it answers there) or the storage server itself."""
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
import uuid

from servelib import SKIP, Server


class Foreign(Server):
    """The requests of servelib.Server against a server that somebody else runs."""

    foreign = True

    def __init__(self, url, service_key, anon_key):  # no process: nothing of Server's own
        self.url = url.rstrip("/")
        parts = urllib.parse.urlsplit(self.url)
        prefix = "" if parts.path.endswith("/storage/v1") else "/storage/v1"
        self.base_path = parts.path + (prefix if self._answers(self.url + prefix) else "")
        self.base = "%s://%s%s" % (parts.scheme, parts.netloc, self.base_path)
        self.host, self.tls = parts.hostname, parts.scheme == "https"
        self.port = parts.port or (443 if self.tls else 80)
        self.service_key, self.anon_key = service_key, anon_key
        self.proc = None

    @staticmethod
    def _answers(base):
        try:
            with urllib.request.urlopen(base + "/status", timeout=20) as reply:
                return reply.status == 200
        except urllib.error.HTTPError:
            return False

    def auth_header(self, auth):
        header = super().auth_header(auth)
        if header:
            header["apikey"] = header["authorization"].split(" ", 1)[1]
        return header

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        pass


def foreign():
    """Is a foreign server named?"""
    return bool(os.environ.get("SUPAFS_TEST_URL"))


def target(*args, **kwargs):
    """The foreign server if one is named, else Server(*args, **kwargs), not yet started."""
    if not foreign():
        server = Server(*args, **kwargs)
        server.foreign = False
        return server
    missing = [n for n in ("SUPAFS_TEST_SERVICE_KEY", "SUPAFS_TEST_ANON_KEY") if not os.environ.get(n)]
    if missing:
        print("1..0 # SKIP SUPAFS_TEST_URL is set, but not " + " and ".join(missing))
        sys.exit(SKIP)
    return Foreign(os.environ["SUPAFS_TEST_URL"], os.environ["SUPAFS_TEST_SERVICE_KEY"],
                   os.environ["SUPAFS_TEST_ANON_KEY"])


class Bucket:
    """A bucket of the test's own, emptied and removed at the end: with Bucket(t, public=False) as name."""

    def __init__(self, t, **settings):
        self.t = t
        self.name = "supafs-test-" + uuid.uuid4().hex[:12]
        self.settings = settings

    def __enter__(self):
        status, _, body = self.t.request(
            "POST", "/bucket", {"id": self.name, "name": self.name, "public": False, **self.settings})
        if status != 200:
            raise RuntimeError("cannot create bucket: HTTP %d %s" % (status, body[:200]))
        return self.name

    def keys(self):
        found, cursor = [], None
        while True:
            message = {"prefix": "", "limit": 1000, **({"cursor": cursor} if cursor else {})}
            _, _, page = self.t.json("POST", "/object/list-v2/" + self.name, message)
            found += [o["name"] for o in page["objects"]]
            cursor = page.get("nextCursor")
            if not page["hasNext"]:
                return found

    def __exit__(self, kind, value, trace):
        keys = self.keys()
        for i in range(0, len(keys), 500):
            self.t.request("DELETE", "/object/" + self.name, {"prefixes": keys[i:i + 500]})
        self.t.request("DELETE", "/bucket/" + self.name)


class Tap:
    """TAP lines: tap.case("name", function, *args); ends with sys.exit(tap.end())."""

    def __init__(self):
        self.n = self.failed = 0

    def case(self, name, function, *args):
        self.n += 1
        try:
            reason = function(*args)
        except Exception as e:  # the case failed, whatever it is: say why, go on with the next
            import traceback

            self.failed += 1
            for line in traceback.format_exc().splitlines():
                print("#", line)
            print("not ok %d - %s: %s" % (self.n, name, str(e).replace("\n", " ")[:200]), flush=True)
            return
        skipped = isinstance(reason, str) and reason.startswith("SKIP")
        print("ok %d - %s%s" % (self.n, name, " # " + reason if skipped else ""), flush=True)

    def end(self):
        print("1..%d" % self.n)
        return 1 if self.failed else 0
