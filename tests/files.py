"""Files of inputs and of outputs."""

import json


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


def everything_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_words(folder):
    """Four files of forty texts each, with few different words."""
    for number in range(4):
        texts = [f"word{n % 7} and another {'é' * (n % 3)} {number * n}" for n in range(40)]
        (folder / f"{number}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return folder
