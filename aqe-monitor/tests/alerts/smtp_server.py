"""A mail server for tests: prints its port, and then each mail as a line of JSON."""

import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

mode, certificate, key = sys.argv[1:4]
seen = set()


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone@"):
            return "550 no such user"
        # Greylisting: each such address has to wait once.
        if address.startswith("grey@") and address not in seen:
            seen.add(address)
            return "451 come back later"
        if address.startswith("never-ready@"):
            return "451 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        print(
            json.dumps(
                {
                    "from": envelope.mail_from,
                    "to": envelope.rcpt_tos,
                    "content": envelope.content.decode("ascii"),
                    "tls": session.ssl is not None or mode == "tls",
                    "user": session.auth_data and session.auth_data.login.decode(),
                }
            ),
            flush=True,
        )
        return "250 kept"


def authenticate(server, session, envelope, mechanism, auth_data):
    good = isinstance(auth_data, LoginPassword) and auth_data.password == b"pass word"
    return AuthResult(success=good, handled=False, auth_data=auth_data)


async def main():
    context = None
    if mode != "plain":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)

    def session():
        return SMTP(
            Handler(),
            hostname="test",
            tls_context=context if mode == "starttls" else None,
            require_starttls=mode == "starttls",
            authenticator=authenticate,
            auth_required=mode != "plain",
            auth_require_tls=mode == "starttls",
            auth_exclude_mechanism=["PLAIN"] if mode == "tls" else [],
        )

    wrap = context if mode == "tls" else None
    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0, ssl=wrap)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
