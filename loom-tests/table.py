#!/usr/bin/env python3
"""Keeps the tables of models and mutants in loom-tests/README.md and core/README.md.

Usage: loom-tests/table.py          explores every model at preemption bound 2, with the stand-in and with crossbeam's
                                    collector, and writes both tables (about two minutes)
       loom-tests/table.py --check  fails if a model or a mutant is missing from a table; explores nothing

A model's contracts stand above its function, the model that must catch a mutant in mutants.txt. Which protocol a model, a
mutant or a fuzz target belongs to is said below, by the beginning of its name.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
HERE, CORE = ROOT / "loom-tests/README.md", ROOT / "core/README.md"

# Protocol: beginnings of its models, of its mutants, its fuzz targets. The longest beginning wins.
PROTOCOLS = {
    "bell": (["bell_"], ["bell-"], []),
    "semaphore": (["semaphore_"], ["semaphore-"], []),
    "inbox": (["inbox_", "mailbox_"], ["inbox-", "mailbox-"], []),
    "ring": (["ring_"], ["ring-"], []),
    "lookahead": (["lookahead_"], [], []),
    "watermark": (["watermark_"], ["watermark-"], []),
    "finish ring": (["finish_"], ["finish-"], []),
    "gate": (["gate_"], ["gate-"], ["core_gate"]),
    "slot": (["slot_"], ["slot-"], ["core_cache"]),
    "cache, completion": (["cache_"], ["table-", "reader-", "completion-", "owner-"], ["core_cache"]),
    "cache, eviction": (
        ["cache_reader_", "cache_held_", "cache_pin_", "cache_watermark_", "cache_collector_", "cache_publication_eviction_"],
        ["epoch-", "table-any-"],
        ["core_cache"],
    ),
    "ticket": (["ticket_"], ["ticket-"], []),
    "together": (["engine_"], [], []),
}


def models():
    """[(module, model, contracts)], in the order of the sources."""
    found = []
    for file in sorted((ROOT / "loom-tests/tests/models").glob("*.rs")):
        for doc, _, name in re.findall(r"((?:///.*\n)*)((?:#\[.*\n)+)fn (\w+)\(\)", file.read_text()):
            assert "Threads:" in doc and "Asserted:" in doc, f"{name} does not say what it explores"
            found.append((file.stem, name, re.findall(r"\bC\d\d\b", doc)))
    return found


def mutants():
    """[(mutant, module::model)]"""
    lines = (ROOT / "loom-tests/mutants.txt").read_text().splitlines()
    return [tuple(line.split()) for line in lines if line and not line.startswith("#")]


def protocol_of(name, kind):
    fitting = [(len(start), protocol) for protocol, kinds in PROTOCOLS.items() for start in kinds[kind] if name.startswith(start)]
    assert fitting, f"{name} belongs to no protocol"
    return max(fitting)[1]


def explored(*arguments):
    env = {**os.environ, "LOOM_MAX_PREEMPTIONS": "2"}
    output = subprocess.run([ROOT / "loom-tests/run.sh", *arguments, "--nocapture"], env=env, check=True, capture_output=True, text=True)
    return {name: int(runs) for name, runs in re.findall(r"explored (\S+) (\d+)", output.stdout)}


def between(path, rows):
    """The file with the rows of its generated table replaced, or left as they are if there are none."""
    text = path.read_text()
    begin, end = "<!-- table.py: begin -->\n", "<!-- table.py: end -->"
    head, rest = text.split(begin)
    old, tail = rest.split(end)
    return old, head + begin + "".join(rows) + end + tail


def code(names):
    return ", ".join(f"`{name}`" for name in names)


def write_models(runs, real):
    caught = {}
    for mutant, model in mutants():
        caught.setdefault(model, []).append(mutant)
    rows = ["| model | contracts | runs | with crossbeam's collector | mutants that it must catch |\n", "|---|---|---:|---:|---|\n"]
    for module, name, contracts in models():
        path = f"{module}::{name}"
        counts = f"{runs[path]} | {real.get(path, '')}"
        rows.append(f"| `{path}` | {' '.join(contracts)} | {counts} | {code(caught.get(path, []))} |\n")
    HERE.write_text(between(HERE, rows)[1])


def write_protocols():
    old, _ = between(CORE, [])
    invariants = dict(re.findall(r"^\| (?!protocol)([^|]+?) \| ([^|]+?) \|", old, re.M))
    rows = ["| protocol | invariants | models | mutants caught | fuzz target |\n", "|---|---|---|---|---|\n"]
    for protocol, (_, _, fuzz) in PROTOCOLS.items():
        own_models = code(name for _, name, _ in models() if protocol_of(name, 0) == protocol)
        own_mutants = code(name for name, _ in mutants() if protocol_of(name, 1) == protocol)
        rows.append(f"| {protocol} | {invariants.get(protocol, '?')} | {own_models} | {own_mutants} | {code(fuzz)} |\n")
    CORE.write_text(between(CORE, rows)[1])


def check():
    names = {name for _, name, _ in models()} | {name for name, _ in mutants()}
    for path in (HERE, CORE):
        # The second column is prose: contracts here, invariants there.
        cells = [cell for row in between(path, [])[0].splitlines() for number, cell in enumerate(row.split("|")) if number != 2]
        listed = {name.split("::")[-1] for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
        fuzz = {target for _, _, targets in PROTOCOLS.values() for target in targets}
        if wrong := (names ^ listed) - fuzz:
            sys.exit(f"{path.relative_to(ROOT)} is out of date, run loom-tests/table.py: {', '.join(sorted(wrong))}")
    for target in fuzz:
        assert (ROOT / f"fuzz/fuzz_targets/{target}.rs").exists(), f"no fuzz target is called {target}"


if __name__ == "__main__":
    if "--check" in sys.argv:
        check()
    else:
        write_protocols()
        write_models(explored(), explored("--real-epoch"))
