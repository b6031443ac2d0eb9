"""Store a rotated token in its Kubernetes Secret. The CronJob of ``tokenRotation`` runs this.

Arguments: the token's file, the namespace, the Secret, its key. The script repeats until the API server has
stored the token, because the old token may be revoked already.
"""  # noqa: INP001

import base64
import json
import ssl
import sys
import time
import urllib.request
from pathlib import Path

API = "https://kubernetes.default.svc/api/v1"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
LONGEST_PAUSE = 60


def request(url: str, method: str = "GET", body: dict | None = None) -> dict:
    """Return the answer of the API server; raise OSError where it refuses or is away."""
    headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text().strip()}"}
    if body is not None:
        headers["Content-Type"] = "application/merge-patch+json"
    data = None if body is None else json.dumps(body).encode()
    call = urllib.request.Request(url, data=data, headers=headers, method=method)  # noqa: S310 - begins with https
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(call, timeout=10, context=context) as response:  # noqa: S310 - as above
        return json.load(response)


def main(file: str, namespace: str, secret: str, key: str) -> int:
    """Return 0 when the Secret holds the token of the file."""
    token = base64.b64encode(Path(file).read_text(encoding="utf-8").strip().encode()).decode()
    url = f"{API}/namespaces/{namespace}/secrets/{secret}"
    pause = 1
    while True:
        try:
            if request(url)["data"].get(key) == token:
                sys.stdout.write(f"secret {namespace}/{secret} holds the current token\n")
                return 0
            request(url, "PATCH", {"data": {key: token}})
        except (OSError, KeyError, ValueError) as error:
            # An HTTP error names its status; the answer could contain the Secret and is not shown.
            sys.stderr.write(f"secret {namespace}/{secret} not updated, retry in {pause} s: {error}\n")
            time.sleep(pause)
            pause = min(LONGEST_PAUSE, 2 * pause)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
