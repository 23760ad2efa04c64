"""How a server is set up; every number from outside has a most, every wait an end, every queue a bound."""
from dataclasses import dataclass, field


@dataclass
class ServerSettings:
    """A server on this machine."""

    host: str = "127.0.0.1"
    """The address it listens on."""
    port: int = 8000
    """The next free one is taken where this one is not."""
    allowed_hosts: list[str] = field(default_factory=list)
    """Names that a Host header may hold beside the address itself."""
    max_rows: int = 16
    """Texts that each base writes at once."""
    cache_megabytes: int = 1024
    """Memory for keys and values of running texts."""
    max_waiting: int = 64
    """Requests that wait; one more gets 429."""
    max_choices: int = 8
    """Most answers to one prompt."""
    max_new_tokens: int = 512
    """Most tokens of an answer where the request does not say."""
    max_inputs: int = 256
    """Most texts in one request."""
    seconds_per_request: float = 600.0
    """A request that is not done by then ends with an error."""
    header_seconds: float = 10.0
    """In which a request's headers must have come."""
    body_seconds: float = 30.0
    """In which its body must have come."""
    write_seconds: float = 30.0
    """After which a reader that takes nothing is let go."""
    body_bytes: int = 4 << 20
    """Largest body of a request."""
    upload_bytes: int = 512 << 20
    """Largest file that may be uploaded."""
    drain_seconds: float = 30.0
    """For what is at hand when the server is told to end."""
    failures_per_minute: int = 10
    """Wrong keys from one address before it has to wait."""
    max_jobs: int = 1
    """Fine-tuning jobs that run at once."""
