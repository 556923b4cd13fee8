#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random operations on one file of a mount, compared with a copy in memory after each (exerciser.c).

$SUPAFS_EXERCISER names the program, else it is the one of the build folder. SUPAFS_EXERCISER_OPERATIONS and
SUPAFS_EXERCISER_SEEDS (numbers with commas between) ask for more than the suite does; with write-back
each seed is taken either with much memory or with little."""
import os
import subprocess
import sys

from mountlib import Mount, Skipped, need_fuse, run_tests, server, skip_all

OPERATIONS = os.environ.get("SUPAFS_EXERCISER_OPERATIONS", "5000")
SEEDS = os.environ.get("SUPAFS_EXERCISER_SEEDS", "1,2").split(",")
EXIT_SKIP = 77


def find_exerciser():
    named = os.environ.get("SUPAFS_EXERCISER")
    if named:
        return named
    for folder in (os.getcwd(), os.environ.get("MESON_BUILD_ROOT", "")):
        path = os.path.join(folder, "tests", "mount", "exerciser")
        if folder and os.access(path, os.X_OK):
            return path
    return skip_all("the exerciser is not built")


def exercise(program, s, mode, options=(), seeds=SEEDS):
    with Mount(s, options=options) as m:
        for seed in seeds:
            command = [program, "--mode", mode, "--seed", seed, "--operations", OPERATIONS, m / ("f" + seed)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode == EXIT_SKIP:
                raise Skipped(done.stdout.splitlines()[-1])
            assert done.returncode == 0, "%s ended with %d\n%s%s" % (
                " ".join(command), done.returncode, done.stdout, done.stderr)
            print("# %s: %s" % (",".join([mode, *options]), ", ".join(done.stdout.splitlines())), flush=True)
        assert os.listdir(m.path) == []


def test_plain(program, s):
    exercise(program, s, "plain")


def test_reopen(program, s):
    exercise(program, s, "reopen")


def test_mmap(program, s):
    exercise(program, s, "mmap")


def test_writeback(program, s):
    for mode in ("plain", "reopen", "mmap"):
        exercise(program, s, mode, ["writeback"], SEEDS[::2])


def test_little_memory(program, s):
    for mode in ("plain", "reopen", "mmap"):
        exercise(program, s, mode, ["writeback", "memory=8M"], SEEDS[1::2] or SEEDS)


def main():
    need_fuse()
    program = find_exerciser()
    only = sys.argv[1:]
    tests = [test_plain, test_reopen, test_mmap, test_writeback, test_little_memory]
    with server() as s:
        run_tests([f for f in tests if not only or f.__name__[5:] in only], program, s)


if __name__ == "__main__":
    main()
