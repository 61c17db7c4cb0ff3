"""Test the model on one article; the result says what is wrong, and the one command that repairs it."""

from __future__ import annotations

from crypto_assets.narratives.llm.answer import InvalidAnswerError, parse
from crypto_assets.narratives.llm.client import CallError, ModelAwayError, Ollama
from crypto_assets.narratives.llm.text import Article
from crypto_assets.settings import Settings

TRIAL_S = 60.0
SMALLER = "llama3.2:1b"
_SAMPLE = Article.of(
    "Bitcoin rallies as fund adds to holdings", "Traders point to steady buying of BTC after the fund's filing."
)


async def examine_model(settings: Settings) -> tuple[bool, str]:
    """Test server and model. This costs one call where both are there.

    Args:
        settings: the server and the model.

    Returns:
        (whether all is well, one sentence).
    """
    limit = min(TRIAL_S, settings.ollama_timeout_s)
    smaller = f"run `ollama pull {SMALLER}` and set OLLAMA_MODEL={SMALLER}"
    async with Ollama(settings) as client:
        try:
            model = await client.probe()
            reply = await client.ask(model, _SAMPLE, limit)
            parse(reply.content)
        except ModelAwayError as error:
            return False, str(error)
        except InvalidAnswerError as error:
            return False, f"model {settings.ollama_model} answers nonsense ({error}); {smaller}"
        except CallError as error:
            if error.status == "timeout":
                return (
                    False,
                    f"model {settings.ollama_model} is too slow: one article takes over {limit:g} s; {smaller}",
                )
            if "memory" in str(error).lower():
                return False, f"model {settings.ollama_model} does not fit into memory ({error}); {smaller}"
            return False, f"model {settings.ollama_model} fails ({error}); restart the server: `ollama serve`"
    return True, f"model {settings.ollama_model} is ready ({model.digest[:12]}), {reply.duration_s:.1f} s an article"
