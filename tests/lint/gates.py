#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Size gates (docs/hacking.md): function length, McCabe, file length, banned words, headers' comments.

Needs pmccabe. Prints TAP; is skipped when pmccabe is absent."""
import pathlib
import re
import shutil
import statistics
import subprocess
import sys

FUNCTION_LINES, MCCABE, FILE_LINES = 80, 25, 800
MEDIAN_LINES, P95_LINES = 15, 60
HEADER_COMMENT_SHARE = 0.40
WORDS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|for now\b|#if 0|not implemented", re.I)
# File-scope variables that are not const: only the log level and the signal flag (and what they need).
MUTABLE_ALLOWED = {"src/util/log.c", "src/main.c", "src/util/hash.c"}
MUTABLE = re.compile(
    r"^static (?!inline\b|const\b|_Noreturn\b|_Thread_local const\b)(?:(?!\bconst\b)[\w\s\*])+?\b(\w+)"
    r"(?:\[[^\]]*\])*\s*(=|;)", re.M)


def sources(root, *suffixes):
    for folder in ("src", "include", "tests", "bench"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in suffixes:
                yield path


def functions(root):
    files = [str(p) for p in sources(root, ".c", ".h")]
    out = subprocess.run(["pmccabe", *files], capture_output=True, text=True, check=True).stdout
    for line in out.splitlines():
        _, mccabe, _, _, lines, rest = line.split("\t", 5) if "\t" in line else line.split(None, 5)
        yield int(mccabe), int(lines), rest


def check_functions(root):
    lengths = []
    for mccabe, lines, where in functions(root):
        where = where.replace(str(root) + "/", "")
        if where.startswith("src/"):
            lengths.append(lines)
        if lines > FUNCTION_LINES:
            yield f"{where}: {lines} lines (limit {FUNCTION_LINES})"
        if mccabe > MCCABE:
            yield f"{where}: complexity {mccabe} (limit {MCCABE})"
    if lengths:
        p95 = statistics.quantiles(lengths, n=20)[-1] if len(lengths) > 20 else max(lengths)
        print(f"# functions: {len(lengths)}, median {statistics.median(lengths)} lines, p95 {p95:.0f}")
        if statistics.median(lengths) > MEDIAN_LINES:
            yield f"median function length {statistics.median(lengths)} > {MEDIAN_LINES}"
        if p95 > P95_LINES:
            yield f"p95 function length {p95:.0f} > {P95_LINES}"


def check_files(root):
    for path in sources(root, ".c", ".h", ".py", ".sh", ".mjs"):
        rel = path.relative_to(root)
        text = path.read_text()
        count = text.count("\n")
        if count > FILE_LINES:
            yield f"{rel}: {count} lines (limit {FILE_LINES})"
        if rel.parts[:2] == ("tests", "lint"):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if WORDS.search(line):
                yield f"{rel}:{number}: {line.strip()[:70]}"
        if path.suffix in (".c", ".h") and "SPDX-License-Identifier" not in text[:80]:
            yield f"{rel}: no SPDX line"


def check_headers(root):
    total = comment = 0
    for path in sorted((root / "include").rglob("*.h")):
        inside = False
        for line in path.read_text().splitlines():
            text = line.strip()
            total += bool(text)
            if inside or text.startswith(("/*", "//")) or "/*" in text:
                comment += 1
            if "/*" in text:
                inside = "*/" not in text.split("/*")[-1]
            elif "*/" in text:
                inside = False
    share = comment / total if total else 1
    print(f"# public headers: {share:.0%} of the lines that are not blank carry a comment")
    if share < HEADER_COMMENT_SHARE:
        yield f"public headers: comment share {share:.0%} < {HEADER_COMMENT_SHARE:.0%}"


def check_mutable(root):
    for path in sorted((root / "src").rglob("*.c")):
        rel = str(path.relative_to(root))
        if rel in MUTABLE_ALLOWED:
            continue
        for m in MUTABLE.finditer(path.read_text()):
            yield f"{rel}: mutable file-scope variable {m.group(1)}"


def main():
    root = pathlib.Path(sys.argv[1])
    if not shutil.which("pmccabe"):
        print("1..0 # SKIP pmccabe is absent: apt-get install pmccabe")
        return 0
    checks = [check_functions, check_files, check_headers, check_mutable]
    print(f"1..{len(checks)}")
    failed = 0
    for number, check in enumerate(checks, 1):
        found = list(check(root))
        for line in found:
            print("#", line)
        failed += bool(found)
        print(f"{'not ok' if found else 'ok'} {number} - {check.__name__[6:]}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
