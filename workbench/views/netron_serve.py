"""Serves one file with Netron until the starting process ends: ``python -m workbench.views.netron_serve FILE``."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from pathlib import Path


def main(path: Path) -> int:
    """Prints ``{"port": int}``, serves on 127.0.0.1 while standard input stays open, then removes the file's folder.

    Standard input is a pipe from the starting process: it closes however that process ends, so nothing is left behind.
    """
    import netron

    logging.getLogger().addHandler(logging.NullHandler())  # else it writes a line for each request
    address = netron.serve(str(path), address=("127.0.0.1", 0), browse=False)
    try:
        print(json.dumps({"port": address[1]}), flush=True)
        sys.stdin.buffer.read()
    finally:
        netron.stop(address)
        shutil.rmtree(path.parent, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
