#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up meson's test logs by TAP case and prints one closing line: "N passed, N failed[, N skipped]".

In CI (CI=true) a skipped case counts as a failure: nothing may be skipped there."""
import json
import os
import re
import sys

CASE = re.compile(r"^(not )?ok\b(?:.*#\s*(SKIP))?", re.M | re.I)


def tally(log):
    passed = failed = 0
    skipped = []
    for line in open(log, encoding="utf-8", errors="replace"):
        test = json.loads(line)
        cases = CASE.findall(test.get("stdout") or "")
        bad = sum(1 for no, skip in cases if no and not skip)
        skip = sum(1 for _, s in cases if s)
        good = len(cases) - bad - skip
        if test["result"] == "SKIP" and not good:
            skipped.append(test["name"])
            continue
        if test["result"] not in ("OK", "SKIP", "EXPECTEDFAIL") and not bad:
            bad = 1
        skipped += [test["name"]] * skip
        passed += good if cases else int(not bad)
        failed += bad
    return passed, failed, skipped


def main():
    passed = failed = 0
    skipped = []
    for log in sys.argv[1:]:
        p, f, s = tally(log)
        passed, failed, skipped = passed + p, failed + f, skipped + s
    if skipped:
        print("skipped:", ", ".join(sorted(set(skipped))))
    if skipped and os.environ.get("CI") == "true":
        print("in CI nothing may be skipped: the skipped ones count as failed")
        failed, skipped = failed + len(skipped), []
    line = f"{passed} passed, {failed} failed"
    print(line + (f", {len(skipped)} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
