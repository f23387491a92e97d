"""What the Python peers share: arguments, the clock, the line of JSON that they print.

A peer hands `run` a generator function `read(context)` that yields the scenario's batches in order, each one contiguous f32 array
[samples, ...]; a yielded array may be reused once the next one is asked for.
"""

import argparse
import json
import os
import resource
import time

from positions import positions


class Context:
    """A scenario, the arrays of its data set and the crops to read."""

    def __init__(self, options):
        with open(options.scenario, encoding="utf-8") as file:
            self.scenario = json.load(file)
        self.options = options
        count = self.scenario["arrays"]["count"]
        self.paths = [os.path.join(os.path.abspath(options.data), f"{i:04}") for i in range(count)]
        self.warmup = self.scenario["warmup_batches"] if options.warmup is None else options.warmup
        self.timed = options.batches or self.scenario["n_batches"]
        self.batch = self.scenario["samples_per_batch"]
        self.shape = self.scenario["sample_shape"]
        self.threads = options.threads or self.scenario["threads"] or os.cpu_count()
        self.cache = self.scenario["memory_bytes"] if options.cache is None else options.cache
        self.crops = positions(self.scenario, (self.warmup + self.timed) * self.batch)

    def batches(self):
        """Per batch: list of (array number, tuple of slices)."""
        for first in range(0, len(self.crops), self.batch):
            yield [
                (array, tuple(slice(s, s + e) for s, e in zip(start, self.shape)))
                for array, start in self.crops[first : first + self.batch]
            ]


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("scenario", help="scenario file")
    parser.add_argument("data", help="folder of the data set, as `dataset` prints it")
    parser.add_argument("--batches", type=int, help="timed batches instead of the scenario's")
    parser.add_argument("--warmup", type=int, help="batches before the clock starts, instead of the scenario's")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--cache", type=int, help="bytes of chunk cache instead of the scenario's memory_bytes")
    parser.add_argument("--checksum", action="store_true", help="xxh3-64 over all batches; costs time")
    return parser


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def run(peer, settings, context, read):
    """Drives `read`, measures, prints one JSON line."""
    digest = None
    if context.options.checksum:
        import xxhash

        digest = xxhash.xxh3_64()
    begin = time.perf_counter()
    first = start = cpu = None
    delivered = 0
    for batch in read(context):
        delivered += 1
        if digest is not None:
            digest.update(memoryview(batch).cast("B"))
        now = time.perf_counter()
        first = first or now - begin
        if delivered == max(context.warmup, 1):
            start, cpu, base = now, cpu_seconds(), delivered
    wall, cpu = time.perf_counter() - start, cpu_seconds() - cpu
    assert delivered == context.warmup + context.timed, delivered
    samples = (delivered - base) * context.batch
    size = 4
    for extent in context.shape:
        size *= extent
    print(
        json.dumps(
            {
                "peer": peer,
                "scenario": context.scenario["name"],
                "settings": settings,
                "samples_per_s": samples / wall,
                "first_batch_s": first,
                "cpu_s": cpu,
                "cpu_s_per_gb": cpu / (samples * size / 1e9),
                "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "checksum": digest and digest.hexdigest(),
            }
        )
    )
