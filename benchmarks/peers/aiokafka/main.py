"""The plain job as people write it by hand with aiokafka: a limit beside the peers, not one of them.

ordinary: `async for`, an MGET of two keys, a prediction of one row, `send_and_wait`.
best: `getmany` of 1,000, one MGET, one prediction, results sent, then awaited, then offsets committed.

What it leaves out is what frameworks are for: batches of all partitions share their fate, a record that
cannot be decoded ends it, nothing answers while Redis is away, a rebalance repeats what was not committed.
What limits it: aiokafka's producer makes a future and a record of its own for each message, in Python.
"""

import asyncio

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from redis.asyncio import Redis

from benchmarks.peers.plain import Job, Predict, decode_event, encode_scores, features_of, keys_of

AT_ONCE = 1_000
WAIT_MS = 100


async def ordinary(job: Job, store: Redis, predict: Predict) -> None:
    """Offsets are committed by the client every five seconds."""
    consumer = AIOKafkaConsumer(
        job.source, bootstrap_servers=job.bootstrap, group_id=job.group, auto_offset_reset="earliest"
    )
    async with consumer, AIOKafkaProducer(bootstrap_servers=job.bootstrap) as producer:
        async for message in consumer:
            event = decode_event(message.value)
            scores = predict(features_of(await store.mget(keys_of([event]))))
            await producer.send_and_wait(job.sink, encode_scores([event], scores)[0], message.key)


async def best(job: Job, store: Redis, predict: Predict) -> None:
    consumer = AIOKafkaConsumer(
        job.source,
        bootstrap_servers=job.bootstrap,
        group_id=job.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    producer = AIOKafkaProducer(bootstrap_servers=job.bootstrap, linger_ms=5, max_batch_size=1 << 18)
    async with consumer, producer:
        while True:
            polled = await consumer.getmany(timeout_ms=WAIT_MS, max_records=AT_ONCE)
            messages = [message for partition in polled.values() for message in partition]
            if not messages:
                continue
            events = [decode_event(message.value) for message in messages]
            scores = predict(features_of(await store.mget(keys_of(events))))
            payloads = encode_scores(events, scores)
            sent = [
                await producer.send(job.sink, payload, message.key)
                for message, payload in zip(messages, payloads, strict=True)
            ]
            await asyncio.gather(*sent)
            await consumer.commit()


IDIOMS = {"ordinary": ordinary, "best": best}


async def main() -> None:
    job = Job.parse(tuple(IDIOMS))
    async with Redis.from_url(job.redis) as store:
        await IDIOMS[job.idiom](job, store, job.predictor())


if __name__ == "__main__":
    uvloop.run(main())
