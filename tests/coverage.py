#!/usr/bin/python3
"""coverage.py BUILD [LAYER] - which branches the programs in BUILD have taken, by module.

What they counted is added up over all objects of the library: the modules compiled one by one, and
vecstore.c in each way that the tests build it; a line of vecstore.c is the line of the module that it
was made from. Branches of assertions do not count. tests/coverage.allow names branches of LAYER (store)
that are never taken, and why; it says how it is written.

Ends with 1 when less than LIMIT percent of LAYER's branches were taken, or when the list has an entry
that does not apply any more."""
import json
import re
import subprocess
import sys
from pathlib import Path

LIMIT = 95.0
ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "amalgamation/src"
MARKER = re.compile(r"^/\* ---- (\w+/\w+\.\w+) -{60,} \*/$")
OBJECTS = ["modules/*/*.gcno", "vecstore.gcno", "tests/vecstore-*.gcno"]


def fail(text):
    sys.exit(f"coverage: {text}")


def lines_of(path):
    return path.read_text().split("\n")


def whole_map():
    """Line of vecstore.c -> (module, line), checked against the modules' text."""
    places, module, start, text = {}, None, 0, []
    for number, line in enumerate(lines_of(ROOT / "vecstore.c"), 1):
        marker = MARKER.match(line)
        if marker:
            module, start = marker.group(1), number
            text = lines_of(SOURCES / module)
        elif module and number - start <= len(text):
            own = text[number - start - 1]
            if line != own and not own.lstrip().startswith("#"):
                fail(f"vecstore.c:{number} is not {module}:{number - start}; make amalgamation")
            places[number] = (module, number - start)
    return places


def assertion_lines(text):
    """Numbers of the lines that a vsi_assert(...) stands on."""
    found, depth = set(), 0
    for number, line in enumerate(text, 1):
        at = 0
        if not depth:
            at = line.find("vsi_assert(")
            if at < 0 or line.startswith("#"):
                continue
        found.add(number)
        for c in line[at:]:
            depth += (c == "(") - (c == ")")
    return found


class Module:
    def __init__(self, name):
        self.name = name
        self.text = lines_of(SOURCES / name)
        self.asserted = assertion_lines(self.text)
        self.runs, self.branches = {}, {}  # by line and function: a macro's line may have several

    def add(self, number, line):
        place = (number, line.get("function_name", ""))
        self.runs[place] = self.runs.get(place, 0) + line["count"]
        counts = [b["count"] for b in line["branches"]]
        if not counts or number in self.asserted:
            return
        known = self.branches.setdefault(place, [0] * len(counts))
        if len(known) != len(counts):
            fail(f"{self.name}:{number} has {len(known)} branches in one object, {len(counts)} in another")
        self.branches[place] = [a + b for a, b in zip(known, counts)]

    def missed(self):
        """Lines with branches never taken: ((line, function), indices)."""
        for place in sorted(self.branches):
            never = [i for i, n in enumerate(self.branches[place]) if not n]
            if never:
                yield place, never

    def totals(self):
        counts = [n for line in self.branches.values() for n in line]
        return (len(self.runs), sum(n > 0 for n in self.runs.values()), len(counts),
                sum(n > 0 for n in counts))


def read_object(gcno, whole, modules):
    run = subprocess.run(["gcov", "--json-format", "--branch-probabilities", "--stdout", gcno.name],
                         cwd=gcno.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
    for file in json.loads(run.stdout)["files"]:
        path = file["file"]
        for line in file["lines"]:
            number = line["line_number"]
            if path == "vecstore.c":
                place = whole.get(number)
            elif path.startswith("amalgamation/src/"):
                place = (path[len("amalgamation/src/"):], number)
            else:
                place = None
            if place and place[0].endswith(".c"):
                name = place[0]
                if name not in modules:
                    modules[name] = Module(name)
                modules[name].add(place[1], line)


class Allowed:
    """An entry of the list: `MODULE FUNCTION COUNT`, then indented the line's text, then the reason."""

    def __init__(self, where, head, body):
        words = head.split()
        if len(words) != 3 or len(body) < 2:
            fail(f"{where}: expected MODULE FUNCTION COUNT, the line's text and a reason")
        self.where, self.module, self.function = where, words[0], words[1]
        self.is_certain, self.count = not words[2].endswith("?"), int(words[2].rstrip("?"))
        self.text = body[0].strip()

    def take(self, modules):
        """How many never taken branches it explains, by line; None: there is no such line."""
        module = modules.get(self.module)
        found = [place for place in module.runs
                 if place[1] == self.function and module.text[place[0] - 1].strip() == self.text] if module else []
        if not found:
            return None
        return {place: sum(not c for c in module.branches.get(place, [])) for place in found}


def read_allowed(path):
    entries, head, body, start = [], None, [], 0
    for number, line in enumerate(lines_of(path) + [""], 1):
        if line.startswith("#"):
            continue
        if line[:1].isspace() and head:
            body.append(line)
            continue
        if head:
            entries.append(Allowed(f"{path.name}:{start}", head, body))
        head, body, start = line.strip() or None, [], number
    return entries


def explain(entries, modules):
    """Never taken branches that the list explains, by (module, place); and what is wrong with it."""
    explained, stale = {}, []
    for entry in entries:
        never = entry.take(modules)
        if never is None:
            stale.append(f"{entry.where}: {entry.function} of {entry.module} has no such line: {entry.text}")
            continue
        if entry.is_certain and not any(never.values()):
            stale.append(f"{entry.where}: {entry.module}: all branches are taken: {entry.text}")
        for place, count in never.items():
            key = (entry.module, place)
            explained[key] = explained.get(key, 0) + min(count, entry.count)
    return explained, stale


def print_table(modules, layer):
    print(f"{'module':24} {'lines':>6} {'run':>6} {'branches':>9} {'taken':>6} {'percent':>8}")
    sums = {}
    for name in sorted(modules):
        own = modules[name].totals()
        key = name.split("/")[0]
        sums[key] = [a + b for a, b in zip(sums.get(key, [0] * 4), own)]
        if key == layer:
            print_row(name, own)
    for key in sums:
        print_row(f"{key}, all", sums[key])
    return sums[layer]


def print_row(name, totals):
    share = 100.0 * totals[3] / totals[2] if totals[2] else 100.0
    print(f"{name:24} {totals[0]:6} {totals[1]:6} {totals[2]:9} {totals[3]:6} {share:8.2f}")


def print_missed(modules, layer, explained):
    """Each line with branches never taken; returns how many of them nothing explains."""
    unexplained = 0
    for name in sorted(modules):
        if not name.startswith(layer + "/"):
            continue
        module = modules[name]
        for place, never in module.missed():
            number, function = place
            known = min(explained.get((name, place), 0), len(never))
            unexplained += len(never) - known
            word = "explained" if known == len(never) else "NOT explained"
            which = ", ".join(str(i + 1) for i in never)
            print(f"{name}:{number}: {function}: branch {which} of "
                  f"{len(module.branches[place])}, {word}: {module.text[number - 1].strip()}")
    return unexplained


def main():
    build = Path(sys.argv[1])
    layer = sys.argv[2] if len(sys.argv) > 2 else "store"
    whole, modules = whole_map(), {}
    for pattern in OBJECTS:
        for gcno in sorted(build.glob(pattern)):
            read_object(gcno, whole, modules)
    if not any(name.startswith(layer + "/") for name in modules):
        fail(f"{build} has no counts of layer {layer}")
    explained, stale = explain(read_allowed(ROOT / "tests/coverage.allow"), modules)
    unexplained = print_missed(modules, layer, explained)
    print()
    totals = print_table(modules, layer)
    share, never = 100.0 * totals[3] / totals[2], totals[2] - totals[3]
    for problem in stale:
        print(problem)
    print(f"{layer}: {totals[3]} of {totals[2]} branches taken, {share:.2f} percent, expected {LIMIT:.0f}; "
          f"{never} never, {never - unexplained} of them explained")
    is_good = share >= LIMIT and not stale
    print(f"coverage: {int(is_good)} passed, {int(not is_good)} failed, 0 skipped")
    return 0 if is_good else 1


sys.exit(main())
