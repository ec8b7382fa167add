"""Micro-expressions of world B: what moves, how much, and how it rises and falls."""

import json
import pathlib
import re

import numpy as np

from b_head import AUS
from b_life import COLUMN, damped, minimum_jerk

CLASSES = {"happiness": "positive", "surprise": "surprise", "anger": "negative", "contempt": "negative", "disgust": "negative",
           "fear": "negative", "sadness": "negative", "repression": "negative"}
# No muscle of one side alone.
MIDDLE = {17, 18, 23, 25, 26}
# A movement lasts from where it passes this share of its peak to where it falls below it.
SHARE = 0.015


class Priors:
    """AU combinations of the annotated databases (CASME II, SAMM, CAS(ME)3, DFME) with their counts."""

    def __init__(self, path):
        self.of = {"negative": [], "positive": [], "surprise": []}
        lateral = []
        for base in json.loads(pathlib.Path(path).read_text()).values():
            if not isinstance(base, dict) or "au_combo_by_emotion" not in base:
                continue
            lateral.append(base.get("lateral_fraction") or 0.15)
            for emotion, counts in base["au_combo_by_emotion"].items():
                for words, count in counts.items():
                    parts = [re.fullmatch(r"([LR]?)(\d+)", w) for w in words.split("+")]
                    parts = [(int(m[2]), m[1] or "B") for m in parts if m and int(m[2]) in AUS and int(m[2]) != 45]
                    if emotion in CLASSES and parts:
                        self.of[CLASSES[emotion]].append((parts, count))
        self.lateral = float(np.mean(lateral))

    def draw(self, rng):
        """Class and [(AU, side)]."""
        name = str(rng.choice(list(self.of), p=[0.5, 0.25, 0.25]))
        # Rare combinations more often than they were annotated: few of them would be seen otherwise.
        weight = np.array([c for _, c in self.of[name]], float) ** 0.7
        parts = self.of[name][rng.choice(len(weight), p=weight / weight.sum())][0]
        if all(s == "B" for _, s in parts) and rng.random() < self.lateral:
            side = str(rng.choice(["L", "R"]))
            parts = [(au, side) for au, _ in parts]
        return name, [(au, "B" if au in MIDDLE else side) for au, side in parts]

    def expression(self, rng):
        """[(AU, (left share, right share))] of a longer expression."""
        return [(au, sides(side, rng)) for au, side in self.draw(rng)[1]]


def sides(side, rng):
    """Shares of left and right: no movement is the same on both sides."""
    if side != "B":
        return (1.0, 0.0) if side == "L" else (0.0, 1.0)
    weak = rng.uniform(0.75, 1.0)
    return (1.0, weak) if rng.random() < 0.5 else (weak, 1.0)


def course(rng, seconds):
    """A course of so many seconds: times from the onset, values with the peak 1, time of the peak, name of its family."""
    t = np.arange(0, 8, 0.002)
    family = str(rng.choice(["gamma", "pulse", "jerk-exponential", "jerk-logistic"]))
    if family == "gamma":
        a = rng.uniform(2.2, 6)
        x = (t / (0.3 * a)) ** a * np.exp(a * (1 - t / (0.3 * a)))
    elif family == "pulse":
        # What a critically damped muscle makes of a rectangular burst.
        width = rng.uniform(0.6, 2.5)
        x = (1 - damped(t, 0.35)) - np.where(t > width, 1 - damped(t - width, 0.35), 0)
    else:
        rise, hold = rng.uniform(0.5, 1.2), rng.uniform(0, 0.35)
        if family == "jerk-exponential":
            x = minimum_jerk(t / rise) * damped(t - rise - hold, rng.uniform(0.14, 0.32))
        else:
            slope = rng.uniform(0.09, 0.16)
            x = minimum_jerk(t / rise) / (1 + np.exp((t - rise - hold - 4.2 * slope) / slope))
    x = x / x.max()
    above = np.flatnonzero(x >= SHARE)
    first, last = t[above[0]], t[above[-1]]
    scale = seconds / (last - first)
    return (t - first) * scale, x, (t[x.argmax()] - first) * scale, family


def duration(rng):
    """Total length in seconds: lognormal, median .27 s, .08 to .48 [Yan2013]."""
    return float(np.clip(rng.lognormal(np.log(0.27), 0.42), 0.08, 0.48))


def add(life, priors, scene, start, rng):
    """Adds a micro-expression that begins at about `start` seconds; returns its truth."""
    name, what = priors.draw(rng)
    strength = float(np.exp(rng.uniform(np.log(0.08), np.log(0.40))))
    times, values, _, family = course(rng, duration(rng))
    total = np.zeros(life.n)
    apex = np.zeros(2 * len(AUS))
    aus = []
    strongest = int(rng.integers(len(what)))
    for k, (au, side) in enumerate(what):
        amount = strength if k == strongest else max(0.03, strength * rng.uniform(0.5, 1))
        # Muscles of one expression do not begin at once.
        lag = 0 if k == strongest else rng.uniform(-0.01, 0.015)
        own = amount * np.interp(life.t - start - lag, times, values, left=0, right=0)
        share = sides(side, rng)
        for s in range(2):
            life.au[:, s, COLUMN[au]] += share[s] * own
            apex[s * len(AUS) + COLUMN[au]] += share[s] * amount
        total += own
        aus.append({"au": au, "side": side, "intensity": round(5 * amount, 3)})
    above = np.flatnonzero(total >= SHARE * total.max())
    onset, offset, peak = life.t[above[0]], life.t[above[-1]], life.t[total.argmax()]
    return {
        "kind": "micro",
        "onset_ms": round(1e3 * float(onset), 1),
        "apex_ms": round(1e3 * float(peak), 1),
        "offset_ms": round(1e3 * float(offset), 1),
        "class": name,
        "aus": aus,
        "travel_px": round(travel(life.person, scene, apex), 3),
        "course": family,
    }


def travel(person, scene, activation):
    """Greatest displacement of any visible point of the skin between rest and apex, in pixels."""
    still = np.zeros(6)
    skin = person.scan.group["face"] & (person.neutral[:, 2] > 5)
    a, b = (scene.project(person.pose(w, (0, 0)), still)[0][skin, :2] for w in (0 * activation @ person.matrix, activation @ person.matrix))
    return float(np.linalg.norm(a - b, axis=1).max())
