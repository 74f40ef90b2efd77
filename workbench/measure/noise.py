"""What else the machine did while measuring: load from others, time the hypervisor took, clock and temperature."""

from __future__ import annotations

import os
import time
from typing import Any

from . import environment

OTHERS_TO_TELL = 0.2  # cores
STOLEN_TO_TELL = 0.02  # share of the machine's time


class NoiseMeter:
    """Starts counting when it is made; :meth:`read` gives what happened since."""

    def __init__(self) -> None:
        self._cores = os.cpu_count() or 1
        self._wall = time.perf_counter()
        self._own = time.process_time()
        self._busy, self._stolen = _machine_times()

    def read(self, workers_cpu_s: float) -> dict[str, Any]:
        """Load from others since the start.

        Args:
            workers_cpu_s: processor time that our own workers used in between.

        Returns:
            'wall_s', 'others_cores' (cores kept busy, on average, by processes that are not ours), 'stolen_share'
            (of the machine's time, taken by the hypervisor), 'state' (see ``environment.state``) and 'warnings'
            (lines for people).
        """
        wall = max(time.perf_counter() - self._wall, 1e-9)
        busy, stolen = _machine_times()
        own = time.process_time() - self._own + workers_cpu_s
        # The system counts in ticks of 10 ms, ours is exact: the difference may come out a little below zero.
        others = max(0.0, (busy - self._busy - own) / wall)
        share = max(0.0, (stolen - self._stolen) / wall / self._cores)
        return {"wall_s": wall, "others_cores": round(others, 3), "stolen_share": round(share, 4),
                "state": environment.state(), "warnings": _warnings(others, share, self._cores)}


def _machine_times() -> tuple[float, float]:
    """Seconds of all cores so far: busy for anybody, and stolen by the hypervisor."""
    import psutil

    times = psutil.cpu_times()
    busy = times.user + times.system + sum(getattr(times, n, 0.0) for n in ("nice", "irq", "softirq"))
    return busy, getattr(times, "steal", 0.0)


def _warnings(others: float, stolen: float, cores: int) -> list[str]:
    lines = []
    if others > OTHERS_TO_TELL:
        lines.append(f"other programs kept {others:.1f} of {cores} cores busy while measuring; "
                     "close them for narrower intervals")
    if stolen > STOLEN_TO_TELL:
        lines.append(f"the hypervisor took {stolen:.0%} of the processor while measuring; "
                     "a quieter machine gives narrower intervals")
    return lines
