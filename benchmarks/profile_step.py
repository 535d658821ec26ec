"""``python -m benchmarks.profile_step``: where a training step on a GPU goes, kernel by kernel."""

import argparse
import json
from pathlib import Path
from unittest.mock import patch

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.networks import as_searched, configurations
from benchmarks.stopwatch import Row, machine, steps_seconds, table
from benchmarks.throughput import Setting, make_trainer
from data.sources.strokes import draw_strokes
from hpo.view.log import log_to_stderr, silence_optuna
from model import training
from model.configuration import Configuration

STEPS = 30
PROFILED = 5
SHOWN = 14  # kernels


def main() -> None:
    """Time every network's step, recorded and not, and list the kernels that take longest."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile_step", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, help="write JSON")
    chosen = parser.parse_args()
    log_to_stderr()
    silence_optuna()
    setting = Setting(draw_strokes(0), torch.device("cuda"), 0, 1, print)
    networks = {name: as_searched(name) for name in ("small", "modern")}
    networks |= {name: c for name, c in configurations().items() if name != "small"}
    found: dict[str, object] = {"machine": machine(setting.device)}
    for name, configuration in networks.items():
        step = steps_seconds(setting.device, make_trainer(setting, configuration).steps(0), STEPS)
        with patch.object(training, "recorder", lambda device, optimizer: None):
            launched, rows = _kernels(setting, configuration)
        found[name] = {"ms": step * 1e3, "ms, not recorded": launched * 1e3, "kernels": rows}
        print(f"\n## {name}: {step * 1e3:.3g} ms, {launched * 1e3:.3g} ms if it is not recorded")
        print(f"\n{table(rows)}", flush=True)
        if chosen.output:
            chosen.output.write_text(json.dumps(found, indent=2) + "\n")


def _kernels(setting: Setting, configuration: Configuration) -> tuple[float, list[Row]]:
    """Seconds of a step that is launched kernel by kernel, and the kernels."""
    steps = make_trainer(setting, configuration).steps(0)
    launched = steps_seconds(setting.device, steps, STEPS)
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        for _ in range(PROFILED):
            next(steps)
        torch.cuda.synchronize()
    kernels = sorted(seen.key_averages(), key=lambda k: -k.self_device_time_total)
    rows: list[Row] = [
        {
            "ms": kernel.self_device_time_total / PROFILED / 1e3,
            "times": kernel.count / PROFILED,
            "kernel": kernel.key[:90],
        }
        for kernel in kernels[:SHOWN]
    ]
    return launched, rows


if __name__ == "__main__":
    main()
