"""Numbers with their nouns, in the number that the noun needs."""


def count(number: int, noun: str) -> str:
    """`1 block`, `2 blocks`: only for nouns whose plural is an s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
