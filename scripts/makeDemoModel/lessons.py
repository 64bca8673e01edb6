"""The lessons of the demo text: opposites, lists, calendars, animals, jobs, recipes and causes.

Like the stories, each function writes one document from a seeded generator, and every statement is true:
the lists keep their order, an animal has the same sound and the same young everywhere.
"""

from __future__ import annotations

from random import Random

from words import (
    ANIMALS,
    CAUSES,
    COLOURS,
    DAYS,
    GOODS,
    JOBS,
    MIXES,
    MONTHS,
    OPPOSITES,
    PEOPLE,
    SEASONS,
    THINGS,
    article,
    count,
    listing,
    number,
    plural,
    sentence,
    there_is,
)


def opposites(rng: Random) -> str:
    """Pairs of opposites, either way round."""
    pairs = [rng.choice([(a, b), (b, a)]) for a, b in rng.sample(OPPOSITES, rng.randint(3, 5))]
    thing, (a, b) = rng.choice(THINGS), pairs[0]
    lines = [
        rng.choice(
            [f"The opposite of {x} is {y}.", f"What is not {x} may be {y}.", f"{sentence(x)} and {y} are opposites."]
        )
        for x, y in pairs
    ]
    lines.append(f"If {article(thing)} is not {a}, it may be {b}.")
    x, y = rng.choice(pairs)
    lines.append(f"The words of today were {listing([p[0] for p in pairs])}; the opposite of {x} was {y}.")
    return " ".join(lines)


def animal_facts(rng: Random) -> str:
    """What an animal eats, where it lives, how many legs some of them have together."""
    one, two = rng.sample(ANIMALS, 2)
    facts = [
        f"{sentence(article(one.name))} {one.sound}.",
        f"It eats {one.food} and lives in {one.home}.",
        f"It is covered with {one.cover}.",
        f"Its young is called {article(one.young)}.",
    ]
    lines = [*rng.sample(facts, 3)] if rng.random() < 0.5 else facts
    lines[0] = lines[0] if lines[0].startswith(("A ", "An ")) else f"Here is something about the {one.name}. {lines[0]}"
    n = rng.randint(2, 5)
    product = f"{n} x {one.legs} = {n * one.legs}"
    lines.append(f"One {one.name} has {number(one.legs)} legs, so {number(n)} {one.plural} have {product} legs.")
    lines.append(
        rng.choice(
            [
                f"The {two.name} is different: it {two.sound} and eats {two.food}.",
                f"The young of the {two.name} is {article(two.young)}, "
                f"and that of the {one.name} is {article(one.young)}.",
                f"While the {one.name} lives in {one.home}, the {two.name} lives in {two.home}.",
            ]
        )
    )
    return " ".join(lines)


def shopping_list(rng: Random) -> str:
    """A list with amounts, and its total."""
    who = rng.choice(PEOPLE)
    items = [(noun, rng.randint(1, 6)) for noun in rng.sample(list(GOODS), rng.randint(3, 5))]
    lines = [f"Shopping list of {who.name}:", *[f"- {count(n, noun)}" for noun, n in items]]
    noun, n = rng.choice(items)
    total = sum(amount for _, amount in items)
    lines.append(f"{who.Subject} needs {number(len(items))} kinds of things and {number(total)} things in all.")
    lines.append(f"How many {plural(noun)}? {sentence(number(n))}.")
    return "\n".join(lines)


def calendar(rng: Random) -> str:
    """Days and months in order, forwards and backwards."""
    d, m = rng.randrange(7), rng.randrange(12)
    who, step = rng.choice(PEOPLE), rng.randint(2, 4)
    season = next(s for s, months in SEASONS.items() if MONTHS[m] in months)
    facts = [
        f"Today is {DAYS[d]}, so yesterday was {DAYS[d - 1]} and tomorrow is {DAYS[(d + 1) % 7]}.",
        f"In {number(step)} days it will be {DAYS[(d + step) % 7]}.",
        f"It is {MONTHS[m]}, a month of {season}. "
        f"The next month is {MONTHS[(m + 1) % 12]}, and the last one was {MONTHS[m - 1]}.",
        f"The birthday of {who.name} is in {MONTHS[(m + step) % 12]}, {number(step)} months from now.",
    ]
    keep = sorted(rng.sample(range(4), 3))
    return " ".join(
        [
            f"{who.name} looks at the calendar.",
            *[facts[i] for i in keep],
            f"The months of {season} are {listing(list(SEASONS[season]))}.",
        ]
    )


def spelling(rng: Random) -> str:
    """A word, its letters, its length, its first and last letter, its plural."""
    word = rng.choice([*THINGS, *GOODS, *COLOURS])
    letters = list(word)
    lines = [
        f'The word "{word}" is spelled {"-".join(letters)}.',
        f"It has {number(len(word))} letters.",
        f"Its first letter is {letters[0]} and its last letter is {letters[-1]}.",
        f'Backwards it reads "{word[::-1]}".',
    ]
    lines = [lines[0], *rng.sample(lines[1:], 2)]
    if word in GOODS or word in THINGS:
        n = rng.randint(2, 12)
        lines.append(f"One {word}, {number(n)} {plural(word)}.")
    who = rng.choice(PEOPLE)
    lines.append(f"{who.name} writes it {rng.choice(['once', 'twice', 'three times'])} in {who.possessive} book.")
    return " ".join(lines)


def row_of_things(rng: Random) -> str:
    """A row: first, last, next, reversed."""
    items = [f"{c} {t}" for c, t in zip(rng.sample(COLOURS, 4), rng.sample(THINGS, 4), strict=True)]
    who, i = rng.choice(PEOPLE), rng.randrange(3)
    lines = [
        f"{who.name} puts four things in a row: {listing(['the ' + x for x in items])}.",
        f"The first is the {items[0]} and the last is the {items[-1]}.",
        f"After the {items[i]} comes the {items[i + 1]}.",
    ]
    if rng.random() < 0.6:
        lines.append(f"Then {who.subject} turns the row round: {listing(['the ' + x for x in reversed(items)])}.")
    pick = rng.choice(items)
    lines.append(f"What colour is the {pick.split()[1]}? It is {pick.split()[0]}.")
    return " ".join(lines)


def job_text(rng: Random) -> str:
    """Two jobs, their tools and what comes of them."""
    a, b = rng.sample(JOBS, 2)
    p, q = rng.sample(PEOPLE, 2)
    return " ".join(
        [
            f"{p.name} is {article(a.name)} and {q.name} is {article(b.name)}.",
            rng.choice(
                [
                    f"{p.name} works {a.place}, where {p.subject} {a.work}.",
                    f"{sentence(a.place)} {p.name} {a.work} all day.",
                ]
            ),
            rng.choice(
                [
                    f"{q.name} works {b.place}, where {q.subject} {b.work}.",
                    f"{sentence(b.place)} {q.name} {b.work} all day.",
                ]
            ),
            rng.choice(
                [
                    f"Without {a.tool} the {a.name} could not work, and the {b.name} needs {b.tool}.",
                    f"The {a.name} uses {a.tool}, the {b.name} {b.tool}.",
                ]
            ),
            rng.choice(
                [
                    f"Thanks to {p.name} {there_is(a.result)}, and thanks to {q.name} {there_is(b.result)}.",
                    f"To whom do we owe {a.result}? To {p.name}, the {a.name}. "
                    f"And {b.result}? To {q.name}, the {b.name}.",
                ]
            ),
        ]
    )


def causes(rng: Random) -> str:
    """Why something happens, and what would happen otherwise."""
    lines = []
    for cause, effect, otherwise in rng.sample(CAUSES, rng.randint(2, 3)):
        lines.append(
            rng.choice(
                [
                    f"Why is it that {effect}? Because {cause}. Otherwise {otherwise}.",
                    f"When {cause}, {effect}. Otherwise {otherwise}.",
                    f"{sentence(effect)}, because {cause}.",
                ]
            )
        )
    who = rng.choice(PEOPLE)
    return " ".join(
        [f"{who.name} asks many questions.", *lines, f"Now {who.subject} knows {number(len(lines))} reasons."]
    )


def mixing(rng: Random) -> str:
    """Which two colours make a third."""
    who, lines = rng.choice(PEOPLE), []
    for a, b, c in rng.sample(MIXES, 2):
        a, b = rng.choice([(a, b), (b, a)])
        lines.append(
            rng.choice(
                [f"{who.name} mixes {a} and {b} and gets {c}.", f"To make {c}, {who.subject} needs {a} and {b}."]
            )
        )
    lines.append(f"With the {c} paint {who.subject} paints {article(rng.choice(THINGS))}.")
    lines.append(f"When it is dry, it is as {c} as it was wet.")
    return " ".join([f"{who.name} has a box of paint.", *lines])


def recipe(rng: Random) -> str:
    """A recipe in numbered steps that uses exactly the things it lists."""
    items = rng.sample(
        [g for g in GOODS if g in {"apple", "pear", "plum", "carrot", "onion", "potato", "tomato", "melon", "peach"}], 3
    )
    dish, amounts = rng.choice(["soup", "salad", "pie", "stew"]), [rng.randint(1, 6) for _ in range(3)]
    need = listing([count(n, i) for n, i in zip(amounts, items, strict=True)])
    last = {
        "soup": "Boil it all with water",
        "salad": "Mix it all with oil",
        "pie": "Bake it all in the oven",
        "stew": "Cook it all in a pot",
    }
    minutes = rng.choice(range(10, 60, 5))
    steps = [
        f"{i}. {rng.choice(['Wash', 'Cut', 'Peel'])} the {plural(x) if n > 1 else x}."
        for i, (n, x) in enumerate(zip(amounts, items, strict=True), 1)
    ]
    return "\n".join(
        [
            f"{sentence(items[0])} {dish}",
            f"You need {need}.",
            *steps,
            f"4. {last[dish]} for {minutes} minutes.",
            f"After {minutes} minutes the {items[0]} {dish} is ready.",
        ]
    )
