"""`web`: a chat in the browser, a thin page of gradio. Only here is gradio imported."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError
from bloomdata.inference.backends import LocalBackend
from bloomdata.inference.chatting import open_chat
from bloomdata.inference.presets import Settings
from bloomdata.inference.web_answers import WebAnswers

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from bloomdata.inference.session import ChatSession

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
    model: str | os.PathLike[str] | None = None,
    *,
    single_turn: bool = False,
    examples: Sequence[str] = _EXAMPLES,
    host: str = "127.0.0.1",
    port: int = 7860,
    share: bool = False,
    on_line: Callable[[str], object] | None = None,
    **options: Any,
) -> None:
    """Opens a chat in the browser, until Ctrl-C.

    The page has a history for each tab, settings, and buttons to stop, retry, undo and clear. Text is kept as it is,
    never as HTML. The page loads nothing from elsewhere. One answer is written at a time; the next one waits.

    Args:
        model: A folder of transformers, a GGUF file, or the name of a model on the Hub. With `url`, its name there.
        single_turn: Whether to answer each message without those before.
        examples: Prompts to click on.
        host: Address to listen on; `0.0.0.0` for all, which lets everybody in.
        port: Port to listen on.
        share: Whether to open a public address, through servers of gradio's makers.
        on_line: Called with each address of the page, when it is open.
        **options: Options of `open_chat`. The page can change the settings and the system text.

    Raises:
        ConfigError: An option is invalid, the model cannot be loaded, or gradio is not installed.
        OSError: The port is in use, or the server cannot be reached.

    Command line:
        bloomdata-cli web run/export
        bloomdata-cli web smollm/ --retrieval index/ --port 8080
        bloomdata-cli web --url http://localhost:8000/v1 --single-turn
    """
    require_gradio()
    answers = WebAnswers(open_chat(model, **options), is_single_turn=single_turn)
    page = build_page(answers, examples=examples)
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


def build_page(answers: WebAnswers, *, examples: Sequence[str] = ()) -> Any:
    """The page, a `gradio.ChatInterface`, not yet launched."""
    gradio = require_gradio()
    chat = answers.chat
    has_index = chat.retrieval is not None
    settings = first_settings(chat)
    numbers = {
        "temperature": {"label": "Temperature (0: most probable)", "minimum": 0, "step": 0.1},
        "top_p": {"label": "Top-p", "minimum": 0.01, "maximum": 1, "step": 0.05},
        "top_k": {"label": "Top-k (0: all)", "minimum": 0, "precision": 0},
        "repetition_penalty": {"label": "Repetition penalty", "minimum": 0.1, "step": 0.1},
        "max_new_tokens": {"label": "New tokens at most", "minimum": 1, "precision": 0},
    }
    inputs = [
        gradio.Textbox(chat.conversation.system or "", label="System text", lines=2),
        gradio.Checkbox(has_index, label="Look for passages", visible=has_index),
    ]
    for name, options in numbers.items():
        value = getattr(settings, name)
        # The page makes 0 of an empty field.
        inputs.append(gradio.Number(value, visible=value is not None, **options))
    page = gradio.ChatInterface(
        answers.answer,
        title=chat.backend.name,
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


def first_settings(chat: ChatSession) -> Settings:
    """The settings that the page begins with: those of the chat, the model's, or such as change nothing.

    None for settings that a server need not know, and may refuse.
    """
    if not isinstance(chat.backend, LocalBackend):
        return _over(_OPENAI, chat.settings)
    from bloomdata.inference.rules import completed

    return _over(_NEUTRAL, completed(chat.settings, chat.backend.prompting.model))


def _over(base: Settings, settings: Settings) -> Settings:
    """Settings, with those of `base` where they say nothing."""
    return replace(base, **{name: value for name, value in vars(settings).items() if value is not None})
