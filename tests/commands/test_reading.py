"""Documents by hand: what is a command, what is shown, what a command is made of."""

import pytest
from fenced import blocks
from shell_lines import Command, parsed, typed

TEXT = """\
Text with `python -m r2d_ray.tune` in it.

```
$ make tune   # it's a comment
trials: 4 done
```

1. In a list:
   ```sh
   python -m r2d_ray.compare --methods a \\
     --seeds 1
   make x && make y
   ```

````text
```
not a block
```
````

~~~csv notes.csv
q,a
~~~

```csv title="more/notes.csv"
q
```

```python
print()
```
"""


def test_blocks_languages_files_and_lines() -> None:
    found = [(b.language, b.file, b.line, b.holds_commands) for b in blocks(TEXT)]
    assert found == [
        ("", None, 4, True),
        ("sh", None, 10, True),
        ("text", None, 16, False),
        ("csv", "notes.csv", 22, False),
        ("csv", "more/notes.csv", 26, False),
        ("python", None, 30, False),
    ]
    assert [b.lines for b in blocks(TEXT)][2] == ("```", "not a block", "```")
    with pytest.raises(ValueError, match="line 2: the block is never closed"):
        list(blocks("a\n```\nb\n"))


def test_lines_are_joined_and_what_commands_print_is_left_out() -> None:
    prompted, listed, *_ = blocks(TEXT)
    assert list(typed(prompted)) == [(4, "make tune   # it's a comment")]
    assert list(typed(listed)) == [
        (10, "python -m r2d_ray.compare --methods a    --seeds 1"),
        (12, "make x && make y"),
    ]


@pytest.mark.parametrize(
    ("line", "commands"),
    [
        ("make tune   # it's a comment", [("make", "tune")]),
        ("# only a comment", []),
        ("make x && make y; make z", [("make", "x"), ("make", "y"), ("make", "z")]),
        ("pip install 'a[b]>=1'", [("pip", "install", "a[b]>=1")]),
        ("x '# no comment' a#b", [("x", "# no comment", "a#b")]),
        ("predict --model studies/<name>/best", [("predict", "--model", "studies/{name}/best")]),
        (
            "ray exec c.yaml 'python -m x --a 1'",
            [("ray", "exec", "c.yaml", "python -m x --a 1")],
        ),
    ],
)
def test_words_of_a_line(line: str, commands: list[tuple[str, ...]]) -> None:
    assert [command.words for command in parsed(line, 1)] == commands


def test_variables_and_output_are_no_words() -> None:
    assert list(parsed("A=1 B_2=/x y --json --set a=2 > out.json", 3)) == [
        Command(3, ("y", "--json", "--set", "a=2"), {"A": "1", "B_2": "/x"}, "out.json")
    ]


@pytest.mark.parametrize("line", ["a | b", "a < b", "a >> b", "a || b", "cat << END"])
def test_what_needs_a_shell_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="needs a shell"):
        list(parsed(line, 1))
