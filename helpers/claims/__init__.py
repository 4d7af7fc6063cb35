"""What the text asserts, checked where it is asserted."""

from helpers.claims.assertion import Claim, ClaimFailed, claim
from helpers.claims.table import claims_table

__all__ = ["Claim", "ClaimFailed", "claim", "claims_table"]
