"""renyi_oracle.py: the numbers of test_accountant.c, by other means than the library's. Needs python3-mpmath.

Divergences by integrating the definition (Mironov, CSF 2017, definition 3); the least epsilon over the orders by a search in
many digits; the exact epsilon of Gaussian releases, which any bound must be above (Balle and Wang, ICML 2018, theorem 8)."""

from mpmath import exp, inf, log, mp, mpf, ncdf, npdf, quad, sqrt

mp.dps = 40


def divergence(order, z):
    points = [-inf, -10 * z, 0, order, order + 10 * z, inf]
    total = quad(lambda x: npdf(x, 1, z) ** order * npdf(x, 0, z) ** (1 - order), points)
    return log(total) / (order - 1)


def least_over_orders(divergence, delta, highest):
    """The least epsilon of orders 1 + e^t, -12 <= t <= highest."""

    def epsilon(order):
        return divergence(order) + log(1 - 1 / order) - log(delta * order) / (order - 1)

    low, high = mpf(-12), mpf(highest)
    for _ in range(60):
        points = [low + (high - low) * i / 40 for i in range(41)]
        values = [epsilon(1 + exp(t)) for t in points]
        best = values.index(min(values))
        low, high = points[max(best - 1, 0)], points[min(best + 1, 40)]
    return epsilon(1 + exp((low + high) / 2))


def least_epsilon(z, releases, delta):
    return least_over_orders(lambda order: releases * order / (2 * z * z), delta, 12)


def exact_epsilon(z, releases, delta):
    mu = sqrt(releases) / z

    def excess(epsilon):
        return ncdf(mu / 2 - epsilon / mu) - exp(epsilon) * ncdf(-mu / 2 - epsilon / mu) - delta

    low, high = mpf(0), mpf(1)
    while excess(high) > 0:
        high *= 2
    for _ in range(120):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return low


def laplace_divergence(order, e):
    """Of Laplace(0, 1) from Laplace(e, 1)."""

    def density(x):
        return exp(order * -abs(x) + (1 - order) * -abs(x - e)) / 2

    return log(quad(density, [-inf, -1, 0, e / 2, e, e + 1, inf])) / (order - 1)


def least_laplace(e, releases, delta):
    def divergence(order):
        first = order / (2 * order - 1) * exp((order - 1) * e)
        return releases * log(first + (order - 1) / (2 * order - 1) * exp(-order * e)) / (order - 1)

    return least_over_orders(divergence, delta, 18)


def exact_laplace(e, releases, delta):
    """The epsilon at which the hockey-stick divergence of one or two releases is delta: the expectation, over the privacy
    loss of the others, of what is left of one."""

    def one(epsilon):
        if epsilon >= e:
            return mpf(0)
        return 1 - exp((epsilon - e) / 2) if epsilon > -e else 1 - exp(epsilon)

    def two(epsilon):
        def density(x):
            return e / 2 * exp(-e * x) * one(epsilon - e * (1 - 2 * x))

        kinks = [x for x in (mpf(0), (2 * e - epsilon) / (2 * e), -epsilon / (2 * e), mpf(1)) if 0 <= x <= 1]
        return one(epsilon - e) / 2 + exp(-e) / 2 * one(epsilon + e) + quad(density, sorted(set(kinks)))

    if releases > 2:
        return mpf(0)
    low, high = mpf(0), releases * e
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if (one if releases == 1 else two)(middle) > delta else (low, middle)
    return low


if __name__ == "__main__":
    for order, z in (("1.5", "1"), ("2", "0.5"), ("8", "3"), ("20", "10"), ("64", "2.5")):
        print(f"    {{{order}, {z}, {mp.nstr(divergence(mpf(order), mpf(z)), 15)}}},")
    cases = (("1", 1, "1e-5"), ("1", 2, "1e-5"), ("1", 100, "1e-5"), ("10", 100, "1e-5"), ("0.5", 7, "1e-6"),
             ("50", 1, "1e-3"), ("4.530877117", 1, "1e-6"), ("3", 1000, "1e-9"))  # fmt: skip
    for z, releases, delta in cases:
        least = least_epsilon(mpf(z), releases, mpf(delta))
        exact = exact_epsilon(mpf(z), releases, mpf(delta))
        print(f"    {{{z}, {releases}, {delta}, {mp.nstr(least, 15)}, {mp.nstr(exact, 15)}}},")
    for order, e in (("1.5", "1"), ("2", "0.5"), ("3", "0.01"), ("8", "3"), ("20", "0.1"), ("64", "10")):
        print(f"    {{{order}, {e}, {mp.nstr(laplace_divergence(mpf(order), mpf(e)), 15)}}},")
    cases = (("1", 1, "1e-5"), ("1", 2, "1e-5"), ("4", 2, "1e-2"), ("0.1", 100, "1e-5"), ("0.5", 60, "1e-6"), ("0.01", 10000, "1e-5"),
             ("4", 20, "1e-5"), ("20", 1000, "1e-9"))  # fmt: skip
    for e, releases, delta in cases:
        least = least_laplace(mpf(e), releases, mpf(delta))
        exact = exact_laplace(mpf(e), releases, mpf(delta))
        print(f"    {{{e}, {releases}, {delta}, {mp.nstr(least, 15)}, {mp.nstr(exact, 15)}}},")
