#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each effect of a fault rule, as a client sees it on the wire."""
import http.client
import pathlib
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from servelib import ControlError, Server  # noqa: E402
from target import Tap  # noqa: E402

BODY = bytes(range(256)) * 40


class Cases:
    def __init__(self, server):
        self.s = server
        server.put("k", BODY)

    def rule(self, effect, match=None):
        self.s.clear_faults()
        return self.s.fault({"kind": "get", **(match or {})}, effect)

    def get(self):
        return self.s.request("GET", "/object/authenticated/b/k")

    def fails(self, *kinds):
        try:
            self.get()
        except kinds:
            return
        raise AssertionError("the request went well")

    def status_with_body(self):
        self.rule({"status": 503, "body": "busy", "content_type": "text/plain", "header": "Retry-After: 7"})
        status, headers, body = self.get()
        assert (status, body) == (503, b"busy"), (status, body)
        assert headers["retry-after"] == "7" and headers["content-type"] == "text/plain", headers

    def html_and_redirect(self):
        self.rule({"status": 502, "body": "<html>Bad gateway</html>", "content_type": "text/html"})
        assert self.get()[2].startswith(b"<html>")
        self.rule({"status": 302, "header": "Location: http://127.0.0.1:1/elsewhere"})
        status, headers, _ = self.get()
        assert status == 302 and headers["location"].endswith("/elsewhere")

    def expired_token(self):
        self.rule({"status": 400, "body": '{"statusCode":"403","error":"Unauthorized","message":"\\"exp\\" claim '
                                          'timestamp check failed","code":"AccessDenied"}'})
        status, _, body = self.s.json("GET", "/object/authenticated/b/k")
        assert status == 400 and body["statusCode"] == "403"

    def reset_before(self):
        self.rule({"reset": "before"})
        self.fails(ConnectionError, http.client.RemoteDisconnected)

    def lost_answer(self):
        self.s.clear_faults()
        self.s.fault({"kind": "put", "key": "lost", "count": 1}, {"reset": "answer"})
        try:
            self.s.put("lost", b"arrived")
            raise AssertionError("an answer came")
        except (ConnectionError, http.client.RemoteDisconnected):
            pass
        assert self.s.get("lost") == b"arrived"

    def broken_headers(self):
        self.s.clear_faults()
        self.s.fault({"kind": "put", "key": "lost", "count": 1}, {"reset": "inside"})
        try:
            self.s.put("lost", b"arrived too")
            raise AssertionError("an answer came")
        except (ConnectionError, http.client.HTTPException):
            pass
        assert self.s.get("lost") == b"arrived too"

    def garbage(self):
        self.s.clear_faults()
        self.s.fault({"key": "junk", "count": 2}, {"garbage": 5000})
        for send in (lambda: self.s.put("junk", b"x"), lambda: self.s.put("junk", b"x" * 3000000)):
            try:
                send()
                raise AssertionError("an answer came")
            except (ConnectionError, http.client.HTTPException):
                pass
        assert self.s.request("GET", "/object/authenticated/b/junk")[0] == 400, "it is there"

    def reset_inside_the_body(self):
        self.s.clear_faults()
        self.s.fault({"kind": "put", "key": "cut", "count": 1}, {"reset": "body", "reset_after": 100000})
        try:
            self.s.put("cut", b"x" * 8000000)
            raise AssertionError("the upload went well")
        except (ConnectionError, http.client.RemoteDisconnected):
            pass
        assert self.s.request("GET", "/object/authenticated/b/cut")[0] == 400, "it is there"

    def short_body(self):
        self.rule({"cut_after": 1000})
        try:
            self.get()
            raise AssertionError("the whole body came")
        except http.client.IncompleteRead as e:
            assert e.partial == BODY[:1000], len(e.partial)

    def short_listing(self):
        self.s.clear_faults()
        self.s.fault({"kind": "list"}, {"cut_after": 10})
        try:
            self.s.json("POST", "/object/list-v2/b", {})
            raise AssertionError("the whole listing came")
        except (http.client.IncompleteRead, ConnectionError):
            pass

    def wrong_etag(self):
        good = self.get_clear()[1]["etag"]
        self.rule({"wrong_etag": True})
        status, headers, body = self.get()
        assert status == 200 and body == BODY and headers["etag"] != good

    def get_clear(self):
        self.s.clear_faults()
        return self.get()

    def delay_and_rate(self):
        for effect, least in (({"delay_ms": 200}, 0.2), ({"rate_down": 40000}, 0.2)):
            self.rule(effect)
            began = time.monotonic()
            assert self.get()[2] == BODY
            assert time.monotonic() - began >= least, effect

    def drip(self):
        self.rule({"drip_ms": 20})
        with socket.create_connection((self.s.host, self.s.port), timeout=10) as c:
            c.sendall(("GET %s/object/authenticated/b/k HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n"
                       % (self.s.base_path, self.s.service_key)).encode())
            data = b""
            while b"\r\n\r\n" not in data:
                data += c.recv(65536)
            head, body = data.split(b"\r\n\r\n", 1)
            assert b"Content-Length: %d" % len(BODY) in head
            while len(body) < 4:
                part = c.recv(65536)
                assert 0 < len(part) < 64, len(part)
                body += part
            assert BODY.startswith(body)

    def slow_upload(self):
        self.s.clear_faults()
        self.s.fault({"kind": "put", "key": "slow"}, {"rate_up": 100000})
        began = time.monotonic()
        self.s.put("slow", b"x" * 40000)
        assert time.monotonic() - began >= 0.3

    def silence(self):
        self.rule({"silence": True})
        with socket.create_connection((self.s.host, self.s.port), timeout=0.5) as c:
            c.sendall(("GET %s/object/authenticated/b/k HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n"
                       % (self.s.base_path, self.s.service_key)).encode())
            try:
                raise AssertionError("not silent: %r" % c.recv(1))
            except TimeoutError:
                pass

    def error_cut_and_dripping(self):
        self.rule({"status": 502, "body": "<html>Bad gateway</html>", "cut_after": 6})
        try:
            self.get()
            raise AssertionError("the whole body came")
        except http.client.IncompleteRead as e:
            assert e.partial == b"<html>", e.partial
        self.rule({"status": 502, "body": "slow", "drip_ms": 50})
        began = time.monotonic()
        assert self.get()[2] == b"slow"
        assert time.monotonic() - began >= 0.15

    def counting(self):
        self.rule({"status": 500}, {"skip": 1, "count": 2})
        assert [self.get()[0] for _ in range(4)] == [200, 500, 500, 200]
        assert [f["hit"] for f in self.s.faults()] == [2]

    def counters(self):
        self.s.clear_faults()
        self.s.reset_counters()
        self.get()
        self.s.request("GET", "/object/authenticated/b/none")
        self.s.json("POST", "/object/list-v2/b", {})
        c = self.s.counters()
        assert (c["get"], c["list"], c["total"], c["status"]) == (2, 1, 3, {"400": 1}), c
        assert c["bytes_out"] >= len(BODY)

    def bad_control_input(self):
        self.s.clear_faults()
        for message in ({"op": "nope"}, {}, {"op": "fault", "match": {"kind": "x"}, "effect": {}},
                        {"op": "clear", "id": 999}, {"op": "clear", "id": "1"}, {"op": "policy", "ops": "fly"},
                        {"op": "token"}, {"op": "fault", "effect": {"header": "no colon"}}):
            try:
                self.s.control(message)
            except ControlError as e:
                assert str(e), message
            else:
                raise AssertionError("accepted: %r" % message)
        assert self.s.faults() == []

    def stop_while_waiting(self):
        self.rule({"silence": True})
        waiting = threading.Thread(target=lambda: self.fails(Exception))
        waiting.start()
        while self.s.counters()["faults"] == 0:
            time.sleep(0.01)
        self.s.stop()  # raises when the server does not end cleanly
        waiting.join(10)
        assert not waiting.is_alive()


def main():
    tap = Tap()
    with Server("--bucket", "b") as server:
        cases = Cases(server)
        names = [n for n in vars(Cases) if n not in ("rule", "get", "fails", "get_clear", "stop_while_waiting")
                 and not n.startswith("_")]
        for name in names:
            tap.case("fault: " + name.replace("_", " "), getattr(cases, name))
        server.reset_counters()
        tap.case("fault: the server stops while a request waits", cases.stop_while_waiting)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
