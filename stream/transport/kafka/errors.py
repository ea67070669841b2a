"""librdkafka's errors, sorted: what passes by itself, and what only a person can mend."""

import re
from collections.abc import Mapping

from confluent_kafka import KafkaError, KafkaException

from stream.errors import ConfigurationError, SettingProblem

FATAL = frozenset(
    {
        KafkaError._FATAL,
        KafkaError._AUTHENTICATION,
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError._BAD_COMPRESSION,  # what cannot be unpacked the client would pass over
        KafkaError._BAD_MSG,
        KafkaError._UNSUPPORTED_FEATURE,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.INCONSISTENT_GROUP_PROTOCOL,
        KafkaError.INVALID_COMMIT_OFFSET_SIZE,
        KafkaError.INVALID_SESSION_TIMEOUT,
        KafkaError.OFFSET_METADATA_TOO_LARGE,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.UNSUPPORTED_VERSION,
    }
)
"""Of a consumer: no retry helps. Everything else passes, librdkafka retries it by itself."""

MENDS: Mapping[int, str] = {
    KafkaError._BAD_MSG: "a batch of the log is damaged: check the disks of its brokers",
    KafkaError._BAD_COMPRESSION: "a batch of the log is damaged: check the disks of its brokers",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "create it with `riverrun topics create`",
    KafkaError._UNKNOWN_TOPIC: "create it with `riverrun topics create`",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "grant this principal the right to it",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "grant this principal READ on the group",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "grant this principal IDEMPOTENT_WRITE on the cluster",
    KafkaError._AUTHENTICATION: "check the sasl.* and ssl.* properties",
    KafkaError.SASL_AUTHENTICATION_FAILED: "check sasl.username and sasl.password",
    KafkaError.FENCED_INSTANCE_ID: "another worker runs with the same group.instance.id: give each its own",
    KafkaError.MSG_SIZE_TOO_LARGE: "raise max.message.bytes of the topic, or lower "
    "kafka.properties.message.max.bytes to it",
    KafkaError.INVALID_TRANSACTION_TIMEOUT: "lower delivery.transaction_timeout_ms, or raise the brokers' "
    "transaction.max.timeout.ms",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "grant this principal WRITE on the transactional id",
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: "the group's members use another partition.assignment.strategy: "
    "move them over one list at a time",
}

TWIN = re.compile(r"group\.instance\.id|instance ID", re.IGNORECASE)
"""What librdkafka's last error of a static member says; it does not tell the code behind it."""

UNRELEASED = re.compile(r"instance ID is still used", re.IGNORECASE)
"""The brokers wait for a static member that was killed until its session ends: it may start again then."""

GONE = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.UNKNOWN_TOPIC_ID, KafkaError._UNKNOWN_TOPIC})
"""What a topic's end looks like, and for moments a broker's start."""


def is_fatal(error: KafkaError) -> bool:
    return error.fatal() or error.code() in FATAL


def is_unreleased(error: KafkaError) -> bool:
    """Whether a static member came back before the brokers gave up the one before it."""
    return error.code() == KafkaError._FATAL and UNRELEASED.search(error.str()) is not None


def sentence(what: str, error: KafkaError) -> str:
    """Place, cause and, where we know one, the mend."""
    mend = MENDS.get(error.code())
    if is_unreleased(error):
        mend = f"start again; or, where none was killed, {MENDS[KafkaError.FENCED_INSTANCE_ID]}"
    elif error.code() == KafkaError._FATAL and TWIN.search(error.str()):
        mend = MENDS[KafkaError.FENCED_INSTANCE_ID]
    return f"{what}: {error.str()} ({error.name()})" + (f"; {mend}" if mend else "")


def refused_properties(error: KafkaException) -> ConfigurationError:
    """What librdkafka says of a configuration that it does not take."""
    cause, mend = error.args[0].str(), "see librdkafka's CONFIGURATION.md for its names and values"
    return ConfigurationError([SettingProblem("kafka.properties", "librdkafka", cause, mend)])
