"""Trials on a Dask cluster: one search for each machine type, orders to whichever worker of it is free.

Each worker declares one ``timing`` resource (``dask worker ADDRESS --resources timing=1``), so that it measures one
thing at a time; workers that share a host take turns besides. The model and its samples travel to a worker once, by
content hash. A lost worker's order is given to another one by Dask itself.
"""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from .. import __version__
from ..cache import Cache
from ..chain import complete
from ..datasets import Dataset
from ..errors import InputError, MissingError, WorkbenchError
from ..model import Model
from ..recipe import Recipe
from ..results import Result
from ..study import Study
from .goal import Goal
from .labs import Delivery, Order
from .outcome import Outcome
from .split import halves

RESOURCE = "timing"
_START = "start workers with: dask worker ADDRESS --resources timing=1 --nthreads 1"
_CONNECT_S, _POLL_S, _ABSENT_S = 10.0, 0.2, 30.0


def tune_on(cluster: Any, model: Model, dataset: Dataset, goal: Goal, budget_s: float, study: Study, seed: int,
            calls: Any, cancel: threading.Event) -> Outcome:
    """See :func:`workbench.search.tune`.

    Returns:
        the outcome of the machine type with the most workers; those of the others are in ``others``.

    Raises:
        MissingError: Dask is not installed.
        InputError: the scheduler does not answer, or no worker can measure.
    """
    client, own = _client(cluster)
    try:
        groups = _groups(client)
        parcel = _send(client, model, dataset)
        found: dict[str, Any] = {}

        def one(group: Group, heard: Any) -> None:
            try:
                found[group.machine] = _tune_group(client, group, parcel, (model, dataset, goal, budget_s, seed),
                                                   study, heard, cancel)
            except WorkbenchError as error:
                found[group.machine] = error

        rest = [threading.Thread(target=one, args=(g, _Quiet(calls)), daemon=True) for g in groups[1:]]
        for thread in rest:
            thread.start()
        one(groups[0], calls)
        for thread in rest:
            thread.join()
    finally:
        if own:
            client.close()
    first = found[groups[0].machine]
    if isinstance(first, WorkbenchError):
        raise first
    others = [found[g.machine] for g in groups[1:]]
    return replace(first, others=tuple(o for o in others if isinstance(o, Outcome)))


class Group(NamedTuple):
    """Workers of one machine type."""

    machine: str
    fingerprint: dict[str, Any]
    threads: int
    workers: tuple[str, ...]
    only: bool


class _Quiet:
    """Of the other machine types only trials are told; best variants and progress are those of the first."""

    def __init__(self, calls: Any) -> None:
        self.trial = calls.trial
        self.progress = self.best = self.attempt = lambda event: None


def _client(cluster: Any) -> tuple[Any, bool]:
    try:
        from distributed import Client
    except ImportError:
        raise MissingError("Dask is not installed; install it with: pip install distributed") from None
    if isinstance(cluster, Client):
        return cluster, False
    try:
        return Client(cluster, timeout=_CONNECT_S, set_as_default=False), True
    except (OSError, ValueError, TypeError) as error:
        cause = " ".join(str(error).split())[:200]
        raise InputError(f"no Dask scheduler answers at {cluster} ({cause}); start one with: dask scheduler") from None


def _groups(client: Any) -> list[Group]:
    """Workers that may measure, by machine type, the largest group first."""
    from . import cluster_worker

    workers = client.scheduler_info(n_workers=-1)["workers"]
    able = [address for address, w in workers.items() if w.get("resources", {}).get(RESOURCE)]
    if not able:
        what = f"none of its {len(workers)} workers declares the resource '{RESOURCE}'" if workers else \
            "the scheduler has no workers"
        raise InputError(f"{what}; {_START}")
    try:
        told = client.run(cluster_worker.hello, workers=able)
    except (ImportError, AttributeError) as error:
        raise InputError(f"the workers cannot load the workbench ({error}): install version {__version__} "
                         "there") from None
    wrong = sorted({h.version for h in told.values()} - {__version__})
    if wrong:
        raise InputError(f"a worker has workbench {wrong[0]}, this is {__version__}: install the same version")
    groups: dict[str, list[str]] = {}
    for address, h in told.items():
        groups.setdefault(h.machine, []).append(address)
    found = []
    for machine, addresses in groups.items():
        h = told[addresses[0]]
        found.append(Group(machine, {**h.fingerprint, "physical_cores": h.threads}, h.threads, tuple(addresses),
                           len(groups) == 1))
    return sorted(found, key=lambda g: (-len(g.workers), g.machine))


def _send(client: Any, model: Model, dataset: Dataset) -> str:
    """Sends the model and its samples to all workers, now and later; what is there already stays there."""
    from . import cluster_worker

    data = replace(dataset, read_training=None)
    sides = [s for s in (data.calibration, data.evaluation) if s is not None]
    total = hashlib.sha256(f"{data.sha256} {model.sha256}".encode())
    for side in sides:
        for name, array in sorted({**side.rows, **side.entries}.items()):
            total.update(name.encode() + str((array.shape, array.dtype)).encode() + array.tobytes())
    name = total.hexdigest()[:40]
    held = client.run_on_scheduler(lambda dask_scheduler: set(dask_scheduler.worker_plugins))
    first = cluster_worker.model_key(model)
    parcels = {first: lambda: cluster_worker.Parcel(first, cluster_worker.read_files(model.path)),
               name: lambda: cluster_worker.Parcel(name, value=data)}
    for key, make in parcels.items():
        if f"workbench-{key}" not in held:
            client.register_plugin(make(), name=f"workbench-{key}")
    return name


def _tune_group(client: Any, group: Group, parcel: str, asked: tuple, study: Study, calls: Any,
                cancel: threading.Event) -> Outcome:
    from .tuner import Search

    model, dataset, goal, budget_s, seed = asked
    lab = ClusterLab(client, group, parcel, model, dataset, seed, study)
    local = _Local(client, lab, calls)
    dataset = replace(dataset, read_training=None)  # which does not travel
    search = Search(model, dataset, goal, budget_s, seed, local, cancel, fingerprint=group.fingerprint)
    try:
        found = search.run(lab, fresh=halves(dataset, seed)[0] is not dataset)
    finally:
        lab.close()
    return replace(found, best=local.bring(found.best), machine=group.machine)


class _Local:
    """A caller's ears, with artefacts brought to this machine before a best variant is told."""

    def __init__(self, client: Any, lab: ClusterLab, calls: Any) -> None:
        self._client, self._lab, self._calls = client, lab, calls
        self.trial, self.progress, self.attempt = calls.trial, calls.progress, calls.attempt
        self._cache = Cache()

    def best(self, result: Result) -> None:
        """Tells the caller of a new best variant."""
        self._calls.best(self.bring(result))

    def bring(self, result: Result) -> Result:
        """The result with an artefact on this machine; without one when its worker is gone and it cannot be remade."""
        if not result.recipe.steps:
            return replace(result, artefact=str(self._lab.model.path))
        key = hashlib.sha256(f"cluster {result.artefact} {result.recipe.key}".encode()).hexdigest()[:40]
        entry = self._cache.get(key)
        if entry is None:
            try:
                files = self._lab.fetch(result)
            except Exception:  # whatever Dask says: the worker is gone, or has cleared its cache
                return self._remade(result)
            folder = self._cache.workdir()
            name = Path(result.artefact).name
            inside = folder / name if name not in files else folder
            for relative, content in files.items():
                target = inside / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            entry = self._cache.put(key, folder, {"file": name})
        return replace(result, artefact=str(entry.folder / entry.meta["file"]))

    def _remade(self, result: Result) -> Result:
        from .. import variant

        try:
            built = variant.build(self._lab.model, result.recipe, self._lab.data, cache=self._cache)
        except WorkbenchError:
            return replace(result, artefact="")
        return replace(result, artefact=str(built.model.path))


class ClusterLab:
    """Workers of one machine type as a lab; see :class:`workbench.search.labs.Lab`.

    Args:
        client: connected.
        group: its workers.
        parcel: hash that the samples travelled under.
        model: the original.
        data: whole data set, as it was sent.
        seed: of the split.
        study: where results go.
    """

    def __init__(self, client: Any, group: Group, parcel: str, model: Model, data: Dataset, seed: int,
                 study: Study) -> None:
        self.slots = len(group.workers)
        self.baseline = replace(complete(model, Recipe()), threads=group.threads)
        self.model, self.data = model, data
        self._client, self._group, self._parcel, self._seed = client, group, parcel, seed
        self._data_sha256, self._study = halves(data, seed)[0].sha256, study
        self._running: dict[Any, tuple[Order, threading.Event, str]] = {}
        self._origin: dict[str, str] = {}  # run id -> address of the worker that made it
        study.remember_model(model.sha256, {**model.to_dict(), "path": str(model.path)})
        study.remember_data(data.sha256, data.name)

    def find(self, recipe: Recipe) -> Result | None:
        """See :class:`Lab`."""
        return self._study.find(recipe.key, self.model.sha256, self._data_sha256, self._group.machine)

    def start(self, order: Order, cancel: threading.Event) -> None:
        """See :class:`Lab`."""
        from . import cluster_worker

        stop = f"workbench-stop-{uuid.uuid4().hex[:12]}"
        job = cluster_worker.Job(self.model, self._parcel, self._seed, order.stage == "final", order.recipes,
                                 order.plan, stop)
        where = {} if self._group.only else {"workers": list(self._group.workers)}
        future = self._client.submit(cluster_worker.measure, job, resources={RESOURCE: 1}, pure=False, **where)
        self._running[future] = (order, cancel, stop)

    def wait(self) -> Delivery:
        """See :class:`Lab`."""
        absent = time.monotonic()
        while True:
            done = next((f for f in self._running if f.done()), None)
            if done is not None:
                return self._deliver(done)
            if self._alive():
                absent = time.monotonic()
            for future, (order, cancel, stop) in list(self._running.items()):
                if cancel.is_set():
                    self._stop(future, stop)
                if time.monotonic() - absent > _ABSENT_S:
                    self._running.pop(future)
                    future.cancel()
                    return Delivery(order, [])
            time.sleep(_POLL_S)

    def _alive(self) -> bool:
        """Whether a worker that may measure is left."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        return any(w.get("resources", {}).get(RESOURCE) and (self._group.only or a in self._group.workers)
                   for a, w in workers.items())

    def _stop(self, future: Any, stop: str) -> None:
        """Ends a running order; one that waits for a worker never starts."""
        from distributed import Event

        event = Event(stop, client=self._client)
        if not event.is_set():
            event.set()
        running = {k for keys in self._client.processing().values() for k in keys}
        if future.key not in running:
            future.cancel()

    def _deliver(self, future: Any) -> Delivery:
        order, _, _ = self._running.pop(future)
        if future.cancelled():
            return Delivery(order, [])
        try:
            answer = future.result()
        except WorkbenchError as error:
            raise InputError(f"a worker of the cluster: {error}") from None
        except Exception as error:  # KilledWorker: the order ended several workers one after the other
            cause = " ".join(str(error).split())[:200]
            return Delivery(order, [self._lost(order, f"lost with its workers: {cause}")])
        self._study.add_many(answer.runs)
        self._origin.update({r.result.run_id: answer.address for r in answer.runs})
        return Delivery(order, [r.result for r in answer.runs])

    def _lost(self, order: Order, reason: str) -> Result:
        from datetime import UTC, datetime

        result = Result(run_id=uuid.uuid4().hex[:12], created=datetime.now(UTC).isoformat(timespec="seconds"),
                        model_sha256=self.model.sha256, data_sha256=self._data_sha256, recipe=order.recipes[0],
                        machine=self._group.machine, is_baseline=False, status="failed", reason=reason,
                        environment=self._group.fingerprint)
        self._study.add(result, result.run_id)
        return result

    def fetch(self, result: Result) -> dict[str, bytes]:
        """Files of an artefact from the worker that made it; raises what Dask raises when that is gone."""
        from . import cluster_worker

        future = self._client.submit(cluster_worker.fetch, result.artefact, pure=False,
                                     workers=[self._origin[result.run_id]], allow_other_workers=False)
        return future.result(timeout=_ABSENT_S)

    def close(self) -> None:
        """See :class:`Lab`."""
        for future, (_, _, stop) in list(self._running.items()):
            self._stop(future, stop)
            future.cancel()
        self._running.clear()
