"""Faust (faust-streaming) doing the plain job.

ordinary: `async for` over events, as its documentation has it; one MGET and one prediction each.
best: `take_events(1000)`, its repaired Cython path, uvloop, and a producer that waits a little for batches.

What limits it: each record goes through the fetcher, the topic's queue and the stream's processors, with
several awaits, sensor callbacks and an acknowledgement of its own, before `take` counts it; then each result
is a `FutureMessage` of its own in aiokafka's producer, which is Python as well. While a batch is scored its
event loop does nothing else.
"""

from typing import Any

import faust
import redis.asyncio
import uvloop

from benchmarks.peers.plain import Job, Predict, decode_event, encode_scores, features_of, keys_of

AT_ONCE = 1_000
WITHIN_S = 0.1
TUNED: dict[str, Any] = {
    "broker_commit_every": 4 * AT_ONCE,
    "cython_optimizations": True,
    "producer_linger": 0.005,
    "producer_max_batch_size": 1 << 18,
    "stream_buffer_maxsize": 4 * AT_ONCE,
}


def application(job: Job, tuned: dict[str, Any]) -> faust.App:
    """It flushes its producer before it commits offsets."""
    return faust.App(
        job.group,
        broker=f"kafka://{job.bootstrap}",
        consumer_auto_offset_reset="earliest",
        datadir=job.state,
        store="memory://",
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        **tuned,
    )


def ordinary(job: Job, store: redis.asyncio.Redis, predict: Predict) -> faust.App:
    """A dict in, dict out, by the framework's JSON (orjson where it is installed, as here)."""
    app = application(job, {})
    sink = app.topic(job.sink, key_serializer="raw", value_serializer="json")

    @app.agent(app.topic(job.source, key_serializer="raw", value_serializer="json"))
    async def score(stream: Any) -> None:
        async for event in stream.events():
            value = event.value
            rows = await store.mget([f"customer:{value['customer_id']}", f"terminal:{value['terminal_id']}"])
            scores = predict(features_of(rows))
            await sink.send(
                key=event.key, value={"event_id": value["transaction_id"], "score": float(scores[0])}
            )

    return app


def best(job: Job, store: redis.asyncio.Redis, predict: Predict) -> faust.App:
    """Values stay bytes until a whole batch is decoded."""
    uvloop.install()
    app = application(job, TUNED)
    sink = app.topic(job.sink, key_serializer="raw", value_serializer="raw")

    @app.agent(app.topic(job.source, key_serializer="raw", value_serializer="raw"))
    async def score(stream: Any) -> None:
        async for taken in stream.take_events(AT_ONCE, within=WITHIN_S):
            events = [decode_event(event.value) for event in taken]
            scores = predict(features_of(await store.mget(keys_of(events))))
            for event, payload in zip(taken, encode_scores(events, scores), strict=True):
                await sink.send(key=event.key, value=payload)

    return app


IDIOMS = {"ordinary": ordinary, "best": best}


def main() -> None:
    job = Job.parse(tuple(IDIOMS))
    app = IDIOMS[job.idiom](job, redis.asyncio.Redis.from_url(job.redis), job.predictor())
    faust.Worker(app, loglevel="warning", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
