"""stats.py - what samples of a benchmark say: medians, intervals, outliers, and whether two runs differ.

Samples are times, so less is better. The figure of a benchmark is the median of its samples, which outliers do not
move. Its interval, and that of a change, are percentiles of 10,000 bootstrap resamples (Efron, 1979,
doi:10.1214/aos/1176344552): both sides of a change are drawn anew each time, and the ratio of their medians taken.
Resamples come from a fixed seed, so the same samples give the same answer.
"""
import random
from dataclasses import dataclass

RESAMPLES = 10000
CONFIDENCE = 0.95
SEED = 20100
SAMPLES_MIN = 5
THRESHOLD = 0.02  # a change that may be smaller is none: code moves, and so do its figures


def median(values):
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def quantile(ordered, share):
    """By linear interpolation between the order statistics."""
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def outliers(values):
    """How many lie outside Tukey's fences: 1.5 and 3 times the quartiles' distance; the second are among the first."""
    ordered = sorted(values)
    lower, upper = quantile(ordered, 0.25), quantile(ordered, 0.75)
    reach = upper - lower

    def outside(times):
        return sum(v < lower - times * reach or v > upper + times * reach for v in values)

    return outside(1.5), outside(3)


def _middle_of(resampled):
    resampled.sort()
    tail = (1 - CONFIDENCE) / 2
    return quantile(resampled, tail), quantile(resampled, 1 - tail)


def median_interval(values):
    draw = random.Random(SEED).choices
    return _middle_of([median(draw(values, k=len(values))) for _ in range(RESAMPLES)])


@dataclass
class Change:
    ratio: float  # of the medians, after / before, less 1: -0.1 is a tenth less time
    low: float
    high: float
    verdict: str


def _verdict(low, high, threshold):
    if high < -threshold:
        return "improved"
    if low > threshold:
        return "regressed"
    return "no change"


def compare(before, after, threshold=THRESHOLD):
    """The change from one run's samples to another's. It counts when all of its interval is beyond the threshold."""
    ratio = median(after) / median(before) - 1
    if min(len(before), len(after)) < SAMPLES_MIN:
        return Change(ratio, ratio, ratio, "too few samples")
    draw = random.Random(SEED).choices
    low, high = _middle_of([median(draw(after, k=len(after))) / median(draw(before, k=len(before))) - 1
                            for _ in range(RESAMPLES)])
    return Change(ratio, low, high, _verdict(low, high, threshold))
