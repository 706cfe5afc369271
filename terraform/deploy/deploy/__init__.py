"""Deploys Bulkhead to one environment: `python -m deploy COMMAND --deployment /NAME/deployment`.

Owns the order of a deployment's steps and what happens when one of them fails. Refuses to know where anything
is: one SSM parameter, written by Terraform, tells it. Runs on a workflow's machine and on an engineer's
alike.
"""
