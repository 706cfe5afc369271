# Policies name queues, whose ARNs are known after they are made: these runs apply.

variables {
  name               = "bulkhead-test"
  kms_key_arn        = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  sender_role_arns   = { worker = "arn:aws:iam::111122223333:role/worker" }
  receiver_role_arns = { billing = "arn:aws:iam::111122223333:role/billing" }
  redrive_role_arns  = { on_call = "arn:aws:iam::111122223333:role/on-call" }
}

run "both_queues_refuse_plain_text" {
  assert {
    condition = alltrue([
      for policy in [aws_sqs_queue_policy.outbound.policy, aws_sqs_queue_policy.dead_letter.policy] :
      one([for statement in jsondecode(policy).Statement : statement if statement.Sid == "DenyPlainText"]).Condition.Bool["aws:SecureTransport"] == "false"
    ])
    error_message = "Both queues must refuse plain HTTP."
  }
}

run "only_senders_and_who_moves_messages_back_may_send" {
  assert {
    condition     = toset(one([for statement in jsondecode(aws_sqs_queue_policy.outbound.policy).Statement : statement if statement.Sid == "DenyOtherSenders"]).Condition.ArnNotEquals["aws:PrincipalArn"]) == toset([var.sender_role_arns.worker, var.redrive_role_arns.on_call])
    error_message = "Sending must be denied to everybody but senders and who moves messages back."
  }

  assert {
    condition     = { for statement in jsondecode(aws_sqs_queue_policy.outbound.policy).Statement : statement.Sid => statement.Principal.AWS if statement.Effect == "Allow" } == { SendersSend = var.sender_role_arns.worker, ReceiversReceive = var.receiver_role_arns.billing }
    error_message = "The queue must admit senders and receivers by name, and nobody else."
  }
}

run "only_receivers_and_who_moves_messages_back_may_receive" {
  assert {
    condition = alltrue([
      for policy in [aws_sqs_queue_policy.outbound.policy, aws_sqs_queue_policy.dead_letter.policy] :
      toset(one([for statement in jsondecode(policy).Statement : statement if statement.Sid == "DenyOtherReceivers"]).Condition.ArnNotEquals["aws:PrincipalArn"]) == toset([var.receiver_role_arns.billing, var.redrive_role_arns.on_call])
    ])
    error_message = "Receiving must be denied to everybody but receivers and who moves messages back."
  }

  assert {
    condition     = contains(one([for statement in jsondecode(aws_sqs_queue_policy.outbound.policy).Statement : statement if statement.Sid == "DenyOtherReceivers"]).Action, "sqs:PurgeQueue")
    error_message = "Emptying the queue must be denied like receiving."
  }
}

run "nobody_may_receive_when_nobody_is_named" {
  variables {
    receiver_role_arns = {}
    redrive_role_arns  = {}
  }

  assert {
    condition = alltrue([
      for policy in [aws_sqs_queue_policy.outbound.policy, aws_sqs_queue_policy.dead_letter.policy] :
      !can(one([for statement in jsondecode(policy).Statement : statement if statement.Sid == "DenyOtherReceivers"]).Condition)
    ])
    error_message = "Without receivers the denial must have no exception."
  }

  assert {
    condition     = [for statement in jsondecode(aws_sqs_queue_policy.outbound.policy).Statement : statement.Sid if statement.Effect == "Allow"] == ["SendersSend"]
    error_message = "Without receivers the queue must admit senders alone."
  }
}

run "a_sender_may_send_and_use_the_key_through_sqs" {
  assert {
    condition = { for statement in jsondecode(output.sender_policy_json).Statement : statement.Sid => { action = jsonencode(statement.Action), resource = statement.Resource } } == {
      Send = { action = jsonencode("sqs:SendMessage"), resource = aws_sqs_queue.outbound.arn }
      Key  = { action = jsonencode(["kms:Decrypt", "kms:GenerateDataKey"]), resource = var.kms_key_arn }
    }
    error_message = "A sender must send to this queue, use this key, and do nothing else."
  }

  assert {
    condition     = one([for statement in jsondecode(output.sender_policy_json).Statement : statement.Condition if statement.Sid == "Key"]).StringEquals["kms:ViaService"] == "sqs.${data.aws_region.current.id}.amazonaws.com"
    error_message = "A sender must use the key through SQS alone."
  }
}
