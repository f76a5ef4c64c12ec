"""The texts of answers that are not an object."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from nearbucket.frontend.aiohttp_lane.responses import refusal
from nearbucket.policy.model import Reason, Refuse

STATUSES = (400, 403, 404, 405, 412, 414, 416, 417, 421, 431, 502, 503, 504)


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_comes_with_a_sentence_of_its_own(status: int) -> None:
    text = refusal(Refuse(status, Reason.BAD_REQUEST), reason_header=False).text
    assert text is not None
    assert text.endswith(".\n")
    assert text != f"{HTTPStatus(status).phrase}.\n"
