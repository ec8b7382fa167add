#!/usr/bin/env python3
"""Reads every file that `glintd inspect` writes into pandas: one function a format, chosen by the ending of the name.

    glintd inspect talk.mp4 --csv talk.csv --export talk.eaf --export talk.jsonl
    python read_exports.py talk.csv talk.eaf talk.jsonl

Times are seconds of the clip. Formats of events give a table with the columns onset, offset and what the format holds.
"""

import html
import json
import sys
from pathlib import Path

import pandas as pd


def read_csv(path):
    """Measurements of every frame, in glint's columns or in OpenFace's; the index is the time."""
    table = pd.read_csv(path)
    if "timestamp" in table:
        return table.set_index("timestamp")
    table.insert(0, "time", table.pop("t_ms") / 1000)
    return table.set_index("time")


def read_jsonl(path):
    """Events as they are published: a row a movement, with everything that an event holds."""
    with open(path, encoding="utf-8") as lines:
        events = [json.loads(line) for line in lines]
    table = pd.json_normalize(events)
    for name in ("onset", "apex", "offset"):
        table[name] = table.pop(f"data.{name}_ns") / 1e9 if len(table) else []
    return table


def read_tsv(path):
    """The events.tsv of BIDS; lists in cells become lists."""
    table = pd.read_csv(path, sep="\t", na_values="n/a", keep_default_na=False)
    table.insert(1, "offset", table["onset"] + table["duration"])
    for column in ("aus", "intensities", "levels"):
        table[column] = table[column].map(lambda cell: cell.split(";") if isinstance(cell, str) else [cell])
    return table


def read_vtt(path):
    """Captions."""
    import webvtt

    # Its `start_in_seconds` are whole seconds.
    rows = [
        (c.start_time.in_milliseconds() / 1000, c.end_time.in_milliseconds() / 1000, html.unescape(c.text))
        for c in webvtt.read(path)
    ]
    return pd.DataFrame(rows, columns=["onset", "offset", "text"])


def read_eaf(path):
    """Annotations of ELAN, with the name of their tier."""
    import pympi

    document = pympi.Elan.Eaf(path)
    rows = [
        (start / 1000, end / 1000, tier, value)
        for tier in document.get_tier_names()
        for start, end, value, *_ in document.get_annotation_data_for_tier(tier)
    ]
    return pd.DataFrame(rows, columns=["onset", "offset", "tier", "text"]).sort_values("onset", ignore_index=True)


def read_edf(path):
    """Annotations of EDF+, with the parts of their text as tags."""
    import pyedflib

    with pyedflib.EdfReader(str(path)) as file:
        onsets, durations, texts = file.readAnnotations()
    table = pd.DataFrame({"onset": onsets, "offset": onsets + durations, "text": texts})
    table["tags"] = table["text"].str.split("/") if len(table) else []
    return table


READERS = {
    ".csv": read_csv,
    ".eaf": read_eaf,
    ".edf": read_edf,
    ".jsonl": read_jsonl,
    ".tsv": read_tsv,
    ".vtt": read_vtt,
}


def read(path):
    """Any of these files."""
    return READERS[Path(path).suffix.lower()](path)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name}:", read(name), sep="\n")
