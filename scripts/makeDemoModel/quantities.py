"""The documents of the demo text in which something is counted, added, priced, timed or put in order.

Each function writes one document from a seeded generator. The results are always right.
"""

from __future__ import annotations

from random import Random

from words import (
    ADJECTIVES,
    COLOURS,
    GOODS,
    PEOPLE,
    SHAPES,
    THINGS,
    TOWNS,
    article,
    count,
    listing,
    number,
    ordinal,
    plural,
    sentence,
)


def sum_story(rng: Random) -> str:
    """Give, find, eat and lose: a number is carried through the story."""
    who, friend = rng.sample(PEOPLE, 2)
    noun = rng.choice(list(GOODS))
    have = rng.randint(3, 12)
    lines = [
        rng.choice(
            [
                f"{who.name} has {count(have, noun)}.",
                f"In the morning {who.name} has {count(have, noun)} in {who.possessive} basket.",
            ]
        )
    ]
    for _ in range(rng.randint(2, 4)):
        change = rng.randint(1, 6)
        if have > change and rng.random() < 0.5:
            have -= change
            lines.append(
                rng.choice(
                    [
                        f"{who.Subject} gives {count(change, noun)} to {friend.name}.",
                        f"{who.Subject} loses {count(change, noun)} on the way.",
                        f"{friend.name} takes {count(change, noun)} from {who.object}.",
                    ]
                )
            )
        else:
            have += change
            lines.append(
                rng.choice(
                    [
                        f"{friend.name} gives {who.object} {change} more.",
                        f"Then {who.subject} finds {count(change, noun)} under a tree.",
                        f"{who.Subject} buys {count(change, noun)} at the market.",
                    ]
                )
            )
        lines.append(f"Now {who.name} has {count(have, noun)}.")
    lines.append(
        rng.choice(
            [
                f"How many {plural(noun)} does {who.name} have? {who.Subject} has {number(have)}.",
                f"So at the end of the day there are {number(have)}.",
            ]
        )
    )
    return " ".join(lines)


def comparison(rng: Random) -> str:
    """An order of three or four people, told in steps; the last lines need the whole chain."""
    people = rng.sample(PEOPLE, rng.randint(3, 4))
    more, most, least = rng.choice(
        [
            ("taller", "tallest", "shortest"),
            ("older", "oldest", "youngest"),
            ("faster", "fastest", "slowest"),
            ("stronger", "strongest", "weakest"),
        ]
    )
    lines = [f"{a.name} is {more} than {b.name}." for a, b in zip(people, people[1:], strict=False)]
    order = [p.name for p in people]
    lines.append(f"So {order[0]} is the {most} and {order[-1]} is the {least}.")
    a, b = sorted(rng.sample(range(len(people)), 2))
    if rng.random() < 0.5:
        lines.append(f"Is {order[a]} {more} than {order[b]}? Yes, {people[a].subject} is.")
    else:
        lines.append(f"Is {order[b]} {more} than {order[a]}? No, {people[b].subject} is not.")
    lines.append(f"From the {most} to the {least}: {', '.join(order)}.")
    return " ".join(lines)


def market(rng: Random) -> str:
    """Prices times counts; the price of each thing is the same in every document."""
    who = rng.choice(PEOPLE)
    picks = [(noun, rng.randint(2, 5)) for noun in rng.sample(list(GOODS), 2)]
    costs = [GOODS[noun] * n for noun, n in picks]
    lines = [f"{who.name} goes to the market to buy {listing([count(n, noun) for noun, n in picks])}."]
    for (noun, n), cost in zip(picks, costs, strict=True):
        price = count(GOODS[noun], "coin")
        lines.append(
            f"{sentence(article(noun))} costs {price}, so {count(n, noun)} cost {n} x {GOODS[noun]} = {cost} coins."
        )
    total = sum(costs)
    lines.append(f"Together that is {costs[0]} + {costs[1]} = {total} coins.")
    paid = (total // 10 + 1) * 10
    lines.append(
        f"{who.Subject} pays with {paid} coins and gets {paid} - {total} = {count(paid - total, 'coin')} back."
    )
    return " ".join(lines)


def race(rng: Random) -> str:
    """Who came in first, second, third, and a question about it."""
    people = rng.sample(PEOPLE, rng.randint(3, 5))
    town = rng.choice(TOWNS)
    lines = [
        f"{listing([p.name for p in sorted(people, key=lambda p: p.name)])} run a race in {town}.",
        f"{people[0].name} wins.",
    ]
    lines += [f"{p.name} comes in {ordinal(i)}." for i, p in enumerate(people[1:], 2)]
    pick = rng.randrange(len(people))
    lines.append(f"Who came in {ordinal(pick + 1)}? It was {people[pick].name}.")
    lines.append(f"The prize for {people[0].name} is {article(rng.choice(ADJECTIVES))} {rng.choice(THINGS)}.")
    return " ".join(lines)


def counting(rng: Random) -> str:
    """Forwards and backwards, in steps of one, two, three, five or ten."""
    step, start, length = rng.choice([1, 1, 2, 3, 5, 10]), rng.randint(0, 20), rng.randint(5, 9)
    values = [start + i * step for i in range(length)]
    how = "" if step == 1 else f" in steps of {number(step)}"
    who = rng.choice(PEOPLE)
    lines = [f"{who.name} counts from {values[0]} to {values[-1]}{how}: {', '.join(map(str, values))}."]
    if rng.random() < 0.6:
        lines.append(
            f"Then {who.subject} counts back from {values[-1]} to {values[0]}: {', '.join(map(str, reversed(values)))}."
        )
    pick = rng.randrange(length - 1)
    lines.append(
        rng.choice(
            [
                f"Which number comes after {values[pick]}? It is {values[pick + 1]}.",
                f"{sentence(who.possessive)} {ordinal(pick + 1)} number was {values[pick]}.",
            ]
        )
    )
    return " ".join(lines)


def sums(rng: Random) -> str:
    """A column of sums, with one of them checked by the opposite sum."""
    who, sign = rng.choice(PEOPLE), rng.choice("+-x")
    lines, rows = [f"The homework of {who.name}:"], []
    for _ in range(rng.randint(3, 6)):
        if sign == "x":
            a, b = rng.randint(2, 9), rng.randint(2, 9)
            rows.append((a, b, a * b))
        elif sign == "+":
            a, b = rng.randint(1, 20), rng.randint(1, 20)
            rows.append((a, b, a + b))
        else:
            b, c = rng.randint(1, 20), rng.randint(1, 20)
            rows.append((b + c, b, c))
    lines += [f"{a} {sign} {b} = {c}" for a, b, c in rows]
    a, b, c = rng.choice(rows)
    if sign == "+":
        lines.append(f"{who.name} checks one of them: {c} - {b} = {a}. It is right.")
    elif sign == "-":
        lines.append(f"{who.name} checks one of them: {c} + {b} = {a}. It is right.")
    else:
        lines.append(f"{who.name} checks one of them: {b} x {a} = {c}. It is right.")
    return "\n".join(lines)


def timetable(rng: Random) -> str:
    """Departure plus duration is arrival, for several trains."""
    town, lines = rng.choice(TOWNS), []
    hour, minute = rng.randint(6, 12), rng.choice(range(0, 60, 5))
    for index in range(rng.randint(2, 4)):
        length = rng.choice(range(5, 60, 5))
        end = hour * 60 + minute + length
        arrival = f"{end // 60}:{end % 60:02d}"
        lines.append(
            f"Train {index + 1} leaves at {hour}:{minute:02d}, takes {length} minutes and arrives at {arrival}."
        )
        hour += 1
    return "\n".join([f"Trains to {town}:", *lines, f"That makes {number(len(lines))} trains, one every hour."])


def shapes(rng: Random) -> str:
    """Sides of shapes, added up."""
    (a, x), (b, y) = rng.sample(SHAPES, 2)
    who, (p, q) = rng.choice(PEOPLE), rng.sample(COLOURS, 2)
    more = a if x > y else b
    return " ".join(
        [
            f"{who.name} draws {article(p)} {a} and {article(q)} {b}.",
            f"{sentence(article(a))} has {number(x)} sides and {article(b)} has {number(y)}.",
            f"Together that is {x} + {y} = {x + y} sides.",
            f"The {more} has more sides, {abs(x - y)} more to be exact.",
            f"What colour is the {a}? It is {p}. And the {b} is {q}.",
        ]
    )


def true_or_false(rng: Random) -> str:
    """Statements about numbers with the right verdict."""
    lines = []
    for _ in range(rng.randint(3, 5)):
        a, b = rng.sample(range(1, 60), 2)
        lines.append(
            rng.choice(
                [
                    f"{a} is bigger than {b}: {'true' if a > b else 'false'}.",
                    f"{a} is smaller than {b}: {'true' if a < b else 'false'}.",
                    f"{a} is even: {'true' if a % 2 == 0 else 'false'}.",
                    f"{a} is odd: {'true' if a % 2 else 'false'}.",
                ]
            )
        )
    right = sum(line.endswith("true.") for line in lines)
    return "\n".join(
        [
            "True or false?",
            *lines,
            f"{sentence(number(right))} of {number(len(lines))} {'is' if right == 1 else 'are'} true.",
        ]
    )
