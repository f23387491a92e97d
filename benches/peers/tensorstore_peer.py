"""TensorStore as a peer.

Modes: how crops get into the batch.
  write   `batch[i].write(cast(array)[box])`: TensorStore copies and casts into the batch, all crops of a batch at once
  reads   one read future per crop in the stored type, cast by numpy on assignment
  casts   one read future per crop, cast by TensorStore, copied by numpy
  stack   one read of a virtual stack of the crops (a fresh batch each time)
"""

from collections import deque

import numpy as np
import tensorstore as ts

from common import Context, arguments, run

CAST = ts.float32


class Arrays:
    """Opens arrays on first use, all that a batch needs at once."""

    def __init__(self, context, options):
        spec = {
            "cache_pool": {"total_bytes_limit": context.cache},
            "data_copy_concurrency": {"limit": options.copy_threads or context.threads},
            "file_io_concurrency": {"limit": options.io_threads},
        }
        self.context = ts.Context(spec)
        self.paths, self.recheck = context.paths, options.recheck
        self.opened = {}

    def open(self, numbers):
        missing = {
            number: ts.open(
                {"driver": "zarr3", "kvstore": {"driver": "file", "path": self.paths[number] + "/"}},
                open=True,
                read=True,
                context=self.context,
                recheck_cached_data=self.recheck,
                recheck_cached_metadata="open",
            )
            for number in numbers
            if number not in self.opened
        }
        for number, future in missing.items():
            array = future.result()
            self.opened[number] = (array, array if array.dtype == CAST else ts.cast(array, CAST))

    def stored(self, number):
        return self.opened[number][0]

    def cast(self, number):
        return self.opened[number][1]


def reader(context):
    options = context.options
    arrays = Arrays(context, options)
    shape = [context.batch, *context.shape]
    buffers = deque(np.zeros(shape, np.float32) for _ in range(options.in_flight + 1))

    def begin(boxes):
        arrays.open(number for number, _ in boxes)
        if options.mode == "stack":
            layers = [arrays.cast(number)[box].translate_to[0] for number, box in boxes]
            return ts.stack(layers).read()
        if options.mode == "write":
            buffer = buffers.popleft()
            target = ts.array(buffer, dtype=CAST, context=arrays.context)
            return buffer, [
                target[i].write(arrays.cast(number)[box].translate_to[0]) for i, (number, box) in enumerate(boxes)
            ]
        pick = arrays.cast if options.mode == "casts" else arrays.stored
        return [pick(number)[box].read() for number, box in boxes]

    def finish(pending):
        if options.mode == "stack":
            return pending.result()
        if options.mode == "write":
            buffer, futures = pending
            for future in futures:
                future.result()
            buffers.append(buffer)
            return buffer
        buffer = buffers.popleft()
        for row, future in zip(buffer, pending):
            row[...] = future.result()
        buffers.append(buffer)
        return buffer

    flight = deque()
    for boxes in context.batches():
        flight.append(begin(boxes))
        if len(flight) >= options.in_flight:
            yield finish(flight.popleft())
    while flight:
        yield finish(flight.popleft())


def main():
    parser = arguments(__doc__)
    parser.add_argument("--mode", choices=["write", "reads", "casts", "stack"], default="write")
    parser.add_argument("--in-flight", type=int, default=2, help="batches being read at once")
    parser.add_argument("--copy-threads", type=int, default=0, help="data_copy_concurrency; 0: threads")
    parser.add_argument("--io-threads", type=int, default=8, help="file_io_concurrency")
    parser.add_argument("--recheck", default="open", help="recheck_cached_data")
    options = parser.parse_args()
    context = Context(options)
    settings = {name: getattr(options, name) for name in ("mode", "in_flight", "copy_threads", "io_threads", "recheck")}
    run("tensorstore", settings | {"cache": context.cache, "version": "0.1"}, context, reader)


if __name__ == "__main__":
    main()
