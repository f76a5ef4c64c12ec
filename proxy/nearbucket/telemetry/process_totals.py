"""The metrics of all processes together: sums, and counters that never fall."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearbucket.telemetry.metrics import GAUGES, MAY_FALL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nearbucket.telemetry.metrics import Values


def total(parts: Iterable[Values]) -> Values:
    """The sum over processes; of ``nearbucket_target_up`` the lowest value."""
    summed: Values = {}
    for part in parts:
        for name, series in part.items():
            into = summed.setdefault(name, {})
            for labels, figure in series.items():
                known = into.get(labels)
                if known is None:
                    into[labels] = figure
                else:
                    least = name == "nearbucket_target_up"
                    into[labels] = min(known, figure) if least else known + figure
    return summed


class HighWater:
    """Shows the counters of savings at their highest values, since a counter must not fall.

    Prometheus takes a fall for a restart, and would count everything before it once more. So after
    a subtraction (``Counters.take_back``, costs in ``Savings``) a counter stands still until later
    savings have made up for it.
    """

    __slots__ = ("_highest",)

    def __init__(self) -> None:
        self._highest: Values = {name: {} for name in MAY_FALL}

    def hold(self, values: Values) -> Values:
        """The values, with the highest one so far for each counter of savings."""
        for name, highest in self._highest.items():
            for labels, figure in values.get(name, {}).items():
                highest[labels] = max(figure, highest.get(labels, 0))
            if highest:
                values[name] = {**values.get(name, {}), **highest}
        return values


def retired(values: Values) -> Values:
    """The values that stay when a process has ended: all but gauges."""
    return {name: series for name, series in values.items() if name not in GAUGES}
