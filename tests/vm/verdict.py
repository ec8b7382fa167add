#!/usr/bin/env python3
"""verdict.py RESULTS: what a machine has tried, as PASS and FAIL. Fails if a row does, or if the last one, "stop", is missing."""
import json
import sys

rows = [json.loads(line) for line in open(sys.argv[1])]
for row in rows:
    took = "" if row["seconds"] is None else f" ({row['seconds']:.1f} s)"
    print(f"{'PASS' if row['ok'] else 'FAIL'} {row['name']}: {row['did']}{took}")
done = [row["name"] for row in rows][-1:] == ["stop"]
if not done:
    print("FAIL the machine did not come to its end")
sys.exit(0 if done and all(row["ok"] for row in rows) else 1)
