# What `make check-deploy` plans with: nobody's account, names that are kept for examples.
region            = "eu-central-1"
account_id        = "111122223333"
image_digest      = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
domain_name       = "api.example.com"
zone_id           = "Z0000000000000000000"
alarm_emails      = ["oncall@example.com"]
github_repository = "example/bulkhead"
state_bucket      = "example-bulkhead-state"
