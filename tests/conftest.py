"""Settings that all tests share."""

import pytest
import structlog


@pytest.fixture(autouse=True)
def quiet_logs() -> None:
    """Log lines of workers go nowhere: pytest's captured output may be closed before a worker's last line."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), cache_logger_on_first_use=False)
