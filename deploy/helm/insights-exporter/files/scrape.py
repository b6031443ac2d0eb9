"""Wait until the exporter is ready. The pod of ``helm test`` runs this with the URL as its argument."""  # noqa: INP001

import ssl
import sys
import time
import urllib.error
import urllib.request

TIMEOUT = 180

# The certificate may be signed by any authority; this test sends no secret and reads one word.
CONTEXT = ssl.create_default_context()
CONTEXT.check_hostname = False
CONTEXT.verify_mode = ssl.CERT_NONE


def main(url: str) -> int:
    """Return 0 as soon as the URL answers with status 200, and 1 after three minutes."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5, context=CONTEXT) as response:  # noqa: S310 - the chart's URL
                sys.stdout.write(f"{url}: {response.read().decode().strip()}\n")
                return 0
        except urllib.error.HTTPError as error:
            reason = f"status {error.code}: {error.read().decode(errors='replace').strip()}"
        except OSError as error:
            reason = str(error)
        if time.monotonic() > deadline:
            sys.stderr.write(f"{url}: {reason}\n")
            return 1
        time.sleep(3)


sys.exit(main(sys.argv[1]))
