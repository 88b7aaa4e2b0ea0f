"""Random texts for `fuzz_tokenizer.py`: whatever tokenizers stumble over, beside pieces of real text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

SCRIPTS = [
    *("the quick brown fox jumps", "L'été à Zürich, naïve façade", "Съешь же ещё этих мягких", "ελληνικά ΣΑΣ ς"),
    *("今天天气很好。我们去公园，好吗？", "吾輩は猫である。ガギグ", "안녕하세요 세계", "مرحبا، كيف حالك؟", "שלום עולם"),
    *("नमस्ते दुनिया। क्षत्रिय", "สวัสดีชาวโลก", "தமிழ் மொழி", "မြန်မာ", "አማርኛ", "ქართული", "Tiếng Việt", "ÅÄÖ ĲǅŉŸ ﬁﬂ ſß"),
    *("𝕳𝖊𝖑𝖑𝖔 𝟙𝟚𝟛", "𐍈𐌰𐌽", "𠀀𠀁㐀龥鿕﨎", "①②Ⅻ½²³٣४५௧", "😀🎉☀⚡", "َُِّْ ٱللَّٰهِ"),
]
WHITE = [
    " ",
    " ",
    "  ",
    "   ",
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    "\t",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x1f",
    "\x85",
    "\xa0",
    "\u1680",
]
WHITE += ["\u2000", "\u2009", "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\u200b", "\u2060", "\ufeff"]
ENDINGS = [
    "'s",
    "'t",
    "'re",
    "'ve",
    "'m",
    "'ll",
    "'d",
    "'S",
    "'T",
    "'RE",
    "'Ve",
    "'LL",
    "'ſ",
    "'",
    "''",
    "’s",
    "'x",
    "'1",
]
MARKS = [
    "\u0301",
    "\u0308",
    "\u0323",
    "\u0345",
    "\u20e3",
    "\ufe0f",
    "\ufe0e",
    "\u093c",
    "\u3099",
    "\u1161",
    "\u11a8",
    "\u0f39",
]
EMOJI = [
    "👩\u200d💻",
    "👨\u200d👩\u200d👧",
    "🏳\ufe0f\u200d🌈",
    "👍🏽",
    "🇫🇷",
    "1\ufe0f\u20e3",
    "☺\ufe0f",
    "🏴\U000e0067\U000e007f",
]
CONTROLS = [
    "\0",
    "\x01",
    "\x07",
    "\x1b[0m",
    "\x7f",
    "\x80",
    "\x9f",
    "\xad",
    "\u200e",
    "\u202e",
    "\ue000",
    "\ufffd",
    "\uffff",
]
MARKUP = [*'.,!?;:…。，、।۔،()[]{}|/\\<>-_=+*&^%$#@~`"', "<s>", "</s>", "<|", "|>", "▁", "Ġ", "##", "<0x41>", "http://"]
ALL = [SCRIPTS, WHITE, ENDINGS, MARKS, EMOJI, CONTROLS, MARKUP]
LONGEST = 100_000


class Texts:
    """Makes texts.

    Args:
        rng: Where chance comes from.
        documents: Real texts, of which pieces are taken; may be empty.
    """

    def __init__(self, rng: random.Random, documents: Sequence[str]) -> None:
        self.rng, self.documents = rng, documents

    def letter(self) -> str:
        """Any character: of any plane, or one that is often in texts."""
        highest = self.rng.choice([0x80, 0x250, 0x3000, 0x10000, 0x20000, 0x110000])
        code = self.rng.randrange(highest)
        return chr(code) if not 0xD800 <= code < 0xE000 else " "

    def real(self, most: int = 400) -> str:
        """A piece of a real text, cut anywhere between two characters."""
        if not self.documents:
            return self.rng.choice(SCRIPTS)
        text = self.rng.choice(self.documents)
        start = self.rng.randrange(len(text))
        return text[start : start + self.rng.randint(1, most)]

    def digits(self) -> str:
        """Digits of any script."""
        zero = self.rng.choice("0000٠०๐０𝟘")
        return "".join(chr(ord(zero) + self.rng.randrange(10)) for _ in range(self.rng.randint(1, 12)))

    def piece(self, own: Sequence[str]) -> str:
        """A few characters; `own` are tokens and added tokens of the tokenizer."""
        rng = self.rng
        kind = rng.randrange(12)
        if kind < 3 and own:
            return rng.choice(own)
        if kind < 5:
            return self.real(40)
        if kind < 6:
            return self.digits()
        if kind < 7:
            return "".join(self.letter() for _ in range(rng.randint(1, 4)))
        if kind < 8:
            return rng.choice(SCRIPTS)[: rng.randint(1, 12)]
        return rng.choice(rng.choice(ALL))

    def soup(self, own: Sequence[str], most: int) -> str:
        """Pieces of all kinds."""
        return "".join(self.piece(own) for _ in range(self.rng.randint(0, most)))

    def run(self, own: Sequence[str]) -> str:
        """One piece many times over, up to 100 kB."""
        piece = self.piece(own)
        count = self.rng.choice([8, 63, 64, 65, 130, 300, 2000, LONGEST]) // max(1, len(piece.encode()))
        return self.soup(own, 3) + piece * count + self.soup(own, 3)

    def at_border(self, own: Sequence[str]) -> str:
        """Pieces around the place where a block of 64 bytes ends."""
        filler = self.rng.choice(["a", " ", "é", "中", "1", "\n", ".", "ab ", "x1", "😀"])
        before = self.soup(own, 2)
        size = 64 * self.rng.randint(1, 4) - self.rng.randint(0, 12) - len(before.encode())
        return before + filler * (size // len(filler.encode())) + self.soup(own, 6)

    def spliced(self, own: Sequence[str]) -> str:
        """Real texts, put together in the middle of words."""
        return "".join(
            self.real() if self.rng.random() < 0.7 else self.piece(own) for _ in range(self.rng.randint(1, 8))
        )

    def text(self, own: Sequence[str]) -> str:
        """A text of any kind."""
        kinds: list[tuple[Callable[[], str], float]] = [
            (lambda: self.soup(own, 25), 6),
            (lambda: self.soup(own, 4), 3),
            (lambda: self.at_border(own), 4),
            (lambda: self.spliced(own), 4),
            (lambda: self.real(4000), 2),
            (lambda: "".join(self.letter() for _ in range(self.rng.randint(1, 80))), 2),
            (lambda: self.run(own), 0.3),
        ]
        makers, weights = zip(*kinds, strict=True)
        return self.rng.choices(makers, weights)[0]()
