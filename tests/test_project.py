"""What the project's files say of each other, and that `make lint` notices what is wrong."""

import os
import re
import shutil
import subprocess
import time

import pytest
from conftest import CFFI, ROOT

import lowthread

pytestmark = [
    pytest.mark.skipif(
        not (ROOT / ".github").exists(), reason="only the repository has the files for it"
    ),
    pytest.mark.skipif(CFFI, reason="the same for every backend: native runs this"),
]


def read(*names):
    return ROOT.joinpath(*names).read_text("utf-8")


def key(version):
    return [int(part) for part in version.split(".")]


# ---- what is supported ----

CLASSIFIER = r'"Programming Language :: Python :: (3\.\d+)"'


def supported():
    return re.findall(CLASSIFIER, read("pyproject.toml"))


def matrix(name):
    """Return a list under `test: strategy: matrix:` of ci.yml, or the pairs that are unproven."""
    job = read(".github", "workflows", "ci.yml").split("\n  test:\n")[1].split("\n  checks:\n")[0]
    if name == "unproven":
        return re.findall(r"- \{ (\w+): \"?([\w.-]+)\"?, unproven: true \}", job)
    if name == "os":
        return re.search(r"\n {8}os: \[(.*)\]", job)[1].split(", ")
    block = re.search(r"\n {8}python:\n((?: {10}- .*\n)+)", job)[1]
    return re.findall(r"- \"?([\w.-]+)", block)


def test_the_oldest_python_is_the_one_that_is_required():
    required = re.search(r'requires-python = ">=(3\.\d+)"', read("pyproject.toml"))[1]
    assert required == min(supported(), key=key)


def test_the_matrix_has_every_python():
    wanted = {f"3.{minor}" for minor in range(9, 15)}
    assert set(matrix("python")) == wanted | {"3.14t", "pypy-3.9", "pypy-3.10", "pypy-3.11"}


def test_what_may_not_fail_is_what_is_supported():
    unproven = {name for axis, name in matrix("unproven") if axis == "python"}
    assert unproven < set(matrix("python"))
    assert set(matrix("python")) - unproven == {*supported(), "pypy-3.9"}
    systems = {name for axis, name in matrix("unproven") if axis == "os"}
    assert set(matrix("os")) - systems == {"ubuntu-24.04"}


def test_the_readme_names_what_is_supported():
    readme = " ".join(read("README.md").split())
    oldest, newest = min(supported(), key=key), max(supported(), key=key)
    assert f"CPython {oldest} to {newest}" in readme
    assert "PyPy 3.9" in readme


# ---- versions, license ----


def test_the_version_is_in_one_place():
    assert 'dynamic = ["version"]' in read("pyproject.toml")
    assert 'attr = "lowthread._version.__version__"' in read("pyproject.toml")
    for name in ("pyproject.toml", "setup.py", "build_ffi.py", "lowthread/__init__.py"):
        assert f'"{lowthread.__version__}"' not in read(name), name


def test_the_changes_begin_with_this_version():
    assert re.search(r"^## (\S+)", read("CHANGELOG.md"), re.M)[1] == lowthread.__version__


def test_the_license_is_named():
    assert read("LICENSE").startswith("MIT License")
    assert 'license = "MIT"' in read("pyproject.toml")
    assert "MIT" in read("README.md")


def test_the_tools_have_one_version():
    hooks = read(".pre-commit-config.yaml")
    pins = set(re.findall(r"[\w.-]+==[\w.]+", hooks))
    assert len({pin.split("==")[0] for pin in pins}) == len(pins)
    cibuildwheel = next(pin for pin in pins if pin.startswith("cibuildwheel=="))
    assert cibuildwheel in read("tools", "wheels.txt").split()
    for name in ("Makefile", "pyproject.toml", ".github/workflows/wheels.yml"):
        assert "cibuildwheel==" not in read(name), name
        assert "ruff==" not in read(name), name


# ---- what is called is there ----


def targets():
    lines = re.findall(r"^(\w[\w -]*):(?!=)", read("Makefile"), re.M)
    return {name for line in lines for name in line.split()}


@pytest.mark.parametrize(
    "name",
    [
        ".ci/run",
        ".devcontainer/devcontainer.json",
        ".github/PULL_REQUEST_TEMPLATE.md",
        ".github/workflows/ci.yml",
        "CONTRIBUTING.md",
        "README.md",
    ],
)
def test_every_target_that_is_spoken_of_exists(name):
    text = read(name)
    # Where code is written; in prose it may be a word.
    spoken = set(re.findall(r"(?:^ *|[`\"(]|run: |step (?:.* )?)make\s+([a-z][\w-]*)", text, re.M))
    if name.endswith("ci.yml"):
        spoken |= set(re.search(r"target: \[(.*)\]", text)[1].split(", "))
        spoken |= set(re.findall(r"target: ([\w-]+)", text))
    assert spoken
    assert spoken - targets() == set()


def test_the_development_container_has_what_ci_has():
    wanted = re.search(r"^wanted=\((.*?)\)", read(".ci", "run"), re.M | re.S)[1].split()
    assert "spin" in wanted
    dockerfile = read(".devcontainer", "Dockerfile")
    install = re.search(r"apt-get install (.*?)&&", dockerfile.replace("\\\n", " "), re.S)[1]
    assert set(wanted) - set(install.split()) == set()


# ---- the gate ----


@pytest.fixture
def gate(tmp_path):
    """Return a function that begins the gate, with stubs of what it calls; what they do is sh."""
    project = tmp_path / "project"
    (project / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", project / ".ci")
    stubs = tmp_path / "bin"
    stubs.mkdir()
    begun = []
    # This may be run by the gate, with less time than it has otherwise.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("LATEST")}

    def begin(make, **variables):
        for name, script in {
            "make": make,
            "dpkg": "exit 0",
            "apt-get": "exit 0",
            "chromium": "",
            "musl-gcc": "",
            "pypy3": "",
            "spin": "",
            "valgrind": "",
        }.items():
            (stubs / name).write_text(f"#!/bin/sh\n{script}\n")
            (stubs / name).chmod(0o755)
        process = subprocess.Popen(
            ["bash", ".ci/run"],
            cwd=project,
            env=plain | {"PATH": f"{stubs}:{os.environ['PATH']}"} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        begun.append(process)
        return process

    yield begin
    (tmp_path / "stop").touch()
    for process in begun:
        process.kill()
        process.communicate()


def steps_of(output):
    return re.findall(r"^== (make .*)", output, re.M)


def test_the_gate_passes_if_each_of_its_steps_does(gate):
    process = gate("exit 0")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert len(steps_of(output)) > 30
    assert "failed" not in output
    assert "left out" not in output


@pytest.mark.parametrize("broken", ["lint", "test-all BACKEND=cffi ONLY=CPython-3.9"])
def test_a_step_that_fails_has_the_gate_fail_when_all_others_have_run(gate, broken):
    all_steps = sorted(steps_of(gate("exit 0").communicate(timeout=60)[0]))
    process = gate(f"[ \"$*\" != '{broken}' ]")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output.count("failed") == 1
    assert output.endswith(f"failed: make {broken}\n")
    assert sorted(steps_of(output)) == all_steps


def test_for_want_of_time_the_gate_leaves_out_what_comes_last_and_says_so(gate):
    process = gate("exit 0", LATEST="-1", LATEST_OF_LONG="-1")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "make test-all BACKEND=native ONLY=3.13" in steps_of(output)
    assert "left out, for want of time: make stress-all SECONDS=20\n" in output


def test_a_gate_that_is_ended_ends_what_it_has_begun(gate, tmp_path):
    began = tmp_path / "began"
    process = gate(f'echo >>"{began}"; while ! [ -e "{tmp_path}/stop" ]; do sleep 0.1; done')
    while not began.exists() or began.read_text() != "\n\n":  # one in each half
        assert process.poll() is None
        time.sleep(0.01)
    process.terminate()
    process.communicate(timeout=20)  # all have closed the output
    assert process.returncode == 143


# ---- make lint notices ----

HOOKS = ROOT / ".venv-lint"
needs_hooks = pytest.mark.skipif(
    not (HOOKS / "hooks").exists(), reason="needs the tools that `make lint` installs"
)

STEP = "    runs-on: ubuntu-24.04\n    steps:\n      - run: "
WORKFLOW = f"on: push\npermissions: {{}}\njobs:\n  job:\n{STEP}make\n"

WRONG = {
    "actionlint": (".github/workflows/x.yml", WORKFLOW.replace("make", "echo ${{ matrix.nope }}")),
    "actionlint, a label": (".github/workflows/x.yml", WORKFLOW.replace("ubuntu-24", "ubuntu-25")),
    "zizmor": (
        ".github/workflows/x.yml",
        WORKFLOW.replace("make", "echo ${{ github.event.issue.title }}"),
    ),
    "schema-workflows": (".github/workflows/x.yml", WORKFLOW.replace("runs-on", "runs")),
    "schema-dependabot": (".github/dependabot.yml", "version: 2\nupdates:\n  - directory: /\n"),
    "schema-issue-forms": (".github/ISSUE_TEMPLATE/x.yml", "name: x\nbody: []\n"),
    "schema-issue-config": (".github/ISSUE_TEMPLATE/config.yml", "blank_issues: true\n"),
    "hadolint": (".devcontainer/Dockerfile", "FROM debian\nRUN cd /tmp\n"),
    "merge-conflict": ("x.md", "<<<<<<< HEAD\nx\n=======\ny\n>>>>>>> z\n"),
    "ruff-check": ("x.py", "import os\n"),
    "ruff-format": ("x.py", "x = [ 1 ]\n"),
    "clang-format": ("csrc/x.c", "int  x;\n"),
    "trailing-whitespace": ("x.md", "x \n"),
    "end-of-file": ("x.md", "x"),
    "yaml": ("x.yml", "a: [\n"),
    "toml": ("x.toml", "a = \n"),
    "json": ("x.json", "{,}\n"),
}

SETTINGS = (".clang-format", ".hadolint.yaml", ".pre-commit-config.yaml", "pyproject.toml")


def lint(folder, hook):
    """Run one of the hooks on everything in a folder, as `make hooks HOOK=...` does."""
    for name in SETTINGS:
        shutil.copy(ROOT / name, folder)
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=folder, env=env, check=True)
    return subprocess.run(
        [HOOKS / "bin" / "pre-commit", "run", "--all-files", "--color", "never", hook],
        cwd=folder,
        env={**env, "PRE_COMMIT_HOME": str(HOOKS / "hooks")},
        capture_output=True,
        text=True,
        check=False,
    )


@needs_hooks
@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_noticed(case, tmp_path):
    name, text = WRONG[case]
    hook = case.split(",")[0]
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    ran = lint(tmp_path, hook)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert f"- hook id: {hook}\n" in ran.stdout


@needs_hooks
@pytest.mark.parametrize("hook", ["actionlint", "zizmor", "schema-workflows"])
def test_a_workflow_that_is_right(hook, tmp_path):
    """So that what is noticed above is what is wrong there."""
    path = tmp_path / ".github" / "workflows" / "x.yml"
    path.parent.mkdir(parents=True)
    path.write_text(WORKFLOW)
    ran = lint(tmp_path, hook)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@needs_hooks
@pytest.mark.parametrize(
    "old, new",
    [
        ("pp* cp314t-*", "pp*"),  # a wheel is built twice
        ("*-manylinux* pp*", "*-manylinux* *-musllinux* pp*"),  # a job builds none
        ("cp3?-* cp3??-*", "cp3?-* cp3??-* *-manylinux*"),  # a wheel is not built
    ],
)
def test_wheels_that_are_built_by_none_or_two_are_noticed(old, new, tmp_path):
    text = read(".github", "workflows", "wheels.yml")
    assert old in text
    for name in (".github/workflows", "tools"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy(ROOT / "tools" / "wheels_plan.py", tmp_path / "tools")
    workflow = tmp_path / ".github" / "workflows" / "wheels.yml"
    workflow.write_text(text.replace(old, new))
    ran = lint(tmp_path, "wheels-plan")
    assert ran.returncode == 1
    assert "should be built once" in ran.stdout or "builds nothing" in ran.stdout


@needs_hooks
def test_a_tree_without_a_repository_is_looked_at(tmp_path):
    for name in ("Makefile", "tools/lint.txt", ".pre-commit-config.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    (tmp_path / ".venv-lint").symlink_to(HOOKS)
    (tmp_path / "x.toml").write_text("a = \n")
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "y.toml").write_text("b = \n")
    ran = subprocess.run(
        ["make", "hooks", "HOOK=toml"],
        cwd=tmp_path,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "GIT_"))},
            "GIT_CEILING_DIRECTORIES": str(tmp_path.parent),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode != 0
    assert "x.toml" in ran.stdout and "y.toml" not in ran.stdout
