"""Validate the model's answer: bounds hold, lists are short, strings are plain. No missing part is filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, NoReturn

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from crypto_assets.narratives.llm.prompt import DRIVERS, SECONDARY
from crypto_assets.narratives.llm.text import framed, plain
from crypto_assets.tables.news import IMPACT_HORIZONS, THEMES

MAX_CHARS = 20_000
DRIVER_CHARS, QUOTE_CHARS = 160, 300
_REFUSAL = re.compile(
    r"^\W*(i'?m sorry|i am sorry|sorry|i can(?:'|no)?t|i cannot|i am unable|i'?m unable|as an ai)\b", re.IGNORECASE
)
_BEGUN = re.compile(r'\{\s*"\w+"\s*:')
# Marks of DeepSeek, Qwen, Magistral, Kimi, Seed, OpenThinker and gpt-oss (whose thoughts end where another part begins).
_THOUGHT = re.compile(
    r"<\|?(?P<end>/)?(?:\w+:|ant_)?(?:think|thinking|thinking_process|thought|thoughts|reason|reasoning|reasoning_content"
    r"|reflection|scratchpad)\|?(?:\s[^<>]{0,80})?(?<!/)>"
    r"|\[(?P<end_1>/)?think(?:ing)?\]|\u25c1(?P<end_2>/)?think\u25b7|<\|(?:begin|(?P<end_3>end))_of_thought\|>"
    r"|<\|channel\|>(?:analysis|(?P<end_4>final))\b",
    re.IGNORECASE,
)


class InvalidAnswerError(ValueError):
    """The text is not the answer that was asked for; the message says why.

    ``refused``: the model declined to answer.
    """

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


def _name(value: Any) -> Any:
    return "_".join(value.strip().lower().replace("-", " ").split()) if isinstance(value, str) else value


def _texts(value: Any) -> list[str]:
    return [plain(item) for item in value if isinstance(item, str)] if isinstance(value, list) else []


Name = Annotated[str, BeforeValidator(_name)]


class Driver(BaseModel):
    """A reason in the model's words, and the quote from the article that supports it."""

    driver: str
    quote: str


class Answer(BaseModel):
    """The model's answer. Sentiment is -1 to 1 and confidence 0 to 1; what the model leaves out is empty or None."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    theme: Name
    secondary_themes: list[str] = []
    sentiment: float = Field(ge=-1, le=1, strict=True)
    confidence: float = Field(ge=0, le=1, strict=True)
    drivers: list[Driver] = []
    affected_symbols: Annotated[list[str], BeforeValidator(_texts)] = Field(
        default=[], validation_alias=AliasChoices("affected_symbols", "affected_coins")
    )
    impact_horizon: Name | None = None
    summary: str | None = None

    @field_validator("theme")
    @classmethod
    def _known_theme(cls, value: str) -> str:
        if value not in THEMES:
            raise ValueError(f"{value[:40]!r} is not a theme")
        return value

    @field_validator("impact_horizon")
    @classmethod
    def _known_horizon(cls, value: str | None) -> str | None:
        if value is not None and value not in IMPACT_HORIZONS:
            raise ValueError(f"{value[:40]!r} is not an impact horizon")
        return value

    @field_validator("secondary_themes", mode="before")
    @classmethod
    def _further_themes(cls, value: Any) -> list[str]:
        names = [_name(name) for name in _texts(value)]
        return list(dict.fromkeys(name for name in names if name in THEMES))

    @field_validator("drivers", mode="before")
    @classmethod
    def _reasons(cls, value: Any) -> list[dict[str, str]]:
        """Accept a list of quotes, which models write that ignore the schema."""
        found = []
        for item in value if isinstance(value, list) else []:
            if isinstance(item, str):
                item = {"driver": item, "quote": item}
            if isinstance(item, dict):
                driver, quote = (item.get(key) for key in ("driver", "quote"))
                if isinstance(driver, str) and isinstance(quote, str):
                    found.append({"driver": framed(driver)[:DRIVER_CHARS], "quote": framed(quote)[:QUOTE_CHARS]})
        return found[:DRIVERS]

    @field_validator("summary", mode="before")
    @classmethod
    def _plain_summary(cls, value: Any) -> str | None:
        return framed(value) or None if isinstance(value, str) else None

    def further_themes(self) -> list[str]:
        """Return the secondary themes without the main theme, at most ``SECONDARY``."""
        return [name for name in self.secondary_themes if name != self.theme][:SECONDARY]


def parse(content: str) -> Answer:
    """Find and validate the answer in the model's text.

    A reasoning model writes its thoughts first, with drafts of the answer in them. Models also write notes and code
    fences around the answer. So every JSON object in the text is checked against the schema. Of the valid objects, the
    last one outside the thoughts counts, because a second complete answer corrects the first. Only where the thoughts
    never end, the last valid object inside them counts. An object inside another object is not an answer.

    Args:
        content: the model's text.

    Returns:
        The answer.

    Raises:
        InvalidAnswerError: there is no valid answer; the message names the first thing that is wrong.
    """
    found = _answers(content)
    if found.good:
        return found.good[-1]
    said = content[found.thoughts_end :]
    if _REFUSAL.match(said):
        raise InvalidAnswerError(f"the model refused: {plain(said)[:80]!r}", refused=True)
    if found.wrong is not None and not found.broken:
        first = found.wrong.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "the answer"
        raise InvalidAnswerError(
            f"{where} of the model's answer is wrong: {first['msg']}; it gave {plain(str(first['input']))[:60]!r}"
        ) from found.wrong
    what = "malformed JSON" if "{" in said and "}" in said else "no JSON object"
    raise InvalidAnswerError(f"the model answered {what}: {plain(said)[:80]!r}")


@dataclass
class _Found:
    """What a text contains.

    It has answers, the reason why the last invalid object is invalid, whether an object was cut off, and the end of the
    thoughts.
    """

    good: list[Answer] = field(default_factory=list)
    wrong: ValidationError | None = None
    broken: bool = False
    thoughts_end: int = 0


def _answers(content: str) -> _Found:
    objects = list(_objects(content))
    inside = [(begin, end) for begin, end, answer in objects if isinstance(answer, Answer)]
    # A tag inside the strings of an answer is part of the answer.
    tags = [tag for tag in _THOUGHT.finditer(content) if not any(b < tag.start() < e for b, e in inside)]
    ends = {tag for tag in tags if any(tag.groups())}
    closed = max((tag.end() for tag in ends), default=0)
    opened = min((tag.start() for tag in tags if tag not in ends and tag.start() >= closed), default=len(content))
    spoken = [entry for entry in objects if closed <= entry[0] < opened]
    thought = [entry for entry in objects if opened <= entry[0]]
    good = [answer for _, _, answer in spoken if isinstance(answer, Answer)]
    good = good or [answer for _, _, answer in thought if isinstance(answer, Answer)]
    wrong = [error for _, _, error in [*thought, *spoken] if isinstance(error, ValidationError)]
    broken = any(found is None for _, _, found in spoken)
    return _Found(good, wrong[-1] if wrong else None, broken, closed)


def _objects(content: str) -> Iterator[tuple[int, int, Answer | ValidationError | None]]:
    """Yield each outermost JSON object: its position and its result.

    The result is an answer, the reason why the object is not an answer, or None for broken JSON.
    """
    position = content.find("{")
    while position >= 0:
        try:
            found, end = _DECODER.raw_decode(content, position)
        except (ValueError, RecursionError):  # a brace in prose, or an object that was cut off
            if _BEGUN.match(content, position):
                yield position, position, None
            position = content.find("{", position + 1)
            continue
        try:
            yield position, end, Answer.model_validate(found)
        except ValidationError as error:
            yield position, end, error
        position = content.find("{", end)


def without_long_thoughts(content: str, limit: int = MAX_CHARS) -> str:
    """Shorten a text to ``limit`` characters; a longer one keeps what follows the thoughts, where the answer is.

    Args:
        content: the model's text.
        limit: the largest number of characters.

    Returns:
        The text.
    """
    closed = _answers(content[-limit:]).thoughts_end if len(content) > limit else 0
    return content[-limit:][closed:] if closed else content[:limit]


def _no_constants(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constants)
