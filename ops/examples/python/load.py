"""Loads a recording, or what `replay` has written, into pandas: a row for each payload.

    pip install pandas
    senpai-md-consumer generate market.jsonl.gz
    senpai-md-consumer replay market.jsonl.gz > published.jsonl
    python load.py market.jsonl.gz md.events.trade.
    python load.py published.jsonl senpai.signals.
"""

import argparse
import gzip
import json

import pandas as pd


def load(path: str, subject: str) -> pd.DataFrame:
    """Payloads of the subjects that begin with `subject`, in the order of the file; nested fields are `features.mid` and so
    on, times are timestamps. `subject` is a column, too, and `receipt` where the records have one."""
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as lines:
        records = [record for record in map(json.loads, lines) if record["subject"].startswith(subject)]
    rows = pd.json_normalize([record["payload"] for record in records])
    rows["subject"] = [record["subject"] for record in records]
    if any("ts" in record for record in records):
        rows["receipt"] = [record.get("ts") for record in records]
    for name in ["ts", "ts_exchange", "ts_recv"]:
        if name in rows:
            rows[name] = pd.to_datetime(rows[name], format="ISO8601", utc=True)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Loads a recording into pandas, and prints it.")
    parser.add_argument("path", help="a recording, or what replay has written; .gz is read as such")
    parser.add_argument("subject", help="what subjects begin with, like md.events.trade.")
    arguments = parser.parse_args()
    print(load(arguments.path, arguments.subject))
