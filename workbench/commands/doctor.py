"""``workbench doctor``: what this machine has, what it lacks, and the line that installs it."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

from ..units import size

HELP = "show the machine, the runtimes and devices, and what to install for the missing ones"


def add_arguments(parser) -> None:
    """No arguments."""


def run(args) -> tuple[dict, str]:
    """Looks at the machine; loads no framework."""
    from .. import __version__, bundled
    from ..measure import environment
    from ..variant import Cache

    fingerprint = environment.fingerprint()
    runtimes = [_runtime(row) for row in _rows()]
    cache = Cache()
    data = {"workbench": __version__, "python": sys.version.split()[0], "machine": environment.machine_id(fingerprint),
            "environment": fingerprint, "runtimes": runtimes,
            "models": [{"name": m.name, "present": m.path.exists()} for m in bundled.MODELS],
            "cache_bytes": cache.size_bytes}
    lines = [f"workbench {__version__} on Python {data['python']}",
             f"machine   {fingerprint.get('cpu_model', 'unknown CPU')}"]
    for row in runtimes:
        lines.append(f"{row['title']:<14} {row['version'] or 'missing'}"
                     + (f"  -> {row['install']}" if not row["version"] else ""))
        lines.extend(f"  {device:<4} {reason or 'usable'}" for device, reason in row["devices"].items())
    missing = [m["name"] for m in data["models"] if not m["present"]]
    lines.append(f"models    {'missing: ' + ', '.join(missing) if missing else 'all bundled models present'}")
    lines.append(f"cache     {size(cache.size_bytes)} in {cache.root}")
    return data, "\n".join(lines)


def _rows():
    from ..runtimes.registry import RUNTIMES

    return RUNTIMES


def _runtime(row) -> dict:
    from ..runtimes import registry

    reason = registry.missing(row.name)
    devices = {} if reason else registry.adapter(row.name).devices()
    try:
        found = None if reason else version(row.install.split()[-1])
    except PackageNotFoundError:
        found = "installed"
    return {"name": row.name, "title": row.title, "version": found, "install": row.install, "devices": devices,
            "formats": [f.value for f in row.formats]}
