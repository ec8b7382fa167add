"""Scanned heads of world B: shape, identity, the shapes that AUs move, eyes.

The mesh, its identity modes and its expression shapes are those of ICT-FaceKit (Li et al., CVPR 2020). Lengths are
in cm; x to the subject's left, y up, z towards the camera.
"""

import json
import pathlib
import struct
import zlib

import numpy as np

import b_raster

# FACS numbers in the order of the columns of an activation.
AUS = [1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 16, 17, 18, 20, 23, 24, 25, 26, 45]

# What contracts, as shapes of the scan: (shape, weight at the full movement). `*` stands for the side. Weights follow the
# descriptions of the FACS manual (Ekman, Friesen and Hager 2002); a shape without a side gets half from each side.
FACS = {
    1: [("browInnerUp*", 1.0)],
    2: [("browOuterUp*", 1.0), ("browInnerUp*", 0.08)],
    4: [("browDown*", 1.0)],
    5: [("eyeWide*", 1.0)],
    6: [("cheekSquint*", 1.0), ("eyeSquint*", 0.25)],
    7: [("eyeSquint*", 1.0), ("eyeBlink*", 0.08)],
    9: [("noseSneer*", 1.0), ("browDown*", 0.1)],
    10: [("mouthUpperUp*", 1.0), ("noseSneer*", 0.1)],
    12: [("mouthSmile*", 0.9), ("cheekSquint*", 0.08)],
    14: [("mouthDimple*", 1.0), ("mouthPress*", 0.1)],
    15: [("mouthFrown*", 1.0)],
    16: [("mouthLowerDown*", 1.0)],
    17: [("mouthShrugLower", 0.9), ("mouthShrugUpper", 0.2)],
    18: [("mouthPucker", 0.9), ("mouthFunnel", 0.12)],
    20: [("mouthStretch*", 1.0)],
    23: [("mouthRollUpper", 0.45), ("mouthRollLower", 0.45), ("mouthPress*", 0.3)],
    24: [("mouthPress*", 1.0), ("mouthRollLower", 0.1)],
    25: [("mouthLowerDown*", 0.35), ("mouthUpperUp*", 0.25), ("jawOpen", 0.05)],
    26: [("jawOpen", 0.6)],
    45: [("eyeBlink*", 1.0)],
}


class Scan:
    """The scanned mean head with its modes, from `ict_face_pack.bin`."""

    def __init__(self, folder):
        path = pathlib.Path(folder) / "ict_face_pack.bin"
        data = path.read_bytes()
        if data[:4] != b"ICTF":
            raise SystemExit(f"{path}: not an ICTF file")
        header, packed, _ = struct.unpack("<III", data[4:16])
        raw = zlib.decompress(data[16 + header : 16 + header + packed])
        a = {}
        for e in json.loads(data[16 : 16 + header])["arrays"]:
            if "strings" in e:
                a[e["name"]] = e["strings"]
            else:
                flat = np.frombuffer(raw, e["dtype"], int(np.prod(e["shape"])), e["offset"])
                a[e["name"]] = flat.reshape(e["shape"])
        groups = a["group_names"]
        self.mean = a["v"].astype(np.float32)
        self.uv = a["uv"].astype(np.float32) / 65535.0
        self.modes = [(a["id16"][k], a["id16_scale"][k]) for k in range(len(a["id16"]))]
        self.modes += [(a["id8"][k], a["id8_scale"][k]) for k in range(len(a["id8"]))]
        self.names = list(a["ex_names"])
        self.marks = a["lm68"].astype(np.int64)
        self.group = {name: a["vert_group"] == k for k, name in enumerate(groups)}
        keep = ~np.isin(a["tri_group"], [groups.index("lashes_L"), groups.index("lashes_R")])
        self.triangles = np.ascontiguousarray(a["tri"][keep].astype(np.int32))
        # Triangles that close a seam span the whole texture; nothing is painted through them.
        span = np.ptp(self.uv[a["tri"]], axis=1).max(1)
        face = (a["tri_group"] == groups.index("face")) & (span < 0.08)
        self.face_triangles = np.ascontiguousarray(a["tri"][face].astype(np.int32))
        self.shapes = np.zeros((len(self.names), len(self.mean), 3), np.float32)
        for e in range(len(self.names)):
            span = slice(a["ex_off"][e], a["ex_off"][e + 1])
            self.shapes[e, a["ex_idx"][span]] = a["ex_val"][span] * a["ex_scale"][e]


def facs_matrix(names):
    """[2 * AUs, shapes]: the shapes that each AU moves; left sides first, then right sides."""
    out = np.zeros((2 * len(AUS), len(names)), np.float32)
    for k, au in enumerate(AUS):
        for s, side in enumerate(("_L", "_R")):
            for name, weight in FACS[au]:
                sided = name.endswith("*")
                out[s * len(AUS) + k, names.index(name[:-1] + side if sided else name)] += weight if sided else 0.5 * weight
    return out


class Person:
    """A head with an identity, its own mobility and traits, drawn from a seed."""

    def __init__(self, scan, rng):
        self.scan = scan
        self.traits = traits(rng)
        spread = rng.uniform(0.65, 0.95)
        v = scan.mean.copy()
        for mode, scale in scan.modes:
            v += np.float32(spread * np.clip(rng.standard_normal(), -2.2, 2.2) * scale) * mode
        # No face is symmetric: the two halves differ in size by a few percent.
        v[:, 0] *= np.float32(1) + np.float32(rng.normal(0, 0.015)) * np.tanh(v[:, 0] / 3)
        self.neutral = v
        self.marks = scan.marks
        self.eyes = [np.flatnonzero(scan.group[g]) for g in ("eye_L", "eye_R")]
        self.centers = np.array([(v[e].min(0) + v[e].max(0)) / 2 for e in self.eyes], np.float32)
        radius = [np.median(np.linalg.norm(v[e] - c, axis=1)) for e, c in zip(self.eyes, self.centers)]
        self.radius = np.array(radius, np.float32) + np.float32(0.03)
        self.members = self._lids(v)
        # Mobility differs between people and between the sides of a face (Ekman, Hager and Friesen 1981).
        n = len(AUS)
        gain = np.exp(rng.normal(0, 0.12, n))
        lopsided = np.exp(rng.normal(0, 0.06, n))
        self.matrix = facs_matrix(scan.names)
        self.matrix *= np.concatenate([gain * lopsided, gain / lopsided])[:, None].astype(np.float32)
        self._close_lids()
        bulged = self._bulge(rng)
        self.basis = np.ascontiguousarray(bulged.reshape(len(scan.names), -1))
        lateral = np.linalg.norm(v[scan.marks[42:46]].mean(0) - v[scan.marks[36:40]].mean(0))
        self.eye_distance = float(lateral)

    def _bulge(self, rng):
        """Shapes of this person: those of the scan, modulated by a smooth field, as tissue differs between people."""
        where = self.neutral / 9.0
        field = np.zeros((len(self.scan.names), len(where)), np.float32)
        for _ in range(4):
            k = rng.normal(0, 1.6, (3, len(self.scan.names)))
            field += 0.09 * np.sin(where @ k.astype(np.float32) + rng.uniform(0, 2 * np.pi, len(self.scan.names))).T
        lids = [i for i, name in enumerate(self.scan.names) if name.startswith("eyeBlink") or name == "mouthClose"]
        field[lids] = 0
        return self.scan.shapes * (1 + field)[:, :, None]

    def _lids(self, v):
        skin = np.flatnonzero(self.scan.group["face"])
        near = [skin[np.linalg.norm(v[skin] - c, axis=1) < r + 0.9] for c, r in zip(self.centers, self.radius)]
        out = np.full((2, max(map(len, near)) + 1), -1, np.int32)
        for s, members in enumerate(near):
            out[s, : len(members)] = members
        return out

    def _close_lids(self):
        """Scales AU 45 so that the lids of this person meet."""
        n = len(AUS)
        for s, (side, upper, lower) in enumerate((("_L", (43, 44), (47, 46)), ("_R", (37, 38), (41, 40)))):
            shape = self.scan.shapes[self.scan.names.index("eyeBlink" + side)]
            u, w = self.marks[list(upper)], self.marks[list(lower)]
            gap = (self.neutral[u, 1] - self.neutral[w, 1]).mean()
            way = (shape[w, 1] - shape[u, 1]).mean()
            self.matrix[s * n + AUS.index(45)] *= 0
            self.matrix[s * n + AUS.index(45), self.scan.names.index("eyeBlink" + side)] = np.clip(1.02 * gap / way, 0.4, 2.5)

    def pose(self, weights, gaze):
        """Vertices at shape weights and a gaze: degrees to the subject's left and up."""
        v = self.neutral + (weights.astype(np.float32) @ self.basis).reshape(-1, 3)
        yaw, pitch = np.radians(gaze)
        for s, members in enumerate(self.eyes):
            # The eyes converge on the screen.
            turn = rotation(-pitch, yaw + (-0.04 if s == 0 else 0.04), 0.0)
            v[members] = (v[members] - self.centers[s]) @ turn.T + self.centers[s]
        b_raster.clear_eyeballs(v, self.members, self.centers, self.radius)
        return v


def rotation(pitch, yaw, roll):
    """Rotation matrix: pitch downwards about x, yaw to the subject's left about y, roll about z; radians."""
    (sx, cx), (sy, cy), (sz, cz) = ((np.sin(a), np.cos(a)) for a in (pitch, yaw, roll))
    x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return (z @ y @ x).astype(np.float32)


# Luminance reflectance of cheek skin by Fitzpatrick type, about as measured by spectrophotometry (Xiao et al. 2017).
TONES = {"I": 0.50, "II": 0.43, "III": 0.35, "IV": 0.27, "V": 0.17, "VI": 0.095}


def traits(rng):
    """What a person looks like: proxies, drawn evenly, never seen as an attribute of anyone real."""
    sex = str(rng.choice(["female", "male"]))
    age = str(rng.choice(["young", "middle", "old"]))
    beard = str(rng.choice(["none", "stubble", "full"], p=[0.45, 0.3, 0.25])) if sex == "male" else "none"
    return {
        "skin_tone": str(rng.choice(list(TONES))),
        "age": age,
        "sex": sex,
        "glasses": bool(rng.random() < 0.25),
        "beard": beard,
        "hair": str(rng.choice(["short", "bald"], p=[0.75, 0.25])) if sex == "male" else str(rng.choice(["short", "long"], p=[0.4, 0.6])),
    }
