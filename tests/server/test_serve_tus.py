#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Resumable uploads: interrupted, resumed after kill -9, taken over, deferred, expired (API §6)."""
import base64
import hashlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from servelib import Server, run_tests  # noqa: E402

DATA = bytes(i * 13 % 251 for i in range(300000))
TUS = {"tus-resumable": "1.0.0"}
TYPE = {"content-type": "application/offset+octet-stream"}


def metadata(**fields):
    return ",".join("%s %s" % (k, base64.b64encode(v.encode()).decode())
                    for k, v in fields.items())


def create(s, key, length=None, headers=None, body=b"", bucket="b", auth="service", path=""):
    size = {"upload-defer-length": "1"} if length is None else {"upload-length": str(length)}
    return s.request("POST", "/upload/resumable" + path, body, {
        **TUS, **size, "upload-metadata": metadata(bucketName=bucket, objectName=key),
        **(headers or {})}, auth=auth)


def path_of(answer):
    return "/upload/resumable/" + answer[1]["location"].rsplit("/", 1)[1]


def patch(s, path, offset, data, headers=None, auth="service"):
    return s.request("PATCH", path, data,
                     {**TUS, **TYPE, "upload-offset": str(offset), **(headers or {})}, auth=auth)


def wait_for_bytes(s):
    """Until the server has begun to store the only upload that there is."""
    folder = os.path.join(s.dir, "uploads")
    while not any(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder)):
        pass


def head(s, path):
    return s.request("HEAD", path, headers=TUS)


def resume(tap):
    with Server("--bucket", "b") as s:
        path = path_of(create(s, "k", len(DATA)))
        # A body that ends too early: what came is kept.
        conn = s.connect()
        conn.putrequest("PATCH", s.base_path + path)
        for name, value in {**s.auth_header("service"), **TUS, **TYPE, "upload-offset": "0",
                            "content-length": str(len(DATA))}.items():
            conn.putheader(name, value)
        conn.endheaders()
        conn.send(DATA[:100000])
        wait_for_bytes(s)
        conn.close()
        answer = head(s, path)
        offset = int(answer[1]["upload-offset"])
        tap.ok(answer[0] == 200 and 0 < offset <= 100000, "cut off: HEAD tells the offset", answer)
        answer = patch(s, path, offset, DATA[offset:150000])
        tap.equal((answer[0], answer[1].get("upload-offset")), (204, "150000"), "it goes on")
        tap.equal(s.json("GET", "/object/info/authenticated/b/k")[2]["code"], "NoSuchKey",
                  "invisible until it is whole")
        s.kill()
        s.start()
        tap.equal(head(s, path)[1].get("upload-offset"), "150000", "kill -9 keeps it")
        tap.equal(patch(s, path, 0, DATA)[0], 409, "a wrong offset")
        answer = patch(s, path, 150000, DATA[150000:])
        tap.equal((answer[0], answer[1].get("tus-complete")), (204, "1"), "the end")
        tap.equal(s.get("k"), DATA, "the bytes")
        info = s.json("GET", "/object/info/authenticated/b/k")[2]
        tap.ok(info["etag"] == '"%s"' % hashlib.md5(DATA).hexdigest() and
               info["metadata"] is None, "its ETag; no metadata is null", info)
        tap.equal(head(s, path)[1].get("upload-offset"), str(len(DATA)), "HEAD of a finished one")
        tap.equal(s.request("DELETE", path, headers={**TUS, "x-upsert": "true"})[0], 400,
                  "cannot be ended any more")


def lengths(tap):
    with Server("--bucket", "b", "--size-limit", "1000000") as s:
        path = path_of(create(s, "k"))
        tap.equal(head(s, path)[1].get("upload-defer-length"), "1", "deferred length")
        patch(s, path, 0, b"12345")
        tap.equal(patch(s, path, 5, b"", {"upload-length": "5"})[1].get("tus-complete"), "1",
                  "an empty PATCH with the length ends it")
        tap.equal(s.get("k"), b"12345", "its bytes")
        tap.equal(create(s, "z", 0)[1].get("tus-complete"), "1", "an empty file is complete")
        tap.equal(s.get("z"), b"", "and there")
        answer = create(s, "w", 5, TYPE, b"hello")
        tap.ok(answer[0] == 201 and answer[1]["upload-offset"] == "5" and
               answer[1]["tus-complete"] == "1", "created with its bytes", answer)
        answer = create(s, "part", 5, TYPE, b"he")
        tap.equal(patch(s, path_of(answer), 2, b"llo")[1].get("tus-complete"), "1",
                  "or with some of them")
        tap.equal(create(s, "big", 1000001)[0], 413, "above the limit")
        tap.equal(patch(s, path_of(create(s, "more", 3)), 0, b"1234")[0], 413, "beyond the length")
        tap.equal(create(s, "k", 5)[0], 409, "a key that exists")
        tap.equal(create(s, "k", 5, {"x-upsert": "true"})[0], 201, "with x-upsert")
        tap.equal(create(s, "a\"b", 5)[0], 400, "an invalid key")
        tap.equal(s.request("POST", "/upload/resumable", b"", {**TUS, "upload-length": "1"})[0], 400,
                  "no metadata")
        path = path_of(create(s, "gone", 5))
        tap.equal(s.request("DELETE", path, headers=TUS)[0], 204, "ended")
        tap.equal((head(s, path)[0], patch(s, path, 0, b"x")[0]), (404, 404), "is gone")
        tap.equal(s.request("PATCH", path, b"x", {**TUS, **TYPE})[0], 403, "no offset")
        tap.equal(s.request("PATCH", path, b"x", {**TUS, "upload-offset": "0"})[0], 403, "no type")
        tap.equal(head(s, "/upload/resumable/nonsense")[0], 404, "an id that is none")
        tap.equal(create(s, "x", 1, auth="bad.to.ken")[0], 400, "a bad token")
        answer = s.request("OPTIONS", "/upload/resumable", auth="none")
        tap.ok(answer[0] == 204 and answer[1]["tus-max-size"] == "1000000", "OPTIONS", answer)


def lowered_limit(tap):
    with Server("--bucket", "b") as s:
        path = path_of(create(s, "k"))
        patch(s, path, 0, b"12345678")
        tap.equal(s.request("PUT", "/bucket/b", b'{"file_size_limit":5,"public":false}',
                            {"content-type": "application/json"})[0], 200, "the limit is lowered")
        tap.equal(patch(s, path, 8, b"9")[0], 413, "nothing goes behind it")
        tap.equal(head(s, path)[1].get("upload-offset"), "8", "the offset stays")


def failed_end(tap):
    with Server("--bucket", "b") as s:
        path = path_of(create(s, "k", 10))
        conn = s.connect()
        conn.putrequest("PATCH", s.base_path + path)
        for name, value in {**s.auth_header("service"), **TUS, **TYPE, "upload-offset": "0",
                            "content-length": "10"}.items():
            conn.putheader(name, value)
        conn.endheaders()
        conn.send(b"12345")
        wait_for_bytes(s)
        tap.equal(s.request("DELETE", "/bucket/b")[0], 200, "the bucket goes meanwhile")
        conn.send(b"67890")
        tap.equal(conn.getresponse().status, 404, "the end fails")
        conn.close()
        tap.equal(head(s, path)[0], 404, "an upload that failed does not look finished")


def take_over(tap):
    with Server("--bucket", "b") as s:
        path = path_of(create(s, "k", 10))
        first = s.connect()
        first.putrequest("PATCH", s.base_path + path)
        for name, value in {**s.auth_header("service"), **TUS, **TYPE, "upload-offset": "0",
                            "content-length": "10"}.items():
            first.putheader(name, value)
        first.endheaders()
        first.send(b"12345")
        wait_for_bytes(s)
        offset = int(head(s, path)[1]["upload-offset"])
        tap.ok(0 < offset <= 5, "HEAD stops whoever still sends", offset)
        answer = patch(s, path, offset, b"1234567890"[offset:])
        tap.equal((answer[0], answer[1].get("upload-offset")), (204, "10"),
                  "a second client takes the upload over")
        first.close()
        tap.equal(s.get("k"), b"1234567890", "the bytes are right")


def signed(tap):
    with Server("--bucket", "b") as s:
        token = s.json("POST", "/object/upload/sign/b/k", {})[2]["token"]
        answer = create(s, "k", 3, {"x-signature": token}, auth="none", path="/sign")
        tap.equal(answer[0], 201, "created by a signed token")
        path = "/upload/resumable/sign/" + answer[1]["location"].rsplit("/", 1)[1]
        answer = patch(s, path, 0, b"abc", {"x-signature": token}, auth="none")
        tap.equal(answer[1].get("tus-complete"), "1", "and filled")
        tap.equal(s.get("k"), b"abc", "its bytes")
        tap.ok(create(s, "other", 3, {"x-signature": token}, auth="none", path="/sign")[0] >= 400,
               "not for another key")


def crash_at_the_end(tap):
    """kill -9 when the file has become a body, and its object is not there yet: the upload is gone, not finished."""
    with Server("--bucket", "b") as s:
        path = path_of(create(s, "k", len(DATA)))
        patch(s, path, 0, DATA[:-1])
        done = path_of(create(s, "done", 3))
        patch(s, done, 0, b"abc")
        s.kill()
        [version] = os.listdir(os.path.join(s.dir, "uploads"))
        with open(os.path.join(s.dir, "uploads", version), "ab") as f:
            f.write(DATA[-1:])
        os.rename(os.path.join(s.dir, "uploads", version), os.path.join(s.dir, "objects", version[:2], version))
        s.start()
        tap.equal(head(s, path)[0], 404, "an upload whose file is not there is not finished")
        tap.equal(s.request("GET", "/object/authenticated/b/k")[0], 400, "as its object is not")
        tap.equal(head(s, done)[1].get("upload-offset"), "3", "a finished one is still known")
        tap.equal(s.get("done"), b"abc", "with its object")


def expiry(tap):
    with Server("--bucket", "b", "--tus-expiry", "1") as s:
        answer = create(s, "k", 10)
        path = path_of(answer)
        tap.ok("upload-expires" in answer[1], "the end is told")
        while head(s, path)[0] == 200:
            pass
        tap.equal(head(s, path)[0], 410, "an expired upload")
        s.stop()
        s.start()
        tap.equal(head(s, path)[0], 404, "is forgotten at the next start")
        tap.equal(os.listdir(os.path.join(s.dir, "uploads")), [], "with its file")


if __name__ == "__main__":
    run_tests([resume, lengths, lowered_limit, failed_end, take_over, signed, crash_at_the_end, expiry])
