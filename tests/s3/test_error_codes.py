"""What S3's error codes mean."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from nearbucket.s3.error_codes import ErrorKind, kind_of_code
from nearbucket.s3.sdk.sdk_client import kind_of, meaning
from tests.test_imports import SOURCE


def error(operation: str, code: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


def test_no_code_means_two_things() -> None:
    codes = [code for kind in ErrorKind for code in kind.codes]
    assert len(codes) == len(set(codes))
    assert all(kind_of_code(code) is kind for kind in ErrorKind for code in kind.codes)


def test_no_other_module_names_a_code_of_the_table() -> None:
    codes = {code for kind in ErrorKind for code in kind.codes if not code.isdigit()}
    sources = {file.name: file.read_text("utf-8") for file in SOURCE.rglob("*.py")}
    named = {name for name, text in sources.items() if any(f'"{code}"' in text for code in codes)}
    assert named == {"error_codes.py"}


@pytest.mark.parametrize(
    ("operation", "code", "kind"),
    [
        ("HeadObject", "404", ErrorKind.NO_OBJECT),
        ("HeadBucket", "404", ErrorKind.NO_BUCKET),
        ("HeadBucket", "403", ErrorKind.NOT_ALLOWED),
        ("GetObject", "NoSuchKey", ErrorKind.NO_OBJECT),
        ("GetObject", "TeapotError", None),
    ],
)
def test_the_status_of_a_head_is_read_as_a_code(
    operation: str, code: str, kind: ErrorKind | None
) -> None:
    assert kind_of(error(operation, code)) is kind


def test_an_error_without_a_response_has_no_code() -> None:
    assert kind_of(TimeoutError()) is None


@pytest.mark.parametrize(
    ("code", "message", "text"),
    [
        ("InvalidRange", "", "InvalidRange: it is empty"),
        ("ExpiredToken", "", "ExpiredToken: the credentials have expired; renew them"),
        ("TeapotError", "short and stout", "TeapotError: short and stout"),
        ("TeapotError", "", "TeapotError: no reason given"),
    ],
)
def test_an_error_is_explained_in_the_words_of_the_table_or_else_of_s3(
    code: str, message: str, text: str
) -> None:
    assert meaning(error("GetObject", code, message)) == text
