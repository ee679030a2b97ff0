#!/usr/bin/env python3
"""peers.py - what came out of a run of bench/peers/run.sh.

    peers.py score BASE.fvecs QUERIES.fvecs TRUTH.ivecs METRIC K FOUND.ivecs    prints the recall
    peers.py summary RAW.csv FOLDER    writes peers.csv, peers.md and peers.svg, and prints the table

RAW.csv: set, peer, interface, pass, mode, queries, qps, p50_us, p99_us, recall. A row that was found counts once, when
it is one of the k true nearest, or as near as the k-th of them (ties), by a loop in double precision.
"""
import csv
import math
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import picture  # noqa: E402
import stats  # noqa: E402

MODES = {"one": "one query at a time", "batch": "a batch of 200 queries"}
HEAD = ["set", "peer", "interface", "pass", "mode", "queries", "qps", "p50_us", "p99_us", "recall"]


class Rows:
    """Vectors of a file, read one by one; all numbers take four bytes."""

    def __init__(self, path, letter):
        self.bytes = pathlib.Path(path).read_bytes()
        self.dim = struct.unpack_from("<i", self.bytes)[0]
        self.format = f"<{self.dim}{letter}"
        self.count = len(self.bytes) // (4 + 4 * self.dim)

    def row(self, i):
        return struct.unpack_from(self.format, self.bytes, i * (4 + 4 * self.dim) + 4)


def distance(metric, a, b):
    if metric == "l2":
        return math.fsum((x - y) * (x - y) for x, y in zip(a, b))
    dot, aa, bb = (math.fsum(x * y for x, y in zip(*p)) for p in ((a, b), (a, a), (b, b)))
    return 1 - dot / math.sqrt(aa * bb) if aa and bb else 1.0


def is_as_near(metric, limit, value):
    slack = 2e-6 if metric == "cosine" else 1e-5 * limit
    return value <= limit + slack


def correct_of(base, query, metric, true, found):
    """How many of the ids found are true; none counts twice."""
    limit = None
    right = 0
    for row in {i for i in found if i >= 0}:
        if row not in true:
            limit = distance(metric, query, base.row(true[-1])) if limit is None else limit
        right += row in true or is_as_near(metric, limit, distance(metric, query, base.row(row)))
    return right


def score(base_path, query_path, truth_path, metric, k, found_path):
    base, queries = Rows(base_path, "f"), Rows(query_path, "f")
    truth, found = Rows(truth_path, "i"), Rows(found_path, "i")
    right = sum(correct_of(base, queries.row(i), metric, truth.row(i)[:k], found.row(i)) for i in range(found.count))
    return right / (k * found.count)


class Figure:
    """A peer in a mode on a set: its passes."""

    def __init__(self, lines):
        self.set, self.peer, self.interface, self.mode = (lines[0][c] for c in ("set", "peer", "interface", "mode"))
        self.passes = len(lines)
        rates = [float(line["qps"]) for line in lines]
        self.qps, self.low, self.high = stats.median(rates), min(rates), max(rates)
        self.p50, self.p99 = (stats.median([float(line[c]) for line in lines]) for c in ("p50_us", "p99_us"))
        self.recall = min(float(line["recall"]) for line in lines)

    def label(self):
        return f"{self.peer} *" if self.interface == "node" else self.peer


def figures_of(lines):
    groups = {}
    for line in lines:
        groups.setdefault((line["set"], line["mode"], line["peer"]), []).append(line)
    return [Figure(g) for g in groups.values()]


def tables(figures):
    """By set and mode, the fastest first; ratios are to vecstore with floats."""
    for name in dict.fromkeys(f.set for f in figures):
        for mode, words in MODES.items():
            rows = sorted((f for f in figures if f.set == name and f.mode == mode), key=lambda f: -f.qps)
            own = [f.qps for f in rows if f.peer == "vecstore f32"]
            if rows:
                yield name, words, rows, own[0] if own else None


def markdown(figures):
    lines = []
    for name, words, rows, own in tables(figures):
        lines += [f"{name}, {words}:", "",
                  "| peer | QPS | lowest .. highest pass | vecstore / peer | p50 us | p99 us | recall@10 | passes |",
                  "|---|---|---|---|---|---|---|---|"]
        lines += [f"| {f.label()} | {f.qps:,.1f} | {f.low:,.1f} .. {f.high:,.1f} | {f'{own / f.qps:.2f}' if own else ''} | "
                  f"{f.p50:.0f} | {f.p99:.0f} | {f.recall:.4f} | {f.passes} |" for f in rows]
        lines.append("")
    return "\n".join(lines + ["\\* through node: its interface takes part of each query's time."]) + "\n"


def write_csv(path, figures):
    with open(path, "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["set", "mode", "peer", "interface", "passes", "qps", "qps_low", "qps_high", "p50_us", "p99_us", "recall"])
        out.writerows([f.set, f.mode, f.peer, f.interface, f.passes, f.qps, f.low, f.high, f.p50, f.p99, f.recall]
                      for f in figures)


def draw(path, figures):
    groups = [picture.Group(f"{name}: {words}", [
        picture.Row(f.label(), f.qps, f.low, f.high, f"{f.qps:,.0f}", "mark" if f.peer.startswith("vecstore") else "plain")
        for f in rows], "queries a second") for name, words, rows, _ in tables(figures)]
    picture.write(path, "Exact search beside others", "Queries a second: medians, lowest and highest pass; one core; * through node",
                  groups, tick_text="{:,g}".format)


def summary(raw_path, folder):
    with open(raw_path, newline="", encoding="utf-8") as file:
        figures = figures_of(list(csv.DictReader(file)))
    folder = pathlib.Path(folder)
    write_csv(folder / "peers.csv", figures)
    (folder / "peers.md").write_text(markdown(figures))
    draw(folder / "peers.svg", figures)
    print(markdown(figures))


if __name__ == "__main__":
    if sys.argv[1:2] == ["score"] and len(sys.argv) == 8:
        print(f"{score(*sys.argv[2:6], int(sys.argv[6]), sys.argv[7]):.4f}")
    elif sys.argv[1:2] == ["summary"] and len(sys.argv) == 4:
        summary(*sys.argv[2:])
    else:
        sys.exit(__doc__)
