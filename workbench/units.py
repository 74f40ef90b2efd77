"""Numbers for people: SI inside, formatted only here, at the edge."""

from __future__ import annotations


def duration(seconds: float | None) -> str:
    """0.0014 -> '1.40 ms'; three significant digits, the unit that reads best."""
    if seconds is None:
        return "–"
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (float("inf"), 1.0, "s")):
        if abs(seconds) < limit:
            return f"{significant(seconds * factor)} {unit}"
    raise AssertionError


def significant(value: float, digits: int = 3) -> str:
    """Three significant digits without an exponent: 1.4 -> '1.40', 17.52 -> '17.5', 1234 -> '1234'."""
    whole = len(str(int(abs(value))))
    return f"{value:.{max(0, digits - whole)}f}"


def size(n_bytes: float) -> str:
    """Decimal units, as disks and networks use: 912345 -> '912 kB'."""
    value = float(n_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{significant(value)} {unit}"
        value /= 1000
    raise AssertionError


def count(n: int) -> str:
    """1234567 -> '1,234,567'."""
    return f"{n:,}"


def times(ratio: float) -> str:
    """A speed-up: 4.86 -> '4.9x', 1.042 -> '1.04x', 12.3 -> '12x'; near 1 a hundredth decides."""
    return f"{ratio:.2f}x" if ratio < 1.995 else f"{ratio:.1f}x" if ratio < 10 else f"{ratio:.0f}x"


def points(fraction: float) -> str:
    """A difference of two shares in percentage points: -0.002 -> '-0.2'."""
    value = round(100 * fraction, 6)  # a difference of two shares is exact to a rounding error only
    return f"{value:+.1f}".replace("-", "−") if abs(value) >= 0.05 else "±0.0"


def rate(per_s: float) -> str:
    """Events a second: 712.4 -> '712/s', 98241 -> '98.2 k/s', 1672241 -> '1.67 M/s'."""
    for limit, factor, unit in ((1e4, 1.0, ""), (1e6, 1e3, " k"), (1e9, 1e6, " M"), (float("inf"), 1e9, " G")):
        if abs(per_s) < limit:
            return f"{significant(per_s / factor)}{unit}/s"
    raise AssertionError
