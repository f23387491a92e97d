"""Longshore, called as the other readers are: runs `longshore bench` once and prints the comparison's line."""

import argparse
import json
import math
import os
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PROGRAM = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release", "longshore")


def batch_buffers(scenario):
    """Bytes of the f32 batches that are rendered or held at once."""
    return scenario.get("buffers", 2) * scenario["samples_per_batch"] * math.prod(scenario["sample_shape"]) * 4


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario")
    parser.add_argument("data")
    parser.add_argument("--batches", type=int)
    parser.add_argument("--warmup", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--cache", type=int, help="bytes to keep for reuse; default: the scenario's memory_bytes")
    parser.add_argument("--all-in", action="store_true", help="the batch buffers come out of the cache's bytes too; peers have theirs beside it")
    parser.add_argument("--checksum", action="store_true")
    options = parser.parse_args()
    with open(options.scenario, encoding="utf-8") as file:
        scenario = json.load(file)
    for key, value in {"n_batches": options.batches, "warmup_batches": options.warmup, "threads": options.threads}.items():
        if value is not None:
            scenario[key] = value
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(scenario, file)
        file.flush()
        line = [PROGRAM, "bench", file.name, "--dir", os.path.dirname(options.data), "--repeat", "1", "--json"]
        cache = options.cache or scenario["memory_bytes"]
        line += ["--memory", str(cache if options.all_in else cache + batch_buffers(scenario))]
        line += ["--checksum"] if options.checksum else []
        report = json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout)
    run = report["runs"][0]
    print(json.dumps({
        "peer": "longshore",
        "scenario": scenario["name"],
        "settings": {"memory_bytes": run["memory_budget_bytes"], "lookahead_samples": scenario["lookahead_samples"]},
        **{key: run[key] for key in ("samples_per_s", "first_batch_s", "cpu_s", "cpu_s_per_gb", "peak_rss_bytes", "checksum")},
    }))


main()
