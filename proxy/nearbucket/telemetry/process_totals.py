"""The metrics of all processes together: sums, and counters that never fall."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from nearbucket.telemetry.metric_definitions import GAUGES
from nearbucket.telemetry.metrics import MAY_FALL

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
    """Shows the counters of savings so that none falls, and a site's sum is its highest one.

    Prometheus takes a fall for a restart, and would count everything before it once more. So after
    a subtraction (``Counters.take_back``, costs in ``Savings``) a counter stands still until later
    savings have made up for it: its own, or those of the site's other regions, which then do not
    count either. Otherwise the sum over regions would claim what one of them has lost again.
    """

    __slots__ = ("_latest", "_shown")

    def __init__(self) -> None:
        self._shown: Values = {name: {} for name in MAY_FALL}
        self._latest: Values = {name: {} for name in MAY_FALL}

    def hold(self, values: Values) -> Values:
        """The values, with those to show for each counter of savings."""
        for name, shown in self._shown.items():
            latest = self._latest[name]
            latest |= values.get(name, {})
            left = defaultdict[str, float](float)  # what may be added, by site
            for labels, figure in latest.items():
                left[labels[0]] += figure - shown.get(labels, 0)
            for labels, figure in latest.items():
                known, site = shown.get(labels, 0), labels[0]
                rise = max(0, min(figure - known, left[site]))
                shown[labels] = known + rise
                left[site] -= rise
            if shown:
                values[name] = {**values.get(name, {}), **shown}
        return values


def retired(values: Values) -> Values:
    """The values that stay when a process has ended: all but gauges."""
    return {name: series for name, series in values.items() if name not in GAUGES}
