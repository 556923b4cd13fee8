#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs client_js.mjs (the official JavaScript client and tus-js-client) against the server."""
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from target import Bucket, target  # noqa: E402

CLIENTS = pathlib.Path(os.environ.get("SUPAFS_TEST_CLIENTS",
                                      pathlib.Path.home() / ".cache/supafs-test-clients"))


def main():
    node = shutil.which("node")
    if not node:
        print("1..0 # SKIP node is absent: apt-get install nodejs npm")
        return 0
    if not (CLIENTS / "node_modules/@supabase/storage-js").is_dir():
        print("1..0 # SKIP @supabase/storage-js is absent: scripts/setup --tests (packages nodejs, npm)")
        return 0
    with target() as t, Bucket(t) as bucket:
        env = {**os.environ, "BASE": t.base, "KEY": t.service_key, "BUCKET": bucket,
               "CLIENTS": str(CLIENTS)}
        return subprocess.run([node, str(HERE / "client_js.mjs")], env=env, timeout=240).returncode


if __name__ == "__main__":
    sys.exit(main())
