"""An addon of mitmproxy: a share of the answers to refunds is lost, after the provider has carried them out.

``$LOST_SHARE`` from 0 to 1, ``$LOST_SEED``; each refund that the provider took adds a line to ``$LOST_LOG``: lost or
passed.
"""

import os
import random
from pathlib import Path
from typing import Any

SHARE = float(os.environ["LOST_SHARE"])
DICE = random.Random(int(os.environ["LOST_SEED"]))  # noqa: S311 - to be repeated, not to be secret


def response(flow: Any) -> None:
    """Lose the answer, or let it pass. (mitmproxy calls this when an answer has come from the server.)"""
    request = flow.request
    if request.method != "POST" or request.path != "/v1/refunds" or flow.response.status_code != 200:
        return
    is_lost = DICE.random() < SHARE
    with Path(os.environ["LOST_LOG"]).open("a", encoding="utf-8") as log:
        log.write("lost\n" if is_lost else "passed\n")
    if is_lost:
        flow.kill()
