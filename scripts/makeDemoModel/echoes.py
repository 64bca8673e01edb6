"""The documents of the demo text in which something is said again: word for word, backwards or but for one.

They leave little to guess, and so teach a small model early on to look back and copy.
"""

from __future__ import annotations

from random import Random

from words import COLOURS, GOODS, PEOPLE, PLACES, ROOMS, THINGS, TOWNS, listing


def echo(rng: Random) -> str:
    """Words that somebody says and somebody else repeats."""
    one, two = rng.sample(PEOPLE, 2)
    pool = rng.choice([THINGS, COLOURS, ROOMS, PLACES, TOWNS, list(GOODS), [p.name for p in PEOPLE], [*THINGS, *ROOMS]])
    words = ", ".join(rng.sample(pool, rng.randint(3, 7)))
    lines = [f'{one.name} says: "{words}."', f'{two.name} says it again: "{words}."']
    lines.append(f'{one.name} nods and says once more: "{words}."' if rng.random() < 0.3 else f"{one.name} nods.")
    return "\n".join(lines)


def roll_call(rng: Random) -> str:
    """Names that are called, and all but one that answer in the same order."""
    teacher, missing, *others = rng.sample(PEOPLE, rng.randint(5, 8))
    called = [missing, *others]
    rng.shuffle(called)
    names = ", ".join(p.name for p in called)
    here = listing([p.name for p in called if p is not missing])
    end = rng.choice(
        [
            f"Who is missing? It is {missing.name}.",
            f'"Where is {missing.name}?" asks {teacher.name}.',
            f"{missing.name} comes late today.",
        ]
    )
    return f"{teacher.name} calls the names: {names}. Here are {here}. {end}"


def code(rng: Random) -> str:
    """Digits or letters that open a lock, twice or three times."""
    one, two = rng.sample(PEOPLE, 2)
    signs = rng.choice(["0123456789", "abcdefghijklmnopqrstuvwxyz"])
    parts = [rng.choice(signs) for _ in range(rng.randint(4, 8))]
    thing, colour = rng.choice(["box", "door", "chest", "gate"]), rng.choice(COLOURS)
    word = "-".join(parts)
    lines = [f"The code of the {colour} {thing} is {word}.", f"{one.name} tells it to {two.name}: {word}."]
    if rng.random() < 0.5:
        lines.append(f"{two.name} turns the wheels to {word}, and the {colour} {thing} opens.")
    else:
        lines.append(f"{two.name} turns the wheels the wrong way round, to {'-'.join(reversed(parts))}.")
        lines.append(f"The {colour} {thing} stays closed.")
    return " ".join(lines)
