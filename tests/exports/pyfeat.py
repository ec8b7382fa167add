#!/usr/bin/env python3
"""pyfeat.py OPENFACE.CSV: the columns of `--format openface`, read by py-feat itself. Outside CI: py-feat brings torch, 6 GB.

    python3 -m venv feat && feat/bin/pip install py-feat==2.1.5
    glintd inspect subject.avi --csv openface.csv --format openface      # the film of examples/film.rs
    feat/bin/python tests/exports/pyfeat.py openface.csv
"""

import sys

import feat
from feat.utils.io import read_openface

# The longer smile of the film: 5.6 to 7.0 s.
SMILE = (5.6, 7.0)

table = read_openface(sys.argv[1])
units = table.aus
assert {"AU01_r", "AU12_r", "AU45_c"} <= set(units.columns), list(units.columns)
assert len(table.poses.columns) == 6 and len(table.extract_mean()) == 1
strongest = table.loc[units["AU12_r"].idxmax(), "timestamp"]
assert SMILE[0] < strongest < SMILE[1], strongest
print(f"py-feat {feat.__version__}: {len(table)} rows, {units.shape[1]} AU columns; AU12 is greatest at {strongest:.3f} s")
