"""What a living face does, second by second: signals on a grid of 2 ms.

Rates and amplitudes with their sources are in README.md; names in brackets are first author and year.
Nothing here is a sine or a raised cosine: noise is filtered, movements are minimum jerk, critically damped or gamma-like.
"""

import dataclasses

import numpy as np
from scipy.signal import lfilter

from b_head import AUS

RATE = 500.0
N = len(AUS)
COLUMN = {au: k for k, au in enumerate(AUS)}


def minimum_jerk(t):
    """0 to 1 over 0 to 1 with no speed or acceleration at both ends [Flash1985]."""
    t = np.clip(t, 0, 1)
    return t * t * t * (10 + t * (6 * t - 15))


def damped(t, tau):
    """1 at 0, falling as a critically damped second-order system of time constant `tau`."""
    t = np.maximum(t, 0) / tau
    return (1 + t) * np.exp(-t)


def band(rng, n, low, high, slope=1.0):
    """Noise of unit variance whose power falls as 1/f^slope between `low` and `high` Hz and vanishes outside."""
    f = np.fft.rfftfreq(2 * n, 1 / RATE)
    power = np.where(f > 0, np.maximum(f, 1e-6) ** -slope, 0.0)
    power *= 1 / (1 + (low / np.maximum(f, 1e-6)) ** 6) / (1 + (f / high) ** 6)
    spectrum = np.sqrt(power) * (rng.standard_normal(len(f)) + 1j * rng.standard_normal(len(f)))
    x = np.fft.irfft(spectrum)
    return (x / x.std())[:n]


def wander(rng, n, tau, spread):
    """An Ornstein-Uhlenbeck process that begins in its stationary state, its velocity smoothed."""
    a = np.exp(-1 / RATE / tau)
    steps = rng.standard_normal(n + 400) * np.sqrt(1 - a * a)
    x = lfilter([1], [1, -a], steps, zi=[a * rng.standard_normal()])[0]
    x = lfilter([0.06], [1, -0.94], lfilter([0.06], [1, -0.94], x))
    return spread * x[400:]


@dataclasses.dataclass
class State:
    """An instant."""

    activation: np.ndarray
    weights: np.ndarray
    gaze: np.ndarray
    pose: np.ndarray
    breath: float


class Life:
    """All signals of a sequence."""

    def __init__(self, person, scene, rng, seconds):
        self.person, self.rng, self.seconds = person, rng, seconds
        self.px_per_cm = scene.focal / scene.distance
        self.n = n = int((seconds + 0.5) * RATE)
        self.t = np.arange(n) / RATE
        self.au = np.zeros((n, 2, N))
        self.shape = np.zeros((n, len(person.scan.names)))
        self.pose = np.zeros((n, 6))
        self.gaze = np.zeros((n, 2))
        self.breath = np.zeros(n)
        self.light = np.ones(n)
        self.glares, self.hands = [], []
        self.spans, self.notes = [], []

    def note(self, what, start, end, **more):
        """Something that a reader may want to know, in ms."""
        self.notes.append({"what": what, "from_ms": round(1e3 * start, 1), "to_ms": round(1e3 * end, 1), **more})

    def span(self, what, start, end, note=None):
        """A distractor that counts."""
        self.spans.append((what, start, end))
        if note:
            self.note(note, start, end)

    def add(self, au, sides, course, amount):
        """Adds a course to an AU; sides: (left, right) shares."""
        for s in range(2):
            self.au[:, s, COLUMN[au]] += amount * sides[s] * course

    def s(self, name):
        return self.person.scan.names.index(name)

    # What never stops.

    def tension(self):
        """Fine activity in all muscles: 0.2-1 % of the full movement, 0.2-2 Hz, 1/f (assumed)."""
        rng = self.rng
        for k, au in enumerate(AUS):
            if au == 45:
                continue
            rms = np.exp(rng.uniform(np.log(0.002), np.log(0.01)))
            shared = band(rng, self.n, 0.2, 2.0)
            for s in range(2):
                self.au[:, s, k] += rms * (0.8 * shared + 0.6 * band(rng, self.n, 0.2, 2.0))

    def rest_of_head(self, calm=1.0):
        """Drift, tremor, breath, pulse."""
        rng, n = self.rng, self.n
        # A seated head creeps at 1 to 4 px/s: speed of an Ornstein-Uhlenbeck process is set by its spread and time.
        speed = rng.uniform(0.6, 2.8) / self.px_per_cm * calm
        for k, share in enumerate((1.0, 0.6, 0.8)):
            x = wander(rng, n, rng.uniform(2, 5), 1.0)
            typical = np.mean(np.abs(np.diff(x[::125]))) * RATE / 125 + 1e-9
            self.pose[:, k] += share * speed / typical * x
        for k, spread in ((3, 0.7), (4, 0.9), (5, 0.5)):
            self.pose[:, k] += np.radians(wander(rng, n, rng.uniform(2, 6), rng.uniform(0.4, 1.2) * spread * calm))
        # Physiological tremor of the head: 4-9 Hz, hundredths of a degree [Deuschl1998].
        for k in range(3):
            self.pose[:, k] += 10 ** rng.uniform(-2.9, -2.2) * band(rng, n, 4, 9, 0)
            self.pose[:, 3 + k] += np.radians(10 ** rng.uniform(-2.3, -1.5)) * band(rng, n, 4, 9, 0)
        # Breath: 12-18 a minute, inhaling faster than exhaling, never twice the same [Tobin1983].
        t, period = -rng.uniform(0, 4), 1 / rng.uniform(0.2, 0.3)
        while t < self.seconds + 1:
            length, depth = period * np.exp(rng.normal(0, 0.12)), np.exp(rng.normal(0, 0.2))
            rise, hold = 0.38 * length, 0.1 * length
            share = minimum_jerk((self.t - t) / rise) * damped(self.t - t - rise - hold, 0.1 * length)
            self.breath += depth * share * (self.t >= t) * (self.t < t + 1.6 * length)
            t += length
        amount = rng.uniform(0.03, 0.12)
        self.pose[:, 1] += amount * self.breath
        self.pose[:, 3] -= np.radians(rng.uniform(0.05, 0.3)) * self.breath
        self.breath *= rng.uniform(0.2, 0.6)
        # Pulse: the head is thrown by a fraction of a millimetre at each beat [Balakrishnan2013], the skin darkens by
        # some thousandths [Verkruysse2008].
        t, beat = 0.0, 60 / rng.uniform(58, 95)
        throw = rng.uniform(0.004, 0.015)
        flush = rng.uniform(0.0008, 0.003)
        while t < self.seconds + 0.5:
            since = self.t - t
            kick = np.where(since > 0, (since / 0.07) * np.exp(1 - since / 0.07) - 0.5 * np.maximum(0, since - 0.12) / 0.11 * np.exp(1 - np.maximum(0, since - 0.12) / 0.11), 0)
            self.pose[:, 1] += throw * kick
            self.light -= flush * np.where(since > 0.1, ((since - 0.1) / 0.12) * np.exp(1 - (since - 0.1) / 0.12), 0)
            t += beat * (1 + 0.04 * rng.standard_normal())

    def eyes(self, restless=1.0):
        """Fixations, saccades on the main sequence [Bahill1975], drift and microsaccades [MartinezConde2004]; lids follow."""
        rng, n = self.rng, self.n
        target = np.zeros((n, 2))
        t, here = 0.0, rng.normal(0, [3, 2])
        while t < self.seconds + 0.5:
            if rng.random() < min(0.9, 0.85 * restless):
                size = (0.5 + rng.gamma(1.5, 2.6)) * restless
                angle = rng.uniform(0, 2 * np.pi)
                there = 0.75 * here + size * np.array([np.cos(angle), 0.7 * np.sin(angle)])
                there = np.clip(there, [-14, -10], [14, 8])
                stay = np.clip(rng.lognormal(np.log(0.33), 0.45), 0.12, 1.5)
            else:
                there = here + rng.normal(0, 0.25, 2)
                stay = rng.lognormal(np.log(0.5), 0.5)
            way = np.linalg.norm(there - here)
            time = 0.021 + 0.0022 * way
            share = minimum_jerk((self.t - t) / time) ** 0.9
            target += share[:, None] * (there - here)
            if way > 1:
                self.note("gaze", t, t + time, degrees=round(float(way), 1))
            t, here = t + time + stay, there
        self.gaze += target + np.stack([wander(rng, n, 0.5, 0.08) for _ in range(2)], 1)

    def lids_follow(self):
        """Lids go with the eyes: about as far as they turn, upper lids more than lower ones [Becker1988]."""
        g = self.gaze / 27.0
        for s, side in enumerate(("_L", "_R")):
            out = g[:, 0] if s == 0 else -g[:, 0]
            self.shape[:, self.s("eyeLookDown" + side)] += np.maximum(0, -g[:, 1])
            self.shape[:, self.s("eyeLookUp" + side)] += np.maximum(0, g[:, 1])
            self.shape[:, self.s("eyeLookOut" + side)] += np.maximum(0, out)
            self.shape[:, self.s("eyeLookIn" + side)] += np.maximum(0, -out)

    # What happens.

    def one_blink(self, start, depth):
        """Closing 75-105 ms, opening two to three times slower and exponential at its end [Evinger1991, Guitton1991]."""
        rng = self.rng
        close, hold, tau = rng.uniform(0.075, 0.105), rng.uniform(0.005, 0.05), rng.uniform(0.032, 0.06)
        since = self.t - start
        course = minimum_jerk(since / close) * damped(since - close - hold, tau)
        lag = rng.uniform(-0.004, 0.004)
        other = np.interp(self.t - lag, self.t, course)
        for s, c in enumerate((course, other)):
            self.au[:, s, COLUMN[45]] += depth * c
            # Orbicularis and corrugator take part; the eye turns down and inwards [Riggs1987].
            self.au[:, s, COLUMN[6]] += rng.uniform(0, 0.05) * depth * c
            self.au[:, s, COLUMN[4]] += rng.uniform(0, 0.03) * depth * c
        self.gaze[:, 1] -= rng.uniform(0.8, 2.2) * depth * course
        return start + close + hold + 5.8 * tau

    def blinks(self, avoid, per_minute):
        """Blinks at lognormal intervals, 15 % double, 20 % incomplete [Bentivoglio1997, Portello2013]."""
        rng, out = self.rng, []
        t = rng.uniform(0.2, 1.2) * 60 / per_minute
        while t < self.seconds - 0.3:
            if not any(a - 0.75 < t < b + 0.25 for a, b in avoid) and (not out or t > out[-1][1] + 0.2):
                depth = rng.uniform(0.35, 0.75) if rng.random() < 0.2 else rng.uniform(0.92, 1.03)
                end = self.one_blink(t, depth)
                kind = "half blink" if depth < 0.8 else "blink"
                if rng.random() < 0.15 and not any(a - 1.1 < t < b + 0.25 for a, b in avoid):
                    kind, end = "double blink", self.one_blink(end - rng.uniform(0.05, 0.12), rng.uniform(0.6, 1.0))
                self.span("blink", t, end, kind)
                out.append((t, end))
            t += np.clip(rng.lognormal(np.log(60 / per_minute) - 0.25, 0.7), 0.45, 12)
        return out

    def held(self, start, seconds, parts, amount, kind):
        """An expression that comes within 0.3-0.8 s, stays, and goes slowly."""
        rng = self.rng
        rise, fall = rng.uniform(0.3, 0.8), rng.uniform(0.12, 0.3)
        since = self.t - start
        course = minimum_jerk(since / rise) * damped(since - (seconds - 5.8 * fall), fall)
        course *= 1 + 0.06 * band(rng, self.n, 0.3, 3.0)
        for au, sides in parts:
            self.add(au, sides, course, amount * rng.uniform(0.6, 1))
        if amount >= 0.15:
            self.span("macro", start, start + seconds, kind)
        else:
            self.note(kind, start, start + seconds)

    def macro(self, start, parts):
        """A full expression of 0.7-3 s."""
        rng = self.rng
        seconds = rng.uniform(0.8, 3.0)
        rise, tau = rng.uniform(0.2, 0.5), rng.uniform(0.06, 0.16)
        since = self.t - start
        course = minimum_jerk(since / rise) * damped(since - max(rise, seconds - 5.8 * tau), tau)
        amount = rng.uniform(0.3, 0.95)
        for au, sides in parts:
            self.add(au, sides, course, amount * rng.uniform(0.6, 1))
        if rng.random() < 0.4:
            self.move(start, rng.uniform(0.3, 0.6), np.array([0, 0, 0, *np.radians(rng.normal(0, [2, 2, 1]))]), back=seconds * 0.6)
        end = start + max(rise, seconds - 5.8 * tau) + 5.8 * tau
        self.span("macro", start, end, "macro")
        return end

    def move(self, start, seconds, by, back=None):
        """Moves the head by a pose over `seconds`; back after `back` seconds."""
        share = minimum_jerk((self.t - start) / seconds)
        if back is not None:
            share = share - minimum_jerk((self.t - start - seconds - back) / (seconds * self.rng.uniform(0.9, 1.5)))
        self.pose += share[:, None] * by

    def posture(self, start):
        """The trunk shifts and the head with it, for good [Vergara2002]."""
        rng, seconds = self.rng, self.rng.uniform(0.5, 1.3)
        self.move(start, seconds, np.array([*rng.normal(0, [1.2, 0.5, 1.0]), *np.radians(rng.normal(0, [1.5, 2.5, 1.5]))]))
        self.span("turn", start, start + seconds, "posture")
        return start + seconds

    def nod(self, start):
        """One to three nods of 3-9 degrees, 0.25-0.5 s each, fading [Hadar1983]."""
        rng = self.rng
        t, size, pace = start, rng.uniform(3, 9), rng.uniform(0.14, 0.26)
        for _ in range(int(rng.integers(1, 4))):
            self.move(t, pace, np.array([0, -0.15 * size / 5, 0.1, np.radians(size), 0, 0]), back=0.0)
            t += 2.3 * pace
            size *= rng.uniform(0.5, 0.9)
        end = t + 0.5 * pace
        self.span("turn", start, end, "nod")
        return end

    def turn(self, start):
        """A look to the side: eyes first, head after them, and back."""
        rng = self.rng
        seconds, stay, yaw = rng.uniform(0.3, 0.7), rng.uniform(0.1, 0.9), rng.choice([-1, 1]) * rng.uniform(4, 16)
        back = seconds * rng.uniform(1.0, 1.4)
        share = minimum_jerk((self.t - start) / seconds) - minimum_jerk((self.t - start - seconds - stay) / back)
        self.pose += share[:, None] * np.array([0.04 * yaw, 0, 0, *np.radians([rng.normal(0, 2), yaw, rng.normal(0, 1.5)])])
        eye = minimum_jerk((self.t - start + 0.03) / 0.05) - minimum_jerk((self.t - start - 0.05) / seconds)
        self.gaze[:, 0] += 0.6 * yaw * eye
        end = start + seconds + stay + back
        self.span("turn", start, end, "turn")
        return end

    def swallow(self, start):
        """Lips press, chin and jaw rise, the head dips: 0.7-1.1 s, about once a minute [Ertekin2003]."""
        rng, seconds = self.rng, self.rng.uniform(0.7, 1.1)
        since = self.t - start
        course = minimum_jerk(since / (0.4 * seconds)) * damped(since - 0.5 * seconds, 0.09 * seconds)
        for au, amount in ((24, 0.25), (17, 0.25), (23, 0.1), (14, 0.06)):
            self.add(au, (1, 1), course, amount * rng.uniform(0.4, 1.2))
        self.pose[:, 3] += np.radians(rng.uniform(0.2, 1.0)) * course
        end = start + 1.03 * seconds
        self.span("macro", start, end, "swallow")
        return end

    def moisten(self, start):
        """Lips roll in and are wetted: 0.5-0.9 s."""
        rng, seconds = self.rng, self.rng.uniform(0.5, 0.9)
        since = self.t - start
        course = minimum_jerk(since / (0.3 * seconds)) * damped(since - 0.55 * seconds, 0.07 * seconds)
        self.shape[:, self.s("mouthRollLower")] += rng.uniform(0.3, 0.7) * course
        self.shape[:, self.s("mouthRollUpper")] += rng.uniform(0.2, 0.5) * course
        self.shape[:, self.s("jawOpen")] += rng.uniform(0, 0.08) * course
        end = start + 0.97 * seconds
        self.span("macro", start, end, "moistened lips")
        return end

    def laugh(self, start):
        """Smile, cheeks, open mouth, and bursts at about 4-5 Hz that fade [Bachorowski2001, Provine1991]."""
        rng, seconds = self.rng, self.rng.uniform(1.0, 2.4)
        since = self.t - start
        envelope = minimum_jerk(since / 0.35) * damped(since - (seconds - 0.8), 0.14)
        for au, amount in ((12, 0.8), (6, 0.7), (25, 0.5), (7, 0.25), (26, 0.2)):
            self.add(au, (1, 1), envelope, amount * rng.uniform(0.6, 1.1))
        t = start + 0.25
        while t < start + seconds - 0.5:
            pulse = np.maximum(0, self.t - t) / 0.05
            pulse = pulse * np.exp(1 - pulse)
            strength = rng.uniform(0.5, 1) * damped(np.array(t - start - 0.3), 0.8)
            self.add(26, (1, 1), pulse, 0.3 * strength)
            self.pose[:, 1] += 0.12 * strength * pulse
            self.pose[:, 3] -= np.radians(1.0) * strength * pulse
            t += rng.normal(0.215, 0.02)
        self.span("macro", start, start + seconds, "laugh")
        return start + seconds

    def talk(self, start):
        """Phonemes with pauses; dominance functions blend their targets [Cohen1993], 10-15 phonemes a second [Tauroza1990]."""
        rng, seconds = self.rng, self.rng.uniform(1.0, 3.5)
        names = ["jawOpen", "mouthPucker", "mouthFunnel", "mouthStretch", "mouthLowerDown", "mouthUpperUp", "press", "mouthRollLower", "mouthSmile"]
        vowels = {"a": (.55, 0, .1, .1, .3, .15, 0, 0, 0), "e": (.3, 0, 0, .3, .25, .15, 0, 0, .1), "i": (.14, 0, 0, .4, .2, .15, 0, 0, .2),
                  "o": (.35, .35, .4, 0, .1, 0, 0, 0, 0), "u": (.16, .6, .3, 0, .05, 0, 0, 0, 0), "@": (.25, .05, .1, .1, .15, .05, 0, 0, 0)}
        others = {"p": (.06, .05, 0, 0, 0, 0, 1, .1, 0), "f": (.1, 0, 0, .1, .05, .25, 0, .55, 0), "t": (.15, 0, 0, .15, .2, .1, 0, 0, 0),
                  "k": (.22, 0, .05, .05, .15, .05, 0, 0, 0), "s": (.1, 0, .1, .25, .25, .15, 0, 0, .05), "sh": (.12, .25, .45, 0, .2, .1, 0, 0, 0),
                  "r": (.15, .3, .2, 0, .1, 0, 0, 0, 0), "l": (.22, 0, 0, .1, .2, .05, 0, 0, 0)}
        strength = rng.uniform(0.45, 1.0)
        targets, centers, widths, weights = [], [], [], []
        t = start + 0.1
        while t < start + seconds - 0.15:
            for table, length in ((others, rng.gamma(9, 0.0075)), (vowels, rng.gamma(7, 0.0135))):
                sound = str(rng.choice(list(table)))
                targets.append(table[sound])
                centers.append(t + length / 2)
                widths.append(0.55 * length + 0.02)
                weights.append(1.6 if sound in ("p", "f", "u", "sh") else 1.0)
                t += length
            if rng.random() < 0.07:
                t += rng.uniform(0.15, 0.45)
        centers, widths, weights = np.array(centers), np.array(widths), np.array(weights)
        dominance = weights * np.exp(-np.abs(self.t[:, None] - centers) / widths)
        rest = 0.12
        blend = strength * dominance @ np.array(targets) / (dominance.sum(1, keepdims=True) + rest)
        # Articulators are heavy: a second-order system of 25 ms.
        a = np.exp(-1 / RATE / 0.02)
        blend = lfilter([1 - a], [1, -a], lfilter([1 - a], [1, -a], blend, axis=0), axis=0)
        edge = minimum_jerk((self.t - start) / 0.12) * (1 - minimum_jerk((self.t - start - seconds + 0.15) / 0.2))
        blend *= edge[:, None]
        for k, name in enumerate(names):
            if name == "press":
                self.shape[:, self.s("mouthClose")] += np.clip(blend[:, k], 0, 1) * blend[:, 0]
                name = "mouthPress"
            if name in self.person.scan.names:
                self.shape[:, self.s(name)] += blend[:, k]
            else:
                for side in ("_L", "_R"):
                    self.shape[:, self.s(name + side)] += blend[:, k] * rng.uniform(0.85, 1.1)
        # The head beats with speech, brows stress words [Graf2002].
        lively = band(rng, self.n, 0.5, 3.0) * edge
        self.pose[:, 3] += np.radians(rng.uniform(0.3, 1.5)) * lively
        self.pose[:, 4] += np.radians(rng.uniform(0.3, 1.5)) * band(rng, self.n, 0.5, 3.0) * edge
        if rng.random() < 0.6:
            at = start + rng.uniform(0.2, 0.7) * seconds
            course = minimum_jerk((self.t - at) / 0.15) * damped(self.t - at - 0.2, 0.06)
            for au in (1, 2):
                self.add(au, (1, 1), course, rng.uniform(0.1, 0.5))
        end = start + seconds + 0.1
        self.span("speech", start, end, "talk")
        return end

    def exposure_step(self, start):
        """Automatic exposure or a lamp: 3-25 % within 40-500 ms, overshooting a little."""
        rng, seconds = self.rng, np.exp(self.rng.uniform(np.log(0.04), np.log(0.5)))
        by = rng.choice([-1, 1]) * rng.uniform(0.03, 0.25)
        since = np.maximum(0, self.t - start) / (seconds / 4)
        self.light *= 1 + by * (1 - (1 - 0.25 * since) * np.exp(-since)) * (self.t >= start)
        self.span("light", start, start + 2 * seconds, "exposure step")
        return start + 2 * seconds

    def show_hand(self, start):
        """A hand that comes to cheek, chin or mouth and goes."""
        rng, seconds = self.rng, self.rng.uniform(1.2, 2.6)
        self.hands.append((start, seconds, rng.uniform(-0.9, 0.9), rng.uniform(0.7, 1.6), np.radians(rng.uniform(55, 125))))
        self.span("hand", start, start + seconds, "hand")
        return start + seconds

    def show_glare(self, start):
        """A lamp in the lenses, while the head is in its beam."""
        rng, seconds = self.rng, self.rng.uniform(0.15, 1.5)
        self.glares.append((start, seconds, rng.uniform(0.15, 0.7), rng.uniform(-0.4, 0.4), rng.uniform(-0.3, 0.3)))
        self.span("glare", start, start + seconds, "glare")
        return start + seconds

    # What the camera asks.

    def close(self):
        """Ends the planning: shapes of every instant."""
        self.lids_follow()
        flat = self.au.reshape(self.n, 2 * N)
        flat[:, COLUMN[45] :: N] = np.clip(flat[:, COLUMN[45] :: N], 0, 1.04)
        self.flat = flat.astype(np.float32)
        self.weights = np.clip(flat @ self.person.matrix + self.shape, -0.15, 1.8).astype(np.float32)
        blink = [self.s("eyeBlink_L"), self.s("eyeBlink_R")]
        # Lids that look down have less way to close.
        down = [self.s("eyeLookDown_L"), self.s("eyeLookDown_R")]
        self.weights[:, down] *= 1 - np.clip(self.weights[:, blink], 0, 1)

    def at(self, seconds):
        """The state at a time, linear between grid points."""
        x = min(max(seconds * RATE, 0), self.n - 2)
        i, f = int(x), x - int(x)

        def mix(a):
            return a[i] + f * (a[i + 1] - a[i])

        return State(mix(self.flat), mix(self.weights), mix(self.gaze), mix(self.pose), mix(self.breath))

    def gain(self, seconds):
        """Light at a time."""
        return float(np.interp(seconds, self.t, self.light))

    def glare(self, seconds):
        for start, length, strength, x, y in self.glares:
            if start < seconds < start + length:
                t = seconds - start
                return strength * float(minimum_jerk(t / 0.06) * (1 - minimum_jerk((t - length + 0.06) / 0.06))), x + 0.1 * t, y
        return None

    def hand(self, seconds):
        for start, length, x, y, angle in self.hands:
            if start < seconds < start + length:
                t = seconds - start
                share = minimum_jerk(t / 0.45) - minimum_jerk((t - length + 0.45) / 0.45)
                return float(share), x, y, angle
        return None
