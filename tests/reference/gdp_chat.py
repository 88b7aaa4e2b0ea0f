"""Chat templates around pairs, as generative_data_prep puts them: SYSTEMS.md 2.3, chat template (GD-14)."""

PROMPT, COMPLETION = "<prompt_placeholder>", "<completion_placeholder>"


def turns(render, pairs):
    """(prompt, completion) of every turn; `render` renders a list of messages."""
    messages = []
    for _ in pairs:
        messages += [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": COMPLETION}]
    text = render(messages)
    prefix = text.split(PROMPT)[0]
    prompts, completions = iter([pair[0] for pair in pairs]), iter([pair[1] for pair in pairs])
    found, prompt, completion, in_completion = [], "", "", False
    for piece in pieces(text):
        if piece == COMPLETION:
            in_completion = True
            completion += next(completions)
        elif piece == PROMPT:
            said = next(prompts)
            prompt, completion = (prompt, completion + said) if in_completion else (prompt + said, completion)
        elif in_completion and piece.endswith(prefix):
            found.append((prompt, completion + piece[: len(piece) - len(prefix)]))
            prompt, completion, in_completion = prefix, "", False
        elif in_completion:
            completion += piece
        else:
            prompt += piece
    return [*found, (prompt, completion)]


def pieces(text):
    """The text, cut in front of and behind placeholders."""
    while text:
        starts = [at for at in (text.find(PROMPT), text.find(COMPLETION)) if at >= 0]
        start = min(starts, default=len(text))
        if start:
            yield text[:start]
        if start < len(text):
            name = PROMPT if text.startswith(PROMPT, start) else COMPLETION
            yield name
            start += len(name)
        text = text[start:]
