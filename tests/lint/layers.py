#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Layer gate: a layer includes only the headers of the layers below it (docs/architecture.md).

Reads the #include lines of src/ and include/ against the tables below and prints TAP."""
import pathlib
import re
import sys

BELOW = {
    "util": {"util"},
    "http": {"http", "util"},
    "store": {"store", "http", "util"},
    "cache": {"cache", "store", "util"},
    "vfs": {"vfs", "cache", "store", "util"},
    "fuse": {"fuse", "vfs", "util"},
    "app": {"app", "fuse", "vfs", "cache", "store", "http", "util"},
    "serve": {"util"},
}
# A library's header may be included by these files only (regular expressions on the path).
ONLY = {
    r"fuse(3/.*|_.*)?(/.*)?\.h|fuse3/.*": r"src/fuse/.*|src/app/version\.c",
    r"curl/.*": r"src/http/curl_[a-z_]*\.[ch]",
    r"cjson/.*|cJSON\.h": r"src/store/json\.c|src/serve/.*|src/app/(answer|version)\.c",
    r"openssl/.*": r"src/serve/.*|src/http/curl_[a-z_]*\.c|src/app/version\.c",
    r"sqlite3\.h|microhttpd\.h": r"src/serve/.*",
}
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def layer_of(path):
    parts = path.parts
    if parts[0] == "include":
        return parts[2] if len(parts) > 3 else None
    return parts[1] if len(parts) > 2 else "app"  # src/main.c may see all


def problems(root):
    for path in sorted(list((root / "src").rglob("*.[ch]")) + list((root / "include").rglob("*.h"))):
        rel = path.relative_to(root)
        layer = layer_of(rel)
        seen = set()
        for number, line in enumerate(path.read_text().splitlines(), 1):
            m = INCLUDE.match(line)
            if not m:
                continue
            what = m.group(2)
            where = f"{rel}:{number}"
            if what in seen:
                yield f"{where}: {what} is included twice"
            seen.add(what)
            mine = re.match(r"supafs/([a-z]+)/", what)
            if mine and layer and mine.group(1) not in BELOW[layer]:
                yield f"{where}: layer {layer} may not include {what}"
            if m.group(1) == '"' and what.startswith(".."):
                yield f"{where}: {what} reaches into another folder"
            for header, users in ONLY.items():
                if re.fullmatch(header, what) and not re.fullmatch(users, str(rel)):
                    yield f"{where}: only {users} may include <{what}>"


def main():
    root = pathlib.Path(sys.argv[1])
    found = list(problems(root))
    print("1..1")
    for line in found:
        print("#", line)
    print("not ok 1 - includes against the layers" if found else "ok 1 - includes follow the layers")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
