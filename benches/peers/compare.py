"""Runs the readers of `readers.json` on scenarios, alternating, several rounds, and prints medians, spread and ratios.

The page cache is warm: the data set is read once first. A first pass compares checksums, so that nobody is fast by being wrong.
Writes one JSON file per scenario, with every single run, into the results folder.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
RELEASE = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release")
COLUMNS = ("samples_per_s", "cpu_s_per_gb", "first_batch_s", "peak_rss_bytes")


def command(reader, scenario_file, data, extra):
    program = reader["program"]
    if program.endswith(".py"):
        head = [sys.executable, os.path.join(HERE, program)]
    else:
        head = [os.path.join(RELEASE, program), *reader.get("subcommand", [])]
    return [*head, scenario_file, data, *extra]


def execute(line, timeout):
    """One run: its JSON line, or a string that says why there is none."""
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer in {timeout} s"
    except OSError as error:
        return str(error)
    lines = [text for text in done.stdout.splitlines() if text.startswith("{")]
    if done.returncode or not lines:
        return (done.stderr.strip().splitlines() or ["no output"])[-1]
    return json.loads(lines[-1])


def warm(data):
    for folder, _, names in os.walk(data):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                while file.read(1 << 24):
                    pass


def short_form(flags, scenario, options):
    """Arguments that shorten a run."""
    if options.batches:
        flags = [*flags, "--batches", str(options.batches)]
    if options.warmup is not None:
        flags = [*flags, "--warmup", str(options.warmup)]
    return flags


def check(readers, scenario_file, data, options):
    """Runs each reader over three batches with checksums. Returns the readers that agree with the first."""
    good, expected = {}, None
    for name, (reader, flags) in readers.items():
        extra = [*flags, "--checksum", "--warmup", "1", "--batches", "2"]
        result = execute(command(reader, scenario_file, data, extra), options.timeout)
        if isinstance(result, str):
            print(f"  {name}: left out: {result}", file=sys.stderr)
            continue
        expected = expected or result["checksum"]
        if result["checksum"] != expected:
            print(f"  {name}: WRONG BYTES: {result['checksum']} instead of {expected}", file=sys.stderr)
            continue
        good[name] = (reader, flags)
    return good


def measure(readers, scenario, scenario_file, data, options):
    runs = {name: [] for name in readers}
    names = list(readers)
    for number in range(options.rounds or scenario["repeats"]):
        # Each round starts with another reader, so that a slow spell of the machine hits all.
        for name in names[number % len(names) :] + names[: number % len(names)]:
            reader, flags = readers[name]
            result = execute(command(reader, scenario_file, data, short_form(flags, scenario, options)), options.timeout)
            if isinstance(result, str):
                print(f"  {name}: {result}", file=sys.stderr)
            else:
                runs[name].append(result)
    return {name: found for name, found in runs.items() if found}


def table(scenario, runs, catalogue):
    median = {name: {c: statistics.median(r[c] for r in found) for c in COLUMNS} for name, found in runs.items()}
    peers = [median[n]["samples_per_s"] for n in median if catalogue[n].get("kind") == "peer"]
    best = max(peers, default=None)
    print(f"\n{scenario['name']}: {len(next(iter(runs.values())))} rounds, crops {scenario['sample_shape']}")
    print(f"| {'reader':<24} | crops/s (min - max) | x best peer | CPU s/GB (min - max) | first batch s | peak MB |")
    print(f"|{'-' * 26}|---|---|---|---|---|")
    for name, found in runs.items():
        row, speed = median[name], [r["samples_per_s"] for r in found]
        cpu = [r["cpu_s_per_gb"] for r in found]
        ratio = f"{row['samples_per_s'] / best:.2f}" if best else "-"
        print(
            f"| {name:<24} | {row['samples_per_s']:.1f} ({min(speed):.1f} - {max(speed):.1f}) | {ratio} "
            f"| {row['cpu_s_per_gb']:.2f} ({min(cpu):.2f} - {max(cpu):.2f}) | {row['first_batch_s']:.2f} "
            f"| {row['peak_rss_bytes'] / 1e6:.0f} |"
        )
    return median


def compare(name, options, catalogue):
    file = name if name.endswith(".json") else os.path.join(ROOT, "benches", "scenarios", f"{name}.json")
    with open(file, encoding="utf-8") as text:
        scenario = json.load(text)
    made = subprocess.run([os.path.join(RELEASE, "dataset"), file, options.data], capture_output=True, text=True, check=True)
    data = made.stdout.strip()
    warm(data)
    chosen = [n for n in catalogue if not options.readers or n in options.readers.split(",")]
    readers = {}
    for reader in chosen:
        flags = catalogue[reader]["flags"]
        readers[reader] = (catalogue[reader], flags.get(scenario["name"], flags.get("*", [])))
    readers = check(readers, file, data, options)
    if not readers:
        sys.exit(f"{scenario['name']}: no reader ran")
    runs = measure(readers, scenario, file, data, options)
    median = table(scenario, runs, catalogue)
    os.makedirs(options.results, exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    machine = {"cpus": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg()}
    with open(os.path.join(options.results, f"{scenario['name']}-{stamp}.json"), "w", encoding="utf-8") as out:
        json.dump({"scenario": scenario, "machine": machine, "median": median, "runs": runs}, out, indent=1)


def main():
    parser = argparse.ArgumentParser(prog="benches/run.sh", description=__doc__)
    parser.add_argument("scenarios", nargs="+", help="files, or names in benches/scenarios")
    parser.add_argument("--readers", help="comma-separated names of readers.json; default: all")
    parser.add_argument("--rounds", type=int, help="instead of the scenario's repeats")
    parser.add_argument("--batches", type=int, help="instead of the scenario's n_batches")
    parser.add_argument("--warmup", type=int, help="instead of the scenario's warmup_batches")
    parser.add_argument("--timeout", type=int, default=600, help="seconds per run")
    parser.add_argument("--data", default=os.path.join(ROOT, "bench-data"))
    parser.add_argument("--results", default=os.path.join(ROOT, ".cache", "bench-results"))
    options = parser.parse_args()
    with open(os.path.join(HERE, "readers.json"), encoding="utf-8") as text:
        catalogue = json.load(text)
    for name in options.scenarios:
        compare(name, options, catalogue)


if __name__ == "__main__":
    main()
