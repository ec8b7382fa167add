"""Tests of world B: python3 -m unittest discover -s pretrain/worlds -p 'test_*.py'

With ICT_ASSETS=DIR (the folder that world_b.py takes as --assets) those that need the scan run too.
"""

import os
import pathlib
import unittest

import numpy as np

import b_life
import b_micro

ASSETS = os.environ.get("ICT_ASSETS")


class Courses(unittest.TestCase):
    def test_a_course_begins_and_ends_at_its_share_of_the_peak(self):
        rng = np.random.default_rng(1)
        families = set()
        for _ in range(200):
            seconds = b_micro.duration(rng)
            self.assertTrue(0.08 <= seconds <= 0.48)
            t, x, apex, family = b_micro.course(rng, seconds)
            families.add(family)
            self.assertAlmostEqual(x.max(), 1.0)
            inside = (t > 0.02 * seconds) & (t < 0.98 * seconds)
            self.assertTrue((x[inside] >= b_micro.SHARE).all(), family)
            self.assertTrue((x[(t < -1e-9) | (t > seconds + 1e-9)] < b_micro.SHARE).all(), family)
            self.assertTrue(0 < apex < seconds, family)
            # One rise, one fall.
            turns = np.flatnonzero(np.diff(np.sign(np.diff(x[x > 0.02]))))
            self.assertLessEqual(len(turns), 2, family)
        self.assertEqual(len(families), 4)

    def test_noise_stays_in_its_band(self):
        x = b_life.band(np.random.default_rng(2), 60000, 0.2, 2.0)
        power = np.abs(np.fft.rfft(x)) ** 2
        f = np.fft.rfftfreq(len(x), 1 / b_life.RATE)
        self.assertGreater(power[(f > 0.1) & (f < 3)].sum() / power.sum(), 0.95)
        self.assertAlmostEqual(x.std(), 1.0, delta=0.25)

    def test_minimum_jerk_starts_and_stops_smoothly(self):
        t = np.linspace(-0.5, 1.5, 2001)
        x = b_life.minimum_jerk(t)
        self.assertTrue((x[t <= 0] == 0).all() and (abs(x[t >= 1] - 1) < 1e-12).all())
        self.assertLess(np.abs(np.diff(x, 2)).max(), 6.1e-6)


@unittest.skipUnless(ASSETS, "ICT_ASSETS is not set: tests with the scan are left out")
class Faces(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        from b_head import Person, Scan
        from b_render import Scene

        cls.scan = Scan(pathlib.Path(ASSETS) / "ict")
        cls.priors = b_micro.Priors(pathlib.Path(ASSETS) / "priors/me_priors.json")
        cls.person = Person(cls.scan, np.random.default_rng(3))
        cls.scene = Scene(cls.person, np.random.default_rng(4), 12.0)

    def test_lids_meet_and_left_is_left(self):
        from b_head import AUS

        act = np.zeros(2 * len(AUS))
        act[[AUS.index(45), len(AUS) + AUS.index(45)]] = 1
        v, marks = self.person.pose(act @ self.person.matrix, (0, 0)), self.person.marks
        rest = self.person.neutral
        for upper, lower in ((43, 47), (38, 40)):
            before = rest[marks[upper], 1] - rest[marks[lower], 1]
            self.assertLess(abs(v[marks[upper], 1] - v[marks[lower], 1]), 0.25 * before)
        act[:] = 0
        act[AUS.index(12)] = 1
        moved = np.linalg.norm(self.person.pose(act @ self.person.matrix, (0, 0)) - rest, axis=1)
        # The subject's left is at positive x.
        self.assertGreater(moved[marks[54]], 5 * moved[marks[48]])
        self.assertGreater(rest[marks[54], 0], 0)

    def test_micro_expressions_keep_clear_of_what_hides_them(self):
        import world_b

        seen = set()
        for k in range(25):
            rng = np.random.default_rng([9, k])
            life = b_life.Life(self.person, self.scene, rng, 12.0)
            events = world_b.plan(life, self.scene, self.priors, "mixed", rng)
            seen.update(what for what, *_ in life.spans)
            beside = [(n["from_ms"], n["to_ms"]) for n in life.notes if n["what"].startswith("blink beside")]
            for e in events:
                self.assertTrue(e["onset_ms"] < e["apex_ms"] < e["offset_ms"], e)
                self.assertTrue(70 <= e["offset_ms"] - e["onset_ms"] <= 530, e)
                self.assertTrue(all(0 < a["intensity"] <= 2.0 for a in e["aus"]), e)
                self.assertLess(e["offset_ms"], 12000)
                for what, a, b in life.spans:
                    if what == "blink" and not any(abs(1e3 * a - c) < 1 for c, _ in beside):
                        self.assertTrue(e["onset_ms"] >= 1e3 * b + 240 or e["onset_ms"] <= 1e3 * a - 240, (e, what, a, b))
                    if what == "speech":
                        self.assertTrue(e["onset_ms"] >= 1e3 * b or e["offset_ms"] <= 1e3 * a, (e, what, a, b))
        self.assertTrue({"blink", "speech", "turn", "macro", "light"} <= seen, seen)

    def test_a_frame_shows_a_face(self):
        import world_b

        rng = np.random.default_rng(5)
        life = b_life.Life(self.person, self.scene, rng, 2.0)
        world_b.plan(life, self.scene, self.priors, "still", rng)
        picture = self.scene.develop(self.scene.frame(life, 0.5), np.ones(480, np.float32))
        self.assertEqual((picture.shape, picture.dtype), ((480, 640), np.uint8))
        x, y = self.scene.center.astype(int)
        self.assertGreater(picture[y - 40 : y + 80, x - 40 : x + 40].std(), 8)


if __name__ == "__main__":
    unittest.main()
