"""The words of the demo text: people, things, animals, places and the small grammar helpers around them.

Everything here was written for this project. The lists are short on purpose: a model of three million
parameters should learn how the words hang together rather than how many there are.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    """A name with the pronouns that agree with it."""

    name: str
    subject: str
    object: str
    possessive: str

    @property
    def Subject(self) -> str:  # noqa: N802 (the capital is the point)
        return self.subject.capitalize()


@dataclass(frozen=True)
class Animal:
    """An animal and the facts that stay the same in every document."""

    name: str
    plural: str
    legs: int
    sound: str
    food: str
    home: str
    cover: str
    young: str


@dataclass(frozen=True)
class Job:
    """A job, where it is done, with which tool and for what."""

    name: str
    place: str
    tool: str
    work: str
    result: str


# fmt: off
_SHE = ["Ada", "Bea", "Clara", "Dora", "Ella", "Flora", "Greta", "Hanna", "Ida", "Julia", "Kira", "Lena",
        "Mia", "Nora", "Olga", "Paula", "Rosa", "Sofia", "Tina", "Vera"]
_HE = ["Adam", "Ben", "Carl", "David", "Emil", "Felix", "Georg", "Hugo", "Ivan", "Jonas", "Karim", "Leo",
       "Max", "Nils", "Oscar", "Pavel", "Rafi", "Sam", "Tom", "Viktor"]
PEOPLE = [Person(n, "she", "her", "her") for n in _SHE] + [Person(n, "he", "him", "his") for n in _HE]

COLOURS = ["red", "blue", "green", "yellow", "white", "black", "brown", "grey", "orange", "purple", "pink", "silver"]
MIXES = [("red", "yellow", "orange"), ("blue", "yellow", "green"), ("red", "blue", "purple"),
         ("black", "white", "grey"), ("red", "white", "pink")]

# Things one can own, carry and hide.
THINGS = ["ball", "book", "box", "cup", "kite", "lamp", "map", "key", "bag", "hat", "coat", "scarf", "drum",
          "flute", "rope", "stone", "shell", "button", "brush", "basket", "bell", "clock", "coin", "mirror",
          "spoon", "ring", "umbrella", "puzzle", "torch", "ticket"]
# Things one counts, with what one costs in coins.
GOODS = {"apple": 2, "pear": 3, "plum": 1, "lemon": 2, "cherry": 1, "carrot": 1, "onion": 2, "potato": 1,
         "tomato": 2, "egg": 3, "nut": 1, "candle": 4, "pencil": 3, "ribbon": 5, "loaf": 6, "cake": 8,
         "melon": 7, "peach": 4, "card": 2, "marble": 1}
ROOMS = ["kitchen", "garden", "bedroom", "hall", "cellar", "attic", "garage", "bathroom", "office", "shed"]
PLACES = ["mill", "bridge", "market", "school", "harbour", "library", "station", "forest", "lake", "castle",
          "church", "farm", "park", "tower", "museum", "bakery"]
TOWNS = ["Amberfield", "Birkdale", "Coldwater", "Dunmoor", "Eastbrook", "Fernhill", "Greystone", "Highmere",
         "Ironbridge", "Kingsford", "Larkhill", "Millbrook", "Northwick", "Oakham", "Redcliff", "Stonebury"]
RIVERS = ["Arle", "Brent", "Colne", "Dove", "Esk", "Frome", "Glen", "Hull"]
ADJECTIVES = ["small", "big", "old", "new", "round", "heavy", "light", "pretty", "shiny", "broken"]
FEELINGS = ["happy", "sad", "tired", "proud", "calm", "nervous", "curious", "surprised"]

ANIMALS = [
    Animal("dog", "dogs", 4, "barks", "meat", "a kennel", "fur", "puppy"),
    Animal("cat", "cats", 4, "meows", "fish", "a house", "fur", "kitten"),
    Animal("cow", "cows", 4, "moos", "grass", "a barn", "hair", "calf"),
    Animal("horse", "horses", 4, "neighs", "hay", "a stable", "hair", "foal"),
    Animal("sheep", "sheep", 4, "bleats", "grass", "a meadow", "wool", "lamb"),
    Animal("pig", "pigs", 4, "grunts", "corn", "a sty", "bristles", "piglet"),
    Animal("hen", "hens", 2, "clucks", "grain", "a coop", "feathers", "chick"),
    Animal("duck", "ducks", 2, "quacks", "weeds", "a pond", "feathers", "duckling"),
    Animal("owl", "owls", 2, "hoots", "mice", "a hollow tree", "feathers", "owlet"),
    Animal("frog", "frogs", 4, "croaks", "flies", "a pond", "smooth skin", "tadpole"),
    Animal("lion", "lions", 4, "roars", "meat", "the savanna", "fur", "cub"),
    Animal("bee", "bees", 6, "buzzes", "nectar", "a hive", "fine hair", "larva"),
    Animal("wolf", "wolves", 4, "howls", "meat", "a den", "fur", "pup"),
    Animal("mouse", "mice", 4, "squeaks", "seeds", "a hole", "fur", "pinky"),
    Animal("goose", "geese", 2, "honks", "grass", "a lake", "feathers", "gosling"),
    Animal("snake", "snakes", 0, "hisses", "eggs", "a burrow", "scales", "snakelet"),
]
PETS = [a for a in ANIMALS if a.name in {"dog", "cat", "hen", "duck", "mouse", "horse", "goose", "frog"}]

PET_NAMES = ["Pip", "Coco", "Momo", "Toto", "Luna", "Bobo", "Nino", "Zaza", "Lulu", "Rex", "Fizz", "Otto"]
DISHES = ["carrot soup", "potato salad", "apple pie", "onion stew", "plum cake", "lemon rice", "egg noodles",
          "tomato soup", "nut bread", "pear pudding"]

JOBS = [
    Job("baker", "at the bakery", "an oven", "bakes bread", "fresh bread"),
    Job("smith", "at the forge", "a hammer", "shapes iron", "strong tools"),
    Job("tailor", "in the workshop", "a needle", "sews coats", "warm coats"),
    Job("farmer", "in the field", "a plough", "grows wheat", "ripe wheat"),
    Job("painter", "in the studio", "a brush", "paints pictures", "bright pictures"),
    Job("teacher", "at the school", "a blackboard", "explains numbers", "clever pupils"),
    Job("fisher", "on the lake", "a net", "catches fish", "silver fish"),
    Job("carpenter", "in the yard", "a saw", "builds tables", "solid tables"),
    Job("gardener", "in the garden", "a spade", "plants flowers", "sweet flowers"),
    Job("miller", "at the mill", "a millstone", "grinds grain", "white flour"),
    Job("potter", "at the kiln", "a wheel", "forms clay", "round pots"),
    Job("doctor", "in the clinic", "a thermometer", "treats patients", "healthy people"),
]

OPPOSITES = [("hot", "cold"), ("big", "small"), ("fast", "slow"), ("high", "low"), ("old", "new"),
             ("wet", "dry"), ("full", "empty"), ("hard", "soft"), ("light", "dark"), ("early", "late"),
             ("long", "short"), ("loud", "quiet"), ("open", "closed"), ("clean", "dirty"), ("rich", "poor"),
             ("sweet", "sour"), ("thick", "thin"), ("wide", "narrow"), ("near", "far"), ("calm", "wild"),
             ("happy", "sad"), ("strong", "weak"), ("rough", "smooth"), ("deep", "shallow")]

# cause, effect, and what would happen without the cause
CAUSES = [
    ("the sun shines", "the snow melts", "the snow would stay"),
    ("it rains for days", "the river rises", "the river would stay low"),
    ("the wind blows", "the mill turns", "the mill would stand still"),
    ("water freezes", "the lake turns to ice", "the lake would stay open"),
    ("the ground is dry", "the flowers droop", "the flowers would stand up"),
    ("the fire has no air", "the flame goes out", "the flame would burn on"),
    ("the earth turns", "day follows night", "it would always be day or night"),
    ("wood is lighter than water", "a log floats", "a log would sink"),
    ("iron is heavier than water", "a nail sinks", "a nail would float"),
    ("the leaves need light", "a plant leans to the window", "a plant would grow straight"),
    ("warm air rises", "a balloon climbs", "a balloon would stay on the ground"),
    ("the moon pulls the sea", "the tide comes in", "the tide would never come"),
    ("bees visit the blossoms", "the trees bear fruit", "the trees would bear no fruit"),
    ("salt lowers the freezing point", "the road stays free of ice", "the road would be slippery"),
]

SHAPES = [("triangle", 3), ("square", 4), ("pentagon", 5), ("hexagon", 6), ("octagon", 8)]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December"]
SEASONS = {"spring": ("March", "April", "May"), "summer": ("June", "July", "August"),
           "autumn": ("September", "October", "November"), "winter": ("December", "January", "February")}
WEATHER = [("sunny", "wore a hat"), ("rainy", "took an umbrella"), ("windy", "flew a kite"),
           ("snowy", "built a snowman"), ("foggy", "stayed close to home"), ("cold", "put on a coat"),
           ("warm", "swam in the lake"), ("stormy", "closed the windows")]

_ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
         "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_ORDINALS = ["zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth",
             "tenth", "eleventh", "twelfth"]
_PLURALS = {"cherry": "cherries", "potato": "potatoes", "tomato": "tomatoes", "loaf": "loaves",
            "peach": "peaches", "box": "boxes", "brush": "brushes", "torch": "torches", "scarf": "scarves"}
# fmt: on


def number(value: int) -> str:
    """0..99 in words."""
    if value < 20:
        return _ONES[value]
    ten, one = divmod(value, 10)
    return _TENS[ten] + (f"-{_ONES[one]}" if one else "")


def ordinal(value: int) -> str:
    """1..12 as first, second, ..."""
    return _ORDINALS[value]


def plural(noun: str) -> str:
    return _PLURALS.get(noun, noun + "s")


def count(value: int, noun: str) -> str:
    """`1 apple`, `4 apples`."""
    return f"{value} {noun if value == 1 else plural(noun)}"


def article(phrase: str) -> str:
    """The phrase with `a` or `an` before it."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def listing(items: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def there_is(phrase: str) -> str:
    """`there is fresh bread`, `there are warm coats`."""
    return f"there {'are' if phrase.endswith(('s', 'people', 'fish')) else 'is'} {phrase}"


def sentence(text: str) -> str:
    """The text with a capital first letter."""
    return text[0].upper() + text[1:]
