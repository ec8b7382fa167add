"""Skin, hair and eyes of world B: an albedo texture and a texture of furrows, painted for one person.

Painted at 1024 pixels in the scan's texture coordinates and reduced to what the camera resolves. Values are linear
reflectances. Masks are drawn in space, on positions baked into the texture.
"""

import cv2
import numpy as np

import b_raster
from b_head import TONES

SIZE = 1024
# The atlas that is drawn from: face, scalp, iris and one plain patch.
FACE, SCALP = 640, 256
ATLAS = (FACE, FACE + SCALP)
EYE_AT, PLAIN_AT = (FACE, SCALP), (FACE + 128, SCALP + 300)


def smooth(x, low, high):
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def clouds(rng, cells, size=SIZE):
    """Smooth noise of unit variance with about `cells` bumps a side."""
    small = rng.standard_normal((cells + 3, cells + 3)).astype(np.float32)
    out = cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)
    return out / out.std()


class Canvas:
    """The face's texture with the position of every texel."""

    def __init__(self, person):
        scan = person.scan
        self.uv = np.stack([scan.uv[:, 0], 1 - scan.uv[:, 1]], 1) * np.float32(SIZE - 1)
        self.at = np.zeros((SIZE, SIZE, 3), np.float32)
        seen = np.zeros((SIZE, SIZE), np.uint8)
        b_raster.bake(self.uv, person.neutral, scan.face_triangles, SIZE, self.at, seen)
        marks = person.neutral[person.marks]
        # Units of the person: the eyes at 0, the eye distance 1.
        self.origin = marks[[36, 39, 42, 45]].mean(0)
        self.unit = person.eye_distance
        self.x, self.y, self.z = ((self.at[:, :, k] - self.origin[k]) / self.unit for k in range(3))
        for c in (self.x, self.y, self.z):
            c[seen == 0] = 9
        self.marks = self.uv[person.marks]
        self.space = (marks - self.origin) / self.unit

    def polygon(self, points, blur):
        """A soft mask of a polygon in texture pixels."""
        mask = np.zeros((SIZE, SIZE), np.float32)
        cv2.fillPoly(mask, [np.round(16 * points).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
        return cv2.GaussianBlur(mask, (0, 0), blur)

    def line(self, points, width, blur):
        """A soft mask of a polyline in texture pixels."""
        mask = np.zeros((SIZE, SIZE), np.uint8)
        cv2.polylines(mask, [np.round(16 * np.asarray(points)).astype(np.int32)], False, 255, width, cv2.LINE_AA, 4)
        return cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), blur)


def strokes(rng, plane, roots, directions, length, shade, spread=0.25):
    """Single hairs as short lines that darken `plane` to `shade` of its value."""
    ink = np.zeros(plane.shape, np.uint8)
    angle = rng.normal(0, spread, len(roots))
    turned = np.stack([np.cos(angle) * directions[:, 0] - np.sin(angle) * directions[:, 1],
                       np.sin(angle) * directions[:, 0] + np.cos(angle) * directions[:, 1]], 1)
    ends = roots + turned * (length * rng.uniform(0.5, 1.2, len(roots)))[:, None]
    for p, q, w in zip(np.round(16 * roots).astype(int), np.round(16 * ends).astype(int), rng.integers(90, 255, len(roots))):
        cv2.line(ink, tuple(int(c) for c in p), tuple(int(c) for c in q), int(w), 1, cv2.LINE_AA, 4)
    plane *= 1 - (1 - shade) * ink.astype(np.float32) / 255


def brows(c, rng, t, skin):
    """Brows: rows of single hairs over a soft shadow."""
    density = rng.uniform(0.5, 1.1) * (1.25 if t["sex"] == "male" else 0.85) * (0.75 if t["age"] == "old" else 1)
    width = rng.uniform(11, 17) * (1.2 if t["sex"] == "male" else 0.85)
    shade = rng.uniform(0.12, 0.45) if TONES[t["skin_tone"]] > 0.2 else rng.uniform(0.2, 0.5)
    lift = rng.normal(0, 4) + 4
    for side in (c.marks[17:22], c.marks[22:27][::-1]):
        along = np.linspace(0, 1, 60)
        knots = np.linspace(0, 1, 5)
        curve = np.stack([np.interp(along, knots, side[:, k]) for k in range(2)], 1)
        curve = cv2.GaussianBlur(curve.astype(np.float32), (1, 9), 3)
        curve[:, 1] += lift
        taper = width * (0.35 + 0.65 * np.sqrt(np.clip(along * 1.5, 0, 1)))
        outline = np.concatenate([curve - taper[:, None] * [0, 0.5], (curve + taper[:, None] * [0, 0.5])[::-1]])
        skin *= 1 - 0.35 * density * c.polygon(outline, 5)
        n = int(420 * density)
        at = rng.uniform(0, 1, n)
        index = (at * 59).astype(int)
        roots = curve[index] + np.stack([rng.normal(0, 1.5, n), taper[index] * rng.uniform(-0.5, 0.6, n)], 1)
        outwards = np.sign(side[0, 0] - side[-1, 0])
        lean = np.stack([np.full(n, outwards), -0.9 * at**1.5], 1)
        strokes(rng, skin, roots, lean / np.linalg.norm(lean, axis=1)[:, None], rng.uniform(14, 22), shade)


def face(c, rng, t):
    """Albedo of the face texture."""
    tone = TONES[t["skin_tone"]] * np.exp(rng.normal(0, 0.08))
    skin = np.full((SIZE, SIZE), tone, np.float32)
    old = {"young": 0.2, "middle": 0.6, "old": 1.0}[t["age"]]
    rough = rng.uniform(0.6, 1.3)
    for cells, share in ((6, 0.035), (18, 0.03), (60, 0.025), (170, 0.03), (400, 0.04)):
        skin *= 1 + np.float32(rough * share * (0.7 + 0.5 * old)) * clouds(rng, cells)
    # Blood in cheeks, nose and ears darkens green-weighted luminance in light skin.
    for side in (-1, 1):
        skin *= 1 - rng.uniform(0.04, 0.13) * np.exp(-(((c.x - side * 0.62) / 0.3) ** 2 + ((c.y + 0.75) / 0.28) ** 2))
    skin *= 1 - rng.uniform(0.03, 0.12) * np.exp(-(c.x**2 / 0.04 + (c.y + 0.62) ** 2 / 0.06))
    freckles = int(rng.choice([0, 0, 60, 250])) if tone > 0.25 else int(rng.choice([0, 40]))
    for dark, count, low, high in ((rng.uniform(0.75, 0.9), freckles, 1.5, 3), (rng.uniform(0.3, 0.65), rng.poisson(1 + 4 * old), 3, 6)):
        spots = np.zeros((SIZE, SIZE), np.uint8)
        for _ in range(count):
            spot = (int(rng.uniform(200, 824)), int(rng.uniform(240, 900)))
            cv2.circle(spots, spot, int(rng.uniform(low, high)), int(rng.uniform(110, 255)), -1, cv2.LINE_AA)
        skin *= 1 - (1 - dark) * cv2.GaussianBlur(spots.astype(np.float32) / 255, (0, 0), 1.2)
    # Rings under the eyes and darker lids.
    for ring in (c.marks[[36, 41, 40, 39]], c.marks[[42, 47, 46, 45]]):
        skin *= 1 - (0.06 + 0.16 * old * rng.uniform(0.3, 1)) * c.line(ring + [0, 24], 16, 9)
    makeup = t["sex"] == "female" and rng.random() < 0.5
    for lid in (c.marks[36:40], c.marks[42:46]):
        skin *= 1 - (rng.uniform(0.15, 0.4) if makeup else 0.12) * c.line(lid + [0, -12], 14, 8)
        skin *= 1 - (0.9 if makeup else 0.75) * np.minimum(1, 1.6 * c.line(lid + [0, -1], 4, 1.6))
    for lid in (c.marks[[36, 41, 40, 39]], c.marks[[42, 47, 46, 45]]):
        skin *= 1 - 0.4 * c.line(lid + [0, 1], 3, 1.6)
    lips = c.polygon(c.marks[48:60], 3.0)
    color = rng.uniform(0.42, 0.6) if makeup else rng.uniform(0.55, 0.82)
    chapped = 1 + 0.07 * cv2.resize(rng.standard_normal((40, 300)).astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    skin *= 1 - lips * (1 - color * chapped)
    skin *= 1 - 0.55 * c.line(c.marks[[60, 61, 62, 63, 64]], 4, 2.0)
    beard(c, rng, t, skin, lips)
    brows(c, rng, t, skin)
    hairline(c, rng, t, skin)
    return np.clip(skin, 0.012, 0.85)


def beard(c, rng, t, skin, lips):
    """Stubble as dots, a full beard as hairs."""
    if t["beard"] == "none":
        return
    mouth, nose, ear = c.space[66, 1], c.space[33, 1], 1.25
    edge = nose - 0.12 - 0.15 * np.abs(c.x) + 0.75 * smooth(np.abs(c.x), 0.75, ear) + 0.05 * clouds(rng, 60)
    area = smooth(edge - c.y, 0.0, 0.18) * smooth(c.y, mouth - 1.6, mouth - 1.2) * (1 - lips) * smooth(c.z, -1.2, -0.8)
    area *= 1 - 0.6 * np.exp(-(((np.abs(c.x) - 0.16) / 0.1) ** 2 + ((c.y - mouth + 0.25) / 0.1) ** 2))
    if t["beard"] == "stubble":
        dots = (rng.random((SIZE, SIZE)) < 0.3).astype(np.float32)
        skin *= 1 - area * (0.12 + rng.uniform(0.3, 0.7) * cv2.GaussianBlur(dots, (0, 0), 0.8))
        return
    skin *= 1 - 0.7 * area
    n = 9000
    roots = np.stack([rng.uniform(180, 844, n), rng.uniform(480, 1000, n)], 1)
    roots = roots[area[roots[:, 1].astype(int), roots[:, 0].astype(int)] > rng.uniform(0.2, 0.9, n)]
    down = np.tile([[0.0, 1.0]], (len(roots), 1))
    strokes(rng, skin, roots, down, 22, rng.uniform(0.35, 0.75), 0.6)
    grey = np.clip(clouds(rng, 300), 0, 2) * area
    if t["age"] == "old":
        skin += 0.12 * grey


def hairline(c, rng, t, skin):
    """Hair where the scan carries face texture on the scalp."""
    recede = {"young": 0.0, "middle": 0.05, "old": 0.12}[t["age"]] * rng.uniform(0, 1) if t["sex"] == "male" else 0.0
    top = rng.uniform(1.0, 1.22) + recede
    edge = top - 0.35 * smooth(np.abs(c.x), 0.6, 1.15) * rng.uniform(0.6, 1.2) + 0.025 * clouds(rng, 40) + 0.012 * clouds(rng, 220)
    temple = smooth(-c.z, 0.55, 0.72) * smooth(c.y, -0.35, -0.05)
    front = smooth(c.y - edge, -0.02, 0.07)
    ears = (np.abs(c.x) > 1.24) & (c.y < 0.15) & (c.y > -1.1)
    area = np.maximum(front, temple) * (c.x < 8) * ~ears
    if t["hair"] == "bald":
        area *= 0.25
    c.hair = area
    color = hair_color(rng, t)
    strands = cv2.resize(rng.standard_normal((100, 500)).astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    skin *= 1 - area
    skin += area * np.maximum(0.012, color * (1 + 0.35 * strands + 0.2 * clouds(rng, 30)))


def hair_color(rng, t):
    """Reflectance of the hair: the same for scalp and temples."""
    dark = TONES[t["skin_tone"]] < 0.3
    base = rng.uniform(0.02, 0.06) if dark or rng.random() < 0.5 else rng.uniform(0.06, 0.25)
    value = rng.uniform(0.2, 0.45) if t["age"] == "old" and rng.random() < 0.6 else base
    return t.setdefault("hair_reflectance", round(float(value), 3))


def furrows(c, rng, t):
    """Depth of the furrows that expressions open, 0 to about 1: forehead, between the brows, crow's feet, cheek lines."""
    out = np.zeros((SIZE, SIZE), np.float32)
    wave = 0.03 * clouds(rng, 12)
    brow = c.space[[17, 19, 21, 22, 24, 26], 1].mean()
    for k in range(int(rng.integers(3, 6))):
        at = brow + 0.22 + 0.15 * k + rng.normal(0, 0.02)
        out += rng.uniform(0.4, 1) * np.exp(-(((c.y - at + wave + 0.08 * np.abs(c.x)) / 0.018) ** 2)) * smooth(-np.abs(c.x), -0.85, -0.4)
    for side in (-1, 1):
        line = 0.13 * side * rng.uniform(0.8, 1.2) + 0.25 * side * np.maximum(0, c.y - 0.35)
        out += rng.uniform(0.5, 1) * np.exp(-(((c.x - line + wave) / 0.025) ** 2)) * smooth(c.y, 0.05, 0.2) * smooth(-c.y, -0.65, -0.4)
        corner = c.space[45] if side > 0 else c.space[36]
        dx, dy = side * (c.x - corner[0]), c.y - corner[1]
        fan = np.arctan2(dy, np.maximum(dx, 1e-3))
        ring = smooth(dx, 0.08, 0.16) * smooth(-dx, -0.42, -0.25)
        out += ring * sum(rng.uniform(0.3, 0.9) * np.exp(-(((fan - a + wave) / 0.09) ** 2)) for a in (-0.55, -0.15, 0.2, 0.5))
        nose, mouth = (c.marks[35], c.marks[54]) if side > 0 else (c.marks[31], c.marks[48])
        away = np.sign(mouth[0] - nose[0])
        path = [nose + [8 * away, -12], nose + [30 * away, 8], 0.5 * (nose + mouth) + [34 * away, 0], mouth + [26 * away, 4]]
        out += 0.8 * c.line(np.array(path), 7, 4)
    return np.clip(out, 0, 1.2).astype(np.float32)


def iris(rng):
    """The eye from its pole: 256 pixels, 1.25 radians from the middle to the rim."""
    yy, xx = np.mgrid[0:256, 0:256].astype(np.float32)
    dx, dy = xx - 127.5, yy - 127.5
    r = np.hypot(dx, dy) / 127.5 * 1.25
    spokes = cv2.resize(rng.standard_normal((1, 90)).astype(np.float32), (720, 1), interpolation=cv2.INTER_CUBIC)[0]
    angle = ((np.arctan2(dy, dx) + np.pi) / (2 * np.pi) * 719).astype(int)
    pupil, edge = rng.uniform(0.13, 0.21), rng.uniform(0.46, 0.51)
    color = rng.uniform(0.02, 0.16)
    out = color * (1 + 0.3 * spokes[angle]) * (1 + 0.5 * smooth(-r, -0.3, -0.2))
    out *= 1 - 0.7 * smooth(r, edge - 0.1, edge)
    out = out * smooth(r, pupil - 0.02, pupil + 0.02) + 0.006
    white = rng.uniform(0.42, 0.55) * (1 - 0.25 * smooth(r, 0.75, 1.1))
    veins = 1 - 0.05 * np.abs(cv2.resize(rng.standard_normal((60, 60)).astype(np.float32), (256, 256)))
    share = smooth(r, edge - 0.03, edge + 0.03)
    return (out * (1 - share) + white * veins * share).astype(np.float32)


def atlas(person, rng, eye_px):
    """Albedo and furrow textures as they are drawn from, and the texture coordinate of every vertex in them."""
    scan, t = person.scan, person.traits
    c = Canvas(person)
    albedo, depth = face(c, rng, t), furrows(c, rng, t)
    # The camera resolves what it resolves: softened to about a pixel of the picture.
    blur = np.clip(0.27 * SIZE / eye_px * 0.45, 0.5, 3.0)
    out, groove = np.full(ATLAS, 0.1, np.float32), np.zeros(ATLAS, np.float32)
    out[:FACE, :FACE] = cv2.resize(cv2.GaussianBlur(albedo, (0, 0), blur), (FACE, FACE), interpolation=cv2.INTER_AREA)
    groove[:FACE, :FACE] = cv2.resize(cv2.GaussianBlur(depth, (0, 0), blur), (FACE, FACE), interpolation=cv2.INTER_AREA)
    strands = cv2.resize(rng.standard_normal((SCALP // 2, 24)).astype(np.float32), (SCALP, SCALP), interpolation=cv2.INTER_CUBIC)
    out[:SCALP, FACE:] = np.maximum(0.01, t["hair_reflectance"] * (1 + 0.3 * strands))
    ball = iris(rng)
    out[SCALP : SCALP + 256, FACE:] = ball
    out[SCALP + 260 :, FACE:] = 1.0
    uv = np.zeros((len(scan.uv), 2), np.float32)
    on = scan.group["face"]
    uv[on] = c.uv[on] * ((FACE - 1) / (SIZE - 1))
    on = scan.group["head_neck"]
    uv[on] = [FACE, 0] + np.stack([scan.uv[on, 0], 1 - scan.uv[on, 1]], 1) * (SCALP - 2)
    # The neck below the jaw carries skin, the skull hair.
    position = (person.neutral - c.origin) / c.unit
    tone = np.median(albedo[600:700, 300:420])
    plain = np.ones(len(uv), np.float32)
    flat = np.zeros(len(uv), bool)
    for name in ("mouth_socket", "teeth_up", "teeth_lo"):
        flat |= scan.group[name]
        plain[scan.group[name]] = 0.18 if name == "mouth_socket" else 0.55
    throat = scan.group["head_neck"] & ((position[:, 1] < -0.9) | (t["hair"] == "bald"))
    plain[throat] = tone
    flat |= throat
    uv[flat] = [PLAIN_AT[0], PLAIN_AT[1]]
    for members, center, radius in zip(person.eyes, person.centers, person.radius):
        d = (person.neutral[members] - center) / radius
        angle = np.arccos(np.clip(d[:, 2] / np.linalg.norm(d, axis=1), -1, 1))
        r = np.minimum(angle / 1.25, 1) * 126
        around = np.arctan2(-d[:, 1], d[:, 0])
        uv[members] = np.array(EYE_AT) + 127.5 + np.stack([r * np.cos(around), r * np.sin(around)], 1)
    hair = np.zeros(len(uv), np.float32)
    x, y = np.clip(c.uv.astype(int), 0, SIZE - 1).T
    seen = (c.x < 8).astype(np.float32)
    share = cv2.GaussianBlur(c.hair.astype(np.float32), (0, 0), 6) / np.maximum(cv2.GaussianBlur(seen, (0, 0), 6), 1e-3)
    hair[scan.group["face"]] = np.clip(share, 0, 1)[y, x][scan.group["face"]]
    hair[scan.group["head_neck"] & ~throat] = 1
    return out, groove, uv, plain, hair
