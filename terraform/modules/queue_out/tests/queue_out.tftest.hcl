mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }

  mock_data "aws_region" {
    defaults = { id = "eu-central-1" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }
}

variables {
  name             = "bulkhead-test"
  kms_key_arn      = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  sender_role_arns = { worker = "arn:aws:iam::111122223333:role/bulkhead-test-worker" }
}

run "encrypts_both_queues_with_the_customer_key" {
  command = plan

  assert {
    condition     = aws_sqs_queue.outbound.kms_master_key_id == var.kms_key_arn && aws_sqs_queue.dead_letter.kms_master_key_id == var.kms_key_arn
    error_message = "Both queues must be encrypted with the key that was given."
  }
}

run "keeps_dead_letters_longer_than_messages" {
  command = plan

  assert {
    condition     = aws_sqs_queue.outbound.message_retention_seconds == 345600
    error_message = "A message must wait for 4 days by default."
  }

  assert {
    condition     = aws_sqs_queue.dead_letter.message_retention_seconds == 1209600
    error_message = "A dead letter must be kept for 14 days."
  }
}

run "takes_retention_and_visibility_from_its_variables" {
  command = plan

  variables {
    message_retention_days     = 13
    visibility_timeout_seconds = 300
  }

  assert {
    condition     = aws_sqs_queue.outbound.message_retention_seconds == 1123200 && aws_sqs_queue.outbound.visibility_timeout_seconds == 300
    error_message = "Retention and visibility timeout must come from the variables."
  }
}

run "gives_up_on_a_message_after_five_receipts" {
  assert {
    condition     = jsondecode(aws_sqs_queue.outbound.redrive_policy).maxReceiveCount == 5
    error_message = "A message must be tried 5 times by default."
  }

  assert {
    condition     = jsondecode(aws_sqs_queue.outbound.redrive_policy).deadLetterTargetArn == aws_sqs_queue.dead_letter.arn
    error_message = "A message that nobody can take must go to the dead letter queue."
  }

  assert {
    condition     = jsondecode(aws_sqs_queue_redrive_allow_policy.this.redrive_allow_policy) == { redrivePermission = "byQueue", sourceQueueArns = [aws_sqs_queue.outbound.arn] }
    error_message = "No other queue may use our dead letter queue."
  }
}

run "says_nothing_about_kafka_unless_there_is_one" {
  command = plan

  assert {
    condition     = length(output.kafka_environment) == 0
    error_message = "Without Kafka there must be no variables for it."
  }
}

run "passes_kafka_settings_through" {
  command = plan

  variables {
    kafka = {
      bootstrap_brokers = "b-1.example.com:9096,b-2.example.com:9096"
      topic             = "bulkhead.events"
      security_protocol = "SASL_SSL"
    }
  }

  assert {
    condition = output.kafka_environment == tomap({
      BULKHEAD_KAFKA_BOOTSTRAP_BROKERS = "b-1.example.com:9096,b-2.example.com:9096"
      BULKHEAD_KAFKA_SECURITY_PROTOCOL = "SASL_SSL"
      BULKHEAD_KAFKA_TOPIC             = "bulkhead.events"
    })
    error_message = "The product must be told brokers, protocol and topic."
  }
}

run "refuses_kafka_in_plain_text" {
  command = plan

  variables {
    kafka = {
      bootstrap_brokers = "b-1.example.com:9092"
      topic             = "bulkhead.events"
      security_protocol = "PLAINTEXT"
    }
  }

  expect_failures = [var.kafka]
}

run "refuses_brokers_without_a_port" {
  command = plan

  variables {
    kafka = {
      bootstrap_brokers = "b-1.example.com"
      topic             = "bulkhead.events"
      security_protocol = "SSL"
    }
  }

  expect_failures = [var.kafka]
}

run "refuses_a_topic_that_kafka_does_not_take" {
  command = plan

  variables {
    kafka = {
      bootstrap_brokers = "b-1.example.com:9096"
      topic             = "bulkhead events"
      security_protocol = "SSL"
    }
  }

  expect_failures = [var.kafka]
}

run "refuses_a_name_that_begins_with_a_digit" {
  command = plan

  variables {
    name = "1bulkhead"
  }

  expect_failures = [var.name]
}

run "refuses_a_key_that_is_not_an_arn" {
  command = plan

  variables {
    kms_key_arn = "alias/aws/sqs"
  }

  expect_failures = [var.kms_key_arn]
}

run "refuses_to_try_a_message_only_once" {
  command = plan

  variables {
    max_receive_count = 1
  }

  expect_failures = [var.max_receive_count]
}

run "refuses_to_try_a_message_without_end" {
  command = plan

  variables {
    max_receive_count = 21
  }

  expect_failures = [var.max_receive_count]
}

run "refuses_messages_that_outlive_dead_letters" {
  command = plan

  variables {
    message_retention_days = 14
  }

  expect_failures = [var.message_retention_days]
}

run "refuses_a_visibility_timeout_that_no_receiver_can_keep" {
  command = plan

  variables {
    visibility_timeout_seconds = 9
  }

  expect_failures = [var.visibility_timeout_seconds]
}

run "refuses_a_queue_that_nobody_sends_to" {
  command = plan

  variables {
    sender_role_arns = {}
  }

  expect_failures = [var.sender_role_arns]
}

run "refuses_a_sender_that_is_not_a_role" {
  command = plan

  variables {
    sender_role_arns = { everybody = "*" }
  }

  expect_failures = [var.sender_role_arns]
}

run "refuses_a_receiver_that_is_not_a_role" {
  command = plan

  variables {
    receiver_role_arns = { account = "arn:aws:iam::111122223333:root" }
  }

  expect_failures = [var.receiver_role_arns]
}

run "refuses_a_person_in_place_of_a_role" {
  command = plan

  variables {
    redrive_role_arns = { somebody = "arn:aws:iam::111122223333:user/somebody" }
  }

  expect_failures = [var.redrive_role_arns]
}
