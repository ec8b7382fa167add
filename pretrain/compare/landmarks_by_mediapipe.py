"""MediaPipe's 68 landmarks of every PNG in a folder, as JSON on stdout.

    python3 pretrain/compare/landmarks_by_mediapipe.py FOLDER

`glint-pretrain evaluate faces` runs this by itself, with the interpreter that --mediapipe names. Needs a mediapipe
that carries the face mesh (0.10.14 does; see requirements.txt). The points are those of the mesh that
`glint::face::landmarks::MEDIAPIPE_68` names.
"""

import json
import pathlib
import sys

import cv2
import mediapipe

MEDIAPIPE_68 = [
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,
    78, 82, 13, 312, 308, 317, 14, 87,
]


def main(folder):
    mesh = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=1, refine_landmarks=True)
    answers = []
    for path in sorted(pathlib.Path(folder).glob("*.png")):
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        height, width = image.shape[:2]
        faces = mesh.process(image).multi_face_landmarks
        points = None
        if faces:
            marks = faces[0].landmark
            # MediaPipe counts from the pixel's corner, glint from its centre.
            points = [[marks[i].x * width - 0.5, marks[i].y * height - 0.5] for i in MEDIAPIPE_68]
        answers.append({"points": points})
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
