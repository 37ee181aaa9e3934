"""The page that shows a profile of the waits for locks: HTML that needs nothing besides itself.

The table and the graph are made here, and can be read without JavaScript. The script sorts the
table, draws the timeline from the numbers that are in the page as JSON, and connects the three.

What comes from the program, such as the name of a thread, can be any text, and a page is opened
where scripts run. So all of it goes through `_html()` or, for the JSON, `_data()`; the script
makes no markup; and should one of these be wrong, the page's policy lets no script run but ours.
"""

from __future__ import annotations

from itertools import groupby

from lowthread._profile import who_had_it

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lowthread._holds import ProfileHold as Hold
    from lowthread._profile import Profile
    from lowthread._profile import ProfilePlace as Place
    from lowthread._profile import ProfileWait as Wait

# How many places get a colour of their own, the rest being grey: more cannot be told apart.
_COLOURS = 10
# What is shown at most. More of it is neither read nor quickly drawn; the page says what is left.
_ROWS = 1000
_HOLDERS = 30
_THREADS = 40
_EDGES = 100
_PAIRS = 200
# What of the graph is labelled: so much of the waiting, as what is little would hide the rest.
_LABELLED = 0.8
_LABELS = 20


def page(profile: Profile) -> str:
    """Return the page as text. It is ASCII only, so that any encoding will do to write it."""
    totals: list[float] = [place.total for place in profile.places]
    ranks = sorted(range(len(totals)), key=lambda index: (-totals[index], index))
    colours = {index: min(rank, _COLOURS) for rank, index in enumerate(ranks)}
    body = [
        *_header(profile, ranks),
        *_table(profile, ranks, colours),
        *_holds(profile),
        *_timeline(profile),
        *_Graph(profile, colours).html(),
    ]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>Waits for locks: {_html(_cut(profile.command, 80))}</title>",
            f"<style>{_STYLE}</style>",
            f"<script>{_EARLY}</script>",
            "</head>",
            "<body>",
            "<main>",
            *body,
            "</main>",
            '<div id="tip" aria-hidden="true" hidden></div>',
            '<p id="live" class="unseen" role="status"></p>',
            f'<script type="application/json" id="data">{_data(profile, colours)}</script>',
            f"<script>{_SCRIPT}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _policy() -> str:
    """Return what the browser may do: nothing but the style and the scripts that are ours."""
    import base64
    import hashlib

    def allowed(text: str) -> str:
        digest = hashlib.sha256(text.encode("ascii")).digest()
        return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"

    return (
        f"default-src 'none'; style-src {allowed(_STYLE)}; "
        f"script-src {allowed(_EARLY)} {allowed(_SCRIPT)}; base-uri 'none'; form-action 'none'"
    )


# ---- text ----

_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;", "`": "&#x60;"}
)


def _plain(text: str) -> str:
    """Return a text with what cannot be seen, or would turn a line around, as repr() has it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _html(text: str) -> str:
    """Return a text for an element or for an attribute in quotes."""
    escaped = _plain(text).translate(_ESCAPES)
    return escaped.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _cut(text: str, most: int) -> str:
    """Return a text without its middle if it is longer; names often differ at their ends."""
    text = _plain(text)
    end = most // 2
    return text if len(text) <= most else f"{text[: most - end - 1]}\u2026{text[-end:]}"


def _split(seconds: float) -> tuple[str, str]:
    """Return a time as three digits or so and the unit, as time() in the script does."""
    if seconds <= 0:
        return "0", "s"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("\u00b5s", 1e-6)):
        value = seconds / size
        if value >= 0.9995:
            digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
            return f"{value:,.{digits}f}", unit
    return f"{seconds * 1e9:.0f}", "ns"


def _time(seconds: float) -> str:
    return " ".join(_split(seconds))


def _percent(part: float, whole: float) -> str:
    if whole <= 0:
        return "0%"
    value = 100 * part / whole
    return "<1%" if 0 < value < 0.95 else f"{value:.0f}%"


def _many(count: int, one: str, more: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def _lock_of(of: Wait | Hold) -> str:
    address = f"{of.kind} {of.lock:#x}"
    return address if of.name is None else f"{of.name} ({of.kind})"


def _parts(where: str) -> tuple[str, str, str]:
    """Return the folder, the file with the line, and ' in function' of a place."""
    file, between, function = where.rpartition(" in ")
    if not between:
        file, function = where, ""
    cut = max(file.rfind("/"), file.rfind("\\")) + 1
    return file[:cut], file[cut:], between + function


def _bar(part: float, whole: float, colour: int | None = None) -> str:
    """Return a bar. It is a picture since the policy allows no style in an attribute."""
    width = 100 * part / whole if whole > 0 else 0
    filled = "" if colour is None else f' class="c{colour}"'
    return (
        '<svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="rail" width="100" height="1"/>'
        f'<rect{filled} width="{min(width, 100):.1f}" height="1"/></svg>'
    )


def _number(value: str, unit: str = "") -> str:
    return f"{value} <i>{_html(unit)}</i>" if unit else value


# ---- the header ----


def _header(profile: Profile, ranks: list[int]) -> Iterator[str]:
    length = max(profile.end - profile.begin, 0.0)
    count = sum(place.waits for place in profile.places)
    total = sum(place.total for place in profile.places)
    given_up = sum(not wait.taken for wait in profile.waits)
    facts = [
        (_number(*_split(length)), "the run took"),
        (f"{count:,}", "wait" if count == 1 else "waits"),
        (_number(*_split(total)), "waiting in all"),
    ]
    if count:
        if length > 0:
            facts.append((f"{total / length:.2f}", "threads waiting, on average"))
        facts.append((_number(*_split(max(p.worst for p in profile.places))), "the longest wait"))
        if given_up:
            facts.append((f"{given_up:,}", "ended without the lock"))
    yield "<header>"
    yield '<p class="kind">Waits for locks</p>'
    yield f"<h1>{_html(profile.command) or '&nbsp;'}</h1>"
    yield '<dl class="facts">'
    for value, name in facts:
        yield f"<div><dd>{value}</dd><dt>{name}</dt></div>"
    yield "</dl>"
    if ranks and total > 0:
        most = profile.places[min(ranks, key=lambda i: not profile.places[i].is_contended)]
        _, file, function = _parts(most.where)
        yield (
            f'<p class="sum">{_percent(most.total, total)} of the waiting was in '
            f"<b>{_html(file + function)}</b>, for <b>{_html(most.lock)}</b>"
            f"{_mostly_held(most)}.</p>"
        )
    elif not count:
        yield '<p class="sum">No thread had to wait for a lock.</p>'
    if profile.dropped:
        were = "was" if profile.dropped == 1 else "were"
        yield (
            f'<p class="warn"><b>{_many(profile.dropped, "event")} {were} dropped.</b> '
            "There was more waiting than is told here.</p>"
        )
    if profile.omitted:
        are = "is" if profile.omitted == 1 else "are"
        yield (
            f'<p class="warn"><b>{_many(profile.omitted, "wait")} {are} in the table only.</b> '
            "There was no room for more in the timeline and the graph.</p>"
        )
    yield "</header>"


def _mostly_held(place: Place) -> str:
    threads: dict[str, float] = {}
    for thread, _, _, total in place.owners:
        threads[thread] = threads.get(thread, 0.0) + total
    if not threads or place.total <= 0 or not place.is_contended:
        return ""
    name, most = max(threads.items(), key=lambda item: item[1])
    if len(threads) > 1 and most < 0.5 * place.total:
        return f", which {len(threads)} threads had in turn"
    return f", which {_html(name)} had for {_percent(most, place.total)} of that"


# ---- the table ----

_COLUMNS = (
    ("place", "Place", "where a thread waited"),
    ("lock", "Lock", "what it waited for"),
    ("holder", "Who had it", "the thread that had the lock, and where it took it"),
    ("count", "Waits", "how many waits"),
    ("total", "Total", "all of the waits together"),
    ("share", "Share", "of all the waiting"),
    ("median", "Median", "half of the waits were shorter"),
    ("p99", "p99", "99 of 100 waits were shorter"),
    ("worst", "Worst", "the longest wait"),
)


def _table(profile: Profile, ranks: list[int], colours: dict[int, int]) -> Iterator[str]:
    if not ranks:
        return
    everything = sum(place.total for place in profile.places)
    yield '<section aria-labelledby="h-places">'
    yield '<div class="head"><h2 id="h-places">Where threads waited</h2>'
    yield (
        '<p class="scripted">A click on a row shows its waits in the timeline; '
        "the triangle shows the whole stack.</p></div>"
    )
    yield '<div class="wide"><table id="places" role="table" aria-labelledby="h-places">'
    yield '<thead role="rowgroup"><tr role="row">'
    for key, name, told in _COLUMNS:
        order = ' aria-sort="descending"' if key == "total" else ""
        yield (
            f'<th role="columnheader" scope="col" class="{key}" data-key="{key}" '
            f'title="{told}"{order}>{name}</th>'
        )
    yield "</tr></thead>"
    for index in ranks[:_ROWS]:
        yield from _row(index, profile.places[index], colours[index], everything)
    yield "</table></div>"
    rest = [profile.places[i] for i in ranks[_ROWS:]]
    if rest:
        share = _percent(sum(place.total for place in rest), everything)
        yield (
            f'<p class="note">And {_many(len(rest), "more place")} '
            f"with {_html(share)} of the waiting.</p>"
        )
    yield "</section>"


def _row(index: int, place: Place, colour: int, everything: float) -> Iterator[str]:
    folder, file, function = _parts(place.where)
    more = f"more-{index}"
    yield f'<tbody role="rowgroup" data-place="{index}">'
    yield '<tr class="place" role="row"><th role="rowheader" scope="row"><div class="where">'
    yield (
        f'<button class="open" type="button" aria-expanded="false" aria-controls="{more}" '
        f'aria-label="Stack"></button>'
        f'<span class="dot c{colour}"></span>'
        f'<button class="pick" type="button" aria-pressed="false" title="{_html(place.where)}">'
        f"<b>{_html(file)}</b>{_html(function)}"
        + (f'<span class="folder">{_html(folder)}</span>' if folder else "")
        + "</button></div></th>"
    )
    yield f'<td role="cell" class="lock" data-name="Lock">{_html(place.lock)}</td>'
    yield f'<td role="cell" class="holder" data-name="Who had it">{_holders(place)}</td>'
    yield f'<td role="cell" class="n" data-name="Waits">{place.waits:,}</td>'
    yield (
        f'<td role="cell" class="n total" data-name="Total">{_number(*_split(place.total))}</td>'
    )
    share = _html(_percent(place.total, everything))
    yield (
        f'<td role="cell" class="share" data-name="Share">'
        f"{_bar(place.total, everything, colour)}<span>{share}</span></td>"
    )
    for name, value in (("Median", place.median), ("p99", place.p99), ("Worst", place.worst)):
        yield f'<td role="cell" class="n" data-name="{name}">{_number(*_split(value))}</td>'
    yield "</tr>"
    yield f'<tr class="more" id="{more}" role="row"><td role="cell" colspan="{len(_COLUMNS)}">'
    yield '<div class="parts">'
    yield from _stack(place)
    yield from _all_holders(place)
    yield "</div></td></tr></tbody>"


def _holders(place: Place) -> str:
    if not place.owners:
        told = "not known" if place.is_contended else "nobody: to be notified"
        return f'<span class="soft">{told}</span>'
    lines = []
    owners = who_had_it(place)
    for thread, where, _, total in owners[:2]:
        short = "".join(_parts(where or "")[1:])
        lines.append(
            f'<div><span class="who">{_html(thread)}</span> '
            f"{_html(_percent(total, place.total))}"
            + (f' <span class="at" title="{_html(where)}">{_html(short)}</span>' if where else "")
            + "</div>"
        )
    rest = len(owners) - len(lines)
    more = f' <div class="soft">and {rest:,} more</div>' if rest > 0 else ""
    return "".join(lines) + more


def _stack(place: Place) -> Iterator[str]:
    yield '<div><h3>Stack, outermost first</h3><ol class="stack">'
    for frame in place.stack:
        folder, file, function = _parts(frame)
        yield f"<li><span>{_html(folder)}</span>{_html(file)}<span>{_html(function)}</span></li>"
    if not place.stack:
        yield "<li><span>not known</span></li>"
    yield "</ol></div>"


def _all_holders(place: Place) -> Iterator[str]:
    if not place.owners:
        return
    yield '<div><h3>Who had it when a wait began</h3><table class="holders">'
    yield (
        '<thead><tr><th scope="col">Thread</th><th scope="col">Taken in</th>'
        '<th scope="col" class="n">Waits</th><th scope="col" class="n">Total</th>'
        '<th scope="col">Share</th></tr></thead><tbody>'
    )
    for thread, where, count, total in place.owners[:_HOLDERS]:
        yield (
            f'<tr><th scope="row">{_html(thread)}</th>'
            f'<td class="at">{_html(where) if where else "not known"}</td>'
            f'<td class="n">{count:,}</td><td class="n">{_number(*_split(total))}</td>'
            f'<td class="share">{_bar(total, place.total)}'
            f"<span>{_html(_percent(total, place.total))}</span></td></tr>"
        )
    yield "</tbody></table>"
    rest = len(place.owners) - _HOLDERS
    if rest > 0:
        yield f'<p class="note">And {rest:,} more.</p>'
    yield "</div>"


def _holds(profile: Profile) -> Iterator[str]:
    if not profile.hold_places:
        return
    yield '<section aria-labelledby="h-holds">'
    yield '<div class="head"><h2 id="h-holds">How long locks were held</h2></div>'
    yield '<div class="wide"><table aria-labelledby="h-holds"><thead><tr>'
    yield '<th scope="col">Where it was taken</th><th scope="col">Lock</th>'
    for name in ("Times", "Total", "Median", "p99", "Worst"):
        yield f'<th scope="col" class="n">{name}</th>'
    yield "</tr></thead><tbody>"
    for held in profile.hold_places[:_ROWS]:
        _, file, function = _parts(held.where)
        yield f'<tr><td title="{_html(held.where)}"><b>{_html(file)}</b>{_html(function)}</td>'
        yield f'<td>{_html(held.lock)}</td><td class="n">{held.holds:,}</td>'
        for value in (held.total, held.median, held.p99, held.worst):
            yield f'<td class="n">{_number(*_split(value))}</td>'
        yield "</tr>"
    yield "</tbody></table></div>"
    rest = len(profile.hold_places) - _ROWS
    if rest > 0:
        yield f'<p class="note">And {_many(rest, "more place")}.</p>'
    if profile.holds_omitted:
        yield (
            f'<p class="note">{_many(profile.holds_omitted, "time")} in the table only: there was '
            "no room for more in the timeline.</p>"
        )
    yield "</section>"


# ---- the timeline ----


def _timeline(profile: Profile) -> Iterator[str]:
    if not profile.waits and not profile.holds:
        return
    held = " The thin line below is when it had a lock." if profile.holds else ""
    yield '<section aria-labelledby="h-time">'
    yield '<div class="head"><h2 id="h-time">When they waited</h2>'
    yield '<div class="tools scripted" role="group" aria-label="The timeline">'
    yield '<output id="range"></output>'
    for name, sign, told in (
        ("longest", "Longest wait", "Show the longest wait; again: the next one (L)"),
        ("whole", "Whole run", "Show the whole run (0)"),
        ("out", "&minus;", "Zoom out (-)"),
        ("in", "+", "Zoom in (+)"),
    ):
        label = f' aria-label="{told}"' if name in ("out", "in") else ""
        yield f'<button type="button" id="{name}" title="{told}"{label}>{sign}</button>'
    yield "</div></div>"
    yield "<noscript><p>The timeline is drawn by JavaScript.</p></noscript>"
    yield '<div class="scripted">'
    yield '<div id="legend" role="group" aria-label="Places"></div>'
    yield (
        '<div id="chart" tabindex="0" role="application" aria-labelledby="h-time" '
        'aria-describedby="keys">'
        '<canvas id="over" aria-hidden="true"></canvas>'
        '<div id="tracks"><canvas id="canvas" aria-hidden="true"></canvas>'
        '<div id="room"></div></div></div>'
    )
    yield (
        '<p class="note">Where waits are too short to be seen, the height is their share of the '
        f"time. An outline is a wait that ended without the lock.{held}</p>"
        '<p class="note" id="keys"><span>Zoom: wheel, <kbd>+</kbd> <kbd>&minus;</kbd>, or drag '
        "over the strip on top.</span> <span>Move: drag, <kbd>&larr;</kbd> <kbd>&rarr;</kbd>."
        "</span> <span>Thread: <kbd>&uarr;</kbd> <kbd>&darr;</kbd>.</span> <span>Its next and "
        "previous wait: <kbd>N</kbd> <kbd>P</kbd>.</span> <span>The longest: <kbd>L</kbd>."
        "</span> <span>The whole run: <kbd>0</kbd>.</span></p>"
    )
    yield "</div></section>"


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts worker-2 before worker-10."""
    runs = [(is_number, "".join(run)) for is_number, run in groupby(text, str.isdecimal)]
    return [(0, int(run), "") if is_number else (1, 0, run) for is_number, run in runs]


def _data(profile: Profile, colours: dict[int, int]) -> str:
    """Return the numbers that the script needs, as JSON that nothing in it can end."""
    import json

    threads: dict[tuple[int, str], list[Wait]] = {}
    for wait in profile.waits:
        threads.setdefault((wait.ident, wait.thread), []).append(wait)
    holds: dict[tuple[int, str], list[Hold]] = {}
    for hold in profile.holds:
        holds.setdefault((hold.ident, hold.thread), []).append(hold)
        threads.setdefault((hold.ident, hold.thread), [])
    tracks = sorted(threads, key=lambda t: (t[1] != "MainThread", _natural(t[1]), t[0]))
    names: dict[str, int] = {}

    def name(text: str | None) -> int:
        return -1 if text is None else names.setdefault(_plain(text), len(names))

    def ns(time: float) -> int:
        since: float = time - profile.begin
        return round(since * 1e9)

    def times(of: Wait | Hold) -> tuple[float, float]:
        return of.begin, of.end

    def append(columns: dict[str, list[int]], of: Wait | Hold, last: int) -> int:
        begin = ns(of.begin)
        columns["begin"].append(begin - last)  # which is shorter than what it is
        columns["length"].append(max(ns(of.end) - begin, 0))
        columns["lock"].append(name(_lock_of(of)))
        return begin

    columns: dict[str, list[int]] = {
        key: [] for key in ("begin", "length", "place", "lock", "owner", "taken", "failed")
    }
    held: dict[str, list[int]] = {key: [] for key in ("count", "begin", "length", "lock", "taken")}
    for track in tracks:
        last = 0
        for wait in sorted(threads[track], key=times):
            if not wait.taken:
                columns["failed"].append(len(columns["begin"]))
            last = append(columns, wait, last)
            columns["place"].append(wait.place)
            columns["owner"].append(name(wait.owner))
            columns["taken"].append(name(wait.owner_place))
        last = 0
        for hold in sorted(holds.get(track, ()), key=times):
            last = append(held, hold, last)
            held["taken"].append(name("".join(_parts(hold.place)[1:])))
        held["count"].append(len(holds.get(track, ())))
    data = {
        "length": max(ns(profile.end), 0),
        "places": [
            [
                *(name("".join(_parts(place.where)[1:])), name(place.lock)),
                *(name(place.owners[0][0] if place.owners else ""), colours[index]),
                *(place.waits, place.total, place.median, place.p99, place.worst),
            ]
            for index, place in enumerate(profile.places)
        ],
        "threads": [
            [name(thread), ident, len(threads[ident, thread])] for ident, thread in tracks
        ],
        "waits": columns,
        "holds": held,
        "names": list(names),
    }
    text = json.dumps(data, separators=(",", ":"))
    # It is ASCII. In a string of JSON, this is the same; anywhere else there is none of these.
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


# ---- the graph ----


class _Edge:
    """All the waits of one thread for another, or of those of one name for those of another."""

    def __init__(self, waiter: str, holder: str) -> None:
        self.waiter, self.holder = waiter, holder
        self.count = 0
        self.total = self.worst = 0.0
        self.locks: dict[str, float] = {}
        self.places: dict[int, float] = {}

    def add(self, wait: Wait) -> None:
        lasted = max(wait.end - wait.begin, 0.0)
        self.count += 1
        self.total += lasted
        self.worst = max(self.worst, lasted)
        lock = _lock_of(wait) if wait.name is None else str(wait.name)
        self.locks[lock] = self.locks.get(lock, 0.0) + lasted
        self.places[wait.place] = self.places.get(wait.place, 0.0) + lasted

    def ranked_locks(self) -> list[str]:
        return sorted(self.locks, key=lambda lock: (-self.locks[lock], lock))

    def label(self) -> str:
        first, *rest = self.ranked_locks()
        more = f" +{len(rest)}" if rest else ""
        return f"{_time(self.total)} {_cut(first, 26)}{more}"

    def whom(self) -> str:
        # A wait for a lock that the thread has itself is one to be notified: it has no owner.
        return f"another {self.holder}" if self.waiter == self.holder else self.holder

    def told(self) -> str:
        locks = self.ranked_locks()
        some = ", ".join(f"{lock} ({_time(self.locks[lock])})" for lock in locks[:5])
        more = f" and {len(locks) - 5} more" if len(locks) > 5 else ""
        return (
            f"{self.waiter} waited for {self.whom()}: {_many(self.count, 'time')}, "
            f"{_time(self.total)} in all, {_time(self.worst)} at most, for {some}{more}"
        )


class _Node:
    """A thread, or those of one name, in the graph: a box, on the left or on the right."""

    def __init__(self, name: str, waiters: int) -> None:
        self.name = name
        # Those that only had locks are known by name.
        self.waiters = f", {waiters:,} that waited" if waiters > 1 else ""
        self.waited = self.kept = 0.0
        self.left = True
        self.y = 0.0  # of the middle
        self.ends: list[tuple[tuple[float, ...], _Edge, bool]] = []  # (order, edge, its end?)


class _Graph:
    """Who waited for whom.

    Threads that waited for longer than they kept others waiting are on the left, the others on
    the right, so that most lines go to the right. All lines end at the inner sides of the boxes.
    """

    WIDTH = 1100.0
    BOX = 236.0
    LOOP = 36.0  # what a thread that waits for itself takes beside its box

    def __init__(self, profile: Profile, colours: dict[int, int]) -> None:
        self.colours = colours
        self.unknown = 0.0
        self.has_waits = bool(profile.waits)
        edges: dict[tuple[str, str], _Edge] = {}
        nodes: dict[str, _Node] = {}
        idents: dict[str, set[int]] = {}
        for wait in profile.waits:
            idents.setdefault(wait.thread, set()).add(wait.ident)
            if wait.owner is None:
                if profile.places[wait.place].is_contended:
                    self.unknown += wait.end - wait.begin
                continue
            key = wait.thread, wait.owner
            if key not in edges:
                edges[key] = _Edge(*key)
            edges[key].add(wait)
        self.all = sorted(edges.values(), key=lambda e: (-e.total, e.waiter, e.holder))
        for edge in self.all:
            for name in (edge.waiter, edge.holder):
                if name not in nodes:
                    nodes[name] = _Node(name, len(idents.get(name, ())))
            nodes[edge.waiter].waited += edge.total
            nodes[edge.holder].kept += edge.total
        ranked = sorted(nodes.values(), key=lambda n: (-n.waited - n.kept, n.name))
        self.threads = len(ranked)
        self.nodes = {node.name: node for node in ranked[:_THREADS]}
        self.edges = [e for e in self.all if e.waiter in self.nodes and e.holder in self.nodes]
        self.edges = self.edges[:_EDGES]

    # -- where things are --

    def _lay_out(self) -> float:
        """Give the boxes their places and the lines theirs on the boxes; return the height."""
        sides = self._sides()
        most = max(len(side) for side in sides)
        self.is_dense = most > 9
        self.high = 24.0 if self.is_dense else 50.0
        # With few boxes there is room between them, for the lines and what is written there.
        step = self.high + (8 if self.is_dense else max(26, 110 - 14 * most))
        height = max((most - 1) * step + self.high, 120.0)
        for side in sides:
            for number, node in enumerate(side):
                node.y = height / 2 + (number - (len(side) - 1) / 2) * step
        for number, edge in enumerate(self.edges):
            waiter, holder = self.nodes[edge.waiter], self.nodes[edge.holder]
            if waiter is not holder:
                for node, other in ((waiter, holder), (holder, waiter)):
                    # Lines to the same side are short turns: those to what is above come first.
                    # Two lines between the same two do not cross.
                    slope, turn = other.y - node.y, 1
                    if other.left == node.left:
                        turn = 1 if slope > 0 else -1
                        slope = turn * 9e9 - slope
                    node.ends.append(((slope, turn * number), edge, node is holder))
        self.ports: dict[tuple[str, str, bool], float] = {}
        for node in self.nodes.values():
            node.ends.sort(key=lambda end: end[0])
            gap = min(12.0, (self.high - 10) / max(len(node.ends) - 1, 1))
            for number, (_, edge, is_end) in enumerate(node.ends):
                y = node.y + (number - (len(node.ends) - 1) / 2) * gap
                self.ports[edge.waiter, edge.holder, is_end] = y
        return height

    def _sides(self) -> tuple[list[_Node], list[_Node]]:
        ranked = sorted(self.nodes.values(), key=lambda n: (n.kept - n.waited, n.name))
        for number, node in enumerate(ranked):
            balance = node.kept - node.waited
            node.left = balance < 0 or (balance == 0 and number < len(ranked) / 2)
        left = [node for node in ranked if node.left]
        right = [node for node in reversed(ranked) if not node.left]
        # A few times, each to where the others are that it has most to do with.
        for _ in range(4):
            for side, others in ((left, right), (right, left)):
                where = {n.name: (i + 0.5) / len(others) for i, n in enumerate(others)}
                pull: dict[str, tuple[float, float]] = {}
                for edge in self.edges:
                    for one, other in ((edge.waiter, edge.holder), (edge.holder, edge.waiter)):
                        if other in where:
                            weight, place = pull.get(one, (0.0, 0.0))
                            pull[one] = weight + edge.total, place + edge.total * where[other]
                side.sort(
                    key=lambda n: pull[n.name][1] / pull[n.name][0]
                    if pull.get(n.name, (0.0, 0.0))[0]
                    else 0.5
                )
        return left, right

    def _curve(self, edge: _Edge, width: float) -> tuple[list[tuple[float, float]], float]:
        """Return the four points of a line, and where to its tip points: 1 right, -1 left."""
        a, b = self.nodes[edge.waiter], self.nodes[edge.holder]
        inner = {True: self.LOOP + self.BOX, False: self.WIDTH - self.LOOP - self.BOX}
        tip = 7 + width
        if a is b:
            side = -1 if a.left else 1
            x = self.LOOP if a.left else self.WIDTH - self.LOOP
            out = x + side * (self.LOOP + 4)
            half = self.high / 4
            start, end = (x, a.y - half), (x + side * tip, a.y + half)
            return [start, (out, a.y - half * 1.6), (out, a.y + half * 1.6), end], -side
        y1 = self.ports[edge.waiter, edge.holder, False]
        y2 = self.ports[edge.waiter, edge.holder, True]
        into = -1 if b.left else 1
        x1, x2 = inner[a.left], inner[b.left] - into * tip
        if a.left != b.left:
            bend = 0.42 * (x2 - x1)
            return [(x1, y1), (x1 + bend, y1), (x2 - bend, y2), (x2, y2)], into
        bulge = -into * min(70 + 0.75 * abs(y2 - y1), 0.62 * (inner[False] - inner[True]))
        return [(x1, y1), (x1 + bulge, y1), (x2 + bulge, y2), (x2, y2)], into

    # -- how it is written --

    def html(self) -> Iterator[str]:
        if not self.has_waits:
            return
        yield '<section aria-labelledby="h-graph">'
        yield '<div class="head"><h2 id="h-graph">Who waited for whom</h2>'
        if self.edges:
            yield (
                "<p>From the thread that waited to the one that had the lock; the wider, the "
                "longer in all; coloured by the place of most of it. On the left are those that "
                "waited for longer than they kept others waiting.</p></div>"
            )
            yield '<div class="wide" tabindex="0" role="region" aria-labelledby="h-graph">'
            yield from self._svg()
            yield "</div>"
            yield from self._notes()
            yield from self._pairs()
        else:
            told = "It is not known of any wait who had the lock."
            if not self.unknown:
                told = "No thread had to wait for another."
            yield f"</div><p>{told}</p>"
        yield "</section>"

    def _notes(self) -> Iterator[str]:
        if self.threads > len(self.nodes):
            yield (
                f'<p class="note">These are {len(self.nodes)} of {self.threads:,} threads, '
                "those with the most waiting.</p>"
            )
        total = sum(edge.total for edge in self.all)
        drawn = sum(edge.total for edge in self.edges)
        if len(self.edges) < len(self.all):
            yield (
                f'<p class="note">{len(self.edges)} of {self.all_count()} are drawn: '
                f"{_html(_percent(drawn, total))} of the waiting.</p>"
            )
        if self.unknown > 0:
            yield (
                f'<p class="note">Not here: {_html(_time(self.unknown))} of waiting for locks of '
                "which it is not known who had them.</p>"
            )

    def all_count(self) -> str:
        return _many(len(self.all), "pair")

    def _svg(self) -> Iterator[str]:
        height = self._lay_out()
        yield (
            f'<svg id="graph" role="group" aria-label="Who waited for whom: '
            f'{_many(len(self.nodes), "thread")}" viewBox="0 -20 {self.WIDTH:.0f} '
            f'{height + 40:.0f}" width="{self.WIDTH:.0f}" height="{height + 40:.0f}">'
        )
        most = self.edges[0].total
        taken = [self._box_of(node) for node in self.nodes.values()]
        curves = []
        for edge in self.edges:
            share = edge.total / most if most > 0 else 1.0
            width = 1.0 + (9.0 if edge.waiter != edge.holder else 4.0) * share
            curves.append((edge, width, *self._curve(edge, width)))
        # The widest first, so that the others are on top of it.
        labels = []
        left = _LABELLED * sum(edge.total for edge in self.edges[:_LABELS])
        for edge, width, points, into in curves:
            place = None
            if left >= 0 and edge.waiter != edge.holder:
                place = _free_place(points, edge.label(), taken)
            left -= edge.total
            labels.append(place)
            yield from self._edge(edge, width, points, into)
        if self.is_dense:
            for is_left, told in ((True, "waited"), (False, "kept others waiting")):
                boxes = [self._box_of(n) for n in self.nodes.values() if n.left == is_left]
                if boxes:
                    x, y = boxes[0][2] - 12, min(box[1] for box in boxes) - 5
                    yield (
                        f'<text class="small" text-anchor="end" x="{x:.0f}" y="{y:.0f}">'
                        f"{told}</text>"
                    )
        yield from map(self._node, self.nodes.values())
        for (edge, _, points, _), place in zip(curves, labels):
            yield self._label(edge, points, place)
        yield "</svg>"

    def _box_of(self, node: _Node) -> tuple[float, float, float, float]:
        x = self.LOOP if node.left else self.WIDTH - self.LOOP - self.BOX
        return x, node.y - self.high / 2, x + self.BOX, node.y + self.high / 2

    def _edge(
        self, edge: _Edge, width: float, points: list[tuple[float, float]], into: float
    ) -> Iterator[str]:
        place = max(edge.places, key=lambda p: (edge.places[p], -p))
        start, *others = (f"{x:.1f} {y:.1f}" for x, y in points)
        path = f"M{start}C{' '.join(others)}"
        x, y = points[-1]
        tip, half = 7 + width, 3.5 + width / 2
        yield (
            f'<g class="edge c{self.colours[place]}" {self._names(edge)}>'
            f"<title>{_html(edge.told())}</title>"
            f'<path class="reach" d="{path}"/>'
            f'<path class="line" d="{path}" stroke-width="{width:.1f}" '
            f'stroke-opacity="{0.3 + 0.04 * width:.2f}"/>'
            f'<path class="tip" d="M{x:.1f} {y - half:.1f}L{x + into * tip:.1f} {y:.1f}'
            f'L{x:.1f} {y + half:.1f}z"/></g>'
        )

    def _names(self, edge: _Edge) -> str:
        index = {name: number for number, name in enumerate(self.nodes)}
        places = " ".join(f"{place}:{edge.places[place]:.3g}" for place in sorted(edge.places))
        return (
            f'data-from="{index[edge.waiter]}" data-to="{index[edge.holder]}" '
            f'data-places="{places}"'
        )

    def _node(self, node: _Node) -> str:
        x, y, *_ = self._box_of(node)
        waited, kept = _html(_time(node.waited)), _html(_time(node.kept))
        number = list(self.nodes).index(node.name)
        told = f"{_html(node.name + node.waiters)}: waited {waited}, kept others waiting {kept}"
        kind = "node dense" if self.is_dense else "node"
        head = (
            f'<g class="{kind}" data-node="{number}"><title>{told}</title>'
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{self.BOX:.0f}" height="{self.high:.0f}" '
            f'rx="5"/>'
        )
        left = f"{x + 12:.1f}"
        if self.is_dense:
            right = f"{x + self.BOX - 12:.1f}"
            return (
                f'{head}<text x="{left}" y="{node.y + 4:.1f}">{self._name(node, 23)}</text>'
                f'<text class="small" text-anchor="end" x="{right}" y="{node.y + 4:.1f}">'
                f"{_html(_time(node.waited if node.left else node.kept))}</text></g>"
            )
        return (
            f'{head}<text x="{left}" y="{node.y - 4:.1f}">{self._name(node, 26)}</text>'
            f'<text class="small" x="{left}" y="{node.y + 14:.1f}">waited {waited}, '
            f"kept waiting {kept}</text></g>"
        )

    def _name(self, node: _Node, room: int) -> str:
        return _html(_cut(node.name, room - len(node.waiters)) + node.waiters)

    def _label(
        self, edge: _Edge, points: list[tuple[float, float]], place: tuple[float, float] | None
    ) -> str:
        """Return what is written at a line, or would be if there was room: the script shows it."""
        x, y = place or _point(points, 0.5)
        hidden = "" if place else " off"
        anchor = "middle"
        if edge.waiter == edge.holder:
            is_left = self.nodes[edge.waiter].left
            y = self.nodes[edge.waiter].y + self.high / 2 + 12
            x = self.LOOP if is_left else self.WIDTH - self.LOOP
            anchor = "start" if is_left else "end"
            hidden = " off" if self.is_dense else ""
        return (
            f'<text class="label{hidden}" text-anchor="{anchor}" {self._names(edge)} '
            f'x="{x:.1f}" y="{y + 4:.1f}">{_html(edge.label())}</text>'
        )

    def _pairs(self) -> Iterator[str]:
        yield f"<details><summary>The same as a table: {self.all_count()}</summary>"
        yield '<div class="wide"><table class="pairs"><thead><tr>'
        yield (
            '<th scope="col">Who waited</th><th scope="col">for whom</th>'
            '<th scope="col">Locks</th><th scope="col" class="n">Waits</th>'
            '<th scope="col" class="n">Total</th><th scope="col" class="n">Worst</th>'
        )
        yield "</tr></thead><tbody>"
        for edge in self.all[:_PAIRS]:
            locks = edge.ranked_locks()
            more = f" and {len(locks) - 3:,} more" if len(locks) > 3 else ""
            yield (
                f"<tr><td>{_html(edge.waiter)}</td><td>{_html(edge.whom())}</td>"
                f"<td>{_html(', '.join(locks[:3]) + more)}</td>"
                f'<td class="n">{edge.count:,}</td>'
                f'<td class="n">{_number(*_split(edge.total))}</td>'
                f'<td class="n">{_number(*_split(edge.worst))}</td></tr>'
            )
        yield "</tbody></table></div>"
        if len(self.all) > _PAIRS:
            yield f'<p class="note">And {len(self.all) - _PAIRS:,} more.</p>'
        yield "</details>"


def _point(points: list[tuple[float, float]], t: float) -> tuple[float, float]:
    """Return where a cubic curve is at t, from 0 to 1."""
    s = 1 - t
    weights = s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t
    return (
        sum(w * p[0] for w, p in zip(weights, points)),
        sum(w * p[1] for w, p in zip(weights, points)),
    )


def _free_place(
    points: list[tuple[float, float]],
    text: str,
    taken: list[tuple[float, float, float, float]],
) -> tuple[float, float] | None:
    """Return where on a line there is room for a text, and take it; None if there is none."""
    half = 3.3 * len(text) + 5
    for t in (0.5, 0.42, 0.58, 0.34, 0.66, 0.27, 0.73):
        x, y = _point(points, t)
        box = x - half, y - 9, x + half, y + 9
        if not any(
            box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken
        ):
            taken.append(box)
            return x, y
    return None


# ---- the style ----

_STYLE = r"""
:root {
  --page: #fcfcfa; --raised: #ffffff; --ink: #1e2227; --soft: #5c646d; --line: #e3e4e0;
  --rail: #8080802e; --over: #f3f4f1; --picked: #eaf0f8; --accent: #2a5da8; --focus: #2a5da8;
  --warn: #6f4a00; --warn-page: #fdf4dc; --warn-line: #e9d394; --dim: #d9dbd8;
  --c0: #3f72b8; --c1: #d17a22; --c2: #2b9484; --c3: #bf4a5f; --c4: #7a61ad; --c5: #7f8f2c;
  --c6: #96674a; --c7: #c765a0; --c8: #3796bd; --c9: #b0931c; --c10: #929aa3;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #15181b; --raised: #1a1e22; --ink: #e4e6e8; --soft: #9ba4ad; --line: #2b3036;
    --rail: #8080803d; --over: #1f2428; --picked: #1e2b3b; --accent: #8db6ee; --focus: #8db6ee;
    --warn: #f0d08a; --warn-page: #2a2415; --warn-line: #54461f; --dim: #343a41;
    --c0: #6f9fdd; --c1: #e89b53; --c2: #4fb8a7; --c3: #e2788b; --c4: #a48dd6; --c5: #acbb55;
    --c6: #c4967a; --c7: #e291c2; --c8: #64bbdd; --c9: #d6bb4f; --c10: #88919b;
  }
}
* { box-sizing: border-box; }
[hidden], html:not(.js) .scripted, .js tr.more:not(.shown) { display: none !important; }
html { color-scheme: light dark; -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 14px/1.45 var(--sans); font-variant-numeric: tabular-nums;
}
main { max-width: 1440px; margin: 0 auto; padding: 30px clamp(14px, 3vw, 44px) 60px; }
h1, h2, h3, p, dl, dd, ol { margin: 0; padding: 0; }
i { font-style: normal; color: var(--soft); }
button { font: inherit; color: inherit; cursor: pointer; }
:focus { outline: none; }
:focus-visible { outline: 2px solid var(--focus); outline-offset: 1px; border-radius: 3px; }
.unseen {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
}
.soft, .note { color: var(--soft); }
.note { font-size: 12px; margin-top: 8px; max-width: 110ch; }
section { margin-top: 38px; }
.head {
  display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 16px; margin-bottom: 10px;
}
h2 { font-size: 17px; font-weight: 600; letter-spacing: -0.005em; }
.head p { color: var(--soft); font-size: 13px; }

/* the header */
.kind { color: var(--soft); font-size: 13px; }
h1 {
  font: 600 clamp(15px, 1.2vw + 10px, 22px)/1.35 var(--mono); overflow-wrap: anywhere;
  max-height: 6.75em; overflow-y: auto; unicode-bidi: isolate;
}
.facts { display: flex; flex-wrap: wrap; gap: 14px 40px; margin: 18px 0 0; }
.facts dd { font-size: 23px; line-height: 1.2; font-weight: 500; letter-spacing: -0.01em; }
.facts dd i { font-size: 15px; }
.facts dt { color: var(--soft); font-size: 12.5px; }
.sum { margin-top: 16px; max-width: 100ch; overflow-wrap: anywhere; }
.sum b { font-weight: 600; }
.warn {
  margin-top: 12px; padding: 7px 12px; color: var(--warn); background: var(--warn-page);
  border: 1px solid var(--warn-line); border-radius: 5px; max-width: 100ch;
}

/* tables */
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { text-align: left; vertical-align: top; font-weight: 400; padding: 7px 10px; }
th, td, .node text, .label { unicode-bidi: isolate; }
.n { text-align: right; white-space: nowrap; }
.n, th.count, th.total, th.share, th.median, th.p99, th.worst { width: 1%; }
td.n i { display: inline-block; width: 1.45em; text-align: left; }
thead th {
  color: var(--soft); font-size: 12px; white-space: nowrap; vertical-align: bottom;
  border-bottom: 1px solid var(--line);
}
#places > thead th { padding: 0; }
#places > thead th:not(:has(button)) { padding: 5px 10px; }
#places > thead .count, #places > thead .total, #places > thead .median,
#places > thead .p99, #places > thead .worst { text-align: right; }
#places > thead button {
  border: 0; background: none; padding: 5px 10px; width: 100%; text-align: inherit;
  white-space: nowrap; border-radius: 3px;
}
#places > thead button:hover, #places > thead [aria-sort] button { color: var(--ink); }
#places > thead [aria-sort] button { font-weight: 600; }
#places > thead button::after {
  content: ""; display: inline-block; width: 0; margin-left: 5px; vertical-align: 2px;
  border: 3.5px solid transparent; border-bottom-width: 0;
}
#places > thead [aria-sort="descending"] button::after { border-top-color: currentColor; }
#places > thead [aria-sort="ascending"] button::after {
  border-top-width: 0; border-bottom: 3.5px solid currentColor;
}
#places tr.place > * { border-bottom: 1px solid var(--line); }
#places tr.place.unfolded > * { border-bottom-color: transparent; }
.js #places tr.place { cursor: pointer; }
#places tr.place:hover > * { background: var(--over); }
#places > tbody.picked > tr > * { background: var(--picked); }
#places > tbody.picked > tr > :first-child { box-shadow: inset 3px 0 0 var(--accent); }
.where { display: grid; grid-template-columns: 22px 16px minmax(150px, 1fr); }
html:not(.js) .where { grid-template-columns: 0 16px minmax(150px, 1fr); }
.open[aria-expanded] {
  border: 0; background: none; padding: 0; width: 20px; height: 20px; margin-left: -4px;
  border-radius: 3px;
}
html:not(.js) .open[aria-expanded] { visibility: hidden; width: 0; }
.open[aria-expanded]::before {
  content: ""; display: block; margin: auto; width: 0; border: 4.5px solid transparent;
  border-left: 6px solid var(--soft); border-right: 0; transform-origin: 50% 50%;
}
.open[aria-expanded]:hover::before { border-left-color: var(--ink); }
.open[aria-expanded="true"]::before { transform: rotate(90deg); }
.dot {
  width: 9px; height: 9px; margin-top: 5.5px; border-radius: 2px; flex: none;
  background: var(--c);
}
.pick {
  border: 0; background: none; padding: 0; text-align: left; overflow-wrap: anywhere;
  user-select: text;
}
.pick b { font-weight: 600; }
.folder {
  display: block; color: var(--soft); font-size: 11.5px; overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap; max-width: 44ch;
}
td.lock { overflow-wrap: anywhere; min-width: 100px; max-width: 220px; }
td.holder { min-width: 160px; overflow-wrap: anywhere; }
.holder > div:nth-child(n + 2) { display: inline; }
.holder > div:nth-child(3)::before { content: ", "; margin-left: -0.3em; }
.at { color: var(--soft); }
td.share { white-space: nowrap; }
.share span { display: inline-block; min-width: 3.4em; text-align: right; }
.bar {
  display: inline-block; width: 74px; height: 9px; border-radius: 2px; vertical-align: 0;
}
rect { fill: var(--soft); }
.bar .rail { fill: var(--rail); }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); }
.c4 { --c: var(--c4); } .c5 { --c: var(--c5); } .c6 { --c: var(--c6); } .c7 { --c: var(--c7); }
.c8 { --c: var(--c8); } .c9 { --c: var(--c9); } .c10 { --c: var(--c10); }
rect[class^="c"] { fill: var(--c); }
tr.more > td { padding: 2px 10px 18px 48px; border-bottom: 1px solid var(--line); }
.parts {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(450px, 100%), 1fr));
  gap: 16px 44px;
}
.parts > div { overflow-x: auto; }
h3 { font-size: 12px; font-weight: 400; color: var(--soft); margin-bottom: 4px; }
.stack { list-style: none; font: 12.5px/1.6 var(--mono); }
.stack li { overflow-wrap: anywhere; unicode-bidi: isolate; }
.stack span { color: var(--soft); }
.stack li:last-child { font-weight: 600; }
.holders { font-size: 12.5px; }
.holders th, .holders td { padding: 3px 14px 3px 0; }
.holders .share { padding-right: 0; }
.holders th:first-child { min-width: 8em; }
.holders th:nth-child(2) { min-width: 11em; }
.holders thead th { border: 0; padding-top: 0; }
.holders tbody th, .holders .at { overflow-wrap: anywhere; }
#all {
  margin-top: 10px; border: 1px solid var(--line); border-radius: 5px; background: var(--raised);
  padding: 4px 12px; font-size: 13px;
}
#all:hover, .tools button:hover { background: var(--over); }

/* the timeline */
.tools { display: flex; flex-wrap: wrap; align-items: baseline; gap: 6px; margin-left: auto; }
.tools button {
  border: 1px solid var(--line); border-radius: 5px; background: var(--raised);
  min-width: 30px; padding: 2px 9px; font-size: 13px;
}
#range { color: var(--soft); font-size: 12.5px; margin-right: 8px; }
#legend { display: flex; flex-wrap: wrap; gap: 2px 4px; margin: 0 0 8px -8px; }
#legend button {
  border: 0; background: none; border-radius: 4px; padding: 2px 8px; font-size: 12.5px;
  display: flex; align-items: baseline; gap: 7px; max-width: 100%; overflow-wrap: anywhere;
  text-align: left;
}
#legend button:hover { background: var(--over); }
#legend [aria-pressed="true"] { background: var(--picked); font-weight: 600; }
#legend .dot { margin: 0; }
#legend .soft { padding: 2px 8px; font-size: 12.5px; }
#chart {
  position: relative; background: var(--raised); border: 1px solid var(--line);
  border-radius: 6px; overflow: hidden; user-select: none; -webkit-user-select: none;
}
#chart:focus-visible { outline-offset: 2px; border-radius: 6px; }
#chart canvas { display: block; width: 100%; }
#over { border-bottom: 1px solid var(--line); cursor: crosshair; touch-action: none; }
#tracks { overflow-y: auto; overflow-x: hidden; max-height: min(72vh, 700px); }
#canvas { position: sticky; top: 0; cursor: grab; touch-action: pan-y; }
#canvas.held { cursor: grabbing; }
#keys { max-width: none; margin-top: 3px; }
#keys span { display: inline-block; margin-right: 12px; }
kbd {
  font: 11px var(--mono); border: 1px solid var(--line); border-radius: 3px; padding: 0 4px;
  background: var(--raised);
}
#tip {
  position: fixed; z-index: 9; left: 0; top: 0; max-width: min(420px, 94vw); padding: 8px 11px;
  background: var(--raised); border: 1px solid var(--line); border-radius: 6px;
  box-shadow: 0 4px 18px rgb(0 0 0 / 0.16); font-size: 12.5px; line-height: 1.45;
  pointer-events: none; overflow-wrap: anywhere;
}
#tip b { font-weight: 600; font-size: 14px; }
#tip dl {
  display: grid; grid-template-columns: auto minmax(0, 1fr); gap: 0 10px; margin-top: 3px;
}
#tip dt { color: var(--soft); }

/* the graph */
#graph { display: block; min-width: 760px; width: 100%; max-width: 1180px; height: auto; }
#graph text { font: 13px var(--sans); fill: var(--ink); }
#graph .dense text { font-size: 12px; }
#graph .small { font-size: 11.5px; fill: var(--soft); font-variant-numeric: tabular-nums; }
.node rect { fill: var(--raised); stroke: var(--line); stroke-width: 1.2; }
.node:hover rect { stroke: var(--soft); }
.line { fill: none; stroke: var(--c); }
.edge .tip { fill: var(--c); opacity: 0.85; }
.reach { fill: none; stroke: transparent; stroke-width: 14; pointer-events: stroke; }
#graph .label {
  font-size: 11.5px; paint-order: stroke; stroke: var(--page);
  stroke-width: 4px; stroke-linejoin: round; pointer-events: none;
}
#graph .label.off { visibility: hidden; }
#graph .faded { opacity: 0.13; }
#graph .label.shown { visibility: visible; }
#graph .edge.shown .line { stroke-opacity: 1; }
details { margin-top: 12px; }
summary { cursor: pointer; font-size: 13px; width: fit-content; }
.pairs { margin-top: 6px; width: auto; }
.pairs td { border-bottom: 1px solid var(--line); padding: 4px 22px 4px 0; }
.pairs th { padding: 4px 22px 4px 0; }

@media (max-width: 1200px) {
  #places > tbody > tr.place > *, #places > thead button { padding-left: 6px; padding-right: 6px; }
  .bar { width: 48px; }
}
@media (max-width: 860px) {
  main { padding-top: 20px; }
  section { margin-top: 30px; }
  .facts {
    display: grid; grid-template-columns: repeat(auto-fill, minmax(128px, 1fr)); gap: 12px;
  }
  .facts dd { font-size: 20px; }
  /* A card for each place instead of a row, and the headers as a line of buttons. */
  #places, #places > tbody, #places > thead, #places tr.more, #places tr.more > td {
    display: block;
  }
  #places > thead > tr { display: flex; flex-wrap: wrap; gap: 0 4px; padding: 0 0 6px; }
  #places > thead th { border: 0; }
  #places > thead th, #places > thead button { width: auto; min-width: 0; }
  #places > thead button { padding: 5px 8px; }
  #places > tbody { border-top: 1px solid var(--line); }
  #places tr.place {
    display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); padding: 8px 8px 10px 6px;
  }
  #places tr.place > * { border: 0; padding: 3px 4px; min-width: 0; max-width: none; }
  #places tr.place > th { grid-column: 1 / -1; }
  #places tr.place > td { text-align: left; padding-left: 26px; white-space: normal; }
  #places td.lock, #places td.holder, #places td.share { grid-column: 1 / -1; }
  #places td[data-name]::before {
    content: attr(data-name); display: block; color: var(--soft); font-size: 11.5px;
  }
  #places td.lock::before, #places td.share::before { display: none; }
  #places td.n { order: 1; width: auto; white-space: nowrap; }
  #places tr.more > td { padding: 2px 12px 16px 30px; }
  #places tr.place:hover > * { background: none; }
  #places > tbody.picked, #places > tbody.picked > tr > * { background: var(--picked); }
  #places > tbody.picked { box-shadow: inset 3px 0 0 var(--accent); }
  #places > tbody.picked > tr > :first-child { box-shadow: none; }
  .bar { width: min(60%, 220px); }
  .tools { margin-left: 0; }
}
@media print {
  .tools, #legend, #keys { display: none; }
}
"""

# Before anything is shown, as what is folded up should not be seen first.
_EARLY = 'document.documentElement.className = "js";'

# ---- the script ----

_SCRIPT = r"""
(() => {
"use strict";
const byId = id => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const name = index => data.names[index];

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

const number = (value, digits) => value.toLocaleString(
  "en-US", {minimumFractionDigits: digits, maximumFractionDigits: digits});
// As _time() in Python has it.
function time(seconds) {
  if (seconds <= 0) return "0 s";
  for (const [unit, size] of [["s", 1], ["ms", 1e-3], ["\u00b5s", 1e-6]]) {
    const value = seconds / size;
    if (value < 0.9995) continue;
    return `${number(value, value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2)} ${unit}`;
  }
  return `${number(seconds * 1e9, 0)} ns`;
}
const many = (count, word) => `${number(count, 0)} ${word}${count === 1 ? "" : "s"}`;

const places = data.places.map(([where, lock, holder, colour, count, total, median, p99, worst]) =>
  ({where: name(where), lock: name(lock), holder: name(holder),
    colour, count, total, median, p99, worst}));

// ---- what is picked: a place, in all three views ----

let picked = -1;
const whenPicked = [];
function pick(place) {
  picked = place === picked ? -1 : place;
  for (const body of document.querySelectorAll("#places tbody[data-place]")) {
    const is = Number(body.dataset.place) === picked;
    body.classList.toggle("picked", is);
    body.querySelector(".pick").setAttribute("aria-pressed", is);
  }
  for (const each of whenPicked) each();
}
document.addEventListener("keydown", event => {
  if (event.key === "Escape" && picked >= 0) pick(picked);
});

// ---- the table ----

(() => {
  const table = byId("places");
  if (!table) return;
  const bodies = [...table.tBodies];
  const isText = {place: 1, lock: 1, holder: 1};
  const key = {place: p => p.where, share: p => p.total};
  const heads = [...table.tHead.rows[0].cells];
  const some = 12;
  let all = bodies.length <= some + 3;

  function arrange() {
    bodies.forEach((body, row) => {
      body.hidden = !all && row >= some;
      table.append(body);
    });
  }
  function sort(head) {
    const by = head.dataset.key, value = key[by] || (p => p[by]);
    const first = isText[by] ? "ascending" : "descending";
    const second = isText[by] ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? second : first;
    for (const each of heads) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const collator = new Intl.Collator("en", {numeric: true});
    bodies.sort((a, b) => {
      const [i, j] = [Number(a.dataset.place), Number(b.dataset.place)];
      const [x, y] = [value(places[i]), value(places[j])];
      const difference = isText[by] ? collator.compare(x, y) : x - y;
      return sign * difference || places[j].total - places[i].total || i - j;
    });
    arrange();
    byId("live").textContent = `Sorted by ${head.textContent}, ${order}`;
  }
  for (const head of heads) {
    const button = make("button", head.textContent);
    button.type = "button";
    head.replaceChildren(button);
    button.addEventListener("click", () => sort(head));
  }
  if (!all) {
    const button = make("button", `Show all ${bodies.length} places`);
    button.id = "all";
    button.type = "button";
    button.addEventListener("click", () => {
      all = true;
      button.remove();
      arrange();
      bodies[some].querySelector(".pick").focus();
    });
    table.parentElement.after(button);
  }
  arrange();

  table.addEventListener("click", event => {
    const body = event.target.closest("tbody[data-place]");
    if (!body) return;
    const button = event.target.closest("button.open");
    if (button) {
      const shown = body.querySelector("tr.more").classList.toggle("shown");
      button.setAttribute("aria-expanded", shown);
      body.querySelector("tr.place").classList.toggle("unfolded", shown);
    } else if (event.target.closest("tr.place") && !String(getSelection())) {
      pick(Number(body.dataset.place));
    }
  });
  // From row to row, as there are as many stops for the tab key as there are rows.
  table.addEventListener("keydown", event => {
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
    const kind = [".pick", ".open"].find(each => event.target.matches(each));
    if (!step || !kind) return;
    const rows = bodies.filter(body => !body.hidden);
    const next = rows[rows.indexOf(event.target.closest("tbody")) + step];
    if (next) next.querySelector(kind).focus();
    event.preventDefault();
  });
})();

// ---- the graph ----

(() => {
  const graph = byId("graph");
  if (!graph) return;
  const lines = [...graph.querySelectorAll("[data-from]")].map(element => ({
    element, from: element.dataset.from, to: element.dataset.to,
    places: new Map(element.dataset.places.split(" ").map(each => each.split(":").map(Number))),
    stroke: element.querySelector(".line"), text: element.textContent,
    own: element.classList[1], colour: element.classList[1],
  }));
  const widths = new Map(lines.filter(each => each.stroke).map(
    each => [each, Number(each.stroke.getAttribute("stroke-width"))]));
  const nodes = [...graph.querySelectorAll(".node")];
  let over = null;

  // While a place is picked, only what was waited there.
  function weigh() {
    for (const line of lines) {
      let here = 0, all = 0;
      for (const [place, total] of line.places) {
        all += total;
        if (picked < 0 || place === picked) here += total;
      }
      if (line.stroke) {
        const width = 1 + (widths.get(line) - 1) * (all > 0 ? here / all : 1);
        line.stroke.setAttribute("stroke-width", width.toFixed(1));
        line.element.classList.replace(line.colour, line.colour =
          picked < 0 ? line.own : `c${places[picked].colour}`);
      } else {
        line.element.textContent =
          picked < 0 ? line.text : `${time(here)} ${places[picked].lock}`;
      }
    }
  }

  function show() {
    const close = new Set();
    const isAt = line => over && (over.node ? over.node === line.from || over.node === line.to
      : over.from === line.from && over.to === line.to);
    // What is written at too many lines is not to be read.
    const few = lines.filter(line => line.stroke && isAt(line)).length <= 12;
    for (const line of lines) {
      const isOver = isAt(line);
      const isPart = over ? isOver : picked < 0 || line.places.has(picked);
      line.element.classList.toggle("faded", !isPart);
      line.element.classList.toggle("shown", Boolean(isOver && (line.stroke || few)));
      if (isPart) close.add(line.from).add(line.to);
    }
    for (const node of nodes) {
      node.classList.toggle("faded", !close.has(node.dataset.node) && (over || picked >= 0));
    }
  }
  graph.addEventListener("pointerover", event => {
    const line = event.target.closest(".edge"), node = event.target.closest(".node");
    over = line ? {from: line.dataset.from, to: line.dataset.to}
      : node ? {node: node.dataset.node} : null;
    show();
  });
  graph.addEventListener("pointerleave", () => { over = null; show(); });
  whenPicked.push(weigh, show);
})();

// ---- the timeline ----

(() => {
  const chart = byId("chart");
  if (!chart) return;
  const [canvas, strip, scroller] = [byId("canvas"), byId("over"), byId("tracks")];

  // Times are in nanoseconds from the beginning of the run.
  const columns = data.waits, count = columns.length.length;
  const begin = new Float64Array(count), end = new Float64Array(count);
  const latest = new Float64Array(count);  // of the waits of a thread up to this one
  const place = Uint32Array.from(columns.place), failed = new Uint8Array(count);
  for (const index of columns.failed) failed[index] = 1;
  // What threads had, in the same way.
  const holds = data.holds, held = {};
  for (const key of ["begin", "end", "latest"]) held[key] = new Float64Array(holds.length.length);
  const tracks = [];
  let [start, stop] = [0, data.length];
  let from = 0, heldFrom = 0;
  for (const [index, [title, ident, waits]] of data.threads.entries()) {
    const heldTo = heldFrom + holds.count[index];
    const track = {name: name(title), ident, from, to: from + waits, total: 0, heldFrom, heldTo};
    let now = 0, late = -Infinity;  // of the one before, and of all
    for (let k = from; k < track.to; k++) {
      begin[k] = now += columns.begin[k];
      end[k] = now + columns.length[k];
      latest[k] = late = Math.max(late, end[k]);
      track.total += columns.length[k];
    }
    if (waits) start = Math.min(start, begin[from]);
    stop = Math.max(stop, late);
    now = 0, late = -Infinity;
    for (let k = heldFrom; k < heldTo; k++) {
      held.begin[k] = now += holds.begin[k];
      held.end[k] = now + holds.length[k];
      held.latest[k] = late = Math.max(late, held.end[k]);
      start = Math.min(start, now);
      stop = Math.max(stop, late);
    }
    tracks.push(track);
    [from, heldFrom] = [track.to, heldTo];
  }
  if (stop <= start) stop = start + 1;
  let peak = 0;  // of threads that wait at once
  const begins = begin.slice().sort(), ends = end.slice().sort();
  for (let i = 0, j = 0; i < count; i++) {
    while (ends[j] <= begins[i] && j < i) j++;
    peak = Math.max(peak, i - j + 1);
  }
  const shortest = Math.min(200, stop - start);

  let [left, right] = [start, stop];  // what is seen
  let over = null;                    // what the pointer is at
  let cursor = {track: 0, wait: -1};  // what the keys are at
  let hasFocus = false;

  // ---- colours: a place's own, or how it looks while another one is picked ----

  const kinds = 13, dim = 12, strong = 11;
  const order = [strong, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, dim];  // from below
  let theme;
  // What can be read best on a colour, given as #rrggbb.
  function inkOn(colour) {
    const [r, g, b] = [1, 3, 5].map(at => {
      const part = parseInt(colour.slice(at, at + 2), 16) / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#101316" : "#ffffff";
  }
  function readTheme() {
    const style = getComputedStyle(document.documentElement);
    const read = key => style.getPropertyValue(`--${key}`).trim();
    theme = {fills: []};
    for (const key of ["raised", "ink", "soft", "line", "over", "accent", "page", "sans"]) {
      theme[key] = read(key);
    }
    for (let i = 0; i <= 10; i++) theme.fills.push(read(`c${i}`));
    theme.fills.push(theme.accent, read("dim"));
    theme.inks = theme.fills.map(inkOn);
  }
  const colours = Uint8Array.from(places, each => each.colour);
  const shown = new Uint8Array(places.length);
  function chooseColours() {
    for (let i = 0; i < shown.length; i++) {
      shown[i] = picked < 0 ? colours[i] : i !== picked ? dim
        : colours[i] === 10 ? strong : colours[i];
    }
  }

  // ---- what is where ----

  const axis = 24, stripHeight = 46;
  const isFew = tracks.length <= 12, bar = isFew ? 24 : 18;
  let width = 0, gutter = 0, row = 0, isNarrow = false, height = 0, ratio = 1;
  let pens, density = null;

  function measure() {
    width = chart.clientWidth;
    ratio = Math.max(1, devicePixelRatio || 1);
    isNarrow = width < 620;
    row = bar + (isNarrow ? 24 : isFew ? 12 : 10);
    pens = [canvas, strip].map(each => each.getContext("2d"));
    pens[0].font = `12.5px ${theme.sans}`;
    const names = Math.max(...tracks.slice(0, 500).map(t => pens[0].measureText(t.name).width));
    gutter = isNarrow ? 0 : Math.round(Math.min(Math.max(names + 74, 130), 260, width * 0.3));
    const whole = axis + tracks.length * row + 6;
    height = Math.min(whole, Math.max(160, Math.min(innerHeight * 0.72, 700)));
    canvas.style.height = `${height}px`;
    strip.style.height = `${stripHeight}px`;
    byId("room").style.height = `${whole - height}px`;
    width = scroller.clientWidth;  // without the scroll bar
    canvas.style.width = strip.style.width = `${width}px`;
    for (const [each, high] of [[canvas, height], [picture, height], [strip, stripHeight]]) {
      each.width = Math.round(width * ratio);
      each.height = Math.round(high * ratio);
    }
    density = null;
    isStale = true;
  }
  const plot = () => Math.max(width - gutter - 1, 1);
  const toX = t => gutter + (t - left) / (right - left) * plot();
  const toTime = x => left + (x - gutter) / plot() * (right - left);
  const margin = () => isNarrow ? 20 : (row - bar) / 2;
  const topOf = track => axis + track * row - scroller.scrollTop + margin();
  const trackAt = y => {
    const track = Math.floor((y - axis + scroller.scrollTop) / row);
    return y >= axis && track < tracks.length ? track : -1;
  };

  // The first in [from, to) of which a test holds that holds of all later ones; or `to`.
  function first(from, to, test) {
    while (from < to) {
      const middle = (from + to) >> 1;
      if (test(middle)) to = middle; else from = middle + 1;
    }
    return from;
  }
  // The waits of a track that can be in [a, b].
  const between = ({from, to}, a, b) =>
    [first(from, to, k => latest[k] >= a), first(from, to, k => begin[k] > b)];

  // What it had that can be in [a, b].
  const heldBetween = ({heldFrom, heldTo}, a, b) =>
    [first(heldFrom, heldTo, k => held.latest[k] >= a),
      first(heldFrom, heldTo, k => held.begin[k] > b)];

  // Add to each bin what share of it is waiting, by colour. Waits that are as wide as `most` bins
  // go to `wide` instead.
  function fill(bins, size, [from, to], origin, scale, most, wide) {
    for (let k = from; k < to; k++) {
      let a = (begin[k] - origin) * scale, b = (end[k] - origin) * scale;
      if (b - a >= most) { wide(k); continue; }
      a = Math.max(a, 0);
      b = Math.min(Math.max(b, a + 1e-6), size);
      if (a >= b) continue;
      const colour = shown[place[k]], last = Math.min(Math.floor(b), size - 1);
      let bin = Math.floor(a);
      if (bin >= last) { bins[last * kinds + colour] += b - a; continue; }
      for (; bin <= last; bin++) {
        bins[bin * kinds + colour] += Math.min(b, bin + 1) - Math.max(a, bin);
      }
    }
  }

  // ---- the axis ----

  const unit = stop - start >= 1e9 ? ["s", 1e9] : stop - start >= 1e6 ? ["ms", 1e6]
    : ["\u00b5s", 1e3];
  function scaleOfAxis() {
    const wanted = (right - left) / Math.max(plot() / 110, 1);
    const power = 10 ** Math.floor(Math.log10(wanted));
    const step = power * ([1, 2, 5].find(each => each * power >= wanted) || 10);
    const digits = Math.min(Math.max(0, -Math.floor(Math.log10(step / unit[1]) + 1e-9)), 9);
    return {step, digits};
  }
  const clock = (t, digits) => `${number(t / unit[1], digits).replace(/^-(?=[0.]*$)/, "")}`
    + ` ${unit[0]}`;

  const texts = new Map();
  // A text without its middle, if it is too long: names often differ at their ends.
  function fit(pen, text, most) {
    const key = `${Math.round(most)} ${pen.font} ${text}`;
    if (texts.has(key)) return texts.get(key);
    let found = text;
    if (pen.measureText(text).width > most) {
      const letters = Array.from(text);
      const cut = n => [...letters.slice(0, n - (n >> 1)), "\u2026",
        ...letters.slice(letters.length - (n >> 1))].join("");
      const long = first(1, letters.length, n => pen.measureText(cut(n)).width > most) - 1;
      found = long > 0 ? cut(long) : "";
    }
    if (texts.size > 5000) texts.clear();
    texts.set(key, found);
    return found;
  }

  // ---- drawing ----

  // The picture is kept, since what the pointer is at is drawn over it with each of its moves.
  const picture = document.createElement("canvas");
  let bins = new Float32Array(0);
  let isAsked = false, isStale = true;
  function mark() {
    if (isAsked) return;
    isAsked = true;
    requestAnimationFrame(() => { isAsked = false; draw(); });
  }
  function redraw() {
    isStale = true;
    mark();
  }

  function draw() {
    if (isStale) {
      paint(picture.getContext("2d"));
      drawStrip();
      isStale = false;
    }
    const pen = pens[0];
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.drawImage(picture, 0, 0);
    const at = over || (hasFocus && cursor.wait >= 0 ? cursor : null);
    if (!at || !(at.wait >= 0)) return;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.save();
    pen.beginPath();
    pen.rect(0, axis, width, height - axis);
    pen.clip();
    drawMark(pen, at);
    pen.restore();
  }

  function paint(pen) {
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = theme.raised;
    pen.fillRect(0, 0, width, height);
    pen.textBaseline = "middle";
    const {step, digits} = scaleOfAxis();
    const lines = [];
    for (let t = Math.ceil(left / step) * step; t <= right; t += step) lines.push(t);
    pen.fillStyle = theme.line;
    for (const t of lines) pen.fillRect(Math.round(toX(t)), axis - 5, 1, height);

    const top = scroller.scrollTop;
    const lowest = Math.max(0, Math.floor(top / row));
    const highest = Math.min(tracks.length, Math.ceil((top + height - axis) / row));
    // Bins are pixels of the screen, as long as that is quick.
    const fine = (highest - lowest) * plot() * ratio < 10000 ? ratio : 1;
    pen.save();
    pen.beginPath();
    pen.rect(0, axis, width, height - axis);
    pen.clip();
    for (let i = lowest; i < highest; i++) drawTrack(pen, i, fine);
    pen.restore();

    pen.fillStyle = theme.line;
    pen.fillRect(0, axis - 1, width, 1);
    pen.fillStyle = theme.soft;
    pen.font = `11px ${theme.sans}`;
    pen.textAlign = "center";
    for (const t of lines) {
      const text = clock(t, digits), half = pen.measureText(text).width / 2;
      const x = toX(t);
      if (x + half > width - 2) continue;
      pen.fillText(text, Math.max(x, gutter + half + 5), axis / 2 - 1);
    }
    if (!isNarrow) {
      pen.textAlign = "right";
      pen.fillText("waiting", gutter - 10, axis / 2 - 1);
      pen.textAlign = "left";
      pen.fillText("thread", 12, axis / 2 - 1);
      pen.fillStyle = theme.line;
      pen.fillRect(gutter - 1, 0, 1, height);
    }
    chart.dataset.left = left;
    chart.dataset.right = right;
    byId("range").textContent = left === start && right === stop ? `${time((stop - start) / 1e9)}`
      : `${clock(left, digits + 1)} to ${clock(right, digits + 1)}: ${time((right - left) / 1e9)}`;
  }

  function drawTrack(pen, i, fine) {
    const track = tracks[i], top = topOf(i);
    if (hasFocus && cursor.track === i) {
      pen.fillStyle = theme.over;
      pen.fillRect(0, axis + i * row - scroller.scrollTop, width, row);
    }
    pen.fillStyle = theme.line;
    pen.globalAlpha = 0.45;
    pen.fillRect(gutter, top + bar - 1, plot(), 1);
    pen.globalAlpha = 1;

    const size = Math.ceil(plot() * fine), scale = plot() * fine / (right - left);
    if (bins.length < size * kinds) bins = new Float32Array(size * kinds);
    bins.fill(0, 0, size * kinds);
    const wide = [];
    fill(bins, size, between(track, left, right), left, scale, 2, k => wide.push(k));
    const least = 2 / bar;
    const sums = new Float32Array(size);
    for (const colour of order) {
      pen.fillStyle = theme.fills[colour];
      for (let bin = 0; bin < size; bin++) {
        let share = bins[bin * kinds + colour];
        if (share === 0) continue;
        let last = bin + 1;
        const below = sums[bin];
        share = Math.max(share, least);
        const high = Math.min(share, 1 - below) * bar;
        sums[bin] = below + share;
        if (high <= 0) continue;
        // Equal neighbours in one go: where there is nothing but waiting, there are many.
        while (last < size && sums[last] === below
            && Math.max(bins[last * kinds + colour], least) === share
            && bins[last * kinds + colour] > 0) {
          sums[last] = below + share;
          last++;
        }
        pen.fillRect(gutter + bin / fine, top + bar - below * bar - high,
          (last - bin) / fine, high);
        bin = last - 1;
      }
    }
    pen.font = `11px ${theme.sans}`;
    pen.textAlign = "left";
    for (const k of wide) {
      const a = Math.max(toX(begin[k]), gutter - 3), b = Math.min(toX(end[k]), width + 3);
      const colour = theme.fills[shown[place[k]]];
      const gap = b - a > 4 ? 0.5 : 0;
      pen.fillStyle = colour;
      if (failed[k]) {
        pen.globalAlpha = 0.22;
        pen.fillRect(a, top, b - a - gap, bar);
        pen.globalAlpha = 1;
        pen.strokeStyle = colour;
        pen.lineWidth = 1.2;
        pen.strokeRect(a + 0.6, top + 0.6, Math.max(b - a - gap - 1.2, 0.3), bar - 1.2);
      } else {
        pen.fillRect(a, top, b - a - gap, bar);
      }
      const room = b - Math.max(a, gutter) - 12;
      if (room > 34) {
        const lasted = time((end[k] - begin[k]) / 1e9);
        const used = pen.measureText(lasted).width;
        const kind = shown[place[k]];
        pen.fillStyle = failed[k] ? theme.ink : kind === dim ? theme.soft : theme.inks[kind];
        const x = Math.max(a, gutter) + 6, y = top + bar / 2 + 0.5;
        if (used <= room) pen.fillText(lasted, x, y);
        if (used + 60 <= room) {
          const lock = name(columns.lock[k]).replace(/ \((lock|RLock|thread)\)$/, "");
          pen.fillText(fit(pen, lock, room - used - 8), x + used + 8, y);
        }
      }
    }

    drawHolds(pen, track, top);
    drawName(pen, i, false);
  }

  // A line below, where it had something: what is one after the other in one go.
  function drawHolds(pen, track, top) {
    const [from, to] = heldBetween(track, left, right);
    let a = 0, b = -1;
    const put = () => pen.fillRect(a, top + bar + 1, b - a, 3);
    pen.fillStyle = theme.soft;
    for (let k = from; k < to; k++) {
      if (held.end[k] < left) continue;
      const x = Math.max(toX(held.begin[k]), gutter);
      const y = Math.min(Math.max(toX(held.end[k]), x + 0.5), width);
      if (x <= b) { b = Math.max(b, y); continue; }
      if (b > a) put();
      [a, b] = [x, y];
    }
    if (b > a) put();
  }

  // The name, and how much of the run the thread was waiting.
  function drawName(pen, i, isStrong) {
    const track = tracks[i], top = topOf(i);
    const share = 100 * track.total / (stop - start);
    const percent = `${share > 0 && share < 0.95 ? "<1" : share.toFixed(0)}%`;
    const middle = isNarrow ? top - 9 : top + bar / 2;
    pen.fillStyle = isStrong || (hasFocus && cursor.track === i) ? theme.over : theme.raised;
    if (isNarrow) pen.fillRect(0, top - 19, width, 18);
    else pen.fillRect(0, top - (row - bar) / 2, gutter - 1, row);
    pen.textBaseline = "middle";
    pen.font = `12.5px ${theme.sans}`;
    pen.fillStyle = isStrong ? theme.accent : theme.ink;
    pen.textAlign = "left";
    pen.fillText(fit(pen, track.name, (isNarrow ? width : gutter) - 66), 12, middle);
    pen.font = `12px ${theme.sans}`;
    pen.fillStyle = theme.soft;
    pen.textAlign = "right";
    pen.fillText(percent, (isNarrow ? width : gutter) - 10, middle);
  }

  // What the pointer or the keys are at, and a line to the thread that had the lock.
  function drawMark(pen, at) {
    const k = at.wait, top = topOf(at.track);
    const a = Math.max(toX(begin[k]), gutter - 3);
    const b = Math.max(Math.min(toX(end[k]), width + 3), a + 3);
    pen.strokeStyle = theme.ink;
    pen.lineWidth = 1.5;
    pen.strokeRect(a - 0.75, top - 1.25, b - a + 1.5, bar + 2.5);
    const holder = tracks.findIndex(track => track.name === name(columns.owner[k]));
    if (holder < 0) return;
    drawName(pen, holder, true);
    if (holder === at.track || a < gutter) return;
    const isBelow = holder > at.track;
    const y1 = top + (isBelow ? bar + 1 : -1);
    const y2 = topOf(holder) + (isBelow ? 0 : bar);
    pen.setLineDash([3, 2]);
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(a + 0.5, y1);
    pen.lineTo(a + 0.5, y2);
    pen.stroke();
    pen.setLineDash([]);
    pen.beginPath();
    pen.arc(a + 0.5, y2, 3, 0, 7);
    pen.fillStyle = theme.ink;
    pen.fill();
  }

  // How many threads wait at a time, in all of the run.
  function drawStrip() {
    const pen = pens[1];
    const size = Math.ceil(plot()), base = stripHeight - 3, high = stripHeight - 10;
    if (!density) {
      const bins = new Float32Array(size * kinds);
      for (const {from, to} of tracks) {
        fill(bins, size, [from, to], start, size / (stop - start), Infinity);
      }
      let most = 0;
      for (let bin = 0; bin < size; bin++) {
        let sum = 0;
        for (let colour = 0; colour < kinds; colour++) sum += bins[bin * kinds + colour];
        most = Math.max(most, sum);
      }
      density = {bins, most};
    }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = theme.raised;
    pen.fillRect(0, 0, width, stripHeight);
    const sums = new Float32Array(size);
    const scale = high / Math.max(density.most, 1e-9);
    for (const colour of order) {
      pen.fillStyle = theme.fills[colour];
      for (let bin = 0; bin < size; bin++) {
        const tall = density.bins[bin * kinds + colour] * scale;
        if (tall === 0) continue;
        pen.fillRect(gutter + bin, base - sums[bin] - tall, 1, tall);
        sums[bin] += tall;
      }
    }
    const [a, b] = frame();
    if (left > start || right < stop) {
      pen.fillStyle = theme.page;
      pen.globalAlpha = 0.72;
      pen.fillRect(gutter, 0, a - gutter, stripHeight);
      pen.fillRect(b, 0, width - b, stripHeight);
      pen.globalAlpha = 1;
      pen.strokeStyle = theme.accent;
      pen.lineWidth = 1.5;
      pen.strokeRect(a + 0.5, 1, Math.max(b - a - 1, 2), stripHeight - 2.5);
    }
    if (!isNarrow) {
      pen.fillStyle = theme.soft;
      pen.font = `11px ${theme.sans}`;
      pen.textBaseline = "middle";
      pen.textAlign = "left";
      pen.fillText("at once", 12, stripHeight / 2);
      pen.textAlign = "right";
      pen.fillText(`max ${peak}`, gutter - 10, stripHeight / 2);
      pen.fillStyle = theme.line;
      pen.fillRect(gutter - 1, 0, 1, stripHeight);
    }
  }
  const frame = () =>
    [left, right].map(t => gutter + (t - start) / (stop - start) * plot());

  // ---- what is seen ----

  function see(a, b) {
    const span = Math.min(Math.max(b - a, shortest), stop - start);
    const from = Math.min(Math.max((a + b - span) / 2, start), stop - span);
    [left, right] = [from, from + span];
    if (span >= (stop - start) * (1 - 1e-9)) [left, right] = [start, stop];
    over = null;
    hideTip();
    redraw();
  }
  const zoom = (factor, at = (left + right) / 2) =>
    see(at - (at - left) * factor, at + (right - at) * factor);
  const move = by => {
    const span = right - left, from = Math.min(Math.max(left + by, start), stop - span);
    see(from, from + span);
  };

  // ---- the tip ----

  const tip = byId("tip");
  function hideTip() { tip.hidden = true; }
  function showTip(parts, x, y) {
    tip.replaceChildren(...parts);
    tip.hidden = false;
    const {width: wide, height: high} = tip.getBoundingClientRect();
    const right = x + 16 + wide < innerWidth ? x + 16 : Math.max(x - wide - 16, 4);
    const below = y + 18 + high < innerHeight ? y + 18 : Math.max(y - high - 14, 4);
    tip.style.transform =
      `translate(${Math.max(Math.min(right, innerWidth - wide - 4), 4)}px, ${below}px)`;
  }
  const seconds = k => (end[k] - begin[k]) / 1e9;
  const ending = k => failed[k] ? ", without getting it" : "";
  function facts(pairs) {
    const list = make("dl");
    for (const [what, value] of pairs) {
      if (value !== undefined) list.append(make("dt", what), make("dd", value));
    }
    return list;
  }
  function tell(at) {
    const track = tracks[at.track];
    if (at.group) {
      const {waits, total, longest} = at.group;
      return [make("b", many(waits, "wait")), facts([
        ["in all", time(total)], ["longest", time(seconds(longest))],
        ["mostly", places[place[longest]].where], ["thread", track.name],
        ["", "zoom in to tell them apart"]])];
    }
    if (at.held >= 0) {
      return [make("b", `${time((held.end[at.held] - held.begin[at.held]) / 1e9)}, held`), facts([
        ["lock", name(holds.lock[at.held])],
        ["taken in", name(holds.taken[at.held])],
        ["thread", track.name],
        ["at", clock(held.begin[at.held], Math.min(scaleOfAxis().digits + 2, 9))]])];
    }
    if (!(at.wait >= 0)) {
      const times = track.heldTo - track.heldFrom;
      return [make("b", track.name), facts([
        ["waits", number(track.to - track.from, 0)],
        ["in all", time(track.total / 1e9)],
        ["had locks", times ? `${number(times, 0)} times` : undefined],
        ["ident", String(track.ident)]])];
    }
    const k = at.wait, owner = name(columns.owner[k]), taken = name(columns.taken[k]);
    return [make("b", time(seconds(k)) + ending(k)), facts([
      ["for", name(columns.lock[k])],
      ["held by", owner === undefined ? "not known" : owner],
      ["taken in", taken],
      ["waited in", places[place[k]].where],
      ["thread", track.name],
      ["at", clock(begin[k], Math.min(scaleOfAxis().digits + 2, 9))]])];
  }

  function find(x, y) {
    const track = trackAt(y);
    if (track < 0) return null;
    if (x < gutter) return {track, wait: -1};
    const [a, b] = [toTime(x - 1.5), toTime(x + 1.5)];
    if (y > topOf(track) + bar) {
      const [from, to] = heldBetween(tracks[track], a, b);
      for (let k = to - 1; k >= from; k--) {  // the one that it took last
        if (held.end[k] >= a) return {track, wait: -1, held: k};
      }
    }
    const [from, to] = between(tracks[track], a, b);
    const t = toTime(x), isWide = k => toX(end[k]) - toX(begin[k]) >= 4;
    let longest = -1, waits = 0, total = 0;
    for (let k = from; k < to; k++) {
      if (end[k] < a || begin[k] > b) continue;
      if (begin[k] <= t && t <= end[k] && isWide(k)) return {track, wait: k};
      waits++;
      total += seconds(k);
      if (longest < 0 || end[k] - begin[k] > end[longest] - begin[longest]) longest = k;
    }
    if (longest < 0) return null;
    if (waits === 1 || isWide(longest)) return {track, wait: longest};
    return {track, wait: -1, group: {waits, total, longest}};
  }

  // ---- the pointer ----

  const pointers = new Map();
  let drag = null, scrolled = -1e9;
  const local = (event, element = canvas) => {
    const box = element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointerdown", event => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event.clientX);
    drag = {x: event.clientX, y: event.clientY, left, right, top: scroller.scrollTop, far: false,
      wide: null};
    if (pointers.size === 2) {
      const [one, two] = [...pointers.values()];
      drag.wide = Math.max(Math.abs(one - two), 10);
      drag.far = true;
    }
  });
  canvas.addEventListener("pointermove", event => {
    if (pointers.has(event.pointerId)) pointers.set(event.pointerId, event.clientX);
    if (drag && drag.wide && pointers.size === 2) {
      const [one, two] = [...pointers.values()];
      const middle = (one + two) / 2 - canvas.getBoundingClientRect().left;
      const factor = drag.wide / Math.max(Math.abs(one - two), 10);
      const at = drag.left + (middle - gutter) / plot() * (drag.right - drag.left);
      see(at - (at - drag.left) * factor, at + (drag.right - at) * factor);
      return;
    }
    if (drag && !drag.wide) {
      const by = event.clientX - drag.x;
      if (Math.abs(by) + Math.abs(event.clientY - drag.y) > 4) drag.far = true;
      if (drag.far) {
        canvas.classList.add("held");
        const span = drag.right - drag.left;
        const from = Math.min(Math.max(drag.left - by / plot() * span, start), stop - span);
        if (event.pointerType === "mouse") {
          scroller.scrollTop = drag.top - (event.clientY - drag.y);
        }
        see(from, from + span);
      }
      return;
    }
    const [x, y] = local(event);
    const found = find(x, y);
    canvas.style.cursor = found && (found.wait >= 0 || found.group) ? "pointer" : "";
    over = found;
    if (found) showTip(tell(found), event.clientX, event.clientY); else hideTip();
    mark();
  });
  function release(event) {
    pointers.delete(event.pointerId);
    canvas.classList.remove("held");
    if (!drag || pointers.size) return;
    const isClick = event.type === "pointerup" && !drag.far;
    drag = null;
    if (!isClick) return;
    const found = find(...local(event));
    if (!found) return;
    cursor = {track: found.track, wait: found.wait};
    const wait = found.group ? found.group.longest : found.wait;
    if (wait >= 0) pick(place[wait]);
    else redraw();
    // A finger leaves as it clicks, which would take the tip away.
    if (event.pointerType !== "mouse") {
      setTimeout(() => { over = found; showTip(tell(found), event.clientX, event.clientY); });
    }
  }
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => {
    if (drag) return;
    over = null;
    hideTip();
    mark();
  });
  canvas.addEventListener("dblclick", event => {
    const found = find(...local(event));
    if (found && found.wait >= 0) show(found.wait, found.track, 3);
    else zoom(0.25, toTime(local(event)[0]));
  });
  // Who scrolls the page, and comes past the timeline on the way, does not want to zoom.
  addEventListener("scroll", () => { scrolled = performance.now(); }, {passive: true});
  chart.addEventListener("wheel", event => {
    const lines = event.deltaMode ? 30 : 1;
    const [x, y] = [event.deltaX * lines, event.deltaY * lines];
    const [at] = local(event);
    if (Math.abs(x) > Math.abs(y) || event.shiftKey) {
      event.preventDefault();
      move((x || y) / plot() * (right - left));
      return;
    }
    const isWhole = left === start && right === stop;
    if (!event.ctrlKey) {
      if (performance.now() - scrolled < 300 || (isWhole && y > 0)) {
        scrolled = performance.now();
        return;
      }
      if (at < gutter) return;  // scrolls the threads
    }
    event.preventDefault();
    zoom(Math.exp(Math.min(Math.max(y, -300), 300) * (event.ctrlKey ? 0.01 : 0.002)),
      toTime(Math.max(at, gutter)));
  }, {passive: false});
  scroller.addEventListener("scroll", () => { hideTip(); redraw(); }, {passive: true});

  let brush = null;
  const stripTime = event => {
    const x = Math.min(Math.max(local(event, strip)[0] - gutter, 0), plot());
    return start + x / plot() * (stop - start);
  };
  strip.addEventListener("pointerdown", event => {
    strip.setPointerCapture(event.pointerId);
    brush = {at: stripTime(event), x: event.clientX, far: false};
  });
  strip.addEventListener("pointermove", event => {
    if (!brush) return;
    brush.far = brush.far || Math.abs(event.clientX - brush.x) > 3;
    const now = stripTime(event);
    if (brush.far) see(Math.min(brush.at, now), Math.max(brush.at, now));
  });
  strip.addEventListener("pointerup", () => {
    if (brush && !brush.far) move(brush.at - (left + right) / 2);
    brush = null;
  });
  strip.addEventListener("pointercancel", () => { brush = null; });

  // ---- keys and buttons ----

  function show(k, track, share) {
    const long = Math.max(end[k] - begin[k], 1);
    const middle = (begin[k] + end[k]) / 2;
    if (share) {
      see(middle - long * share / 2, middle + long * share / 2);
    } else if (begin[k] < left || end[k] > right) {
      const span = Math.max(right - left, long * 1.2);
      see(middle - span / 2, middle + span / 2);
    }
    // So far that it can be seen.
    const seen = long / (right - left) * plot();
    if (!share && seen < 6) see(middle - long * plot() / 24, middle + long * plot() / 24);
    cursor = {track, wait: k};
    over = cursor;
    keepInSight(track);
    const box = canvas.getBoundingClientRect();
    const x = Math.max(toX(begin[k]), gutter);
    showTip(tell(cursor), box.left + x, box.top + topOf(track) + bar / 2);
    const owner = name(columns.owner[k]);
    byId("live").textContent = `${tracks[track].name} waited ${time(seconds(k))}${ending(k)}, for `
      + `${name(columns.lock[k])}, held by ${owner === undefined ? "nobody known" : owner}`;
    redraw();
  }
  function keepInSight(track) {
    const top = track * row, room = height - axis;
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    if (top + row > scroller.scrollTop + room) scroller.scrollTop = top + row - room;
  }
  function step(by) {
    const track = tracks[cursor.track];
    let k = cursor.wait;
    if (!(k >= track.from && k < track.to)) {
      k = first(track.from, track.to, each => begin[each] >= left) - (by > 0 ? 1 : 0);
    }
    do k += by; while (k >= track.from && k < track.to && picked >= 0 && place[k] !== picked);
    if (k >= track.from && k < track.to) show(k, cursor.track);
  }
  let byLength = null, turn = 0;
  function longest() {
    if (!byLength) {
      byLength = Array.from(place.keys());
      if (picked >= 0) byLength = byLength.filter(k => place[k] === picked);
      byLength.sort((a, b) => end[b] - begin[b] - end[a] + begin[a]);
      turn = 0;
    }
    if (!byLength.length) return;
    const k = byLength[turn++ % byLength.length];
    show(k, tracks.findIndex(track => k < track.to), 3);
  }
  const keys = {
    "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6),
    "0": () => see(start, stop),
    ArrowLeft: () => move((left - right) / 8), ArrowRight: () => move((right - left) / 8),
    PageUp: () => move((left - right) * 0.9), PageDown: () => move((right - left) * 0.9),
    Home: () => move(start - left), End: () => move(stop - right),
    ArrowUp: () => turnTo(cursor.track - 1), ArrowDown: () => turnTo(cursor.track + 1),
    n: () => step(1), p: () => step(-1), l: longest,
  };
  function turnTo(track) {
    if (track < 0 || track >= tracks.length) return;
    cursor = {track, wait: -1};
    over = null;
    hideTip();
    keepInSight(track);
    byId("live").textContent =
      `${tracks[track].name}, ${many(tracks[track].to - tracks[track].from, "wait")}`;
    redraw();
  }
  chart.addEventListener("keydown", event => {
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    hasFocus = true;
    act();
  });
  chart.addEventListener("focus", () => {
    hasFocus = chart.matches(":focus-visible");
    redraw();
  });
  chart.addEventListener("blur", () => { hasFocus = false; over = null; hideTip(); redraw(); });
  byId("in").addEventListener("click", () => zoom(0.5));
  byId("out").addEventListener("click", () => zoom(2));
  byId("whole").addEventListener("click", () => see(start, stop));
  byId("longest").addEventListener("click", longest);

  // ---- the places' colours ----

  const legend = byId("legend");
  const chips = places.map((each, index) => ({...each, index}))
    .filter(each => each.colour < 10 && each.count).sort((a, b) => a.colour - b.colour)
    .map(({where, colour, lock, index}) => {
      const button = make("button");
      button.type = "button";
      button.append(make("span", "", `dot c${colour}`), make("span", where));
      button.title = `${where}, for ${lock}`;
      button.addEventListener("click", () => pick(index));
      return {button, index};
    });
  legend.append(...chips.map(each => each.button));
  if (places.length > 10) {
    legend.append(make("span", "other places are grey", "soft"));
  }
  whenPicked.push(() => {
    for (const {button, index} of chips) button.setAttribute("aria-pressed", index === picked);
    byLength = null;
    density = null;
    chooseColours();
    redraw();
  });

  readTheme();
  chooseColours();
  new ResizeObserver(() => {
    if (!chart.clientWidth) return;  // is not shown
    measure();
    draw();
  }).observe(chart);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    readTheme();
    redraw();
  });
})();

for (const button of document.querySelectorAll("#legend button")) {
  button.setAttribute("aria-pressed", "false");
}
})();
"""


def page_bytes(profile: Profile) -> bytes:
    """Return the page as it is written to a file."""
    return page(profile).encode("ascii")
