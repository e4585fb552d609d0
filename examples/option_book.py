"""The main job: value a book of options by Monte Carlo on every core of this machine.

The normal draws are one object in object storage that all workers share; each option is one element of a map. European
options are checked against the Black-Scholes formula, so that the figures on the screen are known to be right.

    python examples/option_book.py [--options 4000] [--paths 16384] [--address tcp://host:8516]
"""

import argparse
import math
import random
import time
from array import array
from typing import NamedTuple

from scaler import Client


class Option(NamedTuple):
    kind: str  # "call", "put" or "digital"
    spot: float
    strike: float
    rate: float  # a year, continuously compounded
    volatility: float  # a year
    years: float
    quantity: int


class Value(NamedTuple):
    price: float
    standard_error: float
    delta: float


def draw_book(count: int, seed: int) -> list[Option]:
    rng = random.Random(seed)
    return [
        Option(
            kind=rng.choice(("call", "put", "digital")),
            spot=100.0,
            strike=rng.uniform(80, 120),
            rate=rng.uniform(0.0, 0.05),
            volatility=rng.uniform(0.1, 0.5),
            years=rng.uniform(0.1, 3.0),
            quantity=rng.choice((-1, 1)) * rng.randint(1, 100),
        )
        for _ in range(count)
    ]


def draw_normals(count: int, seed: int) -> array:
    """`count` standard normals: antithetic pairs, scaled so that their variance is exactly 1."""
    rng = random.Random(seed)
    half = [rng.gauss(0.0, 1.0) for _ in range(count // 2)]
    scale = math.sqrt(len(half) / sum(x * x for x in half))
    return array("d", [x * scale for x in half] + [-x * scale for x in half])


def value(option: Option, normals: array) -> Value:
    """Discounted mean payoff, its standard error, and the pathwise delta (likelihood ratio for digitals)."""
    kind, spot, strike, rate, volatility, years, _ = option
    drift = spot * math.exp((rate - volatility**2 / 2) * years)
    spread, discount = volatility * math.sqrt(years), math.exp(-rate * years)
    total = squares = delta = 0.0
    exp = math.exp
    for z in normals:
        end = drift * exp(spread * z)
        if kind == "call":
            payoff, slope = (end - strike, end / spot) if end > strike else (0.0, 0.0)
        elif kind == "put":
            payoff, slope = (strike - end, -end / spot) if end < strike else (0.0, 0.0)
        else:
            payoff, slope = (1.0, z / (spot * spread)) if end > strike else (0.0, 0.0)
        total += payoff
        squares += payoff * payoff
        delta += slope
    n = len(normals)
    mean = total / n
    deviation = math.sqrt(max(0.0, squares / n - mean * mean) / n)
    return Value(discount * mean, discount * deviation, discount * delta / n)


def black_scholes(option: Option) -> float:
    """The exact price (Black and Scholes 1973; digital: the discounted probability of ending above the strike)."""
    kind, spot, strike, rate, volatility, years, _ = option
    spread = volatility * math.sqrt(years)
    d1 = (math.log(spot / strike) + (rate + volatility**2 / 2) * years) / spread
    d2 = d1 - spread

    def below(x: float) -> float:
        return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))

    discount = math.exp(-rate * years)
    if kind == "call":
        return spot * below(d1) - strike * discount * below(d2)
    if kind == "put":
        return strike * discount * below(-d2) - spot * below(-d1)
    return discount * below(d2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--options", type=int, default=4000, help="options in the book")
    parser.add_argument("--paths", type=int, default=16384, help="draws for each of them")
    parser.add_argument("--address", help="a running scheduler; otherwise a cluster is started here")
    arguments = parser.parse_args()

    book = draw_book(arguments.options, seed=7)
    with Client(arguments.address) as client:
        normals = client.send_object(draw_normals(arguments.paths, seed=11), name="normals")
        start = time.perf_counter()
        values = client.map(value, book, [normals] * len(book)).progress("valuing").results()
        seconds = time.perf_counter() - start

        start = time.perf_counter()
        client.map(abs, range(200_000)).results()
        bare = 200_000 / (time.perf_counter() - start)

    print(f"{'kind':8} {'options':>8} {'value':>14} {'Black-Scholes':>14} {'delta':>10} {'worst error':>14}")
    for kind in ("call", "put", "digital"):
        rows = [(o, v) for o, v in zip(book, values, strict=True) if o.kind == kind]
        priced = sum(o.quantity * v.price for o, v in rows)
        exact = sum(o.quantity * black_scholes(o) for o, v in rows)
        delta = sum(o.quantity * v.delta for o, v in rows)
        errors = (abs(v.price - black_scholes(o)) / v.standard_error for o, v in rows if v.standard_error)
        worst = max(errors, default=0.0)
        print(f"{kind:8} {len(rows):8,} {priced:14,.2f} {exact:14,.2f} {delta:10,.1f} {worst:9.2f} s.e.")
    print(f"{len(book):,} options x {arguments.paths:,} paths in {seconds:.1f} s: {len(book) / seconds:,.0f} tasks/s")
    print(f"the same path with nothing to compute: {bare:,.0f} tasks/s")


if __name__ == "__main__":
    main()
