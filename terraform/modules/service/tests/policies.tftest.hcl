# What the collector beside a command may do; the documents are rendered, not mocked.
variables {
  name            = "bulkhead-test"
  command         = "worker"
  image           = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/bulkhead@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  cpu             = 1024
  memory_mb       = 2048
  repository_arn  = "arn:aws:ecr:eu-central-1:111122223333:repository/bulkhead"
  log_kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  cluster_arn     = "arn:aws:ecs:eu-central-1:111122223333:cluster/bulkhead-test"
  cluster_name    = "bulkhead-test"
  vpc_id          = "vpc-00000000000000000"
  subnet_ids      = ["subnet-00000000000000001", "subnet-00000000000000002", "subnet-00000000000000003"]
  scaling         = { min = 1, max = 2 }

  published_metrics = { bulkhead_jobs_due = {} }
}

run "a_collector_writes_its_own_log" {
  command = plan

  assert {
    condition = jsondecode(data.aws_iam_policy_document.collector.json).Statement == [{
      Sid      = "PublishMetrics"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
      Resource = "arn:aws:logs:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}:log-group:/bulkhead/bulkhead-test/worker:*"
    }]
    error_message = "A collector that only publishes must have no right but to write to the log of its command."
  }
}

run "a_collector_writes_one_workspace_and_reads_none" {
  command = plan

  variables {
    prometheus = {
      workspace_arn    = "arn:aws:aps:eu-central-1:111122223333:workspace/ws-1"
      remote_write_url = "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
    }
  }

  assert {
    condition = [for statement in jsondecode(data.aws_iam_policy_document.collector.json).Statement : statement if statement.Sid != "PublishMetrics"] == [{
      Sid      = "WriteSeries"
      Effect   = "Allow"
      Action   = "aps:RemoteWrite"
      Resource = "arn:aws:aps:eu-central-1:111122223333:workspace/ws-1"
    }]
    error_message = "Series must be written to the workspace that was named; what other tasks say is not the task's to read."
  }
}

run "a_collector_without_anything_to_publish_has_no_log" {
  command = plan

  variables {
    published_metrics = {}
    prometheus = {
      workspace_arn    = "arn:aws:aps:eu-central-1:111122223333:workspace/ws-1"
      remote_write_url = "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
    }
  }

  assert {
    condition     = [for statement in jsondecode(data.aws_iam_policy_document.collector.json).Statement : statement.Sid] == ["WriteSeries"]
    error_message = "What is not published needs no right."
  }
}
