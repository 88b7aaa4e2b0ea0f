"""What the model is given for a prompt: ids that leave room for an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError, MismatchError
from bloomdata.inference.conversation import Conversation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bloomdata.inference.conversation import Clock
    from bloomdata.inference.model import Model
    from bloomdata.inference.presets import Preset
    from bloomdata.tokenizers.chat_template import ChatTemplate

    Prompt = str | Sequence[dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class Prompting:
    """How prompts become ids.

    Attributes:
        model: Whose tokenizer and window count.
        template: None for plain text.
        system: System text of conversations.
        clock: For a preamble.
        preset: Says what is left out of what is too long.
        truncate_turn: "left" to cut the beginning of a prompt that is too long.
    """

    model: Model
    template: ChatTemplate | None
    system: str | None = None
    clock: Clock | None = None
    preset: Preset
    truncate_turn: Any = None

    def room(self, max_new_tokens: int) -> int | None:
        """Tokens that a prompt may have; None for no limit."""
        window = self.model.window
        sizes = [None if window is None else window - max_new_tokens, self.preset.window_tokens]
        return min((size for size in sizes if size is not None), default=None)

    def ids(self, prompt: Prompt, max_new_tokens: int) -> list[int]:
        """The ids of a text or of a conversation.

        Raises:
            MismatchError: They do not fit; the message gives both counts.
            ConfigError: The template rejects the conversation, or there is none.
        """
        if self.template is None:
            if not isinstance(prompt, str):
                raise ConfigError('template: messages need a template, got "none"')
            return self.plain_ids(prompt, max_new_tokens)
        return self.ids_of(self.conversation(prompt), max_new_tokens)

    def ids_of(self, conversation: Conversation, max_new_tokens: int) -> list[int]:
        """The ids of a conversation; errors as for `ids`."""
        return conversation.prompt_ids(
            self.model.tokenizer,
            self.room(max_new_tokens),
            truncation=self.preset.truncation,
            truncate_turn=self.truncate_turn,
        )

    def conversation(self, prompt: Prompt) -> Conversation:
        """A prompt as a conversation."""
        conversation = self.new_conversation()
        if isinstance(prompt, str):
            conversation.add("user", prompt)
        else:
            conversation.load({"messages": list(prompt)})
        return conversation

    def new_conversation(self) -> Conversation:
        """One without turns."""
        mark = self.preset.truncation_mark
        return Conversation(self.template, system=self.system, clock=self.clock, truncation_mark=mark)

    def plain_ids(self, text: str, max_new_tokens: int) -> list[int]:
        """The ids of a plain text; errors as for `ids`. An empty text asks for any text."""
        room = self.room(max_new_tokens)
        ids = [int(token) for token in self.model.tokenizer.encode(text)] or [self.model.start_id]
        if room is None or len(ids) <= room:
            return ids
        if self.truncate_turn == "left" or self.preset.truncation == "last-ids":
            return ids[len(ids) - room :]
        raise MismatchError(
            f"prompt: it has {len(ids)} tokens, and {room} fit beside the answer; use a shorter one, a smaller "
            'max_new_tokens, or truncate_turn="left"'
        )
