"""``make audit`` passes only if every package was audited."""

from __future__ import annotations

from typing import Any

import pytest

from tests.audit import FILES, ROOT, judged, pinned

WANTED = ("aiohttp==3.14.5", "yarl==1.24.5")
VULN = {"id": "PYSEC-2030-1", "fix_versions": ["3.14.6"], "aliases": [], "description": "…"}
SKIPPED = "Dependency not found on PyPI and could not be audited: yarl (1.24.5)"


def package(text: str, *vulns: dict[str, Any]) -> dict[str, Any]:
    name, _, version = text.partition("==")
    return {"name": name, "version": version, "vulns": list(vulns)}


CLEAN = [package(each) for each in WANTED]


@pytest.mark.parametrize(
    ("found", "code", "said"),
    [
        pytest.param(CLEAN, 0, "audit: 0 known vulnerabilities in 2 packages", id="all"),
        pytest.param([package(WANTED[0], VULN), CLEAN[1]], 1,
                     "aiohttp==3.14.5: PYSEC-2030-1, fixed in 3.14.6\n"
                     "audit: 1 known vulnerabilities in 2 packages", id="a vulnerability"),
        pytest.param([CLEAN[0], {"name": "yarl", "skip_reason": SKIPPED}], 3,
                     "audit: NOT COMPLETE: 1 of 2 packages were not audited, such as yarl==1.24.5: "
                     f"{SKIPPED}", id="one is unknown"),
        pytest.param([CLEAN[0]], 3, "audit: NOT COMPLETE: 1 of 2 packages were not audited, such "
                     "as yarl==1.24.5: no network", id="one is not mentioned"),
        pytest.param([CLEAN[0], package("yarl==1.0")], 3, "audit: NOT COMPLETE: 1 of 2 packages "
                     "were not audited, such as yarl==1.24.5: no network", id="another version"),
        pytest.param([{"name": "yarl", "skip_reason": SKIPPED}], 3,
                     "audit: COULD NOT RUN: 2 of 2 packages were not audited, such as "
                     f"aiohttp==3.14.5: {SKIPPED}", id="a mirror without the data"),
        pytest.param(None, 3, "audit: COULD NOT RUN: 2 of 2 packages were not audited, such as "
                     "aiohttp==3.14.5: no network", id="no report"),
    ],
)  # fmt: skip
def test_what_was_not_audited_is_never_a_pass(
    found: list[dict[str, Any]] | None, code: int, said: str
) -> None:
    report = None if found is None else {"dependencies": found, "fixes": []}
    assert judged(report, WANTED, "no network") == (code, said)


def test_a_vulnerability_counts_before_what_was_not_audited() -> None:
    code, said = judged({"dependencies": [package(WANTED[0], VULN)]}, WANTED, "")
    assert (code, said.count("\n")) == (1, 1)
    assert "pip-audit did not mention them" in said


def test_every_locked_package_is_wanted() -> None:
    text = "a==1 \\\n    --hash=sha256:00\nB-c.d==2.0.post1 ; sys_platform == 'x'\n    # via e==9\n"
    assert pinned(text) == {"a==1", "B-c.d==2.0.post1"}
    for file in FILES:
        locked = (ROOT / file).read_text("utf-8")
        assert len(pinned(locked)) == sum(line[:1].isalnum() for line in locked.splitlines())
