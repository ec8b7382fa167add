#!/usr/bin/env python3
"""rooms.py: the structure that ARCHITECTURE.md and CONTRIBUTING.md promise.

    .ci/rooms.py            prints each violation with its file and line; fails if there is one

* No two files import each other, directly or by way of others. A module and its own parts may.
* A room of the trainer or the daemon imports only rooms above it in its table of ARCHITECTURE.md, and each room is in the table.
* A file of commands/ has at most 200 lines; no command of the trainer imports another.
* README.md has at most 700 words.

It reads imports (`use`) and paths in code; comments, strings and what is under #[cfg(test)] do not count.
"""
import collections
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Name, folder, first file, and where in ARCHITECTURE.md its table begins: None without one.
CRATES = [("library", "src", "lib.rs", None, ()),
          ("glintd", "src", "main.rs", "| path in `src/daemon/` |", ("daemon",)),
          ("trainer", "pretrain/src", "lib.rs", "| path in `pretrain/src/` |", ())]
NOT_CODE = re.compile(r"//[^\n]*|/\*.*?\*/|r#+\".*?\"#+|b?\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^\\'])'", re.S)
USE = re.compile(r"\buse\s+([^;]+);")
PATH = re.compile(r"(?<![\w:])((?:crate|super|self|[a-z_]\w*)(?:::\w+)+)")


def blank(match):
    return re.sub(r"[^\n]", " ", match if isinstance(match, str) else match[0])


def without_tests(code):
    """The code, items under #[cfg(test)] blanked out."""
    while test := re.search(r"#\[cfg\((?:test|all\(test[^\]]*)\)\]", code):
        depth, end = 0, test.end()
        for end in range(test.end(), len(code)):
            depth += {"{": 1, "}": -1}.get(code[end], 0)
            if depth == 0 and code[end] in "};":
                break
        code = code[:test.start()] + blank(code[test.start():end + 1]) + code[end + 1:]
    return code


def expand(tree):
    """The paths of a `use`, each as a list of names."""
    parts, depth, last = [], 0, ""
    for letter in tree + ",":
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append(re.sub(r"\s", "", re.sub(r"\s+as\s+\w+\s*$", "", last)))
            last = ""
        else:
            last += letter
    for part in filter(None, parts):
        if group := re.fullmatch(r"([\w:]*?)\{(.*)\}", part, re.S):
            head = [name for name in group[1].split("::") if name]
            yield from (head + rest for rest in expand(group[2]))
        else:
            yield part.split("::")


class Crate:
    def __init__(self, folder, first):
        self.files, self.code = {}, {}
        self.load((), os.path.join(folder, first))

    def load(self, module, path):
        self.files[module] = path
        with open(os.path.join(ROOT, path)) as file:
            self.code[module] = code = without_tests(NOT_CODE.sub(blank, file.read()))
        parts = os.path.dirname(path) if os.path.basename(path) in ("mod.rs", "lib.rs", "main.rs") else path[:-3]
        for name in re.findall(r"\bmod\s+(\w+)\s*;", code):
            places = [f"{parts}/{name}.rs", f"{parts}/{name}/mod.rs"]
            for place in places:
                if os.path.exists(os.path.join(ROOT, place)):
                    self.load((*module, name), place)

    def target(self, module, path, depth=0):
        """The module that a path leads to; None outside the crate."""
        if path[0] == "crate":
            at, path = (), path[1:]
        elif path[0] in ("super", "self"):
            at = module
            while path and path[0] in ("super", "self"):
                at, path = (at[:-1] if path[0] == "super" else at), path[1:]
        elif (*module, path[0]) in self.code:
            at = module
        else:
            return None
        while path and (*at, path[0]) in self.code:
            at, path = (*at, path[0]), path[1:]
        # What a module hands on belongs to the part that it comes from.
        if path and depth < 5:
            for tree in re.findall(r"\bpub(?:\([^)]*\))?\s+use\s+([^;]+);", self.code[at]):
                for handed in expand(tree):
                    if handed[-1] == path[0] and (found := self.target(at, handed, depth + 1)) is not None:
                        return found
        return at

    def imports(self):
        """Who imports whom: pairs of modules, with the line."""
        for module, code in self.code.items():
            uses = [(m.start(1), path) for m in USE.finditer(code) for path in expand(m[1])]
            local = {path[-1]: path for _, path in uses if path[0] in ("crate", "super", "self")}
            uses += [(m.start(), m[1].split("::")) for m in PATH.finditer(USE.sub(blank, code))]
            for at, path in uses:
                if path[0] in local and (*module, path[0]) not in self.code:
                    path = local[path[0]] + path[1:]
                to = self.target(module, [name for name in path if name != "*"])
                if to is not None and to != module:
                    yield module, to, code.count("\n", 0, at) + 1


def circle(edges):
    """A circle among the edges, as a list of nodes; None where there is none."""
    state, way = {}, []

    def visit(node):
        state[node] = "open"
        way.append(node)
        for to in edges[node]:
            if state.get(to) == "open":
                return way[way.index(to):]
            if to not in state and (found := visit(to)):
                return found
        state[node] = "done"
        way.pop()
        return None

    for node in list(edges):
        if node not in state and (found := visit(node)):
            return found
    return None


def rooms(heading):
    """The rooms of a table, and in which row each stands."""
    with open(os.path.join(ROOT, "ARCHITECTURE.md")) as file:
        rows = file.read().split(heading)[1].split("\n\n")[0].splitlines()[2:]
    names = [re.findall(r"`([\w.]+)/?`", row.split("|")[1]) for row in rows]
    return {re.sub(r"\.rs$", "", name): row for row, group in enumerate(names) for name in group}


def main():
    sys.setrecursionlimit(10_000)
    wrong = []
    for name, folder, first, table, under in CRATES:
        crate = Crate(folder, first)
        edges = collections.defaultdict(set)
        order = rooms(table) if table else {}
        for module, to, line in crate.imports():
            place = f"{crate.files[module]}:{line}"
            if module[:len(to)] != to and to[:len(module)] != module:
                edges[module].add(to)
            if not table or module[:len(under)] != under or to[:len(under)] != under:
                continue
            mine, other = module[len(under):][:1], to[len(under):][:1]
            if mine and other and mine != other:
                missing = [room for room in mine + other if room not in order]
                wrong += [f"{place}: ARCHITECTURE.md has no room {room}" for room in missing]
                if not missing and order[mine[0]] <= order[other[0]]:
                    wrong.append(f"{place}: {mine[0]} imports {other[0]}, which does not stand above it")
            if name == "trainer" and mine == other == ("commands",) and {len(module), len(to)} == {2}:
                wrong.append(f"{place}: a command imports another")
        if found := circle(edges):
            wrong.append(f"{name}: a circle: " + " -> ".join(crate.files[m] for m in [*found, found[0]]))
    for folder in ("src/daemon/commands", "pretrain/src/commands"):
        for where, _, files in os.walk(os.path.join(ROOT, folder)):
            for file in files:
                with open(os.path.join(where, file)) as text:
                    lines = len(text.readlines())
                if lines > 200:
                    wrong.append(f"{os.path.relpath(os.path.join(where, file), ROOT)}: {lines} lines; at most 200")
    with open(os.path.join(ROOT, "README.md")) as file:
        words = len(file.read().split())
    if words > 700:
        wrong.append(f"README.md: {words} words; at most 700")
    print("\n".join(sorted(set(wrong))) or "rooms: as ARCHITECTURE.md says")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
