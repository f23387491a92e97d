"""zarr-python as a peer, with one of its codec pipelines.

  batched  zarr-python's default
  fused    its synchronous pipeline (3.2 and later)
  zarrs    the one of the `zarrs` package (Rust)

Crops are read by a pool of threads, each straight into its row of the batch where the types agree, else cast by numpy.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from common import Context, arguments, run

PIPELINES = {
    "batched": "zarr.core.codec_pipeline.BatchedCodecPipeline",
    "fused": "zarr.core.codec_pipeline.FusedCodecPipeline",
    "zarrs": "zarrs.ZarrsCodecPipeline",
}


def configure(context):
    import zarr

    options = context.options
    settings = {
        "codec_pipeline.path": PIPELINES[options.pipeline],
        "threading.max_workers": context.threads,
        "async.concurrency": options.concurrency,
    }
    if options.pipeline == "zarrs":
        import zarrs  # noqa: F401  (registers its pipeline)

        settings["codec_pipeline.chunk_concurrent_minimum"] = 1
    zarr.config.set(settings)
    return zarr


def reader(context):
    zarr = configure(context)
    opened = {}

    def fetch(job):
        row, (number, box) = job
        array = opened.get(number)
        if array is None:
            array = opened[number] = zarr.open_array(context.paths[number], mode="r")
        row[...] = array[box]

    batch = np.zeros([context.batch, *context.shape], np.float32)
    with ThreadPoolExecutor(context.options.crops or context.threads) as pool:
        for boxes in context.batches():
            for _ in pool.map(fetch, zip(batch, boxes)):
                pass
            yield batch


def main():
    parser = arguments(__doc__)
    parser.add_argument("--pipeline", choices=sorted(PIPELINES), default="zarrs")
    parser.add_argument("--crops", type=int, default=0, help="crops read at once; 0: threads")
    parser.add_argument("--concurrency", type=int, default=10, help="zarr's async.concurrency")
    options = parser.parse_args()
    context = Context(options)
    settings = {name: getattr(options, name) for name in ("pipeline", "crops", "concurrency")}
    run("zarr-python", settings, context, reader)


if __name__ == "__main__":
    main()
