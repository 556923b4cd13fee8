#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Objects: ranges and conditions, ETag kinds, uploads and their limits, copy, move, signed URLs."""
import base64
import hashlib
import json
import os
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from servelib import Server, run_tests  # noqa: E402

DATA = bytes(i * 7 % 256 for i in range(1000))


def get(s, headers=None, key="k", auth="service", query=""):
    return s.request("GET", "/object/authenticated/b/%s%s" % (key, query), headers=headers,
                     auth=auth)


def code(answer):
    return json.loads(answer[2])["code"]


def ranges(tap):
    with Server("--bucket", "b") as s:
        s.put("k", DATA)
        s.put("empty", b"")
        for text, first, last in (("0-9", 0, 9), ("990-", 990, 999), ("-10", 990, 999),
                                  ("-5000", 0, 999), ("995-2000", 995, 999), ("0-0", 0, 0),
                                  ("999-999", 999, 999), ("0-999", 0, 999)):
            status, headers, data = get(s, {"range": "bytes=" + text})
            tap.ok(status == 206 and data == DATA[first:last + 1] and
                   headers["content-range"] == "bytes %d-%d/1000" % (first, last) and
                   headers["content-length"] == str(last + 1 - first), "range " + text,
                   (status, headers))
        for text in ("bytes=1000-", "bytes=1000-1001", "bytes=-0", "bytes=5-4", "bytes=x-y",
                     "bytes=0-1,3-4", "bytes=", "bytes=-", "lines=0-1", "bytes=0x1-2",
                     "bytes=99999999999999999999-"):
            answer = get(s, {"range": text})
            tap.ok(answer[0] == 416 and code(answer) == "InvalidRange", "refused: " + text, answer)
        tap.equal(get(s, {"range": "bytes=0-0"}, "empty")[0], 416, "any range of an empty object")
        etag = get(s)[1]["etag"]
        tap.equal(etag, '"%s"' % hashlib.md5(DATA).hexdigest(), "the ETag is the MD5")
        for headers, want in (
                ({"if-none-match": etag}, 304), ({"if-none-match": '"x"'}, 200),
                ({"if-none-match": "*"}, 200), ({"if-none-match": etag + ', "x"'}, 200),
                ({"if-none-match": etag, "range": "bytes=0-1"}, 304),
                ({"if-match": '"x"'}, 200), ({"if-range": '"x"', "range": "bytes=0-1"}, 206),
                ({"if-modified-since": "Thu, 01 Jan 2099 00:00:00 GMT"}, 304),
                ({"if-modified-since": "Thu, 01 Jan 2015 00:00:00 GMT"}, 200),
                ({"if-modified-since": "yesterday"}, 200),
                ({"if-unmodified-since": "Thu, 01 Jan 2015 00:00:00 GMT"}, 200)):
            tap.equal(get(s, headers)[0], want, "conditions %s" % headers)
        status, headers, data = s.request("HEAD", "/object/authenticated/b/k",
                                          headers={"range": "bytes=0-1", "if-none-match": etag})
        tap.ok(status == 200 and headers["content-length"] == "1000" and not data,
               "HEAD ignores ranges and conditions", (status, headers))
        status, headers, _ = get(s, query="?download=a%20b.txt")
        tap.ok(headers.get("content-disposition", "").startswith("attachment;"), "download=")
        tap.ok("content-disposition" not in get(s, query="?cacheNonce=1")[1],
               "an unknown parameter is ignored")


def etag_kinds(tap):
    for kind in ("stored", "md5", "mtime"):
        with Server("--bucket", "b", "--etag", kind) as s:
            s.put("k", DATA)
            etag = get(s)[1]["etag"]
            listed = s.json("POST", "/object/list-v2/b", {})[2]["objects"][0]["metadata"]["eTag"]
            tap.equal(etag, listed, "--etag %s: list and GET agree" % kind)
            if kind == "mtime":
                tap.ok(etag.endswith('-3e8"'), "--etag mtime: time and size", etag)
            else:
                tap.equal(etag, '"%s"' % hashlib.md5(DATA).hexdigest(), "--etag %s: MD5" % kind)


def uploads(tap):
    with Server("--bucket", "b", "--size-limit", "100000") as s:
        s.json("POST", "/bucket", {"name": "small", "file_size_limit": 10,
                                   "allowed_mime_types": ["text/*"]})
        text = {"content-type": "text/plain"}
        tap.equal(s.request("POST", "/object/small/k", b"0123456789", text)[0], 200, "at the limit")
        tap.equal(code(s.request("PUT", "/object/small/k", b"0123456789a", text)), "EntityTooLarge",
                  "above the limit")
        tap.equal(code(s.request("PUT", "/object/small/k", b"x", {"content-type": "image/png"})),
                  "InvalidMimeType", "a type that the bucket does not take")
        tap.equal(code(s.request("PUT", "/object/small/e/.emptyFolderPlaceholder", b"x")),
                  "EntityTooLarge", "a placeholder with bytes")
        tap.equal(s.request("PUT", "/object/small/e/.emptyFolderPlaceholder", b"")[0], 200,
                  "a placeholder has any type")
        conn = s.connect()
        conn.request("PUT", s.base_path + "/object/small/chunked", body=iter([b"x" * 9] * 3),
                     headers={**s.auth_header("service"), **text}, encode_chunked=True)
        status = conn.getresponse().status
        conn.close()
        tap.equal(status, 200, "a chunked body escapes the limit, as since v1.44.11")
        answer = s.request("PUT", "/object/small/k", b"x" * 3000000, text)
        tap.equal(code(answer), "EntityTooLarge", "a large refused body: the answer arrives")
        answer = s.request("PUT", "/object/b/k", b"x" * 100001)
        tap.equal(code(answer), "EntityTooLarge", "the global limit")
        s.put("k", b"1")
        tap.equal(code(s.request("POST", "/object/b/k", b"2")), "KeyAlreadyExists", "duplicate")
        tap.equal(code(s.request("POST", "/object/b/k", b"2", {"x-upsert": "1"})),
                  "KeyAlreadyExists", "x-upsert: 1 is not true")
        tap.equal(s.request("POST", "/object/b/k", b"2", {"x-upsert": "true"})[0], 200, "upsert")
        tap.equal(code(s.request("PUT", "/object/none/k", b"2")), "NoSuchBucket", "no bucket")
        big = base64.b64encode(json.dumps({"k": "v" * 15000}).encode()).decode()
        tap.equal(s.request("PUT", "/object/b/k", b"", {"x-metadata": big})[0], 431,
                  "headers above 16 KiB")
        nul = base64.b64encode(b'{"k":"\\u0000"}').decode()
        tap.equal(s.request("PUT", "/object/b/k", b"", {"x-metadata": nul})[0], 500,
                  "a NUL in metadata")
        meta = {"mtime": "1700000000.123456789", "n": 1, "é": "ü"}
        s.put("k", b"x", x_metadata=base64.b64encode(json.dumps(meta).encode()).decode())
        tap.equal(s.json("GET", "/object/info/authenticated/b/k")[2]["metadata"], meta,
                  "metadata comes back")
        s.put("k", b"x")
        tap.equal(s.json("GET", "/object/info/authenticated/b/k")[2]["metadata"], {},
                  "an upload without metadata drops the old")
        tap.equal(code(s.request("DELETE", "/object/b/k",
                                 headers={"content-type": "application/json"})),
                  "InvalidRequest", "DELETE with an empty JSON body")
        s.put("page.html", b"<p>", content_type="text/html; charset=utf-8")
        tap.equal(get(s, key="page.html")[1]["content-type"], "text/plain", "HTML is served as text")


def form(fields, data, boundary="xyz", type="text/plain"):
    parts = ["--%s\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n" % (boundary, k, v)
             for k, v in fields]
    head = "".join(parts) + (
        "--%s\r\nContent-Disposition: form-data; name=\"\"; filename=\"blob\"\r\n"
        "Content-Type: %s\r\n\r\n" % (boundary, type))
    return head.encode() + data + ("\r\n--%s--\r\n" % boundary).encode()


def forms(tap):
    with Server("--bucket", "b") as s:
        s.json("POST", "/bucket", {"name": "small", "file_size_limit": 10,
                                   "allowed_mime_types": ["text/plain"]})
        kind = {"content-type": "multipart/form-data; boundary=xyz"}
        body = form([("cacheControl", "60"), ("metadata", '{"a":1}')], DATA * 300, type="image/x")
        tap.equal(s.request("POST", "/object/b/f", body, kind)[0], 200, "a form of 300 kB")
        info = s.json("GET", "/object/info/authenticated/b/f")[2]
        tap.equal((info["size"], info["content_type"], info["cache_control"], info["metadata"]),
                  (300000, "image/x", "max-age=60", {"a": 1}), "its fields are kept")
        tap.equal(s.get("f"), DATA * 300, "and its bytes")
        body = form([("contentType", "text/csv")], b"x")
        s.request("PUT", "/object/b/f", body, kind)
        tap.equal(s.json("GET", "/object/info/authenticated/b/f")[2]["content_type"], "text/csv",
                  "the contentType field wins")
        tap.equal(code(s.request("POST", "/object/small/f", form([], b"x" * 11), kind)),
                  "EntityTooLarge", "a file above the limit")
        tap.equal(code(s.request("POST", "/object/small/f", form([], b"x", type="a/b"), kind)),
                  "InvalidMimeType", "a type that is not taken")
        tap.equal(s.json("POST", "/object/list-v2/small", {})[2]["objects"], [],
                  "nothing is left of refused ones")
        whole = form([], DATA)
        for cut in (2, 4, 8, len(whole) // 2):
            tap.equal(code(s.request("POST", "/object/b/cut", whole[:-cut], kind)) if cut > 2 else
                      s.request("POST", "/object/b/no-line-end", whole[:-cut], kind)[0],
                      "InvalidRequest" if cut > 2 else 200, "a form without its last %d bytes" % cut)
        tap.equal(s.request("GET", "/object/authenticated/b/cut")[0], 400, "is not stored")
        second = form([], b"second" * 50000, type="image/y")
        for first in (DATA, DATA * 300, b"f"):
            body = form([], first, type="image/x")[:-len("--\r\n")] + b"\r\n" + second[len("--xyz\r\n"):]
            tap.equal(s.request("PUT", "/object/b/two", body, kind)[0], 200, "a form with two files")
            tap.equal(s.get("two"), first, "the first one is taken (%d bytes)" % len(first))
        tap.equal(s.json("GET", "/object/info/authenticated/b/two")[2]["content_type"], "image/x",
                  "with its type")


def concurrent_changes(tap):
    """Of two updates of a bucket that change different members none is lost."""
    with Server("--bucket", "b") as s:
        lost = 0
        for i in range(1, 60):
            changes = [{"public": i % 2 == 0}, {"file_size_limit": 1000 + i}, {"allowed_mime_types": ["a/x%d" % i]}]
            start = threading.Barrier(len(changes))

            def one(change):
                start.wait()
                s.json("PUT", "/bucket/b", change)
            threads = [threading.Thread(target=one, args=(c,)) for c in changes]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            now = s.json("GET", "/bucket/b")[2]
            lost += any(now[k] != v for c in changes for k, v in c.items())
        tap.equal(lost, 0, "concurrent updates of a bucket")
        # A move while the source is overwritten: one whole version, under one name.
        s.json("PUT", "/bucket/b", {"file_size_limit": None, "allowed_mime_types": None})
        bad = []
        for i in range(40):
            s.put("m", b"%03d" % i * 1000)
            writer = threading.Thread(target=lambda i=i: s.put("m", b"%03d" % (i + 500) * 1000))
            writer.start()
            status = s.json("POST", "/object/move", {"bucketId": "b", "sourceKey": "m", "destinationKey": "to%d" % i})[0]
            writer.join()
            data = s.get("to%d" % i) if status == 200 else b""
            if status != 200 or data != data[:3] * 1000:
                bad.append((i, status, data[:9]))
        tap.equal(bad, [], "moves beside overwrites")
        names = {o["name"] for o in s.json("POST", "/object/list-v2/b", {"limit": 1000})[2]["objects"]}
        files = sum(len(f) for _, _, f in os.walk(os.path.join(s.dir, "objects")))
        tap.equal(files, len(names), "and no body is left over")


def copies(tap):
    with Server("--bucket", "b", "--bucket", "c") as s:
        s.put("k", DATA, content_type="text/x", cache_control="max-age=1",
              x_metadata=base64.b64encode(b'{"m":1}').decode())
        before = s.json("GET", "/object/info/authenticated/b/k")[2]
        move = {"bucketId": "b", "sourceKey": "k", "destinationKey": "moved/k"}
        tap.equal(s.json("POST", "/object/move", move)[0], 200, "move")
        after = s.json("GET", "/object/info/authenticated/b/moved/k")[2]
        tap.ok(after["id"] == before["id"] and after["version"] != before["version"] and
               after["created_at"] == before["created_at"] and after["metadata"] == {"m": 1},
               "keeps id, creation and metadata, changes the version", after)
        tap.equal(code(s.request("POST", "/object/move",
                                 dict(move, sourceKey="moved/k", destinationBucket="none"))),
                  "InvalidRequest", "into a bucket that is not there")
        copy = {"bucketId": "b", "sourceKey": "moved/k", "destinationKey": "k2",
                "destinationBucket": "c"}
        tap.equal(s.json("POST", "/object/copy", copy)[0], 200, "copy to another bucket")
        tap.equal(s.get("k2", bucket="c"), DATA, "has the bytes")
        s.request("DELETE", "/object/b/moved/k")
        tap.equal(s.get("k2", bucket="c"), DATA, "also when the source is gone")
        tap.equal(code(s.request("POST", "/object/copy", {**copy, "sourceKey": "none"})),
                  "NoSuchKey", "a source that is not there")
        own = {"bucketId": "c", "sourceKey": "k2", "destinationKey": "k2", "copyMetadata": False,
               "metadata": {"mimetype": "text/y", "cacheControl": "no-store"}}
        answer = s.json("POST", "/object/copy", own, {
            "x-upsert": "true", "x-metadata": base64.b64encode(b'{"m":2}').decode()})
        info = s.json("GET", "/object/info/authenticated/c/k2")[2]
        tap.ok(answer[0] == 200 and info["metadata"] == {"m": 2} and
               info["content_type"] == "text/y" and info["cache_control"] == "no-store",
               "onto itself changes metadata", info)
        s.json("POST", "/object/copy", dict(own, metadata={"mimetype": "text/z"}),
               {"x-upsert": "true"})
        info = s.json("GET", "/object/info/authenticated/c/k2")[2]
        tap.ok(info["metadata"] == {"m": 2} and info["cache_control"] == "no-store" and
               info["content_type"] == "text/z", "what is not named stays", info)
        deleted = s.json("DELETE", "/object/c", {"prefixes": ["k2", "no", "K2"]})[2]
        tap.equal([d["name"] for d in deleted], ["k2"], "batch delete names what it deleted")
        files = [f for _, _, fs in os.walk(os.path.join(s.dir, "objects")) for f in fs]
        tap.equal(files, [], "no body is left on the disk")


def signed(tap):
    with Server("--bucket", "b", "--bucket", "open:public") as s:
        s.put("k", DATA)
        url = s.json("POST", "/object/sign/b/k", {"expiresIn": 60})[2]["signedURL"]
        status, headers, data = s.request("GET", url, auth="none", headers={"range": "bytes=1-2"})
        tap.ok(status == 206 and data == DATA[1:3] and "expires" in headers and
               "cache-control" not in headers, "a signed URL needs no key", (status, headers))
        tap.equal(code(s.request("GET", url.replace("/b/k?", "/b/other?"), auth="none")),
                  "InvalidSignature", "it is bound to its key")
        tap.equal(code(s.request("GET", "/object/sign/b/k?token=x", auth="none")), "InvalidJWT",
                  "a token that is none")
        short = s.json("POST", "/object/sign/b/k", {"expiresIn": 1})[2]["signedURL"]
        end = time.time() + 10
        while s.request("GET", short, auth="none")[0] == 200 and time.time() < end:
            pass
        tap.equal(code(s.request("GET", short, auth="none")), "InvalidJWT", "it expires")
        answer = s.json("POST", "/object/upload/sign/b/up", {})[2]
        tap.equal(s.request("PUT", answer["url"], b"up", auth="none")[0], 200, "a signed upload")
        tap.equal(s.get("up"), b"up", "arrives")
        tap.equal(code(s.request("PUT", answer["url"], b"x", auth="none")), "KeyAlreadyExists",
                  "once, without upsert in its token")
        tap.equal(code(s.request("GET", "/object/sign/b/up?token=" + answer["token"], auth="none")),
                  "InvalidSignature", "an upload's token does not download")
        s.put("k", DATA, bucket="open")
        tap.equal(s.request("GET", "/object/public/open/k", auth="none")[2], DATA, "public")
        tap.equal(s.request("HEAD", "/object/public/open/k", auth="none")[0], 200, "public HEAD")
        tap.equal(s.request("GET", "/object/open/k", auth="none")[2], DATA, "without the word too")
        tap.equal(s.json("GET", "/object/info/public/open/k", auth="none")[2]["size"], 1000,
                  "public info")


def odd_requests(tap):
    with Server("--bucket", "b") as s:
        s.put("k", DATA)
        for raw, want in (
                (b"GET /storage/v1/object/b/%zz HTTP/1.1\r\nHost: x\r\n\r\n", b"FST_ERR_BAD_URL"),
                (b"GET /storage/v1x/status HTTP/1.1\r\nHost: x\r\n\r\n", b"404"),
                (b"GET /storage/v1/status?x=%zz HTTP/1.1\r\nHost: x\r\n\r\n", b"200 OK"),
                (b"GET /storage/v1/object/public/ HTTP/1.1\r\nHost: x\r\n\r\n", b"404")):
            with socket.create_connection((s.host, s.port)) as c:
                c.sendall(raw)
                tap.ok(want in c.recv(4096), "raw request %r" % raw[:40])
        # A peer that goes away in the middle of anything must not matter.
        for raw in (b"PUT /storage/v1/object/b/half HTTP/1.1\r\nHost: x\r\n"
                    b"Authorization: Bearer " + s.service_key.encode() +
                    b"\r\nContent-Length: 1000\r\n\r\nhalf", b"GET /stor", b"\0\0\0\0\r\n\r\n"):
            with socket.create_connection((s.host, s.port)) as c:
                c.sendall(raw)
        tap.equal(s.get("k"), DATA, "still serving")
        tap.equal(code(get(s, key="half")), "NoSuchKey", "half a body changes nothing")


if __name__ == "__main__":
    run_tests([ranges, etag_kinds, uploads, forms, concurrent_changes, copies, signed, odd_requests])
