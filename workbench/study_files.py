"""Studies as JSON and CSV, and back: lossless, raw rounds included. Nothing in a file is executed or trusted."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from .errors import InputError
from .results import Result
from .results_json import from_dict, plain, to_dict
from .study import Run, Study

FORMATS = ("json", "csv")
VERSION = 1
_LARGEST_FIELD = 1 << 30
_STATUS = ("ok", "failed", "cancelled")
_TEXTS = ("run_id", "created", "model_sha256", "data_sha256", "machine", "status", "reason", "verdict", "stopped",
          "artefact")
# Columns for people and spreadsheets; the last three hold everything and are what an import reads.
COLUMNS = ("run_id", "created", "model", "data", "data_sha256", "machine", "variant", "runtime", "threads", "batch",
           "is_baseline", "status", "reason", "median_s", "median_low_s", "median_high_s", "samples", "ratio",
           "ratio_low", "ratio_high", "verdict", "metric_name", "metric", "delta", "cosine_mean", "cosine_p5",
           "size_bytes", "session", "result_json", "rounds_json")


def export(study: Study, stream: TextIO, form: str = "json") -> int:
    """Writes every run.

    Args:
        study: to write.
        stream: text, opened with ``newline=""`` for CSV.
        form: 'json' or 'csv'.

    Returns:
        number of runs.
    """
    return _write_csv(study, stream) if form == "csv" else _write_json(study, stream)


def form_of(path: str | Path) -> str:
    """'json' or 'csv', by the ending.

    Raises:
        InputError: another ending.
    """
    form = Path(path).suffix.lower().lstrip(".")
    if form not in FORMATS:
        raise InputError(f"{path}: a study is written as .json or .csv; name the file with one of these endings")
    return form


def read(path: str | Path) -> Iterator[Run]:
    """Runs of an exported file.

    Raises:
        InputError: the file cannot be read, or holds something else; names the place.
    """
    path = Path(path)
    form = form_of(path)
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            yield from _read_csv(path, stream) if form == "csv" else _read_json(path, stream)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text: it is no exported study") from None


def models(path: str | Path) -> dict[str, dict[str, Any]]:
    """Descriptions of the models in an exported JSON file, by hash; {} for CSV, which names them only."""
    found = _head(path, "models")
    return {sha: d for sha, d in found.items() if isinstance(d, dict) and isinstance(d.get("name", ""), str)}


def data_names(path: str | Path) -> dict[str, str]:
    """Names of the data sets in an exported JSON file, by hash; {} for CSV."""
    return {sha: name for sha, name in _head(path, "data").items() if isinstance(name, str) and len(name) < 1000}


def _head(path: str | Path, part: str) -> dict[str, Any]:
    if form_of(path) != "json":
        return {}
    try:
        found = json.loads(Path(path).read_text("utf-8")).get(part)
    except (OSError, ValueError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_json(study: Study, stream: TextIO) -> int:
    head = json.dumps({"workbench_study": VERSION, "models": plain(study.models()), "data": study.data_names()})
    stream.write(head[:-1] + ', "runs": [')
    count = 0
    for count, run in enumerate(study.runs(), 1):
        entry = {"session": run.session, "result": to_dict(run.result), "rounds_s": [list(map(float, r))
                                                                                     for r in run.rounds]}
        stream.write((",\n" if count > 1 else "\n") + json.dumps(entry, allow_nan=False))
    stream.write("\n]}\n")
    return count


def _write_csv(study: Study, stream: TextIO) -> int:
    names = {sha: m.get("name", "") for sha, m in study.models().items()}
    data = study.data_names()
    table = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    table.writeheader()
    count = 0
    for run in study.runs():
        r = run.result
        table.writerow(_row(run, names.get(r.model_sha256, r.model_sha256[:12]), data.get(r.data_sha256, "")))
        count += 1
    return count


def _row(run: Run, model: str, data: str) -> dict[str, Any]:
    r, f = run.result, run.result.fidelity
    low, high = r.interval_s or ("", "")
    ratio_low, ratio_high = r.ratio_interval or ("", "")
    row = {"run_id": r.run_id, "created": r.created, "model": model, "data": data,
           "data_sha256": r.data_sha256, "machine": r.machine, "variant": r.recipe.label,
           "runtime": r.recipe.runtime, "threads": r.recipe.threads, "batch": r.recipe.batch,
           "is_baseline": int(r.is_baseline), "status": r.status, "reason": r.reason,
           "median_s": r.median_s, "median_low_s": low, "median_high_s": high, "samples": r.samples, "ratio": r.ratio,
           "ratio_low": ratio_low, "ratio_high": ratio_high, "verdict": r.verdict, "size_bytes": r.size_bytes,
           "session": run.session, "result_json": json.dumps(to_dict(r), allow_nan=False),
           "rounds_json": json.dumps([list(map(float, x)) for x in run.rounds], allow_nan=False)}
    if f:
        row |= {"metric_name": f.metric_name, "metric": f.metric, "delta": f.delta, "cosine_mean": f.cosine_mean,
                "cosine_p5": f.cosine_p5}
    return {name: _cell(value) for name, value in row.items()}


def _cell(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula is marked as text."""
    risky = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if risky else value


def _read_json(path: Path, stream: TextIO) -> Iterator[Run]:
    try:
        data = json.load(stream)
    except (ValueError, RecursionError):
        raise InputError(f"{path} is not JSON: give a file that 'workbench study export' wrote") from None
    runs = data.get("runs") if isinstance(data, dict) and data.get("workbench_study") == VERSION else None
    if not isinstance(runs, list):
        raise InputError(f"{path} is no exported study: give a file that 'workbench study export' wrote")
    for number, entry in enumerate(runs, 1):
        place = f"run {number} of {path}"
        if not isinstance(entry, dict):
            raise InputError(f"{place} is no run")
        yield _run(entry.get("session"), entry.get("result"), entry.get("rounds_s"), place)


def _read_csv(path: Path, stream: TextIO) -> Iterator[Run]:
    before = csv.field_size_limit(_LARGEST_FIELD)
    try:
        table = csv.DictReader(stream)
        missing = {"session", "result_json", "rounds_json"} - set(table.fieldnames or ())
        if missing:
            raise InputError(f"{path} is no exported study: the column {sorted(missing)[0]} is missing")
        for row in table:
            place = f"line {table.line_num} of {path}"
            try:
                result, rounds = json.loads(row["result_json"]), json.loads(row["rounds_json"])
            except (ValueError, TypeError, RecursionError):
                raise InputError(f"{place} is damaged: result_json and rounds_json must hold JSON") from None
            yield _run(row["session"], result, rounds, place)
    except csv.Error as error:
        raise InputError(f"{path} is not CSV: {error}") from None
    finally:
        csv.field_size_limit(before)


def _run(session: Any, result: Any, rounds: Any, place: str) -> Run:
    try:
        read = from_dict(result)
        seconds = [[float(s) for s in block] for block in rounds or ()]
        problem = _problem(read, session) or _bad_seconds(seconds)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError):
        problem = "it lacks fields of a result"
    if problem:
        raise InputError(f"{place} cannot be read: {problem}")
    return Run(session, read, seconds)


def _problem(r: Result, session: Any) -> str:
    """Why a result cannot be what it says; '' when it can."""
    texts = [session, *(getattr(r, name) for name in _TEXTS)]
    if not all(isinstance(t, str) and len(t) < 100_000 for t in texts) or not r.run_id or not session:
        return "a name in it is no text"
    if r.status not in _STATUS:
        return f"status {r.status!r:.40} is unknown"
    numbers = [r.median_s, r.ratio, *(r.interval_s or ()), *(r.ratio_interval or ())]
    if any(n is not None and not (_is_number(n) and n > 0) for n in numbers):
        return "a time or ratio in it is no positive number"
    if r.status == "ok" and r.median_s is None:
        return "it has no latency"
    if not all(_is_number(n) for n in (r.size_bytes, r.compressed_bytes, r.samples)):
        return "a size in it is no number"
    plain_parts = isinstance(r.memory, dict) and isinstance(r.environment, dict) and isinstance(r.describe, dict)
    return "" if plain_parts else "a part of it has the wrong shape"


def _bad_seconds(rounds: list[list[float]]) -> str:
    return "" if all(math.isfinite(s) and s >= 0 for block in rounds for s in block) else "a raw time in it is no time"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
