#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fills the bucket's folder many/ with N empty objects: fill.py N. Server and key come from the environment."""
import concurrent.futures
import http.client
import os
import sys
import threading
import urllib.parse

URL = urllib.parse.urlsplit(os.environ["SUPABASE_URL"])
BUCKET = os.environ["SUPABASE_BUCKET_NAME"]
HEADERS = {"Authorization": "Bearer " + os.environ["SUPABASE_SERVICE_ROLE_KEY"], "Content-Length": "0"}
local = threading.local()


def put(number):
    if not hasattr(local, "connection"):
        local.connection = http.client.HTTPConnection(URL.hostname, URL.port)
    local.connection.request("PUT", f"/storage/v1/object/{BUCKET}/many/file-{number:06d}.dat", headers=HEADERS)
    reply = local.connection.getresponse()
    reply.read()
    if reply.status != 200:
        raise RuntimeError(f"PUT {number}: HTTP {reply.status}")


def main():
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in pool.map(put, range(int(sys.argv[1])), chunksize=100):
            pass


if __name__ == "__main__":
    main()
