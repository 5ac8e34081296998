"""What tests share: real servers, a token issuer, standing people."""
