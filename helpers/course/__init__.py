"""The course around the book: exercises made from their solutions, graded and returned by nbgrader."""
