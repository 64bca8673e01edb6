"""What is always so in the demo text: where each person lives, which pet they have, what each town is like.

A model cannot work these facts out from the document it reads; it has to remember them. They were drawn
once, from a seed, and hold in every document.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from words import (
    COLOURS,
    DISHES,
    JOBS,
    MONTHS,
    PEOPLE,
    PET_NAMES,
    PETS,
    PLACES,
    RIVERS,
    TOWNS,
    Animal,
    Job,
    Person,
    article,
    count,
    listing,
    number,
    sentence,
)


@dataclass(frozen=True)
class Profile:
    """The facts of a person."""

    town: str
    house: int
    age: int
    job: Job
    colour: str
    dish: str
    birthday: str
    pet: Animal
    pet_name: str
    pet_colour: str


@dataclass(frozen=True)
class Town:
    """The facts of a town."""

    river: str
    founded: int
    bridges: int
    sight: str
    neighbour: str


def _draw() -> tuple[dict[str, Profile], dict[str, Town]]:
    rng = Random(4711)
    profiles = {
        person.name: Profile(
            town=rng.choice(TOWNS),
            house=rng.randint(1, 99),
            age=rng.randint(20, 69),
            job=rng.choice(JOBS),
            colour=rng.choice(COLOURS),
            dish=rng.choice(DISHES),
            birthday=f"{rng.randint(1, 28)} {rng.choice(MONTHS)}",
            pet=rng.choice(PETS),
            pet_name=rng.choice(PET_NAMES),
            pet_colour=rng.choice(["white", "black", "brown", "grey"]),
        )
        for person in PEOPLE
    }
    towns = {
        town: Town(
            river=rng.choice(RIVERS),
            founded=rng.randint(1100, 1899),
            bridges=rng.randint(2, 19),
            sight=rng.choice(PLACES),
            neighbour=rng.choice([other for other in TOWNS if other != town]),
        )
        for town in TOWNS
    }
    return profiles, towns


PROFILES, TOWN_FACTS = _draw()


def profile(person: Person) -> Profile:
    return PROFILES[person.name]


def portrait(rng: Random) -> str:
    """Two people, and some of what is true of each."""
    lines = []
    people = rng.sample(PEOPLE, 2)
    for who in people:
        facts = profile(who)
        known = [
            f"lives in {facts.town}, at number {facts.house}",
            f"is {number(facts.age)} years old",
            f"is {article(facts.job.name)} and {facts.job.work}",
            f"likes the colour {facts.colour}",
            f"likes to eat {facts.dish}",
            f"was born on {facts.birthday}",
            f"has {article(facts.pet_colour)} {facts.pet.name} called {facts.pet_name}",
        ]
        first, *others = rng.sample(known, rng.randint(3, 5))
        lines.append(f"{who.name} {first}.")
        lines += [f"{who.Subject} {fact}." for fact in others]
    return " ".join([*lines, f"So much about {listing([p.name for p in people])}."])


def record(rng: Random) -> str:
    """A form with some facts of a person, and a sentence that repeats one of them."""
    who = rng.choice(PEOPLE)
    facts = profile(who)
    fields = [
        ("Age", str(facts.age), f"Next year {who.subject} will be {number(facts.age + 1)}."),
        ("Town", facts.town, f"The river of {facts.town} is the {TOWN_FACTS[facts.town].river}."),
        ("House", str(facts.house), f"{who.Subject} opens the door of number {facts.house}."),
        ("Job", facts.job.name, f"With {facts.job.tool} {who.subject} {facts.job.work}."),
        ("Colour", facts.colour, f"{sentence(who.possessive)} coat is {facts.colour}."),
        ("Dish", facts.dish, f"On Sundays {who.subject} cooks {facts.dish}."),
        ("Birthday", facts.birthday, f"On {facts.birthday} there is a cake."),
        ("Pet", f"{facts.pet_name}, {article(facts.pet.name)}", f"{facts.pet_name} {facts.pet.sound}."),
    ]
    shown = rng.sample(fields, rng.randint(3, 5))
    ends = [rng.choice(shown)[2], f"That is the record of {who.name}."]
    return "\n".join([f"Name: {who.name}", *[f"{key}: {value}" for key, value, _ in shown], " ".join(ends)])


def town_text(rng: Random) -> str:
    """One or two towns, and some of what is true of each."""
    towns = rng.sample(TOWNS, rng.randint(1, 2))
    lines = [f"A page about {listing(towns)}."]
    for town in towns:
        facts = TOWN_FACTS[town]
        people = [name for name, p in PROFILES.items() if p.town == town]
        known = [
            f"{town} was founded in {facts.founded}.",
            f"The river of {town} is the {facts.river}.",
            f"{town} has {count(facts.bridges, 'bridge')}.",
            f"Visitors of {town} go to the old {facts.sight}.",
            f"From {town} a road leads to {facts.neighbour}.",
        ]
        if people:
            known.append(f"{rng.choice(people)} lives in {town}.")
        lines += rng.sample(known, rng.randint(2, 4))
    return " ".join([*lines, f"So much about {listing(towns)}."])
