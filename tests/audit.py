"""Known vulnerabilities of the locked packages: ``make audit``.

pip-audit asks PyPI for each release. It ends with "No known vulnerabilities found" and 0 also when
PyPI knew none of the packages, as a mirror without PyPI's JSON API does. So its report is judged
here: what was not audited is said, and is never a pass.

Exit codes: 0 every package was audited and none has a known vulnerability; 1 some have; 3 some, or
all, could not be audited.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

ROOT = Path(__file__).parents[1]
FILES = tuple(f"requirements/{name}.txt" for name in ("serve", "dev", "build", "compile"))
"""What is served, what develops and tests it, and what builds and compiles it."""

PIP_AUDIT = Path(sys.prefix) / "audit" / "bin" / "pip-audit"
VULNERABLE, NOT_AUDITED = 1, 3


def pinned(text: str) -> set[str]:
    """The packages of a requirements file, as ``name==version``."""
    return set(re.findall(r"^([\w.-]+==[^\s;]+)", text, re.MULTILINE))


def judged(report: dict[str, Any] | None, wanted: Collection[str], why: str) -> tuple[int, str]:
    """The exit code, and what to print.

    Args:
        report: pip-audit's JSON, or None if it wrote none.
        wanted: Packages that should be in it, as ``name==version``.
        why: What pip-audit said, in case it wrote no report.
    """
    found = report["dependencies"] if report else []
    audited = {f"{each['name']}=={each['version']}": each for each in found if "vulns" in each}
    lines = [
        f"{package}: {vuln['id']}, fixed in {', '.join(vuln['fix_versions']) or 'no version yet'}"
        for package, each in sorted(audited.items())
        for vuln in each["vulns"]
    ]
    left_out = sorted(set(wanted) - set(audited))
    if left_out:
        reasons = [each["skip_reason"] for each in found if "skip_reason" in each]
        because = next(iter(reasons), why) or "pip-audit did not mention them"
        lines.append(
            f"audit: {'COULD NOT RUN' if not audited else 'NOT COMPLETE'}: {len(left_out)} of "
            f"{len(wanted)} packages were not audited, such as {left_out[0]}: {because}"
        )
    else:
        lines.append(f"audit: {len(lines)} known vulnerabilities in {len(wanted)} packages")
    code = VULNERABLE if len(lines) > 1 else NOT_AUDITED if left_out else 0
    return code, "\n".join(lines)


def main() -> int:
    """Audit all packages, and print the result."""
    wanted = set.union(*(pinned((ROOT / file).read_text("utf-8")) for file in FILES))
    with TemporaryDirectory() as folder:
        report, listed = Path(folder, "report.json"), Path(folder, "requirements.txt")
        listed.write_text("\n".join(sorted(wanted)), encoding="utf-8")
        options = ("--requirement", listed, "--disable-pip", "--no-deps", "--format", "json")
        done = subprocess.run(
            [PIP_AUDIT, *options, "--output", report, "--progress-spinner", "off"],
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stderr.strip().splitlines()
        found = json.loads(report.read_bytes()) if report.exists() else None
    code, text = judged(found, wanted, said[-1] if said else "")
    sys.stdout.write(f"{text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
