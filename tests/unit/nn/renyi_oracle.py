"""renyi_oracle.py: the numbers of test_accountant.c, by other means than the library's. Needs python3-mpmath.

Divergences by integrating the definition (Mironov, CSF 2017, definition 3); the least epsilon over the orders by a search in
many digits; the exact epsilon of Gaussian releases, which any bound must be above (Balle and Wang, ICML 2018, theorem 8)."""

from mpmath import exp, inf, log, mp, mpf, ncdf, npdf, quad, sqrt

mp.dps = 40


def divergence(order, z):
    points = [-inf, -10 * z, 0, order, order + 10 * z, inf]
    total = quad(lambda x: npdf(x, 1, z) ** order * npdf(x, 0, z) ** (1 - order), points)
    return log(total) / (order - 1)


def least_epsilon(z, releases, delta):
    def epsilon(order):
        return releases * order / (2 * z * z) + log(1 - 1 / order) - log(delta * order) / (order - 1)

    low, high = mpf(-12), mpf(12)  # order = 1 + e^t
    for _ in range(60):
        points = [low + (high - low) * i / 40 for i in range(41)]
        values = [epsilon(1 + exp(t)) for t in points]
        best = values.index(min(values))
        low, high = points[max(best - 1, 0)], points[min(best + 1, 40)]
    return epsilon(1 + exp((low + high) / 2))


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


if __name__ == "__main__":
    for order, z in (("1.5", "1"), ("2", "0.5"), ("8", "3"), ("20", "10"), ("64", "2.5")):
        print(f"    {{{order}, {z}, {mp.nstr(divergence(mpf(order), mpf(z)), 15)}}},")
    cases = (("1", 1, "1e-5"), ("1", 2, "1e-5"), ("1", 100, "1e-5"), ("10", 100, "1e-5"), ("0.5", 7, "1e-6"),
             ("50", 1, "1e-3"), ("4.530877117", 1, "1e-6"), ("3", 1000, "1e-9"))  # fmt: skip
    for z, releases, delta in cases:
        least = least_epsilon(mpf(z), releases, mpf(delta))
        exact = exact_epsilon(mpf(z), releases, mpf(delta))
        print(f"    {{{z}, {releases}, {delta}, {mp.nstr(least, 15)}, {mp.nstr(exact, 15)}}},")
