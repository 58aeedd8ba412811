from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="Streams are not compressed on the way",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.stream"),
    remediation="Take `text/event-stream` out of the types that the gateway compresses.",
)
def stream_compression(snapshot: Snapshot) -> Iterator[Judgement]:
    """A proxy that compresses a stream collects tokens until a block is worth it.

    The first token then arrives with the hundredth, though the model was fast.
    """
    answer = snapshot.fact("endpoint.stream")
    if answer is None or answer.status != 200:
        return
    subject = snapshot.fact("endpoint.target").subject
    seen = Evidence("endpoint.stream.compression", answer.compression, "none")
    if answer.compression:
        yield failed(subject, f"the stream is sent with Content-Encoding {answer.compression}", seen)
    else:
        yield passed(subject, "gzip was offered, and the stream came uncompressed", seen)
