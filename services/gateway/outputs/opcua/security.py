"""Who may connect to an OPC UA server: certificates, user and password."""

from __future__ import annotations

import hmac
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from asyncua import Server, ua
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.crypto.truststore import TrustStore
from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions
from cryptography import x509

from services.gateway.outputs.port import read_secret
from services.gateway.outputs.settings import OpcUaSettings

ENCRYPTED: Final = (
    ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
    ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
    ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
)


class Users:
    """Lets clients in by certificate, user and password, as the settings say. asyncua calls it."""

    def __init__(self, settings: OpcUaSettings) -> None:
        self._user = settings.user or ""
        self._password = read_secret(settings.password_file) or b""
        self._anonymous = settings.anonymous
        self.trusted = TrustStore([settings.trusted_folder], []) if settings.trusted_folder else None
        """The certificates of the clients that may connect, and of their authorities; None: any client may."""

    def get_user(
        self,
        _server: Any,
        username: str | None = None,
        password: str | bytes | None = None,
        certificate: bytes | None = None,
    ) -> User | None:
        """Return the user that a client is; None: it is refused. No user may change nodes.

        Args:
            username: the user that the client names; None: it is anonymous.
            password: the password that it gives.
            certificate: the certificate of its channel, as DER. asyncua has checked that the client has the key of it,
                but not that it is trusted: it validates another one, which a client may show for its session.
        """
        if self.trusted and not (certificate and self.trusted.validate(x509.load_der_x509_certificate(certificate))):
            return None
        if username is None:
            return User(UserRole.User, "anonymous") if self._anonymous else None
        given = password.encode() if isinstance(password, str) else password or b""
        right_name = hmac.compare_digest(username.encode(), self._user.encode())
        right_password = hmac.compare_digest(given, self._password)
        if self._user and self._password and right_name and right_password:
            return User(UserRole.User, username)
        return None


def expired(settings: OpcUaSettings, moment: datetime) -> str:
    """Return that the certificate of the server has expired; empty: it has not, or can't be read, or there is none."""
    file = settings.certificate_file
    if file is None:
        return ""
    load = x509.load_pem_x509_certificate if format_of(file) == "pem" else x509.load_der_x509_certificate
    try:
        until = load(file.read_bytes()).not_valid_after_utc
    except ValueError:
        return ""
    if until >= moment:
        return ""
    return f"certificate_file {file} expired on {until:%Y-%m-%d}, and clients refuse it"


def format_of(file: Path) -> str:
    """Return the format of a certificate or key by its content: ``pem`` or ``der``. asyncua goes by the file's name."""
    return "pem" if b"-----BEGIN" in file.read_bytes() else "der"


async def secure(server: Server, settings: OpcUaSettings, users: Users) -> None:
    """Give a server its certificate, and say which connections and logins it accepts."""
    # asyncua binds a session to another channel before it has verified who asks for that: clients log in anew instead
    server.iserver.lookup_external_session = lambda _token: None
    tokens = [ua.UserNameIdentityToken] if settings.user else []
    server.set_identity_tokens([*tokens, ua.AnonymousIdentityToken] if settings.anonymous else tokens)
    if not settings.certificate_file or not settings.key_file:
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        return
    server.set_security_policy(list(ENCRYPTED))
    await server.load_certificate(settings.certificate_file, format_of(settings.certificate_file))
    await server.load_private_key(settings.key_file, format=format_of(settings.key_file))
    if users.trusted:
        await users.trusted.load()
        options = CertificateValidatorOptions.TRUSTED_VALIDATION | CertificateValidatorOptions.PEER_CLIENT
        server.set_certificate_validator(CertificateValidator(options, users.trusted))
