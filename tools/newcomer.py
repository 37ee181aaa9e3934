"""Do what the README tells a newcomer to do, in a fresh clone, and see whether it works.

The commands of its ```sh blocks are run exactly as they are written, in the order in which they
come, each block in a shell of its own, which ends at the first that fails. A ```python block is
saved as hello.py when its turn comes. The README speaks of a program.py of the reader's, which is
a program with threads here.

The clone has what is committed. The environment has nothing but a home of its own, a PATH on
which `python3` is the interpreter (also if that is PyPy), and how the network is reached.

    python3 tools/newcomer.py [--python PATH ...] [--repository FOLDER] [--keep] [--timeout S]

Prints a line for each command, with its exit status and how long it took. The exit status is 1 if
one fails, or if none runs hello.py or a program.py that is spoken of.
"""

import argparse
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from interpreters import interpreters

ROOT = pathlib.Path(__file__).resolve().parent.parent

#: Whose README this is: a newcomer has one of these.
WANTED = ("CPython 3.11.", "PyPy ")

#: How the network is reached, in the names of environment variables.
NETWORK = re.compile(r"PIP_|SSL_CERT_|REQUESTS_CA_BUNDLE$|CURL_CA_BUNDLE$|\w+_proxy$", re.I)

PROGRAM = """\
import pathlib
import threading

lock = threading.Lock()
done = []


def work(i):
    with lock:
        done.append(i)


threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert sorted(done) == list(range(8))
pathlib.Path(__file__).with_name("program.ran").touch()
"""


def blocks(text):
    """Return the fenced blocks of a text in Markdown: pairs of language and content."""
    pattern = r"^( {0,3})(```+) *(\w*)[^\n`]*\n(.*?)^ {0,3}\2`* *$"
    found = []
    for indent, _, language, content in re.findall(pattern, text, re.M | re.S):
        found.append((language, re.sub(f"^ {{0,{len(indent)}}}", "", content, flags=re.M)))
    return found


def commands(block):
    """Return the commands of a block for sh, each a line, or lines if one does not end it."""
    found = []
    begun = ""
    for line in block.splitlines():
        begun += line
        if line.endswith("\\") or not is_whole(begun):
            begun += "\n"
            continue
        if begun.strip() and not begun.lstrip().startswith("#"):
            found.append(begun)
        begun = ""
    if begun:
        found.append(begun)  # sh says what is wrong with it
    return found


def is_whole(text):
    run = subprocess.run(["sh", "-n", "-c", text], capture_output=True, check=False)
    return run.returncode == 0


def environment(home, links):
    """Return the environment of somebody who has just come."""
    kept = {k: v for k, v in os.environ.items() if NETWORK.match(k)}
    # Nothing is installed outside of what the README makes.
    return {**kept, "HOME": home, "PATH": f"{links}:/usr/bin:/bin", "PIP_REQUIRE_VIRTUALENV": "1"}


def end_all(group, folder):
    """End a process group, and every process that is at work in a folder."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
    # Also those with a session of their own, where the system lets one see them.
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            where = os.readlink(entry / "cwd")
            if (where + "/").startswith(f"{folder}/"):
                os.kill(int(entry.name), signal.SIGKILL)


class Block:
    """Commands that one shell runs."""

    def __init__(self, script, clone, env, timeout):
        self.commands = commands(script)
        self.clone, self.env, self.timeout = clone, env, timeout

    def run(self):
        """Run them until one fails; return whether none did."""
        with tempfile.TemporaryDirectory() as folder:
            # The shell writes down which one it is at, and has a file for what each prints.
            script = ["set -e"]
            for i, command in enumerate(self.commands):
                script += [f"exec >'{folder}/{i}' 2>&1", f"echo {i} >'{folder}/at'", command]
                script.append("(exit $?) || exit")  # `set -e` overlooks what is left of `&&`
            script.append(f"echo {len(self.commands)} >'{folder}/at'")
            shell = subprocess.Popen(
                ["sh", "-c", "\n".join(script)],
                cwd=self.clone,
                env=self.env,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                return self.watch(shell, pathlib.Path(folder))
            finally:
                end_all(shell.pid, self.clone)
                shell.wait()

    def watch(self, shell, folder):
        at, begin = 0, time.monotonic()
        while True:
            status = shell.poll()
            now = time.monotonic()
            with contextlib.suppress(OSError, ValueError):  # not yet, or half written
                next_at = int((folder / "at").read_text())
                for command in self.commands[at:next_at]:
                    print(f"  exit 0 {now - begin:7.1f} s  {command}", flush=True)
                    begin = now
                at = next_at
            if status == 0 and at == len(self.commands):
                return True
            if status is not None:
                verdict = f"exit {status}"
            elif now - begin > self.timeout:
                verdict = "too long"
            else:
                time.sleep(0.05)
                continue
            what = self.commands[at] if at < len(self.commands) else "(the end)"
            print(f"  {verdict} {now - begin:7.1f} s  {what}")
            with contextlib.suppress(OSError):
                said = (folder / str(at)).read_text("utf-8", errors="replace").splitlines()
                print("\n".join("    | " + line for line in said[-60:]), flush=True)
            return False


def try_out(python, repository, folder, timeout):
    """Do it all with an interpreter; return whether it works."""
    clone, home, links = (os.path.join(folder, name) for name in ("lowthread", "home", "bin"))
    for new in (home, links):
        os.mkdir(new)
    for name in {"python3", "pypy3"} if is_pypy(python) else {"python3"}:
        os.symlink(os.path.abspath(python), os.path.join(links, name))
    subprocess.run(["git", "clone", "-q", repository, clone], check=True)
    env = environment(home, links)
    readme = pathlib.Path(clone, "README.md").read_text("utf-8")
    program = pathlib.Path(clone, "program.py")
    program.write_text(PROGRAM, "utf-8")
    ran = []
    for language, content in blocks(readme):
        if language == "python":
            pathlib.Path(clone, "hello.py").write_text(content, "utf-8")
        elif language == "sh":
            block = Block(content, clone, env, timeout)
            if not block.run():
                return False
            ran += block.commands
    if not ran:
        print("  The README has no ```sh block.")
        return False
    if any(language == "python" for language, _ in blocks(readme)) and not named("hello.py", ran):
        print("  No command runs hello.py, the README's example.")
        return False
    if named("program.py", ran) and not program.with_name("program.ran").exists():
        print("  program.py was not run, or not to its end.")
        return False
    return True


def named(program, ran):
    return any(program in command.split("#")[0] for command in ran)


def is_pypy(python):
    code = "import sys; print(sys.implementation.name)"
    run = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.strip() == "pypy"


def chosen(paths):
    """Return the interpreters to try, a dictionary from names to paths."""
    if paths:
        for path in paths:
            if shutil.which(path) is None:
                sys.exit(f"There is no {path}.")
        return {path: shutil.which(path) for path in paths}
    found = interpreters()
    picked, missing = {}, []
    for wanted in WANTED:
        names = [name for name in found if name.startswith(wanted)]
        if names:
            picked[names[0]] = found[names[0]]
        else:
            missing.append(wanted.rstrip(". "))
    if missing:
        sys.exit(f"There is no {' and no '.join(missing)} here: name what there is with --python.")
    return picked


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", action="append", metavar="PATH", help="only this interpreter")
    parser.add_argument("--repository", default=str(ROOT), help="what to clone (this one)")
    parser.add_argument("--keep", action="store_true", help="leave the clones, and say where")
    parser.add_argument("--timeout", type=float, default=2400, help="seconds for a command (2400)")
    options = parser.parse_args()
    # Ended by a signal, it cleans up as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))

    status = subprocess.run(
        ["git", "-C", options.repository, "status", "--porcelain"],
        capture_output=True,
        text=True,
        check=False,
    )
    if status.returncode != 0:
        sys.exit(f"{options.repository} is no repository of git's that could be cloned.")
    if status.stdout:
        print("There are changes that are not committed; the clones will not have them.")
    pythons = chosen(options.python)
    if not pythons:
        sys.exit("No interpreter was found: name one with --python.")
    failed = []
    for name, path in pythons.items():
        folder = os.path.realpath(tempfile.mkdtemp(prefix="newcomer-"))
        print(f"== {name}" + (f" in {folder}" if options.keep else ""), flush=True)
        try:
            if not try_out(path, options.repository, folder, options.timeout):
                failed.append(name)
        finally:
            if not options.keep:
                shutil.rmtree(folder, ignore_errors=True)
    if failed:
        sys.exit(f"The README's commands do not work with {', '.join(failed)}.")


if __name__ == "__main__":
    main()
