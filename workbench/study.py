"""A study: every run of every variant in one SQLite file, raw samples included; append-only.

Safe under ``kill -9`` and several writers (WAL, one transaction a run). A run measured again adds samples:
its statistics are taken over the rounds of all sessions, each round paired with the baseline's of the same session.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .collection import no_collection
from .errors import InputError
from .results import Result
from .results_json import join, split

SCHEMA = 2
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    seq INTEGER PRIMARY KEY, run_id TEXT UNIQUE NOT NULL, session TEXT NOT NULL, created TEXT NOT NULL,
    model_sha256 TEXT NOT NULL, data_sha256 TEXT NOT NULL, machine TEXT NOT NULL, recipe_key TEXT NOT NULL,
    is_baseline INTEGER NOT NULL, status TEXT NOT NULL, payload TEXT NOT NULL,
    carried TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS runs_variant ON runs (model_sha256, data_sha256, machine, recipe_key, seq);
CREATE TABLE IF NOT EXISTS blocks (
    run_id TEXT NOT NULL, round INTEGER NOT NULL, seconds BLOB NOT NULL, PRIMARY KEY (run_id, round)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS models (sha256 TEXT PRIMARY KEY, payload TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS datasets (sha256 TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
"""

_CUT_SHORT = f'{json.dumps("stopped")}: {json.dumps("cancelled")}'  # in the payload of such a run

Rounds = list[np.ndarray]


class Run(NamedTuple):
    """One run as it travels between studies.

    Attributes:
        session: runs that were interleaved share it.
        result: without its rounds.
        rounds: seconds of each run, one list a round.
    """

    session: str
    result: Result
    rounds: Iterable[Iterable[float]] = ()


class Overview(NamedTuple):
    """Counts of a study; ``models`` and ``machines`` are hashes and fingerprint ids, ``last`` an ISO time or ''."""

    runs: int
    failed: int
    last: str
    models: tuple[str, ...]
    machines: tuple[str, ...]


class Study:
    """Results in a SQLite file.

    Args:
        path: file to open or create; ':memory:' keeps it in this process.

    Raises:
        InputError: the file is not a study, or was written by a newer workbench.
    """

    def __init__(self, path: str | Path = ":memory:") -> None:
        self.path = Path(path) if str(path) != ":memory:" else None
        self._lock = threading.Lock()
        try:
            if self.path:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(str(path), timeout=30, check_same_thread=False, isolation_level=None)
            self._prepare()
        except (sqlite3.Error, OSError) as error:
            raise InputError(f"cannot open study {path}: {error}; name another file, or delete this one") from None

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_TABLES)
        self._db.execute("INSERT OR IGNORE INTO meta VALUES ('schema', ?)", (str(SCHEMA),))
        found = int(self._db.execute("SELECT value FROM meta WHERE key='schema'").fetchone()[0])
        if found > SCHEMA:
            raise InputError(f"study {self.path} has schema {found}; this workbench reads up to {SCHEMA}: upgrade it")
        if found < 2:  # its runs hold everything in the payload
            with self._transaction() as db:
                if not any(row[1] == "carried" for row in db.execute("PRAGMA table_info(runs)")):
                    db.execute("ALTER TABLE runs ADD COLUMN carried TEXT NOT NULL DEFAULT ''")
                db.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (str(SCHEMA),))

    @contextmanager
    def _transaction(self):
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def add(self, result: Result, session: str, rounds: Iterable[Iterable[float]] = ()) -> None:
        """Appends one run with the rounds measured in this session (seconds)."""
        with self._transaction() as db:
            _insert(db, "INSERT", Run(session, result, rounds))

    def add_many(self, runs: Iterable[Run]) -> int:
        """Appends runs of another study in one transaction; those that are here already are left alone.

        Returns:
            how many were new.
        """
        with self._transaction() as db:
            return sum(_insert(db, "INSERT OR IGNORE", run) for run in runs)

    def runs(self) -> Iterator[Run]:
        """Every run in the order it came, failures and raw rounds included. Needs no memory for all of them."""
        for seq, session in self._all("SELECT seq, session FROM runs ORDER BY seq", ()):
            (payload, carried, run_id), = self._all("SELECT payload, carried, run_id FROM runs WHERE seq = ?", (seq,))
            result = _result(json.loads(payload), carried)
            if result is not None:
                yield Run(session, result, self.rounds(run_id))

    def results(self, model_sha256: str | None = None, machine: str | None = None,
                data_sha256: str | None = None) -> list[Result]:
        """The latest result of each variant, oldest first; raw rounds stay in the file (:meth:`rounds`).

        A later failure or cancellation does not hide an earlier good measurement.
        """
        where = {"model_sha256": model_sha256, "machine": machine, "data_sha256": data_sha256}
        used = {k: v for k, v in where.items() if v is not None}
        clause = " AND ".join(f"{k} = :{k}" for k in used) or "1"
        query = f"""SELECT status, payload, carried, model_sha256, data_sha256, machine, recipe_key FROM runs
            NOT INDEXED WHERE {clause} ORDER BY seq"""  # one pass through the file: the index jumps about in it
        variants: dict[tuple, tuple] = {}
        with no_collection():
            for number, (status, payload, carried, *variant) in enumerate(self._all(query, used)):
                run, key = (_worth(status, payload), number, payload, carried), tuple(variant)
                variants[key] = max(run, variants.get(key, run))
            best = sorted(variants.values(), key=lambda run: run[1])
            # One text for all: names that thousands of results share are then read once.
            plain = json.loads(f"[{','.join(run[2] for run in best)}]")
            found = map(_result, plain, (run[3] for run in best))
            return [r for r in found if r is not None]

    def data(self, model_sha256: str, machine: str) -> list[str]:
        """Hashes of the data sets that a model was measured on, on one machine."""
        query = "SELECT DISTINCT data_sha256 FROM runs WHERE model_sha256 = ? AND machine = ?"
        return [row[0] for row in self._all(query, (model_sha256, machine))]

    def find(self, recipe_key: str, model_sha256: str, data_sha256: str, machine: str) -> Result | None:
        """The latest good result of a variant, else its latest failure, else None. An index look-up."""
        query = """SELECT status, payload, carried FROM runs
            WHERE model_sha256 = ? AND data_sha256 = ? AND machine = ? AND recipe_key = ? ORDER BY seq DESC"""
        rows = self._all(query, (model_sha256, data_sha256, machine, recipe_key))
        if not rows:
            return None
        _, payload, carried = max(rows, key=lambda row: _worth(*row[:2]))
        return _result(json.loads(payload), carried)

    def history(self, recipe_key: str, baseline_key: str, model_sha256: str, data_sha256: str,
                machine: str) -> tuple[Rounds, Rounds]:
        """Rounds of a variant over all sessions, and the baseline's rounds paired with them (same session, same round).

        Returns:
            two lists of float64 arrays in seconds, equally long.
        """
        query = """SELECT a.seconds, b.seconds FROM runs AS v
            JOIN runs AS w ON w.session = v.session AND w.recipe_key = :base AND w.model_sha256 = :model
            JOIN blocks AS a ON a.run_id = v.run_id
            JOIN blocks AS b ON b.run_id = w.run_id AND b.round = a.round
            WHERE v.recipe_key = :key AND v.model_sha256 = :model AND v.data_sha256 = :data AND v.machine = :machine
            ORDER BY v.seq, a.round"""
        rows = self._all(query, {"key": recipe_key, "base": baseline_key, "model": model_sha256,
                                 "data": data_sha256, "machine": machine})
        return [_seconds(r[0]) for r in rows], [_seconds(r[1]) for r in rows]

    def rounds(self, run_id: str) -> Rounds:
        """Raw samples of one run, in seconds, one float64 array a round."""
        query = "SELECT seconds FROM blocks WHERE run_id = ? ORDER BY round"
        return [_seconds(r[0]) for r in self._all(query, (run_id,))]

    def remember_model(self, sha256: str, description: dict[str, Any]) -> None:
        """Keeps a plain description of a model (name, path, format), so that an old study opens without the file."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO models VALUES (?, ?)", (sha256, json.dumps(description)))

    def models(self) -> dict[str, dict[str, Any]]:
        """Descriptions by model hash."""
        return {sha: json.loads(text) for sha, text in self._all("SELECT sha256, payload FROM models", ())}

    def remember_data(self, sha256: str, name: str) -> None:
        """Keeps the name of a data set, which results know by its hash only."""
        if name and self.data_names().get(sha256) != name:
            with self._transaction() as db:
                db.execute("INSERT OR REPLACE INTO datasets VALUES (?, ?)", (sha256, name))

    def data_names(self) -> dict[str, str]:
        """Names of data sets by hash; of those measured before names were kept there is none."""
        return dict(self._all("SELECT sha256, name FROM datasets", ()))

    def take_names(self, other: Study) -> None:
        """Takes over what another study knows about its models and data."""
        for sha, description in other.models().items():
            self.remember_model(sha, description)
        for sha, name in other.data_names().items():
            self.remember_data(sha, name)

    def overview(self) -> Overview:
        """What the study holds, without reading the results."""
        (runs, failed, last), = self._all("SELECT COUNT(*), SUM(status != 'ok'), MAX(created) FROM runs", ())
        models, machines = ([row[0] for row in self._all(f"SELECT DISTINCT {name} FROM runs ORDER BY 1", ())]
                            for name in ("model_sha256", "machine"))
        return Overview(runs, failed or 0, last or "", tuple(models), tuple(machines))

    def __len__(self) -> int:
        """Number of runs, failures included."""
        return self._all("SELECT COUNT(*) FROM runs", ())[0][0]

    def _all(self, query: str, values: Any) -> list[tuple]:
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def close(self) -> None:
        """Closes the file; the study can be opened again."""
        self._db.close()


def _insert(db: sqlite3.Connection, verb: str, run: Run) -> int:
    r = run.result
    row = (r.run_id, run.session, r.created, r.model_sha256, r.data_sha256, r.machine, r.recipe.key,
           int(r.is_baseline), r.status, *split(r))
    done = db.execute(f"{verb} INTO runs (run_id, session, created, model_sha256, data_sha256, machine, recipe_key,"
                      " is_baseline, status, payload, carried) VALUES (?,?,?,?,?,?,?,?,?,?,?)", row)
    if done.rowcount:
        blocks = [(r.run_id, i, np.asarray(list(seconds), "<f8").tobytes()) for i, seconds in enumerate(run.rounds)]
        db.executemany(f"{verb} INTO blocks VALUES (?,?,?)", blocks)
    return done.rowcount


def _worth(status: str, payload: str) -> int:
    """Which run of a variant counts; of equals the latest. One that was cut short was timed, but not checked."""
    return 0 if status != "ok" else 1 if _CUT_SHORT in payload else 2


def _result(plain: dict[str, Any], carried: str) -> Result | None:
    """A stored result; None for one that names a pass or runtime which this workbench does not have."""
    try:
        return join(plain, carried)
    except InputError:
        return None


def _seconds(blob: bytes) -> np.ndarray:
    return np.frombuffer(blob, "<f8")
