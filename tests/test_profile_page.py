"""The page of a profile: whatever the program's names are, and what it does in a browser."""

import base64
import contextlib
import fcntl
import hashlib
import html.parser
import json
import os
import random
import re
import select
import shutil
import subprocess
import sys
import time
from collections import namedtuple

import pytest
from conftest import CFFI, LONG, ROOT, run_script

from lowthread._profile_page import page

Profile = namedtuple(
    "Profile",
    "command begin end waits places dropped omitted holds hold_places holds_omitted",
    defaults=((), (), 0),
)
Hold = namedtuple("Hold", "ident thread lock kind name begin end place")
HoldPlace = namedtuple("HoldPlace", "where lock holds total median p99 worst")
Wait = namedtuple("Wait", "ident thread lock kind name begin end taken owner owner_place place")
Place = namedtuple("Place", "where stack lock waits total median p99 worst owners is_contended")


# ---- profiles ----


def place_of(index, where, stack, lock, waits):
    """Return a place as the profiler makes one of its waits."""
    lasted = sorted(wait.end - wait.begin for wait in waits if wait.place == index)
    owners = {}
    for wait in waits:
        if wait.place == index and wait.owner is not None:
            count, total = owners.get((wait.owner, wait.owner_place), (0, 0.0))
            owners[wait.owner, wait.owner_place] = count + 1, total + wait.end - wait.begin
    ranked = sorted(((*key, *value) for key, value in owners.items()), key=lambda o: -o[3])
    count = len(lasted)
    return Place(
        where,
        stack,
        lock,
        count,
        sum(lasted),
        lasted[count // 2] if lasted else 0.0,
        lasted[count * 99 // 100] if lasted else 0.0,
        lasted[-1] if lasted else 0.0,
        tuple(ranked),
        True,
    )


def sample(threads=6, waits=600, places=3, seed=1):
    """Return a profile of threads that wait for each other; the last place has the most."""
    chance = random.Random(seed)
    names = ["MainThread", *(f"worker-{n}" for n in range(1, threads))]
    each, step = waits // threads, 3.0 / (waits // threads)
    made = []
    for number, name in enumerate(names):
        now = 100.0
        for _ in range(each):
            index = min(int(places * chance.random() ** 0.5), places - 1)
            now += chance.uniform(0.1, 0.4) * step
            end = now + chance.uniform(0.01, 0.5) * step * (index + 1) / places
            owner = chance.choice([other for other in names if other != name])
            made.append(
                Wait(
                    *(1000 + number, name, 0x7F0000001000 + index * 64),
                    *("RLock" if index else "lock", f"lock-{index}", now, end),
                    *(chance.random() > 0.01, owner, f"/srv/app/holder.py:{index} in keep", index),
                )
            )
            now = end
    folded = [
        place_of(
            index,
            f"/srv/app/module_{index}.py:1{index} in function_{index}",
            ("/srv/app/main.py:3 in <module>", f"/srv/app/module_{index}.py:1{index} in f"),
            f"lock-{index}",
            made,
        )
        for index in range(places)
    ]
    return Profile("python main.py", 100.0, 103.0, made, folded, 0, 0)


#: Three waits of which all is known: they are long, and do not overlap.
FEW_WAITS = [
    Wait(1, "MainThread", 0xA0, "lock", "a", 10.1, 10.3, True, "worker", "a.py:7 in keep", 0),
    Wait(2, "worker", 0xB0, "RLock", None, 10.4, 10.45, True, "MainThread", None, 1),
    Wait(1, "MainThread", 0xC0, "thread", None, 10.5, 10.9, False, "worker", None, 1),
]
FEW = Profile(
    "python few.py",
    10.0,
    11.0,
    FEW_WAITS,
    [
        place_of(0, "a.py:3 in get", ("m.py:1 in <module>", "a.py:3 in get"), "a", FEW_WAITS),
        place_of(1, "b.py:4 in put", ("m.py:2 in <module>", "b.py:4 in put"), "b", FEW_WAITS),
    ],
    0,
    0,
)

HOLDS = [
    Hold(1, "MainThread", 0xA0, "lock", "a", 10.3, 10.45, "/srv/a.py:3 in get"),
    Hold(1, "MainThread", 0xB0, "RLock", None, 10.31, 10.4, "/srv/b.py:4 in put"),
    Hold(3, "idle", 0xB0, "RLock", None, 10.5, 10.6, "/srv/b.py:4 in put"),
]
HELD = FEW._replace(
    holds=HOLDS,
    hold_places=[
        HoldPlace("/srv/b.py:4 in put", "RLock 0xb0", 1002, 0.19, 0.09, 0.1, 0.1),
        HoldPlace("/srv/a.py:3 in get", "a", 1, 0.15, 0.15, 0.15, 0.15),
    ],
    holds_omitted=1000,
)

EMPTY = Profile("python empty.py", 5.0, 5.0, [], [], 0, 0)

HOSTILE = {
    "script": "</script><script>alert(1)</script>",
    "comment": "<!--<script>",
    "attribute": "\" onclick='alert(1)' x=`alert(1)`>",
    "entity": "&lt;b&gt; &#60; &amp",
    "lines": "a\u2028b\u2029c\nd\re\x85f",
    "control": "a\0b\x1b[31mc\x7f",
    "bidi": "a\u202eb\u2066c\u200b",
    "emoji": "\U0001f600 \U00020000",
    "surrogate": "file-\udc80.py",
    "words": "\u7dda\u7a0b \u0645\u0648\u0636\u0648\u0639 \xe9",
    "style": "</style><style>*{display:none}</style>",
    "markup": "${alert(1)} {{x}} %s \\u003c \\",
    "empty": "",
    "long": "x" * 3000,
}


def hostile(text):
    """Return a profile in which everything that is text is, or has, this one."""
    waits = [
        Wait(1, text, 1, text, text, 0.0, 0.5, True, text, text, 0),
        Wait(2, f"{text}2", 1, text, None, 0.0, 0.5, False, text, None, 0),
    ]
    where = f"/{text}/{text}.py:1 in {text}"
    places = [
        Place(where, (text, where), text, 2, 1.0, 0.5, 0.5, 0.5, ((text, text, 2, 1.0),), True),
    ]
    holds = [Hold(1, text, 1, text, text, 0.0, 0.5, where)]
    held = [HoldPlace(where, text, 1, 0.5, 0.5, 0.5, 0.5)]
    return Profile(text, 0.0, 1.0, waits, places, 0, 0, holds, held)


def shown(text):
    """Return how a text of the program is to be seen."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


# ---- reading a page ----

VOID = {"meta", "br", "wbr"}


class Reader(html.parser.HTMLParser):
    """Checks that each element is closed where it should be, and keeps what there is."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.scripts, self.styles, self.texts = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), (tag, attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert "svg" in self.open, tag
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, self.getpos()

    def handle_data(self, data):
        tag = self.open[-1] if self.open else ""
        {"script": self.scripts, "style": self.styles}.get(tag, self.texts).append(data)

    def handle_comment(self, data):
        raise AssertionError(data)

    def unknown_decl(self, data):
        raise AssertionError(data)

    @property
    def data(self):
        """What the script is given."""
        return json.loads(self.scripts[1])

    @property
    def text(self):
        return re.sub(" (?=[,.])", "", " ".join(" ".join(self.texts).split()))

    def with_class(self, name):
        return [attrs for _, attrs in self.elements if name in (attrs.get("class") or "").split()]

    @property
    def rows(self):
        return [
            int(attrs["data-place"])
            for tag, attrs in self.elements
            if tag == "tbody" and "data-place" in attrs
        ]

    @property
    def edges(self):
        return {(edge["data-from"], edge["data-to"]) for edge in self.with_class("edge")}


PROFILES = {
    "sample": sample(),
    "few": FEW,
    "empty": EMPTY,
    "held": HELD,
    "only held": HELD._replace(waits=[], places=[]),
    "held outside": HELD._replace(begin=10.35, end=10.55),
    "one place": sample(threads=2, waits=10, places=1),
    "many": sample(threads=60, waits=3000, places=40),
    "omitted": FEW._replace(waits=[], omitted=3),
    "nobody known": FEW._replace(waits=[w._replace(owner=None) for w in FEW_WAITS]),
    "itself": FEW._replace(waits=[w._replace(owner=w.thread) for w in FEW_WAITS]),
    "no time": FEW._replace(
        begin=10.1,
        end=10.1,
        waits=[w._replace(begin=10.1, end=10.1) for w in FEW_WAITS],
        places=[p._replace(total=0.0, median=0.0, p99=0.0, worst=0.0) for p in FEW.places],
    ),
    "outside": FEW._replace(begin=10.2, end=10.6),
    **{f"hostile: {name}": hostile(text) for name, text in HOSTILE.items()},
}

any_profile = pytest.mark.parametrize("name", PROFILES)


@any_profile
def test_it_is_html(name):
    text = page(PROFILES[name])
    assert text.startswith("<!DOCTYPE html>\n<html") and text.endswith("</html>\n")
    read = Reader(text)
    ids = [attrs["id"] for _, attrs in read.elements if "id" in attrs]
    assert len(set(ids)) == len(ids)
    named = {
        part
        for _, attrs in read.elements
        for key, value in attrs.items()
        if key in ("aria-labelledby", "aria-describedby", "aria-controls")
        for part in value.split()
    }
    assert named <= set(ids)


@any_profile
def test_it_needs_nothing_from_elsewhere(name):
    text = page(PROFILES[name])
    read = Reader(text)
    assert {tag for tag, _ in read.elements} & {"link", "img", "iframe", "object", "base"} == set()
    for tag, attrs in read.elements:
        for key in attrs:
            assert key not in ("src", "href", "style", "action", "xlink:href"), (tag, attrs)
            assert not key.startswith("on"), (tag, attrs)
    for part in (*read.styles, read.scripts[0], read.scripts[2]):
        for what in ("http:", "https:", "url(", "@import", "eval(", "innerHTML", "Function("):
            assert what not in part


@any_profile
def test_it_can_be_written_in_any_encoding(name):
    text = page(PROFILES[name])
    assert text.isascii()
    assert all(c.isprintable() or c == "\n" for c in text)


@any_profile
def test_the_policy_allows_the_style_and_the_scripts_and_nothing_else(name):
    read = Reader(page(PROFILES[name]))
    content = next(a["content"] for _, a in read.elements if "http-equiv" in a)
    policy = {key: set(rest) for key, *rest in (part.split() for part in content.split(";"))}

    def allowed(text):
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    first, _, last = read.scripts
    assert policy == {
        "default-src": {"'none'"},
        "base-uri": {"'none'"},
        "form-action": {"'none'"},
        "style-src": {allowed(read.styles[0])},
        "script-src": {allowed(first), allowed(last)},
    }
    types = [attrs.get("type") for tag, attrs in read.elements if tag == "script"]
    assert types == [None, "application/json", None]


@pytest.mark.parametrize("name", HOSTILE)
def test_text_of_the_program_is_text(name):
    text = HOSTILE[name]
    written = page(hostile(text))
    assert {tag for tag, _ in Reader(written).elements} == {
        tag for tag, _ in Reader(page(hostile("plain"))).elements
    }
    read, seen = Reader(written), shown(text)
    titles = {attrs["title"] for attrs in read.with_class("pick")}
    assert titles == {f"/{seen}/{seen}.py:1 in {seen}"}
    names = read.data["names"]
    assert {seen, f"{seen}2"} <= set(names)
    assert f"/{seen}/{seen}.py:1 in {seen}".endswith(names[read.data["places"][0][0]])
    assert " ".join(seen.split()) in read.text
    inside = re.search(r'<script type="application/json" id="data">(.*?)</script>', written)[1]
    assert not re.search(r"[<>&\u2028\u2029]", inside)


def test_the_output_is_always_the_same():
    assert page(sample()) == page(sample())
    script = """
    import hashlib
    from test_profile_page import page, sample
    print(hashlib.sha256(page(sample()).encode()).hexdigest())
    """
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    outputs = {
        run_script(script, env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed}).ok()
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_the_profile_is_not_changed():
    profile = sample()
    before = repr(profile)
    page(profile)
    assert repr(profile) == before


def test_an_import_of_it_is_light():
    run_script("""
    import sys
    import lowthread
    before = set(sys.modules)
    import lowthread._profile_page
    assert set(sys.modules) - before == {"lowthread._profile_page"}, set(sys.modules) - before
    """).ok()


@pytest.mark.slow
def test_many_waits_make_no_huge_page():
    profile = sample(threads=20, waits=50_000, places=50)
    assert len(profile.waits) == 50_000
    before = time.process_time()
    text = page(profile)
    # Some tenths of a second, so that only what takes time by the square of it comes near.
    assert time.process_time() - before < LONG / 2
    assert len(text) < 8e6
    assert len(Reader(text).data["waits"]["begin"]) == 50_000


# ---- what is in it ----


def test_the_header():
    text = Reader(page(FEW._replace(dropped=1234, omitted=1))).text
    for part in (
        "python few.py",
        "1.00 s the run took",
        "3 waits",
        "650 ms waiting in all",
        "0.65 threads waiting, on average",
        "400 ms the longest wait",
        "1 ended without the lock",
        "69% of the waiting was in b.py:4 in put, for b, which worker had for 89% of that.",
        "1,234 events were dropped.",
        "1 wait is in the table only.",
    ):
        assert part in text
    text = Reader(page(FEW)).text
    assert "dropped" not in text and "in the table only" not in text


def test_the_header_of_a_run_without_waits():
    read = Reader(page(EMPTY))
    assert "python empty.py" in read.text
    assert "No thread had to wait for a lock." in read.text
    assert "table" not in {tag for tag, _ in read.elements}
    assert "svg" not in {tag for tag, _ in read.elements}


@pytest.mark.parametrize(
    "seconds, text",
    [
        *((0.0, "0 s"), (1e-12, "0 ns"), (12e-9, "12 ns"), (999e-9, "999 ns")),
        *((999.6e-9, "1.00 \xb5s"), (1.234e-6, "1.23 \xb5s"), (12.34e-6, "12.3 \xb5s")),
        *((999.4e-6, "999 \xb5s"), (999.6e-6, "1.00 ms"), (0.09999, "100 ms"), (9.996, "10.0 s")),
        *((99.96, "100 s"), (12345.6, "12,346 s")),
    ],
)
def test_times(seconds, text):
    places = [place._replace(worst=seconds) for place in FEW.places]
    assert f" {text} the longest wait" in Reader(page(FEW._replace(places=places))).text


def test_the_table_begins_with_the_most_waiting():
    profile = sample(places=5)
    totals = [profile.places[index].total for index in Reader(page(profile)).rows]
    assert totals == sorted(totals, reverse=True) and len(totals) == 5


def test_a_row_has_it_all():
    read = Reader(page(FEW))
    assert read.rows == [1, 0]
    for part in (
        "a.py:3 in get a worker 100% a.py:7 in keep 1 200 ms 31% 200 ms 200 ms 200 ms",
        "Stack, outermost first m.py:1 in <module> a.py:3 in get",
        "Who had it when a wait began",
        "worker a.py:7 in keep 1 200 ms 100%",
        "worker not known 1 400 ms 89%",
    ):
        assert part in read.text, part


def test_what_there_is_no_room_for_is_told():
    places = [FEW.places[0]._replace(total=1 / (n + 1)) for n in range(1200)]
    read = Reader(page(FEW._replace(places=places)))
    assert read.rows == list(range(1000))
    assert "And 200 more places with 2% of the waiting." in read.text
    assert len(read.data["places"]) == 1200
    owners = (("thread", None, 1, 0.5), *((f"thread-{n}", None, 1, 0.001) for n in range(49)))
    read = Reader(page(FEW._replace(places=[FEW.places[0]._replace(owners=owners)] * 2)))
    assert "and 48 more" in read.text and "And 20 more." in read.text


def test_the_numbers_of_the_timeline():
    data = Reader(page(FEW)).data
    names, waits = data["names"], data["waits"]
    assert data["length"] == 1_000_000_000
    assert [(names[n], ident, count) for n, ident, count in data["threads"]] == [
        ("MainThread", 1, 2),
        ("worker", 2, 1),
    ]
    # From one wait of a thread to the next.
    assert waits["begin"] == pytest.approx([100e6, 400e6, 400e6])
    assert waits["length"] == pytest.approx([200e6, 400e6, 50e6])
    assert waits["place"] == [0, 1, 1]
    assert [names[n] for n in waits["lock"]] == ["a (lock)", "thread 0xc0", "RLock 0xb0"]
    assert [names[n] for n in waits["owner"]] == ["worker", "worker", "MainThread"]
    assert [n if n < 0 else names[n] for n in waits["taken"]] == ["a.py:7 in keep", -1, -1]
    assert waits["failed"] == [1]


def test_holds():
    reader = Reader(page(HELD))
    data, names = reader.data, reader.data["names"]
    assert [names[n] for n, _, _ in data["threads"]] == ["MainThread", "idle", "worker"]
    assert [count for _, _, count in data["threads"]] == [2, 0, 1]
    assert data["holds"]["count"] == [2, 1, 0]
    assert data["holds"]["begin"] == pytest.approx([300e6, 10e6, 500e6])
    assert data["holds"]["length"] == pytest.approx([150e6, 90e6, 100e6])
    assert [names[n] for n in data["holds"]["lock"]] == ["a (lock)", "RLock 0xb0", "RLock 0xb0"]
    assert [names[n] for n in data["holds"]["taken"]] == ["a.py:3 in get", *["b.py:4 in put"] * 2]
    assert "b.py:4 in put RLock 0xb0 1,002 190 ms 90.0 ms 100 ms 100 ms" in reader.text
    assert "1,000 times in the table only" in reader.text
    assert "The thin line below is when it had a lock." in reader.text
    few = Reader(page(FEW))
    assert "thin line" not in few.text and "held" not in few.text.replace("threads held", "")


def test_threads_are_in_an_order_that_people_expect():
    waits = [
        FEW_WAITS[0]._replace(ident=ident, thread=name)
        for ident, name in enumerate(["w-10", "w-2", "x", "MainThread", "w-2", "9", "w-1a"])
    ]
    data = Reader(page(FEW._replace(waits=waits))).data
    order = [(data["names"][name], ident) for name, ident, _ in data["threads"]]
    assert order == [
        *(("MainThread", 3), ("9", 5), ("w-1a", 6), ("w-2", 1), ("w-2", 4), ("w-10", 0)),
        ("x", 2),
    ]


# ---- the graph ----


def test_the_graph_has_a_line_for_each_two():
    read = Reader(page(FEW))
    assert len(read.with_class("edge")) == 2 and len(read.with_class("node")) == 2
    assert "MainThread waited for worker: 2 times, 600 ms in all, 400 ms at most" in read.text
    assert "worker waited for MainThread: 1 time, 50.0 ms in all" in read.text
    assert "600 ms thread 0xc0 +1" in read.text and "50.0 ms RLock 0xb0" in read.text
    assert "waited 600 ms, kept waiting 50.0 ms" in read.text


def test_threads_of_one_name_are_one_box():
    waits = [
        FEW_WAITS[0]._replace(ident=n, thread="worker", owner=owner)
        for n in range(12)
        for owner in ("worker", "MainThread")
    ]
    text = page(FEW._replace(waits=waits))
    read = Reader(text)
    assert len(read.with_class("node")) == 2 and len(read.with_class("edge")) == 2
    assert "worker waited for another worker: 12 times, 2.40 s in all" in read.text
    assert "worker another worker a 12" in read.text
    assert "worker waited for MainThread: 12 times" in read.text
    assert text.count(">worker, 12 that waited</text>") == 1
    assert "worker, 12 that waited: waited 4.80 s, kept others waiting 2.40 s" in read.text
    assert "MainThread, " not in read.text


def test_the_wider_the_longer():
    read = Reader(page(FEW))
    widths = [float(attrs["stroke-width"]) for attrs in read.with_class("line")]
    assert widths == sorted(widths, reverse=True) and widths[0] == 10.0 and 1.0 < widths[1] < 3.0


def test_who_waits_more_is_on_the_left():
    text = page(FEW)
    x = dict(
        re.findall(r'<g class="node" data-node="\d+"><title>(\w+):.*?<rect x="([\d.]+)"', text)
    )
    assert float(x["MainThread"]) + 500 < float(x["worker"])


def test_the_same_as_a_table():
    assert "MainThread worker thread 0xc0, a 2 600 ms 400 ms" in Reader(page(FEW)).text


def test_what_is_not_known_is_told():
    waits = [FEW_WAITS[0], *(w._replace(owner=None) for w in FEW_WAITS[1:])]
    read = Reader(page(FEW._replace(waits=waits)))
    assert len(read.with_class("edge")) == 1
    assert "Not here: 450 ms of waiting" in read.text
    read = Reader(page(PROFILES["nobody known"]))
    assert "It is not known of any wait who had the lock." in read.text
    assert read.with_class("edge") == []


def test_waits_to_be_notified_are_told_of_as_such():
    """Though they are the longest: nobody had what was waited for."""
    waits = [FEW_WAITS[0], *(w._replace(owner=None) for w in FEW_WAITS[1:])]
    idle = FEW.places[1]._replace(owners=(), is_contended=False)
    assert idle.total > FEW.places[0].total
    read = Reader(page(FEW._replace(waits=waits, places=[FEW.places[0], idle])))
    assert read.text.count("nobody: to be notified") == 1
    assert f"of the waiting was in {FEW.places[0].where}" in read.text.replace("  ", " ")
    assert "Not here" not in read.text
    read = Reader(
        page(FEW._replace(waits=[w._replace(place=0) for w in waits[1:]], places=[idle]))
    )
    assert "No thread had to wait for another." in read.text
    assert "which" not in read.text[read.text.index("of the waiting was in") :].partition(".")[0]


def test_a_large_graph_has_the_threads_with_the_most():
    read = Reader(page(PROFILES["many"]))
    assert len(read.with_class("node")) == 40
    assert "These are 40 of 60 threads" in read.text
    assert 0 < len(read.with_class("edge")) <= 100
    assert re.search(r"100 of [\d,]+ pairs are drawn", read.text)


def test_boxes_and_labels_are_apart():
    for name in ("sample", "few", "many", "itself"):
        text = page(PROFILES[name])
        boxes = [
            tuple(map(float, found))
            for found in re.findall(
                r'<title>[^<]*</title><rect x="([\d.]+)" y="([-\d.]+)" width="([\d.]+)" '
                r'height="([\d.]+)"',
                text,
            )
        ]
        assert boxes
        for number, (x, y, width, height) in enumerate(boxes):
            for u, v, wide, high in boxes[:number]:
                assert x + width <= u or u + wide <= x or y + height <= v or v + high <= y
        low, tall = re.search(r'viewBox="0 (-\d+) \d+ (\d+)"', text).groups()
        assert all(int(low) <= y and y + high <= int(low) + int(tall) for _, y, _, high in boxes)
        labels = re.findall(r'class="label" [^>]*x="([\d.]+)" y="([-\d.]+)"', text)
        assert len(set(labels)) == len(labels)


# ---- in a browser ----

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-sync", "--disable-background-networking", "--disable-component-update"),
]

# The browser has its end of the pipes as 3 and 4, which are taken here.
START = "import os, sys\nfor n in 3, 4: os.dup2(int(sys.argv.pop(1)), n)\n" + (
    "os.execv(sys.argv[1], sys.argv[1:])"
)


class Browser:
    """Chromium, spoken to by its own protocol over two pipes: this takes no package."""

    def __init__(self, path, folder):
        theirs, self._out = os.pipe()
        self._in, also_theirs = os.pipe()
        fds = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (theirs, also_theirs)]
        command = [path, *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={folder}"]
        self._process = subprocess.Popen(
            [sys.executable, "-ISc", START, *map(str, fds), *command],
            pass_fds=fds,
            stderr=subprocess.DEVNULL,
            # It is none of the sanitizers'.
            env={key: value for key, value in os.environ.items() if key != "LD_PRELOAD"},
        )
        for fd in (theirs, also_theirs, *fds):
            os.close(fd)
        self._number, self._rest, self._session = 0, b"", None
        self.events = []

    def send(self, method, **params):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                return answer["result"]

    def _receive(self):
        while b"\0" not in self._rest:
            assert select.select([self._in], [], [], LONG)[0], "the browser says nothing"
            data = os.read(self._in, 1 << 20)
            assert data, "the browser has ended"
            self._rest += data
        message, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(message)
        if "method" in message:
            self.events.append(message)
        return message

    def open(self, url, width=1280, height=900, scheme="light", script=True):
        """Show an address in a window of its own."""
        self._session = None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        self.send(
            "Emulation.setDeviceMetricsOverride",
            **dict(width=width, height=height, deviceScaleFactor=1, mobile=False),
        )
        scheme = {"name": "prefers-color-scheme", "value": scheme}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.send("Emulation.setFocusEmulationEnabled", enabled=True)
        self.send("Emulation.setScriptExecutionDisabled", value=not script)
        self.events.clear()
        self.send("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._receive()

    def run(self, script):
        """Return what an expression in JavaScript is, or what it promises."""
        answer = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def settle(self):
        """Wait until all is drawn."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def mouse(self, kind, x, y, **more):
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def place_of(self, selector, number=0):
        """Return where the middle of an element is, in sight."""
        return self.run(
            f"""(() => {{
              const all = document.querySelectorAll({json.dumps(selector)});
              all[{number}].scrollIntoView({{block: "center"}});
              const box = all[{number}].getBoundingClientRect();
              return [box.x + box.width / 2, box.y + box.height / 2];
            }})()"""
        )

    def click(self, selector, number=0):
        x, y = self.place_of(selector, number)
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)
        self.settle()

    def press(self, *keys):
        for key in keys:
            text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
            code = {"Tab": 9, "Enter": 13, "Escape": 27}.get(key, 0)
            for kind in ("keyDown", "keyUp"):
                more = text if kind == "keyDown" else {}
                self.send(
                    "Input.dispatchKeyEvent",
                    **dict(type=kind, key=key, windowsVirtualKeyCode=code, **more),
                )
        self.settle()

    def picture(self):
        """Return a picture of the whole page, as base64 of a PNG."""
        self.settle()
        return self.send("Page.captureScreenshot", captureBeyondViewport=True)["data"]

    def wrong(self):
        """Return what there is in the console, of errors."""
        return [
            event
            for event in self.events
            if event["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")
            or (
                event["method"] == "Runtime.consoleAPICalled"
                and event["params"]["type"] in ("error", "warning", "assert")
            )
        ]

    def close(self):
        self._session = None
        try:
            self.send("Browser.close")
            self._process.wait(LONG)
        finally:
            self._process.kill()
            self._process.wait()
            os.close(self._in)
            os.close(self._out)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CFFI:
        pytest.skip("the page is the same for every backend: native runs this")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("there is no chromium")
    browser = Browser(path, tmp_path_factory.mktemp("chromium"))
    with contextlib.closing(browser):
        yield browser


@pytest.fixture
def visit(browser, tmp_path):
    """Give a function that shows a profile's page; in the end, nothing may have gone wrong."""

    def show(profile, **options):
        file = tmp_path / "profile.html"
        file.write_text(page(profile), encoding="ascii")
        browser.open(file.as_uri(), **options)
        if options.get("script", True):
            browser.settle()
        return browser

    yield show
    assert browser.wrong() == []


def order(browser):
    return browser.run(
        "[...document.querySelectorAll('#places tbody')].filter(b => !b.hidden)"
        ".map(b => Number(b.dataset.place || -1)).filter(n => n >= 0)"
    )


def view(browser):
    browser.settle()
    return tuple(browser.run("[Number(chart.dataset.left), Number(chart.dataset.right)]"))


def drawn(browser):
    browser.settle()
    return browser.run("document.getElementById('canvas').toDataURL()")


in_a_browser = pytest.mark.slow


@in_a_browser
@pytest.mark.parametrize("name", PROFILES)
def test_it_opens(name, visit):
    browser = visit(PROFILES[name], width=1280)
    assert browser.run("document.scripts.length") == 3
    assert browser.run("document.documentElement.className") == "js"
    assert browser.run("document.querySelector('h1').checkVisibility()")


# How many colours a picture has, how light it is, and which part of it is not like its corner.
LOOK = """(async data => {
  const image = new Image();
  image.src = `data:image/png;base64,${data}`;
  await image.decode();
  const canvas = new OffscreenCanvas(image.width, image.height), pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0);
  const pixels = new Uint32Array(pen.getImageData(0, 0, image.width, image.height).data.buffer);
  const light = color => (color & 255) + (color >> 8 & 255) + (color >> 16 & 255);
  let sum = 0, other = 0;
  for (const color of pixels) {
    sum += light(color) / 3;
    other += color !== pixels[0];
  }
  return {colours: new Set(pixels).size, light: sum / pixels.length,
    inked: other / pixels.length};
})"""


@in_a_browser
@pytest.mark.parametrize("width", [1440, 1000, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_seen(scheme, width, visit):
    browser = visit(sample(), scheme=scheme, width=width)
    assert width - 20 < browser.run("document.documentElement.scrollWidth") <= width
    tables = browser.run(
        "[...document.querySelectorAll('.wide')].slice(0, 1)"
        ".map(e => e.scrollWidth - e.clientWidth)"
    )
    assert tables == [0]
    for selector in ("#places .pick", "#over", "#canvas", "#legend button", "#longest"):
        wide = browser.run(f"document.querySelector('{selector}').getBoundingClientRect().width")
        assert 20 < wide <= width
    picture = browser.picture()
    assert browser.wrong() == []
    browser.open("about:blank")
    seen = browser.run(f"{LOOK}({json.dumps(picture)})")
    assert seen["colours"] > 100 and 0.03 < seen["inked"] < 0.6, seen
    assert (seen["light"] > 200) if scheme == "light" else (seen["light"] < 60), seen


# How well words can be told from what is behind them, at the least.
CONTRAST = """(() => {
  const light = color => {
    const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map(part => {
      part /= 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor;
      if (!/, 0\\)$/.test(color)) return light(color);
    }
  };
  let least = 99;
  for (const element of document.querySelectorAll("main *")) {
    if (![...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())) continue;
    if (!element.checkVisibility() || element.closest("svg")) continue;
    const [a, b] = [light(getComputedStyle(element).color), behind(element)];
    least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  }
  return least;
})()"""


@in_a_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read(scheme, visit):
    browser = visit(FEW._replace(dropped=1, omitted=1), scheme=scheme)
    browser.click(".pick")
    browser.click(".open")
    assert 4.5 < browser.run(CONTRAST) < 22


@in_a_browser
def test_without_javascript(visit):
    browser = visit(FEW, script=False)
    browser.send("Emulation.setScriptExecutionDisabled", value=False)
    visible = "document.querySelector('{}').checkVisibility()"
    for selector in ("tr.place .lock", "tr.more .stack", "tr.more .holders", "#graph", "noscript"):
        assert browser.run(visible.format(selector)), selector
    for selector in ("#chart", "#legend", "#longest"):
        assert not browser.run(visible.format(selector)), selector


@in_a_browser
def test_a_header_sorts(visit):
    profile = sample(places=5)
    browser = visit(profile)
    for number, key in [(3, "count"), (6, "median"), (7, "p99"), (8, "worst"), (4, "total")]:
        browser.click("#places thead button", number)
        field = key.replace("count", "waits")
        values = [getattr(profile.places[index], field) for index in order(browser)]
        assert values == sorted(values, reverse=True)
        was = order(browser)
        browser.click("#places thead button", number)
        values = [getattr(profile.places[index], field) for index in order(browser)]
        assert values == sorted(values)
        assert order(browser) != was
    for number in (0, 1):
        browser.click("#places thead button", number)
        assert order(browser) == [0, 1, 2, 3, 4]
        browser.click("#places thead button", number)
        assert order(browser) == [4, 3, 2, 1, 0]
    sorts = browser.run(
        "[...document.querySelectorAll('#places > thead th')]"
        ".map(h => h.getAttribute('aria-sort'))"
    )
    assert sorts == [None, "descending"] + [None] * 7
    assert browser.run("live.textContent") == "Sorted by Lock, descending"


@in_a_browser
def test_some_places_are_shown_at_first(visit):
    browser = visit(sample(places=40, waits=6000))
    assert len(order(browser)) == 12
    browser.click("#places thead button", 0)
    assert order(browser) == list(range(12))
    browser.click("#all")
    assert order(browser) == list(range(40))


@in_a_browser
def test_a_row_opens(visit):
    browser = visit(FEW)
    visible = "[...document.querySelectorAll('tr.more')].map(row => row.checkVisibility())"
    expanded = "document.querySelector('.open').getAttribute('aria-expanded')"
    assert browser.run(visible) == [False, False] and browser.run(expanded) == "false"
    browser.click(".open")
    assert browser.run(visible) == [True, False] and browser.run(expanded) == "true"
    assert "b.py:4 in put" in browser.run("document.querySelector('.stack').innerText")
    browser.click(".open")
    assert browser.run(visible) == [False, False]


PICKED = """[document.querySelectorAll("tbody.picked").length,
  document.querySelector("tbody.picked") && document.querySelector("tbody.picked").dataset.place,
  [...document.querySelectorAll(".pick")].map(b => b.getAttribute("aria-pressed")).join(),
  [...legend.children].map(b => b.getAttribute("aria-pressed")).join()]"""


@in_a_browser
def test_a_row_is_picked(visit):
    browser = visit(FEW)
    none = [0, None, "false,false", "false,false"]
    assert browser.run(PICKED) == none
    before = drawn(browser)
    browser.click("tr.place td.lock", 1)
    assert browser.run(PICKED) == [1, "0", "false,true", "false,true"]
    one = drawn(browser)
    assert one != before
    browser.click("#legend button", 0)
    assert browser.run(PICKED) == [1, "1", "true,false", "true,false"]
    assert drawn(browser) not in (before, one)
    browser.press("Escape")
    assert browser.run(PICKED) == none
    assert drawn(browser) == before


# How many pixels of the timeline have the colour of a place, by the places' ranks.
COLOURS = """(() => {
  const canvas = document.getElementById("canvas");
  const copy = new OffscreenCanvas(canvas.width, canvas.height), pen = copy.getContext("2d");
  pen.drawImage(canvas, 0, 0);
  const {data} = pen.getImageData(0, 0, copy.width, copy.height);
  const style = getComputedStyle(document.documentElement);
  return [0, 1, 2].map(rank => {
    const wanted = style.getPropertyValue(`--c${rank}`).trim();
    const parts = [1, 3, 5].map(at => parseInt(wanted.slice(at, at + 2), 16));
    let count = 0;
    for (let at = 0; at < data.length; at += 4) {
      count += parts.every((part, index) => data[at + index] === part);
    }
    return count;
  });
})()"""


@in_a_browser
def test_slices_have_the_colours_of_their_places(visit):
    browser = visit(FEW)
    # The long one of the first place is an outline.
    first, second, third = browser.run(COLOURS)
    assert first > 500 and second > 2 * first and third == 0
    browser.click(".pick", 1)
    assert browser.run(COLOURS) == [0, second, 0]
    browser.click(".pick", 0)
    assert browser.run(COLOURS) == [first, 0, 0]


@in_a_browser
def test_waits_that_are_too_short_to_be_seen(visit):
    # Ten or so for each pixel, half of the time.
    waits = [
        FEW_WAITS[0]._replace(begin=10 + n / 1e4, end=10 + (n + 0.5) / 1e4) for n in range(10_000)
    ]
    places = [place_of(0, "a.py:3 in get", (), "a", waits)]
    browser = visit(FEW._replace(waits=waits, places=places))
    half, _, _ = browser.run(COLOURS)
    one = waits[0]._replace(begin=10.0, end=11.0)
    browser = visit(FEW._replace(waits=[one], places=places))
    full, _, _ = browser.run(COLOURS)
    assert 0.4 * full < half < 0.6 * full
    browser = visit(FEW._replace(waits=waits, places=places))
    browser.place_of("#canvas")
    top = browser.run("document.getElementById('canvas').getBoundingClientRect().top")
    browser.mouse("mouseMoved", 640, top + 42)
    browser.settle()
    text = browser.run("tip.innerText")
    assert "waits" in text.split("\n")[0] and "zoom in to tell them apart" in text


@in_a_browser
def test_the_graph_shows_what_is_picked(visit):
    browser = visit(FEW)
    labels = "[...document.querySelectorAll('#graph .label')].map(e => e.textContent)"
    widths = (
        "[...document.querySelectorAll('#graph .line')]"
        ".map(e => Number(e.getAttribute('stroke-width')))"
    )
    faded = "document.querySelectorAll('#graph .edge.faded').length"
    assert browser.run(labels) == ["600 ms thread 0xc0 +1", "50.0 ms RLock 0xb0"]
    before = browser.run(widths)
    browser.click(".pick", 1)
    assert browser.run(labels)[0] == "200 ms a"
    assert browser.run(widths)[0] < before[0]
    assert browser.run(faded) == 1
    browser.click(".pick", 1)
    assert browser.run(labels) == ["600 ms thread 0xc0 +1", "50.0 ms RLock 0xb0"]
    assert browser.run(widths) == before
    assert browser.run(faded) == 0


@in_a_browser
def test_the_graph_has_its_lines(visit):
    browser = visit(sample())
    browser.place_of("#graph")
    lines = browser.run(
        "[...document.querySelectorAll('#graph .line')]"
        ".map(e => [e.getTotalLength(), getComputedStyle(e).stroke])"
    )
    assert len(lines) == 30
    assert all(length > 50 and stroke != "none" for length, stroke in lines)
    inside = browser.run(
        """(() => {
          const frame = graph.viewBox.baseVal, all = graph.getBBox();
          return all.x >= frame.x && all.y >= frame.y && all.x + all.width <= frame.width
            && all.y + all.height <= frame.y + frame.height;
        })()"""
    )
    assert inside
    x, y = browser.place_of("#graph .node")
    browser.mouse("mouseMoved", x, y)
    browser.settle()
    assert browser.run("document.querySelectorAll('#graph .edge.shown').length") == 10
    assert browser.run("document.querySelectorAll('#graph .edge.faded').length") == 20
    browser.mouse("mouseMoved", 1, 1)
    browser.settle()
    assert browser.run("document.querySelectorAll('#graph .faded, #graph .shown').length") == 0


WHOLE = (0, 1e9)


@in_a_browser
def test_buttons_zoom(visit):
    browser = visit(FEW)
    assert view(browser) == WHOLE
    before = drawn(browser)
    browser.click("#in")
    assert view(browser) == (0.25e9, 0.75e9)
    assert drawn(browser) != before
    assert "0.25" in browser.run("range.textContent")
    browser.click("#out")
    assert view(browser) == WHOLE
    browser.click("#in")
    browser.click("#in")
    browser.click("#whole")
    assert view(browser) == WHOLE
    assert drawn(browser) == before
    browser.click("#longest")
    assert view(browser) == WHOLE
    browser.click("#longest")
    assert view(browser) == pytest.approx((0, 0.6e9))


@in_a_browser
def test_keys_zoom_and_move(visit):
    browser = visit(FEW)
    browser.place_of("#chart")
    browser.run("chart.focus()")
    browser.press("+")
    left, right = view(browser)
    assert right - left == pytest.approx(0.6e9)
    browser.press("ArrowRight")
    assert view(browser)[0] > left
    browser.press("ArrowLeft")
    assert view(browser) == pytest.approx((left, right))
    browser.press("End")
    assert view(browser)[1] == pytest.approx(1e9)
    browser.press("Home")
    assert view(browser)[0] == 0
    browser.press(*"-" * 9)
    assert view(browser) == WHOLE
    browser.press(*"+" * 60)
    left, right = view(browser)
    assert right - left == pytest.approx(200)
    browser.press("0")
    assert view(browser) == WHOLE


@in_a_browser
def test_keys_go_from_wait_to_wait(visit):
    browser = visit(FEW)
    browser.run("chart.focus()")
    told = "live.textContent"
    browser.press("n")
    assert browser.run(told) == "MainThread waited 200 ms, for a (lock), held by worker"
    assert "a.py:7 in keep" in browser.run("tip.innerText")
    browser.press("n")
    assert browser.run(told).startswith("MainThread waited 400 ms, without getting it, for thread")
    browser.press("n")
    assert browser.run(told).startswith("MainThread waited 400 ms")
    browser.press("p")
    assert browser.run(told).startswith("MainThread waited 200 ms")
    browser.press("ArrowDown")
    assert browser.run(told) == "worker, 1 wait"
    browser.press("N")
    assert browser.run(told) == "worker waited 50.0 ms, for RLock 0xb0, held by MainThread"
    browser.press("l", "l")
    assert browser.run(told).startswith("MainThread waited 200 ms")


@in_a_browser
def test_the_mouse_zooms_and_moves(visit):
    browser = visit(FEW)
    x, y = browser.place_of("#canvas")
    time.sleep(0.4)  # after a scroll, the wheel is not for the timeline
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-200)
    left, right = view(browser)
    assert 0.3e9 < right - left < 0.9e9
    browser.mouse("mousePressed", x, y, button="left", clickCount=1)
    browser.mouse("mouseMoved", x - 50, y, button="left", buttons=1)
    browser.mouse("mouseReleased", x - 50, y, button="left", clickCount=1)
    moved = view(browser)
    assert moved[0] > left and moved[1] - moved[0] == pytest.approx(right - left)
    assert browser.run(PICKED)[0] == 0  # it was no click
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=2000)
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=2000)
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=2000)
    assert view(browser) == WHOLE
    # Over the strip: from there to there.
    x, y = browser.place_of("#over")
    browser.mouse("mousePressed", x, y, button="left", clickCount=1)
    browser.mouse("mouseMoved", x + 100, y, button="left", buttons=1)
    browser.mouse("mouseReleased", x + 100, y, button="left", clickCount=1)
    left, right = view(browser)
    assert 0.05e9 < right - left < 0.2e9


@in_a_browser
def test_the_pointer_is_told_of_a_wait(visit):
    browser = visit(FEW)
    x, _ = browser.place_of("#canvas")
    x += 250  # where the wait is that is the longest
    top = browser.run("document.getElementById('canvas').getBoundingClientRect().top")
    browser.mouse("mouseMoved", x, top + 42)
    browser.settle()
    words = browser.run("tip.innerText").split()
    assert browser.run("tip.checkVisibility()")
    text = " ".join(words)
    for part in (
        "400 ms, without getting it",
        "for thread 0xc0",
        "held by worker",
        "waited in b.py:4 in put",
        "thread MainThread",
        "at 0.50",
    ):
        assert part in text, text
    for kind in ("mousePressed", "mouseReleased"):
        browser.mouse(kind, x, top + 42, button="left", clickCount=1)
    browser.settle()
    assert browser.run(PICKED)[1] == "1"
    browser.mouse("mouseMoved", 2, 2)
    browser.settle()
    assert not browser.run("tip.checkVisibility()")


@in_a_browser
def test_the_pointer_is_told_of_what_was_held(visit):
    browser = visit(HELD)
    box = browser.run("(b => [b.left, b.top, b.width])(canvas.getBoundingClientRect())")
    below = box[1] + 24 + 6 + 24 + 2  # the axis, the margin, the bar: then the line of the first
    told = set()
    for x in range(int(box[0]) + 140, int(box[0] + box[2]), 2):
        browser.mouse("mouseMoved", x, below)
        if browser.run("!tip.hidden"):
            told.add(" ".join(browser.run("tip.innerText").split()))
    for part in (
        "150 ms, held lock a (lock) taken in a.py:3 in get thread MainThread at 0.300",
        "90.0 ms, held lock RLock 0xb0 taken in b.py:4 in put thread MainThread at 0.310",
    ):
        assert any(each.startswith(part) for each in told), told
    plain = drawn(browser)
    assert plain != drawn(visit(HELD._replace(holds=HOLDS[2:])))


@in_a_browser
def test_all_of_it_by_keys(visit):
    browser = visit(FEW)

    def tab_to(selector):
        for _ in range(40):
            browser.press("Tab")
            if browser.run(f"document.activeElement.matches('{selector}')"):
                return
        raise AssertionError(selector)

    tab_to("th[data-key=count] button")
    browser.press("Enter")
    assert browser.run("document.querySelector('th[data-key=count]').ariaSort") == "descending"
    tab_to(".open")
    browser.press("Enter")
    assert browser.run("document.querySelector('tr.more').checkVisibility()")
    tab_to(".pick")
    browser.press("ArrowDown")
    browser.press("Enter")
    assert browser.run(PICKED)[0] == 1
    for selector in ("#longest", "#in", "#legend button", "#chart", "summary"):
        tab_to(selector)


@in_a_browser
def test_a_hundred_thousand_waits(visit):
    browser = visit(sample(threads=20, waits=100_000, places=30))
    whole, before = view(browser), drawn(browser)
    browser.run("chart.focus()")
    for key in "++++++++++":
        browser.press(key)
    left, right = view(browser)
    assert right - left < (whole[1] - whole[0]) / 100
    assert drawn(browser) != before
    browser.press("l")
    assert "held by" in browser.run("tip.innerText")


@in_a_browser
def test_the_theme_may_change(visit):
    browser = visit(FEW)
    before = drawn(browser)
    browser.send(
        "Emulation.setEmulatedMedia",
        features=[{"name": "prefers-color-scheme", "value": "dark"}],
    )
    assert drawn(browser) != before


def test_many_owners_are_told_by_where_they_had_it():
    owners = tuple((f"thread-{n}", "a.py:7 in take", 1, 0.01) for n in range(50))
    few = FEW._replace(places=[FEW.places[0]._replace(owners=owners, total=0.5)] * 2)
    assert "50 threads 100% a.py:7 in take" in Reader(page(few)).text
