"""`fetch` of git repositories: every file of a revision, byte for byte, with the books of other fetches."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import bloomdata
from bloomdata.cli import main
from bloomdata.errors import ConfigError, CorruptDataError, MismatchError
from bloomdata.fetching.git import GitSource, parse_git

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

FILES = {"a.jsonl": b'{"text": "one"}\n', "data/b é.jsonl": bytes(range(256)) * 300, "data/empty.txt": b""}
LARGE = b"large " * 50_000
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n"


def git(folder, *arguments):
    """What git prints, with nothing of the user's settings."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    identity = [
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
        "-c",
        "init.defaultBranch=main",
        "-c",
        "commit.gpgsign=false",
    ]
    command = ["git", *identity, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "more")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def work(tmp_path):
    """A repository with a bare one beside it, which is what is fetched."""
    folder = tmp_path / "work"
    folder.mkdir()
    git(folder, "init", "-q")
    commit(folder, FILES)
    git(folder, "tag", "v1")
    git(tmp_path, "clone", "-q", "--bare", "work", "data.git")
    git(folder, "remote", "add", "origin", str(tmp_path / "data.git"))
    return folder


@pytest.fixture
def url(work):
    return f"git+file://{work.parent}/data.git"


def push(work, files):
    found = commit(work, files)
    git(work, "push", "-q", "origin", "HEAD")
    return found


def contents(folder):
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    return {name: content for name, content in found.items() if name not in {"fetched.json", ".fetch.lock"}}


# --- what is fetched --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", ["@v1", "@main", ""])
def test_all_files_of_a_revision_are_fetched_with_their_folders(revision, work, url, tmp_path):
    report = bloomdata.fetch(url + revision, tmp_path / "out")
    assert contents(tmp_path / "out") == FILES
    commit_ = git(work, "rev-parse", "HEAD")
    books = json.loads((tmp_path / "out" / "fetched.json").read_bytes())
    for entry in books["files"]:
        content = FILES[entry["file"]]
        assert entry["url"] == f"{url}@{commit_}#{entry['file']}"
        assert (entry["size"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert report.num_fetched == len(books["files"]) == 3
    assert bloomdata.fetch(url + revision, tmp_path / "out").num_fetched == 0


def test_an_older_commit_is_fetched_by_its_name_or_the_start_of_it(work, url, tmp_path):
    first = git(work, "rev-parse", "HEAD")
    push(work, {"a.jsonl": b"second\n"})
    for number, name in enumerate((first, first[:10])):
        bloomdata.fetch(f"{url}@{name}", tmp_path / f"{number}")
        assert contents(tmp_path / f"{number}") == FILES


def test_one_file_is_fetched_under_its_own_name_or_another(url, tmp_path):
    bloomdata.fetch(f"{url}@v1#data/b%20é.jsonl", tmp_path / "out")
    bloomdata.fetch({"mine.jsonl": f"{url}#a.jsonl"}, tmp_path / "out")
    assert contents(tmp_path / "out") == {"b é.jsonl": FILES["data/b é.jsonl"], "mine.jsonl": FILES["a.jsonl"]}


def test_repositories_and_files_are_fetched_in_one_call(url, tmp_path):
    (tmp_path / "plain.jsonl").write_bytes(b"1\n")
    bloomdata.fetch([str(tmp_path / "plain.jsonl"), url, f"{url}@v1#a.jsonl"], tmp_path / "out")
    assert contents(tmp_path / "out") == FILES | {"plain.jsonl": b"1\n"}


def test_the_command_line_takes_it(url, tmp_path, capsys):
    assert main(["fetch", f"{url}@v1", "--output", str(tmp_path / "out"), "--quiet"]) == 0
    assert contents(tmp_path / "out") == FILES


# --- books ------------------------------------------------------------------------------------------------------


def test_a_branch_that_has_moved_is_another_source(work, url, tmp_path):
    bloomdata.fetch(f"{url}@main#a.jsonl", tmp_path / "out")
    push(work, {"a.jsonl": b"new\n"})
    with pytest.raises(MismatchError, match=r"expected from git.*found from git"):
        bloomdata.fetch(f"{url}@main#a.jsonl", tmp_path / "out")
    bloomdata.fetch(f"{url}@main#a.jsonl", tmp_path / "out", overwrite=True)
    assert contents(tmp_path / "out") == {"a.jsonl": b"new\n"}


def test_checksums_are_compared_as_for_other_files(url, tmp_path):
    right = {"a.jsonl": "sha256:" + hashlib.sha256(FILES["a.jsonl"]).hexdigest()}
    bloomdata.fetch(f"{url}#a.jsonl", tmp_path / "out", checksums=right)
    with pytest.raises(CorruptDataError, match="expected sha256:0000"):
        bloomdata.fetch(f"{url}#a.jsonl", tmp_path / "other", checksums={"a.jsonl": "sha256:" + 64 * "0"})
    assert contents(tmp_path / "other") == {}


def test_a_file_that_is_not_there_is_missing(url, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        bloomdata.fetch(f"{url}@v1#gone.jsonl", tmp_path / "out")
    report = bloomdata.fetch([f"{url}@v1#gone.jsonl", f"{url}@v1#a.jsonl"], tmp_path / "out", missing="report")
    assert [source.rpartition("#")[2] for source in report.missing] == ["gone.jsonl"]
    assert contents(tmp_path / "out") == {"a.jsonl": FILES["a.jsonl"]}


def test_clones_of_a_killed_run_are_thrown_away(url, tmp_path):
    left = tmp_path / "out" / ".fetch.git" / "0"
    left.mkdir(parents=True)
    (left / "shallow.lock").write_bytes(b"")
    bloomdata.fetch(url, tmp_path / "out")
    assert contents(tmp_path / "out") == FILES


# --- Git LFS ----------------------------------------------------------------------------------------------------


@pytest.fixture
def lfs(work, tmp_path, monkeypatch):
    """A program git-lfs that finds files by their checksum in a folder; what is in the repository is a pointer."""
    programs, store = tmp_path / "programs", tmp_path / "store"
    programs.mkdir()
    store.mkdir()
    script = programs / "git-lfs"
    script.write_text(
        "#!/bin/sh\n"
        'test "$1" = smudge || exit 2\n'
        "oid=$(sed -n 's/^oid sha256://p')\n"
        f'test -f "{store}/$oid" || {{ echo "error: object $oid is gone" >&2; exit 1; }}\n'
        f'cat "{store}/$oid"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    digest = hashlib.sha256(LARGE).hexdigest()
    push(work, {"large.bin": POINTER % (digest.encode(), len(LARGE))})
    (store / digest).write_bytes(LARGE)
    return store / digest


def test_files_in_lfs_are_fetched_and_compared_with_their_pointers(lfs, url, tmp_path):
    bloomdata.fetch(url, tmp_path / "out")
    assert contents(tmp_path / "out") == FILES | {"large.bin": LARGE}
    entry = next(entry for entry in json.loads((tmp_path / "out" / "fetched.json").read_bytes())["files"]
                 if entry["file"] == "large.bin")  # fmt: skip
    assert entry["checked"] == f"sha256:{entry['sha256']}" == f"sha256:{lfs.name}"


@pytest.mark.parametrize(
    ("content", "error", "reason"),
    [
        (LARGE[:-1] + b"x", CorruptDataError, "expected sha256"),
        (None, OSError, "git lfs: error: object .* is gone"),
    ],
)
def test_files_in_lfs_that_are_other_ones_are_errors(content, error, reason, lfs, url, tmp_path):
    lfs.unlink() if content is None else lfs.write_bytes(content)
    with pytest.raises(error, match=reason):
        bloomdata.fetch(f"{url}#large.bin", tmp_path / "out")
    assert contents(tmp_path / "out") == {} or content is None


def test_without_git_lfs_no_pointer_is_taken_for_the_file(lfs, url, tmp_path, monkeypatch):
    found = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "git-lfs" else found(name))
    with pytest.raises(ConfigError, match=r"large\.bin: it is in Git LFS \(300000 bytes\), which needs git-lfs"):
        bloomdata.fetch(url, tmp_path / "out")
    assert "large.bin" not in contents(tmp_path / "out")


# --- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("git+https://h/o/r.git@v1#a/b.jsonl", ("https://h/o/r.git", "v1", "a/b.jsonl")),
        ("git+https://h/o/r", ("https://h/o/r", "HEAD", None)),
        ("git+ssh://git@h/o/r@feature/x", ("ssh://git@h/o/r", "feature/x", None)),
        ("git+https://user:word@h:8080/r@0123abc", ("https://user:word@h:8080/r", "0123abc", None)),
        ("git+file:///f/r.git#a%23b", ("file:///f/r.git", "HEAD", "a#b")),
    ],
)
def test_addresses_are_taken_apart(text, parts):
    assert parse_git(text) == GitSource(*parts)


@pytest.mark.parametrize(
    "text",
    ["git+https://h", "git+https://h/@v1", "git+https://h/r@", "git+https://h/r@--upload-pack=x", "git+ext://h/r"],
)
def test_other_addresses_are_refused(text, tmp_path):
    with pytest.raises(ConfigError, match="sources"):
        bloomdata.fetch(text, tmp_path / "out")


def test_what_is_not_there_is_named(url, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data\.git"):
        bloomdata.fetch(f"{url}@nothing", tmp_path / "out")
    with pytest.raises(OSError, match=r"gone\.git"):
        bloomdata.fetch(f"git+file://{tmp_path}/gone.git", tmp_path / "out")
    assert not (tmp_path / "out" / ".fetch.git").exists()


def test_links_and_reserved_names_are_refused(work, url, tmp_path):
    (work / "link").symlink_to("a.jsonl")
    push(work, {})
    with pytest.raises(ConfigError, match="expected a file, found a link"):
        bloomdata.fetch(url, tmp_path / "out")
    bloomdata.fetch(f"{url}#a.jsonl", tmp_path / "out")
    (work / "link").unlink()
    push(work, {"x/fetched.json": b"{}"})
    with pytest.raises(ConfigError, match="reserved"):
        bloomdata.fetch(url, tmp_path / "out")


def test_a_whole_repository_has_no_name(url, tmp_path):
    with pytest.raises(ConfigError, match="expected #path for a file called a"):
        bloomdata.fetch({"a": url}, tmp_path / "out")


def test_two_files_of_one_name_are_refused(url, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"1\n")
    with pytest.raises(ConfigError, match=r"both called a\.jsonl"):
        bloomdata.fetch([str(tmp_path / "a.jsonl"), url], tmp_path / "out")


def test_without_git_it_says_so(url, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="need the program git"):
        bloomdata.fetch(url, tmp_path / "out")
    assert Path(tmp_path / "out").exists()
