"""What the addresses among the settings must look like. Each function returns the address that is used, or raises
`ValueError` with what would be right, and never repeats the text: there may be a password in it."""

import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Final
from urllib.parse import parse_qs, parse_qsl, urlsplit

USUAL_PORTS: Final = {"http": ":80", "https": ":443"}
REDIS_OPTIONS: Final = {"db": r"\d{1,9}", "client_name": r"\S+", "health_check_interval": r"\d{1,9}"}
REDIS_TLS_OPTIONS: Final = {
    "ssl_cert_reqs": r"none|optional|required",
    "ssl_check_hostname": r"(?i:true|false|yes|no|1|0)",
    **dict.fromkeys(("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"), ".+"),
}
"""What may come after the `?` of `REDIS_URL`: everything else that the driver would take is ours to choose."""


def _names_a_place(address: str) -> bool:
    """Whether an address has a host, and a port that can be one if it has a port."""
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def web_address(text: str) -> str:
    if not text.startswith(("http://", "https://")) or text.partition("://")[2].strip("/") == "":
        raise ValueError("must be an address that starts with http:// or https://")
    if re.search(r"[\s?#]", text):
        raise ValueError("must be an address without spaces, ? and #: paths are added to it")
    if not _names_a_place(text):
        raise ValueError("must name a host, and a port from 1 to 65535 if any")
    return text.rstrip("/")


def origin(text: str) -> str:
    if text == "*":
        return text
    origin = web_address(text)
    if "/" in origin.partition("://")[2]:
        raise ValueError("must be an origin such as https://app.example.com, without a path, or *")
    return origin_of(origin)


def origin_of(address: str) -> str:
    """Where what is at this web address comes from, as browsers say it: without a port that goes without saying."""
    scheme, _, rest = address.lower().partition("://")
    place = rest.partition("/")[0].rpartition("@")[2]
    return f"{scheme}://{place.removesuffix(USUAL_PORTS[scheme]).removesuffix(':')}"


def proxy(text: str) -> str:
    try:
        ip_network(text)
    except ValueError:
        raise ValueError("must be addresses or networks, such as 10.0.0.7 or 10.0.0.0/8") from None
    return text


def api_path(text: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text):
        raise ValueError("must start with a slash and not end with one, such as /api/v1")
    return text


def database_url(text: str) -> str:
    text = text.replace("postgres://", "postgresql://", 1) if text.startswith("postgres://") else text
    if text.startswith("postgresql://"):
        if not _names_a_database(text):
            raise ValueError(
                "must look like postgresql://user:password@host:5432/database, "
                "with % and two hex digits for special characters in the password"
            )
        return text
    if not text.startswith("sqlite:///"):
        raise ValueError("must start with postgresql:// or sqlite:///")
    name = text.removeprefix("sqlite:///")
    if not name.strip("/") or name == ":memory:" or "?" in name:
        raise ValueError("must name a file, such as sqlite:////var/lib/portico/portico.db, without options after a ?")
    return text


def _names_a_database(url: str) -> bool:
    """Whether the URL is one of libpq's, with a database: hosts may be several, or a folder that the query names."""
    found = re.fullmatch(r"postgresql://(?:[^\s/?#@]*@)?([^\s/?#@]*)(/[^\s/?#]+)?(?:\?([^\s#]*))?", url)
    if found is None:
        return False
    hosts, name, query = found.groups()
    ports = [re.fullmatch(r"(?:\[[0-9A-Fa-f:.]+\]|[^\[\]:]*)(?::(\d+))?", host) for host in hosts.split(",")]
    fits = all(host and (host[1] is None or 0 < int(host[1]) <= 65535) for host in ports)
    return fits and (name is not None or bool({"dbname", "database"} & parse_qs(query or "").keys()))


def redis_url(text: str) -> str:
    if not (_names_a_socket(text) if text.startswith("unix://") else _names_a_redis(text)):
        raise ValueError(
            "must look like redis://user:password@host:6379/0, rediss://user:password@host:6379/0 for TLS, "
            "or unix:///path/to/redis.sock?db=0, "
            "with % and two hex digits for special characters in the password"
        )
    return text


def _names_a_redis(url: str) -> bool:
    found = re.fullmatch(r"rediss?://[^\s/?#]+(?:/\d*)?(?:\?([^\s#]*))?", url)
    if found is None or not _names_a_place(url):
        return False
    options = REDIS_OPTIONS | REDIS_TLS_OPTIONS if url.startswith("rediss:") else REDIS_OPTIONS
    return _has_only(options, found[1] or "")


def _names_a_socket(url: str) -> bool:
    found = re.fullmatch(r"unix://(?:[^\s/?#@]*@)?/[^\s?#]+(?:\?([^\s#]*))?", url)
    return found is not None and _has_only(REDIS_OPTIONS, found[1] or "")


def _has_only(options: Mapping[str, str], query: str) -> bool:
    """Whether the query consists of such options, each of the form that is said here."""
    if not query:
        return True
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        return False
    return all(name in options and re.fullmatch(options[name], value) for name, value in pairs)
