"""A bundled model in which two words name colours or groups of people, and bias shows only where it sees colours."""
