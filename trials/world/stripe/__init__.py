"""Refunds with Stripe's own SDK, on localstripe behind mitmproxy: answers lost after the commit, workers killed."""
