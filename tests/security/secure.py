"""Servers that are spoken to in secret: an authority of our own, and what it signs for."""

import asyncio
import contextlib
import ipaddress
import shutil
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from devstack import ports
from devstack.kafka import broker
from devstack.kafka.home import Home
from devstack.servers import Place, Server
from tests.support.infra import LOCAL

START_S = 60.0
KAFKA_USER, KAFKA_PASSWORD = "my500", "a-password-of-the-brokers"
CLUSTER_ID = "aSecretClusterForTests"
MUTUAL = "MUTUAL"
LISTENERS = {
    **{each: each for each in ("PLAINTEXT", "SASL_PLAINTEXT", "SSL", "SASL_SSL")},
    MUTUAL: "SSL",  # where clients, too, show a certificate
}
MODULES = "org.apache.kafka.common.security"
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True, slots=True)
class Signed:
    """Files of an authority, and of what it says of 127.0.0.1 or of another name."""

    authority: Path
    certificate: Path
    key: Path
    both: Path


def signed(folder: Path, *, name: str = "127.0.0.1") -> Signed:
    folder.mkdir(parents=True, exist_ok=True)
    root_key, own_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _certificate("My own authority", root_key, root_key, "My own authority")
    own = _certificate(name, own_key, root_key, "My own authority", address=name)
    key = own_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    chain = _pem(own)
    files = Signed(*(folder / f"{part}.pem" for part in ("authority", "own", "key", "both")))
    for file, content in zip(
        (files.authority, files.certificate, files.key, files.both),
        (_pem(root), chain, key, key + chain + _pem(root)),
        strict=True,
    ):
        file.write_bytes(content)
        file.chmod(0o600)
    return files


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    issuer: str,
    *,
    address: str | None = None,
) -> x509.Certificate:
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=address is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
            critical=False,
        )
    )
    if address is None:
        made = made.add_extension(_signs(), critical=True)
    else:
        made = made.add_extension(x509.SubjectAlternativeName([_said(address)]), critical=False)
    return made.sign(signer, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _said(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _signs() -> x509.KeyUsage:
    others = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **others)


@contextmanager
def running(server: Server) -> Iterator[None]:
    server.prepare()
    process = subprocess.Popen(
        server.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + START_S
        while not server.is_ready():
            assert process.poll() is None, f"{server.name} ended"
            assert time.monotonic() < deadline, f"{server.name} is not ready"
            time.sleep(0.1)
        server.finish()
        yield
    finally:
        process.send_signal(server.stop_signal)
        process.wait(START_S)


@contextmanager
def secure_kafka(folder: Path, files: Signed) -> Iterator[dict[str, str]]:
    """The address of a broker, by the listener."""
    home = Home(LOCAL / "kafka")
    place = Place(folder / "kafka", folder / "kafka.log")
    place.state.mkdir(parents=True)
    numbers = {protocol: ports.free() for protocol in LISTENERS}
    controller = ports.free()
    server = broker.server(home, place, port=numbers["PLAINTEXT"], controller_port=controller)

    def prepare() -> None:
        server.prepare()
        file = place.state / "server.properties"
        more = _listeners(numbers, controller, files)
        file.write_text(file.read_text() + "".join(f"{k}={v}\n" for k, v in more.items()))
        _format(home, place, file)

    with running(replace(server, prepare=prepare)):
        yield {protocol: f"127.0.0.1:{port}" for protocol, port in numbers.items()}


def _listeners(numbers: dict[str, int], controller: int, files: Signed) -> dict[str, str]:
    """Java takes the last of equal names, so these replace what stands before them."""
    spoken = [f"{protocol}://127.0.0.1:{port}" for protocol, port in numbers.items()]
    login = f'{MODULES}.plain.PlainLoginModule required user_{KAFKA_USER}="{KAFKA_PASSWORD}";'
    logins = {"plain": login} | {
        each.lower(): f"{MODULES}.scram.ScramLoginModule required;" for each in SCRAM
    }
    return {
        "listeners": ",".join([*spoken, f"CONTROLLER://127.0.0.1:{controller}"]),
        "advertised.listeners": ",".join(spoken),
        "listener.security.protocol.map": ",".join(
            ["CONTROLLER:PLAINTEXT", *(f"{name}:{spoken}" for name, spoken in LISTENERS.items())]
        ),
        "sasl.enabled.mechanisms": ",".join(["PLAIN", *SCRAM]),
        **{
            f"listener.name.{listener}.{mechanism}.sasl.jaas.config": module
            for listener in ("sasl_plaintext", "sasl_ssl")
            for mechanism, module in logins.items()
        },
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(files.both),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(files.authority),
        "ssl.client.auth": "none",
        f"listener.name.{MUTUAL.lower()}.ssl.client.auth": "required",
    }


def _format(home: Home, place: Place, settings: Path) -> None:
    """Anew, with the password in it: SCRAM keeps what proves it in the cluster's own log."""
    shutil.rmtree(place.state / "data")
    known = [f"--add-scram={each}=[name={KAFKA_USER},password={KAFKA_PASSWORD}]" for each in SCRAM]
    tool = (*home.java(heap="256m", log=place.log), "kafka.tools.StorageTool", "format")
    subprocess.run(
        [*tool, f"--cluster-id={CLUSTER_ID}", f"--config={settings}", *known],
        check=True,
        stdout=subprocess.DEVNULL,
    )


@dataclass(slots=True)
class Secured:
    """A port that speaks TLS, before one that does not; how many connections asked for it."""

    port: int
    connections: int = 0


@asynccontextmanager
async def secured(port: int, files: Signed, *, asks: bytes = b"") -> AsyncIterator[Secured]:
    """`asks` is what a client sends, in the clear, to begin with TLS, and `S` the consent."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.both)
    made = Secured(0)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            if asks:
                if await reader.readexactly(len(asks)) != asks:
                    writer.close()
                    return
                writer.write(b"S")
                await writer.start_tls(context)
            made.connections += 1
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
            async with asyncio.TaskGroup() as group:
                group.create_task(_pass_on(reader, inner_writer))
                group.create_task(_pass_on(inner_reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=None if asks else context)
    async with server:
        made.port = server.sockets[0].getsockname()[1]
        yield made


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while content := await reader.read(65_536):
            writer.write(content)
            await writer.drain()
    writer.close()
