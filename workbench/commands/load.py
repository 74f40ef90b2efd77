"""``workbench load MODEL``: throughput with concurrent requests beside a single stream."""

from __future__ import annotations

from .. import recipe as recipes
from ..errors import InputError
from ..units import duration, rate, size, times
from . import common

HELP = "measure throughput with several requests in flight, beside a single stream"


def add_arguments(parser) -> None:
    """Declares the arguments."""
    parser.add_argument("model", metavar="MODEL", help="model file or folder, or a bundled name")
    parser.add_argument("--recipe", metavar="R.yaml", help="passes, runtime and threads of each session")
    parser.add_argument("--clients", default="1,2,4", metavar="1,2,4", help="requests in flight (default 1,2,4)")
    parser.add_argument("--shared", action="store_true", help="one session for all clients instead of one each")
    common.add_model_arguments(parser)
    common.add_data_arguments(parser)
    common.add_plan_arguments(parser)


def run(args) -> tuple[dict, str]:
    """Measures all levels in turn, in one worker."""
    from ..engine import Engine
    from ..loads import load_test
    from ..study import Study

    try:
        clients = tuple(int(part) for part in args.clients.split(","))
    except ValueError:
        raise InputError(f"--clients {args.clients!r} is not a list of whole numbers such as 1,2,4") from None
    recipe = recipes.load(args.recipe) if args.recipe else None
    model = common.model(args.model, args.fix)
    dataset = common.dataset(args, model, args.model)
    with Engine(model, dataset, Study(), plan=common.plan(args)) as engine:
        found = load_test(engine, recipe, clients=clients, shared=args.shared, on_line=common.log)
    data = {"sentence": found.sentence, "shared": found.shared, "recipe": found.recipe.to_dict(),
            "inputs": "random" if dataset.is_random else dataset.name,
            "levels": [{"clients": n.clients, "throughput_per_s": n.throughput.value,
                        "throughput_interval_per_s": n.throughput.interval, "latency_s": n.latency.value,
                        "latency_interval_s": n.latency.interval, "percentiles_s": n.percentiles_s,
                        "gain": n.gain.value if n.gain else None, "gain_interval": n.gain.interval if n.gain else None,
                        "requests": n.requests, "rss_bytes": n.rss_bytes} for n in found.levels]}
    lines = [found.sentence, "", "clients  throughput (95 % interval)       request, median        p99     gain"]
    for n in found.levels:
        low, high = n.throughput.interval
        p99 = n.percentiles_s["p99"]
        lines.append(f"{n.clients:>7}  {rate(n.throughput.value):>10} ({rate(low)} to {rate(high)})  "
                     f"{duration(n.latency.value):>9}  {duration(p99):>9}  {times(n.gain.value) if n.gain else '-':>6}"
                     f"  {size(n.rss_bytes)}")
    if dataset.is_random:
        lines.append("note      RANDOM INPUTS: not real data")
    return data, "\n".join(lines)
