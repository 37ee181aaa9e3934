# What can be done here; `make` alone lists it.
#
#   PYTHON   the interpreter to build for, python3 unless given
#   WAIT     how threads sleep: futex (Linux's default) or pthread
#   BACKEND  test only this one: native (C) or cffi (Python; all there is on PyPy)

PYTHON ?= python3
ifeq ($(strip $(PYTHON)),)
override PYTHON := python3
endif
WAIT ?= $(LOWTHREAD_WAIT)
CC ?= cc

ifneq ($(filter-out futex pthread,$(WAIT)),)
$(error WAIT is '$(WAIT)', but must be futex or pthread)
endif

BACKEND ?=
ifneq ($(filter-out native cffi,$(BACKEND)),)
$(error BACKEND is '$(BACKEND)', but must be native or cffi)
endif

# .venv is python3's; an interpreter that was named has one of its own.
TAG := $(shell $(PYTHON) -c 'import sys; print(sys.implementation.cache_tag)' 2>/dev/null)
ifeq ($(PYTHON),python3)
VENV := .venv
else
VENV := .venv-$(TAG)
endif
PY := $(VENV)/bin/python
# Two installations of one version are not the same interpreter.
WHICH := $(shell $(PYTHON) -c 'import sys, zlib; print(zlib.crc32((sys.version + sys.base_prefix).encode()))' 2>/dev/null)
READY := $(VENV)/ready-for-$(TAG)-$(WHICH)

help:
	@echo 'make demo      build, index the standard library with many threads, run a web server'
	@echo 'make build     build in place, so that `import lowthread` works from here'
	@echo 'make test      build and test (BACKEND=cffi: with that backend, on CPython)'
	@echo 'make test-all  with each backend, for every interpreter found (ONLY="3.11 PyPy": for these)'
	@echo 'make conformance  the standard library'"'"'s tests of threads, with lowthread and without'
	@echo 'make programs  run programs of others with lowthread and without (installs them)'
	@echo '               conformance-all, programs-all: for every interpreter found, or ONLY=...'
	@echo 'make stress    all operations at random for SECONDS=60, shared by the backends;'
	@echo '               SEED=... as it printed: the same again; stress-all: each interpreter'
	@echo 'make fuzz      any arguments for SECONDS=60, guided by coverage (installs atheris)'
	@echo 'make test-c    the C core alone, with both ways to wait'
	@echo 'make test-c-cross  ... as 32-bit programs, with musl and for aarch64'
	@echo 'make tsan      ... under ThreadSanitizer'
	@echo 'make asan      ... under AddressSanitizer and UndefinedBehaviorSanitizer'
	@echo 'make asan-python  the native module under them, and some of the Python tests'
	@echo 'make valgrind  ... under its memcheck and drd'
	@echo 'make model     the protocols of the lock and of the exit gate: all that can happen (needs spin)'
	@echo 'make newcomer  the commands of the README, in a fresh clone; PYTHON=...: with one interpreter'
	@echo 'make bench     measure every interpreter found; writes bench/results.md and .svg'
	@echo 'make bench-one measure one, and only print it'
	@echo 'make bench-builds WITH=HEAD~1  compare with the build of another commit, in instructions'
	@echo 'make types     mypy, pyright and stubtest, on CPython (installs them)'
	@echo 'make docs      the manual, in build/docs/html; its examples run (Python 3.11 or later)'
	@echo 'make docs-test look at its pages in a browser (needs chromium)'
	@echo 'make dist      the sdist and the wheels: build, check, and test each where it is installed'
	@echo '               without a compiler (QUICK=1: without the slow tests; ONLY=PyPy: there only)'
	@echo 'make lint      what git runs before a commit, and the C compiler with all warnings;'
	@echo '               make hooks: without the latter; HOOK=...: only one of them'
	@echo 'make format    ruff and clang-format, on everything'
	@echo 'make clean     remove what was built'
	@echo 'make distclean remove the virtual environments (.venv*) too'
	@echo
	@echo 'PYTHON=pypy3   another interpreter than python3; it gets a .venv-... of its own'
	@echo 'WAIT=pthread   build with mutexes and conditions instead of futexes'
	@echo 'SLOW=1         with make test and test-all: the slow tests, which these leave out'
	@echo 'TESTS=tests/test_lock.py  with make test: only these, slow or not'
	@echo 'QUICK=1        with make bench: only see that it works, and change no file;'
	@echo '               with make conformance: without the slow ones (MODULES=...: only these)'

# ---- environment and build ----

preflight:
	@command -v $(PYTHON) >/dev/null || { echo \
	  "There is no '$(PYTHON)': install the package $(notdir $(PYTHON)), or name another interpreter with PYTHON=..." >&2; exit 1; }
	@test -n "$(TAG)" || { echo \
	  "'$(PYTHON)' does not run as a Python 3 interpreter: name another with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) tools/preflight.py

# Made anew when `python3` has become another version.
$(READY): tools/requirements.txt | preflight
	@echo 'making $(VENV) for $(TAG) ...'
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install -q --disable-pip-version-check --upgrade -r tools/requirements.txt
	@touch $@

# Versions of CPython share one file, and setuptools does not see who built it last, nor
# with which WAIT: so it is forced to build, and only the last builder's mark counts.
SOURCES := $(wildcard csrc/*.[ch] csrc/cpython/*.[ch] lowthread/include/*.h) build_ffi.py setup.py
BUILT := build/built-by-$(TAG)$(if $(WAIT),-$(WAIT))

$(BUILT): $(READY) $(SOURCES)
	@echo 'building for $(TAG) ...'
	@rm -f build/built-by-*
	@LOWTHREAD_WAIT=$(WAIT) $(PY) setup.py -q build_ext --inplace --force
	@mkdir -p build
	@touch $@

build: $(BUILT) | preflight
	@echo 'built; $(PY) runs it in this folder'

demo: build
	@$(PY) -m demo.word_index
	@echo
	@$(PY) -m demo.server

# ---- tests ----

BACKENDS := $(or $(BACKEND),$(if $(filter pypy%,$(TAG)),cffi,native cffi))

# With a folder for temporary files of its own: pytest's may be another's, at the same time.
PYTEST = $(PY) -m pytest -q --basetemp=build/tmp-$(1)

# Which tests.
CHOSEN := $(or $(TESTS),-m $(if $(SLOW),slow,'not slow'))

# With the backend that is the default here, if none is named.
TESTED := $(firstword $(BACKENDS))

test: build
	@echo 'testing with the backend $(TESTED) ...'
	@LOWTHREAD_BACKEND=$(TESTED) LOWTHREAD_WAIT=$(WAIT) $(call PYTEST,$(TESTED)) $(CHOSEN)

define need-python3
@command -v python3 >/dev/null || { echo 'There is no python3: install the package python3.' >&2; exit 1; }
endef

# What of the tests says most about memory.  Its mark is removed in the end, so that whoever
# is next builds without the sanitizers.  What the interpreter itself leaks is not looked at.
ASAN_TESTS := test_lock test_rlock test_joinable test_sentinel test_references test_thread_end \
  test_fork
# The sanitizer keeps what was freed for a while, and in the child of a fork its own locks may
# be held by threads that are lost (GCC 12: its allocator then waits for ever).
ASAN_NOT := memory_is_flat or forks_amid or fork_while or forks_while
ASAN_FLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined

asan-python: $(READY)
	@rm -f build/built-by-*
	@CFLAGS='$(ASAN_FLAGS) -g' LDFLAGS='$(ASAN_FLAGS)' LOWTHREAD_WAIT=$(WAIT) \
	  $(PY) setup.py -q build_ext --inplace --force
	@LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)" \
	  ASAN_OPTIONS=detect_leaks=0 LOWTHREAD_BACKEND=$(BACKEND) \
	  $(call PYTEST,asan) -k 'not ($(ASAN_NOT))' $(or $(TESTS),$(ASAN_TESTS:%=tests/%.py)); \
	  status=$$?; rm -f lowthread/*.so; exit $$status

# $(1): a target, and options of make; for every interpreter found
define each
$(need-python3)
@python3 tools/each.py $(ONLY:%=--only %) $(1)
endef

test-all:
	$(need-python3)
	@python3 tools/test_all.py $(if $(WAIT),WAIT=$(WAIT)) $(BACKEND:%=--backend %) $(ONLY:%=--only %)

# The standard library's own tests, and programs of others, with and without lowthread.
conformance: build
	@$(PY) tools/conformance.py $(if $(QUICK),--quick) $(MODULES)

conformance-all:
	$(call each,conformance $(if $(QUICK),QUICK=$(QUICK)))

programs: build
	@$(PY) -m pip install -q --disable-pip-version-check -r programs/requirements.txt
	@set -e; for backend in $(BACKENDS); do \
	  echo "running programs with the backend $$backend ..."; \
	  LOWTHREAD_PROGRAMS=1 LOWTHREAD_BACKEND=$$backend $(call PYTEST,programs) tests/test_programs.py; \
	done

programs-all:
	$(call each,programs)

# ---- all at once, for as long as one likes ----

SECONDS ?= 60
stress: build
	@set -e; for backend in $(BACKENDS); do \
	  LOWTHREAD_BACKEND=$$backend $(PY) -m stress $(if $(SEED),--seed $(SEED)) \
	    --seconds $$(( $(SECONDS) / $(words $(BACKENDS)) )); \
	done

stress-all:
	$(call each,stress SECONDS=$(SECONDS) $(if $(SEED),SEED=$(SEED)))

# atheris has wheels for CPython on Linux from 3.11 on.
fuzz: build
	@$(PY) -m pip install -q --disable-pip-version-check atheris
	@set -e; for backend in $(BACKENDS); do \
	  LOWTHREAD_BACKEND=$$backend $(PY) -m tools.fuzz -rss_limit_mb=0 \
	    -artifact_prefix=build/ -max_total_time=$$(( $(SECONDS) / $(words $(BACKENDS)) )); \
	done

, := ,

C_TESTS := wait park lock record rlock api thread handle alloc
C_WAITS := futex pthread
C_INCLUDE := -Icsrc -Ilowthread/include
C_FLAGS := -std=gnu11 -g -O2 -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Werror -pthread
# So long that tests of what comes before it are no race on a busy machine.
C_TEST_FLAGS := -DLT_LOCK_LAPSE_MS=1000
# What test_alloc.c puts itself in front of.
C_WRAPPED := calloc free malloc realloc pthread_atfork pthread_attr_destroy pthread_attr_init \
  pthread_attr_setstacksize pthread_create pthread_key_create pthread_setspecific
C_WRAP := $(addprefix -Wl$(,)--wrap=,$(C_WRAPPED))
C_CORE := csrc/lt_api.c csrc/lt_handle.c csrc/lt_lock.c csrc/lt_park.c csrc/lt_record.c csrc/lt_rlock.c csrc/lt_thread.c

# Debian has the kernel's headers in a folder of the machine's own, which neither a compiler for
# another kind of program nor musl's looks into.
LINUX_HEADERS = -idirafter /usr/include -idirafter /usr/include/$(shell $(CC) -print-multiarch)

# $(1): a name; $(2): flags; $(3): a compiler, if not $(CC); $(4): the package that has it;
# $(5): what runs the programs; $(6): a wait, if not all
define run-c-tests
@mkdir -p build/c
@printf '#include <linux/futex.h>\n#include <pthread.h>\nint main(void) { return 0; }\n' > build/c/probe-$(1).c
@$(or $(3),$(CC)) $(2) -o build/c/probe-$(1) build/c/probe-$(1).c && $(5) build/c/probe-$(1) || { echo \
  'There is no C compiler ($(or $(3),$(CC))): install $(or $(4),the package gcc) (or it lacks headers).' >&2; exit 1; }
@set -e; for wait in $(or $(6),$(C_WAITS)); do for test in $(C_TESTS); do \
  program=build/c/$(1)-$$wait-$$test; \
  wrap=; [ $$test != alloc ] || wrap='$(C_WRAP)'; \
  $(or $(3),$(CC)) $(C_FLAGS) $(C_TEST_FLAGS) $(2) $$wrap $(C_INCLUDE) -o $$program tests/c/test_$$test.c $(C_CORE) csrc/lt_wait_$$wait.c; \
  $(5) $$program; \
done; done
@echo 'C tests passed ($(1)): $(or $(6),$(C_WAITS))'
endef

test-c:
	$(call run-c-tests,plain)

tsan:
	$(call run-c-tests,tsan,-fsanitize=thread)

asan:
	$(call run-c-tests,asan,-fsanitize=address$(,)undefined -fno-sanitize-recover=all)

test-c-32:
	$(call run-c-tests,32,-m32 $(LINUX_HEADERS),,the package gcc-12-multilib)

test-c-musl:
	$(call run-c-tests,musl,$(LINUX_HEADERS),musl-gcc,the package musl-tools)

# QEMU's own allocator keeps a mutex that a child of a fork may find locked for ever; malloc() does not.
test-c-aarch64:
	$(call run-c-tests,aarch64,-DLT_TEST_QEMU,aarch64-linux-gnu-gcc,the packages \
	  gcc-aarch64-linux-gnu and qemu-user,env G_SLICE=always-malloc qemu-aarch64 -L /usr/aarch64-linux-gnu)

# Loops are shorter, and patience is longer.  The second tool looks for data races, by what
# lt_valgrind.h tells it.  The waits are two targets so that they can run at once.
VALGRIND := valgrind -q --fair-sched=yes --error-exitcode=9 --suppressions=tests/c/valgrind.supp
# "Possible" leaks are what the C library has of threads, and a forked child of those it lacks.
LEAKS := definite,indirect
MEMCHECK := $(VALGRIND) --leak-check=full --show-leak-kinds=$(LEAKS) --errors-for-leak-kinds=$(LEAKS)
VALGRIND_FLAGS := -O1 -Wno-shadow -include tests/c/lt_valgrind.h \
  -ULT_LOCK_LAPSE_MS -DLT_LOCK_LAPSE_MS=10000 -DLT_TEST_SLOWNESS=20

valgrind: memcheck drd
memcheck drd: %: %-futex %-pthread

memcheck-%:
	$(call run-c-tests,memcheck-$*,$(VALGRIND_FLAGS),,the packages gcc and valgrind,$(MEMCHECK),$*)

drd-%:
	$(call run-c-tests,drd-$*,$(VALGRIND_FLAGS),,the packages gcc and valgrind,$(VALGRIND) --tool=drd,$*)

test-c-cross: test-c-32 test-c-musl test-c-aarch64

# What three threads can do with the lock, in every order: model/*.pml.
model:
	$(need-python3)
	@CC='$(CC)' python3 tools/model.py
	@CC='$(CC)' python3 tools/model.py --mutations

# ---- the benchmark ----

bench-one: build
	@$(PY) -m pip install -q --disable-pip-version-check -r bench/requirements.txt
	@for peer in $$(cat bench/peers.txt); do \
	  $(PY) -m pip install -q --disable-pip-version-check $$peer || echo "without $$peer"; \
	done
	@$(PY) -m bench.measure $(if $(QUICK),--quick) build/bench/$(TAG).json

.venv-bench/ready: bench/report.txt
	@rm -rf .venv-bench
	@python3 -m venv .venv-bench
	@.venv-bench/bin/python -m pip install -q --disable-pip-version-check -r bench/report.txt
	@touch $@

# WITH: a commit.
bench-builds: build
	@command -v valgrind >/dev/null || { echo 'There is no valgrind: install the package valgrind.' >&2; exit 1; }
	@test -n "$(WITH)" || { echo 'Say with which commit to compare: WITH=HEAD~1' >&2; exit 1; }
	@$(PY) -m bench.builds $(WITH)

bench-report: .venv-bench/ready
	@.venv-bench/bin/python -m bench.report build/bench/*.json --to $(if $(QUICK),build/bench,bench)

bench:
	@rm -rf build/bench
	$(call each,bench-one $(if $(QUICK),QUICK=$(QUICK)))
	@$(MAKE) --no-print-directory bench-report

# The README's commands in a fresh clone of what is committed.
newcomer:
	$(need-python3)
	@python3 tools/newcomer.py $(if $(filter-out python3,$(PYTHON)),--python $(PYTHON))

# ---- the manual ----

DOCS_VENV := .venv-docs$(VENV:.venv%=%)
DOCS_READY := $(DOCS_VENV)/ready-for-$(TAG)-$(WHICH)

$(DOCS_READY): docs/requirements.txt | preflight
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	  "The manual is made by Python 3.11 or later: name one with PYTHON=..." >&2; exit 1; }
	@rm -rf $(DOCS_VENV)
	@$(PYTHON) -m venv $(DOCS_VENV)
	@$(DOCS_VENV)/bin/python -m pip install -q --disable-pip-version-check -r docs/requirements.txt
	@touch $@

SPHINX = $(DOCS_VENV)/bin/python -m sphinx -q -E -W --keep-going -n -d build/docs/trees-$(1) \
  -b $(1) docs build/docs/$(1)

docs: build $(DOCS_READY)
	@$(call SPHINX,doctest)
	@rm -rf build/docs/html
	@$(call SPHINX,html)
	@echo 'the manual is build/docs/html/index.html'

docs-test: docs
	@$(DOCS_VENV)/bin/python -m pytest -q -p no:cacheprovider docs/test_pages.py

# ---- what is to be published ----

.venv-dist/ready: tools/dist.txt tools/wheels.txt
	$(need-python3)
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "The tools need Python 3.11 or later, and python3 is %d.%d: have another first on PATH." % sys.version_info[:2])'
	@rm -rf .venv-dist
	@python3 -m venv .venv-dist
	@.venv-dist/bin/python -m pip install -q --disable-pip-version-check -r tools/dist.txt
	@touch $@

# Makes dist/ anew: the sdist, the wheels, and each tested where it is installed.
dist: .venv-dist/ready
	@.venv-dist/bin/python tools/dist.py $(if $(QUICK),--quick) $(ONLY:%=--only %) $(if $(TESTS),-- $(TESTS))

# ---- types ----

# The stubtest of the last mypy for 3.9 finds fault with how modules without a stub are annotated,
# and with the library's own. There, tests/test_types.py alone compares the stubs with what is.
TYPES := .venv-types-$(TAG)
STUBTESTED := $(if $(filter cpython-39,$(TAG)),,$(BACKENDS))

$(TYPES)/ready-for-$(WHICH): tools/types.txt | preflight
	@rm -rf $(TYPES)
	@$(PYTHON) -m venv $(TYPES)
	@$(TYPES)/bin/python -m pip install -q --disable-pip-version-check -r tools/types.txt
	@touch $@

ifeq ($(filter pypy%,$(TAG)),)
types: build $(TYPES)/ready-for-$(WHICH)
	@$(TYPES)/bin/python -m mypy
	@$(TYPES)/bin/python -m pyright --pythonpath $(TYPES)/bin/python
	@$(TYPES)/bin/python -m pyright --pythonpath $(TYPES)/bin/python --pythonversion 3.9
	@set -e; for backend in $(STUBTESTED); do \
	  echo "stubtest with the backend $$backend ..."; \
	  LOWTHREAD_BACKEND=$$backend $(TYPES)/bin/python -m mypy.stubtest lowthread \
	    --allowlist tests/types/stubtest.txt --allowlist tests/types/stubtest-$$backend.txt; \
	done
	@$(TYPES)/bin/python -m pytest -q --basetemp=build/tmp-types tests/test_types.py
else
types:
	@echo 'make types is for CPython, and was not run with PyPy. tests/test_types.py compares' \
	  'the stubs with what is here on PyPy too.' >&2; exit 1
endif

# ---- keeping house ----

# pre-commit and what it installs for its hooks.  The versions are in .pre-commit-config.yaml.
.venv-lint/ready: tools/lint.txt
	$(need-python3)
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 10) and \
	  "The tools need Python 3.10 or later, and python3 is %d.%d: have another first on PATH." % sys.version_info[:2])'
	@rm -rf .venv-lint
	@python3 -m venv .venv-lint
	@.venv-lint/bin/python -m pip install -q --disable-pip-version-check -r tools/lint.txt
	@touch $@

# Where there is no repository of its own, such as in a copy, a passing one for what .gitignore
# leaves: pre-commit asks git for the files.
LINT_GIT := $(if $(wildcard .git),,GIT_DIR=$(CURDIR)/build/lint.git GIT_WORK_TREE=$(CURDIR))
PRE_COMMIT = PRE_COMMIT_HOME=$(CURDIR)/.venv-lint/hooks $(LINT_GIT) .venv-lint/bin/pre-commit

lint-git:
	@command -v git >/dev/null || { echo 'There is no git: install the package git.' >&2; exit 1; }
ifneq ($(LINT_GIT),)
	@rm -rf build/lint.git
	@mkdir -p build
	@$(LINT_GIT) git init -q
	@printf '/.venv*\n/build/\n' >>build/lint.git/info/exclude
	@$(LINT_GIT) git add -A
endif

# HOOK: only this one, by its id.
hooks: .venv-lint/ready lint-git
	@$(PRE_COMMIT) run --all-files --show-diff-on-failure --color never $(HOOK)

lint: hooks $(READY)
	@for wait in $(C_WAITS); do $(CC) $(C_FLAGS) $(C_INCLUDE) -fsyntax-only $(C_CORE) csrc/lt_wait_$$wait.c || exit 1; done
	@$(CC) $(C_FLAGS) $(C_INCLUDE) -fsyntax-only csrc/cpython/*.c csrc/lt_capsule.c \
	  -I$$($(PY) -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
	@echo 'The C sources compile without a warning.'

# The hooks that repair what they find fail if there was something: the second time is what counts.
FORMATTERS := ruff-format clang-format trailing-whitespace end-of-file
format: .venv-lint/ready lint-git
	@for hook in $(FORMATTERS); do \
	  $(PRE_COMMIT) run --all-files --color never $$hook >/dev/null || \
	  $(PRE_COMMIT) run --all-files --color never $$hook || exit 1; \
	done
	@$(LINT_GIT) git diff --stat

clean:
	rm -rf build dist *.egg-info lowthread/*.so examples/native/*/*.so examples/native/*/build \
	  examples/native/cython/sharing.c .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv*

.PHONY: help preflight build demo test test-all test-c tsan asan lint clean distclean
.PHONY: model stress stress-all fuzz bench bench-one bench-builds bench-report
.PHONY: asan-python valgrind memcheck drd test-c-32 test-c-musl test-c-aarch64 test-c-cross
.PHONY: dist conformance conformance-all programs programs-all
.PHONY: lint-git hooks format newcomer
.PHONY: types docs docs-test
