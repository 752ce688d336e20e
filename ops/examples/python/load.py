"""Loads a recording, or what `replay` has written, into pandas: a row for each payload.

    pip install pandas
    senpai-md-consumer generate market.jsonl.gz
    senpai-md-consumer replay market.jsonl.gz > published.jsonl
    python load.py market.jsonl.gz md.events.trade.
    python load.py published.jsonl senpai.signals.
"""

import sys

import pandas as pd


def load(path: str, subject: str) -> pd.DataFrame:
    """Payloads of the subjects that begin with `subject`, in the order of the file; nested fields are `features.mid` and so
    on, times are timestamps. `subject` is a column, too, and `receipt` where the records have one."""
    parts = []
    for chunk in pd.read_json(path, lines=True, chunksize=100_000, dtype=False, convert_dates=False):
        chunk = chunk[chunk["subject"].str.startswith(subject)]
        part = pd.json_normalize(chunk["payload"].tolist())
        part["subject"] = chunk["subject"].to_numpy()
        if "ts" in chunk:
            part["receipt"] = chunk["ts"].to_numpy()
        parts.append(part)
    rows = pd.concat(parts, ignore_index=True)
    for name in ["ts", "ts_exchange", "ts_recv"]:
        if name in rows:
            rows[name] = pd.to_datetime(rows[name], format="ISO8601", utc=True)
    return rows


if __name__ == "__main__":
    print(load(*sys.argv[1:3]))
