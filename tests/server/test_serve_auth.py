#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tokens, roles and policies (API §1)."""
import base64
import hashlib
import hmac
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from servelib import Server, run_tests  # noqa: E402

B = "/object/authenticated/b/"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(s, payload, secret=None, alg="HS256"):
    with open(os.path.join(s.dir, "jwt-secret"), "rb") as f:
        secret = secret or f.read().strip()
    text = b64(json.dumps({"alg": alg, "typ": "JWT"}).encode()) + "." + \
        b64(json.dumps(payload).encode())
    return text + "." + b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())


def tokens(tap):
    with Server("--bucket", "b") as s:
        s.put("k", b"x")

        def ask(auth, path="/bucket/b", headers=None):
            status, _, answer = s.json("GET", path, auth=auth, headers=headers)
            return status, answer.get("code"), answer.get("message")

        now = int(time.time())
        good = token(s, {"role": "service_role", "exp": now + 60})
        tap.equal(ask(good)[0], 200, "a token of one's own making")
        tap.equal(ask("none", headers={"authorization": good})[0], 200, "without Bearer")
        tap.equal(ask("none", headers={"authorization": "bEARER " + good})[0], 200,
                  "bearer in any case")
        tap.equal(ask(token(s, {"role": "service_role", "exp": now - 1})),
                  (400, "AccessDenied", '"exp" claim timestamp check failed'), "expired")
        tap.equal(ask(token(s, {"role": "service_role"}, b"other")),
                  (400, "AccessDenied", "signature verification failed"), "another secret")
        tap.equal(ask("sb_secret_x"), (400, "AccessDenied", "Invalid Compact JWS"), "no JWT")
        tap.equal(ask("a.b.c"), (400, "AccessDenied", "JWS Protected Header is invalid"),
                  "a JWT's shape only")
        tap.equal(ask(token(s, {"role": "service_role"}, alg="none"))[0], 400, "alg none")
        tap.equal(ask(token(s, {"role": "postgres"}))[:2], (500, "DatabaseError"),
                  "an unknown role")
        tap.equal(ask(token(s, {}))[1], "NoSuchBucket", "no role acts as anon")
        tap.equal(ask("none", headers={"apikey": s.service_key})[:2], (400, "InvalidRequest"),
                  "apikey alone is not looked at")
        tap.equal(s.json("POST", "/bucket/b/empty", {}, auth="anon")[:1], (403,),
                  "a route for service_role")
        tap.equal(ask("a.b.c", "/object/b/k")[1], "NoSuchBucket",
                  "the optional route degrades to nobody")
        tap.equal(ask("none", B + "k")[1], "InvalidRequest", "the other one does not")


def default_is_nothing(tap):
    with Server("--bucket", "b", "--bucket", "open:public") as s:
        s.put("k", b"x")
        s.put("k", b"x", bucket="open")
        user = s.token("authenticated", sub="u1")
        for auth in ("anon", user):
            who = "anon" if auth == "anon" else "a user"
            tap.equal(s.json("GET", "/bucket", auth=auth)[2], [], who + " sees no bucket")
            tap.equal(s.json("GET", B + "k", auth=auth)[2]["code"], "NoSuchKey",
                      who + " reads nothing")
            tap.equal(s.json("PUT", "/object/b/n", b"x", auth=auth)[2]["code"], "AccessDenied",
                      who + " writes nothing")
            tap.equal(s.json("DELETE", "/object/b/k", auth=auth)[2]["code"], "AccessDenied",
                      who + " deletes nothing")
            tap.equal(s.json("DELETE", "/object/b", {"prefixes": ["k"]}, auth=auth)[2], [],
                      who + " deletes nothing in batches")
            tap.equal(s.json("POST", "/object/list-v2/b", {}, auth=auth)[2]["objects"], [],
                      who + " lists nothing")
            tap.equal(s.json("POST", "/bucket", {"name": "n"}, auth=auth)[2]["code"],
                      "AccessDenied", who + " makes no bucket")
            move = {"bucketId": "b", "sourceKey": "k", "destinationKey": "m"}
            for op in ("move", "copy"):
                tap.equal(s.json("POST", "/object/" + op, move, auth=auth)[2]["code"], "NoSuchKey",
                          who + " does not " + op)
            tap.equal(s.request("GET", "/object/authenticated/open/k", auth=auth)[0], 200,
                      who + " reads a public bucket")
            tap.equal(s.json("POST", "/object/list-v2/open", {}, auth=auth)[2]["objects"], [],
                      who + " does not list it")


def policies(tap):
    with Server("--bucket", "b", "--policy", "anon:b:-:select",
                "--policy", "authenticated:b:{sub}/*:select,insert") as s:
        user, other = s.token(sub="u1"), s.token(sub="u2")
        tap.equal(s.json("GET", "/bucket/b", auth="anon")[0], 200, "a policy for the bucket itself")
        tap.equal(s.json("GET", "/bucket/b", auth=user)[2]["code"], "NoSuchBucket",
                  "is for its role only")

        def put(key, auth, method="POST"):
            answer = s.json(method, "/object/b/" + key, b"x", auth=auth)
            return answer[2].get("code", answer[0])

        tap.equal(put("u1/k", user), 200, "insert where the pattern fits")
        tap.equal(put("u1/k", other), "AccessDenied", "not for somebody else")
        tap.equal(put("k", user), "AccessDenied", "not elsewhere")
        tap.equal(put("u1/k", user), "KeyAlreadyExists", "a duplicate is told")
        tap.equal(put("u1/k", user, "PUT"), "AccessDenied", "replacing needs update")
        tap.equal(put("u1/new", user, "PUT"), 200, "PUT of a new key does not")
        s.policy("authenticated", "b", "{sub}/*", "all")
        tap.equal(put("u1/k", user, "PUT"), 200, "after the policy changed")
        tap.equal(s.get("u1/k", authorization="Bearer " + user), b"x", "read")
        tap.equal(s.json("GET", B + "u1/k", auth=other)[2]["code"], "NoSuchKey", "not by others")
        rows = s.json("POST", "/object/list-v2/b", {}, auth=user)[2]["objects"]
        tap.equal([o["name"] for o in rows], ["u1/k", "u1/new"], "list")
        tap.equal(s.json("POST", "/object/list-v2/b", {}, auth=other)[2]["objects"], [],
                  "nothing for others")
        deleted = s.json("DELETE", "/object/b", {"prefixes": ["u1/k"]}, auth=user)[2]
        tap.equal(deleted[0]["owner_id"], "u1", "the owner is the user")
        move = {"bucketId": "b", "sourceKey": "u1/new", "destinationKey": "u2/new"}
        tap.equal(s.json("POST", "/object/move", move, auth=user)[2]["code"], "AccessDenied",
                  "no move into what one may not write")
        s.stop()
        s.start()
        rows = s.json("POST", "/object/list-v2/b", {}, auth=user)[2]["objects"]
        tap.equal([o["name"] for o in rows], ["u1/new"], "policies and keys outlive the server")


if __name__ == "__main__":
    run_tests([tokens, default_is_nothing, policies])
