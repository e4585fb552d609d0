"""IAM: identities, policies that are evaluated, and its eventual consistency."""

from scaler.testing.localcloud.iam.service import Iam

__all__ = ["Iam"]
