"""``python -m trials.model``: search everything, catch every mutant, name what is only assumed.

Exit code 1 when a guarantee is broken, a mutant survives, too few states were seen, or it took too long.
``--trace MUTANT`` prints the shortest way in which a mutant breaks a promise.
"""

import argparse
import sys

from trials.model.mutants import MUTANTS
from trials.model.proving import Proof, catch, outcome_of, prove
from trials.results import write


def main() -> int:
    """Run what was asked for."""
    chosen = _arguments()
    if chosen.trace:
        return _trace(chosen.trace)
    proof = Proof(is_full=chosen.full)
    for line in prove(proof):
        _say(line)
    outcome = outcome_of(proof)
    _say(f"\n{'every bound holds' if outcome.holds else 'A BOUND IS BROKEN'}; written to {write(outcome)}")
    for figure in outcome.figures:
        if figure.holds is False:
            _say(f"  {figure.name}: {figure.measured}, must be {figure.must_be}")
    return 0 if outcome.holds else 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m trials.model", description="Search the protocol of the ledger.")
    parser.add_argument("--full", action="store_true", help="also search each residual to its end")
    parser.add_argument("--seed", type=int, help="taken as by every trial; an exhaustive search draws nothing")
    parser.add_argument("--trace", metavar="MUTANT", help="print how this mutant breaks a promise")
    return parser.parse_args()


def _trace(name: str) -> int:
    mutant = next((one for one in MUTANTS if one.name == name), None)
    if mutant is None:
        _say(f"no mutant is called {name!r}; there are: {', '.join(one.name for one in MUTANTS)}")
        return 2
    found = catch(mutant)
    _say(f"{mutant.name}: {mutant.says} ({mutant.scene})")
    for number, line in enumerate(found.trace, 1):
        _say(f"{number:3}  {line}")
    _say(f"breaks {', '.join(found.broken) or 'nothing: it survives'}")
    return 0 if found.broken else 1


if __name__ == "__main__":
    sys.exit(main())
