"""Settings of all processes from environment variables: typed, frozen, read once, and passed in."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIB = 2**20
MIN_SECRET = 16
"""Characters of a secret."""
_PREFIX: Final = "TAPETUM_"
_OTHER_VARIABLES: Final = frozenset(
    {"TAPETUM_CATALOG", "TAPETUM_MODEL_MODULES", "TAPETUM_API_KEY", "TAPETUM_BENCHMARK"}
)
"""Variables that are read elsewhere: by the catalog (two), the command line as a client, and load tests."""
_OF_KUBERNETES: Final = re.compile(
    r"TAPETUM_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)"
)
"""Variables that Kubernetes sets for the address of every service, whose name may begin with `tapetum`."""


class SettingsError(Exception):
    """An environment variable with an invalid value; the message names it."""


class Settings(BaseSettings):
    """The operating limits of one stack. Models and deployments are configured in the Serve configuration file instead.

    Each field is read from the environment variable `TAPETUM_` + its name in capitals. `docs/settings.md` lists them.
    """

    model_config = SettingsConfigDict(env_prefix="TAPETUM_", frozen=True, extra="ignore")

    redis_url: str | None = Field(
        default=None,
        description="Redis (or Valkey) for the result cache, the rate limits, feedback and recorded evaluations; "
        "unset: an embedded server.",
    )
    cache_ttl_s: int = Field(
        default=3600, ge=0, description="Seconds that a result stays in the cache; 0 turns the cache off."
    )
    cache_max_entry_bytes: int = Field(default=MIB, ge=1, description="A larger result is not cached.")
    cache_max_bytes: int = Field(default=256 * MIB, ge=4 * MIB, description="Memory cap of the embedded cache server.")
    cache_timeout_s: float = Field(
        default=0.1,
        gt=0,
        description="Time limit of a cache operation; after it the request goes on without the cache.",
    )
    cache_secret: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Secret of all gateways, at least 16 characters: cached answers that were not written with it "
        "are refused.",
    )

    max_image_bytes: int = Field(default=32 * MIB, ge=1, description="Largest encoded image.")
    max_image_pixels: int = Field(
        default=50_000_000, ge=1, description="Largest image, height × width, read off its header."
    )
    max_body_bytes: int = Field(
        default=64 * MIB, ge=1, validate_default=True, description="Largest request body; an image is part of one."
    )
    max_images_per_request: int = Field(default=32, ge=1, description="Most images in one request.")

    max_concurrent_requests: int = Field(
        default=256,
        ge=1,
        description="Requests that one gateway works on at a time, added to those of `TAPETUM_MAX_QUEUED_REQUESTS`; "
        "one more gets a 503.",
    )
    max_queued_requests: int = Field(default=256, ge=0, description="Requests beyond these, which wait for a model.")
    max_queue_wait_s: float = Field(
        default=5.0,
        gt=0,
        description="Longest expected wait of an image for its model; one that would wait longer gets a 503.",
    )
    max_buffered_bytes: int = Field(
        default=512 * MIB,
        ge=MIB,
        description="Bytes of request bodies that one gateway holds at a time; more gets a 503.",
    )
    min_body_rate_bytes: int = Field(
        default=8192,
        ge=0,
        description="Bytes a second that a request body must arrive at, over each 5 seconds; a slower one gets a 408. "
        "0: no limit.",
    )
    max_answer_bytes: int = Field(
        default=256 * MIB,
        ge=MIB,
        description="Bytes of large answers that one gateway holds until clients have read them; more gets a 503.",
    )
    send_timeout_s: float = Field(
        default=20.0, gt=0, description="A client that reads nothing of an answer for longer is disconnected."
    )
    request_timeout_s: float = Field(default=30.0, gt=0, description="Time limit of a request that names none.")
    max_request_timeout_s: float = Field(
        default=120.0, gt=0, description="Longest limit that `X-Request-Timeout` may ask for."
    )

    load_timeout_s: float = Field(
        default=90.0, gt=0, description="Longest time that a request waits for a model that is loaded on demand."
    )
    load_free_bytes: int = Field(
        default=2**30,
        ge=0,
        description="Memory that must be available before a model is loaded on demand; others are unloaded for it.",
    )

    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(), description="API keys, separated by commas; none: no key is asked for."
    )
    api_keys_file: Path | None = Field(default=None, description="File with one API key a line, added to the above.")
    admin_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(),
        description="API keys of administrators, separated by commas, who load and unload versions of models.",
    )
    admin_keys_file: Path | None = Field(default=None, description="File with one such key a line, added to the above.")
    stack_token: SecretStr | None = Field(
        default=None,
        min_length=MIN_SECRET,
        description="Secret of all nodes of a cluster, at least 16 characters; needed by `tapetum node`.",
    )
    stack_token_file: Path | None = Field(default=None, description="File with that secret, in place of the above.")
    cache_shared: bool = Field(
        default=True,
        description="All API keys share cached answers; false: each has its own, and learns nothing of the others.",
    )
    open_probes: bool = Field(
        default=True, description="`/healthz`, `/readyz`, `/metrics`, `/docs` and `/openapi.json` answer without a key."
    )
    allow_open_network: bool = Field(default=False, description="Listen beyond loopback even though no API key is set.")
    max_connections_per_address: int = Field(
        default=1024,
        ge=0,
        description="Connections that one client address may hold, loopback excepted; 0: no limit. Raise it behind a "
        "reverse proxy on another machine.",
    )
    explanations: bool = Field(
        default=True,
        description="`POST /v1/explain` explains predictions and `GET /v1/models/{name}/layers` lists layers, in a "
        "process of its own that starts with the first request; false: both are refused.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Origins whose web pages may call the API (CORS), separated by commas; `*`: all. None by default.",
    )
    playground: bool = Field(
        default=True, description="`GET /` is a page to try the models on, in a browser, without a key; false: a 404."
    )
    rate_limit: str | None = Field(
        default=None,
        description="Requests per key (or client address), and wrong keys per client address, like `600/minute`; "
        "unset: no limit.",
    )

    accuracy_file: Path | None = Field(
        default=None,
        description="File of recorded evaluations, for where no Redis is set; unset: `tapetum/accuracy.jsonl` in "
        "`XDG_STATE_HOME` (`~/.local/state`).",
    )
    feedback_ttl_s: int = Field(
        default=3600,
        ge=0,
        description="Seconds after an answer in which feedback on it is taken; 0 turns it off.",
    )
    feedback_window: int = Field(
        default=1000, ge=1, le=10_000, description="Feedbacks, the latest of a model, that its live accuracy is of."
    )
    drift_window: int = Field(
        default=1000,
        ge=100,
        le=10_000,
        description="Answers, the latest of a model, that are compared with those of its evaluation.",
    )

    drain_timeout_s: float = Field(default=30.0, ge=0, description="Longest wait for requests in flight when stopping.")
    log_format: Literal["console", "json"] = Field(default="console", description="Shape of a log line.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged."
    )
    run_dir: Path | None = Field(
        default=None,
        description="Private folder of a running stack; `tapetum serve` and `tapetum node` make one and set this.",
    )

    @field_validator("max_body_bytes")
    @classmethod
    def _check_body(cls, value: int, info: ValidationInfo) -> int:
        image = info.data.get("max_image_bytes", 0)
        if image > value and image > cls.model_fields["max_image_bytes"].default:
            raise ValueError(f"must be at least TAPETUM_MAX_IMAGE_BYTES, which is {image}")
        return value

    @field_validator("cache_shared")
    @classmethod
    def _check_shared(cls, value: bool, info: ValidationInfo) -> bool:
        if not value and not (info.data.get("api_keys") or info.data.get("api_keys_file")):
            raise ValueError("false needs API keys: without them all clients are one")
        return value

    @field_validator("api_keys", "admin_keys", "cors_origins", mode="before")
    @classmethod
    def _split_list(cls, value: object) -> object:
        return tuple(key.strip() for key in value.split(",") if key.strip()) if isinstance(value, str) else value

    @field_validator("rate_limit")
    @classmethod
    def _check_rate(cls, value: str | None) -> str | None:
        if value is None or not value.strip():
            return None
        from limits import parse

        parse(value)
        return value

    def all_api_keys(self) -> tuple[str, ...]:
        """The keys of `api_keys` and `api_keys_file` together.

        Raises:
            SettingsError: the file cannot be read, or holds no key.
        """
        return _keys_of(self.api_keys, self.api_keys_file, "TAPETUM_API_KEYS_FILE")

    def all_admin_keys(self) -> tuple[str, ...]:
        """The keys of `admin_keys` and `admin_keys_file` together.

        Raises:
            SettingsError: the file cannot be read, or holds no key.
        """
        return _keys_of(self.admin_keys, self.admin_keys_file, "TAPETUM_ADMIN_KEYS_FILE")

    def cluster_secret(self) -> str | None:
        """The secret of `stack_token` or `stack_token_file`; None where neither is set.

        Raises:
            SettingsError: the file cannot be read, or holds too short a secret.
        """
        if self.stack_token is not None:
            return self.stack_token.get_secret_value()
        if self.stack_token_file is None:
            return None
        try:
            secret = self.stack_token_file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not text"
            raise SettingsError(
                f"TAPETUM_STACK_TOKEN_FILE: {self.stack_token_file} cannot be read ({reason})"
            ) from None
        if len(secret) < MIN_SECRET:
            raise SettingsError(
                f"TAPETUM_STACK_TOKEN_FILE: {self.stack_token_file} holds fewer than {MIN_SECRET} characters"
            )
        return secret


def _keys_of(keys: Iterable[SecretStr], file: Path | None, variable: str) -> tuple[str, ...]:
    told = tuple(key.get_secret_value() for key in keys)
    if file is None:
        return told
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SettingsError(f"{variable}: {file} cannot be read ({error.strerror})") from None
    from_file = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    if not from_file:
        raise SettingsError(f"{variable}: {file} holds no key")
    return told + from_file


def check_names(names: Iterable[str]) -> None:
    """Refuse unknown variables with the prefix `TAPETUM_`: a misspelt limit must not go unnoticed.

    Args:
        names: Of all variables of the environment.

    Raises:
        SettingsError: names the first unknown one, and the most similar known one.
    """
    known = {f"{_PREFIX}{name.upper()}" for name in Settings.model_fields} | _OTHER_VARIABLES
    for name in sorted(names):
        if not name.upper().startswith(_PREFIX) or name.upper() in known or _OF_KUBERNETES.fullmatch(name):
            continue
        like = difflib.get_close_matches(
            name.upper().removeprefix(_PREFIX), (n.removeprefix(_PREFIX) for n in known), 1
        )
        raise SettingsError(f"{name} is not a setting" + (f"; did you mean {_PREFIX}{like[0]}?" if like else ""))


@lru_cache(maxsize=1)
def read_settings() -> Settings:
    """Reads the settings of this process from the environment, once.

    Raises:
        SettingsError: a variable has an invalid value; the message names it.
    """
    check_names(os.environ)
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"TAPETUM_{'_'.join(str(part) for part in problem['loc'][:1]).upper()}: {problem['msg']}"
            for problem in error.errors()
        )
        raise SettingsError(problems) from None
