"""The stories of the demo text: people who own, carry, write and search for things.

Each function writes one document from a seeded generator. What a story says early on decides what it must
say later (who owns the blue kite, where the key was put, which way leads home), so that a model has to look
back to predict the end.
"""

from __future__ import annotations

from random import Random

from profiles import profile
from words import (
    ADJECTIVES,
    COLOURS,
    DAYS,
    FEELINGS,
    PEOPLE,
    PLACES,
    ROOMS,
    THINGS,
    TOWNS,
    WEATHER,
    Person,
    article,
    count,
    listing,
    number,
    sentence,
)


def _pair(rng: Random) -> tuple[Person, Person]:
    one, two = rng.sample(PEOPLE, 2)
    return one, two


def where_story(rng: Random) -> str:
    """Things move between rooms; the questions at the end ask where they are."""
    who, friend = _pair(rng)
    things = rng.sample(THINGS, 2)
    rooms = rng.sample(ROOMS, 4)
    place = {things[0]: rooms[0], things[1]: rooms[1]}
    lines = [f"The {things[0]} is in the {rooms[0]} and the {things[1]} is in the {rooms[1]}."]
    for _ in range(rng.randint(1, 3)):
        mover, thing = rng.choice([who, friend]), rng.choice(things)
        target = rng.choice([r for r in rooms if r != place[thing]])
        lines.append(
            rng.choice(
                [
                    f"{mover.name} takes the {thing} from the {place[thing]} to the {target}.",
                    f"{mover.name} goes to the {place[thing]}, picks up the {thing} and carries it to the {target}.",
                ]
            )
        )
        place[thing] = target
    for thing in rng.sample(things, 2):
        lines.append(f"Where is the {thing}? The {thing} is in the {place[thing]}.")
    return " ".join(lines)


def colour_story(rng: Random) -> str:
    """Three friends own three coloured things, and two of them swap."""
    friends = rng.sample(PEOPLE, 3)
    colours, thing = rng.sample(COLOURS, 3), rng.choice(THINGS)
    owned = dict(zip([f.name for f in friends], colours, strict=True))
    text = listing([f"{f.name} has {article(owned[f.name])} {thing}" for f in friends])
    one, two = rng.sample(friends, 2)
    lines = [
        f"{text}.",
        rng.choice(
            [
                f"{one.name} likes the {owned[two.name]} {thing} of {two.name} better than {one.possessive} own, "
                "so they swap.",
                f"One day {one.name} and {two.name} swap.",
            ]
        ),
    ]
    owned[one.name], owned[two.name] = owned[two.name], owned[one.name]
    for friend in rng.sample(friends, 3):
        lines.append(
            f"Now {friend.name} has the {owned[friend.name]} {thing}."
            if friend in (one, two)
            else f"{friend.name} still has the {owned[friend.name]} {thing}."
        )
    return " ".join(lines)


def letter(rng: Random) -> str:
    """A letter whose greeting, body and signature agree; everybody writes from the town they live in."""
    who, friend = _pair(rng)
    thing, colour = rng.choice(THINGS), rng.choice(COLOURS)
    day, place = rng.choice(DAYS), rng.choice(PLACES)
    thanks = rng.choice(
        [
            f"thank you for the {colour} {thing}",
            f"I found your {colour} {thing} near the {place}",
            f"I still have your {colour} {thing}",
        ]
    )
    plan = rng.choice(
        [
            f"On {day} I will come to {profile(friend).town} and bring the {thing} with me.",
            f"Will you visit me in {profile(who).town} on {day}? Then I can show you the {thing}.",
        ]
    )
    end = rng.choice(
        [
            f"I am {rng.choice(FEELINGS)} today.",
            f"My {thing} is never far from me, and it is {colour} too.",
            f"We could meet at the {place} on {day}.",
        ]
    )
    return f"Dear {friend.name},\n{sentence(thanks)}. {plan} {end}\nYours,\n{who.name}"


def dialogue(rng: Random) -> str:
    """Two people talk about a thing; the names alternate."""
    who, friend = _pair(rng)
    thing, colour, room = rng.choice(THINGS), rng.choice(COLOURS), rng.choice(ROOMS)
    other = rng.choice([c for c in COLOURS if c != colour])
    lines = [
        f'"Have you seen my {colour} {thing}?" asks {who.name}.',
        f'"I have seen {article(other)} {thing}, but not {article(colour)} one," says {friend.name}.',
        f'"Where was the {other} one?" asks {who.name}.',
        f'"In the {room}," says {friend.name}.',
    ]
    if rng.random() < 0.5:
        lines += [
            f"{who.name} goes to the {room}.",
            f"There {who.subject} finds the {other} {thing}, and behind it {who.possessive} {colour} {thing}.",
        ]
    else:
        lines += [
            f"They go to the {room} together and look at the {other} {thing}.",
            f'"That is not mine," says {who.name}. "Mine is {colour}."',
        ]
    return "\n".join(lines)


def diary(rng: Random) -> str:
    """The weather of some days in a row, and what one did because of it."""
    who = rng.choice(PEOPLE)
    start, length = rng.randrange(7), rng.randint(2, 4)
    days = [DAYS[(start + i) % 7] for i in range(length)]
    weathers = [rng.choice(WEATHER) for _ in days]
    lines = [f"The diary of {who.name}."]
    for day, (sky, act) in zip(days, weathers, strict=True):
        lines.append(
            rng.choice([f"On {day} it was {sky}, so {who.subject} {act}.", f"{day} was {sky}. {who.name} {act}."])
        )
    pick = rng.randrange(length)
    sky, act = weathers[pick]
    lines.append(f"Why did {who.name} remember {days[pick]}? Because it was {sky} and {who.subject} {act}.")
    return "\n".join(lines)


def pet_story(rng: Random) -> str:
    """The pet of a person, with its name, its colour and the habits of its kind."""
    who, friend = _pair(rng)
    facts = profile(who)
    animal, colour, pet = facts.pet, facts.pet_colour, facts.pet_name
    lines = [
        f"{who.name} has {article(colour)} {animal.name} called {pet}.",
        f"Every morning {pet} {animal.sound}, and {who.name} brings {animal.food}.",
    ]
    if rng.random() < 0.5:
        place = rng.choice(PLACES)
        lines += [
            f"One day {pet} ran away. {who.name} was {rng.choice(['sad', 'nervous'])} and looked everywhere.",
            f"At last {friend.name} saw {article(colour)} {animal.name} near the {place}.",
            f'"That must be {pet}," said {friend.name}, and brought {pet} home from the {place}.',
            f"{who.name} was happy to see {who.possessive} {animal.name} again.",
        ]
    else:
        lines += [
            f"{friend.name} would like to have {article(animal.name)} too.",
            f'"What does {pet} eat?" asks {friend.name}. "{sentence(animal.food)}," says {who.name}.',
            f'"And what does {article(animal.name)} need?" '
            f'"It needs {animal.home}, and somebody who listens when it {animal.sound}."',
        ]
    return " ".join(lines)


def journey(rng: Random) -> str:
    """A way there and the same way back, in reverse order."""
    who, town = rng.choice(PEOPLE), rng.choice(TOWNS)
    stops = rng.sample(PLACES, rng.randint(3, 4))
    steps = [f"First {who.subject} comes to the {stops[0]}."]
    steps += [f"After the {a} {who.subject} comes to the {b}." for a, b in zip(stops, stops[1:], strict=False)]
    back = list(reversed(stops))
    return " ".join(
        [
            f"{who.name} walks through {town}.",
            *steps,
            f"At the {stops[-1]} {who.subject} turns round.",
            f"On the way back {who.name} passes {listing(['the ' + s for s in back[1:]])}.",
            f"In all {who.subject} has seen {number(len(stops))} places in {town}.",
        ]
    )


def hidden_thing(rng: Random) -> str:
    """A search through rooms until the thing turns up in the one where it was hidden."""
    who, friend = _pair(rng)
    thing, look = rng.choice(THINGS), rng.choice(ADJECTIVES)
    rooms = rng.sample(ROOMS, rng.randint(2, 4))
    lines = [f"{who.name} hides {article(look)} {thing} in the {rooms[-1]}, and {friend.name} looks for it."]
    lines += [f"{friend.name} looks in the {room}, but the {thing} is not there." for room in rooms[:-1]]
    lines += [
        f"Then {friend.name} looks in the {rooms[-1]}, and there it is!",
        f'"You found my {look} {thing}," says {who.name}. "It took you {count(len(rooms), "room")}."',
    ]
    return " ".join(lines)
