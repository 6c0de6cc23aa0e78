"""Throws wrong second-factor codes at a running installation and says how many were looked at.

    python benchmarks/attacks/wrong_codes.py http://127.0.0.1:8000 --name reviewer --password …

The account is a throw-away one: it must have no second factor, is given one, and keeps it. Only this machine's own
addresses are attacked, and never more than 500 codes are sent.
"""

from __future__ import annotations

import argparse
import base64
import collections
import hashlib
import hmac
import random
import re
import struct
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import requests

MOST = 500


class Browser(requests.Session):
    """Cookies, one address, no redirects followed."""

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self.base_url = base_url

    def request(self, method: str, path: str, **rest: Any) -> requests.Response:  # type: ignore[override]
        return super().request(
            method, self.base_url + path, **{"timeout": 60, **rest, "allow_redirects": False}
        )


def token_of(page: requests.Response) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    if found is None:
        raise SystemExit(f"{page.url} answers {page.status_code} without a form")
    return found[1]


def post(client: Browser, path: str, **values: str) -> requests.Response:
    token = client.cookies.get("galley_csrf") or token_of(client.get(path))
    values["csrfmiddlewaretoken"] = token
    return client.post(path, data=values, headers={"Referer": client.base_url})


def sign_in(client: Browser, name: str, password: str) -> requests.Response:
    answer = post(client, "/accounts/login/", login=name, password=password)
    if answer.status_code != 302:
        raise SystemExit(f"The sign-in answers {answer.status_code}; is the password right?")
    return answer


def code_of(secret: str, at: float) -> str:
    """RFC 6238: six digits for the half minute."""
    key = base64.b32decode(secret)
    digest = hmac.new(key, struct.pack(">Q", int(at) // 30), hashlib.sha1).digest()
    start = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[start : start + 4])[0] & 0x7FFFFFFF) % 10**6:06}"


def set_up_factor(url: str, name: str, password: str) -> str:
    with Browser(url) as client:
        if "2fa" in sign_in(client, name, password).headers["Location"]:
            raise SystemExit(f"{name} has a second factor already; take another account.")
        post(client, "/accounts/reauthenticate/", password=password)
        page = client.get("/accounts/2fa/totp/activate/")
        found = re.search(r'id="authenticator_secret"[^>]*value="(\w+)"', page.text)
        if found is None:
            raise SystemExit(f"The page of the second factor answers {page.status_code} without a secret.")
        answer = post(client, "/accounts/2fa/totp/activate/", code=code_of(found[1], time.time()))
        if answer.status_code != 302:
            raise SystemExit(f"Switching the second factor on answers {answer.status_code}.")
        return found[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--name", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--tries", type=int, default=150, help=f"how many codes, at most {MOST} [150]")
    parser.add_argument("--threads", type=int, default=5, help="attackers at the same time, at most 10 [5]")
    options = parser.parse_args()
    if urlsplit(options.url).hostname not in ("127.0.0.1", "localhost", "::1"):
        raise SystemExit("This attacks installations on this machine only.")
    tries, threads = min(options.tries, MOST), min(options.threads, 10)
    secret = set_up_factor(options.url, options.name, options.password)
    attackers = [Browser(options.url) for _ in range(threads)]
    for client in attackers:
        sign_in(client, options.name, options.password)
    numbers = iter(range(tries))
    lock, counts = threading.Lock(), collections.Counter[str]()

    def attack(client: Browser) -> None:
        while True:
            with lock:
                if next(numbers, None) is None:
                    return
            right = {code_of(secret, time.time() + shift) for shift in (-30, 0, 30)}
            wrong = next(code for _ in iter(int, 1) if (code := f"{random.randrange(10**6):06}") not in right)
            status = post(client, "/accounts/2fa/authenticate/", code=wrong).status_code
            with lock:
                counts["looked at" if status == 200 else "refused" if status == 429 else str(status)] += 1

    running = [threading.Thread(target=attack, args=(client,)) for client in attackers]
    began = time.monotonic()
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    seconds = time.monotonic() - began
    told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    print(f"{tries} wrong codes by {threads} at a time in {seconds:.1f} s: {told}.")
    after = post(attackers[0], "/accounts/2fa/authenticate/", code=code_of(secret, time.time())).status_code
    words = {302: "lets in", 429: "is refused"}.get(after, f"answers {after}")
    print(f"The right code from the same address afterwards {words}.")


if __name__ == "__main__":
    main()
