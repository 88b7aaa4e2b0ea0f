"""`web`: a chat in the browser, a thin page of gradio. Only here is gradio imported."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from bloomdata.errors import ConfigError
from bloomdata.inference.presets import Settings
from bloomdata.inference.presets import preset as preset_of
from bloomdata.inference.web_answers import WebAnswers

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

_EXAMPLES = ("What is the capital of France?", "Write a short story about a fox.", "Explain what a tokenizer does.")
# What the page begins with where neither preset nor model says anything. A server may refuse what OpenAI has not.
_OPENAI = Settings(temperature=1.0, top_p=1.0, max_new_tokens=512)
_NEUTRAL = Settings(temperature=1.0, top_p=1.0, top_k=0, repetition_penalty=1.0, max_new_tokens=512)
# The message cannot be edited while an answer is written, and loses the focus then, which a keyboard needs back.
_FOCUS = """() => {
    const message = document.querySelector("#message");
    new MutationObserver(() => {
        const box = message.querySelector("textarea");
        if (box && !box.disabled && document.activeElement === document.body) box.focus();
    }).observe(message, { subtree: true, childList: true, attributes: true });
}"""
# Answers that wait at the same time; more of them wait in the browser.
_WAITING = 32


def web(
    model: str | os.PathLike[str],
    *,
    url: str | None = None,
    preset: Literal["bloomchat", "bloomchat-greedy", "openchatkit", "open-llama"] | None = None,
    template: str | None = None,
    system: str | None = None,
    retrieval: str | os.PathLike[str] | None = None,
    k: int = 3,
    single_turn: bool = False,
    examples: Sequence[str] = _EXAMPLES,
    seed: int | None = None,
    host: str = "127.0.0.1",
    port: int = 7860,
    share: bool = False,
    dtype: Literal["auto", "float32", "bfloat16", "float16", "int8"] = "auto",
    on_line: Callable[[str], object] | None = None,
) -> None:
    """Opens a chat in the browser, until Ctrl-C.

    The page has a history for each tab, settings, and buttons to stop, retry, undo and clear. Text is kept as it is,
    never as HTML. Nothing is sent anywhere else.

    Args:
        model: A folder of transformers, or with `url` the name of the model there.
        url: Base of a server with OpenAI's routes, `http://localhost:8000/v1`, to chat with instead.
        preset: Settings and template of a system.
        template: Name of a chat template; by default the model's own.
        system: System text at the start; the page can change it.
        retrieval: An index of `retrieval build`; its passages are given to the model, and listed below the answer.
        k: Passages for each message.
        single_turn: Whether each message is answered without those before.
        examples: Prompts to click on.
        seed: Seed of every answer; by default another one each time.
        host: Address to listen on; `0.0.0.0` for all, which lets everybody in.
        port: Port to listen on.
        share: Whether to open a public address through gradio's servers.
        dtype: Precision of the weights; `auto` takes that of the files.
        on_line: Called with the address of the page, when it is open.

    Raises:
        ConfigError: An option is invalid, the model cannot be loaded, or gradio is not installed.
        OSError: The port is in use.

    Command line:
        bloomdata-cli web run/export
        bloomdata-cli web smollm/ --retrieval index/ --port 8080
    """
    require_gradio()
    if retrieval is not None:
        from bloomdata.retrieval import open as open_index

        retrieval = open_index(retrieval)
    backend, new_conversation, settings = _backend(model, url, preset, template, dtype)
    answers = WebAnswers(
        backend,
        new_conversation,
        settings,
        retrieval=retrieval,
        num_passages=k,
        is_single_turn=single_turn,
        seed=seed,
    )
    page = build_page(answers, settings, title=backend.name, system=system, examples=examples)
    for address in launch(page, host=host, port=port, share=share):
        if on_line is not None:
            on_line(address)
    page.block_thread()


def require_gradio() -> Any:
    """The package, or an error that names the extra."""
    try:
        import gradio
    except ImportError as error:
        raise ConfigError(f"web needs gradio: pip install 'bloomdata[chat]' ({error})") from error
    return gradio


def build_page(
    answers: WebAnswers, settings: Settings, *, title: str, system: str | None = None, examples: Sequence[str] = ()
) -> Any:
    """The page, a `gradio.ChatInterface`, not yet launched. Settings that are None have no field."""
    gradio = require_gradio()
    has_index = answers.has_retrieval
    numbers = {
        "temperature": {"label": "Temperature (0: most probable)", "minimum": 0, "step": 0.1},
        "top_p": {"label": "Top-p", "minimum": 0.01, "maximum": 1, "step": 0.05},
        "top_k": {"label": "Top-k (0: all)", "minimum": 0, "precision": 0},
        "repetition_penalty": {"label": "Repetition penalty", "minimum": 0.1, "step": 0.1},
        "max_new_tokens": {"label": "New tokens at most", "minimum": 1, "precision": 0},
    }
    inputs = [
        gradio.Textbox(system or "", label="System text", lines=2),
        gradio.Checkbox(has_index, label="Look for passages", visible=has_index),
    ]
    for name, options in numbers.items():
        value = getattr(settings, name)
        # A visible field is a number: the page makes 0 of none.
        inputs.append(gradio.Number(value, visible=value is not None, **options))
    page = gradio.ChatInterface(
        answers.answer,
        title=title,
        # Without the button that uploads the conversation.
        chatbot=gradio.Chatbot(label="Conversation", height="65vh", buttons=["copy", "copy_all"]),
        textbox=gradio.Textbox(
            label="Message",
            placeholder="Message",
            submit_btn="Send",
            stop_btn="Stop",
            autofocus=True,
            elem_id="message",
        ),
        additional_inputs=inputs,
        additional_inputs_accordion=gradio.Accordion("Settings", open=False),
        examples=[[text] for text in examples] or None,
        show_progress="hidden",
        concurrency_limit=_WAITING,
        analytics_enabled=False,
        fill_height=True,
        api_visibility="private",
    )
    with page:
        page.load(js=_FOCUS)
    return page


def launch(page: Any, *, host: str, port: int, share: bool = False) -> list[str]:
    """Serves a page from another thread; its addresses.

    Raises:
        OSError: The port is in use.
    """
    gradio = require_gradio()
    # The fonts of the reader: those of gradio's themes come from Google.
    theme = gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    try:
        _, local, public = page.queue(default_concurrency_limit=_WAITING).launch(
            server_name=host,
            server_port=port,
            share=share,
            theme=theme,
            prevent_thread_lock=True,
            quiet=True,
            footer_links=[],
        )
    except OSError as error:
        raise OSError(f"{host}:{port} cannot be opened, is it in use? Choose another port ({error})") from error
    return [address for address in (local, public) if address]


def _backend(
    model: Any, url: str | None, preset: str | None, template: str | None, dtype: str
) -> tuple[Any, Any, Settings]:
    """Where answers come from, what makes conversations for it, and the settings that the page begins with."""
    settings = preset_of(preset).settings
    if url is not None:
        from bloomdata.inference.conversation import Conversation
        from bloomdata.inference.url_backend import UrlBackend

        return UrlBackend(url, str(model)), lambda: Conversation(None), _over(_OPENAI, settings)
    from bloomdata.inference.backends import LocalBackend
    from bloomdata.inference.generation import Job
    from bloomdata.inference.model import load
    from bloomdata.inference.sampling import completed

    prompting = Job.of(load(model, dtype=dtype), preset=preset, template=template).prompting
    if prompting.template is None:
        raise ConfigError("template: the model has no chat template; name one, such as human_bot")
    settings = completed(settings, prompting.model)
    return LocalBackend(prompting), prompting.new_conversation, _over(_NEUTRAL, settings)


def _over(base: Settings, settings: Settings) -> Settings:
    """Settings, with those of `base` where they say nothing."""
    return replace(base, **{name: value for name, value in vars(settings).items() if value is not None})
