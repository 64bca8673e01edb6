"""All kinds of documents. The seeds pick by position, so another order gives another text."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from echoes import code, echo, roll_call
from lessons import (
    animal_facts,
    calendar,
    causes,
    job_text,
    mixing,
    opposites,
    recipe,
    row_of_things,
    shopping_list,
    spelling,
)
from profiles import portrait, record, town_text
from quantities import comparison, counting, market, race, shapes, sum_story, sums, timetable, true_or_false
from stories import colour_story, dialogue, diary, hidden_thing, journey, letter, pet_story, where_story

KINDS: list[Callable[[Random], str]] = [
    sum_story,
    where_story,
    colour_story,
    letter,
    dialogue,
    diary,
    comparison,
    pet_story,
    journey,
    market,
    race,
    hidden_thing,
    counting,
    sums,
    opposites,
    animal_facts,
    shopping_list,
    calendar,
    timetable,
    spelling,
    row_of_things,
    record,
    job_text,
    causes,
    mixing,
    shapes,
    recipe,
    true_or_false,
    portrait,
    town_text,
    echo,
    roll_call,
    code,
]
