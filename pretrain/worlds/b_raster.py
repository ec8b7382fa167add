"""Compiled inner loops of world B: normals, depth, shaded triangles."""

import numba
import numpy as np

JIT = {"cache": True, "nogil": True, "fastmath": True}


@numba.njit(**JIT)
def normals(vertices, triangles):
    """Unit normals of the vertices: area-weighted means over their triangles."""
    out = np.zeros_like(vertices)
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, az = (vertices[j, 0] - vertices[i, 0], vertices[j, 1] - vertices[i, 1], vertices[j, 2] - vertices[i, 2])
        bx, by, bz = (vertices[k, 0] - vertices[i, 0], vertices[k, 1] - vertices[i, 1], vertices[k, 2] - vertices[i, 2])
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for m in (i, j, k):
            out[m, 0] += nx
            out[m, 1] += ny
            out[m, 2] += nz
    for m in range(out.shape[0]):
        length = np.sqrt(out[m, 0] ** 2 + out[m, 1] ** 2 + out[m, 2] ** 2) + 1e-9
        out[m, 0] /= length
        out[m, 1] /= length
        out[m, 2] /= length
    return out


@numba.njit(**JIT)
def clear_eyeballs(vertices, members, centers, radius):
    """Moves lid vertices that lie inside an eyeball out to its surface. `members[s]`: vertices near eye s."""
    for s in range(2):
        r = radius[s]
        for n in range(members.shape[1]):
            m = members[s, n]
            if m < 0:
                break
            dx, dy, dz = vertices[m, 0] - centers[s, 0], vertices[m, 1] - centers[s, 1], vertices[m, 2] - centers[s, 2]
            d = np.sqrt(dx * dx + dy * dy + dz * dz)
            if d < r and dz > 0.0:
                g = r / d
                vertices[m, 0] = centers[s, 0] + g * dx
                vertices[m, 1] = centers[s, 1] + g * dy
                vertices[m, 2] = centers[s, 2] + g * dz


@numba.njit(**JIT)
def depth_map(points, triangles, size):
    """Greatest third coordinate per pixel of a square plane, both sides of every triangle."""
    out = np.full((size, size), np.float32(-1e9))
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, x1, y1, x2, y2 = points[i, 0], points[i, 1], points[j, 0], points[j, 1], points[k, 0], points[k, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-9:
            continue
        left, right = max(0, int(np.ceil(min(x0, x1, x2)))), min(size - 1, int(np.floor(max(x0, x1, x2))))
        top, bottom = max(0, int(np.ceil(min(y0, y1, y2)))), min(size - 1, int(np.floor(max(y0, y1, y2))))
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                b = ((x - x0) * (y2 - y0) - (x2 - x0) * (y - y0)) / area
                c = ((x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)) / area
                if b >= 0 and c >= 0 and b + c <= 1:
                    z = points[i, 2] + b * (points[j, 2] - points[i, 2]) + c * (points[k, 2] - points[i, 2])
                    if z > out[y, x]:
                        out[y, x] = z
    return out


@numba.njit(**JIT)
def bake(uv, values, triangles, size, out, seen):
    """Interpolates `values` [vertices, n] over the plane of texture coordinates `uv` (pixels)."""
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, x1, y1, x2, y2 = uv[i, 0], uv[i, 1], uv[j, 0], uv[j, 1], uv[k, 0], uv[k, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-9:
            continue
        for y in range(max(0, int(min(y0, y1, y2))), min(size - 1, int(max(y0, y1, y2)) + 1) + 1):
            for x in range(max(0, int(min(x0, x1, x2))), min(size - 1, int(max(x0, x1, x2)) + 1) + 1):
                b = ((x - x0) * (y2 - y0) - (x2 - x0) * (y - y0)) / area
                c = ((x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)) / area
                if b >= -0.02 and c >= -0.02 and b + c <= 1.02:
                    seen[y, x] = 1
                    for n in range(values.shape[1]):
                        out[y, x, n] = values[i, n] + b * (values[j, n] - values[i, n]) + c * (values[k, n] - values[i, n])


@numba.njit(**JIT)
def light_up(n, turn, sky, ambient, open_, lamps, shadows, shine, light, gloss):
    """Light and gloss on every vertex. `lamps`: direction, strength, wrap, and the half vector of each."""
    for m in range(n.shape[0]):
        x = turn[0, 0] * n[m, 0] + turn[0, 1] * n[m, 1] + turn[0, 2] * n[m, 2]
        y = turn[1, 0] * n[m, 0] + turn[1, 1] * n[m, 1] + turn[1, 2] * n[m, 2]
        z = turn[2, 0] * n[m, 0] + turn[2, 1] * n[m, 1] + turn[2, 2] * n[m, 2]
        sum_ = ambient * open_[m] * max(np.float32(0.1), 1 + sky[0] * x + sky[1] * y + sky[2] * z)
        spot = np.float32(0)
        for k in range(lamps.shape[0]):
            facing = (lamps[k, 0] * x + lamps[k, 1] * y + lamps[k, 2] * z + lamps[k, 4]) / (1 + lamps[k, 4])
            if facing > 0:
                sum_ += lamps[k, 3] * shadows[k, m] * facing
            half = lamps[k, 5] * x + lamps[k, 6] * y + lamps[k, 7] * z
            if half > 0.6:
                spot += lamps[k, 3] * shadows[k, m] * half**shine
        light[m] = sum_
        gloss[m] = spot


@numba.njit(**JIT)
def draw(points, attributes, triangles, texture, furrows, grid, depth, samples, area_of, total, weight):
    """Adds triangles that face the camera to `total`, `weight` times, over what `total` would get from `samples`.

    `points`: x, y, 1/z; `attributes`: u, v, light, gloss, furrow; `grid`: positions of the samples in a pixel. Visibility is
    tested at every sample, the skin is evaluated once a pixel and triangle. `depth` and `samples` [height, width, samples]
    are scratch; `area_of`: left, top, right, bottom of what is drawn into; the rest of the picture is left alone.
    """
    count = grid.shape[0]
    th, tw = texture.shape
    zero, one, rim, half = np.float32(0), np.float32(1), np.float32(-1e-5), np.float32(0.5)
    u_most, v_most = np.float32(tw - 1.001), np.float32(th - 1.001)
    x_from, y_from, x_to, y_to = area_of[0], area_of[1], area_of[2], area_of[3]
    for y in range(y_from, y_to):
        for x in range(x_from, x_to):
            for n in range(count):
                depth[y, x, n] = zero
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, x1, y1, x2, y2 = points[i, 0], points[i, 1], points[j, 0], points[j, 1], points[k, 0], points[k, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area >= rim:
            continue
        left, right = max(x_from, int(np.ceil(min(x0, x1, x2) - half))), min(x_to - 1, int(np.floor(max(x0, x1, x2) + half)))
        top, bottom = max(y_from, int(np.ceil(min(y0, y1, y2) - half))), min(y_to - 1, int(np.floor(max(y0, y1, y2) + half)))
        if right < left or bottom < top:
            continue
        inverse = one / area
        bx, by = (y2 - y0) * inverse, (x0 - x2) * inverse
        cx, cy = (y0 - y1) * inverse, (x1 - x0) * inverse
        # No sample lies further than half a pixel from the middle.
        b_slack = rim - half * (abs(bx) + abs(by))
        c_slack = rim - half * (abs(cx) + abs(cy))
        a_slack = rim - half * (abs(bx + cx) + abs(by + cy))
        z0, zb, zc = points[i, 2], points[j, 2] - points[i, 2], points[k, 2] - points[i, 2]
        for y in range(top, bottom + 1):
            dy = np.float32(y) - y0
            for x in range(left, right + 1):
                dx = np.float32(x) - x0
                b, c = dx * bx + dy * by, dx * cx + dy * cy
                if b < b_slack or c < c_slack or one - b - c < a_slack:
                    continue
                shaded = False
                value = zero
                for n in range(count):
                    bs = b + grid[n, 0] * bx + grid[n, 1] * by
                    cs = c + grid[n, 0] * cx + grid[n, 1] * cy
                    a = one - bs - cs
                    if bs < rim or cs < rim or a < rim:
                        continue
                    z = z0 + bs * zb + cs * zc
                    if z <= depth[y, x, n]:
                        continue
                    if not shaded:
                        shaded = True
                        u = a * attributes[i, 0] + bs * attributes[j, 0] + cs * attributes[k, 0]
                        v = a * attributes[i, 1] + bs * attributes[j, 1] + cs * attributes[k, 1]
                        light = a * attributes[i, 2] + bs * attributes[j, 2] + cs * attributes[k, 2]
                        gloss = a * attributes[i, 3] + bs * attributes[j, 3] + cs * attributes[k, 3]
                        furrow = a * attributes[i, 4] + bs * attributes[j, 4] + cs * attributes[k, 4]
                        u, v = min(max(u, zero), u_most), min(max(v, zero), v_most)
                        iu, iv = np.int32(u), np.int32(v)
                        fu, fv = u - np.float32(iu), v - np.float32(iv)
                        w00, w10, w01, w11 = (one - fu) * (one - fv), fu * (one - fv), (one - fu) * fv, fu * fv
                        value = (w00 * texture[iv, iu] + w10 * texture[iv, iu + 1]
                                 + w01 * texture[iv + 1, iu] + w11 * texture[iv + 1, iu + 1])
                        if furrow > np.float32(0.003):
                            f = (w00 * furrows[iv, iu] + w10 * furrows[iv, iu + 1]
                                 + w01 * furrows[iv + 1, iu] + w11 * furrows[iv + 1, iu + 1])
                            value *= max(np.float32(0.3), one - furrow * f)
                        value = value * light + gloss
                    depth[y, x, n] = z
                    samples[y, x, n] = value
    share = np.float32(weight / count)
    for y in range(y_from, y_to):
        for x in range(x_from, x_to):
            for n in range(count):
                if depth[y, x, n] > zero:
                    # What lies behind loses what the face takes.
                    total[y, x, 0] += share * samples[y, x, n]
                    total[y, x, 1] += share


@numba.njit(**JIT)
def project(v, turn, move, neck, distance, focal, center):
    """Image points and 1/z of vertices that turn about the neck and move."""
    out = np.empty((v.shape[0], 3), np.float32)
    for m in range(v.shape[0]):
        dx, dy, dz = v[m, 0] - neck[0], v[m, 1] - neck[1], v[m, 2] - neck[2]
        x = turn[0, 0] * dx + turn[0, 1] * dy + turn[0, 2] * dz + move[0]
        y = turn[1, 0] * dx + turn[1, 1] * dy + turn[1, 2] * dz + move[1]
        z = turn[2, 0] * dx + turn[2, 1] * dy + turn[2, 2] * dz + move[2]
        near = 1 / (distance - z)
        out[m, 0] = center[0] + focal * x * near
        out[m, 1] = center[1] - focal * y * near
        out[m, 2] = near
    return out
