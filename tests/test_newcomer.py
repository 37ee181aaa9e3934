"""The tool that does what the README tells a newcomer to do."""

import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT, run_script, wait_until

TOOL = ROOT / "tools" / "newcomer.py"


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    spec = importlib.util.spec_from_file_location("newcomer", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


README = """\
# A program

    this is indented, not fenced

```python
print("one")
```

Text with `code` and ```more``` of it.

```sh
make build   # a comment
# nothing else

make test
```

- in a list:

  ```sh
  if true; then
    echo two \\
      words
  fi
  ```

````text
```sh
not this
```
````
```
nor this
```
"""


def test_the_blocks_of_a_readme(tool):
    assert tool.blocks(README) == [
        ("python", 'print("one")\n'),
        ("sh", "make build   # a comment\n# nothing else\n\nmake test\n"),
        ("sh", "if true; then\n  echo two \\\n    words\nfi\n"),
        ("text", "```sh\nnot this\n```\n"),
        ("", "nor this\n"),
    ]


def test_the_commands_of_a_block(tool):
    block = (
        "one  # a comment\n# no command\n\n  two && \\\n  three\nfor i in 1 2; do\n  four\ndone\n"
    )
    assert tool.commands(block) == [
        "one  # a comment",
        "  two && \\\n  three",
        "for i in 1 2; do\n  four\ndone",
    ]


def test_what_does_not_end_is_a_command(tool):
    assert tool.commands("one\nif two\n") == ["one", "if two\n"]


def test_of_the_environment_the_network_is_kept(tool, monkeypatch):
    monkeypatch.setattr(
        os,
        "environ",
        {"PIP_CERT": "a", "https_proxy": "b", "PYTHONPATH": "c", "MAKEFLAGS": "d", "HOME": "e"},
    )
    assert tool.environment("/home/new", "/links") == {
        "PIP_CERT": "a",
        "https_proxy": "b",
        "HOME": "/home/new",
        "PATH": "/links:/usr/bin:/bin",
        "PIP_REQUIRE_VIRTUALENV": "1",
    }


# ---- the whole of it, with a small repository ----

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture
def try_out(tmp_path):
    """Run the tool for a README; return its exit status and what it printed."""

    def run(readme, *options):
        repository = tmp_path / "repository"
        repository.mkdir()
        (repository / "README.md").write_text(readme)
        git = ["git", "-C", str(repository), "-c", "user.name=x", "-c", "user.email=x@y"]
        for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
            subprocess.run([*git, *command], check=True)
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        ran = run_script(
            TOOL,
            *("--python", sys.executable, "--repository", repository, *options),
            env={**os.environ, "TMPDIR": str(temporary)},
        )
        assert list(temporary.iterdir()) == []
        return ran.code, ran.out + ran.err

    return run


@needs_git
def test_a_readme_that_works(try_out):
    code, out = try_out(
        "```python\nopen('said', 'w').write('hello')\n```\n"
        "```sh\nx=1\npython3 hello.py; test $x = 1   # both\n```\n"
        "```sh\ntest -z $x\ngrep -q hello said && python3 program.py\n```\n"
    )
    lines = [line.split(" s  ", 1) for line in out.splitlines()[1:]]
    assert [(how[:8], command) for how, command in lines] == [
        ("  exit 0", "x=1"),
        ("  exit 0", "python3 hello.py; test $x = 1   # both"),
        ("  exit 0", "test -z $x"),
        ("  exit 0", "grep -q hello said && python3 program.py"),
    ]
    assert code == 0


@needs_git
@pytest.mark.parametrize(
    "command, status",
    [("sh -c 'echo woe; exit 3'", 3), ("sh -c 'echo woe; exit 4' && true", 4)],
)
def test_a_command_that_fails(try_out, command, status):
    code, out = try_out(f"```sh\ntrue\n{command}\necho not this\n```\n```sh\necho nor this\n```\n")
    assert code == 1
    lines = out.splitlines()
    assert lines[1].startswith("  exit 0 ") and lines[1].endswith(" s  true")
    assert lines[2].startswith(f"  exit {status} ") and lines[2].endswith(f" s  {command}")
    assert lines[3] == "    | woe"
    assert lines[4] == f"The README's commands do not work with {sys.executable}."
    assert len(lines) == 5


def state_of(pid):
    """Return what the system says of a process, such as Z if nobody has asked how it ended."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"


@needs_git
@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/cwd"), reason="needs Linux's /proc")
def test_a_command_that_takes_too_long_leaves_nothing(try_out, tmp_path):
    """Nor does what has left its process group."""
    (tmp_path / "escape.py").write_text(
        "import os, time\n"
        "os.setsid()\n"
        f"with open({str(tmp_path / 'pid')!r}, 'w') as f:\n"
        "    f.write(str(os.getpid()))\n"
        "time.sleep(600)\n"
    )
    code, out = try_out(
        f"```sh\npython3 {tmp_path}/escape.py & until test -s {tmp_path}/pid; do sleep 0.1; done\n"
        "sleep 600\n```\n",
        *("--timeout", "10"),  # enough for the first
    )
    assert code == 1
    assert "  too long " in out
    pid = (tmp_path / "pid").read_text()
    wait_until(lambda: state_of(pid) in ("Z", "gone"), "the process has ended")


@needs_git
@pytest.mark.parametrize(
    "readme, complaint",
    [
        ("nothing\n", "The README has no ```sh block."),
        ("```python\npass\n```\n```sh\ntrue # hello.py\n```\n", "No command runs hello.py"),
        ("```sh\ntest -f program.py\n```\n", "program.py was not run"),
    ],
)
def test_a_readme_that_forgets_something(try_out, readme, complaint):
    code, out = try_out(readme)
    assert code == 1
    assert complaint in out


def test_where_there_is_no_repository(tmp_path):
    ran = run_script(TOOL, "--repository", tmp_path, env={**os.environ, "GIT_DIR": "/nowhere"})
    assert ran.code == 1
    assert "is no repository of git's" in ran.err


def test_an_interpreter_that_is_not_there():
    ran = run_script(TOOL, "--python", "python3.99", "--repository", ROOT)
    assert ran.code == 1
    assert "There is no python3.99." in ran.err or "is no repository" in ran.err
