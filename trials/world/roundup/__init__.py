"""Roundup, a real issue tracker, used by its REST interface through an OpenAPI document that was written for it."""
