"""The course around the book: exercises made from their solutions, graded and returned by nbgrader."""

from helpers.course.exercises import course_configuration, generate, main, write

__all__ = ["course_configuration", "generate", "main", "write"]
