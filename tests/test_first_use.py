"""The core may be used for the first time anywhere: in threads that end, in pools, in children, in event loops."""

import subprocess
import sys
import textwrap

import pytest

# What the first use is: allocations that a thread makes and another one frees.
USES = {
    "encode": "bloomdata.Tokenizer('bytes').encode_batch(['abc'] * 10)",
    "rows": "bloomdata.open('rows').read_batch([0])",
    "pack": "bloomdata.pack('a.jsonl', f'out-{os.getpid()}-{next(numbers)}', tokenizer='bytes', sequence_length=4)",
}

WAYS = {
    "threads, one after the other": """
        for _ in range(5):
            thread = threading.Thread(target=use)
            thread.start()
            thread.join()
    """,
    "a thread, then the main thread": """
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
        use()
        use()
    """,
    "executors": """
        for _ in range(5):
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda _: use(), range(4)))
    """,
    "event loops": """
        for _ in range(5):
            asyncio.run(asyncio.to_thread(use))
    """,
    "children of a process whose thread has ended": """
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
        for method in ("fork", "spawn", "forkserver"):
            child = multiprocessing.get_context(method).Process(target=use)
            child.start()
            child.join()
            assert child.exitcode == 0, method
        use()
    """,
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("way", WAYS)
def test_the_core_is_first_used_in(way, use, raw, tmp_path):
    import bloomdata

    bloomdata.pack(raw / "a.jsonl", "rows", tokenizer="bytes", sequence_length=4)
    (tmp_path / "a.jsonl").write_text('{"text":"abc"}\n')
    program = textwrap.dedent("""
        import asyncio, concurrent.futures, itertools, multiprocessing, os, threading
        import bloomdata
        numbers = itertools.count()
        def use():
            USE
        if __name__ == "__main__":
        WAY
    """).replace("USE", USES[use])
    program = program.replace("WAY\n", textwrap.indent(textwrap.dedent(WAYS[way]), "    "))
    (tmp_path / "program.py").write_text(program)
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr


def test_a_second_interpreter_of_a_process_is_refused():
    program = textwrap.dedent("""
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        import bloomdata
        bloomdata.Tokenizer("bytes")
        other = interpreters.create()
        code = "import bloomdata\\ntry:\\n    bloomdata.Tokenizer('bytes')\\nexcept ImportError:\\n    pass\\n"
        code += "else:\\n    raise AssertionError"
        print(interpreters.run_string(other, code))
    """)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, "None\n"), ended.stderr
