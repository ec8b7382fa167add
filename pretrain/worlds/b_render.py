"""Light, camera and picture of world B."""

import cv2
import numpy as np

import b_raster
import b_skin
from b_head import AUS, rotation

WIDTH, HEIGHT = 640, 480
NECK = np.array([0.0, -7.0, 0.0], np.float32)
# Sample positions within a pixel: a rotated grid, so that 4 samples smooth edges of any direction.
GRID = np.array([[-0.375, -0.125], [0.375, 0.125], [0.125, -0.375], [-0.125, 0.375]], np.float32)
# Above 60 frames/s time is short.
FAST_GRID = np.array([[-0.25, -0.2], [0.25, 0.2]], np.float32)
# A head that moves less than this within a shutter is drawn once.
STILL_PX = 0.35


def directions(count):
    """Points evenly over a sphere (Fibonacci)."""
    k = np.arange(count) + 0.5
    z, phi = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k
    r = np.sqrt(1 - z * z)
    return np.stack([r * np.cos(phi), r * np.sin(phi), z], 1)


def visible(v, triangles, direction, softness=0.12):
    """How much of each vertex sees a direction: by a depth map from there, softened by `softness` cm."""
    side = np.cross([0.0, 1.0, 0.1], direction)
    side /= np.linalg.norm(side)
    up = np.cross(direction, side)
    size = 256
    p = v @ np.stack([side, up, direction], 1).astype(np.float32)
    low = p[:, :2].min(0)
    p[:, :2] = (p[:, :2] - low) * ((size - 1) / (p[:, :2].max() - low.min() + 1e-6))
    z = b_raster.depth_map(p.astype(np.float32), triangles, size)
    z = cv2.dilate(np.where(z < -1e8, -50, z).astype(np.float32), np.ones((1, 1)))
    x, y = np.clip(p[:, 0].round().astype(int), 0, size - 1), np.clip(p[:, 1].round().astype(int), 0, size - 1)
    return 1 - np.clip((z[y, x] - p[:, 2] - 0.25) / softness, 0, 1)


class Scene:
    """A person in a room before a camera. `frame` films them."""

    def __init__(self, person, rng, seconds):
        self.person, self.rng = person, rng
        self.eye_px = float(rng.uniform(64, 110))
        self.distance = float(rng.uniform(45, 95))
        self.focal = self.eye_px * self.distance / person.eye_distance
        self.texture, self.grooves, self.uv, self.plain, hair = b_skin.atlas(person, rng, self.eye_px)
        tri = person.scan.triangles
        self.eyes_at = person.neutral[person.marks[[36, 39, 42, 45]]].mean(0)
        if person.traits["hair"] != "bald":
            # Hair stands off the skull, more on top than at the sides.
            n = b_raster.normals(person.neutral, tri)
            volume = rng.uniform(0.15, 1.4) * (1 + 0.5 * np.clip(n[:, 1], 0, 1)) * np.exp(rng.normal(0, 0.1, len(n)))
            person.neutral = (person.neutral + (hair * volume)[:, None] * n).astype(np.float32)
        v = person.neutral
        self.center = np.array([WIDTH / 2 + rng.normal(0, 25), HEIGHT / 2 - rng.uniform(0, 50)], np.float32)
        self._lights(v, tri, rng)
        self._furrow_regions(v)
        self._room(rng)
        self.shutter, self.grid = 1 / 60, GRID
        self.readout = float(rng.uniform(0.008, 0.025)) if rng.random() < 0.7 else 0.0
        self.noise = rng.standard_normal(1 << 20).astype(np.float32)
        self.shot, self.read = float(np.exp(rng.uniform(np.log(2e-5), np.log(2.5e-4)))), float(np.exp(rng.uniform(np.log(5e-4), np.log(2.5e-3))))
        self.sharpen = float(rng.uniform(0, 0.8))
        self.denoise = float(rng.uniform(0.35, 0.75))
        self.columns = (1 + rng.normal(0, 0.0015, WIDTH)).astype(np.float32)
        self.gamma, self.contrast = float(rng.uniform(1.9, 2.4)), float(rng.uniform(0, 0.35))
        yy, xx = np.mgrid[0:HEIGHT, 0:WIDTH]
        curve = np.linspace(0.5 / 4096, 1, 4096) ** (1 / self.gamma)
        self.curve = (curve + self.contrast * (curve * curve * (3 - 2 * curve) - curve)).astype(np.float32)
        r2 = ((xx - WIDTH / 2) ** 2 + (yy - HEIGHT / 2) ** 2) / (WIDTH / 2) ** 2
        self.vignette = (1 - rng.uniform(0, 0.25) * r2 / 1.56).astype(np.float32)
        self.hand_seed = int(rng.integers(1 << 30))
        scan = person.scan
        inner = scan.group["mouth_socket"] | scan.group["teeth_up"] | scan.group["teeth_lo"]
        eyes = scan.group["eye_L"] | scan.group["eye_R"]
        self.glossy = (self.gloss * self.open * (scan.group["face"] | eyes) * np.where(eyes, 0.3, 1)).astype(np.float32)
        self._mend_seams(tri)
        # Behind lips that are closed nothing is drawn.
        self.inner = inner
        self.attributes = np.zeros((len(v) + len(self.seam), 5), np.float32)
        self.attributes[:, :2] = self.uv
        # The back of skull and eyeballs is never seen.
        n = b_raster.normals(v, tri)
        never = (n[:, 2] < -0.6) & (scan.group["head_neck"] | eyes)
        below = v[:, 1] < self.eyes_at[1] - 17.5
        kept = ~(never | below)[tri].all(1)
        self.triangles = np.ascontiguousarray(self.mended[kept])
        self.shut = np.ascontiguousarray(self.mended[kept & ~inner[tri].all(1)])
        self.lip_gap = float(v[person.marks[62], 1] - v[person.marks[66], 1])
        self._expose()
        self.depth = np.zeros((HEIGHT, WIDTH, len(GRID)), np.float32)
        self.samples = np.zeros((HEIGHT, WIDTH, len(GRID)), np.float32)
        self.total = np.zeros((HEIGHT, WIDTH, 2), np.float32)
        self.outline = np.unique(self.triangles)
        self.glasses = self._glasses(rng) if person.traits["glasses"] else None
        self.hand_tone = float(np.median(self.texture[350:450, 200:260]))

    def _lights(self, v, tri, rng):
        open_ = np.zeros(len(v), np.float32)
        n = b_raster.normals(v, tri)
        weight = np.zeros(len(v), np.float32)
        for d in directions(60):
            facing = np.clip(n @ d.astype(np.float32), 0, None)
            open_ += facing * visible(v, tri, d)
            weight += facing
        self.open = np.clip(open_ / np.maximum(weight, 1e-6), 0.05, 1) ** 1.1
        scan = self.person.scan
        teeth = scan.group["teeth_up"] | scan.group["teeth_lo"]
        self.open[teeth] = np.maximum(self.open[teeth], 0.7 * np.clip((v[teeth, 2] - 8.5) / 2, 0, 1))
        # Eyes sit behind lids; what reaches them comes from the front.
        for members in self.person.eyes:
            self.open[members] = 0.75
        # Sky of the room: second-order spherical harmonics would be smooth in direction; three terms and a gradient do.
        self.sky = np.array([rng.normal(0, 0.12), rng.uniform(0.05, 0.35), rng.uniform(-0.05, 0.2)], np.float32)
        self.ambient = float(rng.uniform(0.35, 0.9))
        self.lamps = []
        for k in range(int(rng.integers(1, 4))):
            d = np.array([rng.normal(0, 0.8), rng.uniform(-0.1, 1.1), rng.uniform(0.4, 1.2)])
            d /= np.linalg.norm(d)
            shadow = np.mean([visible(v, tri, (d + rng.normal(0, 0.12, 3)) / 1.0) for _ in range(5)], 0).astype(np.float32)
            # The mouth is shut at rest; where it opens, some light comes in.
            shadow[teeth] = np.maximum(shadow[teeth], 0.35)
            self.lamps.append((d.astype(np.float32), float(rng.uniform(0.3, 1.0) / (k + 1)), shadow, float(rng.uniform(0.1, 0.4))))
        half = [(d + [0, 0, 1]) / np.linalg.norm(d + [0, 0, 1]) for d, *_ in self.lamps]
        self.lamp_rows = np.array([[*d, s, w, *h] for (d, s, _, w), h in zip(self.lamps, half)], np.float32)
        self.shadows = np.array([shadow for _, _, shadow, _ in self.lamps], np.float32)
        self.gloss = float(rng.uniform(0.005, 0.04))
        self.shine = np.float32(rng.uniform(8, 28))
        self.ambient = np.float32(self.ambient)
        self.open = self.open.astype(np.float32)

    def _mend_seams(self, tri):
        """Gives triangles that span parts of the atlas vertices of their own with a plain tone."""
        wide = np.ptp(self.uv[tri], axis=1).max(1) > 60
        self.seam = np.unique(tri[wide])
        number = np.zeros(len(self.uv), np.int32)
        number[self.seam] = len(self.uv) + np.arange(len(self.seam))
        self.mended = tri.copy()
        self.mended[wide] = number[tri[wide]]
        at = np.clip(self.uv[self.seam].astype(int), 0, np.array(self.texture.shape[::-1]) - 1)
        self.seam_tone = (self.texture[at[:, 1], at[:, 0]] * self.plain[self.seam]).astype(np.float32)
        self.uv = np.concatenate([self.uv, np.tile(np.float32([b_skin.PLAIN_AT]), (len(self.seam), 1))])

    def _furrow_regions(self, v):
        """Which part of the furrow texture each AU opens: [AUs of both sides, vertices]."""
        p = (v - self.eyes_at) / self.person.eye_distance
        x, y = p[:, 0], p[:, 1]
        face = self.person.scan.group["face"] & (p[:, 2] > -1.3)
        region = {
            "forehead": b_skin.smooth(y, 0.45, 0.6) * b_skin.smooth(-y, -1.15, -0.95),
            "frown": np.exp(-((x / 0.3) ** 2) - ((y - 0.35) / 0.3) ** 2),
            "crow": np.exp(-(((np.abs(x) - 0.95) / 0.22) ** 2) - (y / 0.25) ** 2),
            "cheek": np.exp(-(((np.abs(x) - 0.5) / 0.3) ** 2) - ((y + 0.95) / 0.35) ** 2),
        }
        opens = {1: ("forehead", 0.5), 2: ("forehead", 0.5), 4: ("frown", 0.9), 6: ("crow", 0.8), 7: ("crow", 0.2), 9: ("frown", 0.3),
                 10: ("cheek", 0.5), 12: ("cheek", 0.8), 14: ("cheek", 0.3), 20: ("cheek", 0.3)}
        age = {"young": 0.45, "middle": 0.75, "old": 1.0}[self.person.traits["age"]]
        self.opens = np.zeros((2 * len(AUS), len(v)), np.float32)
        for s in range(2):
            half = b_skin.smooth(x if s == 0 else -x, -0.15, 0.15)
            for au, (where, much) in opens.items():
                self.opens[s * len(AUS) + AUS.index(au)] = age * 0.6 * much * region[where] * half * face
        self.opens_any = self.opens.any(1)
        old = {"young": 0.02, "middle": 0.12, "old": 0.28}[self.person.traits["age"]]
        self.worn = (old * sum(region.values()) * face).astype(np.float32)

    def _room(self, rng):
        """A wall with a gradient, blurred furniture, shoulders in cloth."""
        room = np.full((HEIGHT, WIDTH), rng.uniform(0.03, 0.45), np.float32)
        room *= np.linspace(rng.uniform(0.7, 1.3), rng.uniform(0.7, 1.3), WIDTH, dtype=np.float32)[None]
        room *= np.linspace(rng.uniform(0.8, 1.3), rng.uniform(0.6, 1.1), HEIGHT, dtype=np.float32)[:, None]
        for _ in range(int(rng.integers(0, 14))):
            x, y = int(rng.uniform(-80, WIDTH)), int(rng.uniform(-80, HEIGHT))
            w, h = int(rng.uniform(15, 200)), int(rng.uniform(20, 260))
            cv2.rectangle(room, (x, y), (x + w, y + h), float(np.exp(rng.uniform(np.log(0.02), np.log(0.7)))), -1)
        room = cv2.GaussianBlur(room, (0, 0), rng.uniform(0.8, 7))
        self.wall = room * (1 + 0.02 * rng.standard_normal((HEIGHT, WIDTH)).astype(np.float32))
        self.wall_light = float(rng.uniform(0.5, 1.1))
        self.cloth = float(np.exp(rng.uniform(np.log(0.025), np.log(0.5))))
        weave = cv2.GaussianBlur(rng.standard_normal((HEIGHT, WIDTH)).astype(np.float32), (0, 0), 1.2)
        fold = cv2.resize(rng.standard_normal((7, 9)).astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        stripe = np.sin(np.mgrid[0:HEIGHT, 0:WIDTH][1] / rng.uniform(3, 12)).astype(np.float32) * rng.choice([0, 0, 0.2])
        self.weave = self.cloth * np.clip(1 + 0.12 * weave + 0.2 * fold + stripe, 0.2, 2)
        self.width, self.neck_depth = rng.uniform(2.3, 3.1), rng.uniform(0.4, 1.6)
        self.crown = float(self.person.neutral[:, 1].max())
        hair = cv2.resize(rng.standard_normal((12, 260)).astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        self.strands = (self.person.traits["hair_reflectance"] * np.clip(0.65 + 0.12 * hair, 0.15, 2)).astype(np.float32)

    def _expose(self):
        """Automatic exposure: the face comes out mid-gray, dark skin darker than light skin."""
        light, gloss = self._light(b_raster.normals(self.person.neutral, self.person.scan.triangles), np.eye(3, dtype=np.float32))
        skin = self.person.scan.group["face"] & (self.person.neutral[:, 2] > 7)
        tone = float(np.median(self.texture[300:500, 200:440]))
        level = float(np.mean(light[skin])) * tone + float(np.mean((gloss * self.glossy)[skin]))
        self.exposure = float(self.rng.uniform(0.15, 0.27)) * (tone / 0.35) ** 0.55 / level

    def _light(self, n, turn):
        """Light on every vertex and gloss. `n`: normals before the turn of the head."""
        light, gloss = np.empty(len(n), np.float32), np.empty(len(n), np.float32)
        b_raster.light_up(n, turn, self.sky, self.ambient, self.open, self.lamp_rows, self.shadows, self.shine, light, gloss)
        return light, gloss

    def project(self, v, pose):
        """Image points with 1/z of vertices of a head at a pose: shift in cm, pitch, yaw, roll in radians."""
        turn = rotation(*pose[3:])
        move = (NECK - self.eyes_at + pose[:3]).astype(np.float32)
        points = b_raster.project(v, turn, move, NECK, np.float32(self.distance), np.float32(self.focal), self.center)
        return points, turn

    def sample(self, weights, activation, gaze, pose):
        """What one instant needs: points, attributes."""
        v = self.person.pose(weights, gaze)
        n = b_raster.normals(v, self.person.scan.triangles)
        points, turn = self.project(v, pose)
        light, gloss = self._light(n, turn)
        for s, members in enumerate(self.person.eyes):
            upper = v[self.person.marks[[43, 44] if s == 0 else [37, 38]], 1].mean()
            y = v[members, 1]
            light[members] *= 0.35 + 0.65 * b_skin.smooth(upper - y, -0.05, 0.38)
        attributes, n = self.attributes, len(v)
        attributes[:n, 2] = light * self.plain
        attributes[n:, 2] = light[self.seam] * self.seam_tone
        attributes[:n, 3] = gloss * self.glossy
        attributes[:n, 4] = self.worn
        points = np.concatenate([points, points[self.seam]])
        for k in np.flatnonzero((np.abs(activation) > 0.003) & self.opens_any):
            attributes[:n, 4] += np.float32(min(1, activation[k])) * self.opens[k]
        return points, attributes, v

    def body(self, pose, breath):
        """Room and hair behind the head; the mask of the cloth before it."""
        out = self.wall * self.wall_light
        unit = self.eye_px
        px = self.focal / self.distance
        at = self.center + px * np.array([pose[0], -pose[1]])
        if self.person.traits["hair"] == "long":
            hair = np.zeros((HEIGHT, WIDTH), np.uint8)
            crown = at + np.array([0, -px * (self.crown - self.eyes_at[1]) * 0.42])
            cv2.ellipse(hair, tuple(int(16 * c) for c in crown), (int(16 * 1.48 * unit), int(16 * 1.62 * unit)), 0, 0, 360, 255, -1, cv2.LINE_AA, 4)
            curtain = np.array([[-1.47, 0.0], [1.47, 0.0], [1.62, 1.6], [1.3, 2.9], [-1.3, 2.9], [-1.62, 1.6]]) * unit + crown
            cv2.fillPoly(hair, [np.round(16 * curtain).astype(np.int32)], 255, cv2.LINE_AA, 4)
            share = cv2.GaussianBlur(hair, (0, 0), 1.5).astype(np.float32) / 255
            shift = np.float32([[1, 0, at[0] - self.center[0]], [0, 1, at[1] - self.center[1]]])
            out += share * (cv2.warpAffine(self.strands, shift, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE) - out)
        cx, cy = self.center + [px * pose[0] * 0.6, px * 11.8 - px * (0.5 * pose[1] + breath)]
        t = np.linspace(-1, 1, 61)
        neckline = np.where(np.abs(t) < 0.33, 0.35 * self.neck_depth * (1 - (t / 0.33) ** 2), 0)
        top = cy + unit * (-0.25 + neckline + 0.9 * np.abs(t) ** 1.8)
        outline = np.stack([cx + unit * self.width * t, top], 1)
        outline = np.concatenate([outline, [[cx + unit * self.width, HEIGHT + 50], [cx - unit * self.width, HEIGHT + 50]]])
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        cv2.fillPoly(mask, [np.round(16 * outline).astype(np.int32)], 255, cv2.LINE_AA, 4)
        return out, mask.astype(np.float32) / 255

    def frame(self, life, at):
        """Linear picture of the frame whose exposure is centred on `at` seconds, averaged over the shutter."""
        middle = life.at(at)
        at -= self.shutter / 2
        base, cloth = self.body(middle.pose, middle.breath)
        self.total[:] = 0
        first, last = life.at(at), life.at(at + self.shutter)
        turned = np.abs(last.pose - first.pose)
        way = (turned[:3].sum() + 14 * turned[3:].sum() + 1.2 * np.abs(last.weights - first.weights).max()) * self.focal / self.distance
        way += 0.02 * self.eye_px * np.abs(last.gaze - first.gaze).max()
        if way < STILL_PX:
            points, attributes, v = self.sample(middle.weights, middle.activation, middle.gaze, middle.pose)
            self._draw(points, attributes, v, 1.0)
        else:
            # The movement within a shutter is a straight line: its ends are posed, what is averaged lies between.
            ends = []
            for s in (first, last):
                points, attributes, v = self.sample(s.weights, s.activation, s.gaze, s.pose)
                ends.append(points)
            speed = (ends[1][:, :2] - ends[0][:, :2]) / self.shutter
            if self.readout:
                # Lower lines are read later: each point is where it will be by then.
                ends[0][:, :2] += speed * (self.readout * (ends[0][:, 1:2] / HEIGHT - 0.5))
            parts = int(np.clip(np.ceil(way / 1.5), 2, 4))
            for k in range(parts):
                points = ends[0].copy()
                points[:, :2] += speed * np.float32(self.shutter * (k + 0.5) / parts)
                self._draw(points, attributes, v, 1.0 / parts)
        total = base * (1 - self.total[:, :, 1]) + self.total[:, :, 0]
        total += cloth * (self.weave * 0.8 - total)
        self._glints(total, points, v, middle)
        if self.glasses is not None:
            self._draw_glasses(total, middle, life.glare(at))
        hand = life.hand(at)
        if hand is not None:
            self._draw_hand(total, hand, middle)
        return total

    def _draw(self, points, attributes, v, weight):
        """Adds the head at `points` to the picture."""
        apart = v[self.person.marks[62], 1] - v[self.person.marks[66], 1] > self.lip_gap + 0.03
        triangles = self.triangles if apart or self.lip_gap > 0.05 else self.shut
        seen = points[self.outline]
        (left, top), (right, bottom) = seen[:, :2].min(0) - 2, seen[:, :2].max(0) + 3
        area = np.array([max(0, left), max(0, top), min(WIDTH, right), min(HEIGHT, bottom)], np.int32)
        b_raster.draw(points, attributes, triangles, self.texture, self.grooves, self.grid, self.depth, self.samples, area, self.total, weight)

    def _glints(self, picture, points, v, state):
        """The lamp's reflection in each cornea, where the lids leave it free."""
        lamp = self.lamps[0]
        half = lamp[0] + [0, 0, 1]
        half /= np.linalg.norm(half)
        for s in range(2):
            at = (self.person.centers[s] + 0.98 * self.person.radius[s] * half)[None].astype(np.float32)
            p, _ = self.project(at, state.pose)
            upper = points[self.person.marks[[43, 44] if s == 0 else [37, 38]], 1].mean()
            lower = points[self.person.marks[[47, 46] if s == 0 else [41, 40]], 1].mean()
            x, y = p[0, :2]
            free = np.clip((y - upper) / 1.5, 0, 1) * np.clip((lower - y) / 1.5, 0, 1)
            if free > 0 and 4 < x < WIDTH - 5 and 4 < y < HEIGHT - 5:
                yy, xx = np.mgrid[int(y) - 3 : int(y) + 5, int(x) - 3 : int(x) + 5]
                blob = np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * (self.eye_px / 75) ** 2))
                picture[int(y) - 3 : int(y) + 5, int(x) - 3 : int(x) + 5] += (free * 0.8 * lamp[1] * blob / self.exposure * 0.7).astype(np.float32)

    def _glasses(self, rng):
        """Frame outlines in head space before the eyes."""
        half_w, ratio, power = rng.uniform(2.3, 2.9), rng.uniform(0.62, 0.9), rng.uniform(2, 5)
        a = np.linspace(0, 2 * np.pi, 60, endpoint=False)
        c, s = np.cos(a), np.sin(a)
        ring = np.stack([np.sign(c) * np.abs(c) ** (2 / power) * half_w, np.sign(s) * np.abs(s) ** (2 / power) * half_w * ratio, 0 * a], 1)
        nose = self.person.neutral[self.person.marks[27]]
        gap = rng.uniform(0.7, 1.0)
        z = max(self.person.neutral[self.person.marks[[19, 24]], 2].max(), nose[2]) + 0.3
        out = {"rim": float(rng.uniform(0.01, 0.15)), "thick": float(rng.uniform(0.1, 0.3)), "lens": []}
        for side in (-1, 1):
            p = ring + [side * (gap + half_w), nose[1] - 0.7, z]
            p[:, 2] -= 0.05 * np.abs(p[:, 0]) ** 1.5
            out["lens"].append(p.astype(np.float32))
        out["bridge"] = np.array([[-gap, nose[1] - 0.3, z], [0, nose[1], z + 0.2], [gap, nose[1] - 0.3, z]], np.float32)
        w = gap + 2 * half_w
        out["temples"] = [np.array([[d * w, nose[1] - 0.3, z - 0.05 * w**1.5], [d * 7.4, nose[1] - 0.4, 4.0]], np.float32) for d in (-1, 1)]
        return out

    def _draw_glasses(self, picture, state, glare):
        g = self.glasses
        parts = [(p, True) for p in g["lens"]] + [(g["bridge"], False)] + [(p, False) for p in g["temples"]]
        lines = [(self.project(p, state.pose)[0][:, :2], closed) for p, closed in parts]
        everything = np.concatenate([p for p, _ in lines])
        x0, y0 = (int(max(0, v)) for v in everything.min(0) - 16)
        x1, y1 = (int(v) for v in np.minimum(everything.max(0) + 20, [WIDTH, HEIGHT]))
        if x1 <= x0 or y1 <= y0:
            return
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        thick = max(1, int(round(g["thick"] * self.focal / self.distance)))
        for p, closed in lines:
            cv2.polylines(mask, [np.round(16 * (p - [x0, y0])).astype(np.int32)], closed, 255, thick, cv2.LINE_AA, 4)
        shadow = cv2.GaussianBlur(mask, (0, 0), 2.5)
        part = picture[y0:y1, x0:x1]
        part *= 1 - 0.25 / 255 * np.roll(shadow, 4, 0).astype(np.float32)
        part += mask.astype(np.float32) / 255 * (g["rim"] - part)
        if glare:
            strength, x, y = glare
            for part in g["lens"]:
                points, _ = self.project(part, state.pose)
                lens = np.zeros((HEIGHT, WIDTH), np.uint8)
                cv2.fillPoly(lens, [np.round(points[:, :2]).astype(np.int32)], 255, cv2.LINE_AA)
                middle, size = points[:, :2].mean(0), np.ptp(points[:, 0])
                yy, xx = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
                d = ((xx - middle[0] - x * size) * 0.8 + (yy - middle[1] - y * size) * 0.6) / size
                picture += (lens / 255.0 * strength / self.exposure * np.exp(-((d / 0.16) ** 2))).astype(np.float32)

    def _draw_hand(self, picture, hand, state):
        """Palm and fingers that come before the face: shapes of their own shade."""
        share, x, y, angle = hand
        rng = np.random.default_rng(self.hand_seed)
        unit = self.eye_px
        tip = self.center + unit * np.array([x, y])
        away = np.array([np.cos(angle), np.sin(angle)])
        across = np.array([-away[1], away[0]])
        base = tip + away * unit * (0.15 + 4.5 * (1 - share))
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        height = np.zeros((HEIGHT, WIDTH), np.uint8)
        for k in range(4):
            start = base + across * unit * 0.33 * (k - 1.5) + away * unit * 0.2 * abs(k - 1.3)
            end = start + away * unit * 1.2 + across * unit * 0.06 * rng.normal()
            for plane, shrink in ((mask, 0.3), (height, 0.16)):
                cv2.line(plane, tuple(int(c) for c in start), tuple(int(c) for c in end), 255, max(1, int(shrink * unit)), cv2.LINE_AA)
        palm = base + away * unit * 1.9
        for plane, shrink in ((mask, 1.0), (height, 0.7)):
            cv2.ellipse(plane, tuple(int(c) for c in palm), (int(0.9 * unit * shrink), int(0.72 * unit * shrink)), np.degrees(angle), 0, 360, 255, -1, cv2.LINE_AA)
            cv2.line(plane, tuple(int(c) for c in palm), tuple(int(c) for c in palm + away * 6 * unit), 255, int(0.9 * unit * shrink), cv2.LINE_AA)
        soft = cv2.GaussianBlur(height, (0, 0), unit * 0.07).astype(np.float32) / 255
        share = cv2.GaussianBlur(mask, (0, 0), 0.8).astype(np.float32) / 255
        shade = self.hand_tone * (0.55 + 0.6 * soft) * (self.ambient + 0.6)
        picture *= 1 - 0.2 * cv2.GaussianBlur(mask, (0, 0), 9).astype(np.float32) / 255
        picture += share * (shade - picture)

    def develop(self, linear, gain_rows):
        """8-bit picture of a linear one: exposure, sensor noise, denoising, tone curve, sharpening."""
        x = linear * self.vignette * self.exposure
        x *= gain_rows[:, None] * self.columns
        start = int(self.rng.integers(0, len(self.noise) - WIDTH * HEIGHT))
        n = self.noise[start : start + WIDTH * HEIGHT].reshape(HEIGHT, WIDTH)
        if self.rng.random() < 0.5:
            n = n[::-1]
        x += n * np.sqrt(self.shot * np.maximum(x, 0) + self.read**2)
        cv2.sepFilter2D(x, -1, k := np.array([0.25, 0.5, 0.25], np.float32) * self.denoise + np.array([0, 1, 0], np.float32) * (1 - self.denoise), k, x)
        np.clip(x, 0, 1, out=x)
        x = self.curve[(x * 4095).astype(np.uint16)]
        if self.sharpen > 0.05:
            x += self.sharpen * (x - cv2.GaussianBlur(x, (0, 0), 1.2))
        return np.clip(255 * x + 0.5, 0, 255).astype(np.uint8)
