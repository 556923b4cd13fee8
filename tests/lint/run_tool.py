#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs one checker over the C sources and prints TAP: run_tool.py ROOT format|tidy|cppcheck|shell|python."""
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

PACKAGES = {"clang-format-14": "clang-format-14", "clang-tidy-14": "clang-tidy-14",
            "clang-14": "clang-14", "cppcheck": "cppcheck", "bash": "bash"}


def c_files(root, *folders, suffixes=(".c", ".h")):
    return [str(p) for f in folders for p in sorted((root / f).rglob("*")) if p.suffix in suffixes]


def run(argv, **kw):
    done = subprocess.run(argv, capture_output=True, text=True, **kw)
    return done.returncode, done.stdout + done.stderr


def tool_format(root):
    files = c_files(root, "src", "include", "tests", "bench")
    return run(["clang-format-14", "--dry-run", "-Werror", *files])


def tool_tidy(root):
    # A build folder of its own: clang does not know all flags that gcc was given.
    with tempfile.TemporaryDirectory(prefix="supafs-tidy-") as tmp:
        code, out = run(["meson", "setup", tmp, str(root), "-Dtests=disabled"],
                        env={**os.environ, "CC": "clang-14"})
        if code:
            return code, out
        files = c_files(root, "src", suffixes=(".c",))
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            results = list(pool.map(
                lambda f: run(["clang-tidy-14", "--quiet", "-p", tmp, f]), files))
        bad = [out for code, out in results if code]
        return (1 if bad else 0), "\n".join(bad)


def tool_cppcheck(root):
    return run(["cppcheck", "--quiet", "--error-exitcode=1", "--std=c11", "--inline-suppr",
                "--enable=warning,portability", "--suppress=missingIncludeSystem",
                "--suppress=unusedFunction", "--suppress=normalCheckLevelMaxBranches",
                f"--suppressions-list={root / 'tests/lint/cppcheck.txt'}",
                "-D__GNUC__", "-D_GNU_SOURCE", "-I", str(root / "include"), "-j", str(os.cpu_count()),
                str(root / "src")])


def tool_shell(root):
    scripts = [p for p in [*sorted((root / "scripts").iterdir()), root / ".ci/run"] if p.is_file()]
    bad = [run(["bash", "-n", str(p)]) for p in scripts if p.read_bytes().startswith(b"#!/usr/bin/env bash")]
    return max((c for c, _ in bad), default=0), "".join(o for _, o in bad)


TOOLS = {"format": (tool_format, ["clang-format-14"]), "tidy": (tool_tidy, ["clang-14", "clang-tidy-14"]),
         "cppcheck": (tool_cppcheck, ["cppcheck"]), "shell": (tool_shell, ["bash"])}


def main():
    root, name = pathlib.Path(sys.argv[1]), sys.argv[2]
    check, needs = TOOLS[name]
    for tool in needs:
        if not shutil.which(tool):
            print(f"1..0 # SKIP {tool} is absent: apt-get install {PACKAGES[tool]}")
            return 0
    print("1..1")
    code, out = check(root)
    for line in out.splitlines()[:200]:
        print("#", line)
    print(f"{'not ok' if code else 'ok'} 1 - {name}")
    return 1 if code else 0


if __name__ == "__main__":
    sys.exit(main())
