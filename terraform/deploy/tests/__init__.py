"""Tests of the deployment, against a simulated AWS that answers over HTTP."""
