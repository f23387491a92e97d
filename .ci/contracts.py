"""Keeps the last column of CONTRACTS.md: the tests, models and fuzz targets that name a contract.

Usage: contracts.py          rewrites the column
       contracts.py --check  fails if it is out of date, or if a contract has neither a test nor a reason below

A test names a contract in its name (`c07_...`) or in the line above it (`/// C07, C22: ...`), a fuzz target in its first
line (`(C28, C29)`).
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "CONTRACTS.md"

# Why there is no test, or what there is besides.
NOTES = {
    "C24": "benches/src/bin/admission.rs measures it, since no test asserts times; `c22_*` show that a push wakes by an event, not by a tick",
    "C27": "no test: by review",
    **{f"C{number}": "issue 5" for number in range(45, 51)},
}


ROOMS = ["core", "engine", "fuzz/fuzz_targets", "loom-tests", "shuttle-tests", "tests"]


def sources():
    return sorted(str(file.relative_to(ROOT)) for room in ROOMS for file in (ROOT / room).rglob("*.rs"))


def named():
    """{contract: [(file, test)]}"""
    found = {}

    def add(contracts, file, test):
        for contract in contracts:
            entry = (file, test)
            if entry not in found.setdefault(contract, []):
                found[contract].append(entry)

    for file in sources():
        above = set()
        text = (ROOT / file).read_text()
        if file.startswith("fuzz/fuzz_targets/"):
            head = text[: text.index("#![no_main]")]
            spans = re.findall(r"C(\d\d) to C(\d\d)", head)
            numbers = {n for first, last in spans for n in range(int(first), int(last) + 1)}
            numbers |= {int(n) for n in re.findall(r"\bC(\d\d)\b", head)}
            add([f"C{n:02}" for n in sorted(numbers)], file, "")
            continue
        for line in text.splitlines():
            words = line.strip()
            if words.startswith("///"):
                above |= set(re.findall(r"\bC\d\d\b", words))
            elif test := re.match(r"(?:pub )?(?:async )?fn (\w+)", words):
                name = test[1]
                own = {f"C{n}" for n in re.findall(r"(?:^|_)c(\d\d)(?=_)", name)}
                is_test = own or "/tests/" in file
                if is_test:
                    add(sorted(own | above), file, name)
                above = set()
            elif words and not words.startswith("#[") and not words.startswith("//"):
                above = set()
    return found


def cell(contract, found):
    by_file = {}
    for file, test in found.get(contract, []):
        by_file.setdefault(file, []).append(test)
    parts = [f"{file}" + "".join(f" `{test}`" for test in tests if test) for file, tests in sorted(by_file.items())]
    parts += [NOTES[contract]] if contract in NOTES else []
    return "; ".join(parts)


def main():
    found, lines, missing = named(), [], []
    for line in TABLE.read_text().splitlines():
        row = re.match(r"\| (C\d\d) \| (.*?) \| (.*?) \|", line)
        if row:
            tests = cell(row[1], found)
            if not tests:
                missing.append(row[1])
            line = f"| {row[1]} | {row[2]} | {row[3]} | {tests} |"
        lines.append(line)
    text = "\n".join(lines) + "\n"
    if missing:
        sys.exit(f"no test, no reason: {', '.join(missing)}")
    if "--check" not in sys.argv:
        TABLE.write_text(text)
    elif text != TABLE.read_text():
        sys.exit("CONTRACTS.md does not name the tests that there are: run .ci/contracts.py")


if __name__ == "__main__":
    main()
