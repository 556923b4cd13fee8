#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sends the rows of tests/golden/rest-api.jsonl in order to a new server and compares.

usage: golden_replay.py [--base-path PATH] [--etag KIND]    prints TAP

Rows with a recorded answer of the real server must match it; rows without one must match
expected.jsonl beside it, which says what the API notes say (same shape, by name).

What is compared: the status; JSON bodies by structure and value, but for status >= 400 only
statusCode, error and code; other bodies by text or hash; and for status < 400 the recorded
headers that a client depends on. Identifiers, times and tokens are masked first.
"""
import argparse
import hashlib
import json
import os
import re
import sys
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from servelib import Server, Tap  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "..", "golden")
HEADERS = ("content-type", "content-range", "etag", "accept-ranges", "cache-control",
           "upload-offset", "upload-length", "tus-resumable")
MASKS = (
    (re.compile(r"token=[A-Za-z0-9_.-]+"), "token=<token>"),
    (re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"), "<jwt>"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"), "<time>"),
    (re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} [\d:]{8} GMT"),
     "<date>"),
)


def rows(name):
    with open(os.path.join(GOLDEN, name), encoding="utf-8") as f:
        return [json.loads(line) for line in f if line.strip()]


def mask(text):
    for pattern, replacement in MASKS:
        text = pattern.sub(replacement, text)
    return text


def pattern_bytes(size):
    one = bytes((i * 31 + 7) % 251 for i in range(251))
    return (one * (size // 251 + 1))[:size]


def body_of(row):
    if "json" in row:
        return json.dumps(row["json"]).encode()
    if "text" in row:
        return row["text"].encode()
    if "size" in row:
        return pattern_bytes(row["size"])
    return None


def send(server, conn, row, variables):
    headers = dict(row.get("headers", {}))
    auth = row.get("auth", "service")
    headers.update(server.auth_header("not.a.jwt" if auth == "bad" else auth))
    if "json" in row:
        headers.setdefault("content-type", "application/json")
    body = body_of(row)
    if body is None and row["method"] in ("POST", "PUT", "PATCH"):
        headers["content-length"] = "0"
    path = row["path"]
    for name, value in variables.items():
        path = path.replace("{%s}" % name, value)
    if path.startswith("http"):
        path = urllib.parse.urlsplit(path).path
    else:
        path = server.base_path + path
    conn.putrequest(row["method"], path, skip_accept_encoding=True)
    if body is not None:
        headers["content-length"] = str(len(body))
    for name, value in headers.items():
        conn.putheader(name, value)
    conn.endheaders()
    if body:
        conn.send(body)
    response = conn.getresponse()
    data = response.read()
    return response.status, {k.lower(): v for k, v in response.getheaders()}, data


def same_header(name, got, want):
    if got is None:
        return False
    if name == "content-type":
        got, want = got.replace(" ", "").lower(), want.replace(" ", "").lower()
    return mask(got) == want


def differences(row, want, answer):
    status, headers, data = answer
    if status != want["status"]:
        yield "status %d, want %d: %s" % (status, want["status"], data[:300])
        return
    if "json" in want:
        try:
            got = json.loads(mask(data.decode()))
        except ValueError:
            yield "no JSON: %r" % data[:300]
            return
        expected = want["json"]
        if status >= 400:
            keys = ("statusCode", "error", "code")
            got = {k: got.get(k) for k in keys}
            expected = {k: expected.get(k) for k in keys}
        if got != expected:
            yield "body  %s\nwant  %s" % (json.dumps(got)[:1500], json.dumps(expected)[:1500])
    elif "text" in want and status < 400:
        if data.decode("utf-8", "replace") != want["text"]:
            yield "text %r, want %r" % (data[:200], want["text"][:200])
    if "length" in want and len(data) != want["length"]:
        yield "length %d, want %d" % (len(data), want["length"])
    if "sha256" in want and hashlib.sha256(data).hexdigest() != want["sha256"]:
        yield "the bytes differ"
    if status < 400:
        for name, value in want.get("headers", {}).items():
            if name in HEADERS and not same_header(name, headers.get(name), value):
                yield "%s: %r, want %r" % (name, headers.get(name), value)


def wait_for_next_millisecond(last_ms):
    """Orders by time are by milliseconds; the recorded requests were never that close."""
    while int(time.time() * 1000) <= last_ms:
        pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--base-path", default="/storage/v1")
    parser.add_argument("--etag", default="md5")
    options = parser.parse_args()
    expected = {row["name"]: row["response"] for row in rows("expected.jsonl")}
    tap = Tap()
    recorded = matched = 0
    with Server("--quiet", "--etag", options.etag, base_path=options.base_path) as server:
        conn = server.connect()
        variables = {}
        for row in rows("rest-api.jsonl"):
            wait_for_next_millisecond(int(time.time() * 1000))
            answer = send(server, conn, row, variables)
            for header, name in row.get("save", {}).items():
                variables[name] = answer[1].get(header, "/missing")
            want = row.get("response") or expected.get(row["name"])
            if want is None:
                tap.ok(False, row["name"], "neither recorded nor in expected.jsonl")
                continue
            problems = list(differences(row, want, answer))
            good = tap.ok(not problems, row["name"], "\n".join(problems))
            if "response" in row:
                recorded += 1
                matched += bool(good)
        conn.close()
    print("# %d of %d recorded answers match" % (matched, recorded))
    tap.done()


if __name__ == "__main__":
    main()
