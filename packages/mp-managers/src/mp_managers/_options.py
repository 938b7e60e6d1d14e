"""How a manager may be reached: TLS and limits."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from os import PathLike

    Path = str | PathLike[str]


class TLSConfig:
    """TLS for a manager with a TCP address: where the certificates are.

    It travels with the proxies, so the paths have to be right wherever those are used.

    Args:
        certificate: the server's certificate, as PEM with all up to the authority;
            needed by servers only.
        key: its private key, likewise.
        authority: certificates that servers' are signed by; None for the system's.
        client_certificate: what clients prove themselves with, if they have to.
        client_key: its private key.
        client_authority: certificates that clients' have to be signed by; None if
            clients need none.
        hostname: who the server's certificate is for; None for the host of the address.
    """

    def __init__(
        self,
        certificate: Path | None = None,
        key: Path | None = None,
        authority: Path | None = None,
        client_certificate: Path | None = None,
        client_key: Path | None = None,
        client_authority: Path | None = None,
        hostname: str | None = None,
    ) -> None:
        self.certificate = certificate
        self.key = key
        self.authority = authority
        self.client_certificate = client_certificate
        self.client_key = client_key
        self.client_authority = client_authority
        self.hostname = hostname

    def server_context(self) -> ssl.SSLContext:
        """What a server listens with.

        Raises:
            ValueError: there is no certificate.
            OSError: a file cannot be read, or holds something else.
        """
        import ssl

        if self.certificate is None:
            raise ValueError("a server with TLS needs a certificate")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self.key)
        if self.client_authority is not None:
            context.load_verify_locations(self.client_authority)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client_context(self) -> ssl.SSLContext:
        """What clients connect with.

        Raises:
            OSError: a file cannot be read, or holds something else.
        """
        import ssl

        context = ssl.create_default_context(cafile=self.authority)
        if self.client_certificate is not None:
            context.load_cert_chain(self.client_certificate, self.client_key)
        return context


class Options:
    """What a server is told besides its address and its key.

    Attributes:
        tls: as above, or None.
        max_connections: how many connections it serves at a time; None for any number.
        max_message: the longest request, in bytes; None for any.
    """

    def __init__(
        self,
        tls: TLSConfig | None = None,
        max_connections: int | None = None,
        max_message: int | None = None,
    ) -> None:
        self.tls = tls
        self.max_connections = max_connections
        self.max_message = max_message


TLSConfig.__module__ = "mp_managers"
