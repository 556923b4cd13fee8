#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Listings: the real server's page-boundary defects at several limits, and the cure (API §4)."""
import base64
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from servelib import Server, run_tests  # noqa: E402

FOLDER = ["zoo", "zoo-a", "zoo.txt", "zoo/in", "zoo (1)", "zoo0", "a", "b/1", "b/2", "b-x",
          "c", "c!", "c/d"]


def make(server, bucket, keys, prefix="d/"):
    server.json("POST", "/bucket", {"name": bucket})
    conn = server.connect()
    for key in keys:
        status, _, _ = server.request("PUT", "/object/%s/%s" % (bucket, server.quote(prefix + key)),
                                      b"" if "Placeholder" in key else b"x", conn=conn)
        assert status == 200, (key, status)
    conn.close()


def page(server, bucket, prefix="d/", **body):
    body = {"prefix": prefix, "with_delimiter": True, **body}
    status, _, answer = server.json("POST", "/object/list-v2/" + bucket, body)
    assert status == 200, answer
    return answer


def names(answer):
    return [o["name"] for o in answer["folders"]] + [o["name"] for o in answer["objects"]]


def walk(server, bucket, limit, cursor_of, **body):
    """All names over all pages; cursor_of(answer) gives the next cursor."""
    found, cursor, pages = [], None, 0
    while True:
        answer = page(server, bucket, limit=limit, **({"cursor": cursor} if cursor else {}),
                      **body)
        found += names(answer)
        pages += 1
        if not answer["hasNext"]:
            return found, pages
        cursor = cursor_of(answer)


def plain(answer):
    return answer["nextCursor"]


def cured(answer):
    """API §4.3: a client-made cursor behind a page that ends in a file."""
    last = max([o["name"] for o in answer["folders"]] + [o["name"] for o in answer["objects"]])
    if last.endswith("/"):
        return answer["nextCursor"]
    return base64.b64encode(("l:%s\x01\no:asc" % last).encode()).decode()


def expected(keys, prefix="d/"):
    out = set()
    for key in keys:
        out.add(prefix + (key.split("/")[0] + "/" if "/" in key else key))
    return sorted(out)


def small_folder(tap):
    with Server() as s:
        make(s, "b", FOLDER)
        want = expected(FOLDER)
        tap.equal(sorted(names(page(s, "b"))), want, "one page has every entry")
        for limit in (1, 2, 4):
            found, _ = walk(s, "b", limit, plain)
            tap.ok(set(found) < set(want), "limit %d loses entries, as the real server" % limit,
                   found)
            tap.equal(len(found), len(set(found)), "limit %d repeats none" % limit)
        found, _ = walk(s, "b", 1, plain)
        tap.ok("d/zoo.txt" not in found and "d/zoo" in found,
               "what begins with a file's name and sorts below / is skipped")
        for limit in (1, 2, 3, 4, 5, 998, 999):
            found, _ = walk(s, "b", limit, cured)
            tap.equal(sorted(found), want, "limit %d with the safe cursor has every entry" % limit)
        answer = page(s, "b", limit=2)
        tap.equal(base64.b64decode(answer["nextCursor"]),
                  ("l:" + answer["nextCursorKey"]).encode(), "the cursor is l: and the key")
        answer = page(s, "b", limit=2, sortBy={"column": "updated_at", "order": "desc"})
        text = base64.b64decode(answer["nextCursor"]).decode().split("\n")
        tap.equal([line[:2] for line in text], ["l:", "o:", "c:", "a:"],
                  "the cursor of a sorted list has its four lines")
        for order in ("asc", "desc"):
            by_time, _ = walk(s, "b", 3, plain,
                              sortBy={"column": "created_at", "order": order})
            tap.equal(sorted(by_time), want, "pages by time, %s, are exact" % order)


def large_folder(tap):
    keys = ["f%04d" % i for i in range(1001)] + ["f0999.txt", "f0999-a"]
    with Server() as s:
        make(s, "b", keys)
        want = expected(keys)
        first = page(s, "b", limit=1000)
        tap.ok(len(names(first)) == 1000, "limit 1000: a full first page")
        found, _ = walk(s, "b", 1000, plain)
        tap.ok(set(found) < set(want), "limit 1000 loses entries at the inner batch",
               sorted(set(want) - set(found)))
        found, pages = walk(s, "b", 999, cured)
        tap.equal(sorted(found), want, "limit 999 with the safe cursor has all 1003")
        tap.equal(pages, 2, "in two requests")
        tap.equal(len(names(page(s, "b", limit=100000))), 1000, "a larger limit is cut to 1000")
        flat, _ = walk(s, "b", 1000, plain, with_delimiter=False)
        tap.equal(flat, want, "flat paging is exact at limit 1000")
        flat, _ = walk(s, "b", 7, plain, with_delimiter=False)
        tap.equal(flat, want, "flat paging is exact at limit 7")
        status, _, one = s.json("POST", "/object/list/b", {"prefix": "d", "limit": 1500})
        tap.ok(status == 200 and len(one) < len(want),
               "version 1 loses entries at its batch of 1000")


def odd_entries(tap):
    with Server() as s:
        make(s, "b", ["w//dbl", "w/trail/", "w/a", "w/a/b", "/lead", "e/.emptyFolderPlaceholder",
                      "Case/x", "case/y"], prefix="")
        root = page(s, "b", "")
        tap.ok({"key": "", "name": "/"}.items() <= root["folders"][0].items(),
               "a leading slash shows as the folder /")
        w = page(s, "b", "w/")
        tap.equal([(f["key"], f["name"]) for f in w["folders"]],
                  [("", "w/"), ("a", "w/a/"), ("trail", "w/trail/")],
                  "w//dbl shows as the folder itself, a/b beside a")
        tap.equal([(o["key"], o["name"]) for o in w["objects"]], [("a", "w/a")], "and the file a")
        t = page(s, "b", "w/trail/")
        tap.equal([(o["key"], o["name"]) for o in t["objects"]], [("", "w/trail/")],
                  "a marker object lists as an empty key")
        tap.equal([o["key"] for o in page(s, "b", "e/")["objects"]],
                  [".emptyFolderPlaceholder"], "a placeholder is an ordinary object")
        _, _, merged = s.json("POST", "/object/list/b", {"prefix": "CASE"})
        tap.equal([o["name"] for o in merged], ["x", "y"], "version 1 merges Case/ and case/")
        tap.equal(names(page(s, "b", "Case/")), ["Case/x"], "version 2 does not")
        tap.equal(names(page(s, "b", "w/tr")), ["w/trail/"], "a prefix need not end in /")
        status, _, answer = s.json("POST", "/object/list-v2/b", {"cursor": "garbage"})
        tap.equal((status, answer["code"]), (400, "InvalidParameter"), "a bad cursor is refused")


def hidden_rows(tap):
    with Server("--policy", "anon:b:open/*:select") as s:
        make(s, "b", ["open/1", "open/2", "shut/1", "x"], prefix="")
        status, _, answer = s.json("POST", "/object/list-v2/b",
                                   {"with_delimiter": True}, auth="anon")
        tap.equal(names(answer), ["open/"], "only what a policy shows is listed")
        _, _, answer = s.json("POST", "/object/list-v2/b", {"limit": 1}, auth="anon")
        tap.ok(answer["hasNext"] and names(answer) == ["open/1"], "pages count visible rows")
        _, _, answer = s.json("POST", "/object/list/b", {"prefix": ""}, auth="anon")
        tap.equal([o["name"] for o in answer], ["open"], "version 1 too")


def page_too_large(tap):
    """More text than a reply may have is an error, not an empty folder."""
    with Server("--bucket", "b") as s:
        s.put("k", b"x")
        body = {"bucketId": "b", "sourceKey": "k", "copyMetadata": False,
                "metadata": {"mimetype": "t/" + "x" * 1000000}}
        for i in range(68):
            s.json("POST", "/object/copy", {**body, "destinationKey": "big/%d" % i})
        for delimiter in (True, False):
            answer = s.json("POST", "/object/list-v2/b",
                            {"prefix": "big/", "with_delimiter": delimiter})
            tap.equal((answer[0], answer[2].get("code")), (500, "InternalError"),
                      "delimiter %s" % delimiter)


if __name__ == "__main__":
    run_tests([small_folder, large_folder, odd_entries, hidden_rows, page_too_large])
