"""Hide passwords, tokens and keys in what is stored or said: settings, environment, addresses, logs, code.

What looks like a secret is replaced by `***`; hiding something harmless costs little. The value of an environment
variable that holds a secret, by its name, is hidden wherever it stands.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any
from urllib.parse import quote

from vclr.config import Config

HIDDEN = "***"
FILE_ADDRESS = "sqlite:"  # begins an address without a login; a word of its path may be the value of a variable
SHORTEST_VALUE = 6  # characters; shorter values of variables, such as `true`, occur in any text

# Words by which a variable, a setting or an argument is a secret. Plurals of `token` are numbers and models' words.
_WORDS = r"pass(?:word|wd|phrase)|pwd|secret|token|credentials?|jwt"
_WORDS += r"|(?:api|access|private|auth|account|shared)[_-]?key"
_NAMED = rf"[\w.-]*(?:{_WORDS})(?:[_-]?(?:id|key|value|string|access[_-]?key))*"
# Names of variables are upper case by custom, and few: here `KEY` and `AUTH` alone are enough.
SECRET_VARIABLE = re.compile(
    r"PASSW|PASSPHRASE|SECRET|TOKENS?(?![A-Z])|CREDENTIAL|APIKEY|(^|_)(KEYS?|PASS|PWD|AUTH|JWT|COOKIE|DSN)(_|$)",
    re.IGNORECASE,
)
NOT_SECRET = {"PWD", "OLDPWD"}  # the working directory
SECRET_NAME = re.compile(_NAMED, re.IGNORECASE)

# Passwords also pass unescaped, with `/` and `@`, as people write them; `host:5000/` is no password. The user of a web
# address may be a token itself; that of a database is a name.
_ADDRESS_PASSWORD = r":(?!\d{1,5}/)(?:[^\s\"'<>@]|@(?=[^\s\"'<>/@]*@))+@"
_WEB_USER = re.compile(rf"\b(https?://)[^\s\"'<>/?#:@]*(?:@|{_ADDRESS_PASSWORD})", re.IGNORECASE)
_PASSWORD = re.compile(rf"\b([a-z][\w+.-]{{0,40}}://[^\s\"'<>/?#:@]*){_ADDRESS_PASSWORD}", re.IGNORECASE)
# Signed addresses of S3, Google and Azure, and the parameters of databases.
_QUERY = re.compile(
    rf"([?&;](?:{_NAMED}|x-(?:amz|goog)-(?:signature|credential)|signature|sig|key)=)[^\s&;#\"'<>]+", re.IGNORECASE
)
_HEADER = re.compile(r"\b((?:bearer|basic)\s+)[\w.~+/=-]{6,}", re.IGNORECASE)
# `password = "x"`, `TOKEN: x`, `"secret": "x"`, `--password x`. A bare word that names a secret, or a call, is code.
_QUOTED = re.compile(rf"(?<![\w.-])({_NAMED}[\"']?\s*[:=]\s*[bfru]{{0,2}})(\"[^\"\n]+\"|'[^'\n]+')", re.IGNORECASE)
_BARE = re.compile(
    rf"(?<![\w.-])({_NAMED}\s*[:=]\s*|--{_NAMED}\s+)([^\s\"',;&()\[\]{{}}<>]+)(?=[\s\"',;&)\]{{}}<>]|$)", re.IGNORECASE
)
_CODE = re.compile(
    rf"(?:none|null|true|false|str|bytes|\d{{1,3}}|(?:[a-z_]\w*[._])?(?:{_WORDS})(?:[._]\w*)?|\$.*)$", re.IGNORECASE
)
# Tokens that say what they are: GitHub, GitLab, Hugging Face, AWS, OpenAI, Slack, and signed JSON.
_SHAPES = re.compile(
    r"\b(?:gh[a-z]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_[A-Za-z0-9]{20,}|A[KS]IA[A-Z0-9]{16}|sk-[\w-]{20,}"
    r"|xox[a-z]-[\w-]{10,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+)"
)
_PRIVATE_KEY = re.compile(r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----).*?(?=-----END|\Z)", re.DOTALL)


_passwords: set[str] = set()  # of addresses that this process was given


def remember_password(address: str) -> None:
    """Hide the password of an address from now on wherever it stands, whatever characters it is made of."""
    found = re.match(r"[\w+.-]+://[^:@/]*:(.+)@[^@]*$", address)
    if found and len(found[1]) >= SHORTEST_VALUE:
        _passwords.add(found[1])


def redact(text: str) -> str:
    """Return a text, of one or many lines, without the secrets in it. Doing it again changes nothing."""
    for value in _known_values():
        text = text.replace(value, HIDDEN)
    text = redact_addresses(text)
    text = _HEADER.sub(rf"\1{HIDDEN}", text)
    text = _QUOTED.sub(lambda found: f"{found[1]}{found[2][0]}{HIDDEN}{found[2][0]}", text)
    text = _BARE.sub(lambda found: found[0] if _CODE.match(found[2]) else f"{found[1]}{HIDDEN}", text)
    text = _SHAPES.sub(HIDDEN, text)
    return _PRIVATE_KEY.sub(rf"\1{HIDDEN}", text)


def redact_addresses(text: str) -> str:
    """Return a text without the passwords, tokens and signatures in its addresses (URIs)."""
    text = _WEB_USER.sub(rf"\1{HIDDEN}@", text)
    text = _PASSWORD.sub(rf"\1:{HIDDEN}@", text)
    return _QUERY.sub(rf"\1{HIDDEN}", text)


def redact_values(content: Any, name: str = "") -> Any:
    """Return a copy of what json can hold without the secrets in it, of any depth; numbers stay.

    Args:
        content: a text, a number, a list, a dict, or None.
        name: its key. A text whose name is that of a secret is hidden as a whole.
    """
    if isinstance(content, Mapping):
        return {key: redact_values(value, str(key)) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [redact_values(value, name) for value in content]
    if not isinstance(content, str) or not content:
        return content
    if SECRET_NAME.fullmatch(name):
        return HIDDEN
    return redact_addresses(content) if content.startswith(FILE_ADDRESS) else redact(content)


def redact_config(config: Config) -> Config:
    """Return a copy of the configuration without the secrets in it, such as the password of `tracking.uri`.

    Settings that change results only lose what addresses hide, whatever the environment: a training continues only with
    the same ones.
    """
    remember_password(config.tracking.uri)
    hidden = copy.deepcopy(config)
    _redact_settings(hidden, "training")
    return hidden


def redact_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return environment variables without secrets: hidden by their names, and hidden inside the other values."""
    return {
        name: HIDDEN if value and is_secret_variable(name) else redact(value) for name, value in environment.items()
    }


def is_secret_variable(name: str) -> bool:
    """Tell whether an environment variable holds a secret, by its name."""
    return name not in NOT_SECRET and SECRET_VARIABLE.search(name) is not None


def _redact_settings(node: Any, changes: str) -> None:
    for field in fields(node):
        value, own = getattr(node, field.name), field.metadata["about"].changes or changes
        if is_dataclass(value):
            _redact_settings(value, own)
        else:
            setattr(node, field.name, redact_values(value, field.name) if own == "nothing" else _each_address(value))


def _each_address(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _each_address(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_each_address(part) for part in value]
    return redact_addresses(value) if isinstance(value, str) else value


def _known_values() -> list[str]:
    """Return the values of this process's secret variables, the longest first; also as a URI escapes them.

    A path is not a secret, but where one lies: `AWS_SHARED_CREDENTIALS_FILE`.
    """
    values = {value for name, value in os.environ.items() if is_secret_variable(name)}
    known = {value for value in values if len(value) >= SHORTEST_VALUE and not os.path.exists(value)} | _passwords
    return sorted(known | {quote(value, safe="") for value in known}, key=len, reverse=True)
