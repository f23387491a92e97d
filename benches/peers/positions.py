"""Where the crops of a scenario stand; the same numbers as benches/src/positions.rs, whose head defines them.

Run `positions.py SCENARIO.json COUNT` to print one line `array start...` per sample.
"""

import json
import sys

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
TILES_SALT = 0x74696C65


def mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def draw(seed, a, b, n):
    key = mix((mix((seed + GOLDEN) & MASK) + a * GOLDEN) & MASK)
    return (mix((key + (b + 1) * GOLDEN) & MASK) * n) >> 64


def positions(scenario, count):
    """List of (array, [start per axis]) for samples 0..count."""
    shape, extent = scenario["arrays"]["shape"], scenario["sample_shape"]
    arrays, seed = scenario["arrays"]["count"], scenario["seed"]
    if scenario["sampling"] == "random":
        return [
            (
                draw(seed, sample, 0, arrays),
                [draw(seed, sample, axis + 1, n - e + 1) for axis, (n, e) in enumerate(zip(shape, extent))],
            )
            for sample in range(count)
        ]
    grid = [n // e for n, e in zip(shape, extent)]
    per_array = 1
    for n in grid:
        per_array *= n
    out, number = [], 0
    while len(out) < count:
        order = list(range(per_array * arrays))
        for i in range(len(order) - 1, 0, -1):
            j = draw(seed ^ TILES_SALT, number, i, i + 1)
            order[i], order[j] = order[j], order[i]
        for tile in order[: count - len(out)]:
            start, rest = [0] * len(grid), tile % per_array
            for axis in reversed(range(len(grid))):
                start[axis] = rest % grid[axis] * extent[axis]
                rest //= grid[axis]
            out.append((tile // per_array, start))
        number += 1
    return out


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        chosen = json.load(file)
    for array, start in positions(chosen, int(sys.argv[2])):
        print(array, *start)
