#!/usr/bin/env python3
"""run.py - runs the benchmarks through hyperfine, keeps what came out, and compares it with an earlier run.

    run.py run                 measures, prints a table, writes last.json, table.md and bench.svg
    run.py save NAME           likewise, and keeps the run as a baseline
    run.py compare NAME        likewise, and says what has changed since the baseline: compare.md, compare.svg

Everything lies in $BUILD/bench/out: hyperfine's own JSON in hyperfine/, baselines in base-NAME.json.

Environment: BUILD (build), BENCH (only benchmarks whose name contains it, or fits it as a pattern such as
'search/f32-*'), BENCH_RUNS (10), BENCH_ROWS (20000) of the generated collections, CORE (pinned to it), THRESHOLD
(2: percent below which a change is none), LAST=1 (nothing is measured: the last run is saved or compared),
VECSTORE_DATA (a folder with real sets, which are searched as well).

Needs Python 3.9 and hyperfine.
"""
import csv
import fnmatch
import json
import os
import pathlib
import platform
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Callable, Optional

import picture
import stats

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("BUILD", "build")).absolute()
OUT = BUILD / "bench" / "out"
DATA = BUILD / "bench" / "data"
SHELL = BUILD / "vecstore"
RUNS = int(os.environ.get("BENCH_RUNS", "10"))
ROWS = int(os.environ.get("BENCH_ROWS", "20000"))
PASSES = 2  # over all benchmarks, so that what else the machine does for a while does not hit all runs of one
DIM, BITS, CLUSTERS, QUERIES, K = 128, 512, 200, 100, 10
KEYS, COMMITS, WARMUP = 1000, 200, 1
NUMBERS = [(t, m) for t in ("f32", "f16", "bf16", "u8", "i8") for m in ("l2", "ip", "cosine", "l1")]
REAL = [("fashion-mnist", "u8", "l2", "gt"), ("sift-photo", "u8", "l2", "gt"), ("words-sgns100", "f32", "cosine", "gt"),
        ("words-sgns100", "f32", "ip", "gt_ip"), ("products", "f32", "cosine", "gt"),
        ("bible-bge-large", "f32", "cosine", "gt")]


def fail(why):
    sys.exit(f"bench: {why}")


def command(*words):
    return shlex.join(str(w) for w in words)


def run(*words):
    """A command that must succeed, silently."""
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True)
    if done.returncode:
        fail(f"{command(*words)}: status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


# ---- what is measured ----------------------------------------------------------------------------


@dataclass
class Benchmark:
    """A command and what it needs; searches are measured within the process, by `vecstore bench`."""
    name: str
    argv: list
    needs: Callable = lambda: None
    prepare: Optional[str] = None  # before each run, by sh
    work: int = 0  # of one run: how many rows, records, commits
    unit: str = ""
    is_search: bool = False
    stdin: Optional[pathlib.Path] = None


def database(name):
    return DATA / f"{name}.vs"


def remove(name):
    for file in DATA.glob(f"{name}.vs*"):
        file.unlink()


def create(name, dim, kind, metric, source=None):
    """Anew in each run of this program: the code under test writes its databases itself."""
    remove(name)
    run(SHELL, database(name), "create", "c", "--dim", dim, "--type", kind, "--metric", metric)
    if source:
        run(SHELL, database(name), "import", "c", source)


def once(make):
    """make(key...) the first time that its key is asked for."""
    seen = set()

    def ask(*key):
        if key not in seen:
            seen.add(key)
            make(*key)

    return ask


def data_of(kind, rest):
    """Generated files stay, so their names say what they were made of."""
    return DATA / f"{kind}-{ROWS}-{QUERIES}-{CLUSTERS}-{rest}"


@once
def vectors(kind):
    """Base and queries of generated data: bytes or bits. The same in every run, so files that are there serve."""
    dim = BITS if kind == "bits" else DIM
    for part, rows in (("base", ROWS), ("query", QUERIES)):
        path = data_of(kind, f"{part}.bvecs")
        if not path.exists():
            with open(DATA / "new", "wb") as file:
                subprocess.run([BUILD / "bench/clusters", kind, str(rows), str(dim), str(CLUSTERS),
                                str(int(part == "query"))], stdout=file, check=True)
            (DATA / "new").rename(path)


def base_of(kind):
    return data_of(kind, "base.bvecs")


def queries_of(kind):
    return data_of(kind, "query.bvecs")


def truth_of(kind, metric):
    return data_of(kind, f"{metric}.ivecs")


@once
def truth(kind, metric):
    """By a plain loop of a program that shares nothing with vecstore. Elements are numbers that all types have."""
    vectors(kind)
    path = truth_of(kind, metric)
    if not path.exists():
        with open(DATA / "new", "wb") as file:
            subprocess.run([BUILD / "bench/makevecs", "nearest", metric, str(K), base_of(kind), queries_of(kind)],
                           stdout=file, check=True)
        (DATA / "new").rename(path)


@once
def collection(kind, element, metric):
    vectors(kind)
    create(f"{element}-{metric}", BITS if kind == "bits" else DIM, element, metric, base_of(kind))


@once
def exported():
    collection("bytes", "f32", "l2")
    for suffix in ("fvecs", "jsonl"):
        run(SHELL, database("f32-l2"), "export", "c", DATA / f"f32.{suffix}")


@once
def unclosed():
    """What a killed process leaves: all of it is in the log."""
    collection("bytes", "f32", "l2")
    create("log", DIM, "f32", "l2")
    shell = subprocess.Popen([SHELL, database("log")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True)
    shell.stdin.write(f"import c {shlex.quote(str(base_of('bytes')))}\ncount c\n")
    shell.stdin.flush()
    while shell.poll() is None and shell.stdout.readline().strip() != str(ROWS):
        pass
    shell.send_signal(signal.SIGKILL)
    shell.wait()
    folder = DATA / "log"
    folder.mkdir(exist_ok=True)
    for file in folder.iterdir():
        file.unlink()
    for file in DATA.glob("log.vs*"):
        file.rename(folder / file.name)


@once
def puts():
    vector = "[" + ",".join(str(i % 128) for i in range(DIM)) + "]"
    (DATA / "puts.txt").write_text("".join(f"put c {i} '{vector}'\n" for i in range(COMMITS)))


def fresh(name, *create_words):
    """A script that leaves an empty collection."""
    file = shlex.quote(str(database(name)))
    return f"rm -f {file} {file}-*; {command(SHELL, database(name), 'create', 'c', *create_words)}"


def search(name, db, queries, truth_file, needs):
    return Benchmark(f"search/{name}", [SHELL, database(db), "bench", "c", "--queries", queries, "--truth", truth_file,
                                        "-k", K, "--mode", "csv"], needs, is_search=True)


def searches():
    for kind, pairs in (("bytes", NUMBERS), ("bits", [("bit", "hamming"), ("bit", "jaccard")])):
        for element, metric in pairs:
            yield search(f"{element}-{metric}", f"{element}-{metric}", queries_of(kind), truth_of(kind, metric),
                         lambda k=kind, e=element, m=metric: (truth(k, m), collection(k, e, m)))
    slice_of = ROOT / "examples/data"
    yield search("slice-u8-l2", "slice", slice_of / "query.bvecs.zst", slice_of / "gt.ivecs",
                 once(lambda: create("slice", 784, "u8", "l2", slice_of / "base.bvecs.zst")))


def real_set(key, element, metric, base, queries):
    """A collection of a real set, and the first of its queries."""
    with open(queries, "rb") as file:
        head = file.read(4)
        dim = int.from_bytes(head, "little")
        row_bytes = 4 + dim * (1 if queries.suffix == ".bvecs" else 4)
        few = head + file.read(QUERIES * row_bytes - 4)
    (DATA / f"{key}{queries.suffix}").write_bytes(few)
    create(key, dim, element, metric, base)


def real_searches():
    """The sets of VECSTORE_DATA that are there."""
    for name, element, metric, truth_name in REAL:
        folder = pathlib.Path(os.environ.get("VECSTORE_DATA") or "/nowhere") / name
        bases, queries = sorted(folder.glob("base.?vecs*")), sorted(folder.glob("query.?vecs"))
        if bases and queries:
            key = f"{name}-{metric}"
            yield search(key, key, DATA / f"{key}{queries[0].suffix}", folder / f"{truth_name}.ivecs",
                         once(lambda made=(key, element, metric, bases[0], queries[0]): real_set(*made)))


def whole_commands():
    """Benchmarks of processes: from exec to exit."""
    plain = database("f32-l2")
    has_plain = lambda: collection("bytes", "f32", "l2")  # noqa: E731
    log, copy = DATA / "log", database("copy")
    keys = [i * 7919 % ROWS for i in range(min(KEYS, ROWS))]
    slice_of = ROOT / "examples/data"
    yield Benchmark("open/closed", [SHELL, plain, "ls"], has_plain)
    yield Benchmark("open/mapped", [SHELL, plain, "ls", "--mmap"], has_plain)
    yield Benchmark("open/log", [SHELL, copy, "count", "c"], unclosed, work=ROWS, unit="rows",
                    prepare=f"rm -f {copy} {copy}-*; for f in {log}/log.vs*; do cp $f {DATA}/copy.vs${{f#{log}/log.vs}}; done")
    yield Benchmark("import/fvecs", [SHELL, database("new"), "import", "c", DATA / "f32.fvecs"], exported,
                    prepare=fresh("new", "--dim", DIM), work=ROWS, unit="rows")
    yield Benchmark("import/jsonl", [SHELL, database("new"), "import", "c", DATA / "f32.jsonl"], exported,
                    prepare=fresh("new", "--dim", DIM), work=ROWS, unit="rows")
    yield Benchmark("import/slice", [SHELL, database("new"), "import", "c", slice_of / "base.bvecs.zst"],
                    prepare=fresh("new", "--dim", 784, "--type", "u8"), work=5000, unit="rows")
    yield Benchmark("commit/single", [SHELL, database("new")], puts, prepare=fresh("new", "--dim", DIM),
                    stdin=DATA / "puts.txt", work=COMMITS, unit="commits")
    yield Benchmark("get/keys", [SHELL, plain, "get", "c", *keys, "--mode", "jsonl"], has_plain, work=len(keys),
                    unit="records")
    yield Benchmark("scan/records", [SHELL, plain, "scan", "c", "--mode", "jsonl"], has_plain, work=ROWS, unit="records")
    yield Benchmark("scan/vectors", [SHELL, plain, "scan", "c", "--mode", "jsonl", "--vectors"], has_plain, work=ROWS,
                    unit="records")
    yield Benchmark("export/fvecs", [SHELL, plain, "export", "c", DATA / "out.fvecs"], has_plain, work=ROWS, unit="rows")
    yield Benchmark("export/jsonl", [SHELL, plain, "export", "c", DATA / "out.jsonl"], has_plain, work=ROWS, unit="rows")
    yield Benchmark("recall/loop", [SHELL, plain, "recall", "c", "--queries", queries_of("bytes")], has_plain,
                    work=QUERIES, unit="queries")
    yield Benchmark("check/level-3", [SHELL, plain, "check"], has_plain, work=ROWS, unit="rows")


def chosen():
    pattern = os.environ.get("BENCH", "")
    every = [*whole_commands(), *searches(), *real_searches()]
    taken = [b for b in every if pattern in b.name or fnmatch.fnmatch(b.name, pattern)]
    if not taken:
        fail(f"no benchmark fits '{pattern}'; there are: {' '.join(b.name for b in every)}")
    return taken


# ---- measuring -----------------------------------------------------------------------------------


def hyperfine(bench, argv, number):
    """The times of a pass's runs, in seconds."""
    path = OUT / "hyperfine" / f"{bench.name.replace('/', '-')}.{number}.json"
    pin = ["taskset", "-c", os.environ["CORE"]] if os.environ.get("CORE") else []
    runs = (RUNS + PASSES - 1) // PASSES
    options = ["--shell=none", "--style=none", f"--warmup={WARMUP}", f"--runs={runs}", f"--export-json={path}"]
    if bench.prepare:
        options.append(f"--prepare={command('sh', '-ec', bench.prepare)}")
    # hyperfine of Debian 12 knows no --input: sh gives the file to the command.
    words = ["sh", "-c", f"exec {command(*argv)} <{shlex.quote(str(bench.stdin))}"] if bench.stdin else argv
    if bench.prepare:
        run("sh", "-ec", bench.prepare)
    run(*words)  # once outside of hyperfine, which does not say why a command fails
    run(*pin, "hyperfine", *options, command(*words))
    return json.loads(path.read_text())["results"][0]["times"]


def measure(bench, number, figures):
    """Adds the samples of a pass. Of a search it is the median time of a query in a run, which does not hang on a few
    slow ones; each run prints a line of figures."""
    if not bench.is_search:
        figures["samples"] += hyperfine(bench, bench.argv, number)
        return
    lines = OUT / "search.csv"
    lines.write_text("")
    hyperfine(bench, ["sh", "-c", f"{command(*bench.argv)} >>{shlex.quote(str(lines))}"], number)
    rows = [r for r in csv.reader(lines.read_text().splitlines()) if len(r) == 5 and r[0] != "params"][1 + WARMUP:]
    for key, column in (("recall", 1), ("qps", 2), ("p99_us", 4)):
        figures.setdefault(key, []).extend(float(r[column]) for r in rows)
    figures["samples"] += [float(r[3]) * 1e-6 for r in rows]


def result_of(bench, figures):
    samples = figures["samples"]
    if not bench.is_search:
        return {"name": bench.name, "samples": samples, "unit": bench.unit,
                "rate": bench.work / stats.median(samples) if bench.work else None}
    return {"name": bench.name, "samples": samples, "unit": "queries", "rate": stats.median(figures["qps"]),
            "recall": min(figures["recall"]), "p99_us": stats.median(figures["p99_us"])}


def processor():
    try:
        names = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.machine()


def measure_all():
    for folder in (OUT / "hyperfine", DATA):
        folder.mkdir(parents=True, exist_ok=True)
    benches = chosen()
    figures = {b.name: {"samples": []} for b in benches}
    for number in range(1, PASSES + 1):
        for bench in benches:
            print(f"  {number} {bench.name}", file=sys.stderr, flush=True)
            bench.needs()
            measure(bench, number, figures[bench.name])
    return {"processor": processor(), "rows": ROWS, "runs": len(figures[benches[0].name]["samples"]),
            "benchmarks": [result_of(b, figures[b.name]) for b in benches]}


# ---- what came out -------------------------------------------------------------------------------


def duration(seconds):
    for unit, size in (("s", 1), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size or unit == "us":
            return f"{seconds / size:.3g} {unit}"


def markdown(head, rows):
    widths = [max(len(str(r[i])) for r in [head, *rows]) for i in range(len(head))]
    lines = ["| " + " | ".join(str(c).ljust(w) for c, w in zip(r, widths)) + " |" for r in [head, *rows]]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines) + "\n"


def figures_row(result, low, high):
    some, severe = stats.outliers(result["samples"])
    strays = f"{some} ({severe} severe)" if severe else str(some)
    rate = f"{result['rate']:,.0f} {result['unit']}/s" if result["rate"] else ""
    inner = [f"{result['recall']:.4f}", f"{result['p99_us']:.0f}"] if "recall" in result else ["", ""]
    return [result["name"], duration(stats.median(result["samples"])), f"{duration(low)} .. {duration(high)}", strays,
            rate, *inner]


def report(run_of):
    """The table, and the picture of it: processes in one group, queries in the other."""
    rows, groups = [], {False: [], True: []}
    for result in run_of["benchmarks"]:
        low, high = stats.median_interval(result["samples"])
        middle = stats.median(result["samples"])
        rows.append(figures_row(result, low, high))
        groups["recall" in result].append(picture.Row(result["name"], middle, low, high, duration(middle)))
    head = ["benchmark", "median", "95 % interval", "outliers", "rate", "recall@10", "p99 us"]
    table = markdown(head, rows)
    (OUT / "table.md").write_text(table)
    picture.write(OUT / "bench.svg", "vecstore: make bench", f"Medians of {run_of['runs']} runs, with their 95 % intervals",
                  [picture.Group("A process", groups[False]), picture.Group("One exact search", groups[True])],
                  tick_text=duration)
    print(table)
    print(f"{run_of['runs']} runs each, {run_of['rows']} rows; searches: p50 of a query, within the process. "
          f"Wrote {OUT / 'table.md'} and bench.svg")


def percent(share):
    return f"{100 * share:+.1f} %"


KINDS = {"improved": "good", "regressed": "bad"}


def comparison(before, after, threshold):
    """Table and picture rows of what both runs have."""
    old = {b["name"]: b for b in before["benchmarks"]}
    rows, marks = [], []
    for result in after["benchmarks"]:
        if result["name"] not in old:
            rows.append([result["name"], "", duration(stats.median(result["samples"])), "", "", "new"])
            continue
        samples = old[result["name"]]["samples"]
        change = stats.compare(samples, result["samples"], threshold)
        rows.append([result["name"], duration(stats.median(samples)), duration(stats.median(result["samples"])),
                     percent(change.ratio), f"{percent(change.low)} .. {percent(change.high)}", change.verdict])
        marks.append(picture.Row(result["name"], change.ratio, change.low, change.high,
                                 f"{percent(change.ratio)}  {change.verdict}", KINDS.get(change.verdict, "none")))
    return rows, marks


def compare(before, after, name, threshold):
    if before["rows"] != after["rows"]:
        fail(f"baseline '{name}' has {before['rows']} rows, this run {after['rows']}: not to be compared")
    if before["processor"] != after["processor"]:
        print(f"baseline '{name}' is from another machine: {before['processor']}", file=sys.stderr)
    rows, marks = comparison(before, after, threshold)
    if not marks:
        fail(f"baseline '{name}' has none of these benchmarks")
    table = markdown(["benchmark", "before", "after", "change", "95 % interval", "verdict"], rows)
    (OUT / "compare.md").write_text(table)
    picture.write(OUT / "compare.svg", f"vecstore: time since '{name}'", "Change of the median, with its 95 % interval; less is better",
                  [picture.Group("Change", marks)], is_log=False, tick_text=percent)
    print(table)
    verdicts = [r[-1] for r in rows]
    print(", ".join(f"{verdicts.count(v)} {v}" for v in dict.fromkeys(verdicts)) +
          f". Intervals: bootstrap of the medians' ratio; a change within {100 * threshold:g} % is none.")


# ---- commands ------------------------------------------------------------------------------------


def read_run(path, what):
    if not path.exists():
        fail(f"there is no {what}: {path}")
    return json.loads(path.read_text())


def last_run():
    path = OUT / "last.json"
    if os.environ.get("LAST"):
        return read_run(path, "last run")
    measured = measure_all()
    path.write_text(json.dumps(measured, indent=1))
    report(measured)
    return measured


def main(words):
    if words not in (["run"],) and (len(words) != 2 or words[0] not in ("save", "compare")):
        sys.exit(__doc__)
    baseline = OUT / f"base-{words[-1]}.json"
    before = read_run(baseline, f"baseline '{words[1]}' (make bench-save)") if words[0] == "compare" else None
    after = last_run()
    if words[0] == "save":
        baseline.write_text(json.dumps(after, indent=1))
        print(f"saved as '{words[1]}': {baseline}")
    elif before:
        compare(before, after, words[1], float(os.environ.get("THRESHOLD", 100 * stats.THRESHOLD)) / 100)


if __name__ == "__main__":
    main(sys.argv[1:])
