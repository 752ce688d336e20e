"""Prints features, signals and alerts as they come, each signal once.

    pip install nats-py                                             # Python 3.11 or later
    NATS_URL=nats://localhost:4222 python consume.py [SYMBOL]

The shapes are those of ops/schemas/schemas.json. None is a value that cannot be computed.
"""

import argparse
import asyncio
import json
import os
import sys
from collections import OrderedDict
from typing import Literal, NotRequired, TypedDict

import nats


class FeatureValues(TypedDict):
    mid: float | None
    spread_abs: float | None
    spread_bps: float | None
    trade_vwap_10s: float | None
    trade_vwap_60s: float | None
    trade_count_10s: int
    trade_volume_10s: float
    return_10s: float | None
    realized_vol_60s: float | None
    latency_ms_p50: float | None
    latency_ms_p95: float | None


class Features(TypedDict):
    symbol: str
    provider: NotRequired[str]
    ts: str  # the moment that the features were computed for
    features: FeatureValues
    window_truncated: bool
    trade_age_ms: int | None
    quote_age_ms: int | None


class Signal(TypedDict):
    id: str
    symbol: str
    provider: NotRequired[str]
    ts: str
    direction: Literal["long", "short"]
    rule: str
    price: float
    features: FeatureValues
    trade_age_ms: int | None
    quote_age_ms: int | None


class Alert(TypedDict):
    ts: str
    kind: str
    severity: Literal["warning", "critical"]
    state: Literal["firing", "resolved"]
    symbol: str | None
    provider: str | None
    message: str
    value: float | None
    threshold: float | None


def on_features(it: Features) -> None:
    values = it["features"]
    print("features", it["symbol"], it["ts"], f"mid={values['mid']} return_10s={values['return_10s']}", flush=True)


def on_signal(it: Signal) -> None:
    print("signal", it["id"], f"{it['direction']} at {it['price']}", flush=True)


def on_alert(it: Alert) -> None:
    print("alert", it["kind"], it["state"], it["message"], flush=True)


class Seen:
    """The last ids: a second instance of the service, or a restarted one, sends the same signal under the same id."""

    def __init__(self, capacity: int = 100_000) -> None:
        self.ids: OrderedDict[str, None] = OrderedDict()
        self.capacity = capacity

    def is_new(self, id: str) -> bool:
        if id in self.ids:
            return False
        self.ids[id] = None
        if len(self.ids) > self.capacity:
            self.ids.popitem(last=False)
        return True


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def note_error(error: Exception) -> None:
    say(f"NATS: {error}")


async def note_disconnected() -> None:
    say("NATS: disconnected")


async def note_reconnected() -> None:
    say("NATS: connected again; what was published meanwhile is lost")


async def main(symbol: str) -> None:
    seen = Seen()

    async def take_features(message) -> None:
        on_features(json.loads(message.data))

    async def take_signal(message) -> None:
        signal: Signal = json.loads(message.data)
        if seen.is_new(signal["id"]):
            on_signal(signal)

    async def take_alert(message) -> None:
        on_alert(json.loads(message.data))

    # A lost connection is made again for as long as it takes, with its subscriptions.
    connection = await nats.connect(
        os.environ.get("NATS_URL", "nats://localhost:4222"),
        max_reconnect_attempts=-1,
        reconnect_time_wait=1,
        error_cb=note_error,
        disconnected_cb=note_disconnected,
        reconnected_cb=note_reconnected,
    )
    await connection.subscribe(f"senpai.features.{symbol}", cb=take_features)
    await connection.subscribe(f"senpai.signals.{symbol}", cb=take_signal)
    await connection.subscribe("senpai.alerts", cb=take_alert)
    await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        parser = argparse.ArgumentParser(description="Prints features, signals and alerts of NATS_URL, each signal once.")
        parser.add_argument("symbol", nargs="?", default=">", help="a symbol; all by default")
        asyncio.run(main(parser.parse_args().symbol))
    except KeyboardInterrupt:
        pass
