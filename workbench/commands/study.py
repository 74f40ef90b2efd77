"""``workbench study``: what studies hold, and how they travel: list, show, merge, export, import."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..units import duration, size, times
from . import common

HELP = "list, show, merge, export and import studies (the SQLite files that hold every measurement)"
_PLACES = (".", "studies", "notebooks/studies")


def add_arguments(parser) -> None:
    """Declares the sub-commands."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=type(parser))
    found = actions.add_parser("list", help="studies in folders, with what they hold")
    found.add_argument("paths", nargs="*", metavar="PATH", help=f"files or folders (default: {', '.join(_PLACES)})")
    show = actions.add_parser("show", help="variants of a study, one table a model, data set, machine and batch")
    show.add_argument("study", metavar="S.sqlite")
    show.add_argument("--model", default="", help="only models whose name or hash starts with this")
    show.add_argument("--machine", default="", help="only machines whose id starts with this")
    merge = actions.add_parser("merge", help="copies the runs of studies into one; machines stay apart")
    merge.add_argument("study", metavar="INTO.sqlite", help="made if it is not there")
    merge.add_argument("sources", nargs="+", metavar="FROM.sqlite")
    export = actions.add_parser("export", help="writes every run, raw samples included, as .json or .csv")
    export.add_argument("study", metavar="S.sqlite")
    export.add_argument("-o", "--output", required=True, metavar="FILE", help=".json or .csv")
    read = actions.add_parser("import", help="reads what export wrote; runs that are there already stay")
    read.add_argument("study", metavar="S.sqlite", help="made if it is not there")
    read.add_argument("files", nargs="+", metavar="FILE", help=".json or .csv")
    for action in (found, show, merge, export, read):
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS,
                            help="print one JSON document on stdout")


def run(args) -> tuple[dict, str]:
    """Runs one action."""
    return {"list": _list, "show": _show, "merge": _merge, "export": _export, "import": _import}[args.action](args)


def _open(path: str, *, new: bool = False):
    from ..study import Study

    if not new and not Path(path).is_file():
        raise InputError(f"no such study: {path}; 'workbench study list FOLDER' names those there are")
    return Study(path)


def _list(args) -> tuple[dict, str]:
    rows = []
    for path in _files(args.paths):
        try:
            rows.append(_summary(path))
        except InputError as error:
            if args.paths:
                common.log(f"note: {error}")
    lines = [f"{r['path']}: {r['runs']} runs of {', '.join(r['models']) or 'no model'} on {len(r['machines'])} "
             f"machine{'' if len(r['machines']) == 1 else 's'}, {size(r['size_bytes'])}, last {r['last'] or 'never'}"
             for r in rows]
    return {"studies": rows}, "\n".join(lines) or f"no study in {', '.join(args.paths or _PLACES)}"


def _files(paths: list[str]) -> list[Path]:
    found: list[Path] = []
    for place in map(Path, paths or _PLACES):
        if place.is_dir():
            found += sorted(place.glob("*.sqlite"))
        elif place.is_file():
            found.append(place)
        elif paths:
            raise InputError(f"no such file or folder: {place}")
    return list(dict.fromkeys(found))


def _summary(path: Path) -> dict[str, Any]:
    study = _open(str(path))
    overview, names = study.overview(), study.models()
    study.close()
    return {"path": str(path), "size_bytes": path.stat().st_size, "runs": overview.runs, "failed": overview.failed,
            "models": [names.get(m, {}).get("name", m[:12]) for m in overview.models],
            "machines": list(overview.machines), "last": overview.last}


def _show(args) -> tuple[dict, str]:
    study = _open(args.study)
    data_names = study.data_names()
    names = {sha: str(m.get("name", "")) for sha, m in study.models().items()}
    groups: dict[tuple, list] = {}
    for r in study.results():
        name = names.get(r.model_sha256) or r.model_sha256[:12]
        named = name.startswith(args.model) or r.model_sha256.startswith(args.model)
        if named and r.machine.startswith(args.machine):
            groups.setdefault((name, r.model_sha256, r.data_sha256, r.machine, r.recipe.batch), []).append(r)
    ordered = sorted(groups.items(), key=lambda kv: kv[0][0:1] + kv[0][3:])
    tables = [_group(key, results, data_names) for key, results in ordered]
    return {"study": args.study, "groups": tables}, "\n\n".join(map(_text, tables)) or f"{args.study} holds no result"


def _group(key: tuple, results: list, data_names: dict[str, str]) -> dict[str, Any]:
    from ..search import split
    from ..views import frames

    name, model, data, machine, batch = key
    shown = frames.tradeoff(results, batch=batch, machine=machine)
    cpu = next((str(r.environment["cpu_model"]) for r in results if r.environment.get("cpu_model")), "")
    failures = [{"variant": f.name, "reason": f.reason} for f in shown.failures]
    rows = [{"variant": p.name, "recipe_key": p.key, "run_id": p.run_id, "median_s": p.latency_s,
             "interval_s": p.latency_interval_s, "speedup": p.speedup, "speedup_interval": p.speedup_interval,
             "verdict": p.verdict, "quality": p.quality, "size_bytes": p.size_bytes, "is_baseline": p.is_baseline,
             "standing": p.standing} for p in shown.points]
    return {"model": name, "model_sha256": model, "data": split.name_of(data, data_names),
            "data_sha256": data, "role": split.role(data)[1], "machine": machine, "cpu": cpu, "batch": batch,
            "metric": shown.quality_name, "variants": rows, "failures": failures}


def _text(group: dict[str, Any]) -> str:
    use = {"search": ", screened by a search", "final": ", last measurement of a search", "": ""}[group["role"]]
    head = (f"{group['model']} · data {group['data'] or group['data_sha256'][:12]}{use} · machine {group['machine']} "
            f"({group['cpu']}) · batch {group['batch']}")
    lines = [head]
    for row in group["variants"]:
        speed = "baseline" if row["is_baseline"] else times(row["speedup"]) if row["speedup"] else "-"
        quality = "-" if row["quality"] is None else f"{row['quality']:.4f}"
        mark = "*" if row["standing"] == "front" else " "
        lines.append(f"  {mark} {duration(row['median_s']):>9} {speed:>9} {quality:>8}  {row['variant']}")
    lines += [f"  ✕ {f['variant']}: {f['reason']}" for f in group["failures"]]
    return "\n".join([*lines, f"  * on the front of latency and {group['metric']}"])


def _merge(args) -> tuple[dict, str]:
    sources = [(path, _open(path)) for path in args.sources]
    target = _open(args.study, new=True)
    rows = []
    for path, source in sources:
        before = len(source)
        added = target.add_many(source.runs())
        target.take_names(source)
        rows.append({"path": path, "runs": before, "added": added})
    text = "\n".join(f"{r['path']}: {r['added']} of {r['runs']} runs were new" for r in rows)
    return {"study": args.study, "runs": len(target), "sources": rows}, f"{text}\n{args.study}: {len(target)} runs"


def _export(args) -> tuple[dict, str]:
    from .. import study_files

    form, study, path = study_files.form_of(args.output), _open(args.study), Path(args.output)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as stream:
            count = study_files.export(study, stream, form)
        partial.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
    return {"file": str(path), "runs": count}, f"{path}: {count} runs"


def _import(args) -> tuple[dict, str]:
    from .. import study_files

    runs = [(path, list(study_files.read(path))) for path in args.files]  # all or nothing
    target = _open(args.study, new=True)
    rows = [{"path": path, "runs": len(found), "added": target.add_many(found)} for path, found in runs]
    for path in args.files:
        for sha, description in study_files.models(path).items():
            target.remember_model(sha, description)
        for sha, name in study_files.data_names(path).items():
            target.remember_data(sha, name)
    text = "\n".join(f"{r['path']}: {r['added']} of {r['runs']} runs were new" for r in rows)
    return {"study": args.study, "runs": len(target), "files": rows}, f"{text}\n{args.study}: {len(target)} runs"
