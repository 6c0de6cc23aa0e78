"""What attackers and auditors tried: each test is one attempt, named by the promise that it did not break."""
