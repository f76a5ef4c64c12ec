"""The reloads of the configuration: how many, the last ones, and why the last one was refused."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any, NamedTuple

from nearbucket.telemetry.utc_text import utc_text

if TYPE_CHECKING:
    from nearbucket.telemetry.metrics import Labels

KEPT = 20
APPLIED, REFUSED = "applied", "refused"


class Reload(NamedTuple):
    """One reload.

    Attributes:
        time: Unix time.
        result: ``applied`` or ``refused``.
        config: Hash of the configuration that was in use afterwards.
        text: What has changed, or why it was refused.
    """

    time: float
    result: str
    config: str
    text: str

    def as_json(self) -> dict[str, Any]:
        """The reload as plain data."""
        return {**self._asdict(), "time": utc_text(self.time)}


class ReloadHistory:
    """The reloads of one process.

    Attributes:
        last: The last ones, the newest first.
        refused: Why the last one was refused; None if it was applied, or if there was none.
    """

    def __init__(self) -> None:
        self.last: deque[Reload] = deque(maxlen=KEPT)
        self.refused: str | None = None
        self._counts = Counter({APPLIED: 0, REFUSED: 0})

    @property
    def counts(self) -> dict[Labels, float]:
        """How many there were, by result."""
        return {(result,): count for result, count in self._counts.items()}

    def add(self, reload: Reload) -> None:
        """Note a reload."""
        self._counts[reload.result] += 1
        self.last.appendleft(reload)
        self.refused = reload.text if reload.result == REFUSED else None
