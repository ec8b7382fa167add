#!/usr/bin/env python3
"""check.py OUT PACKAGES: what `run.sh` has exported, read by the programs that it is for. Fails at the first that cannot.

The truth is that of `examples/film.rs`: a smile of 300 ms at 1.6 s, a blink at 2.9 s, raised brows at 4.1 s, a smile of 1.4 s
at 5.6 s, a lowered brow on the left at 8.4 s.
"""

import ast
import json
import shutil
import subprocess
import sys
import tarfile
import types
import zipfile
from importlib.metadata import version
from pathlib import Path

import jsonschema
import lxml.etree
import mne
import pandas as pd
import read_exports

OUT, PACKAGES = map(Path, sys.argv[1:])
ROOT = Path(__file__).resolve().parents[2]
SMILE = 1.6


def said(tool, packages, text):
    """One line of the report."""
    names = ", ".join(f"{p} {version(p)}" for p in packages.split())
    print(f"{tool:9} {names or '':42} {text}")


def near(times, expected=SMILE, within=0.05):
    """Whether one of the times is that of the smile."""
    times = list(times)
    assert any(abs(t - expected) < within for t in times), f"{expected} s is not among {times}"
    return min(times, key=lambda t: abs(t - expected))


def elan(events):
    """The schema of EAF 3.0, and pympi."""
    archive = next(PACKAGES.glob("pympi_ling-*.tar.gz"))
    with tarfile.open(archive) as package:
        member = next(m for m in package.getmembers() if m.name.endswith("/test/EAFv3.0.xsd"))
        schema = lxml.etree.XMLSchema(lxml.etree.parse(package.extractfile(member)))
    schema.assertValid(lxml.etree.parse(OUT / "subject.eaf"))
    table = read_exports.read(OUT / "subject.eaf")
    tiers = set(table["tier"])
    assert {"movement", "phase", "AU12", "AU45"} <= tiers and "AU04L" in tiers, tiers
    movements = table["tier"].str.startswith("movement")  # overlapping ones lie on tiers with a number
    assert movements.sum() == len(events), table
    onset = near(table[table["tier"] == "AU12"]["onset"])
    said(".eaf", "pympi-ling lxml", f"valid by EAFv3.0.xsd; {len(tiers)} tiers, {len(table)} annotations; AU12 at {onset:.3f} s")


def captions(events):
    """webvtt-py."""
    table = read_exports.read(OUT / "subject.vtt")
    assert len(table) == len(events), table
    onset = near(table["onset"])
    said(".vtt", "webvtt-py", f"{len(table)} captions; {onset:.3f} s: {table['text'][0]}")


def bids(events):
    """pandas, and the validator of BIDS over a data set with nothing but these events."""
    name = "sub-01_task-watch_events"
    table = read_exports.read(OUT / f"{name}.tsv")
    assert len(table) == len(events) and table["onset"].is_monotonic_increasing, table
    assert set(table["trial_type"]) <= {"micro", "macro", "blink"}
    onset = near(table["onset"])
    data = OUT / "bids"
    (data / "sub-01/beh").mkdir(parents=True)
    for ending in ("tsv", "json"):
        shutil.copy(OUT / f"{name}.{ending}", data / "sub-01/beh")
    (data / "README").write_text("Facial movements of a synthetic subject.\n" * 10)
    about = {"Name": "glint", "BIDSVersion": "1.10.0", "DatasetType": "raw", "License": "CC0", "Authors": ["glint"]}
    (data / "dataset_description.json").write_text(json.dumps(about))
    program = Path(sys.executable).parent / "bids-validator-deno"
    run = subprocess.run([program, "--json", data], capture_output=True, text=True, check=False)
    issues = json.loads(run.stdout)["issues"]["issues"]
    errors = [i for i in issues if i["severity"] == "error"]
    columns = [i for i in issues if "COLUMN" in i["code"]]
    assert run.returncode == 0 and not errors and not columns, (run.returncode, errors, columns, run.stderr)
    said(".tsv", "pandas bids-validator-deno", f"{len(table)} rows; no error; micro at {onset:.3f} s")


def edf(events):
    """pyedflib and MNE."""
    table = read_exports.read(OUT / "subject.edf")
    assert len(table) == len(events), table
    onset = near(table["onset"])
    annotations = mne.read_annotations(OUT / "subject.edf")
    assert list(annotations.description) == list(table["text"])
    assert abs(annotations.onset - table["onset"]).max() < 1e-4
    said(".edf", "pyedflib mne", f"{len(table)} annotations in both; {onset:.3f} s: {table['text'][0]}")


def lines():
    """pandas, and the schema of events."""
    schema = json.loads((ROOT / "docs/schema/event.json").read_text())
    events = [json.loads(line) for line in (OUT / "subject.jsonl").read_text().splitlines()]
    for event in events:
        jsonschema.validate(event, schema)
    table = read_exports.read(OUT / "subject.jsonl")
    assert len(table) == len(events) and len(events) >= 4, table
    kinds = table["data.kind"].value_counts().to_dict()
    onset = near(table["onset"])
    said(".jsonl", "pandas jsonschema", f"{len(events)} events valid by event.json, {kinds}; micro at {onset:.3f} s")
    return events


class Fex(pd.DataFrame):
    """What py-feat's container keeps of the arguments of its reader."""

    _metadata = ["columns_of"]

    def __init__(self, data=None, filename=None, detector=None, **columns):
        super().__init__(data)
        self.columns_of = columns


def py_feat_reader():
    """py-feat's own `read_openface` and lists of columns, out of its source: the package itself would bring torch."""
    wheel = next(PACKAGES.glob("py_feat-*.whl"))
    with zipfile.ZipFile(wheel) as package:
        lists, io = (ast.parse(package.read(f"feat/utils/{n}.py")) for n in ("__init__", "io"))
    space = {"pd": pd, "feat": types.SimpleNamespace(Fex=Fex)}

    def names(node):
        targets = [t.id for t in node.targets if isinstance(t, ast.Name)] if isinstance(node, ast.Assign) else []
        return [n for n in targets if n.lower().startswith("openface") or n == "landmark_length"]

    wanted = [n for n in lists.body if names(n)]
    wanted += [n for n in ast.walk(lists) if isinstance(n, ast.Expr) and "openface_AU_presence.sort" in ast.unparse(n)]
    wanted.sort(key=lambda n: n.lineno)
    wanted += [n for n in io.body if isinstance(n, ast.FunctionDef) and n.name == "read_openface"]
    exec(compile(ast.Module(wanted, []), str(wheel), "exec"), space)  # noqa: S102
    return wheel.name.split("-")[1], space["read_openface"]


def openface():
    """py-feat's reader of OpenFace's files."""
    release, read = py_feat_reader()
    fex = read(str(OUT / "openface.csv"))
    groups = fex.columns_of
    for group in ("au_columns", "facepose_columns", "time_columns"):
        missing = set(groups[group]) - set(fex.columns)
        assert not missing, f"{group}: {missing}"
    aus = fex[groups["au_columns"]]
    assert aus.drop(columns="AU28_c").notna().mean().min() > 0.9, "most frames are measured"
    assert aus.filter(like="_r").max().max() <= 5 and set(aus["AU12_c"].dropna()) == {0, 1}
    best = near([fex.loc[fex["AU12_r"].where(fex["timestamp"] < 3).idxmax(), "timestamp"]], SMILE + 0.15, 0.15)
    said("openface", "pandas", f"read_openface of py-feat {release}: {len(fex)} rows, {aus.shape[1]} AU columns; AU12 is "
         f"greatest at {best:.3f} s")


def fhir():
    """The example of docs/reference/fhir.md."""
    from fhir.resources.R4B.observation import Observation

    page = (ROOT / "docs/reference/fhir.md").read_text()
    resource = Observation.model_validate_json(page.split("```json\n")[1].split("```")[0])
    said("FHIR", "fhir.resources", f"the page's Observation has {len(resource.component)} component")


def own_table():
    """pandas."""
    table = read_exports.read(OUT / "glint.csv")
    assert len(table) >= 600 and table.index.is_monotonic_increasing
    said("glint", "pandas", f"{len(table)} rows, {table.filter(like='au').shape[1]} AU columns")


if __name__ == "__main__":
    found = lines()
    elan(found)
    captions(found)
    bids(found)
    edf(found)
    own_table()
    openface()
    fhir()
