# As if it were made already, so that a plan shows who may take the roles.
override_resource {
  target          = aws_iam_openid_connect_provider.this
  values          = { arn = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com" }
  override_during = plan
}

variables {
  name       = "bulkhead-test"
  repository = "example/bulkhead"

  environment              = "production"
  deploy_branches          = ["main"]
  repository_arn           = "arn:aws:ecr:eu-central-1:111122223333:repository/bulkhead-test"
  deployment_parameter_arn = "arn:aws:ssm:eu-central-1:111122223333:parameter/bulkhead-test/deployment"
  releases_parameter_arn   = "arn:aws:ssm:eu-central-1:111122223333:parameter/bulkhead-test/releases"
  cluster_arn              = "arn:aws:ecs:eu-central-1:111122223333:cluster/bulkhead-test"
  service_arns = {
    api    = "arn:aws:ecs:eu-central-1:111122223333:service/bulkhead-test/api"
    worker = "arn:aws:ecs:eu-central-1:111122223333:service/bulkhead-test/worker"
  }
  task_definition_families = ["bulkhead-test-migrate"]
  pass_role_arns = {
    api_task          = "arn:aws:iam::111122223333:role/bulkhead-test-api-task"
    api_execution     = "arn:aws:iam::111122223333:role/bulkhead-test-api-execution"
    worker_task       = "arn:aws:iam::111122223333:role/bulkhead-test-worker-task"
    worker_execution  = "arn:aws:iam::111122223333:role/bulkhead-test-worker-execution"
    migrate_task      = "arn:aws:iam::111122223333:role/bulkhead-test-migrate-task"
    migrate_execution = "arn:aws:iam::111122223333:role/bulkhead-test-migrate-execution"
  }
  secret_arns = {
    master_key = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:bulkhead-test/master-key-AbCdEf"
    redis_api  = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:bulkhead-test/redis-api-AbCdEf"
  }
  secret_kms_key_arn    = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  elasticache_user_arns = { api = "arn:aws:elasticache:eu-central-1:111122223333:user:bulkhead-test-api" }
  log_group_arns        = { migrate = "arn:aws:logs:eu-central-1:111122223333:log-group:/bulkhead/bulkhead-test/migrate" }

  state_bucket_arn  = "arn:aws:s3:::example-terraform-state"
  state_key_prefix  = "bulkhead/production"
  state_kms_key_arn = "arn:aws:kms:eu-west-1:111122223333:key/11111111-1111-1111-1111-111111111111"
}

################################################################################
# Who may take the roles
################################################################################

run "a_deployment_shows_its_audience_its_environment_its_branch_and_its_workflow" {
  command = plan

  assert {
    condition = jsondecode(data.aws_iam_policy_document.deploy_assume.json).Statement == [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com" }
      Condition = {
        StringEquals = {
          "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
          "token.actions.githubusercontent.com:sub" = "repo:example/bulkhead:environment:production"
          "token.actions.githubusercontent.com:ref" = "refs/heads/main"
          "token.actions.githubusercontent.com:job_workflow_ref" = [
            "example/bulkhead/.github/workflows/deploy-environment.yml@refs/heads/main",
            "example/bulkhead/.github/workflows/rollback.yml@refs/heads/main",
          ]
        }
      }
    }]
    error_message = "Only the workflows that deploy, on a branch that deploys, may do so in this environment: the audience, the whole subject, the branch and the workflow must be compared, and nothing else may open the role."
  }
}

run "each_branch_that_deploys_does_so_with_its_own_workflows" {
  command = plan

  variables {
    deploy_branches = ["develop", "main"]
  }

  assert {
    condition     = toset(jsondecode(data.aws_iam_policy_document.deploy_assume.json).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:ref"]) == toset(["refs/heads/develop", "refs/heads/main"])
    error_message = "Both branches deploy to staging."
  }

  assert {
    condition = toset(jsondecode(data.aws_iam_policy_document.deploy_assume.json).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:job_workflow_ref"]) == toset([
      "example/bulkhead/.github/workflows/deploy-environment.yml@refs/heads/develop",
      "example/bulkhead/.github/workflows/deploy-environment.yml@refs/heads/main",
      "example/bulkhead/.github/workflows/rollback.yml@refs/heads/develop",
      "example/bulkhead/.github/workflows/rollback.yml@refs/heads/main",
    ])
    error_message = "A workflow deploys as it stands on one of the branches, and on no other."
  }
}

run "a_plan_shows_its_audience_and_a_subject_that_is_listed" {
  command = plan

  assert {
    condition = jsondecode(data.aws_iam_policy_document.plan_assume.json).Statement == [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com" }
      Condition = {
        StringEquals = {
          "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
          "token.actions.githubusercontent.com:sub" = ["repo:example/bulkhead:pull_request", "repo:example/bulkhead:ref:refs/heads/main"]
        }
      }
    }]
    error_message = "Only pull requests and the main branch of this repository may plan: the audience and the whole subject must be compared, and nothing else may open the role."
  }
}

run "numbers_are_part_of_the_subject_where_github_puts_them_there" {
  command = plan

  variables {
    repository_ids = { owner = "123456", repository = "456789" }
  }

  assert {
    condition     = jsondecode(data.aws_iam_policy_document.deploy_assume.json).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] == "repo:example@123456/bulkhead@456789:environment:production"
    error_message = "A deployment of a repository with numbers in its subject would be turned away."
  }

  assert {
    condition     = jsondecode(data.aws_iam_policy_document.plan_assume.json).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] == ["repo:example@123456/bulkhead@456789:pull_request", "repo:example@123456/bulkhead@456789:ref:refs/heads/main"]
    error_message = "A plan of a repository with numbers in its subject would be turned away."
  }
}

run "the_provider_that_is_there_is_believed" {
  command = plan

  variables {
    create_provider = false
    provider_arn    = "arn:aws:iam::444455556666:oidc-provider/token.actions.githubusercontent.com"
  }

  assert {
    condition = alltrue([
      for document in [data.aws_iam_policy_document.deploy_assume.json, data.aws_iam_policy_document.plan_assume.json] :
      jsondecode(document).Statement[0].Principal == { Federated = "arn:aws:iam::444455556666:oidc-provider/token.actions.githubusercontent.com" }
    ])
    error_message = "Both roles must believe the provider that was named."
  }
}

################################################################################
# What both may do
################################################################################

run "no_action_has_a_wildcard" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for document in [data.aws_iam_policy_document.deploy.json, data.aws_iam_policy_document.plan.json] : [
        for statement in jsondecode(document).Statement : [
          for action in flatten([statement.Action]) : !strcontains(action, "*")
        ]
      ]
    ]))
    error_message = "Every action must be named: \"*\" would be an administrator's, and \"service:*\" or a prefix grows with AWS."
  }
}

run "every_resource_is_meant_only_where_aws_offers_nothing_narrower" {
  command = plan

  assert {
    condition     = [for statement in jsondecode(data.aws_iam_policy_document.deploy.json).Statement : statement.Sid if contains(flatten([statement.Resource]), "*")] == ["LogInToRegistry", "RegisterTaskDefinition"]
    error_message = "Of the deployment's rights only those to log in and to register must be without a resource."
  }

  assert {
    condition     = [for statement in jsondecode(data.aws_iam_policy_document.plan.json).Statement : statement.Sid if contains(flatten([statement.Resource]), "*")] == ["ReadLists", "RefuseSecrets"]
    error_message = "Of the plan's rights only lists, and what is refused, must be without a resource."
  }
}

# IAM takes 10,240 characters for all policies in a role, white space not counted.
run "the_policies_fit_into_the_roles" {
  command = plan

  assert {
    condition     = length(replace(data.aws_iam_policy_document.deploy.json, "/\\s/", "")) < 8000
    error_message = "The deployment's policy comes close to what IAM takes; the ARNs of an environment are longer than these."
  }

  assert {
    condition     = length(replace(data.aws_iam_policy_document.plan.json, "/\\s/", "")) < 8000
    error_message = "The plan's policy comes close to what IAM takes; the ARNs of an environment are longer than these."
  }
}

################################################################################
# What a deployment may do
################################################################################

run "roles_are_passed_on_to_tasks_alone" {
  command = plan

  assert {
    condition     = [for statement in jsondecode(data.aws_iam_policy_document.deploy.json).Statement : statement.Sid if contains(flatten([statement.Action]), "iam:PassRole")] == ["PassRoles"]
    error_message = "Roles must be passed on by one statement, the one with the condition."
  }

  assert {
    condition = [
      for statement in jsondecode(data.aws_iam_policy_document.deploy.json).Statement : statement.Condition if statement.Sid == "PassRoles"
    ] == [{ StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }]
    error_message = "With another service than ECS the deployment could take the tasks' roles for itself."
  }

  assert {
    condition     = one([for statement in jsondecode(data.aws_iam_policy_document.deploy.json).Statement : toset(statement.Resource) if statement.Sid == "PassRoles"]) == toset(values(var.pass_role_arns))
    error_message = "Nothing but the tasks' roles may be passed on."
  }
}

run "tasks_are_run_in_the_cluster_alone" {
  command = plan

  assert {
    condition = alltrue([
      for statement in jsondecode(data.aws_iam_policy_document.deploy.json).Statement :
      statement.Condition == { ArnEquals = { "ecs:cluster" = "arn:aws:ecs:eu-central-1:111122223333:cluster/bulkhead-test" } }
      if length(setintersection(flatten([statement.Action]), ["ecs:RunTask", "ecs:DescribeTasks"])) > 0
    ])
    error_message = "Tasks of other clusters are nobody's business here."
  }

  assert {
    condition = [
      for statement in jsondecode(data.aws_iam_policy_document.deploy.json).Statement : endswith(statement.Resource, ":task-definition/bulkhead-test-migrate:*") if contains(flatten([statement.Action]), "ecs:RunTask")
    ] == [true]
    error_message = "Only the migration may be run once."
  }

  assert {
    condition = [
      for statement in jsondecode(data.aws_iam_policy_document.deploy.json).Statement : endswith(statement.Resource, ":task/bulkhead-test/*") if contains(flatten([statement.Action]), "ecs:DescribeTasks")
    ] == [true]
    error_message = "Only tasks of the cluster may be followed."
  }
}

run "releases_are_written_down_in_one_place" {
  command = plan

  assert {
    condition = {
      for statement in jsondecode(data.aws_iam_policy_document.deploy.json).Statement : statement.Resource => flatten([statement.Action])
      if anytrue([for action in flatten([statement.Action]) : startswith(action, "ssm:")])
      } == {
      (var.deployment_parameter_arn) = ["ssm:GetParameter"]
      (var.releases_parameter_arn)   = ["ssm:GetParameter", "ssm:PutParameter"]
    }
    error_message = "A deployment keeps its releases and believes Terraform about everything else: it may write the one parameter and not the other."
  }

  assert {
    condition     = length(setintersection(flatten([for statement in jsondecode(data.aws_iam_policy_document.deploy.json).Statement : statement.Action]), ["ecs:ListTaskDefinitions", "ecs:StopTask"])) == 0
    error_message = "What is gone back to is written down, not guessed from lists of revisions; and no task is stopped by hand."
  }
}

run "only_these_services_secrets_and_users_are_changed" {
  command = plan

  assert {
    condition     = one([for statement in jsondecode(data.aws_iam_policy_document.deploy.json).Statement : toset(statement.Resource) if contains(flatten([statement.Action]), "ecs:UpdateService")]) == toset(values(var.service_arns))
    error_message = "Only the services that were named may be updated."
  }

  assert {
    condition     = one([for statement in jsondecode(data.aws_iam_policy_document.deploy.json).Statement : toset(statement.Resource) if contains(flatten([statement.Action]), "secretsmanager:PutSecretValue")]) == toset(values(var.secret_arns))
    error_message = "Only the secrets that were named may be filled."
  }

  assert {
    condition = toset([
      for statement in jsondecode(data.aws_iam_policy_document.deploy.json).Statement : statement.Condition.StringEquals["ecs:CreateAction"] if contains(flatten([statement.Action]), "ecs:TagResource")
    ]) == toset(["RegisterTaskDefinition", "RunTask"])
    error_message = "What the deployment makes carries tags, revisions and tasks alike; nothing that is there may be tagged."
  }

  assert {
    condition     = !strcontains(data.aws_iam_policy_document.deploy.json, "GetSecretValue")
    error_message = "The deployment fills secrets and reads none."
  }

  assert {
    condition     = one([for statement in jsondecode(data.aws_iam_policy_document.deploy.json).Statement : statement.Resource if contains(flatten([statement.Action]), "elasticache:ModifyUser")]) == var.elasticache_user_arns.api
    error_message = "Only the users that were named may get a password."
  }

  assert {
    condition = one([
      for statement in jsondecode(data.aws_iam_policy_document.deploy.json).Statement : statement.Condition if contains(flatten([statement.Action]), "kms:Decrypt")
    ]) == { StringEquals = { "kms:ViaService" = "secretsmanager.${data.aws_region.current.id}.amazonaws.com" } }
    error_message = "The key of the secrets must serve secrets and nothing else."
  }
}

run "what_is_not_there_is_not_granted" {
  command = plan

  variables {
    deployment_parameter_arn = null
    releases_parameter_arn   = null
    secret_arns              = {}
    secret_kms_key_arn       = null
    elasticache_user_arns    = {}
    log_group_arns           = {}
    state_kms_key_arn        = null
  }

  assert {
    condition     = length(setintersection([for statement in jsondecode(data.aws_iam_policy_document.deploy.json).Statement : statement.Sid], ["FindEverything", "KeepReleases", "ReadLogs", "FillSecrets", "SealSecrets", "GivePasswords"])) == 0
    error_message = "The deployment must have no right to what it was not given: a statement without resources is refused by IAM."
  }

  assert {
    condition     = length(setintersection([for statement in jsondecode(data.aws_iam_policy_document.plan.json).Statement : statement.Sid], ["ReadParameters", "ReadSecretsWithoutValues", "UnsealState"])) == 0
    error_message = "The plan must have no right to what it was not given: a statement without resources is refused by IAM."
  }

  assert {
    condition     = contains([for statement in jsondecode(data.aws_iam_policy_document.plan.json).Statement : statement.Sid], "RefuseSecrets")
    error_message = "Secrets must be refused to the plan whether or not there are any here."
  }
}

################################################################################
# What a plan may do
################################################################################

run "a_plan_is_refused_the_value_of_every_secret" {
  command = plan

  assert {
    condition = contains([
      for statement in jsondecode(data.aws_iam_policy_document.plan.json).Statement : { resource = statement.Resource, actions = join(" ", statement.Action) } if statement.Effect == "Deny"
    ], { resource = "*", actions = "secretsmanager:BatchGetSecretValue secretsmanager:GetSecretValue" })
    error_message = "The value of every secret must be refused to the plan, one by one and in batches."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(data.aws_iam_policy_document.plan.json).Statement : !contains(flatten([statement.Action]), "secretsmanager:GetSecretValue") if statement.Effect == "Allow"
    ])
    error_message = "What is refused must not be granted beside it."
  }
}

run "a_plan_reads_both_parameters" {
  command = plan

  assert {
    condition     = one([for statement in jsondecode(data.aws_iam_policy_document.plan.json).Statement : toset(statement.Resource) if contains(flatten([statement.Action]), "ssm:GetParameter")]) == toset([var.deployment_parameter_arn, var.releases_parameter_arn])
    error_message = "A refresh reads both parameters, and no other of the account."
  }
}

run "a_plan_reads_its_state_and_writes_its_lock" {
  command = plan

  assert {
    condition = [
      for statement in jsondecode(data.aws_iam_policy_document.plan.json).Statement : statement.Resource if contains(flatten([statement.Action]), "s3:GetObject")
    ] == ["arn:aws:s3:::example-terraform-state/bulkhead/production*"]
    error_message = "Of all objects only this environment's state may be read."
  }

  assert {
    condition = [
      for statement in jsondecode(data.aws_iam_policy_document.plan.json).Statement : { resource = statement.Resource, actions = join(" ", statement.Action) }
      if anytrue([for action in flatten([statement.Action]) : can(regex(":(Put|Delete|Create|Update|Modify|Set|Attach|Add|Remove|Tag|Run|Pass)", action))])
    ] == [{ resource = "arn:aws:s3:::example-terraform-state/bulkhead/production*.tflock", actions = "s3:DeleteObject s3:PutObject" }]
    error_message = "A plan changes nothing but its lock."
  }

  assert {
    condition = one([
      for statement in jsondecode(data.aws_iam_policy_document.plan.json).Statement : { resource = statement.Resource, via = statement.Condition.StringEquals["kms:ViaService"] } if contains(flatten([statement.Action]), "kms:Decrypt")
    ]) == { resource = "arn:aws:kms:eu-west-1:111122223333:key/11111111-1111-1111-1111-111111111111", via = "s3.eu-west-1.amazonaws.com" }
    error_message = "The plan must decrypt the state with the state's key, in the state's region, and nothing else."
  }
}
