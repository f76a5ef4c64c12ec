"""Findings about the files of ``listen.tls``: those with which ``serve`` would not start."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from nearbucket.cli.check.certificate_check import certificate_findings
from nearbucket.config.settings import Settings
from tests.certificates import RSA, Tls, begins_later, make_certificate
from tests.cli.conftest import SITE, write
from tests.programs import program

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


def valid_for(tls: Tls, days: int) -> None:
    files = ["-in", str(tls.certificate), "-signkey", str(tls.key), "-out", str(tls.certificate)]
    sign = [program("openssl"), "x509", "-days", str(days), *files]
    subprocess.run(sign, check=True, capture_output=True)


def found(tls: Tls | None) -> list[tuple[str, str, str]]:
    findings = certificate_findings(
        Settings.model_validate({"sites": [SITE], "listen": {"tls": tls}})
    )
    return [(finding.level, finding.text, finding.fix) for finding in findings]


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    made = make_certificate(tmp_path, "dl.test", RSA)
    valid_for(made, 90)
    return made


def test_a_certificate_and_its_key_are_one_good_finding(tls: Tls) -> None:
    assert found(tls) == [("ok", f"{tls.key} belongs to {tls.certificate}", "")]
    assert not found(None)


@pytest.mark.parametrize(
    ("days", "level", "text"), [(5, "warning", "expires at"), (-1, "wrong", "has expired at")]
)
def test_a_certificate_that_expires_soon_or_has_expired_is_found(
    tls: Tls, days: int, level: str, text: str
) -> None:
    valid_for(tls, days)
    good, (said, what, fix) = found(tls)
    assert (good[0], said) == ("ok", level)
    assert what.startswith(f"{tls.certificate} {text} 20")
    assert fix == "write one that is valid, and its key, into the files"


def test_a_certificate_that_is_not_valid_yet_is_wrong(tls: Tls) -> None:
    begins_later(tls, time.time() + 3600)
    _, (said, what, _) = found(tls)
    assert said == "wrong"
    assert what.startswith(f"{tls.certificate} is not valid before 20")


def test_a_key_of_another_certificate_is_wrong(tls: Tls, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = make_certificate(tmp_path / "other", "dl.test", RSA)
    ((level, text, fix),) = found(Tls(certificate=tls.certificate, key=other.key))
    assert (level, fix) == ("wrong", "write PEM files that belong together")
    assert "key values mismatch" in text


def test_an_encrypted_key_is_wrong_and_nobody_is_asked_for_its_passphrase(tls: Tls) -> None:
    secret = tls.key.with_name("secret.pem")
    files = ["-in", str(tls.key), "-out", str(secret)]
    encrypt = [program("openssl"), "rsa", "-aes128", "-passout", "pass:word", *files]
    subprocess.run(encrypt, check=True, capture_output=True)
    ((level, text, fix),) = found(Tls(certificate=tls.certificate, key=secret))
    assert (level, text) == ("wrong", f"{secret} is encrypted")
    assert "openssl pkey" in fix


def test_a_file_that_cannot_be_read_is_left_to_those_that_name_it(tls: Tls, tmp_path: Path) -> None:
    assert not found(Tls(certificate=tls.certificate, key=tmp_path / "none.pem"))
    assert not found(Tls(certificate=tmp_path, key=tls.key))


def test_check_ends_with_1_without_buckets_too(nearbucket: Run, tls: Tls, tmp_path: Path) -> None:
    swapped = {"certificate": str(tls.key), "key": str(tls.certificate)}
    config = write(tmp_path / "n.yaml", listen={"tls": swapped})
    done = nearbucket("check", "--offline", "--config", config)
    assert done.code == 1
    assert "wrong: listen.tls: " in done.out
