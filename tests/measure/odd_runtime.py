"""An adapter whose sessions misbehave on request: what no real runtime does when asked to.

It reaches a worker as ``sitecustomize`` on its path, the way a plug-in of an environment would, and registers itself.
"""

import ctypes
import os
import sys
import threading
import time
import types
from dataclasses import dataclass

import numpy as np

from workbench.model import ModelFormat, TensorSpec
from workbench.runtimes import registry
from workbench.runtimes.base import RuntimeInfo
from workbench.settings import SettingsBase, setting

KEPT = []


@dataclass(frozen=True)
class Settings(SettingsBase):
    mode: str = setting("", "how it misbehaves")


def environment(threads, device, settings, format):
    return {"ODD_THREADS": str(threads)}


def open_session(request):
    if request.settings.mode == "hang-open":
        time.sleep(3600)
    if request.settings.mode == "exit-open":
        sys.stderr.write("loading...\nfatal: the license server is closed\nbye\n")
        os._exit(3)
    if request.settings.mode == "spin":
        threading.Thread(target=spin, daemon=True).start()
    return Session(request)


def spin():
    while True:
        pass


class Session:
    def __init__(self, request):
        self.mode, self.seen, self.runs = request.settings.mode, set(), 0
        self.inputs = (TensorSpec("renamed", "float64", (None, 4)),)
        self.outputs = (TensorSpec("y", "float64", (None, 4)),)

    def run(self, feeds):
        self.runs += 1
        x = feeds["renamed"]
        self.seen.add(float(x.sum()))
        getattr(self, self.mode, lambda: None)()
        return {"y": x * 2, "sum": x.sum(), "ragged": np.ones((int(x.flat[0]) % 3 + 1, 2))}

    def noise(self):
        print("spam")
        for id in range(200):  # looks like an answer
            os.write(1, b'{"id": %d, "ok": false, "error": "spam"}\n' % id)
        assert sys.stdin.read() == ""

    def crash(self):
        ctypes.string_at(0)

    def hang(self):
        time.sleep(3600)

    def hold(self):
        ctypes.PyDLL(None).sleep(3600)  # native code that keeps the interpreter's lock

    def wrong(self):
        raise RuntimeError("\n\n  bad kernel\nat line 12")

    def memory(self):
        raise MemoryError

    def late(self):
        if self.runs > 12:
            raise RuntimeError("the thirteenth run")

    def wait(self):
        time.sleep(0.003)

    def slow(self):
        time.sleep(0.3)

    def leak(self):
        KEPT.append(b"x" * 20_000)

    def fill(self):
        """A bounded cache: grows at first, then no more."""
        KEPT.append(b"x" * 20_000)
        del KEPT[:-200]

    def copies(self):
        time.sleep(0.006)

    def resident(self, feeds):
        if self.mode != "copies":
            raise NotImplementedError("it has no memory of its own")
        return lambda: time.sleep(0.001)

    def describe(self):
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
        return {"distinct": len(self.seen), "threads": os.environ["ODD_THREADS"], "cores": sorted(cores)}

    def close(self):
        pass


module = types.ModuleType("workbench.runtimes._odd")
module.__dict__.update(Settings=Settings, environment=environment, open_session=open_session)
sys.modules[module.__name__] = module
registry.RUNTIMES += (RuntimeInfo("odd", "Odd", "_odd", "json", "", (ModelFormat.ONNX,)),)
print("a start-up hook that prints")
