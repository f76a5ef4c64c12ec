"""git over dumb HTTP: clone, and a fetch that breaks in the middle of its pack.

The repository is published as plain files, which cannot speak the smart protocol.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.e2e.clients import HEAD, MIDDLE, STREAMED, Way, run, store
from tests.programs import program

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.clients

DATA = random.Random(13).randbytes(6 * 2**20 + 3)  # noqa: S311 - content, not a secret
GIT = {
    "GIT_AUTHOR_NAME": "nobody", "GIT_AUTHOR_EMAIL": "nobody@example.com",
    "GIT_COMMITTER_NAME": "nobody", "GIT_COMMITTER_EMAIL": "nobody@example.com",
}  # fmt: skip


# As git -c http.followRedirects=true; its own default is "initial".
FOLLOW = {
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "http.followRedirects", "GIT_CONFIG_VALUE_0": "true",
}  # fmt: skip
REPOSITORY = "clients/repo.git"
KEPT = STREAMED.removesuffix("/info/")


@pytest.fixture(scope="module")
def pack(the_way: Way, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A bare repository of one commit, as files at both places: the name of its one pack."""
    program("git")
    folder = tmp_path_factory.mktemp("git")
    (folder / "data").write_bytes(DATA)
    bare = folder / ".git"
    for command in (
        "init -q -b main",
        "add data",
        "commit -q -m one",
        "repack -adq",
        "update-server-info",
    ):
        done = run(["git", *command.split()], folder, GIT)
        assert done.returncode == 0, done.stderr
    packs = [str(path.relative_to(bare)) for path in bare.glob("objects/pack/*")]
    names = ["HEAD", "info/refs", "objects/info/packs", *packs]
    store(
        the_way.objects,
        {
            f"{place}/{name}": (bare / name).read_bytes()
            for place in (REPOSITORY, KEPT)
            for name in names
        },
    )
    return next(name for name in packs if name.endswith(".pack"))


@pytest.mark.parametrize(
    ("place", "env"),
    [
        pytest.param(KEPT, FOLLOW, id="told to follow"),
        pytest.param(REPOSITORY, {"GIT_SMART_HTTP": "0"}, id="redirected at once"),
    ],
)
def test_git_clones_over_dumb_http(
    way: Way, pack: str, place: str, env: dict[str, str], tmp_path: Path
) -> None:
    done = run(["git", "clone", way.url(place), "got"], tmp_path, env)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "got" / "data").read_bytes() == DATA
    taken = [head for head in way.last.heads if f"{place}/{pack} " in head]
    assert len(taken) == 1


@pytest.mark.parametrize(
    ("place", "words"),
    [
        # Location has no query, which git misses when its first request is redirected
        pytest.param(REPOSITORY, "unable to update url base from redirection", id="at once"),
        pytest.param(KEPT, "Unable to find", id="later"),
    ],
)
def test_git_with_its_defaults_follows_no_redirect_and_says_so(
    way: Way, pack: str, place: str, words: str, tmp_path: Path
) -> None:
    assert pack
    done = run(["git", "clone", way.url(place), "got"], tmp_path)
    if way.redirected:
        assert done.returncode == 128
        assert words in done.stderr
        assert not (tmp_path / "got").exists()
    else:
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "got" / "data").read_bytes() == DATA


def test_git_reports_a_broken_fetch_and_resumes_the_pack(
    way: Way, pack: str, tmp_path: Path
) -> None:
    fetch = ["git", "fetch", way.url(KEPT), "main"]
    run(["git", "init", "-q", "."], tmp_path)
    way.cut()
    done = run(fetch, tmp_path, FOLLOW)
    assert done.returncode != 0
    assert way.last.cuts == 1
    part = (tmp_path / ".git" / f"{pack}.temp").read_bytes()
    assert MIDDLE // 2 < len(part) < MIDDLE

    way.forget()
    done = run(fetch, tmp_path, FOLLOW)
    assert done.returncode == 0, done.stderr
    assert way.last.ranges == [f"{len(part)}-"]
    assert way.last.passed < len(DATA) + 2**14 - len(part) + HEAD
    assert run(["git", "checkout", "-q", "FETCH_HEAD"], tmp_path).returncode == 0
    assert (tmp_path / "data").read_bytes() == DATA
