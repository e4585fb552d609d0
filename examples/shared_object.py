"""Send a large object once and use it in many tasks."""

from scaler import Client


def count(words: list[str], letter: str) -> int:
    return sum(word.startswith(letter) for word in words)


def main() -> None:
    words = [f"{chr(97 + n % 26)}{n}" for n in range(200_000)]
    with Client() as client:
        reference = client.send_object(words, name="words")
        letters = "aeiou"
        counts = client.map(count, [reference] * len(letters), letters).results()
        print(dict(zip(letters, counts, strict=True)))


if __name__ == "__main__":
    main()
