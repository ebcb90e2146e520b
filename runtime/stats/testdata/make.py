"""Writes stats.json beside this file: the statistics of SciPy and statsmodels for the tests of package stats."""

import json
import math
import pathlib
import sys

import numpy as np
import scipy
import statsmodels
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

MASK = (1 << 64) - 1


class PCG:
    """math/rand/v2's PCG with IntN for n < 2**31, so that both sides draw the same items."""

    def __init__(self, seed1, seed2):
        self.state = seed1 << 64 | seed2

    def uint64(self):
        mul = 2549297995355413924 << 64 | 4865540595714422341
        inc = 6364136223846793005 << 64 | 1442695040888963407
        self.state = (self.state * mul + inc) & ((1 << 128) - 1)
        hi, lo = self.state >> 64, self.state & MASK
        hi ^= hi >> 32
        hi = hi * 0xDA942042E4DD58B5 & MASK
        hi ^= hi >> 48
        return hi * (lo | 1) & MASK

    def intn(self, n):
        if n & (n - 1) == 0:
            return self.uint64() & 0xFFFFFFFF & (n - 1)
        while True:
            prod = (self.uint64() >> 32) * n
            if prod & 0xFFFFFFFF >= (1 << 32) % n:
                return prod >> 32


def bootstrap(rng, seed, n, rounds, groups):
    """Clusters of 0/1 differences, resampled; numpy's mean and linear quantile."""
    before, after = rng.integers(0, 2, n), rng.integers(0, 2, n)
    cluster = [f"q{i}" for i in rng.integers(0, groups, n)] if groups else None
    names = cluster or [str(i) for i in range(n)]
    order = list(dict.fromkeys(names))
    diffs = [np.array([int(a - b) for a, b, x in zip(after, before, names) if x == name]) for name in order]
    pcg = PCG(seed, 0x5EED)
    means = [np.concatenate([diffs[pcg.intn(len(diffs))] for _ in diffs]).mean() for _ in range(rounds)]
    low, high = np.quantile(means, [0.025, 0.975])
    return {
        "before": before.tolist(), "after": after.tolist(), "cluster": cluster, "seed": seed, "rounds": rounds,
        "diff": float((after - before).mean()), "low": float(low), "high": float(high),
    }


def tango(n, lost, won, margin):
    """The restricted likelihood maximised by bisection instead of by its closed form."""
    delta = -margin

    def slope(q):
        """Of the log-likelihood; q is the share of lost items, q + delta that of won ones."""
        return lost / q + (won / (q + delta) if won else 0) - 2 * (n - lost - won) / (1 - 2 * q - delta)

    low, high = margin * (1 + 1e-15), (1 + margin) / 2 * (1 - 1e-12)
    q = margin if slope(low) < 0 else optimize.brentq(slope, low, high, xtol=1e-16, rtol=1e-15)
    z = (won - lost - n * delta) / math.sqrt(n * (2 * q + delta * (1 - delta)))
    return float(stats.norm.sf(z))


def passk(n, c, k):
    """As in the HumanEval paper."""
    return 1.0 if n - c < k else float(1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))


def main():
    rng = np.random.default_rng(7)
    out = {"versions": {"python": sys.version.split()[0], "numpy": np.__version__, "scipy": scipy.__version__, "statsmodels": statsmodels.__version__}}
    out["wilson"] = []
    for k, n in [(0, 1), (1, 1), (0, 20), (1, 29), (15, 148), (81, 263), (100, 200), (1319, 1319), (835, 1319), (12669, 20000)]:
        for level in (0.9, 0.95, 0.99):
            low, high = proportion_confint(k, n, alpha=1 - level, method="wilson")
            exact = stats.binomtest(k, n).proportion_ci(level, method="wilson")
            assert abs(low - exact.low) < 1e-12 and abs(high - exact.high) < 1e-12
            out["wilson"].append({"k": k, "n": n, "level": level, "low": float(low), "high": float(high)})
    out["mcnemar"] = []
    for b, c in [(0, 1), (0, 5), (0, 6), (2, 12), (5, 15), (10, 25), (7, 7), (30, 31), (59, 121), (480, 520), (35, 288)]:
        exact = float(mcnemar([[0, b], [c, 0]], exact=True).pvalue)
        mid = 1.0 if b == c else exact - float(stats.binom.pmf(min(b, c), b + c, 0.5))
        out["mcnemar"].append({"lost": b, "won": c, "exact": exact, "mid": mid})
    out["bootstrap"] = [bootstrap(rng, 1, 40, 500, 0), bootstrap(rng, 2, 64, 300, 0), bootstrap(rng, 3, 90, 400, 17)]
    out["tango"] = [
        {"n": n, "lost": b, "won": c, "margin": m, "p": tango(n, b, c, m)}
        for n, b, c, m in [(44, 1, 0, 0.1), (1319, 10, 12, 0.01), (1319, 40, 10, 0.01), (500, 3, 9, 0.02), (2000, 55, 60, 0.01), (300, 20, 20, 0.05)]
    ]
    out["passk"] = [{"n": n, "c": c, "k": k, "p": passk(n, c, k)} for n, c, k in [(1, 0, 1), (1, 1, 1), (10, 3, 1), (10, 3, 5), (10, 8, 5), (200, 13, 10), (200, 13, 100), (200, 0, 100)]]
    out["kappa"] = []
    for n, p, flip in [(30, 0.5, 0.2), (200, 0.9, 0.05), (1000, 0.3, 0.4), (50, 0.5, 1.0)]:
        a = rng.random(n) < p
        b = a ^ (rng.random(n) < flip)
        table = [[int((~a & ~b).sum()), int((~a & b).sum())], [int((a & ~b).sum()), int((a & b).sum())]]
        out["kappa"].append({"a": a.astype(int).tolist(), "b": b.astype(int).tolist(), "kappa": float(cohens_kappa(table).kappa)})
    out["holm"] = []
    for p in ([0.01, 0.04, 0.03], [0.5, 0.5, 0.5, 0.01], [0.001], list(rng.random(12))):
        out["holm"].append({"p": [float(x) for x in p], "adjusted": [float(x) for x in multipletests(p, method="holm")[1]]})
    pathlib.Path(__file__).with_name("stats.json").write_text(json.dumps(out, indent=1) + "\n")


main()
