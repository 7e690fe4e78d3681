"""A database on a server, PostgreSQL for example: whether it can be used, before MLflow tries for minutes."""

from __future__ import annotations

from vclr.errors import UserError, first_line
from vclr.tracking.secrets import redact

CONNECT_TIMEOUT = 10  # seconds
# Their drivers know a timeout by this name.
WITH_TIMEOUT = ("postgresql", "mysql")
INSTALL = "pip install 'vclr[server]'"


def is_database_server(uri: str) -> bool:
    """Tell whether a store is a database on a server; a SQLite file and a tracking server are none."""
    return uri.partition("://")[0].partition("+")[0] in ("postgresql", "mysql", "mssql")


def check_connection(uri: str) -> None:
    """Connect to a database once.

    MLflow itself would try ten times, for 100 seconds, and then give many lines.

    Raises:
        UserError: the driver is missing, the address makes no sense, nobody answers, or there is no such user, password
            or database; in one line without the password.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    try:
        has_timeout = make_url(uri).get_backend_name() in WITH_TIMEOUT
        engine = create_engine(uri, connect_args={"connect_timeout": CONNECT_TIMEOUT} if has_timeout else {})
    except ModuleNotFoundError as error:
        advice = f": {INSTALL}" if error.name == "psycopg2" else ""
        raise UserError(f"{redact(uri)}: needs the package {error.name}{advice}") from None
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise UserError(f"{redact(uri)}: is no address of a database: {redact(first_line(error))}") from None
    try:
        with engine.connect():
            pass
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        raise UserError(f"{redact(uri)}: cannot connect: {redact(first_line(cause))}") from None
    finally:
        engine.dispose()
