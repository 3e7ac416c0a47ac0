"""Amounts of money as people write them."""


def amount_text(cents: int, currency: str) -> str:
    """Write minor units with two decimals and the currency: ``250.00 EUR``."""
    return f"{cents // 100}.{cents % 100:02d} {currency.upper()}"
