"""Strikes at every single change that a run makes to its folder.

A preloaded library counts the system calls; needs Linux and a C compiler.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runs import command_line, differences, half_written, tree

# Counts the calls that change files below one folder, and strikes at one of them.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[PATH_MAX], kinds[1 << 16];
static long at;
static int count, how;

/* how: 0 only count; 1 die before the call; 2 die after half of a write; 1000 + errno: from here on every call that
   needs space fails; 2000 + errno: this call fails. */
void fault_arm(const char *path, long call, int what) {
    strncpy(folder, path, sizeof folder - 1);
    at = call; how = what; count = 0;
}
const char *fault_kinds(void) { return kinds; }

static int inside(const char *path) {
    size_t n = strlen(folder);
    return n && path && !strncmp(path, folder, n) && (path[n] == '/' || !path[n]);
}
static int inside_fd(int fd) {
    char link[64], path[PATH_MAX];
    if (!folder[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return inside(path);
}
static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }
/* 0: go on; -1: fail with errno; 1: do half of it and die. */
static int strike(char kind) {
    int now = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    if (now < (int)sizeof kinds) kinds[now - 1] = kind;
    int grows = strchr("wocms", kind) != 0;
    if (at && how < 1000 && now == at) { if (how == 2 && kind == 'w') return 1; die(); }
    if (at && ((how >= 2000 && now == at) || (how >= 1000 && how < 2000 && now >= at && grows))) {
        errno = how % 1000;
        return -1;
    }
    return 0;
}
#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) real = dlsym(RTLD_NEXT, #name)
#define GUARD(test, kind) if (test) { if (strike(kind) < 0) return -1; }
#define WRITER(name, params, types, half, all) ssize_t name params { REAL(ssize_t, name, types); \
    if (inside_fd(fd)) { int s = strike('w'); if (s < 0) return -1; if (s) { (void)!real half; die(); } } \
    return real all; }
#define TYPES(...) __VA_ARGS__
WRITER(write, (int fd, const void *b, size_t n), TYPES(int, const void *, size_t), (fd, b, n / 2), (fd, b, n))
WRITER(pwrite, (int fd, const void *b, size_t n, off_t o), TYPES(int, const void *, size_t, off_t), (fd, b, n / 2, o),
       (fd, b, n, o))
WRITER(pwrite64, (int fd, const void *b, size_t n, off64_t o), TYPES(int, const void *, size_t, off64_t),
       (fd, b, n / 2, o), (fd, b, n, o))
/* A kill does not lose what the system has not yet written to the disk: syncing would only take time. */
int fsync(int fd) { REAL(int, fsync, int); GUARD(inside_fd(fd), 's') else return real(fd); return 0; }
int fdatasync(int fd) { REAL(int, fdatasync, int); GUARD(inside_fd(fd), 's') else return real(fd); return 0; }
int ftruncate(int fd, off_t n) { REAL(int, ftruncate, int, off_t); GUARD(inside_fd(fd), 't') return real(fd, n); }
int ftruncate64(int fd, off64_t n) {
    REAL(int, ftruncate64, int, off64_t); GUARD(inside_fd(fd), 't') return real(fd, n);
}
int rename(const char *a, const char *b) {
    REAL(int, rename, const char *, const char *); GUARD(inside(b), 'r') return real(a, b);
}
int unlink(const char *a) { REAL(int, unlink, const char *); GUARD(inside(a), 'u') return real(a); }
int rmdir(const char *a) { REAL(int, rmdir, const char *); GUARD(inside(a), 'u') return real(a); }
int unlinkat(int d, const char *a, int f) {
    REAL(int, unlinkat, int, const char *, int); GUARD(d == AT_FDCWD ? inside(a) : inside_fd(d), 'u')
    return real(d, a, f);
}
int mkdir(const char *a, mode_t m) { REAL(int, mkdir, const char *, mode_t); GUARD(inside(a), 'm') return real(a, m); }
#define OPENER(name) int name(const char *a, int f, ...) { REAL(int, name, const char *, int, ...); \
    va_list l; va_start(l, f); mode_t m = f & O_CREAT ? va_arg(l, mode_t) : 0; va_end(l); \
    GUARD((f & (O_CREAT | O_TRUNC)) && inside(a), 'o') return real(a, f, m); }
OPENER(open)
OPENER(open64)
"""


def build_shim(folder: Path) -> Path:
    """Compiles the library; skips the test where that cannot be done."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not sys.platform.startswith("linux") or compiler is None:
        pytest.skip("needs Linux and a C compiler")
    source, library = folder / "fault.c", folder / "fault.so"
    source.write_text(SHIM)
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library


def strike(
    shim: Path,
    command: list[str],
    corpus: Path,
    folder: Path,
    how: int,
    *,
    every: int = 1,
    then: list[str] | None = None,
) -> list[dict]:
    """Runs `command` once for every change that it makes to its folder and strikes there; then runs it, or `then`.

    Returns one dict per strike: the call's number and kind, exit status and errors of both runs, `half` files after
    the first, and how the folder differs in the end from an undisturbed run's.
    """
    specification = {
        "command": command_line(command, corpus, folder / "output"),
        "then": command_line(then or command, corpus, folder / "output"),
        "output": str(folder / "output"),
        "how": how,
        "every": every,
    }
    return strikes(shim, specification)


def strikes(shim: Path, specification: dict) -> list[dict]:
    """The results of a child that strikes as it is told."""
    process = subprocess.run(
        [sys.executable, __file__, json.dumps(specification)],
        env={**os.environ, "LD_PRELOAD": str(shim)},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert process.returncode == 0, process.stderr
    results = [json.loads(line) for line in process.stdout.splitlines()]
    assert results, "the library saw no call"
    return results


def wrong(results: list[dict]) -> str:
    """The strikes after which something is not as it must be, in words; a few are enough to see."""
    lines = [
        f"struck at call {result['call']}: exit {result['status']} {result['errors'].strip()!r}, half {result['half']}"
        f"; rerun: exit {result['rerun']} {result['rerun_errors'].strip()!r}, {result['differences']}"
        for result in results
        if result["half"] or result["rerun"] != 0 or result["differences"]
    ]
    return "\n".join([f"{len(lines)} of {len(results)}", *lines[:5]]) if lines else ""


def _in_a_child(arguments: list[str], output: Path, call: int, how: int) -> tuple[int, str, str]:
    """Runs the program in a fork; its exit status, errors, and the kinds of its calls."""
    shim = ctypes.CDLL(None)
    shim.fault_arm.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_int]
    shim.fault_kinds.restype = ctypes.c_char_p
    log, kinds = output.with_suffix(".log"), output.with_suffix(".kinds")
    child = os.fork()
    if child == 0:
        from bloomdata.cli import main

        with log.open("w") as file:
            os.dup2(file.fileno(), sys.stderr.fileno())
        shim.fault_arm(os.fsencode(output), call, how)
        status = 70  # what no command returns: an exception that nobody has caught
        try:
            status = main(arguments)
        finally:
            kinds.write_bytes(shim.fault_kinds())
            sys.stderr.flush()
            os._exit(status)
    deadline = time.monotonic() + 60
    while (result := os.waitpid(child, os.WNOHANG)) == (0, 0):
        time.sleep(0.001)
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            deadline += 60
    return (
        os.waitstatus_to_exitcode(result[1]),
        log.read_text(errors="replace"),
        kinds.read_text() if kinds.exists() else "",
    )


def _strike_everywhere(specification: dict) -> None:
    """The other side of `strike`, in a process that has the library preloaded. Prints one line of JSON per strike."""
    # All that a command imports is here once, not in every child: that would take most of a child's time.
    import h5py  # noqa: F401

    import bloomdata.cli.commands
    import bloomdata.fetching.opening
    import bloomdata.verbs.fetch
    import bloomdata.verbs.pack
    import bloomdata.verbs.prepare
    import bloomdata.verbs.shard  # noqa: F401
    from bloomdata.cli.parser import parser_of
    from bloomdata.cli.verbs import VERBS

    for name in VERBS:
        parser_of(name)  # imports the module of the command
    output, how = Path(specification["output"]), specification["how"]
    status, errors, kinds = _in_a_child(specification["then"], output, 0, 0)
    assert status == 0, errors
    wanted = tree(output)
    shutil.rmtree(output)
    if specification["then"] != specification["command"]:
        status, errors, kinds = _in_a_child(specification["command"], output, 0, 0)
        assert status == 0, errors
        shutil.rmtree(output)
    for call in range(1, len(kinds) + 1, specification["every"]):
        if how == 2 and kinds[call - 1] != "w":
            continue
        status, errors, _ = _in_a_child(specification["command"], output, call, how)
        half = half_written(output, wanted)
        rerun, rerun_errors, _ = _in_a_child(specification["then"], output, 0, 0)
        result = {
            "call": f"{call} of {len(kinds)}, kind {kinds[call - 1]}",
            "status": status,
            "errors": errors,
            "half": half,
            "rerun": rerun,
            "rerun_errors": rerun_errors[-500:],
            "differences": differences(tree(output), wanted),
        }
        print(json.dumps(result), flush=True)
        shutil.rmtree(output)


if __name__ == "__main__":
    _strike_everywhere(json.loads(sys.argv[1]))
