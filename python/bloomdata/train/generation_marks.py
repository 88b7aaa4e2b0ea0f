"""Built-in chat templates with `{% generation %}` blocks, by which transformers finds what is the assistant's."""

from __future__ import annotations

from bloomdata import _core

# For each template, how it writes an answer, and the same with marks.
_ANSWERS = {
    "human_bot": (
        "{{- '<bot>: ' if message.role == 'assistant' else '<human>: ' if message.role == 'user' else '' }}"
        "{{ message.content }}",
        "{%- if message.role == 'assistant' %}{{ '<bot>:' }}{% generation %}{{ ' ' ~ message.content }}"
        "{% endgeneration %}{% else %}{{ '<human>: ' if message.role == 'user' else '' }}{{ message.content }}"
        "{% endif %}",
    ),
    "user_system": (
        "{{ 'system:' ~ message.content ~ eos_token }}",
        "{{ 'system:' }}{% generation %}{{ message.content ~ eos_token }}{% endgeneration %}",
    ),
    "alpaca": (
        r"{{ '### Response:\n' ~ message.content ~ eos_token }}",
        r"{{ '### Response:\n' }}{% generation %}{{ message.content ~ eos_token }}{% endgeneration %}",
    ),
    "chatml": (
        r"{{- '<|im_start|>' ~ message.role ~ '\n' ~ message.content ~ '<|im_end|>\n' }}",
        r"{{- '<|im_start|>' ~ message.role ~ '\n' }}{% if message.role == 'assistant' %}{% generation %}"
        r"{{ message.content ~ '<|im_end|>' }}{% endgeneration %}{{ '\n' }}{% else %}"
        r"{{ message.content ~ '<|im_end|>\n' }}{% endif %}",
    ),
    "llama2": (
        "{{ ' ' ~ (message.content | trim) ~ ' ' ~ eos_token }}",
        "{{ ' ' }}{% generation %}{{ (message.content | trim) ~ ' ' ~ eos_token }}{% endgeneration %}",
    ),
    "llama3": (
        r"{{- '<|start_header_id|>' ~ message.role ~ '<|end_header_id|>\n\n' ~ (message.content | trim) ~ "
        r"'<|eot_id|>' }}",
        r"{{- '<|start_header_id|>' ~ message.role ~ '<|end_header_id|>\n\n' }}{% if message.role == 'assistant' %}"
        r"{% generation %}{{ (message.content | trim) ~ '<|eot_id|>' }}{% endgeneration %}{% else %}"
        r"{{ (message.content | trim) ~ '<|eot_id|>' }}{% endif %}",
    ),
    "zephyr": (
        r"{{- '<|' ~ message.role ~ '|>\n' ~ message.content ~ eos_token ~ '\n' }}",
        r"{{- '<|' ~ message.role ~ '|>\n' }}{% if message.role == 'assistant' %}{% generation %}"
        r"{{ message.content ~ eos_token }}{% endgeneration %}{{ '\n' }}{% else %}"
        r"{{ message.content ~ eos_token ~ '\n' }}{% endif %}",
    ),
    "mistral": (
        "{{ ' ' ~ (message.content | trim) ~ eos_token }}",
        "{{ ' ' }}{% generation %}{{ (message.content | trim) ~ eos_token }}{% endgeneration %}",
    ),
}


def marked_template(name: str) -> str | None:
    """A built-in template by its name, with `{% generation %}` around what `pack` trains on; None for other names."""
    source = _core.builtin_template(name)
    if source is None:
        return None
    plain, marked = _ANSWERS[name]
    assert plain in source, name
    return source.replace(plain, marked)
