#!/usr/bin/env python3
"""bench_stats.py - claims about the comparison of benchmarks and the recall of peers, on samples that are made up.

    bench_stats.py                lists the claims
    bench_stats.py NAME FOLDER    proves one; FOLDER is for what it writes
"""
import contextlib
import io
import json
import pathlib
import random
import sys
import xml.etree.ElementTree

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[2] / folder) for folder in ("bench", "bench/peers")]
import peers  # noqa: E402
import picture  # noqa: E402
import run  # noqa: E402
import stats  # noqa: E402

TRIES = 40


def samples(seed, count=12, middle=1.0, spread=0.03):
    """Times of a benchmark whose runs differ by a few percent, and are never faster than they can be."""
    draw = random.Random(seed)
    return [middle * (1 + abs(draw.gauss(0, spread))) for _ in range(count)]


def verdicts(factor, **shape):
    return [stats.compare(samples(2 * i, **shape), [factor * v for v in samples(2 * i + 1, **shape)]).verdict
            for i in range(TRIES)]


def quick(claim):
    """With fewer resamples, where many comparisons are made."""

    def with_fewer(_):
        stats.RESAMPLES = 600
        claim(_)

    return with_fewer


def the_median_is_the_middle(_):
    assert stats.median([3, 1, 2]) == 2
    assert stats.median([4, 1, 3, 2]) == 2.5


@quick
def equal_runs_are_called_different_in_less_than_one_of_ten(_):
    found = verdicts(1.0)
    assert found.count("no change") >= TRIES * 9 // 10, found


@quick
def a_tenth_less_time_is_an_improvement(_):
    found = verdicts(0.9)
    assert found.count("improved") >= TRIES * 9 // 10, found


@quick
def a_tenth_more_time_is_a_regression(_):
    found = verdicts(1.1)
    assert found.count("regressed") >= TRIES * 9 // 10, found


def a_change_within_the_threshold_is_none(_):
    before = [1 + i * 1e-6 for i in range(10)]
    after = [1.015 * v for v in before]
    assert stats.compare(before, after).verdict == "no change"
    assert stats.compare(before, after, threshold=0.01).verdict == "regressed"
    assert stats.compare(after, before, threshold=0.01).verdict == "improved"


def an_interval_across_the_threshold_decides_nothing(_):
    before, after = [1.0] * 10, [0.9] * 5 + [1.3] * 5
    change = stats.compare(before, after)
    assert change.low < 0 < change.high, change
    assert change.verdict == "no change", change


def two_slow_runs_of_ten_change_nothing(_):
    before = samples(1, count=10, spread=0.004)
    assert stats.compare(before, before[:8] + [5.0, 9.0]).verdict == "no change"


def four_samples_are_too_few(_):
    assert stats.compare([1.0] * 4, [2.0] * 10).verdict == "too few samples"
    assert stats.compare([1.0] * 10, [2.0] * 4).verdict == "too few samples"
    assert stats.compare([1.0] * 5, [2.0] * 5).verdict == "regressed"


def the_change_is_that_of_the_medians(_):
    change = stats.compare([1.0, 2.0, 3.0, 4.0, 100.0], [1.5, 3.0, 4.5, 6.0, 7.0])
    assert change.ratio == 0.5
    assert change.low <= change.ratio <= change.high


def the_same_samples_give_the_same_answer(_):
    a, b = samples(5), samples(6)
    assert stats.compare(a, b) == stats.compare(a, b)
    assert stats.median_interval(a) == stats.median_interval(a)


@quick
def intervals_hold_the_true_median_nine_times_of_ten(_):
    true = 1 + 0.03 * 0.67449  # of the absolute value of a normal number
    intervals = [stats.median_interval(samples(100 + i, count=10)) for i in range(3 * TRIES)]
    held = sum(low <= true <= high for low, high in intervals)
    assert held >= 3 * TRIES * 9 // 10, held


def more_samples_make_intervals_narrower(_):
    widths = [high - low for low, high in (stats.median_interval(samples(7, count=n)) for n in (8, 200))]
    assert widths[1] < widths[0] / 2, widths


def outliers_are_those_beyond_the_fences(_):
    even = [10, 11, 12, 13, 14, 15, 16, 17, 18]  # quartiles 12 and 16: fences at 6 and 22, at 0 and 28
    assert stats.outliers(even) == (0, 0)
    assert stats.outliers(even + [12, 16, 25]) == (1, 0)
    assert stats.outliers(even + [12, 16, 40, -20]) == (2, 2)


def made_up_run(factors, processor="a"):
    return {"processor": processor, "rows": 10, "runs": 10, "benchmarks": [
        {"name": name, "samples": [factor * v for v in samples(3, spread=0.005)], "rate": None, "unit": ""}
        for name, factor in factors.items()]}


def compared(folder, before, after):
    run.OUT = pathlib.Path(folder)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as warned:
        run.compare(before, after, "base", stats.THRESHOLD)
    lines = (run.OUT / "compare.md").read_text().splitlines()[2:]
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
    return {c[0]: c for c in cells}, warned.getvalue()


def the_table_names_each_verdict(folder):
    table, _ = compared(folder, made_up_run({"slower": 1, "faster": 1, "same": 1, "gone": 1}),
                        made_up_run({"slower": 1.2, "faster": 0.8, "same": 1.001, "added": 1}))
    assert [table[n][-1] for n in ("slower", "faster", "same", "added")] == \
        ["regressed", "improved", "no change", "new"], table
    assert table["slower"][3] == "+20.0 %" and table["faster"][3] == "-20.0 %", table
    assert "gone" not in table


def the_picture_of_a_comparison_is_well_formed(folder):
    compared(folder, made_up_run({"a<b>&c": 1, "d": 1}), made_up_run({"a<b>&c": 2, "d": 0.5}))
    tree = xml.etree.ElementTree.parse(run.OUT / "compare.svg")
    kinds = [g.get("class") for g in tree.iter("{http://www.w3.org/2000/svg}g")]
    assert kinds == ["bad", "good"], kinds


def what_is_nearer_to_the_right_is_more(folder):
    rows = [picture.Row(str(v), v, v, v) for v in (1, 10, 55, 900)]
    path = pathlib.Path(folder) / "x.svg"
    for is_log in (True, False):
        picture.write(path, "t", "n", [picture.Group("g", rows)], is_log)
        places = [float(c.get("cx")) for c in
                  xml.etree.ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}circle")]
        assert places == sorted(places) and len(set(places)) == 4, places
        assert min(places) >= picture.LABEL and max(places) <= picture.MARGIN + picture.LABEL + picture.PLOT, places


def a_baseline_of_another_size_is_refused(folder):
    other = {**made_up_run({"a": 1}), "rows": 11}
    try:
        compared(folder, other, made_up_run({"a": 1}))
    except SystemExit as end:
        assert "11 rows" in str(end)
    else:
        raise AssertionError("compared")


def a_baseline_of_another_machine_is_named(folder):
    _, warned = compared(folder, made_up_run({"a": 1}, "b"), made_up_run({"a": 1}))
    assert "another machine: b" in warned, warned


class Base:
    """Rows of one number: row i is at distance i * i of the query (0,), but row 4 is as near as row 3."""

    def row(self, i):
        return (float(3 if i == 4 else i),)


def right_ones(found, true=(0, 1, 2, 3)):
    return peers.correct_of(Base(), (0.0,), "l2", true, found)


def recall_counts_what_is_true(_):
    assert right_ones([3, 2, 1, 0]) == 4
    assert right_ones([0, 1, 7, 8]) == 2
    assert right_ones([7, 8, 9, 10]) == 0


def recall_counts_ties_and_no_row_twice(_):
    assert right_ones([0, 1, 2, 4]) == 4
    assert right_ones([0, 0, 0, 0]) == 1
    assert right_ones([0, 1, -1, -1]) == 2


def a_zero_vector_is_as_far_as_any_by_cosine(_):
    assert peers.distance("cosine", (0.0, 0.0), (1.0, 2.0)) == 1
    assert peers.distance("cosine", (2.0, 0.0), (1.0, 0.0)) == 0


def passes(qps, recall=1, **more):
    return [{"set": "s", "peer": "p", "interface": "native", "mode": "one", "qps": q, "p50_us": 1, "p99_us": 1,
             "recall": recall, **more} for q in qps]


def a_peer_has_the_median_of_its_passes_and_its_lowest_recall(_):
    lines = passes([10, 30, 20]) + passes([5, 7, 6], peer="vecstore f32") + passes([1], recall=0.5)
    own, other = sorted(peers.figures_of(lines), key=lambda f: f.qps)
    assert (own.peer, own.qps, own.low, own.high, own.recall) == ("vecstore f32", 6, 5, 7, 1)
    assert (other.qps, other.passes, other.recall) == (15, 4, 0.5)
    assert "| p | 15.0 | 1.0 .. 30.0 | 0.40 |" in peers.markdown([own, other])


def what_went_through_node_is_marked(_):
    text = peers.markdown(peers.figures_of(passes([1], interface="node") + passes([2], peer="q")))
    assert "| p * |" in text and "| q |" in text


# Claims are what takes a folder, used or not.
CLAIMS = {name: claim for name, claim in list(globals().items())
          if hasattr(claim, "__code__") and claim.__code__.co_varnames[:claim.__code__.co_argcount] in (("_",), ("folder",))}

if len(sys.argv) == 1:
    print("\n".join(CLAIMS))
else:
    CLAIMS[sys.argv[1]](sys.argv[2])
