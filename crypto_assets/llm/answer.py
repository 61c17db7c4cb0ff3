"""The model's answer, validated: bounds hold, lists are short, strings are plain. Nothing is filled in for it."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, NoReturn

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from crypto_assets.llm.prompt import DRIVERS, SECONDARY
from crypto_assets.llm.text import framed, plain
from crypto_assets.schemas_news import IMPACT_HORIZONS, THEMES

MAX_CHARS = 20_000
DRIVER_CHARS, QUOTE_CHARS = 160, 300
_REFUSAL = re.compile(
    r"^\W*(i'?m sorry|i am sorry|sorry|i can(?:'|no)?t|i cannot|i am unable|i'?m unable|as an ai)\b", re.IGNORECASE
)


class InvalidAnswerError(ValueError):
    """Not the answer that was asked for; says why. ``refused``: the model wrote that it will not."""

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


def _name(value: Any) -> Any:
    return "_".join(value.strip().lower().replace("-", " ").split()) if isinstance(value, str) else value


def _texts(value: Any) -> list[str]:
    return [plain(item) for item in value if isinstance(item, str)] if isinstance(value, list) else []


Name = Annotated[str, BeforeValidator(_name)]


class Driver(BaseModel):
    """A reason in the model's words, and the words of the article it rests on."""

    driver: str
    quote: str


class Answer(BaseModel):
    """What the model says. Sentiment -1 to 1, confidence 0 to 1; what it leaves out is empty or None."""

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
        """Models that ignore the schema write a list of quotes."""
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
        return [name for name in self.secondary_themes if name != self.theme][:SECONDARY]


def parse(content: str) -> Answer:
    """The validated answer in the model's text. Raises :class:`InvalidAnswerError` with the first thing that is wrong."""
    if _REFUSAL.match(content):
        raise InvalidAnswerError(f"the model refused: {plain(content)[:80]!r}", refused=True)
    start, end = content.find("{"), content.rfind("}")
    if start < 0 or end < start:
        raise InvalidAnswerError(f"the model answered no JSON object: {plain(content)[:80]!r}")
    try:
        found = json.loads(content[start : end + 1], parse_constant=_no_constants)
        return Answer.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "the answer"
        raise InvalidAnswerError(
            f"{where} of the model's answer is wrong: {first['msg']}; it gave {plain(str(first['input']))[:60]!r}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InvalidAnswerError(f"the model answered malformed JSON: {plain(content)[:80]!r}") from error


def _no_constants(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
