"""No secret passes, in whatever it is wrapped; what is none stays as it was."""

from __future__ import annotations

import json
import random
import string
import time
from urllib.parse import quote

import pytest

from vclr.config import config_from_text, dump_config, flat_config, load_config
from vclr.tracking.secrets import HIDDEN, redact, redact_config, redact_environment, redact_values
from vclr.tracking.store import shown_address

# Where secrets stand; {} is the secret, as the place escapes it.
URIS = (
    "postgresql://vclr:{}@db.example:5432/mlflow",
    "postgresql+psycopg2://vclr:{}@[::1]/mlflow?sslmode=require",
    "mysql://vclr@db/mlflow?password={}",
    "https://person:{}@mlflow.example/api",
    "https://{}@github.com/group/project.git",
    "https://{}:x-oauth-basic@github.com/group/project.git",
    "https://bucket.s3.amazonaws.com/a/b.pt?X-Amz-Credential={}&X-Amz-Date=20260101T000000Z",
    "https://bucket.s3.amazonaws.com/a/b.pt?X-Amz-Date=20260101T000000Z&X-Amz-Signature={}&x=1",
    "https://bucket.s3.amazonaws.com/a/b.pt?X-Amz-Security-Token={}",
    "https://s.example/b?AWSAccessKeyId=a&Signature={}&Expires=1",
    "https://account.blob.core.windows.net/c/b?sv=2024&sig={}&se=2026",
    "https://storage.googleapis.com/b?X-Goog-Signature={}",
    "http://mlflow.example/?token={}#/experiments",
)
TEXTS = (
    "Authorization: Bearer {}",
    "headers={{'Authorization': 'Basic {}'}}",
    'password = "{}"',
    "+    api_key='{}',",
    '-TOKEN: "{}"',
    "+export AWS_SECRET_ACCESS_KEY={}",
    '{{"mlflow_tracking_password": "{}"}}',
    "host=db user=vclr password={} dbname=mlflow",
    "vclr --password {} train",
    "MLFLOW_TRACKING_TOKEN={}",
    "wandb.api_key: {}",
    "client_secret={}",
)
HARMLESS = (
    "sqlite:///mlflow.db",
    "postgresql://db.example/mlflow",
    "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning",
    "git@github.com:group/project.git",
    "ssh://git@github.com/group/project.git",
    "s3://experiments/mlflow",
    "person@example.org wrote 3:15, a@b",
    "num_tokens = 100\ntokens: [1, 2]\ntokenizer = load('x')",
    "    password = os.environ['PASSWORD']",
    "    token = read_token(path)",
    "    connect(password=password, token=None)",
    "def f(token: str, key: int = 3) -> str:",
    "key: value, keys=[1, 2], monkey=banana, keyword: x",
    "secrets are hidden; the token expired; password authentication failed for user vclr",
    "author: A Person <person@example.org>",
    "see https://example.org/a?page=2&order=key",
    "http://127.0.0.1:5000/#/a@b",
    "self.token = token; f(api_key=self.api_key, password=PASSWORD, secret=$SECRET)",
    "metrics/novel/mask_ar_100 = 3.5",
)


def make_secret(rng: random.Random, letters: str = string.ascii_letters + string.digits + "_-") -> str:
    return "".join(rng.choice(letters) for _ in range(rng.randint(8, 60)))


@pytest.mark.parametrize("template", URIS + TEXTS)
def test_no_secret_passes(template: str):
    rng = random.Random(template)
    for _ in range(50):
        secret = make_secret(rng)
        around = [make_secret(rng, string.ascii_letters + "  \n") for _ in range(2)]
        text = f"{around[0]} {template.format(secret)} {around[1]}"
        hidden = redact(text)
        assert secret not in hidden, text
        assert HIDDEN in hidden
        assert redact(hidden) == hidden
        for part in around:
            assert part in hidden


@pytest.mark.parametrize("template", URIS[:4])
def test_no_secret_passes_with_any_character(template: str):
    """Passwords with all printable characters, escaped as an address needs it; some also pass unescaped."""
    rng = random.Random(template)
    for _ in range(200):
        secret = make_secret(rng, string.punctuation + string.ascii_letters)
        assert quote(secret, safe="") not in redact(template.format(quote(secret, safe="")))
    for secret in ("pass/word:1", "p@ssword", "a:b:c@d"):
        if "password=" not in template:
            hidden = redact(template.format(secret))
            assert not any(part in hidden for part in ("word", "ssw", "b:c")), hidden


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays(text: str):
    assert redact(text) == text


@pytest.mark.parametrize(
    "token",
    [
        "ghp_" + "a1B2" * 9,
        "github_pat_" + "a1B2" * 9,
        "glpat-" + "a1B2" * 5,
        "hf_" + "a1B2" * 8,
        "AKIA" + "A1B2" * 4,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-DEF_123",
    ],
)
def test_tokens_are_known_by_their_shape(token: str):
    assert redact(f"cannot log in with {token}, sorry") == f"cannot log in with {HIDDEN}, sorry"


@pytest.mark.parametrize("password", ["hunt<er2xyz", 'pa"ss"word', "pa ss word", "12345/abc"])
def test_the_password_of_the_store_is_hidden_whatever_it_is_made_of(password: str):
    config = load_config(None, [])
    config.tracking.uri = f"postgresql://bob:{password}@127.0.0.1:1/db"
    assert redact_config(config).tracking.uri == f"postgresql://bob:{HIDDEN}@127.0.0.1:1/db"
    assert password not in redact(f"it said: {config.tracking.uri} cannot be reached")


def test_a_path_is_not_damaged_by_a_password_that_is_a_word_of_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PGPASSWORD", "mlflow")
    config = load_config(None, ["tracking.uri=sqlite:////work/mlflow.db"])
    assert redact_config(config).tracking.uri == shown_address(config.tracking.uri) == "sqlite:////work/mlflow.db"


def test_private_keys_are_hidden():
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\ndef+/=\n-----END RSA PRIVATE KEY-----"
    assert redact(f"+{key}\n+more") == (f"+-----BEGIN RSA PRIVATE KEY-----{HIDDEN}-----END RSA PRIVATE KEY-----\n+more")


def test_values_of_secret_variables_are_hidden_wherever_they_stand(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "open sesame/1")
    monkeypatch.setenv("SITE_TOKEN", "true")  # too short to be one
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", __file__)
    text = f"login with open sesame/1 or open%20sesame%2F1 failed: true, {__file__}"
    assert redact(text) == f"login with {HIDDEN} or {HIDDEN} failed: true, {__file__}"


def test_environment_is_filtered_by_names_and_by_values():
    rng = random.Random(1)
    names = ("MLFLOW_TRACKING_PASSWORD", "PGPASSWORD", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")
    names += ("OPENAI_API_KEY", "GOOGLE_CREDENTIALS", "SLURM_JWT", "MYSQL_PWD", "DB_PASS", "client_secret", "SSH_KEY")
    secrets = {name: make_secret(rng) for name in names}
    uri = make_secret(rng)
    kept = {"PWD": "/work", "SLURM_JOB_ID": "17", "TOKENIZERS_PARALLELISM": "false", "KEYBOARD": "us", "HF_TOKEN_": ""}
    environment = {**secrets, **kept, "MLFLOW_TRACKING_URI": f"https://me:{uri}@mlflow.example"}
    filtered = redact_environment(environment)
    assert filtered.keys() == environment.keys()
    assert {name: filtered[name] for name in kept} == kept
    assert filtered["MLFLOW_TRACKING_URI"] == f"https://{HIDDEN}@mlflow.example"
    assert not any(secret in str(filtered) for secret in (*secrets.values(), uri))


def test_configuration_is_filtered_and_stays_one():
    config = load_config(None, ["tracking.uri=postgresql://vclr:hunter2@db/mlflow"])
    hidden = redact_config(config)
    assert config.tracking.uri == "postgresql://vclr:hunter2@db/mlflow"
    assert "hunter2" not in dump_config(hidden)
    changed = {key for key, value in flat_config(hidden).items() if value != flat_config(config)[key]}
    assert changed == {"tracking.uri"}
    assert config_from_text(dump_config(hidden), "config.yaml") == hidden
    assert redact_config(load_config()) == load_config()


def test_content_of_json_is_filtered_at_any_depth():
    content = {"a": [{"token": "hunter2", "url": "http://u:hunter2@h", "n": 3, "none": None}], "password": ""}
    hidden = redact_values(content)
    assert hidden == {"a": [{"token": HIDDEN, "url": f"http://{HIDDEN}@h", "n": 3, "none": None}], "password": ""}
    assert "hunter2" in json.dumps(content)  # the original stays


def test_long_texts_take_no_long_time():
    """Megabytes of a diff, and texts made to be slow."""
    hard = (
        "a" * 100_000,
        "://" * 30_000,
        "token" * 20_000,
        "x:y@" * 20_000,
        "http://a:" + "b@" * 20_000 + " ",
        "-" * 100_000,
    )
    hard += ("?token=" * 10_000, "password: '" * 10_000, "-----BEGIN PRIVATE KEY-----" * 2000, "_key" * 20_000)
    hard += ("+    value = compute(first, second)  # why\n" * 20_000,)
    for text in hard:
        start = time.perf_counter()
        redact(text)
        assert time.perf_counter() - start < 2, text[:20]


@pytest.mark.parametrize("sign", ["-", " ", ""])
def test_a_key_in_a_diff_is_hidden_whole(sign: str):
    lines = [
        "-----BEGIN RSA PRIVATE KEY-----",
        "DEK-Info: AES-256-CBC,0123",
        "MIIabc-def",
        "-----END RSA PRIVATE KEY-----",
    ]
    said = redact("\n".join(sign + line for line in lines) + "\nmore")
    assert "MIIabc" not in said and "0123" not in said and said.endswith("more")
